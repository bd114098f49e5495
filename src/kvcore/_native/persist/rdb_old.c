/* A ziplist:
 *
 *   | bytes u32 | offset of the last item u32 | items u16 | item | item | ... | 0xFF |        numbers little-endian, but for string lengths
 *
 *   item:  | bytes of the item before: 1, or 0xFE and u32 | encoding | data |
 *
 *     00llllll                    string of up to 63 bytes
 *     01llllll llllllll           string of up to 16383 bytes, high bits first
 *     10000000 u32 high first     string
 *     11000000, 11010000, 11100000, 11110000, 11111110      integer of 16, 32, 64, 24, 8 bits
 *     1111nnnn (1..13)            integer n - 1
 *
 * A zipmap:
 *
 *   | fields u8, 254 and more: count them | length | field | length | free u8 | value | free bytes | ... | 0xFF |
 *
 *   length: one byte up to 253; or 254 and u32 little-endian
 */
#include "persist/rdb_old.h"

static bool spoil(kv_old_walk *walk) {
    walk->bad = true;
    return false;
}

static size_t left(const kv_old_walk *walk) { return (size_t)(walk->end - walk->at); }

static uint64_t load_le(const uint8_t *at, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

void kv_ziplist_begin(kv_old_walk *walk, kv_slice bytes) {
    enum { HEADER = 10 };
    *walk = (kv_old_walk){.start = bytes.ptr, .at = bytes.ptr, .end = bytes.ptr + bytes.len};
    if (bytes.len < HEADER + 1 || load_le(bytes.ptr, 4) != bytes.len || walk->end[-1] != 0xff) {
        spoil(walk);
        return;
    }
    walk->last_at = (uint32_t)load_le(bytes.ptr + 4, 4);
    walk->count = (uint16_t)load_le(bytes.ptr + 8, 2);
    walk->at += HEADER;
}

/* An integer of so many bytes, sign and all. */
static bool integer(kv_old_walk *walk, unsigned bytes, kv_lp_item *out) {
    if (left(walk) < bytes) return spoil(walk);
    unsigned above = 64 - 8 * bytes;
    *out = kv_lp_int((int64_t)(load_le(walk->at, bytes) << above) >> above);
    walk->at += bytes;
    return true;
}

static bool string(kv_old_walk *walk, size_t len, kv_lp_item *out) {
    if (left(walk) < len) return spoil(walk);
    *out = kv_lp_str(kv_slice_of(walk->at, len));
    walk->at += len;
    return true;
}

static bool ziplist_data(kv_old_walk *walk, kv_lp_item *out) {
    if (left(walk) < 1) return spoil(walk);
    uint8_t head = *walk->at++;
    switch (head >> 6) {
    case 0: return string(walk, head, out);
    case 1:
        if (left(walk) < 1) return spoil(walk);
        return string(walk, (size_t)(head & 63) << 8 | *walk->at++, out);
    case 2: {
        if (left(walk) < 4) return spoil(walk);
        size_t len = (size_t)walk->at[0] << 24 | (size_t)walk->at[1] << 16 | (size_t)walk->at[2] << 8 | walk->at[3];
        walk->at += 4;
        return string(walk, len, out);
    }
    default: break;
    }
    switch (head) {
    case 0xc0: return integer(walk, 2, out);
    case 0xd0: return integer(walk, 4, out);
    case 0xe0: return integer(walk, 8, out);
    case 0xf0: return integer(walk, 3, out);
    case 0xfe: return integer(walk, 1, out);
    default: break;
    }
    if (head < 0xf1 || head > 0xfd) return spoil(walk);
    *out = kv_lp_int((head & 15) - 1);
    return true;
}

static bool ziplist_end(kv_old_walk *walk, const uint8_t *last) {
    bool whole = walk->at + 1 == walk->end && (walk->count == UINT16_MAX || walk->count == walk->items);
    if (!whole || (walk->items > 0 && last != walk->start + walk->last_at)) return spoil(walk);
    return false;
}

bool kv_ziplist_next(kv_old_walk *walk, kv_lp_item *out) {
    if (walk->bad) return false;
    if (left(walk) < 1) return spoil(walk);
    const uint8_t *item = walk->at;
    if (*item == 0xff) return ziplist_end(walk, item - walk->previous);
    size_t before = *walk->at++;
    if (before == 0xfe) {
        if (left(walk) < 4) return spoil(walk);
        before = (size_t)load_le(walk->at, 4);
        walk->at += 4;
    }
    if (before != walk->previous || !ziplist_data(walk, out)) return spoil(walk);
    walk->previous = (size_t)(walk->at - item);
    walk->items++;
    return true;
}

void kv_zipmap_begin(kv_old_walk *walk, kv_slice bytes) {
    *walk = (kv_old_walk){.start = bytes.ptr, .at = bytes.ptr, .end = bytes.ptr + bytes.len, .key = true};
    if (bytes.len < 2 || walk->end[-1] != 0xff) {
        spoil(walk);
        return;
    }
    walk->count = *walk->at++;
}

static bool zipmap_length(kv_old_walk *walk, size_t *out) {
    if (left(walk) < 1) return spoil(walk);
    *out = *walk->at++;
    if (*out < 254) return true;
    if (*out == 255 || left(walk) < 4) return spoil(walk);
    *out = (size_t)load_le(walk->at, 4);
    walk->at += 4;
    return true;
}

bool kv_zipmap_next(kv_old_walk *walk, kv_lp_item *out) {
    if (walk->bad || left(walk) < 1) return spoil(walk);
    if (walk->key && *walk->at == 0xff) {
        if (walk->at + 1 != walk->end || (walk->count < 254 && walk->count != walk->items / 2)) return spoil(walk);
        return false;
    }
    size_t len, unused = 0;
    if (!zipmap_length(walk, &len)) return false;
    if (!walk->key) {
        if (left(walk) < 1) return spoil(walk);
        unused = *walk->at++;
    }
    if (!string(walk, len, out)) return false;
    if (left(walk) < unused) return spoil(walk);
    walk->at += unused;
    walk->key = !walk->key;
    walk->items++;
    return true;
}
