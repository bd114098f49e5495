/* sources: base/glob.c base/slice.c base/rng.c base/clock.c */
/* Globs against a recursive matcher and a table of corners that a real server confirmed; and the time that hostile patterns take. */
#include "base/clock.h"
#include "base/glob.h"
#include "base/rng.h"
#include "check.h"

/* The same language, told the slow way: on '*' every rest is tried. */
static bool slow(const char *p, const char *t);

static const char *element_end(const char *p) {
    if (*p == '\\' && p[1] != 0) return p + 2;
    if (*p != '[') return p + 1;
    p++;
    if (*p == '^') p++;
    while (*p != 0 && *p != ']') {
        if (*p == '\\' && p[1] != 0) p += 2;
        else if (p[1] == '-' && p[2] != 0) p += 3;
        else p++;
    }
    return *p == ']' ? p + 1 : p;
}

static bool slow_class(const char *p, const char *end, char c) {
    bool negated = *p == '^', found = false;
    if (negated) p++;
    while (p < end && *p != ']') {
        if (*p == '\\' && p + 1 < end && p[1] != 0) {
            found = found || p[1] == c;
            p += 2;
        } else if (p + 2 < end && p[1] == '-') {
            char low = p[0] < p[2] ? p[0] : p[2], high = p[0] < p[2] ? p[2] : p[0];
            found = found || (c >= low && c <= high);
            p += 3;
        } else {
            found = found || *p == c;
            p++;
        }
    }
    return found != negated;
}

static bool slow(const char *p, const char *t) {
    if (*p == 0) return *t == 0;
    if (*p == '*') return slow(p + 1, t) || (*t != 0 && slow(p, t + 1));
    if (*t == 0) return false;
    const char *end = element_end(p);
    bool one = *p == '?' || (*p == '[' ? slow_class(p + 1, end, *t) : *p == '\\' && p[1] != 0 ? p[1] == *t : *p == *t);
    return one && slow(end, t + 1);
}

static void random_pairs(void) {
    kv_rng rng;
    kv_rng_seed(&rng, 7);
    unsigned hits = 0;
    for (int i = 0; i < 300000; i++) {
        char p[12] = {0}, t[8] = {0};
        size_t pl = kv_rng_below(&rng, 10), tl = 1 + kv_rng_below(&rng, 6);
        for (size_t j = 0; j < pl; j++) p[j] = "abcA-]^[\\**?"[kv_rng_below(&rng, 12)];
        for (size_t j = 0; j < tl; j++) t[j] = "abcA-]^[\\"[kv_rng_below(&rng, 9)];
        bool expected = slow(p, t);
        hits += expected;
        CHECK(kv_glob(kv_slice_cstr(p), kv_slice_cstr(t), false) == expected);
    }
    CHECK(hits > 5000);
}

static void corners(void) {
    static const struct {
        const char *pattern, *text;
        bool nocase, expected;
    } table[] = {{"", "", false, true},
                 {"*", "", false, true},
                 {"**", "", false, false},
                 {"", "a", false, false},
                 {"a*", "a", false, true},
                 {"a**", "a", false, true},
                 {"?", "", false, false},
                 {"h?llo", "hello", false, true},
                 {"h[ae]llo", "hallo", false, true},
                 {"h[^e]llo", "hello", false, false},
                 {"h[a-c]llo", "hbllo", false, true},
                 {"h[c-a]llo", "hbllo", false, true},
                 {"[", "[", false, false},
                 {"[abc", "a", false, true},
                 {"[a-", "-", false, true},
                 {"[]", "]", false, false},
                 {"[^]", "x", false, true},
                 {"\\", "\\", false, true},
                 {"a\\", "a\\", false, true},
                 {"\\*", "*", false, true},
                 {"\\*", "x", false, false},
                 {"[\\]]", "]", false, true},
                 {"[a-]", "-", false, false},
                 {"HELLO", "hello", true, true},
                 {"h[A-C]llo", "hbllo", true, true},
                 {"[a-M]", "b", true, false},
                 {"[\\A]", "a", true, false},
                 {"*lo", "hello", false, true},
                 {"*a*b*c", "xxaxxbxxc", false, true},
                 {"*a*b*c", "xxaxxbxx", false, false}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        CHECK(kv_glob(kv_slice_cstr(table[i].pattern), kv_slice_cstr(table[i].text), table[i].nocase) == table[i].expected);
    CHECK(kv_glob(kv_slice_of("a\0*", 3), kv_slice_of("a\0b", 3), false) &&
          !kv_glob(kv_slice_of("a\0c", 3), kv_slice_of("a\0b", 3), false));
    CHECK(kv_glob_is_literal(KV_LIT("plain-]^")) && !kv_glob_is_literal(KV_LIT("a*")) && !kv_glob_is_literal(KV_LIT("a\\")));
}

static void hostile(void) {
    enum { N = 20000 };
    static char pattern[2 * N + 1], text[N];
    for (int i = 0; i < N; i++) {
        pattern[2 * i] = 'a';
        pattern[2 * i + 1] = '*';
        text[i] = 'a';
    }
    pattern[2 * N] = 'b';
    uint64_t start = kv_mono_ns();
    CHECK(!kv_glob(kv_slice_of(pattern + 2 * N - 200, 201), kv_slice_of(text, N), false)); /* a*a*a*..b, a hundred stars */
    CHECK(!kv_glob(kv_slice_of(pattern, sizeof pattern), kv_slice_of(text, N), false));
    pattern[2 * N] = '[';
    CHECK(!kv_glob(kv_slice_of(pattern, sizeof pattern), kv_slice_of(text, N), false));
    CHECK(kv_mono_ns() - start < 2000000000u);
}

int main(void) {
    corners();
    random_pairs();
    hostile();
    puts("ok glob");
    return 0;
}
