/* An ordered list of sorted-set elements, by score and then by member bytes: a skiplist whose nodes hold dozens of elements (see skiplist.c).
 *
 * Elements are blocks that the caller makes with kv_zelem_new and that the zset's hash table points at as well; the list holds pointers and never
 * frees an element. While an element is in the list its score changes through kv_skiplist_update only. All members are distinct.
 *
 * Places are ranks (0 is the lowest) or cursors. Every range - by score, by member, by rank - becomes a pair of ranks [from, to) first, so counting,
 * walking and deleting exist once. Any change makes cursors stale. The struct may be moved with memcpy. */
#ifndef KV_DS_SKIPLIST_H
#define KV_DS_SKIPLIST_H

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"

/* ---- elements ---- */
/* 8 bytes of score, the member's length in 1 byte (255: 4 more follow), the member. Members have less than 2^32 bytes. */
typedef struct kv_zelem {
    double score;
    uint8_t data[];
} kv_zelem;

kv_zelem *kv_zelem_new(kv_arena *arena, double score, kv_slice member); /* NULL: out of memory */
void kv_zelem_free(kv_arena *arena, kv_zelem *elem);
size_t kv_zelem_bytes(const kv_zelem *elem); /* the block's size, as asked of the arena */
static inline kv_slice kv_zelem_member(const kv_zelem *elem) {
    if (elem->data[0] != 255) return kv_slice_of(elem->data + 1, elem->data[0]);
    uint32_t len;
    memcpy(&len, elem->data + 1, 4);
    return kv_slice_of(elem->data + 5, len);
}
kv_slice kv_zelem_key(const void *elem); /* the member, in the shape of kv_table_type.key */

/* ---- the list ---- */
#define KV_SKIPLIST_LEVELS 10 /* one in four nodes reaches the next level: enough for 4^10 nodes, 50 million elements */

typedef struct kv_znode kv_znode;
typedef struct kv_zlink {
    kv_znode *next; /* NULL: the end */
    size_t span;    /* elements from the start of this node to the start of the next (or to the end of the list) */
    double first;   /* the score that `next` starts with */
} kv_zlink;

typedef struct kv_skiplist {
    kv_arena *arena;
    size_t count;
    size_t bytes; /* of nodes, as the arena rounds them */
    kv_znode *tail;
    uint64_t random; /* state of the generator of node heights */
    unsigned levels; /* levels in use, at least 1 */
    kv_zlink head[KV_SKIPLIST_LEVELS];
} kv_skiplist;

typedef void (*kv_zelem_fn)(void *arg, kv_zelem *elem);

/* Allocates nothing. `seed` makes node heights unpredictable; any number. */
void kv_skiplist_init(kv_skiplist *list, kv_arena *arena, uint64_t seed);
/* Frees the nodes after calling fn (may be NULL) on each element in order, which may free it. O(n). The list is empty and usable afterwards. */
void kv_skiplist_deinit(kv_skiplist *list, kv_zelem_fn fn, void *arg);
static inline size_t kv_skiplist_count(const kv_skiplist *list) { return list->count; }
/* Nodes, without the struct and the elements. O(1). */
static inline size_t kv_skiplist_bytes(const kv_skiplist *list) { return list->bytes; }

/* Adds an element that is not in the list. KV_ENOMEM: no change. O(log n). *rank (may be NULL): where it is now. */
kv_status kv_skiplist_insert(kv_skiplist *list, kv_zelem *elem, size_t *rank);
/* Takes out the element with this score and member and returns it; NULL: absent. Never fails. O(log n). */
kv_zelem *kv_skiplist_remove(kv_skiplist *list, double score, kv_slice member);
/* The same for an element that is at hand (a zset has it from its table): cheaper. False: not in the list. */
bool kv_skiplist_remove_elem(kv_skiplist *list, const kv_zelem *elem);
/* Gives an element of the list another score (not NaN). KV_ENOMEM: no change. O(log n). */
kv_status kv_skiplist_update(kv_skiplist *list, kv_zelem *elem, double score);
/* The same with blocks from a pool, for a change of several elements that may have to be undone: a _rescore that changed the order also sets aside what
 * undoing it needs, and _rescore_back (the last one first; additions and removals in between undone as well) cannot fail. Empty pools are {0}. */
typedef struct kv_znode_pool {
    void *first; /* blocks of a node's size, linked by their first word */
    size_t count, owed;
} kv_znode_pool;
kv_status kv_skiplist_rescore(kv_skiplist *list, kv_zelem *elem, double score, kv_znode_pool *pool); /* KV_ENOMEM: no change */
void kv_skiplist_rescore_back(kv_skiplist *list, kv_zelem *elem, double score, kv_znode_pool *pool);
void kv_skiplist_pool_free(kv_skiplist *list, kv_znode_pool *pool);
/* Puts a copy of an element (same score and member) in its place; both are readable. False: `before` was not there. O(log n). */
bool kv_skiplist_replace(kv_skiplist *list, const kv_zelem *before, kv_zelem *after);

/* ---- ranks; all O(log n) ---- */
bool kv_skiplist_rank(const kv_skiplist *list, double score, kv_slice member, size_t *rank); /* false: absent */
bool kv_skiplist_rank_of_elem(const kv_skiplist *list, const kv_zelem *elem, size_t *rank);  /* the same, cheaper */
/* How many elements have a lower score (or_equal: a lower or the same one). */
size_t kv_skiplist_rank_of_score(const kv_skiplist *list, double score, bool or_equal);
/* How many have a lower member; the list must hold one score only, otherwise the number is some rank <= count. */
size_t kv_skiplist_rank_of_member(const kv_skiplist *list, kv_slice member, bool or_equal);

typedef struct kv_zrange {
    double min, max;
    bool min_open, max_open; /* the end itself is excluded */
} kv_zrange;
typedef enum kv_lex_kind { KV_LEX_MIN, KV_LEX_MAX, KV_LEX_CLOSED, KV_LEX_OPEN } kv_lex_kind; /* "-", "+", "[m", "(m" */
typedef struct kv_lex_end {
    kv_lex_kind kind;
    kv_slice member;
} kv_lex_end;
typedef struct kv_lex_range {
    kv_lex_end min, max;
} kv_lex_range;

/* The ranks [*from, *to) of a range; from == to when it is empty (also when min > max). Their difference is the count. */
void kv_skiplist_score_range(const kv_skiplist *list, const kv_zrange *range, size_t *from, size_t *to);
void kv_skiplist_lex_range(const kv_skiplist *list, const kv_lex_range *range, size_t *from, size_t *to);
bool kv_zrange_has(const kv_zrange *range, double score); /* the test for one element: small forms use it too */
bool kv_lex_range_has(const kv_lex_range *range, kv_slice member);

/* ---- walking ---- */
typedef struct kv_zcursor {
    const kv_znode *node;
    unsigned slot;
} kv_zcursor;
/* Points at the element of this rank and returns it; NULL when rank >= count. O(log n). */
kv_zelem *kv_skiplist_at(const kv_skiplist *list, size_t rank, kv_zcursor *cursor);
kv_zelem *kv_skiplist_first(const kv_skiplist *list, kv_zcursor *cursor); /* O(1) */
kv_zelem *kv_skiplist_last(const kv_skiplist *list, kv_zcursor *cursor);  /* O(1) */
kv_zelem *kv_zcursor_next(kv_zcursor *cursor); /* NULL: past the end; the cursor must not be used any more. O(1) */
kv_zelem *kv_zcursor_prev(kv_zcursor *cursor);

/* Takes out the elements of ranks [from, to) (clipped to the list) and calls fn on each in order; fn may free the element and must not touch the
 * list. Never fails. O(log n + removed). Returns how many. Freeing a list in slices: delete_range(count - n, count). */
size_t kv_skiplist_delete_range(kv_skiplist *list, size_t from, size_t to, kv_zelem_fn fn, void *arg);

bool kv_skiplist_check(const kv_skiplist *list); /* every invariant; O(n) */

#endif
