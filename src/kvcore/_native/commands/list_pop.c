/* LPOP RPOP LMPOP BLPOP BRPOP BLMPOP LTRIM LREM: commands that take items out of lists.
 *
 * Items are replied straight from the list's memory before they are removed. When everything goes, nothing is removed: the key is
 * deleted, and a long list is then freed later and piece by piece. */
#include "commands/list_common.h"
#include "engine/effect.h"
#include "engine/errors.h"

bool kv_list_cmd_end(kv_ctx *c, int arg, kv_list_end *out) {
    bool left = kv_ctx_is(c, arg, "left");
    if (!left && !kv_ctx_is(c, arg, "right")) {
        kv_ctx_syntax_error(c);
        return false;
    }
    *out = left ? KV_LIST_HEAD : KV_LIST_TAIL;
    return true;
}

bool kv_list_cmd_ok(kv_ctx *c, kv_mark mark, kv_status status) {
    if (status == KV_OK) return true;
    kv_reply_rewind(c->reply, mark);
    return kv_ctx_ok(c, status);
}

/* False: replied instead of what began at `mark`. */
static bool reply_items(kv_ctx *c, const kv_value *v, kv_list_end end, size_t count, kv_mark mark) {
    kv_list_iter it;
    kv_slice item;
    kv_list_iter_init(&it, v, end == KV_LIST_HEAD ? 0 : -1, end == KV_LIST_TAIL);
    for (size_t i = 0; i < count && kv_list_next(&it, &item); i++) kv_reply_bulk(c->reply, item);
    return kv_list_cmd_ok(c, mark, kv_list_iter_end(&it));
}

/* The change, after the reply; `mark` is where the reply began. False: an error was replied. */
static bool take(kv_ctx *c, const kv_key *key, kv_value *v, kv_list_end end, size_t count, kv_mark mark) {
    bool all = count >= kv_list_length(v);
    if (!all) {
        kv_ctx_modify(c, key, v);
        if (!kv_list_cmd_ok(c, mark, kv_list_drop(v, kv_ctx_arena(key), kv_ctx_limits(c), end, count))) return false;
    }
    kv_ctx_changed(c, key, KV_EVENT_LIST, end == KV_LIST_HEAD ? "lpop" : "rpop");
    if (all) kv_ctx_delete_empty(c, key);
    return true;
}

/* What redoes a pop from the first of several keys. `want` < 0: of one item. */
static void log_pop(kv_ctx *c, const kv_key *key, kv_list_end end, int64_t want, size_t count) {
    char text[KV_NUM_MAX];
    kv_slice words[] = {end == KV_LIST_HEAD ? KV_LIT("LPOP") : KV_LIT("RPOP"), key->name, kv_slice_of(text, kv_format_u64(text, count))};
    kv_ctx_effect(c, want < 0 ? 2 : 3, words);
}

/* LPOP key [count] */
static void pop(kv_ctx *c, kv_list_end end) {
    int64_t count = 1;
    bool counted = c->argc == 3;
    if (c->argc > 3) {
        kv_ctx_arity_error(c);
        return;
    }
    if (counted && !kv_ctx_positive(c, 2, &count)) return;
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_LIST, KV_FIND_WRITE, &v)) return;
    if (v == NULL && counted) kv_reply_null_array(c->reply);
    else if (v == NULL) kv_reply_null(c->reply);
    else if (count == 0) kv_reply_array(c->reply, 0);
    else {
        size_t length = kv_list_length(v), n = (uint64_t)count > length ? length : (size_t)count;
        kv_mark mark = kv_reply_defer(c->reply);
        if (counted) kv_reply_array(c->reply, n);
        if (reply_items(c, v, end, n, mark)) (void)take(c, &key, v, end, n, mark);
    }
}

void kv_cmd_lpop(kv_ctx *c) { pop(c, KV_LIST_HEAD); }
void kv_cmd_rpop(kv_ctx *c) { pop(c, KV_LIST_TAIL); }

/* Waits for any of the keys; false when this session may not wait. */
static bool block(kv_ctx *c, int first, int keys, int64_t timeout_ms) {
    int few[16] = {0}, *args = few;
    if (keys > 16) args = kv_malloc(kv_ctx_mem(c), (size_t)keys * sizeof *args);
    if (args == NULL) {
        kv_ctx_out_of_memory(c);
        return true;
    }
    for (int i = 0; i < keys; i++) args[i] = first + i;
    bool blocked = kv_ctx_block(c, args, keys, KV_LIST, timeout_ms, true);
    if (args != few) kv_free(kv_ctx_mem(c), args);
    return blocked;
}

/* The keys first, first + 1, ... in turn: pops from the first that holds a list. want < 0: replies (key, item), else (key, up to `want`
 * items). timeout_ms < 0: a null array when there is none; else waits. */
static void pop_first(kv_ctx *c, int first, int keys, kv_list_end end, int64_t want, int64_t timeout_ms) {
    for (int i = 0; i < keys; i++) {
        kv_value *v;
        kv_key key = kv_ctx_key(c, first + i);
        if (!kv_ctx_find_type(c, &key, KV_LIST, KV_FIND_WRITE, &v)) return;
        if (v == NULL) continue;
        size_t length = kv_list_length(v), count = want < 0 ? 1 : (uint64_t)want > length ? length : (size_t)want;
        kv_mark mark = kv_reply_defer(c->reply);
        kv_reply_array(c->reply, 2);
        kv_reply_bulk(c->reply, key.name);
        if (want >= 0) kv_reply_array(c->reply, count);
        if (reply_items(c, v, end, count, mark) && take(c, &key, v, end, count, mark)) log_pop(c, &key, end, want, count);
        return;
    }
    if (timeout_ms < 0 || !block(c, first, keys, timeout_ms)) kv_reply_null_array(c->reply);
}

/* BLPOP key [key ...] timeout */
static void blocking_pop(kv_ctx *c, kv_list_end end) {
    int64_t timeout_ms;
    if (kv_ctx_timeout(c, c->argc - 1, &timeout_ms)) pop_first(c, 1, c->argc - 2, end, -1, timeout_ms);
}

void kv_cmd_blpop(kv_ctx *c) { blocking_pop(c, KV_LIST_HEAD); }
void kv_cmd_brpop(kv_ctx *c) { blocking_pop(c, KV_LIST_TAIL); }

/* [BLMPOP timeout] | LMPOP   numkeys key [key ...] LEFT|RIGHT [COUNT count]; the time-out is looked at last. */
static void multi_pop(kv_ctx *c, int at, bool blocking) {
    int64_t keys, count = -1, timeout_ms = -1;
    kv_list_end end;
    if (!kv_ctx_range_i64(c, at, 1, INT64_MAX, &keys, KV_ERR_NUMKEYS_POSITIVE)) return;
    if (keys >= c->argc - 1 - at) {
        kv_ctx_syntax_error(c);
        return;
    }
    int where = at + 1 + (int)keys;
    if (!kv_list_cmd_end(c, where, &end)) return;
    for (int i = where + 1; i < c->argc; i += 2) {
        if (count != -1 || i + 1 >= c->argc || !kv_ctx_is(c, i, "count")) {
            kv_ctx_syntax_error(c);
            return;
        }
        if (!kv_ctx_range_i64(c, i + 1, 1, INT64_MAX, &count, KV_ERR_COUNT_POSITIVE)) return;
    }
    if (blocking && !kv_ctx_timeout(c, 1, &timeout_ms)) return;
    pop_first(c, at + 1, (int)keys, end, count < 0 ? 1 : count, timeout_ms);
}

void kv_cmd_lmpop(kv_ctx *c) { multi_pop(c, 1, false); }
void kv_cmd_blmpop(kv_ctx *c) { multi_pop(c, 2, true); }

/* LTRIM key start stop */
void kv_cmd_ltrim(kv_ctx *c) {
    int64_t start, stop;
    if (!kv_ctx_i64(c, 2, &start) || !kv_ctx_i64(c, 3, &stop)) return;
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_LIST, KV_FIND_WRITE, &v)) return;
    if (v == NULL) {
        kv_reply_ok(c->reply);
        return;
    }
    int64_t length = (int64_t)kv_list_length(v);
    if (start < 0) start += length;
    if (stop < 0) stop += length;
    if (start < 0) start = 0;
    if (stop >= length) stop = length - 1;
    bool all_go = start > stop || start >= length;
    if (!all_go) {
        kv_ctx_modify(c, &key, v);
        if (!kv_ctx_ok(c, kv_list_keep(v, kv_ctx_arena(&key), kv_ctx_limits(c), (size_t)start, (size_t)(stop - start + 1)))) {
            if ((int64_t)kv_list_length(v) == length) return;
            kv_ctx_changed(c, &key, KV_EVENT_LIST, "ltrim"); /* one end of a long list is cut */
            kv_ctx_effect_lost(c);
            return;
        }
    }
    kv_ctx_changed(c, &key, KV_EVENT_LIST, "ltrim");
    if (!all_go && start == 0 && stop == length - 1) kv_ctx_no_effect(c); /* nothing went */
    if (all_go) kv_ctx_delete_empty(c, &key);
    kv_reply_ok(c->reply);
}

/* LREM key count element */
void kv_cmd_lrem(kv_ctx *c) {
    int64_t count;
    if (!kv_ctx_range_i64(c, 2, -INT64_MAX, INT64_MAX, &count, NULL)) return;
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_LIST, KV_FIND_WRITE, &v)) return;
    size_t removed = 0;
    if (v != NULL) {
        kv_ctx_modify(c, &key, v);
        kv_status status = kv_list_remove(v, kv_ctx_arena(&key), kv_ctx_limits(c), c->argv[3], count, &removed);
        if (removed > 0) {
            kv_ctx_changed(c, &key, KV_EVENT_LIST, "lrem");
            if (kv_list_length(v) == 0) kv_ctx_delete_empty(c, &key);
        }
        if (removed > 0 && status != KV_OK) kv_ctx_effect_lost(c);
        if (!kv_ctx_ok(c, status)) return;
    }
    kv_reply_int(c->reply, (int64_t)removed);
}
