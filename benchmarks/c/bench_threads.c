/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* How much more than one thread two (or n) threads do: a 50/50 mix of GET and SET with Zipf-distributed keys on one store, a session a thread.
 *
 * What the machine itself would give is measured in the same rounds: `arithmetic` (nothing but registers), `memory` (each thread reads lines of its own
 * 64 MiB at random) and `private` (the same calls, each thread on a store of its own: it shares the processor, its caches and the kernel, no lock
 * and no counter). Each measurement lasts --seconds; all of them take turns, round after round. A thread's keys are drawn beforehand and read in order.
 *
 * Prints a JSON line a measurement: operations, wall and CPU nanoseconds (sums over the threads). */
#include "workload.h"

enum { THREADS_MAX = 64, DRAWN = 1 << 20, BATCH = 256, LINES = 1 << 20 };

typedef enum kind { ARITHMETIC, MEMORY, PRIVATE, SHARED, KINDS } kind;
static const char *const kind_names[KINDS] = {"arithmetic", "memory", "private", "shared"};

typedef struct worker {
    kind kind;
    kvcore_store *store;
    unsigned sets;           /* of 256 calls */
    char (*keys)[KEY_BYTES]; /* DRAWN of them */
    uint8_t *memory;         /* LINES cache lines */
    uint64_t random, operations, cpu_ns, wall_ns, sum;
    switches switches;
    _Atomic bool *go, *stop;
} __attribute__((aligned(256))) worker;

static void batch_of_calls(worker *w, kvcore_client *client, uint32_t *at) {
    for (int i = 0; i < BATCH; i++) {
        const char *key = w->keys[*at];
        *at = (*at + 1) % DRAWN;
        if ((uint8_t)(next_random(&w->random) >> 40) < w->sets) do_set(client, key);
        else do_get(client, key);
    }
}

static void batch_of_control(worker *w) {
    if (w->kind == ARITHMETIC) {
        for (int i = 0; i < BATCH * 100; i++) w->sum += next_random(&w->random) & 1;
    } else {
        uint64_t at = w->sum; /* each address depends on the line read before */
        for (int i = 0; i < BATCH; i++) at = *(uint64_t *)(void *)(w->memory + (at % LINES) * CACHE_LINE) + (next_random(&w->random) & 1);
        w->sum = at;
    }
}

static void *work(void *arg) {
    worker *w = arg;
    bool calls = w->kind == PRIVATE || w->kind == SHARED;
    kvcore_client *client = calls ? kvcore_connect(w->store, 0) : NULL;
    must(!calls || client != NULL, "kvcore_connect");
    uint32_t at = (uint32_t)(next_random(&w->random) % DRAWN);
    w->operations = 0;
    while (!atomic_load_explicit(w->go, memory_order_acquire)) {}
    switches before = thread_switches();
    uint64_t cpu = thread_ns(), wall = wall_ns();
    while (!atomic_load_explicit(w->stop, memory_order_relaxed)) {
        if (calls) batch_of_calls(w, client, &at);
        else batch_of_control(w);
        w->operations += BATCH;
    }
    w->cpu_ns = thread_ns() - cpu;
    w->wall_ns = wall_ns() - wall;
    switches after = thread_switches();
    w->switches = (switches){after.voluntary - before.voluntary, after.involuntary - before.involuntary};
    kvcore_disconnect(client);
    return NULL;
}

static void measure(worker *workers, unsigned threads, kind what, double seconds, int round, kvcore_store **stores) {
    pthread_t handles[THREADS_MAX];
    _Atomic bool go = false, stop = false;
    for (unsigned i = 0; i < threads; i++) {
        workers[i].kind = what;
        workers[i].store = what == PRIVATE ? stores[1 + i] : stores[0];
        workers[i].go = &go;
        workers[i].stop = &stop;
        must(pthread_create(&handles[i], NULL, work, &workers[i]) == 0, "pthread_create");
    }
    struct timespec nap = {0, 2000000}, run = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    nanosleep(&nap, NULL); /* they are all connected and spinning */
    atomic_store_explicit(&go, true, memory_order_release);
    nanosleep(&run, NULL);
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    uint64_t operations = 0, cpu = 0, wall = 0;
    double rate = 0;
    switches sum = {0, 0};
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(handles[i], NULL);
        operations += workers[i].operations;
        cpu += workers[i].cpu_ns;
        wall += workers[i].wall_ns;
        sum.voluntary += workers[i].switches.voluntary;
        sum.involuntary += workers[i].switches.involuntary;
        rate += (double)workers[i].operations * 1e9 / (double)workers[i].wall_ns;
    }
    printf("{\"round\": %d, \"what\": \"%s\", \"threads\": %u, \"operations\": %llu, \"per_second\": %.0f, \"wall_ns\": %llu, \"cpu_ns\": "
           "%llu, "
           "\"waits\": %ld, \"preemptions\": %ld}\n",
           round, kind_names[what], threads, (unsigned long long)operations, rate, (unsigned long long)wall, (unsigned long long)cpu,
           sum.voluntary, sum.involuntary);
    fflush(stdout);
}

static void worker_prepare(worker *w, const zipf *z, uint32_t keys, double sets, uint64_t seed) {
    w->random = seed;
    w->sets = (unsigned)(256 * sets);
    w->keys = malloc((size_t)DRAWN * KEY_BYTES);
    w->memory = aligned_alloc(CACHE_LINE, (size_t)LINES * CACHE_LINE);
    must(w->keys != NULL && w->memory != NULL, "malloc");
    /* Ranks are spread over the key numbers by an odd factor, so that neighbours in rank are not neighbours in name. */
    for (uint32_t i = 0; i < DRAWN; i++) key_name(w->keys[i], (uint64_t)zipf_next(z, &w->random) * 2654435761u % keys);
    for (uint32_t i = 0; i < LINES; i++) *(uint64_t *)(void *)(w->memory + (size_t)i * CACHE_LINE) = next_random(&w->random) >> 1;
}

int main(int argc, char **argv) {
    uint32_t keys = (uint32_t)option(argc, argv, "--keys", 1000000);
    unsigned threads = (unsigned)option(argc, argv, "--threads", 2), first = (unsigned)option(argc, argv, "--from", 0);
    double seconds = option(argc, argv, "--seconds", 0.5), theta = option(argc, argv, "--theta", 0.99);
    int rounds = (int)option(argc, argv, "--rounds", 5);
    char config[64] = "";
    if (option(argc, argv, "--shards", 0) > 0) snprintf(config, sizeof config, "shards %u\n", (unsigned)option(argc, argv, "--shards", 0));
    must(threads >= 1 && threads <= THREADS_MAX && keys > 0, "the options");
    static worker workers[THREADS_MAX];
    kvcore_store *stores[THREADS_MAX + 1] = {0};
    zipf z = zipf_make(keys, theta);
    for (unsigned i = 0; i < threads; i++) worker_prepare(&workers[i], &z, keys, option(argc, argv, "--sets", 0.5), 1000 + i);
    for (unsigned i = 0; i <= threads; i++) {
        if (i > 0 && first > PRIVATE) break;
        stores[i] = store_open(config);
        store_fill(stores[i], keys);
    }
    for (int round = 0; round < rounds; round++)
        for (kind what = (kind)first; what < KINDS; what++) {
            measure(workers, 1, what, seconds, round, stores);
            measure(workers, threads, what, seconds, round, stores);
        }
    for (unsigned i = 0; i <= threads; i++) kvcore_close(stores[i]);
    for (unsigned i = 0; i < threads; i++) {
        free(workers[i].keys);
        free(workers[i].memory);
    }
    free(z.sums);
    return 0;
}
