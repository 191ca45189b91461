/* The detectors' looks at words, in C: what Python's sets and regular expressions do, in one pass.
 *
 * Each function does what the Python beside its caller does (`detect/words.py`). What would need all
 * of Unicode (folding, letters beyond ASCII) and what is unusually long they decline by returning
 * None, and the caller goes the Python way. So both ways give the same, and a test holds them to it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* --- is one of these in a text? -------------------------------------------------------------- */

#define GRAM 3 /* characters of a hint that say where it is worth looking */
#define MOST_HINTS 64
#define MOST_STEPS 5
#define HINTS "fidelity_otel.processor._words.hints"

typedef struct {
    uint64_t grams[64];
    int count;
    Py_ssize_t step; /* of so many places in a row one is looked at: no hint is too short for that */
    Py_ssize_t sizes[MOST_HINTS];
    const Py_UCS1 *texts[MOST_HINTS];
    PyObject *kept; /* the tuple that holds the texts */
} Hints;

static inline uint32_t
slot_of(uint32_t gram)
{
    return (gram * 2654435761u) >> 20;
}

/* The gram with one character more; one beyond ASCII is none that a hint has. */
static inline uint32_t
grown(uint32_t gram, int kind, const void *data, Py_ssize_t at)
{
    Py_UCS4 c = PyUnicode_READ(kind, data, at);
    return gram >> 8 | (c < 0x80 ? c << 16 : 0xff0000u);
}

static inline uint32_t
gram_at(int kind, const void *data, Py_ssize_t at)
{
    return grown(grown(grown(0, kind, data, at), kind, data, at + 1), kind, data, at + 2);
}

static void
free_hints(PyObject *capsule)
{
    Hints *hints = PyCapsule_GetPointer(capsule, HINTS);
    Py_DECREF(hints->kept);
    PyMem_Free(hints);
}

static PyObject *
hints(PyObject *Py_UNUSED(module), PyObject *given)
{
    if (!PyTuple_CheckExact(given) || PyTuple_GET_SIZE(given) > MOST_HINTS) {
        PyErr_SetString(PyExc_ValueError, "a tuple of at most 64 hints is needed");
        return NULL;
    }
    Hints *made = PyMem_Calloc(1, sizeof *made);
    if (!made)
        return PyErr_NoMemory();
    made->step = MOST_STEPS;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(given); i++) {
        PyObject *one = PyTuple_GET_ITEM(given, i);
        if (!PyUnicode_CheckExact(one) || !PyUnicode_IS_ASCII(one) ||
            PyUnicode_GET_LENGTH(one) < GRAM) {
            PyMem_Free(made);
            PyErr_SetString(PyExc_ValueError, "a hint is a text of three ASCII characters or more");
            return NULL;
        }
        made->texts[made->count] = PyUnicode_1BYTE_DATA(one);
        made->sizes[made->count] = PyUnicode_GET_LENGTH(one);
        if (made->sizes[made->count] - GRAM + 1 < made->step)
            made->step = made->sizes[made->count] - GRAM + 1;
        made->count++;
    }
    for (int i = 0; i < made->count; i++)
        for (Py_ssize_t j = 0; j < made->step; j++) {
            uint32_t slot = slot_of(gram_at(PyUnicode_1BYTE_KIND, made->texts[i], j));
            made->grams[slot >> 6] |= 1ULL << (slot & 63);
        }
    PyObject *capsule = PyCapsule_New(made, HINTS, free_hints);
    if (!capsule) {
        PyMem_Free(made);
        return NULL;
    }
    made->kept = Py_NewRef(given);
    return capsule;
}

static int
stands_at(const Hints *hints, int kind, const void *data, Py_ssize_t at, Py_ssize_t size)
{
    for (int i = 0; i < hints->count; i++) {
        Py_ssize_t length = hints->sizes[i], j = 0;
        if (length > size - at)
            continue;
        while (j < length && PyUnicode_READ(kind, data, at + j) == hints->texts[i][j])
            j++;
        if (j == length)
            return 1;
    }
    return 0;
}

static inline int
look(const Hints *hints, int kind, const void *data, Py_ssize_t size)
{
    Py_ssize_t step = hints->step;
    uint32_t gram = 0;
    for (Py_ssize_t i = 0; i <= size - GRAM; i += step) {
        gram = step == 1 && i ? grown(gram, kind, data, i + GRAM - 1) : gram_at(kind, data, i);
        uint32_t slot = slot_of(gram);
        if (!(hints->grams[slot >> 6] >> (slot & 63) & 1))
            continue;
        for (Py_ssize_t j = i; j >= 0 && j > i - step; j--)
            if (stands_at(hints, kind, data, j, size))
                return 1;
    }
    return 0;
}

static PyObject *
any_of(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 2 || !PyUnicode_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "any_of(hints, text)");
        return NULL;
    }
    const Hints *hints = PyCapsule_GetPointer(given[0], HINTS);
    if (!hints)
        return NULL;
    const void *data = PyUnicode_DATA(given[1]);
    Py_ssize_t size = PyUnicode_GET_LENGTH(given[1]);
    switch (PyUnicode_KIND(given[1])) { /* one loop for each, made for it by the compiler */
    case PyUnicode_1BYTE_KIND: return PyBool_FromLong(look(hints, PyUnicode_1BYTE_KIND, data, size));
    case PyUnicode_2BYTE_KIND: return PyBool_FromLong(look(hints, PyUnicode_2BYTE_KIND, data, size));
    default: return PyBool_FromLong(look(hints, PyUnicode_4BYTE_KIND, data, size));
    }
}

/* --- words ----------------------------------------------------------------------------------- */

typedef struct {
    int kind;
    const void *data;
    Py_ssize_t at, size;
    uint32_t hash;
} Word;

#define BASIS 2166136261u /* of the hash of a word: FNV-1a, by character */
#define PRIME 16777619u
#define MOST_WORDS 1024
#define SLOTS 4096 /* a power of two, some times the words */

typedef struct {
    uint16_t slots[SLOTS]; /* 0 is empty, else the number of a word, from 1 */
    Word words[MOST_WORDS];
    int count;
} Words;

static int
same(const Word *one, const Word *two)
{
    if (one->hash != two->hash || one->size != two->size)
        return 0;
    for (Py_ssize_t i = 0; i < one->size; i++)
        if (PyUnicode_READ(one->kind, one->data, one->at + i) !=
            PyUnicode_READ(two->kind, two->data, two->at + i))
            return 0;
    return 1;
}

/* The slot of a word, or the empty one where it would be. */
static uint32_t
place(const Words *known, const Word *word)
{
    uint32_t slot = word->hash & (SLOTS - 1);
    while (known->slots[slot] && !same(&known->words[known->slots[slot] - 1], word))
        slot = (slot + 1) & (SLOTS - 1);
    return slot;
}

/* Adds a word unless it is known; -1 where there is no more room. */
static int
add(Words *known, const Word *word)
{
    uint32_t slot = place(known, word);
    if (known->slots[slot])
        return 0;
    if (known->count == MOST_WORDS)
        return -1;
    known->words[known->count] = *word;
    known->slots[slot] = (uint16_t)++known->count;
    return 1;
}

/* The next word between white space; 0 where there is none. */
static int
next_word(PyObject *text, Py_ssize_t *from, Word *word)
{
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    Py_ssize_t size = PyUnicode_GET_LENGTH(text), at = *from;
    while (at < size && Py_UNICODE_ISSPACE(PyUnicode_READ(kind, data, at)))
        at++;
    uint32_t hash = BASIS;
    word->kind = kind, word->data = data, word->at = at;
    for (; at < size; at++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, at);
        if (Py_UNICODE_ISSPACE(c))
            break;
        hash = (hash ^ c) * PRIME;
    }
    word->size = at - word->at, word->hash = hash ^ hash >> 15;
    *from = at;
    return word->size > 0;
}

static PyObject *
alike(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 4 || !PyUnicode_Check(given[0]) || !PyUnicode_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "alike(one, two, share, fewest)");
        return NULL;
    }
    double share = PyFloat_AsDouble(given[2]);
    long fewest = PyLong_AsLong(given[3]);
    if (PyErr_Occurred())
        return NULL;
    int longer = PyUnicode_GET_LENGTH(given[0]) > PyUnicode_GET_LENGTH(given[1]);
    PyObject *one = given[longer], *two = given[!longer];
    static Words known; /* too large for a stack; the interpreter's lock guards it */
    memset(known.slots, 0, sizeof known.slots);
    known.count = 0;
    Word word;
    for (Py_ssize_t at = 0; next_word(one, &at, &word);)
        if (add(&known, &word) < 0)
            Py_RETURN_NONE;
    int first = known.count, both = 0;
    if (first < fewest)
        Py_RETURN_FALSE;
    static uint8_t met[MOST_WORDS];
    memset(met, 0, (size_t)first);
    for (Py_ssize_t at = 0; next_word(two, &at, &word);) {
        uint32_t slot = place(&known, &word);
        int number = known.slots[slot] - 1;
        if (number < 0) {
            if (known.count == MOST_WORDS)
                Py_RETURN_NONE;
            known.words[known.count] = word;
            known.slots[slot] = (uint16_t)++known.count;
            if (first < share * known.count) /* were all of the first to come, they were too few */
                Py_RETURN_FALSE;
        } else if (number < first && !met[number]) {
            met[number] = 1;
            both++;
        }
    }
    int second = known.count - first + both;
    return PyBool_FromLong(second >= fewest && both >= share * known.count);
}

/* --- words in common ------------------------------------------------------------------------- */

#define LONG_ENOUGH 3 /* characters of a word that says something */

static Py_UCS1 lower[256];
static uint8_t wordly[256]; /* what `\w` is, of ASCII */

/* The next word of letters, digits and `_` in an ASCII text, in small letters; 0 where none is. */
static int
next_wordly(const Py_UCS1 **at, const Py_UCS1 *end, Py_UCS1 *into, Word *word)
{
    for (;;) {
        while (*at < end && !wordly[**at])
            ++*at;
        const Py_UCS1 *begin = *at;
        uint32_t hash = BASIS;
        for (; *at < end && wordly[**at]; ++*at) {
            into[*at - begin] = lower[**at];
            hash = (hash ^ lower[**at]) * PRIME;
        }
        if (*at == begin)
            return 0;
        *word = (Word){PyUnicode_1BYTE_KIND, into, 0, *at - begin, hash ^ hash >> 15};
        if (word->size >= LONG_ENOUGH)
            return 1;
    }
}

#define READ 4000 /* characters of a text */

static PyObject *
common(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 2 || !PyUnicode_Check(given[0]) || !PyUnicode_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "common(one, two)");
        return NULL;
    }
    if (!PyUnicode_IS_ASCII(given[0]) || !PyUnicode_IS_ASCII(given[1]))
        Py_RETURN_NONE;
    const Py_UCS1 *at[2], *end[2];
    for (int i = 0; i < 2; i++) {
        Py_ssize_t size = PyUnicode_GET_LENGTH(given[i]);
        at[i] = PyUnicode_1BYTE_DATA(given[i]);
        end[i] = at[i] + (size < READ ? size : READ);
    }
    static Words known; /* the interpreter's lock guards them */
    static Py_UCS1 letters[READ], met[READ];
    memset(known.slots, 0, sizeof known.slots);
    known.count = 0;
    Py_UCS1 *into = letters;
    for (Word word; next_wordly(&at[0], end[0], into, &word);) {
        int added = add(&known, &word);
        if (added < 0)
            Py_RETURN_NONE;
        if (added)
            into += word.size;
    }
    int both = 0;
    static uint8_t seen[MOST_WORDS];
    memset(seen, 0, (size_t)known.count);
    for (Word word; next_wordly(&at[1], end[1], met, &word);) {
        int number = known.slots[place(&known, &word)] - 1;
        if (number >= 0 && !seen[number]) {
            seen[number] = 1;
            both++;
        }
    }
    return PyLong_FromLong(both);
}

/* --- words that no document holds ------------------------------------------------------------ */

#define STEM 5
#define LEAST 4 /* letters of a word that says something */
#define MOST_ASKED 256

typedef struct {
    Py_UCS1 stem[STEM];
    uint8_t found;
    int16_t next; /* the next one with the same slot, or -1 */
} Asked;

static uint8_t letter[256];

static inline uint32_t
four(const Py_UCS1 *at)
{
    return lower[at[0]] | lower[at[1]] << 8 | lower[at[2]] << 16 | (uint32_t)lower[at[3]] << 24;
}

static inline uint32_t
bucket(uint32_t gram)
{
    return (gram * 2654435761u) >> 22;
}

static void
search(Asked *asked, int count, const Py_UCS1 *text, Py_ssize_t size)
{
    int16_t heads[1024];
    uint64_t there[16] = {0};
    int left = count;
    for (int i = 0; i < count; i++) {
        uint32_t slot = bucket(four(asked[i].stem));
        asked[i].next = there[slot >> 6] >> (slot & 63) & 1 ? heads[slot] : -1;
        heads[slot] = (int16_t)i;
        there[slot >> 6] |= 1ULL << (slot & 63);
    }
    uint32_t gram = 0;
    for (Py_ssize_t at = 0; at < size && left; at++) {
        gram = gram >> 8 | (uint32_t)lower[text[at]] << 24;
        uint32_t slot = bucket(gram);
        if (at < LEAST - 1 || !(there[slot >> 6] >> (slot & 63) & 1))
            continue;
        for (int i = heads[slot]; i >= 0; i = asked[i].next)
            if (!asked[i].found && four(asked[i].stem) == gram &&
                (!asked[i].stem[LEAST] ||
                 (at + 1 < size && lower[text[at + 1]] == asked[i].stem[LEAST]))) {
                asked[i].found = 1;
                left--;
            }
    }
}

static Word
word_in(int kind, const void *data, Py_ssize_t at, Py_ssize_t size)
{
    uint32_t hash = BASIS;
    for (Py_ssize_t i = at; i < at + size; i++)
        hash = (hash ^ PyUnicode_READ(kind, data, i)) * PRIME;
    return (Word){kind, data, at, size, hash ^ hash >> 15};
}

/* The words of a frozen set, kept for the next call; NULL where that has too many. */
static const Words *
usual_words(PyObject *set)
{
    static PyObject *kept;
    static Words usual;
    if (set == kept)
        return &usual;
    PyObject *each, *words = PySequence_Tuple(set);
    if (!words)
        return NULL;
    Py_CLEAR(kept);
    memset(usual.slots, 0, sizeof usual.slots);
    usual.count = 0;
    int sound = 1;
    for (Py_ssize_t i = 0; sound && i < PyTuple_GET_SIZE(words); i++) {
        each = PyTuple_GET_ITEM(words, i);
        sound = PyUnicode_Check(each);
        if (sound) {
            Word word = word_in(PyUnicode_KIND(each), PyUnicode_DATA(each), 0,
                                PyUnicode_GET_LENGTH(each));
            sound = add(&usual, &word) >= 0;
        }
    }
    Py_DECREF(words); /* the set holds them too */
    if (!sound)
        return NULL;
    kept = Py_NewRef(set);
    return &usual;
}

/* The content words of an ASCII text in small letters, each once; 0 where there are too many. */
static int
content_words(const Py_UCS1 *text, Py_ssize_t size, const Words *usual, Words *found)
{
    memset(found->slots, 0, sizeof found->slots);
    found->count = 0;
    for (Py_ssize_t at = 0; at < size;) {
        if (!letter[text[at]]) {
            at++;
            continue;
        }
        Py_ssize_t begin = at;
        while (at < size && letter[text[at]])
            at++;
        if (at - begin < LEAST)
            continue;
        Word word = word_in(PyUnicode_1BYTE_KIND, text, begin, at - begin);
        if (!usual->slots[place(usual, &word)] && add(found, &word) && found->count > MOST_ASKED)
            return 0;
    }
    return 1;
}

static PyObject *
unknown_of(const Words *words, PyObject *documents)
{
    Asked asked[MOST_ASKED];
    int unknown = 0;
    memset(asked, 0, sizeof *asked * (size_t)words->count);
    for (int i = 0; i < words->count; i++) {
        const Word *word = &words->words[i];
        memcpy(asked[i].stem, (const Py_UCS1 *)word->data + word->at,
               (size_t)(word->size < STEM ? LEAST : STEM));
    }
    search(asked, words->count, PyUnicode_1BYTE_DATA(documents), PyUnicode_GET_LENGTH(documents));
    for (int i = 0; i < words->count; i++)
        unknown += !asked[i].found;
    PyObject *found = PyTuple_New(unknown);
    for (int i = 0, at = 0; found && i < words->count; i++) {
        const Word *word = &words->words[i];
        if (asked[i].found)
            continue;
        PyObject *text = PyUnicode_FromKindAndData(
            PyUnicode_1BYTE_KIND, (const Py_UCS1 *)word->data + word->at, word->size);
        if (text)
            PyTuple_SET_ITEM(found, at++, text);
        else
            Py_CLEAR(found);
    }
    return found ? Py_BuildValue("Ni", found, words->count) : NULL;
}

static PyObject *
unknown_words(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t args)
{
    if (args != 3 || !PyUnicode_Check(given[0]) || !PyUnicode_Check(given[1]) ||
        !PyFrozenSet_Check(given[2])) {
        PyErr_SetString(PyExc_TypeError, "unknown_words(query, documents, usual)");
        return NULL;
    }
    if (!PyUnicode_IS_ASCII(given[0]) || !PyUnicode_IS_ASCII(given[1]))
        Py_RETURN_NONE;
    const Words *usual = usual_words(given[2]);
    if (!usual) {
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    static Words words;
    Py_ssize_t size = PyUnicode_GET_LENGTH(given[0]);
    const Py_UCS1 *query = PyUnicode_1BYTE_DATA(given[0]);
    Py_UCS1 small[2048], *text = size <= (Py_ssize_t)sizeof small ? small : PyMem_Malloc((size_t)size);
    if (!text)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < size; i++)
        text[i] = lower[query[i]];
    PyObject *found = content_words(text, size, usual, &words) ? unknown_of(&words, given[1])
                                                               : Py_NewRef(Py_None);
    if (text != small)
        PyMem_Free(text);
    return found;
}

static PyMethodDef methods[] = {
    {"hints", hints, METH_O, "hints(tuple of ASCII texts): what `any_of` looks for."},
    {"any_of", (PyCFunction)(void (*)(void))any_of, METH_FASTCALL,
     "any_of(hints, text): whether one of them is in the text."},
    {"alike", (PyCFunction)(void (*)(void))alike, METH_FASTCALL,
     "alike(one, two, share, fewest): whether they share that of their words; None: declined."},
    {"common", (PyCFunction)(void (*)(void))common, METH_FASTCALL,
     "common(one, two): how many words they have in common; None: declined."},
    {"unknown_words", (PyCFunction)(void (*)(void))unknown_words, METH_FASTCALL,
     "unknown_words(query, documents, usual): those of the query, and how many; None: declined."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "fidelity_otel.processor._words", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__words(void)
{
    for (int i = 0; i < 256; i++) {
        lower[i] = (Py_UCS1)(i >= 'A' && i <= 'Z' ? i + 32 : i);
        letter[i] = (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z');
        wordly[i] = letter[i] || (i >= '0' && i <= '9') || i == '_';
    }
    return PyModule_Create(&definition);
}
