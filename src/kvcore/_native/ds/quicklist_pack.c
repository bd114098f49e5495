/* Which nodes of a quicklist are compressed, and how.
 *
 *   depth 2:   raw <-> raw <-> LZF <-> LZF <-> ... <-> LZF <-> raw <-> raw
 *
 *   a compressed node's data:   | LZF bytes u32 | LZF |        node->bytes: of what it expands to
 *
 * A node is interior when it has `depth` nodes on either side. Between two changes no interior node is in the form KV_QL_RAW or KV_QL_HIGH: it is compressed, or says
 * why not. Since a change makes the nodes that it touches raw, what is still to be done is what looks raw and lies inside: arranging needs to know about
 * where the change was, not what it did. A chain that grows at an end pushes raw nodes inwards: walking in from there finds them. What was the end before
 * may be in any form, so the walk stops after `depth` nodes that are not raw. A chain that shrinks brings compressed nodes to an end: they are expanded.
 *
 * Memory. Compressing needs a block while it works and may fail: the node stays raw. So may expanding a node that came to an end, after the change
 * that brought it there is done: it stays compressed, which every function that touches it copes with, and `behind` says so until the next
 * arranging succeeds. Nodes below MIN_BYTES are not tried, nor those above MAX_BYTES, which would hold the shard's lock for long. */
#include "ds/quicklist_pack.h"

#include <string.h>

#include "ds/lzf.h"

enum { MIN_BYTES = 48, MIN_GAIN = 8, MAX_BYTES = 16 << 20, HEAD = sizeof(uint32_t) };

/* ---- one node ---- */

static kv_slice lzf_of(const kv_ql_node *node) {
    uint32_t bytes;
    memcpy(&bytes, node->data, HEAD);
    return kv_slice_of(node->data + HEAD, bytes);
}

kv_slice kv_ql_node_stored(const kv_ql_node *node) {
    return node->form == KV_QL_PACKED ? lzf_of(node) : kv_slice_of(node->data, node->bytes);
}

size_t kv_ql_packed_bytes(const kv_ql_node *node) { return HEAD + lzf_of(node).len; }

uint8_t *kv_ql_expanded(kv_arena *arena, const kv_ql_node *node) {
    uint8_t *copy = kv_arena_alloc(arena, node->bytes);
    if (copy == NULL || kv_lzf_decompress(lzf_of(node), copy, node->bytes)) return copy;
    kv_arena_free(arena, copy, node->bytes); /* cannot be: it is our own */
    return NULL;
}

void kv_ql_adopt(kv_quicklist *list, kv_ql_node *node, uint8_t *copy) {
    size_t before = kv_ql_packed_bytes(node);
    kv_arena_free(list->arena, node->data, before);
    list->bytes = list->bytes - kv_arena_good_size(before) + kv_arena_good_size(node->bytes);
    node->data = copy;
    node->form = KV_QL_RAW;
}

bool kv_ql_expand(kv_quicklist *list, kv_ql_node *node) {
    uint8_t *copy = kv_ql_expanded(list->arena, node);
    if (copy != NULL) kv_ql_adopt(list, node, copy);
    return copy != NULL;
}

/* Compresses into a block that is as long as pays, then moves to one that is as long as needed. */
static void compress(kv_quicklist *list, kv_ql_node *node) {
    kv_ql_lower(node);
    node->form = KV_QL_STUBBORN;
    if (node->bytes < MIN_BYTES || node->bytes > MAX_BYTES) return;
    size_t room = HEAD + node->bytes - MIN_GAIN;
    uint8_t *block = kv_arena_alloc(list->arena, room);
    if (block == NULL) {
        node->form = KV_QL_POSTPONED;
        return;
    }
    uint32_t packed = (uint32_t)kv_lzf_compress(kv_slice_of(node->data, node->bytes), block + HEAD, room - HEAD);
    if (packed == 0) {
        kv_arena_free(list->arena, block, room);
        return;
    }
    memcpy(block, &packed, HEAD);
    uint8_t *data = kv_arena_realloc(list->arena, block, room, HEAD + packed);
    if (data == NULL) {
        kv_arena_free(list->arena, block, room);
        node->form = KV_QL_POSTPONED;
        return;
    }
    kv_arena_free(list->arena, node->data, node->bytes);
    list->bytes = list->bytes - kv_arena_good_size(node->bytes) + kv_arena_good_size(HEAD + packed);
    node->data = data;
    node->form = KV_QL_PACKED;
}

/* ---- the chain ---- */

static bool is_interior(const kv_quicklist *list, const kv_ql_node *node) {
    if (list->depth == 0 || list->nodes / 2 < list->depth) return false;
    const kv_ql_node *left = node->prev, *right = node->next;
    for (unsigned i = 1; i < list->depth && left != NULL && right != NULL; i++) {
        left = left->prev;
        right = right->next;
    }
    return left != NULL && right != NULL;
}

/* Expands the nodes of one end; then compresses those next to it inwards that are raw, up to the other end. */
static void arrange_end(kv_quicklist *list, bool tail) {
    kv_ql_node *node = tail ? list->tail : list->head;
    for (unsigned i = 0; i < list->depth && node != NULL; i++, node = tail ? node->prev : node->next) {
        if (node->form == KV_QL_POSTPONED) node->form = KV_QL_RAW;
        if (!kv_ql_unpacked(list, node)) list->behind = 1;
    }
    for (unsigned done = 0; done < list->depth && node != NULL && is_interior(list, node); node = tail ? node->prev : node->next) {
        if (node->form <= KV_QL_HIGH) compress(list, node), done = 0;
        else done++;
    }
}

void kv_ql_arrange(kv_quicklist *list, kv_ql_node *from, size_t near) {
    list->behind = 0;
    arrange_end(list, false);
    arrange_end(list, true);
    for (kv_ql_node *node = from != NULL ? from : list->head; node != NULL && near > 0; node = node->next, near--)
        if (node->form <= KV_QL_HIGH && is_interior(list, node)) compress(list, node);
}

/* ---- check ---- */

/* Would it gain nothing, as it says? True as well when there is no memory to try. */
static bool is_stubborn(const kv_quicklist *list, const kv_ql_node *node) {
    if (node->bytes < MIN_BYTES || node->bytes > MAX_BYTES) return true;
    size_t room = node->bytes - MIN_GAIN;
    uint8_t *block = kv_arena_alloc(list->arena, room);
    if (block == NULL) return true;
    bool stubborn = kv_lzf_compress(kv_slice_of(node->data, node->bytes), block, room) == 0;
    kv_arena_free(list->arena, block, room);
    return stubborn;
}

bool kv_ql_form_check(const kv_quicklist *list, const kv_ql_node *node) {
    bool interior = is_interior(list, node);
    if (node->form == KV_QL_STUBBORN) return list->depth > 0 && is_stubborn(list, node);
    if (node->form == KV_QL_POSTPONED) return list->depth > 0;
    if (node->form <= KV_QL_HIGH) return !interior && (node->form == KV_QL_RAW || !node->plain);
    return node->form == KV_QL_PACKED && list->depth > 0 && (interior || list->behind) &&
           node->bytes >= kv_ql_packed_bytes(node) - HEAD + MIN_GAIN;
}
