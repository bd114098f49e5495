/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* Several threads run random commands on one store: moves between shards and databases, whole-database commands, transactions, expiry in the
 * background. Nothing is known about the result but that the store is sound; the sanitizers look at the way there. */
#include "api/kvcore.h"
#include "base/rng.h"
#include "base/sync.h"
#include "check.h"

#include <string.h>

enum { THREADS = 4, STEPS = 6000, KEYS = 40, WORDS = 700 };

typedef struct worker {
    kvcore_store *store;
    uint64_t seed;
    kv_thread thread;
} worker;

typedef struct call {
    const char *argv[WORDS];
    size_t lengths[WORDS];
    char text[WORDS][24];
    int argc;
} call;

static void word(call *c, const char *text) {
    c->argv[c->argc] = text;
    c->lengths[c->argc++] = strlen(text);
}
static void number(call *c, const char *prefix, uint64_t n) {
    snprintf(c->text[c->argc], sizeof c->text[0], "%s%llu", prefix, (unsigned long long)n);
    word(c, c->text[c->argc]);
}

static void make_call(call *c, kv_rng *rng) {
    uint64_t a = kv_rng_below(rng, KEYS), b = kv_rng_below(rng, KEYS), what = kv_rng_below(rng, 30);
    c->argc = 0;
    switch (what) {
    case 0:
    case 1:
        word(c, "SET");
        number(c, "k", a);
        number(c, "some text that is embedded ", b);
        return;
    case 2:
        word(c, "SET");
        number(c, "k", a);
        number(c, "", b);
        word(c, "PX");
        number(c, "", 1 + b);
        return;
    case 3:
        word(c, "GET");
        number(c, "k", a);
        return;
    case 4:
        word(c, "APPEND");
        number(c, "k", a);
        word(c, "0123456789012345678901234567890123456789");
        return;
    case 5:
        word(c, "INCR");
        number(c, "k", a);
        return;
    case 6:
        word(c, "MSET");
        number(c, "k", a);
        word(c, "1");
        number(c, "k", b);
        word(c, "2");
        return;
    case 7:
        word(c, "MGET");
        number(c, "k", a);
        number(c, "k", b);
        return;
    case 8:
    case 9:
        word(c, "RENAME");
        number(c, "k", a);
        number(c, "k", b);
        return;
    case 10:
        word(c, "COPY");
        number(c, "k", a);
        number(c, "k", b);
        word(c, "REPLACE");
        return;
    case 11:
        word(c, "MOVE");
        number(c, "k", a);
        number(c, "", b % 3);
        return;
    case 12:
        word(c, "DEL");
        number(c, "k", a);
        number(c, "k", b);
        return;
    case 13:
        word(c, "PEXPIRE");
        number(c, "k", a);
        number(c, "", b);
        return;
    case 14:
    case 15: word(c, "RPUSH"); break;
    case 16:
    case 17: word(c, "SADD"); break;
    case 18:
        word(c, "SORT");
        number(c, "k", a);
        word(c, "BY");
        word(c, "k*");
        word(c, "GET");
        word(c, "#");
        word(c, "ALPHA");
        return;
    case 19:
        word(c, "SORT");
        number(c, "k", a);
        word(c, "ALPHA");
        word(c, "STORE");
        number(c, "k", b);
        return;
    case 20:
        word(c, "SCAN");
        number(c, "", kv_rng_next(rng) >> kv_rng_below(rng, 64));
        word(c, "COUNT");
        number(c, "", 1 + b);
        return;
    case 21: word(c, kv_rng_below(rng, 20) == 0 ? "FLUSHDB" : "DBSIZE"); return;
    case 22: word(c, kv_rng_below(rng, 20) == 0 ? "FLUSHALL" : "RANDOMKEY"); return;
    case 23:
        word(c, kv_rng_below(rng, 5) == 0 ? "KEYS" : "TYPE");
        word(c, "k*");
        return;
    case 24:
        word(c, "SWAPDB");
        number(c, "", b % 3);
        number(c, "", a % 3);
        return;
    case 25:
        word(c, "SELECT");
        number(c, "", b % 3);
        return;
    case 26: word(c, "MULTI"); return;
    case 27: word(c, "EXEC"); return;
    case 28:
        word(c, "WATCH");
        number(c, "k", a);
        return;
    default:
        word(c, "LPOP");
        number(c, "k", a);
        return;
    }
    number(c, "k", a);
    for (uint64_t i = 0, n = kv_rng_below(rng, 8) == 0 ? 600 : 5; i < n; i++) number(c, "item ", kv_rng_below(rng, 5000));
}

static void work(void *arg) {
    worker *w = arg;
    kv_rng rng;
    kv_rng_seed(&rng, w->seed);
    kvcore_client *client = kvcore_connect(w->store, 0);
    CHECK(client != NULL);
    static _Thread_local call c;
    for (int step = 0; step < STEPS; step++) {
        make_call(&c, &rng);
        size_t length;
        CHECK(kvcore_run(client, c.argc, c.argv, c.lengths) == KVCORE_DONE);
        CHECK(kvcore_reply(client, &length) != NULL && length > 0);
    }
    kvcore_disconnect(client);
}

int main(void) {
    char error[200];
    kvcore_store *store = kvcore_open("", 0, 1, error, sizeof error);
    CHECK(store != NULL);
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.store = store, .seed = (uint64_t)i + 1};
        CHECK(kv_thread_start(&workers[i].thread, "worker", work, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) kv_thread_join(&workers[i].thread);
    CHECK(kvcore_check(store) == 1);
    kvcore_close(store);
    puts("ok threads");
    return 0;
}
