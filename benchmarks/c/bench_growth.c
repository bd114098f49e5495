/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* How long single calls take while tables grow and shrink: every call is timed with the processor's clock, one thread.
 *
 *   keys    SET of --keys new keys, then DEL of all of them
 *   hash, set, zset    HSET, SADD, ZADD of --members new members into one key, then their removal
 *
 * A machine stalls now and then: other processes, the hypervisor. So each part ends with a control that does nothing but read the clock, for as long as
 * the part took, and every slow call is told together with whether the kernel took the processor away meanwhile (involuntary switches) and how much
 * CPU time the call itself used: a call that waited 3 ms and used 2 us of CPU was not slow, it was not running.
 *
 * A virtual machine has another stall: the first touch of a page that its host has not given it yet. Two more controls show it: `pages` touches fresh huge
 * pages as they come, with nothing of the store in it, then again after they went back to the guest's kernel. So that the store's own time can be told
 * from the host's, --warm MiB (default 3000) are touched and given back before the parts begin; 0 leaves it out.
 *
 * Prints a JSON line a part: counts of calls by latency (powers of two, in ns), the worst, the worst by CPU time among the slow ones. */
#include "workload.h"

#include <sys/mman.h>

enum { BUCKETS = 40, WORST = 12 };
#define SLOW_NS 100000u

typedef struct slow_call {
    uint64_t ns, cpu_ns, number;
    bool preempted;
} slow_call;

typedef struct series {
    uint64_t counts[BUCKETS], calls, total_ns, worst_ns, over_100us, over_1ms, own_over_100us, own_over_1ms, own_worst_ns;
    slow_call worst[WORST];
} series;

static void keep_worst(series *s, slow_call call) {
    for (int i = 0; i < WORST; i++) {
        if (call.ns <= s->worst[i].ns) continue;
        slow_call pushed = s->worst[i];
        s->worst[i] = call;
        call = pushed;
    }
}

/* `own`: CPU time of the slow call; only looked at for slow ones, so it includes the fast calls since `cpu` was read last. */
static void record(series *s, uint64_t ns, uint64_t *cpu, long *preemptions) {
    unsigned bucket = ns == 0 ? 0 : 64 - (unsigned)__builtin_clzll(ns);
    s->counts[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    s->total_ns += ns;
    s->calls++;
    if (ns > s->worst_ns) s->worst_ns = ns;
    if (ns >= SLOW_NS) {
        uint64_t used = thread_ns();
        long now = thread_switches().involuntary;
        slow_call call = {ns, used - *cpu, s->calls, now != *preemptions};
        uint64_t own = call.cpu_ns < ns ? call.cpu_ns : ns;
        s->over_100us++;
        s->over_1ms += ns >= 1000000;
        s->own_over_100us += own >= SLOW_NS;
        s->own_over_1ms += own >= 1000000;
        if (own > s->own_worst_ns) s->own_worst_ns = own;
        keep_worst(s, call);
        *preemptions = now;
    }
}

typedef void step_fn(kvcore_client *client, uint64_t number);

static void run_words(kvcore_client *client, int argc, const char *const *argv, const size_t *lengths, char wanted) {
    size_t length;
    must(kvcore_run(client, argc, argv, lengths) == KVCORE_DONE, argv[0]);
    must(kvcore_reply(client, &length)[0] == wanted, argv[0]);
}
static void set_key(kvcore_client *client, uint64_t i) {
    char key[KEY_BYTES];
    key_name(key, i);
    do_set(client, key);
}
static void delete_key(kvcore_client *client, uint64_t i) {
    char key[KEY_BYTES];
    key_name(key, i);
    run_words(client, 2, (const char *[]){"DEL", key}, (const size_t[]){3, KEY_BYTES}, ':');
}
static void add_field(kvcore_client *client, uint64_t i) {
    char name[KEY_BYTES];
    key_name(name, i);
    run_words(client, 4, (const char *[]){"HSET", "hash", name, value_text}, (const size_t[]){4, 4, KEY_BYTES, VALUE_BYTES}, ':');
}
static void remove_field(kvcore_client *client, uint64_t i) {
    char name[KEY_BYTES];
    key_name(name, i);
    run_words(client, 3, (const char *[]){"HDEL", "hash", name}, (const size_t[]){4, 4, KEY_BYTES}, ':');
}
static void add_member(kvcore_client *client, uint64_t i) {
    char name[KEY_BYTES];
    key_name(name, i);
    run_words(client, 3, (const char *[]){"SADD", "set", name}, (const size_t[]){4, 3, KEY_BYTES}, ':');
}
static void remove_member(kvcore_client *client, uint64_t i) {
    char name[KEY_BYTES];
    key_name(name, i);
    run_words(client, 3, (const char *[]){"SREM", "set", name}, (const size_t[]){4, 3, KEY_BYTES}, ':');
}
static void add_scored(kvcore_client *client, uint64_t i) {
    char name[KEY_BYTES], score[24];
    key_name(name, i);
    int len = snprintf(score, sizeof score, "%llu", (unsigned long long)(i * 2654435761u % 1000003));
    run_words(client, 4, (const char *[]){"ZADD", "zset", score, name}, (const size_t[]){4, 4, (size_t)len, KEY_BYTES}, ':');
}
static void remove_scored(kvcore_client *client, uint64_t i) {
    char name[KEY_BYTES];
    key_name(name, i);
    run_words(client, 3, (const char *[]){"ZREM", "zset", name}, (const size_t[]){4, 4, KEY_BYTES}, ':');
}

static void print_series(const char *part, const char *what, const series *s) {
    printf("{\"part\": \"%s\", \"what\": \"%s\", \"calls\": %llu, \"mean_ns\": %.1f, \"worst_ns\": %llu, \"over_100us\": %llu, "
           "\"over_1ms\": %llu, "
           "\"cpu_over_100us\": %llu, \"cpu_over_1ms\": %llu, \"cpu_worst_ns\": %llu, \"below_ns\": {",
           part, what, (unsigned long long)s->calls, (double)s->total_ns / (double)s->calls, (unsigned long long)s->worst_ns,
           (unsigned long long)s->over_100us, (unsigned long long)s->over_1ms, (unsigned long long)s->own_over_100us,
           (unsigned long long)s->own_over_1ms, (unsigned long long)s->own_worst_ns);
    const char *comma = "";
    for (int i = 0; i < BUCKETS; i++) {
        if (s->counts[i] == 0) continue;
        printf("%s\"%llu\": %llu", comma, 1ull << i, (unsigned long long)s->counts[i]);
        comma = ", ";
    }
    printf("}, \"worst\": [");
    for (int i = 0; i < WORST && s->worst[i].ns > 0; i++)
        printf("%s{\"ns\": %llu, \"cpu_ns\": %llu, \"call\": %llu, \"preempted\": %s}", i > 0 ? ", " : "",
               (unsigned long long)s->worst[i].ns, (unsigned long long)s->worst[i].cpu_ns, (unsigned long long)s->worst[i].number,
               s->worst[i].preempted ? "true" : "false");
    printf("]}\n");
    fflush(stdout);
}

/* The thread's CPU time costs a system call to read, so it is read every 64 calls: a slow call's own time is too high by less than 63 fast ones. */
static void measure(kvcore_client *client, const char *part, const char *what, step_fn *step, uint64_t count) {
    series s = {0}, idle = {0};
    long preemptions = thread_switches().involuntary;
    uint64_t cpu = thread_ns(), begun = wall_ns(), last = begun;
    for (uint64_t i = 0; i < count; i++) {
        if (i % 64 == 0) {
            cpu = thread_ns();
            last = wall_ns();
        }
        step(client, i);
        uint64_t now = wall_ns(), ns = now - last;
        record(&s, ns, &cpu, &preemptions);
        last = now;
        if (ns >= SLOW_NS) {
            cpu = thread_ns();
            last = wall_ns();
        }
    }
    print_series(part, what, &s);
    uint64_t until = wall_ns() + (last - begun);
    cpu = thread_ns();
    for (last = wall_ns(); last < until;) {
        uint64_t now = wall_ns();
        record(&idle, now - last, &cpu, &preemptions);
        if (now - last >= SLOW_NS) {
            cpu = thread_ns();
            now = wall_ns();
        }
        last = now;
    }
    print_series(part, "control", &idle);
}

/* Touches fresh memory, 2 MiB with a huge page asked for at a time, as the page pool does; then gives it back to the system. */
static void touch_pages(const char *what, size_t chunks) {
    enum { CHUNK = 2 << 20 };
    series s = {0};
    uint64_t cpu = thread_ns();
    long preemptions = thread_switches().involuntary;
    uint8_t *all = mmap(NULL, (chunks + 1) * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(all != MAP_FAILED, "mmap");
    uint8_t *at = (uint8_t *)(((uintptr_t)all + CHUNK - 1) & ~(uintptr_t)(CHUNK - 1));
    madvise(at, chunks * CHUNK, MADV_HUGEPAGE);
    for (size_t i = 0; i < chunks; i++, at += CHUNK) {
        cpu = thread_ns();
        uint64_t begun = wall_ns();
        for (size_t page = 0; page < CHUNK; page += 4096) *(volatile uint8_t *)(at + page) = 1;
        record(&s, wall_ns() - begun, &cpu, &preemptions);
    }
    munmap(all, (chunks + 1) * CHUNK);
    print_series("pages", what, &s);
}

int main(int argc, char **argv) {
    uint64_t keys = (uint64_t)option(argc, argv, "--keys", 1e7), members = (uint64_t)option(argc, argv, "--members", 1e6);
    size_t warm = (size_t)option(argc, argv, "--warm", 3000) / 2;
    if (warm > 0) {
        touch_pages("2 MiB for the first time", warm);
        touch_pages("2 MiB again", warm);
    }
    kvcore_store *store = store_open("");
    kvcore_client *client = kvcore_connect(store, 0);
    must(client != NULL, "kvcore_connect");
    if (members > 0) {
        measure(client, "hash", "HSET", add_field, members);
        measure(client, "hash", "HDEL", remove_field, members);
        measure(client, "set", "SADD", add_member, members);
        measure(client, "set", "SREM", remove_member, members);
        measure(client, "zset", "ZADD", add_scored, members);
        measure(client, "zset", "ZREM", remove_scored, members);
    }
    if (keys > 0) {
        measure(client, "keys", "SET", set_key, keys);
        measure(client, "keys", "DEL", delete_key, keys);
    }
    kvcore_disconnect(client);
    kvcore_close(store);
    return 0;
}
