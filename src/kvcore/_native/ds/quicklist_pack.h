/* Compressed nodes of a quicklist (private to it): see quicklist_pack.c. */
#ifndef KV_DS_QUICKLIST_PACK_H
#define KV_DS_QUICKLIST_PACK_H

#include "ds/quicklist.h"

/* The block that node->data is. */
size_t kv_ql_packed_bytes(const kv_ql_node *node); /* of a compressed node */
static inline size_t kv_ql_block_bytes(const kv_ql_node *node) {
    return __builtin_expect(node->form == KV_QL_PACKED, 0) ? kv_ql_packed_bytes(node) : node->bytes;
}

/* A compressed node's listpack or item as a block of `arena`; NULL: out of memory. */
uint8_t *kv_ql_expanded(kv_arena *arena, const kv_ql_node *node);
/* Makes a compressed node raw with that copy, made in list->arena, which it takes over. */
void kv_ql_adopt(kv_quicklist *list, kv_ql_node *node, uint8_t *copy);
/* Makes the node raw; false: out of memory. */
bool kv_ql_expand(kv_quicklist *list, kv_ql_node *node);
static inline bool kv_ql_unpacked(kv_quicklist *list, kv_ql_node *node) {
    return __builtin_expect(node->form != KV_QL_PACKED, 1) || kv_ql_expand(list, node);
}
/* A listpack with room in front goes to the beginning of its block. */
static inline void kv_ql_lower(kv_ql_node *node) {
    if (node->form != KV_QL_HIGH) return;
    node->data = kv_lp_lower(node->data);
    node->form = KV_QL_RAW;
}
/* Makes the node one that any listpack function may change. */
static inline bool kv_ql_opened(kv_quicklist *list, kv_ql_node *node) {
    kv_ql_touch(list, node);
    kv_ql_lower(node);
    return kv_ql_unpacked(list, node);
}

/* After a change that added, removed or moved nodes, if the list has a depth: expands what came to an end and compresses what left one. Then compresses
 * what is raw for no reason among the `near` nodes from `from` (NULL: the head) on. O(depth + near), and what there is to compress. */
void kv_ql_arrange(kv_quicklist *list, kv_ql_node *from, size_t near);
/* Is this node kept as it should be? */
bool kv_ql_form_check(const kv_quicklist *list, const kv_ql_node *node);

#endif
