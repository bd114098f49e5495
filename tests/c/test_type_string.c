/* sources: base/[a-z]*.c types/string.c */
/* Raw strings against plain arrays, ranges against their definition, and subsequences against an exhaustive search. */
#include "check.h"
#include "base/rng.h"
#include "types/string.h"

static void test_growth(kv_mem *mem, uint64_t seed) {
    enum { MAX = 5000 };
    kv_arena *arena = kv_arena_create(mem);
    CHECK(arena != NULL);
    kv_rng rng;
    kv_rng_seed(&rng, seed);
    static uint8_t model[MAX], piece[300];
    memset(model, 0, sizeof model);
    size_t len = 0;
    kv_str *s = kv_str_new(arena, (kv_slice){0}, 0);
    CHECK(s != NULL);
    for (int step = 0; step < 3000; step++) {
        size_t count = kv_rng_below(&rng, sizeof piece);
        for (size_t i = 0; i < count; i++) piece[i] = (uint8_t)kv_rng_next(&rng);
        kv_slice bytes = kv_slice_of(piece, count);
        size_t offset = kv_rng_below(&rng, 2) == 0 ? len : kv_rng_below(&rng, MAX - 600);
        if (offset + count > MAX) offset = 0;
#ifdef KV_FAULTS
        if (kv_rng_below(&rng, 10) == 0) atomic_store(&mem->fail_after, 0);
#endif
        kv_str *after = offset == len ? kv_str_append(arena, s, bytes) : kv_str_set_range(arena, s, offset, bytes);
        size_t end = offset + count;
#ifdef KV_FAULTS
        atomic_store(&mem->fail_after, -1);
#endif
        if (after != NULL) {
            s = after;
            if (end > len) {
                if (offset > len) memset(model + len, 0, offset - len);
                len = end;
            }
            if (count > 0) memcpy(model + offset, piece, count);
        }
        CHECK(s->len <= s->cap && kv_slice_eq(kv_str_slice(s), kv_slice_of(model, len)));
        if (kv_rng_below(&rng, 50) == 0) {
            kv_str_free(arena, s);
            s = kv_str_new(arena, (kv_slice){0}, kv_rng_below(&rng, 100));
            CHECK(s != NULL);
            len = 0;
        }
    }
    CHECK(kv_str_reserve(arena, s, KV_STR_MAX + 1, false) == NULL);
    kv_str_free(arena, s);
    CHECK(kv_arena_used(arena) == 0);
    kv_arena_destroy(arena);
}

static void test_range(void) {
    kv_slice text = KV_LIT("Hello");
    static const struct {
        int64_t start, end;
        const char *want;
    } cases[] = {{0, -1, "Hello"},
                 {0, 0, "H"},
                 {1, 3, "ell"},
                 {-3, -1, "llo"},
                 {-1, -3, ""},
                 {3, 1, ""},
                 {10, 20, ""},
                 {-100, 1, "He"},
                 {-100, -100, "H"},
                 {0, -100, "H"},
                 {INT64_MIN, INT64_MAX, "Hello"},
                 {INT64_MAX, INT64_MIN, ""},
                 {4, 100, "o"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK(kv_slice_eq(kv_str_range(text, cases[i].start, cases[i].end), kv_slice_cstr(cases[i].want)));
    CHECK(kv_str_range((kv_slice){0}, 0, -1).len == 0);
}

static bool is_subsequence(kv_slice part, kv_slice whole) {
    size_t at = 0;
    for (size_t i = 0; i < whole.len && at < part.len; i++) at += whole.ptr[i] == part.ptr[at];
    return at == part.len;
}

/* Every subset of a's bytes, longest that is in b too. */
static size_t longest_common(kv_slice a, kv_slice b) {
    size_t best = 0;
    for (unsigned set = 0; set < 1u << a.len; set++) {
        uint8_t picked[16];
        size_t n = 0;
        for (size_t i = 0; i < a.len; i++)
            if (set >> i & 1) picked[n++] = a.ptr[i];
        if (n > best && is_subsequence(kv_slice_of(picked, n), b)) best = n;
    }
    return best;
}

static void test_lcs(kv_mem *mem) {
    kv_rng rng;
    kv_rng_seed(&rng, 5);
    for (int round = 0; round < 300; round++) {
        uint8_t x[9], y[12], text[12];
        kv_slice a = kv_slice_of(x, kv_rng_below(&rng, 10)), b = kv_slice_of(y, kv_rng_below(&rng, 13));
        for (size_t i = 0; i < a.len; i++) x[i] = (uint8_t)('a' + kv_rng_below(&rng, 3));
        for (size_t i = 0; i < b.len; i++) y[i] = (uint8_t)('a' + kv_rng_below(&rng, 3));
        kv_lcs lcs;
        CHECK(kv_lcs_init(&lcs, mem, a, b, 1 << 20) == KV_OK);
        size_t len = kv_lcs_length(&lcs), left = len;
        CHECK(len == longest_common(a, b));
        kv_lcs_match match;
        while (kv_lcs_next(&lcs, &match)) {
            CHECK(match.length > 0 && match.length <= left);
            CHECK(memcmp(x + match.a_first, y + match.b_first, match.length) == 0);
            left -= match.length;
            memcpy(text + left, x + match.a_first, match.length);
        }
        CHECK(left == 0 && is_subsequence(kv_slice_of(text, len), a) && is_subsequence(kv_slice_of(text, len), b));
        kv_lcs_deinit(&lcs);
    }
    kv_lcs lcs;
    CHECK(kv_lcs_init(&lcs, mem, KV_LIT("abcdef"), KV_LIT("abcdef"), 100) == KV_ETOOBIG);
}

int main(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    for (uint64_t seed = 1; seed <= 5; seed++) test_growth(&mem, seed);
    test_range();
    test_lcs(&mem);
    CHECK(atomic_load(&mem.used) == 0);
    puts("ok type_string");
    return 0;
}
