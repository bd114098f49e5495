/* The manifest of an append-only directory: which files make up the log, in which order. A line a file:
 *
 *     file appendonly.aof.3.base.rdb seq 3 type b
 *
 * b: the base, at most one; i: a part of the log, numbers ascend; h: not needed any more, to be removed. Words may stand in quotes, words that are not
 * known are passed by, lines that begin with # are comments. */
#ifndef KV_PERSIST_MANIFEST_H
#define KV_PERSIST_MANIFEST_H

#include "base/buf.h"
#include "base/vfs.h"

enum { KV_MANIFEST_LINE_MAX = 1024 }; /* bytes of a line, its end included */

typedef struct kv_manifest_file {
    char *name;
    int64_t number;
    char type; /* 'b', 'i', 'h' */
} kv_manifest_file;

/* Files stand in the order base, parts, history. */
typedef struct kv_manifest {
    kv_mem *mem;
    kv_manifest_file *files;
    size_t count, cap;
} kv_manifest;

void kv_manifest_init(kv_manifest *m, kv_mem *mem);
void kv_manifest_deinit(kv_manifest *m);
/* KV_ENOMEM: `to` is as it was, that is: empty. */
kv_status kv_manifest_copy(const kv_manifest *from, kv_manifest *to);

/* The base, or NULL. */
const kv_manifest_file *kv_manifest_base(const kv_manifest *m);
/* The highest number of a type in use; 0: none. */
int64_t kv_manifest_last(const kv_manifest *m, char type);

/* In its place among its type. KV_EEXISTS: a second base, or a part whose number does not ascend; KV_EINVAL: no plain file name; KV_ETOOBIG: its line would
 * be too long; KV_ENOMEM. */
kv_status kv_manifest_add(kv_manifest *m, kv_slice name, int64_t number, char type);
/* What was base and parts up to number `last` becomes history. */
void kv_manifest_retire(kv_manifest *m, int64_t last);
/* Removes the file at this index from the list. */
void kv_manifest_remove(kv_manifest *m, size_t index);

/* Into an empty one. KV_ECORRUPT: `reason` says which line and why. */
kv_status kv_manifest_parse(kv_manifest *m, kv_slice text, kv_buf *reason);
void kv_manifest_print(const kv_manifest *m, kv_buf *out);
bool kv_manifest_check(const kv_manifest *m);

#endif
