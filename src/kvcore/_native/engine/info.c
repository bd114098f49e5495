/* INFO: which sections, their order and headings, and the short ones. Field names and their order are what monitoring tools know from Valkey; a
 * feature that this version does not have shows what a server without it shows. */
#include "engine/info_private.h"

#include "base/system.h"
#include "engine/compat.h"
#include "engine/keymap.h"
#include "engine/persistence.h"
#include "engine/tally.h"

static void server(kv_engine *engine, kv_buf *out) {
    char name[256], path[1024];
    int64_t now_us = kv_clock_us(&engine->clock);
    uint64_t uptime = (kv_mono_ns() - engine->started_mono_ns) / 1000000000;
    long long hz = (long long)kv_setting(&engine->settings, KV_CFG_HZ);
    bool redis = kv_setting(&engine->settings, KV_CFG_EXTENDED_REDIS_COMPATIBILITY) != 0;
    kv_system_name(name, sizeof name);
    kv_system_executable(path, sizeof path);
    kv_buf_printf(out,
                  "redis_version:%s\r\nserver_name:%s\r\nvalkey_version:%s\r\nvalkey_release_stage:ga\r\nredis_git_sha1:00000000\r\n"
                  "redis_git_dirty:0\r\nredis_build_id:0000000000000000\r\n%s_mode:standalone\r\nos:%s\r\narch_bits:%zu\r\n"
                  "monotonic_clock:POSIX clock_gettime\r\nmultiplexing_api:epoll\r\ngcc_version:%d.%d.%d\r\n",
                  KV_COMPAT_REDIS_VERSION, KV_COMPAT_SERVER, KV_COMPAT_VALKEY_VERSION, redis ? "redis" : "server", name, sizeof(void *) * 8,
                  __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
    int port = atomic_load_explicit(&engine->serving_port, memory_order_relaxed);
    kv_buf_printf(
        out,
        "process_id:%d\r\nprocess_supervised:no\r\nrun_id:%s\r\ntcp_port:%d\r\nserver_time_usec:%lld\r\nuptime_in_seconds:%llu\r\n"
        "uptime_in_days:%llu\r\nhz:%lld\r\nconfigured_hz:%lld\r\nclients_hz:%lld\r\nlru_clock:%u\r\nexecutable:%s\r\nconfig_file:",
        kv_system_pid(), engine->run_id, port, (long long)now_us, (unsigned long long)uptime, (unsigned long long)(uptime / 86400), hz, hz,
        hz, (unsigned)(now_us / 1000000 & 0xffffff), path);
    kv_mutex_lock(&engine->settings.lock);
    kv_buf_add_slice(out, kv_buf_slice(&engine->settings.file));
    kv_mutex_unlock(&engine->settings.lock);
    kv_buf_printf(out, "\r\nio_threads_active:%d\r\navailability_zone:",
                  atomic_load_explicit(&engine->serving_threads, memory_order_relaxed) > 1);
    kv_setting_text(&engine->settings, KV_CFG_AVAILABILITY_ZONE, out);
    kv_buf_add_slice(out, KV_LIT("\r\n"));
    if (port != 0) {
        kv_buf words;
        kv_buf_init(&words, &engine->mem);
        kv_setting_text(&engine->settings, KV_CFG_BIND, &words);
        kv_buf_add_slice(out, KV_LIT("listener0:name=tcp"));
        for (size_t at = 0; at < words.len;) {
            size_t from = at;
            while (at < words.len && words.ptr[at] != ' ') at++;
            if (at > from) kv_buf_printf(out, ",bind=%.*s", (int)(at - from), (const char *)words.ptr + from);
            while (at < words.len && words.ptr[at] == ' ') at++;
        }
        kv_buf_printf(out, ",port=%d\r\n", port);
        if (words.failed) out->failed = true;
        kv_buf_deinit(&words);
    }
}

static void tls(kv_engine *engine, kv_buf *out) {
    (void)engine;
    kv_buf_printf(out, "tls_server_cert_serial:none\r\ntls_server_cert_expires_in_seconds:0\r\ntls_client_cert_serial:none\r\n"
                       "tls_client_cert_expires_in_seconds:0\r\ntls_ca_cert_serial:none\r\ntls_ca_cert_expires_in_seconds:0\r\n");
}

/* Keys that clients wait for or watch. A shard that another thread holds while this one holds others is left out: waiting could be a deadlock. */
static void hung_on_keys(kv_engine *engine, uint64_t locked, size_t *watched, size_t *awaited) {
    *watched = *awaited = 0;
    for (unsigned i = 0; i < engine->store.shard_count; i++) {
        kv_shard *shard = &engine->store.shards[i];
        bool own = (locked >> i & 1) != 0;
        if (!own && locked != 0 && !kv_mutex_trylock(&shard->lock)) continue;
        if (!own && locked == 0) kv_mutex_lock(&shard->lock);
        *watched += kv_keymap_count(shard->watchers);
        *awaited += kv_keymap_count(shard->waiters);
        if (!own) kv_mutex_unlock(&shard->lock);
    }
}

static void clients(kv_engine *engine, uint64_t locked, kv_buf *out) {
    size_t max_in = 0, max_out = 0, watched, awaited;
    hung_on_keys(engine, locked, &watched, &awaited);
    kv_mutex_lock(&engine->clients_lock);
    for (kv_session *s = engine->clients; s != NULL; s = s->next) {
        kv_session_facts facts = {0};
        if (s->ops != NULL && s->ops->describe != NULL) s->ops->describe(s, &facts);
        if (facts.query_len > max_in) max_in = facts.query_len;
        if (facts.output_len > max_out) max_out = facts.output_len;
    }
    kv_mutex_unlock(&engine->clients_lock);
    kv_buf_printf(out,
                  "connected_clients:%u\r\ncluster_connections:0\r\nmaxclients:%lld\r\nclient_recent_max_input_buffer:%zu\r\n"
                  "client_recent_max_output_buffer:%zu\r\n",
                  atomic_load_explicit(&engine->client_count, memory_order_relaxed),
                  (long long)kv_setting(&engine->settings, KV_CFG_MAXCLIENTS), max_in, max_out);
    kv_buf_printf(out,
                  "blocked_clients:%u\r\ntracking_clients:%u\r\npubsub_clients:%u\r\nwatching_clients:%u\r\nclients_in_timeout_table:0\r\n"
                  "total_watched_keys:%zu\r\ntotal_blocking_keys:%zu\r\ntotal_blocking_keys_on_nokey:0\r\n",
                  atomic_load_explicit(&engine->blocked_count, memory_order_relaxed),
                  atomic_load_explicit(&engine->tracking_count, memory_order_relaxed),
                  atomic_load_explicit(&engine->pubsub_count, memory_order_relaxed),
                  atomic_load_explicit(&engine->watching_count, memory_order_relaxed), watched, awaited);
    int64_t left = atomic_load_explicit(&engine->pause_until_ms, memory_order_relaxed) - kv_clock_ms(&engine->clock);
    if (left <= 0) kv_buf_printf(out, "paused_reason:none\r\npaused_actions:none\r\npaused_timeout_milliseconds:0\r\n");
    else
        kv_buf_printf(out, "paused_reason:client_pause\r\npaused_actions:%s\r\npaused_timeout_milliseconds:%lld\r\n",
                      atomic_load_explicit(&engine->pause_writes_only, memory_order_relaxed) ? "write" : "all", (long long)left);
}

static void without_files(kv_engine *engine, kv_buf *out) {
    kv_buf_printf(
        out,
        "async_loading:0\r\ncurrent_cow_peak:0\r\ncurrent_cow_size:0\r\ncurrent_cow_size_age:0\r\ncurrent_fork_perc:0.00\r\n"
        "current_save_keys_processed:0\r\ncurrent_save_keys_total:0\r\nrdb_changes_since_last_save:%llu\r\nrdb_bgsave_in_progress:0\r\n"
        "rdb_last_save_time:%lld\r\nrdb_last_bgsave_status:ok\r\nrdb_last_bgsave_time_sec:-1\r\nrdb_current_bgsave_time_sec:-1\r\n"
        "rdb_saves:0\r\nrdb_last_cow_size:0\r\nrdb_last_load_keys_expired:0\r\nrdb_last_load_keys_loaded:0\r\n",
        (unsigned long long)kv_tally_dirty(engine), (long long)(engine->started_ms / 1000));
    kv_buf_printf(out, "aof_enabled:0\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\naof_last_rewrite_time_sec:-1\r\n"
                       "aof_current_rewrite_time_sec:-1\r\naof_last_bgrewrite_status:ok\r\naof_rewrites:0\r\n"
                       "aof_rewrites_consecutive_failures:0\r\naof_last_write_status:ok\r\naof_last_cow_size:0\r\n"
                       "module_fork_in_progress:0\r\nmodule_fork_last_cow_size:0\r\nslot_migration_fork_in_progress:0\r\n");
}

/* How far loading is, as Valkey tells it. */
static void load_state(kv_engine *engine, kv_buf *out) {
    const kv_load_state *load = &engine->load;
    uint64_t total = atomic_load_explicit(&load->total, memory_order_relaxed);
    uint64_t done = atomic_load_explicit(&load->before, memory_order_relaxed) + atomic_load_explicit(&load->done, memory_order_relaxed);
    int64_t since = atomic_load_explicit(&load->since_s, memory_order_relaxed), elapsed = kv_clock_ms(&engine->clock) / 1000 - since;
    double share = total == 0 ? 0 : (double)done / (double)total;
    if (share > 1) share = 1;
    double left = done == 0 ? 1 : (double)elapsed * (1 - share) / share; /* seconds; nothing was read yet: as good as any */
    kv_buf_printf(out,
                  "loading_start_time:%lld\r\nloading_total_bytes:%llu\r\nloading_rdb_used_mem:%llu\r\nloading_loaded_bytes:%llu\r\n"
                  "loading_loaded_perc:%.2f\r\nloading_eta_seconds:%lld\r\n",
                  (long long)since, (unsigned long long)total,
                  (unsigned long long)atomic_load_explicit(&load->used_mem, memory_order_relaxed), (unsigned long long)done, 100 * share,
                  (long long)left);
}

static void persistence(kv_engine *engine, kv_buf *out) {
    const kv_persistence *files = atomic_load_explicit(&engine->persistence, memory_order_acquire);
    bool loading = atomic_load_explicit(&engine->loading, memory_order_relaxed);
    kv_buf_printf(out, "loading:%d\r\n", loading);
    if (files != NULL) files->info(files->arg, out);
    else without_files(engine, out);
    if (loading) load_state(engine, out);
}

static void replication(kv_engine *engine, kv_buf *out) {
    char id[41];
    kv_mutex_lock(&engine->stats_lock);
    memcpy(id, engine->replid, sizeof id);
    kv_mutex_unlock(&engine->stats_lock);
    kv_buf_printf(
        out,
        "role:master\r\nconnected_slaves:0\r\nreplicas_waiting_psync:0\r\nmaster_failover_state:no-failover\r\nmaster_replid:%s\r\n"
        "master_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:0\r\nsecond_repl_offset:-1\r\n"
        "repl_backlog_active:0\r\nrepl_backlog_size:%lld\r\nrepl_backlog_first_byte_offset:0\r\nrepl_backlog_histlen:0\r\n",
        id, (long long)kv_setting(&engine->settings, KV_CFG_REPL_BACKLOG_SIZE));
}

static void cpu(kv_engine *engine, kv_buf *out) {
    (void)engine;
    kv_cpu_times all = kv_system_cpu(KV_CPU_PROCESS), children = kv_system_cpu(KV_CPU_CHILDREN), here = kv_system_cpu(KV_CPU_THREAD);
    kv_buf_printf(out,
                  "used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\nused_cpu_sys_children:%.6f\r\nused_cpu_user_children:%.6f\r\n"
                  "used_cpu_sys_main_thread:%.6f\r\nused_cpu_user_main_thread:%.6f\r\nused_active_time_main_thread:%.6f\r\n",
                  all.system, all.user, children.system, children.user, here.system, here.user, here.system + here.user);
}

static void nothing(kv_engine *engine, kv_buf *out) { (void)engine, (void)out; }

static void cluster(kv_engine *engine, kv_buf *out) {
    (void)engine;
    kv_buf_printf(out, "cluster_enabled:0\r\n");
}

static void engines(kv_engine *engine, kv_buf *out) {
    (void)engine;
    kv_buf_printf(out, "engines_count:0\r\nengines_total_used_memory:0\r\nengines_total_memory_overhead:0\r\n");
}

static void keyspace(kv_engine *engine, kv_buf *out) {
    const kv_store *store = &engine->store;
    for (unsigned d = 0; d < store->db_count; d++) {
        size_t keys = kv_store_count(store, d), expires = kv_store_expire_count(store, d), fields = kv_store_field_count(store, d);
        if (keys == 0) continue;
        kv_buf_printf(out, "db%u:keys=%zu,expires=%zu,avg_ttl=%lld,keys_with_volatile_items=%zu\r\n", d, keys, expires,
                      (long long)kv_store_avg_ttl_ms(store, d), fields);
    }
}

static void own(kv_engine *engine, kv_buf *out) {
    kv_buf_printf(out, "kvcore_version:%s\r\nshards:%u\r\ndatabases:%u\r\nio_threads:%u\r\nin_process_clients:%u\r\n", engine->version,
                  engine->store.shard_count, engine->store.db_count, atomic_load_explicit(&engine->serving_threads, memory_order_relaxed),
                  atomic_load_explicit(&engine->in_process_count, memory_order_relaxed));
}

static const struct {
    const char *word, *heading;
    void (*write)(kv_engine *engine, kv_buf *out);
    bool by_default;
} sections[KV_INFO_SECTIONS] = {
    [KV_INFO_SERVER] = {"server", "Server", server, true},
    [KV_INFO_TLS] = {"tls", "TLS", tls, false},
    [KV_INFO_CLIENTS] = {"clients", "Clients", NULL, true}, /* it needs to know what is locked */
    [KV_INFO_MEMORY] = {"memory", "Memory", kv_info_memory, true},
    [KV_INFO_PERSISTENCE] = {"persistence", "Persistence", persistence, true},
    [KV_INFO_STATS] = {"stats", "Stats", kv_info_stats, true},
    [KV_INFO_REPLICATION] = {"replication", "Replication", replication, true},
    [KV_INFO_CPU] = {"cpu", "CPU", cpu, true},
    [KV_INFO_MODULES] = {"modules", "Modules", nothing, true},
    [KV_INFO_COMMANDSTATS] = {"commandstats", "Commandstats", kv_info_commandstats, false},
    [KV_INFO_ERRORSTATS] = {"errorstats", "Errorstats", kv_info_errorstats, true},
    [KV_INFO_LATENCYSTATS] = {"latencystats", "Latencystats", kv_info_latencystats, false},
    [KV_INFO_CLUSTER] = {"cluster", "Cluster", cluster, true},
    [KV_INFO_CLUSTER_INFO] = {"cluster_info", "Cluster Info", nothing, false},
    [KV_INFO_SCRIPTING_ENGINES] = {"scriptingengines", "Scripting Engines", engines, false},
    [KV_INFO_KEYSPACE] = {"keyspace", "Keyspace", keyspace, true},
    [KV_INFO_KVCORE] = {"kvcore", "Kvcore", own, false},
};

uint32_t kv_info_default(void) {
    uint32_t set = 0;
    for (unsigned i = 0; i < KV_INFO_SECTIONS; i++) set |= (uint32_t)sections[i].by_default << i;
    return set;
}

uint32_t kv_info_parse(kv_slice word) {
    if (kv_slice_is(word, "default")) return kv_info_default();
    if (kv_slice_is(word, "all") || kv_slice_is(word, "everything")) return (UINT32_C(1) << KV_INFO_SECTIONS) - 1;
    for (unsigned i = 0; i < KV_INFO_SECTIONS; i++)
        if (kv_slice_is(word, sections[i].word)) return UINT32_C(1) << i;
    return 0;
}

void kv_info_write(kv_engine *engine, uint32_t wanted, uint64_t locked, kv_buf *out) {
    bool first = true;
    for (unsigned i = 0; i < KV_INFO_SECTIONS; i++) {
        if ((wanted >> i & 1) == 0) continue;
        kv_buf_printf(out, "%s# %s\r\n", first ? "" : "\r\n", sections[i].heading);
        if (i == KV_INFO_CLIENTS) clients(engine, locked, out);
        else sections[i].write(engine, out);
        first = false;
    }
}
