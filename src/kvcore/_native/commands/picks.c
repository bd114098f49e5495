/* Sampling without repeats, after Robert Floyd: for j = total - count .. total - 1 draw t in [0, j]; take t unless it was taken, then take j. Each
 * subset is equally likely and each draw is used; the order is shuffled afterwards, since late numbers would tend to be large. */
#include "commands/picks.h"

bool kv_pick_set_init(kv_pick_set *set, kv_mem *mem, uint64_t room) {
    if (room > UINT64_MAX / 64) return false;
    uint64_t slots = 8;
    while (slots < room * 2) slots *= 2;
    *set = (kv_pick_set){.slots = kv_calloc(mem, slots, sizeof *set->slots), .mask = slots - 1, .mem = mem};
    return set->slots != NULL;
}

bool kv_pick_set_add(kv_pick_set *set, uint64_t number) {
    uint64_t at = (number * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & set->mask;
    for (; set->slots[at] != 0; at = (at + 1) & set->mask)
        if (set->slots[at] == number) return false;
    set->slots[at] = number;
    return true;
}

void kv_pick_set_deinit(kv_pick_set *set) { kv_free(set->mem, set->slots); }

uint64_t *kv_picks(kv_mem *mem, kv_rng *rng, uint64_t count, uint64_t total) {
    kv_pick_set taken;
    if (count > SIZE_MAX / sizeof(uint64_t) || !kv_pick_set_init(&taken, mem, count)) return NULL;
    uint64_t *picks = kv_malloc(mem, (count == 0 ? 1 : (size_t)count) * sizeof *picks);
    if (picks != NULL) {
        uint64_t n = 0;
        for (uint64_t j = total - count; j < total; j++, n++) {
            uint64_t t = kv_rng_below(rng, j + 1);
            if (!kv_pick_set_add(&taken, t + 1)) {
                t = j;
                (void)kv_pick_set_add(&taken, t + 1);
            }
            picks[n] = t;
        }
        for (uint64_t i = n; i > 1; i--) {
            uint64_t other = kv_rng_below(rng, i), last = picks[i - 1];
            picks[i - 1] = picks[other];
            picks[other] = last;
        }
    }
    kv_pick_set_deinit(&taken);
    return picks;
}
