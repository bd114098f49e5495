/* The steps that all changes of a database are made of: for the store's own files. */
#ifndef KV_STORE_KEYDB_H
#define KV_STORE_KEYDB_H

#include "store/entry.h"
#include "store/shard.h"
#include "store/value_ops.h"

void kv_keydb_init(kv_keydb *db, kv_shard *shard, unsigned index);
/* So many values more wait to be freed, so many have been. The shard is locked. */
static inline void kv_shard_count_garbage(kv_shard *shard, size_t more, size_t freed) {
    size_t waiting = atomic_load_explicit(&shard->garbage_count, memory_order_relaxed);
    atomic_store_explicit(&shard->garbage_count, waiting + more - freed, memory_order_relaxed);
    uint64_t before = atomic_load_explicit(&shard->garbage_freed, memory_order_relaxed);
    atomic_store_explicit(&shard->garbage_freed, before + freed, memory_order_relaxed);
}
/* Frees everything that is left, at once. O(keys). */
void kv_keydb_deinit(kv_keydb *db);
/* Brings the numbers that other threads read up to date. */
void kv_keydb_publish_counts(kv_keydb *db);

/* Room in the indexes for a fresh entry, so that kv_keydb_install cannot fail there. */
kv_status kv_keydb_reserve(kv_keydb *db, bool expires, bool fields);
/* Puts a complete entry into the table, in the place of `old` when there is one (whose index positions end; its block and value are the caller's),
 * and into the indexes, which were reserved. KV_ENOMEM is possible only without `old`. */
kv_status kv_keydb_install(kv_keydb *db, uint64_t hash, kv_value *old, kv_value *fresh);
/* The indexes part alone, for an entry that is in the table already. */
void kv_keydb_index(kv_keydb *db, kv_value *v);
void kv_keydb_unindex(kv_keydb *db, kv_value *v);
/* `fresh` takes over from `old` in the indexes. */
void kv_keydb_reindex(kv_keydb *db, kv_value *old, kv_value *fresh);
/* Version and access clock of a written entry; `old` is what it replaces, or NULL. */
void kv_keydb_stamp(const kv_keydb *db, kv_value *v, const kv_value *old);

#endif
