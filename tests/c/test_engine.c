/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* The whole engine through its own door, one thread: what a blocked command, a transaction, a subscription, an expiry and an eviction do to the others.
 * A command never waits by itself, so one thread plays any number of clients, and the order of events is known. */
#include <unistd.h>

#include "base/clock.h"
#include "client.h"

enum { CROWD = 12 };

static void check(kvcore_store *store) { CHECK(kvcore_check(store)); }

/* ---- transactions ---- */

static void transactions(void) {
    kvcore_store *store = store_open("");
    client a = client_open(store), b = client_open(store);
    RUN(&a, "+OK|", "MULTI");
    RUN(&a, "+QUEUED|", "SET k 1");
    RUN(&a, "+QUEUED|", "INCR k");
    RUN(&b, "$-1|", "GET k");
    RUN(&a, "*2|+OK|:2|", "EXEC");
    RUN(&a, "-ERR EXEC without MULTI|", "EXEC");

    RUN(&a, "+OK|", "WATCH k other");
    RUN(&b, "+OK|", "SET k 3");
    RUN(&a, "+OK|", "MULTI");
    RUN(&a, "+QUEUED|", "SET k 4");
    RUN(&a, "*-1|", "EXEC");
    RUN(&a, "$1|3|", "GET k");

    /* Watched by many, left by some; a watch in another database is another watch. */
    client crowd[CROWD];
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = client_open(store);
        if (i % 3 == 2) RUN(&crowd[i], "+OK|", "SELECT 1");
        RUN(&crowd[i], "+OK|", "WATCH k k k%d", i);
        RUN(&crowd[i], "+OK|", "WATCH k");
    }
    for (int i = 1; i < CROWD; i += 3) RUN(&crowd[i], "+OK|", "UNWATCH");
    RUN(&b, ":1|", "DEL k");
    for (int i = 0; i < CROWD; i++) {
        RUN(&crowd[i], "+OK|", "MULTI");
        RUN(&crowd[i], "+QUEUED|", "PING");
        RUN(&crowd[i], i % 3 == 0 ? "*-1|" : "*1|+PONG|", "EXEC");
    }
    for (int i = 0; i < CROWD; i++) client_close(&crowd[i]);

    RUN(&a, "+OK|", "MULTI");
    RUN(&a, "-ERR unknown command 'NOSUCH', with args beginning with: |", "NOSUCH");
    RUN(&a, "-EXECABORT Transaction discarded because of previous errors.|", "EXEC");
    RUN(&a, "+OK|", "WATCH k");
    client_close(&a); /* with a watch */
    RUN(&b, "+OK|", "SET k 5");
    RUN(&b, "+OK|", "MULTI");
    RUN(&b, "+QUEUED|", "SET k 6");
    client_close(&b); /* with a queue */
    check(store);
    kvcore_close(store);
}

/* What asks the engine about itself must not take locks that its own transaction holds. */
static void questions_inside_exec(void) {
    static const char *const questions[] = {
        "INFO everything",
        "DBSIZE",
        "MEMORY STATS",
        "MEMORY USAGE k",
        "MEMORY DOCTOR",
        "CLIENT LIST",
        "CLIENT INFO",
        "COMMAND COUNT",
        "SLOWLOG GET",
        "LATENCY DOCTOR",
        "LATENCY LATEST",
        "KEYS *",
        "SCAN 0",
        "RANDOMKEY",
        "CONFIG GET *",
        "PUBSUB CHANNELS",
        "OBJECT FREQ k",
        "OBJECT ENCODING k",
        "CLIENT TRACKINGINFO",
        "WAIT 0 0",
        "DEBUG DIGEST",
        "DEBUG OBJECT k",
        "CLIENT KILL ID 9999",
        "CLIENT UNBLOCK 9999",
        "CONFIG SET maxmemory 100mb",
        "CONFIG RESETSTAT",
        "SUBSCRIBE c",
        "UNSUBSCRIBE c",
        "PUBLISH c m",
        "UNWATCH",
        "FLUSHDB",
        "SWAPDB 0 1",
        "SELECT 1",
        "LOLWUT",
        "CLIENT PAUSE 1",
        "CLIENT UNPAUSE",
        "MEMORY PURGE",
        "DEBUG SLEEP 0",
        "DEBUG POPULATE 10",
        "MEMORY MALLOC-STATS",
        "CLIENT SETNAME x",
        "CLIENT NO-EVICT on",
    };
    kvcore_store *store = store_open("enable-debug-command yes\nlatency-monitor-threshold 1\n");
    client a = client_open(store), waiter = client_open(store), monitor = client_open(store);
    RUN(&monitor, "+OK|", "MONITOR");
    BLOCKS(&waiter, "BLPOP nothing 0");
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        for (int all = 0; all < 2; all++) { /* with one shard's lock, and with all of them */
            RUN(&a, "+OK|", "MULTI");
            RUN(&a, "+QUEUED|", all ? "DBSIZE" : "TIME");
            RUN(&a, "+QUEUED|", "SET k v");
            if (all) RUN(&a, "+QUEUED|", "SWAPDB 2 3");
            RUN(&a, NULL, "%s", questions[i]);
            CHECK(client_send(&a, "EXEC") == KVCORE_DONE);
            while (client_send(&a, "RESET") == KVCORE_PAUSED) CHECK(kvcore_wait(a.client, 1000) == KVCORE_PAUSED);
        }
        client_mail(&monitor);
    }
    check(store);
    client_close(&a), client_close(&waiter), client_close(&monitor);
    kvcore_close(store);
}

/* ---- blocking ---- */

static void first_come_first_served(void) {
    kvcore_store *store = store_open("");
    client pusher = client_open(store), crowd[CROWD];
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = client_open(store);
        BLOCKS(&crowd[i], i % 2 ? "BLPOP k 0" : "BLMPOP 0 2 other k LEFT");
    }
    RUN(&pusher, ":3|", "RPUSH k 0 1 2"); /* served after the whole command: it replies three */
    RUN(&pusher, ":0|", "LLEN k");
    for (int i = 3; i < CROWD; i++) WAITS(&crowd[i]);
    RUN(&pusher, NULL, "MULTI");
    for (int i = 3; i < CROWD; i++) RUN(&pusher, NULL, "LPUSH k %d", i); /* after the transaction: the last one pushed goes first */
    RUN(&pusher, NULL, "EXEC");
    for (int i = 0; i < CROWD; i++) {
        char wanted[64];
        int element = i < 3 ? i : CROWD + 2 - i;
        snprintf(wanted, sizeof wanted, i % 2 ? "*2|$1|k|$%d|%d|" : "*2|$1|k|*1|$%d|%d|", element < 10 ? 1 : 2, element);
        SERVED(&crowd[i], wanted);
    }
    RUN(&pusher, ":0|", "EXISTS k");
    /* One that finds the element gone again keeps its place. */
    BLOCKS(&crowd[0], "BLPOP k 0");
    BLOCKS(&crowd[1], "BLPOP k 0");
    RUN(&pusher, NULL, "MULTI");
    RUN(&pusher, NULL, "RPUSH k x");
    RUN(&pusher, NULL, "LPOP k");
    RUN(&pusher, "*2|:1|$1|x|", "EXEC");
    WAITS(&crowd[0]);
    RUN(&pusher, ":1|", "RPUSH k y");
    SERVED(&crowd[0], "*2|$1|k|$1|y|");
    WAITS(&crowd[1]);
    /* A key of another type is not what it waits for; when it changes to a list, it is. */
    RUN(&pusher, "+OK|", "SET k v");
    WAITS(&crowd[1]);
    RUN(&pusher, ":1|", "RPUSH other z");
    RUN(&pusher, "+OK|", "RENAME other k");
    SERVED(&crowd[1], "*2|$1|k|$1|z|");
    for (int i = 0; i < CROWD; i++) client_close(&crowd[i]);
    check(store);
    client_close(&pusher);
    kvcore_close(store);
}

static void several_keys(void) {
    kvcore_store *store = store_open("");
    client pusher = client_open(store), crowd[CROWD];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < CROWD; i++) {
            crowd[i] = client_open(store);
            BLOCKS(&crowd[i], "BLPOP a%d b%d c%d b%d a 0", i % 3, i % 5, i, i % 5); /* a key twice, too */
        }
        for (int i = 0; i < CROWD; i++) {
            RUN(&pusher, NULL, "RPUSH %s%d %d", i == 4 ? "b" : "c", i, i);
            if (i == 4) { /* b4 has waiters 4 and 9: the first gets it */
                SERVED(&crowd[4], "*2|$2|b4|$1|4|");
                continue;
            }
            CHECK(kvcore_wait(crowd[i].client, 0) == KVCORE_DONE);
        }
        for (int i = 0; i < CROWD; i++) client_close(&crowd[i]);
        RUN(&pusher, ":0|", "EXISTS a0 a1 a2 b0 b1 b2 b3 b4 a");
        check(store);
    }
    client_close(&pusher);
    kvcore_close(store);
}

static void chains(void) {
    kvcore_store *store = store_open("");
    client pusher = client_open(store), crowd[CROWD];
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = client_open(store);
        if (i + 1 < CROWD) BLOCKS(&crowd[i], "BLMOVE l%d l%d LEFT RIGHT 0", i, i + 1);
        else BLOCKS(&crowd[i], "BLPOP l%d 0", i);
    }
    RUN(&pusher, ":1|", "RPUSH l0 x"); /* one push goes through the whole chain in one step */
    for (int i = 0; i + 1 < CROWD; i++) SERVED(&crowd[i], "$1|x|");
    SERVED(&crowd[CROWD - 1], "*2|$3|l11|$1|x|");
    RUN(&pusher, ":0|", "DBSIZE");
    /* A ring ends: each waiter is served once. */
    BLOCKS(&crowd[0], "BLMOVE a b LEFT RIGHT 0");
    BLOCKS(&crowd[1], "BLMOVE b a LEFT RIGHT 0");
    BLOCKS(&crowd[2], "BLMOVE a a LEFT RIGHT 0");
    RUN(&pusher, ":1|", "RPUSH a y");
    for (int i = 0; i < 3; i++) SERVED(&crowd[i], "$1|y|");
    RUN(&pusher, "*1|$1|y|", "LRANGE a 0 -1");
    /* The destination has the wrong type: an error, and the element stays for the next. */
    RUN(&pusher, "+OK|", "SET text v");
    BLOCKS(&crowd[0], "BLMOVE q text LEFT RIGHT 0");
    BLOCKS(&crowd[1], "BRPOP q 0");
    RUN(&pusher, ":1|", "RPUSH q z");
    SERVED(&crowd[0], "-WRONGTYPE Operation against a key holding the wrong kind of value|");
    SERVED(&crowd[1], "*2|$1|q|$1|z|");
    /* Sorted sets, stored results, moved and copied keys wake, too. */
    BLOCKS(&crowd[0], "BZPOPMIN z 0");
    RUN(&pusher, ":1|", "ZADD from 3 m");
    RUN(&pusher, ":1|", "ZUNIONSTORE z 1 from");
    SERVED(&crowd[0], "*3|$1|z|$1|m|$1|3|");
    BLOCKS(&crowd[0], "BZMPOP 0 1 z MAX");
    RUN(&pusher, ":1|", "COPY from z");
    SERVED(&crowd[0], "*2|$1|z|*1|*2|$1|m|$1|3|");
    BLOCKS(&crowd[0], "BLPOP sorted 0");
    RUN(&pusher, ":2|", "RPUSH numbers 2 1");
    RUN(&pusher, ":2|", "SORT numbers STORE sorted");
    SERVED(&crowd[0], "*2|$6|sorted|$1|1|");
    RUN(&crowd[0], "+OK|", "SELECT 1");
    BLOCKS(&crowd[0], "BLPOP numbers 0");
    BLOCKS(&crowd[1], "BLPOP numbers2 0");
    RUN(&pusher, ":1|", "MOVE numbers 1");
    SERVED(&crowd[0], "*2|$7|numbers|$1|2|");
    BLOCKS(&crowd[0], "BLPOP sorted 0");
    RUN(&pusher, "+OK|", "SWAPDB 0 1");
    SERVED(&crowd[0], "*2|$6|sorted|$1|2|");
    for (int i = 0; i < CROWD; i++) client_close(&crowd[i]);
    client_close(&pusher);
    check(store);
    kvcore_close(store);
}

/* Waiters of one name in two databases do not get in each other's way. */
static void databases(void) {
    kvcore_store *store = store_open("");
    client zero = client_open(store), one = client_open(store), w0 = client_open(store), w1 = client_open(store);
    RUN(&one, "+OK|", "SELECT 1");
    RUN(&w1, "+OK|", "SELECT 1");
    for (int round = 0; round < 4; round++) {
        BLOCKS(round % 2 ? &w1 : &w0, "BLPOP k 0");
        BLOCKS(round % 2 ? &w0 : &w1, "BLPOP k 0");
        RUN(&one, ":1|", "RPUSH k one");
        WAITS(&w0);
        SERVED(&w1, "*2|$1|k|$3|one|");
        RUN(&zero, ":1|", "RPUSH k zero");
        SERVED(&w0, "*2|$1|k|$4|zero|");
    }
    client_close(&zero), client_close(&one), client_close(&w0), client_close(&w1);
    kvcore_close(store);
}

static void ends_of_a_wait(void) {
    kvcore_store *store = store_open("");
    client a = client_open(store), b = client_open(store);
    RUN(&a, NULL, "CLIENT ID");
    int id = atoi(a.reply + 1);
    uint64_t begun = kv_mono_ns();
    BLOCKS(&a, "BLPOP k 0.05");
    SERVED(&a, "*-1|");
    uint64_t took = kv_mono_ns() - begun;
    CHECK(took > 49000000 && took < 1000000000);
    BLOCKS(&a, "BLMOVE k l LEFT LEFT 0.01");
    SERVED(&a, "*-1|");
    BLOCKS(&a, "BLPOP k 0");
    RUN(&b, ":1|", "CLIENT UNBLOCK %d", id);
    SERVED(&a, "*-1|");
    BLOCKS(&a, "BLPOP k 0");
    RUN(&b, ":1|", "CLIENT UNBLOCK %d ERROR", id);
    RUN(&b, ":0|", "CLIENT UNBLOCK %d ERROR", id); /* it is on its way already */
    SERVED(&a, "-UNBLOCKED client unblocked via CLIENT UNBLOCK|");
    RUN(&b, ":0|", "CLIENT UNBLOCK %d", id);
    BLOCKS(&a, "BLPOP k 0");
    CHECK(kvcore_cancel(a.client) == 1); /* without a reply, and the element is not for it */
    RUN(&b, ":1|", "RPUSH k x");
    RUN(&b, ":1|", "DEL k");
    BLOCKS(&a, "BLPOP k 0");
    RUN(&b, ":1|", "RPUSH k x");
    CHECK(kvcore_cancel(a.client) == 0); /* too late: the element is its own */
    CHECK(strcmp(client_reply(&a), "*2|$1|k|$1|x|") == 0);
    CHECK(kvcore_cancel(a.client) == 1); /* nothing waits: nothing happens */
    BLOCKS(&a, "BLPOP k j 0");
    client_close(&a); /* while it waits */
    RUN(&b, ":1|", "RPUSH k x");
    RUN(&b, ":1|", "LLEN k");
    check(store);
    client_close(&b);
    kvcore_close(store);
}

/* Messages and the reply of a blocked command do not get mixed up. */
static void mail_beside_a_block(void) {
    kvcore_store *store = store_open("");
    client a = client_open(store), b = client_open(store);
    RUN(&a, "*3|$9|subscribe|$1|c|:1|", "SUBSCRIBE c");
    BLOCKS(&a, "BLPOP k 0");
    RUN(&b, ":1|", "PUBLISH c before");
    RUN(&b, ":1|", "RPUSH k x");
    RUN(&b, ":1|", "PUBLISH c after");
    SERVED(&a, "*2|$1|k|$1|x|");
    CHECK(strcmp(client_mail(&a), "*3|$7|message|$1|c|$6|before|*3|$7|message|$1|c|$5|after|") == 0);
    BLOCKS(&a, "BLPOP k 0.01");
    RUN(&b, ":1|", "PUBLISH c m");
    SERVED(&a, "*-1|");
    CHECK(strcmp(client_mail(&a), "*3|$7|message|$1|c|$1|m|") == 0);
    client_close(&a), client_close(&b);
    kvcore_close(store);
}

/* CLIENT REPLY is about the reply of the blocked command, whenever that comes. */
static void silenced_while_blocked(void) {
    kvcore_store *store = store_open("");
    client a = client_open(store), b = client_open(store);
    RUN(&a, "", "CLIENT REPLY SKIP");
    BLOCKS(&a, "BLPOP k 0");
    RUN(&b, ":1|", "RPUSH k x");
    SERVED(&a, "");
    RUN(&a, "+PONG|", "PING");
    RUN(&a, "", "CLIENT REPLY OFF");
    BLOCKS(&a, "BLPOP k 0");
    RUN(&b, ":1|", "RPUSH k x");
    SERVED(&a, "");
    RUN(&a, "", "PING");
    RUN(&a, "+OK|", "CLIENT REPLY ON");
    client_close(&a), client_close(&b);
    kvcore_close(store);
}

/* ---- messages ---- */

static void subscriptions(void) {
    kvcore_store *store = store_open("notify-keyspace-events KEA\n");
    client a = client_open(store), b = client_open(store);
    RUN(&a, NULL, "PSUBSCRIBE __key*__:*");
    RUN(&b, "+OK|", "SET k v PX 100000");
    CHECK(strstr(client_mail(&a), "$5|k|$3|set|") != NULL || strstr(a.reply, "|set|") != NULL);
    RUN(&a, NULL, "SUBSCRIBE c c d");
    RUN(&a, NULL, "SUBSCRIBE c");
    RUN(&b, ":1|", "PUBLISH c m");
    CHECK(strstr(client_mail(&a), "$1|c|$1|m|") != NULL);
    /* One's own messages, too, and the descriptor becomes readable for them. */
    int fd = kvcore_mail_fd(a.client);
    CHECK(fd >= 0);
    RUN(&a, ":1|", "PUBLISH d own");
    uint64_t signals;
    CHECK(read(fd, &signals, sizeof signals) == sizeof signals);
    CHECK(strstr(client_mail(&a), "own") != NULL);
    RUN(&a, NULL, "UNSUBSCRIBE c");
    RUN(&b, ":0|", "PUBLISH c m");
    RUN(&a, NULL, "RESET");
    RUN(&b, ":0|", "PUBLISH d m");
    client_close(&a), client_close(&b);
    kvcore_close(store);
}

/* RESET goes back to the start, and an in-process client started with the format it was opened with. */
static void reset_keeps_the_format(void) {
    kvcore_store *store = store_open("");
    client a = {.client = kvcore_connect(store, 1)};
    RUN(&a, "+RESET|", "RESET");
    RUN(&a, NULL, "CLIENT INFO");
    CHECK(a.reply[0] == '=' && strstr(a.reply, " resp=3 ") != NULL);
    client_close(&a);
    kvcore_close(store);
}

/* What one command subscribes to is bounded by memory, not by its square. */
static void many_channels(void) {
    enum { CHANNELS = 50000 };
    kvcore_store *store = store_open("");
    kvcore_client *a = kvcore_connect(store, 0);
    const char **words = malloc((CHANNELS + 1) * sizeof *words);
    size_t *lengths = malloc((CHANNELS + 1) * sizeof *lengths), len;
    char *names = malloc(CHANNELS * 8);
    CHECK(a != NULL && words != NULL && lengths != NULL && names != NULL);
    for (int i = 1; i <= CHANNELS; i++) {
        words[i] = names + (i - 1) * 8;
        lengths[i] = (size_t)snprintf(names + (i - 1) * 8, 8, "c%d", i);
    }
    static const char *const commands[] = {"SUBSCRIBE", "WATCH", "SUBSCRIBE"};
    uint64_t begun = kv_mono_ns();
    for (int i = 0; i < 3; i++) {
        words[0] = commands[i];
        lengths[0] = strlen(commands[i]);
        CHECK(kvcore_run(a, CHANNELS + 1, words, lengths) == KVCORE_DONE);
        kvcore_reply(a, &len);
        CHECK(len > 0);
    }
    CHECK(kv_mono_ns() - begun < 10000000000u);
    kvcore_disconnect(a);
    free(words), free(lengths), free(names);
    CHECK(kvcore_check(store));
    kvcore_close(store);
}

static void tracking(void) {
    kvcore_store *store = store_open("");
    client a = {.client = kvcore_connect(store, 1)}, b = client_open(store);
    RUN(&a, "+OK|", "CLIENT TRACKING on");
    RUN(&b, "+OK|", "SET k v");
    RUN(&a, "$1|v|", "GET k");
    CHECK(client_mail(&a)[0] == 0);
    RUN(&b, "+OK|", "SET k w");
    CHECK(strcmp(client_mail(&a), ">2|$10|invalidate|*1|$1|k|") == 0);
    RUN(&b, "+OK|", "SET k x");
    CHECK(client_mail(&a)[0] == 0); /* not read since */
    RUN(&a, "$1|x|", "GET k");
    RUN(&b, "+OK|", "FLUSHALL");
    CHECK(strcmp(client_mail(&a), ">2|$10|invalidate|_|") == 0);
    RUN(&a, "_|", "GET k");
    RUN(&b, "+OK|", "SET k x PX 1");
    CHECK(strcmp(client_mail(&a), ">2|$10|invalidate|*1|$1|k|") == 0);
    client_close(&a);
    RUN(&b, "+OK|", "SET k y"); /* nobody is left to be told */
    client_close(&b);
    kvcore_close(store);
}

/* ---- time ---- */

static void expiry(void) {
    kvcore_store *store = store_open("");
    client a = client_open(store), b = client_open(store);
    kvcore_clock_freeze(store, 1000000000000000);
    RUN(&a, "+OK|", "SET k v PX 100");
    RUN(&a, ":3|", "HSET h f 1 g 2 i 3");
    RUN(&a, "*1|:1|", "HPEXPIRE h 100 FIELDS 1 f");
    for (int i = 0; i < 2000; i++) RUN(&a, "+OK|", "SET many%d v PX %d", i, 200 + i);
    kvcore_clock_advance(store, 99999);
    RUN(&a, ":1|", "PTTL k");
    RUN(&b, "+OK|", "WATCH k");
    kvcore_clock_advance(store, 1);
    RUN(&a, "$-1|", "GET k");
    RUN(&a, "$-1|", "HGET h f");
    RUN(&a, ":2|", "HLEN h");
    RUN(&b, "+OK|", "MULTI");
    RUN(&b, "+QUEUED|", "PING");
    RUN(&b, "*-1|", "EXEC");
    kvcore_clock_advance(store, 1099 * 1000);      /* 1199 ms since */
    CHECK(kvcore_key_count(store, 0) == 1 + 1000); /* the clock has run what fell due: 200..1199 */
    check(store);
    kvcore_clock_advance(store, -3600LL * 1000000); /* a clock that goes back revives nothing and loses nothing */
    RUN(&a, "$-1|", "GET many0");
    RUN(&a, "$1|v|", "GET many1999");
    kvcore_clock_advance(store, 100LL * 365 * 86400 * 1000000);
    CHECK(kvcore_key_count(store, 0) == 1);
    RUN(&a, "+OK|", "SET k v EXAT 9223372036854775");
    RUN(&a, "-ERR invalid expire time in 'set' command|", "SET k v EXAT 9223372036854776");
    RUN(&a, "-ERR invalid expire time in 'expire' command|", "EXPIRE k 9223372036854775807");
    kvcore_clock_thaw(store);
    check(store);
    client_close(&a), client_close(&b);
    kvcore_close(store);
}

/* A pause holds commands back, in any order of events. */
static void pauses(void) {
    kvcore_store *store = store_open("");
    client a = client_open(store), b = client_open(store);
    RUN(&b, "+OK|", "MULTI");
    RUN(&b, "+QUEUED|", "SET k v");
    RUN(&a, "+OK|", "CLIENT PAUSE 100000 WRITE");
    CHECK(client_send(&a, "SET k v") == KVCORE_PAUSED);
    RUN(&a, "$-1|", "GET k");
    CHECK(client_send(&b, "EXEC") == KVCORE_PAUSED);
    CHECK(kvcore_wait(b.client, 1) == KVCORE_PAUSED);
    RUN(&a, "+OK|", "CLIENT UNPAUSE");
    RUN(&b, "*1|+OK|", "EXEC");
    RUN(&a, "+OK|", "CLIENT PAUSE 30");
    CHECK(client_send(&b, "GET k") == KVCORE_PAUSED);
    uint64_t begun = kv_mono_ns();
    while (client_send(&b, "GET k") == KVCORE_PAUSED) CHECK(kvcore_wait(b.client, 5000) == KVCORE_PAUSED);
    CHECK(kv_mono_ns() - begun < 2000000000u);
    client_close(&a), client_close(&b);
    kvcore_close(store);
}

/* ---- memory ---- */

static void eviction(void) {
    static const char *const policies[] = {"noeviction",   "allkeys-lru",  "allkeys-lfu",     "allkeys-random",
                                           "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"};
    enum { LIMIT = 6 * 1024 * 1024 };
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        char config[100], error[200];
        snprintf(config, sizeof config, "maxmemory-policy %s\n", policies[i]);
        kvcore_store *store = store_open(config);
        client a = client_open(store);
        size_t before = kvcore_used_memory(store);
        char value[1500];
        memset(value, 'x', sizeof value - 1);
        value[sizeof value - 1] = 0;
        for (int k = 0; k < 100; k++) RUN(&a, "+OK|", "SET keep%d %s", k, value);
        snprintf(config, sizeof config, "%zu", before + LIMIT);
        CHECK(kvcore_config_set(store, "maxmemory", config, error, sizeof error) == 0);
        int refused = 0;
        for (int k = 0; k < 8000; k++) {
            CHECK(client_send(&a, "SET k%d %s PX %d", k, value, 1000000 + k) == KVCORE_DONE);
            const char *reply = client_reply(&a);
            if (strncmp(reply, "-OOM command not allowed", 24) == 0) refused++;
            else CHECK(strcmp(reply, "+OK|") == 0);
        }
        CHECK((refused > 0) == (i == 0));
        CHECK(kvcore_used_memory(store) < before + LIMIT + 200000);
        CHECK(kvcore_key_count(store, 0) > 1500 && kvcore_key_count(store, 0) < 6000);
        if (i >= 4) { /* what has no expiry is safe */
            RUN(&a, ":1499|", "STRLEN keep0");
        }
        RUN(&a, ":0|", "DEL nothing");                 /* what needs no memory goes on */
        if (i == 7) RUN(&a, ":0|", "EXISTS k0 k1 k2"); /* the soonest went first */
        check(store);
        RUN(&a, NULL, "INFO stats");
        client_close(&a);
        kvcore_close(store);
    }
}

/* ---- serving ---- */

static void server_starts_and_stops(void) {
    kvcore_store *store = store_open("port 0\nio-threads 3\n");
    char error[200];
    for (int i = 0; i < 20; i++) {
        CHECK(kvcore_serve(store, 1, error, sizeof error) == 0);
        CHECK(kvcore_port(store) > 0);
        CHECK(kvcore_serve(store, 1, error, sizeof error) == -1);
        kvcore_stop_serving(store);
        kvcore_stop_serving(store);
    }
    kvcore_close(store);
    kvcore_close(NULL);
}

int main(void) {
    transactions();
    questions_inside_exec();
    first_come_first_served();
    several_keys();
    chains();
    databases();
    ends_of_a_wait();
    mail_beside_a_block();
    silenced_while_blocked();
    subscriptions();
    reset_keeps_the_format();
    many_channels();
    tracking();
    expiry();
    pauses();
    eviction();
    server_starts_and_stops();
    printf("ok engine\n");
    return 0;
}
