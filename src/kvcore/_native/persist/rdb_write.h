/* Values as RDB: one function a type. What is written can be read by Valkey and Redis from 7.2 on, except hashes with field expiries, which only
 * Valkey from 9.0 on reads. All under the lock of the value's shard; appended to a buffer: look at out->failed in the end. */
#ifndef KV_PERSIST_RDB_WRITE_H
#define KV_PERSIST_RDB_WRITE_H

#include "base/buf.h"
#include "types/hash.h"
#include "types/set.h"
#include "types/value.h"
#include "types/zset.h"

/* The kv_rdb_type that it is written as. */
uint8_t kv_rdb_type_of(const kv_value *v);
/* The RDB version that a reader has to know: KV_RDB_COMMON or KV_RDB_VALKEY. */
int kv_rdb_version_of(const kv_value *v);

/* Writing a value piece by piece, so that a big one needs the lock for a moment at a time: it must not change between the pieces. */
typedef struct kv_rdb_walk {
    const kv_value *v;
    bool compress;
    union {
        const void *node; /* list */
        kv_set_iter set;
        kv_hash_iter hash;
        kv_zset_iter zset;
    } at;
} kv_rdb_walk;
/* What stands before the elements; small forms are written whole. */
void kv_rdb_write_begin(kv_rdb_walk *walk, const kv_value *v, bool compress, kv_buf *out);
/* Elements, until `bytes` more or some have been written. False: that was the last of them. */
bool kv_rdb_write_more(kv_rdb_walk *walk, size_t bytes, kv_buf *out);

/* The value without its type, in one piece. */
void kv_rdb_write_value(const kv_value *v, bool compress, kv_buf *out);

#endif
