/* A lock file is removed by its holder, while it holds it. So between opening it and locking it another process may have removed it: what was locked is
 * then a file without a name, which excludes nobody. Whoever has got the lock compares what the name means with what it holds, and tries again. */
#define _GNU_SOURCE 1
#include "persist/filelock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 100, TEXT = 320 };

kv_status kv_resolve_path(const char *path, kv_buf *out) {
    char resolved[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= PATH_MAX) {
        errno = len == 0 ? ENOENT : ENAMETOOLONG;
        return KV_EIO;
    }
    kv_slice last = KV_LIT("");
    if (realpath(path, resolved) == NULL) {
        struct stat facts;
        if (errno != ENOENT || lstat(path, &facts) == 0) return KV_EIO; /* a link to nowhere stays an error */
        const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
        last = kv_slice_cstr(name);
        char parent[PATH_MAX];
        size_t parent_len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
        memcpy(parent, slash == NULL ? "." : path, parent_len);
        parent[parent_len] = 0;
        if (last.len == 0 || realpath(parent, resolved) == NULL) {
            errno = ENOENT;
            return KV_EIO;
        }
    }
    kv_slice front = kv_slice_cstr(resolved);
    kv_buf_add_slice(out, front);
    if (last.len > 0 && front.len > 1) kv_buf_add_byte(out, '/');
    kv_buf_add_slice(out, last);
    kv_buf_add_byte(out, 0);
    if (out->failed) return KV_ENOMEM;
    out->len--;
    return KV_OK;
}

bool kv_filelock_file(int fd) { return flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK; }

/* Is the locked file the one that has the name? */
static bool is_named(int fd, const char *path) {
    struct stat held, named;
    return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

static void explain_holder(int fd, const char *path, kv_buf *reason) {
    char text[TEXT];
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    text[len < 0 ? 0 : len] = 0;
    text[strcspn(text, "\n")] = 0;
    char *end;
    long pid = strtol(text, &end, 10);
    if (pid == (long)getpid()) {
        kv_buf_printf(reason, "'%s' is open already in this process: close it there, or share the object", path);
    } else if (end != text && *end == ' ') {
        kv_buf_printf(reason, "'%s' is in use by process %ld on host %s: close it there first, or open it for reading only", path, pid,
                      end + 1);
    } else {
        kv_buf_printf(reason, "'%s' is in use by another process: close it there first, or open it for reading only", path);
    }
}

/* The lock file's text; for people, so that failing to write it is no failure. */
static void sign(int fd) {
    char host[256], text[TEXT];
    if (gethostname(host, sizeof host) != 0) strcpy(host, "localhost");
    host[sizeof host - 1] = 0;
    int len = snprintf(text, sizeof text, "%ld %s\n", (long)getpid(), host);
    if (ftruncate(fd, 0) == 0 && len > 0) {
        ssize_t put = pwrite(fd, text, (size_t)len, 0);
        (void)put;
    }
}

static kv_status take(kv_filelock *lock, const char *path, kv_buf *reason) {
    for (int i = 0; i < TRIES; i++) {
        int fd;
        do fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        while (fd < 0 && errno == EINTR);
        if (fd < 0) {
            kv_buf_printf(reason, "cannot open the lock file '%s': %s", lock->path, strerror(errno));
            return errno == ENOENT ? KV_ENOTFOUND : KV_EIO;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int error = errno;
            if (error == EWOULDBLOCK) explain_holder(fd, path, reason);
            else kv_buf_printf(reason, "cannot lock '%s': %s", lock->path, strerror(error));
            close(fd);
            errno = error;
            return error == EWOULDBLOCK ? KV_EEXISTS : KV_EIO;
        }
        if (is_named(fd, lock->path)) {
            sign(fd);
            lock->fd = fd;
            return KV_OK;
        }
        close(fd);
    }
    kv_buf_printf(reason, "cannot lock '%s': others take it all the time", lock->path);
    errno = EBUSY;
    return KV_EIO;
}

kv_status kv_filelock_take(kv_filelock *lock, kv_mem *mem, const char *path, kv_buf *reason) {
    *lock = (kv_filelock){.mem = mem, .fd = -1};
    kv_buf name;
    kv_buf_init(&name, mem);
    kv_status status = kv_resolve_path(path, &name);
    if (status == KV_EIO) {
        int error = errno;
        if (error == ENOENT) {
            kv_buf_printf(reason, "cannot open '%s': its directory does not exist, or it is a link to nowhere", path);
            status = KV_ENOTFOUND;
        } else {
            kv_buf_printf(reason, "cannot open '%s': %s", path, strerror(error));
        }
    }
    if (status == KV_OK) {
        kv_buf_add(&name, ".lock", 6); /* with its NUL */
        status = name.failed ? KV_ENOMEM : KV_OK;
    }
    if (status == KV_OK) {
        lock->path = (char *)name.ptr;
        status = take(lock, path, reason);
    }
    if (status == KV_OK) return KV_OK;
    lock->path = NULL;
    kv_buf_deinit(&name);
    return status;
}

void kv_filelock_drop(kv_filelock *lock) {
    if (lock->path == NULL) return;
    unlink(lock->path);
    close(lock->fd);
    kv_free(lock->mem, lock->path);
    lock->path = NULL;
}
