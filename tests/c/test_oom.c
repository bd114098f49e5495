/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* Memory runs out at every single allocation of every command. The commands are those of the manual (tests/commands/examples.json), each step of each
 * example after the steps before it, in small and in large encodings; and scenes of several clients, where one's failure must not become another's.
 *
 * For allocation k = 1, 2, ... until the command needs no more: allocation k fails, once or from there on. Then
 *   - the reply is an error or a success, or the client hears that its reply was lost;
 *   - the store is sound, and after an error it holds what it held before, and no sequence number was given (test_oom_whole.c has the larger inputs);
 *   - the next command works: no lock was kept;
 *   - nothing has leaked (the address sanitizer looks at the end).
 *
 * OOM_PERCENT (5) of the steps are tried, all with 100; OOM_SEED chooses which; OOM_COMMAND names one command. */
#include <stdbool.h>

#include "client.h"
#include "engine/engine.h"

enum { STEPS_MAX = 64, WORDS_MAX = 48, ALLOCATIONS_MAX = 600 };

typedef struct step {
    const char *words[WORDS_MAX];
    size_t lengths[WORDS_MAX];
    int count;
} step;

typedef struct example {
    const char *command;
    step steps[STEPS_MAX];
    int count;
} example;

/* ---- the examples: as much JSON as that file has ---- */

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) fprintf(stderr, "%s: run this from the root of the repository\n", path);
    CHECK(file != NULL);
    CHECK(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    CHECK(size > 0 && fseek(file, 0, SEEK_SET) == 0);
    char *text = malloc((size_t)size + 1);
    CHECK(text != NULL && fread(text, 1, (size_t)size, file) == (size_t)size);
    text[size] = 0;
    fclose(file);
    return text;
}

/* The string at *at (behind its quote), unescaped in place; *at goes behind it. */
static char *take_string(char **at, size_t *len) {
    char *begin = *at, *from = *at, *to = *at;
    for (; *from != '"'; from++) {
        CHECK(*from != 0);
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        unsigned code = 0;
        switch (*++from) {
        case 'n': *to++ = '\n'; break;
        case 'r': *to++ = '\r'; break;
        case 't': *to++ = '\t'; break;
        case 'u':
            CHECK(sscanf(from + 1, "%4x", &code) == 1);
            *to++ = (char)code; /* bytes, not characters: the examples need no more */
            from += 4;
            break;
        default: *to++ = *from;
        }
    }
    *len = (size_t)(to - begin);
    *at = from + 1;
    *to = 0;
    return begin;
}

/* The next example; false at the end. */
static bool next_example(char **at, example *out) {
    char *found = strstr(*at, "{\"command\": \"");
    if (found == NULL) return false;
    size_t len;
    *at = found + strlen("{\"command\": \"");
    out->command = take_string(at, &len);
    out->count = 0;
    char *end = strstr(*at, "{\"command\": \"");
    for (char *words = strstr(*at, "\"words\": ["); words != NULL && (end == NULL || words < end); words = strstr(*at, "\"words\": [")) {
        *at = words + strlen("\"words\": [");
        step *s = &out->steps[out->count++];
        CHECK(out->count <= STEPS_MAX);
        for (s->count = 0; **at != ']'; ++*at) {
            if (**at != '"') continue;
            CHECK(s->count < WORDS_MAX);
            ++*at;
            s->words[s->count] = take_string(at, &s->lengths[s->count]);
            s->count++;
            --*at;
        }
        end = strstr(*at, "{\"command\": \"");
    }
    return true;
}

/* ---- one try ---- */

static const char *const encodings[] = {
    "",
    "hash-max-listpack-entries 0\nset-max-listpack-entries 0\nset-max-intset-entries 0\nzset-max-listpack-entries "
    "0\nlist-max-listpack-size 1\n",
};

static int run_step(client *c, const step *s) {
    int outcome = kvcore_run(c->client, s->count, s->words, s->lengths);
    if (outcome == KVCORE_BLOCKED && kvcore_cancel(c->client) == 0) outcome = KVCORE_DONE;
    return outcome;
}

static void digest(client *c, char out[64]) {
    RUN(c, NULL, "DEBUG DIGEST");
    snprintf(out, 64, "%.60s", c->reply);
}

static void show(const step *s, int k, bool forever, const char *reply) {
    fprintf(stderr, "allocation %d%s of", k, forever ? " and all after it" : "");
    for (int i = 0; i < s->count; i++) fprintf(stderr, " %s", s->words[i]);
    fprintf(stderr, ": %s\n", reply);
}

static bool is_excluded(const char *command) {
    static const char *const names[] = {"shutdown", "debug"}; /* not about data */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(command, names[i]) == 0) return true;
    return false;
}

/* Allocation k fails. False: the step needs fewer than k. */
static bool try_step(const example *e, int at, int k, bool forever, const char *config) {
    char all[600];
    snprintf(all, sizeof all, "enable-debug-command yes\n%s", config);
    kvcore_store *store = store_open(all);
    client c = client_open(store), judge = client_open(store);
    RUN(&judge, NULL, "DEBUG SET-ACTIVE-EXPIRE 0");
    for (int i = 0; i < at; i++) run_step(&c, &e->steps[i]);
    RUN(&judge, NULL, "CLIENT UNPAUSE");
    char before[64], after[64];
    digest(&judge, before);
    uint64_t sequence = client_writes(store);
    int64_t tried = kvcore_fail_allocation(store, k, forever);
    int outcome = run_step(&c, &e->steps[at]);
    tried = kvcore_fail_allocation(store, -1, 0) - tried;
    client_reply(&c);
    RUN(&judge, NULL, "CLIENT UNPAUSE");
    bool sound = kvcore_check(store) == 1;
    if (!sound) show(&e->steps[at], k, forever, "the store is not sound");
    CHECK(sound);
    if (outcome == KVCORE_DONE && c.reply[0] == '-' && strncmp(c.reply, "-UNBLOCKED", 10) != 0) {
        digest(&judge, after);
        bool changed = strcmp(before, after) != 0, announced = client_writes(store) > sequence && strncmp(c.reply, "-OOM", 4) == 0;
        if (changed || announced) show(&e->steps[at], k, forever, c.reply);
        CHECK(!changed && !announced);
    }
    RUN(&judge, "+OK|", "SET probe v");
    RUN(&judge, "$1|v|", "GET probe");
    RUN(&judge, NULL, "FLUSHALL");
    CHECK(kvcore_check(store));
    client_close(&c);
    client_close(&judge);
    kvcore_close(store);
    return tried >= k;
}

static bool chosen(uint64_t n, uint64_t seed, unsigned percent) {
    n = (n + seed * 1000003) * 0x9E3779B97F4A7C15u;
    return (n >> 40) % 100 < percent;
}

static void sweep_examples(unsigned percent, uint64_t seed, const char *only) {
    char *text = read_file("tests/commands/examples.json"), *at = text;
    static example e;
    uint64_t number = 0;
    while (next_example(&at, &e)) {
        if (is_excluded(e.command) || (only != NULL && strcmp(only, e.command) != 0)) continue;
        for (int i = 0; i < e.count; i++)
            for (size_t encoding = 0; encoding < sizeof encodings / sizeof *encodings; encoding++) {
                if (!chosen(++number, seed, percent)) continue;
                for (int forever = 0; forever < 2; forever++)
                    for (int k = 1; k <= ALLOCATIONS_MAX && try_step(&e, i, k, forever != 0, encodings[encoding]); k++) continue;
            }
    }
    free(text);
}

/* ---- scenes of several clients ---- */

typedef struct scene {
    const char *name, *config;
    const char *setup[8];                                /* "1 BLPOP k 0": client 1 */
    const char *last;                                    /* here allocations fail */
    void (*judge)(client clients[3], const char *reply); /* reply "": lost */
} scene;

/* An element that is there while somebody waits for it means a lost wake-up; one that is neither there nor handed over is lost itself. */
static void judge_block(client clients[3], const char *reply) {
    int waits = kvcore_wait(clients[1].client, 0);
    char served[CLIENT_TEXT];
    snprintf(served, sizeof served, "%s", waits == KVCORE_DONE ? client_reply(&clients[1]) : "");
    RUN(&clients[2], NULL, "LLEN k");
    int left = atoi(clients[2].reply + 1);
    CHECK(!(left > 0 && waits == KVCORE_BLOCKED));
    if (reply[0] == ':' && waits == KVCORE_DONE && served[0] == '*') CHECK(left == 0);
    if (reply[0] == '-') CHECK(left == 0 && waits == KVCORE_BLOCKED);
    if (waits == KVCORE_BLOCKED) kvcore_cancel(clients[1].client);
}

/* Whole messages or none. */
static void judge_mail(client clients[3], const char *reply) {
    (void)reply;
    const char *mail = client_mail(&clients[1]);
    CHECK(mail[0] == 0 || mail[strlen(mail) - 1] == '|');
    if (mail[0] != 0)
        CHECK(strcmp(mail, "*3|$7|message|$1|c|$4|text|") == 0 || strncmp(mail, "*4|$8|pmessage|", 14) == 0 ||
              strchr("+$", mail[0]) != NULL);
}

static void judge_nothing(client clients[3], const char *reply) { (void)clients, (void)reply; }

/* A list of five nodes, those in the middle compressed: what a command says is true, or it is an error and all is as before. */
#define SIXTY(c) c c c c c c c c c c c c
#define PACKED "list-compress-depth 1\nlist-max-listpack-size 1\n"
#define FIVE {"0 RPUSH k " SIXTY("aaaaa") " " SIXTY("bbbbb") " " SIXTY("ccccc"), "0 RPUSH k " SIXTY("ddddd") " " SIXTY("eeeee")}
#define ITEM(c) "|$60|" SIXTY(c)

static void judge_read(client clients[3], const char *reply) {
    CHECK(reply[0] == 0 || reply[0] == '-' || strcmp(reply, "*3" ITEM("bbbbb") ITEM("ccccc") ITEM("ddddd") "|") == 0 ||
          strcmp(reply, "$60|" SIXTY("ccccc") "|") == 0 || strcmp(reply, ":2|") == 0);
    RUN(&clients[2], "*5" ITEM("aaaaa") ITEM("bbbbb") ITEM("ccccc") ITEM("ddddd") ITEM("eeeee") "|", "LRANGE k 0 -1");
}

static void judge_write(client clients[3], const char *reply) {
    RUN(&clients[2], NULL, "LRANGE k 0 -1");
    const char *now = clients[2].reply, *before = "*5" ITEM("aaaaa") ITEM("bbbbb") ITEM("ccccc") ITEM("ddddd") ITEM("eeeee") "|";
    bool done = strcmp(now, before) != 0;
    CHECK(strstr(now, SIXTY("bbbbb")) != NULL && strstr(now, SIXTY("ddddd")) != NULL);
    if (reply[0] != 0) CHECK(done == (reply[0] != '-'));
    if (done) CHECK(strncmp(now, "*4", 2) == 0 || strstr(now, "|$3|new|") != NULL);
}

static const scene scenes[] = {
    {"a range of compressed nodes", PACKED, FIVE, "0 LRANGE k 1 3", judge_read},
    {"a compressed element", PACKED, FIVE, "0 LINDEX k 2", judge_read},
    {"a search in compressed nodes", PACKED, FIVE, "0 LPOS k " SIXTY("ccccc"), judge_read},
    {"a compressed node is changed", PACKED, FIVE, "0 LSET k 2 new", judge_write},
    {"a compressed node is split", PACKED, FIVE, "0 LINSERT k AFTER " SIXTY("ccccc") " new", judge_write},
    {"a compressed node goes", PACKED, FIVE, "0 LREM k 1 " SIXTY("ccccc"), judge_write},
    {"an end goes", PACKED, FIVE, "0 LPOP k", judge_write},
    {"a blocked pop is served", "", {"1 BLPOP k 0"}, "0 RPUSH k x", judge_block},
    {"a client blocks", "", {NULL}, "1 BLPOP k j l m 0", judge_nothing},
    {"a blocked move is served", "", {"1 BLMOVE k other LEFT RIGHT 0"}, "0 RPUSH k x", judge_block},
    {"a chain", "", {"1 BLMOVE k other LEFT RIGHT 0", "2 BLPOP other 0"}, "0 RPUSH k x", judge_nothing},
    {"a message", "", {"1 SUBSCRIBE c"}, "0 PUBLISH c text", judge_mail},
    {"a message by pattern", "", {"1 PSUBSCRIBE c*", "2 PSUBSCRIBE *"}, "0 PUBLISH c text", judge_mail},
    {"a notification", "notify-keyspace-events KEA\n", {"1 PSUBSCRIBE *"}, "0 SET k v", judge_nothing},
    {"a monitor", "", {"1 MONITOR"}, "0 SET k v", judge_mail},
    {"an invalidation", "", {"1 HELLO 3", "1 CLIENT TRACKING on", "0 SET k v", "1 GET k"}, "0 SET k w", judge_nothing},
    {"a key is tracked", "", {"1 CLIENT TRACKING on", "0 MSET k v j v"}, "1 MGET k j", judge_nothing},
    {"prefixes", "", {NULL}, "1 CLIENT TRACKING on BCAST PREFIX a PREFIX b", judge_nothing},
    {"subscriptions", "", {"1 SUBSCRIBE a"}, "1 SUBSCRIBE b c d e f g", judge_nothing},
    {"a queue", "", {"0 MULTI", "0 SET a 1", "0 SET b 2"}, "0 EXEC", judge_nothing},
    {"watches", "", {"0 WATCH z"}, "0 WATCH a b c d", judge_nothing},
    {"eviction",
     "maxmemory 1mb\nmaxmemory-policy allkeys-lru\nnotify-keyspace-events Ee\n",
     {"1 SUBSCRIBE __keyevent@0__:evicted", "0 SET a v", "0 SET b v"},
     "0 SET c v",
     judge_nothing},
    {"a logged command", "commandlog-execution-slower-than 0\nlatency-tracking yes\n", {NULL}, "0 SET k v", judge_nothing},
    {"a database is swapped in", "", {"1 BLPOP k 0", "0 SELECT 1", "0 RPUSH k x"}, "0 SWAPDB 0 1", judge_nothing},
    {"a name", "", {NULL}, "0 CLIENT SETNAME somebody", judge_nothing},
    {"a setting", "", {NULL}, "0 CONFIG SET save 60 maxmemory 100mb", judge_nothing},
};

static bool try_scene(const scene *s, int k, bool forever) {
    char all[300];
    snprintf(all, sizeof all, "enable-debug-command yes\n%s", s->config);
    kvcore_store *store = store_open(all);
    client clients[3];
    for (int i = 0; i < 3; i++) clients[i] = client_open(store);
    for (size_t i = 0; i < sizeof s->setup / sizeof *s->setup && s->setup[i] != NULL; i++)
        client_send(&clients[s->setup[i][0] - '0'], "%s", s->setup[i] + 2);
    client_mail(&clients[1]);
    client *actor = &clients[s->last[0] - '0'];
    int64_t tried = kvcore_fail_allocation(store, k, forever);
    int outcome = client_send(actor, "%s", s->last + 2);
    tried = kvcore_fail_allocation(store, -1, 0) - tried;
    bool sound = kvcore_check(store) == 1;
    if (!sound) fprintf(stderr, "%s, allocation %d: not sound\n", s->name, k);
    CHECK(sound);
    char reply[CLIENT_TEXT];
    snprintf(reply, sizeof reply, "%s", client_reply(actor));
    if (outcome == KVCORE_BLOCKED) kvcore_cancel(actor->client);
    else s->judge(clients, outcome == KVCORE_DONE ? reply : "");
    RUN(&clients[0], NULL, "FLUSHALL");
    CHECK(kvcore_check(store));
    for (int i = 0; i < 3; i++) client_close(&clients[i]);
    kvcore_close(store);
    return tried >= k;
}

static void sweep_scenes(void) {
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        for (int forever = 0; forever < 2; forever++)
            for (int k = 1; k <= ALLOCATIONS_MAX && try_scene(&scenes[i], k, forever != 0); k++) continue;
}

/* ---- what is no command ---- */

static void sweep_expiry(void) {
    for (int forever = 0; forever < 2; forever++)
        for (int k = 1; k < 60; k++) {
            kvcore_store *store = store_open("notify-keyspace-events KEA\n");
            client a = client_open(store), b = client_open(store);
            kvcore_clock_freeze(store, 1000000000000000);
            RUN(&b, NULL, "PSUBSCRIBE *");
            for (int i = 0; i < 20; i++) RUN(&a, "+OK|", "SET k%d v PX %d", i, 10 + i);
            RUN(&a, NULL, "HSET h f v g w");
            RUN(&a, NULL, "HPEXPIRE h 5 FIELDS 1 f");
            kvcore_fail_allocation(store, k, forever);
            kvcore_clock_advance(store, 1000000);
            kvcore_fail_allocation(store, -1, 0);
            CHECK(kvcore_key_count(store, 0) == 1);
            RUN(&a, ":1|", "HLEN h");
            CHECK(kvcore_check(store));
            client_close(&a), client_close(&b);
            kvcore_close(store);
        }
}

static void sweep_clients(void) {
    kvcore_store *store = store_open("bind 127.0.0.1\nio-threads 2\n");
    for (int forever = 0; forever < 2; forever++)
        for (int k = 1; k < 12; k++) {
            char error[200];
            kvcore_fail_allocation(store, k, forever);
            kvcore_client *c = kvcore_connect(store, 2);
            if (c != NULL) (void)kvcore_mail_fd(c);
            int served = kvcore_serve(store, 1, error, sizeof error);
            kvcore_fail_allocation(store, -1, 0);
            if (served == 0) kvcore_stop_serving(store);
            kvcore_disconnect(c);
        }
    kvcore_close(store);
}

int main(void) {
    const char *percent = getenv("OOM_PERCENT"), *seed = getenv("OOM_SEED");
    sweep_scenes();
    sweep_expiry();
    sweep_clients();
    sweep_examples(percent == NULL ? 5 : (unsigned)atoi(percent), seed == NULL ? 1 : strtoull(seed, NULL, 10), getenv("OOM_COMMAND"));
    printf("ok oom\n");
    return 0;
}
