/* Keyspace notifications: events of keys as messages of two channels, when notify-keyspace-events asks for them. */
#ifndef KV_ENGINE_NOTIFY_H
#define KV_ENGINE_NOTIFY_H
#include "engine/ctx.h"
/* "KEA" -> flags; false on an unknown letter. */
bool kv_notify_parse(kv_slice text, int64_t *flags);
size_t kv_notify_format(char out[32], int64_t flags);
void kv_notify(kv_ctx *c, int db, unsigned event_class, const char *event, kv_slice key);
#endif
