/* INFO stats, commandstats, errorstats, latencystats: what was counted. */
#include "engine/info_private.h"

#include <stdlib.h>

#include "engine/pubsub_private.h"
#include "engine/stats.h"
#include "engine/tally.h"
#include "engine/tracking_private.h"

static unsigned long long count(const _Atomic uint64_t *counter) {
    return (unsigned long long)atomic_load_explicit(counter, memory_order_relaxed);
}

static void traffic(kv_engine *engine, kv_buf *out) {
    kv_engine_stats *s = &engine->stats;
    kv_rates rates = kv_stats_rates(engine);
    kv_buf_printf(out, "total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\ninstantaneous_ops_per_sec:%llu\r\n",
                  count(&s->connections), (unsigned long long)kv_tally_calls(engine), (unsigned long long)rates.commands);
    kv_buf_printf(
        out,
        "total_net_input_bytes:%llu\r\ntotal_net_output_bytes:%llu\r\ntotal_net_repl_input_bytes:0\r\ntotal_net_repl_output_bytes:0\r\n"
        "total_net_cluster_slot_import_bytes:0\r\ntotal_net_cluster_slot_export_bytes:0\r\n",
        count(&s->net_input), count(&s->net_output));
    kv_buf_printf(
        out,
        "instantaneous_input_kbps:%.2f\r\ninstantaneous_output_kbps:%.2f\r\ninstantaneous_input_repl_kbps:0.00\r\n"
        "instantaneous_output_repl_kbps:0.00\r\nrejected_connections:%llu\r\nsync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:0\r\n",
        (double)rates.input / 1024, (double)rates.output / 1024, count(&s->rejected_connections));
}

static void keys(kv_engine *engine, kv_buf *out) {
    kv_engine_stats *s = &engine->stats;
    uint64_t hits, misses;
    kv_store_reads(&engine->store, &hits, &misses);
    kv_buf_printf(
        out,
        "expired_keys:%llu\r\nexpired_fields:%llu\r\nexpired_stale_perc:0.00\r\nexpired_keys_with_volatile_items_stale_perc:0.00\r\n"
        "expired_time_cap_reached_count:%llu\r\nexpire_cycle_cpu_milliseconds:%llu\r\n",
        count(&s->expired_keys), count(&s->expired_fields), count(&s->expired_time_cap_reached),
        count(&s->active_expire_cycle_ns) / 1000000);
    kv_buf_printf(out,
                  "evicted_keys:%llu\r\nevicted_clients:%llu\r\nevicted_scripts:0\r\ntotal_eviction_exceeded_time:0\r\n"
                  "current_eviction_exceeded_time:0\r\nkeyspace_hits:%llu\r\nkeyspace_misses:%llu\r\n",
                  count(&s->evicted_keys), count(&s->evicted_clients), (unsigned long long)hits, (unsigned long long)misses);
    kv_buf_printf(out, "pubsub_channels:%zu\r\npubsub_patterns:%zu\r\npubsubshard_channels:%zu\r\n",
                  kv_pubsub_topics(engine, KV_TOPIC_CHANNEL), kv_pubsub_topics(engine, KV_TOPIC_PATTERN),
                  kv_pubsub_topics(engine, KV_TOPIC_SHARD));
}

void kv_info_stats(kv_engine *engine, kv_buf *out) {
    kv_engine_stats *s = &engine->stats;
    size_t tracked, pairs, prefixes;
    traffic(engine, out);
    keys(engine, out);
    kv_buf_printf(
        out, "latest_fork_usec:0\r\ntotal_forks:0\r\nmigrate_cached_sockets:0\r\nslave_expires_tracked_keys:0\r\nactive_defrag_hits:0\r\n"
             "active_defrag_misses:0\r\nactive_defrag_key_hits:0\r\nactive_defrag_key_misses:0\r\ntotal_active_defrag_time:0\r\n"
             "current_active_defrag_time:0\r\n");
    kv_tracking_totals(engine, &tracked, &pairs, &prefixes);
    kv_buf_printf(out, "tracking_total_keys:%zu\r\ntracking_total_items:%zu\r\ntracking_total_prefixes:%zu\r\n", tracked, pairs, prefixes);
    kv_buf_printf(
        out,
        "unexpected_error_replies:%llu\r\ntotal_error_replies:%llu\r\ndump_payload_sanitizations:0\r\ntotal_reads_processed:%llu\r\n"
        "total_writes_processed:%llu\r\n",
        count(&s->unexpected_errors), count(&s->total_error_replies), count(&s->reads_processed), count(&s->writes_processed));
    kv_buf_printf(out,
                  "io_threaded_reads_processed:%llu\r\nio_threaded_writes_processed:%llu\r\nio_threaded_freed_objects:0\r\n"
                  "io_threaded_accept_processed:0\r\nio_threaded_poll_processed:0\r\nio_threaded_total_prefetch_batches:0\r\n"
                  "io_threaded_total_prefetch_entries:0\r\n",
                  count(&s->reads_processed), count(&s->writes_processed));
    kv_buf_printf(
        out,
        "client_query_buffer_limit_disconnections:%llu\r\nclient_output_buffer_limit_disconnections:%llu\r\nreply_buffer_shrinks:0\r\n"
        "reply_buffer_expands:0\r\neventloop_cycles:0\r\neventloop_duration_sum:0\r\neventloop_duration_cmd_sum:0\r\n"
        "instantaneous_eventloop_cycles_per_sec:0\r\ninstantaneous_eventloop_duration_usec:0\r\nacl_access_denied_auth:%llu\r\n"
        "acl_access_denied_cmd:0\r\nacl_access_denied_key:0\r\nacl_access_denied_channel:0\r\nacl_access_denied_tls_cert:0\r\n"
        "acl_access_denied_db:0\r\n",
        count(&s->query_buffer_limit_disconnects), count(&s->output_buffer_limit_disconnects), count(&s->auth_failures));
}

void kv_info_commandstats(kv_engine *engine, kv_buf *out) {
    for (uint16_t i = 0; i < engine->commands->count; i++) {
        kv_command_sums sums = kv_tally_sums(engine, i);
        unsigned long long calls = sums.calls, rejected = sums.rejected, failed = sums.failed;
        if (calls + rejected + failed == 0) continue;
        unsigned long long us = sums.nanoseconds / 1000;
        kv_buf_printf(out, "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu\r\n",
                      engine->commands->commands[i].full_name, calls, us,
                      calls == 0 ? 0.0 : (double)sums.nanoseconds / 1000 / (double)calls, rejected, failed);
    }
}

static int by_code(const void *a, const void *b) { return strcmp(((const kv_error_stat *)a)->code, ((const kv_error_stat *)b)->code); }

void kv_info_errorstats(kv_engine *engine, kv_buf *out) {
    kv_error_stat *copy = kv_malloc(&engine->mem, sizeof engine->error_stats);
    if (copy == NULL) {
        out->failed = true;
        return;
    }
    kv_mutex_lock(&engine->stats_lock);
    size_t known = engine->error_stat_count;
    memcpy(copy, engine->error_stats, known * sizeof *copy);
    kv_mutex_unlock(&engine->stats_lock);
    qsort(copy, known, sizeof *copy, by_code);
    for (size_t i = 0; i < known; i++) kv_buf_printf(out, "errorstat_%s:count=%llu\r\n", copy[i].code, (unsigned long long)copy[i].count);
    kv_free(&engine->mem, copy);
}

/* The percentiles that latency-tracking-info-percentiles names: words of decimals. */
static void percentiles(const kv_histogram *histogram, const char *wanted, kv_buf *out) {
    bool first = true;
    for (const char *at = wanted; *at != 0;) {
        char *end;
        double percentile = strtod(at, &end);
        if (end == at) break;
        kv_buf_printf(out, "%sp%g=%.3f", first ? "" : ",", percentile, (double)kv_histogram_percentile(histogram, percentile) / 1000.0);
        first = false;
        for (at = end; *at == ' '; at++) continue;
    }
}

void kv_info_latencystats(kv_engine *engine, kv_buf *out) {
    kv_buf wanted;
    kv_buf_init(&wanted, &engine->mem);
    kv_setting_text(&engine->settings, KV_CFG_LATENCY_TRACKING_INFO_PERCENTILES, &wanted);
    kv_buf_add_byte(&wanted, 0);
    if (wanted.failed) out->failed = true;
    for (uint16_t i = 0; i < engine->commands->count && !wanted.failed; i++) {
        kv_histogram histogram = {0};
        if (kv_tally_histogram(engine, i, &histogram) == 0) continue;
        kv_buf_printf(out, "latency_percentiles_usec_%s:", engine->commands->commands[i].full_name);
        percentiles(&histogram, (const char *)wanted.ptr, out);
        kv_buf_add_slice(out, KV_LIT("\r\n"));
    }
    kv_buf_deinit(&wanted);
}
