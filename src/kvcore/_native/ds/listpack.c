/* A listpack.
 *
 *   | bytes u32 LE | items u16 LE | item | item | ... | 0xFF |          items is 65535 when there are more: then they are counted by
 * walking
 *
 *   item:  | encoding and data (1..) | back length (1..5) |
 *
 *     0xxxxxxx                      integer 0..127
 *     10llllll  bytes               string of up to 63 bytes
 *     110xxxxx  xxxxxxxx            integer of 13 bits, two's complement, high bits first
 *     1110llll  llllllll  bytes     string of up to 4095 bytes, high bits first
 *     11110000  u32 LE    bytes     string
 *     11110001 .. 11110100          integer of 16, 24, 32, 64 bits, LE
 *
 *   The back length is the size of the encoding and data, seven bits a byte, to be read from its end towards its beginning: bit 7 of a
 * byte says
 *   that another one stands before it. It makes walking backwards possible.
 *
 * All changes are one splice: find the size, make room (in place while the arena's size class stays the same, else in a new block into
 * which head, new items and tail are copied once), then write. Nothing is changed before the room is there.
 *
 * A listpack stands at the beginning of its block; for pushing at the front it may stand at the end ("high"), so that what its size class rounds up lies in
 * front of it: then only the header moves. Functions that do not say so are for those that stand low.
 *
 * Invariants: the header's bytes are the block's size; the item count is exact or 65535; walking forward from the header meets 0xFF at
 * the last byte and nowhere earlier; each back length equals the size before it. Strings that are canonical integers are stored as
 * integers by every function here, but listpacks from outside may hold them as strings: comparing is by text. */
#include "ds/listpack.h"
#include "base/num.h"

enum { HEADER = 6, END = 0xff, COUNT_UNKNOWN = 65535 };

/* ---- little-endian access ---- */

static uint64_t load_le(const uint8_t *at, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static void store_le(uint8_t *at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) at[i] = (uint8_t)(value >> (8 * i));
}

size_t kv_lp_bytes(const uint8_t *lp) { return (size_t)load_le(lp, 4); }
static void set_bytes(uint8_t *lp, size_t bytes) { store_le(lp, bytes, 4); }
static size_t header_count(const uint8_t *lp) { return (size_t)load_le(lp + 4, 2); }
static void set_count(uint8_t *lp, size_t count) { store_le(lp + 4, count < COUNT_UNKNOWN ? count : COUNT_UNKNOWN, 2); }
static const uint8_t *end_of(const uint8_t *lp) { return lp + kv_lp_bytes(lp) - 1; }

/* ---- back lengths ---- */

static unsigned back_size(size_t size) {
    if (size < 1 << 7) return 1;
    if (size < 1 << 14) return 2;
    if (size < 1 << 21) return 3;
    return size < 1 << 28 ? 4 : 5;
}

static unsigned write_back(uint8_t *at, size_t size) {
    unsigned n = back_size(size);
    for (unsigned i = n; i-- > 0; size >>= 7) at[i] = (uint8_t)((size & 127) | (i > 0 ? 128 : 0));
    return n;
}

/* Reads the back length that ends at `last`, not reading before `floor`; 0 when it is not one. */
static size_t read_back(const uint8_t *last, const uint8_t *floor) {
    size_t size = 0;
    for (unsigned shift = 0; shift <= 28 && last >= floor; shift += 7, last--) {
        size |= (size_t)(*last & 127) << shift;
        if ((*last & 128) == 0) return size;
    }
    return 0;
}

/* ---- encodings ---- */

/* Size of encoding and data of the item at pos; reads up to 5 bytes. 0 when the first byte is no encoding. */
static inline size_t core_size(const uint8_t *pos) {
    uint8_t lead = *pos;
    if (lead < 0x80) return 1;
    if (lead < 0xc0) return 1 + (size_t)(lead & 0x3f);
    if (lead < 0xe0) return 2;
    if (lead < 0xf0) return 2 + ((size_t)(lead & 0x0f) << 8 | pos[1]);
    switch (lead) {
    case 0xf0: return 5 + (size_t)load_le(pos + 1, 4);
    case 0xf1: return 3;
    case 0xf2: return 4;
    case 0xf3: return 5;
    case 0xf4: return 9;
    default: return 0;
    }
}

/* Bytes of the lead that core_size and decoding look at. */
static unsigned lead_size(uint8_t lead) {
    if (lead < 0xc0) return 1;
    if (lead < 0xf0) return 2;
    return lead == 0xf0 ? 5 : 1;
}

size_t kv_lp_entry_bytes(const uint8_t *pos) {
    size_t core = core_size(pos);
    return core + back_size(core);
}

static size_t int_core(int64_t num) {
    if (num >= 0 && num <= 127) return 1;
    if (num >= -4096 && num <= 4095) return 2;
    if (num >= INT16_MIN && num <= INT16_MAX) return 3;
    if (num >= -(1 << 23) && num < 1 << 23) return 4;
    return num >= INT32_MIN && num <= INT32_MAX ? 5 : 9;
}

static size_t str_core(size_t len) { return len <= 63 ? 1 + len : len <= 4095 ? 2 + len : 5 + len; }

/* Turns a string that is a canonical integer into one. */
static kv_lp_item canonical(kv_lp_item item) {
    int64_t num;
    if (!item.is_int && item.str.len <= 20 && kv_parse_i64(item.str, &num)) return kv_lp_int(num);
    return item;
}

/* Of a canonical item. Strings near SIZE_MAX cannot occur: they would not fit in memory. */
static size_t canonical_bytes(const kv_lp_item *item) {
    size_t core = item->is_int ? int_core(item->num) : str_core(item->str.len);
    return core + back_size(core);
}

size_t kv_lp_item_bytes(kv_lp_item item) {
    item = canonical(item);
    return canonical_bytes(&item);
}

static size_t encode_int(uint8_t *at, int64_t num) {
    size_t core = int_core(num);
    if (core == 1) {
        at[0] = (uint8_t)num;
    } else if (core == 2) {
        at[0] = (uint8_t)(0xc0 | ((uint64_t)num >> 8 & 0x1f));
        at[1] = (uint8_t)num;
    } else {
        at[0] = (uint8_t)(core == 9 ? 0xf4 : 0xee + core);
        store_le(at + 1, (uint64_t)num, (unsigned)core - 1);
    }
    return core;
}

static size_t encode_str(uint8_t *at, kv_slice str) {
    size_t core = str_core(str.len), lead = core - str.len;
    if (lead == 1) {
        at[0] = (uint8_t)(0x80 | str.len);
    } else if (lead == 2) {
        at[0] = (uint8_t)(0xe0 | str.len >> 8);
        at[1] = (uint8_t)str.len;
    } else {
        at[0] = 0xf0;
        store_le(at + 1, str.len, 4);
    }
    if (str.len > 0) memcpy(at + lead, str.ptr, str.len);
    return core;
}

/* Inlined into each kind of change, as make_room is: a splice of one item is what most commands come to. */
__attribute__((always_inline)) static inline uint8_t *encode(uint8_t *at, const kv_lp_item *item) {
    size_t core = item->is_int ? encode_int(at, item->num) : encode_str(at, item->str);
    return at + core + write_back(at + core, core);
}

static int64_t sign_extend(uint64_t value, unsigned bits) { return (int64_t)(value << (64 - bits)) >> (64 - bits); }

kv_lp_item kv_lp_get(const uint8_t *pos) {
    uint8_t lead = *pos;
    if (lead < 0x80) return kv_lp_int(lead);
    if (lead < 0xc0) return kv_lp_str(kv_slice_of(pos + 1, lead & 0x3f));
    if (lead < 0xe0) return kv_lp_int(sign_extend((uint64_t)(lead & 0x1f) << 8 | pos[1], 13));
    if (lead < 0xf0) return kv_lp_str(kv_slice_of(pos + 2, (size_t)(lead & 0x0f) << 8 | pos[1]));
    if (lead == 0xf0) return kv_lp_str(kv_slice_of(pos + 5, (size_t)load_le(pos + 1, 4)));
    unsigned bytes = (unsigned)core_size(pos) - 1;
    return kv_lp_int(sign_extend(load_le(pos + 1, bytes), bytes * 8));
}

kv_slice kv_lp_item_text(const kv_lp_item *item, char scratch[KV_LP_SCRATCH]) {
    return item->is_int ? kv_slice_of(scratch, kv_format_i64(scratch, item->num)) : item->str;
}

kv_slice kv_lp_text(const uint8_t *pos, char scratch[KV_LP_SCRATCH]) {
    kv_lp_item item = kv_lp_get(pos);
    return kv_lp_item_text(&item, scratch);
}

/* ---- whole listpacks ---- */

uint8_t *kv_lp_new(kv_arena *arena) {
    uint8_t *lp = kv_arena_alloc(arena, KV_LP_EMPTY_BYTES);
    if (lp == NULL) return NULL;
    set_bytes(lp, KV_LP_EMPTY_BYTES);
    set_count(lp, 0);
    lp[HEADER] = END;
    return lp;
}

void kv_lp_free(kv_arena *arena, uint8_t *lp) {
    if (lp != NULL) kv_arena_free(arena, lp, kv_lp_bytes(lp));
}

uint8_t *kv_lp_dup(kv_arena *to, const uint8_t *lp) {
    size_t bytes = kv_lp_bytes(lp);
    uint8_t *copy = kv_arena_alloc(to, bytes);
    if (copy != NULL) memcpy(copy, lp, bytes);
    return copy;
}

size_t kv_lp_count(const uint8_t *lp) {
    size_t count = header_count(lp);
    if (count != COUNT_UNKNOWN) return count;
    count = 0;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL; pos = kv_lp_next(lp, pos)) count++;
    return count;
}

uint8_t *kv_lp_merge(kv_arena *arena, uint8_t *first, uint8_t *second) {
    size_t a = kv_lp_bytes(first), b = kv_lp_bytes(second), total = a + b - KV_LP_EMPTY_BYTES;
    size_t count_a = header_count(first), count_b = header_count(second);
    if (total > KV_LP_MAX_BYTES) return NULL;
    uint8_t *merged = kv_arena_realloc(arena, first, a, total);
    if (merged == NULL) return NULL;
    memcpy(merged + a - 1, second + HEADER, b - HEADER);
    set_bytes(merged, total);
    set_count(merged, count_a == COUNT_UNKNOWN || count_b == COUNT_UNKNOWN ? COUNT_UNKNOWN : count_a + count_b);
    kv_arena_free(arena, second, b);
    return merged;
}

/* ---- walking ---- */

const uint8_t *kv_lp_first(const uint8_t *lp) { return lp[HEADER] == END ? NULL : lp + HEADER; }

const uint8_t *kv_lp_next(const uint8_t *lp, const uint8_t *pos) {
    (void)lp;
    pos += kv_lp_entry_bytes(pos);
    return *pos == END ? NULL : pos;
}

static const uint8_t *before(const uint8_t *lp, const uint8_t *pos) {
    if (pos == lp + HEADER) return NULL;
    size_t core = read_back(pos - 1, lp + HEADER);
    return pos - core - back_size(core);
}

const uint8_t *kv_lp_prev(const uint8_t *lp, const uint8_t *pos) { return before(lp, pos); }

const uint8_t *kv_lp_last(const uint8_t *lp) { return before(lp, end_of(lp)); }

const uint8_t *kv_lp_at(const uint8_t *lp, int64_t index) {
    size_t count = header_count(lp);
    bool backwards = index < 0;
    uint64_t steps = backwards ? (uint64_t)(-(index + 1)) : (uint64_t)index;
    if (count != COUNT_UNKNOWN) {
        if (steps >= count) return NULL;
        if (steps > count / 2) { /* the other end is nearer */
            steps = count - 1 - steps;
            backwards = !backwards;
        }
    }
    const uint8_t *pos = backwards ? kv_lp_last(lp) : kv_lp_first(lp);
    while (pos != NULL && steps-- > 0) pos = backwards ? kv_lp_prev(lp, pos) : kv_lp_next(lp, pos);
    return pos;
}

/* ---- finding ---- */

/* What is looked for, with its integer value when it has one. */
typedef struct wanted {
    kv_slice text;
    bool is_int;
    int64_t num;
} wanted;

static wanted want(kv_slice text) {
    wanted w = {text, false, 0};
    w.is_int = text.len <= 20 && kv_parse_i64(text, &w.num);
    return w;
}

static inline bool matches(const uint8_t *pos, const wanted *w) {
    if (*pos >= 0x80 && *pos < 0xc0) { /* the usual case first: a short string */
        size_t len = *pos & 0x3f;
        return len == w->text.len && (len == 0 || memcmp(pos + 1, w->text.ptr, len) == 0);
    }
    kv_lp_item item = kv_lp_get(pos);
    return item.is_int ? w->is_int && item.num == w->num : kv_slice_eq(item.str, w->text);
}

bool kv_lp_equals(const uint8_t *pos, kv_slice text) {
    wanted w = want(text);
    return matches(pos, &w);
}

const uint8_t *kv_lp_find(const uint8_t *lp, const uint8_t *from, kv_slice text, size_t skip) {
    (void)lp;
    if (from == NULL) return NULL;
    wanted w = want(text);
    for (size_t wait = 0; *from != END; from += kv_lp_entry_bytes(from)) {
        if (wait > 0) {
            wait--;
            continue;
        }
        if (matches(from, &w)) return from;
        wait = skip;
    }
    return NULL;
}

/* ---- changing ---- */

bool kv_lp_fits(const uint8_t *lp, size_t more) { return more <= KV_LP_MAX_BYTES - kv_lp_bytes(lp); }

/* Replaces `gone` bytes at `offset` by `fresh` bytes, which the caller fills. NULL: no memory, nothing changed. */
__attribute__((always_inline)) static inline uint8_t *make_room(kv_arena *arena, uint8_t *lp, size_t offset, size_t gone, size_t fresh) {
    size_t bytes = kv_lp_bytes(lp), total = bytes - gone + fresh, tail = bytes - offset - gone;
    if (kv_arena_good_size(total) == kv_arena_good_size(bytes)) {
        memmove(lp + offset + fresh, lp + offset + gone, tail);
    } else if (fresh >= gone && tail <= 1) { /* growth at the end: large blocks may grow by moving pages */
        uint8_t *moved = kv_arena_realloc(arena, lp, bytes, total);
        if (moved == NULL) return NULL;
        lp = moved;
        lp[total - 1] = END;
    } else {
        uint8_t *moved = kv_arena_alloc(arena, total);
        if (moved == NULL) return NULL;
        memcpy(moved, lp, offset);
        memcpy(moved + offset + fresh, lp + offset + gone, tail);
        kv_arena_free(arena, lp, bytes);
        lp = moved;
    }
    set_bytes(lp, total);
    return lp;
}

/* Sum of the sizes of items as they will be stored; false when over the limit. */
static bool total_bytes(const kv_lp_item *items, size_t count, size_t *out) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (!items[i].is_int && items[i].str.len > KV_LP_MAX_BYTES) return false;
        total += kv_lp_item_bytes(items[i]);
        if (total > KV_LP_MAX_BYTES) return false;
    }
    *out = total;
    return true;
}

uint8_t *kv_lp_splice(kv_arena *arena, uint8_t *lp, const uint8_t *pos, size_t remove, const kv_lp_item *items, size_t count,
                      const uint8_t **out) {
    const uint8_t *start = pos != NULL ? pos : end_of(lp), *stop = start;
    size_t removed = 0, fresh = 0, header = header_count(lp);
    for (; removed < remove && *stop != END; removed++) stop += kv_lp_entry_bytes(stop);
    kv_lp_item one = {0};
    if (count == 1) { /* the usual case: look at the text once */
        if (!items[0].is_int && items[0].str.len > KV_LP_MAX_BYTES) return NULL;
        one = canonical(items[0]);
        items = &one;
        fresh = canonical_bytes(&one);
    } else if (!total_bytes(items, count, &fresh)) {
        return NULL;
    }
    size_t offset = (size_t)(start - lp), gone = (size_t)(stop - start);
    if (fresh > gone && !kv_lp_fits(lp, fresh - gone)) return NULL;
    lp = make_room(arena, lp, offset, gone, fresh);
    if (lp == NULL) return NULL;
    uint8_t *at = lp + offset;
    for (size_t i = 0; i < count; i++) {
        kv_lp_item item = count == 1 ? one : canonical(items[i]);
        at = encode(at, &item);
    }
    /* An unknown count stays unknown until it is small enough to be worth a walk: when everything is gone. */
    if (header != COUNT_UNKNOWN) set_count(lp, header - removed + count);
    else if (lp[HEADER] == END) set_count(lp, 0);
    if (out != NULL) *out = lp[offset] == END ? NULL : lp + offset;
    return lp;
}

/* Makes an item canonical and adds its size to *total. False: over the limit. */
static bool measure(kv_lp_item *item, size_t *total) {
    if (!item->is_int && item->str.len > KV_LP_MAX_BYTES) return false;
    *item = canonical(*item);
    *total += canonical_bytes(item);
    return *total <= KV_LP_MAX_BYTES;
}

/* Copies `lp` with its patches to `at`, up to its end mark; returns where it stopped. */
static uint8_t *copy_patched(uint8_t *at, const uint8_t *lp, const kv_lp_patch *patches, size_t count) {
    const uint8_t *from = lp;
    for (size_t i = 0; i < count; i++) {
        size_t same = (size_t)(patches[i].pos - from);
        memcpy(at, from, same);
        at = encode(at + same, &patches[i].item);
        from = patches[i].pos + kv_lp_entry_bytes(patches[i].pos);
    }
    size_t rest = (size_t)(end_of(lp) - from);
    memcpy(at, from, rest);
    return at + rest;
}

uint8_t *kv_lp_rewrite(kv_arena *arena, uint8_t *lp, kv_lp_patch *patches, size_t patch_count, kv_lp_item *tail, size_t tail_count) {
    size_t bytes = kv_lp_bytes(lp), header = header_count(lp), gone = 0, fresh = 0;
    bool same = tail_count == 0;
    for (size_t i = 0; i < patch_count; i++) {
        size_t before = fresh, old = kv_lp_entry_bytes(patches[i].pos);
        if (!measure(&patches[i].item, &fresh)) return NULL;
        same = same && fresh - before == old;
        gone += old;
    }
    for (size_t i = 0; i < tail_count; i++)
        if (!measure(&tail[i], &fresh)) return NULL;
    if (same) {
        for (size_t i = 0; i < patch_count; i++) (void)encode(lp + (patches[i].pos - lp), &patches[i].item);
        return lp;
    }
    if (fresh > gone && !kv_lp_fits(lp, fresh - gone)) return NULL;
    uint8_t *at;
    if (patch_count == 0) {
        lp = make_room(arena, lp, bytes - 1, 0, fresh);
        if (lp == NULL) return NULL;
        at = lp + bytes - 1;
    } else {
        uint8_t *moved = kv_arena_alloc(arena, bytes - gone + fresh);
        if (moved == NULL) return NULL;
        at = copy_patched(moved, lp, patches, patch_count);
        kv_arena_free(arena, lp, bytes);
        lp = moved;
        set_bytes(lp, bytes - gone + fresh);
    }
    for (size_t i = 0; i < tail_count; i++) at = encode(at, &tail[i]);
    *at = END;
    if (header != COUNT_UNKNOWN) set_count(lp, header + tail_count);
    return lp;
}

uint8_t *kv_lp_append(kv_arena *arena, uint8_t *lp, kv_slice str) {
    kv_lp_item item = kv_lp_str(str);
    return kv_lp_splice(arena, lp, NULL, 0, &item, 1, NULL);
}

uint8_t *kv_lp_append_int(kv_arena *arena, uint8_t *lp, int64_t num) {
    kv_lp_item item = kv_lp_int(num);
    return kv_lp_splice(arena, lp, NULL, 0, &item, 1, NULL);
}

uint8_t *kv_lp_prepend(kv_arena *arena, uint8_t *lp, kv_slice str) {
    kv_lp_item item = kv_lp_str(str);
    return kv_lp_splice(arena, lp, lp + HEADER, 0, &item, 1, NULL);
}

uint8_t *kv_lp_insert_before(kv_arena *arena, uint8_t *lp, const uint8_t *pos, kv_slice str, const uint8_t **out) {
    kv_lp_item item = kv_lp_str(str);
    return kv_lp_splice(arena, lp, pos, 0, &item, 1, out);
}

uint8_t *kv_lp_insert_after(kv_arena *arena, uint8_t *lp, const uint8_t *pos, kv_slice str, const uint8_t **out) {
    kv_lp_item item = kv_lp_str(str);
    return kv_lp_splice(arena, lp, pos + kv_lp_entry_bytes(pos), 0, &item, 1, out);
}

uint8_t *kv_lp_replace(kv_arena *arena, uint8_t *lp, const uint8_t *pos, kv_slice str, const uint8_t **out) {
    kv_lp_item item = kv_lp_str(str);
    return kv_lp_splice(arena, lp, pos, 1, &item, 1, out);
}

uint8_t *kv_lp_delete(kv_arena *arena, uint8_t *lp, const uint8_t *pos, const uint8_t **out) {
    return kv_lp_splice(arena, lp, pos, 1, NULL, 0, out);
}

bool kv_lp_deletes_in_place(const uint8_t *lp, const uint8_t *pos) {
    size_t bytes = kv_lp_bytes(lp);
    return kv_arena_good_size(bytes - kv_lp_entry_bytes(pos)) == kv_arena_good_size(bytes);
}

/* ---- room in front ---- */

/* The block of a listpack that stands high. */
static uint8_t *block_under(uint8_t *lp, size_t bytes) { return lp - (kv_arena_good_size(bytes) - bytes); }

uint8_t *kv_lp_lower(uint8_t *lp) {
    size_t bytes = kv_lp_bytes(lp);
    return memmove(block_under(lp, bytes), lp, bytes);
}

void kv_lp_high_free(kv_arena *arena, uint8_t *lp) {
    size_t bytes = kv_lp_bytes(lp);
    kv_arena_free(arena, block_under(lp, bytes), bytes);
}

/* Gives a listpack `gone` bytes less, or `fresh` bytes more, before its first item, and lets it stand high; the caller writes the count and what is fresh.
 * NULL: no memory. */
__attribute__((always_inline)) static inline uint8_t *stretch(kv_arena *arena, uint8_t *lp, bool high, size_t gone, size_t fresh) {
    size_t bytes = kv_lp_bytes(lp), total = bytes - gone + fresh, kept = bytes - gone - HEADER, size = kv_arena_good_size(total);
    uint8_t *to;
    if (kv_arena_good_size(bytes) == size) {
        to = high ? lp + gone - fresh : lp + size - total;
        if (!high) memmove(to + HEADER + fresh, lp + HEADER + gone, kept);
    } else {
        uint8_t *block = kv_arena_alloc(arena, total);
        if (block == NULL) return NULL;
        to = block + size - total;
        memcpy(to + HEADER + fresh, lp + HEADER + gone, kept);
        kv_arena_free(arena, high ? block_under(lp, bytes) : lp, bytes);
    }
    set_bytes(to, total);
    return to;
}

uint8_t *kv_lp_high_prepend(kv_arena *arena, uint8_t *lp, bool high, const kv_lp_item *items, size_t count) {
    kv_lp_item one;
    size_t fresh = 0, header = header_count(lp);
    if (count == 1) { /* the usual case: look at the text once */
        one = items[0];
        if (!measure(&one, &fresh)) return NULL;
    } else if (!total_bytes(items, count, &fresh)) {
        return NULL;
    }
    if (!kv_lp_fits(lp, fresh)) return NULL;
    lp = stretch(arena, lp, high, 0, fresh);
    if (lp == NULL) return NULL;
    set_count(lp, header == COUNT_UNKNOWN ? header : header + count);
    uint8_t *at = lp + HEADER;
    for (size_t i = 0; i < count; i++) {
        kv_lp_item item = count == 1 ? one : canonical(items[i]);
        at = encode(at, &item);
    }
    return lp;
}

uint8_t *kv_lp_high_delete_first(kv_arena *arena, uint8_t *lp, bool high) {
    size_t count = header_count(lp);
    lp = stretch(arena, lp, high, kv_lp_entry_bytes(lp + HEADER), 0);
    if (lp == NULL) return NULL;
    if (lp[HEADER] == END) count = 0;
    else if (count != COUNT_UNKNOWN) count--;
    set_count(lp, count);
    return lp;
}

static void reverse(uint8_t *at, size_t bytes) {
    for (size_t i = 0, j = bytes; i + 1 < j; i++) {
        uint8_t byte = at[i];
        at[i] = at[--j];
        at[j] = byte;
    }
}

void kv_lp_rotate(uint8_t *lp, bool from_head) {
    uint8_t *first = lp + HEADER, few[256];
    const uint8_t *item = from_head ? kv_lp_first(lp) : kv_lp_last(lp);
    if (item == NULL) return;
    size_t bytes = (size_t)(end_of(lp) - first), moving = kv_lp_entry_bytes(item), rest = bytes - moving;
    if (moving <= sizeof few) {
        memcpy(few, item, moving);
        memmove(from_head ? first : first + moving, from_head ? first + moving : first, rest);
        memcpy(from_head ? first + rest : first, few, moving);
        return;
    }
    size_t front = from_head ? moving : rest; /* both parts reversed, then the whole: they have changed places */
    reverse(first, front);
    reverse(first + front, bytes - front);
    reverse(first, bytes);
}

uint8_t *kv_lp_delete_range(kv_arena *arena, uint8_t *lp, int64_t index, size_t count) {
    const uint8_t *pos = count > 0 ? kv_lp_at(lp, index) : NULL;
    return pos == NULL ? lp : kv_lp_splice(arena, lp, pos, count, NULL, 0, NULL);
}

/* ---- checks ---- */

/* One item that must end before `end`, with its back length. Moves *pos behind it. */
static bool valid_item(const uint8_t **pos, const uint8_t *first, const uint8_t *end) {
    const uint8_t *at = *pos;
    size_t left = (size_t)(end - at);
    if (left < lead_size(*at)) return false;
    size_t core = core_size(at);
    if (core == 0 || core > left) return false;
    unsigned back = back_size(core);
    if (back > left - core) return false;
    uint8_t expected[5];
    write_back(expected, core);
    if (memcmp(at + core, expected, back) != 0 || read_back(at + core + back - 1, first) != core) return false;
    *pos = at + core + back;
    return true;
}

bool kv_lp_validate(const uint8_t *bytes, size_t len, bool deep) {
    if (len < KV_LP_EMPTY_BYTES || len > KV_LP_MAX_BYTES || kv_lp_bytes(bytes) != len || bytes[len - 1] != END) return false;
    if (!deep) return true;
    const uint8_t *first = bytes + HEADER, *pos = first, *end = bytes + len - 1;
    size_t count = 0;
    for (; pos < end; count++)
        if (!valid_item(&pos, first, end)) return false;
    return header_count(bytes) == COUNT_UNKNOWN || header_count(bytes) == count;
}

bool kv_lp_check(const uint8_t *lp) { return kv_lp_validate(lp, kv_lp_bytes(lp), true); }
