/* Time. A frozen clock answers frozen_us; a running one the system's time plus an offset. Advancing moves whichever is in use. The
 * fields are read one by one, so a reader that races with freeze or thaw may see the time from just before: only tests do that.
 *
 * The cached picture (at_...) is a sequence lock: a writer makes the version odd, writes, makes it even; a reader that saw an odd version, or
 * another one afterwards, asks the system itself. A picture knows the millisecond that it was taken in and when that ends, so that most readers of
 * milliseconds compute nothing. Freezing and moving the clock come before a wipe of that part, and it is filled in with the version odd: so a
 * picture that outlives the wipe was taken after the change. */
#include "base/clock.h"
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define PICTURE_NS 1000000u /* a picture of the wall time is used this long */
#define MEASURE_NS 100000u  /* the tick's length is measured over at least this much */
#define FRACTION 32

static bool has_invariant_ticks(void) {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d >> 8 & 1) != 0;
#else
    return false;
#endif
}

static int64_t system_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

uint64_t kv_mono_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void kv_clock_init(kv_clock *clock) {
    *clock = (kv_clock){.has_ticks = has_invariant_ticks()};
    clock->base_ticks = kv_clock_ticks(clock);
    clock->base_ns = kv_mono_ns();
}

static uint64_t scale(uint64_t ticks, uint64_t ns_per_tick) { return (uint64_t)(((__uint128_t)ticks * ns_per_tick) >> FRACTION); }

/* The tick's length from the clock's whole life: the longer it is, the better. */
static uint64_t measure(kv_clock *clock, uint64_t ticks) {
    uint64_t elapsed_ns = kv_mono_ns() - clock->base_ns, elapsed_ticks = ticks - clock->base_ticks;
    if (elapsed_ns < MEASURE_NS || elapsed_ticks == 0) return 0;
    uint64_t length = (uint64_t)(((__uint128_t)elapsed_ns << FRACTION) / elapsed_ticks);
    atomic_store_explicit(&clock->ns_per_tick, length, memory_order_relaxed);
    return length;
}

uint64_t kv_clock_ticks_ns(kv_clock *clock, uint64_t ticks) {
    if (!clock->has_ticks) return ticks;
    uint64_t length = atomic_load_explicit(&clock->ns_per_tick, memory_order_relaxed);
    if (length == 0) length = measure(clock, kv_clock_ticks(clock));
    if (length == 0) length = UINT64_C(1) << (FRACTION - 1); /* the first 100 us of an engine: half a nanosecond is near enough */
    return scale(ticks, length);
}

/* From an odd version on the picture is the caller's. False: another thread's. */
static bool picture_begin(kv_clock *clock) {
    uint32_t version = atomic_load_explicit(&clock->version, memory_order_relaxed);
    return (version & 1) == 0 &&
           atomic_compare_exchange_strong_explicit(&clock->version, &version, version + 1, memory_order_acq_rel, memory_order_relaxed);
}

static void picture_end(kv_clock *clock) { atomic_fetch_add_explicit(&clock->version, 1, memory_order_release); }

/* Asks the system and takes a new picture, unless another thread is doing that. */
static int64_t look(kv_clock *clock, uint64_t ticks) {
    int64_t us = system_us();
    uint64_t length = clock->has_ticks ? measure(clock, ticks) : 0;
    if (length == 0 || !picture_begin(clock)) return us;
    int64_t wall = us + atomic_load_explicit(&clock->offset_us, memory_order_relaxed), ms = wall / 1000;
    uint64_t left_ns = wall < 0 || atomic_load_explicit(&clock->frozen, memory_order_acquire) ? 0 : (uint64_t)(1000 - wall % 1000) * 1000;
    atomic_store_explicit(&clock->at_ticks, ticks, memory_order_relaxed);
    atomic_store_explicit(&clock->at_us, us, memory_order_relaxed);
    atomic_store_explicit(&clock->at_ms, ms, memory_order_relaxed);
    atomic_store_explicit(&clock->ms_ticks, (left_ns << FRACTION) / length, memory_order_relaxed);
    picture_end(clock);
    return us;
}

/* What was said about milliseconds holds no more. */
static void wipe(kv_clock *clock) {
    while (!picture_begin(clock)) {} /* the other one is a few stores from its end */
    atomic_store_explicit(&clock->ms_ticks, 0, memory_order_relaxed);
    picture_end(clock);
}

static int64_t running_us(kv_clock *clock, uint64_t ticks) {
    if (!clock->has_ticks) return system_us();
    if (ticks == 0) ticks = kv_clock_ticks(clock);
    uint32_t version = atomic_load_explicit(&clock->version, memory_order_acquire);
    uint64_t at_ticks = atomic_load_explicit(&clock->at_ticks, memory_order_acquire);
    int64_t at_us = atomic_load_explicit(&clock->at_us, memory_order_acquire);
    bool torn = (version & 1) != 0 || atomic_load_explicit(&clock->version, memory_order_relaxed) != version;
    if (torn || at_ticks == 0 || ticks < at_ticks) return look(clock, ticks); /* 0: no picture yet */
    uint64_t since_ns = scale(ticks - at_ticks, atomic_load_explicit(&clock->ns_per_tick, memory_order_relaxed));
    if (since_ns > PICTURE_NS) return look(clock, ticks);
    return at_us + (int64_t)(since_ns / 1000);
}

int64_t kv_clock_us(kv_clock *clock) { return kv_clock_us_at(clock, 0); }

int64_t kv_clock_us_at(kv_clock *clock, uint64_t ticks) {
    if (atomic_load_explicit(&clock->frozen, memory_order_acquire)) return atomic_load_explicit(&clock->frozen_us, memory_order_relaxed);
    return running_us(clock, ticks) + atomic_load_explicit(&clock->offset_us, memory_order_relaxed);
}

int64_t kv_clock_ms_look(kv_clock *clock, uint64_t ticks) {
    if (!clock->has_ticks || ticks == 0 || atomic_load_explicit(&clock->frozen, memory_order_acquire))
        return kv_clock_us_at(clock, ticks) / 1000;
    return (look(clock, ticks) + atomic_load_explicit(&clock->offset_us, memory_order_relaxed)) / 1000;
}

void kv_clock_freeze(kv_clock *clock, int64_t us) {
    atomic_store_explicit(&clock->frozen_us, us, memory_order_relaxed);
    atomic_store_explicit(&clock->frozen, true, memory_order_release); /* after frozen_us: nobody reads an older value as frozen time */
    wipe(clock);
}

void kv_clock_advance(kv_clock *clock, int64_t us) {
    bool frozen = atomic_load_explicit(&clock->frozen, memory_order_acquire);
    atomic_fetch_add_explicit(frozen ? &clock->frozen_us : &clock->offset_us, us, memory_order_relaxed);
    wipe(clock);
}

void kv_clock_thaw(kv_clock *clock) { atomic_store_explicit(&clock->frozen, false, memory_order_release); }
