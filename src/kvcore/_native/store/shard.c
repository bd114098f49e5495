/* Shards: made with the store, empty and without memory of their own until something is written.
 *
 * All keys of a shard live in its arena, so the end of a store is the end of its arenas: no key is looked at. */
#include "store/shard.h"

#include "store/cut.h"
#include "store/keydb.h"

static bool is_power_of_two(unsigned n) { return n != 0 && (n & (n - 1)) == 0; }

static unsigned log2_of(unsigned n) {
    unsigned bits = 0;
    while (n > 1) {
        n >>= 1;
        bits++;
    }
    return bits;
}

kv_status kv_store_init(kv_store *store, kv_mem *mem, unsigned shard_count, unsigned db_count, kv_hash_seed seed) {
    if (!is_power_of_two(shard_count) || shard_count > KV_MAX_SHARDS || db_count == 0) return KV_EINVAL;
    size_t cells, counts_bytes, dbs_bytes, bytes;
    if (!kv_mul_size(shard_count, db_count, &cells) || !kv_mul_size(cells, sizeof(kv_keydb_counts), &counts_bytes) ||
        !kv_mul_size(cells, sizeof(kv_keydb *), &dbs_bytes) || !kv_add_size(counts_bytes, dbs_bytes, &bytes))
        return KV_ETOOBIG;
    /* One block more than the shards need, so that they can be aligned to cache lines. */
    void *shards = kv_calloc(mem, shard_count + 1, sizeof(kv_shard));
    uint8_t *tables = kv_calloc(mem, 1, bytes);
    if (shards == NULL || tables == NULL) {
        kv_free(mem, shards);
        kv_free(mem, tables);
        return KV_ENOMEM;
    }
    memset(store, 0, sizeof *store);
    store->mem = mem;
    store->seed = seed;
    store->shard_count = shard_count;
    store->shard_shift = 63 - log2_of(shard_count);
    store->db_count = db_count;
    store->shard_block = shards;
    store->shards = (kv_shard *)(((uintptr_t)shards + 63) & ~(uintptr_t)63);
    store->tables = tables;
    for (unsigned i = 0; i < shard_count; i++) {
        kv_shard *shard = &store->shards[i];
        kv_mutex_init(&shard->lock, KV_RANK_SHARD, i);
        shard->index = i;
        shard->store = store;
        shard->counts = (kv_keydb_counts *)tables + (size_t)i * db_count;
        shard->dbs = (kv_keydb **)(tables + counts_bytes) + (size_t)i * db_count;
        kv_rng_seed(&shard->rng, seed.k0 ^ (seed.k1 + i));
    }
    return KV_OK;
}

void kv_store_deinit(kv_store *store) {
    if (store->shards == NULL) return;
    for (unsigned i = 0; i < store->shard_count; i++) {
        kv_shard *shard = &store->shards[i];
        for (unsigned j = 0; j < store->db_count; j++) kv_free(store->mem, shard->dbs[j]);
        while (shard->flushed != NULL) {
            kv_keydb *db = shard->flushed;
            shard->flushed = db->next;
            kv_free(store->mem, db);
        }
        while (shard->gone != NULL) {
            kv_leaving *leaving = shard->gone;
            shard->gone = leaving->next;
            kv_arena_destroy(leaving->arena);
            kv_free(store->mem, leaving);
        }
    }
    for (unsigned i = 0; i < store->shard_count; i++)
        if (store->shards[i].arena != NULL) kv_arena_destroy(store->shards[i].arena);
    kv_free(store->mem, store->shard_block);
    kv_free(store->mem, store->tables);
    store->shards = NULL;
}

kv_keydb *kv_shard_db_open(kv_shard *shard, unsigned index) {
    if (shard->dbs[index] != NULL) return shard->dbs[index];
    kv_mem *mem = shard->store->mem;
    if (shard->arena == NULL) {
        kv_arena *arena = kv_arena_create(mem);
        if (arena == NULL) return NULL;
        shard->arena = arena;
    }
    kv_keydb *db = kv_malloc(mem, sizeof *db);
    if (db == NULL) return NULL;
    kv_keydb_init(db, shard, index);
    shard->dbs[index] = db;
    return db;
}

/* ---- sums over the shards ---- */

typedef enum which_count { COUNT_KEYS, COUNT_EXPIRES, COUNT_FIELDS } which_count;

static size_t sum(const kv_store *store, unsigned db, which_count which) {
    size_t total = 0;
    for (unsigned i = 0; i < store->shard_count; i++) {
        const kv_keydb_counts *counts = &store->shards[i].counts[db];
        const _Atomic size_t *one = which == COUNT_KEYS ? &counts->keys : which == COUNT_EXPIRES ? &counts->expires : &counts->fields;
        total += atomic_load_explicit(one, memory_order_relaxed);
    }
    return total;
}

size_t kv_store_count(const kv_store *store, unsigned db) { return sum(store, db, COUNT_KEYS); }
size_t kv_store_expire_count(const kv_store *store, unsigned db) { return sum(store, db, COUNT_EXPIRES); }
size_t kv_store_field_count(const kv_store *store, unsigned db) { return sum(store, db, COUNT_FIELDS); }

int64_t kv_store_avg_ttl_ms(const kv_store *store, unsigned db) {
    double weighted = 0;
    size_t keys = 0;
    for (unsigned i = 0; i < store->shard_count; i++) {
        const kv_keydb_counts *counts = &store->shards[i].counts[db];
        size_t expires = atomic_load_explicit(&counts->expires, memory_order_relaxed);
        weighted += (double)atomic_load_explicit(&counts->avg_ttl_ms, memory_order_relaxed) * (double)expires;
        keys += expires;
    }
    return keys == 0 ? 0 : (int64_t)(weighted / (double)keys);
}

size_t kv_store_used(const kv_store *store) {
    size_t total = 0;
    for (unsigned i = 0; i < store->shard_count; i++)
        if (store->shards[i].arena != NULL) total += kv_arena_used(store->shards[i].arena);
    return total;
}

size_t kv_store_mapped(const kv_store *store) {
    size_t total = 0;
    for (unsigned i = 0; i < store->shard_count; i++)
        if (store->shards[i].arena != NULL) total += kv_arena_mapped(store->shards[i].arena);
    return total;
}

/* ---- whole databases ---- */

static void rebind(kv_shard *shard, unsigned index) {
    kv_keydb *db = shard->dbs[index];
    if (db == NULL) {
        kv_keydb_counts *counts = &shard->counts[index];
        atomic_store_explicit(&counts->keys, 0, memory_order_relaxed);
        atomic_store_explicit(&counts->expires, 0, memory_order_relaxed);
        atomic_store_explicit(&counts->fields, 0, memory_order_relaxed);
        atomic_store_explicit(&counts->avg_ttl_ms, 0, memory_order_relaxed);
        return;
    }
    db->index = index;
    db->counts = &shard->counts[index];
    kv_keydb_publish_counts(db);
}

void kv_store_swap_db(kv_store *store, unsigned a, unsigned b) {
    for (unsigned i = 0; i < store->shard_count; i++) {
        kv_shard *shard = &store->shards[i];
        kv_cut_before_databases(shard);
        kv_keydb *db = shard->dbs[a];
        shard->dbs[a] = shard->dbs[b];
        shard->dbs[b] = db;
        int64_t ttl = atomic_load(&shard->counts[a].avg_ttl_ms);
        atomic_store(&shard->counts[a].avg_ttl_ms, atomic_load(&shard->counts[b].avg_ttl_ms));
        atomic_store(&shard->counts[b].avg_ttl_ms, ttl);
        rebind(shard, a);
        rebind(shard, b);
    }
}

void kv_shard_flush(kv_shard *shard, unsigned index) {
    kv_keydb *db = shard->dbs[index];
    if (db == NULL) return;
    kv_cut_before_databases(shard);
    shard->dbs[index] = NULL;
    rebind(shard, index);
    kv_shard_count_garbage(shard, kv_table_count(&db->keys), 0);
    db->next = shard->flushed;
    db->drained = 0;
    shard->flushed = db;
    atomic_store_explicit(&shard->has_garbage, true, memory_order_relaxed);
}

void kv_store_garbage(const kv_store *store, size_t *waiting, uint64_t *freed) {
    *waiting = 0;
    *freed = 0;
    for (unsigned i = 0; i < store->shard_count; i++) {
        *waiting += atomic_load_explicit(&store->shards[i].garbage_count, memory_order_relaxed);
        *freed += atomic_load_explicit(&store->shards[i].garbage_freed, memory_order_relaxed);
    }
}

void kv_shard_trim(kv_shard *shard) {
    if (shard->arena != NULL) kv_arena_trim(shard->arena);
}

bool kv_shard_check(const kv_shard *shard) {
    if (atomic_load(&shard->has_garbage) != (shard->garbage != NULL || shard->flushed != NULL || shard->gone != NULL)) return false;
    for (unsigned i = 0; i < shard->store->db_count; i++) {
        const kv_keydb *db = shard->dbs[i];
        if (db == NULL) {
            if (atomic_load(&shard->counts[i].keys) != 0) return false;
            continue;
        }
        if (db->shard != shard || db->index != i || db->counts != &shard->counts[i] || db->arena != shard->arena || !kv_keydb_check(db))
            return false;
    }
    return shard->arena == NULL || kv_arena_check(shard->arena);
}

bool kv_store_check(const kv_store *store) {
    for (unsigned i = 0; i < store->shard_count; i++)
        if (!kv_shard_check(&store->shards[i])) return false;
    return true;
}

static void sum_reads(const kv_store *store, uint64_t *hits, uint64_t *misses) {
    *hits = *misses = 0;
    for (unsigned i = 0; i < store->shard_count; i++) {
        *hits += atomic_load_explicit(&store->shards[i].hits, memory_order_relaxed);
        *misses += atomic_load_explicit(&store->shards[i].misses, memory_order_relaxed);
    }
}

void kv_store_reads(const kv_store *store, uint64_t *hits, uint64_t *misses) {
    sum_reads(store, hits, misses);
    *hits -= atomic_load_explicit(&store->hits_before, memory_order_relaxed);
    *misses -= atomic_load_explicit(&store->misses_before, memory_order_relaxed);
}

void kv_store_reset_reads(kv_store *store) {
    uint64_t hits, misses;
    sum_reads(store, &hits, &misses);
    atomic_store_explicit(&store->hits_before, hits, memory_order_relaxed);
    atomic_store_explicit(&store->misses_before, misses, memory_order_relaxed);
}
