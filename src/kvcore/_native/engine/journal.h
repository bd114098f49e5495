/* The engine's face of its log: where the effects of its units go. Implemented by persist/aof.c.
 *
 * `append` is called under the locks of the unit's shards, so effects of units that share a shard are in the log in the order in which they ran. Lock order:
 * shards < journal, which is a leaf. Readers look at the fields below without a lock, so a journal that was an engine's stays until the engine's end. */
#ifndef KV_ENGINE_JOURNAL_H
#define KV_ENGINE_JOURNAL_H

#include "engine/effect.h"
#include "engine/engine.h"
#include "engine/session.h"

typedef struct kv_journal kv_journal;
struct kv_journal {
    /* The effects of one unit; returns their number, which ascends in the order of calls. Cannot fail; bytes.failed: as with `lost`. */
    uint64_t (*append)(kv_journal *journal, uint32_t epoch, const kv_effects *effects);
    void (*lost)(kv_journal *journal); /* something changed and could not be encoded: the journal fails */
    /* True: the session is woken (kv_wake_now) when all up to `number` is durable, or never will be. False: it is so already. */
    bool (*await)(kv_journal *journal, kv_session *session, uint64_t number);
    void (*forget)(kv_journal *journal, kv_session *session); /* a session that waits goes */
    /* Blocks the caller's thread; number 0: until the journal is not full. No lock held, no GIL. False: the deadline, or it will never be. */
    bool (*wait)(kv_journal *journal, uint64_t number, uint64_t deadline_ns);
    _Atomic uint64_t durable;      /* the highest number such that it and all before are on the disk */
    _Atomic bool gate;             /* replies wait for `durable` (appendfsync always) */
    _Atomic bool full;             /* more than the limit waits for the disk: wait(.., 0, ..) before locking */
    _Atomic(const char *) refusal; /* NULL, or why writing commands are refused: a constant text "MISCONF ..." */
};

static inline kv_journal *kv_journal_of(kv_engine *engine) { return atomic_load_explicit(&engine->journal, memory_order_acquire); }

/* From the next unit on, effects go here; NULL: nowhere. Takes every shard's lock: none is held by the caller. Numbers begin anew. */
void kv_engine_set_journal(kv_engine *engine, kv_journal *journal);

/* Nothing asks a command to wait or refuses it: it may take the short ways. */
static inline bool kv_journal_is_open(kv_journal *journal) {
    return journal == NULL || (!atomic_load_explicit(&journal->full, memory_order_relaxed) &&
                               atomic_load_explicit(&journal->refusal, memory_order_relaxed) == NULL);
}
static inline bool kv_journal_gates(kv_journal *journal) {
    return journal != NULL && atomic_load_explicit(&journal->gate, memory_order_relaxed);
}

/* At the end of a unit, its locks held: its effects are appended, and the shards numbered. */
void kvi_journal_publish(kv_ctx *c);
/* What the session's replies will show of these shards (a blocked command was served by another thread): they are locked. */
void kvi_journal_saw(kv_session *session, uint64_t mask);

/* For callers in the process: waits until what the reply in `out` (from `start` on) shows is durable. When it never will be, an error takes the reply's
 * place. No lock held, no GIL. */
void kvi_session_settle(kv_session *session, kv_buf *out, size_t start);
static inline void kv_session_settle(kv_session *session, kv_buf *out, size_t start) {
    if (session->need != 0) kvi_session_settle(session, out, start);
}

#endif
