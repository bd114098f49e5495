/* A hash table of pointers to entries: one 64-byte bucket, one cache line, holds nine of them with a byte of hash each (see table.c).
 *
 * The table stores `void *` entries, aligned to 8 bytes, and owns its buckets only; the entries are the caller's. It learns an entry's key from its type. Hashes are
 * passed in: kv_siphash(seed, key) with the seed that the table was given, because growing has to compute them again. The low bits choose the
 * bucket, bits 50-57 are the tag; bits 58-63 are left to the shard number. Duplicates are not looked for: insert means "known to be absent".
 *
 * Growing and shrinking move a bucket or two on each insert and remove; reading never changes anything. A table may be moved with memcpy. An entry
 * passed to a function may be anything but NULL. Any insert or remove makes positions and iterators stale unless said otherwise. */
#ifndef KV_DS_TABLE_H
#define KV_DS_TABLE_H

#include "base/arena.h"
#include "base/rng.h"
#include "base/siphash.h"
#include "base/slice.h"
#include "base/status.h"

#define KV_TABLE_SLOTS 9

typedef struct kv_table_type {
    kv_slice (*key)(const void *entry); /* the bytes that were hashed; pure and fast */
    /* Who finds an entry reads this far into it, as a rule: that line is fetched while the key is compared. 0: no further than the key. Only a hint, and
     * nothing need be there. */
    unsigned reach;
    struct kv_table_watch *watch; /* NULL but in the type of a table that is being watched */
} kv_table_type;

typedef struct kv_table_bucket kv_table_bucket;
struct kv_table_bucket {
    uint8_t tag[KV_TABLE_SLOTS];     /* 0: slot empty (or a link) */
    uint8_t meta;                    /* low bits: entries in this bucket; high bit: the last slot is the next bucket */
    uint8_t slot[KV_TABLE_SLOTS][6]; /* addresses, which take 44 bits, and 4 bits of hash (table.c) */
};

typedef struct kv_table {
    kv_table_bucket *buckets[2]; /* [1] while rehashing; [0] NULL until the first insert */
    size_t mask[2];              /* buckets - 1 */
    size_t moved;                /* buckets of [0] below this one live in [1] */
    size_t count;
    const kv_table_type *type;
    const kv_hash_seed *seed; /* outlives the table */
    kv_arena *arena;
    size_t grow_at;         /* growth is tried when count passes this */
    size_t shrink_at;       /* and shrinking when it falls below this */
    kv_table_bucket *spare; /* overflow buckets set aside by kv_table_reserve, linked by their last slot */
    uint32_t spares, reserved;
    size_t overflow; /* overflow buckets allocated, spares included */
} kv_table;

typedef void (*kv_table_fn)(void *arg, void *entry);

/* Cannot fail and allocates nothing. */
void kv_table_init(kv_table *table, const kv_table_type *type, const kv_hash_seed *seed, kv_arena *arena);
/* The same in a block of its own; NULL: out of memory. */
kv_table *kv_table_create(const kv_table_type *type, const kv_hash_seed *seed, kv_arena *arena);
/* Frees the buckets after calling fn (may be NULL) on each entry, which may free the entry. O(n). The table is empty and usable afterwards. */
void kv_table_deinit(kv_table *table, kv_table_fn fn, void *arg);
void kv_table_destroy(kv_table *table, kv_table_fn fn, void *arg); /* deinit, and the block of kv_table_create; NULL is fine */

static inline size_t kv_table_count(const kv_table *table) { return table->count; }

/* ---- finding: O(1), one cache line and the entry; never changes the table ---- */
void *kv_table_find(const kv_table *table, uint64_t hash, kv_slice key); /* NULL: absent */
/* The entry was moved (realloc) from `before`, which is only compared, never read. False: `before` was not in the table. O(1). */
bool kv_table_replace(kv_table *table, uint64_t hash, const void *before, void *after);
/* Starts fetching the bucket / the entries whose tag matches: for batches, call stage 1 for all keys, then stage 2 for all, then find. */
void kv_table_prefetch(const kv_table *table, uint64_t hash);
void kv_table_prefetch_entry(const kv_table *table, uint64_t hash);

/* Find or position: where the key is, or where it would go. Stale after any change but kv_table_reserve and kv_table_reserve_for. */
typedef struct kv_table_pos {
    uint64_t hash;
    kv_table_bucket *bucket; /* NULL: no buckets yet */
    unsigned slot;
} kv_table_pos;
void *kv_table_locate(kv_table *table, uint64_t hash, kv_slice key, kv_table_pos *pos); /* the entry; NULL: absent */

/* ---- changing ---- */
/* Another entry with the same key takes the place of the one that kv_table_locate found. The caller has touched it. */
void kv_table_put_at(const kv_table_pos *pos, void *entry);
/* Makes sure that the next insert of this hash cannot fail. KV_ENOMEM: no change. O(1). */
kv_status kv_table_reserve_for(kv_table *table, uint64_t hash);
/* The same for the next n inserts, whatever they hash to: sets n / 64-byte buckets aside where needed and returns the unused ones as the inserts
 * happen. kv_table_unreserve gives the rest back. O(n). */
kv_status kv_table_reserve(kv_table *table, size_t n);
void kv_table_unreserve(kv_table *table);
/* Adds an entry whose key is absent. KV_ENOMEM: no change (impossible after a reserve). O(1); moves a bucket when rehashing. */
kv_status kv_table_insert(kv_table *table, uint64_t hash, void *entry);
/* The same at the position kv_table_locate gave for an absent key. */
kv_status kv_table_insert_at(kv_table *table, const kv_table_pos *pos, void *entry);
/* Takes an entry out and returns it (the caller frees it); NULL: absent. Never fails. O(1). */
void *kv_table_remove(kv_table *table, uint64_t hash, kv_slice key);
/* Takes out the entry at this very address, comparing no keys. False: not there. */
bool kv_table_remove_entry(kv_table *table, uint64_t hash, const void *entry);
/* Takes out the entry that kv_table_locate found. */
void *kv_table_remove_at(kv_table *table, const kv_table_pos *pos);

/* Prepares for `entries` in all, now: allocates their buckets when the table is empty (O(buckets)), else starts to move. KV_ENOMEM: no change. */
kv_status kv_table_expand(kv_table *table, size_t entries);
/* Moves up to n buckets of an unfinished rehash (or starts a due shrink): for idle time. True: there is more to do. O(n). */
bool kv_table_rehash_step(kv_table *table, size_t n);
static inline bool kv_table_is_rehashing(const kv_table *table) { return table->buckets[1] != NULL; }

/* ---- walking ---- */
/* One step of a scan: calls fn on the entries of one bucket class and returns the next cursor; start with 0, 0 again means done. Entries present
 * from the first to the last step are reported at least once, whatever growing or shrinking happens between the steps. fn changes nothing in the
 * table (kv_table_replace is allowed). Cost: one bucket and its chain; while rehashing, also the buckets it was split into. */
uint64_t kv_table_scan(const kv_table *table, uint64_t cursor, kv_table_fn fn, void *arg);

/* A step like that of kv_table_scan, for moving blocks: what fn returns takes the place of the entry it was given (the same, or an equal-keyed one).
 * The table's own blocks are moved as kv_arena_move wants it. */
typedef void *(*kv_table_move_fn)(void *arg, void *entry);
uint64_t kv_table_relocate(kv_table *table, uint64_t cursor, kv_table_move_fn fn, void *arg);

/* Visits every entry once if nothing but kv_table_iter_remove and kv_table_replace changes the table meanwhile. */
typedef struct kv_table_iter {
    kv_table *table;
    kv_table_bucket *bucket;    /* where the next look goes */
    size_t index;               /* of the chain */
    unsigned which, slot;       /* which array; next slot */
    kv_table_bucket *at_bucket; /* of the entry handed out last */
    unsigned at_slot;
} kv_table_iter;
void kv_table_iter_start(kv_table_iter *iter, const kv_table *table); /* const is honoured unless iter_remove is called */
void *kv_table_iter_next(kv_table_iter *iter);                        /* NULL: the end. Amortised O(1) */
void kv_table_iter_remove(kv_table_iter *iter);                       /* takes out the entry returned last; no rehash is started. O(1) */

/* Uniform over all entries: exactly for chains of up to 16, nearly for longer ones. NULL: empty. Expected O(1). */
void *kv_table_random(const kv_table *table, kv_rng *rng);
/* Up to n entries from neighbouring buckets at a random place, distinct, cheap and not independent: for eviction pools. Returns how many. */
size_t kv_table_sample(const kv_table *table, kv_rng *rng, void **out, size_t n);

/* Takes out entries in slices, for freeing a big table piece by piece: calls fn on up to about n entries (whole chains, so a few more) and removes
 * them. *pos starts at 0 and is kept between calls; nothing else may touch the table then. Returns false when the table is empty: call
 * kv_table_deinit. O(n + buckets passed), at most 8n + 8 buckets. */
bool kv_table_drain(kv_table *table, size_t *pos, size_t n, kv_table_fn fn, void *arg);

/* ---- reading a table that goes on changing ----
 * From _begin to _end every entry that the table had at the beginning goes to `fn` once, as it was then: those of a bucket when the reader comes to it
 * (_step), or before the first change in it. Meanwhile the table neither grows nor shrinks, and the reader may only ask it for what kv_table_watch
 * offers. One watch at a time. What changes an entry without the table says so beforehand with kv_table_touch. */
typedef struct kv_table_watch {
    kv_table_type type; /* stands in for the table's own */
    const kv_table_type *was;
    uint64_t *seen; /* the caller's: a bit for each bucket of both arrays */
    size_t next;    /* live bucket that the reader looks at next */
    kv_table_fn fn;
    void *arg;
} kv_table_watch;
size_t kv_table_watch_words(const kv_table *table); /* of `seen` */
void kv_table_watch_begin(kv_table *table, kv_table_watch *watch, uint64_t *zeros, kv_table_fn fn, void *arg);
bool kv_table_watch_step(kv_table *table); /* a bucket. False: there was none left */
void kv_table_watch_end(kv_table *table);
static inline const kv_table_type *kv_table_kind(const kv_table *table) {
    return table->type->watch == NULL ? table->type : table->type->watch->was;
}
void kv_table_touched(kv_table *table, uint64_t hash);
/* An entry with this hash is about to change, to come or to go. */
static inline void kv_table_touch(kv_table *table, uint64_t hash) {
    if (__builtin_expect(table->type->watch != NULL, 0)) kv_table_touched(table, hash);
}

/* ---- facts ---- */
size_t kv_table_bytes(const kv_table *table); /* bytes of buckets, as the arena rounds them, without the struct and the entries. O(1) */

typedef struct kv_table_stats {
    size_t count, overflow;
    size_t buckets[2], entries[2], chains[2], longest[2]; /* per array; chains: buckets that overflow; longest: entries in the fullest */
    size_t moved;
    size_t lengths[2][32]; /* buckets by number of entries, 31 and more together */
} kv_table_stats;
void kv_table_stats_get(const kv_table *table, kv_table_stats *out); /* O(buckets) */
bool kv_table_check(const kv_table *table);                          /* every invariant; O(n), hashes every key */

#endif
