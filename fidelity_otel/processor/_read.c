/* What most attributes of model calls hold, read in C: messages and documents as JSON, plain fields.
 *
 * `messages` and `documents` do what dialects/conventional.py and dialects/documents.py do with texts
 * in exactly the conventions' shape. Whatever differs in anything (an unknown member, a member given
 * twice, another type, a lone surrogate) they decline by returning None, and the caller goes the
 * general way. `fill` is draft.fill. `span` does all of dialects/span.py with spans in our own names
 * and the conventions'. A test holds each to the Python way.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
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
    PyObject *finishes;                     /* what `finish` gives for usual words, or NULL */
    PyObject *reasons;                      /* a list for finish reasons met, or NULL */
} Tools;

static PyObject *
finished(PyObject *word, const Tools *tools)
{
    PyObject *known = tools->finishes ? PyDict_GetItemWithError(tools->finishes, word) : NULL;
    if (known || PyErr_Occurred())
        return Py_XNewRef(known);
    return PyObject_CallOneArg(tools->finish, word);
}

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
    size_t size;
    int kind;
} Member;

#define MEMBER(name, kind) {name, sizeof name - 1, kind}

enum { WORD, TEXT, TEXT_OR_NULL, ANYTHING, NUMBER_OR_NULL, PARTS };

/* The types of parts and the roles: one object each, which is what they are known by. */
static PyObject *kind_text, *kind_reasoning, *kind_call, *kind_response;
static PyObject *role_names[4]; /* system, user, assistant, tool */
static const struct {
    const char *text;
    size_t size;
    PyObject **word;
} WORDS[] = {
    {"text", 4, &kind_text}, {"reasoning", 9, &kind_reasoning}, {"tool_call", 9, &kind_call},
    {"tool_call_response", 18, &kind_response}, {"system", 6, &role_names[0]},
    {"user", 4, &role_names[1]}, {"assistant", 9, &role_names[2]}, {"tool", 4, &role_names[3]},
};

/* One of the words above; any other is declined. */
static PyObject *
read_word(Json *from, int *state)
{
    Json inner;
    int escaped, ascii;
    *state = DECLINED;
    if (!take(from, '"') || !span_of_text(from, &inner, &escaped, &ascii))
        return NULL;
    size_t size = (size_t)(inner.end - inner.at);
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (WORDS[i].size == size && !memcmp(WORDS[i].text, inner.at, size))
            return Py_NewRef(*WORDS[i].word);
    return NULL;
}

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
        if (members[i].size == size && !memcmp(members[i].name, name.at, size))
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
        case WORD: values[i] = read_word(from, &state); break;
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

/* A text, or None for one that is empty, null or absent. */
static PyObject *
or_none(PyObject *text)
{
    return text && text != Py_None && PyUnicode_GET_LENGTH(text) ? text : Py_None;
}

/* --- messages -------------------------------------------------------------------------------- */

static const Member PART[] = {
    MEMBER("type", WORD), MEMBER("content", TEXT), MEMBER("name", TEXT_OR_NULL),
    MEMBER("id", TEXT_OR_NULL), MEMBER("arguments", ANYTHING), MEMBER("response", ANYTHING),
};
enum { P_TYPE, P_CONTENT, P_NAME, P_ID, P_ARGUMENTS, P_RESPONSE, P_COUNT };

static PyObject *execute_tool, *execute_tool_, *word_ok, *word_error, *name_type, *line_break;

static PyObject *
made_part(PyObject **has, const Tools *tools, int *responses, int *state)
{
    PyObject *none = Py_None, *made = NULL, *inner;
    *state = DECLINED;
    int text = has[P_TYPE] == kind_text;
    if (text || has[P_TYPE] == kind_reasoning) {
        if (!has[P_CONTENT] || has[P_NAME] || has[P_ID] || has[P_ARGUMENTS] || has[P_RESPONSE])
            return NULL;
        PyObject *given[] = {has[P_TYPE], has[P_CONTENT]};
        *state = FAILED;
        return PyObject_Vectorcall(tools->part, given, 2, NULL);
    }
    int call = has[P_TYPE] == kind_call;
    if (has[P_CONTENT] || (!call && has[P_TYPE] != kind_response))
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
    MEMBER("role", WORD), MEMBER("parts", PARTS), MEMBER("finish_reason", TEXT_OR_NULL),
    MEMBER("name", TEXT_OR_NULL),
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
    while (role < 4 && has[M_ROLE] != role_names[role])
        role++;
    if (role == 4)
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(has[M_PARTS]);
    int results = role == TOOL || (role == USER && responses && responses == count);
    if (results && !responses)
        return NULL;
    *state = FAILED;
    if (has[M_FINISH] && has[M_FINISH] != Py_None && !(reason = finished(has[M_FINISH], tools)))
        return NULL;
    if (tools->reasons && reason && PyUnicode_Check(reason) && PyUnicode_GET_LENGTH(reason) &&
        PyList_Append(tools->reasons, reason) < 0) {
        Py_DECREF(reason);
        return NULL;
    }
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
    Tools tools = {given[1], given[2], given[3], given[4], given[5], given[6], NULL, NULL};
    return whole(given[0], message_entry, &tools);
}

/* --- documents ------------------------------------------------------------------------------- */

static const Member DOCUMENT[] = {
    MEMBER("id", TEXT_OR_NULL), MEMBER("score", NUMBER_OR_NULL), MEMBER("content", TEXT_OR_NULL),
    MEMBER("title", TEXT_OR_NULL), MEMBER("source", TEXT_OR_NULL),
    MEMBER("indexed_at", TEXT_OR_NULL), MEMBER("updated_at", TEXT_OR_NULL),
    MEMBER("superseded_by", TEXT_OR_NULL),
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

/* --- whole spans ----------------------------------------------------------------------------- */

/* In the order of Span's fields, which a test compares with these names. */
static const char *const SPAN_FIELDS[] = {
    "trace_id", "span_id", "name", "parent_id", "operation", "start_ns", "end_ns", "status",
    "status_message", "error_type", "provider", "model_requested", "model_used", "response_id",
    "system", "input_messages", "output_messages", "finish_reasons", "usage", "tool",
    "tool_definitions", "query", "documents", "input", "output", "attempt", "attempts", "recovery",
    "agent", "workflow", "conversation_id", "user_id", "release", "losses", "dialect", "service",
    "scope", "attributes", "resource", "events", "links", "merged",
};
enum {
    TRACE_ID, SPAN_ID, NAME, PARENT_ID, OPERATION, START_NS, END_NS, STATUS, STATUS_MESSAGE,
    ERROR_TYPE, PROVIDER, MODEL_REQUESTED, MODEL_USED, RESPONSE_ID, SYSTEM, INPUT_MESSAGES,
    OUTPUT_MESSAGES, FINISH_REASONS, USAGE, TOOL_CALL, TOOL_DEFINITIONS, QUERY, DOCUMENTS, INPUT,
    OUTPUT, ATTEMPT, ATTEMPTS, RECOVERY, AGENT, WORKFLOW, CONVERSATION_ID, USER_ID, RELEASE, LOSSES,
    DIALECT, SERVICE, SCOPE, ATTRIBUTES, RESOURCE, EVENTS, LINKS, MERGED, SPAN_COUNT
};

/* What is done with an attribute; dialects/plan.py makes plans of these, three bytes each. */
static const char *const STEPS[] = {
    "text", "integer", "usage", "own_value", "operation", "messages", "system", "definitions",
    "reasons", "tool_name", "tool_id", "tool_arguments", "tool_result", "documents",
};
enum {
    S_TEXT, S_INTEGER, S_USAGE, S_OWN_VALUE, S_OPERATION, S_MESSAGES, S_SYSTEM, S_DEFINITIONS,
    S_REASONS, S_TOOL_NAME, S_TOOL_ID, S_TOOL_ARGUMENTS, S_TOOL_RESULT, S_DOCUMENTS, STEP_COUNT
};

/* What the fields of RawSpan and of what is made are called, and what makes them. */
typedef struct {
    PyObject *span, *usage, *tool_call, *document, *defaults, *operations;
    PyObject *service_name, *service_version;
    Tools tools;
} Makers;

enum {
    R_TRACE_ID, R_SPAN_ID, R_NAME, R_PARENT_ID, R_START_NS, R_END_NS, R_STATUS_CODE,
    R_STATUS_MESSAGE, R_ATTRIBUTES, R_EVENTS, R_LINKS, R_RESOURCE, R_SCOPE_NAME, R_COUNT
};
static const char *const RAW_FIELDS[] = {
    "trace_id", "span_id", "name", "parent_id", "start_ns", "end_ns", "status_code",
    "status_message", "attributes", "events", "links", "resource", "scope_name",
};

/* Where each field is in objects of a type whose fields are slots; found once for the type. */
static PyTypeObject *raw_type;
static Py_ssize_t raw_offsets[R_COUNT];

static int
find_fields(PyTypeObject *type)
{
    for (int i = 0; i < R_COUNT; i++) {
        PyObject *found = PyObject_GetAttrString((PyObject *)type, RAW_FIELDS[i]);
        if (!found) {
            PyErr_Clear();
            return DECLINED;
        }
        int slot = Py_IS_TYPE(found, &PyMemberDescr_Type) &&
                   ((PyMemberDescrObject *)found)->d_member->type == T_OBJECT_EX;
        if (slot)
            raw_offsets[i] = ((PyMemberDescrObject *)found)->d_member->offset;
        Py_DECREF(found);
        if (!slot)
            return DECLINED;
    }
    Py_INCREF(type);
    Py_XSETREF(raw_type, type);
    return READ;
}

enum { NAMES_MOST = 256 };
enum { U_COUNT = 4 };
enum { T_NAME, T_ID, T_ARGUMENTS, T_TEXT, T_RESULT, T_ERROR, T_COUNT };

/* A span while it is read: `raw` and `values` are borrowed, the rest is owned. */
typedef struct {
    PyObject *raw[R_COUNT], *values[NAMES_MOST];
    PyObject *fields[SPAN_COUNT], *usage[U_COUNT], *tool[T_COUNT];
} Reading;

/* Puts a new reference in its place, unless that is filled; NULL says why there is none. */
static int
put(PyObject **place, PyObject *made, int state)
{
    if (!made)
        return state;
    if (*place)
        Py_DECREF(made);
    else
        *place = made;
    return READ;
}

static int
put_text(PyObject **place, PyObject *value)
{
    if (!value || value == Py_None || *place)
        return READ;
    if (!PyUnicode_CheckExact(value))
        return DECLINED;
    if (PyUnicode_GET_LENGTH(value))
        *place = Py_NewRef(value);
    return READ;
}

static int
put_integer(PyObject **place, PyObject *value)
{
    int overflow;
    if (value == Py_None || *place)
        return READ;
    if (!PyLong_CheckExact(value))
        return DECLINED;
    PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow)
        return DECLINED;
    *place = Py_NewRef(value);
    return READ;
}

/* Puts a tuple in its place; an empty one says nothing. */
static int
put_some(PyObject **place, PyObject *made, int state)
{
    if (made && !PyTuple_GET_SIZE(made)) {
        Py_DECREF(made);
        return READ;
    }
    return put(place, made, state);
}

/* What JSON in a text says. */
static PyObject *
opened(PyObject *text, const Tools *tools, int *state)
{
    *state = DECLINED;
    PyObject *value = PyObject_CallOneArg(tools->decode, text);
    if (!value) {
        if (PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_RecursionError))
            PyErr_Clear();
        else
            *state = FAILED;
    }
    return value;
}

/* draft.value: a text that may or may not be JSON; NULL and READ for an empty one. */
static PyObject *
value_of(PyObject *given, const Tools *tools, int *state)
{
    *state = READ;
    if (PyDict_CheckExact(given) || PyList_CheckExact(given))
        return Py_NewRef(given);
    if (!PyUnicode_CheckExact(given)) {
        *state = DECLINED;
        return NULL;
    }
    if (!PyUnicode_GET_LENGTH(given))
        return NULL;
    Py_UCS4 head = PyUnicode_READ_CHAR(given, 0);
    if (head == '{' || head == '[' || head == '"')
        return opened(given, tools, state);
    return Py_NewRef(given);
}

/* A result as `flattened` gives it, which leaves alone what is no list and has no type. */
static PyObject *
flat(PyObject *value, const Tools *tools)
{
    if (PyUnicode_CheckExact(value) || value == Py_None || PyBool_Check(value) ||
        PyLong_CheckExact(value) || PyFloat_CheckExact(value))
        return Py_NewRef(value);
    if (PyDict_CheckExact(value)) {
        PyObject *type = PyDict_GetItemWithError(value, name_type);
        if (!type)
            return PyErr_Occurred() ? NULL : Py_NewRef(value);
    }
    return PyObject_CallOneArg(tools->flattened, value);
}

static int
put_tool(PyObject **place, PyObject *made, int state)
{
    if (made && (made == Py_None || (PyUnicode_Check(made) && !PyUnicode_GET_LENGTH(made)))) {
        Py_DECREF(made);
        return READ;
    }
    return put(place, made, state);
}

static int
put_result(PyObject **place, PyObject *given, const Tools *tools)
{
    int state;
    PyObject *value = value_of(given, tools, &state);
    if (!value)
        return state;
    PyObject *made = flat(value, tools);
    Py_DECREF(value);
    return put_tool(place, made, FAILED);
}

static int
put_arguments(PyObject **place, PyObject *given, const Tools *tools)
{
    int state = DECLINED;
    PyObject *made = NULL;
    if (PyUnicode_CheckExact(given))
        made = opened(given, tools, &state);
    else if (PyDict_CheckExact(given) || PyList_CheckExact(given))
        made = Py_NewRef(given);
    return put_tool(place, made, state);
}

/* The texts of an array as finish reasons, in the conventions' words. */
static int
put_reasons(PyObject **place, PyObject *given, const Tools *tools)
{
    if (!PyList_CheckExact(given))
        return DECLINED;
    PyObject *found = PyList_New(0);
    for (Py_ssize_t i = 0; found && i < PyList_GET_SIZE(given); i++) {
        PyObject *each = PyList_GET_ITEM(given, i);
        if (!PyUnicode_CheckExact(each) || !PyUnicode_GET_LENGTH(each))
            continue;
        PyObject *reason = finished(each, tools);
        if (!reason || (reason != Py_None && PyList_Append(found, reason) < 0))
            Py_CLEAR(found);
        Py_XDECREF(reason);
    }
    PyObject *made = found ? PyList_AsTuple(found) : NULL;
    Py_XDECREF(found);
    return put_some(place, made, FAILED);
}

static int
put_definitions(PyObject **place, PyObject *given, const Tools *tools)
{
    int state = DECLINED;
    PyObject *found = PyUnicode_CheckExact(given) ? opened(given, tools, &state) : NULL;
    if (!found)
        return state;
    PyObject *kept = PyList_CheckExact(found) ? PyList_New(0) : NULL;
    state = PyList_CheckExact(found) ? FAILED : DECLINED;
    for (Py_ssize_t i = 0; kept && i < PyList_GET_SIZE(found); i++) {
        PyObject *each = PyList_GET_ITEM(found, i);
        if (PyDict_CheckExact(each) && PyList_Append(kept, each) < 0)
            Py_CLEAR(kept);
    }
    PyObject *made = kept ? PyList_AsTuple(kept) : NULL;
    Py_XDECREF(kept);
    Py_DECREF(found);
    return put_some(place, made, state);
}

/* The whole of a text as a list, NULL where declined or failed. */
static PyObject *
whole_of(PyObject *text, int (*entry)(Json *, void *, PyObject **), void *with, int *state)
{
    *state = DECLINED;
    if (!PyUnicode_CheckExact(text))
        return NULL;
    PyObject *made = whole(text, entry, with);
    if (made == Py_None) {
        Py_DECREF(made);
        return NULL;
    }
    *state = FAILED;
    return made;
}

static int
put_messages(Reading *reading, int slot, PyObject *given, const Makers *makers)
{
    int state;
    Tools tools = makers->tools;
    if (slot == OUTPUT_MESSAGES && !(tools.reasons = PyList_New(0)))
        return FAILED;
    PyObject *made = whole_of(given, message_entry, &tools, &state);
    state = put_some(&reading->fields[slot], made, state);
    if (tools.reasons && state == READ && PyList_GET_SIZE(tools.reasons))
        state = put(&reading->fields[FINISH_REASONS], PyList_AsTuple(tools.reasons), FAILED);
    Py_XDECREF(tools.reasons);
    return state;
}

static int
text_entry(Json *from, void *Py_UNUSED(with), PyObject **one)
{
    PyObject *has[2];
    int state = read_object(from, PART, 2, NULL, has, NULL);
    if (state != READ)
        return state;
    if (has[P_TYPE] != kind_text || !has[P_CONTENT]) {
        clear(has, 2);
        return DECLINED;
    }
    *one = has[P_CONTENT];
    Py_DECREF(has[P_TYPE]);
    return READ;
}

/* Instructions as a list of texts, joined where they are not empty. */
static int
put_system(PyObject **place, PyObject *given)
{
    int state;
    PyObject *texts = whole_of(given, text_entry, NULL, &state);
    if (!texts)
        return state;
    PyObject *told = PyList_New(0), *made = NULL;
    for (Py_ssize_t i = 0; told && i < PyTuple_GET_SIZE(texts); i++) {
        PyObject *each = PyTuple_GET_ITEM(texts, i);
        if (PyUnicode_GET_LENGTH(each) && PyList_Append(told, each) < 0)
            Py_CLEAR(told);
    }
    if (told)
        made = PyList_GET_SIZE(told) == 1 ? Py_NewRef(PyList_GET_ITEM(told, 0))
                                          : PyUnicode_Join(line_break, told);
    Py_XDECREF(told);
    Py_DECREF(texts);
    if (made && !PyUnicode_GET_LENGTH(made)) {
        Py_DECREF(made);
        return READ;
    }
    return put(place, made, FAILED);
}

static int
put_operation(PyObject **place, PyObject *given, PyObject *operations)
{
    if (!PyUnicode_CheckExact(given))
        return DECLINED;
    PyObject *found = PyDict_GetItemWithError(operations, given);
    if (!found)
        return PyErr_Occurred() ? FAILED : DECLINED;
    return put(place, Py_NewRef(found), FAILED);
}

static int
follow(Reading *reading, int step, int slot, PyObject *value, const Makers *makers)
{
    int state;
    PyObject *made;
    const Tools *tools = &makers->tools;
    if (value == Py_None)
        return READ;
    switch (step) {
    case S_TEXT: return put_text(&reading->fields[slot], value);
    case S_INTEGER: return put_integer(&reading->fields[slot], value);
    case S_USAGE: return slot < U_COUNT ? put_integer(&reading->usage[slot], value) : DECLINED;
    case S_OWN_VALUE:
        made = value_of(value, tools, &state);
        return made || state != READ ? put(&reading->fields[slot], made, state) : READ;
    case S_OPERATION: return put_operation(&reading->fields[slot], value, makers->operations);
    case S_MESSAGES: return put_messages(reading, slot, value, makers);
    case S_SYSTEM: return put_system(&reading->fields[slot], value);
    case S_DEFINITIONS: return put_definitions(&reading->fields[slot], value, tools);
    case S_REASONS: return put_reasons(&reading->fields[slot], value, tools);
    case S_DOCUMENTS:
        if (reading->fields[slot])
            return READ;
        made = whole_of(value, document_entry, makers->document, &state);
        return put(&reading->fields[slot], made, state);
    case S_TOOL_NAME: return put_text(&reading->tool[T_NAME], value);
    case S_TOOL_ID: return put_text(&reading->tool[T_ID], value);
    case S_TOOL_ARGUMENTS: return put_arguments(&reading->tool[T_ARGUMENTS], value, tools);
    case S_TOOL_RESULT: return put_result(&reading->tool[T_RESULT], value, tools);
    default: return DECLINED;
    }
}

static int
is_tool(const Reading *reading)
{
    return reading->fields[OPERATION] &&
           PyUnicode_Compare(reading->fields[OPERATION], execute_tool) == 0;
}

/* A tool's steps count where the span has a tool's name or executes a tool, as in genai.read. */
static int
follow_all(Reading *reading, PyObject *plan, Py_ssize_t names, const Makers *makers)
{
    const uint8_t *at = (const uint8_t *)PyBytes_AS_STRING(plan);
    const uint8_t *end = at + PyBytes_GET_SIZE(plan);
    int tool = 0;
    for (; end - at >= 3; at += 3) {
        if (at[1] >= SPAN_COUNT || at[2] >= names)
            return DECLINED;
        tool |= at[0] == S_TOOL_NAME;
        if (at[0] >= S_TOOL_ID && at[0] <= S_TOOL_RESULT && !tool && !(tool = is_tool(reading)))
            continue;
        int state = follow(reading, at[0], at[1], reading->values[at[2]], makers);
        if (state != READ)
            return state;
    }
    return READ;
}

static int
read_resource(Reading *reading, const Makers *makers)
{
    PyObject *resource = reading->raw[R_RESOURCE];
    if (!PyDict_CheckExact(resource))
        return DECLINED;
    PyObject *service = PyDict_GetItemWithError(resource, makers->service_name);
    if (!service && PyErr_Occurred())
        return FAILED;
    PyObject *release = PyDict_GetItemWithError(resource, makers->service_version);
    if (!release && PyErr_Occurred())
        return FAILED;
    int state = put_text(&reading->fields[SERVICE], service);
    return state == READ ? put_text(&reading->fields[RELEASE], release) : state;
}

/* The name of a tool whose span does not say it: what stands behind "execute_tool ". */
static PyObject *
name_of_tool(PyObject *name)
{
    if (!PyUnicode_Check(name))
        return NULL;
    Py_ssize_t size = PyUnicode_GET_LENGTH(name);
    Py_ssize_t head = PyUnicode_Tailmatch(name, execute_tool_, 0, size, -1) == 1
                          ? PyUnicode_GET_LENGTH(execute_tool_)
                          : 0;
    return size > head ? PyUnicode_Substring(name, head, size) : PyUnicode_FromString("tool");
}

static int
make_tool(Reading *reading, long status, const Makers *makers)
{
    PyObject **fields = reading->fields, **tool = reading->tool;
    if (!tool[T_NAME] && !is_tool(reading))
        return READ;
    if (status == 2 || fields[ERROR_TYPE])
        tool[T_ERROR] = Py_NewRef(fields[STATUS_MESSAGE] ? fields[STATUS_MESSAGE]
                                  : fields[ERROR_TYPE]   ? fields[ERROR_TYPE]
                                                         : word_error);
    if (!tool[T_NAME] && !(tool[T_NAME] = name_of_tool(reading->raw[R_NAME])))
        return FAILED;
    PyObject *given[T_COUNT];
    for (int i = 0; i < T_COUNT; i++)
        given[i] = tool[i] ? tool[i] : Py_None;
    if (!fields[OPERATION])
        fields[OPERATION] = Py_NewRef(execute_tool);
    return put(&fields[TOOL_CALL], PyObject_Vectorcall(makers->tool_call, given, T_COUNT, NULL),
               FAILED);
}

static int
make_usage(Reading *reading, const Makers *makers)
{
    PyObject *given[U_COUNT];
    int some = 0;
    for (int i = 0; i < U_COUNT; i++) {
        some |= reading->usage[i] != NULL;
        given[i] = reading->usage[i] ? reading->usage[i] : Py_None;
    }
    if (!some)
        return READ;
    return put(&reading->fields[USAGE], PyObject_Vectorcall(makers->usage, given, U_COUNT, NULL),
               FAILED);
}

static PyObject *
make_span(Reading *reading, long status, PyObject *dialect, const Makers *makers)
{
    static const int kept[][2] = {
        {TRACE_ID, R_TRACE_ID}, {SPAN_ID, R_SPAN_ID}, {NAME, R_NAME}, {PARENT_ID, R_PARENT_ID},
        {START_NS, R_START_NS}, {END_NS, R_END_NS}, {SCOPE, R_SCOPE_NAME},
        {ATTRIBUTES, R_ATTRIBUTES}, {RESOURCE, R_RESOURCE}, {EVENTS, R_EVENTS}, {LINKS, R_LINKS},
    };
    PyObject *given[SPAN_COUNT];
    for (int i = 0; i < SPAN_COUNT; i++)
        given[i] = reading->fields[i] ? reading->fields[i] : PyTuple_GET_ITEM(makers->defaults, i);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        given[kept[i][0]] = reading->raw[kept[i][1]];
    given[DIALECT] = dialect;
    if (status == 1 || status == 2)
        given[STATUS] = status == 1 ? word_ok : word_error;
    return PyObject_Vectorcall(makers->span, given, SPAN_COUNT, NULL);
}

/* How spans with these attributes are read: a Reading's dialect and plan, or NULL. */
static PyObject *
known_reading(Reading *reading, PyObject *known, Py_ssize_t *count)
{
    PyObject *attributes = reading->raw[R_ATTRIBUTES], *name, *value;
    Py_ssize_t at = 0, size;
    if (!PyDict_CheckExact(attributes) || (size = PyDict_GET_SIZE(attributes)) > NAMES_MOST)
        return NULL;
    PyObject *names = PyTuple_New(size);
    if (!names)
        return NULL;
    for (*count = 0; *count < size && PyDict_Next(attributes, &at, &name, &value); ++*count) {
        reading->values[*count] = value;
        PyTuple_SET_ITEM(names, *count, Py_NewRef(name));
    }
    PyObject *found = PyDict_GetItemWithError(known, names);
    Py_DECREF(names);
    return found;
}

static PyObject *
read_whole(PyObject *raw, PyObject *known, const Makers *makers, int *state)
{
    Reading reading;
    Py_ssize_t names;
    *state = DECLINED;
    if (Py_TYPE(raw) != raw_type && find_fields(Py_TYPE(raw)) != READ)
        return NULL;
    for (int i = 0; i < R_COUNT; i++)
        if (!(reading.raw[i] = *(PyObject **)((char *)raw + raw_offsets[i])))
            return NULL;
    if (!PyTuple_CheckExact(reading.raw[R_EVENTS]) || PyTuple_GET_SIZE(reading.raw[R_EVENTS]) ||
        !PyLong_CheckExact(reading.raw[R_STATUS_CODE]))
        return NULL;
    PyObject *found = known_reading(&reading, known, &names), *made = NULL;
    if (!found) {
        *state = PyErr_Occurred() ? FAILED : DECLINED;
        return NULL;
    }
    if (!PyTuple_Check(found) || PyTuple_GET_SIZE(found) != 4 ||
        !PyBytes_CheckExact(PyTuple_GET_ITEM(found, 3)))
        return NULL;
    int overflow;
    long status = PyLong_AsLongAndOverflow(reading.raw[R_STATUS_CODE], &overflow);
    Py_INCREF(found); /* what is called below could forget it */
    memset(reading.fields, 0, sizeof reading.fields);
    memset(reading.usage, 0, sizeof reading.usage);
    memset(reading.tool, 0, sizeof reading.tool);
    *state = follow_all(&reading, PyTuple_GET_ITEM(found, 3), names, makers);
    if (*state == READ)
        *state = put_text(&reading.fields[STATUS_MESSAGE], reading.raw[R_STATUS_MESSAGE]);
    if (*state == READ)
        *state = read_resource(&reading, makers);
    if (*state == READ)
        *state = make_tool(&reading, status, makers);
    if (*state == READ)
        *state = make_usage(&reading, makers);
    if (*state == READ && !(made = make_span(&reading, status, PyTuple_GET_ITEM(found, 2), makers)))
        *state = FAILED;
    clear(reading.fields, SPAN_COUNT);
    clear(reading.usage, U_COUNT);
    clear(reading.tool, T_COUNT);
    Py_DECREF(found);
    return made;
}

static int
makers_of(PyObject *given, Makers *makers)
{
    PyObject **places[] = {
        &makers->span, &makers->usage, &makers->tool_call, &makers->document, &makers->defaults,
        &makers->operations, &makers->service_name, &makers->service_version,
        &makers->tools.message, &makers->tools.part, &makers->tools.opened,
        &makers->tools.flattened, &makers->tools.finish, &makers->tools.decode,
        &makers->tools.finishes,
    };
    Py_ssize_t count = sizeof places / sizeof *places;
    if (!PyTuple_Check(given) || PyTuple_GET_SIZE(given) != count)
        return 0;
    for (Py_ssize_t i = 0; i < count; i++)
        *places[i] = PyTuple_GET_ITEM(given, i);
    makers->tools.reasons = NULL;
    return PyTuple_Check(makers->defaults) && PyTuple_GET_SIZE(makers->defaults) == SPAN_COUNT &&
           PyDict_Check(makers->operations) && PyDict_Check(makers->tools.finishes);
}

static PyObject *
span(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    Makers makers;
    int state;
    if (count != 3 || !PyDict_Check(given[1]) || !makers_of(given[2], &makers)) {
        PyErr_SetString(PyExc_TypeError, "span(raw, known readings, makers)");
        return NULL;
    }
    PyObject *made = read_whole(given[0], given[1], &makers, &state);
    if (made || state == FAILED)
        return made;
    Py_RETURN_NONE;
}

static PyObject *
texts_of(const char *const *texts, Py_ssize_t count)
{
    PyObject *made = PyTuple_New(count);
    for (Py_ssize_t i = 0; made && i < count; i++) {
        PyObject *one = PyUnicode_InternFromString(texts[i]);
        if (one)
            PyTuple_SET_ITEM(made, i, one);
        else
            Py_CLEAR(made);
    }
    return made;
}

#define FAST(name) (PyCFunction)(void (*)(void))name, METH_FASTCALL

static PyMethodDef methods[] = {
    {"messages", FAST(messages), "The messages in a JSON text, or None where declined."},
    {"documents", FAST(documents), "The documents in a JSON text, or None where declined."},
    {"fill", FAST(fill), "fill(into, rules, attributes, text): fields by rules, as draft.fill."},
    {"span", FAST(span), "span(raw, known, makers): a canonical span, or None where declined."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "fidelity_otel.processor._read", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__read(void)
{
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (!(*WORDS[i].word = PyUnicode_InternFromString(WORDS[i].text)))
            return NULL;
    static const struct {
        PyObject **word;
        const char *text;
    } words[] = {
        {&execute_tool, "execute_tool"},
        {&execute_tool_, "execute_tool "}, {&word_ok, "ok"}, {&word_error, "error"},
        {&name_type, "type"}, {&line_break, "\n"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!(*words[i].word = PyUnicode_InternFromString(words[i].text)))
            return NULL;
    PyObject *module = PyModule_Create(&definition);
    PyObject *fields = texts_of(SPAN_FIELDS, SPAN_COUNT), *steps = texts_of(STEPS, STEP_COUNT);
    int sound = module && fields && steps && PyModule_AddObjectRef(module, "FIELDS", fields) == 0 &&
                PyModule_AddObjectRef(module, "STEPS", steps) == 0;
    Py_XDECREF(fields);
    Py_XDECREF(steps);
    if (!sound)
        Py_CLEAR(module);
    return module;
}
