/* An ordered list of sorted-set elements, by score and then by member bytes: a counted B+ tree (see ztree.c).
 *
 * Elements are blocks that the caller makes with kv_zelem_new and that the zset's hash table points at as well; the tree holds pointers and never
 * frees an element. While an element is in the tree its score changes through kv_ztree_update only. Members are distinct, except that an
 * element may be put in beside one of the same member that is going to be taken out.
 *
 * Places are ranks (0 is the lowest) or cursors. Every range - by score, by member, by rank - becomes a pair of ranks [from, to) first, so counting,
 * walking and deleting exist once. Any change makes cursors and places stale. The struct may be moved with memcpy. */
#ifndef KV_DS_ZTREE_H
#define KV_DS_ZTREE_H

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

/* ---- the tree ---- */
#define KV_ZTREE_HEIGHT 12 /* inner levels: far more than memory can fill */

typedef struct kv_zleaf kv_zleaf;
typedef struct kv_zinner kv_zinner;

typedef struct kv_ztree {
    kv_arena *arena;
    void *root; /* NULL: empty; a leaf at height 0 */
    kv_zleaf *first, *last;
    size_t count;
    size_t bytes;    /* of nodes, as the arena rounds them */
    unsigned height; /* inner levels */
} kv_ztree;

typedef void (*kv_zelem_fn)(void *arg, kv_zelem *elem);

void kv_ztree_init(kv_ztree *tree, kv_arena *arena); /* allocates nothing */
/* Frees the nodes after calling fn (may be NULL) on each element in order, which may free it. O(n). The tree is empty and usable afterwards. */
void kv_ztree_deinit(kv_ztree *tree, kv_zelem_fn fn, void *arg);
static inline size_t kv_ztree_count(const kv_ztree *tree) { return tree->count; }
/* Nodes, without the struct and the elements. O(1). */
static inline size_t kv_ztree_bytes(const kv_ztree *tree) { return tree->bytes; }

/* Where an element with this key goes: found without touching the leaf, which is being fetched meanwhile, so that a caller can look up the member
 * between kv_ztree_seek and the change that uses the place. */
typedef struct kv_zplace {
    double score;
    kv_slice member;
    kv_zleaf *leaf; /* NULL: the tree is empty */
    struct {
        kv_zinner *node;
        unsigned at;
    } step[KV_ZTREE_HEIGHT]; /* [0]: just above the leaf */
} kv_zplace;
void kv_ztree_seek(const kv_ztree *tree, double score, kv_slice member, kv_zplace *place);
/* Starts to fetch the elements that the place has to be compared with, of which there are some when scores are equal. Waits for the leaf. */
void kv_ztree_look(const kv_zplace *place);

/* Adds an element that is not in the tree. KV_ENOMEM: no change. O(log n). *rank (may be NULL): where it is now. */
kv_status kv_ztree_insert(kv_ztree *tree, kv_zelem *elem, size_t *rank);
kv_status kv_ztree_insert_at(kv_ztree *tree, kv_zplace *place, kv_zelem *elem); /* the same, with the place of its key */
/* Gives an element of the tree another score (not NaN). KV_ENOMEM: no change. O(log n). */
kv_status kv_ztree_update(kv_ztree *tree, kv_zelem *elem, double score);
kv_status kv_ztree_update_at(kv_ztree *tree, kv_zplace *place, kv_zelem *elem); /* the same, with the place of its key to be */
/* Takes out an element that is at hand (a zset has it from its table). False: not in the tree. Never fails. O(log n). */
bool kv_ztree_remove_elem(kv_ztree *tree, const kv_zelem *elem);
/* The same for the element with this score and member, and returns it; NULL: absent. */
kv_zelem *kv_ztree_remove(kv_ztree *tree, double score, kv_slice member);
/* Puts a copy of an element (same score and member) in its place; both are readable. False: `before` was not there. O(log n). */
bool kv_ztree_replace(kv_ztree *tree, const kv_zelem *before, kv_zelem *after);

/* ---- ranks; all O(log n) ---- */
bool kv_ztree_rank(const kv_ztree *tree, double score, kv_slice member, size_t *rank); /* false: absent */
bool kv_ztree_rank_of_elem(const kv_ztree *tree, const kv_zelem *elem, size_t *rank);  /* the same, cheaper */
/* How many elements have a lower score (or_equal: a lower or the same one). */
size_t kv_ztree_rank_of_score(const kv_ztree *tree, double score, bool or_equal);
/* How many have a lower score, or this one and a lower member, whether there is such an element or not: a walk can be taken up again here. */
size_t kv_ztree_rank_of_key(const kv_ztree *tree, double score, kv_slice member, bool or_equal);
/* How many have a lower member; the tree must hold one score only, otherwise the number is some rank <= count. */
size_t kv_ztree_rank_of_member(const kv_ztree *tree, kv_slice member, bool or_equal);

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
void kv_ztree_score_range(const kv_ztree *tree, const kv_zrange *range, size_t *from, size_t *to);
void kv_ztree_lex_range(const kv_ztree *tree, const kv_lex_range *range, size_t *from, size_t *to);
bool kv_zrange_has(const kv_zrange *range, double score); /* the test for one element: small forms use it too */
bool kv_lex_range_has(const kv_lex_range *range, kv_slice member);

/* ---- walking ---- */
typedef struct kv_zcursor {
    const kv_zleaf *leaf;
    unsigned slot;
} kv_zcursor;
/* Points at the element of this rank and returns it; NULL when rank >= count. O(log n). */
kv_zelem *kv_ztree_at(const kv_ztree *tree, size_t rank, kv_zcursor *cursor);
kv_zelem *kv_ztree_first(const kv_ztree *tree, kv_zcursor *cursor); /* O(1) */
kv_zelem *kv_ztree_last(const kv_ztree *tree, kv_zcursor *cursor);  /* O(1) */
kv_zelem *kv_zcursor_next(kv_zcursor *cursor);                      /* NULL: past the end; the cursor must not be used any more. O(1) */
kv_zelem *kv_zcursor_prev(kv_zcursor *cursor);

/* Takes out the elements of ranks [from, to) (clipped to the tree) and calls fn on each in order; fn may free the element and must not touch the
 * tree. Never fails. O(log n + removed). Returns how many. Freeing a tree in slices: delete_range(count - n, count). */
size_t kv_ztree_delete_range(kv_ztree *tree, size_t from, size_t to, kv_zelem_fn fn, void *arg);

bool kv_ztree_check(const kv_ztree *tree); /* every invariant; O(n) */

#endif
