/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* What GET and SET cost from 10^4 to 10^7 keys, chosen evenly, one thread.
 *
 * A larger store misses the processor's caches more often, whatever it does. So beside each size stand two controls over as many bytes as the store has
 * mapped for that size: `line`, one read of a random cache line, and `pair`, a read whose address comes from another random line, as a look-up goes from a
 * bucket to its entry. A call's cost less that of `pair` is what the engine itself does; that should be flat. `hit`: GET of the same 64 keys, in a store
 * of that size: with no misses at all.
 *
 * Prints a JSON line a size: medians over --rounds, ns of CPU time a call. */
#include "workload.h"

#include <sys/mman.h>

enum { CALLS = 200000, ROUNDS_MAX = 31 };

typedef struct controls {
    volatile uint64_t *words; /* one a cache line, random numbers */
    uint64_t lines, sum;
} controls;

static int by_size(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}
static double median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, by_size);
    return values[n / 2];
}

static double time_calls(kvcore_client *client, uint64_t keys, bool sets, uint64_t *random) {
    uint64_t begun = thread_ns();
    for (int i = 0; i < CALLS; i++) {
        char key[KEY_BYTES];
        key_name(key, (next_random(random) >> 8) % keys);
        if (sets) do_set(client, key);
        else do_get(client, key);
    }
    return (double)(thread_ns() - begun) / CALLS;
}

/* The loop around the calls, alone. */
static double time_names(uint64_t keys, uint64_t *random, uint64_t *sum) {
    uint64_t begun = thread_ns();
    for (int i = 0; i < CALLS; i++) {
        char key[KEY_BYTES];
        key_name(key, (next_random(random) >> 8) % keys);
        *(volatile uint64_t *)sum += (uint64_t)key[KEY_BYTES - 1];
    }
    return (double)(thread_ns() - begun) / CALLS;
}

/* Each address depends on what was read before: nothing overlaps, as between two calls. */
static double time_lines(controls *c, int reads, uint64_t *random) {
    uint64_t begun = thread_ns(), at = c->sum;
    for (int i = 0; i < CALLS; i++) {
        at = (at + (next_random(random) >> 8)) % c->lines;
        for (int k = 0; k < reads; k++) at = (at + c->words[at * 8]) % c->lines;
    }
    c->sum = at;
    return (double)(thread_ns() - begun) / CALLS;
}

static controls controls_make(uint64_t bytes, uint64_t *random) {
    controls c = {.lines = bytes / CACHE_LINE};
    c.words = mmap(NULL, c.lines * CACHE_LINE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(c.words != MAP_FAILED, "mmap");
    if (bytes > (32u << 20)) madvise((void *)(uintptr_t)c.words, c.lines * CACHE_LINE, MADV_HUGEPAGE); /* as the store does */
    for (uint64_t i = 0; i < c.lines; i++) c.words[i * 8] = next_random(random) >> 8;
    return c;
}

static void measure(uint64_t keys, int rounds) {
    enum { GET, SET, HIT, NAMES, LINE, PAIR, KINDS };
    static const char *const names[KINDS] = {"get", "set", "get_hit", "loop", "line", "pair"};
    double figures[KINDS][ROUNDS_MAX];
    uint64_t random = 42;
    kvcore_store *store = store_open("");
    size_t before = kvcore_used_memory(store);
    store_fill(store, keys);
    size_t bytes = kvcore_used_memory(store) - before;
    controls c = controls_make(bytes, &random);
    kvcore_client *client = kvcore_connect(store, 0);
    must(client != NULL, "kvcore_connect");
    (void)time_calls(client, keys, true, &random);
    for (int round = 0; round < rounds; round++) {
        figures[GET][round] = time_calls(client, keys, false, &random);
        figures[LINE][round] = time_lines(&c, 1, &random);
        figures[SET][round] = time_calls(client, keys, true, &random);
        figures[PAIR][round] = time_lines(&c, 2, &random);
        figures[HIT][round] = time_calls(client, 64, false, &random);
        figures[NAMES][round] = time_names(keys, &random, &c.sum);
    }
    printf("{\"keys\": %llu, \"bytes\": %zu", (unsigned long long)keys, bytes);
    for (int i = 0; i < KINDS; i++) printf(", \"%s\": %.1f", names[i], median(figures[i], rounds));
    printf("}\n");
    fflush(stdout);
    kvcore_disconnect(client);
    kvcore_close(store);
    munmap((void *)(uintptr_t)c.words, c.lines * CACHE_LINE);
}

int main(int argc, char **argv) {
    int rounds = (int)option(argc, argv, "--rounds", 9);
    uint64_t most = (uint64_t)option(argc, argv, "--keys", 1e7);
    must(rounds >= 1 && rounds <= ROUNDS_MAX, "the options");
    for (uint64_t keys = 10000; keys <= most; keys *= 10) measure(keys, rounds);
    return 0;
}
