/* SINTER SINTERSTORE SINTERCARD SUNION SUNIONSTORE SDIFF SDIFFSTORE. */
#include "engine/ctx.h"
#include "engine/errors.h"
#include "types/set.h"

/* The sets that a command names; a missing key is NULL. */
typedef struct sources {
    const kv_value **sets;
    size_t count;
    bool absent;     /* at least one is NULL */
    kv_arena *arena; /* of a shard that holds one of them, for results that are only replied; NULL: all are absent */
    const kv_value *few[16];
} sources;

/* Looks every key up, so that a wrong type is told even where a missing key has decided the result. False: replied. Release with
 * `forget`. */
static bool gather(kv_ctx *c, sources *s, int first, int count) {
    *s = (sources){.count = (size_t)count};
    s->sets = s->few;
    if (s->count > sizeof s->few / sizeof s->few[0]) s->sets = kv_malloc(kv_ctx_mem(c), s->count * sizeof *s->sets);
    if (s->sets == NULL) {
        kv_ctx_out_of_memory(c);
        return false;
    }
    for (int i = 0; i < count; i++) {
        kv_value *v;
        kv_key key = kv_ctx_key(c, first + i);
        if (!kv_ctx_find_type(c, &key, KV_SET, KV_FIND_READ, &v)) {
            if (s->sets != s->few) kv_free(kv_ctx_mem(c), s->sets);
            return false;
        }
        s->sets[i] = v;
        if (v == NULL) s->absent = true;
        else s->arena = kv_ctx_arena(&key);
    }
    return true;
}

static void forget(kv_ctx *c, sources *s) {
    if (s->sets != s->few) kv_free(kv_ctx_mem(c), s->sets);
}

typedef enum algebra { INTER, UNION, DIFF } algebra;

static kv_status compute(kv_ctx *c, algebra what, sources *s, kv_value *out, kv_arena *arena) {
    if (what == UNION) return kv_set_union(out, arena, kv_ctx_limits(c), s->sets, s->count);
    if (what == DIFF) return kv_set_diff(out, arena, kv_ctx_limits(c), s->sets, s->count);
    return kv_set_intersection(out, arena, kv_ctx_limits(c), s->sets, s->count);
}

/* ---- results that are stored ---- */

/* The destination becomes `fresh`, or goes when that is empty. On false `fresh` still is the caller's. */
static bool put(kv_ctx *c, const kv_key *key, kv_keydb *db, const kv_value *fresh, const char *event) {
    kv_value *old = kv_ctx_find(c, key, KV_FIND_WRITE), *v;
    if (old == NULL) {
        if (kv_ctx_add(c, key, fresh) == NULL) return false;
    } else {
        if (!kv_ctx_ok(c, kv_keydb_replace_value(db, key->hash, key->name, old, *fresh, KV_EXPIRE_CLEAR, KV_NO_EXPIRE, &v))) return false;
        kv_ctx_ready(c, key);
    }
    kv_ctx_changed(c, key, KV_EVENT_SET, event);
    return true;
}

static void store(kv_ctx *c, algebra what, const char *event) {
    sources s;
    if (!gather(c, &s, 2, c->argc - 2)) return;
    kv_key key = kv_ctx_key(c, 1);
    kv_keydb *db = kv_ctx_open(c, &key);
    kv_arena *arena = kv_ctx_arena(&key);
    kv_value fresh = {0};
    if (db != NULL && kv_ctx_ok(c, kv_set_create_empty(&fresh, arena))) {
        bool ok = kv_ctx_ok(c, compute(c, what, &s, &fresh, arena)), stored = false;
        int64_t length = (int64_t)kv_set_length(&fresh);
        if (ok && length > 0) stored = ok = put(c, &key, db, &fresh, event);
        else if (ok && kv_ctx_find(c, &key, KV_FIND_WRITE) != NULL && kv_ctx_delete(c, &key))
            kv_ctx_changed(c, &key, KV_EVENT_GENERIC, "del");
        if (!stored) kv_set_free(&fresh, arena);
        if (ok) kv_reply_int(c->reply, length);
    }
    forget(c, &s);
}

void kv_cmd_sinterstore(kv_ctx *c) { store(c, INTER, "sinterstore"); }
void kv_cmd_sunionstore(kv_ctx *c) { store(c, UNION, "sunionstore"); }
void kv_cmd_sdiffstore(kv_ctx *c) { store(c, DIFF, "sdiffstore"); }

/* ---- results that are replied ---- */

static void reply_members(kv_ctx *c, const kv_value *v) {
    kv_set_iter it;
    kv_slice member;
    kv_reply_set(c->reply, kv_set_length(v));
    for (kv_set_iter_init(&it, v); kv_set_next(&it, &member);) kv_reply_bulk(c->reply, member);
}

static void reply_result(kv_ctx *c, algebra what) {
    sources s;
    if (!gather(c, &s, 1, c->argc - 1)) return;
    kv_value result = {0};
    if (s.arena == NULL || (what == DIFF && s.sets[0] == NULL)) {
        kv_reply_set(c->reply, 0);
    } else if (s.count == 1) {
        reply_members(c, s.sets[0]);
    } else if (kv_ctx_ok(c, kv_set_create_empty(&result, s.arena))) {
        if (kv_ctx_ok(c, compute(c, what, &s, &result, s.arena))) reply_members(c, &result);
        kv_set_free(&result, s.arena);
    }
    forget(c, &s);
}

void kv_cmd_sunion(kv_ctx *c) { reply_result(c, UNION); }
void kv_cmd_sdiff(kv_ctx *c) { reply_result(c, DIFF); }

static bool reply_member(void *ctx, kv_slice member) {
    kv_ctx *c = ctx;
    kv_reply_bulk(c->reply, member);
    return true;
}

/* An intersection visits each member once: no set has to be built for the reply. */
void kv_cmd_sinter(kv_ctx *c) {
    sources s;
    if (!gather(c, &s, 1, c->argc - 1)) return;
    kv_mark mark = kv_reply_defer(c->reply);
    size_t count = s.absent ? 0 : kv_set_intersect(s.sets, s.count, 0, reply_member, c);
    kv_reply_defer_set(c->reply, mark, count);
    forget(c, &s);
}

/* SINTERCARD numkeys key [key ...] [LIMIT limit] */
void kv_cmd_sintercard(kv_ctx *c) {
    int64_t keys, limit = 0;
    if (!kv_ctx_range_i64(c, 1, 1, INT64_MAX, &keys, KV_ERR_NUMKEYS_POSITIVE)) return;
    if (keys > c->argc - 2) {
        kv_reply_error(c->reply, KV_ERR_NUMKEYS_TOO_MANY);
        return;
    }
    for (int i = 2 + (int)keys; i < c->argc; i += 2) {
        if (i + 1 >= c->argc || !kv_ctx_is(c, i, "limit")) {
            kv_ctx_syntax_error(c);
            return;
        }
        if (!kv_ctx_range_i64(c, i + 1, 0, INT64_MAX, &limit, KV_ERR_LIMIT_NEGATIVE)) return;
    }
    sources s;
    if (!gather(c, &s, 2, (int)keys)) return;
    kv_reply_int(c->reply, s.absent ? 0 : (int64_t)kv_set_intersect(s.sets, s.count, (size_t)limit, NULL, NULL));
    forget(c, &s);
}
