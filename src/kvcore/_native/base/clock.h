/* Time. One kv_clock an engine: the system's by default, a test's when frozen. Thread-safe. Milliseconds are since the Unix epoch.
 *
 * Reading the system's clock costs 20-25 ns, a processor's tick counter 8. Where that counter is invariant (x86-64 with the CPU's word for it), wall
 * time is the system's as of at most a millisecond ago plus the ticks since, and durations are counted in ticks. Elsewhere a tick is a nanosecond of
 * CLOCK_MONOTONIC and nothing is cached. */
#ifndef KV_BASE_CLOCK_H
#define KV_BASE_CLOCK_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
typedef struct kv_clock {
    _Atomic bool frozen; /* wall time stands still at frozen_us */
    _Atomic int64_t frozen_us;
    _Atomic int64_t offset_us;    /* added to the system's wall time while not frozen */
    bool has_ticks;               /* the tick counter may be used; never changes */
    uint64_t base_ticks, base_ns; /* of kv_clock_init: what the tick's length is measured from */
    _Atomic uint64_t ns_per_tick; /* fixed point, 32 bits of fraction; 0: not measured yet */
    _Atomic uint32_t version;     /* odd while those below are being written */
    _Atomic uint64_t at_ticks;    /* when at_us was read */
    _Atomic int64_t at_us;        /* the system's */
    _Atomic int64_t at_ms;        /* wall time then, with the offset */
    _Atomic uint64_t ms_ticks;    /* how many ticks from at_ticks on at_ms holds; 0: it does not */
} kv_clock;
void kv_clock_init(kv_clock *clock);
int64_t kv_clock_us(kv_clock *clock); /* wall time, microseconds */
/* The same when the caller has just read the ticks (0: it has not). */
int64_t kv_clock_us_at(kv_clock *clock, uint64_t ticks);
static inline int64_t kv_clock_ms(kv_clock *clock) { return kv_clock_us(clock) / 1000; }
int64_t kv_clock_ms_look(kv_clock *clock, uint64_t ticks);
/* The same in milliseconds: a few loads when the millisecond was asked for before. */
static inline int64_t kv_clock_ms_at(kv_clock *clock, uint64_t ticks) {
    uint32_t version = atomic_load_explicit(&clock->version, memory_order_acquire);
    uint64_t since = ticks - atomic_load_explicit(&clock->at_ticks, memory_order_acquire);
    uint64_t holds = atomic_load_explicit(&clock->ms_ticks, memory_order_acquire);
    int64_t ms = atomic_load_explicit(&clock->at_ms, memory_order_acquire);
    bool whole = (version & 1) == 0 && atomic_load_explicit(&clock->version, memory_order_relaxed) == version;
    return whole && since < holds ? ms : kv_clock_ms_look(clock, ticks);
}
void kv_clock_freeze(kv_clock *clock, int64_t us);
void kv_clock_advance(kv_clock *clock, int64_t us); /* frozen or not; may be negative */
void kv_clock_thaw(kv_clock *clock);
uint64_t kv_mono_ns(void); /* CLOCK_MONOTONIC: deadlines; never frozen */

/* Durations: ticks before and after, and their difference in nanoseconds. Never frozen. */
static inline uint64_t kv_clock_ticks(const kv_clock *clock) {
#if defined(__x86_64__)
    if (clock->has_ticks) return __builtin_ia32_rdtsc();
#else
    (void)clock;
#endif
    return kv_mono_ns();
}
uint64_t kv_clock_ticks_ns(kv_clock *clock, uint64_t ticks);
#endif
