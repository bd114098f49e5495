/* The background thread. Each round: expire keys and hash fields whose time has passed (soonest first, from the shards' indexes, so that a round
 * with nothing due costs one look a shard), free big values in steps, move some buckets of tables that are growing.
 *
 * A shard's lock is held for at most BATCH deletions at a time, and the shards take turns; between batches everybody else gets in. While there is
 * more to do the thread works for a millisecond or two and sleeps about three times as long, less with active-expire-effort (docs/design/long-work.md). */
#include "engine/cron.h"

#include <limits.h>

#include "engine/dispatch.h"
#include "engine/effect.h"
#include "base/pages.h"
#include "engine/evict.h"
#include "engine/monitor.h"
#include "engine/notify.h"
#include "engine/stats.h"
#include "engine/tracking.h"
#include "engine/transaction.h"
#include "engine/unit.h"
#include "store/cut.h"
#include "store/pin.h"
#include "types/hash.h"

#define BATCH 64     /* keys, or container elements times 8, under one hold of a shard's lock: about 100 us */
#define WORK_US 1000 /* of expiry in one go */
#define SHARE 25     /* percent of one processor for this thread while there is more to do, at active-expire-effort 1 ... */
#define SHARE_STEP 4 /* ... and for each step of effort more */

typedef struct kv_cron {
    kv_thread thread;
    kv_engine *engine;
    _Atomic uint32_t stop;
} kv_cron;

/* ---- expiry ---- */

static bool before_expiry(void *arg, kv_keydb *db, kv_value *v) {
    kv_ctx *c = arg;
    kv_slice name = kv_entry_key(v);
    kv_begin_write(c);
    c->unit->dirty++;
    kv_effect_del(c, (int)db->index, name, KV_CFG_LAZYFREE_LAZY_EXPIRE);
    atomic_fetch_add_explicit(&c->engine->stats.expired_keys, 1, memory_order_relaxed);
    kv_watch_touched(c, db->shard, (int)db->index, kv_store_hash(&c->engine->store, name), name, true);
    kv_tracking_changed(c, name);
    kv_notify(c, (int)db->index, KV_EVENT_EXPIRED, "expired", name);
    return true;
}

typedef struct fields_gone {
    kv_ctx *c;
    int db;
    kv_slice key;
} fields_gone;

static void before_field(void *arg, kv_slice field) {
    const fields_gone *gone = arg;
    kv_effect_hdel(gone->c, gone->db, gone->key, field);
}

/* Fields of one hash; the key goes with its last field, here and wherever the effects are applied. */
static void expire_fields(kv_ctx *c, kv_keydb *db, kv_value *v) {
    kv_slice name = kv_entry_key(v);
    kv_begin_write(c);
    kv_cut_before(db, v, false);
    v->version = (uint16_t)c->unit->epoch;
    fields_gone told = {c, (int)db->index, name};
    size_t gone = kv_hash_expire_due(v, db->arena, kv_ctx_now_ms(c), BATCH, before_field, &told);
    atomic_fetch_add_explicit(&c->engine->stats.expired_fields, gone, memory_order_relaxed);
    uint64_t hash = kv_store_hash(&c->engine->store, name);
    if (gone > 0) {
        c->unit->dirty += gone;
        kv_watch_touched(c, db->shard, (int)db->index, hash, name, false);
        kv_tracking_changed(c, name);
        kv_notify(c, (int)db->index, KV_EVENT_HASH, "hexpired", name);
    }
    if (kv_hash_length(v) == 0) {
        kv_notify(c, (int)db->index, KV_EVENT_GENERIC, "del", name);
        kv_keydb_delete(db, hash, v);
    } else {
        kv_keydb_fields_update(db, v);
    }
}

/* One batch of one database of one shard. Returns true when more is due there. */
static bool expire_batch(kv_engine *engine, unsigned shard_index, unsigned db_index) {
    kv_unit unit;
    kv_ctx c;
    kv_effects effects;
    kv_unit_begin(&c, &unit, engine, (int)db_index, UINT64_C(1) << shard_index);
    kv_unit_logs(&c, &effects);
    kv_shard *shard = &engine->store.shards[shard_index];
    kv_keydb *db = kv_shard_db(shard, db_index);
    bool more = false;
    if (db != NULL) {
        int64_t now = kv_ctx_now_ms(&c);
        shard->now_ms = now;
        more = kv_keydb_expire_due(db, now, BATCH, before_expiry, &c) == BATCH;
        kv_value *v = kv_keydb_due_fields(db, now);
        if (v != NULL && kv_shard_is_pinned(shard, v)) {
            kv_shard_advance(shard, v); /* nobody sees those fields meanwhile */
            more = true;
        } else if (v != NULL) {
            expire_fields(&c, db, v);
            more |= kv_keydb_due_fields(db, now) != NULL;
        }
    }
    kv_unit_end(&c);
    return more;
}

/* A batch of every database of one shard. */
static bool expire_shard(kv_engine *engine, unsigned index) {
    const kv_store *store = &engine->store;
    const kv_keydb_counts *counts = store->shards[index].counts;
    bool more = false;
    for (unsigned d = 0; counts != NULL && d < store->db_count; d++) {
        size_t keys = atomic_load_explicit(&counts[d].expires, memory_order_relaxed);
        if (keys + atomic_load_explicit(&counts[d].fields, memory_order_relaxed) > 0) more |= expire_batch(engine, index, d);
    }
    return more;
}

/* Shard after shard, a batch of each in turn: whoever waits for a shard gets it while the others have theirs. True when the budget ran out first. */
static bool expire_round(kv_engine *engine, uint64_t deadline_ns) {
    uint64_t due = kv_store_all_shards(&engine->store);
    while (due != 0) {
        for (uint64_t left = due; left != 0; left &= left - 1) {
            unsigned index = (unsigned)__builtin_ctzll(left);
            if (!expire_shard(engine, index)) due &= ~(UINT64_C(1) << index);
            if (kv_mono_ns() > deadline_ns) return due != 0;
        }
    }
    return false;
}

/* ---- freeing and rehashing ---- */

static bool tidy_shard(kv_engine *engine, kv_shard *shard) {
    bool more = false;
    kv_mutex_lock(&shard->lock);
    if (atomic_load_explicit(&shard->has_garbage, memory_order_relaxed)) more = !kv_shard_free_some(shard, BATCH * 8);
    if (shard->pins != NULL) more |= kv_shard_advance_orphan(shard); /* the client may be slow for ever */
    if (kv_setting(&engine->settings, KV_CFG_ACTIVEREHASHING) != 0 && shard->dbs != NULL)
        for (unsigned d = 0; d < engine->store.db_count; d++)
            if (shard->dbs[d] != NULL && kv_table_is_rehashing(&shard->dbs[d]->keys))
                more |= kv_table_rehash_step(&shard->dbs[d]->keys, BATCH);
    kv_mutex_unlock(&shard->lock);
    return more;
}

/* ---- compaction ---- */

/* A step looks at STEP blocks under the lock: some 10 us. A piece of work takes COMPACT_NS, and all pieces together COMPACT_SHARE percent of the time, so that
 * nobody misses it. */
enum { PROMOTE_NS = 2000000, PROMOTE_PAUSE = 32 }; /* a 32nd of a processor for huge pages: what one costs differs by machine (pages.c) */
enum { STEP = 128, COMPACT_NS = 1000000, COMPACT_SHARE = 10 };

/* `look`: may a round begin? False: there is nothing left to do. */
static bool compact(kv_engine *engine, bool look) {
    bool wanted = kv_setting(&engine->settings, KV_CFG_ACTIVEDEFRAG) != 0;
    unsigned percent = (unsigned)kv_setting(&engine->settings, KV_CFG_ACTIVE_DEFRAG_THRESHOLD_LOWER), count = engine->store.shard_count;
    uint64_t deadline_ns = kv_mono_ns() + COMPACT_NS;
    for (unsigned i = 0; i < count; i++) {
        kv_shard *shard = &engine->store.shards[i];
        bool due = look && kv_shard_compact_due(shard, percent == 0 ? 1 : percent);
        if (!due && !atomic_load_explicit(&shard->compaction.running, memory_order_relaxed)) continue;
        for (bool more = true; more;) {
            kv_mutex_lock(&shard->lock);
            if (wanted) more = kv_shard_compact(shard, STEP);
            else kv_shard_compact_stop(shard), more = false; /* it was switched off on the way */
            kv_mutex_unlock(&shard->lock);
            if (kv_mono_ns() > deadline_ns) return true;
        }
    }
    return false;
}

bool kv_cron_round(kv_engine *engine, uint64_t budget_us) {
    uint64_t begun = kv_mono_ns();
    bool more = false;
    kv_ctx now = {.engine = engine, .unit = &(kv_unit){0}};
    kv_ctx_now_ms(&now); /* refreshes the LRU clock */
    if (atomic_load_explicit(&engine->active_expire, memory_order_relaxed) && !kv_engine_is_paused(engine)) {
        more = expire_round(engine, begun + budget_us * 1000);
        if (more) atomic_fetch_add_explicit(&engine->stats.expired_time_cap_reached, 1, memory_order_relaxed);
    }
    uint64_t spent = kv_mono_ns() - begun;
    atomic_fetch_add_explicit(&engine->stats.active_expire_cycle_ns, spent, memory_order_relaxed);
    int64_t threshold = kv_setting(&engine->settings, KV_CFG_LATENCY_MONITOR_THRESHOLD);
    if (threshold > 0 && spent / 1000000 >= (uint64_t)threshold) kv_latency_add(engine, "expire-cycle", spent / 1000000);
    (void)kv_evict(engine); /* maxmemory may have been lowered, and nobody calls */
    kv_tracking_trim(engine);
    for (unsigned s = 0; s < engine->store.shard_count; s++) more |= tidy_shard(engine, &engine->store.shards[s]);
    return more;
}

/* ---- the thread ---- */

static void cron_main(void *arg) {
    kv_cron *cron = arg;
    kv_engine *engine = cron->engine;
    uint64_t looked_ns = 0, promote_ns = 0;
    while (atomic_load_explicit(&cron->stop, memory_order_acquire) == 0) {
        int64_t hz = kv_setting(&engine->settings, KV_CFG_HZ), effort = kv_setting(&engine->settings, KV_CFG_ACTIVE_EXPIRE_EFFORT);
        uint64_t period_ns = 1000000000 / (uint64_t)(hz < 1 ? 1 : hz);
        kv_stats_sample(engine);
        uint64_t begun = kv_mono_ns(), share = (uint64_t)(SHARE + SHARE_STEP * (effort - 1));
        bool more = kv_cron_round(engine, WORK_US);
        bool look = begun - looked_ns >= period_ns; /* a period is long enough to tell growth from rest */
        if (look) looked_ns = begun;
        bool compacting = compact(engine, look);
        if (look) kv_span_tend(&engine->mem, begun / 1000000, !more && !compacting);
        if (look && begun >= promote_ns) promote_ns = begun + PROMOTE_PAUSE * kv_span_promote(&engine->mem, PROMOTE_NS);
        uint64_t now = kv_mono_ns(), worked = now - begun;
        /* Piece by piece, so that on a machine with few processors the threads that serve clients never wait long for one. */
        uint64_t pause_ns = more ? worked * (100 - share) / share : compacting ? worked * (100 - COMPACT_SHARE) / COMPACT_SHARE : period_ns;
        kv_wait_word(&cron->stop, 0, now + (pause_ns < period_ns ? pause_ns : period_ns));
    }
}

bool kv_cron_start(kv_engine *engine) {
    if (atomic_load_explicit(&engine->cron, memory_order_acquire) != NULL) return true;
    kv_cron *cron = kv_calloc(&engine->mem, 1, sizeof *cron), *none = NULL;
    if (cron == NULL) return false;
    cron->engine = engine;
    if (!atomic_compare_exchange_strong_explicit(&engine->cron, &none, cron, memory_order_acq_rel, memory_order_acquire)) {
        kv_free(&engine->mem, cron); /* another thread was first */
        return true;
    }
    if (kv_thread_start(&cron->thread, "kvcore-cron", cron_main, cron) == 0) return true;
    atomic_store_explicit(&engine->cron, NULL, memory_order_release);
    kv_free(&engine->mem, cron);
    return false;
}

void kv_cron_stop(kv_engine *engine) {
    kv_cron *cron = atomic_exchange_explicit(&engine->cron, NULL, memory_order_acq_rel);
    if (cron == NULL) return;
    atomic_store_explicit(&cron->stop, 1, memory_order_release);
    kv_wake_word(&cron->stop, true);
    kv_thread_join(&cron->thread);
    kv_free(&engine->mem, cron);
}
