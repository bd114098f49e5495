/* Randomness: a small fast generator (xoshiro256**) a thread or shard, seeded from the system or, in tests, from a number. Not for
 * secrets. */
#ifndef KV_BASE_RNG_H
#define KV_BASE_RNG_H
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
typedef struct kv_rng {
    uint64_t s[4];
} kv_rng;
void kv_rng_seed(kv_rng *rng, uint64_t seed);
uint64_t kv_rng_next(kv_rng *rng);
uint64_t kv_rng_below(kv_rng *rng, uint64_t n); /* uniform in [0, n), no modulo bias; n > 0 */
double kv_rng_unit(kv_rng *rng);                /* [0, 1) */
bool kv_random_bytes(void *out, size_t len);    /* getrandom: seeds and ids; false when the system has none */
#endif
