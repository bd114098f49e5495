/* Keys as handlers see them: looked up with expiry applied, changed with everything that follows from a change.
 *
 * This is the one place where the store's data become behaviour: an expired key is absent to every reader, and the first unit that meets one
 * removes it with its event; a change stamps the entry's version, counts, fails watching transactions and invalidates client caches. */
#include "engine/effect.h"
#include "engine/engine.h"
#include "engine/errors.h"
#include "engine/notify.h"
#include "engine/tracking.h"
#include "engine/transaction.h"
#include "engine/unit.h"
#include "store/cut.h"

#ifdef KV_DEBUG
#include <stdlib.h>
static void assert_locked(const kv_ctx *c, const kv_shard *shard) {
    if ((c->unit->locked >> shard->index & 1) == 0) abort(); /* a handler reached for a key that its declaration does not name */
}
#else
static inline void assert_locked(const kv_ctx *c, const kv_shard *shard) { (void)c, (void)shard; }
#endif

static inline kv_key make_key(const kv_ctx *c, kv_slice name, uint64_t hash, int db) {
    kv_key key = {.name = name, .hash = hash, .shard = kv_store_shard_of(&c->engine->store, hash), .db = db};
    assert_locked(c, key.shard);
    return key;
}

/* The hash that dispatch has computed for an argument. Handlers ask in order, so the cursor makes this O(1) for MSET of any length. */
static inline uint64_t declared_hash(kv_ctx *c, int arg) {
    if (c->key_count == 1 && c->key_refs->arg == arg) return *c->key_hashes;
    for (uint32_t n = 0; n < c->key_count; n++) {
        uint32_t i = c->key_cursor + n;
        if (i >= c->key_count) i -= c->key_count;
        if (c->key_refs[i].arg == arg) {
            c->key_cursor = i + 1 == c->key_count ? 0 : i + 1;
            return c->key_hashes[i];
        }
    }
    return kv_store_hash(&c->engine->store, c->argv[arg]);
}

kv_key kv_ctx_key_in(kv_ctx *c, int arg, int db) { return make_key(c, c->argv[arg], declared_hash(c, arg), db); }
kv_key kv_ctx_key(kv_ctx *c, int arg) { return make_key(c, c->argv[arg], declared_hash(c, arg), c->db); }
kv_key kv_ctx_key_named(kv_ctx *c, kv_slice name) { return make_key(c, name, kv_store_hash(&c->engine->store, name), c->db); }

kv_arena *kv_ctx_arena(const kv_key *key) { return key->shard->arena; }

/* ---- finding ---- */

void kv_ctx_expired(kv_ctx *c, const kv_key *key) {
    atomic_fetch_add_explicit(&c->engine->stats.expired_keys, 1, memory_order_relaxed);
    c->unit->dirty++;
    c->aside++;
    kv_effect_del(c, key->db, key->name, KV_CFG_LAZYFREE_LAZY_EXPIRE);
    kv_watch_touched(c, key->shard, key->db, key->hash, key->name, true);
    kv_tracking_changed(c, key->name);
    kv_notify(c, key->db, KV_EVENT_EXPIRED, "expired", key->name);
}

/* Removes a key whose time has passed. The unit may be a reader's: it holds the shard's lock all the same. */
static void remove_expired(kv_ctx *c, const kv_key *key, kv_keydb *db, kv_value *v) {
    kv_begin_write(c);
    kv_keydb_delete(db, key->hash, v);
    kv_ctx_expired(c, key);
}

static inline void used(kv_ctx *c, const kv_key *key, kv_value *v, kv_find how) {
    if (how == KV_FIND_READ) {
        kv_shard_count_read(key->shard, v != NULL);
        if (v == NULL) kv_notify(c, key->db, KV_EVENT_KEYMISS, "keymiss", key->name);
    }
    if (v != NULL && !(c->session != NULL && c->session->no_touch))
        kv_access_touch(v, atomic_load_explicit(&c->engine->store.access, memory_order_relaxed), kv_ctx_now_ms(c), &key->shard->rng);
}

void kv_ctx_used(kv_ctx *c, const kv_key *key, kv_value *v, kv_find how) { used(c, key, v, how); }

kv_value *kv_ctx_find(kv_ctx *c, const kv_key *key, kv_find how) {
    kv_keydb *db = kv_shard_db(key->shard, (unsigned)key->db);
    kv_value *v = kv_keydb_find(db, key->hash, key->name);
    if (v != NULL && (v->flags & KV_VALUE_EXPIRES) != 0 && kv_entry_expired(v, kv_ctx_past_ms(c))) {
        /* During CLIENT PAUSE it stays, unseen; only a transaction that made the pause and writes on may need its place. */
        bool stays = c->command != NULL && (c->command->flags & KV_CMD_WRITE) == 0 && kv_engine_is_paused(c->engine);
        if (!stays) remove_expired(c, key, db, v);
        v = NULL;
    }
    if (how != KV_FIND_PEEK) used(c, key, v, how);
    return v;
}

bool kv_ctx_find_type(kv_ctx *c, const kv_key *key, kv_type type, kv_find how, kv_value **v) {
    *v = kv_ctx_find(c, key, how);
    if (*v == NULL || (*v)->type == type) return true;
    kv_ctx_wrong_type(c);
    return false;
}

/* ---- changing ---- */

void kv_ctx_modify(kv_ctx *c, const kv_key *key, kv_value *v) {
    assert_locked(c, key->shard);
    kv_begin_write(c);
    kv_cut_before(kv_shard_db(key->shard, (unsigned)key->db), v, false);
    v->version = (uint16_t)c->unit->epoch;
}

kv_keydb *kv_ctx_open(kv_ctx *c, const kv_key *key) {
    assert_locked(c, key->shard);
    kv_begin_write(c);
    key->shard->now_ms = kv_ctx_now_ms(c);
    kv_keydb *db = kv_shard_db_open(key->shard, (unsigned)key->db);
    if (db == NULL) kv_ctx_out_of_memory(c);
    return db;
}

kv_value *kv_ctx_add(kv_ctx *c, const kv_key *key, const kv_value *fresh) {
    kv_keydb *db = kv_ctx_open(c, key);
    if (db == NULL) return NULL;
    kv_value *v;
    if (!kv_ctx_ok(c, kv_keydb_add_value(db, key->hash, key->name, *fresh, &v))) return NULL;
    kv_notify(c, key->db, KV_EVENT_NEW, "new", key->name);
    kv_ctx_ready(c, key);
    return v;
}

bool kv_ctx_set_string(kv_ctx *c, const kv_key *key, kv_slice bytes, bool keep, int64_t expire_ms) {
    kv_keydb *db = kv_ctx_open(c, key);
    if (db == NULL) return false;
    kv_value *old = kv_keydb_find(db, key->hash, key->name), *v;
    kv_expire_rule rule = keep ? KV_EXPIRE_KEEP : expire_ms < 0 ? KV_EXPIRE_CLEAR : KV_EXPIRE_AT;
    if (!kv_ctx_ok(c, kv_keydb_set_string(db, key->hash, key->name, old, bytes, rule, expire_ms, &v))) return false;
    if (old == NULL) kv_notify(c, key->db, KV_EVENT_NEW, "new", key->name);
    if (rule == KV_EXPIRE_AT) kv_engine_need_cron(c->engine);
    return true;
}

bool kv_ctx_delete(kv_ctx *c, const kv_key *key) {
    kv_keydb *db = kv_shard_db(key->shard, (unsigned)key->db);
    kv_value *v = kv_keydb_find(db, key->hash, key->name);
    if (v == NULL) return false;
    kv_begin_write(c);
    kv_keydb_delete(db, key->hash, v);
    return true;
}

kv_value *kv_ctx_set_expire(kv_ctx *c, const kv_key *key, kv_value *v, int64_t expire_ms) {
    kv_keydb *db = kv_ctx_open(c, key);
    if (db == NULL) return NULL;
    if (expire_ms < 0) return kv_keydb_persist(db, key->hash, v);
    kv_value *now;
    if (!kv_ctx_ok(c, kv_keydb_set_expire(db, key->hash, v, expire_ms, &now))) return NULL;
    kv_engine_need_cron(c->engine);
    return now;
}

kv_value *kv_ctx_field_expiry_reserve(kv_ctx *c, const kv_key *key, kv_value *v) {
    kv_keydb *db = kv_ctx_open(c, key);
    if (db == NULL) return NULL;
    kv_value *now;
    if (!kv_ctx_ok(c, kv_keydb_fields_reserve(db, key->hash, v, &now))) return NULL;
    kv_engine_need_cron(c->engine);
    return now;
}

void kv_ctx_field_expiry_changed(kv_ctx *c, const kv_key *key, kv_value *v) {
    (void)c;
    kv_keydb_fields_update(kv_shard_db(key->shard, (unsigned)key->db), v);
}

void kv_ctx_delete_empty(kv_ctx *c, const kv_key *key) {
    if (kv_ctx_delete(c, key)) kv_ctx_notify(c, key, KV_EVENT_GENERIC, "del");
}

void kv_ctx_changed(kv_ctx *c, const kv_key *key, unsigned event_class, const char *event) {
    c->unit->dirty++;
    kv_watch_touched(c, key->shard, key->db, key->hash, key->name, false);
    kv_tracking_changed(c, key->name);
    if (event != NULL) kv_ctx_notify(c, key, event_class, event);
}

void kv_ctx_notify(kv_ctx *c, const kv_key *key, unsigned event_class, const char *event) {
    kv_notify(c, key->db, event_class, event, key->name);
}

void kv_ctx_ready(kv_ctx *c, const kv_key *key) { kv_unit_ready(c, key->shard, key->hash, key->name); }

/* ---- whole databases ---- */

void kv_ctx_flush(kv_ctx *c, int db) {
    kv_store *store = &c->engine->store;
    unsigned first = db < 0 ? 0 : (unsigned)db, end = db < 0 ? store->db_count : first + 1;
    kv_begin_write(c);
    kv_watch_flushed(c, db);
    kv_tracking_flushed(c);
    for (unsigned i = first; i < end; i++) {
        c->unit->dirty += kv_store_count(store, i);
        for (unsigned j = 0; j < store->shard_count; j++) kv_shard_flush(&store->shards[j], i);
    }
}

void kv_ctx_free_flushed(kv_ctx *c) {
    kv_store *store = &c->engine->store;
    for (unsigned j = 0; j < store->shard_count; j++) kv_shard_flushed(&store->shards[j]);
    kv_engine_need_cron(c->engine);
}
