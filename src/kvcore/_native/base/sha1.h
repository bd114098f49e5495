/* SHA-1 (FIPS 180-4), for DEBUG DIGEST and SCRIPT names only: identity, not security. */
#ifndef KV_BASE_SHA1_H
#define KV_BASE_SHA1_H
#include "base/slice.h"
#define KV_SHA1_BYTES 20
typedef struct kv_sha1 {
    uint32_t h[5];
    uint64_t length; /* bytes so far */
    uint8_t block[64];
} kv_sha1;
void kv_sha1_init(kv_sha1 *sha);
void kv_sha1_update(kv_sha1 *sha, const void *bytes, size_t len);
void kv_sha1_final(kv_sha1 *sha, uint8_t out[KV_SHA1_BYTES]);
void kv_sha1_of(kv_slice bytes, uint8_t out[KV_SHA1_BYTES]);
/* Lower-case hexadecimal of `len` bytes: 2 * len characters, no NUL. */
void kv_hex(const uint8_t *bytes, size_t len, char *out);
#endif
