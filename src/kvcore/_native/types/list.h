/* Lists: one listpack while small, a quicklist afterwards (and back, when what is left fits half a node). The thresholds are those of
 * list-max-listpack-size, so OBJECT ENCODING says what Valkey says.
 *
 * `a` is the arena of the shard that holds the key; a quicklist remembers its own. Functions that change a list either do all of it or
 * fail with the list as it was. A list that became empty stays a valid (empty) list: removing the key is the caller's business. Slices
 * that are handed out point into the list (or into the scratch given with them) and end with its next change. */
#ifndef KV_TYPES_LIST_H
#define KV_TYPES_LIST_H

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"
#include "ds/listpack.h"
#include "ds/quicklist.h"
#include "types/value.h"

typedef enum kv_list_end { KV_LIST_HEAD, KV_LIST_TAIL } kv_list_end;

#define KV_LIST_SCRATCH KV_LP_SCRATCH

/* ---- life ---- */
/* Makes *v an empty list (type, enc and u; the rest of *v is untouched). KV_ENOMEM. */
kv_status kv_list_create(kv_value *v, kv_arena *a);
void kv_list_free(kv_value *v, kv_arena *a);
/* Frees up to *budget nodes and takes them off the budget; true when nothing is left (then *v must not be used). */
bool kv_list_free_some(kv_value *v, kv_arena *a, size_t *budget);
/* *dst becomes a copy in `a`; *src may live anywhere. KV_ENOMEM: *dst unchanged. O(bytes). */
kv_status kv_list_copy(const kv_value *src, kv_value *dst, kv_arena *a);
/* The key moves from one shard to another: a listpack is copied, a quicklist stays where it is and its arena becomes shared. Both locks
 * held. */
kv_status kv_list_rehome(kv_value *v, kv_arena *from, kv_arena *to);
bool kv_list_check(const kv_value *v);

/* ---- reading ---- */
size_t kv_list_length(const kv_value *v);
/* Bytes behind the value: exact for listpacks; quicklists look at `samples` nodes (0: all) and multiply. */
size_t kv_list_memory(const kv_value *v, size_t samples);
/* The item at either end. KV_ENOTFOUND: empty. KV_ENOMEM: as kv_list_iter_end. O(1). */
kv_status kv_list_peek(const kv_value *v, kv_list_end end, char scratch[KV_LIST_SCRATCH], kv_slice *out);

/* Walks from item number `index` (negative: from the end) towards the tail or the head. The list must not change meanwhile. Compressed nodes are read
 * through a copy that the walk owns: end every walk that was begun with kv_list_iter_end, also one that has run out. */
typedef enum kv_list_iter_state { KV_LIST_ITER_NEXT, KV_LIST_ITER_LAST, KV_LIST_ITER_DONE, KV_LIST_ITER_FAILED } kv_list_iter_state;
typedef struct kv_list_iter {
    const kv_value *v;
    bool backward;
    uint8_t state;      /* quicklist: is `quick` the item to be handed out next, or the one handed out last? */
    const uint8_t *pos; /* listpack: the next item */
    kv_ql_pos quick;
    char scratch[KV_LIST_SCRATCH];
} kv_list_iter;
void kv_list_iter_init(kv_list_iter *it, const kv_value *v, int64_t index, bool backward); /* out of range: yields nothing */
bool kv_list_next(kv_list_iter *it, kv_slice *out);                                        /* *out is good until the next call */
bool kv_list_next_equals(kv_list_iter *it, kv_slice text, bool *equal);                    /* the same, without making text of integers */
/* Frees what the walk holds, and with it what it handed out last. KV_ENOMEM: it ended early, as a node could not be expanded. */
static inline kv_status kv_list_iter_end(kv_list_iter *it) {
    if (it->state <= KV_LIST_ITER_LAST) kv_ql_pos_end(&it->quick);
    return it->state == KV_LIST_ITER_FAILED ? KV_ENOMEM : KV_OK;
}
/* A walk that is at item number `index` already, to read that one alone: KV_OK and *out, KV_ENOTFOUND or KV_ENOMEM. O(nodes + a node). */
kv_status kv_list_get(kv_list_iter *it, const kv_value *v, int64_t index, kv_slice *out);

/* ---- changing ---- */
/* Pushes items[0], then items[1], ... at one end. All or none. KV_ENOMEM. O(bytes). */
kv_status kv_list_push(kv_value *v, kv_arena *a, const kv_limits *limits, kv_list_end end, const kv_slice *items, size_t count);
/* Removes up to `count` items at one end. KV_ENOMEM. O(nodes passed). */
kv_status kv_list_drop(kv_value *v, kv_arena *a, const kv_limits *limits, kv_list_end end, size_t count);
/* Removes up to `count` items from number `index` (>= 0) on. KV_ENOMEM. */
kv_status kv_list_drop_range(kv_value *v, kv_arena *a, const kv_limits *limits, size_t index, size_t count);
/* Keeps `keep` items behind the first `skip`. On KV_ENOMEM the far end of a quicklist may already be cut when both ends were to be. */
kv_status kv_list_keep(kv_value *v, kv_arena *a, const kv_limits *limits, size_t skip, size_t keep);
/* KV_ERANGE: no such item. KV_ENOMEM. As in Valkey an item that would not fit a listpack converts the list even then. */
kv_status kv_list_set(kv_value *v, kv_arena *a, const kv_limits *limits, int64_t index, kv_slice item);
/* KV_ENOTFOUND: no item equals `pivot`. KV_ENOMEM. O(items up to the pivot). */
kv_status kv_list_insert(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice pivot, bool after, kv_slice item);
/* Removes items that equal `item`: the first `count` from the head, or from the tail when negative, or all (0). *removed: how many. On
 * KV_ENOMEM a part may have been removed from a quicklist: *removed says how many. */
kv_status kv_list_remove(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice item, int64_t count, size_t *removed);
/* Takes an item from one end of `src` and puts it at an end of `dst` (which may be the same list). KV_ENOTFOUND: src is empty.
 * KV_ENOMEM: both unchanged, unless `src` is a quicklist and even taking the pushed item back needed memory. The arenas may be the same. */
kv_status kv_list_move(kv_value *src, kv_arena *src_arena, kv_list_end from, kv_value *dst, kv_arena *dst_arena, kv_list_end to,
                       const kv_limits *limits);

/* ---- loading and saving: whole nodes ---- */
/* Appends a whole listpack node (an own copy is made; `lp` was validated deep) or, with plain, one big item. KV_ENOMEM. Only while
 * loading. */
kv_status kv_list_append_node(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice bytes, bool plain);
/* After the last kv_list_append_node: takes the small form when it is small enough (and there is memory for it). */
void kv_list_loaded(kv_value *v, kv_arena *a, const kv_limits *limits);
/* Walks nodes. `*state` starts as NULL. False after the last. */
typedef struct kv_list_node {
    kv_slice bytes;   /* a listpack, or one plain item; compressed: its LZF form */
    size_t raw_bytes; /* of what `bytes` expands to */
    size_t count;     /* items */
    bool plain, compressed;
} kv_list_node;
bool kv_list_next_node(const kv_value *v, const void **state, kv_list_node *out);
/* Changes what becomes a node of its own from now on, as kv_limits.list_packed_threshold; small lists take it when they grow. O(1). */
void kv_list_set_threshold(kv_value *v, int64_t threshold);

#endif
