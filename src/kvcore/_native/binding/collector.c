/* The hot half of a pipeline: what collects commands until they are run together (Pool.pipeline in pool.c).
 *
 *   Pipeline (Python) --is a--> Collector: command_stack, a list of (words, shape)
 *
 * `_run(words, shape)` is what the generated methods of a pipeline call; those that applications call in loops are here themselves. Like the
 * store's, they take simple positional arguments and leave the rest to `_wide_<name>`. While the pipeline watches keys, commands run at once: that
 * is Python's `_now`. */
#include "binding/pool.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/door.h"

typedef struct Collector {
    PyObject_HEAD Pool *pool;   /* for the commands' names; NULL: not attached, everything goes the wide way */
    PyObject *stack;            /* a list */
    char watching, is_explicit; /* after watch(); after multi() */
} Collector;

static bool at_once(const Collector *self) { return self->watching && !self->is_explicit; }

/* Takes the references of `command`; borrows `shape`. */
static PyObject *push(Collector *self, PyObject *command, PyObject *shape) {
    PyObject *entry = PyTuple_New(2);
    if (entry == NULL) {
        Py_DECREF(command);
        return NULL;
    }
    PyTuple_SET_ITEM(entry, 0, command);
    PyTuple_SET_ITEM(entry, 1, Py_NewRef(shape));
    bool pushed = false;
    if (self->stack != NULL && PyList_CheckExact(self->stack)) pushed = PyList_Append(self->stack, entry) == 0;
    else PyErr_SetString(PyExc_TypeError, "command_stack is not a list any more");
    Py_DECREF(entry);
    return pushed ? Py_NewRef((PyObject *)self) : NULL;
}

static PyObject *collector_run(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    Collector *self = (Collector *)object;
    if (count < 1 || count > 2) {
        PyErr_SetString(PyExc_TypeError, "_run() takes the words of a command, and a shape");
        return NULL;
    }
    PyObject *command = args[0], *shape = count == 2 ? args[1] : Py_None;
    PyObject *name = PySequence_GetItem(command, 0);
    if (name == NULL) return NULL;
    bool watch = PyUnicode_Check(name) && PyUnicode_GET_LENGTH(name) == 5 && PyUnicode_CompareWithASCIIString(name, "WATCH") == 0;
    Py_DECREF(name);
    if (at_once(self) || (watch && !self->is_explicit)) return PyObject_CallMethod(object, "_now", "OO", command, shape);
    return push(self, Py_NewRef(command), shape);
}

typedef struct collected {
    hot_id command;
    Py_ssize_t min, max; /* positional arguments; max -1: any number */
    convert convert;     /* anything but PLAIN: the reply becomes a bool */
    const char *wide;
} collected;

static PyObject *collect(PyObject *object, const collected *method, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
    Collector *self = (Collector *)object;
    bool simple =
        self->pool != NULL && kwnames == NULL && count >= method->min && (method->max < 0 || count <= method->max) && !at_once(self);
    for (Py_ssize_t i = 0; simple && i < count; i++) simple = is_simple(args[i]);
    if (!simple) return kv_go_wide(object, method->wide, args, count, kwnames);
    PyObject *command = PyTuple_New(count + 1);
    if (command == NULL) return NULL;
    PyTuple_SET_ITEM(command, 0, Py_NewRef(self->pool->names[method->command]));
    for (Py_ssize_t i = 0; i < count; i++) PyTuple_SET_ITEM(command, i + 1, Py_NewRef(args[i]));
    return push(self, command, method->convert != PLAIN ? (PyObject *)&PyBool_Type : Py_None);
}

#define COLLECT(name, command, min, max, convert)                                                                 \
    static PyObject *collect_##name(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) { \
        static const collected method = {HOT_##command, min, max, convert, "_wide_" #name};                       \
        return collect(self, &method, args, count, kwnames);                                                      \
    }

COLLECT(get, GET, 1, 1, PLAIN)
COLLECT(set, SET, 2, 2, OK_IS_TRUE)
HOT_METHODS(COLLECT)

/* incr(name, amount=1) and decr: without an amount the short form. */
static PyObject *collect_incr(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
    static const collected one = {HOT_INCR, 1, 1, PLAIN, "_wide_incr"}, by = {HOT_INCRBY, 2, 2, PLAIN, "_wide_incr"};
    return collect(self, count == 1 ? &one : &by, args, count, kwnames);
}

static PyObject *collect_decr(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
    static const collected one = {HOT_DECR, 1, 1, PLAIN, "_wide_decr"}, by = {HOT_DECRBY, 2, 2, PLAIN, "_wide_decr"};
    return collect(self, count == 1 ? &one : &by, args, count, kwnames);
}

/* ---- the type ---- */

static PyObject *collector_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs; /* the subclass's __init__ looks at them */
    Collector *self = (Collector *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->stack = PyList_New(0);
    if (self->stack == NULL) Py_CLEAR(self);
    return (PyObject *)self;
}

static PyObject *collector_attach(PyObject *self, PyObject *pool) {
    if (!kv_is_pool(pool)) {
        PyErr_SetString(PyExc_TypeError, "_attach() needs a Pool");
        return NULL;
    }
    Py_XSETREF(((Collector *)self)->pool, (Pool *)Py_NewRef(pool));
    Py_RETURN_NONE;
}

static int collector_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Collector *)self)->pool);
    Py_VISIT(((Collector *)self)->stack);
    return 0;
}

static int collector_clear(PyObject *self) {
    Py_CLEAR(((Collector *)self)->pool);
    Py_CLEAR(((Collector *)self)->stack);
    return 0;
}

static void collector_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    collector_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

#define METHOD(name, ...) {#name, (PyCFunction)(void (*)(void))collect_##name, METH_FASTCALL | METH_KEYWORDS, NULL},

static PyMethodDef collector_methods[] = {
    /* clang-format off */
    METHOD(get) METHOD(set) METHOD(incr) METHOD(decr)
    HOT_METHODS(METHOD)
    /* clang-format on */
    {"_run", (PyCFunction)(void (*)(void))collector_run, METH_FASTCALL,
     "_run(words, shape=None, /): collect a command, or run it at once."},
    {"_attach", collector_attach, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef collector_members[] = {
    {"command_stack", T_OBJECT_EX, offsetof(Collector, stack), 0, "What was collected: pairs of words and a shape."},
    {"watching", T_BOOL, offsetof(Collector, watching), 0, "Do commands run at once, after watch()?"},
    {"explicit_transaction", T_BOOL, offsetof(Collector, is_explicit), 0, "Was multi() called?"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot collector_slots[] = {
    {Py_tp_doc, "Collects commands for a pipeline; what its methods cannot take goes to `_wide_<name>`."},
    {Py_tp_new, collector_new},
    {Py_tp_dealloc, collector_dealloc},
    {Py_tp_traverse, collector_traverse},
    {Py_tp_clear, collector_clear},
    {Py_tp_methods, collector_methods},
    {Py_tp_members, collector_members},
    {0, NULL},
};

static PyType_Spec collector_spec = {"kvcore._native._fast.Collector", sizeof(Collector), 0,
                                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, collector_slots};

PyObject *kv_collector_type(void) { return PyType_FromSpec(&collector_spec); }
