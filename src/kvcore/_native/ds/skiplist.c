/* A skiplist over packed nodes.
 *
 *   head  -------------------------------> N3 ------------------------> end     level 2
 *   head  -----------> N2 ---------------> N3 ------------------------> end     level 1
 *   head  -> N1 -----> N2 -----> .. -----> N3 -----> ..  -------------> end     level 0
 *         prev <-      prev <-                              <- tail
 *
 *   node, 512 bytes:  prev | count cap height | links[height] {next, span, first} | elem[cap]
 *
 * Nodes are in order and so are the element pointers in a node. A link repeats the score that its target starts with, so that a walk along the links
 * touches only nodes it passes, and an element only on equal scores. A node of height h has room for 62 - 3h elements: all nodes are of one size.
 * The span of a link counts the elements from the start of its node to the start of the next: ranks are sums of spans.
 *
 * A search passes about 1.5 nodes on each of log4(nodes) levels, then looks for its place among the elements of one node by trying seven places at a
 * time, all fetched together: three cache misses instead of six.
 * An element of the list is found in its node by address, which touches no element at all.
 *
 * Changing. An insert into a full node hands elements to the next node if that has room, else splits; at either end of the list it starts a new
 * node instead, so ascending and descending inserts leave full nodes. A remove merges a node that is under a quarter full with a neighbour
 * when they fill at most three quarters together. Spans are corrected along the path of the search; where the structure changes, the path is found again
 * by rank, which compares no keys. The first node of a list starts small and grows while it is alone.
 *
 * Measured at one million elements (13-byte members, random scores): insert 1.1 us, rank 1.3 us, element of a rank 0.5 us, a step of a walk 13-36 ns,
 * 12 bytes an element in nodes (8.8 when inserted in order); benchmarks/c/bench_ds.c, docs/design/skiplist.md.
 *
 * Invariants: no node is empty; elements ascend strictly by (score, member); a node below the full size is the only one; the head's links reach
 * every node of their level; spans of each level add up to count; levels above 1 are not empty. */
#include "ds/skiplist.h"

enum { NODE_BYTES = 512, SMALL_CAP = 6, SPILL_ROOM = 6 };

struct kv_znode {
    kv_znode *prev;
    uint16_t count, cap;
    uint8_t height;
    kv_zlink links[];
};

/* The place of a node: on each level the last node before it (NULL: the head). */
typedef struct path {
    kv_znode *node[KV_SKIPLIST_LEVELS];
} path;

static inline kv_zelem **elems_of(const kv_znode *node) { return (kv_zelem **)(uintptr_t)(node->links + node->height); }

static inline kv_zlink *links_of(kv_skiplist *list, kv_znode *node) { return node != NULL ? node->links : list->head; }
static inline const kv_zlink *const_links(const kv_skiplist *list, const kv_znode *node) { return node != NULL ? node->links : list->head; }

static size_t node_bytes(unsigned height, unsigned cap) { return sizeof(kv_znode) + height * sizeof(kv_zlink) + cap * sizeof(kv_zelem *); }
static unsigned full_cap(unsigned height) { return (unsigned)((NODE_BYTES - node_bytes(height, 0)) / sizeof(kv_zelem *)); }

/* ---- elements ---- */

static size_t elem_bytes(size_t len) { return sizeof(kv_zelem) + (len < 255 ? 1 : 5) + len; }

kv_zelem *kv_zelem_new(kv_arena *arena, double score, kv_slice member) {
    if (member.len > UINT32_MAX) return NULL;
    kv_zelem *elem = kv_arena_alloc(arena, elem_bytes(member.len));
    if (elem == NULL) return NULL;
    elem->score = score;
    uint8_t *at = elem->data;
    if (member.len < 255) {
        *at++ = (uint8_t)member.len;
    } else {
        uint32_t len = (uint32_t)member.len;
        *at++ = 255;
        memcpy(at, &len, 4);
        at += 4;
    }
    if (member.len > 0) memcpy(at, member.ptr, member.len);
    return elem;
}

size_t kv_zelem_bytes(const kv_zelem *elem) { return elem_bytes(kv_zelem_member(elem).len); }
void kv_zelem_free(kv_arena *arena, kv_zelem *elem) { kv_arena_free(arena, elem, kv_zelem_bytes(elem)); }
kv_slice kv_zelem_key(const void *elem) { return kv_zelem_member(elem); }

/* ---- probes: what a search asks of an element ---- */

typedef enum probe_kind { BY_KEY, BY_SCORE, BY_MEMBER } probe_kind;
typedef struct probe {
    double score;
    kv_slice member;
    probe_kind kind;
    bool or_equal; /* equal elements count as before the place */
} probe;

static bool elem_before(const probe *p, const kv_zelem *elem) {
    if (p->kind != BY_MEMBER) {
        if (elem->score != p->score) return elem->score < p->score;
        if (p->kind == BY_SCORE) return p->or_equal;
    }
    int order = kv_slice_cmp(kv_zelem_member(elem), p->member);
    return order < 0 || (order == 0 && p->or_equal);
}

/* Is the first element of the node that a link leads to before the place? By key, a node that starts with the very element holds it. */
static inline bool target_before(const probe *p, const kv_zlink *link) {
    if (p->kind != BY_MEMBER && link->first != p->score) return link->first < p->score;
    if (p->kind != BY_KEY) return elem_before(p, elems_of(link->next)[0]);
    return kv_slice_cmp(kv_zelem_member(elems_of(link->next)[0]), p->member) <= 0;
}

/* How many elements of the node are before the place. */
static unsigned slot_for(const probe *p, const kv_znode *node) {
    kv_zelem *const *elems = elems_of(node);
    unsigned low = 0, n = node->count;
    while (n > 8) {
        for (unsigned k = 1; k < 8; k++) __builtin_prefetch(elems[low + n * k / 8]);
        unsigned a = 0, b = 8;
        while (b - a > 1) {
            unsigned k = (a + b) / 2;
            if (elem_before(p, elems[low + n * k / 8])) a = k;
            else b = k;
        }
        unsigned from = a > 0 ? n * a / 8 + 1 : 0, to = b < 8 ? n * b / 8 : n;
        low += from;
        n = to - from;
    }
    for (unsigned i = 0; i < n; i++) __builtin_prefetch(elems[low + i]);
    while (n > 0) {
        unsigned half = n / 2;
        if (elem_before(p, elems[low + half])) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return low;
}

/* The last node that starts before the place (NULL: none does), its position in *pos, and where each level was left in *way. */
static kv_znode *search(const kv_skiplist *list, const probe *p, size_t *pos, path *way) {
    kv_znode *node = NULL, *beyond = NULL; /* beyond: known not to be before */
    size_t at = 0;
    for (unsigned level = list->levels; level-- > 0;) {
        for (;;) {
            const kv_zlink *link = const_links(list, node) + level;
            if (link->next == NULL || link->next == beyond) break;
            if (!target_before(p, link)) {
                beyond = link->next;
                break;
            }
            at += link->span;
            node = link->next;
        }
        if (way != NULL) way->node[level] = node;
    }
    *pos = at;
    return node;
}

/* The node that holds the element of this rank (< count). */
static kv_znode *node_of_rank(const kv_skiplist *list, size_t rank, size_t *pos) {
    kv_znode *node = NULL;
    size_t at = 0;
    for (unsigned level = list->levels; level-- > 0;) {
        for (const kv_zlink *link; (link = const_links(list, node) + level)->next != NULL && at + link->span <= rank; node = link->next)
            at += link->span;
    }
    *pos = at;
    return node;
}

/* The nodes before the one that starts at position pos, and their positions. */
static void path_to(const kv_skiplist *list, size_t pos, path *way, size_t positions[KV_SKIPLIST_LEVELS]) {
    kv_znode *node = NULL;
    size_t at = 0;
    for (unsigned level = list->levels; level-- > 0;) {
        for (const kv_zlink *link; (link = const_links(list, node) + level)->next != NULL && at + link->span < pos; node = link->next)
            at += link->span;
        way->node[level] = node;
        if (positions != NULL) positions[level] = at;
    }
}

/* ---- structure ---- */

void kv_skiplist_init(kv_skiplist *list, kv_arena *arena, uint64_t seed) {
    *list = (kv_skiplist){.arena = arena, .levels = 1};
    list->random = seed * 2 + 1;
}

static unsigned random_height(kv_skiplist *list) {
    list->random ^= list->random << 13;
    list->random ^= list->random >> 7;
    list->random ^= list->random << 17;
    uint64_t bits = list->random * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    unsigned height = 1;
    for (; height < KV_SKIPLIST_LEVELS && (bits & 3) == 0; bits >>= 2) height++;
    return height;
}

/* Makes an empty node in a block of node_bytes(height, cap). */
static kv_znode *node_setup(kv_skiplist *list, void *block, unsigned height, unsigned cap) {
    kv_znode *node = block;
    *node = (kv_znode){.cap = (uint16_t)cap, .height = (uint8_t)height};
    list->bytes += kv_arena_good_size(node_bytes(height, cap));
    return node;
}

static void node_free(kv_skiplist *list, kv_znode *node) {
    size_t bytes = node_bytes(node->height, node->cap);
    list->bytes -= kv_arena_good_size(bytes);
    kv_arena_free(list->arena, node, bytes);
}

/* Puts a node in at position pos; the elements it has are already counted by the links over it. */
static void link_node(kv_skiplist *list, kv_znode *node, size_t pos) {
    path way;
    size_t positions[KV_SKIPLIST_LEVELS];
    for (; list->levels < node->height; list->levels++) list->head[list->levels] = (kv_zlink){NULL, list->count, 0};
    path_to(list, pos, &way, positions);
    for (unsigned level = 0; level < node->height; level++) {
        kv_zlink *link = links_of(list, way.node[level]) + level;
        node->links[level] = (kv_zlink){link->next, positions[level] + link->span - pos, link->first};
        *link = (kv_zlink){node, pos - positions[level], node->count > 0 ? elems_of(node)[0]->score : 0};
    }
    node->prev = way.node[0];
    if (node->links[0].next != NULL) node->links[0].next->prev = node;
    else list->tail = node;
}

/* Takes a node out; links over it keep counting what it counted. */
static void unlink_node(kv_skiplist *list, kv_znode *node, size_t pos) {
    path way;
    path_to(list, pos, &way, NULL);
    for (unsigned level = 0; level < node->height; level++) {
        kv_zlink *link = links_of(list, way.node[level]) + level;
        link->span += node->links[level].span;
        link->next = node->links[level].next;
        link->first = node->links[level].first;
    }
    if (node->links[0].next != NULL) node->links[0].next->prev = node->prev;
    else list->tail = node->prev;
    while (list->levels > 1 && list->head[list->levels - 1].next == NULL) list->levels--;
    node_free(list, node);
}

/* The links over the start of `node` and all that follows in it: of the node itself as high as it goes, of the path above. */
static void adjust_spans(kv_skiplist *list, const path *way, kv_znode *node, size_t delta) {
    for (unsigned level = 0; level < list->levels; level++)
        links_of(list, level < node->height ? node : way->node[level])[level].span += delta;
}

/* The node starts with another score than before: tells the links that lead to it. */
static void first_changed(kv_skiplist *list, const path *way, kv_znode *node) {
    for (unsigned level = 0; level < node->height; level++) links_of(list, way->node[level])[level].first = elems_of(node)[0]->score;
}

static void put(kv_znode *node, unsigned slot, kv_zelem *elem) {
    kv_zelem **elems = elems_of(node);
    memmove(elems + slot + 1, elems + slot, (node->count - slot) * sizeof *elems);
    elems[slot] = elem;
    node->count++;
}

static void cut(kv_znode *node, unsigned slot, unsigned n) {
    kv_zelem **elems = elems_of(node);
    memmove(elems + slot, elems + slot + n, (node->count - slot - n) * sizeof *elems);
    node->count = (uint16_t)(node->count - n);
}

/* Doubles the room of a lone small node, which may move. */
static kv_znode *grow_alone(kv_skiplist *list, kv_znode *node) {
    unsigned most = full_cap(node->height), cap = node->cap * 2u < most ? node->cap * 2u : most;
    size_t before = node_bytes(node->height, node->cap), after = node_bytes(node->height, cap);
    kv_znode *moved = kv_arena_realloc(list->arena, node, before, after);
    if (moved == NULL) return NULL;
    moved->cap = (uint16_t)cap;
    list->bytes += kv_arena_good_size(after) - kv_arena_good_size(before);
    for (unsigned level = 0; level < moved->height; level++) list->head[level].next = moved;
    list->tail = moved;
    return moved;
}

/* Moves elements from the end of a full node to the next one, `next` being at position pos. */
static void spill(kv_skiplist *list, kv_znode *node, kv_znode *next, size_t pos) {
    unsigned n = (unsigned)(next->cap - next->count + 1) / 2;
    if (n > node->count / 2u) n = node->count / 2u;
    path way;
    path_to(list, pos, &way, NULL);
    kv_zelem **from = elems_of(node), **to = elems_of(next);
    memmove(to + n, to, next->count * sizeof *to);
    memcpy(to, from + node->count - n, n * sizeof *to);
    node->count = (uint16_t)(node->count - n);
    next->count = (uint16_t)(next->count + n);
    first_changed(list, &way, next);
    for (unsigned level = 0; level < next->height; level++) {
        links_of(list, way.node[level])[level].span -= n;
        next->links[level].span += n;
    }
}

/* Makes room for an element that belongs at *slot of *node, which starts at *pos and may be NULL in an empty list; the three then say where the
 * element goes. `spare` is a block for a node, or NULL to allocate one; *spare_used tells. False: out of memory, no change. */
static bool make_room(kv_skiplist *list, kv_znode **node, unsigned *slot, size_t *pos, void *spare, bool *spare_used) {
    kv_znode *full = *node;
    if (full != NULL && full->cap < full_cap(full->height)) return (*node = grow_alone(list, full)) != NULL;
    bool at_end = full == NULL || (full == list->tail && *slot == full->count), at_start = !at_end && *slot == 0;
    kv_znode *next = full != NULL ? full->links[0].next : NULL;
    if (!at_start && next != NULL && next->cap - next->count >= SPILL_ROOM) {
        spill(list, full, next, *pos + full->count);
    } else {
        unsigned height = random_height(list), cap = full == NULL ? SMALL_CAP : full_cap(height);
        void *block = spare != NULL ? spare : kv_arena_alloc(list->arena, node_bytes(height, cap));
        if (block == NULL) return false;
        *spare_used = block == spare;
        next = node_setup(list, block, height, cap);
        if (at_start || at_end) {
            if (at_end && full != NULL) *pos += full->count;
            link_node(list, next, *pos);
            *node = next;
            *slot = 0;
            return true;
        }
        unsigned keep = full->count / 2u, moving = full->count - keep; /* at most 30: the tallest node holds 32 */
        memcpy(elems_of(next), elems_of(full) + keep, moving * sizeof(kv_zelem *));
        next->count = (uint16_t)moving;
        full->count = (uint16_t)keep;
        link_node(list, next, *pos + keep);
    }
    if (*slot > full->count) {
        *slot -= full->count;
        *pos += full->count;
        *node = next;
    }
    return true;
}

static probe key_probe(double score, kv_slice member) { return (probe){score, member, BY_KEY, false}; }

static kv_status insert_with(kv_skiplist *list, kv_zelem *elem, size_t *rank, void *spare, bool *spare_used) {
    path way;
    size_t pos;
    probe p = key_probe(elem->score, kv_zelem_member(elem));
    kv_znode *node = search(list, &p, &pos, &way);
    unsigned slot = 0;
    if (node != NULL) slot = slot_for(&p, node);
    else node = list->head[0].next;
    if (node == NULL || node->count == node->cap) {
        if (!make_room(list, &node, &slot, &pos, spare, spare_used)) return KV_ENOMEM;
        path_to(list, pos, &way, NULL);
    }
    put(node, slot, elem);
    if (slot == 0) first_changed(list, &way, node); /* a new node, or the first of all: in both cases the path leads to it */
    adjust_spans(list, &way, node, 1);
    list->count++;
    if (rank != NULL) *rank = pos + slot;
    return KV_OK;
}

kv_status kv_skiplist_insert(kv_skiplist *list, kv_zelem *elem, size_t *rank) {
    bool unused;
    return insert_with(list, elem, rank, NULL, &unused);
}

/* Joins a node that has become small with a neighbour. */
static void merge(kv_skiplist *list, kv_znode *node, size_t pos) {
    if (node->count * 4u >= node->cap) return;
    kv_znode *next = node->links[0].next;
    if (next == NULL || (node->count + next->count) * 4u > node->cap * 3u) {
        next = node;
        node = node->prev;
        if (node == NULL || (node->count + next->count) * 4u > node->cap * 3u) return;
        pos -= node->count;
    }
    size_t border = pos + node->count;
    memcpy(elems_of(node) + node->count, elems_of(next), next->count * sizeof(kv_zelem *));
    node->count = (uint16_t)(node->count + next->count);
    unlink_node(list, next, border);
}

/* Takes n elements out of a node; the path leads to it. True: the node is still there. */
static bool take_out(kv_skiplist *list, const path *way, kv_znode *node, size_t pos, unsigned slot, unsigned n) {
    adjust_spans(list, way, node, (size_t)0 - n);
    list->count -= n;
    cut(node, slot, n);
    if (node->count == 0) {
        unlink_node(list, node, pos);
        return false;
    }
    if (slot == 0) {
        path before;
        path_to(list, pos, &before, NULL);
        first_changed(list, &before, node);
    }
    return true;
}

/* The node, slot and position of the element with this key; NULL: absent. */
static kv_znode *find(const kv_skiplist *list, double score, kv_slice member, unsigned *slot, size_t *pos, path *way) {
    probe p = key_probe(score, member);
    kv_znode *node = search(list, &p, pos, way);
    if (node == NULL) return NULL;
    *slot = slot_for(&p, node);
    if (*slot == node->count) return NULL;
    const kv_zelem *elem = elems_of(node)[*slot];
    return elem->score == score && kv_slice_eq(kv_zelem_member(elem), member) ? node : NULL;
}

/* The same for an element of the list: its slot is found by address, which touches no other element. */
static kv_znode *find_elem(const kv_skiplist *list, const kv_zelem *elem, unsigned *slot, size_t *pos, path *way) {
    probe p = key_probe(elem->score, kv_zelem_member(elem));
    kv_znode *node = search(list, &p, pos, way);
    if (node == NULL) return NULL;
    kv_zelem *const *elems = elems_of(node);
    for (*slot = 0; *slot < node->count; ++*slot)
        if (elems[*slot] == elem) return node;
    return NULL;
}

static kv_zelem *remove_from(kv_skiplist *list, const path *way, kv_znode *node, size_t pos, unsigned slot) {
    kv_zelem *elem = elems_of(node)[slot];
    if (take_out(list, way, node, pos, slot, 1)) merge(list, node, pos);
    return elem;
}

kv_zelem *kv_skiplist_remove(kv_skiplist *list, double score, kv_slice member) {
    path way;
    size_t pos;
    unsigned slot;
    kv_znode *node = find(list, score, member, &slot, &pos, &way);
    return node != NULL ? remove_from(list, &way, node, pos, slot) : NULL;
}

bool kv_skiplist_remove_elem(kv_skiplist *list, const kv_zelem *elem) {
    path way;
    size_t pos;
    unsigned slot;
    kv_znode *node = find_elem(list, elem, &slot, &pos, &way);
    return node != NULL && remove_from(list, &way, node, pos, slot) != NULL;
}

/* Would the element of this slot still be in order with another score? */
static bool fits_in_place(const kv_znode *node, unsigned slot, double score) {
    const kv_zelem *elem = elems_of(node)[slot], *before = NULL, *after = NULL;
    if (slot > 0) before = elems_of(node)[slot - 1];
    else if (node->prev != NULL) before = elems_of(node->prev)[node->prev->count - 1];
    if (slot + 1u < node->count) after = elems_of(node)[slot + 1];
    else if (node->links[0].next != NULL) after = elems_of(node->links[0].next)[0];
    probe p = key_probe(score, kv_zelem_member(elem));
    return (before == NULL || elem_before(&p, before)) && (after == NULL || !elem_before(&p, after));
}

/* Gives the element another score when that leaves it in its place. */
static bool rescore_in_place(kv_skiplist *list, kv_znode *node, unsigned slot, size_t pos, double score) {
    if (!fits_in_place(node, slot, score)) return false;
    elems_of(node)[slot]->score = score;
    if (slot == 0) {
        path way;
        path_to(list, pos, &way, NULL);
        first_changed(list, &way, node);
    }
    return true;
}

kv_status kv_skiplist_update(kv_skiplist *list, kv_zelem *elem, double score) {
    path way;
    size_t pos;
    unsigned slot;
    kv_znode *node = find_elem(list, elem, &slot, &pos, &way);
    if (node == NULL) return KV_ENOTFOUND;
    if (rescore_in_place(list, node, slot, pos, score)) return KV_OK;
    /* The insert may need a node, which has to be there before the remove: asking for one is cheaper than finding out. A node that is alone has room
     * once the element is out of it. */
    void *spare = NULL;
    if (list->tail != list->head[0].next && (spare = kv_arena_alloc(list->arena, NODE_BYTES)) == NULL) return KV_ENOMEM;
    bool used = false;
    (void)remove_from(list, &way, node, pos, slot);
    elem->score = score;
    (void)insert_with(list, elem, NULL, spare, &used);
    if (spare != NULL && !used) kv_arena_free(list->arena, spare, NODE_BYTES);
    return KV_OK;
}

/* ---- rescoring that can be undone ---- */

static void pool_add(kv_znode_pool *pool, void *block) {
    memcpy(block, &pool->first, sizeof pool->first);
    pool->first = block;
    pool->count++;
}

static void *pool_take(kv_znode_pool *pool) {
    void *block = pool->first;
    memcpy(&pool->first, block, sizeof pool->first);
    pool->count--;
    return block;
}

/* Out and in again, with a block of the pool, which has one. */
static void move_with_pool(kv_skiplist *list, const path *way, kv_znode *node, size_t pos, unsigned slot, double score,
                           kv_znode_pool *pool) {
    void *spare = pool_take(pool);
    bool used = false;
    kv_zelem *elem = remove_from(list, way, node, pos, slot);
    elem->score = score;
    (void)insert_with(list, elem, NULL, spare, &used);
    if (!used) pool_add(pool, spare);
}

kv_status kv_skiplist_rescore(kv_skiplist *list, kv_zelem *elem, double score, kv_znode_pool *pool) {
    path way;
    size_t pos;
    unsigned slot;
    kv_znode *node = find_elem(list, elem, &slot, &pos, &way);
    if (node == NULL) return KV_ENOTFOUND;
    if (rescore_in_place(list, node, slot, pos, score)) return KV_OK;
    while (pool->count < pool->owed + 2) { /* for this move, and for all ways back */
        void *block = kv_arena_alloc(list->arena, NODE_BYTES);
        if (block == NULL) return KV_ENOMEM;
        pool_add(pool, block);
    }
    pool->owed++;
    move_with_pool(list, &way, node, pos, slot, score, pool);
    return KV_OK;
}

void kv_skiplist_rescore_back(kv_skiplist *list, kv_zelem *elem, double score, kv_znode_pool *pool) {
    path way;
    size_t pos;
    unsigned slot;
    kv_znode *node = find_elem(list, elem, &slot, &pos, &way);
    if (node == NULL || rescore_in_place(list, node, slot, pos, score)) return;
    pool->owed--;
    move_with_pool(list, &way, node, pos, slot, score, pool);
}

void kv_skiplist_pool_free(kv_skiplist *list, kv_znode_pool *pool) {
    while (pool->count > 0) kv_arena_free(list->arena, pool_take(pool), NODE_BYTES);
}

bool kv_skiplist_replace(kv_skiplist *list, const kv_zelem *before, kv_zelem *after) {
    size_t pos;
    unsigned slot;
    kv_znode *node = find_elem(list, before, &slot, &pos, NULL);
    if (node == NULL) return false;
    elems_of(node)[slot] = after;
    return true;
}

void kv_skiplist_deinit(kv_skiplist *list, kv_zelem_fn fn, void *arg) {
    for (kv_znode *node = list->head[0].next, *next; node != NULL; node = next) {
        next = node->links[0].next;
        for (unsigned i = 0; i < node->count && fn != NULL; i++) fn(arg, elems_of(node)[i]);
        node_free(list, node);
    }
    kv_skiplist_init(list, list->arena, list->random / 2);
}

size_t kv_skiplist_delete_range(kv_skiplist *list, size_t from, size_t to, kv_zelem_fn fn, void *arg) {
    if (to > list->count) to = list->count;
    if (from >= to) return 0;
    for (size_t left = to - from; left > 0;) {
        path way;
        size_t pos;
        kv_znode *node = node_of_rank(list, from, &pos);
        unsigned slot = (unsigned)(from - pos), n = node->count - slot;
        if (n > left) n = (unsigned)left;
        path_to(list, pos, &way, NULL);
        for (unsigned i = 0; i < n && fn != NULL; i++) fn(arg, elems_of(node)[slot + i]);
        (void)take_out(list, &way, node, pos, slot, n);
        left -= n;
    }
    /* The nodes on both sides of the gap. */
    size_t sides[2] = {from, from - 1}, pos;
    for (unsigned i = 0; i < 2; i++) {
        if (sides[i] >= list->count) continue;
        kv_znode *node = node_of_rank(list, sides[i], &pos);
        merge(list, node, pos);
    }
    return to - from;
}

/* ---- ranks ---- */

bool kv_skiplist_rank(const kv_skiplist *list, double score, kv_slice member, size_t *rank) {
    size_t pos;
    unsigned slot;
    if (find(list, score, member, &slot, &pos, NULL) == NULL) return false;
    *rank = pos + slot;
    return true;
}

bool kv_skiplist_rank_of_elem(const kv_skiplist *list, const kv_zelem *elem, size_t *rank) {
    size_t pos;
    unsigned slot;
    if (find_elem(list, elem, &slot, &pos, NULL) == NULL) return false;
    *rank = pos + slot;
    return true;
}

static size_t rank_of(const kv_skiplist *list, const probe *p) {
    size_t pos;
    const kv_znode *node = search(list, p, &pos, NULL);
    return node != NULL ? pos + slot_for(p, node) : 0;
}

size_t kv_skiplist_rank_of_score(const kv_skiplist *list, double score, bool or_equal) {
    return rank_of(list, &(probe){score, {NULL, 0}, BY_SCORE, or_equal});
}

size_t kv_skiplist_rank_of_member(const kv_skiplist *list, kv_slice member, bool or_equal) {
    return rank_of(list, &(probe){0, member, BY_MEMBER, or_equal});
}

void kv_skiplist_score_range(const kv_skiplist *list, const kv_zrange *range, size_t *from, size_t *to) {
    *from = kv_skiplist_rank_of_score(list, range->min, range->min_open);
    *to = kv_skiplist_rank_of_score(list, range->max, !range->max_open);
    if (*to < *from) *to = *from;
}

/* Elements below a lower end, or below an upper one; the two differ in what an equal member does. */
static size_t rank_of_end(const kv_skiplist *list, const kv_lex_end *end, bool upper) {
    if (end->kind == KV_LEX_MIN) return 0;
    if (end->kind == KV_LEX_MAX) return list->count;
    return kv_skiplist_rank_of_member(list, end->member, (end->kind == KV_LEX_OPEN) != upper);
}

void kv_skiplist_lex_range(const kv_skiplist *list, const kv_lex_range *range, size_t *from, size_t *to) {
    *from = rank_of_end(list, &range->min, false);
    *to = rank_of_end(list, &range->max, true);
    if (*to < *from) *to = *from;
}

bool kv_zrange_has(const kv_zrange *range, double score) {
    return (range->min_open ? score > range->min : score >= range->min) && (range->max_open ? score < range->max : score <= range->max);
}

bool kv_lex_range_has(const kv_lex_range *range, kv_slice member) {
    if (range->min.kind == KV_LEX_MAX || range->max.kind == KV_LEX_MIN) return false;
    if (range->min.kind != KV_LEX_MIN) {
        int order = kv_slice_cmp(member, range->min.member);
        if (range->min.kind == KV_LEX_OPEN ? order <= 0 : order < 0) return false;
    }
    if (range->max.kind == KV_LEX_MAX) return true;
    int order = kv_slice_cmp(member, range->max.member);
    return range->max.kind == KV_LEX_OPEN ? order < 0 : order <= 0;
}

/* ---- walking ---- */

kv_zelem *kv_skiplist_at(const kv_skiplist *list, size_t rank, kv_zcursor *cursor) {
    if (rank >= list->count) return NULL;
    size_t pos;
    const kv_znode *node = node_of_rank(list, rank, &pos);
    *cursor = (kv_zcursor){node, (unsigned)(rank - pos)};
    return elems_of(node)[cursor->slot];
}

kv_zelem *kv_skiplist_first(const kv_skiplist *list, kv_zcursor *cursor) {
    if (list->count == 0) return NULL;
    *cursor = (kv_zcursor){list->head[0].next, 0};
    return elems_of(cursor->node)[0];
}

kv_zelem *kv_skiplist_last(const kv_skiplist *list, kv_zcursor *cursor) {
    if (list->count == 0) return NULL;
    *cursor = (kv_zcursor){list->tail, list->tail->count - 1u};
    return elems_of(cursor->node)[cursor->slot];
}

/* Entering a node, a walk fetches its first elements together. */
static void fetch_ahead(const kv_znode *node, unsigned from, unsigned n) {
    for (unsigned i = 0; i < n && from + i < node->count; i++) __builtin_prefetch(elems_of(node)[from + i]);
}

kv_zelem *kv_zcursor_next(kv_zcursor *cursor) {
    const kv_znode *node = cursor->node;
    if (++cursor->slot >= node->count) {
        node = cursor->node = node->links[0].next;
        cursor->slot = 0;
        if (node == NULL) return NULL;
        __builtin_prefetch(node->links[0].next);
        fetch_ahead(node, 1, 7);
    }
    if (cursor->slot + 8u < node->count) __builtin_prefetch(elems_of(node)[cursor->slot + 8]);
    return elems_of(node)[cursor->slot];
}

kv_zelem *kv_zcursor_prev(kv_zcursor *cursor) {
    const kv_znode *node = cursor->node;
    if (cursor->slot == 0) {
        node = cursor->node = node->prev;
        if (node == NULL) return NULL;
        cursor->slot = node->count;
        fetch_ahead(node, node->count > 8 ? node->count - 8u : 0, 7);
    }
    cursor->slot--;
    if (cursor->slot >= 8) __builtin_prefetch(elems_of(node)[cursor->slot - 8]);
    return elems_of(node)[cursor->slot];
}

/* ---- check ---- */

static bool node_check(const kv_skiplist *list, const kv_znode *node, const kv_zelem **last) {
    if (node->count == 0 || node->count > node->cap || node->height < 1 || node->height > list->levels) return false;
    if (node->cap != full_cap(node->height) && (node->cap > full_cap(node->height) || list->head[0].next != list->tail)) return false;
    for (unsigned i = 0; i < node->count; i++) {
        const kv_zelem *elem = elems_of(node)[i];
        if (elem->score != elem->score) return false;
        probe p = key_probe(elem->score, kv_zelem_member(elem));
        if (*last != NULL && !elem_before(&p, *last)) return false;
        *last = elem;
    }
    return true;
}

bool kv_skiplist_check(const kv_skiplist *list) {
    if (list->levels < 1 || list->levels > KV_SKIPLIST_LEVELS) return false;
    size_t positions[KV_SKIPLIST_LEVELS], pos = 0, bytes = 0; /* where each level's next link leads */
    double firsts[KV_SKIPLIST_LEVELS];
    const kv_znode *expected[KV_SKIPLIST_LEVELS], *prev = NULL;
    for (unsigned level = 0; level < list->levels; level++) {
        if (level > 0 && list->head[level].next == NULL) return false;
        positions[level] = list->head[level].span;
        expected[level] = list->head[level].next;
        firsts[level] = list->head[level].first;
    }
    const kv_zelem *last = NULL;
    for (const kv_znode *node = list->head[0].next; node != NULL; node = node->links[0].next) {
        if (node->prev != prev || !node_check(list, node, &last)) return false;
        for (unsigned level = 0; level < node->height; level++) {
            if (expected[level] != node || positions[level] != pos || firsts[level] != elems_of(node)[0]->score) return false;
            expected[level] = node->links[level].next;
            firsts[level] = node->links[level].first;
            positions[level] += node->links[level].span;
        }
        pos += node->count;
        bytes += kv_arena_good_size(node_bytes(node->height, node->cap));
        prev = node;
    }
    for (unsigned level = 0; level < list->levels; level++)
        if (expected[level] != NULL || positions[level] != list->count) return false;
    return list->tail == prev && pos == list->count && bytes == list->bytes;
}
