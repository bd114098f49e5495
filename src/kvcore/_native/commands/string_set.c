/* Commands that write whole strings: SET and its older forms, MSET, MSETNX, MSETEX. */
#include "commands/keys_common.h"
#include "commands/string_options.h"
#include "engine/effect.h"
#include "engine/engine.h"
#include "engine/errors.h"

static void reply_value(kv_ctx *c, const kv_value *v) {
    char scratch[KV_NUM_MAX];
    if (v == NULL) kv_reply_null(c->reply);
    else kv_reply_bulk(c->reply, kv_entry_string(v, scratch));
}

/* Relative times and what was asked of the old value do not belong in the log. */
static void log_set(kv_ctx *c, kv_slice key, kv_slice bytes, kv_expire_rule rule, int64_t expire_ms) {
    char text[KV_NUM_MAX];
    kv_slice words[5] = {KV_LIT("SET"), key, bytes, KV_LIT("PXAT")};
    if (rule == KV_EXPIRE_AT) words[4] = kv_slice_of(text, kv_format_i64(text, expire_ms));
    if (rule == KV_EXPIRE_KEEP) words[3] = KV_LIT("KEEPTTL");
    kv_ctx_effect(c, rule == KV_EXPIRE_AT ? 5 : rule == KV_EXPIRE_KEEP ? 4 : 3, words);
}

/* The key gets `bytes`, with the events of SET. An expiry that has passed already deletes the key instead. False: an error was replied. */
static bool set_key(kv_ctx *c, const kv_key *key, kv_value *old, kv_slice bytes, kv_expire_rule rule, int64_t expire_ms) {
    if (rule == KV_EXPIRE_AT && expire_ms <= kv_ctx_past_ms(c)) {
        kv_keys_expire_now(c, key);
        return true;
    }
    if (!kv_keys_put(c, key, old, bytes, rule, expire_ms)) return false;
    kv_ctx_changed(c, key, KV_EVENT_STRING, "set");
    if (rule != KV_EXPIRE_AT) return true;
    kv_ctx_notify(c, key, KV_EVENT_GENERIC, "expire");
    if (kv_logs(c)) log_set(c, key->name, bytes, rule, expire_ms);
    return true;
}

void kv_cmd_set(kv_ctx *c) {
    kv_string_options o;
    if (!kv_string_options_parse(c, 3, KV_STRING_NX_XX | KV_STRING_IFEQ | KV_STRING_GET | KV_STRING_KEEPTTL, &o)) return;
    kv_key key = kv_ctx_key(c, 1);
    kv_value *old = kv_ctx_find(c, &key, o.get ? KV_FIND_READ : KV_FIND_WRITE);
    if (old != NULL && (o.get || o.ifeq != NULL) && old->type != KV_STRING) {
        kv_ctx_wrong_type(c);
        return;
    }
    bool holds = !(o.nx && old != NULL) && !(o.xx && old == NULL);
    if (o.ifeq != NULL) {
        char scratch[KV_NUM_MAX];
        holds = old != NULL && kv_slice_eq(kv_entry_string(old, scratch), *o.ifeq);
    }
    kv_mark mark = kv_reply_defer(c->reply);
    if (o.get) reply_value(c, old); /* now: the old value does not outlive the change */
    if (!holds) {
        if (!o.get) kv_reply_null(c->reply);
        return;
    }
    uint32_t errors = c->reply->errors;
    if (set_key(c, &key, old, c->argv[2], o.rule, o.expire_ms)) {
        if (!o.get) kv_reply_ok(c->reply);
        if ((o.get || o.ifeq != NULL) && o.rule != KV_EXPIRE_AT && kv_logs(c)) log_set(c, key.name, c->argv[2], o.rule, 0);
    } else if (o.get && c->reply->errors > errors) {
        kv_reply_rewind(c->reply, mark);
        kv_ctx_out_of_memory(c);
    }
}

void kv_cmd_setnx(kv_ctx *c) {
    kv_key key = kv_ctx_key(c, 1);
    bool there = kv_ctx_find(c, &key, KV_FIND_WRITE) != NULL;
    if (there || set_key(c, &key, NULL, c->argv[2], KV_EXPIRE_CLEAR, 0)) kv_reply_int(c->reply, !there);
}

static void set_with_ttl(kv_ctx *c, int64_t unit_ms) {
    int64_t expire_ms;
    if (!kv_keys_moment(c, 2, unit_ms, false, &expire_ms)) return;
    kv_key key = kv_ctx_key(c, 1);
    kv_value *old = kv_ctx_find(c, &key, KV_FIND_WRITE);
    if (set_key(c, &key, old, c->argv[3], KV_EXPIRE_AT, expire_ms)) kv_reply_ok(c->reply);
}

void kv_cmd_setex(kv_ctx *c) { set_with_ttl(c, 1000); }
void kv_cmd_psetex(kv_ctx *c) { set_with_ttl(c, 1); }

void kv_cmd_getset(kv_ctx *c) {
    kv_key key = kv_ctx_key(c, 1);
    kv_value *old;
    if (!kv_ctx_find_type(c, &key, KV_STRING, KV_FIND_READ, &old)) return;
    kv_mark mark = kv_reply_defer(c->reply);
    reply_value(c, old);
    if (set_key(c, &key, old, c->argv[2], KV_EXPIRE_CLEAR, 0)) {
        if (kv_logs(c)) log_set(c, key.name, c->argv[2], KV_EXPIRE_CLEAR, 0);
        return;
    }
    kv_reply_rewind(c->reply, mark);
    kv_ctx_out_of_memory(c);
}

/* ---- several keys ---- */

static int count_existing(kv_ctx *c, int first, int end) {
    int count = 0;
    for (int arg = first; arg < end; arg += 2) {
        kv_key key = kv_ctx_key(c, arg);
        count += kv_ctx_find(c, &key, KV_FIND_WRITE) != NULL;
    }
    return count;
}

enum { INLINE_PAIRS = 16 };

/* Prepares one key after the other; returns how many could be. */
static size_t prepare_pairs(kv_ctx *c, int first, size_t pairs, kv_expire_rule rule, int64_t expire_ms, kv_put *puts) {
    bool past = rule == KV_EXPIRE_AT && expire_ms <= kv_ctx_past_ms(c);
    /* What expired before goes with its event; what this command makes expire at once has to be there until it is done. */
    if (past) (void)count_existing(c, first, first + 2 * (int)pairs);
    for (size_t i = 0; i < pairs; i++) {
        int arg = first + 2 * (int)i;
        kv_key key = kv_ctx_key(c, arg);
        kv_keydb *db = kv_ctx_open(c, &key);
        if (db == NULL) return i;
        kv_value *old = past ? kv_keydb_find(db, key.hash, key.name) : kv_ctx_find(c, &key, KV_FIND_WRITE);
        if (!kv_ctx_ok(c, kv_keydb_prepare_string(db, key.hash, key.name, old, c->argv[arg + 1], rule, expire_ms, i, &puts[i]))) return i;
    }
    return pairs;
}

static void commit_pairs(kv_ctx *c, int first, size_t pairs, kv_expire_rule rule, const kv_put *puts) {
    for (size_t i = 0; i < pairs; i++) {
        const kv_put *put = &puts[i];
        kv_key key = {.name = c->argv[first + 2 * (int)i], .hash = put->hash, .shard = put->db->shard, .db = (int)put->db->index};
        /* Only a key given twice, with a moment that has passed, can be there and be expired: the first one goes as if it had been looked up. */
        bool gone = put->old != NULL && rule == KV_EXPIRE_AT && kv_entry_expired(put->old, kv_ctx_past_ms(c));
        kv_keydb_commit(put);
        if (gone) kv_ctx_expired(c, &key);
        if (put->old == NULL || gone) kv_ctx_notify(c, &key, KV_EVENT_NEW, "new");
        kv_ctx_changed(c, &key, KV_EVENT_STRING, "set");
        if (rule == KV_EXPIRE_AT) kv_ctx_notify(c, &key, KV_EVENT_GENERIC, "expire");
    }
    if (rule == KV_EXPIRE_AT) kv_engine_need_cron(c->engine);
}

/* argv[first], value, argv[first + 2], value, ...; a key may be given twice, the last value stays. All keys are set, or none and an error was replied. */
static bool set_pairs(kv_ctx *c, int first, int end, kv_expire_rule rule, int64_t expire_ms) {
    size_t pairs = (size_t)(end - first) / 2;
    kv_put few[INLINE_PAIRS], *puts = few;
    if (pairs > INLINE_PAIRS) puts = kv_malloc(kv_ctx_mem(c), pairs * sizeof *puts);
    if (puts == NULL) {
        kv_ctx_out_of_memory(c);
        return false;
    }
    size_t prepared = prepare_pairs(c, first, pairs, rule, expire_ms, puts);
    bool all = prepared == pairs;
    if (all) commit_pairs(c, first, pairs, rule, puts);
    while (!all && prepared > 0) kv_keydb_withdraw(&puts[--prepared]);
    if (puts != few) kv_free(kv_ctx_mem(c), puts);
    return all;
}

void kv_cmd_mset(kv_ctx *c) {
    if (c->argc % 2 == 0) {
        kv_ctx_arity_error(c);
        return;
    }
    if (set_pairs(c, 1, c->argc, KV_EXPIRE_CLEAR, 0)) kv_reply_ok(c->reply);
}

void kv_cmd_msetnx(kv_ctx *c) {
    if (c->argc % 2 == 0) {
        kv_ctx_arity_error(c);
        return;
    }
    bool fresh = count_existing(c, 1, c->argc) == 0;
    if (!fresh || set_pairs(c, 1, c->argc, KV_EXPIRE_CLEAR, 0)) kv_reply_int(c->reply, fresh);
}

/* In words that every server knows whose log this may become. */
static void log_pairs(kv_ctx *c, int first, int end, const kv_string_options *o) {
    if (o->rule == KV_EXPIRE_CLEAR) {
        kv_ctx_effect_of(c, 2, (kv_effect_part[]){{&(kv_slice){(const uint8_t *)"MSET", 4}, 1, 1}, {c->argv + first, end - first, 1}});
        return;
    }
    for (int arg = first; arg < end; arg += 2) log_set(c, c->argv[arg], c->argv[arg + 1], o->rule, o->expire_ms);
}

void kv_cmd_msetex(kv_ctx *c) {
    int64_t count;
    if (!kv_ctx_range_i64(c, 1, 1, INT32_MAX, &count, KV_ERR_INVALID_NUMKEYS)) return;
    if (count > (c->argc - 2) / 2) {
        kv_ctx_syntax_error(c);
        return;
    }
    int end = 2 + 2 * (int)count;
    kv_string_options o;
    if (!kv_string_options_parse(c, end, KV_STRING_NX_XX | KV_STRING_KEEPTTL, &o)) return;
    int existing = o.nx || o.xx ? count_existing(c, 2, end) : 0;
    bool holds = !(o.nx && existing > 0) && !(o.xx && existing < count);
    if (holds && !set_pairs(c, 2, end, o.rule, o.expire_ms)) return;
    kv_reply_int(c->reply, holds);
    if (holds && kv_logs(c)) log_pairs(c, 2, end, &o);
}
