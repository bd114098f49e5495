/* Access clocks. The low 24 bits of kv_value.access hold, as the policy in force says,
 *
 *   LRU   the wall clock in seconds (modulo 2^24, 194 days) of the last access
 *   LFU   | minutes of the last decay, modulo 2^16 | counter, 8 bits |
 *
 * The LFU counter is logarithmic: a new key begins at 5; a hit increments with the probability 1 / ((counter - 5) * factor + 1); every
 * `decay` idle minutes take one off. After a change of policy old clocks are read as what they are not; they right themselves as keys are used. */
#include "store/access.h"

#include "store/entry.h"
#include "store/shard.h"

enum { LFU_START = 5, LFU_MAX = 255, MINUTE_MASK = 0xFFFF, DAY_S = 86400 };

static uint32_t minutes(int64_t now_ms) { return (uint32_t)((uint64_t)now_ms / 60000) & MINUTE_MASK; }

static unsigned decayed(uint32_t access /* 24 bits */, kv_access_config config, int64_t now_ms) {
    unsigned counter = access & 0xFF;
    if (config.lfu_decay_min == 0) return counter;
    uint32_t idle = (minutes(now_ms) - (access >> 8)) & MINUTE_MASK;
    uint32_t periods = idle / config.lfu_decay_min;
    return periods >= counter ? 0 : counter - periods;
}

uint32_t kv_access_fresh(kv_access_config config, int64_t now_ms) {
    return kv_policy_is_lfu(config.policy) ? minutes(now_ms) << 8 | LFU_START : kv_access_seconds(now_ms);
}

void kv_access_count(kv_value *v, kv_access_config config, int64_t now_ms, kv_rng *rng) {
    unsigned counter = decayed(kv_entry_access(v), config, now_ms);
    if (counter < LFU_MAX) {
        double above = counter > LFU_START ? counter - LFU_START : 0;
        if (kv_rng_unit(rng) < 1.0 / (above * config.lfu_log_factor + 1)) counter++;
    }
    kv_access_set(v, minutes(now_ms) << 8 | counter);
}

int64_t kv_access_idle_ms(const kv_value *v, int64_t now_ms) {
    uint32_t idle = (kv_access_seconds(now_ms) - kv_entry_access(v)) & KV_ACCESS_MASK;
    return idle > KV_ACCESS_MASK - DAY_S ? 0 : (int64_t)idle * 1000; /* a clock that went back, by up to a day: not idle at all */
}

unsigned kv_access_frequency(const kv_value *v, kv_access_config config, int64_t now_ms) {
    return decayed(kv_entry_access(v), config, now_ms);
}

uint32_t kv_access_from_idle(int64_t idle_s, int64_t now_ms) { return (kv_access_seconds(now_ms) - (uint32_t)idle_s) & KV_ACCESS_MASK; }
uint32_t kv_access_from_frequency(unsigned frequency, int64_t now_ms) {
    return minutes(now_ms) << 8 | (frequency > LFU_MAX ? LFU_MAX : frequency);
}

static uint64_t score_of(const kv_value *v, kv_evict_policy policy, kv_access_config config, int64_t now_ms, kv_rng *rng) {
    switch (policy) {
    case KV_ALLKEYS_LRU:
    case KV_VOLATILE_LRU: return (uint64_t)kv_access_idle_ms(v, now_ms);
    case KV_ALLKEYS_LFU:
    case KV_VOLATILE_LFU: return LFU_MAX - decayed(kv_entry_access(v), config, now_ms);
    case KV_VOLATILE_TTL: return UINT64_MAX - (uint64_t)kv_entry_expire_ms(v);
    default: return kv_rng_next(rng);
    }
}

/* Takes over `v` when it is a better victim than what was found so far. */
static void consider(kv_victim *best, kv_keydb *db, kv_value *v, uint64_t score) {
    if (best->v == NULL || score > best->score) *best = (kv_victim){db, v, score};
}

enum { SAMPLES_MAX = 64 };

static void sample_all(kv_keydb *db, kv_evict_policy policy, unsigned samples, int64_t now_ms, kv_victim *best) {
    kv_access_config config = atomic_load_explicit(&db->shard->store->access, memory_order_relaxed);
    kv_rng *rng = &db->shard->rng;
    void *found[SAMPLES_MAX];
    size_t count = kv_table_sample(&db->keys, rng, found, samples);
    for (size_t i = 0; i < count; i++) consider(best, db, found[i], score_of(found[i], policy, config, now_ms, rng));
}

static void sample_volatile(kv_keydb *db, kv_evict_policy policy, unsigned samples, int64_t now_ms, kv_victim *best) {
    kv_access_config config = atomic_load_explicit(&db->shard->store->access, memory_order_relaxed);
    kv_rng *rng = &db->shard->rng;
    size_t count = kv_heap_count(&db->expires);
    if (policy == KV_VOLATILE_TTL) samples = 1; /* the heap's top is the answer */
    for (unsigned i = 0; i < samples && count > 0; i++) {
        uint32_t pos = policy == KV_VOLATILE_TTL ? 0 : (uint32_t)kv_rng_below(rng, count);
        kv_value *v = kv_heap_at(&db->expires, pos)->item;
        consider(best, db, v, score_of(v, policy, config, now_ms, rng));
    }
}

bool kv_shard_victim(kv_shard *shard, kv_evict_policy policy, unsigned samples, int64_t now_ms, kv_victim *out) {
    kv_victim best = {0};
    if (policy == KV_NOEVICTION) return false;
    if (samples > SAMPLES_MAX) samples = SAMPLES_MAX;
    if (samples == 0) samples = 1;
    for (unsigned i = 0; i < shard->store->db_count; i++) {
        kv_keydb *db = kv_shard_db(shard, i);
        if (kv_keydb_count(db) == 0) continue;
        if (kv_policy_is_volatile(policy)) sample_volatile(db, policy, samples, now_ms, &best);
        else sample_all(db, policy, samples, now_ms, &best);
    }
    if (best.v == NULL) return false;
    *out = best;
    return true;
}
