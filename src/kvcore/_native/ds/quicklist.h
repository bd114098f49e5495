/* A long list: a doubly linked chain of listpacks, each limited in bytes or items; an item too big for a listpack is a node of its own, "plain".
 *
 * Owner: the struct is a block of the arena, and so is all it holds. Items are written as bytes; canonical decimals are stored as integers inside
 * listpacks. Positions are stale after any change, except where a function hands one back. KV_ENOMEM means that the list's contents are unchanged;
 * a removal can report it too, because a listpack that shrinks may have to move.
 *
 * `compress` (the depth of list-compress-depth) is remembered and given back, nothing is compressed: memory is reported as it is. */
#ifndef KV_DS_QUICKLIST_H
#define KV_DS_QUICKLIST_H

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"
#include "ds/listpack.h"

typedef struct kv_ql_node kv_ql_node;
struct kv_ql_node {
    kv_ql_node *prev, *next;
    uint8_t *data;    /* a listpack, or the bytes of one item (plain) */
    size_t bytes;     /* of data */
    uint32_t count;   /* items; 1 when plain */
    uint16_t version; /* for the owner's use: the epoch of the node's last change; 0 in a new node, kept otherwise */
    bool plain;
};

typedef struct kv_quicklist {
    kv_ql_node *head, *tail;
    size_t count; /* items */
    size_t nodes;
    size_t bytes; /* of nodes and data, as the arena rounds them */
    kv_arena *arena;
    int32_t fill; /* > 0: items a node (and 8 KiB); -1..-5: 4, 8, 16, 32, 64 KiB */
    int32_t compress;
} kv_quicklist;

typedef enum kv_ql_end { KV_QL_HEAD, KV_QL_TAIL } kv_ql_end;

/* fill is clipped to -5..32767, 0 is taken as 1. NULL: out of memory. */
kv_quicklist *kv_quicklist_new(kv_arena *arena, int64_t fill, int64_t compress);
void kv_quicklist_free(kv_quicklist *list); /* O(nodes); NULL is fine */
kv_quicklist *kv_quicklist_dup(kv_arena *to, const kv_quicklist *list);
/* Frees up to n nodes from the head; false when nothing is left (then call kv_quicklist_free): for freeing in slices. O(n). */
bool kv_quicklist_drain(kv_quicklist *list, size_t n);
/* Makes a list of one node out of a listpack (may be empty), which it owns from then on. NULL: out of memory, the listpack is still the caller's. */
kv_quicklist *kv_quicklist_from_listpack(kv_arena *arena, uint8_t *lp, int64_t fill, int64_t compress);
/* The way back: a list with one packed node hands its listpack over and is freed. NULL: it has plain or several nodes; nothing changed. */
uint8_t *kv_quicklist_take_listpack(kv_quicklist *list);
/* Appends a whole node, as read from a file: takes the block over on success. A listpack must be valid and not empty. */
kv_status kv_quicklist_append_listpack(kv_quicklist *list, uint8_t *lp);
kv_status kv_quicklist_append_plain(kv_quicklist *list, uint8_t *block, size_t bytes);

static inline size_t kv_quicklist_count(const kv_quicklist *list) { return list->count; }
size_t kv_quicklist_bytes(const kv_quicklist *list); /* everything, the struct included. O(1) */
/* Would an item of this many bytes be a node of its own; and may a listpack of this many bytes and items still grow to it (for the small form)? */
bool kv_ql_is_large(int64_t fill, size_t item_bytes);
bool kv_ql_node_allows(int64_t fill, size_t listpack_bytes, size_t items);

/* ---- positions ---- */
typedef struct kv_ql_pos {
    kv_ql_node *node;
    const uint8_t *at; /* in the listpack; unused in a plain node */
    size_t offset;     /* number in the node */
} kv_ql_pos;
/* The item number `index`, negative from the end. False: there is none. O(nodes from the nearer end + items of one node). */
bool kv_quicklist_at(const kv_quicklist *list, int64_t index, kv_ql_pos *pos);
bool kv_ql_next(kv_ql_pos *pos); /* false: past the end, pos is unusable. O(1) */
bool kv_ql_prev(kv_ql_pos *pos);
kv_lp_item kv_ql_get(const kv_ql_pos *pos); /* borrows from the list */
kv_slice kv_ql_text(const kv_ql_pos *pos, char scratch[KV_LP_SCRATCH]);
bool kv_ql_equals(const kv_ql_pos *pos, kv_slice text);
/* The first item at or after pos, walking to the tail (or to the head: backwards) that equals text; *walked (may be NULL) gets the number of items
 * passed over. False: none; pos is unusable. O(items). */
bool kv_ql_find(kv_ql_pos *pos, kv_slice text, bool backwards, size_t *walked);

/* ---- changing ---- */
kv_status kv_quicklist_push(kv_quicklist *list, kv_ql_end end, kv_slice item); /* O(1), of a node's size at most */
/* The same as pushing items[0], then items[1], ...: all or none. */
kv_status kv_quicklist_push_many(kv_quicklist *list, kv_ql_end end, const kv_slice *items, size_t count);
/* Removes the item at an end (read it first with kv_quicklist_at). KV_ENOTFOUND: empty. */
kv_status kv_quicklist_pop(kv_quicklist *list, kv_ql_end end);
/* All of these: `item` must not point into the list. */
kv_status kv_quicklist_set(kv_quicklist *list, const kv_ql_pos *pos, kv_slice item);
kv_status kv_quicklist_insert(kv_quicklist *list, const kv_ql_pos *pos, bool after, kv_slice item);
/* Removes the item at pos; pos then is the following one. *more: there is one. */
kv_status kv_quicklist_delete(kv_quicklist *list, kv_ql_pos *pos, bool *more);
/* Removes `count` items from number `start` on (negative: from the end; clipped). *removed may be NULL. O(nodes). */
kv_status kv_quicklist_delete_range(kv_quicklist *list, int64_t start, size_t count, size_t *removed);
/* Removes items that equal text: all (0), the first n (n > 0), the last -n (n < 0). On KV_ENOMEM *removed of them, in that order, are gone: the same
 * as if so many had been asked for. O(items). */
kv_status kv_quicklist_remove(kv_quicklist *list, kv_slice text, int64_t n, size_t *removed);
/* Moves the item at `from` to the other end. KV_ENOTFOUND: empty. */
kv_status kv_quicklist_rotate(kv_quicklist *list, kv_ql_end from);

bool kv_quicklist_check(const kv_quicklist *list); /* every invariant, each listpack deeply; O(bytes) */

#endif
