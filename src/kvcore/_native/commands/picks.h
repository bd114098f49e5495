/* Distinct random numbers: which members HRANDFIELD and ZRANDMEMBER hand out when asked for some, but not all. */
#ifndef KV_COMMANDS_PICKS_H
#define KV_COMMANDS_PICKS_H

#include "base/mem.h"
#include "base/rng.h"

/* `count` different numbers below `total` (count <= total), in random order; kv_free it. NULL: out of memory. O(count) expected. */
uint64_t *kv_picks(kv_mem *mem, kv_rng *rng, uint64_t count, uint64_t total);

/* A set of non-zero numbers, for telling repeats. */
typedef struct kv_pick_set {
    uint64_t *slots; /* open addressing, linear probing; 0: free */
    uint64_t mask;
    kv_mem *mem;
} kv_pick_set;
bool kv_pick_set_init(kv_pick_set *set, kv_mem *mem, uint64_t room); /* room: how many will be added at most; false: out of memory */
bool kv_pick_set_add(kv_pick_set *set, uint64_t number);             /* false: it was there */
void kv_pick_set_deinit(kv_pick_set *set);

#endif
