/* LZF.
 *
 *   000nnnnn  bytes                     n + 1 literal bytes (1..32)
 *   lllddddd  dddddddd                  a copy of l + 2 bytes (l 1..6: 3..8), from d + 1 back in the output (1..8192); d high bits first
 *   111ddddd  llllllll  dddddddd        a copy of l + 9 bytes (9..264)
 *
 *   in:   a b c d e f a b c d ...       the table says, for a hash of three bytes, where it was met last
 *                     ^ `at`            literals wait from `from` up to `at` until a copy (or the end) writes them out
 *
 * Encoding is greedy: the first copy found is taken. Where no copy turns up for long, positions are skipped, ever more of them, so that bytes that
 * do not compress cost little. The table has one place for each byte of input up to 8192 and only that part of it is cleared: short inputs are
 * cheap. Places hold a position plus one; 0 is empty. What a place says is only a hint, and compared before it is used. */
#include "ds/lzf.h"

#include <string.h>

enum { LITERALS_MAX = 32, COPY_MIN = 3, COPY_MAX = 264, FAR = 8192, TABLE_BITS = 13, SKIP_SHIFT = 6, SKIP_MAX = 31 };

typedef struct encoder {
    uint8_t *out, *limit;
} encoder;

static uint32_t three(const uint8_t *at) { return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2]; }
static uint32_t place_of(uint32_t bytes, unsigned bits) { return bytes * UINT32_C(2654435761) >> (32 - bits); }

/* The bits of a table with a place for each byte, 6 to TABLE_BITS. */
static unsigned table_bits(size_t bytes) {
    unsigned bits = 6;
    while (bits < TABLE_BITS && ((size_t)1 << bits) < bytes) bits++;
    return bits;
}

static bool put_literals(encoder *e, const uint8_t *from, size_t count) {
    while (count > 0) {
        size_t n = count < LITERALS_MAX ? count : LITERALS_MAX;
        if ((size_t)(e->limit - e->out) < n + 1) return false;
        *e->out++ = (uint8_t)(n - 1);
        memcpy(e->out, from, n);
        e->out += n;
        from += n;
        count -= n;
    }
    return true;
}

static bool put_copy(encoder *e, size_t distance, size_t length) {
    size_t back = distance - 1, code = length - 2;
    if (e->limit - e->out < 2 + (code >= 7)) return false;
    if (code < 7) {
        *e->out++ = (uint8_t)(code << 5 | back >> 8);
    } else {
        *e->out++ = (uint8_t)(7 << 5 | back >> 8);
        *e->out++ = (uint8_t)(code - 7);
    }
    *e->out++ = (uint8_t)back;
    return true;
}

/* How far the bytes at `a` and `b` (a < b) agree, at most `left`, which are there behind b, and COPY_MAX. */
static size_t common(const uint8_t *a, const uint8_t *b, size_t left) {
    size_t most = left < COPY_MAX ? left : COPY_MAX, n = 0;
    for (uint64_t x, y; n + 8 <= most; n += 8) {
        memcpy(&x, a + n, 8);
        memcpy(&y, b + n, 8);
        if (x != y) break;
    }
    while (n < most && a[n] == b[n]) n++;
    return n;
}

static size_t stride(size_t literals) {
    size_t skip = literals >> SKIP_SHIFT;
    return 1 + (skip < SKIP_MAX ? skip : SKIP_MAX);
}

size_t kv_lzf_compress(kv_slice in, uint8_t *out, size_t room) {
    if (in.len == 0 || in.len >= UINT32_MAX) return 0;
    uint32_t table[1 << TABLE_BITS];
    unsigned bits = table_bits(in.len);
    memset(table, 0, sizeof *table << bits);
    encoder e = {out, out + room};
    size_t from = 0, at = 0;
    while (at + COPY_MIN <= in.len) {
        uint32_t bytes = three(in.ptr + at), *place = &table[place_of(bytes, bits)];
        size_t seen = *place; /* plus one */
        *place = (uint32_t)at + 1;
        if (seen == 0 || at - --seen > FAR || three(in.ptr + seen) != bytes) {
            at += stride(at - from);
            continue;
        }
        size_t length = common(in.ptr + seen, in.ptr + at, in.len - at);
        if (!put_literals(&e, in.ptr + from, at - from) || !put_copy(&e, at - seen, length)) return 0;
        from = at += length;
        /* The copy's last positions are remembered: what follows a repetition is often repeated, too. */
        if (at + COPY_MIN > in.len) break;
        for (size_t i = at - 2; i < at; i++) table[place_of(three(in.ptr + i), bits)] = (uint32_t)i + 1;
    }
    return put_literals(&e, in.ptr + from, in.len - from) ? (size_t)(e.out - out) : 0;
}

/* Copies within the output; what is read may have been written by the copy itself. `left` is the room behind `to`, at least `length`. */
static void copy_back(uint8_t *to, size_t distance, size_t length, size_t left) {
    size_t n = 0, far = distance;
    if (left >= length + 7) { /* in steps of eight: the last may write up to seven bytes that are written again later */
        if (distance < 8) {   /* what repeats so closely repeats at a multiple of the distance, too, once eight bytes are there */
            for (; n < 8 && n < length; n++) to[n] = to[n - distance];
            far = distance * ((7 + distance) / distance);
        }
        for (; n < length; n += 8) memcpy(to + n, to + n - far, 8);
        return;
    }
    for (; n < length; n++) to[n] = to[n - distance];
}

bool kv_lzf_decompress(kv_slice in, uint8_t *out, size_t bytes) {
    const uint8_t *at = in.ptr, *end = in.ptr + in.len;
    size_t done = 0;
    while (at < end) {
        unsigned lead = *at++;
        size_t length = lead >> 5, left = bytes - done;
        if (length == 0) {
            length = lead + 1;
            if (length > (size_t)(end - at) || length > left) return false;
            memcpy(out + done, at, length);
            at += length;
        } else {
            if (end - at < 1 + (length == 7)) return false;
            if (length == 7) length += *at++;
            size_t distance = ((size_t)(lead & 31) << 8 | *at++) + 1;
            length += 2;
            if (distance > done || length > left) return false;
            copy_back(out + done, distance, length, left);
        }
        done += length;
    }
    return done == bytes;
}
