/* The keeper's own thread and what others ask of it.
 *
 *     commands, options, the log's thread --> wants (bits), bell --> thread: snapshots, rewrites, recovery
 *
 * `doing` says whether somebody is at work with a snapshot: the thread, or a caller that waits for the result (SAVE, flush, compact). It is taken by
 * compare-and-swap, and nobody holds a lock meanwhile. The manifest is touched by the thread only, once that runs.
 *
 * The thread looks up from its sleep once a second: for save points, and for a log that has grown. */
#include "persist/keeper_private.h"

#include <errno.h>

#include "base/num.h"
#include "base/words.h"
#include "engine/errors.h"
#include "engine/journal.h"
#include "engine/tally.h"

enum { TICK_NS = 1000000000, RETRY_SAVE_S = 5, RETRY_MAX_S = 60, TRIES_UNDER_ALWAYS = 5 };

/* ---- work ---- */

bool kvi_keeper_claim(kv_keeper *k, kv_work work, bool wait) {
    for (;;) {
        uint32_t nothing = KV_WORK_NONE;
        if (atomic_compare_exchange_strong_explicit(&k->doing, &nothing, (uint32_t)work, memory_order_acq_rel, memory_order_acquire)) break;
        if (!wait) return false;
        (void)kv_wait_word(&k->doing, nothing, UINT64_MAX);
    }
    atomic_store_explicit(&k->work_keys, 0, memory_order_relaxed);
    atomic_store_explicit(&k->work_total, 0, memory_order_relaxed);
    atomic_store_explicit(&k->work_since_s, kvi_keeper_now_s(k), memory_order_relaxed);
    if (work != KV_WORK_END) atomic_store_explicit(&k->give_up, false, memory_order_relaxed);
    return true;
}

void kvi_keeper_release(kv_keeper *k) {
    atomic_store_explicit(&k->doing, KV_WORK_NONE, memory_order_release);
    kv_wake_word(&k->doing, true);
}

/* For a client that is told that it has begun. */
static void want_now(kv_keeper *k, uint32_t what) {
    atomic_fetch_or_explicit(&k->asked, what, memory_order_release);
    kvi_keeper_want(k, what);
}

static void begun(kv_keeper *k, uint32_t what) { atomic_fetch_and_explicit(&k->asked, ~what, memory_order_release); }

void kvi_keeper_want(kv_keeper *k, uint32_t what) {
    atomic_fetch_or_explicit(&k->wants, what, memory_order_release);
    atomic_fetch_add_explicit(&k->bell, 1, memory_order_release);
    kv_wake_word(&k->bell, true);
}

int64_t kvi_keeper_now_s(kv_keeper *k) { return kv_clock_ms(&k->engine->clock) / 1000; }

void kvi_keeper_saved(kv_keeper *k, uint64_t dirty) {
    atomic_store_explicit(&k->saved_dirty, dirty, memory_order_relaxed);
    atomic_store_explicit(&k->last_save_s, kvi_keeper_now_s(k), memory_order_relaxed);
}

kv_status kvi_keeper_is_whole(kv_keeper *k, kv_buf *reason) {
    if (!atomic_load_explicit(&k->incomplete, memory_order_acquire)) return KV_OK;
    kv_buf_printf(reason, "what is in memory is not whole, since a DEBUG command could not load it again: what is on disk stays as it is");
    return KV_EINVAL;
}

static uint64_t unsaved(kv_keeper *k) { return kv_tally_dirty(k->engine) - atomic_load_explicit(&k->saved_dirty, memory_order_relaxed); }

bool kvi_keeper_is_logging(kv_keeper *k) { return atomic_load_explicit(&k->logging, memory_order_acquire); }

static bool has_save_points(kv_keeper *k) {
    kv_buf text;
    kv_buf_init(&text, k->mem);
    kv_setting_text(&k->engine->settings, KV_CFG_SAVE, &text);
    bool any = text.len > 0;
    kv_buf_deinit(&text);
    return any;
}

/* The outcome of a snapshot in the background, for everybody who asks. */
static void note_bgsave(kv_keeper *k, kv_status status) {
    bool refuse = status != KV_OK && kv_setting(&k->engine->settings, KV_CFG_STOP_WRITES_ON_BGSAVE_ERROR) != 0 && has_save_points(k);
    atomic_store_explicit(&k->bgsave_failed, status != KV_OK, memory_order_relaxed);
    if (k->log_missing || atomic_load_explicit(&k->incomplete, memory_order_relaxed)) return; /* refused for another reason */
    kv_engine_refuse_writes(k->engine, refuse ? KV_ERR_MISCONF_SAVE : NULL);
}

/* SAVE, or what a save point or BGSAVE asks for. */
static kv_status save_now(kv_keeper *k, kv_buf *reason) {
    int64_t since = kvi_keeper_now_s(k);
    atomic_store_explicit(&k->last_save_try_s, since, memory_order_relaxed);
    kv_status status = k->layout == KV_LAYOUT_SERVER ? kvi_dir_save(k, reason)
                       : kvi_keeper_is_logging(k)    ? kv_aof_flush(kvi_keeper_aof(k), NULL)
                                                     : kvi_single_save(k, NULL, NULL, reason);
    bool given_up = status == KV_EINVAL && atomic_load_explicit(&k->give_up, memory_order_relaxed);
    if (status == KV_OK) atomic_fetch_add_explicit(&k->saves, 1, memory_order_relaxed);
    if (!given_up) note_bgsave(k, status);
    return status;
}

static void save_in_background(kv_keeper *k) {
    bool mine = kvi_keeper_claim(k, KV_WORK_BGSAVE, false);
    begun(k, KV_WANT_SAVE);
    if (!mine) return; /* a SAVE came before */
    kv_buf reason;
    kv_buf_init(&reason, k->mem);
    int64_t since = kvi_keeper_now_s(k);
    kv_log_write(&k->engine->log, KV_LOG_NOTICE, "Saving a snapshot in the background");
    kv_status status = save_now(k, &reason);
    atomic_store_explicit(&k->last_bgsave_s, kvi_keeper_now_s(k) - since, memory_order_relaxed);
    if (status == KV_OK) kv_log_write(&k->engine->log, KV_LOG_NOTICE, "The snapshot is saved");
    else kv_log_write(&k->engine->log, KV_LOG_WARNING, "The snapshot was not saved: %.*s", (int)reason.len, (const char *)reason.ptr);
    kvi_keeper_release(k);
    kv_buf_deinit(&reason);
}

static void rewrite_in_background(kv_keeper *k) {
    bool mine = kvi_keeper_claim(k, KV_WORK_REWRITE, false);
    if (!mine) kvi_keeper_want(k, KV_WANT_REWRITE); /* when the other work is done */
    begun(k, KV_WANT_REWRITE);
    if (!mine) return;
    kv_buf reason;
    kv_buf_init(&reason, k->mem);
    int64_t since = kvi_keeper_now_s(k);
    kv_log_write(&k->engine->log, KV_LOG_NOTICE, "Rewriting the log in the background");
    kv_status status = k->layout == KV_LAYOUT_SERVER ? kvi_dir_rewrite(k, &reason) : kvi_single_compact(k, NULL, NULL, &reason);
    atomic_store_explicit(&k->last_rewrite_s, kvi_keeper_now_s(k) - since, memory_order_relaxed);
    atomic_store_explicit(&k->rewrite_failed, status != KV_OK, memory_order_relaxed);
    if (status == KV_OK) {
        atomic_store_explicit(&k->rewrite_failures, 0, memory_order_relaxed);
        kv_log_write(&k->engine->log, KV_LOG_NOTICE, "The log is rewritten");
    } else {
        uint64_t failures = atomic_fetch_add_explicit(&k->rewrite_failures, 1, memory_order_relaxed) + 1;
        uint64_t pause_s = failures < 3 ? 1 : failures - 3 < 6 ? UINT64_C(60) << (failures - 3) : 3600;
        k->save_retry_ns = kv_mono_ns() + pause_s * 1000000000;
        kv_log_write(&k->engine->log, KV_LOG_WARNING, "The log was not rewritten: %.*s", (int)reason.len, (const char *)reason.ptr);
    }
    kvi_keeper_release(k);
    kv_buf_deinit(&reason);
}

/* ---- recovery ---- */

/* In the log's thread. */
static void log_failed(void *arg, int error) {
    kv_keeper *k = arg;
    kv_log_write(&k->engine->log, KV_LOG_WARNING, "The log cannot be written: %s. Writing commands are refused until it can",
                 strerror(error));
    kvi_keeper_want(k, KV_WANT_RECOVER);
}

static kv_status recover_now(kv_keeper *k, kv_buf *reason) {
    kv_aof_state state;
    kv_aof_state_of(kvi_keeper_aof(k), &state);
    if (state.poisoned || (!state.failed && !state.lost)) return KV_OK;
    if (k->layout == KV_LAYOUT_SINGLE) return kvi_single_compact(k, NULL, NULL, reason);
    return state.failed ? kvi_dir_recover(k, reason) : kvi_dir_rewrite(k, reason);
}

static void recover(kv_keeper *k) {
    if (kv_mono_ns() < k->retry_ns) {
        atomic_fetch_or_explicit(&k->wants, KV_WANT_RECOVER, memory_order_relaxed);
        return;
    }
    if (!kvi_keeper_claim(k, KV_WORK_REWRITE, false)) {
        atomic_fetch_or_explicit(&k->wants, KV_WANT_RECOVER, memory_order_relaxed);
        return;
    }
    kv_buf reason;
    kv_buf_init(&reason, k->mem);
    kv_status status = recover_now(k, &reason);
    kvi_keeper_release(k);
    if (status == KV_OK) {
        k->recovery_failures = 0;
        k->retry_step_ns = 0;
        atomic_fetch_add_explicit(&k->recoveries, 1, memory_order_relaxed);
        kv_log_write(&k->engine->log, KV_LOG_WARNING, "The log goes on, nothing is missing in it");
    } else {
        k->retry_step_ns = k->retry_step_ns == 0 ? TICK_NS : k->retry_step_ns * 2;
        if (k->retry_step_ns > (uint64_t)RETRY_MAX_S * TICK_NS) k->retry_step_ns = (uint64_t)RETRY_MAX_S * TICK_NS;
        k->retry_ns = kv_mono_ns() + k->retry_step_ns;
        k->recovery_failures++;
        kv_log_write(&k->engine->log, KV_LOG_WARNING, "The log does not go on yet: %.*s", (int)reason.len, (const char *)reason.ptr);
        bool patient = kvi_keeper_policy(k) != KV_AOF_ALWAYS || k->recovery_failures < TRIES_UNDER_ALWAYS;
        if (patient) atomic_fetch_or_explicit(&k->wants, KV_WANT_RECOVER, memory_order_relaxed);
        else kv_aof_poison(kvi_keeper_aof(k)); /* whoever waits for its answer is told */
    }
    kv_buf_deinit(&reason);
}

/* ---- the thread ---- */

/* One of the pairs of `save`: so many seconds, so many changes. */
static bool a_save_point_is_due(kv_keeper *k) {
    uint64_t changes = unsaved(k);
    if (changes == 0) return false;
    kv_buf text, word;
    kv_buf_init(&text, k->mem);
    kv_buf_init(&word, k->mem);
    kv_setting_text(&k->engine->settings, KV_CFG_SAVE, &text);
    int64_t now = kvi_keeper_now_s(k), since = now - atomic_load_explicit(&k->last_save_s, memory_order_relaxed);
    int64_t tried = now - atomic_load_explicit(&k->last_save_try_s, memory_order_relaxed);
    bool due = false, again = !atomic_load_explicit(&k->bgsave_failed, memory_order_relaxed) || tried > RETRY_SAVE_S;
    int64_t pair[2];
    size_t pos = 0;
    for (int i = 0; kv_next_word(kv_buf_slice(&text), &pos, &word) == KV_WORD_FOUND && !word.failed; i ^= 1) {
        if (!kv_parse_i64(kv_buf_slice(&word), &pair[i])) break;
        if (i == 1 && since >= pair[0] && changes >= (uint64_t)pair[1]) due = true;
        kv_buf_clear(&word);
    }
    kv_buf_deinit(&text);
    kv_buf_deinit(&word);
    return due && again;
}

/* Bytes of the log that a rewrite would make unnecessary, and what they are compared with. */
static bool log_has_grown(kv_keeper *k) {
    int64_t percent = kv_setting(&k->engine->settings, KV_CFG_AUTO_AOF_REWRITE_PERCENTAGE);
    if (!kvi_keeper_is_logging(k) || percent == 0 || kv_mono_ns() < k->save_retry_ns) return false;
    kv_aof_state state;
    kv_aof_state_of(kvi_keeper_aof(k), &state);
    if (state.failed || state.poisoned) return false;
    uint64_t base = atomic_load_explicit(&k->current_base, memory_order_relaxed);
    uint64_t size = state.size;
    if (k->layout == KV_LAYOUT_SERVER)
        size += atomic_load_explicit(&k->base_bytes, memory_order_relaxed) + atomic_load_explicit(&k->log_before, memory_order_relaxed);
    if (size < (uint64_t)kv_setting(&k->engine->settings, KV_CFG_AUTO_AOF_REWRITE_MIN_SIZE)) return false;
    if (base == 0) base = 1;
    return size > base && (double)(size - base) * 100 / (double)base >= (double)percent;
}

static void round_of(kv_keeper *k) {
    uint32_t wants = atomic_exchange_explicit(&k->wants, 0, memory_order_acquire);
    if ((wants & KV_WANT_STOP) != 0) {
        atomic_fetch_or_explicit(&k->wants, KV_WANT_STOP, memory_order_relaxed);
        return;
    }
    if ((wants & KV_WANT_SWITCH) != 0) kvi_dir_switch(k);
    if ((wants & KV_WANT_RECOVER) != 0) recover(k);
    if ((wants & KV_WANT_SYNC) != 0 && kvi_keeper_is_logging(k)) (void)kv_aof_flush(kvi_keeper_aof(k), NULL);
    if ((wants & KV_WANT_REWRITE) != 0 || log_has_grown(k)) rewrite_in_background(k);
    if ((wants & KV_WANT_SAVE) != 0 || (k->layout == KV_LAYOUT_SERVER && a_save_point_is_due(k))) save_in_background(k);
}

static void work(void *arg) {
    kv_keeper *k = arg;
    for (;;) {
        uint32_t seen = atomic_load_explicit(&k->bell, memory_order_acquire);
        round_of(k);
        uint32_t wants = atomic_load_explicit(&k->wants, memory_order_acquire);
        if ((wants & KV_WANT_STOP) != 0) return;
        (void)kv_wait_word(&k->bell, seen, kv_mono_ns() + (wants != 0 ? TICK_NS / 20 : TICK_NS));
    }
}

bool kvi_keeper_start(kv_keeper *k) {
    if (!k->running) k->running = kv_thread_start(&k->thread, "kvcore-save", work, k) == 0;
    return k->running;
}

static void stop(kv_keeper *k) {
    if (!k->running) return;
    atomic_store_explicit(&k->give_up, true, memory_order_relaxed);
    kvi_keeper_want(k, KV_WANT_STOP);
    kv_thread_join(&k->thread);
    atomic_fetch_and_explicit(&k->wants, ~(uint32_t)KV_WANT_STOP, memory_order_relaxed);
    k->running = false;
}

/* ---- the log ---- */

kv_aof_policy kvi_keeper_policy(const kv_keeper *k) {
    if (k->layout == KV_LAYOUT_SINGLE) return k->durability == KV_DURABLE_ALWAYS ? KV_AOF_ALWAYS : KV_AOF_EVERYSEC;
    switch (kv_setting(&k->engine->settings, KV_CFG_APPENDFSYNC)) {
    case KV_APPENDFSYNC_ALWAYS: return KV_AOF_ALWAYS;
    case KV_APPENDFSYNC_NO: return KV_AOF_NO;
    default: return KV_AOF_EVERYSEC;
    }
}

kv_aof *kvi_keeper_make_aof(kv_keeper *k, kv_aof_policy policy) {
    kv_aof *aof = kvi_keeper_aof(k);
    if (aof == NULL) {
        kv_aof_options options = {.engine = k->engine, .policy = policy, .annotate = true, .arg = k, .failed = log_failed};
        aof = kv_aof_create(&options);
        atomic_store_explicit(&k->aof, aof, memory_order_release);
    }
    return aof;
}

void kvi_keeper_log_on(kv_keeper *k) {
    kv_engine_set_journal(k->engine, kv_aof_journal(kvi_keeper_aof(k)));
    atomic_store_explicit(&k->logging, true, memory_order_release);
}

void kvi_keeper_log_off(kv_keeper *k) {
    if (!kvi_keeper_is_logging(k)) return;
    atomic_store_explicit(&k->logging, false, memory_order_release);
    kv_engine_set_journal(k->engine, NULL);
}

/* ---- what commands ask ---- */

static bool fits(kv_status status, kv_buf *reason) {
    if (status != KV_OK && reason->len == 0)
        kv_buf_printf(reason, "%s", status == KV_ENOMEM ? "out of memory" : "the log cannot be written");
    return status == KV_OK;
}

bool kvi_keeper_may_write(kv_keeper *k, kv_buf *reason) {
    if (k->readonly) kv_buf_printf(reason, "'%s' was opened for reading only", k->path);
    return !k->readonly;
}

bool kvi_keeper_claim_save(kv_keeper *k, kv_buf *reason) {
    if (kvi_keeper_claim(k, KV_WORK_SAVE, false)) return true;
    if (atomic_load_explicit(&k->doing, memory_order_relaxed) == KV_WORK_REWRITE) return kvi_keeper_claim(k, KV_WORK_SAVE, true);
    kv_buf_printf(reason, "Background save already in progress");
    return false;
}

static bool ask_save(void *arg, kv_buf *reason) {
    kv_keeper *k = arg;
    if (!kvi_keeper_may_write(k, reason) || !kvi_keeper_claim_save(k, reason)) return false;
    kv_status status = save_now(k, reason);
    kvi_keeper_release(k);
    return fits(status, reason);
}

static bool ask_bgsave(void *arg, bool schedule, const char **status, kv_buf *reason) {
    kv_keeper *k = arg;
    if (!kvi_keeper_may_write(k, reason) || !fits(kvi_keeper_start(k) ? KV_OK : KV_ENOMEM, reason)) return false;
    bool asked = (atomic_load_explicit(&k->asked, memory_order_acquire) & KV_WANT_SAVE) != 0;
    uint32_t doing = atomic_load_explicit(&k->doing, memory_order_acquire);
    if (asked || doing == KV_WORK_BGSAVE || doing == KV_WORK_SAVE) {
        kv_buf_printf(reason, "Background save already in progress");
        return false;
    }
    *status = "Background saving started";
    if (doing != KV_WORK_NONE) {
        if (!schedule) {
            kv_buf_printf(
                reason, "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE "
                        "whenever possible.");
            return false;
        }
        *status = "Background saving scheduled";
        kvi_keeper_want(k, KV_WANT_SAVE);
    } else want_now(k, KV_WANT_SAVE);
    return true;
}

static bool ask_cancel(void *arg, const char **status, kv_buf *reason) {
    kv_keeper *k = arg;
    if (atomic_load_explicit(&k->doing, memory_order_relaxed) == KV_WORK_BGSAVE) {
        atomic_store_explicit(&k->give_up, true, memory_order_relaxed);
        *status = "Background saving cancelled";
        return true;
    }
    if ((atomic_fetch_and_explicit(&k->wants, ~(uint32_t)KV_WANT_SAVE, memory_order_relaxed) & KV_WANT_SAVE) != 0) {
        begun(k, KV_WANT_SAVE); /* or will not */
        *status = "Scheduled background saving cancelled";
        return true;
    }
    kv_buf_printf(reason, "Background saving is currently not in progress or scheduled");
    return false;
}

static bool ask_rewrite(void *arg, const char **status, kv_buf *reason) {
    kv_keeper *k = arg;
    if (!kvi_keeper_may_write(k, reason) || !fits(kvi_keeper_start(k) ? KV_OK : KV_ENOMEM, reason)) return false;
    bool asked = (atomic_load_explicit(&k->asked, memory_order_acquire) & KV_WANT_REWRITE) != 0;
    uint32_t doing = atomic_load_explicit(&k->doing, memory_order_acquire);
    if (asked || doing == KV_WORK_REWRITE) {
        kv_buf_printf(reason, "Background append only file rewriting already in progress");
        return false;
    }
    *status = doing == KV_WORK_NONE ? "Background append only file rewriting started" : "Background append only file rewriting scheduled";
    if (doing == KV_WORK_NONE) want_now(k, KV_WANT_REWRITE);
    else kvi_keeper_want(k, KV_WANT_REWRITE);
    return true;
}

static int64_t ask_last_save(void *arg) { return atomic_load_explicit(&((kv_keeper *)arg)->last_save_s, memory_order_relaxed); }

static bool ask_sync(void *arg, uint64_t *number) {
    kv_keeper *k = arg;
    if (!kvi_keeper_is_logging(k)) return false;
    kv_aof_state state;
    kv_aof_state_of(kvi_keeper_aof(k), &state);
    *number = state.appended;
    if (state.durable < state.appended) kvi_keeper_want(k, KV_WANT_SYNC);
    return true;
}

/* ---- life ---- */

kv_keeper *kvi_keeper_create(kv_engine *engine, kv_layout layout, const kv_keeper_options *options) {
    kv_keeper *k = kv_calloc(&engine->mem, 1, sizeof *k);
    size_t len = strlen(options->path);
    char *path = kv_malloc(&engine->mem, len + 1);
    if (k == NULL || path == NULL) {
        kv_free(&engine->mem, k);
        kv_free(&engine->mem, path);
        return NULL;
    }
    memcpy(path, options->path, len + 1);
    *k = (kv_keeper){.engine = engine,
                     .mem = &engine->mem,
                     .vfs = engine->vfs,
                     .layout = layout,
                     .durability = options->durability,
                     .readonly = options->readonly,
                     .path = path};
    kv_manifest_init(&k->manifest, k->mem);
    atomic_init(&k->last_save_s, kvi_keeper_now_s(k));
    atomic_init(&k->last_bgsave_s, -1);
    atomic_init(&k->last_rewrite_s, -1);
    k->face = (kv_persistence){.arg = k,
                               .save = ask_save,
                               .bgsave = ask_bgsave,
                               .cancel = ask_cancel,
                               .rewrite = ask_rewrite,
                               .last_save = ask_last_save,
                               .info = kvi_keeper_info,
                               .sync = ask_sync,
                               .reload = kvi_keeper_reload};
    return k;
}

void kvi_keeper_publish(kv_keeper *k) { atomic_store_explicit(&k->engine->persistence, &k->face, memory_order_release); }

void kv_keeper_destroy(kv_keeper *k) {
    if (k == NULL) return;
    stop(k);
    kvi_keeper_log_off(k);
    atomic_store_explicit(&k->engine->persistence, NULL, memory_order_release);
    kv_aof *aof = kvi_keeper_aof(k);
    if (aof != NULL) kv_aof_destroy(aof);
    kv_filelock_drop(&k->lock);
    kv_manifest_deinit(&k->manifest);
    kv_mem *mem = k->mem;
    kv_free(mem, k->path);
    kv_free(mem, k);
}

kv_status kv_keeper_flush(kv_keeper *k, kv_buf *reason) {
    if (k->readonly) return KV_OK;
    if (kvi_keeper_is_logging(k)) {
        kv_status status = kv_aof_flush(kvi_keeper_aof(k), NULL);
        (void)fits(status, reason);
        return status;
    }
    (void)kvi_keeper_claim(k, KV_WORK_SAVE, true);
    kv_status status = KV_OK;
    if (unsaved(k) > 0) status = k->layout == KV_LAYOUT_SERVER ? kvi_dir_save(k, reason) : kvi_single_save(k, NULL, NULL, reason);
    kvi_keeper_release(k);
    (void)fits(status, reason);
    return status;
}

kv_status kv_keeper_compact(kv_keeper *k, kv_keeper_progress *progress, void *arg, kv_buf *reason) {
    (void)kvi_keeper_claim(k, KV_WORK_REWRITE, true);
    kv_status status = k->layout == KV_LAYOUT_SERVER ? kvi_dir_save(k, reason) : kvi_single_compact(k, progress, arg, reason);
    kvi_keeper_release(k);
    (void)fits(status, reason);
    return status;
}

bool kv_keeper_finish(kv_keeper *k, int save, bool force, kv_buf *reason) {
    if (k->finished || k->readonly) return true;
    stop(k); /* a snapshot that is being made is given up */
    (void)kvi_keeper_claim(k, KV_WORK_END, true);
    atomic_store_explicit(&k->give_up, false, memory_order_relaxed);
    kv_status status = KV_OK;
    if (kvi_keeper_is_logging(k)) status = kv_aof_flush(kvi_keeper_aof(k), NULL);
    bool wanted = k->layout == KV_LAYOUT_SERVER ? save == 1 || (save < 0 && has_save_points(k))
                                                : !kvi_keeper_is_logging(k) && k->durability == KV_DURABLE_SNAPSHOT && unsaved(k) > 0;
    if (wanted && status == KV_OK)
        status = k->layout == KV_LAYOUT_SERVER ? kvi_dir_save(k, reason) : kvi_single_save(k, NULL, NULL, reason);
    kvi_keeper_release(k);
    (void)fits(status, reason);
    k->finished = status == KV_OK || force;
    if (!k->finished) (void)kvi_keeper_start(k);
    return status == KV_OK;
}

kv_status kv_keeper_apply(kv_keeper *k, int field, kv_buf *reason) {
    if (k->readonly) return KV_OK;
    switch (field) {
    case KV_CFG_APPENDFSYNC: {
        kv_aof *aof = kvi_keeper_aof(k);
        if (k->layout == KV_LAYOUT_SERVER && aof != NULL) kv_aof_set_policy(aof, kvi_keeper_policy(k));
        return KV_OK;
    }
    case KV_CFG_APPENDONLY:
        if (k->layout == KV_LAYOUT_SINGLE) {
            if (kv_setting(&k->engine->settings, KV_CFG_APPENDONLY) == 0) return KV_OK;
            kv_buf_printf(reason, "this store is a single file, whose log its durability decides");
            return KV_EINVAL;
        }
        if (!kvi_keeper_start(k)) return KV_ENOMEM;
        kvi_keeper_want(k, KV_WANT_SWITCH);
        return KV_OK;
    case KV_CFG_STOP_WRITES_ON_BGSAVE_ERROR:
        note_bgsave(k, atomic_load_explicit(&k->bgsave_failed, memory_order_relaxed) ? KV_EIO : KV_OK);
        return KV_OK;
    case KV_CFG_DIR:
        kv_buf_printf(reason, "the directory cannot be changed while the server runs: its files are locked there");
        return KV_EINVAL;
    default: return KV_OK;
    }
}

const char *kv_keeper_notice(const kv_keeper *k) { return k->notice; }

void kv_keeper_facts_of(kv_keeper *k, kv_keeper_facts *out) {
    *out = (kv_keeper_facts){.durability = (int)k->durability,
                             .readonly = k->readonly,
                             .created = k->created,
                             .compacting = atomic_load_explicit(&k->doing, memory_order_relaxed) == KV_WORK_REWRITE,
                             .base_bytes = atomic_load_explicit(&k->base_bytes, memory_order_relaxed),
                             .loaded_keys = k->loaded_keys,
                             .expired_keys = k->expired_keys,
                             .replayed_commands = k->replayed,
                             .cut_bytes = k->cut_bytes,
                             .compactions = atomic_load_explicit(&k->rewrites, memory_order_relaxed),
                             .recoveries = atomic_load_explicit(&k->recoveries, memory_order_relaxed)};
    uint64_t size = atomic_load_explicit(&k->log_before, memory_order_relaxed);
    if (kvi_keeper_is_logging(k)) {
        kv_aof_state state;
        kv_aof_state_of(kvi_keeper_aof(k), &state);
        size = k->layout == KV_LAYOUT_SINGLE ? state.size : size + state.size;
        out->pending_bytes = state.pending;
        out->failed = state.failed || state.poisoned ? state.error : 0;
    }
    uint64_t before = k->layout == KV_LAYOUT_SINGLE ? out->base_bytes : 0;
    out->log_bytes = size > before ? size - before : 0;
}
