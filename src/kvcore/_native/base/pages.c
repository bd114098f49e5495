/* Pages are shared by all arenas of an engine, so that many shards with little in each do not hold a chunk each.
 *
 *   chunk, 2 MiB, aligned                page:  0     1     2     3     4                                    511
 *                                             +-----+-----+-----+-----+-----+-----+-----+--- ... ---+-----+-----+
 *                                             |kv_chunk, kv_span[512] |  span 3 pages   | free      | span ..   |
 *                                             +-----------------------+-----------------+--- ... ---+-----------+
 *
 * The kv_span of page p lies at index p of the header; kv_chunk takes the place of the first four, which would describe the header
 * itself. Only the header pages that are touched cost memory: a small store touches one.
 *
 * A chunk with free pages is in the list of its longest free run's power of two. A request looks at a few chunks whose longest run may
 * be long enough, then takes any from the lists above, and in the chunk the shortest run that fits. Freed pages stay resident ("dirty")
 * for the next request while they are few against those in use (purge_when_due). Empty chunks are unmapped but for one
 * and a 64th of all, and every one when an arena dies and nothing is in use: closing the last arena leaves nothing mapped.
 *
 * Where a background thread tends the pool (kv_span_tend), nobody else gives pages back, since whoever frees holds a shard's lock: it keeps what the pool
 * used at its peak of the last 5 to 10 seconds. So a store that is emptied and filled again faults nothing in, and never holds more than it just did.
 *
 * Huge pages. A chunk is made of small pages, so that what is not used is not there, until it is nearly full; then it is ripe, and a background thread
 * has the kernel make it one huge page (kv_span_promote). From BIG_POOL chunks on new ones are huge at once: what the last of them holds in vain is
 * less than a hundredth then. A chunk of which a quarter is given back is made of small pages again, or the kernel would fill it up. Chunks
 * that are filled with coarse spans, whose blocks are large, stay as they are: such blocks are read from one end to the other, and gain nothing.
 *
 * A huge page costs 0.4 ms where the memory is there, and 7 ms on a virtual machine that gives free memory back to its host. Whoever makes a chunk may hold
 * a shard's lock; so when the first touch of one was that slow, new chunks are of small pages again for a while.
 *
 * Invariants: free_pages and longest agree with the bitmap; a chunk is in exactly the list of its longest run, or in none when full;
 * the pool's counts are the sums over its chunks. */
#include "base/pages.h"
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(ptr, bytes) ((void)(ptr), (void)(bytes))
#endif

enum { PAGES = KV_CHUNK / KV_PAGE, HEADER_PAGES = 4, USABLE = PAGES - HEADER_PAGES, WORDS = PAGES / 64, LISTS = 10, LOOKS = 4 };
enum {
    CACHED = 8 /* chunks: of 16 MiB a processor's caches of addresses hold most */,
    BIG_POOL = 128 /* 256 MiB */,
    RIPE_FREE = USABLE / 16,
    TORN_PAGES = USABLE / 4
};
enum { SLOW_TOUCH_NS = 2000000, SLOW_PAUSE_MS = 10000 };
enum {
    WINDOW_MS = 5000 /* of peaks */,
    TENDED_MS = 3000,
    TEND_CHUNKS = 8 /* purged in one go: 0.1 ms each */,
    TEND_HOLDS = 8 /* 1.2 GiB a second */
};
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* since Linux 6.1; before, an advised chunk has to wait for khugepaged */
#endif

typedef struct kv_chunk {
    struct kv_chunk *next, *prev;
    uint64_t free[WORDS];             /* bit p: page p is free */
    uint16_t free_pages, dirty_pages; /* dirty <= free */
    uint16_t longest;                 /* longest free run */
    uint16_t magic;
    struct kv_chunk *ripe_next; /* in the pool's list when is_ripe */
    bool is_ripe, is_huge;
    bool is_busy;          /* being promoted, without the lock: must stay mapped */
    uint16_t coarse_pages; /* in coarse spans */
} kv_chunk;
_Static_assert(sizeof(kv_chunk) <= HEADER_PAGES * sizeof(kv_span), "the chunk's own fields fit in the spans of its header pages");
enum { MAGIC = 0x6b76 };

/* ---- the bitmap ---- */

/* The first page at or after `from` whose bit is `value`; PAGES when none. */
static unsigned next_bit(const kv_chunk *chunk, unsigned from, bool value) {
    while (from < PAGES) {
        uint64_t word = chunk->free[from / 64];
        if (!value) word = ~word;
        word >>= from % 64;
        if (word != 0) return from + (unsigned)__builtin_ctzll(word);
        from = (from / 64 + 1) * 64;
    }
    return PAGES;
}

static void set_bits(kv_chunk *chunk, unsigned from, unsigned count, bool value) {
    while (count > 0) {
        unsigned bit = from % 64, n = 64 - bit < count ? 64 - bit : count;
        uint64_t mask = (n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1) << bit;
        if (value) chunk->free[from / 64] |= mask;
        else chunk->free[from / 64] &= ~mask;
        from += n;
        count -= n;
    }
}

/* The start of the shortest run of at least `pages`; PAGES when there is none. *longest: the longest run of all. */
static unsigned best_run(const kv_chunk *chunk, unsigned pages, unsigned *longest) {
    unsigned best = PAGES, best_len = PAGES + 1, end;
    *longest = 0;
    for (unsigned at = next_bit(chunk, 0, true); at < PAGES; at = next_bit(chunk, end, true)) {
        end = next_bit(chunk, at, false);
        unsigned len = end - at;
        if (len > *longest) *longest = len;
        if (len >= pages && len < best_len) {
            best = at;
            best_len = len;
        }
    }
    return best;
}

/* ---- the lists ---- */

static unsigned list_of(unsigned longest) { return 31 - (unsigned)__builtin_clz(longest); }

static void unlist(kv_page_pool *pool, kv_chunk *chunk) {
    if (chunk->longest == 0) return;
    if (chunk->prev != NULL) chunk->prev->next = chunk->next;
    else pool->by_run[list_of(chunk->longest)] = chunk->next;
    if (chunk->next != NULL) chunk->next->prev = chunk->prev;
}

static void enlist(kv_page_pool *pool, kv_chunk *chunk, unsigned longest) {
    chunk->longest = (uint16_t)longest;
    if (longest == 0) return;
    kv_chunk **head = &pool->by_run[list_of(longest)];
    chunk->prev = NULL;
    chunk->next = *head;
    if (*head != NULL) (*head)->prev = chunk;
    *head = chunk;
}

/* Records the longest run anew after the bitmap has changed; stays in place when the list is the same. */
static void relist(kv_page_pool *pool, kv_chunk *chunk) {
    unsigned longest;
    best_run(chunk, PAGES + 1, &longest);
    if (longest != 0 && chunk->longest != 0 && list_of(longest) == list_of(chunk->longest)) {
        chunk->longest = (uint16_t)longest;
        return;
    }
    unlist(pool, chunk);
    enlist(pool, chunk, longest);
}

/* ---- chunks ---- */

static uint64_t coarse_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t fine_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Has kv_span_tend been called a moment ago? */
static bool is_tended(const kv_page_pool *pool) { return pool->tended_ms != 0 && coarse_ms() < pool->tended_ms + TENDED_MS; }

static bool huge_wanted(kv_page_pool *pool) {
    if (pool->huge == 0) pool->huge = kvi_huge_pages_offered() ? 1 : 2;
    return pool->huge == 1;
}

static bool huge_at_once(kv_page_pool *pool) {
    return pool->chunks >= BIG_POOL && pool->pages_coarse * 2 < pool->pages_used && huge_wanted(pool) &&
           (pool->slow_until_ms == 0 || coarse_ms() >= pool->slow_until_ms);
}

/* The first touch of a chunk that is to be huge is that of all its pages. */
static void touch_huge(kv_page_pool *pool, kv_chunk *chunk) {
    uint64_t begun = fine_ns();
    *(volatile uint16_t *)&chunk->magic = MAGIC;
    if (fine_ns() - begun > SLOW_TOUCH_NS) pool->slow_until_ms = coarse_ms() + SLOW_PAUSE_MS;
}

static void ripen(kv_page_pool *pool, kv_chunk *chunk) {
    if (chunk->is_huge || chunk->is_ripe || chunk->is_busy || chunk->free_pages > RIPE_FREE || pool->huge == 2) return;
    if (chunk->coarse_pages > USABLE / 2) return;
    chunk->is_ripe = true;
    chunk->ripe_next = pool->ripe;
    pool->ripe = chunk;
    if (pool->chunks >= CACHED && huge_wanted(pool)) atomic_store_explicit(&pool->wants_thread, true, memory_order_relaxed);
}

static void unripen(kv_page_pool *pool, kv_chunk *chunk) {
    if (!chunk->is_ripe) return;
    kv_chunk **at = &pool->ripe;
    while (*at != chunk) at = &(*at)->ripe_next;
    *at = chunk->ripe_next;
    chunk->is_ripe = false;
}

static kv_chunk *chunk_create(kv_mem *mem) {
    kv_page_pool *pool = &mem->pool;
    if (kv_mem_fault(mem)) return NULL;
    kv_chunk *chunk = kvi_map_aligned(KV_CHUNK, KV_CHUNK); /* not counted: a chunk is address space, spans are what is used */
    if (chunk == NULL) return NULL;
    bool is_huge = huge_at_once(pool);
    madvise(chunk, KV_CHUNK, is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE); /* advice: a refusal does no harm */
    if (is_huge) touch_huge(pool, chunk);
    chunk->is_huge = is_huge;
    set_bits(chunk, HEADER_PAGES, USABLE, true);
    chunk->free_pages = USABLE;
    chunk->magic = MAGIC;
    enlist(pool, chunk, USABLE);
    pool->chunks++;
    pool->empty++;
    return chunk;
}

static void chunk_destroy(kv_mem *mem, kv_chunk *chunk) {
    kv_page_pool *pool = &mem->pool;
    unlist(pool, chunk);
    unripen(pool, chunk);
    pool->chunks--;
    pool->empty--;
    pool->pages_dirty -= chunk->dirty_pages;
    ASAN_UNPOISON_MEMORY_REGION(chunk, KV_CHUNK);
    munmap(chunk, KV_CHUNK);
}

/* More empty chunks than are kept for the next request. */
static bool too_many_empty(const kv_page_pool *pool) { return pool->empty > 1 + pool->chunks / 64; }

/* Gives the free pages of a chunk back, or the whole of it. */
static void chunk_purge(kv_mem *mem, kv_chunk *chunk) {
    kv_page_pool *pool = &mem->pool;
    if (chunk->free_pages == USABLE && !chunk->is_busy && too_many_empty(pool)) {
        chunk_destroy(mem, chunk);
        return;
    }
    unsigned end;
    if (chunk->is_huge && chunk->free_pages >= TORN_PAGES) {
        madvise(chunk, KV_CHUNK, MADV_NOHUGEPAGE);
        chunk->is_huge = false;
    }
    for (unsigned at = next_bit(chunk, 0, true); at < PAGES; at = next_bit(chunk, end, true)) {
        end = next_bit(chunk, at, false);
        madvise((uint8_t *)chunk + at * KV_PAGE, (end - at) * KV_PAGE, MADV_DONTNEED);
    }
    pool->pages_dirty -= chunk->dirty_pages;
    chunk->dirty_pages = 0;
}

/* `most`: chunks. */
static void purge_down_to(kv_mem *mem, size_t dirty, size_t most) {
    kv_page_pool *pool = &mem->pool;
    for (unsigned list = LISTS; list-- > 0 && pool->pages_dirty > dirty;) /* emptiest first: fewest calls a page */
        for (kv_chunk *chunk = pool->by_run[list], *next; chunk != NULL && pool->pages_dirty > dirty; chunk = next) {
            next = chunk->next;
            if (chunk->dirty_pages == 0) continue;
            if (most-- == 0) return;
            chunk_purge(mem, chunk);
        }
}

static size_t soft_limit(const kv_page_pool *pool) { return 64 + pool->pages_used / 256; }

/* Where large blocks come and go, the holes between them are a tenth of the memory: to give those back at every free would only fault
 * them in again. So there is a soft limit, looked at ten times a second, and a hard one. What is left below the soft limit goes back when
 * nobody has asked for pages for a while, if there is a thread that looks. */
static void purge_when_due(kv_mem *mem) {
    kv_page_pool *pool = &mem->pool;
    size_t soft = soft_limit(pool), hard = 512 + pool->pages_used / 16;
    if (pool->pages_dirty <= soft || is_tended(pool)) return;
    uint64_t ms = coarse_ms();
    if (pool->pages_dirty <= hard && ms - pool->purged_ms < 100) return;
    /* Whoever frees holds a shard's lock: a chunk's worth each time (a call to the kernel for each hole), and more at the next free. */
    if (pool->pages_dirty > soft / 2 + USABLE) {
        purge_down_to(mem, pool->pages_dirty - USABLE, SIZE_MAX);
        return;
    }
    pool->purged_ms = ms;
    purge_down_to(mem, soft / 2, SIZE_MAX);
}

/* ---- tending ---- */

/* Free pages that are kept since they were in use a few seconds ago: no more are held then than at the peak. Not after a small fall, which the tables
 * that a growing store leaves behind make: its limits are the soft ones. */
static size_t kept_for_peak(const kv_page_pool *pool) {
    size_t peak = pool->peak > pool->peak_before ? pool->peak : pool->peak_before;
    return pool->pages_used < peak - peak / 8 ? peak - pool->pages_used : 0;
}

static void turn_window(kv_page_pool *pool, uint64_t now_ms) {
    if (now_ms - pool->window_ms < WINDOW_MS) return;
    bool long_ago = pool->window_ms != 0 && now_ms - pool->window_ms >= 2 * WINDOW_MS;
    pool->peak_before = long_ago ? pool->pages_used : pool->peak;
    pool->peak = pool->pages_used;
    pool->window_ms = now_ms;
}

void kv_span_tend(kv_mem *mem, uint64_t now_ms, bool resting) {
    kv_page_pool *pool = &mem->pool;
    if (!kv_mutex_trylock(&pool->lock)) return;
    pool->tended_ms = now_ms;
    turn_window(pool, now_ms);
    resting = resting && pool->requests == pool->requests_seen;
    pool->requests_seen = pool->requests;
    size_t allowed = resting ? 0 : soft_limit(pool);
    for (unsigned n = 0; n < TEND_HOLDS && pool->pages_dirty > kept_for_peak(pool) + allowed; n++) {
        allowed = resting ? 0 : soft_limit(pool) / 2;
        purge_down_to(mem, kept_for_peak(pool) + allowed, TEND_CHUNKS);
        kv_mutex_unlock(&pool->lock); /* others get in between */
        kv_mutex_lock(&pool->lock);
    }
    kv_mutex_unlock(&pool->lock);
}

/* ---- spans ---- */

/* A chunk with a run of `pages`, the fullest that is found quickly; a new one when none has it. */
static kv_chunk *find_chunk(kv_mem *mem, unsigned pages) {
    kv_page_pool *pool = &mem->pool;
    unsigned list = list_of(pages), looks = LOOKS;
    for (kv_chunk *chunk = pool->by_run[list]; chunk != NULL && looks-- > 0; chunk = chunk->next)
        if (chunk->longest >= pages) return chunk;
    while (++list < LISTS)
        if (pool->by_run[list] != NULL) return pool->by_run[list];
    return chunk_create(mem);
}

kv_span *kv_span_alloc(kv_mem *mem, unsigned pages, bool coarse) {
    kv_page_pool *pool = &mem->pool;
    kv_mutex_lock(&pool->lock);
    kv_chunk *chunk = find_chunk(mem, pages);
    kv_span *span = NULL;
    if (chunk != NULL) {
        unsigned longest, at = best_run(chunk, pages, &longest);
        if (chunk->free_pages == USABLE) pool->empty--;
        set_bits(chunk, at, pages, false);
        chunk->free_pages = (uint16_t)(chunk->free_pages - pages);
        /* Which free pages are dirty is not recorded; assume that dirty ones are taken first, as first and best fit mostly do. */
        unsigned taken = chunk->dirty_pages < pages ? chunk->dirty_pages : pages;
        chunk->dirty_pages = (uint16_t)(chunk->dirty_pages - taken);
        pool->pages_dirty -= taken;
        pool->pages_used += pages;
        if (pool->pages_used > pool->peak) pool->peak = pool->pages_used;
        pool->requests++;
        if (coarse) {
            chunk->coarse_pages = (uint16_t)(chunk->coarse_pages + pages);
            pool->pages_coarse += pages;
        }
        relist(pool, chunk);
        ripen(pool, chunk);
        span = (kv_span *)chunk + at;
    }
    kv_mutex_unlock(&pool->lock);
    if (span == NULL) return NULL;
    memset(span, 0, sizeof *span);
    span->pages = pages & 0x1fff;
    span->is_coarse = coarse;
    for (unsigned i = 1; i < pages; i++) span[i].back = (uint8_t)i;
    size_t bytes = pages * KV_PAGE;
    kvi_mem_count_up(mem, bytes);
    atomic_fetch_add_explicit(&mem->mapped, bytes, memory_order_relaxed);
    return span;
}

/* The empty chunks that were kept. */
static void destroy_empty(kv_mem *mem) {
    for (kv_chunk *chunk = mem->pool.by_run[list_of(USABLE)], *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        if (!chunk->is_busy) chunk_destroy(mem, chunk);
    }
}

void kv_span_free(kv_mem *mem, kv_span *span) {
    kv_page_pool *pool = &mem->pool;
    uintptr_t base = (uintptr_t)span & ~(uintptr_t)(KV_CHUNK - 1);
    kv_chunk *chunk = (kv_chunk *)base;
    unsigned at = (unsigned)(((uintptr_t)span - base) / sizeof(kv_span)), pages = span->pages;
    kvi_mem_count_down(mem, pages * KV_PAGE);
    atomic_fetch_sub_explicit(&mem->mapped, pages * KV_PAGE, memory_order_relaxed);
    kv_mutex_lock(&pool->lock);
    if (span->is_coarse) {
        chunk->coarse_pages = (uint16_t)(chunk->coarse_pages - pages);
        pool->pages_coarse -= pages;
    }
    set_bits(chunk, at, pages, true);
    chunk->free_pages = (uint16_t)(chunk->free_pages + pages);
    chunk->dirty_pages = (uint16_t)(chunk->dirty_pages + pages);
    pool->pages_dirty += pages;
    pool->pages_used -= pages;
    relist(pool, chunk);
    if (chunk->free_pages == USABLE) {
        pool->empty++;
        if (!chunk->is_busy && too_many_empty(pool) && !is_tended(pool)) chunk_destroy(mem, chunk);
    }
    purge_when_due(mem);
    kv_mutex_unlock(&pool->lock);
}

void kv_span_purge(kv_mem *mem) {
    kv_page_pool *pool = &mem->pool;
    kv_mutex_lock(&pool->lock);
    pool->peak = pool->peak_before = pool->pages_used;
    purge_down_to(mem, 0, SIZE_MAX);
    kv_mutex_unlock(&pool->lock);
}

void kv_span_close(kv_mem *mem) {
    kv_page_pool *pool = &mem->pool;
    kv_mutex_lock(&pool->lock);
    if (pool->pages_used == 0) destroy_empty(mem);
    kv_mutex_unlock(&pool->lock);
}

void kv_span_refuse_huge(kv_mem *mem) {
    kv_mutex_lock(&mem->pool.lock);
    mem->pool.huge = 2;
    kv_mutex_unlock(&mem->pool.lock);
}

/* The kernel copies a chunk into a huge page while the process cannot fault anything in. So that it does not wait for its host then, it
 * gets hold of the memory here first: a huge page that has just been given back is what it takes next. */
static void warm_up(void) {
    uint8_t *page = kvi_map_aligned(KV_CHUNK, KV_CHUNK);
    if (page == NULL) return;
    if (madvise(page, KV_CHUNK, MADV_HUGEPAGE) == 0) *(volatile uint8_t *)page = 0;
    munmap(page, KV_CHUNK);
}

uint64_t kv_span_promote(kv_mem *mem, uint64_t budget_ns) {
    kv_page_pool *pool = &mem->pool;
    uint64_t begun = fine_ns(), spent = 0;
    for (; spent < budget_ns; spent = fine_ns() - begun) {
        kv_mutex_lock(&pool->lock);
        kv_chunk *chunk = pool->ripe != NULL && huge_wanted(pool) ? pool->ripe : NULL;
        if (chunk != NULL) {
            unripen(pool, chunk);
            if (chunk->free_pages > RIPE_FREE * 2 || chunk->coarse_pages > USABLE / 2) chunk = NULL; /* no more: it comes again */
            else chunk->is_busy = true;
        }
        kv_mutex_unlock(&pool->lock);
        if (chunk == NULL) break;
        warm_up();
        madvise(chunk, KV_CHUNK, MADV_HUGEPAGE);
        madvise(chunk, KV_CHUNK, MADV_COLLAPSE);
        kv_mutex_lock(&pool->lock);
        chunk->is_busy = false;
        chunk->is_huge = true;
        kv_mutex_unlock(&pool->lock);
    }
    return spent;
}

/* ---- check ---- */

static bool chunk_check(const kv_chunk *chunk, unsigned list) {
    unsigned bits = 0, longest;
    for (unsigned i = 0; i < WORDS; i++) bits += (unsigned)__builtin_popcountll(chunk->free[i]);
    best_run(chunk, PAGES + 1, &longest);
    return chunk->magic == MAGIC && bits == chunk->free_pages && longest == chunk->longest && list_of(longest) == list &&
           chunk->dirty_pages <= chunk->free_pages && chunk->coarse_pages <= USABLE - chunk->free_pages && (chunk->free[0] & 0xf) == 0 &&
           !(chunk->is_ripe && chunk->is_huge);
}

bool kv_page_pool_check(kv_mem *mem) {
    kv_page_pool *pool = &mem->pool;
    bool good = true;
    size_t listed = 0, empty = 0, dirty = 0, used = 0;
    kv_mutex_lock(&pool->lock);
    for (unsigned list = 0; list < LISTS; list++) {
        const kv_chunk *prev = NULL;
        for (const kv_chunk *chunk = pool->by_run[list]; chunk != NULL; prev = chunk, chunk = chunk->next) {
            good = good && chunk->prev == prev && chunk_check(chunk, list);
            listed++;
            empty += chunk->free_pages == USABLE;
            dirty += chunk->dirty_pages;
            used += (size_t)USABLE - chunk->free_pages;
        }
    }
    good = good && listed <= pool->chunks && empty == pool->empty && dirty == pool->pages_dirty &&
           used + (pool->chunks - listed) * USABLE == pool->pages_used;
    kv_mutex_unlock(&pool->lock);
    return good;
}
