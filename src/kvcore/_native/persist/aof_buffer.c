/* Streams. All that a group needs is made sure of before its first byte is copied. The writer's own SELECT is in small letters: readers know by it that what
 * follows has a checksum line to come (aof_read.c). */
#include "persist/aof_buffer.h"

#include "base/num.h"

enum {
    PIECE = 256 * 1024,
    USUAL = PIECE - (int)sizeof(kv_aof_piece) - KV_AOF_LINE_MAX,
    POOL_MOST = 64, /* 16 MiB: what is under way between two syncs of a busy log */
    POOL_IDLE = 4,
    FRAME_MAX = KV_AOF_SELECT_MAX + 32 /* MULTI, EXEC */
};

size_t kv_aof_select(uint8_t out[KV_AOF_SELECT_MAX], int db) {
    static const char head[] = "*2\r\n$6\r\nselect\r\n$";
    char digits[KV_NUM_MAX];
    size_t len = kv_format_i64(digits, db), at = sizeof head - 1;
    memcpy(out, head, at);
    at += kv_format_u64((char *)out + at, len);
    out[at++] = '\r', out[at++] = '\n';
    memcpy(out + at, digits, len);
    at += len;
    out[at++] = '\r', out[at++] = '\n';
    return at;
}

size_t kv_aof_piece_bytes(const kv_aof_piece *piece) { return sizeof *piece + piece->cap + KV_AOF_LINE_MAX; }

static kv_aof_piece *piece_new(kv_aof_pool *pool, size_t need) {
    kv_aof_piece *piece = need <= USUAL ? pool->free : NULL;
    if (piece != NULL) {
        pool->free = piece->next;
        pool->count--;
    } else {
        size_t cap = need <= USUAL ? USUAL : need, bytes;
        if (__builtin_add_overflow(cap, sizeof *piece + KV_AOF_LINE_MAX, &bytes)) return NULL;
        piece = kv_malloc(pool->mem, bytes);
        if (piece == NULL) return NULL;
        piece->cap = cap;
    }
    piece->next = NULL;
    piece->len = piece->line = 0;
    piece->last = 0;
    piece->db = -1;
    return piece;
}

bool kv_aof_pool_put(kv_aof_pool *pool, kv_aof_piece *piece) {
    if (piece->cap != USUAL || pool->count == POOL_MOST) return false;
    piece->next = pool->free;
    pool->free = piece;
    pool->count++;
    return true;
}

kv_aof_piece *kv_aof_pool_spare(kv_aof_pool *pool) {
    kv_aof_piece *piece = pool->count > POOL_IDLE ? pool->free : NULL;
    if (piece == NULL) return NULL;
    pool->free = piece->next;
    pool->count--;
    return piece;
}

void kv_aof_pool_clear(kv_aof_pool *pool) {
    while (pool->free != NULL) {
        kv_aof_piece *piece = pool->free;
        pool->free = piece->next;
        kv_free(pool->mem, piece);
    }
    pool->count = 0;
}

void kv_aof_list_add(kv_aof_list *list, kv_aof_piece *piece) {
    piece->next = NULL;
    if (list->first == NULL) list->first = piece;
    else list->last->next = piece;
    list->last = piece;
}

void kv_aof_list_join(kv_aof_list *list, kv_aof_list *more) {
    if (more->first == NULL) return;
    if (list->first == NULL) list->first = more->first;
    else list->last->next = more->first;
    list->last = more->last;
    *more = (kv_aof_list){0};
}

kv_aof_piece *kv_aof_list_pop(kv_aof_list *list) {
    kv_aof_piece *piece = list->first;
    if (piece == NULL) return NULL;
    list->first = piece->next;
    if (list->first == NULL) list->last = NULL;
    piece->next = NULL;
    return piece;
}

kv_aof_list kv_aof_stream_take(kv_aof_stream *stream) {
    kv_aof_list taken = stream->pieces;
    stream->pieces = (kv_aof_list){0};
    return taken;
}

static inline void put(kv_aof_piece *piece, const void *bytes, size_t len) {
    memcpy(piece->bytes + piece->len, bytes, len);
    piece->len += len;
}

bool kv_aof_stream_add(kv_aof_stream *stream, kv_aof_pool *pool, const kv_effects *effects, uint64_t number, size_t *added) {
    static const char multi[] = "*1\r\n$5\r\nMULTI\r\n", exec[] = "*1\r\n$4\r\nEXEC\r\n";
    size_t need;
    if (__builtin_add_overflow(effects->bytes.len, FRAME_MAX, &need)) return false;
    kv_aof_piece *piece = stream->pieces.last;
    if (piece == NULL || piece->cap - piece->len < need) {
        piece = piece_new(pool, need);
        if (piece == NULL) return false;
        piece->db = stream->db;
        if (stream->pieces.first == NULL) stream->first = number;
        kv_aof_list_add(&stream->pieces, piece);
    }
    size_t before = piece->len;
    if (stream->db != effects->first_db) piece->len += kv_aof_select(piece->bytes + piece->len, effects->first_db);
    if (effects->count > 1) put(piece, multi, sizeof multi - 1);
    put(piece, effects->bytes.ptr, effects->bytes.len);
    if (effects->count > 1) put(piece, exec, sizeof exec - 1);
    stream->db = effects->last_db;
    piece->last = number;
    *added = piece->len - before;
    return true;
}
