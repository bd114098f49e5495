/* INFO persistence, in Valkey's order and names. There is no process beside this one, so that nothing is copied on write: what a snapshot keeps beside the
 * store stands in those places. */
#include "persist/keeper_private.h"

#include "engine/tally.h"

typedef struct numbers {
    uint32_t doing;
    int64_t since;
    bool rewriting, saving, logging;
    kv_aof_state log;
} numbers;

static numbers look(kv_keeper *k) {
    numbers n = {0};
    uint32_t asked = atomic_load_explicit(&k->asked, memory_order_acquire);
    n.doing = atomic_load_explicit(&k->doing, memory_order_acquire); /* after `asked`, which is cleared when the work has been claimed */
    n.saving = n.doing == KV_WORK_BGSAVE || (asked & KV_WANT_SAVE) != 0;
    n.rewriting = n.doing == KV_WORK_REWRITE || (asked & KV_WANT_REWRITE) != 0;
    n.logging = atomic_load_explicit(&k->logging, memory_order_acquire);
    n.since = kvi_keeper_now_s(k) - atomic_load_explicit(&k->work_since_s, memory_order_relaxed);
    if (n.logging) kv_aof_state_of(kvi_keeper_aof(k), &n.log);
    return n;
}

static long long relaxed(_Atomic int64_t *number) { return atomic_load_explicit(number, memory_order_relaxed); }
static unsigned long long count(_Atomic uint64_t *number) { return atomic_load_explicit(number, memory_order_relaxed); }
static const char *outcome(_Atomic bool *failed) { return atomic_load_explicit(failed, memory_order_relaxed) ? "err" : "ok"; }

static void snapshots(kv_keeper *k, const numbers *n, kv_buf *out) {
    unsigned long long keys = count(&k->work_keys), total = count(&k->work_total);
    bool working = n->saving || n->rewriting;
    kv_buf_printf(out,
                  "async_loading:0\r\ncurrent_cow_peak:%llu\r\ncurrent_cow_size:0\r\ncurrent_cow_size_age:0\r\n"
                  "current_fork_perc:%.2f\r\ncurrent_save_keys_processed:%llu\r\ncurrent_save_keys_total:%llu\r\n",
                  count(&k->orphan_peak), working && total > 0 ? 100.0 * (double)keys / (double)total : 0.0, working ? keys : 0,
                  working ? total : 0);
    kv_buf_printf(
        out,
        "rdb_changes_since_last_save:%llu\r\nrdb_bgsave_in_progress:%d\r\nrdb_last_save_time:%lld\r\nrdb_last_bgsave_status:%s\r\n"
        "rdb_last_bgsave_time_sec:%lld\r\nrdb_current_bgsave_time_sec:%lld\r\nrdb_saves:%llu\r\nrdb_last_cow_size:%llu\r\n"
        "rdb_last_load_keys_expired:%llu\r\nrdb_last_load_keys_loaded:%llu\r\n",
        (unsigned long long)kv_tally_dirty(k->engine) - count(&k->saved_dirty), n->saving, relaxed(&k->last_save_s),
        outcome(&k->bgsave_failed), relaxed(&k->last_bgsave_s), n->saving ? (long long)n->since : -1LL, count(&k->saves),
        count(&k->orphan_peak), (unsigned long long)k->expired_keys, (unsigned long long)k->loaded_keys);
}

static void logs(kv_keeper *k, const numbers *n, kv_buf *out) {
    uint32_t wants = atomic_load_explicit(&k->wants, memory_order_relaxed);
    bool enabled = n->logging || (k->layout == KV_LAYOUT_SERVER && kv_setting(&k->engine->settings, KV_CFG_APPENDONLY) != 0);
    kv_buf_printf(out,
                  "aof_enabled:%d\r\naof_rewrite_in_progress:%d\r\naof_rewrite_scheduled:%d\r\naof_last_rewrite_time_sec:%lld\r\n"
                  "aof_current_rewrite_time_sec:%lld\r\naof_last_bgrewrite_status:%s\r\naof_rewrites:%llu\r\n"
                  "aof_rewrites_consecutive_failures:%llu\r\naof_last_write_status:%s\r\naof_last_cow_size:0\r\n"
                  "module_fork_in_progress:0\r\nmodule_fork_last_cow_size:0\r\nslot_migration_fork_in_progress:0\r\n",
                  enabled, n->rewriting, (wants & KV_WANT_REWRITE) != 0, relaxed(&k->last_rewrite_s),
                  n->rewriting ? (long long)n->since : -1LL, outcome(&k->rewrite_failed), count(&k->rewrites), count(&k->rewrite_failures),
                  n->log.failed || n->log.poisoned ? "err" : "ok");
    if (!n->logging) return;
    kv_keeper_facts facts;
    kv_keeper_facts_of(k, &facts);
    kv_buf_printf(
        out,
        "aof_current_size:%llu\r\naof_base_size:%llu\r\naof_pending_rewrite:%d\r\naof_buffer_length:%llu\r\naof_pending_bio_fsync:%d\r\n"
        "aof_delayed_fsync:%llu\r\n",
        (unsigned long long)(facts.base_bytes + facts.log_bytes), count(&k->current_base), (wants & KV_WANT_SWITCH) != 0,
        (unsigned long long)n->log.pending, n->log.durable < n->log.appended, (unsigned long long)n->log.delayed_fsyncs);
}

void kvi_keeper_info(void *arg, kv_buf *out) {
    kv_keeper *k = arg;
    numbers n = look(k);
    snapshots(k, &n, out);
    logs(k, &n, out);
}
