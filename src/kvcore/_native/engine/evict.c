/* Eviction by sampling, as Valkey does it: the best of a few candidates from a few shards goes; again until memory fits. Each step locks one
 * shard at a time and is short, so that other threads go on. */
#include "engine/evict.h"

#include "base/siphash.h"
#include "engine/dispatch.h"
#include "engine/effect.h"
#include "engine/notify.h"
#include "engine/tracking.h"
#include "engine/transaction.h"
#include "engine/unit.h"

#define SHARDS_SAMPLED 3 /* shards whose best candidates compete for one eviction */
#define RECLAIMED 512    /* elements freed under one hold of a shard's lock */

/* maxmemory-policy has its own numbers in the configuration file's table. */
static kv_evict_policy policy_in_force(const kv_engine *engine) {
    switch (kv_setting(&engine->settings, KV_CFG_MAXMEMORY_POLICY)) {
    case KV_MAXMEMORY_POLICY_VOLATILE_LRU: return KV_VOLATILE_LRU;
    case KV_MAXMEMORY_POLICY_VOLATILE_LFU: return KV_VOLATILE_LFU;
    case KV_MAXMEMORY_POLICY_VOLATILE_RANDOM: return KV_VOLATILE_RANDOM;
    case KV_MAXMEMORY_POLICY_VOLATILE_TTL: return KV_VOLATILE_TTL;
    case KV_MAXMEMORY_POLICY_ALLKEYS_LRU: return KV_ALLKEYS_LRU;
    case KV_MAXMEMORY_POLICY_ALLKEYS_LFU: return KV_ALLKEYS_LFU;
    case KV_MAXMEMORY_POLICY_ALLKEYS_RANDOM: return KV_ALLKEYS_RANDOM;
    default: return KV_NOEVICTION;
    }
}

/* What counts against maxmemory: not the mail that is about to be sent, or the invalidations of an eviction would evict more. */
static size_t counted_memory(kv_engine *engine) {
    size_t used = kv_engine_used_memory(engine), mail = atomic_load_explicit(&engine->mail_bytes, memory_order_relaxed);
    return mail < used ? used - mail : used;
}

static bool over_limit(kv_engine *engine) {
    int64_t limit = kv_setting(&engine->settings, KV_CFG_MAXMEMORY);
    return limit > 0 && counted_memory(engine) > (size_t)limit;
}

void kv_evict_settings_changed(kv_engine *engine) {
    const kv_settings *s = &engine->settings;
    kv_access_config access = {.policy = (uint8_t)policy_in_force(engine),
                               .lfu_decay_min = (uint16_t)kv_setting(s, KV_CFG_LFU_DECAY_TIME),
                               .lfu_log_factor = (uint32_t)kv_setting(s, KV_CFG_LFU_LOG_FACTOR)};
    atomic_store_explicit(&engine->store.access, access, memory_order_relaxed);
}

static bool victim_of(kv_engine *engine, kv_evict_policy policy, unsigned index, kv_victim *out) {
    kv_shard *shard = &engine->store.shards[index];
    unsigned samples = (unsigned)kv_setting(&engine->settings, KV_CFG_MAXMEMORY_SAMPLES);
    int64_t now_ms = kv_clock_ms(&engine->clock);
    kv_mutex_lock(&shard->lock);
    bool found = kv_shard_victim(shard, policy, samples, now_ms, out);
    kv_mutex_unlock(&shard->lock);
    return found;
}

/* Frees a piece of what was dropped before, and adds its bytes to *freed. False: there was nothing to free. */
static bool reclaim(kv_engine *engine, size_t *freed) {
    bool any = false;
    size_t before = kv_store_used(&engine->store);
    for (unsigned i = 0; i < engine->store.shard_count; i++) {
        kv_shard *shard = &engine->store.shards[i];
        if (!atomic_load_explicit(&shard->has_garbage, memory_order_relaxed)) continue;
        kv_mutex_lock(&shard->lock);
        size_t waiting = atomic_load_explicit(&shard->garbage_count, memory_order_relaxed);
        any |= !kv_shard_free_some(shard, RECLAIMED) || atomic_load_explicit(&shard->garbage_count, memory_order_relaxed) != waiting;
        kv_mutex_unlock(&shard->lock);
    }
    size_t after = kv_store_used(&engine->store);
    if (after < before) *freed += before - after; /* of others, too, who free at the same time: an estimate */
    return any;
}

/* Evicts the best candidate of one shard and adds what that freed to *freed. False: the shard has none. */
static bool evict_from(kv_engine *engine, kv_evict_policy policy, unsigned index, size_t *freed) {
    kv_unit unit;
    kv_ctx c;
    kv_effects effects;
    kv_unit_begin(&c, &unit, engine, 0, UINT64_C(1) << index);
    kv_unit_logs(&c, &effects);
    kv_shard *shard = &engine->store.shards[index];
    kv_victim victim;
    unsigned samples = (unsigned)kv_setting(&engine->settings, KV_CFG_MAXMEMORY_SAMPLES);
    bool found = kv_shard_victim(shard, policy, samples, kv_ctx_now_ms(&c), &victim);
    if (found) {
        kv_buf name; /* the event needs the name after the entry is gone */
        kv_buf_init(&name, &engine->mem);
        kv_buf_add_slice(&name, kv_entry_key(victim.v));
        kv_slice key = kv_buf_slice(&name);
        uint64_t hash = kv_store_hash(&engine->store, kv_entry_key(victim.v));
        int db = (int)victim.db->index;
        kv_begin_write(&c);
        kv_effect_del(&c, db, kv_entry_key(victim.v), KV_CFG_LAZYFREE_LAZY_EVICTION);
        kv_watch_touched(&c, shard, db, hash, kv_entry_key(victim.v), false);
        kv_tracking_changed(&c, kv_entry_key(victim.v));
        size_t before = kv_arena_used(shard->arena);
        kv_keydb_delete(victim.db, hash, victim.v);
        size_t after = kv_arena_used(shard->arena);
        if (after < before) *freed += before - after;
        unit.dirty++;
        atomic_fetch_add_explicit(&engine->stats.evicted_keys, 1, memory_order_relaxed);
        if (!name.failed) kv_notify(&c, db, KV_EVENT_EVICTED, "evicted", key);
        kv_buf_deinit(&name);
    }
    kv_unit_end(&c);
    return found;
}

/* The shard, among a few random ones, with the best candidate; falls back to a walk over all when those are empty. */
static bool choose_shard(kv_engine *engine, kv_evict_policy policy, uint64_t *turn, unsigned *out) {
    unsigned count = engine->store.shard_count, found = 0;
    uint64_t best = 0;
    for (unsigned tried = 0; tried < SHARDS_SAMPLED * 4 && found < SHARDS_SAMPLED; tried++) {
        *turn = *turn * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        unsigned index = (unsigned)(*turn >> 33) & (count - 1);
        kv_victim victim;
        if (!victim_of(engine, policy, index, &victim)) continue;
        if (found++ == 0 || victim.score > best) {
            best = victim.score;
            *out = index;
        }
    }
    for (unsigned i = 0; found == 0 && i < count; i++) {
        kv_victim victim;
        if (victim_of(engine, policy, i, &victim)) {
            *out = i;
            found++;
        }
    }
    return found > 0;
}

bool kv_evict(kv_engine *engine) {
    if (!over_limit(engine) || kv_engine_is_paused(engine)) return true;
    kv_evict_policy policy = policy_in_force(engine);
    size_t freed = 0;
    /* Memory that is on its way back anyway: nobody is evicted, or refused, for it. */
    while (over_limit(engine) && reclaim(engine, &freed)) continue;
    if (!over_limit(engine)) return true;
    if (policy == KV_NOEVICTION) return false;
    uint64_t turn = kv_mono_ns();
    /* As much as was too much when this began: what evicting itself costs, such as invalidations that clients have yet to read, must not evict more. */
    size_t used = counted_memory(engine), limit = (size_t)kv_setting(&engine->settings, KV_CFG_MAXMEMORY);
    for (freed = 0; used > limit && freed < used - limit && over_limit(engine);) {
        unsigned index;
        if (reclaim(engine, &freed)) continue; /* a big value that was evicted goes piece by piece, the locks free in between */
        if (!choose_shard(engine, policy, &turn, &index)) return false;
        (void)evict_from(engine, policy, index, &freed);
    }
    return true;
}
