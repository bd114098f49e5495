/* A snapshot in one step: every shard is locked while the store is encoded into memory, which is the cut as well; the bytes are handed on afterwards. So
 * writers wait for as long as encoding takes, and the encoded bytes are in memory beside the store. */
#include "persist/snapshot.h"

#include <errno.h>
#include <stdio.h>

#include "engine/dispatch.h"
#include "engine/tally.h"
#include "persist/aof.h"
#include "persist/crc64.h"
#include "persist/rdb.h"
#include "persist/rdb_out.h"
#include "persist/rdb_write.h"

typedef struct encoder {
    const kv_snapshot_options *options;
    kv_buf out;
    uint64_t keys;
    int version;
} encoder;

static bool put_key(void *arg, kv_value *v) {
    encoder *e = arg;
    int64_t expire_ms = kv_entry_expire_ms(v);
    if (expire_ms >= 0) {
        kv_buf_add_byte(&e->out, KV_RDB_OP_EXPIRE_MS);
        kv_rdb_put_u64(&e->out, (uint64_t)expire_ms);
    }
    kv_buf_add_byte(&e->out, kv_rdb_type_of(v));
    kv_rdb_put_string(&e->out, kv_entry_key(v), false);
    kv_rdb_write_value(v, e->options->compress, &e->out);
    if (kv_rdb_version_of(v) > e->version) e->version = kv_rdb_version_of(v);
    e->keys++;
    return !e->out.failed;
}

static void put_database(encoder *e, kv_store *store, unsigned db) {
    bool begun = false;
    for (unsigned i = 0; i < store->shard_count; i++) {
        const kv_keydb *part = kv_shard_db(&store->shards[i], db);
        if (part == NULL || kv_table_count(&part->keys) == 0) continue;
        if (!begun) {
            kv_buf_add_byte(&e->out, KV_RDB_OP_SELECT_DB);
            kv_rdb_put_length(&e->out, db);
            begun = true;
        }
        kv_keydb_each(part, put_key, e);
    }
}

static void put_fact(encoder *e, const char *name, const char *value) {
    kv_buf_add_byte(&e->out, KV_RDB_OP_AUX);
    kv_rdb_put_string(&e->out, kv_slice_cstr(name), false);
    kv_rdb_put_string(&e->out, kv_slice_cstr(value), false);
}

/* With the cut of the log around it: all units of before have ended when every lock is there. */
static kv_status encode(encoder *e, kv_engine *engine, kv_snapshot_result *out) {
    kv_aof *aof = e->options->aof;
    uint64_t all = kv_store_all_shards(&engine->store);
    uint32_t epoch = atomic_load_explicit(&engine->epoch, memory_order_relaxed) + 1;
    if (aof != NULL) kv_aof_cut_begin(aof, epoch);
    atomic_store_explicit(&engine->epoch, epoch, memory_order_release);
    kv_lock_shards(engine, all);
    out->last_save_dirty = kv_tally_dirty(engine);
    for (unsigned db = 0; db < engine->store.db_count; db++) put_database(e, &engine->store, db);
    kv_unlock_shards(engine, all);
    if (aof == NULL) return KV_OK;
    kv_status status = kv_aof_cut_end(aof, e->options->next_fd, &out->aof_offset);
    out->cut = status == KV_OK;
    return status;
}

static kv_status hand_on(encoder *e, kv_snapshot_result *out) {
    kv_buf_add_byte(&e->out, KV_RDB_OP_END);
    if (e->out.failed) return KV_ENOMEM;
    char version[5];
    snprintf(version, sizeof version, "%04d", e->version);
    memcpy(e->out.ptr, e->version >= KV_RDB_VALKEY ? "VALKEY" : "REDIS", e->version >= KV_RDB_VALKEY ? 6 : 5);
    if (e->version >= KV_RDB_VALKEY) memcpy(e->out.ptr + 6, version + 1, 3);
    else memcpy(e->out.ptr + 5, version, 4);
    kv_rdb_put_u64(&e->out, e->options->sums ? kv_crc64(0, e->out.ptr, e->out.len) : 0);
    if (e->out.failed) return KV_ENOMEM;
    const kv_snapshot_options *options = e->options;
    for (size_t at = 0, piece; at < e->out.len; at += piece) {
        piece = e->out.len - at < 1024 * 1024 ? e->out.len - at : 1024 * 1024;
        kv_status status = options->write(options->arg, kv_slice_of(e->out.ptr + at, piece));
        if (status != KV_OK) return status;
        if (options->progress != NULL && !options->progress(options->arg, e->keys * (at + piece) / e->out.len, e->keys)) return KV_EINVAL;
    }
    *out = (kv_snapshot_result){.keys = e->keys,
                                .bytes = e->out.len,
                                .aof_offset = out->aof_offset,
                                .version = e->version,
                                .orphan_peak = e->out.len,
                                .cut = out->cut,
                                .last_save_dirty = out->last_save_dirty};
    return KV_OK;
}

kv_status kv_snapshot(kv_engine *engine, const kv_snapshot_options *options, kv_snapshot_result *out, kv_buf *reason) {
    *out = (kv_snapshot_result){0};
    encoder e = {.options = options, .version = KV_RDB_COMMON};
    kv_buf_init(&e.out, &engine->mem);
    kv_buf_add(&e.out, "REDIS0011", 9);
    if (options->aof_base) put_fact(&e, "aof-base", "1");
    kv_status status = encode(&e, engine, out);
    if (status == KV_OK) status = hand_on(&e, out);
    int error = errno;
    kv_buf_deinit(&e.out);
    if (status != KV_OK)
        kv_buf_printf(reason, "the snapshot was given up%s",
                      status == KV_ENOMEM ? ": there was not enough memory for it"
                      : status == KV_EIO  ? ": it could not be written"
                                          : "");
    errno = error;
    return status;
}
