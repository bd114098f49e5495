/* Shared parts of the sorted-set commands. */
#include "commands/zset_common.h"

#include "base/num.h"

bool kv_zset_find(kv_ctx *c, kv_value **v) {
    kv_key key = kv_ctx_key(c, 1);
    return kv_ctx_find_type(c, &key, KV_ZSET, KV_FIND_READ, v);
}

void kv_zset_reply_count(kv_ctx *c, size_t count, bool scores) {
    kv_reply_array(c->reply, scores && !kv_reply_is_resp3(c->reply) ? 2 * count : count);
}

void kv_zset_reply_item(kv_reply *reply, kv_slice member, double score, bool scores) {
    if (scores && kv_reply_is_resp3(reply)) kv_reply_array(reply, 2);
    kv_reply_bulk(reply, member);
    if (scores) kv_reply_double(reply, score);
}

static void store_nothing(kv_ctx *c, const kv_key *key) {
    if (kv_ctx_delete(c, key)) kv_ctx_changed(c, key, KV_EVENT_GENERIC, "del");
    kv_reply_int(c->reply, 0);
}

void kv_zset_store_result(kv_ctx *c, const kv_key *key, kv_value *fresh, const char *event) {
    size_t count = kv_zset_length(fresh);
    kv_keydb *db = kv_ctx_open(c, key);
    if (db == NULL || count == 0) {
        kv_zset_free(fresh, kv_ctx_arena(key));
        if (db != NULL) store_nothing(c, key);
        return;
    }
    kv_value *old = kv_ctx_find(c, key, KV_FIND_PEEK), *v; /* an expired one goes with its event */
    kv_status status = kv_keydb_replace_value(db, key->hash, key->name, old, *fresh, KV_EXPIRE_CLEAR, KV_NO_EXPIRE, &v);
    if (!kv_ctx_ok(c, status)) {
        kv_zset_free(fresh, kv_ctx_arena(key));
        return;
    }
    if (old == NULL) kv_ctx_notify(c, key, KV_EVENT_NEW, "new");
    kv_ctx_ready(c, key);
    kv_ctx_changed(c, key, KV_EVENT_ZSET, event);
    kv_reply_int(c->reply, (int64_t)count);
}

void kv_zset_shrunk(kv_ctx *c, const kv_key *key, const kv_value *v, const char *event) {
    kv_ctx_changed(c, key, KV_EVENT_ZSET, event);
    if (kv_zset_length(v) == 0) kv_ctx_delete_empty(c, key);
}

static bool score_bound(kv_slice text, double *score, bool *open) {
    *open = text.len > 0 && text.ptr[0] == '(';
    if (*open) text = kv_slice_of(text.ptr + 1, text.len - 1);
    return kv_parse_double_bound(text, score);
}

bool kv_zset_score_range(kv_slice min, kv_slice max, kv_zrange *out) {
    return score_bound(min, &out->min, &out->min_open) && score_bound(max, &out->max, &out->max_open);
}

static bool lex_bound(kv_slice text, kv_lex_end *out) {
    if (text.len == 0) return false;
    switch (text.ptr[0]) {
    case '-': out->kind = KV_LEX_MIN; break;
    case '+': out->kind = KV_LEX_MAX; break;
    case '[': out->kind = KV_LEX_CLOSED; break;
    case '(': out->kind = KV_LEX_OPEN; break;
    default: return false;
    }
    out->member = kv_slice_of(text.ptr + 1, text.len - 1);
    return out->kind == KV_LEX_CLOSED || out->kind == KV_LEX_OPEN || text.len == 1;
}

bool kv_zset_lex_range(kv_slice min, kv_slice max, kv_lex_range *out) { return lex_bound(min, &out->min) && lex_bound(max, &out->max); }

kv_zset_ranks kv_zset_clip_ranks(const kv_value *v, int64_t start, int64_t stop) {
    int64_t length = (int64_t)kv_zset_length(v);
    if (start < 0) start = start < -length ? 0 : start + length;
    if (stop < 0) stop = stop < -length ? -1 : stop + length;
    if (stop >= length) stop = length - 1;
    if (start > stop) return (kv_zset_ranks){0, 0};
    return (kv_zset_ranks){(size_t)start, (size_t)stop + 1};
}
