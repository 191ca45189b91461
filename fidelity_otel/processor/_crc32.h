/* CRC-32 as zlib has it (the polynomial 0x04c11db7, reflected), at the speed of memory.
 *
 * Eight bytes at a time by tables; where the processor multiplies without carries, sixty-four bytes
 * at a time are folded into the next sixty-four. Folding is: bits that stand D places higher up are
 * the same modulo P as themselves times x^D mod P, which is a number of 32 bits. Both the tables
 * and those numbers are worked out from the polynomial when the module is loaded.
 */
#ifndef FIDELITY_CRC32_H
#define FIDELITY_CRC32_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define CRC_FOLDS 1
#include <immintrin.h>
#endif

#define CRC_POLYNOMIAL 0xedb88320u

static uint32_t crc_tables[8][256];

static void
crc_prepare_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t state = byte;
        for (int bit = 0; bit < 8; bit++)
            state = state & 1 ? state >> 1 ^ CRC_POLYNOMIAL : state >> 1;
        crc_tables[0][byte] = state;
    }
    for (int table = 1; table < 8; table++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = crc_tables[table - 1][byte];
            crc_tables[table][byte] = before >> 8 ^ crc_tables[0][before & 0xff];
        }
}

static uint32_t
crc_by_tables(uint32_t state, const uint8_t *at, size_t size)
{
    for (; size >= 8; at += 8, size -= 8) {
        uint32_t low = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                       (uint32_t)at[3] << 24;
        low ^= state;
        state = crc_tables[7][low & 0xff] ^ crc_tables[6][low >> 8 & 0xff] ^
                crc_tables[5][low >> 16 & 0xff] ^ crc_tables[4][low >> 24] ^
                crc_tables[3][at[4]] ^ crc_tables[2][at[5]] ^ crc_tables[1][at[6]] ^
                crc_tables[0][at[7]];
    }
    while (size--)
        state = state >> 8 ^ crc_tables[0][(state ^ *at++) & 0xff];
    return state;
}

#ifdef CRC_FOLDS

#define FOLDING __attribute__((target("pclmul,sse2")))

static int crc_can_fold;
static uint64_t crc_by_512[2], crc_by_128[2];

/* x^power mod P, reflected, in the upper half: one less than wanted, as a product has one more. */
static uint64_t
crc_power(int power)
{
    uint32_t found = 0x80000000u;
    while (--power)
        found = found & 1 ? found >> 1 ^ CRC_POLYNOMIAL : found >> 1;
    return (uint64_t)found << 32;
}

FOLDING static __m128i
crc_fold(__m128i from, __m128i by, __m128i onto)
{
    __m128i first = _mm_clmulepi64_si128(from, by, 0x00);
    __m128i second = _mm_clmulepi64_si128(from, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(first, second), onto);
}

FOLDING static __m128i
crc_load(const void *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

/* Of at least 64 bytes. */
FOLDING static uint32_t
crc_by_folding(uint32_t state, const uint8_t *at, size_t size)
{
    __m128i far = crc_load(crc_by_512), near = crc_load(crc_by_128);
    __m128i a = _mm_xor_si128(crc_load(at), _mm_cvtsi32_si128((int)state));
    __m128i b = crc_load(at + 16), c = crc_load(at + 32), d = crc_load(at + 48);
    for (at += 64, size -= 64; size >= 64; at += 64, size -= 64) {
        a = crc_fold(a, far, crc_load(at));
        b = crc_fold(b, far, crc_load(at + 16));
        c = crc_fold(c, far, crc_load(at + 32));
        d = crc_fold(d, far, crc_load(at + 48));
    }
    a = crc_fold(crc_fold(crc_fold(a, near, b), near, c), near, d);
    for (; size >= 16; at += 16, size -= 16)
        a = crc_fold(a, near, crc_load(at));
    uint8_t left[16];
    _mm_storeu_si128((__m128i *)left, a);
    return crc_by_tables(crc_by_tables(0, left, 16), at, size);
}

#endif

/* To be called once, before the first sum. */
static void
crc_prepare(void)
{
    crc_prepare_tables();
#ifdef CRC_FOLDS
    crc_by_512[0] = crc_power(512 + 64), crc_by_512[1] = crc_power(512);
    crc_by_128[0] = crc_power(128 + 64), crc_by_128[1] = crc_power(128);
    crc_can_fold = __builtin_cpu_supports("pclmul");
#endif
}

/* As zlib's: `before` is the sum of what stands before, 0 at the beginning. */
static uint32_t
crc32_of(uint32_t before, const uint8_t *at, size_t size)
{
#ifdef CRC_FOLDS
    if (crc_can_fold && size >= 64)
        return ~crc_by_folding(~before, at, size);
#endif
    return ~crc_by_tables(~before, at, size);
}

#endif
