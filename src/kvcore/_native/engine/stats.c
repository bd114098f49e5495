/* Counters begin again, and rates: a ring of differences per second, one a 100 ms, whose mean is what INFO shows. The ring belongs to the
 * background thread; readers see numbers that may be one sample old. */
#include "engine/stats.h"

#include "base/rng.h"
#include "base/sha1.h"
#include "engine/direct.h"
#include "engine/memory.h"
#include "engine/tally.h"

#define SAMPLE_NS UINT64_C(100000000)

static const size_t kinds = KV_RATE_KINDS;

void kv_stats_reset(kv_engine *engine) {
    kv_engine_stats *s = &engine->stats;
    _Atomic uint64_t *counters[] = {&s->connections,
                                    &s->expired_keys,
                                    &s->expired_fields,
                                    &s->evicted_keys,
                                    &s->evicted_clients,
                                    &s->net_input,
                                    &s->net_output,
                                    &s->rejected_connections,
                                    &s->unexpected_errors,
                                    &s->total_error_replies,
                                    &s->expired_time_cap_reached,
                                    &s->active_expire_cycle_ns,
                                    &s->auth_failures,
                                    &s->query_buffer_limit_disconnects,
                                    &s->output_buffer_limit_disconnects,
                                    &s->reads_processed,
                                    &s->writes_processed,
                                    &s->pauses};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) atomic_store_explicit(counters[i], 0, memory_order_relaxed);
    kv_tally_reset(engine);
    kv_store_reset_reads(&engine->store);
    size_t waiting;
    uint64_t freed;
    kv_store_garbage(&engine->store, &waiting, &freed);
    atomic_store_explicit(&s->lazyfreed_before, freed, memory_order_relaxed);
    kv_direct_reset(engine);
    kv_mutex_lock(&engine->stats_lock);
    engine->error_stat_count = 0;
    kv_mutex_unlock(&engine->stats_lock);
}

static void totals(kv_engine *engine, uint64_t out[KV_RATE_KINDS]) {
    const kv_engine_stats *s = &engine->stats;
    out[0] = kv_tally_calls(engine);
    out[1] = atomic_load_explicit(&s->net_input, memory_order_relaxed);
    out[2] = atomic_load_explicit(&s->net_output, memory_order_relaxed);
}

void kv_stats_sample(kv_engine *engine) {
    kv_rate_ring *ring = &engine->rates;
    uint64_t now = kv_mono_ns(), sums[KV_RATE_KINDS], elapsed = now - ring->last_ns;
    if (ring->last_ns != 0 && elapsed < SAMPLE_NS) return;
    totals(engine, sums);
    (void)kv_memory_note_peak(engine);
    for (size_t k = 0; k < kinds && ring->last_ns != 0; k++) {
        uint64_t grown = sums[k] >= ring->last[k] ? sums[k] - ring->last[k] : 0; /* RESETSTAT came between */
        double per_second = (double)grown * 1e9 / (double)elapsed;
        atomic_store_explicit(&ring->samples[k][ring->next], (uint64_t)per_second, memory_order_relaxed);
    }
    ring->next = (ring->next + 1) % KV_RATE_SAMPLES;
    for (size_t k = 0; k < kinds; k++) ring->last[k] = sums[k];
    ring->last_ns = now;
}

kv_rates kv_stats_rates(kv_engine *engine) {
    uint64_t mean[KV_RATE_KINDS] = {0};
    for (size_t k = 0; k < kinds; k++) {
        for (size_t i = 0; i < KV_RATE_SAMPLES; i++) mean[k] += atomic_load_explicit(&engine->rates.samples[k][i], memory_order_relaxed);
        mean[k] /= KV_RATE_SAMPLES;
    }
    return (kv_rates){.commands = mean[0], .input = mean[1], .output = mean[2]};
}

bool kv_stats_new_replid(kv_engine *engine) {
    uint8_t random[20];
    char text[41];
    if (!kv_random_bytes(random, sizeof random)) return false;
    kv_hex(random, sizeof random, text);
    text[40] = 0;
    kv_mutex_lock(&engine->stats_lock);
    memcpy(engine->replid, text, sizeof text);
    kv_mutex_unlock(&engine->stats_lock);
    return true;
}
