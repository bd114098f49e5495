/* Client-side caching: who has read which key, and the invalidations they get (CLIENT TRACKING). One leaf lock (rank TRACKING). */
#ifndef KV_ENGINE_TRACKING_H
#define KV_ENGINE_TRACKING_H
#include "engine/ctx.h"
struct kv_tracking;
struct kv_tracking *kv_tracking_create(struct kv_engine *engine);
void kv_tracking_destroy(struct kv_tracking *tracking);
/* Called by dispatch after a read-only command of a tracking session: its declared keys are remembered. */
void kv_tracking_read(kv_ctx *c);
/* Holds the table to tracking-table-max-keys, a step at a time: the limit may have been lowered. No lock held. */
void kv_tracking_trim(struct kv_engine *engine);
/* Called by kv_ctx_changed and for expired, evicted keys. Shard lock held. Cheap when nobody tracks. */
void kv_tracking_changed(kv_ctx *c, kv_slice key);
/* At the end of a unit that has collected keys for clients who track by prefix (unit->broadcast): one message a prefix and client. Shard locks held. */
void kv_tracking_publish(kv_ctx *c);
void kv_tracking_flushed(kv_ctx *c); /* FLUSHALL, FLUSHDB: a null invalidation to everybody who tracks */
void kv_tracking_leave(struct kv_session *session);
#endif
