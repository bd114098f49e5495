/* SUBSCRIBE and its kin, PUBLISH, PUBSUB. A confirmation is a push of its own for each channel, so several stand where one reply would. */
#include "base/glob.h"
#include "engine/ctx.h"
#include "engine/errors.h"
#include "engine/pubsub_private.h"

static void confirm(kv_ctx *c, const char *what, const kv_slice *name, size_t count) {
    kv_reply_push(c->reply, 3);
    kv_reply_bulk_cstr(c->reply, what);
    if (name == NULL) kv_reply_null(c->reply);
    else kv_reply_bulk(c->reply, *name);
    kv_reply_int(c->reply, (int64_t)count);
}

/* Shard channels are counted apart from channels and patterns. */
static size_t shown_count(const kv_ctx *c, kv_topic_kind kind) {
    return kind == KV_TOPIC_SHARD ? kv_pubsub_shard_count(c->session) : kv_pubsub_count(c->session);
}

static void subscribe(kv_ctx *c, kv_topic_kind kind, const char *what) {
    for (int i = 1; i < c->argc; i++) {
        if (!kv_pubsub_subscribe(c->session, kind, c->argv[i])) {
            kv_ctx_out_of_memory(c);
            return;
        }
        confirm(c, what, &c->argv[i], shown_count(c, kind));
    }
}

static void unsubscribe(kv_ctx *c, kv_topic_kind kind, const char *what) {
    for (int i = 1; i < c->argc; i++) {
        kv_pubsub_unsubscribe(c->session, kind, c->argv[i]);
        confirm(c, what, &c->argv[i], shown_count(c, kind));
    }
    if (c->argc > 1) return;
    kv_slice name;
    bool any = false;
    while (kv_pubsub_name(c->session, kind, 0, &name)) {
        any = true;
        kv_buf copy; /* the name goes with the subscription */
        kv_buf_init(&copy, kv_ctx_mem(c));
        kv_buf_add_slice(&copy, name);
        kv_pubsub_unsubscribe(c->session, kind, name);
        kv_slice gone = kv_buf_slice(&copy);
        confirm(c, what, &gone, shown_count(c, kind));
        kv_buf_deinit(&copy);
    }
    if (!any) confirm(c, what, NULL, shown_count(c, kind));
}

void kv_cmd_subscribe(kv_ctx *c) { subscribe(c, KV_TOPIC_CHANNEL, "subscribe"); }
void kv_cmd_unsubscribe(kv_ctx *c) { unsubscribe(c, KV_TOPIC_CHANNEL, "unsubscribe"); }
void kv_cmd_psubscribe(kv_ctx *c) { subscribe(c, KV_TOPIC_PATTERN, "psubscribe"); }
void kv_cmd_punsubscribe(kv_ctx *c) { unsubscribe(c, KV_TOPIC_PATTERN, "punsubscribe"); }
void kv_cmd_ssubscribe(kv_ctx *c) { subscribe(c, KV_TOPIC_SHARD, "ssubscribe"); }
void kv_cmd_sunsubscribe(kv_ctx *c) { unsubscribe(c, KV_TOPIC_SHARD, "sunsubscribe"); }

void kv_cmd_publish(kv_ctx *c) { kv_reply_int(c->reply, (int64_t)kv_pubsub_publish(c, c->argv[1], c->argv[2], false)); }
void kv_cmd_spublish(kv_ctx *c) { kv_reply_int(c->reply, (int64_t)kv_pubsub_publish(c, c->argv[1], c->argv[2], true)); }

/* ---- PUBSUB ---- */

typedef struct listing {
    kv_ctx *c;
    kv_slice pattern;
    bool all;
    size_t count;
} listing;

static void list_channel(void *arg, kv_slice name) {
    listing *list = arg;
    if (!list->all && (!kv_glob(list->pattern, name, false) || (name.len == 0 && list->pattern.len > 0))) return;
    kv_reply_bulk(list->c->reply, name);
    list->count++;
}

static void list_channels(kv_ctx *c, kv_topic_kind kind) {
    listing list = {.c = c, .all = c->argc == 2, .pattern = c->argc == 2 ? KV_LIT("*") : c->argv[2]};
    kv_mark mark = kv_reply_defer(c->reply);
    kv_pubsub_each_channel(c->engine, kind, list_channel, &list);
    kv_reply_defer_array(c->reply, mark, list.count);
}

static void count_receivers(kv_ctx *c, kv_topic_kind kind) {
    kv_reply_array(c->reply, (size_t)(c->argc - 2) * 2);
    for (int i = 2; i < c->argc; i++) {
        kv_reply_bulk(c->reply, c->argv[i]);
        kv_reply_int(c->reply, (int64_t)kv_pubsub_receivers(c->engine, kind, c->argv[i]));
    }
}

void kv_cmd_pubsub_channels(kv_ctx *c) {
    if (c->argc > 3) kv_ctx_subcommand_error(c);
    else list_channels(c, KV_TOPIC_CHANNEL);
}
void kv_cmd_pubsub_shardchannels(kv_ctx *c) {
    if (c->argc > 3) kv_ctx_subcommand_error(c);
    else list_channels(c, KV_TOPIC_SHARD);
}
void kv_cmd_pubsub_numsub(kv_ctx *c) { count_receivers(c, KV_TOPIC_CHANNEL); }
void kv_cmd_pubsub_shardnumsub(kv_ctx *c) { count_receivers(c, KV_TOPIC_SHARD); }
void kv_cmd_pubsub_numpat(kv_ctx *c) { kv_reply_int(c->reply, (int64_t)kv_pubsub_topics(c->engine, KV_TOPIC_PATTERN)); }
