/* A slab arena.
 *
 * Small blocks (up to 32 KiB) come from slabs: spans of 1 to 16 pages cut into blocks of one size class.
 *
 *   class:     0   1   2        31 | 32   33        39 | 40              | ...  87
 *   size:      8  16  24  ...  256 | 288  320 ...  512 | 576 640 .. 1024 | ... 32768     steps of 8 to 256, then 8 classes a doubling
 *
 *   slab:  | used | free | used | used | free | never used ............ | tail too short for a block |
 *                    |                    |     ^ fresh_place
 *      free_place ---+-> next free place -+-> none       (a freed block's first two bytes hold the next place, in units of 8 bytes)
 *
 * A slab is in its class's partial list while it has room, and moves to the arena's full list with its last block; it comes back when a
 * few blocks (reopen_at) are free again. What a slab needs is kept in its kv_span, which
 * the block's address leads to (pages.h): blocks carry no header. A class's first slabs are as small as its size lets them be;
 * each further one is about a 32nd of what the class holds, up to 64 KiB. Of the slabs that are empty the arena keeps one, of a few pages,
 * for whatever class needs one next: neither a key that comes and goes nor one that grows through the classes moves pages, and 64 arenas
 * do not hold an empty slab of each class. The others go back to the pool.
 *
 * Large blocks (up to 512 KiB) are spans of their own, huge ones mappings with a page before them that links them:
 *
 *   | huge: next, prev, bytes ... (4 KiB) | the block ...                          |
 *
 * Neither depends on the arena's slabs, so they change hands without a copy.
 *
 * Compaction (kv_arena_compact_class) takes slabs out of the partial lists into the closed list, the sparsest first, while their blocks find room in
 * those that stay. A block of a closed slab is moved by its owner or freed; nothing comes in.
 *
 * Invariants: used < capacity in partial lists and in the closed one; no slab in a list is empty; in the full list fewer than reopen_at blocks are free; the free list of a slab has as
 * many places as blocks below fresh_place are not used; `used` and `mapped` are the sums over slabs, spans and mappings.
 *
 * Rejected: a header in each block (8 of 40 bytes); arenas with chunks of their own (64 shards with ten keys each would hold 64 chunks);
 * classes of powers of two and their halves (a quarter lost to rounding). */
#include "base/arena.h"

#ifndef KV_PLAIN_MALLOC
#include "base/pages.h"
#include <string.h>
#ifdef KV_DEBUG
#include <stdio.h>
#include <stdlib.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(ptr, bytes) ((void)(ptr), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(ptr, bytes) ((void)(ptr), (void)(bytes))
#endif

enum {
    CLASSES = KV_ARENA_CLASSES,
    FINE_MAX = 256,
    FINE_CLASSES = 32,
    SMALL_MAX = 32768,
    SLAB_PAGES_MAX = 16,
    SPARSE = 1024,
    LARGE_CLASS = 255,
    EMPTY_CLASS = 254,
    KEPT_PAGES = 4
};
#define LARGE_MAX ((size_t)KV_SPAN_MAX * KV_PAGE)

typedef struct huge {
    struct huge *next, *prev;
    size_t bytes; /* of the whole mapping */
} huge;

typedef struct size_class {
    kv_span *partial;
    size_t pages; /* in all its slabs */
} size_class;

struct kv_arena {
    kv_mem *mem;
    _Atomic size_t used, mapped; /* written under the arena's guard, read by anybody */
    _Atomic bool shared;         /* lock `mutex` in every call */
    kv_mutex mutex;
    kv_span *full, *large, *closed;
    kv_span *kept; /* an empty slab of no class, at most KEPT_PAGES long; its pages count as mapped */
    huge *huge;
    size_class classes[CLASSES];
};

/* ---- size classes ---- */

static inline unsigned class_of(size_t bytes) {
    if (bytes <= FINE_MAX) return bytes == 0 ? 0 : (unsigned)((bytes - 1) / 8);
    unsigned exponent = 63 - (unsigned)__builtin_clzll(bytes - 1); /* 2^exponent < bytes <= 2^(exponent + 1) */
    return FINE_CLASSES + (exponent - 8) * 8 + (unsigned)(((bytes - 1) >> (exponent - 3)) & 7);
}

static inline size_t class_size(unsigned index) {
    if (index < FINE_CLASSES) return (index + 1) * 8;
    unsigned doubling = (index - FINE_CLASSES) / 8, step = (index - FINE_CLASSES) % 8;
    return (size_t)(9 + step) << (doubling + 5);
}

static inline size_t page_round(size_t bytes) { return (bytes + KV_PAGE - 1) & ~(KV_PAGE - 1); }

size_t kv_arena_good_size(size_t bytes) {
    if (bytes <= SMALL_MAX) return class_size(class_of(bytes));
    return bytes > SIZE_MAX - 2 * KV_PAGE ? bytes : page_round(bytes);
}

/* How many pages the next slab of a class should have: near a 32nd of what it holds, and with a short tail. A small class may lose
 * an eighth to the tail rather than take many pages at once. Blocks above SPARSE bytes always get the fewest pages without a tail: the
 * fewer blocks a slab has, the sooner it empties and its pages serve another class. */
static unsigned slab_pages(size_t size, size_t pages_held) {
    size_t want = size > SPARSE ? 1 : pages_held / 32;
    if (want > SLAB_PAGES_MAX) want = SLAB_PAGES_MAX;
    unsigned least = (unsigned)(page_round(size) / KV_PAGE), best = least;
    if (want < least) want = least;
    size_t tolerance = want <= 2 && size <= SPARSE ? 8 : 50; /* 1/8, 1/50 of the slab */
    size_t best_tail = SIZE_MAX;
    for (unsigned pages = (unsigned)want; pages <= SLAB_PAGES_MAX; pages++) {
        size_t tail = pages * KV_PAGE % size;
        if (tail * tolerance <= pages * KV_PAGE) return pages;
        size_t relative = tail * SLAB_PAGES_MAX / pages;
        if (relative < best_tail) {
            best_tail = relative;
            best = pages;
        }
    }
    return best;
}

/* ---- small helpers ---- */

static inline void guard(kv_arena *arena) {
    if (__builtin_expect(atomic_load_explicit(&arena->shared, memory_order_relaxed), 0)) kv_mutex_lock(&arena->mutex);
}
static inline void unguard(kv_arena *arena) {
    if (__builtin_expect(atomic_load_explicit(&arena->shared, memory_order_relaxed), 0)) kv_mutex_unlock(&arena->mutex);
}

/* One writer at a time: no read-modify-write instruction is needed. */
static inline void account(_Atomic size_t *counter, size_t change) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + change, memory_order_relaxed);
}

static inline uint32_t owner_tag(const kv_arena *arena) { return (uint32_t)((uintptr_t)arena >> 4); }

/* The link in a freed block, which the address sanitizer has been told nobody may touch. */
typedef uint16_t __attribute__((may_alias)) link_word;
__attribute__((no_sanitize("address"))) static inline uint16_t link_read(const void *block) { return *(const link_word *)block; }
__attribute__((no_sanitize("address"))) static inline void link_write(void *block, uint16_t place) { *(link_word *)block = place; }

static inline void push(kv_span **head, kv_span *span) {
    span->prev = NULL;
    span->next = *head;
    if (*head != NULL) (*head)->prev = span;
    *head = span;
}

static inline void drop(kv_span **head, kv_span *span) {
    if (span->prev != NULL) span->prev->next = span->next;
    else *head = span->next;
    if (span->next != NULL) span->next->prev = span->prev;
}

#ifdef KV_DEBUG
static void verify(bool good, const char *what, const void *ptr, size_t bytes) {
    if (good) return;
    fprintf(stderr, "arena: %s: block %p of %zu bytes\n", what, ptr, bytes);
    abort();
}
#else
static inline void verify(bool good, const char *what, const void *ptr, size_t bytes) { (void)good, (void)what, (void)ptr, (void)bytes; }
#endif

/* ---- slabs ---- */

/* How many free blocks bring a full slab back into its class's list: 1/32 of it, at most 8. One at a time would move lists at every
 * call. */
static inline unsigned reopen_at(unsigned capacity) {
    unsigned part = capacity / 32;
    return part == 0 ? 1 : part > 8 ? 8 : part;
}

static kv_span *slab_create(kv_arena *arena, unsigned index) {
    size_t size = class_size(index);
    unsigned pages = slab_pages(size, arena->classes[index].pages);
    kv_span *span = arena->kept;
    if (span != NULL && span->pages == pages) {
        arena->kept = NULL;
        span->fresh_place = 0;
    } else {
        span = kv_span_alloc(arena->mem, pages, size > SPARSE);
        if (span == NULL) return NULL;
        span->owner = owner_tag(arena);
        ASAN_POISON_MEMORY_REGION(kv_span_start(span), pages * KV_PAGE);
        account(&arena->mapped, pages * KV_PAGE);
    }
    span->class_index = (uint8_t)index;
    span->capacity = (uint16_t)(pages * KV_PAGE / size);
    span->free_place = KV_SPAN_NONE;
    arena->classes[index].pages += pages;
    push(&arena->classes[index].partial, span);
    return span;
}

static void give_back(kv_arena *arena, kv_span *span) {
    account(&arena->mapped, -(span->pages * KV_PAGE));
    kv_span_free(arena->mem, span);
}

static void slab_release(kv_arena *arena, kv_span *span) {
    size_class *class = &arena->classes[span->class_index];
    drop(span->is_closed ? &arena->closed : &class->partial, span);
    span->is_closed = 0;
    class->pages -= span->pages;
    if (span->pages > KEPT_PAGES) {
        give_back(arena, span);
        return;
    }
    span->class_index = EMPTY_CLASS;
    span->next = NULL;
    if (arena->kept != NULL) give_back(arena, arena->kept);
    arena->kept = span;
}

static void *small_alloc(kv_arena *arena, size_t bytes) {
    unsigned index = class_of(bytes);
    size_t size = class_size(index);
    kv_span *span = arena->classes[index].partial;
    if (span == NULL && (span = slab_create(arena, index)) == NULL) return NULL;
    unsigned place = span->free_place;
    uint8_t *block;
    if (place != KV_SPAN_NONE) {
        block = (uint8_t *)kv_span_start(span) + place * 8;
        span->free_place = link_read(block);
    } else {
        block = (uint8_t *)kv_span_start(span) + (size_t)span->fresh_place * 8;
        span->fresh_place = (uint16_t)(span->fresh_place + size / 8);
    }
    if (__builtin_expect(++span->used == span->capacity, 0)) {
        drop(&arena->classes[index].partial, span);
        push(&arena->full, span);
        span->is_full = 1;
    }
    account(&arena->used, size);
    ASAN_UNPOISON_MEMORY_REGION(block, size);
    return block;
}

static void small_free(kv_arena *arena, void *ptr, size_t bytes) {
    kv_span *span = kv_span_of(ptr);
    unsigned index = span->class_index;
    size_t size = class_size(index), offset = (size_t)((uint8_t *)ptr - (uint8_t *)kv_span_start(span));
    verify(index == class_of(bytes), "freed with another size", ptr, bytes);
    verify(span->owner == owner_tag(arena), "freed into another arena", ptr, bytes);
    verify(offset % size == 0 && offset / 8 < span->fresh_place && span->used > 0, "not a block", ptr, bytes);
    link_write(ptr, span->free_place);
    ASAN_POISON_MEMORY_REGION(ptr, size);
    span->free_place = (uint16_t)(offset / 8);
    kv_span **partial = &arena->classes[index].partial;
    account(&arena->used, -size);
    unsigned used = --span->used;
    if (span->is_full && (unsigned)(span->capacity - used) >= reopen_at(span->capacity)) {
        drop(&arena->full, span);
        push(partial, span);
        span->is_full = 0;
    }
    if (__builtin_expect(used == 0, 0)) slab_release(arena, span);
}

/* ---- compaction ---- */

enum { LEVELS = 16, CLOSE_LOOKS = 1024 };

static unsigned level_of(const kv_span *span) { return (unsigned)span->used * LEVELS / span->capacity; }
static size_t room_in(const kv_span *span) { return (size_t)(span->capacity - span->used); }

/* How many levels of fill, from the lowest, can be closed whole: their blocks find room in the slabs of the others. *room: in all slabs looked at. */
static unsigned closing_levels(const kv_span *span, size_t *room) {
    size_t used[LEVELS] = {0}, free[LEVELS] = {0}, leaving = 0;
    *room = 0;
    for (unsigned looks = CLOSE_LOOKS; span != NULL && looks-- > 0; span = span->next) {
        used[level_of(span)] += span->used;
        free[level_of(span)] += room_in(span);
        *room += room_in(span);
    }
    size_t staying = *room;
    for (unsigned level = 0; level < LEVELS; level++) {
        leaving += used[level];
        staying -= free[level];
        if (leaving > staying) return level;
    }
    return LEVELS;
}

size_t kv_arena_compact_class(kv_arena *arena, unsigned index) {
    kv_span **partial = &arena->classes[index].partial;
    size_t room, leaving = 0, gain = 0;
    guard(arena);
    unsigned whole = closing_levels(*partial, &room);
    for (unsigned pass = 0; pass < 2; pass++) { /* the levels that can be closed whole, then a part of the next */
        unsigned looks = CLOSE_LOOKS;
        for (kv_span *span = *partial, *next; span != NULL && looks-- > 0; span = next) {
            next = span->next;
            unsigned level = level_of(span);
            if (pass == 0 ? level >= whole : level != whole || leaving + span->used > room - room_in(span)) continue;
            leaving += span->used;
            room -= room_in(span);
            gain += span->pages * KV_PAGE;
            drop(partial, span);
            push(&arena->closed, span);
            span->is_closed = 1;
        }
    }
    unguard(arena);
    return gain;
}

void *kv_arena_move(kv_arena *arena, void *ptr, size_t bytes) {
    if (bytes > SMALL_MAX) return ptr;
    guard(arena);
    const kv_span *span = kv_span_of(ptr);
    if (__builtin_expect(span->is_closed, 0) && arena->classes[span->class_index].partial != NULL) {
        void *fresh = small_alloc(arena, bytes);
        memcpy(fresh, ptr, bytes);
        small_free(arena, ptr, bytes);
        ptr = fresh;
    }
    unguard(arena);
    return ptr;
}

void kv_arena_compact_end(kv_arena *arena) {
    guard(arena);
    while (arena->closed != NULL) {
        kv_span *span = arena->closed;
        drop(&arena->closed, span);
        span->is_closed = 0;
        push(&arena->classes[span->class_index].partial, span);
    }
    unguard(arena);
}

/* ---- large and huge blocks ---- */

static void huge_link(kv_arena *arena, huge *map) {
    map->prev = NULL;
    map->next = arena->huge;
    if (map->next != NULL) map->next->prev = map;
    arena->huge = map;
    account(&arena->used, map->bytes);
    account(&arena->mapped, map->bytes);
}

static void huge_unlink(kv_arena *arena, huge *map) {
    if (map->prev != NULL) map->prev->next = map->next;
    else arena->huge = map->next;
    if (map->next != NULL) map->next->prev = map->prev;
    account(&arena->used, -map->bytes);
    account(&arena->mapped, -map->bytes);
}

static huge *huge_of(void *ptr) { return (huge *)(void *)((uint8_t *)ptr - KV_PAGE); }

static void large_link(kv_arena *arena, kv_span *span) {
    span->owner = owner_tag(arena);
    push(&arena->large, span);
    account(&arena->used, span->pages * KV_PAGE);
    account(&arena->mapped, span->pages * KV_PAGE);
}

static void large_unlink(kv_arena *arena, kv_span *span) {
    drop(&arena->large, span);
    account(&arena->used, -(span->pages * KV_PAGE));
    account(&arena->mapped, -(span->pages * KV_PAGE));
}

static void *large_alloc(kv_arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX - 2 * KV_PAGE) return NULL;
    if (bytes > LARGE_MAX) {
        size_t total = page_round(bytes) + KV_PAGE;
        huge *map = kv_mem_map(arena->mem, total, KV_PAGE);
        if (map == NULL) return NULL;
        map->bytes = total;
        huge_link(arena, map);
        return (uint8_t *)map + KV_PAGE;
    }
    kv_span *span = kv_span_alloc(arena->mem, (unsigned)(page_round(bytes) / KV_PAGE), false); /* tables are among them */
    if (span == NULL) return NULL;
    span->class_index = LARGE_CLASS;
    large_link(arena, span);
    ASAN_UNPOISON_MEMORY_REGION(kv_span_start(span), span->pages * KV_PAGE);
    return kv_span_start(span);
}

static void large_free(kv_arena *arena, void *ptr, size_t bytes) {
    if (bytes > LARGE_MAX) {
        huge *map = huge_of(ptr);
        verify(map->bytes == page_round(bytes) + KV_PAGE, "freed with another size", ptr, bytes);
        huge_unlink(arena, map);
        kv_mem_unmap(arena->mem, map, map->bytes);
        return;
    }
    kv_span *span = kv_span_of(ptr);
    verify(span->class_index == LARGE_CLASS && span->pages == page_round(bytes) / KV_PAGE, "freed with another size", ptr, bytes);
    verify(span->owner == owner_tag(arena), "freed into another arena", ptr, bytes);
    large_unlink(arena, span);
    ASAN_POISON_MEMORY_REGION(ptr, span->pages * KV_PAGE);
    kv_span_free(arena->mem, span);
}

/* ---- the interface ---- */

kv_arena *kv_arena_create(kv_mem *mem) {
    kv_arena *arena = kv_calloc(mem, 1, sizeof *arena);
    if (arena == NULL) return NULL;
    arena->mem = mem;
    kv_mutex_init(&arena->mutex, KV_RANK_ARENA, 0);
    return arena;
}

kv_arena *kv_arena_detach(kv_arena *arena) {
    if (atomic_load_explicit(&arena->shared, memory_order_relaxed)) return NULL;
    kv_arena *all = kv_arena_create(arena->mem);
    if (all == NULL) return NULL;
    all->full = arena->full;
    all->large = arena->large;
    all->closed = arena->closed;
    all->kept = arena->kept;
    all->huge = arena->huge;
    memcpy(all->classes, arena->classes, sizeof all->classes);
    arena->full = arena->large = arena->closed = arena->kept = NULL;
    arena->huge = NULL;
    memset(arena->classes, 0, sizeof arena->classes);
    atomic_store_explicit(&arena->used, 0, memory_order_relaxed);
    atomic_store_explicit(&arena->mapped, 0, memory_order_relaxed);
    return all;
}

/* Spans of a list, `*n` at most. False: it is not empty yet. */
static bool free_list(kv_mem *mem, kv_span **list, size_t *n) {
    for (; *list != NULL && *n > 0; --*n) {
        kv_span *span = *list;
        *list = span->next;
        ASAN_POISON_MEMORY_REGION(kv_span_start(span), span->pages * KV_PAGE);
        kv_span_free(mem, span);
    }
    return *list == NULL;
}

bool kv_arena_destroy_some(kv_arena *arena, size_t *n) {
    for (unsigned i = 0; i < CLASSES; i++)
        if (!free_list(arena->mem, &arena->classes[i].partial, n)) return false;
    if (!free_list(arena->mem, &arena->full, n) || !free_list(arena->mem, &arena->kept, n) || !free_list(arena->mem, &arena->closed, n) ||
        !free_list(arena->mem, &arena->large, n))
        return false;
    for (; arena->huge != NULL; --*n) {
        if (*n == 0) return false;
        huge *map = arena->huge;
        arena->huge = map->next;
        kv_mem_unmap(arena->mem, map, map->bytes);
    }
    kv_span_close(arena->mem);
    kv_free(arena->mem, arena);
    return true;
}

void kv_arena_destroy(kv_arena *arena) {
    size_t all = SIZE_MAX;
    if (arena != NULL) (void)kv_arena_destroy_some(arena, &all);
}

void *kv_arena_alloc(kv_arena *arena, size_t bytes) {
    if (kv_mem_fault(arena->mem)) return NULL;
    guard(arena);
    void *ptr = bytes <= SMALL_MAX ? small_alloc(arena, bytes) : large_alloc(arena, bytes);
    unguard(arena);
    return ptr;
}

void kv_arena_free(kv_arena *arena, void *ptr, size_t bytes) {
    if (ptr == NULL) return;
    guard(arena);
    if (bytes <= SMALL_MAX) small_free(arena, ptr, bytes);
    else large_free(arena, ptr, bytes);
    unguard(arena);
}

void *kv_arena_realloc(kv_arena *arena, void *ptr, size_t old_bytes, size_t new_bytes) {
    if (ptr == NULL) return kv_arena_alloc(arena, new_bytes);
    if (kv_arena_good_size(old_bytes) == kv_arena_good_size(new_bytes)) return ptr;
    if (old_bytes > LARGE_MAX && new_bytes > LARGE_MAX && new_bytes <= SIZE_MAX - 2 * KV_PAGE) {
        guard(arena);
        huge *map = huge_of(ptr);
        huge_unlink(arena, map); /* its address may change: link it anew in any case */
        huge *moved = kv_mem_remap(arena->mem, map, map->bytes, page_round(new_bytes) + KV_PAGE);
        if (moved != NULL) moved->bytes = page_round(new_bytes) + KV_PAGE;
        huge_link(arena, moved != NULL ? moved : map);
        unguard(arena);
        return moved == NULL ? NULL : (uint8_t *)moved + KV_PAGE;
    }
    void *fresh = kv_arena_alloc(arena, new_bytes);
    if (fresh == NULL) return NULL;
    memcpy(fresh, ptr, old_bytes < new_bytes ? old_bytes : new_bytes);
    kv_arena_free(arena, ptr, old_bytes);
    return fresh;
}

void kv_arena_discard(kv_arena *arena, void *ptr, size_t block, size_t from, size_t bytes) {
    (void)arena;
    if (block <= LARGE_MAX || from % KV_PAGE != 0 || bytes < KV_PAGE) return;
    kv_mem_discard((uint8_t *)ptr + from, bytes / KV_PAGE * KV_PAGE);
}

bool kv_arena_transfer(kv_arena *from, kv_arena *to, void *ptr, size_t bytes) {
    if (bytes <= SMALL_MAX || from->mem != to->mem) return false;
    /* One guard after the other: arenas have no order among themselves. In between nobody else knows the block. */
    guard(from);
    if (bytes > LARGE_MAX) huge_unlink(from, huge_of(ptr));
    else large_unlink(from, kv_span_of(ptr));
    unguard(from);
    guard(to);
    if (bytes > LARGE_MAX) huge_link(to, huge_of(ptr));
    else large_link(to, kv_span_of(ptr));
    unguard(to);
    return true;
}

void kv_arena_share(kv_arena *arena) { atomic_store_explicit(&arena->shared, true, memory_order_relaxed); }

size_t kv_arena_used(const kv_arena *arena) { return atomic_load_explicit(&arena->used, memory_order_relaxed); }

size_t kv_arena_mapped(const kv_arena *arena) { return atomic_load_explicit(&arena->mapped, memory_order_relaxed); }

void kv_arena_trim(kv_arena *arena) {
    guard(arena);
    if (arena->kept != NULL) give_back(arena, arena->kept);
    arena->kept = NULL;
    unguard(arena);
}

/* ---- check ---- */

static bool slab_check(const kv_arena *arena, const kv_span *span, unsigned index, bool full) {
    size_t size = class_size(index), start_fresh = span->fresh_place;
    if (span->class_index != index || span->owner != owner_tag(arena) || span->is_full != full || span->used > span->capacity) return false;
    if (span->is_closed && full) return false;
    unsigned room = (unsigned)(span->capacity - span->used);
    if (span->used == 0 || (full ? room >= reopen_at(span->capacity) : room == 0)) return false;
    if (span->capacity != span->pages * KV_PAGE / size || start_fresh * 8 % size != 0 || start_fresh * 8 / size > span->capacity)
        return false;
    size_t expected = start_fresh * 8 / size - span->used, seen = 0;
    const uint8_t *start = kv_span_start(span);
    for (unsigned place = span->free_place; place != KV_SPAN_NONE; place = link_read(start + place * 8)) {
        if (++seen > expected || place >= span->fresh_place || place * 8 % size != 0) return false;
        if (kv_span_of(start + place * 8) != span) return false;
    }
    return seen == expected;
}

bool kv_arena_check(const kv_arena *arena) {
    size_t used = 0, pages = 0, class_pages[CLASSES] = {0};
    for (unsigned i = 0; i < CLASSES; i++) {
        const kv_span *prev = NULL;
        for (const kv_span *span = arena->classes[i].partial; span != NULL; prev = span, span = span->next) {
            if (span->prev != prev || span->is_closed || !slab_check(arena, span, i, false)) return false;
            used += span->used * class_size(i);
            class_pages[i] += span->pages;
        }
    }
    for (const kv_span *span = arena->full; span != NULL; span = span->next) {
        if (span->class_index >= CLASSES || !slab_check(arena, span, span->class_index, true)) return false;
        used += span->used * class_size(span->class_index);
        class_pages[span->class_index] += span->pages;
    }
    for (const kv_span *span = arena->closed; span != NULL; span = span->next) {
        if (span->class_index >= CLASSES || !span->is_closed || !slab_check(arena, span, span->class_index, false)) return false;
        used += span->used * class_size(span->class_index);
        class_pages[span->class_index] += span->pages;
    }
    for (unsigned i = 0; i < CLASSES; i++) {
        if (class_pages[i] != arena->classes[i].pages) return false;
        pages += class_pages[i];
    }
    for (const kv_span *span = arena->large; span != NULL; span = span->next) {
        if (span->class_index != LARGE_CLASS || span->owner != owner_tag(arena)) return false;
        used += span->pages * KV_PAGE;
        pages += span->pages;
    }
    if (arena->kept != NULL) {
        if (arena->kept->class_index != EMPTY_CLASS || arena->kept->pages > KEPT_PAGES) return false;
        pages += arena->kept->pages;
    }
    for (const huge *map = arena->huge; map != NULL; map = map->next) {
        if (map->bytes % KV_PAGE != 0 || map->bytes <= LARGE_MAX) return false;
        used += map->bytes;
        pages += map->bytes / KV_PAGE;
    }
    return used == kv_arena_used(arena) && pages * KV_PAGE == kv_arena_mapped(arena) && kv_page_pool_check(arena->mem);
}
#endif
