/* A borrowed run of bytes. It owns nothing; whoever made it says how long it lives. May contain NUL; never NUL-terminated by contract. */
#ifndef KV_BASE_SLICE_H
#define KV_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct kv_slice {
    const uint8_t *ptr; /* may be NULL when len is 0 */
    size_t len;
} kv_slice;

static inline kv_slice kv_slice_of(const void *ptr, size_t len) { return (kv_slice){(const uint8_t *)ptr, len}; }
static inline kv_slice kv_slice_cstr(const char *s) { return (kv_slice){(const uint8_t *)s, strlen(s)}; }
#define KV_LIT(literal) ((kv_slice){(const uint8_t *)(literal), sizeof(literal) - 1})

static inline bool kv_slice_eq(kv_slice a, kv_slice b) { return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0); }

/* memcmp order, shorter first on a common prefix: the order of sorted-set ties. */
int kv_slice_cmp(kv_slice a, kv_slice b);

/* ASCII case-insensitive equality: how command names and option words compare. */
bool kv_slice_eq_nocase(kv_slice a, kv_slice b);

/* The same against a NUL-terminated literal. */
static inline bool kv_slice_is(kv_slice a, const char *word) { return kv_slice_eq_nocase(a, kv_slice_cstr(word)); }

#endif
