/* SPOP SRANDMEMBER: members by chance. */
#include "engine/effect.h"
#include "engine/engine.h"
#include "engine/errors.h"
#include "types/set.h"

static void reply_all(kv_ctx *c, const kv_value *v) {
    kv_set_iter it;
    kv_slice member;
    for (kv_set_iter_init(&it, v); kv_set_next(&it, &member);) kv_reply_bulk(c->reply, member);
}

static void popped(kv_ctx *c, const kv_key *key, bool all) {
    kv_ctx_changed(c, key, KV_EVENT_SET, "spop");
    if (all) kv_ctx_delete_empty(c, key);
}

/* The log has to name the members: SREM key, and `count` of them follow. */
static kv_effect_mark log_removal(kv_ctx *c, const kv_key *key, uint64_t count) {
    kv_effect_mark mark = kv_ctx_effect_mark(c);
    kv_ctx_effect_begin(c, count + 2);
    kv_ctx_effect_word(c, KV_LIT("SREM"));
    kv_ctx_effect_word(c, key->name);
    return mark;
}

/* Takes one random member out of a set of two or more, after replying it. */
static kv_status pop_random(kv_ctx *c, const kv_key *key, kv_value *v) {
    char scratch[KV_SET_SCRATCH];
    kv_slice member;
    kv_mark mark = kv_reply_defer(c->reply);
    if (!kv_set_random(v, kv_ctx_rng(c), scratch, &member)) return KV_ENOTFOUND;
    kv_reply_bulk(c->reply, member);
    kv_ctx_effect_word(c, member);
    kv_status status = kv_set_remove(v, kv_ctx_arena(key), member, NULL);
    if (status != KV_OK) kv_reply_rewind(c->reply, mark);
    return status;
}

static void pop_one(kv_ctx *c, const kv_key *key, kv_value *v) {
    if (v == NULL) {
        kv_reply_null(c->reply);
        return;
    }
    bool all = kv_set_length(v) == 1;
    kv_ctx_modify(c, key, v);
    kv_effect_mark mark = log_removal(c, key, 1);
    if (all) {
        kv_set_iter it;
        kv_slice member;
        kv_set_iter_init(&it, v);
        if (kv_set_next(&it, &member)) kv_ctx_effect_word(c, member);
        reply_all(c, v);
    } else if (!kv_ctx_ok(c, pop_random(c, key, v))) {
        kv_ctx_effect_rewind(c, mark);
        return;
    }
    popped(c, key, all);
}

static void pop_many(kv_ctx *c, const kv_key *key, kv_value *v, uint64_t count) {
    size_t length = v == NULL ? 0 : kv_set_length(v);
    if (v == NULL || count == 0) {
        kv_reply_set(c->reply, 0);
        return;
    }
    kv_ctx_modify(c, key, v);
    if (count >= length) {
        kv_reply_set(c->reply, length);
        reply_all(c, v);
        popped(c, key, true);
        kv_ctx_effect_del(c, key->name, KV_CFG_LAZYFREE_LAZY_SERVER_DEL);
        return;
    }
    kv_value draft;
    if (!kv_ctx_ok(c, kv_set_draft(v, kv_ctx_arena(key), &draft))) return;
    kv_mark mark = kv_reply_defer(c->reply);
    kv_effect_mark logged = log_removal(c, key, count);
    kv_reply_set(c->reply, count);
    kv_status status = KV_OK;
    for (uint64_t i = 0; i < count && status == KV_OK; i++) status = pop_random(c, key, &draft);
    kv_set_draft_end(v, kv_ctx_arena(key), &draft, status == KV_OK);
    if (status == KV_OK) {
        popped(c, key, false);
        return;
    }
    kv_reply_rewind(c->reply, mark);
    kv_ctx_effect_rewind(c, logged);
    kv_ctx_ok(c, status);
}

/* SPOP key [count] */
void kv_cmd_spop(kv_ctx *c) {
    int64_t count = 0;
    if (c->argc > 3) {
        kv_ctx_syntax_error(c);
        return;
    }
    if (c->argc == 3 && !kv_ctx_positive(c, 2, &count)) return;
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_SET, KV_FIND_WRITE, &v)) return;
    if (c->argc == 3) pop_many(c, &key, v, (uint64_t)count);
    else pop_one(c, &key, v);
}

static void reply_member(void *ctx, kv_slice member) {
    kv_ctx *c = ctx;
    kv_reply_bulk(c->reply, member);
}

static void random_repeating(kv_ctx *c, const kv_value *v, uint64_t count) {
    char scratch[KV_SET_SCRATCH];
    kv_slice member;
    kv_reply_array(c->reply, count);
    for (uint64_t i = 0; i < count && !c->reply->out->failed && kv_set_random(v, kv_ctx_rng(c), scratch, &member); i++)
        kv_reply_bulk(c->reply, member);
}

/* SRANDMEMBER key [count]: a negative count asks for that many draws, which may repeat. */
void kv_cmd_srandmember(kv_ctx *c) {
    int64_t count = 1;
    bool counted = c->argc == 3;
    if (c->argc > 3) {
        kv_ctx_syntax_error(c);
        return;
    }
    if (counted && !kv_ctx_range_i64(c, 2, -INT64_MAX, INT64_MAX, &count, NULL)) return;
    if (count < -INT32_MAX) { /* no reply can hold so many, and making it would keep the shard locked */
        kv_reply_error(c->reply, KV_ERR_OUT_OF_RANGE);
        return;
    }
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_SET, KV_FIND_READ, &v)) return;
    if (!counted) {
        char scratch[KV_SET_SCRATCH];
        kv_slice member;
        if (v != NULL && kv_set_random(v, kv_ctx_rng(c), scratch, &member)) kv_reply_bulk(c->reply, member);
        else kv_reply_null(c->reply);
    } else if (v == NULL || count == 0) {
        kv_reply_array(c->reply, 0);
    } else if (count < 0) {
        random_repeating(c, v, (uint64_t)-count);
    } else {
        size_t length = kv_set_length(v), n = (uint64_t)count < length ? (size_t)count : length;
        kv_mark mark = kv_reply_defer(c->reply);
        kv_reply_array(c->reply, n);
        kv_status status = kv_set_sample(v, kv_ctx_arena(&key), kv_ctx_rng(c), n, reply_member, c);
        if (status == KV_OK) return;
        kv_reply_rewind(c->reply, mark);
        kv_ctx_ok(c, status);
    }
}
