/* What most attributes of model calls hold, read in C: messages and documents as JSON, plain fields.
 *
 * `messages` and `documents` do what dialects/conventional.py and dialects/documents.py do with texts
 * in exactly the conventions' shape. Whatever differs in anything (an unknown member, a member given
 * twice, another type, a lone surrogate) they decline by returning None, and the caller goes the
 * general way. `fill` is draft.fill. A test holds each to the Python way.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const char *at, *end;
} Json;

#define DEEPEST 64

/* Results of reading: what was asked for, something else (decline), or a Python error. */
enum { READ = 1, DECLINED = 0, FAILED = -1 };

static inline void
space(Json *from)
{
    while (from->at < from->end &&
           (*from->at == ' ' || *from->at == '\n' || *from->at == '\t' || *from->at == '\r'))
        from->at++;
}

static inline int
take(Json *from, char wanted)
{
    space(from);
    if (from->at == from->end || *from->at != wanted)
        return 0;
    from->at++;
    return 1;
}

static inline int
take_word(Json *from, const char *word, Py_ssize_t size)
{
    if (from->end - from->at < size || memcmp(from->at, word, (size_t)size))
        return 0;
    from->at += size;
    return 1;
}

/* --- texts ----------------------------------------------------------------------------------- */

#define EACH 0x0101010101010101ULL

/* Whether eight bytes are ASCII without quotation marks, backslashes and control characters. */
static inline int
plain(uint64_t eight)
{
    uint64_t quotes = eight ^ EACH * '"', slashes = eight ^ EACH * '\\';
    uint64_t odd = ((quotes - EACH) & ~quotes) | ((slashes - EACH) & ~slashes);
    return !((odd | (eight - EACH * 0x20) | eight) & EACH * 0x80);
}

/* Finds the end of a text whose quotation mark was taken; says whether it is plain ASCII. */
static int
span_of_text(Json *from, Json *inner, int *escaped, int *ascii)
{
    const char *at = from->at;
    int high = 0;
    *escaped = 0;
    for (;; at++) {
        uint64_t eight;
        while (from->end - at >= 8 && (memcpy(&eight, at, 8), plain(eight)))
            at += 8;
        if (at == from->end)
            return 0;
        unsigned char c = (unsigned char)*at;
        if (c == '"')
            break;
        if (c < 0x20)
            return 0;
        high |= c;
        if (c == '\\') {
            *escaped = 1;
            if (++at == from->end)
                return 0;
        }
    }
    inner->at = from->at, inner->end = at;
    from->at = at + 1;
    *ascii = high < 0x80;
    return 1;
}

static int
four_digits(const char *at, const char *end, Py_UCS4 *value)
{
    if (end - at < 4)
        return 0;
    *value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return 0;
        *value = *value << 4 | (Py_UCS4)digit;
    }
    return 1;
}

static char *
put_utf8(char *into, Py_UCS4 c)
{
    if (c < 0x80) {
        *into++ = (char)c;
    } else if (c < 0x800) {
        *into++ = (char)(0xc0 | c >> 6);
        *into++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *into++ = (char)(0xe0 | c >> 12);
        *into++ = (char)(0x80 | (c >> 6 & 0x3f));
        *into++ = (char)(0x80 | (c & 0x3f));
    } else {
        *into++ = (char)(0xf0 | c >> 18);
        *into++ = (char)(0x80 | (c >> 12 & 0x3f));
        *into++ = (char)(0x80 | (c >> 6 & 0x3f));
        *into++ = (char)(0x80 | (c & 0x3f));
    }
    return into;
}

/* Escapes opened; an escape is never shorter than what it stands for. 0 where one is not valid. */
static char *
unescaped(Json text, char *into)
{
    while (text.at < text.end) {
        const char *stop = memchr(text.at, '\\', (size_t)(text.end - text.at));
        if (!stop)
            stop = text.end;
        memcpy(into, text.at, (size_t)(stop - text.at));
        into += stop - text.at;
        text.at = stop;
        if (stop == text.end)
            break;
        char c = text.at[1];
        text.at += 2;
        Py_UCS4 value, low;
        switch (c) {
        case '"': case '\\': case '/': *into++ = c; break;
        case 'n': *into++ = '\n'; break;
        case 't': *into++ = '\t'; break;
        case 'r': *into++ = '\r'; break;
        case 'b': *into++ = '\b'; break;
        case 'f': *into++ = '\f'; break;
        case 'u':
            if (!four_digits(text.at, text.end, &value))
                return NULL;
            text.at += 4;
            if (value >= 0xd800 && value < 0xe000) {
                if (value >= 0xdc00 || text.end - text.at < 6 || text.at[0] != '\\' ||
                    text.at[1] != 'u' || !four_digits(text.at + 2, text.end, &low) ||
                    low < 0xdc00 || low > 0xdfff)
                    return NULL;
                text.at += 6;
                value = 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00);
            }
            into = put_utf8(into, value);
            break;
        default: return NULL;
        }
    }
    return into;
}

static PyObject *
made_text(Json inner, int escaped, int ascii, int *state)
{
    Py_ssize_t size = inner.end - inner.at;
    PyObject *made = NULL;
    *state = FAILED;
    if (!escaped) {
        if (!ascii)
            return PyUnicode_DecodeUTF8(inner.at, size, NULL);
        made = PyUnicode_New(size, 127);
        if (made && size)
            memcpy(PyUnicode_1BYTE_DATA(made), inner.at, (size_t)size);
        return made;
    }
    char small[1024], *buffer = size <= (Py_ssize_t)sizeof small ? small : PyMem_Malloc((size_t)size);
    if (!buffer)
        return PyErr_NoMemory();
    char *end = unescaped(inner, buffer);
    if (end)
        made = PyUnicode_DecodeUTF8(buffer, end - buffer, NULL);
    else
        *state = DECLINED;
    if (buffer != small)
        PyMem_Free(buffer);
    return made;
}

/* A text, or null as None; `state` says why there is none. */
static PyObject *
read_text(Json *from, int may_be_null, int *state)
{
    Json inner;
    int escaped, ascii;
    *state = DECLINED;
    space(from);
    if (may_be_null && take_word(from, "null", 4))
        return Py_NewRef(Py_None);
    if (!take(from, '"') || !span_of_text(from, &inner, &escaped, &ascii))
        return NULL;
    return made_text(inner, escaped, ascii, state);
}

/* --- values of any kind: found, and left to who reads JSON ----------------------------------- */

static int
skip_value(Json *from)
{
    space(from);
    int depth = 0;
    Json inner;
    int escaped, ascii;
    while (from->at < from->end) {
        char c = *from->at;
        if (c == '"') {
            from->at++;
            if (!span_of_text(from, &inner, &escaped, &ascii))
                return 0;
            if (!depth)
                return 1;
            continue;
        }
        if (c == '{' || c == '[') {
            if (++depth > DEEPEST)
                return 0;
        } else if (c == '}' || c == ']') {
            if (!depth)
                return 1; /* the end of a number or a word */
            from->at++;
            if (!--depth)
                return 1;
            continue;
        } else if (!depth && (c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r')) {
            return 1;
        }
        from->at++;
    }
    return 0;
}

typedef struct {
    PyObject *message, *part;               /* the types */
    PyObject *opened, *flattened, *finish;  /* functions of the dialects */
    PyObject *decode;                       /* reads a JSON value of any kind */
} Tools;

/* A value of any kind as `decode` reads it; what that cannot read is declined. */
static PyObject *
read_value(Json *from, const Tools *tools, int *state)
{
    space(from);
    const char *begin = from->at;
    *state = DECLINED;
    if (!skip_value(from) || from->at == begin)
        return NULL;
    PyObject *bytes = PyBytes_FromStringAndSize(begin, from->at - begin);
    if (!bytes) {
        *state = FAILED;
        return NULL;
    }
    PyObject *value = PyObject_CallOneArg(tools->decode, bytes);
    Py_DECREF(bytes);
    if (!value) {
        if (PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_RecursionError))
            PyErr_Clear(); /* msgspec's errors are ValueErrors */
        else
            *state = FAILED;
    }
    return value;
}

/* --- objects: members by name, each at most once --------------------------------------------- */

typedef struct {
    const char *name;
    int kind;
} Member;

enum { TEXT, TEXT_OR_NULL, ANYTHING, NUMBER_OR_NULL, PARTS };

static int read_parts(Json *from, const Tools *tools, PyObject **parts, int *responses);

static PyObject *
read_number(Json *from, int *state)
{
    space(from);
    *state = DECLINED;
    if (take_word(from, "null", 4))
        return Py_NewRef(Py_None);
    const char *at = from->at, *end = from->end;
    char text[20];
    size_t size = 0;
    int digits = 0;
    if (at < end && *at == '-')
        text[size++] = *at++;
    if (at + 1 < end && at[0] == '0' && at[1] >= '0' && at[1] <= '9')
        return NULL;
    for (; at < end && *at >= '0' && *at <= '9' && size < 15; digits++)
        text[size++] = *at++;
    if (!digits)
        return NULL;
    if (at < end && *at == '.') {
        text[size++] = *at++;
        for (digits = 0; at < end && *at >= '0' && *at <= '9' && size < 18; digits++)
            text[size++] = *at++;
        if (!digits)
            return NULL;
    }
    if (at == end || !strchr(",}] \n\t\r", *at))
        return NULL; /* an exponent, or more digits than are usual */
    text[size] = 0;
    from->at = at;
    double value = PyOS_string_to_double(text, NULL, NULL);
    *state = FAILED;
    return PyErr_Occurred() ? NULL : PyFloat_FromDouble(value);
}

#define MOST_MEMBERS 10

static int
name_of(Json *from, const Member *members, int count)
{
    Json name;
    int escaped, ascii;
    if (!take(from, '"') || !span_of_text(from, &name, &escaped, &ascii) || !take(from, ':'))
        return -1;
    size_t size = (size_t)(name.end - name.at);
    for (int i = 0; i < count; i++)
        if (strlen(members[i].name) == size && !memcmp(members[i].name, name.at, size))
            return i;
    return -1;
}

/* The members of an object into `values`, NULL where absent; `parts` needs `tools`. */
static int
read_object(Json *from, const Member *members, int count, const Tools *tools, PyObject **values,
            int *responses)
{
    int state = DECLINED;
    memset(values, 0, sizeof *values * (size_t)count);
    if (!take(from, '{'))
        return DECLINED;
    if (take(from, '}'))
        return READ;
    do {
        int i = name_of(from, members, count);
        if (i < 0 || values[i])
            goto other;
        switch (members[i].kind) {
        case TEXT: values[i] = read_text(from, 0, &state); break;
        case TEXT_OR_NULL: values[i] = read_text(from, 1, &state); break;
        case NUMBER_OR_NULL: values[i] = read_number(from, &state); break;
        case ANYTHING: values[i] = read_value(from, tools, &state); break;
        default: state = read_parts(from, tools, &values[i], responses);
        }
        if (!values[i])
            goto other;
        state = DECLINED;
    } while (take(from, ','));
    if (take(from, '}'))
        return READ;
other:
    for (int i = 0; i < count; i++)
        Py_CLEAR(values[i]);
    return state == FAILED ? FAILED : DECLINED;
}

static void
clear(PyObject **values, int count)
{
    for (int i = 0; i < count; i++)
        Py_CLEAR(values[i]);
}

static int
is(PyObject *text, const char *wanted)
{
    return text && text != Py_None && PyUnicode_CompareWithASCIIString(text, wanted) == 0;
}

/* A text, or None for one that is empty, null or absent. */
static PyObject *
or_none(PyObject *text)
{
    return text && text != Py_None && PyUnicode_GET_LENGTH(text) ? text : Py_None;
}

/* --- messages -------------------------------------------------------------------------------- */

static const Member PART[] = {
    {"type", TEXT}, {"content", TEXT}, {"name", TEXT_OR_NULL},
    {"id", TEXT_OR_NULL}, {"arguments", ANYTHING}, {"response", ANYTHING},
};
enum { P_TYPE, P_CONTENT, P_NAME, P_ID, P_ARGUMENTS, P_RESPONSE, P_COUNT };

static PyObject *kind_text, *kind_reasoning, *kind_call, *kind_response;
static PyObject *role_names[4]; /* system, user, assistant, tool */

static PyObject *
made_part(PyObject **has, const Tools *tools, int *responses, int *state)
{
    PyObject *none = Py_None, *made = NULL, *inner;
    *state = DECLINED;
    int text = is(has[P_TYPE], "text");
    if (text || is(has[P_TYPE], "reasoning")) {
        if (!has[P_CONTENT] || has[P_NAME] || has[P_ID] || has[P_ARGUMENTS] || has[P_RESPONSE])
            return NULL;
        PyObject *given[] = {text ? kind_text : kind_reasoning, has[P_CONTENT]};
        *state = FAILED;
        return PyObject_Vectorcall(tools->part, given, 2, NULL);
    }
    int call = is(has[P_TYPE], "tool_call");
    if (has[P_CONTENT] || (!call && !is(has[P_TYPE], "tool_call_response")))
        return NULL;
    if (call && (has[P_RESPONSE] || or_none(has[P_NAME]) == Py_None))
        return NULL;
    if (!call && has[P_ARGUMENTS])
        return NULL;
    *state = FAILED;
    inner = call ? has[P_ARGUMENTS] : has[P_RESPONSE];
    inner = PyObject_CallOneArg(call ? tools->opened : tools->flattened, inner ? inner : none);
    if (!inner)
        return NULL;
    if (call) {
        PyObject *given[] = {kind_call, none, or_none(has[P_ID]), has[P_NAME], inner};
        made = PyObject_Vectorcall(tools->part, given, 5, NULL);
    } else {
        ++*responses;
        PyObject *given[] = {
            kind_response, none, or_none(has[P_ID]), or_none(has[P_NAME]), none, inner};
        made = PyObject_Vectorcall(tools->part, given, 6, NULL);
    }
    Py_DECREF(inner);
    return made;
}

/* A list whose entries are read by `entry`, as a tuple. */
static int
read_list(Json *from, int (*entry)(Json *, void *, PyObject **), void *with, PyObject **made)
{
    PyObject *found[32], *more = NULL;
    Py_ssize_t count = 0;
    int state = DECLINED;
    *made = NULL;
    if (!take(from, '['))
        return DECLINED;
    if (take(from, ']')) {
        *made = PyTuple_New(0);
        return *made ? READ : FAILED;
    }
    do {
        PyObject *one;
        state = entry(from, with, &one);
        if (state != READ)
            goto done;
        if (!more && count < 32) {
            found[count++] = one;
            continue;
        }
        state = FAILED;
        if (!more && !(more = PyList_New(0))) {
            Py_DECREF(one);
            goto done;
        }
        int added = PyList_Append(more, one);
        Py_DECREF(one);
        if (added < 0)
            goto done;
    } while (take(from, ','));
    state = DECLINED;
    if (!take(from, ']'))
        goto done;
    state = FAILED;
    Py_ssize_t rest = more ? PyList_GET_SIZE(more) : 0;
    *made = PyTuple_New(count + rest);
    if (!*made)
        goto done;
    for (Py_ssize_t i = 0; i < count; i++)
        PyTuple_SET_ITEM(*made, i, found[i]);
    for (Py_ssize_t i = 0; i < rest; i++)
        PyTuple_SET_ITEM(*made, count + i, Py_NewRef(PyList_GET_ITEM(more, i)));
    Py_XDECREF(more);
    return READ;
done:
    for (Py_ssize_t i = 0; i < count; i++)
        Py_DECREF(found[i]);
    Py_XDECREF(more);
    return state;
}

typedef struct {
    const Tools *tools;
    int *responses;
} Within;

static int
part_entry(Json *from, void *with, PyObject **one)
{
    const Within *within = with;
    PyObject *has[P_COUNT];
    int state = read_object(from, PART, P_COUNT, within->tools, has, NULL);
    if (state != READ)
        return state;
    *one = made_part(has, within->tools, within->responses, &state);
    clear(has, P_COUNT);
    return *one ? READ : state;
}

static int
read_parts(Json *from, const Tools *tools, PyObject **parts, int *responses)
{
    Within within = {tools, responses};
    return read_list(from, part_entry, &within, parts);
}

static const Member MESSAGE[] = {
    {"role", TEXT}, {"parts", PARTS}, {"finish_reason", TEXT_OR_NULL}, {"name", TEXT_OR_NULL},
};
enum { M_ROLE, M_PARTS, M_FINISH, M_NAME, M_COUNT };
enum { USER = 1, TOOL = 3 };

static PyObject *
made_message(PyObject **has, const Tools *tools, int responses, int *state)
{
    PyObject *none = Py_None, *reason = NULL, *made;
    int role = 0;
    *state = DECLINED;
    if (!has[M_ROLE] || !has[M_PARTS])
        return NULL;
    while (role < 4 && PyUnicode_Compare(has[M_ROLE], role_names[role]))
        role++;
    if (role == 4)
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(has[M_PARTS]);
    int results = role == TOOL || (role == USER && responses && responses == count);
    if (results && !responses)
        return NULL;
    *state = FAILED;
    if (has[M_FINISH] && has[M_FINISH] != Py_None &&
        !(reason = PyObject_CallOneArg(tools->finish, has[M_FINISH])))
        return NULL;
    PyObject *name = results || !has[M_NAME] ? none : has[M_NAME];
    PyObject *given[] = {
        role_names[results ? TOOL : role], has[M_PARTS], name, reason ? reason : none};
    made = PyObject_Vectorcall(tools->message, given, 4, NULL);
    Py_XDECREF(reason);
    return made;
}

static int
message_entry(Json *from, void *with, PyObject **one)
{
    const Tools *tools = with;
    PyObject *has[M_COUNT];
    int responses = 0, state = read_object(from, MESSAGE, M_COUNT, tools, has, &responses);
    if (state != READ)
        return state;
    *one = made_message(has, tools, responses, &state);
    clear(has, M_COUNT);
    return *one ? READ : state;
}

/* The whole of a text as a list; None where declined. */
static PyObject *
whole(PyObject *text, int (*entry)(Json *, void *, PyObject **), void *with)
{
    Py_ssize_t size;
    const char *at = PyUnicode_AsUTF8AndSize(text, &size);
    if (!at) { /* lone surrogates */
        if (!PyErr_ExceptionMatches(PyExc_UnicodeError))
            return NULL;
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    Json from = {at, at + size};
    PyObject *made;
    int state = read_list(&from, entry, with, &made);
    if (state == READ) {
        space(&from);
        if (from.at == from.end)
            return made;
        Py_DECREF(made);
    }
    if (state == FAILED)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
messages(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 7 || !PyUnicode_Check(given[0])) {
        PyErr_SetString(PyExc_TypeError,
                        "messages(text, Message, Part, arguments, flattened, finish_reason, decode)");
        return NULL;
    }
    Tools tools = {given[1], given[2], given[3], given[4], given[5], given[6]};
    return whole(given[0], message_entry, &tools);
}

/* --- documents ------------------------------------------------------------------------------- */

static const Member DOCUMENT[] = {
    {"id", TEXT_OR_NULL}, {"score", NUMBER_OR_NULL}, {"content", TEXT_OR_NULL},
    {"title", TEXT_OR_NULL}, {"source", TEXT_OR_NULL}, {"indexed_at", TEXT_OR_NULL},
    {"updated_at", TEXT_OR_NULL}, {"superseded_by", TEXT_OR_NULL},
};
enum { D_ID, D_SCORE, D_CONTENT, D_TITLE, D_SOURCE, D_COUNT = 8 };

static int
document_entry(Json *from, void *with, PyObject **one)
{
    PyObject *has[D_COUNT], *given[D_COUNT];
    int state = read_object(from, DOCUMENT, D_COUNT, NULL, has, NULL);
    if (state != READ)
        return state;
    for (int i = 0; i < D_COUNT; i++)
        given[i] = i == D_SCORE ? (has[i] ? has[i] : Py_None) : or_none(has[i]);
    if (given[D_ID] == Py_None && given[D_CONTENT] == Py_None && given[D_TITLE] == Py_None &&
        given[D_SOURCE] == Py_None) {
        clear(has, D_COUNT);
        return DECLINED;
    }
    *one = PyObject_Vectorcall(with, given, D_COUNT, NULL);
    clear(has, D_COUNT);
    return *one ? READ : FAILED;
}

static PyObject *
documents(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 2 || !PyUnicode_Check(given[0])) {
        PyErr_SetString(PyExc_TypeError, "documents(text, Document)");
        return NULL;
    }
    return whole(given[0], document_entry, given[1]);
}

/* --- plain fields ---------------------------------------------------------------------------- */

static PyObject *
fill(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 4 || !PyDict_Check(given[0]) || !PyTuple_Check(given[1]) ||
        !PyDict_Check(given[2])) {
        PyErr_SetString(PyExc_TypeError, "fill(into, rules, attributes, text)");
        return NULL;
    }
    PyObject *into = given[0], *rules = given[1], *attributes = given[2], *text = given[3];
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(rules); i++) {
        PyObject *rule = PyTuple_GET_ITEM(rules, i);
        if (!PyTuple_Check(rule) || PyTuple_GET_SIZE(rule) != 4) {
            PyErr_SetString(PyExc_TypeError, "a rule is a field, a name, a reader and a usage");
            return NULL;
        }
        PyObject *field = PyTuple_GET_ITEM(rule, 0), *read = PyTuple_GET_ITEM(rule, 2);
        int known = PyDict_Contains(into, field);
        if (known < 0)
            return NULL;
        if (known)
            continue;
        PyObject *value = PyDict_GetItemWithError(attributes, PyTuple_GET_ITEM(rule, 1));
        if (!value && PyErr_Occurred())
            return NULL;
        if (!value)
            value = Py_None;
        if (read == text && PyUnicode_CheckExact(value)) {
            if (PyUnicode_GET_LENGTH(value) && PyDict_SetItem(into, field, value) < 0)
                return NULL;
            continue;
        }
        value = PyObject_CallOneArg(read, value);
        if (!value)
            return NULL;
        int put = value == Py_None ? 0 : PyDict_SetItem(into, field, value);
        Py_DECREF(value);
        if (put < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

#define FAST(name) (PyCFunction)(void (*)(void))name, METH_FASTCALL

static PyMethodDef methods[] = {
    {"messages", FAST(messages), "The messages in a JSON text, or None where declined."},
    {"documents", FAST(documents), "The documents in a JSON text, or None where declined."},
    {"fill", FAST(fill), "fill(into, rules, attributes, text): fields by rules, as draft.fill."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "fidelity_otel.processor._read", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__read(void)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    for (int i = 0; i < 4; i++)
        if (!(role_names[i] = PyUnicode_InternFromString(roles[i])))
            return NULL;
    kind_text = PyUnicode_InternFromString("text");
    kind_reasoning = PyUnicode_InternFromString("reasoning");
    kind_call = PyUnicode_InternFromString("tool_call");
    kind_response = PyUnicode_InternFromString("tool_call_response");
    if (!kind_text || !kind_reasoning || !kind_call || !kind_response)
        return NULL;
    return PyModule_Create(&definition);
}
