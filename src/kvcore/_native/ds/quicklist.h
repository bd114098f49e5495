/* A long list: a doubly linked chain of listpacks, each limited in bytes or items; an item too big for a listpack is a node of its own, "plain".
 *
 * With a depth of compression d > 0, all nodes but the first d and the last d are kept as LZF. Reading such a node goes through a copy that the position
 * owns (see kv_ql_pos); changing it expands it in place and compresses it again afterwards. Depth 0 compresses nothing and costs nothing.
 *
 * Owner: the struct is a block of the arena, and so is all it holds. Items are written as bytes; canonical decimals are stored as integers inside
 * listpacks. Positions are stale after any change. KV_ENOMEM means that the list's contents are unchanged; a removal can report it too, because a
 * listpack that shrinks may have to move. */
#ifndef KV_DS_QUICKLIST_H
#define KV_DS_QUICKLIST_H

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"
#include "ds/listpack.h"

typedef struct kv_ql_node kv_ql_node;
struct kv_ql_node {
    kv_ql_node *prev, *next;
    uint8_t *data;    /* a listpack, or the bytes of one item (plain); see `form` */
    size_t bytes;     /* of the listpack or the item */
    uint32_t count;   /* items; 1 when plain */
    uint16_t version; /* for the owner's use: the epoch of the node's last change; 0 in a new node, kept otherwise */
    bool plain;
    uint8_t form; /* kv_ql_form */
};

typedef enum kv_ql_form {
    KV_QL_RAW,      /* as it is */
    KV_QL_HIGH,     /* as it is, but at the end of its block: room for items in front (listpack.h) */
    KV_QL_PACKED,   /* data is | LZF bytes u32, native | LZF | instead */
    KV_QL_STUBBORN, /* raw: compressing would not gain enough, as long as it is not changed */
    KV_QL_POSTPONED /* raw: there was no memory for compressing it; tried again when it is changed or passes an end */
} kv_ql_form;

/* Somebody reads the nodes while the list goes on changing: `before` is told of each node whose version is not `epoch`, which it has from then on, before
 * its items change or it goes. Changes of its form alone are not told. */
typedef struct kv_ql_watch {
    uint16_t epoch;
    void (*before)(void *arg, const kv_ql_node *node);
    void *arg;
} kv_ql_watch;

typedef struct kv_quicklist {
    kv_ql_node *head, *tail;
    size_t count; /* items */
    size_t nodes;
    size_t bytes; /* of nodes and data, as the arena rounds them */
    kv_arena *arena;
    uint32_t large;      /* items of so many bytes are plain nodes */
    int16_t fill;        /* > 0: items a node (and 8 KiB); -1..-5: 4, 8, 16, 32, 64 KiB */
    uint16_t depth : 15; /* of compression: raw nodes at each end; 0: nothing is compressed */
    uint16_t behind : 1; /* there was no memory to expand a node that came to an end: it is tried again at the next change of the chain */
    const kv_ql_watch *watch; /* NULL: nobody */
} kv_quicklist;

void kv_ql_touched(const kv_ql_watch *watch, kv_ql_node *node);
static inline void kv_ql_touch(const kv_quicklist *list, kv_ql_node *node) {
    if (__builtin_expect(list->watch != NULL, 0)) kv_ql_touched(list->watch, node);
}

/* How a list is kept; `large` 0: items that pass the limit of a node are plain, else those of so many bytes (at most KV_QL_LARGE_MAX). fill is clipped
 * to -5..32767, 0 is taken as 1; depth to 0..KV_QL_DEPTH_MAX. */
typedef struct kv_ql_rules {
    int64_t fill, depth, large;
} kv_ql_rules;
#define KV_QL_DEPTH_MAX 32767
#define KV_QL_LARGE_MAX ((INT64_C(1) << 32) - (1 << 20))

typedef enum kv_ql_end { KV_QL_HEAD, KV_QL_TAIL } kv_ql_end;

kv_quicklist *kv_quicklist_new(kv_arena *arena, const kv_ql_rules *rules); /* NULL: out of memory */
void kv_quicklist_free(kv_quicklist *list);                                /* O(nodes); NULL is fine */
kv_quicklist *kv_quicklist_dup(kv_arena *to, const kv_quicklist *list);
/* Frees up to n nodes from the head; false when nothing is left (then call kv_quicklist_free): for freeing in slices. O(n). */
bool kv_quicklist_drain(kv_quicklist *list, size_t n);
/* Makes a list of one node out of a listpack (may be empty), which it owns from then on. NULL: out of memory, the listpack is still the caller's. */
kv_quicklist *kv_quicklist_from_listpack(kv_arena *arena, uint8_t *lp, const kv_ql_rules *rules);
/* The way back: a list with one listpack makes it a block of `arena`, hands it over and is freed. NULL: it has plain or several nodes, is watched,
 * or memory is short; nothing changed. */
uint8_t *kv_quicklist_take_listpack(kv_quicklist *list, kv_arena *arena);
/* What is a plain node from now on, as in kv_ql_rules; items that are there stay where they are. O(1). */
void kv_quicklist_set_large(kv_quicklist *list, int64_t large);
/* Appends a whole node, as read from a file: takes the block over on success. A listpack must be valid and not empty. */
kv_status kv_quicklist_append_listpack(kv_quicklist *list, uint8_t *lp);
kv_status kv_quicklist_append_plain(kv_quicklist *list, uint8_t *block, size_t bytes);

static inline size_t kv_quicklist_count(const kv_quicklist *list) { return list->count; }
size_t kv_quicklist_bytes(const kv_quicklist *list); /* everything, the struct included. O(1) */
kv_slice kv_ql_node_stored(const kv_ql_node *node);  /* a node's listpack or item, or the LZF of it when the form is KV_QL_PACKED */
/* May a listpack of this many bytes and items still grow to it (for the small form)? */
bool kv_ql_node_allows(int64_t fill, size_t listpack_bytes, size_t items);

/* ---- positions ----
 * A position in a compressed node owns an expanded copy of it, so that reading changes nothing in the list: pass every position that was set to
 * kv_ql_pos_end, or to a function that says it ends it. Moving on from a compressed node frees its copy and with it what was read from there. */
typedef struct kv_ql_pos {
    const kv_quicklist *list;
    kv_ql_node *node;  /* NULL: past the end */
    uint8_t *data;     /* node->data, or the copy */
    const uint8_t *at; /* in the listpack; unused in a plain node */
    size_t offset;     /* number in the node */
} kv_ql_pos;
/* The item number `index`, negative from the end. KV_ENOTFOUND: there is none; KV_ENOMEM: no room for the copy; both need no kv_ql_pos_end.
 * O(nodes from the nearer end + items of one node). */
kv_status kv_quicklist_at(const kv_quicklist *list, int64_t index, kv_ql_pos *pos);
/* KV_ENOTFOUND: past the end, KV_ENOMEM as above; pos is ended by both. O(1), and expanding a compressed node. */
kv_status kv_ql_next(kv_ql_pos *pos);
kv_status kv_ql_prev(kv_ql_pos *pos);
void kv_ql_pos_drop(kv_ql_pos *pos); /* frees the copy */
static inline void kv_ql_pos_end(kv_ql_pos *pos) {
    if (pos->node != NULL && pos->data != pos->node->data) kv_ql_pos_drop(pos);
}
kv_lp_item kv_ql_get(const kv_ql_pos *pos); /* borrows from the list or the copy */
kv_slice kv_ql_text(const kv_ql_pos *pos, char scratch[KV_LP_SCRATCH]);
bool kv_ql_equals(const kv_ql_pos *pos, kv_slice text);
/* The first item at or after pos, walking to the tail (or to the head: backwards) that equals text; *walked (may be NULL) gets the number of items
 * passed over. KV_ENOTFOUND and KV_ENOMEM end pos. O(items). */
kv_status kv_ql_find(kv_ql_pos *pos, kv_slice text, bool backwards, size_t *walked);

/* ---- changing ---- */
kv_status kv_quicklist_push(kv_quicklist *list, kv_ql_end end, kv_slice item); /* O(1), of a node's size at most */
/* The same as pushing items[0], then items[1], ...: all or none. */
kv_status kv_quicklist_push_many(kv_quicklist *list, kv_ql_end end, const kv_slice *items, size_t count);
/* Removes the item at an end (read it first with kv_quicklist_at). KV_ENOTFOUND: empty. */
kv_status kv_quicklist_pop(kv_quicklist *list, kv_ql_end end);
/* Makes the first or last node raw, which it is unless memory was short before: what its items are then is part of the list. KV_ENOMEM. */
kv_status kv_quicklist_open_end(kv_quicklist *list, kv_ql_end end);
/* Both end pos, whatever they return; `item` must not point into the list. */
kv_status kv_quicklist_set(kv_quicklist *list, kv_ql_pos *pos, kv_slice item);
kv_status kv_quicklist_insert(kv_quicklist *list, kv_ql_pos *pos, bool after, kv_slice item);
/* Removes `count` items from number `start` on (negative: from the end; clipped). *removed may be NULL. O(nodes). */
kv_status kv_quicklist_delete_range(kv_quicklist *list, int64_t start, size_t count, size_t *removed);
/* Removes items that equal text: all (0), the first n (n > 0), the last -n (n < 0). On KV_ENOMEM *removed of them, in that order, are gone: the same
 * as if so many had been asked for. O(items). */
kv_status kv_quicklist_remove(kv_quicklist *list, kv_slice text, int64_t n, size_t *removed);
/* Moves the item at `from` to the other end. KV_ENOTFOUND: empty. */
kv_status kv_quicklist_rotate(kv_quicklist *list, kv_ql_end from);

/* Every invariant, each listpack deeply: with a depth, also that exactly the nodes that are to be compressed are, as far as there was memory. Takes memory
 * for a node meanwhile; what it has no memory for is not looked at. O(bytes). */
bool kv_quicklist_check(const kv_quicklist *list);

#endif
