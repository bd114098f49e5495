/* sources: ds/skiplist.c base/arena.c base/arena_plain.c base/pages.c base/mem.c base/sync.c base/slice.c base/rng.c */
/* The skiplist against a sorted array: random changes with many equal scores, ranks, ranges, deletions, allocation failures. */
#include "ds/skiplist.h"
#include "base/rng.h"
#include "check.h"
#include <math.h>

enum { MEMBERS = 6000 };

typedef struct world {
    kv_mem mem;
    kv_arena *arena;
    kv_rng rng;
    kv_skiplist list;
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
    kv_skiplist_score_range(&w->list, &range, &from, &to);
    for (size_t i = 0; i < w->count; i++) {
        double s = w->sorted[i]->score;
        a += range.min_open ? s <= range.min : s < range.min;
        b += kv_zrange_has(&range, s);
    }
    CHECK(to - from == b && (b == 0 || from == a));
    (void)kv_skiplist_rank_of_member(&w->list, KV_LIT("5"), false); /* scores differ: any rank, but no harm */
    CHECK(kv_skiplist_rank_of_member(&w->list, KV_LIT("5"), true) <= w->count);
}

static void check_walk(world *w) {
    kv_zcursor cursor;
    size_t from = below(w, w->count + 1), i = from;
    for (kv_zelem *elem = kv_skiplist_at(&w->list, from, &cursor); elem != NULL; elem = kv_zcursor_next(&cursor))
        CHECK(w->sorted[i++] == elem);
    CHECK(i == w->count);
    i = from;
    for (kv_zelem *elem = kv_skiplist_at(&w->list, from, &cursor); elem != NULL; elem = kv_zcursor_prev(&cursor))
        CHECK(w->sorted[i--] == elem);
    CHECK(from == w->count || i == SIZE_MAX);
    CHECK(kv_skiplist_first(&w->list, &cursor) == (w->count > 0 ? w->sorted[0] : NULL));
    CHECK(kv_skiplist_last(&w->list, &cursor) == (w->count > 0 ? w->sorted[w->count - 1] : NULL));
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
        CHECK(!kv_skiplist_rank(&w->list, score, kv_zelem_member(elem), &rank));
        CHECK(kv_skiplist_remove(&w->list, score, kv_zelem_member(elem)) == NULL);
        if (kv_skiplist_insert(&w->list, elem, &rank) != KV_OK) {
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
    CHECK(kv_skiplist_rank(&w->list, elem->score, kv_zelem_member(elem), &rank) && rank == at);
    if (below(w, 3) == 0) {
        double score = below(w, 2) == 0 ? any_score(w) : elem->score + (double)below(w, 3) - 1, before = elem->score;
        if (isnan(score)) return;
        oracle_drop(w, at);
        if (kv_skiplist_update(&w->list, elem, score) != KV_OK) CHECK(w->faulty && elem->score == before);
        oracle_add(w, elem);
    } else if (below(w, 100) >= growth) {
        CHECK(kv_skiplist_rank_of_elem(&w->list, elem, &rank) && rank == at);
        if (below(w, 2) == 0) CHECK(kv_skiplist_remove(&w->list, elem->score, kv_zelem_member(elem)) == elem);
        else CHECK(kv_skiplist_remove_elem(&w->list, elem) && !kv_skiplist_remove_elem(&w->list, elem));
        oracle_drop(w, at);
        w->by_id[id] = NULL;
        kv_zelem_free(w->arena, elem);
    } else if (below(w, 10) == 0) {
        kv_zelem *copy = kv_zelem_new(w->arena, elem->score, kv_zelem_member(elem));
        if (copy == NULL) return;
        CHECK(kv_skiplist_replace(&w->list, elem, copy) && !kv_skiplist_replace(&w->list, elem, copy));
        w->by_id[id] = w->sorted[at] = copy;
        kv_zelem_free(w->arena, elem);
    }
}

static void delete_some(world *w, size_t most) {
    size_t from = below(w, w->count + 3), to = from + below(w, most);
    w->next_gone = from;
    size_t n = kv_skiplist_delete_range(&w->list, from, to, gone, w), real = to < w->count ? to : w->count;
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
    kv_skiplist_init(&w.list, w.arena, seed);
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
            CHECK(kv_skiplist_check(&w.list) && kv_skiplist_count(&w.list) == w.count);
            check_ranges(&w);
            check_walk(&w);
        }
    }
    atomic_store(&w.mem.fail_after, -1);
    if (seed % 2 == 0) {
        w.next_gone = 0;
        kv_skiplist_deinit(&w.list, gone, &w);
        CHECK(w.next_gone == w.count);
    } else {
        while (w.count > 0) delete_some(&w, members);
    }
    CHECK(kv_skiplist_check(&w.list) && kv_skiplist_bytes(&w.list) == 0 && kv_arena_used(w.arena) == 0);
    kv_arena_destroy(w.arena);
}

/* Every allocation of every update fails once: nothing may have changed. */
static void test_update_sweep(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    kv_skiplist list;
    kv_skiplist_init(&list, arena, 5);
    kv_zelem *elems[2000];
    size_t failures = 0;
    for (size_t i = 0; i < 2000; i++) {
        char name[8];
        elems[i] = kv_zelem_new(arena, (double)i, kv_slice_of(name, (size_t)snprintf(name, sizeof name, "%zu", i)));
        CHECK(kv_skiplist_insert(&list, elems[i], NULL) == KV_OK); /* ascending: all nodes full */
    }
    atomic_store(&mem.fail_forever, true);
    for (size_t i = 0; i < 2000; i++) {
        double before = elems[i]->score, after = (double)((i * 769 + 13) % 2000) + 0.5;
        atomic_store(&mem.fail_after, 0);
        kv_status status = kv_skiplist_update(&list, elems[i], after);
        atomic_store(&mem.fail_after, -1);
        CHECK(elems[i]->score == (status == KV_OK ? after : before));
        CHECK(kv_skiplist_check(&list) && kv_skiplist_count(&list) == 2000);
        if (status == KV_OK) continue;
        failures++;
        CHECK(kv_skiplist_update(&list, elems[i], after) == KV_OK);
    }
    CHECK(failures > 0);
    kv_arena_destroy(arena);
}

static void test_lex(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    kv_skiplist list;
    kv_skiplist_init(&list, arena, 6);
    char names[1000][8];
    for (int i = 0; i < 1000; i++) {
        snprintf(names[i], 8, "%04d", i * 7 % 1000 * 2); /* even numbers, shuffled */
        CHECK(kv_skiplist_insert(&list, kv_zelem_new(arena, 0, kv_slice_of(names[i], 4)), NULL) == KV_OK);
    }
    for (int lo = -1; lo < 2001; lo += 111)
        for (int hi = -1; hi < 2003; hi += 93)
            for (int kinds = 0; kinds < 16; kinds += 3) {
                char a[8], b[8];
                snprintf(a, 8, "%04d", lo < 0 ? 0 : lo);
                snprintf(b, 8, "%04d", hi < 0 ? 0 : hi);
                kv_lex_range range = {{(kv_lex_kind)(kinds % 4), kv_slice_of(a, 4)}, {(kv_lex_kind)(kinds / 4), kv_slice_of(b, 4)}};
                size_t from, to, expected = 0, first = 0;
                kv_skiplist_lex_range(&list, &range, &from, &to);
                for (int i = 0; i < 1000; i++) {
                    char m[8];
                    snprintf(m, 8, "%04d", i * 2);
                    if (kv_lex_range_has(&range, kv_slice_of(m, 4)) && expected++ == 0) first = (size_t)i;
                }
                CHECK(to - from == expected && (expected == 0 || from == first));
            }
    kv_arena_destroy(arena);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 6; seed++) test(seed, 30 + seed * 60, 6000, seed % 3 == 0, 1);
    test(11, MEMBERS, 120000, false, 2000);
    test(12, MEMBERS, 120000, true, 2000);
    test_update_sweep();
    test_lex();
    printf("ok skiplist\n");
    return 0;
}
