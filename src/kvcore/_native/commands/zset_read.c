/* Sorted sets: looking members up, counting ranges, random members, scanning. */
#include <math.h>
#include <stdio.h>

#include "base/num.h"
#include "commands/picks.h"
#include "commands/scan_options.h"
#include "commands/zset_common.h"
#include "engine/errors.h"

void kv_cmd_zcard(kv_ctx *c) {
    kv_value *v;
    if (kv_zset_find(c, &v)) kv_reply_int(c->reply, v == NULL ? 0 : (int64_t)kv_zset_length(v));
}

static void reply_score(kv_ctx *c, const kv_value *v, int arg) {
    double score;
    if (v != NULL && kv_zset_score(v, c->argv[arg], &score)) kv_reply_double(c->reply, score);
    else kv_reply_null(c->reply);
}

void kv_cmd_zscore(kv_ctx *c) {
    kv_value *v;
    if (kv_zset_find(c, &v)) reply_score(c, v, 2);
}

void kv_cmd_zmscore(kv_ctx *c) {
    kv_value *v;
    if (!kv_zset_find(c, &v)) return;
    kv_reply_array(c->reply, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) reply_score(c, v, i);
}

static void reply_rank(kv_ctx *c, bool reverse) {
    kv_value *v;
    size_t rank;
    double score;
    if (c->argc > 4) {
        kv_ctx_arity_error(c);
        return;
    }
    bool with_score = c->argc == 4;
    if (with_score && !kv_ctx_is(c, 3, "withscore")) {
        kv_ctx_syntax_error(c);
        return;
    }
    if (!kv_zset_find(c, &v)) return;
    if (v == NULL || !kv_zset_rank(v, c->argv[2], &rank, &score)) {
        if (with_score) kv_reply_null_array(c->reply);
        else kv_reply_null(c->reply);
        return;
    }
    if (reverse) rank = kv_zset_length(v) - 1 - rank;
    if (with_score) kv_reply_array(c->reply, 2);
    kv_reply_int(c->reply, (int64_t)rank);
    if (with_score) kv_reply_double(c->reply, score);
}

void kv_cmd_zrank(kv_ctx *c) { reply_rank(c, false); }
void kv_cmd_zrevrank(kv_ctx *c) { reply_rank(c, true); }

void kv_cmd_zcount(kv_ctx *c) {
    kv_value *v;
    kv_zrange range;
    if (!kv_zset_score_range(c->argv[2], c->argv[3], &range)) {
        kv_reply_error(c->reply, KV_ERR_SCORE_RANGE);
        return;
    }
    if (!kv_zset_find(c, &v)) return;
    kv_zset_ranks ranks = {0, 0};
    if (v != NULL) ranks = kv_zset_find_range(v, &range);
    kv_reply_int(c->reply, (int64_t)(ranks.end - ranks.first));
}

void kv_cmd_zlexcount(kv_ctx *c) {
    kv_value *v;
    kv_lex_range range;
    if (!kv_zset_lex_range(c->argv[2], c->argv[3], &range)) {
        kv_reply_error(c->reply, KV_ERR_LEX_RANGE);
        return;
    }
    if (!kv_zset_find(c, &v)) return;
    kv_zset_ranks ranks = {0, 0};
    if (v != NULL) ranks = kv_zset_find_lex(v, &range, false);
    kv_reply_int(c->reply, (int64_t)(ranks.end - ranks.first));
}

/* ---- ZSCAN ---- */

/* Servers print the scores of a skiplist with 17 digits here, and only here; those of a listpack are the text that is stored. */
typedef struct scan {
    kv_scan_page page;
    bool digits17;
} scan;

/* "%.17g", whatever the decimal point of the process's locale. */
static kv_slice score_text(double score, char text[KV_DOUBLE_MAX]) {
    size_t len = (size_t)snprintf(text, KV_DOUBLE_MAX, "%.17g", score);
    if (isfinite(score) && strspn(text, "0123456789+-e") != len) text[strspn(text, "0123456789+-e")] = '.';
    return kv_slice_of(text, len);
}

static void scan_item(void *ctx, const kv_zset_item *item) {
    scan *s = ctx;
    kv_scan_page *page = &s->page;
    char text[KV_DOUBLE_MAX];
    if (!kv_scan_wants(page->options, item->member)) return;
    kv_reply_bulk(&page->writer, item->member);
    page->written++;
    if (page->options->names_only) return;
    if (s->digits17) kv_reply_bulk(&page->writer, score_text(item->score, text));
    else kv_reply_bulk_double(&page->writer, item->score);
    page->written++;
}

void kv_cmd_zscan(kv_ctx *c) {
    uint64_t cursor;
    kv_value *v;
    kv_scan_options options = {.count = 10, .match_all = true};
    if (!kv_ctx_cursor(c, 2, &cursor) || !kv_zset_find(c, &v)) return;
    if (v != NULL && !kv_scan_options_read(c, KV_SCAN_ZSET, &options)) return; /* a missing key is answered before options are looked at */
    scan s = {.digits17 = v != NULL && v->enc == KV_ENC_SKIPLIST};
    kv_scan_page_init(&s.page, c, &options);
    cursor = v == NULL ? 0 : kv_zset_scan(v, cursor, options.count, scan_item, &s);
    kv_scan_page_finish(&s.page, c, cursor);
}

/* ---- ZRANDMEMBER ---- */

static void random_repeating(kv_ctx *c, const kv_value *v, uint64_t count, bool scores) {
    kv_zset_item item;
    kv_zset_reply_count(c, (size_t)count, scores);
    for (uint64_t i = 0; i < count && !c->reply->out->failed && kv_zset_random(v, kv_ctx_rng(c), &item); i++)
        kv_zset_reply_item(c->reply, item.member, item.score, scores);
}

static void random_distinct(kv_ctx *c, const kv_value *v, uint64_t count, bool scores) {
    kv_zset_iter it;
    kv_zset_item item;
    size_t length = kv_zset_length(v);
    if (count > length) count = length;
    uint64_t *ranks = NULL;
    if (count < length) {
        ranks = kv_picks(kv_ctx_mem(c), kv_ctx_rng(c), count, length);
        if (ranks == NULL) {
            kv_ctx_out_of_memory(c);
            return;
        }
    }
    kv_zset_reply_count(c, (size_t)count, scores);
    kv_zset_iter_at(&it, v, 0, false);
    for (uint64_t i = 0; i < count; i++) {
        if (ranks != NULL) kv_zset_iter_at(&it, v, (size_t)ranks[i], false);
        if (!kv_zset_iter_next(&it, &item)) break; /* cannot be: the rank is there */
        kv_zset_reply_item(c->reply, item.member, item.score, scores);
    }
    kv_free(kv_ctx_mem(c), ranks);
}

void kv_cmd_zrandmember(kv_ctx *c) {
    kv_value *v;
    kv_zset_item item;
    int64_t count = 1;
    bool scores = c->argc == 4;
    if (c->argc >= 3) {
        if (!kv_ctx_range_i64(c, 2, -INT64_MAX, INT64_MAX, &count, NULL)) return;
        if (c->argc > 4 || (scores && !kv_ctx_is(c, 3, "withscores"))) {
            kv_ctx_syntax_error(c);
            return;
        }
        if (scores && (count < -INT64_MAX / 2 || count > INT64_MAX / 2)) {
            kv_reply_error(c->reply, KV_ERR_OUT_OF_RANGE);
            return;
        }
    }
    if (!kv_zset_find(c, &v)) return;
    if (c->argc == 2) {
        if (v != NULL && kv_zset_random(v, kv_ctx_rng(c), &item)) kv_reply_bulk(c->reply, item.member);
        else kv_reply_null(c->reply);
    } else if (v == NULL || count == 0) {
        kv_reply_array(c->reply, 0);
    } else if (count < 0) {
        random_repeating(c, v, (uint64_t)-count, scores);
    } else {
        random_distinct(c, v, (uint64_t)count, scores);
    }
}
