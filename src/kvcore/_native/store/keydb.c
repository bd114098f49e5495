/* The three structures of a database and how they are kept in step.
 *
 *   keys     table of entries                       every entry
 *   expires  heap (expiry, entry)                   entries with an expiry
 *   fields   heap (earliest field expiry, entry)    entries with KV_VALUE_FIELDS whose hash has a field expiry now
 *
 * Invariants (kv_keydb_check): an entry's positions name its own heap slots; the heap's times are the entry's times; counts equal sizes.
 * A change reserves first (table, heaps), then installs: nothing fails half way. */
#include "store/keydb.h"

static kv_slice entry_key(const void *entry) { return kv_entry_key(entry); }
static const kv_table_type entry_table = {.key = entry_key, .reach = 63}; /* a key of 16 bytes and a text of 32 to 40 */

static void set_expire_pos(void *item, uint32_t pos, void *arg) {
    (void)arg;
    kv_entry_put_expire_pos(item, pos);
}
static void set_field_pos(void *item, uint32_t pos, void *arg) {
    (void)arg;
    kv_entry_put_field_pos(item, pos);
}

void kv_keydb_init(kv_keydb *db, kv_shard *shard, unsigned index) {
    *db = (kv_keydb){.shard = shard, .arena = shard->arena, .counts = &shard->counts[index], .index = index};
    kv_table_init(&db->keys, &entry_table, &shard->store->seed, shard->arena);
    kv_heap_init(&db->expires, shard->arena, set_expire_pos, NULL);
    kv_heap_init(&db->fields, shard->arena, set_field_pos, NULL);
}

static void free_entry(void *arg, void *entry) {
    kv_arena *arena = arg;
    kv_value_free(entry, arena);
    kv_entry_free(arena, entry);
}

void kv_keydb_deinit(kv_keydb *db) {
    kv_heap_deinit(&db->expires);
    kv_heap_deinit(&db->fields);
    kv_table_deinit(&db->keys, free_entry, db->arena);
}

void kv_keydb_publish_counts(kv_keydb *db) {
    atomic_store_explicit(&db->counts->keys, kv_table_count(&db->keys), memory_order_relaxed);
    atomic_store_explicit(&db->counts->expires, kv_heap_count(&db->expires), memory_order_relaxed);
    atomic_store_explicit(&db->counts->fields, kv_heap_count(&db->fields), memory_order_relaxed);
    atomic_store_explicit(&db->counts->buckets, db->keys.buckets[0], memory_order_relaxed);
    atomic_store_explicit(&db->counts->mask, db->keys.mask[0], memory_order_relaxed);
}

kv_status kv_keydb_reserve(kv_keydb *db, bool expires, bool fields) {
    if (expires && kv_heap_reserve(&db->expires, 1) != KV_OK) return KV_ENOMEM;
    if (fields && kv_heap_reserve(&db->fields, 1) != KV_OK) return KV_ENOMEM;
    return KV_OK;
}

void kv_keydb_index(kv_keydb *db, kv_value *v) {
    if (kv_entry_expire_ms(v) >= 0 && kv_entry_expire_pos(v) == KV_POS_NONE) (void)kv_heap_push(&db->expires, kv_entry_expire_ms(v), v);
    if (kv_entry_has_fields(v)) {
        int64_t next = kv_value_next_field_expiry(v);
        if (next != INT64_MAX) (void)kv_heap_push(&db->fields, next, v);
    }
}

void kv_keydb_unindex(kv_keydb *db, kv_value *v) {
    if ((v->flags & KV_VALUE_EXPIRES) != 0 && kv_entry_expire_pos(v) != KV_POS_NONE) {
        (void)kv_heap_remove(&db->expires, kv_entry_expire_pos(v));
        kv_entry_put_expire_pos(v, KV_POS_NONE);
    }
    if (kv_entry_field_pos(v) != KV_POS_NONE) {
        (void)kv_heap_remove(&db->fields, kv_entry_field_pos(v));
        kv_entry_put_field_pos(v, KV_POS_NONE);
    }
}

/* An expiry that stays keeps its place in the heap; the rest goes in before anything comes out, for an emptied heap forgets what was reserved. */
void kv_keydb_reindex(kv_keydb *db, kv_value *old, kv_value *fresh) {
    if (kv_entry_expire_ms(fresh) >= 0 && kv_entry_expire_ms(old) >= 0) {
        uint32_t pos = kv_entry_expire_pos(old);
        kv_heap_replace(&db->expires, pos, fresh);
        kv_entry_put_expire_pos(fresh, pos);
        kv_entry_put_expire_pos(old, KV_POS_NONE);
        if (kv_entry_expire_ms(fresh) != kv_entry_expire_ms(old)) kv_heap_update(&db->expires, pos, kv_entry_expire_ms(fresh));
    }
    kv_keydb_index(db, fresh);
    kv_keydb_unindex(db, old);
}

kv_status kv_keydb_install(kv_keydb *db, uint64_t hash, kv_value *old, kv_value *fresh) {
    if (old == NULL) {
        if (kv_table_insert(&db->keys, hash, fresh) != KV_OK) return KV_ENOMEM;
        kv_keydb_index(db, fresh);
    } else {
        (void)kv_table_replace(&db->keys, hash, old, fresh);
        kv_keydb_reindex(db, old, fresh);
    }
    kv_keydb_publish_counts(db);
    return KV_OK;
}

void kv_keydb_stamp(const kv_keydb *db, kv_value *v, const kv_value *old) {
    kv_access_config config = atomic_load_explicit(&db->shard->store->access, memory_order_relaxed);
    v->version = db->shard->version;
    /* An overwritten key keeps how often it was used. */
    kv_access_set(v, old != NULL && kv_policy_is_lfu(config.policy) ? kv_entry_access(old) : kv_access_fresh(config, db->shard->now_ms));
}

typedef struct check_state {
    const kv_keydb *db;
    size_t expires, fields;
    bool ok;
} check_state;

static bool check_entry(void *arg, kv_value *v) {
    check_state *state = arg;
    const kv_keydb *db = state->db;
    kv_slice key = kv_entry_key(v);
    uint64_t hash = kv_store_hash(db->shard->store, key);
    state->ok = kv_store_shard_of(db->shard->store, hash) == db->shard && kv_table_find(&db->keys, hash, key) == v && kv_value_check(v);
    if (state->ok && kv_entry_expire_ms(v) >= 0) {
        uint32_t pos = kv_entry_expire_pos(v);
        state->ok = pos < kv_heap_count(&db->expires) && kv_heap_at(&db->expires, pos)->item == v &&
                    kv_heap_at(&db->expires, pos)->when_ms == kv_entry_expire_ms(v);
        state->expires++;
    }
    int64_t next = kv_value_next_field_expiry(v);
    uint32_t pos = kv_entry_field_pos(v);
    if (state->ok && pos != KV_POS_NONE) {
        state->ok =
            pos < kv_heap_count(&db->fields) && kv_heap_at(&db->fields, pos)->item == v && kv_heap_at(&db->fields, pos)->when_ms == next;
        state->fields++;
    }
    return state->ok;
}

bool kv_keydb_check(const kv_keydb *db) {
    if (db == NULL) return true;
    check_state state = {.db = db, .ok = true};
    if (!kv_table_check(&db->keys) || !kv_heap_check(&db->expires) || !kv_heap_check(&db->fields)) return false;
    kv_keydb_each(db, check_entry, &state);
    return state.ok && state.expires == kv_heap_count(&db->expires) && state.fields == kv_heap_count(&db->fields) &&
           atomic_load(&db->counts->keys) == kv_table_count(&db->keys) && atomic_load(&db->counts->expires) == state.expires &&
           atomic_load(&db->counts->fields) == state.fields;
}
