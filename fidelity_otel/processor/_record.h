/* The journal's record of spans, as read back in C; journal/__init__.py has the layout. */
#ifndef FIDELITY_RECORD_H
#define FIDELITY_RECORD_H

#include <stdint.h>
#include <string.h>

enum { MAGIC = 0xf1de, SPANS_KIND = 1, SUMMED = 16, HEAD = 20 };
enum { TRACE_ID = 16, IDS_AT = 20 };  /* in the payload, behind the head */
enum { FEW_IDS = 64 };                /* that are best compared one by one */

static inline uint64_t
little(const uint8_t *at, int size)
{
    uint64_t number = 0;
    while (size--)
        number = number << 8 | at[size];
    return number;
}

/* The ids of the spans and the request that holds them, of a record that is sound. */
typedef struct {
    const uint8_t *ids, *otlp;
    size_t count, size;
} SpansRecord;

static inline SpansRecord
spans_record(const uint8_t *record, size_t size)
{
    const uint8_t *payload = record + HEAD;
    size_t count = (size_t)little(payload + TRACE_ID, 4), before = IDS_AT + 8 * count;
    return (SpansRecord){payload + IDS_AT, payload + before, count, size - HEAD - before};
}

/* Whether all ids differ; -1 where they are too many to tell here. */
static inline int
ids_differ(const SpansRecord *spans)
{
    if (spans->count > FEW_IDS)
        return -1;
    for (size_t i = 1; i < spans->count; i++)
        for (size_t j = 0; j < i; j++)
            if (memcmp(spans->ids + 8 * i, spans->ids + 8 * j, 8) == 0)
                return 0;
    return 1;
}

#endif
