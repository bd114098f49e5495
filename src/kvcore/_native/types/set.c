/* Sets.
 *
 *   KV_ENC_INTSET      u.ptr -> intset                                  in the arena of the key's shard
 *   KV_ENC_LISTPACK    u.ptr -> listpack, in order of insertion         in the arena of the key's shard
 *   KV_ENC_HASHTABLE   u.ptr -> big: kv_table of members, its seed      in table.arena, which may be another shard's (shared) arena
 *
 *   a member:  | n        | n bytes |                      n <= 252
 *              | 253 | u16 | bytes |   | 254 | u32 | ...   | 255 | u64 | ...
 *
 * So a short member of a big set costs one byte more than itself, rounded up by the arena, and its slot in the table.
 *
 * Conversions go intset -> listpack -> table or intset -> table, never back: an intset that gets too many members skips the listpack, one that gets a
 * string becomes a listpack if its members would do as strings. Every conversion builds the new form whole and frees the old one at the end. */
#include "types/set.h"
#include "base/num.h"
#include "types/compact.h"

typedef struct big {
    kv_table table;
    kv_hash_seed seed; /* each set its own, so that a COPY into another shard or store needs no other */
    size_t drained;    /* kv_set_free_some: where it goes on */
    kv_compact_at compacted;
} big;

static big *big_of(const kv_value *v) { return (big *)v->u.ptr; }
static uint8_t *block(const kv_value *v) { return (uint8_t *)v->u.ptr; }

/* ---- members of a table ---- */

static size_t header_bytes(size_t len) { return len <= 252 ? 1 : len <= UINT16_MAX ? 3 : len <= UINT32_MAX ? 5 : 9; }

static kv_slice member_text(const void *member) {
    const uint8_t *p = member;
    if (*p <= 252) return kv_slice_of(p + 1, *p);
    if (*p == 253) {
        uint16_t len;
        memcpy(&len, p + 1, sizeof len);
        return kv_slice_of(p + 3, len);
    }
    if (*p == 254) {
        uint32_t len;
        memcpy(&len, p + 1, sizeof len);
        return kv_slice_of(p + 5, len);
    }
    uint64_t len;
    memcpy(&len, p + 1, sizeof len);
    return kv_slice_of(p + 9, len);
}

static const kv_table_type member_type = {.key = member_text};

static size_t member_bytes(const void *member) {
    size_t len = member_text(member).len;
    return header_bytes(len) + len;
}

static void *member_new(kv_arena *arena, kv_slice text) {
    size_t head = header_bytes(text.len), bytes;
    if (!kv_add_size(head, text.len, &bytes)) return NULL;
    uint8_t *p = kv_arena_alloc(arena, bytes);
    if (p == NULL) return NULL;
    uint16_t len16 = (uint16_t)text.len;
    uint32_t len32 = (uint32_t)text.len;
    uint64_t len64 = text.len;
    switch (head) {
    case 1: p[0] = (uint8_t)text.len; break;
    case 3:
        p[0] = 253;
        memcpy(p + 1, &len16, sizeof len16);
        break;
    case 5:
        p[0] = 254;
        memcpy(p + 1, &len32, sizeof len32);
        break;
    default:
        p[0] = 255;
        memcpy(p + 1, &len64, sizeof len64);
        break;
    }
    if (text.len > 0) memcpy(p + head, text.ptr, text.len);
    return p;
}

static void member_free(void *arena, void *member) { kv_arena_free(arena, member, member_bytes(member)); }

/* ---- the table form ---- */

static uint64_t hash_of(const big *b, kv_slice text) { return kv_siphash(&b->seed, text.ptr, text.len); }

static big *big_new(kv_arena *a, size_t expected) {
    big *b = kv_arena_alloc(a, sizeof *b);
    if (b == NULL) return NULL;
    b->drained = 0;
    b->compacted = (kv_compact_at){0};
    /* Without a random source the address still differs from run to run; tables then only lose their protection against chosen
     * collisions. */
    if (!kv_random_bytes(&b->seed, sizeof b->seed)) b->seed = (kv_hash_seed){(uint64_t)(uintptr_t)b, ~(uint64_t)(uintptr_t)a};
    kv_table_init(&b->table, &member_type, &b->seed, a);
    if (expected > 0 && kv_table_expand(&b->table, expected) != KV_OK) {
        kv_arena_free(a, b, sizeof *b);
        return NULL;
    }
    return b;
}

static void big_free(big *b) {
    kv_arena *arena = b->table.arena;
    kv_table_deinit(&b->table, member_free, arena);
    kv_arena_free(arena, b, sizeof *b);
}

static kv_status big_add(big *b, kv_slice text, bool *added) {
    kv_table_pos pos;
    *added = false;
    if (kv_table_locate(&b->table, hash_of(b, text), text, &pos) != NULL) return KV_OK;
    void *member = member_new(b->table.arena, text);
    if (member == NULL) return KV_ENOMEM;
    kv_status status = kv_table_insert_at(&b->table, &pos, member);
    if (status != KV_OK) {
        member_free(b->table.arena, member);
        return status;
    }
    *added = true;
    return KV_OK;
}

static void *move_member(void *arena, void *member) { return kv_arena_move(arena, member, member_bytes(member)); }

void kv_set_compact(kv_value *v, kv_arena *a, kv_compact *step) {
    (void)a;
    kv_arena *arena = big_of(v)->table.arena;
    big *b = kv_arena_move(arena, big_of(v), sizeof *b);
    b->table.seed = &b->seed;
    v->u.ptr = b;
    kv_compact_table(step, &b->compacted, &b->table, move_member, arena);
}

/* ---- walking, with integers kept as such ---- */

bool kv_set_next_item(kv_set_iter *it, kv_lp_item *out) {
    switch (it->v->enc) {
    case KV_ENC_INTSET:
        if (it->index == it->count) return false;
        *out = kv_lp_int(kv_intset_at(block(it->v), it->index++));
        return true;
    case KV_ENC_LISTPACK:
        if (it->pos == NULL) return false;
        *out = kv_lp_get(it->pos);
        it->pos = kv_lp_next(block(it->v), it->pos);
        return true;
    default: {
        void *member = kv_table_iter_next(&it->table);
        if (member == NULL) return false;
        *out = kv_lp_str(member_text(member));
        return true;
    }
    }
}

void kv_set_iter_init(kv_set_iter *it, const kv_value *v) {
    it->v = v;
    it->pos = NULL;
    it->index = it->count = 0;
    if (v->enc == KV_ENC_INTSET) it->count = kv_intset_count(block(v));
    else if (v->enc == KV_ENC_LISTPACK) it->pos = kv_lp_first(block(v));
    else kv_table_iter_start(&it->table, &big_of(v)->table);
}

bool kv_set_next(kv_set_iter *it, kv_slice *out) {
    kv_lp_item item;
    if (!kv_set_next_item(it, &item)) return false;
    *out = kv_lp_item_text(&item, it->scratch);
    return true;
}

/* ---- conversions ---- */

static kv_status to_table(kv_value *v, kv_arena *a, size_t expected) {
    if (v->enc == KV_ENC_HASHTABLE) return KV_OK;
    size_t length = kv_set_length(v);
    big *b = big_new(a, expected > length ? expected : length);
    if (b == NULL) return KV_ENOMEM;
    kv_set_iter it;
    kv_slice text;
    bool added;
    for (kv_set_iter_init(&it, v); kv_set_next(&it, &text);) {
        if (big_add(b, text, &added) == KV_OK) continue;
        big_free(b);
        return KV_ENOMEM;
    }
    kv_set_free(v, a);
    v->enc = KV_ENC_HASHTABLE;
    v->u.ptr = b;
    return KV_OK;
}

/* An intset with `text` behind its members, as a listpack. */
static kv_status to_listpack_with(kv_value *v, kv_arena *a, kv_slice text) {
    uint8_t *lp = kv_lp_new(a);
    if (lp == NULL) return KV_ENOMEM;
    size_t count = kv_intset_count(block(v));
    for (size_t i = 0; i <= count; i++) {
        uint8_t *next = i < count ? kv_lp_append_int(a, lp, kv_intset_at(block(v), i)) : kv_lp_append(a, lp, text);
        if (next == NULL) {
            kv_lp_free(a, lp);
            return KV_ENOMEM;
        }
        lp = next;
    }
    kv_intset_free(a, block(v));
    v->enc = KV_ENC_LISTPACK;
    v->u.ptr = lp;
    return KV_OK;
}

/* The most decimal digits (with sign) of any member: the extremes have them. */
static size_t widest_int(const uint8_t *set) {
    size_t count = kv_intset_count(set);
    if (count == 0) return 0;
    char text[KV_NUM_MAX];
    size_t low = kv_format_i64(text, kv_intset_at(set, 0)), high = kv_format_i64(text, kv_intset_at(set, count - 1));
    return low > high ? low : high;
}

/* ---- life ---- */

static kv_status become(kv_value *v, kv_enc enc, void *ptr) {
    if (ptr == NULL) return KV_ENOMEM;
    v->type = KV_SET;
    v->enc = enc & 15;
    v->u.ptr = ptr;
    return KV_OK;
}

kv_status kv_set_create_empty(kv_value *v, kv_arena *a) { return become(v, KV_ENC_INTSET, kv_intset_new(a)); }

kv_status kv_set_create(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice first, size_t expected) {
    int64_t num;
    if (expected <= limits->set_max_intset_entries && kv_parse_i64(first, &num)) return kv_set_create_empty(v, a);
    if (expected <= limits->set_max_listpack_entries) return become(v, KV_ENC_LISTPACK, kv_lp_new(a));
    return become(v, KV_ENC_HASHTABLE, big_new(a, expected));
}

void kv_set_free(kv_value *v, kv_arena *a) {
    if (v->enc == KV_ENC_INTSET) kv_intset_free(a, block(v));
    else if (v->enc == KV_ENC_LISTPACK) kv_lp_free(a, block(v));
    else big_free(big_of(v));
    v->u.ptr = NULL;
}

bool kv_set_free_some(kv_value *v, kv_arena *a, size_t *budget) {
    if (v->enc == KV_ENC_HASHTABLE) {
        big *b = big_of(v);
        size_t before = kv_table_count(&b->table);
        bool more = kv_table_drain(&b->table, &b->drained, *budget, member_free, b->table.arena);
        size_t freed = before - kv_table_count(&b->table);
        *budget -= freed < *budget ? freed : *budget;
        if (more) return false;
    }
    kv_set_free(v, a);
    return true;
}

kv_status kv_set_copy(const kv_value *src, kv_value *dst, kv_arena *a) {
    if (src->enc == KV_ENC_INTSET) return become(dst, KV_ENC_INTSET, kv_intset_dup(a, block(src)));
    if (src->enc == KV_ENC_LISTPACK) return become(dst, KV_ENC_LISTPACK, kv_lp_dup(a, block(src)));
    big *b = big_new(a, kv_set_length(src));
    if (b == NULL) return KV_ENOMEM;
    kv_set_iter it;
    kv_slice text;
    bool added;
    for (kv_set_iter_init(&it, src); kv_set_next(&it, &text);) {
        if (big_add(b, text, &added) == KV_OK) continue;
        big_free(b);
        return KV_ENOMEM;
    }
    return become(dst, KV_ENC_HASHTABLE, b);
}

kv_status kv_set_rehome(kv_value *v, kv_arena *from, kv_arena *to) {
    if (v->enc == KV_ENC_HASHTABLE) {
        kv_arena_share(big_of(v)->table.arena);
        return KV_OK;
    }
    kv_value moved = *v;
    kv_status status = kv_set_copy(v, &moved, to);
    if (status != KV_OK) return status;
    kv_set_free(v, from);
    v->u.ptr = moved.u.ptr;
    return KV_OK;
}

kv_slice kv_set_table_member(const void *entry) { return member_text(entry); }

const kv_table *kv_set_table(const kv_value *v) { return v->enc == KV_ENC_HASHTABLE ? &big_of(v)->table : NULL; }

bool kv_set_check(const kv_value *v) {
    if (v->type != KV_SET || v->u.ptr == NULL) return false;
    if (v->enc == KV_ENC_INTSET) return kv_intset_check(block(v));
    if (v->enc == KV_ENC_HASHTABLE) {
        const big *b = big_of(v);
        return kv_table_kind(&b->table) == &member_type && b->table.seed == &b->seed && kv_table_check(&b->table);
    }
    if (v->enc != KV_ENC_LISTPACK || !kv_lp_check(block(v))) return false;
    for (const uint8_t *pos = kv_lp_first(block(v)); pos != NULL; pos = kv_lp_next(block(v), pos)) {
        char scratch[KV_LP_SCRATCH];
        const uint8_t *rest = kv_lp_next(block(v), pos);
        if (rest != NULL && kv_lp_find(block(v), rest, kv_lp_text(pos, scratch), 0) != NULL) return false;
    }
    return true;
}

/* ---- reading ---- */

size_t kv_set_length(const kv_value *v) {
    if (v->enc == KV_ENC_INTSET) return kv_intset_count(block(v));
    if (v->enc == KV_ENC_LISTPACK) return kv_lp_count(block(v));
    return kv_table_count(&big_of(v)->table);
}

size_t kv_set_memory(const kv_value *v, size_t samples) {
    if (v->enc == KV_ENC_INTSET) return kv_arena_good_size(kv_intset_bytes(block(v)));
    if (v->enc == KV_ENC_LISTPACK) return kv_arena_good_size(kv_lp_bytes(block(v)));
    const big *b = big_of(v);
    size_t count = kv_table_count(&b->table), seen = 0, bytes = 0;
    kv_table_iter it;
    kv_table_iter_start(&it, &b->table);
    for (void *m; (samples == 0 || seen < samples) && (m = kv_table_iter_next(&it)) != NULL; seen++)
        bytes += kv_arena_good_size(member_bytes(m));
    if (seen > 0 && seen < count) bytes = (size_t)((double)bytes / (double)seen * (double)count);
    return kv_arena_good_size(sizeof *b) + kv_table_bytes(&b->table) + bytes;
}

bool kv_set_has_item(const kv_value *v, const kv_lp_item *item) {
    int64_t num = item->num;
    if (v->enc == KV_ENC_INTSET) return (item->is_int || kv_parse_i64(item->str, &num)) && kv_intset_has(block(v), num);
    char scratch[KV_LP_SCRATCH];
    kv_slice text = kv_lp_item_text(item, scratch);
    if (v->enc == KV_ENC_LISTPACK) return kv_lp_find(block(v), kv_lp_first(block(v)), text, 0) != NULL;
    const big *b = big_of(v);
    return kv_table_find(&b->table, hash_of(b, text), text) != NULL;
}

bool kv_set_has(const kv_value *v, kv_slice member) {
    kv_lp_item item = kv_lp_str(member);
    return kv_set_has_item(v, &item);
}

bool kv_set_random(const kv_value *v, kv_rng *rng, char scratch[KV_SET_SCRATCH], kv_slice *out) {
    size_t length = kv_set_length(v);
    if (length == 0) return false;
    if (v->enc == KV_ENC_HASHTABLE) {
        *out = member_text(kv_table_random(&big_of(v)->table, rng));
        return true;
    }
    size_t index = kv_rng_below(rng, length);
    kv_lp_item item = v->enc == KV_ENC_INTSET ? kv_lp_int(kv_intset_at(block(v), index)) : kv_lp_get(kv_lp_at(block(v), (int64_t)index));
    *out = kv_lp_item_text(&item, scratch);
    return true;
}

/* Few of many: draws until `count` different ones have come, remembering their addresses in an open-addressing table that stays at most
 * half full. At most a quarter of the set is drawn, so less than 4/3 draws are needed for each on average. */
static kv_status sample_table(const kv_table *table, kv_arena *a, kv_rng *rng, size_t count, kv_set_visit visit, void *ctx) {
    size_t cap = 8;
    while (cap < count * 2) cap *= 2;
    size_t bytes = cap * sizeof(void *); /* count is at most a quarter of entries that exist: no overflow */
    void **seen = kv_arena_alloc(a, bytes);
    if (seen == NULL) return KV_ENOMEM;
    memset(seen, 0, bytes);
    for (size_t found = 0; found < count;) {
        void *member = kv_table_random(table, rng);
        size_t i = (size_t)(((uint64_t)(uintptr_t)member * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & (cap - 1);
        while (seen[i] != NULL && seen[i] != member) i = (i + 1) & (cap - 1);
        if (seen[i] == member) continue;
        seen[i] = member;
        found++;
        visit(ctx, member_text(member));
    }
    kv_arena_free(a, seen, bytes);
    return KV_OK;
}

kv_status kv_set_sample(const kv_value *v, kv_arena *a, kv_rng *rng, size_t count, kv_set_visit visit, void *ctx) {
    size_t left = kv_set_length(v);
    if (v->enc == KV_ENC_HASHTABLE && count < left / 4) return sample_table(&big_of(v)->table, a, rng, count, visit, ctx);
    /* Selection sampling: each member is taken with the chance (still wanted) / (still to come). */
    kv_set_iter it;
    kv_slice text;
    for (kv_set_iter_init(&it, v); count > 0 && kv_set_next(&it, &text); left--) {
        if (kv_rng_below(rng, left) >= count) continue;
        count--;
        visit(ctx, text);
    }
    return KV_OK;
}

typedef struct scan_state {
    kv_set_visit visit;
    void *ctx;
    size_t seen;
} scan_state;

static void scan_member(void *arg, void *member) {
    scan_state *state = arg;
    state->seen++;
    state->visit(state->ctx, member_text(member));
}

uint64_t kv_set_scan(const kv_value *v, uint64_t cursor, size_t count, kv_set_visit visit, void *ctx) {
    if (v->enc != KV_ENC_HASHTABLE) {
        kv_set_iter it;
        kv_slice text;
        for (kv_set_iter_init(&it, v); kv_set_next(&it, &text);) visit(ctx, text);
        return 0;
    }
    scan_state state = {visit, ctx, 0};
    /* A table that has lost most of its members has many empty buckets: give up after ten for each member that was asked for. */
    size_t steps = count > SIZE_MAX / 10 ? SIZE_MAX : count * 10;
    do cursor = kv_table_scan(&big_of(v)->table, cursor, scan_member, &state);
    while (cursor != 0 && state.seen < count && --steps > 0);
    return cursor;
}

/* ---- changing ---- */

kv_status kv_set_expect(kv_value *v, kv_arena *a, const kv_limits *limits, size_t more) {
    if ((v->enc == KV_ENC_LISTPACK && more > limits->set_max_listpack_entries) ||
        (v->enc == KV_ENC_INTSET && more > limits->set_max_intset_entries))
        return to_table(v, a, more);
    return KV_OK;
}

static kv_status add_to_table(kv_value *v, kv_arena *a, kv_slice member, bool *added) {
    kv_status status = to_table(v, a, kv_set_length(v) + 1);
    return status == KV_OK ? big_add(big_of(v), member, added) : status;
}

static kv_status add_to_intset(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice member, bool *added) {
    uint8_t *set = block(v);
    size_t count = kv_intset_count(set);
    int64_t num;
    if (kv_parse_i64(member, &num)) {
        if (count >= limits->set_max_intset_entries) return kv_intset_has(set, num) ? KV_OK : add_to_table(v, a, member, added);
        set = kv_intset_add(a, set, num, added);
        if (set == NULL) return KV_ENOMEM;
        v->u.ptr = set;
        return KV_OK;
    }
    size_t most = limits->set_max_listpack_value;
    size_t bytes = kv_lp_item_bytes(kv_lp_str(member));
    if (count >= limits->set_max_listpack_entries || member.len > most || widest_int(set) > most || bytes > KV_LP_MAX_BYTES / 2)
        return add_to_table(v, a, member, added);
    kv_status status = to_listpack_with(v, a, member);
    if (status == KV_OK) *added = true;
    return status;
}

kv_status kv_set_add(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice member, bool *added) {
    bool ignored;
    if (added == NULL) added = &ignored;
    *added = false;
    if (v->enc == KV_ENC_HASHTABLE) return big_add(big_of(v), member, added);
    if (v->enc == KV_ENC_INTSET) return add_to_intset(v, a, limits, member, added);
    uint8_t *lp = block(v);
    if (kv_lp_find(lp, kv_lp_first(lp), member, 0) != NULL) return KV_OK;
    if (kv_lp_count(lp) >= limits->set_max_listpack_entries || member.len > limits->set_max_listpack_value ||
        !kv_lp_fits(lp, kv_lp_item_bytes(kv_lp_str(member))))
        return add_to_table(v, a, member, added);
    lp = kv_lp_append(a, lp, member);
    if (lp == NULL) return KV_ENOMEM;
    v->u.ptr = lp;
    *added = true;
    return KV_OK;
}

kv_status kv_set_remove(kv_value *v, kv_arena *a, kv_slice member, bool *removed) {
    bool ignored;
    if (removed == NULL) removed = &ignored;
    *removed = false;
    if (v->enc == KV_ENC_HASHTABLE) {
        big *b = big_of(v);
        void *gone = kv_table_remove(&b->table, hash_of(b, member), member);
        if (gone == NULL) return KV_OK;
        *removed = true;
        member_free(b->table.arena, gone);
        return KV_OK;
    }
    uint8_t *small;
    if (v->enc == KV_ENC_INTSET) {
        int64_t num;
        if (!kv_parse_i64(member, &num)) return KV_OK;
        small = kv_intset_remove(a, block(v), num, removed);
    } else {
        const uint8_t *pos = kv_lp_find(block(v), kv_lp_first(block(v)), member, 0);
        if (pos == NULL) return KV_OK;
        small = kv_lp_delete(a, block(v), pos, NULL);
        *removed = small != NULL;
    }
    if (small == NULL) return KV_ENOMEM;
    v->u.ptr = small;
    return KV_OK;
}

kv_status kv_set_draft(const kv_value *v, kv_arena *a, kv_value *draft) {
    *draft = *v;
    return v->enc == KV_ENC_HASHTABLE ? KV_OK : kv_set_copy(v, draft, a);
}

void kv_set_draft_end(kv_value *v, kv_arena *a, kv_value *draft, bool keep) {
    if (draft->u.ptr == v->u.ptr) return;
    kv_value dropped = keep ? *v : *draft;
    if (keep) {
        v->enc = draft->enc;
        v->u = draft->u;
    }
    kv_set_free(&dropped, a);
}

/* Adding to a table can fail, taking back cannot: what was new is marked, a bit a member. */
static kv_status add_many_to_table(big *b, const kv_slice *members, size_t count, size_t *added) {
    kv_arena *a = b->table.arena;
    uint8_t few[64] = {0}, *fresh = few;
    size_t bytes = count / 8 + 1, new_ones = 0;
    if (bytes > sizeof few) {
        fresh = kv_arena_alloc(a, bytes);
        if (fresh == NULL) return KV_ENOMEM;
        memset(fresh, 0, bytes);
    }
    kv_status status = KV_OK;
    for (size_t i = 0; status == KV_OK && i < count; i++) {
        bool is_new = false;
        status = big_add(b, members[i], &is_new);
        if (is_new) fresh[i / 8] |= (uint8_t)(1u << (i % 8));
        new_ones += is_new;
    }
    for (size_t i = 0; status != KV_OK && i < count; i++)
        if ((fresh[i / 8] >> (i % 8) & 1) != 0) member_free(a, kv_table_remove(&b->table, hash_of(b, members[i]), members[i]));
    if (fresh != few) kv_arena_free(a, fresh, bytes);
    if (status == KV_OK) *added = new_ones;
    return status;
}

/* Several changes of a small form are made in a copy, which then takes its place; the copy may become a table on the way. */
kv_status kv_set_add_many(kv_value *v, kv_arena *a, const kv_limits *limits, const kv_slice *members, size_t count, size_t *added) {
    bool one = false;
    *added = 0;
    if (count == 1) {
        kv_status status = kv_set_add(v, a, limits, members[0], &one);
        *added = one;
        return status;
    }
    if (v->enc == KV_ENC_HASHTABLE) return add_many_to_table(big_of(v), members, count, added);
    kv_value copy = *v;
    kv_status status = kv_set_copy(v, &copy, a);
    if (status != KV_OK) return status;
    size_t new_ones = 0;
    for (size_t i = 0; status == KV_OK && i < count; i++) {
        status = kv_set_add(&copy, a, limits, members[i], &one);
        new_ones += one;
    }
    kv_set_free(status == KV_OK ? v : &copy, a);
    if (status != KV_OK) return status;
    *v = copy;
    *added = new_ones;
    return KV_OK;
}

kv_status kv_set_remove_many(kv_value *v, kv_arena *a, const kv_slice *members, size_t count, size_t *removed) {
    bool one, small = v->enc != KV_ENC_HASHTABLE && count > 1;
    *removed = 0;
    kv_value copy = *v;
    kv_status status = small ? kv_set_copy(v, &copy, a) : KV_OK;
    if (status != KV_OK) return status;
    size_t gone = 0;
    for (size_t i = 0; status == KV_OK && i < count && kv_set_length(&copy) > 0; i++) {
        status = kv_set_remove(&copy, a, members[i], &one);
        gone += one;
    }
    if (small) kv_set_free(status == KV_OK ? v : &copy, a);
    if (status != KV_OK) return status;
    *v = copy;
    *removed = gone;
    return KV_OK;
}

/* ---- loading ---- */

kv_status kv_set_load_intset(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice bytes) {
    kv_value loaded = *v;
    kv_status status = become(&loaded, KV_ENC_INTSET, kv_intset_dup(a, bytes.ptr));
    if (status != KV_OK) return status;
    if (kv_set_length(&loaded) > limits->set_max_intset_entries) status = to_table(&loaded, a, 0);
    if (status != KV_OK) kv_set_free(&loaded, a);
    else *v = loaded;
    return status;
}

kv_status kv_set_load_listpack(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice bytes) {
    kv_value loaded = *v;
    kv_status status = become(&loaded, KV_ENC_LISTPACK, kv_lp_dup(a, bytes.ptr));
    if (status != KV_OK) return status;
    if (kv_set_length(&loaded) > limits->set_max_listpack_entries) status = to_table(&loaded, a, 0);
    if (status != KV_OK) kv_set_free(&loaded, a);
    else *v = loaded;
    return status;
}
