/* The sorted set type: members with a double as score, ordered by score and then by bytes (memcmp order).
 *
 * Small ones are one listpack (member, score, member, score, ... in order); big ones a table (member -> element) and a counted B+ tree
 * (order -> the same element), whose counts turn ranks into positions. A function changes `v` in place (u and enc).
 *
 * Every range, by score, by bytes or by rank, becomes a run of ranks [first, end): counting is a subtraction, walking starts an iterator at
 * a rank, removing is kv_zset_remove_ranks. Ranks are ascending; `reverse` callers mirror them. Cost: O(log n), O(n) in a listpack.
 *
 * On KV_ENOMEM nothing has changed, except that the encoding may have become KV_ENC_SKIPLIST. Slices are valid until the next change. */
#ifndef KV_TYPES_ZSET_H
#define KV_TYPES_ZSET_H

#include "base/arena.h"
#include "base/rng.h"
#include "base/slice.h"
#include "base/status.h"
#include "ds/listpack.h"
#include "ds/ztree.h"
#include "ds/table.h"
#include "types/value.h"

/* One member as read. An integer of a listpack is written into scratch: do not copy the struct while its slice is in use. */
typedef struct kv_zset_item {
    kv_slice member;
    double score;
    char scratch[KV_LP_SCRATCH];
} kv_zset_item;

/* ---- whole values ---- */
/* Empty; sets type too. A skiplist at once when `members` (a hint, 0: unknown) or a member of `longest` bytes would not fit a listpack. */
kv_status kv_zset_create(kv_value *v, kv_arena *a, const kv_limits *limits, size_t members, size_t longest);
/* Takes over a listpack block of `a` that kv_lp_validate (deep) accepted. KV_ECORRUPT: odd or no items, a score that is none, wrong order or a
 * member twice. On failure the block is still the caller's. */
kv_status kv_zset_adopt_listpack(kv_value *v, kv_arena *a, const kv_limits *limits, uint8_t *lp);
void kv_zset_free(kv_value *v, kv_arena *a);
/* Frees for at most *budget elements and takes what it did off *budget. True: all is freed. The value is good for nothing else meanwhile. */
bool kv_zset_free_some(kv_value *v, kv_arena *a, size_t *budget);
kv_status kv_zset_copy(const kv_value *src, kv_value *dst, kv_arena *a);
kv_status kv_zset_rehome(kv_value *v, kv_arena *from,
                         kv_arena *to); /* small: copied and freed; big: stays in `from`, which becomes shared */
size_t kv_zset_length(const kv_value *v);
size_t kv_zset_memory(const kv_value *v, size_t samples); /* bytes beside the value itself, from `samples` members (0: all) */
const kv_table *kv_zset_table(const kv_value *v);         /* to look at: NULL in the small forms */
bool kv_zset_check(const kv_value *v);

/* Converts to the skiplist form when `members` pairs, or a member of `longest` bytes, do not fit a listpack. ZADD calls it once in front. */
kv_status kv_zset_prepare(kv_value *v, kv_arena *a, const kv_limits *limits, size_t members, size_t longest);

/* ---- one member ---- */
bool kv_zset_score(const kv_value *v, kv_slice member, double *score);

enum {                   /* ZADD's conditions */
       KV_ZADD_NX = 1,   /* only new members */
       KV_ZADD_XX = 2,   /* only members that are there */
       KV_ZADD_GT = 4,   /* rescore only upwards */
       KV_ZADD_LT = 8,   /* rescore only downwards */
       KV_ZADD_INCR = 16 /* the score is an increment */
};
typedef enum kv_zadd_outcome {
    KV_ZADD_ADDED,
    KV_ZADD_UPDATED,
    KV_ZADD_SAME,   /* there already, with this score */
    KV_ZADD_REFUSED /* a condition did not hold; nothing changed */
} kv_zadd_outcome;
/* KV_ENAN: the score is, or the sum would be, not a number. *result (may be NULL): the score now, unless refused. */
kv_status kv_zset_add(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice member, double score, unsigned flags,
                      kv_zadd_outcome *out, double *result);
typedef struct kv_zset_added {
    size_t added, updated;
    kv_zadd_outcome last; /* of the last member */
    double score;         /* its score now, unless refused */
} kv_zset_added;
/* Adds members[0], members[stride], ... with scores[0], scores[1], ...: `count` members, all as kv_zset_add would, or none. */
kv_status kv_zset_add_several(kv_value *v, kv_arena *a, const kv_limits *limits, const kv_slice *members, size_t stride,
                              const double *scores, size_t count, unsigned flags, kv_zset_added *out);
/* The same for the usual case of one. */
static inline kv_status kv_zset_add_many(kv_value *v, kv_arena *a, const kv_limits *limits, const kv_slice *members, size_t stride,
                                         const double *scores, size_t count, unsigned flags, kv_zset_added *out) {
    if (count != 1) return kv_zset_add_several(v, a, limits, members, stride, scores, count, flags, out);
    kv_zadd_outcome outcome;
    double score = 0;
    kv_status status = kv_zset_add(v, a, limits, members[0], scores[0], flags, &outcome, &score);
    if (status == KV_OK) *out = (kv_zset_added){outcome == KV_ZADD_ADDED, outcome == KV_ZADD_UPDATED, outcome, score};
    return status;
}
kv_status kv_zset_remove(kv_value *v, kv_arena *a, kv_slice member); /* KV_ENOTFOUND */
/* Removes all of `members` that are there, or none. *removed: how many. */
kv_status kv_zset_remove_many(kv_value *v, kv_arena *a, const kv_slice *members, size_t count, size_t *removed);
bool kv_zset_rank(const kv_value *v, kv_slice member, size_t *rank, double *score); /* 0 is the lowest score; score may be NULL */

/* ---- ranges ---- */
/* By score: kv_zrange; by bytes (meaningful when all scores are equal): kv_lex_range; both of ds/ztree.h. */
typedef struct kv_zset_ranks {
    size_t first, end;
} kv_zset_ranks; /* [first, end); first == end: empty */
kv_zset_ranks kv_zset_find_range(const kv_value *v, const kv_zrange *range);
/* When scores differ there is no right answer; `reverse` (the search starts at the high end) then decides which run of members is meant. */
kv_zset_ranks kv_zset_find_lex(const kv_value *v, const kv_lex_range *range, bool reverse);
/* Removes members `first` .. `first + count - 1` by rank (what is there of them). Allocation may fail only in a listpack. */
kv_status kv_zset_remove_ranks(kv_value *v, kv_arena *a, size_t first, size_t count);

/* ---- walking ---- */
typedef struct kv_zset_iter { /* no change to the set while it is in use */
    const kv_value *v;
    const uint8_t *pos;   /* listpack: the next member */
    kv_zcursor cursor;    /* skiplist: the place of `elem` */
    const kv_zelem *elem; /* skiplist: the next member, NULL at the end */
    bool reverse;
} kv_zset_iter;
/* The first item is the one with `rank` (ascending numbering, in both directions); a rank outside gives an iterator at its end. O(log n). */
void kv_zset_iter_at(kv_zset_iter *it, const kv_value *v, size_t rank, bool reverse);
bool kv_zset_iter_next(kv_zset_iter *it, kv_zset_item *out);

/* SCAN: calls `fn` for a page of members (about `count`; all of a listpack) and returns the next cursor, 0 at the end. Any cursor is safe. */
typedef void (*kv_zset_item_fn)(void *ctx, const kv_zset_item *item);
uint64_t kv_zset_scan(const kv_value *v, uint64_t cursor, size_t count, kv_zset_item_fn fn, void *ctx);
bool kv_zset_random(const kv_value *v, kv_rng *rng, kv_zset_item *out); /* uniform; false when empty */

#endif
