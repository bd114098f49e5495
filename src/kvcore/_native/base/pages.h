/* The engine's pool of pages: runs of 1 to 128 pages of 4 KiB ("spans") for arenas, cut from shared chunks. Thread-safe. Private to
 * base/. */
#ifndef KV_BASE_PAGES_H
#define KV_BASE_PAGES_H

#include "base/mem.h"

#define KV_PAGE ((size_t)4096)
#define KV_CHUNK ((size_t)2 << 20)
#define KV_SPAN_MAX 128u /* pages */

/* What is known of a span. It lies in the chunk's header, one a page, so that an address leads to it. The pool sets pages and back; the
 * rest belongs to the arena that holds the span. Places of blocks are in units of 8 bytes from the span's start. */
typedef struct kv_span {
    struct kv_span *next, *prev;
    uint16_t free_place;  /* first freed block; KV_SPAN_NONE when none */
    uint16_t fresh_place; /* blocks from here on were never used */
    uint16_t used;        /* live blocks */
    uint16_t capacity;    /* blocks */
    uint8_t class_index;
    uint8_t back;           /* of any page of a slab: how many pages before it the span begins */
    uint16_t pages : 13;    /* of the first page */
    uint16_t is_coarse : 1; /* the pool's: no use for huge pages */
    uint16_t is_full : 1;   /* the arena's: which of its lists the slab is in; both 0 is the class's own */
    uint16_t is_closed : 1; /* being emptied */
    uint32_t owner;         /* tells the arena, for debug checks */
} kv_span;
_Static_assert(sizeof(kv_span) == 32, "512 of them are four pages");
#define KV_SPAN_NONE UINT16_MAX

/* A span of `pages` (1..KV_SPAN_MAX) with unknown contents, or NULL when out of memory. `back` of its pages is set for the first 256. `coarse`: its blocks
 * are so large that huge pages would not help those who read them. */
kv_span *kv_span_alloc(kv_mem *mem, unsigned pages, bool coarse);
void kv_span_free(kv_mem *mem, kv_span *span);
void kv_span_purge(kv_mem *mem); /* give every free page back to the system */
void kv_span_close(kv_mem *mem); /* when nothing is in use, nothing stays mapped */
/* One thread's, a few times a second; now_ms: CLOCK_MONOTONIC. Gives back what nobody has needed for 5 to 10 seconds, and free pages beyond a 256th of
 * what is in use or, when `resting` and no span was handed out since the last call, all of them. While it is called nobody else gives pages back. */
void kv_span_tend(kv_mem *mem, uint64_t now_ms, bool resting);
bool kv_page_pool_check(kv_mem *mem); /* every invariant; takes the lock */

/* Makes chunks that are nearly full into huge pages until there are none or `budget_ns` have passed; the time it took. 1 ms each where memory is plenty, 10
 * where the machine's host has to find it; without the pool's lock. One thread, now and then. */
uint64_t kv_span_promote(kv_mem *mem, uint64_t budget_ns);
/* Huge pages are not wanted, whatever the kernel offers: for chunks from now on. */
void kv_span_refuse_huge(kv_mem *mem);

/* Of mem.c: the account (which keeps the peak), and a mapping that is not counted. NULL when refused. */
void kvi_mem_count_up(kv_mem *mem, size_t bytes);
void kvi_mem_count_down(kv_mem *mem, size_t bytes);
bool kvi_huge_pages_offered(void);
void *kvi_map_aligned(size_t bytes, size_t align);

static inline void *kv_span_start(const kv_span *span) {
    uintptr_t at = (uintptr_t)span, chunk = at & ~(uintptr_t)(KV_CHUNK - 1);
    return (void *)(chunk + (at - chunk) / sizeof(kv_span) * KV_PAGE);
}
static inline kv_span *kv_span_of(const void *ptr) {
    uintptr_t at = (uintptr_t)ptr, chunk = at & ~(uintptr_t)(KV_CHUNK - 1);
    kv_span *span = (kv_span *)chunk + (at - chunk) / KV_PAGE;
    return span - span->back;
}

#endif
