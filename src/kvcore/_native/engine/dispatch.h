/* From words to a reply: the one path every door takes.
 *
 *   resolve -> arity -> authentication -> (queue in MULTI) -> limits -> lock set -> lock -> handler -> publish -> serve waiters -> unlock -> wake, free
 */
#ifndef KV_ENGINE_DISPATCH_H
#define KV_ENGINE_DISPATCH_H

#include "engine/ctx.h"
#include "engine/engine.h"

typedef enum kv_outcome {
    KV_OUTCOME_DONE,    /* the reply is in `out` (nothing when CLIENT REPLY says so) */
    KV_OUTCOME_BLOCKED, /* the session waits: its reply will come to the mailbox, then block_state is DONE and it is woken */
    KV_OUTCOME_PAUSED,  /* CLIENT PAUSE holds this command back: try again after pause_until_ms or a wake */
    KV_OUTCOME_MORE,    /* only with session->slices: `out` has the first slice of the reply, ask kv_long_reply_more for the others first */
    KV_OUTCOME_AGAIN, /* only with session->slices: it would change a value that is being read in slices. Nothing was done: call again soon */
    KV_OUTCOME_BUSY   /* only with session->nonblocking: it would wait for a lock or may take long. Nothing was done: call again without */
} kv_outcome;

/* Run one command. argv's bytes must stay until the call returns (a blocked command keeps its own copy). No lock held by the caller.
 * Errors are replies. After it: look at session->closing, session->killed and session->mail_len. */
kv_outcome kv_execute(kv_session *session, int argc, const kv_slice *argv, kv_buf *out);
/* The same when the caller has looked the command up (a top-level one without subcommands); argv[0] is its name. */
kv_outcome kv_execute_as(kv_session *session, const kv_command *command, int argc, const kv_slice *argv, kv_buf *out);

/* Adds the next slice of session->long_reply to `out`: MORE, or DONE when that was the last. Meanwhile the session runs nothing else and gets no mail
 * into `out`. When memory runs out, `out` fails. Owner's thread, no lock held. */
kv_outcome kv_long_reply_more(kv_session *session, kv_buf *out);
size_t kv_long_reply_bytes(const kv_session *session); /* that it holds. Owner's thread */

/* Prepare a pipeline: hash the keys (the first arguments of its commands), touch their buckets, then their entries, so that they are in the caches when
 * the commands run; each step overlaps the cache misses of all keys. Shards that are taken are left out. Fills `hints`, which the session uses
 * to hash no key twice while session->hints points at them. Never an error. */
#define KV_BATCH 16
typedef struct kv_hint {
    const uint8_t *key; /* as it will stand in argv */
    uint64_t hash;
} kv_hint;
void kv_prefetch(kv_session *session, const kv_slice *keys, size_t count, kv_hint hints[KV_BATCH]);

/* A blocked session whose time is up, or that is to end (CLIENT KILL, a lost connection, a closing store). True when this ended the wait: its
 * reply, if any, is in the mailbox (in-process sessions: in `served`). False when another thread got there first: look at kv_session_block_ended. Owner's thread. */
bool kv_session_unblock(kv_session *session, kv_unblock why);
/* After a wake: true when the block has ended (served, or CLIENT UNBLOCK): the session has left its waiting queues, its reply is in the mailbox
 * and it may run the next command. False: still waiting. Owner's thread, no lock held. */
bool kv_session_block_ended(kv_session *session);
/* Ends the wait of a blocked session that is to go, or waits for the thread that serves it at this moment. Without a reply, unless that thread was first.
 * Owner's thread, no lock held. */
void kv_session_stop_waiting(kv_session *session);
/* CLIENT UNBLOCK: end another session's wait. False: it is not waiting. Any thread; it is woken when c's unit ends. */
bool kv_session_ask_unblock(kv_ctx *c, kv_session *target, kv_unblock why);
/* When the block ends by itself: monotonic ns, UINT64_MAX for never. */
uint64_t kv_session_block_deadline(const kv_session *session);
/* Memory of the blocked command; 0: it is not blocked. Owner's thread. */
size_t kv_session_block_bytes(const kv_session *session);

/* ---- for the engine's own files ---- */
/* What the logs are told of a long reply when it has ended: its command's words are gone by then. */
typedef struct kv_long_call {
    const kv_command *command;
    kv_slice *argv; /* one block with the bytes */
    int argc;
    int db;
    size_t request, bytes;
    uint64_t ns; /* of all slices */
} kv_long_call;
bool kv_long_call_init(kv_long_call *call, const kv_ctx *c);
void kv_long_call_ended(kv_session *session, const kv_long_call *call);
void kv_long_call_deinit(kv_long_call *call, kv_engine *engine);
void kv_lock_shards(kv_engine *engine, uint64_t mask);
void kv_unlock_shards(kv_engine *engine, uint64_t mask);
/* A unit of the engine itself (active expiry, eviction, lazy free): locks `mask`, no session. End it with kv_unit_end. */
void kv_unit_begin(kv_ctx *c, kv_unit *unit, kv_engine *engine, int db, uint64_t mask);
void kv_unit_end(kv_ctx *c);
/* After kv_unit_begin, when it changes data: its effects gather in `effects`, which has to stay until kv_unit_end. */
void kv_unit_logs(kv_ctx *c, kv_effects *effects);
/* Run a handler inside a unit whose locks are held (dispatch, EXEC, a waiter being served). Counts statistics. */
void kv_call(kv_ctx *c);
/* Count a call that blocked and has ended without its handler: its time was up, or it was unblocked (`failed`: the reply is an error). */
void kv_call_ended(kv_ctx *c, bool failed);

/* Mail: append bytes that are in the session's format; it is woken once this unit's locks are released. Any thread; takes rank SESSION. A buffer
 * that could not hold its message, or a full memory, marks the mailbox: the session ends rather than have a hole in its stream. */
void kv_session_mail(kv_ctx *c, kv_session *target, const kv_buf *bytes);
void kv_wake_later(kv_ctx *c, kv_session *target);
void kv_wake_now(kv_session *session); /* no lock held */

#endif
