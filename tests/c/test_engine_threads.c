/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* The whole engine from several threads: hand-overs that are cut short in every way, messages to clients that come and go, a server that stops under the
 * hands of those who write to its clients, client-side caches, flushes under writers, and at last anything at all. Each scene ends with a count that only
 * an engine without a lost wake-up, a lost element or a torn step can give; the sanitizers look at the way there.
 *
 * ENGINE_SEED and ENGINE_SECONDS (2) are for longer runs. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/sync.h"
#include "client.h"
#include "engine/journal.h"
#include "persist/aof.h"

enum { THREADS = 4 };

typedef struct scene {
    kvcore_store *store;
    _Atomic bool stop;
    _Atomic uint64_t pushed, popped, ready;
    _Atomic int waiter_ids[THREADS];
    uint64_t until_ns;
} scene;

typedef struct worker {
    scene *scene;
    int index;
    kv_rng rng;
    kv_thread thread;
} worker;

static uint64_t first_seed = 1;
static double seconds = 2;

/* The second time round every store keeps a log on the disk, and confirms nothing before it is there. */
static kv_aof *logs[4];
static bool logged;

static kvcore_store *open_store(const char *config) {
    kvcore_store *store = store_open(config);
    if (!logged) return store;
    int i = 0;
    while (logs[i] != NULL) i++;
    char path[] = "/tmp/kvcore-log-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && unlink(path) == 0);
    logs[i] = kv_aof_create(&(kv_aof_options){.engine = kvcore_store_engine(store), .policy = KV_AOF_ALWAYS, .annotate = true});
    CHECK(logs[i] != NULL);
    kv_aof_open(logs[i], fd, 0);
    kv_engine_set_journal(kvcore_store_engine(store), kv_aof_journal(logs[i]));
    return store;
}

static void close_store(kvcore_store *store) {
    kvcore_stop_serving(store);
    kv_journal *journal = kv_journal_of(kvcore_store_engine(store));
    for (int i = 0; journal != NULL && i < 4; i++) {
        if (logs[i] == NULL || kv_aof_journal(logs[i]) != journal) continue;
        kv_engine_set_journal(kvcore_store_engine(store), NULL);
        CHECK(kv_aof_flush(logs[i], NULL) == KV_OK);
        kv_aof_destroy(logs[i]);
        logs[i] = NULL;
    }
    kvcore_close(store);
}

static void start_workers(scene *s, worker *workers, int count, void (*run)(void *)) {
    for (int i = 0; i < count; i++) {
        workers[i].scene = s;
        workers[i].index = i;
        kv_rng_seed(&workers[i].rng, first_seed * 1000 + (uint64_t)i);
        CHECK(kv_thread_start(&workers[i].thread, "worker", run, &workers[i]) == 0);
    }
}

static void join_workers(worker *workers, int count) {
    for (int i = 0; i < count; i++) kv_thread_join(&workers[i].thread);
}

static bool going_on(const scene *s) { return kv_mono_ns() < s->until_ns && !s->stop; }
static scene scene_on(kvcore_store *store, double part) {
    return (scene){.store = store, .until_ns = kv_mono_ns() + (uint64_t)(seconds * part * 1e9)};
}

/* ---- hand-overs ---- */

/* What a popper got: an element, or nothing. */
static void count_reply(scene *s, client *c, int outcome) {
    CHECK(outcome == KVCORE_DONE);
    const char *reply = client_reply(c);
    if (reply[0] != '*' && reply[0] != '$') CHECK(strncmp(reply, "-UNBLOCKED", 10) == 0);
    else if (strcmp(reply, "*-1|") != 0 && strcmp(reply, "$-1|") != 0) atomic_fetch_add(&s->popped, 1);
}

static void popper(void *arg) {
    worker *w = arg;
    scene *s = w->scene;
    client c = client_open(s->store);
    while (going_on(s)) {
        RUN(&c, NULL, "CLIENT ID");
        atomic_store(&s->waiter_ids[w->index], atoi(c.reply + 1));
        uint64_t a = kv_rng_below(&w->rng, 3), b = kv_rng_below(&w->rng, 3);
        int outcome;
        switch (kv_rng_below(&w->rng, 4)) {
        case 0: outcome = client_send(&c, "BLPOP q%d q%d 0", (int)a, (int)b); break;
        case 1: outcome = client_send(&c, "BLPOP q%d q%d 0.001", (int)a, (int)b); break;
        case 2: outcome = client_send(&c, "BLMPOP 0 2 q%d q%d RIGHT", (int)a, (int)b); break;
        default: outcome = client_send(&c, "BRPOP q0 q1 q2 0"); break;
        }
        if (outcome == KVCORE_BLOCKED) outcome = kvcore_wait(c.client, (uint32_t)kv_rng_below(&w->rng, 3));
        if (outcome != KVCORE_BLOCKED) {
            count_reply(s, &c, outcome);
            continue;
        }
        if (kv_rng_below(&w->rng, 2) == 0) {
            if (kvcore_cancel(c.client) == 0) count_reply(s, &c, KVCORE_DONE);
        } else {
            while ((outcome = kvcore_wait(c.client, 5)) == KVCORE_BLOCKED && going_on(s)) continue;
            if (outcome == KVCORE_BLOCKED) {
                if (kvcore_cancel(c.client) == 0) count_reply(s, &c, KVCORE_DONE);
            } else {
                count_reply(s, &c, outcome);
            }
        }
    }
    client_close(&c);
}

static void pusher(void *arg) {
    worker *w = arg;
    scene *s = w->scene;
    client c = client_open(s->store);
    while (going_on(s)) {
        int q = (int)kv_rng_below(&w->rng, 3);
        switch (kv_rng_below(&w->rng, 8)) {
        case 0: /* an element that comes and goes: the waiter is tried, finds nothing and is put back */
            RUN(&c, NULL, "MULTI");
            RUN(&c, NULL, "RPUSH q%d x", q);
            RUN(&c, NULL, "RPOP q%d", q);
            RUN(&c, NULL, "EXEC");
            break;
        case 1:
            RUN(&c, NULL, "RPUSH q%d a b c", q);
            atomic_fetch_add(&s->pushed, 3);
            break;
        case 2: RUN(&c, NULL, "CLIENT UNBLOCK %d ERROR", atomic_load(&s->waiter_ids[kv_rng_below(&w->rng, THREADS)])); break;
        case 3: RUN(&c, NULL, "CLIENT UNBLOCK %d", atomic_load(&s->waiter_ids[kv_rng_below(&w->rng, THREADS)])); break;
        case 4: RUN(&c, NULL, "LMOVE q%d q%d LEFT RIGHT", q, (q + 1) % 3); break;
        case 5: RUN(&c, NULL, "CLIENT LIST"); break;
        default: RUN(&c, NULL, "RPUSH q%d x", q); atomic_fetch_add(&s->pushed, 1);
        }
    }
    client_close(&c);
}

static void handovers(void) {
    kvcore_store *store = open_store("");
    scene s = scene_on(store, 1);
    worker poppers[THREADS], pushers[2];
    start_workers(&s, poppers, THREADS, popper);
    start_workers(&s, pushers, 2, pusher);
    join_workers(pushers, 2);
    join_workers(poppers, THREADS);
    client c = client_open(store);
    uint64_t left = 0;
    for (int q = 0; q < 3; q++) {
        RUN(&c, NULL, "LLEN q%d", q);
        left += (uint64_t)atoi(c.reply + 1);
    }
    if (s.pushed != s.popped + left)
        fprintf(stderr, "%llu pushed, %llu popped, %llu left\n", (unsigned long long)s.pushed, (unsigned long long)s.popped,
                (unsigned long long)left);
    CHECK(s.pushed == s.popped + left);
    CHECK(s.popped > 0);
    client_close(&c);
    CHECK(kvcore_check(store));
    close_store(store);
}

/* Nobody waits while there is something to take: a wake-up that is lost would end this scene by its time limit. */
static void taker(void *arg) {
    worker *w = arg;
    scene *s = w->scene;
    client c = client_open(s->store);
    while (atomic_load(&s->popped) < 20000) {
        int outcome = client_send(&c, w->index % 2 ? "BLPOP a b 0" : "BZPOPMIN z y 0");
        uint64_t begun = kv_mono_ns();
        while (outcome == KVCORE_BLOCKED) {
            outcome = kvcore_wait(c.client, 20);
            CHECK(kv_mono_ns() - begun < 20000000000u); /* lost */
        }
        atomic_fetch_add(&s->popped, 1);
    }
    client_close(&c);
}

static void giver(void *arg) {
    worker *w = arg;
    scene *s = w->scene;
    client c = client_open(s->store);
    for (uint64_t i = 0; atomic_load(&s->ready) < THREADS; i++) {
        if (s->pushed > s->popped + 8) { /* the takers are kept waiting most of the time */
            usleep(20);
            continue;
        }
        s->pushed++;
        if (i % 2) RUN(&c, NULL, "RPUSH %s %d", i % 4 == 1 ? "a" : "b", (int)i);
        else RUN(&c, NULL, "ZADD %s 1 %d", i % 4 == 0 ? "y" : "z", (int)i);
    }
    client_close(&c);
}

static void no_wake_up_is_lost(void) {
    kvcore_store *store = open_store("");
    scene s = scene_on(store, 1);
    worker takers[THREADS], givers[1];
    start_workers(&s, takers, THREADS, taker);
    start_workers(&s, givers, 1, giver);
    for (int i = 0; i < THREADS; i++) {
        kv_thread_join(&takers[i].thread);
        atomic_fetch_add(&s.ready, 1);
    }
    join_workers(givers, 1);
    close_store(store);
}

/* ---- messages ---- */

static void listener(void *arg) {
    worker *w = arg;
    scene *s = w->scene;
    while (going_on(s)) {
        client c = client_open(s->store);
        RUN(&c, NULL, w->index % 2 ? "SUBSCRIBE c" : "PSUBSCRIBE c*");
        atomic_fetch_add(&s->ready, 1);
        int rounds = (int)kv_rng_below(&w->rng, 30), last[2] = {-1, -1};
        int fd = -1;
        for (int i = 0; i < rounds && going_on(s); i++) {
            if (i == rounds / 2) fd = kvcore_mail_fd(c.client);
            struct pollfd p = {.fd = fd, .events = POLLIN};
            if (fd >= 0) poll(&p, 1, 2);
            else kvcore_wait_mail(c.client, 2);
            /* Each publisher numbers its messages "<publisher>:<number>": they come in order and without a gap. */
            const char *mail = client_mail(&c);
            for (const char *at = strchr(mail, ':'); at != NULL; at = strchr(at + 1, ':')) {
                if (at == mail || at[-1] < '0' || at[-1] > '1' || at[1] < '0' || at[1] > '9') continue;
                int who = at[-1] - '0', number = atoi(at + 1);
                if (strlen(mail) + 1 < CLIENT_TEXT) CHECK(last[who] < 0 || number == last[who] + 1);
                last[who] = number;
            }
            if (strlen(mail) + 1 >= CLIENT_TEXT) last[0] = last[1] = -1; /* more than this test looks at */
        }
        client_close(&c);
    }
}

static void publisher(void *arg) {
    worker *w = arg;
    scene *s = w->scene;
    client c = client_open(s->store);
    for (int i = 0; going_on(s); i++) {
        RUN(&c, NULL, "PUBLISH c %d:%d", w->index, i);
        if (i % 16 == 0) usleep(300);
    }
    client_close(&c);
}

static void messages(void) {
    kvcore_store *store = open_store("");
    scene s = scene_on(store, 0.5);
    worker listeners[THREADS], publishers[2];
    start_workers(&s, listeners, THREADS, listener);
    start_workers(&s, publishers, 2, publisher);
    join_workers(publishers, 2);
    join_workers(listeners, THREADS);
    client c = client_open(store);
    RUN(&c, "*0|", "PUBSUB CHANNELS");
    client_close(&c);
    close_store(store);
}

/* ---- a server that stops ---- */

static int connect_to(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

static void say(int fd, const char *text) {
    ssize_t n = send(fd, text, strlen(text), MSG_NOSIGNAL);
    (void)n;
}

/* Wakes network clients by every means while their server comes and goes. */
static void disturber(void *arg) {
    worker *w = arg;
    scene *s = w->scene;
    client c = client_open(s->store);
    while (going_on(s)) {
        switch (kv_rng_below(&w->rng, 6)) {
        case 0: RUN(&c, NULL, "RPUSH q x"); break;
        case 1: RUN(&c, NULL, "CLIENT LIST"); break;
        case 2: RUN(&c, NULL, "CLIENT UNPAUSE"); break;
        case 3: RUN(&c, NULL, "CLIENT KILL TYPE pubsub MAXAGE 1"); break;
        default: RUN(&c, NULL, "PUBLISH c message");
        }
    }
    client_close(&c);
}

static void stopping_server(void) {
    kvcore_store *store = open_store("io-threads 2\nbind 127.0.0.1\n");
    scene s = scene_on(store, 1);
    worker workers[2];
    start_workers(&s, workers, 2, disturber);
    char error[200];
    kv_rng rng;
    kv_rng_seed(&rng, first_seed);
    while (going_on(&s)) {
        int fds[8];
        CHECK(kvcore_serve(store, 1, error, sizeof error) == 0);
        for (int i = 0; i < 8; i++) {
            fds[i] = connect_to(kvcore_port(store));
            say(fds[i], i % 2 ? "SUBSCRIBE c\r\n" : "BLPOP q 0\r\nBLPOP q 0.002\r\nBLPOP q 0\r\n");
        }
        usleep((unsigned)kv_rng_below(&rng, 3000));
        for (int i = 0; i < 4; i++) close(fds[i]);
        usleep((unsigned)kv_rng_below(&rng, 1000));
        kvcore_stop_serving(store);
        for (int i = 4; i < 8; i++) close(fds[i]);
    }
    join_workers(workers, 2);
    CHECK(kvcore_check(store));
    close_store(store);
}

/* ---- a pipeline whose client leaves ---- */

/* More commands than one turn runs, from clients that go away, do not read, or close their half: the loop must neither touch a freed connection nor drop
 * what a patient client may still read. */
static void leaving_clients(void) {
    enum { COMMANDS = 3000 };
    kvcore_store *store = open_store("io-threads 1\nbind 127.0.0.1\n");
    char error[200];
    static char pipeline[COMMANDS * 32], value[4001];
    size_t len = 0;
    memset(value, 'v', sizeof value - 1);
    client c = client_open(store);
    RUN(&c, "+OK|", "SET big %s", value);
    for (int i = 0; i < COMMANDS; i++) len += (size_t)sprintf(pipeline + len, "*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n");
    CHECK(kvcore_serve(store, 1, error, sizeof error) == 0);
    for (int i = 0; i < 20; i++) { /* gone at once: a reset comes while the connection still has commands to run */
        int fd = connect_to(kvcore_port(store));
        ssize_t n = send(fd, pipeline, len, MSG_NOSIGNAL);
        CHECK(n > 0);
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        if (i % 2) usleep(2000);
        close(fd);
    }
    for (int i = 0; i < 3; i++) { /* half closed, slow to read: every reply comes */
        int fd = connect_to(kvcore_port(store));
        CHECK(send(fd, pipeline, len, MSG_NOSIGNAL) == (ssize_t)len);
        CHECK(shutdown(fd, SHUT_WR) == 0);
        usleep(100000);
        size_t total = 0, wanted = (size_t)COMMANDS * (7 + 4000 + 2);
        static char in[65536];
        for (ssize_t n; (n = recv(fd, in, i == 0 ? sizeof in : 20000, 0)) > 0; total += (size_t)n)
            if (i == 2 && total < 1000000) usleep(1000);
        CHECK(total == wanted);
        close(fd);
    }
    RUN(&c, "+OK|", "SET big x");
    client_close(&c);
    close_store(store);
}

/* Nothing behind a protocol error is run, nor does it disturb the parser, although the connection lives on until its replies are sent. */
static void behind_a_protocol_error(void) {
    kvcore_store *store = open_store("io-threads 1\nbind 127.0.0.1\n");
    char error[200];
    static char value[4001];
    client c = client_open(store);
    memset(value, 'v', sizeof value - 1);
    RUN(&c, "+OK|", "SET big %s", value);
    CHECK(kvcore_serve(store, 1, error, sizeof error) == 0);
    for (int i = 0; i < 2; i++) {
        int fd = connect_to(kvcore_port(store));
        for (int k = 0; k < 3000; k++) say(fd, "GET big\r\n");
        usleep(50000); /* its replies do not fit into the socket */
        say(fd, i == 0 ? "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\nwrong\r\n" : "QUIT\r\n");
        for (int k = 0; k < 50; k++) {
            say(fd, "SET big after\r\n");
            usleep(500);
        }
        static char in[65536];
        while (recv(fd, in, sizeof in, 0) > 0) continue;
        close(fd);
        RUN(&c, ":4000|", "STRLEN big");
    }
    client_close(&c);
    close_store(store);
}

/* ---- client-side caches ---- */

static void cache(void *arg) {
    worker *w = arg;
    scene *s = w->scene;
    client c = {.client = kvcore_connect(s->store, 1)};
    int cached[4] = {-1, -1, -1, -1};
    RUN(&c, "+OK|", w->index % 2 ? "CLIENT TRACKING on BCAST PREFIX k" : "CLIENT TRACKING on");
    for (bool last = false; !last;) {
        last = !going_on(s);
        if (last) {
            while (atomic_load(&s->ready) < 2) usleep(100);
        } else {
            int k = (int)kv_rng_below(&w->rng, 4);
            RUN(&c, NULL, "GET k%d", k);
            const char *number = strchr(c.reply, '|');
            cached[k] = number == NULL || c.reply[0] != '$' ? -1 : atoi(number + 1);
        }
        const char *mail = client_mail(&c);
        for (int k = 0; k < 4; k++) {
            char name[32];
            snprintf(name, sizeof name, "$2|k%d|", k);
            if (strstr(mail, name) != NULL || strstr(mail, "_|") != NULL || strlen(mail) + 1 >= CLIENT_TEXT) cached[k] = -1;
        }
    }
    RUN(&c, "+OK|", "CLIENT TRACKING off");
    for (int k = 0; k < 4; k++) { /* what nobody has called invalid is valid */
        if (cached[k] < 0) continue;
        RUN(&c, NULL, "GET k%d", k);
        CHECK(c.reply[0] == '$');
        CHECK(atoi(strchr(c.reply, '|') + 1) == cached[k]);
    }
    client_close(&c);
}

static void changer(void *arg) {
    worker *w = arg;
    scene *s = w->scene;
    client c = client_open(s->store);
    for (int i = 0; going_on(s); i++) {
        RUN(&c, NULL, "SET k%d %d", (int)kv_rng_below(&w->rng, 4), i);
        if (i % 100 == 0) RUN(&c, NULL, i % 200 == 0 ? "FLUSHALL" : "DEL k0 k1");
        if (i % 8 == 0) usleep(100);
    }
    atomic_fetch_add(&s->ready, 1);
    client_close(&c);
}

static void caches(void) {
    kvcore_store *store = open_store("tracking-table-max-keys 3\n");
    scene s = scene_on(store, 0.5);
    worker readers[THREADS], writers[2];
    start_workers(&s, readers, THREADS, cache);
    start_workers(&s, writers, 2, changer);
    join_workers(writers, 2);
    join_workers(readers, THREADS);
    close_store(store);
}

/* ---- whole databases ---- */

static void filler(void *arg) {
    worker *w = arg;
    scene *s = w->scene;
    client c = client_open(s->store);
    for (int i = 0; going_on(s); i++) {
        int k = (int)kv_rng_below(&w->rng, 200);
        switch (kv_rng_below(&w->rng, 9)) {
        case 0: RUN(&c, NULL, "SADD s%d a b c %d", k, i); break;
        case 1: RUN(&c, NULL, "HSET h%d f %d g v", k, i); break;
        case 2: RUN(&c, NULL, "HPEXPIRE h%d 1 FIELDS 1 f", k); break;
        case 3: RUN(&c, NULL, "ZADD z%d %d m%d", k, i, i); break;
        case 4: RUN(&c, NULL, "SET k%d v PX 1", k); break;
        case 5: RUN(&c, NULL, "RPUSH l%d %d", k % 3, i); break;
        case 6: RUN(&c, NULL, "MSET k%d 1 k%d 2 k%d 3", k, k + 1, k + 2); break;
        case 7: RUN(&c, NULL, "RENAME l%d r%d", k % 3, k); break;
        default: RUN(&c, NULL, "SELECT %d", i % 2);
        }
        if (w->index == 0 && i % 50 == 0) RUN(&c, NULL, i % 100 == 0 ? "FLUSHALL ASYNC" : i % 150 == 0 ? "FLUSHDB SYNC" : "SWAPDB 0 1");
        if (w->index == 1 && i % 500 == 0) CHECK(kvcore_check(s->store));
    }
    client_close(&c);
}

static void flushes(void) {
    kvcore_store *store = open_store("maxmemory 20mb\nmaxmemory-policy allkeys-lru\n");
    scene s = scene_on(store, 0.5);
    worker workers[THREADS];
    start_workers(&s, workers, THREADS, filler);
    join_workers(workers, THREADS);
    CHECK(kvcore_check(store));
    client c = client_open(store);
    RUN(&c, "+OK|", "FLUSHALL SYNC");
    CHECK(kvcore_key_count(store, 0) == 0 && kvcore_key_count(store, 1) == 0);
    client_close(&c);
    close_store(store);
}

/* ---- money: no step is torn ---- */

static void banker(void *arg) {
    worker *w = arg;
    scene *s = w->scene;
    client c = client_open(s->store);
    while (going_on(s)) {
        int from = (int)kv_rng_below(&w->rng, 6), to = (int)kv_rng_below(&w->rng, 6), amount = (int)kv_rng_below(&w->rng, 5);
        if (w->index % 2) {
            RUN(&c, NULL, "MULTI");
            RUN(&c, NULL, "DECRBY a%d %d", from, amount);
            RUN(&c, NULL, "INCRBY a%d %d", to, amount);
            RUN(&c, NULL, "EXEC");
        } else { /* read, then change if nobody has meanwhile */
            RUN(&c, NULL, "WATCH a%d a%d", from, to);
            RUN(&c, NULL, "GET a%d", from);
            int has = atoi(strchr(c.reply, '|') + 1);
            RUN(&c, NULL, "GET a%d", to);
            int other = atoi(strchr(c.reply, '|') + 1);
            RUN(&c, NULL, "MULTI");
            RUN(&c, NULL, "SET a%d %d", from, has - amount);
            RUN(&c, NULL, "SET a%d %d", to, (from == to ? has - amount : other) + amount);
            RUN(&c, NULL, "EXEC");
        }
        RUN(&c, NULL, "MGET a0 a1 a2 a3 a4 a5");
        int sum = 0;
        const char *at = strchr(c.reply, '|') + 1;
        for (int i = 0; i < 6; i++) {
            at = strchr(at, '|') + 1;
            sum += atoi(at);
            at = strchr(at, '|') + 1;
        }
        CHECK(sum == 600);
    }
    client_close(&c);
}

static void bank(void) {
    kvcore_store *store = open_store("");
    client c = client_open(store);
    RUN(&c, "+OK|", "MSET a0 100 a1 100 a2 100 a3 100 a4 100 a5 100");
    scene s = scene_on(store, 0.5);
    worker workers[THREADS];
    start_workers(&s, workers, THREADS, banker);
    join_workers(workers, THREADS);
    client_close(&c);
    CHECK(kvcore_check(store));
    close_store(store);
}

/* ---- anything at all ---- */

static void anything(void *arg) {
    static const char *const commands[] = {
        "SET k%d %d",
        "GET k%d",
        "APPEND k%d %d",
        "DEL k%d",
        "INCR k%d",
        "SETRANGE k%d %d x",
        "RPUSH k%d %d",
        "LPUSH l%d %d",
        "LPOP l%d",
        "LREM l%d 0 %d",
        "LRANGE l%d 0 -1",
        "LINSERT l%d BEFORE 3 %d",
        "SADD s%d %d a b",
        "SREM s%d %d",
        "SPOP s%d",
        "SINTERSTORE s%d s1 s2",
        "SUNION s%d s1",
        "HSET h%d f %d",
        "HDEL h%d f",
        "HINCRBY h%d f %d",
        "HEXPIRE h%d %d FIELDS 1 f",
        "HGETALL h%d",
        "ZADD z%d %d m",
        "ZINCRBY z%d %d n",
        "ZPOPMIN z%d",
        "ZUNIONSTORE z%d 2 z1 s1",
        "ZRANGE z%d 0 -1",
        "RENAME l%d l3",
        "COPY l%d s%d REPLACE",
        "MOVE k%d %d",
        "SELECT 0",
        "EXPIRE l%d %d",
        "PEXPIRE k%d %d",
        "PERSIST k%d",
        "TYPE k%d",
        "TOUCH k%d",
        "UNLINK l%d",
        "DUMP k%d",
        "OBJECT ENCODING k%d",
        "MEMORY USAGE l%d",
        "SCAN %d",
        "KEYS *%d*",
        "RANDOMKEY",
        "DBSIZE",
        "FLUSHDB",
        "SWAPDB 0 %d",
        "MULTI",
        "EXEC",
        "DISCARD",
        "WATCH k%d",
        "UNWATCH",
        "SUBSCRIBE c%d",
        "UNSUBSCRIBE",
        "PUBLISH c%d %d",
        "PSUBSCRIBE c*",
        "PUNSUBSCRIBE",
        "CLIENT TRACKING on",
        "CLIENT TRACKING off",
        "CLIENT LIST",
        "CLIENT SETNAME n%d",
        "CLIENT KILL ID %d",
        "CLIENT UNBLOCK %d",
        "CLIENT INFO",
        "INFO",
        "CONFIG GET max*",
        "CONFIG SET maxmemory-policy allkeys-lfu",
        "CONFIG SET hz %d0",
        "SLOWLOG GET",
        "LATENCY LATEST",
        "MONITOR",
        "RESET",
        "HELLO 3",
        "HELLO 2",
        "BLPOP l%d l2 0.01",
        "BRPOP l%d 0.001",
        "BLMOVE l%d l%d LEFT RIGHT 0.002",
        "BZPOPMAX z%d z2 0.01",
        "BLMPOP 0.01 2 l%d l2 LEFT",
        "SORT l%d",
        "SORT s%d STORE l3",
        "LMPOP 2 l%d l1 LEFT",
        "LCS k%d k1",
        "MSET k%d %d k1 2",
        "MSETNX k%d %d k9 1",
        "GETEX k%d PX %d",
        "SET k%d v PX %d",
        "PUBSUB NUMPAT",
        "COMMAND COUNT",
        "TIME",
        "CLIENT NO-TOUCH on",
        "CLIENT TRACKINGINFO",
    };
    worker *w = arg;
    scene *s = w->scene;
    client c = client_open(s->store);
    for (int i = 0; going_on(s); i++) {
        const char *command = commands[kv_rng_below(&w->rng, sizeof commands / sizeof *commands)];
        if ((strcmp(command, "FLUSHDB") == 0 || strcmp(command, "MONITOR") == 0) && kv_rng_below(&w->rng, 20) != 0) continue;
        char text[200];
        int a = (int)kv_rng_below(&w->rng, 5), b = (int)kv_rng_below(&w->rng, 9);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, command, a, b);
#pragma GCC diagnostic pop
        int outcome = client_send(&c, "%s", text);
        while (outcome == KVCORE_BLOCKED) outcome = kvcore_wait(c.client, 100);
        CHECK(outcome == KVCORE_DONE);
        if (i % 64 == 0) client_mail(&c);
        if (i % 4000 == 0) CHECK(kvcore_check(s->store));
        if (i % 512 == 0) {
            client_close(&c);
            c = client_open(s->store);
        }
    }
    client_close(&c);
}

static void anything_at_all(void) {
    kvcore_store *store = open_store("latency-monitor-threshold 1\ncommandlog-execution-slower-than 0\nnotify-keyspace-events KEA\n");
    scene s = scene_on(store, 1);
    worker workers[THREADS];
    start_workers(&s, workers, THREADS, anything);
    join_workers(workers, THREADS);
    CHECK(kvcore_check(store));
    close_store(store);
}

static void all_scenes(void) {
    leaving_clients();
    behind_a_protocol_error();
    handovers();
    no_wake_up_is_lost();
    messages();
    stopping_server();
    caches();
    flushes();
    bank();
    anything_at_all();
}

int main(void) {
    if (getenv("ENGINE_SEED") != NULL) first_seed = strtoull(getenv("ENGINE_SEED"), NULL, 10);
    if (getenv("ENGINE_SECONDS") != NULL) seconds = atof(getenv("ENGINE_SECONDS"));
    all_scenes();
    logged = true;
    seconds /= 2;
    all_scenes();
    printf("ok engine_threads\n");
    return 0;
}
