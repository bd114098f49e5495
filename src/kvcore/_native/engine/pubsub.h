/* Channels, patterns and shard channels. One table each under one leaf lock (rank PUBSUB); messages go to mailboxes. */
#ifndef KV_ENGINE_PUBSUB_H
#define KV_ENGINE_PUBSUB_H
#include "engine/ctx.h"
struct kv_pubsub;
struct kv_pubsub *kv_pubsub_create(struct kv_engine *engine);
void kv_pubsub_destroy(struct kv_pubsub *pubsub);
/* Sends to every subscriber of the channel and of matching patterns; the number of receivers. Any thread, shard locks may be held. */
size_t kv_pubsub_publish(kv_ctx *c, kv_slice channel, kv_slice message, bool sharded);
/* Channels + patterns of a session (shard channels apart): 0 means it is a normal client. */
size_t kv_pubsub_count(const struct kv_session *session);
size_t kv_pubsub_shard_count(const struct kv_session *session);
/* Memory of its subscriptions; a channel that several share counts for each. Owner's thread. */
size_t kv_pubsub_bytes(const struct kv_session *session);
/* Leave all without messages: the session goes or is reset. */
void kv_pubsub_leave(struct kv_session *session);
#endif
