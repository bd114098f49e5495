/* The hot door: CPython calls into the engine without cffi in between.
 *
 *   Store (Python) --is a--> Door --> Pool (pool.c)
 *
 * The methods that applications call in loops. What a hot method cannot take (keywords, unusual types) goes to the Python method of the same name,
 * `_wide_<name>`, which knows everything. */
#include "binding/door.h"

typedef struct {
    PyObject_HEAD Pool *pool; /* NULL: not attached, everything goes the wide way */
} Door;

/* ---- Door: the hot methods ---- */

typedef struct hot_method {
    hot_id command;
    Py_ssize_t min, max; /* positional arguments; max -1: any number */
    convert convert;
    const char *wide; /* the Python method that takes the rest */
} hot_method;

static PyObject *converted(PyObject *reply, convert how) {
    if (reply == NULL || how == PLAIN || reply == Py_None) return reply;
    if (how == INT_IS_BOOL && !PyLong_CheckExact(reply)) return reply;
    bool truth = how == OK_IS_TRUE || PyLong_AsLong(reply) != 0;
    Py_DECREF(reply);
    return PyBool_FromLong(truth);
}

PyObject *kv_go_wide(PyObject *self, const char *name, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
    PyObject *method = PyObject_GetAttrString(self, name);
    if (method == NULL) return NULL;
    PyObject *reply = PyObject_Vectorcall(method, args, (size_t)count, kwnames);
    Py_DECREF(method);
    return reply;
}

/* The pool is closed: the store says why, and how to go on. */
static PyObject *refuse(PyObject *self) {
    PyErr_Clear();
    PyObject *nothing = PyObject_CallMethod(self, "_refuse", NULL);
    Py_XDECREF(nothing);
    if (nothing != NULL) PyErr_SetString(PyExc_SystemError, "kvcore: _refuse() must raise");
    return NULL;
}

static PyObject *finish(PyObject *self, PyObject *reply, convert how) {
    if (reply == NULL && PyErr_ExceptionMatches(PyExc_StopIteration)) return refuse(self);
    return converted(reply, how);
}

static PyObject *hot_call(Door *self, const hot_method *method, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
    bool simple = self->pool != NULL && kwnames == NULL && count >= method->min && (method->max < 0 || count <= method->max);
    for (Py_ssize_t i = 0; simple && i < count; i++) simple = is_simple(args[i]);
    if (!simple) return kv_go_wide((PyObject *)self, method->wide, args, count, kwnames);
    words w;
    if (!words_begin(&w, count + 1)) return NULL;
    w.all[w.count++] = kv_hot_names[method->command];
    bool fits = true;
    for (Py_ssize_t i = 0; fits && i < count; i++) fits = kv_words_add(&w, self->pool, args[i]);
    PyObject *reply = fits ? kv_pool_run(self->pool, self->pool->hot[method->command], &w) : NULL;
    words_end(&w);
    return finish((PyObject *)self, reply, method->convert);
}

#define HOT(name, command, min, max, convert)                                                                 \
    static PyObject *hot_##name(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) { \
        static const hot_method method = {HOT_##command, min, max, convert, "_wide_" #name};                  \
        return hot_call((Door *)self, &method, args, count, kwnames);                                         \
    }

static PyObject *hot_get(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
    static const hot_method method = {HOT_GET, 1, 1, PLAIN, "_wide_get"};
    Pool *pool = ((Door *)self)->pool;
    kv_slice key;
    PyObject *reply;
    if (count == 1 && kwnames == NULL && pool != NULL && plain_word(pool, args[0], &key) && kv_pool_get(pool, key, &reply)) return reply;
    return hot_call((Door *)self, &method, args, count, kwnames);
}

static PyObject *hot_set(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
    static const hot_method method = {HOT_SET, 2, 2, OK_IS_TRUE, "_wide_set"};
    Pool *pool = ((Door *)self)->pool;
    kv_slice key, value;
    PyObject *reply;
    if (count == 2 && kwnames == NULL && pool != NULL && plain_word(pool, args[0], &key) && plain_word(pool, args[1], &value) &&
        kv_pool_set(pool, key, value, &reply))
        return reply;
    return hot_call((Door *)self, &method, args, count, kwnames);
}

HOT_METHODS(HOT)

/* incr(name, amount=1) and decr: without an amount the short form. */
static PyObject *step(PyObject *self, const hot_method *one, const hot_method *by, PyObject *const *args, Py_ssize_t count,
                      PyObject *kwnames) {
    return hot_call((Door *)self, count == 1 ? one : by, args, count, kwnames);
}

static PyObject *hot_incr(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
    static const hot_method one = {HOT_INCR, 1, 1, PLAIN, "_wide_incr"}, by = {HOT_INCRBY, 2, 2, PLAIN, "_wide_incr"};
    return step(self, &one, &by, args, count, kwnames);
}

static PyObject *hot_decr(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
    static const hot_method one = {HOT_DECR, 1, 1, PLAIN, "_wide_decr"}, by = {HOT_DECRBY, 2, 2, PLAIN, "_wide_decr"};
    return step(self, &one, &by, args, count, kwnames);
}

/* zadd(name, {member: score, ...}) without options. */
static PyObject *hot_zadd(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
    Door *door = (Door *)self;
    bool simple = door->pool != NULL && kwnames == NULL && count == 2 && is_simple(args[0]) && PyDict_CheckExact(args[1]) &&
                  PyDict_GET_SIZE(args[1]) > 0;
    /* A copy: encoding a word may run Python code, and the GIL is away during the command; either may change the caller's dict. */
    PyObject *pairs = simple ? PyDict_Copy(args[1]) : NULL;
    if (simple && pairs == NULL) return NULL;
    PyObject *member, *score;
    Py_ssize_t at = 0;
    while (simple && PyDict_Next(pairs, &at, &member, &score))
        simple = is_simple(member) && (PyFloat_CheckExact(score) || PyLong_CheckExact(score));
    if (!simple) {
        Py_XDECREF(pairs);
        return kv_go_wide(self, "_wide_zadd", args, count, kwnames);
    }
    words w;
    bool fits = words_begin(&w, 2 + 2 * PyDict_GET_SIZE(pairs));
    PyObject *reply = NULL;
    if (fits) {
        w.all[w.count++] = kv_hot_names[HOT_ZADD];
        fits = kv_words_add(&w, door->pool, args[0]);
        at = 0;
        while (fits && PyDict_Next(pairs, &at, &member, &score))
            fits = kv_words_add(&w, door->pool, score) && kv_words_add(&w, door->pool, member);
        if (fits) reply = kv_pool_run(door->pool, door->pool->hot[HOT_ZADD], &w);
        words_end(&w);
    }
    Py_DECREF(pairs);
    return finish(self, reply, PLAIN);
}

/* _fast_run(words): any command; without a pool, the wide way. */
static PyObject *door_run(PyObject *self, PyObject *sequence) {
    Door *door = (Door *)self;
    if (door->pool == NULL) return kv_go_wide(self, "_wide_run", &sequence, 1, NULL);
    return finish(self, kv_pool_execute(door->pool, sequence), PLAIN);
}

static PyObject *door_attach(PyObject *self, PyObject *pool) {
    Door *door = (Door *)self;
    if (!kv_is_pool(pool)) {
        PyErr_SetString(PyExc_TypeError, "_attach() needs a Pool");
        return NULL;
    }
    Py_XSETREF(door->pool, (Pool *)Py_NewRef(pool));
    Py_RETURN_NONE;
}

static int door_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Door *)self)->pool);
    return 0;
}

static int door_clear(PyObject *self) {
    Py_CLEAR(((Door *)self)->pool);
    return 0;
}

static void door_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    door_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

#define METHOD(name, ...) {#name, (PyCFunction)(void (*)(void))hot_##name, METH_FASTCALL | METH_KEYWORDS, NULL},

static PyMethodDef door_methods[] = {
    /* clang-format off */
    METHOD(get) METHOD(set) METHOD(incr) METHOD(decr) METHOD(zadd)
    HOT_METHODS(METHOD)
    /* clang-format on */
    {"_fast_run", door_run, METH_O, NULL},
    {"_attach", door_attach, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot door_slots[] = {
    {Py_tp_doc, "The methods that applications call in loops; what they cannot take goes to `_wide_<name>`."},
    {Py_tp_dealloc, door_dealloc},
    {Py_tp_traverse, door_traverse},
    {Py_tp_clear, door_clear},
    {Py_tp_methods, door_methods},
    {0, NULL},
};

static PyType_Spec door_spec = {"kvcore._native._fast.Door", sizeof(Door), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                                door_slots};

/* ---- the module ---- */

/* Takes the reference of `type`. */
static bool add_type(PyObject *module, const char *name, PyObject *type) {
    bool added = type != NULL && PyModule_AddObjectRef(module, name, type) == 0;
    Py_XDECREF(type);
    return added;
}

static int fast_exec(PyObject *module) {
    bool added = add_type(module, "Pool", kv_pool_type()) && add_type(module, "Door", PyType_FromSpec(&door_spec)) &&
                 add_type(module, "Collector", kv_collector_type());
    return added ? 0 : -1;
}

static PyModuleDef_Slot fast_slots[] = {
    {Py_mod_exec, fast_exec},
#if PY_VERSION_HEX >= 0x030D0000 && defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_USED}, /* the stack of leases relies on it */
#endif
    {0, NULL},
};

static PyMethodDef fast_functions[] = {
    {"raise_later", kv_raise_later, METH_O, "raise_later(error): in the main thread, right after the current call."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef fast_module = {
    PyModuleDef_HEAD_INIT, "kvcore._native._fast", "The hot door (see binding/fast.c).", 0, fast_functions, fast_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__fast(void) { return PyModuleDef_Init(&fast_module); }
