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
    KV_OUTCOME_PAUSED   /* CLIENT PAUSE holds this command back: try again after pause_until_ms or a wake */
} kv_outcome;

/* Run one command. argv's bytes must stay until the call returns (a blocked command keeps its own copy). No lock held by the caller.
 * Errors are replies. After it: look at session->closing, session->killed and session->mail_len. */
kv_outcome kv_execute(kv_session *session, int argc, const kv_slice *argv, kv_buf *out);

/* Prepare a pipeline: touch the buckets of a command's keys so that they are in cache when it runs. A hint, never an error. */
void kv_prefetch(kv_session *session, int argc, const kv_slice *argv);

/* A blocked session: its time is up, it was killed, or it disconnected. True when the caller ended the wait (its reply, if any, is in the mailbox);
 * false when another thread is serving it: DONE and a wake follow at once. Owner's thread. */
typedef enum kv_unblock { KV_UNBLOCK_TIMEOUT, KV_UNBLOCK_ERROR, KV_UNBLOCK_GONE } kv_unblock;
bool kv_session_unblock(kv_session *session, kv_unblock why);
/* After block_state became DONE: leave the waiting queues of other shards and be ready for the next command. Owner's thread. */
void kv_session_unblocked(kv_session *session);
/* When the block ends by itself: monotonic ns, UINT64_MAX for never. */
uint64_t kv_session_block_deadline(const kv_session *session);

/* ---- for the engine's own files ---- */
void kv_lock_shards(kv_engine *engine, uint64_t mask);
void kv_unlock_shards(kv_engine *engine, uint64_t mask);
static inline uint64_t kv_all_shards(const kv_engine *engine) {
    return engine->store.count == 64 ? UINT64_MAX : (UINT64_C(1) << engine->store.count) - 1;
}
/* A unit of the engine itself (active expiry, eviction, lazy free): locks `mask`, no session. End it with kv_unit_end. */
void kv_unit_begin(kv_ctx *c, kv_engine *engine, int db, uint64_t mask);
void kv_unit_end(kv_ctx *c);
/* Lock set of a resolved command; UINT64_MAX-like "all" for ALL_KEYS commands. Fills c's key refs. False: the keys are malformed (replied). */
bool kv_command_lock_set(kv_ctx *c, uint64_t *mask);
/* Run a handler inside a unit whose locks are held (dispatch, EXEC, a waiter being served). Counts statistics. */
void kv_call(kv_ctx *c);

/* Mail: append bytes that are in the session's format; it is woken once this unit's locks are released. Any thread; takes rank SESSION. */
void kv_session_mail(kv_ctx *c, kv_session *target, kv_slice bytes);
void kv_wake_later(kv_ctx *c, kv_session *target);
void kv_wake_now(kv_session *session); /* no lock held */

#endif
