/* The hash type: fields with values, and optionally a time at which a field expires.
 *
 * Small hashes are one listpack (field, value, field, value, ...); big ones, and every hash that was ever given a field expiry, are a table
 * of blocks plus a heap of the fields that expire. A function changes `v` in place (u and enc): the caller has set v->type.
 *
 * Time: `now_ms` decides which fields are expired. A field whose expiry is not after now is invisible to reads and gone for writes, but it is
 * counted by kv_hash_length until it is reclaimed. KV_HASH_ALL as now shows everything: log replay, saving, digests.
 *
 * On KV_ENOMEM nothing has changed, except that the encoding may have become KV_ENC_HASHTABLE. Slices returned are valid until the next
 * change of the hash (and as long as their scratch). */
#ifndef KV_TYPES_HASH_H
#define KV_TYPES_HASH_H

#include "base/arena.h"
#include "base/rng.h"
#include "base/slice.h"
#include "base/status.h"
#include "ds/listpack.h"
#include "ds/table.h"
#include "types/value.h"

#define KV_HASH_NO_EXPIRY INT64_MAX         /* the field does not expire */
#define KV_HASH_KEEP_EXPIRY (INT64_MAX - 1) /* kv_hash_set: leave the field's expiry as it is */
#define KV_HASH_ALL INT64_MIN               /* as now_ms: no field is expired yet */

/* One field as read. An integer of a listpack is written into scratch, so the struct must not be copied while its slices are in use. */
typedef struct kv_hash_item {
    kv_slice field, value;
    int64_t expiry_ms; /* KV_HASH_NO_EXPIRY: none */
    char field_scratch[KV_LP_SCRATCH], value_scratch[KV_LP_SCRATCH];
} kv_hash_item;

/* ---- whole values ---- */
kv_status kv_hash_create(kv_value *v, kv_arena *a); /* an empty listpack; sets type too */
/* Takes over a listpack block of `a` that kv_lp_validate (deep) accepted. KV_ECORRUPT: odd count, no item or a field twice. On failure the block
 * is still the caller's. Becomes a table when over the limits. */
kv_status kv_hash_adopt_listpack(kv_value *v, kv_arena *a, const kv_limits *limits, uint8_t *lp);
void kv_hash_free(kv_value *v, kv_arena *a);
/* Frees for at most *budget elements and takes what it did off *budget. True: all is freed. The value is good for nothing else meanwhile. */
bool kv_hash_free_some(kv_value *v, kv_arena *a, size_t *budget);
kv_status kv_hash_copy(const kv_value *src, kv_value *dst, kv_arena *a); /* `a` is the copy's arena; with expiries */
/* For RENAME and MOVE into another shard: small forms are copied and freed, big ones stay in `from`, which becomes shared. */
kv_status kv_hash_rehome(kv_value *v, kv_arena *from, kv_arena *to);
size_t kv_hash_length(const kv_value *v);                 /* O(1); counts expired fields that are still there */
size_t kv_hash_memory(const kv_value *v, size_t samples); /* bytes beside the value itself, from `samples` fields (0: all) */
const kv_table *kv_hash_table(const kv_value *v);         /* to look at: NULL in the small forms */
void kv_hash_table_show(const kv_value *v, const void *entry, kv_hash_item *out); /* one of its entries */
bool kv_hash_check(const kv_value *v);

/* Converts to the table form when `fields` more pairs, or a string of `longest` bytes, do not fit a listpack. HSET calls it once in front. */
kv_status kv_hash_prepare(kv_value *v, kv_arena *a, const kv_limits *limits, size_t fields, size_t longest);

/* ---- one field ---- */
bool kv_hash_get(const kv_value *v, kv_slice field, int64_t now_ms, kv_hash_item *out); /* out->field is not set */

typedef struct kv_hash_change {
    bool created; /* the field was not there, or expired */
    bool expired; /* ... it was there, expired, and has been replaced or removed */
} kv_hash_change;

/* Sets a field; neither slice may point into this hash. expiry_ms: a time, KV_HASH_NO_EXPIRY (clears) or KV_HASH_KEEP_EXPIRY (an expired field's is
 * never kept). `out` may be NULL. */
kv_status kv_hash_set(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice field, kv_slice value, int64_t expiry_ms, int64_t now_ms,
                      kv_hash_change *out);
/* Removes a field that is visible at now_ms. KV_ENOTFOUND: it is not. */
kv_status kv_hash_delete(kv_value *v, kv_arena *a, kv_slice field, int64_t now_ms);
/* Sets or clears (KV_HASH_NO_EXPIRY) a visible field's expiry; a time that is not after now does not remove the field. KV_ENOTFOUND. */
kv_status kv_hash_set_expiry(kv_value *v, kv_arena *a, kv_slice field, int64_t expiry_ms, int64_t now_ms);

/* ---- several fields as one change ----
 * Begin, make the steps, then end: with `keep` all of them stay, without none. A step that fails has changed nothing by itself, and the earlier ones can
 * still be kept or dropped; ending never fails. Meanwhile the hash is read through `now`, and changed by steps only. Small forms are changed in a copy;
 * a table remembers what each step replaced. A step that deletes from a table is final: do not mix it with others. */
typedef struct kv_hash_was { /* hash_big.c's: what a step replaced */
    kv_slice field, value;
    uint8_t *block; /* NULL: the field was absent */
    int64_t expiry_ms;
    bool in_place, leaves_heap;
} kv_hash_was;

#define KV_HASH_EDIT_INLINE 16
typedef struct kv_hash_edit {
    kv_value *now, *v; /* the hash as changed so far; the one to be changed */
    kv_arena *arena;
    kv_hash_was *steps; /* of a table: those made, oldest first */
    size_t made, room;  /* room 0: changed directly */
    kv_value copy;
    kv_hash_was few[KV_HASH_EDIT_INLINE];
} kv_hash_edit;

/* For up to `steps` steps. A single one is made directly. KV_ENOMEM: nothing to end. */
kv_status kv_hash_edit_begin(kv_hash_edit *e, kv_value *v, kv_arena *a, size_t steps);
kv_status kv_hash_edit_set(kv_hash_edit *e, const kv_limits *limits, kv_slice field, kv_slice value, int64_t expiry_ms, int64_t now_ms,
                           kv_hash_change *out);                                                       /* as kv_hash_set */
kv_status kv_hash_edit_delete(kv_hash_edit *e, kv_slice field, int64_t now_ms);                        /* as kv_hash_delete */
kv_status kv_hash_edit_set_expiry(kv_hash_edit *e, kv_slice field, int64_t expiry_ms, int64_t now_ms); /* as kv_hash_set_expiry */
void kv_hash_edit_end(kv_hash_edit *e, bool keep);

typedef struct kv_hash_changes {
    size_t created; /* fields that were not there, or expired */
    bool expired;   /* one of them was there, expired */
} kv_hash_changes;
/* Sets pairs[0] to pairs[1], pairs[2] to pairs[3], ...: `count` pairs, all or none. A field may come twice. */
kv_status kv_hash_set_several(kv_value *v, kv_arena *a, const kv_limits *limits, const kv_slice *pairs, size_t count, int64_t expiry_ms,
                              int64_t now_ms, kv_hash_changes *out);
/* The same for the usual case of one. */
static inline kv_status kv_hash_set_many(kv_value *v, kv_arena *a, const kv_limits *limits, const kv_slice *pairs, size_t count,
                                         int64_t expiry_ms, int64_t now_ms, kv_hash_changes *out) {
    if (count != 1) return kv_hash_set_several(v, a, limits, pairs, count, expiry_ms, now_ms, out);
    kv_hash_change one;
    kv_status status = kv_hash_set(v, a, limits, pairs[0], pairs[1], expiry_ms, now_ms, &one);
    if (status == KV_OK) *out = (kv_hash_changes){one.created, one.expired};
    return status;
}

/* ---- expiry ---- */
int64_t kv_hash_next_expiry(const kv_value *v);                  /* the earliest expiry of any field, INT64_MAX: none. O(1) */
size_t kv_hash_volatile_count(const kv_value *v);                /* fields that have an expiry, O(1) */
size_t kv_hash_expired_count(const kv_value *v, int64_t now_ms); /* of which are expired; O(volatile) */
typedef void (*kv_hash_expired_fn)(void *ctx, kv_slice field);   /* before the field goes; must not touch the hash */
/* Removes up to `budget` fields whose expiry is not after now, earliest first; `fn` may be NULL. Returns how many. O(log volatile) each;
 * allocates nothing. The hash may be empty afterwards: the caller removes the key. */
size_t kv_hash_expire_due(kv_value *v, kv_arena *a, int64_t now_ms, size_t budget, kv_hash_expired_fn fn, void *ctx);

/* ---- all fields ---- */
typedef struct kv_hash_iter { /* no change to the hash while it is in use */
    const kv_value *v;
    const uint8_t *pos; /* listpack: the next field */
    kv_table_iter at;   /* table */
    int64_t now_ms;
} kv_hash_iter;
void kv_hash_iter_init(kv_hash_iter *it, const kv_value *v, int64_t now_ms);
bool kv_hash_iter_next(kv_hash_iter *it, kv_hash_item *out); /* false: no more. Order of insertion in a listpack, arbitrary in a table */

/* SCAN: calls `fn` for a page of visible fields (about `count`; all of a listpack) and returns the next cursor, 0 at the end. Any cursor is safe. */
typedef void (*kv_hash_item_fn)(void *ctx, const kv_hash_item *item);
uint64_t kv_hash_scan(const kv_value *v, uint64_t cursor, size_t count, int64_t now_ms, kv_hash_item_fn fn, void *ctx);
/* A visible field, near-uniformly; false when there is none. */
bool kv_hash_random(const kv_value *v, kv_rng *rng, int64_t now_ms, kv_hash_item *out);

#endif
