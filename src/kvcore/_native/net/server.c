/* Starting, changing and stopping a server.
 *
 * The number of threads changes while they run: more are started, or some are left without work. Which connections go where is the loops' own doing
 * (share_out in loop.c); the server only says how many are in use, and wakes them. */
#include "net/server.h"

#include <errno.h>
#include <unistd.h>

#include "net/server_private.h"

static bool is_auto(const kv_server *server) { return kv_setting(&server->engine->settings, KV_CFG_IO_THREADS) == 0; }

unsigned kv_server_loops_asked(const kv_server *server) {
    int64_t asked = kv_setting(&server->engine->settings, KV_CFG_IO_THREADS);
    if (asked > 0) return (unsigned)(asked > KV_LOOPS_MAX ? KV_LOOPS_MAX : asked);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > 8 ? 8 : (unsigned)cores;
}

/* Threads up to `count` run. KV_ENOMEM, KV_EIO: not all of them do. The lock is held, or nobody knows the server yet. */
static kv_status make_loops(kv_server *server, unsigned first, unsigned count) {
    for (unsigned i = count; i > first; i--) {
        /* The first loop accepts and deals out: it starts last, when the others can take what it gives them. */
        kv_status status = kv_loop_start(server->engine, server, i - 1, &server->loops[i - 1]);
        if (status != KV_OK) return status;
    }
    return KV_OK;
}

static void end_loops(kv_server *server, unsigned first, unsigned count) {
    for (unsigned i = first; i < count; i++)
        if (server->loops[i] != NULL) kv_loop_stop(server->loops[i]);
    for (unsigned i = first; i < count; i++)
        if (server->loops[i] != NULL) kv_loop_join(server->loops[i]);
    for (unsigned i = first; i < count; i++)
        if (server->loops[i] != NULL) kv_loop_close(server->loops[i]);
}

static void set_loop_count(kv_server *server, unsigned made, unsigned count) {
    atomic_store_explicit(&server->made, made, memory_order_release);
    atomic_store_explicit(&server->loop_count, count, memory_order_release);
    atomic_store_explicit(&server->engine->serving_threads, count, memory_order_relaxed);
}

void kv_server_use_loops(kv_server *server, unsigned count) {
    unsigned made = atomic_load_explicit(&server->made, memory_order_relaxed);
    set_loop_count(server, made, count);
    atomic_fetch_add_explicit(&server->layout, 1, memory_order_release);
    for (unsigned i = 0; i < made; i++) kv_loop_look_up(server->loops[i]);
}

kv_status kv_server_start(kv_engine *engine, kv_buf *error, kv_server **out) {
    kv_server *server = kv_calloc(&engine->mem, 1, sizeof *server);
    if (server == NULL) return KV_ENOMEM;
    server->engine = engine;
    unsigned count = kv_server_loops_asked(server);
    kv_mutex_init(&server->lock, KV_RANK_SERVER, 0);
    atomic_store_explicit(&server->references, 1, memory_order_relaxed);
    kv_status status = kv_listeners_open(&server->listeners, engine, error);
    if (status == KV_OK) {
        set_loop_count(server, count, is_auto(server) ? 1 : count); /* before a thread looks */
        status = make_loops(server, 0, count);
        if (status != KV_OK) kv_buf_printf(error, "cannot start %u network threads: %s", count, strerror(errno));
    }
    if (status != KV_OK) {
        end_loops(server, 0, count);
        kv_listeners_close(&server->listeners);
        set_loop_count(server, count, 0);
        kv_server_release(server);
        return status;
    }
    atomic_store_explicit(&engine->serving_port, server->listeners.port, memory_order_relaxed);
    *out = server;
    return KV_OK;
}

void kv_server_stop(kv_server *server) {
    kv_engine *engine = server->engine;
    kv_mutex_lock(&server->lock);
    server->closing = true;
    unsigned made = atomic_load_explicit(&server->made, memory_order_relaxed);
    kv_mutex_unlock(&server->lock);
    end_loops(server, 0, made);
    kv_mutex_lock(&server->lock);
    kv_listeners_close(&server->listeners);
    kv_mutex_unlock(&server->lock);
    atomic_store_explicit(&engine->serving_port, 0, memory_order_relaxed);
    atomic_store_explicit(&engine->serving_threads, 0, memory_order_relaxed);
    kv_server_release(server);
}

/* ---- changing ---- */

static kv_status change_threads(kv_server *server, kv_buf *reason) {
    kv_mutex_lock(&server->lock);
    unsigned asked = kv_server_loops_asked(server), before = server->loop_count;
    unsigned count = is_auto(server) && before < asked ? before : asked; /* auto: as many as before, until the governor sees a need */
    unsigned made = atomic_load_explicit(&server->made, memory_order_relaxed);
    bool changed = !server->closing && count != before;
    kv_status status = KV_OK;
    for (; !server->closing && status == KV_OK && made < asked; made += status == KV_OK) status = make_loops(server, made, made + 1);
    if (!server->closing) set_loop_count(server, made, before);
    if (changed && status == KV_OK) kv_server_use_loops(server, count);
    kv_mutex_unlock(&server->lock);
    if (status != KV_OK) kv_buf_printf(reason, "Failed to start network threads: %s", strerror(errno));
    else if (changed) kv_log_write(&server->engine->log, KV_LOG_NOTICE, "Network threads: %u, before %u", count, before);
    return status;
}

kv_status kv_server_configure(kv_server *server, int field, kv_buf *reason) {
    switch (field) {
    case KV_CFG_PORT:
    case KV_CFG_BIND: return kv_listen_change(server, field == KV_CFG_PORT, reason);
    case KV_CFG_IO_THREADS: return change_threads(server, reason);
    case KV_CFG_MAXMEMORY:
    case KV_CFG_MAXMEMORY_CLIENTS:
        kv_mutex_lock(&server->lock);
        if (!server->closing) kv_loop_look_up(server->loops[0]); /* clients that are too large now go now */
        kv_mutex_unlock(&server->lock);
        return KV_OK;
    default: return KV_OK;
    }
}

/* ---- facts ---- */

void kv_server_retain(kv_server *server) { atomic_fetch_add_explicit(&server->references, 1, memory_order_relaxed); }

void kv_server_release(kv_server *server) {
    if (atomic_fetch_sub_explicit(&server->references, 1, memory_order_acq_rel) != 1) return;
    for (unsigned i = 0; i < KV_LOOPS_MAX; i++)
        if (server->loops[i] != NULL) kv_loop_free(server->loops[i]);
    kv_free(&server->engine->mem, server);
}

size_t kv_server_connections(const kv_server *server) {
    size_t count = 0;
    unsigned made = atomic_load_explicit(&server->made, memory_order_acquire);
    for (unsigned i = 0; i < made; i++) count += atomic_load_explicit(&server->loops[i]->count, memory_order_relaxed);
    return count;
}

kv_loop *kv_server_least_loaded(const kv_server *server) {
    kv_loop *best = server->loops[0];
    unsigned count = atomic_load_explicit(&server->loop_count, memory_order_acquire);
    for (unsigned i = 1; i < count; i++)
        if (atomic_load_explicit(&server->loops[i]->count, memory_order_relaxed) < atomic_load_explicit(&best->count, memory_order_relaxed))
            best = server->loops[i];
    return best;
}

int kv_server_port(const kv_server *server) { return server->listeners.port; }
const char *kv_server_unix_path(const kv_server *server) {
    return server->listeners.unix_path[0] == 0 ? NULL : server->listeners.unix_path;
}
unsigned kv_server_threads(const kv_server *server) { return atomic_load_explicit(&server->made, memory_order_relaxed); }
