/* Compaction: the blocks of sparse slabs move together, so that pages come free. The background thread calls kv_shard_compact again and again, the
 * shard's lock held for one step at a time.
 *
 *   at rest --(enough room is free in the slabs)--> closing --(all classes)--> walking --(all databases)--> at rest
 *                                                   slabs of a few            entries and values of a few
 *                                                   classes a step            buckets a step leave closed slabs
 *
 * Who points at a block that moves?
 *
 *   an entry                        its slot in the table, its places in the two heaps
 *   a raw string, listpack, intset  its entry
 *   a member of a set, a field      its slot in the container's table, a field also its place in the heap
 *   an overflow bucket, an array    the bucket before it, the table
 *
 * and nobody else: outside the lock no pointer into the key space is kept, for any command of another client may free what it points to; but for the
 * readers of pinned containers (store/pin.h), which stay where they are. So a step is no more to the others than the removal of a key and its return. Sorted sets, lists of several nodes and what waits to be freed stay where they are: slabs
 * that hold such blocks are opened again at the end of the round.
 *
 * Nothing is allocated that could fail: kv_arena_move takes free room of slabs that exist, or leaves the block. */
#include "ds/intset.h"
#include "ds/listpack.h"
#include "store/keydb.h"
#include "store/pin.h"
#include "types/compact.h"
#include "types/string.h"

enum { CLASSES_A_STEP = 8, LEAST_WASTE = 64 << 10 };

static void move_value(kv_shard *shard, kv_value *v, kv_arena *arena, kv_compact *step) {
    if (shard->pins != NULL && kv_shard_is_held(shard, v)) return;
    switch ((kv_enc)v->enc) {
    case KV_ENC_RAW: v->u.ptr = kv_arena_move(arena, v->u.ptr, kv_str_block(v->u.ptr)); return;
    case KV_ENC_LISTPACK: v->u.ptr = kv_arena_move(arena, v->u.ptr, kv_lp_bytes(v->u.ptr)); return;
    case KV_ENC_INTSET: v->u.ptr = kv_arena_move(arena, v->u.ptr, kv_intset_bytes(v->u.ptr)); return;
    case KV_ENC_HASHTABLE:
        if (v->type == KV_SET) kv_set_compact(v, arena, step);
        else kv_hash_compact(v, arena, step);
        return;
    default: return;
    }
}

typedef struct walk {
    kv_keydb *db;
    kv_compact *step;
} walk;

static void *move_entry(void *arg, void *entry) {
    walk *w = arg;
    kv_keydb *db = w->db;
    kv_value *v = entry;
    if (w->step->unfinished) return v; /* this bucket comes again */
    v = kv_arena_move(db->arena, v, kv_entry_block(v));
    if (v != entry) {
        if ((v->flags & KV_VALUE_EXPIRES) != 0 && kv_entry_expire_pos(v) != KV_POS_NONE)
            kv_heap_replace(&db->expires, kv_entry_expire_pos(v), v);
        if (kv_entry_field_pos(v) != KV_POS_NONE) kv_heap_replace(&db->fields, kv_entry_field_pos(v), v);
    }
    if ((v->flags & KV_VALUE_EMBEDDED) == 0) move_value(db->shard, v, db->arena, w->step);
    return v;
}

/* True: all databases are done. */
static bool walk_some(kv_shard *shard, kv_compact *step) {
    kv_compaction *c = &shard->compaction;
    for (; c->db < shard->store->db_count; c->db++, c->cursor = 0) {
        if (shard->dbs[c->db] == NULL) continue;
        walk w = {shard->dbs[c->db], step};
        do {
            if (step->budget == 0) return false;
            uint64_t next = kv_table_relocate(&w.db->keys, c->cursor, move_entry, &w);
            if (step->unfinished) return false;
            c->cursor = next;
            step->budget -= step->budget < KV_TABLE_SLOTS ? step->budget : KV_TABLE_SLOTS;
        } while (c->cursor != 0);
    }
    return true;
}

static size_t waste_of(const kv_arena *arena) {
    size_t mapped = kv_arena_mapped(arena), used = kv_arena_used(arena);
    return mapped > used ? mapped - used : 0;
}

bool kv_shard_compact_due(kv_shard *shard, unsigned percent) {
    kv_compaction *c = &shard->compaction;
    const kv_arena *arena = atomic_load_explicit(&shard->arena, memory_order_acquire);
    if (arena == NULL) return false;
    size_t waste = waste_of(arena), used = kv_arena_used(arena), before = c->used_before;
    size_t left = atomic_load_explicit(&c->left, memory_order_relaxed);
    c->used_before = used;
    if (atomic_load_explicit(&c->running, memory_order_relaxed)) return true;
    if (waste < left) atomic_store_explicit(&c->left, waste, memory_order_relaxed); /* filled meanwhile */
    return used <= before + before / 64 && waste > LEAST_WASTE && waste > left + left / 4 && waste / percent * 100 > used;
}

/* What is left now is what it takes: the next round comes when there is a quarter more. */
static void rest(kv_shard *shard) {
    kv_compaction *c = &shard->compaction;
    kv_arena_compact_end(shard->arena);
    c->class_index = c->db = 0;
    c->cursor = c->gain = 0;
    atomic_store_explicit(&c->running, false, memory_order_relaxed);
    atomic_store_explicit(&c->left, waste_of(shard->arena), memory_order_relaxed);
}

void kv_shard_compact_stop(kv_shard *shard) {
    if (atomic_load_explicit(&shard->compaction.running, memory_order_relaxed)) rest(shard);
}

bool kv_shard_compact(kv_shard *shard, size_t budget) {
    kv_compaction *c = &shard->compaction;
    if (shard->arena == NULL || shard->dbs == NULL) return false;
    if (!atomic_load_explicit(&c->running, memory_order_relaxed)) {
        atomic_store_explicit(&c->running, true, memory_order_relaxed);
        if (++c->round == 0) c->round = 1;
    }
    if (c->class_index < KV_ARENA_CLASSES) {
        for (unsigned n = 0; n < CLASSES_A_STEP && c->class_index < KV_ARENA_CLASSES; n++)
            c->gain += kv_arena_compact_class(shard->arena, c->class_index++);
        if (c->class_index < KV_ARENA_CLASSES || c->gain > 0) return true;
        rest(shard);
        return false;
    }
    kv_compact step = {.round = c->round, .budget = budget};
    if (!walk_some(shard, &step)) return true;
    rest(shard);
    return false;
}
