/* sources: base/sync.c base/clock.c */
/* Mutual exclusion, waiting and waking with threads; lock order in debug builds (each wrong order in a child process). */
#include "base/clock.h"
#include "base/sync.h"
#include "check.h"
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 50000 };

typedef struct shared {
    kv_mutex mutex;
    uint64_t counter, mirror; /* guarded by mutex; equal outside of it */
    uint64_t waited;          /* guarded too: failed try-locks */
} shared;

static void count_up(void *arg) {
    shared *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 7 == 0) {
            if (!kv_mutex_trylock(&s->mutex)) {
                kv_mutex_lock(&s->mutex);
                s->waited++;
            }
        } else {
            kv_mutex_lock(&s->mutex);
        }
        CHECK(s->counter == s->mirror);
        s->counter++;
        if (i % 1000 == 0) usleep(50); /* long enough for others to sleep */
        s->mirror++;
        kv_mutex_unlock(&s->mutex);
    }
}

static void exclusion(void) {
    shared s;
    kv_thread threads[THREADS];
    memset(&s, 0, sizeof s);
    kv_mutex_init(&s.mutex, KV_RANK_STATS, 0);
    for (int i = 0; i < THREADS; i++) CHECK(kv_thread_start(&threads[i], "kv-test-counter-long-name", count_up, &s) == 0);
    for (int i = 0; i < THREADS; i++) kv_thread_join(&threads[i]);
    CHECK(s.counter == (uint64_t)THREADS * ROUNDS && atomic_load(&s.mutex.state) == 0);
}

static void take_and_leave(void *arg) {
    kv_mutex *mutex = arg;
    kv_mutex_lock(mutex);
    kv_mutex_unlock(mutex);
}

/* A holder who asks sees that others sleep, and nobody when they are gone. */
static void wanted(void) {
    kv_mutex mutex;
    kv_thread threads[2];
    kv_mutex_init(&mutex, KV_RANK_STATS, 0);
    kv_mutex_lock(&mutex);
    CHECK(!kv_mutex_is_wanted(&mutex));
    for (int i = 0; i < 2; i++) CHECK(kv_thread_start(&threads[i], "kv-waiter", take_and_leave, &mutex) == 0);
    while (!kv_mutex_is_wanted(&mutex)) usleep(100);
    kv_mutex_unlock(&mutex);
    for (int i = 0; i < 2; i++) kv_thread_join(&threads[i]);
    CHECK(kv_mutex_trylock(&mutex) && !kv_mutex_is_wanted(&mutex));
    kv_mutex_unlock(&mutex);
}

/* Two threads hand a number to and fro; a lost wake-up would hang. */
typedef struct ping {
    _Atomic uint32_t word;
    uint64_t payload; /* written before the word is raised */
} ping;

static void pong(void *arg) {
    ping *p = arg;
    for (uint32_t turn = 1; turn < 20000; turn += 2) {
        uint32_t seen;
        while ((seen = atomic_load_explicit(&p->word, memory_order_acquire)) != turn) kv_wait_word(&p->word, seen, UINT64_MAX);
        CHECK(p->payload == turn);
        p->payload = turn + 1;
        atomic_store_explicit(&p->word, turn + 1, memory_order_release);
        kv_wake_word(&p->word, false);
    }
}

static void hand_over(void) {
    ping p = {0, 0};
    kv_thread thread;
    CHECK(kv_thread_start(&thread, "kv-pong", pong, &p) == 0);
    for (uint32_t turn = 0; turn < 20000; turn += 2) {
        uint32_t seen;
        while ((seen = atomic_load_explicit(&p.word, memory_order_acquire)) != turn) kv_wait_word(&p.word, seen, kv_mono_ns() + 1000000000);
        CHECK(p.payload == turn);
        p.payload = turn + 1;
        atomic_store_explicit(&p.word, turn + 1, memory_order_release);
        kv_wake_word(&p.word, true);
    }
    kv_thread_join(&thread);
    kv_thread_join(&thread); /* a second join does nothing */
}

static void deadlines(void) {
    _Atomic uint32_t word = 5;
    CHECK(kv_wait_word(&word, 4, UINT64_MAX)); /* differs already */
    CHECK(!kv_wait_word(&word, 5, 1));         /* long past */
    uint64_t start = kv_mono_ns();
    bool woken = true;
    while (woken && kv_mono_ns() < start + 1000000000) woken = kv_wait_word(&word, 5, start + 20000000);
    CHECK(!woken && kv_mono_ns() - start >= 20000000);
}

static void signals_blocked(void *arg) {
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    *(bool *)arg = sigismember(&now, SIGINT) && sigismember(&now, SIGTERM);
}

static void signal_masks(void) {
    bool blocked = false;
    kv_thread thread;
    sigset_t now;
    CHECK(kv_thread_start(&thread, "kv-signals", signals_blocked, &blocked) == 0);
    kv_thread_join(&thread);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    CHECK(blocked && !sigismember(&now, SIGINT));
}

#ifdef KV_DEBUG
static kv_mutex shard0, shard1, config;

static void descending_shards(void) {
    kv_mutex_lock(&shard1);
    kv_mutex_lock(&shard0);
}
static void leaf_before_shard(void) {
    kv_mutex_lock(&config);
    kv_mutex_lock(&shard0);
}
static void not_held(void) { kv_rank_release(&shard0); }
static void wait_with_lock(void) {
    _Atomic uint32_t word = 0;
    kv_mutex_lock(&shard0);
    kv_wait_word(&word, 0, 1);
}

static bool aborts(void (*wrong)(void)) {
    pid_t child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL) _exit(2);
        alarm(5); /* a dead lock counts as not caught */
        wrong();
        _exit(0);
    }
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void lock_order(void) {
    kv_mutex_init(&shard0, KV_RANK_SHARD, 0);
    kv_mutex_init(&shard1, KV_RANK_SHARD, 1);
    kv_mutex_init(&config, KV_RANK_CONFIG, 0);
    kv_mutex_lock(&shard0);
    kv_mutex_lock(&shard1);
    kv_mutex_lock(&config);
    CHECK(kv_rank_holds_any());
    kv_mutex_unlock(&shard0); /* released in any order */
    CHECK(kv_mutex_trylock(&shard0));
    kv_mutex_unlock(&config);
    kv_mutex_unlock(&shard1);
    kv_mutex_unlock(&shard0);
    CHECK(!kv_rank_holds_any());
    CHECK(aborts(descending_shards) && aborts(leaf_before_shard) && aborts(not_held) && aborts(wait_with_lock));
}
#endif

int main(void) {
#ifdef KV_DEBUG
    lock_order();
#endif
    signal_masks();
    deadlines();
    hand_over();
    exclusion();
    wanted();
    puts("ok sync");
    return 0;
}
