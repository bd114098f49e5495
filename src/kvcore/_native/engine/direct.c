/* Direct calls: see direct.h. What run_short() of dispatch.c is for words, this is without them.
 *
 * Calls are counted in the shard, under its lock that is held anyway: a counter that all threads share would cost more than the look-up does. */
#include "engine/direct.h"

#include "engine/cron.h"
#include "engine/dispatch.h"
#include "engine/journal.h"
#include "engine/unit.h"

/* Nobody but the caller is interested in this call. */
static inline bool is_calm(kv_engine *engine) {
    kv_journal *journal = kv_journal_of(engine);
    return (journal == NULL || (kv_journal_is_open(journal) && !kv_journal_gates(journal))) &&
           !atomic_load_explicit(&engine->strict, memory_order_relaxed) && !kv_engine_is_throttled(engine) &&
           atomic_load_explicit(&engine->refused, memory_order_relaxed) == NULL &&
           atomic_load_explicit(&engine->monitor_count, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&engine->pause_until_ms, memory_order_relaxed) == 0;
}

static inline bool is_ordinary(const kv_session *session) {
    return session->authenticated && session->transaction == NULL && session->subscriber == NULL && session->tracker == NULL &&
           session->reply_mode == KV_REPLY_ON;
}

bool kv_direct_begin(kv_direct *d, kv_session *session, kv_direct_command which, kv_slice key) {
    kv_engine *engine = session->engine;
    const kv_command *command = engine->direct[which]; /* NULL: this engine's table has no such command */
    uint64_t calls = atomic_load_explicit(&session->commands, memory_order_relaxed);
    if (command == NULL || calls < KV_TIMED_CALLS || calls % KV_TIMED_CALLS == 0 || !is_ordinary(session) || !is_calm(engine)) return false;
    kv_ctx *c = &d->c;
    kv_ctx_begin(c, engine, session, command, session->db, &d->unit);
    d->unit = (kv_unit){0};
    d->key = (kv_key){.name = key, .hash = kv_store_hash(&engine->store, key), .db = c->db};
    d->key.shard = kv_store_shard_of(&engine->store, d->key.hash);
    kv_shard_prefetch(d->key.shard, (unsigned)c->db, d->key.hash);
    d->unit.ticks = kv_clock_ticks(&engine->clock);
    d->unit.now_ms = kv_clock_ms_at(&engine->clock, d->unit.ticks);
    return kv_unit_lock_one(c, d->key.shard, which == KV_DIRECT_SET, false);
}

void kv_direct_end(kv_direct *d, kv_direct_command which) {
    kv_session *session = d->c.session;
    kv_engine *engine = d->c.engine;
    _Atomic uint64_t *calls = &d->key.shard->calls[which];
    atomic_store_explicit(calls, atomic_load_explicit(calls, memory_order_relaxed) + 1, memory_order_relaxed);
    kv_unit_finish_one(&d->c, d->key.shard);
    atomic_store_explicit(&session->last_command, d->c.command, memory_order_relaxed);
    /* Only the owner writes it: no read-modify-write. */
    atomic_store_explicit(&session->commands, atomic_load_explicit(&session->commands, memory_order_relaxed) + 1, memory_order_relaxed);
    if (atomic_load_explicit(&engine->cron_wanted, memory_order_relaxed) &&
        atomic_load_explicit(&engine->cron, memory_order_relaxed) == NULL)
        kv_cron_start(engine);
}

void kv_direct_leave(kv_direct *d) { kv_unit_finish_one(&d->c, d->key.shard); }

static uint64_t sum(const kv_engine *engine, unsigned which) {
    uint64_t calls = 0;
    for (unsigned i = 0; i < engine->store.shard_count; i++)
        calls += atomic_load_explicit(&engine->store.shards[i].calls[which], memory_order_relaxed);
    return calls;
}

uint64_t kv_direct_calls(const kv_engine *engine, const kv_command *command) {
    for (unsigned i = 0; i < KV_DIRECT_COUNT; i++)
        if (engine->direct[i] == command) return sum(engine, i) - atomic_load_explicit(&engine->direct_before[i], memory_order_relaxed);
    return 0;
}

void kv_direct_reset(kv_engine *engine) {
    for (unsigned i = 0; i < KV_DIRECT_COUNT; i++) atomic_store_explicit(&engine->direct_before[i], sum(engine, i), memory_order_relaxed);
}
