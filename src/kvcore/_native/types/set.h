/* Sets: an intset while all members are integers, a listpack while small, a hash table afterwards; the thresholds are those of
 * set-max-intset-entries and set-max-listpack-entries/-value. Sets never convert back (the results of set algebra are built anew).
 *
 * `a` is the arena of the shard that holds the key; a hash table remembers its own. Functions that change a set either do all of it or
 * fail with the set as it was. A set that became empty stays a valid (empty) set: removing the key is the caller's business. Slices that
 * are handed out point into the set (or into the scratch given with them) and end with its next change. */
#ifndef KV_TYPES_SET_H
#define KV_TYPES_SET_H

#include "base/arena.h"
#include "base/rng.h"
#include "base/slice.h"
#include "base/status.h"
#include "ds/intset.h"
#include "ds/listpack.h"
#include "ds/table.h"
#include "types/value.h"

#define KV_SET_SCRATCH KV_LP_SCRATCH

typedef void (*kv_set_visit)(void *ctx, kv_slice member);

/* ---- life ---- */
/* Makes *v an empty set (type, enc and u; the rest of *v is untouched) in the form that suits a first member `first` and `expected`
 * members: what SADD on a missing key does. KV_ENOMEM. */
kv_status kv_set_create(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice first, size_t expected);
/* An empty intset: how results of set algebra begin. */
kv_status kv_set_create_empty(kv_value *v, kv_arena *a);
void kv_set_free(kv_value *v, kv_arena *a);
/* Frees up to *budget members and takes them off the budget; true when nothing is left (then *v must not be used). */
bool kv_set_free_some(kv_value *v, kv_arena *a, size_t *budget);
/* *dst becomes a copy in `a`; *src may live anywhere. KV_ENOMEM: *dst unchanged. O(bytes). */
kv_status kv_set_copy(const kv_value *src, kv_value *dst, kv_arena *a);
/* The key moves from one shard to another: small forms are copied, a table stays where it is and its arena becomes shared. Both locks
 * held. */
kv_status kv_set_rehome(kv_value *v, kv_arena *from, kv_arena *to);
const kv_table *kv_set_table(const kv_value *v); /* to look at: NULL in the small forms */
kv_slice kv_set_table_member(const void *entry); /* one of its entries */
bool kv_set_check(const kv_value *v);

/* ---- reading ---- */
size_t kv_set_length(const kv_value *v);
/* Bytes behind the value: exact for small forms; tables look at `samples` members (0: all) and multiply. */
size_t kv_set_memory(const kv_value *v, size_t samples);
bool kv_set_has(const kv_value *v, kv_slice member);
bool kv_set_has_item(const kv_value *v, const kv_lp_item *item);
/* A member, each equally likely; false when empty. O(1) for tables and intsets, O(n) for listpacks. */
bool kv_set_random(const kv_value *v, kv_rng *rng, char scratch[KV_SET_SCRATCH], kv_slice *out);

/* `count` different members (count <= length), every choice equally likely, in no particular order. KV_ENOMEM: nothing was visited.
 * O(count) for tables when count is a small part, else O(length). */
kv_status kv_set_sample(const kv_value *v, kv_arena *a, kv_rng *rng, size_t count, kv_set_visit visit, void *ctx);

/* Walks every member once: ascending (intset), in order of insertion (listpack), in no order (table). The set must not change meanwhile. */
typedef struct kv_set_iter {
    const kv_value *v;
    const uint8_t *pos;  /* listpack: the next item */
    size_t index, count; /* intset: the next member, and how many there are */
    kv_table_iter table;
    char scratch[KV_SET_SCRATCH];
} kv_set_iter;
void kv_set_iter_init(kv_set_iter *it, const kv_value *v);
bool kv_set_next(kv_set_iter *it, kv_slice *out);        /* *out is good until the next call */
bool kv_set_next_item(kv_set_iter *it, kv_lp_item *out); /* the same, integers kept as such */

/* One step of SSCAN: calls `visit` for some members and returns the next cursor, 0 at the end. Small forms give everything at once; a
 * table visits buckets until `count` members or more were seen. The set may change between steps. */
uint64_t kv_set_scan(const kv_value *v, uint64_t cursor, size_t count, kv_set_visit visit, void *ctx);

/* ---- changing ---- */
/* `more` members are about to be added to an existing set (SADD): too many for its form convert it now. KV_ENOMEM. */
kv_status kv_set_expect(kv_value *v, kv_arena *a, const kv_limits *limits, size_t more);
/* *added (may be NULL): whether it was new. KV_ENOMEM. */
kv_status kv_set_add(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice member, bool *added);
/* Adds all of `members`, or none: SADD. *added: how many were new. KV_ENOMEM. */
kv_status kv_set_add_many(kv_value *v, kv_arena *a, const kv_limits *limits, const kv_slice *members, size_t count, size_t *added);
/* *removed (may be NULL): whether it was there. KV_ENOMEM; a table never fails. */
kv_status kv_set_remove(kv_value *v, kv_arena *a, kv_slice member, bool *removed);
/* Removes all of `members` that are there, or none: SREM. *removed: how many. KV_ENOMEM. */
kv_status kv_set_remove_many(kv_value *v, kv_arena *a, const kv_slice *members, size_t count, size_t *removed);

/* For several changes that are to happen as one: *draft is what to change instead, a copy of a small set, or the table itself, from which members are
 * removed without failing (a table that is added to is not taken back). Then the draft is kept, and the set is what it became, or dropped. KV_ENOMEM:
 * there is no draft. */
kv_status kv_set_draft(const kv_value *v, kv_arena *a, kv_value *draft);
void kv_set_draft_end(kv_value *v, kv_arena *a, kv_value *draft, bool keep);

/* ---- algebra ---- */
/* Sets of which NULL stands for an empty one; `out` is a set made by kv_set_create_empty in `a`. On failure `out` is valid, with a part
 * of the result. Sources are not changed. */
kv_status kv_set_union(kv_value *out, kv_arena *a, const kv_limits *limits, const kv_value *const *sets, size_t count);
/* sets[0] without the members of all others. Looks every member up in the others, or removes the others' members from a copy: what
 * promises less work. sets[1] and on are put in another order. */
kv_status kv_set_diff(kv_value *out, kv_arena *a, const kv_limits *limits, const kv_value **sets, size_t count);
/* The members of all sets. `sets` is put in order of size. count >= 1. */
kv_status kv_set_intersection(kv_value *out, kv_arena *a, const kv_limits *limits, const kv_value **sets, size_t count);
/* Visits the members that are in all sets, walking the smallest and asking the others, smaller first; stops after `limit` (0: none).
 * Returns the number visited. `visit` may be NULL (to count); false from it stops. `sets` is put in order of size. count >= 1. */
typedef bool (*kv_set_each)(void *ctx, kv_slice member);
size_t kv_set_intersect(const kv_value **sets, size_t count, size_t limit, kv_set_each visit, void *ctx);

/* ---- loading ---- */
/* Copies of blocks that were validated deep (and, for listpacks, are known to hold no member twice); converted when over the limits.
 * KV_ENOMEM. */
kv_status kv_set_load_intset(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice bytes);
kv_status kv_set_load_listpack(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice bytes);

#endif
