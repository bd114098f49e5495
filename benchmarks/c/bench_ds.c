/* sources: ds/table.c ds/ztree.c ds/ztree_read.c ds/heap.c ds/quicklist.c ds/quicklist_pack.c ds/lzf.c ds/listpack.c base/num.c base/arena.c base/pages.c base/mem.c base/sync.c base/siphash.c base/slice.c base/rng.c base/clock.c */
/* Time and memory of the data structures at one million entries (or argv[1]). Single-threaded; build with -O2. Prints one line a measurement:
 * what, nanoseconds an operation, and where it makes sense the bytes an entry. */
#include "base/clock.h"
#include "ds/heap.h"
#include "ds/quicklist.h"
#include "ds/ztree.h"
#include "ds/table.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct entry {
    uint64_t value;
    char key[16];
    uint32_t heap_pos;
} entry;

static const kv_hash_seed SEED = {11, 22};
static kv_slice entry_key(const void *e) { return kv_slice_of(((const entry *)e)->key, 16); }
static const kv_table_type TYPE = {.key = entry_key};
static uint64_t hash_of(const char *key) { return kv_siphash(&SEED, key, 16); }

/* "key:" and twelve digits. */
static void name(char key[17], size_t i) {
    memcpy(key, "key:", 4);
    for (size_t at = 15; at >= 4; at--, i /= 10) key[at] = (char)('0' + i % 10);
    key[16] = 0;
}

static void report(const char *what, uint64_t start, size_t ops) {
    printf("%-36s %7.1f ns\n", what, (double)(kv_mono_ns() - start) / (double)ops);
}

static size_t *shuffled(size_t n, kv_rng *rng) {
    size_t *order = malloc(n * sizeof *order);
    if (order == NULL) exit(1);
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t i = n; i > 1; i--) {
        size_t j = kv_rng_below(rng, i), t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
    return order;
}

static void no_op(void *arg, void *e) { *(uint64_t *)arg += ((entry *)e)->value; }

static void bench_table(kv_arena *arena, size_t n, kv_rng *rng) {
    kv_table table;
    kv_table_init(&table, &TYPE, &SEED, arena);
    entry **entries = malloc(n * sizeof *entries);
    size_t *order = shuffled(n, rng), hits = 0;
    if (entries == NULL) exit(1);
    for (size_t i = 0; i < n; i++) {
        char key[17];
        entries[i] = kv_arena_alloc(arena, sizeof **entries);
        if (entries[i] == NULL) exit(1);
        name(key, i);
        memcpy(entries[i]->key, key, 16);
        entries[i]->value = i;
    }
    uint64_t start = kv_mono_ns(), worst = 0;
    for (size_t i = 0; i < n; i++)
        if (kv_table_insert(&table, hash_of(entries[order[i]]->key), entries[order[i]]) != KV_OK) exit(1);
    report("table: insert, hash included", start, n);
    printf("%-36s %7.2f bytes an entry\n", "table", (double)kv_table_bytes(&table) / (double)n);

    char key[17], keys[16][17];
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) {
        name(key, order[i]);
        hits += hash_of(key) & 1;
    }
    report("  of the next: naming and hashing", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) {
        name(key, order[i]);
        hits += kv_table_find(&table, hash_of(key), kv_slice_of(key, 16)) != NULL;
    }
    report("table: find, random", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i + 16 <= n; i += 16) {
        uint64_t hashes[16];
        for (size_t j = 0; j < 16; j++) {
            name(keys[j], order[i + j]);
            kv_table_prefetch(&table, hashes[j] = hash_of(keys[j]));
        }
        for (size_t j = 0; j < 16; j++) kv_table_prefetch_entry(&table, hashes[j]);
        for (size_t j = 0; j < 16; j++) hits += kv_table_find(&table, hashes[j], kv_slice_of(keys[j], 16)) != NULL;
    }
    report("table: find, batches of 16", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) hits += kv_table_find(&table, hash_of(keys[i & 15]), kv_slice_of(keys[i & 15], 16)) != NULL;
    report("table: find, in the cache", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) {
        name(key, order[i] + n);
        hits += kv_table_find(&table, hash_of(key), kv_slice_of(key, 16)) != NULL;
    }
    report("table: find, absent", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) hits += kv_table_random(&table, rng) != NULL;
    report("table: random entry", start, n);
    start = kv_mono_ns();
    uint64_t cursor = 0, sum = 0;
    do cursor = kv_table_scan(&table, cursor, no_op, &sum);
    while (cursor != 0);
    report("table: scan, an entry", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) {
        uint64_t before = kv_mono_ns(), took;
        hits += kv_table_remove_entry(&table, hash_of(entries[order[i]]->key), entries[order[i]]);
        if ((took = kv_mono_ns() - before) > worst) worst = took;
    }
    report("table: remove", start, n);
    printf("%-36s %7.1f us (checksum %zu)\n", "table: slowest remove", (double)worst / 1000, hits);

    kv_table_init(&table, &TYPE, &SEED, arena);
    for (size_t i = worst = 0; i < n; i++) {
        uint64_t before = kv_mono_ns(), took;
        if (kv_table_insert(&table, hash_of(entries[i]->key), entries[i]) != KV_OK) exit(1);
        if ((took = kv_mono_ns() - before) > worst) worst = took;
    }
    printf("%-36s %7.1f us\n", "table: slowest insert", (double)worst / 1000);
    start = kv_mono_ns();
    kv_table_deinit(&table, NULL, NULL);
    report("table: deinit", start, n);
    for (size_t i = 0; i < n; i++) kv_arena_free(arena, entries[i], sizeof **entries);
    free(entries);
    free(order);
}

static void bench_ztree(kv_arena *arena, size_t n, kv_rng *rng, bool ascending) {
    kv_ztree tree;
    kv_ztree_init(&tree, arena);
    kv_zelem **elems = malloc(n * sizeof *elems);
    if (elems == NULL) exit(1);
    printf("ztree, %s\n", ascending ? "ascending scores" : "random scores");
    for (size_t i = 0; i < n; i++) {
        char key[17];
        name(key, i);
        elems[i] = kv_zelem_new(arena, ascending ? (double)i : (double)kv_rng_below(rng, 1000000000), kv_slice_of(key + 3, 13));
        if (elems[i] == NULL) exit(1);
    }
    uint64_t start = kv_mono_ns();
    for (size_t i = 0; i < n; i++)
        if (kv_ztree_insert(&tree, elems[i], NULL) != KV_OK) exit(1);
    report("ztree: insert", start, n);
    printf("%-36s %7.2f bytes an element, and %.0f of the element\n", "ztree", (double)kv_ztree_bytes(&tree) / (double)n,
           (double)kv_arena_good_size(kv_zelem_bytes(elems[0])));
    size_t sum = 0, rank = 0;
    kv_zcursor cursor;
    size_t *order = shuffled(n, rng);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) {
        kv_zelem *elem = elems[order[i]];
        sum += kv_ztree_rank(&tree, elem->score, kv_zelem_member(elem), &rank) ? rank : 0;
    }
    report("ztree: rank of score and member", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) sum += kv_ztree_rank_of_elem(&tree, elems[order[i]], &rank) ? rank : 0;
    report("ztree: rank of element", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) sum += kv_ztree_at(&tree, order[i], &cursor) != NULL;
    report("ztree: element of rank", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n / 100; i++) {
        kv_zelem *elem = kv_ztree_at(&tree, order[i] % (n - 100), &cursor);
        for (size_t j = 0; j < 100; j++, elem = kv_zcursor_next(&cursor)) sum += (size_t)elem->score & 1;
    }
    report("ztree: walk of 100, an element", start, n / 100 * 100);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++)
        if (kv_ztree_update(&tree, elems[order[i]], (double)kv_rng_below(rng, 1000000000)) != KV_OK) exit(1);
    report("ztree: update to random score", start, n);
    printf("%-36s %7.2f bytes an element\n", "ztree after updates", (double)kv_ztree_bytes(&tree) / (double)n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) sum += kv_ztree_remove_elem(&tree, elems[order[i]]);
    report("ztree: remove element", start, n);
    printf("(checksum %zu)\n", sum);
    for (size_t i = 0; i < n; i++) kv_zelem_free(arena, elems[i]);
    kv_ztree_deinit(&tree, NULL, NULL);
    free(elems);
    free(order);
}

static void set_pos(void *item, uint32_t pos, void *arg) {
    (void)arg;
    ((entry *)item)->heap_pos = pos;
}

static void bench_heap(kv_arena *arena, size_t n, kv_rng *rng) {
    kv_heap heap;
    kv_heap_init(&heap, arena, set_pos, NULL);
    entry *entries = calloc(n, sizeof *entries);
    if (entries == NULL) exit(1);
    uint64_t start = kv_mono_ns();
    for (size_t i = 0; i < n; i++)
        if (kv_heap_push(&heap, (int64_t)kv_rng_below(rng, 1000000000), &entries[i]) != KV_OK) exit(1);
    report("heap: push, random times", start, n);
    printf("%-36s %7.2f bytes an entry\n", "heap", (double)kv_heap_bytes(&heap) / (double)n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) kv_heap_update(&heap, entries[kv_rng_below(rng, n)].heap_pos, (int64_t)kv_rng_below(rng, 1000000000));
    report("heap: update", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) (void)kv_heap_remove(&heap, 0);
    report("heap: pop", start, n);
    kv_heap_deinit(&heap);
    free(entries);
}

static void bench_quicklist(kv_arena *arena, size_t n, kv_rng *rng) {
    kv_quicklist *list = kv_quicklist_new(arena, &(kv_ql_rules){.fill = -2});
    char item[17];
    if (list == NULL) exit(1);
    uint64_t start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) {
        name(item, i);
        if (kv_quicklist_push(list, KV_QL_TAIL, kv_slice_of(item, 16)) != KV_OK) exit(1);
    }
    report("quicklist: push to the tail", start, n);
    printf("%-36s %7.2f bytes an item of 16\n", "quicklist", (double)kv_quicklist_bytes(list) / (double)n);
    kv_ql_pos pos;
    size_t sum = 0;
    start = kv_mono_ns();
    for (kv_status s = kv_quicklist_at(list, 0, &pos); s == KV_OK; s = kv_ql_next(&pos)) sum += kv_ql_get(&pos).str.len;
    report("quicklist: walk, an item", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n / 100; i++) sum += kv_quicklist_at(list, (int64_t)kv_rng_below(rng, n), &pos) == KV_OK;
    report("quicklist: index, random", start, n / 100);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++)
        if (kv_quicklist_rotate(list, KV_QL_TAIL) != KV_OK) exit(1);
    report("quicklist: rotate", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++)
        if (kv_quicklist_pop(list, KV_QL_HEAD) != KV_OK) exit(1);
    report("quicklist: pop from the head", start, n);
    start = kv_mono_ns();
    for (size_t i = 0; i < n; i++) {
        name(item, i);
        if (kv_quicklist_push(list, KV_QL_HEAD, kv_slice_of(item, 16)) != KV_OK) exit(1);
    }
    report("quicklist: push to the head", start, n);
    printf("(checksum %zu)\n", sum);
    kv_quicklist_free(list);
}

int main(int argc, char **argv) {
    size_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    if (n < 1000) n = 1000;
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    if (arena == NULL) return 1;
    kv_rng rng;
    kv_rng_seed(&rng, 42);
    bench_table(arena, n, &rng);
    bench_heap(arena, n, &rng);
    bench_ztree(arena, n, &rng, false);
    bench_ztree(arena, n, &rng, true);
    bench_quicklist(arena, n, &rng);
    kv_arena_destroy(arena);
    return 0;
}
