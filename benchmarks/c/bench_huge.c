/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* Random GETs and SETs of a store far larger than the caches and than what the processor's TLB covers with small pages: one thread, values of 32 bytes.
 *
 *   bench_huge (yes|no) --keys N --calls N      the value of disable-thp
 *
 * Prints a JSON line once the store is filled (what the kernel really gave it as huge pages stands in /proc/self/smaps_rollup), then one for each line
 * that it reads, so that two of them can take turns: ns of CPU time and of wall time a call. Ends when its input does. */
#include "workload.h"

static unsigned long long rollup(const char *name) {
    char line[256];
    unsigned long long kib = 0, found = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    must(file != NULL, "smaps_rollup");
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 && sscanf(line + strlen(name), " %llu", &kib) == 1) found = kib * 1024;
    fclose(file);
    return found;
}

static void run(kvcore_client *client, uint64_t keys, uint64_t calls, bool sets, uint64_t *random) {
    uint64_t cpu = thread_ns(), wall = wall_ns();
    for (uint64_t i = 0; i < calls; i++) {
        char key[KEY_BYTES];
        key_name(key, (next_random(random) >> 8) % keys);
        if (sets) do_set(client, key);
        else do_get(client, key);
    }
    cpu = thread_ns() - cpu;
    wall = wall_ns() - wall;
    printf("\"%s\": {\"cpu_ns\": %.1f, \"wall_ns\": %.1f}", sets ? "set" : "get", (double)cpu / (double)calls,
           (double)wall / (double)calls);
}

int main(int argc, char **argv) {
    uint64_t keys = (uint64_t)option(argc, argv, "--keys", 16e6), calls = (uint64_t)option(argc, argv, "--calls", 2e6), random = 42;
    must(argc > 1 && (strcmp(argv[1], "yes") == 0 || strcmp(argv[1], "no") == 0), "yes or no");
    kvcore_store *store = store_open(argv[1][0] == 'y' ? "disable-thp yes\n" : "disable-thp no\n");
    store_fill(store, keys);
    kvcore_client *client = kvcore_connect(store, 0);
    must(client != NULL, "kvcore_connect");
    printf("{\"keys\": %llu, \"resident\": %llu, \"huge\": %llu}\n", (unsigned long long)keys, rollup("Rss:"), rollup("AnonHugePages:"));
    fflush(stdout);
    for (char line[64]; fgets(line, sizeof line, stdin) != NULL;) {
        printf("{");
        run(client, keys, calls, false, &random);
        printf(", ");
        run(client, keys, calls, true, &random);
        printf("}\n");
        fflush(stdout);
    }
    kvcore_disconnect(client);
    kvcore_close(store);
    return 0;
}
