/* Access clocks of values, and the choice of keys to evict: LRU (seconds since the last access), LFU (a logarithmic counter that decays), TTL. */
#ifndef KV_STORE_ACCESS_H
#define KV_STORE_ACCESS_H

#include "base/rng.h"
#include "types/value.h"

struct kv_keydb;
struct kv_shard;

typedef enum kv_evict_policy {
    KV_NOEVICTION,
    KV_ALLKEYS_LRU,
    KV_VOLATILE_LRU,
    KV_ALLKEYS_LFU,
    KV_VOLATILE_LFU,
    KV_ALLKEYS_RANDOM,
    KV_VOLATILE_RANDOM,
    KV_VOLATILE_TTL
} kv_evict_policy;

/* 8 bytes, so that it can be stored and read atomically. */
typedef struct kv_access_config {
    uint8_t policy; /* kv_evict_policy */
    uint8_t unused;
    uint16_t lfu_decay_min; /* minutes per decrement of an idle counter; 0: never */
    uint32_t lfu_log_factor;
} kv_access_config;

static inline bool kv_policy_is_lfu(kv_evict_policy p) { return p == KV_ALLKEYS_LFU || p == KV_VOLATILE_LFU; }
static inline bool kv_policy_is_volatile(kv_evict_policy p) {
    return p == KV_VOLATILE_LRU || p == KV_VOLATILE_LFU || p == KV_VOLATILE_RANDOM || p == KV_VOLATILE_TTL;
}

/* Clocks are 24 bits: the low ones of kv_value.access; the top 8 are the length of the key (entry.c). */
#define KV_ACCESS_MASK UINT32_C(0xFFFFFF)
static inline uint32_t kv_access_seconds(int64_t now_ms) { return (uint32_t)((uint64_t)now_ms / 1000) & KV_ACCESS_MASK; }
uint32_t kv_access_fresh(kv_access_config config, int64_t now_ms);                       /* of a new key */
void kv_access_count(kv_value *v, kv_access_config config, int64_t now_ms, kv_rng *rng); /* a key was used: LFU */
static inline void kv_access_set(kv_value *v, uint32_t clock) { v->access = (v->access & ~KV_ACCESS_MASK) | (clock & KV_ACCESS_MASK); }
/* A key was used. */
static inline void kv_access_touch(kv_value *v, kv_access_config config, int64_t now_ms, kv_rng *rng) {
    if (kv_policy_is_lfu(config.policy)) kv_access_count(v, config, now_ms, rng);
    /* A clock that is right is not written: the entry's line may stay in other cores' caches. */
    else if ((v->access & KV_ACCESS_MASK) != kv_access_seconds(now_ms)) kv_access_set(v, kv_access_seconds(now_ms));
}
int64_t kv_access_idle_ms(const kv_value *v, int64_t now_ms);                             /* OBJECT IDLETIME, LRU clocks only */
unsigned kv_access_frequency(const kv_value *v, kv_access_config config, int64_t now_ms); /* OBJECT FREQ, decayed; LFU only */
/* RESTORE's IDLETIME and FREQ. */
uint32_t kv_access_from_idle(int64_t idle_s, int64_t now_ms);
uint32_t kv_access_from_frequency(unsigned frequency, int64_t now_ms);

/* The best key to evict from one shard (locked) among `samples` random ones of each database; exact for volatile-ttl. The higher the score, the
 * better the victim; scores of one policy compare across shards. False: this shard has no key that the policy may take. */
typedef struct kv_victim {
    struct kv_keydb *db;
    kv_value *v;
    uint64_t score;
} kv_victim;
bool kv_shard_victim(struct kv_shard *shard, kv_evict_policy policy, unsigned samples, int64_t now_ms, kv_victim *out);

#endif
