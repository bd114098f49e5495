/* Reading what a store begins with.
 *
 * A file is a snapshot, or a log, or a snapshot with a log behind it; which, its bytes say. What has expired stays as long as a log may follow, which says
 * when it went. */
#include "persist/keeper_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/ctx.h"
#include "persist/load.h"
#include "persist/rdb_file.h"
#include "persist/replay.h"

/* ---- the snapshot ---- */

static void show(const kv_load_job *job, uint64_t done) { atomic_store_explicit(&job->shown->done, done, memory_order_relaxed); }

static bool on_load(void *arg, uint64_t done, uint64_t total) {
    const kv_load_job *job = arg;
    show(job, done);
    return job->progress == NULL || job->progress(job->arg, "load", done, total);
}

static void on_fact(void *arg, kv_slice name, kv_slice value) {
    const kv_load_job *job = arg;
    uint64_t bytes;
    if (kv_slice_is(name, "used-mem") && kv_parse_u64(value, &bytes))
        atomic_store_explicit(&job->shown->used_mem, bytes, memory_order_relaxed);
}

static kv_problem problem_of(kv_status status, int error) {
    switch (status) {
    case KV_OK: return KV_PROBLEM_NONE;
    case KV_ENOMEM: return KV_PROBLEM_MEMORY;
    case KV_ENOTFOUND: return KV_PROBLEM_ABSENT;
    case KV_EIO: return error == ENOENT ? KV_PROBLEM_ABSENT : KV_PROBLEM_SYSTEM;
    case KV_EINVAL: return KV_PROBLEM_UNSUPPORTED;
    default: return KV_PROBLEM_DAMAGED;
    }
}

static kv_problem load_base(kv_engine *engine, kv_source *source, kv_load_job *job, kv_buf *reason) {
    kv_ctx c = {.engine = engine};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    kv_load_options options = {.limits = kv_ctx_limits(&c),
                               .threads = cores > 1 ? (unsigned)cores - 1 : 0,
                               .sums = kv_setting(&engine->settings, KV_CFG_RDBCHECKSUM) != 0,
                               .keep_expired = job->log_follows,
                               .merge = job->merge,
                               .now_ms = kv_clock_ms(&engine->clock),
                               .delay_us = kv_setting(&engine->settings, KV_CFG_KEY_LOAD_DELAY),
                               .interval = (uint64_t)kv_setting(&engine->settings, KV_CFG_LOADING_PROCESS_EVENTS_INTERVAL_BYTES),
                               .arg = job,
                               .progress = on_load,
                               .fact = on_fact};
    kv_load_result result;
    kv_status status = kv_load_rdb(job->trial != NULL ? job->trial : &engine->store, source, &options, &result, reason);
    if (status == KV_EIO) kv_buf_printf(reason, ": %s", strerror(source->error));
    job->keys += result.keys;
    job->expired += result.expired;
    job->base = result.end;
    return problem_of(status, source->error);
}

/* ---- the log ---- */

static bool on_replay(void *arg, uint64_t done, uint64_t total) {
    const kv_load_job *job = arg;
    show(job, done);
    return job->progress == NULL || job->progress(job->arg, "replay", done, total);
}

static kv_problem load_log(kv_engine *engine, kv_source *source, kv_load_job *job, kv_buf *reason) {
    kv_replay_options options = {.arg = job, .progress = on_replay};
    kv_replay_result result;
    kv_status status = kv_replay(engine, source, &options, &result, reason);
    int error = source->error;
    job->commands += result.commands;
    job->good = result.good;
    if (status == KV_EIO) kv_buf_printf(reason, ": %s", strerror(error));
    if (status == KV_ECORRUPT) kv_buf_printf(reason, ". `kvcore check` tells more, and `kvcore check --repair` what can be saved");
    if (status != KV_OK) return problem_of(status, error);
    if (!result.torn && reason->len > 0)
        kv_log_write(&engine->log, KV_LOG_WARNING, "%llu commands in the log of '%s' replied an error: %.*s",
                     (unsigned long long)result.errors, job->path, (int)reason->len, (const char *)reason->ptr);
    if (result.torn && !job->last) {
        kv_buf_printf(reason, ", and other files follow it");
        return KV_PROBLEM_DAMAGED;
    }
    kv_buf_clear(reason);
    return KV_PROBLEM_NONE;
}

kv_problem kvi_load_file(kv_engine *engine, kv_load_job *job, kv_buf *reason) {
    kv_source source;
    kv_status status = kv_source_open(&source, engine->vfs, &engine->mem, job->path);
    if (status != KV_OK) {
        int error = status == KV_ENOTFOUND ? ENOENT : errno;
        kv_buf_printf(reason, "cannot open '%s': %s", job->path, status == KV_ENOMEM ? "out of memory" : strerror(error));
        return problem_of(status, error);
    }
    job->size = source.size;
    job->shown = &engine->load;
    uint64_t begun = atomic_load_explicit(&engine->load.before, memory_order_relaxed);
    if (atomic_load_explicit(&engine->load.total, memory_order_relaxed) < begun + source.size) /* not one of several that were added up */
        atomic_store_explicit(&engine->load.total, begun + source.size, memory_order_relaxed);
    job->good = source.size;
    job->base = 0;
    kv_problem problem = KV_PROBLEM_NONE;
    kv_buf why;
    kv_buf_init(&why, &engine->mem);
    if (source.size > 0) {
        (void)source.in.more(&source.in, source.size < 9 ? (size_t)source.size : 9);
        kv_slice head = kv_slice_of(source.in.at, (size_t)(source.in.end - source.in.at));
        if (source.error != 0) {
            kv_buf_printf(&why, "%s", strerror(source.error));
            problem = KV_PROBLEM_SYSTEM;
        } else if (!job->is_log && kv_rdb_is_magic(head)) {
            problem = load_base(engine, &source, job, &why);
        } else if (!job->is_log && head.ptr[0] != '*' && head.ptr[0] != '#') {
            kv_buf_printf(&why, "it is neither a snapshot nor a log");
            problem = KV_PROBLEM_UNSUPPORTED;
        }
        if (problem == KV_PROBLEM_NONE && job->trial == NULL && job->base < job->size) problem = load_log(engine, &source, job, &why);
    }
    if (problem != KV_PROBLEM_NONE) kv_buf_printf(reason, "cannot load '%s': %.*s", job->path, (int)why.len, (const char *)why.ptr);
    kv_buf_deinit(&why);
    kv_source_close(&source);
    atomic_store_explicit(&engine->load.done, 0, memory_order_relaxed);
    atomic_store_explicit(&engine->load.before, begun + job->size, memory_order_relaxed);
    return problem;
}

kv_status kvi_cut_file(kv_keeper *k, const kv_load_job *job, kv_buf *reason) {
    const kv_vfs *vfs = k->vfs;
    int fd = vfs->open(vfs, job->path, O_WRONLY, 0), error = 0;
    if (fd < 0 || vfs->ftruncate(vfs, fd, (int64_t)job->good) < 0 || vfs->fsync(vfs, fd) < 0) error = errno;
    if (fd >= 0) vfs->close(vfs, fd);
    if (error != 0) {
        kv_buf_printf(reason, "the unfinished end of '%s' cannot be cut off: %s", job->path, strerror(error));
        errno = error;
        return KV_EIO;
    }
    return KV_OK;
}

static void note_torn(kv_keeper *k, const kv_load_job *job, bool cut) {
    unsigned long long torn = job->size - job->good;
    k->cut_bytes += torn;
    snprintf(k->notice, sizeof k->notice, "'%s' ended in the middle of a write, as after a crash: its last %llu bytes were %s", job->path,
             torn, cut ? "cut off" : "left out");
    kv_log_write(&k->engine->log, KV_LOG_WARNING, "%s", k->notice);
}

/* ---- an append-only directory ---- */

kv_status kvi_read_manifest(const kv_vfs *vfs, const char *path, kv_manifest *out, kv_buf *reason) {
    kv_buf text;
    kv_buf_init(&text, out->mem);
    kv_status status = kv_vfs_read_file(vfs, path, 1024 * 1024, &text);
    int error = errno;
    if (status == KV_EIO) kv_buf_printf(reason, "cannot read '%s': %s", path, strerror(error));
    else if (status == KV_ETOOBIG) kv_buf_printf(reason, "the manifest '%s' is too long", path);
    else if (status == KV_OK) status = kv_manifest_parse(out, kv_buf_slice(&text), reason);
    if (status == KV_ECORRUPT) kv_buf_printf(reason, " ('%s')", path);
    kv_buf_deinit(&text);
    errno = error;
    return status;
}

/* Of the first files together, as far as they can be opened. */
static uint64_t bytes_of(kv_keeper *k, const char *dir, size_t files) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < files; i++) {
        char *path = kvi_join(k->mem, dir, kv_slice_cstr(k->manifest.files[i].name));
        int fd = path == NULL ? -1 : k->vfs->open(k->vfs, path, O_RDONLY, 0);
        int64_t size = fd < 0 ? 0 : k->vfs->size(k->vfs, fd);
        if (fd >= 0) k->vfs->close(k->vfs, fd);
        kv_free(k->mem, path);
        bytes += size > 0 ? (uint64_t)size : 0;
    }
    return bytes;
}

kv_problem kvi_load_dir(kv_keeper *k, const char *dir, const kv_keeper_options *options, bool cut, kv_buf *reason) {
    size_t live = 0;
    for (size_t i = 0; i < k->manifest.count; i++) live += k->manifest.files[i].type != 'h';
    bool cuts = kv_setting(&k->engine->settings, KV_CFG_AOF_LOAD_TRUNCATED) != 0;
    uint64_t log = 0;
    atomic_store_explicit(&k->engine->load.total, bytes_of(k, dir, live), memory_order_relaxed);
    for (size_t i = 0; i < live; i++) {
        const kv_manifest_file *file = &k->manifest.files[i];
        char *path = kvi_join(k->mem, dir, kv_slice_cstr(file->name));
        if (path == NULL) return KV_PROBLEM_MEMORY;
        kv_load_job job = {.path = path,
                           .log_follows = true,
                           .is_log = file->type == 'i',
                           .last = i + 1 == live,
                           .progress = options->progress,
                           .arg = options->arg};
        kv_problem problem = kvi_load_file(k->engine, &job, reason);
        if (problem == KV_PROBLEM_NONE && job.good < job.size) {
            if (!cuts) {
                kv_buf_printf(reason, "'%s' ends too early, at byte %llu of %llu, and aof-load-truncated is off", path,
                              (unsigned long long)job.good, (unsigned long long)job.size);
                problem = KV_PROBLEM_DAMAGED;
            } else if (cut && kvi_cut_file(k, &job, reason) != KV_OK) {
                problem = KV_PROBLEM_SYSTEM;
            } else {
                note_torn(k, &job, cut);
            }
        }
        k->loaded_keys += job.keys;
        k->expired_keys += job.expired;
        k->replayed += job.commands;
        if (file->type == 'b') atomic_store_explicit(&k->base_bytes, job.good, memory_order_relaxed);
        else if (i + 1 < live) log += job.good;
        kv_free(k->mem, path);
        if (problem != KV_PROBLEM_NONE) return problem;
    }
    atomic_store_explicit(&k->log_before, log, memory_order_relaxed);
    return KV_PROBLEM_NONE;
}
