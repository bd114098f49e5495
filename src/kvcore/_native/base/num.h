/* Numbers as text, exactly as Valkey reads and prints them. No locale, no allocation. */
#ifndef KV_BASE_NUM_H
#define KV_BASE_NUM_H
#include "base/slice.h"

/* Strict decimal: optional '-', no '+', no spaces, no leading zeros, "-0" refused, fits int64. */
bool kv_parse_i64(kv_slice text, int64_t *out);
bool kv_parse_u64(kv_slice text, uint64_t *out);
/* strtod-like: whole text, no leading space, "inf"/"+inf"/"-inf"/"infinity" any case, hex refused as Valkey does or accepts; NaN refused. */
bool kv_parse_double(kv_slice text, double *out);
bool kv_parse_long_double(kv_slice text, long double *out);
/* Decimal with one optional unit as in valkey.conf: k kb m mb g gb (1000 and 1024 based), b. */
bool kv_parse_bytes(kv_slice text, int64_t *out);

#define KV_NUM_MAX 32
size_t kv_format_i64(char out[KV_NUM_MAX], int64_t value);
size_t kv_format_u64(char out[KV_NUM_MAX], uint64_t value);
/* The shortest text that reads back as the same double: scores. "inf", "-inf", "nan", "-0"; integers without a point. */
#define KV_DOUBLE_MAX 40
size_t kv_format_double(char out[KV_DOUBLE_MAX], double value);
/* "%.17Lf" with trailing zeros cut: INCRBYFLOAT and HINCRBYFLOAT ("human" form). Returns 0 when it does not fit or is not finite. */
#define KV_LONG_DOUBLE_MAX (5 * 1024)
size_t kv_format_long_double(char *out, size_t cap, long double value);

static inline bool kv_add_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool kv_mul_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool kv_add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool kv_mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
#endif
