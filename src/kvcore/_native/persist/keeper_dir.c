/* A server's directory, as Valkey has it.
 *
 *     dump.rdb                              snapshots: SAVE, BGSAVE, save points; loaded without appendonly
 *     appendonlydir/appendonly.aof.manifest what follows, in order
 *                   appendonly.aof.3.base.rdb
 *                   appendonly.aof.5.incr.aof   written now
 *
 * A rewrite:  incr n+1 is made and listed -> the cut: records of before go to n, of after to n+1 -> the snapshot of the cut becomes base m+1 -> a manifest
 * with base m+1 and incr n+1 -> what is not listed any more is removed. A crash before the second manifest finds the old base with n and n+1, after it
 * the new base with n+1; both are the same data.
 *
 * Switching the log on is a rewrite whose n is a file that nobody will read: nothing is listed before the base is there. */
#include "persist/keeper_private.h"

#include <errno.h>
#include <fcntl.h>

#include "engine/journal.h"
#include "engine/tally.h"

/* ---- names ---- */

static char *path_in(kv_keeper *k, const char *dir, kv_config_field field, const char *front, const char *end) {
    kv_buf name;
    kv_buf_init(&name, k->mem);
    kv_buf_add_slice(&name, kv_slice_cstr(front));
    kv_setting_text(&k->engine->settings, field, &name);
    kv_buf_add_slice(&name, kv_slice_cstr(end));
    char *path = name.failed ? NULL : kvi_join(k->mem, dir, kv_buf_slice(&name));
    kv_buf_deinit(&name);
    return path;
}

static bool part_name(kv_keeper *k, int64_t number, const char *kind, kv_buf *out) {
    kv_setting_text(&k->engine->settings, KV_CFG_APPENDFILENAME, out);
    kv_buf_printf(out, ".%lld.%s", (long long)number, kind);
    return !out->failed;
}

static kv_status cannot(kv_buf *reason, const char *what, const char *path) {
    int error = errno;
    kv_buf_printf(reason, "%s '%s': %s", what, path, strerror(error));
    errno = error;
    return KV_EIO;
}

/* The lock of the directory, before anything is written there. A server that writes nothing takes none. */
static kv_status hold(kv_keeper *k, kv_buf *reason) {
    if (k->lock.path != NULL) return KV_OK;
    char *path = kvi_join(k->mem, k->path, KV_LIT(".kvcore"));
    if (path == NULL) return KV_ENOMEM;
    kv_status status = kv_filelock_take(&k->lock, k->mem, path, reason);
    kv_free(k->mem, path);
    return status;
}

/* ---- the manifest ---- */

typedef struct paths {
    char *dir, *manifest, *temp, *base; /* base: a new one, while it is written */
} paths;

static void free_paths(kv_keeper *k, paths *p) {
    kv_free(k->mem, p->dir);
    kv_free(k->mem, p->manifest);
    kv_free(k->mem, p->temp);
    kv_free(k->mem, p->base);
    *p = (paths){0};
}

static kv_status make_paths(kv_keeper *k, paths *p) {
    *p = (paths){.dir = path_in(k, k->path, KV_CFG_APPENDDIRNAME, "", "")};
    if (p->dir != NULL) {
        p->manifest = path_in(k, p->dir, KV_CFG_APPENDFILENAME, "", ".manifest");
        p->temp = path_in(k, p->dir, KV_CFG_APPENDFILENAME, "temp-", ".manifest");
        p->base = path_in(k, p->dir, KV_CFG_APPENDFILENAME, "temp-rewrite-", ".rdb");
    }
    if (p->dir != NULL && p->manifest != NULL && p->temp != NULL && p->base != NULL) return KV_OK;
    free_paths(k, p);
    return KV_ENOMEM;
}

static kv_status write_manifest(kv_keeper *k, const paths *p, const kv_manifest *m) {
    kv_buf text;
    kv_buf_init(&text, k->mem);
    kv_manifest_print(m, &text);
    kv_status status = text.failed ? KV_ENOMEM : kvi_replace(k->vfs, p->manifest, p->temp, kv_buf_slice(&text));
    int error = errno;
    kv_buf_deinit(&text);
    errno = error;
    return status;
}

/* `next` becomes the manifest, on disk first. On failure it is freed, and the old one stays in force: it is written once more, because the new one may have
 * its name already when only the directory could not be synced. When that fails, too, nobody knows which one a crash would find (`uncertain`). */
static kv_status put_manifest(kv_keeper *k, const paths *p, kv_manifest *next, kv_buf *reason) {
    kv_status status = write_manifest(k, p, next);
    if (status == KV_EIO) {
        (void)cannot(reason, "cannot write", p->manifest);
        int error = errno;
        bool back = k->manifest.count > 0 ? write_manifest(k, p, &k->manifest) == KV_OK
                                          : k->vfs->unlink(k->vfs, p->manifest) == 0 || errno == ENOENT;
        k->uncertain = !back;
        errno = error;
    } else if (status == KV_OK) {
        k->uncertain = false;
    }
    if (status != KV_OK) {
        int error = errno;
        kv_manifest_deinit(next);
        errno = error;
        return status;
    }
    kv_manifest_deinit(&k->manifest);
    k->manifest = *next;
    return KV_OK;
}

static kv_status next_manifest(kv_keeper *k, kv_manifest *next) {
    kv_manifest_init(next, k->mem);
    return kv_manifest_copy(&k->manifest, next);
}

/* Removes what is not needed any more. A failure leaves a file too many, which the next time removes. */
static void drop_history(kv_keeper *k, const paths *p) {
    kv_manifest next;
    kv_buf ignored;
    if (next_manifest(k, &next) != KV_OK) return;
    kv_buf_init(&ignored, k->mem);
    bool any = false;
    for (size_t i = next.count; i > 0 && next.files[i - 1].type == 'h'; i--) {
        char *path = kvi_join(k->mem, p->dir, kv_slice_cstr(next.files[i - 1].name));
        bool gone = path != NULL && (k->vfs->unlink(k->vfs, path) == 0 || errno == ENOENT);
        kv_free(k->mem, path);
        if (!gone) continue;
        kv_manifest_remove(&next, i - 1);
        any = true;
    }
    if (any) (void)put_manifest(k, p, &next, &ignored);
    else kv_manifest_deinit(&next);
    kv_buf_deinit(&ignored);
}

/* A new part of the log, empty and not listed yet. */
static kv_status make_part(kv_keeper *k, const paths *p, int64_t number, int *fd, kv_buf *name, kv_buf *reason) {
    if (!part_name(k, number, "incr.aof", name)) return KV_ENOMEM;
    char *path = kvi_join(k->mem, p->dir, kv_buf_slice(name));
    if (path == NULL) return KV_ENOMEM;
    kv_status status = KV_OK;
    *fd = k->vfs->open(k->vfs, path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0600);
    if (*fd < 0) status = cannot(reason, "cannot create", path);
    else if (k->vfs->fsync_dir(k->vfs, path) < 0) {
        status = cannot(reason, "cannot sync the directory of", path);
        k->vfs->close(k->vfs, *fd);
        *fd = -1;
    }
    kv_free(k->mem, path);
    return status;
}

static void remove_part(kv_keeper *k, const paths *p, kv_slice name) {
    char *path = kvi_join(k->mem, p->dir, name);
    if (path != NULL) k->vfs->unlink(k->vfs, path);
    kv_free(k->mem, path);
}

/* The part with this number leaves the list, on disk as well. */
static kv_status unlist(kv_keeper *k, const paths *p, int64_t number, kv_buf *reason) {
    kv_manifest next;
    kv_status status = next_manifest(k, &next);
    if (status != KV_OK) return status;
    for (size_t i = 0; i < next.count; i++)
        if (next.files[i].type == 'i' && next.files[i].number == number) kv_manifest_remove(&next, i--);
    return put_manifest(k, p, &next, reason);
}

static int64_t next_number(const kv_manifest *m, char type) {
    int64_t last = kv_manifest_last(m, type), past = kv_manifest_last(m, 'h');
    return (last > past ? last : past) + 1;
}

/* ---- rewriting ---- */

typedef struct rewrite {
    paths p;
    kv_aof *aof;    /* NULL: nothing is logged, only a base is made */
    bool unlisted;  /* the new part is not to be listed before the base is there */
    bool listed;    /* it is */
    bool in_memory; /* the log had failed: the cut is one in memory, the new part is begun by kv_aof_rebase */
    int64_t part;   /* its number */
    int fd;         /* as long as it is ours */
    kv_buf part_name, base_name;
    kv_snapshot_result result;
} rewrite;

static kv_status list_part(kv_keeper *k, rewrite *r, kv_buf *reason) {
    kv_manifest next;
    kv_status status = next_manifest(k, &next);
    if (status == KV_OK && (status = kv_manifest_add(&next, kv_buf_slice(&r->part_name), r->part, 'i')) != KV_OK) kv_manifest_deinit(&next);
    if (status == KV_OK) status = put_manifest(k, &r->p, &next, reason);
    r->listed = status == KV_OK;
    return status;
}

/* The snapshot, with the cut of the log, as a file with the base's name. */
static kv_status write_base(kv_keeper *k, rewrite *r, kv_buf *reason) {
    kv_write_job job = kvi_keeper_job(k);
    job.aof_base = true;
    job.aof = r->aof;
    job.next_fd = r->in_memory ? -1 : r->fd;
    int64_t number = next_number(&k->manifest, 'b');
    char *path = part_name(k, number, "base.rdb", &r->base_name) ? kvi_join(k->mem, r->p.dir, kv_buf_slice(&r->base_name)) : NULL;
    if (path == NULL) return KV_ENOMEM;
    kv_status status = kvi_save_file(k->engine, path, r->p.base, &job, &r->result, reason);
    if (r->aof != NULL && !r->in_memory && r->result.cut) r->fd = -1;
    kv_free(k->mem, path);
    return status;
}

/* Base and part replace what was listed. */
static kv_status list_base(kv_keeper *k, rewrite *r, kv_buf *reason) {
    kv_manifest next;
    kv_status status = next_manifest(k, &next);
    if (status != KV_OK) return status;
    int64_t number = next_number(&k->manifest, 'b');
    kv_manifest_retire(&next, r->listed ? r->part - 1 : INT64_MAX);
    status = kv_manifest_add(&next, kv_buf_slice(&r->base_name), number, 'b');
    if (status == KV_OK && r->aof != NULL && !r->listed) status = kv_manifest_add(&next, kv_buf_slice(&r->part_name), r->part, 'i');
    if (status != KV_OK) {
        kv_manifest_deinit(&next);
        return status;
    }
    return put_manifest(k, &r->p, &next, reason);
}

static kv_status run_rewrite(kv_keeper *k, rewrite *r, kv_buf *reason) {
    kv_status status = KV_OK;
    r->part = next_number(&k->manifest, 'i');
    if (r->aof != NULL) status = make_part(k, &r->p, r->part, &r->fd, &r->part_name, reason);
    if (status == KV_OK && r->aof != NULL && !r->unlisted) status = list_part(k, r, reason);
    if (status == KV_OK) status = write_base(k, r, reason);
    if (status == KV_OK) status = list_base(k, r, reason);
    if (status == KV_OK && r->in_memory) {
        status = kv_aof_rebase(r->aof, r->fd, 0);
        if (status == KV_OK) r->fd = -1;
        else kv_buf_printf(reason, "the log cannot go on in a new file: %s", strerror(errno));
    }
    int error = errno;
    if (r->fd >= 0) { /* the log is not in it */
        k->vfs->close(k->vfs, r->fd);
        kv_buf ignored;
        kv_buf_init(&ignored, k->mem);
        if (r->listed ? unlist(k, &r->p, r->part, &ignored) == KV_OK : !k->uncertain) remove_part(k, &r->p, kv_buf_slice(&r->part_name));
        kv_buf_deinit(&ignored);
    }
    errno = error;
    return status;
}

static kv_status make_dir(kv_keeper *k, const paths *p, kv_buf *reason) {
    if (k->vfs->mkdir == NULL) return KV_OK;
    if (k->vfs->mkdir(k->vfs, p->dir, 0755) == 0)
        return k->vfs->fsync_dir(k->vfs, p->dir) == 0 ? KV_OK : cannot(reason, "cannot sync", k->path);
    return errno == EEXIST ? KV_OK : cannot(reason, "cannot create the directory", p->dir);
}

static kv_status rewrite_with(kv_keeper *k, kv_aof *aof, bool unlisted, bool in_memory, kv_buf *reason) {
    rewrite r = {.aof = aof, .unlisted = unlisted || in_memory, .in_memory = in_memory, .fd = -1};
    kv_status status = kvi_keeper_is_whole(k, reason);
    if (status == KV_OK) status = hold(k, reason);
    if (status == KV_OK) status = make_paths(k, &r.p);
    if (status != KV_OK) return status;
    kv_buf_init(&r.part_name, k->mem);
    kv_buf_init(&r.base_name, k->mem);
    status = make_dir(k, &r.p, reason);
    if (status == KV_OK) status = run_rewrite(k, &r, reason);
    int error = errno;
    if (status == KV_OK) {
        if (aof != NULL && !in_memory) kv_aof_based(aof);
        atomic_store_explicit(&k->base_bytes, r.result.bytes, memory_order_relaxed);
        atomic_store_explicit(&k->current_base, r.result.bytes, memory_order_relaxed);
        atomic_store_explicit(&k->log_before, 0, memory_order_relaxed);
        atomic_store_explicit(&k->orphan_peak, r.result.orphan_peak, memory_order_relaxed);
        if (kv_setting(&k->engine->settings, KV_CFG_AOF_DISABLE_AUTO_GC) == 0) drop_history(k, &r.p);
        atomic_fetch_add_explicit(&k->rewrites, 1, memory_order_relaxed); /* last: who sees it finds the directory tidy */
    } else if (r.listed && r.result.cut) {                                /* what n has is of before */
        kv_aof_state state;
        kv_aof_state_of(aof, &state);
        kv_log_write(&k->engine->log, KV_LOG_NOTICE, "The log goes on in '%.*s'", (int)r.part_name.len, (const char *)r.part_name.ptr);
    }
    kv_buf_deinit(&r.part_name);
    kv_buf_deinit(&r.base_name);
    free_paths(k, &r.p);
    errno = error;
    return status;
}

kv_status kvi_dir_rewrite(kv_keeper *k, kv_buf *reason) {
    bool logging = atomic_load_explicit(&k->logging, memory_order_acquire);
    kv_aof *aof = logging ? kvi_keeper_aof(k) : NULL;
    kv_aof_state state = {.failed = false};
    if (logging) kv_aof_state_of(aof, &state);
    return rewrite_with(k, aof, false, state.failed, reason);
}

/* A new part takes over what is not durable; the old one was cut back to whole groups. */
static kv_status go_on_in_new_part(kv_keeper *k, kv_aof *aof, kv_buf *reason) {
    rewrite r = {.aof = aof, .fd = -1};
    kv_status status = make_paths(k, &r.p);
    if (status != KV_OK) return status;
    kv_buf_init(&r.part_name, k->mem);
    r.part = next_number(&k->manifest, 'i');
    kv_aof_state state;
    kv_aof_state_of(aof, &state);
    status = make_part(k, &r.p, r.part, &r.fd, &r.part_name, reason);
    if (status == KV_OK) status = list_part(k, &r, reason);
    if (status == KV_OK) {
        status = kv_aof_recover(aof, r.fd, 0);
        if (status == KV_OK) {
            r.fd = -1;
            atomic_fetch_add_explicit(&k->log_before, state.clean_size, memory_order_relaxed);
        } else {
            kv_buf_printf(reason, "the new file cannot be written either: %s", strerror(errno));
        }
    }
    int error = errno;
    if (r.fd >= 0) {
        k->vfs->close(k->vfs, r.fd);
        kv_buf ignored;
        kv_buf_init(&ignored, k->mem);
        if (r.listed ? unlist(k, &r.p, r.part, &ignored) == KV_OK : !k->uncertain) remove_part(k, &r.p, kv_buf_slice(&r.part_name));
        kv_buf_deinit(&ignored);
    }
    kv_buf_deinit(&r.part_name);
    free_paths(k, &r.p);
    errno = error;
    return status;
}

kv_status kvi_dir_recover(kv_keeper *k, kv_buf *reason) {
    kv_aof *aof = kvi_keeper_aof(k);
    kv_aof_state state;
    kv_aof_state_of(aof, &state);
    return state.clean ? go_on_in_new_part(k, aof, reason) : rewrite_with(k, aof, false, true, reason);
}

/* ---- switching ---- */

static int take_fd(void *arg, int fd, uint64_t size, uint64_t *new_size) {
    (void)fd, (void)size;
    *new_size = 0;
    return *(int *)arg;
}

static kv_status read_own_manifest(kv_keeper *k, const paths *p, kv_buf *reason) {
    if (k->manifest.count > 0) return KV_OK;
    kv_status status = kvi_read_manifest(k->vfs, p->manifest, &k->manifest, reason);
    return status == KV_ENOTFOUND ? KV_OK : status;
}

kv_status kvi_dir_log_on(kv_keeper *k, kv_buf *reason) {
    paths p;
    kv_status status = hold(k, reason);
    if (status == KV_OK) status = make_paths(k, &p);
    if (status != KV_OK) return status;
    char *scrap = path_in(k, p.dir, KV_CFG_APPENDFILENAME, "temp-", ".incr");
    status = make_dir(k, &p, reason);
    if (status == KV_OK) status = read_own_manifest(k, &p, reason);
    int fd = -1;
    if (status == KV_OK && scrap == NULL) status = KV_ENOMEM;
    if (status == KV_OK && (fd = k->vfs->open(k->vfs, scrap, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0600)) < 0)
        status = cannot(reason, "cannot create", scrap);
    bool first = kvi_keeper_aof(k) == NULL;
    kv_aof *aof = status == KV_OK ? kvi_keeper_make_aof(k, kvi_keeper_policy(k)) : NULL;
    if (status == KV_OK && aof == NULL) status = KV_ENOMEM;
    if (status == KV_OK && first) kv_aof_open(aof, fd, 0);
    else if (status == KV_OK) status = kv_aof_swap(aof, take_fd, &fd);
    if (status != KV_OK && fd >= 0) k->vfs->close(k->vfs, fd);
    if (status == KV_OK) {
        kv_aof_set_policy(aof, kvi_keeper_policy(k));
        kvi_keeper_log_on(k);
        status = rewrite_with(k, aof, true, false, reason);
        if (status != KV_OK) kvi_keeper_log_off(k);
    }
    if (scrap != NULL) k->vfs->unlink(k->vfs, scrap);
    kv_free(k->mem, scrap);
    free_paths(k, &p);
    return status;
}

void kvi_dir_switch(kv_keeper *k) {
    bool wanted = kv_setting(&k->engine->settings, KV_CFG_APPENDONLY) != 0;
    bool logging = atomic_load_explicit(&k->logging, memory_order_acquire);
    if (wanted == logging) return;
    if (kv_mono_ns() < k->save_retry_ns || !kvi_keeper_claim(k, KV_WORK_REWRITE, false)) {
        atomic_fetch_or_explicit(&k->wants, KV_WANT_SWITCH, memory_order_relaxed);
        return;
    }
    kv_buf reason;
    kv_buf_init(&reason, k->mem);
    kv_status status = KV_OK;
    if (wanted) {
        status = kvi_dir_log_on(k, &reason);
    } else {
        (void)kv_aof_flush(kvi_keeper_aof(k), NULL);
        kvi_keeper_log_off(k);
        (void)kv_aof_flush(kvi_keeper_aof(k), NULL);
    }
    atomic_store_explicit(&k->rewrite_failed, status != KV_OK, memory_order_relaxed);
    if (status == KV_OK && k->log_missing) {
        k->log_missing = false;
        kv_engine_refuse_writes(k->engine, NULL);
    }
    kvi_keeper_release(k);
    if (status != KV_OK) {
        kv_log_write(&k->engine->log, KV_LOG_WARNING, "The log cannot be switched on, which is tried again in 10 seconds: %.*s",
                     (int)reason.len, (const char *)reason.ptr);
        k->save_retry_ns = kv_mono_ns() + UINT64_C(10000000000);
        atomic_fetch_or_explicit(&k->wants, KV_WANT_SWITCH, memory_order_relaxed);
    } else {
        kv_log_write(&k->engine->log, KV_LOG_NOTICE, "The log is switched %s", wanted ? "on" : "off");
    }
    kv_buf_deinit(&reason);
}

/* ---- dump.rdb ---- */

kv_status kvi_dir_save(kv_keeper *k, kv_buf *reason) {
    kv_status status = kvi_keeper_is_whole(k, reason);
    if (status == KV_OK) status = hold(k, reason);
    if (status != KV_OK) return status;
    char *path = path_in(k, k->path, KV_CFG_DBFILENAME, "", ""), *temp = path_in(k, k->path, KV_CFG_DBFILENAME, "temp-", "");
    kv_snapshot_result result;
    status = KV_ENOMEM;
    if (path != NULL && temp != NULL) {
        kv_write_job job = kvi_keeper_job(k);
        status = kvi_save_file(k->engine, path, temp, &job, &result, reason);
    }
    int error = errno;
    if (status == KV_OK) {
        kvi_keeper_saved(k, result.last_save_dirty);
        atomic_store_explicit(&k->orphan_peak, result.orphan_peak, memory_order_relaxed);
    }
    kv_free(k->mem, path);
    kv_free(k->mem, temp);
    errno = error;
    return status;
}

/* ---- opening ---- */

static bool exists(kv_keeper *k, const char *path) {
    int fd = k->vfs->open(k->vfs, path, O_RDONLY, 0);
    if (fd >= 0) k->vfs->close(k->vfs, fd);
    return fd >= 0;
}

/* A single appendonly.aof of an older server becomes the base. The manifest comes first: a crash before the file has moved is found here again. */
static kv_problem upgrade(kv_keeper *k, const paths *p, kv_buf *reason) {
    char *old = path_in(k, k->path, KV_CFG_APPENDFILENAME, "", ""), *moved = path_in(k, p->dir, KV_CFG_APPENDFILENAME, "", "");
    kv_problem problem = KV_PROBLEM_NONE;
    kv_manifest next;
    kv_manifest_init(&next, k->mem);
    kv_buf name;
    kv_buf_init(&name, k->mem);
    kv_setting_text(&k->engine->settings, KV_CFG_APPENDFILENAME, &name);
    bool half_done = old != NULL && k->manifest.count == 1 && k->manifest.files[0].type == 'b' && !name.failed &&
                     kv_slice_eq(kv_slice_cstr(k->manifest.files[0].name), kv_buf_slice(&name)) && moved != NULL && !exists(k, moved);
    if (old == NULL || moved == NULL || name.failed) {
        problem = KV_PROBLEM_MEMORY;
    } else if (exists(k, old) && (k->manifest.count == 0 || half_done)) {
        kv_status status = make_dir(k, p, reason);
        if (status == KV_OK) status = kv_manifest_add(&next, kv_buf_slice(&name), 1, 'b');
        if (status == KV_OK) status = put_manifest(k, p, &next, reason);
        if (status == KV_OK &&
            (k->vfs->rename(k->vfs, old, moved) < 0 || k->vfs->fsync_dir(k->vfs, moved) < 0 || k->vfs->fsync_dir(k->vfs, old) < 0))
            status = cannot(reason, "cannot move to its new place", old);
        if (status == KV_OK)
            kv_log_write(&k->engine->log, KV_LOG_NOTICE, "'%s' of an older version has become the base in '%s'", old, p->dir);
        problem = status == KV_OK ? KV_PROBLEM_NONE : status == KV_ENOMEM ? KV_PROBLEM_MEMORY : KV_PROBLEM_SYSTEM;
    }
    kv_buf_deinit(&name);
    kv_free(k->mem, old);
    kv_free(k->mem, moved);
    return problem;
}

/* The log goes on in its last part, or in a new one when there is none. */
static kv_status go_on(kv_keeper *k, const paths *p, kv_buf *reason) {
    kv_buf name;
    kv_buf_init(&name, k->mem);
    int64_t last = kv_manifest_last(&k->manifest, 'i');
    int fd = -1;
    int64_t size = 0;
    kv_status status = KV_OK;
    if (last == 0) {
        rewrite r = {.p = *p, .part = next_number(&k->manifest, 'i'), .fd = -1};
        kv_buf_init(&r.part_name, k->mem);
        status = make_part(k, p, r.part, &fd, &r.part_name, reason);
        if (status == KV_OK) status = list_part(k, &r, reason);
        kv_buf_deinit(&r.part_name);
    } else {
        const char *file = NULL;
        for (size_t i = 0; i < k->manifest.count; i++)
            if (k->manifest.files[i].type == 'i' && k->manifest.files[i].number == last) file = k->manifest.files[i].name;
        char *path = kvi_join(k->mem, p->dir, kv_slice_cstr(file));
        if (path == NULL) status = KV_ENOMEM;
        else if ((fd = k->vfs->open(k->vfs, path, O_WRONLY | O_APPEND, 0)) < 0 || (size = k->vfs->size(k->vfs, fd)) < 0)
            status = cannot(reason, "cannot go on with", path);
        kv_free(k->mem, path);
    }
    kv_buf_deinit(&name);
    kv_aof *aof = status == KV_OK ? kvi_keeper_make_aof(k, kvi_keeper_policy(k)) : NULL;
    if (status == KV_OK && aof == NULL) status = KV_ENOMEM;
    if (status != KV_OK) {
        if (fd >= 0) k->vfs->close(k->vfs, fd);
        return status;
    }
    kv_aof_open(aof, fd, (uint64_t)size);
    atomic_store_explicit(&k->current_base,
                          atomic_load_explicit(&k->base_bytes, memory_order_relaxed) +
                              atomic_load_explicit(&k->log_before, memory_order_relaxed) + (uint64_t)size,
                          memory_order_relaxed);
    kvi_keeper_log_on(k);
    return KV_OK;
}

/* A base of what is there, which is nothing, when there is neither base nor log. */
static kv_status begin(kv_keeper *k, const paths *p, kv_buf *reason) {
    kv_status status = make_dir(k, p, reason);
    if (status == KV_OK) status = rewrite_with(k, NULL, false, false, reason);
    atomic_store_explicit(&k->rewrites, 0, memory_order_relaxed); /* nobody asked for this one */
    return status;
}

static kv_problem open_log(kv_keeper *k, const kv_keeper_options *options, kv_buf *reason) {
    paths p;
    if (make_paths(k, &p) != KV_OK) return KV_PROBLEM_MEMORY;
    kv_problem problem = KV_PROBLEM_NONE;
    kv_status status = kvi_read_manifest(k->vfs, p.manifest, &k->manifest, reason);
    if (status == KV_ENOTFOUND) status = KV_OK;
    if (status != KV_OK) problem = status == KV_ENOMEM ? KV_PROBLEM_MEMORY : status == KV_EIO ? KV_PROBLEM_SYSTEM : KV_PROBLEM_DAMAGED;
    if (problem == KV_PROBLEM_NONE) problem = upgrade(k, &p, reason);
    if (problem == KV_PROBLEM_NONE) problem = kvi_load_dir(k, p.dir, options, true, reason);
    if (problem == KV_PROBLEM_NONE) {
        if (kv_manifest_base(&k->manifest) == NULL && kv_manifest_last(&k->manifest, 'i') == 0) status = begin(k, &p, reason);
        if (status == KV_OK) status = go_on(k, &p, reason);
        if (status == KV_OK) drop_history(k, &p);
        if (status != KV_OK) problem = status == KV_ENOMEM ? KV_PROBLEM_MEMORY : KV_PROBLEM_SYSTEM;
    }
    free_paths(k, &p);
    return problem;
}

kv_problem kvi_dir_load_dump(kv_keeper *k, kv_load_job *job, kv_buf *reason) {
    char *path = path_in(k, k->path, KV_CFG_DBFILENAME, "", "");
    if (path == NULL) return KV_PROBLEM_MEMORY;
    job->path = path;
    kv_problem problem = kvi_load_file(k->engine, job, reason);
    job->path = NULL;
    k->loaded_keys = job->keys;
    k->expired_keys = job->expired;
    kv_free(k->mem, path);
    return problem;
}

kv_problem kvi_dir_load_log(kv_keeper *k, kv_buf *reason) {
    paths p;
    if (make_paths(k, &p) != KV_OK) return KV_PROBLEM_MEMORY;
    kv_keeper_options options = {.path = k->path};
    kv_problem problem = kvi_load_dir(k, p.dir, &options, false, reason);
    free_paths(k, &p);
    return problem;
}

static kv_problem open_dump(kv_keeper *k, const kv_keeper_options *options, kv_buf *reason) {
    kv_load_job job = {.progress = options->progress, .arg = options->arg};
    kv_problem problem = kvi_dir_load_dump(k, &job, reason);
    if (problem != KV_PROBLEM_ABSENT) return problem;
    kv_buf_clear(reason);
    return KV_PROBLEM_NONE;
}

kv_problem kvi_dir_open(kv_keeper *k, const kv_keeper_options *options, kv_buf *reason) {
    kv_settings *settings = &k->engine->settings;
    bool logs = kv_setting(settings, KV_CFG_APPENDONLY) != 0;
    kv_buf points;
    kv_buf_init(&points, k->mem);
    kv_setting_text(settings, KV_CFG_SAVE, &points);
    kv_status status = logs || points.len > 0 ? hold(k, reason) : KV_OK;
    kv_buf_deinit(&points);
    if (status != KV_OK) return status == KV_EEXISTS ? KV_PROBLEM_LOCKED : status == KV_ENOMEM ? KV_PROBLEM_MEMORY : KV_PROBLEM_SYSTEM;
    return logs ? open_log(k, options, reason) : open_dump(k, options, reason);
}

kv_keeper *kv_keeper_open_server(kv_engine *engine, const kv_keeper_options *options, kv_problem *problem, kv_buf *reason) {
    kv_buf path;
    kv_buf_init(&path, &engine->mem);
    kv_keeper *k = NULL;
    *problem = KV_PROBLEM_MEMORY;
    kv_status status = kv_resolve_path(options->path, &path);
    if (status == KV_EIO) {
        *problem = KV_PROBLEM_SYSTEM;
        (void)cannot(reason, "cannot use the directory", options->path);
    } else if (status == KV_OK) {
        kv_keeper_options resolved = *options;
        resolved.path = (const char *)path.ptr;
        k = kvi_keeper_create(engine, KV_LAYOUT_SERVER, &resolved);
        if (k != NULL) *problem = kvi_dir_open(k, &resolved, reason);
        if (k != NULL && *problem == KV_PROBLEM_NONE) {
            kvi_keeper_saved(k, kv_tally_dirty(k->engine));
            if (!kvi_keeper_start(k)) *problem = KV_PROBLEM_MEMORY;
        }
    }
    kv_buf_deinit(&path);
    if (*problem == KV_PROBLEM_NONE) {
        kvi_keeper_publish(k);
        return k;
    }
    if (reason->len == 0) kv_buf_printf(reason, "not enough memory");
    kv_keeper_destroy(k);
    return NULL;
}
