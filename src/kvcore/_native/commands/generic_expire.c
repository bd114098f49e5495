/* The life of keys: EXPIRE and its kin, TTL and its kin, PERSIST. */
#include "commands/keys_common.h"
#include "engine/effect.h"
#include "engine/errors.h"

typedef struct conditions {
    bool nx, xx, gt, lt;
} conditions;

static bool parse_conditions(kv_ctx *c, conditions *o) {
    *o = (conditions){0};
    for (int arg = 3; arg < c->argc; arg++) {
        if (kv_ctx_is(c, arg, "nx")) {
            o->nx = true;
        } else if (kv_ctx_is(c, arg, "xx")) {
            o->xx = true;
        } else if (kv_ctx_is(c, arg, "gt")) {
            o->gt = true;
        } else if (kv_ctx_is(c, arg, "lt")) {
            o->lt = true;
        } else {
            int len = c->argv[arg].len > 128 ? 128 : (int)c->argv[arg].len;
            char word[129];
            memcpy(word, c->argv[arg].ptr, (size_t)len);
            word[len] = '\0';
            kv_reply_errorf(c->reply, KV_ERR_UNSUPPORTED_OPTION, word);
            return false;
        }
    }
    if (o->nx && (o->xx || o->gt || o->lt)) {
        kv_reply_error(c->reply, KV_ERR_EXPIRE_NX);
        return false;
    }
    if (o->gt && o->lt) {
        kv_reply_error(c->reply, KV_ERR_EXPIRE_GT_LT);
        return false;
    }
    return true;
}

/* A key without an expiry counts as living for ever: GT never holds for it, LT always. */
static bool holds(const conditions *o, int64_t now_expires_ms, int64_t expire_ms) {
    bool expires = now_expires_ms >= 0;
    if ((o->nx && expires) || (o->xx && !expires)) return false;
    if (o->gt && (!expires || expire_ms <= now_expires_ms)) return false;
    return !(o->lt && expires && expire_ms >= now_expires_ms);
}

static void log_moment(kv_ctx *c, kv_slice key, int64_t expire_ms) {
    char text[KV_NUM_MAX];
    const kv_slice head[] = {KV_LIT("PEXPIREAT"), key, kv_slice_of(text, kv_format_i64(text, expire_ms))};
    kv_ctx_effect_of(c, 2, (kv_effect_part[]){{head, 3, 1}, {c->argv + 3, c->argc - 3, 1}});
}

/* The past is allowed here, unlike in SET: it deletes the key. */
static void expire(kv_ctx *c, int64_t unit_ms, bool absolute) {
    conditions o;
    int64_t expire_ms;
    if (!parse_conditions(c, &o) || !kv_ctx_i64(c, 2, &expire_ms)) return;
    if (!kv_mul_i64(expire_ms, unit_ms, &expire_ms) || (!absolute && !kv_add_i64(expire_ms, kv_ctx_now_ms(c), &expire_ms))) {
        kv_reply_errorf(c->reply, KV_ERR_INVALID_EXPIRE, c->command->full_name);
        return;
    }
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v = kv_ctx_find(c, &key, KV_FIND_WRITE);
    if (v == NULL || !holds(&o, kv_entry_expire_ms(v), expire_ms)) {
        kv_reply_int(c->reply, 0);
        return;
    }
    if (expire_ms <= kv_ctx_past_ms(c)) {
        kv_keys_expire_now(c, &key);
    } else {
        if (kv_ctx_set_expire(c, &key, v, expire_ms) == NULL) return;
        kv_ctx_changed(c, &key, KV_EVENT_GENERIC, "expire");
        if (unit_ms != 1 || !absolute) log_moment(c, key.name, expire_ms);
    }
    kv_reply_int(c->reply, 1);
}

void kv_cmd_expire(kv_ctx *c) { expire(c, 1000, false); }
void kv_cmd_pexpire(kv_ctx *c) { expire(c, 1, false); }
void kv_cmd_expireat(kv_ctx *c) { expire(c, 1000, true); }
void kv_cmd_pexpireat(kv_ctx *c) { expire(c, 1, true); }

void kv_cmd_persist(kv_ctx *c) {
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v = kv_ctx_find(c, &key, KV_FIND_WRITE);
    bool expires = v != NULL && kv_entry_expire_ms(v) >= 0;
    if (expires) {
        if (kv_ctx_set_expire(c, &key, v, KV_NO_EXPIRE) == NULL) return;
        kv_ctx_changed(c, &key, KV_EVENT_GENERIC, "persist");
    }
    kv_reply_int(c->reply, expires);
}

/* -2 without the key, -1 without an expiry; seconds are rounded to the nearest. */
static void tell(kv_ctx *c, bool in_ms, bool absolute) {
    kv_key key = kv_ctx_key(c, 1);
    const kv_value *v = kv_keys_look(c, &key);
    int64_t ms = v == NULL ? -2 : kv_entry_expire_ms(v);
    if (ms >= 0) {
        if (!absolute) ms -= kv_ctx_now_ms(c);
        if (ms < 0) ms = 0;
        if (!in_ms) ms = ms / 1000 + (ms % 1000 >= 500);
    }
    kv_reply_int(c->reply, ms);
}

void kv_cmd_ttl(kv_ctx *c) { tell(c, false, false); }
void kv_cmd_pttl(kv_ctx *c) { tell(c, true, false); }
void kv_cmd_expiretime(kv_ctx *c) { tell(c, false, true); }
void kv_cmd_pexpiretime(kv_ctx *c) { tell(c, true, true); }
