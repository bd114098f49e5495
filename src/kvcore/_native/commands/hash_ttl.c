/* Hashes: expiry of single fields. HEXPIRE and its kin, HTTL and its kin, HPERSIST.
 *
 * Checks come in Valkey's order: where FIELDS is, the options in front of it, the number of fields, the time, and only then the key. */
#include "commands/hash_fields.h"
#include "engine/errors.h"

/* ---- arguments ---- */

bool kv_hash_fields_at(kv_ctx *c, int at, int words_a_field, const char *mismatch, kv_hash_fields *out) {
    int64_t count;
    if (!kv_ctx_i64(c, at + 1, &count)) return false;
    out->first = at + 2;
    out->count = c->argc - out->first;
    if (count >= 1 && count <= INT32_MAX && count * words_a_field == out->count) {
        out->count = (int)count;
        return true;
    }
    kv_reply_error(c->reply, mismatch);
    return false;
}

int kv_hash_fields_find(kv_ctx *c, int from) {
    for (int i = from; i + 1 < c->argc; i++)
        if (kv_ctx_is(c, i, "fields")) return i;
    kv_reply_error(c->reply, KV_ERR_NUMFIELDS);
    return 0;
}

static bool invalid_expire(kv_ctx *c) {
    kv_reply_errorf(c->reply, KV_ERR_INVALID_EXPIRE, c->command->full_name);
    return false;
}

bool kv_hash_expire_time(kv_ctx *c, int arg, bool seconds, bool relative, int64_t *out) {
    int64_t when;
    if (!kv_ctx_i64(c, arg, &when)) return false;
    if (when < 0) return invalid_expire(c);
    if (seconds && !kv_mul_i64(when, 1000, &when)) return invalid_expire(c);
    if (relative && !kv_add_i64(when, kv_hash_now(c), &when)) return invalid_expire(c);
    *out = when < KV_HASH_KEEP_EXPIRY ? when : KV_HASH_KEEP_EXPIRY - 1; /* the last two instants stand for something else */
    return true;
}

/* ---- HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT ---- */

enum { COND_NX = 1, COND_XX = 2, COND_GT = 4, COND_LT = 8 };

static bool read_conditions(kv_ctx *c, int from, int to, unsigned *out) {
    static const struct {
        const char *word;
        unsigned bit;
    } words[] = {{"nx", COND_NX}, {"xx", COND_XX}, {"gt", COND_GT}, {"lt", COND_LT}};
    *out = 0;
    for (int i = from; i < to; i++) {
        unsigned bit = 0;
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)
            if (kv_ctx_is(c, i, words[w].word)) bit = words[w].bit;
        if (bit == 0) {
            kv_reply_errorf(c->reply, "ERR Unsupported option %.*s", (int)(c->argv[i].len < 256 ? c->argv[i].len : 256),
                            (const char *)c->argv[i].ptr);
            return false;
        }
        *out |= bit;
    }
    if ((*out & COND_NX) != 0 && (*out & (COND_XX | COND_GT | COND_LT)) != 0) {
        kv_reply_error(c->reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*out & COND_GT) != 0 && (*out & COND_LT) != 0) {
        kv_reply_error(c->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* A field that does not expire counts as expiring after every other. */
static bool condition_holds(unsigned conditions, int64_t old, int64_t when) {
    if ((conditions & COND_NX) != 0 && old != KV_HASH_NO_EXPIRY) return false;
    if ((conditions & COND_XX) != 0 && old == KV_HASH_NO_EXPIRY) return false;
    if ((conditions & COND_GT) != 0 && when <= old) return false;
    return (conditions & COND_LT) == 0 || when < old;
}

static void reply_missing(kv_ctx *c, int count, int64_t code) {
    kv_reply_array(c->reply, (size_t)count);
    for (int i = 0; i < count; i++) kv_reply_int(c->reply, code);
}

/* One field of HEXPIRE: -2 not there, 0 a condition did not hold, 1 set, 2 removed because the time has passed. */
static kv_status expire_one(kv_ctx *c, kv_hash_edit *e, kv_slice field, unsigned conditions, int64_t when, int64_t *code) {
    kv_hash_item item;
    int64_t now = kv_hash_now(c);
    *code = -2;
    if (!kv_hash_get(e->now, field, now, &item)) return KV_OK;
    *code = 0;
    if (!condition_holds(conditions, item.expiry_ms, when)) return KV_OK;
    if (when <= now) {
        *code = 2;
        return kv_hash_edit_delete(e, field, now);
    }
    *code = 1;
    return kv_hash_edit_set_expiry(e, field, when, now);
}

/* Events and the index, after `set` fields got a time and `removed` were past it. */
static void announce(kv_ctx *c, const kv_key *key, kv_value *v, size_t set, size_t removed, const char *set_event) {
    if (set > 0) kv_ctx_changed(c, key, KV_EVENT_HASH, set_event);
    if (removed > 0) kv_ctx_changed(c, key, KV_EVENT_HASH, "hexpired");
    kv_hash_count_expired(c, removed);
    if (set + removed > 0) kv_hash_shrunk(c, key, v);
}

static void expire_fields(kv_ctx *c, const kv_key *key, kv_value *v, const kv_hash_fields *fields, unsigned conditions, int64_t when) {
    size_t counts[3] = {0, 0, 0};
    kv_status status = KV_OK;
    kv_hash_edit e;
    kv_ctx_modify(c, key, v);
    kv_picked touched;
    if (!kv_picked_init(c, &touched, fields->count)) return;
    if (!kv_ctx_ok(c, kv_hash_edit_begin(&e, v, kv_ctx_arena(key), (size_t)fields->count))) {
        kv_picked_deinit(c, &touched);
        return;
    }
    kv_mark mark = kv_reply_defer(c->reply);
    for (int i = 0; i < fields->count && status == KV_OK; i++) {
        int64_t code;
        status = expire_one(c, &e, c->argv[fields->first + i], conditions, when, &code);
        if (status != KV_OK) break;
        if (code >= 0) counts[code]++;
        if (code > 0) kv_picked_add(c, &touched, c->argv[fields->first + i]);
        kv_reply_int(c->reply, code);
    }
    kv_hash_edit_end(&e, status == KV_OK);
    if (status == KV_OK) {
        announce(c, key, v, counts[1], counts[2], "hexpire");
        kv_reply_defer_array(c->reply, mark, (size_t)fields->count);
        if (counts[1] > 0) kv_hash_log_fields(c, "HPEXPIREAT", key, &when, &touched);
        else kv_hash_log_removed(c, key, &touched);
    } else {
        kv_reply_rewind(c->reply, mark);
        kv_ctx_ok(c, status);
    }
    kv_picked_deinit(c, &touched);
}

static void hexpire(kv_ctx *c, bool seconds, bool relative) {
    kv_hash_fields fields;
    unsigned conditions;
    int64_t when;
    int at = kv_hash_fields_find(c, 3);
    if (at == 0 || !read_conditions(c, 3, at, &conditions) || !kv_hash_fields_at(c, at, 1, KV_ERR_NUMFIELDS, &fields) ||
        !kv_hash_expire_time(c, 2, seconds, relative, &when))
        return;
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_HASH, KV_FIND_WRITE, &v)) return;
    if (v == NULL) {
        reply_missing(c, fields.count, -2);
        return;
    }
    bool room = when > kv_hash_now(c) && kv_hash_has_any(c, v, c->argv + fields.first, fields.count);
    if (room) v = kv_ctx_field_expiry_reserve(c, &key, v);
    if (v != NULL) expire_fields(c, &key, v, &fields, conditions, when);
}

void kv_cmd_hexpire(kv_ctx *c) { hexpire(c, true, true); }
void kv_cmd_hpexpire(kv_ctx *c) { hexpire(c, false, true); }
void kv_cmd_hexpireat(kv_ctx *c) { hexpire(c, true, false); }
void kv_cmd_hpexpireat(kv_ctx *c) { hexpire(c, false, false); }

/* ---- HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME ---- */

/* [cmd key FIELDS n field...] without options. */
static bool plain_fields(kv_ctx *c, const char *mismatch, kv_hash_fields *fields) {
    if (kv_ctx_is(c, 2, "fields")) return kv_hash_fields_at(c, 2, 1, mismatch, fields);
    kv_ctx_syntax_error(c);
    return false;
}

static int64_t shown_time(int64_t expiry_ms, int64_t now, bool seconds, bool relative) {
    if (expiry_ms == KV_HASH_NO_EXPIRY) return -1;
    int64_t time = relative ? expiry_ms - now : expiry_ms;
    if (relative && time < 0) time = 0;
    return seconds ? time / 1000 + (time % 1000 >= 500) : time; /* rounded, and safe at the far end of time */
}

static void httl(kv_ctx *c, bool seconds, bool relative) {
    kv_hash_fields fields;
    kv_value *v;
    if (!plain_fields(c, KV_ERR_SYNTAX, &fields)) return;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_HASH, KV_FIND_READ, &v)) return;
    int64_t now = kv_hash_now(c);
    kv_reply_array(c->reply, (size_t)fields.count);
    for (int i = 0; i < fields.count; i++) {
        kv_hash_item item;
        bool there = v != NULL && kv_hash_get(v, c->argv[fields.first + i], now, &item);
        kv_reply_int(c->reply, there ? shown_time(item.expiry_ms, now, seconds, relative) : -2);
    }
}

void kv_cmd_httl(kv_ctx *c) { httl(c, true, true); }
void kv_cmd_hpttl(kv_ctx *c) { httl(c, false, true); }
void kv_cmd_hexpiretime(kv_ctx *c) { httl(c, true, false); }
void kv_cmd_hpexpiretime(kv_ctx *c) { httl(c, false, false); }

/* ---- HPERSIST ---- */

/* Clearing an expiry takes a smaller block, which may not be there. `e` NULL: there is no hash. */
static int64_t persist_one(kv_ctx *c, kv_hash_edit *e, kv_slice field, kv_status *status) {
    kv_hash_item item;
    int64_t now = kv_hash_now(c);
    if (e == NULL || !kv_hash_get(e->now, field, now, &item)) return -2;
    if (item.expiry_ms == KV_HASH_NO_EXPIRY) return -1;
    *status = kv_hash_edit_set_expiry(e, field, KV_HASH_NO_EXPIRY, now);
    return 1;
}

void kv_cmd_hpersist(kv_ctx *c) {
    kv_hash_fields fields;
    kv_value *v;
    if (!plain_fields(c, KV_ERR_NUMFIELDS, &fields)) return;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_HASH, KV_FIND_WRITE, &v)) return;
    bool volatile_hash = v != NULL && kv_hash_volatile_count(v) > 0; /* others have nothing to clear */
    kv_hash_edit e;
    kv_picked touched;
    if (!kv_picked_init(c, &touched, fields.count)) return;
    if (v != NULL && !kv_ctx_ok(c, kv_hash_edit_begin(&e, v, kv_ctx_arena(&key), volatile_hash ? (size_t)fields.count : 0))) {
        kv_picked_deinit(c, &touched);
        return;
    }
    if (volatile_hash) kv_ctx_modify(c, &key, v);
    kv_mark mark = kv_reply_defer(c->reply);
    size_t cleared = 0;
    kv_status status = KV_OK;
    for (int i = 0; i < fields.count && status == KV_OK; i++) {
        int64_t code = persist_one(c, v == NULL ? NULL : &e, c->argv[fields.first + i], &status);
        if (status == KV_OK && code == 1) {
            cleared++;
            kv_picked_add(c, &touched, c->argv[fields.first + i]);
        }
        kv_reply_int(c->reply, code);
    }
    if (v != NULL) kv_hash_edit_end(&e, status == KV_OK);
    if (status == KV_OK) {
        announce(c, &key, v, cleared, 0, "hpersist");
        kv_reply_defer_array(c->reply, mark, (size_t)fields.count);
        kv_hash_log_fields(c, "HPERSIST", &key, NULL, &touched);
    } else {
        kv_reply_rewind(c->reply, mark);
        kv_ctx_ok(c, status);
    }
    kv_picked_deinit(c, &touched);
}
