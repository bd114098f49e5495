/* What an allocator holds beside what was asked for, after churn. Figures of docs/design/memory.md.
 *
 *   gcc -std=gnu11 -O2 -Isrc/kvcore/_native benchmarks/c/churn.c src/kvcore/_native/base/{arena,pages,mem,sync,rng}.c -pthread -lm -o build/churn
 *   build/churn (arena|compact|malloc) (1|2|3)
 *   LD_PRELOAD=libjemalloc.so.2 MALLOC_CONF=background_thread:true build/churn malloc 1
 *
 * One trace for all: sizes spread evenly over their logarithm until 100 MiB are live, a random half is freed, and sizes of another range come until
 * 100 MiB are live again. Waste is resident memory (of the process, without what it had before) over live requested bytes. `compact` does after
 * each part what the store's background thread does: closes sparse slabs and moves their blocks; that takes the owner of the blocks, who knows where the
 * pointers to them are, and so no malloc can do it. jemalloc gives dirty pages back after ten seconds: each figure is taken before and after a wait of
 * eleven. */
#include "base/arena.h"
#include "base/pages.h"
#include "base/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct block {
    void *ptr;
    uint32_t bytes;
} block;

enum { COUNT = 4000000, PATIENCE = 11 };

static kv_mem mem;
static kv_arena *arena; /* NULL: malloc */
static bool compacting;
static uint64_t now_ms = 1; /* as the pool is told */

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

/* Sizes spread evenly over their logarithm. */
static uint32_t size_between(kv_rng *rng, double low, double high) { return (uint32_t)(low * pow(high / low, kv_rng_unit(rng))); }

static size_t fill(block *blocks, size_t count, kv_rng *rng, double low, double high, size_t live, size_t until) {
    for (size_t i = 0; i < count && live < until; i++) {
        if (blocks[i].ptr != NULL) continue;
        blocks[i].bytes = size_between(rng, low, high);
        blocks[i].ptr = get(blocks[i].bytes);
        memset(blocks[i].ptr, 1, blocks[i].bytes);
        live += blocks[i].bytes;
    }
    return live;
}

/* Rounds until one gains less than a fiftieth: a round looks at the first 1024 slabs of a class. */
static void compact(block *blocks, double *moved) {
    size_t count = 0;
    for (size_t gain = SIZE_MAX; gain > kv_arena_used(arena) / 50;) {
        gain = 0;
        for (unsigned class = 0; class < KV_ARENA_CLASSES; class ++) gain += kv_arena_compact_class(arena, class);
        for (size_t i = 0; i < COUNT; i++) {
            if (blocks[i].ptr == NULL) continue;
            void *before = blocks[i].ptr;
            blocks[i].ptr = kv_arena_move(arena, before, blocks[i].bytes);
            count += blocks[i].ptr != before;
        }
        kv_arena_compact_end(arena);
    }
    *moved = (double)count;
}

static void report(const char *what, size_t live, size_t base, block *blocks) {
    double at_once = (double)(resident() - base), moved = 0;
    if (compacting) compact(blocks, &moved);
    for (uint64_t i = 0; arena != NULL && i < PATIENCE * 10; i++) kv_span_tend(&mem, now_ms += 100, true); /* what the store's background thread does */
    if (arena == NULL) sleep(PATIENCE);
    double later = (double)(resident() - base);
    printf("  %-28s live %6.1f MiB  waste at once %5.1f%%, later %5.1f%%", what, (double)live / 1048576, 100 * (at_once / (double)live - 1),
           100 * (later / (double)live - 1));
    if (compacting) printf("  (%.2f million blocks moved)", moved / 1e6);
    printf("\n");
    fflush(stdout);
}

static void churn(double low, double high, double low2, double high2) {
    size_t target = (size_t)100 << 20;
    kv_rng rng;
    kv_rng_seed(&rng, 1);
    block *blocks = calloc(COUNT, sizeof *blocks);
    memset(blocks, 0, COUNT * sizeof *blocks); /* resident before the count begins */
    for (size_t i = 0; i < COUNT; i++) blocks[i].bytes = 1;
    size_t base = resident();
    printf(" sizes %.0f..%.0f, then %.0f..%.0f\n", low, high, low2, high2);
    size_t live = fill(blocks, COUNT, &rng, low, high, 0, target);
    report("filled", live, base, blocks);
    for (size_t i = 0; i < COUNT; i++) {
        if (blocks[i].ptr == NULL || kv_rng_below(&rng, 2)) continue;
        put(blocks[i].ptr, blocks[i].bytes);
        live -= blocks[i].bytes;
        blocks[i].ptr = NULL;
    }
    report("random half deleted", live, base, blocks);
    live = fill(blocks, COUNT, &rng, low2, high2, live, target);
    report("filled with the other sizes", live, base, blocks);
    for (size_t i = 0; i < COUNT; i++)
        if (blocks[i].ptr != NULL) put(blocks[i].ptr, blocks[i].bytes), blocks[i].ptr = NULL;
    if (arena != NULL) kv_arena_trim(arena);
    else sleep(PATIENCE);
    printf("  %-34s resident %.1f MiB\n", "all deleted", (double)(resident() - base) / 1048576);
    free(blocks);
}

int main(int argc, char **argv) {
    static const double ranges[3][4] = {{16, 128, 24, 256}, {16, 1024, 64, 4096}, {100, 20000, 50, 9000}};
    if (argc != 3 || argv[2][0] < '1' || argv[2][0] > '3') return 1;
    kv_mem_init(&mem);
    compacting = strcmp(argv[1], "compact") == 0;
    if (compacting || strcmp(argv[1], "arena") == 0) arena = kv_arena_create(&mem);
    const double *r = ranges[argv[2][0] - '1'];
    printf("%s%s\n", argv[1], getenv("LD_PRELOAD") != NULL ? " (preloaded)" : "");
    churn(r[0], r[1], r[2], r[3]); /* one a process: malloc seldom gives pages back */
    return 0;
}
