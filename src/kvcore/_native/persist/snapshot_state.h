/* A snapshot under way: what its thread, and the writers that have something to leave for it, share (private to the snapshot). */
#ifndef KV_PERSIST_SNAPSHOT_STATE_H
#define KV_PERSIST_SNAPSHOT_STATE_H

#include "persist/piece.h"
#include "persist/snapshot.h"
#include "store/cut.h"

struct kv_saving;

/* What writers left of one shard. Under its lock. */
typedef struct kv_snapshot_shard {
    kv_pieces pieces;
    struct kv_saving *savings, *savings_last; /* big values, oldest first */
} kv_snapshot_shard;

typedef struct kv_snapshot_state {
    kv_cut cut;
    kv_engine *engine;
    kv_store *store;
    kv_mem *mem;
    const kv_snapshot_options *options;
    kv_access_config access;
    int64_t now_ms;
    _Atomic int status;            /* kv_status: not KV_OK, it is given up. Any thread, once */
    _Atomic(const char *) problem; /* and why */
    _Atomic uint64_t left;         /* bit i: something was left in shard i */
    _Atomic size_t orphans, peak;  /* bytes that are kept for the snapshot alone */
    size_t piece, big;             /* bytes: of a hold, and of a value that is written piece by piece */
    size_t limit;                  /* of them: writers wait above, twice as many end the snapshot */
    kv_snapshot_shard shards[KV_MAX_SHARDS];
    /* the snapshot's thread's */
    struct kv_saving *found; /* big values that the walk came to, oldest first */
    struct kv_saving *found_last;
    kv_piece *open; /* where the walk writes */
    uint64_t until_ticks;
    unsigned looked;
    kv_buf encoded;
    uint64_t sum, bytes, keys, keys_total;
    uint64_t longest_ticks;
    int version;
    int error; /* errno of the write that failed */
} kv_snapshot_state;

static inline bool kv_snapshot_failed(const kv_snapshot_state *s) {
    return atomic_load_explicit(&s->status, memory_order_relaxed) != KV_OK;
}
/* Gives the snapshot up, for the first reason that comes. Any thread. */
void kv_snapshot_fail(kv_snapshot_state *s, kv_status status, const char *problem);
/* So many bytes more, or fewer, are kept. Any thread. */
void kv_snapshot_charge(kv_snapshot_state *s, size_t bytes);
void kv_snapshot_release(kv_snapshot_state *s, size_t bytes);

/* kv_cut.before */
void kv_snapshot_before(void *arg, kv_keydb *db, kv_value *v, bool goes);

/* Does the value take too long for one hold of the lock? In a big string's case that depends on whether it is there to stay. */
bool kv_snapshot_is_big(const kv_snapshot_state *s, const kv_value *v, bool goes);

/* Writes pieces to the file. No lock. */
void kv_snapshot_write(kv_snapshot_state *s, kv_pieces *pieces);
void kv_snapshot_put(kv_snapshot_state *s, kv_slice bytes);

/* How long a hold of a shard's lock was. */
uint64_t kv_snapshot_hold_begin(kv_snapshot_state *s, kv_shard *shard);
void kv_snapshot_hold_end(kv_snapshot_state *s, kv_shard *shard, uint64_t begun);

/* The walk of all shards, and what writers left meanwhile: snapshot_walk.c. */
void kv_snapshot_walk(kv_snapshot_state *s);
/* Everything that is left, of a snapshot that is given up, too. */
void kv_snapshot_clear(kv_snapshot_state *s);

#endif
