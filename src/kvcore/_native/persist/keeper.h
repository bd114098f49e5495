/* Whose files these are: what a store is loaded from, what is written while it lives and when it ends. Two layouts: the single file of kvcore.open(path),
 * and a server's directory with dump.rdb and the append-only directory, as Valkey has it. */
#ifndef KV_PERSIST_KEEPER_H
#define KV_PERSIST_KEEPER_H

#include "engine/engine.h"

typedef struct kv_keeper kv_keeper;

typedef enum kv_durability { KV_DURABLE_NONE, KV_DURABLE_SNAPSHOT, KV_DURABLE_EVERYSEC, KV_DURABLE_ALWAYS } kv_durability;

/* Why a file could not be opened. */
typedef enum kv_problem {
    KV_PROBLEM_NONE,
    KV_PROBLEM_SYSTEM,
    KV_PROBLEM_LOCKED,
    KV_PROBLEM_DAMAGED,
    KV_PROBLEM_UNSUPPORTED,
    KV_PROBLEM_MEMORY,
    KV_PROBLEM_CONFIG,
    KV_PROBLEM_ABSENT,
    KV_PROBLEM_GIVEN_UP
} kv_problem;

/* `step` is "load", "replay", "snapshot" or "copy"; total 0: not known. False gives the work up. No lock is held. */
typedef bool kv_keeper_progress(void *arg, const char *step, uint64_t done, uint64_t total);

typedef struct kv_keeper_options {
    const char *path; /* the single file; a server's directory */
    kv_durability durability;
    bool readonly; /* any snapshot, single file or append-only directory; nothing is locked or written */
    bool existing; /* it has to be there */
    kv_keeper_progress *progress;
    void *arg;
} kv_keeper_options;

/* Locks, loads, and goes on with the file. The engine is new and nobody else's yet; it outlives the keeper. NULL: `reason` says why, and what can be
 * done; the engine may hold a part of the data then. */
kv_keeper *kv_keeper_open_single(kv_engine *engine, const kv_keeper_options *options, kv_problem *problem, kv_buf *reason);
kv_keeper *kv_keeper_open_server(kv_engine *engine, const kv_keeper_options *options, kv_problem *problem, kv_buf *reason);

/* Writes and syncs what is to be written, and lets go of the files. No session is left but such as do nothing. `save`: 1 a snapshot of a server's data,
 * 0 none, -1 as its save points say. False: `reason` says what may be lost; with `force` false nothing has ended then. */
bool kv_keeper_finish(kv_keeper *keeper, int save, bool force, kv_buf *reason);
/* After kv_keeper_finish, or instead of it: what is not written by then is not written. The background thread of the engine has stopped. */
void kv_keeper_destroy(kv_keeper *keeper);

/* All that was done before the call is on the disk. */
kv_status kv_keeper_flush(kv_keeper *keeper, kv_buf *reason);
/* Replaces the single file with a snapshot of now. */
kv_status kv_keeper_compact(kv_keeper *keeper, kv_keeper_progress *progress, void *arg, kv_buf *reason);
/* A snapshot of any store as a file of its own: a new file or another one's place, 0600. */
kv_status kv_keeper_snapshot(kv_engine *engine, const char *path, kv_keeper_progress *progress, void *arg, kv_buf *reason);

/* An option has changed (kv_engine_hooks.config_applied). KV_EINVAL: `reason`, and nothing has happened. */
kv_status kv_keeper_apply(kv_keeper *keeper, int field, kv_buf *reason);

typedef struct kv_keeper_facts {
    int durability; /* kv_durability */
    bool readonly, created, compacting;
    uint64_t base_bytes, log_bytes, pending_bytes;
    uint64_t loaded_keys, expired_keys, replayed_commands, cut_bytes;
    uint64_t compactions, recoveries;
    int failed; /* errno */
} kv_keeper_facts;
void kv_keeper_facts_of(kv_keeper *keeper, kv_keeper_facts *out);
const char *kv_keeper_notice(const kv_keeper *keeper); /* what there was to tell about loading; "": nothing */

#endif
