/* Statistics of an engine: starting them anew, and the rates that INFO calls instantaneous. */
#ifndef KV_ENGINE_STATS_H
#define KV_ENGINE_STATS_H

#include "engine/engine.h"

/* CONFIG RESETSTAT. Any thread. */
void kv_stats_reset(kv_engine *engine);

/* The background thread calls this each round; every 100 ms it takes a sample. */
void kv_stats_sample(kv_engine *engine);

/* Per second, the mean of the last 1.6 s; 0 without a background thread. */
typedef struct kv_rates {
    uint64_t commands, input, output;
} kv_rates;
kv_rates kv_stats_rates(kv_engine *engine);

/* A new random replication id. False: the system gave no random bytes. */
bool kv_stats_new_replid(kv_engine *engine);

#endif
