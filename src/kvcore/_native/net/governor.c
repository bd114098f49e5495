/* io-threads auto: one thread is in use as long as it can do the work, then twice as many, up to one a core, while cores are idle.
 *
 * A second thread before that splits the same requests into smaller rounds: more waits and more switches for the same work, and cores that clients on
 * this machine would have used (docs/design/io-threads.md). So threads follow the load, which is measured as CPU time:
 *
 *   every loop, ten times a second     its load = CPU time / time, in thousandths; packed with the moment, so that a loop that sleeps counts as idle
 *   whoever comes by first, as often   a load of FULL for three looks, half a core idle meanwhile  -> twice the loops
 *                                      all together less than SPARE of half the loops, for 2 s     -> half the loops
 *
 * FULL is above SPARE by so much that a change does not call for the opposite one. Connections are shared out anew by the loops themselves. */
#include "net/governor.h"

#include "base/system.h"
#include "net/server_private.h"

#define LOOK_MS 100
#define STALE_MS 500 /* who has not measured for so long has slept */
#define FULL 900     /* thousandths of a core */
#define SPARE 600
#define LOOKS_TO_GROW 3
#define SPARE_MS_TO_SHRINK 2000
#define LOAD_BITS 12

static void measure(kv_loop *loop, int64_t now_ms) {
    kv_load *load = &loop->load;
    uint64_t cpu_ns = kv_thread_cpu_ns(), used = cpu_ns - load->cpu_ns;
    uint64_t elapsed_ns = (uint64_t)(now_ms - load->measured_ms) * 1000000, thousandths = used * 1000 / elapsed_ns;
    if (load->measured_ms != 0) {
        if (thousandths > 1000) thousandths = 1000;
        atomic_store_explicit(&load->last, (uint64_t)now_ms << LOAD_BITS | thousandths, memory_order_relaxed);
    }
    load->measured_ms = now_ms;
    load->cpu_ns = cpu_ns;
}

static unsigned load_of(const kv_loop *loop, int64_t now_ms) {
    uint64_t last = atomic_load_explicit(&loop->load.last, memory_order_relaxed);
    bool stale = now_ms - (int64_t)(last >> LOAD_BITS) > STALE_MS;
    return stale ? 0 : (unsigned)(last & ((1u << LOAD_BITS) - 1));
}

static unsigned most_loops(const kv_server *server) {
    size_t clients = kv_server_connections(server);
    unsigned made = atomic_load_explicit(&server->made, memory_order_relaxed), most = kv_server_loops_asked(server);
    if (most > made) most = made;
    return clients < most ? (unsigned)clients : most;
}

/* A loop is at the end of its core, for so many looks that a thread more is due; and there is half a core for it, or nobody knows. */
static bool must_grow(kv_governor *governor, bool full, int64_t now_ms) {
    if (!full) {
        governor->full = 0;
        return false;
    }
    if (governor->full++ == 0) {
        governor->idle_ms = kv_system_idle_ms();
        governor->full_ms = now_ms;
    }
    if (governor->full < LOOKS_TO_GROW) return false;
    governor->full = 0;
    int64_t idle_ms = kv_system_idle_ms();
    return idle_ms < 0 || governor->idle_ms < 0 || (idle_ms - governor->idle_ms) * 2 >= now_ms - governor->full_ms;
}

/* With the server's lock. Returns how many are in use from here on. */
static unsigned look(kv_server *server, int64_t now_ms, int64_t elapsed_ms) {
    kv_governor *governor = &server->governor;
    unsigned in_use = server->loop_count, all = 0, highest = 0;
    for (unsigned i = 0; i < in_use; i++) {
        unsigned load = load_of(server->loops[i], now_ms);
        all += load;
        if (load > highest) highest = load;
    }
    governor->spare_ms = in_use > 1 && all < SPARE * (in_use / 2) ? governor->spare_ms + elapsed_ms : 0;
    unsigned count = in_use;
    if (in_use < most_loops(server) && must_grow(governor, highest >= FULL, now_ms)) {
        count = in_use * 2 <= most_loops(server) ? in_use * 2 : most_loops(server);
    } else if (governor->spare_ms >= SPARE_MS_TO_SHRINK) {
        count = in_use / 2;
    }
    if (count == in_use) return count;
    governor->spare_ms = 0;
    kv_server_use_loops(server, count);
    return count;
}

void kv_governor_round(kv_loop *loop) {
    int64_t now_ms = loop->now_ms;
    if (now_ms - loop->load.measured_ms < LOOK_MS) return;
    measure(loop, now_ms);
    kv_server *server = loop->server;
    if (kv_setting(&server->engine->settings, KV_CFG_IO_THREADS) != 0) return;
    int64_t looked = atomic_load_explicit(&server->governor.looked_ms, memory_order_relaxed);
    if (now_ms - looked < LOOK_MS ||
        !atomic_compare_exchange_strong_explicit(&server->governor.looked_ms, &looked, now_ms, memory_order_relaxed, memory_order_relaxed))
        return;
    if (!kv_mutex_trylock(&server->lock)) return; /* it is being changed or stopped */
    unsigned before = server->loop_count, count = server->closing ? before : look(server, now_ms, looked == 0 ? 0 : now_ms - looked);
    kv_mutex_unlock(&server->lock);
    if (count != before) kv_log_write(&server->engine->log, KV_LOG_VERBOSE, "Network threads in use: %u, before %u", count, before);
}
