/* The numbers of the RDB format: what the bytes of a file, and of a DUMP payload, stand for. */
#ifndef KV_PERSIST_RDB_H
#define KV_PERSIST_RDB_H

#include <stdint.h>

/* Versions. 11 is read by Redis from 7.2 and by every Valkey; 80 (with the magic VALKEY) is written when a hash has field expiries, for nothing older
 * can hold them. 12 is Redis 7.4's. */
enum { KV_RDB_OLDEST = 1, KV_RDB_COMMON = 11, KV_RDB_REDIS_MAX = 12, KV_RDB_VALKEY = 80 };

typedef enum kv_rdb_type {
    KV_RDB_STRING = 0,
    KV_RDB_LIST = 1,   /* items */
    KV_RDB_SET = 2,    /* members */
    KV_RDB_ZSET = 3,   /* members, scores as text */
    KV_RDB_HASH = 4,   /* fields, values */
    KV_RDB_ZSET_2 = 5, /* members, scores as 8 bytes */
    KV_RDB_MODULE_OLD = 6,
    KV_RDB_MODULE = 7,
    KV_RDB_HASH_ZIPMAP = 9,
    KV_RDB_LIST_ZIPLIST = 10,
    KV_RDB_SET_INTSET = 11,
    KV_RDB_ZSET_ZIPLIST = 12,
    KV_RDB_HASH_ZIPLIST = 13,
    KV_RDB_LIST_QUICKLIST = 14, /* ziplists */
    KV_RDB_STREAM = 15,
    KV_RDB_HASH_LISTPACK = 16,
    KV_RDB_ZSET_LISTPACK = 17,
    KV_RDB_LIST_QUICKLIST_2 = 18, /* listpacks and plain items */
    KV_RDB_STREAM_2 = 19,
    KV_RDB_SET_LISTPACK = 20,
    KV_RDB_STREAM_3 = 21,
    KV_RDB_HASH_TTL = 22,          /* Valkey: fields, values, times; something else in Redis */
    KV_RDB_HASH_TTL_REDIS = 24,    /* Redis: times, fields, values */
    KV_RDB_HASH_LISTPACK_TTL = 25, /* Redis: fields, values, times */
    KV_RDB_TYPES
} kv_rdb_type;

typedef enum kv_rdb_opcode {
    KV_RDB_OP_SLOT_INFO = 244,
    KV_RDB_OP_FUNCTION = 245,
    KV_RDB_OP_FUNCTION_OLD = 246,
    KV_RDB_OP_MODULE_AUX = 247,
    KV_RDB_OP_IDLE = 248,      /* seconds since the key was used */
    KV_RDB_OP_FREQ = 249,      /* its LFU counter */
    KV_RDB_OP_AUX = 250,       /* a name and a value about the file */
    KV_RDB_OP_RESIZE_DB = 251, /* how many keys, and keys with an expiry, the database has */
    KV_RDB_OP_EXPIRE_MS = 252,
    KV_RDB_OP_EXPIRE_S = 253,
    KV_RDB_OP_SELECT_DB = 254,
    KV_RDB_OP_END = 255
} kv_rdb_opcode;

enum { KV_RDB_PLAIN = 1, KV_RDB_PACKED = 2 }; /* nodes of KV_RDB_LIST_QUICKLIST_2 */

/* First bytes of a length: two bits say how it goes on. */
enum {
    KV_RDB_LEN_6 = 0x00,
    KV_RDB_LEN_14 = 0x40,
    KV_RDB_LEN_32 = 0x80,
    KV_RDB_LEN_64 = 0x81,
    KV_RDB_SPECIAL = 0xc0, /* a string that is kept in another way: */
    KV_RDB_INT_8 = 0xc0,
    KV_RDB_INT_16 = 0xc1,
    KV_RDB_INT_32 = 0xc2,
    KV_RDB_LZF = 0xc3
};

#endif
