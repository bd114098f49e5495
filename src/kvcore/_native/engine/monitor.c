/* MONITOR lines and the command log.
 *
 * The command log has three rings: slow executions, large requests, large replies. An entry is one block; the newest stands first. What a user must not
 * see of others (passwords) is replaced before it gets here. */
#include "engine/monitor.h"

#include <stdio.h>

#include "base/words.h"
#include "engine/commandlog.h"
#include "engine/dispatch.h"

/* ---- secrets ---- */

/* The first and last argument that must not be shown; false: there is none. */
static bool secret_range(const kv_ctx *c, int *first, int *last) {
    const char *name = c->command->full_name;
    if (strcmp(name, "auth") == 0) {
        *first = 1;
        *last = c->argc - 1;
        return true;
    }
    if (strcmp(name, "hello") == 0) {
        for (int i = 2; i + 2 < c->argc; i++) {
            if (!kv_ctx_is(c, i, "auth")) continue;
            *first = i + 1;
            *last = i + 2;
            return true;
        }
    }
    if (strcmp(name, "config|set") == 0) {
        for (int i = 2; i + 1 < c->argc; i += 2) {
            const kv_config_option *option = kv_config_find(c->engine->settings.table, c->argv[i], NULL);
            if (option == NULL || (option->flags & KV_CONFIG_SENSITIVE) == 0) continue;
            *first = i + 1;
            *last = i + 1;
            return true;
        }
    }
    return false;
}

/* ---- MONITOR ---- */

void kv_monitor_feed(kv_ctx *c) {
    kv_buf line;
    kv_buf_init(&line, &c->engine->mem);
    int64_t now = kv_clock_us(&c->engine->clock);
    kv_buf_printf(&line, "%lld.%06lld [%d %s]", (long long)(now / 1000000), (long long)(now % 1000000), c->session->db,
                  c->session->in_process ? "embedded" : c->session->address);
    int first, last;
    bool secret = secret_range(c, &first, &last);
    for (int i = 0; i < c->argc; i++) {
        kv_buf_add_byte(&line, ' ');
        if (secret && i >= first && i <= last) kv_quote(&line, KV_LIT("(redacted)"));
        else kv_quote(&line, c->argv[i]);
    }
    kv_buf_add_byte(&line, 0);
    kv_engine *engine = c->engine;
    kv_mutex_lock(&engine->clients_lock);
    for (kv_session *session = engine->clients; session != NULL; session = session->next) {
        if (!atomic_load_explicit(&session->monitor, memory_order_relaxed)) continue;
        kv_buf out;
        kv_buf_init(&out, &engine->mem);
        kv_reply reply = kv_reply_to(&out, session->format);
        if (line.failed) out.failed = true; /* a monitor that misses a command is cut off: it must not believe to have seen all */
        else kv_reply_status(&reply, (const char *)line.ptr);
        kv_session_mail(c, session, &out);
        kv_buf_deinit(&out);
    }
    kv_mutex_unlock(&engine->clients_lock);
    kv_buf_deinit(&line);
}

/* ---- the command log ---- */

#define ARGS_KEPT 32
#define ARG_BYTES_KEPT 128

struct kv_commandlog {
    kv_engine *engine;
    struct kv_log_ring {
        kv_log_entry *newest;
        size_t count;
    } rings[KV_LOG_KINDS];
    uint64_t next_id[KV_LOG_KINDS];
};

struct kv_commandlog *kv_commandlog_create(kv_engine *engine) {
    struct kv_commandlog *log = kv_calloc(&engine->mem, 1, sizeof *log);
    if (log != NULL) log->engine = engine;
    return log;
}

static void free_entries(kv_mem *mem, kv_log_entry *entry) {
    while (entry != NULL) {
        kv_log_entry *next = entry->next;
        kv_free(mem, entry);
        entry = next;
    }
}

void kv_commandlog_destroy(struct kv_commandlog *log) {
    if (log == NULL) return;
    kv_mem *mem = &log->engine->mem;
    for (int kind = 0; kind < KV_LOG_KINDS; kind++) free_entries(mem, log->rings[kind].newest);
    kv_free(mem, log);
}

/* The arguments as they are shown: at most 32, each at most 128 bytes, what was cut is counted. Encoded as length (uint32) and bytes, one after the
 * other. */
static void put_arg(kv_buf *out, kv_slice arg) {
    uint32_t len = (uint32_t)arg.len;
    kv_buf_add(out, &len, sizeof len);
    kv_buf_add_slice(out, arg);
}

static uint32_t gather_args(kv_ctx *c, kv_buf *out) {
    int shown = c->argc <= ARGS_KEPT ? c->argc : ARGS_KEPT - 1, first = 0, last = -1;
    bool secret = secret_range(c, &first, &last);
    for (int i = 0; i < shown; i++) {
        char note[64];
        if (secret && i >= first && i <= last) {
            put_arg(out, KV_LIT("(redacted)"));
        } else if (c->argv[i].len > ARG_BYTES_KEPT) {
            int len = snprintf(note, sizeof note, "... (%zu more bytes)", c->argv[i].len - ARG_BYTES_KEPT);
            uint32_t total = ARG_BYTES_KEPT + (uint32_t)len;
            kv_buf_add(out, &total, sizeof total);
            kv_buf_add(out, c->argv[i].ptr, ARG_BYTES_KEPT);
            kv_buf_add(out, note, (size_t)len);
        } else {
            put_arg(out, c->argv[i]);
        }
    }
    if (shown == c->argc) return (uint32_t)shown;
    char note[64];
    int len = snprintf(note, sizeof note, "... (%d more arguments)", c->argc - shown);
    put_arg(out, kv_slice_of(note, (size_t)len));
    return (uint32_t)shown + 1;
}

static void record(kv_ctx *c, kv_log_kind kind, int64_t value, size_t limit) {
    if (limit == 0) return; /* not even a number is given out */
    kv_engine *engine = c->engine;
    kv_buf args;
    kv_buf_init(&args, &engine->mem);
    uint32_t count = gather_args(c, &args);
    kv_log_entry *entry = args.failed ? NULL : kv_malloc(&engine->mem, sizeof *entry + args.len);
    if (entry != NULL) {
        *entry = (kv_log_entry){.value = value, .time_s = kv_clock_ms(&engine->clock) / 1000, .arg_count = count, .args_len = args.len};
        memcpy(entry->args, args.ptr, args.len);
        snprintf(entry->address, sizeof entry->address, "%s", c->session->in_process ? "embedded" : c->session->address);
        kv_mutex_lock(&engine->clients_lock);
        size_t len = c->session->name.len < sizeof entry->client_name - 1 ? c->session->name.len : sizeof entry->client_name - 1;
        if (len > 0) memcpy(entry->client_name, c->session->name.ptr, len);
        kv_mutex_unlock(&engine->clients_lock);
    }
    kv_buf_deinit(&args);
    if (entry == NULL) return; /* the log is a help, not a promise */
    struct kv_commandlog *log = engine->commandlog;
    kv_log_entry *surplus = NULL;
    kv_mutex_lock(&engine->stats_lock);
    struct kv_log_ring *ring = &log->rings[kind];
    entry->id = log->next_id[kind]++;
    entry->next = ring->newest;
    ring->newest = entry;
    ring->count++;
    kv_log_entry **at = &ring->newest;
    for (size_t i = 0; i < limit && *at != NULL; i++) at = &(*at)->next;
    surplus = *at;
    *at = NULL;
    if (ring->count > limit) ring->count = limit;
    kv_mutex_unlock(&engine->stats_lock);
    free_entries(&engine->mem, surplus);
}

void kv_commandlog_record(kv_ctx *c, uint64_t duration_us, size_t request_bytes, size_t reply_bytes) {
    const kv_settings *s = &c->engine->settings;
    int64_t slow = kv_setting(s, KV_CFG_COMMANDLOG_EXECUTION_SLOWER_THAN), reply = kv_setting(s, KV_CFG_COMMANDLOG_REPLY_LARGER_THAN);
    int64_t request = kv_setting(s, KV_CFG_COMMANDLOG_REQUEST_LARGER_THAN);
    if (slow >= 0 && duration_us >= (uint64_t)slow)
        record(c, KV_LOG_SLOW, (int64_t)duration_us, (size_t)kv_setting(s, KV_CFG_COMMANDLOG_SLOW_EXECUTION_MAX_LEN));
    if (request >= 0 && request_bytes >= (size_t)request)
        record(c, KV_LOG_LARGE_REQUEST, (int64_t)request_bytes, (size_t)kv_setting(s, KV_CFG_COMMANDLOG_LARGE_REQUEST_MAX_LEN));
    if (reply >= 0 && reply_bytes >= (size_t)reply)
        record(c, KV_LOG_LARGE_REPLY, (int64_t)reply_bytes, (size_t)kv_setting(s, KV_CFG_COMMANDLOG_LARGE_REPLY_MAX_LEN));
}

size_t kv_commandlog_len(kv_engine *engine, kv_log_kind kind) {
    kv_mutex_lock(&engine->stats_lock);
    size_t count = engine->commandlog->rings[kind].count;
    kv_mutex_unlock(&engine->stats_lock);
    return count;
}

void kv_commandlog_reset(kv_engine *engine, kv_log_kind kind) {
    kv_mutex_lock(&engine->stats_lock);
    kv_log_entry *entries = engine->commandlog->rings[kind].newest;
    engine->commandlog->rings[kind] = (struct kv_log_ring){0};
    kv_mutex_unlock(&engine->stats_lock);
    free_entries(&engine->mem, entries);
}

size_t kv_commandlog_each(kv_engine *engine, kv_log_kind kind, size_t limit, void (*fn)(void *arg, const kv_log_entry *entry), void *arg) {
    size_t seen = 0;
    kv_mutex_lock(&engine->stats_lock);
    for (const kv_log_entry *entry = engine->commandlog->rings[kind].newest; entry != NULL && seen < limit; entry = entry->next, seen++)
        fn(arg, entry);
    kv_mutex_unlock(&engine->stats_lock);
    return seen;
}
