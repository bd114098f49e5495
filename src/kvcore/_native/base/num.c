/* Numbers as text.
 *
 * Doubles are printed by Grisu2 (Loitsch, "Printing floating-point numbers quickly and accurately with integers", PLDI 2010): the number
 * and the two borders of its rounding interval, each 64 bits times a power of two, are scaled by a stored power of ten so that their
 * binary point falls inside a 64-bit word; then digits are cut from the upper border until what is left is inside the interval, and the
 * last digit is moved towards the number.
 *
 *      lower border       number     upper border        in units of 2^e, e in -60..-32 after scaling
 *   --------|----------------+-----------|--------->
 *           [<------- safe interval ---->]               one unit narrower at both ends: the products are inexact
 *
 * The result always reads back as the same double, and is the shortest such text in 99.8% of cases. A shortest-always method (Ryu,
 * Schubfach) was rejected: servers of this protocol print Grisu2's text, and tests compare bytes.
 *
 * Doubles are read by Clinger's fast path (a mantissa up to 2^53 times or over an exact power of ten is one correctly rounded
 * operation), else by strtod on a shortened copy: 770 digits and one that stands for all the rest decide any rounding. The C locale is
 * asked for by name, since the host program may have set another. */
#define _GNU_SOURCE 1 /* strtod_l, strtold_l */
#include "base/num.h"
#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- integers ---- */

static const char pairs[200] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525"
                               "354555657585960616263646566676869"
                               "707172737475767778798081828384858687888990919293949596979899";

static bool is_digit(uint8_t c) { return (uint8_t)(c - '0') < 10; }

bool kv_parse_u64(kv_slice text, uint64_t *out) {
    if (text.len == 0 || text.len > 20) return false;
    if (text.ptr[0] == '0') { /* no leading zeros */
        if (text.len > 1) return false;
        *out = 0;
        return true;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t digit = (uint8_t)(text.ptr[i] - '0');
        if (digit > 9) return false;
        if (i < 19) value = value * 10 + digit; /* 19 digits always fit */
        else if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, digit, &value)) return false;
    }
    *out = value;
    return true;
}

bool kv_parse_i64(kv_slice text, int64_t *out) {
    uint64_t magnitude;
    bool negative = text.len > 0 && text.ptr[0] == '-';
    if (!kv_parse_u64(negative ? kv_slice_of(text.ptr + 1, text.len - 1) : text, &magnitude)) return false;
    if (negative) {
        if (magnitude == 0 || magnitude > (uint64_t)1 << 63) return false;
        *out = (int64_t)(0 - magnitude);
    } else {
        if (magnitude > INT64_MAX) return false;
        *out = (int64_t)magnitude;
    }
    return true;
}

size_t kv_format_u64(char *out, uint64_t value) {
    if (value < 10) {
        out[0] = (char)('0' + value);
        return 1;
    }
    char text[20], *at = text + sizeof text;
    while (value >= 100) {
        at -= 2;
        memcpy(at, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(at, pairs + value * 2, 2);
    } else {
        *--at = (char)('0' + value);
    }
    size_t len = (size_t)(text + sizeof text - at);
    memcpy(out, at, len);
    return len;
}

size_t kv_format_i64(char *out, int64_t value) {
    if (value >= 0) return kv_format_u64(out, (uint64_t)value);
    out[0] = '-';
    return 1 + kv_format_u64(out + 1, 0 - (uint64_t)value);
}

bool kv_parse_bytes(kv_slice text, int64_t *out) {
    static const struct {
        char word[3];
        int64_t scale;
    } units[] = {{"", 1}, {"b", 1}, {"k", 1000}, {"kb", 1 << 10}, {"m", 1000000}, {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30}};
    size_t digits = 0;
    int64_t value = 0;
    for (; digits < text.len && is_digit(text.ptr[digits]); digits++)
        if (!kv_mul_i64(value, 10, &value) || !kv_add_i64(value, text.ptr[digits] - '0', &value)) return false;
    if (digits == 0) return false;
    kv_slice unit = kv_slice_of(text.ptr + digits, text.len - digits);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (kv_slice_is(unit, units[i].word)) return kv_mul_i64(value, units[i].scale, &value) && (*out = value, true);
    return false;
}

/* ---- reading doubles ---- */

enum { DIGITS_KEPT = 770 };

/* A decimal as it was written: value = digits * 10^exponent. */
typedef struct decimal {
    bool negative, infinite;
    const uint8_t *digits; /* significant digits, possibly with a point among them */
    size_t count;          /* significant digits */
    int64_t exponent;
    uint64_t head; /* the first 19 of them as a number */
} decimal;

static bool scan_infinity(kv_slice text, decimal *d) {
    d->infinite = kv_slice_is(text, "inf") || kv_slice_is(text, "infinity");
    return d->infinite;
}

/* The exponent's digits; it saturates, far outside of what any double has. */
static bool scan_exponent(const uint8_t *at, const uint8_t *end, int64_t *out) {
    bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    if (at == end) return false;
    int64_t value = 0;
    for (; at < end; at++) {
        if (!is_digit(*at)) return false;
        if (value < (int64_t)1 << 40) value = value * 10 + (*at - '0');
    }
    *out = negative ? -value : value;
    return true;
}

static bool scan(kv_slice text, decimal *d) {
    *d = (decimal){0};
    const uint8_t *at = text.ptr, *end = at + text.len;
    if (at < end && (*at == '-' || *at == '+')) d->negative = *at++ == '-';
    if (at < end && (*at | 0x20) == 'i') return scan_infinity(kv_slice_of(at, (size_t)(end - at)), d);
    bool point = false, any = false;
    for (; at < end && (is_digit(*at) || (*at == '.' && !point)); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        any = true;
        if (point) d->exponent--;
        if (d->count == 0) {
            if (*at == '0') continue;
            d->digits = at;
        }
        if (d->count++ < 19) d->head = d->head * 10 + (uint64_t)(*at - '0');
    }
    if (!any) return false;
    if (at == end) return true;
    int64_t exponent;
    if ((*at | 0x20) != 'e' || !scan_exponent(at + 1, end, &exponent)) return false;
    d->exponent += exponent;
    return true;
}

static double to_double_slow(const decimal *d) {
    char text[DIGITS_KEPT + 32];
    size_t kept = 0, seen = 0;
    int64_t exponent = d->exponent;
    bool rest = false;
    for (const uint8_t *at = d->digits; seen < d->count; at++) {
        if (*at == '.') continue;
        if (++seen <= DIGITS_KEPT) text[kept++] = (char)*at;
        else rest = rest || *at != '0';
    }
    exponent += (int64_t)(d->count - kept);
    if (rest) {
        text[kept++] = '1';
        exponent--;
    }
    if (exponent > 100000) exponent = 100000;
    if (exponent < -100000) exponent = -100000;
    text[kept++] = 'e';
    kept += kv_format_i64(text + kept, exponent);
    text[kept] = '\0';
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* the constant one: nothing is allocated */
    double value = strtod_l(text, NULL, c);
    freelocale(c);
    return value;
}

/* Overflow gives infinity, underflow zero. */
static double to_double(const decimal *d) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    double value;
    if (d->infinite) value = HUGE_VAL;
    else if (d->count == 0) value = 0;
    else if (d->count <= 19 && d->head <= (uint64_t)1 << 53 && d->exponent >= -22 && d->exponent <= 22 && FLT_EVAL_METHOD == 0)
        value = d->exponent < 0 ? (double)d->head / powers[-d->exponent] : (double)d->head * powers[d->exponent];
    else value = to_double_slow(d);
    return d->negative ? -value : value;
}

/* Eight digits at once: neighbours are joined to pairs, pairs to fours, fours to eight. False: they are not all digits. */
static inline bool eight_digits(const uint8_t *at, uint64_t *out) {
    uint64_t chars = 0;
    for (unsigned i = 0; i < 8; i++) chars |= (uint64_t)at[i] << 8 * i; /* one load where bytes are in this order */
    const uint64_t ones = UINT64_C(0x0101010101010101);
    chars ^= '0' * ones;
    if (((chars | (chars + 0x76 * ones)) & 0x80 * ones) != 0) return false;
    chars = (chars * 10 + (chars >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    chars = (chars * 100 + (chars >> 16)) & UINT64_C(0x0000ffff0000ffff);
    *out = (chars * 10000 + (chars >> 32)) & UINT64_C(0xffffffff);
    return true;
}

/* Up to 15 digits and a sign are exact. False: it is more than that, or no number. */
static inline bool parse_whole(kv_slice text, double *out) {
    const uint8_t *at = text.ptr, *end = at + text.len;
    if (text.len == 0) return false;
    bool negative = *at == '-';
    at += negative;
    if (at == end || end - at > 15) return false;
    uint64_t value = 0;
    if (end - at >= 8) {
        if (!eight_digits(at, &value)) return false;
        at += 8;
    }
    for (; at < end; at++) {
        if (!is_digit(*at)) return false;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    *out = negative ? -(double)value : (double)value;
    return true;
}

bool kv_parse_double(kv_slice text, double *out) {
    decimal d;
    if (parse_whole(text, out)) return true;
    if (!scan(text, &d)) return false;
    double value = to_double(&d);
    if (isinf(value) && !d.infinite) return false;
    if (value == 0 && d.count > 0) return false;
    *out = value;
    return true;
}

bool kv_parse_double_bound(kv_slice text, double *out) {
    const uint8_t *nul = text.len == 0 ? NULL : memchr(text.ptr, 0, text.len);
    if (nul != NULL) text.len = (size_t)(nul - text.ptr);
    decimal d = {0};
    if (text.len > 0 && !scan(text, &d)) return false;
    *out = to_double(&d);
    return true;
}

bool kv_parse_long_double(kv_slice text, long double *out) {
    enum { LIMIT = 5 * 1024 };
    int64_t whole;
    if (text.len < 19 && kv_parse_i64(text, &whole)) {
        *out = (long double)whole;
        return true;
    }
    char copy[LIMIT], *end;
    if (text.len == 0 || text.len >= LIMIT) return false;
    if (text.ptr[0] == ' ' || (text.ptr[0] >= '\t' && text.ptr[0] <= '\r')) return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    int saved = errno;
    errno = 0;
    long double value = strtold_l(copy, &end, c);
    bool out_of_range = errno == ERANGE && (isinf(value) || value == 0);
    errno = saved;
    freelocale(c);
    if (end != copy + text.len || out_of_range || isnan(value)) return false;
    *out = value;
    return true;
}

/* ---- printing doubles ---- */

typedef struct scaled { /* f * 2^e */
    uint64_t f;
    int e;
} scaled;

/* 10^(-348 + 8 i), correctly rounded to 64 bits. */
enum { POWER_FIRST = -348, POWER_STEP = 8, POWER_COUNT = 87 };
static const scaled ten_powers[POWER_COUNT] = {
    {0xfa8fd5a0081c0288, -1220}, {0xbaaee17fa23ebf76, -1193}, {0x8b16fb203055ac76, -1166}, {0xcf42894a5dce35ea, -1140},
    {0x9a6bb0aa55653b2d, -1113}, {0xe61acf033d1a45df, -1087}, {0xab70fe17c79ac6ca, -1060}, {0xff77b1fcbebcdc4f, -1034},
    {0xbe5691ef416bd60c, -1007}, {0x8dd01fad907ffc3c, -980},  {0xd3515c2831559a83, -954},  {0x9d71ac8fada6c9b5, -927},
    {0xea9c227723ee8bcb, -901},  {0xaecc49914078536d, -874},  {0x823c12795db6ce57, -847},  {0xc21094364dfb5637, -821},
    {0x9096ea6f3848984f, -794},  {0xd77485cb25823ac7, -768},  {0xa086cfcd97bf97f4, -741},  {0xef340a98172aace5, -715},
    {0xb23867fb2a35b28e, -688},  {0x84c8d4dfd2c63f3b, -661},  {0xc5dd44271ad3cdba, -635},  {0x936b9fcebb25c996, -608},
    {0xdbac6c247d62a584, -582},  {0xa3ab66580d5fdaf6, -555},  {0xf3e2f893dec3f126, -529},  {0xb5b5ada8aaff80b8, -502},
    {0x87625f056c7c4a8b, -475},  {0xc9bcff6034c13053, -449},  {0x964e858c91ba2655, -422},  {0xdff9772470297ebd, -396},
    {0xa6dfbd9fb8e5b88f, -369},  {0xf8a95fcf88747d94, -343},  {0xb94470938fa89bcf, -316},  {0x8a08f0f8bf0f156b, -289},
    {0xcdb02555653131b6, -263},  {0x993fe2c6d07b7fac, -236},  {0xe45c10c42a2b3b06, -210},  {0xaa242499697392d3, -183},
    {0xfd87b5f28300ca0e, -157},  {0xbce5086492111aeb, -130},  {0x8cbccc096f5088cc, -103},  {0xd1b71758e219652c, -77},
    {0x9c40000000000000, -50},   {0xe8d4a51000000000, -24},   {0xad78ebc5ac620000, 3},     {0x813f3978f8940984, 30},
    {0xc097ce7bc90715b3, 56},    {0x8f7e32ce7bea5c70, 83},    {0xd5d238a4abe98068, 109},   {0x9f4f2726179a2245, 136},
    {0xed63a231d4c4fb27, 162},   {0xb0de65388cc8ada8, 189},   {0x83c7088e1aab65db, 216},   {0xc45d1df942711d9a, 242},
    {0x924d692ca61be758, 269},   {0xda01ee641a708dea, 295},   {0xa26da3999aef774a, 322},   {0xf209787bb47d6b85, 348},
    {0xb454e4a179dd1877, 375},   {0x865b86925b9bc5c2, 402},   {0xc83553c5c8965d3d, 428},   {0x952ab45cfa97a0b3, 455},
    {0xde469fbd99a05fe3, 481},   {0xa59bc234db398c25, 508},   {0xf6c69a72a3989f5c, 534},   {0xb7dcbf5354e9bece, 561},
    {0x88fcf317f22241e2, 588},   {0xcc20ce9bd35c78a5, 614},   {0x98165af37b2153df, 641},   {0xe2a0b5dc971f303a, 667},
    {0xa8d9d1535ce3b396, 694},   {0xfb9b7cd9a4a7443c, 720},   {0xbb764c4ca7a44410, 747},   {0x8bab8eefb6409c1a, 774},
    {0xd01fef10a657842c, 800},   {0x9b10a4e5e9913129, 827},   {0xe7109bfba19c0c9d, 853},   {0xac2820d9623bf429, 880},
    {0x80444b5e7aa7cf85, 907},   {0xbf21e44003acdd2d, 933},   {0x8e679c2f5e44ff8f, 960},   {0xd433179d9c8cb841, 986},
    {0x9e19db92b4e31ba9, 1013},  {0xeb96bf6ebadf77d9, 1039},  {0xaf87023b9bf0ee6b, 1066},
};

static scaled normalize(scaled x) {
    int shift = __builtin_clzll(x.f);
    return (scaled){x.f << shift, x.e - shift};
}

/* The upper 64 bits of the product, rounded to nearest. */
static scaled times(scaled a, scaled b) {
    unsigned __int128 product = (unsigned __int128)a.f * b.f + ((uint64_t)1 << 63);
    return (scaled){(uint64_t)(product >> 64), a.e + b.e + 64};
}

/* The smallest stored power that lifts a number with exponent e to -60 or more; it is then at most -32. */
static int choose_power(int e) {
    int index = (int)((-61 - e - 63 - 1) * 0.30102999566398114 - POWER_FIRST) / POWER_STEP; /* a guess that is never too high */
    if (index < 0) index = 0;
    while (index < POWER_COUNT - 1 && e + ten_powers[index].e + 64 < -60) index++;
    return index;
}

/* Lowers the last digit while that brings the text nearer to the number and keeps it inside the interval. `rest`: how far the digits are
 * below the upper border; `unit`: what one step of the last digit is worth; `distance`: from the number to the upper border. */
static void approach(char *last, uint64_t width, uint64_t rest, uint64_t unit, uint64_t distance) {
    while (rest < distance && width - rest >= unit && (rest + unit < distance || distance - rest > rest + unit - distance)) {
        --*last;
        rest += unit;
    }
}

/* Digits of a number in the interval that ends at `upper` and is `width` long. *exponent is raised by the place of the last digit. */
static int cut_digits(scaled number, scaled upper, uint64_t width, char *digits, int *exponent) {
    static const uint32_t tens[] = {1000000000, 100000000, 10000000, 1000000, 100000, 10000, 1000, 100, 10, 1};
    int shift = -upper.e, count = 0;
    uint64_t mask = ((uint64_t)1 << shift) - 1, distance = upper.f - number.f, fraction = upper.f & mask;
    uint32_t whole = (uint32_t)(upper.f >> shift); /* shift >= 32 */
    for (int place = 9; place >= 0; place--) {
        uint32_t digit = whole / tens[9 - place];
        if (digit != 0 || count != 0) digits[count++] = (char)('0' + digit);
        whole -= digit * tens[9 - place];
        uint64_t rest = ((uint64_t)whole << shift) + fraction;
        if (rest <= width) {
            *exponent += place;
            approach(digits + count - 1, width, rest, (uint64_t)tens[9 - place] << shift, distance);
            return count;
        }
    }
    for (int place = -1;; place--) {
        fraction *= 10;
        width *= 10;
        distance *= 10;
        char digit = (char)(fraction >> shift);
        if (digit != 0 || count != 0) digits[count++] = (char)('0' + digit);
        fraction &= mask;
        if (fraction < width) {
            *exponent += place;
            approach(digits + count - 1, width, fraction, (uint64_t)1 << shift, distance);
            return count;
        }
    }
}

/* Digits and decimal exponent of a positive finite double. */
static int grisu(double value, char digits[20], int *exponent) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    int biased = (int)(bits >> 52);
    scaled v = {biased != 0 ? fraction | (uint64_t)1 << 52 : fraction, (biased != 0 ? biased : 1) - 1075};
    scaled upper = normalize((scaled){v.f * 2 + 1, v.e - 1});
    bool closer = v.f == (uint64_t)1 << 52; /* below a power of two the neighbour is at half the distance */
    scaled lower = closer ? (scaled){v.f * 4 - 1, v.e - 2} : (scaled){v.f * 2 - 1, v.e - 1};
    lower = (scaled){lower.f << (lower.e - upper.e), upper.e};
    int index = choose_power(upper.e);
    scaled power = ten_powers[index];
    *exponent = -(POWER_FIRST + POWER_STEP * index);
    v = times(normalize(v), power);
    upper = times(upper, power);
    lower = times(lower, power);
    upper.f--;
    lower.f++;
    return cut_digits(v, upper, upper.f - lower.f, digits, exponent);
}

/* Puts digits * 10^exponent down: in full when that is not much longer, else as d.ddde+x. */
static size_t lay_out(char *out, const char *digits, int count, int exponent) {
    int first = exponent + count - 1, size = first < 0 ? -first : first; /* the place of the first digit */
    size_t n = (size_t)count, at = 0;
    if (exponent >= 0 && size < count + 7) {
        memcpy(out, digits, n);
        memset(out + n, '0', (size_t)exponent);
        return n + (size_t)exponent;
    }
    if (exponent < 0 && (exponent > -7 || size < 4)) {
        if (first >= 0) {
            size_t whole = (size_t)first + 1;
            memcpy(out, digits, whole);
            out[whole] = '.';
            memcpy(out + whole + 1, digits + whole, n - whole);
            return n + 1;
        }
        size_t zeros = (size_t)(-first) - 1;
        out[at++] = '0';
        out[at++] = '.';
        memset(out + at, '0', zeros);
        memcpy(out + at + zeros, digits, n);
        return at + zeros + n;
    }
    out[at++] = digits[0];
    if (count > 1) {
        out[at++] = '.';
        memcpy(out + at, digits + 1, n - 1);
        at += n - 1;
    }
    out[at++] = 'e';
    out[at++] = first < 0 ? '-' : '+';
    return at + kv_format_u64(out + at, (uint64_t)size);
}

size_t kv_format_double(char *out, double value) {
    if (value >= -0x1p62 && value <= 0x1p62 && (double)(int64_t)value == value && (value != 0 || !signbit(value)))
        return kv_format_i64(out, (int64_t)value);
    if (isnan(value)) {
        memcpy(out, "nan", 3);
        return 3;
    }
    size_t sign = signbit(value) ? 1 : 0;
    out[0] = '-';
    if (isinf(value)) {
        memcpy(out + sign, "inf", 3);
        return sign + 3;
    }
    if (value == 0) { /* only -0 comes here */
        out[1] = '0';
        return 2;
    }
    char digits[20];
    int exponent, count = grisu(fabs(value), digits, &exponent);
    return sign + lay_out(out + sign, digits, count, exponent);
}

size_t kv_format_long_double(char *out, size_t cap, long double value) {
    enum { PLACES = 17 };
    if (!isfinite(value)) return 0;
    if (value > -0x1p62L && value < 0x1p62L && (long double)(int64_t)value == value && cap >= KV_NUM_MAX)
        return kv_format_i64(out, (int64_t)value);
    int wanted = snprintf(out, cap, "%.*Lf", PLACES, value);
    if (wanted <= 0 || (size_t)wanted >= cap) return 0;
    size_t len = (size_t)wanted, whole = 0;
    while (whole < len && (is_digit((uint8_t)out[whole]) || out[whole] == '-')) whole++;
    out[whole] = '.'; /* the locale's point may be another, or several bytes */
    memmove(out + whole + 1, out + len - PLACES, PLACES);
    len = whole + 1 + PLACES;
    while (out[len - 1] == '0') len--;
    if (out[len - 1] == '.') len--;
    if (len == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        len = 1;
    }
    return len;
}
