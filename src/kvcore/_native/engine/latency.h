/* Reading latency events: LATENCY LATEST, HISTORY, RESET. An event is a named ring of the worst value of each second. */
#ifndef KV_ENGINE_LATENCY_H
#define KV_ENGINE_LATENCY_H

#include "engine/engine.h"
#include "engine/monitor.h"

#define KV_LATENCY_SAMPLES 160

typedef struct kv_latency_sample {
    int64_t time_s; /* 0: unused */
    uint32_t ms;
} kv_latency_sample;

typedef struct kv_latency_event {
    char name[32];
    uint32_t max_ms;
    unsigned next; /* where the next sample goes */
    kv_latency_sample samples[KV_LATENCY_SAMPLES];
} kv_latency_event;

/* Any thread; rank STATS is held while fn runs. */
size_t kv_latency_each(kv_engine *engine, void (*fn)(void *arg, const kv_latency_event *event), void *arg);
/* name.ptr NULL: all. Returns how many events were forgotten. */
size_t kv_latency_reset(kv_engine *engine, kv_slice name);

#endif
