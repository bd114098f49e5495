/* SipHash-1-3 (Aumasson and Bernstein, 2012), 64-bit result, 128-bit secret key. Used for every table that holds users' bytes. */
#ifndef KV_BASE_SIPHASH_H
#define KV_BASE_SIPHASH_H
#include "base/slice.h"
typedef struct kv_hash_seed {
    uint64_t k0, k1;
} kv_hash_seed;
uint64_t kv_siphash(const kv_hash_seed *seed, const void *ptr, size_t len);
uint64_t kv_siphash_nocase(const kv_hash_seed *seed, const void *ptr, size_t len); /* ASCII letters folded: command and option names */
#endif
