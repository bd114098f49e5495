/* A point in time of the whole store that somebody walks while writers go on: the store's side of snapshots.
 *
 * Every entry carries the epoch of its last change (kv_value.version). While a cut is there, an entry whose version is not the cut's is as it was at the cut,
 * and has not been walked; whoever is about to change it, to move it or to remove it calls kv_cut_before, which shows it to the reader and stamps it. The
 * walk shows what is left and stamps that. So the reader gets each entry once, as it was at the cut (docs/design/snapshot.md).
 *
 * Units of the old epoch that still run when the cut is made show nothing: they have not stamped their shards with the cut's epoch. What they change is
 * walked later. Everything here is called with the shard's lock held. */
#ifndef KV_STORE_CUT_H
#define KV_STORE_CUT_H

#include "store/shard.h"

typedef struct kv_cut {
    uint16_t epoch; /* version of entries that were changed or walked since the cut; never 0 */
    void *arg;
    /* `v` of `db` is about to change in place, or to go for good: then (goes) what it owns is given to kv_shard_dispose_value, at once. As it is now it
     * belongs to the reader. Cannot fail. */
    void (*before)(void *arg, kv_keydb *db, kv_value *v, bool goes);
    _Atomic bool fields; /* some hash had field expiries */
} kv_cut;

void kv_cut_show(const kv_cut *cut, kv_keydb *db, kv_value *v, bool goes);
static inline kv_cut *kv_cut_of(const kv_shard *shard) { return atomic_load_explicit(&shard->store->cut, memory_order_acquire); }

/* Before every change of an entry that was there. Costs a compare when there is no cut. */
static inline void kv_cut_before(kv_keydb *db, kv_value *v, bool goes) {
#ifndef KV_MUTANT_MISSED_PRE_IMAGE
    const kv_shard *shard = db->shard;
    const kv_cut *cut = kv_cut_of(shard);
    if (__builtin_expect(cut == NULL, 1) || v->version == cut->epoch) return;
#ifndef KV_MUTANT_OLD_UNIT_SHOWS
    if (shard->version != cut->epoch) return;
#endif
    kv_cut_show(cut, db, v, goes);
#else
    (void)db, (void)v, (void)goes; /* seeded bugs for the checkers */
#endif
}

/* Databases change their numbers and go: what they were at the cut is remembered. Before the first of that in a shard, and when the sweep comes to it. */
void kv_cut_register(const kv_cut *cut, kv_shard *shard);
/* A unit of the new epoch is about to flush or to swap databases. */
static inline void kv_cut_before_databases(kv_shard *shard) {
    const kv_cut *cut = kv_cut_of(shard);
    if (cut != NULL && shard->version == cut->epoch && shard->cut_epoch != cut->epoch) kv_cut_register(cut, shard);
}
/* A flushed database that has not been walked yet must not be freed. */
static inline bool kv_cut_needs(const kv_shard *shard, const kv_keydb *db) {
    const kv_cut *cut = kv_cut_of(shard);
    return cut != NULL && db->cut_epoch == cut->epoch && !db->cut_walked;
}

/* ---- the walk: one thread ---- */
/* How many keys, and keys with an expiry, database number `index` had at the cut in this shard, which is registered. */
void kv_cut_counts(const kv_cut *cut, const kv_shard *shard, unsigned index, size_t *keys, size_t *expires);
/* Shows `fn` entries of this shard that were not shown before, and stamps them, until it says false or there are no more (then: false). It may not change
 * the table. */
typedef bool kv_cut_fn(void *arg, kv_keydb *db, kv_value *v);
bool kv_cut_walk(const kv_cut *cut, kv_shard *shard, kv_cut_fn *fn, void *arg);

#endif
