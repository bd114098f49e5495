/* Union, difference and intersection of sets.
 *
 * None of them changes its sources, and none needs memory beside the result. The order in which sources are asked, and the point where a
 * difference goes over from asking to removing, are Valkey's: they decide through which forms a result passes, and a table never becomes
 * small again. */
#include "base/num.h"
#include "types/set.h"

/* Shell's sort: needs no memory, and is good enough for a command's arguments. */
static void sort_by_length(const kv_value **sets, size_t count, bool falling) {
    size_t gap = 1;
    while (gap < count / 3) gap = gap * 3 + 1;
    for (; gap > 0; gap /= 3)
        for (size_t i = gap; i < count; i++) {
            const kv_value *moving = sets[i];
            size_t length = kv_set_length(moving), j = i;
            for (; j >= gap; j -= gap) {
                size_t other = kv_set_length(sets[j - gap]);
                if (falling ? other >= length : other <= length) break;
                sets[j] = sets[j - gap];
            }
            sets[j] = moving;
        }
}

/* Sets `*count` to the number of those that are there, moved to the front. */
static void drop_absent(const kv_value **sets, size_t *count) {
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (sets[i] != NULL) sets[kept++] = sets[i];
    *count = kept;
}

static kv_status add_all(kv_value *out, kv_arena *a, const kv_limits *limits, const kv_value *set) {
    kv_set_iter it;
    kv_slice text;
    for (kv_set_iter_init(&it, set); kv_set_next(&it, &text);) {
        kv_status status = kv_set_add(out, a, limits, text, NULL);
        if (status != KV_OK) return status;
    }
    return KV_OK;
}

kv_status kv_set_union(kv_value *out, kv_arena *a, const kv_limits *limits, const kv_value *const *sets, size_t count) {
    for (size_t i = 0; i < count; i++) {
        kv_status status = sets[i] == NULL ? KV_OK : add_all(out, a, limits, sets[i]);
        if (status != KV_OK) return status;
    }
    return KV_OK;
}

static kv_status diff_by_asking(kv_value *out, kv_arena *a, const kv_limits *limits, const kv_value **sets, size_t count) {
    sort_by_length(sets + 1, count - 1, true); /* the biggest is the likeliest to have a member */
    kv_set_iter it;
    kv_lp_item item;
    for (kv_set_iter_init(&it, sets[0]); kv_set_next_item(&it, &item);) {
        size_t i = 1;
        while (i < count && !kv_set_has_item(sets[i], &item)) i++;
        if (i < count) continue;
        kv_status status = kv_set_add(out, a, limits, kv_lp_item_text(&item, it.scratch), NULL);
        if (status != KV_OK) return status;
    }
    return KV_OK;
}

kv_status kv_set_diff(kv_value *out, kv_arena *a, const kv_limits *limits, const kv_value **sets, size_t count) {
    if (count == 0 || sets[0] == NULL) return KV_OK;
    drop_absent(sets, &count);
    /* Asking costs a look-up for each member of the first in up to every other set, and often ends early: hence the half. Removing costs
     * one step for each member of every set. */
    size_t asking, removing = 0;
    if (!kv_mul_size(kv_set_length(sets[0]), count, &asking)) asking = SIZE_MAX;
    asking /= 2;
    for (size_t i = 0; i < count; i++) {
        if (!kv_add_size(removing, kv_set_length(sets[i]), &removing)) removing = SIZE_MAX;
        if (i > 0 && sets[i] == sets[0]) return KV_OK;
    }
    if (asking <= removing) return diff_by_asking(out, a, limits, sets, count);
    kv_status status = add_all(out, a, limits, sets[0]);
    for (size_t i = 1; status == KV_OK && i < count && kv_set_length(out) > 0; i++) {
        kv_set_iter it;
        kv_slice text;
        for (kv_set_iter_init(&it, sets[i]); status == KV_OK && kv_set_next(&it, &text);) status = kv_set_remove(out, a, text, NULL);
    }
    return status;
}

size_t kv_set_intersect(const kv_value **sets, size_t count, size_t limit, kv_set_each visit, void *ctx) {
    for (size_t i = 0; i < count; i++)
        if (sets[i] == NULL) return 0;
    sort_by_length(sets, count, false);
    size_t found = 0;
    kv_set_iter it;
    kv_lp_item item;
    for (kv_set_iter_init(&it, sets[0]); kv_set_next_item(&it, &item);) {
        size_t i = 1;
        while (i < count && (sets[i] == sets[0] || kv_set_has_item(sets[i], &item))) i++;
        if (i < count) continue;
        if (visit != NULL && !visit(ctx, kv_lp_item_text(&item, it.scratch))) break;
        if (++found == limit) break;
    }
    return found;
}

typedef struct collector {
    kv_value *out;
    kv_arena *arena;
    const kv_limits *limits;
    kv_status status;
    bool integers; /* all of them so far */
} collector;

static bool collect(void *ctx, kv_slice member) {
    collector *to = ctx;
    int64_t num;
    to->integers = to->integers && kv_parse_i64(member, &num);
    to->status = kv_set_add(to->out, to->arena, to->limits, member, NULL);
    return to->status == KV_OK;
}

/* Of integers only, and no more of them than the limit. */
static kv_status to_intset(kv_value *v, kv_arena *a) {
    uint8_t *set = kv_intset_new(a), *next = set;
    kv_set_iter it;
    kv_slice text;
    for (kv_set_iter_init(&it, v); next != NULL && kv_set_next(&it, &text);) {
        int64_t num = 0;
        (void)kv_parse_i64(text, &num);
        next = kv_intset_add(a, set, num, NULL);
        if (next != NULL) set = next;
    }
    if (next == NULL) {
        kv_intset_free(a, set);
        return KV_ENOMEM;
    }
    kv_set_free(v, a);
    v->enc = KV_ENC_INTSET;
    v->u.ptr = set;
    return KV_OK;
}

/* The result starts in the form of the smallest set, but not as a table, and becomes an intset at the end if it can. Union and
 * difference start as intsets: with limits that favour listpacks the two ways end differently, and OBJECT ENCODING tells. */
kv_status kv_set_intersection(kv_value *out, kv_arena *a, const kv_limits *limits, const kv_value **sets, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (sets[i] == NULL) return KV_OK;
    sort_by_length(sets, count, false);
    if (sets[0]->enc != KV_ENC_INTSET) {
        uint8_t *lp = kv_lp_new(a);
        if (lp == NULL) return KV_ENOMEM;
        kv_set_free(out, a);
        out->enc = KV_ENC_LISTPACK;
        out->u.ptr = lp;
    }
    collector to = {out, a, limits, KV_OK, true};
    kv_set_intersect(sets, count, 0, collect, &to);
    if (to.status == KV_OK && to.integers && out->enc != KV_ENC_INTSET && kv_set_length(out) <= limits->set_max_intset_entries)
        return to_intset(out, a);
    return to.status;
}
