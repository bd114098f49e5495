/* Snapshots as files. A file that others rely on is never written in place: a temporary one beside it is written and synced, takes the name, and the
 * directory is synced. A crash leaves the old file or the new one; a temporary one that it leaves is overwritten by the next attempt. */
#include "persist/keeper_private.h"

#include <errno.h>
#include <fcntl.h>

#include "engine/settings.h"

enum { SYNC_EVERY = 32 * 1024 * 1024 }; /* so that the last sync has little left to do, and stalls nobody */

char *kvi_join(kv_mem *mem, const char *dir, kv_slice name) {
    size_t len = strlen(dir);
    char *path = kv_malloc(mem, len + name.len + 2);
    if (path == NULL) return NULL;
    memcpy(path, dir, len);
    if (len > 0 && dir[len - 1] != '/') path[len++] = '/';
    if (name.len > 0) memcpy(path + len, name.ptr, name.len);
    path[len + name.len] = 0;
    return path;
}

typedef struct sink {
    const kv_vfs *vfs;
    const kv_write_job *job;
    int fd;
    uint64_t unsynced;
    int error;
} sink;

static kv_status put(void *arg, kv_slice bytes) {
    sink *s = arg;
    if (kv_vfs_write_all(s->vfs, s->fd, bytes.ptr, bytes.len) < 0) return KV_EIO;
    s->unsynced += bytes.len;
    if (s->unsynced < SYNC_EVERY) return KV_OK;
    s->unsynced = 0;
    return s->vfs->fdatasync(s->vfs, s->fd) < 0 ? KV_EIO : KV_OK;
}

static bool on_progress(void *arg, uint64_t done, uint64_t total) {
    const kv_write_job *job = ((sink *)arg)->job;
    if (job->keys != NULL) atomic_store_explicit(job->keys, done, memory_order_relaxed);
    if (job->total != NULL) atomic_store_explicit(job->total, total, memory_order_relaxed);
    if (job->give_up != NULL && atomic_load_explicit(job->give_up, memory_order_relaxed)) return false;
    return job->progress == NULL || job->progress(job->arg, "snapshot", done, total);
}

kv_status kvi_write_snapshot(kv_engine *engine, int fd, const kv_write_job *job, kv_snapshot_result *out, kv_buf *reason) {
    sink s = {.vfs = engine->vfs, .job = job, .fd = fd};
    kv_snapshot_options options = {.compress = kv_setting(&engine->settings, KV_CFG_RDBCOMPRESSION) != 0,
                                   .sums = kv_setting(&engine->settings, KV_CFG_RDBCHECKSUM) != 0,
                                   .aof_base = job->aof_base,
                                   .aof = job->aof,
                                   .next_fd = job->next_fd,
                                   .arg = &s,
                                   .write = put,
                                   .progress = on_progress};
    kv_status status = kv_snapshot(engine, &options, out, reason);
    int error = errno;
    if (status == KV_OK && engine->vfs->fsync(engine->vfs, fd) < 0) {
        status = KV_EIO;
        error = errno;
        kv_buf_printf(reason, "the snapshot could not be synced");
    }
    if (status == KV_EIO) kv_buf_printf(reason, ": %s", strerror(error));
    errno = error;
    return status;
}

/* Gives the finished file its name. KV_EIO: errno, and the temporary file is gone. */
static kv_status put_in_place(const kv_vfs *vfs, const char *temp, const char *path, kv_buf *reason) {
    if (vfs->rename(vfs, temp, path) == 0 && vfs->fsync_dir(vfs, path) == 0) return KV_OK;
    int error = errno;
    vfs->unlink(vfs, temp);
    if (reason != NULL) kv_buf_printf(reason, "'%s' could not be put in its place: %s", path, strerror(error));
    errno = error;
    return KV_EIO;
}

kv_status kvi_save_file(kv_engine *engine, const char *path, const char *temp, const kv_write_job *job, kv_snapshot_result *out,
                        kv_buf *reason) {
    const kv_vfs *vfs = engine->vfs;
    int fd = vfs->open(vfs, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int error = errno;
        kv_buf_printf(reason, "cannot create '%s': %s", temp, strerror(error));
        errno = error;
        return KV_EIO;
    }
    kv_status status = kvi_write_snapshot(engine, fd, job, out, reason);
    int error = errno;
    if (vfs->close(vfs, fd) < 0 && status == KV_OK) {
        status = KV_EIO;
        error = errno;
        kv_buf_printf(reason, "closing '%s': %s", temp, strerror(error));
    }
    if (status == KV_OK) return put_in_place(vfs, temp, path, reason);
    vfs->unlink(vfs, temp);
    errno = error;
    return status;
}

kv_status kvi_replace(const kv_vfs *vfs, const char *path, const char *temp, kv_slice bytes) {
    int fd = vfs->open(vfs, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (fd < 0) return KV_EIO;
    int error = 0;
    if (kv_vfs_write_all(vfs, fd, bytes.ptr, bytes.len) < 0 || vfs->fsync(vfs, fd) < 0) error = errno;
    if (vfs->close(vfs, fd) < 0 && error == 0) error = errno;
    if (error == 0) return put_in_place(vfs, temp, path, NULL);
    vfs->unlink(vfs, temp);
    errno = error;
    return KV_EIO;
}

kv_write_job kvi_keeper_job(kv_keeper *k) {
    return (kv_write_job){.next_fd = -1, .give_up = &k->give_up, .keys = &k->work_keys, .total = &k->work_total};
}

kv_status kv_keeper_snapshot(kv_engine *engine, const char *path, kv_keeper_progress *progress, void *arg, kv_buf *reason) {
    kv_buf whole, temp;
    kv_buf_init(&whole, &engine->mem);
    kv_buf_init(&temp, &engine->mem);
    kv_status status = kv_resolve_path(path, &whole);
    if (status == KV_EIO) {
        int error = errno;
        kv_buf_printf(reason, "cannot write '%s': %s", path, error == ENOENT ? "its directory does not exist" : strerror(error));
        errno = error;
    } else if (status == KV_OK) {
        kv_buf_add_slice(&temp, kv_buf_slice(&whole));
        kv_buf_add(&temp, ".tmp", 5);
        kv_write_job job = {.next_fd = -1, .progress = progress, .arg = arg};
        kv_snapshot_result result;
        if (temp.failed) status = KV_ENOMEM;
        else {
            _Atomic uint32_t nobody = 0;
            /* One snapshot at a time: others end by themselves. */
            while ((status = kvi_save_file(engine, (const char *)whole.ptr, (const char *)temp.ptr, &job, &result, reason)) == KV_EEXISTS) {
                kv_buf_clear(reason);
                (void)kv_wait_word(&nobody, 0, kv_mono_ns() + 10000000);
            }
        }
    }
    kv_buf_deinit(&whole);
    kv_buf_deinit(&temp);
    return status;
}
