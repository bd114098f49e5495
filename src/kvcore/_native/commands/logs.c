/* SLOWLOG, COMMANDLOG, LATENCY. */
#include <stdio.h>

#include "engine/commandlog.h"
#include "engine/ctx.h"
#include "engine/errors.h"
#include "engine/latency.h"
#include "engine/tally.h"

/* ---- SLOWLOG and COMMANDLOG ---- */

static void show_entry(void *arg, const kv_log_entry *entry) {
    kv_reply *reply = arg;
    kv_reply_array(reply, 6);
    kv_reply_int(reply, (int64_t)entry->id);
    kv_reply_int(reply, entry->time_s);
    kv_reply_int(reply, entry->value);
    kv_reply_array(reply, entry->arg_count);
    const uint8_t *at = entry->args;
    for (uint32_t i = 0; i < entry->arg_count; i++) {
        uint32_t len;
        memcpy(&len, at, sizeof len);
        kv_reply_bulk(reply, kv_slice_of(at + sizeof len, len));
        at += sizeof len + len;
    }
    kv_reply_bulk_cstr(reply, entry->address);
    kv_reply_bulk_cstr(reply, entry->client_name);
}

static void get_entries(kv_ctx *c, kv_log_kind kind, int count_arg) {
    int64_t count = 10;
    if (count_arg < c->argc && !kv_ctx_range_i64(c, count_arg, -1, INT64_MAX, &count, "ERR count should be greater than or equal to -1"))
        return;
    kv_mark mark = kv_reply_defer(c->reply);
    size_t shown = kv_commandlog_each(c->engine, kind, count < 0 ? SIZE_MAX : (size_t)count, show_entry, c->reply);
    kv_reply_defer_array(c->reply, mark, shown);
}

static bool parse_kind(kv_ctx *c, int arg, kv_log_kind *kind) {
    if (kv_ctx_is(c, arg, "slow")) *kind = KV_LOG_SLOW;
    else if (kv_ctx_is(c, arg, "large-request")) *kind = KV_LOG_LARGE_REQUEST;
    else if (kv_ctx_is(c, arg, "large-reply")) *kind = KV_LOG_LARGE_REPLY;
    else {
        kv_reply_error(c->reply, "ERR type should be one of the following: slow, large-request, large-reply");
        return false;
    }
    return true;
}

void kv_cmd_slowlog_get(kv_ctx *c) {
    if (c->argc > 3) kv_ctx_subcommand_error(c);
    else get_entries(c, KV_LOG_SLOW, 2);
}
void kv_cmd_slowlog_len(kv_ctx *c) { kv_reply_int(c->reply, (int64_t)kv_commandlog_len(c->engine, KV_LOG_SLOW)); }
void kv_cmd_slowlog_reset(kv_ctx *c) {
    kv_commandlog_reset(c->engine, KV_LOG_SLOW);
    kv_reply_ok(c->reply);
}

void kv_cmd_commandlog_get(kv_ctx *c) {
    kv_log_kind kind;
    int64_t count;
    if (!kv_ctx_range_i64(c, 2, -1, INT64_MAX, &count, "ERR count should be greater than or equal to -1")) return;
    if (parse_kind(c, 3, &kind)) get_entries(c, kind, 2);
}
void kv_cmd_commandlog_len(kv_ctx *c) {
    kv_log_kind kind;
    if (parse_kind(c, 2, &kind)) kv_reply_int(c->reply, (int64_t)kv_commandlog_len(c->engine, kind));
}
void kv_cmd_commandlog_reset(kv_ctx *c) {
    kv_log_kind kind;
    if (!parse_kind(c, 2, &kind)) return;
    kv_commandlog_reset(c->engine, kind);
    kv_reply_ok(c->reply);
}

/* ---- LATENCY ---- */

static const kv_latency_sample *newest(const kv_latency_event *event) {
    return &event->samples[(event->next + KV_LATENCY_SAMPLES - 1) % KV_LATENCY_SAMPLES];
}

static void show_latest(void *arg, const kv_latency_event *event) {
    kv_reply *reply = arg;
    int64_t sum = 0, count = 0;
    for (int i = 0; i < KV_LATENCY_SAMPLES; i++) {
        if (event->samples[i].time_s == 0) continue;
        sum += event->samples[i].ms;
        count++;
    }
    kv_reply_array(reply, 6);
    kv_reply_bulk_cstr(reply, event->name);
    kv_reply_int(reply, newest(event)->time_s);
    kv_reply_int(reply, newest(event)->ms);
    kv_reply_int(reply, event->max_ms);
    kv_reply_int(reply, sum);
    kv_reply_int(reply, count);
}

void kv_cmd_latency_latest(kv_ctx *c) {
    kv_mark mark = kv_reply_defer(c->reply);
    kv_reply_defer_array(c->reply, mark, kv_latency_each(c->engine, show_latest, c->reply));
}

typedef struct history {
    kv_reply *reply;
    kv_slice name;
    kv_latency_event event;
    bool found;
} history;

static void take_event(void *arg, const kv_latency_event *event) {
    history *wanted = arg;
    if (!kv_slice_eq(wanted->name, kv_slice_cstr(event->name))) return;
    wanted->event = *event;
    wanted->found = true;
}

void kv_cmd_latency_history(kv_ctx *c) {
    history wanted = {.reply = c->reply, .name = c->argv[2]};
    kv_latency_each(c->engine, take_event, &wanted);
    kv_mark mark = kv_reply_defer(c->reply);
    size_t count = 0;
    for (unsigned i = 0; wanted.found && i < KV_LATENCY_SAMPLES; i++) {
        const kv_latency_sample *sample = &wanted.event.samples[(wanted.event.next + i) % KV_LATENCY_SAMPLES];
        if (sample->time_s == 0) continue;
        kv_reply_array(c->reply, 2);
        kv_reply_int(c->reply, sample->time_s);
        kv_reply_int(c->reply, sample->ms);
        count++;
    }
    kv_reply_defer_array(c->reply, mark, count);
}

/* Columns of '#', one a sample, oldest left, scaled to the worst. */
void kv_cmd_latency_graph(kv_ctx *c) {
    history wanted = {.reply = c->reply, .name = c->argv[2]};
    kv_latency_each(c->engine, take_event, &wanted);
    if (!wanted.found) {
        char name[129];
        snprintf(name, sizeof name, "%.*s", (int)(c->argv[2].len > 128 ? 128 : c->argv[2].len), (const char *)c->argv[2].ptr);
        kv_reply_errorf(c->reply, "ERR No samples available for event '%s'", name);
        return;
    }
    kv_buf out;
    kv_buf_init(&out, kv_ctx_mem(c));
    kv_buf_printf(&out, "%s - high %u ms (all time high %u ms)\n", wanted.event.name, wanted.event.max_ms, wanted.event.max_ms);
    for (unsigned level = 4; level > 0; level--) {
        for (unsigned i = KV_LATENCY_SAMPLES - 80; i < KV_LATENCY_SAMPLES; i++) {
            const kv_latency_sample *sample = &wanted.event.samples[(wanted.event.next + i) % KV_LATENCY_SAMPLES];
            if (sample->time_s != 0) kv_buf_add_byte(&out, (uint64_t)sample->ms * 4 >= (uint64_t)level * wanted.event.max_ms ? '#' : ' ');
        }
        kv_buf_add_byte(&out, '\n');
    }
    if (out.failed) kv_ctx_out_of_memory(c);
    else kv_reply_verbatim(c->reply, kv_buf_slice(&out));
    kv_buf_deinit(&out);
}

void kv_cmd_latency_reset(kv_ctx *c) {
    size_t gone = c->argc == 2 ? kv_latency_reset(c->engine, (kv_slice){NULL, 0}) : 0;
    for (int i = 2; i < c->argc; i++) gone += kv_latency_reset(c->engine, c->argv[i]);
    kv_reply_int(c->reply, (int64_t)gone);
}

static void advise(void *arg, const kv_latency_event *event) {
    kv_buf *out = arg;
    kv_buf_printf(out, "- %s: last %u ms, worst %u ms.\n", event->name, newest(event)->ms, event->max_ms);
}

void kv_cmd_latency_doctor(kv_ctx *c) {
    kv_buf out;
    kv_buf_init(&out, kv_ctx_mem(c));
    if (kv_setting(&c->engine->settings, KV_CFG_LATENCY_MONITOR_THRESHOLD) == 0) {
        kv_buf_printf(&out, "Latency monitoring is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on.\n");
    } else if (kv_latency_each(c->engine, advise, &out) == 0) {
        kv_buf_printf(&out, "No latency event was recorded.\n");
    } else {
        kv_buf_printf(&out,
                      "SLOWLOG GET names the slow commands; large values are best deleted with UNLINK and read in parts with SCAN.\n");
    }
    if (out.failed) kv_ctx_out_of_memory(c);
    else kv_reply_verbatim(c->reply, kv_buf_slice(&out));
    kv_buf_deinit(&out);
}

/* A command's calls, and how many took at most 1, 2, 4, ... microseconds. */
static bool show_histogram(kv_ctx *c, const kv_command *command) {
    kv_histogram histogram = {0};
    uint64_t calls = kv_tally_histogram(c->engine, command->id, &histogram);
    if (calls == 0) return false;
    kv_reply_bulk_cstr(c->reply, command->full_name);
    kv_reply_map(c->reply, 2);
    kv_reply_bulk_cstr(c->reply, "calls");
    kv_reply_int(c->reply, (int64_t)calls);
    kv_reply_bulk_cstr(c->reply, "histogram_usec");
    kv_mark mark = kv_reply_defer(c->reply);
    size_t buckets = 0;
    uint64_t before = 0;
    for (uint64_t us = 1; us < UINT64_C(1) << 34; us *= 2) {
        uint64_t upto = kv_histogram_count_upto(&histogram, us * 1000);
        if (upto > before) {
            kv_reply_int(c->reply, (int64_t)us);
            kv_reply_int(c->reply, (int64_t)upto);
            buckets++;
        }
        before = upto;
        if (upto >= calls) break;
    }
    kv_reply_defer_map(c->reply, mark, buckets);
    return true;
}

void kv_cmd_latency_histogram(kv_ctx *c) {
    const kv_command_table *table = c->engine->commands;
    kv_mark mark = kv_reply_defer(c->reply);
    size_t count = 0;
    for (unsigned i = 0; c->argc == 2 && i < table->count; i++) count += show_histogram(c, &table->commands[i]);
    for (int i = 2; i < c->argc; i++) {
        const kv_command *command = kv_command_find_full(table, c->argv[i]);
        if (command == NULL) continue;
        count += show_histogram(c, command);
        for (unsigned k = 0; k < command->sub_count; k++) count += show_histogram(c, &table->commands[command->sub_first + k]);
    }
    kv_reply_defer_map(c->reply, mark, count);
}
