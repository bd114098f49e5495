/* The writer's thread.
 *
 *     take what was appended -> write it, a line behind each piece -> sync when the policy says so -> what somebody asked for -> wait
 *
 * always: each round is one group commit; while a sync runs, the next round's groups gather, and who was answered is waited for a moment (gather).
 * everysec, no: a round every few milliseconds while there is traffic, so that what a killed process loses is what came in that time; with everysec a
 * sync a second after the first write, or when a quarter of the limit waits for it.
 *
 *     file    |==== durable ====|==== kept, too ====|             floor: where `kept` begins; size: where the file ends
 *                               ^ floor             ^ size        synced <= floor; less with KV_AOF_NO, which keeps nothing
 *
 * A failure is final for the file: Linux marks pages clean whose writeback failed, so a later sync that succeeds proves nothing. The file is cut back to
 * `floor`, so that it ends with a whole group, and closed; `kept` is what another file has to begin with. */
#include <errno.h>

#include "persist/aof_private.h"
#include "persist/crc32c.h"

enum { SLOW_NS = 1000000000, SHARE_KEPT = 4, INTERRUPTS = 100, GATHER_NS = 1000000, GATHER_OFF = 63 };

/* ---- writing ---- */

static int sync_file(kv_aof *aof) {
    uint64_t begun = kv_mono_ns();
    int rc = aof->vfs->fdatasync(aof->vfs, aof->file.fd);
    for (int i = 0; rc < 0 && errno == EINTR && i < INTERRUPTS; i++)
        rc = aof->vfs->fdatasync(aof->vfs, aof->file.fd); /* not a failure yet */
    if (rc < 0) return -1;
    uint64_t taken = kv_mono_ns() - begun;
    aof->file.sync_ns = (3 * aof->file.sync_ns + taken) / 4;
    aof->file.synced = aof->file.size;
    aof->file.dirty = false;
    kv_mutex_lock(&aof->lock);
    if (taken > SLOW_NS) aof->delayed_fsyncs++;
    aof->last_fsync_ms = kv_clock_ms(&aof->engine->clock);
    kv_mutex_unlock(&aof->lock);
    return 0;
}

static int put(kv_aof *aof, const void *bytes, size_t len) {
    kv_aof_file *f = &aof->file;
    if (!f->dirty) f->since_ns = kv_mono_ns();
    f->dirty = true;
    if (kv_vfs_write_all(aof->vfs, f->fd, bytes, len) < 0) return -1;
    f->size += len;
    return 0;
}

/* Later lines say of all that is before this one that it was on the disk, so it has to be. And the line is on the disk before a record is: of a file that
 * lost its first block, and all lines, nobody could say whether a crash tore it. `kept` is empty when a section begins. */
static int begin_section(kv_aof *aof) {
    kv_aof_file *f = &aof->file;
    if (f->begun || !aof->annotate) return 0;
    if (f->dirty && sync_file(aof) < 0) return -1;
    char text[KV_AOF_LINE_MAX];
    size_t len = kv_aof_line_format(text, &(kv_aof_line){0}, 0);
    f->origin = f->size;
    if (put(aof, text, len) < 0 || sync_file(aof) < 0) return -1;
    f->floor = f->size;
    f->crc = 0;
    f->begun = true;
    return 0;
}

static kv_aof_line next_line(const kv_aof_file *f, size_t more) {
    return (kv_aof_line){.seq = f->seq, .off = f->size + more - f->origin, .sync = f->synced > f->origin ? f->synced - f->origin : 0};
}

static int write_piece(kv_aof *aof, kv_aof_piece *piece) {
    kv_aof_file *f = &aof->file;
    if (begin_section(aof) < 0) return -1;
    if (f->fresh && piece->db >= 0) {
        uint8_t text[KV_AOF_SELECT_MAX];
        size_t len = kv_aof_select(text, piece->db);
        if (put(aof, text, len) < 0) return -1;
        f->crc = kv_crc32c(f->crc, text, len);
    }
    f->fresh = false;
    f->seq = piece->last;
    piece->line = 0;
    if (aof->annotate) {
        kv_aof_line line = next_line(f, piece->len);
        piece->line = kv_aof_line_format((char *)piece->bytes + piece->len, &line, kv_crc32c(f->crc, piece->bytes, piece->len));
    }
    if (put(aof, piece->bytes, piece->len + piece->line) < 0) return -1;
    f->crc = 0;
    return 0;
}

/* Small pieces are put together: a second of trickling traffic must not hold hundreds of pieces that are nearly empty. */
static void keep(kv_aof *aof, kv_aof_piece *piece) {
    kv_aof_file *f = &aof->file;
    kv_aof_piece *last = f->kept.last;
    f->kept_bytes += piece->len;
    if (last == NULL || piece->len > piece->cap / 2 || last->cap - last->len < piece->len) {
        kv_aof_list_add(&f->kept, piece);
        return;
    }
    memcpy(last->bytes + last->len, piece->bytes, piece->len);
    last->len += piece->len;
    last->last = piece->last;
    kv_mutex_lock(&aof->lock);
    bool wanted = kv_aof_pool_put(&aof->pool, piece);
    kv_mutex_unlock(&aof->lock);
    if (!wanted) kv_free(aof->mem, piece);
}

/* Writes all of the list, which moves to `kept`. On failure the rest stays in it. */
static int write_list(kv_aof *aof, kv_aof_list *list) {
    for (kv_aof_piece *piece; (piece = list->first) != NULL;) {
        if (write_piece(aof, piece) < 0) return -1;
        (void)kv_aof_list_pop(list);
        keep(aof, piece);
    }
    return 0;
}

/* A last line behind everything, so that damage to the file's end is told from a torn one. The data are durable without it: failures do not matter. */
static void close_section(kv_aof *aof) {
    kv_aof_file *f = &aof->file;
    if (!f->begun || f->size == f->origin || f->dirty) return;
    char text[KV_AOF_LINE_MAX];
    uint64_t size = f->size;
    kv_aof_line line = next_line(f, 0);
    size_t len = kv_aof_line_format(text, &line, 0);
    if (put(aof, text, len) < 0 || sync_file(aof) < 0) {
        (void)aof->vfs->ftruncate(aof->vfs, f->fd, (int64_t)size);
        f->size = size;
    }
    f->floor = f->size;
}

/* ---- what follows from it ---- */

/* Everything written is as durable as the policy asks. */
static void publish(kv_aof *aof) {
    kv_aof_file *f = &aof->file;
    kv_aof_list done = f->kept;
    f->kept = (kv_aof_list){0};
    f->kept_bytes = 0;
    f->floor = f->size;
    bool news = done.first != NULL || f->reach > atomic_load_explicit(&aof->journal.durable, memory_order_relaxed);
    if (f->reach > atomic_load_explicit(&aof->journal.durable, memory_order_relaxed))
        atomic_store_explicit(&aof->journal.durable, f->reach, memory_order_release);
    if (done.first != NULL) kvi_aof_drop(aof, &done);
    if (news) kvi_aof_wake(aof);
}

static void show(kv_aof *aof) {
    kv_mutex_lock(&aof->lock);
    aof->shown_size = aof->file.size;
    kv_mutex_unlock(&aof->lock);
}

static void tell_failed(kv_aof *aof, int error) {
    if (aof->failed == NULL) return;
    atomic_store_explicit(&aof->in_failed, kv_thread_self(), memory_order_relaxed);
    aof->failed(aof->arg, error);
    atomic_store_explicit(&aof->in_failed, 0, memory_order_relaxed);
}

/* The file is given up. `rest`: what was to be written behind `kept`. A hole: bytes that are kept nowhere, and that nobody knows to be on the disk. */
static void fail(kv_aof *aof, int error, bool syncing, kv_aof_list *rest) {
    kv_aof_file *f = &aof->file;
    kv_aof_list_join(&f->kept, rest);
    bool cut_back = aof->vfs->ftruncate(aof->vfs, f->fd, (int64_t)f->floor) == 0, synced = aof->vfs->fdatasync(aof->vfs, f->fd) == 0;
    bool hole = f->synced < f->floor && (syncing || !synced), clean = cut_back && synced && !hole;
    aof->vfs->close(aof->vfs, f->fd);
    f->fd = -1;
    f->dirty = false;
    f->size = f->floor;
    kv_mutex_lock(&aof->lock);
    if (aof->phase == KV_AOF_OPEN) aof->phase = KV_AOF_BROKEN;
    aof->error = error;
    aof->clean = clean;
    aof->clean_size = aof->shown_size = f->floor;
    if (hole && aof->lost == 0) {
        aof->lost = 1;
        aof->lost_in_cut = aof->cut_epoch != 0;
    }
    aof->lost_told = true;
    aof->cut_in_memory = false;
    atomic_store_explicit(&aof->journal.refusal, kvi_aof_text(error), memory_order_release);
    kv_mutex_unlock(&aof->lock);
    kvi_aof_wake(aof);
    if (aof->failed == NULL) kv_aof_poison(aof);
    else tell_failed(aof, error);
}

static bool sync_now(kv_aof *aof) {
    kv_aof_list none = {0};
    if (aof->file.dirty && sync_file(aof) < 0) {
        fail(aof, errno, true, &none);
        return false;
    }
    publish(aof);
    return true;
}

/* ---- another file ---- */

static void begin_file(kv_aof_file *f, int fd, uint64_t size) {
    f->fd = fd;
    f->size = f->synced = f->floor = size;
    f->dirty = size > 0; /* whoever wrote that may have synced it; not known */
    f->begun = false;
    f->fresh = true;
    f->crc = 0;
}

static kv_status refused(kv_aof_job *job, kv_status status, int error) {
    job->error = error;
    return job->status = status;
}

/* For a log that has failed, or that has no file. */
static kv_status no_log(kv_aof *aof, kv_aof_job *job) {
    kv_mutex_lock(&aof->lock);
    int error = aof->error != 0 ? aof->error : EBADF;
    kv_mutex_unlock(&aof->lock);
    return refused(job, KV_EIO, error);
}

kv_status kvi_aof_resume(kv_aof *aof, kv_aof_job *job) {
    kv_aof_file *f = &aof->file;
    bool rebase = job->kind == KV_AOF_JOB_REBASE;
    kv_mutex_lock(&aof->lock);
    bool can = aof->phase == KV_AOF_BROKEN && (rebase ? aof->cut_in_memory : aof->lost == 0);
    kv_mutex_unlock(&aof->lock);
    if (!can) return refused(job, KV_EINVAL, EINVAL);
    kv_aof_list all = f->kept, list = rebase ? (kv_aof_list){0} : all;
    f->kept = (kv_aof_list){0};
    f->kept_bytes = 0;
    begin_file(f, job->fd, job->size);
    if (write_list(aof, &list) < 0 || (f->dirty && sync_file(aof) < 0)) {
        int error = errno;
        kv_aof_list_join(&f->kept, rebase ? &all : &list);
        (void)aof->vfs->ftruncate(aof->vfs, f->fd, (int64_t)job->size);
        f->fd = -1;
        f->dirty = false;
        return refused(job, KV_EIO, error);
    }
    kv_mutex_lock(&aof->lock);
    aof->phase = KV_AOF_OPEN;
    aof->cut_in_memory = false;
    if (rebase && aof->lost <= aof->cut_number) aof->lost = 0;
    if (aof->lost == 0) atomic_store_explicit(&aof->journal.refusal, NULL, memory_order_release);
    if (rebase) f->reach = aof->cut_number;
    aof->recovered++;
    kv_mutex_unlock(&aof->lock);
    if (rebase) kvi_aof_drop(aof, &all);
    publish(aof);
    show(aof);
    return job->status = KV_OK;
}

/* The cut is over: what was held back follows what was written. */
static void join_streams(kv_aof *aof, bool in_memory) {
    kv_mutex_lock(&aof->lock);
    uint64_t before = aof->later.pieces.first != NULL ? aof->later.first - 1 : aof->number;
    aof->cut_number = aof->lost != 0 && aof->lost_in_cut ? aof->lost - 1 : before;
    if (in_memory) kv_aof_list_join(&aof->file.kept, &aof->now.pieces);
    aof->now = aof->later;
    aof->later = (kv_aof_stream){.db = -1};
    aof->cut_epoch = 0;
    aof->cut_in_memory = in_memory;
    kv_mutex_unlock(&aof->lock);
}

static kv_status cut(kv_aof *aof, kv_aof_job *job, kv_aof_phase phase) {
    if (phase == KV_AOF_BROKEN && job->fd < 0) {
        join_streams(aof, true);
        job->size = UINT64_MAX;
        return KV_OK;
    }
    if (phase != KV_AOF_OPEN || !sync_now(aof)) {
        kv_aof_cut_cancel(aof);
        return no_log(aof, job);
    }
    kv_aof_file *f = &aof->file;
    if (job->fd >= 0) {
        close_section(aof);
        aof->vfs->close(aof->vfs, f->fd);
        int64_t size = aof->vfs->size(aof->vfs, job->fd);
        begin_file(f, job->fd, size < 0 ? 0 : (uint64_t)size);
    }
    f->begun = false;
    job->size = f->size;
    join_streams(aof, false);
    return KV_OK;
}

static kv_status swap(kv_aof *aof, kv_aof_job *job, kv_aof_phase phase) {
    kv_aof_file *f = &aof->file;
    uint64_t size = f->size;
    if (phase != KV_AOF_OPEN) return no_log(aof, job);
    int fd = job->swap(job->arg, f->fd, f->size, &size);
    if (fd < 0) return refused(job, KV_EIO, errno);
    aof->vfs->close(aof->vfs, f->fd);
    f->fd = fd;
    f->origin += size - f->size; /* the section has moved with its bytes; may wrap on the way */
    f->size = f->synced = size;
    f->dirty = false;
    publish(aof);
    return KV_OK;
}

static void stop(kv_aof *aof, kv_aof_phase phase) {
    if (phase != KV_AOF_OPEN || !sync_now(aof)) return;
    close_section(aof);
    aof->vfs->close(aof->vfs, aof->file.fd);
    aof->file.fd = -1;
}

/* True: the thread is to end. */
static bool run_job(kv_aof *aof, kv_aof_job *job) {
    kv_mutex_lock(&aof->lock);
    kv_aof_phase phase = aof->phase;
    kv_mutex_unlock(&aof->lock);
    bool last = job->kind == KV_AOF_JOB_STOP;
    switch (job->kind) {
    case KV_AOF_JOB_FLUSH:
        if (phase != KV_AOF_OPEN || !sync_now(aof)) (void)no_log(aof, job);
        job->size = aof->file.size;
        break;
    case KV_AOF_JOB_CUT: (void)cut(aof, job, phase); break;
    case KV_AOF_JOB_SWAP: (void)swap(aof, job, phase); break;
    case KV_AOF_JOB_RECOVER:
    case KV_AOF_JOB_REBASE: (void)kvi_aof_resume(aof, job); break;
    case KV_AOF_JOB_STOP: stop(aof, phase); break;
    }
    show(aof);
    kv_mutex_lock(&aof->lock);
    aof->job = NULL;
    kv_mutex_unlock(&aof->lock);
    atomic_store_explicit(&job->done, true, memory_order_release); /* it lives with who asked: not to be touched any more */
    kvi_aof_wake(aof);
    return last;
}

/* ---- rounds ---- */

typedef struct round {
    kv_aof_list list;
    kv_aof_job *job;
    kv_aof_phase phase;
    bool tell; /* that a unit was lost */
} round_of;

/* When the next sync is due. */
static uint64_t due(const kv_aof *aof, kv_aof_policy policy) {
    const kv_aof_file *f = &aof->file;
    if (!f->dirty || policy == KV_AOF_NO) return UINT64_MAX;
    if (policy == KV_AOF_ALWAYS || f->kept_bytes > aof->limit / SHARE_KEPT) return 0;
    return f->since_ns + KV_AOF_SECOND_NS;
}

/* False: there is nothing to do; appending wakes. */
static bool take(kv_aof *aof, round_of *r) {
    kv_mutex_lock(&aof->lock);
    *r = (round_of){.job = aof->job, .phase = aof->phase};
    if (r->phase == KV_AOF_OPEN) {
        r->list = kv_aof_stream_take(&aof->now);
        uint64_t reach = aof->cut_epoch != 0 && aof->later.pieces.first != NULL ? aof->later.first - 1 : aof->number;
        aof->file.reach = aof->lost != 0 && reach >= aof->lost ? aof->lost - 1 : reach;
        aof->file.in_round = aof->number - aof->taken;
        aof->taken = aof->number;
    }
    r->tell = aof->lost != 0 && !aof->lost_told;
    if (r->tell) aof->lost_told = true;
    bool something = r->list.first != NULL || r->job != NULL || r->tell;
    aof->asleep = !something && r->phase == KV_AOF_OPEN;
    aof->wake_at = 0;
    kv_mutex_unlock(&aof->lock);
    return something;
}

/* Does the next round wait for more? Those that a sync has released come back at once as a rule, each with its next unit, while those that came during
 * the sync are there already: a round for these alone and the next one for the others would let everybody wait for two syncs a unit. The lock is held. */
static bool is_short(kv_aof *aof) {
    kv_aof_file *f = &aof->file;
    uint64_t there = aof->number - aof->taken;
    if (aof->phase != KV_AOF_OPEN || aof->job != NULL || aof->cut_epoch != 0 || there == 0) return false;
    return there < f->expected;
}

/* Sleeps until they are there: as long as more come in each quarter of a sync's time, for a whole one at most. When they did not come (clients with
 * other things to do), the next rounds do not wait, twice as many each time. */
static void gather(kv_aof *aof) {
    kv_aof_file *f = &aof->file;
    kv_mutex_lock(&aof->lock);
    if (f->in_round > 0) f->expected = f->in_round + aof->number - aof->taken;
    f->in_round = 0;
    bool waits = is_short(aof);
    kv_mutex_unlock(&aof->lock);
    if (!waits) return;
    if (f->skip > 0) {
        f->skip--;
        return;
    }
    uint64_t now = kv_mono_ns(), most = now + (f->sync_ns < GATHER_NS ? f->sync_ns : GATHER_NS), until = now + f->sync_ns / 4, last = 0;
    bool in_time = true;
    while (waits && in_time) {
        uint32_t seen = atomic_load_explicit(&aof->work, memory_order_acquire);
        kv_mutex_lock(&aof->lock);
        uint64_t number = aof->number;
        waits = aof->asleep = is_short(aof);
        aof->wake_at = aof->taken + f->expected;
        kv_mutex_unlock(&aof->lock);
        if (!waits) break;
        now = kv_mono_ns();
        if (now >= until) { /* they are still coming: a quarter more */
            in_time = number != last && now < most;
            until = now + f->sync_ns / 4;
        }
        last = number;
        if (in_time) (void)kv_wait_word(&aof->work, seen, until);
    }
    f->off = in_time ? 0 : f->off * 2 + 1 < GATHER_OFF ? f->off * 2 + 1 : GATHER_OFF;
    f->skip = f->off;
}

static void write_round(kv_aof *aof, round_of *r, kv_aof_policy policy) {
    if (write_list(aof, &r->list) < 0) {
        fail(aof, errno, false, &r->list);
        return;
    }
    show(aof);
    if (policy == KV_AOF_NO) publish(aof);
    else if (kv_mono_ns() >= due(aof, policy)) (void)sync_now(aof);
    else if (!aof->file.dirty) publish(aof); /* nothing was written, but a unit that was lost is not missing any more */
}

void kvi_aof_run(void *arg) {
    kv_aof *aof = arg;
    for (bool ends = false; !ends;) {
        uint32_t seen = atomic_load_explicit(&aof->work, memory_order_acquire);
        round_of r;
        kv_aof_policy policy = (kv_aof_policy)atomic_load_explicit(&aof->policy, memory_order_relaxed);
        if (policy == KV_AOF_ALWAYS) gather(aof);
        bool something = take(aof, &r);
        bool wrote = r.list.first != NULL;
        if (r.phase == KV_AOF_OPEN) write_round(aof, &r, policy);
        if (r.phase == KV_AOF_POISONED && aof->file.kept.first != NULL) kvi_aof_drop(aof, &aof->file.kept);
        if (r.tell) tell_failed(aof, ENOMEM);
        if (r.job != NULL) ends = run_job(aof, r.job);
        else if (!something) {
            if (r.phase == KV_AOF_OPEN && aof->file.kept.first == NULL) kvi_aof_spare(aof);
            (void)kv_wait_word(&aof->work, seen, r.phase == KV_AOF_OPEN && aof->file.fd >= 0 ? due(aof, policy) : UINT64_MAX);
        } else if (wrote && policy != KV_AOF_ALWAYS) (void)kv_wait_word(&aof->work, seen, kv_mono_ns() + KV_AOF_TICK_NS);
    }
}
