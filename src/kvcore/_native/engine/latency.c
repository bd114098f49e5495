/* Latency events. A few names at most, so a short array is searched. */
#include "engine/latency.h"

#include <stdio.h>

#define EVENTS_MAX 32

struct kv_latency {
    kv_engine *engine;
    kv_latency_event *events[EVENTS_MAX];
    size_t count;
};

struct kv_latency *kv_latency_create(kv_engine *engine) {
    struct kv_latency *latency = kv_calloc(&engine->mem, 1, sizeof *latency);
    if (latency != NULL) latency->engine = engine;
    return latency;
}

void kv_latency_destroy(struct kv_latency *latency) {
    if (latency == NULL) return;
    kv_mem *mem = &latency->engine->mem;
    for (size_t i = 0; i < latency->count; i++) kv_free(mem, latency->events[i]);
    kv_free(mem, latency);
}

/* The lock is held. */
static kv_latency_event *obtain(struct kv_latency *latency, const char *name) {
    for (size_t i = 0; i < latency->count; i++)
        if (strcmp(latency->events[i]->name, name) == 0) return latency->events[i];
    if (latency->count == EVENTS_MAX) return NULL;
    kv_latency_event *event = kv_calloc(&latency->engine->mem, 1, sizeof *event);
    if (event == NULL) return NULL;
    snprintf(event->name, sizeof event->name, "%s", name);
    latency->events[latency->count++] = event;
    return event;
}

void kv_latency_add(kv_engine *engine, const char *name, uint64_t duration_ms) {
    int64_t now = kv_clock_ms(&engine->clock) / 1000;
    uint32_t ms = duration_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)duration_ms;
    kv_mutex_lock(&engine->stats_lock);
    kv_latency_event *event = obtain(engine->latency, name);
    if (event != NULL) {
        if (ms > event->max_ms) event->max_ms = ms;
        kv_latency_sample *last = &event->samples[(event->next + KV_LATENCY_SAMPLES - 1) % KV_LATENCY_SAMPLES];
        if (last->time_s == now) {
            if (ms > last->ms) last->ms = ms;
        } else {
            event->samples[event->next] = (kv_latency_sample){now, ms};
            event->next = (event->next + 1) % KV_LATENCY_SAMPLES;
        }
    }
    kv_mutex_unlock(&engine->stats_lock);
}

size_t kv_latency_each(kv_engine *engine, void (*fn)(void *arg, const kv_latency_event *event), void *arg) {
    kv_mutex_lock(&engine->stats_lock);
    size_t count = engine->latency->count;
    for (size_t i = 0; i < count; i++) fn(arg, engine->latency->events[i]);
    kv_mutex_unlock(&engine->stats_lock);
    return count;
}

size_t kv_latency_reset(kv_engine *engine, kv_slice name) {
    struct kv_latency *latency = engine->latency;
    size_t gone = 0;
    kv_mutex_lock(&engine->stats_lock);
    for (size_t i = 0; i < latency->count;) {
        if (name.ptr != NULL && !kv_slice_eq(name, kv_slice_cstr(latency->events[i]->name))) {
            i++;
            continue;
        }
        kv_free(&engine->mem, latency->events[i]);
        latency->events[i] = latency->events[--latency->count];
        gone++;
    }
    kv_mutex_unlock(&engine->stats_lock);
    return gone;
}
