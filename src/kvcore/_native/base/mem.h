/* System memory of one engine: the only place that calls malloc and mmap. Thread-safe.
 *
 * Everything outside the shards (sessions, buffers, configuration) uses kv_malloc; shards use kv_arena (arena.h), which takes its pages
 * from here. A KV_FAULTS build can make the n-th allocation fail, once or from there on, to show that every failure is survived. */
#ifndef KV_BASE_MEM_H
#define KV_BASE_MEM_H

#include "base/sync.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_chunk;

/* Chunks of pages that all arenas of the engine share, see pages.c. Empty until the first arena allocates. */
typedef struct kv_page_pool {
    kv_mutex lock;                  /* guards the rest; nothing is taken under it */
    struct kv_chunk *by_run[10];    /* chunks whose longest free run has 2^i .. 2^(i+1)-1 pages */
    size_t chunks;                  /* all of them, full ones too */
    size_t empty;                   /* chunks with no page in use */
    size_t pages_used, pages_dirty; /* handed out; free but not yet given back to the system */
    size_t pages_coarse;            /* of those handed out */
    size_t peak, peak_before;       /* the most pages_used, in this window of time and in the one before */
    uint64_t window_ms, tended_ms;  /* when this window began; when kv_span_tend came last, 0 for never */
    struct kv_chunk *ripe;          /* filled up, to be made one huge page (kv_span_promote) */
    _Atomic bool wants_thread;      /* chunks are ripe in a pool too large for a processor's caches: somebody should call kv_span_promote */
    uint8_t huge;                   /* 0: the kernel was not asked yet; 1: it offers huge pages; 2: it does not, or they are not wanted */
    uint64_t slow_until_ms;         /* no chunk is huge at once before this time */
    uint64_t purged_ms;             /* when free pages were last given back */
    uint64_t requests, requests_seen; /* spans handed out, in all and at the last kv_span_tend */
} kv_page_pool;

typedef struct kv_mem {
    _Atomic size_t used;   /* bytes handed out by kv_malloc and kv_mem_map together (rounded as the system rounds them) */
    _Atomic size_t peak;   /* the highest value of `used` that was seen */
    _Atomic size_t mapped; /* of which pages handed to arenas */
    /* Fault injection (KV_FAULTS builds only): countdown to the failing allocation; <0 is off. */
    _Atomic int64_t fail_after;
    _Atomic bool fail_forever;
    _Atomic uint64_t attempts; /* allocations tried, so that a sweep knows where to end */
    kv_page_pool pool;
} kv_mem;

void kv_mem_init(kv_mem *mem);

/* The three below return NULL when the system (or the fault injector) refuses; then nothing has changed. */
void *kv_malloc(kv_mem *mem, size_t bytes);
void *kv_calloc(kv_mem *mem, size_t count, size_t bytes);
void *kv_realloc(kv_mem *mem, void *ptr, size_t bytes);
void kv_free(kv_mem *mem, void *ptr); /* NULL is fine */

/* Whole pages for arenas: `bytes` is a multiple of 4096, the result is aligned to `align` (a power of two >= 4096) and zeroed. */
void *kv_mem_map(kv_mem *mem, size_t bytes, size_t align);
void kv_mem_unmap(kv_mem *mem, void *ptr, size_t bytes);
/* Grows or shrinks a mapping of 4096-byte alignment, moving pages instead of copying. NULL: refused, nothing changed. */
void *kv_mem_remap(kv_mem *mem, void *ptr, size_t old_bytes, size_t new_bytes);
/* Gives the pages back and keeps the mapping: they read as zeros and may be written again. Whole pages. */
void kv_mem_discard(void *ptr, size_t bytes);

/* True when the next allocation of a KV_FAULTS build must fail; constant false otherwise. Arenas ask it too. */
#ifdef KV_FAULTS
bool kv_mem_fault(kv_mem *mem);
#else
static inline bool kv_mem_fault(kv_mem *mem) {
    (void)mem;
    return false;
}
#endif

#endif
