/* A value: the 16 bytes that every key's entry starts with. What it holds is told by type and encoding; who may touch it, by the shard that
 * owns the key. Types know no key, expiry, lock or client: their functions get a value and the arena to allocate from. */
#ifndef KV_TYPES_VALUE_H
#define KV_TYPES_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum kv_type { KV_STRING, KV_LIST, KV_SET, KV_ZSET, KV_HASH, KV_STREAM, KV_TYPE_COUNT } kv_type;

/* Encodings, named by what OBJECT ENCODING reports for them. */
typedef enum kv_enc {
    KV_ENC_INT,       /* string: u.num */
    KV_ENC_EMBSTR,    /* string: bytes inside the entry (flag KV_VALUE_EMBEDDED), no u */
    KV_ENC_RAW,       /* string: u.ptr -> kv_str */
    KV_ENC_LISTPACK,  /* list, set, zset, hash: u.ptr -> listpack bytes */
    KV_ENC_INTSET,    /* set: u.ptr -> intset bytes */
    KV_ENC_QUICKLIST, /* list: u.ptr -> kv_quicklist */
    KV_ENC_HASHTABLE, /* set, hash: u.ptr -> table */
    KV_ENC_SKIPLIST,  /* zset: u.ptr -> table + counted B+ tree */
    KV_ENC_STREAM,
    KV_ENC_COUNT
} kv_enc;

enum {                        /* kv_value.flags */
       KV_VALUE_EMBEDDED = 1, /* a string whose bytes lie in the entry; u is not there */
       KV_VALUE_EXPIRES = 2   /* the entry has an expiry (the store's business, as are the other bits) */
};

typedef struct kv_value {
    uint8_t type : 4; /* kv_type */
    uint8_t enc : 4;  /* kv_enc */
    uint8_t flags;
    uint16_t version; /* epoch of the last change, see concurrency: begin_write */
    uint32_t
        access; /* low 24 bits: LRU seconds, or LFU minutes << 8 | counter; high 8: the store's (length of the key). Under the shard lock */
    union {
        void *ptr;
        int64_t num;
    } u;
} kv_value;

/* The limits that decide when a small form becomes a big one (CONFIG hash-max-listpack-entries and friends). A copy is taken a command. */
typedef struct kv_limits {
    size_t hash_max_listpack_entries, hash_max_listpack_value;
    size_t set_max_intset_entries, set_max_listpack_entries, set_max_listpack_value;
    size_t zset_max_listpack_entries, zset_max_listpack_value;
    int64_t list_max_listpack_size;                     /* >0 entries a node, -1..-5: 4, 8, 16, 32, 64 KiB */
    int64_t list_compress_depth, list_packed_threshold; /* threshold: items so large are nodes of their own; 0: as the size says */
} kv_limits;

#endif
