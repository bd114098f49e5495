/* DUMP and RESTORE. */
#include "commands/keys_common.h"
#include "engine/codec.h"
#include "engine/engine.h"
#include "engine/effect.h"
#include "engine/errors.h"
#include "store/access.h"

void kv_cmd_dump(kv_ctx *c) {
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v = kv_ctx_find(c, &key, KV_FIND_READ);
    if (v == NULL) {
        kv_reply_null(c->reply);
        return;
    }
    kv_buf payload;
    kv_buf_init(&payload, kv_ctx_mem(c));
    c->engine->codec->dump(v, kv_setting(&c->engine->settings, KV_CFG_RDBCOMPRESSION) != 0, &payload);
    if (payload.failed) kv_ctx_out_of_memory(c);
    else kv_reply_bulk(c->reply, kv_buf_slice(&payload));
    kv_buf_deinit(&payload);
}

typedef struct options {
    bool replace, absolute;
    int64_t idle_s, frequency; /* -1: not given */
    int64_t expire_ms;         /* KV_NO_EXPIRE: none */
} options;

static bool parse_access(kv_ctx *c, int arg, options *o) {
    if (kv_ctx_is(c, arg, "idletime") && o->frequency < 0) {
        if (!kv_ctx_i64(c, arg + 1, &o->idle_s)) return false;
        if (o->idle_s >= 0) return true;
        kv_reply_error(c->reply, KV_ERR_RESTORE_IDLETIME);
        return false;
    }
    if (kv_ctx_is(c, arg, "freq") && o->idle_s < 0) {
        if (!kv_ctx_i64(c, arg + 1, &o->frequency)) return false;
        if (o->frequency >= 0 && o->frequency <= UINT8_MAX) return true;
        kv_reply_error(c->reply, KV_ERR_RESTORE_FREQ);
        return false;
    }
    kv_ctx_syntax_error(c);
    return false;
}

static bool parse(kv_ctx *c, options *o) {
    *o = (options){.idle_s = -1, .frequency = -1, .expire_ms = KV_NO_EXPIRE};
    for (int arg = 4; arg < c->argc; arg++) {
        if (kv_ctx_is(c, arg, "replace")) {
            o->replace = true;
        } else if (kv_ctx_is(c, arg, "absttl")) {
            o->absolute = true;
        } else if (arg + 1 < c->argc) {
            if (!parse_access(c, arg, o)) return false;
            arg++;
        } else {
            kv_ctx_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* 0 means that the key does not expire. */
static bool parse_ttl(kv_ctx *c, options *o) {
    int64_t ttl;
    if (!kv_ctx_i64(c, 2, &ttl)) return false;
    if (ttl < 0) {
        kv_reply_error(c->reply, KV_ERR_RESTORE_TTL);
        return false;
    }
    if (ttl == 0) return true;
    o->expire_ms = ttl;
    if (o->absolute || kv_add_i64(ttl, kv_ctx_now_ms(c), &o->expire_ms)) return true;
    kv_reply_errorf(c->reply, KV_ERR_INVALID_EXPIRE, c->command->full_name);
    return false;
}

/* The new value takes the place of `old` (NULL: nothing), or nothing has changed and the error has been replied. */
static kv_value *put(kv_ctx *c, const kv_key *key, kv_value *old, const kv_restored *restored, int64_t expire_ms) {
    kv_keydb *db = kv_ctx_open(c, key);
    if (db == NULL) return NULL;
    kv_value *v;
    kv_expire_rule rule = expire_ms < 0 ? KV_EXPIRE_CLEAR : KV_EXPIRE_AT;
    kv_status status = restored->is_text ? kv_keydb_set_string(db, key->hash, key->name, old, restored->text, rule, expire_ms, &v)
                                         : kv_keydb_replace_value(db, key->hash, key->name, old, restored->value, rule, expire_ms, &v);
    return kv_ctx_ok(c, status) ? v : NULL;
}

static void set_access(kv_ctx *c, kv_value *v, const options *o) {
    bool lfu = kv_policy_is_lfu((kv_evict_policy)kv_setting(&c->engine->settings, KV_CFG_MAXMEMORY_POLICY));
    if (lfu && o->frequency >= 0) kv_access_set(v, kv_access_from_frequency((unsigned)o->frequency, kv_ctx_now_ms(c)));
    if (!lfu && o->idle_s >= 0) kv_access_set(v, kv_access_from_idle(o->idle_s, kv_ctx_now_ms(c)));
}

/* A time that has passed already: as if the key had been restored and had then expired. */
static void restore_nothing(kv_ctx *c, const kv_key *key) {
    if (kv_ctx_delete(c, key)) {
        kv_ctx_changed(c, key, KV_EVENT_GENERIC, "del");
        kv_ctx_effect_del(c, key->name, KV_CFG_LAZYFREE_LAZY_SERVER_DEL);
    }
    kv_reply_ok(c->reply);
}

static void log_moment(kv_ctx *c, int64_t expire_ms) {
    char text[KV_NUM_MAX];
    kv_slice moment = kv_slice_of(text, kv_format_i64(text, expire_ms)), absolute = KV_LIT("ABSTTL");
    kv_ctx_effect_of(c, 4, (kv_effect_part[]){{c->argv, 2, 1}, {&moment, 1, 1}, {c->argv + 3, c->argc - 3, 1}, {&absolute, 1, 1}});
}

static void restore(kv_ctx *c, const kv_key *key, kv_value *old, const options *o, kv_restored *restored) {
    const kv_codec *codec = c->engine->codec;
    const char *problem = NULL;
    kv_status status = codec->restore(c->argv[3], kv_ctx_limits(c), kv_ctx_arena(key), kv_ctx_mem(c), restored, &problem);
    if (status == KV_ENOMEM) {
        kv_ctx_out_of_memory(c);
    } else if (status == KV_EINVAL) {
        kv_reply_errorf(c->reply, KV_ERR_RESTORE_UNSUPPORTED, problem);
    } else if (status != KV_OK) {
        kv_reply_error(c->reply, KV_ERR_RESTORE_FORMAT);
    } else if (o->expire_ms >= 0 && o->expire_ms <= kv_ctx_past_ms(c)) {
        codec->discard(restored, kv_ctx_arena(key));
        restore_nothing(c, key);
    } else {
        kv_value *v = put(c, key, old, restored, o->expire_ms);
        if (v == NULL) {
            codec->discard(restored, kv_ctx_arena(key));
            return;
        }
        set_access(c, v, o);
        kv_engine_need_cron(c->engine); /* keys or fields that expire */
        kv_ctx_notify(c, key, KV_EVENT_NEW, "new");
        kv_ctx_ready(c, key);
        kv_ctx_changed(c, key, KV_EVENT_GENERIC, "restore");
        if (o->expire_ms >= 0 && !o->absolute) log_moment(c, o->expire_ms);
        kv_reply_ok(c->reply);
    }
}

void kv_cmd_restore(kv_ctx *c) {
    options o;
    if (!parse(c, &o)) return;
    kv_key key = kv_ctx_key(c, 1);
    kv_value *old = kv_ctx_find(c, &key, KV_FIND_WRITE);
    if (old != NULL && !o.replace) {
        kv_reply_error(c->reply, KV_ERR_BUSY_KEY);
        return;
    }
    if (!parse_ttl(c, &o)) return;
    if (!c->engine->codec->sound(c->argv[3])) {
        kv_reply_error(c->reply, KV_ERR_RESTORE_CHECKSUM);
        return;
    }
    if (kv_ctx_open(c, &key) == NULL) return; /* makes the arena, if the shard has none yet */
    if (old != NULL) kv_ctx_modify(c, &key, old);
    kv_restored restored;
    restore(c, &key, old, &o, &restored);
    kv_buf_deinit(&restored.room);
}
