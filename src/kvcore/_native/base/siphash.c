/* SipHash-1-3: one round a word of eight bytes, three at the end. Words are read little-endian whatever the machine, so that a seed gives
 * the same hashes everywhere (tests fix it). The case-folding variant folds each word before mixing it: eight letters in a handful of
 * operations. */
#include "base/siphash.h"

typedef struct state {
    uint64_t v0, v1, v2, v3;
} state;

static inline uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static inline void mix(state *s) {
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 = rotl(s->v2, 32);
}

static inline uint64_t little(uint64_t word) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(word);
#else
    return word;
#endif
}

static inline uint64_t load8(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return little(word);
}

/* The last len & 7 bytes, without a loop: two overlapping loads where there are four or more. */
static inline uint64_t load_tail(const uint8_t *at, size_t len) {
    uint32_t low, high;
    if (len >= 4) {
        memcpy(&low, at, 4);
        memcpy(&high, at + len - 4, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        low = __builtin_bswap32(low);
        high = __builtin_bswap32(high);
#endif
        return (uint64_t)low | (uint64_t)high << ((len - 4) * 8); /* the overlap ORs equal bits */
    }
    if (len == 0) return 0;
    return (uint64_t)at[0] | (uint64_t)at[len >> 1] << ((len >> 1) * 8) | (uint64_t)at[len - 1] << ((len - 1) * 8);
}

/* Lower-cases the ASCII letters among eight bytes: a byte's bit 0x80 in `letters` is set when it lies in 'A'..'Z'. */
static inline uint64_t fold(uint64_t word) {
    const uint64_t ones = 0x0101010101010101u, high = ones * 0x80;
    uint64_t seven = word & ~high;
    uint64_t letters = (seven + ones * (0x80 - 'A')) & ~(seven + ones * (0x7f - 'Z')) & ~word & high;
    return word | letters >> 2;
}

static inline uint64_t hash(const kv_hash_seed *seed, const uint8_t *at, size_t len, bool nocase) {
    state s = {seed->k0 ^ 0x736f6d6570736575u, seed->k1 ^ 0x646f72616e646f6du, seed->k0 ^ 0x6c7967656e657261u,
               seed->k1 ^ 0x7465646279746573u};
    size_t left = len;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word = nocase ? fold(load8(at)) : load8(at);
        s.v3 ^= word;
        mix(&s);
        s.v0 ^= word;
    }
    uint64_t last = load_tail(at, left);
    if (nocase) last = fold(last);
    last |= (uint64_t)len << 56;
    s.v3 ^= last;
    mix(&s);
    s.v0 ^= last;
    s.v2 ^= 0xff;
    mix(&s);
    mix(&s);
    mix(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t kv_siphash(const kv_hash_seed *seed, const void *ptr, size_t len) { return hash(seed, ptr, len, false); }

uint64_t kv_siphash_nocase(const kv_hash_seed *seed, const void *ptr, size_t len) { return hash(seed, ptr, len, true); }
