/* Making and ending an engine. Nothing here maps a page of a shard or starts a thread: a test's fresh store has to cost microseconds. */
#include "engine/engine.h"

#include "base/rng.h"
#include "engine/blocking.h"
#include "engine/cron.h"
#include "engine/direct.h"
#include "engine/evict.h"
#include "engine/monitor.h"
#include "engine/pubsub.h"
#include "engine/tally.h"
#include "engine/tracking.h"

#define DEFAULT_SHARDS 32
#define DEFAULT_DATABASES 16

static bool seed_engine(const kv_engine_options *options, kv_hash_seed *seed, char run_id[41]) {
    uint8_t random[36];
    if (options->seed != 0) {
        kv_rng rng;
        kv_rng_seed(&rng, options->seed);
        for (size_t i = 0; i < sizeof random; i++) random[i] = (uint8_t)kv_rng_next(&rng);
    } else if (!kv_random_bytes(random, sizeof random)) {
        return false;
    }
    memcpy(&seed->k0, random, 8);
    memcpy(&seed->k1, random + 8, 8);
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 20; i++) {
        run_id[2 * i] = digits[random[16 + i] >> 4];
        run_id[2 * i + 1] = digits[random[16 + i] & 15];
    }
    run_id[40] = 0;
    return true;
}

static void init_locks(kv_engine *engine) {
    kv_mutex_init(&engine->clients_lock, KV_RANK_CLIENTS, 0);
    kv_mutex_init(&engine->stats_lock, KV_RANK_STATS, 0);
}

/* What is in place when a step of kv_engine_create fails is undone in reverse. */
static void undo(kv_engine *engine, int steps) {
    if (steps > 6) kv_latency_destroy(engine->latency);
    if (steps > 5) kv_commandlog_destroy(engine->commandlog);
    if (steps > 4) kv_tracking_destroy(engine->tracking);
    if (steps > 3) kv_pubsub_destroy(engine->pubsub);
    if (steps > 2) kv_free(&engine->mem, engine->command_stats);
    if (steps > 1) kv_store_deinit(&engine->store);
    if (steps > 0) kv_settings_deinit(&engine->settings);
}

static int build(kv_engine *engine, const kv_engine_options *options, kv_hash_seed seed) {
    unsigned shards = options->shards == 0 ? DEFAULT_SHARDS : options->shards;
    unsigned databases = options->databases == 0 ? DEFAULT_DATABASES : options->databases;
    if (kv_settings_init(&engine->settings, &engine->mem, options->config) != KV_OK) return 0;
    if (kv_store_init(&engine->store, &engine->mem, shards, databases, seed) != KV_OK) return 1;
    engine->command_stats = kv_calloc(&engine->mem, options->commands->count, sizeof *engine->command_stats);
    if (engine->command_stats == NULL) return 2;
    if ((engine->pubsub = kv_pubsub_create(engine)) == NULL) return 3;
    if ((engine->tracking = kv_tracking_create(engine)) == NULL) return 4;
    if ((engine->commandlog = kv_commandlog_create(engine)) == NULL) return 5;
    if ((engine->latency = kv_latency_create(engine)) == NULL) return 6;
    return 7;
}

/* The engine's own block comes from a kv_mem that lives inside it; so a first one on the stack makes it, and its counts move in. */
kv_engine *kv_engine_create(const kv_engine_options *options) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_engine *engine = kv_calloc(&mem, 1, sizeof *engine);
    if (engine == NULL) return NULL;
    engine->mem = mem;
    kv_hash_seed seed;
    if (!seed_engine(options, &seed, engine->run_id)) {
        kv_free(&mem, engine);
        return NULL;
    }
    memcpy(engine->replid, engine->run_id, sizeof engine->replid); /* until DEBUG CHANGE-REPL-ID */
    for (int i = 0; i < 20; i++) {
        char half = engine->replid[i];
        engine->replid[i] = engine->replid[39 - i];
        engine->replid[39 - i] = half;
    }
    kv_clock_init(&engine->clock);
    kv_log_init(&engine->log, KV_LOG_NOTICE, NULL, NULL);
    init_locks(engine);
    engine->vfs = options->vfs == NULL ? &kv_vfs_posix : options->vfs;
    engine->hooks = options->hooks;
    engine->version = options->version == NULL ? "" : options->version;
    engine->commands = options->commands;
    engine->codec = options->codec;
    engine->direct[KV_DIRECT_GET] = kv_command_find(engine->commands, KV_LIT("get"));
    engine->direct[KV_DIRECT_SET] = kv_command_find(engine->commands, KV_LIT("set"));
    engine->started_mono_ns = kv_mono_ns();
    engine->started_ms = kv_clock_ms(&engine->clock);
    atomic_store_explicit(&engine->epoch, 1, memory_order_relaxed); /* 0 means "no write yet" in a unit */
    atomic_store_explicit(&engine->active_expire, true, memory_order_relaxed);
    int steps = build(engine, options, seed);
    if (steps < 7) {
        undo(engine, steps);
        kv_mem last = engine->mem;
        kv_free(&last, engine);
        return NULL;
    }
    kv_evict_settings_changed(engine);
    engine->startup_memory = kv_engine_used_memory(engine);
    return engine;
}

void kv_engine_destroy(kv_engine *engine) {
    if (engine == NULL) return;
    kv_cron_stop(engine);
    kv_waiters_destroy(engine);
    kv_tally_free_all(engine);
    undo(engine, 7);
    kv_mem last = engine->mem;
    kv_free(&last, engine);
}

size_t kv_engine_used_memory(kv_engine *engine) {
    return kv_store_used(&engine->store) + atomic_load_explicit(&engine->mem.used, memory_order_relaxed) -
           atomic_load_explicit(&engine->mem.mapped, memory_order_relaxed);
}
