/* Loading an RDB file into an empty store, with all cores: the caller's thread finds where each key begins and ends, others make values of them. */
#ifndef KV_PERSIST_LOAD_H
#define KV_PERSIST_LOAD_H

#include "persist/source.h"
#include "store/shard.h"

typedef struct kv_load_options {
    const kv_limits *limits;
    unsigned threads;  /* beside the caller's; 0: none */
    bool sums;         /* compare the checksum */
    bool merge;        /* the databases need not be empty: a key that is there gives way */
    bool keep_expired; /* the base of a log: what has expired is deleted by the log, and not before */
    int64_t now_ms;
    int64_t delay_us;  /* key-load-delay */
    uint64_t interval; /* bytes between two calls of progress; 0, or more than is usual: as is usual */
    void *arg;
    /* Every few hundred kilobytes: bytes read, of how many. False gives the load up (KV_EINVAL). */
    bool (*progress)(void *arg, uint64_t done, uint64_t total);
    void (*fact)(void *arg, kv_slice name, kv_slice value); /* about the file; NULL: not wanted */
} kv_load_options;

typedef struct kv_load_result {
    uint64_t keys, expired, empty; /* loaded; left out, because their time had passed, because nothing was in them */
    uint64_t end;                  /* where the file goes on behind the snapshot, if it does */
    int version;
} kv_load_result;

/* The databases of the store must be empty unless `merge`, and nobody else may use them. On failure they hold a part of the file: throw the store away; `reason` says
 * what is wrong, and where. KV_EIO: errno is in source->error. KV_ECORRUPT, KV_EINVAL (not supported, or given up), KV_ENOMEM. */
kv_status kv_load_rdb(kv_store *store, kv_source *source, const kv_load_options *options, kv_load_result *out, kv_buf *reason);

#endif
