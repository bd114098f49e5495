/* LMOVE RPOPLPUSH BLMOVE BRPOPLPUSH: from one list to another, or around one. */
#include "commands/list_common.h"
#include "engine/effect.h"

/* The list at `key`, made empty when there is none. NULL: replied. */
static kv_value *destination(kv_ctx *c, const kv_key *key) {
    if (kv_ctx_open(c, key) == NULL) return NULL;
    kv_value fresh = {0};
    if (!kv_ctx_ok(c, kv_list_create(&fresh, kv_ctx_arena(key)))) return NULL;
    kv_value *v = kv_ctx_add(c, key, &fresh);
    if (v == NULL) kv_list_free(&fresh, kv_ctx_arena(key));
    return v;
}

/* The same without the wait: BLMOVE and BRPOPLPUSH end with a time-out, and begin with a B. */
static void log_move(kv_ctx *c) {
    kv_slice name = c->argc == 4 ? KV_LIT("RPOPLPUSH") : KV_LIT("LMOVE");
    kv_ctx_effect_of(c, 2, (kv_effect_part[]){{&name, 1, 1}, {c->argv + 1, c->argc - 2, 1}});
}

static bool move_one(kv_ctx *c, const kv_key *src_key, kv_value *src, kv_list_end from, const kv_key *dst_key, kv_value *dst,
                     kv_list_end to) {
    bool made = dst == NULL;
    if (made) dst = destination(c, dst_key);
    if (dst == NULL) return false;
    char scratch[KV_LIST_SCRATCH];
    kv_slice item;
    kv_mark mark = kv_reply_defer(c->reply);
    if (kv_list_peek(src, from, scratch, &item) == KV_OK) kv_reply_bulk(c->reply, item);
    kv_ctx_modify(c, dst_key, dst);
    kv_ctx_modify(c, src_key, src);
    kv_status status = kv_list_move(src, kv_ctx_arena(src_key), from, dst, kv_ctx_arena(dst_key), to, kv_ctx_limits(c));
    if (!kv_list_cmd_ok(c, mark, status)) {
        if (made) kv_ctx_delete(c, dst_key);
        return false;
    }
    kv_ctx_changed(c, dst_key, KV_EVENT_LIST, to == KV_LIST_HEAD ? "lpush" : "rpush");
    kv_ctx_changed(c, src_key, KV_EVENT_LIST, from == KV_LIST_HEAD ? "lpop" : "rpop");
    c->unit->dirty--; /* both ends are one change */
    if (kv_list_length(src) == 0) kv_ctx_delete_empty(c, src_key);
    return true;
}

/* timeout_ms < 0: replies null when there is nothing to move; else waits. */
static void move(kv_ctx *c, kv_list_end from, kv_list_end to, int64_t timeout_ms) {
    kv_value *src, *dst;
    kv_key src_key = kv_ctx_key(c, 1), dst_key = kv_ctx_key(c, 2);
    if (!kv_ctx_find_type(c, &src_key, KV_LIST, KV_FIND_WRITE, &src)) return;
    if (src == NULL) {
        static const int source = 1;
        if (timeout_ms < 0 || !kv_ctx_block(c, &source, 1, KV_LIST, timeout_ms, true)) kv_reply_null(c->reply);
        return;
    }
    if (!kv_ctx_find_type(c, &dst_key, KV_LIST, KV_FIND_WRITE, &dst) || !move_one(c, &src_key, src, from, &dst_key, dst, to)) return;
    if (timeout_ms >= 0) log_move(c);
}

/* LMOVE source destination LEFT|RIGHT LEFT|RIGHT */
void kv_cmd_lmove(kv_ctx *c) {
    kv_list_end from, to;
    if (kv_list_cmd_end(c, 3, &from) && kv_list_cmd_end(c, 4, &to)) move(c, from, to, -1);
}

void kv_cmd_rpoplpush(kv_ctx *c) { move(c, KV_LIST_TAIL, KV_LIST_HEAD, -1); }

/* BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout */
void kv_cmd_blmove(kv_ctx *c) {
    kv_list_end from, to;
    int64_t timeout_ms;
    if (kv_list_cmd_end(c, 3, &from) && kv_list_cmd_end(c, 4, &to) && kv_ctx_timeout(c, 5, &timeout_ms)) move(c, from, to, timeout_ms);
}

/* BRPOPLPUSH source destination timeout */
void kv_cmd_brpoplpush(kv_ctx *c) {
    int64_t timeout_ms;
    if (kv_ctx_timeout(c, 3, &timeout_ms)) move(c, KV_LIST_TAIL, KV_LIST_HEAD, timeout_ms);
}
