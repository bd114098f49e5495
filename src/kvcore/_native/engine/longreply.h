/* Replies of very many items (LRANGE, HGETALL, SMEMBERS, ZRANGE and their kind), written slice by slice so that nobody waits for the whole.
 *
 * The reply is one point in time all the same: the container is pinned (store/pin.h), so it stays as it was while the shard's lock is free in between.
 * A connection's thread writes a slice a round, as the client reads; a call in the process writes one after the other. Who comes to change a container
 * that is being read writes slices of that reply himself, into `ahead`, one at each try, and has his turn when it is complete. */
#ifndef KV_ENGINE_LONGREPLY_H
#define KV_ENGINE_LONGREPLY_H

#include "engine/dispatch.h"

/* How the items of a reply are written. The state belongs to the handler, up to KV_WALK_BYTES; begin() completes it for `v`, whose address stays. */
#define KV_WALK_BYTES 256
typedef struct kv_walk {
    size_t bytes; /* of the state */
    void (*begin)(void *state, const kv_value *v);
    size_t (*write)(void *state, kv_reply *reply, size_t items); /* how many were written; fewer than `items`: out of memory */
    kv_status (*end)(void *state);                               /* NULL: nothing to give back */
} kv_walk;

/* Writes `count` items of `v`: all of them before it returns, or the first slice, and the rest later. The count has been written. The handler
 * returns when this has. KV_ENOMEM: not all could be written, and nothing comes later. */
kv_status kv_ctx_reply_walk(kv_ctx *c, const kv_key *key, const kv_value *v, size_t count, const kv_walk *walk, void *state);

/* For dispatch. Every shard in the command's set is locked. */
/* A container that this command is going to change is being read: a slice of that reply has been written, but there is more; try again with the
 * locks given back in between. False: go on. */
bool kv_long_reply_in_the_way(kv_ctx *c);
/* The same for a unit that cannot try again: what is in the way is read to its end at once. */
void kv_long_reply_settle(kv_ctx *c);
/* The slices that are left, for a session that wants its replies whole. No lock held. `start`: where the reply begins in `out`. */
void kv_long_reply_finish(kv_session *session, kv_buf *out, size_t start);
/* Gives a session's reply up. Owner's thread, no lock held. */
void kv_long_reply_cancel(kv_session *session);
/* A moment without the lock for those who wait for it. No lock held. */
void kv_long_reply_yield(void);

#endif
