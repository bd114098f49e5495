/* Units: locking, publishing, waking.
 *
 *   lock (ascending) -> begin_write -> changes -> publish -> serve waiters -> unlock (descending) -> wake sessions
 *
 * begin_write() reads the snapshot epoch with all locks held. A snapshot advances the epoch and then takes and gives back every shard lock
 * once: after that sweep no unit of the old epoch is running, because such a unit holds a shard lock from before its read of the epoch until after
 * publish(). So neither a per-thread slot nor a fence is needed on the way of a write (docs/design/locks.md has the proof).
 *
 * publish() takes the sequence number before the locks are given back: a reader that sees the change finds it numbered. The number is one more than
 * the highest of the locked shards': units that share a shard are numbered in the order in which they ran, and no line of memory is written by all
 * threads (docs/design/locks.md). */
#include "engine/unit.h"

#include "engine/blocking.h"
#include "engine/journal.h"
#include "engine/keymap.h"
#include "engine/tally.h"
#include "engine/tracking.h"

void kv_lock_shards(kv_engine *engine, uint64_t mask) {
    while (mask != 0) {
        unsigned i = (unsigned)__builtin_ctzll(mask);
        mask &= mask - 1;
        kv_mutex_lock(&engine->store.shards[i].lock);
    }
}

void kv_unlock_shards(kv_engine *engine, uint64_t mask) {
    while (mask != 0) {
        unsigned i = 63u - (unsigned)__builtin_clzll(mask);
        mask &= ~(UINT64_C(1) << i);
        kv_mutex_unlock(&engine->store.shards[i].lock);
    }
}

/* The unit's locks are held: is there a log to write for? A journal comes and goes under all locks, so the answer stays. */
static inline void look_for_journal(kv_ctx *c) {
    if (atomic_load_explicit(&c->engine->journal, memory_order_relaxed) != NULL && c->session != NULL)
        kvi_effects_open(c, &c->session->effects);
}

/* The shards that clients waiting on the shards of `mask` need when they are served. Those shards are locked. */
static uint64_t waiters_mask(const kv_engine *engine, uint64_t mask) {
    uint64_t more = 0;
    while (mask != 0) {
        unsigned i = (unsigned)__builtin_ctzll(mask);
        mask &= mask - 1;
        more |= kv_waiters_mask(&engine->store.shards[i]);
    }
    return more;
}

/* Locks are held: who has stopped everything (standstill.h) has either seen them, or is seen here. */
static inline bool is_held_back(const kv_ctx *c) {
    return atomic_load_explicit(&c->engine->still, memory_order_relaxed) != 0 && (c->session == NULL || !c->session->replays);
}

void kv_unit_lock(kv_ctx *c, uint64_t mask, bool writes) {
#ifdef KV_MUTANT_DROP_LOCK
    mask &= mask - 1; /* a seeded bug for the checkers: the lowest shard goes unlocked */
#endif
    kv_lock_shards(c->engine, mask);
    for (bool waits = mask != 0 && is_held_back(c);; waits = is_held_back(c)) {
        /* The set only grows, so without a standstill this ends after at most 64 rounds; with nobody blocked, after none. */
        uint64_t more = writes ? waiters_mask(c->engine, mask) & ~mask : 0;
        if (!waits && more == 0) break;
        kv_unlock_shards(c->engine, mask);
        if (waits) (void)kv_wait_word(&c->engine->still, 1, UINT64_MAX);
        mask |= more;
        kv_lock_shards(c->engine, mask);
    }
    c->unit->locked = mask;
    if (mask != 0) look_for_journal(c);
}

bool kv_unit_trylock(kv_ctx *c, uint64_t mask, bool writes) {
    uint64_t locked = 0;
    for (uint64_t left = mask; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        if (!kv_mutex_trylock(&c->engine->store.shards[i].lock)) break;
        locked |= UINT64_C(1) << i;
    }
    if (locked == mask && !is_held_back(c) && (!writes || (waiters_mask(c->engine, mask) & ~mask) == 0)) {
        c->unit->locked = mask;
        if (mask != 0) look_for_journal(c);
        return true;
    }
    kv_unlock_shards(c->engine, locked);
    return false;
}

bool kv_unit_lock_one(kv_ctx *c, kv_shard *shard, bool writes, bool wait) {
#ifdef KV_MUTANT_DROP_LOCK
    (void)wait; /* the same bug: the unit goes without its lock */
    if (shard->waiters != NULL && writes) return false;
    c->unit->locked = 0;
    return true;
#endif
    if (wait) kv_mutex_lock(&shard->lock);
    else if (!kv_mutex_trylock(&shard->lock)) return false;
    if (((shard->waiters != NULL || shard->pins != NULL) && writes) || is_held_back(c)) {
        kv_mutex_unlock(&shard->lock);
        return false;
    }
    c->unit->locked = UINT64_C(1) << shard->index;
    look_for_journal(c);
    return true;
}

void kv_begin_write(kv_ctx *c) {
    if (c->unit->epoch != 0) return;
    c->unit->epoch = atomic_load_explicit(&c->engine->epoch, memory_order_acquire);
    for (uint64_t mask = c->unit->locked; mask != 0; mask &= mask - 1)
        c->engine->store.shards[__builtin_ctzll(mask)].version = (uint16_t)c->unit->epoch;
}

static inline void number_shards(const kv_ctx *c) {
    uint64_t sequence = 0;
    for (uint64_t mask = c->unit->locked; mask != 0; mask &= mask - 1) {
        uint64_t last = c->engine->store.shards[__builtin_ctzll(mask)].last_write_seq;
        if (last > sequence) sequence = last;
    }
    sequence++;
    for (uint64_t mask = c->unit->locked; mask != 0; mask &= mask - 1)
        c->engine->store.shards[__builtin_ctzll(mask)].last_write_seq = sequence;
}

/* With a journal the numbers are its own. */
static inline void publish(kv_ctx *c) {
    if (c->unit->effects != NULL) kvi_journal_publish(c);
    else if (c->unit->dirty != 0) number_shards(c);
    if (c->unit->dirty == 0) return;
    if (c->session != NULL && c->session->tally != NULL && !c->rerun) kv_tally_add(&c->session->tally->dirty, c->unit->dirty);
    else atomic_fetch_add_explicit(&c->engine->stats.dirty, c->unit->dirty, memory_order_relaxed);
    c->unit->dirty = 0;
}

void kv_unit_ready(kv_ctx *c, kv_shard *shard, uint64_t hash, kv_slice name) {
    if (shard->waiters == NULL || (c->session != NULL && c->session->replays)) return;
    kv_keymap_node *node = kv_keymap_find(shard->waiters, hash, name);
    if (node == NULL || node->is_ready) return;
    node->is_ready = true;
    node->next_ready = NULL;
    if (c->unit->ready == NULL) c->unit->ready = node;
    else c->unit->ready_last->next_ready = node;
    c->unit->ready_last = node;
}

static void wake_all(kv_ctx *c) {
    kv_unit *unit = c->unit;
    while (unit->wakes != NULL) {
        kv_session *session = unit->wakes;
        unit->wakes = session->wake_next;
        session->wake_next = NULL;
        /* Cleared before the wake: mail that comes after this moment starts a wake of its own. An exchange, not a store: it takes over what those did
         * who found the flag set and left the wake to this thread. */
        atomic_exchange_explicit(&session->wake_pending, false, memory_order_acq_rel);
        kv_wake_now(session);
        kv_session_release(session);
    }
}

/* Big values that this unit dropped are freed by the background thread. */
static void leave_garbage(const kv_ctx *c) {
    for (uint64_t left = c->unit->locked; left != 0; left &= left - 1) {
        const kv_shard *shard = &c->engine->store.shards[__builtin_ctzll(left)];
        if (atomic_load_explicit(&shard->has_garbage, memory_order_relaxed)) kv_engine_need_cron(c->engine);
    }
}

void kv_unit_finish(kv_ctx *c) {
    if (c->unit->epoch != 0) leave_garbage(c);
    if (c->unit->ready != NULL) kv_serve_ready(c);
    if (c->unit->broadcast != NULL) kv_tracking_publish(c);
#ifndef KV_MUTANT_PUBLISH_AFTER_UNLOCK
    publish(c);
#endif
    kv_unlock_shards(c->engine, c->unit->locked);
#ifdef KV_MUTANT_PUBLISH_AFTER_UNLOCK
    publish(c); /* a seeded bug for the checkers */
#endif
    c->unit->locked = 0;
    c->unit->epoch = 0;
    if (c->unit->wakes != NULL) wake_all(c);
}

void kv_unit_finish_one(kv_ctx *c, kv_shard *shard) {
    kv_unit *unit = c->unit;
    if (unit->epoch != 0 && atomic_load_explicit(&shard->has_garbage, memory_order_relaxed)) kv_engine_need_cron(c->engine);
    if (unit->broadcast != NULL) kv_tracking_publish(c);
#ifndef KV_MUTANT_PUBLISH_AFTER_UNLOCK
    publish(c);
#endif
#ifndef KV_MUTANT_DROP_LOCK
    kv_mutex_unlock(&shard->lock);
#endif
#ifdef KV_MUTANT_PUBLISH_AFTER_UNLOCK
    publish(c);
#endif
    unit->locked = 0;
    unit->epoch = 0;
    if (unit->wakes != NULL) wake_all(c);
}

void kv_unit_begin(kv_ctx *c, kv_unit *unit, kv_engine *engine, int db, uint64_t mask) {
    *unit = (kv_unit){0};
    *c = (kv_ctx){.engine = engine, .db = db, .unit = unit};
    kv_unit_lock(c, mask, true);
}

void kv_unit_logs(kv_ctx *c, kv_effects *effects) {
    *effects = (kv_effects){0};
    if (atomic_load_explicit(&c->engine->journal, memory_order_relaxed) != NULL) kvi_effects_open(c, effects);
}

void kv_unit_end(kv_ctx *c) {
    kv_effects *effects = c->unit->effects;
    kv_unit_finish(c);
    if (effects != NULL) kv_buf_deinit(&effects->bytes);
}
