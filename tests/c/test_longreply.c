/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* Long replies in slices: the reply is what it would have been as a whole, at the moment of the command, whatever happens to its key between two slices;
 * nothing stays pinned, and nothing leaks. Then the same from threads: hashes whose fields are all changed by one command are never seen half changed.
 *
 * ENGINE_SECONDS (1) is for longer runs. */
#include <stdbool.h>

#include "base/clock.h"
#include "base/sync.h"
#include "client.h"
#include "engine/cron.h"
#include "engine/dispatch.h"
#include "engine/engine.h"

enum { ITEMS = 6000, KINDS = 4, THREADS = 4, FIELDS = 3000 };

static const char *const reads[KINDS] = {"LRANGE big 0 -1", "HGETALL big", "SMEMBERS big", "ZRANGE big 0 -1 WITHSCORES"};
static const char *const writes[KINDS] = {"RPUSH big new", "HSET big new 1", "SADD big new", "ZADD big 1 new"};
static const char *const sizes[KINDS] = {"LLEN big", "HLEN big", "SCARD big", "ZCARD big"};

static kv_outcome ask(client *c, const char *text, kv_buf *out) {
    char copy[256];
    kv_slice words[16];
    int count = 0;
    char *rest = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        words[count++] = kv_slice_of(word, strlen(word));
    return kv_execute(kvcore_client_session(c->client), count, words, out);
}

static void fill(client *c, int kind, const char *key) {
    RUN(c, NULL, "DEL %s", key);
    for (int i = 0; i < ITEMS; i++) {
        switch (kind) {
        case 0: RUN(c, NULL, "RPUSH %s item%d", key, i); break;
        case 1: RUN(c, NULL, "HSET %s f%d v%d", key, i, i); break;
        case 2: RUN(c, NULL, "SADD %s m%d", key, i); break;
        default: RUN(c, NULL, "ZADD %s %d m%d", key, i % 100, i);
        }
    }
}

typedef struct scene {
    kvcore_store *store;
    kv_engine *engine;
    client reader, other; /* the reader takes slices */
    kv_buf whole, got;
} scene;

static kv_session *session_of(client *c) { return kvcore_client_session(c->client); }

static scene scene_open(const char *config) {
    scene s = {.store = store_open(config)};
    s.engine = kvcore_store_engine(s.store);
    s.reader = client_open(s.store);
    s.other = client_open(s.store);
    session_of(&s.reader)->slices = true;
    kv_buf_init(&s.whole, &s.engine->mem);
    kv_buf_init(&s.got, &s.engine->mem);
    return s;
}

static void nothing_left(scene *s) {
    while (kv_cron_round(s->engine, 1000)) continue;
    size_t waiting;
    uint64_t freed;
    kv_store_garbage(&s->engine->store, &waiting, &freed);
    CHECK(waiting == 0);
    for (unsigned i = 0; i < s->engine->store.shard_count; i++) CHECK(s->engine->store.shards[i].pins == NULL);
    CHECK(kvcore_check(s->store));
}

static void scene_close(scene *s) {
    nothing_left(s);
    kv_buf_deinit(&s->whole);
    kv_buf_deinit(&s->got);
    client_close(&s->reader);
    client_close(&s->other);
    kvcore_close(s->store);
}

static bool same(const kv_buf *a, const kv_buf *b) { return a->len == b->len && memcmp(a->ptr, b->ptr, a->len) == 0; }

/* The whole reply for reference, then the first slice of another. */
static void begin(scene *s, int kind) {
    kv_buf_clear(&s->whole);
    kv_buf_clear(&s->got);
    CHECK(ask(&s->other, reads[kind], &s->whole) == KV_OUTCOME_DONE);
    CHECK(ask(&s->reader, reads[kind], &s->got) == KV_OUTCOME_MORE);
    CHECK(s->got.len < s->whole.len);
}

static void finish(scene *s) {
    while (kv_long_reply_more(session_of(&s->reader), &s->got) == KV_OUTCOME_MORE) continue;
    CHECK(same(&s->got, &s->whole) && session_of(&s->reader)->long_reply == NULL);
}

static void key_goes_meanwhile(scene *s) {
    static const char *const ends[] = {"DEL big",
                                       "UNLINK big",
                                       "SET big x",
                                       "RENAME small big",
                                       "FLUSHALL",
                                       "FLUSHALL SYNC",
                                       "PEXPIREAT big 1",
                                       "SWAPDB 0 1",
                                       "MSET big 1 b 2",
                                       "COPY small big REPLACE",
                                       "SUNIONSTORE big small"};
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            fill(&s->other, kind, "big");
            RUN(&s->other, NULL, "DEL small");
            RUN(&s->other, NULL, "SADD small 1 2 3");
            begin(s, kind);
            CHECK(kv_long_reply_more(session_of(&s->reader), &s->got) == KV_OUTCOME_MORE);
            RUN(&s->other, NULL, "%s", ends[i]);
            for (int j = 0; j < 3; j++) kv_cron_round(s->engine, 1000);
            RUN(&s->other, NULL, "SET another key");
            finish(s);
            nothing_left(s);
            RUN(&s->other, NULL, "FLUSHALL");
        }
    }
}

/* Two readers of one container that goes: the second inherits it. One that leaves in the middle frees nothing under the other. */
static void two_readers(scene *s) {
    client second = client_open(s->store);
    kv_buf out;
    kv_buf_init(&out, &s->engine->mem);
    session_of(&second)->slices = true;
    for (int order = 0; order < 2; order++) {
        fill(&s->other, 1, "big");
        begin(s, 1);
        kv_buf_clear(&out);
        CHECK(ask(&second, reads[1], &out) == KV_OUTCOME_MORE);
        RUN(&s->other, ":1|", "DEL big");
        if (order == 0) finish(s);
        while (kv_long_reply_more(session_of(&second), &out) == KV_OUTCOME_MORE) kv_cron_round(s->engine, 1000);
        CHECK(same(&out, &s->whole));
        if (order == 1) finish(s);
        nothing_left(s);
    }
    fill(&s->other, 2, "big");
    begin(s, 2);
    kv_buf_clear(&out);
    CHECK(ask(&second, reads[2], &out) == KV_OUTCOME_MORE);
    client_close(&second);
    RUN(&s->other, ":1|", "DEL big");
    finish(s);
    kv_buf_deinit(&out);
}

/* A writer that takes slices is sent away until the reply is complete, one that does not waits; and what they write is not in the reply. */
static void writers_wait(scene *s) {
    kv_buf out;
    kv_buf_init(&out, &s->engine->mem);
    for (int kind = 0; kind < KINDS; kind++) {
        fill(&s->other, kind, "big");
        begin(s, kind);
        session_of(&s->other)->slices = true;
        int tries = 1;
        for (; ask(&s->other, writes[kind], &out) == KV_OUTCOME_AGAIN; tries++) RUN(&s->other, "+PONG|", "PING");
        session_of(&s->other)->slices = false;
        CHECK(tries > 2);
        finish(s);
        RUN(&s->other, ":6001|", "%s", sizes[kind]);
        begin(s, kind);
        CHECK(ask(&s->other, "EXPIRE big 1000", &out) == KV_OUTCOME_DONE); /* waits */
        finish(s);
        begin(s, kind);
        RUN(&s->other, "+OK|", "MULTI");
        RUN(&s->other, "+QUEUED|", "%s", writes[kind]);
        CHECK(ask(&s->other, "EXEC", &out) == KV_OUTCOME_DONE);
        finish(s);
        nothing_left(s);
    }
    kv_buf_deinit(&out);
}

/* Readers that come while a writer waits let him pass. */
static void readers_queue_behind_writers(scene *s) {
    client second = client_open(s->store);
    kv_buf out;
    kv_buf_init(&out, &s->engine->mem);
    session_of(&second)->slices = session_of(&s->other)->slices = false;
    fill(&s->other, 1, "big");
    begin(s, 1);
    session_of(&second)->slices = session_of(&s->other)->slices = true;
    CHECK(ask(&s->other, writes[1], &out) == KV_OUTCOME_AGAIN);
    CHECK(ask(&second, reads[1], &out) == KV_OUTCOME_AGAIN);
    CHECK(out.len == 0);
    while (ask(&s->other, writes[1], &out) == KV_OUTCOME_AGAIN) continue;
    kv_buf_clear(&out);
    CHECK(ask(&second, reads[1], &out) == KV_OUTCOME_MORE);
    CHECK(out.len > 5 && memcmp(out.ptr, "*1200", 5) == 0);
    session_of(&s->other)->slices = false;
    client_close(&second);
    finish(s);
    kv_buf_deinit(&out);
}

/* A blocked client is served into a list that is being read: that cannot wait, and the reader has its reply all the same. */
static void served_into_a_pinned_list(scene *s) {
    client mover = client_open(s->store);
    fill(&s->other, 0, "big");
    BLOCKS(&mover, "BLMOVE source big LEFT RIGHT 0");
    begin(s, 0);
    RUN(&s->other, ":1|", "RPUSH source moved");
    SERVED(&mover, "$5|moved|");
    finish(s);
    RUN(&s->other, "$5|moved|", "LINDEX big -1");
    client_close(&mover);
}

/* Fields whose time comes while they are read are in the reply and gone afterwards. */
static void fields_expire_meanwhile(scene *s) {
    fill(&s->other, 1, "big");
    RUN(&s->other, NULL, "HPEXPIRE big 30 FIELDS 3 f1 f2 f3");
    begin(s, 1);
    kv_stall_until(kv_mono_ns() + 40000000);
    for (int i = 0; i < 3; i++) kv_cron_round(s->engine, 1000);
    finish(s);
    nothing_left(s);
    RUN(&s->other, ":5997|", "HLEN big");
}

/* The background thread moves blocks together (store/compact.c), but not those that somebody is reading. */
static void compaction_meanwhile(scene *s) {
    for (int kind = 1; kind < 3; kind++) {
        RUN(&s->other, NULL, "DEL big filler");
        for (int i = 0; i < 3 * ITEMS; i++) {
            const char *key = i % 3 ? "filler" : "big";
            if (kind == 1) RUN(&s->other, NULL, "HSET %s f%d v%d", key, i, i);
            else RUN(&s->other, NULL, "SADD %s m%d", key, i);
        }
        RUN(&s->other, ":1|", "DEL filler");
        while (kv_cron_round(s->engine, 1000)) continue;
        begin(s, kind);
        for (unsigned i = 0; i < s->engine->store.shard_count; i++) {
            kv_shard *shard = &s->engine->store.shards[i];
            kv_mutex_lock(&shard->lock);
            while (kv_shard_compact(shard, 128)) continue;
            kv_mutex_unlock(&shard->lock);
        }
        finish(s);
        nothing_left(s);
        kv_buf_clear(&s->got);
        CHECK(ask(&s->other, reads[kind], &s->got) == KV_OUTCOME_DONE && same(&s->got, &s->whole));
    }
}

static void given_up(scene *s) {
    for (int kind = 0; kind < KINDS; kind++) {
        fill(&s->other, kind, "big");
        begin(s, kind);
        if (kind % 2) RUN(&s->other, ":1|", "DEL big");
        client_close(&s->reader);
        s->reader = client_open(s->store);
        session_of(&s->reader)->slices = true;
        nothing_left(s);
    }
}

/* Compressed nodes are read through copies that the walk owns. */
static void compressed_list(void) {
    scene s = scene_open("list-compress-depth 1\nlist-max-listpack-size 64\n");
    fill(&s.other, 0, "big");
    begin(&s, 0);
    finish(&s);
    begin(&s, 0);
    RUN(&s.other, ":1|", "DEL big");
    finish(&s);
    given_up(&s);
    scene_close(&s);
}

/* ---- threads ---- */

typedef struct crowd {
    kvcore_store *store;
    uint64_t until_ns;
    _Atomic uint64_t seen, changed;
} crowd;

typedef struct member {
    crowd *crowd;
    int index;
    kv_thread thread;
} member;

/* All fields of one hash in one command. */
static void change_all(client *c, const char *key, int value) {
    static _Thread_local char text[FIELDS * 24];
    static _Thread_local const char *words[2 + 2 * FIELDS];
    static _Thread_local size_t lengths[2 + 2 * FIELDS];
    char *at = text;
    int count = 0;
    words[count] = "HSET", lengths[count++] = 4;
    words[count] = key, lengths[count++] = strlen(key);
    for (int i = 0; i < FIELDS; i++) {
        for (int part = 0; part < 2; part++) {
            int len = sprintf(at, part == 0 ? "f%d" : "%d", part == 0 ? i : value);
            words[count] = at, lengths[count++] = (size_t)len;
            at += len + 1;
        }
    }
    CHECK(kvcore_run(c->client, count, words, lengths) == KVCORE_DONE);
}

static void writer(void *arg) {
    member *m = arg;
    client c = client_open(m->crowd->store);
    for (int i = 0; kv_mono_ns() < m->crowd->until_ns; i++) {
        change_all(&c, i % 2 ? "a" : "b", m->index * 1000000 + i);
        if (i % 7 == 0) RUN(&c, NULL, "DEL %s", i % 2 ? "a" : "b");
        if (i % 11 == 0) RUN(&c, NULL, "RENAME a b");
        if (i % 50 == 0) RUN(&c, NULL, "FLUSHALL");
        atomic_fetch_add(&m->crowd->changed, 1);
    }
    client_close(&c);
}

/* Every value in the reply of HVALS is the same. */
static void check_values(kv_buf *out) {
    const size_t len_of_all = out->len;
    kv_buf_add_byte(out, 0);
    const char *at = (const char *)out->ptr, *end = at + len_of_all;
    CHECK(*at == '*');
    int count = atoi(at + 1);
    CHECK(count == 0 || count == FIELDS);
    const char *first = memchr(at, '\n', (size_t)(end - at)) + 1;
    const char *next = count == 0 ? end : memchr(memchr(first, '\n', (size_t)(end - first)) + 1, '\n', (size_t)(end - first)) + 1;
    size_t len = (size_t)(next - first);
    CHECK(count == 0 || (size_t)(end - first) == len * FIELDS);
    for (int i = 1; i < count; i++) CHECK(memcmp(first, first + (size_t)i * len, len) == 0);
}

static void reader(void *arg) {
    member *m = arg;
    client c = client_open(m->crowd->store);
    kv_buf out;
    kv_buf_init(&out, &kvcore_store_engine(m->crowd->store)->mem);
    session_of(&c)->slices = m->index % 2 == 0;
    for (int i = 0; kv_mono_ns() < m->crowd->until_ns; i++) {
        kv_buf_clear(&out);
        kv_outcome outcome = ask(&c, i % 2 ? "HVALS a" : "HVALS b", &out);
        if (outcome == KV_OUTCOME_AGAIN) continue;
        while (outcome == KV_OUTCOME_MORE && i % 13 != 0) outcome = kv_long_reply_more(session_of(&c), &out);
        if (outcome == KV_OUTCOME_DONE) {
            check_values(&out);
            atomic_fetch_add(&m->crowd->seen, 1);
        } else { /* leaves in the middle */
            client_close(&c);
            c = client_open(m->crowd->store);
            session_of(&c)->slices = m->index % 2 == 0;
        }
    }
    kv_buf_deinit(&out);
    client_close(&c);
}

static void threads(double seconds) {
    crowd all = {.store = store_open(""), .until_ns = kv_mono_ns() + (uint64_t)(seconds * 1e9)};
    member members[2 * THREADS];
    for (int i = 0; i < 2 * THREADS; i++) {
        members[i] = (member){.crowd = &all, .index = i};
        CHECK(kv_thread_start(&members[i].thread, "member", i < THREADS / 2 ? writer : reader, &members[i]) == 0);
    }
    for (int i = 0; i < 2 * THREADS; i++) kv_thread_join(&members[i].thread);
    CHECK(all.seen > 0 && all.changed > 0);
    CHECK(kvcore_check(all.store));
    kvcore_close(all.store);
}

int main(void) {
    const char *longer = getenv("ENGINE_SECONDS");
    scene s = scene_open("databases 2\nshards 2\n");
    key_goes_meanwhile(&s);
    two_readers(&s);
    writers_wait(&s);
    readers_queue_behind_writers(&s);
    served_into_a_pinned_list(&s);
    fields_expire_meanwhile(&s);
    compaction_meanwhile(&s);
    given_up(&s);
    scene_close(&s);
    compressed_list();
    threads(longer == NULL ? 1 : atof(longer));
    printf("ok longreply\n");
    return 0;
}
