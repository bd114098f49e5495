/* Freeing without pauses. Small values are freed where they are dropped; what takes many steps (big containers, flushed databases) is put on the
 * shard's lists and freed by kv_shard_free_some, a bounded piece each time the lock is taken.
 *
 *   shard.garbage -> node {container} -> node {container} -> ...
 *   shard.flushed -> database (its table is drained entry by entry; big containers in it join the garbage list)
 *   shard.gone    -> arena (its pages go back, no key is looked at)
 *
 * When all databases of a shard are empty after a flush, everything in its arena is garbage, and that of the lists above with it: the arena is detached
 * and its pages go back. Not while clients wait for keys of the shard, watch some, or read a container of it: the lists of all these are in the arena, too.
 * Nor while there is a cut, whose reader has to see them, or when containers live in another shard's arena than their keys, after a RENAME between shards.
 *
 * A node needs memory, and that may be short just when it is wanted. Then the container is freed at once: slow, but never leaked. */
#include "store/cut.h"
#include "store/keydb.h"
#include "store/pin.h"

enum { SMALL_LENGTH = 64, DRAIN_STEP = 64, RELEASE_STEP = 64 };

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

/* The first flushed database that may go; NULL: a snapshot still has to walk all there are. */
static kv_keydb **to_drain(kv_shard *shard) {
    kv_keydb **at = &shard->flushed;
    while (*at != NULL && kv_cut_needs(shard, *at)) at = &(*at)->next;
    return *at == NULL ? NULL : at;
}

/* A piece of a flushed database. */
static void drain_some(kv_shard *shard, kv_keydb **at, size_t *budget) {
    kv_keydb *db = *at;
    size_t step = *budget < DRAIN_STEP ? *budget : DRAIN_STEP;
    *budget -= step;
    kv_heap_deinit(&db->expires);
    kv_heap_deinit(&db->fields);
    if (kv_table_drain(&db->keys, &db->drained, step, dispose_drained, shard)) return;
    kv_table_deinit(&db->keys, NULL, NULL);
    *at = db->next;
    kv_free(shard->store->mem, db);
}

static bool all_empty(const kv_shard *shard) {
    for (unsigned i = 0; i < shard->store->db_count; i++)
        if (kv_keydb_count(shard->dbs[i]) > 0) return false;
    return true;
}

/* The structs of databases: what they own is in the arena. */
static void forget_databases(kv_shard *shard) {
    for (unsigned i = 0; i < shard->store->db_count; i++) {
        kv_free(shard->store->mem, shard->dbs[i]);
        shard->dbs[i] = NULL;
    }
    while (shard->flushed != NULL) {
        kv_keydb *db = shard->flushed;
        shard->flushed = db->next;
        kv_free(shard->store->mem, db);
    }
}

void kv_shard_flushed(kv_shard *shard) {
    if (shard->flushed == NULL || kv_cut_of(shard) != NULL || shard->pins != NULL || shard->waiters != NULL || shard->watchers != NULL ||
        shard->has_guests || !all_empty(shard))
        return;
    kv_leaving *leaving = kv_malloc(shard->store->mem, sizeof *leaving);
    if (leaving == NULL) return;
    kv_shard_compact_stop(shard);
    leaving->arena = kv_arena_detach(shard->arena);
    if (leaving->arena == NULL) {
        kv_free(shard->store->mem, leaving);
        return;
    }
    forget_databases(shard);
    shard->garbage = NULL;
    kv_shard_count_garbage(shard, 0, atomic_load_explicit(&shard->garbage_count, memory_order_relaxed));
    leaving->next = shard->gone;
    shard->gone = leaving;
}

/* Pages of the first arena that is gone. */
static void release_some(kv_shard *shard, size_t *budget) {
    kv_leaving *leaving = shard->gone;
    if (!kv_arena_destroy_some(leaving->arena, budget)) return;
    shard->gone = leaving->next;
    kv_free(shard->store->mem, leaving);
}

bool kv_shard_free_some(kv_shard *shard, size_t budget) {
    while (budget > 0 && shard->gone != NULL) {
        size_t spans = budget < RELEASE_STEP ? budget : RELEASE_STEP;
        budget -= spans;
        size_t left = spans;
        release_some(shard, &left);
        if (left == 0) break; /* a call to the kernel may be behind each of them */
    }
    kv_keydb **flushed = to_drain(shard);
    while (budget > 0 && (shard->garbage != NULL || flushed != NULL)) {
        kv_garbage *node = shard->garbage;
        if (node == NULL) {
            drain_some(shard, flushed, &budget);
            flushed = to_drain(shard);
            continue;
        }
        if (!kv_value_free_some(&node->value, shard->arena, &budget)) break;
        shard->garbage = node->next;
        kv_shard_count_garbage(shard, 0, 1);
        kv_arena_free(shard->arena, node, sizeof *node);
        if (budget > 0) budget--;
    }
    bool done = shard->garbage == NULL && shard->flushed == NULL && shard->gone == NULL;
    if (done && shard->has_guests && shard->pins == NULL && all_empty(shard)) shard->has_guests = false;
    atomic_store_explicit(&shard->has_garbage, !done, memory_order_relaxed);
    return shard->garbage == NULL && flushed == NULL && shard->gone == NULL;
}
