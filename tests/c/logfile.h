/* For tests of the log: a file in memory as a kv_vfs, and a naive maker of logs that knows where each group and each line ends. */
#ifndef KV_TESTS_LOGFILE_H
#define KV_TESTS_LOGFILE_H

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/vfs.h"
#include "check.h"
#include "persist/aof_line.h"
#include "persist/crc32c.h"
#include "persist/source.h"

typedef struct memfile {
    kv_slice bytes;
    size_t at, piece; /* at most so many bytes a read; 0: any */
    int fail_at;      /* the read that fails; < 0: none */
} memfile;

static inline int memfile_open(const kv_vfs *vfs, const char *path, int flags, unsigned mode) {
    (void)path, (void)flags, (void)mode;
    ((memfile *)vfs->ctx)->at = 0;
    return 77;
}
static inline int memfile_close(const kv_vfs *vfs, int fd) {
    (void)vfs;
    CHECK(fd == 77);
    return 0;
}
static inline ssize_t memfile_read(const kv_vfs *vfs, int fd, void *out, size_t len) {
    memfile *f = vfs->ctx;
    CHECK(fd == 77);
    if (f->fail_at >= 0 && f->fail_at-- == 0) {
        errno = EIO;
        return -1;
    }
    size_t n = f->bytes.len - f->at;
    if (n > len) n = len;
    if (f->piece > 0 && n > f->piece) n = f->piece;
    if (n > 0) memcpy(out, f->bytes.ptr + f->at, n);
    f->at += n;
    return (ssize_t)n;
}
static inline int64_t memfile_size(const kv_vfs *vfs, int fd) {
    (void)fd;
    return (int64_t)((memfile *)vfs->ctx)->bytes.len;
}
static inline kv_vfs memfile_vfs(memfile *file) {
    return (kv_vfs){.ctx = file, .open = memfile_open, .close = memfile_close, .read = memfile_read, .size = memfile_size};
}

/* ---- a log ---- */

enum { LOG_MARKS = 4096 };

typedef struct logmaker {
    kv_buf bytes;
    size_t ends[LOG_MARKS], groups;                          /* where groups end */
    size_t lines[LOG_MARKS], covered[LOG_MARKS], line_count; /* where lines end, and how many groups are before them */
    size_t origin, last_line, synced;
    uint64_t seq;
} logmaker;

static inline void log_word(kv_buf *out, kv_slice text) {
    kv_buf_printf(out, "$%zu\r\n", text.len);
    kv_buf_add_slice(out, text);
    kv_buf_add(out, "\r\n", 2);
}

/* A command of words that spaces divide; @n stands for n bytes. */
static inline void log_command(kv_buf *out, const char *words) {
    char text[512];
    kv_slice parts[64];
    static const char filler[65536] = "filler, with zeros, and \r\n in it: *1\r\n$4\r\nPING\r\n";
    int count = 0;
    CHECK(strlen(words) < sizeof text);
    strcpy(text, words);
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word != NULL && count < 64; word = strtok_r(NULL, " ", &rest)) {
        size_t n = word[0] == '@' ? (size_t)atol(word + 1) : strlen(word);
        CHECK(n <= sizeof filler);
        parts[count++] = kv_slice_of(word[0] == '@' ? filler : word, n);
    }
    kv_buf_printf(out, "*%d\r\n", count);
    for (int i = 0; i < count; i++) log_word(out, parts[i]);
}

static inline void log_group_ends(logmaker *log) {
    CHECK(log->groups < LOG_MARKS);
    log->ends[log->groups++] = log->bytes.len;
    log->seq++;
}

static inline void log_line(logmaker *log) {
    char text[KV_AOF_LINE_MAX];
    bool first = log->line_count == 0;
    if (first) log->origin = log->last_line = log->synced = log->bytes.len;
    kv_aof_line line = {.seq = log->seq, .off = log->bytes.len - log->origin, .sync = log->synced - log->origin};
    uint32_t crc = line.off == 0 ? 0 : kv_crc32c(0, log->bytes.ptr + log->last_line, log->bytes.len - log->last_line);
    kv_buf_add(&log->bytes, text, kv_aof_line_format(text, &line, crc));
    log->last_line = log->lines[log->line_count] = log->bytes.len;
    log->covered[log->line_count++] = log->groups;
    CHECK(log->line_count < LOG_MARKS);
}

#endif
