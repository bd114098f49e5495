/* The table form of a hash (private to the hash type): see hash_big.c for the drawing. */
#ifndef KV_TYPES_HASH_BIG_H
#define KV_TYPES_HASH_BIG_H

#include "types/compact.h"
#include "types/hash.h"

typedef struct kv_hash_big kv_hash_big;

kv_hash_big *kv_hash_big_new(kv_arena *a, size_t fields); /* room for `fields` (a hint); NULL: out of memory */
bool kv_hash_big_free_some(kv_hash_big *h, size_t *budget);
kv_hash_big *kv_hash_big_copy(const kv_hash_big *h, kv_arena *a);
kv_hash_big *kv_hash_big_compact(kv_hash_big *h, kv_compact *step); /* the same, or where it is now */
const kv_table *kv_hash_big_table(const kv_hash_big *h);
void kv_hash_big_show(const kv_hash_big *h, const void *entry, kv_hash_item *out); /* an entry of the table */
kv_arena *kv_hash_big_arena(const kv_hash_big *h);
size_t kv_hash_big_count(const kv_hash_big *h);
size_t kv_hash_big_memory(const kv_hash_big *h, size_t samples);
bool kv_hash_big_check(const kv_hash_big *h);

/* What is there, expired or not; out may be NULL. */
bool kv_hash_big_get(const kv_hash_big *h, kv_slice field, kv_hash_item *out);
/* Adds or replaces; as kv_hash_set. */
kv_status kv_hash_big_put(kv_hash_big *h, kv_slice field, kv_slice value, int64_t expiry_ms, int64_t now_ms, kv_hash_change *change);
/* Only the expiry. KV_ENOTFOUND. */
kv_status kv_hash_big_set_expiry(kv_hash_big *h, kv_slice field, int64_t expiry_ms);
/* The same two as steps of a larger change: what has been is kept in *was. Either each step is confirmed, in the order in which they were made, or each
 * is taken back, in the reverse order; neither can fail, and nothing else changes the table meanwhile. `field` and `value` live until then. */
kv_status kv_hash_big_try_put(kv_hash_big *h, kv_slice field, kv_slice value, int64_t expiry_ms, int64_t now_ms, kv_hash_change *change,
                              kv_hash_was *was);
kv_status kv_hash_big_try_expiry(kv_hash_big *h, kv_slice field, int64_t expiry_ms, kv_hash_was *was);
void kv_hash_big_confirm(kv_hash_big *h, const kv_hash_was *was);
void kv_hash_big_take_back(kv_hash_big *h, const kv_hash_was *was);
kv_status kv_hash_big_delete(kv_hash_big *h, kv_slice field, int64_t now_ms); /* KV_ENOTFOUND: absent, or expired */

int64_t kv_hash_big_next_expiry(const kv_hash_big *h);
size_t kv_hash_big_volatile(const kv_hash_big *h);
size_t kv_hash_big_expired(const kv_hash_big *h, int64_t now_ms);
size_t kv_hash_big_expire_due(kv_hash_big *h, int64_t now_ms, size_t budget, kv_hash_expired_fn fn, void *ctx);

/* All fields, expired or not. */
void kv_hash_big_iter_init(kv_table_iter *at, const kv_hash_big *h);
bool kv_hash_big_iter_next(kv_table_iter *at, const kv_hash_big *h, kv_hash_item *out);
uint64_t kv_hash_big_scan(const kv_hash_big *h, uint64_t cursor, size_t count, int64_t now_ms, kv_hash_item_fn fn, void *ctx);
bool kv_hash_big_random(const kv_hash_big *h, kv_rng *rng, kv_hash_item *out);

#endif
