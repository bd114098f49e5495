/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* Snapshots: whatever is done to the store between two writes of one - every way to change, move, delete, expire, flush and swap there is, growing, shrinking
 * and compacting tables - the file holds what was there when it was asked for, and each key once. The commands run in the very thread that makes the
 * snapshot, inside its `write`, so that every interleaving is one of a seed and can be had again: SNAPSHOT_SEED, and SNAPSHOT_ROUNDS for longer runs. */
#include "snapshot_model.h"

#include "engine/cron.h"
#include "persist/rdb.h"
#include "store/cut.h"

typedef struct sink {
    kvcore_store *store;
    kv_engine *engine;
    client a, b;
    kv_rng rng;
    kv_buf bytes;
    unsigned writes, commands; /* commands after each write, at most */
    unsigned fail_at;          /* which write fails; 0: none */
    const char *only;          /* the only pattern; NULL: any */
} sink;

static void look_after_tables(sink *s) {
    kv_store *store = &s->engine->store;
    kv_shard *shard = &store->shards[below(&s->rng, store->shard_count)];
    kv_mutex_lock(&shard->lock);
    switch (below(&s->rng, 4)) {
    case 0: (void)kv_shard_compact(shard, 16); break;
    case 1: (void)kv_shard_free_some(shard, 20); break;
    case 2:
        for (unsigned d = 0; d < 3; d++)
            if (shard->dbs[d] != NULL) (void)kv_table_rehash_step(&shard->dbs[d]->keys, 2);
        break;
    default: CHECK(kv_shard_check(shard));
    }
    kv_mutex_unlock(&shard->lock);
}

static void disturb(sink *s) {
    for (unsigned n = s->commands == 0 ? 0 : below(&s->rng, s->commands); n > 0; n--) {
        unsigned what = below(&s->rng, 400);
        client *c = below(&s->rng, 2) == 0 ? &s->a : &s->b;
        if (s->only != NULL) model_command(s->store, c, &s->rng, s->only);
        else if (what == 0) model_command(s->store, c, &s->rng, "FLUSHALL");
        else if (what <= 2) model_command(s->store, c, &s->rng, "FLUSHDB");
        else if (what <= 8) model_command(s->store, c, &s->rng, "SWAPDB D D");
        else if (what <= 16) kvcore_clock_advance(s->store, (int64_t)below(&s->rng, 30) * 1000);
        else if (what <= 40) look_after_tables(s);
        else model_command(s->store, c, &s->rng, model_patterns[below(&s->rng, MODEL_PATTERNS)]);
    }
}

static kv_status on_write(void *arg, kv_slice bytes) {
    sink *s = arg;
    if (++s->writes == s->fail_at) return KV_EIO;
    kv_buf_add_slice(&s->bytes, bytes);
    if (s->bytes.failed) return KV_ENOMEM;
    disturb(s);
    return KV_OK;
}

static void sink_open(sink *s, uint64_t seed) {
    *s = (sink){.store = store_open(MODEL_CONFIG)};
    s->engine = kvcore_store_engine(s->store);
    s->a = client_open(s->store);
    s->b = client_open(s->store);
    kv_rng_seed(&s->rng, seed);
    kv_buf_init(&s->bytes, &s->engine->mem);
    kvcore_clock_freeze(s->store, INT64_C(1700000000000000));
    atomic_store(&s->engine->active_expire, false); /* expires when it is told to, in this thread */
}

static void sink_close(sink *s) {
    kv_buf_deinit(&s->bytes);
    client_close(&s->a);
    client_close(&s->b);
    CHECK(kvcore_check(s->store) == 1);
    kvcore_close(s->store);
}

static void fill(sink *s, unsigned commands) {
    for (unsigned i = 0; i < commands; i++) model_command(s->store, &s->a, &s->rng, model_patterns[below(&s->rng, MODEL_PATTERNS)]);
    RUN(&s->a, NULL, "DISCARD");
    RUN(&s->b, NULL, "DISCARD");
}

static kv_status snap(sink *s, const kv_snapshot_options *options, kv_snapshot_result *result) {
    kv_buf reason;
    kv_buf_init(&reason, &s->engine->mem);
    kv_buf_clear(&s->bytes);
    s->writes = 0;
    kv_status status = kv_snapshot(s->engine, options, result, &reason);
    CHECK(reason.failed || (status == KV_OK) == (reason.len == 0));
    kv_buf_deinit(&reason);
    CHECK(atomic_load(&s->engine->store.cut) == NULL && atomic_load(&s->engine->store.throttle) == 0);
    for (unsigned i = 0; i < s->engine->store.shard_count; i++) CHECK(s->engine->store.shards[i].pins == NULL);
    return status;
}

static bool has_field_times(const lines *all) {
    for (size_t i = 0; i < all->count; i++) {
        if (strstr(all->line[i], "type=4") == NULL) continue;
        for (const char *at = all->line[i]; (at = strchr(at, '@')) != NULL; at++)
            if (strncmp(at, "@-1", 3) != 0) return true;
    }
    return false;
}

/* One store, several snapshots of it, each under other conditions. */
static void story(uint64_t seed, unsigned rounds) {
    sink s;
    sink_open(&s, seed);
    for (unsigned round = 0; round < rounds; round++) {
        s.commands = 0;
        fill(&s, 40 + below(&s.rng, 300));
        s.commands = below(&s.rng, 4) == 0 ? 0 : 1 + below(&s.rng, 60);
        kv_snapshot_options options = {.compress = below(&s.rng, 2) == 0,
                                       .sums = true,
                                       .next_fd = -1,
                                       .piece = 1 + below(&s.rng, 2000),
                                       .big = below(&s.rng, 3) == 0 ? 0 : 1 + below(&s.rng, 1500),
                                       .arg = &s,
                                       .write = on_write};
        lines wanted = lines_of(&s.engine->store);
        kv_snapshot_result result;
        CHECK(snap(&s, &options, &result) == KV_OK);
        if (result.keys != wanted.count || (result.version == KV_RDB_VALKEY) < has_field_times(&wanted) || !bytes_are(&s.bytes, &wanted)) {
            fprintf(stderr, "seed %llu, round %u: %llu keys of %zu\n", (unsigned long long)seed, round, (unsigned long long)result.keys,
                    wanted.count);
            exit(1);
        }
        lines_free(&wanted);
    }
    sink_close(&s);
}

/* ---- when it cannot be ---- */

/* The n-th write fails: the snapshot says so, and the store is none the worse. */
static void test_failing_writes(void) {
    sink s;
    sink_open(&s, 77);
    fill(&s, 400);
    s.commands = 5;
    for (unsigned at = 1;; at++) {
        s.fail_at = at;
        kv_snapshot_options options = {.next_fd = -1, .piece = 500, .big = 300, .arg = &s, .write = on_write};
        kv_snapshot_result result;
        kv_status status = snap(&s, &options, &result);
        CHECK(status == KV_EIO || status == KV_OK);
        CHECK(kvcore_check(s.store) == 1);
        if (status == KV_OK) break;
    }
    sink_close(&s);
}

static bool refuse(void *arg, uint64_t done, uint64_t total) {
    (void)arg, (void)done, (void)total;
    return false;
}

static kv_status snap_again(void *arg, kv_slice bytes) {
    sink *s = arg;
    kv_snapshot_options options = {.next_fd = -1, .arg = s, .write = on_write};
    kv_snapshot_result result;
    kv_buf reason;
    (void)bytes;
    kv_buf_init(&reason, &s->engine->mem);
    CHECK(kv_snapshot(s->engine, &options, &result, &reason) == KV_EEXISTS && reason.len > 0);
    kv_buf_deinit(&reason);
    return KV_OK;
}

static void test_refusals(void) {
    sink s;
    sink_open(&s, 78);
    fill(&s, 100);
    kv_snapshot_options options = {.next_fd = -1, .arg = &s, .write = snap_again};
    kv_snapshot_result result;
    CHECK(snap(&s, &options, &result) == KV_OK);
    options.write = on_write;
    options.progress = refuse;
    CHECK(snap(&s, &options, &result) == KV_EINVAL);
    /* Writers change more than may be kept. */
    for (int i = 0; i < 200; i++) RUN(&s.a, "+OK|", "SET big%d %0300d", i, i);
    options.progress = NULL;
    options.orphan_limit = 2000;
    options.piece = 300;
    s.commands = 60;
    s.only = "SETRANGE K 200 T";
    fill(&s, 0);
    for (int i = 0; i < 24; i++) RUN(&s.a, NULL, "SET k%d %0300d", i, i);
    s.commands = 200;
    CHECK(snap(&s, &options, &result) == KV_ETOOBIG && result.orphan_peak > 4000);
    sink_close(&s);
}

/* Allocation k fails, and all from there on: a snapshot that is made all the same holds what it should. Only in builds that can do that. */
static void test_no_memory(void) {
    for (int forever = 0; forever < 2; forever++) {
        sink s;
        sink_open(&s, 79);
        kvcore_fail_allocation(s.store, -1, 0);
        fill(&s, 500);
        kv_status status = KV_ENOMEM;
        for (int64_t k = 1; status != KV_OK && k < 2000; k += 1 + k / 40) {
            s.commands = (unsigned)k % 8;
            fill(&s, 3);
            lines wanted = lines_of(&s.engine->store);
            kv_snapshot_options options = {
                .compress = true, .sums = true, .next_fd = -1, .piece = 700, .big = 300, .arg = &s, .write = on_write};
            kv_snapshot_result result;
            kvcore_fail_allocation(s.store, k, forever);
            status = snap(&s, &options, &result);
            kvcore_fail_allocation(s.store, -1, 0);
            CHECK(status == KV_OK || status == KV_ENOMEM);
            CHECK(status != KV_OK || bytes_are(&s.bytes, &wanted));
            CHECK(kvcore_check(s.store) == 1);
            lines_free(&wanted);
        }
        CHECK(status == KV_OK || forever);
        sink_close(&s);
    }
}

/* Versions come round: an entry that no snapshot has looked at for 65,536 of them is not taken for one that this one has. */
static void test_versions_come_round(void) {
    sink s;
    sink_open(&s, 80);
    fill(&s, 200);
    kv_snapshot_options options = {.next_fd = -1, .arg = &s, .write = on_write};
    kv_snapshot_result result;
    CHECK(snap(&s, &options, &result) == KV_OK);
    uint32_t epoch = atomic_load(&s.engine->epoch);
    lines wanted = lines_of(&s.engine->store);
    options.progress = refuse;
    for (unsigned n = 0; n < 65534; n++) CHECK(snap(&s, &options, &result) == KV_EINVAL);
    options.progress = NULL;
    for (unsigned n = 0; n < 4; n++) { /* around the epoch that the entries had */
        CHECK(snap(&s, &options, &result) == KV_OK && bytes_are(&s.bytes, &wanted));
        if (n == 0) CHECK((uint16_t)atomic_load(&s.engine->epoch) - (uint16_t)epoch < 4);
    }
    lines_free(&wanted);
    sink_close(&s);
}

int main(void) {
    const char *seed = getenv("SNAPSHOT_SEED"), *rounds = getenv("SNAPSHOT_ROUNDS");
    unsigned stories = rounds == NULL ? 60 : (unsigned)atoi(rounds);
    if (seed != NULL) {
        story(strtoull(seed, NULL, 10), 8);
        return 0;
    }
    for (unsigned i = 0; i < stories; i++) story(1000 + i, 8);
    test_failing_writes();
    test_refusals();
    test_no_memory();
    test_versions_come_round();
    return 0;
}
