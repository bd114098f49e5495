/* sources: base/arena.c base/pages.c base/mem.c base/sync.c base/rng.c */
/* The arena against malloc: time per call, and what many small arenas take. Figures of docs/design/memory.md. Churn: bench_churn.c.
 *
 *   build/bench/release/bench_arena (arena|malloc) (time|shards)
 */
#include "allocators.h"
#include <time.h>

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void time_pairs(allocator *from, const char *what, double low, double high, size_t live) {
    enum { LIVE_MAX = 50000, ROUNDS = 2000000, PICKS = 65536 };
    static block blocks[LIVE_MAX];
    static uint32_t places[PICKS], sizes[PICKS];
    kv_rng rng;
    kv_rng_seed(&rng, 2);
    for (size_t i = 0; i < PICKS; i++) {
        places[i] = (uint32_t)kv_rng_below(&rng, live);
        sizes[i] = size_between(&rng, low, high);
    }
    for (size_t i = 0; i < live; i++) blocks[i] = (block){get(from, sizes[i % PICKS]), sizes[i % PICKS]};
    double start = seconds();
    for (size_t i = 0; i < ROUNDS; i++) {
        block *b = &blocks[places[i % PICKS]];
        put(from, b->ptr, b->bytes);
        b->bytes = sizes[(i * 7) % PICKS];
        b->ptr = get(from, b->bytes);
        *(volatile char *)b->ptr = 1;
    }
    printf("  %-34s %5.1f ns a pair of free and alloc\n", what, (seconds() - start) / ROUNDS * 1e9);
    for (size_t i = 0; i < live; i++) put(from, blocks[i].ptr, blocks[i].bytes);
}

/* 64 arenas with four blocks in each of ten classes. */
static void shards(kv_mem *mem) {
    size_t base = resident();
    for (int i = 0; i < 64; i++) {
        kv_arena *one = kv_arena_create(mem);
        for (size_t j = 0; j < 40; j++) memset(kv_arena_alloc(one, 24 + j / 4 * 24), 1, 24 + j / 4 * 24);
    }
    printf("  64 arenas, 40 blocks each: resident %.2f MiB, mapped %.2f MiB\n", (double)(resident() - base) / 1048576,
           (double)atomic_load(&mem->mapped) / 1048576);
}

int main(int argc, char **argv) {
    if (argc != 3) return 1;
    allocator from;
    allocator_init(&from, strcmp(argv[1], "arena") == 0);
    printf("%s\n", argv[1]);
    if (strcmp(argv[2], "shards") == 0) {
        shards(&from.mem);
    } else {
        time_pairs(&from, "48 bytes", 48, 48.5, 50000);
        time_pairs(&from, "16..256 bytes", 16, 256, 50000);
        time_pairs(&from, "64..8192 bytes", 64, 8192, 50000);
        time_pairs(&from, "40000..200000 bytes", 40000, 200000, 500);
    }
    return 0;
}
