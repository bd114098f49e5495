/* Hashes: setting, removing and counting up fields. */
#include <math.h>

#include "base/num.h"
#include "commands/hash_target.h"
#include "engine/errors.h"

/* ---- HSET, HMSET, HSETNX ---- */

static size_t longest_of(const kv_slice *argv, int count) {
    size_t longest = 0;
    for (int i = 0; i < count; i++)
        if (argv[i].len > longest) longest = argv[i].len;
    return longest;
}

/* An existing hash is about to be changed in place; many or long pairs make it a table first. */
static bool prepare(kv_ctx *c, kv_hash_target *t, int first_pair) {
    if (!t->is_new) kv_ctx_modify(c, &t->key, t->v);
    int words = c->argc - first_pair;
    kv_status status =
        kv_hash_prepare(t->v, kv_ctx_arena(&t->key), kv_ctx_limits(c), (size_t)words / 2, longest_of(c->argv + first_pair, words));
    if (status == KV_OK) return true;
    kv_hash_target_abandon(t);
    return kv_ctx_ok(c, status);
}

static bool set_pairs(kv_ctx *c, kv_hash_target *t) {
    if (c->argc % 2 != 0) {
        kv_ctx_arity_error(c);
        return false;
    }
    if (!kv_hash_target_open(c, t) || !prepare(c, t, 2)) return false;
    if (!kv_hash_target_set(c, t, c->argv + 2, (size_t)(c->argc - 2) / 2, KV_HASH_NO_EXPIRY)) return false;
    if (!kv_hash_target_land(c, t, "hset")) return false;
    c->unit->dirty += (uint64_t)(c->argc - 2) / 2 - 1; /* each field counts as a change; landing counted one */
    return true;
}

void kv_cmd_hset(kv_ctx *c) {
    kv_hash_target t;
    if (set_pairs(c, &t)) kv_reply_int(c->reply, (int64_t)t.created);
}

void kv_cmd_hmset(kv_ctx *c) {
    kv_hash_target t;
    if (set_pairs(c, &t)) kv_reply_ok(c->reply);
}

void kv_cmd_hsetnx(kv_ctx *c) {
    kv_hash_target t;
    kv_hash_item old;
    if (!kv_hash_target_open(c, &t)) return;
    if (!t.is_new && kv_hash_get(t.v, c->argv[2], kv_hash_now(c), &old)) {
        kv_reply_int(c->reply, 0);
        return;
    }
    if (!prepare(c, &t, 2)) return;
    if (!kv_hash_target_set(c, &t, c->argv + 2, 1, KV_HASH_NO_EXPIRY)) return;
    if (!kv_hash_target_land(c, &t, "hset")) return;
    if (t.expired && kv_logs(c)) kv_hash_log_pairs(c, &t.key, KV_HASH_NO_EXPIRY, c->argv + 2, 1); /* to others it may still be there */
    kv_reply_int(c->reply, 1);
}

/* ---- HINCRBY, HINCRBYFLOAT ---- */

/* The field's old value as text, or "0". The slice points into `item` or the hash. */
static kv_slice old_number(kv_ctx *c, const kv_hash_target *t, kv_hash_item *item) {
    if (!t->is_new && kv_hash_get(t->v, c->argv[2], kv_hash_now(c), item)) return item->value;
    item->expiry_ms = KV_HASH_NO_EXPIRY;
    return KV_LIT("0");
}

static bool fail(kv_ctx *c, kv_hash_target *t, const char *error) {
    kv_hash_target_abandon(t);
    kv_reply_error(c->reply, error);
    return false;
}

/* The old field was to expire at `expiry_ms`, and so is the new one. `exact`: adding up once more gives the same. */
static bool store_number(kv_ctx *c, kv_hash_target *t, kv_slice text, int64_t expiry_ms, bool exact, const char *event) {
    const kv_slice pair[2] = {c->argv[2], text};
    if (!t->is_new) kv_ctx_modify(c, &t->key, t->v);
    if (!kv_hash_target_set(c, t, pair, 1, KV_HASH_KEEP_EXPIRY) || !kv_hash_target_land(c, t, event)) return false;
    bool plain = exact && !t->expired && expiry_ms == KV_HASH_NO_EXPIRY;
    if (!plain && kv_logs(c)) kv_hash_log_pairs(c, &t->key, expiry_ms, pair, 1);
    return true;
}

void kv_cmd_hincrby(kv_ctx *c) {
    kv_hash_target t;
    kv_hash_item item;
    int64_t step, number;
    char text[KV_NUM_MAX];
    if (!kv_ctx_i64(c, 3, &step) || !kv_hash_target_open(c, &t)) return;
    if (!kv_parse_i64(old_number(c, &t, &item), &number)) {
        fail(c, &t, "ERR hash value is not an integer");
        return;
    }
    if (!kv_add_i64(number, step, &number)) {
        fail(c, &t, KV_ERR_INCREMENT_OVERFLOW);
        return;
    }
    if (store_number(c, &t, kv_slice_of(text, kv_format_i64(text, number)), item.expiry_ms, true, "hincrby"))
        kv_reply_int(c->reply, number);
}

void kv_cmd_hincrbyfloat(kv_ctx *c) {
    kv_hash_target t;
    kv_hash_item item;
    long double step, number;
    char text[KV_LONG_DOUBLE_MAX];
    if (!kv_parse_long_double(c->argv[3], &step)) {
        kv_reply_error(c->reply, KV_ERR_NOT_FLOAT);
        return;
    }
    if (!isfinite(step)) {
        kv_reply_error(c->reply, "ERR value is NaN or Infinity");
        return;
    }
    if (!kv_hash_target_open(c, &t)) return;
    if (!kv_parse_long_double(old_number(c, &t, &item), &number)) {
        fail(c, &t, "ERR hash value is not a float");
        return;
    }
    size_t len = kv_format_long_double(text, sizeof text, number + step);
    if (len == 0) {
        fail(c, &t, KV_ERR_INCREMENT_NAN);
        return;
    }
    kv_slice sum = kv_slice_of(text, len);
    if (store_number(c, &t, sum, item.expiry_ms, false, "hincrbyfloat")) kv_reply_bulk(c->reply, sum);
}

/* ---- HDEL ---- */

void kv_cmd_hdel(kv_ctx *c) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_HASH, KV_FIND_WRITE, &v)) return;
    if (v == NULL) {
        kv_reply_int(c->reply, 0);
        return;
    }
    int64_t removed = 0;
    kv_hash_edit e;
    kv_picked gone;
    if (!kv_picked_init(c, &gone, c->argc - 2)) return;
    kv_ctx_modify(c, &key, v);
    if (!kv_ctx_ok(c, kv_hash_edit_begin(&e, v, kv_ctx_arena(&key), (size_t)c->argc - 2))) {
        kv_picked_deinit(c, &gone);
        return;
    }
    kv_status status = KV_OK;
    for (int i = 2; i < c->argc && kv_hash_length(e.now) > 0 && status != KV_ENOMEM; i++) {
        status = kv_hash_edit_delete(&e, c->argv[i], kv_hash_now(c));
        if (status != KV_OK) continue;
        removed++;
        kv_picked_add(c, &gone, c->argv[i]);
    }
    kv_hash_edit_end(&e, status != KV_ENOMEM);
    if (status != KV_ENOMEM && removed < c->argc - 2) kv_hash_log_removed(c, &key, &gone);
    kv_picked_deinit(c, &gone);
    if (status == KV_ENOMEM) {
        kv_ctx_out_of_memory(c);
        return;
    }
    if (removed > 0) {
        c->unit->dirty += (uint64_t)removed - 1;
        kv_ctx_changed(c, &key, KV_EVENT_HASH, "hdel");
        kv_hash_shrunk(c, &key, v);
    }
    kv_reply_int(c->reply, removed);
}
