/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* Logs applied to an engine: a store whose log is written while it works, with its clock going on, and a second one that is made from the log, hold the same.
 * What is refused, what is passed over, what expires when; memory and reading that fail. */
#include "base/rng.h"
#include "client.h"
#include "crashfs.h"
#include "engine/journal.h"
#include "logfile.h"
#include "persist/aof.h"
#include "persist/replay.h"

#define CONFIG                                                                            \
    "enable-debug-command yes\nhash-max-listpack-entries 6\nset-max-listpack-entries 6\n" \
    "set-max-intset-entries 6\nzset-max-listpack-entries 6\nlist-max-listpack-size 4\n"

static kv_mem mem;

typedef struct loaded {
    kv_status status;
    kv_replay_result result;
    char reason[600];
} loaded;

static bool give_up(void *arg, uint64_t done, uint64_t total) {
    CHECK(done <= total);
    return --*(int *)arg >= 0;
}

static loaded load_with(kvcore_store *store, kv_slice bytes, int fail_read, int steps) {
    memfile file = {.bytes = bytes, .fail_at = fail_read};
    kv_vfs vfs = memfile_vfs(&file);
    kv_source source;
    kv_buf reason;
    kv_engine *engine = kvcore_store_engine(store);
    loaded l = {.status = kv_source_open(&source, &vfs, &engine->mem, "log")};
    if (l.status != KV_OK) return l;
    kv_buf_init(&reason, &mem);
    kv_replay_options options = {.arg = &steps, .progress = give_up};
    l.status = kv_replay(engine, &source, &options, &l.result, &reason);
    CHECK(!atomic_load(&engine->loading));
    snprintf(l.reason, sizeof l.reason, "%.*s", (int)reason.len, (const char *)reason.ptr);
    kv_buf_deinit(&reason);
    kv_source_close(&source);
    return l;
}

static loaded load(kvcore_store *store, kv_slice bytes) { return load_with(store, bytes, -1, 1 << 30); }

/* Everything that can be seen of the keys: their digest, and when they and their fields expire. */
static void look(client *c, kvcore_store *store, kv_buf *out) {
    kvcore_clock_advance(store, 0); /* what has expired goes */
    for (int db = 0; db < 3; db++) {
        RUN(c, "+OK|", "SELECT %d", db);
        for (int i = 0; i < 30; i++) {
            RUN(c, NULL, "PEXPIRETIME k%d", i);
            kv_buf_printf(out, "%d k%d %s", db, i, c->reply);
            CHECK(client_send(c, "HPEXPIRETIME k%d FIELDS 4 f0 f1 f2 f3", i) == KVCORE_DONE);
            kv_buf_printf(out, " %s\n", client_reply(c));
        }
        RUN(c, NULL, "DBSIZE");
        kv_buf_printf(out, "%s\n", c->reply);
    }
    RUN(c, "+OK|", "SELECT 0");
    RUN(c, NULL, "DEBUG DIGEST");
    kv_buf_printf(out, "%s\n", c->reply);
}

/* ---- a store and its log ---- */

/* k: a key, f: a field, n: a small number, t: a time soon or past, v: a value, s: a score, b: a database. */
static const char *const templates[] = {"SET k v",
                                        "SET k v PX t",
                                        "SET k v KEEPTTL",
                                        "SETNX k v",
                                        "GETSET k v",
                                        "GETDEL k",
                                        "GETEX k PX t",
                                        "GETEX k PERSIST",
                                        "APPEND k v",
                                        "SETRANGE k n v",
                                        "INCRBY k n",
                                        "INCRBYFLOAT k s",
                                        "DECR k",
                                        "MSET k v k v k v",
                                        "MSETNX k v k v",
                                        "DEL k k",
                                        "UNLINK k",
                                        "EXPIRE k n",
                                        "PEXPIRE k t",
                                        "PEXPIRE k t NX",
                                        "PERSIST k",
                                        "RENAME k k",
                                        "RENAMENX k k",
                                        "COPY k k REPLACE",
                                        "MOVE k b",
                                        "HSET k f v f v",
                                        "HDEL k f f",
                                        "HINCRBY k f n",
                                        "HINCRBYFLOAT k f s",
                                        "HPEXPIRE k t FIELDS 2 f f",
                                        "HPERSIST k FIELDS 1 f",
                                        "HSETEX k PX t FIELDS 2 f v f v",
                                        "HGETEX k PX t FIELDS 1 f",
                                        "HGETDEL k FIELDS 2 f f",
                                        "SADD k v n v",
                                        "SREM k v n",
                                        "SPOP k",
                                        "SPOP k n",
                                        "SMOVE k k v",
                                        "SINTERSTORE k k k",
                                        "SUNIONSTORE k k k",
                                        "SDIFFSTORE k k k",
                                        "ZADD k s v s n",
                                        "ZINCRBY k s v",
                                        "ZREM k v n",
                                        "ZPOPMIN k",
                                        "ZPOPMAX k n",
                                        "ZREMRANGEBYRANK k 0 n",
                                        "ZUNIONSTORE k 2 k k",
                                        "ZRANGESTORE k k 0 n",
                                        "RPUSH k v v",
                                        "LPUSH k n",
                                        "LPOP k",
                                        "RPOP k n",
                                        "LREM k n v",
                                        "LTRIM k 0 n",
                                        "LSET k n v",
                                        "LINSERT k BEFORE v v",
                                        "LMOVE k k LEFT RIGHT",
                                        "LMPOP 2 k k LEFT COUNT n",
                                        "ZMPOP 2 k k MIN",
                                        "BLPOP k 0.001",
                                        "SORT k ALPHA STORE k",
                                        "SELECT b",
                                        "SWAPDB 1 2",
                                        "MULTI",
                                        "EXEC",
                                        "EXEC",
                                        "DISCARD",
                                        "GET k"};

static void make_command(kv_rng *rng, char *out, size_t cap) {
    const char *t = templates[kv_rng_below(rng, sizeof templates / sizeof *templates)];
    size_t n = 0;
    for (const char *p = t; *p != 0 && n + 80 < cap; p++) {
        bool alone = (p == t || p[-1] == ' ') && (p[1] == ' ' || p[1] == 0);
        int r = (int)kv_rng_below(rng, 1000);
        const char *format = "%d";
        if (!alone) {
            out[n++] = *p;
            continue;
        }
        switch (*p) {
        case 'k': format = "k%d", r %= 30; break;
        case 'f': format = "f%d", r %= 5; break;
        case 'n': r %= 5; break;
        case 't': r = r % 60 + 1; break;
        case 'v': format = r % 9 == 0 ? "%070d" : "v%d", r %= 12; break;
        case 's': format = "%d.25", r = r % 20 - 10; break;
        case 'b': r %= 3; break;
        default: out[n++] = *p; continue;
        }
        n += (size_t)snprintf(out + n, cap - n, format, r);
    }
    out[n] = 0;
}

typedef struct writer {
    kvcore_store *store;
    crashfs *fs;
    kv_vfs vfs;
    kv_aof *aof;
    client c;
} writer;

static void writer_begin(writer *w) {
    w->store = store_open(CONFIG);
    kv_engine *engine = kvcore_store_engine(w->store);
    kvcore_clock_freeze(w->store, INT64_C(1800000000000000));
    w->fs = crashfs_new();
    w->vfs = crashfs_vfs(w->fs);
    engine->vfs = &w->vfs;
    kv_aof_options options = {.engine = engine, .policy = KV_AOF_NO, .annotate = true};
    w->aof = kv_aof_create(&options);
    CHECK(w->aof != NULL);
    kv_aof_open(w->aof, w->vfs.open(&w->vfs, "log", O_CREAT | O_WRONLY, 0600), 0);
    kv_engine_set_journal(engine, kv_aof_journal(w->aof));
    w->c = client_open(w->store);
}

static kv_slice writer_log(writer *w) {
    bool there;
    CHECK(kv_aof_flush(w->aof, NULL) == KV_OK);
    return crashfs_file(&w->fs->live, "log", &there);
}

static void writer_end(writer *w) {
    client_close(&w->c);
    kv_engine_set_journal(kvcore_store_engine(w->store), NULL);
    kv_aof_destroy(w->aof);
    kvcore_store_engine(w->store)->vfs = &kv_vfs_posix;
    kvcore_close(w->store);
    crashfs_free(w->fs);
}

/* Does a store made from the log hold the same? */
static void compare(writer *w, uint64_t seed, int64_t later_us) {
    kv_buf here, there;
    kvcore_store *copy = store_open(CONFIG);
    client c = client_open(copy);
    kv_buf_init(&here, &mem);
    kv_buf_init(&there, &mem);
    kv_slice log = writer_log(w); /* as it is before anything else expires: the log may lack deletions that were not necessary yet */
    kvcore_clock_freeze(copy, kvcore_clock_us(w->store) + later_us);
    loaded l = load(copy, log);
    if (l.status != KV_OK || l.result.errors > 0) fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, l.reason);
    CHECK(l.status == KV_OK && l.result.errors == 0 && !l.result.torn && l.result.skipped == 0 && l.result.has_lines);
    CHECK(kvcore_check(copy) == 1);
    kvcore_clock_advance(w->store, later_us);
    look(&w->c, w->store, &here);
    look(&c, copy, &there);
    if (!kv_slice_eq(kv_buf_slice(&here), kv_buf_slice(&there))) {
        fprintf(stderr, "seed %llu: the log does not redo what was done\n", (unsigned long long)seed);
        fprintf(stderr, "%.*s---\n%.*s", (int)here.len, (const char *)here.ptr, (int)there.len, (const char *)there.ptr);
        exit(1);
    }
    kv_buf_deinit(&here);
    kv_buf_deinit(&there);
    client_close(&c);
    kvcore_close(copy);
}

static void random_work(uint64_t first_seed, uint64_t seeds) {
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        writer w;
        kv_rng rng;
        kv_rng_seed(&rng, seed);
        writer_begin(&w);
        for (int i = 0; i < 1500; i++) {
            char text[400];
            make_command(&rng, text, sizeof text);
            int outcome = client_send(&w.c, "%s", text);
            if (outcome == KVCORE_BLOCKED) (void)kvcore_cancel(w.c.client);
            else CHECK(outcome == KVCORE_DONE);
            if (getenv("REPLAY_TRACE") != NULL) fprintf(stderr, "%s -> %s\n", text, client_reply(&w.c));
            if (kv_rng_below(&rng, 10) == 0) kvcore_clock_advance(w.store, (int64_t)kv_rng_below(&rng, 8000));
            if (i % 500 == 250) {
                (void)client_send(&w.c, "DISCARD");
                compare(&w, seed, 0);
            }
        }
        (void)client_send(&w.c, "DISCARD");
        compare(&w, seed, (int64_t)kv_rng_below(&rng, 100000));
        writer_end(&w);
    }
}

/* ---- by hand ---- */

static void texts(kv_buf *out, const char *const *lines) {
    for (; *lines != NULL; lines++) log_command(out, *lines);
}

#define LOAD(store, ...) load_lines((store), (const char *const[]){__VA_ARGS__, NULL})
static loaded load_lines(kvcore_store *store, const char *const *lines) {
    kv_buf log;
    kv_buf_init(&log, &mem);
    texts(&log, lines);
    loaded l = load(store, kv_buf_slice(&log));
    kv_buf_deinit(&log);
    return l;
}

static void by_hand(void) {
    kvcore_store *store = store_open(CONFIG "databases 4\nmaxmemory 1\nmaxmemory-policy allkeys-lru\n");
    client c = client_open(store);
    kvcore_clock_freeze(store, INT64_C(1800000000000000));
    /* A key whose time has passed when the log is loaded was there when it was counted up; and what is over the limit stays until the load has ended. */
    loaded l = LOAD(store, "SELECT 2", "SET k 5 PXAT 1000", "INCR k", "SET l 1", "PEXPIREAT l 2000", "INCR l", "PERSIST l",
                    "HSET h f 1 g 2", "HPEXPIREAT h 1000 FIELDS 1 f", "HINCRBY h f 4", "HPERSIST h FIELDS 1 f");
    CHECK(l.status == KV_OK && l.result.commands == 10 && l.result.errors == 0 && l.result.skipped == 0 && !l.result.has_lines);
    CHECK(kvcore_config_set(store, "maxmemory", "0", l.reason, sizeof l.reason) == 0);
    RUN(&c, "+OK|", "SELECT 2");
    RUN(&c, "$1|2|", "GET l");
    RUN(&c, "$1|5|", "HGET h f");
    RUN(&c, "$-1|", "GET k");
    RUN(&c, ":2|", "DBSIZE");
    RUN(&c, "+OK|", "FLUSHALL");
    /* Errors are passed over, what does not write is not run, and nothing waits. */
    l = LOAD(store, "SET a 1", "LPUSH a x", "SET a", "BLPOP nothing 0", "SHUTDOWN NOSAVE", "DEBUG SLEEP 100", "CONFIG SET maxmemory 1",
             "MULTI", "SET b 2", "LPUSH b x", "EXEC", "set A 3", "Set c 4");
    CHECK(l.status == KV_OK && l.result.errors == 4 && l.result.skipped == 3 && l.result.commands == 8);
    CHECK(strstr(l.reason, "LPUSH") != NULL && strstr(l.reason, "WRONGTYPE") != NULL);
    RUN(&c, "+OK|", "SELECT 0");
    RUN(&c, "$1|2|", "GET b");
    RUN(&c, ":4|", "DBSIZE");
    l = LOAD(store, "SET d 1", "NOSUCHCOMMAND 1", "SET e 1");
    CHECK(l.status == KV_EINVAL && strstr(l.reason, "NOSUCHCOMMAND") != NULL && l.result.commands == 1);
    l = LOAD(store, "SELECT 4", "SET e 1");
    CHECK(l.status == KV_EINVAL && strstr(l.reason, "database") != NULL);
    CHECK(LOAD(store, "SELECT x").status == KV_EINVAL && LOAD(store, "SELECT").status == KV_EINVAL);
    RUN(&c, ":0|", "EXISTS e");
    l = load(store, KV_LIT("*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$1\r\n1\r\n*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$1"));
    CHECK(l.status == KV_OK && l.result.torn && l.result.good == 20 + 27 && l.result.commands == 1 && strstr(l.reason, "byte 47") != NULL);
    CHECK(load(store, KV_LIT("*2\r\n$3\r\nGET\r\nx")).status == KV_ECORRUPT);
    client_close(&c);
    kvcore_close(store);
}

/* ---- failures ---- */

static void failures(void) {
    kv_buf log;
    kv_buf_init(&log, &mem);
    for (int i = 0; i < 30000; i++) {
        char text[80];
        snprintf(text, sizeof text, i % 3 == 0 ? "HSET h%d f%d v" : i % 3 == 1 ? "SET k%d @%d" : "RPUSH l%d v%d", i % 40, i % 60);
        log_command(&log, text);
    }
    kvcore_store *store = store_open(CONFIG);
    loaded l = load_with(store, kv_buf_slice(&log), -1, 0);
    CHECK(l.status == KV_EINVAL && strstr(l.reason, "given up") != NULL && l.result.commands < 30000);
    kvcore_close(store);
    for (int n = 0;; n++) {
        store = store_open(CONFIG);
        l = load_with(store, kv_buf_slice(&log), n, 1 << 30);
        kvcore_close(store);
        if (l.status == KV_OK) break;
        CHECK(l.status == KV_EIO && n < 100 && l.result.commands < 30000);
    }
    log.len = 20000;
    for (int forever = 0; forever < 2; forever++)
        for (int64_t k = 0;; k++) {
            store = store_open(CONFIG);
            kv_engine *engine = kvcore_store_engine(store);
            atomic_store(&engine->mem.fail_forever, forever == 1);
            atomic_store(&engine->mem.fail_after, k);
            l = load(store, kv_buf_slice(&log));
            bool hit = atomic_load(&engine->mem.fail_after) < 0 || forever == 1;
            atomic_store(&engine->mem.fail_after, -1);
            CHECK(kvcore_check(store) == 1);
            kvcore_close(store);
            if (l.status == KV_OK && (!hit || forever == 1)) break; /* a growth that can wait may have failed on the way */
            CHECK((l.status == KV_ENOMEM || (l.status == KV_OK && l.result.errors == 0)) && k < 5000);
        }
    kv_buf_deinit(&log);
}

int main(int argc, char **argv) {
    kv_mem_init(&mem);
    if (argc > 2) { /* seeds to look at: first, how many */
        random_work(strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10));
        return 0;
    }
    by_hand();
    random_work(1, 6);
    failures();
    CHECK(atomic_load(&mem.used) == 0);
    puts("ok replay");
    return 0;
}
