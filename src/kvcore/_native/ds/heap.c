/* A four-way min-heap in chunks.
 *
 *   logical     0 | 1 2 3 4 | 5 6 7 8 | 9 ...          children of i: 4i+1 .. 4i+4
 *   physical    3 | 4 5 6 7 | 8 9 ...                  logical + 3: four brothers are one aligned group of 64 bytes, one cache line
 *   chunk       physical / 4096, place physical % 4096; physical 0..2 are never used
 *
 * A sift down over n entries reads log4(n) cache lines: 10 for a million. Storage grows chunk by chunk (64 KiB): nothing is copied and nothing is held
 * in vain, where a doubling array would copy 16 MB at a million entries. A lone first chunk starts with 16 places and doubles. 16 bytes an entry.
 *
 * Invariants: capacity covers physical places 0 .. count + 2; every full-size chunk but a lone first one holds CHUNK entries; a position that
 * set_pos reported is the item's until the next report. Chunks are given back when more than one whole chunk beyond the needed ones is free. */
#include "ds/heap.h"

enum { CHUNK_BITS = 12, CHUNK = 1 << CHUNK_BITS, SHIFT = 3, FIRST = 16 };
#define MAX_ENTRIES ((size_t)UINT32_MAX - 1)

static inline kv_heap_entry *entry_at(const kv_heap *heap, size_t pos) {
    pos += SHIFT;
    return heap->chunks[pos >> CHUNK_BITS] + (pos & (CHUNK - 1));
}

static size_t chunk_count(const kv_heap *heap) { return (heap->capacity + CHUNK - 1) >> CHUNK_BITS; }

void kv_heap_init(kv_heap *heap, kv_arena *arena, kv_heap_set_pos set_pos, void *arg) {
    *heap = (kv_heap){.set_pos = set_pos, .arg = arg, .arena = arena};
}

static void drop_last_chunk(kv_heap *heap) {
    size_t last = chunk_count(heap) - 1, entries = heap->capacity - (last << CHUNK_BITS);
    kv_arena_free(heap->arena, heap->chunks[last], entries * sizeof(kv_heap_entry));
    heap->capacity -= entries;
}

void kv_heap_deinit(kv_heap *heap) {
    while (heap->capacity > 0) drop_last_chunk(heap);
    if (heap->chunks != NULL) kv_arena_free(heap->arena, heap->chunks, heap->chunk_slots * sizeof *heap->chunks);
    kv_heap_init(heap, heap->arena, heap->set_pos, heap->arg);
}

static bool grow_directory(kv_heap *heap) {
    uint32_t slots = heap->chunk_slots == 0 ? 1 : heap->chunk_slots * 2;
    void *moved = kv_arena_realloc(heap->arena, heap->chunks, heap->chunk_slots * sizeof *heap->chunks, slots * sizeof *heap->chunks);
    if (moved == NULL) return false;
    heap->chunks = moved;
    heap->chunk_slots = slots;
    return true;
}

/* One more chunk, or a larger first one. */
static bool grow(kv_heap *heap) {
    size_t chunks = chunk_count(heap), wanted = heap->capacity == 0 ? FIRST : heap->capacity < CHUNK ? heap->capacity * 2 : CHUNK;
    bool regrow = heap->capacity != 0 && heap->capacity < CHUNK;
    if (chunks == heap->chunk_slots && !regrow && !grow_directory(heap)) return false;
    void *chunk =
        regrow ? kv_arena_realloc(heap->arena, heap->chunks[0], heap->capacity * sizeof(kv_heap_entry), wanted * sizeof(kv_heap_entry))
               : kv_arena_alloc(heap->arena, wanted * sizeof(kv_heap_entry));
    if (chunk == NULL) return false;
    heap->chunks[regrow ? 0 : chunks] = chunk;
    heap->capacity = regrow ? wanted : heap->capacity + wanted;
    return true;
}

kv_status kv_heap_reserve(kv_heap *heap, size_t n) {
    if (n > MAX_ENTRIES - heap->count) return KV_ENOMEM;
    while (heap->capacity < heap->count + SHIFT + n)
        if (!grow(heap)) return KV_ENOMEM;
    return KV_OK;
}

static inline void put(kv_heap *heap, size_t pos, kv_heap_entry entry) {
    *entry_at(heap, pos) = entry;
    heap->set_pos(entry.item, (uint32_t)pos, heap->arg);
}

/* Brings `entry` up from the hole at pos to where its parent is no later. */
static void sift_up(kv_heap *heap, size_t pos, kv_heap_entry entry) {
    while (pos > 0) {
        size_t parent = (pos - 1) / 4;
        kv_heap_entry above = *entry_at(heap, parent);
        if (above.when_ms <= entry.when_ms) break;
        put(heap, pos, above);
        pos = parent;
    }
    put(heap, pos, entry);
}

static void sift_down(kv_heap *heap, size_t pos, kv_heap_entry entry) {
    for (size_t child; (child = 4 * pos + 1) < heap->count; pos = child) {
        const kv_heap_entry *brothers = entry_at(heap, child); /* one aligned group: never across chunks */
        size_t n = heap->count - child < 4 ? heap->count - child : 4, best = 0;
        for (size_t i = 1; i < n; i++)
            if (brothers[i].when_ms < brothers[best].when_ms) best = i;
        if (brothers[best].when_ms >= entry.when_ms) break;
        put(heap, pos, brothers[best]);
        child += best;
    }
    put(heap, pos, entry);
}

static void settle(kv_heap *heap, size_t pos, kv_heap_entry entry) {
    if (pos > 0 && entry_at(heap, (pos - 1) / 4)->when_ms > entry.when_ms) sift_up(heap, pos, entry);
    else sift_down(heap, pos, entry);
}

kv_status kv_heap_push(kv_heap *heap, int64_t when_ms, void *item) {
    if (kv_heap_reserve(heap, 1) != KV_OK) return KV_ENOMEM;
    sift_up(heap, heap->count++, (kv_heap_entry){when_ms, item});
    return KV_OK;
}

const kv_heap_entry *kv_heap_peek(const kv_heap *heap) { return heap->count > 0 ? entry_at(heap, 0) : NULL; }

const kv_heap_entry *kv_heap_at(const kv_heap *heap, uint32_t pos) { return entry_at(heap, pos); }

void *kv_heap_remove(kv_heap *heap, uint32_t pos) {
    void *item = entry_at(heap, pos)->item;
    kv_heap_entry last = *entry_at(heap, --heap->count);
    if (pos < heap->count) settle(heap, pos, last);
    /* One spare chunk stays, so that coming and going at a border costs nothing. */
    while (heap->capacity > CHUNK && heap->capacity - (heap->count + SHIFT) > 2 * CHUNK) drop_last_chunk(heap);
    if (heap->count == 0) kv_heap_deinit(heap);
    return item;
}

void kv_heap_update(kv_heap *heap, uint32_t pos, int64_t when_ms) {
    settle(heap, pos, (kv_heap_entry){when_ms, entry_at(heap, pos)->item});
}

void kv_heap_replace(kv_heap *heap, uint32_t pos, void *item) { entry_at(heap, pos)->item = item; }

size_t kv_heap_bytes(const kv_heap *heap) {
    size_t bytes = heap->chunks != NULL ? kv_arena_good_size(heap->chunk_slots * sizeof *heap->chunks) : 0;
    if (heap->capacity < CHUNK) return heap->capacity != 0 ? bytes + kv_arena_good_size(heap->capacity * sizeof(kv_heap_entry)) : bytes;
    return bytes + chunk_count(heap) * kv_arena_good_size(CHUNK * sizeof(kv_heap_entry));
}

bool kv_heap_check(const kv_heap *heap) {
    if (heap->count > 0 && heap->capacity < heap->count + SHIFT) return false;
    if (heap->capacity > CHUNK && heap->capacity % CHUNK != 0) return false;
    if (chunk_count(heap) > heap->chunk_slots) return false;
    for (size_t i = 1; i < heap->count; i++)
        if (entry_at(heap, (i - 1) / 4)->when_ms > entry_at(heap, i)->when_ms) return false;
    return true;
}
