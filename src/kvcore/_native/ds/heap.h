/* A min-heap of (time, item) that tells each item where it lies, so that any item can be moved or removed: the expiry index of a shard.
 *
 * Four children a node, one cache line. Storage is in chunks, so growing neither copies nor pauses. An item may be present once; times may repeat,
 * and equal times come out in no particular order. */
#ifndef KV_DS_HEAP_H
#define KV_DS_HEAP_H

#include "base/arena.h"
#include "base/status.h"

typedef struct kv_heap_entry {
    int64_t when_ms;
    void *item;
} kv_heap_entry;

/* Called whenever an item's position changes, also when it is pushed. Positions are < 2^32 - 1. Must not call the heap. */
typedef void (*kv_heap_set_pos)(void *item, uint32_t pos, void *arg);

typedef struct kv_heap {
    kv_heap_entry **chunks; /* 4096 entries each; the first is smaller while it is the only one */
    size_t count, capacity; /* in entries */
    uint32_t chunk_slots;   /* room in `chunks` */
    kv_heap_set_pos set_pos;
    void *arg;
    kv_arena *arena;
} kv_heap;

void kv_heap_init(kv_heap *heap, kv_arena *arena, kv_heap_set_pos set_pos, void *arg); /* allocates nothing */
void kv_heap_deinit(kv_heap *heap);                                                    /* items are the caller's. O(chunks) */
static inline size_t kv_heap_count(const kv_heap *heap) { return heap->count; }

/* Room for n more pushes; removing meanwhile may give it back. KV_ENOMEM: no change. O(1), or O(n / chunk) for large n. */
kv_status kv_heap_reserve(kv_heap *heap, size_t n);
/* Adds an item. KV_ENOMEM: no change (impossible after a reserve). O(log n). */
kv_status kv_heap_push(kv_heap *heap, int64_t when_ms, void *item);
/* The earliest, or NULL. Valid until the next change. O(1). */
const kv_heap_entry *kv_heap_peek(const kv_heap *heap);
/* Entry at a position (pos < count): 0 is the earliest, the others are in heap order, which visits all. */
const kv_heap_entry *kv_heap_at(const kv_heap *heap, uint32_t pos);
/* Takes out the entry at pos (pos < count) and returns its item. set_pos is not called for it. O(log n). */
void *kv_heap_remove(kv_heap *heap, uint32_t pos);
/* Gives the entry at pos another time. O(log n). */
void kv_heap_update(kv_heap *heap, uint32_t pos, int64_t when_ms);
/* The item at pos was moved in memory: store its new address (set_pos is not called). O(1). */
void kv_heap_replace(kv_heap *heap, uint32_t pos, void *item);
/* Puts another callback context in, when the owner of the heap has moved. */
static inline void kv_heap_set_arg(kv_heap *heap, void *arg) { heap->arg = arg; }

size_t kv_heap_bytes(const kv_heap *heap);
bool kv_heap_check(const kv_heap *heap); /* heap order and storage; O(n) */

#endif
