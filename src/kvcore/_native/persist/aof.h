/* The log's writer: what units have done goes through memory to a file, in order, by one thread, and sessions are woken when it is on the disk.
 *
 * What was appended stays in memory until it is durable (with KV_AOF_NO: until it is written). When a write or a sync fails, the file is given up, because
 * nobody knows what the system still holds of it: it is cut back to what is known to be durable, writing commands are refused, `failed` is called, and
 * its owner goes on in a new file (kv_aof_recover, kv_aof_rebase) or gives up (kv_aof_poison).
 *
 * Calls that wait hold no lock and no GIL, and are not made from `failed`, kv_aof_recover and kv_aof_rebase excepted. */
#ifndef KV_PERSIST_AOF_H
#define KV_PERSIST_AOF_H

#include "engine/engine.h"
#include "engine/journal.h"

typedef enum kv_aof_policy { KV_AOF_NO, KV_AOF_EVERYSEC, KV_AOF_ALWAYS } kv_aof_policy;

typedef struct kv_aof kv_aof;

typedef struct kv_aof_options {
    kv_engine *engine; /* its memory, its files, its sessions: outlives the log */
    kv_aof_policy policy;
    size_t limit;  /* bytes in memory from which on writers wait; 0: 64 MiB */
    bool annotate; /* write checksum lines (aof_line.h) */
    void *arg;
    /* The writer's thread: the file is lost. NULL: the log is poisoned at once. ENOMEM: the file is good, but a unit is missing in it; see kv_aof_based. */
    void (*failed)(void *arg, int error);
} kv_aof_options;

kv_aof *kv_aof_create(const kv_aof_options *options); /* starts the writer's thread; NULL: no memory, no thread */
/* Writes and syncs what it has, joins, closes. The journal must not be the engine's any more, and nobody may wait for it. */
void kv_aof_destroy(kv_aof *aof);
kv_journal *kv_aof_journal(kv_aof *aof);
/* Append to fd, whose size this is, and which it takes over. Once, before the journal is the engine's. */
void kv_aof_open(kv_aof *aof, int fd, uint64_t size);
void kv_aof_set_policy(kv_aof *aof, kv_aof_policy policy);
/* Everything appended before the call is written and synced, whatever the policy; *durable_size (may be NULL): the file's length then. KV_EIO: failed. */
kv_status kv_aof_flush(kv_aof *aof, uint64_t *durable_size);

/* A cut, by one thread at a time: kv_aof_cut_begin; the engine's epoch is raised to `new_epoch`; a sweep over the shards' locks; kv_aof_cut_end (or _cancel).
 * Between them records of the new epoch are held back. At the end all records of the old one are in the old file, durable, and the new ones go to
 * `next_fd`, which it takes over (the old file is closed), or, with -1, follow in the same file from *offset on. The first of them begins with SELECT.
 * KV_EIO: the log has failed; the cut is cancelled, next_fd is the caller's. In a log that has failed before, and without next_fd, it is a cut in memory
 * only, for kv_aof_rebase: *offset is UINT64_MAX. */
void kv_aof_cut_begin(kv_aof *aof, uint32_t new_epoch);
kv_status kv_aof_cut_end(kv_aof *aof, int next_fd, uint64_t *offset);
void kv_aof_cut_cancel(kv_aof *aof);

/* In the writer's thread, between groups: `swap` is given the file with all that was appended written; it copies what is needed of it, syncs, renames and
 * returns the new file, which is used and closed from here on, with its length; -1: it stays with the old. KV_EIO: it did, or the log has failed. */
typedef int kv_aof_swap_fn(void *arg, int fd, uint64_t size, uint64_t *new_size);
kv_status kv_aof_swap(kv_aof *aof, kv_aof_swap_fn *swap, void *arg);

/* After `failed` (also from inside it): goes on in this file, whose length is `size`, with all that is not durable; waiting sessions go on to wait for that.
 * KV_EIO: errno, the file is the caller's again and the log as failed as before; KV_EINVAL: it has not failed, or is not to be saved. */
kv_status kv_aof_recover(kv_aof *aof, int next_fd, uint64_t size);
/* The same, when `next_fd` or another file holds, durable, a snapshot of the last cut: what was appended before that is not needed any more. */
kv_status kv_aof_rebase(kv_aof *aof, int next_fd, uint64_t size);
/* A snapshot of the last cut has become the base of what follows: a unit that is missing before that is not missing any more. After every rewrite. */
void kv_aof_based(kv_aof *aof);
/* Gives up: whoever waits is told, what is not durable is dropped. Writing commands stay refused. */
void kv_aof_poison(kv_aof *aof);

typedef struct kv_aof_state {
    uint64_t size;              /* of the file, as far as it is written */
    uint64_t pending;           /* bytes in memory that are not durable */
    uint64_t durable, appended; /* numbers */
    int error;                  /* errno of the last failure */
    bool failed, poisoned, lost;
    bool clean;              /* the file that failed was cut back to durable groups: it may stand before another one */
    uint64_t clean_size;     /* its length then */
    uint64_t delayed_fsyncs; /* that took more than a second */
    uint64_t recovered;      /* failures survived */
    int64_t last_fsync_ms;   /* when the last one ended, wall time; 0: none yet */
} kv_aof_state;
void kv_aof_state_of(kv_aof *aof, kv_aof_state *out);

#endif
