/* LLEN LINDEX LRANGE LPOS. */
#include "commands/list_common.h"
#include "engine/errors.h"
#include "engine/longreply.h"

void kv_cmd_llen(kv_ctx *c) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_LIST, KV_FIND_READ, &v)) return;
    kv_reply_int(c->reply, v == NULL ? 0 : (int64_t)kv_list_length(v));
}

/* LINDEX key index: a missing key is answered before the index is looked at. */
void kv_cmd_lindex(kv_ctx *c) {
    kv_value *v;
    int64_t index;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_LIST, KV_FIND_READ, &v)) return;
    if (v == NULL) {
        kv_reply_null(c->reply);
        return;
    }
    if (!kv_ctx_i64(c, 2, &index)) return;
    kv_list_iter it;
    kv_slice item;
    kv_status status = kv_list_get(&it, v, index, &item);
    if (status == KV_OK) kv_reply_bulk(c->reply, item);
    else if (status == KV_ENOTFOUND) kv_reply_null(c->reply);
    if (kv_list_iter_end(&it) != KV_OK) kv_ctx_out_of_memory(c);
}

typedef struct list_walk {
    int64_t start;
    kv_list_iter it;
} list_walk;
_Static_assert(sizeof(list_walk) <= KV_WALK_BYTES, "the state of a walk has its room");

static void list_walk_begin(void *state, const kv_value *v) {
    list_walk *walk = state;
    kv_list_iter_init(&walk->it, v, walk->start, false);
}

static size_t list_walk_write(void *state, kv_reply *reply, size_t items) {
    list_walk *walk = state;
    kv_slice item;
    size_t written = 0;
    for (; written < items && kv_list_next(&walk->it, &item); written++) kv_reply_bulk(reply, item);
    return written;
}

static kv_status list_walk_end(void *state) { return kv_list_iter_end(&((list_walk *)state)->it); }

/* LRANGE key start stop */
void kv_cmd_lrange(kv_ctx *c) {
    int64_t start, stop;
    if (!kv_ctx_i64(c, 2, &start) || !kv_ctx_i64(c, 3, &stop)) return;
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_LIST, KV_FIND_READ, &v)) return;
    int64_t length = v == NULL ? 0 : (int64_t)kv_list_length(v);
    if (start < 0) start += length;
    if (stop < 0) stop += length;
    if (start < 0) start = 0;
    if (stop >= length) stop = length - 1;
    if (v == NULL || start > stop) {
        kv_reply_array(c->reply, 0);
        return;
    }
    kv_mark mark = kv_reply_defer(c->reply);
    kv_reply_array(c->reply, (size_t)(stop - start + 1));
    static const kv_walk how = {sizeof(list_walk), list_walk_begin, list_walk_write, list_walk_end};
    list_walk walk = {.start = start};
    (void)kv_list_cmd_ok(c, mark, kv_ctx_reply_walk(c, &key, v, (size_t)(stop - start + 1), &how, &walk));
}

typedef struct lpos_options {
    int64_t rank;  /* from 1; with backward: from the tail */
    int64_t count; /* -1: one match, not as an array; 0: all */
    int64_t most;  /* items to look at; 0: all */
    bool backward;
} lpos_options;

static bool parse_lpos(kv_ctx *c, lpos_options *o) {
    for (int i = 3; i < c->argc; i += 2) {
        if (i + 1 >= c->argc) {
            kv_ctx_syntax_error(c);
            return false;
        }
        if (kv_ctx_is(c, i, "rank")) {
            if (!kv_ctx_range_i64(c, i + 1, -INT64_MAX, INT64_MAX, &o->rank, NULL)) return false;
            if (o->rank == 0) {
                kv_reply_error(
                    c->reply, "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start "
                              "from the end of the list");
                return false;
            }
        } else if (kv_ctx_is(c, i, "count")) {
            if (!kv_ctx_range_i64(c, i + 1, 0, INT64_MAX, &o->count, KV_ERR_COUNT_NEGATIVE)) return false;
        } else if (kv_ctx_is(c, i, "maxlen")) {
            if (!kv_ctx_range_i64(c, i + 1, 0, INT64_MAX, &o->most, "ERR MAXLEN can't be negative")) return false;
        } else {
            kv_ctx_syntax_error(c);
            return false;
        }
    }
    o->backward = o->rank < 0;
    if (o->backward) o->rank = -o->rank;
    return true;
}

/* LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len] */
void kv_cmd_lpos(kv_ctx *c) {
    lpos_options o = {.rank = 1, .count = -1};
    if (!parse_lpos(c, &o)) return;
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_LIST, KV_FIND_READ, &v)) return;
    int64_t length = v == NULL ? 0 : (int64_t)kv_list_length(v), matches = 0, replied = 0;
    int64_t wanted = o.count == -1 ? 1 : o.count == 0 ? INT64_MAX : o.count;
    int64_t most = o.most == 0 || o.most > length ? length : o.most;
    kv_mark mark = kv_reply_defer(c->reply);
    kv_list_iter it;
    bool equal;
    if (v != NULL) kv_list_iter_init(&it, v, o.backward ? -1 : 0, o.backward);
    for (int64_t i = 0; i < most && replied < wanted && kv_list_next_equals(&it, c->argv[2], &equal); i++) {
        if (!equal || ++matches < o.rank) continue;
        kv_reply_int(c->reply, o.backward ? length - 1 - i : i);
        replied++;
    }
    if (v != NULL && !kv_list_cmd_ok(c, mark, kv_list_iter_end(&it))) return;
    if (o.count != -1) kv_reply_defer_array(c->reply, mark, (size_t)replied);
    else if (replied == 0) kv_reply_null(c->reply);
}
