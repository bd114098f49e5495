/* Writing primitives: lengths take 1, 2, 5 or 9 bytes; strings are told from integers and packed bytes by the two high bits of the first one. */
#include "persist/rdb_out.h"

#include "base/num.h"
#include "ds/lzf.h"
#include "persist/rdb.h"

/* What shorter strings could save is not worth the look; saving less than this, not the decoding. */
enum { PACK_MIN = 21, PACK_GAIN = 4, INT_TEXT_MAX = 11 };

static void put_big_endian(kv_buf *out, uint8_t head, uint64_t value, unsigned bytes) {
    uint8_t text[9] = {head};
    for (unsigned i = 0; i < bytes; i++) text[1 + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    kv_buf_add(out, text, 1 + bytes);
}

void kv_rdb_put_length(kv_buf *out, uint64_t length) {
    if (length < 1 << 6) kv_buf_add_byte(out, (uint8_t)length);
    else if (length < 1 << 14) put_big_endian(out, (uint8_t)(KV_RDB_LEN_14 | length >> 8), length, 1);
    else if (length <= UINT32_MAX) put_big_endian(out, KV_RDB_LEN_32, length, 4);
    else put_big_endian(out, KV_RDB_LEN_64, length, 8);
}

static bool put_int(kv_buf *out, int64_t value) {
    uint8_t head = value == (int8_t)value ? KV_RDB_INT_8 : value == (int16_t)value ? KV_RDB_INT_16 : KV_RDB_INT_32;
    if (value != (int32_t)value) return false;
    uint8_t text[5] = {head, (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)};
    kv_buf_add(out, text, 1 + ((size_t)1 << (head & 3)));
    return true;
}

void kv_rdb_put_packed(kv_buf *out, kv_slice packed, size_t expanded) {
    kv_buf_add_byte(out, KV_RDB_LZF);
    kv_rdb_put_length(out, packed.len);
    kv_rdb_put_length(out, expanded);
    kv_buf_add_slice(out, packed);
}

/* LZF is written where it would stand if both lengths took nine bytes, then moved to where they end. */
static bool put_lzf(kv_buf *out, kv_slice bytes) {
    enum { FRONT = 1 + 9 + 9 };
    size_t room = bytes.len - PACK_GAIN, at = out->len;
    if (!kv_buf_reserve(out, FRONT + room)) return true; /* out->failed tells */
    uint8_t *packed = out->ptr + at + FRONT;
    size_t len = kv_lzf_compress(bytes, packed, room);
    if (len == 0) return false;
    kv_buf_add_byte(out, KV_RDB_LZF);
    kv_rdb_put_length(out, len);
    kv_rdb_put_length(out, bytes.len);
    memmove(out->ptr + out->len, packed, len);
    out->len += len;
    return true;
}

void kv_rdb_put_blob(kv_buf *out, kv_slice bytes, bool compress) {
    if (compress && bytes.len >= PACK_MIN && put_lzf(out, bytes)) return;
    kv_rdb_put_length(out, bytes.len);
    kv_buf_add_slice(out, bytes);
}

void kv_rdb_put_string(kv_buf *out, kv_slice bytes, bool compress) {
    int64_t value;
    if (bytes.len <= INT_TEXT_MAX && kv_parse_i64(bytes, &value) && put_int(out, value)) return;
    kv_rdb_put_blob(out, bytes, compress);
}

void kv_rdb_put_int_string(kv_buf *out, int64_t value) {
    if (put_int(out, value)) return;
    char text[KV_NUM_MAX];
    kv_rdb_put_blob(out, kv_slice_of(text, kv_format_i64(text, value)), false);
}

void kv_rdb_put_u64(kv_buf *out, uint64_t value) { kv_buf_add(out, &value, sizeof value); /* little-endian machines only */ }

void kv_rdb_put_double(kv_buf *out, double value) { kv_buf_add(out, &value, sizeof value); }
