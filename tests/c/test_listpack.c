/* sources: ds/listpack.c base/arena.c base/arena_plain.c base/pages.c base/mem.c base/sync.c base/rng.c base/num.c base/slice.c */
/* The listpack against a plain array of strings, under random changes, failing allocations and damaged bytes. */
#include "base/num.h"
#include "base/rng.h"
#include "check.h"
#include "ds/listpack.h"

enum { MAX_ITEMS = 400, STEPS = 6000 };

typedef struct text {
    char *ptr;
    size_t len;
} text;

typedef struct model {
    text items[MAX_ITEMS];
    size_t count;
} model;

static text make_text(const void *ptr, size_t len) {
    text t = {malloc(len + 1), len};
    CHECK(t.ptr != NULL);
    memcpy(t.ptr, ptr, len);
    t.ptr[len] = 0;
    return t;
}

static void model_splice(model *m, size_t at, size_t remove, const kv_slice *items, size_t count) {
    if (remove > m->count - at) remove = m->count - at;
    for (size_t i = 0; i < remove; i++) free(m->items[at + i].ptr);
    memmove(m->items + at + count, m->items + at + remove, (m->count - at - remove) * sizeof(text));
    for (size_t i = 0; i < count; i++) m->items[at + i] = make_text(items[i].ptr, items[i].len);
    m->count = m->count - remove + count;
}

/* A random item: numbers of all widths and near-numbers, short and long strings. */
static kv_slice random_text(kv_rng *rng, char *buf) {
    static const char *const odd[] = {"",
                                      "-0",
                                      "00",
                                      "01",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "-",
                                      "9223372036854775807",
                                      "-9223372036854775808",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "127",
                                      "128",
                                      "-1",
                                      "4095",
                                      "-4096",
                                      "4096",
                                      "-4097",
                                      "32767",
                                      "-32769",
                                      "8388607",
                                      "-8388609",
                                      "2147483647",
                                      "-2147483649",
                                      "99999999999999999999"};
    uint64_t kind = kv_rng_below(rng, 10);
    if (kind < 3) return kv_slice_cstr(odd[kv_rng_below(rng, sizeof odd / sizeof odd[0])]);
    if (kind < 6)
        return kv_slice_of(buf, kv_format_i64(buf, (int64_t)(kv_rng_next(rng) >> kv_rng_below(rng, 64)) * (kv_rng_below(rng, 2) ? 1 : -1)));
    size_t len = kind == 6 ? kv_rng_below(rng, 6000) : kind == 7 ? 60 + kv_rng_below(rng, 10) : kv_rng_below(rng, 20);
    for (size_t i = 0; i < len; i++) buf[i] = (char)kv_rng_next(rng);
    return kv_slice_of(buf, len);
}

static bool same(const uint8_t *pos, const text *t) {
    char scratch[KV_LP_SCRATCH];
    return kv_slice_eq(kv_lp_text(pos, scratch), kv_slice_of(t->ptr, t->len)) && kv_lp_equals(pos, kv_slice_of(t->ptr, t->len));
}

static void compare(const uint8_t *lp, const model *m) {
    CHECK(kv_lp_check(lp) && kv_lp_count(lp) == m->count);
    const uint8_t *pos = kv_lp_first(lp);
    for (size_t i = 0; i < m->count; i++, pos = kv_lp_next(lp, pos)) CHECK(pos != NULL && same(pos, &m->items[i]));
    CHECK(pos == NULL);
    pos = kv_lp_last(lp);
    for (size_t i = m->count; i-- > 0; pos = kv_lp_prev(lp, pos)) CHECK(pos != NULL && same(pos, &m->items[i]));
    CHECK(pos == NULL);
}

static void check_lookups(const uint8_t *lp, const model *m, kv_rng *rng, char *buf) {
    int64_t index = (int64_t)kv_rng_below(rng, 2 * m->count + 4) - (int64_t)m->count - 2;
    int64_t wanted = index < 0 ? index + (int64_t)m->count : index;
    const uint8_t *pos = kv_lp_at(lp, index);
    if (wanted < 0 || wanted >= (int64_t)m->count) CHECK(pos == NULL);
    else CHECK(pos != NULL && same(pos, &m->items[wanted]));
    kv_slice needle = random_text(rng, buf);
    if (m->count > 0 && kv_rng_below(rng, 2)) {
        const text *t = &m->items[kv_rng_below(rng, m->count)];
        needle = kv_slice_of(t->ptr, t->len);
    }
    size_t skip = kv_rng_below(rng, 3), i = 0;
    while (i < m->count && !kv_slice_eq(needle, kv_slice_of(m->items[i].ptr, m->items[i].len))) i += skip + 1;
    CHECK(kv_lp_find(lp, kv_lp_first(lp), needle, skip) == (i < m->count ? kv_lp_at(lp, (int64_t)i) : NULL));
}

static uint8_t *random_change(kv_arena *arena, uint8_t *lp, model *m, kv_rng *rng, char *buf) {
    kv_slice slices[3];
    kv_lp_item items[3];
    size_t at = kv_rng_below(rng, m->count + 1), remove = 0, count = 0, need = 0;
    const uint8_t *pos = kv_lp_at(lp, (int64_t)at), *out = NULL;
    if (m->count > 0 && kv_rng_below(rng, m->count > 200 ? 2 : 3) == 0) remove = kv_rng_below(rng, 4) == 0 ? kv_rng_below(rng, 40) : 1;
    if (remove == 0 || kv_rng_below(rng, 3) == 0) count = 1 + (kv_rng_below(rng, 4) == 0 ? kv_rng_below(rng, 3) : 0);
    if (m->count + count > MAX_ITEMS) count = 0;
    for (size_t i = 0; i < count; i++) {
        slices[i] = random_text(rng, buf + i * 8192);
        items[i] = kv_lp_str(slices[i]);
        need += kv_lp_item_bytes(items[i]);
    }
    size_t before = kv_lp_bytes(lp), gone = 0;
    const uint8_t *walk = pos;
    for (size_t i = 0; i < remove && walk != NULL; i++, walk = kv_lp_next(lp, walk)) gone += kv_lp_entry_bytes(walk);
    uint8_t *moved = kv_lp_splice(arena, lp, pos, remove, items, count, &out);
    if (moved == NULL) { /* a failure was injected: nothing may have changed */
        compare(lp, m);
        return lp;
    }
    CHECK(kv_lp_bytes(moved) == before - gone + need);
    model_splice(m, at, remove, slices, count);
    CHECK(out == (at < m->count ? kv_lp_at(moved, (int64_t)at) : NULL));
    return moved;
}

static uint8_t *random_rewrite(kv_arena *arena, uint8_t *lp, model *m, kv_rng *rng, char *buf) {
    kv_lp_patch patches[3];
    kv_lp_item tail[3];
    kv_slice texts[6];
    size_t at[3], patch_count = 0, tail_count = kv_rng_below(rng, 4);
    for (size_t i = 0; i < m->count && patch_count < 3; i += 1 + kv_rng_below(rng, 40)) {
        bool same_size = kv_rng_below(rng, 2) == 0;
        kv_slice old = kv_slice_of(m->items[i].ptr, m->items[i].len);
        texts[patch_count] = same_size ? old : random_text(rng, buf + patch_count * 8192);
        patches[patch_count] = (kv_lp_patch){kv_lp_at(lp, (int64_t)i), kv_lp_str(texts[patch_count])};
        at[patch_count++] = i;
    }
    if (m->count + tail_count > MAX_ITEMS) tail_count = 0;
    for (size_t i = 0; i < tail_count; i++) tail[i] = kv_lp_str(texts[3 + i] = random_text(rng, buf + (3 + i) * 8192));
    uint8_t *moved = kv_lp_rewrite(arena, lp, patches, patch_count, tail, tail_count);
    if (moved == NULL) {
        compare(lp, m);
        return lp;
    }
    for (size_t i = 0; i < patch_count; i++) {
        text old = m->items[at[i]];
        m->items[at[i]] = make_text(texts[i].ptr, texts[i].len);
        free(old.ptr);
    }
    model_splice(m, m->count, 0, texts + 3, tail_count);
    compare(moved, m);
    return moved;
}

static void random_rotation(uint8_t *lp, model *m, kv_rng *rng) {
    if (m->count == 0) return;
    bool from_head = kv_rng_below(rng, 2) == 0;
    text moving = m->items[from_head ? 0 : m->count - 1];
    memmove(m->items + !from_head, m->items + from_head, (m->count - 1) * sizeof(text));
    m->items[from_head ? m->count - 1 : 0] = moving;
    kv_lp_rotate(lp, from_head);
    compare(lp, m);
}

static void random_actions(uint64_t seed, bool faults) {
    kv_mem mem;
    kv_rng rng;
    static model m;
    static char buf[6 * 8192];
    memset(&m, 0, sizeof m);
    kv_mem_init(&mem);
    kv_rng_seed(&rng, seed);
    kv_arena *arena = kv_arena_create(&mem);
    uint8_t *lp = kv_lp_new(arena);
    for (int step = 0; step < STEPS; step++) {
        if (faults) atomic_store(&mem.fail_after, (int64_t)kv_rng_below(&rng, 3));
        if (step % 5 != 4) lp = random_change(arena, lp, &m, &rng, buf);
        else lp = random_rewrite(arena, lp, &m, &rng, buf);
        if (step % 25 == 0) random_rotation(lp, &m, &rng);
        atomic_store(&mem.fail_after, -1);
        check_lookups(lp, &m, &rng, buf);
        if (step % 10 == 0 || m.count < 5) compare(lp, &m);
    }
    compare(lp, &m);
    CHECK(kv_arena_used(arena) == kv_arena_good_size(kv_lp_bytes(lp)));
    kv_lp_free(arena, lp);
    CHECK(kv_arena_used(arena) == 0);
    kv_arena_destroy(arena);
    model_splice(&m, 0, m.count, NULL, 0);
}

/* Bytes as a real server dumps them. */
static void known_bytes(kv_arena *arena) {
    static const uint8_t expected[] = {36,   0,    0,    0, 6, 0, 0x05, 0x01, 0x83, 'a', 'b',  'c',  0x04, 0xdf, 0xff, 0x02, 0xf1, 0xe8,
                                       0x23, 0x03, 0xf4, 0, 0, 0, 0,    0,    0,    0,   0x80, 0x09, 0xf2, 0x00, 0x00, 0x10, 0x04, 0xff};
    uint8_t *lp = kv_lp_new(arena);
    lp = kv_lp_append(arena, lp, KV_LIT("5"));
    lp = kv_lp_append(arena, lp, KV_LIT("abc"));
    lp = kv_lp_append_int(arena, lp, -1);
    lp = kv_lp_append(arena, lp, KV_LIT("9192"));
    lp = kv_lp_append(arena, lp, KV_LIT("-9223372036854775808"));
    lp = kv_lp_append(arena, lp, KV_LIT("1048576"));
    CHECK(kv_lp_bytes(lp) == sizeof expected && lp[0] == sizeof expected);
    CHECK(memcmp(lp + 4, expected + 4, sizeof expected - 4) == 0);
    lp = kv_lp_prepend(arena, lp, KV_LIT("x"));
    lp = kv_lp_insert_after(arena, lp, kv_lp_first(lp), KV_LIT("y"), NULL);
    const uint8_t *pos;
    lp = kv_lp_insert_before(arena, lp, kv_lp_last(lp), KV_LIT("z"), &pos);
    CHECK(kv_lp_equals(pos, KV_LIT("z")) && kv_lp_count(lp) == 9);
    lp = kv_lp_replace(arena, lp, pos, KV_LIT("12345678901234567890"), &pos);
    CHECK(kv_lp_equals(pos, KV_LIT("12345678901234567890")));
    lp = kv_lp_delete(arena, lp, pos, &pos);
    CHECK(kv_lp_equals(pos, KV_LIT("1048576")) && pos == kv_lp_last(lp));
    lp = kv_lp_delete_range(arena, lp, -3, 100);
    CHECK(kv_lp_count(lp) == 5);
    lp = kv_lp_delete_range(arena, lp, 5, 1);
    CHECK(kv_lp_count(lp) == 5);
    lp = kv_lp_delete_range(arena, lp, 0, 5);
    CHECK(kv_lp_count(lp) == 0 && kv_lp_bytes(lp) == KV_LP_EMPTY_BYTES && kv_lp_first(lp) == NULL && kv_lp_last(lp) == NULL);
    kv_lp_free(arena, lp);
}

static void back_length_limits(kv_arena *arena) {
    static char big[300000];
    for (size_t len = 1; len < sizeof big;
         len = len < 130 || (len > 4090 && len < 4100) || (len > 16370 && len < 16390) ? len + 1 : len * 9 / 8) {
        uint8_t *lp = kv_lp_new(arena);
        memset(big, 'q', len);
        lp = kv_lp_append(arena, lp, kv_slice_of(big, len));
        lp = kv_lp_append_int(arena, lp, 7);
        CHECK(kv_lp_check(lp) && kv_lp_prev(lp, kv_lp_last(lp)) == kv_lp_first(lp));
        CHECK(kv_lp_next(lp, kv_lp_first(lp)) == kv_lp_last(lp) && kv_lp_get(kv_lp_first(lp)).str.len == len);
        CHECK(kv_lp_bytes(lp) == KV_LP_EMPTY_BYTES + 2 + kv_lp_item_bytes(kv_lp_str(kv_slice_of(big, len))));
        kv_lp_free(arena, lp);
    }
}

/* More items than the header can count. */
static void many_items(kv_arena *arena) {
    uint8_t *lp = kv_lp_new(arena), *other;
    for (int i = 0; i < 70000; i++) CHECK((lp = kv_lp_append_int(arena, lp, i)) != NULL);
    CHECK(kv_lp_count(lp) == 70000 && kv_lp_get(kv_lp_at(lp, 69999)).num == 69999 && kv_lp_get(kv_lp_at(lp, -70000)).num == 0);
    CHECK(kv_lp_at(lp, 70000) == NULL && kv_lp_at(lp, -70001) == NULL && kv_lp_at(lp, INT64_MIN) == NULL &&
          kv_lp_at(lp, INT64_MAX) == NULL);
    other = kv_lp_dup(arena, lp);
    lp = kv_lp_delete_range(arena, lp, 100, 1000000);
    CHECK(kv_lp_count(lp) == 100 && kv_lp_check(lp));
    lp = kv_lp_merge(arena, lp, other);
    CHECK(kv_lp_count(lp) == 70100 && kv_lp_check(lp) && kv_lp_get(kv_lp_at(lp, 100)).num == 0);
    lp = kv_lp_delete_range(arena, lp, 0, SIZE_MAX);
    CHECK(lp[4] == 0 && lp[5] == 0 && kv_lp_count(lp) == 0);
    kv_lp_free(arena, lp);
}

/* Every single-byte change of a listpack, and every cut, either is refused or can be walked without leaving the bytes. */
static void damage(kv_arena *arena, uint64_t seed) {
    kv_rng rng;
    kv_rng_seed(&rng, seed);
    uint8_t *lp = kv_lp_new(arena);
    static char buf[8192];
    for (int i = 0; i < 25; i++) {
        kv_slice item = random_text(&rng, buf);
        if (item.len < 300) lp = kv_lp_append(arena, lp, item);
    }
    size_t bytes = kv_lp_bytes(lp);
    for (size_t i = 0; i <= bytes; i++) CHECK(!kv_lp_validate(lp, i, true) || i == bytes);
    uint8_t *copy = malloc(bytes); /* exactly as long: the address sanitizer sees any step beyond */
    CHECK(copy != NULL);
    for (size_t i = 0; i < bytes; i++) {
        for (int v = 0; v < 256; v += v < 200 ? 7 : 1) {
            memcpy(copy, lp, bytes);
            copy[i] = (uint8_t)v;
            if (!kv_lp_validate(copy, bytes, true)) continue;
            size_t seen = 0;
            for (const uint8_t *pos = kv_lp_first(copy); pos != NULL; pos = kv_lp_next(copy, pos)) {
                char scratch[KV_LP_SCRATCH];
                kv_slice item = kv_lp_text(pos, scratch);
                if (item.len > 0) seen += item.ptr[item.len - 1] & 0u;
                seen++;
            }
            for (const uint8_t *pos = kv_lp_last(copy); pos != NULL; pos = kv_lp_prev(copy, pos)) seen--;
            CHECK(seen == 0);
        }
    }
    free(copy);
    kv_lp_free(arena, lp);
}

int main(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *arena = kv_arena_create(&mem);
    known_bytes(arena);
    back_length_limits(arena);
    many_items(arena);
    for (uint64_t seed = 1; seed <= 5; seed++) damage(arena, seed);
    CHECK(kv_arena_used(arena) == 0);
    kv_arena_destroy(arena);
    random_actions(1, false);
    random_actions(2, false);
    random_actions(3, true);
    puts("ok listpack");
    return 0;
}
