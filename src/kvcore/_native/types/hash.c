/* Hashes: the choice between the two forms, and the small one.
 *
 *     listpack    [field][value][field][value]...    in the order of insertion; no expiries
 *     table       hash_big.c
 *
 * A hash turns into a table when it has more than hash-max-listpack-entries fields, a field or value longer than hash-max-listpack-value, or when
 * a field gets an expiry. It never turns back. Invariants of the small form: an even number of items, no field twice. */
#include "types/hash.h"

#include "base/num.h"
#include "types/hash_big.h"
#include "types/pairs.h"

static bool is_small(const kv_value *v) { return v->enc == KV_ENC_LISTPACK; }
static uint8_t *small_of(const kv_value *v) { return v->u.ptr; }
static kv_hash_big *big_of(const kv_value *v) { return v->u.ptr; }

/* ---- the small form ---- */

static const uint8_t *small_find(const uint8_t *lp, kv_slice field) {
    const uint8_t *first = kv_lp_first(lp);
    return first == NULL ? NULL : kv_lp_find(lp, first, field, 1);
}

/* Reads the pair at `pos` and returns the place of the next. */
static const uint8_t *small_read(const uint8_t *lp, const uint8_t *pos, kv_hash_item *out) {
    const uint8_t *value = kv_lp_next(lp, pos);
    out->field = kv_lp_text(pos, out->field_scratch);
    out->value = kv_lp_text(value, out->value_scratch);
    out->expiry_ms = KV_HASH_NO_EXPIRY;
    return kv_lp_next(lp, value);
}

static kv_status small_put(kv_value *v, kv_arena *a, const uint8_t *pos, kv_slice field, kv_slice value) {
    uint8_t *lp = small_of(v);
    if (pos != NULL) {
        lp = kv_lp_replace(a, lp, kv_lp_next(lp, pos), value, NULL);
    } else {
        kv_lp_item pair[2] = {kv_lp_str(field), kv_lp_str(value)};
        lp = kv_lp_splice(a, lp, NULL, 0, pair, 2, NULL);
    }
    if (lp == NULL) return KV_ENOMEM;
    v->u.ptr = lp;
    return KV_OK;
}

static void destroy_big(kv_hash_big *big) {
    size_t budget = SIZE_MAX;
    while (!kv_hash_big_free_some(big, &budget)) budget = SIZE_MAX;
}

/* A table with the pairs of `lp`, which stays. NULL: out of memory, or a field came twice (*twice). */
static kv_hash_big *table_of(const uint8_t *lp, kv_arena *a, bool *twice) {
    *twice = false;
    kv_hash_big *big = kv_hash_big_new(a, kv_lp_count(lp) / 2 + 1);
    if (big == NULL) return NULL;
    kv_hash_item item;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL;) {
        pos = small_read(lp, pos, &item);
        *twice = kv_hash_big_get(big, item.field, NULL);
        if (*twice || kv_hash_big_put(big, item.field, item.value, KV_HASH_NO_EXPIRY, KV_HASH_ALL, NULL) != KV_OK) {
            destroy_big(big);
            return NULL;
        }
    }
    return big;
}

static kv_status to_big(kv_value *v, kv_arena *a) {
    if (!is_small(v)) return KV_OK;
    bool twice;
    kv_hash_big *big = table_of(small_of(v), a, &twice);
    if (big == NULL) return KV_ENOMEM;
    kv_lp_free(a, small_of(v));
    v->u.ptr = big;
    v->enc = KV_ENC_HASHTABLE;
    return KV_OK;
}

/* ---- whole values ---- */

kv_status kv_hash_create(kv_value *v, kv_arena *a) {
    uint8_t *lp = kv_lp_new(a);
    if (lp == NULL) return KV_ENOMEM;
    v->type = KV_HASH;
    v->enc = KV_ENC_LISTPACK;
    v->u.ptr = lp;
    return KV_OK;
}

static bool fits_limits(const uint8_t *lp, const kv_limits *limits) {
    if (kv_lp_count(lp) / 2 > limits->hash_max_listpack_entries) return false;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL; pos = kv_lp_next(lp, pos)) {
        kv_lp_item item = kv_lp_get(pos);
        if (!item.is_int && item.str.len > limits->hash_max_listpack_value) return false;
    }
    return true;
}

kv_status kv_hash_adopt_listpack(kv_value *v, kv_arena *a, const kv_limits *limits, uint8_t *lp) {
    size_t items = kv_lp_count(lp);
    if (items == 0 || items % 2 != 0) return KV_ECORRUPT;
    if (fits_limits(lp, limits)) {
        kv_status status = kv_pairs_check(lp, a);
        if (status != KV_OK) return status;
        v->enc = KV_ENC_LISTPACK;
        v->u.ptr = lp;
    } else {
        bool twice;
        kv_hash_big *big = table_of(lp, a, &twice);
        if (big == NULL) return twice ? KV_ECORRUPT : KV_ENOMEM;
        kv_lp_free(a, lp);
        v->enc = KV_ENC_HASHTABLE;
        v->u.ptr = big;
    }
    v->type = KV_HASH;
    return KV_OK;
}

bool kv_hash_free_some(kv_value *v, kv_arena *a, size_t *budget) {
    if (!is_small(v)) return kv_hash_big_free_some(big_of(v), budget);
    if (*budget == 0) return false;
    *budget -= 1;
    kv_lp_free(a, small_of(v));
    return true;
}

void kv_hash_free(kv_value *v, kv_arena *a) {
    size_t budget = SIZE_MAX;
    while (!kv_hash_free_some(v, a, &budget)) budget = SIZE_MAX;
    v->u.ptr = NULL;
}

kv_status kv_hash_copy(const kv_value *src, kv_value *dst, kv_arena *a) {
    void *copy = is_small(src) ? (void *)kv_lp_dup(a, small_of(src)) : (void *)kv_hash_big_copy(big_of(src), a);
    if (copy == NULL) return KV_ENOMEM;
    dst->type = KV_HASH;
    dst->enc = src->enc;
    dst->u.ptr = copy;
    return KV_OK;
}

kv_status kv_hash_rehome(kv_value *v, kv_arena *from, kv_arena *to) {
    if (from == to) return KV_OK;
    if (!is_small(v)) {
        kv_arena_share(kv_hash_big_arena(big_of(v)));
        return KV_OK;
    }
    uint8_t *copy = kv_lp_dup(to, small_of(v));
    if (copy == NULL) return KV_ENOMEM;
    kv_lp_free(from, small_of(v));
    v->u.ptr = copy;
    return KV_OK;
}

void kv_hash_compact(kv_value *v, kv_arena *a, kv_compact *step) {
    (void)a;
    v->u.ptr = kv_hash_big_compact(big_of(v), step);
}

size_t kv_hash_length(const kv_value *v) { return is_small(v) ? kv_lp_count(small_of(v)) / 2 : kv_hash_big_count(big_of(v)); }

size_t kv_hash_memory(const kv_value *v, size_t samples) {
    return is_small(v) ? kv_arena_good_size(kv_lp_bytes(small_of(v))) : kv_hash_big_memory(big_of(v), samples);
}

const kv_table *kv_hash_table(const kv_value *v) { return v->enc == KV_ENC_HASHTABLE ? kv_hash_big_table(big_of(v)) : NULL; }
void kv_hash_table_show(const kv_value *v, const void *entry, kv_hash_item *out) { kv_hash_big_show(big_of(v), entry, out); }

bool kv_hash_check(const kv_value *v) {
    if (v->type != KV_HASH) return false;
    if (v->enc == KV_ENC_HASHTABLE) return kv_hash_big_check(big_of(v));
    if (v->enc != KV_ENC_LISTPACK || !kv_lp_check(small_of(v))) return false;
    const uint8_t *lp = small_of(v);
    if (kv_lp_count(lp) % 2 != 0) return false;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL;) {
        kv_hash_item item;
        const uint8_t *next = small_read(lp, pos, &item);
        if (next != NULL && kv_lp_find(lp, next, item.field, 1) != NULL) return false; /* a field twice */
        pos = next;
    }
    return true;
}

kv_status kv_hash_prepare(kv_value *v, kv_arena *a, const kv_limits *limits, size_t fields, size_t longest) {
    if (!is_small(v)) return KV_OK;
    if (fields <= limits->hash_max_listpack_entries && longest <= limits->hash_max_listpack_value) return KV_OK;
    return to_big(v, a);
}

/* ---- one field ---- */

bool kv_hash_get(const kv_value *v, kv_slice field, int64_t now_ms, kv_hash_item *out) {
    if (!is_small(v)) return kv_hash_big_get(big_of(v), field, out) && out->expiry_ms > now_ms;
    const uint8_t *pos = small_find(small_of(v), field);
    if (pos == NULL) return false;
    out->value = kv_lp_text(kv_lp_next(small_of(v), pos), out->value_scratch);
    out->expiry_ms = KV_HASH_NO_EXPIRY;
    return true;
}

/* May the pair go into the listpack? `added`: it is a new field. */
static bool pair_fits(const uint8_t *lp, const kv_limits *limits, kv_slice field, kv_slice value, bool added) {
    size_t longest = field.len > value.len ? field.len : value.len;
    return longest <= limits->hash_max_listpack_value && (!added || kv_lp_count(lp) / 2 < limits->hash_max_listpack_entries) &&
           kv_lp_fits(lp, kv_lp_item_bytes(kv_lp_str(field)) + kv_lp_item_bytes(kv_lp_str(value)));
}

static kv_status set_small(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice field, kv_slice value, kv_hash_change *change,
                           bool *done) {
    const uint8_t *pos = small_find(small_of(v), field);
    *done = pair_fits(small_of(v), limits, field, value, pos == NULL);
    if (!*done) return to_big(v, a);
    change->created = pos == NULL;
    return small_put(v, a, pos, field, value);
}

kv_status kv_hash_set(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice field, kv_slice value, int64_t expiry_ms, int64_t now_ms,
                      kv_hash_change *out) {
    kv_hash_change change = {false, false};
    bool volatile_field = expiry_ms != KV_HASH_NO_EXPIRY && expiry_ms != KV_HASH_KEEP_EXPIRY;
    kv_status status = KV_OK;
    bool done = false;
    if (is_small(v)) status = volatile_field ? to_big(v, a) : set_small(v, a, limits, field, value, &change, &done);
    if (status == KV_OK && !done) status = kv_hash_big_put(big_of(v), field, value, expiry_ms, now_ms, &change);
    if (status == KV_OK && out != NULL) *out = change;
    return status;
}

kv_status kv_hash_delete(kv_value *v, kv_arena *a, kv_slice field, int64_t now_ms) {
    if (!is_small(v)) return kv_hash_big_delete(big_of(v), field, now_ms);
    const uint8_t *pos = small_find(small_of(v), field);
    if (pos == NULL) return KV_ENOTFOUND;
    uint8_t *lp = kv_lp_splice(a, small_of(v), pos, 2, NULL, 0, NULL);
    if (lp == NULL) return KV_ENOMEM;
    v->u.ptr = lp;
    return KV_OK;
}

kv_status kv_hash_set_expiry(kv_value *v, kv_arena *a, kv_slice field, int64_t expiry_ms, int64_t now_ms) {
    kv_hash_item item;
    if (!kv_hash_get(v, field, now_ms, &item)) return KV_ENOTFOUND;
    if (is_small(v)) {
        if (expiry_ms == KV_HASH_NO_EXPIRY) return KV_OK;
        kv_status status = to_big(v, a);
        if (status != KV_OK) return status;
    }
    return kv_hash_big_set_expiry(big_of(v), field, expiry_ms);
}

/* ---- several fields as one change ---- */

kv_status kv_hash_edit_begin(kv_hash_edit *e, kv_value *v, kv_arena *a, size_t steps) {
    e->v = e->now = v;
    e->arena = a;
    e->steps = NULL;
    e->made = e->room = 0;
    if (steps <= 1) return KV_OK;
    if (is_small(v)) {
        e->copy = *v;
        e->copy.u.ptr = kv_lp_dup(a, small_of(v));
        if (e->copy.u.ptr == NULL) return KV_ENOMEM;
        e->now = &e->copy;
        return KV_OK;
    }
    e->room = steps;
    if (steps <= KV_HASH_EDIT_INLINE) e->steps = e->few;
    return KV_OK;
}

/* Where a step in a table notes what was; NULL: no memory. Many notes are made room for when the first is due: deleting needs none. */
static kv_hash_was *next_note(kv_hash_edit *e) {
    size_t bytes;
    if (e->steps == NULL) e->steps = kv_mul_size(e->room, sizeof *e->steps, &bytes) ? kv_arena_alloc(e->arena, bytes) : NULL;
    return e->steps == NULL ? NULL : &e->steps[e->made];
}

kv_status kv_hash_edit_set(kv_hash_edit *e, const kv_limits *limits, kv_slice field, kv_slice value, int64_t expiry_ms, int64_t now_ms,
                           kv_hash_change *out) {
    if (e->room == 0) return kv_hash_set(e->now, e->arena, limits, field, value, expiry_ms, now_ms, out);
    kv_hash_was *was = next_note(e);
    if (was == NULL) return KV_ENOMEM;
    kv_status status = kv_hash_big_try_put(big_of(e->v), field, value, expiry_ms, now_ms, out, was);
    e->made += status == KV_OK;
    return status;
}

kv_status kv_hash_edit_delete(kv_hash_edit *e, kv_slice field, int64_t now_ms) { return kv_hash_delete(e->now, e->arena, field, now_ms); }

kv_status kv_hash_edit_set_expiry(kv_hash_edit *e, kv_slice field, int64_t expiry_ms, int64_t now_ms) {
    if (e->room == 0) return kv_hash_set_expiry(e->now, e->arena, field, expiry_ms, now_ms);
    kv_hash_item item;
    if (!kv_hash_get(e->v, field, now_ms, &item)) return KV_ENOTFOUND;
    kv_hash_was *was = next_note(e);
    if (was == NULL) return KV_ENOMEM;
    kv_status status = kv_hash_big_try_expiry(big_of(e->v), field, expiry_ms, was);
    e->made += status == KV_OK;
    return status;
}

void kv_hash_edit_end(kv_hash_edit *e, bool keep) {
    if (e->now == &e->copy) {
        kv_value *dropped = keep ? e->v : &e->copy;
        void *block = e->copy.u.ptr;
        kv_enc enc = (kv_enc)e->copy.enc;
        kv_hash_free(dropped, e->arena);
        if (!keep) return;
        e->v->enc = enc & 15;
        e->v->u.ptr = block;
        return;
    }
    if (e->steps == NULL) return; /* nothing was noted */
    for (size_t i = 0; keep && i < e->made; i++) kv_hash_big_confirm(big_of(e->v), &e->steps[i]);
    for (size_t i = e->made; !keep && i > 0; i--) kv_hash_big_take_back(big_of(e->v), &e->steps[i - 1]);
    if (e->steps != e->few) kv_arena_free(e->arena, e->steps, e->room * sizeof *e->steps);
}

/* What a small hash is to become: values that are replaced, by position, and pairs that are appended. */
typedef struct rewrite {
    size_t patch_count, tail_count;
    kv_lp_patch patches[KV_HASH_EDIT_INLINE];
    kv_lp_item tail[2 * KV_HASH_EDIT_INLINE];
} rewrite;

/* A field that comes again has its last value. */
static void plan_patch(rewrite *w, const uint8_t *pos, kv_slice value) {
    size_t at = w->patch_count;
    while (at > 0 && w->patches[at - 1].pos > pos) at--;
    if (at == 0 || w->patches[at - 1].pos != pos) {
        memmove(w->patches + at + 1, w->patches + at, (w->patch_count - at) * sizeof *w->patches);
        w->patch_count++;
    } else {
        at--;
    }
    w->patches[at] = (kv_lp_patch){pos, kv_lp_str(value)};
}

static void plan_tail(rewrite *w, kv_slice field, kv_slice value) {
    size_t at = 0;
    while (at < w->tail_count && (w->tail[at].str.len != field.len || !kv_slice_eq(w->tail[at].str, field))) at += 2;
    if (at == w->tail_count) {
        w->tail[at] = kv_lp_str(field);
        w->tail_count += 2;
    }
    w->tail[at + 1] = kv_lp_str(value);
}

/* Sets a few pairs in a listpack that stays one, with one allocation at most. False: it would not stay one, or there are more than a few. */
static bool rewrite_small(kv_value *v, kv_arena *a, const kv_limits *limits, const kv_slice *pairs, size_t count, kv_status *status,
                          size_t *created) {
    if (count > KV_HASH_EDIT_INLINE) return false;
    uint8_t *lp = small_of(v);
    size_t longest = 0, bytes = 40 * count; /* more than the lengths of an item take */
    for (size_t i = 0; i < 2 * count; i++) {
        if (pairs[i].len > longest) longest = pairs[i].len;
        if (!kv_add_size(bytes, pairs[i].len, &bytes)) return false;
    }
    if (longest > limits->hash_max_listpack_value || !kv_lp_fits(lp, bytes)) return false;
    rewrite w;
    w.patch_count = w.tail_count = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *pos = small_find(lp, pairs[2 * i]);
        if (pos != NULL) plan_patch(&w, kv_lp_next(lp, pos), pairs[2 * i + 1]);
        else plan_tail(&w, pairs[2 * i], pairs[2 * i + 1]);
    }
    if (kv_lp_count(lp) / 2 + w.tail_count / 2 > limits->hash_max_listpack_entries) return false;
    *created = w.tail_count / 2;
    lp = kv_lp_rewrite(a, lp, w.patches, w.patch_count, w.tail, w.tail_count);
    *status = lp == NULL ? KV_ENOMEM : KV_OK;
    if (lp != NULL) v->u.ptr = lp;
    return true;
}

kv_status kv_hash_set_several(kv_value *v, kv_arena *a, const kv_limits *limits, const kv_slice *pairs, size_t count, int64_t expiry_ms,
                              int64_t now_ms, kv_hash_changes *out) {
    kv_status status;
    kv_hash_changes all = {0, false};
    kv_hash_change one;
    bool keeps_small = expiry_ms == KV_HASH_NO_EXPIRY || expiry_ms == KV_HASH_KEEP_EXPIRY;
    if (is_small(v) && keeps_small && rewrite_small(v, a, limits, pairs, count, &status, &all.created)) {
        if (status == KV_OK) *out = all;
        return status;
    }
    kv_hash_edit e;
    status = kv_hash_edit_begin(&e, v, a, count);
    if (status != KV_OK) return status;
    for (size_t i = 0; i < count && status == KV_OK; i++) {
        status = kv_hash_edit_set(&e, limits, pairs[2 * i], pairs[2 * i + 1], expiry_ms, now_ms, &one);
        all.created += status == KV_OK && one.created;
        all.expired |= status == KV_OK && one.expired;
    }
    kv_hash_edit_end(&e, status == KV_OK);
    if (status == KV_OK) *out = all;
    return status;
}

/* ---- expiry ---- */

int64_t kv_hash_next_expiry(const kv_value *v) { return is_small(v) ? INT64_MAX : kv_hash_big_next_expiry(big_of(v)); }
size_t kv_hash_volatile_count(const kv_value *v) { return is_small(v) ? 0 : kv_hash_big_volatile(big_of(v)); }
size_t kv_hash_expired_count(const kv_value *v, int64_t now_ms) { return is_small(v) ? 0 : kv_hash_big_expired(big_of(v), now_ms); }

size_t kv_hash_expire_due(kv_value *v, kv_arena *a, int64_t now_ms, size_t budget, kv_hash_expired_fn fn, void *ctx) {
    (void)a; /* tables remember where they live */
    return is_small(v) ? 0 : kv_hash_big_expire_due(big_of(v), now_ms, budget, fn, ctx);
}

/* ---- all fields ---- */

void kv_hash_iter_init(kv_hash_iter *it, const kv_value *v, int64_t now_ms) {
    *it = (kv_hash_iter){.v = v, .now_ms = now_ms};
    if (is_small(v)) it->pos = kv_lp_first(small_of(v));
    else kv_hash_big_iter_init(&it->at, big_of(v));
}

bool kv_hash_iter_next(kv_hash_iter *it, kv_hash_item *out) {
    if (is_small(it->v)) {
        if (it->pos == NULL) return false;
        it->pos = small_read(small_of(it->v), it->pos, out);
        return true;
    }
    while (kv_hash_big_iter_next(&it->at, big_of(it->v), out))
        if (out->expiry_ms > it->now_ms) return true;
    return false;
}

uint64_t kv_hash_scan(const kv_value *v, uint64_t cursor, size_t count, int64_t now_ms, kv_hash_item_fn fn, void *ctx) {
    if (!is_small(v)) return kv_hash_big_scan(big_of(v), cursor, count, now_ms, fn, ctx);
    const uint8_t *lp = small_of(v);
    kv_hash_item item;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL;) {
        pos = small_read(lp, pos, &item);
        fn(ctx, &item);
    }
    return 0;
}

/* With few expired fields a handful of tries finds a visible one; with many, one walk picks the n-th visible field. */
static bool random_big(const kv_value *v, kv_rng *rng, int64_t now_ms, kv_hash_item *out) {
    for (int attempt = 0; attempt < 16; attempt++) {
        if (!kv_hash_big_random(big_of(v), rng, out)) return false;
        if (out->expiry_ms > now_ms) return true;
    }
    size_t visible = kv_hash_length(v) - kv_hash_expired_count(v, now_ms);
    if (visible == 0) return false;
    uint64_t skip = kv_rng_below(rng, visible);
    kv_hash_iter it;
    kv_hash_iter_init(&it, v, now_ms);
    while (kv_hash_iter_next(&it, out))
        if (skip-- == 0) return true;
    return false;
}

bool kv_hash_random(const kv_value *v, kv_rng *rng, int64_t now_ms, kv_hash_item *out) {
    if (!is_small(v)) return random_big(v, rng, now_ms, out);
    const uint8_t *lp = small_of(v);
    size_t count = kv_lp_count(lp) / 2;
    if (count == 0) return false;
    small_read(lp, kv_lp_at(lp, (int64_t)(2 * kv_rng_below(rng, count))), out);
    return true;
}
