/* A counted B+ tree over elements.
 *
 *   inner, 63 children:  count cap | score[cap] | first[cap] | child[cap] | size[cap]          (32 bytes a child)
 *                             |           what child i starts with          elements in child i
 *                             v
 *   leaf, 512 bytes:     prev next base count cap shift | word[60]                             (8 bytes an element)
 *                                                           hint << 48 | address of the element
 *
 * Leaves are in order and linked. A descent reads scores in inner nodes, which the cache holds (one byte an element), and touches an element only when
 * its score is the very one. In a leaf the elements' scores would be cache misses. So each word carries, in the 16 bits that an address does
 * not use, a hint: the score's place on a scale of 65536 steps that is fitted to the leaf. Hints are a rising function of the score, so words are
 * in order; elements are compared only where hints are equal, and an element at hand is found by its whole word. A scale that has become too
 * coarse or too short is fitted again, when an insert had to look at more than a few elements: the new one is 8 times as fine or 1.5 times as
 * long, so that a leaf is fitted a bounded number of times.
 *
 * Changing. A place (the path to a leaf) is found first, by seek, then changed at. An insert into a full leaf hands elements to a neighbour under
 * the same parent that has room for 12, else splits it in halves; at either end of the list it starts a new leaf, and new inner nodes where those are
 * full: ascending and descending inserts leave full nodes. A node that falls under a quarter is merged with a neighbour under the same parent if they
 * fill at most three quarters together. An element whose score changes inside its leaf is moved in it; otherwise it is put into the other leaf first,
 * which may need memory, and then taken out, which needs none. The first leaf and the root start small and grow.
 *
 * Invariants: all leaves are equally deep; no node is empty, an inner root has two children; (score, first) of child i > 0 are those of its leftmost
 * element, and size its elements; words ascend, elements ascend strictly by (score, member) (not strictly while the caller keeps two of one member);
 * only a leaf that is alone and an inner root may have less than the full cap. Addresses have 48 bits; an element beyond is refused as if there
 * were no memory. */
#include "ds/ztree_node.h"

enum { SPILL_ROOM = 12, RUN_MAX = 4, HINT_SPAN = 32768 };

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

/* ---- nodes ---- */

void kv_ztree_init(kv_ztree *tree, kv_arena *arena) { *tree = (kv_ztree){.arena = arena}; }

static void *node_alloc(kv_ztree *tree, size_t bytes) {
    void *block = kv_arena_alloc(tree->arena, bytes);
    if (block != NULL) tree->bytes += kv_arena_good_size(bytes);
    return block;
}

static void node_free(kv_ztree *tree, void *block, size_t bytes) {
    tree->bytes -= kv_arena_good_size(bytes);
    kv_arena_free(tree->arena, block, bytes);
}

static kv_zleaf *leaf_setup(void *block, unsigned cap, const kv_zleaf *like) {
    kv_zleaf *leaf = block;
    *leaf = (kv_zleaf){.cap = (uint16_t)cap};
    if (like != NULL) {
        leaf->base = like->base;
        leaf->shift = like->shift;
    }
    return leaf;
}

static void link_leaf(kv_ztree *tree, kv_zleaf *leaf, kv_zleaf *prev, kv_zleaf *next) {
    leaf->prev = prev;
    leaf->next = next;
    if (prev != NULL) prev->next = leaf;
    else tree->first = leaf;
    if (next != NULL) next->prev = leaf;
    else tree->last = leaf;
}

/* Moves the children from index `at` on to index `to` of a node (perhaps the same), with what belongs to them. */
static void move_children(kv_zinner *to_node, unsigned to, const kv_zinner *from, unsigned at, unsigned n) {
    memmove(scores_of(to_node) + to, scores_of(from) + at, n * sizeof(double));
    memmove(firsts_of(to_node) + to, firsts_of(from) + at, n * sizeof(kv_zelem *));
    memmove(children_of(to_node) + to, children_of(from) + at, n * sizeof(void *));
    memmove(sizes_of(to_node) + to, sizes_of(from) + at, n * sizeof(size_t));
}

static void set_child(kv_zinner *node, unsigned at, void *child, size_t size) {
    children_of(node)[at] = child;
    sizes_of(node)[at] = size;
}

static void set_start(kv_zinner *node, unsigned at, double score, const kv_zelem *first) {
    scores_of(node)[at] = score;
    firsts_of(node)[at] = first;
}

/* What the nodes from `level` up say about the start of the subtree that the path leads to. */
static void start_changed(const kv_ztree *tree, const kv_zplace *place, unsigned level, double score, const kv_zelem *first) {
    while (level < tree->height && place->step[level].at == 0) level++;
    if (level < tree->height) set_start(place->step[level].node, place->step[level].at, score, first);
}

static void add_to_sizes(const kv_ztree *tree, const kv_zplace *place, unsigned level, size_t delta) {
    for (; level < tree->height; level++) sizes_of(place->step[level].node)[place->step[level].at] += delta;
}

/* ---- hints ---- */

/* Starts fetching the elements of n words; their scores are read next. */
static void fetch(const uint64_t *words, unsigned n) {
    for (unsigned i = 0; i < n; i++) __builtin_prefetch(elem_of(words[i]));
}

static void fit(kv_zleaf *leaf, uint64_t low, uint64_t high) {
    uint64_t range = high - low;
    unsigned shift = 0;
    while (range >> shift >= HINT_SPAN) shift++;
    uint64_t margin = (uint64_t)(HINT_SPAN / 2) << shift; /* shift < 50 */
    leaf->shift = (uint8_t)shift;
    leaf->base = low > margin ? low - margin : 0;
    fetch(leaf->word, leaf->count);
    for (unsigned i = 0; i < leaf->count; i++) leaf->word[i] = word_for(leaf, elem_of(leaf->word[i])->score, elem_of(leaf->word[i]));
}

/* Fits the scale again if that makes it 8 times as fine, or if elements are beyond its ends. */
static void fit_if_poor(kv_zleaf *leaf) {
    uint64_t lowest = leaf->word[0] >> HINT_SHIFT, highest = leaf->word[leaf->count - 1] >> HINT_SHIFT;
    if (lowest > 0 && highest < HINT_MAX && highest - lowest >= HINT_SPAN / 8) return;
    uint64_t low = order_key(elem_of(leaf->word[0])->score), high = order_key(elem_of(leaf->word[leaf->count - 1])->score);
    unsigned shift = 0;
    while ((high - low) >> shift >= HINT_SPAN) shift++;
    bool beyond = low < leaf->base || (high > leaf->base && (high - leaf->base) >> leaf->shift > HINT_MAX);
    if (beyond || shift + 3 <= leaf->shift) fit(leaf, low, high);
}

/* Moves n words into another leaf, which may have another scale. */
static void move_words(kv_zleaf *to_leaf, unsigned to, const kv_zleaf *from, unsigned at, unsigned n) {
    memcpy(to_leaf->word + to, from->word + at, n * sizeof *from->word);
    if (to_leaf->base == from->base && to_leaf->shift == from->shift) return;
    fetch(to_leaf->word + to, n);
    for (uint64_t *word = to_leaf->word + to; n > 0; n--, word++) *word = word_for(to_leaf, elem_of(*word)->score, elem_of(*word));
}

/* ---- making room ---- */

/* The blocks that a new leaf takes: its own, an inner node for each full one above it, and a root that is bigger or higher. */
typedef struct blocks {
    void *leaf, *inner[KV_ZTREE_HEIGHT];
    unsigned count, bytes[KV_ZTREE_HEIGHT];
} blocks;

static bool blocks_get(kv_ztree *tree, const kv_zplace *place, blocks *b) {
    b->count = 0;
    for (unsigned level = 0;; level++) {
        unsigned cap = INNER_FIRST_CAP; /* of a new root */
        if (level == KV_ZTREE_HEIGHT) return false;
        if (level < tree->height) {
            const kv_zinner *node = place->step[level].node;
            if (node->count < node->cap) break;
            cap = node->cap < INNER_CAP ? node->cap * 2u + 1 : INNER_CAP;
        }
        b->bytes[b->count++] = (unsigned)inner_bytes(cap);
        if (level == tree->height || cap != INNER_CAP || place->step[level].node->cap < INNER_CAP) break;
    }
    unsigned got = 0;
    b->leaf = node_alloc(tree, leaf_bytes(LEAF_CAP));
    if (b->leaf == NULL) return false;
    while (got < b->count && (b->inner[got] = node_alloc(tree, b->bytes[got])) != NULL) got++;
    if (got == b->count) return true;
    while (got-- > 0) node_free(tree, b->inner[got], b->bytes[got]);
    node_free(tree, b->leaf, leaf_bytes(LEAF_CAP));
    return false;
}

static kv_zinner *inner_setup(const blocks *b, unsigned which) {
    kv_zinner *node = b->inner[which];
    node->count = 0;
    node->cap = (uint16_t)((b->bytes[which] - sizeof *node) / 32);
    return node;
}

/* Puts a child in at index i. (score, first) are where it starts or, at index 0, where the child starts that it goes in front of. */
static void put_child(kv_zinner *node, unsigned i, void *child, size_t size, double score, const kv_zelem *first) {
    move_children(node, i + 1, node, i, node->count - i);
    node->count++;
    set_child(node, i, child, size);
    set_start(node, i > 0 ? i : 1, score, first);
}

/* A fresh node, still to be put in beside the one that the path leads to on some level. */
typedef struct sibling {
    void *node;
    size_t size;
    bool in_front; /* of the first node of its level; otherwise behind the one of the path */
    bool at_end;   /* holds what is new, at an end of the list; otherwise what was cut off the one of the path */
    double score;  /* where it starts, or the one behind it if it is in front */
    const kv_zelem *first;
} sibling;

/* Puts the sibling into a full node's place: in a node of its own at an end of the list, else in one half. What is new on this level is the next sibling. */
static void split_inner(kv_zinner *node, unsigned i, kv_zinner *fresh, sibling *s) {
    if (s->at_end) {
        fresh->count = 1;
        set_child(fresh, 0, s->node, s->size);
        s->node = fresh;
        return;
    }
    unsigned keep = node->count / 2u;
    fresh->count = (uint16_t)(node->count - keep);
    move_children(fresh, 0, node, keep, fresh->count);
    node->count = (uint16_t)keep;
    double score = scores_of(fresh)[0];
    const kv_zelem *first = firsts_of(fresh)[0];
    if (i <= keep) put_child(node, i, s->node, s->size, s->score, s->first);
    else put_child(fresh, i - keep, s->node, s->size, s->score, s->first);
    s->node = fresh;
    s->score = score;
    s->first = first;
    s->size = 0;
    for (unsigned c = 0; c < fresh->count; c++) s->size += sizes_of(fresh)[c];
}

static kv_zinner *grow_root(kv_ztree *tree, kv_zinner *bigger) {
    kv_zinner *node = tree->root;
    move_children(bigger, 0, node, 0, node->count);
    bigger->count = node->count;
    node_free(tree, node, inner_bytes(node->cap));
    return tree->root = bigger;
}

/* Puts a fresh leaf in, with the blocks that blocks_get got. Sizes above are right then; paths are stale. */
static void add_leaf(kv_ztree *tree, kv_zplace *place, const blocks *b, sibling s) {
    unsigned used = 0;
    for (unsigned level = 0; level < tree->height; level++) {
        kv_zinner *node = place->step[level].node;
        unsigned at = place->step[level].at, i = s.in_front ? 0 : at + 1;
        if (!s.at_end) sizes_of(node)[at] -= s.size;
        if (node->count < node->cap || node->cap < INNER_CAP) {
            if (node->count == node->cap) node = grow_root(tree, inner_setup(b, used));
            put_child(node, i, s.node, s.size, s.score, s.first);
            if (s.at_end) add_to_sizes(tree, place, level + 1, s.size);
            return;
        }
        split_inner(node, i, inner_setup(b, used++), &s);
    }
    kv_zinner *root = inner_setup(b, used);
    size_t rest = s.at_end ? tree->count : tree->count - s.size;
    root->count = 2;
    set_child(root, s.in_front ? 1 : 0, tree->root, rest);
    set_child(root, s.in_front ? 0 : 1, s.node, s.size);
    set_start(root, 1, s.score, s.first);
    tree->root = root;
    tree->height++;
}

/* The new element in a new leaf at an end of the list. */
static bool add_end_leaf(kv_ztree *tree, kv_zplace *place, kv_zelem *elem, bool in_front) {
    blocks b;
    if (!blocks_get(tree, place, &b)) return false;
    kv_zleaf *beside = place->leaf, *leaf = leaf_setup(b.leaf, LEAF_CAP, beside);
    leaf->word[0] = word_for(leaf, place->score, elem);
    leaf->count = 1;
    sibling s = {.node = leaf, .size = 1, .in_front = in_front, .at_end = true, .score = place->score, .first = elem};
    if (in_front) {
        s.first = elem_of(beside->word[0]);
        s.score = s.first->score;
    }
    add_leaf(tree, place, &b, s);
    link_leaf(tree, leaf, in_front ? NULL : beside, in_front ? beside : NULL);
    tree->count++;
    return true;
}

static bool split_leaf(kv_ztree *tree, kv_zplace *place) {
    blocks b;
    if (!blocks_get(tree, place, &b)) return false;
    kv_zleaf *leaf = place->leaf, *fresh = leaf_setup(b.leaf, LEAF_CAP, leaf);
    unsigned keep = leaf->count / 2u;
    fresh->count = (uint16_t)(leaf->count - keep);
    move_words(fresh, 0, leaf, keep, fresh->count);
    leaf->count = (uint16_t)keep;
    link_leaf(tree, fresh, leaf, leaf->next);
    const kv_zelem *first = elem_of(fresh->word[0]);
    add_leaf(tree, place, &b, (sibling){.node = fresh, .size = fresh->count, .score = first->score, .first = first});
    return true;
}

/* Hands elements to a neighbour under the same parent. False: both are nearly full. */
static bool spill(kv_ztree *tree, const kv_zplace *place) {
    if (tree->height == 0) return false;
    kv_zinner *parent = place->step[0].node;
    unsigned at = place->step[0].at, n;
    kv_zleaf *leaf = place->leaf;
    if (at + 1u < parent->count && LEAF_CAP - leaf->next->count >= SPILL_ROOM) {
        kv_zleaf *next = leaf->next;
        n = (LEAF_CAP - next->count + 1u) / 2;
        if (n > LEAF_CAP / 2) n = LEAF_CAP / 2;
        memmove(next->word + n, next->word, next->count * sizeof *next->word);
        move_words(next, 0, leaf, leaf->count - n, n);
        next->count = (uint16_t)(next->count + n);
        set_start(parent, at + 1, elem_of(next->word[0])->score, elem_of(next->word[0]));
        sizes_of(parent)[at + 1] += n;
    } else if (at > 0 && LEAF_CAP - leaf->prev->count >= SPILL_ROOM) {
        kv_zleaf *prev = leaf->prev;
        n = (LEAF_CAP - prev->count + 1u) / 2;
        if (n > LEAF_CAP / 2) n = LEAF_CAP / 2;
        move_words(prev, prev->count, leaf, 0, n);
        prev->count = (uint16_t)(prev->count + n);
        memmove(leaf->word, leaf->word + n, (leaf->count - n) * sizeof *leaf->word);
        set_start(parent, at, elem_of(leaf->word[0])->score, elem_of(leaf->word[0]));
        sizes_of(parent)[at - 1] += n;
    } else {
        return false;
    }
    leaf->count = (uint16_t)(leaf->count - n);
    sizes_of(parent)[at] -= n;
    return true;
}

/* Doubles the room of a leaf that is alone. */
static bool grow_alone(kv_ztree *tree) {
    kv_zleaf *leaf = tree->root;
    unsigned cap = leaf->cap * 2u < LEAF_CAP ? leaf->cap * 2u : LEAF_CAP;
    size_t before = leaf_bytes(leaf->cap), after = leaf_bytes(cap);
    leaf = kv_arena_realloc(tree->arena, leaf, before, after);
    if (leaf == NULL) return false;
    leaf->cap = (uint16_t)cap;
    tree->bytes += kv_arena_good_size(after) - kv_arena_good_size(before);
    tree->root = tree->first = tree->last = leaf;
    return true;
}

/* ---- putting in ---- */

static probe key_probe(double score, kv_slice member, bool or_equal) { return (probe){score, member, BY_KEY, or_equal}; }

/* An element goes in front of one with the same key, so that the newest of them is found first. */
void kv_ztree_seek(const kv_ztree *tree, double score, kv_slice member, kv_zplace *place) {
    probe p = key_probe(score, member, false);
    place->score = score;
    place->member = member;
    (void)descend(tree, &p, place);
}

static unsigned slot_at(const kv_zplace *place, unsigned *run) {
    probe p = key_probe(place->score, place->member, false);
    return slot_for(place->leaf, &p, run);
}

void kv_ztree_look(const kv_zplace *place) {
    const kv_zleaf *leaf = place->leaf;
    if (leaf == NULL) return;
    uint64_t hint = hint_of(leaf, order_key(place->score));
    unsigned slot = words_below(leaf, hint << HINT_SHIFT);
    for (unsigned n = 0; n < RUN_MAX && slot < leaf->count && leaf->word[slot] >> HINT_SHIFT == hint; n++)
        __builtin_prefetch(elem_of(leaf->word[slot++]));
}

static bool first_leaf(kv_ztree *tree) {
    void *block = node_alloc(tree, leaf_bytes(LEAF_FIRST_CAP));
    if (block == NULL) return false;
    tree->root = tree->first = tree->last = leaf_setup(block, LEAF_FIRST_CAP, NULL);
    return true;
}

static void put(kv_ztree *tree, const kv_zplace *place, unsigned slot, kv_zelem *elem) {
    kv_zleaf *leaf = place->leaf;
    memmove(leaf->word + slot + 1, leaf->word + slot, (leaf->count - slot) * sizeof *leaf->word);
    leaf->word[slot] = word_for(leaf, place->score, elem);
    leaf->count++;
    if (slot == 0) start_changed(tree, place, 0, place->score, elem);
    add_to_sizes(tree, place, 0, 1);
    tree->count++;
}

typedef enum room { NO_MEMORY, PLACE_MOVED, PUT_AT_END } room;

/* For an element that belongs at `slot` of the place's leaf, which is full: makes the leaf less full, or puts the element into a leaf of its own. */
static room make_room(kv_ztree *tree, kv_zplace *place, unsigned slot, kv_zelem *elem) {
    kv_zleaf *leaf = place->leaf;
    if (leaf->cap < LEAF_CAP) return grow_alone(tree) ? PLACE_MOVED : NO_MEMORY;
    bool in_front = leaf == tree->first && slot == 0;
    if (in_front || (leaf == tree->last && slot == leaf->count)) return add_end_leaf(tree, place, elem, in_front) ? PUT_AT_END : NO_MEMORY;
    return spill(tree, place) || split_leaf(tree, place) ? PLACE_MOVED : NO_MEMORY;
}

static bool address_fits(const kv_zelem *elem) { return (uint64_t)(uintptr_t)elem >> HINT_SHIFT == 0; }

kv_status kv_ztree_insert_at(kv_ztree *tree, kv_zplace *place, kv_zelem *elem) {
    if (!address_fits(elem)) return KV_ENOMEM;
    if (place->leaf == NULL) {
        if (!first_leaf(tree)) return KV_ENOMEM;
        place->leaf = tree->root;
    }
    unsigned run, slot = slot_at(place, &run);
    while (place->leaf->count == place->leaf->cap) {
        room found = make_room(tree, place, slot, elem);
        if (found != PLACE_MOVED) return found == NO_MEMORY ? KV_ENOMEM : KV_OK;
        kv_ztree_seek(tree, place->score, place->member, place);
        slot = slot_at(place, &run);
    }
    put(tree, place, slot, elem);
    if (run > RUN_MAX) fit_if_poor(place->leaf);
    return KV_OK;
}

kv_status kv_ztree_insert(kv_ztree *tree, kv_zelem *elem, size_t *rank) {
    kv_zplace place;
    kv_ztree_seek(tree, elem->score, kv_zelem_member(elem), &place);
    kv_status status = kv_ztree_insert_at(tree, &place, elem);
    if (status == KV_OK && rank != NULL) (void)kv_ztree_rank_of_elem(tree, elem, rank);
    return status;
}

/* ---- taking out ---- */

static void drop_child(kv_ztree *tree, kv_zplace *place, unsigned level);

/* After a node of this level has lost a child: joins it with a neighbour when it has become small. */
static void merge_inner(kv_ztree *tree, kv_zplace *place, unsigned level) {
    kv_zinner *node = place->step[level].node;
    if (level + 1 == tree->height) {
        while (tree->height > 0 && (node = tree->root)->count == 1) {
            tree->root = children_of(node)[0];
            tree->height--;
            node_free(tree, node, inner_bytes(node->cap));
        }
        return;
    }
    if (node->count * 4u >= INNER_CAP) return;
    kv_zinner *parent = place->step[level + 1].node, *left = node, *right = NULL;
    unsigned at = place->step[level + 1].at; /* of `left` */
    if (at + 1u < parent->count) right = children_of(parent)[at + 1];
    if (right == NULL || (left->count + right->count) * 4u > INNER_CAP * 3u) {
        if (at == 0) return;
        right = node;
        left = children_of(parent)[--at];
        if ((left->count + right->count) * 4u > INNER_CAP * 3u) return;
    }
    move_children(left, left->count, right, 0, right->count);
    set_start(left, left->count, scores_of(parent)[at + 1], firsts_of(parent)[at + 1]);
    left->count = (uint16_t)(left->count + right->count);
    sizes_of(parent)[at] += sizes_of(parent)[at + 1];
    node_free(tree, right, inner_bytes(right->cap));
    place->step[level + 1].at = at + 1;
    drop_child(tree, place, level + 1);
}

/* Takes out the child that the path leads to on this level: it is freed already. The recursion goes up, at most as far as the tree is high. */
static void drop_child(kv_ztree *tree, kv_zplace *place, unsigned level) {
    if (level == tree->height) {
        tree->root = NULL;
        tree->height = 0;
        return;
    }
    kv_zinner *node = place->step[level].node;
    unsigned at = place->step[level].at;
    if (node->count == 1) {
        bool is_root = level + 1 == tree->height;
        node_free(tree, node, inner_bytes(node->cap));
        if (is_root) tree->height = level; /* nothing above */
        drop_child(tree, place, is_root ? tree->height : level + 1);
        return;
    }
    if (at == 0) start_changed(tree, place, level + 1, scores_of(node)[1], firsts_of(node)[1]);
    move_children(node, at, node, at + 1, node->count - at - 1u);
    node->count--;
    merge_inner(tree, place, level);
}

static void drop_leaf(kv_ztree *tree, kv_zplace *place, kv_zleaf *leaf) {
    if (leaf->prev != NULL) leaf->prev->next = leaf->next;
    else tree->first = leaf->next;
    if (leaf->next != NULL) leaf->next->prev = leaf->prev;
    else tree->last = leaf->prev;
    node_free(tree, leaf, leaf_bytes(leaf->cap));
    drop_child(tree, place, 0);
}

/* Joins a leaf that has become small with a neighbour under the same parent. */
static void merge_leaf(kv_ztree *tree, kv_zplace *place) {
    kv_zleaf *left = place->leaf, *right;
    if (left->count * 4u >= LEAF_CAP || tree->height == 0) return;
    kv_zinner *parent = place->step[0].node;
    unsigned at = place->step[0].at; /* of `left` */
    right = at + 1u < parent->count ? left->next : NULL;
    if (right == NULL || (left->count + right->count) * 4u > LEAF_CAP * 3u) {
        if (at == 0) return;
        right = left;
        left = left->prev;
        at--;
        if ((left->count + right->count) * 4u > LEAF_CAP * 3u) return;
    }
    move_words(left, left->count, right, 0, right->count);
    left->count = (uint16_t)(left->count + right->count);
    sizes_of(parent)[at] += right->count;
    place->step[0].at = at + 1;
    drop_leaf(tree, place, right);
}

/* Takes n elements out of the place's leaf. Does not look at them. */
static void take_out(kv_ztree *tree, kv_zplace *place, unsigned slot, unsigned n) {
    kv_zleaf *leaf = place->leaf;
    memmove(leaf->word + slot, leaf->word + slot + n, (leaf->count - slot - n) * sizeof *leaf->word);
    leaf->count = (uint16_t)(leaf->count - n);
    tree->count -= n;
    add_to_sizes(tree, place, 0, (size_t)0 - n);
    if (leaf->count == 0) {
        drop_leaf(tree, place, leaf);
        return;
    }
    if (slot == 0 && tree->height > 0) start_changed(tree, place, 0, elem_of(leaf->word[0])->score, elem_of(leaf->word[0]));
    merge_leaf(tree, place);
}

/* The slot of an element in a leaf; the leaf's count when it is elsewhere. */
static unsigned slot_of(const kv_zleaf *leaf, double score, const kv_zelem *elem) {
    uint64_t word = word_for(leaf, score, elem), hint = word >> HINT_SHIFT;
    for (unsigned slot = words_below(leaf, hint << HINT_SHIFT); slot < leaf->count && leaf->word[slot] >> HINT_SHIFT == hint; slot++)
        if (leaf->word[slot] == word) return slot;
    return leaf->count;
}

/* The next leaf, as a place. */
static bool step_right(const kv_ztree *tree, kv_zplace *place) {
    unsigned level = 0;
    while (level < tree->height && place->step[level].at + 1u == place->step[level].node->count) level++;
    if (level == tree->height) return false;
    place->step[level].at++;
    for (; level > 0; level--) {
        place->step[level - 1].node = children_of(place->step[level].node)[place->step[level].at];
        place->step[level - 1].at = 0;
    }
    place->leaf = place->leaf->next;
    return true;
}

/* Of several elements with one key, a descent to the last leaf that may hold them can miss one that is farther left: then it is looked for from their
 * first leaf on. The caller asks for the newest or the second newest, which are first. */
static bool locate_among_equals(const kv_ztree *tree, double score, const kv_zelem *elem, kv_zplace *place, unsigned *slot) {
    kv_ztree_seek(tree, score, kv_zelem_member(elem), place);
    do {
        *slot = slot_of(place->leaf, score, elem);
        if (*slot < place->leaf->count) return true;
    } while (step_right(tree, place) && elem_of(place->leaf->word[0])->score == score &&
             kv_slice_eq(kv_zelem_member(elem_of(place->leaf->word[0])), place->member));
    return false;
}

bool kv_ztree_locate(const kv_ztree *tree, const kv_zelem *elem, kv_zplace *place, unsigned *slot) {
    double score = elem->score;
    probe p = key_probe(score, kv_zelem_member(elem), true);
    if (descend(tree, &p, place) == NULL) return false;
    *slot = slot_of(place->leaf, score, elem);
    return *slot < place->leaf->count || locate_among_equals(tree, score, elem, place, slot);
}

bool kv_ztree_remove_elem(kv_ztree *tree, const kv_zelem *elem) {
    kv_zplace place;
    unsigned slot;
    if (!kv_ztree_locate(tree, elem, &place, &slot)) return false;
    take_out(tree, &place, slot, 1);
    return true;
}

kv_zelem *kv_ztree_remove(kv_ztree *tree, double score, kv_slice member) {
    size_t rank;
    kv_zplace place;
    unsigned slot;
    if (!kv_ztree_rank(tree, score, member, &rank)) return NULL;
    kv_zelem *elem = elem_of(descend_to_rank(tree, rank, &place, &slot)->word[slot]);
    take_out(tree, &place, slot, 1);
    return elem;
}

/* ---- another score ---- */

/* Moves an element inside its leaf, from a slot to the place before another one. */
static void move_inside(const kv_ztree *tree, const kv_zplace *place, unsigned from, unsigned to, kv_zelem *elem) {
    uint64_t *words = place->leaf->word;
    if (to > from) memmove(words + from, words + from + 1, (--to - from) * sizeof *words);
    else memmove(words + to + 1, words + to, (from - to) * sizeof *words);
    elem->score = place->score;
    words[to] = word_for(place->leaf, place->score, elem);
    if (from == 0 || to == 0) start_changed(tree, place, 0, elem_of(words[0])->score, elem_of(words[0]));
}

/* Until `elem` is in its new leaf, its score stays the old one, by which it is found in its old leaf. */
kv_status kv_ztree_update_at(kv_ztree *tree, kv_zplace *place, kv_zelem *elem) {
    kv_zplace old;
    unsigned from, run;
    for (;;) {
        if (!kv_ztree_locate(tree, elem, &old, &from)) return KV_ENOTFOUND;
        unsigned to = slot_at(place, &run);
        if (place->leaf == old.leaf) {
            move_inside(tree, place, from, to, elem);
            return KV_OK;
        }
        if (place->leaf->count < place->leaf->cap) {
            put(tree, place, to, elem);
            break;
        }
        room found = make_room(tree, place, to, elem);
        if (found == NO_MEMORY) return KV_ENOMEM;
        if (found == PUT_AT_END) {
            if (!kv_ztree_locate(tree, elem, &old, &from)) return KV_ENOTFOUND; /* impossible: it was there */
            run = 0;
            break;
        }
        kv_ztree_seek(tree, place->score, place->member, place);
    }
    elem->score = place->score;
    if (run > RUN_MAX) fit_if_poor(place->leaf);
    take_out(tree, &old, from, 1);
    return KV_OK;
}

kv_status kv_ztree_update(kv_ztree *tree, kv_zelem *elem, double score) {
    kv_zplace place;
    kv_ztree_seek(tree, score, kv_zelem_member(elem), &place);
    return place.leaf == NULL ? KV_ENOTFOUND : kv_ztree_update_at(tree, &place, elem);
}

bool kv_ztree_replace(kv_ztree *tree, const kv_zelem *before, kv_zelem *after) {
    kv_zplace place;
    unsigned slot;
    if (!address_fits(after) || !kv_ztree_locate(tree, before, &place, &slot)) return false;
    place.leaf->word[slot] = word_for(place.leaf, after->score, after);
    if (slot == 0) start_changed(tree, &place, 0, after->score, after);
    return true;
}

/* ---- many at once ---- */

static void free_inner(kv_ztree *tree, void *node, unsigned height) {
    if (height == 0) return;
    kv_zinner *inner = node;
    for (unsigned i = 0; i < inner->count && height > 1; i++) free_inner(tree, children_of(inner)[i], height - 1);
    node_free(tree, inner, inner_bytes(inner->cap));
}

void kv_ztree_deinit(kv_ztree *tree, kv_zelem_fn fn, void *arg) {
    free_inner(tree, tree->root, tree->height);
    for (kv_zleaf *leaf = tree->first, *next; leaf != NULL; leaf = next) {
        next = leaf->next;
        for (unsigned i = 0; i < leaf->count && fn != NULL; i++) fn(arg, elem_of(leaf->word[i]));
        node_free(tree, leaf, leaf_bytes(leaf->cap));
    }
    kv_ztree_init(tree, tree->arena);
}

size_t kv_ztree_delete_range(kv_ztree *tree, size_t from, size_t to, kv_zelem_fn fn, void *arg) {
    if (to > tree->count) to = tree->count;
    if (from >= to) return 0;
    for (size_t left = to - from; left > 0;) {
        kv_zplace place;
        unsigned slot;
        kv_zleaf *leaf = descend_to_rank(tree, from, &place, &slot);
        unsigned n = leaf->count - slot;
        if (n > left) n = (unsigned)left;
        for (unsigned i = 0; i < n && fn != NULL; i++) fn(arg, elem_of(leaf->word[slot + i]));
        take_out(tree, &place, slot, n);
        left -= n;
    }
    return to - from;
}
