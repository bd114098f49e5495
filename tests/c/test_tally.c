/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* Counters of calls that every thread keeps for itself: their sums are exact, whoever comes and goes, and a reset in the middle loses and doubles nothing
 * that came after it. */
#include "base/sync.h"
#include "client.h"

enum { THREADS = 4, CALLS = 3000 };

typedef struct job {
    kvcore_store *store;
    _Atomic bool *stop;
    uint64_t calls;
    kv_thread thread;
} job;

static uint64_t number_after(const char *text, const char *label) {
    const char *at = strstr(text, label);
    return at == NULL ? 0 : strtoull(at + strlen(label), NULL, 10);
}

static uint64_t told(client *c, const char *command, const char *label) {
    CHECK(client_send(c, "%s", command) == KVCORE_DONE);
    size_t len;
    const char *reply = kvcore_reply(c->client, &len);
    char *text = malloc(len + 1);
    CHECK(text != NULL);
    memcpy(text, reply, len);
    text[len] = 0;
    uint64_t number = number_after(text, label);
    free(text);
    return number;
}
static uint64_t gets(client *c) { return told(c, "INFO commandstats", "cmdstat_get:calls="); }

/* Several sessions one after the other: each takes the tally that the last one left. */
static void call(void *arg) {
    job *j = arg;
    for (int session = 0; session < 3; session++) {
        client c = client_open(j->store);
        for (int i = 0; i < CALLS; i++) {
            RUN(&c, NULL, "GET k%d", i % 50);
            if (i % 10 == 0) RUN(&c, NULL, "SET k%d v", i % 50);
            if (i % 100 == 0) RUN(&c, NULL, "INCR list"); /* WRONGTYPE */
        }
        client_close(&c);
    }
}

static void sums_are_exact(void) {
    kvcore_store *store = store_open("");
    job jobs[THREADS];
    client c = client_open(store);
    RUN(&c, ":1|", "RPUSH list x");
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (job){.store = store};
        CHECK(kv_thread_start(&jobs[i].thread, "caller", call, &jobs[i]) == 0);
    }
    for (int i = 0; i < 20; i++) (void)gets(&c); /* readers disturb nobody */
    for (int i = 0; i < THREADS; i++) kv_thread_join(&jobs[i].thread);
    const uint64_t all = (uint64_t)THREADS * 3 * CALLS;
    CHECK(gets(&c) == all);
    CHECK(told(&c, "INFO commandstats", "cmdstat_set:calls=") == all / 10);
    CHECK(told(&c, "INFO commandstats", "cmdstat_incr:calls=") == all / 100);
    CHECK(told(&c, "INFO errorstats", "errorstat_WRONGTYPE:count=") == all / 100);
    CHECK(told(&c, "LATENCY HISTOGRAM get", "calls\r\n:") == all);
    CHECK(told(&c, "INFO persistence", "rdb_changes_since_last_save:") == all / 10 + 1);
    RUN(&c, "+OK|", "CONFIG RESETSTAT");
    CHECK(gets(&c) == 0);
    CHECK(told(&c, "LATENCY HISTOGRAM get", "calls\r\n:") == 0);
    CHECK(told(&c, "INFO commandstats", "cmdstat_config|resetstat:calls=") == 1);
    CHECK(told(&c, "INFO persistence", "rdb_changes_since_last_save:") == all / 10 + 1); /* no statistic, but a fact */
    RUN(&c, NULL, "GET k1");
    CHECK(gets(&c) == 1);
    client_close(&c);
    kvcore_close(store);
}

static void call_until_told(void *arg) {
    job *j = arg;
    client c = client_open(j->store);
    while (!atomic_load(j->stop)) {
        RUN(&c, NULL, "GET k");
        j->calls++;
    }
    client_close(&c);
}

/* While threads call, resets: at the end no more is counted than was called since the first reset, and after a last reset in silence nothing. */
static void resets_in_the_middle(void) {
    kvcore_store *store = store_open("");
    _Atomic bool stop = false;
    job jobs[THREADS];
    client c = client_open(store);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (job){.store = store, .stop = &stop};
        CHECK(kv_thread_start(&jobs[i].thread, "caller", call_until_told, &jobs[i]) == 0);
    }
    for (int i = 0; i < 200; i++) {
        RUN(&c, "+OK|", "CONFIG RESETSTAT");
        (void)gets(&c);
    }
    atomic_store(&stop, true);
    uint64_t called = 0;
    for (int i = 0; i < THREADS; i++) {
        kv_thread_join(&jobs[i].thread);
        called += jobs[i].calls;
    }
    CHECK(gets(&c) <= called);
    RUN(&c, "+OK|", "CONFIG RESETSTAT");
    CHECK(gets(&c) == 0);
    for (int i = 0; i < 100; i++) RUN(&c, NULL, "GET k");
    CHECK(gets(&c) == 100);
    client_close(&c);
    kvcore_close(store);
}

int main(void) {
    sums_are_exact();
    resets_in_the_middle();
    return 0;
}
