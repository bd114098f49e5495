/* Values as bytes, for DUMP, RESTORE and MIGRATE: what persist/ can do, lent to the handlers, which cannot include it. */
#ifndef KV_ENGINE_CODEC_H
#define KV_ENGINE_CODEC_H

#include "base/arena.h"
#include "base/buf.h"
#include "types/value.h"

typedef struct kv_restored {
    bool is_text;
    kv_slice text;  /* a string: borrows from the payload or from `room` */
    kv_value value; /* a container: type, enc, u in the arena; the caller's */
    kv_buf room;    /* the caller frees it, whatever happened */
} kv_restored;

typedef struct kv_codec {
    /* Appends a value that stands by itself: type, bytes, version, checksum. Look at out->failed. */
    void (*dump)(const kv_value *v, bool compress, kv_buf *out);
    /* Are version and checksum right? O(bytes). */
    bool (*sound)(kv_slice payload);
    /* Makes a value of a sound payload. KV_ECORRUPT: its contents break their format, or nothing is in it; KV_EINVAL: a type that is not supported;
     * KV_ENOMEM. Nothing is left behind then, and *problem says more. */
    kv_status (*restore)(kv_slice payload, const kv_limits *limits, kv_arena *arena, kv_mem *mem, kv_restored *out, const char **problem);
    void (*discard)(kv_restored *restored, kv_arena *arena); /* a value that found no key; not the room */
} kv_codec;

#endif
