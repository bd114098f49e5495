/* Changing a hash. A fresh hash is filled before it is added, so a failure leaves no key behind; an existing one that fails half-way keeps the
 * fields that went in, and the change is announced all the same: what was done has to reach the watchers. */
#include "commands/hash_target.h"

#include "engine/engine.h"

bool kv_hash_target_open(kv_ctx *c, kv_hash_target *t) {
    *t = (kv_hash_target){.key = kv_ctx_key(c, 1)};
    if (!kv_ctx_find_type(c, &t->key, KV_HASH, KV_FIND_WRITE, &t->v)) return false;
    if (t->v != NULL) return true;
    if (kv_ctx_open(c, &t->key) == NULL) return false; /* the shard's arena may not be there yet */
    if (!kv_ctx_ok(c, kv_hash_create(&t->fresh, kv_ctx_arena(&t->key)))) return false;
    t->v = &t->fresh;
    t->is_new = true;
    return true;
}

void kv_hash_target_abandon(kv_hash_target *t) {
    if (t->is_new) kv_hash_free(&t->fresh, kv_ctx_arena(&t->key));
}

bool kv_hash_target_set(kv_ctx *c, kv_hash_target *t, kv_slice field, kv_slice value, int64_t expiry_ms) {
    kv_hash_change change;
    kv_status status = kv_hash_set(t->v, kv_ctx_arena(&t->key), kv_ctx_limits(c), field, value, expiry_ms, kv_hash_now(c), &change);
    if (status == KV_OK) {
        t->expired |= change.expired;
        t->created += change.created;
        return true;
    }
    if (t->is_new) kv_hash_target_abandon(t);
    else {
        kv_ctx_field_expiry_changed(c, &t->key, t->v);
        kv_ctx_changed(c, &t->key, 0, NULL);
    }
    return kv_ctx_ok(c, status);
}

bool kv_hash_target_land(kv_ctx *c, kv_hash_target *t, const char *event) {
    if (t->is_new) {
        kv_value *v = kv_ctx_add(c, &t->key, &t->fresh);
        if (v == NULL) {
            kv_hash_target_abandon(t);
            return false;
        }
        t->v = v;
        t->is_new = false;
    }
    if (t->v->enc == KV_ENC_HASHTABLE) {
        if (kv_hash_volatile_count(t->v) != 0) {
            kv_value *v = kv_ctx_field_expiry_reserve(c, &t->key, t->v);
            if (v == NULL) return false;
            t->v = v;
        }
        kv_ctx_field_expiry_changed(c, &t->key, t->v);
    }
    if (t->expired) kv_ctx_notify(c, &t->key, KV_EVENT_HASH, "hexpired");
    kv_ctx_changed(c, &t->key, KV_EVENT_HASH, event);
    return true;
}

void kv_hash_shrunk(kv_ctx *c, const kv_key *key, kv_value *v) {
    if (kv_hash_length(v) == 0) kv_ctx_delete_empty(c, key);
    else kv_ctx_field_expiry_changed(c, key, v);
}

void kv_hash_count_expired(kv_ctx *c, size_t fields) {
    if (fields > 0) atomic_fetch_add_explicit(&c->engine->stats.expired_fields, fields, memory_order_relaxed);
}

bool kv_hash_has_any(kv_ctx *c, const kv_value *v, const kv_slice *fields, int count) {
    kv_hash_item item;
    for (int i = 0; i < count; i++)
        if (kv_hash_get(v, fields[i], kv_hash_now(c), &item)) return true;
    return false;
}
