/* Changing a hash. A fresh hash is filled before it is added, so a failure leaves no key behind; an existing one takes all fields or none. Room in the
 * index of field expiries is made in front (kv_ctx_field_expiry_reserve): after the fields are in, nothing fails. */
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

bool kv_hash_target_set(kv_ctx *c, kv_hash_target *t, const kv_slice *pairs, size_t count, int64_t expiry_ms) {
    kv_hash_changes changes;
    kv_status status = kv_hash_set_many(t->v, kv_ctx_arena(&t->key), kv_ctx_limits(c), pairs, count, expiry_ms, kv_hash_now(c), &changes);
    if (status != KV_OK) {
        kv_hash_target_abandon(t);
        return kv_ctx_ok(c, status);
    }
    t->expired |= changes.expired;
    t->created += changes.created;
    return true;
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

/* ---- for the log ---- */

void kv_hash_log_fields(kv_ctx *c, const char *name, const kv_key *key, const int64_t *when, const kv_picked *fields) {
    if (fields->count == 0) return;
    char moment[KV_NUM_MAX], number[KV_NUM_MAX];
    kv_slice time = {0};
    if (when != NULL) time = kv_slice_of(moment, kv_format_i64(moment, *when));
    const kv_slice head[] = {kv_slice_cstr(name), key->name},
                   tail[] = {KV_LIT("FIELDS"), kv_slice_of(number, kv_format_i64(number, fields->count))};
    kv_ctx_effect_of(c, 4, (kv_effect_part[]){{head, 2, 1}, {&time, when != NULL, 1}, {tail, 2, 1}, {fields->all, fields->count, 1}});
}

void kv_hash_log_removed(kv_ctx *c, const kv_key *key, const kv_picked *fields) {
    if (fields->count == 0) return;
    const kv_slice head[] = {KV_LIT("HDEL"), key->name};
    kv_ctx_effect_of(c, 2, (kv_effect_part[]){{head, 2, 1}, {fields->all, fields->count, 1}});
}

void kv_hash_log_pairs(kv_ctx *c, const kv_key *key, int64_t expiry_ms, const kv_slice *pairs, int count) {
    char moment[KV_NUM_MAX], number[KV_NUM_MAX];
    bool timed = expiry_ms != KV_HASH_NO_EXPIRY;
    const kv_slice head[] = {timed ? KV_LIT("HSETEX") : KV_LIT("HSET"), key->name};
    const kv_slice time[] = {KV_LIT("PXAT"), kv_slice_of(moment, kv_format_i64(moment, expiry_ms)), KV_LIT("FIELDS"),
                             kv_slice_of(number, kv_format_i64(number, count))};
    kv_ctx_effect_of(c, 3, (kv_effect_part[]){{head, 2, 1}, {time, timed ? 4 : 0, 1}, {pairs, 2 * count, 1}});
}
