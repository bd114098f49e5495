/* A table of nodes; the node carries the name and the ends of a list that belongs to the map's user. */
#include "engine/keymap.h"

static kv_slice node_key(const void *entry) {
    const kv_keymap_node *node = entry;
    return kv_slice_of(node->name, node->len);
}

static const kv_table_type node_type = {.key = node_key};

kv_keymap *kv_keymap_create(kv_shard *shard) {
    if (kv_shard_db_open(shard, 0) == NULL) return NULL; /* makes the arena */
    kv_keymap *map = kv_arena_alloc(shard->arena, sizeof *map);
    if (map == NULL) return NULL;
    *map = (kv_keymap){.arena = shard->arena, .shard = shard};
    kv_table_init(&map->table, &node_type, &shard->store->seed, shard->arena);
    return map;
}

void kv_keymap_destroy(kv_keymap *map) {
    if (map == NULL) return;
    kv_table_deinit(&map->table, NULL, NULL);
    kv_arena_free(map->arena, map, sizeof *map);
}

kv_keymap_node *kv_keymap_find(const kv_keymap *map, uint64_t hash, kv_slice name) {
    return map == NULL ? NULL : kv_table_find(&map->table, hash, name);
}

kv_keymap_node *kv_keymap_obtain(kv_keymap *map, uint64_t hash, kv_slice name) {
    kv_keymap_node *node = kv_table_find(&map->table, hash, name);
    if (node != NULL) return node;
    node = kv_arena_alloc(map->arena, sizeof *node + name.len);
    if (node == NULL) return NULL;
    *node = (kv_keymap_node){.shard = map->shard, .hash = hash, .len = name.len};
    if (name.len > 0) memcpy(node->name, name.ptr, name.len);
    if (kv_table_insert(&map->table, hash, node) != KV_OK) {
        kv_arena_free(map->arena, node, sizeof *node + name.len);
        return NULL;
    }
    return node;
}

void kv_keymap_remove(kv_keymap *map, kv_keymap_node *node) {
    kv_table_remove_entry(&map->table, node->hash, node);
    kv_arena_free(map->arena, node, sizeof *node + node->len);
}
