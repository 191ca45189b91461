/* The hot part of `wire`, in C: OTLP's bytes taken apart by trace, and read into plain values.
 *
 * `split`, `records` and `decode` do what `wire.split`, `wire_records.records_in` and
 * `wire_decode.decode` do, for requests that are written as exporters write them. Whatever is unusual
 * (an unknown field, a field given twice, ids of the wrong size, invalid UTF-8, deep nesting) they
 * decline by returning None, and the caller goes the Python way, which is the only place that knows
 * errors. So both ways give the same by construction, and a test holds them to it.
 *
 * No byte is read before its bound was checked; nothing is kept of a request but copies of short
 * key-value pairs, in tables of fixed size.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "_crc32.h"

typedef struct {
    const uint8_t *at, *end;
} Bytes;

#define DEEPEST 32

/* --- protobuf's wire format ------------------------------------------------------------------ */

enum { VARINT = 0, FIXED64 = 1, DELIMITED = 2, FIXED32 = 5 };
#define TAG(field, kind) ((field) << 3 | (kind))

/* What every field goes through is put in where it is called: a third of the time otherwise. */
#if defined(__GNUC__)
#define HOT static inline __attribute__((always_inline))
#else
#define HOT static inline
#endif

static int
read_long_varint(Bytes *from, uint64_t *number)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && from->at < from->end; shift += 7) {
        uint8_t byte = *from->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *number = value;
            return shift < 63 || byte <= 1;
        }
    }
    return 0;
}

HOT int
read_varint(Bytes *from, uint64_t *number)
{
    if (from->at < from->end && *from->at < 0x80) {
        *number = *from->at++;
        return 1;
    }
    return read_long_varint(from, number);
}

/* Tags of one byte, or of two where the field needs them; 0 is no tag. */
HOT uint32_t
read_tag(Bytes *from)
{
    uint32_t tag = *from->at++;
    if (tag >= 0x80) {
        if (from->at == from->end || *from->at >= 0x80)
            return 0;
        tag = (tag & 0x7f) | (uint32_t)*from->at++ << 7;
        if (tag < 0x80)
            return 0;
    }
    return tag >> 3 ? tag : 0;
}

HOT int
read_delimited(Bytes *from, Bytes *inner)
{
    uint64_t size;
    if (!read_varint(from, &size) || size > (uint64_t)(from->end - from->at))
        return 0;
    inner->at = from->at;
    inner->end = from->at += size;
    return 1;
}

static int
read_fixed64(Bytes *from, uint64_t *number)
{
    if (from->end - from->at < 8)
        return 0;
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | from->at[i];
    *number = value;
    from->at += 8;
    return 1;
}

static int
read_fixed32(Bytes *from, uint32_t *number)
{
    if (from->end - from->at < 4)
        return 0;
    const uint8_t *p = from->at;
    *number = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    from->at += 4;
    return 1;
}

static int
skip(Bytes *from, uint32_t tag)
{
    uint64_t number;
    uint32_t small;
    Bytes inner;
    switch (tag & 7) {
    case VARINT: return read_varint(from, &number);
    case FIXED64: return read_fixed64(from, &number);
    case DELIMITED: return read_delimited(from, &inner);
    case FIXED32: return read_fixed32(from, &small);
    }
    return 0;
}

#define HIGH_BITS 0x8080808080808080ULL

static uint64_t
eight_at(const uint8_t *at)
{
    uint64_t eight;
    memcpy(&eight, at, 8);
    return eight;
}

/* Most text is; of what is not, the characters are looked at one by one. */
HOT int
is_ascii(Bytes text)
{
    const uint8_t *p = text.at, *end = text.end;
    uint64_t seen = 0;
    if (end - p < 8) {
        while (p < end)
            seen |= *p++;
        return !(seen & 0x80);
    }
    for (; end - p >= 32 && !(seen & HIGH_BITS); p += 32)
        seen = eight_at(p) | eight_at(p + 8) | eight_at(p + 16) | eight_at(p + 24);
    for (; end - p >= 8; p += 8)
        seen |= eight_at(p);
    return !((seen | eight_at(end - 8)) & HIGH_BITS);
}

static int
is_utf8(Bytes text)
{
    const uint8_t *p = text.at, *end = text.end;
    if (is_ascii(text))
        return 1;
    while (p < end) {
        if (end - p >= 8 && !(eight_at(p) & HIGH_BITS)) {
            p += 8;
            continue;
        }
        uint8_t first = *p;
        if (first < 0x80) {
            p++;
            continue;
        }
        Py_ssize_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || end - p <= more)
            return 0;
        uint8_t second = p[1];
        if ((second & 0xc0) != 0x80 || (first == 0xe0 && second < 0xa0) ||
            (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
            (first == 0xf4 && second > 0x8f))
            return 0;
        for (Py_ssize_t i = 2; i <= more; i++)
            if ((p[i] & 0xc0) != 0x80)
                return 0;
        p += more + 1;
    }
    return 1;
}

static int
read_text(Bytes *from)
{
    Bytes text;
    return read_delimited(from, &text) && is_utf8(text);
}

static size_t
size_of(Bytes bytes)
{
    return (size_t)(bytes.end - bytes.at);
}

static int
equals(Bytes bytes, const char *text, size_t size)
{
    return size_of(bytes) == size && memcmp(bytes.at, text, size) == 0;
}

/* --- split: is all of it sound, and which span is of which trace? ----------------------------- */

typedef struct {
    const char *marker;
    Py_ssize_t marker_size;
    const char *carrier;
    Py_ssize_t carrier_size;
} Names;

static int sound_pair(Bytes pair, int depth, const Names *names, int *marked);

/* Sound, and of at most one kind; `truth` is set where it is the truth value true. */
static int
sound_value(Bytes value, int depth, int *truth)
{
    uint64_t number;
    Bytes inner, item;
    if (value.at == value.end)
        return 1;
    if (depth > DEEPEST)
        return 0;
    switch (read_tag(&value)) {
    case TAG(1, DELIMITED):
        if (!read_text(&value))
            return 0;
        break;
    case TAG(2, VARINT):
        if (!read_varint(&value, &number))
            return 0;
        *truth = number != 0;
        break;
    case TAG(3, VARINT):
        if (!read_varint(&value, &number))
            return 0;
        break;
    case TAG(4, FIXED64):
        if (!read_fixed64(&value, &number))
            return 0;
        break;
    case TAG(5, DELIMITED):
        if (!read_delimited(&value, &inner))
            return 0;
        while (inner.at < inner.end) {
            int ignored = 0;
            if (read_tag(&inner) != TAG(1, DELIMITED) || !read_delimited(&inner, &item) ||
                !sound_value(item, depth + 1, &ignored))
                return 0;
        }
        break;
    case TAG(6, DELIMITED):
        if (!read_delimited(&value, &inner))
            return 0;
        while (inner.at < inner.end)
            if (read_tag(&inner) != TAG(1, DELIMITED) || !read_delimited(&inner, &item) ||
                !sound_pair(item, depth + 1, NULL, NULL))
                return 0;
        break;
    case TAG(7, DELIMITED):
        if (!read_delimited(&value, &inner))
            return 0;
        break;
    default:
        return 0;
    }
    return value.at == value.end;
}

/* A key, then a value, each at most once. `marked` is set where it is the completion marker. */
static int
sound_pair(Bytes pair, int depth, const Names *names, int *marked)
{
    Bytes key = {pair.at, pair.at}, value;
    int truth = 0;
    if (pair.at < pair.end && *pair.at == TAG(1, DELIMITED)) {
        pair.at++;
        if (!read_delimited(&pair, &key) || !is_utf8(key))
            return 0;
    }
    if (pair.at < pair.end) {
        if (*pair.at++ != TAG(2, DELIMITED) || !read_delimited(&pair, &value) ||
            pair.at != pair.end || !sound_value(value, depth, &truth))
            return 0;
    }
    if (truth && marked && equals(key, names->marker, (size_t)names->marker_size))
        *marked = 1;
    return 1;
}

static int
sound_pair_in(Bytes *from, const Names *names, int *marked)
{
    Bytes pair;
    return read_delimited(from, &pair) && sound_pair(pair, 0, names, marked);
}

static int
sound_event(Bytes event)
{
    uint64_t number;
    while (event.at < event.end) {
        int sound;
        switch (read_tag(&event)) {
        case TAG(1, FIXED64): sound = read_fixed64(&event, &number); break;
        case TAG(2, DELIMITED): sound = read_text(&event); break;
        case TAG(3, DELIMITED): sound = sound_pair_in(&event, NULL, NULL); break;
        case TAG(4, VARINT): sound = read_varint(&event, &number); break;
        default: sound = 0;
        }
        if (!sound)
            return 0;
    }
    return 1;
}

static int
sound_link(Bytes link)
{
    uint32_t small;
    uint64_t number;
    Bytes inner;
    while (link.at < link.end) {
        int sound;
        switch (read_tag(&link)) {
        case TAG(1, DELIMITED):
        case TAG(2, DELIMITED): sound = read_delimited(&link, &inner); break;
        case TAG(3, DELIMITED): sound = read_text(&link); break;
        case TAG(4, DELIMITED): sound = sound_pair_in(&link, NULL, NULL); break;
        case TAG(5, VARINT): sound = read_varint(&link, &number); break;
        case TAG(6, FIXED32): sound = read_fixed32(&link, &small); break;
        default: sound = 0;
        }
        if (!sound)
            return 0;
    }
    return 1;
}

static int
sound_status(Bytes status)
{
    uint64_t number;
    while (status.at < status.end) {
        int sound;
        switch (read_tag(&status)) {
        case TAG(2, DELIMITED): sound = read_text(&status); break;
        case TAG(3, VARINT): sound = read_varint(&status, &number); break;
        default: sound = 0;
        }
        if (!sound)
            return 0;
    }
    return 1;
}

typedef struct {
    Bytes raw;
    const uint8_t *trace_id, *span_id;
    Py_ssize_t scope, next;
    int root, complete, carrier;
} Item;

static int
is_zero(const uint8_t *bytes, size_t size)
{
    while (size--)
        if (*bytes++)
            return 0;
    return 1;
}

static int
sound_span(Bytes span, const Names *names, Item *item)
{
    uint32_t small;
    uint64_t number, ended = 0;
    Bytes inner, name = {NULL, NULL}, parent = {NULL, NULL};
    Bytes trace_id = {NULL, NULL}, span_id = {NULL, NULL};
    item->raw = span;
    while (span.at < span.end) {
        int sound;
        switch (read_tag(&span)) {
        case TAG(1, DELIMITED): sound = read_delimited(&span, &trace_id); break;
        case TAG(2, DELIMITED): sound = read_delimited(&span, &span_id); break;
        case TAG(3, DELIMITED): sound = read_text(&span); break;
        case TAG(4, DELIMITED): sound = read_delimited(&span, &parent); break;
        case TAG(5, DELIMITED): sound = read_delimited(&span, &name) && is_utf8(name); break;
        case TAG(6, VARINT):
        case TAG(10, VARINT):
        case TAG(12, VARINT):
        case TAG(14, VARINT): sound = read_varint(&span, &number); break;
        case TAG(7, FIXED64): sound = read_fixed64(&span, &number); break;
        case TAG(8, FIXED64): sound = read_fixed64(&span, &ended); break;
        case TAG(9, DELIMITED): sound = sound_pair_in(&span, names, &item->complete); break;
        case TAG(11, DELIMITED):
            sound = read_delimited(&span, &inner) && sound_event(inner);
            break;
        case TAG(13, DELIMITED): sound = read_delimited(&span, &inner) && sound_link(inner); break;
        case TAG(15, DELIMITED):
            sound = read_delimited(&span, &inner) && sound_status(inner);
            break;
        case TAG(16, FIXED32): sound = read_fixed32(&span, &small); break;
        default: sound = 0;
        }
        if (!sound)
            return 0;
    }
    if (size_of(trace_id) != 16 || size_of(span_id) != 8 || is_zero(trace_id.at, 16) ||
        is_zero(span_id.at, 8))
        return 0;
    item->trace_id = trace_id.at;
    item->span_id = span_id.at;
    item->carrier = equals(name, names->carrier, (size_t)names->carrier_size);
    size_t parent_size = size_of(parent);
    item->root =
        ended != 0 && (parent_size == 0 || (parent_size == 8 && is_zero(parent.at, 8)));
    return 1;
}

/* Resource and instrumentation scope: attributes in field 1 and 3, two texts in the scope. */
static int
sound_resource(Bytes resource)
{
    uint64_t number;
    while (resource.at < resource.end) {
        int sound;
        switch (read_tag(&resource)) {
        case TAG(1, DELIMITED): sound = sound_pair_in(&resource, NULL, NULL); break;
        case TAG(2, VARINT): sound = read_varint(&resource, &number); break;
        default: sound = 0;
        }
        if (!sound)
            return 0;
    }
    return 1;
}

static int
sound_scope(Bytes scope)
{
    uint64_t number;
    while (scope.at < scope.end) {
        int sound;
        switch (read_tag(&scope)) {
        case TAG(1, DELIMITED):
        case TAG(2, DELIMITED): sound = read_text(&scope); break;
        case TAG(3, DELIMITED): sound = sound_pair_in(&scope, NULL, NULL); break;
        case TAG(4, VARINT): sound = read_varint(&scope, &number); break;
        default: sound = 0;
        }
        if (!sound)
            return 0;
    }
    return 1;
}

/* What stands around spans: field 1 (resource or scope) and field 3 (its schema's address). */
typedef struct {
    Bytes about, schema;
    Py_ssize_t resource;
} Envelope;

typedef struct {
    PyObject *id;
    Py_ssize_t first, last, count;
    int root, complete, carrier;
} Trace;

/* A list that grows; freed by its owner. */
typedef struct {
    char *data;
    Py_ssize_t count, room;
    size_t each;
} List;

static void *
grow(List *list)
{
    if (list->count == list->room) {
        Py_ssize_t room = list->room ? 2 * list->room : 64;
        char *data = PyMem_Realloc(list->data, (size_t)room * list->each);
        if (data == NULL)
            return NULL;
        list->data = data;
        list->room = room;
    }
    void *made = list->data + (size_t)list->count++ * list->each;
    memset(made, 0, list->each);
    return made;
}

typedef struct {
    List items, traces, scopes, resources;
    PyObject *numbers; /* trace id → its place in traces */
    Names names;
} Request;

#define AT(list, type, number) ((type *)(list).data + (number))

static size_t
varint_size(size_t number)
{
    size_t size = 1;
    while (number > 0x7f) {
        number >>= 7;
        size++;
    }
    return size;
}

static char *
put_head(char *to, uint8_t tag, size_t size)
{
    *to++ = (char)tag;
    while (size > 0x7f) {
        *to++ = (char)((size & 0x7f) | 0x80);
        size >>= 7;
    }
    *to++ = (char)size;
    return to;
}

static size_t
field_size(size_t size)
{
    return 1 + varint_size(size) + size;
}

static char *
put_field(char *to, uint8_t tag, Bytes bytes)
{
    size_t size = size_of(bytes);
    to = put_head(to, tag, size);
    memcpy(to, bytes.at, size);
    return to + size;
}

static size_t
envelope_size(const Envelope *envelope)
{
    size_t about = size_of(envelope->about), schema = size_of(envelope->schema);
    return (about ? field_size(about) : 0) + (schema ? field_size(schema) : 0);
}

static char *
put_envelope(char *to, const Envelope *envelope)
{
    if (size_of(envelope->about))
        to = put_field(to, TAG(1, DELIMITED), envelope->about);
    if (size_of(envelope->schema))
        to = put_field(to, TAG(3, DELIMITED), envelope->schema);
    return to;
}

/* Put a span to its trace. 1: done, 0: declined, -1: an exception is set. */
static int
take_span(Request *request, Bytes span, Py_ssize_t scope, Py_ssize_t *latest)
{
    Py_ssize_t number = request->items.count;
    Item *item = grow(&request->items);
    if (item == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    item->scope = scope;
    item->next = -1;
    if (!sound_span(span, &request->names, item))
        return 0;
    Trace *trace = *latest < 0 ? NULL : AT(request->traces, Trace, *latest);
    if (trace == NULL || memcmp(PyBytes_AS_STRING(trace->id), item->trace_id, 16) != 0) {
        PyObject *id = PyBytes_FromStringAndSize((const char *)item->trace_id, 16);
        if (id == NULL)
            return -1;
        PyObject *known = PyDict_GetItemWithError(request->numbers, id);
        if (known != NULL) {
            Py_DECREF(id);
            *latest = PyLong_AsSsize_t(known);
            trace = AT(request->traces, Trace, *latest);
        }
        else {
            PyObject *at = PyErr_Occurred() ? NULL : PyLong_FromSsize_t(request->traces.count);
            trace = at == NULL ? NULL : grow(&request->traces);
            if (trace == NULL || PyDict_SetItem(request->numbers, id, at) < 0) {
                if (at != NULL && trace == NULL)
                    PyErr_NoMemory();
                if (trace != NULL)
                    request->traces.count--;
                Py_XDECREF(at);
                Py_DECREF(id);
                return -1;
            }
            Py_DECREF(at);
            trace->id = id;
            trace->first = trace->last = -1;
            trace->carrier = 1;
            *latest = request->traces.count - 1;
        }
    }
    if (trace->last < 0)
        trace->first = number;
    else
        AT(request->items, Item, trace->last)->next = number;
    trace->last = number;
    trace->count++;
    trace->root |= item->root;
    trace->complete |= item->complete;
    trace->carrier &= item->carrier;
    return 1;
}

static int
take_scope(Request *request, Bytes scope, Py_ssize_t resource, Py_ssize_t *latest)
{
    Py_ssize_t number = request->scopes.count;
    Envelope *envelope = grow(&request->scopes);
    if (envelope == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    envelope->resource = resource;
    while (scope.at < scope.end) {
        Bytes inner;
        int took = 1;
        switch (read_tag(&scope)) {
        case TAG(1, DELIMITED):
            took = read_delimited(&scope, &inner) && sound_scope(inner);
            envelope->about = inner;
            break;
        case TAG(2, DELIMITED):
            took = read_delimited(&scope, &inner);
            if (took)
                took = take_span(request, inner, number, latest);
            break;
        case TAG(3, DELIMITED):
            took = read_delimited(&scope, &inner) && is_utf8(inner);
            envelope->schema = inner;
            break;
        default: took = 0;
        }
        if (took != 1)
            return took;
    }
    return 1;
}

static int
take_resource(Request *request, Bytes resource, Py_ssize_t *latest)
{
    Py_ssize_t number = request->resources.count;
    if (grow(&request->resources) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    while (resource.at < resource.end) {
        Bytes inner;
        int took = 1;
        switch (read_tag(&resource)) {
        case TAG(1, DELIMITED):
            took = read_delimited(&resource, &inner) && sound_resource(inner);
            AT(request->resources, Envelope, number)->about = inner;
            break;
        case TAG(2, DELIMITED):
            took = read_delimited(&resource, &inner);
            if (took)
                took = take_scope(request, inner, number, latest);
            break;
        case TAG(3, DELIMITED):
            took = read_delimited(&resource, &inner) && is_utf8(inner);
            AT(request->resources, Envelope, number)->schema = inner;
            break;
        default: took = 0;
        }
        if (took != 1)
            return took;
    }
    return 1;
}

/* The spans of one trace under one scope: their number is not kept, the next one's place is. */
typedef struct {
    Py_ssize_t next;
    const Envelope *scope, *resource;
    size_t items, inner, whole;
} Run;

static Run
run_from(const Request *request, Py_ssize_t first)
{
    Run run = {first, NULL, NULL, 0, 0, 0};
    Py_ssize_t scope = AT(request->items, Item, first)->scope;
    run.scope = AT(request->scopes, Envelope, scope);
    run.resource = AT(request->resources, Envelope, run.scope->resource);
    while (run.next >= 0 && AT(request->items, Item, run.next)->scope == scope) {
        const Item *item = AT(request->items, Item, run.next);
        run.items += field_size(size_of(item->raw));
        run.next = item->next;
    }
    run.inner = envelope_size(run.scope) + run.items;
    run.whole = envelope_size(run.resource) + field_size(run.inner);
    return run;
}

static size_t
otlp_size(const Request *request, const Trace *trace)
{
    size_t size = 0;
    for (Py_ssize_t at = trace->first; at >= 0;) {
        Run run = run_from(request, at);
        size += field_size(run.whole);
        at = run.next;
    }
    return size;
}

/* A trace's spans as a request of their own, and their ids. */
static void
put_trace(const Request *request, const Trace *trace, char *ids, char *to)
{
    for (Py_ssize_t at = trace->first; at >= 0;) {
        Run run = run_from(request, at);
        to = put_head(to, TAG(1, DELIMITED), run.whole);
        to = put_envelope(to, run.resource);
        to = put_head(to, TAG(2, DELIMITED), run.inner);
        to = put_envelope(to, run.scope);
        for (; at != run.next; at = AT(request->items, Item, at)->next) {
            const Item *item = AT(request->items, Item, at);
            to = put_field(to, TAG(2, DELIMITED), item->raw);
            memcpy(ids, item->span_id, 8);
            ids += 8;
        }
    }
}

/* (trace id, span ids, otlp, root, complete, carrier) */
static PyObject *
part_of(const Request *request, const Trace *trace)
{
    PyObject *ids = PyBytes_FromStringAndSize(NULL, 8 * trace->count);
    PyObject *otlp = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)otlp_size(request, trace));
    if (ids == NULL || otlp == NULL) {
        Py_XDECREF(ids);
        Py_XDECREF(otlp);
        return NULL;
    }
    put_trace(request, trace, PyBytes_AS_STRING(ids), PyBytes_AS_STRING(otlp));
    return Py_BuildValue("(ONNOOO)", trace->id, ids, otlp, trace->root ? Py_True : Py_False,
                         trace->complete ? Py_True : Py_False,
                         trace->carrier ? Py_True : Py_False);
}

static PyObject *
parts_of(const Request *request)
{
    PyObject *parts = PyList_New(request->traces.count);
    for (Py_ssize_t i = 0; parts != NULL && i < request->traces.count; i++) {
        PyObject *part = part_of(request, AT(request->traces, Trace, i));
        if (part == NULL)
            Py_CLEAR(parts);
        else
            PyList_SET_ITEM(parts, i, part);
    }
    return parts;
}

/* The journal's records of kind 1; journal/__init__.py has the layout, a test compares the two. */
enum { RECORD_MAGIC = 0xf1de, RECORD_SPANS = 1, RECORD_HEAD = 16, RECORD_SIZE = 20 };
enum { FLAG_ROOT = 1, FLAG_COMPLETE = 2, FLAG_CARRIER = 4 };

static int
flags_of(const Trace *trace)
{
    return (trace->root ? FLAG_ROOT : 0) | (trace->complete ? FLAG_COMPLETE : 0) |
           (trace->carrier ? FLAG_CARRIER : 0);
}

static uint8_t *
put_little(uint8_t *to, uint64_t number, int size)
{
    for (; size--; number >>= 8)
        *to++ = (uint8_t)number;
    return to;
}

static size_t
record_size(const Trace *trace, size_t otlp)
{
    return RECORD_SIZE + 16 + 4 + 8 * (size_t)trace->count + otlp;
}

static void
put_record(const Request *request, const Trace *trace, uint64_t time, size_t size, uint8_t *record)
{
    uint8_t *to = put_little(record, RECORD_MAGIC, 2);
    *to++ = RECORD_SPANS;
    *to++ = (uint8_t)flags_of(trace);
    to = put_little(to, size - RECORD_SIZE, 4);
    put_little(to, time, 8);
    uint8_t *payload = record + RECORD_SIZE;
    memcpy(payload, PyBytes_AS_STRING(trace->id), 16);
    to = put_little(payload + 16, (uint64_t)trace->count, 4);
    put_trace(request, trace, (char *)to, (char *)to + 8 * trace->count);
    uint32_t sum = crc32_of(0, record, RECORD_HEAD);
    put_little(record + RECORD_HEAD, crc32_of(sum, payload, size - RECORD_SIZE), 4);
}

/* (records behind one another, [(trace id, size of its record, number of spans, flags), …]) */
static PyObject *
records_of(const Request *request, uint64_t time)
{
    size_t whole = 0, *sizes = PyMem_Calloc((size_t)request->traces.count + 1, sizeof(size_t));
    if (sizes == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < request->traces.count; i++) {
        const Trace *trace = AT(request->traces, Trace, i);
        whole += sizes[i] = record_size(trace, otlp_size(request, trace));
        if (sizes[i] - RECORD_SIZE > UINT32_MAX) {
            PyMem_Free(sizes);
            Py_RETURN_NONE;
        }
    }
    PyObject *records = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)whole);
    PyObject *places = records == NULL ? NULL : PyList_New(request->traces.count);
    uint8_t *to = records == NULL ? NULL : (uint8_t *)PyBytes_AS_STRING(records);
    for (Py_ssize_t i = 0; places != NULL && i < request->traces.count; i++) {
        const Trace *trace = AT(request->traces, Trace, i);
        put_record(request, trace, time, sizes[i], to);
        to += sizes[i];
        PyObject *place = Py_BuildValue("(Onni)", trace->id, (Py_ssize_t)sizes[i], trace->count,
                                        flags_of(trace));
        if (place == NULL)
            Py_CLEAR(places);
        else
            PyList_SET_ITEM(places, i, place);
    }
    PyMem_Free(sizes);
    if (places == NULL) {
        Py_XDECREF(records);
        return NULL;
    }
    return Py_BuildValue("(NN)", records, places);
}

/* Bytes of all parts together, as `wire.split` counts them. */
static int
exceeds(const Request *request, Py_ssize_t limit)
{
    size_t grown = 0;
    for (Py_ssize_t i = 0; i < request->traces.count; i++)
        for (Py_ssize_t at = AT(request->traces, Trace, i)->first; at >= 0;) {
            Run run = run_from(request, at);
            grown += envelope_size(run.resource) + run.inner;
            at = run.next;
        }
    return limit < 0 || grown > (size_t)limit;
}

/* Take a request apart. 1: done, 0: declined, -1: an exception is set. */
static int
take_request(Request *request, Bytes from, Py_ssize_t limit)
{
    Py_ssize_t latest = -1;
    request->items.each = sizeof(Item);
    request->traces.each = sizeof(Trace);
    request->scopes.each = request->resources.each = sizeof(Envelope);
    request->numbers = PyDict_New();
    int took = request->numbers == NULL ? -1 : 1;
    while (took == 1 && from.at < from.end) {
        Bytes inner;
        took = read_tag(&from) == TAG(1, DELIMITED) && read_delimited(&from, &inner);
        if (took)
            took = take_resource(request, inner, &latest);
    }
    return took == 1 ? !exceeds(request, limit) : took;
}

static void
free_request(Request *request)
{
    for (Py_ssize_t i = 0; i < request->traces.count; i++)
        Py_XDECREF(AT(request->traces, Trace, i)->id);
    PyMem_Free(request->items.data);
    PyMem_Free(request->traces.data);
    PyMem_Free(request->scopes.data);
    PyMem_Free(request->resources.data);
    Py_XDECREF(request->numbers);
}

static PyObject *
split(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer body;
    Py_ssize_t limit;
    Request request = {0};
    if (!PyArg_ParseTuple(args, "y*ny#y#:split", &body, &limit, &request.names.marker,
                          &request.names.marker_size, &request.names.carrier,
                          &request.names.carrier_size))
        return NULL;
    Bytes from = {body.buf, (const uint8_t *)body.buf + body.len};
    int took = take_request(&request, from, limit);
    PyObject *found = took < 0 ? NULL : took ? parts_of(&request) : Py_NewRef(Py_None);
    free_request(&request);
    PyBuffer_Release(&body);
    return found;
}

static PyObject *
records(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer body;
    Py_ssize_t limit;
    unsigned long long time;
    Request request = {0};
    if (!PyArg_ParseTuple(args, "y*ny#y#K:records", &body, &limit, &request.names.marker,
                          &request.names.marker_size, &request.names.carrier,
                          &request.names.carrier_size, &time))
        return NULL;
    Bytes from = {body.buf, (const uint8_t *)body.buf + body.len};
    int took = take_request(&request, from, limit);
    PyObject *found = took < 0 ? NULL : took ? records_of(&request, time) : Py_NewRef(Py_None);
    free_request(&request);
    PyBuffer_Release(&body);
    return found;
}

/* --- decode: a trace's spans as plain values --------------------------------------------------
 * Functions return a new reference, or NULL: with an exception set where Python failed, without
 * one where the bytes are declined.
 */

#define SMALL 96 /* bytes of a pair that is worth remembering */
#define PAIRS (1 << 14)
#define KEYS (1 << 11)

/* Tables of what was read before, each place taken by the last one that hashes to it. */
typedef struct {
    uint64_t hash;
    uint8_t size, bytes[SMALL];
    PyObject *key, *value;
} Pair;

static Pair pairs[PAIRS];
static Pair keys[KEYS];

static uint64_t
hash_of(Bytes bytes)
{
    uint64_t hash = 0x9e3779b97f4a7c15ULL ^ size_of(bytes);
    while (bytes.end - bytes.at >= 8) {
        uint64_t eight;
        memcpy(&eight, bytes.at, 8);
        hash = (hash ^ eight) * 0xff51afd7ed558ccdULL;
        hash ^= hash >> 32;
        bytes.at += 8;
    }
    uint64_t rest = 0;
    memcpy(&rest, bytes.at, size_of(bytes));
    hash = (hash ^ rest) * 0xff51afd7ed558ccdULL;
    return hash ^ hash >> 29;
}

static int
holds(const Pair *pair, uint64_t hash, Bytes bytes)
{
    return pair->key != NULL && pair->hash == hash && pair->size == size_of(bytes) &&
           memcmp(pair->bytes, bytes.at, pair->size) == 0;
}

static void
remember(Pair *pair, uint64_t hash, Bytes bytes, PyObject *key, PyObject *value)
{
    PyObject *old_key = pair->key, *old_value = pair->value;
    pair->hash = hash;
    pair->size = (uint8_t)size_of(bytes);
    memcpy(pair->bytes, bytes.at, pair->size);
    pair->key = Py_NewRef(key);
    pair->value = Py_XNewRef(value);
    Py_XDECREF(old_key);
    Py_XDECREF(old_value);
}

static PyObject *
text_of(Bytes bytes)
{
    PyObject *text = PyUnicode_DecodeUTF8((const char *)bytes.at, bytes.end - bytes.at, NULL);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        PyErr_Clear();
    return text;
}

static PyObject *
key_of(Bytes bytes)
{
    if (size_of(bytes) > SMALL)
        return text_of(bytes);
    uint64_t hash = hash_of(bytes);
    Pair *known = &keys[hash & (KEYS - 1)];
    if (holds(known, hash, bytes))
        return Py_NewRef(known->key);
    PyObject *key = text_of(bytes);
    if (key != NULL)
        remember(known, hash, bytes, key, NULL);
    return key;
}

static PyObject *
hex_of(Bytes bytes)
{
    static const char digits[] = "0123456789abcdef";
    Py_ssize_t size = bytes.end - bytes.at;
    PyObject *text = PyUnicode_New(2 * size, 127);
    if (text == NULL || size == 0)
        return text;
    Py_UCS1 *to = PyUnicode_1BYTE_DATA(text);
    while (bytes.at < bytes.end) {
        *to++ = (Py_UCS1)digits[*bytes.at >> 4];
        *to++ = (Py_UCS1)digits[*bytes.at++ & 15];
    }
    return text;
}

static int put_pair(PyObject *into, Bytes raw, int depth);

static PyObject *
value_of(Bytes value, int depth)
{
    uint64_t number;
    double real;
    Bytes inner, item;
    PyObject *found = NULL;
    if (value.at == value.end)
        return Py_NewRef(Py_None);
    if (depth > DEEPEST)
        return NULL;
    switch (read_tag(&value)) {
    case TAG(1, DELIMITED):
        if (read_delimited(&value, &inner) && value.at == value.end)
            found = text_of(inner);
        break;
    case TAG(2, VARINT):
        if (read_varint(&value, &number) && value.at == value.end)
            found = PyBool_FromLong(number != 0);
        break;
    case TAG(3, VARINT):
        if (read_varint(&value, &number) && value.at == value.end)
            found = PyLong_FromLongLong((long long)number);
        break;
    case TAG(4, FIXED64):
        if (read_fixed64(&value, &number) && value.at == value.end) {
            memcpy(&real, &number, 8);
            found = PyFloat_FromDouble(real);
        }
        break;
    case TAG(5, DELIMITED):
        if (!read_delimited(&value, &inner) || value.at != value.end)
            break;
        found = PyList_New(0);
        while (found != NULL && inner.at < inner.end) {
            PyObject *one = NULL;
            if (read_tag(&inner) == TAG(1, DELIMITED) && read_delimited(&inner, &item))
                one = value_of(item, depth + 1);
            if (one == NULL || PyList_Append(found, one) < 0)
                Py_CLEAR(found);
            Py_XDECREF(one);
        }
        break;
    case TAG(6, DELIMITED):
        if (!read_delimited(&value, &inner) || value.at != value.end)
            break;
        found = PyDict_New();
        while (found != NULL && inner.at < inner.end)
            if (read_tag(&inner) != TAG(1, DELIMITED) || !read_delimited(&inner, &item) ||
                !put_pair(found, item, depth + 1))
                Py_CLEAR(found);
        break;
    case TAG(7, DELIMITED):
        if (read_delimited(&value, &inner) && value.at == value.end)
            found = PyBytes_FromStringAndSize((const char *)inner.at, inner.end - inner.at);
        break;
    }
    return found;
}

static int
put_pair(PyObject *into, Bytes raw, int depth)
{
    Bytes from = raw, key_bytes = {raw.at, raw.at}, value_bytes = {raw.at, raw.at};
    uint64_t hash = 0;
    Pair *known = NULL;
    if (size_of(raw) < SMALL) {
        hash = hash_of(raw);
        known = &pairs[hash & (PAIRS - 1)];
        if (holds(known, hash, raw))
            return PyDict_SetItem(into, known->key, known->value) == 0;
    }
    if (from.at < from.end && *from.at == TAG(1, DELIMITED)) {
        from.at++;
        if (!read_delimited(&from, &key_bytes))
            return 0;
    }
    if (from.at < from.end && (*from.at++ != TAG(2, DELIMITED) ||
                               !read_delimited(&from, &value_bytes) || from.at != from.end))
        return 0;
    PyObject *key = key_of(key_bytes);
    PyObject *value = key == NULL ? NULL : value_of(value_bytes, depth);
    int done = value != NULL && PyDict_SetItem(into, key, value) == 0;
    /* Lists and dicts could be changed by who reads them. */
    if (done && known != NULL && !PyList_CheckExact(value) && !PyDict_CheckExact(value))
        remember(known, hash, raw, key, value);
    Py_XDECREF(key);
    Py_XDECREF(value);
    return done;
}

static int
put_pair_in(PyObject *into, Bytes *from)
{
    Bytes pair;
    return read_delimited(from, &pair) && put_pair(into, pair, 0);
}

/* Replace a reference by a new one; 0 where there is none. */
static int
set(PyObject **place, PyObject *made)
{
    if (made == NULL)
        return 0;
    Py_XSETREF(*place, made);
    return 1;
}

typedef struct {
    PyObject *span, *event, *link;
} Types;

static PyObject *
made_of(PyObject *type, PyObject **fields, Py_ssize_t count)
{
    return PyObject_Vectorcall(type, fields, (size_t)count, NULL);
}

static void
drop(PyObject **fields, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++)
        Py_XDECREF(fields[i]);
}

static PyObject *
event_of(Bytes event, const Types *types)
{
    uint64_t time = 0;
    PyObject *fields[3] = {PyUnicode_New(0, 0), NULL, PyDict_New()}, *made = NULL;
    int sound = fields[0] != NULL && fields[2] != NULL;
    while (sound && event.at < event.end) {
        Bytes inner;
        uint32_t tag = read_tag(&event);
        switch (tag) {
        case 0: sound = 0; break;
        case TAG(1, FIXED64): sound = read_fixed64(&event, &time); break;
        case TAG(2, DELIMITED):
            sound = read_delimited(&event, &inner) && set(&fields[0], key_of(inner));
            break;
        case TAG(3, DELIMITED): sound = put_pair_in(fields[2], &event); break;
        case TAG(4, VARINT): sound = skip(&event, tag); break;
        default: sound = 0;
        }
    }
    if (sound && set(&fields[1], PyLong_FromUnsignedLongLong(time)))
        made = made_of(types->event, fields, 3);
    drop(fields, 3);
    return made;
}

static PyObject *
link_of(Bytes link, const Types *types)
{
    PyObject *fields[3] = {PyUnicode_New(0, 0), PyUnicode_New(0, 0), PyDict_New()}, *made = NULL;
    int sound = fields[0] != NULL && fields[1] != NULL && fields[2] != NULL;
    while (sound && link.at < link.end) {
        Bytes inner;
        uint32_t tag = read_tag(&link);
        switch (tag) {
        case TAG(1, DELIMITED):
        case TAG(2, DELIMITED):
            sound = read_delimited(&link, &inner) && set(&fields[(tag >> 3) - 1], hex_of(inner));
            break;
        case TAG(4, DELIMITED): sound = put_pair_in(fields[2], &link); break;
        case TAG(3, DELIMITED):
        case TAG(5, VARINT):
        case TAG(6, FIXED32): sound = skip(&link, tag); break;
        default: sound = 0;
        }
    }
    if (sound)
        made = made_of(types->link, fields, 3);
    drop(fields, 3);
    return made;
}

/* In the order of RawSpan's fields, which a test compares with these names. */
enum {
    TRACE_ID, SPAN_ID, NAME, PARENT_ID, KIND, START_NS, END_NS, STATUS_CODE, STATUS_MESSAGE,
    ATTRIBUTES, EVENTS, LINKS, RESOURCE, SCOPE_NAME, SCOPE_VERSION, TRACE_STATE, FLAGS, FIELDS
};

static int
read_status(Bytes status, PyObject **fields)
{
    int sound = 1;
    uint64_t code = 0;
    while (sound && status.at < status.end) {
        Bytes inner;
        switch (read_tag(&status)) {
        case TAG(2, DELIMITED):
            sound = read_delimited(&status, &inner) &&
                    set(&fields[STATUS_MESSAGE], text_of(inner));
            break;
        case TAG(3, VARINT): sound = read_varint(&status, &code); break;
        default: sound = 0;
        }
    }
    return sound && set(&fields[STATUS_CODE], PyLong_FromLong((int32_t)(uint32_t)code));
}

static int
append(PyObject **list, PyObject *item)
{
    if (item == NULL)
        return 0;
    if (*list == NULL)
        *list = PyList_New(0);
    int done = *list != NULL && PyList_Append(*list, item) == 0;
    Py_DECREF(item);
    return done;
}

static int
read_span(Bytes span, const Types *types, PyObject **fields)
{
    uint64_t start = 0, end = 0, kind = 0;
    uint32_t flags = 0;
    int sound = 1, statuses = 0;
    while (sound && span.at < span.end) {
        Bytes inner;
        uint32_t tag = read_tag(&span);
        switch (tag) {
        case TAG(1, DELIMITED):
            sound = read_delimited(&span, &inner) && set(&fields[TRACE_ID], hex_of(inner));
            break;
        case TAG(2, DELIMITED):
            sound = read_delimited(&span, &inner) && set(&fields[SPAN_ID], hex_of(inner));
            break;
        case TAG(3, DELIMITED):
            sound = read_delimited(&span, &inner) && set(&fields[TRACE_STATE], text_of(inner));
            break;
        case TAG(4, DELIMITED):
            sound = read_delimited(&span, &inner);
            if (sound && (inner.at == inner.end || (size_of(inner) == 8 && is_zero(inner.at, 8))))
                sound = set(&fields[PARENT_ID], Py_NewRef(Py_None));
            else if (sound)
                sound = set(&fields[PARENT_ID], hex_of(inner));
            break;
        case TAG(5, DELIMITED):
            sound = read_delimited(&span, &inner) && set(&fields[NAME], key_of(inner));
            break;
        case TAG(6, VARINT): sound = read_varint(&span, &kind); break;
        case TAG(7, FIXED64): sound = read_fixed64(&span, &start); break;
        case TAG(8, FIXED64): sound = read_fixed64(&span, &end); break;
        case TAG(9, DELIMITED): sound = put_pair_in(fields[ATTRIBUTES], &span); break;
        case TAG(11, DELIMITED):
            sound = read_delimited(&span, &inner) &&
                    append(&fields[EVENTS], event_of(inner, types));
            break;
        case TAG(13, DELIMITED):
            sound = read_delimited(&span, &inner) && append(&fields[LINKS], link_of(inner, types));
            break;
        case TAG(15, DELIMITED):
            sound = ++statuses == 1 && read_delimited(&span, &inner) && read_status(inner, fields);
            break;
        case TAG(16, FIXED32): sound = read_fixed32(&span, &flags); break;
        case TAG(10, VARINT):
        case TAG(12, VARINT):
        case TAG(14, VARINT): sound = skip(&span, tag); break;
        default: sound = 0;
        }
    }
    return sound && set(&fields[KIND], PyLong_FromLong((int32_t)(uint32_t)kind)) &&
           set(&fields[START_NS], PyLong_FromUnsignedLongLong(start)) &&
           set(&fields[END_NS], PyLong_FromUnsignedLongLong(end)) &&
           set(&fields[FLAGS], PyLong_FromUnsignedLong(flags));
}

/* A list so far, or NULL, as a tuple. */
static int
settle(PyObject **place)
{
    PyObject *made = *place == NULL ? PyTuple_New(0) : PyList_AsTuple(*place);
    return set(place, made);
}

static PyObject *
span_of(Bytes span, const Types *types, PyObject *resource, PyObject *name, PyObject *version)
{
    PyObject *fields[FIELDS] = {NULL}, *made = NULL;
    int sound = set(&fields[ATTRIBUTES], PyDict_New());
    fields[RESOURCE] = Py_NewRef(resource);
    fields[SCOPE_NAME] = Py_NewRef(name);
    fields[SCOPE_VERSION] = Py_NewRef(version);
    fields[PARENT_ID] = Py_NewRef(Py_None);
    static const int texts[] = {TRACE_ID, SPAN_ID, NAME, STATUS_MESSAGE, TRACE_STATE};
    for (int i = 0; sound && i < 5; i++)
        sound = set(&fields[texts[i]], PyUnicode_New(0, 0));
    if (sound && set(&fields[STATUS_CODE], PyLong_FromLong(0)) && read_span(span, types, fields) &&
        settle(&fields[EVENTS]) && settle(&fields[LINKS]))
        made = made_of(types->span, fields, FIELDS);
    drop(fields, FIELDS);
    return made;
}

static int
read_scope_name(Bytes scope, PyObject **name, PyObject **version)
{
    while (scope.at < scope.end) {
        Bytes inner;
        int sound;
        uint32_t tag = read_tag(&scope);
        switch (tag) {
        case TAG(1, DELIMITED):
            sound = read_delimited(&scope, &inner) && set(name, key_of(inner));
            break;
        case TAG(2, DELIMITED):
            sound = read_delimited(&scope, &inner) && set(version, key_of(inner));
            break;
        case TAG(3, DELIMITED):
        case TAG(4, VARINT): sound = skip(&scope, tag); break;
        default: sound = 0;
        }
        if (!sound)
            return 0;
    }
    return 1;
}

/* The one field 1 in a resource's or scope's message, wherever it stands; 0 where it is unusual. */
static int
find_about(Bytes message, Bytes *about)
{
    int found = 0;
    about->at = about->end = message.at;
    while (message.at < message.end) {
        uint32_t tag = read_tag(&message);
        if (tag == TAG(1, DELIMITED)) {
            if (found++ || !read_delimited(&message, about))
                return 0;
        }
        else if ((tag != TAG(2, DELIMITED) && tag != TAG(3, DELIMITED)) || !skip(&message, tag))
            return 0;
    }
    return 1;
}

static int
read_scope(Bytes scope, const Types *types, PyObject *resource, PyObject *spans)
{
    Bytes about, inner;
    PyObject *name = PyUnicode_New(0, 0), *version = PyUnicode_New(0, 0);
    int sound = name != NULL && version != NULL && find_about(scope, &about) &&
                read_scope_name(about, &name, &version);
    while (sound && scope.at < scope.end) {
        uint32_t tag = read_tag(&scope);
        sound = tag && read_delimited(&scope, &inner);
        if (sound && tag == TAG(2, DELIMITED))
            sound = append(&spans, span_of(inner, types, resource, name, version));
    }
    Py_XDECREF(name);
    Py_XDECREF(version);
    return sound;
}

static int
read_resource(Bytes resource, const Types *types, PyObject *spans)
{
    Bytes about, inner;
    PyObject *attributes = PyDict_New();
    int sound = attributes != NULL && find_about(resource, &about);
    while (sound && about.at < about.end) {
        uint32_t tag = read_tag(&about);
        if (tag == TAG(1, DELIMITED))
            sound = put_pair_in(attributes, &about);
        else
            sound = (tag == TAG(2, VARINT) || tag == TAG(3, DELIMITED)) && skip(&about, tag);
    }
    while (sound && resource.at < resource.end) {
        uint32_t tag = read_tag(&resource);
        sound = tag && read_delimited(&resource, &inner);
        if (sound && tag == TAG(2, DELIMITED))
            sound = read_scope(inner, types, attributes, spans);
    }
    Py_XDECREF(attributes);
    return sound;
}

static PyObject *
decode(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer body;
    Types types;
    if (!PyArg_ParseTuple(args, "y*OOO:decode", &body, &types.span, &types.event, &types.link))
        return NULL;
    PyObject *spans = PyList_New(0);
    Bytes from = {body.buf, (const uint8_t *)body.buf + body.len}, inner;
    int sound = spans != NULL;
    while (sound && from.at < from.end)
        sound = read_tag(&from) == TAG(1, DELIMITED) && read_delimited(&from, &inner) &&
                read_resource(inner, &types, spans);
    PyBuffer_Release(&body);
    if (!sound) {
        Py_XDECREF(spans);
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    return spans;
}

static PyMethodDef methods[] = {
    {"split", split, METH_VARARGS,
     "split(body, limit, marker, carrier): parts by trace, or None where declined."},
    {"records", records, METH_VARARGS,
     "records(body, limit, marker, carrier, time): the journal's records, or None where declined."},
    {"decode", decode, METH_VARARGS,
     "decode(otlp, RawSpan, Event, Link): a list of spans, or None where declined."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "fidelity_otel.processor._scan", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__scan(void)
{
    crc_prepare();
    return PyModule_Create(&definition);
}
