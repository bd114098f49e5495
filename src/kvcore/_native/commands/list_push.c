/* LPUSH RPUSH LPUSHX RPUSHX LINSERT LSET: commands that put items into lists. */
#include "commands/list_common.h"
#include "engine/errors.h"

static const char *event_of(kv_list_end end) { return end == KV_LIST_HEAD ? "lpush" : "rpush"; }

/* A new list is built whole before it gets its key. */
static kv_value *push_new(kv_ctx *c, const kv_key *key, kv_list_end end) {
    if (kv_ctx_open(c, key) == NULL) return NULL;
    kv_arena *arena = kv_ctx_arena(key);
    kv_value fresh = {0}, *v = NULL;
    if (!kv_ctx_ok(c, kv_list_create(&fresh, arena))) return NULL;
    if (kv_ctx_ok(c, kv_list_push(&fresh, arena, kv_ctx_limits(c), end, c->argv + 2, (size_t)c->argc - 2))) v = kv_ctx_add(c, key, &fresh);
    if (v == NULL) kv_list_free(&fresh, arena);
    return v;
}

static void push(kv_ctx *c, kv_list_end end, bool create) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_LIST, KV_FIND_WRITE, &v)) return;
    if (v == NULL && !create) {
        kv_reply_int(c->reply, 0);
        return;
    }
    if (v == NULL) {
        v = push_new(c, &key, end);
        if (v == NULL) return;
    } else {
        kv_ctx_modify(c, &key, v);
        if (!kv_ctx_ok(c, kv_list_push(v, kv_ctx_arena(&key), kv_ctx_limits(c), end, c->argv + 2, (size_t)c->argc - 2))) return;
    }
    kv_ctx_changed(c, &key, KV_EVENT_LIST, event_of(end));
    kv_reply_int(c->reply, (int64_t)kv_list_length(v));
}

void kv_cmd_lpush(kv_ctx *c) { push(c, KV_LIST_HEAD, true); }
void kv_cmd_rpush(kv_ctx *c) { push(c, KV_LIST_TAIL, true); }
void kv_cmd_lpushx(kv_ctx *c) { push(c, KV_LIST_HEAD, false); }
void kv_cmd_rpushx(kv_ctx *c) { push(c, KV_LIST_TAIL, false); }

/* LINSERT key BEFORE|AFTER pivot element */
void kv_cmd_linsert(kv_ctx *c) {
    bool after = kv_ctx_is(c, 2, "after");
    if (!after && !kv_ctx_is(c, 2, "before")) {
        kv_ctx_syntax_error(c);
        return;
    }
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_LIST, KV_FIND_WRITE, &v)) return;
    if (v == NULL) {
        kv_reply_int(c->reply, 0);
        return;
    }
    kv_ctx_modify(c, &key, v);
    kv_status status = kv_list_insert(v, kv_ctx_arena(&key), kv_ctx_limits(c), c->argv[3], after, c->argv[4]);
    if (status == KV_ENOTFOUND) {
        kv_reply_int(c->reply, -1);
        return;
    }
    if (!kv_ctx_ok(c, status)) return;
    kv_ctx_changed(c, &key, KV_EVENT_LIST, "linsert");
    kv_reply_int(c->reply, (int64_t)kv_list_length(v));
}

/* LSET key index element */
void kv_cmd_lset(kv_ctx *c) {
    kv_value *v;
    int64_t index;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_LIST, KV_FIND_WRITE, &v)) return;
    if (v == NULL) {
        kv_reply_error(c->reply, KV_ERR_NO_SUCH_KEY);
        return;
    }
    if (!kv_ctx_i64(c, 2, &index)) return;
    kv_ctx_modify(c, &key, v);
    if (!kv_ctx_ok(c, kv_list_set(v, kv_ctx_arena(&key), kv_ctx_limits(c), index, c->argv[3]))) return;
    kv_ctx_changed(c, &key, KV_EVENT_LIST, "lset");
    kv_reply_ok(c->reply);
}
