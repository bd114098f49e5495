/* A chain of listpacks.
 *
 *   list: head, tail, count, nodes
 *           |
 *           v
 *   node <-> node <-> node (plain) <-> node       node: prev, next, data, bytes, items, version, form
 *    |        |        |                |
 *   [a b c]  [d e]    "one big item"   [f g h i]
 *
 * A packed node takes an item while its listpack stays within `fill`; otherwise the item goes to a neighbour or a new node, or, in the middle, the node
 * is split first. Items beyond the size limit are plain nodes. After a split, neighbours that fit into one node are joined; what deletions leave is
 * not. A node costs 40 bytes besides its data: half a per cent at 8 KiB. Which nodes are compressed is the business of quicklist_pack.c: here, what changes a
 * node makes it raw first (kv_ql_opened), and what changes the chain or an inner node ends with kv_ql_arrange.
 *
 * Failure. A change is made of listpack calls that each either happen or do not. Where it needs several, the new parts are made beside the old ones and put
 * in place when nothing can fail any more. Splitting, joining and expanding keep the contents the same: they may stay done (or undone) when a later part fails.
 *
 * Invariants: no node is empty, a plain one has one item; a node's bytes and count are those of its data; the list's count, nodes and bytes are
 * the sums. A listpack may be over the limit when it came as a whole (from a small list or a file), and by one item that was replaced
 * by a longer one or met a split. */
#include "ds/quicklist.h"

#include <string.h>

#include "ds/quicklist_pack.h"

enum { SAFETY_BYTES = 8192 };

/* ---- limits ---- */

static int32_t clipped_fill(int64_t fill) { return fill == 0 ? 1 : fill < -5 ? -5 : fill > 32767 ? 32767 : (int32_t)fill; }

static size_t byte_limit(int64_t fill) {
    int32_t f = clipped_fill(fill);
    return f > 0 ? SAFETY_BYTES : (size_t)4096 << (-f - 1);
}

static bool is_large(const kv_quicklist *list, size_t item_bytes) { return item_bytes >= list->large; }

bool kv_ql_node_allows(int64_t fill, size_t listpack_bytes, size_t items) {
    int32_t f = clipped_fill(fill);
    return listpack_bytes <= byte_limit(f) && (f < 0 || items <= (size_t)f);
}

/* An item is taken to cost its text and eight bytes, whatever its encoding: that decides where a node ends in Valkey, and so, later, when OBJECT ENCODING
 * says listpack again. */
static bool has_room(const kv_quicklist *list, const kv_ql_node *node, kv_slice item) {
    return node != NULL && !node->plain && !is_large(list, item.len) &&
           kv_ql_node_allows(list->fill, node->bytes + item.len + 8, node->count + (size_t)1);
}

/* ---- nodes ---- */

void kv_ql_touched(const kv_ql_watch *watch, kv_ql_node *node) {
    if (node->version == watch->epoch) return;
    watch->before(watch->arg, node); /* first: it sees the node as it was */
    node->version = watch->epoch;
}

static size_t data_cost(const kv_ql_node *node) { return kv_arena_good_size(kv_ql_block_bytes(node)); }

static void link_after(kv_quicklist *list, kv_ql_node *node, kv_ql_node *prev) {
    node->prev = prev;
    node->next = prev != NULL ? prev->next : list->head;
    *(node->prev != NULL ? &node->prev->next : &list->head) = node;
    *(node->next != NULL ? &node->next->prev : &list->tail) = node;
    list->nodes++;
    list->count += node->count;
    list->bytes += kv_arena_good_size(sizeof *node) + data_cost(node);
}

static void unlink_node(kv_quicklist *list, kv_ql_node *node) {
    kv_ql_touch(list, node);
    *(node->prev != NULL ? &node->prev->next : &list->head) = node->next;
    *(node->next != NULL ? &node->next->prev : &list->tail) = node->prev;
    list->nodes--;
    list->count -= node->count;
    list->bytes -= kv_arena_good_size(sizeof *node) + data_cost(node);
}

static void node_free(kv_arena *arena, kv_ql_node *node) {
    if (node->form == KV_QL_HIGH) kv_lp_high_free(arena, node->data);
    else kv_arena_free(arena, node->data, kv_ql_block_bytes(node));
    kv_arena_free(arena, node, sizeof *node);
}

static void drop_node(kv_quicklist *list, kv_ql_node *node) {
    unlink_node(list, node);
    node_free(list->arena, node);
}

/* Puts a node struct around data, which it owns when the result is not NULL. */
static kv_ql_node *node_around(kv_arena *arena, uint8_t *data, size_t bytes, size_t count, bool plain) {
    kv_ql_node *node = kv_arena_alloc(arena, sizeof *node);
    if (node != NULL) *node = (kv_ql_node){.data = data, .bytes = bytes, .count = (uint32_t)count, .plain = plain};
    return node;
}

/* An unlinked node that holds one item. */
static kv_ql_node *node_of(const kv_quicklist *list, kv_slice item) {
    bool plain = is_large(list, item.len);
    kv_ql_node *node = node_around(list->arena, NULL, item.len, 1, plain);
    if (node == NULL) return NULL;
    if (plain) {
        node->data = kv_arena_alloc(list->arena, item.len);
        if (node->data != NULL) memcpy(node->data, item.ptr, item.len);
    } else {
        uint8_t *empty = kv_lp_new(list->arena);
        node->data = empty != NULL ? kv_lp_append(list->arena, empty, item) : NULL;
        if (node->data == NULL) kv_lp_free(list->arena, empty);
        if (node->data != NULL) node->bytes = kv_lp_bytes(node->data);
    }
    if (node->data != NULL) return node;
    kv_arena_free(list->arena, node, sizeof *node);
    return NULL;
}

/* The node's listpack was changed into `lp`, which has `count` items. False, and nothing done, when lp is NULL: the change has failed. */
static bool set_data(kv_quicklist *list, kv_ql_node *node, uint8_t *lp, size_t count) {
    if (lp == NULL) return false;
    list->bytes -= kv_arena_good_size(node->bytes);
    list->count = list->count - node->count + count;
    node->data = lp;
    node->bytes = kv_lp_bytes(lp);
    node->count = (uint32_t)count;
    node->form = KV_QL_RAW;
    list->bytes += kv_arena_good_size(node->bytes);
    return true;
}

/* Joins two neighbours when they fit into one node. Failing to is no harm. */
static void try_join(kv_quicklist *list, kv_ql_node *a, kv_ql_node *b) {
    if (a == NULL || b == NULL || a->plain || b->plain) return;
    size_t count = (size_t)a->count + b->count;
    if (!kv_ql_node_allows(list->fill, a->bytes + b->bytes - KV_LP_EMPTY_BYTES, count)) return;
    if (!kv_ql_opened(list, a) || !kv_ql_opened(list, b)) return;
    uint8_t *lp = kv_lp_merge(list->arena, a->data, b->data);
    if (lp == NULL) return;
    unlink_node(list, b);
    kv_arena_free(list->arena, b, sizeof *b);
    (void)set_data(list, a, lp, count);
}

/* Joins what can be joined around a node that was split or put in: its neighbours with theirs, then the node with them. The order is Valkey's, so that
 * the same changes give the same nodes. */
static void settle(kv_quicklist *list, kv_ql_node *center) {
    if (center->prev != NULL) try_join(list, center->prev->prev, center->prev);
    if (center->next != NULL) try_join(list, center->next, center->next->next);
    kv_ql_node *before = center->prev;
    size_t nodes = list->nodes;
    try_join(list, before, center);
    if (list->nodes < nodes) center = before;
    try_join(list, center, center->next);
}

/* Splits a raw listpack node before item number `at` (0 < at < count); the second half becomes node->next. */
static kv_status split(kv_quicklist *list, kv_ql_node *node, size_t at) {
    kv_arena *arena = list->arena;
    uint8_t *copy = kv_lp_dup(arena, node->data), *right = NULL, *left;
    if (copy == NULL) return KV_ENOMEM;
    kv_ql_node *second = node_around(arena, NULL, 0, node->count - at, false);
    if (second == NULL || (right = kv_lp_delete_range(arena, copy, 0, at)) == NULL) goto failed;
    copy = right;
    if ((left = kv_lp_delete_range(arena, node->data, (int64_t)at, node->count - at)) == NULL) goto failed;
    (void)set_data(list, node, left, at);
    second->data = right;
    second->bytes = kv_lp_bytes(right);
    second->version = node->version;
    link_after(list, second, node);
    return KV_OK;
failed:
    kv_lp_free(arena, copy);
    if (second != NULL) kv_arena_free(arena, second, sizeof *second);
    return KV_ENOMEM;
}

/* ---- life ---- */

kv_quicklist *kv_quicklist_new(kv_arena *arena, const kv_ql_rules *rules) {
    kv_quicklist *list = kv_arena_alloc(arena, sizeof *list);
    if (list == NULL) return NULL;
    *list = (kv_quicklist){.arena = arena, .fill = (int16_t)clipped_fill(rules->fill)};
    list->depth = (unsigned)(rules->depth < 0 ? 0 : rules->depth > KV_QL_DEPTH_MAX ? KV_QL_DEPTH_MAX : rules->depth) & KV_QL_DEPTH_MAX;
    kv_quicklist_set_large(list, rules->large);
    return list;
}

/* A listpack cannot hold everything that `large` may allow. */
void kv_quicklist_set_large(kv_quicklist *list, int64_t large) {
    uint32_t most = KV_LP_MAX_BYTES - 64;
    list->large = large <= 0 ? (uint32_t)byte_limit(list->fill) + 1 : large > most ? most : (uint32_t)large;
}

bool kv_quicklist_drain(kv_quicklist *list, size_t n) {
    for (; n > 0 && list->head != NULL; n--) drop_node(list, list->head);
    return list->head != NULL;
}

void kv_quicklist_free(kv_quicklist *list) {
    if (list == NULL) return;
    (void)kv_quicklist_drain(list, SIZE_MAX);
    kv_arena_free(list->arena, list, sizeof *list);
}

kv_quicklist *kv_quicklist_dup(kv_arena *to, const kv_quicklist *list) {
    kv_quicklist *copy = kv_arena_alloc(to, sizeof *copy);
    if (copy == NULL) return NULL;
    *copy = (kv_quicklist){.arena = to, .large = list->large, .fill = list->fill, .depth = list->depth, .behind = list->behind};
    for (const kv_ql_node *from = list->head; from != NULL; from = from->next) {
        size_t bytes = kv_ql_block_bytes(from);
        kv_ql_node *node = node_around(to, NULL, from->bytes, from->count, from->plain);
        if (node != NULL) node->data = kv_arena_alloc(to, bytes);
        if (node == NULL || node->data == NULL) {
            if (node != NULL) kv_arena_free(to, node, sizeof *node);
            kv_quicklist_free(copy);
            return NULL;
        }
        memcpy(node->data, from->data, bytes);
        node->form = from->form == KV_QL_HIGH ? KV_QL_RAW : from->form;
        link_after(copy, node, copy->tail);
    }
    return copy;
}

/* A whole node at the tail. */
static kv_status append(kv_quicklist *list, uint8_t *data, size_t bytes, size_t count, bool plain) {
    kv_ql_node *node = node_around(list->arena, data, bytes, count, plain);
    if (node == NULL) return KV_ENOMEM;
    link_after(list, node, list->tail);
    if (list->depth > 0) kv_ql_arrange(list, node, 0);
    return KV_OK;
}

kv_status kv_quicklist_append_listpack(kv_quicklist *list, uint8_t *lp) {
    return append(list, lp, kv_lp_bytes(lp), kv_lp_count(lp), false);
}

kv_status kv_quicklist_append_plain(kv_quicklist *list, uint8_t *block, size_t bytes) { return append(list, block, bytes, 1, true); }

kv_quicklist *kv_quicklist_from_listpack(kv_arena *arena, uint8_t *lp, const kv_ql_rules *rules) {
    kv_quicklist *list = kv_quicklist_new(arena, rules);
    if (list == NULL) return NULL;
    if (kv_lp_count(lp) == 0) {
        kv_lp_free(arena, lp);
    } else if (kv_quicklist_append_listpack(list, lp) != KV_OK) {
        kv_quicklist_free(list);
        return NULL;
    }
    return list;
}

uint8_t *kv_quicklist_take_listpack(kv_quicklist *list, kv_arena *arena) {
    kv_ql_node *node = list->head;
    if (list->nodes != 1 || node->plain || list->watch != NULL || !kv_ql_opened(list, node)) return NULL;
    uint8_t *lp = arena == list->arena ? node->data : kv_lp_dup(arena, node->data);
    if (lp == NULL) return NULL;
    if (lp != node->data) kv_lp_free(list->arena, node->data);
    kv_arena_free(list->arena, node, sizeof *node);
    kv_arena_free(list->arena, list, sizeof *list);
    return lp;
}

size_t kv_quicklist_bytes(const kv_quicklist *list) { return kv_arena_good_size(sizeof *list) + list->bytes; }

/* ---- positions ---- */

/* Sets the node and where its bytes can be read: there, or in a copy. */
static inline kv_status look_into(kv_ql_pos *pos, kv_ql_node *node) {
    pos->node = node;
    pos->data = node->data;
    if (__builtin_expect(node->form != KV_QL_PACKED, 1)) return KV_OK;
    pos->data = kv_ql_expanded(pos->list->arena, node);
    if (pos->data != NULL) return KV_OK;
    pos->node = NULL;
    return KV_ENOMEM;
}

/* To the first or last item of a node, from anywhere; pos->list is set. */
static kv_status enter(kv_ql_pos *pos, kv_ql_node *node, bool last) {
    if (node == NULL) {
        pos->node = NULL;
        return KV_ENOTFOUND;
    }
    if (look_into(pos, node) != KV_OK) return KV_ENOMEM;
    pos->offset = last ? node->count - (size_t)1 : 0;
    pos->at = node->plain ? NULL : last ? kv_lp_last(pos->data) : kv_lp_first(pos->data);
    return KV_OK;
}

void kv_ql_pos_drop(kv_ql_pos *pos) {
    kv_arena_free(pos->list->arena, pos->data, pos->node->bytes);
    pos->data = pos->node->data;
}

/* The node of item number `index` < count, and the item's number in it. */
static inline kv_ql_node *node_at(const kv_quicklist *list, size_t index, size_t *offset) {
    kv_ql_node *node;
    if (index < list->count / 2) {
        for (node = list->head; index >= node->count; node = node->next) index -= node->count;
    } else {
        size_t start = list->count; /* of the node under consideration */
        for (node = list->tail; (start -= node->count) > index; node = node->prev) {}
        index -= start;
    }
    *offset = index;
    return node;
}

kv_status kv_quicklist_at(const kv_quicklist *list, int64_t index, kv_ql_pos *pos) {
    size_t from_end = index < 0 ? (size_t)0 - (size_t)index : 0;
    pos->list = list;
    pos->node = NULL;
    if (index < 0 ? from_end > list->count : (size_t)index >= list->count) return KV_ENOTFOUND;
    kv_ql_node *node = node_at(list, index < 0 ? list->count - from_end : (size_t)index, &pos->offset);
    if (look_into(pos, node) != KV_OK) return KV_ENOMEM;
    pos->at = node->plain ? NULL : kv_lp_at(pos->data, (int64_t)pos->offset);
    return KV_OK;
}

kv_status kv_ql_next(kv_ql_pos *pos) {
    if (pos->offset + 1 >= pos->node->count) {
        kv_ql_pos_end(pos);
        return enter(pos, pos->node->next, false);
    }
    pos->at = kv_lp_next(pos->data, pos->at);
    pos->offset++;
    return KV_OK;
}

kv_status kv_ql_prev(kv_ql_pos *pos) {
    if (pos->offset == 0) {
        kv_ql_pos_end(pos);
        return enter(pos, pos->node->prev, true);
    }
    pos->at = kv_lp_prev(pos->data, pos->at);
    pos->offset--;
    return KV_OK;
}

kv_lp_item kv_ql_get(const kv_ql_pos *pos) {
    return pos->node->plain ? kv_lp_str(kv_slice_of(pos->data, pos->node->bytes)) : kv_lp_get(pos->at);
}

kv_slice kv_ql_text(const kv_ql_pos *pos, char scratch[KV_LP_SCRATCH]) {
    return pos->node->plain ? kv_slice_of(pos->data, pos->node->bytes) : kv_lp_text(pos->at, scratch);
}

bool kv_ql_equals(const kv_ql_pos *pos, kv_slice text) {
    return pos->node->plain ? kv_slice_eq(kv_slice_of(pos->data, pos->node->bytes), text) : kv_lp_equals(pos->at, text);
}

kv_status kv_ql_find(kv_ql_pos *pos, kv_slice text, bool backwards, size_t *walked) {
    size_t n = 0;
    for (; !kv_ql_equals(pos, text); n++) {
        kv_status status = backwards ? kv_ql_prev(pos) : kv_ql_next(pos);
        if (status != KV_OK) return status;
    }
    if (walked != NULL) *walked = n;
    return KV_OK;
}

/* Makes the position's node one that can be changed. The copy that was read becomes the node's data, so this needs no memory and `at` stays good. */
static void take_over(kv_quicklist *list, kv_ql_pos *pos) {
    kv_ql_touch(list, pos->node);
    if (pos->data != pos->node->data) {
        kv_ql_adopt(list, pos->node, pos->data);
    } else if (pos->node->form == KV_QL_HIGH) {
        size_t offset = (size_t)(pos->at - pos->data);
        kv_ql_lower(pos->node);
        pos->data = pos->node->data;
        pos->at = pos->data + offset;
    }
}

/* The node `n` before this one, or NULL: a place to arrange from that a change `n` nodes further cannot take away. */
static kv_ql_node *before(kv_ql_node *node, unsigned n) {
    for (; node != NULL && n > 0; n--) node = node->prev;
    return node;
}

/* ---- changing ---- */

/* What is pushed or popped at the head is likely to be followed by more of that kind: the first node keeps its room in front. A node that is alone is the
 * tail, too, whose changes would move it to and fro. */
static bool keeps_high(const kv_ql_node *node) {
    return node->form == KV_QL_HIGH || (node->prev == NULL && node->next != NULL && node->form != KV_QL_PACKED);
}

static bool set_high(kv_quicklist *list, kv_ql_node *node, uint8_t *lp, size_t count) {
    if (!set_data(list, node, lp, count)) return false;
    node->form = KV_QL_HIGH;
    return true;
}

static kv_status add_at_edge(kv_quicklist *list, kv_ql_node *node, bool in_front, kv_slice item) {
    kv_ql_touch(list, node);
    if (in_front && keeps_high(node)) {
        kv_lp_item one = kv_lp_str(item);
        uint8_t *high = kv_lp_high_prepend(list->arena, node->data, node->form == KV_QL_HIGH, &one, 1);
        return set_high(list, node, high, node->count + (size_t)1) ? KV_OK : KV_ENOMEM;
    }
    if (!kv_ql_opened(list, node)) return KV_ENOMEM;
    uint8_t *lp = in_front ? kv_lp_prepend(list->arena, node->data, item) : kv_lp_append(list->arena, node->data, item);
    return set_data(list, node, lp, node->count + (size_t)1) ? KV_OK : KV_ENOMEM;
}

static kv_status add_node(kv_quicklist *list, kv_ql_node *prev, kv_slice item) {
    kv_ql_node *node = node_of(list, item);
    if (node == NULL) return KV_ENOMEM;
    link_after(list, node, prev);
    return KV_OK;
}

kv_status kv_quicklist_push(kv_quicklist *list, kv_ql_end end, kv_slice item) {
    kv_ql_node *node = end == KV_QL_HEAD ? list->head : list->tail;
    if (has_room(list, node, item)) return add_at_edge(list, node, end == KV_QL_HEAD, item);
    kv_status status = add_node(list, end == KV_QL_HEAD ? NULL : node, item);
    if (status == KV_OK && list->depth > 0) kv_ql_arrange(list, NULL, 0);
    return status;
}

/* How many of the items, one after the other, have room in the node. */
static size_t fitting(const kv_quicklist *list, const kv_ql_node *node, const kv_slice *items, size_t count) {
    if (node == NULL || node->plain) return 0;
    size_t n = 0;
    for (size_t bytes = node->bytes; n < count; n++) {
        if (is_large(list, items[n].len) || !kv_ql_node_allows(list->fill, bytes + items[n].len + 8, node->count + n + 1)) break;
        bytes += kv_lp_item_bytes(kv_lp_str(items[n]));
    }
    return n;
}

/* Puts items into a node at its outer edge in one go. */
static kv_status add_many_at_edge(kv_quicklist *list, kv_ql_node *node, bool in_front, const kv_slice *items, size_t count) {
    size_t bytes = count * sizeof(kv_lp_item); /* as many slices exist, so this is far from an overflow */
    bool high = in_front && keeps_high(node), was_high = node->form == KV_QL_HIGH;
    kv_ql_touch(list, node);
    kv_lp_item *batch = high || kv_ql_opened(list, node) ? kv_arena_alloc(list->arena, bytes) : NULL;
    if (batch == NULL) return KV_ENOMEM;
    for (size_t i = 0; i < count; i++) batch[i] = kv_lp_str(items[in_front ? count - 1 - i : i]);
    uint8_t *lp = high ? kv_lp_high_prepend(list->arena, node->data, was_high, batch, count)
                       : kv_lp_splice(list->arena, node->data, in_front ? kv_lp_first(node->data) : NULL, 0, batch, count, NULL);
    kv_arena_free(list->arena, batch, bytes);
    count += node->count;
    return (high ? set_high(list, node, lp, count) : set_data(list, node, lp, count)) ? KV_OK : KV_ENOMEM;
}

/* The items behind those that the edge takes go into a chain of their own, made first; then the edge is changed; then the chain is hung on. */
kv_status kv_quicklist_push_many(kv_quicklist *list, kv_ql_end end, const kv_slice *items, size_t count) {
    bool in_front = end == KV_QL_HEAD;
    kv_ql_node *edge = in_front ? list->head : list->tail;
    size_t near = fitting(list, edge, items, count);
    kv_quicklist chain = {.arena = list->arena, .large = list->large, .fill = list->fill};
    kv_status status = KV_OK;
    for (size_t i = near; status == KV_OK && i < count; i++) status = kv_quicklist_push(&chain, end, items[i]);
    if (status == KV_OK && near == 1) status = add_at_edge(list, edge, in_front, items[0]);
    if (status == KV_OK && near > 1) status = add_many_at_edge(list, edge, in_front, items, near);
    if (status != KV_OK) {
        while (chain.head != NULL) drop_node(&chain, chain.head);
        return status;
    }
    if (chain.head == NULL) return KV_OK;
    kv_ql_node *left = in_front ? chain.tail : list->tail, *right = in_front ? list->head : chain.head;
    if (in_front || list->head == NULL) list->head = chain.head;
    if (!in_front || list->tail == NULL) list->tail = chain.tail;
    if (left != NULL) left->next = right;
    if (right != NULL) right->prev = left;
    list->count += chain.count;
    list->nodes += chain.nodes;
    list->bytes += chain.bytes;
    if (list->depth > 0) kv_ql_arrange(list, NULL, 0);
    return KV_OK;
}

/* Between two neighbours (either may be NULL): into the one that has room, else into a node of its own. */
static kv_status add_between(kv_quicklist *list, kv_ql_node *left, kv_ql_node *right, kv_slice item) {
    if (has_room(list, left, item)) return add_at_edge(list, left, false, item);
    if (has_room(list, right, item)) return add_at_edge(list, right, true, item);
    return add_node(list, left, item);
}

/* pos->node is raw. */
static kv_status insert(kv_quicklist *list, const kv_ql_pos *pos, bool after, kv_slice item) {
    kv_ql_node *node = pos->node;
    if (has_room(list, node, item)) {
        uint8_t *lp = after ? kv_lp_insert_after(list->arena, node->data, pos->at, item, NULL)
                            : kv_lp_insert_before(list->arena, node->data, pos->at, item, NULL);
        return set_data(list, node, lp, node->count + (size_t)1) ? KV_OK : KV_ENOMEM;
    }
    size_t at = pos->offset + after; /* items of the node before the new one */
    if (at == 0) return add_between(list, node->prev, node, item);
    if (at == node->count) return add_between(list, node, node->next, item);
    if (split(list, node, at) != KV_OK) return KV_ENOMEM;
    kv_ql_node *right = node->next;
    if (is_large(list, item.len)) return add_node(list, node, item);
    /* The half that was cut off takes the item, whatever its size; the half with the position is what the neighbours are joined around. */
    kv_status status = add_at_edge(list, after ? right : node, after, item);
    settle(list, after ? node : right);
    return status;
}

/* Inserting, replacing and what they make of the neighbours stay within two nodes on either side, and make one or two more. */
enum { REACH = 3, REACHED = 2 * REACH + 3 };

kv_status kv_quicklist_insert(kv_quicklist *list, kv_ql_pos *pos, bool after, kv_slice item) {
    take_over(list, pos);
    kv_ql_node *from = list->depth > 0 ? before(pos->node, REACH) : NULL;
    kv_status status = insert(list, pos, after, item);
    if (list->depth > 0) kv_ql_arrange(list, from, REACHED);
    return status;
}

/* Takes the last item off a node that has several. */
static kv_status drop_last(kv_quicklist *list, kv_ql_node *node) {
    uint8_t *lp = kv_lp_delete_range(list->arena, node->data, -1, 1);
    return set_data(list, node, lp, node->count - (size_t)1) ? KV_OK : KV_ENOMEM;
}

/* A plain item by another one: a node for a node, or, when it is small now, into the next node if that has room. */
static kv_status replace_plain(kv_quicklist *list, kv_ql_node *node, kv_slice item) {
    kv_status status = has_room(list, node->next, item) ? add_at_edge(list, node->next, true, item) : add_node(list, node, item);
    if (status == KV_OK) drop_node(list, node);
    return status;
}

/* pos->node is raw. */
static kv_status replace(kv_quicklist *list, const kv_ql_pos *pos, kv_slice item) {
    kv_ql_node *node = pos->node;
    if (node->plain) return replace_plain(list, node, item);
    if (!is_large(list, item.len) && kv_lp_fits(node->data, kv_lp_item_bytes(kv_lp_str(item)))) {
        uint8_t *lp = kv_lp_replace(list->arena, node->data, pos->at, item, NULL);
        return set_data(list, node, lp, node->count) ? KV_OK : KV_ENOMEM;
    }
    /* Otherwise a node of its own takes the place: what is behind the old item is split off first, then the item is the node's last. */
    kv_ql_node *fresh = node_of(list, item);
    if (fresh == NULL) return KV_ENOMEM;
    if ((pos->offset + 1 < node->count && split(list, node, pos->offset + 1) != KV_OK) ||
        (pos->offset > 0 && drop_last(list, node) != KV_OK)) {
        node_free(list->arena, fresh);
        return KV_ENOMEM;
    }
    link_after(list, fresh, node);
    if (pos->offset == 0) drop_node(list, node);
    settle(list, fresh);
    return KV_OK;
}

kv_status kv_quicklist_set(kv_quicklist *list, kv_ql_pos *pos, kv_slice item) {
    take_over(list, pos);
    kv_ql_node *from = list->depth > 0 ? before(pos->node, REACH) : NULL;
    kv_status status = replace(list, pos, item);
    if (list->depth > 0) kv_ql_arrange(list, from, REACHED);
    return status;
}

/* Removes the item at pos from a raw node that has several; pos is at the following one, or NULL at the node's end. */
static kv_status delete_in_node(kv_quicklist *list, kv_ql_pos *pos) {
    uint8_t *lp = kv_lp_delete(list->arena, pos->node->data, pos->at, &pos->at);
    if (!set_data(list, pos->node, lp, pos->node->count - (size_t)1)) return KV_ENOMEM;
    pos->data = lp;
    return KV_OK;
}

kv_status kv_quicklist_open_end(kv_quicklist *list, kv_ql_end end) {
    kv_ql_node *node = end == KV_QL_HEAD ? list->head : list->tail;
    return node == NULL || kv_ql_unpacked(list, node) ? KV_OK : KV_ENOMEM;
}

kv_status kv_quicklist_pop(kv_quicklist *list, kv_ql_end end) {
    kv_ql_node *node = end == KV_QL_HEAD ? list->head : list->tail;
    if (node == NULL) return KV_ENOTFOUND;
    if (node->count == 1) {
        drop_node(list, node);
        if (list->depth > 0) kv_ql_arrange(list, NULL, 0);
        return KV_OK;
    }
    kv_ql_touch(list, node);
    if (end == KV_QL_HEAD && keeps_high(node)) {
        uint8_t *high = kv_lp_high_delete_first(list->arena, node->data, node->form == KV_QL_HIGH);
        return set_high(list, node, high, node->count - (size_t)1) ? KV_OK : KV_ENOMEM;
    }
    if (!kv_ql_opened(list, node)) return KV_ENOMEM;
    kv_ql_pos pos = {.list = list};
    (void)enter(&pos, node, end == KV_QL_TAIL);
    return delete_in_node(list, &pos);
}

/* Cuts `head_cut` items from `offset` on off the first node and `tail_cut` from the start of the last; both or neither. */
static kv_status cut_ends(kv_quicklist *list, kv_ql_node *first, size_t offset, size_t head_cut, kv_ql_node *last, size_t tail_cut) {
    uint8_t *copy = NULL, *lp;
    if (tail_cut > 0) {
        copy = kv_lp_dup(list->arena, last->data);
        if (copy == NULL) return KV_ENOMEM;
        lp = kv_lp_delete_range(list->arena, copy, 0, tail_cut);
        if (lp == NULL) goto failed;
        copy = lp;
    }
    if (head_cut > 0) {
        lp = kv_lp_delete_range(list->arena, first->data, (int64_t)offset, head_cut);
        if (!set_data(list, first, lp, first->count - head_cut)) goto failed;
    }
    if (copy != NULL) {
        kv_lp_free(list->arena, last->data);
        (void)set_data(list, last, copy, last->count - tail_cut);
    }
    return KV_OK;
failed:
    kv_lp_free(list->arena, copy);
    return KV_ENOMEM;
}

/* Removes n > 0 items, all there, from number `offset` of `first` on. */
static kv_status delete_from(kv_quicklist *list, kv_ql_node *first, size_t offset, size_t n) {
    kv_ql_node *whole = first; /* the first that goes as a whole */
    size_t head_cut = 0;
    if (offset > 0) {
        head_cut = n < first->count - offset ? n : first->count - offset;
        n -= head_cut;
        whole = first->next;
    }
    kv_ql_node *last = whole;
    for (; n > 0 && n >= last->count; last = last->next) n -= last->count;
    if ((head_cut > 0 && !kv_ql_opened(list, first)) || (n > 0 && !kv_ql_opened(list, last)) ||
        cut_ends(list, first, offset, head_cut, last, n) != KV_OK) {
        if (list->depth > 0) kv_ql_arrange(list, last, 1); /* it may be far from the first, and raw now */
        return KV_ENOMEM;
    }
    kv_ql_node *left = head_cut > 0 ? first : whole != NULL ? whole->prev : NULL;
    for (kv_ql_node *next; whole != last; whole = next) {
        next = whole->next;
        drop_node(list, whole);
    }
    try_join(list, left, last);
    return KV_OK;
}

kv_status kv_quicklist_delete_range(kv_quicklist *list, int64_t start, size_t count, size_t *removed) {
    if (removed != NULL) *removed = 0;
    if (start < 0 && (size_t)0 - (size_t)start > list->count) start = 0;
    size_t index = start < 0 ? list->count - ((size_t)0 - (size_t)start) : (size_t)start;
    if (count == 0 || index >= list->count) return KV_OK;
    size_t n = count < list->count - index ? count : list->count - index, offset;
    kv_ql_node *first = node_at(list, index, &offset), *from = list->depth > 0 ? before(first, REACH) : NULL;
    kv_status status = delete_from(list, first, offset, n);
    if (list->depth > 0) kv_ql_arrange(list, from, REACHED);
    if (status == KV_OK && removed != NULL) *removed = n;
    return status;
}

/* Removes up to `most` matching items of one node; *removed counts them. The node is gone when all its items were. */
static kv_status remove_in_node(kv_quicklist *list, kv_ql_node *node, kv_slice text, bool backwards, size_t most, size_t *removed) {
    kv_ql_pos pos = {.list = list};
    kv_status status = enter(&pos, node, backwards);
    for (size_t left = node->count; status == KV_OK && left > 0 && most > 0; left--) {
        if (!kv_ql_equals(&pos, text)) {
            if (left > 1) (void)(backwards ? kv_ql_prev(&pos) : kv_ql_next(&pos));
            continue;
        }
        if (node->count == 1) {
            kv_ql_pos_end(&pos);
            drop_node(list, node);
            ++*removed;
            return KV_OK;
        }
        take_over(list, &pos);
        if ((status = delete_in_node(list, &pos)) != KV_OK) break;
        ++*removed;
        most--;
        if (!backwards || left == 1) continue;
        pos.at = pos.at != NULL ? kv_lp_prev(pos.data, pos.at) : kv_lp_last(pos.data);
        pos.offset--;
    }
    if (status == KV_OK) kv_ql_pos_end(&pos);
    return status;
}

kv_status kv_quicklist_remove(kv_quicklist *list, kv_slice text, int64_t n, size_t *removed) {
    bool backwards = n < 0;
    size_t most = n == 0 ? SIZE_MAX : backwards ? (size_t)0 - (size_t)n : (size_t)n;
    *removed = 0;
    kv_status status = KV_OK;
    for (kv_ql_node *node = backwards ? list->tail : list->head, *onwards; node != NULL && status == KV_OK && *removed < most;
         node = onwards) {
        onwards = backwards ? node->prev : node->next;
        kv_ql_node *left = node->prev;
        size_t so_far = *removed;
        /* What is left of neighbours is not joined: nor does Valkey, and it would show in OBJECT ENCODING. */
        status = remove_in_node(list, node, text, backwards, most - *removed, removed);
        if (list->depth > 0 && (*removed > so_far || status != KV_OK)) kv_ql_arrange(list, left, 2);
    }
    return status;
}

/* Takes the item at the edge of a listpack to the other end. The copy that goes there is made first; it becomes a node if the one there cannot take it. */
static kv_status rotate_item(kv_quicklist *list, kv_ql_node *node, kv_ql_end from) {
    kv_ql_pos pos = {.list = list};
    char scratch[KV_LP_SCRATCH];
    if (!kv_ql_opened(list, node)) return KV_ENOMEM;
    (void)enter(&pos, node, from == KV_QL_TAIL);
    kv_ql_node *fresh = node_of(list, kv_ql_text(&pos, scratch));
    if (fresh == NULL) return KV_ENOMEM;
    if (node->count == 1) {
        drop_node(list, node);
    } else if (delete_in_node(list, &pos) != KV_OK) {
        node_free(list->arena, fresh);
        return KV_ENOMEM;
    }
    kv_ql_node *other = from == KV_QL_HEAD ? list->tail : list->head;
    kv_slice item = fresh->plain ? kv_slice_of(fresh->data, fresh->bytes) : kv_lp_text(kv_lp_first(fresh->data), scratch);
    if (has_room(list, other, item) && add_at_edge(list, other, from == KV_QL_TAIL, item) == KV_OK) node_free(list->arena, fresh);
    else link_after(list, fresh, from == KV_QL_HEAD ? list->tail : NULL);
    return KV_OK;
}

kv_status kv_quicklist_rotate(kv_quicklist *list, kv_ql_end from) {
    kv_ql_node *node = from == KV_QL_HEAD ? list->head : list->tail;
    if (node == NULL) return KV_ENOTFOUND;
    if (list->count == 1) return KV_OK;
    kv_status status = KV_OK;
    if (node->plain) {
        unlink_node(list, node);
        link_after(list, node, from == KV_QL_HEAD ? list->tail : NULL);
    } else {
        status = rotate_item(list, node, from);
    }
    if (list->depth > 0) kv_ql_arrange(list, NULL, 0);
    return status;
}

/* ---- check ---- */

static bool listpack_check(const kv_ql_node *node, const uint8_t *lp) {
    return kv_lp_validate(lp, node->bytes, true) && kv_lp_count(lp) == node->count;
}

static bool node_check(const kv_quicklist *list, const kv_ql_node *node) {
    if (node->count == 0 || node->data == NULL || !kv_ql_form_check(list, node)) return false;
    bool good = !node->plain || node->count == 1;
    if (node->form != KV_QL_PACKED) return good && (node->plain || listpack_check(node, node->data));
    uint8_t *copy = kv_ql_expanded(list->arena, node);
    if (copy == NULL) return good;
    if (!node->plain) good = listpack_check(node, copy);
    kv_arena_free(list->arena, copy, node->bytes);
    return good;
}

bool kv_quicklist_check(const kv_quicklist *list) {
    size_t count = 0, nodes = 0, bytes = 0;
    const kv_ql_node *prev = NULL;
    for (const kv_ql_node *node = list->head; node != NULL; prev = node, node = node->next) {
        if (node->prev != prev || !node_check(list, node)) return false;
        count += node->count;
        nodes++;
        bytes += kv_arena_good_size(sizeof *node) + data_cost(node);
    }
    return list->tail == prev && count == list->count && nodes == list->nodes && bytes == list->bytes;
}
