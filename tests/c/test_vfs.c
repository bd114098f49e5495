/* sources: base/vfs.c base/buf.c base/mem.c base/pages.c base/sync.c */
/* Whole files, read and replaced, on the real file system and on one whose n-th call fails. */
#include "base/vfs.h"
#include "check.h"
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Passes calls on, but fails call number `fail_at`, and writes one byte at a time when `tiny`. */
typedef struct faulty {
    int calls, fail_at;
    bool tiny;
} faulty;

static bool fails(const kv_vfs *vfs) {
    faulty *f = vfs->ctx;
    if (f->calls++ != f->fail_at) return false;
    errno = ENOSPC;
    return true;
}

static int f_open(const kv_vfs *vfs, const char *path, int flags, unsigned mode) {
    return fails(vfs) ? -1 : kv_vfs_posix.open(vfs, path, flags, mode);
}
static int f_close(const kv_vfs *vfs, int fd) {
    int rc = kv_vfs_posix.close(vfs, fd);
    return fails(vfs) ? -1 : rc;
}
static ssize_t f_read(const kv_vfs *vfs, int fd, void *out, size_t len) {
    return fails(vfs) ? -1 : kv_vfs_posix.read(vfs, fd, out, len < 3 ? len : 3);
}
static ssize_t f_write(const kv_vfs *vfs, int fd, const void *bytes, size_t len) {
    return fails(vfs) ? -1 : kv_vfs_posix.write(vfs, fd, bytes, ((faulty *)vfs->ctx)->tiny ? 1 : len);
}
static int f_fsync(const kv_vfs *vfs, int fd) { return fails(vfs) ? -1 : kv_vfs_posix.fsync(vfs, fd); }
static int f_rename(const kv_vfs *vfs, const char *from, const char *to) { return fails(vfs) ? -1 : kv_vfs_posix.rename(vfs, from, to); }
static int f_fsync_dir(const kv_vfs *vfs, const char *path) { return fails(vfs) ? -1 : kv_vfs_posix.fsync_dir(vfs, path); }

static char dir[64], path[96];
static kv_mem mem;

static bool file_is(kv_slice expected) {
    kv_buf buf;
    kv_buf_init(&buf, &mem);
    kv_buf_add_byte(&buf, '#');
    bool same = kv_vfs_read_file(&kv_vfs_posix, path, 1 << 20, &buf) == KV_OK && buf.ptr[0] == '#' &&
                kv_slice_eq(kv_slice_of(buf.ptr + 1, buf.len - 1), expected);
    kv_buf_deinit(&buf);
    return same;
}

static int files_in_dir(void) {
    int count = 0;
    DIR *handle = opendir(dir);
    CHECK(handle != NULL);
    for (struct dirent *entry; (entry = readdir(handle)) != NULL;) count += entry->d_name[0] != '.';
    closedir(handle);
    return count;
}

static void real_files(void) {
    kv_buf buf;
    struct stat info;
    kv_buf_init(&buf, &mem);
    CHECK(kv_vfs_read_file(&kv_vfs_posix, path, 100, &buf) == KV_ENOTFOUND);
    CHECK(kv_vfs_replace_file(&kv_vfs_posix, path, KV_LIT("first")) == KV_OK && file_is(KV_LIT("first")));
    CHECK(stat(path, &info) == 0 && (info.st_mode & 0777) == 0600);
    CHECK(kv_vfs_replace_file(&kv_vfs_posix, path, KV_LIT("second one")) == KV_OK && file_is(KV_LIT("second one")));
    CHECK(kv_vfs_replace_file(&kv_vfs_posix, path, KV_LIT("")) == KV_OK && file_is(KV_LIT("")));
    CHECK(kv_vfs_replace_file(&kv_vfs_posix, path, KV_LIT("0123456789")) == KV_OK);
    CHECK(kv_vfs_read_file(&kv_vfs_posix, path, 9, &buf) == KV_ETOOBIG && buf.len == 0);
    CHECK(kv_vfs_read_file(&kv_vfs_posix, path, 10, &buf) == KV_OK && buf.len == 10);
    CHECK(kv_vfs_read_file(&kv_vfs_posix, dir, 10, &buf) == KV_EIO && buf.len == 10);
    CHECK(kv_vfs_replace_file(&kv_vfs_posix, "/nonexistent-kv/x", KV_LIT("x")) == KV_EIO && errno == ENOENT);
    CHECK(files_in_dir() == 1);
    kv_buf_deinit(&buf);
}

static void failing_calls(void) {
    faulty state = {0};
    kv_vfs vfs = kv_vfs_posix;
    vfs.ctx = &state;
    vfs.open = f_open, vfs.close = f_close, vfs.read = f_read, vfs.write = f_write;
    vfs.fsync = f_fsync, vfs.rename = f_rename, vfs.fsync_dir = f_fsync_dir;
    for (int tiny = 0; tiny < 2; tiny++) {
        kv_status status = KV_EIO;
        for (int n = 0; status != KV_OK; n++) {
            CHECK(n < 100 && kv_vfs_replace_file(&kv_vfs_posix, path, KV_LIT("old")) == KV_OK);
            state = (faulty){0, n, tiny == 1};
            status = kv_vfs_replace_file(&vfs, path, KV_LIT("new bytes"));
            if (status != KV_OK) CHECK(status == KV_EIO && errno == ENOSPC && (file_is(KV_LIT("old")) || state.calls == n + 1));
            CHECK(files_in_dir() == 1); /* no temporary file stays */
        }
        CHECK(file_is(KV_LIT("new bytes")));
    }
    kv_buf buf;
    kv_buf_init(&buf, &mem);
    kv_status status = KV_EIO;
    for (int n = 0; status != KV_OK; n++) {
        state = (faulty){0, n, false};
        buf.len = 0;
        status = kv_vfs_read_file(&vfs, path, 100, &buf);
        CHECK(n < 100 && (status == KV_OK || (status == KV_EIO && errno == ENOSPC && buf.len == 0)));
    }
    CHECK(buf.len == 9);
    kv_buf_deinit(&buf);
}

int main(void) {
    kv_mem_init(&mem);
    snprintf(dir, sizeof dir, "/tmp/kv-test-vfs-%ld", (long)getpid());
    CHECK(mkdir(dir, 0700) == 0);
    snprintf(path, sizeof path, "%s/file.conf", dir);
    real_files();
    failing_calls();
    unlink(path);
    CHECK(rmdir(dir) == 0 && atomic_load(&mem.used) == 0);
    puts("ok vfs");
    return 0;
}
