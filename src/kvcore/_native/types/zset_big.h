/* The table-and-tree form of a sorted set (private to the sorted-set type): see zset_big.c for the drawing. */
#ifndef KV_TYPES_ZSET_BIG_H
#define KV_TYPES_ZSET_BIG_H

#include "types/zset.h"

typedef struct kv_zset_big kv_zset_big;

kv_zset_big *kv_zset_big_new(kv_arena *a, size_t members); /* room for `members` (a hint); NULL: out of memory */
bool kv_zset_big_free_some(kv_zset_big *z, size_t *budget);
kv_zset_big *kv_zset_big_copy(const kv_zset_big *z, kv_arena *a);
const kv_table *kv_zset_big_table(const kv_zset_big *z);
kv_arena *kv_zset_big_arena(const kv_zset_big *z);
size_t kv_zset_big_count(const kv_zset_big *z);
size_t kv_zset_big_memory(const kv_zset_big *z, size_t samples);
bool kv_zset_big_check(const kv_zset_big *z);

bool kv_zset_big_score(const kv_zset_big *z, kv_slice member, double *score);
kv_status kv_zset_big_insert(kv_zset_big *z, kv_slice member, double score); /* the member is not there */
kv_status kv_zset_big_add(kv_zset_big *z, kv_slice member, double score, unsigned flags, kv_zadd_outcome *out, double *result);
/* The same as a step of a larger change, which may fail later. Then each step is settled, the last one first: kept, or undone. That cannot fail. Until
 * then ranks count old elements, too. */
typedef struct kv_zset_was {
    kv_zelem *made; /* NULL: nothing was changed */
    kv_zelem *old;  /* what it replaces, NULL: the member is new */
} kv_zset_was;
kv_status kv_zset_big_try_add(kv_zset_big *z, kv_slice member, double score, unsigned flags, kv_zadd_outcome *out, double *result,
                              kv_zset_was *was);
void kv_zset_big_settle(kv_zset_big *z, const kv_zset_was *was, bool keep);
bool kv_zset_big_remove(kv_zset_big *z, kv_slice member);
void kv_zset_big_remove_ranks(kv_zset_big *z, size_t first, size_t count); /* they are there */
bool kv_zset_big_rank(const kv_zset_big *z, kv_slice member, size_t *rank, double *score);

const kv_ztree *kv_zset_big_tree(const kv_zset_big *z); /* the order: ranges and walking */
uint64_t kv_zset_big_scan(const kv_zset_big *z, uint64_t cursor, size_t count, kv_zset_item_fn fn, void *ctx);

/* ZADD's rules for one member: changes *score to the one it is to have. KV_ENAN. */
static inline kv_status kv_zadd_decide(bool there, double old, unsigned flags, double *score, kv_zadd_outcome *out) {
    double wanted = *score;
    if (wanted != wanted) return KV_ENAN;
    if ((flags & KV_ZADD_NX && there) || (flags & KV_ZADD_XX && !there)) {
        *out = KV_ZADD_REFUSED;
        return KV_OK;
    }
    if (there && flags & KV_ZADD_INCR) wanted += old;
    if (wanted != wanted) return KV_ENAN;
    if (there && ((flags & KV_ZADD_LT && wanted >= old) || (flags & KV_ZADD_GT && wanted <= old))) {
        *out = KV_ZADD_REFUSED;
        return KV_OK;
    }
    *out = !there ? KV_ZADD_ADDED : wanted == old ? KV_ZADD_SAME : KV_ZADD_UPDATED;
    *score = wanted;
    return KV_OK;
}

#endif
