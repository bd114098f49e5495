/* The engine: one store with everything that hangs from it. Two engines in one process share nothing.
 *
 * Lock order (ascending; KV_DEBUG builds check it): shards by index, then at most one leaf of {clients, pubsub, tracking, config, session, loop,
 * stats}, in that order where two are needed, then a shared arena. The exclusive gate is "every shard": FLUSHALL, SWAPDB and commands
 * that cannot name their keys lock all of them, so that no other lock is needed on the way of the rest (docs/design/locks.md). */
#ifndef KV_ENGINE_ENGINE_H
#define KV_ENGINE_ENGINE_H

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "base/sync.h"
#include "base/vfs.h"
#include "engine/loading.h"
#include "engine/command.h"
#include "engine/session.h"
#include "engine/settings.h"
#include "store/shard.h"

struct kv_pubsub;
struct kv_tracking;
struct kv_monitor;
struct kv_commandlog;
struct kv_latency;
struct kv_cron;
struct kv_tally;
struct kv_codec;
struct kv_journal;
struct kv_persistence;

/* What a command has cost so far. Relaxed atomics: any thread adds to the engine's own, one thread to those of a tally (tally.h). */
typedef struct kv_command_stats {
    _Atomic uint64_t calls, nanoseconds, rejected, failed;
    _Atomic(struct kv_histogram *) histogram; /* latency in ns, log-linear; made at the first call while latency-tracking is on */
} kv_command_stats;

/* Counters of INFO stats and friends. Relaxed. */
typedef struct kv_engine_stats {
    _Atomic uint64_t connections, expired_keys, expired_fields, evicted_keys, evicted_clients, net_input, net_output, rejected_connections,
        unexpected_errors, total_error_replies, expired_time_cap_reached, active_expire_cycle_ns, lazyfreed_before, auth_failures,
        query_buffer_limit_disconnects, output_buffer_limit_disconnects, reads_processed, writes_processed, dirty, pauses;
} kv_engine_stats;

/* Errors by their code ("WRONGTYPE"): INFO errorstats. Guarded by stats_lock. */
typedef struct kv_error_stat {
    char code[32];
    uint64_t count;
} kv_error_stat;
#define KV_ERROR_STATS 128

/* Rates of the last 1.6 seconds: see stats.c. */
enum { KV_RATE_KINDS = 3, KV_RATE_SAMPLES = 16 };
typedef struct kv_rate_ring {
    _Atomic uint64_t samples[KV_RATE_KINDS][KV_RATE_SAMPLES]; /* commands, bytes in, bytes out; per second */
    uint64_t last[KV_RATE_KINDS], last_ns;                    /* the background thread's own, as is `next` */
    unsigned next;
} kv_rate_ring;

/* How the host (kvcore serve, a Python object, a test) wants to be asked. All may be NULL. */
typedef struct kv_engine_hooks {
    void *arg;
    void (*shutdown)(void *arg, bool now, bool force, bool save, bool nosave); /* SHUTDOWN was accepted */
    /* CONFIG SET has stored a new value: what net must act on (port, bind, io-threads, maxmemory-clients). When it cannot, nothing has changed there
     * and `reason` has the words. Called under the lock of changes, and inside EXEC under those of its shards. */
    kv_status (*config_applied)(void *arg, int field, kv_buf *reason);
} kv_engine_hooks;

/* What a call of no length holds in words and reply together. */
#define KV_SHORT_CALL_BYTES 8192

typedef struct kv_engine {
    kv_mem mem;
    kv_clock clock;
    kv_log log;
    const kv_vfs *vfs;
    kv_store store;
    const kv_command_table *commands;
    const struct kv_codec *codec; /* codec.h: values as bytes */
    kv_settings settings;
    _Atomic bool strict;    /* some option concerns every call, however short: maxmemory, or a log of microseconds or of small requests */
    _Atomic uint32_t still; /* 1: standstill.h. A word to wait on; units look at it with their locks held */
    _Atomic(struct kv_journal *) journal;               /* journal.h; NULL: nothing is logged. Changes with every shard locked */
    _Atomic(const struct kv_persistence *) persistence; /* persistence.h; NULL: a store in memory only, or one that is being loaded */
    _Atomic(const char *) refused;                      /* NULL, or why writing commands are refused: a constant text with its code */
    kv_engine_hooks hooks;
    bool any_port; /* port 0 means any free port, not none: set before a server starts, for stores inside a program */
    char run_id[41];
    uint64_t started_mono_ns;
    int64_t started_ms;
    /* write order */
    _Atomic uint32_t epoch; /* snapshot epoch: a unit reads it once, with all its locks held */
    /* sessions */
    kv_mutex clients_lock;
    kv_session *clients; /* list, oldest first */
    kv_session *clients_last;
    _Atomic uint32_t client_count, blocked_count, pubsub_count, tracking_count, monitor_count, watching_count, in_process_count;
    /* maxmemory-clients: client_memory.c */
    _Atomic int64_t client_bytes, doomed_bytes; /* what connections hold; of it, what those hold that were evicted and are not gone yet */
    _Atomic uint64_t clients_looked_ns;         /* when a walk found nobody to evict; 0: the last one did */
    _Atomic bool clients_looking;               /* a thread walks; it alone uses: */
    uint64_t clients_complained_ns;
    _Atomic size_t mail_bytes; /* of connections' mailboxes, which their threads are about to send: eviction does not count them */
    _Atomic uint64_t next_client_id;
    /* CLIENT PAUSE: until when, and whether only writes */
    _Atomic int64_t pause_until_ms; /* 0: not paused */
    _Atomic bool pause_writes_only;
    _Atomic bool loading;          /* files are being loaded: nothing expires or is evicted, and clients are refused */
    _Atomic uint32_t pause_signal; /* bumped at UNPAUSE and when a pause is shortened; in-process callers wait on it */
    /* subsystems: each with its own leaf lock */
    struct kv_pubsub *pubsub;
    struct kv_tracking *tracking;
    struct kv_monitor *monitor;
    struct kv_commandlog *commandlog;
    struct kv_latency *latency;
    _Atomic(struct kv_cron *) cron; /* NULL until something needs the background thread */
    _Atomic bool cron_wanted;
    /* statistics */
    kv_engine_stats stats;
    kv_command_stats *command_stats; /* by kv_command.id: of calls that no tally counts */
    _Atomic(struct kv_tally *) tallies;
    _Atomic uint32_t stats_generation;              /* raised when the statistics are reset */
    const kv_command *direct[KV_SHARD_CALLS];       /* by kv_direct_command: the commands that direct calls stand for */
    _Atomic uint64_t direct_before[KV_SHARD_CALLS]; /* the shards' sums when the statistics were last reset */
    kv_mutex stats_lock;
    kv_error_stat error_stats[KV_ERROR_STATS];
    size_t error_stat_count;
    char replid[41]; /* of this history; nobody replicates it yet */
    kv_rate_ring rates;
    _Atomic size_t peak_memory; /* of used_memory, as far as somebody looked */
    const char *version;        /* of the build: from the options */
    _Atomic int serving_port;   /* of the server on this engine; 0: none */
    _Atomic unsigned serving_threads;
    size_t startup_memory; /* used_memory of the engine when it was new */
    kv_load_state load;
    /* DEBUG switches */
    _Atomic bool active_expire;       /* DEBUG SET-ACTIVE-EXPIRE */
    _Atomic int64_t packed_threshold; /* DEBUG QUICKLIST-PACKED-THRESHOLD; 0: none */
    _Atomic bool shutting_down;
    _Atomic bool serving; /* `kvcore serve`: SHUTDOWN ends the process; a program's own store refuses it */
} kv_engine;

typedef struct kv_engine_options {
    const kv_command_table *commands; /* constant data: api/command_table.h */
    const kv_config_table *config;
    const struct kv_codec *codec; /* NULL: DUMP and RESTORE must not be called */
    unsigned shards;              /* 0: the default; a power of two, at most 64 */
    unsigned databases;           /* 0: 16 */
    const kv_vfs *vfs;            /* NULL: the real one */
    uint64_t seed;                /* 0: from the system; else hash seeds and random choices are reproducible (tests) */
    kv_engine_hooks hooks;
    const char *version; /* shown by INFO; constant text, NULL: none */
} kv_engine_options;

/* Under 100 us and well under 1 MiB: no thread, no page of any shard. NULL when out of memory. */
kv_engine *kv_engine_create(const kv_engine_options *options);
/* Every session must be gone. Stops the background thread, frees all. */
void kv_engine_destroy(kv_engine *engine);

/* CLIENT PAUSE is in force, or data are loaded: nothing expires or is evicted meanwhile, the data stands still. */
static inline bool kv_engine_is_paused(kv_engine *engine) {
    int64_t until = atomic_load_explicit(&engine->pause_until_ms, memory_order_relaxed);
    return (until != 0 && kv_clock_ms(&engine->clock) < until) || atomic_load_explicit(&engine->loading, memory_order_relaxed);
}

/* Writers wait for a moment before they lock: a snapshot has to keep nearly as much for them as it may. */
static inline bool kv_engine_is_throttled(kv_engine *engine) {
    return atomic_load_explicit(&engine->store.throttle, memory_order_relaxed) != 0;
}

/* Ask for the background thread (active expiry, lazy free, rehash): it is started when the running unit has given its locks back. Cheap. */
static inline void kv_engine_need_cron(kv_engine *engine) {
    if (!atomic_load_explicit(&engine->cron_wanted, memory_order_relaxed))
        atomic_store_explicit(&engine->cron_wanted, true, memory_order_relaxed);
}

/* From now on writing commands get this error, a constant text; NULL: they run. */
static inline void kv_engine_refuse_writes(kv_engine *engine, const char *error) {
    atomic_store_explicit(&engine->refused, error, memory_order_release);
}

/* Options were read or changed outside CONFIG SET: bring what depends on them up to date. No lock held. */
void kv_engine_settings_loaded(kv_engine *engine);

/* used_memory: what the store and its clients hold, as INFO reports it and maxmemory compares it. O(shards). */
size_t kv_engine_used_memory(kv_engine *engine);

#endif
