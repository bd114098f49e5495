/* sources: base/sync.c base/clock.c */
/* What a shard's lock costs: our futex mutex, pthread's mutex and pthread's reader-writer lock, uncontended and with two threads on random shards of
 * 1..64, holding the lock for about the time of a GET. Prints ns an operation (wall time, both threads together). */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/sync.h"

#define OPERATIONS 4000000u
#define SHARDS_MAX 64

typedef enum kind { FUTEX, MUTEX, RWLOCK_READ, RWLOCK_WRITE, KINDS } kind;
static const char *const names[KINDS] = {"futex mutex", "pthread mutex", "rwlock, read", "rwlock, write"};

typedef struct shard {
    kv_mutex futex;
    pthread_mutex_t mutex;
    pthread_rwlock_t rwlock;
    volatile unsigned value[16];
} __attribute__((aligned(256))) shard;

typedef struct job {
    shard *shards;
    unsigned count, operations;
    uint64_t seed;
    kind kind;
} job;

static void acquire(shard *s, kind k) {
    switch (k) {
    case FUTEX: kv_mutex_lock(&s->futex); break;
    case MUTEX: pthread_mutex_lock(&s->mutex); break;
    case RWLOCK_READ: pthread_rwlock_rdlock(&s->rwlock); break;
    default: pthread_rwlock_wrlock(&s->rwlock); break;
    }
}

static void release(shard *s, kind k) {
    if (k == FUTEX) kv_mutex_unlock(&s->futex);
    else if (k == MUTEX) pthread_mutex_unlock(&s->mutex);
    else pthread_rwlock_unlock(&s->rwlock);
}

static void *work(void *arg) {
    job *j = arg;
    uint64_t random = j->seed;
    for (unsigned i = 0; i < j->operations; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        shard *s = &j->shards[(random >> 40) % j->count];
        acquire(s, j->kind);
        for (int k = 0; k < 16; k++) (void)s->value[k]; /* about 10 ns of reading */
        release(s, j->kind);
    }
    return NULL;
}

int main(void) {
    shard *shards = aligned_alloc(256, SHARDS_MAX * sizeof *shards);
    if (shards == NULL) return 1;
    for (int i = 0; i < SHARDS_MAX; i++) {
        shards[i] = (shard){0};
        kv_mutex_init(&shards[i].futex, KV_RANK_SHARD, (unsigned)i);
        pthread_mutex_init(&shards[i].mutex, NULL);
        pthread_rwlock_init(&shards[i].rwlock, NULL);
    }
    printf("%-14s %8s", "lock", "1 thread");
    for (unsigned count = 1; count <= SHARDS_MAX; count *= 4) printf("  2 thr/%-2u", count);
    printf("\n");
    for (kind k = 0; k < KINDS; k++) {
        job alone = {shards, SHARDS_MAX, OPERATIONS, 1, k};
        uint64_t begun = kv_mono_ns();
        work(&alone);
        printf("%-14s %8.1f", names[k], (double)(kv_mono_ns() - begun) / OPERATIONS);
        for (unsigned count = 1; count <= SHARDS_MAX; count *= 4) {
            job a = {shards, count, OPERATIONS, 1, k}, b = {shards, count, OPERATIONS, 2, k};
            pthread_t thread;
            begun = kv_mono_ns();
            pthread_create(&thread, NULL, work, &b);
            work(&a);
            pthread_join(thread, NULL);
            printf(" %9.1f", (double)(kv_mono_ns() - begun) / (2 * OPERATIONS));
        }
        printf("\n");
    }
    free(shards);
    return 0;
}
