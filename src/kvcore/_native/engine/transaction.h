/* MULTI, EXEC, WATCH: the queue of a session and the keys it watches. */
#ifndef KV_ENGINE_TRANSACTION_H
#define KV_ENGINE_TRANSACTION_H

#include "engine/dispatch.h"

/* A queued command: argv and its bytes lie behind it in one block. */
typedef struct kv_queued {
    const kv_command *command;
    int argc;
    kv_slice *argv;
    kv_key_ref *refs;
    uint64_t *hashes;
    uint32_t key_count;
    bool all_keys;
} kv_queued;

typedef struct kv_transaction {
    bool active;  /* inside MULTI */
    bool aborted; /* a command could not be queued: EXEC answers EXECABORT */
    kv_queued **queue;
    size_t count, cap;
    size_t bytes;             /* memory of the queue, for client limits and CLIENT LIST */
    uint64_t flags;           /* flags of all queued commands, or-ed */
    struct kv_watch *watches; /* the keys this session watches */
    size_t watch_count, watch_bytes;
} kv_transaction;

static inline bool kv_in_multi(const kv_session *session) { return session->transaction != NULL && session->transaction->active; }

bool kv_transaction_begin(kv_session *session); /* MULTI; false: out of memory */
/* Queue c's command (keys extracted). False: out of memory. */
bool kv_transaction_queue(kv_ctx *c);
void kv_transaction_abort(kv_session *session);   /* a command was refused while queueing */
void kv_transaction_discard(kv_session *session); /* drops queue and watches; DISCARD, RESET, end of the session */
/* EXEC: locks the union of all lock sets and watched keys, runs, replies. No lock held. */
void kv_transaction_exec(kv_ctx *c);

/* WATCH one declared key of c's command. False: out of memory. Watching a key twice is nothing. */
bool kv_watch_key(kv_ctx *c, const kv_key *key);
void kv_unwatch(kv_session *session);
/* The key changed: sessions that watch it fail their EXEC. Shard locked. Free when nobody watches in that shard. */
void kv_watch_touched(kv_ctx *c, kv_shard *shard, int db, uint64_t hash, kv_slice name, bool deleted_expired);
/* FLUSHDB (b < 0: one database, a < 0: all) and SWAPDB. Before the change, all shards locked. */
void kv_watch_flushed(kv_ctx *c, int db);
void kv_watch_swapped(kv_ctx *c, int a, int b);

#endif
