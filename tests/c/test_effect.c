/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* What commands leave in the log: a journal that keeps the bytes.
 *
 * Without arguments: the tests. With an argument it is a filter for tests/persist/test_effects.py: it reads lines "CLIENT WORD WORD ..." (words in hexadecimal,
 * "." for an empty one) and answers each with a line "REPLY EFFECTS GROUPS" in hexadecimal ("." for nothing, "!" for the reply of a command that waits).
 * A line "CLIENT *" takes the reply of a command that was waiting; "0 +MS" moves the clock, "0 @MS" stops it there. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "engine/journal.h"
#include "engine/dispatch.h"

typedef struct recorder {
    kv_journal journal;
    kv_mem mem;
    kv_buf bytes; /* of all units, framed */
    kv_mutex lock;
    uint64_t number, groups, lost;
    int db;
    kv_session *waiting[8];
    uint64_t wanted[8];
} recorder;

static uint64_t record(kv_journal *journal, uint32_t epoch, const kv_effects *effects) {
    recorder *r = (recorder *)(void *)journal;
    kv_mutex_lock(&r->lock);
    CHECK(epoch != 0 && effects->count > 0);
    if (effects->bytes.failed) { /* a part of it is of no use */
        r->lost++;
        uint64_t missing = ++r->number;
        kv_mutex_unlock(&r->lock);
        return missing;
    }
    CHECK(effects->bytes.len > 0);
    if (r->db != effects->first_db) {
        char number[24];
        int digits = snprintf(number, sizeof number, "%d", effects->first_db);
        kv_buf_printf(&r->bytes, "*2\r\n$6\r\nSELECT\r\n$%d\r\n%s\r\n", digits, number);
    }
    if (effects->count > 1) kv_buf_add_slice(&r->bytes, KV_LIT("*1\r\n$5\r\nMULTI\r\n"));
    kv_buf_add_slice(&r->bytes, kv_buf_slice(&effects->bytes));
    if (effects->count > 1) kv_buf_add_slice(&r->bytes, KV_LIT("*1\r\n$4\r\nEXEC\r\n"));
    r->db = effects->last_db;
    r->groups++;
    uint64_t number = ++r->number;
    kv_mutex_unlock(&r->lock);
    return number;
}

static void nothing_lost(kv_journal *journal) {
    (void)journal;
    CHECK(false);
}

/* The disk is as far as `durable` says. A session of a number that was given up waits for nothing. */
static bool await(kv_journal *journal, kv_session *session, uint64_t number) {
    recorder *r = (recorder *)(void *)journal;
    kv_mutex_lock(&r->lock);
    bool waits = number > atomic_load(&journal->durable) && atomic_load(&journal->refusal) == NULL;
    int free = 0;
    while (waits && r->waiting[free] != NULL) free++;
    if (waits) {
        kv_session_retain(session);
        r->waiting[free] = session;
        r->wanted[free] = number;
    }
    kv_mutex_unlock(&r->lock);
    return waits;
}

static void forget(kv_journal *journal, kv_session *session) {
    recorder *r = (recorder *)(void *)journal;
    kv_mutex_lock(&r->lock);
    for (int i = 0; i < 8; i++) {
        if (r->waiting[i] != session) continue;
        r->waiting[i] = NULL;
        kv_session_release(session); /* its owner has a reference */
    }
    kv_mutex_unlock(&r->lock);
}

/* The disk has got as far as `number`; UINT64_MAX: it never will. */
static void disk_reaches(recorder *r, uint64_t number) {
    if (number == UINT64_MAX) atomic_store(&r->journal.refusal, "MISCONF the disk is gone");
    else atomic_store(&r->journal.durable, number);
    for (int i = 0; i < 8; i++) {
        kv_mutex_lock(&r->lock);
        kv_session *session = r->wanted[i] <= number ? r->waiting[i] : NULL;
        if (session != NULL) r->waiting[i] = NULL;
        kv_mutex_unlock(&r->lock);
        if (session == NULL) continue;
        kv_wake_now(session);
        kv_session_release(session);
    }
}

static bool wait_for(kv_journal *journal, uint64_t number, uint64_t deadline_ns) {
    recorder *r = (recorder *)(void *)journal;
    if (number == 0) {
        while (atomic_load(&journal->full)) usleep(100);
        return true;
    }
    while (number > atomic_load(&journal->durable)) {
        CHECK(number <= r->number);
        if (atomic_load(&journal->refusal) != NULL || kv_mono_ns() > deadline_ns) return false;
        usleep(100);
    }
    return true;
}

static recorder *recorder_start(kvcore_store *store) {
    recorder *r = calloc(1, sizeof *r);
    CHECK(r != NULL);
    r->db = -1;
    kv_mem_init(&r->mem);
    kv_buf_init(&r->bytes, &r->mem);
    kv_mutex_init(&r->lock, KV_RANK_ARENA, 0);
    r->journal = (kv_journal){.append = record, .lost = nothing_lost, .await = await, .forget = forget, .wait = wait_for};
    kv_engine_set_journal(kvcore_store_engine(store), &r->journal);
    return r;
}

static void recorder_end(recorder *r) {
    kv_buf_deinit(&r->bytes);
    free(r);
}

/* What was recorded since the last look, words divided by spaces, commands by "|". */
static const char *recorded(recorder *r, char out[CLIENT_TEXT]) {
    size_t n = 0;
    kv_buf_add_byte(&r->bytes, 0); /* for strtol */
    const char *at = (const char *)r->bytes.ptr, *end = at + r->bytes.len - 1;
    while (at < end) {
        CHECK(*at == '*');
        char *rest;
        for (long words = strtol(at + 1, &rest, 10); words > 0; words--) {
            CHECK(rest[0] == '\r' && rest[1] == '\n' && rest[2] == '$');
            long len = strtol(rest + 3, &rest, 10);
            CHECK(n + (size_t)len + 2 < CLIENT_TEXT);
            memcpy(out + n, rest + 2, (size_t)len);
            n += (size_t)len;
            out[n++] = words > 1 ? ' ' : '|';
            rest += 2 + len;
        }
        at = rest + 2;
    }
    out[n] = 0;
    kv_buf_clear(&r->bytes);
    return out;
}

#define LOGGED(r, wanted)                                                                     \
    do {                                                                                      \
        char text_[CLIENT_TEXT];                                                              \
        if (strcmp(recorded((r), text_), (wanted)) != 0) {                                    \
            fprintf(stderr, "%s:%d: wanted %s, got %s\n", __FILE__, __LINE__, wanted, text_); \
            exit(1);                                                                          \
        }                                                                                     \
    } while (0)

/* ---- the default ---- */

static void verbatim(void) {
    kvcore_store *store = store_open("");
    client c = client_open(store);
    RUN(&c, "+OK|", "SET before 1");
    recorder *r = recorder_start(store);
    RUN(&c, "+OK|", "sEt k v");
    LOGGED(r, "SELECT 0|sEt k v|");
    RUN(&c, "$1|v|", "GET k");
    RUN(&c, "$-1|", "SET k other NX");
    RUN(&c, ":0|", "DEL nothing");
    LOGGED(r, "");
    RUN(&c, ":2|", "DEL k before nothing");
    LOGGED(r, "DEL k before nothing|");
    RUN(&c, "+OK|", "SELECT 3");
    RUN(&c, ":2|", "RPUSH list a b");
    LOGGED(r, "SELECT 3|RPUSH list a b|");
    RUN(&c, "-WRONGTYPE Operation against a key holding the wrong kind of value|", "INCR list");
    LOGGED(r, "");
    kv_engine_set_journal(kvcore_store_engine(store), NULL);
    RUN(&c, "+OK|", "SET k v");
    LOGGED(r, "");
    client_close(&c);
    kvcore_close(store);
    recorder_end(r);
}

static void transaction(void) {
    kvcore_store *store = store_open("");
    client c = client_open(store);
    recorder *r = recorder_start(store);
    RUN(&c, "+OK|", "MULTI");
    RUN(&c, "+QUEUED|", "SET a 1");
    RUN(&c, "+QUEUED|", "GET a");
    RUN(&c, "+QUEUED|", "SELECT 2");
    RUN(&c, "+QUEUED|", "SET b 2");
    RUN(&c, "*4|+OK|$1|1|+OK|+OK|", "EXEC");
    LOGGED(r, "SELECT 0|MULTI|SET a 1|SELECT 2|SET b 2|EXEC|");
    RUN(&c, "+OK|", "MULTI");
    RUN(&c, "+QUEUED|", "SET c 1");
    RUN(&c, "*1|+OK|", "EXEC");
    LOGGED(r, "SET c 1|");
    RUN(&c, "+OK|", "MULTI");
    RUN(&c, "+QUEUED|", "GET c");
    RUN(&c, "*1|$1|1|", "EXEC");
    LOGGED(r, "");
    CHECK(r->groups == 2);
    client_close(&c);
    kvcore_close(store);
    recorder_end(r);
}

/* A key that is found expired goes first, also when a reader finds it. */
static void expired(void) {
    kvcore_store *store = store_open("enable-debug-command yes\n");
    client c = client_open(store);
    recorder *r = recorder_start(store);
    kvcore_clock_freeze(store, INT64_C(1700000000000000));
    RUN(&c, "+OK|", "DEBUG SET-ACTIVE-EXPIRE 0");
    RUN(&c, "+OK|", "MSET a 1 b 1 c 1");
    LOGGED(r, "SELECT 0|MSET a 1 b 1 c 1|");
    RUN(&c, ":1|", "PEXPIREAT a 1700000000001");
    RUN(&c, ":1|", "PEXPIREAT b 1700000000001");
    RUN(&c, ":1|", "PEXPIREAT c 1700000000001");
    LOGGED(r, "PEXPIREAT a 1700000000001|PEXPIREAT b 1700000000001|PEXPIREAT c 1700000000001|");
    kvcore_clock_freeze(store, INT64_C(1700000000002000));
    RUN(&c, "$-1|", "GET a");
    LOGGED(r, "UNLINK a|");
    RUN(&c, ":1|", "RPUSH b x");
    LOGGED(r, "MULTI|UNLINK b|RPUSH b x|EXEC|");
    RUN(&c, ":0|", "HDEL c f");
    LOGGED(r, "UNLINK c|");
    client_close(&c);
    kvcore_close(store);
    recorder_end(r);
}

/* What goes by itself: keys and fields whose time has come, keys that memory is short for, one deletion each. */
static void by_itself(void) {
    kvcore_store *store = store_open("");
    client c = client_open(store);
    recorder *r = recorder_start(store);
    kvcore_clock_freeze(store, INT64_C(1700000000000000));
    RUN(&c, ":3|", "HSET h f 1 g 2 i 3");
    RUN(&c, "*1|:1|", "HPEXPIREAT h 1700000000010 FIELDS 1 f");
    RUN(&c, "+OK|", "SET k v PX 20");
    LOGGED(r, "SELECT 0|HSET h f 1 g 2 i 3|HPEXPIREAT h 1700000000010 FIELDS 1 f|SET k v PXAT 1700000000020|");
    kvcore_clock_advance(store, 10000);
    LOGGED(r, "HDEL h f|");
    kvcore_clock_advance(store, 10000);
    LOGGED(r, "UNLINK k|");
    RUN(&c, "*2|:1|:1|", "HPEXPIRE h 5 FIELDS 2 g i");
    kvcore_clock_advance(store, 5000);
    LOGGED(r, "HPEXPIREAT h 1700000000025 FIELDS 2 g i|MULTI|HDEL h g|HDEL h i|EXEC|");
    RUN(&c, ":0|", "EXISTS h");
    RUN(&c, "+OK|", "SET victim v");
    RUN(&c, "+OK|", "CONFIG SET maxmemory 1 maxmemory-policy allkeys-random");
    RUN(&c, NULL, "SET other v");
    LOGGED(r, "SET victim v|UNLINK victim|");
    client_close(&c);
    kvcore_close(store);
    recorder_end(r);
}

/* Who was served is in the unit of who served them. */
static void handed_over(void) {
    kvcore_store *store = store_open("");
    client c = client_open(store), a = client_open(store), b = client_open(store);
    recorder *r = recorder_start(store);
    BLOCKS(&a, "BLMOVE from to LEFT RIGHT 0");
    BLOCKS(&b, "BLMPOP 0 2 to other RIGHT COUNT 5");
    RUN(&c, ":2|", "RPUSH from x y");
    SERVED(&a, "$1|x|");
    SERVED(&b, "*2|$2|to|*1|$1|x|");
    LOGGED(r, "SELECT 0|MULTI|RPUSH from x y|LMOVE from to LEFT RIGHT|RPOP to 1|EXEC|");
    CHECK(r->groups == 1);
    client_close(&a);
    client_close(&b);
    client_close(&c);
    kvcore_close(store);
    recorder_end(r);
}

/* Whichever allocation fails: what was done is in the log, or the journal knows that it is not; what was refused is in neither. */
static void without_memory(void) {
    kvcore_store *store = store_open("");
    if (kvcore_fail_allocation(store, -1, 0) < 0) { /* not in this build */
        kvcore_close(store);
        return;
    }
    recorder *r = recorder_start(store);
    char value[3000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    static const char *const forms[] = {"SET k%d %s",     "GETSET k%d %s",           "RPUSH l%d %s", "HSET h%d %s 1", "SADD s%d %s",
                                        "SPOP s%d 0%.0s", "HINCRBYFLOAT h%d f 1%.0s"};
    for (size_t form = 0; form < sizeof forms / sizeof *forms; form++) {
        for (int n = 1; n < 12; n++) {
            client c = client_open(store); /* its room for effects has yet to grow */
            uint64_t groups = r->groups, lost = r->lost;
            char text[CLIENT_TEXT];
            snprintf(text, sizeof text, forms[form], n, value);
            (void)kvcore_fail_allocation(store, n, 0);
            int outcome = client_send(&c, "%s", text);
            (void)kvcore_fail_allocation(store, -1, 0);
            bool refused = outcome != KVCORE_DONE || client_reply(&c)[0] == '-';
            uint64_t told = r->groups - groups + r->lost - lost;
            if (outcome == KVCORE_DONE) CHECK(refused ? told == 0 : told == 1 || form == 5);
            client_close(&c);
        }
    }
    CHECK(r->lost > 0 && r->groups > 0);
    CHECK(kvcore_check(store));
    kvcore_close(store);
    recorder_end(r);
}

/* ---- the disk ---- */

typedef struct disk {
    recorder *r;
    _Atomic bool done;
} disk;

/* Makes everything durable, a little later. */
static void *sync_slowly(void *arg) {
    disk *d = arg;
    usleep(20000);
    atomic_store(&d->done, true);
    atomic_store(&d->r->journal.durable, 1);
    return NULL;
}

static void gate(void) {
    kvcore_store *store = store_open("");
    client c = client_open(store), other = client_open(store);
    recorder *r = recorder_start(store);
    atomic_store(&r->journal.gate, true);
    disk d = {r, false};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, sync_slowly, &d) == 0);
    RUN(&c, "+OK|", "SET k v");
    CHECK(atomic_load(&d.done));
    CHECK(pthread_join(thread, NULL) == 0);
    RUN(&other, "$1|v|", "GET k");
    /* What is not durable is not shown to others, and not confirmed when it never will be. */
    atomic_store(&r->journal.refusal, "MISCONF the disk is gone");
    RUN(&c, "-MISCONF the disk is gone|", "SET k w");
    RUN(&c, "-MISCONF the disk is gone|", "PING");
    RUN(&other, "$1|v|", "GET k");
    RUN(&c, "+OK|", "MULTI");
    RUN(&c, "-MISCONF the disk is gone|", "SET k w");
    RUN(&c, "-EXECABORT Transaction discarded because of previous errors.|", "EXEC");
    LOGGED(r, "SELECT 0|SET k v|");
    client_close(&c);
    client_close(&other);
    kvcore_close(store);
    recorder_end(r);
}

/* ---- a connection ---- */

static int dial(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {.tv_sec = 5};
    int one = 1;
    CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    return fd;
}

static void say(int fd, const char *text) { CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text)); }

/* Exactly this comes next; "" for the end of the connection. */
static void hears(int fd, const char *wanted) {
    char got[256];
    size_t want = strlen(wanted), have = 0;
    for (ssize_t n = 1; have < want && n > 0; have += n > 0 ? (size_t)n : 0) n = read(fd, got + have, want - have);
    if (have == want && memcmp(got, wanted, want) == 0 && (want > 0 || read(fd, got, 1) == 0)) return;
    fprintf(stderr, "wanted %s, got %.*s\n", wanted, (int)have, got);
    exit(1);
}

static uint64_t appended(recorder *r) {
    kv_mutex_lock(&r->lock);
    uint64_t number = r->number;
    kv_mutex_unlock(&r->lock);
    return number;
}

static void has_appended(recorder *r, uint64_t number) {
    for (int i = 0; i < 5000 && appended(r) < number; i++) usleep(1000);
    CHECK(appended(r) == number);
}

static void hears_nothing(int fd) {
    char byte;
    usleep(20000); /* too short a pause only makes the test weaker */
    CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) < 0);
}

/* Replies stay in their order, behind one that has to wait; others go on. */
static void gated_connections(void) {
    kvcore_store *store = store_open("port 0\nbind 127.0.0.1\nprotected-mode no\n");
    char error[256] = "";
    if (kvcore_serve(store, 1, error, sizeof error) != 0) fprintf(stderr, "%s\n", error);
    int port = kvcore_port(store);
    CHECK(port > 0);
    recorder *r = recorder_start(store);
    atomic_store(&r->journal.gate, true);
    int a = dial(port), b = dial(port), late = dial(port);
    say(a, "PING\r\n");
    hears(a, "+PONG\r\n");
    say(a, "SET k v\r\nPING\r\n");
    hears_nothing(a);
    say(b, "GET other\r\nPING\r\n");
    hears(b, "$-1\r\n+PONG\r\n");
    disk_reaches(r, 1);
    hears(a, "+OK\r\n+PONG\r\n");
    /* What comes while one waits, waits for its own number. */
    say(a, "SET k 2\r\n");
    hears_nothing(a);
    say(a, "SET k 3\r\n");
    hears_nothing(a);
    has_appended(r, 3);
    disk_reaches(r, 2);
    hears(a, "+OK\r\n");
    hears_nothing(a);
    disk_reaches(r, 3);
    hears(a, "+OK\r\n");
    /* A client that goes while it waits; a served one; QUIT behind a reply that waits. */
    say(late, "SET x 1\r\n");
    has_appended(r, 4);
    close(late);
    disk_reaches(r, 4);
    say(b, "BLPOP list 0\r\n");
    hears_nothing(b);
    say(a, "RPUSH list item\r\nQUIT\r\n");
    hears_nothing(a);
    has_appended(r, 5);
    hears_nothing(b);
    disk_reaches(r, 5);
    hears(a, ":1\r\n+OK\r\n");
    hears(a, "");
    say(b, "PING\r\n");
    hears(b, "*2\r\n$4\r\nlist\r\n$4\r\nitem\r\n+PONG\r\n");
    close(a);
    /* Nothing is confirmed that will never be there. */
    int last = dial(port);
    say(last, "SET k 4\r\n");
    hears_nothing(last);
    disk_reaches(r, UINT64_MAX);
    hears(last, "");
    close(last);
    say(b, "SET k 5\r\n");
    hears(b, "-MISCONF the disk is gone\r\n");
    close(b);
    kvcore_close(store);
    recorder_end(r);
}

/* ---- the filter ---- */

enum { LINE = 1 << 20, CLIENTS = 8, WORDS = 4096 };

static size_t from_hex(const char *text, char *out) {
    size_t n = 0;
    if (strcmp(text, ".") == 0) return 0;
    for (unsigned byte; text[0] != 0 && sscanf(text, "%2x", &byte) == 1; text += 2) out[n++] = (char)byte;
    return n;
}

static void put_hex(const char *bytes, size_t len) {
    if (len == 0) putchar('.');
    for (size_t i = 0; i < len; i++) printf("%02x", (unsigned char)bytes[i]);
}

static void filter_line(kvcore_store *store, client *clients, char *line, char *room) {
    static const char *words[WORDS];
    static size_t lengths[WORDS];
    char *rest = NULL, *first = strtok_r(line, " \n", &rest);
    client *c = &clients[atoi(first) % CLIENTS];
    int count = 0, outcome;
    for (char *word = strtok_r(NULL, " \n", &rest); word != NULL && count < WORDS; word = strtok_r(NULL, " \n", &rest)) {
        if (word[0] == '+') {
            kvcore_clock_advance(store, atoll(word + 1) * 1000);
            putchar('.');
            return;
        }
        if (word[0] == '@') {
            kvcore_clock_freeze(store, atoll(word + 1) * 1000);
            putchar('.');
            return;
        }
        words[count] = word;
        if (word[0] != '*') {
            words[count] = room;
            lengths[count] = from_hex(word, room);
            room += lengths[count];
        }
        count++;
    }
    if (c->client == NULL) *c = client_open(store);
    if (count == 1 && words[0][0] == '*') outcome = kvcore_wait(c->client, 2000);
    else outcome = kvcore_run(c->client, count, words, lengths);
    size_t len;
    const char *reply = kvcore_reply(c->client, &len);
    if (outcome == KVCORE_BLOCKED) putchar('!');
    else put_hex(reply, len);
}

static int filter(void) {
    kvcore_store *store = store_open("enable-debug-command yes\nappendonly no\n");
    recorder *r = recorder_start(store);
    client clients[CLIENTS] = {{0}};
    char *line = malloc(LINE), *room = malloc(LINE);
    CHECK(line != NULL && room != NULL);
    while (fgets(line, LINE, stdin) != NULL) {
        uint64_t groups = r->groups;
        filter_line(store, clients, line, room);
        putchar(' ');
        kv_mutex_lock(&r->lock);
        put_hex((const char *)r->bytes.ptr, r->bytes.len);
        kv_buf_clear(&r->bytes);
        printf(" %llu\n", (unsigned long long)(r->groups - groups));
        kv_mutex_unlock(&r->lock);
        fflush(stdout);
    }
    for (int i = 0; i < CLIENTS; i++)
        if (clients[i].client != NULL) client_close(&clients[i]);
    kvcore_close(store);
    recorder_end(r);
    free(line);
    free(room);
    return 0;
}

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) return filter();
    verbatim();
    transaction();
    expired();
    by_itself();
    handed_over();
    without_memory();
    gate();
    gated_connections();
    return 0;
}
