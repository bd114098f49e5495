/* sources: persist/crc32c.c base/rng.c */
/* CRC-32C: the check value, both ways against a bit-by-bit model for bytes of all lengths and alignments, and that pieces add up. */
#include <string.h>

#include "base/rng.h"
#include "check.h"
#include "persist/crc32c.h"

static uint32_t model(uint32_t crc, const uint8_t *bytes, size_t len) {
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? crc >> 1 ^ UINT32_C(0x82f63b78) : crc >> 1;
    }
    return ~crc;
}

int main(void) {
    CHECK(kv_crc32c(0, "123456789", 9) == UINT32_C(0xe3069283) && kv_crc32c_tables(0, "123456789", 9) == UINT32_C(0xe3069283));
    CHECK(kv_crc32c(7, "", 0) == 7 && kv_crc32c_tables(7, "", 0) == 7);
    kv_rng rng;
    kv_rng_seed(&rng, 1);
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)kv_rng_below(&rng, 256);
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; from + len <= sizeof bytes; len++) {
            uint32_t whole = model((uint32_t)from, bytes + from, len);
            CHECK(kv_crc32c((uint32_t)from, bytes + from, len) == whole && kv_crc32c_tables((uint32_t)from, bytes + from, len) == whole);
            size_t cut = (size_t)kv_rng_below(&rng, len + 1);
            CHECK(kv_crc32c(kv_crc32c((uint32_t)from, bytes + from, cut), bytes + from + cut, len - cut) == whole);
        }
    return 0;
}
