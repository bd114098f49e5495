/* A batch is records, one after the other: | record | key | value as in the file | padding to 8 |. It is put in sixteen keys at a time: first their
 * hashes are computed and their buckets fetched, then each shard's lock is taken for one key. */
#include "persist/load_batch.h"

#include "store/access.h"

typedef struct record {
    int64_t expire_ms, idle_s;
    size_t value_len, key_len;
    unsigned db;
    uint8_t type, frequency;
} record;

enum { GROUP = 16 };

static size_t padded(size_t bytes) { return (bytes + 7) & ~(size_t)7; }

bool kv_load_fail(kv_load *load, kv_status status, const char *problem, kv_slice key) {
    int none = KV_OK;
    if (!atomic_compare_exchange_strong_explicit(&load->failed, &none, (int)status, memory_order_relaxed, memory_order_relaxed))
        return false;
    load->problem = problem; /* read when all threads have ended */
    load->key_len = key.len < sizeof load->key ? key.len : sizeof load->key;
    memcpy(load->key, key.ptr, load->key_len);
    return false;
}

bool kv_load_add(kv_buf *batch, const kv_rdb_item *item, const uint8_t *value, size_t bytes) {
    record r = {.expire_ms = item->expire_ms,
                .idle_s = item->idle_s,
                .value_len = bytes,
                .key_len = item->name.len,
                .db = item->db,
                .type = item->type,
                .frequency = item->frequency};
    static const uint8_t zeros[8] = {0};
    size_t text = item->name.len + bytes;
    if (!kv_buf_reserve(batch, sizeof r + padded(text))) return false;
    kv_buf_add(batch, &r, sizeof r);
    kv_buf_add_slice(batch, item->name);
    kv_buf_add(batch, value, bytes);
    kv_buf_add(batch, zeros, padded(text) - text);
    return true;
}

/* The value is in the arena, or borrowed text; now it gets its key. */
static kv_status put(kv_keydb *db, uint64_t hash, kv_value *old, const kv_rdb_item *item, const kv_rdb_object *object, kv_value **out) {
    kv_expire_rule rule = item->expire_ms < 0 ? KV_EXPIRE_CLEAR : KV_EXPIRE_AT;
    if (object->is_text) return kv_keydb_set_string(db, hash, item->name, old, object->text, rule, item->expire_ms, out);
    return kv_keydb_replace_value(db, hash, item->name, old, object->value, rule, item->expire_ms, out);
}

static void set_access(const kv_load *load, kv_value *v, const kv_rdb_item *item) {
    bool lfu = kv_policy_is_lfu((kv_evict_policy)atomic_load_explicit(&load->store->access, memory_order_relaxed).policy);
    if (lfu && item->frequency != 0) kv_access_set(v, kv_access_from_frequency(item->frequency, load->now_ms));
    if (!lfu && item->idle_s >= 0) kv_access_set(v, kv_access_from_idle(item->idle_s, load->now_ms));
}

static bool has_passed(const kv_load *load, const kv_rdb_item *item) {
    return item->expire_ms >= 0 && item->expire_ms <= load->drop_expired_ms;
}

/* What one batch came to: added to the load's counters once, as they are everybody's. */
typedef struct tally {
    uint64_t keys, expired, empty;
} tally;

static void add_up(kv_load *load, const tally *t) {
    atomic_fetch_add_explicit(&load->keys, t->keys, memory_order_relaxed);
    atomic_fetch_add_explicit(&load->expired, t->expired, memory_order_relaxed);
    atomic_fetch_add_explicit(&load->empty, t->empty, memory_order_relaxed);
}

/* The shard is locked. */
static bool put_locked(kv_load *load, kv_shard *shard, uint64_t hash, kv_rdb_reader *reader, const kv_rdb_item *item, tally *t) {
    kv_rdb_object object;
    kv_value *v;
    shard->now_ms = load->now_ms;
    kv_keydb *db = kv_shard_db_open(shard, item->db);
    if (db == NULL) return kv_load_fail(load, KV_ENOMEM, "out of memory", item->name);
    kv_value *old = kv_keydb_find(db, hash, item->name);
    if (old != NULL && !load->merge) return kv_load_fail(load, KV_ECORRUPT, "a key that comes twice", item->name);
    if (!kv_rdb_read_value(reader, item->type, shard->arena, &object))
        return kv_load_fail(load, reader->in->status, reader->in->problem, item->name);
    if (object.empty) { /* old versions left them behind; no key may hold one */
        t->empty++;
        return true;
    }
    if (put(db, hash, old, item, &object, &v) != KV_OK) {
        kv_rdb_object_free(&object, shard->arena);
        return kv_load_fail(load, KV_ENOMEM, "out of memory", item->name);
    }
    set_access(load, v, item);
    t->keys++;
    return true;
}

static bool put_one(kv_load *load, uint64_t hash, kv_rdb_reader *reader, const kv_rdb_item *item, tally *t) {
    kv_shard *shard = kv_store_shard_of(load->store, hash);
    kv_mutex_lock(&shard->lock);
    bool good = put_locked(load, shard, hash, reader, item, t);
    kv_mutex_unlock(&shard->lock);
    return good;
}

/* ---- batches ---- */

typedef struct waiting {
    kv_rdb_item item;
    kv_slice value;
    uint64_t hash;
} waiting;

static const uint8_t *take(const kv_load *load, const uint8_t *at, waiting *w) {
    record r;
    memcpy(&r, at, sizeof r);
    const uint8_t *text = at + sizeof r;
    w->item = (kv_rdb_item){.kind = KV_RDB_ITEM_KEY,
                            .type = r.type,
                            .frequency = r.frequency,
                            .db = r.db,
                            .expire_ms = r.expire_ms,
                            .idle_s = r.idle_s,
                            .name = kv_slice_of(text, r.key_len)};
    w->value = kv_slice_of(text + r.key_len, r.value_len);
    w->hash = kv_store_hash(load->store, w->item.name);
    kv_shard_prefetch(kv_store_shard_of(load->store, w->hash), r.db, w->hash);
    return text + padded(r.key_len + r.value_len);
}

void kv_load_put(kv_load *load, kv_mem *mem, const kv_buf *batch) {
    const uint8_t *at = batch->ptr, *end = batch->ptr + batch->len;
    kv_rdb_in in;
    kv_rdb_reader reader;
    tally t = {0};
    kv_rdb_in_init(&in, mem, kv_buf_slice(batch));
    kv_rdb_reader_init(&reader, &in, load->limits, load->version);
    while (at < end && !kv_load_failed(load)) {
        waiting group[GROUP];
        size_t n = 0;
        for (; n < GROUP && at < end; n++) at = take(load, at, &group[n]);
        for (size_t i = 0; i < n; i++) {
            kv_rdb_in_init(&in, mem, group[i].value);
            if (has_passed(load, &group[i].item)) t.expired++;
            else if (!put_one(load, group[i].hash, &reader, &group[i].item, &t)) break;
        }
    }
    kv_rdb_reader_deinit(&reader);
    add_up(load, &t);
}

void kv_load_put_now(kv_load *load, kv_rdb_in *in, const kv_rdb_item *item) {
    tally t = {0};
    if (has_passed(load, item)) {
        t.expired = 1;
        if (!kv_rdb_skip_value(in, item->type, load->version)) (void)kv_load_fail(load, in->status, in->problem, item->name);
    } else {
        kv_rdb_reader reader;
        kv_rdb_reader_init(&reader, in, load->limits, load->version);
        (void)put_one(load, kv_store_hash(load->store, item->name), &reader, item, &t);
        kv_rdb_reader_deinit(&reader);
    }
    add_up(load, &t);
}
