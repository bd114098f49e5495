/* The store: the key space of one engine, split by hash into shards that are locked one by one.
 *
 * A key's shard comes from the top bits of its hash, so the table inside the shard can use the low ones. All memory of a shard's keys comes from
 * its arena, under its lock. Shards and databases cost nothing before their first write. */
#ifndef KV_STORE_SHARD_H
#define KV_STORE_SHARD_H

#include "base/rng.h"
#include "base/siphash.h"
#include "store/access.h"
#include "store/keyspace.h"

#define KV_MAX_SHARDS 64u
#define KV_SHARD_CALLS 2 /* kinds of calls that are counted by shard */

/* A container that has left the key space and waits to be freed in steps. */
typedef struct kv_garbage {
    struct kv_garbage *next;
    kv_value value;
} kv_garbage;

/* An arena of which nothing is used any more. */
typedef struct kv_leaving {
    struct kv_leaving *next;
    kv_arena *arena;
} kv_leaving;

/* Where compaction is (compact.c). The atomics are read by any thread. */
typedef struct kv_compaction {
    _Atomic bool running;
    _Atomic size_t left; /* free bytes in slabs when the last round ended */
    size_t gain;         /* bytes of the slabs that this round closed */
    uint64_t cursor;
    unsigned class_index, db;
    uint32_t round;
    size_t used_before; /* what kv_shard_compact_due saw last: its caller's */
} kv_compaction;

/* One line holds all that every command reads or writes, so that a shard that comes from another core comes in one piece. The next lines are only read,
 * as a rule, and stay in all caches. */
struct kv_shard {
    kv_mutex lock; /* guards everything below but the atomics */
    unsigned index;
    uint16_t version;         /* the epoch that writes are stamped with; the engine's begin_write sets it */
    _Atomic bool has_garbage; /* garbage or flushed is not empty: any thread */
    kv_keydb **dbs;           /* store->db_count pointers, NULL where nothing was ever written */
    int64_t now_ms;           /* the running command's time; whoever takes the lock to run a command sets it. Stamps access clocks */
    uint64_t last_write_seq;  /* number of the last unit that changed something here: ascending within a shard */
    _Atomic uint64_t hits;    /* of reading commands; written under the lock, read by any thread, as are: */
    _Atomic uint64_t calls[KV_SHARD_CALLS]; /* the engine's: its direct calls */
    /* 64 */
    struct kv_store *store;
    struct kv_pin *pins;          /* store/pin.h: containers that are being read piece by piece */
    void *waiters;                /* the engine's: clients blocked on keys of this shard */
    void *watchers;               /* the engine's: WATCHed keys of this shard */
    _Atomic(kv_arena *) arena;    /* NULL until the first kv_shard_db_open; any thread may ask for its size */
    kv_garbage *garbage;          /* big values to be freed in steps */
    kv_keydb *flushed;            /* whole databases to be freed in steps */
    _Atomic size_t garbage_count; /* big values and flushed keys in them; with the next two, written under the lock, read by any thread */
    /* 128: written by what is rarer */
    _Atomic uint64_t garbage_freed; /* since the store began */
    _Atomic uint64_t misses;        /* of reading commands */
    kv_rng rng;
    bool has_guests;  /* containers of keys here may live in other shards' arenas */
    kv_leaving *gone; /* memory of flushed databases, page by page on its way back */
    kv_compaction compaction;
    kv_keydb_counts *counts;  /* store->db_count; any thread */
    uint64_t wanted_hash;     /* the engine's: of a key that a writer waits for until its readers are done ... */
    uint64_t wanted_until_ns; /* ... tried last a moment before this time; 0: none */
    uint16_t cut_epoch;       /* the last cut whose databases are registered (store/cut.h) */
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct kv_shard, store) == 64, "what every command writes is one line");

typedef struct kv_store {
    kv_mem *mem;
    kv_hash_seed seed;
    unsigned shard_count; /* a power of two <= KV_MAX_SHARDS */
    unsigned shard_shift; /* 63 - log2(shard_count) */
    unsigned db_count;
    kv_shard *shards; /* aligned to cache lines, in shard_block */
    void *shard_block;
    void *tables;                                /* the shards' arrays of databases and counts: one block */
    _Atomic uint64_t hits_before, misses_before; /* the shards' sums when the statistics were last reset */
    _Atomic kv_access_config access;             /* how access clocks are kept: from maxmemory-policy and the lfu settings */
    _Atomic(struct kv_cut *) cut;                /* store/cut.h; NULL: nobody reads a point in time */
    _Atomic uint32_t throttle; /* 1: that reader's memory is short, writers wait for a moment before they lock. A word to wait on */
    _Atomic bool cutting;      /* a snapshot is being made: one at a time */
    uint32_t stamped;          /* the reader's: the epoch of the last cut that was walked to its end */
} kv_store;

/* KV_EINVAL: shard_count is not a power of two in 1..64, or db_count is 0. KV_ENOMEM. `seed` also seeds the shards' generators. */
kv_status kv_store_init(kv_store *store, kv_mem *mem, unsigned shard_count, unsigned db_count, kv_hash_seed seed);
void kv_store_deinit(kv_store *store); /* frees everything at once; nobody holds a lock */

static inline uint64_t kv_store_hash(const kv_store *store, kv_slice key) { return kv_siphash(&store->seed, key.ptr, key.len); }
static inline unsigned kv_store_shard_index(const kv_store *store, uint64_t hash) { return (unsigned)((hash >> 1) >> store->shard_shift); }
static inline kv_shard *kv_store_shard_of(const kv_store *store, uint64_t hash) {
    return &store->shards[kv_store_shard_index(store, hash)];
}
static inline uint64_t kv_store_all_shards(const kv_store *store) {
    return store->shard_count == 64 ? UINT64_MAX : (UINT64_C(1) << store->shard_count) - 1;
}

/* The database of a shard: NULL when nothing was written there yet (for readers), or made on demand (NULL then means out of memory). */
static inline kv_keydb *kv_shard_db(const kv_shard *shard, unsigned db) { return shard->dbs[db]; }
kv_keydb *kv_shard_db_open(kv_shard *shard, unsigned db);

/* Starts fetching what a command on this key needs first: the line with the lock, to write it, and the bucket. The one may come from another core while the
 * other comes from memory, and both while the caller still gets ready to lock: locking itself waits for all that was before. A hint that is out of date
 * fetches a line in vain. */
static inline void kv_shard_prefetch(const kv_shard *shard, unsigned db, uint64_t hash) {
    kv_prefetch_to_write(shard);
    const kv_keydb_counts *counts = &shard->counts[db];
    size_t at = (size_t)hash & atomic_load_explicit(&counts->mask, memory_order_relaxed);
    __builtin_prefetch((const char *)atomic_load_explicit(&counts->buckets, memory_order_relaxed) + at * sizeof(kv_table_bucket));
}

/* ---- over all shards; the locks needed are told ---- */
size_t kv_store_count(const kv_store *store, unsigned db);        /* DBSIZE: no lock */
size_t kv_store_expire_count(const kv_store *store, unsigned db); /* no lock */
size_t kv_store_field_count(const kv_store *store, unsigned db);  /* hash keys with field expiries: no lock */
int64_t kv_store_avg_ttl_ms(const kv_store *store, unsigned db);  /* no lock; an estimate */
/* Under the shard's lock: no read-modify-write of memory that other shards' threads use, too. */
static inline void kv_shard_count_read(kv_shard *shard, bool hit) {
    _Atomic uint64_t *counter = hit ? &shard->hits : &shard->misses;
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}
void kv_store_reads(const kv_store *store, uint64_t *hits, uint64_t *misses); /* sums over the shards: no lock */
void kv_store_reset_reads(kv_store *store);    /* no lock either: CONFIG RESETSTAT may stand in a transaction that holds some */
size_t kv_store_used(const kv_store *store);   /* bytes in live blocks of all arenas: no lock */
size_t kv_store_mapped(const kv_store *store); /* bytes of pages held by all arenas: no lock */

void kv_store_swap_db(kv_store *store, unsigned a, unsigned b); /* all shards locked; O(shards) */
void kv_shard_flush(kv_shard *shard, unsigned db);              /* that shard locked; O(1): the database is freed later in steps */
/* After flushes: when nothing is left in a shard, its memory goes as a whole, page by page, and no flushed key is looked at again. That shard locked. */
void kv_shard_flushed(kv_shard *shard);
/* Memory of a shard all of whose databases are empty can be given back to the system. That shard locked. */
void kv_shard_trim(kv_shard *shard);

/* A shard chosen with a chance in proportion to its keys in `db`; KV_ENOTFOUND when there are none. No lock: look again under the lock. */
kv_status kv_store_random_shard(const kv_store *store, unsigned db, kv_rng *rng, unsigned *out);

/* SCAN. A cursor says shard and place; 0 begins, 0 ends, any other value is safe. _scan_mask tells which shards to lock for a call that wants about
 * `count` keys (no lock needed); kv_store_scan walks those of `mask` (locked) from the cursor on, calling `fn` for each entry, until `count` were
 * seen or the next shard is not in the mask. Every key that stays from start to end is seen at least once. `fn` may not change the database. */
uint64_t kv_store_scan_mask(const kv_store *store, unsigned db, uint64_t cursor, size_t count);
uint64_t kv_store_scan(kv_store *store, unsigned db, uint64_t cursor, uint64_t mask, size_t count, void (*fn)(void *arg, kv_value *v),
                       void *arg);

/* ---- compaction: see compact.c ---- */
/* Is so much room free in the shard's slabs, against what is used, that a round is worth while, or has one begun? Not while the shard is growing, which
 * fills the room anyway. No lock; one thread asks, a few times a second. */
bool kv_shard_compact_due(kv_shard *shard, unsigned percent);
/* One step, which looks at about `budget` blocks. That shard locked. True: the round goes on. */
bool kv_shard_compact(kv_shard *shard, size_t budget);
/* Ends a round that has begun, wherever it is. That shard locked. */
void kv_shard_compact_stop(kv_shard *shard);

/* ---- freeing ---- */
/* Takes a detached entry (kv_keydb_detach). That shard locked. */
void kv_shard_dispose(kv_shard *shard, kv_value *entry);
/* Takes a value that was never in, or is no more in, the key space (its containers; the 16 bytes themselves are the caller's). */
void kv_shard_dispose_value(kv_shard *shard, kv_value value);
/* Frees about `budget` elements of what waits. That shard locked: give the lock up between calls. True when nothing waits any more but for a snapshot. */
bool kv_shard_free_some(kv_shard *shard, size_t budget);
/* Values and keys that wait to be freed, and those that were, in steps. No lock. */
void kv_store_garbage(const kv_store *store, size_t *waiting, uint64_t *freed);

bool kv_shard_check(const kv_shard *shard);
bool kv_store_check(const kv_store *store); /* all shards locked, or nobody else there */

#endif
