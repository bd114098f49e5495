/* What the engine does with its journal.
 *
 * `last_write_seq` of a shard is the number of the last unit in the log that changed it, or 0: nothing that the log has yet to make durable. A session's
 * `need` is the highest number that its unsent replies show. */
#include "engine/journal.h"

#include "engine/dispatch.h"
#include "engine/reply.h"

#define ROOM_KEPT 1024 /* of a session between units */

void kv_engine_set_journal(kv_engine *engine, kv_journal *journal) {
    uint64_t all = kv_store_all_shards(&engine->store);
    kv_lock_shards(engine, all);
    for (unsigned i = 0; i < engine->store.shard_count; i++) engine->store.shards[i].last_write_seq = 0;
    atomic_store_explicit(&engine->journal, journal, memory_order_release);
    kv_unlock_shards(engine, all);
}

void kvi_journal_saw(kv_session *session, uint64_t mask) {
    kv_engine *engine = session->engine;
    if (!kv_journal_gates(kv_journal_of(engine))) return;
    for (; mask != 0; mask &= mask - 1) {
        uint64_t number = engine->store.shards[__builtin_ctzll(mask)].last_write_seq;
        if (number > session->need) session->need = number;
    }
}

void kvi_journal_publish(kv_ctx *c) {
    kv_unit *unit = c->unit;
    kv_effects *e = unit->effects;
    kv_journal *journal = kv_journal_of(c->engine); /* the one that was there when the locks were taken: it changes under all of them */
    unit->effects = NULL;
    if (e->count > 0) {
        uint32_t epoch = unit->epoch != 0 ? unit->epoch : atomic_load_explicit(&c->engine->epoch, memory_order_acquire);
        uint64_t number = journal->append(journal, epoch, e);
        for (uint64_t mask = unit->locked; mask != 0; mask &= mask - 1)
            c->engine->store.shards[__builtin_ctzll(mask)].last_write_seq = number;
        e->count = 0;
        kv_buf_clear(&e->bytes);
        kv_buf_trim(&e->bytes, ROOM_KEPT);
    }
    if (c->session != NULL) kvi_journal_saw(c->session, unit->locked);
}

void kvi_session_settle(kv_session *session, kv_buf *out, size_t start) {
    uint64_t need = session->need;
    session->need = 0;
    kv_journal *journal = kv_journal_of(session->engine);
    if (journal == NULL || need <= atomic_load_explicit(&journal->durable, memory_order_acquire)) return;
    if (journal->wait(journal, need, UINT64_MAX)) return;
    const char *refusal = atomic_load_explicit(&journal->refusal, memory_order_acquire);
    if (out->failed) return;
    out->len = start;
    kv_reply reply = kv_reply_to(out, session->format);
    kv_reply_error(&reply, refusal != NULL ? refusal : "MISCONF Errors writing to the AOF file: the change may be lost");
}
