/* MEMORY: what a key takes, where the memory of the store is, and giving free pages back (its HELP is in help.c). */
#include <stdio.h>

#include "base/pages.h"
#include "commands/keys_common.h"
#include "engine/errors.h"
#include "engine/memory.h"

void kv_cmd_memory_usage(kv_ctx *c) {
    int64_t samples = 5;
    for (int i = 3; i < c->argc; i += 2) {
        if (!kv_ctx_is(c, i, "samples") || i + 1 >= c->argc) {
            kv_ctx_syntax_error(c);
            return;
        }
        if (!kv_ctx_i64(c, i + 1, &samples)) return;
        if (samples < 0) {
            kv_ctx_syntax_error(c);
            return;
        }
    }
    kv_key key = kv_ctx_key(c, 2);
    const kv_value *v = kv_ctx_find(c, &key, KV_FIND_PEEK);
    if (v == NULL) kv_reply_null(c->reply);
    else kv_reply_int(c->reply, (int64_t)kv_value_memory(v, (size_t)samples));
}

/* ---- STATS ---- */

static void pair(kv_ctx *c, const char *name, size_t value) {
    kv_reply_bulk_cstr(c->reply, name);
    kv_reply_int(c->reply, (int64_t)value);
}

static void pair_ratio(kv_ctx *c, const char *name, double value) {
    kv_reply_bulk_cstr(c->reply, name);
    kv_reply_double(c->reply, value);
}

static size_t used_databases(const kv_store *store) {
    size_t count = 0;
    for (unsigned d = 0; d < store->db_count; d++) count += kv_store_count(store, d) > 0;
    return count;
}

static void database_pairs(kv_ctx *c, unsigned db) {
    char name[32];
    snprintf(name, sizeof name, "db.%u", db);
    kv_memory_tables tables = kv_memory_tables_of(c->engine, db);
    kv_reply_bulk_cstr(c->reply, name);
    kv_reply_map(c->reply, 2);
    pair(c, "overhead.hashtable.main", tables.keys);
    pair(c, "overhead.hashtable.expires", tables.expires);
}

void kv_cmd_memory_stats(kv_ctx *c) {
    kv_memory_facts f = kv_memory_facts_now(c->engine);
    const kv_store *store = &c->engine->store;
    kv_reply_map(c->reply, 34 + used_databases(store));
    pair(c, "peak.allocated", f.peak);
    pair(c, "total.allocated", f.used);
    pair(c, "startup.allocated", f.startup);
    pair(c, "replication.backlog", 0);
    pair(c, "replicas.repl.buffer", 0);
    pair(c, "clients.slaves", 0);
    pair(c, "clients.normal", f.clients);
    pair(c, "cluster.links", 0);
    pair(c, "cluster.slot_import", 0);
    pair(c, "cluster.slot_export", 0);
    pair(c, "aof.buffer", 0);
    pair(c, "lua.caches", 0);
    pair(c, "functions.caches", 0);
    for (unsigned d = 0; d < store->db_count; d++)
        if (kv_store_count(store, d) > 0) database_pairs(c, d);
    pair(c, "overhead.db.hashtable.lut", f.tables);
    pair(c, "overhead.db.hashtable.rehashing", 0);
    pair(c, "overhead.total", f.overhead);
    pair(c, "db.dict.rehashing.count", 0);
    pair(c, "keys.count", f.keys);
    pair(c, "keys.bytes-per-key", f.keys == 0 || f.used < f.startup ? 0 : (f.used - f.startup) / f.keys);
    pair(c, "dataset.bytes", f.dataset);
    pair_ratio(c, "dataset.percentage", f.dataset_percent);
    pair_ratio(c, "peak.percentage", f.peak_percent);
    pair(c, "allocator.allocated", f.used);
    pair(c, "allocator.active", f.held);
    pair(c, "allocator.resident", f.resident);
    pair(c, "allocator.muzzy", 0);
    pair_ratio(c, "allocator-fragmentation.ratio", f.frag_ratio);
    pair(c, "allocator-fragmentation.bytes", f.frag_bytes);
    pair_ratio(c, "allocator-rss.ratio", f.rss_ratio);
    pair(c, "allocator-rss.bytes", f.rss_bytes);
    pair_ratio(c, "rss-overhead.ratio", 1.0);
    pair(c, "rss-overhead.bytes", 0);
    pair_ratio(c, "fragmentation", f.fragmentation);
    kv_reply_bulk_cstr(c->reply, "fragmentation.bytes");
    kv_reply_int(c->reply, f.fragmentation_bytes);
}

/* ---- in words ---- */

static void reply_text(kv_ctx *c, kv_buf *text) {
    if (text->failed) kv_ctx_out_of_memory(c);
    else kv_reply_verbatim(c->reply, kv_buf_slice(text));
    kv_buf_deinit(text);
}

void kv_cmd_memory_doctor(kv_ctx *c) {
    kv_memory_facts f = kv_memory_facts_now(c->engine);
    kv_buf out;
    kv_buf_init(&out, kv_ctx_mem(c));
    if (f.used < (size_t)5 << 20) {
        kv_buf_printf(&out, "The store holds less than 5 MB: too little to judge it by.\n");
    } else {
        size_t before = out.len;
        if ((double)f.peak > 1.5 * (double)f.used)
            kv_buf_printf(&out,
                          "- The peak was %.1f times what is used now. Pages that are free inside the process go back with MEMORY PURGE.\n",
                          (double)f.peak / (double)f.used);
        if (f.frag_ratio > 1.4 && f.frag_bytes > (size_t)10 << 20)
            kv_buf_printf(&out, "- Arenas hold %.2f times what lives in them (%zu bytes more): many keys were deleted from among others.\n",
                          f.frag_ratio, f.frag_bytes);
        if (f.clients > f.used / 4)
            kv_buf_printf(&out, "- Clients take %zu bytes: CLIENT LIST shows whose buffers (omem, qbuf) are large.\n", f.clients);
        int64_t limit = kv_setting(&c->engine->settings, KV_CFG_MAXMEMORY);
        if (limit > 0 && (double)f.used > 0.9 * (double)limit)
            kv_buf_printf(&out, "- Used memory is at %.0f%% of maxmemory.\n", 100.0 * (double)f.used / (double)limit);
        if (out.len == before) kv_buf_printf(&out, "Nothing found: memory is used as it should be.\n");
    }
    reply_text(c, &out);
}

void kv_cmd_memory_malloc_stats(kv_ctx *c) {
    kv_engine *engine = c->engine;
    kv_buf out;
    kv_buf_init(&out, kv_ctx_mem(c));
    kv_memory_facts f = kv_memory_facts_now(engine);
    kv_buf_printf(&out, "kvcore arenas: %u shards, pages of %zu bytes in chunks of %zu\n", engine->store.shard_count, KV_PAGE, KV_CHUNK);
    kv_buf_printf(&out, "live in arenas      %zu\nheld by arenas      %zu\noutside of arenas   %zu\n", kv_store_used(&engine->store),
                  kv_store_mapped(&engine->store), f.used - kv_store_used(&engine->store));
    kv_page_pool *pool = &engine->mem.pool;
    kv_mutex_lock(&pool->lock);
    kv_buf_printf(&out, "chunks              %zu (%zu empty)\npages handed out    %zu\npages free, dirty   %zu\n", pool->chunks,
                  pool->empty, pool->pages_used, pool->pages_dirty);
    kv_mutex_unlock(&pool->lock);
    kv_buf_printf(&out, "shard  live  held\n");
    for (unsigned i = 0; i < engine->store.shard_count; i++) {
        const kv_arena *arena = atomic_load_explicit(&engine->store.shards[i].arena, memory_order_acquire);
        if (arena != NULL) kv_buf_printf(&out, "%u  %zu  %zu\n", i, kv_arena_used(arena), kv_arena_mapped(arena));
    }
    reply_text(c, &out);
}

void kv_cmd_memory_purge(kv_ctx *c) {
    kv_memory_purge(c);
    kv_reply_ok(c->reply);
}
