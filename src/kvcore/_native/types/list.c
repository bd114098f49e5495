/* Lists.
 *
 *   KV_ENC_LISTPACK    u.ptr -> listpack                         in the arena of the key's shard
 *   KV_ENC_QUICKLIST   u.ptr -> kv_quicklist -> nodes            in list->arena, which may be another shard's (shared) arena
 *
 * A listpack becomes a quicklist when the bytes it has, plus the length of what is about to be added, pass one node's limit. The way back is taken
 * after a removal (and after LSET) when one packed node is left that fills at most half of the limit; the half keeps a list at the limit from
 * changing to and fro. Both rules look at the limits of now, while a quicklist goes on filling nodes as it was told when it was made.
 *
 * A conversion does not change what the list holds, so an operation that converts and then runs out of memory still leaves the list as it was. */
#include "types/list.h"
#include "base/num.h"

static kv_quicklist *quick(const kv_value *v) { return (kv_quicklist *)v->u.ptr; }
static uint8_t *pack(const kv_value *v) { return (uint8_t *)v->u.ptr; }
static bool is_pack(const kv_value *v) { return v->enc == KV_ENC_LISTPACK; }
static kv_ql_end end_of(kv_list_end end) { return end == KV_LIST_HEAD ? KV_QL_HEAD : KV_QL_TAIL; }

/* ---- conversions ---- */

static kv_ql_rules rules_of(const kv_limits *limits) {
    return (kv_ql_rules){limits->list_max_listpack_size, limits->list_compress_depth, limits->list_packed_threshold};
}

/* Makes a quicklist of v's listpack when it may not have so many bytes and items in all. */
static kv_status grow_to(kv_value *v, kv_arena *a, const kv_limits *limits, size_t bytes, size_t items) {
    if (kv_ql_node_allows(limits->list_max_listpack_size, bytes, items)) return KV_OK;
    kv_ql_rules rules = rules_of(limits);
    kv_quicklist *list = kv_quicklist_from_listpack(a, pack(v), &rules);
    if (list == NULL) return KV_ENOMEM;
    v->enc = KV_ENC_QUICKLIST;
    v->u.ptr = list;
    return KV_OK;
}

/* The same for `items` more, with `bytes` of text. */
static kv_status grow(kv_value *v, kv_arena *a, const kv_limits *limits, size_t bytes, size_t items) {
    if (!is_pack(v)) return KV_OK;
    size_t total_bytes, total_items;
    if (!kv_add_size(kv_lp_bytes(pack(v)), bytes, &total_bytes)) return KV_ENOMEM;
    if (!kv_add_size(kv_lp_count(pack(v)), items, &total_items)) return KV_ENOMEM;
    return grow_to(v, a, limits, total_bytes, total_items);
}

/* The limit of one node, divided: is this single node small enough to be a listpack again? divide 1: after loading, 2: after a removal. */
static bool small_enough(int64_t fill, const kv_ql_node *node, size_t divide) {
    if (fill >= 0) return node->count <= (size_t)(fill == 0 ? 1 : fill) / divide;
    unsigned step = fill < -5 ? 4 : (unsigned)(-fill) - 1;
    return node->bytes <= ((size_t)4096 << step) / divide;
}

static void shrink(kv_value *v, kv_arena *a, const kv_limits *limits, size_t divide) {
    if (is_pack(v)) return;
    kv_quicklist *list = quick(v);
    if (list->nodes != 1 || list->head->plain || !small_enough(limits->list_max_listpack_size, list->head, divide)) return;
    /* Small forms live in the key's own arena; without memory the quicklist simply stays. */
    uint8_t *lp = kv_quicklist_take_listpack(list, a);
    if (lp == NULL) return;
    v->enc = KV_ENC_LISTPACK;
    v->u.ptr = lp;
}

/* ---- life ---- */

kv_status kv_list_create(kv_value *v, kv_arena *a) {
    uint8_t *lp = kv_lp_new(a);
    if (lp == NULL) return KV_ENOMEM;
    v->type = KV_LIST;
    v->enc = KV_ENC_LISTPACK;
    v->u.ptr = lp;
    return KV_OK;
}

void kv_list_free(kv_value *v, kv_arena *a) {
    if (is_pack(v)) kv_lp_free(a, pack(v));
    else kv_quicklist_free(quick(v));
    v->u.ptr = NULL;
}

bool kv_list_free_some(kv_value *v, kv_arena *a, size_t *budget) {
    if (!is_pack(v)) {
        size_t before = quick(v)->nodes;
        bool more = kv_quicklist_drain(quick(v), *budget);
        *budget -= before - quick(v)->nodes;
        if (more) return false;
    }
    kv_list_free(v, a);
    return true;
}

kv_status kv_list_copy(const kv_value *src, kv_value *dst, kv_arena *a) {
    void *copy = is_pack(src) ? (void *)kv_lp_dup(a, pack(src)) : (void *)kv_quicklist_dup(a, quick(src));
    if (copy == NULL) return KV_ENOMEM;
    dst->type = KV_LIST;
    dst->enc = src->enc;
    dst->u.ptr = copy;
    return KV_OK;
}

kv_status kv_list_rehome(kv_value *v, kv_arena *from, kv_arena *to) {
    if (!is_pack(v)) {
        kv_arena_share(quick(v)->arena);
        return KV_OK;
    }
    uint8_t *lp = kv_lp_dup(to, pack(v));
    if (lp == NULL) return KV_ENOMEM;
    kv_lp_free(from, pack(v));
    v->u.ptr = lp;
    return KV_OK;
}

bool kv_list_check(const kv_value *v) {
    if (v->type != KV_LIST || v->u.ptr == NULL) return false;
    if (is_pack(v)) return kv_lp_check(pack(v));
    return v->enc == KV_ENC_QUICKLIST && kv_quicklist_check(quick(v));
}

/* ---- reading ---- */

size_t kv_list_length(const kv_value *v) { return is_pack(v) ? kv_lp_count(pack(v)) : kv_quicklist_count(quick(v)); }

size_t kv_list_memory(const kv_value *v, size_t samples) {
    (void)samples; /* both forms know their size */
    return is_pack(v) ? kv_arena_good_size(kv_lp_bytes(pack(v))) : kv_quicklist_bytes(quick(v));
}

static uint8_t state_of(kv_status status) {
    return status == KV_OK ? KV_LIST_ITER_NEXT : status == KV_ENOMEM ? KV_LIST_ITER_FAILED : KV_LIST_ITER_DONE;
}

void kv_list_iter_init(kv_list_iter *it, const kv_value *v, int64_t index, bool backward) {
    it->v = v;
    it->backward = backward;
    it->state = KV_LIST_ITER_DONE;
    if (is_pack(v)) it->pos = kv_lp_at(pack(v), index);
    else it->state = state_of(kv_quicklist_at(quick(v), index, &it->quick));
}

static void step_pack(kv_list_iter *it) { it->pos = it->backward ? kv_lp_prev(pack(it->v), it->pos) : kv_lp_next(pack(it->v), it->pos); }

/* To the next item of a quicklist when it is asked for and no earlier: a step may end what was handed out last. */
static inline bool step_quick(kv_list_iter *it) {
    if (it->state == KV_LIST_ITER_LAST) {
        kv_status status = it->backward ? kv_ql_prev(&it->quick) : kv_ql_next(&it->quick);
        if (status != KV_OK) it->state = state_of(status);
        return status == KV_OK;
    }
    if (it->state != KV_LIST_ITER_NEXT) return false;
    it->state = KV_LIST_ITER_LAST;
    return true;
}

bool kv_list_next(kv_list_iter *it, kv_slice *out) {
    if (is_pack(it->v)) {
        if (it->pos == NULL) return false;
        *out = kv_lp_text(it->pos, it->scratch);
        step_pack(it);
        return true;
    }
    if (!step_quick(it)) return false;
    *out = kv_ql_text(&it->quick, it->scratch);
    return true;
}

bool kv_list_next_equals(kv_list_iter *it, kv_slice text, bool *equal) {
    if (is_pack(it->v)) {
        if (it->pos == NULL) return false;
        *equal = kv_lp_equals(it->pos, text);
        step_pack(it);
        return true;
    }
    if (!step_quick(it)) return false;
    *equal = kv_ql_equals(&it->quick, text);
    return true;
}

kv_status kv_list_get(kv_list_iter *it, const kv_value *v, int64_t index, kv_slice *out) {
    it->state = KV_LIST_ITER_DONE;
    if (!is_pack(v)) {
        kv_status status = kv_quicklist_at(quick(v), index, &it->quick);
        it->state = state_of(status);
        if (status == KV_OK) *out = kv_ql_text(&it->quick, it->scratch);
        return status;
    }
    const uint8_t *pos = kv_lp_at(pack(v), index);
    if (pos == NULL) return KV_ENOTFOUND;
    *out = kv_lp_text(pos, it->scratch);
    return KV_OK;
}

kv_status kv_list_peek(const kv_value *v, kv_list_end end, char scratch[KV_LIST_SCRATCH], kv_slice *out) {
    int64_t index = end == KV_LIST_HEAD ? 0 : -1;
    if (is_pack(v)) {
        const uint8_t *pos = kv_lp_at(pack(v), index);
        if (pos == NULL) return KV_ENOTFOUND;
        *out = kv_lp_text(pos, scratch);
        return KV_OK;
    }
    /* The node at an end is raw but when memory was short: then it becomes so now, and the position owns nothing. */
    kv_ql_pos pos;
    if (kv_quicklist_open_end(quick(v), end_of(end)) != KV_OK) return KV_ENOMEM;
    kv_status status = kv_quicklist_at(quick(v), index, &pos);
    if (status == KV_OK) *out = kv_ql_text(&pos, scratch);
    return status;
}

/* ---- pushing ---- */

static kv_status push_pack(kv_value *v, kv_arena *a, kv_list_end end, const kv_slice *items, size_t count) {
    uint8_t *lp;
    if (count == 1) {
        lp = end == KV_LIST_HEAD ? kv_lp_prepend(a, pack(v), items[0]) : kv_lp_append(a, pack(v), items[0]);
    } else {
        /* One splice: it is atomic, and it moves what is there only once. The limit of a node bounds `count`. */
        size_t bytes;
        if (!kv_mul_size(count, sizeof(kv_lp_item), &bytes)) return KV_ENOMEM;
        kv_lp_item *batch = kv_arena_alloc(a, bytes);
        if (batch == NULL) return KV_ENOMEM;
        for (size_t i = 0; i < count; i++) batch[i] = kv_lp_str(items[end == KV_LIST_HEAD ? count - 1 - i : i]);
        lp = kv_lp_splice(a, pack(v), end == KV_LIST_HEAD ? kv_lp_first(pack(v)) : NULL, 0, batch, count, NULL);
        kv_arena_free(a, batch, bytes);
    }
    if (lp == NULL) return KV_ENOMEM;
    v->u.ptr = lp;
    return KV_OK;
}

kv_status kv_list_push(kv_value *v, kv_arena *a, const kv_limits *limits, kv_list_end end, const kv_slice *items, size_t count) {
    if (count == 0) return KV_OK;
    if (is_pack(v)) {
        size_t bytes = 0;
        for (size_t i = 0; i < count; i++)
            if (!kv_add_size(bytes, items[i].len, &bytes)) return KV_ENOMEM;
        kv_status status = grow(v, a, limits, bytes, count);
        if (status != KV_OK) return status;
        if (is_pack(v)) return push_pack(v, a, end, items, count);
    }
    return count == 1 ? kv_quicklist_push(quick(v), end_of(end), items[0]) : kv_quicklist_push_many(quick(v), end_of(end), items, count);
}

/* ---- removing ---- */

static kv_status delete_range(kv_value *v, kv_arena *a, int64_t start, size_t count) {
    if (count == 0) return KV_OK;
    if (!is_pack(v)) return kv_quicklist_delete_range(quick(v), start, count, NULL);
    uint8_t *lp = kv_lp_delete_range(a, pack(v), start, count);
    if (lp == NULL) return KV_ENOMEM;
    v->u.ptr = lp;
    return KV_OK;
}

kv_status kv_list_drop_range(kv_value *v, kv_arena *a, const kv_limits *limits, size_t index, size_t count) {
    size_t length = kv_list_length(v);
    if (index >= length) return KV_OK;
    if (count > length - index) count = length - index;
    kv_status status = delete_range(v, a, (int64_t)index, count);
    if (status == KV_OK && count < length) shrink(v, a, limits, 2);
    return status;
}

kv_status kv_list_drop(kv_value *v, kv_arena *a, const kv_limits *limits, kv_list_end end, size_t count) {
    kv_status status;
    if (!is_pack(v) && count == 1) {
        status = kv_quicklist_pop(quick(v), end_of(end));
        if (status == KV_ENOTFOUND) return KV_OK;
        if (status == KV_OK && quick(v)->count > 0) shrink(v, a, limits, 2);
        return status;
    }
    size_t length = kv_list_length(v);
    if (count > length) count = length;
    return kv_list_drop_range(v, a, limits, end == KV_LIST_HEAD ? 0 : length - count, count);
}

/* Both ends of a listpack: on a copy, so that it is both or neither. */
static kv_status cut_both(kv_value *v, kv_arena *a, size_t skip, size_t cut) {
    uint8_t *copy = kv_lp_dup(a, pack(v));
    if (copy == NULL) return KV_ENOMEM;
    kv_value trimmed = {.enc = KV_ENC_LISTPACK, .u.ptr = copy};
    kv_status status = delete_range(&trimmed, a, -(int64_t)cut, cut);
    if (status == KV_OK) status = delete_range(&trimmed, a, 0, skip);
    kv_lp_free(a, status == KV_OK ? pack(v) : pack(&trimmed));
    if (status == KV_OK) v->u.ptr = trimmed.u.ptr;
    return status;
}

kv_status kv_list_keep(kv_value *v, kv_arena *a, const kv_limits *limits, size_t skip, size_t keep) {
    size_t length = kv_list_length(v);
    if (skip > length) skip = length;
    if (keep > length - skip) keep = length - skip;
    if (keep == 0) skip = 0; /* all goes: one range */
    size_t cut = length - skip - keep;
    if (is_pack(v) && skip > 0 && cut > 0) return cut_both(v, a, skip, cut);
    kv_status status = delete_range(v, a, (int64_t)(skip + keep), cut);
    if (status == KV_OK) status = delete_range(v, a, 0, skip);
    if (status == KV_OK && keep > 0) shrink(v, a, limits, 2);
    return status;
}

static kv_status remove_pack(kv_value *v, kv_arena *a, kv_slice item, int64_t count, size_t *removed) {
    /* Walking forward, the position after a removed item is handed back. Walking backward it is found again by its number, as every
     * removal may move the listpack; one node is small. */
    size_t limit = count == 0 ? SIZE_MAX : count < 0 ? (size_t)(-(count + 1)) + 1 : (size_t)count;
    size_t index = count < 0 ? kv_lp_count(pack(v)) : 0;
    const uint8_t *pos = count < 0 ? kv_lp_last(pack(v)) : kv_lp_first(pack(v));
    while (pos != NULL && *removed < limit) {
        if (count < 0) index--;
        if (!kv_lp_equals(pos, item)) {
            pos = count < 0 ? kv_lp_prev(pack(v), pos) : kv_lp_next(pack(v), pos);
            continue;
        }
        const uint8_t *after;
        uint8_t *lp = kv_lp_delete(a, pack(v), pos, &after);
        if (lp == NULL) return KV_ENOMEM;
        v->u.ptr = lp;
        ++*removed;
        pos = count >= 0 ? after : index == 0 ? NULL : kv_lp_at(lp, (int64_t)index - 1);
    }
    return KV_OK;
}

/* Several removals are made in a copy. */
static kv_status remove_all_or_none(kv_value *v, kv_arena *a, kv_slice item, int64_t count, size_t *removed) {
    if (count == 1 || count == -1) return remove_pack(v, a, item, count, removed);
    if (kv_lp_find(pack(v), kv_lp_first(pack(v)), item, 0) == NULL) return KV_OK;
    kv_value copy = {.enc = KV_ENC_LISTPACK, .u.ptr = kv_lp_dup(a, pack(v))};
    if (copy.u.ptr == NULL) return KV_ENOMEM;
    kv_status status = remove_pack(&copy, a, item, count, removed);
    kv_lp_free(a, status == KV_OK ? pack(v) : pack(&copy));
    if (status == KV_OK) v->u.ptr = copy.u.ptr;
    else *removed = 0;
    return status;
}

kv_status kv_list_remove(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice item, int64_t count, size_t *removed) {
    *removed = 0;
    kv_status status = is_pack(v) ? remove_all_or_none(v, a, item, count, removed) : kv_quicklist_remove(quick(v), item, count, removed);
    if (*removed > 0 && kv_list_length(v) > 0) shrink(v, a, limits, 2);
    return status;
}

/* ---- changing in the middle ---- */

kv_status kv_list_set(kv_value *v, kv_arena *a, const kv_limits *limits, int64_t index, kv_slice item) {
    kv_status status = grow(v, a, limits, item.len, 1);
    if (status != KV_OK) return status;
    if (is_pack(v)) {
        const uint8_t *pos = kv_lp_at(pack(v), index);
        if (pos == NULL) return KV_ERANGE;
        uint8_t *lp = kv_lp_replace(a, pack(v), pos, item, NULL);
        if (lp == NULL) return KV_ENOMEM;
        v->u.ptr = lp;
        return KV_OK;
    }
    kv_ql_pos pos;
    status = kv_quicklist_at(quick(v), index, &pos);
    if (status != KV_OK) return status == KV_ENOTFOUND ? KV_ERANGE : status;
    status = kv_quicklist_set(quick(v), &pos, item);
    if (status == KV_OK) shrink(v, a, limits, 2);
    return status;
}

kv_status kv_list_insert(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice pivot, bool after, kv_slice item) {
    kv_status status = grow(v, a, limits, item.len, 1);
    if (status != KV_OK) return status;
    if (is_pack(v)) {
        const uint8_t *pos = kv_lp_find(pack(v), kv_lp_first(pack(v)), pivot, 0);
        if (pos == NULL) return KV_ENOTFOUND;
        uint8_t *lp = after ? kv_lp_insert_after(a, pack(v), pos, item, NULL) : kv_lp_insert_before(a, pack(v), pos, item, NULL);
        if (lp == NULL) return KV_ENOMEM;
        v->u.ptr = lp;
        return KV_OK;
    }
    kv_ql_pos pos;
    status = kv_quicklist_at(quick(v), 0, &pos);
    if (status == KV_OK) status = kv_ql_find(&pos, pivot, false, NULL);
    if (status != KV_OK) return status;
    return kv_quicklist_insert(quick(v), &pos, after, item);
}

static kv_status rotate(kv_value *v, kv_arena *a, const kv_limits *limits, kv_list_end from, kv_slice item) {
    if (is_pack(v)) { /* the limits may have become lower since: what counts is the listpack without the item, and its text */
        const uint8_t *pos = kv_lp_at(pack(v), from == KV_LIST_HEAD ? 0 : -1);
        size_t bytes = kv_lp_bytes(pack(v)) - kv_lp_entry_bytes(pos) + item.len;
        kv_status status = grow_to(v, a, limits, bytes, kv_lp_count(pack(v)));
        if (status != KV_OK) return status;
    }
    if (is_pack(v)) {
        kv_lp_rotate(pack(v), from == KV_LIST_HEAD);
        return KV_OK;
    }
    kv_status status = kv_quicklist_rotate(quick(v), end_of(from));
    if (status == KV_OK) shrink(v, a, limits, 2);
    return status;
}

/* Taking the item out of the listpack may fail: that is done in a copy before it goes anywhere. */
static kv_status move_by_copy(kv_value *src, kv_arena *src_arena, kv_list_end from, kv_value *dst, kv_arena *dst_arena, kv_list_end to,
                              const kv_limits *limits, const kv_slice *item) {
    kv_value rest = {.enc = KV_ENC_LISTPACK, .u.ptr = kv_lp_dup(src_arena, pack(src))};
    if (rest.u.ptr == NULL) return KV_ENOMEM;
    kv_status status = delete_range(&rest, src_arena, from == KV_LIST_HEAD ? 0 : -1, 1);
    if (status == KV_OK) status = kv_list_push(dst, dst_arena, limits, to, item, 1);
    kv_lp_free(src_arena, status == KV_OK ? pack(src) : pack(&rest));
    if (status == KV_OK) src->u.ptr = rest.u.ptr;
    return status;
}

kv_status kv_list_move(kv_value *src, kv_arena *src_arena, kv_list_end from, kv_value *dst, kv_arena *dst_arena, kv_list_end to,
                       const kv_limits *limits) {
    char scratch[KV_LIST_SCRATCH];
    kv_slice item;
    kv_status status = kv_list_peek(src, from, scratch, &item);
    if (status != KV_OK) return status;
    if (src == dst) return from == to ? KV_OK : rotate(src, src_arena, limits, from, item);
    if (is_pack(src) && !kv_lp_deletes_in_place(pack(src), kv_lp_at(pack(src), from == KV_LIST_HEAD ? 0 : -1)))
        return move_by_copy(src, src_arena, from, dst, dst_arena, to, limits, &item);
    status = kv_list_push(dst, dst_arena, limits, to, &item, 1);
    if (status != KV_OK) return status;
    status = kv_list_drop(src, src_arena, limits, from, 1);
    if (status != KV_OK) (void)kv_list_drop(dst, dst_arena, limits, to, 1);
    return status;
}

/* ---- loading and saving ---- */

kv_status kv_list_append_node(kv_value *v, kv_arena *a, const kv_limits *limits, kv_slice bytes, bool plain) {
    if (is_pack(v)) {
        kv_ql_rules rules = rules_of(limits);
        kv_quicklist *list = kv_quicklist_from_listpack(a, pack(v), &rules);
        if (list == NULL) return KV_ENOMEM;
        v->enc = KV_ENC_QUICKLIST;
        v->u.ptr = list;
    }
    kv_quicklist *list = quick(v);
    if (!plain && kv_lp_count(bytes.ptr) == 0) return KV_OK;
    if (bytes.len == 0) return KV_EINVAL;
    uint8_t *block = plain ? kv_arena_alloc(list->arena, bytes.len) : kv_lp_dup(list->arena, bytes.ptr);
    if (block == NULL) return KV_ENOMEM;
    if (plain) memcpy(block, bytes.ptr, bytes.len);
    kv_status status = plain ? kv_quicklist_append_plain(list, block, bytes.len) : kv_quicklist_append_listpack(list, block);
    if (status != KV_OK) kv_arena_free(list->arena, block, bytes.len);
    return status;
}

void kv_list_loaded(kv_value *v, kv_arena *a, const kv_limits *limits) { shrink(v, a, limits, 1); }

bool kv_list_next_node(const kv_value *v, const void **state, kv_list_node *out) {
    if (is_pack(v)) {
        if (*state != NULL) return false;
        *state = pack(v);
        size_t bytes = kv_lp_bytes(pack(v));
        *out = (kv_list_node){kv_slice_of(pack(v), bytes), bytes, kv_lp_count(pack(v)), false, false};
        return true;
    }
    const kv_ql_node *node = *state == NULL ? quick(v)->head : ((const kv_ql_node *)*state)->next;
    if (node == NULL) return false; /* *state stays at the last node: do not call again */
    *state = node;
    *out = (kv_list_node){kv_ql_node_stored(node), node->bytes, node->count, node->plain, node->form == KV_QL_PACKED};
    return true;
}

void kv_list_set_threshold(kv_value *v, int64_t threshold) {
    if (!is_pack(v)) kv_quicklist_set_large(quick(v), threshold);
}
