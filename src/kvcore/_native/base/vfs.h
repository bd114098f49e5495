/* Files: the only door to the file system, so that tests can fail, tear and drop writes. A kv_vfs is a table of functions; kv_vfs_posix
 * is the real one. Calls return what POSIX returns: -1 with errno set on failure. No call is made under a shard lock. */
#ifndef KV_BASE_VFS_H
#define KV_BASE_VFS_H

#include "base/buf.h"
#include <sys/types.h>

typedef struct kv_vfs kv_vfs;
struct kv_vfs {
    void *ctx;                                                                  /* the implementation's own; the default has none */
    int (*open)(const kv_vfs *vfs, const char *path, int flags, unsigned mode); /* O_CLOEXEC is always added */
    int (*close)(const kv_vfs *vfs, int fd);
    ssize_t (*read)(const kv_vfs *vfs, int fd, void *out, size_t len);          /* may be short; EINTR is retried inside */
    ssize_t (*write)(const kv_vfs *vfs, int fd, const void *bytes, size_t len); /* may be short; EINTR is retried inside */
    int (*fsync)(const kv_vfs *vfs, int fd);
    int (*fdatasync)(const kv_vfs *vfs, int fd);
    int (*rename)(const kv_vfs *vfs, const char *from, const char *to);
    int (*unlink)(const kv_vfs *vfs, const char *path);
    int (*ftruncate)(const kv_vfs *vfs, int fd, int64_t size);
    int64_t (*size)(const kv_vfs *vfs, int fd);            /* of a regular file, bytes; -1 with EINVAL for anything else */
    int (*fsync_dir)(const kv_vfs *vfs, const char *path); /* the directory that holds `path`: makes a rename last */
    /* NULL where there is no need of them: */
    int (*mkdir)(const kv_vfs *vfs, const char *path, unsigned mode);
    int (*seek)(const kv_vfs *vfs, int fd, int64_t offset); /* where the next read begins, from the beginning of the file */
};

extern const kv_vfs kv_vfs_posix;

/* Writes everything, over short writes. -1: errno, an unknown part is written. */
int kv_vfs_write_all(const kv_vfs *vfs, int fd, const void *bytes, size_t len);

/* Appends the whole file to `out`. KV_ENOTFOUND: no such file; KV_EIO: errno; KV_ETOOBIG: over `max` bytes; KV_ENOMEM. On failure out's
 * length is as before. */
kv_status kv_vfs_read_file(const kv_vfs *vfs, const char *path, size_t max, kv_buf *out);

/* Replaces (or creates) a file so that after a crash either the old or the new bytes are there: a temporary file beside it, fsync,
 * rename, fsync of the directory. Mode 0600. KV_EIO: errno; the old file is untouched and the temporary one gone (when only the
 * directory's fsync failed, the new bytes are in place but may not outlive a crash). */
kv_status kv_vfs_replace_file(const kv_vfs *vfs, const char *path, kv_slice bytes);

#endif
