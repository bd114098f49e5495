/* Sorted sets: adding, counting up and removing members. */
#include "commands/zset_common.h"
#include "engine/errors.h"

/* ---- ZADD, ZINCRBY ---- */

typedef struct add_options {
    unsigned flags; /* KV_ZADD_... */
    bool changed;   /* CH: count rescored members too */
    int first;      /* argument of the first score */
    int pairs;
} add_options;

static bool starts_with_letter(kv_slice text) { return text.len > 0 && (uint8_t)((text.ptr[0] | 0x20) - 'a') < 26; }

static bool read_add_options(kv_ctx *c, add_options *o) {
    static const struct {
        const char *word;
        unsigned flag;
    } words[] = {{"nx", KV_ZADD_NX}, {"xx", KV_ZADD_XX}, {"gt", KV_ZADD_GT}, {"lt", KV_ZADD_LT}, {"incr", KV_ZADD_INCR}, {"ch", 0}};
    *o = (add_options){.first = 2};
    for (; o->first < c->argc && starts_with_letter(c->argv[o->first]); o->first++) {
        size_t w = 0;
        while (w < sizeof words / sizeof *words && !kv_ctx_is(c, o->first, words[w].word)) w++;
        if (w == sizeof words / sizeof *words) break;
        o->flags |= words[w].flag;
        if (words[w].flag == 0) o->changed = true;
    }
    int rest = c->argc - o->first;
    o->pairs = rest / 2;
    bool nx = (o->flags & KV_ZADD_NX) != 0, gt = (o->flags & KV_ZADD_GT) != 0, lt = (o->flags & KV_ZADD_LT) != 0;
    const char *error = NULL;
    if (rest == 0 || rest % 2 != 0) error = KV_ERR_SYNTAX;
    else if (nx && (o->flags & KV_ZADD_XX) != 0) error = "ERR XX and NX options at the same time are not compatible";
    else if ((gt && nx) || (lt && nx) || (gt && lt)) error = "ERR GT, LT, and/or NX options at the same time are not compatible";
    else if ((o->flags & KV_ZADD_INCR) != 0 && o->pairs > 1) error = "ERR INCR option supports a single increment-element pair";
    if (error != NULL) kv_reply_error(c->reply, error);
    return error == NULL;
}

#define INLINE_SCORES 16

/* All scores are read before anything changes. Returns `few`, a block of kv_ctx_mem, or NULL after replying the error. */
static double *read_scores(kv_ctx *c, const add_options *o, double few[INLINE_SCORES]) {
    double *scores = few;
    if (o->pairs > INLINE_SCORES) scores = kv_malloc(kv_ctx_mem(c), (size_t)o->pairs * sizeof *scores);
    if (scores == NULL) {
        kv_ctx_out_of_memory(c);
        return NULL;
    }
    for (int i = 0; i < o->pairs; i++) {
        if (kv_ctx_double(c, o->first + 2 * i, &scores[i])) continue;
        if (scores != few) kv_free(kv_ctx_mem(c), scores);
        return NULL;
    }
    return scores;
}

static kv_status add_pairs(kv_ctx *c, const kv_key *key, kv_value *v, const add_options *o, const double *scores, kv_zset_added *r) {
    return kv_zset_add_many(v, kv_ctx_arena(key), kv_ctx_limits(c), c->argv + o->first + 1, 2, scores, (size_t)o->pairs, o->flags, r);
}

static void reply_added(kv_ctx *c, const add_options *o, const kv_zset_added *r) {
    if ((o->flags & KV_ZADD_INCR) == 0) kv_reply_int(c->reply, (int64_t)(o->changed ? r->added + r->updated : r->added));
    else if (r->last == KV_ZADD_REFUSED) kv_reply_null(c->reply);
    else kv_reply_double(c->reply, r->score);
}

static void announce_added(kv_ctx *c, const kv_key *key, const add_options *o, const kv_zset_added *r) {
    if (r->added + r->updated == 0) return;
    c->unit->dirty += r->added + r->updated - 1;
    kv_ctx_changed(c, key, KV_EVENT_ZSET, (o->flags & KV_ZADD_INCR) != 0 ? "zincr" : "zadd");
}

static size_t longest_member(const kv_ctx *c, const add_options *o) {
    size_t longest = 0;
    for (int i = o->first + 1; i < c->argc; i += 2)
        if (c->argv[i].len > longest) longest = c->argv[i].len;
    return longest;
}

static void add_to_old(kv_ctx *c, const kv_key *key, kv_value *v, const add_options *o, const double *scores) {
    kv_zset_added r;
    kv_ctx_modify(c, key, v);
    if (!kv_ctx_ok(c, kv_zset_prepare(v, kv_ctx_arena(key), kv_ctx_limits(c), (size_t)o->pairs, longest_member(c, o)))) return;
    if (!kv_ctx_ok(c, add_pairs(c, key, v, o, scores, &r))) return;
    announce_added(c, key, o, &r);
    reply_added(c, o, &r);
}

/* A fresh set joins the key space when it is filled, so that a failure leaves no key behind. */
static void add_to_new(kv_ctx *c, const kv_key *key, const add_options *o, const double *scores) {
    kv_zset_added r;
    kv_value fresh = {0};
    size_t longest = longest_member(c, o);
    if (kv_ctx_open(c, key) == NULL) return;
    kv_arena *arena = kv_ctx_arena(key);
    if (!kv_ctx_ok(c, kv_zset_create(&fresh, arena, kv_ctx_limits(c), (size_t)o->pairs, longest))) return;
    if (!kv_ctx_ok(c, add_pairs(c, key, &fresh, o, scores, &r)) || kv_ctx_add(c, key, &fresh) == NULL) {
        kv_zset_free(&fresh, arena);
        return;
    }
    announce_added(c, key, o, &r);
    reply_added(c, o, &r);
}

static void add(kv_ctx *c, const add_options *o) {
    double few[INLINE_SCORES], *scores = read_scores(c, o, few);
    if (scores == NULL) return;
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (kv_ctx_find_type(c, &key, KV_ZSET, KV_FIND_WRITE, &v)) {
        kv_zset_added r = {.last = KV_ZADD_REFUSED};
        if (v != NULL) add_to_old(c, &key, v, o, scores);
        else if ((o->flags & KV_ZADD_XX) != 0) reply_added(c, o, &r);
        else add_to_new(c, &key, o, scores);
    }
    if (scores != few) kv_free(kv_ctx_mem(c), scores);
}

void kv_cmd_zadd(kv_ctx *c) {
    add_options o;
    if (read_add_options(c, &o)) add(c, &o);
}

void kv_cmd_zincrby(kv_ctx *c) {
    add_options o = {.flags = KV_ZADD_INCR, .first = 2, .pairs = 1};
    add(c, &o);
}

/* ---- removing ---- */

void kv_cmd_zrem(kv_ctx *c) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_ZSET, KV_FIND_WRITE, &v)) return;
    size_t removed = 0;
    if (v != NULL) {
        kv_ctx_modify(c, &key, v);
        if (!kv_ctx_ok(c, kv_zset_remove_many(v, kv_ctx_arena(&key), c->argv + 2, (size_t)c->argc - 2, &removed))) return;
    }
    if (removed > 0) {
        c->unit->dirty += removed - 1;
        kv_zset_shrunk(c, &key, v, "zrem");
    }
    kv_reply_int(c->reply, (int64_t)removed);
}

typedef enum range_kind { BY_RANK, BY_SCORE, BY_LEX } range_kind;

typedef struct removal {
    range_kind kind;
    int64_t start, stop;
    kv_zrange scores;
    kv_lex_range lex;
} removal;

static bool read_removal(kv_ctx *c, range_kind kind, removal *r) {
    *r = (removal){.kind = kind};
    const char *error = NULL;
    if (kind == BY_RANK) return kv_ctx_i64(c, 2, &r->start) && kv_ctx_i64(c, 3, &r->stop);
    if (kind == BY_SCORE && !kv_zset_score_range(c->argv[2], c->argv[3], &r->scores)) error = KV_ERR_SCORE_RANGE;
    if (kind == BY_LEX && !kv_zset_lex_range(c->argv[2], c->argv[3], &r->lex)) error = KV_ERR_LEX_RANGE;
    if (error != NULL) kv_reply_error(c->reply, error);
    return error == NULL;
}

static void remove_range(kv_ctx *c, range_kind kind, const char *event) {
    removal r;
    kv_value *v;
    if (!read_removal(c, kind, &r)) return;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_ZSET, KV_FIND_WRITE, &v)) return;
    kv_zset_ranks ranks = {0, 0};
    if (v != NULL && kind == BY_RANK) ranks = kv_zset_clip_ranks(v, r.start, r.stop);
    if (v != NULL && kind == BY_SCORE) ranks = kv_zset_find_range(v, &r.scores);
    if (v != NULL && kind == BY_LEX) ranks = kv_zset_find_lex(v, &r.lex, false);
    size_t count = ranks.end - ranks.first;
    if (count > 0) {
        kv_ctx_modify(c, &key, v);
        if (!kv_ctx_ok(c, kv_zset_remove_ranks(v, kv_ctx_arena(&key), ranks.first, count))) return;
        c->unit->dirty += count - 1;
        kv_zset_shrunk(c, &key, v, event);
    }
    kv_reply_int(c->reply, (int64_t)count);
}

void kv_cmd_zremrangebyrank(kv_ctx *c) { remove_range(c, BY_RANK, "zremrangebyrank"); }
void kv_cmd_zremrangebyscore(kv_ctx *c) { remove_range(c, BY_SCORE, "zremrangebyscore"); }
void kv_cmd_zremrangebylex(kv_ctx *c) { remove_range(c, BY_LEX, "zremrangebylex"); }
