/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* A fuzzer of the commands: every command of the table with words that are sometimes right, on few keys of every type, through sessions of both protocols.
 * Whatever is asked, exactly one well-formed reply comes (subscriptions: one for each channel), nothing stays locked, and the store is sound.
 *
 * FUZZ_SECONDS (default 3) says how long, FUZZ_SEED where to begin; the seed of a failing round is printed. */
#include <time.h>

#include "client.h"
#include "api/command_table.h"
#include "base/rng.h"
#include "engine/session.h"

enum { CLIENTS = 4, ROUND = 400, WORDS = 24 };

/* ---- a reply is one value ---- */

static bool is_number(const char *at, const char *end, long long *out) {
    bool negative = at < end && *at == '-';
    at += negative;
    unsigned long long n = 0;
    if (at == end || end - at > 19) return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') return false;
        n = n * 10 + (unsigned)(*at - '0');
    }
    *out = (long long)(negative ? 0 - n : n);
    return true;
}

/* The end of the value at `at`, NULL when it is not well-formed. */
static const char *value_end(const char *at, const char *end, int protocol, int depth) {
    const char *line = memchr(at, '\r', (size_t)(end - at));
    if (depth > 32 || line == NULL || line + 1 >= end || line[1] != '\n' || memchr(at, '\n', (size_t)(line - at)) != NULL) return NULL;
    const char *body = line + 2;
    long long n = 0;
    switch (*at) {
    case '+':
    case '-': return memchr(at, 0, (size_t)(line - at)) == NULL ? body : NULL;
    case ':': return is_number(at + 1, line, &n) ? body : NULL;
    case '_': return protocol == 3 && line == at + 1 ? body : NULL;
    case '#': return protocol == 3 && line == at + 2 && (at[1] == 't' || at[1] == 'f') ? body : NULL;
    case ',':
    case '(': return protocol == 3 && line > at + 1 ? body : NULL;
    case '$':
    case '=':
    case '!':
        if (!is_number(at + 1, line, &n) || (*at != '$' && protocol == 2)) return NULL;
        if (n == -1) return protocol == 2 ? body : NULL;
        if (n < 0 || end - body < n + 2 || memcmp(body + n, "\r\n", 2) != 0) return NULL;
        return body + n + 2;
    case '*':
    case '%':
    case '~':
    case '>':
        if (!is_number(at + 1, line, &n) || (*at != '*' && protocol == 2)) return NULL;
        if (n == -1) return protocol == 2 && *at == '*' ? body : NULL;
        if (n < 0) return NULL;
        for (long long i = *at == '%' ? 2 * n : n; i > 0 && body != NULL; i--)
            body = body < end ? value_end(body, end, protocol, depth + 1) : NULL;
        return body;
    default: return NULL;
    }
}

/* The number of values, -1: not well-formed. */
static int values_in(const char *bytes, size_t len, int protocol) {
    int count = 0;
    for (const char *at = bytes, *end = bytes + len; at < end; count++) {
        at = value_end(at, end, protocol, 0);
        if (at == NULL) return -1;
    }
    return count;
}

/* ---- words ---- */

static const char *const words[] = {
    "k1",
    "k2",
    "l1",
    "l2",
    "s1",
    "s2",
    "h1",
    "h2",
    "z1",
    "z2",
    "nokey",
    "0",
    "1",
    "2",
    "3",
    "10",
    "-1",
    "-2",
    "1.5",
    "inf",
    "-inf",
    "nan",
    "+inf",
    "(1",
    "[a",
    "-",
    "+",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551616",
    "4294967296",
    "2147483648",
    "536870912",
    "1e400",
    "0x10",
    "",
    " ",
    "a",
    "b",
    "c",
    "*",
    "k*",
    "[",
    "a\r\nb",
    "\n",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "NX",
    "XX",
    "GT",
    "LT",
    "CH",
    "INCR",
    "KEEPTTL",
    "GET",
    "PERSIST",
    "LEFT",
    "RIGHT",
    "BEFORE",
    "AFTER",
    "COUNT",
    "MATCH",
    "TYPE",
    "LIMIT",
    "WITHSCORES",
    "WITHSCORE",
    "WEIGHTS",
    "AGGREGATE",
    "SUM",
    "MIN",
    "MAX",
    "BYSCORE",
    "BYLEX",
    "REV",
    "FIELDS",
    "FNX",
    "FXX",
    "REPLACE",
    "DB",
    "BY",
    "ALPHA",
    "DESC",
    "STORE",
    "#",
    "nosort",
    "ASYNC",
    "SYNC",
    "LEN",
    "IDX",
    "WITHMATCHLEN",
    "MINMATCHLEN",
    "RANK",
    "MAXLEN",
    "WITHVALUES",
    "NOVALUES",
    "on",
    "off",
    "yes",
    "no",
    "ID",
    "string",
    "list",
    "set",
    "zset",
    "hash",
    "maxmemory-policy",
    "allkeys-lru",
    "list-max-listpack-size",
    "hz",
    "NOLOOP",
    "BCAST",
    "PREFIX",
    "OPTIN",
    "REDIRECT",
    "IFEQ",
    "0.001",
    "set-max-intset-entries",
    "hash-max-listpack-entries",
};

static bool is_left_out(const char *name) {
    /* They wait, end the process, or stop the others. */
    static const char *const names[] = {"shutdown", "debug", "client|pause",   "client|reply", "client|kill",
                                        "monitor",  "quit",  "config|rewrite", "save",         "bgsave"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

/* These reply once for each channel; so does EXEC, for those that were queued. */
static bool may_reply_often(const char *name) { return strstr(name, "subscribe") != NULL || strcmp(name, "exec") == 0; }

static char bytes[WORDS][600];

static size_t put_word(char *out, kv_rng *rng) {
    size_t len;
    const char *word = words[kv_rng_below(rng, sizeof words / sizeof *words)];
    switch (kv_rng_below(rng, 12)) {
    case 0: /* anything */
        len = kv_rng_below(rng, 70);
        for (size_t i = 0; i < len; i++) out[i] = (char)kv_rng_next(rng);
        return len;
    case 1: /* long */
        len = kv_rng_below(rng, 600);
        memset(out, 'v', len);
        return len;
    case 2: return (size_t)snprintf(out, 600, "%lld", (long long)(kv_rng_next(rng) >> kv_rng_below(rng, 64)));
    default:
        len = strlen(word);
        memcpy(out, word, len);
        return len;
    }
}

/* ---- a round ---- */

typedef struct fuzz {
    kvcore_store *store;
    kvcore_client *clients[CLIENTS];
    kv_rng rng;
    uint64_t seed;
} fuzz;

static int protocol_of(int who) { return who % 2 == 0 ? 2 : 3; }

static void fail(const fuzz *f, int who, const kv_command *command, int argc, const size_t *lengths, const char *reply, size_t len) {
    fprintf(stderr, "FUZZ_SEED=%llu, RESP%d: not one well-formed reply to %s", (unsigned long long)f->seed, protocol_of(who),
            command->full_name);
    for (int i = 1; i < argc; i++) {
        fprintf(stderr, " '");
        fwrite(bytes[i], 1, lengths[i] > 60 ? 60 : lengths[i], stderr);
        fprintf(stderr, "'");
    }
    fprintf(stderr, "\n");
    fwrite(reply, 1, len > 400 ? 400 : len, stderr);
    exit(1);
}

static void one_call(fuzz *f) {
    const kv_command *command = &kv_commands.commands[kv_rng_below(&f->rng, kv_commands.count)];
    if (command->handler == NULL || is_left_out(command->full_name) || strncmp(command->full_name, "debug", 5) == 0) return;
    int who = (int)kv_rng_below(&f->rng, CLIENTS), argc = 0;
    const char *argv[WORDS];
    size_t lengths[WORDS];
    const char *bar = strchr(command->full_name, '|');
    size_t head = bar == NULL ? strlen(command->full_name) : (size_t)(bar - command->full_name);
    memcpy(bytes[argc], command->full_name, head);
    lengths[argc++] = head;
    if (bar != NULL) {
        lengths[argc] = strlen(bar + 1);
        memcpy(bytes[argc++], bar + 1, strlen(bar + 1));
    }
    int least = command->arity < 0 ? -command->arity : command->arity, wanted = least;
    if (command->arity < 0) wanted += (int)kv_rng_below(&f->rng, 8);
    if (kv_rng_below(&f->rng, 20) == 0) wanted += (int)kv_rng_below(&f->rng, 3) - 1;
    for (; argc < wanted && argc < WORDS; argc++) lengths[argc] = put_word(bytes[argc], &f->rng);
    for (int i = 0; i < argc; i++) argv[i] = bytes[i];
    int outcome = kvcore_run(f->clients[who], argc, argv, lengths);
    if (outcome == KVCORE_BLOCKED && kvcore_cancel(f->clients[who]) == 1) return;
    CHECK(outcome == KVCORE_DONE || outcome == KVCORE_BLOCKED);
    size_t len;
    const char *reply = kvcore_reply(f->clients[who], &len);
    int protocol = kvcore_client_session(f->clients[who])->resp, count = values_in(reply, len, protocol);
    if (strcmp(command->full_name, "hello") == 0) return; /* it may change the protocol with its reply */
    if (may_reply_often(command->full_name) ? count < 1 : count != 1) fail(f, who, command, argc, lengths, reply, len);
    const char *mail = kvcore_mail(f->clients[who], &len);
    if (values_in(mail, len, protocol) < 0 && values_in(mail, len, 5 - protocol) < 0) fail(f, who, command, argc, lengths, mail, len);
}

static void fill(fuzz *f) {
    static const char *const lines[] = {"SET k1 10",     "SET k2 text",     "RPUSH l1 a b c 1 2", "RPUSH l2 x",          "SADD s1 1 2 3",
                                        "SADD s2 a b c", "HSET h1 a 1 b x", "HSET h2 f v",        "ZADD z1 1 a 2 b 3 c", "ZADD z2 0 x 0 y"};
    client c = {.client = f->clients[0]};
    RUN(&c, NULL, "RESET");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) client_send(&c, "%s", lines[i]);
}

static void round_of(uint64_t seed) {
    fuzz f = {.store = store_open(""), .seed = seed};
    kv_rng_seed(&f.rng, seed);
    for (int i = 0; i < CLIENTS; i++) f.clients[i] = kvcore_connect(f.store, protocol_of(i) == 2 ? 0 : 1);
    for (int i = 0; i < ROUND; i++) {
        if (i % 60 == 0) fill(&f);
        one_call(&f);
        if (i % 40 == 0 && kvcore_check(f.store) != 1) {
            fprintf(stderr, "FUZZ_SEED=%llu: the store is not sound\n", (unsigned long long)seed);
            exit(1);
        }
    }
    CHECK(kvcore_check(f.store) == 1);
    for (int i = 0; i < CLIENTS; i++) kvcore_disconnect(f.clients[i]);
    kvcore_close(f.store);
}

int main(void) {
    const char *seconds = getenv("FUZZ_SECONDS"), *from = getenv("FUZZ_SEED");
    time_t end = time(NULL) + (seconds != NULL ? atoi(seconds) : 3);
    uint64_t seed = from != NULL ? strtoull(from, NULL, 10) : 1, first = seed;
    do round_of(seed++);
    while (time(NULL) < end);
    printf("ok commands: %llu calls\n", (unsigned long long)(seed - first) * ROUND);
    return 0;
}
