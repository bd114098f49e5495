/* Moving a container's blocks out of closed slabs (base/arena.h), a piece at a time. The container remembers where it is and in which round it was
 * finished, so that it can be left and come back to, and change in between. */
#ifndef KV_TYPES_COMPACT_H
#define KV_TYPES_COMPACT_H

#include "ds/table.h"
#include "types/value.h"

/* One step of a round. */
typedef struct kv_compact {
    uint32_t round;  /* from 1 on */
    size_t budget;   /* what may still be looked at, in blocks */
    bool unfinished; /* the budget ran out inside a container */
} kv_compact;

/* In each container that takes more than one step. */
typedef struct kv_compact_at {
    uint64_t cursor; /* of kv_table_relocate */
    uint32_t round;  /* the last one that is done */
} kv_compact_at;

/* Goes on with a container's table: `fn` moves an entry. */
void kv_compact_table(kv_compact *step, kv_compact_at *at, kv_table *table, kv_table_move_fn fn, void *arg);

/* A value that is one block, or a table: what u points to is moved where it should be. Others stay. */
void kv_set_compact(kv_value *v, kv_arena *a, kv_compact *step);
void kv_hash_compact(kv_value *v, kv_arena *a, kv_compact *step);

#endif
