/* The pause alone would not do: a command that had passed the check for it a moment before may lock its shards much later. So units look once more when
 * they have their locks (kv_unit_lock), and every lock is taken once after the flag was set: who had his before has ended by then. */
#include "engine/standstill.h"

#include "engine/blocking.h"
#include "engine/ctx.h"
#include "engine/session.h"
#include "engine/unit.h"

void kv_stand_still(kv_engine *engine, kv_standstill *before) {
    *before = (kv_standstill){.until_ms = atomic_load_explicit(&engine->pause_until_ms, memory_order_relaxed),
                              .writes_only = atomic_load_explicit(&engine->pause_writes_only, memory_order_relaxed)};
    atomic_store_explicit(&engine->still, 1, memory_order_relaxed);
    atomic_store_explicit(&engine->pause_writes_only, false, memory_order_relaxed);
    atomic_store_explicit(&engine->pause_until_ms, INT64_MAX / 2, memory_order_release);
    for (uint64_t mask = kv_store_all_shards(&engine->store); mask != 0; mask &= mask - 1) {
        kv_lock_shards(engine, mask & -mask);
        kv_unlock_shards(engine, mask & -mask);
    }
}

void kv_wake_paused(kv_ctx *c) {
    atomic_fetch_add_explicit(&c->engine->pause_signal, 1, memory_order_release);
    kv_wake_word(&c->engine->pause_signal, true);
    kv_mutex_lock(&c->engine->clients_lock);
    for (kv_session *s = c->engine->clients; s != NULL; s = s->next)
        if (s->ops != NULL && s != c->session) kv_wake_later(c, s);
    kv_mutex_unlock(&c->engine->clients_lock);
}

void kv_go_on(kv_ctx *c, const kv_standstill *before) {
    kv_engine *engine = c->engine;
    atomic_store_explicit(&engine->pause_writes_only, before->writes_only, memory_order_relaxed);
    atomic_store_explicit(&engine->pause_until_ms, before->until_ms, memory_order_release);
    atomic_store_explicit(&engine->still, 0, memory_order_release);
    kv_wake_word(&engine->still, true);
    kv_wake_paused(c);
}
