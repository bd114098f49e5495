/* The big form of a hash: a table of field blocks, and a heap of those that expire.
 *
 *     kv_hash_big { arena, seed, table, heap }
 *           table --(hash of the field)--> block <--(earliest first)-- heap
 *
 *     short    field length | value length | field bytes | value bytes          a field of up to 127 bytes, a value of up to 255, no expiry
 *              1              1
 *
 *     long     head | field length | value length | position | field bytes | value bytes
 *              1      1,2,4,8        1,2,4,8        0 or 4
 *
 *     head     bits 0-1, 2-3: log2 of the width of the two lengths; bit 4: the field expires, and `position` is its place in the heap,
 *              where its time is kept; bit 7: the block is long (the first byte of a short one is at most 127)
 *
 * Numbers in a block are unaligned, in the machine's byte order. Invariants: a block is short when it can be, and lengths have the
 * smallest width that holds them, so a block's size follows from its content; a block is in the heap if and only if it expires; blocks, buckets and heap chunks live in `arena`,
 * wherever the value's key is now. */
#include "types/hash_big.h"

#include "base/num.h"
#include "ds/heap.h"

struct kv_hash_big {
    kv_arena *arena;
    kv_hash_seed seed;
    kv_table table;
    kv_heap heap;
    size_t drained; /* where kv_table_drain stands, while the hash is being freed */
    kv_compact_at compacted;
};

/* ---- blocks ---- */

enum { HEAD_EXPIRES = 16, HEAD_LONG = 128, SHORT_FIELD = 127 };

/* A block as read: sizes and the places of its parts. */
typedef struct parts {
    bool expires;
    size_t field_len, value_len;
    size_t position_at, field_at, value_at, bytes; /* offsets; bytes: the whole */
} parts;

static unsigned width_code(size_t len) { return len <= UINT8_MAX ? 0 : len <= UINT16_MAX ? 1 : len <= UINT32_MAX ? 2 : 3; }

static size_t load_len(const uint8_t *at, unsigned code) {
    uint64_t len = 0;
    memcpy(&len, at, (size_t)1 << code); /* little-endian machines only, as everywhere in the formats */
    return (size_t)len;
}

static void store_len(uint8_t *at, unsigned code, size_t len) {
    uint64_t wide = len;
    memcpy(at, &wide, (size_t)1 << code);
}

/* The first byte: two blocks where it is the same have the same layout. */
static uint8_t head_of(size_t field_len, size_t value_len, bool expires) {
    if (field_len <= SHORT_FIELD && value_len <= UINT8_MAX && !expires) return (uint8_t)field_len;
    return (uint8_t)(HEAD_LONG | width_code(field_len) | width_code(value_len) << 2 | (expires ? HEAD_EXPIRES : 0));
}

static bool is_long(uint8_t head) { return (head & HEAD_LONG) != 0; }
static bool in_heap(const uint8_t *block) { return (block[0] & (HEAD_LONG | HEAD_EXPIRES)) == (HEAD_LONG | HEAD_EXPIRES); }

static void place(parts *p, uint8_t head) {
    p->expires = is_long(head) && (head & HEAD_EXPIRES) != 0;
    p->position_at = is_long(head) ? 1 + ((size_t)1 << (head & 3)) + ((size_t)1 << (head >> 2 & 3)) : 2;
    p->field_at = p->position_at + (p->expires ? 4 : 0);
    p->value_at = p->field_at + p->field_len;
    p->bytes = p->value_at + p->value_len;
}

static parts read_block(const uint8_t *block) {
    uint8_t head = block[0];
    parts p = {.field_len = head, .value_len = block[1]};
    if (is_long(head)) {
        p.field_len = load_len(block + 1, head & 3);
        p.value_len = load_len(block + 1 + ((size_t)1 << (head & 3)), head >> 2 & 3);
    }
    place(&p, head);
    return p;
}

/* Every lookup compares fields. */
static kv_slice block_field(const void *entry) {
    const uint8_t *block = entry;
    if (!is_long(block[0])) return kv_slice_of(block + 2, block[0]);
    parts p = read_block(block);
    return kv_slice_of(block + p.field_at, p.field_len);
}

static const kv_table_type table_type = {.key = block_field};

/* The sizes of a block to be made; false: too long for this machine. */
static bool plan(parts *p, kv_slice field, kv_slice value, bool expires) {
    size_t sum;
    if (!kv_add_size(field.len, value.len, &sum) || sum > SIZE_MAX / 2) return false;
    *p = (parts){.field_len = field.len, .value_len = value.len};
    place(p, head_of(field.len, value.len, expires));
    return true;
}

static void write_lengths(uint8_t *block, size_t field_len, size_t value_len, bool expires) {
    block[0] = head_of(field_len, value_len, expires);
    if (!is_long(block[0])) {
        block[1] = (uint8_t)value_len;
        return;
    }
    store_len(block + 1, width_code(field_len), field_len);
    store_len(block + 1 + ((size_t)1 << width_code(field_len)), width_code(value_len), value_len);
}

static uint8_t *make_block(kv_arena *a, kv_slice field, kv_slice value, bool expires) {
    parts p;
    if (!plan(&p, field, value, expires)) return NULL;
    uint8_t *block = kv_arena_alloc(a, p.bytes);
    if (block == NULL) return NULL;
    write_lengths(block, field.len, value.len, expires);
    if (field.len != 0) memcpy(block + p.field_at, field.ptr, field.len);
    if (value.len != 0) memcpy(block + p.value_at, value.ptr, value.len);
    return block;
}

static void free_block(kv_arena *a, uint8_t *block) { kv_arena_free(a, block, read_block(block).bytes); }

static uint32_t get_position(const uint8_t *block) {
    uint32_t position;
    memcpy(&position, block + read_block(block).position_at, 4);
    return position;
}

static void set_position(void *item, uint32_t position, void *arg) {
    uint8_t *block = item;
    (void)arg;
    memcpy(block + read_block(block).position_at, &position, 4);
}

static int64_t expiry_of(const kv_hash_big *h, const uint8_t *block) {
    return in_heap(block) ? kv_heap_at(&h->heap, get_position(block))->when_ms : KV_HASH_NO_EXPIRY;
}

static void show(const kv_hash_big *h, const uint8_t *block, kv_hash_item *out) {
    parts p = read_block(block);
    out->field = kv_slice_of(block + p.field_at, p.field_len);
    out->value = kv_slice_of(block + p.value_at, p.value_len);
    out->expiry_ms = expiry_of(h, block);
}

void kv_hash_big_show(const kv_hash_big *h, const void *entry, kv_hash_item *out) { show(h, entry, out); }

/* ---- whole tables ---- */

static uint64_t hash_of(const kv_hash_big *h, kv_slice field) { return kv_siphash(&h->seed, field.ptr, field.len); }

kv_hash_big *kv_hash_big_new(kv_arena *a, size_t fields) {
    kv_hash_big *h = kv_arena_alloc(a, sizeof *h);
    if (h == NULL) return NULL;
    memset(h, 0, sizeof *h);
    h->arena = a;
    uint64_t secret[2] = {(uint64_t)(uintptr_t)h, 0}; /* the address alone if the system has no randomness */
    (void)kv_random_bytes(secret, sizeof secret);
    h->seed = (kv_hash_seed){secret[0], secret[1]};
    kv_table_init(&h->table, &table_type, &h->seed, a);
    kv_heap_init(&h->heap, a, set_position, NULL);
    if (fields > KV_TABLE_SLOTS && kv_table_expand(&h->table, fields) != KV_OK) {
        kv_table_deinit(&h->table, NULL, NULL);
        kv_arena_free(a, h, sizeof *h);
        return NULL;
    }
    return h;
}

typedef struct drain {
    kv_arena *arena;
    size_t freed;
} drain;

static void drop(void *arg, void *entry) {
    drain *d = arg;
    d->freed++;
    free_block(d->arena, entry);
}

/* The heap goes first: it is not needed to free blocks, and is small next to them. */
bool kv_hash_big_free_some(kv_hash_big *h, size_t *budget) {
    drain d = {h->arena, 0};
    if (kv_heap_count(&h->heap) > 0) {
        kv_heap_deinit(&h->heap);
        kv_heap_init(&h->heap, h->arena, set_position, NULL);
    }
    if (kv_table_count(&h->table) > 0) {
        if (*budget == 0) return false;
        bool more = kv_table_drain(&h->table, &h->drained, *budget, drop, &d);
        *budget -= d.freed < *budget ? d.freed : *budget;
        if (more && kv_table_count(&h->table) > 0) return false;
    }
    kv_heap_deinit(&h->heap);
    kv_table_deinit(&h->table, NULL, NULL);
    kv_arena_free(d.arena, h, sizeof *h);
    return true;
}

/* Adds a block that is made; the field is absent. On failure the block is still the caller's. */
static kv_status add_block(kv_hash_big *h, const kv_table_pos *pos, uint8_t *block, int64_t expiry_ms) {
    bool expires = expiry_ms != KV_HASH_NO_EXPIRY;
    kv_status status = expires ? kv_heap_reserve(&h->heap, 1) : KV_OK;
    if (status == KV_OK)
        status = pos->bucket == NULL ? kv_table_insert(&h->table, pos->hash, block) : kv_table_insert_at(&h->table, pos, block);
    if (status == KV_OK && expires) status = kv_heap_push(&h->heap, expiry_ms, block);
    return status;
}

static kv_status copy_block(const kv_hash_big *h, const uint8_t *block, kv_hash_big *to) {
    kv_hash_item item;
    show(h, block, &item);
    uint8_t *twin = make_block(to->arena, item.field, item.value, item.expiry_ms != KV_HASH_NO_EXPIRY);
    if (twin == NULL) return KV_ENOMEM;
    kv_table_pos pos = {.hash = hash_of(to, item.field)};
    kv_status status = add_block(to, &pos, twin, item.expiry_ms);
    if (status != KV_OK) free_block(to->arena, twin);
    return status;
}

kv_hash_big *kv_hash_big_copy(const kv_hash_big *h, kv_arena *a) {
    kv_hash_big *copy = kv_hash_big_new(a, kv_hash_big_count(h));
    if (copy == NULL) return NULL;
    kv_table_iter at;
    kv_table_iter_start(&at, &h->table);
    for (const uint8_t *block; (block = kv_table_iter_next(&at)) != NULL;) {
        if (copy_block(h, block, copy) == KV_OK) continue;
        size_t budget = SIZE_MAX;
        while (!kv_hash_big_free_some(copy, &budget)) budget = SIZE_MAX;
        return NULL;
    }
    return copy;
}

static void *move_block(void *arg, void *entry) {
    kv_hash_big *h = arg;
    uint8_t *block = kv_arena_move(h->arena, entry, read_block(entry).bytes);
    if (block != entry && in_heap(block)) kv_heap_replace(&h->heap, get_position(block), block);
    return block;
}

kv_hash_big *kv_hash_big_compact(kv_hash_big *h, kv_compact *step) {
    h = kv_arena_move(h->arena, h, sizeof *h);
    h->table.seed = &h->seed;
    kv_compact_table(step, &h->compacted, &h->table, move_block, h);
    return h;
}

const kv_table *kv_hash_big_table(const kv_hash_big *h) { return &h->table; }

kv_arena *kv_hash_big_arena(const kv_hash_big *h) { return h->arena; }
size_t kv_hash_big_count(const kv_hash_big *h) { return kv_table_count(&h->table); }

size_t kv_hash_big_memory(const kv_hash_big *h, size_t samples) {
    size_t count = kv_hash_big_count(h), seen = 0, bytes = 0;
    if (samples == 0 || samples > count) samples = count;
    kv_table_iter at;
    kv_table_iter_start(&at, &h->table);
    for (const uint8_t *block; seen < samples && (block = kv_table_iter_next(&at)) != NULL; seen++)
        bytes += kv_arena_good_size(read_block(block).bytes);
    size_t blocks = seen == 0 ? 0 : (size_t)((double)bytes / (double)seen * (double)count);
    return kv_arena_good_size(sizeof *h) + kv_table_bytes(&h->table) + kv_heap_bytes(&h->heap) + blocks;
}

static bool check_block(const kv_hash_big *h, const uint8_t *block) {
    parts p = read_block(block);
    if (block[0] != head_of(p.field_len, p.value_len, p.expires)) return false;
    if (!p.expires) return true;
    uint32_t position = get_position(block);
    return position < kv_heap_count(&h->heap) && kv_heap_at(&h->heap, position)->item == block;
}

bool kv_hash_big_check(const kv_hash_big *h) {
    if (!kv_table_check(&h->table) || !kv_heap_check(&h->heap)) return false;
    size_t expiring = 0;
    kv_table_iter at;
    kv_table_iter_start(&at, &h->table);
    for (const uint8_t *block; (block = kv_table_iter_next(&at)) != NULL;) {
        if (!check_block(h, block)) return false;
        if (in_heap(block)) expiring++;
    }
    return expiring == kv_heap_count(&h->heap);
}

/* ---- one field ---- */

bool kv_hash_big_get(const kv_hash_big *h, kv_slice field, kv_hash_item *out) {
    const uint8_t *block = kv_table_find(&h->table, hash_of(h, field), field);
    if (block == NULL) return false;
    if (out != NULL) show(h, block, out);
    return true;
}

/* Puts `fresh` where `old` is, in table and heap. Room in the heap is reserved. Frees neither. */
static void swap_block(kv_hash_big *h, const kv_table_pos *pos, bool had_expiry, uint32_t old_position, uint8_t *fresh, int64_t expiry_ms) {
    bool has_expiry = in_heap(fresh);
    kv_table_put_at(pos, fresh);
    if (had_expiry && has_expiry) {
        set_position(fresh, old_position, NULL);
        kv_heap_replace(&h->heap, old_position, fresh);
        kv_heap_update(&h->heap, old_position, expiry_ms);
    } else if (had_expiry) {
        kv_heap_remove(&h->heap, old_position);
    } else if (has_expiry) {
        (void)kv_heap_push(&h->heap, expiry_ms, fresh); /* cannot fail: reserved */
    }
}

/* Gives an existing field another value and expiry. The block is resized where it is when its head stays the same, else made anew. */
static kv_status replace(kv_hash_big *h, const kv_table_pos *pos, uint8_t *block, kv_slice value, int64_t expiry_ms) {
    parts now = read_block(block), next;
    bool expires = expiry_ms != KV_HASH_NO_EXPIRY;
    kv_slice field = kv_slice_of(block + now.field_at, now.field_len);
    uint32_t position = now.expires ? get_position(block) : 0;
    if (!plan(&next, field, value, expires)) return KV_ENOMEM;
    if (expires && !now.expires && kv_heap_reserve(&h->heap, 1) != KV_OK) return KV_ENOMEM;
    uint8_t *fresh;
    if (block[0] == head_of(field.len, value.len, expires)) {
        fresh = next.bytes == now.bytes ? block : kv_arena_realloc(h->arena, block, now.bytes, next.bytes);
        if (fresh == NULL) return KV_ENOMEM;
        write_lengths(fresh, field.len, value.len, expires);
        if (value.len != 0) memcpy(fresh + next.value_at, value.ptr, value.len);
        swap_block(h, pos, now.expires, position, fresh, expiry_ms);
        return KV_OK;
    }
    fresh = make_block(h->arena, field, value, expires);
    if (fresh == NULL) return KV_ENOMEM;
    swap_block(h, pos, now.expires, position, fresh, expiry_ms);
    kv_arena_free(h->arena, block, now.bytes);
    return KV_OK;
}

kv_status kv_hash_big_put(kv_hash_big *h, kv_slice field, kv_slice value, int64_t expiry_ms, int64_t now_ms, kv_hash_change *change) {
    kv_table_pos pos;
    kv_hash_change what = {true, false};
    kv_status status;
    uint8_t *block = kv_table_locate(&h->table, hash_of(h, field), field, &pos);
    kv_table_touch(&h->table, pos.hash);
    if (block != NULL) {
        int64_t old_expiry = expiry_of(h, block);
        what.expired = old_expiry <= now_ms;
        what.created = what.expired;
        if (expiry_ms == KV_HASH_KEEP_EXPIRY) expiry_ms = what.expired ? KV_HASH_NO_EXPIRY : old_expiry;
        status = replace(h, &pos, block, value, expiry_ms);
    } else {
        if (expiry_ms == KV_HASH_KEEP_EXPIRY) expiry_ms = KV_HASH_NO_EXPIRY;
        block = make_block(h->arena, field, value, expiry_ms != KV_HASH_NO_EXPIRY);
        if (block == NULL) return KV_ENOMEM;
        status = add_block(h, &pos, block, expiry_ms);
        if (status != KV_OK) free_block(h->arena, block);
    }
    if (status == KV_OK && change != NULL) *change = what;
    return status;
}

kv_status kv_hash_big_set_expiry(kv_hash_big *h, kv_slice field, int64_t expiry_ms) {
    kv_table_pos pos;
    uint8_t *block = kv_table_locate(&h->table, hash_of(h, field), field, &pos);
    if (block == NULL) return KV_ENOTFOUND;
    kv_table_touch(&h->table, pos.hash);
    bool expires = expiry_ms != KV_HASH_NO_EXPIRY;
    parts now = read_block(block);
    if (!expires && !now.expires) return KV_OK;
    if (expires && now.expires) {
        kv_heap_update(&h->heap, get_position(block), expiry_ms);
        return KV_OK;
    }
    return replace(h, &pos, block, kv_slice_of(block + now.value_at, now.value_len), expiry_ms);
}

kv_status kv_hash_big_delete(kv_hash_big *h, kv_slice field, int64_t now_ms) {
    kv_table_pos pos;
    uint8_t *block = kv_table_locate(&h->table, hash_of(h, field), field, &pos);
    if (block == NULL || expiry_of(h, block) <= now_ms) return KV_ENOTFOUND;
    kv_table_touch(&h->table, pos.hash); /* while its time is in the heap */
    if (in_heap(block)) kv_heap_remove(&h->heap, get_position(block));
    kv_table_remove_at(&h->table, &pos);
    free_block(h->arena, block);
    return KV_OK;
}

/* ---- steps that can be taken back ----
 *
 *   the field was      what a step does now                              confirm                  take back
 *   absent             block into table and heap                         -                        block out of both
 *   there, same size   expiry                                            value into the block     old expiry
 *   there              fresh block into the table, and into the heap     old block out of the     old block in again in
 *                      (in the old one's place when both expire)         heap, and freed          both places
 *
 * A block that was replaced keeps its place in the heap when the fresh one does not expire, for a place that was given up might not be had again. */

static kv_status swap_in(kv_hash_big *h, const kv_table_pos *pos, uint8_t *block, kv_slice value, int64_t expiry_ms, kv_hash_was *was) {
    parts now = read_block(block);
    kv_slice field = kv_slice_of(block + now.field_at, now.field_len);
    bool expires = expiry_ms != KV_HASH_NO_EXPIRY;
    was->block = block;
    was->in_place = value.len == now.value_len && expires == now.expires;
    if (was->in_place) {
        if (expires) kv_heap_update(&h->heap, get_position(block), expiry_ms);
        return KV_OK;
    }
    if (expires && !now.expires && kv_heap_reserve(&h->heap, 1) != KV_OK) return KV_ENOMEM;
    uint8_t *fresh = make_block(h->arena, field, value, expires);
    if (fresh == NULL) return KV_ENOMEM;
    kv_table_put_at(pos, fresh);
    if (expires && now.expires) {
        uint32_t position = get_position(block);
        set_position(fresh, position, NULL);
        kv_heap_replace(&h->heap, position, fresh);
        kv_heap_update(&h->heap, position, expiry_ms);
    } else if (expires) {
        (void)kv_heap_push(&h->heap, expiry_ms, fresh); /* cannot fail: reserved */
    }
    was->leaves_heap = now.expires && !expires;
    return KV_OK;
}

kv_status kv_hash_big_try_put(kv_hash_big *h, kv_slice field, kv_slice value, int64_t expiry_ms, int64_t now_ms, kv_hash_change *change,
                              kv_hash_was *was) {
    kv_table_pos pos;
    uint8_t *block = kv_table_locate(&h->table, hash_of(h, field), field, &pos);
    kv_table_touch(&h->table, pos.hash);
    *was = (kv_hash_was){.field = field, .value = value, .expiry_ms = KV_HASH_NO_EXPIRY};
    *change = (kv_hash_change){true, false};
    if (block != NULL) {
        was->expiry_ms = expiry_of(h, block);
        change->expired = change->created = was->expiry_ms <= now_ms;
        if (expiry_ms == KV_HASH_KEEP_EXPIRY) expiry_ms = change->expired ? KV_HASH_NO_EXPIRY : was->expiry_ms;
        return swap_in(h, &pos, block, value, expiry_ms, was);
    }
    if (expiry_ms == KV_HASH_KEEP_EXPIRY) expiry_ms = KV_HASH_NO_EXPIRY;
    block = make_block(h->arena, field, value, expiry_ms != KV_HASH_NO_EXPIRY);
    if (block == NULL) return KV_ENOMEM;
    kv_status status = add_block(h, &pos, block, expiry_ms);
    if (status != KV_OK) free_block(h->arena, block);
    return status;
}

kv_status kv_hash_big_try_expiry(kv_hash_big *h, kv_slice field, int64_t expiry_ms, kv_hash_was *was) {
    kv_table_pos pos;
    uint8_t *block = kv_table_locate(&h->table, hash_of(h, field), field, &pos);
    if (block == NULL) return KV_ENOTFOUND;
    kv_table_touch(&h->table, pos.hash);
    parts now = read_block(block);
    kv_slice value = kv_slice_of(block + now.value_at, now.value_len);
    *was = (kv_hash_was){.field = field, .value = value, .expiry_ms = expiry_of(h, block)};
    return swap_in(h, &pos, block, value, expiry_ms, was);
}

void kv_hash_big_confirm(kv_hash_big *h, const kv_hash_was *was) {
    if (was->block == NULL) return;
    parts p = read_block(was->block);
    if (was->in_place) {
        if (p.value_len != 0) memmove(was->block + p.value_at, was->value.ptr, p.value_len);
        return;
    }
    if (was->leaves_heap) (void)kv_heap_remove(&h->heap, get_position(was->block));
    kv_arena_free(h->arena, was->block, p.bytes);
}

void kv_hash_big_take_back(kv_hash_big *h, const kv_hash_was *was) {
    kv_table_pos pos;
    uint8_t *now = kv_table_locate(&h->table, hash_of(h, was->field), was->field, &pos), *old = was->block;
    bool now_expires = in_heap(now);
    if (was->in_place) {
        if (now_expires) kv_heap_update(&h->heap, get_position(now), was->expiry_ms);
        return;
    }
    if (old != NULL && now_expires && in_heap(old)) {
        uint32_t position = get_position(now);
        set_position(old, position, NULL);
        kv_heap_replace(&h->heap, position, old);
        kv_heap_update(&h->heap, position, was->expiry_ms);
    } else if (now_expires) {
        (void)kv_heap_remove(&h->heap, get_position(now));
    }
    if (old != NULL) kv_table_put_at(&pos, old);
    else (void)kv_table_remove_at(&h->table, &pos);
    free_block(h->arena, now);
}

/* ---- expiry ---- */

int64_t kv_hash_big_next_expiry(const kv_hash_big *h) {
    const kv_heap_entry *first = kv_heap_peek(&h->heap);
    return first == NULL ? INT64_MAX : first->when_ms;
}

size_t kv_hash_big_volatile(const kv_hash_big *h) { return kv_heap_count(&h->heap); }

size_t kv_hash_big_expired(const kv_hash_big *h, int64_t now_ms) {
    size_t count = kv_heap_count(&h->heap), expired = 0;
    if (kv_hash_big_next_expiry(h) > now_ms) return 0;
    for (size_t i = 0; i < count; i++)
        if (kv_heap_at(&h->heap, (uint32_t)i)->when_ms <= now_ms) expired++;
    return expired;
}

size_t kv_hash_big_expire_due(kv_hash_big *h, int64_t now_ms, size_t budget, kv_hash_expired_fn fn, void *ctx) {
    size_t done = 0;
    for (; done < budget && kv_hash_big_next_expiry(h) <= now_ms; done++) {
        uint8_t *block = kv_heap_peek(&h->heap)->item;
        kv_slice field = block_field(block);
        if (fn != NULL) fn(ctx, field);
        uint64_t hash = hash_of(h, field);
        kv_table_touch(&h->table, hash);
        kv_heap_remove(&h->heap, 0);
        kv_table_remove_entry(&h->table, hash, block);
        free_block(h->arena, block);
    }
    return done;
}

/* ---- all fields ---- */

void kv_hash_big_iter_init(kv_table_iter *at, const kv_hash_big *h) { kv_table_iter_start(at, &h->table); }

bool kv_hash_big_iter_next(kv_table_iter *at, const kv_hash_big *h, kv_hash_item *out) {
    const uint8_t *block = kv_table_iter_next(at);
    if (block == NULL) return false;
    show(h, block, out);
    return true;
}

typedef struct page {
    const kv_hash_big *hash;
    int64_t now_ms;
    kv_hash_item_fn fn;
    void *ctx;
    size_t seen;
} page;

static void hand_out(void *arg, void *entry) {
    page *p = arg;
    kv_hash_item item;
    show(p->hash, entry, &item);
    p->seen++;
    if (item.expiry_ms > p->now_ms) p->fn(p->ctx, &item);
}

uint64_t kv_hash_big_scan(const kv_hash_big *h, uint64_t cursor, size_t count, int64_t now_ms, kv_hash_item_fn fn, void *ctx) {
    page p = {h, now_ms, fn, ctx, 0};
    size_t steps = count > SIZE_MAX / 10 ? SIZE_MAX : count * 10; /* an almost empty table must not hold the lock for long */
    do cursor = kv_table_scan(&h->table, cursor, hand_out, &p);
    while (cursor != 0 && p.seen < count && --steps > 0);
    return cursor;
}

bool kv_hash_big_random(const kv_hash_big *h, kv_rng *rng, kv_hash_item *out) {
    const uint8_t *block = kv_table_random(&h->table, rng);
    if (block == NULL) return false;
    show(h, block, out);
    return true;
}
