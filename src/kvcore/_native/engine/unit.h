/* An execution unit: one command, one transaction, or one step of the engine itself. It locks its shards once, all of them before its first read,
 * and locks no other shard until it has ended. */
#ifndef KV_ENGINE_UNIT_H
#define KV_ENGINE_UNIT_H

#include "engine/dispatch.h"

/* Locks `mask`, and with it the shards that serving the blocked clients of those shards would need (`writes` only): a unit may not lock more
 * once it has begun to change things. */
void kv_unit_lock(kv_ctx *c, uint64_t mask, bool writes);
/* The same without waiting; false: some shard is taken, nothing is locked. */
bool kv_unit_trylock(kv_ctx *c, uint64_t mask, bool writes);
/* Publishes, serves waiters, unlocks, wakes. unit->locked is 0 afterwards. */
void kv_unit_finish(kv_ctx *c);

/* The same for a unit that needs one shard. False with the shard unlocked: it is taken (`wait` false), or a writer there may have to serve clients that
 * wait in other shards, too, or may have to wait for a long reply: ask kv_unit_lock or kv_unit_trylock. */
bool kv_unit_lock_one(kv_ctx *c, kv_shard *shard, bool writes, bool wait);
void kv_unit_finish_one(kv_ctx *c, kv_shard *shard); /* nobody waits in the shard */

/* First change of a unit: takes the snapshot epoch, with every lock held. Idempotent. */
void kv_begin_write(kv_ctx *c);

/* Remember that the key appeared or changed its type in some database, so that those who wait for it are served when the unit ends. Cannot fail; cheap
 * when nobody waits in its shard. */
void kv_unit_ready(kv_ctx *c, kv_shard *shard, uint64_t hash, kv_slice name);

#endif
