/* sources: base/arena.c base/pages.c base/mem.c base/sync.c base/rng.c */
/* What an allocator holds beside what was asked for, after churn. Figures of docs/design/memory.md; `benchmarks/run.py churn` runs it.
 *
 *   bench_churn (arena|compact|malloc) LOW HIGH LOW2 HIGH2 [MIB]
 *
 * One trace for all: sizes spread evenly over their logarithm until MIB (100) are live, a random half is freed, and sizes of another range come until as
 * much is live again. Waste is resident memory (of the process, without what it had before) over live requested bytes. `compact` does after
 * each part what the store's background thread does: closes sparse slabs and moves their blocks; that takes the owner of the blocks, who knows where the
 * pointers to them are, and so no malloc can do it. `malloc` is whichever the process has: another one comes by preloading it. jemalloc gives dirty pages
 * back after ten seconds: each figure is taken before and after a wait of eleven.
 *
 * Prints a JSON line a step. */
#include "allocators.h"
#include "base/pages.h"

enum { COUNT = 4000000, PATIENCE = 11 };

static size_t fill(allocator *from, block *blocks, size_t count, kv_rng *rng, double low, double high, size_t live, size_t until) {
    for (size_t i = 0; i < count && live < until; i++) {
        if (blocks[i].ptr != NULL) continue;
        blocks[i].bytes = size_between(rng, low, high);
        blocks[i].ptr = get(from, blocks[i].bytes);
        memset(blocks[i].ptr, 1, blocks[i].bytes);
        live += blocks[i].bytes;
    }
    return live;
}

/* Rounds until one gains less than a fiftieth: a round looks at the first 1024 slabs of a class. */
static size_t compact(kv_arena *arena, block *blocks) {
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
    return count;
}

static void report(allocator *from, const char *step, size_t live, size_t base, block *blocks, bool compacting, uint64_t *now_ms) {
    size_t at_once = resident() - base, moved = 0;
    if (compacting) moved = compact(from->arena, blocks);
    for (uint64_t i = 0; from->arena != NULL && i < PATIENCE * 10; i++)
        kv_span_tend(&from->mem, *now_ms += 100, true); /* as the store's background thread */
    if (from->arena == NULL) sleep(PATIENCE);
    printf("{\"step\": \"%s\", \"live\": %zu, \"resident_at_once\": %zu, \"resident\": %zu, \"moved\": %zu}\n", step, live, at_once,
           resident() - base, moved);
    fflush(stdout);
}

static void churn(allocator *from, bool compacting, const double range[4], size_t target) {
    kv_rng rng;
    uint64_t now_ms = 1; /* as the pool is told */
    kv_rng_seed(&rng, 1);
    block *blocks = calloc(COUNT, sizeof *blocks);
    if (blocks == NULL) exit(1);
    for (size_t i = 0; i < COUNT; i++) blocks[i].bytes = 1; /* resident before the count begins */
    size_t base = resident();
    size_t live = fill(from, blocks, COUNT, &rng, range[0], range[1], 0, target);
    report(from, "filled", live, base, blocks, compacting, &now_ms);
    for (size_t i = 0; i < COUNT; i++) {
        if (blocks[i].ptr == NULL || kv_rng_below(&rng, 2)) continue;
        put(from, blocks[i].ptr, blocks[i].bytes);
        live -= blocks[i].bytes;
        blocks[i].ptr = NULL;
    }
    report(from, "half deleted", live, base, blocks, compacting, &now_ms);
    live = fill(from, blocks, COUNT, &rng, range[2], range[3], live, target);
    report(from, "filled again", live, base, blocks, compacting, &now_ms);
    for (size_t i = 0; i < COUNT; i++)
        if (blocks[i].ptr != NULL) put(from, blocks[i].ptr, blocks[i].bytes), blocks[i].ptr = NULL;
    if (from->arena != NULL) kv_arena_trim(from->arena);
    report(from, "all deleted", 0, base, blocks, false, &now_ms);
    free(blocks);
}

int main(int argc, char **argv) {
    if (argc < 6) return 1;
    bool compacting = strcmp(argv[1], "compact") == 0;
    double range[4];
    for (int i = 0; i < 4; i++) range[i] = atof(argv[2 + i]);
    allocator from;
    allocator_init(&from, compacting || strcmp(argv[1], "arena") == 0);
    churn(&from, compacting, range,
          (size_t)((argc > 6 ? atof(argv[6]) : 100) * 1048576)); /* one a process: malloc seldom gives pages back */
    return 0;
}
