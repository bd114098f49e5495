/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* A command that changes several things does all of it or nothing, when memory runs out at any of its allocations (docs/design/all-or-nothing.md).
 *
 * Each scene is set up and run once for reference, and then with allocation k = 1, 2, ... failing, once or from there on, until k is more than the
 * command needs. Then
 *   - after "OOM" the data, their expiries and the sequence number are what they were, nobody was told of anything, and a transaction that
 *     watches the keys goes through;
 *   - after any other reply the data are those of the reference; when the reply itself was lost, they may also be those of before;
 *   - the store is sound.
 *
 * A scene's commands are words with one extension: {5+3:f# v#} stands for f3 v3 f4 v4 ... f7 v7, and @100 for a text of 100 letters. */
#include <stdbool.h>

#include "client.h"
#include "engine/tally.h"

enum { WORDS_MAX = 2048, TEXT_MAX = 1 << 17, SETUP_MAX = 6, TRIES_MAX = 4000 };

typedef struct scene {
    const char *name, *config, *setup[SETUP_MAX], *command;
    const char *probe; /* shows what DEBUG DIGEST does not: times */
    bool chance;       /* the result is random, or a matter of when it is looked at */
    bool partial;      /* memory may run out half-way: see the page named above */
} scene;

#define SMALL "hash-max-listpack-entries 128\nset-max-listpack-entries 128\nzset-max-listpack-entries 128\n"
#define BIG                                                                                                            \
    "hash-max-listpack-entries 0\nset-max-listpack-entries 0\nset-max-intset-entries 0\nzset-max-listpack-entries 0\n" \
    "list-max-listpack-size 4\n"
#define EDGE                                                                                                        \
    "hash-max-listpack-entries 8\nset-max-listpack-entries 8\nset-max-intset-entries 6\nzset-max-listpack-entries " \
    "8\nlist-max-listpack-size 8\n"

static const scene scenes[] = {
    {"new keys", "", {0}, "MSET a 1 b two c @40 d @200", 0, 0, 0},
    {"keys that are there", "", {"MSET a 1 b two c @40 d @200"}, "MSET a 2 b six c @41 d @201", 0, 0, 0},
    {"other layouts", "", {"MSET a 1 b two c @40 d @200"}, "MSET a @200 b 1 c @100 d x", 0, 0, 0},
    {"the same key again", "", {"SET b 1"}, "MSET a 1 a @50 a 2 a @200 a @201 b 2 b @60 b @61 b @62 b 7", 0, 0, 0},
    {"more pairs than fit the stack", "", {"MSET {20+0:k# v#}"}, "MSET {60+0:k# @33}", 0, 0, 0},
    {"a table that grows", "shards 1\n", {"MSET {50+0:k# v#}"}, "MSET {200+40:k# v#}", 0, 0, 0},
    {"containers replaced", "", {"RPUSH a 1 2 3", "HSET b f v", "SADD c 1 2", "ZADD d 1 m"}, "MSET a 1 b 2 c @30 d @300", 0, 0, 0},
    {"expiries that go",
     "",
     {"SET a 1 PXAT 9000000000000", "SET b @40 PXAT 9000000000000", "SET c @200 PXAT 9000000000000"},
     "MSET a 2 b 3 c 4",
     "PEXPIRETIME a",
     0,
     0},
    {"only new keys", "", {"SET z 1"}, "MSETNX {20+0:k# @20}", 0, 0, 0},
    {"with an expiry",
     "",
     {"SET a 1", "SET b @40 PXAT 9000000000000"},
     "MSETEX 4 a 2 b @40 c 3 d @200 PXAT 9000000000000",
     "PEXPIRETIME b",
     0,
     0},
    {"many with an expiry", "shards 1\n", {"MSET {5+0:k# v#}"}, "MSETEX 40 {40+0:k# v#} PXAT 9000000000000", "PEXPIRETIME k1", 0, 0},
    {"the same key with an expiry", "", {"SET a 1"}, "MSETEX 4 a 2 a @50 b 1 b @60 PXAT 9000000000000", "PEXPIRETIME a", 0, 0},
    {"expiries kept", "", {"SET a 1", "SET b @40 PXAT 9000000000000"}, "MSETEX 4 a 2 b @41 b 7 c @200 KEEPTTL", "PEXPIRETIME b", 0, 0},
    {"a time that has passed", "", {"SET a 1", "SET b @40 PXAT 9000000000000"}, "MSETEX 5 a 2 b @40 c 3 d @200 a @90 EXAT 1", 0, true, 0},

    {"a new hash", SMALL, {0}, "HSET h {30+0:f# v#}", 0, 0, 0},
    {"new fields", SMALL, {"HSET h x y"}, "HSET h {10+0:f# v#} f3 again", 0, 0, 0},
    {"fields that are there", SMALL, {"HSET h {10+0:f# v#}"}, "HSET h {10+0:f# w#}", 0, 0, 0},
    {"longer values", SMALL, {"HSET h {10+0:f# v#}"}, "HSET h f9 @30 f2 1 f5 @40 new 1 f2 @20 new 2", 0, 0, 0},
    {"many fields", SMALL, {"HSET h {20+0:f# v#}"}, "HSET h {30+10:f# longer#} f0 @60", 0, 0, 0},
    {"too many fields", EDGE, {"HSET h {6+0:f# v#}"}, "HSET h {6+3:f# w#}", 0, 0, 0},
    {"a long value", SMALL, {"HSET h {6+0:f# v#}"}, "HSET h f1 w f2 @100 g v", 0, 0, 0},
    {"a table of fields", BIG, {"HSET h {10+0:f# v#}"}, "HSET h {10+5:f# w#} f1 @50 f1 @51 f2 @50 g @600 g 1", 0, 0, 0},
    {"a table of fields that grows", BIG, {"HSET h {60+0:f# v#}"}, "HSET h {80+40:f# longer#}", 0, 0, 0},
    {"fields with times",
     BIG,
     {"HSET h {10+0:f# v#}", "HPEXPIREAT h 9000000000000 FIELDS 6 {6+0:f#}"},
     "HSET h {8+2:f# longer#} f3 x f4 v4",
     "HPEXPIRETIME h FIELDS 10 {10+0:f#}",
     0,
     0},
    {"fields set with times",
     "",
     {"HSET h {6+0:f# v#}", "HPEXPIREAT h 9000000000000 FIELDS 2 f1 f2"},
     "HSETEX h PXAT 9000000001000 FIELDS 6 f0 w f1 @50 f2 v2 g 1 f1 x g @70",
     "HPEXPIRETIME h FIELDS 7 {6+0:f#} g",
     0,
     0},
    {"fields set, times kept",
     "",
     {"HSET h {6+0:f# v#}", "HPEXPIREAT h 9000000000000 FIELDS 2 f1 f2"},
     "HSETEX h KEEPTTL FIELDS 4 f0 w f1 @50 f2 v2 g 1",
     "HPEXPIRETIME h FIELDS 7 {6+0:f#} g",
     0,
     0},
    {"a new hash with times", "", {0}, "HSETEX h PXAT 9000000001000 FIELDS 3 a 1 b 2 c 3", "HPEXPIRETIME h FIELDS 3 a b c", 0, 0},
    {"a time for fields",
     "",
     {"HSET h {8+0:f# v#}"},
     "HPEXPIREAT h 9000000000000 FIELDS 6 f1 f2 f3 nope f4 f5",
     "HPEXPIRETIME h FIELDS 8 {8+0:f#}",
     0,
     0},
    {"another time for fields",
     "",
     {"HSET h {20+0:f# v#}", "HPEXPIREAT h 9000000000000 FIELDS 3 f1 f2 f3"},
     "HPEXPIREAT h 9000000000500 FIELDS 18 {18+2:f#}",
     "HPEXPIRETIME h FIELDS 20 {20+0:f#}",
     0,
     0},
    {"fields expire at once", SMALL, {"HSET h {8+0:f# @50}"}, "HPEXPIREAT h 1 FIELDS 4 f1 f2 f3 f4", 0, 0, 0},
    {"fields without times",
     "",
     {"HSET h {8+0:f# v#}", "HPEXPIREAT h 9000000000000 FIELDS 5 {5+0:f#}"},
     "HPERSIST h FIELDS 6 {6+0:f#}",
     "HPEXPIRETIME h FIELDS 8 {8+0:f#}",
     0,
     0},
    {"fields read and timed",
     "",
     {"HSET h {8+0:f# v#}"},
     "HGETEX h PXAT 9000000000000 FIELDS 5 {5+0:f#}",
     "HPEXPIRETIME h FIELDS 8 {8+0:f#}",
     0,
     0},
    {"fields read, times gone",
     "",
     {"HSET h {8+0:f# v#}", "HPEXPIREAT h 9000000000000 FIELDS 5 {5+0:f#}"},
     "HGETEX h PERSIST FIELDS 6 {6+0:f#}",
     "HPEXPIRETIME h FIELDS 8 {8+0:f#}",
     0,
     0},
    {"fields deleted", SMALL, {"HSET h {20+0:f# @50}"}, "HDEL h {15+3:f#}", 0, 0, 0},
    {"fields deleted from a table", BIG, {"HSET h {20+0:f# @50}"}, "HDEL h {15+3:f#}", 0, 0, 0},
    {"fields taken", SMALL, {"HSET h {20+0:f# @50}"}, "HGETDEL h FIELDS 15 {15+3:f#}", 0, 0, 0},
    {"a count", SMALL, {"HSET h {20+0:f# 9}"}, "HINCRBY h f3 1000000", 0, 0, 0},

    {"a new sorted set", SMALL, {0}, "ZADD z {20+0:# m#}", 0, 0, 0},
    {"new members", SMALL, {"ZADD z 5 x"}, "ZADD z {10+0:# m#}", 0, 0, 0},
    {"members that move", SMALL, {"ZADD z {10+0:# m#}"}, "ZADD z {10+100:-# m#} {5+0:-# m#} 7 m1 50 m2 -3.25 m3", 0, 0, 0},
    {"too many members", EDGE, {"ZADD z {6+0:# m#}"}, "ZADD z {6+3:-# m#}", 0, 0, 0},
    {"a long member", SMALL, {"ZADD z {6+0:# m#}"}, "ZADD z 9 m1 2.5 @100 7 n", 0, 0, 0},
    {"a skiplist", BIG, {"ZADD z {10+0:# m#}"}, "ZADD z {10+5:-# m#} 3 n 4 n 5 m7", 0, 0, 0},
    {"a skiplist of many nodes", BIG, {"ZADD z {300+0:# m#}"}, "ZADD z {120+90:-# m#} {100+0:# n#} 17 m100 150.5 m101 0 n1", 0, 0, 0},
    {"a skiplist that turns round", BIG, {"ZADD z {130+0:# m#}"}, "ZADD z {130+0:-# m#}", 0, 0, 0},
    {"conditions", BIG, {"ZADD z {70+0:# m#}"}, "ZADD z GT CH {40+50:5# m#} {10+0:-# m#}", 0, 0, 0},
    {"members removed", SMALL, {"ZADD z {20+0:# member#}"}, "ZREM z {15+3:member#}", 0, 0, 0},
    {"members popped", SMALL, {"ZADD z {20+0:# member#}"}, "ZPOPMIN z 12", 0, 0, 0},
    {"a union of sorted sets", EDGE, {"ZADD z {8+0:# m#}", "ZADD b {8+5:# m#}", "SET a 1"}, "ZUNIONSTORE a 2 z b", 0, 0, 0},
    {"a range stored", BIG, {"ZADD z {80+0:# m#}", "SET a 1"}, "ZRANGESTORE a z 5 70", 0, 0, 0},

    {"integers", EDGE, {"SADD s 1 2 3"}, "SADD s 4 5 6 70000 5000000000", 0, 0, 0},
    {"integers and texts", EDGE, {"SADD s 1 2 3"}, "SADD s 4 x 5 y", 0, 0, 0},
    {"too many members of a set", EDGE, {"SADD s 1 2 x y"}, "SADD s a b c d e f g h i", 0, 0, 0},
    {"a table of members", BIG, {"SADD s {10+0:m#}"}, "SADD s {60+5:m#}", 0, 0, 0},
    {"members taken out", SMALL, {"SADD s {30+0:member#}"}, "SREM s {25+2:member#}", 0, 0, 0},
    {"members by chance", SMALL, {"SADD s {30+0:member#}"}, "SPOP s 20", 0, true, 0},
    {"integers by chance", "", {"SADD s {30+0:#00000}"}, "SPOP s 20", 0, true, 0},
    {"a member moves", SMALL, {"SADD s a b @30", "SADD t @20 @21"}, "SMOVE s t @30", 0, 0, 0},
    {"a member moves to a table", SMALL, {"SADD s a b @30", "SADD t @100 b c"}, "SMOVE s t @30", 0, 0, 0},
    {"a member moves from a table", SMALL, {"SADD s @100 b @30", "SADD t @20 @21"}, "SMOVE s t @30", 0, 0, 0},
    {"an integer moves to a new set", "", {"SADD s 1 2 30000"}, "SMOVE s t 30000", 0, 0, 0},
    {"the last member moves", "", {"SADD s 1", "SADD t 1 a"}, "SMOVE s t 1", 0, 0, 0},
    {"an intersection", EDGE, {"SADD s {20+0:m#}", "SADD t {20+5:m#}", "SET a 1"}, "SINTERSTORE a s t", 0, 0, 0},
    {"a union", EDGE, {"SADD s {20+0:m#}", "SADD t {20+5:m#}", "SET a 1"}, "SUNIONSTORE a s t", 0, 0, 0},
    {"a difference", EDGE, {"SADD s {20+0:m#}", "SADD t {20+5:m#}"}, "SDIFFSTORE a s t", 0, 0, 0},

    {"a new list", EDGE, {0}, "RPUSH l {30+0:item#}", 0, 0, 0},
    {"a longer list", EDGE, {"RPUSH l {5+0:item#}"}, "LPUSH l {30+0:item#}", 0, 0, 0},
    {"a quicklist", EDGE, {"RPUSH l {30+0:item#}"}, "RPUSH l {30+0:item#} @9000 x @8500", 0, 0, 0},
    {"an item inserted", EDGE, {"RPUSH l {30+0:item#}"}, "LINSERT l AFTER item12 @40", 0, 0, 0},
    {"an item set", EDGE, {"RPUSH l {30+0:item#}"}, "LSET l 12 @9000", 0, 0, 0},
    {"items popped", "", {"RPUSH l {30+0:item#}"}, "LPOP l 20", 0, 0, 0},
    {"items popped from a quicklist", EDGE, {"RPUSH l {30+0:item#}"}, "RPOP l 11", 0, 0, 0},
    {"both ends cut", "", {"RPUSH l {30+0:item#}"}, "LTRIM l 4 20", 0, 0, 0},
    {"items removed", "", {"RPUSH l {10+0:item# same}"}, "LREM l 0 same", 0, 0, 0},
    {"items removed from the end", "", {"RPUSH l {10+0:item# same}"}, "LREM l -4 same", 0, 0, 0},
    {"an item moves", "", {"RPUSH l a @30 @40", "RPUSH b @20 @21"}, "LMOVE l b RIGHT LEFT", 0, 0, 0},
    {"an item moves to a new list", "", {"RPUSH l a @30 @40"}, "LMOVE l b LEFT LEFT", 0, 0, 0},
    {"the last item moves", "", {"RPUSH l @30", "RPUSH b @20 @21"}, "RPOPLPUSH l b", 0, 0, 0},
    {"an item moves to a quicklist", EDGE, {"RPUSH l a @30 @40", "RPUSH b {30+0:item#}"}, "LMOVE l b RIGHT RIGHT", 0, 0, 0},
    {"an item goes round", "", {"RPUSH l a @30 @400"}, "LMOVE l l RIGHT LEFT", 0, 0, 0},
    {"an item goes round a quicklist", EDGE, {"RPUSH l {30+0:item#}"}, "LMOVE l l RIGHT LEFT", 0, 0, 0},
    {"a compressed list", EDGE "list-compress-depth 1\n", {"RPUSH l {60+0:@200}"}, "LPUSH l {30+0:@200} x", 0, 0, 0},
    {"an item set in a compressed list", EDGE "list-compress-depth 1\n", {"RPUSH l {60+0:@200}"}, "LSET l 30 @300", 0, 0, 0},
    {"a compressed list copied", EDGE "list-compress-depth 1\n", {"RPUSH l {60+0:@200}"}, "COPY l a", 0, 0, 0},
    {"sorted into a list", EDGE, {"RPUSH l {30+0:item#}", "SET a 1"}, "SORT l ALPHA STORE a", 0, 0, 0},
    {"both ends of a quicklist cut", EDGE, {"RPUSH l {60+0:item#}"}, "LTRIM l 4 50", 0, 0, true},
    {"items removed from a quicklist", EDGE, {"RPUSH l {30+0:item# same}"}, "LREM l 0 same", 0, 0, true},
    {"an item moves between quicklists", EDGE, {"RPUSH l {30+0:item#}", "RPUSH b {30+0:@31}"}, "LMOVE l b LEFT LEFT", 0, 0, true},

    {"a string renamed", "", {"SET a @40 PXAT 9000000000000", "SET b 1"}, "RENAME a b", 0, 0, 0},
    {"a long string renamed", "", {"SET a @400", "RPUSH b 1"}, "RENAME a b", 0, 0, 0},
    {"a small hash renamed", SMALL, {"HSET a f v"}, "RENAME a b", 0, 0, 0},
    {"a table renamed",
     "",
     {"HSET a {5+0:f# v#}", "HPEXPIREAT a 9000000000000 FIELDS 2 f1 f2"},
     "RENAME a b",
     "HPEXPIRETIME b FIELDS 1 f1",
     0,
     0},
    {"a hash copied", BIG, {"HSET a {60+0:f# v#}", "SET b 1"}, "COPY a b REPLACE", 0, 0, 0},
    {"a sorted set copied", BIG, {"ZADD a {100+0:# v#}"}, "COPY a b", 0, 0, 0},
    {"a list copied", EDGE, {"RPUSH a {100+0:v#}"}, "COPY a b DB 1", 0, 0, 0},
    {"a key moved", "", {"SADD a 1 2 x"}, "MOVE a 1", 0, 0, 0},
};

/* ---- commands from text ---- */

typedef struct words {
    char text[TEXT_MAX];
    size_t used;
    const char *word[WORDS_MAX];
    size_t len[WORDS_MAX];
    int count;
} words;

static void put_char(words *w, char c) {
    CHECK(w->used < TEXT_MAX);
    w->text[w->used++] = c;
}

/* Words of text[0 .. len), '#' being `number`. */
static void add_words(words *w, const char *text, size_t len, long number) {
    for (size_t i = 0; i < len;) {
        if (text[i] == ' ') {
            i++;
            continue;
        }
        if (text[i] == '{') {
            char *at;
            long count = strtol(text + i + 1, &at, 10), first = strtol(at + 1, &at, 10);
            const char *pattern = at + 1, *end = strchr(pattern, '}');
            for (long n = first; n < first + count; n++) add_words(w, pattern, (size_t)(end - pattern), n);
            i = (size_t)(end + 1 - text);
            continue;
        }
        CHECK(w->count < WORDS_MAX);
        size_t begin = w->used;
        if (text[i] == '@') {
            char *at;
            long letters = strtol(text + i + 1, &at, 10);
            for (long n = 0; n < letters; n++) put_char(w, (char)('a' + (n + letters) % 26));
            i = (size_t)(at - text);
        }
        for (; i < len && text[i] != ' '; i++) {
            char digits[24];
            if (text[i] != '#') put_char(w, text[i]);
            else
                for (int n = 0, all = snprintf(digits, sizeof digits, "%ld", number); n < all; n++) put_char(w, digits[n]);
        }
        w->word[w->count] = w->text + begin;
        w->len[w->count++] = w->used - begin;
    }
}

static int run_text(client *c, const char *text) {
    static words w;
    w.used = 0;
    w.count = 0;
    add_words(&w, text, strlen(text), 0);
    int outcome = kvcore_run(c->client, w.count, w.word, w.len);
    client_reply(c);
    return outcome;
}

/* ---- one try ---- */

typedef struct state {
    char digest[64], probe[CLIENT_TEXT];
    uint64_t sequence, dirty;
} state;

static void look(kvcore_store *store, client *judge, const scene *s, state *out) {
    kv_engine *engine = kvcore_store_engine(store);
    run_text(judge, "DEBUG DIGEST");
    snprintf(out->digest, sizeof out->digest, "%.60s", judge->reply);
    out->probe[0] = 0;
    if (s->probe != NULL) {
        run_text(judge, s->probe);
        snprintf(out->probe, sizeof out->probe, "%s", judge->reply);
    }
    out->sequence = client_writes(store);
    out->dirty = kv_tally_dirty(engine);
}

static bool same_data(const state *a, const state *b) { return strcmp(a->digest, b->digest) == 0 && strcmp(a->probe, b->probe) == 0; }

#define WATCHED "WATCH a b c d h z s t l {300+0:k#}"

static void fail(const scene *s, int k, bool forever, const char *what, const char *reply) {
    fprintf(stderr, "%s, allocation %d%s: %s; the reply was %.100s\n", s->name, k, forever ? " and all after it" : "", what, reply);
    CHECK(false);
}

enum { ACTOR, WATCHER, LISTENER, JUDGE, CLIENTS };

static void judge_error(kvcore_store *store, client clients[CLIENTS], const scene *s, int k, bool forever, const state *before) {
    const char *reply = clients[ACTOR].reply;
    state after;
    look(store, &clients[JUDGE], s, &after);
    bool unchanged = same_data(before, &after);
    if (!unchanged && !s->partial) fail(s, k, forever, "a part was done", reply);
    if (unchanged && after.sequence != before->sequence) fail(s, k, forever, "nothing was done, and has a sequence number", reply);
    if (unchanged && after.dirty != before->dirty) fail(s, k, forever, "nothing was done, and was counted", reply);
    if (unchanged && client_mail(&clients[LISTENER])[0] != 0) fail(s, k, forever, "nothing was done, and was announced", reply);
    if (!unchanged && after.sequence == before->sequence) fail(s, k, forever, "a part was done and not announced", reply);
    run_text(&clients[WATCHER], "MULTI");
    run_text(&clients[WATCHER], "EXEC");
    if ((strcmp(clients[WATCHER].reply, "*0|") == 0) != unchanged) fail(s, k, forever, "the wrong thing was told to a watcher", reply);
}

/* k 0: the reference, which goes to *expected. False: the command needs fewer than k. */
static bool try_scene(const scene *s, int k, bool forever, state *expected) {
    char config[600];
    snprintf(config, sizeof config, "enable-debug-command yes\nnotify-keyspace-events KEA\n%s", s->config);
    kvcore_store *store = store_open(config);
    client clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) clients[i] = client_open(store);
    for (int i = 0; i < SETUP_MAX && s->setup[i] != NULL; i++) {
        run_text(&clients[ACTOR], s->setup[i]);
        CHECK(clients[ACTOR].reply[0] != '-');
    }
    run_text(&clients[WATCHER], "WATCH a b c d h z s t l {300+0:k#}");
    run_text(&clients[LISTENER], "PSUBSCRIBE __key*");
    client_mail(&clients[LISTENER]);
    state before, after;
    look(store, &clients[JUDGE], s, &before);
    int64_t tried = 0;
    if (k > 0) tried = kvcore_fail_allocation(store, k, forever);
    int outcome = run_text(&clients[ACTOR], s->command);
    if (k > 0) tried = kvcore_fail_allocation(store, -1, 0) - tried;
    if (kvcore_check(store) != 1) fail(s, k, forever, "the store is not sound", clients[ACTOR].reply);
    if (clients[ACTOR].reply[0] == '-') {
        if (k == 0 || strncmp(clients[ACTOR].reply, "-OOM", 4) != 0) fail(s, k, forever, "an error", clients[ACTOR].reply);
        judge_error(store, clients, s, k, forever, &before);
    } else {
        look(store, &clients[JUDGE], s, &after);
        if (k == 0) *expected = after;
        else if (outcome == KVCORE_NO_MEMORY && same_data(&before, &after)) CHECK(after.sequence == before.sequence);
        else if (!s->chance && !s->partial && !same_data(expected, &after)) fail(s, k, forever, "not all was done", clients[ACTOR].reply);
    }
    for (int i = 0; i < CLIENTS; i++) client_close(&clients[i]);
    kvcore_close(store);
    return tried >= k;
}

/* Long commands: every allocation of the first hundred, then some. */
static int next_try(int k) { return k < 100 ? k + 1 : k + 7; }

int main(void) {
    const char *only = getenv("OOM_SCENE");
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        const scene *s = &scenes[i];
        if (only != NULL && strstr(s->name, only) == NULL) continue;
        state expected = {0};
        (void)try_scene(s, 0, false, &expected);
        for (int forever = 0; forever < 2; forever++)
            for (int k = 1; k < TRIES_MAX && try_scene(s, k, forever != 0, &expected); k = next_try(k)) continue;
    }
    printf("ok oom_whole\n");
    return 0;
}
