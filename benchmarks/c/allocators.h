/* What the benchmarks of allocators share: the arena or malloc behind one pair of functions, resident memory, sizes spread evenly over their logarithm. */
#ifndef KV_BENCH_ALLOCATORS_H
#define KV_BENCH_ALLOCATORS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/rng.h"

typedef struct block {
    void *ptr;
    uint32_t bytes;
} block;

/* Blocks of an arena, or without one (NULL) malloc's. */
typedef struct allocator {
    kv_mem mem;
    kv_arena *arena;
} allocator;

static inline void allocator_init(allocator *from, bool arena) {
    kv_mem_init(&from->mem);
    from->arena = arena ? kv_arena_create(&from->mem) : NULL;
}
static inline void *get(allocator *from, size_t bytes) { return from->arena != NULL ? kv_arena_alloc(from->arena, bytes) : malloc(bytes); }
static inline void put(allocator *from, void *ptr, size_t bytes) {
    if (from->arena != NULL) kv_arena_free(from->arena, ptr, bytes);
    else free(ptr);
}

static inline size_t resident(void) {
    size_t total = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%zu %zu", &total, &pages) != 2) exit(1);
    fclose(file);
    return pages * 4096;
}

static inline uint32_t size_between(kv_rng *rng, double low, double high) { return (uint32_t)(low * pow(high / low, kv_rng_unit(rng))); }

#endif
