/* Time. One kv_clock an engine: the system's by default, a test's when frozen. Thread-safe. Milliseconds are since the Unix epoch. */
#ifndef KV_BASE_CLOCK_H
#define KV_BASE_CLOCK_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
typedef struct kv_clock {
    _Atomic bool frozen; /* wall time stands still at frozen_us */
    _Atomic int64_t frozen_us;
    _Atomic int64_t offset_us; /* added to the system's wall time while not frozen */
} kv_clock;
void kv_clock_init(kv_clock *clock);
int64_t kv_clock_us(const kv_clock *clock); /* wall time, microseconds */
static inline int64_t kv_clock_ms(const kv_clock *clock) { return kv_clock_us(clock) / 1000; }
void kv_clock_freeze(kv_clock *clock, int64_t us);
void kv_clock_advance(kv_clock *clock, int64_t us); /* frozen or not; may be negative */
void kv_clock_thaw(kv_clock *clock);
uint64_t kv_mono_ns(void); /* CLOCK_MONOTONIC: durations and deadlines; never frozen */
#endif
