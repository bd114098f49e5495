/* The single file: a snapshot, and behind it the log of what has been done since.
 *
 *     app.kv        snapshot | log ........ | log since the cut ->          writers go on here
 *     app.kv.tmp    snapshot of the cut                                     written meanwhile
 *                   snapshot of the cut | log since the cut                 copied behind it, the last of it by the log's own thread, between two groups
 *                   sync, rename over app.kv, sync of the directory         and the log goes on in the new file
 *
 * A crash before the rename finds the old file whole, after it the new one. The same way out of a file that cannot be written any more: its snapshot has
 * all that the log would have said.
 *
 * Without a log (durability none, snapshot) the file is a snapshot that is replaced by another one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "engine/errors.h"
#include "persist/keeper_private.h"

enum { COPY = 256 * 1024, COPY_ROUNDS = 8, COPY_LITTLE = 1024 * 1024 };

static char *temp_of(kv_keeper *k) {
    size_t len = strlen(k->path);
    char *temp = kv_malloc(k->mem, len + 5);
    if (temp != NULL) {
        memcpy(temp, k->path, len);
        memcpy(temp + len, ".tmp", 5);
    }
    return temp;
}

/* ---- compaction ---- */

typedef struct compaction {
    kv_keeper *k;
    const char *temp;
    int from, to;         /* the old file for reading; the new one */
    uint64_t at, written; /* copied up to here; length of the new file */
    int error;
    kv_keeper_progress *progress;
    void *arg;
} compaction;

/* Copies the old file's bytes up to `end`. */
static bool copy_until(compaction *c, uint64_t end) {
    const kv_vfs *vfs = c->k->vfs;
    uint8_t *block = kv_malloc(c->k->mem, COPY);
    if (block == NULL) errno = ENOMEM;
    while (block != NULL && c->at < end) {
        size_t want = end - c->at < COPY ? (size_t)(end - c->at) : COPY;
        ssize_t got = vfs->read(vfs, c->from, block, want);
        if (got == 0) errno = EIO; /* shorter than it is said to be */
        if (got <= 0 || kv_vfs_write_all(vfs, c->to, block, (size_t)got) < 0) break;
        c->at += (uint64_t)got;
        c->written += (uint64_t)got;
    }
    c->error = c->at < end ? errno : 0;
    kv_free(c->k->mem, block);
    return c->at >= end;
}

/* Brings `from` to the place from where on it is copied. */
static bool skip_to(compaction *c, uint64_t offset) {
    const kv_vfs *vfs = c->k->vfs;
    if (vfs->seek != NULL) {
        c->at = offset;
        c->error = vfs->seek(vfs, c->from, (int64_t)offset) < 0 ? errno : 0;
        return c->error == 0;
    }
    uint8_t *block = kv_malloc(c->k->mem, COPY);
    if (block == NULL) errno = ENOMEM;
    while (block != NULL && c->at < offset) {
        size_t want = offset - c->at < COPY ? (size_t)(offset - c->at) : COPY;
        ssize_t got = vfs->read(vfs, c->from, block, want);
        if (got == 0) errno = EIO;
        if (got <= 0) break;
        c->at += (uint64_t)got;
    }
    c->error = c->at < offset ? errno : 0;
    kv_free(c->k->mem, block);
    return c->at >= offset;
}

/* In the writer's thread: everything that was appended is in the old file. */
static int swap_files(void *arg, int fd, uint64_t size, uint64_t *new_size) {
    (void)fd;
    compaction *c = arg;
    const kv_vfs *vfs = c->k->vfs;
    if (!copy_until(c, size)) return -1;
    if (vfs->fsync(vfs, c->to) < 0 || vfs->rename(vfs, c->temp, c->k->path) < 0) {
        c->error = errno;
        return -1;
    }
    if (vfs->fsync_dir(vfs, c->k->path) <
        0) /* the name may not last, and it cannot be taken back: what is in the file is right either way */
        kv_log_write(&c->k->engine->log, KV_LOG_WARNING, "The directory of '%s' cannot be synced: %s", c->k->path, strerror(errno));
    *new_size = c->written;
    return c->to;
}

/* While writers go on: after some rounds little is left for the writer's thread to copy. */
static bool copy_ahead(compaction *c, kv_aof *aof) {
    for (int round = 0; round < COPY_ROUNDS; round++) {
        kv_aof_state state;
        kv_aof_state_of(aof, &state);
        if (state.size <= c->at || state.size - c->at < COPY_LITTLE) return true;
        if (!copy_until(c, state.size)) return false;
        if (c->progress != NULL && !c->progress(c->arg, "copy", c->at, state.size)) {
            c->error = ECANCELED;
            return false;
        }
    }
    return true;
}

static kv_status say(const compaction *c, const char *what, kv_buf *reason) {
    kv_buf_printf(reason, "%s '%s': %s", what, c->temp, strerror(c->error));
    errno = c->error;
    return c->error == ENOMEM ? KV_ENOMEM : c->error == ECANCELED ? KV_EINVAL : KV_EIO;
}

/* The log has failed: the snapshot alone becomes the file, and what came after it is still in memory. */
static kv_status rebase(compaction *c, kv_aof *aof, kv_buf *reason) {
    const kv_vfs *vfs = c->k->vfs;
    if (vfs->rename(vfs, c->temp, c->k->path) < 0 || vfs->fsync_dir(vfs, c->k->path) < 0) {
        c->error = errno;
        return say(c, "cannot put the new file in its place,", reason);
    }
    c->temp = NULL;
    kv_status status = kv_aof_rebase(aof, c->to, c->written);
    if (status == KV_OK) c->to = -1;
    else kv_buf_printf(reason, "the log cannot go on in the new file: %s", strerror(errno));
    return status;
}

static kv_status write_new(compaction *c, kv_aof *aof, kv_snapshot_result *result, kv_buf *reason) {
    kv_keeper *k = c->k;
    const kv_vfs *vfs = k->vfs;
    c->to = vfs->open(vfs, c->temp, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0600);
    if (c->to >= 0 && !kv_filelock_file(c->to)) errno = EBUSY;
    else if (c->to >= 0) errno = 0;
    if (c->to < 0 || errno != 0) {
        c->error = errno;
        return say(c, "cannot create", reason);
    }
    kv_write_job job = kvi_keeper_job(k);
    job.aof_base = true;
    job.aof = aof;
    job.progress = c->progress;
    job.arg = c->arg;
    kv_status status = kvi_write_snapshot(k->engine, c->to, &job, result, reason);
    if (status != KV_OK) return status;
    c->written = result->bytes;
    if (result->aof_offset == UINT64_MAX) return rebase(c, aof, reason);
    c->from = vfs->open(vfs, k->path, O_RDONLY, 0);
    if (c->from < 0) {
        c->error = errno;
        return say(c, "cannot read the file that is to be replaced by", reason);
    }
    if (!skip_to(c, result->aof_offset) || !copy_ahead(c, aof)) return say(c, "cannot copy the log to", reason);
    status = kv_aof_swap(aof, swap_files, c);
    if (status != KV_OK) return say(c, "cannot finish", reason);
    c->to = -1;
    c->temp = NULL;
    kv_aof_based(aof);
    return KV_OK;
}

/* With a log. The caller has claimed the work. */
static kv_status compact(kv_keeper *k, kv_keeper_progress *progress, void *arg, kv_buf *reason) {
    char *temp = temp_of(k);
    if (temp == NULL) return KV_ENOMEM;
    compaction c = {.k = k, .temp = temp, .from = -1, .to = -1, .progress = progress, .arg = arg};
    kv_snapshot_result result;
    kv_aof *aof = kvi_keeper_aof(k);
    kv_status status = write_new(&c, aof, &result, reason);
    int error = errno;
    if (c.from >= 0) k->vfs->close(k->vfs, c.from);
    if (c.to >= 0) k->vfs->close(k->vfs, c.to);
    if (c.temp != NULL) k->vfs->unlink(k->vfs, c.temp);
    kv_free(k->mem, temp);
    if (status == KV_OK) {
        atomic_store_explicit(&k->base_bytes, result.bytes, memory_order_relaxed);
        atomic_store_explicit(&k->current_base, result.bytes, memory_order_relaxed);
        atomic_store_explicit(&k->orphan_peak, result.orphan_peak, memory_order_relaxed);
        kvi_keeper_saved(k, result.last_save_dirty);
    }
    errno = error;
    return status;
}

kv_status kvi_single_compact(kv_keeper *k, kv_keeper_progress *progress, void *arg, kv_buf *reason) {
    if (k->readonly) {
        kv_buf_printf(reason, "'%s' was opened for reading only", k->path);
        return KV_EINVAL;
    }
    kv_status status = atomic_load_explicit(&k->logging, memory_order_relaxed) ? compact(k, progress, arg, reason)
                                                                               : kvi_single_save(k, progress, arg, reason);
    atomic_store_explicit(&k->rewrite_failed, status != KV_OK, memory_order_relaxed);
    if (status == KV_OK) atomic_fetch_add_explicit(&k->rewrites, 1, memory_order_relaxed);
    return status;
}

/* ---- without a log ---- */

kv_status kvi_single_save(kv_keeper *k, kv_keeper_progress *progress, void *arg, kv_buf *reason) {
    if (kvi_keeper_is_whole(k, reason) != KV_OK) return KV_EINVAL;
    char *temp = temp_of(k);
    if (temp == NULL) return KV_ENOMEM;
    kv_write_job job = kvi_keeper_job(k);
    job.progress = progress;
    job.arg = arg;
    kv_snapshot_result result;
    kv_status status = kvi_save_file(k->engine, k->path, temp, &job, &result, reason);
    int error = errno;
    kv_free(k->mem, temp);
    if (status == KV_OK) {
        atomic_store_explicit(&k->base_bytes, result.bytes, memory_order_relaxed);
        atomic_store_explicit(&k->log_before, result.bytes, memory_order_relaxed);
        kvi_keeper_saved(k, result.last_save_dirty);
    }
    errno = error;
    return status;
}

/* ---- opening ---- */

static bool is_directory(const kv_vfs *vfs, const char *path) {
    int fd = vfs->open(vfs, path, O_RDONLY | O_DIRECTORY, 0);
    bool is = fd >= 0 && vfs->size(vfs, fd) < 0;
    if (fd >= 0) vfs->close(vfs, fd);
    return is;
}

static kv_problem open_directory(kv_keeper *k, const kv_keeper_options *options, kv_buf *reason) {
    kv_buf name;
    kv_buf_init(&name, k->mem);
    kv_setting_text(&k->engine->settings, KV_CFG_APPENDFILENAME, &name);
    kv_buf_add_slice(&name, KV_LIT(".manifest"));
    char *path = name.failed ? NULL : kvi_join(k->mem, k->path, kv_buf_slice(&name));
    kv_buf_deinit(&name);
    if (path == NULL) return KV_PROBLEM_MEMORY;
    kv_status status = kvi_read_manifest(k->vfs, path, &k->manifest, reason);
    if (status == KV_ENOTFOUND) kv_buf_printf(reason, "'%s' is a directory without '%s'", k->path, path);
    kv_free(k->mem, path);
    switch (status) {
    case KV_OK: return kvi_load_dir(k, k->path, options, false, reason);
    case KV_ENOMEM: return KV_PROBLEM_MEMORY;
    case KV_ENOTFOUND: return KV_PROBLEM_ABSENT;
    case KV_EIO: return KV_PROBLEM_SYSTEM;
    default: return KV_PROBLEM_DAMAGED;
    }
}

static kv_problem load(kv_keeper *k, const kv_keeper_options *options, uint64_t *size, kv_buf *reason) {
    kv_load_job job = {.path = k->path, .log_follows = true, .last = true, .progress = options->progress, .arg = options->arg};
    kv_problem problem = kvi_load_file(k->engine, &job, reason);
    if (problem == KV_PROBLEM_ABSENT && !options->readonly && !options->existing) {
        kv_buf_clear(reason);
        *size = 0;
        return KV_PROBLEM_NONE;
    }
    if (problem != KV_PROBLEM_NONE) return problem;
    if (job.good < job.size) {
        k->cut_bytes = job.size - job.good;
        if (!options->readonly && kvi_cut_file(k, &job, reason) != KV_OK) return KV_PROBLEM_SYSTEM;
        snprintf(k->notice, sizeof k->notice, "'%s' ended in the middle of a write, as after a crash: its last %llu bytes were %s", k->path,
                 (unsigned long long)k->cut_bytes, options->readonly ? "left out" : "cut off");
        kv_log_write(&k->engine->log, KV_LOG_WARNING, "%s", k->notice);
    }
    k->loaded_keys = job.keys;
    k->expired_keys = job.expired;
    k->replayed = job.commands;
    atomic_store_explicit(&k->base_bytes, job.base, memory_order_relaxed);
    atomic_store_explicit(&k->current_base, job.base, memory_order_relaxed);
    atomic_store_explicit(&k->log_before, job.good, memory_order_relaxed);
    *size = job.good;
    return KV_PROBLEM_NONE;
}

/* What a compaction that a crash has ended left behind: the file itself is whole and loaded, so nobody needs it. One that stays is in nobody's way: the
 * next compaction begins it anew. */
static void remove_left_over(kv_keeper *k) {
    char *temp = temp_of(k);
    if (temp != NULL) k->vfs->unlink(k->vfs, temp);
    kv_free(k->mem, temp);
}

/* The log goes on at the end of the file. */
static kv_problem begin_log(kv_keeper *k, uint64_t size, kv_buf *reason) {
    int fd = k->vfs->open(k->vfs, k->path, O_RDWR | O_APPEND, 0);
    if (fd < 0) {
        kv_buf_printf(reason, "cannot open '%s' for writing: %s", k->path, strerror(errno));
        return KV_PROBLEM_SYSTEM;
    }
    if (!kv_filelock_file(fd)) {
        k->vfs->close(k->vfs, fd);
        kv_buf_printf(reason, "'%s' is open already, under another name: close it there first", k->path);
        return KV_PROBLEM_LOCKED;
    }
    kv_aof *aof = kvi_keeper_make_aof(k, k->durability == KV_DURABLE_ALWAYS ? KV_AOF_ALWAYS : KV_AOF_EVERYSEC);
    if (aof == NULL) {
        k->vfs->close(k->vfs, fd);
        kv_buf_printf(reason, "not enough memory or threads");
        return KV_PROBLEM_MEMORY;
    }
    kv_aof_open(aof, fd, size);
    kvi_keeper_log_on(k);
    return KV_PROBLEM_NONE;
}

static kv_problem open_file(kv_keeper *k, const kv_keeper_options *options, kv_buf *reason) {
    kv_status status = options->readonly ? KV_OK : kv_filelock_take(&k->lock, k->mem, k->path, reason);
    if (status != KV_OK) return status == KV_EEXISTS ? KV_PROBLEM_LOCKED : status == KV_ENOMEM ? KV_PROBLEM_MEMORY : KV_PROBLEM_SYSTEM;
    if (is_directory(k->vfs, k->path)) {
        if (options->readonly) return open_directory(k, options, reason);
        kv_buf_printf(reason, "'%s' is a directory: a store is a file, or open the directory for reading only", k->path);
        return KV_PROBLEM_SYSTEM;
    }
    uint64_t size = 0;
    kv_problem problem = load(k, options, &size, reason);
    if (problem != KV_PROBLEM_NONE || options->readonly) return problem;
    kvi_keeper_saved(k, 0);
    if (size > 0) remove_left_over(k);
    if (size == 0) { /* new, or empty: from now on it is a whole file at any moment */
        k->created = true;
        status = kvi_single_save(k, NULL, NULL, reason);
        if (status != KV_OK) return status == KV_ENOMEM ? KV_PROBLEM_MEMORY : KV_PROBLEM_SYSTEM;
        size = atomic_load_explicit(&k->base_bytes, memory_order_relaxed);
    }
    if (k->durability < KV_DURABLE_EVERYSEC) return KV_PROBLEM_NONE;
    problem = begin_log(k, size, reason);
    if (problem == KV_PROBLEM_NONE && !kvi_keeper_start(k)) {
        kv_buf_printf(reason, "no thread for the log");
        problem = KV_PROBLEM_MEMORY;
    }
    return problem;
}

kv_keeper *kv_keeper_open_single(kv_engine *engine, const kv_keeper_options *options, kv_problem *problem, kv_buf *reason) {
    kv_buf path;
    kv_buf_init(&path, &engine->mem);
    kv_status status = kv_resolve_path(options->path, &path);
    *problem = KV_PROBLEM_MEMORY;
    kv_keeper *k = NULL;
    if (status == KV_OK) {
        kv_keeper_options resolved = *options;
        resolved.path = (const char *)path.ptr;
        k = kvi_keeper_create(engine, KV_LAYOUT_SINGLE, &resolved);
        if (k != NULL) *problem = open_file(k, &resolved, reason);
    } else if (status == KV_EIO) {
        *problem = errno == ENOENT ? KV_PROBLEM_ABSENT : KV_PROBLEM_SYSTEM;
        kv_buf_printf(reason, "cannot open '%s': %s", options->path,
                      errno == ENOENT ? "its directory does not exist, or it is a link to nowhere" : strerror(errno));
    }
    kv_buf_deinit(&path);
    if (*problem == KV_PROBLEM_NONE) {
        if (options->readonly) kv_engine_refuse_writes(engine, KV_ERR_READ_ONLY_STORE);
        kvi_keeper_publish(k);
        return k;
    }
    if (*problem == KV_PROBLEM_MEMORY && reason->len == 0) kv_buf_printf(reason, "not enough memory");
    kv_keeper_destroy(k);
    return NULL;
}
