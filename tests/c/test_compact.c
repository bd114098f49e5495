/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c */
/* Compaction of a store with keys of every form: most of them go, the rest is moved step by step while keys come and go, and has to hold what it held. */
#include "check.h"
#include "ds/intset.h"
#include "store/keydb.h"
#include "types/hash.h"
#include "types/set.h"
#include "types/string.h"

enum { IDS = 7000, MEMBERS = 1500, KINDS = 8, BIG_EVERY = 700, SHARDS = 4 };

typedef struct world {
    kv_mem mem;
    kv_store store;
    kv_rng rng;
    kv_limits limits;
    bool there[IDS];
    bool member[IDS / BIG_EVERY][MEMBERS];
} world;

static uint64_t below(world *w, uint64_t n) { return kv_rng_below(&w->rng, n); }
static bool is_big(unsigned id) { return id % BIG_EVERY < 2; } /* 0: hash, 1: set */

static kv_slice key_of(unsigned id, char out[64]) { return kv_slice_of(out, (size_t)snprintf(out, 64, "key:%0*u", (int)(id % 30), id)); }

/* What a key or a field holds follows from its number. */
static kv_slice text_of(unsigned id, char out[512]) {
    size_t len = id % 3 == 0 ? 120 + id % 300 : 1 + id % 70;
    memset(out, 'A' + (int)(id % 26), len);
    return kv_slice_of(out, len);
}
static kv_slice name_of(unsigned i, char out[64]) {
    return kv_slice_of(out, (size_t)snprintf(out, 64, "member:%u%.*s", i, (int)(i % 20), "--------------------"));
}
static int64_t expiry_of(unsigned id) { return id % 5 == 0 ? 1000000 + (int64_t)id : KV_NO_EXPIRE; }
static int64_t field_expiry_of(unsigned i) { return i % 4 == 0 ? 2000000 + (int64_t)i : KV_HASH_NO_EXPIRY; }

static kv_value *find(world *w, unsigned id, kv_keydb **db, uint64_t *hash) {
    char bytes[64];
    kv_slice key = key_of(id, bytes);
    *hash = kv_store_hash(&w->store, key);
    *db = kv_shard_db_open(kv_store_shard_of(&w->store, *hash), id % 2);
    CHECK(*db != NULL);
    return kv_keydb_find(*db, *hash, key);
}

static kv_value small_container(world *w, kv_keydb *db, unsigned id) {
    kv_value v = {.type = id % KINDS == 1 ? KV_HASH : KV_SET};
    char name[64], text[512];
    if (v.type == KV_HASH) CHECK(kv_hash_create(&v, db->arena) == KV_OK);
    else CHECK(kv_set_create_empty(&v, db->arena) == KV_OK);
    for (unsigned i = 0; i < 3 + id % 9; i++) {
        kv_slice number = kv_slice_of(name, kv_format_i64(name, (int64_t)id * i)), member = id % KINDS == 2 ? number : name_of(i, name);
        if (v.type == KV_HASH)
            CHECK(kv_hash_set(&v, db->arena, &w->limits, name_of(i, name), text_of(i, text), KV_HASH_NO_EXPIRY, 0, NULL) == KV_OK);
        else CHECK(kv_set_add(&v, db->arena, &w->limits, member, NULL) == KV_OK);
    }
    return v;
}

static kv_value big_container(world *w, kv_keydb *db, unsigned id) {
    kv_value v = {.type = id % BIG_EVERY == 0 ? KV_HASH : KV_SET};
    char name[64], text[512];
    if (v.type == KV_HASH) CHECK(kv_hash_create(&v, db->arena) == KV_OK);
    else CHECK(kv_set_create_empty(&v, db->arena) == KV_OK);
    for (unsigned i = 0; i < MEMBERS; i++) {
        w->member[id / BIG_EVERY][i] = true;
        if (v.type == KV_HASH)
            CHECK(kv_hash_set(&v, db->arena, &w->limits, name_of(i, name), text_of(i, text), field_expiry_of(i), 0, NULL) == KV_OK);
        else CHECK(kv_set_add(&v, db->arena, &w->limits, name_of(i, name), NULL) == KV_OK);
    }
    return v;
}

static void add(world *w, unsigned id) {
    kv_keydb *db;
    uint64_t hash;
    char bytes[64], text[512];
    kv_value *v = find(w, id, &db, &hash);
    CHECK(v == NULL && !w->there[id]);
    kv_slice key = key_of(id, bytes);
    if (is_big(id) || id % KINDS == 1 || id % KINDS == 2 || id % KINDS == 3) {
        kv_value value = is_big(id) ? big_container(w, db, id) : small_container(w, db, id);
        CHECK(kv_keydb_add_value(db, hash, key, value, &v) == KV_OK);
        if (expiry_of(id) >= 0) CHECK(kv_keydb_set_expire(db, hash, v, expiry_of(id), &v) == KV_OK);
    } else {
        kv_slice value = id % KINDS == 4 ? kv_slice_of(text, kv_format_i64(text, id)) : text_of(id, text);
        CHECK(kv_keydb_set_string(db, hash, key, NULL, value, KV_EXPIRE_AT, expiry_of(id), &v) == KV_OK || expiry_of(id) < 0);
        if (expiry_of(id) < 0) CHECK(kv_keydb_set_string(db, hash, key, v, value, KV_EXPIRE_CLEAR, 0, &v) == KV_OK);
    }
    w->there[id] = true;
}

static void drop(world *w, unsigned id) {
    kv_keydb *db;
    uint64_t hash;
    kv_value *v = find(w, id, &db, &hash);
    CHECK(v != NULL && w->there[id]);
    kv_keydb_delete(db, hash, v);
    w->there[id] = false;
}

static void thin_out(world *w, unsigned id) {
    kv_keydb *db;
    uint64_t hash;
    char name[64];
    kv_value *v = find(w, id, &db, &hash);
    bool *member = w->member[id / BIG_EVERY];
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (id % BIG_EVERY == 1) member[i] = kv_set_has(v, name_of(i, name)); /* hash and set of one number share the flags: refresh */
        if (below(w, 4) == 0) continue;
        if (v->type == KV_HASH) (void)kv_hash_delete(v, db->arena, name_of(i, name), 0);
        else CHECK(kv_set_remove(v, db->arena, name_of(i, name), NULL) == KV_OK);
    }
    kv_keydb_fields_update(db, v);
}

static void verify_container(const kv_value *v, unsigned id) {
    char name[64], text[512], number[64];
    for (unsigned i = 0; i < (is_big(id) ? (unsigned)MEMBERS : 3 + id % 9); i++) {
        if (v->type == KV_SET) {
            kv_slice member =
                id % KINDS == 2 && !is_big(id) ? kv_slice_of(number, kv_format_i64(number, (int64_t)id * i)) : name_of(i, name);
            CHECK(is_big(id) || kv_set_has(v, member));
            continue;
        }
        kv_hash_item item;
        bool there = kv_hash_get(v, name_of(i, name), 0, &item);
        CHECK(there || is_big(id));
        if (!there) continue;
        CHECK(kv_slice_eq(item.value, text_of(i, text)) && (!is_big(id) || item.expiry_ms == field_expiry_of(i)));
    }
}

static void verify(world *w, unsigned id) {
    kv_keydb *db;
    uint64_t hash;
    char text[512], scratch[KV_NUM_MAX];
    const kv_value *v = find(w, id, &db, &hash);
    CHECK((v != NULL) == w->there[id]);
    if (v == NULL) return;
    CHECK(kv_entry_expire_ms(v) == expiry_of(id));
    if (v->type != KV_STRING) verify_container(v, id);
    else CHECK(kv_slice_eq(kv_entry_string(v, scratch), id % KINDS == 4 ? kv_slice_of(text, kv_format_i64(text, id)) : text_of(id, text)));
}

static void random_store(uint64_t seed) {
    static world w;
    memset(&w, 0, sizeof w);
    w.limits = (kv_limits){.hash_max_listpack_entries = 64,
                           .hash_max_listpack_value = 400,
                           .set_max_intset_entries = 64,
                           .set_max_listpack_entries = 64,
                           .set_max_listpack_value = 64};
    kv_mem_init(&w.mem);
    kv_rng_seed(&w.rng, seed);
    CHECK(kv_store_init(&w.store, &w.mem, SHARDS, 2, (kv_hash_seed){seed, 7}) == KV_OK);
    for (unsigned id = 0; id < IDS; id++) add(&w, id);
    for (unsigned id = 0; id < IDS; id++) {
        if (is_big(id)) thin_out(&w, id);
        else if (below(&w, 4) != 0) drop(&w, id);
    }
    CHECK(kv_store_check(&w.store));
    size_t before = kv_store_mapped(&w.store), counts[IDS / BIG_EVERY * 2];
    for (unsigned id = 0, n = 0; id < IDS; id++) {
        kv_keydb *db;
        uint64_t hash;
        if (is_big(id)) counts[n++] = kv_value_length(find(&w, id, &db, &hash));
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        unsigned steps = 0;
        for (bool more = true; more; steps++) {
            more = kv_shard_compact(&w.store.shards[i], 1 + below(&w, 200));
            unsigned id = (unsigned)below(&w, IDS);
            if (!is_big(id) && below(&w, 4) == 0) w.there[id] ? drop(&w, id) : add(&w, id);
            verify(&w, (unsigned)below(&w, IDS));
            if (steps % 50 == 0) CHECK(kv_shard_check(&w.store.shards[i]));
        }
        CHECK(steps > 10 && kv_shard_check(&w.store.shards[i]));
    }
    for (unsigned id = 0, n = 0; id < IDS; id++) {
        kv_keydb *db;
        uint64_t hash;
        verify(&w, id);
        if (is_big(id)) CHECK(kv_value_length(find(&w, id, &db, &hash)) == counts[n++]);
    }
    CHECK(kv_store_check(&w.store));
#if !defined KV_PLAIN_MALLOC
    CHECK(kv_store_mapped(&w.store) < before / 2);
#endif
    (void)before;
    /* A round that ends in the middle leaves everything usable. */
    for (unsigned i = 0; i < SHARDS; i++) {
        for (unsigned step = 0; step < 14; step++) (void)kv_shard_compact(&w.store.shards[i], 20);
        kv_shard_compact_stop(&w.store.shards[i]);
    }
    CHECK(kv_store_check(&w.store));
    for (unsigned id = 0; id < IDS; id++)
        if (!w.there[id]) add(&w, id);
    for (unsigned id = 0; id < IDS; id++) verify(&w, id);
    kv_store_deinit(&w.store);
    CHECK(atomic_load(&w.mem.used) == 0);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 3; seed++) random_store(seed);
    return 0;
}
