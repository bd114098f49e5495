/* Duplicate keys are found with an open-addressing table of the keys' hashes and places, at most half full:
 *
 *     slots[0 .. 2^k)   { hash, offset of the key in the listpack }   offset 0 is a free slot (the header is there)
 *
 * Equal hashes are settled by comparing the bytes. The hash is seeded with a constant: the table lives for one call, and bytes chosen to collide
 * cost the one who sent them a quadratic walk of at most one listpack. */
#include "types/pairs.h"

#include "base/siphash.h"
#include "ds/listpack.h"

typedef struct slot {
    uint32_t hash, offset;
} slot;

/* False: the key at `pos` is in the table already. */
static bool note(slot *slots, size_t mask, const uint8_t *lp, const uint8_t *pos) {
    static const kv_hash_seed seed = {0x9ae16a3b2f90404fU, 0xc949c7d36c5fb1bbU};
    char scratch[KV_LP_SCRATCH];
    kv_slice key = kv_lp_text(pos, scratch);
    uint32_t hash = (uint32_t)kv_siphash(&seed, key.ptr, key.len);
    size_t at = hash & mask;
    for (; slots[at].offset != 0; at = (at + 1) & mask)
        if (slots[at].hash == hash && kv_lp_equals(lp + slots[at].offset, key)) return false;
    slots[at] = (slot){hash, (uint32_t)(pos - lp)};
    return true;
}

/* Are the keys, all items or every other one, different from each other? */
static kv_status check(const uint8_t *lp, kv_arena *a, size_t keys, bool pairs) {
    size_t room = 2;
    while (room < keys * 2) room *= 2; /* a listpack's 1 GiB bounds it far below overflow */
    size_t bytes = room * sizeof(slot);
    slot *slots = kv_arena_alloc(a, bytes);
    if (slots == NULL) return KV_ENOMEM;
    memset(slots, 0, bytes);
    kv_status status = KV_OK;
    for (const uint8_t *pos = kv_lp_first(lp); pos != NULL && status == KV_OK; pos = kv_lp_next(lp, pairs ? kv_lp_next(lp, pos) : pos))
        if (!note(slots, room - 1, lp, pos)) status = KV_ECORRUPT;
    kv_arena_free(a, slots, bytes);
    return status;
}

kv_status kv_pairs_check(const uint8_t *lp, kv_arena *a) {
    size_t items = kv_lp_count(lp);
    return items == 0 || items % 2 != 0 ? KV_ECORRUPT : check(lp, a, items / 2, true);
}

kv_status kv_members_check(const uint8_t *lp, kv_arena *a) {
    size_t items = kv_lp_count(lp);
    return items == 0 ? KV_ECORRUPT : check(lp, a, items, false);
}
