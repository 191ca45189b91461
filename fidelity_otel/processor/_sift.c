/* Which detectors certainly find nothing in a trace, told from its bytes.
 *
 * `sift` looks at one trace in OTLP that was taken in, so that its texts are UTF-8. It knows one kind
 * of trace: that of the GenAI conventions and our own names, with a root, whole, its models' calls and
 * retrievals without an error. Of such a trace it tests for each detector (see processor/detect) a
 * condition without which that detector finds nothing: no tool called twice with the same arguments,
 * no word of refusal, no document that may be old. Where a test fails that concerns one detector
 * alone, that one is doubted: it has to look. Whatever fails another test, is of another kind, or is
 * not understood in all that detectors read is declined by returning None, and is read and looked at
 * in full. So what is said here is never "nothing was found", only "nothing can be found"; what takes
 * the experience of earlier traces (`shapes`, `model_swapped`) is returned for the caller to ask. A
 * test holds this to the detectors.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "_record.h"

#define SPANS 64
#define CHATS 7 /* eight that grow are looked at (loop_subtle.find_growing) */
#define AGENTS 5
#define TURNS 40
#define DEEPEST 32
#define MEMBERS 48
#define CALLS 8
#define SOURCES 256

typedef struct {
    const uint8_t *at, *end;
} In;

/* A text: `high` where it is not all ASCII. */
typedef struct {
    const uint8_t *at;
    Py_ssize_t size;
    int high;
} Text;

/* The detectors that may be doubted, as `Doubt` in processor/detect has them. */
enum {
    EMPTY = 1,
    TERMINOLOGY = 2,
    TRUNCATED = 4,
    REFUSAL = 8,
    PREMATURE = 16,
    BUDGET = 32,
    ASKED_AGAIN = 64,
    GROUNDING = 128,
    STALE = 256,
    FAILED = 1024,
};

enum { PLAIN, CHAT, AGENT, WORKFLOW, TOOL, RETRIEVAL, OTHER };

typedef struct {
    Text name;
    In arguments;
} Call;

typedef struct {
    Text first; /* the last user's message, of inputs; the last assistant's, of outputs */
    int count, calls, texts;
    Text said; /* the only text of an output */
    Call called[CALLS];
    Text turns[TURNS];
    int turn_count;
} Messages;

typedef struct {
    const uint8_t *id, *parent;
    Text name, scope;
    uint64_t start, end;
    int operation, order;
    Text given, answered, reasons_in, input, output, agent, workflow, own_workflow, asked, used;
    Text tool, arguments, result, documents, definitions;
    int has_reasons, messages; /* which of `Look.messages`, or -1 */
    int failed;                /* it says so itself */
    uint64_t exact, loose;     /* of a tool's arguments */
} Span;

typedef struct {
    int loop_calls;
    uint64_t stale_ns, most_ns;
    uint64_t most_tokens;
    uint64_t tokens;
    Span spans[SPANS];
    int count;
    int sorted[SPANS];
    Messages inputs[SPANS], outputs[SPANS];
    uint8_t *scratch, *scratch_end;
    uint8_t *key, *key_end;
    struct {
        Text text;
        int json;
    } sources[SOURCES]; /* what the system had read */
    int source_count;
    unsigned doubts;
} Look;

#define TAKE(condition) \
    do { \
        if (!(condition)) \
            return 0; \
    } while (0)

/* What does not hold is one detector's affair: it has to look, and the others need not. */
#define DOUBT(look, detector, condition) \
    do { \
        if (!(condition)) \
            (look)->doubts |= (detector); \
    } while (0)

/* --- bytes ----------------------------------------------------------------------------------- */

#define EACH 0x0101010101010101ULL

static inline int
is_ascii(const uint8_t *at, Py_ssize_t size)
{
    uint64_t high = 0, eight, last;
    if (size < 16) { /* the last eight bytes may overlap the first */
        if (size >= 8) {
            memcpy(&eight, at, 8);
            memcpy(&last, at + size - 8, 8);
            return !((eight | last) & EACH * 0x80);
        }
        for (; size > 0; size--)
            high |= *at++;
        return !(high & 0x80);
    }
#ifdef __SSE2__
    __m128i many = _mm_loadu_si128((const __m128i *)(at + size - 16));
    for (; size >= 64; at += 64, size -= 64) {
        const __m128i *from = (const __m128i *)at;
        many = _mm_or_si128(many, _mm_or_si128(_mm_or_si128(_mm_loadu_si128(from),
                                                            _mm_loadu_si128(from + 1)),
                                               _mm_or_si128(_mm_loadu_si128(from + 2),
                                                            _mm_loadu_si128(from + 3))));
    }
    for (; size >= 16; at += 16, size -= 16)
        many = _mm_or_si128(many, _mm_loadu_si128((const __m128i *)at));
    return !_mm_movemask_epi8(many);
#else
    for (; size >= 8; at += 8, size -= 8) {
        memcpy(&eight, at, 8);
        high |= eight;
    }
    for (; size > 0; size--)
        high |= *at++;
    return !(high & EACH * 0x80);
#endif
}

/* The character at a place in UTF-8 and how many bytes it has; 0 bytes where it is none. */
static int
character(const uint8_t *at, const uint8_t *end, uint32_t *found)
{
    uint8_t c = *at;
    int more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : 3;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (more == 3 && (c < 0xf0 || c > 0xf4))
        return 0;
    if (end - at <= more)
        return 0;
    uint32_t value = more ? c & (0x3f >> more) : c;
    for (int i = 1; i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3f);
    }
    if (value < least[more] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return 0;
    *found = value;
    return more + 1;
}

static int
is_utf8(const uint8_t *at, Py_ssize_t size)
{
    const uint8_t *end = at + size;
    uint32_t c;
    while (at < end) {
        if (*at < 0x80) {
            at++;
            continue;
        }
        int bytes = character(at, end, &c);
        TAKE(bytes);
        at += bytes;
    }
    return 1;
}

static inline int
is(Text text, const char *word)
{
    if (text.size && text.at[0] != (uint8_t)word[0]) /* spares most words being measured */
        return 0;
    Py_ssize_t size = (Py_ssize_t)strlen(word);
    return text.size == size && !memcmp(text.at, word, (size_t)size);
}

static inline int
begins(Text text, const char *word)
{
    Py_ssize_t size = (Py_ssize_t)strlen(word);
    return text.size >= size && !memcmp(text.at, word, (size_t)size);
}

static inline int
equal(Text one, Text two)
{
    return one.size == two.size && !memcmp(one.at, two.at, (size_t)one.size);
}

static uint8_t lower[256];

static uint32_t
hash_of(const uint8_t *at, Py_ssize_t size)
{
    uint32_t hash = 2166136261u;
    for (; size > 0; size--)
        hash = (hash ^ *at++) * 16777619u;
    return hash ^ hash >> 15;
}

/* --- words of the detectors' patterns -------------------------------------------------------- */

#define PAIRS (1 << 16)

/* `pairs` has the first two characters of each word and those behind the first, as `pair` makes one:
 * in a text that is looked at two characters at a time, one of the two is met where a word stands.
 * `grams` has the first three, as `gram_slot` places them. */
typedef struct {
    const char *words[40]; /* in small letters, of three characters or more */
    uint8_t pairs[PAIRS / 8];
    uint64_t grams[64];
} Hints;

static Hints refused = {{"n't", "not", "unable", "declin", "refus", "violat", "against"}, {0}};
static Hints announced = {{"let me", "i'll", "i will", "going to", "allow me", "moment", "hold",
                           "wait", "bear with", "second"},
                          {0}};
static Hints limited = {{"limit", "max", "budget", "recursion"}, {0}};
static Hints again = {
    {"i already", "i just", "like i said", "not what i", "you did", "you have", "you never",
     "ask again", "asked again", "asking again", "you again", "message again", "question again",
     "still wrong", "still the wrong", "again wrong", "again the wrong", "that's wrong",
     "thats wrong", "that is wrong", "that's incorrect", "thats incorrect", "that is incorrect",
     "that's not", "thats not", "that is not"},
    {0}};
static Hints failing = {
    {"error",   "exception", "traceback", "failed",    "failure",   "could",     "cannot",
     "can't",   "unable",    "timed",     "time out",  "timeout",   "too many",  "rate",
     "quota",   "unavail",   "gateway",   "internal",  "unauthori", "forbidden", "denied",
     "invalid", "not found", "no such",   "unknown",   "refused",   "reset",     "exit",
     "http"},
    {0}};

/* Two characters, with capitals as small letters (and some others as what they are not). */
static inline uint32_t
pair(const uint8_t *at)
{
    return (at[0] | (uint32_t)at[1] << 8) | 0x2020;
}

static inline uint32_t
gram_slot(const uint8_t *at)
{
    uint32_t gram = (at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16) | 0x202020;
    return (gram * 2654435761u) >> 20;
}

static void
prepare(Hints *hints)
{
    for (int i = 0; hints->words[i]; i++) {
        const uint8_t *word = (const uint8_t *)hints->words[i];
        for (int from = 0; from < 2; from++) {
            uint32_t met = pair(word + from);
            hints->pairs[met >> 3] |= (uint8_t)(1 << (met & 7));
        }
        uint32_t slot = gram_slot(word);
        hints->grams[slot >> 6] |= 1ULL << (slot & 63);
    }
}

static int
stands_at(const Hints *hints, const uint8_t *at, const uint8_t *end)
{
    if (end - at < 3)
        return 0;
    uint32_t slot = gram_slot(at);
    if (!(hints->grams[slot >> 6] >> (slot & 63) & 1))
        return 0;
    for (int i = 0; hints->words[i]; i++) {
        const char *word = hints->words[i];
        const uint8_t *here = at;
        while (*word && here < end && lower[*here] == (uint8_t)*word)
            word++, here++;
        if (!*word)
            return 1;
    }
    return 0;
}

/* Whether one of the words is in a text, whatever the case of its letters. */
static int
any_of(const Hints *hints, const uint8_t *at, const uint8_t *end)
{
    for (const uint8_t *here = at; end - here >= 2; here += 2) {
        uint32_t met = pair(here);
        if (hints->pairs[met >> 3] >> (met & 7) & 1 &&
            (stands_at(hints, here, end) || (here > at && stands_at(hints, here - 1, end))))
            return 1;
    }
    return 0;
}

/* Whether a text has no character whose case, class or sense ASCII words could depend on: digits of
 * other scripts, letters that fold to ASCII, quotation marks, curly apostrophes. */
static int
is_tame(Text text)
{
    if (!text.high)
        return 1;
    const uint8_t *at = text.at, *end = at + text.size;
    while (at < end) {
        uint32_t c;
        if (*at < 0x80) {
            at++;
            continue;
        }
        int bytes = character(at, end, &c);
        TAKE(bytes);
        int good = (c >= 0xa1 && c < 0x250 && c != 0x130 && c != 0x131 && c != 0x17f) ||
                   (c >= 0x2010 && c < 0x2028 && !(c >= 0x2018 && c <= 0x201f)) || c == 0x20ac ||
                   (c >= 0x3040 && c < 0x3100) || (c >= 0x4e00 && c < 0xa000) ||
                   (c >= 0x1f300 && c < 0x1fb00);
        TAKE(good);
        at += bytes;
    }
    return 1;
}

/* The first or last so many characters, or more where they are not all ASCII. */
static Text
head(Text text, Py_ssize_t characters)
{
    Py_ssize_t most = text.high ? 4 * characters : characters;
    if (text.size > most)
        text.size = most;
    return text;
}

static Text
tail(Text text, Py_ssize_t characters)
{
    Py_ssize_t most = text.high ? 4 * characters : characters;
    if (text.size > most) {
        text.at += text.size - most;
        text.size = most;
    }
    return text;
}

/* --- JSON ------------------------------------------------------------------------------------ */

static inline void
space(In *from)
{
    while (from->at < from->end &&
           (*from->at == ' ' || *from->at == '\n' || *from->at == '\t' || *from->at == '\r'))
        from->at++;
}

static inline int
take(In *from, uint8_t wanted)
{
    space(from);
    if (from->at == from->end || *from->at != wanted)
        return 0;
    from->at++;
    return 1;
}

static inline uint8_t
next(In *from)
{
    space(from);
    return from->at < from->end ? *from->at : 0;
}

/* The first quotation mark, backslash or control character, or not far from it the end. */
static inline const uint8_t *
skip_plain(const uint8_t *at, const uint8_t *end, uint64_t *high)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1f);
    for (; end - at >= 16; at += 16) {
        __m128i some = _mm_loadu_si128((const __m128i *)at);
        __m128i odd = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(some, quote),
                                                _mm_cmpeq_epi8(some, slash)),
                                   _mm_cmpeq_epi8(_mm_min_epu8(some, control), some));
        unsigned where = (unsigned)_mm_movemask_epi8(odd);
        unsigned above = (unsigned)_mm_movemask_epi8(some);
        if (where) {
            int first = __builtin_ctz(where);
            *high |= above & ((1u << first) - 1) ? 0x80 : 0;
            return at + first;
        }
        *high |= above ? 0x80 : 0;
    }
#else
    for (uint64_t eight; end - at >= 8; at += 8) {
        memcpy(&eight, at, 8);
        uint64_t quotes = eight ^ EACH * '"', slashes = eight ^ EACH * '\\';
        uint64_t odd = ((quotes - EACH) & ~quotes) | ((slashes - EACH) & ~slashes) |
                       ((eight - EACH * 0x20) & ~eight);
        if (odd & EACH * 0x80)
            break;
        *high |= eight;
    }
#endif
    return at;
}

static int
hex(const uint8_t *at, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = lower[at[i]];
        TAKE((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
        *value = *value << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return 1;
}

/* A text, after its quotation mark was taken; escapes are replaced in the scratch space. */
static int
text_of(Look *look, In *from, Text *found)
{
    uint64_t high = 0;
    const uint8_t *at = from->at;
    uint8_t *into = NULL;
    found->at = at;
    for (;;) {
        const uint8_t *begin = at;
        at = skip_plain(at, from->end, &high);
        while (at < from->end && *at != '"' && *at != '\\' && *at >= 0x20)
            high |= *at++;
        TAKE(at < from->end && *at >= 0x20);
        if (*at == '\\' && !into)
            found->at = into = look->scratch, begin = from->at;
        if (into) {
            TAKE(look->scratch_end - into >= at - begin + 4);
            memcpy(into, begin, (size_t)(at - begin));
            into += at - begin;
        }
        if (*at == '"')
            break;
        TAKE(from->end - at >= 2);
        uint8_t c = at[1];
        at += 2;
        switch (c) {
        case '"': case '\\': case '/': *into++ = c; break;
        case 'b': *into++ = '\b'; break;
        case 'f': *into++ = '\f'; break;
        case 'n': *into++ = '\n'; break;
        case 'r': *into++ = '\r'; break;
        case 't': *into++ = '\t'; break;
        case 'u': {
            uint32_t value;
            TAKE(from->end - at >= 4 && hex(at, &value));
            at += 4;
            TAKE(value < 0xd800 || value >= 0xe000);
            if (value < 0x80) {
                *into++ = (uint8_t)value;
            } else if (value < 0x800) {
                *into++ = (uint8_t)(0xc0 | value >> 6);
                *into++ = (uint8_t)(0x80 | (value & 0x3f));
            } else {
                *into++ = (uint8_t)(0xe0 | value >> 12);
                *into++ = (uint8_t)(0x80 | (value >> 6 & 0x3f));
                *into++ = (uint8_t)(0x80 | (value & 0x3f));
            }
            high |= value >= 0x80 ? 0x80 : 0;
            break;
        }
        default: return 0;
        }
    }
    found->size = into ? into - found->at : at - found->at;
    found->high = (high & EACH * 0x80) != 0;
    if (into)
        look->scratch = into;
    from->at = at + 1;
    return 1;
}

static int value_of(Look *look, In *from, int depth);

/* The next member's name; 0 at the end of the object, -1 where there is none to read. */
static int
member(Look *look, In *from, int *many, Text *name)
{
    if (!*many && take(from, '}'))
        return 0;
    if (*many && !take(from, ',')) {
        return take(from, '}') ? 0 : -1;
    }
    (*many)++;
    if (!take(from, '"') || !text_of(look, from, name) || !take(from, ':'))
        return -1;
    space(from);
    return 1;
}

/* The next element; 0 at the end of the list, -1 where there is none. */
static int
element(In *from, int *many)
{
    if (!*many && take(from, ']'))
        return 0;
    if (*many && !take(from, ','))
        return take(from, ']') ? 0 : -1;
    (*many)++;
    space(from);
    return 1;
}

static int
word(In *from, const char *wanted)
{
    Py_ssize_t size = (Py_ssize_t)strlen(wanted);
    TAKE(from->end - from->at >= size && !memcmp(from->at, wanted, (size_t)size));
    from->at += size;
    return 1;
}

/* A number of at most fifteen digits and without an exponent: others may not fit. */
static int
number_of(In *from, int *whole)
{
    int digits = 0;
    if (from->at < from->end && *from->at == '-')
        from->at++;
    const uint8_t *begin = from->at;
    while (from->at < from->end && *from->at >= '0' && *from->at <= '9')
        from->at++, digits++;
    TAKE(digits && (digits == 1 || *begin != '0'));
    *whole = 1;
    if (from->at < from->end && *from->at == '.') {
        int after = 0;
        from->at++;
        while (from->at < from->end && *from->at >= '0' && *from->at <= '9')
            from->at++, after++;
        TAKE(after);
        digits += after;
        *whole = 0;
    }
    TAKE(from->at == from->end || (*from->at != 'e' && *from->at != 'E'));
    return digits <= 15;
}

static int
object_of(Look *look, In *from, int depth)
{
    uint32_t names[MEMBERS];
    int many = 0, more;
    Text name;
    while ((more = member(look, from, &many, &name)) > 0) {
        TAKE(many <= MEMBERS);
        names[many - 1] = hash_of(name.at, name.size);
        for (int i = 0; i < many - 1; i++)
            TAKE(names[i] != names[many - 1]); /* which of two of a name counts is not asked here */
        TAKE(value_of(look, from, depth));
    }
    return !more;
}

/* Any value, of which nothing is wanted but that it is JSON. */
static int
value_of(Look *look, In *from, int depth)
{
    TAKE(depth < DEEPEST);
    int many = 0, more, whole;
    Text text;
    uint8_t *scratch = look->scratch;
    switch (next(from)) {
    case '"':
        from->at++;
        TAKE(text_of(look, from, &text));
        look->scratch = scratch;
        return 1;
    case '{': from->at++; return object_of(look, from, depth + 1);
    case '[':
        from->at++;
        while ((more = element(from, &many)) > 0)
            TAKE(value_of(look, from, depth + 1));
        return !more;
    case 't': return word(from, "true");
    case 'f': return word(from, "false");
    case 'n': return word(from, "null");
    default: return number_of(from, &whole);
    }
}

static int
is_over(In *from)
{
    space(from);
    return from->at == from->end;
}

/* --- messages -------------------------------------------------------------------------------- */

enum { SYSTEM, USER, ASSISTANT, ROLE_TOOL };

static int
finish_of(Look *look, Text reason)
{
    int cut = is(reason, "length");
    DOUBT(look, TRUNCATED, !cut);
    return cut || !reason.size || is(reason, "stop") || is(reason, "tool_calls") ||
           is(reason, "tool_call") || is(reason, "end_turn") || is(reason, "tool_use");
}

/* A member that is a text or null. */
static int
text_or_null(Look *look, In *from, Text *found)
{
    found->size = 0;
    if (next(from) == 'n')
        return word(from, "null");
    TAKE(take(from, '"'));
    return text_of(look, from, found);
}

typedef struct {
    int role, calls, responses, parts, texts;
    Text text;
} Message;

static int is_known_tool(const Look *look, Text name);

enum { SEEN_TYPE = 1, SEEN_CONTENT = 2, SEEN_NAME = 4, SEEN_ID = 8, SEEN_MORE = 16, SEEN_LAST = 32 };

static int
part_of(Look *look, In *from, Message *message, Call *call)
{
    int many = 0, more, seen = 0;
    Text name, type = {0}, content = {0}, called = {0}, other;
    call->arguments.at = call->arguments.end = NULL;
    TAKE(take(from, '{'));
    while ((more = member(look, from, &many, &name)) > 0) {
        int which;
        if (is(name, "type")) {
            which = SEEN_TYPE;
            TAKE(take(from, '"') && text_of(look, from, &type));
        } else if (is(name, "content")) {
            which = SEEN_CONTENT;
            TAKE(take(from, '"') && text_of(look, from, &content));
        } else if (is(name, "name")) {
            which = SEEN_NAME;
            TAKE(text_or_null(look, from, &called));
        } else if (is(name, "id")) {
            which = SEEN_ID;
            TAKE(text_or_null(look, from, &other));
        } else if (is(name, "arguments")) {
            which = SEEN_MORE;
            TAKE(next(from) != '"'); /* a text that may be JSON again */
            call->arguments.at = from->at;
            TAKE(value_of(look, from, 2));
            call->arguments.end = from->at;
        } else if (is(name, "response")) {
            which = SEEN_LAST;
            TAKE(value_of(look, from, 2));
        } else {
            return 0;
        }
        TAKE(!(seen & which));
        seen |= which;
    }
    TAKE(!more && seen & SEEN_TYPE);
    message->parts++;
    if (is(type, "text")) {
        TAKE(seen == (SEEN_TYPE | SEEN_CONTENT));
        TAKE(!message->texts++);
        message->text = content;
    } else if (is(type, "reasoning")) {
        TAKE(seen == (SEEN_TYPE | SEEN_CONTENT));
    } else if (is(type, "tool_call")) {
        TAKE(seen & SEEN_NAME && !(seen & (SEEN_CONTENT | SEEN_LAST)) && called.size);
        message->calls++;
        call->name = called;
    } else {
        TAKE(is(type, "tool_call_response") && !(seen & (SEEN_CONTENT | SEEN_MORE)));
        message->responses++;
    }
    return 1;
}

/* A list of messages in the conventions' shape. `out`: they are the model's. */
static int
messages_of(Look *look, Text given, Messages *found, int out)
{
    In from = {given.at, given.at + given.size};
    int many = 0, more, answered = 1;
    memset(found, 0, offsetof(Messages, called));
    found->turn_count = 0;
    TAKE(take(&from, '['));
    while ((more = element(&from, &many)) > 0) {
        int members = 0, inner, seen = 0;
        Message message = {0};
        Text name, role = {0}, reason = {0}, other;
        TAKE(take(&from, '{'));
        while ((inner = member(look, &from, &members, &name)) > 0) {
            int which;
            if (is(name, "role")) {
                which = SEEN_TYPE;
                TAKE(take(&from, '"') && text_of(look, &from, &role));
            } else if (is(name, "parts")) {
                which = SEEN_CONTENT;
                int parts = 0, again_;
                TAKE(take(&from, '['));
                while ((again_ = element(&from, &parts)) > 0) {
                    Call call = {{0}, {0}};
                    TAKE(part_of(look, &from, &message, &call));
                    if (out && call.name.size) {
                        TAKE(is_known_tool(look, call.name) && found->calls < CALLS);
                        found->called[found->calls++] = call;
                    }
                }
                TAKE(!again_);
            } else if (is(name, "finish_reason")) {
                which = SEEN_NAME;
                TAKE(text_or_null(look, &from, &reason));
            } else if (is(name, "name")) {
                which = SEEN_ID;
                TAKE(text_or_null(look, &from, &other));
            } else {
                return 0;
            }
            TAKE(!(seen & which));
            seen |= which;
        }
        TAKE(!inner && (seen & 3) == 3);
        if (is(role, "user"))
            message.role = USER;
        else if (is(role, "assistant"))
            message.role = ASSISTANT;
        else if (is(role, "system"))
            message.role = SYSTEM;
        else if (is(role, "tool"))
            message.role = ROLE_TOOL;
        else
            return 0;
        if (message.role == ROLE_TOOL)
            TAKE(message.responses);
        if (message.role == USER && message.responses && message.responses == message.parts)
            message.role = ROLE_TOOL;
        if (out)
            TAKE(message.role == ASSISTANT && finish_of(look, reason));
        found->count++;
        found->texts += message.text.size > 0;
        if (message.text.size && message.role == (out ? ASSISTANT : USER))
            found->first = message.text;
        if (out)
            found->said = message.text;
        if (!answered) {
            answered = message.role == ASSISTANT && message.text.size;
        } else if (!out && message.role == USER && message.text.size) {
            TAKE(found->turn_count < TURNS);
            found->turns[found->turn_count++] = message.text;
            answered = 0;
        }
    }
    TAKE(!more && is_over(&from));
    return !out || found->count == 1;
}

/* --- payloads of our own: what went into the request and what came out ----------------------- */

static const char *const asking[] = {"question", "query",   "user_input", "user_message",
                                     "user_prompt", "message", "prompt",  "input",
                                     "text",     "request", "content",    NULL};
static const char *const answering[] = {"answer", "output", "response", "final_output",
                                        "final_answer", "reply", "result", "message",
                                        "content", "text", "completion", NULL};

/* The telling text of a payload (`summary._said`), where its first telling member is one. */
static int
said(Look *look, Text payload, const char *const *names, Text *found)
{
    In from = {payload.at, payload.at + payload.size};
    uint8_t begin = payload.size ? payload.at[0] : 0;
    if (begin == '"') {
        from.at++;
        return text_of(look, &from, found) && from.at == from.end && found->size;
    }
    if (begin != '{') {
        *found = payload;
        return begin && begin != '[';
    }
    int many = 0, more, best = 99;
    uint32_t hashes[MEMBERS];
    Text name, text;
    from.at++;
    while ((more = member(look, &from, &many, &name)) > 0) {
        TAKE(many <= MEMBERS && !is(name, "messages"));
        hashes[many - 1] = hash_of(name.at, name.size);
        for (int i = 0; i < many - 1; i++)
            TAKE(hashes[i] != hashes[many - 1]);
        int which = 0;
        while (names[which] && !is(name, names[which]))
            which++;
        if (!names[which]) {
            TAKE(value_of(look, &from, 1));
            continue;
        }
        TAKE(take(&from, '"') && text_of(look, &from, &text));
        if (text.size && which < best) {
            best = which;
            *found = text;
        }
    }
    return !more && is_over(&from) && best < 99;
}

/* --- tools' arguments and results ------------------------------------------------------------ */

static uint64_t random_of[256];

/* Notes a text that the system had read, in which an answer's numbers and names may stand. */
static void
read_by_system(Look *look, Text text, int json)
{
    if (look->source_count < SOURCES && text.size)
        look->sources[look->source_count].text = text, look->sources[look->source_count++].json = json;
}

/* Sums that are equal where two calls' arguments are equal in whatever order (`exact`), or in
 * letters and digits alone (`loose`). Texts with escapes and long ones are declined. */
static int
sums_of(Look *look, Span *span)
{
    Text given = span->arguments;
    span->exact = span->loose = 0;
    if (!given.at)
        return 1;
    In from = {given.at, given.at + given.size};
    TAKE(given.size < 4000 && !given.high && !memchr(given.at, '\\', (size_t)given.size));
    TAKE(next(&from) == '{' && value_of(look, &from, 0) && is_over(&from));
    int inside = 0;
    uint64_t exact = 0, loose = 0;
    for (Py_ssize_t i = 0; i < given.size; i++) {
        uint8_t c = given.at[i];
        if (c == '"')
            inside = !inside;
        TAKE(inside || (c != '.' && c != '-')); /* 1.0 and 1.00 are the same number, 0 and -0 too */
        if (inside || (c != ' ' && c != '\n' && c != '\t' && c != '\r'))
            exact += random_of[c];
        c = lower[c];
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            loose += random_of[c];
    }
    span->exact = exact, span->loose = loose;
    if (given.size < 8) { /* {} and no arguments are the same */
        In empty = {given.at, given.at + given.size};
        if (take(&empty, '{') && next(&empty) == '}')
            span->exact = span->loose = 0;
    }
    return 1;
}

static int
put(Look *look, const void *bytes, Py_ssize_t size)
{
    TAKE(look->key_end - look->key >= size);
    memcpy(look->key, bytes, (size_t)size);
    look->key += size;
    return 1;
}

static int
put_text(Look *look, const char *text)
{
    return put(look, text, (Py_ssize_t)strlen(text));
}

/* A name that may stand in the key: short, and without control characters. */
static int
put_name(Look *look, Text name, Py_ssize_t most)
{
    TAKE(name.size && name.size <= most);
    for (Py_ssize_t i = 0; i < name.size; i++)
        TAKE(name.at[i] >= 0x20 && name.at[i] != 0x7f);
    return put(look, name.at, name.size);
}

static const char *const bad_members[] = {"error",        "errors",  "exception", "error_message",
                                          "errorMessage", "err",     "isError",   "is_error",
                                          NULL};
static const char *const told_members[] = {"status",   "state",        "result",  "decision",
                                           "availability", "outcome",  "status_code", "statusCode",
                                           "code",     "http_status",  NULL};
static const char *const bad_states[] = {
    "error",        "failed",      "failure",     "fail",      "exception", "timeout",
    "denied",       "rejected",    "declined",    "refused",   "not_approved", "ineligible",
    "cancelled",    "canceled",    "terminated",  "closed",    "out_of_stock", "unavailable",
    "sold_out",     "sold out",    "out of stock", "pending",  "processing", "not_shipped",
    "preparing",    "queued",      "expired",     "inactive",  "disabled",  "suspended",
    "invalid",      "blocked",     NULL};

static int
is_in(Text text, const char *const *words)
{
    for (; *words; words++) {
        if (text.size && lower[text.at[0]] != (uint8_t)(*words)[0])
            continue;
        Py_ssize_t size = (Py_ssize_t)strlen(*words), i = 0;
        if (text.size != size)
            continue;
        while (i < size && lower[text.at[i]] == (uint8_t)(*words)[i])
            i++;
        if (i == size)
            return 1;
    }
    return 0;
}

/* A member's value: its kind for the shape, or NULL where it may tell of a failure. */
static const char *
member_kind(Look *look, In *from, Text name, int *inner, int *empty_lists)
{
    int whole, telling = is_in(name, told_members);
    Text text;
    In peek;
    switch (next(from)) {
    case '"':
        from->at++;
        if (!text_of(look, from, &text))
            return NULL;
        if (is(name, "message") || is(name, "detail"))
            *inner |= 1;
        if (is(name, "success") || is(name, "ok"))
            return NULL;
        if (is(name, "type") && (is(text, "text") || is(text, "json")))
            return NULL; /* a part around the result */
        if (telling && (text.high || !text.size || text.at[0] < 'A' || is_in(text, bad_states)))
            return NULL;
        return "text";
    case 't': return word(from, "true") ? "truth" : NULL;
    case 'f':
        if (is(name, "success") || is(name, "ok"))
            return NULL;
        return word(from, "false") ? "truth" : NULL;
    case 'n': return word(from, "null") ? "nothing" : NULL;
    case '{': return value_of(look, from, 1) ? "object" : NULL;
    case '[':
        peek.at = from->at + 1, peek.end = from->end;
        *empty_lists += next(&peek) == ']';
        return value_of(look, from, 1) ? "list" : NULL;
    default: {
        const uint8_t *begin = from->at;
        if (!number_of(from, &whole))
            return NULL;
        if (telling && (!whole || (from->at - begin == 3 && (*begin == '4' || *begin == '5'))))
            return NULL;
        return "number";
    }
    }
}

/* An object that a tool gave: nothing in it tells of a failure. With `key`, its shape is put there. */
static int
result_object(Look *look, In *from, int key)
{
    int many = 0, more, inner = 0, lists = 0, wrapped = 0, numbered = 0;
    uint32_t hashes[MEMBERS];
    Text name;
    TAKE(take(from, '{'));
    if (key)
        TAKE(put_text(look, "\x1fobject"));
    uint8_t *after = look->key;
    while ((more = member(look, from, &many, &name)) > 0) {
        TAKE(many <= MEMBERS && !name.high && name.size <= 100 && !is_in(name, bad_members));
        hashes[many - 1] = hash_of(name.at, name.size);
        for (int i = 0; i < many - 1; i++)
            TAKE(hashes[i] != hashes[many - 1]);
        wrapped |= is(name, "response") || is(name, "result") || is(name, "content");
        for (Py_ssize_t i = 0; i < name.size; i++)
            numbered |= name.at[i] >= '0' && name.at[i] <= '9';
        const char *kind = member_kind(look, from, name, &inner, &lists);
        TAKE(kind);
        if (key)
            TAKE(put_text(look, "\x1f") && put_name(look, name, 100) && put_text(look, ":") &&
                 put_text(look, kind));
    }
    TAKE(!more && many); /* {} is a search that found nothing */
    TAKE(!(many <= 4 && (wrapped || lists)) && !(many <= 2 && inner));
    if (key && (many > 24 || numbered)) {
        look->key = after;
        TAKE(put_text(look, "\x1f*"));
    }
    return 1;
}

static const char *
kind_here(In *from)
{
    switch (next(from)) {
    case '"': return "text";
    case 't': case 'f': return "truth";
    case 'n': return "nothing";
    case '{': return "object";
    case '[': return "list";
    default: return "number";
    }
}

/* What a tool gave: a result, not a failure; its shape is put into the key. */
static int
result_of(Look *look, Text given)
{
    In from = {given.at, given.at + given.size};
    uint8_t begin = given.size ? given.at[0] : 0;
    TAKE(begin && begin != '"');
    if (begin == '{')
        return result_object(look, &from, 1) && is_over(&from);
    if (begin == '[') {
        int many = 0, more, kinds = 0;
        static const char *const all[] = {"list", "nothing", "number", "object", "text", "truth"};
        from.at++;
        while ((more = element(&from, &many)) > 0) {
            const char *kind = kind_here(&from);
            if (many <= 50)
                for (int i = 0; i < 6; i++)
                    kinds |= !strcmp(all[i], kind) << i;
            if (*kind == 'o')
                TAKE(result_object(look, &from, 0));
            else
                TAKE(value_of(look, &from, 1));
        }
        TAKE(!more && is_over(&from) && (many > 1 || (many == 1 && kinds == 1 << 3)));
        TAKE(put_text(look, "\x1flist"));
        for (int i = 0; i < 6; i++)
            if (kinds >> i & 1)
                TAKE(put_text(look, "\x1f") && put_text(look, all[i]));
        return 1;
    }
    /* A plain text: a failure shows in its first words (`failure._STARTS`). */
    Text first = {given.at, given.size < 160 ? given.size : 160, given.high};
    TAKE(!is(given, "null"));
    TAKE(is_ascii(first.at, first.size));
    const uint8_t *at = first.at, *end = at + first.size;
    while (at < end && (*at <= ' ' || strchr("\"'[({<", *at)))
        at++;
    TAKE(at - first.at < 64 && at < end && !(*at >= '0' && *at <= '9'));
    TAKE(!any_of(&failing, at, end));
    return put_text(look, "\x1ftext");
}

/* --- documents ------------------------------------------------------------------------------- */

/* Days since 1970 of a date that begins as ISO 8601 has it. */
static int
day_of(Text text, int64_t *days)
{
    TAKE(text.size >= 10 && text.size <= 40 && text.at[4] == '-' && text.at[7] == '-');
    static const int places[] = {0, 1, 2, 3, 5, 6, 8, 9};
    for (int i = 0; i < 8; i++)
        TAKE(text.at[places[i]] >= '0' && text.at[places[i]] <= '9');
#define DIGIT(i) (text.at[i] - '0')
    int64_t year = 1000 * DIGIT(0) + 100 * DIGIT(1) + 10 * DIGIT(2) + DIGIT(3);
    int64_t month = 10 * DIGIT(5) + DIGIT(6), day = 10 * DIGIT(8) + DIGIT(9);
#undef DIGIT
    TAKE(month >= 1 && month <= 12 && day >= 1 && day <= 31);
    /* Days from civil, by Howard Hinnant's algorithm: years begin in March. */
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    *days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    return 1;
}

#define DOCUMENTS 64

typedef struct {
    Text texts[2 * DOCUMENTS];
    int count, documents;
    Py_ssize_t size;
} Documents;

/* Documents in the conventions' shape: some, of which none may be out of date. */
static int
documents_of(Look *look, const Span *span, Documents *found)
{
    In from = {span->documents.at, span->documents.at + span->documents.size};
    int many = 0, more;
    found->count = found->documents = 0;
    found->size = 0;
    TAKE(take(&from, '['));
    while ((more = element(&from, &many)) > 0) {
        int members = 0, inner, seen = 0, whole, telling = 0;
        Text name, text, updated = {0}, indexed = {0};
        static const char *const names[] = {"id",     "content",    "title",      "source",
                                            "indexed_at", "updated_at", "superseded_by", NULL};
        TAKE(many <= DOCUMENTS && take(&from, '{'));
        while ((inner = member(look, &from, &members, &name)) > 0) {
            if (is(name, "score")) {
                TAKE(!(seen & 1 << 8));
                seen |= 1 << 8;
                TAKE(next(&from) == 'n' ? word(&from, "null") : number_of(&from, &whole));
                continue;
            }
            int which = 0;
            while (names[which] && !is(name, names[which]))
                which++;
            TAKE(names[which] && !(seen & 1 << which));
            seen |= 1 << which;
            TAKE(text_or_null(look, &from, &text));
            telling |= which < 4 && text.size;
            if (which < 4)
                read_by_system(look, text, 0);
            if (which == 1 || which == 2) {
                found->texts[found->count++] = text;
                found->size += text.size + 1;
            } else if (which == 4) {
                indexed = text;
            } else if (which == 5) {
                updated = text;
            } else if (which == 6) {
                DOUBT(look, STALE, !text.size);
            }
        }
        TAKE(!inner && telling);
        Text told = updated.size ? updated : indexed;
        if (told.size) {
            int64_t days, margin = 2;
            TAKE(day_of(told, &days));
            int64_t at = (int64_t)(span->start / 86400000000000ULL);
            DOUBT(look, STALE, days + (int64_t)(look->stale_ns / 86400000000000ULL) >= at + margin);
        }
    }
    found->documents = many;
    DOUBT(look, EMPTY, many);
    return !more && is_over(&from);
}

/* --- words that no document knows (`terminology`) -------------------------------------------- */

#define ASKED 256
#define USUAL 1024

static uint8_t usual_words[USUAL][16];
static int usual_ready;

static uint32_t
usual_slot(const uint8_t *word, Py_ssize_t size)
{
    uint32_t slot = hash_of(word, size) & (USUAL - 1);
    while (usual_words[slot][0] &&
           !(usual_words[slot][0] == size && !memcmp(usual_words[slot] + 1, word, (size_t)size)))
        slot = (slot + 1) & (USUAL - 1);
    return slot;
}

typedef struct {
    uint8_t word[64];
    int size, found, next;
} Asked;

static inline uint32_t
four(const uint8_t *at)
{
    return lower[at[0]] | lower[at[1]] << 8 | lower[at[2]] << 16 | (uint32_t)lower[at[3]] << 24;
}

static inline uint32_t
bucket(uint32_t gram)
{
    return (gram * 2654435761u) >> 24;
}

static int
knows_the_words(Text request, const Documents *documents)
{
    static Asked asked[ASKED]; /* the interpreter's lock guards them */
    static uint8_t met[PAIRS / 8];
    int count = 0, unknown;
    TAKE(!request.high && usual_ready && documents->size < 40000);
    Py_ssize_t size = request.size < 2000 ? request.size : 2000, at = 0;
    while (at < size) {
        Py_ssize_t begin = at;
        while (at < size && lower[request.at[at]] >= 'a' && lower[request.at[at]] <= 'z')
            at++;
        Py_ssize_t length = at - begin;
        if (!length)
            at++;
        if (length < 4)
            continue;
        TAKE(length <= 64 && count < ASKED);
        Asked *one = &asked[count];
        for (Py_ssize_t i = 0; i < length; i++)
            one->word[i] = lower[request.at[begin + i]];
        one->size = (int)length, one->found = 0;
        if (length < 16 && usual_words[usual_slot(one->word, length)][0])
            continue;
        int known = 0;
        for (int i = 0; i < count && !known; i++)
            known = asked[i].size == one->size && !memcmp(asked[i].word, one->word, (size_t)length);
        count += !known;
    }
    int16_t heads[256];
    memset(heads, -1, sizeof heads);
    memset(met, 0, sizeof met);
    for (int i = 0; i < count; i++) {
        uint32_t slot = bucket(four(asked[i].word));
        asked[i].next = heads[slot];
        heads[slot] = (int16_t)i;
        for (int from = 0; from < 2; from++) {
            uint32_t two = pair(asked[i].word + from);
            met[two >> 3] |= (uint8_t)(1 << (two & 7));
        }
    }
    unknown = count;
    for (int n = 0; n < documents->count; n++) {
        const uint8_t *text = documents->texts[n].at, *end = text + documents->texts[n].size;
        for (const uint8_t *at = text; end - at >= 2; at += 2) { /* as in `any_of` */
            uint32_t two = pair(at);
            if (!(met[two >> 3] >> (two & 7) & 1))
                continue;
            for (const uint8_t *word = at > text ? at - 1 : at; word <= at; word++) {
                if (end - word < 4)
                    continue;
                uint32_t gram = four(word);
                for (int one = heads[bucket(gram)]; one >= 0; one = asked[one].next)
                    if (!asked[one].found && four(asked[one].word) == gram &&
                        (asked[one].size < 5 ||
                         (end - word >= 5 && lower[word[4]] == asked[one].word[4]))) {
                        asked[one].found = 1, unknown--;
                        if (unknown < 2 || unknown < 0.6 * count) /* `terminology`'s share */
                            return 1;
                    }
            }
        }
    }
    return unknown < 2 || unknown < 0.6 * count;
}

/* --- the user asks again (`asked_again`) ----------------------------------------------------- */

#define WORDS 512
#define SLOTS 2048

typedef struct {
    uint16_t slots[SLOTS];
    uint32_t hashes[WORDS];
    const uint8_t *at[WORDS];
    uint16_t size[WORDS];
    uint8_t met[WORDS];
    int count;
} Words;

/* A text's first thousand characters in small letters; declined where that takes all of Unicode. */
static int
small(Text text, uint8_t *into)
{
    Py_ssize_t size = text.size < 1000 ? text.size : 1000;
    TAKE(!text.high);
    for (Py_ssize_t i = 0; i < size; i++)
        into[i] = lower[text.at[i]];
    return (int)size + 1;
}

static uint8_t word_ends[256];

static inline int
parts_words(uint8_t c)
{
    return word_ends[c];
}

static int
next_word(const uint8_t **at, const uint8_t *end, const uint8_t **word, uint32_t *hash)
{
    while (*at < end && parts_words(**at))
        ++*at;
    *word = *at;
    uint32_t h = 2166136261u;
    while (*at < end && !parts_words(**at))
        h = (h ^ *(*at)++) * 16777619u;
    *hash = h ^ h >> 15;
    return *at > *word;
}

/* The place of a word; its slot is empty where it is new. */
static uint32_t
slot_of(const Words *words, const uint8_t *word, Py_ssize_t size, uint32_t hash)
{
    uint32_t slot = hash & (SLOTS - 1);
    while (words->slots[slot]) {
        int i = words->slots[slot] - 1;
        if (words->hashes[i] == hash && words->size[i] == size &&
            !memcmp(words->at[i], word, (size_t)size))
            break;
        slot = (slot + 1) & (SLOTS - 1);
    }
    return slot;
}

static void
add_word(Words *words, uint32_t slot, const uint8_t *word, Py_ssize_t size, uint32_t hash)
{
    int i = words->count++;
    words->hashes[i] = hash, words->at[i] = word, words->size[i] = (uint16_t)size;
    words->slots[slot] = (uint16_t)(i + 1);
}

/* Whether two texts may be alike: six of ten different words in common, and three of them. */
static int
may_be_alike(const uint8_t *one, int one_size, const uint8_t *two, int two_size)
{
    static Words words;
    const uint8_t *word, *end = one + one_size;
    uint32_t hash;
    memset(words.slots, 0, sizeof words.slots);
    words.count = 0;
    while (next_word(&one, end, &word, &hash)) {
        uint32_t slot = slot_of(&words, word, one - word, hash);
        if (!words.slots[slot])
            add_word(&words, slot, word, one - word, hash);
    }
    int first = words.count, both = 0;
    if (first < 3)
        return 0;
    memset(words.met, 0, (size_t)first);
    end = two + two_size;
    while (next_word(&two, end, &word, &hash)) {
        uint32_t slot = slot_of(&words, word, two - word, hash);
        int i = words.slots[slot] - 1;
        if (i < 0) {
            if (words.count == WORDS)
                return 1;
            add_word(&words, slot, word, two - word, hash);
            if (first < 0.6 * words.count) /* even if all of the first come yet */
                return 0;
        } else if (i < first && !words.met[i]) {
            words.met[i] = 1;
            both++;
        }
    }
    int second = words.count - first + both;
    return second >= 3 && both >= 0.6 * (first + second - both);
}

static int
asks_nothing_again(Look *look, const int *chats, int count)
{
    static uint8_t texts[TURNS][1000];
    int sizes[TURNS];
    const Messages *longest = NULL;
    for (int i = count > 3 ? count - 3 : 0; i < count; i++) {
        int which = look->spans[chats[i]].messages;
        if (which < 0)
            continue;
        const Messages *one = &look->inputs[which];
        if (!longest || one->count > longest->count)
            longest = one;
    }
    if (!longest || longest->turn_count < 2)
        return 1;
    int first = look->spans[chats[0]].messages;
    int before = first < 0 ? 0 : look->inputs[first].turn_count;
    int from = before - 1 > 1 ? before - 1 : 1;
    for (int i = 0; from < longest->turn_count && i < longest->turn_count; i++) {
        int size = small(longest->turns[i], texts[i]);
        TAKE(size);
        sizes[i] = size - 1;
        if (i < from)
            continue;
        TAKE(!any_of(&again, texts[i], texts[i] + sizes[i]));
        for (int j = 0; j < i; j++) {
            int less = sizes[j] < sizes[i] ? j : i, more = i + j - less;
            TAKE(!may_be_alike(texts[less], sizes[less], texts[more], sizes[more]));
        }
    }
    return 1;
}

/* --- spans ----------------------------------------------------------------------------------- */

static int
varint(In *from, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        TAKE(from->at < from->end);
        uint8_t c = *from->at++;
        *value |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80)
            return shift < 63 || c < 2;
    }
    return 0;
}

static inline int
field(In *from, In *inner)
{
    uint64_t size;
    if (from->end - from->at >= 2 && from->at[0] < 0x80) { /* mostly one byte says it, or two */
        size = *from->at++;
    } else if (from->end - from->at >= 2 && from->at[1] < 0x80) {
        size = (uint64_t)(from->at[0] & 0x7f) | (uint64_t)from->at[1] << 7;
        from->at += 2;
    } else {
        TAKE(varint(from, &size));
    }
    TAKE(size <= (uint64_t)(from->end - from->at));
    inner->at = from->at;
    inner->end = from->at += size;
    return 1;
}

static int
text_in(In inner, Text *text)
{
    text->at = inner.at, text->size = inner.end - inner.at;
    text->high = !is_ascii(text->at, text->size);
    return !text->high || is_utf8(text->at, text->size);
}

enum { NOTHING, STRING, BOOL, INT, DOUBLE, ARRAY, BYTES };

typedef struct {
    int kind;
    Text text; /* of a string; the bytes of an array */
    uint64_t number;
} Value;

/* An attribute's value as every exporter writes it: one field, and no maps. */
static int
any_value(In from, Value *value, int depth)
{
    In inner;
    value->kind = NOTHING;
    if (from.at == from.end)
        return 1;
    switch (*from.at++) {
    case 0x0a:
        value->kind = STRING;
        TAKE(field(&from, &inner) && text_in(inner, &value->text));
        break;
    case 0x10: value->kind = BOOL; TAKE(varint(&from, &value->number)); break;
    case 0x18: value->kind = INT; TAKE(varint(&from, &value->number)); break;
    case 0x21:
        value->kind = DOUBLE;
        TAKE(from.end - from.at >= 8);
        from.at += 8;
        break;
    case 0x2a: {
        value->kind = ARRAY;
        TAKE(!depth && field(&from, &inner));
        value->text.at = inner.at, value->text.size = inner.end - inner.at;
        while (inner.at < inner.end) {
            In one;
            Value each;
            TAKE(*inner.at++ == 0x0a && field(&inner, &one) && any_value(one, &each, 1));
        }
        break;
    }
    case 0x3a: value->kind = BYTES; TAKE(field(&from, &inner)); break;
    default: return 0;
    }
    return from.at == from.end;
}

/* A key and the bytes of its value. That they are sound, and texts UTF-8, was seen to when they came
 * in: what nobody asks for is not looked at again. */
static int
attribute(In from, Text *key, In *value)
{
    In inner;
    TAKE(from.at < from.end && *from.at++ == 0x0a && field(&from, &inner));
    *key = (Text){inner.at, inner.end - inner.at, 0};
    TAKE(from.at < from.end && *from.at++ == 0x12 && field(&from, value));
    return from.at == from.end;
}

static int
operation_of(Text name, int *operation)
{
    static const struct {
        const char *name;
        int operation;
    } known[] = {{"chat", CHAT},           {"generate_content", CHAT},
                 {"text_completion", CHAT}, {"embeddings", OTHER},
                 {"invoke_agent", AGENT},  {"invoke_workflow", WORKFLOW},
                 {"execute_tool", TOOL},   {"retrieval", RETRIEVAL},
                 {NULL, 0}};
    for (int i = 0; known[i].name; i++)
        if (is(name, known[i].name)) {
            *operation = known[i].operation;
            return 1;
        }
    return 0;
}

static int
once(Text *into, const Value *value)
{
    TAKE(value->kind == STRING && !into->at);
    *into = value->text;
    return 1;
}

static int
reasons(Look *look, const Value *value)
{
    TAKE(value->kind == ARRAY);
    In from = {value->text.at, value->text.at + value->text.size}, one;
    while (from.at < from.end) {
        Value each;
        TAKE(*from.at++ == 0x0a && field(&from, &one) && any_value(one, &each, 1));
        TAKE(each.kind == STRING && finish_of(look, each.text));
    }
    return 1;
}

static int
genai(Look *look, Span *span, Text key, const Value *value)
{
    Text rest = {key.at + 7, key.size - 7, 0};
    uint8_t first = rest.size ? rest.at[0] : 0; /* spares most of the comparisons below */
    if (first == 'r' && begins(rest, "request."))
        return is(rest, "request.model") ? once(&span->asked, value) : 1;
    if (first == 'u' && begins(rest, "usage.")) {
        if (look->most_tokens &&
            (is(rest, "usage.input_tokens") || is(rest, "usage.output_tokens") ||
             is(rest, "usage.prompt_tokens") || is(rest, "usage.completion_tokens"))) {
            TAKE(value->kind == INT);
            if (value->number < 1ULL << 62)
                look->tokens += value->number > look->most_tokens ? look->most_tokens + 1
                                                                  : value->number;
        }
        return 1;
    }
    if (first == 'r' && begins(rest, "response.")) {
        if (is(rest, "response.model"))
            return once(&span->used, value);
        if (is(rest, "response.finish_reasons"))
            return !span->has_reasons++ && reasons(look, value);
        return is(rest, "response.id") || is(rest, "response.time_to_first_chunk");
    }
    if (first == 'a' && begins(rest, "agent.")) {
        if (is(rest, "agent.name"))
            return once(&span->agent, value);
        return is(rest, "agent.id") || is(rest, "agent.description") || is(rest, "agent.version");
    }
    if (first == 't' && begins(rest, "tool.")) {
        if (is(rest, "tool.name"))
            return once(&span->tool, value);
        if (is(rest, "tool.call.arguments"))
            return once(&span->arguments, value);
        if (is(rest, "tool.call.result"))
            return once(&span->result, value);
        if (is(rest, "tool.definitions"))
            return once(&span->definitions, value);
        return is(rest, "tool.call.id") || is(rest, "tool.type") || is(rest, "tool.description");
    }
    if (first == 'o' && is(rest, "operation.name")) {
        TAKE(value->kind == STRING && span->operation == PLAIN);
        return operation_of(value->text, &span->operation);
    }
    if (first == 'i' && is(rest, "input.messages"))
        return once(&span->given, value);
    if (first == 'o' && is(rest, "output.messages"))
        return once(&span->answered, value);
    if (first == 'w' && is(rest, "workflow.name"))
        return once(&span->workflow, value);
    if (is(rest, "retrieval.documents"))
        return once(&span->documents, value);
    return is(rest, "system_instructions") || is(rest, "provider.name") || is(rest, "system") ||
           is(rest, "conversation.id") || is(rest, "retrieval.query.text") ||
           is(rest, "retrieval.top_k") || is(rest, "data_source.id") || is(rest, "output.type");
}

static int
our_own(Span *span, Text key, const Value *value)
{
    Text rest = {key.at + 9, key.size - 9, 0};
    if (is(rest, "input"))
        return once(&span->input, value);
    if (is(rest, "output"))
        return once(&span->output, value);
    if (is(rest, "workflow"))
        return once(&span->own_workflow, value);
    if (is(rest, "stream.complete"))
        return value->kind == BOOL && value->number == 1;
    if (is(rest, "recovery"))
        return value->kind == STRING && is(value->text, "first_try");
    return begins(rest, "key.") || is(rest, "attempt.count") || is(rest, "release") || is(rest, "losses") ||
           is(rest, "complete") || is(rest, "stream.chunks");
}

/* The first words of names in which other dialects are written. */
static const char *const other_words[] = {
    "openinference", "langsmith",   "traceloop",    "llm",        "db",             "langfuse",
    "logfire",       "pydantic_ai", "request_data", "agent_name", "tool_arguments", "ai",
    "mlflow",        "gen_ai",      "fidelity",     NULL};
static uint8_t other_pairs[1 << 10 >> 3]; /* their first two characters, as `other_pair` places them */

static inline unsigned
other_pair(const uint8_t *at)
{
    return (at[0] & 31u) << 5 | (at[1] & 31u);
}

static void
expect_others(const char *word)
{
    unsigned slot = other_pair((const uint8_t *)word);
    other_pairs[slot >> 3] |= (uint8_t)(1 << (slot & 7));
}

/* Whether an attribute that is not of the conventions' names, nor of ours, tells of something. */
static int
of_others(Text key, In from)
{
    if (key.size < 2) /* none is as short */
        return 0;
    unsigned slot = other_pair(key.at);
    if (!(other_pairs[slot >> 3] >> (slot & 7) & 1))
        return 0;
    if (is(key, "http.response.status_code")) {
        Value value;
        return !(any_value(from, &value, 0) && value.kind == INT && value.number < 400);
    }
    const uint8_t *dot = memchr(key.at, '.', (size_t)key.size);
    Text first = {key.at, dot ? dot - key.at : key.size, 0};
    for (int i = 0; other_words[i]; i++)
        if (is(first, other_words[i]))
            return 1;
    return 0;
}

static int
one_attribute(Look *look, Span *span, In from)
{
    Text key;
    Value value;
    In given;
    TAKE(attribute(from, &key, &given));
    if (begins(key, "gen_ai."))
        return any_value(given, &value, 0) && genai(look, span, key, &value);
    if (begins(key, "fidelity."))
        return any_value(given, &value, 0) && our_own(span, key, &value);
    if (is(key, "error.type"))
        return any_value(given, &value, 0) && value.kind == STRING && value.text.size &&
               value.text.at[0] > ' ' && (span->failed = 1);
    return !of_others(key, given);
}

static int
status_of(In from, int *failed)
{
    uint64_t code = 0;
    Text told = {0};
    while (from.at < from.end) {
        In inner;
        switch (*from.at++) {
        case 0x12: TAKE(field(&from, &inner) && text_in(inner, &told)); break;
        case 0x18: TAKE(varint(&from, &code) && code < 3); break;
        default: return 0;
        }
    }
    *failed |= code == 2;
    return code == 2 || !told.size;
}

static int
eight_bytes(In *from, uint64_t *value)
{
    TAKE(from->end - from->at >= 8);
    *value = 0;
    for (int i = 7; i >= 0; i--)
        *value = *value << 8 | from->at[i];
    from->at += 8;
    return 1;
}

static int
span_of(Look *look, In from, Text scope)
{
    static const uint8_t none[8];
    TAKE(look->count < SPANS);
    Span *span = &look->spans[look->count++];
    memset(span, 0, sizeof *span);
    span->scope = scope, span->messages = -1;
    int seen = 0;
    while (from.at < from.end) {
        In inner;
        Text text;
        uint64_t tag, number;
        TAKE(varint(&from, &tag));
        if (tag != 0x4a) { /* attributes come many times, the rest once */
            TAKE(tag >> 3 < 31 && !(seen >> (tag >> 3) & 1));
            seen |= 1 << (tag >> 3);
        }
        switch (tag) {
        case 0x0a: TAKE(field(&from, &inner) && inner.end - inner.at == 16); break;
        case 0x12:
            TAKE(field(&from, &inner) && inner.end - inner.at == 8);
            span->id = inner.at;
            break;
        case 0x1a: TAKE(field(&from, &inner) && text_in(inner, &text)); break;
        case 0x22:
            TAKE(field(&from, &inner) && (inner.end - inner.at == 8 || inner.at == inner.end));
            if (inner.at < inner.end && memcmp(inner.at, none, 8))
                span->parent = inner.at;
            break;
        case 0x2a: TAKE(field(&from, &inner) && text_in(inner, &span->name)); break;
        case 0x30: case 0x50: case 0x60: case 0x70: TAKE(varint(&from, &number)); break;
        case 0x39: TAKE(eight_bytes(&from, &span->start)); break;
        case 0x41: TAKE(eight_bytes(&from, &span->end)); break;
        case 0x4a: TAKE(field(&from, &inner) && one_attribute(look, span, inner)); break;
        case 0x7a: TAKE(field(&from, &inner) && status_of(inner, &span->failed)); break;
        case 0x85: /* flags, fixed32: the tag has two bytes */
        default:
            TAKE(tag == 0x85 && from.end - from.at >= 4);
            from.at += 4;
        }
    }
    TAKE(span->id && span->start && span->end >= span->start && span->end < 1ULL << 62);
    TAKE(!begins(span->name, "fidelity."));
    return 1;
}

static int
scope_of(In from, Text *name)
{
    int named = 0;
    while (from.at < from.end) {
        In inner, value;
        Text text;
        uint64_t number;
        switch (*from.at++) {
        case 0x0a:
            TAKE(!named++ && field(&from, &inner) && text_in(inner, name));
            break;
        case 0x12: TAKE(field(&from, &inner) && text_in(inner, &text)); break;
        case 0x1a: TAKE(field(&from, &inner) && attribute(inner, &text, &value)); break;
        case 0x20: TAKE(varint(&from, &number)); break;
        default: return 0;
        }
    }
    return 1;
}

static int
spans_of_scope(Look *look, In from)
{
    In inner, again_ = from;
    Text scope = {0}, text;
    int scopes = 0;
    while (again_.at < again_.end) { /* the scope may come behind its spans */
        uint8_t tag = *again_.at++;
        TAKE((tag == 0x0a || tag == 0x12 || tag == 0x1a) && field(&again_, &inner));
        if (tag == 0x0a)
            TAKE(!scopes++ && scope_of(inner, &scope));
    }
    while (from.at < from.end) {
        uint8_t tag = *from.at++;
        TAKE(field(&from, &inner));
        if (tag == 0x12)
            TAKE(span_of(look, inner, scope));
        else if (tag == 0x1a)
            TAKE(text_in(inner, &text));
    }
    return 1;
}

static int
resource_of(In from)
{
    while (from.at < from.end) {
        In inner, value;
        Text key;
        uint64_t number;
        switch (*from.at++) {
        case 0x0a: TAKE(field(&from, &inner) && attribute(inner, &key, &value)); break;
        case 0x10: TAKE(varint(&from, &number)); break;
        default: return 0;
        }
    }
    return 1;
}

static int
spans_of(Look *look, In from)
{
    while (from.at < from.end) {
        In inner, part;
        Text text;
        int resources = 0;
        TAKE(*from.at++ == 0x0a && field(&from, &inner));
        while (inner.at < inner.end) {
            uint8_t tag = *inner.at++;
            TAKE(field(&inner, &part));
            switch (tag) {
            case 0x0a: TAKE(!resources++ && resource_of(part)); break;
            case 0x12: TAKE(spans_of_scope(look, part)); break;
            case 0x1a: TAKE(text_in(part, &text)); break;
            default: return 0;
            }
        }
    }
    return look->count > 0;
}

/* --- the trace ------------------------------------------------------------------------------- */

/* In the order of `read.py`: by start, the longer first, then by id. */
static int
comes_before(const Span *one, const Span *two)
{
    if (one->start != two->start)
        return one->start < two->start;
    if (one->end != two->end)
        return one->end > two->end;
    return memcmp(one->id, two->id, 8) < 0;
}

/* The place of the only root; -1 where a span's parent is missing, or there is another root. */
static int
root_of(Look *look)
{
    int root = -1, above[SPANS];
    for (int i = 0; i < look->count; i++) {
        const Span *span = &look->spans[i];
        int at = i;
        for (; at > 0 && comes_before(span, &look->spans[look->sorted[at - 1]]); at--)
            look->sorted[at] = look->sorted[at - 1];
        look->sorted[at] = i;
        above[i] = -1;
        if (!span->parent) {
            if (root >= 0)
                return -1;
            root = i;
        }
        for (int j = 0; j < look->count; j++) {
            if (j < i && !memcmp(look->spans[j].id, span->id, 8))
                return -1;
            if (span->parent && !memcmp(look->spans[j].id, span->parent, 8))
                above[i] = j;
        }
        if (span->parent && above[i] < 0)
            return -1;
    }
    for (int i = 0; i < look->count; i++) {
        int at = i, steps = 0;
        while (above[at] >= 0 && steps++ <= look->count)
            at = above[at];
        if (at != root)
            return -1; /* parents in a circle */
    }
    for (int i = 0; i < look->count; i++)
        if (above[i] >= 0 && look->spans[above[i]].operation == TOOL)
            return -1; /* a tool that works by itself: what it says is not the answer */
    return root;
}

static int
is_known_tool(const Look *look, Text name)
{
    for (int i = 0; i < look->count; i++)
        if (look->spans[i].operation == TOOL && equal(look->spans[i].tool, name))
            return 1;
    return 0;
}

static int
no_tool_twice(const Look *look)
{
    for (int i = 0; i < look->count; i++) {
        const Span *one = &look->spans[i];
        int same = 1, loose = 0;
        if (one->operation != TOOL)
            continue;
        for (int j = 0; j < i; j++) {
            const Span *two = &look->spans[j];
            if (two->operation != TOOL || !equal(one->tool, two->tool))
                continue;
            TAKE(one->exact != two->exact);
            same++;
            loose |= one->loose == two->loose;
        }
        TAKE(same < look->loop_calls || !loose);
    }
    return 1;
}

static Text
stripped(Text text)
{
    while (text.size && parts_words(text.at[0]) && text.at[0] <= ' ')
        text.at++, text.size--;
    while (text.size && parts_words(text.at[text.size - 1]) && text.at[text.size - 1] <= ' ')
        text.size--;
    return text;
}

/* What each model call said: something, no refusal, and not what it had said before. */
static int
says_well(Look *look, const int *chats, int count)
{
    int spoken = 0;
    for (int i = 0; i < count; i++) {
        const Span *span = &look->spans[chats[i]];
        TAKE(span->answered.at);
        const Messages *out = &look->outputs[span->messages];
        Text text = out->said;
        TAKE(out->calls || stripped(text).size);
        TAKE(is_tame(text));
        Text begin = head(text, 300);
        if (!out->calls)
            DOUBT(look, REFUSAL, !any_of(&refused, begin.at, begin.at + begin.size));
        spoken += text.size > 0;
    }
    if (spoken >= look->loop_calls)
        for (int i = 0; i < count; i++)
            for (int j = 0; j < i; j++) {
                Text one = stripped(look->outputs[look->spans[chats[i]].messages].said);
                Text two = stripped(look->outputs[look->spans[chats[j]].messages].said);
                TAKE(!one.high && !two.high);
                one = head(one, 2000), two = head(two, 2000);
                TAKE(!one.size || !equal(one, two));
            }
    if (count) { /* the last thing that was asked for was done */
        const Messages *last = &look->outputs[look->spans[chats[count - 1]].messages];
        TAKE(!last->calls || last->texts);
    }
    return 1;
}

static int
request_of(Look *look, const Span *root, Text *found)
{
    if (root->given.at && look->inputs[root->messages].first.size) {
        *found = look->inputs[root->messages].first;
        return 1;
    }
    if (root->input.at)
        return said(look, root->input, asking, found);
    for (int i = 0; i < look->count; i++) {
        const Span *span = &look->spans[look->sorted[i]];
        if (span->operation != CHAT && span->operation != AGENT && span->operation != WORKFLOW)
            continue;
        if (span->given.at && look->inputs[span->messages].first.size) {
            *found = look->inputs[span->messages].first;
            return 1;
        }
        TAKE(!span->input.at);
    }
    return 0;
}

static int
answer_of(Look *look, const Span *root, Text *found)
{
    if (root->output.at)
        return said(look, root->output, answering, found);
    if (root->answered.at && look->outputs[root->messages].first.size) {
        *found = look->outputs[root->messages].first;
        return 1;
    }
    const Span *best = NULL;
    for (int i = 0; i < look->count; i++) {
        const Span *span = &look->spans[look->sorted[i]];
        if (span->operation != CHAT && span->operation != AGENT && span->operation != WORKFLOW)
            continue;
        TAKE(!span->output.at);
        if (span->answered.at && look->outputs[span->messages].first.size &&
            (!best || span->end > best->end))
            best = span;
    }
    TAKE(best);
    *found = look->outputs[best->messages].first;
    return 1;
}

static inline int
is_wordly(uint8_t c)
{
    return (lower[c] >= 'a' && lower[c] <= 'z') || (c >= '0' && c <= '9') || c == '_' || c >= 0x80;
}

/* Whether a lower-case word stands in a text by itself, and is no part of a longer number; in JSON,
 * whose numbers in lists come to stand beside each other, is none of a list. */
static int
stands_in(Text text, const uint8_t *word, Py_ssize_t size, int json)
{
    Py_ssize_t digit = 0; /* the place to look for: one of few characters */
    while (!(word[digit] >= '0' && word[digit] <= '9'))
        digit++;
    const uint8_t *end = text.at + text.size, *at = text.at;
    while ((at = memchr(at, word[digit], (size_t)(end - at)))) {
        const uint8_t *begin = at++ - digit, *rest = begin + size;
        if (begin < text.at || rest > end)
            continue;
        Py_ssize_t i = 0;
        while (i < size && lower[begin[i]] == word[i])
            i++;
        if (i < size || (begin > text.at && is_wordly(begin[-1])) ||
            (rest < end && is_wordly(*rest)))
            continue;
        while (json && rest < end && *rest <= ' ')
            rest++;
        if (json && rest < end && *rest == ',')
            for (; rest + 1 < end && rest[1] <= ' '; rest++)
                ;
        int follows = rest + 1 < end && rest[1] >= '0' && rest[1] <= '9';
        if (follows && (json || *rest == '.' || *rest == ','))
            continue;
        return 1;
    }
    return 0;
}

static inline int
is_letter_or_digit(uint8_t c)
{
    return (lower[c] >= 'a' && lower[c] <= 'z') || (c >= '0' && c <= '9');
}

/* Whether all that could be looked up in an answer stands in what the system had read, word for
 * word (`grounding`): every run of letters, digits and what joins them that has a digit in it. */
static int
is_supported(const Look *look, Text answer, Text request)
{
    int worth = answer.high; /* amounts and shares: small numbers count as well */
    Py_ssize_t total = 0;
    for (int i = 0; i < look->source_count; i++) {
        total += look->sources[i].text.size;
        TAKE(look->sources[i].text.size < 50000);
    }
    TAKE(total < 300000 && answer.size < 20000);
    for (Py_ssize_t i = 0; i < answer.size; i++)
        worth |= answer.at[i] == '$' || answer.at[i] == '%';
    for (Py_ssize_t i = 0; i < answer.size; i++) {
        uint8_t c = answer.at[i], word[40];
        TAKE(c != '"' && c != '@');
        if (!is_letter_or_digit(c))
            continue;
        Py_ssize_t end = i, digits = 0, dots = 0, size;
        for (; end < answer.size; end++) {
            uint8_t d = answer.at[end];
            if (!is_letter_or_digit(d) && d != '_' && d != '-' && d != '.' && d != '/' && d != ':')
                break;
            digits += d >= '0' && d <= '9';
        }
        TAKE(!(end < answer.size && answer.at[end] >= 0x80 && digits));
        TAKE(!(i && answer.at[i - 1] >= 0x80 && digits));
        TAKE(!(digits && end + 1 < answer.size && answer.at[end] == ',' &&
               answer.at[end + 1] >= '0' && answer.at[end + 1] <= '9'));
        size = end - i;
        while (size && !is_letter_or_digit(answer.at[i + size - 1]))
            size--;
        for (Py_ssize_t k = 0; k + 2 < end - i; k++)
            TAKE(answer.at[i + k] != ':' || answer.at[i + k + 1] != '/');
        if (digits && !(digits == size && size <= 2 && !worth)) {
            TAKE(size <= 40);
            for (Py_ssize_t k = 0; k < size; k++) {
                word[k] = lower[answer.at[i + k]];
                dots |= word[k] == '.';
            }
            int found = request.size && stands_in(request, word, size, 0);
            for (int k = 0; k < look->source_count && !found; k++) {
                Text text = look->sources[k].text;
                if (look->sources[k].json && (dots || memchr(text.at, '\\', (size_t)text.size)))
                    continue; /* numbers and escapes may be written otherwise there */
                found = stands_in(text, word, size, look->sources[k].json);
            }
            TAKE(found);
        }
        i = end - 1;
    }
    return 1;
}

static int
answers_well(Look *look, Text answer, int chats)
{
    TAKE(answer.size && answer.size < 200000 && is_tame(answer));
    Text end = tail(answer, 240), begin = head(answer, 300);
    if (answer.high || !memchr(end.at, '?', (size_t)end.size))
        DOUBT(look, PREMATURE, !any_of(&announced, end.at, end.at + end.size));
    if (answer.size < (answer.high ? 960 : 240))
        DOUBT(look, BUDGET, !any_of(&limited, answer.at, answer.at + answer.size));
    DOUBT(look, REFUSAL, chats || !any_of(&refused, begin.at, begin.at + begin.size));
    return 1;
}

/* Whether there is anything in an answer that could be looked up word for word. */
static int
has_specifics(Text answer)
{
    for (Py_ssize_t i = 0; i < answer.size; i++) {
        uint8_t c = answer.at[i];
        if ((c >= '0' && c <= '9') || c == '"' || c == '@' ||
            (c == ':' && i + 2 < answer.size && answer.at[i + 1] == '/'))
            return 1;
    }
    return 0;
}

/* --- the tools that a model was offered (`calls`) -------------------------------------------- */

/* Whether an object has a member of a name. */
static int
has_member(Look *look, In from, Text wanted)
{
    int many = 0;
    Text name;
    if (!from.at || !take(&from, '{'))
        return 0;
    while (member(look, &from, &many, &name) > 0) {
        if (equal(name, wanted))
            return 1;
        TAKE(value_of(look, &from, 2));
    }
    return 0;
}

/* Marks the calls that are of an offered tool; each has what the tool requires. */
static int
offer(Look *look, In *from, const Messages *out, unsigned *offered, int depth)
{
    int many = 0, more, functions = 0, schemas = 0;
    In schema = {0};
    Text name, tool = {0};
    TAKE(depth < 2 && take(from, '{'));
    while ((more = member(look, from, &many, &name)) > 0) {
        TAKE(many <= MEMBERS);
        if (is(name, "function")) {
            TAKE(!functions++ && offer(look, from, out, offered, depth + 1));
        } else if (is(name, "name")) {
            TAKE(!tool.at && take(from, '"') && text_of(look, from, &tool));
        } else {
            In begin = *from;
            TAKE(value_of(look, from, 1));
            if (is(name, "parameters") || is(name, "inputSchema") || is(name, "input_schema")) {
                TAKE(!schemas++);
                schema = (In){begin.at, from->at};
            }
        }
    }
    TAKE(!more && !(functions && (tool.at || schemas)));
    if (functions)
        return 1;
    TAKE(tool.at);
    for (int i = 0; i < out->calls; i++) {
        In left = schema;
        int members = 0;
        if (!equal(out->called[i].name, tool))
            continue;
        TAKE(!(*offered >> i & 1));
        *offered |= 1u << i;
        if (!schema.at)
            continue;
        TAKE(take(&left, '{'));
        while (member(look, &left, &members, &name) > 0) {
            if (!is(name, "required")) {
                TAKE(value_of(look, &left, 2));
                continue;
            }
            int required = 0;
            TAKE(take(&left, '['));
            while ((more = element(&left, &required)) > 0) {
                TAKE(take(&left, '"') && text_of(look, &left, &name));
                TAKE(has_member(look, out->called[i].arguments, name));
            }
            TAKE(!more);
        }
    }
    return 1;
}

static int
calls_what_was_offered(Look *look, Text definitions, const Messages *out)
{
    In from = {definitions.at, definitions.at + definitions.size};
    int many = 0, more;
    unsigned offered = 0;
    TAKE(take(&from, '['));
    while ((more = element(&from, &many)) > 0)
        TAKE(offer(look, &from, out, &offered, 0));
    TAKE(!more && is_over(&from));
    return !many || offered == (1u << out->calls) - 1;
}

static int
nothing_to_find(Look *look)
{
    static Documents documents, first;
    int chats[CHATS], chat_count = 0, agents = 0, agent_chats = 0, sources = 0, retrieved = 0;
    Text scope = {0}, answer, request;
    int root = root_of(look);
    TAKE(root >= 0);
    uint64_t begin = ~0ULL, end = 0;
    for (int i = 0; i < look->count; i++) {
        int at = look->sorted[i];
        Span *span = &look->spans[at];
        begin = span->start < begin ? span->start : begin;
        end = span->end > end ? span->end : end;
        TAKE((span->operation == TOOL) == (span->tool.at != NULL));
        TAKE(span->operation == TOOL || (!span->arguments.at && !span->result.at));
        TAKE(span->operation == RETRIEVAL || !span->documents.at);
        TAKE(span->operation == CHAT || !span->definitions.at);
        if (span->operation == CHAT || span->operation == TOOL || span->operation == RETRIEVAL ||
            span->operation == OTHER) { /* two instrumentations may have recorded one call */
            TAKE(!scope.at || equal(scope, span->scope));
            scope = span->scope;
            TAKE(scope.at);
        }
        if (span->given.at || span->answered.at) {
            span->messages = at;
            memset(&look->inputs[at], 0, offsetof(Messages, called));
            memset(&look->outputs[at], 0, offsetof(Messages, called));
            look->inputs[at].turn_count = 0;
            if (span->given.at)
                TAKE(messages_of(look, span->given, &look->inputs[at], 0));
            if (span->answered.at)
                TAKE(messages_of(look, span->answered, &look->outputs[at], 1));
        }
        if (span->failed) { /* which is for those to tell that look at tools and ends */
            TAKE(span->operation != CHAT && span->operation != RETRIEVAL &&
                 span->operation != OTHER);
            look->doubts |= FAILED;
        }
        agents += span->operation == AGENT && span->agent.size;
        agent_chats += span->operation == CHAT && span->agent.size;
        switch (span->operation) {
        case CHAT:
            TAKE(chat_count < CHATS);
            chats[chat_count++] = at;
            if (span->definitions.at && span->answered.at)
                TAKE(calls_what_was_offered(look, span->definitions, &look->outputs[at]));
            if (span->asked.size && span->used.size && !equal(span->asked, span->used))
                TAKE(put_text(look, "\x1em") && put_name(look, span->asked, 200) &&
                     put_text(look, "\x1f") && put_name(look, span->used, 200));
            break;
        case TOOL:
            TAKE(span->tool.size && !span->tool.high && span->tool.size <= 100);
            TAKE(sums_of(look, span));
            TAKE(!span->output.at && !span->input.at);
            if (!span->result.at || span->failed)
                break;
            TAKE(put_text(look, "\x1et") && put_name(look, span->tool, 100));
            TAKE(result_of(look, span->result));
            read_by_system(look, span->result, 1);
            sources = 1;
            break;
        case RETRIEVAL:
            if (span->documents.at) {
                TAKE(documents_of(look, span, retrieved ? &documents : &first));
                retrieved |= first.documents > 0; /* those of the first that found any count */
                sources = 1;
            }
            break;
        }
    }
    DOUBT(look, BUDGET, !look->most_ns || end - begin <= look->most_ns);
    DOUBT(look, BUDGET, !look->most_tokens || look->tokens <= look->most_tokens);
    TAKE(agents <= AGENTS && agent_chats <= AGENTS);
    TAKE(no_tool_twice(look) && says_well(look, chats, chat_count));
    DOUBT(look, ASKED_AGAIN, asks_nothing_again(look, chats, chat_count));
    TAKE(answer_of(look, &look->spans[root], &answer));
    TAKE(answers_well(look, answer, chat_count));
    int specific = sources && has_specifics(answer);
    if (retrieved || specific)
        TAKE(request_of(look, &look->spans[root], &request));
    if (specific)
        DOUBT(look, GROUNDING, is_supported(look, answer, request));
    DOUBT(look, TERMINOLOGY, !retrieved || knows_the_words(request, &first));
    return 1;
}

static int
workflow_of(Look *look, Text *found)
{
    int root = -1;
    for (int i = 0; i < look->count; i++)
        if (!look->spans[i].parent)
            root = i;
    for (int i = -1; i < look->count; i++) {
        const Span *span = &look->spans[i < 0 ? root : look->sorted[i]];
        *found = span->own_workflow.size ? span->own_workflow : span->workflow;
        if (found->size)
            return 1;
    }
    *found = look->spans[root].name;
    return found->size > 0;
}

#define KEY 4096

enum { ROOT_FLAG = 1 }; /* of a record: a root has ended, and nothing else is said */

typedef struct {
    int loop_calls;
    uint64_t stale_ns, most_ns, most_tokens;
} Limits;

static int
limits_of(PyObject *const *given, Limits *limits)
{
    limits->loop_calls = (int)PyLong_AsLong(given[0]);
    limits->stale_ns = PyLong_AsUnsignedLongLong(given[1]);
    limits->most_ns = PyLong_AsUnsignedLongLong(given[2]);
    limits->most_tokens = PyLong_AsUnsignedLongLong(given[3]);
    return !PyErr_Occurred();
}

/* (what is left to ask, spans, doubts) of a trace, or None. */
static PyObject *
told_of(const uint8_t *otlp, size_t size, const Limits *limits)
{
    static Look look; /* too large for a stack; the interpreter's lock guards it */
    static uint8_t key[KEY];
    if (size > 1 << 20 || limits->loop_calls < 2)
        Py_RETURN_NONE;
    look.loop_calls = limits->loop_calls;
    look.stale_ns = limits->stale_ns;
    look.most_ns = limits->most_ns;
    look.most_tokens = limits->most_tokens;
    look.count = look.source_count = 0, look.tokens = 0, look.doubts = 0;
    if (!spans_of(&look, (In){otlp, otlp + size}))
        Py_RETURN_NONE;
    uint8_t *scratch = PyMem_Malloc(size + 16);
    if (!scratch)
        return PyErr_NoMemory();
    look.scratch = scratch, look.scratch_end = scratch + size + 16;
    look.key = key, look.key_end = key + KEY;
    Text workflow;
    PyObject *found = Py_NewRef(Py_None);
    for (int i = 0; i < look.count; i++)
        look.sorted[i] = i;
    if (nothing_to_find(&look) && workflow_of(&look, &workflow)) {
        if (put_text(&look, "\x1d") && put_name(&look, workflow, 1000))
            Py_SETREF(found, Py_BuildValue("y#iI", key, (Py_ssize_t)(look.key - key), look.count,
                                            look.doubts));
    }
    PyMem_Free(scratch);
    return found;
}

static PyObject *
sift(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 5 || !PyBytes_Check(given[0])) {
        PyErr_SetString(PyExc_TypeError, "sift(otlp, loop_calls, stale_ns, most_ns, most_tokens)");
        return NULL;
    }
    Limits limits;
    if (!limits_of(given + 1, &limits))
        return NULL;
    const uint8_t *otlp = (const uint8_t *)PyBytes_AS_STRING(given[0]);
    return told_of(otlp, (size_t)PyBytes_GET_SIZE(given[0]), &limits);
}

/* One of `kept`: what is told of its record, False where nothing is, None where it need not be looked
 * at. */
static PyObject *
told_of_kept(PyObject *kept, PyObject *waiting, const uint8_t *record, size_t size,
             const Limits *limits)
{
    long flags = PyLong_AsLong(PyTuple_GET_ITEM(kept, 3));
    if (flags != ROOT_FLAG)
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    int waits = PySequence_Contains(waiting, PyTuple_GET_ITEM(kept, 0));
    if (waits)
        return waits < 0 ? NULL : Py_NewRef(Py_None);
    SpansRecord spans = spans_record(record, size);
    if (ids_differ(&spans) != 1)
        Py_RETURN_FALSE;
    PyObject *told = told_of(spans.otlp, spans.size, limits);
    if (told == Py_None)
        Py_SETREF(told, Py_NewRef(Py_False));
    return told;
}

static PyObject *
sift_records(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 7 || !PyBytes_Check(given[0]) || !PyList_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "sift_records(records, kept, waiting, loop_calls, "
                                         "stale_ns, most_ns, most_tokens)");
        return NULL;
    }
    Limits limits;
    if (!limits_of(given + 3, &limits))
        return NULL;
    const uint8_t *records = (const uint8_t *)PyBytes_AS_STRING(given[0]);
    size_t left = (size_t)PyBytes_GET_SIZE(given[0]);
    Py_ssize_t number = PyList_GET_SIZE(given[1]);
    PyObject *all = PyList_New(number);
    for (Py_ssize_t i = 0; all && i < number; i++) {
        PyObject *kept = PyList_GET_ITEM(given[1], i), *told = NULL;
        size_t size = PyTuple_Check(kept) && PyTuple_GET_SIZE(kept) == 4
                          ? PyLong_AsSize_t(PyTuple_GET_ITEM(kept, 1))
                          : 0;
        if (size >= HEAD + IDS_AT && size <= left &&
            little(records + HEAD + TRACE_ID, 4) <= (size - HEAD - IDS_AT) / 8)
            told = told_of_kept(kept, given[2], records, size, &limits);
        else if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "what was kept does not fit the records");
        if (!told) {
            Py_CLEAR(all);
            break;
        }
        PyList_SET_ITEM(all, i, told);
        records += size, left -= size;
    }
    return all;
}

static PyObject *
usual(PyObject *Py_UNUSED(module), PyObject *words)
{
    PyObject *each = PyObject_GetIter(words), *one;
    if (!each)
        return NULL;
    int count = 0;
    memset(usual_words, 0, sizeof usual_words);
    while ((one = PyIter_Next(each))) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(one, &size);
        if (!text || size > 15 || count++ > USUAL / 2) {
            Py_DECREF(one);
            Py_DECREF(each);
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "at most 512 words of 15 letters are kept");
            return NULL;
        }
        uint32_t slot = usual_slot((const uint8_t *)text, size);
        usual_words[slot][0] = (uint8_t)size;
        memcpy(usual_words[slot] + 1, text, (size_t)size);
        Py_DECREF(one);
    }
    Py_DECREF(each);
    if (PyErr_Occurred())
        return NULL;
    usual_ready = 1;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"sift", (PyCFunction)(void (*)(void))sift, METH_FASTCALL,
     "sift(otlp, loop_calls, stale_ns, most_ns, most_tokens): what is left to ask, the number of "
     "spans, and the detectors that have to look, a bit each; None where all have to."},
    {"sift_records", (PyCFunction)(void (*)(void))sift_records, METH_FASTCALL,
     "sift_records(records, kept, waiting, loop_calls, stale_ns, most_ns, most_tokens): of each of "
     "the records that lie behind one another, and of which `kept` tells, what `sift` says; False "
     "where that is None, and None where it was not asked: without an ended root, or of a trace "
     "that is in `waiting`."},
    {"usual", usual, METH_O, "usual(words): those that no document need know."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "fidelity_otel.processor._sift", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__sift(void)
{
    uint64_t state = 0x9e3779b97f4a7c15ULL;
    for (int i = 0; i < 256; i++) {
        lower[i] = (uint8_t)(i >= 'A' && i <= 'Z' ? i + 32 : i);
        /* SplitMix64 (Steele, Lea, Flood 2014). */
        uint64_t z = state += 0x9e3779b97f4a7c15ULL;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        random_of[i] = z ^ z >> 31;
    }
    for (int i = 0; other_words[i]; i++)
        expect_others(other_words[i]);
    expect_others("http.response.status_code");
    for (const char *c = " .,;:!?\t\n\v\f\r\x1c\x1d\x1e\x1f"; *c; c++)
        word_ends[(uint8_t)*c] = 1;
    prepare(&refused), prepare(&announced), prepare(&limited), prepare(&again), prepare(&failing);
    return PyModule_Create(&definition);
}
