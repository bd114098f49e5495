/* Keyspace notifications. The setting is one bit set; a check of it is all that a change costs when it is off. */
#include "engine/notify.h"

#include <stdio.h>

#include "engine/engine.h"
#include "engine/pubsub.h"
#include "engine/session.h"

static const struct {
    char letter;
    unsigned bit;
} classes[] = {
    {'g', KV_EVENT_GENERIC}, {'$', KV_EVENT_STRING},   {'l', KV_EVENT_LIST},     {'s', KV_EVENT_SET},     {'h', KV_EVENT_HASH},
    {'z', KV_EVENT_ZSET},    {'x', KV_EVENT_EXPIRED},  {'e', KV_EVENT_EVICTED},  {'t', KV_EVENT_STREAM},  {'d', KV_EVENT_MODULE},
    {'n', KV_EVENT_NEW},     {'K', KV_EVENT_KEYSPACE}, {'E', KV_EVENT_KEYEVENT}, {'m', KV_EVENT_KEYMISS},
};

/* 'A' stands for every class but key misses and new keys, which would flood those who did not ask. */
enum {
    ALL_CLASSES = KV_EVENT_GENERIC | KV_EVENT_STRING | KV_EVENT_LIST | KV_EVENT_SET | KV_EVENT_HASH | KV_EVENT_ZSET | KV_EVENT_EXPIRED |
                  KV_EVENT_EVICTED | KV_EVENT_STREAM | KV_EVENT_MODULE
};

bool kv_notify_parse(kv_slice text, int64_t *flags) {
    int64_t found = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == 'A') {
            found |= ALL_CLASSES;
            continue;
        }
        size_t k = 0;
        while (k < sizeof classes / sizeof *classes && classes[k].letter != (char)text.ptr[i]) k++;
        if (k == sizeof classes / sizeof *classes) return false;
        found |= classes[k].bit;
    }
    *flags = found;
    return true;
}

size_t kv_notify_format(char out[32], int64_t flags) {
    size_t len = 0;
    bool all = (flags & ALL_CLASSES) == ALL_CLASSES;
    if (all) out[len++] = 'A';
    for (size_t k = 0; k < sizeof classes / sizeof *classes; k++) {
        if (all && (classes[k].bit & (ALL_CLASSES | KV_EVENT_NEW)) != 0) continue; /* behind an A, n is not shown; Valkey does the same */
        if ((flags & classes[k].bit) != 0) out[len++] = classes[k].letter;
    }
    return len;
}

static void publish(kv_ctx *c, const char *kind, int db, kv_slice tail, kv_slice message) {
    kv_buf channel;
    kv_buf_init(&channel, &c->engine->mem);
    kv_buf_printf(&channel, "__%s@%d__:", kind, db);
    kv_buf_add_slice(&channel, tail);
    if (!channel.failed) kv_pubsub_publish(c, kv_buf_slice(&channel), message, false);
    kv_buf_deinit(&channel);
}

void kv_notify(kv_ctx *c, int db, unsigned event_class, const char *event, kv_slice key) {
    int64_t wanted = kv_setting(&c->engine->settings, KV_CFG_NOTIFY_KEYSPACE_EVENTS);
    if ((wanted & event_class) == 0 || (c->session != NULL && c->session->replays)) return;
    if ((wanted & KV_EVENT_KEYSPACE) != 0) publish(c, "keyspace", db, key, kv_slice_cstr(event));
    if ((wanted & KV_EVENT_KEYEVENT) != 0) publish(c, "keyevent", db, kv_slice_cstr(event), key);
}
