/* sources: persist/crc64.c base/rng.c */
/* CRC-64: the check value, a bit-by-bit model for bytes of all lengths and alignments, and that pieces add up. */
#include <string.h>

#include "base/rng.h"
#include "check.h"
#include "persist/crc64.h"

static uint64_t model(uint64_t crc, const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? crc >> 1 ^ UINT64_C(0x95ac9329ac4bc9b5) : crc >> 1;
    }
    return crc;
}

int main(void) {
    CHECK(kv_crc64(0, "123456789", 9) == UINT64_C(0xe9c6d914c4b8d9ca));
    CHECK(kv_crc64(7, "", 0) == 7);
    kv_rng rng;
    kv_rng_seed(&rng, 1);
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)kv_rng_below(&rng, 256);
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; from + len <= sizeof bytes; len++) {
            uint64_t whole = model(from, bytes + from, len);
            CHECK(kv_crc64(from, bytes + from, len) == whole);
            size_t cut = (size_t)kv_rng_below(&rng, len + 1);
            CHECK(kv_crc64(kv_crc64(from, bytes + from, cut), bytes + from + cut, len - cut) == whole);
        }
    return 0;
}
