/* sources: base/arena.c base/arena_plain.c base/pages.c base/mem.c base/sync.c base/rng.c */
/* The arena against a plain list of blocks: every block keeps its bytes, alignment and account whatever happens around it. */
#include "base/arena.h"
#include "base/pages.h"
#include "base/rng.h"
#include "check.h"
#include <string.h>

enum { BLOCKS = 600, STEPS = 30000 };

typedef struct block {
    uint8_t *ptr;
    size_t bytes;
    uint8_t mark;
    unsigned arena;
} block;

static size_t pick_size(kv_rng *rng) {
    switch (kv_rng_below(rng, 20)) {
    case 0: return 1 + kv_rng_below(rng, 700000); /* large and huge */
    case 1: return 1 + kv_rng_below(rng, 40000);
    case 2:
    case 3: return 1 + kv_rng_below(rng, 4000);
    default: return 1 + kv_rng_below(rng, 300);
    }
}

static void check_bytes(const block *b, size_t len) {
    size_t step = len > 4096 ? 97 : 1;
    for (size_t i = 0; i < len; i += step) CHECK(b->ptr[i] == b->mark);
    CHECK(b->ptr[len - 1] == b->mark);
}

static void check_alignment(const block *b) {
    for (size_t align = 8; align <= 64; align *= 2)
        if (align == 8 || b->bytes % align == 0) CHECK((uintptr_t)b->ptr % align == 0);
}

static void fill(block *b, kv_rng *rng) {
    b->mark = (uint8_t)kv_rng_next(rng);
    memset(b->ptr, b->mark, b->bytes);
}

static void random_actions(uint64_t seed) {
    kv_mem mem;
    kv_rng rng;
    kv_mem_init(&mem);
    kv_rng_seed(&rng, seed);
    kv_arena *arenas[2] = {kv_arena_create(&mem), kv_arena_create(&mem)};
    CHECK(arenas[0] != NULL && arenas[1] != NULL);
    CHECK(kv_arena_mapped(arenas[0]) == 0 && atomic_load(&mem.mapped) == 0);
    static block blocks[BLOCKS];
    memset(blocks, 0, sizeof blocks);
    for (int step = 0; step < STEPS; step++) {
        block *b = &blocks[kv_rng_below(&rng, BLOCKS)];
        uint64_t action = kv_rng_below(&rng, 8);
        if (b->ptr == NULL) {
            b->arena = (unsigned)kv_rng_below(&rng, 2);
            b->bytes = pick_size(&rng);
            CHECK(kv_arena_good_size(b->bytes) >= b->bytes);
            b->ptr = kv_arena_alloc(arenas[b->arena], b->bytes);
            CHECK(b->ptr != NULL);
            check_alignment(b);
            fill(b, &rng);
        } else if (action < 4) {
            check_bytes(b, b->bytes);
            kv_arena_free(arenas[b->arena], b->ptr, b->bytes);
            b->ptr = NULL;
        } else if (action < 7) {
            size_t bytes = pick_size(&rng), kept = bytes < b->bytes ? bytes : b->bytes;
            b->ptr = kv_arena_realloc(arenas[b->arena], b->ptr, b->bytes, bytes);
            CHECK(b->ptr != NULL);
            b->bytes = bytes;
            check_bytes(b, kept);
            check_alignment(b);
            fill(b, &rng);
        } else {
            bool moved = kv_arena_transfer(arenas[b->arena], arenas[1 - b->arena], b->ptr, b->bytes);
            CHECK(moved == (b->bytes > 32768));
            if (moved) b->arena = 1 - b->arena;
            check_bytes(b, b->bytes);
        }
        if (step % 500 == 0) {
            CHECK(kv_arena_check(arenas[0]) && kv_arena_check(arenas[1]));
            if (step == STEPS / 2) kv_arena_share(arenas[1]);
            if (step % 5000 == 0) kv_arena_trim(arenas[0]);
        }
    }
    size_t live[2] = {0};
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i].ptr != NULL) live[blocks[i].arena] += blocks[i].bytes;
    for (int i = 0; i < 2; i++) CHECK(kv_arena_used(arenas[i]) >= live[i] && kv_arena_mapped(arenas[i]) >= kv_arena_used(arenas[i]));
    for (int i = 0; i < BLOCKS; i++) /* half by hand, the rest with the arena */
        if (blocks[i].ptr != NULL && i % 2 == 0) kv_arena_free(arenas[blocks[i].arena], blocks[i].ptr, blocks[i].bytes);
    CHECK(kv_arena_check(arenas[0]) && kv_arena_check(arenas[1]));
    kv_arena_destroy(arenas[0]);
    kv_arena_destroy(arenas[1]);
    CHECK(atomic_load(&mem.used) == 0 && atomic_load(&mem.mapped) == 0 && mem.pool.chunks == 0);
}

static void good_sizes(void) {
    for (size_t bytes = 1; bytes < 70000; bytes++) {
        size_t good = kv_arena_good_size(bytes);
        CHECK(good >= bytes && kv_arena_good_size(good) == good);
        if (bytes > 64) CHECK((good - bytes) * 8 <= bytes + 64); /* never more than an eighth */
    }
}

static void empties_go_back(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    enum { N = 20000 };
    static void *ptrs[N];
    for (int i = 0; i < N; i++) CHECK((ptrs[i] = kv_arena_alloc(arena, 40)) != NULL);
    CHECK(kv_arena_used(arena) == N * 40u);
    for (int i = 0; i < N; i++) kv_arena_free(arena, ptrs[i], 40);
    CHECK(kv_arena_used(arena) == 0 && kv_arena_mapped(arena) <= 65536);
    kv_arena_trim(arena);
    CHECK(kv_arena_mapped(arena) == 0 && kv_arena_check(arena));
    kv_arena_destroy(arena);
    CHECK(atomic_load(&mem.used) == 0);
}

/* A block that grows through the classes leaves no empty slab in each of them. */
static void grows_through_classes(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    void *ptr = NULL;
    for (size_t bytes = 8; bytes <= 8192; bytes += 8) {
        CHECK((ptr = kv_arena_realloc(arena, ptr, bytes - 8, bytes)) != NULL);
#ifndef KV_PLAIN_MALLOC
        CHECK(kv_arena_mapped(arena) <= (bytes <= 1024 ? 32768 : 147456) && kv_arena_check(arena));
#endif
    }
    kv_arena_free(arena, ptr, 8192);
    CHECK(kv_arena_mapped(arena) <= 16384 && kv_arena_check(arena));
    kv_arena_trim(arena);
    CHECK(kv_arena_mapped(arena) == 0 && kv_arena_check(arena));
    kv_arena_destroy(arena);
    CHECK(atomic_load(&mem.used) == 0);
}

/* What is free goes back to the system when nobody has asked for pages since the last look, nor needed them in the last 5 to 10 seconds. */
static void rests(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    void *kept = kv_arena_alloc(arena, 30000), *gone[20];
    for (int i = 0; i < 20; i++) gone[i] = kv_arena_alloc(arena, 20000);
    for (int i = 0; i < 20; i++) kv_arena_free(arena, gone[i], 20000);
    uint64_t now_ms = 20000;
    for (int looks = 0; looks < 40; looks++) kv_span_tend(&mem, now_ms += 100, true);
#ifndef KV_PLAIN_MALLOC
    CHECK(mem.pool.pages_dirty > 0);
#endif
    for (int looks = 0; looks < 70; looks++) kv_span_tend(&mem, now_ms += 100, true);
    CHECK(mem.pool.pages_dirty == 0 && kv_page_pool_check(&mem));
    kv_arena_free(arena, kept, 30000);
    kv_arena_destroy(arena);
}

#ifndef KV_PLAIN_MALLOC
/* A store that is emptied and filled again gets the pages that it had, and no more than those are held; in the end they go back, all but a few chunks. */
static void refills(void) {
    enum { N = 4000, BYTES = 16392 };
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    static void *blocks[N];
    uint64_t now_ms = (uint64_t)1 << 60; /* the pool asks its own clock, too, whether somebody tended it just now: always */
    kv_span_tend(&mem, now_ms, false);
    size_t most = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) CHECK((blocks[i] = kv_arena_alloc(arena, BYTES)) != NULL);
        if (round == 0) most = mem.pool.chunks;
        CHECK(mem.pool.chunks == most && mem.pool.pages_coarse == mem.pool.pages_used && kv_page_pool_check(&mem));
        CHECK(mem.pool.ripe == NULL); /* coarse chunks do not become huge pages */
        for (int i = 0; i < N; i++) kv_arena_free(arena, blocks[i], BYTES);
        CHECK(mem.pool.chunks == most && kv_page_pool_check(&mem));
        for (int looks = 0; looks < 20; looks++) kv_span_tend(&mem, now_ms += 100, true);
        CHECK(mem.pool.chunks + 1 >= most && mem.pool.pages_dirty <= N / 2 * 9); /* two blocks in nine pages */
    }
    for (int looks = 0; looks < 300; looks++) kv_span_tend(&mem, now_ms += 100, true);
    CHECK(mem.pool.chunks <= 2 && mem.pool.pages_dirty == 0 && kv_page_pool_check(&mem));
    kv_arena_destroy(arena);
    CHECK(mem.pool.chunks == 0);
}
#endif

/* Sizes of one kind come, most go, and others come: compaction brings the pages back that were held by a few blocks each. Blocks keep their bytes
 * whatever is allocated and freed between the moves. */
static void compacts(uint64_t seed) {
    enum { N = 40000 };
    kv_mem mem;
    kv_rng rng;
    kv_mem_init(&mem);
    kv_rng_seed(&rng, seed);
    kv_arena *arena = kv_arena_create(&mem);
    static block blocks[N];
    size_t gain = 0;
    for (int i = 0; i < N; i++) {
        blocks[i].bytes = 16 + kv_rng_below(&rng, 200);
        CHECK((blocks[i].ptr = kv_arena_alloc(arena, blocks[i].bytes)) != NULL);
        fill(&blocks[i], &rng);
    }
    for (int i = 0; i < N; i++) {
        if (kv_rng_below(&rng, 4) == 0) continue;
        kv_arena_free(arena, blocks[i].ptr, blocks[i].bytes);
        blocks[i].ptr = NULL;
    }
    size_t before = kv_arena_mapped(arena);
    for (unsigned class = 0; class < KV_ARENA_CLASSES; class ++) gain += kv_arena_compact_class(arena, class);
    CHECK(kv_arena_check(arena));
    for (int i = 0; i < N; i++) {
        if (i % 100 == 0) CHECK(kv_arena_check(arena));
        if (blocks[i].ptr == NULL) continue;
        blocks[i].ptr = kv_arena_move(arena, blocks[i].ptr, blocks[i].bytes);
        check_bytes(&blocks[i], blocks[i].bytes);
        if (kv_rng_below(&rng, 16) != 0) continue;
        block *other = &blocks[kv_rng_below(&rng, N)];
        if (other->ptr != NULL) kv_arena_free(arena, other->ptr, other->bytes);
        other->ptr = kv_arena_alloc(arena, other->bytes);
        fill(other, &rng);
    }
    kv_arena_compact_end(arena);
    CHECK(kv_arena_check(arena));
#ifndef KV_PLAIN_MALLOC
    CHECK(gain > before / 2 && kv_arena_mapped(arena) < before / 2);
#endif
    for (int i = 0; i < N; i++) kv_arena_free(arena, blocks[i].ptr, blocks[i].bytes);
    CHECK(kv_arena_used(arena) == 0 && kv_arena_check(arena));
    for (unsigned class = 0; class < KV_ARENA_CLASSES; class ++) CHECK(kv_arena_compact_class(arena, class) == 0);
    kv_arena_destroy(arena);
    CHECK(atomic_load(&mem.used) == 0);
}

/* Chunks that fill up become huge pages where the kernel has them; what was in them stays, and so it does when most of them goes back. */
static void promotes(bool refused) {
    enum { N = 6000 };
    kv_mem mem;
    kv_rng rng;
    kv_mem_init(&mem);
    kv_rng_seed(&rng, 9);
    if (refused) kv_span_refuse_huge(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    static block blocks[N];
    for (int i = 0; i < N; i++) {
        blocks[i].bytes = 1024;
        CHECK((blocks[i].ptr = kv_arena_alloc(arena, blocks[i].bytes)) != NULL);
        fill(&blocks[i], &rng);
        if (i % 1400 == 0) kv_span_promote(&mem, 1);
    }
#ifndef KV_PLAIN_MALLOC
    CHECK((mem.pool.ripe == NULL) == refused);
#endif
    kv_span_promote(&mem, UINT64_MAX);
    CHECK(kv_page_pool_check(&mem) && kv_arena_check(arena));
    for (int i = 0; i < N; i++) {
        check_bytes(&blocks[i], blocks[i].bytes);
        if (i % 8 != 0) kv_arena_free(arena, blocks[i].ptr, blocks[i].bytes), blocks[i].ptr = NULL;
    }
    kv_span_purge(&mem);
    kv_span_promote(&mem, UINT64_MAX);
    CHECK(kv_page_pool_check(&mem) && kv_arena_check(arena));
    for (int i = 0; i < N; i += 8) check_bytes(&blocks[i], blocks[i].bytes);
    kv_arena_destroy(arena);
    CHECK(atomic_load(&mem.used) == 0 && mem.pool.chunks == 0 && mem.pool.ripe == NULL);
}

/* A small pool wants no thread for its huge pages; one that has outgrown the processor's caches does, where the kernel has them. */
static void asks_for_a_thread(void) {
    enum { COUNT = 24 << 10, BYTES = 1024 };
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    static void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        CHECK((blocks[i] = kv_arena_alloc(arena, BYTES)) != NULL);
        if (i == COUNT / 4) CHECK(!atomic_load(&mem.pool.wants_thread));
    }
#ifndef KV_PLAIN_MALLOC
    CHECK(atomic_load(&mem.pool.wants_thread) == kvi_huge_pages_offered());
#endif
    for (size_t i = 0; i < COUNT; i++) kv_arena_free(arena, blocks[i], BYTES);
    kv_arena_destroy(arena);
    CHECK(atomic_load(&mem.used) == 0);
}

static void many_small_arenas(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arenas[64];
    for (int i = 0; i < 64; i++) {
        arenas[i] = kv_arena_create(&mem);
        for (size_t j = 0; j < 10; j++) CHECK(kv_arena_alloc(arenas[i], 24 + j * 24) != NULL);
    }
    CHECK(atomic_load(&mem.mapped) <= 64 * 10 * 4096);
#ifndef KV_PLAIN_MALLOC
    CHECK(mem.pool.chunks == 2);
#endif
    for (int i = 0; i < 64; i++) kv_arena_destroy(arenas[i]);
    CHECK(atomic_load(&mem.used) == 0);
}

/* Threads with an arena each draw pages from one pool; all of them use one shared arena besides. */
typedef struct worker {
    kv_arena *own, *common;
    uint64_t seed;
} worker;

static void work(void *arg) {
    worker *w = arg;
    kv_rng rng;
    kv_rng_seed(&rng, w->seed);
    block blocks[64];
    memset(blocks, 0, sizeof blocks);
    for (int i = 0; i < 20000; i++) {
        block *b = &blocks[kv_rng_below(&rng, 64)];
        kv_arena *arena = (b - blocks) % 4 == 0 ? w->common : w->own;
        if (b->ptr != NULL) {
            check_bytes(b, b->bytes);
            kv_arena_free(arena, b->ptr, b->bytes);
            b->ptr = NULL;
        } else {
            b->bytes = kv_rng_below(&rng, 8) ? 1 + kv_rng_below(&rng, 500) : 1 + kv_rng_below(&rng, 60000);
            CHECK((b->ptr = kv_arena_alloc(arena, b->bytes)) != NULL);
            fill(b, &rng);
        }
    }
}

static void threads(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *common = kv_arena_create(&mem);
    kv_arena_share(common);
    worker workers[3];
    kv_thread handles[3];
    for (uint64_t i = 0; i < 3; i++) {
        workers[i] = (worker){kv_arena_create(&mem), common, i + 1};
        CHECK(kv_thread_start(&handles[i], "kv-arena", work, &workers[i]) == 0);
    }
    for (int i = 0; i < 3; i++) kv_thread_join(&handles[i]);
    for (int i = 0; i < 3; i++) {
        CHECK(kv_arena_check(workers[i].own));
        kv_arena_destroy(workers[i].own);
    }
    CHECK(kv_arena_check(common));
    kv_arena_destroy(common);
    CHECK(atomic_load(&mem.used) == 0);
}

static void failures(void) {
#ifdef KV_FAULTS
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    for (int64_t n = 0; n < 8; n++) {
        atomic_store(&mem.fail_after, n);
        void *small = kv_arena_alloc(arena, 100), *large = kv_arena_alloc(arena, 100000), *huge = kv_arena_alloc(arena, 1000000);
        void *grown = huge == NULL ? NULL : kv_arena_realloc(arena, huge, 1000000, 2000000);
        atomic_store(&mem.fail_after, -1);
        CHECK(kv_arena_check(arena));
        kv_arena_free(arena, small, 100);
        kv_arena_free(arena, large, 100000);
        if (grown != NULL) kv_arena_free(arena, grown, 2000000);
        else kv_arena_free(arena, huge, 1000000);
        kv_arena_trim(arena); /* so that the next round asks for pages again */
        CHECK(kv_arena_used(arena) == 0 && kv_arena_check(arena));
    }
    CHECK(atomic_load(&mem.attempts) > 20);
    atomic_store(&mem.fail_forever, true);
    atomic_store(&mem.fail_after, 0);
    CHECK(kv_arena_create(&mem) == NULL && kv_malloc(&mem, 1) == NULL && kv_mem_map(&mem, 4096, 4096) == NULL);
    kv_arena_destroy(arena);
    CHECK(atomic_load(&mem.used) == 0);
#endif
}

static void accounts(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    void *a = kv_malloc(&mem, 1000), *b = kv_calloc(&mem, 10, 10), *c = kv_mem_map(&mem, 8192, 65536);
    CHECK(a != NULL && b != NULL && c != NULL && (uintptr_t)c % 65536 == 0);
    a = kv_realloc(&mem, a, 5000);
    CHECK(a != NULL && atomic_load(&mem.used) >= 5000 + 100 + 8192 && atomic_load(&mem.mapped) == 8192);
    CHECK(kv_calloc(&mem, SIZE_MAX / 2, 4) == NULL);
    kv_free(&mem, a);
    kv_free(&mem, b);
    kv_mem_unmap(&mem, c, 8192);
    CHECK(atomic_load(&mem.used) == 0 && atomic_load(&mem.peak) >= 13292);
}

int main(void) {
    good_sizes();
    accounts();
    empties_go_back();
    for (uint64_t seed = 1; seed <= 3; seed++) compacts(seed);
    asks_for_a_thread();
    promotes(false);
    promotes(true);
    grows_through_classes();
    rests();
#ifndef KV_PLAIN_MALLOC
    refills();
#endif
    many_small_arenas();
    failures();
    threads();
    for (uint64_t seed = 1; seed <= 3; seed++) random_actions(seed);
    puts("ok arena");
    return 0;
}
