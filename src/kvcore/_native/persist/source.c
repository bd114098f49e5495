/* The window slides: what was not read yet moves to its front, then it is filled from the file.
 *
 *     file      |.................|==== read ====|==== not yet ====|.................|
 *     window                      ^ from         ^ in.at           ^ in.end           in.beyond: the rest, as far as `size` says
 *
 * An error of the file system is told apart from an end that comes too early: the first says nothing about the file's contents. */
#include "persist/source.h"

#include <errno.h>
#include <fcntl.h>

enum { WINDOW = 256 * 1024 };

static bool grow(kv_source *source, size_t need) {
    if (need <= source->cap) return true;
    size_t cap = need + need / 2;
    uint8_t *fresh = kv_realloc(source->in.mem, source->window, cap);
    if (fresh == NULL) return false;
    source->window = fresh;
    source->cap = cap;
    return true;
}

/* Has at least `need` bytes in the window, and as many more as one read brings. */
static bool fill(kv_source *source, size_t need) {
    while (source->len < need) {
        size_t room = source->cap - source->len;
        uint64_t left = source->size - source->from - source->len;
        ssize_t got = source->vfs->read(source->vfs, source->fd, source->window + source->len, left < room ? (size_t)left : room);
        if (got < 0) {
            source->error = errno;
            return kv_rdb_fail(&source->in, KV_EIO, "the file cannot be read");
        }
        if (got == 0) return kv_rdb_fail(&source->in, KV_ECORRUPT, "the file became shorter while it was being read");
        source->len += (size_t)got;
    }
    return true;
}

static bool more(kv_rdb_in *in, size_t need) {
    kv_source *source = in->arg;
    kv_rdb_sum(in);
    size_t passed = (size_t)(in->at - source->window), rest = source->len - passed;
    memmove(source->window, in->at, rest);
    source->from += passed;
    source->len = rest;
    bool good = grow(source, need < WINDOW ? WINDOW : need) || kv_rdb_fail(in, KV_ENOMEM, "out of memory");
    good = good && fill(source, need);
    in->at = in->summed = source->window;
    in->end = source->window + source->len;
    in->beyond = source->size - source->from - source->len;
    return good;
}

kv_status kv_source_open(kv_source *source, const kv_vfs *vfs, kv_mem *mem, const char *path) {
    *source = (kv_source){.vfs = vfs, .cap = WINDOW};
    source->fd = vfs->open(vfs, path, O_RDONLY, 0);
    if (source->fd < 0) return errno == ENOENT ? KV_ENOTFOUND : KV_EIO;
    int64_t size = vfs->size(vfs, source->fd);
    source->error = size < 0 ? errno : 0;
    source->window = size < 0 ? NULL : kv_malloc(mem, WINDOW);
    if (source->window == NULL) {
        vfs->close(vfs, source->fd);
        errno = source->error;
        return size < 0 ? KV_EIO : KV_ENOMEM;
    }
    source->size = (uint64_t)size;
    kv_rdb_in_init(&source->in, mem, kv_slice_of(source->window, 0));
    source->in.beyond = source->size;
    source->in.more = more;
    source->in.arg = source;
    return KV_OK;
}

void kv_source_close(kv_source *source) {
    kv_free(source->in.mem, source->window);
    source->vfs->close(source->vfs, source->fd);
}
