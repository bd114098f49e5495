/* SHA-256: 64-byte blocks, 64 rounds over a schedule kept as a ring of sixteen words. `block` holds the length % 64 bytes that wait for
 * more. */
#include "base/sha256.h"

static const uint32_t round_constants[64] = {
    /* the fractional parts of the cube roots of the first 64 primes */
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotr(uint32_t x, int k) { return (x >> k) | (x << (32 - k)); }

static void absorb(uint32_t h[8], const uint8_t *block) {
    uint32_t w[16], s[8];
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        int at = i & 15;
        if (i < 16) {
            const uint8_t *p = block + 4 * i;
            w[at] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        } else {
            uint32_t early = w[(i + 1) & 15], late = w[(i + 14) & 15];
            w[at] += (rotr(early, 7) ^ rotr(early, 18) ^ early >> 3) + w[(i + 9) & 15] + (rotr(late, 17) ^ rotr(late, 19) ^ late >> 10);
        }
        uint32_t choose = (s[4] & s[5]) ^ (~s[4] & s[6]), most = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        uint32_t t1 = s[7] + (rotr(s[4], 6) ^ rotr(s[4], 11) ^ rotr(s[4], 25)) + choose + round_constants[i] + w[at];
        uint32_t t2 = (rotr(s[0], 2) ^ rotr(s[0], 13) ^ rotr(s[0], 22)) + most;
        memmove(s + 1, s, 7 * sizeof s[0]);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
}

void kv_sha256_init(kv_sha256 *sha) { /* the fractional parts of the square roots of the first eight primes */
    *sha = (kv_sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void kv_sha256_update(kv_sha256 *sha, const void *bytes, size_t len) {
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

void kv_sha256_final(kv_sha256 *sha, uint8_t out[KV_SHA256_BYTES]) {
    uint64_t bits = sha->length * 8;
    uint8_t pad[72] = {0x80};
    size_t held = sha->length % 64, fill = (held < 56 ? 56 : 120) - held;
    for (int i = 0; i < 8; i++) pad[fill + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    kv_sha256_update(sha, pad, fill + 8);
    for (int i = 0; i < KV_SHA256_BYTES; i++) out[i] = (uint8_t)(sha->h[i / 4] >> (24 - 8 * (i % 4)));
}

void kv_sha256_of(kv_slice bytes, uint8_t out[KV_SHA256_BYTES]) {
    kv_sha256 sha;
    kv_sha256_init(&sha);
    kv_sha256_update(&sha, bytes.ptr, bytes.len);
    kv_sha256_final(&sha, out);
}

bool kv_ct_equal(const void *a, const void *b, size_t len) {
    const volatile uint8_t *x = a, *y = b; /* volatile: no early exit may be compiled in */
    uint8_t difference = 0;
    for (size_t i = 0; i < len; i++) difference = (uint8_t)(difference | (x[i] ^ y[i]));
    return difference == 0;
}
