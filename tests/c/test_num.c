/* sources: base/num.c base/slice.c base/rng.c */
/* Numbers as text: tables of what a real server reads and prints, round trips, and the C library as oracle. */
#include "base/num.h"
#include "base/rng.h"
#include "check.h"
#include <math.h>
#include <stdlib.h>

static bool prints(double value, const char *text) {
    char out[KV_DOUBLE_MAX];
    return kv_slice_eq(kv_slice_of(out, kv_format_double(out, value)), kv_slice_cstr(text));
}

static void printed_doubles(void) {
    static const struct {
        double value;
        const char *text;
    } table[] = {{0, "0"},
                 {1, "1"},
                 {-3, "-3"},
                 {0.1, "0.1"},
                 {1.5e-10, "1.5e-10"},
                 {1e-7, "1e-7"},
                 {1e-6, "0.000001"},
                 {1.5e-6, "1.5e-6"},
                 {1.2345678e-5, "1.2345678e-5"},
                 {1.2345678e-4, "1.2345678e-4"},
                 {0.0012345678, "0.0012345678"},
                 {12345.678901234567, "1.2345678901234567e+4"},
                 {9999.999999999998, "9999.999999999998"},
                 {1.2345678901234567e+9, "1.2345678901234567e+9"},
                 {12345678901.234568, "12345678901.234568"},
                 {1e17, "100000000000000000"},
                 {123456789012345680, "123456789012345680"},
                 {1e18, "1000000000000000000"},
                 {1e19, "1e+19"},
                 {1e20, "1e+20"},
                 {9.999999999999998e+19, "99999999999999980000"},
                 {1.2345678901234567e+21, "1234567890123456800000"},
                 {1e23, "99999999999999990000000"},
                 {1e24, "1e+24"},
                 {1e25, "1e+25"},
                 {1.7976931348623157e308, "1.7976931348623157e+308"},
                 {5e-324, "5e-324"},
                 {1e-310, "1e-310"},
                 {0x1p62, "4611686018427387904"},
                 {0x1p62 + 1024, "4611686018427389000"},
                 {-0x1p62, "-4611686018427387904"},
                 {-0x1p63, "-9223372036854776000"},
                 {5.2315739e+19, "52315739000000004000"},
                 {6.195626866399892e-221, "6.1956268663998915e-221"},
                 {432.4851127658292, "432.48511276582917"},
                 {695835846449263.8, "695835846449263.7"},
                 {1.7e-5, "0.000017"},
                 {3.14, "3.14"},
                 {-0.001, "-0.001"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) CHECK(prints(table[i].value, table[i].text));
    CHECK(prints(HUGE_VAL, "inf") && prints(-HUGE_VAL, "-inf") && prints(NAN, "nan") && prints(-0.0, "-0"));
}

static void double_round_trips(void) {
    kv_rng rng;
    kv_rng_seed(&rng, 1);
    for (int i = 0; i < 200000; i++) {
        double value, back;
        uint64_t bits = kv_rng_next(&rng);
        memcpy(&value, &bits, 8);
        if (!isfinite(value)) continue;
        if (i % 3 == 0) value = (double)(int64_t)kv_rng_below(&rng, 2000000000) / 1000 - 1000000;
        if (i % 7 == 0) value = ldexp(1, (int)kv_rng_below(&rng, 2098) - 1074); /* powers of two: a lopsided interval */
        char out[KV_DOUBLE_MAX + 1], c[64];
        size_t len = kv_format_double(out, value);
        CHECK(len <= 25 && kv_parse_double(kv_slice_of(out, len), &back) && memcmp(&back, &value, 8) == 0);
        out[len] = 0;
        CHECK(strtod(out, NULL) == value);
        int n = snprintf(c, sizeof c, i % 2 ? "%.17g" : "%.25e", value);
        CHECK(kv_parse_double(kv_slice_of(c, (size_t)n), &back) && memcmp(&back, &value, 8) == 0);
    }
}

static void read_doubles(void) {
    static const struct {
        const char *text;
        double value;
    } good[] = {{"1e5", 1e5},
                {"infinity", HUGE_VAL},
                {"INF", HUGE_VAL},
                {"+inf", HUGE_VAL},
                {"-Infinity", -HUGE_VAL},
                {"+5", 5},
                {".5", .5},
                {"5.", 5},
                {"-.5", -.5},
                {"1.e5", 1e5},
                {"00012", 12},
                {"1e0000000000000000000005", 1e5},
                {"1E+5", 1e5},
                {"4.9e-324", 5e-324},
                {"1e-310", 1e-310},
                {"0e999999999999999999999", 0},
                {"0.1e-0", .1},
                {"9007199254740993", 9007199254740992.},
                {"1.7976931348623157e308", 1.7976931348623157e308},
                {"123456789012345678901234567890", 123456789012345678901234567890.},
                {"2.5e-5", 2.5e-5}};
    static const char *const bad[] = {"",       " 1",     "1 ",   "1\n",   "nan",   "-nan",
                                      "0x1p3",  "0x10",   ".",    "+",     "-",     "e5",
                                      "1e",     "1e+",    "1_0",  "1,5",   "infi",  "infinityx",
                                      "+-5",    "--5",    "1d",   "1.2.3", "1e999", "-1e999",
                                      "1e-400", "2e-324", "1e5 ", "\t1",   "1e5.5", "1.7976931348623159e308"};
    double value;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK(kv_parse_double(kv_slice_cstr(good[i].text), &value) && value == good[i].value);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) CHECK(!kv_parse_double(kv_slice_cstr(bad[i]), &value));
    CHECK(!kv_parse_double(kv_slice_of("1\0"
                                       "0",
                                       3),
                           &value));
    CHECK(kv_parse_double(KV_LIT("-0"), &value) && value == 0 && signbit(value));
    CHECK(kv_parse_double_bound(KV_LIT(""), &value) && value == 0);
    CHECK(kv_parse_double_bound(KV_LIT("1e999"), &value) && isinf(value) && kv_parse_double_bound(KV_LIT("1e-400"), &value) && value == 0);
    CHECK(kv_parse_double_bound(kv_slice_of("1\0"
                                            "0",
                                            3),
                                &value) &&
          value == 1 && !kv_parse_double_bound(KV_LIT("(1"), &value));
}

/* Longer than any buffer: the halfway case between two doubles, with a digit far behind that decides. */
static void long_doubles_digits(void) {
    static char text[3000];
    int n = snprintf(text, sizeof text, "%.0f", 9007199254740993.0 - 1); /* 2^53, then .. */
    text[n - 1] = '3';                                                   /* .. 2^53 + 1: halfway */
    text[n] = '.';
    memset(text + n + 1, '0', 2000);
    double value;
    CHECK(kv_parse_double(kv_slice_of(text, (size_t)n + 2001), &value) && value == 9007199254740992.0);
    text[n + 1999] = '1';
    CHECK(kv_parse_double(kv_slice_of(text, (size_t)n + 2001), &value) && value == 9007199254740994.0);
    memset(text, '0', sizeof text);
    text[sizeof text - 1] = '7';
    CHECK(kv_parse_double(kv_slice_of(text, sizeof text), &value) && value == 7);
    memset(text, '1', sizeof text);
    CHECK(!kv_parse_double(kv_slice_of(text, sizeof text), &value));
}

static bool incr_text(const char *in, const char *expected) {
    static char out[KV_LONG_DOUBLE_MAX];
    long double value;
    if (!kv_parse_long_double(kv_slice_cstr(in), &value)) return false;
    return kv_slice_eq(kv_slice_of(out, kv_format_long_double(out, sizeof out, value)), kv_slice_cstr(expected));
}

static void long_doubles(void) {
    CHECK(incr_text("0x1p3", "8") && incr_text("1e5", "100000") && incr_text("+.5", "0.5") && incr_text("5.", "5") &&
          incr_text("0.1", "0.1"));
    CHECK(incr_text("-1e-20", "0") && incr_text("1.5e-17", "0.00000000000000002") &&
          incr_text("-0.00000000000000001", "-0.00000000000000001"));
    CHECK(incr_text("123456789.123456789123456789", "123456789.12345678912242875") && incr_text("3.0", "3") &&
          incr_text("1e20", "100000000000000000000"));
    CHECK(incr_text("99999999999999999999.5", "100000000000000000000") && incr_text("-0", "0") && incr_text("1e-4950", "0"));
    static const char *const bad[] = {"", " 1", "1 ", "nan", "1e-4951", "1e-5000", "1e5000", "abc", "1x"};
    long double value;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) CHECK(!kv_parse_long_double(kv_slice_cstr(bad[i]), &value));
    CHECK(kv_parse_long_double(KV_LIT("inf"), &value) && isinf(value) && kv_parse_long_double(KV_LIT("1e4932"), &value));
    char small[64];
    CHECK(kv_format_long_double(small, sizeof small, 1e300L) == 0 &&
          kv_format_long_double(small, sizeof small, (long double)HUGE_VAL) == 0);
    static char digits[5200];
    memset(digits, '3', sizeof digits);
    memcpy(digits, "0.", 2);
    CHECK(kv_parse_long_double(kv_slice_of(digits, 5119), &value) && !kv_parse_long_double(kv_slice_of(digits, 5120), &value));
}

static void integers(void) {
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "-0",
                                      "-01",
                                      "1a",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "1.0"};
    int64_t value;
    uint64_t wide;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) CHECK(!kv_parse_i64(kv_slice_cstr(bad[i]), &value));
    CHECK(kv_parse_i64(KV_LIT("9223372036854775807"), &value) && value == INT64_MAX &&
          kv_parse_i64(KV_LIT("-9223372036854775808"), &value) && value == INT64_MIN);
    CHECK(kv_parse_u64(KV_LIT("18446744073709551615"), &wide) && wide == UINT64_MAX &&
          !kv_parse_u64(KV_LIT("18446744073709551616"), &wide) && !kv_parse_u64(KV_LIT("-1"), &wide));
    kv_rng rng;
    kv_rng_seed(&rng, 3);
    for (int i = 0; i < 100000; i++) {
        int64_t number = (int64_t)(kv_rng_next(&rng) >> kv_rng_below(&rng, 64)) * (i % 2 ? 1 : -1), back;
        char out[KV_NUM_MAX], expected[KV_NUM_MAX];
        size_t len = kv_format_i64(out, number);
        CHECK(snprintf(expected, sizeof expected, "%lld", (long long)number) == (int)len && memcmp(out, expected, len) == 0);
        CHECK(kv_parse_i64(kv_slice_of(out, len), &back) && back == number);
        len = kv_format_u64(out, (uint64_t)number);
        CHECK(kv_parse_u64(kv_slice_of(out, len), &wide) && wide == (uint64_t)number);
    }
    CHECK(kv_parse_bytes(KV_LIT("100"), &value) && value == 100 && kv_parse_bytes(KV_LIT("1k"), &value) && value == 1000);
    CHECK(kv_parse_bytes(KV_LIT("1kb"), &value) && value == 1024 && kv_parse_bytes(KV_LIT("2GB"), &value) && value == (int64_t)2 << 30);
    CHECK(kv_parse_bytes(KV_LIT("3Mb"), &value) && value == 3 << 20 && kv_parse_bytes(KV_LIT("7b"), &value) && value == 7);
    CHECK(!kv_parse_bytes(KV_LIT("1t"), &value) && !kv_parse_bytes(KV_LIT(""), &value) && !kv_parse_bytes(KV_LIT("kb"), &value) &&
          !kv_parse_bytes(KV_LIT("-1"), &value) && !kv_parse_bytes(KV_LIT("9223372036854775807k"), &value) &&
          !kv_parse_bytes(KV_LIT("1 k"), &value));
}

int main(void) {
    printed_doubles();
    double_round_trips();
    read_doubles();
    long_doubles_digits();
    long_doubles();
    integers();
    puts("ok num");
    return 0;
}
