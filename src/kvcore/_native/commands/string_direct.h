/* GET and SET as direct calls (engine/direct.h): what programs do most, for callers that hold a key and a value. */
#ifndef KV_COMMANDS_STRING_DIRECT_H
#define KV_COMMANDS_STRING_DIRECT_H

#include "engine/direct.h"

typedef enum kv_direct_result {
    KV_DIRECT_ASK, /* nothing was done: run the command the usual way */
    KV_DIRECT_ABSENT,
    KV_DIRECT_FOUND, /* SET: done */
} kv_direct_result;

/* Copies the value to `out`, which has room for KV_DIRECT_BYTES; longer values, other types and keys whose time has passed are asked for the usual way. */
kv_direct_result kv_direct_get(kv_session *session, kv_slice key, uint8_t *out, size_t *len);
/* SET key value, without options. `value` must not be longer than KV_DIRECT_BYTES. */
kv_direct_result kv_direct_set(kv_session *session, kv_slice key, kv_slice value);

#endif
