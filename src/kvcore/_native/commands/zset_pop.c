/* Sorted sets: taking members off either end, waiting for them or not. */
#include "commands/zset_common.h"
#include "engine/effect.h"
#include "engine/errors.h"

typedef enum item_shape { SHAPE_FLAT, SHAPE_NESTED } item_shape;

/* Replies the `count` lowest or highest members one after the other and removes them; the caller has written what goes around them.
 * False: out of memory, nothing has changed; the caller takes back what was written. */
static bool pop(kv_ctx *c, const kv_key *key, kv_value *v, bool max, size_t count, item_shape shape) {
    kv_zset_iter it;
    kv_zset_item item;
    size_t length = kv_zset_length(v);
    kv_zset_iter_at(&it, v, max ? length - 1 : 0, max);
    for (size_t i = 0; i < count && kv_zset_iter_next(&it, &item); i++) {
        if (shape == SHAPE_NESTED) kv_reply_array(c->reply, 2);
        kv_reply_bulk(c->reply, item.member);
        kv_reply_double(c->reply, item.score);
    }
    kv_ctx_modify(c, key, v);
    if (kv_zset_remove_ranks(v, kv_ctx_arena(key), max ? length - count : 0, count) != KV_OK) return false;
    c->unit->dirty += count - 1;
    kv_zset_shrunk(c, key, v, max ? "zpopmax" : "zpopmin");
    return true;
}

static size_t at_most(const kv_value *v, int64_t count) {
    size_t length = kv_zset_length(v);
    return (uint64_t)count < length ? (size_t)count : length;
}

/* ---- ZPOPMIN, ZPOPMAX ---- */

static void zpop(kv_ctx *c, bool max) {
    kv_value *v;
    int64_t count = 1;
    if (c->argc > 3) {
        kv_ctx_syntax_error(c);
        return;
    }
    if (c->argc == 3 && !kv_ctx_positive(c, 2, &count)) return;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_ZSET, KV_FIND_WRITE, &v)) return;
    if (v == NULL || count == 0) {
        kv_reply_array(c->reply, 0);
        return;
    }
    size_t take = at_most(v, count);
    kv_mark start = kv_reply_defer(c->reply);
    bool nested = c->argc == 3 && kv_reply_is_resp3(c->reply);
    kv_reply_array(c->reply, nested ? take : 2 * take);
    if (pop(c, &key, v, max, take, nested ? SHAPE_NESTED : SHAPE_FLAT)) return;
    kv_reply_rewind(c->reply, start);
    kv_ctx_out_of_memory(c);
}

void kv_cmd_zpopmin(kv_ctx *c) { zpop(c, false); }
void kv_cmd_zpopmax(kv_ctx *c) { zpop(c, true); }

/* ---- several keys ---- */

/* The first of the keys argv[first .. first + count) that holds members. False: an error was replied. *v NULL: none.
 * A client that waited is not told about keys of other types: it goes on waiting. */
static bool first_filled(kv_ctx *c, int first, int count, kv_key *key, kv_value **v) {
    for (int i = first; i < first + count; i++) {
        *key = kv_ctx_key(c, i);
        *v = kv_ctx_find(c, key, KV_FIND_WRITE);
        if (*v == NULL) continue;
        if ((*v)->type == KV_ZSET) return true;
        if (c->rerun) continue;
        kv_ctx_wrong_type(c);
        return false;
    }
    *v = NULL;
    return true;
}

/* [key, member, score], or [key, [[member, score] ...]] when `many`. */
static void reply_popped(kv_ctx *c, const kv_key *key, kv_value *v, bool max, size_t take, bool many) {
    kv_mark start = kv_reply_defer(c->reply);
    kv_reply_array(c->reply, many ? 2 : 3);
    kv_reply_bulk(c->reply, key->name);
    if (many) kv_reply_array(c->reply, take);
    if (pop(c, key, v, max, take, many ? SHAPE_NESTED : SHAPE_FLAT)) {
        char text[KV_NUM_MAX];
        const kv_slice words[] = {max ? KV_LIT("ZPOPMAX") : KV_LIT("ZPOPMIN"), key->name, kv_slice_of(text, kv_format_u64(text, take))};
        kv_ctx_effect(c, many ? 3 : 2, words);
        return;
    }
    kv_reply_rewind(c->reply, start);
    kv_ctx_out_of_memory(c);
}

#define INLINE_KEYS 32

static void wait_for(kv_ctx *c, int first, int count, int64_t timeout_ms) {
    int few[INLINE_KEYS], *args = few;
    if (count > INLINE_KEYS) args = kv_malloc(kv_ctx_mem(c), (size_t)count * sizeof *args);
    if (args == NULL) {
        kv_ctx_out_of_memory(c);
        return;
    }
    for (int i = 0; i < count; i++) args[i] = first + i;
    if (!kv_ctx_block(c, args, count, KV_ZSET, timeout_ms, true)) kv_reply_null_array(c->reply);
    if (args != few) kv_free(kv_ctx_mem(c), args);
}

static void bzpop(kv_ctx *c, bool max) {
    kv_key key;
    kv_value *v;
    int64_t timeout_ms;
    int keys = c->argc - 2;
    if (!kv_ctx_timeout(c, c->argc - 1, &timeout_ms) || !first_filled(c, 1, keys, &key, &v)) return;
    if (v != NULL) reply_popped(c, &key, v, max, 1, false);
    else wait_for(c, 1, keys, timeout_ms);
}

void kv_cmd_bzpopmin(kv_ctx *c) { bzpop(c, false); }
void kv_cmd_bzpopmax(kv_ctx *c) { bzpop(c, true); }

/* ---- ZMPOP, BZMPOP ---- */

typedef struct mpop_request {
    int first, keys;
    bool max;
    int64_t count;
} mpop_request;

static bool read_mpop(kv_ctx *c, int at, mpop_request *r) {
    int64_t keys;
    bool counted = false;
    if (!kv_ctx_range_i64(c, at, 1, INT64_MAX, &keys, KV_ERR_NUMKEYS_POSITIVE)) return false;
    *r = (mpop_request){.first = at + 1, .count = 1};
    bool fine = keys < c->argc - at - 1;
    if (fine) {
        r->keys = (int)keys;
        int where = at + 1 + r->keys;
        r->max = kv_ctx_is(c, where, "max");
        fine = r->max || kv_ctx_is(c, where, "min");
        for (int i = where + 1; fine && i < c->argc; i += 2) {
            fine = !counted && kv_ctx_is(c, i, "count") && i + 1 < c->argc;
            if (fine && !kv_ctx_range_i64(c, i + 1, 1, INT64_MAX, &r->count, KV_ERR_COUNT_POSITIVE)) return false;
            counted = true;
        }
    }
    if (!fine) kv_ctx_syntax_error(c);
    return fine;
}

void kv_cmd_zmpop(kv_ctx *c) {
    mpop_request r;
    kv_key key;
    kv_value *v;
    if (!read_mpop(c, 1, &r) || !first_filled(c, r.first, r.keys, &key, &v)) return;
    if (v != NULL) reply_popped(c, &key, v, r.max, at_most(v, r.count), true);
    else kv_reply_null_array(c->reply);
}

void kv_cmd_bzmpop(kv_ctx *c) {
    mpop_request r;
    kv_key key;
    kv_value *v;
    int64_t timeout_ms;
    if (!read_mpop(c, 2, &r) || !kv_ctx_timeout(c, 1, &timeout_ms) || !first_filled(c, r.first, r.keys, &key, &v)) return;
    if (v != NULL) reply_popped(c, &key, v, r.max, at_most(v, r.count), true);
    else wait_for(c, r.first, r.keys, timeout_ms);
}
