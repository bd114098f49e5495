/* Hashes: HGETEX, HSETEX and HGETDEL, which read or write fields together with their expiry. */
#include "commands/hash_fields.h"
#include "engine/errors.h"

/* ---- options ---- */

typedef enum ttl_kind { TTL_NONE, TTL_EX, TTL_PX, TTL_EXAT, TTL_PXAT, TTL_KEEP, TTL_PERSIST } ttl_kind;
enum { COND_NX = 1, COND_XX = 2, COND_FNX = 4, COND_FXX = 8 };

typedef struct options {
    ttl_kind ttl;
    int time_arg;
    unsigned conditions;
    kv_hash_fields fields;
} options;

typedef struct option_word {
    const char *word;
    ttl_kind ttl;
    unsigned condition, excludes;
} option_word;

static const option_word get_words[] = {{"ex", TTL_EX, 0, 0},     {"px", TTL_PX, 0, 0},           {"exat", TTL_EXAT, 0, 0},
                                        {"pxat", TTL_PXAT, 0, 0}, {"persist", TTL_PERSIST, 0, 0}, {NULL, TTL_NONE, 0, 0}};
static const option_word set_words[] = {{"ex", TTL_EX, 0, 0},
                                        {"px", TTL_PX, 0, 0},
                                        {"exat", TTL_EXAT, 0, 0},
                                        {"pxat", TTL_PXAT, 0, 0},
                                        {"keepttl", TTL_KEEP, 0, 0},
                                        {"nx", TTL_NONE, COND_NX, COND_XX},
                                        {"xx", TTL_NONE, COND_XX, COND_NX},
                                        {"fnx", TTL_NONE, COND_FNX, COND_FXX},
                                        {"fxx", TTL_NONE, COND_FXX, COND_FNX},
                                        {NULL, TTL_NONE, 0, 0}};

static bool takes_time(ttl_kind ttl) { return ttl >= TTL_EX && ttl <= TTL_PXAT; }

/* One option; *i is moved over its argument. False: not an option here, or not together with those before it. */
static bool read_option(kv_ctx *c, const option_word *words, int *i, int end, options *out) {
    const option_word *w = words;
    while (w->word != NULL && !kv_ctx_is(c, *i, w->word)) w++;
    if (w->word == NULL) return false;
    if (w->ttl == TTL_NONE) {
        out->conditions |= w->condition;
        return (out->conditions & w->excludes) == 0;
    }
    if (out->ttl != TTL_NONE && out->ttl != w->ttl) return false;
    out->ttl = w->ttl;
    if (!takes_time(w->ttl)) return true;
    out->time_arg = ++*i;
    return *i < end;
}

static bool read_options(kv_ctx *c, const option_word *words, int words_a_field, options *out) {
    *out = (options){0};
    int at = kv_hash_fields_find(c, 2);
    if (at == 0) return false;
    for (int i = 2; i < at; i++) {
        if (read_option(c, words, &i, at, out)) continue;
        kv_ctx_syntax_error(c);
        return false;
    }
    return kv_hash_fields_at(c, at, words_a_field, KV_ERR_NUMFIELDS, &out->fields);
}

/* The time of the options; *when stays as it is when they have none. */
static bool read_time(kv_ctx *c, const options *o, int64_t *when) {
    if (!takes_time(o->ttl)) return true;
    return kv_hash_expire_time(c, o->time_arg, o->ttl == TTL_EX || o->ttl == TTL_EXAT, o->ttl == TTL_EX || o->ttl == TTL_PX, when);
}

/* ---- HGETEX ---- */

typedef struct tally {
    size_t set, cleared, removed;
} tally;

/* Replies one field's value and applies the option to it. */
static kv_status get_one(kv_ctx *c, kv_hash_edit *e, kv_slice field, const options *o, int64_t when, tally *t) {
    kv_hash_item item;
    int64_t now = kv_hash_now(c);
    if (!kv_hash_get(e->now, field, now, &item)) {
        kv_reply_null(c->reply);
        return KV_OK;
    }
    kv_reply_bulk(c->reply, item.value);
    kv_status status = KV_OK;
    size_t *count = NULL;
    if (o->ttl == TTL_PERSIST && item.expiry_ms != KV_HASH_NO_EXPIRY) {
        status = kv_hash_edit_set_expiry(e, field, KV_HASH_NO_EXPIRY, now);
        count = &t->cleared;
    } else if (takes_time(o->ttl) && when <= now) {
        status = kv_hash_edit_delete(e, field, now);
        count = &t->removed;
    } else if (takes_time(o->ttl)) {
        status = kv_hash_edit_set_expiry(e, field, when, now);
        count = &t->set;
    }
    if (status == KV_OK && count != NULL) *count += 1;
    return status;
}

/* One option for all fields, so they were all set, or cleared, or removed. */
static void log_get(kv_ctx *c, const kv_key *key, const tally *t, int64_t when, const kv_picked *touched) {
    if (t->set > 0) kv_hash_log_fields(c, "HPEXPIREAT", key, &when, touched);
    else if (t->cleared > 0) kv_hash_log_fields(c, "HPERSIST", key, NULL, touched);
    else kv_hash_log_removed(c, key, touched);
}

static void get_fields(kv_ctx *c, const kv_key *key, kv_value *v, const options *o, int64_t when) {
    tally t = {0, 0, 0};
    kv_hash_edit e;
    if (o->ttl != TTL_NONE) kv_ctx_modify(c, key, v);
    kv_picked touched;
    if (!kv_picked_init(c, &touched, o->fields.count)) return;
    kv_status status = kv_hash_edit_begin(&e, v, kv_ctx_arena(key), o->ttl != TTL_NONE ? (size_t)o->fields.count : 0);
    if (!kv_ctx_ok(c, status)) {
        kv_picked_deinit(c, &touched);
        return;
    }
    kv_mark mark = kv_reply_defer(c->reply);
    for (int i = 0; i < o->fields.count && status == KV_OK; i++) {
        size_t before = t.set + t.cleared + t.removed;
        status = get_one(c, &e, c->argv[o->fields.first + i], o, when, &t);
        if (t.set + t.cleared + t.removed > before) kv_picked_add(c, &touched, c->argv[o->fields.first + i]);
    }
    kv_hash_edit_end(&e, status == KV_OK);
    if (status == KV_OK) log_get(c, key, &t, when, &touched);
    kv_picked_deinit(c, &touched);
    if (status != KV_OK) {
        kv_reply_rewind(c->reply, mark);
        kv_ctx_ok(c, status);
        return;
    }
    if (t.set > 0) kv_ctx_changed(c, key, KV_EVENT_HASH, "hexpire");
    if (t.cleared > 0) kv_ctx_changed(c, key, KV_EVENT_HASH, "hpersist");
    if (t.removed > 0) kv_ctx_changed(c, key, KV_EVENT_HASH, "hexpired");
    kv_hash_count_expired(c, t.removed);
    if (t.set + t.cleared + t.removed > 0) kv_hash_shrunk(c, key, v);
    kv_reply_defer_array(c->reply, mark, (size_t)o->fields.count);
}

static void reply_nulls(kv_ctx *c, int count) {
    kv_reply_array(c->reply, (size_t)count);
    for (int i = 0; i < count; i++) kv_reply_null(c->reply);
}

void kv_cmd_hgetex(kv_ctx *c) {
    options o;
    kv_value *v;
    int64_t when = 0;
    if (!read_options(c, get_words, 1, &o)) return;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_HASH, KV_FIND_READ, &v) || !read_time(c, &o, &when)) return;
    if (v == NULL) {
        reply_nulls(c, o.fields.count);
        return;
    }
    bool future = takes_time(o.ttl) && when > kv_hash_now(c);
    if (future && kv_hash_has_any(c, v, c->argv + o.fields.first, o.fields.count)) v = kv_ctx_field_expiry_reserve(c, &key, v);
    if (v != NULL) get_fields(c, &key, v, &o, when);
}

/* ---- HGETDEL ---- */

void kv_cmd_hgetdel(kv_ctx *c) {
    kv_hash_fields fields;
    kv_value *v;
    if (!kv_ctx_is(c, 2, "fields")) {
        kv_ctx_syntax_error(c);
        return;
    }
    if (!kv_hash_fields_at(c, 2, 1, KV_ERR_NUMFIELDS, &fields)) return;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_HASH, KV_FIND_WRITE, &v)) return;
    if (v == NULL) {
        reply_nulls(c, fields.count);
        return;
    }
    size_t removed = 0;
    kv_status status = KV_OK;
    kv_hash_edit e;
    kv_picked gone;
    if (!kv_picked_init(c, &gone, fields.count)) return;
    kv_ctx_modify(c, &key, v);
    if (!kv_ctx_ok(c, kv_hash_edit_begin(&e, v, kv_ctx_arena(&key), (size_t)fields.count))) {
        kv_picked_deinit(c, &gone);
        return;
    }
    kv_mark mark = kv_reply_defer(c->reply);
    for (int i = 0; i < fields.count && status == KV_OK; i++) {
        kv_hash_item item;
        kv_slice field = c->argv[fields.first + i];
        bool there = kv_hash_get(e.now, field, kv_hash_now(c), &item);
        if (there) kv_reply_bulk(c->reply, item.value);
        else kv_reply_null(c->reply);
        if (there) status = kv_hash_edit_delete(&e, field, kv_hash_now(c));
        if (!there || status != KV_OK) continue;
        removed++;
        kv_picked_add(c, &gone, field);
    }
    kv_hash_edit_end(&e, status == KV_OK);
    if (status == KV_OK) kv_hash_log_removed(c, &key, &gone);
    kv_picked_deinit(c, &gone);
    if (status != KV_OK) {
        kv_reply_rewind(c->reply, mark);
        kv_ctx_ok(c, status);
        return;
    }
    if (removed > 0) {
        kv_ctx_changed(c, &key, KV_EVENT_HASH, "hdel");
        kv_hash_shrunk(c, &key, v);
    }
    kv_reply_defer_array(c->reply, mark, (size_t)fields.count);
}

/* ---- HSETEX ---- */

/* NX and XX look at the key, before the time is read. */
static bool key_allowed(const kv_value *v, const options *o) {
    return !((o->conditions & COND_NX) != 0 && v != NULL) && !((o->conditions & COND_XX) != 0 && v == NULL);
}

/* FNX and FXX look at every field, after the time was read. */
static bool fields_allowed(kv_ctx *c, const kv_value *v, const options *o) {
    kv_hash_item item;
    if ((o->conditions & (COND_FNX | COND_FXX)) == 0) return true;
    bool wanted = (o->conditions & COND_FXX) != 0;
    for (int i = 0; i < o->fields.count; i++) {
        bool there = v != NULL && kv_hash_get(v, c->argv[o->fields.first + 2 * i], kv_hash_now(c), &item);
        if (there != wanted) return false;
    }
    return true;
}

/* False: out of memory, replied, nothing has changed. */
static bool remove_fields(kv_ctx *c, const kv_key *key, kv_value *v, const options *o) {
    kv_hash_edit e;
    kv_picked gone;
    if (!kv_picked_init(c, &gone, o->fields.count)) return false;
    kv_ctx_modify(c, key, v);
    kv_status status = kv_hash_edit_begin(&e, v, kv_ctx_arena(key), (size_t)o->fields.count);
    bool open = status == KV_OK;
    for (int i = 0; open && i < o->fields.count && status != KV_ENOMEM; i++) {
        kv_slice field = c->argv[o->fields.first + 2 * i];
        status = kv_hash_edit_delete(&e, field, KV_HASH_ALL);
        if (status == KV_OK) kv_picked_add(c, &gone, field);
    }
    if (open) kv_hash_edit_end(&e, status != KV_ENOMEM);
    if (status == KV_ENOMEM) kv_ctx_out_of_memory(c);
    else kv_hash_log_removed(c, key, &gone);
    kv_picked_deinit(c, &gone);
    return status != KV_ENOMEM;
}

/* A time that has passed: the fields come and go at once, and so may the key. The events tell the whole story. */
static void set_in_the_past(kv_ctx *c, const kv_key *key, kv_value *v, const options *o) {
    if (v == NULL) kv_ctx_notify(c, key, KV_EVENT_NEW, "new");
    else if (!remove_fields(c, key, v, o)) return;
    kv_ctx_no_effect(c); /* but for the fields that are gone */
    kv_hash_count_expired(c, (size_t)o->fields.count);
    kv_ctx_changed(c, key, KV_EVENT_HASH, "hset");
    kv_ctx_notify(c, key, KV_EVENT_HASH, "hexpire");
    kv_ctx_notify(c, key, KV_EVENT_HASH, "hexpired");
    if (v == NULL) kv_ctx_notify(c, key, KV_EVENT_GENERIC, "del");
    else kv_hash_shrunk(c, key, v);
    kv_reply_int(c->reply, 1);
}

/* Without its conditions, which held. */
static void log_set(kv_ctx *c, const kv_hash_target *t, const options *o, int64_t expiry) {
    const kv_slice *pairs = c->argv + o->fields.first;
    const kv_key *key = &t->key;
    kv_hash_item item;
    if (o->ttl != TTL_KEEP) {
        kv_hash_log_pairs(c, key, expiry, pairs, o->fields.count);
        return;
    }
    /* What had expired here has no time to keep. */
    for (int i = 0; t->expired && i < o->fields.count; i++)
        if (kv_hash_get(t->v, pairs[2 * i], kv_hash_now(c), &item)) kv_hash_log_pairs(c, key, item.expiry_ms, pairs + 2 * i, 1);
    if (t->expired) return;
    const kv_slice head[] = {KV_LIT("HSETEX"), key->name, KV_LIT("KEEPTTL")};
    kv_ctx_effect_of(c, 2, (kv_effect_part[]){{head, 3, 1}, {pairs - 2, 2 * o->fields.count + 2, 1}}); /* from the word FIELDS on */
}

static void set_fields(kv_ctx *c, const options *o, int64_t expiry) {
    kv_hash_target t;
    if (!kv_hash_target_open(c, &t)) return;
    if (!t.is_new) {
        kv_ctx_modify(c, &t.key, t.v);
        if (takes_time(o->ttl)) t.v = kv_ctx_field_expiry_reserve(c, &t.key, t.v);
        if (t.v == NULL) return;
    }
    if (!kv_hash_target_set(c, &t, c->argv + o->fields.first, (size_t)o->fields.count, expiry)) return;
    if (!kv_hash_target_land(c, &t, "hset")) return;
    if (takes_time(o->ttl)) kv_ctx_notify(c, &t.key, KV_EVENT_HASH, "hexpire");
    if (kv_logs(c)) log_set(c, &t, o, expiry);
    kv_reply_int(c->reply, 1);
}

void kv_cmd_hsetex(kv_ctx *c) {
    options o;
    kv_value *v;
    if (!read_options(c, set_words, 2, &o)) return;
    int64_t expiry = o.ttl == TTL_KEEP ? KV_HASH_KEEP_EXPIRY : KV_HASH_NO_EXPIRY;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_HASH, KV_FIND_WRITE, &v)) return;
    bool allowed = key_allowed(v, &o);
    if (allowed && !read_time(c, &o, &expiry)) return;
    if (!allowed || !fields_allowed(c, v, &o)) kv_reply_int(c->reply, 0);
    else if (takes_time(o.ttl) && expiry <= kv_hash_now(c)) set_in_the_past(c, &key, v, &o);
    else set_fields(c, &o, expiry);
}
