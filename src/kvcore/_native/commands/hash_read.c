/* Hashes: reading fields, walking, scanning, random fields. */
#include "commands/hash_target.h"
#include "commands/picks.h"
#include "commands/scan_options.h"
#include "engine/errors.h"
#include "engine/longreply.h"

static bool find(kv_ctx *c, kv_value **v) {
    kv_key key = kv_ctx_key(c, 1);
    return kv_ctx_find_type(c, &key, KV_HASH, KV_FIND_READ, v);
}

/* The field as reads see it; `v` may be NULL. */
static bool get(kv_ctx *c, const kv_value *v, int arg, kv_hash_item *item) {
    return v != NULL && kv_hash_get(v, c->argv[arg], kv_hash_now(c), item);
}

void kv_cmd_hget(kv_ctx *c) {
    kv_value *v;
    kv_hash_item item;
    if (!find(c, &v)) return;
    if (get(c, v, 2, &item)) kv_reply_bulk(c->reply, item.value);
    else kv_reply_null(c->reply);
}

void kv_cmd_hmget(kv_ctx *c) {
    kv_value *v;
    kv_hash_item item;
    if (!find(c, &v)) return;
    kv_reply_array(c->reply, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        if (get(c, v, i, &item)) kv_reply_bulk(c->reply, item.value);
        else kv_reply_null(c->reply);
    }
}

void kv_cmd_hexists(kv_ctx *c) {
    kv_value *v;
    kv_hash_item item;
    if (find(c, &v)) kv_reply_int(c->reply, get(c, v, 2, &item));
}

void kv_cmd_hstrlen(kv_ctx *c) {
    kv_value *v;
    kv_hash_item item;
    if (find(c, &v)) kv_reply_int(c->reply, get(c, v, 2, &item) ? (int64_t)item.value.len : 0);
}

void kv_cmd_hlen(kv_ctx *c) {
    kv_value *v;
    if (find(c, &v)) kv_reply_int(c->reply, v == NULL ? 0 : (int64_t)kv_hash_length(v));
}

/* ---- all fields ---- */

static size_t visible_count(kv_ctx *c, const kv_value *v) {
    return v == NULL ? 0 : kv_hash_length(v) - kv_hash_expired_count(v, kv_hash_now(c));
}

typedef struct hash_walk {
    bool fields, values;
    int64_t now_ms; /* what had expired by then is left out, however long the reply takes */
    kv_hash_iter it;
} hash_walk;
_Static_assert(sizeof(hash_walk) <= KV_WALK_BYTES, "the state of a walk has its room");

static void hash_walk_begin(void *state, const kv_value *v) {
    hash_walk *walk = state;
    kv_hash_iter_init(&walk->it, v, walk->now_ms);
}

static size_t hash_walk_write(void *state, kv_reply *reply, size_t items) {
    hash_walk *walk = state;
    kv_hash_item item;
    size_t written = 0;
    for (; written < items && kv_hash_iter_next(&walk->it, &item); written++) {
        if (walk->fields) kv_reply_bulk(reply, item.field);
        if (walk->values) kv_reply_bulk(reply, item.value);
    }
    return written;
}

static void reply_all(kv_ctx *c, bool fields, bool values) {
    static const kv_walk how = {sizeof(hash_walk), hash_walk_begin, hash_walk_write, NULL};
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_HASH, KV_FIND_READ, &v)) return;
    size_t count = visible_count(c, v);
    if (fields && values) kv_reply_map(c->reply, count);
    else kv_reply_array(c->reply, count);
    if (count == 0) return;
    hash_walk walk = {.fields = fields, .values = values, .now_ms = kv_hash_now(c)};
    kv_ctx_ok(c, kv_ctx_reply_walk(c, &key, v, count, &how, &walk));
}

void kv_cmd_hgetall(kv_ctx *c) { reply_all(c, true, true); }
void kv_cmd_hkeys(kv_ctx *c) { reply_all(c, true, false); }
void kv_cmd_hvals(kv_ctx *c) { reply_all(c, false, true); }

static void scan_item(void *ctx, const kv_hash_item *item) {
    kv_scan_page *page = ctx;
    if (!kv_scan_wants(page->options, item->field)) return;
    kv_reply_bulk(&page->writer, item->field);
    if (!page->options->names_only) kv_reply_bulk(&page->writer, item->value);
    page->written += page->options->names_only ? 1 : 2;
}

void kv_cmd_hscan(kv_ctx *c) {
    uint64_t cursor;
    kv_value *v;
    kv_scan_options options = {.count = 10, .match_all = true};
    if (!kv_ctx_cursor(c, 2, &cursor) || !find(c, &v)) return;
    if (v != NULL && !kv_scan_options_read(c, KV_SCAN_HASH, &options)) return; /* a missing key is answered before options are looked at */
    kv_scan_page page;
    kv_scan_page_init(&page, c, &options);
    cursor = v == NULL ? 0 : kv_hash_scan(v, cursor, options.count, kv_hash_now(c), scan_item, &page);
    kv_scan_page_finish(&page, c, cursor);
}

/* ---- HRANDFIELD ---- */

static void reply_item(kv_ctx *c, const kv_hash_item *item, bool values) {
    if (values && kv_reply_is_resp3(c->reply)) kv_reply_array(c->reply, 2);
    kv_reply_bulk(c->reply, item->field);
    if (values) kv_reply_bulk(c->reply, item->value);
}

static void reply_count(kv_ctx *c, uint64_t count, bool values) {
    kv_reply_array(c->reply, (size_t)(values && !kv_reply_is_resp3(c->reply) ? 2 * count : count));
}

static void random_repeating(kv_ctx *c, const kv_value *v, uint64_t count, bool values) {
    kv_hash_item item;
    reply_count(c, count, values);
    for (uint64_t i = 0; i < count && !c->reply->out->failed; i++) {
        if (!kv_hash_random(v, kv_ctx_rng(c), kv_hash_now(c), &item)) break; /* cannot be: there are visible fields */
        reply_item(c, &item, values);
    }
}

/* Each visible field is taken with chance (still wanted) / (still to come): exactly `count` in the end, each subset equally likely. O(n). */
static void random_by_walking(kv_ctx *c, const kv_value *v, uint64_t count, uint64_t visible, bool values) {
    kv_hash_iter it;
    kv_hash_item item;
    kv_rng *rng = kv_ctx_rng(c);
    kv_hash_iter_init(&it, v, kv_hash_now(c));
    for (; count > 0 && kv_hash_iter_next(&it, &item); visible--) {
        if (kv_rng_below(rng, visible) >= count) continue;
        reply_item(c, &item, values);
        count--;
    }
}

/* For few out of many: draws until `count` different ones were seen. Fields of a table are told apart by their address. False: no memory for it. */
static bool random_by_drawing(kv_ctx *c, const kv_value *v, uint64_t count, bool values) {
    kv_pick_set seen;
    kv_hash_item item;
    if (!kv_pick_set_init(&seen, kv_ctx_mem(c), count)) return false;
    while (count > 0 && kv_hash_random(v, kv_ctx_rng(c), kv_hash_now(c), &item)) {
        if (!kv_pick_set_add(&seen, (uint64_t)(uintptr_t)item.field.ptr)) continue;
        reply_item(c, &item, values);
        count--;
    }
    kv_pick_set_deinit(&seen);
    return true;
}

static void random_distinct(kv_ctx *c, const kv_value *v, uint64_t count, bool values) {
    uint64_t visible = visible_count(c, v);
    if (count > visible) count = visible;
    reply_count(c, count, values);
    bool few = v->enc == KV_ENC_HASHTABLE && count < visible / 8 && visible > kv_hash_length(v) / 2;
    if (!few || !random_by_drawing(c, v, count, values)) random_by_walking(c, v, count, visible, values);
}

void kv_cmd_hrandfield(kv_ctx *c) {
    kv_value *v;
    kv_hash_item item;
    int64_t count = 1;
    bool values = c->argc == 4;
    if (c->argc >= 3) {
        if (!kv_ctx_range_i64(c, 2, -INT64_MAX, INT64_MAX, &count, NULL)) return;
        if (c->argc > 4 || (values && !kv_ctx_is(c, 3, "withvalues"))) {
            kv_ctx_syntax_error(c);
            return;
        }
        if (values && (count < -INT64_MAX / 2 || count > INT64_MAX / 2)) {
            kv_reply_error(c->reply, KV_ERR_OUT_OF_RANGE);
            return;
        }
    }
    if (!find(c, &v)) return;
    bool any = v != NULL && kv_hash_random(v, kv_ctx_rng(c), kv_hash_now(c), &item);
    if (c->argc == 2) {
        if (any) kv_reply_bulk(c->reply, item.field);
        else kv_reply_null(c->reply);
    } else if (!any || count == 0) {
        kv_reply_array(c->reply, 0);
    } else if (count < 0) {
        random_repeating(c, v, (uint64_t)-count, values);
    } else {
        random_distinct(c, v, (uint64_t)count, values);
    }
}
