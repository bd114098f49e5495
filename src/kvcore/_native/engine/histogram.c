/* Log-linear buckets: value v with its highest bit at position b falls into group b - 4, sub-bucket the next four bits. */
#include "engine/histogram.h"

static unsigned bucket_of(uint64_t value) {
    if (value < KV_HISTOGRAM_SUB) return (unsigned)value;
    unsigned top = 63u - (unsigned)__builtin_clzll(value);
    unsigned bucket = (top - 3) * KV_HISTOGRAM_SUB + ((unsigned)(value >> (top - 4)) & (KV_HISTOGRAM_SUB - 1));
    return bucket < KV_HISTOGRAM_BUCKETS ? bucket : KV_HISTOGRAM_BUCKETS - 1;
}

/* The largest value of a bucket. */
static uint64_t bucket_limit(unsigned bucket) {
    if (bucket < KV_HISTOGRAM_SUB) return bucket;
    unsigned group = bucket / KV_HISTOGRAM_SUB - 1, sub = bucket % KV_HISTOGRAM_SUB;
    return ((uint64_t)(KV_HISTOGRAM_SUB + sub + 1) << group) - 1;
}

void kv_histogram_record(kv_mem *mem, _Atomic(kv_histogram *) *slot, uint64_t value, uint32_t times, bool owned) {
    kv_histogram *histogram = atomic_load_explicit(slot, memory_order_acquire);
    if (histogram == NULL) {
        kv_histogram *fresh = kv_calloc(mem, 1, sizeof *fresh);
        if (fresh == NULL) return;
        if (atomic_compare_exchange_strong_explicit(slot, &histogram, fresh, memory_order_acq_rel, memory_order_acquire)) histogram = fresh;
        else kv_free(mem, fresh); /* another thread was first */
    }
    _Atomic uint32_t *count = &histogram->counts[bucket_of(value)];
    if (owned) atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + times, memory_order_relaxed);
    else atomic_fetch_add_explicit(count, times, memory_order_relaxed);
}

void kv_histogram_add(kv_histogram *to, const kv_histogram *from) {
    for (unsigned i = 0; i < KV_HISTOGRAM_BUCKETS; i++) {
        uint32_t sum =
            atomic_load_explicit(&to->counts[i], memory_order_relaxed) + atomic_load_explicit(&from->counts[i], memory_order_relaxed);
        atomic_store_explicit(&to->counts[i], sum, memory_order_relaxed);
    }
}

uint64_t kv_histogram_total(const kv_histogram *histogram) {
    uint64_t total = 0;
    for (unsigned i = 0; i < KV_HISTOGRAM_BUCKETS; i++) total += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    return total;
}

uint64_t kv_histogram_percentile(const kv_histogram *histogram, double percentile) {
    uint64_t total = kv_histogram_total(histogram);
    if (total == 0) return 0;
    uint64_t wanted = (uint64_t)(percentile / 100.0 * (double)total + 0.5), seen = 0;
    if (wanted == 0) wanted = 1;
    unsigned last = 0;
    for (unsigned i = 0; i < KV_HISTOGRAM_BUCKETS; i++) {
        uint32_t count = atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        if (count == 0) continue;
        seen += count;
        last = i;
        if (seen >= wanted) break;
    }
    return bucket_limit(last);
}

uint64_t kv_histogram_count_upto(const kv_histogram *histogram, uint64_t limit) {
    uint64_t seen = 0;
    for (unsigned i = 0; i < KV_HISTOGRAM_BUCKETS && bucket_limit(i) <= limit; i++)
        seen += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    return seen;
}

void kv_histogram_clear(kv_histogram *histogram) {
    for (unsigned i = 0; i < KV_HISTOGRAM_BUCKETS; i++) atomic_store_explicit(&histogram->counts[i], 0, memory_order_relaxed);
}
