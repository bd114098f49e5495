/* The account of memory.
 *
 *   used = live blocks of all arenas + everything else that came from kv_malloc
 *   held = used + the room in arenas' pages that is free        (fragmentation inside the store)
 *   resident = what the system says of the process              (with whatever else lives in it)
 *
 * Tables are estimated from the number of keys (a bucket of 64 bytes holds nine; see ds/table.c), because counting them
 * would need every shard's lock. */
#include "engine/memory.h"

#include "base/pages.h"
#include "base/system.h"
#include "engine/client_memory.h"
#include "engine/dispatch.h"

enum { TABLE_BYTES_A_KEY = 11, EXPIRY_BYTES_A_KEY = 16 };

size_t kv_memory_note_peak(kv_engine *engine) {
    size_t used = kv_engine_used_memory(engine), peak = atomic_load_explicit(&engine->peak_memory, memory_order_relaxed);
    while (used > peak &&
           !atomic_compare_exchange_weak_explicit(&engine->peak_memory, &peak, used, memory_order_relaxed, memory_order_relaxed))
        continue;
    return used;
}

kv_memory_tables kv_memory_tables_of(kv_engine *engine, unsigned db) {
    return (kv_memory_tables){kv_store_count(&engine->store, db) * TABLE_BYTES_A_KEY,
                              kv_store_expire_count(&engine->store, db) * EXPIRY_BYTES_A_KEY};
}

static size_t client_bytes(kv_engine *engine) {
    size_t bytes = 0;
    kv_mutex_lock(&engine->clients_lock);
    for (kv_session *s = engine->clients; s != NULL; s = s->next) bytes += kv_session_memory(s, NULL);
    kv_mutex_unlock(&engine->clients_lock);
    return bytes;
}

static double ratio(size_t a, size_t b) { return b == 0 ? 1.0 : (double)a / (double)b; }

kv_memory_facts kv_memory_facts_now(kv_engine *engine) {
    const kv_store *store = &engine->store;
    kv_memory_facts f = {.used = kv_memory_note_peak(engine), .resident = kv_system_rss(), .startup = engine->startup_memory};
    size_t live = kv_store_used(store), mapped = kv_store_mapped(store);
    f.peak = atomic_load_explicit(&engine->peak_memory, memory_order_relaxed);
    f.held = f.used + (mapped > live ? mapped - live : 0);
    f.clients = client_bytes(engine);
    for (unsigned d = 0; d < store->db_count; d++) {
        kv_memory_tables tables = kv_memory_tables_of(engine, d);
        f.tables += tables.keys + tables.expires;
        f.keys += kv_store_count(store, d);
    }
    f.overhead = f.startup + f.clients + f.tables;
    if (f.overhead > f.used) f.overhead = f.used;
    f.dataset = f.used - f.overhead;
    size_t net = f.used > f.startup ? f.used - f.startup : 0;
    f.dataset_percent = net == 0 ? 0 : 100.0 * (double)f.dataset / (double)net;
    f.peak_percent = 100.0 * ratio(f.used, f.peak);
    f.frag_ratio = ratio(f.held, f.used);
    f.frag_bytes = f.held - f.used;
    f.rss_ratio = ratio(f.resident, f.held);
    f.rss_bytes = f.resident > f.held ? f.resident - f.held : 0;
    f.fragmentation = ratio(f.resident, f.used);
    f.fragmentation_bytes = (int64_t)f.resident - (int64_t)f.used;
    return f;
}

void kv_memory_purge(kv_ctx *c) {
    kv_store *store = &c->engine->store;
    uint64_t held = c->unit->locked;
    for (unsigned i = 0; i < store->shard_count; i++) {
        kv_shard *shard = &store->shards[i];
        bool locked = (held >> i & 1) != 0;
        if (held != 0 && !locked) continue; /* inside EXEC: no more locks once it runs */
        if (!locked) kv_mutex_lock(&shard->lock);
        while (!kv_shard_free_some(shard, 512)) { /* what was dropped and not freed yet; the others get in between */
            if (locked) continue;
            kv_mutex_unlock(&shard->lock);
            kv_mutex_lock(&shard->lock);
        }
        kv_shard_trim(shard);
        if (shard->arena != NULL) kv_arena_trim(shard->arena);
        if (!locked) kv_mutex_unlock(&shard->lock);
    }
    kv_span_purge(&c->engine->mem);
}
