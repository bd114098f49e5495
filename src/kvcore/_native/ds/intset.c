/* A sorted array of integers in one block.
 *
 *   | width u32 LE: 2, 4 or 8 | count u32 LE | member | member | ...        members: signed, LE, `width` bytes each, strictly ascending
 *
 * All members have the width of the widest. A member that needs more widens the set: being outside the old width's range it is smaller or
 * larger than all others, so it goes to one end while the others are moved, last first, into their wider places. A set never narrows
 * again (members come and go, and each widening costs O(n)). */
#include "ds/intset.h"
#include <string.h>

enum { HEADER = 8 };

static uint32_t load32(const uint8_t *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24; }

static void store32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t little64(uint64_t v) { return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(v) : v; }
static uint32_t little32(uint32_t v) { return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap32(v) : v; }
static uint16_t little16(uint16_t v) { return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap16(v) : v; }

static size_t width_of(const uint8_t *set) { return load32(set); }
size_t kv_intset_count(const uint8_t *set) { return load32(set + 4); }
size_t kv_intset_bytes(const uint8_t *set) { return HEADER + kv_intset_count(set) * width_of(set); }

static size_t width_for(int64_t member) {
    if (member >= INT16_MIN && member <= INT16_MAX) return 2;
    return member >= INT32_MIN && member <= INT32_MAX ? 4 : 8;
}

static inline int64_t load(const uint8_t *set, size_t width, size_t index) {
    const uint8_t *at = set + HEADER + index * width;
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;
    if (width == 2) {
        memcpy(&v16, at, 2);
        return (int16_t)little16(v16);
    }
    if (width == 4) {
        memcpy(&v32, at, 4);
        return (int32_t)little32(v32);
    }
    memcpy(&v64, at, 8);
    return (int64_t)little64(v64);
}

static void store(uint8_t *set, size_t width, size_t index, int64_t member) {
    uint8_t *at = set + HEADER + index * width;
    for (size_t i = 0; i < width; i++) at[i] = (uint8_t)((uint64_t)member >> (8 * i));
}

int64_t kv_intset_at(const uint8_t *set, size_t index) { return load(set, width_of(set), index); }

/* The index of the first member that is not below `member`. */
static size_t lower_bound(const uint8_t *set, int64_t member) {
    size_t width = width_of(set), low = 0, high = kv_intset_count(set);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (load(set, width, middle) < member) low = middle + 1;
        else high = middle;
    }
    return low;
}

bool kv_intset_has(const uint8_t *set, int64_t member) {
    if (width_for(member) > width_of(set)) return false;
    size_t index = lower_bound(set, member);
    return index < kv_intset_count(set) && kv_intset_at(set, index) == member;
}

uint8_t *kv_intset_new(kv_arena *arena) {
    uint8_t *set = kv_arena_alloc(arena, HEADER);
    if (set == NULL) return NULL;
    store32(set, 2);
    store32(set + 4, 0);
    return set;
}

void kv_intset_free(kv_arena *arena, uint8_t *set) {
    if (set != NULL) kv_arena_free(arena, set, kv_intset_bytes(set));
}

uint8_t *kv_intset_dup(kv_arena *to, const uint8_t *set) {
    size_t bytes = kv_intset_bytes(set);
    uint8_t *copy = kv_arena_alloc(to, bytes);
    if (copy != NULL) memcpy(copy, set, bytes);
    return copy;
}

static uint8_t *widen_and_add(kv_arena *arena, uint8_t *set, int64_t member) {
    size_t old_width = width_of(set), width = width_for(member), count = kv_intset_count(set);
    uint8_t *moved = kv_arena_realloc(arena, set, kv_intset_bytes(set), HEADER + (count + 1) * width);
    if (moved == NULL) return NULL;
    size_t shift = member < 0 ? 1 : 0; /* below or above all others */
    for (size_t i = count; i-- > 0;) store(moved, width, i + shift, load(moved, old_width, i));
    store(moved, width, member < 0 ? 0 : count, member);
    store32(moved, (uint32_t)width);
    store32(moved + 4, (uint32_t)(count + 1));
    return moved;
}

uint8_t *kv_intset_add(kv_arena *arena, uint8_t *set, int64_t member, bool *added) {
    size_t count = kv_intset_count(set), width = width_of(set), index = 0;
    bool wider = width_for(member) > width;
    if (!wider) {
        index = lower_bound(set, member);
        if (index < count && load(set, width, index) == member) {
            if (added != NULL) *added = false;
            return set;
        }
    }
    if (count == UINT32_MAX) return NULL;
    if (wider) {
        set = widen_and_add(arena, set, member);
    } else {
        set = kv_arena_realloc(arena, set, HEADER + count * width, HEADER + (count + 1) * width);
        if (set == NULL) return NULL;
        uint8_t *at = set + HEADER + index * width;
        memmove(at + width, at, (count - index) * width);
        store(set, width, index, member);
        store32(set + 4, (uint32_t)(count + 1));
    }
    if (set != NULL && added != NULL) *added = true;
    return set;
}

uint8_t *kv_intset_remove(kv_arena *arena, uint8_t *set, int64_t member, bool *removed) {
    if (!kv_intset_has(set, member)) {
        if (removed != NULL) *removed = false;
        return set;
    }
    size_t count = kv_intset_count(set), width = width_of(set), index = lower_bound(set, member);
    size_t before = HEADER + count * width, after = before - width, offset = HEADER + index * width;
    uint8_t *moved = set;
    if (kv_arena_good_size(before) == kv_arena_good_size(after)) {
        memmove(set + offset, set + offset + width, after - offset);
    } else { /* room first: a failure must leave the set whole */
        moved = kv_arena_alloc(arena, after);
        if (moved == NULL) return NULL;
        memcpy(moved, set, offset);
        memcpy(moved + offset, set + offset + width, after - offset);
        kv_arena_free(arena, set, before);
    }
    store32(moved + 4, (uint32_t)(count - 1));
    if (removed != NULL) *removed = true;
    return moved;
}

bool kv_intset_validate(const uint8_t *bytes, size_t len, bool deep) {
    if (len < HEADER) return false;
    size_t width = width_of(bytes), count = kv_intset_count(bytes);
    if ((width != 2 && width != 4 && width != 8) || (len - HEADER) / width != count || (len - HEADER) % width != 0) return false;
    if (!deep) return true;
    for (size_t i = 1; i < count; i++)
        if (load(bytes, width, i - 1) >= load(bytes, width, i)) return false;
    return true;
}

bool kv_intset_check(const uint8_t *set) { return kv_intset_validate(set, kv_intset_bytes(set), true); }
