/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* How long a shard's lock is held: the hooks of the lock-order checker, with a clock in them. One thread, a 50/50 mix of GET and SET, Zipf keys.
 *
 * Prints one JSON line: mean, mean square and percentiles of the time held, and of the time from one unlock to the next lock; what the clock itself costs
 * has been taken off both. The times between include the drawing of keys in advance, not at all, and reading them, in order. */
#include "workload.h"

#include "base/sync.h"

enum { BUCKETS = 4096, STEP_NS = 4 }; /* linear: 0..16 us */

typedef struct times {
    uint64_t counts[BUCKETS], n;
    double sum, squares;
} times;

static _Thread_local struct {
    uint64_t taken, given;
    bool on;
    times held, between;
} mine;

static double ns_per_tick;

static uint64_t ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return wall_ns();
#endif
}

static void note(times *t, double ns) {
    if (ns < 0) ns = 0;
    unsigned bucket = (unsigned)(ns / STEP_NS);
    t->counts[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    t->n++;
    if (ns > BUCKETS * STEP_NS) ns = BUCKETS * STEP_NS; /* the machine's stalls are not the lock's */
    t->sum += ns;
    t->squares += ns * ns;
}

static double clock_cost_ns;

void kv_rank_acquire(const kv_mutex *mutex, bool tried) {
    (void)tried;
    if (mutex->rank != KV_RANK_SHARD || !mine.on) return;
    mine.taken = ticks();
    if (mine.given != 0) note(&mine.between, (double)(mine.taken - mine.given) * ns_per_tick - clock_cost_ns);
}
void kv_rank_release(const kv_mutex *mutex) {
    if (mutex->rank != KV_RANK_SHARD || !mine.on) return;
    uint64_t now = ticks();
    note(&mine.held, (double)(now - mine.taken) * ns_per_tick - clock_cost_ns);
    mine.given = ticks();
}

static void print_times(const char *name, const times *t) {
    static const double parts[] = {0.5, 0.9, 0.99, 0.999};
    printf("\"%s\": {\"mean_ns\": %.1f, \"mean_square\": %.0f", name, t->sum / (double)t->n, t->squares / (double)t->n);
    for (int k = 0; k < 4; k++) {
        uint64_t seen = 0;
        int i = 0;
        while (i < BUCKETS - 1 && (double)(seen += t->counts[i]) < parts[k] * (double)t->n) i++;
        printf(", \"p%g_ns\": %d", parts[k] * 100, (i + 1) * STEP_NS);
    }
    printf("}");
}

int main(int argc, char **argv) {
    enum { DRAWN = 1 << 20 };
    uint32_t keys = (uint32_t)option(argc, argv, "--keys", 1000000);
    uint64_t begun_ns = wall_ns(), begun = ticks(), random = 7;
    zipf z = zipf_make(keys, option(argc, argv, "--theta", 0.99));
    kvcore_store *store = store_open("");
    store_fill(store, keys);
    char (*names)[KEY_BYTES] = malloc((size_t)DRAWN * KEY_BYTES);
    must(names != NULL, "malloc");
    for (uint32_t i = 0; i < DRAWN; i++) key_name(names[i], (uint64_t)zipf_next(&z, &random) * 2654435761u % keys);
    ns_per_tick = (double)(wall_ns() - begun_ns) / (double)(ticks() - begun);
    uint64_t before = ticks();
    for (int i = 0; i < 100000; i++) (void)*(volatile uint64_t *)&(uint64_t){ticks()};
    clock_cost_ns = (double)(ticks() - before) * ns_per_tick / 100000;
    kvcore_client *client = kvcore_connect(store, 0);
    must(client != NULL, "kvcore_connect");
    for (int round = 0; round < 3; round++) {
        mine.on = round > 0;
        for (uint32_t i = 0; i < DRAWN; i++) {
            if (next_random(&random) >> 40 & 1) do_set(client, names[i]);
            else do_get(client, names[i]);
        }
    }
    mine.on = false;
    printf("{\"clock_ns\": %.1f, ", clock_cost_ns);
    print_times("held", &mine.held);
    printf(", ");
    print_times("between", &mine.between);
    printf("}\n");
    kvcore_disconnect(client);
    kvcore_close(store);
    free(names);
    free(z.sums);
    return 0;
}
