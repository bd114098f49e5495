/* Sorted sets: the choice between the two forms, and the small one.
 *
 *     listpack    [member][score][member][score]...    ascending by (score, bytes of the member)
 *     skiplist    zset_big.c
 *
 * A set turns into a skiplist when it has more than zset-max-listpack-entries members or one longer than zset-max-listpack-value, and never turns
 * back. In a listpack a score is the shortest text that reads back as the same double (whole numbers become listpack integers; -0 becomes 0).
 * Invariants of the small form: an even number of items, scores that are numbers, strictly ascending, no member twice. */
#include "types/zset.h"

#include "base/num.h"
#include "types/pairs.h"
#include "types/zset_big.h"

static bool is_small(const kv_value *v) { return v->enc == KV_ENC_LISTPACK; }
static uint8_t *small_of(const kv_value *v) { return v->u.ptr; }
static kv_zset_big *big_of(const kv_value *v) { return v->u.ptr; }

/* ---- the small form ---- */

typedef struct score_text {
    char text[KV_DOUBLE_MAX];
} score_text;

static kv_lp_item score_item(double score, score_text *buffer) {
    if (score == 0) return kv_lp_int(0);
    return kv_lp_str(kv_slice_of(buffer->text, kv_format_double(buffer->text, score)));
}

/* False: the item is no number (only possible in bytes from outside). */
static bool score_at(const uint8_t *pos, double *score) {
    kv_lp_item item = kv_lp_get(pos);
    if (!item.is_int) return kv_parse_double(item.str, score);
    *score = (double)item.num;
    return true;
}

static double small_score(const uint8_t *pos) {
    double score = 0;
    bool fine = score_at(pos, &score);
    (void)fine; /* checked on the way in */
    return score;
}

static const uint8_t *small_find(const uint8_t *lp, kv_slice member) {
    const uint8_t *first = kv_lp_first(lp);
    return first == NULL ? NULL : kv_lp_find(lp, first, member, 1);
}

static void small_read(const uint8_t *lp, const uint8_t *pos, kv_zset_item *out) {
    out->member = kv_lp_text(pos, out->scratch);
    out->score = small_score(kv_lp_next(lp, pos));
}

static int compare(double score_a, kv_slice a, double score_b, kv_slice b) {
    if (score_a != score_b) return score_a < score_b ? -1 : 1;
    return kv_slice_cmp(a, b);
}

/* Where a member that is not in `lp` belongs: before the returned position, NULL for the end. */
static const uint8_t *small_place(const uint8_t *lp, kv_slice member, double score) {
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL; pos = kv_lp_next(lp, kv_lp_next(lp, pos))) {
        double other = small_score(kv_lp_next(lp, pos));
        if (other < score) continue;
        if (other > score) return pos;
        char scratch[KV_LP_SCRATCH];
        if (kv_slice_cmp(kv_lp_text(pos, scratch), member) > 0) return pos;
    }
    return NULL;
}

static uint8_t *small_insert(kv_arena *a, uint8_t *lp, kv_slice member, double score) {
    score_text buffer;
    kv_lp_item pair[2] = {kv_lp_str(member), score_item(score, &buffer)};
    return kv_lp_splice(a, lp, small_place(lp, member, score), 0, pair, 2, NULL);
}

/* Does the pair at `pos` stay where it is with another score? */
static bool keeps_place(const uint8_t *lp, const uint8_t *pos, kv_slice member, double score) {
    kv_zset_item other;
    const uint8_t *left = kv_lp_prev(lp, pos), *right = kv_lp_next(lp, kv_lp_next(lp, pos));
    if (left != NULL) {
        small_read(lp, kv_lp_prev(lp, left), &other);
        if (compare(other.score, other.member, score, member) > 0) return false;
    }
    if (right != NULL) {
        small_read(lp, right, &other);
        if (compare(other.score, other.member, score, member) < 0) return false;
    }
    return true;
}

/* Gives the pair at `pos` another score. A move takes two changes, either of which may fail: they are made on a copy, so that a failure leaves the set
 * whole; unless the set is `passing`, a copy itself, and of no use after a failure. */
static kv_status small_rescore(kv_value *v, kv_arena *a, const uint8_t *pos, kv_slice member, double score, bool passing) {
    score_text buffer;
    uint8_t *lp = small_of(v), *next;
    if (keeps_place(lp, pos, member, score)) {
        kv_lp_item item = score_item(score, &buffer);
        next = kv_lp_splice(a, lp, kv_lp_next(lp, pos), 1, &item, 1, NULL);
        if (next != NULL) v->u.ptr = next;
        return next == NULL ? KV_ENOMEM : KV_OK;
    }
    uint8_t *work = passing ? lp : kv_lp_dup(a, lp);
    if (work == NULL) return KV_ENOMEM;
    next = kv_lp_splice(a, work, work + (pos - lp), 2, NULL, 0, NULL);
    if (next != NULL) {
        work = next;
        if (passing) v->u.ptr = work;
        next = small_insert(a, work, member, score);
    }
    if (next == NULL) {
        if (!passing) kv_lp_free(a, work);
        return KV_ENOMEM;
    }
    if (!passing) kv_lp_free(a, lp);
    v->u.ptr = next;
    return KV_OK;
}

static kv_zset_ranks small_range(const uint8_t *lp, const kv_zrange *range) {
    kv_zset_ranks ranks = {0, 0};
    size_t rank = 0;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL; rank++) {
        pos = kv_lp_next(lp, pos);
        bool inside = kv_zrange_has(range, small_score(pos));
        pos = kv_lp_next(lp, pos);
        if (!inside && ranks.end != 0) break;
        if (!inside) continue;
        if (ranks.end == 0) ranks.first = rank;
        ranks.end = rank + 1;
    }
    return ranks;
}

static bool member_in(const uint8_t *pos, const kv_lex_range *range) {
    char scratch[KV_LP_SCRATCH];
    return kv_lex_range_has(range, kv_lp_text(pos, scratch));
}

static const uint8_t *pair_before(const uint8_t *lp, const uint8_t *pos) {
    const uint8_t *score = kv_lp_prev(lp, pos);
    return score == NULL ? NULL : kv_lp_prev(lp, score);
}

/* The search passes members until one is on the near side of the range's far bound, and takes members from there to the far bound. With equal scores
 * that is the range; with differing ones it is what servers do, first looking whether the outermost members leave anything to find. */
static kv_zset_ranks small_lex(const uint8_t *lp, const kv_lex_range *range, bool reverse) {
    kv_zset_ranks none = {0, 0};
    const kv_lex_range above = {range->min, {KV_LEX_MAX, {NULL, 0}}}, below = {{KV_LEX_MIN, {NULL, 0}}, range->max};
    const uint8_t *head = kv_lp_first(lp);
    if (head == NULL) return none;
    const uint8_t *tail = kv_lp_prev(lp, kv_lp_last(lp));
    if (!member_in(head, &below) || !member_in(tail, &above)) return none;
    const kv_lex_range *enter = reverse ? &below : &above, *stay = reverse ? &above : &below;
    const uint8_t *pos = reverse ? tail : head;
    size_t passed = 0, taken = 0;
    for (; pos != NULL && !member_in(pos, enter); passed++) pos = reverse ? pair_before(lp, pos) : kv_lp_next(lp, kv_lp_next(lp, pos));
    for (; pos != NULL && member_in(pos, stay); taken++) pos = reverse ? pair_before(lp, pos) : kv_lp_next(lp, kv_lp_next(lp, pos));
    if (!reverse) return taken == 0 ? none : (kv_zset_ranks){passed, passed + taken};
    size_t end = kv_lp_count(lp) / 2 - passed;
    return taken == 0 ? none : (kv_zset_ranks){end - taken, end};
}

/* ---- turning into a skiplist ---- */

static void destroy_big(kv_zset_big *big) {
    size_t budget = SIZE_MAX;
    while (!kv_zset_big_free_some(big, &budget)) budget = SIZE_MAX;
}

/* A skiplist with the pairs of `lp`, which stays; there is room for `more` besides. */
static kv_status big_from(const uint8_t *lp, kv_arena *a, size_t more, kv_zset_big **out) {
    kv_zset_big *big = kv_zset_big_new(a, kv_lp_count(lp) / 2 + more);
    if (big == NULL) return KV_ENOMEM;
    kv_status status = KV_OK;
    kv_zset_item item;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL && status == KV_OK; pos = kv_lp_next(lp, kv_lp_next(lp, pos))) {
        double old;
        small_read(lp, pos, &item);
        status = kv_zset_big_score(big, item.member, &old) ? KV_ECORRUPT : kv_zset_big_insert(big, item.member, item.score);
    }
    if (status == KV_OK) *out = big;
    else destroy_big(big);
    return status;
}

static kv_status to_big(kv_value *v, kv_arena *a) {
    if (!is_small(v)) return KV_OK;
    kv_zset_big *big = NULL;
    kv_status status = big_from(small_of(v), a, 1, &big);
    if (status != KV_OK) return status;
    kv_lp_free(a, small_of(v));
    v->u.ptr = big;
    v->enc = KV_ENC_SKIPLIST;
    return KV_OK;
}

/* ---- whole values ---- */

kv_status kv_zset_create(kv_value *v, kv_arena *a, const kv_limits *limits, size_t members, size_t longest) {
    bool small = limits->zset_max_listpack_entries != 0 && members <= limits->zset_max_listpack_entries &&
                 longest <= limits->zset_max_listpack_value;
    void *fresh = small ? (void *)kv_lp_new(a) : (void *)kv_zset_big_new(a, members);
    if (fresh == NULL) return KV_ENOMEM;
    v->type = KV_ZSET;
    v->enc = small ? KV_ENC_LISTPACK : KV_ENC_SKIPLIST;
    v->u.ptr = fresh;
    return KV_OK;
}

/* Even, not empty, scores that are numbers, ascending. *fits: within the limits. */
static bool in_order(const uint8_t *lp, const kv_limits *limits, bool *fits) {
    size_t items = kv_lp_count(lp);
    if (items == 0 || items % 2 != 0) return false;
    *fits = items / 2 <= limits->zset_max_listpack_entries;
    kv_zset_item pair[2];
    const kv_zset_item *last = NULL;
    unsigned turn = 0;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL; turn ^= 1) {
        kv_zset_item *now = &pair[turn];
        now->member = kv_lp_text(pos, now->scratch);
        pos = kv_lp_next(lp, pos);
        if (!score_at(pos, &now->score)) return false;
        pos = kv_lp_next(lp, pos);
        if (last != NULL && compare(last->score, last->member, now->score, now->member) >= 0) return false;
        if (now->member.len > limits->zset_max_listpack_value) *fits = false;
        last = now;
    }
    return true;
}

kv_status kv_zset_adopt_listpack(kv_value *v, kv_arena *a, const kv_limits *limits, uint8_t *lp) {
    bool fits = false;
    if (!in_order(lp, limits, &fits)) return KV_ECORRUPT;
    kv_zset_big *big = NULL;
    kv_status status = fits ? kv_pairs_check(lp, a) : big_from(lp, a, 0, &big);
    if (status != KV_OK) return status;
    if (!fits) kv_lp_free(a, lp);
    v->type = KV_ZSET;
    v->enc = fits ? KV_ENC_LISTPACK : KV_ENC_SKIPLIST;
    v->u.ptr = fits ? (void *)lp : (void *)big;
    return KV_OK;
}

bool kv_zset_free_some(kv_value *v, kv_arena *a, size_t *budget) {
    if (!is_small(v)) return kv_zset_big_free_some(big_of(v), budget);
    if (*budget == 0) return false;
    *budget -= 1;
    kv_lp_free(a, small_of(v));
    return true;
}

void kv_zset_free(kv_value *v, kv_arena *a) {
    size_t budget = SIZE_MAX;
    while (!kv_zset_free_some(v, a, &budget)) budget = SIZE_MAX;
    v->u.ptr = NULL;
}

kv_status kv_zset_copy(const kv_value *src, kv_value *dst, kv_arena *a) {
    void *copy = is_small(src) ? (void *)kv_lp_dup(a, small_of(src)) : (void *)kv_zset_big_copy(big_of(src), a);
    if (copy == NULL) return KV_ENOMEM;
    dst->type = KV_ZSET;
    dst->enc = src->enc;
    dst->u.ptr = copy;
    return KV_OK;
}

kv_status kv_zset_rehome(kv_value *v, kv_arena *from, kv_arena *to) {
    if (from == to) return KV_OK;
    if (!is_small(v)) {
        kv_arena_share(kv_zset_big_arena(big_of(v)));
        return KV_OK;
    }
    uint8_t *copy = kv_lp_dup(to, small_of(v));
    if (copy == NULL) return KV_ENOMEM;
    kv_lp_free(from, small_of(v));
    v->u.ptr = copy;
    return KV_OK;
}

size_t kv_zset_length(const kv_value *v) { return is_small(v) ? kv_lp_count(small_of(v)) / 2 : kv_zset_big_count(big_of(v)); }

size_t kv_zset_memory(const kv_value *v, size_t samples) {
    return is_small(v) ? kv_arena_good_size(kv_lp_bytes(small_of(v))) : kv_zset_big_memory(big_of(v), samples);
}

const kv_table *kv_zset_table(const kv_value *v) { return v->enc == KV_ENC_SKIPLIST ? kv_zset_big_table(big_of(v)) : NULL; }

bool kv_zset_check(const kv_value *v) {
    if (v->type != KV_ZSET) return false;
    if (v->enc == KV_ENC_SKIPLIST) return kv_zset_big_check(big_of(v));
    if (v->enc != KV_ENC_LISTPACK || !kv_lp_check(small_of(v))) return false;
    const uint8_t *lp = small_of(v);
    if (kv_lp_count(lp) == 0) return true;
    kv_limits any = {.zset_max_listpack_entries = SIZE_MAX, .zset_max_listpack_value = SIZE_MAX};
    bool fits;
    if (!in_order(lp, &any, &fits)) return false;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL;) {
        char scratch[KV_LP_SCRATCH];
        kv_slice member = kv_lp_text(pos, scratch);
        pos = kv_lp_next(lp, kv_lp_next(lp, pos));
        if (pos != NULL && kv_lp_find(lp, pos, member, 1) != NULL) return false; /* a member twice, with another score */
    }
    return true;
}

kv_status kv_zset_prepare(kv_value *v, kv_arena *a, const kv_limits *limits, size_t members, size_t longest) {
    if (members <= limits->zset_max_listpack_entries && longest <= limits->zset_max_listpack_value) return KV_OK;
    return to_big(v, a);
}

/* ---- one member ---- */

bool kv_zset_score(const kv_value *v, kv_slice member, double *score) {
    if (!is_small(v)) return kv_zset_big_score(big_of(v), member, score);
    const uint8_t *pos = small_find(small_of(v), member);
    if (pos == NULL) return false;
    *score = small_score(kv_lp_next(small_of(v), pos));
    return true;
}

/* May another member go into the listpack? */
static bool member_fits(const uint8_t *lp, const kv_limits *limits, kv_slice member) {
    return kv_lp_count(lp) / 2 < limits->zset_max_listpack_entries && member.len <= limits->zset_max_listpack_value &&
           kv_lp_fits(lp, member.len + KV_DOUBLE_MAX + 12) /* the two items, with their lengths */;
}

/* What adding a member to a listpack comes to: *pos is where it is, *score what it is to have. */
__attribute__((always_inline)) static inline kv_status decide_small(const uint8_t *lp, kv_slice member, unsigned flags, double *score,
                                                                    const uint8_t **pos, kv_zadd_outcome *out) {
    *pos = small_find(lp, member);
    double old = *pos == NULL ? 0 : small_score(kv_lp_next(lp, *pos));
    return kv_zadd_decide(*pos != NULL, old, flags, score, out);
}

/* Adds it (pos NULL) or gives it the score. */
static kv_status put_small(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice member, double score, const uint8_t *pos,
                           bool passing) {
    if (pos != NULL) return small_rescore(v, a, pos, member, score, passing);
    if (!member_fits(small_of(v), limits, member)) {
        kv_status status = to_big(v, a);
        return status == KV_OK ? kv_zset_big_insert(big_of(v), member, score) : status;
    }
    uint8_t *lp = small_insert(a, small_of(v), member, score);
    if (lp == NULL) return KV_ENOMEM;
    v->u.ptr = lp;
    return KV_OK;
}

static bool is_change(kv_zadd_outcome outcome) { return outcome == KV_ZADD_ADDED || outcome == KV_ZADD_UPDATED; }

static kv_status add_small(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice member, double score, unsigned flags,
                           kv_zadd_outcome *out, double *result) {
    const uint8_t *pos;
    kv_zadd_outcome outcome;
    kv_status status = decide_small(small_of(v), member, flags, &score, &pos, &outcome);
    if (status == KV_OK && is_change(outcome)) status = put_small(v, a, limits, member, score, pos, false);
    if (status != KV_OK) return status;
    *out = outcome;
    if (result != NULL && outcome != KV_ZADD_REFUSED) *result = score;
    return KV_OK;
}

kv_status kv_zset_add(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice member, double score, unsigned flags,
                      kv_zadd_outcome *out, double *result) {
    if (is_small(v)) return add_small(v, a, limits, member, score, flags, out, result);
    return kv_zset_big_add(big_of(v), member, score, flags, out, result);
}

kv_status kv_zset_remove(kv_value *v, kv_arena *a, kv_slice member) {
    if (!is_small(v)) return kv_zset_big_remove(big_of(v), member) ? KV_OK : KV_ENOTFOUND;
    const uint8_t *pos = small_find(small_of(v), member);
    if (pos == NULL) return KV_ENOTFOUND;
    uint8_t *lp = kv_lp_splice(a, small_of(v), pos, 2, NULL, 0, NULL);
    if (lp == NULL) return KV_ENOMEM;
    v->u.ptr = lp;
    return KV_OK;
}

/* ---- several members, all or none: in a copy of a listpack; in a skiplist by steps that can be taken back ---- */

static void take_over(kv_value *v, kv_arena *a, kv_value *copy, bool keep) {
    kv_value old = {.enc = v->enc, .u = v->u};
    if (keep) {
        v->enc = copy->enc;
        v->u = copy->u;
    }
    kv_zset_free(keep ? &old : copy, a);
}

static void tally(kv_zset_added *all, kv_zadd_outcome outcome) {
    all->last = outcome;
    all->added += outcome == KV_ZADD_ADDED;
    all->updated += outcome == KV_ZADD_UPDATED;
}

/* One step in a set whose listpack is `shared` with the set that is to be changed, until something changes. */
static kv_status add_to_copy(kv_value *copy, kv_arena *a, const kv_limits *limits, kv_slice member, double score, unsigned flags,
                             const uint8_t *shared, kv_zset_added *all) {
    kv_zadd_outcome outcome = KV_ZADD_REFUSED;
    const uint8_t *pos;
    kv_status status;
    if (!is_small(copy)) {
        status = kv_zset_big_add(big_of(copy), member, score, flags, &outcome, &all->score);
        tally(all, outcome);
        return status;
    }
    status = decide_small(small_of(copy), member, flags, &score, &pos, &outcome);
    if (status != KV_OK) return status;
    if (is_change(outcome)) {
        if (small_of(copy) == shared) {
            uint8_t *lp = kv_lp_dup(a, shared);
            if (lp == NULL) return KV_ENOMEM;
            copy->u.ptr = lp;
            if (pos != NULL) pos = lp + (pos - shared);
        }
        status = put_small(copy, a, limits, member, score, pos, true);
    }
    if (outcome != KV_ZADD_REFUSED) all->score = score;
    tally(all, outcome);
    return status;
}

static kv_status add_many_small(kv_value *v, kv_arena *a, const kv_limits *limits, const kv_slice *members, size_t stride,
                                const double *scores, size_t count, unsigned flags, kv_zset_added *all) {
    const uint8_t *shared = small_of(v);
    kv_value copy = {.type = KV_ZSET, .enc = v->enc, .u = v->u};
    kv_status status = KV_OK;
    for (size_t i = 0; i < count && status == KV_OK; i++)
        status = add_to_copy(&copy, a, limits, members[i * stride], scores[i], flags, shared, all);
    if (copy.u.ptr != shared) take_over(v, a, &copy, status == KV_OK);
    return status;
}

#define INLINE_STEPS 16

static kv_status add_many_big(kv_zset_big *z, kv_arena *a, const kv_slice *members, size_t stride, const double *scores, size_t count,
                              unsigned flags, kv_zset_added *all) {
    kv_zset_was few[INLINE_STEPS], *steps = few;
    size_t bytes = 0, made = 0;
    if (count > INLINE_STEPS) steps = kv_mul_size(count, sizeof *steps, &bytes) ? kv_arena_alloc(a, bytes) : NULL;
    if (steps == NULL) return KV_ENOMEM;
    kv_status status = KV_OK;
    for (; made < count && status == KV_OK; made += status == KV_OK) {
        kv_zadd_outcome outcome = KV_ZADD_REFUSED;
        status = kv_zset_big_try_add(z, members[made * stride], scores[made], flags, &outcome, &all->score, &steps[made]);
        tally(all, outcome);
    }
    while (made > 0) kv_zset_big_settle(z, &steps[--made], status == KV_OK);
    if (steps != few) kv_arena_free(a, steps, bytes);
    return status;
}

kv_status kv_zset_add_several(kv_value *v, kv_arena *a, const kv_limits *limits, const kv_slice *members, size_t stride,
                              const double *scores, size_t count, unsigned flags, kv_zset_added *out) {
    kv_zset_added all = {.last = KV_ZADD_REFUSED};
    kv_status status = is_small(v) ? add_many_small(v, a, limits, members, stride, scores, count, flags, &all)
                                   : add_many_big(big_of(v), a, members, stride, scores, count, flags, &all);
    if (status == KV_OK) *out = all;
    return status;
}

kv_status kv_zset_remove_many(kv_value *v, kv_arena *a, const kv_slice *members, size_t count, size_t *removed) {
    bool copied = is_small(v) && count > 1;
    kv_value copy = {.type = KV_ZSET, .enc = v->enc, .u = v->u};
    if (copied && (copy.u.ptr = kv_lp_dup(a, small_of(v))) == NULL) return KV_ENOMEM;
    kv_value *from = copied ? &copy : v;
    kv_status status = KV_OK;
    size_t gone = 0;
    for (size_t i = 0; i < count && status != KV_ENOMEM && kv_zset_length(from) > 0; i++) {
        status = kv_zset_remove(from, a, members[i]);
        gone += status == KV_OK;
    }
    if (copied) take_over(v, a, &copy, status != KV_ENOMEM);
    if (status == KV_ENOMEM) return status;
    *removed = gone;
    return KV_OK;
}

bool kv_zset_rank(const kv_value *v, kv_slice member, size_t *rank, double *score) {
    if (!is_small(v)) return kv_zset_big_rank(big_of(v), member, rank, score);
    const uint8_t *lp = small_of(v);
    size_t at = 0;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL; pos = kv_lp_next(lp, kv_lp_next(lp, pos)), at++) {
        if (!kv_lp_equals(pos, member)) continue;
        *rank = at;
        if (score != NULL) *score = small_score(kv_lp_next(lp, pos));
        return true;
    }
    return false;
}

/* ---- ranges ---- */

kv_zset_ranks kv_zset_find_range(const kv_value *v, const kv_zrange *range) {
    if (is_small(v)) return small_range(small_of(v), range);
    kv_zset_ranks ranks;
    kv_ztree_score_range(kv_zset_big_tree(big_of(v)), range, &ranks.first, &ranks.end);
    return ranks;
}

kv_zset_ranks kv_zset_find_lex(const kv_value *v, const kv_lex_range *range, bool reverse) {
    if (is_small(v)) return small_lex(small_of(v), range, reverse);
    kv_zset_ranks ranks;
    kv_ztree_lex_range(kv_zset_big_tree(big_of(v)), range, &ranks.first, &ranks.end);
    return ranks;
}

kv_status kv_zset_remove_ranks(kv_value *v, kv_arena *a, size_t first, size_t count) {
    size_t length = kv_zset_length(v);
    if (first >= length || count == 0) return KV_OK;
    if (count > length - first) count = length - first;
    if (!is_small(v)) {
        kv_zset_big_remove_ranks(big_of(v), first, count);
        return KV_OK;
    }
    uint8_t *lp = kv_lp_delete_range(a, small_of(v), (int64_t)(2 * first), 2 * count);
    if (lp == NULL) return KV_ENOMEM;
    v->u.ptr = lp;
    return KV_OK;
}

/* ---- walking ---- */

void kv_zset_iter_at(kv_zset_iter *it, const kv_value *v, size_t rank, bool reverse) {
    *it = (kv_zset_iter){.v = NULL, .reverse = reverse};
    if (rank >= kv_zset_length(v)) return;
    it->v = v;
    if (is_small(v)) it->pos = kv_lp_at(small_of(v), (int64_t)(2 * rank));
    else it->elem = kv_ztree_at(kv_zset_big_tree(big_of(v)), rank, &it->cursor);
}

bool kv_zset_iter_next(kv_zset_iter *it, kv_zset_item *out) {
    if (it->v == NULL) return false;
    if (!is_small(it->v)) {
        if (it->elem == NULL) return false;
        out->member = kv_zelem_member(it->elem);
        out->score = it->elem->score;
        it->elem = it->reverse ? kv_zcursor_prev(&it->cursor) : kv_zcursor_next(&it->cursor);
        return true;
    }
    if (it->pos == NULL) return false;
    const uint8_t *lp = small_of(it->v);
    small_read(lp, it->pos, out);
    if (it->reverse) {
        const uint8_t *score = kv_lp_prev(lp, it->pos);
        it->pos = score == NULL ? NULL : kv_lp_prev(lp, score);
    } else {
        it->pos = kv_lp_next(lp, kv_lp_next(lp, it->pos));
    }
    return true;
}

uint64_t kv_zset_scan(const kv_value *v, uint64_t cursor, size_t count, kv_zset_item_fn fn, void *ctx) {
    if (!is_small(v)) return kv_zset_big_scan(big_of(v), cursor, count, fn, ctx);
    const uint8_t *lp = small_of(v);
    kv_zset_item item;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL; pos = kv_lp_next(lp, kv_lp_next(lp, pos))) {
        small_read(lp, pos, &item);
        fn(ctx, &item);
    }
    return 0;
}

bool kv_zset_random(const kv_value *v, kv_rng *rng, kv_zset_item *out) {
    size_t length = kv_zset_length(v);
    if (length == 0) return false;
    kv_zset_iter it;
    kv_zset_iter_at(&it, v, (size_t)kv_rng_below(rng, length), false);
    return kv_zset_iter_next(&it, out);
}
