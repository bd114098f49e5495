/* Numbers as text, exactly as Valkey reads and prints them. No locale, no allocation. */
#ifndef KV_BASE_NUM_H
#define KV_BASE_NUM_H
#include "base/slice.h"

/* Strict decimal: optional '-', no '+', no spaces, no leading zeros, "-0" refused, fits int64. */
bool kv_parse_i64(kv_slice text, int64_t *out);
bool kv_parse_u64(kv_slice text, uint64_t *out);
/* Scores and increments: the whole text is a decimal ("5", "+.5", "5.", "1e5") or inf/infinity in any case with an optional sign.
 * Refused: spaces, hex, NaN, the empty text, and what overflows or rounds to zero (1e999, 1e-400). */
bool kv_parse_double(kv_slice text, double *out);
/* The ends of score ranges (without their parenthesis) are read with less care: as above, but "" is 0, 1e999 is infinite, 1e-400 is 0,
 * and whatever follows a NUL byte is ignored. */
bool kv_parse_double_bound(kv_slice text, double *out);
/* INCRBYFLOAT: as strtold in the C locale, so hex and infinities are read; below 5120 bytes. Refused: leading space, NaN, overflow,
 * underflow to zero. */
bool kv_parse_long_double(kv_slice text, long double *out);
/* Unsigned decimal with one optional unit as in valkey.conf, any case: k kb m mb g gb (1000 and 1024 based), b. */
bool kv_parse_bytes(kv_slice text, int64_t *out);

#define KV_NUM_MAX 32 /* the room to give; at most 20 bytes are used */
size_t kv_format_i64(char *out, int64_t value);
size_t kv_format_u64(char *out, uint64_t value);
/* Scores, byte for byte as Valkey prints them: text that reads back as the same double, the shortest one in all but 0.2% of cases.
 * "inf", "-inf", "nan", "-0"; integers up to 2^62 in full; exponents as "1e+25", "1.5e-7". No NUL is written (by no format function). */
#define KV_DOUBLE_MAX 40
size_t kv_format_double(char *out, double value); /* room: KV_DOUBLE_MAX */
/* "%.17Lf" with trailing zeros cut: INCRBYFLOAT and HINCRBYFLOAT ("human" form). Returns 0 when it does not fit or is not finite. */
#define KV_LONG_DOUBLE_MAX (5 * 1024)
size_t kv_format_long_double(char *out, size_t cap, long double value);

static inline bool kv_add_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool kv_mul_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool kv_add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool kv_mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
#endif
