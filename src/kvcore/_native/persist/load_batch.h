/* Keys on their way from a file into the store: a batch of them, with the bytes of their values, is put in by any thread. */
#ifndef KV_PERSIST_LOAD_BATCH_H
#define KV_PERSIST_LOAD_BATCH_H

#include "persist/rdb_file.h"
#include "persist/rdb_read.h"
#include "store/shard.h"

/* What all batches of one load have in common. The counters are any thread's. */
typedef struct kv_load {
    kv_store *store;
    const kv_limits *limits;
    int version;             /* of the file */
    int64_t now_ms;          /* stamps access clocks */
    bool merge;              /* keys may be there already: they give way */
    int64_t drop_expired_ms; /* keys whose time is not after this one stay out; INT64_MIN: all come in */
    _Atomic uint64_t keys, expired, empty;
    _Atomic int failed; /* a kv_status: the first failure, which ends the load */
    const char *problem;
    char key[64]; /* where it was, shortened */
    size_t key_len;
} kv_load;

/* Remembers the first failure. Returns false. */
bool kv_load_fail(kv_load *load, kv_status status, const char *problem, kv_slice key);
static inline bool kv_load_failed(kv_load *load) { return atomic_load_explicit(&load->failed, memory_order_relaxed) != KV_OK; }

/* Appends a key and the `bytes` bytes of its value. False: out of memory. */
bool kv_load_add(kv_buf *batch, const kv_rdb_item *item, const uint8_t *value, size_t bytes);
/* Puts all keys of a batch into the store. Takes the shards' locks, one at a time. */
void kv_load_put(kv_load *load, kv_mem *mem, const kv_buf *batch);
/* Puts one key in whose value is read straight from the source: for values too big for a batch. */
void kv_load_put_now(kv_load *load, kv_rdb_in *in, const kv_rdb_item *item);

#endif
