/* The hot door's sessions: commands from Python objects to Python objects, without cffi in between.
 *
 *   Pool --> leases (session + reply buffer), a stack of idle ones
 *
 * A call takes a lease, turns its arguments into slices that borrow from the Python objects (the caller's references keep those alive), runs the
 * command with the GIL held and `nonblocking` set, and decodes the reply's tape after every lock is back. When the engine answers BUSY (a shard is
 * taken, or the command may take long) the GIL is released first and the call is made again. So: a thread with the GIL never waits for a shard, and a
 * thread with a shard never touches Python.
 *
 * Nothing that the collector tracks exists while a lock is held: lists and dicts are made from the tape, afterwards. Decoding may run the collector, and
 * that any code; our lease is off the stack then, so even a call back into the same store is safe. */
#include "binding/pool.h"

#include <structmember.h>

#include "commands/string_direct.h"
#include "engine/journal.h"

#define SLICE_MS 50 /* a wait inside the engine ends at least this often to look for signals */
#define OUT_KEEP (64 * 1024)

#define HOT_NAME(name) {(const uint8_t *)#name, sizeof(#name) - 1},
const kv_slice kv_hot_names[HOT_COUNT] = {HOT_COMMANDS(HOT_NAME)};

typedef struct lease {
    struct lease *next;
    kvcore_client *client;
    kv_session *session;
    kv_buf out;
    bool together; /* a pipeline's commands: what they show is waited for once, at its end */
} lease;

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

/* ---- direct calls ---- */

/* No Python code runs between the look at the idle session and the end of the call, so it can stay where it is. */
static inline kv_session *session_at_hand(const Pool *pool) { return pool->closed || pool->idle == NULL ? NULL : pool->idle->session; }

bool kv_pool_get(Pool *pool, kv_slice key, PyObject **reply) {
    kv_session *session = session_at_hand(pool);
    if (session == NULL) return false;
    uint8_t value[KV_DIRECT_BYTES];
    size_t len;
    switch (kv_direct_get(session, key, value, &len)) {
    case KV_DIRECT_ASK: return false;
    case KV_DIRECT_ABSENT: *reply = Py_NewRef(Py_None); break;
    case KV_DIRECT_FOUND: *reply = decode_text(pool, value, len); break;
    }
    return true;
}

bool kv_pool_set(Pool *pool, kv_slice key, kv_slice value, PyObject **reply) {
    kv_session *session = session_at_hand(pool);
    if (session == NULL || kv_direct_set(session, key, value) == KV_DIRECT_ASK) return false;
    *reply = Py_NewRef(Py_True);
    return true;
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

PyObject *kv_raise_later(PyObject *module, PyObject *error) {
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
        if (state == KVCORE_PAUSED && outcome == KV_OUTCOME_DONE) kv_session_settle(l->session, &l->out, 0);
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
        if (outcome == KV_OUTCOME_DONE && !l->together) kv_session_settle(l->session, &l->out, 0);
        Py_END_ALLOW_THREADS
    }
    return outcome == KV_OUTCOME_DONE || wait_outcome(pool, l, argc, argv, outcome);
}

/* ---- words ---- */

bool kv_words_make_room(words *w, Py_ssize_t room) {
    if (room > INT32_MAX / (Py_ssize_t)sizeof(kv_slice)) {
        PyErr_SetString(PyExc_ValueError, "too many words in one command");
        return false;
    }
    w->all = PyMem_Malloc((size_t)room * sizeof *w->all);
    if (w->all != NULL) return true;
    PyErr_NoMemory();
    return false;
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

bool kv_words_add(words *w, const Pool *pool, PyObject *word) {
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

PyObject *kv_pool_run(Pool *pool, const kv_command *command, const words *w) {
    if (pool->closed) return closed_sentinel();
    lease *l = lease_take(pool);
    if (l == NULL) return NULL;
    PyObject *reply = run(pool, l, command, w->count, w->all) ? take_reply(pool, l) : NULL;
    lease_give_back(pool, l);
    return reply;
}

PyObject *kv_pool_execute(Pool *pool, PyObject *sequence) {
    PyObject *all = PySequence_Tuple(sequence); /* a list might change while a word is encoded or the GIL is away */
    if (all == NULL) return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(all);
    words w;
    if (!words_begin(&w, count)) {
        Py_DECREF(all);
        return NULL;
    }
    bool fits = true;
    for (Py_ssize_t i = 0; fits && i < count; i++) fits = kv_words_add(&w, pool, PyTuple_GET_ITEM(all, i));
    PyObject *reply = fits ? kv_pool_run(pool, NULL, &w) : NULL;
    words_end(&w);
    Py_DECREF(all);
    return reply;
}

/* ---- pipelines ---- */

/* The words of one command, run on a lease. False: a Python exception is set. */
static bool run_words(Pool *pool, lease *l, PyObject *command) {
    PyObject *all = PySequence_Tuple(command);
    if (all == NULL) return false;
    Py_ssize_t count = PyTuple_GET_SIZE(all);
    words w;
    bool fits = words_begin(&w, count);
    if (fits) {
        for (Py_ssize_t i = 0; fits && i < count; i++) fits = kv_words_add(&w, pool, PyTuple_GET_ITEM(all, i));
        fits = fits && run(pool, l, NULL, w.count, w.all);
        words_end(&w);
    }
    Py_DECREF(all);
    if (fits && l->out.failed) PyErr_NoMemory();
    return fits && !l->out.failed;
}

/* Its reply; errors are replies like others. */
static PyObject *reply_of(const Pool *pool, const lease *l) {
    if (l->out.len == 0) Py_RETURN_NONE; /* CLIENT REPLY OFF */
    reader r = {l->out.ptr, l->out.ptr + l->out.len, pool};
    return decode(&r);
}

/* The first command that failed. */
typedef struct failure {
    Py_ssize_t at; /* -1: none */
    PyObject *error;
} failure;

/* Takes `reply` and returns what the caller of the pipeline sees in its place. */
static PyObject *shaped(PyObject *reply, PyObject *shape, Py_ssize_t at, failure *failed) {
    if (reply == NULL || Py_TYPE(reply) == &PyBytes_Type || !PyExceptionInstance_Check(reply)) {
        if (reply == NULL || shape == Py_None) return reply;
        PyObject *result = PyObject_CallOneArg(shape, reply);
        Py_DECREF(reply);
        return result;
    }
    if (failed->error == NULL) *failed = (failure){at, Py_NewRef(reply)};
    return reply;
}

/* An element of a pipeline's stack: (words, shape). */
static PyObject *part_of(PyObject *all, Py_ssize_t i, Py_ssize_t part) {
    PyObject *entry = PyTuple_GET_ITEM(all, i);
    if (PyTuple_Check(entry) && PyTuple_GET_SIZE(entry) == 2) return PyTuple_GET_ITEM(entry, part);
    PyErr_SetString(PyExc_TypeError, "a pipeline's commands are pairs of words and a shape");
    return NULL;
}

/* Between commands: a long pipeline can be interrupted, and ends when its store is closed. */
static bool may_go_on(const Pool *pool, Py_ssize_t i) {
    if (pool->closed) {
        (void)closed_sentinel();
        return false;
    }
    return i % 64 != 63 || PyErr_CheckSignals() == 0;
}

/* Waits until what the replies show is on the disk, when replies have to. False: it never will be, and the error is raised. */
static bool settle(const Pool *pool, lease *l) {
    if (l->session->need == 0) return true;
    kv_buf_clear(&l->out);
    Py_BEGIN_ALLOW_THREADS kv_session_settle(l->session, &l->out, 0);
    Py_END_ALLOW_THREADS if (l->out.len == 0 && !l->out.failed) return true;
    PyObject *reply = take_reply(pool, l);
    Py_XDECREF(reply); /* an error, so there is none */
    return false;
}

static PyObject *run_batch(Pool *pool, lease *l, PyObject *all, failure *failed) {
    PyObject *replies = PyList_New(0);
    l->together = true;
    for (Py_ssize_t i = 0; replies != NULL && i < PyTuple_GET_SIZE(all); i++) {
        PyObject *command = part_of(all, i, 0);
        bool ran = command != NULL && may_go_on(pool, i) && run_words(pool, l, command);
        PyObject *reply = ran ? shaped(reply_of(pool, l), part_of(all, i, 1), i, failed) : NULL;
        if (reply == NULL || PyList_Append(replies, reply) < 0) Py_CLEAR(replies);
        Py_XDECREF(reply);
    }
    l->together = false;
    if (replies != NULL && !settle(pool, l)) Py_CLEAR(replies);
    return replies;
}

static PyObject *shape_all(PyObject *replies, PyObject *all, failure *failed) {
    Py_ssize_t count = PyTuple_GET_SIZE(all);
    if (PyList_GET_SIZE(replies) != count) { /* somebody put an EXEC of his own among the commands */
        PyErr_Format(PyExc_ValueError, "%zd replies to %zd commands", PyList_GET_SIZE(replies), count);
        Py_DECREF(replies);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *reply = shaped(Py_NewRef(PyList_GET_ITEM(replies, i)), part_of(all, i, 1), i, failed);
        if (reply == NULL || PyList_SetItem(replies, i, reply) < 0) {
            Py_DECREF(replies);
            return NULL;
        }
    }
    return replies;
}

/* A list of replies; None: a watched key has changed; an exception object: it was refused, perhaps because of `failed`. What is queued is not
 * decoded: nobody sees it. */
static PyObject *run_transaction(Pool *pool, lease *l, PyObject *all, failure *failed) {
    static const kv_slice multi = {(const uint8_t *)"MULTI", 5}, exec = {(const uint8_t *)"EXEC", 4};
    if (!run(pool, l, NULL, 1, &multi)) return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(all); i++) {
        PyObject *command = part_of(all, i, 0);
        if (command == NULL || !may_go_on(pool, i) || !run_words(pool, l, command)) return NULL;
        if (l->out.len == 0 || *l->out.ptr != KV_TAPE_ERROR || failed->error != NULL) continue;
        PyObject *error = reply_of(pool, l);
        if (error == NULL) return NULL;
        *failed = (failure){i, error};
    }
    if (!run(pool, l, NULL, 1, &exec)) return NULL;
    if (l->out.failed) return PyErr_NoMemory();
    PyObject *replies = reply_of(pool, l);
    return replies == NULL || !PyList_CheckExact(replies) ? replies : shape_all(replies, all, failed);
}

/* A session that is left inside MULTI (a word was refused) is thrown away with what it had queued. */
static PyObject *pool_pipeline(Pool *pool, PyObject *const *args, Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "pipeline() takes the commands, and whether they are a transaction");
        return NULL;
    }
    int transaction = PyObject_IsTrue(args[1]);
    if (transaction < 0) return NULL;
    if (pool->closed) return closed_sentinel();
    PyObject *all = PySequence_Tuple(args[0]); /* ours: the caller's list may change while the GIL is away */
    if (all == NULL) return NULL;
    failure failed = {-1, NULL};
    lease *l = lease_take(pool);
    PyObject *replies = l == NULL ? NULL : transaction ? run_transaction(pool, l, all, &failed) : run_batch(pool, l, all, &failed);
    if (l != NULL) lease_give_back(pool, l);
    Py_DECREF(all);
    PyObject *error = failed.error == NULL ? Py_NewRef(Py_None) : failed.error;
    if (replies != NULL) return Py_BuildValue("(NnN)", replies, failed.at, error);
    Py_DECREF(error);
    return NULL;
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
    kvcore_store *store = (kvcore_store *)(uintptr_t)address;
    if (db < 0 || (unsigned)db >= kvcore_databases(store)) { /* sessions take it unseen: SELECT is not asked */
        PyErr_Format(PyExc_ValueError, "Pool(): there is no database %d", db);
        return NULL;
    }
    Pool *pool = (Pool *)type->tp_alloc(type, 0);
    if (pool == NULL) return NULL;
    pool->store = store;
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
    for (int i = 0; i < HOT_COUNT; i++) {
        pool->hot[i] = kv_command_find(kvcore_store_engine(pool->store)->commands, kv_hot_names[i]);
        pool->names[i] = PyUnicode_InternFromString((const char *)kv_hot_names[i].ptr);
        if (pool->names[i] == NULL) {
            Py_DECREF(pool);
            return NULL;
        }
    }
    return (PyObject *)pool;
}

static void pool_dealloc(Pool *pool) {
    if (pool->weakrefs != NULL) PyObject_ClearWeakRefs((PyObject *)pool);
    pool->closed = true;
    pool_settle(pool);
    Py_XDECREF(pool->encode);
    Py_XDECREF(pool->from_reply);
    Py_XDECREF(pool->drained);
    for (int i = 0; i < HOT_COUNT; i++) Py_XDECREF(pool->names[i]);
    PyMem_Free(pool->encoding);
    PyMem_Free(pool->errors);
    PyTypeObject *type = Py_TYPE(pool);
    type->tp_free(pool);
    Py_DECREF(type);
}

static PyMethodDef pool_methods[] = {
    {"execute", (PyCFunction)kv_pool_execute, METH_O,
     "execute(words): run one command and return its reply; StopIteration when the pool is closed."},
    {"pipeline", (PyCFunction)(void (*)(void))pool_pipeline, METH_FASTCALL,
     "pipeline(commands, transaction): run pairs of words and shape on one session; (replies, place of the first error or -1, that "
     "error)."},
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

PyObject *kv_pool_type(void) { return PyType_FromSpec(&pool_spec); }

bool kv_is_pool(PyObject *object) { return strcmp(Py_TYPE(object)->tp_name, pool_spec.name) == 0; }
