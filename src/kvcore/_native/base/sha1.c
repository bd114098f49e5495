/* SHA-1: 64-byte blocks, 80 rounds over a schedule kept as a ring of sixteen words. `block` holds the length % 64 bytes that wait for
 * more. */
#include "base/sha1.h"

static uint32_t rotl(uint32_t x, int k) { return (x << k) | (x >> (32 - k)); }

static void absorb(uint32_t h[5], const uint8_t *block) {
    uint32_t w[16], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 80; i++) {
        int at = i & 15;
        if (i < 16) {
            const uint8_t *p = block + 4 * i;
            w[at] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        } else {
            w[at] = rotl(w[(i + 13) & 15] ^ w[(i + 8) & 15] ^ w[(i + 2) & 15] ^ w[at], 1);
        }
        uint32_t f, k;
        if (i < 20) f = (b & c) | (~b & d), k = 0x5a827999;
        else if (i < 40) f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else f = b ^ c ^ d, k = 0xca62c1d6;
        uint32_t next = rotl(a, 5) + f + e + k + w[at];
        e = d;
        d = c;
        c = rotl(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

void kv_sha1_init(kv_sha1 *sha) { *sha = (kv_sha1){.h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}}; }

void kv_sha1_update(kv_sha1 *sha, const void *bytes, size_t len) {
    const uint8_t *at = bytes;
    size_t held = sha->length % 64;
    sha->length += len;
    if (held > 0) {
        size_t take = 64 - held < len ? 64 - held : len;
        if (take > 0) memcpy(sha->block + held, at, take);
        at += take;
        len -= take;
        if (held + take < 64) return;
        absorb(sha->h, sha->block);
    }
    for (; len >= 64; at += 64, len -= 64) absorb(sha->h, at);
    if (len > 0) memcpy(sha->block, at, len);
}

void kv_sha1_final(kv_sha1 *sha, uint8_t out[KV_SHA1_BYTES]) {
    uint64_t bits = sha->length * 8;
    uint8_t pad[72] = {0x80};
    size_t held = sha->length % 64, fill = (held < 56 ? 56 : 120) - held;
    for (int i = 0; i < 8; i++) pad[fill + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    kv_sha1_update(sha, pad, fill + 8);
    for (int i = 0; i < KV_SHA1_BYTES; i++) out[i] = (uint8_t)(sha->h[i / 4] >> (24 - 8 * (i % 4)));
}

void kv_sha1_of(kv_slice bytes, uint8_t out[KV_SHA1_BYTES]) {
    kv_sha1 sha;
    kv_sha1_init(&sha);
    kv_sha1_update(&sha, bytes.ptr, bytes.len);
    kv_sha1_final(&sha, out);
}

void kv_hex(const uint8_t *bytes, size_t len, char *out) {
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
}
