/* What a handler sees of the world: its arguments, the keys it declared, the reply, the clock. A handler takes no lock, knows no socket and
 * allocates only through the types and the store: dispatch has locked the shards of every declared key before it runs.
 *
 *   void kv_cmd_hlen(kv_ctx *c) {
 *       kv_value *v;
 *       kv_key key = kv_ctx_key(c, 1);
 *       if (!kv_ctx_find_type(c, &key, KV_HASH, KV_FIND_READ, &v)) return;   // WRONGTYPE has been replied
 *       kv_reply_int(c->reply, v ? (int64_t)kv_hash_length(v) : 0);
 *   }
 *
 * The order for a change: find, validate, then kv_ctx_modify (or add, delete, set_string, ...), mutate, kv_ctx_changed, reply.
 * Nothing may fail after the first mutation: allocate first, or use the types' calls that do so. */
#ifndef KV_ENGINE_CTX_H
#define KV_ENGINE_CTX_H

#include "base/slice.h"
#include "base/status.h"
#include "engine/reply.h"
#include "engine/command.h"
#include "store/shard.h"
#include "types/value.h"

struct kv_engine;
struct kv_session;

/* A key of this command: where it lives. Cheap to copy; `name` borrows from argv. */
typedef struct kv_key {
    kv_slice name;
    uint64_t hash;
    kv_shard *shard;
    int db;
} kv_key;

struct kv_keymap_node;

/* An execution unit: one command, one transaction with all its commands, or a step of the engine itself. Locked once, published once. */
typedef struct kv_unit {
    uint64_t locked;                /* bit i: shard i is locked */
    uint64_t dirty;                 /* changes made (rdb_changes_since_last_save) */
    int64_t now_ms;                 /* wall time, read once; 0 until asked for */
    uint64_t ticks;                 /* of kv_clock_ticks when the running command began; 0: not taken */
    uint32_t epoch;                 /* snapshot epoch of its writes; 0 until begin_write */
    struct kv_effects *effects;     /* what redoes it, for the log (effect.h); NULL: there is no journal, or no lock is held */
    struct kv_broadcast *broadcast; /* keys it changed while somebody tracks by prefix: told at its end */
    struct kv_session *wakes;       /* sessions to wake once the locks are released */
    struct kv_keymap_node *ready;   /* keys that blocked clients may be waiting for, oldest first */
    struct kv_keymap_node *ready_last;
} kv_unit;

typedef struct kv_ctx {
    struct kv_engine *engine;
    struct kv_session *session;
    const kv_command *command;
    const kv_slice *argv; /* argv[0] is the command's name as it was typed; containers: argv[1] is the subcommand */
    int argc;
    int db; /* the session's database when the command began */
    kv_reply *reply;

    /* --- the engine's own --- */
    kv_unit *unit;
    uint32_t key_count;         /* declared keys */
    uint32_t key_cursor;        /* where kv_ctx_key looks first: handlers ask in order */
    const kv_key_ref *key_refs; /* argument index of each declared key */
    const uint64_t *key_hashes; /* and its hash */
    bool in_exec;               /* inside EXEC: blocking commands do not block */
    bool rerun;                 /* a blocked command being tried again on behalf of its session */
    bool blocked;               /* set by kv_ctx_block */
    bool is_long;               /* only the first slice of the reply is written: session->long_reply has the rest */
    bool again;                 /* nothing was done: it has to wait for a long reply of somebody else */
    bool effect_said;           /* the handler has said what redoes the command */
    uint32_t aside;             /* of unit->dirty: keys that were found expired, which the command did not change */
    kv_buf *held;               /* with `rerun`: messages to the session itself, which follow its reply; else NULL */
    uint64_t duration_ns;       /* of the handler, once it has run */
    bool limits_set;
    kv_limits limits; /* last, and set only when asked for: it is half of the struct */
} kv_ctx;

/* A context for a command that begins, `limits` left as it is. Field by field: compilers turn clearing it as a whole into `rep stos`, which takes longer
 * to start than all of this. */
static inline void kv_ctx_begin(kv_ctx *c, struct kv_engine *engine, struct kv_session *session, const kv_command *command, int db,
                                kv_unit *unit) {
    c->engine = engine;
    c->session = session;
    c->command = command;
    c->argv = NULL;
    c->argc = 0;
    c->db = db;
    c->reply = NULL;
    c->unit = unit;
    c->key_count = c->key_cursor = 0;
    c->key_refs = NULL;
    c->key_hashes = NULL;
    c->in_exec = c->rerun = c->blocked = c->is_long = c->again = c->effect_said = false;
    c->aside = 0;
    c->held = NULL;
    c->duration_ns = 0;
    c->limits_set = false;
}

/* ---- arguments: on failure the error has been replied and false is returned ---- */
bool kv_ctx_i64(kv_ctx *c, int arg, int64_t *out); /* "ERR value is not an integer or out of range" */
bool kv_ctx_i64_or(kv_ctx *c, int arg, int64_t *out, const char *error);
bool kv_ctx_range_i64(kv_ctx *c, int arg, int64_t min, int64_t max, int64_t *out,
                      const char *error);               /* error NULL: "ERR value is out of range, must ..." */
bool kv_ctx_positive(kv_ctx *c, int arg, int64_t *out); /* >= 0, else "ERR value is out of range, must be positive" */
bool kv_ctx_double(kv_ctx *c, int arg, double *out);    /* "ERR value is not a valid float" */
bool kv_ctx_double_or(kv_ctx *c, int arg, double *out, const char *error);
bool kv_ctx_timeout(kv_ctx *c, int arg, int64_t *timeout_ms); /* decimal seconds; 0: for ever */
static inline bool kv_ctx_is(const kv_ctx *c, int arg, const char *word) { return kv_slice_is(c->argv[arg], word); }

/* ---- errors with fixed texts ---- */
void kv_ctx_wrong_type(kv_ctx *c);
void kv_ctx_syntax_error(kv_ctx *c);
void kv_ctx_arity_error(kv_ctx *c);      /* "ERR wrong number of arguments for 'x' command" */
void kv_ctx_subcommand_error(kv_ctx *c); /* "ERR unknown subcommand or wrong number of arguments for 'x'. Try CONFIG HELP." */
void kv_ctx_out_of_memory(kv_ctx *c);    /* an allocation failed: "OOM ..." */
/* True for KV_OK; otherwise replies the error that the status stands for and returns false. */
bool kv_ctx_ok(kv_ctx *c, kv_status status);

/* ---- time, limits, randomness ---- */
int64_t kv_ctx_now_ms(kv_ctx *c); /* one instant for the whole unit */
/* What is due by this instant has expired: now; while a log is loaded nothing has, because the log says what went and when. */
int64_t kv_ctx_past_ms(kv_ctx *c);
const kv_limits *kv_ctx_limits(kv_ctx *c); /* encoding thresholds, one copy a unit */
kv_rng *kv_ctx_rng(kv_ctx *c);             /* guarded by the locked shard of the first key, else the session's own */
kv_mem *kv_ctx_mem(kv_ctx *c);             /* scratch memory: free it before returning */

/* ---- keys ---- */
kv_key kv_ctx_key(kv_ctx *c, int arg);             /* a declared key; KV_DEBUG asserts that its shard is locked */
kv_key kv_ctx_key_named(kv_ctx *c, kv_slice name); /* a name made at run time (SORT BY, GET): legal only for ALL_KEYS commands */
kv_key kv_ctx_key_in(kv_ctx *c, int arg, int db);  /* the same name in another database (COPY, MOVE): the shard is the same */
kv_arena *kv_ctx_arena(const kv_key *key);         /* where this key's value lives */

typedef enum kv_find {
    KV_FIND_READ,  /* counts a hit or miss, refreshes LRU/LFU, tracks for client-side caching; a miss may notify `keymiss` */
    KV_FIND_WRITE, /* the key is about to change: expired ones are removed first */
    KV_FIND_PEEK   /* neither statistics nor LRU (OBJECT, TYPE, TTL, EXISTS use what Valkey does: NOTOUCH) */
} kv_find;

/* The live value or NULL; a key past its expiry is removed (with its `expired` event) and reported absent. */
kv_value *kv_ctx_find(kv_ctx *c, const kv_key *key, kv_find how);
/* The rest of kv_ctx_find after KV_FIND_PEEK: `v` is what was found, `how` how it is used after all. */
void kv_ctx_used(kv_ctx *c, const kv_key *key, kv_value *v, kv_find how);
/* The same, with the type checked: false after replying WRONGTYPE; true with *v NULL when absent. */
bool kv_ctx_find_type(kv_ctx *c, const kv_key *key, kv_type type, kv_find how, kv_value **v);

/* ---- changes: begin_write() happens in the first of these ---- */
/* The key's database, for the store's own writing calls (kv_keydb_...). NULL: out of memory, replied. */
kv_keydb *kv_ctx_open(kv_ctx *c, const kv_key *key);
void kv_ctx_modify(kv_ctx *c, const kv_key *key, kv_value *v); /* before changing v in place: stamps its version */
/* Add a key that is absent. `fresh` (made by kv_hash_create ... in kv_ctx_arena(key)) moves into the entry; the result is where it lives now.
 * Emits `new` when enabled and readies blocked clients. NULL: out of memory, replied, nothing changed (the caller frees `fresh`). */
kv_value *kv_ctx_add(kv_ctx *c, const kv_key *key, const kv_value *fresh);
/* Set a string, whatever was there before. keep: keep the expiry; else expire_ms (<0: none). False: out of memory, replied. */
bool kv_ctx_set_string(kv_ctx *c, const kv_key *key, kv_slice bytes, bool keep, int64_t expire_ms);
/* Remove; the value is freed later, outside the lock when it is big. True when it was there. No event: the caller names it. */
bool kv_ctx_delete(kv_ctx *c, const kv_key *key);
/* Set or clear (<0) the expiry. The entry may move: use the result. NULL: out of memory, replied. */
kv_value *kv_ctx_set_expire(kv_ctx *c, const kv_key *key, kv_value *v, int64_t expire_ms);
/* Fields of a hash are about to get a TTL: makes room for the key in the index of field expiries. The entry may move: use the result. NULL: out of
 * memory, replied. Afterwards, and after every other change of field TTLs, kv_ctx_field_expiry_changed puts the key in its place there. */
kv_value *kv_ctx_field_expiry_reserve(kv_ctx *c, const kv_key *key, kv_value *v);
void kv_ctx_field_expiry_changed(kv_ctx *c, const kv_key *key, kv_value *v);
/* A container became empty: deletes the key and emits `del`. */
void kv_ctx_delete_empty(kv_ctx *c, const kv_key *key);
/* After a change: counts it, touches WATCH and client-side caches, emits the keyspace event. event NULL: none. */
void kv_ctx_changed(kv_ctx *c, const kv_key *key, unsigned event_class, const char *event);

/* Detaches all of a database, or with -1 of every one: O(shards), and clients that watch or cache keys are told. Every shard is locked. Then either
 * kv_shard_free_some until nothing waits any more, or kv_ctx_free_flushed, which leaves that to the background. */
void kv_ctx_flush(kv_ctx *c, int db);
void kv_ctx_free_flushed(kv_ctx *c);
/* A key whose time has passed is gone: counts it, touches WATCH and client-side caches, emits `expired`. */
void kv_ctx_expired(kv_ctx *c, const kv_key *key);
/* Only the event (rename_from, ...). */
void kv_ctx_notify(kv_ctx *c, const kv_key *key, unsigned event_class, const char *event);
/* The key's type changed or it appeared without kv_ctx_add (RENAME, COPY, SWAPDB): blocked clients are looked at after this unit. */
void kv_ctx_ready(kv_ctx *c, const kv_key *key);

/* Event classes, as in notify-keyspace-events. */
enum {
    KV_EVENT_KEYSPACE = 1 << 0, /* K */
    KV_EVENT_KEYEVENT = 1 << 1, /* E */
    KV_EVENT_GENERIC = 1 << 2,  /* g */
    KV_EVENT_STRING = 1 << 3,   /* $ */
    KV_EVENT_LIST = 1 << 4,     /* l */
    KV_EVENT_SET = 1 << 5,      /* s */
    KV_EVENT_HASH = 1 << 6,     /* h */
    KV_EVENT_ZSET = 1 << 7,     /* z */
    KV_EVENT_EXPIRED = 1 << 8,  /* x */
    KV_EVENT_EVICTED = 1 << 9,  /* e */
    KV_EVENT_STREAM = 1 << 10,  /* t */
    KV_EVENT_KEYMISS = 1 << 11, /* m */
    KV_EVENT_MODULE = 1 << 12,  /* d */
    KV_EVENT_NEW = 1 << 13      /* n */
};

/* ---- blocking ---- */
/* Wait until one of the keys holds a value of `type`, then run this command again for this session (c->rerun is set; a handler that still
 * finds nothing calls kv_ctx_block again and keeps its place in the queue). Registered under the same locks that the handler looked under, so
 * no wake-up is lost. Returns false when this session may not block (inside MULTI, scripts): the handler then writes its empty reply itself.
 * On time-out the session gets a null array (null_array) or a null. timeout_ms 0: for ever. args: argument indices of the keys. With no keys at all
 * the wait ends by time only, and the handler runs once more, unable to block, to write the reply. */
bool kv_ctx_block(kv_ctx *c, const int *args, int count, kv_type type, int64_t timeout_ms, bool null_array);

/* ---- scan cursors, shared by SCAN, SSCAN, HSCAN, ZSCAN ---- */
bool kv_ctx_cursor(kv_ctx *c, int arg, uint64_t *out); /* "ERR invalid cursor" */

#endif
