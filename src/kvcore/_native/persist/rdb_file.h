/* An RDB file from its first byte to its checksum, one item at a time. Values are left to the caller, who reads or skips each before the next item.
 * What follows the checksum (a log, in files that have both) is not touched. */
#ifndef KV_PERSIST_RDB_FILE_H
#define KV_PERSIST_RDB_FILE_H

#include "persist/rdb_in.h"

typedef enum kv_rdb_item_kind {
    KV_RDB_ITEM_KEY,      /* a value of `type` follows: kv_rdb_read_value or kv_rdb_skip_value */
    KV_RDB_ITEM_FACT,     /* name, value: something about the file, a hint */
    KV_RDB_ITEM_SIZES,    /* keys, expires: of the database `db`, a hint */
    KV_RDB_ITEM_FUNCTION, /* value: the source of a library */
    KV_RDB_ITEM_MODULE,   /* name: data of a module, which have been skipped */
    KV_RDB_ITEM_END       /* the checksum is right, or there is none */
} kv_rdb_item_kind;

typedef struct kv_rdb_item {
    kv_rdb_item_kind kind;
    uint8_t type;
    uint8_t frequency; /* LFU counter, 0 when not given */
    unsigned db;
    int64_t expire_ms; /* < 0: none */
    int64_t idle_s;    /* since the last access; < 0: not given */
    kv_slice name;     /* a key's, too; this and `value` are good until the next item */
    kv_slice value;
    uint64_t keys, expires;
} kv_rdb_item;

typedef struct kv_rdb_file {
    kv_rdb_in *in;
    int version; /* 1 .. 12, or 80 */
    unsigned db;
    bool sums; /* the checksum is to be compared */
    bool
        any_type; /* keys of types that cannot be read are handed out, too: the caller knows where their values end. May be set after the beginning */
    kv_buf name, value;
    char module[10];
} kv_rdb_file;

/* Reads the head. False: see in->status, in->problem; KV_EINVAL for a version that is not known. */
bool kv_rdb_file_begin(kv_rdb_file *file, kv_rdb_in *in, bool sums);
bool kv_rdb_file_next(kv_rdb_file *file, kv_rdb_item *out);
void kv_rdb_file_end(kv_rdb_file *file);

/* Goes past a module's value, behind its type byte; *name (10 bytes, the last one 0) is its type's. */
bool kv_rdb_skip_module(kv_rdb_in *in, char name[10]);

/* Do these bytes begin as an RDB file does? Five are enough. */
bool kv_rdb_is_magic(kv_slice bytes);

#endif
