/* xoshiro256** (Blackman and Vigna, 2018), its state filled from one number by SplitMix64, so that no seed gives the all-zero state.
 * Bounded numbers by Lemire's multiply-and-reject (2019): the high word of a 128-bit product, rejecting the few low words that would
 * bias it. */
#include "base/rng.h"
#include <errno.h>
#include <sys/random.h>

static uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

void kv_rng_seed(kv_rng *rng, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        rng->s[i] = z ^ (z >> 31);
    }
}

uint64_t kv_rng_next(kv_rng *rng) {
    uint64_t *s = rng->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t kv_rng_below(kv_rng *rng, uint64_t n) {
    unsigned __int128 product = (unsigned __int128)kv_rng_next(rng) * n;
    if ((uint64_t)product < n) {
        uint64_t threshold = -n % n; /* 2^64 mod n */
        while ((uint64_t)product < threshold) product = (unsigned __int128)kv_rng_next(rng) * n;
    }
    return (uint64_t)(product >> 64);
}

double kv_rng_unit(kv_rng *rng) { return (double)(kv_rng_next(rng) >> 11) * 0x1p-53; }

bool kv_random_bytes(void *out, size_t len) {
    uint8_t *at = out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0) {
            if (errno == EINTR) continue;
            return false;
        }
        at += got;
        len -= (size_t)got;
    }
    return true;
}
