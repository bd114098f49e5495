/* The big form of a sorted set: a hash table finds an element by its member, a counted B+ tree by its place; both point at the same block.
 *
 *     kv_zset_big { arena, seed, table, tree }
 *           table --(hash of the member)--> kv_zelem { score, length, member } <--(score, member)-- tree
 *
 * Invariants: table and tree hold the same elements (in a change of several members the tree holds old ones besides); every block, bucket and node lives in `arena`, wherever the value's key is now.
 * An insert makes the element and room in the table first, so that after the tree has taken it nothing can fail. */
#include "types/zset_big.h"

#include "base/rng.h"
#include "ds/ztree.h"
#include "ds/table.h"

struct kv_zset_big {
    kv_arena *arena;
    kv_hash_seed seed;
    kv_table table;
    kv_ztree tree;
    size_t drained; /* where kv_table_drain stands, while the set is being freed */
};

static const kv_table_type table_type = {.key = kv_zelem_key};

static uint64_t hash_of(const kv_zset_big *z, kv_slice member) { return kv_siphash(&z->seed, member.ptr, member.len); }

static kv_zelem *find(const kv_zset_big *z, kv_slice member) { return kv_table_find(&z->table, hash_of(z, member), member); }

kv_zset_big *kv_zset_big_new(kv_arena *a, size_t members) {
    kv_zset_big *z = kv_arena_alloc(a, sizeof *z);
    if (z == NULL) return NULL;
    memset(z, 0, sizeof *z);
    z->arena = a;
    uint64_t secret[2] = {(uint64_t)(uintptr_t)z, 0}; /* the address alone if the system has no randomness */
    (void)kv_random_bytes(secret, sizeof secret);
    z->seed = (kv_hash_seed){secret[0], secret[1]};
    kv_table_init(&z->table, &table_type, &z->seed, a);
    kv_ztree_init(&z->tree, a);
    if (members > KV_TABLE_SLOTS && kv_table_expand(&z->table, members) != KV_OK) {
        kv_table_deinit(&z->table, NULL, NULL);
        kv_arena_free(a, z, sizeof *z);
        return NULL;
    }
    return z;
}

/* ---- freeing ---- */

static void free_elem(void *arg, kv_zelem *elem) { kv_zelem_free(arg, elem); }
static void forget(void *arg, void *elem) {
    (void)elem;
    *(size_t *)arg += 1;
}

/* First the elements and nodes, from the high end; then the buckets, whose pointers are dead by then and only counted. */
bool kv_zset_big_free_some(kv_zset_big *z, size_t *budget) {
    kv_arena *a = z->arena;
    size_t count = kv_ztree_count(&z->tree);
    if (count > 0) {
        size_t take = count < *budget ? count : *budget;
        kv_ztree_delete_range(&z->tree, count - take, count, free_elem, a);
        *budget -= take;
        if (take < count) return false;
    }
    if (kv_table_count(&z->table) > 0) {
        if (*budget == 0) return false;
        size_t forgotten = 0;
        bool more = kv_table_drain(&z->table, &z->drained, *budget, forget, &forgotten);
        *budget -= forgotten < *budget ? forgotten : *budget;
        if (more && kv_table_count(&z->table) > 0) return false;
    }
    kv_ztree_deinit(&z->tree, NULL, NULL);
    kv_table_deinit(&z->table, NULL, NULL);
    kv_arena_free(a, z, sizeof *z);
    return true;
}

static void destroy(kv_zset_big *z) {
    size_t budget = SIZE_MAX;
    while (!kv_zset_big_free_some(z, &budget)) budget = SIZE_MAX;
}

/* ---- facts ---- */

const kv_table *kv_zset_big_table(const kv_zset_big *z) { return &z->table; }

kv_arena *kv_zset_big_arena(const kv_zset_big *z) { return z->arena; }
size_t kv_zset_big_count(const kv_zset_big *z) { return kv_ztree_count(&z->tree); }
const kv_ztree *kv_zset_big_tree(const kv_zset_big *z) { return &z->tree; }

kv_zset_big *kv_zset_big_copy(const kv_zset_big *z, kv_arena *a) {
    kv_zset_big *copy = kv_zset_big_new(a, kv_zset_big_count(z));
    if (copy == NULL) return NULL;
    kv_zcursor cursor;
    for (const kv_zelem *elem = kv_ztree_first(&z->tree, &cursor); elem != NULL; elem = kv_zcursor_next(&cursor)) {
        if (kv_zset_big_insert(copy, kv_zelem_member(elem), elem->score) != KV_OK) {
            destroy(copy);
            return NULL;
        }
    }
    return copy;
}

size_t kv_zset_big_memory(const kv_zset_big *z, size_t samples) {
    size_t count = kv_zset_big_count(z), seen = 0, bytes = 0;
    if (samples == 0 || samples > count) samples = count;
    kv_zcursor cursor;
    for (const kv_zelem *elem = kv_ztree_first(&z->tree, &cursor); elem != NULL && seen < samples; elem = kv_zcursor_next(&cursor), seen++)
        bytes += kv_arena_good_size(kv_zelem_bytes(elem));
    size_t elements = seen == 0 ? 0 : (size_t)((double)bytes / (double)seen * (double)count);
    return kv_arena_good_size(sizeof *z) + kv_table_bytes(&z->table) + kv_ztree_bytes(&z->tree) + elements;
}

bool kv_zset_big_check(const kv_zset_big *z) {
    if (!kv_table_check(&z->table) || !kv_ztree_check(&z->tree)) return false;
    if (kv_table_count(&z->table) != kv_ztree_count(&z->tree)) return false;
    kv_zcursor cursor;
    for (const kv_zelem *elem = kv_ztree_first(&z->tree, &cursor); elem != NULL; elem = kv_zcursor_next(&cursor))
        if (find(z, kv_zelem_member(elem)) != elem || elem->score != elem->score) return false;
    return true;
}

/* ---- members ---- */

bool kv_zset_big_score(const kv_zset_big *z, kv_slice member, double *score) {
    const kv_zelem *elem = find(z, member);
    if (elem == NULL) return false;
    *score = elem->score;
    return true;
}

/* `at`: where the table and the tree take the element. *made: the element. */
static kv_status insert_at(kv_zset_big *z, const kv_table_pos *at, kv_zplace *place, kv_zelem **made) {
    kv_status status = kv_table_reserve_for(&z->table, at->hash);
    if (status != KV_OK) return status;
    kv_zelem *elem = kv_zelem_new(z->arena, place->score, place->member);
    if (elem == NULL) return KV_ENOMEM;
    status = kv_ztree_insert_at(&z->tree, place, elem);
    if (status == KV_OK) {
        status = kv_table_insert_at(&z->table, at, elem);
        if (status == KV_OK) {
            *made = elem;
            return KV_OK;
        }
        (void)kv_ztree_remove_elem(&z->tree, elem);
    }
    kv_zelem_free(z->arena, elem);
    return status;
}

/* Starts to fetch the bucket of a member and the leaf of its new score, the two at once, then looks the member up. What the place is compared with comes
 * in while the old place is looked for or an element is made. */
static kv_zelem *look_up(kv_zset_big *z, kv_slice member, double score, kv_table_pos *at, kv_zplace *place) {
    uint64_t hash = hash_of(z, member);
    kv_table_prefetch(&z->table, hash);
    kv_ztree_seek(&z->tree, score, member, place);
    kv_zelem *elem = kv_table_locate(&z->table, hash, member, at);
    kv_ztree_look(place);
    return elem;
}

kv_status kv_zset_big_insert(kv_zset_big *z, kv_slice member, double score) {
    kv_table_pos at;
    kv_zplace place;
    kv_zelem *made;
    (void)look_up(z, member, score, &at, &place);
    return insert_at(z, &at, &place, &made);
}

/* What adding the member comes to, looked up and decided: nothing has changed yet. The place is that of the score it is to have. */
typedef struct addition {
    kv_table_pos at;
    kv_zplace place;
    kv_zelem *elem; /* NULL: a new member */
    kv_zadd_outcome outcome;
} addition;

static kv_status decide(kv_zset_big *z, kv_slice member, double score, unsigned flags, addition *add) {
    add->elem = look_up(z, member, score, &add->at, &add->place);
    double wanted = score;
    kv_status status = kv_zadd_decide(add->elem != NULL, add->elem == NULL ? 0 : add->elem->score, flags, &wanted, &add->outcome);
    if (status == KV_OK && wanted != score) kv_ztree_seek(&z->tree, wanted, member, &add->place);
    add->place.score = wanted; /* 0 and -0 have one place, but are not printed alike */
    return status;
}

static void report(const addition *add, kv_zadd_outcome *out, double *result) {
    *out = add->outcome;
    if (result != NULL && add->outcome != KV_ZADD_REFUSED) *result = add->place.score;
}

kv_status kv_zset_big_add(kv_zset_big *z, kv_slice member, double score, unsigned flags, kv_zadd_outcome *out, double *result) {
    addition add;
    kv_status status = decide(z, member, score, flags, &add);
    if (status == KV_OK && add.outcome == KV_ZADD_ADDED) status = insert_at(z, &add.at, &add.place, &add.elem);
    if (status == KV_OK && add.outcome == KV_ZADD_UPDATED) {
        kv_table_touch(&z->table, add.at.hash); /* the table does not see it, but those who read it do */
        status = kv_ztree_update_at(&z->tree, &add.place, add.elem);
    }
    if (status == KV_OK) report(&add, out, result);
    return status;
}

/* The member gets a second element, with its new score; the old one stays in the tree until it is certain which of the two has to go. */
static kv_status add_second(kv_zset_big *z, addition *add, kv_zset_was *was) {
    kv_zelem *elem = kv_zelem_new(z->arena, add->place.score, add->place.member);
    if (elem == NULL) return KV_ENOMEM;
    kv_status status = kv_ztree_insert_at(&z->tree, &add->place, elem);
    if (status != KV_OK) {
        kv_zelem_free(z->arena, elem);
        return status;
    }
    (void)kv_table_replace(&z->table, add->at.hash, add->elem, elem);
    *was = (kv_zset_was){.made = elem, .old = add->elem};
    return KV_OK;
}

kv_status kv_zset_big_try_add(kv_zset_big *z, kv_slice member, double score, unsigned flags, kv_zadd_outcome *out, double *result,
                              kv_zset_was *was) {
    addition add;
    *was = (kv_zset_was){NULL, NULL};
    kv_status status = decide(z, member, score, flags, &add);
    if (status == KV_OK && add.outcome == KV_ZADD_ADDED) status = insert_at(z, &add.at, &add.place, &was->made);
    if (status == KV_OK && add.outcome == KV_ZADD_UPDATED) status = add_second(z, &add, was);
    if (status == KV_OK) report(&add, out, result);
    return status;
}

static void forget_elem(kv_zset_big *z, kv_zelem *elem) {
    (void)kv_ztree_remove_elem(&z->tree, elem);
    kv_zelem_free(z->arena, elem);
}

void kv_zset_big_settle(kv_zset_big *z, const kv_zset_was *was, bool keep) {
    if (keep && was->old != NULL) forget_elem(z, was->old);
    if (keep || was->made == NULL) return;
    uint64_t hash = hash_of(z, kv_zelem_member(was->made));
    if (was->old != NULL) (void)kv_table_replace(&z->table, hash, was->made, was->old);
    else (void)kv_table_remove_entry(&z->table, hash, was->made);
    forget_elem(z, was->made);
}

bool kv_zset_big_remove(kv_zset_big *z, kv_slice member) {
    kv_zelem *elem = kv_table_remove(&z->table, hash_of(z, member), member);
    if (elem == NULL) return false;
    forget_elem(z, elem);
    return true;
}

static void remove_elem(void *arg, kv_zelem *elem) {
    kv_zset_big *z = arg;
    kv_table_remove_entry(&z->table, hash_of(z, kv_zelem_member(elem)), elem);
    kv_zelem_free(z->arena, elem);
}

void kv_zset_big_remove_ranks(kv_zset_big *z, size_t first, size_t count) {
    kv_ztree_delete_range(&z->tree, first, first + count, remove_elem, z);
}

bool kv_zset_big_rank(const kv_zset_big *z, kv_slice member, size_t *rank, double *score) {
    const kv_zelem *elem = find(z, member);
    if (elem == NULL) return false;
    if (score != NULL) *score = elem->score;
    return kv_ztree_rank_of_elem(&z->tree, elem, rank);
}

/* ---- scanning ---- */

typedef struct page {
    kv_zset_item_fn fn;
    void *ctx;
    size_t seen;
} page;

static void hand_out(void *arg, void *entry) {
    page *p = arg;
    const kv_zelem *elem = entry;
    kv_zset_item item;
    item.member = kv_zelem_member(elem);
    item.score = elem->score;
    p->seen++;
    p->fn(p->ctx, &item);
}

uint64_t kv_zset_big_scan(const kv_zset_big *z, uint64_t cursor, size_t count, kv_zset_item_fn fn, void *ctx) {
    page p = {fn, ctx, 0};
    size_t steps = count > SIZE_MAX / 10 ? SIZE_MAX : count * 10; /* an almost empty table must not hold the lock for long */
    do cursor = kv_table_scan(&z->table, cursor, hand_out, &p);
    while (cursor != 0 && p.seen < count && --steps > 0);
    return cursor;
}
