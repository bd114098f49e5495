/* Eight bytes a step. The sum is linear over single bits, so what a byte adds when k bytes follow it is the xor of what its bits add:
 *
 *     step(c) = c >> 1 ^ (c & 1 ? polynomial : 0)        one bit further
 *     add[k][1 << (7 - j)] = step^(8k + j)(polynomial)   the 64 constants below, in order
 *
 * from which the compiler makes the eight tables of 256, constant data. */
#include "persist/crc64.h"

#include <string.h>

#define BIT(n, b, c) ((n) >> (b) & 1 ? UINT64_C(c) : 0)
#define ONE(n, c7, c6, c5, c4, c3, c2, c1, c0) \
    (BIT(n, 7, c7) ^ BIT(n, 6, c6) ^ BIT(n, 5, c5) ^ BIT(n, 4, c4) ^ BIT(n, 3, c3) ^ BIT(n, 2, c2) ^ BIT(n, 1, c1) ^ BIT(n, 0, c0))
#define FOUR(n, ...) ONE(n, __VA_ARGS__), ONE(n + 1, __VA_ARGS__), ONE(n + 2, __VA_ARGS__), ONE(n + 3, __VA_ARGS__)
#define SIXTEEN(n, ...) FOUR(n, __VA_ARGS__), FOUR(n + 4, __VA_ARGS__), FOUR(n + 8, __VA_ARGS__), FOUR(n + 12, __VA_ARGS__)
#define SIXTY_FOUR(n, ...) SIXTEEN(n, __VA_ARGS__), SIXTEEN(n + 16, __VA_ARGS__), SIXTEEN(n + 32, __VA_ARGS__), SIXTEEN(n + 48, __VA_ARGS__)
#define ROWS(...) {SIXTY_FOUR(0, __VA_ARGS__), SIXTY_FOUR(64, __VA_ARGS__), SIXTY_FOUR(128, __VA_ARGS__), SIXTY_FOUR(192, __VA_ARGS__)}

/* add[k][b]: what byte b adds to the sum when k more bytes of its step follow it. */
static const uint64_t add[8][256] = {
    /* clang-format off */
    ROWS(0x95ac9329ac4bc9b5, 0xdf7adabd7a6e2d6f, 0xfa11fe77117cdf02, 0x7d08ff3b88be6f81, 0xab28ecb46814fe75, 0xc038e5739841b68f, 0xf5b0e190606b12f2, 0x7ad870c830358979),
    ROWS(0xa8c0ab4db4510d09, 0xc1ccc68f76634f31, 0xf54af06e177a6e2d, 0xef09eb1ea7f6fea3, 0xe22866a6ffb0b6e4, 0x711433537fd85b72, 0x388a19a9bfec2db9, 0x89e99ffd73bddf69),
    ROWS(0xd1585cd715952601, 0xfd00bd4226815ab5, 0xeb2ccd88bf0b64ef, 0xe03af5edf3ce7bc2, 0x701d7af6f9e73de1, 0xada22e52d0b85745, 0xc37d8400c417e217, 0xf4125129ce4038be),
    ROWS(0x7a092894e7201c5f, 0xa8a80763dfdbc79a, 0x545403b1efede3cd, 0xbf8692f15bbd3853, 0xca6fda510195559c, 0x6537ed2880caaace, 0x329bf69440655567, 0x8ce168638c796306),
    ROWS(0x4670b431c63cb183, 0xb694c9314f559174, 0x5b4a6498a7aac8ba, 0x2da5324c53d5645d, 0x837e0a0f85a17b9b, 0xd413962e6e9b7478, 0x6a09cb17374dba3c, 0x3504e58b9ba6dd1e),
    ROWS(0x1a8272c5cdd36e8f, 0x98edaa4b4aa27ef2, 0x4c76d525a5513f79, 0xb397f9bb7ee35609, 0xcc676ff4133a62b1, 0xf39f24d3a5d6f8ed, 0xec6301407ea0b5c3, 0xe39d1389931b9354),
    ROWS(0x71ce89c4c98dc9aa, 0x38e744e264c6e4d5, 0x89df31589e28bbdf, 0xd1430b85e35f945a, 0x68a185c2f1afca2d, 0xa1fc51c8d49c2ca3, 0xc552bbcdc605dfe4, 0x62a95de6e302eff2),
    ROWS(0x3154aef3718177f9, 0x8d06c450148b7249, 0xd32ff101a60e7091, 0xfc3b6ba97f4cf1fd, 0xebb126fd13edb14b, 0xe074005725bd1110, 0x703a002b92de8888, 0x381d0015c96f4444),
    /* clang-format on */
};

uint64_t kv_crc64(uint64_t crc, const void *bytes, size_t len) {
    const uint8_t *at = bytes;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t next;
        memcpy(&next, at, 8); /* little-endian machines only, as everywhere in the formats */
        crc ^= next;
        crc = add[7][crc & 255] ^ add[6][crc >> 8 & 255] ^ add[5][crc >> 16 & 255] ^ add[4][crc >> 24 & 255] ^ add[3][crc >> 32 & 255] ^
              add[2][crc >> 40 & 255] ^ add[1][crc >> 48 & 255] ^ add[0][crc >> 56];
    }
    for (; len > 0; at++, len--) crc = add[0][(crc ^ *at) & 255] ^ crc >> 8;
    return crc;
}
