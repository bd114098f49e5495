/* The nodes of the counted B+ tree and how they are searched (private to ztree*.c; the drawing is in ztree.c). */
#ifndef KV_DS_ZTREE_NODE_H
#define KV_DS_ZTREE_NODE_H

#include "ds/ztree.h"

enum { LEAF_BYTES = 512, LEAF_CAP = 60, LEAF_FIRST_CAP = 6, INNER_CAP = 63, INNER_FIRST_CAP = 7, HINT_SHIFT = 48, HINT_MAX = 0xffff };

struct kv_zleaf {
    kv_zleaf *prev, *next;
    uint64_t base; /* a hint is (order key - base) >> shift, held within 0 .. HINT_MAX */
    uint16_t count, cap;
    uint8_t shift;
    uint64_t word[]; /* hint << 48 | address of the element */
};

/* After the header four arrays of `cap` each: the score each child starts with, the element it starts with, the children, how many elements are in
 * each. The first two say nothing for child 0. */
struct kv_zinner {
    uint16_t count, cap;
    uint64_t unused[3]; /* header and arrays fill whole size classes, and the arrays start at lines */
    unsigned char data[];
};

static inline size_t leaf_bytes(unsigned cap) { return sizeof(kv_zleaf) + cap * sizeof(uint64_t); }
static inline size_t inner_bytes(unsigned cap) { return sizeof(kv_zinner) + cap * (size_t)32; }

static inline double *scores_of(const kv_zinner *n) { return (double *)(uintptr_t)n->data; }
static inline const kv_zelem **firsts_of(const kv_zinner *n) { return (const kv_zelem **)(uintptr_t)(n->data + n->cap * 8u); }
static inline void **children_of(const kv_zinner *n) { return (void **)(uintptr_t)(n->data + n->cap * 16u); }
static inline size_t *sizes_of(const kv_zinner *n) { return (size_t *)(uintptr_t)(n->data + n->cap * 24u); }

static inline kv_zelem *elem_of(uint64_t word) { return (kv_zelem *)(uintptr_t)(word & (((uint64_t)1 << HINT_SHIFT) - 1)); }

/* Scores as whole numbers in the same order; 0 and -0 are one score. */
static inline uint64_t order_key(double score) {
    uint64_t bits;
    score += 0.0;
    memcpy(&bits, &score, 8);
    return bits ^ ((uint64_t)((int64_t)bits >> 63) | (uint64_t)1 << 63);
}

static inline uint64_t hint_of(const kv_zleaf *leaf, uint64_t key) {
    uint64_t steps = key > leaf->base ? (key - leaf->base) >> leaf->shift : 0;
    return steps < HINT_MAX ? steps : HINT_MAX;
}

static inline uint64_t word_for(const kv_zleaf *leaf, double score, const kv_zelem *elem) {
    return hint_of(leaf, order_key(score)) << HINT_SHIFT | (uint64_t)(uintptr_t)elem;
}

/* ---- probes: what a search asks of an element ---- */

typedef enum probe_kind { BY_KEY, BY_SCORE, BY_MEMBER } probe_kind;
typedef struct probe {
    double score;
    kv_slice member;
    probe_kind kind;
    bool or_equal; /* equal elements count as before the place */
} probe;

static inline bool member_before(const probe *p, const kv_zelem *elem) {
    int order = kv_slice_cmp(kv_zelem_member(elem), p->member);
    return order < 0 || (order == 0 && p->or_equal);
}

static inline bool elem_before(const probe *p, const kv_zelem *elem) {
    if (p->kind != BY_MEMBER) {
        if (elem->score != p->score) return elem->score < p->score;
        if (p->kind == BY_SCORE) return p->or_equal;
    }
    return member_before(p, elem);
}

/* How many of n ascending scores are below `score`, or equal to it. No branch depends on them: a wrong guess costs as much as five of these steps. */
static inline unsigned scores_below(const double *scores, unsigned n, double score, bool or_equal) {
    const double *at = scores;
    while (n > 1) {
        unsigned half = n / 2;
        at += half * (unsigned)(or_equal ? at[half - 1] <= score : at[half - 1] < score);
        n -= half;
    }
    return (unsigned)(at - scores) + (n == 1 && (or_equal ? *at <= score : *at < score));
}

/* How many words are below `word`. */
static inline unsigned words_below(const kv_zleaf *leaf, uint64_t word) {
    const uint64_t *at = leaf->word;
    unsigned n = leaf->count;
    while (n > 1) {
        unsigned half = n / 2;
        at += half * (unsigned)(at[half - 1] < word);
        n -= half;
    }
    return (unsigned)(at - leaf->word) + (n == 1 && *at < word);
}

/* The child that the place is in: the last one that starts before it, or the first of all. */
static inline unsigned child_for(const kv_zinner *node, const probe *p) {
    const double *scores = scores_of(node) + 1;
    unsigned low = 0, high = node->count - 1u;
    if (p->kind != BY_MEMBER) {
        high = scores_below(scores, high, p->score, true);
        if (high == 0 || scores[high - 1] != p->score) return high;
        low = scores_below(scores, high, p->score, false);
        if (p->kind == BY_SCORE) return p->or_equal ? high : low;
    }
    const kv_zelem **firsts = firsts_of(node) + 1;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (member_before(p, firsts[mid])) low = mid + 1;
        else high = mid;
    }
    return low;
}

/* How many elements of the leaf are before the place. *run: how many the hints could not tell from it. */
static inline unsigned slot_for(const kv_zleaf *leaf, const probe *p, unsigned *run) {
    unsigned low = 0, high = leaf->count;
    if (p->kind != BY_MEMBER) {
        uint64_t hint = hint_of(leaf, order_key(p->score));
        low = words_below(leaf, hint << HINT_SHIFT);
        high = low;
        while (high < leaf->count && leaf->word[high] >> HINT_SHIFT == hint) high++;
    }
    *run = high - low;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (high - low > 2) { /* one of these is next */
            __builtin_prefetch(elem_of(leaf->word[(low + mid) / 2]));
            __builtin_prefetch(elem_of(leaf->word[(mid + 1 + high) / 2]));
        }
        if (elem_before(p, elem_of(leaf->word[mid]))) low = mid + 1;
        else high = mid;
    }
    return low;
}

/* Walks down to the leaf of the place. The leaf is not touched but fetched, all its lines at once. */
static inline kv_zleaf *descend(const kv_ztree *tree, const probe *p, kv_zplace *place) {
    const char *node = tree->root;
    for (unsigned level = tree->height; level-- > 0;) {
        kv_zinner *inner = (kv_zinner *)(uintptr_t)node;
        if (level == 0) /* the upper levels are in the cache */
            for (unsigned i = 0; i < INNER_CAP * 8u; i += 64) __builtin_prefetch(node + i);
        unsigned at = child_for(inner, p);
        place->step[level].node = inner;
        place->step[level].at = at;
        __builtin_prefetch(sizes_of(inner) + at);
        node = children_of(inner)[at];
    }
    if (node != NULL)
        for (unsigned i = 0; i < LEAF_BYTES; i += 64) __builtin_prefetch(node + i);
    place->leaf = (kv_zleaf *)(uintptr_t)node;
    return place->leaf;
}

/* The place of an element of the tree, and its slot; false: it is not there. Found by address, without touching an element unless scores are equal. */
bool kv_ztree_locate(const kv_ztree *tree, const kv_zelem *elem, kv_zplace *place, unsigned *slot);

/* The rank of the first element of the place's leaf. */
static inline size_t rank_of_leaf(const kv_ztree *tree, const kv_zplace *place) {
    size_t rank = 0;
    for (unsigned level = 0; level < tree->height; level++) {
        const size_t *sizes = sizes_of(place->step[level].node);
        for (unsigned i = 0; i < place->step[level].at; i++) rank += sizes[i];
    }
    return rank;
}

/* The place of this rank (< count), and its slot. */
static inline kv_zleaf *descend_to_rank(const kv_ztree *tree, size_t rank, kv_zplace *place, unsigned *slot) {
    void *node = tree->root;
    for (unsigned level = tree->height; level-- > 0;) {
        kv_zinner *inner = node;
        const size_t *sizes = sizes_of(inner);
        unsigned at = 0;
        for (; rank >= sizes[at]; at++) rank -= sizes[at];
        place->step[level].node = inner;
        place->step[level].at = at;
        node = children_of(inner)[at];
    }
    *slot = (unsigned)rank;
    place->leaf = node;
    return node;
}

#endif
