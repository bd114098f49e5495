/* A session: one client, whichever door it came through. Owned by one thread at a time (its network loop, or the Python call that borrowed it);
 * what other threads may touch is said field by field.
 *
 * Messages from others (pub/sub, invalidations, MONITOR lines, the reply of a blocked command that another thread served) go to `mailbox`, already
 * in this session's format; the owner drains it between commands. A session is freed when its last reference goes: a thread that has to wake
 * it after releasing its locks holds one. */
#ifndef KV_ENGINE_SESSION_H
#define KV_ENGINE_SESSION_H

#include "base/buf.h"
#include "base/rng.h"
#include "base/sync.h"
#include "engine/command.h"
#include "engine/effect.h"
#include "engine/reply.h"

struct kv_engine;
struct kv_session;

typedef struct kv_session_facts {
    size_t query_len, query_free, output_len, output_chunks, memory;
    int fd;
    char events[3];
} kv_session_facts;

typedef struct kv_session_ops {
    /* There is something for this session (mail, a served block, a kill). Called with no lock held, from any thread, perhaps after the owner has left the
     * session: it may use `home`, not `owner`. */
    void (*wake)(struct kv_session *session);
    /* The last reference has gone: what `home` stands for is not needed any more. NULL: nothing to do. */
    void (*gone)(struct kv_session *session);
    /* The connection's own facts for CLIENT LIST; any thread, under the registry's lock. NULL for in-process sessions. */
    void (*describe)(struct kv_session *session, kv_session_facts *facts);
} kv_session_ops;

/* WAITING goes to exactly one of SERVING (a pusher, under the key's lock) and ENDING (time-out, CLIENT UNBLOCK, the end): one winner by CAS. */
typedef enum kv_block_state { KV_BLOCK_NONE, KV_BLOCK_WAITING, KV_BLOCK_SERVING, KV_BLOCK_ENDING, KV_BLOCK_DONE } kv_block_state;

/* Why a wait ended without a key. */
typedef enum kv_unblock { KV_UNBLOCK_TIMEOUT, KV_UNBLOCK_ERROR, KV_UNBLOCK_GONE } kv_unblock;

typedef enum kv_reply_mode { KV_REPLY_ON, KV_REPLY_OFF, KV_REPLY_SKIP_NEXT, KV_REPLY_SKIP } kv_reply_mode;

typedef enum kv_session_kind { KV_SESSION_NORMAL, KV_SESSION_PUBSUB, KV_SESSION_REPLICA, KV_SESSION_PRIMARY } kv_session_kind;

struct kv_transaction; /* engine/transaction.h: queued commands and watched keys */
struct kv_ticket;      /* engine/blocking.h: what a blocked session waits for */
struct kv_subscriber;  /* engine/pubsub.h */
struct kv_tracker;     /* engine/tracking.h */
struct kv_tally;       /* engine/tally.h */
struct kv_long_reply;  /* engine/longreply.h */

typedef struct kv_session {
    /* owner only */
    struct kv_engine *engine;
    _Atomic(const kv_session_ops *) ops; /* NULL: waits on `signal`; wakers read it */
    void *owner;          /* the connection, or the in-process client; under the registry's lock other threads may follow it (describe) */
    _Atomic(void *) home; /* where `wake` goes: outlives the session (a network thread's loop, an eventfd). See kv_loop_wake_session */
    struct kv_session *home_next; /* the loop's list of woken sessions, under its lock, as is: */
    bool home_listed;
    _Atomic(kv_format) format; /* of replies and mail; publishers read it */
    _Atomic int db;            /* CLIENT LIST reads it */
    int resp;                  /* 2 or 3 */
    bool authenticated;
    bool in_process;      /* no socket: embedded calls; not limited by protected mode, not listed as a normal client */
    _Atomic bool closing; /* close after the replies written so far are sent */
    bool close_now;       /* close without sending */
    bool replays;         /* runs a log's commands: nobody is told of them, nobody is served by them, and a standstill is not for it */
    bool nonblocking;     /* the caller holds something that others need (Python's GIL): no waiting, no long work (KV_OUTCOME_BUSY) */
    _Atomic bool monitor;
    _Atomic bool no_evict, no_touch, read_only;
    bool readonly; /* READONLY/READWRITE are cluster's; kept for RESET */
    kv_reply_mode reply_mode;
    struct kv_transaction *transaction; /* NULL outside MULTI and without WATCH */
    struct kv_ticket *ticket;           /* what it is blocked on */
    struct kv_long_reply *long_reply;   /* what is still to come of its last reply; NULL: nothing */
    bool slices;                        /* its owner takes long replies in slices, and tries again what would have to wait for one */
    kv_buf served;                      /* in-process: the reply of a command that had blocked. Belongs to whoever is SERVING meanwhile */
    struct kv_subscriber *subscriber;   /* NULL: nothing subscribed */
    struct kv_tracker *tracker;         /* NULL: no client-side caching */
    struct kv_tally *tally;             /* where its calls are counted; NULL: in the engine's own counters */
    kv_rng rng;
    kv_effects effects;          /* of the unit that runs */
    uint64_t need;               /* highest number of the journal that its unsent replies show; 0: none that is not durable */
    const struct kv_hint *hints; /* keys of the coming commands with their hashes (kv_prefetch); NULL: none */
    size_t hint_count;
    size_t text_bytes; /* of name, lib_name, lib_version, user */
    /* read by other threads under the registry's lock, written by the owner under it (CLIENT LIST, CLIENT KILL filters) */
    uint64_t id;
    kv_buf name, lib_name, lib_version, user;
    char address[128], local_address[128]; /* "ip:port" or "path:0" */
    int64_t created_ms;
    struct kv_session *next, *previous; /* registry list */
    int64_t doomed_bytes;               /* evicted: what it held then */
    _Atomic(kv_session_kind) kind;
    /* any thread */
    _Atomic int64_t last_command_ms;
    _Atomic(const kv_command *) last_command;
    _Atomic uint64_t commands, bytes_in, bytes_out;
    _Atomic uint32_t references;
    _Atomic uint32_t block_state; /* kv_block_state; ENDING carries its kv_unblock in the bits from 8 up */
    /* What CLIENT LIST shows of the owner's state: stored after each command that may have changed it. */
    _Atomic int32_t shown_multi; /* queued commands; -1: not in MULTI */
    _Atomic uint32_t shown_watch, shown_channels, shown_patterns, shown_shard_channels;
    _Atomic size_t shown_multi_bytes;
    _Atomic size_t shown_tables; /* memory of transaction, watched keys, subscriptions, tracking */
    _Atomic uint64_t shown_redirect;
    _Atomic bool shown_any, shown_tracking, shown_bcast, shown_broken_redirect, capa_redirect;
    _Atomic bool killed;          /* close at the next quiescent point */
    _Atomic bool dirty_cas;       /* a watched key changed: EXEC fails */
    _Atomic uint32_t signal;      /* in-process sessions wait on it; bumped by every wake */
    _Atomic bool wake_pending;    /* on some thread's wake list */
    struct kv_session *wake_next; /* that list's link: belongs to who set wake_pending */
    /* under `mutex` (rank SESSION) */
    kv_mutex mutex;
    kv_buf mailbox;
    _Atomic size_t mail_len; /* == mailbox.len: a cheap look without the lock */
    _Atomic size_t mail_cap; /* == mailbox.cap */
} kv_session;

/* Creates and registers: from here on other threads may wake it. NULL when out of memory: then `gone` is not called. The caller owns one reference. O(1). */
kv_session *kv_session_create(struct kv_engine *engine, const kv_session_ops *ops, void *owner, void *home);
/* Leaves every table (pub/sub, tracking, watch, waiters), unregisters, gives the owner's reference back. Owner's thread, no lock held. */
void kv_session_destroy(kv_session *session);
void kv_session_retain(kv_session *session);
void kv_session_release(kv_session *session);

/* In-process, a Unix socket, or the loopback interface: what options with the value `local` ask. */
bool kv_session_is_local(const kv_session *session);

/* Back to the state of a new connection: RESET. */
void kv_session_reset(kv_session *session);

/* Move the mail to the end of `out`. Owner only. Cost O(bytes). */
void kv_session_drain(kv_session *session, kv_buf *out);

#endif
