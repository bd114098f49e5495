/* DUMP payloads: | type | value | version u16 | crc64 u64 |, numbers little-endian; the sum is of all that stands before it. */
#ifndef KV_PERSIST_PAYLOAD_H
#define KV_PERSIST_PAYLOAD_H

#include "engine/codec.h"

extern const kv_codec kv_payload_codec;

#endif
