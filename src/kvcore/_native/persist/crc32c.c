/* Eight bytes a step, by an instruction or by tables. The sum is linear over single bits, so what a byte adds when k bytes follow it is the xor of what
 * its bits add; from the 64 constants below the compiler makes the tables (the same way as in crc64.c). */
#include "persist/crc32c.h"

#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define BIT(n, b, c) ((n) >> (b) & 1 ? UINT32_C(c) : 0)
#define ONE(n, c7, c6, c5, c4, c3, c2, c1, c0) \
    (BIT(n, 7, c7) ^ BIT(n, 6, c6) ^ BIT(n, 5, c5) ^ BIT(n, 4, c4) ^ BIT(n, 3, c3) ^ BIT(n, 2, c2) ^ BIT(n, 1, c1) ^ BIT(n, 0, c0))
#define FOUR(n, ...) ONE(n, __VA_ARGS__), ONE(n + 1, __VA_ARGS__), ONE(n + 2, __VA_ARGS__), ONE(n + 3, __VA_ARGS__)
#define SIXTEEN(n, ...) FOUR(n, __VA_ARGS__), FOUR(n + 4, __VA_ARGS__), FOUR(n + 8, __VA_ARGS__), FOUR(n + 12, __VA_ARGS__)
#define SIXTY_FOUR(n, ...) SIXTEEN(n, __VA_ARGS__), SIXTEEN(n + 16, __VA_ARGS__), SIXTEEN(n + 32, __VA_ARGS__), SIXTEEN(n + 48, __VA_ARGS__)
#define ROWS(...) {SIXTY_FOUR(0, __VA_ARGS__), SIXTY_FOUR(64, __VA_ARGS__), SIXTY_FOUR(128, __VA_ARGS__), SIXTY_FOUR(192, __VA_ARGS__)}

/* add[k][b]: what byte b adds to the sum when k more bytes of its step follow it. Bits from the highest down. */
static const uint32_t add[8][256] = {
    /* clang-format off */
    ROWS(0x82f63b78, 0x417b1dbc, 0x20bd8ede, 0x105ec76f, 0x8ad958cf, 0xc79a971f, 0xe13b70f7, 0xf26b8303),
    ROWS(0xfbc3faf9, 0xff17c604, 0x7f8be302, 0x3fc5f181, 0x9d14c3b8, 0x4e8a61dc, 0x274530ee, 0x13a29877),
    ROWS(0x8b277743, 0xc76580d9, 0xe144fb14, 0x70a27d8a, 0x38513ec5, 0x9edea41a, 0x4f6f520d, 0xa541927e),
    ROWS(0x52a0c93f, 0xaba65fe7, 0xd725148b, 0xe964b13d, 0xf64463e6, 0x7b2231f3, 0xbf672381, 0xdd45aab8),
    ROWS(0x6ea2d55c, 0x37516aae, 0x1ba8b557, 0x8f2261d3, 0xc5670b91, 0xe045beb0, 0x7022df58, 0x38116fac),
    ROWS(0x1c08b7d6, 0x0e045beb, 0x85f4168d, 0xc00c303e, 0x6006181f, 0xb2f53777, 0xdb8ca0c3, 0xef306b19),
    ROWS(0xf56e0ef4, 0x7ab7077a, 0x3d5b83bd, 0x9c5bfaa6, 0x4e2dfd53, 0xa5e0c5d1, 0xd0065990, 0x68032cc8),
    ROWS(0x34019664, 0x1a00cb32, 0x0d006599, 0x847609b4, 0x423b04da, 0x211d826d, 0x9278fa4e, 0x493c7d27),
    /* clang-format on */
};

uint32_t kv_crc32c_tables(uint32_t crc, const void *bytes, size_t len) {
    const uint8_t *at = bytes;
    crc = ~crc;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t next;
        memcpy(&next, at, 8); /* little-endian machines only, as everywhere in the formats */
        next ^= crc;
        crc = add[7][next & 255] ^ add[6][next >> 8 & 255] ^ add[5][next >> 16 & 255] ^ add[4][next >> 24 & 255] ^
              add[3][next >> 32 & 255] ^ add[2][next >> 40 & 255] ^ add[1][next >> 48 & 255] ^ add[0][next >> 56];
    }
    for (; len > 0; at++, len--) crc = add[0][(crc ^ *at) & 255] ^ crc >> 8;
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t len) {
    uint64_t sum = ~crc;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t next;
        memcpy(&next, at, 8);
        sum = _mm_crc32_u64(sum, next);
    }
    uint32_t rest = (uint32_t)sum;
    for (; len > 0; at++, len--) rest = _mm_crc32_u8(rest, *at);
    return ~rest;
}
#endif

uint32_t kv_crc32c(uint32_t crc, const void *bytes, size_t len) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return by_instruction(crc, bytes, len);
#endif
    return kv_crc32c_tables(crc, bytes, len);
}
