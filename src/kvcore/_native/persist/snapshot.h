/* The state of the whole store at one instant, as RDB bytes, while everybody goes on: no fork, no copy of the store, no long hold of a lock.
 *
 * docs/design/snapshot.md has the invariants. One snapshot of an engine at a time. */
#ifndef KV_PERSIST_SNAPSHOT_H
#define KV_PERSIST_SNAPSHOT_H

#include "base/buf.h"
#include "engine/engine.h"

struct kv_aof;

typedef struct kv_snapshot_options {
    bool compress, sums;                           /* rdbcompression, rdbchecksum */
    bool aof_base;                                 /* it is the base of a log, and says so */
    struct kv_aof *aof;                            /* NULL: the log is not concerned; else its cut is this one */
    int next_fd;                                   /* -1, or the file of the log's records from the cut on (kv_aof_cut_end) */
    size_t orphan_limit;                           /* bytes kept for the snapshot while writers go on; 0: the default */
    size_t piece, big;                             /* bytes under one hold of a lock, and of what is a big value; 0: as is usual */
    void *arg;                                     /* of: */
    kv_status (*write)(void *arg, kv_slice bytes); /* in order; no lock held. KV_EIO: errno */
    bool (*progress)(void *arg, uint64_t keys_done, uint64_t keys_total); /* NULL, or now and then; false: give it up */
} kv_snapshot_options;

typedef struct kv_snapshot_result {
    uint64_t keys, bytes;
    uint64_t aof_offset;      /* of the cut in the log, when that goes on in the same file */
    int version;              /* of RDB: KV_RDB_COMMON or KV_RDB_VALKEY */
    size_t orphan_peak;       /* the most that was kept for it beside the store */
    uint64_t longest_hold_ns; /* of one shard's lock */
    bool cut;                 /* the log was cut, also when the snapshot was given up later */
    uint64_t last_save_dirty; /* changes made up to the cut (kv_tally_dirty) */
} kv_snapshot_result;

/* In the caller's thread, which holds no lock. KV_EEXISTS: another one runs. KV_EIO: errno is that of `write`. KV_ENOMEM, also where a writer was short of
 * memory for it; KV_ETOOBIG: more than twice the limit of bytes was to be kept; KV_EINVAL: `progress` said so. The store is as if nothing had been
 * asked; `reason` says more. */
kv_status kv_snapshot(kv_engine *engine, const kv_snapshot_options *options, kv_snapshot_result *out, kv_buf *reason);

#endif
