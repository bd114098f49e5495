/* The arena against malloc: time per call, and what many small arenas take. Figures of docs/design/memory.md. Churn: churn.c.
 *
 *   gcc -std=gnu11 -O2 -Isrc/kvcore/_native benchmarks/c/bench_arena.c src/kvcore/_native/base/{arena,pages,mem,sync,rng}.c -pthread -lm
 * -o build/bench-arena
 *   build/bench-arena (arena|malloc) (time|shards)
 */
#include "base/arena.h"
#include "base/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct block {
    void *ptr;
    uint32_t bytes;
} block;

static kv_mem mem;
static kv_arena *arena; /* NULL: malloc */

static void *get(size_t bytes) { return arena != NULL ? kv_arena_alloc(arena, bytes) : malloc(bytes); }

static void put(void *ptr, size_t bytes) {
    if (arena != NULL) kv_arena_free(arena, ptr, bytes);
    else free(ptr);
}

static size_t resident(void) {
    size_t total = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%zu %zu", &total, &pages) != 2) exit(1);
    fclose(file);
    return pages * 4096;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Sizes spread evenly over their logarithm. */
static uint32_t size_between(kv_rng *rng, double low, double high) { return (uint32_t)(low * pow(high / low, kv_rng_unit(rng))); }

static void time_pairs(const char *what, double low, double high, size_t live) {
    enum { LIVE_MAX = 50000, ROUNDS = 2000000, PICKS = 65536 };
    static block blocks[LIVE_MAX];
    static uint32_t places[PICKS], sizes[PICKS];
    kv_rng rng;
    kv_rng_seed(&rng, 2);
    for (size_t i = 0; i < PICKS; i++) {
        places[i] = (uint32_t)kv_rng_below(&rng, live);
        sizes[i] = size_between(&rng, low, high);
    }
    for (size_t i = 0; i < live; i++) blocks[i] = (block){get(sizes[i % PICKS]), sizes[i % PICKS]};
    double start = seconds();
    for (size_t i = 0; i < ROUNDS; i++) {
        block *b = &blocks[places[i % PICKS]];
        put(b->ptr, b->bytes);
        b->bytes = sizes[(i * 7) % PICKS];
        b->ptr = get(b->bytes);
        *(volatile char *)b->ptr = 1;
    }
    printf("  %-34s %5.1f ns a pair of free and alloc\n", what, (seconds() - start) / ROUNDS * 1e9);
    for (size_t i = 0; i < live; i++) put(blocks[i].ptr, blocks[i].bytes);
}

/* 64 arenas with four blocks in each of ten classes. */
static void shards(void) {
    size_t base = resident();
    for (int i = 0; i < 64; i++) {
        kv_arena *one = kv_arena_create(&mem);
        for (size_t j = 0; j < 40; j++) memset(kv_arena_alloc(one, 24 + j / 4 * 24), 1, 24 + j / 4 * 24);
    }
    printf("  64 arenas, 40 blocks each: resident %.2f MiB, mapped %.2f MiB\n", (double)(resident() - base) / 1048576,
           (double)atomic_load(&mem.mapped) / 1048576);
}

int main(int argc, char **argv) {
    if (argc != 3) return 1;
    kv_mem_init(&mem);
    if (strcmp(argv[1], "arena") == 0) arena = kv_arena_create(&mem);
    printf("%s\n", argv[1]);
    if (strcmp(argv[2], "shards") == 0) {
        shards();
    } else {
        time_pairs("48 bytes", 48, 48.5, 50000);
        time_pairs("16..256 bytes", 16, 256, 50000);
        time_pairs("64..8192 bytes", 64, 8192, 50000);
        time_pairs("40000..200000 bytes", 40000, 200000, 500);
    }
    return 0;
}
