/* DEBUG RELOAD and LOADAOF: what is in memory is saved, dropped and loaded again.
 *
 *     stand still -> save, or flush the log -> [a trial load] -> the log off -> drop -> load -> the log on -> go on
 *
 * What was not just written (NOSAVE) is loaded into a store of its own first, so that a damaged file changes nothing. A load that fails afterwards all the
 * same (no memory, a disk that fails) leaves a store that is not whole: from then on nothing is written, neither to it nor by it, and what is on disk is
 * complete.
 *
 * With the log on and a file that is not the one just saved, memory is not what the log says any more: the log begins anew with a base of it. Until that
 * is there, a crash finds the old base and log, which are whole. */
#include "persist/keeper_private.h"

#include "engine/errors.h"
#include "engine/journal.h"
#include "engine/standstill.h"
#include "engine/tally.h"
#include "engine/unit.h"

static kv_status save(kv_keeper *k, unsigned how, kv_buf *reason) {
    bool logged = kvi_keeper_is_logging(k) && (k->layout == KV_LAYOUT_SINGLE || (how & KV_RELOAD_LOG) != 0);
    kv_status status = KV_OK;
    if (logged) status = kv_aof_flush(kvi_keeper_aof(k), NULL);
    else if ((how & KV_RELOAD_NOSAVE) != 0) return KV_OK;
    else status = k->layout == KV_LAYOUT_SERVER ? kvi_dir_save(k, reason) : kvi_single_save(k, NULL, NULL, reason);
    if (status != KV_OK && reason->len == 0) kv_buf_printf(reason, status == KV_ENOMEM ? "out of memory" : "the log cannot be written");
    return status;
}

static kv_problem load_from(kv_keeper *k, unsigned how, kv_store *trial, kv_buf *reason) {
    if ((how & KV_RELOAD_LOG) != 0 && k->layout == KV_LAYOUT_SERVER) {
        k->loaded_keys = k->expired_keys = k->replayed = 0;
        return kvi_dir_load_log(k, reason);
    }
    /* With a log what has expired stays until the log says that it went: it is there in the log's base, too. */
    kv_load_job job = {.log_follows = kvi_keeper_is_logging(k), .last = true, .merge = (how & KV_RELOAD_MERGE) != 0, .trial = trial};
    if (k->layout == KV_LAYOUT_SERVER) return kvi_dir_load_dump(k, &job, reason);
    job.path = k->path;
    return kvi_load_file(k->engine, &job, reason);
}

/* Could it be loaded? */
static kv_problem try_out(kv_keeper *k, unsigned how, kv_buf *reason) {
    kv_store trial;
    const kv_store *store = &k->engine->store;
    if (kv_store_init(&trial, k->mem, store->shard_count, store->db_count, store->seed) != KV_OK) return KV_PROBLEM_MEMORY;
    kv_problem problem = load_from(k, how, &trial, reason);
    kv_store_deinit(&trial);
    return problem;
}

static void drop_all(kv_engine *engine) {
    kv_unit unit = {.locked = kv_store_all_shards(&engine->store)};
    kv_ctx c = {.engine = engine, .unit = &unit};
    kv_lock_shards(engine, unit.locked);
    kv_ctx_flush(&c, -1);
    kv_ctx_free_flushed(&c);
    unit.dirty = 0;
    kv_unit_finish(&c);
}

static bool is_empty(const kv_store *store) {
    size_t keys = 0;
    for (unsigned db = 0; db < store->db_count; db++) keys += kv_store_count(store, db);
    return keys == 0;
}

static bool cannot_load(kv_keeper *k, unsigned how, kv_buf *reason) {
    kv_log_write(&k->engine->log, KV_LOG_WARNING, "DEBUG %s: %.*s", (how & KV_RELOAD_LOG) != 0 ? "LOADAOF" : "RELOAD", (int)reason->len,
                 (const char *)reason->ptr);
    kv_buf_clear(reason);
    kv_buf_printf(reason, "Error trying to load the %s, check server logs.", (how & KV_RELOAD_LOG) != 0 ? "AOF files" : "RDB dump");
    return false;
}

/* The log goes on. `anew`: with a base of what is in memory now. */
static void log_again(kv_keeper *k, bool anew) {
    if (!anew) {
        kvi_keeper_log_on(k);
        return;
    }
    kv_buf reason;
    kv_buf_init(&reason, k->mem);
    kvi_keeper_log_off(k);
    if (kvi_dir_log_on(k, &reason) != KV_OK) {
        kv_log_write(&k->engine->log, KV_LOG_WARNING, "The log cannot begin anew after DEBUG RELOAD: %.*s", (int)reason.len,
                     (const char *)reason.ptr);
        k->log_missing = true;
        kv_engine_refuse_writes(k->engine, KV_ERR_MISCONF_RELOAD);
        kvi_keeper_want(k, KV_WANT_SWITCH); /* the thread tries again */
    }
    kv_buf_deinit(&reason);
}

/* Everything stands still, and the work is claimed. */
static bool reload(kv_keeper *k, unsigned how, kv_buf *reason) {
    kv_engine *engine = k->engine;
    bool foreign = (how & KV_RELOAD_NOSAVE) != 0 && k->layout == KV_LAYOUT_SERVER, logging = kvi_keeper_is_logging(k);
    if ((how & KV_RELOAD_NOFLUSH) != 0 && (how & KV_RELOAD_MERGE) == 0 && !is_empty(&engine->store)) {
        kv_buf_printf(reason, "DEBUG RELOAD with NOFLUSH needs MERGE when there are keys already");
        return false;
    }
    if (save(k, how, reason) != KV_OK) return false;
    if (foreign && try_out(k, how, reason) != KV_PROBLEM_NONE) return cannot_load(k, how, reason);
    if (atomic_exchange_explicit(&engine->store.cutting, true, memory_order_acq_rel)) {
        kv_buf_printf(reason, "a snapshot of the store is being made: try again when it is done");
        return false;
    }
    if (logging) kv_engine_set_journal(engine, NULL);
    if ((how & KV_RELOAD_NOFLUSH) == 0) drop_all(engine);
    kv_problem problem = load_from(k, how, NULL, reason);
    atomic_store_explicit(&engine->store.cutting, false, memory_order_release);
    if (problem != KV_PROBLEM_NONE) {
        atomic_store_explicit(&k->incomplete, true, memory_order_release);
        kvi_keeper_log_off(k);
        kv_engine_refuse_writes(engine, KV_ERR_MISCONF_RELOAD);
        return cannot_load(k, how, reason);
    }
    if ((how & KV_RELOAD_MERGE) == 0) kvi_keeper_saved(k, kv_tally_dirty(engine));
    if (logging) log_again(k, foreign);
    return true;
}

bool kvi_keeper_reload(void *arg, kv_ctx *c, unsigned how, kv_buf *reason) {
    kv_keeper *k = arg;
    if (!kvi_keeper_may_write(k, reason) || kvi_keeper_is_whole(k, reason) != KV_OK) return false;
    if ((how & KV_RELOAD_LOG) != 0 && !kvi_keeper_is_logging(k)) {
        kv_buf_printf(reason, "appendonly is off, there is no log");
        return cannot_load(k, how, reason);
    }
    if (k->layout == KV_LAYOUT_SINGLE && (how & (KV_RELOAD_NOFLUSH | KV_RELOAD_MERGE)) != 0) {
        kv_buf_printf(reason, "NOFLUSH and MERGE are for a server's snapshot: the file of this store is loaded whole");
        return false;
    }
    if (!kvi_keeper_claim_save(k, reason)) return false;
    kv_standstill before;
    kv_stand_still(k->engine, &before);
    bool good = reload(k, how, reason);
    kv_go_on(c, &before);
    kvi_keeper_release(k);
    return good;
}
