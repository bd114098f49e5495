/* A big value on its way into a snapshot, a piece at a time, while its key goes on changing (private to the snapshot).
 *
 * What the container holds at the beginning is what is saved. A table (hash, set, sorted set) is given bucket by bucket, by the reader's turn or before its
 * first change; of a list the chain of nodes is remembered, and a node is copied before its first change; a string is copied to the end by whoever
 * wants to change it in place. So no writer waits but for a bucket or a node, or a string. When the key goes the container stays until it is saved. */
#ifndef KV_PERSIST_SAVING_H
#define KV_PERSIST_SAVING_H

#include "persist/snapshot_state.h"
#include "store/pin.h"

typedef struct kv_saving_copy {
    const kv_ql_node *node; /* only compared */
    kv_piece *piece;
} kv_saving_copy;

typedef struct kv_saving {
    kv_pin pin; /* first: the pin's reader is the saving */
    struct kv_saving *next;
    kv_snapshot_state *state;
    kv_pieces pieces; /* written, not yet taken. Under the lock, as is the rest */
    bool pinned;      /* false: all is written */
    bool expiries;
    size_t charged; /* bytes kept besides the pieces */
    kv_table_watch table;
    uint64_t *seen;
    kv_ql_watch list;
    const kv_ql_node **nodes; /* as they were chained; dead where there is a copy */
    size_t node_count, at;    /* at: of nodes, or bytes of a string, written */
    kv_saving_copy *copies;   /* by address; a power of two of places */
    size_t places;
} kv_saving;

/* Begins: the key is written to its pieces, and the container watched. `goes`: the key is about to. NULL: no memory, nothing was done. Shard locked. */
kv_saving *kv_saving_new(kv_snapshot_state *s, kv_keydb *db, kv_value *v, bool goes);
/* Writes on to the end, giving the lock up in between, and frees it. No lock held. */
void kv_saving_finish(kv_saving *saving);

#endif
