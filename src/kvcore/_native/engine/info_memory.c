/* INFO memory. Lua, functions, replication and AOF take nothing here, and say so. */
#include "engine/info_private.h"
#include "engine/memory.h"

#include <stdio.h>

#include "base/system.h"

void kv_info_human(kv_buf *out, const char *name, size_t bytes) {
    static const char units[] = "BKMGTP";
    double size = (double)bytes;
    size_t unit = 0;
    while (size >= 1024 && unit + 1 < sizeof units - 1) size /= 1024, unit++;
    if (unit == 0) kv_buf_printf(out, "%s:%zuB\r\n", name, bytes);
    else kv_buf_printf(out, "%s:%.2f%c\r\n", name, size, units[unit]);
}

static void both(kv_buf *out, const char *name, size_t bytes) {
    char human[64];
    snprintf(human, sizeof human, "%s_human", name);
    kv_buf_printf(out, "%s:%zu\r\n", name, bytes);
    kv_info_human(out, human, bytes);
}

static void clock_and_use(kv_engine *engine, const kv_memory_facts *f, kv_buf *out) {
    (void)engine;
    both(out, "used_memory", f->used);
    both(out, "used_memory_rss", f->resident);
    both(out, "used_memory_peak", f->peak);
    kv_buf_printf(out, "used_memory_peak_perc:%.2f%%\r\nused_memory_overhead:%zu\r\nused_memory_startup:%zu\r\n", f->peak_percent,
                  f->overhead, f->startup);
    kv_buf_printf(out, "used_memory_dataset:%zu\r\nused_memory_dataset_perc:%.2f%%\r\n", f->dataset, f->dataset_percent);
    kv_buf_printf(out, "allocator_allocated:%zu\r\nallocator_active:%zu\r\nallocator_resident:%zu\r\nallocator_muzzy:0\r\n", f->used,
                  f->held, f->resident);
    both(out, "total_system_memory", kv_system_memory_total());
    kv_buf_printf(out, "used_memory_lua:0\r\nused_memory_vm_eval:0\r\nused_memory_lua_human:0B\r\nused_memory_scripts_eval:0\r\n"
                       "number_of_cached_scripts:0\r\nnumber_of_functions:0\r\nnumber_of_libraries:0\r\nused_memory_vm_functions:0\r\n"
                       "used_memory_vm_total:0\r\nused_memory_vm_total_human:0B\r\nused_memory_functions:0\r\nused_memory_scripts:0\r\n"
                       "used_memory_scripts_human:0B\r\n");
}

void kv_info_memory(kv_engine *engine, kv_buf *out) {
    kv_memory_facts f = kv_memory_facts_now(engine);
    clock_and_use(engine, &f, out);
    both(out, "maxmemory", (size_t)kv_setting(&engine->settings, KV_CFG_MAXMEMORY));
    kv_buf_add_slice(out, KV_LIT("maxmemory_policy:"));
    kv_setting_show(&engine->settings, KV_CFG_MAXMEMORY_POLICY, out);
    kv_buf_printf(out,
                  "\r\nallocator_frag_ratio:%.2f\r\nallocator_frag_bytes:%zu\r\nallocator_rss_ratio:%.2f\r\nallocator_rss_bytes:%zu\r\n",
                  f.frag_ratio, f.frag_bytes, f.rss_ratio, f.rss_bytes);
    kv_buf_printf(out,
                  "rss_overhead_ratio:1.00\r\nrss_overhead_bytes:0\r\nmem_fragmentation_ratio:%.2f\r\nmem_fragmentation_bytes:%lld\r\n",
                  f.fragmentation, (long long)f.fragmentation_bytes);
    kv_buf_printf(
        out,
        "mem_not_counted_for_evict:0\r\nmem_replication_backlog:0\r\nmem_total_replication_buffers:0\r\nmem_replicas_repl_buffer:0\r\n"
        "mem_clients_slaves:0\r\nmem_clients_normal:%zu\r\nmem_cluster_links:0\r\nmem_cluster_slot_import:0\r\n"
        "mem_cluster_slot_export:0\r\nmem_aof_buffer:0\r\nmem_allocator:kvcore\r\nmem_overhead_db_hashtable_rehashing:0\r\n"
        "active_defrag_running:0\r\n",
        f.clients);
    size_t pending;
    uint64_t freed, before = atomic_load_explicit(&engine->stats.lazyfreed_before, memory_order_relaxed);
    kv_store_garbage(&engine->store, &pending, &freed);
    kv_buf_printf(out, "lazyfree_pending_objects:%zu\r\nlazyfreed_objects:%llu\r\n", pending, (unsigned long long)(freed - before));
}
