/* Starting and stopping a server. */
#include "net/server.h"

#include <errno.h>
#include <unistd.h>

#include "net/server_private.h"

/* io-threads auto: one loop a core up to eight; docs/design/io-threads.md has the measurement. */
static unsigned loops_wanted(const kv_engine *engine) {
    int64_t asked = kv_setting(&engine->settings, KV_CFG_IO_THREADS);
    if (asked > 0) return (unsigned)(asked > KV_LOOPS_MAX ? KV_LOOPS_MAX : asked);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > 8 ? 8 : (unsigned)cores;
}

kv_status kv_server_start(kv_engine *engine, kv_buf *error, kv_server **out) {
    unsigned count = loops_wanted(engine);
    kv_server *server = kv_calloc(&engine->mem, 1, sizeof *server + count * sizeof(kv_loop));
    if (server == NULL) return KV_ENOMEM;
    server->engine = engine;
    server->loop_count = count;
    atomic_store_explicit(&server->references, 1, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++) server->loops[i].wake_fd = -1;
    kv_status status = kv_listeners_open(&server->listeners, engine, error);
    unsigned started = 0;
    /* The first loop accepts and deals out: it starts last, when the others can take what it gives them. */
    for (unsigned i = count; status == KV_OK && i > 0; i--) {
        status = kv_loop_start(&server->loops[i - 1], engine, server, i - 1);
        if (status == KV_OK) started++;
        else kv_buf_printf(error, "cannot start network thread %u: %s", i - 1, strerror(errno));
    }
    if (status != KV_OK) {
        for (unsigned i = count - started; i < count; i++) {
            kv_loop_stop(&server->loops[i]);
            kv_loop_join(&server->loops[i]);
        }
        kv_listeners_close(&server->listeners);
        kv_server_release(server);
        return status;
    }
    atomic_store_explicit(&engine->serving_port, server->listeners.port, memory_order_relaxed);
    atomic_store_explicit(&engine->serving_threads, count, memory_order_relaxed);
    *out = server;
    return KV_OK;
}

void kv_server_stop(kv_server *server) {
    kv_engine *engine = server->engine;
    for (unsigned i = 0; i < server->loop_count; i++) kv_loop_stop(&server->loops[i]);
    for (unsigned i = 0; i < server->loop_count; i++) kv_loop_join(&server->loops[i]);
    kv_listeners_close(&server->listeners);
    atomic_store_explicit(&engine->serving_port, 0, memory_order_relaxed);
    atomic_store_explicit(&engine->serving_threads, 0, memory_order_relaxed);
    kv_server_release(server);
}

void kv_server_retain(kv_server *server) { atomic_fetch_add_explicit(&server->references, 1, memory_order_relaxed); }

void kv_server_release(kv_server *server) {
    if (atomic_fetch_sub_explicit(&server->references, 1, memory_order_acq_rel) != 1) return;
    for (unsigned i = 0; i < server->loop_count; i++) kv_loop_free(&server->loops[i]);
    kv_free(&server->engine->mem, server);
}

int kv_server_port(const kv_server *server) { return server->listeners.port; }
const char *kv_server_unix_path(const kv_server *server) {
    return server->listeners.unix_path[0] == 0 ? NULL : server->listeners.unix_path;
}
unsigned kv_server_threads(const kv_server *server) { return server->loop_count; }
