/* TIME, ROLE, MONITOR, SHUTDOWN, LOLWUT, MODULE LIST. */
#include "engine/compat.h"
#include "engine/engine.h"
#include "engine/ctx.h"
#include "engine/errors.h"
#include "engine/persistence.h"

void kv_cmd_time(kv_ctx *c) {
    int64_t us = kv_clock_us(&c->engine->clock);
    kv_reply_array(c->reply, 2);
    kv_reply_bulk_i64(c->reply, us / 1000000);
    kv_reply_bulk_i64(c->reply, us % 1000000);
}

void kv_cmd_role(kv_ctx *c) {
    kv_reply_array(c->reply, 3);
    kv_reply_bulk_cstr(c->reply, "master");
    kv_reply_int(c->reply, 0); /* replication offset: there are no replicas */
    kv_reply_array(c->reply, 0);
}

void kv_cmd_monitor(kv_ctx *c) {
    if (!atomic_exchange_explicit(&c->session->monitor, true, memory_order_relaxed))
        atomic_fetch_add_explicit(&c->engine->monitor_count, 1, memory_order_relaxed);
    kv_reply_ok(c->reply);
}

void kv_cmd_module_list(kv_ctx *c) { kv_reply_array(c->reply, 0); }

/* SHUTDOWN SAVE answers when that fails, and the server stays. What is changed after this is saved at the end. */
static bool saved(kv_ctx *c, bool force) {
    const kv_persistence *files = c->engine->persistence;
    if (files == NULL || force) return true;
    kv_buf reason;
    kv_buf_init(&reason, kv_ctx_mem(c));
    bool good = files->save(files->arg, &reason);
    if (!good)
        kv_log_write(&c->engine->log, KV_LOG_WARNING, "SHUTDOWN: %.*s", (int)reason.len, reason.len > 0 ? (const char *)reason.ptr : "");
    kv_buf_deinit(&reason);
    return good;
}

void kv_cmd_shutdown(kv_ctx *c) {
    bool save = false, nosave = false, now = false, force = false, abort = false;
    for (int i = 1; i < c->argc; i++) {
        if (kv_ctx_is(c, i, "nosave") && !save) nosave = true;
        else if (kv_ctx_is(c, i, "save") && !nosave) save = true;
        else if (kv_ctx_is(c, i, "now")) now = true;
        else if (kv_ctx_is(c, i, "force")) force = true;
        else if (kv_ctx_is(c, i, "safe")) continue; /* refuses only where data could be lost, and here nothing is kept */
        else if (kv_ctx_is(c, i, "failover")) continue;
        else if (kv_ctx_is(c, i, "abort")) abort = true;
        else {
            kv_ctx_syntax_error(c);
            return;
        }
    }
    if (abort) {
        if (c->argc > 2) kv_ctx_syntax_error(c);
        else kv_reply_error(c->reply, "ERR No shutdown in progress.");
    } else if (c->engine->hooks.shutdown == NULL || !atomic_load_explicit(&c->engine->serving, memory_order_relaxed)) {
        kv_reply_error(c->reply, "ERR This store belongs to a program and ends with it: close it there.");
    } else if (save && !saved(c, force)) {
        kv_reply_error(c->reply, KV_ERR_SHUTDOWN_ERRORS);
    } else {
        /* No reply: the connection ends with the server. */
        atomic_store_explicit(&c->engine->shutting_down, true, memory_order_relaxed);
        c->session->close_now = true;
        if (atomic_load_explicit(&c->engine->loading, memory_order_relaxed)) save = false, nosave = true; /* what is not all there yet */
        c->engine->hooks.shutdown(c->engine->hooks.arg, now, force, save, nosave);
    }
}

/* ---- LOLWUT: a small landscape of waves, another one each time ---- */

static void draw_waves(kv_buf *out, int columns, int rows, kv_rng *rng) {
    static const char shades[] = " .:-=+*#";
    double phase[3], length[3];
    for (int k = 0; k < 3; k++) {
        phase[k] = kv_rng_unit(rng);
        length[k] = 6.0 + 20.0 * kv_rng_unit(rng);
    }
    for (int y = 0; y < rows; y++) {
        for (int x = 0; x < columns; x++) {
            double height = 0;
            for (int k = 0; k < 3; k++) { /* triangle waves: no need of a sine */
                double at = ((double)x + (double)y * (k + 1)) / length[k] + phase[k];
                double part = at - (double)(long)at;
                height += part < 0.5 ? 2 * part : 2 - 2 * part;
            }
            kv_buf_add_byte(out, (uint8_t)shades[(int)(height / 3.0 * 7.99)]);
        }
        kv_buf_add_byte(out, '\n');
    }
}

void kv_cmd_lolwut(kv_ctx *c) {
    int64_t columns = 66, rows = 12, version;
    int at = 1;
    if (c->argc >= 3 && kv_ctx_is(c, 1, "version")) {
        if (!kv_ctx_i64(c, 2, &version)) return;
        at = 3;
    }
    if (at < c->argc && !kv_ctx_i64(c, at, &columns)) return;
    if (at + 1 < c->argc && !kv_ctx_i64(c, at + 1, &rows)) return;
    columns = columns < 1 ? 1 : columns > 1000 ? 1000 : columns;
    rows = rows < 1 ? 1 : rows > 200 ? 200 : rows;
    kv_buf out;
    kv_buf_init(&out, kv_ctx_mem(c));
    draw_waves(&out, (int)columns, (int)rows, kv_ctx_rng(c));
    bool redis = kv_setting(&c->engine->settings, KV_CFG_EXTENDED_REDIS_COMPATIBILITY) != 0;
    kv_buf_printf(&out, "\nkvcore, compatible with %s ver. %s\n", redis ? "Redis" : "Valkey",
                  redis ? KV_COMPAT_REDIS_VERSION : KV_COMPAT_VALKEY_VERSION);
    if (out.failed) kv_ctx_out_of_memory(c);
    else kv_reply_verbatim(c->reply, kv_buf_slice(&out));
    kv_buf_deinit(&out);
}
