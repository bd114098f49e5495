/* Who may write a file: a lock file beside it, which names its holder, held with flock for as long as the file is open. It excludes others in the same
 * process, too, because flock belongs to the opening and not to the process. Symbolic links are followed first, so that a file has one lock however
 * it is named; the file itself is locked as well (kv_filelock_file), which covers hard links. */
#ifndef KV_PERSIST_FILELOCK_H
#define KV_PERSIST_FILELOCK_H

#include "base/buf.h"

typedef struct kv_filelock {
    kv_mem *mem;
    char *path; /* of the lock file; NULL: nothing is held */
    int fd;
} kv_filelock;

/* Takes the lock of `path`, a file that need not exist in a directory that has to: "<path>.lock", 0600. KV_EEXISTS: somebody has it; KV_ENOTFOUND: there
 * is no such directory; KV_EIO: errno; KV_ENOMEM. `reason` says what to do. */
kv_status kv_filelock_take(kv_filelock *lock, kv_mem *mem, const char *path, kv_buf *reason);
/* Removes the lock file and gives the lock back. Nothing held is fine. */
void kv_filelock_drop(kv_filelock *lock);

/* Locks an open file itself until it is closed. False: it is open for writing elsewhere, under another name. */
bool kv_filelock_file(int fd);

/* The file that `path` means, links followed, as an absolute path that ends with NUL; it need not exist, its directory has to. KV_EIO: errno. */
kv_status kv_resolve_path(const char *path, kv_buf *out);

#endif
