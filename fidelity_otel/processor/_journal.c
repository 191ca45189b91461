/* Reading the journal's records of spans back, in C; journal/__init__.py has the layout.
 *
 * `parts` does what journal.parts does in Python for records that lie behind one another.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#include "_crc32.h"
#include "_record.h"

/* Whether the bytes begin with a whole, sound record of spans of exactly this size. */
static int
is_sound(const uint8_t *record, size_t size)
{
    if (size < HEAD + IDS_AT || little(record, 2) != MAGIC || record[2] != SPANS_KIND)
        return 0;
    const uint8_t *payload = record + HEAD;
    size_t length = size - HEAD;
    uint32_t sum = crc32_of(crc32_of(0, record, SUMMED), payload, length);
    return little(record + 4, 4) == length && little(record + SUMMED, 4) == sum &&
           little(payload + TRACE_ID, 4) <= (length - IDS_AT) / 8;
}

/* (otlp, span ids, whether these differ; None where they are many) */
static PyObject *
part_of(const uint8_t *record, size_t size)
{
    SpansRecord spans = spans_record(record, size);
    int differ = ids_differ(&spans);
    return Py_BuildValue("(y#y#N)", (const char *)spans.otlp, (Py_ssize_t)spans.size,
                         (const char *)spans.ids, (Py_ssize_t)(8 * spans.count),
                         differ < 0 ? Py_NewRef(Py_None) : PyBool_FromLong(differ));
}

static PyObject *
parts(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data;
    PyObject *sizes;
    if (!PyArg_ParseTuple(args, "y*O!:parts", &data, &PyList_Type, &sizes))
        return NULL;
    PyObject *found = PyList_New(0);
    size_t at = 0, length = (size_t)data.len;
    for (Py_ssize_t i = 0; found != NULL && i < PyList_GET_SIZE(sizes); i++) {
        size_t size = PyLong_AsSize_t(PyList_GET_ITEM(sizes, i));
        if (size == (size_t)-1 && PyErr_Occurred()) {
            Py_CLEAR(found);
            break;
        }
        const uint8_t *record = (const uint8_t *)data.buf + at;
        int whole = size <= length - at;
        PyObject *part = whole && is_sound(record, size) ? part_of(record, size)
                                                         : Py_NewRef(Py_None);
        if (part == NULL || PyList_Append(found, part) < 0)
            Py_CLEAR(found);
        Py_XDECREF(part);
        at = whole ? at + size : length;
    }
    PyBuffer_Release(&data);
    return found;
}

static PyMethodDef methods[] = {
    {"parts", parts, METH_VARARGS,
     "parts(data, sizes): of each record (otlp, ids, whether they differ), or None."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "fidelity_otel.processor._journal", NULL, -1, methods, NULL, NULL, NULL,
    NULL,
};

PyMODINIT_FUNC
PyInit__journal(void)
{
    crc_prepare();
    return PyModule_Create(&definition);
}
