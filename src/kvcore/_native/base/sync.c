/* Locks and waiting on futexes.
 *
 *   state   bit 0: held      bits 1..31: how many threads sleep, or are about to
 *
 * A waiter first spins for a microsecond or two (critical sections here are shorter than a trip to the kernel), then counts itself in and sleeps while
 * bit 0 is set; taking the lock counts it out in the same exchange. Unlocking clears bit 0 and wakes one when any are counted. Whoever comes first gets
 * the lock, awake or woken: one who lost sleeps again, and the winner's unlock wakes again, for he is still counted. No wake-up is lost: a sleeper
 * passes the state it saw, held, to the kernel, which does not let it sleep when the state has changed since. (Three states, "held and somebody may
 * sleep" being the third, would do with smaller numbers, but whoever has slept cannot know whether others sleep and has to wake in vain; and
 * the next one finds the third state and sleeps, too, where spinning would have done: one nap became a dozen.)
 *
 * Data that a lock guards is ordered by the acquire that takes it and the release that frees it; the futex itself only
 * sleeps. Rejected: pthread mutexes (40 bytes, no thread-sanitizer-friendly way to put a word wait on the same footing). */
#define _GNU_SOURCE 1 /* pthread_setname_np */
#include "base/sync.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(_Atomic uint32_t) == 4, "a futex word has four bytes");

enum { SPINS = 60, HELD = 1, SLEEPER = 2 };

static inline void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *deadline) {
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, deadline, NULL, FUTEX_BITSET_MATCH_ANY);
}

void kv_mutex_init(kv_mutex *mutex, kv_rank rank, unsigned order) {
    atomic_init(&mutex->state, 0);
    mutex->rank = (uint16_t)rank;
    mutex->order = (uint16_t)order;
}

/* Takes the lock if it is free; `sleepers` is what goes off the count with it. *state: what was seen last. */
static bool take(kv_mutex *mutex, uint32_t *state, uint32_t sleepers) {
    *state = atomic_load_explicit(&mutex->state, memory_order_relaxed);
    return (*state & HELD) == 0 && atomic_compare_exchange_weak_explicit(&mutex->state, state, *state - sleepers + HELD,
                                                                         memory_order_acquire, memory_order_relaxed);
}

void kv_mutex_lock_slow(kv_mutex *mutex) {
    uint32_t state;
    for (int i = 0; i < SPINS; i++) {
        if (take(mutex, &state, 0)) return;
        cpu_relax();
    }
    atomic_fetch_add_explicit(&mutex->state, SLEEPER, memory_order_relaxed);
    while (!take(mutex, &state, SLEEPER))
        if ((state & HELD) != 0) futex(&mutex->state, FUTEX_WAIT_BITSET, state, NULL);
}

/* The mutex may be gone by now (its owner freed it after taking it): waking an address is harmless, reading it would not be. */
void kv_mutex_unlock_slow(kv_mutex *mutex) { futex(&mutex->state, FUTEX_WAKE_BITSET, 1, NULL); }

bool kv_wait_word(_Atomic uint32_t *word, uint32_t seen, uint64_t deadline_ns) {
#ifdef KV_DEBUG
    if (kv_rank_holds_any()) {
        fprintf(stderr, "kv_wait_word: a thread that holds a lock must not wait\n");
        abort();
    }
#endif
    if (atomic_load_explicit(word, memory_order_acquire) != seen) return true;
    struct timespec deadline = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    long rc = futex(word, FUTEX_WAIT_BITSET, seen, deadline_ns == UINT64_MAX ? NULL : &deadline);
    bool timed_out = rc != 0 && errno == ETIMEDOUT;
    return atomic_load_explicit(word, memory_order_acquire) != seen || !timed_out;
}

void kv_wake_word(_Atomic uint32_t *word, bool all) { futex(word, FUTEX_WAKE_BITSET, all ? INT_MAX : 1, NULL); }

void kv_stall_until(uint64_t deadline_ns) {
    struct timespec deadline = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL) == EINTR) {}
}

/* ---- lock order, debug builds ---- */
#ifdef KV_DEBUG

/* 64 shards and every leaf fit with room to spare. Unordered: a try-lock may come in any order and releases too. */
enum { HELD_MAX = 128 };
typedef struct held_list {
    unsigned count;
    const kv_mutex *locks[HELD_MAX];
} held_list;
static _Thread_local held_list held;

static unsigned place(const kv_mutex *mutex) { return (unsigned)mutex->rank << 16 | mutex->order; }

static void rank_fail(const char *what, const kv_mutex *mutex, const kv_mutex *other) {
    fprintf(stderr, "lock order: %s rank %u order %u", what, mutex->rank, mutex->order);
    if (other != NULL) fprintf(stderr, " while holding rank %u order %u", other->rank, other->order);
    fputc('\n', stderr);
    abort();
}

void kv_rank_acquire(const kv_mutex *mutex, bool tried) {
    if (held.count == HELD_MAX) rank_fail("too many locks at", mutex, NULL);
    for (unsigned i = 0; i < held.count; i++) {
        if (held.locks[i] == mutex) rank_fail("taken twice:", mutex, mutex);
        if (!tried && mutex->rank != 0 && held.locks[i]->rank != 0 && place(held.locks[i]) >= place(mutex))
            rank_fail("taken", mutex, held.locks[i]);
    }
    held.locks[held.count++] = mutex;
}

void kv_rank_release(const kv_mutex *mutex) {
    for (unsigned i = held.count; i-- > 0;) {
        if (held.locks[i] != mutex) continue;
        held.locks[i] = held.locks[--held.count];
        return;
    }
    rank_fail("released but not held:", mutex, NULL);
}

bool kv_rank_holds_any(void) { return held.count > 0; }
#endif

/* ---- threads ---- */

/* Lives on the starter's stack until the new thread has copied it and set `taken`. */
typedef struct start {
    void (*run)(void *);
    void *arg;
    char name[16];
    _Atomic uint32_t taken;
} start;

static void *thread_main(void *raw) {
    start *from = raw;
    void (*run)(void *) = from->run;
    void *arg = from->arg;
    pthread_setname_np(pthread_self(), from->name);
    atomic_store_explicit(&from->taken, 1, memory_order_release);
    kv_wake_word(&from->taken, false); /* `from` may be gone: an address is woken, nothing is read */
    run(arg);
    return NULL;
}

int kv_thread_start(kv_thread *thread, const char *name, void (*run)(void *), void *arg) {
    start from = {run, arg, {0}, 0};
    strncpy(from.name, name, sizeof from.name - 1);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited by the new thread: the host program's signals stay on its own threads */
    pthread_t handle;
    int error = pthread_create(&handle, NULL, thread_main, &from);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) return error;
    while (atomic_load_explicit(&from.taken, memory_order_acquire) == 0) futex(&from.taken, FUTEX_WAIT_BITSET, 0, NULL);
    *thread = (kv_thread){(unsigned long)handle, true};
    return 0;
}

unsigned long kv_thread_self(void) { return (unsigned long)pthread_self(); }

uint64_t kv_thread_cpu_ns(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

void kv_thread_join(kv_thread *thread) {
    if (!thread->joinable) return;
    pthread_join((pthread_t)thread->handle, NULL);
    thread->joinable = false;
}
