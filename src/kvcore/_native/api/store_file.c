/* Stores in files: what kvcore.h says about them, on top of persist/keeper.h. */
#include <string.h>

#include "api/store.h"
#include "engine/settings.h"

_Static_assert((int)KVCORE_PROBLEM_GIVEN_UP == (int)KV_PROBLEM_GIVEN_UP && (int)KVCORE_ALWAYS == (int)KV_DURABLE_ALWAYS,
               "numbers are passed on");

typedef struct listener {
    kvcore_progress *progress;
    void *arg;
} listener;

static bool on_progress(void *arg, const char *step, uint64_t done, uint64_t total) {
    const listener *who = arg;
    return who->progress == NULL || who->progress(who->arg, step, done, total) == 0;
}

static int outcome(kv_status status, kv_buf *reason, char *error, size_t cap) {
    if (status != KV_OK) kvi_say(error, cap, reason->len > 0 ? kv_buf_slice(reason) : kv_slice_cstr(kv_status_name(status)));
    kv_buf_deinit(reason);
    return status == KV_OK ? 0 : -1;
}

kvcore_store *kvcore_open_file(const char *path, const char *config, size_t config_len, uint64_t seed, int durability, int flags,
                               kvcore_progress *progress, void *arg, int *problem, char *error, size_t error_cap) {
    *problem = KVCORE_PROBLEM_CONFIG;
    kvcore_store *store = kvcore_open(config, config_len, seed, error, error_cap);
    if (store == NULL) return NULL;
    listener who = {progress, arg};
    kv_keeper_options options = {.path = path,
                                 .durability = (kv_durability)(durability < 0 || durability > KVCORE_ALWAYS ? KVCORE_EVERYSEC : durability),
                                 .readonly = (flags & KVCORE_OPEN_READONLY) != 0,
                                 .existing = (flags & KVCORE_OPEN_EXISTING) != 0,
                                 .progress = on_progress,
                                 .arg = &who};
    kv_buf reason;
    kv_buf_init(&reason, &store->engine->mem);
    kv_problem why = KV_PROBLEM_NONE;
    store->keeper = kv_keeper_open_single(store->engine, &options, &why, &reason);
    *problem = (int)why;
    if (store->keeper == NULL) kvi_say(error, error_cap, kv_buf_slice(&reason));
    kv_buf_deinit(&reason);
    if (store->keeper != NULL) return store;
    kvcore_close(store);
    return NULL;
}

int kvcore_flush(kvcore_store *store, char *error, size_t error_cap) {
    if (store->keeper == NULL) return 0;
    kv_buf reason;
    kv_buf_init(&reason, &store->engine->mem);
    return outcome(kv_keeper_flush(store->keeper, &reason), &reason, error, error_cap);
}

int kvcore_snapshot(kvcore_store *store, const char *path, kvcore_progress *progress, void *arg, char *error, size_t error_cap) {
    listener who = {progress, arg};
    kv_buf reason;
    kv_buf_init(&reason, &store->engine->mem);
    return outcome(kv_keeper_snapshot(store->engine, path, on_progress, &who, &reason), &reason, error, error_cap);
}

int kvcore_compact(kvcore_store *store, kvcore_progress *progress, void *arg, char *error, size_t error_cap) {
    listener who = {progress, arg};
    kv_buf reason;
    kv_buf_init(&reason, &store->engine->mem);
    kv_status status = KV_EINVAL;
    if (store->keeper == NULL) kv_buf_printf(&reason, "this store is in memory only: it has no file");
    else status = kv_keeper_compact(store->keeper, on_progress, &who, &reason);
    return outcome(status, &reason, error, error_cap);
}

int kvcore_finish(kvcore_store *store, char *error, size_t error_cap) {
    if (store->keeper == NULL) return 0;
    kv_buf reason;
    kv_buf_init(&reason, &store->engine->mem);
    bool good = kv_keeper_finish(store->keeper, -1, true, &reason);
    return outcome(good ? KV_OK : KV_EIO, &reason, error, error_cap);
}

void kvcore_file_state(kvcore_store *store, kvcore_file_facts *out) {
    *out = (kvcore_file_facts){.durability = -1};
    if (store->keeper == NULL) return;
    kv_keeper_facts facts;
    kv_keeper_facts_of(store->keeper, &facts);
    *out = (kvcore_file_facts){.durability = facts.durability,
                               .readonly = facts.readonly,
                               .created = facts.created,
                               .base_bytes = facts.base_bytes,
                               .log_bytes = facts.log_bytes,
                               .pending_bytes = facts.pending_bytes,
                               .loaded_keys = facts.loaded_keys,
                               .expired_keys = facts.expired_keys,
                               .replayed_commands = facts.replayed_commands,
                               .cut_bytes = facts.cut_bytes,
                               .compactions = facts.compactions,
                               .recoveries = facts.recoveries,
                               .compacting = facts.compacting,
                               .failed = facts.failed};
}

const char *kvcore_file_notice(const kvcore_store *store) { return store->keeper == NULL ? "" : kv_keeper_notice(store->keeper); }

void kvcore_set_loading(kvcore_store *store) {
    kv_engine *engine = store->engine;
    atomic_store_explicit(&engine->load.since_s, kv_clock_ms(&engine->clock) / 1000, memory_order_relaxed);
    atomic_store_explicit(&engine->loading, true, memory_order_release);
}

int kvcore_start_files(kvcore_store *store, kvcore_progress *progress, void *arg, int *problem, char *error, size_t error_cap) {
    listener who = {progress, arg};
    kv_buf reason, path;
    kv_buf_init(&reason, &store->engine->mem);
    kv_buf_init(&path, &store->engine->mem);
    kv_setting_text(&store->engine->settings, KV_CFG_DIR, &path);
    kv_buf_add_byte(&path, 0);
    kv_problem why = KV_PROBLEM_MEMORY;
    if (!path.failed) {
        kv_keeper_options options = {.path = (const char *)path.ptr, .progress = on_progress, .arg = &who};
        kv_engine *engine = store->engine;
        kvcore_set_loading(store);
        kv_keeper *keeper = kv_keeper_open_server(engine, &options, &why, &reason);
        kv_mutex_lock(&engine->settings.change);
        store->keeper = keeper;
        if (keeper != NULL) (void)kv_keeper_apply(keeper, KV_CFG_APPENDFSYNC, &reason); /* a client may have changed it meanwhile */
        kv_mutex_unlock(&engine->settings.change);
        if (keeper != NULL) atomic_store_explicit(&engine->loading, false, memory_order_release);
    }
    *problem = (int)why;
    kv_buf_deinit(&path);
    return outcome(store->keeper != NULL ? KV_OK : KV_EIO, &reason, error, error_cap);
}

int kvcore_stop_files(kvcore_store *store, int save, char *error, size_t error_cap) {
    if (store->keeper == NULL) return 0;
    if (save < 0) save = atomic_load_explicit(&store->shutdown_save, memory_order_relaxed);
    kv_buf reason;
    kv_buf_init(&reason, &store->engine->mem);
    bool good = kv_keeper_finish(store->keeper, save, true, &reason);
    return outcome(good ? KV_OK : KV_EIO, &reason, error, error_cap);
}
