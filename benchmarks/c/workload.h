/* What the C benchmarks share: clocks, random numbers, Zipf-distributed ranks, keys, and calls of the C API as an embedding program makes them. */
#ifndef KV_BENCH_WORKLOAD_H
#define KV_BENCH_WORKLOAD_H

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "api/kvcore.h"

enum { KEY_BYTES = 16, VALUE_BYTES = 32, CACHE_LINE = 64 };

static inline uint64_t clock_ns(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
static inline uint64_t wall_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
static inline uint64_t thread_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

/* Cheap and good enough for choosing keys: a linear congruence with its high bits folded down. */
static inline uint64_t next_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state ^ *state >> 29;
}
static inline double next_unit(uint64_t *state) { return (double)(next_random(state) >> 11) * 0x1p-53; }

/* Ranks 0..n-1, rank r with a chance in proportion to 1 / (r + 1)^theta, by looking the sum up. */
typedef struct zipf {
    double *sums;
    uint32_t n;
} zipf;

static inline zipf zipf_make(uint32_t n, double theta) {
    zipf z = {malloc(n * sizeof(double)), n};
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) z.sums[i] = sum += pow(i + 1.0, -theta);
    return z;
}
static inline uint32_t zipf_next(const zipf *z, uint64_t *random) {
    double wanted = next_unit(random) * z->sums[z->n - 1];
    uint32_t low = 0, high = z->n - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (z->sums[middle] < wanted) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Key number i, 16 bytes, no zero byte at the end. */
static inline void key_name(char out[KEY_BYTES], uint64_t i) {
    memcpy(out, "key:", 4);
    for (int at = KEY_BYTES - 1; at >= 4; at--, i /= 10) out[at] = (char)('0' + i % 10);
}

static inline void must(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static inline kvcore_store *store_open(const char *config) {
    char error[200] = "";
    kvcore_store *store = kvcore_open(config, strlen(config), 1, error, sizeof error);
    if (store == NULL) fprintf(stderr, "%s\n", error);
    must(store != NULL, "kvcore_open");
    return store;
}

static const char value_text[VALUE_BYTES + 1] = "0123456789abcdef0123456789abcdef";

static inline void do_set(kvcore_client *client, const char *key) {
    const char *argv[] = {"SET", key, value_text};
    const size_t lengths[] = {3, KEY_BYTES, VALUE_BYTES};
    must(kvcore_run(client, 3, argv, lengths) == KVCORE_DONE, "SET");
}
static inline void do_get(kvcore_client *client, const char *key) {
    const char *argv[] = {"GET", key};
    const size_t lengths[] = {3, KEY_BYTES};
    size_t length;
    must(kvcore_run(client, 2, argv, lengths) == KVCORE_DONE, "GET");
    must(kvcore_reply(client, &length)[0] == '$', "GET's reply");
}

static inline void store_fill(kvcore_store *store, uint64_t keys) {
    kvcore_client *client = kvcore_connect(store, 0);
    must(client != NULL, "kvcore_connect");
    for (uint64_t i = 0; i < keys; i++) {
        char key[KEY_BYTES];
        key_name(key, i);
        do_set(client, key);
    }
    kvcore_disconnect(client);
}

/* How often the calling thread lost its processor: because it waited, and against its will. */
typedef struct switches {
    long voluntary, involuntary;
} switches;
static inline switches thread_switches(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (switches){usage.ru_nvcsw, usage.ru_nivcsw};
}

static inline double option(int argc, char **argv, const char *name, double fallback) {
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) return atof(argv[i + 1]);
    return fallback;
}

#endif
