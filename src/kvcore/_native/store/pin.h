/* Containers that somebody reads piece by piece, giving the shard's lock back in between.
 *
 * A pinned container does not change and is not freed until its last pin is gone; the key that holds it may go meanwhile (DEL, overwriting, expiry,
 * eviction, FLUSHALL, a RENAME within the shard): then its pins own it. Whoever wants to change it in place has the readers finish first
 * (kv_shard_advance, kv_shard_settle), but for those that watch it. A shard has few pins: they are a list. All of it under the shard's lock. */
#ifndef KV_STORE_PIN_H
#define KV_STORE_PIN_H

#include "store/shard.h"

typedef struct kv_pin {
    struct kv_pin *next;
    _Atomic(kv_shard *) shard; /* changes only for one that watches, under the locks of both */
    kv_value value;            /* type, enc, u: the container as it is read */
    bool owns;                 /* no key holds it any more: it goes with this pin */
    bool watches; /* the container may change: it tells this reader before it does (kv_table_watch, kv_ql_watch). `read` is not asked for */
    /* Read on for a piece, or to the end, and unpin when that was the last. */
    void (*read)(struct kv_pin *pin, bool to_the_end);
} kv_pin;

/* `v` holds a container of its own (quicklist, hash table, skiplist). */
void kv_shard_pin(kv_shard *shard, kv_pin *pin, const kv_value *v);
/* The container of a pin that owns it is disposed of, or goes to another reader of it. */
void kv_shard_unpin(kv_pin *pin);

bool kv_shard_is_pinned(const kv_shard *shard, const kv_value *v); /* by a reader that has to finish before it is changed */
bool kv_shard_is_held(const kv_shard *shard, const kv_value *v);   /* by any: it stays where it is */
/* The readers of v's container read on: all of them to the end, or the first of them for one piece. */
void kv_shard_settle(kv_shard *shard, const kv_value *v);
void kv_shard_advance(kv_shard *shard, const kv_value *v);
/* One piece for a reader whose container no key holds any more, so that its memory goes back. False: there is none. */
bool kv_shard_advance_orphan(kv_shard *shard);

/* For the store: v's container goes to the key space of another shard, which is locked, too; those who watch it go with it. */
void kv_shard_move_watchers(kv_shard *from, kv_shard *to, const kv_value *v);
/* For the store: a container that leaves the key space. False: nobody reads it, the caller disposes of it. */
bool kv_shard_leave_to_pin(kv_shard *shard, const kv_value *v);

#endif
