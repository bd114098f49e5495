/* The arena of KV_PLAIN_MALLOC builds: every block is a malloc of its own, so that the address sanitizer and valgrind see each overflow,
 * leak and use after free that recycled slabs would hide. Same contract, same answers from kv_arena_good_size at 8-byte grain.
 *
 *   | head: next, prev, bytes, owner (64 bytes, so that alignment promises hold) | block |
 *
 * Invariant: every live block is in its arena's list, with the rounded size it was asked for. */
#ifdef KV_PLAIN_MALLOC
#include "base/arena.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 64, TRANSFERABLE = 32768 };

typedef struct head {
    struct head *next, *prev;
    size_t bytes; /* the block, rounded */
    kv_arena *owner;
} head;
_Static_assert(sizeof(head) <= HEAD, "the head fits before the block");

struct kv_arena {
    kv_mem *mem;
    _Atomic size_t used;
    _Atomic bool shared;
    kv_mutex mutex;
    head *blocks;
};

static void guard(kv_arena *arena) {
    if (atomic_load_explicit(&arena->shared, memory_order_relaxed)) kv_mutex_lock(&arena->mutex);
}
static void unguard(kv_arena *arena) {
    if (atomic_load_explicit(&arena->shared, memory_order_relaxed)) kv_mutex_unlock(&arena->mutex);
}

static head *head_of(void *ptr) { return (head *)(void *)((uint8_t *)ptr - HEAD); }

static void link_block(kv_arena *arena, head *block) {
    guard(arena);
    block->owner = arena;
    block->prev = NULL;
    block->next = arena->blocks;
    if (block->next != NULL) block->next->prev = block;
    arena->blocks = block;
    atomic_fetch_add_explicit(&arena->used, block->bytes, memory_order_relaxed);
    unguard(arena);
}

static void unlink_block(kv_arena *arena, head *block) {
    guard(arena);
    if (block->prev != NULL) block->prev->next = block->next;
    else arena->blocks = block->next;
    if (block->next != NULL) block->next->prev = block->prev;
    atomic_fetch_sub_explicit(&arena->used, block->bytes, memory_order_relaxed);
    unguard(arena);
}

size_t kv_arena_good_size(size_t bytes) { return bytes > SIZE_MAX - 8 ? bytes : bytes == 0 ? 8 : (bytes + 7) & ~(size_t)7; }

kv_arena *kv_arena_create(kv_mem *mem) {
    kv_arena *arena = kv_calloc(mem, 1, sizeof *arena);
    if (arena == NULL) return NULL;
    arena->mem = mem;
    kv_mutex_init(&arena->mutex, KV_RANK_ARENA, 0);
    return arena;
}

static void release(kv_arena *arena, head *block) {
    size_t total = HEAD + block->bytes;
    free(block);
    atomic_fetch_sub_explicit(&arena->mem->used, total, memory_order_relaxed);
    atomic_fetch_sub_explicit(&arena->mem->mapped, total, memory_order_relaxed);
}

kv_arena *kv_arena_detach(kv_arena *arena) {
    if (atomic_load_explicit(&arena->shared, memory_order_relaxed)) return NULL;
    kv_arena *all = kv_arena_create(arena->mem);
    if (all == NULL) return NULL;
    all->blocks = arena->blocks;
    arena->blocks = NULL;
    atomic_store_explicit(&arena->used, 0, memory_order_relaxed);
    return all;
}

bool kv_arena_destroy_some(kv_arena *arena, size_t *n) {
    for (; arena->blocks != NULL; --*n) {
        if (*n == 0) return false;
        head *block = arena->blocks;
        arena->blocks = block->next;
        release(arena, block);
    }
    kv_free(arena->mem, arena);
    return true;
}

void kv_arena_destroy(kv_arena *arena) {
    size_t all = SIZE_MAX;
    if (arena != NULL) (void)kv_arena_destroy_some(arena, &all);
}

void *kv_arena_alloc(kv_arena *arena, size_t bytes) {
    if (kv_mem_fault(arena->mem) || bytes > SIZE_MAX - HEAD - 8) return NULL;
    void *raw;
    size_t rounded = kv_arena_good_size(bytes);
    if (posix_memalign(&raw, HEAD, HEAD + rounded) != 0) return NULL;
    head *block = raw;
    block->bytes = rounded;
    atomic_fetch_add_explicit(&arena->mem->used, HEAD + rounded, memory_order_relaxed);
    atomic_fetch_add_explicit(&arena->mem->mapped, HEAD + rounded, memory_order_relaxed);
    link_block(arena, block);
    return (uint8_t *)raw + HEAD;
}

void kv_arena_free(kv_arena *arena, void *ptr, size_t bytes) {
    if (ptr == NULL) return;
    head *block = head_of(ptr);
    if (block->bytes != kv_arena_good_size(bytes) || block->owner != arena) {
        fprintf(stderr, "arena: block %p freed as %zu bytes of %p, is %zu bytes of %p\n", ptr, bytes, (void *)arena, block->bytes,
                (void *)block->owner);
        abort();
    }
    unlink_block(arena, block);
    release(arena, block);
}

void *kv_arena_realloc(kv_arena *arena, void *ptr, size_t old_bytes, size_t new_bytes) {
    if (ptr == NULL) return kv_arena_alloc(arena, new_bytes);
    if (kv_arena_good_size(old_bytes) == kv_arena_good_size(new_bytes)) return ptr;
    void *fresh = kv_arena_alloc(arena, new_bytes);
    if (fresh == NULL) return NULL;
    memcpy(fresh, ptr, old_bytes < new_bytes ? old_bytes : new_bytes);
    kv_arena_free(arena, ptr, old_bytes);
    return fresh;
}

bool kv_arena_transfer(kv_arena *from, kv_arena *to, void *ptr, size_t bytes) {
    if (bytes <= TRANSFERABLE || from->mem != to->mem) return false;
    unlink_block(from, head_of(ptr));
    link_block(to, head_of(ptr));
    return true;
}

void kv_arena_discard(kv_arena *arena, void *ptr, size_t block, size_t from, size_t bytes) {
    (void)arena, (void)ptr, (void)block, (void)from, (void)bytes;
}

void kv_arena_share(kv_arena *arena) { atomic_store_explicit(&arena->shared, true, memory_order_relaxed); }
/* No slabs, nothing to compact. */
size_t kv_arena_compact_class(kv_arena *arena, unsigned index) {
    (void)arena, (void)index;
    return 0;
}
void *kv_arena_move(kv_arena *arena, void *ptr, size_t bytes) {
    (void)arena, (void)bytes;
    return ptr;
}
void kv_arena_compact_end(kv_arena *arena) { (void)arena; }

size_t kv_arena_used(const kv_arena *arena) { return atomic_load_explicit(&arena->used, memory_order_relaxed); }
size_t kv_arena_mapped(const kv_arena *arena) { return kv_arena_used(arena); }
void kv_arena_trim(kv_arena *arena) { (void)arena; }

bool kv_arena_check(const kv_arena *arena) {
    size_t used = 0;
    const head *prev = NULL;
    for (const head *block = arena->blocks; block != NULL; prev = block, block = block->next) {
        if (block->prev != prev || block->owner != arena) return false;
        used += block->bytes;
    }
    return used == kv_arena_used(arena);
}
#else
typedef int kv_arena_plain_is_not_built; /* a translation unit must declare something */
#endif
