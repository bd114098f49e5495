/* Keys: entries, and the database of one shard that holds them. Everything here is called with the shard's lock held.
 *
 * An entry is one block that starts with its kv_value (see entry.c for the drawing); `kv_value *` is how an entry is named everywhere. The entry
 * MOVES when its layout changes: functions that may move it return the new pointer, and the old one is then dead. `hash` is always
 * kv_siphash(&store->seed, key). A database that was never written to is NULL: readers take NULL, writers get theirs from kv_shard_db_open.
 *
 * Expiry is data here, not behaviour: kv_keydb_find also returns a key whose time has passed. Whoever looks decides (kv_entry_expired). */
#ifndef KV_STORE_KEYSPACE_H
#define KV_STORE_KEYSPACE_H

#include "base/arena.h"
#include "base/num.h"
#include "base/slice.h"
#include "base/status.h"
#include "ds/heap.h"
#include "ds/table.h"
#include "types/value.h"

typedef struct kv_shard kv_shard; /* store/shard.h */

enum { KV_VALUE_FIELDS = 4 }; /* kv_value.flags, not embedded: the entry has room for a position in the field-expiry heap */

#define KV_NO_EXPIRE INT64_C(-1)

/* What other threads may read about a database without its locks. */
typedef struct kv_keydb_counts {
    _Atomic size_t keys;
    _Atomic size_t expires;     /* keys with an expiry */
    _Atomic size_t fields;      /* hash keys in the field-expiry index */
    _Atomic int64_t avg_ttl_ms; /* a running estimate, kept by kv_keydb_expire_due */
    /* Where buckets are, for a prefetch before the lock is there (kv_shard_prefetch): may be out of date, is never followed. */
    _Atomic(kv_table_bucket *) buckets;
    _Atomic size_t mask;
} kv_keydb_counts;

/* One database of one shard. */
typedef struct kv_keydb {
    kv_table keys;   /* entries by key */
    kv_heap expires; /* entries with KV_VALUE_EXPIRES, soonest first */
    kv_heap fields;  /* hash entries, by their earliest field expiry */
    kv_shard *shard;
    kv_arena *arena; /* the shard's */
    kv_keydb_counts *counts;
    unsigned index;               /* database number */
    struct kv_keydb *next;        /* in the shard's list of flushed databases */
    size_t drained;               /* how far kv_table_drain is, there */
    uint64_t cut_cursor;          /* of the last cut that it was part of (store/cut.h): how far it was walked, ... */
    size_t cut_keys, cut_expires; /* ... what it held, ... */
    unsigned cut_index;           /* ... the number it had, ... */
    uint16_t cut_epoch;           /* ... which cut that was ... */
    bool cut_walked;              /* ... and whether all of it has been walked */
    char apart[64];               /* databases of two shards share no cache line, however they are allocated */
} kv_keydb;

/* ---- entries ---- */
kv_slice kv_entry_key(const kv_value *v);
int64_t kv_entry_expire_ms(const kv_value *v); /* absolute, milliseconds; KV_NO_EXPIRE when there is none */
static inline bool kv_entry_expired(const kv_value *v, int64_t now_ms) {
    if ((v->flags & KV_VALUE_EXPIRES) == 0) return false;
    int64_t expire_ms = kv_entry_expire_ms(v);
    return expire_ms >= 0 && expire_ms <= now_ms;
}
/* The bytes of a string of any encoding. KV_ENC_INT is written to `scratch`, which has to outlive the slice. */
kv_slice kv_entry_string(const kv_value *v, char scratch[KV_NUM_MAX]);
size_t kv_entry_string_length(const kv_value *v);
size_t kv_entry_bytes(const kv_value *v); /* the entry's own block, rounded as the arena rounds it */

/* What MEMORY USAGE says: entry, its place in the table, and the container (estimated from `samples` elements; 0 looks at all). */
size_t kv_value_memory(const kv_value *v, size_t samples);

/* ---- reading ---- */
kv_value *kv_keydb_find(const kv_keydb *db, uint64_t hash, kv_slice key); /* NULL: not there. Does not touch the access clock */
void kv_keydb_prefetch(const kv_keydb *db, uint64_t hash);                /* the bucket */
void kv_keydb_prefetch_entry(const kv_keydb *db, uint64_t hash);          /* then the entry, once the bucket is there */
static inline size_t kv_keydb_count(const kv_keydb *db) { return db == NULL ? 0 : kv_table_count(&db->keys); }

/* ---- writing ----
 * `old` is what kv_keydb_find returned just before for the same key (NULL: the key is not there), so that nothing is looked up twice. All of them
 * stamp the entry with the shard's write version and access time. KV_ENOMEM: nothing has changed. */
typedef enum kv_expire_rule { KV_EXPIRE_CLEAR, KV_EXPIRE_KEEP, KV_EXPIRE_AT } kv_expire_rule;

/* A key with a string value, encoded as Valkey does (int, embstr, raw). The old value, of whatever type, is disposed of. */
kv_status kv_keydb_set_string(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, kv_slice bytes, kv_expire_rule rule,
                              int64_t expire_ms, kv_value **out);
kv_status kv_keydb_set_int(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, int64_t num, kv_expire_rule rule, int64_t expire_ms,
                           kv_value **out);
/* A string that stays text even when it looks like an integer (what INCRBYFLOAT leaves): embstr or raw. */
kv_status kv_keydb_set_text(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, kv_slice bytes, kv_expire_rule rule,
                            int64_t expire_ms, kv_value **out);
/* Strings for several keys, all or none: each is prepared, which may fail, and then all are committed, or all that were prepared are withdrawn; neither
 * of these can fail. In between nothing else changes the databases. A key may come twice; a prepared key is found with its new entry, unless the old
 * one is to be written in place. `pending`: how many have been prepared before (an upper bound: room in the expiry heap is made for all of them). */
typedef struct kv_put {
    kv_keydb *db;
    uint64_t hash;
    kv_value *old;   /* NULL: the key is new */
    kv_value *fresh; /* in the table already, in the place of `old`; NULL: `old` is overwritten when committed */
    kv_value value;  /* what goes into it: type, enc, u ... */
    kv_slice text;   /* ... and the text of an embedded string, borrowed */
    int64_t expire_ms;
    bool expires;
} kv_put;
kv_status kv_keydb_prepare_string(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, kv_slice bytes, kv_expire_rule rule,
                                  int64_t expire_ms, size_t pending, kv_put *out);
void kv_keydb_commit(const kv_put *put);   /* in the order of preparing */
void kv_keydb_withdraw(const kv_put *put); /* in the reverse order */
/* Gives a string entry the encoding raw (u.ptr -> kv_str), for APPEND, SETRANGE and friends, with room for `reserve` bytes. */
kv_status kv_keydb_make_raw(kv_keydb *db, uint64_t hash, kv_value *v, size_t reserve, kv_value **out);

/* A new key (it must not be there) with a container or raw string: takes over `value`'s type, enc and u. KV_ENOMEM: `value` still is the caller's. */
kv_status kv_keydb_add_value(kv_keydb *db, uint64_t hash, kv_slice key, kv_value value, kv_value **out);
/* Replaces the value of an existing key, or adds it when `old` is NULL; the old value is disposed of. */
kv_status kv_keydb_replace_value(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, kv_value value, kv_expire_rule rule,
                                 int64_t expire_ms, kv_value **out);

/* Sets (expire_ms >= 0) or clears the expiry; the entry may move. An embedded string that no longer fits becomes raw, as in Valkey. Clearing never fails. */
kv_status kv_keydb_set_expire(kv_keydb *db, uint64_t hash, kv_value *v, int64_t expire_ms, kv_value **out);
kv_value *kv_keydb_persist(kv_keydb *db, uint64_t hash, kv_value *v);

/* Removes a key and frees its value: at once when small, else later in steps (kv_shard_free_some). O(1). Never fails. */
void kv_keydb_delete(kv_keydb *db, uint64_t hash, kv_value *v);
/* Takes the entry out of the database and hands it over whole: key, expiry and value. The caller gives it to kv_shard_dispose in the end. */
kv_value *kv_keydb_detach(kv_keydb *db, uint64_t hash, kv_value *v);

/* RENAME and MOVE: the entry `v` of `from` becomes the key `to_key` of `to`, with its expiry; `old` is what `to` holds there (NULL: nothing) and is
 * disposed of. Within one shard nothing is copied but the key; into another, strings and small forms are copied and big containers stay in the
 * arena where they live. Both shards are locked. `from` and `to` may be the same. */
kv_status kv_keydb_move(kv_keydb *from, uint64_t from_hash, kv_value *v, kv_keydb *to, uint64_t to_hash, kv_slice to_key, kv_value *old,
                        kv_value **out);
/* COPY: a deep copy, expiry included. O(size of the value). */
kv_status kv_keydb_copy(const kv_value *v, kv_keydb *to, uint64_t to_hash, kv_slice to_key, kv_value *old, kv_value **out);

/* Hash keys with field expiries. _reserve before a field gets its expiry (the entry may move); _update after fields have changed: re-reads
 * kv_hash_next_expiry and moves the key in the index, or takes it out. It costs nothing for an entry that never had field expiries. */
kv_status kv_keydb_fields_reserve(kv_keydb *db, uint64_t hash, kv_value *v, kv_value **out);
void kv_keydb_fields_update(kv_keydb *db, kv_value *v);

/* ---- walking ---- */
/* Every entry, in table order; the database must not change meanwhile. False from `fn` stops. */
void kv_keydb_each(const kv_keydb *db, bool (*fn)(void *arg, kv_value *v), void *arg);
kv_value *kv_keydb_random(kv_keydb *db); /* NULL when empty; uniform within a bucket's noise */

/* ---- expiry ---- */
int64_t kv_keydb_next_expiry(const kv_keydb *db);       /* KV_NO_EXPIRE: none */
int64_t kv_keydb_next_field_expiry(const kv_keydb *db); /* the same for hash fields */
/* Deletes up to `budget` keys whose time has passed, soonest first. `fn` sees each while it is still there (to notify and propagate); when it says
 * false the walk stops before that key. Returns how many were deleted. */
typedef bool kv_expire_fn(void *arg, kv_keydb *db, kv_value *v);
size_t kv_keydb_expire_due(kv_keydb *db, int64_t now_ms, size_t budget, kv_expire_fn *fn, void *arg);
/* The hash key with the earliest due field expiry, NULL when none is due. The caller expires its fields, then calls kv_keydb_fields_update. */
kv_value *kv_keydb_due_fields(const kv_keydb *db, int64_t now_ms);

bool kv_keydb_check(const kv_keydb *db); /* every invariant, every entry: for tests */

#endif
