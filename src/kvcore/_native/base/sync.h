/* Locks, waiting and memory order: the only file that knows how threads wait. A KV_DEBUG build checks the lock order (held ranks). */
#ifndef KV_BASE_SYNC_H
#define KV_BASE_SYNC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Starts fetching a line that is about to be written, so that it comes once and not first to be read. (gcc's own builtin does that on x86-64 only for
 * processors named on its command line; to those that do not know the instruction it is a nop.) */
static inline void kv_prefetch_to_write(const void *line) {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
    __builtin_prefetch(line, 1);
#endif
}

/* Ranks: a thread takes locks in ascending rank only. Shards share a rank and are ordered by index. */
typedef enum kv_rank {
    KV_RANK_SHARD = 1,    /* rank of shard i is KV_RANK_SHARD, sub-order i */
    KV_RANK_CHANGE = 8,   /* one change of the settings at a time, with all that follows from it */
    KV_RANK_SERVER = 9,   /* what a server listens on, and its set of threads */
    KV_RANK_CLIENTS = 10, /* the registry of sessions */
    KV_RANK_PUBSUB = 11,
    KV_RANK_TRACKING = 12,
    KV_RANK_CONFIG = 13,
    KV_RANK_SESSION = 14, /* one session's mailbox and metadata */
    KV_RANK_LOOP = 15,    /* a network thread's mailbox */
    KV_RANK_STATS = 16,   /* slow log, latency events */
    KV_RANK_JOURNAL = 18, /* what is appended to the log and not written yet */
    KV_RANK_ARENA = 20,   /* a shared arena */
    KV_RANK_PAGES = 21    /* the engine's pool of pages */
} kv_rank;

/* A mutex of 4 bytes (a futex: bit 0 held, from bit 1 on the number of sleepers) and its rank for the checker. Zero-initialised is unlocked, rank
 * unset. */
typedef struct kv_mutex {
    _Atomic uint32_t state;
    uint16_t rank;
    uint16_t order; /* ascending among locks of one rank */
} kv_mutex;

void kv_mutex_init(kv_mutex *mutex, kv_rank rank, unsigned order);
void kv_mutex_lock_slow(kv_mutex *mutex);
void kv_mutex_unlock_slow(kv_mutex *mutex);
#ifdef KV_DEBUG
void kv_rank_acquire(const kv_mutex *mutex, bool tried); /* aborts on a wrong order; a try-lock may come in any order */
void kv_rank_release(const kv_mutex *mutex);
bool kv_rank_holds_any(void); /* does this thread hold any lock? Asserted false before blocking, I/O and Python */
#elif defined(KV_LOCK_TIMES)  /* a benchmark brings these two along */
void kv_rank_acquire(const kv_mutex *mutex, bool tried);
void kv_rank_release(const kv_mutex *mutex);
static inline bool kv_rank_holds_any(void) { return false; }
#else
static inline void kv_rank_acquire(const kv_mutex *mutex, bool tried) {
    (void)mutex;
    (void)tried;
}
static inline void kv_rank_release(const kv_mutex *mutex) { (void)mutex; }
static inline bool kv_rank_holds_any(void) { return false; }
#endif

static inline bool kv_mutex_trylock(kv_mutex *mutex) {
    uint32_t expected = 0; /* or free, with sleepers counted: they are on their way */
    while (!atomic_compare_exchange_weak_explicit(&mutex->state, &expected, expected + 1, memory_order_acquire, memory_order_relaxed))
        if ((expected & 1) != 0) return false;
    kv_rank_acquire(mutex, true);
    return true;
}
static inline void kv_mutex_lock(kv_mutex *mutex) {
    uint32_t expected = 0;
    if (!atomic_compare_exchange_strong_explicit(&mutex->state, &expected, 1, memory_order_acquire, memory_order_relaxed))
        kv_mutex_lock_slow(mutex);
    kv_rank_acquire(mutex, false);
}
static inline void kv_mutex_unlock(kv_mutex *mutex) {
    kv_rank_release(mutex);
    if (atomic_fetch_sub_explicit(&mutex->state, 1, memory_order_release) != 1) kv_mutex_unlock_slow(mutex);
}

/* Somebody sleeps, or did a moment ago, until this lock is given back. The caller holds it. */
static inline bool kv_mutex_is_wanted(const kv_mutex *mutex) { return atomic_load_explicit(&mutex->state, memory_order_relaxed) > 1; }

/* A thread waits until *word differs from `seen`, is woken, or `deadline_ns` (CLOCK_MONOTONIC; UINT64_MAX: none) passes.
 * Returns false on time-out. Spurious returns are possible: callers loop. */
bool kv_wait_word(_Atomic uint32_t *word, uint32_t seen, uint64_t deadline_ns);
void kv_wake_word(_Atomic uint32_t *word, bool all);

/* Sleeps until `deadline_ns` (CLOCK_MONOTONIC), locks held or not: for DEBUG SLEEP, the one command that may stop the others. */
void kv_stall_until(uint64_t deadline_ns);

/* Threads: `name` shows in ps and top (15 bytes). Returns KV_OK's value 0 or an errno. Signals are blocked in the new thread. */
typedef struct kv_thread {
    unsigned long handle;
    bool joinable;
} kv_thread;
int kv_thread_start(kv_thread *thread, const char *name, void (*run)(void *), void *arg);
void kv_thread_join(kv_thread *thread);
unsigned long kv_thread_self(void); /* the calling thread, among those that run; never 0 */
uint64_t kv_thread_cpu_ns(void);    /* what the calling thread has used so far. A system call */

#endif
