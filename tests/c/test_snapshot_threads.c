/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* Snapshots while threads write. Each writer does the same numbered steps over and over: a transaction on values big and small in many shards, then single
 * commands. So the file of a snapshot says at which step the cut met each writer, and everything else in it must be what that step left. Before them, units
 * that began before the cut and end after it, held still at the very place.
 *
 * SNAPSHOT_SECONDS (2) is for longer runs. */
#include "snapshot_model.h"

#include "base/clock.h"
#include "engine/dispatch.h"
#include "engine/unit.h"
#include "persist/rdb.h"
#include "store/cut.h"

enum { WRITERS = 3, RING = 3000 };

static kv_status keep(void *arg, kv_slice bytes) {
    kv_buf *out = arg;
    kv_buf_add_slice(out, bytes);
    return out->failed ? KV_ENOMEM : KV_OK;
}

static void snap(kv_engine *engine, kv_buf *out, kv_snapshot_result *result) {
    kv_buf reason;
    kv_buf_init(&reason, &engine->mem);
    kv_buf_clear(out);
    kv_snapshot_options options = {.compress = true, .sums = true, .next_fd = -1, .big = 8000, .arg = out, .write = keep};
    kv_status status = kv_snapshot(engine, &options, result, &reason);
    if (status != KV_OK) fprintf(stderr, "%.*s\n", (int)reason.len, (const char *)reason.ptr);
    CHECK(status == KV_OK);
    kv_buf_deinit(&reason);
}

/* ---- a unit that is under way when the cut is made ---- */

typedef struct attempt {
    kv_engine *engine;
    kv_buf bytes;
    kv_snapshot_result result;
    kv_thread thread;
} attempt;

static void run_attempt(void *arg) {
    attempt *a = arg;
    snap(a->engine, &a->bytes, &a->result);
}

static kv_value *find(kv_engine *engine, const char *name, kv_keydb **db, uint64_t *hash) {
    kv_slice key = kv_slice_cstr(name);
    *hash = kv_store_hash(&engine->store, key);
    *db = kv_shard_db(kv_store_shard_of(&engine->store, *hash), 0);
    return kv_keydb_find(*db, *hash, key);
}

/* What it does after the cut belongs to the snapshot, and is in it once: it must leave nothing for it. */
static void test_old_unit(void) {
    kvcore_store *store = store_open(MODEL_CONFIG);
    kv_engine *engine = kvcore_store_engine(store);
    client c = client_open(store);
    for (int i = 0; i < 40; i++) RUN(&c, "+OK|", "SET k%d before", i);
    attempt a = {.engine = engine};
    kv_buf_init(&a.bytes, &engine->mem);
    uint32_t epoch = atomic_load(&engine->epoch);
    kv_unit unit;
    kv_ctx ctx;
    kv_unit_begin(&ctx, &unit, engine, 0, kv_store_all_shards(&engine->store));
    kv_begin_write(&ctx);
    CHECK(kv_thread_start(&a.thread, "snapshot", run_attempt, &a) == 0);
    while (atomic_load(&engine->epoch) == epoch) kv_stall_until(kv_mono_ns() + 1000);
    for (int i = 0; i < 30; i++) {
        char name[16];
        kv_keydb *db;
        uint64_t hash;
        snprintf(name, sizeof name, "k%d", i);
        kv_value *v = find(engine, name, &db, &hash);
        if (i < 10) kv_keydb_delete(db, hash, v);
        else if (i < 20) CHECK(kv_keydb_set_string(db, hash, kv_slice_cstr(name), v, KV_LIT("after!"), KV_EXPIRE_CLEAR, 0, NULL) == KV_OK);
        else CHECK(kv_keydb_set_expire(db, hash, v, INT64_C(9000000000000), &v) == KV_OK);
    }
    unit.dirty = 30;
    lines wanted = {0}; /* every lock is held */
    for (unsigned i = 0; i < engine->store.shard_count; i++)
        kv_keydb_each(kv_shard_db(&engine->store.shards[i], 0), add_entry, &(lines_walk){&wanted, 0});
    qsort(wanted.line, wanted.count, sizeof *wanted.line, line_order);
    kv_unit_end(&ctx);
    kv_thread_join(&a.thread);
    CHECK(a.result.keys == 30 && bytes_are(&a.bytes, &wanted));
    lines_free(&wanted);
    kv_buf_deinit(&a.bytes);
    client_close(&c);
    kvcore_close(store);
}

/* ---- writers ---- */

typedef struct scene {
    kvcore_store *store;
    _Atomic bool stop;
    _Atomic uint64_t steps;
} scene;

typedef struct writer {
    scene *scene;
    int index;
    kv_thread thread;
} writer;

static void step(client *c, int t, uint64_t n) {
    unsigned long long i = n % RING, w = n;
    RUN(c, NULL, "MULTI");
    RUN(c, NULL, "SET {%d}text %llu", t, w);
    RUN(c, NULL, "INCR count%d", t);
    RUN(c, NULL, "RPUSH list%d %llu", t, w);
    if (n > RING) RUN(c, NULL, "LPOP list%d", t);
    RUN(c, NULL, "HSET hash%d f%llu %llu", t, i, w);
    RUN(c, NULL, "SADD set%d m%llu", t, w);
    if (n > RING) RUN(c, NULL, "SREM set%d m%llu", t, w - RING);
    RUN(c, NULL, "ZADD zset%d %llu m%llu", t, w, i);
    if (n % 50 == 0) RUN(c, NULL, "RENAME hash%d other%d", t, t);
    if (n % 50 == 0) RUN(c, NULL, "RENAME other%d hash%d", t, t);
    RUN(c, NULL, "EXEC");
    CHECK(strstr(client_reply(c), "-") == NULL);
    RUN(c, NULL, "SET first%d %llu", t, w);
    RUN(c, NULL, "SET second%d %llu", t, w);
    RUN(c, NULL, "SELECT %d", 1 + t * 2);
    RUN(c, NULL, "MULTI");
    if (n % 7 == 0) RUN(c, NULL, "SWAPDB %d %d", 1 + t * 2, 2 + t * 2);
    if (n % 11 == 0) RUN(c, NULL, "FLUSHDB");
    RUN(c, NULL, "SET p %llu", w);
    RUN(c, NULL, "SET key%llu x PX 100000", i % 20);
    RUN(c, NULL, "SET q %llu", w);
    RUN(c, NULL, "EXEC");
    RUN(c, NULL, "SELECT 0");
}

static void write_on(void *arg) {
    writer *me = arg;
    client c = client_open(me->scene->store);
    for (uint64_t n = 1; !atomic_load(&me->scene->stop); n++) {
        step(&c, me->index, n);
        atomic_fetch_add(&me->scene->steps, 1);
    }
    client_close(&c);
}

static kv_value *loaded(kv_store *store, unsigned db, const char *format, int t) {
    char name[32];
    snprintf(name, sizeof name, format, t);
    kv_slice key = kv_slice_cstr(name);
    uint64_t hash = kv_store_hash(store, key);
    return kv_keydb_find(kv_shard_db(kv_store_shard_of(store, hash), db), hash, key);
}

static uint64_t number_of(const kv_value *v) {
    char scratch[KV_NUM_MAX];
    int64_t number = 0;
    if (v != NULL) CHECK(v->type == KV_STRING && kv_parse_i64(kv_entry_string(v, scratch), &number));
    return (uint64_t)number;
}

/* Everything that step n left. */
static void check_writer(kv_store *store, int t) {
    char text[32];
    uint64_t n = number_of(loaded(store, 0, "count%d", t));
    CHECK(number_of(loaded(store, 0, "{%d}text", t)) == n);
    if (n == 0) return;
    uint64_t first = n > RING ? n - RING + 1 : 1, second = number_of(loaded(store, 0, "second%d", t)),
             one = number_of(loaded(store, 0, "first%d", t));
    CHECK(one <= n && one + 1 >= n && second <= one && second + 1 >= one);
    const kv_value *list = loaded(store, 0, "list%d", t), *hash = loaded(store, 0, "hash%d", t), *set = loaded(store, 0, "set%d", t),
                   *zset = loaded(store, 0, "zset%d", t);
    CHECK(list != NULL && hash != NULL && set != NULL && zset != NULL);
    CHECK(loaded(store, 0, "other%d", t) == NULL);
    CHECK(kv_list_length(list) == n - first + 1 && kv_set_length(set) == n - first + 1);
    CHECK(kv_hash_length(hash) == n - first + 1 && kv_zset_length(zset) == n - first + 1);
    kv_list_iter it;
    kv_slice item;
    kv_list_iter_init(&it, list, 0, false);
    for (uint64_t i = first; i <= n; i++) {
        int len = snprintf(text, sizeof text, "%llu", (unsigned long long)i);
        CHECK(kv_list_next(&it, &item) && kv_slice_eq(item, kv_slice_of(text, (size_t)len)));
        kv_hash_item field;
        char name[32];
        snprintf(name, sizeof name, "f%llu", (unsigned long long)(i % RING));
        CHECK(kv_hash_get(hash, kv_slice_cstr(name), KV_HASH_ALL, &field) && kv_slice_eq(field.value, kv_slice_of(text, (size_t)len)));
        double score;
        snprintf(name, sizeof name, "m%llu", (unsigned long long)(i % RING));
        CHECK(kv_zset_score(zset, kv_slice_cstr(name), &score) && score == (double)i);
        snprintf(name, sizeof name, "m%llu", (unsigned long long)i);
        CHECK(kv_set_has(set, kv_slice_cstr(name)));
    }
    CHECK(kv_list_iter_end(&it) == KV_OK);
    for (unsigned d = 1 + (unsigned)t * 2; d <= 2 + (unsigned)t * 2; d++)
        CHECK(number_of(loaded(store, d, "p", t)) == number_of(loaded(store, d, "q", t)));
}

static void test_writers(double seconds) {
    scene s = {.store = store_open(MODEL_CONFIG)};
    kv_engine *engine = kvcore_store_engine(s.store);
    writer writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (writer){.scene = &s, .index = i};
        CHECK(kv_thread_start(&writers[i].thread, "writer", write_on, &writers[i]) == 0);
    }
    kv_buf bytes;
    kv_buf_init(&bytes, &engine->mem);
    unsigned snapshots = 0;
    for (uint64_t until = kv_mono_ns() + (uint64_t)(seconds * 1e9); kv_mono_ns() < until || snapshots < 3; snapshots++) {
        kv_snapshot_result result;
        snap(engine, &bytes, &result);
        kv_mem mem;
        kv_store store;
        kv_mem_init(&mem);
        CHECK(load_bytes(&mem, &store, &bytes));
        CHECK(kv_store_check(&store));
        for (int t = 0; t < WRITERS; t++) check_writer(&store, t);
        kv_store_deinit(&store);
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < WRITERS; i++) kv_thread_join(&writers[i].thread);
    kv_buf_deinit(&bytes);
    CHECK(kvcore_check(s.store) == 1);
    kvcore_close(s.store);
}

int main(void) {
    const char *seconds = getenv("SNAPSHOT_SECONDS");
    for (int i = 0; i < 20; i++) test_old_unit();
    test_writers(seconds == NULL ? 2 : atof(seconds));
    return 0;
}
