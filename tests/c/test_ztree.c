/* sources: ds/ztree.c ds/ztree_read.c base/arena.c base/arena_plain.c base/pages.c base/mem.c base/sync.c base/slice.c base/rng.c */
/* The tree against a sorted array: random changes with many equal scores, ranks, ranges, deletions, allocation failures. */
#include "ds/ztree.h"
#include "base/rng.h"
#include "check.h"
#include <math.h>

enum { MEMBERS = 6000 };

typedef struct world {
    kv_mem mem;
    kv_arena *arena;
    kv_rng rng;
    kv_ztree tree;
    kv_zelem *by_id[MEMBERS];
    kv_zelem *sorted[MEMBERS]; /* the oracle */
    size_t count;
    size_t next_gone; /* delete_range reports in order */
    bool faulty;
} world;

static uint64_t below(world *w, uint64_t n) { return kv_rng_below(&w->rng, n); }

static kv_slice name_of(uint64_t id, char out[400]) {
    size_t len = (size_t)snprintf(out, 400, "%llu", (unsigned long long)(id * 7919 % 100003));
    if (id % 97 == 0) { /* some long ones */
        memset(out + len, 'x', 300);
        len += 300;
    }
    if (id == 1) len = 0;
    return kv_slice_of(out, len);
}

static int order(const kv_zelem *a, const kv_zelem *b) {
    if (a->score != b->score) return a->score < b->score ? -1 : 1;
    return kv_slice_cmp(kv_zelem_member(a), kv_zelem_member(b));
}

static size_t oracle_rank(const world *w, const kv_zelem *elem) {
    size_t low = 0, high = w->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (order(w->sorted[mid], elem) < 0) low = mid + 1;
        else high = mid;
    }
    return low;
}

static void oracle_add(world *w, kv_zelem *elem) {
    size_t at = oracle_rank(w, elem);
    memmove(w->sorted + at + 1, w->sorted + at, (w->count++ - at) * sizeof *w->sorted);
    w->sorted[at] = elem;
}

static void oracle_drop(world *w, size_t at) { memmove(w->sorted + at, w->sorted + at + 1, (--w->count - at) * sizeof *w->sorted); }

static double any_score(world *w) {
    switch (below(w, 12)) {
    case 0: return INFINITY;
    case 1: return -INFINITY;
    case 2: return (double)below(w, 1000000) / 7.0;
    case 3: return -0.0;
    default: return (double)below(w, 40) - 10;
    }
}

static void gone(void *arg, kv_zelem *elem) {
    world *w = arg;
    CHECK(w->sorted[w->next_gone++] == elem);
    for (size_t i = 0; i < MEMBERS; i++)
        if (w->by_id[i] == elem) w->by_id[i] = NULL;
    kv_zelem_free(w->arena, elem);
}

static void check_ranges(world *w) {
    size_t from, to, a = 0, b = 0;
    kv_zrange range = {any_score(w), any_score(w), below(w, 2) == 0, below(w, 2) == 0};
    kv_ztree_score_range(&w->tree, &range, &from, &to);
    for (size_t i = 0; i < w->count; i++) {
        double s = w->sorted[i]->score;
        a += range.min_open ? s <= range.min : s < range.min;
        b += kv_zrange_has(&range, s);
    }
    CHECK(to - from == b && (b == 0 || from == a));
    (void)kv_ztree_rank_of_member(&w->tree, KV_LIT("5"), false); /* scores differ: any rank, but no harm */
    CHECK(kv_ztree_rank_of_member(&w->tree, KV_LIT("5"), true) <= w->count);
}

static void check_walk(world *w) {
    kv_zcursor cursor;
    size_t from = below(w, w->count + 1), i = from;
    for (kv_zelem *elem = kv_ztree_at(&w->tree, from, &cursor); elem != NULL; elem = kv_zcursor_next(&cursor))
        CHECK(w->sorted[i++] == elem);
    CHECK(i == w->count);
    i = from;
    for (kv_zelem *elem = kv_ztree_at(&w->tree, from, &cursor); elem != NULL; elem = kv_zcursor_prev(&cursor))
        CHECK(w->sorted[i--] == elem);
    CHECK(from == w->count || i == SIZE_MAX);
    CHECK(kv_ztree_first(&w->tree, &cursor) == (w->count > 0 ? w->sorted[0] : NULL));
    CHECK(kv_ztree_last(&w->tree, &cursor) == (w->count > 0 ? w->sorted[w->count - 1] : NULL));
}

static void change(world *w, uint64_t id, unsigned growth, bool ascending) {
    char name[400];
    kv_zelem *elem = w->by_id[id];
    size_t rank = 0;
    if (elem == NULL) {
        if (below(w, 100) >= growth) return;
        double score = ascending ? (w->count > 0 ? w->sorted[w->count - 1]->score : 0) + 1 : any_score(w);
        elem = kv_zelem_new(w->arena, score, name_of(id, name));
        if (elem == NULL) {
            CHECK(w->faulty);
            return;
        }
        CHECK(kv_slice_eq(kv_zelem_member(elem), name_of(id, name)));
        CHECK(!kv_ztree_rank(&w->tree, score, kv_zelem_member(elem), &rank));
        CHECK(kv_ztree_remove(&w->tree, score, kv_zelem_member(elem)) == NULL);
        if (kv_ztree_insert(&w->tree, elem, &rank) != KV_OK) {
            CHECK(w->faulty);
            kv_zelem_free(w->arena, elem);
            return;
        }
        CHECK(rank == oracle_rank(w, elem));
        oracle_add(w, elem);
        w->by_id[id] = elem;
        return;
    }
    size_t at = oracle_rank(w, elem);
    CHECK(kv_ztree_rank(&w->tree, elem->score, kv_zelem_member(elem), &rank) && rank == at);
    if (below(w, 3) == 0) {
        double score = below(w, 2) == 0 ? any_score(w) : elem->score + (double)below(w, 3) - 1, before = elem->score;
        if (isnan(score)) return;
        oracle_drop(w, at);
        if (kv_ztree_update(&w->tree, elem, score) != KV_OK) CHECK(w->faulty && elem->score == before);
        oracle_add(w, elem);
    } else if (below(w, 100) >= growth) {
        CHECK(kv_ztree_rank_of_elem(&w->tree, elem, &rank) && rank == at);
        if (below(w, 2) == 0) CHECK(kv_ztree_remove(&w->tree, elem->score, kv_zelem_member(elem)) == elem);
        else CHECK(kv_ztree_remove_elem(&w->tree, elem) && !kv_ztree_remove_elem(&w->tree, elem));
        oracle_drop(w, at);
        w->by_id[id] = NULL;
        kv_zelem_free(w->arena, elem);
    } else if (below(w, 10) == 0) {
        kv_zelem *copy = kv_zelem_new(w->arena, elem->score, kv_zelem_member(elem));
        if (copy == NULL) return;
        CHECK(kv_ztree_replace(&w->tree, elem, copy) && !kv_ztree_replace(&w->tree, elem, copy));
        w->by_id[id] = w->sorted[at] = copy;
        kv_zelem_free(w->arena, elem);
    }
}

static void delete_some(world *w, size_t most) {
    size_t from = below(w, w->count + 3), to = from + below(w, most);
    w->next_gone = from;
    size_t n = kv_ztree_delete_range(&w->tree, from, to, gone, w), real = to < w->count ? to : w->count;
    CHECK(n == (from < real ? real - from : 0) && (n == 0 || w->next_gone == from + n));
    if (n == 0) return;
    memmove(w->sorted + from, w->sorted + from + n, (w->count - from - n) * sizeof *w->sorted);
    w->count -= n;
}

static void test(uint64_t seed, size_t members, size_t steps, bool faults, size_t every) {
    static world w;
    memset(&w, 0, sizeof w);
    kv_mem_init(&w.mem);
    w.arena = kv_arena_create(&w.mem);
    w.faulty = faults;
    kv_rng_seed(&w.rng, seed);
    kv_ztree_init(&w.tree, w.arena);
    unsigned growth = 75;
    bool ascending = false;
    for (size_t i = 0; i < steps; i++) {
        if (below(&w, members) == 0) {
            growth = (unsigned)below(&w, 101);
            ascending = below(&w, 4) == 0;
        }
        if (faults && below(&w, 20) == 0) {
            atomic_store(&w.mem.fail_forever, below(&w, 2) == 0);
            atomic_store(&w.mem.fail_after, (int64_t)below(&w, 6) - 1);
        }
        change(&w, below(&w, members), growth, ascending);
        if (below(&w, members) == 0) delete_some(&w, members);
        if (i % every == 0) {
            CHECK(kv_ztree_check(&w.tree) && kv_ztree_count(&w.tree) == w.count);
            check_ranges(&w);
            check_walk(&w);
        }
    }
    atomic_store(&w.mem.fail_after, -1);
    if (seed % 2 == 0) {
        w.next_gone = 0;
        kv_ztree_deinit(&w.tree, gone, &w);
        CHECK(w.next_gone == w.count);
    } else {
        while (w.count > 0) delete_some(&w, members);
    }
    CHECK(kv_ztree_check(&w.tree) && kv_ztree_bytes(&w.tree) == 0 && kv_arena_used(w.arena) == 0);
    kv_arena_destroy(w.arena);
}

/* Every allocation of every update fails once: nothing may have changed. */
static void test_update_sweep(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    kv_ztree tree;
    kv_ztree_init(&tree, arena);
    kv_zelem *elems[2000];
    size_t failures = 0;
    for (size_t i = 0; i < 2000; i++) {
        char name[8];
        elems[i] = kv_zelem_new(arena, (double)i, kv_slice_of(name, (size_t)snprintf(name, sizeof name, "%zu", i)));
        CHECK(kv_ztree_insert(&tree, elems[i], NULL) == KV_OK); /* ascending: all nodes full */
    }
    atomic_store(&mem.fail_forever, true);
    for (size_t i = 0; i < 2000; i++) {
        double before = elems[i]->score, after = (double)((i * 769 + 13) % 2000) + 0.5;
        atomic_store(&mem.fail_after, 0);
        kv_status status = kv_ztree_update(&tree, elems[i], after);
        atomic_store(&mem.fail_after, -1);
        CHECK(elems[i]->score == (status == KV_OK ? after : before));
        CHECK(kv_ztree_check(&tree) && kv_ztree_count(&tree) == 2000);
        if (status == KV_OK) continue;
        failures++;
        CHECK(kv_ztree_update(&tree, elems[i], after) == KV_OK);
    }
    CHECK(failures > 0);
    kv_arena_destroy(arena);
}

static void test_lex(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    kv_ztree tree;
    kv_ztree_init(&tree, arena);
    char names[1000][8];
    for (int i = 0; i < 1000; i++) {
        snprintf(names[i], 8, "%04d", i * 7 % 1000 * 2); /* even numbers, shuffled */
        CHECK(kv_ztree_insert(&tree, kv_zelem_new(arena, 0, kv_slice_of(names[i], 4)), NULL) == KV_OK);
    }
    for (int lo = -1; lo < 2001; lo += 111)
        for (int hi = -1; hi < 2003; hi += 93)
            for (int kinds = 0; kinds < 16; kinds += 3) {
                char a[8], b[8];
                snprintf(a, 8, "%04d", lo < 0 ? 0 : lo);
                snprintf(b, 8, "%04d", hi < 0 ? 0 : hi);
                kv_lex_range range = {{(kv_lex_kind)(kinds % 4), kv_slice_of(a, 4)}, {(kv_lex_kind)(kinds / 4), kv_slice_of(b, 4)}};
                size_t from, to, expected = 0, first = 0;
                kv_ztree_lex_range(&tree, &range, &from, &to);
                for (int i = 0; i < 1000; i++) {
                    char m[8];
                    snprintf(m, 8, "%04d", i * 2);
                    if (kv_lex_range_has(&range, kv_slice_of(m, 4)) && expected++ == 0) first = (size_t)i;
                }
                CHECK(to - from == expected && (expected == 0 || from == first));
            }
    kv_arena_destroy(arena);
}

/* Enough elements for three inner levels; scores that lie close together, far apart, or all in one place, so that hints are fitted again and again. */
static void test_many(unsigned shape) {
    enum { MANY = 150000 };
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    kv_rng rng;
    kv_rng_seed(&rng, 40 + shape);
    kv_ztree tree;
    kv_ztree_init(&tree, arena);
    static kv_zelem *elems[MANY];
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < MANY; i++) {
            char name[12];
            double n = (double)kv_rng_below(&rng, MANY / 2), score = n;
            if (shape == 1) score = kv_rng_below(&rng, 50) == 0 ? ldexp(n + 1, (int)kv_rng_below(&rng, 2000) - 1020) : 1e15 + n / 8;
            if (shape == 2) score = -(double)i;
            if (shape == 3) score = kv_rng_below(&rng, 1000) == 0 ? n : 7;
            if (round == 0) {
                elems[i] = kv_zelem_new(arena, score, kv_slice_of(name, (size_t)snprintf(name, sizeof name, "%zu", i * 7919 % 1000003)));
                CHECK(kv_ztree_insert(&tree, elems[i], NULL) == KV_OK);
            } else if (round == 1) {
                CHECK(kv_ztree_update(&tree, elems[i], shape == 2 ? score * 3 : score) == KV_OK);
            } else if (i % 8 != 0) {
                CHECK(kv_ztree_remove_elem(&tree, elems[i]));
                kv_zelem_free(arena, elems[i]);
                elems[i] = NULL;
            }
        }
        CHECK(kv_ztree_check(&tree));
        kv_zcursor cursor;
        size_t rank = 0, found;
        for (kv_zelem *elem = kv_ztree_first(&tree, &cursor); elem != NULL; elem = kv_zcursor_next(&cursor), rank++)
            if (rank % 61 == 0)
                CHECK(kv_ztree_rank_of_elem(&tree, elem, &found) && found == rank &&
                      kv_ztree_rank(&tree, elem->score, kv_zelem_member(elem), &found) && found == rank);
        CHECK(rank == kv_ztree_count(&tree) && rank == (round < 2 ? MANY : (MANY + 7) / 8));
    }
    CHECK(kv_ztree_delete_range(&tree, 5, SIZE_MAX, NULL, NULL) == (MANY + 7) / 8 - 5 && kv_ztree_check(&tree));
    kv_ztree_deinit(&tree, NULL, NULL);
    CHECK(kv_ztree_bytes(&tree) == 0);
    kv_arena_destroy(arena);
}

/* Elements with one key, as a change of many members leaves them for a while: the newest one or the one before it is always found, whatever
 * leaves they have come to lie in. */
static void test_twins(void) {
    enum { TWINS = 1000 };
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    kv_ztree tree;
    kv_ztree_init(&tree, arena);
    kv_zelem *twins[TWINS];
    for (int i = 0; i < 300; i++) {
        char name[8];
        kv_slice member = kv_slice_of(name, (size_t)snprintf(name, sizeof name, "%03d", i));
        CHECK(kv_ztree_insert(&tree, kv_zelem_new(arena, i % 3, member), NULL) == KV_OK);
    }
    for (int i = 0; i < TWINS; i++) {
        twins[i] = kv_zelem_new(arena, 1, KV_LIT("0993"));
        CHECK(kv_ztree_insert(&tree, twins[i], NULL) == KV_OK);
    }
    for (int i = TWINS - 2; i >= TWINS / 2; i--) CHECK(kv_ztree_remove_elem(&tree, twins[i])); /* all but the newest */
    CHECK(kv_ztree_remove_elem(&tree, twins[TWINS - 1]));
    for (int i = TWINS / 2 - 1; i >= 0; i--) CHECK(kv_ztree_remove_elem(&tree, twins[i]));
    CHECK(!kv_ztree_remove_elem(&tree, twins[0]));
    CHECK(kv_ztree_count(&tree) == 300 && kv_ztree_check(&tree));
    kv_arena_destroy(arena);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 6; seed++) test(seed, 30 + seed * 60, 6000, seed % 3 == 0, 1);
    test(11, MEMBERS, 120000, false, 2000);
    test(12, MEMBERS, 120000, true, 2000);
    test_update_sweep();
    test_lex();
    for (unsigned shape = 0; shape < 4; shape++) test_many(shape);
    test_twins();
    printf("ok ztree\n");
    return 0;
}
