/* The POSIX implementation of kv_vfs and what is built on any implementation: whole files, read and replaced.
 *
 * Replacing: write "<path>.<pid>.<number>.tmp" -> fsync -> close -> rename over path -> fsync of the directory. Each arrow is a point
 * where a crash leaves either the old file or the new one. The temporary name is taken with O_EXCL, so that two writers never share it. */
#define _GNU_SOURCE 1
#include "base/vfs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, READ_STEP = 65536, NAME_TRIES = 100 };

/* ---- POSIX ---- */

static int posix_open(const kv_vfs *vfs, const char *path, int flags, unsigned mode) {
    (void)vfs;
    int fd;
    do fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int posix_close(const kv_vfs *vfs, int fd) {
    (void)vfs;
    return close(fd); /* never retried: on Linux the descriptor is gone even when EINTR is reported */
}

static ssize_t posix_read(const kv_vfs *vfs, int fd, void *out, size_t len) {
    (void)vfs;
    ssize_t got;
    do got = read(fd, out, len);
    while (got < 0 && errno == EINTR);
    return got;
}

static ssize_t posix_write(const kv_vfs *vfs, int fd, const void *bytes, size_t len) {
    (void)vfs;
    ssize_t put;
    do put = write(fd, bytes, len);
    while (put < 0 && errno == EINTR);
    return put;
}

static int posix_fsync(const kv_vfs *vfs, int fd) {
    (void)vfs;
    return fsync(fd);
}

static int posix_fdatasync(const kv_vfs *vfs, int fd) {
    (void)vfs;
    return fdatasync(fd);
}

static int posix_rename(const kv_vfs *vfs, const char *from, const char *to) {
    (void)vfs;
    return rename(from, to);
}

static int posix_unlink(const kv_vfs *vfs, const char *path) {
    (void)vfs;
    return unlink(path);
}

static int posix_ftruncate(const kv_vfs *vfs, int fd, int64_t size) {
    (void)vfs;
    int rc;
    do rc = ftruncate(fd, size);
    while (rc < 0 && errno == EINTR);
    return rc;
}

static int64_t posix_size(const kv_vfs *vfs, int fd) {
    (void)vfs;
    struct stat facts;
    if (fstat(fd, &facts) < 0) return -1;
    if (S_ISREG(facts.st_mode)) return facts.st_size;
    errno = EINVAL;
    return -1;
}

static int posix_fsync_dir(const kv_vfs *vfs, const char *path) {
    char dir[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    if (len >= sizeof dir) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(dir, path, len);
    dir[len] = '\0';
    int fd = posix_open(vfs, slash == NULL ? "." : len == 0 ? "/" : dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return -1;
    int rc = fsync(fd), error = errno;
    close(fd);
    if (rc < 0 && error == EINVAL) rc = 0; /* a file system that cannot sync directories has nothing to sync */
    errno = error;
    return rc;
}

static int posix_mkdir(const kv_vfs *vfs, const char *path, unsigned mode) {
    (void)vfs;
    return mkdir(path, (mode_t)mode);
}

static int posix_seek(const kv_vfs *vfs, int fd, int64_t offset) {
    (void)vfs;
    return lseek(fd, offset, SEEK_SET) < 0 ? -1 : 0;
}

const kv_vfs kv_vfs_posix = {.open = posix_open,
                             .close = posix_close,
                             .read = posix_read,
                             .write = posix_write,
                             .fsync = posix_fsync,
                             .fdatasync = posix_fdatasync,
                             .rename = posix_rename,
                             .unlink = posix_unlink,
                             .ftruncate = posix_ftruncate,
                             .size = posix_size,
                             .fsync_dir = posix_fsync_dir,
                             .mkdir = posix_mkdir,
                             .seek = posix_seek};

/* ---- on any implementation ---- */

int kv_vfs_write_all(const kv_vfs *vfs, int fd, const void *bytes, size_t len) {
    const uint8_t *at = bytes;
    while (len > 0) {
        ssize_t put = vfs->write(vfs, fd, at, len);
        if (put < 0) return -1;
        if (put == 0) { /* no progress and no error: report rather than loop */
            errno = EIO;
            return -1;
        }
        at += put;
        len -= (size_t)put;
    }
    return 0;
}

kv_status kv_vfs_read_file(const kv_vfs *vfs, const char *path, size_t max, kv_buf *out) {
    int fd = vfs->open(vfs, path, O_RDONLY, 0);
    if (fd < 0) return errno == ENOENT ? KV_ENOTFOUND : KV_EIO;
    size_t before = out->len;
    kv_status status = KV_OK;
    int error = 0;
    for (;;) {
        if (!kv_buf_reserve(out, READ_STEP)) {
            status = KV_ENOMEM;
            break;
        }
        ssize_t got = vfs->read(vfs, fd, out->ptr + out->len, READ_STEP);
        if (got < 0) {
            error = errno;
            status = KV_EIO;
        }
        if (got <= 0) break;
        out->len += (size_t)got;
        if (out->len - before > max) {
            status = KV_ETOOBIG;
            break;
        }
    }
    vfs->close(vfs, fd);
    if (status != KV_OK) out->len = before;
    if (status == KV_EIO) errno = error;
    return status;
}

/* Creates a file beside `path` that did not exist; its name is put in `name`. -1: errno. */
static int open_beside(const kv_vfs *vfs, const char *path, char name[PATH_BYTES]) {
    for (int i = 0; i < NAME_TRIES; i++) {
        int len = snprintf(name, PATH_BYTES, "%s.%ld.%d.tmp", path, (long)getpid(), i);
        if (len < 0 || len >= PATH_BYTES) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = vfs->open(vfs, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

kv_status kv_vfs_replace_file(const kv_vfs *vfs, const char *path, kv_slice bytes) {
    char name[PATH_BYTES];
    int fd = open_beside(vfs, path, name);
    if (fd < 0) return KV_EIO;
    int error = 0;
    if (kv_vfs_write_all(vfs, fd, bytes.ptr, bytes.len) < 0 || vfs->fsync(vfs, fd) < 0) error = errno;
    if (vfs->close(vfs, fd) < 0 && error == 0) error = errno;
    if (error == 0 && vfs->rename(vfs, name, path) < 0) error = errno;
    if (error != 0) {
        vfs->unlink(vfs, name);
        errno = error;
        return KV_EIO;
    }
    return vfs->fsync_dir(vfs, path) < 0 ? KV_EIO : KV_OK;
}
