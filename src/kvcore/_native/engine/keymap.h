/* A map from a key's name to a list, for what clients hang on keys: queues of waiters, lists of watchers. One a shard, under its lock, its memory
 * from the shard's arena. The database is a matter of the list's elements: one name in two databases is rare. */
#ifndef KV_ENGINE_KEYMAP_H
#define KV_ENGINE_KEYMAP_H

#include "ds/table.h"
#include "store/shard.h"

typedef struct kv_keymap_node {
    void *head, *tail; /* the user's list */
    kv_shard *shard;
    struct kv_keymap_node *next_ready; /* blocking.c: the running unit's list of keys to serve; see is_ready */
    uint64_t hash;                     /* kv_store_hash of the name */
    size_t len;
    int db;        /* blocking.c: of all its waiters; -1: they wait in several */
    bool is_ready; /* on that list: it stays in the map until its turn has come, waiters or not */
    uint8_t name[];
} kv_keymap_node;

typedef struct kv_keymap {
    kv_table table;
    kv_arena *arena;
    kv_shard *shard;
    uint64_t mask; /* the user's: shards that the lists' clients need (blocking.c) */
} kv_keymap;

kv_keymap *kv_keymap_create(kv_shard *shard); /* NULL: out of memory */
void kv_keymap_destroy(kv_keymap *map);       /* must be empty; NULL is fine */
static inline size_t kv_keymap_count(const kv_keymap *map) { return map == NULL ? 0 : kv_table_count(&map->table); }
kv_keymap_node *kv_keymap_find(const kv_keymap *map, uint64_t hash, kv_slice name);
kv_keymap_node *kv_keymap_obtain(kv_keymap *map, uint64_t hash, kv_slice name); /* find or add; NULL: out of memory */
void kv_keymap_remove(kv_keymap *map, kv_keymap_node *node);

#endif
