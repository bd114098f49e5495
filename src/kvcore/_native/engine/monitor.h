/* MONITOR lines, the command log (slow, large requests, large replies) and latency events: what was run, and how long it took. */
#ifndef KV_ENGINE_MONITOR_H
#define KV_ENGINE_MONITOR_H
#include "engine/ctx.h"
/* Called by dispatch after a command ran, only while somebody monitors. Shard locks may be held. */
void kv_monitor_feed(kv_ctx *c);
/* Called by dispatch after a command ran, when a threshold is passed. No shard lock held. */
void kv_commandlog_record(kv_ctx *c, uint64_t duration_us, size_t request_bytes, size_t reply_bytes);
struct kv_commandlog *kv_commandlog_create(struct kv_engine *engine);
void kv_commandlog_destroy(struct kv_commandlog *log);
/* Any thread; takes rank STATS. event is a constant name ("command", "expire-cycle", ...). */
void kv_latency_add(struct kv_engine *engine, const char *event, uint64_t duration_ms);
struct kv_latency *kv_latency_create(struct kv_engine *engine);
void kv_latency_destroy(struct kv_latency *latency);
#endif
