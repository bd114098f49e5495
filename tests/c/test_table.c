/* sources: ds/table.c base/arena.c base/arena_plain.c base/pages.c base/mem.c base/sync.c base/siphash.c base/slice.c base/rng.c */
/* The table against an array of flags: random changes, allocation failures, scans across growing and shrinking, fairness of random entries. */
#include "ds/table.h"
#include "check.h"

enum { KEYS = 4096 };

typedef struct item {
    uint64_t id;
} item;

static const kv_hash_seed SEED = {1, 2};
static kv_slice item_key(const void *entry) { return kv_slice_of(&((const item *)entry)->id, 8); }
static const kv_table_type TYPE = {.key = item_key, .reach = 63};

typedef struct world {
    kv_mem mem;
    kv_arena *arena;
    kv_rng rng;
    kv_table table;
    item *items[KEYS]; /* the oracle: NULL is absent */
    size_t count;
    unsigned seen[KEYS];
    bool faulty; /* allocations may fail */
} world;

static uint64_t hash_of(uint64_t id) { return kv_siphash(&SEED, &id, 8); }
static uint64_t below(world *w, uint64_t n) { return kv_rng_below(&w->rng, n); }

static void world_open(world *w, uint64_t seed) {
    memset(w, 0, sizeof *w);
    kv_mem_init(&w->mem);
    w->arena = kv_arena_create(&w->mem);
    CHECK(w->arena != NULL);
    kv_rng_seed(&w->rng, seed);
    kv_table_init(&w->table, &TYPE, &SEED, w->arena);
}

static void free_item(void *arg, void *entry) {
    world *w = arg;
    item *it = entry;
    CHECK(w->items[it->id] == it);
    w->items[it->id] = NULL;
    w->count--;
    free(it);
}

static void world_close(world *w) {
    atomic_store(&w->mem.fail_after, -1);
    kv_table_deinit(&w->table, free_item, w);
    CHECK(w->count == 0 && kv_table_check(&w->table) && kv_table_bytes(&w->table) == 0);
    CHECK(kv_arena_used(w->arena) == 0 && kv_arena_check(w->arena));
    kv_arena_destroy(w->arena);
}

static void *lookup(world *w, uint64_t id) { return kv_table_find(&w->table, hash_of(id), kv_slice_of(&id, 8)); }

static item *new_item(uint64_t id) {
    item *it = malloc(sizeof *it);
    CHECK(it != NULL);
    it->id = id;
    return it;
}

static void add(world *w, uint64_t id, unsigned how) {
    uint64_t hash = hash_of(id);
    item *it = new_item(id);
    kv_table_pos pos;
    kv_status status;
    if (how == 0) {
        status = kv_table_insert(&w->table, hash, it);
    } else {
        CHECK(kv_table_locate(&w->table, hash, kv_slice_of(&id, 8), &pos) == NULL);
        status = kv_table_reserve_for(&w->table, hash);
        if (status == KV_OK) {
            if (how == 2) atomic_store(&w->mem.fail_after, 0), atomic_store(&w->mem.fail_forever, true);
            CHECK((how == 3 ? kv_table_insert(&w->table, hash, it) : kv_table_insert_at(&w->table, &pos, it)) == KV_OK);
            if (how == 2) atomic_store(&w->mem.fail_after, -1);
        }
    }
    if (status != KV_OK) {
        CHECK(status == KV_ENOMEM && w->faulty);
        free(it);
        CHECK(lookup(w, id) == NULL);
        return;
    }
    w->items[id] = it;
    w->count++;
    CHECK(lookup(w, id) == it);
}

static void drop(world *w, uint64_t id, unsigned how) {
    item *it = w->items[id];
    uint64_t hash = hash_of(id);
    if (how == 0) CHECK(kv_table_remove_entry(&w->table, hash, it));
    else CHECK(kv_table_remove(&w->table, hash, kv_slice_of(&id, 8)) == it);
    free_item(w, it);
    CHECK(lookup(w, id) == NULL);
}

static void mark(void *arg, void *entry) { ((world *)arg)->seen[((item *)entry)->id]++; }

static void walk(world *w, unsigned remove_one_in) {
    kv_table_iter iter;
    memset(w->seen, 0, sizeof w->seen);
    kv_table_iter_start(&iter, &w->table);
    for (item *it; (it = kv_table_iter_next(&iter)) != NULL;) {
        CHECK(w->items[it->id] == it && w->seen[it->id]++ == 0);
        if (remove_one_in != 0 && below(w, remove_one_in) == 0) {
            kv_table_iter_remove(&iter);
            w->seen[it->id] = 1;
            uint64_t id = it->id;
            free_item(w, it);
            CHECK(lookup(w, id) == NULL);
            if (below(w, 8) == 0) CHECK(kv_table_check(&w->table));
        }
    }
    CHECK(kv_table_iter_next(&iter) == NULL);
    for (size_t i = 0; i < KEYS; i++) CHECK(w->items[i] == NULL || w->seen[i] == 1);
}

static void reserve_and_add(world *w, size_t n, size_t keys) {
    if (kv_table_reserve(&w->table, n) != KV_OK) {
        CHECK(w->faulty);
        return;
    }
    int64_t before = atomic_load(&w->mem.fail_after);
    bool forever = atomic_load(&w->mem.fail_forever);
    atomic_store(&w->mem.fail_forever, true);
    atomic_store(&w->mem.fail_after, 0);
    for (size_t i = 0; i < n; i++) {
        uint64_t id = below(w, keys);
        if (w->items[id] != NULL) continue;
        item *it = new_item(id);
        CHECK(kv_table_insert(&w->table, hash_of(id), it) == KV_OK);
        w->items[id] = it;
        w->count++;
        CHECK(kv_table_check(&w->table));
    }
    atomic_store(&w->mem.fail_after, before);
    atomic_store(&w->mem.fail_forever, forever);
    kv_table_unreserve(&w->table);
}

static void step(world *w, size_t keys, unsigned growth) {
    uint64_t id = below(w, keys);
    switch (below(w, 40)) {
    case 0: CHECK(kv_table_rehash_step(&w->table, 1 + below(w, 8)) ? kv_table_is_rehashing(&w->table) : true); break;
    case 1:
        if (w->items[id] != NULL) {
            item *it = new_item(id);
            CHECK(kv_table_replace(&w->table, hash_of(id), w->items[id], it));
            CHECK(!kv_table_replace(&w->table, hash_of(id), w->items[id], it));
            free(w->items[id]);
            w->items[id] = it;
        }
        break;
    case 2: (void)kv_table_expand(&w->table, below(w, keys)); break;
    case 3:
        if (below(w, 50) == 0) walk(w, growth > 50 ? 50 : 2);
        break;
    case 4: reserve_and_add(w, 1 + below(w, 12), keys); break;
    case 5: {
        void *out[16];
        size_t n = kv_table_sample(&w->table, &w->rng, out, 16);
        CHECK(n == (w->count < 16 ? w->count : 16));
        for (size_t i = 0; i < n; i++) {
            CHECK(w->items[((item *)out[i])->id] == out[i]);
            for (size_t j = 0; j < i; j++) CHECK(out[i] != out[j]);
        }
        item *it = kv_table_random(&w->table, &w->rng);
        CHECK((it == NULL) == (w->count == 0) && (it == NULL || w->items[it->id] == it));
        break;
    }
    default:
        kv_table_prefetch(&w->table, hash_of(id));
        kv_table_prefetch_entry(&w->table, hash_of(id));
        CHECK(lookup(w, id) == w->items[id]);
        if (below(w, 100) < growth) {
            if (w->items[id] == NULL) add(w, id, (unsigned)below(w, w->faulty ? 2 : 4));
        } else if (w->items[id] != NULL) {
            drop(w, id, (unsigned)below(w, 2));
        }
    }
    CHECK(kv_table_count(&w->table) == w->count);
}

static void test_random(uint64_t seed, size_t keys, size_t steps, bool faults) {
    static world w;
    world_open(&w, seed);
    unsigned growth = 80;
    w.faulty = faults;
    for (size_t i = 0; i < steps; i++) {
        if (below(&w, keys * 2) == 0) growth = (unsigned)below(&w, 101);
        if (faults && below(&w, keys / 2) == 0) {
            atomic_store(&w.mem.fail_forever, below(&w, 2) == 0);
            atomic_store(&w.mem.fail_after, below(&w, 3) == 0 ? -1 : (int64_t)below(&w, 20));
        }
        step(&w, keys, growth);
        if (keys <= 256 || i % 64 == 0) CHECK(kv_table_check(&w.table));
    }
    walk(&w, 0);
    kv_table_stats stats;
    kv_table_stats_get(&w.table, &stats);
    CHECK(stats.entries[0] + stats.entries[1] == w.count);
    world_close(&w);
}

/* Keys 0..99 stay; the others come and go while a scan is under way. */
static void test_scan(uint64_t seed, bool faults) {
    static world w;
    world_open(&w, seed);
    for (uint64_t id = 0; id < 100; id++) add(&w, id, 0);
    w.faulty = faults;
    for (int round = 0; round < 60; round++) {
        memset(w.seen, 0, sizeof w.seen);
        unsigned growth = (unsigned)below(&w, 101);
        uint64_t cursor = 0, churn = below(&w, 30), steps = 0;
        atomic_store(&w.mem.fail_after, faults && below(&w, 2) == 0 ? 0 : -1);
        atomic_store(&w.mem.fail_forever, true);
        do {
            cursor = kv_table_scan(&w.table, cursor, mark, &w);
            for (uint64_t i = 0; i < churn; i++) {
                uint64_t id = 100 + below(&w, KEYS - 100);
                if (below(&w, 100) < growth) {
                    if (w.items[id] == NULL) add(&w, id, 0);
                } else if (w.items[id] != NULL) {
                    drop(&w, id, 1);
                }
            }
            CHECK(++steps < 100000);
        } while (cursor != 0);
        for (size_t i = 0; i < 100; i++) CHECK(w.seen[i] >= 1);
        CHECK(kv_table_check(&w.table));
        if (churn == 0)
            for (size_t i = 0; i < KEYS; i++) CHECK(w.seen[i] == (w.items[i] != NULL) || kv_table_is_rehashing(&w.table));
    }
    world_close(&w);
}

/* Every entry is moved to another block while the table grows and shrinks between the steps; overflow buckets leave closed slabs on the way. */
static void *move_item(void *arg, void *entry) {
    world *w = arg;
    item *it = entry;
    CHECK(w->items[it->id] == it);
    w->seen[it->id]++;
    if (below(w, 4) == 0) return it;
    item *moved = new_item(it->id);
    w->items[it->id] = moved;
    free(it);
    return moved;
}

static void test_relocate(uint64_t seed) {
    world w;
    world_open(&w, seed);
    for (int round = 0; round < 6; round++) {
        size_t fill = (size_t)below(&w, KEYS);
        for (size_t id = 0; id < fill; id++)
            if (w.items[id] == NULL) add(&w, id, 0);
        for (size_t id = 0; id < KEYS; id++)
            if (w.items[id] != NULL && below(&w, 3) == 0) drop(&w, id, 0);
        for (unsigned class = 0; class < KV_ARENA_CLASSES; class ++) (void)kv_arena_compact_class(w.arena, class);
        memset(w.seen, 0, sizeof w.seen);
        bool stays[KEYS];
        for (size_t id = 0; id < KEYS; id++) stays[id] = w.items[id] != NULL;
        uint64_t cursor = 0;
        do {
            cursor = kv_table_relocate(&w.table, cursor, move_item, &w);
            size_t id = (size_t)below(&w, KEYS);
            if (w.items[id] == NULL) {
                add(&w, id, 0);
            } else if (round % 2 == 1) {
                drop(&w, id, 0);
                stays[id] = false;
            }
            if (below(&w, 50) == 0) CHECK(kv_table_check(&w.table) && kv_arena_check(w.arena));
        } while (cursor != 0);
        for (size_t id = 0; id < KEYS; id++) CHECK(!stays[id] || w.seen[id] > 0);
        kv_arena_compact_end(w.arena);
        CHECK(kv_table_check(&w.table) && kv_arena_check(w.arena));
    }
    world_close(&w);
}

static void test_fair(uint64_t seed, size_t n, size_t extra_drops) {
    static world w;
    world_open(&w, seed);
    for (uint64_t id = 0; id < n; id++) add(&w, id, 0);
    for (uint64_t id = 0; id < extra_drops; id++) drop(&w, id, 0);
    memset(w.seen, 0, sizeof w.seen);
    size_t draws = w.count * 200;
    for (size_t i = 0; i < draws; i++) mark(&w, kv_table_random(&w.table, &w.rng));
    double chi = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)w.seen[i] - 200.0;
        if (w.items[i] != NULL) chi += d * d / 200.0;
    }
    double dof = (double)w.count - 1, limit = dof + 5 * __builtin_sqrt(2 * dof); /* five sigma */
    CHECK(chi < limit);
    world_close(&w);
}

static void test_drain(void) {
    static world w;
    world_open(&w, 9);
    for (uint64_t id = 0; id < 3000; id++) add(&w, id, 0);
    size_t pos = 0, calls = 0, before = w.count;
    while (kv_table_drain(&w.table, &pos, 100, free_item, &w)) {
        CHECK(before - w.count <= 100 + 40 && kv_table_check(&w.table));
        before = w.count;
        calls++;
    }
    CHECK(calls >= 20 && w.count == 0);
    world_close(&w);
}

/* Arrays of a megabyte and more: the pages of the old one go back while the rehash is under way, and nothing that is still needed with them. */
static void test_large(void) {
    enum { MANY = 120000 };
    static item items[MANY];
    static world w;
    world_open(&w, 12);
    for (uint64_t id = 0; id < MANY; id++) {
        items[id].id = id;
        CHECK(kv_table_insert(&w.table, hash_of(id), &items[id]) == KV_OK);
        if (id % 39999 == 0) CHECK(kv_table_check(&w.table));
    }
    CHECK(kv_table_check(&w.table) && kv_table_bytes(&w.table) >= 1 << 20);
    for (uint64_t id = 0; id < MANY; id++) {
        CHECK(kv_table_remove(&w.table, hash_of(id), kv_slice_of(&id, 8)) == &items[id]);
        if (id % 39999 == 0) CHECK(kv_table_check(&w.table));
    }
    CHECK(kv_table_count(&w.table) == 0);
    world_close(&w);
}

/* Without memory for a larger array the table goes on in chains, and recovers. */
static void test_no_growth(void) {
    static world w;
    world_open(&w, 10);
    for (uint64_t id = 0; id < 500; id++) {
        add(&w, id, 0);
        if (id == 60) {
            CHECK(kv_table_reserve(&w.table, 450) == KV_OK);
            atomic_store(&w.mem.fail_forever, true);
            atomic_store(&w.mem.fail_after, 0);
        }
    }
    CHECK(w.count == 500 && kv_table_check(&w.table));
    for (uint64_t id = 0; id < 500; id++) CHECK(lookup(&w, id) == w.items[id]);
    atomic_store(&w.mem.fail_after, -1);
    for (uint64_t id = 500; id < 1500; id++) add(&w, id, 0);
    while (kv_table_rehash_step(&w.table, 10)) {}
    kv_table_stats stats;
    kv_table_stats_get(&w.table, &stats);
    CHECK(stats.longest[0] < 40 && stats.buckets[0] >= 200 && kv_table_check(&w.table));
    world_close(&w);
}

/* A fresh table with room reserved for n takes n without allocating; used up by removals or not, nothing is left behind. */
static void test_reserve_fresh(void) {
    static world w;
    world_open(&w, 11);
    for (size_t n = 1; n < 300; n = n * 2 + 1) {
        CHECK(kv_table_reserve(&w.table, n) == KV_OK);
        atomic_store(&w.mem.fail_forever, true);
        atomic_store(&w.mem.fail_after, 0);
        for (uint64_t id = 0; id < n; id++) {
            add(&w, id, 0);
            CHECK(w.count == (n > 5 && id > 2 ? id - 1 : id + 1) && kv_table_check(&w.table));
            if (n > 5 && id == 2) drop(&w, 0, 0), drop(&w, 1, 1); /* takes nothing from the reservation */
        }
        atomic_store(&w.mem.fail_after, -1);
        kv_table_unreserve(&w.table);
        for (uint64_t id = 0; id < n; id++)
            if (w.items[id] != NULL) drop(&w, id, 1);
        CHECK(w.count == 0 && kv_table_bytes(&w.table) == 0 && kv_table_check(&w.table));
    }
    CHECK(kv_table_reserve(&w.table, 5) == KV_OK && kv_table_bytes(&w.table) > 0);
    kv_table_unreserve(&w.table);
    CHECK(kv_table_bytes(&w.table) == 0);
    for (int64_t fail = 0; fail < 6; fail++) { /* every allocation of a reservation fails once */
        atomic_store(&w.mem.fail_forever, false);
        atomic_store(&w.mem.fail_after, fail);
        kv_status status = kv_table_reserve(&w.table, 30);
        atomic_store(&w.mem.fail_after, -1);
        CHECK(kv_table_check(&w.table) && (status == KV_OK || kv_table_bytes(&w.table) == 0));
        kv_table_unreserve(&w.table);
    }
    world_close(&w);
}

static void test_create(void) {
    static world w;
    world_open(&w, 12);
    kv_table *table = kv_table_create(&TYPE, &SEED, w.arena);
    CHECK(table != NULL);
    item one = {1}, many[40];
    CHECK(kv_table_insert(table, hash_of(1), &one) == KV_OK && kv_table_bytes(table) == kv_arena_good_size(64));
    CHECK(kv_table_random(table, &w.rng) == &one);
    /* Hardly anything in a large array: a random entry is still found. */
    CHECK(kv_table_expand(table, 100000) == KV_OK);
    while (kv_table_rehash_step(table, 1000)) {}
    for (size_t i = 0; i < 40; i++) {
        many[i].id = 100 + i;
        CHECK(kv_table_insert(table, hash_of(many[i].id), &many[i]) == KV_OK);
    }
    kv_table_iter iter;
    kv_table_iter_start(&iter, table);
    for (item *it; (it = kv_table_iter_next(&iter)) != NULL;)
        if (it != &one) kv_table_iter_remove(&iter);
    CHECK(kv_table_count(table) == 1 && kv_table_check(table));
    for (int i = 0; i < 5; i++) CHECK(kv_table_random(table, &w.rng) == &one);
    CHECK(kv_table_rehash_step(table, 1)); /* a shrink is due */
    while (kv_table_rehash_step(table, 1000)) {}
    CHECK(kv_table_bytes(table) < 1000 && kv_table_check(table));
    kv_table_destroy(table, NULL, NULL);
    kv_table_destroy(NULL, NULL, NULL);
    CHECK(kv_table_expand(&w.table, 1000) == KV_OK && !kv_table_is_rehashing(&w.table) && kv_table_check(&w.table));
    CHECK(kv_table_expand(&w.table, SIZE_MAX) == KV_ENOMEM);
    world_close(&w);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 6; seed++) {
        test_random(seed, 40, 6000, seed % 2 == 0);
        test_random(seed + 100, 256, 10000, seed % 2 == 0);
    }
    test_random(77, KEYS, 60000, false);
    test_random(78, KEYS, 60000, true);
    for (uint64_t seed = 1; seed <= 3; seed++) test_scan(seed, seed == 3);
    test_fair(1, 600, 0);
    test_fair(2, 1020, 0);    /* in the middle of growing */
    test_fair(3, 2000, 1780); /* in the middle of shrinking */
    test_fair(4, 5, 0);
    for (uint64_t seed = 1; seed <= 8; seed++) test_relocate(seed);
    test_drain();
    test_large();
    test_no_growth();
    test_reserve_fresh();
    test_create();
    printf("ok table\n");
    return 0;
}
