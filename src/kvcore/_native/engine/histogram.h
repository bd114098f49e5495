/* A latency histogram: 16 linear buckets a power of two, from 1 ns to some minutes; error under 6.25%. Any thread adds (relaxed atomics). */
#ifndef KV_ENGINE_HISTOGRAM_H
#define KV_ENGINE_HISTOGRAM_H

#include "base/mem.h"

#define KV_HISTOGRAM_SUB 16u
#define KV_HISTOGRAM_BUCKETS (KV_HISTOGRAM_SUB * 37u)

typedef struct kv_histogram {
    _Atomic uint32_t counts[KV_HISTOGRAM_BUCKETS];
} kv_histogram;

/* Adds a value (`times` over), making the histogram at the first call; a failed allocation loses the value, nothing else. */
/* `owned`: no other thread records in this one meanwhile, so it needs no atomic addition. */
void kv_histogram_record(kv_mem *mem, _Atomic(kv_histogram *) *slot, uint64_t value, uint32_t times, bool owned);
void kv_histogram_add(kv_histogram *to, const kv_histogram *from); /* `to` is the caller's alone */
/* The value at or below which `percentile` (0..100) of the recorded ones lie; 0 when empty. O(buckets). */
uint64_t kv_histogram_percentile(const kv_histogram *histogram, double percentile);
/* How many recorded values are <= limit. */
uint64_t kv_histogram_count_upto(const kv_histogram *histogram, uint64_t limit);
/* How many values were recorded. O(buckets). */
uint64_t kv_histogram_total(const kv_histogram *histogram);
void kv_histogram_clear(kv_histogram *histogram);

#endif
