/* What several groups of commands do with keys: found or made with the right type, or the error replied. */
#include "commands/keys_common.h"

#include "engine/engine.h"
#include "engine/effect.h"
#include "engine/errors.h"
#include "types/string.h"

kv_value *kv_keys_look(kv_ctx *c, const kv_key *key) {
    kv_value *v = kv_ctx_find(c, key, KV_FIND_PEEK);
    kv_shard_count_read(key->shard, v != NULL);
    if (v == NULL) kv_ctx_notify(c, key, KV_EVENT_KEYMISS, "keymiss");
    return v;
}

bool kv_keys_moment(kv_ctx *c, int arg, int64_t unit_ms, bool absolute, int64_t *expire_ms) {
    int64_t value;
    if (!kv_ctx_i64(c, arg, &value)) return false;
    bool fits = value > 0 && kv_mul_i64(value, unit_ms, &value) && (absolute || kv_add_i64(value, kv_ctx_now_ms(c), &value));
    if (!fits) {
        kv_reply_errorf(c->reply, KV_ERR_INVALID_EXPIRE, c->command->full_name);
        return false;
    }
    *expire_ms = value;
    return true;
}

void kv_keys_expire_now(kv_ctx *c, const kv_key *key) {
    if (!kv_ctx_delete(c, key)) return;
    atomic_fetch_add_explicit(&c->engine->stats.expired_keys, 1, memory_order_relaxed);
    kv_ctx_changed(c, key, KV_EVENT_EXPIRED, "expired");
    kv_ctx_effect_del(c, key->name, KV_CFG_LAZYFREE_LAZY_EXPIRE);
}

bool kv_keys_put(kv_ctx *c, const kv_key *key, kv_value *old, kv_slice bytes, kv_expire_rule rule, int64_t expire_ms) {
    kv_keydb *db = kv_ctx_open(c, key);
    if (db == NULL) return false;
    if (old != NULL) kv_ctx_modify(c, key, old);
    if (!kv_ctx_ok(c, kv_keydb_set_string(db, key->hash, key->name, old, bytes, rule, expire_ms, NULL))) return false;
    if (old == NULL) kv_ctx_notify(c, key, KV_EVENT_NEW, "new");
    if (rule == KV_EXPIRE_AT) kv_engine_need_cron(c->engine);
    return true;
}

size_t kv_keys_string_max(const kv_ctx *c) {
    int64_t max = kv_setting(&c->engine->settings, KV_CFG_PROTO_MAX_BULK_LEN);
    return (uint64_t)max > KV_STR_MAX ? KV_STR_MAX : (size_t)max;
}
