/* A walk over a file that a store may be loaded from, one item at a time: RDB, a log, or both behind each other. No store is built: a value is read,
 * checked through and through, described, and dropped before the next one. Memory: one value, the source's window, and with `unique` 16 to 40 bytes a key. */
#ifndef KV_PERSIST_INSPECT_H
#define KV_PERSIST_INSPECT_H

#include "persist/aof_read.h"
#include "persist/load_batch.h"
#include "persist/rdb_file.h"
#include "persist/source.h"

typedef enum kv_inspect_kind {
    KV_INSPECT_END,      /* of the file, at a boundary; stays */
    KV_INSPECT_KEY,      /* name, db, type and all that is known about the value */
    KV_INSPECT_FACT,     /* name, value: about the file */
    KV_INSPECT_FUNCTION, /* value: a library's source */
    KV_INSPECT_MODULE,   /* name: data of a module, skipped */
    KV_INSPECT_SNAPSHOT, /* the snapshot ended, its checksum is right; a log may follow */
    KV_INSPECT_COMMAND,  /* words, of the log */
    KV_INSPECT_TORN,     /* the log's end was being written when the system stopped: may be cut off at `good`. Stays, as the next ones do */
    KV_INSPECT_CORRUPT,  /* wrong at `at`: `problem` */
    KV_INSPECT_UNSUPPORTED, /* sound as far as that can be known, but of a kind that is not read */
    KV_INSPECT_FAILED       /* the reading failed (errno in source.error), or memory: nothing is known about the file */
} kv_inspect_kind;

typedef struct kv_inspect_item {
    kv_inspect_kind kind;
    uint64_t at, bytes; /* in the file: where it begins, its length with what stands before it (expiry, database) */
    uint64_t good;      /* the end, or a problem: all before is whole */
    unsigned db;
    kv_slice name, value;
    int64_t expire_ms, idle_s; /* < 0: none, not known */
    uint8_t frequency;
    uint8_t form;         /* kv_rdb_type: how the file has it */
    const kv_value *held; /* the entry, until the next item; NULL: of a type that is not read, or empty, or values are not wanted */
    uint64_t elements;    /* of a stream: entries; 0: not known */
    char module[10];      /* whose type it is, when form is KV_RDB_MODULE */
    const kv_slice *words;
    size_t word_count;
    bool group_ends; /* this command is the last of those to be applied as a whole */
    const char *problem;
} kv_inspect_item;

typedef struct kv_inspect_options {
    bool values;   /* read them, for `held` and `elements`; else they are passed by */
    bool unique;   /* a key that comes twice is damage */
    bool any_type; /* streams and modules are handed out without their values; else UNSUPPORTED */
} kv_inspect_options;

typedef struct kv_inspect {
    kv_source source;
    kv_inspect_item item;
    bool has_snapshot; /* the file begins as RDB does */
    int version;       /* its RDB version */
    kv_aof_reader log; /* behind it */
    /* its own */
    kv_inspect_options options;
    kv_mem *mem;
    int part; /* what is being read */
    kv_rdb_file rdb;
    kv_load load;
    kv_store store; /* of one shard, for one key */
    bool has_store;
    uint64_t hash; /* of the key in it */
    kv_value *held;
    struct kv_seen *seen;
    size_t group, command; /* of the batch: the next one */
} kv_inspect;

/* KV_ENOTFOUND, KV_EIO (errno), KV_ENOMEM: nothing is to be closed. */
kv_status kv_inspect_open(kv_inspect *inspect, const kv_vfs *vfs, kv_mem *mem, const char *path, const kv_inspect_options *options);
void kv_inspect_close(kv_inspect *inspect);
/* The next item, which lives until the next call. O(its bytes). */
const kv_inspect_item *kv_inspect_next(kv_inspect *inspect);

#endif
