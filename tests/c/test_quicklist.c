/* sources: ds/quicklist.c ds/quicklist_pack.c ds/lzf.c ds/listpack.c base/num.c base/arena.c base/arena_plain.c base/pages.c base/mem.c base/sync.c base/slice.c base/rng.c */
/* The quicklist against an array of texts: every operation at random, for several fills, depths of compression and thresholds
 * of plain nodes, with items of all sizes and with allocation failures. How deep the compression goes must not show in the chain of nodes. */
#include "ds/quicklist.h"
#include "base/rng.h"
#include "check.h"

enum { MOST = 1200, BIG = 20000 };

typedef struct text {
    uint8_t *ptr;
    size_t len;
} text;

typedef struct world {
    kv_mem mem;
    kv_arena *arena;
    kv_rng rng;
    kv_quicklist *list;
    text items[MOST + 8];
    size_t count;
    bool faulty;
    kv_ql_rules rules;
    size_t big_one_in;
    uint8_t scratch[BIG];
} world;

static uint64_t below(world *w, uint64_t n) { return kv_rng_below(&w->rng, n); }

static kv_slice any_item(world *w) {
    size_t len;
    if (below(w, w->big_one_in) == 0) {
        len = below(w, BIG);
        memset(w->scratch, 'a' + (int)below(w, 26), len);
    } else if (below(w, 2) == 0) {
        len = (size_t)snprintf((char *)w->scratch, 32, "%d", (int)below(w, 12) * (below(w, 2) != 0 ? 1000003 : 1));
    } else {
        len = below(w, 3) == 0 ? below(w, 400) : below(w, 4);
        memset(w->scratch, 'a' + (int)below(w, 3), len);
    }
    return kv_slice_of(w->scratch, len);
}

static text text_of(kv_slice item) {
    text t = {malloc(item.len + 1), item.len};
    CHECK(t.ptr != NULL);
    if (item.len > 0) memcpy(t.ptr, item.ptr, item.len);
    return t;
}

static void oracle_add(world *w, size_t at, kv_slice item) {
    memmove(w->items + at + 1, w->items + at, (w->count++ - at) * sizeof *w->items);
    w->items[at] = text_of(item);
}

static void oracle_drop(world *w, size_t at, size_t n) {
    for (size_t i = at; i < at + n; i++) free(w->items[i].ptr);
    memmove(w->items + at, w->items + at + n, (w->count - at - n) * sizeof *w->items);
    w->count -= n;
}

static bool same(text t, kv_slice item) { return kv_slice_eq(kv_slice_of(t.ptr, t.len), item); }

static void compare(const world *w, const kv_quicklist *list) {
    CHECK(kv_quicklist_check(list) && kv_quicklist_count(list) == w->count);
    size_t used = kv_arena_used(w->arena), number = 0;
    for (const kv_ql_node *node = list->head; node != NULL && !w->faulty; node = node->next, number++) {
        bool inside = number >= list->depth && list->nodes - number > list->depth && list->depth > 0;
        CHECK(inside ? node->form == KV_QL_PACKED || node->form == KV_QL_STUBBORN : node->form != KV_QL_PACKED);
    }
    CHECK(w->faulty || !list->behind);
    kv_ql_pos pos;
    char scratch[KV_LP_SCRATCH];
    size_t n = 0;
    for (kv_status s = kv_quicklist_at(list, 0, &pos); s == KV_OK; s = kv_ql_next(&pos))
        CHECK(n < w->count && same(w->items[n++], kv_ql_text(&pos, scratch)));
    CHECK(n == w->count);
    for (kv_status s = kv_quicklist_at(list, -1, &pos); s == KV_OK; s = kv_ql_prev(&pos))
        CHECK(n > 0 && same(w->items[--n], kv_ql_text(&pos, scratch)));
    CHECK(n == 0 && kv_arena_used(w->arena) == used);
}

static bool survived(const world *w, kv_status status) {
    CHECK(status == KV_OK || (status == KV_ENOMEM && w->faulty));
    return status == KV_OK;
}

static void remove_equal(world *w, kv_slice item) {
    int64_t n = (int64_t)below(w, 9) - 4;
    size_t removed, most = n == 0 ? SIZE_MAX : (size_t)(n < 0 ? -n : n), expected = 0;
    kv_status status = kv_quicklist_remove(w->list, item, n, &removed);
    if (!survived(w, status)) most = removed;
    for (size_t i = 0; i < w->count && expected < most;) {
        size_t at = n < 0 ? w->count - 1 - i : i;
        if (same(w->items[at], item)) {
            oracle_drop(w, at, 1);
            expected++;
        } else {
            i++;
        }
    }
    CHECK(removed == expected);
}

static bool placed(const world *w, int64_t index, bool there, kv_ql_pos *pos) {
    kv_status status = kv_quicklist_at(w->list, index, pos);
    if (status == KV_ENOMEM) CHECK(w->faulty && w->rules.depth > 0);
    else CHECK(status == (there ? KV_OK : KV_ENOTFOUND));
    return status == KV_OK;
}

static void find_equal(world *w, kv_slice item) {
    kv_ql_pos pos;
    size_t start = below(w, w->count + 1), walked;
    bool backwards = below(w, 2) == 0;
    if (!placed(w, (int64_t)start, start < w->count, &pos)) return;
    size_t at = start;
    while (at < w->count && !same(w->items[at], item)) at += backwards ? SIZE_MAX : 1;
    kv_status status = kv_ql_find(&pos, item, backwards, &walked);
    if (status == KV_ENOMEM) CHECK(w->faulty && w->rules.depth > 0);
    else CHECK(status == (at < w->count ? KV_OK : KV_ENOTFOUND));
    if (status == KV_OK) CHECK(walked == (backwards ? start - at : at - start) && kv_ql_equals(&pos, item));
    kv_ql_pos_end(&pos);
}

static void rotate(world *w) {
    kv_ql_end from = below(w, 2) == 0 ? KV_QL_HEAD : KV_QL_TAIL;
    kv_status status = kv_quicklist_rotate(w->list, from);
    if (w->count == 0) {
        CHECK(status == KV_ENOTFOUND);
        return;
    }
    if (!survived(w, status)) return;
    size_t out = from == KV_QL_HEAD ? 0 : w->count - 1, in = w->count - 1 - out;
    text t = w->items[out];
    memmove(w->items + out, w->items + out + 1, (w->count - 1 - out) * sizeof t);
    memmove(w->items + in + 1, w->items + in, (w->count - 1 - in) * sizeof t);
    w->items[in] = t;
}

static void small_and_back(world *w) {
    if (w->list->nodes == 1 && !w->list->head->plain) {
        int64_t before = atomic_exchange(&w->mem.fail_after, -1);
        uint8_t *lp = kv_quicklist_take_listpack(w->list, w->arena);
        CHECK(lp != NULL);
        w->list = kv_quicklist_from_listpack(w->arena, lp, &w->rules);
        atomic_store(&w->mem.fail_after, before);
        CHECK(w->list != NULL && w->list->fill == w->rules.fill && w->list->depth == w->rules.depth);
        return;
    }
    kv_quicklist *copy = kv_quicklist_dup(w->arena, w->list);
    if (copy == NULL) {
        CHECK(w->faulty);
        return;
    }
    CHECK(kv_quicklist_count(copy) == w->count);
    if (!w->faulty) compare(w, copy);
    kv_quicklist_free(copy);
}

static void step(world *w, unsigned growth) {
    kv_slice item = any_item(w);
    kv_ql_pos pos;
    size_t at = below(w, w->count + 1);
    bool there = at < w->count, grow = below(w, 100) < growth;
    switch (below(w, 16)) {
    case 0:
    case 1:
    case 2:
        if (w->count < MOST && grow) {
            kv_ql_end end = below(w, 2) == 0 ? KV_QL_HEAD : KV_QL_TAIL;
            if (survived(w, kv_quicklist_push(w->list, end, item))) oracle_add(w, end == KV_QL_HEAD ? 0 : w->count, item);
        } else if (!grow) {
            kv_ql_end end = below(w, 2) == 0 ? KV_QL_HEAD : KV_QL_TAIL;
            if (w->count == 0) CHECK(kv_quicklist_pop(w->list, end) == KV_ENOTFOUND);
            else if (survived(w, kv_quicklist_pop(w->list, end))) oracle_drop(w, end == KV_QL_HEAD ? 0 : w->count - 1, 1);
        }
        break;
    case 3:
    case 4:
    case 5:
    case 6: {
        bool after = below(w, 2) == 0;
        if (!there || w->count >= MOST || !grow) break;
        if (!placed(w, (int64_t)at, true, &pos)) break;
        if (survived(w, kv_quicklist_insert(w->list, &pos, after, item))) oracle_add(w, at + after, item);
        break;
    }
    case 7:
    case 8:
        if (!placed(w, (int64_t)at, there, &pos) || !survived(w, kv_quicklist_set(w->list, &pos, item))) break;
        free(w->items[at].ptr);
        w->items[at] = text_of(item);
        break;
    case 9: {
        size_t n = below(w, grow ? 4 : w->count / 2 + 2), removed = 99;
        int64_t start = (int64_t)at - (below(w, 2) == 0 && there ? (int64_t)w->count : 0);
        if (!survived(w, kv_quicklist_delete_range(w->list, start, n, &removed))) {
            CHECK(removed == 0);
            break;
        }
        if (n > w->count - at) n = w->count - at;
        CHECK(removed == n);
        oracle_drop(w, at, n);
        break;
    }
    case 10:
        if (!grow || below(w, 4) == 0) remove_equal(w, item);
        break;
    case 11: find_equal(w, item); break;
    case 12:
    case 13: rotate(w); break;
    case 14:
        if (w->rules.large != 0) kv_quicklist_set_large(w->list, below(w, 2) == 0 ? 0 : w->rules.large);
        break;
    default: small_and_back(w); break;
    }
}

/* Pushes and pops at one end in a row, each followed by a look now and then: the first node keeps its room in front meanwhile. */
static void run(world *w) {
    kv_ql_end end = below(w, 4) != 0 ? KV_QL_HEAD : KV_QL_TAIL;
    unsigned growth = (unsigned)below(w, 101);
    for (size_t n = below(w, 120); n > 0; n--) {
        size_t at = end == KV_QL_HEAD ? 0 : w->count - (below(w, 2) == 0 && w->count > 0);
        if (below(w, 100) < growth) {
            if (w->count >= MOST) break;
            kv_slice item = any_item(w);
            if (survived(w, kv_quicklist_push(w->list, end, item))) oracle_add(w, end == KV_QL_HEAD ? 0 : w->count, item);
        } else if (w->count > 0) {
            if (survived(w, kv_quicklist_pop(w->list, end))) oracle_drop(w, end == KV_QL_HEAD ? 0 : w->count - 1, 1);
        }
        kv_ql_pos pos;
        char scratch[KV_LP_SCRATCH];
        if (at >= w->count || !placed(w, (int64_t)at, true, &pos)) continue;
        CHECK(same(w->items[at], kv_ql_text(&pos, scratch)));
        kv_ql_pos_end(&pos);
    }
}

/* A number for the chain: nodes, what they hold, and which are plain. */
static uint64_t shape(const kv_quicklist *list) {
    uint64_t sum = list->nodes;
    for (const kv_ql_node *node = list->head; node != NULL; node = node->next)
        sum = (sum ^ (node->bytes << 20 | (uint64_t)node->count << 1 | node->plain)) * UINT64_C(0x9e3779b97f4a7c15) + (sum >> 29);
    return sum;
}

static uint64_t test(uint64_t seed, const kv_ql_rules *rules, size_t steps, bool faults, bool runs, size_t every) {
    static world w;
    memset(&w, 0, sizeof w);
    kv_mem_init(&w.mem);
    w.arena = kv_arena_create(&w.mem);
    w.faulty = faults;
    w.big_one_in = seed % 3 == 0 ? 30 : 3000;
    kv_rng_seed(&w.rng, seed);
    w.rules = *rules;
    w.list = kv_quicklist_new(w.arena, rules);
    CHECK(w.list != NULL);
    unsigned growth = 80;
    for (size_t i = 0; i < steps; i++) {
        if (below(&w, 500) == 0) growth = (unsigned)below(&w, 101);
        if (faults) {
            atomic_store(&w.mem.fail_forever, below(&w, 2) == 0);
            atomic_store(&w.mem.fail_after, (int64_t)below(&w, 10) - 5);
        }
        if (runs && below(&w, 3) == 0) run(&w);
        else step(&w, growth);
        if (i % every == 0) {
            atomic_store(&w.mem.fail_after, -1);
            compare(&w, w.list);
        }
    }
    atomic_store(&w.mem.fail_after, -1);
    compare(&w, w.list);
    CHECK(kv_quicklist_bytes(w.list) == kv_arena_used(w.arena));
    uint64_t sum = shape(w.list);
    (void)kv_quicklist_drain(w.list, 2);
    (void)kv_quicklist_drain(w.list, 3);
    kv_quicklist_free(w.list);
    oracle_drop(&w, 0, w.count);
    CHECK(kv_arena_used(w.arena) == 0 && kv_arena_check(w.arena));
    kv_arena_destroy(w.arena);
    return sum;
}

/* Whole nodes handed over, as a file reader does, with every allocation failing once: what was not taken stays the caller's. */
static void test_whole_nodes(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    const kv_ql_rules rules = {.fill = -2};
    for (int64_t fail = -1; fail < 6; fail++) {
        uint8_t *empty = kv_lp_new(arena), *lp = kv_lp_append(arena, kv_lp_new(arena), KV_LIT("12")), *block = kv_arena_alloc(arena, 10000);
        CHECK(empty != NULL && lp != NULL && block != NULL);
        memset(block, 'x', 10000);
        atomic_store(&mem.fail_forever, false);
        atomic_store(&mem.fail_after, fail);
        kv_quicklist *list = kv_quicklist_from_listpack(arena, empty, &rules);
        if (list == NULL) {
            kv_lp_free(arena, empty);
            list = kv_quicklist_new(arena, &rules);
            CHECK(list != NULL);
        }
        CHECK(kv_quicklist_take_listpack(list, arena) == NULL);
        if (kv_quicklist_append_plain(list, block, 10000) != KV_OK) kv_arena_free(arena, block, 10000);
        if (kv_quicklist_append_listpack(list, lp) != KV_OK) kv_lp_free(arena, lp);
        kv_ql_pos pos;
        size_t n = kv_quicklist_count(list);
        CHECK(kv_quicklist_check(list) && (fail < 0 || fail > 2 ? n == 2 : n <= 2));
        if (n == 2) {
            CHECK(kv_quicklist_at(list, 0, &pos) == KV_OK && kv_ql_get(&pos).str.len == 10000);
            CHECK(kv_quicklist_at(list, 1, &pos) == KV_OK && kv_ql_get(&pos).is_int && kv_ql_get(&pos).num == 12);
            CHECK(kv_quicklist_rotate(list, KV_QL_HEAD) == KV_OK && kv_quicklist_at(list, 1, &pos) == KV_OK && pos.node->plain);
        }
        atomic_store(&mem.fail_after, -1);
        kv_quicklist_free(list);
        lp = kv_lp_append(arena, kv_lp_new(arena), KV_LIT("abc"));
        atomic_store(&mem.fail_after, fail);
        list = kv_quicklist_from_listpack(arena, lp, &(kv_ql_rules){.depth = 2});
        if (list == NULL) kv_lp_free(arena, lp);
        else CHECK(list->fill == 1 && kv_quicklist_count(list) == 1);
        atomic_store(&mem.fail_after, -1);
        kv_quicklist_free(list);
        CHECK(kv_arena_used(arena) == 0);
    }
    kv_arena_destroy(arena);
}

/* A list of `nodes` nodes of two items, long enough to be worth compressing. */
static kv_quicklist *chain(kv_arena *arena, int64_t depth, size_t nodes) {
    kv_quicklist *list = kv_quicklist_new(arena, &(kv_ql_rules){.fill = 2, .depth = depth});
    char digits[201];
    for (size_t i = 0; i < 2 * nodes; i++) {
        snprintf(digits, sizeof digits, "%0200zu", i);
        CHECK(kv_quicklist_push(list, KV_QL_TAIL, kv_slice_of(digits, 200)) == KV_OK);
    }
    return list;
}

static size_t packed(const kv_quicklist *list) {
    size_t n = 0;
    for (const kv_ql_node *node = list->head; node != NULL; node = node->next) n += node->form == KV_QL_PACKED;
    return n;
}

/* Which nodes are compressed: lists too short for it, removals that bring the ends inwards, a read that leaves all as it is. */
static void test_depths(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    for (int64_t depth = 0; depth < 4; depth++) {
        for (size_t nodes = 0; nodes < 12; nodes++) {
            kv_quicklist *list = chain(arena, depth, nodes);
            size_t ends = 2 * (size_t)depth, removed;
            CHECK(kv_quicklist_check(list) && packed(list) == (depth > 0 && nodes > ends ? nodes - ends : 0));
            kv_ql_pos pos;
            if (kv_quicklist_at(list, (int64_t)nodes, &pos) == KV_OK) {
                CHECK(packed(list) == (depth > 0 && nodes > ends ? nodes - ends : 0));
                kv_ql_pos_end(&pos);
            }
            CHECK(kv_quicklist_delete_range(list, 0, nodes, &removed) == KV_OK && removed == nodes && kv_quicklist_check(list));
            size_t left = list->nodes;
            CHECK(packed(list) == (depth > 0 && left > ends ? left - ends : 0));
            while (kv_quicklist_pop(list, KV_QL_TAIL) == KV_OK) CHECK(kv_quicklist_check(list));
            kv_quicklist_free(list);
        }
    }
    kv_quicklist *list = kv_quicklist_new(arena, &(kv_ql_rules){.fill = -2, .depth = 1 << 20, .large = 1});
    CHECK(list->depth == KV_QL_DEPTH_MAX && list->large == 1);
    CHECK(kv_quicklist_push(list, KV_QL_HEAD, KV_LIT("")) == KV_OK && kv_quicklist_push(list, KV_QL_HEAD, KV_LIT("a")) == KV_OK);
    CHECK(list->nodes == 2 && list->head->plain && !list->tail->plain);
    kv_quicklist_set_large(list, 0);
    CHECK(list->large == 8193 && kv_quicklist_push(list, KV_QL_TAIL, KV_LIT("b")) == KV_OK && list->nodes == 2);
    kv_quicklist_free(list);
    CHECK(kv_arena_used(arena) == 0);
    kv_arena_destroy(arena);
}

/* No memory while the ends move inwards: a compressed node at an end, which every operation copes with, and which is raw again later. */
static void test_behind(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    kv_quicklist *list = chain(arena, 1, 9);
    /* Fill what the arena has ready, so that the next block needs memory from the system. */
    static void *blocks[4096];
    size_t taken = 0;
    atomic_store(&mem.fail_forever, true);
    atomic_store(&mem.fail_after, 0);
    while (taken < 4096 && (blocks[taken] = kv_arena_alloc(arena, list->head->bytes)) != NULL) taken++;
    CHECK(taken < 4096);
    size_t removed;
    CHECK(kv_quicklist_delete_range(list, 0, 4, &removed) == KV_OK && removed == 4); /* whole nodes; what they free serves one end */
    while (!list->behind && kv_quicklist_delete_range(list, 0, 2, &removed) == KV_OK && list->nodes > 2) {
        void *more = kv_arena_alloc(arena, list->tail->bytes);
        if (more != NULL) blocks[taken++] = more;
    }
    CHECK(list->behind && list->head->form == KV_QL_PACKED && kv_quicklist_check(list));
    kv_ql_pos pos;
    CHECK(kv_quicklist_open_end(list, KV_QL_HEAD) == KV_ENOMEM && kv_quicklist_at(list, 0, &pos) == KV_ENOMEM);
    CHECK(kv_quicklist_pop(list, KV_QL_HEAD) == KV_ENOMEM && kv_quicklist_rotate(list, KV_QL_HEAD) == KV_ENOMEM);
    atomic_store(&mem.fail_after, -1);
    CHECK(kv_quicklist_check(list) && kv_quicklist_open_end(list, KV_QL_HEAD) == KV_OK && list->head->form == KV_QL_RAW);
    CHECK(kv_quicklist_push(list, KV_QL_TAIL, KV_LIT("x")) == KV_OK && !list->behind && kv_quicklist_check(list));
    while (taken > 0) kv_arena_free(arena, blocks[--taken], list->head->bytes);
    kv_quicklist_free(list);
    CHECK(kv_arena_used(arena) == 0);
    kv_arena_destroy(arena);
}

/* Where the first node ends: as long as that stays, its items have not been moved. */
static const uint8_t *end_of_head(const kv_quicklist *list) { return list->head->data + list->head->bytes; }

/* The room in front of the first node: pushes and pops there move its items only when its block changes its size, and it costs no memory. */
static void test_room_in_front(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    const kv_slice item = kv_slice_of("a text of some thirty-two bytes.", 32);
    kv_quicklist *list = kv_quicklist_new(arena, &(kv_ql_rules){.fill = -2});
    for (size_t i = 0; i < 400; i++) {
        const kv_ql_node *head = list->head;
        const uint8_t *end = head != NULL ? end_of_head(list) : NULL;
        size_t bytes = head != NULL ? head->bytes : 0;
        bool high = head != NULL && head->form == KV_QL_HIGH;
        CHECK(kv_quicklist_push(list, KV_QL_HEAD, item) == KV_OK);
        if (list->head != head) continue;
        CHECK(list->head->form == (list->nodes > 1 ? KV_QL_HIGH : KV_QL_RAW));
        if (high && kv_arena_good_size(bytes) == kv_arena_good_size(list->head->bytes)) CHECK(end_of_head(list) == end);
    }
    CHECK(list->nodes == 2 && kv_quicklist_check(list) && kv_quicklist_bytes(list) == kv_arena_used(arena));
    kv_quicklist *copy = kv_quicklist_dup(arena, list);
    CHECK(copy != NULL && copy->head->form == KV_QL_RAW && copy->bytes == list->bytes && kv_quicklist_check(copy));
    kv_quicklist_free(copy);
    for (size_t i = 0; i < 100; i++) {
        const uint8_t *end = end_of_head(list);
        size_t bytes = list->head->bytes;
        CHECK(kv_quicklist_pop(list, KV_QL_HEAD) == KV_OK && list->head->form == KV_QL_HIGH);
        if (kv_arena_good_size(bytes) == kv_arena_good_size(list->head->bytes)) CHECK(end_of_head(list) == end);
    }
    CHECK(kv_quicklist_check(list) && kv_quicklist_bytes(list) == kv_arena_used(arena));
    kv_ql_pos pos; /* whoever changes it otherwise lowers it first */
    CHECK(kv_quicklist_at(list, 5, &pos) == KV_OK && kv_quicklist_set(list, &pos, kv_slice_of("short", 5)) == KV_OK);
    CHECK(list->head->form == KV_QL_RAW && kv_quicklist_check(list) && kv_quicklist_bytes(list) == kv_arena_used(arena));
    CHECK(kv_quicklist_push(list, KV_QL_HEAD, item) == KV_OK && list->head->form == KV_QL_HIGH);
    kv_quicklist_free(list); /* with the room */
    CHECK(kv_arena_used(arena) == 0 && kv_arena_check(arena));
    kv_arena_destroy(arena);
}

int main(void) {
    test_whole_nodes();
    test_room_in_front();
    test_depths();
    test_behind();
    static const int64_t fills[] = {-2, -1, 1, 3, 16, -3, -5, 128}, depths[] = {0, 1, 2, 5}, larges[] = {0, 100, 1, 5000};
    for (uint64_t seed = 0; seed < 32; seed++) {
        bool faults = seed % 4 >= 2;
        kv_ql_rules rules = {fills[seed % 8], 0, larges[seed / 8]};
        uint64_t plain = test(seed, &rules, faults ? 1500 : 3000, faults, false, 1 + (seed > 3) * 5);
        for (unsigned d = 1; d < 4; d++) {
            rules.depth = depths[d];
            uint64_t deep = test(seed, &rules, faults ? 4000 : 3000, faults, false, 1 + (seed > 3) * 5);
            CHECK(faults || deep == plain);
        }
        (void)test(seed + 100, &rules, 1000, faults, true, 1 + (seed > 3) * 5);
        rules.depth = 0;
        (void)test(seed + 200, &rules, 1000, faults, true, 1 + (seed > 3) * 5);
    }
    CHECK(kv_ql_node_allows(-2, 8192, 5000) && !kv_ql_node_allows(-2, 8193, 1) && !kv_ql_node_allows(4, 100, 5));
    printf("ok quicklist\n");
    return 0;
}
