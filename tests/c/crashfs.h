/* A file system in memory that remembers each call and can show what a crash after any of them may leave on the disk.
 *
 * What was written and not synced may be there or not, in any order, in blocks of 512 or 4096 bytes; what was written where the file was shorter and is not
 * there reads as zeros, if the file has grown that far. A rename, a new name or an unlink that no fsync of the directory followed may be undone, the last
 * ones first. When an fsync fails, the bytes it was about stay readable and never reach the disk by a later one.
 *
 * The n-th call can fail, once or from there on. */
#ifndef KV_TESTS_CRASHFS_H
#define KV_TESTS_CRASHFS_H

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/sync.h"
#include "base/vfs.h"
#include "check.h"

enum { CRASHFS_INODES = 64, CRASHFS_NAMES = 64, CRASHFS_FDS = 64 };

typedef enum crashfs_kind { FS_WRITE, FS_TRUNCATE, FS_SYNC, FS_SYNC_LOST, FS_NAME, FS_UNNAME, FS_RENAME, FS_SYNC_DIR } crashfs_kind;

typedef struct crashfs_op {
    crashfs_kind kind;
    int inode;
    size_t offset, len; /* FS_TRUNCATE: len is the new size */
    uint8_t *bytes;
    char from[64], to[64];
    uint64_t mark; /* what `watched` was when the call began */
} crashfs_op;

typedef struct crashfs_data {
    uint8_t *bytes;
    size_t len, cap;
} crashfs_data;

typedef struct crashfs_name {
    char name[64];
    int inode;
} crashfs_name;

/* A state of the disk: files by name. */
typedef struct crashfs_disk {
    crashfs_data inodes[CRASHFS_INODES];
    crashfs_name names[CRASHFS_NAMES];
    int count;
} crashfs_disk;

typedef struct crashfs {
    kv_mutex lock;
    crashfs_disk live;
    int inode_count;
    int fd_inode[CRASHFS_FDS];
    size_t fd_at[CRASHFS_FDS];
    bool fd_append[CRASHFS_FDS];
    crashfs_op *ops;
    size_t op_count, op_cap;
    _Atomic(_Atomic uint64_t *) watched; /* set while threads run */
    _Atomic int calls, fail_at, error;   /* fail_at < 0: none */
    _Atomic bool forever, short_first;
    int opened;
} crashfs;

static inline void crashfs_room(crashfs_data *data, size_t len) {
    if (len > data->cap) {
        data->cap = len * 2;
        data->bytes = realloc(data->bytes, data->cap);
        CHECK(data->bytes != NULL);
    }
    if (len > data->len) {
        memset(data->bytes + data->len, 0, len - data->len);
        data->len = len;
    }
}

static inline int crashfs_find(const crashfs_disk *disk, const char *name) {
    for (int i = 0; i < disk->count; i++)
        if (strcmp(disk->names[i].name, name) == 0) return i;
    return -1;
}

static inline void crashfs_name_set(crashfs_disk *disk, const char *name, int inode) {
    int i = crashfs_find(disk, name);
    if (i < 0) i = disk->count++;
    CHECK(disk->count <= CRASHFS_NAMES && strlen(name) < 64);
    strcpy(disk->names[i].name, name);
    disk->names[i].inode = inode;
}

static inline void crashfs_name_drop(crashfs_disk *disk, const char *name) {
    int i = crashfs_find(disk, name);
    if (i >= 0) disk->names[i] = disk->names[--disk->count];
}

static inline crashfs_op *crashfs_note(crashfs *fs, crashfs_kind kind, int inode) {
    if (fs->op_count == fs->op_cap) {
        fs->op_cap = fs->op_cap == 0 ? 1024 : fs->op_cap * 2;
        fs->ops = realloc(fs->ops, fs->op_cap * sizeof *fs->ops);
        CHECK(fs->ops != NULL);
    }
    crashfs_op *op = &fs->ops[fs->op_count++];
    _Atomic uint64_t *watched = atomic_load(&fs->watched);
    *op = (crashfs_op){.kind = kind, .inode = inode, .mark = watched == NULL ? 0 : atomic_load(watched)};
    return op;
}

/* The lock is held afterwards. True: the call has to fail; errno is set. */
static inline bool crashfs_enter(crashfs *fs) {
    kv_mutex_lock(&fs->lock);
    int call = fs->calls++;
    if (fs->fail_at < 0 || !(call == fs->fail_at || (fs->forever && call > fs->fail_at))) return false;
    errno = fs->error;
    return true;
}

static inline int crashfs_leave(crashfs *fs, int rc) {
    int error = errno;
    kv_mutex_unlock(&fs->lock);
    errno = error;
    return rc;
}

static inline int crashfs_open(const kv_vfs *vfs, const char *path, int flags, unsigned mode) {
    crashfs *fs = vfs->ctx;
    (void)mode;
    if (crashfs_enter(fs)) return crashfs_leave(fs, -1);
    int at = crashfs_find(&fs->live, path);
    if (at < 0 && (flags & O_CREAT) == 0) {
        errno = ENOENT;
        return crashfs_leave(fs, -1);
    }
    if (at >= 0 && (flags & O_EXCL) != 0) {
        errno = EEXIST;
        return crashfs_leave(fs, -1);
    }
    int inode = at >= 0 ? fs->live.names[at].inode : fs->inode_count++;
    CHECK(inode < CRASHFS_INODES);
    if (at < 0) {
        crashfs_name_set(&fs->live, path, inode);
        strcpy(crashfs_note(fs, FS_NAME, inode)->to, path);
    }
    if ((flags & O_TRUNC) != 0 && fs->live.inodes[inode].len > 0) {
        fs->live.inodes[inode].len = 0;
        crashfs_note(fs, FS_TRUNCATE, inode);
    }
    int fd = 0;
    while (fd < CRASHFS_FDS && fs->fd_inode[fd] >= 0) fd++;
    CHECK(fd < CRASHFS_FDS);
    fs->fd_inode[fd] = inode;
    fs->fd_at[fd] = 0;
    fs->fd_append[fd] = (flags & O_APPEND) != 0;
    fs->opened++;
    return crashfs_leave(fs, fd + 1000);
}

static inline int crashfs_inode(const crashfs *fs, int fd) {
    CHECK(fd >= 1000 && fd < 1000 + CRASHFS_FDS && fs->fd_inode[fd - 1000] >= 0);
    return fs->fd_inode[fd - 1000];
}

static inline int crashfs_close(const kv_vfs *vfs, int fd) {
    crashfs *fs = vfs->ctx;
    bool fails = crashfs_enter(fs);
    (void)crashfs_inode(fs, fd);
    fs->fd_inode[fd - 1000] = -1; /* gone in any case */
    fs->opened--;
    return crashfs_leave(fs, fails ? -1 : 0);
}

static inline ssize_t crashfs_read(const kv_vfs *vfs, int fd, void *out, size_t len) {
    crashfs *fs = vfs->ctx;
    if (crashfs_enter(fs)) return crashfs_leave(fs, -1);
    crashfs_data *data = &fs->live.inodes[crashfs_inode(fs, fd)];
    size_t *at = &fs->fd_at[fd - 1000], n = *at < data->len ? data->len - *at : 0;
    if (n > len) n = len;
    if (n > 0) memcpy(out, data->bytes + *at, n);
    *at += n;
    crashfs_leave(fs, 0);
    return (ssize_t)n;
}

static inline ssize_t crashfs_write(const kv_vfs *vfs, int fd, const void *bytes, size_t len) {
    crashfs *fs = vfs->ctx;
    bool fails = crashfs_enter(fs);
    int inode = crashfs_inode(fs, fd);
    if (fails && !(fs->short_first && fs->calls - 1 == fs->fail_at && len > 1)) return crashfs_leave(fs, -1);
    if (fails) len /= 2; /* a short write; with `forever` the next one fails */
    crashfs_data *data = &fs->live.inodes[inode];
    size_t at = fs->fd_append[fd - 1000] ? data->len : fs->fd_at[fd - 1000];
    crashfs_room(data, at + len);
    memcpy(data->bytes + at, bytes, len);
    fs->fd_at[fd - 1000] = at + len;
    crashfs_op *op = crashfs_note(fs, FS_WRITE, inode);
    op->offset = at;
    op->len = len;
    op->bytes = malloc(len + 1);
    CHECK(op->bytes != NULL);
    memcpy(op->bytes, bytes, len);
    crashfs_leave(fs, 0);
    return (ssize_t)len;
}

static inline int crashfs_sync(const kv_vfs *vfs, int fd) {
    crashfs *fs = vfs->ctx;
    bool fails = crashfs_enter(fs);
    int inode = crashfs_inode(fs, fd);
    crashfs_note(fs, fails ? FS_SYNC_LOST : FS_SYNC, inode);
    return crashfs_leave(fs, fails ? -1 : 0);
}

static inline int crashfs_truncate(const kv_vfs *vfs, int fd, int64_t size) {
    crashfs *fs = vfs->ctx;
    if (crashfs_enter(fs)) return crashfs_leave(fs, -1);
    int inode = crashfs_inode(fs, fd);
    crashfs_room(&fs->live.inodes[inode], (size_t)size);
    fs->live.inodes[inode].len = (size_t)size;
    crashfs_note(fs, FS_TRUNCATE, inode)->len = (size_t)size;
    return crashfs_leave(fs, 0);
}

static inline int64_t crashfs_size(const kv_vfs *vfs, int fd) {
    crashfs *fs = vfs->ctx;
    if (crashfs_enter(fs)) return crashfs_leave(fs, -1);
    int64_t size = (int64_t)fs->live.inodes[crashfs_inode(fs, fd)].len;
    crashfs_leave(fs, 0);
    return size;
}

static inline int crashfs_rename(const kv_vfs *vfs, const char *from, const char *to) {
    crashfs *fs = vfs->ctx;
    if (crashfs_enter(fs)) return crashfs_leave(fs, -1);
    int at = crashfs_find(&fs->live, from);
    if (at < 0) {
        errno = ENOENT;
        return crashfs_leave(fs, -1);
    }
    int inode = fs->live.names[at].inode;
    crashfs_op *op = crashfs_note(fs, FS_RENAME, inode);
    strcpy(op->from, from);
    strcpy(op->to, to);
    crashfs_name_drop(&fs->live, from);
    crashfs_name_set(&fs->live, to, inode);
    return crashfs_leave(fs, 0);
}

static inline int crashfs_unlink(const kv_vfs *vfs, const char *path) {
    crashfs *fs = vfs->ctx;
    if (crashfs_enter(fs)) return crashfs_leave(fs, -1);
    if (crashfs_find(&fs->live, path) < 0) {
        errno = ENOENT;
        return crashfs_leave(fs, -1);
    }
    strcpy(crashfs_note(fs, FS_UNNAME, -1)->from, path);
    crashfs_name_drop(&fs->live, path);
    return crashfs_leave(fs, 0);
}

static inline int crashfs_sync_dir(const kv_vfs *vfs, const char *path) {
    crashfs *fs = vfs->ctx;
    (void)path;
    if (crashfs_enter(fs)) return crashfs_leave(fs, -1);
    crashfs_note(fs, FS_SYNC_DIR, -1);
    return crashfs_leave(fs, 0);
}

static inline crashfs *crashfs_new(void) {
    crashfs *fs = calloc(1, sizeof *fs);
    CHECK(fs != NULL);
    fs->fail_at = -1;
    for (int i = 0; i < CRASHFS_FDS; i++) fs->fd_inode[i] = -1;
    return fs;
}

static inline kv_vfs crashfs_vfs(crashfs *fs) {
    return (kv_vfs){.ctx = fs,
                    .open = crashfs_open,
                    .close = crashfs_close,
                    .read = crashfs_read,
                    .write = crashfs_write,
                    .fsync = crashfs_sync,
                    .fdatasync = crashfs_sync,
                    .rename = crashfs_rename,
                    .unlink = crashfs_unlink,
                    .ftruncate = crashfs_truncate,
                    .size = crashfs_size,
                    .fsync_dir = crashfs_sync_dir};
}

static inline void crashfs_free(crashfs *fs) {
    for (size_t i = 0; i < fs->op_count; i++) free(fs->ops[i].bytes);
    for (int i = 0; i < CRASHFS_INODES; i++) free(fs->live.inodes[i].bytes);
    free(fs->ops);
    free(fs);
}

static inline kv_slice crashfs_file(const crashfs_disk *disk, const char *name, bool *there) {
    int i = crashfs_find(disk, name);
    *there = i >= 0;
    return i < 0 ? kv_slice_of("", 0) : kv_slice_of(disk->inodes[disk->names[i].inode].bytes, disk->inodes[disk->names[i].inode].len);
}

/* ---- what a crash leaves ---- */

static inline void crashfs_apply(crashfs_data *data, const crashfs_op *op) {
    crashfs_room(data, op->kind == FS_WRITE ? op->offset + op->len : op->len);
    if (op->kind == FS_TRUNCATE) data->len = op->len;
    else memcpy(data->bytes + op->offset, op->bytes, op->len);
}

/* Some blocks of a write; with `grow` the file is as long as if all were there. */
static inline void crashfs_apply_some(crashfs_data *data, const crashfs_op *op, kv_rng *rng, size_t block, bool grow) {
    size_t end = op->offset + op->len;
    if (grow) crashfs_room(data, end);
    for (size_t at = op->offset; at < end;) {
        size_t next = (at / block + 1) * block;
        if (next > end) next = end;
        if (kv_rng_below(rng, 2) == 0) {
            crashfs_room(data, next);
            memcpy(data->bytes + at, op->bytes + (at - op->offset), next - at);
        }
        at = next;
    }
}

/* The disk after the first `n` calls and a crash; `disk` was zeroed, or filled by this before. Everything random comes from `seed`. */
static inline void crashfs_crash(const crashfs *fs, size_t n, uint64_t seed, crashfs_disk *disk) {
    kv_rng rng;
    kv_rng_seed(&rng, seed);
    for (int i = 0; i < CRASHFS_INODES; i++) disk->inodes[i].len = 0;
    disk->count = 0;
    uint8_t *synced = calloc(n + 1, 1); /* 1: on the disk for certain; 2: in limbo */
    CHECK(synced != NULL);
    size_t names = 0;
    for (size_t i = 0; i < n; i++) {
        const crashfs_op *op = &fs->ops[i];
        if (op->kind == FS_SYNC_DIR) names = i;
        if (op->kind != FS_SYNC && op->kind != FS_SYNC_LOST) continue;
        for (size_t k = 0; k < i; k++) {
            const crashfs_op *before = &fs->ops[k];
            bool data = before->kind == FS_WRITE || before->kind == FS_TRUNCATE;
            if (data && before->inode == op->inode && synced[k] == 0)
                synced[k] = op->kind == FS_SYNC ? 1 : before->kind == FS_WRITE ? 2 : 0;
        }
    }
    unsigned mode = (unsigned)kv_rng_below(&rng, 5);
    size_t block = kv_rng_below(&rng, 2) == 0 ? 512 : 4096;
    size_t kept = n == 0 ? 0 : (size_t)kv_rng_below(&rng, n + 1), named = names + (size_t)kv_rng_below(&rng, n - names + 1);
    for (size_t i = 0; i < n; i++) {
        const crashfs_op *op = &fs->ops[i];
        if (op->kind == FS_WRITE || op->kind == FS_TRUNCATE) {
            crashfs_data *data = &disk->inodes[op->inode];
            if (synced[i] == 1 || mode == 1) crashfs_apply(data, op);
            else if (op->kind == FS_TRUNCATE) {
                if (kv_rng_below(&rng, 2) == 0) crashfs_apply(data, op);
            } else if (mode == 2 && i <= kept) {
                crashfs_op part = *op;
                if (i == kept) part.len = op->len - op->len % 512;
                crashfs_apply(data, &part);
            } else if (mode >= 3) crashfs_apply_some(data, op, &rng, block, mode == 4);
        }
        if (i > names && i >= named) continue;
        if (op->kind == FS_NAME) crashfs_name_set(disk, op->to, op->inode);
        if (op->kind == FS_UNNAME) crashfs_name_drop(disk, op->from);
        if (op->kind == FS_RENAME) {
            crashfs_name_drop(disk, op->from);
            crashfs_name_set(disk, op->to, op->inode);
        }
    }
    free(synced);
}

static inline void crashfs_disk_free(crashfs_disk *disk) {
    for (int i = 0; i < CRASHFS_INODES; i++) free(disk->inodes[i].bytes);
}

#endif
