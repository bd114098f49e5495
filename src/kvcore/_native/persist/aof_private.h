/* What the halves of the log have in common: aof.c (appending, waiting, asking the writer) and aof_writer.c (the thread and its file). */
#ifndef KV_PERSIST_AOF_PRIVATE_H
#define KV_PERSIST_AOF_PRIVATE_H

#include "persist/aof.h"
#include "persist/aof_buffer.h"

typedef enum kv_aof_phase { KV_AOF_NO_FILE, KV_AOF_OPEN, KV_AOF_BROKEN, KV_AOF_POISONED } kv_aof_phase;

/* What somebody wants the writer's thread to do between two batches. One at a time; lives with who asked. */
typedef enum kv_aof_job_kind {
    KV_AOF_JOB_FLUSH,
    KV_AOF_JOB_CUT,
    KV_AOF_JOB_SWAP,
    KV_AOF_JOB_RECOVER,
    KV_AOF_JOB_REBASE,
    KV_AOF_JOB_STOP
} kv_aof_job_kind;

typedef struct kv_aof_job {
    kv_aof_job_kind kind;
    int fd;
    uint64_t size; /* in and out: a file's length, the offset of a cut */
    kv_aof_swap_fn *swap;
    void *arg;
    kv_status status;
    int error;
    _Atomic bool done;
} kv_aof_job;

typedef struct kv_aof_waiter {
    kv_session *session; /* a reference */
    uint64_t number;
} kv_aof_waiter;

/* The file, the writer's thread's own. While the log is being created or in `failed`, of who is there. */
typedef struct kv_aof_file {
    int fd;           /* < 0: none */
    uint64_t size;    /* written, in whole pieces */
    uint64_t synced;  /* of it, known to be on the disk */
    uint64_t floor;   /* where the bytes of `kept` begin: what is before is in memory no more */
    uint64_t origin;  /* of the section */
    uint32_t crc;     /* of what stands between the last line and `size`: a SELECT, else nothing */
    uint64_t seq;     /* of the last piece written */
    bool begun;       /* the section has its first line */
    bool fresh;       /* nothing was written since the file was begun: what comes first has to select its database */
    bool dirty;       /* something was written after the last sync */
    kv_aof_list kept; /* written, and not durable */
    size_t kept_bytes;
    uint64_t reach;    /* when all that was taken is durable, so is this number */
    uint64_t since_ns; /* of the first write after the last sync */
    /* Gathering, with KV_AOF_ALWAYS (aof_writer.c). */
    uint64_t sync_ns;   /* what a sync takes, a moving average */
    uint64_t in_round;  /* units of the last round; 0: gathered for already */
    uint64_t expected;  /* units that the next round waits for */
    unsigned skip, off; /* rounds for which it does not wait: left, and of the last time */
} kv_aof_file;

struct kv_aof {
    kv_journal journal; /* first: the one is the other */
    kv_engine *engine;
    kv_mem *mem;
    const kv_vfs *vfs;
    size_t limit;
    bool annotate;
    void *arg;
    void (*failed)(void *arg, int error);
    _Atomic int policy;
    kv_mutex lock; /* a leaf. Guards: */
    kv_aof_phase phase;
    kv_aof_stream now, later; /* `later`: of the epoch after a cut that is going on */
    uint32_t cut_epoch;       /* 0: no cut */
    uint64_t cut_number;      /* the last number when the last cut ended; what is not newer, its snapshot has */
    uint64_t number;          /* the last one given */
    uint64_t taken;           /* the last one that the writer has taken */
    uint64_t wake_at;         /* asleep: not to be woken for a lower number */
    uint64_t lost;            /* the first one whose effects are missing; 0: none */
    bool lost_in_cut, lost_told;
    bool cut_in_memory;      /* the log was broken when the last cut ended: `now` is what came after it */
    size_t pending, counted; /* bytes in memory; of them, those that the engine knows of */
    bool asleep;             /* the writer waits for the next append */
    kv_aof_job *job;
    kv_aof_waiter *waiters;
    size_t waiter_count, waiter_cap;
    kv_aof_pool pool;
    int error;
    /* end of what it guards */
    _Atomic uint32_t work;           /* bumped for the writer's thread */
    _Atomic uint32_t progress;       /* bumped for who waits in kv_aof calls */
    _Atomic unsigned long in_failed; /* the writer's thread (kv_thread_self) while it is in the callback, else 0 */
    bool clean;                      /* the rest: written by the writer's thread, read under the lock */
    uint64_t clean_size, delayed_fsyncs, recovered, shown_size;
    int64_t last_fsync_ms;
    kv_aof_file file;
    kv_thread thread;
};

enum { KV_AOF_TICK_NS = 4000000, KV_AOF_SECOND_NS = 980000000 };

void kvi_aof_run(void *arg); /* the writer's thread */
/* Goes on in another file: the writer's thread, between batches or in `failed`. */
kv_status kvi_aof_resume(kv_aof *aof, kv_aof_job *job);
/* All before and with `number` is durable, or nothing more will be: wakes. No lock held. */
void kvi_aof_wake(kv_aof *aof);
/* Why writing commands are refused after this error. */
const char *kvi_aof_text(int error);
/* Frees a list of pieces that are not pending any more. No lock held. */
void kvi_aof_drop(kv_aof *aof, kv_aof_list *list);
/* Gives back memory that a log without traffic need not keep. No lock held. */
void kvi_aof_spare(kv_aof *aof);

#endif
