/* From the cut to the last byte.
 *
 *   1  store.cut is set                                     writers that see the new epoch see it, too
 *   2  the log is told (kv_aof_cut_begin)                   it holds back what carries the new epoch
 *   3  engine.epoch is raised                               units from here on belong behind the cut
 *   4  each shard's lock is taken and given back once       no unit of the old epoch is left (docs/design/locks.md); databases are registered
 *   5  the log's mark (kv_aof_cut_end)
 *   6  header, walk, what writers left, end, checksum
 *   7  store.cut is taken back, each lock taken once more   nobody is inside kv_cut_before any more: what it uses may go
 *
 * The version of the file is decided after 4, before anything of a hash with field expiries is written: every shard was asked whether it had one when
 * it was registered, which is before its first change of the new epoch. */
#include "persist/snapshot.h"

#include <errno.h>

#include "engine/tally.h"
#include "persist/aof.h"
#include "persist/rdb.h"
#include "persist/rdb_out.h"
#include "persist/snapshot_state.h"

enum { PIECE = 64 * 1024, BIG = 64 * 1024 };
enum { ABANDONED_MAX = 60000 /* cuts in a row that were not walked to their end: versions have 16 bits */ };
static const size_t limit_min = (size_t)64 << 20;

/* ---- the cut ---- */

static size_t limit_of(const kv_engine *engine, const kv_snapshot_options *options) {
    if (options->orphan_limit > 0) return options->orphan_limit;
    int64_t most = kv_setting(&engine->settings, KV_CFG_MAXMEMORY);
    size_t of = most > 0 ? (size_t)most : kv_store_used(&engine->store);
    return of / 10 < limit_min ? limit_min : of / 10;
}

/* Versions are compared for equality only, so one must not come back while entries still bear it from 65,535 cuts ago. A walk to the end leaves no old ones;
 * when there was none for that long, entries are stamped here, with the epoch of now. */
static bool stamp_entry(void *arg, kv_value *v) {
    v->version = *(const uint16_t *)arg;
    return true;
}

static void stamp_all(kv_engine *engine) {
    kv_store *store = &engine->store;
    uint16_t epoch = (uint16_t)atomic_load_explicit(&engine->epoch, memory_order_relaxed);
    for (unsigned i = 0; i < store->shard_count; i++) {
        kv_mutex_lock(&store->shards[i].lock);
        for (unsigned d = 0; d < store->db_count; d++) kv_keydb_each(kv_shard_db(&store->shards[i], d), stamp_entry, &epoch);
        kv_mutex_unlock(&store->shards[i].lock);
    }
    store->stamped = atomic_load_explicit(&engine->epoch, memory_order_relaxed);
}

static void sweep(kv_snapshot_state *s) {
    for (unsigned i = 0; i < s->store->shard_count; i++) {
        kv_shard *shard = &s->store->shards[i];
        kv_mutex_lock(&shard->lock);
        if (shard->cut_epoch != s->cut.epoch) kv_cut_register(&s->cut, shard);
        kv_mutex_unlock(&shard->lock);
    }
}

static kv_status make_cut(kv_snapshot_state *s, kv_snapshot_result *out) {
    kv_engine *engine = s->engine;
    uint32_t epoch = atomic_load_explicit(&engine->epoch, memory_order_relaxed);
    if (epoch - s->store->stamped > ABANDONED_MAX) stamp_all(engine);
    epoch += (uint16_t)(epoch + 1) == 0 ? 2 : 1; /* entries that were never stamped have version 0 */
    s->cut = (kv_cut){.epoch = (uint16_t)epoch, .arg = s, .before = kv_snapshot_before};
    atomic_store_explicit(&s->store->cut, &s->cut, memory_order_release); /* pairs with kv_cut_of: units of the old epoch may see it, too */
    if (s->options->aof != NULL) kv_aof_cut_begin(s->options->aof, epoch);
    atomic_store_explicit(&engine->epoch, epoch, memory_order_release); /* pairs with kv_begin_write's */
    sweep(s);
    out->last_save_dirty = kv_tally_dirty(engine);
    if (s->options->aof == NULL) return KV_OK;
    kv_status status = kv_aof_cut_end(s->options->aof, s->options->next_fd, &out->aof_offset);
    out->cut = status == KV_OK;
    return status;
}

/* ---- around the keys ---- */

static void put_fact(kv_buf *out, const char *name, kv_slice value) {
    kv_buf_add_byte(out, KV_RDB_OP_AUX);
    kv_rdb_put_string(out, kv_slice_cstr(name), false);
    kv_rdb_put_string(out, value, false);
}

static void put_number(kv_buf *out, const char *name, uint64_t value) {
    kv_buf_add_byte(out, KV_RDB_OP_AUX);
    kv_rdb_put_string(out, kv_slice_cstr(name), false);
    kv_rdb_put_int_string(out, (int64_t)value);
}

/* How many keys are coming, so that whoever loads the file makes room once. */
static void put_counts(kv_snapshot_state *s, kv_buf *out) {
    kv_store *store = s->store;
    for (unsigned d = 0; d < store->db_count; d++) {
        uint64_t keys = 0, expires = 0;
        for (unsigned i = 0; i < store->shard_count; i++) {
            size_t some, expiring;
            kv_mutex_lock(&store->shards[i].lock);
            kv_cut_counts(&s->cut, &store->shards[i], d, &some, &expiring);
            kv_mutex_unlock(&store->shards[i].lock);
            keys += some;
            expires += expiring;
        }
        if (keys == 0) continue;
        kv_buf_add_byte(out, KV_RDB_OP_SELECT_DB);
        kv_rdb_put_length(out, d);
        kv_buf_add_byte(out, KV_RDB_OP_RESIZE_DB);
        kv_rdb_put_length(out, keys);
        kv_rdb_put_length(out, expires);
        s->keys_total += keys;
    }
}

static void put_head(kv_snapshot_state *s) {
    kv_buf head;
    kv_buf_init(&head, s->mem);
    s->version = atomic_load_explicit(&s->cut.fields, memory_order_relaxed) ? KV_RDB_VALKEY : KV_RDB_COMMON;
    kv_buf_printf(&head, s->version == KV_RDB_VALKEY ? "VALKEY%03d" : "REDIS%04d", s->version);
    put_fact(&head, "valkey-ver", KV_LIT("9.1.0"));
    put_number(&head, "redis-bits", 8 * sizeof(void *));
    put_number(&head, "ctime", (uint64_t)s->now_ms / 1000);
    put_number(&head, "used-mem", kv_engine_used_memory(s->engine));
    put_number(&head, "aof-base", s->options->aof_base);
    put_counts(s, &head);
    if (head.failed) kv_snapshot_fail(s, KV_ENOMEM, NULL);
    else kv_snapshot_put(s, kv_buf_slice(&head));
    kv_buf_deinit(&head);
}

static void put_end(kv_snapshot_state *s) {
    kv_snapshot_put(s, kv_slice_of("\xff", 1)); /* KV_RDB_OP_END */
    uint64_t sum = s->sum;
    kv_snapshot_put(s, kv_slice_of(&sum, sizeof sum)); /* zeros without sums, which readers take for "none" */
}

/* ---- beginning and end ---- */

static void take_back(kv_snapshot_state *s) {
    atomic_store_explicit(&s->store->cut, NULL, memory_order_relaxed);
    for (unsigned i = 0; i < s->store->shard_count; i++) {
        kv_mutex_lock(&s->store->shards[i].lock);
        kv_mutex_unlock(&s->store->shards[i].lock);
    }
    kv_snapshot_clear(s);
    atomic_store_explicit(&s->store->throttle, 0, memory_order_relaxed);
    kv_wake_word(&s->store->throttle, true);
    kv_engine_need_cron(s->engine); /* databases that were flushed meanwhile may be freed now */
}

static const char *words_of(kv_status status) {
    switch (status) {
    case KV_ENOMEM: return "there was not enough memory for it";
    case KV_EIO: return "it could not be written";
    default: return kv_status_name(status);
    }
}

static kv_status run(kv_snapshot_state *s, kv_snapshot_result *out, kv_buf *reason) {
    kv_status status = make_cut(s, out);
    if (status != KV_OK) kv_snapshot_fail(s, status, "the log could not be cut");
    put_head(s);
    kv_snapshot_walk(s);
    put_end(s);
    status = (kv_status)atomic_load_explicit(&s->status, memory_order_relaxed);
    if (status == KV_OK) s->store->stamped = atomic_load_explicit(&s->engine->epoch, memory_order_relaxed);
    take_back(s);
    out->keys = s->keys;
    out->bytes = s->bytes;
    out->version = s->version;
    out->orphan_peak = atomic_load_explicit(&s->peak, memory_order_relaxed);
    out->longest_hold_ns = kv_clock_ticks_ns(&s->engine->clock, s->longest_ticks);
    if (status != KV_OK) {
        const char *problem = atomic_load_explicit(&s->problem, memory_order_relaxed);
        kv_buf_printf(reason, "the snapshot was given up: %s", problem != NULL ? problem : words_of(status));
    }
    return status;
}

kv_status kv_snapshot(kv_engine *engine, const kv_snapshot_options *options, kv_snapshot_result *out, kv_buf *reason) {
    *out = (kv_snapshot_result){0};
    bool taken = false;
    if (!atomic_compare_exchange_strong_explicit(&engine->store.cutting, &taken, true, memory_order_acquire, memory_order_relaxed)) {
        kv_buf_printf(reason, "another snapshot is being made");
        return KV_EEXISTS;
    }
    kv_snapshot_state *s = kv_calloc(&engine->mem, 1, sizeof *s);
    kv_status status = KV_ENOMEM;
    if (s != NULL) {
        s->engine = engine;
        s->store = &engine->store;
        s->mem = &engine->mem;
        s->options = options;
        s->access = atomic_load_explicit(&engine->store.access, memory_order_relaxed);
        s->now_ms = kv_clock_ms(&engine->clock);
        s->limit = limit_of(engine, options);
        s->piece = options->piece > 0 ? options->piece : PIECE;
        s->big = options->big > 0 ? options->big : BIG;
        kv_buf_init(&s->encoded, s->mem);
        status = run(s, out, reason);
        int error = s->error;
        kv_free(&engine->mem, s);
        errno = error;
    } else {
        kv_buf_printf(reason, "the snapshot was given up: %s", words_of(status));
    }
    atomic_store_explicit(&engine->store.cutting, false, memory_order_release);
    return status;
}
