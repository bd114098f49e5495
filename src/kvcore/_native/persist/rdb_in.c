/* Reading primitives. A length is checked against what is left of the source before a byte behind it is touched or a byte of memory asked for. */
#include "persist/rdb_in.h"

#include "base/num.h"
#include "ds/lzf.h"
#include "persist/crc64.h"
#include "persist/rdb.h"

void kv_rdb_in_init(kv_rdb_in *in, kv_mem *mem, kv_slice bytes) {
    *in = (kv_rdb_in){0};
    in->mem = mem;
    in->at = in->summed = bytes.ptr;
    in->end = bytes.ptr + bytes.len;
}

bool kv_rdb_fail(kv_rdb_in *in, kv_status status, const char *problem) {
    if (in->status == KV_OK) {
        in->status = status;
        in->problem = problem;
    }
    return false;
}

uint64_t kv_rdb_sum(kv_rdb_in *in) {
    in->sum = kv_crc64(in->sum, in->summed, (size_t)(in->at - in->summed));
    in->summed = in->at;
    return in->sum;
}

static bool need(kv_rdb_in *in, size_t n) {
    if ((size_t)(in->end - in->at) >= n) return true;
    if (kv_rdb_left(in) < n) return kv_rdb_fail(in, KV_ECORRUPT, "it ends too early");
    return in->more(in, n);
}

const uint8_t *kv_rdb_take(kv_rdb_in *in, size_t n) {
    if (!need(in, n)) return NULL;
    const uint8_t *at = in->at;
    in->at += n;
    return at;
}

bool kv_rdb_byte(kv_rdb_in *in, uint8_t *out) {
    const uint8_t *at = kv_rdb_take(in, 1);
    if (at != NULL) *out = *at;
    return at != NULL;
}

bool kv_rdb_u64(kv_rdb_in *in, uint64_t *out) {
    const uint8_t *at = kv_rdb_take(in, 8);
    if (at != NULL) memcpy(out, at, 8); /* little-endian machines only */
    return at != NULL;
}

bool kv_rdb_double(kv_rdb_in *in, double *out) {
    const uint8_t *at = kv_rdb_take(in, 8);
    if (at != NULL) memcpy(out, at, 8);
    return at != NULL;
}

static bool big_endian(kv_rdb_in *in, unsigned bytes, uint64_t *out) {
    const uint8_t *at = kv_rdb_take(in, bytes);
    if (at == NULL) return false;
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value = value << 8 | at[i];
    *out = value;
    return true;
}

/* The rest of a length that began with `head`, which is not KV_RDB_SPECIAL. */
static bool length_after(kv_rdb_in *in, uint8_t head, uint64_t *out) {
    uint64_t low;
    if (head < KV_RDB_LEN_14) {
        *out = head;
        return true;
    }
    if (head < KV_RDB_LEN_32) {
        if (!big_endian(in, 1, &low)) return false;
        *out = (uint64_t)(head & 0x3f) << 8 | low;
        return true;
    }
    if (head != KV_RDB_LEN_32 && head != KV_RDB_LEN_64) return kv_rdb_fail(in, KV_ECORRUPT, "a length of unknown form");
    return big_endian(in, head == KV_RDB_LEN_32 ? 4 : 8, out);
}

bool kv_rdb_length(kv_rdb_in *in, uint64_t *out) {
    uint8_t head;
    if (!kv_rdb_byte(in, &head)) return false;
    if (head >= KV_RDB_SPECIAL) return kv_rdb_fail(in, KV_ECORRUPT, "a string where a length has to be");
    return length_after(in, head, out);
}

bool kv_rdb_count(kv_rdb_in *in, size_t least, size_t *out) {
    uint64_t count;
    if (!kv_rdb_length(in, &count)) return false;
    if (count > kv_rdb_left(in) / least) return kv_rdb_fail(in, KV_ECORRUPT, "more elements than there are bytes");
    *out = (size_t)count;
    return true;
}

static bool no_memory(kv_rdb_in *in) { return kv_rdb_fail(in, KV_ENOMEM, "out of memory"); }

static bool integer_after(kv_rdb_in *in, uint8_t head, kv_buf *room, kv_slice *out) {
    const uint8_t *at = kv_rdb_take(in, (size_t)1 << (head & 3));
    if (at == NULL) return false;
    int64_t value = head == KV_RDB_INT_8 ? (int8_t)at[0]
                    : head == KV_RDB_INT_16
                        ? (int16_t)(at[0] | at[1] << 8)
                        : (int32_t)((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
    kv_buf_clear(room);
    if (!kv_buf_reserve(room, KV_NUM_MAX)) return no_memory(in);
    room->len = kv_format_i64((char *)room->ptr, value);
    *out = kv_buf_slice(room);
    return true;
}

/* Expands to at most 264 bytes for three: a header that claims more lies. */
static bool packed_sizes(kv_rdb_in *in, uint64_t *packed, uint64_t *expanded) {
    if (!kv_rdb_length(in, packed) || !kv_rdb_length(in, expanded)) return false;
    if (*packed > kv_rdb_left(in)) return kv_rdb_fail(in, KV_ECORRUPT, "it ends too early");
    if (*expanded > KV_RDB_STRING_MAX || *expanded / 264 > *packed || *packed == 0)
        return kv_rdb_fail(in, KV_ECORRUPT, "a compressed string of impossible length");
    return true;
}

static bool packed_after(kv_rdb_in *in, kv_buf *room, kv_slice *out) {
    uint64_t packed, expanded;
    if (!packed_sizes(in, &packed, &expanded)) return false;
    const uint8_t *at = kv_rdb_take(in, (size_t)packed);
    if (at == NULL) return false;
    kv_buf_clear(room);
    if (!kv_buf_grow_exactly(room, (size_t)expanded)) return no_memory(in);
    if (!kv_lzf_decompress(kv_slice_of(at, (size_t)packed), room->ptr, (size_t)expanded))
        return kv_rdb_fail(in, KV_ECORRUPT, "a compressed string does not expand to what it should");
    room->len = (size_t)expanded;
    *out = kv_buf_slice(room);
    return true;
}

static bool string_bytes(kv_rdb_in *in, uint8_t head, uint64_t *len) {
    if (!length_after(in, head, len)) return false;
    if (*len > kv_rdb_left(in)) return kv_rdb_fail(in, KV_ECORRUPT, "it ends too early");
    if (*len > KV_RDB_STRING_MAX) return kv_rdb_fail(in, KV_ECORRUPT, "a string of over four gigabytes");
    return true;
}

bool kv_rdb_string(kv_rdb_in *in, kv_buf *room, kv_slice *out) {
    uint8_t head;
    if (!kv_rdb_byte(in, &head)) return false;
    if (head < KV_RDB_SPECIAL) {
        uint64_t len;
        if (!string_bytes(in, head, &len)) return false;
        const uint8_t *at = kv_rdb_take(in, (size_t)len);
        if (at != NULL) *out = kv_slice_of(at, (size_t)len);
        return at != NULL;
    }
    if (head < KV_RDB_LZF) return integer_after(in, head, room, out);
    if (head == KV_RDB_LZF) return packed_after(in, room, out);
    return kv_rdb_fail(in, KV_ECORRUPT, "a string of unknown form");
}

bool kv_rdb_string_kept(kv_rdb_in *in, kv_buf *room, kv_slice *out) {
    if (!kv_rdb_string(in, room, out)) return false;
    if (in->more == NULL || out->ptr == room->ptr) return true; /* a window that does not move */
    kv_buf_clear(room);
    kv_buf_add_slice(room, *out);
    if (room->failed) return no_memory(in);
    *out = kv_buf_slice(room);
    return true;
}

bool kv_rdb_skip_string(kv_rdb_in *in) {
    uint8_t head;
    uint64_t len, expanded;
    if (!kv_rdb_byte(in, &head)) return false;
    if (head < KV_RDB_SPECIAL) return string_bytes(in, head, &len) && kv_rdb_take(in, (size_t)len) != NULL;
    if (head < KV_RDB_LZF) return kv_rdb_take(in, (size_t)1 << (head & 3)) != NULL;
    if (head == KV_RDB_LZF) return packed_sizes(in, &len, &expanded) && kv_rdb_take(in, (size_t)len) != NULL;
    return kv_rdb_fail(in, KV_ECORRUPT, "a string of unknown form");
}
