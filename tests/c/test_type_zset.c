/* sources: base/*.c ds/listpack.c ds/table.c ds/ztree.c ds/ztree_read.c types/zset.c types/zset_big.c types/pairs.c */
/* Sorted sets against a sorted array: random changes in both forms, failing allocations, ranges, ranks, walking, scanning. */
#include "check.h"

#include "base/arena.h"
#include "base/num.h"
#include "base/rng.h"
#include "types/zset.h"

#include <math.h>

#define MAX_MEMBERS 400

typedef struct element {
    uint8_t member[80];
    size_t len;
    double score;
    bool seen;
} element;

typedef struct world {
    kv_mem mem;
    kv_arena *arenas[2];
    kv_rng rng;
    element *model; /* ascending */
    size_t count;
    kv_value v;
    kv_limits limits;
    kv_arena *arena;
    bool one_score; /* lexicographic runs */
} world;

static kv_slice member_of(const element *e) { return kv_slice_of(e->member, e->len); }

static int order(const void *a, const void *b) {
    const element *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    return kv_slice_cmp(member_of(x), member_of(y));
}

static element *model_find(world *w, kv_slice member) {
    for (size_t i = 0; i < w->count; i++)
        if (kv_slice_eq(member_of(&w->model[i]), member)) return &w->model[i];
    return NULL;
}

static void model_put(world *w, kv_slice member, double score) {
    element *e = model_find(w, member);
    if (e == NULL) {
        CHECK(w->count < MAX_MEMBERS);
        e = &w->model[w->count++];
        memcpy(e->member, member.ptr, member.len);
        e->len = member.len;
        e->seen = false;
    }
    e->score = score;
    qsort(w->model, w->count, sizeof *w->model, order);
}

static void model_cut(world *w, size_t first, size_t count) {
    memmove(w->model + first, w->model + first + count, (w->count - first - count) * sizeof *w->model);
    w->count -= count;
}

static void compare_walk(world *w, size_t from, bool reverse) {
    kv_zset_iter it;
    kv_zset_item item;
    kv_zset_iter_at(&it, &w->v, from, reverse);
    size_t left = from >= w->count ? 0 : reverse ? from + 1 : w->count - from;
    for (size_t i = 0; i < left; i++) {
        const element *e = &w->model[reverse ? from - i : from + i];
        CHECK(kv_zset_iter_next(&it, &item));
        CHECK(item.score == e->score && kv_slice_eq(item.member, member_of(e)));
    }
    CHECK(!kv_zset_iter_next(&it, &item));
}

static kv_slice random_member(world *w, char buffer[80], unsigned names) {
    uint64_t n = kv_rng_below(&w->rng, names);
    int len = n % 3 == 0 ? snprintf(buffer, 80, "%llu", (unsigned long long)n) : snprintf(buffer, 80, "m%llu", (unsigned long long)n);
    return kv_slice_of(buffer, (size_t)len);
}

static double random_score(world *w) {
    if (w->one_score) return 1;
    switch (kv_rng_below(&w->rng, 12)) {
    case 0: return INFINITY;
    case 1: return -INFINITY;
    case 2: return 0.1 * (double)kv_rng_below(&w->rng, 100);
    case 3: return 1e300 * kv_rng_unit(&w->rng);
    case 4: return 1 / (1 + (double)kv_rng_next(&w->rng));
    default: return (double)kv_rng_below(&w->rng, 10) - 5;
    }
}

static void compare_ranges(world *w, unsigned names) {
    kv_zrange range = {random_score(w), random_score(w), kv_rng_below(&w->rng, 2) != 0, kv_rng_below(&w->rng, 2) != 0};
    size_t hits = 0, first = 0;
    for (size_t i = w->count; i-- > 0;) {
        double s = w->model[i].score;
        if (s < range.min || s > range.max || (range.min_open && s == range.min) || (range.max_open && s == range.max)) continue;
        hits++;
        first = i;
    }
    kv_zset_ranks ranks = kv_zset_find_range(&w->v, &range);
    CHECK(ranks.end - ranks.first == hits && (hits == 0 || ranks.first == first));
    if (!w->one_score) return;
    char a[80], b[80];
    kv_lex_range lex = {{(kv_lex_kind)kv_rng_below(&w->rng, 4), random_member(w, a, names)},
                        {(kv_lex_kind)kv_rng_below(&w->rng, 4), random_member(w, b, names)}};
    hits = 0;
    for (size_t i = w->count; i-- > 0;) {
        kv_slice m = member_of(&w->model[i]);
        int low = kv_slice_cmp(m, lex.min.member), high = kv_slice_cmp(m, lex.max.member);
        bool above = lex.min.kind == KV_LEX_MIN || (lex.min.kind == KV_LEX_CLOSED && low >= 0) || (lex.min.kind == KV_LEX_OPEN && low > 0);
        bool below =
            lex.max.kind == KV_LEX_MAX || (lex.max.kind == KV_LEX_CLOSED && high <= 0) || (lex.max.kind == KV_LEX_OPEN && high < 0);
        if (!above || !below) continue;
        hits++;
        first = i;
    }
    for (int reverse = 0; reverse < 2; reverse++) {
        ranks = kv_zset_find_lex(&w->v, &lex, reverse != 0);
        CHECK(ranks.end - ranks.first == hits && (hits == 0 || ranks.first == first));
    }
}

static void compare(world *w, unsigned names) {
    CHECK(kv_zset_check(&w->v));
    CHECK(kv_zset_length(&w->v) == w->count);
    for (size_t i = 0; i < w->count; i++) {
        double score, again;
        size_t rank;
        CHECK(kv_zset_score(&w->v, member_of(&w->model[i]), &score) && score == w->model[i].score);
        if (i % 7 == 0) CHECK(kv_zset_rank(&w->v, member_of(&w->model[i]), &rank, &again) && rank == i && again == score);
    }
    compare_walk(w, 0, false);
    compare_walk(w, kv_rng_below(&w->rng, w->count + 2), true);
    compare_walk(w, kv_rng_below(&w->rng, w->count + 2), false);
    compare_ranges(w, names);
    kv_zset_item item;
    CHECK(kv_zset_random(&w->v, &w->rng, &item) == (w->count != 0));
    if (w->count != 0) CHECK(model_find(w, item.member) != NULL);
    CHECK(kv_zset_memory(&w->v, 0) > 0 && kv_zset_memory(&w->v, 3) > 0);
}

static void mark(void *ctx, const kv_zset_item *item) {
    element *e = model_find(ctx, item->member);
    CHECK(e != NULL && e->score == item->score);
    e->seen = true;
}

static void scan_all(world *w) {
    uint64_t cursor = 0;
    do cursor = kv_zset_scan(&w->v, cursor, 1 + kv_rng_below(&w->rng, 10), mark, w);
    while (cursor != 0);
    for (size_t i = 0; i < w->count; i++) {
        CHECK(w->model[i].seen);
        w->model[i].seen = false;
    }
}

/* What ZADD should do, from its description. */
static void do_add(world *w, unsigned names) {
    static const unsigned choices[] = {0,
                                       0,
                                       0,
                                       0,
                                       KV_ZADD_NX,
                                       KV_ZADD_XX,
                                       KV_ZADD_GT,
                                       KV_ZADD_LT,
                                       KV_ZADD_INCR,
                                       KV_ZADD_XX | KV_ZADD_GT,
                                       KV_ZADD_INCR | KV_ZADD_LT,
                                       KV_ZADD_INCR | KV_ZADD_NX};
    char buffer[80];
    kv_slice member = random_member(w, buffer, names);
    unsigned flags = w->one_score ? 0 : choices[kv_rng_below(&w->rng, sizeof choices / sizeof *choices)];
    double score = random_score(w), result = 0;
    const element *old = model_find(w, member);
    double wanted = old != NULL && flags & KV_ZADD_INCR ? old->score + score : score;
    kv_zadd_outcome outcome, expected = old == NULL ? KV_ZADD_ADDED : wanted == old->score ? KV_ZADD_SAME : KV_ZADD_UPDATED;
    bool refused = (old != NULL && flags & KV_ZADD_NX) || (old == NULL && flags & KV_ZADD_XX);
    bool nan = !refused && isnan(wanted);
    if (old != NULL && flags & KV_ZADD_GT && wanted <= old->score) refused = true;
    if (old != NULL && flags & KV_ZADD_LT && wanted >= old->score) refused = true;
    kv_status status = kv_zset_add(&w->v, w->arena, &w->limits, member, score, flags, &outcome, &result);
    if (status == KV_ENOMEM) return;
    CHECK((status == KV_ENAN) == nan);
    if (nan) return;
    CHECK(outcome == (refused ? KV_ZADD_REFUSED : expected));
    if (refused) return;
    CHECK(result == wanted);
    model_put(w, member, wanted);
}

enum { MANY = 60 };

static void do_add_many(world *w, unsigned names) {
    static const unsigned choices[] = {0, 0, 0, KV_ZADD_NX, KV_ZADD_XX, KV_ZADD_GT, KV_ZADD_LT};
    static char texts[MANY][80];
    kv_slice members[2 * MANY];
    double scores[MANY];
    size_t count = 2 + kv_rng_below(&w->rng, MANY - 1);
    unsigned flags = w->one_score ? 0 : choices[kv_rng_below(&w->rng, sizeof choices / sizeof *choices)];
    kv_zset_added got, wanted = {0};
    for (size_t i = 0; i < count; i++) {
        members[2 * i] = random_member(w, texts[i], names);
        scores[i] = random_score(w);
    }
    kv_status status = kv_zset_add_many(&w->v, w->arena, &w->limits, members, 2, scores, count, flags, &got);
    if (status != KV_OK) {
        CHECK(status == KV_ENOMEM);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const element *old = model_find(w, members[2 * i]);
        bool refused = (old != NULL && flags & KV_ZADD_NX) || (old == NULL && flags & KV_ZADD_XX) ||
                       (old != NULL && flags & KV_ZADD_GT && scores[i] <= old->score) ||
                       (old != NULL && flags & KV_ZADD_LT && scores[i] >= old->score);
        wanted.last = refused ? KV_ZADD_REFUSED : old == NULL ? KV_ZADD_ADDED : old->score == scores[i] ? KV_ZADD_SAME : KV_ZADD_UPDATED;
        wanted.added += wanted.last == KV_ZADD_ADDED;
        wanted.updated += wanted.last == KV_ZADD_UPDATED;
        if (!refused) model_put(w, members[2 * i], scores[i]);
    }
    CHECK(got.added == wanted.added && got.updated == wanted.updated && got.last == wanted.last);
}

static void do_remove_many(world *w, unsigned names) {
    static char texts[MANY][80];
    kv_slice members[MANY];
    size_t count = 1 + kv_rng_below(&w->rng, 12), removed = 0, wanted = 0;
    for (size_t i = 0; i < count; i++) members[i] = random_member(w, texts[i], names);
    if (kv_zset_remove_many(&w->v, w->arena, members, count, &removed) != KV_OK) return;
    for (size_t i = 0; i < count; i++) {
        const element *old = model_find(w, members[i]);
        if (old == NULL) continue;
        model_cut(w, (size_t)(old - w->model), 1);
        wanted++;
    }
    CHECK(removed == wanted);
}

static void do_remove(world *w, unsigned names) {
    char buffer[80];
    kv_slice member = random_member(w, buffer, names);
    const element *old = model_find(w, member);
    kv_status status = kv_zset_remove(&w->v, w->arena, member);
    if (status == KV_ENOMEM) return;
    CHECK(status == (old == NULL ? KV_ENOTFOUND : KV_OK));
    if (old != NULL) model_cut(w, (size_t)(old - w->model), 1);
}

static void do_remove_ranks(world *w) {
    size_t first = kv_rng_below(&w->rng, w->count + 2), count = kv_rng_below(&w->rng, 6);
    if (kv_zset_remove_ranks(&w->v, w->arena, first, count) != KV_OK) return;
    if (first >= w->count) return;
    model_cut(w, first, count < w->count - first ? count : w->count - first);
}

static void do_copy(world *w) {
    kv_value copy = w->v;
    kv_arena *to = w->arenas[kv_rng_below(&w->rng, 2)];
    if (kv_zset_copy(&w->v, &copy, to) != KV_OK) return;
    size_t budget = 0;
    while (!kv_zset_free_some(&w->v, w->arena, &budget)) budget = 3;
    w->v = copy;
    w->arena = to;
}

static void do_rehome(world *w) {
    kv_arena *to = w->arenas[kv_rng_below(&w->rng, 2)];
    if (kv_zset_rehome(&w->v, w->arena, to) == KV_OK) w->arena = to;
}

static void random_run(uint64_t seed, unsigned names, bool faults, bool one_score, int steps) {
    world w = {.limits = {.zset_max_listpack_entries = 20, .zset_max_listpack_value = 64}, .one_score = one_score};
    kv_mem_init(&w.mem);
    for (int i = 0; i < 2; i++) CHECK((w.arenas[i] = kv_arena_create(&w.mem)) != NULL);
    kv_rng_seed(&w.rng, seed);
    w.arena = w.arenas[0];
    w.model = calloc(MAX_MEMBERS, sizeof(element));
    CHECK(w.model != NULL);
    CHECK(kv_zset_create(&w.v, w.arena, &w.limits, 0, 0) == KV_OK && w.v.enc == KV_ENC_LISTPACK);
    for (int step = 0; step < steps; step++) {
        if (faults && kv_rng_below(&w.rng, 3) == 0) {
            w.mem.fail_after = (int64_t)kv_rng_below(&w.rng, kv_rng_below(&w.rng, 3) == 0 ? 80 : 3);
            w.mem.fail_forever = kv_rng_below(&w.rng, 2) == 0;
        }
        uint64_t action = kv_rng_below(&w.rng, 100);
        if (action < 52) do_add(&w, names);
        else if (action < 60) do_add_many(&w, names);
        else if (action < 62) do_remove_many(&w, names);
        else if (action < 85) do_remove(&w, names);
        else if (action < 90) do_remove_ranks(&w);
        else if (action < 94) do_copy(&w);
        else do_rehome(&w);
        w.mem.fail_after = -1;
        compare(&w, names);
        if (step % 16 == 0) scan_all(&w);
    }
    kv_zset_free(&w.v, w.arena);
    CHECK(kv_arena_used(w.arenas[0]) == 0 && kv_arena_used(w.arenas[1]) == 0);
    for (int i = 0; i < 2; i++) kv_arena_destroy(w.arenas[i]);
    free(w.model);
}

static void limits_and_adopting(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *a = kv_arena_create(&mem);
    kv_limits limits = {.zset_max_listpack_entries = 2, .zset_max_listpack_value = 4};
    kv_value v;
    CHECK(kv_zset_create(&v, a, &limits, 3, 1) == KV_OK && v.enc == KV_ENC_SKIPLIST && kv_zset_check(&v));
    kv_zset_free(&v, a);
    CHECK(kv_zset_create(&v, a, &limits, 1, 5) == KV_OK && v.enc == KV_ENC_SKIPLIST);
    kv_zset_free(&v, a);
    static const char *const fine[] = {"b", "1", "a", "1.5"}, *const unordered[] = {"b", "1", "a", "1"}, *const no_score[] = {"a", "x"},
                             *const twice[] = {"a", "1", "a", "2"}, *const three[] = {"a", "1", "b", "1", "c", "inf"},
                             *const big_twice[] = {"a", "1", "b", "1", "a", "3"};
    struct {
        const char *const *items;
        size_t count;
        kv_status status;
        kv_enc enc;
    } cases[] = {
        {fine, 4, KV_OK, KV_ENC_LISTPACK}, {fine, 3, KV_ECORRUPT, 0},  {fine, 0, KV_ECORRUPT, 0},          {unordered, 4, KV_ECORRUPT, 0},
        {no_score, 2, KV_ECORRUPT, 0},     {twice, 4, KV_ECORRUPT, 0}, {three, 6, KV_OK, KV_ENC_SKIPLIST}, {big_twice, 6, KV_ECORRUPT, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *lp = kv_lp_new(a);
        for (size_t n = 0; n < cases[i].count; n++) lp = kv_lp_append(a, lp, kv_slice_cstr(cases[i].items[n]));
        CHECK(kv_zset_adopt_listpack(&v, a, &limits, lp) == cases[i].status);
        if (cases[i].status == KV_OK) {
            CHECK(v.enc == cases[i].enc && kv_zset_check(&v));
            kv_zset_free(&v, a);
        } else {
            kv_lp_free(a, lp);
        }
    }
    kv_zadd_outcome outcome;
    CHECK(kv_zset_create(&v, a, &limits, 0, 0) == KV_OK);
    CHECK(kv_zset_add(&v, a, &limits, KV_LIT("a"), NAN, 0, &outcome, NULL) == KV_ENAN && kv_zset_length(&v) == 0);
    kv_zset_free(&v, a);
    CHECK(kv_arena_used(a) == 0);
    kv_arena_destroy(a);
}

int main(void) {
    limits_and_adopting();
    random_run(1, 16, false, false, 2500);  /* stays small for long */
    random_run(2, 250, false, false, 2500); /* becomes a skiplist */
    random_run(3, 16, false, true, 1500);
    random_run(4, 150, false, true, 1500);
    for (uint64_t seed = 10; seed < 18; seed++) random_run(seed, seed % 2 == 0 ? 18 : 60, true, seed % 3 == 0, 700);
    printf("ok type_zset\n");
    return 0;
}
