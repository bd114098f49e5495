/* Values from RDB: one function a type, for every type that Redis 2.4 to 7.4 and Valkey to 9.1 write and kvcore has. The bytes are not trusted: what
 * comes out is valid through and through, or nothing comes out. */
#ifndef KV_PERSIST_RDB_READ_H
#define KV_PERSIST_RDB_READ_H

#include "base/arena.h"
#include "persist/rdb_in.h"
#include "types/value.h"

typedef struct kv_rdb_reader {
    kv_rdb_in *in;
    const kv_limits *limits; /* which decide the encodings: they need not be the writer's */
    int version;             /* of the file or payload: the same number can stand for different types */
    kv_buf field, value;     /* room for strings */
} kv_rdb_reader;
void kv_rdb_reader_init(kv_rdb_reader *r, kv_rdb_in *in, const kv_limits *limits, int version);
void kv_rdb_reader_deinit(kv_rdb_reader *r);

typedef struct kv_rdb_object {
    bool is_text;
    kv_slice text;  /* a string; borrowed, until the next call */
    kv_value value; /* else: type, enc, u in the arena; the caller's */
    bool empty;     /* a container without elements, which no key may hold: nothing is to be freed */
} kv_rdb_object;

/* Is the type known and supported? Else the source has failed, with the reason. */
bool kv_rdb_type_readable(kv_rdb_in *in, uint8_t type, int version);
/* Reads a value whose type byte was read. The arena's lock is held when others may use it. False: see in->status; nothing is left behind. */
bool kv_rdb_read_value(kv_rdb_reader *r, uint8_t type, kv_arena *arena, kv_rdb_object *out);
/* Goes past a value; looks at lengths only. */
bool kv_rdb_skip_value(kv_rdb_in *in, uint8_t type, int version);

/* Frees a container that was read and found no key. */
void kv_rdb_object_free(kv_rdb_object *object, kv_arena *arena);

#endif
