/* Appending and waiting.
 *
 *     append --> now ---------------------> writer: kept until durable --> durable number --> sessions woken
 *            \-> later (while a cut goes on: units of the new epoch) --> becomes `now` when the writer has ended the old
 *
 * Numbers ascend in the order of appends. `durable` is the highest one such that it and all before are on the disk: while `later` holds records back it
 * stays below the first of them.
 *
 * The lock is a leaf, held for the copy of one group. Whoever appends while the writer sleeps wakes it; under everysec and no it does not sleep while
 * there is traffic, but looks every few milliseconds, so that appending costs no system call. */
#include "persist/aof.h"

#include <errno.h>

#include "engine/dispatch.h"
#include "persist/aof_private.h"

enum { LIMIT = 64 * 1024 * 1024, WAKES = 64, COUNT_STEP = 64 * 1024 };

#define MISCONF "MISCONF Errors writing to the AOF file: "

const char *kvi_aof_text(int error) {
    switch (error) {
    case ENOSPC: return MISCONF "No space left on device";
    case EDQUOT: return MISCONF "Disk quota exceeded";
    case EIO: return MISCONF "Input/output error";
    case EROFS: return MISCONF "Read-only file system";
    case EFBIG: return MISCONF "File too large";
    case ENOMEM: return MISCONF "Cannot allocate memory";
    default: return MISCONF "see the log of the server";
    }
}

static kv_aof *aof_of(kv_journal *journal) { return (kv_aof *)(void *)journal; }

static inline void bump(_Atomic uint32_t *word) {
    atomic_fetch_add_explicit(word, 1, memory_order_release);
    kv_wake_word(word, true);
}

/* ---- appending ---- */

/* A unit is missing: nothing behind it may count as durable until a new base makes up for it. The lock is held; true: the writer has to be told. */
static bool lose(kv_aof *aof, uint64_t number) {
    if (aof->lost != 0 || aof->phase == KV_AOF_POISONED) return false;
    aof->lost = number;
    aof->lost_in_cut = aof->cut_epoch != 0; /* perhaps of the new epoch: then the snapshot of this cut does not make up for it */
    aof->lost_told = false;
    aof->error = ENOMEM;
    atomic_store_explicit(&aof->journal.refusal, kvi_aof_text(ENOMEM), memory_order_release);
    return true;
}

/* Eviction cannot help against these bytes: it is told of them, in steps, for it would be one more atomic operation in every append. The lock is held. */
static void count(kv_aof *aof) {
    atomic_fetch_add_explicit(&aof->engine->mail_bytes, aof->pending - aof->counted, memory_order_relaxed); /* may wrap */
    aof->counted = aof->pending;
}

static uint64_t append(kv_journal *journal, uint32_t epoch, const kv_effects *effects) {
    kv_aof *aof = aof_of(journal);
    kv_mutex_lock(&aof->lock);
    uint64_t number = ++aof->number;
    bool wake = false;
    if (aof->phase != KV_AOF_POISONED) {
        size_t added = 0;
        kv_aof_stream *stream = aof->cut_epoch != 0 && epoch == aof->cut_epoch ? &aof->later : &aof->now;
        if (effects->bytes.failed || !kv_aof_stream_add(stream, &aof->pool, effects, number, &added)) wake = lose(aof, number);
        aof->pending += added;
        if (aof->pending > aof->counted + COUNT_STEP) count(aof);
        if (aof->pending > aof->limit) atomic_store_explicit(&journal->full, true, memory_order_release);
    }
    wake = wake || (aof->asleep && number >= aof->wake_at);
    if (wake) aof->asleep = false;
    kv_mutex_unlock(&aof->lock);
    if (wake) bump(&aof->work);
    return number;
}

static void lost(kv_journal *journal) {
    kv_aof *aof = aof_of(journal);
    kv_mutex_lock(&aof->lock);
    bool wake = lose(aof, ++aof->number);
    aof->asleep = aof->asleep && !wake;
    kv_mutex_unlock(&aof->lock);
    if (wake) bump(&aof->work);
}

/* ---- waiting ---- */

/* Nothing more will come of waiting for this number. The lock is held. */
static bool hopeless(const kv_aof *aof, uint64_t number) {
    return aof->phase == KV_AOF_POISONED || (aof->lost != 0 && number >= aof->lost);
}

static bool is_durable(kv_aof *aof, uint64_t number) { return number <= atomic_load_explicit(&aof->journal.durable, memory_order_acquire); }

static bool wait(kv_journal *journal, uint64_t number, uint64_t deadline_ns) {
    kv_aof *aof = aof_of(journal);
    for (;;) {
        uint32_t seen = atomic_load_explicit(&aof->progress, memory_order_acquire);
        bool refused = atomic_load_explicit(&journal->refusal, memory_order_acquire) != NULL;
        if (number == 0 && (refused || !atomic_load_explicit(&journal->full, memory_order_acquire))) return true;
        if (number > 0 && is_durable(aof, number)) return true;
        kv_mutex_lock(&aof->lock);
        bool give_up = hopeless(aof, number);
        kv_mutex_unlock(&aof->lock);
        if (give_up) return number == 0;
        if (!kv_wait_word(&aof->progress, seen, deadline_ns)) return number == 0 ? !atomic_load(&journal->full) : is_durable(aof, number);
    }
}

static bool add_waiter(kv_aof *aof, kv_session *session, uint64_t number) {
    if (aof->waiter_count == aof->waiter_cap) {
        size_t cap = aof->waiter_cap == 0 ? 64 : aof->waiter_cap * 2;
        kv_aof_waiter *fresh = kv_realloc(aof->mem, aof->waiters, cap * sizeof *fresh);
        if (fresh == NULL) return false;
        aof->waiters = fresh;
        aof->waiter_cap = cap;
    }
    kv_session_retain(session);
    aof->waiters[aof->waiter_count++] = (kv_aof_waiter){session, number};
    return true;
}

static bool await(kv_journal *journal, kv_session *session, uint64_t number) {
    kv_aof *aof = aof_of(journal);
    if (is_durable(aof, number)) return false;
    kv_mutex_lock(&aof->lock);
    /* Durable is looked at again under the lock: the writer stores it before it takes the lock to see who waits. */
    bool waits = !is_durable(aof, number) && !hopeless(aof, number), added = waits && add_waiter(aof, session, number);
    kv_mutex_unlock(&aof->lock);
    if (waits && !added) (void)wait(journal, number, UINT64_MAX); /* no memory to remember the session in: its thread waits for it */
    return added;
}

static void forget(kv_journal *journal, kv_session *session) {
    kv_aof *aof = aof_of(journal);
    unsigned found = 0;
    kv_mutex_lock(&aof->lock);
    for (size_t i = aof->waiter_count; i-- > 0;) {
        if (aof->waiters[i].session != session) continue;
        aof->waiters[i] = aof->waiters[--aof->waiter_count];
        found++;
    }
    kv_mutex_unlock(&aof->lock);
    for (; found > 0; found--) kv_session_release(session);
}

void kvi_aof_wake(kv_aof *aof) {
    for (size_t count = WAKES; count == WAKES;) {
        kv_session *ready[WAKES];
        count = 0;
        kv_mutex_lock(&aof->lock);
        for (size_t i = aof->waiter_count; i-- > 0 && count < WAKES;) {
            if (!is_durable(aof, aof->waiters[i].number) && !hopeless(aof, aof->waiters[i].number)) continue;
            ready[count++] = aof->waiters[i].session;
            aof->waiters[i] = aof->waiters[--aof->waiter_count];
        }
        kv_mutex_unlock(&aof->lock);
        for (size_t i = 0; i < count; i++) {
            kv_wake_now(ready[i]);
            kv_session_release(ready[i]);
        }
    }
    bump(&aof->progress);
}

void kvi_aof_drop(kv_aof *aof, kv_aof_list *list) {
    size_t bytes = 0;
    kv_aof_list unwanted = {0};
    for (const kv_aof_piece *piece = list->first; piece != NULL; piece = piece->next) bytes += piece->len;
    kv_mutex_lock(&aof->lock);
    for (kv_aof_piece *piece; (piece = kv_aof_list_pop(list)) != NULL;)
        if (!kv_aof_pool_put(&aof->pool, piece)) kv_aof_list_add(&unwanted, piece);
    aof->pending -= bytes;
    if (aof->pending < aof->counted) count(aof);
    if (aof->pending <= aof->limit / 2) atomic_store_explicit(&aof->journal.full, false, memory_order_release);
    kv_mutex_unlock(&aof->lock);
    for (kv_aof_piece *piece; (piece = kv_aof_list_pop(&unwanted)) != NULL;) kv_free(aof->mem, piece);
}

void kvi_aof_spare(kv_aof *aof) {
    for (kv_aof_piece *piece;; kv_free(aof->mem, piece)) {
        kv_mutex_lock(&aof->lock);
        piece = kv_aof_pool_spare(&aof->pool);
        kv_mutex_unlock(&aof->lock);
        if (piece == NULL) return;
    }
}

/* ---- asking the writer's thread ---- */

static kv_status ask(kv_aof *aof, kv_aof_job *job) {
    for (bool put = false; !put;) {
        uint32_t seen = atomic_load_explicit(&aof->progress, memory_order_acquire);
        kv_mutex_lock(&aof->lock);
        put = aof->job == NULL;
        if (put) {
            aof->job = job;
            aof->asleep = false;
        }
        kv_mutex_unlock(&aof->lock);
        if (!put) (void)kv_wait_word(&aof->progress, seen, UINT64_MAX);
    }
    bump(&aof->work);
    for (;;) {
        uint32_t seen = atomic_load_explicit(&aof->progress, memory_order_acquire);
        if (atomic_load_explicit(&job->done, memory_order_acquire)) break;
        (void)kv_wait_word(&aof->progress, seen, UINT64_MAX);
    }
    if (job->status != KV_OK) errno = job->error;
    return job->status;
}

kv_status kv_aof_flush(kv_aof *aof, uint64_t *durable_size) {
    kv_aof_job job = {.kind = KV_AOF_JOB_FLUSH};
    kv_status status = ask(aof, &job);
    if (status == KV_OK && durable_size != NULL) *durable_size = job.size;
    return status;
}

void kv_aof_cut_begin(kv_aof *aof, uint32_t new_epoch) {
    kv_mutex_lock(&aof->lock);
    aof->cut_epoch = new_epoch;
    aof->later = (kv_aof_stream){.db = -1};
    aof->lost_in_cut = false; /* what was lost so far, its snapshot has */
    kv_mutex_unlock(&aof->lock);
}

kv_status kv_aof_cut_end(kv_aof *aof, int next_fd, uint64_t *offset) {
    kv_aof_job job = {.kind = KV_AOF_JOB_CUT, .fd = next_fd};
    kv_status status = ask(aof, &job);
    if (status == KV_OK && offset != NULL) *offset = job.size;
    return status;
}

void kv_aof_cut_cancel(kv_aof *aof) {
    kv_mutex_lock(&aof->lock);
    if (aof->later.pieces.first != NULL) {
        if (aof->now.pieces.first == NULL) aof->now.first = aof->later.first;
        kv_aof_list_join(&aof->now.pieces, &aof->later.pieces);
        aof->now.db = aof->later.db;
    }
    aof->cut_epoch = 0;
    bool wake = aof->asleep;
    aof->asleep = false;
    kv_mutex_unlock(&aof->lock);
    if (wake) bump(&aof->work);
}

kv_status kv_aof_swap(kv_aof *aof, kv_aof_swap_fn *swap, void *arg) {
    kv_aof_job job = {.kind = KV_AOF_JOB_SWAP, .swap = swap, .arg = arg};
    return ask(aof, &job);
}

/* From `failed` there is nobody to ask: this is the writer's thread. Another one, which `failed` has told, may be quick and find it still in there: it
 * asks like everybody. */
static kv_status resume(kv_aof *aof, kv_aof_job *job) {
    if (atomic_load_explicit(&aof->in_failed, memory_order_relaxed) != kv_thread_self()) return ask(aof, job);
    kv_status status = kvi_aof_resume(aof, job);
    if (status != KV_OK) errno = job->error;
    return status;
}

kv_status kv_aof_recover(kv_aof *aof, int next_fd, uint64_t size) {
    kv_aof_job job = {.kind = KV_AOF_JOB_RECOVER, .fd = next_fd, .size = size};
    return resume(aof, &job);
}

kv_status kv_aof_rebase(kv_aof *aof, int next_fd, uint64_t size) {
    kv_aof_job job = {.kind = KV_AOF_JOB_REBASE, .fd = next_fd, .size = size};
    return resume(aof, &job);
}

void kv_aof_based(kv_aof *aof) {
    kv_mutex_lock(&aof->lock);
    bool healed = aof->lost != 0 && aof->lost <= aof->cut_number;
    if (healed) aof->lost = 0;
    if (healed && aof->phase == KV_AOF_OPEN) atomic_store_explicit(&aof->journal.refusal, NULL, memory_order_release);
    aof->asleep = aof->asleep && !healed;
    kv_mutex_unlock(&aof->lock);
    if (healed) bump(&aof->work);
}

void kv_aof_poison(kv_aof *aof) {
    kv_mutex_lock(&aof->lock);
    if (atomic_load(&aof->journal.refusal) == NULL)
        atomic_store_explicit(&aof->journal.refusal, kvi_aof_text(aof->error), memory_order_release);
    aof->phase = KV_AOF_POISONED;
    kv_aof_list old = kv_aof_stream_take(&aof->now);
    kv_aof_list_join(&old, &aof->later.pieces);
    aof->cut_epoch = 0;
    aof->asleep = false;
    kv_mutex_unlock(&aof->lock);
    kvi_aof_drop(aof, &old);
    atomic_store_explicit(&aof->journal.full, false, memory_order_release);
    kvi_aof_wake(aof);
    bump(&aof->work); /* the thread drops what it keeps itself */
}

/* ---- making and ending it ---- */

kv_journal *kv_aof_journal(kv_aof *aof) { return &aof->journal; }

void kv_aof_set_policy(kv_aof *aof, kv_aof_policy policy) {
    atomic_store_explicit(&aof->policy, (int)policy, memory_order_relaxed);
    atomic_store_explicit(&aof->journal.gate, policy == KV_AOF_ALWAYS, memory_order_release);
    kv_mutex_lock(&aof->lock);
    aof->asleep = false;
    kv_mutex_unlock(&aof->lock);
    bump(&aof->work);
}

void kv_aof_state_of(kv_aof *aof, kv_aof_state *out) {
    kv_mutex_lock(&aof->lock);
    *out = (kv_aof_state){.size = aof->shown_size,
                          .pending = aof->pending,
                          .durable = atomic_load_explicit(&aof->journal.durable, memory_order_relaxed),
                          .appended = aof->number,
                          .error = aof->error,
                          .failed = aof->phase == KV_AOF_BROKEN || aof->phase == KV_AOF_POISONED || aof->lost != 0,
                          .poisoned = aof->phase == KV_AOF_POISONED,
                          .lost = aof->lost != 0,
                          .clean = aof->clean,
                          .clean_size = aof->clean_size,
                          .delayed_fsyncs = aof->delayed_fsyncs,
                          .recovered = aof->recovered,
                          .last_fsync_ms = aof->last_fsync_ms};
    kv_mutex_unlock(&aof->lock);
}

kv_aof *kv_aof_create(const kv_aof_options *options) {
    kv_mem *mem = &options->engine->mem;
    kv_aof *aof = kv_calloc(mem, 1, sizeof *aof);
    if (aof == NULL) return NULL;
    aof->journal = (kv_journal){.append = append, .lost = lost, .await = await, .forget = forget, .wait = wait};
    aof->journal.gate = options->policy == KV_AOF_ALWAYS;
    aof->engine = options->engine;
    aof->mem = aof->pool.mem = mem;
    aof->vfs = options->engine->vfs;
    aof->limit = options->limit == 0 ? LIMIT : options->limit;
    aof->annotate = options->annotate;
    aof->arg = options->arg;
    aof->failed = options->failed;
    aof->policy = (int)options->policy;
    aof->now.db = aof->later.db = -1;
    aof->file.fd = -1;
    kv_mutex_init(&aof->lock, KV_RANK_JOURNAL, 0);
    if (kv_thread_start(&aof->thread, "kv-log", kvi_aof_run, aof) != 0) {
        kv_free(mem, aof);
        return NULL;
    }
    return aof;
}

void kv_aof_open(kv_aof *aof, int fd, uint64_t size) {
    kv_mutex_lock(&aof->lock); /* the thread looks at its file only once the phase says that there is one */
    aof->file = (kv_aof_file){.fd = fd, .size = size, .synced = size, .floor = size, .dirty = size > 0};
    aof->shown_size = size;
    aof->phase = KV_AOF_OPEN;
    aof->asleep = false;
    kv_mutex_unlock(&aof->lock);
    bump(&aof->work);
}

void kv_aof_destroy(kv_aof *aof) {
    kv_aof_job job = {.kind = KV_AOF_JOB_STOP};
    (void)ask(aof, &job);
    kv_thread_join(&aof->thread);
    kv_aof_list left = kv_aof_stream_take(&aof->now);
    kv_aof_list_join(&left, &aof->later.pieces);
    kv_aof_list_join(&left, &aof->file.kept);
    kvi_aof_drop(aof, &left);
    kv_aof_pool_clear(&aof->pool);
    kv_free(aof->mem, aof->waiters);
    kv_free(aof->mem, aof);
}
