/* The hot door: CPython calls into the engine without cffi in between.
 *
 *   Store (Python) --is a--> Door --> Pool --> leases (session + reply buffer), a stack of idle ones
 *
 * A call takes a lease, turns its arguments into slices that borrow from the Python objects (the caller's references keep those alive), runs the
 * command with the GIL held and `nonblocking` set, and decodes the reply's tape after every lock is back. When the engine answers BUSY (a shard is
 * taken, or the command may take long) the GIL is released first and the call is made again. So: a thread with the GIL never waits for a shard, and a
 * thread with a shard never touches Python.
 *
 * Nothing that the collector tracks exists while a lock is held: lists and dicts are made from the tape, afterwards. Decoding may run the collector, and
 * that any code; our lease is off the stack then, so even a call back into the same store is safe.
 *
 * What a hot method cannot take (keywords, unusual types) goes to the Python method of the same name, `_wide_<name>`, which knows everything. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "api/kvcore.h"
#include "base/num.h"
#include "engine/dispatch.h"

#define WORDS_INLINE 16
#define SLICE_MS 50 /* a wait inside the engine ends at least this often to look for signals */
#define OUT_KEEP (64 * 1024)

/* The commands of the hot methods: a pool looks them up once. */
#define HOT_COMMANDS(X)                                                                                                             \
    X(GET)                                                                                                                          \
    X(SET)                                                                                                                          \
    X(DEL) X(EXISTS) X(INCR) X(INCRBY) X(DECR) X(DECRBY) X(EXPIRE) X(TTL) X(HGET) X(HSET) X(HDEL) X(LPUSH) X(RPUSH) X(LPOP) X(RPOP) \
        X(LLEN) X(SADD) X(SREM) X(ZADD) X(ZSCORE)
#define HOT_ID(name) HOT_##name,
#define HOT_NAME(name) {(const uint8_t *)#name, sizeof(#name) - 1},
typedef enum hot_id { HOT_COMMANDS(HOT_ID) HOT_COUNT } hot_id;
static const kv_slice hot_names[HOT_COUNT] = {HOT_COMMANDS(HOT_NAME)};

typedef struct lease {
    struct lease *next;
    kvcore_client *client;
    kv_session *session;
    kv_buf out;
} lease;

typedef struct {
    PyObject_HEAD PyObject *weakrefs;
    kvcore_store *store; /* NULL: closed, or left behind by fork */
    lease *idle;
    Py_ssize_t busy; /* leases in use */
    int db;
    bool closed, abandoned;
    char *encoding, *errors; /* encoding NULL: bytes */
    bool utf8;
    PyObject *encode;     /* encode(word, encoding, errors) -> bytes: for words that are not simple */
    PyObject *from_reply; /* from_reply(text) -> exception */
    PyObject *drained;    /* called once, when the pool is closed and its last lease is gone */
    const kv_command *hot[HOT_COUNT];
} Pool;

typedef struct {
    PyObject_HEAD Pool *pool; /* NULL: not attached, everything goes the wide way */
} Door;

/* ---- leases ---- */

static void lease_free(lease *l) {
    kv_buf_deinit(&l->out);
    kvcore_disconnect(l->client);
    PyMem_Free(l);
}

/* Calls `drained` when nothing of the store is in use here any more. */
static void pool_settle(Pool *pool) {
    if (!pool->closed || pool->busy > 0 || pool->drained == NULL) return;
    while (pool->idle != NULL) {
        lease *l = pool->idle;
        pool->idle = l->next;
        lease_free(l);
    }
    pool->store = NULL;
    PyObject *drained = pool->drained;
    pool->drained = NULL;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *result = PyObject_CallNoArgs(drained);
    if (result == NULL) PyErr_WriteUnraisable(drained);
    Py_XDECREF(result);
    Py_DECREF(drained);
    PyErr_Restore(type, value, traceback);
}

static lease *lease_take(Pool *pool) {
    lease *l = pool->idle;
    if (l != NULL) {
        pool->idle = l->next;
        pool->busy++;
        return l;
    }
    l = PyMem_Calloc(1, sizeof *l);
    if (l == NULL || (l->client = kvcore_connect(pool->store, 2)) == NULL) {
        PyMem_Free(l);
        PyErr_NoMemory();
        return NULL;
    }
    l->session = kvcore_client_session(l->client);
    l->session->db = pool->db;
    kv_buf_init(&l->out, &kvcore_store_engine(pool->store)->mem);
    pool->busy++;
    return l;
}

static void lease_give_back(Pool *pool, lease *l) {
    kv_session *s = l->session;
    pool->busy--;
    bool as_new = s->transaction == NULL && s->subscriber == NULL && s->tracker == NULL && !s->monitor && s->reply_mode == KV_REPLY_ON &&
                  s->db == pool->db && s->ticket == NULL && !s->closing;
    if (pool->closed || !as_new) {
        if (!pool->abandoned) lease_free(l);
        pool_settle(pool);
        return;
    }
    if (l->out.cap > OUT_KEEP) kv_buf_deinit(&l->out);
    l->next = pool->idle;
    pool->idle = l;
}

/* ---- replies ---- */

typedef struct reader {
    const uint8_t *at, *end;
    const Pool *pool;
} reader;

static PyObject *decode(reader *r);

static PyObject *decode_text(const Pool *pool, const uint8_t *bytes, size_t len) {
    if (pool->encoding == NULL) return PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)len);
    if (pool->utf8) return PyUnicode_DecodeUTF8((const char *)bytes, (Py_ssize_t)len, pool->errors);
    return PyUnicode_Decode((const char *)bytes, (Py_ssize_t)len, pool->encoding, pool->errors);
}

static uint32_t take32(reader *r) {
    uint32_t value;
    memcpy(&value, r->at, sizeof value);
    r->at += sizeof value;
    return value;
}

static PyObject *decode_list(reader *r, uint32_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        PyObject *item = decode(r);
        if (item == NULL) Py_CLEAR(list);
        else PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return list;
}

static PyObject *decode_map(reader *r, uint32_t pairs) {
    PyObject *dict = PyDict_New();
    for (uint32_t i = 0; dict != NULL && i < pairs; i++) {
        PyObject *key = decode(r), *value = key == NULL ? NULL : decode(r);
        if (value == NULL || PyDict_SetItem(dict, key, value) < 0) Py_CLEAR(dict);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return dict;
}

/* A set whose members can be in one; lists inside make it a list. */
static PyObject *decode_set(reader *r, uint32_t count) {
    PyObject *list = decode_list(r, count);
    if (list == NULL) return NULL;
    PyObject *set = PySet_New(list);
    if (set == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        return list;
    }
    Py_DECREF(list);
    return set;
}

static PyObject *decode_error(reader *r) {
    uint32_t len = take32(r);
    PyObject *text = PyUnicode_DecodeUTF8((const char *)r->at, (Py_ssize_t)len, "replace");
    r->at += len;
    if (text == NULL) return NULL;
    PyObject *error = PyObject_CallOneArg(r->pool->from_reply, text);
    Py_DECREF(text);
    return error;
}

static PyObject *decode_bytes(reader *r, size_t len) {
    PyObject *object = decode_text(r->pool, r->at, len);
    r->at += len;
    return object;
}

/* The tape is ours, so it is trusted; errors become exception objects, and the caller raises one that stands alone. */
static PyObject *decode(reader *r) {
    switch (*r->at++) {
    case KV_TAPE_NULL: Py_RETURN_NONE;
    case KV_TAPE_TRUE: Py_RETURN_TRUE;
    case KV_TAPE_FALSE: Py_RETURN_FALSE;
    case KV_TAPE_INT: {
        int64_t value;
        memcpy(&value, r->at, sizeof value);
        r->at += sizeof value;
        return PyLong_FromLongLong(value);
    }
    case KV_TAPE_DOUBLE: {
        double value;
        memcpy(&value, r->at, sizeof value);
        r->at += sizeof value;
        return PyFloat_FromDouble(value);
    }
    case KV_TAPE_BULK:
    case KV_TAPE_STATUS:
    case KV_TAPE_VERBATIM: {
        uint32_t len = take32(r);
        return decode_bytes(r, len);
    }
    case KV_TAPE_BULK64: {
        uint64_t len;
        memcpy(&len, r->at, sizeof len);
        r->at += sizeof len;
        return decode_bytes(r, (size_t)len);
    }
    case KV_TAPE_ERROR: return decode_error(r);
    case KV_TAPE_ARRAY:
    case KV_TAPE_PUSH: {
        uint32_t count = take32(r);
        return decode_list(r, count);
    }
    case KV_TAPE_SET: {
        uint32_t count = take32(r);
        return decode_set(r, count);
    }
    case KV_TAPE_MAP: {
        uint32_t pairs = take32(r);
        return decode_map(r, pairs);
    }
    default: break;
    }
    PyErr_SetString(PyExc_SystemError, "kvcore: malformed reply");
    return NULL;
}

/* What the caller gets: the reply, or its error raised. */
static PyObject *take_reply(const Pool *pool, const lease *l) {
    if (l->out.failed) return PyErr_NoMemory();
    if (l->out.len == 0) Py_RETURN_NONE; /* CLIENT REPLY OFF */
    reader r = {l->out.ptr, l->out.ptr + l->out.len, pool};
    bool is_error = *r.at == KV_TAPE_ERROR;
    PyObject *reply = decode(&r);
    if (!is_error || reply == NULL) return reply;
    PyErr_SetObject((PyObject *)Py_TYPE(reply), reply);
    Py_DECREF(reply);
    return NULL;
}

/* ---- running ---- */

/* Sets the exception that raise_later put away. The interpreter calls it in the main thread, between two instructions. */
static int raise_now(void *error) {
    PyErr_SetObject((PyObject *)Py_TYPE((PyObject *)error), (PyObject *)error);
    Py_DECREF((PyObject *)error);
    return -1;
}

/* What a signal's handler raised (Ctrl-C, a test's time limit) while a reply was being handed over: the reply is returned, the exception comes
 * right after this call. Handlers run in the main thread only, and so does what is pending. */
static void raise_later(void) {
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    Py_XDECREF(type);
    if (error != NULL && traceback != NULL) PyException_SetTraceback(error, traceback);
    Py_XDECREF(traceback);
    if (error == NULL) return;
    if (Py_AddPendingCall(raise_now, error) != 0) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        PyErr_WriteUnraisable(NULL);
        Py_DECREF(error);
    }
}

/* raise_later(error), for the wide door. */
static PyObject *fast_raise_later(PyObject *module, PyObject *error) {
    (void)module;
    if (!PyExceptionInstance_Check(error)) {
        PyErr_SetString(PyExc_TypeError, "raise_later() needs an exception");
        return NULL;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    raise_later();
    Py_RETURN_NONE;
}

/* The wait of a blocked or paused command. False: a Python exception is set. */
static bool wait_outcome(Pool *pool, lease *l, int argc, const kv_slice *argv, kv_outcome outcome) {
    while (outcome != KV_OUTCOME_DONE) {
        int state;
        Py_BEGIN_ALLOW_THREADS state = kvcore_wait(l->client, SLICE_MS);
        if (state == KVCORE_PAUSED) outcome = kv_execute(l->session, argc, argv, &l->out);
        Py_END_ALLOW_THREADS if (state == KVCORE_NO_MEMORY) {
            l->out.failed = true;
            return true;
        }
        if (state == KVCORE_DONE) break;
        if (outcome == KV_OUTCOME_DONE) return true;
        bool closing = pool->closed;
        if (!closing && PyErr_CheckSignals() == 0) continue;
        /* Interrupted: leave the queues. What another thread handed over by then is this call's result and is not thrown away. */
        int gone;
        Py_BEGIN_ALLOW_THREADS gone = kvcore_cancel(l->client);
        Py_END_ALLOW_THREADS if (gone && closing) PyErr_SetNone(PyExc_StopIteration); /* the caller turns it into "closed" */
        if (gone) return false;
        if (PyErr_Occurred()) raise_later();
        break;
    }
    size_t len;
    const char *reply = kvcore_reply(l->client, &len);
    kv_buf_clear(&l->out);
    kv_buf_add(&l->out, reply, len);
    return true;
}

/* `command` is what argv[0] names, or NULL: not looked up yet. */
static inline bool run(Pool *pool, lease *l, const kv_command *command, int argc, const kv_slice *argv) {
    kv_buf_clear(&l->out);
    l->session->nonblocking = true;
    kv_outcome outcome =
        command != NULL ? kv_execute_as(l->session, command, argc, argv, &l->out) : kv_execute(l->session, argc, argv, &l->out);
    l->session->nonblocking = false;
    if (outcome == KV_OUTCOME_BUSY) {
        Py_BEGIN_ALLOW_THREADS outcome = kv_execute(l->session, argc, argv, &l->out);
        Py_END_ALLOW_THREADS
    }
    return outcome == KV_OUTCOME_DONE || wait_outcome(pool, l, argc, argv, outcome);
}

/* ---- words ---- */

/* The words of a command. Short ones stay on the stack; `held` are the objects that were made to hold bytes. */
typedef struct words {
    kv_slice few[WORDS_INLINE];
    kv_slice *all;
    PyObject *held; /* a list, or NULL */
    char digits[8][KV_NUM_MAX];
    int digits_used;
    int count;
} words;

static bool words_begin(words *w, Py_ssize_t room) {
    w->all = w->few;
    w->held = NULL;
    w->digits_used = 0;
    w->count = 0;
    if (room <= WORDS_INLINE) return true;
    if (room > INT32_MAX / (Py_ssize_t)sizeof(kv_slice)) {
        PyErr_SetString(PyExc_ValueError, "too many words in one command");
        return false;
    }
    w->all = PyMem_Malloc((size_t)room * sizeof *w->all);
    if (w->all != NULL) return true;
    PyErr_NoMemory();
    return false;
}

static void words_end(words *w) {
    if (w->all != w->few) PyMem_Free(w->all);
    Py_XDECREF(w->held);
}

static void words_put(words *w, const char *bytes, size_t len) { w->all[w->count++] = kv_slice_of(bytes, len); }

/* Keeps `object` (its reference is taken) until the command has run. */
static bool words_hold(words *w, PyObject *object) {
    if (w->held == NULL) w->held = PyList_New(0);
    bool kept = w->held != NULL && PyList_Append(w->held, object) == 0;
    Py_DECREF(object);
    return kept;
}

static bool words_add_encoded(words *w, const Pool *pool, PyObject *word) {
    PyObject *bytes = PyObject_CallFunction(pool->encode, "Oss", word, pool->encoding == NULL ? "utf-8" : pool->encoding, pool->errors);
    if (bytes == NULL) return false;
    if (!PyBytes_Check(bytes)) {
        Py_DECREF(bytes);
        PyErr_SetString(PyExc_TypeError, "encode() must return bytes");
        return false;
    }
    const char *text = PyBytes_AS_STRING(bytes);
    size_t len = (size_t)PyBytes_GET_SIZE(bytes);
    if (!words_hold(w, bytes)) return false;
    words_put(w, text, len);
    return true;
}

static bool words_add(words *w, const Pool *pool, PyObject *word) {
    if (PyBytes_CheckExact(word)) {
        words_put(w, PyBytes_AS_STRING(word), (size_t)PyBytes_GET_SIZE(word));
        return true;
    }
    if (PyUnicode_CheckExact(word) && (pool->encoding == NULL || pool->utf8)) {
        Py_ssize_t len;
        const char *text = PyUnicode_AsUTF8AndSize(word, &len); /* kept inside the str */
        if (text != NULL) {
            words_put(w, text, (size_t)len);
            return true;
        }
        PyErr_Clear(); /* lone surrogates: `errors` decides */
    } else if (PyLong_CheckExact(word) && w->digits_used < 8) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(word, &overflow);
        if (overflow == 0) {
            char *digits = w->digits[w->digits_used++];
            words_put(w, digits, kv_format_i64(digits, value));
            return true;
        }
    } else if (PyFloat_CheckExact(word) && w->digits_used < 8) {
        char *text = PyOS_double_to_string(PyFloat_AS_DOUBLE(word), 'r', 0, Py_DTSF_ADD_DOT_0, NULL); /* what repr() says */
        size_t len = text == NULL ? KV_NUM_MAX : strlen(text);
        bool fits = len < KV_NUM_MAX;
        if (fits) {
            char *digits = w->digits[w->digits_used++];
            memcpy(digits, text, len);
            words_put(w, digits, len);
        }
        PyMem_Free(text);
        if (fits) return true;
        PyErr_Clear();
    }
    return words_add_encoded(w, pool, word);
}

/* ---- Pool ---- */

static PyObject *closed_sentinel(void) {
    PyErr_SetNone(PyExc_StopIteration);
    return NULL;
}

static inline PyObject *pool_run(Pool *pool, const kv_command *command, words *w) {
    if (pool->closed) return closed_sentinel();
    lease *l = lease_take(pool);
    if (l == NULL) return NULL;
    PyObject *reply = run(pool, l, command, w->count, w->all) ? take_reply(pool, l) : NULL;
    lease_give_back(pool, l);
    return reply;
}

static PyObject *pool_execute(Pool *pool, PyObject *sequence) {
    PyObject *all = PySequence_Tuple(sequence); /* a list might change while a word is encoded or the GIL is away */
    if (all == NULL) return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(all);
    words w;
    if (!words_begin(&w, count)) {
        Py_DECREF(all);
        return NULL;
    }
    bool fits = true;
    for (Py_ssize_t i = 0; fits && i < count; i++) fits = words_add(&w, pool, PyTuple_GET_ITEM(all, i));
    PyObject *reply = fits ? pool_run(pool, NULL, &w) : NULL;
    words_end(&w);
    Py_DECREF(all);
    return reply;
}

/* One command of a batch. An error is a reply like others. NULL: a Python exception is set. */
static PyObject *batch_step(Pool *pool, lease *l, PyObject *command) {
    PyObject *all = PySequence_Tuple(command);
    if (all == NULL) return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(all);
    words w;
    if (!words_begin(&w, count)) {
        Py_DECREF(all);
        return NULL;
    }
    bool fits = true;
    for (Py_ssize_t i = 0; fits && i < count; i++) fits = words_add(&w, pool, PyTuple_GET_ITEM(all, i));
    PyObject *reply = NULL;
    if (fits && run(pool, l, NULL, w.count, w.all)) {
        if (l->out.failed) {
            PyErr_NoMemory();
        } else if (l->out.len == 0) {
            reply = Py_NewRef(Py_None);
        } else {
            reader r = {l->out.ptr, l->out.ptr + l->out.len, pool};
            reply = decode(&r);
        }
    }
    words_end(&w);
    Py_DECREF(all);
    return reply;
}

/* All of a pipeline on one session. One that is left inside MULTI (an argument was refused) is thrown away with what it had queued. */
static PyObject *pool_batch(Pool *pool, PyObject *commands) {
    if (pool->closed) return closed_sentinel();
    PyObject *all = PySequence_Tuple(commands); /* ours: the caller's list may change while the GIL is away */
    if (all == NULL) return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(all);
    PyObject *replies = PyList_New(0);
    lease *l = replies == NULL ? NULL : lease_take(pool);
    bool going = l != NULL;
    for (Py_ssize_t i = 0; going && i < count; i++) {
        PyObject *reply = pool->closed ? closed_sentinel() : batch_step(pool, l, PyTuple_GET_ITEM(all, i));
        going = reply != NULL && PyList_Append(replies, reply) == 0 && (i % 64 != 63 || PyErr_CheckSignals() == 0);
        Py_XDECREF(reply);
    }
    if (l != NULL) lease_give_back(pool, l);
    Py_DECREF(all);
    if (!going) Py_CLEAR(replies);
    return replies;
}

static PyObject *pool_close(Pool *pool, PyObject *ignored) {
    (void)ignored;
    if (!pool->closed) {
        pool->closed = true;
        pool_settle(pool);
    }
    Py_RETURN_NONE;
}

/* In a forked child: what the parent's threads held may be half done, so nothing is touched again. */
static PyObject *pool_abandon(Pool *pool, PyObject *ignored) {
    (void)ignored;
    pool->closed = pool->abandoned = true;
    pool->store = NULL;
    pool->idle = NULL;
    Py_CLEAR(pool->drained);
    Py_RETURN_NONE;
}

static char *copy_text(const char *text) {
    size_t len = strlen(text) + 1;
    char *copy = PyMem_Malloc(len);
    if (copy == NULL) PyErr_NoMemory();
    else memcpy(copy, text, len);
    return copy;
}

static PyObject *pool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    unsigned long long address;
    const char *encoding, *errors;
    PyObject *encode, *from_reply, *drained;
    int db;
    if (kwargs != NULL && PyDict_Size(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Pool() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "KizsOOO", &address, &db, &encoding, &errors, &encode, &from_reply, &drained)) return NULL;
    Pool *pool = (Pool *)type->tp_alloc(type, 0);
    if (pool == NULL) return NULL;
    pool->store = (kvcore_store *)(uintptr_t)address;
    pool->db = db;
    pool->encode = Py_NewRef(encode);
    pool->from_reply = Py_NewRef(from_reply);
    pool->errors = copy_text(errors);
    if (encoding != NULL) {
        pool->encoding = copy_text(encoding);
        pool->utf8 = strcmp(encoding, "utf-8") == 0 || strcmp(encoding, "utf8") == 0 || strcmp(encoding, "UTF-8") == 0;
    }
    if (pool->errors == NULL || (encoding != NULL && pool->encoding == NULL)) {
        Py_DECREF(pool);
        return NULL;
    }
    pool->drained = Py_NewRef(drained);
    for (int i = 0; i < HOT_COUNT; i++) pool->hot[i] = kv_command_find(kvcore_store_engine(pool->store)->commands, hot_names[i]);
    return (PyObject *)pool;
}

static void pool_dealloc(Pool *pool) {
    if (pool->weakrefs != NULL) PyObject_ClearWeakRefs((PyObject *)pool);
    pool->closed = true;
    pool_settle(pool);
    Py_XDECREF(pool->encode);
    Py_XDECREF(pool->from_reply);
    Py_XDECREF(pool->drained);
    PyMem_Free(pool->encoding);
    PyMem_Free(pool->errors);
    PyTypeObject *type = Py_TYPE(pool);
    type->tp_free(pool);
    Py_DECREF(type);
}

static PyMethodDef pool_methods[] = {
    {"execute", (PyCFunction)pool_execute, METH_O,
     "execute(words): run one command and return its reply; StopIteration when the pool is closed."},
    {"batch", (PyCFunction)pool_batch, METH_O,
     "batch(commands): run them one after the other on one session; errors stand among the replies."},
    {"close", (PyCFunction)pool_close, METH_NOARGS, "close(): give the idle sessions back; those in use follow."},
    {"abandon", (PyCFunction)pool_abandon, METH_NOARGS, "abandon(): forget everything without touching it (a forked child)."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef pool_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Pool, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot pool_slots[] = {
    {Py_tp_doc, "Sessions of one store for calls from Python."},
    {Py_tp_new, pool_new},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_methods, pool_methods},
    {Py_tp_members, pool_members},
    {0, NULL},
};

static PyType_Spec pool_spec = {"kvcore._native._fast.Pool", sizeof(Pool), 0, Py_TPFLAGS_DEFAULT, pool_slots};

/* ---- Door: the hot methods ---- */

typedef enum convert { PLAIN, OK_IS_TRUE, INT_IS_BOOL } convert;

typedef struct hot_method {
    hot_id command;
    Py_ssize_t min, max; /* positional arguments; max -1: any number */
    convert convert;
    const char *wide; /* the Python method that takes the rest */
} hot_method;

/* A word that a hot method takes by itself. */
static inline bool is_simple(PyObject *word) {
    return PyBytes_CheckExact(word) || PyUnicode_CheckExact(word) || PyLong_CheckExact(word) || PyFloat_CheckExact(word);
}

static PyObject *converted(PyObject *reply, convert how) {
    if (reply == NULL || how == PLAIN || reply == Py_None) return reply;
    if (how == INT_IS_BOOL && !PyLong_CheckExact(reply)) return reply;
    bool truth = how == OK_IS_TRUE || PyLong_AsLong(reply) != 0;
    Py_DECREF(reply);
    return PyBool_FromLong(truth);
}

static PyObject *go_wide(PyObject *self, const char *name, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
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
    if (!simple) return go_wide((PyObject *)self, method->wide, args, count, kwnames);
    words w;
    if (!words_begin(&w, count + 1)) return NULL;
    w.all[w.count++] = hot_names[method->command];
    bool fits = true;
    for (Py_ssize_t i = 0; fits && i < count; i++) fits = words_add(&w, self->pool, args[i]);
    PyObject *reply = fits ? pool_run(self->pool, self->pool->hot[method->command], &w) : NULL;
    words_end(&w);
    return finish((PyObject *)self, reply, method->convert);
}

#define HOT(name, command, min, max, convert)                                                                 \
    static PyObject *hot_##name(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) { \
        static const hot_method method = {HOT_##command, min, max, convert, "_wide_" #name};                  \
        return hot_call((Door *)self, &method, args, count, kwnames);                                         \
    }

HOT(get, GET, 1, 1, PLAIN)
HOT(set, SET, 2, 2, OK_IS_TRUE)
HOT(delete, DEL, 1, -1, PLAIN)
HOT(exists, EXISTS, 1, -1, PLAIN)
HOT(incrby, INCRBY, 2, 2, PLAIN)
HOT(decrby, DECRBY, 2, 2, PLAIN)
HOT(expire, EXPIRE, 2, 2, INT_IS_BOOL)
HOT(ttl, TTL, 1, 1, PLAIN)
HOT(hget, HGET, 2, 2, PLAIN)
HOT(hset, HSET, 3, 3, PLAIN)
HOT(hdel, HDEL, 2, -1, PLAIN)
HOT(lpush, LPUSH, 2, -1, PLAIN)
HOT(rpush, RPUSH, 2, -1, PLAIN)
HOT(lpop, LPOP, 1, 1, PLAIN)
HOT(rpop, RPOP, 1, 1, PLAIN)
HOT(llen, LLEN, 1, 1, PLAIN)
HOT(sadd, SADD, 2, -1, PLAIN)
HOT(srem, SREM, 2, -1, PLAIN)
HOT(zscore, ZSCORE, 2, 2, PLAIN)

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
        return go_wide(self, "_wide_zadd", args, count, kwnames);
    }
    words w;
    bool fits = words_begin(&w, 2 + 2 * PyDict_GET_SIZE(pairs));
    PyObject *reply = NULL;
    if (fits) {
        w.all[w.count++] = hot_names[HOT_ZADD];
        fits = words_add(&w, door->pool, args[0]);
        at = 0;
        while (fits && PyDict_Next(pairs, &at, &member, &score))
            fits = words_add(&w, door->pool, score) && words_add(&w, door->pool, member);
        if (fits) reply = pool_run(door->pool, door->pool->hot[HOT_ZADD], &w);
        words_end(&w);
    }
    Py_DECREF(pairs);
    return finish(self, reply, PLAIN);
}

/* _fast_run(words): any command; without a pool, the wide way. */
static PyObject *door_run(PyObject *self, PyObject *sequence) {
    Door *door = (Door *)self;
    if (door->pool == NULL) return go_wide(self, "_wide_run", &sequence, 1, NULL);
    return finish(self, pool_execute(door->pool, sequence), PLAIN);
}

static PyObject *door_attach(PyObject *self, PyObject *pool) {
    Door *door = (Door *)self;
    if (strcmp(Py_TYPE(pool)->tp_name, pool_spec.name) != 0) {
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

#define METHOD(name, text) {#name, (PyCFunction)(void (*)(void))hot_##name, METH_FASTCALL | METH_KEYWORDS, text}

static PyMethodDef door_methods[] = {
    METHOD(get, NULL),
    METHOD(set, NULL),
    METHOD(delete, NULL),
    METHOD(exists, NULL),
    METHOD(incr, NULL),
    METHOD(incrby, NULL),
    METHOD(decr, NULL),
    METHOD(decrby, NULL),
    METHOD(expire, NULL),
    METHOD(ttl, NULL),
    METHOD(hget, NULL),
    METHOD(hset, NULL),
    METHOD(hdel, NULL),
    METHOD(lpush, NULL),
    METHOD(rpush, NULL),
    METHOD(lpop, NULL),
    METHOD(rpop, NULL),
    METHOD(llen, NULL),
    METHOD(sadd, NULL),
    METHOD(srem, NULL),
    METHOD(zadd, NULL),
    METHOD(zscore, NULL),
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

static int fast_exec(PyObject *module) {
    PyObject *pool = PyType_FromSpec(&pool_spec), *door = PyType_FromSpec(&door_spec);
    int failed =
        pool == NULL || door == NULL || PyModule_AddObjectRef(module, "Pool", pool) < 0 || PyModule_AddObjectRef(module, "Door", door) < 0;
    Py_XDECREF(pool);
    Py_XDECREF(door);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot fast_slots[] = {
    {Py_mod_exec, fast_exec},
#if PY_VERSION_HEX >= 0x030D0000 && defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_USED}, /* the stack of leases relies on it */
#endif
    {0, NULL},
};

static PyMethodDef fast_functions[] = {
    {"raise_later", fast_raise_later, METH_O, "raise_later(error): in the main thread, right after the current call."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef fast_module = {
    PyModuleDef_HEAD_INIT, "kvcore._native._fast", "The hot door (see binding/fast.c).", 0, fast_functions, fast_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__fast(void) { return PyModuleDef_Init(&fast_module); }
