/* The big form of a sorted set: a hash table finds an element by its member, a packed skiplist by its place; both point at the same block.
 *
 *     kv_zset_big { arena, seed, table, list }
 *           table --(hash of the member)--> kv_zelem { score, length, member } <--(score, member)-- list
 *
 * Invariants: table and list hold the same elements; every block, bucket and node lives in `arena`, wherever the value's key is now.
 * An insert makes the element and room in the table first, so that after the list has taken it nothing can fail. */
#include "types/zset_big.h"

#include "base/rng.h"
#include "ds/skiplist.h"
#include "ds/table.h"

struct kv_zset_big {
    kv_arena *arena;
    kv_hash_seed seed;
    kv_table table;
    kv_skiplist list;
    size_t drained; /* where kv_table_drain stands, while the set is being freed */
};

static const kv_table_type table_type = {kv_zelem_key};

static uint64_t hash_of(const kv_zset_big *z, kv_slice member) { return kv_siphash(&z->seed, member.ptr, member.len); }

static kv_zelem *find(const kv_zset_big *z, kv_slice member) { return kv_table_find(&z->table, hash_of(z, member), member); }

kv_zset_big *kv_zset_big_new(kv_arena *a, size_t members) {
    kv_zset_big *z = kv_arena_alloc(a, sizeof *z);
    if (z == NULL) return NULL;
    memset(z, 0, sizeof *z);
    z->arena = a;
    uint64_t secret[3] = {(uint64_t)(uintptr_t)z, 0, 0}; /* the address alone if the system has no randomness */
    (void)kv_random_bytes(secret, sizeof secret);
    z->seed = (kv_hash_seed){secret[0], secret[1]};
    kv_table_init(&z->table, &table_type, &z->seed, a);
    kv_skiplist_init(&z->list, a, secret[2]);
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
    size_t count = kv_skiplist_count(&z->list);
    if (count > 0) {
        size_t take = count < *budget ? count : *budget;
        kv_skiplist_delete_range(&z->list, count - take, count, free_elem, a);
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
    kv_skiplist_deinit(&z->list, NULL, NULL);
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
size_t kv_zset_big_count(const kv_zset_big *z) { return kv_skiplist_count(&z->list); }
const kv_skiplist *kv_zset_big_list(const kv_zset_big *z) { return &z->list; }

kv_zset_big *kv_zset_big_copy(const kv_zset_big *z, kv_arena *a) {
    kv_zset_big *copy = kv_zset_big_new(a, kv_zset_big_count(z));
    if (copy == NULL) return NULL;
    kv_zcursor cursor;
    for (const kv_zelem *elem = kv_skiplist_first(&z->list, &cursor); elem != NULL; elem = kv_zcursor_next(&cursor)) {
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
    for (const kv_zelem *elem = kv_skiplist_first(&z->list, &cursor); elem != NULL && seen < samples;
         elem = kv_zcursor_next(&cursor), seen++)
        bytes += kv_arena_good_size(kv_zelem_bytes(elem));
    size_t elements = seen == 0 ? 0 : (size_t)((double)bytes / (double)seen * (double)count);
    return kv_arena_good_size(sizeof *z) + kv_table_bytes(&z->table) + kv_skiplist_bytes(&z->list) + elements;
}

bool kv_zset_big_check(const kv_zset_big *z) {
    if (!kv_table_check(&z->table) || !kv_skiplist_check(&z->list)) return false;
    if (kv_table_count(&z->table) != kv_skiplist_count(&z->list)) return false;
    kv_zcursor cursor;
    for (const kv_zelem *elem = kv_skiplist_first(&z->list, &cursor); elem != NULL; elem = kv_zcursor_next(&cursor))
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

/* *made: the element. */
static kv_status insert_at(kv_zset_big *z, const kv_table_pos *pos, kv_slice member, double score, kv_zelem **made) {
    kv_status status = kv_table_reserve_for(&z->table, pos->hash);
    if (status != KV_OK) return status;
    kv_zelem *elem = kv_zelem_new(z->arena, score, member);
    if (elem == NULL) return KV_ENOMEM;
    status = kv_skiplist_insert(&z->list, elem, NULL);
    if (status == KV_OK) {
        status = kv_table_insert(&z->table, pos->hash, elem);
        if (status == KV_OK) {
            *made = elem;
            return KV_OK;
        }
        kv_skiplist_remove(&z->list, score, member);
    }
    kv_zelem_free(z->arena, elem);
    return status;
}

kv_status kv_zset_big_insert(kv_zset_big *z, kv_slice member, double score) {
    kv_table_pos pos = {.hash = hash_of(z, member)};
    kv_zelem *made;
    return insert_at(z, &pos, member, score, &made);
}

kv_status kv_zset_big_add(kv_zset_big *z, kv_slice member, double score, unsigned flags, kv_zadd_outcome *out, double *result) {
    kv_table_pos pos;
    kv_zelem *elem = kv_table_locate(&z->table, hash_of(z, member), member, &pos);
    kv_zadd_outcome outcome;
    kv_status status = kv_zadd_decide(elem != NULL, elem == NULL ? 0 : elem->score, flags, &score, &outcome);
    if (status == KV_OK && outcome == KV_ZADD_ADDED) status = insert_at(z, &pos, member, score, &elem);
    if (status == KV_OK && outcome == KV_ZADD_UPDATED) status = kv_skiplist_update(&z->list, elem, score);
    if (status != KV_OK) return status;
    *out = outcome;
    if (result != NULL && outcome != KV_ZADD_REFUSED) *result = score;
    return KV_OK;
}

kv_status kv_zset_big_try_add(kv_zset_big *z, kv_slice member, double score, unsigned flags, kv_zadd_outcome *out, double *result,
                              kv_znode_pool *pool, kv_zset_was *was) {
    kv_table_pos pos;
    kv_zelem *elem = kv_table_locate(&z->table, hash_of(z, member), member, &pos);
    kv_zset_was before = {.elem = NULL, .score = elem == NULL ? 0 : elem->score};
    kv_zadd_outcome outcome;
    kv_status status = kv_zadd_decide(elem != NULL, before.score, flags, &score, &outcome);
    if (status == KV_OK && outcome == KV_ZADD_ADDED) {
        status = insert_at(z, &pos, member, score, &before.elem);
        before.added = true;
    } else if (status == KV_OK && outcome == KV_ZADD_UPDATED) {
        status = kv_skiplist_rescore(&z->list, elem, score, pool);
        before.elem = elem;
    }
    if (status != KV_OK) return status;
    *out = outcome;
    if (outcome != KV_ZADD_REFUSED) *result = score;
    *was = before;
    return KV_OK;
}

void kv_zset_big_take_back(kv_zset_big *z, kv_znode_pool *pool, const kv_zset_was *was) {
    if (was->elem == NULL) return;
    if (was->added) (void)kv_zset_big_remove(z, kv_zelem_member(was->elem));
    else kv_skiplist_rescore_back(&z->list, was->elem, was->score, pool);
}

void kv_zset_big_steps_end(kv_zset_big *z, kv_znode_pool *pool) { kv_skiplist_pool_free(&z->list, pool); }

bool kv_zset_big_remove(kv_zset_big *z, kv_slice member) {
    kv_zelem *elem = kv_table_remove(&z->table, hash_of(z, member), member);
    if (elem == NULL) return false;
    (void)kv_skiplist_remove_elem(&z->list, elem);
    kv_zelem_free(z->arena, elem);
    return true;
}

static void remove_elem(void *arg, kv_zelem *elem) {
    kv_zset_big *z = arg;
    kv_table_remove_entry(&z->table, hash_of(z, kv_zelem_member(elem)), elem);
    kv_zelem_free(z->arena, elem);
}

void kv_zset_big_remove_ranks(kv_zset_big *z, size_t first, size_t count) {
    kv_skiplist_delete_range(&z->list, first, first + count, remove_elem, z);
}

bool kv_zset_big_rank(const kv_zset_big *z, kv_slice member, size_t *rank, double *score) {
    const kv_zelem *elem = find(z, member);
    if (elem == NULL) return false;
    if (score != NULL) *score = elem->score;
    return kv_skiplist_rank_of_elem(&z->list, elem, rank);
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
