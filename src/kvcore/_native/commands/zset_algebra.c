/* Sorted sets: union, intersection and difference of sorted sets and sets.
 *
 * Members are gathered in an array (for a union with a hash table over it, to add scores up), sorted by score and bytes at the end, and then
 * replied or stored. A source is a sorted set, a set whose members count as score 1, or a key that is not there. Bytes of members are borrowed
 * from the sources, which cannot change meanwhile; integers of small forms have no bytes, so their text is kept in the entry.
 *
 *     entries[count]   { bytes | NULL, length, score, text }
 *     slots[mask + 1]  index + 1 of an entry, 0 free; open addressing, at most half full (unions only) */
#include <stdlib.h>

#include "base/siphash.h"
#include "commands/zset_common.h"
#include "engine/engine.h"
#include "engine/errors.h"
#include "types/set.h"

/* ---- sources ---- */

typedef struct source {
    const kv_value *v; /* NULL: empty */
    double weight;
} source;

static size_t source_length(const source *s) {
    if (s->v == NULL) return 0;
    return s->v->type == KV_SET ? kv_set_length(s->v) : kv_zset_length(s->v);
}

static bool source_score(const source *s, kv_slice member, double *score) {
    if (s->v == NULL) return false;
    if (s->v->type == KV_ZSET) return kv_zset_score(s->v, member, score);
    *score = 1;
    return kv_set_has(s->v, member);
}

typedef struct source_walk {
    bool is_set;
    kv_set_iter set;
    kv_zset_iter zset;
} source_walk;

static void walk_start(source_walk *w, const source *s) {
    w->is_set = s->v == NULL || s->v->type == KV_SET;
    if (s->v == NULL) return;
    if (w->is_set) kv_set_iter_init(&w->set, s->v);
    else kv_zset_iter_at(&w->zset, s->v, 0, false);
}

static bool walk_next(source_walk *w, kv_zset_item *out) {
    if (!w->is_set) return kv_zset_iter_next(&w->zset, out);
    out->score = 1;
    return kv_set_next(&w->set, &out->member);
}

/* ---- gathering ---- */

#define NUMBER_TEXT 24

typedef struct entry {
    const uint8_t *bytes; /* NULL: in text */
    size_t len;
    double score;
    char text[NUMBER_TEXT];
} entry;

typedef struct gathering {
    kv_mem *mem;
    entry *entries;
    size_t count, room;
    uint32_t *slots;
    size_t mask;
    const kv_hash_seed *seed;
    bool failed; /* out of memory */
} gathering;

static kv_slice entry_member(const entry *e) { return kv_slice_of(e->bytes != NULL ? e->bytes : (const uint8_t *)e->text, e->len); }

static void gathering_deinit(gathering *g) {
    kv_free(g->mem, g->entries);
    kv_free(g->mem, g->slots);
}

static bool more_room(gathering *g) {
    if (g->count < g->room) return true;
    size_t room = g->room == 0 ? 16 : g->room * 2;
    entry *entries = room > UINT32_MAX ? NULL : kv_realloc(g->mem, g->entries, room * sizeof *entries);
    if (entries == NULL) return false;
    g->entries = entries;
    g->room = room;
    return true;
}

/* Short members are copied, whether they lie in a scratch buffer or not: that is cheaper than to find out. */
static bool append(gathering *g, kv_slice member, double score) {
    if (!more_room(g)) {
        g->failed = true;
        return false;
    }
    entry *e = &g->entries[g->count++];
    e->bytes = member.len <= NUMBER_TEXT ? NULL : member.ptr;
    e->len = member.len;
    e->score = score;
    if (member.len <= NUMBER_TEXT && member.len > 0) memcpy(e->text, member.ptr, member.len);
    return true;
}

static size_t slot_of(const gathering *g, kv_slice member) {
    size_t at = (size_t)kv_siphash(g->seed, member.ptr, member.len) & g->mask;
    while (g->slots[at] != 0 && !kv_slice_eq(entry_member(&g->entries[g->slots[at] - 1]), member)) at = (at + 1) & g->mask;
    return at;
}

static bool grow_slots(gathering *g) {
    if (g->slots != NULL && g->count < g->mask / 2) return true;
    size_t slots = g->slots == NULL ? 64 : (g->mask + 1) * 2;
    uint32_t *fresh = kv_calloc(g->mem, slots, sizeof *fresh);
    if (fresh == NULL) return false;
    kv_free(g->mem, g->slots);
    g->slots = fresh;
    g->mask = slots - 1;
    for (size_t i = 0; i < g->count; i++) g->slots[slot_of(g, entry_member(&g->entries[i]))] = (uint32_t)i + 1;
    return true;
}

/* The entry of a member, or NULL after making one with `score`; NULL and failed: out of memory. */
static entry *find_or_append(gathering *g, kv_slice member, double score) {
    if (!grow_slots(g)) {
        g->failed = true;
        return NULL;
    }
    size_t at = slot_of(g, member);
    if (g->slots[at] != 0) return &g->entries[g->slots[at] - 1];
    if (append(g, member, score)) g->slots[at] = (uint32_t)g->count;
    return NULL;
}

static int by_score(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    return kv_slice_cmp(entry_member(x), entry_member(y));
}

/* ---- the operations ---- */

typedef enum aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX } aggregate;
typedef enum operation { UNION, INTER, DIFF, INTERCARD } operation;

/* inf * 0 and inf - inf count as 0. */
static double no_nan(double score) { return score == score ? score : 0; }
static double weigh(const source *s, double score) { return no_nan(s->weight * score); }

static double combine(aggregate how, double a, double b) {
    if (how == AGGREGATE_SUM) return no_nan(a + b);
    if (how == AGGREGATE_MIN) return b < a ? b : a;
    return b > a ? b : a;
}

static int by_length(const void *a, const void *b) {
    size_t x = source_length(a), y = source_length(b);
    return x < y ? -1 : x > y;
}

/* Smaller sources first: with infinities and rounding the order of a sum shows. */
static void unite(gathering *g, source *sources, int count, aggregate how) {
    source_walk walk;
    kv_zset_item item;
    qsort(sources, (size_t)count, sizeof *sources, by_length);
    for (int i = 0; i < count; i++) {
        walk_start(&walk, &sources[i]);
        while (sources[i].v != NULL && !g->failed && walk_next(&walk, &item)) {
            double score = weigh(&sources[i], item.score);
            entry *e = find_or_append(g, item.member, score);
            if (e != NULL) e->score = combine(how, e->score, score);
        }
    }
}

/* Walks the smallest source and asks the others, smaller ones first. Gathers nothing when `g` is NULL; stops after `limit` (0: none). */
static uint64_t intersect(gathering *g, source *sources, int count, aggregate how, uint64_t limit) {
    source_walk walk;
    kv_zset_item item;
    uint64_t found = 0;
    qsort(sources, (size_t)count, sizeof *sources, by_length);
    if (source_length(&sources[0]) == 0) return 0;
    walk_start(&walk, &sources[0]);
    while (walk_next(&walk, &item)) {
        double score = weigh(&sources[0], item.score), other;
        int i = 1;
        for (; i < count && source_score(&sources[i], item.member, &other); i++)
            score =
                combine(how, score,
                        sources[i].weight * other); /* a product that is no number spoils a sum, and loses to any other in MIN and MAX */
        if (i < count) continue;
        if (g != NULL && !append(g, item.member, score)) break;
        if (++found == limit) break;
    }
    return found;
}

static void subtract(gathering *g, const source *sources, int count) {
    source_walk walk;
    kv_zset_item item;
    walk_start(&walk, &sources[0]);
    while (sources[0].v != NULL && walk_next(&walk, &item)) {
        double other;
        int i = 1;
        while (i < count && !source_score(&sources[i], item.member, &other)) i++;
        if (i == count && !append(g, item.member, item.score)) break;
    }
}

/* ---- arguments ---- */

typedef struct algebra {
    operation op;
    bool store, scores;
    int first, count; /* the keys: argv[first .. first + count) */
    aggregate how;
    uint64_t limit;
    source *sources; /* count; kv_free it */
} algebra;

static bool read_count(kv_ctx *c, algebra *a) {
    int64_t count;
    int at = a->store ? 2 : 1;
    if (!kv_ctx_i64(c, at, &count)) return false;
    if (count < 1) {
        kv_reply_errorf(c->reply, "ERR at least 1 input key is needed for '%s' command", c->command->full_name);
        return false;
    }
    if (count > c->argc - at - 1) {
        kv_ctx_syntax_error(c);
        return false;
    }
    a->first = at + 1;
    a->count = (int)count;
    return true;
}

static bool find_sources(kv_ctx *c, algebra *a) {
    a->sources = kv_malloc(kv_ctx_mem(c), (size_t)a->count * sizeof *a->sources);
    if (a->sources == NULL) {
        kv_ctx_out_of_memory(c);
        return false;
    }
    for (int i = 0; i < a->count; i++) {
        kv_key key = kv_ctx_key(c, a->first + i);
        kv_value *v = kv_ctx_find(c, &key, KV_FIND_READ);
        if (v != NULL && v->type != KV_ZSET && v->type != KV_SET) {
            kv_ctx_wrong_type(c);
            return false;
        }
        a->sources[i] = (source){v, 1};
    }
    return true;
}

static bool read_weights(kv_ctx *c, algebra *a, int at) {
    for (int i = 0; i < a->count; i++)
        if (!kv_ctx_double_or(c, at + i, &a->sources[i].weight, "ERR weight value is not a float")) return false;
    return true;
}

static bool read_aggregate(kv_ctx *c, int arg, aggregate *how) {
    if (kv_ctx_is(c, arg, "sum")) *how = AGGREGATE_SUM;
    else if (kv_ctx_is(c, arg, "min")) *how = AGGREGATE_MIN;
    else if (kv_ctx_is(c, arg, "max")) *how = AGGREGATE_MAX;
    else {
        kv_ctx_syntax_error(c);
        return false;
    }
    return true;
}

static bool read_options(kv_ctx *c, algebra *a) {
    bool scored = a->op == UNION || a->op == INTER;
    for (int i = a->first + a->count; i < c->argc; i++) {
        int rest = c->argc - i - 1;
        if (scored && rest >= a->count && kv_ctx_is(c, i, "weights")) {
            if (!read_weights(c, a, i + 1)) return false;
            i += a->count;
        } else if (scored && rest >= 1 && kv_ctx_is(c, i, "aggregate")) {
            if (!read_aggregate(c, ++i, &a->how)) return false;
        } else if (!a->store && a->op != INTERCARD && kv_ctx_is(c, i, "withscores")) {
            a->scores = true;
        } else if (a->op == INTERCARD && rest >= 1 && kv_ctx_is(c, i, "limit")) {
            int64_t limit;
            if (!kv_ctx_range_i64(c, ++i, 0, INT64_MAX, &limit, KV_ERR_LIMIT_NEGATIVE)) return false;
            a->limit = (uint64_t)limit;
        } else {
            kv_ctx_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* ---- results ---- */

static void store_entries(kv_ctx *c, const gathering *g, const char *event) {
    kv_key to = kv_ctx_key(c, 1);
    if (kv_ctx_open(c, &to) == NULL) return;
    kv_arena *arena = kv_ctx_arena(&to);
    kv_value fresh = {0};
    size_t longest = 0;
    for (size_t i = 0; i < g->count; i++)
        if (g->entries[i].len > longest) longest = g->entries[i].len;
    if (!kv_ctx_ok(c, kv_zset_create(&fresh, arena, kv_ctx_limits(c), g->count, longest))) return;
    for (size_t i = 0; i < g->count; i++) {
        kv_zadd_outcome outcome;
        const entry *e = &g->entries[i];
        kv_status status = kv_zset_add(&fresh, arena, kv_ctx_limits(c), entry_member(e), e->score, 0, &outcome, NULL);
        if (status == KV_OK) continue;
        kv_zset_free(&fresh, arena);
        kv_ctx_ok(c, status);
        return;
    }
    kv_zset_store_result(c, &to, &fresh, event);
}

static void reply_entries(kv_ctx *c, const gathering *g, bool scores) {
    kv_zset_reply_count(c, g->count, scores);
    for (size_t i = 0; i < g->count; i++) kv_zset_reply_item(c->reply, entry_member(&g->entries[i]), g->entries[i].score, scores);
}

static void compute(kv_ctx *c, algebra *a, const char *event) {
    gathering g = {.mem = kv_ctx_mem(c), .seed = &c->engine->store.seed};
    if (a->op == UNION) unite(&g, a->sources, a->count, a->how);
    else if (a->op == INTER) intersect(&g, a->sources, a->count, a->how, 0);
    else subtract(&g, a->sources, a->count);
    if (g.failed) {
        kv_ctx_out_of_memory(c);
    } else {
        if (g.count > 1) qsort(g.entries, g.count, sizeof *g.entries, by_score);
        if (a->store) store_entries(c, &g, event);
        else reply_entries(c, &g, a->scores);
    }
    gathering_deinit(&g);
}

static void run(kv_ctx *c, operation op, bool store, const char *event) {
    algebra a = {.op = op, .store = store};
    if (read_count(c, &a) && find_sources(c, &a) && read_options(c, &a)) {
        if (op == INTERCARD) kv_reply_int(c->reply, (int64_t)intersect(NULL, a.sources, a.count, a.how, a.limit));
        else compute(c, &a, event);
    }
    kv_free(kv_ctx_mem(c), a.sources);
}

void kv_cmd_zunion(kv_ctx *c) { run(c, UNION, false, NULL); }
void kv_cmd_zinter(kv_ctx *c) { run(c, INTER, false, NULL); }
void kv_cmd_zdiff(kv_ctx *c) { run(c, DIFF, false, NULL); }
void kv_cmd_zunionstore(kv_ctx *c) { run(c, UNION, true, "zunionstore"); }
void kv_cmd_zinterstore(kv_ctx *c) { run(c, INTER, true, "zinterstore"); }
void kv_cmd_zdiffstore(kv_ctx *c) { run(c, DIFF, true, "zdiffstore"); }
void kv_cmd_zintercard(kv_ctx *c) { run(c, INTERCARD, false, NULL); }
