/* sources: ds/intset.c base/arena.c base/arena_plain.c base/pages.c base/mem.c base/sync.c base/rng.c */
/* The intset against a plain sorted array. */
#include "base/rng.h"
#include "check.h"
#include "ds/intset.h"
#include <string.h>

enum { MAX = 700, STEPS = 20000 };

static int64_t model[MAX];
static size_t count;

static size_t model_place(int64_t member) {
    size_t i = 0;
    while (i < count && model[i] < member) i++;
    return i;
}

static int64_t random_member(kv_rng *rng, unsigned bits) {
    static const int64_t edges[] = {0,
                                    -1,
                                    INT16_MAX,
                                    INT16_MIN,
                                    INT16_MAX + 1,
                                    INT16_MIN - 1,
                                    INT32_MAX,
                                    INT32_MIN,
                                    (int64_t)INT32_MAX + 1,
                                    (int64_t)INT32_MIN - 1,
                                    INT64_MAX,
                                    INT64_MIN};
    size_t usable = bits <= 16 ? 4 : bits <= 32 ? 8 : 12;
    if (kv_rng_below(rng, 10) == 0) return edges[kv_rng_below(rng, usable)];
    if (kv_rng_below(rng, 2) == 0) return (int64_t)kv_rng_below(rng, 600) - 300;
    return (int64_t)(kv_rng_next(rng) << (64 - bits)) >> (64 - bits);
}

static uint8_t *step(kv_arena *arena, uint8_t *set, int64_t member, bool add) {
    size_t place = model_place(member);
    bool there = place < count && model[place] == member, changed = false;
    CHECK(kv_intset_has(set, member) == there);
    if (add && count == MAX) return set;
    uint8_t *moved = add ? kv_intset_add(arena, set, member, &changed) : kv_intset_remove(arena, set, member, &changed);
    if (moved == NULL) return set; /* an injected failure: compared below with the model as it was */
    CHECK(changed == (add != there));
    if (changed) {
        memmove(model + place + (add ? 1 : 0), model + place + (add ? 0 : 1), (count - place - (add ? 0 : 1)) * sizeof model[0]);
        if (add) model[place] = member;
        count = add ? count + 1 : count - 1;
    }
    return moved;
}

static void compare(const uint8_t *set) {
    CHECK(kv_intset_check(set) && kv_intset_count(set) == count);
    for (size_t i = 0; i < count; i++) CHECK(kv_intset_at(set, i) == model[i]);
}

static void random_actions(uint64_t seed, bool faults) {
    kv_mem mem;
    kv_rng rng;
    count = 0;
    kv_mem_init(&mem);
    kv_rng_seed(&rng, seed);
    kv_arena *arena = kv_arena_create(&mem);
    uint8_t *set = kv_intset_new(arena);
    for (int i = 0; i < STEPS; i++) {
        unsigned bits = i < STEPS / 4 ? 15 : i < STEPS / 2 ? 32 : 64;
        int64_t member = count > 0 && kv_rng_below(&rng, 3) == 0 ? model[kv_rng_below(&rng, count)] : random_member(&rng, bits);
        if (faults) atomic_store(&mem.fail_after, (int64_t)kv_rng_below(&rng, 2));
        set = step(arena, set, member, kv_rng_below(&rng, 5) < 3);
        atomic_store(&mem.fail_after, -1);
        if (i % 10 == 0) compare(set);
    }
    uint8_t *copy = kv_intset_dup(arena, set);
    kv_intset_free(arena, set);
    compare(copy);
    CHECK(kv_arena_used(arena) == kv_arena_good_size(kv_intset_bytes(copy)));
    kv_arena_destroy(arena);
}

static void damage(void) {
    uint8_t good[] = {2, 0, 0, 0, 3, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0};
    CHECK(kv_intset_validate(good, sizeof good, true) && kv_intset_at(good, 0) == -1);
    for (size_t len = 0; len < sizeof good; len++) CHECK(!kv_intset_validate(good, len, true));
    uint8_t equal[] = {2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0}, falling[] = {2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0xff, 0xff};
    uint8_t width[] = {3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1}, counted[] = {8, 0, 0, 0, 1, 0, 0, 0x20, 1, 0, 1, 0, 0, 0, 0, 0};
    CHECK(kv_intset_validate(equal, sizeof equal, false) && !kv_intset_validate(equal, sizeof equal, true));
    CHECK(!kv_intset_validate(falling, sizeof falling, true) && !kv_intset_validate(width, sizeof width, false));
    CHECK(!kv_intset_validate(counted, sizeof counted, false));
}

int main(void) {
    damage();
    random_actions(1, false);
    random_actions(2, false);
    random_actions(3, true);
    puts("ok intset");
    return 0;
}
