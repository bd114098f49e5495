/* Sorted sets: ZRANGE in all its forms, and ZRANGESTORE.
 *
 * Every form becomes a run of ranks: the range itself gives [first, end), LIMIT cuts it, REV walks it from its far end. */
#include "commands/zset_common.h"
#include "engine/errors.h"
#include "engine/longreply.h"

typedef enum range_kind { BY_UNSET, BY_RANK, BY_SCORE, BY_LEX } range_kind;
typedef enum direction { DIRECTION_UNSET, FORWARD, REVERSE } direction;

typedef struct range_request {
    range_kind kind;
    direction direction;
    bool scores, store;
    int key_arg;
    int64_t start, stop, offset, limit; /* limit -1: none */
    kv_zrange score_range;
    kv_lex_range lex_range;
} range_request;

/* ---- arguments ---- */

static bool read_options(kv_ctx *c, range_request *r) {
    for (int i = r->key_arg + 3; i < c->argc; i++) {
        if (!r->store && kv_ctx_is(c, i, "withscores")) {
            r->scores = true;
        } else if (kv_ctx_is(c, i, "limit") && i + 2 < c->argc) {
            if (!kv_ctx_i64(c, i + 1, &r->offset) || !kv_ctx_i64(c, i + 2, &r->limit)) return false;
            i += 2;
        } else if (r->direction == DIRECTION_UNSET && kv_ctx_is(c, i, "rev")) {
            r->direction = REVERSE;
        } else if (r->kind == BY_UNSET && kv_ctx_is(c, i, "bylex")) {
            r->kind = BY_LEX;
        } else if (r->kind == BY_UNSET && kv_ctx_is(c, i, "byscore")) {
            r->kind = BY_SCORE;
        } else {
            kv_ctx_syntax_error(c);
            return false;
        }
    }
    if (r->kind == BY_UNSET) r->kind = BY_RANK;
    const char *error = NULL;
    if (r->limit != -1 && r->kind == BY_RANK)
        error = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
    else if (r->scores && r->kind == BY_LEX) error = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
    if (error != NULL) kv_reply_error(c->reply, error);
    return error == NULL;
}

static bool read_bounds(kv_ctx *c, range_request *r) {
    int low = r->key_arg + 1, high = r->key_arg + 2;
    if (r->kind == BY_RANK) return kv_ctx_i64(c, low, &r->start) && kv_ctx_i64(c, high, &r->stop);
    if (r->direction == REVERSE) low = r->key_arg + 2, high = r->key_arg + 1;
    const char *error = NULL;
    if (r->kind == BY_SCORE && !kv_zset_score_range(c->argv[low], c->argv[high], &r->score_range)) error = KV_ERR_SCORE_RANGE;
    if (r->kind == BY_LEX && !kv_zset_lex_range(c->argv[low], c->argv[high], &r->lex_range)) error = KV_ERR_LEX_RANGE;
    if (error != NULL) kv_reply_error(c->reply, error);
    return error == NULL;
}

/* ---- the run of ranks ---- */

typedef struct run {
    size_t first, count; /* rank of the first item to hand out; how many */
} run;

/* Ranks counted from the far end become ranks from the near one. */
static kv_zset_ranks rank_range(const kv_value *v, const range_request *r) {
    kv_zset_ranks ranks = kv_zset_clip_ranks(v, r->start, r->stop);
    size_t length = kv_zset_length(v);
    if (r->direction == REVERSE && ranks.first < ranks.end) ranks = (kv_zset_ranks){length - ranks.end, length - ranks.first};
    return ranks;
}

/* How many members of the run LIMIT's offset passes over; false: all of them. A negative offset counts from the run's far end in a skiplist and gives
 * nothing in a listpack: nobody meant it that way, but that is what servers answer. */
static bool offset_of(const kv_value *v, const range_request *r, uint64_t count, uint64_t *skip) {
    if (r->kind == BY_RANK) {
        *skip = 0;
    } else if (r->offset >= 0) {
        *skip = (uint64_t)r->offset;
    } else {
        uint64_t back = (uint64_t)0 - (uint64_t)r->offset;
        if (v->enc != KV_ENC_SKIPLIST || back > count) return false;
        *skip = count - back;
    }
    return *skip < count;
}

static run find_run(const kv_value *v, const range_request *r) {
    kv_zset_ranks ranks;
    if (r->kind == BY_RANK) ranks = rank_range(v, r);
    else if (r->kind == BY_SCORE) ranks = kv_zset_find_range(v, &r->score_range);
    else ranks = kv_zset_find_lex(v, &r->lex_range, r->direction == REVERSE);
    uint64_t count = ranks.end - ranks.first, skip;
    if (!offset_of(v, r, count, &skip)) return (run){0, 0};
    count -= skip;
    if (r->kind != BY_RANK && r->limit >= 0 && (uint64_t)r->limit < count) count = (uint64_t)r->limit;
    if (count == 0) return (run){0, 0};
    return (run){r->direction == REVERSE ? ranks.end - 1 - (size_t)skip : ranks.first + (size_t)skip, (size_t)count};
}

/* ---- handing out ---- */

typedef struct zset_walk {
    size_t first;
    bool reverse, scores;
    kv_zset_iter it;
} zset_walk;
_Static_assert(sizeof(zset_walk) <= KV_WALK_BYTES, "the state of a walk has its room");

static void zset_walk_begin(void *state, const kv_value *v) {
    zset_walk *walk = state;
    kv_zset_iter_at(&walk->it, v, walk->first, walk->reverse);
}

static size_t zset_walk_write(void *state, kv_reply *reply, size_t items) {
    zset_walk *walk = state;
    kv_zset_item item;
    size_t written = 0;
    for (; written < items && kv_zset_iter_next(&walk->it, &item); written++)
        kv_zset_reply_item(reply, item.member, item.score, walk->scores);
    return written;
}

static void reply_run(kv_ctx *c, const kv_key *key, const kv_value *v, const range_request *r) {
    static const kv_walk how = {sizeof(zset_walk), zset_walk_begin, zset_walk_write, NULL};
    run found = {0, 0};
    if (v != NULL) found = find_run(v, r);
    kv_zset_reply_count(c, found.count, r->scores);
    if (found.count == 0) return;
    zset_walk walk = {.first = found.first, .reverse = r->direction == REVERSE, .scores = r->scores};
    kv_ctx_ok(c, kv_ctx_reply_walk(c, key, v, found.count, &how, &walk));
}

static void store_run(kv_ctx *c, const kv_value *v, const range_request *r) {
    kv_zset_iter it;
    kv_zset_item item;
    kv_zadd_outcome outcome;
    run found = {0, 0};
    if (v != NULL) found = find_run(v, r);
    kv_key to = kv_ctx_key(c, 1);
    if (kv_ctx_open(c, &to) == NULL) return;
    kv_arena *arena = kv_ctx_arena(&to);
    kv_value fresh = {0};
    if (!kv_ctx_ok(c, kv_zset_create(&fresh, arena, kv_ctx_limits(c), found.count, 0))) return;
    if (found.count > 0) kv_zset_iter_at(&it, v, found.first, r->direction == REVERSE);
    for (size_t i = 0; i < found.count && kv_zset_iter_next(&it, &item); i++) {
        kv_status status = kv_zset_add(&fresh, arena, kv_ctx_limits(c), item.member, item.score, 0, &outcome, NULL);
        if (status == KV_OK) continue;
        kv_zset_free(&fresh, arena);
        kv_ctx_ok(c, status);
        return;
    }
    kv_zset_store_result(c, &to, &fresh, "zrangestore");
}

static void range(kv_ctx *c, range_request r) {
    r.limit = -1;
    if (!read_options(c, &r) || !read_bounds(c, &r)) return;
    kv_value *v;
    kv_key key = kv_ctx_key(c, r.key_arg);
    if (!kv_ctx_find_type(c, &key, KV_ZSET, KV_FIND_READ, &v)) return;
    if (r.store) store_run(c, v, &r);
    else reply_run(c, &key, v, &r);
}

void kv_cmd_zrange(kv_ctx *c) { range(c, (range_request){.key_arg = 1}); }
void kv_cmd_zrangestore(kv_ctx *c) { range(c, (range_request){.key_arg = 2, .store = true}); }
void kv_cmd_zrevrange(kv_ctx *c) { range(c, (range_request){.key_arg = 1, .kind = BY_RANK, .direction = REVERSE}); }
void kv_cmd_zrangebyscore(kv_ctx *c) { range(c, (range_request){.key_arg = 1, .kind = BY_SCORE, .direction = FORWARD}); }
void kv_cmd_zrevrangebyscore(kv_ctx *c) { range(c, (range_request){.key_arg = 1, .kind = BY_SCORE, .direction = REVERSE}); }
void kv_cmd_zrangebylex(kv_ctx *c) { range(c, (range_request){.key_arg = 1, .kind = BY_LEX, .direction = FORWARD}); }
void kv_cmd_zrevrangebylex(kv_ctx *c) { range(c, (range_request){.key_arg = 1, .kind = BY_LEX, .direction = REVERSE}); }
