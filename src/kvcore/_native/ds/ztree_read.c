/* What a counted B+ tree answers without being changed: ranks, ranges, walks, and the check of its invariants (drawing in ztree.c). */
#include "ds/ztree_node.h"

/* ---- ranks ---- */

static size_t rank_of(const kv_ztree *tree, const probe *p) {
    kv_zplace place;
    unsigned run;
    if (descend(tree, p, &place) == NULL) return 0;
    size_t rank = rank_of_leaf(tree, &place); /* while the leaf is on its way */
    return rank + slot_for(place.leaf, p, &run);
}

bool kv_ztree_rank(const kv_ztree *tree, double score, kv_slice member, size_t *rank) {
    size_t low = kv_ztree_rank_of_key(tree, score, member, false);
    if (kv_ztree_rank_of_key(tree, score, member, true) == low) return false;
    *rank = low;
    return true;
}

bool kv_ztree_rank_of_elem(const kv_ztree *tree, const kv_zelem *elem, size_t *rank) {
    kv_zplace place;
    unsigned slot;
    if (!kv_ztree_locate(tree, elem, &place, &slot)) return false;
    *rank = rank_of_leaf(tree, &place) + slot;
    return true;
}

size_t kv_ztree_rank_of_key(const kv_ztree *tree, double score, kv_slice member, bool or_equal) {
    return rank_of(tree, &(probe){score, member, BY_KEY, or_equal});
}

size_t kv_ztree_rank_of_score(const kv_ztree *tree, double score, bool or_equal) {
    return rank_of(tree, &(probe){score, {NULL, 0}, BY_SCORE, or_equal});
}

size_t kv_ztree_rank_of_member(const kv_ztree *tree, kv_slice member, bool or_equal) {
    return rank_of(tree, &(probe){0, member, BY_MEMBER, or_equal});
}

void kv_ztree_score_range(const kv_ztree *tree, const kv_zrange *range, size_t *from, size_t *to) {
    *from = kv_ztree_rank_of_score(tree, range->min, range->min_open);
    *to = kv_ztree_rank_of_score(tree, range->max, !range->max_open);
    if (*to < *from) *to = *from;
}

/* Elements below a lower end, or below an upper one; the two differ in what an equal member does. */
static size_t rank_of_end(const kv_ztree *tree, const kv_lex_end *end, bool upper) {
    if (end->kind == KV_LEX_MIN) return 0;
    if (end->kind == KV_LEX_MAX) return tree->count;
    return kv_ztree_rank_of_member(tree, end->member, (end->kind == KV_LEX_OPEN) != upper);
}

void kv_ztree_lex_range(const kv_ztree *tree, const kv_lex_range *range, size_t *from, size_t *to) {
    *from = rank_of_end(tree, &range->min, false);
    *to = rank_of_end(tree, &range->max, true);
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

kv_zelem *kv_ztree_at(const kv_ztree *tree, size_t rank, kv_zcursor *cursor) {
    if (rank >= tree->count) return NULL;
    kv_zplace place;
    cursor->leaf = descend_to_rank(tree, rank, &place, &cursor->slot);
    return elem_of(cursor->leaf->word[cursor->slot]);
}

kv_zelem *kv_ztree_first(const kv_ztree *tree, kv_zcursor *cursor) {
    if (tree->count == 0) return NULL;
    *cursor = (kv_zcursor){tree->first, 0};
    return elem_of(tree->first->word[0]);
}

kv_zelem *kv_ztree_last(const kv_ztree *tree, kv_zcursor *cursor) {
    if (tree->count == 0) return NULL;
    *cursor = (kv_zcursor){tree->last, tree->last->count - 1u};
    return elem_of(tree->last->word[cursor->slot]);
}

/* Entering a leaf, a walk fetches its first elements together, and the leaf that comes next. */
static void fetch_ahead(const kv_zleaf *leaf, unsigned from, unsigned n) {
    for (unsigned i = 0; i < n && from + i < leaf->count; i++) __builtin_prefetch(elem_of(leaf->word[from + i]));
}

kv_zelem *kv_zcursor_next(kv_zcursor *cursor) {
    const kv_zleaf *leaf = cursor->leaf;
    if (++cursor->slot >= leaf->count) {
        leaf = cursor->leaf = leaf->next;
        cursor->slot = 0;
        if (leaf == NULL) return NULL;
        for (unsigned i = 0; i < LEAF_BYTES; i += 64) __builtin_prefetch((const char *)leaf->next + i);
        fetch_ahead(leaf, 1, 7);
    }
    if (cursor->slot + 8u < leaf->count) __builtin_prefetch(elem_of(leaf->word[cursor->slot + 8]));
    return elem_of(leaf->word[cursor->slot]);
}

kv_zelem *kv_zcursor_prev(kv_zcursor *cursor) {
    const kv_zleaf *leaf = cursor->leaf;
    if (cursor->slot == 0) {
        leaf = cursor->leaf = leaf->prev;
        if (leaf == NULL) return NULL;
        cursor->slot = leaf->count;
        for (unsigned i = 0; i < LEAF_BYTES; i += 64) __builtin_prefetch((const char *)leaf->prev + i);
        fetch_ahead(leaf, leaf->count > 8 ? leaf->count - 8u : 0, 7);
    }
    cursor->slot--;
    if (cursor->slot >= 8) __builtin_prefetch(elem_of(leaf->word[cursor->slot - 8]));
    return elem_of(leaf->word[cursor->slot]);
}

/* ---- check ---- */

typedef struct walk {
    const kv_ztree *tree;
    const kv_zleaf *leaf; /* the last one seen */
    const kv_zelem *elem;
    size_t bytes;
} walk;

static bool leaf_check(walk *w, const kv_zleaf *leaf) {
    if (leaf->prev != w->leaf || (w->leaf != NULL ? w->leaf->next : w->tree->first) != leaf) return false;
    if (leaf->count == 0 || leaf->count > leaf->cap || leaf->cap > LEAF_CAP || leaf->shift > 63) return false;
    if (leaf->cap != LEAF_CAP && w->tree->height > 0) return false;
    for (unsigned i = 0; i < leaf->count; i++) {
        const kv_zelem *elem = elem_of(leaf->word[i]);
        if (elem->score != elem->score || leaf->word[i] != word_for(leaf, elem->score, elem)) return false;
        if (i > 0 && leaf->word[i] >> HINT_SHIFT < leaf->word[i - 1] >> HINT_SHIFT) return false;
        probe p = {elem->score, kv_zelem_member(elem), BY_KEY, false};
        if (w->elem != NULL && !elem_before(&p, w->elem)) return false;
        w->elem = elem;
    }
    w->leaf = leaf;
    w->bytes += kv_arena_good_size(leaf_bytes(leaf->cap));
    return true;
}

/* *size: elements below; *first: the first of them. */
static bool node_check(walk *w, const void *node, unsigned height, size_t *size, const kv_zelem **first) {
    if (height == 0) {
        const kv_zleaf *leaf = node;
        *size = leaf->count;
        *first = elem_of(leaf->word[0]);
        return leaf_check(w, leaf);
    }
    const kv_zinner *inner = node;
    bool is_root = height == w->tree->height;
    if (inner->count < (is_root ? 2u : 1u) || inner->count > inner->cap || inner->cap > INNER_CAP || (!is_root && inner->cap != INNER_CAP))
        return false;
    w->bytes += kv_arena_good_size(inner_bytes(inner->cap));
    *size = 0;
    for (unsigned i = 0; i < inner->count; i++) {
        size_t below = 0;
        const kv_zelem *start = NULL;
        if (!node_check(w, children_of(inner)[i], height - 1, &below, &start) || below != sizes_of(inner)[i]) return false;
        if (i == 0) *first = start;
        else if (firsts_of(inner)[i] != start || scores_of(inner)[i] != start->score) return false;
        *size += below;
    }
    return true;
}

bool kv_ztree_check(const kv_ztree *tree) {
    walk w = {.tree = tree};
    size_t size = 0;
    const kv_zelem *first = NULL;
    if (tree->root == NULL) return tree->count == 0 && tree->bytes == 0 && tree->height == 0 && tree->first == NULL && tree->last == NULL;
    if (tree->height > KV_ZTREE_HEIGHT || !node_check(&w, tree->root, tree->height, &size, &first)) return false;
    return size == tree->count && w.bytes == tree->bytes && w.leaf == tree->last && w.leaf->next == NULL;
}
