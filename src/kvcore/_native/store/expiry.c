/* The expiry index at work: the soonest times come out of the heap, so expiring costs O(expired * log n) however many keys there are. */
#include "store/keydb.h"

enum { TTL_SAMPLES = 16 };

int64_t kv_keydb_next_expiry(const kv_keydb *db) {
    const kv_heap_entry *first = db == NULL ? NULL : kv_heap_peek(&db->expires);
    return first == NULL ? KV_NO_EXPIRE : first->when_ms;
}

int64_t kv_keydb_next_field_expiry(const kv_keydb *db) {
    const kv_heap_entry *first = db == NULL ? NULL : kv_heap_peek(&db->fields);
    return first == NULL ? KV_NO_EXPIRE : first->when_ms;
}

/* Keeps the estimate of the mean time to live: a few random keys, weighted in by a tenth. */
static void sample_ttl(kv_keydb *db, int64_t now_ms) {
    size_t count = kv_heap_count(&db->expires);
    if (count == 0) {
        atomic_store_explicit(&db->counts->avg_ttl_ms, 0, memory_order_relaxed);
        return;
    }
    double sum = 0;
    for (int i = 0; i < TTL_SAMPLES; i++) {
        const kv_heap_entry *entry = kv_heap_at(&db->expires, (uint32_t)kv_rng_below(&db->shard->rng, count));
        if (entry->when_ms > now_ms) sum += (double)(entry->when_ms - now_ms);
    }
    double mean = sum / TTL_SAMPLES, before = (double)atomic_load_explicit(&db->counts->avg_ttl_ms, memory_order_relaxed);
    double after = before == 0 ? mean : before + (mean - before) / 10;
    if (after > 9e18) after = 9e18;
    atomic_store_explicit(&db->counts->avg_ttl_ms, (int64_t)after, memory_order_relaxed);
}

size_t kv_keydb_expire_due(kv_keydb *db, int64_t now_ms, size_t budget, kv_expire_fn *fn, void *arg) {
    if (db == NULL) return 0;
    size_t deleted = 0;
    while (deleted < budget) {
        const kv_heap_entry *first = kv_heap_peek(&db->expires);
        if (first == NULL || first->when_ms > now_ms) break;
        kv_value *v = first->item;
        if (!fn(arg, db, v)) break;
        kv_keydb_delete(db, kv_store_hash(db->shard->store, kv_entry_key(v)), v);
        deleted++;
    }
    sample_ttl(db, now_ms);
    return deleted;
}

kv_value *kv_keydb_due_fields(const kv_keydb *db, int64_t now_ms) {
    const kv_heap_entry *first = db == NULL ? NULL : kv_heap_peek(&db->fields);
    return first == NULL || first->when_ms > now_ms ? NULL : first->item;
}
