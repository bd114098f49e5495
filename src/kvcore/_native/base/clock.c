/* Time. A frozen clock answers frozen_us; a running one the system's time plus an offset. Advancing moves whichever is in use. The
 * fields are read one by one, so a reader that races with freeze or thaw may see the time from just before: only tests do that. */
#include "base/clock.h"
#include <time.h>

void kv_clock_init(kv_clock *clock) {
    atomic_init(&clock->frozen, false);
    atomic_init(&clock->frozen_us, 0);
    atomic_init(&clock->offset_us, 0);
}

int64_t kv_clock_us(const kv_clock *clock) {
    if (atomic_load_explicit(&clock->frozen, memory_order_acquire)) return atomic_load_explicit(&clock->frozen_us, memory_order_relaxed);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + atomic_load_explicit(&clock->offset_us, memory_order_relaxed);
}

void kv_clock_freeze(kv_clock *clock, int64_t us) {
    atomic_store_explicit(&clock->frozen_us, us, memory_order_relaxed);
    atomic_store_explicit(&clock->frozen, true, memory_order_release); /* after frozen_us: nobody reads an older value as frozen time */
}

void kv_clock_advance(kv_clock *clock, int64_t us) {
    bool frozen = atomic_load_explicit(&clock->frozen, memory_order_acquire);
    atomic_fetch_add_explicit(frozen ? &clock->frozen_us : &clock->offset_us, us, memory_order_relaxed);
}

void kv_clock_thaw(kv_clock *clock) { atomic_store_explicit(&clock->frozen, false, memory_order_release); }

uint64_t kv_mono_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
