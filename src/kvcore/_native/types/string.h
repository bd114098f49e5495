/* Strings: the growable block behind encoding `raw`, ranges, and the longest common subsequence.
 *
 * A kv_str belongs to the arena it was made in. Functions that change one return it, possibly moved; NULL: out of memory or over KV_STR_MAX, and
 * the old one is as it was. Growing by appends takes amortised O(bytes added). */
#ifndef KV_TYPES_STRING_H
#define KV_TYPES_STRING_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

typedef struct kv_str {
    uint32_t len;
    uint32_t cap; /* bytes that fit; the block is sizeof(kv_str) + cap */
    uint8_t bytes[];
} kv_str;

#define KV_STR_MAX ((size_t)UINT32_MAX - 4096)

static inline kv_slice kv_str_slice(const kv_str *s) { return kv_slice_of(s->bytes, s->len); }
static inline size_t kv_str_block(const kv_str *s) { return sizeof(kv_str) + s->cap; }

/* A string of these bytes with room for at least `reserve` in all. */
kv_str *kv_str_new(kv_arena *arena, kv_slice bytes, size_t reserve);
void kv_str_free(kv_arena *arena, kv_str *s); /* NULL is fine */
/* Room for `need` bytes in all; with `spare`, for later growth too. */
kv_str *kv_str_reserve(kv_arena *arena, kv_str *s, size_t need, bool spare);
kv_str *kv_str_append(kv_arena *arena, kv_str *s, kv_slice bytes); /* `bytes` may not lie inside `s` */
/* Writes at `offset`; a gap behind the old end is filled with NULs. `bytes` may not lie inside `s`. */
kv_str *kv_str_set_range(kv_arena *arena, kv_str *s, size_t offset, kv_slice bytes);

/* The part from `start` to `end`, both included; negative positions count from the end; out of range ones are clamped. */
kv_slice kv_str_range(kv_slice bytes, int64_t start, int64_t end);

/* The longest common subsequence. Time and memory O(a * b): kv_lcs_init refuses with KV_ETOOBIG above max_bytes. */
typedef struct kv_lcs {
    kv_slice a, b;
    uint32_t *table; /* (a.len + 1) * (b.len + 1) lengths for prefixes */
    kv_mem *mem;
    size_t i, j; /* where kv_lcs_next goes on: prefixes still to walk back through */
} kv_lcs;
typedef struct kv_lcs_match {
    size_t a_first, b_first, length; /* equal runs in both */
} kv_lcs_match;
kv_status kv_lcs_init(kv_lcs *lcs, kv_mem *mem, kv_slice a, kv_slice b, size_t max_bytes);
void kv_lcs_deinit(kv_lcs *lcs);
uint32_t kv_lcs_length(const kv_lcs *lcs);
/* The runs that make it up, from the last to the first. False: no more. */
bool kv_lcs_next(kv_lcs *lcs, kv_lcs_match *out);

#endif
