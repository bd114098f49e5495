/* The rest of publish/subscribe, for the handlers of its commands. */
#ifndef KV_ENGINE_PUBSUB_PRIVATE_H
#define KV_ENGINE_PUBSUB_PRIVATE_H

#include "engine/engine.h"
#include "engine/pubsub.h"

typedef enum kv_topic_kind { KV_TOPIC_CHANNEL, KV_TOPIC_SHARD, KV_TOPIC_PATTERN, KV_TOPIC_KINDS } kv_topic_kind;

/* Owner's thread. Subscribing twice is nothing. False: out of memory. O(own subscriptions). */
bool kv_pubsub_subscribe(kv_session *session, kv_topic_kind kind, kv_slice name);
/* False: it was not subscribed. */
bool kv_pubsub_unsubscribe(kv_session *session, kv_topic_kind kind, kv_slice name);
/* The session's own subscriptions, in the order they were made. The name is valid until it changes. */
bool kv_pubsub_name(const kv_session *session, kv_topic_kind kind, size_t index, kv_slice *name);
size_t kv_pubsub_kind_count(const kv_session *session, kv_topic_kind kind);

/* Any thread. */
size_t kv_pubsub_receivers(kv_engine *engine, kv_topic_kind kind, kv_slice name);
size_t kv_pubsub_topics(kv_engine *engine, kv_topic_kind kind); /* how many different channels or patterns */
void kv_pubsub_each_channel(kv_engine *engine, kv_topic_kind kind, void (*fn)(void *arg, kv_slice name), void *arg);

#endif
