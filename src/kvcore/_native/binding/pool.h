/* What the files of the hot door share: pools of sessions, and the words of a command made from Python objects. */
#ifndef KV_BINDING_POOL_H
#define KV_BINDING_POOL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "api/kvcore.h"
#include "base/num.h"
#include "engine/dispatch.h"

/* The commands of the hot methods: a pool looks them up once. */
/* clang-format off */
#define HOT_COMMANDS(X)                                                                       \
    X(GET) X(SET) X(DEL) X(EXISTS) X(INCR) X(INCRBY) X(DECR) X(DECRBY) X(EXPIRE) X(TTL)       \
    X(HGET) X(HSET) X(HDEL) X(LPUSH) X(RPUSH) X(LPOP) X(RPOP) X(LLEN) X(SADD) X(SREM) X(ZADD) \
    X(ZSCORE)
/* clang-format on */
#define HOT_ID(name) HOT_##name,
typedef enum hot_id { HOT_COMMANDS(HOT_ID) HOT_COUNT } hot_id;
extern const kv_slice kv_hot_names[HOT_COUNT];

/* The hot methods that are their command with simple positional arguments: name, command, how few and how many (-1: any number), and what becomes of
 * the reply. `get`, `set`, `incr`, `decr` and `zadd` are more than that. */
typedef enum convert { PLAIN, OK_IS_TRUE, INT_IS_BOOL } convert;
/* clang-format off */
#define HOT_METHODS(X) \
    X(delete, DEL, 1, -1, PLAIN) X(exists, EXISTS, 1, -1, PLAIN) X(incrby, INCRBY, 2, 2, PLAIN) \
    X(decrby, DECRBY, 2, 2, PLAIN) X(expire, EXPIRE, 2, 2, INT_IS_BOOL) X(ttl, TTL, 1, 1, PLAIN) \
    X(hget, HGET, 2, 2, PLAIN) X(hset, HSET, 3, 3, PLAIN) X(hdel, HDEL, 2, -1, PLAIN) \
    X(lpush, LPUSH, 2, -1, PLAIN) X(rpush, RPUSH, 2, -1, PLAIN) X(lpop, LPOP, 1, 1, PLAIN) \
    X(rpop, RPOP, 1, 1, PLAIN) X(llen, LLEN, 1, 1, PLAIN) X(sadd, SADD, 2, -1, PLAIN) \
    X(srem, SREM, 2, -1, PLAIN) X(zscore, ZSCORE, 2, 2, PLAIN)
/* clang-format on */

struct lease;

typedef struct Pool {
    PyObject_HEAD PyObject *weakrefs;
    kvcore_store *store; /* NULL: closed, or left behind by fork */
    struct lease *idle;
    Py_ssize_t busy; /* leases in use */
    int db;
    bool closed, abandoned;
    char *encoding, *errors; /* encoding NULL: bytes */
    bool utf8;
    PyObject *encode;     /* encode(word, encoding, errors) -> bytes: for words that are not simple */
    PyObject *from_reply; /* from_reply(text) -> exception */
    PyObject *drained;    /* called once, when the pool is closed and its last lease is gone */
    const kv_command *hot[HOT_COUNT];
    PyObject *names[HOT_COUNT]; /* of those commands, as str */
} Pool;

/* The type, made anew for a module. NULL: a Python exception is set. */
PyObject *kv_pool_type(void);
bool kv_is_pool(PyObject *object);

/* ---- words ---- */

#define WORDS_INLINE 16

/* The words of a command. Short ones stay on the stack; `held` are the objects that were made to hold bytes. */
typedef struct words {
    kv_slice few[WORDS_INLINE];
    kv_slice *all;
    PyObject *held; /* a list, or NULL */
    char digits[8][KV_NUM_MAX];
    int digits_used;
    int count;
} words;

bool kv_words_make_room(words *w, Py_ssize_t room);
/* Room for as many words. False: a Python exception is set, and there is nothing to end. */
static inline bool words_begin(words *w, Py_ssize_t room) {
    w->all = w->few;
    w->held = NULL;
    w->digits_used = 0;
    w->count = 0;
    return room <= WORDS_INLINE || kv_words_make_room(w, room);
}
static inline void words_end(words *w) {
    if (w->all != w->few) PyMem_Free(w->all);
    Py_XDECREF(w->held);
}
/* Borrows from `word`, or keeps its encoding until the end. False: a Python exception is set. */
bool kv_words_add(words *w, const Pool *pool, PyObject *word);

/* A word that is taken as it is, without running Python code. */
static inline bool is_simple(PyObject *word) {
    return PyBytes_CheckExact(word) || PyUnicode_CheckExact(word) || PyLong_CheckExact(word) || PyFloat_CheckExact(word);
}

/* ---- running ---- */

/* The reply of a command, or NULL with its error raised; StopIteration: the pool is closed. `command`: what the first word names, or NULL. */
PyObject *kv_pool_run(Pool *pool, const kv_command *command, const words *w);
PyObject *kv_pool_execute(Pool *pool, PyObject *sequence);

/* The bytes of a word that needs no encoding. False: it is not one, or not of a kind that is looked at in a few instructions. */
static inline bool plain_word(const Pool *pool, PyObject *word, kv_slice *out) {
    if (PyBytes_CheckExact(word)) {
        *out = kv_slice_of(PyBytes_AS_STRING(word), (size_t)PyBytes_GET_SIZE(word));
        return true;
    }
    if (!PyUnicode_CheckExact(word) || !PyUnicode_IS_COMPACT_ASCII(word) || (pool->encoding != NULL && !pool->utf8)) return false;
    *out = kv_slice_of(PyUnicode_1BYTE_DATA(word), (size_t)PyUnicode_GET_LENGTH(word));
    return true;
}

/* GET and SET without words and reply (commands/string_direct.h). False: nothing was done, ask the usual way; else *reply is the result, or NULL with a
 * Python exception. */
bool kv_pool_get(Pool *pool, kv_slice key, PyObject **reply);
bool kv_pool_set(Pool *pool, kv_slice key, kv_slice value, PyObject **reply);

/* raise_later(error), for the wide door. */
PyObject *kv_raise_later(PyObject *module, PyObject *error);

#endif
