/* Checking a listpack from outside that is to become a hash, a sorted set or a set: no key comes twice. */
#ifndef KV_TYPES_PAIRS_H
#define KV_TYPES_PAIRS_H

#include "base/arena.h"
#include "base/status.h"

/* Items 0, 2, 4, ... are all different, and there is an even, non-zero number of items. KV_ECORRUPT: they are not. KV_ENOMEM.
 * `lp` has passed kv_lp_validate (deep). O(items) expected; scratch memory of 8 bytes a pair comes from `a`. */
kv_status kv_pairs_check(const uint8_t *lp, kv_arena *a);
/* The same for items that are no pairs: all are different, and there is one. */
kv_status kv_members_check(const uint8_t *lp, kv_arena *a);

#endif
