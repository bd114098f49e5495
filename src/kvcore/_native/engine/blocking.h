/* Blocked clients: who waits for which key. Queues are FIFO a key and live with the key's shard, under its lock. */
#ifndef KV_ENGINE_BLOCKING_H
#define KV_ENGINE_BLOCKING_H

#include "engine/ctx.h"

/* Shards that serving the waiters of this shard would need; 0 when nobody waits. That shard locked. */
uint64_t kv_waiters_mask(const kv_shard *shard);

/* Serve the clients that wait for the keys of the unit's ready list, in the order in which the keys became ready, and the keys that this readies in turn.
 * Called at the end of a unit, its locks still held. */
void kv_serve_ready(kv_ctx *c);

/* Clients of the engine that wait right now, keys they wait for: for INFO. Takes shard locks one by one. */
size_t kv_waiting_keys(struct kv_engine *engine);

/* Frees what an engine's shards still hold; no session is left. */
void kv_waiters_destroy(struct kv_engine *engine);

#endif
