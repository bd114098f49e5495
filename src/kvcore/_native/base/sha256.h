/* SHA-256 (FIPS 180-4), for passwords, and a comparison whose time tells nothing about the bytes. */
#ifndef KV_BASE_SHA256_H
#define KV_BASE_SHA256_H
#include "base/slice.h"
#define KV_SHA256_BYTES 32
typedef struct kv_sha256 {
    uint32_t h[8];
    uint64_t length; /* bytes so far */
    uint8_t block[64];
} kv_sha256;
void kv_sha256_init(kv_sha256 *sha);
void kv_sha256_update(kv_sha256 *sha, const void *bytes, size_t len);
void kv_sha256_final(kv_sha256 *sha, uint8_t out[KV_SHA256_BYTES]);
void kv_sha256_of(kv_slice bytes, uint8_t out[KV_SHA256_BYTES]);
/* Equality in time that depends on `len` alone: compare digests with it, never plain passwords of differing lengths. */
bool kv_ct_equal(const void *a, const void *b, size_t len);
#endif
