/* Freeing without pauses. Small values are freed where they are dropped; what takes many steps (big containers, flushed databases) is put on the
 * shard's lists and freed by kv_shard_free_some, a bounded piece each time the lock is taken.
 *
 *   shard.garbage -> node {container} -> node {container} -> ...
 *   shard.flushed -> database (its table is drained entry by entry; big containers in it join the garbage list)
 *
 * A node needs memory, and that may be short just when it is wanted. Then the container is freed at once: slow, but never leaked. */
#include "store/keydb.h"
#include "store/pin.h"

enum { SMALL_LENGTH = 64, DRAIN_STEP = 64 };

static bool is_big(const kv_value *v) {
    switch ((kv_enc)v->enc) {
    case KV_ENC_QUICKLIST:
    case KV_ENC_HASHTABLE:
    case KV_ENC_SKIPLIST: return kv_value_length(v) > SMALL_LENGTH;
    default: return false; /* one block */
    }
}

void kv_shard_dispose_value(kv_shard *shard, kv_value value) {
    if (shard->pins != NULL && kv_shard_leave_to_pin(shard, &value)) return;
    if (is_big(&value)) {
        kv_garbage *node = kv_arena_alloc(shard->arena, sizeof *node);
        if (node != NULL) {
            *node = (kv_garbage){shard->garbage, value};
            shard->garbage = node;
            kv_shard_count_garbage(shard, 1, 0);
            atomic_store_explicit(&shard->has_garbage, true, memory_order_relaxed);
            return;
        }
    }
    kv_value_free(&value, shard->arena);
}

void kv_shard_dispose(kv_shard *shard, kv_value *entry) {
    kv_value value = {.type = entry->type, .enc = entry->enc};
    bool owns = (entry->flags & KV_VALUE_EMBEDDED) == 0;
    if (owns) value.u = entry->u;
    kv_entry_free(shard->arena, entry);
    if (owns) kv_shard_dispose_value(shard, value);
}

static void dispose_drained(void *arg, void *entry) {
    kv_shard_dispose(arg, entry);
    kv_shard_count_garbage(arg, 0, 1);
}

/* A piece of the first flushed database. */
static void drain_some(kv_shard *shard, size_t *budget) {
    kv_keydb *db = shard->flushed;
    size_t step = *budget < DRAIN_STEP ? *budget : DRAIN_STEP;
    *budget -= step;
    kv_heap_deinit(&db->expires);
    kv_heap_deinit(&db->fields);
    if (kv_table_drain(&db->keys, &db->drained, step, dispose_drained, shard)) return;
    kv_table_deinit(&db->keys, NULL, NULL);
    shard->flushed = db->next;
    kv_free(shard->store->mem, db);
}

bool kv_shard_free_some(kv_shard *shard, size_t budget) {
    while (budget > 0 && (shard->garbage != NULL || shard->flushed != NULL)) {
        kv_garbage *node = shard->garbage;
        if (node == NULL) {
            drain_some(shard, &budget);
            continue;
        }
        if (!kv_value_free_some(&node->value, shard->arena, &budget)) break;
        shard->garbage = node->next;
        kv_shard_count_garbage(shard, 0, 1);
        kv_arena_free(shard->arena, node, sizeof *node);
        if (budget > 0) budget--;
    }
    bool done = shard->garbage == NULL && shard->flushed == NULL;
    atomic_store_explicit(&shard->has_garbage, !done, memory_order_relaxed);
    return done;
}
