/* sources: ds/heap.c base/arena.c base/arena_plain.c base/pages.c base/mem.c base/sync.c base/rng.c */
/* The heap against an array of times: every item knows its place after every step; allocation failures; draining in order. */
#include "ds/heap.h"
#include "base/rng.h"
#include "check.h"

#define NOWHERE UINT32_MAX
enum { ITEMS = 20000 };

typedef struct item {
    int64_t when;
    uint32_t pos;
} item;

static void set_pos(void *it, uint32_t pos, void *arg) {
    (*(size_t *)arg)++;
    ((item *)it)->pos = pos;
}

static void places(const kv_heap *heap, const item *items, size_t n) {
    size_t present = 0;
    for (size_t i = 0; i < n; i++) {
        if (items[i].pos == NOWHERE) continue;
        present++;
        CHECK(items[i].pos < heap->count);
        const kv_heap_entry *entry = kv_heap_at(heap, items[i].pos);
        CHECK(entry->item == &items[i] && entry->when_ms == items[i].when);
    }
    CHECK(present == kv_heap_count(heap) && kv_heap_check(heap));
}

static void test(uint64_t seed, size_t n, size_t steps, bool faults, size_t every) {
    static item items[ITEMS];
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    kv_rng rng;
    kv_rng_seed(&rng, seed);
    kv_heap heap;
    size_t reports = 0;
    kv_heap_init(&heap, arena, set_pos, &reports);
    for (size_t i = 0; i < n; i++) items[i].pos = NOWHERE;
    unsigned growth = 70;
    for (size_t i = 0; i < steps; i++) {
        item *it = &items[kv_rng_below(&rng, n)];
        int64_t when = (int64_t)kv_rng_below(&rng, i % 3 == 0 ? 50 : 1000000) - 25;
        if (kv_rng_below(&rng, n) == 0) growth = (unsigned)kv_rng_below(&rng, 101);
        if (faults && kv_rng_below(&rng, 20) == 0) {
            atomic_store(&mem.fail_forever, kv_rng_below(&rng, 2) == 0);
            atomic_store(&mem.fail_after, (int64_t)kv_rng_below(&rng, 5) - 1);
        }
        if (it->pos == NOWHERE) {
            if (kv_rng_below(&rng, 100) >= growth) continue;
            it->when = when;
            if (kv_rng_below(&rng, 4) == 0 && kv_heap_reserve(&heap, 1 + kv_rng_below(&rng, 20)) == KV_OK) {
                int64_t before = atomic_exchange(&mem.fail_after, 0);
                CHECK(kv_heap_push(&heap, when, it) == KV_OK);
                atomic_store(&mem.fail_after, before);
            } else if (kv_heap_push(&heap, when, it) != KV_OK) {
                CHECK(faults && it->pos == NOWHERE);
            }
        } else if (kv_rng_below(&rng, 3) == 0) {
            it->when = when;
            kv_heap_update(&heap, it->pos, when);
        } else if (kv_rng_below(&rng, 100) >= growth) {
            CHECK(kv_heap_remove(&heap, it->pos) == it);
            it->pos = NOWHERE;
        }
        if (i % every == 0) places(&heap, items, n);
    }
    atomic_store(&mem.fail_after, -1);
    places(&heap, items, n);
    for (int64_t last = INT64_MIN; kv_heap_peek(&heap) != NULL;) {
        const kv_heap_entry entry = *kv_heap_peek(&heap);
        CHECK(entry.when_ms >= last && ((item *)entry.item)->pos == 0);
        last = entry.when_ms;
        CHECK(kv_heap_remove(&heap, 0) == entry.item);
        ((item *)entry.item)->pos = NOWHERE;
        if (kv_heap_count(&heap) % 1000 == 0) CHECK(kv_heap_check(&heap));
    }
    CHECK(kv_heap_bytes(&heap) == 0 && kv_arena_used(arena) == 0);
    for (size_t i = 0; i < 100; i++) CHECK(kv_heap_push(&heap, (int64_t)i, &items[i]) == KV_OK);
    CHECK(kv_heap_bytes(&heap) == kv_arena_used(arena));
    item moved = items[42];
    kv_heap_replace(&heap, moved.pos, &moved);
    CHECK(kv_heap_at(&heap, moved.pos)->item == &moved && kv_heap_remove(&heap, moved.pos) == &moved && kv_heap_check(&heap));
    kv_heap_deinit(&heap);
    CHECK(kv_arena_used(arena) == 0);
    kv_arena_destroy(arena);
}

int main(void) {
    for (uint64_t seed = 1; seed < 10; seed++) test(seed, 30, 5000, seed % 2 == 0, 1);
    test(20, ITEMS, 300000, false, 20000);
    test(21, ITEMS, 300000, true, 20000);
    printf("ok heap\n");
    return 0;
}
