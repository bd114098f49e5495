/* What the parts of the keeper have in common: keeper.c (the thread, commands, options), keeper_load.c (reading), keeper_write.c (snapshots as files),
 * keeper_reload.c (DEBUG RELOAD), keeper_dir.c (a server's directory), single.c (the single file), keeper_info.c. */
#ifndef KV_PERSIST_KEEPER_PRIVATE_H
#define KV_PERSIST_KEEPER_PRIVATE_H

#include "engine/persistence.h"
#include "persist/aof.h"
#include "persist/filelock.h"
#include "persist/keeper.h"
#include "persist/manifest.h"
#include "persist/snapshot.h"

typedef enum kv_layout { KV_LAYOUT_SINGLE, KV_LAYOUT_SERVER } kv_layout;

/* What is being done with a snapshot; one at a time. */
typedef enum kv_work { KV_WORK_NONE, KV_WORK_SAVE, KV_WORK_BGSAVE, KV_WORK_REWRITE, KV_WORK_END } kv_work;

/* What the thread has been asked for: bits of `wants`. */
enum {
    KV_WANT_STOP = 1,
    KV_WANT_SAVE = 2,
    KV_WANT_REWRITE = 4,
    KV_WANT_RECOVER = 8,
    KV_WANT_SYNC = 16,
    KV_WANT_SWITCH = 32 /* appendonly has changed */
};

struct kv_keeper {
    kv_persistence face;
    kv_engine *engine;
    kv_mem *mem;
    const kv_vfs *vfs;
    kv_layout layout;
    kv_durability durability;
    bool readonly, created;
    kv_filelock lock;
    char *path;            /* absolute: the single file, or the directory */
    _Atomic(kv_aof *) aof; /* made when first needed, stays until the end */
    _Atomic bool logging;  /* the engine's journal is the log */
    kv_manifest manifest;  /* of the append-only directory: the thread's own, once that runs */
    bool uncertain;        /* ... and not known to be the one on disk */
    char notice[512];
    /* the thread */
    kv_thread thread;
    bool running;
    bool finished;
    _Atomic uint32_t bell; /* rung when something is wanted */
    _Atomic uint32_t wants;
    _Atomic uint32_t asked;           /* of them, what a client was told has begun: INFO shows it as going on until it does */
    _Atomic uint32_t doing;           /* kv_work: who changed it from NONE does the work */
    _Atomic bool give_up;             /* the work should end */
    uint64_t retry_ns, retry_step_ns; /* recovery: not before */
    unsigned recovery_failures;
    uint64_t save_retry_ns;
    /* numbers for INFO; any thread reads */
    _Atomic uint64_t work_keys, work_total;
    _Atomic int64_t work_since_s, last_save_s, last_save_try_s, last_bgsave_s, last_rewrite_s; /* durations: -1 none */
    _Atomic uint64_t saves, rewrites, saved_dirty, rewrite_failures;
    _Atomic bool bgsave_failed, rewrite_failed;
    _Atomic uint64_t base_bytes, log_before; /* log_before: of the log's earlier files, or where the log begins in the single file */
    _Atomic uint64_t current_base;           /* bytes of the log when it was rewritten last: what it grows from */
    _Atomic uint64_t recoveries, orphan_peak;
    _Atomic uint64_t loaded_keys, expired_keys, replayed, cut_bytes;
    bool log_missing;        /* ... or the log could not go on after it. With the work claimed */
    _Atomic bool incomplete; /* a reload has failed when the data were gone: nothing may be saved in the place of what is on disk */
};

static inline kv_aof *kvi_keeper_aof(kv_keeper *k) { return atomic_load_explicit(&k->aof, memory_order_acquire); }

/* ---- keeper.c ---- */
bool kvi_keeper_claim(kv_keeper *k, kv_work work, bool wait);
void kvi_keeper_release(kv_keeper *k);
void kvi_keeper_want(kv_keeper *k, uint32_t what);
bool kvi_keeper_start(kv_keeper *k); /* the thread */
/* The log, made on first use: everything but its file. NULL: memory, thread. */
kv_aof *kvi_keeper_make_aof(kv_keeper *k, kv_aof_policy policy);
kv_aof_policy kvi_keeper_policy(const kv_keeper *k);
kv_keeper *kvi_keeper_create(kv_engine *engine, kv_layout layout, const kv_keeper_options *options);
void kvi_keeper_log_on(kv_keeper *k);
void kvi_keeper_publish(kv_keeper *k); /* it is open: commands find it from now on */
void kvi_keeper_log_off(kv_keeper *k);
int64_t kvi_keeper_now_s(kv_keeper *k);
/* After a snapshot that became the store's file: its changes are saved. */
void kvi_keeper_saved(kv_keeper *k, uint64_t dirty);
/* For who replaces a file with what is in memory. */
kv_status kvi_keeper_is_whole(kv_keeper *k, kv_buf *reason);
/* For a command that writes. False: `reason`. */
bool kvi_keeper_may_write(kv_keeper *k, kv_buf *reason);
/* For SAVE and its like: waits for a rewrite, and not for another save. */
bool kvi_keeper_claim_save(kv_keeper *k, kv_buf *reason);
bool kvi_keeper_is_logging(kv_keeper *k);

/* ---- keeper_write.c ---- */
/* "<dir>/<name>", NUL-terminated; NULL: no memory. Free with kv_free. */
char *kvi_join(kv_mem *mem, const char *dir, kv_slice name);
typedef struct kv_write_job {
    bool aof_base;
    kv_aof *aof;
    int next_fd;
    kv_keeper_progress *progress; /* NULL: none but the keeper's own */
    void *arg;
    const _Atomic bool *give_up;
    _Atomic uint64_t *keys, *total;
} kv_write_job;
/* A snapshot into an open file, synced at the end. KV_EIO: errno. */
kv_status kvi_write_snapshot(kv_engine *engine, int fd, const kv_write_job *job, kv_snapshot_result *out, kv_buf *reason);
/* The same into `temp`, which then takes the place of `path`. */
kv_status kvi_save_file(kv_engine *engine, const char *path, const char *temp, const kv_write_job *job, kv_snapshot_result *out,
                        kv_buf *reason);
/* Bytes in the place of a file, by way of `temp`. KV_EIO: errno. */
kv_status kvi_replace(const kv_vfs *vfs, const char *path, const char *temp, kv_slice bytes);
kv_write_job kvi_keeper_job(kv_keeper *k);

/* ---- keeper_load.c ---- */
typedef struct kv_load_job {
    const char *path;
    bool log_follows; /* what has expired stays, the log deletes it */
    bool last;        /* may end too early: a crash's doing */
    bool is_log;      /* whatever it begins with, which after a crash may be anything */
    bool merge;       /* a key of the snapshot takes the place of one that is there */
    kv_store *trial;  /* the snapshot goes there, to see whether it can be read; NULL: to the engine's store, and a log after it */
    kv_keeper_progress *progress;
    void *arg;
    kv_load_state *shown; /* the engine's; set by kvi_load_file */
    /* out */
    uint64_t base, size; /* where its log begins; how long it is */
    uint64_t good;       /* < size: the rest is torn */
    uint64_t keys, expired, commands;
} kv_load_job;
/* A file with a snapshot, a log, or both. An empty one is fine. */
kv_problem kvi_load_file(kv_engine *engine, kv_load_job *job, kv_buf *reason);
/* Cuts a torn end off, and says so. KV_EIO: errno. */
kv_status kvi_cut_file(kv_keeper *k, const kv_load_job *job, kv_buf *reason);
/* Everything of an append-only directory, as its manifest says. `cut`: torn ends are cut off, not only passed by. */
kv_problem kvi_load_dir(kv_keeper *k, const char *dir, const kv_keeper_options *options, bool cut, kv_buf *reason);
/* KV_ENOTFOUND: there is none. */
kv_status kvi_read_manifest(const kv_vfs *vfs, const char *path, kv_manifest *out, kv_buf *reason);

/* ---- keeper_dir.c: a server's directory ---- */
kv_problem kvi_dir_open(kv_keeper *k, const kv_keeper_options *options, kv_buf *reason);
kv_status kvi_dir_save(kv_keeper *k, kv_buf *reason);    /* dump.rdb */
kv_status kvi_dir_rewrite(kv_keeper *k, kv_buf *reason); /* a new base */
kv_status kvi_dir_recover(kv_keeper *k, kv_buf *reason);
kv_problem kvi_dir_load_dump(kv_keeper *k, kv_load_job *job, kv_buf *reason);
kv_problem kvi_dir_load_log(kv_keeper *k, kv_buf *reason);
kv_status kvi_dir_log_on(kv_keeper *k, kv_buf *reason); /* a base of what is there, and a log behind it */
void kvi_dir_switch(kv_keeper *k);                      /* appendonly has changed */

/* ---- single.c ---- */
kv_status kvi_single_compact(kv_keeper *k, kv_keeper_progress *progress, void *arg, kv_buf *reason);
kv_status kvi_single_save(kv_keeper *k, kv_keeper_progress *progress, void *arg, kv_buf *reason); /* without a log */

/* ---- keeper_reload.c ---- */
bool kvi_keeper_reload(void *arg, kv_ctx *c, unsigned how, kv_buf *reason);

/* ---- keeper_info.c ---- */
void kvi_keeper_info(void *arg, kv_buf *out);

#endif
