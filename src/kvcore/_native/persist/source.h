/* A file as a source for reading (kv_rdb_in): a window of some hundred kilobytes that moves along it, larger only while one string needs it. */
#ifndef KV_PERSIST_SOURCE_H
#define KV_PERSIST_SOURCE_H

#include "base/vfs.h"
#include "persist/rdb_in.h"

typedef struct kv_source {
    kv_rdb_in in; /* what readers get */
    const kv_vfs *vfs;
    int fd;
    uint64_t size;   /* of the file when it was opened: what it grows by later is not read */
    uint8_t *window; /* `cap` bytes, of which the first `len` are the file's from `from` on */
    size_t len, cap;
    uint64_t from;
    int error; /* errno of a call that failed */
} kv_source;

/* Opens for reading. KV_ENOTFOUND: no such file; KV_EIO: errno; KV_ENOMEM. */
kv_status kv_source_open(kv_source *source, const kv_vfs *vfs, kv_mem *mem, const char *path);
void kv_source_close(kv_source *source);
/* Where in the file the next byte to be read is. */
static inline uint64_t kv_source_at(const kv_source *source) { return source->from + (uint64_t)(source->in.at - source->window); }

#endif
