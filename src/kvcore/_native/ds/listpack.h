/* A listpack: many small items in one block, in the byte format that RDB files hold (see listpack.c for the drawing).
 *
 * A listpack is one block of kv_lp_bytes(lp) bytes that belongs to the arena it was made in; every function that takes an arena needs
 * that one (kv_lp_dup copies to another). Functions that change a listpack return it, possibly moved; on failure (out of memory, or more
 * than KV_LP_MAX_BYTES) they return NULL and the listpack is as it was, at its old place. A removal can fail as well: it may move to a
 * smaller block.
 *
 * A position is a pointer to an item's first byte, or NULL for none. Any change makes all positions stale; the functions that change
 * hand a new one back. An item given to a function must not point into the listpack that is changed. */
#ifndef KV_DS_LISTPACK_H
#define KV_DS_LISTPACK_H

#include "base/arena.h"
#include "base/slice.h"

#define KV_LP_MAX_BYTES ((size_t)1 << 30)
#define KV_LP_EMPTY_BYTES 7u /* header and end mark */

/* One item: an integer, or bytes (in the listpack when read, the caller's when written). */
typedef struct kv_lp_item {
    bool is_int;
    int64_t num;  /* when is_int */
    kv_slice str; /* when not */
} kv_lp_item;

static inline kv_lp_item kv_lp_int(int64_t num) { return (kv_lp_item){true, num, {NULL, 0}}; }
/* Bytes to be written: canonical decimals ("12", "-7"; not "+1", "01", " 1") that fit int64 are stored as integers. */
static inline kv_lp_item kv_lp_str(kv_slice str) { return (kv_lp_item){false, 0, str}; }

/* ---- whole listpacks ---- */
uint8_t *kv_lp_new(kv_arena *arena);
void kv_lp_free(kv_arena *arena, uint8_t *lp); /* NULL is fine */
uint8_t *kv_lp_dup(kv_arena *to, const uint8_t *lp);
size_t kv_lp_bytes(const uint8_t *lp);
size_t kv_lp_count(const uint8_t *lp); /* O(1) below 65535 items, else O(items) */
/* Appends `second` to `first` and frees the block that is not returned; both live in `arena`. NULL: both unchanged. */
uint8_t *kv_lp_merge(kv_arena *arena, uint8_t *first, uint8_t *second);

/* ---- walking: NULL past either end ---- */
const uint8_t *kv_lp_first(const uint8_t *lp);
const uint8_t *kv_lp_last(const uint8_t *lp);
const uint8_t *kv_lp_next(const uint8_t *lp, const uint8_t *pos);
const uint8_t *kv_lp_prev(const uint8_t *lp, const uint8_t *pos);
/* Item number `index`; negative counts from the end (-1 is the last). O(items), from the nearer end when the count is known. */
const uint8_t *kv_lp_at(const uint8_t *lp, int64_t index);

/* ---- reading ---- */
#define KV_LP_SCRATCH 32
kv_lp_item kv_lp_get(const uint8_t *pos);
/* The item as text; integers are written to `scratch`, which then has to live as long as the slice. */
kv_slice kv_lp_item_text(const kv_lp_item *item, char scratch[KV_LP_SCRATCH]);
kv_slice kv_lp_text(const uint8_t *pos, char scratch[KV_LP_SCRATCH]);
bool kv_lp_equals(const uint8_t *pos, kv_slice text); /* compares as text, integers by value */
/* The first item at or after `from` (NULL: none) that equals `text`, trying every (skip + 1)-th: skip 1 looks at hash fields only. */
const uint8_t *kv_lp_find(const uint8_t *lp, const uint8_t *from, kv_slice text, size_t skip);

/* ---- changing ---- */
/* The general change, atomic: removes `remove` items at `pos` (fewer when the end comes first; pos NULL is the end) and puts `count`
 * items in their place. *out (may be NULL): the first new item; without new items, the item after the removed ones, or NULL at the end. */
uint8_t *kv_lp_splice(kv_arena *arena, uint8_t *lp, const uint8_t *pos, size_t remove, const kv_lp_item *items, size_t count,
                      const uint8_t **out);
/* Several changes at once, atomic: each patched item is replaced (patches ascend strictly by position), and `tail` is appended. Items that keep their
 * sizes are written where they are, without an allocation. Leaves integers in patches and tail in the form in which they were stored. */
typedef struct kv_lp_patch {
    const uint8_t *pos;
    kv_lp_item item;
} kv_lp_patch;
uint8_t *kv_lp_rewrite(kv_arena *arena, uint8_t *lp, kv_lp_patch *patches, size_t patch_count, kv_lp_item *tail, size_t tail_count);
uint8_t *kv_lp_append(kv_arena *arena, uint8_t *lp, kv_slice str);
uint8_t *kv_lp_append_int(kv_arena *arena, uint8_t *lp, int64_t num);
uint8_t *kv_lp_prepend(kv_arena *arena, uint8_t *lp, kv_slice str);
uint8_t *kv_lp_insert_before(kv_arena *arena, uint8_t *lp, const uint8_t *pos, kv_slice str, const uint8_t **out);
uint8_t *kv_lp_insert_after(kv_arena *arena, uint8_t *lp, const uint8_t *pos, kv_slice str, const uint8_t **out);
uint8_t *kv_lp_replace(kv_arena *arena, uint8_t *lp, const uint8_t *pos, kv_slice str, const uint8_t **out);
/* *out (may be NULL): the item after the removed one. */
uint8_t *kv_lp_delete(kv_arena *arena, uint8_t *lp, const uint8_t *pos, const uint8_t **out);
/* Would removing the item at pos leave the block where it is? Then it cannot fail. */
bool kv_lp_deletes_in_place(const uint8_t *lp, const uint8_t *pos);
/* The first item becomes the last (from_head), or the last the first. Cannot fail; O(bytes). */
void kv_lp_rotate(uint8_t *lp, bool from_head);
/* Removes up to `count` items from number `index` on (negative: from the end). An index that is not there removes nothing. */
uint8_t *kv_lp_delete_range(kv_arena *arena, uint8_t *lp, int64_t index, size_t count);

/* ---- room in front ----
 * A listpack whose owner knows that it stands high: at the end of its block, so that the room that its size class leaves is in front of it. A push and a
 * removal at the front move its header and nothing else, but for one in many that changes the size class. It is read as any other, and lowered before
 * any function above changes or frees it. */
/* `high`: how it stands before; it stands high afterwards. NULL: nothing changed. */
uint8_t *kv_lp_high_prepend(kv_arena *arena, uint8_t *lp, bool high, const kv_lp_item *items,
                            size_t count);                                 /* items[0] becomes the first */
uint8_t *kv_lp_high_delete_first(kv_arena *arena, uint8_t *lp, bool high); /* there is one */
uint8_t *kv_lp_lower(uint8_t *lp);                                         /* to the beginning of its block. O(bytes) */
void kv_lp_high_free(kv_arena *arena, uint8_t *lp);

/* ---- sizes ---- */
size_t kv_lp_item_bytes(kv_lp_item item);        /* what the item would take, exactly */
size_t kv_lp_entry_bytes(const uint8_t *pos);    /* what the item at pos takes */
bool kv_lp_fits(const uint8_t *lp, size_t more); /* may `more` bytes of items be added? */

/* ---- checks ---- */
/* Is this a listpack, for bytes from outside? Header and end mark; `deep` walks every item too (O(bytes)). After a deep yes every
 * function above is safe on it. Items are not required to be in their shortest encoding. */
bool kv_lp_validate(const uint8_t *bytes, size_t len, bool deep);
bool kv_lp_check(const uint8_t *lp); /* kv_lp_validate of our own, deep */

#endif
