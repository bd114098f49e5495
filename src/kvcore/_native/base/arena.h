/* A slab arena: the memory of one shard. No locks and no atomics inside: the caller holds the shard's lock.
 *
 * An arena that some value has left (a container renamed into another shard, see kv_arena_share) also takes its own leaf lock, so that
 * the value can go on living here while another shard's lock guards it. Sizes are given back on free: no per-block header. */
#ifndef KV_BASE_ARENA_H
#define KV_BASE_ARENA_H

#include "base/mem.h"
#include "base/sync.h"

typedef struct kv_arena kv_arena;

/* Creating an arena maps nothing: the first allocation does. NULL when out of memory. */
kv_arena *kv_arena_create(kv_mem *mem);

/* Gives every page back, whatever is still allocated in it. Cost: O(pages). */
void kv_arena_destroy(kv_arena *arena);

/* Everything in the arena goes to a new one, which is only to be destroyed; this one is as new, and those who ask for its size need not know. NULL, and
 * nothing has changed: out of memory, or values that live here are guarded by another lock (kv_arena_share). O(1). */
kv_arena *kv_arena_detach(kv_arena *arena);
/* kv_arena_destroy in pieces, for an arena that was detached: gives up to about `n` blocks of pages back. True: that was all, the arena is gone. */
bool kv_arena_destroy_some(kv_arena *arena, size_t *n);

/* NULL when out of memory. Aligned to 8 bytes; to 16, 32 or 64 when `bytes` is a multiple of that. kv_arena_free takes the size that was
 * asked for (any size of the same kv_arena_good_size will do); freeing NULL is fine. */
void *kv_arena_alloc(kv_arena *arena, size_t bytes);
void kv_arena_free(kv_arena *arena, void *ptr, size_t bytes);

/* Grows or shrinks, keeping the first min(old, new) bytes. NULL: out of memory, the old block is still valid. In place inside a size
 * class. */
void *kv_arena_realloc(kv_arena *arena, void *ptr, size_t old_bytes, size_t new_bytes);

/* The bytes that a request for `bytes` really occupies: the room to grow in place. Pure. */
size_t kv_arena_good_size(size_t bytes);

/* Bytes [from, from + bytes) of a live block are not needed any more: their pages go back to the system, as far as they are whole, and read as zeros or
 * as before until the block is freed. Does nothing for blocks that have no pages of their own. */
void kv_arena_discard(kv_arena *arena, void *ptr, size_t block, size_t from, size_t bytes);

/* Moves a block's ownership to another arena. True when done without a copy (large blocks only): the pointer stays valid.
 * False: nothing changed, the caller copies. Both arenas' locks are held. */
bool kv_arena_transfer(kv_arena *from, kv_arena *to, void *ptr, size_t bytes);

/* From now on every call locks this arena's own mutex: a value that lives here is guarded by another shard's lock. Never undone. */
void kv_arena_share(kv_arena *arena);

/* ---- compaction ----
 * Freeing leaves slabs sparse. A round of compaction closes the sparsest slabs of each class, as many as the room in the others can take up: nothing is
 * allocated in them until the round ends, and they go back to the pool with their last block. The owner of the blocks moves them meanwhile, at its own
 * pace: it knows who points at them. */

/* Closes slabs of one class, 0 <= index < KV_ARENA_CLASSES; returns the bytes of pages that come free when all their blocks leave. O(slabs with room of
 * that class, at most 1024). */
#define KV_ARENA_CLASSES 88u
size_t kv_arena_compact_class(kv_arena *arena, unsigned index);
/* The block's new place, with its contents, when it lay in a closed slab and another one has room; else `ptr` itself. Never makes a slab. O(bytes). */
void *kv_arena_move(kv_arena *arena, void *ptr, size_t bytes);
/* Ends the round: slabs that still hold blocks are as before. O(closed slabs). */
void kv_arena_compact_end(kv_arena *arena);

size_t kv_arena_used(const kv_arena *arena);   /* bytes in live blocks, rounded to their classes (atomic read: any thread) */
size_t kv_arena_mapped(const kv_arena *arena); /* bytes of pages held (any thread) */
void kv_arena_trim(kv_arena *arena);           /* give back free pages; cost O(free pages) */
bool kv_arena_check(const kv_arena *arena);    /* every invariant; O(pages): for tests */

#endif
