/* A raw string is one block: length, capacity, bytes.
 *
 *   | len u32 | cap u32 | cap bytes, the first len of them in use |
 *
 * cap is always what the arena's size class gives anyway, so a string that grows by a few bytes stays in place. A string that has grown once gets
 * spare room (as much again below 1 MiB, 1 MiB above): the next append is likely.
 *
 * Longest common subsequence: the classic table L[i][j] = length for the prefixes a[0..i), b[0..j). The way back from the far corner prefers
 * to shorten b when both neighbours are as long, so that the runs found are those that Valkey reports. */
#include "types/string.h"

#include "base/num.h"

#define SPARE_MAX ((size_t)1 << 20)

/* The capacity of the block that the arena would really use for `need` bytes; 0 when that is over the limit. */
static size_t capacity_for(size_t need) {
    if (need > KV_STR_MAX) return 0;
    size_t cap = kv_arena_good_size(sizeof(kv_str) + need) - sizeof(kv_str);
    return cap > UINT32_MAX ? need : cap;
}

kv_str *kv_str_new(kv_arena *arena, kv_slice bytes, size_t reserve) {
    size_t need = bytes.len > reserve ? bytes.len : reserve;
    if (need > KV_STR_MAX) return NULL;
    size_t cap = capacity_for(need);
    kv_str *s = kv_arena_alloc(arena, sizeof(kv_str) + cap);
    if (s == NULL) return NULL;
    s->len = (uint32_t)bytes.len;
    s->cap = (uint32_t)cap;
    if (bytes.len > 0) memcpy(s->bytes, bytes.ptr, bytes.len);
    return s;
}

void kv_str_free(kv_arena *arena, kv_str *s) {
    if (s != NULL) kv_arena_free(arena, s, kv_str_block(s));
}

kv_str *kv_str_reserve(kv_arena *arena, kv_str *s, size_t need, bool spare) {
    if (need <= s->cap) return s;
    if (need > KV_STR_MAX) return NULL;
    size_t want = need;
    if (spare) want += need < SPARE_MAX ? need : SPARE_MAX;
    if (want > KV_STR_MAX) want = need;
    size_t cap = capacity_for(want);
    kv_str *grown = kv_arena_realloc(arena, s, kv_str_block(s), sizeof(kv_str) + cap);
    if (grown == NULL) return NULL;
    grown->cap = (uint32_t)cap;
    return grown;
}

kv_str *kv_str_append(kv_arena *arena, kv_str *s, kv_slice bytes) {
    size_t need;
    if (!kv_add_size(s->len, bytes.len, &need)) return NULL;
    s = kv_str_reserve(arena, s, need, true);
    if (s == NULL) return NULL;
    if (bytes.len > 0) memcpy(s->bytes + s->len, bytes.ptr, bytes.len);
    s->len = (uint32_t)need;
    return s;
}

kv_str *kv_str_set_range(kv_arena *arena, kv_str *s, size_t offset, kv_slice bytes) {
    size_t end;
    if (!kv_add_size(offset, bytes.len, &end)) return NULL;
    s = kv_str_reserve(arena, s, end, true);
    if (s == NULL) return NULL;
    if (offset > s->len) memset(s->bytes + s->len, 0, offset - s->len);
    if (bytes.len > 0) memcpy(s->bytes + offset, bytes.ptr, bytes.len);
    if (end > s->len) s->len = (uint32_t)end;
    return s;
}

kv_slice kv_str_range(kv_slice bytes, int64_t start, int64_t end) {
    int64_t len = (int64_t)bytes.len;
    const kv_slice none = {bytes.ptr, 0};
    if (start < 0 && end < 0 && start > end) return none;
    if (start < 0) start = start < -len ? 0 : start + len;
    if (end < 0) end = end < -len ? 0 : end + len; /* an end before the beginning still gives the first byte */
    if (end >= len) end = len - 1;
    if (start > end || len == 0) return none;
    return kv_slice_of(bytes.ptr + start, (size_t)(end - start + 1));
}

static uint32_t *cell(const kv_lcs *lcs, size_t i, size_t j) { return &lcs->table[i * (lcs->b.len + 1) + j]; }

kv_status kv_lcs_init(kv_lcs *lcs, kv_mem *mem, kv_slice a, kv_slice b, size_t max_bytes) {
    size_t cells, bytes;
    if (a.len >= UINT32_MAX || b.len >= UINT32_MAX || !kv_mul_size(a.len + 1, b.len + 1, &cells) ||
        !kv_mul_size(cells, sizeof(uint32_t), &bytes) || bytes > max_bytes)
        return KV_ETOOBIG;
    uint32_t *table = kv_malloc(mem, bytes);
    if (table == NULL) return KV_ENOMEM;
    *lcs = (kv_lcs){.a = a, .b = b, .table = table, .mem = mem, .i = a.len, .j = b.len};
    memset(table, 0, (b.len + 1) * sizeof *table);
    for (size_t i = 1; i <= a.len; i++) {
        uint32_t *row = cell(lcs, i, 0), *above = cell(lcs, i - 1, 0);
        uint8_t byte = a.ptr[i - 1];
        row[0] = 0;
        for (size_t j = 1; j <= b.len; j++) {
            if (byte == b.ptr[j - 1]) row[j] = above[j - 1] + 1;
            else row[j] = above[j] > row[j - 1] ? above[j] : row[j - 1];
        }
    }
    return KV_OK;
}

void kv_lcs_deinit(kv_lcs *lcs) {
    kv_free(lcs->mem, lcs->table);
    lcs->table = NULL;
}

uint32_t kv_lcs_length(const kv_lcs *lcs) { return *cell(lcs, lcs->a.len, lcs->b.len); }

bool kv_lcs_next(kv_lcs *lcs, kv_lcs_match *out) {
    size_t i = lcs->i, j = lcs->j, length = 0;
    while (i > 0 && j > 0) {
        if (lcs->a.ptr[i - 1] == lcs->b.ptr[j - 1]) {
            length++;
            i--;
            j--;
        } else if (length > 0) {
            break;
        } else if (*cell(lcs, i - 1, j) > *cell(lcs, i, j - 1)) {
            i--;
        } else {
            j--;
        }
    }
    lcs->i = i;
    lcs->j = j;
    if (length == 0) return false;
    *out = (kv_lcs_match){i, j, length};
    return true;
}
