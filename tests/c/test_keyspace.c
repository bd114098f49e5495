/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c */
/* Random changes of a store, each compared with a plain array of what ought to be there. */
#include "check.h"
#include "store/keydb.h"
#include "types/hash.h"
#include "types/list.h"
#include "types/string.h"

enum { IDS = 120, DBS = 3, TEXT_MAX = 300 };

typedef struct model_key {
    int kind;   /* 0 absent, 1 string, 2 list, 3 hash */
    size_t len; /* string bytes, or elements */
    uint8_t text[TEXT_MAX];
    int64_t expire_ms;
    int64_t field_ms; /* earliest field expiry of a hash, INT64_MAX: none */
} model_key;

typedef struct world {
    kv_mem mem;
    kv_store store;
    kv_rng rng;
    kv_limits limits;
    model_key model[DBS][IDS];
    int64_t now_ms;
    int db_now;
    bool faults;
} world;

static uint64_t below(world *w, uint64_t n) { return kv_rng_below(&w->rng, n); }

static kv_slice name_of(unsigned id, char out[600]) {
    static const size_t lengths[] = {1, 3, 9, 16, 31, 32, 40, 100, 254, 255, 256, 500};
    size_t len = lengths[id % 12];
    memset(out, 'a' + (int)(id / 12) % 26, len);
    if (len >= 3) {
        char tail[8];
        int n = snprintf(tail, sizeof tail, "%03u", id);
        memcpy(out + len - 3, tail, (size_t)n);
    } else {
        out[0] = (char)id;
    }
    return kv_slice_of(out, len);
}

static void arm(world *w) {
#ifdef KV_FAULTS
    if (w->faults && below(w, 3) == 0) {
        atomic_store(&w->mem.fail_forever, below(w, 2) == 0);
        atomic_store(&w->mem.fail_after, (int64_t)below(w, 6));
    }
#else
    (void)w;
#endif
}
static void disarm(world *w) {
#ifdef KV_FAULTS
    atomic_store(&w->mem.fail_after, -1);
    atomic_store(&w->mem.fail_forever, false);
#else
    (void)w;
#endif
}

typedef struct place {
    unsigned id;
    int db;
    char bytes[600];
    kv_slice key;
    uint64_t hash;
    kv_shard *shard;
    kv_keydb *keydb; /* NULL when it could not be opened */
    kv_value *v;
    model_key *model;
} place;

static place locate(world *w, place *p) {
    p->id = (unsigned)below(w, IDS);
    p->db = (int)below(w, DBS);
    p->key = name_of(p->id, p->bytes);
    p->hash = kv_store_hash(&w->store, p->key);
    p->shard = kv_store_shard_of(&w->store, p->hash);
    p->shard->now_ms = w->now_ms;
    p->keydb = kv_shard_db_open(p->shard, (unsigned)p->db);
    p->v = kv_keydb_find(p->keydb, p->hash, p->key);
    p->model = &w->model[p->db][p->id];
    CHECK((p->v != NULL) == (p->model->kind != 0));
    return *p;
}

static void compare(const place *p, const kv_value *v) {
    const model_key *m = p->model;
    char scratch[KV_NUM_MAX];
    CHECK((v != NULL) == (m->kind != 0));
    if (v == NULL) return;
    CHECK(kv_slice_eq(kv_entry_key(v), p->key));
    CHECK(kv_entry_expire_ms(v) == m->expire_ms);
    CHECK((int)v->type == (m->kind == 1 ? KV_STRING : m->kind == 2 ? KV_LIST : KV_HASH));
    if (m->kind == 1) {
        CHECK(kv_slice_eq(kv_entry_string(v, scratch), kv_slice_of(m->text, m->len)));
        CHECK(kv_entry_string_length(v) == m->len);
    } else {
        CHECK(kv_value_length(v) == m->len);
    }
    if (m->kind == 3) CHECK(kv_value_next_field_expiry(v) == m->field_ms);
}

static void look_again(const place *p) { compare(p, kv_keydb_find(p->keydb, p->hash, p->key)); }

static size_t some_text(world *w, uint8_t out[TEXT_MAX]) {
    if (below(w, 4) == 0) return kv_format_i64((char *)out, (int64_t)kv_rng_next(&w->rng) >> below(w, 60));
    size_t len = below(w, 8) == 0 ? below(w, TEXT_MAX) : below(w, 130);
    for (size_t i = 0; i < len; i++) out[i] = (uint8_t)('A' + below(w, 26));
    return len;
}

static void expect_rule(model_key *m, kv_expire_rule rule, int64_t expire_ms) {
    if (rule == KV_EXPIRE_AT) m->expire_ms = expire_ms;
    else if (rule == KV_EXPIRE_CLEAR || m->kind == 0) m->expire_ms = KV_NO_EXPIRE;
}

static void do_set(world *w, place *p) {
    uint8_t text[TEXT_MAX];
    size_t len = some_text(w, text);
    kv_expire_rule rule = (kv_expire_rule)below(w, 3);
    int64_t expire_ms = w->now_ms + (int64_t)below(w, 1000);
    bool had_expiry = p->v != NULL && p->model->expire_ms >= 0;
    kv_value *v = NULL;
    arm(w);
    kv_status status = kv_keydb_set_string(p->keydb, p->hash, p->key, p->v, kv_slice_of(text, len), rule, expire_ms, &v);
    disarm(w);
    if (status == KV_OK) {
        expect_rule(p->model, rule, expire_ms);
        p->model->kind = 1;
        p->model->len = len;
        memcpy(p->model->text, text, len);
        int64_t num;
        kv_enc want = kv_parse_i64(kv_slice_of(text, len), &num)                                 ? KV_ENC_INT
                      : kv_entry_embeds(p->key.len, len, had_expiry || p->model->expire_ms >= 0) ? KV_ENC_EMBSTR
                                                                                                 : KV_ENC_RAW;
        CHECK(v->enc == want);
        CHECK(v == kv_keydb_find(p->keydb, p->hash, p->key));
    } else {
        CHECK(status == KV_ENOMEM && w->faults);
    }
    look_again(p);
}

enum { PUTS = 24 };

/* Several strings at once, in one database each; some keys twice. All or none. */
static void do_puts(world *w) {
    static uint8_t texts[PUTS][TEXT_MAX];
    static place places[PUTS];
    kv_put puts[PUTS];
    size_t lens[PUTS], count = 1 + below(w, PUTS), made = 0;
    kv_expire_rule rule = (kv_expire_rule)below(w, 3);
    int64_t expire_ms = w->now_ms + (int64_t)below(w, 1000);
    bool keep = below(w, 4) != 0;
    for (size_t i = 0; i < count; i++) {
        locate(w, &places[i]);
        if (i > 0 && below(w, 4) == 0) places[i] = places[i - 1];
        lens[i] = some_text(w, texts[i]);
    }
    arm(w);
    for (; made < count; made++) {
        const place *p = &places[made];
        kv_value *old = kv_keydb_find(p->keydb, p->hash, p->key);
        kv_slice text = kv_slice_of(texts[made], lens[made]);
        if (kv_keydb_prepare_string(p->keydb, p->hash, p->key, old, text, rule, expire_ms, made, &puts[made]) != KV_OK) break;
    }
    keep = keep && made == count;
    for (size_t i = 0; keep && i < count; i++) kv_keydb_commit(&puts[i]);
    while (!keep && made > 0) kv_keydb_withdraw(&puts[--made]);
    disarm(w);
    for (size_t i = 0; keep && i < count; i++) {
        model_key *m = places[i].model;
        expect_rule(m, rule, expire_ms);
        m->kind = 1;
        m->len = lens[i];
        memcpy(m->text, texts[i], lens[i]);
    }
    for (size_t i = 0; i < count; i++) look_again(&places[i]);
}

static void do_append(world *w, place *p) {
    if (p->model->kind != 1 || p->model->len > TEXT_MAX - 20) return;
    size_t more = below(w, 20);
    arm(w);
    kv_value *v;
    kv_status status = kv_keydb_make_raw(p->keydb, p->hash, p->v, p->model->len + more, &v);
    if (status == KV_OK) {
        kv_str *s = kv_str_append(p->keydb->arena, v->u.ptr, kv_slice_of("zzzzzzzzzzzzzzzzzzzz", more));
        CHECK(s == v->u.ptr); /* there was room */
        memset(p->model->text + p->model->len, 'z', more);
        p->model->len += more;
        CHECK(v->enc == KV_ENC_RAW);
    }
    disarm(w);
    look_again(p);
}

static void do_expire(world *w, place *p) {
    if (p->v == NULL) return;
    kv_value *v = NULL;
    int64_t expire_ms = below(w, 3) == 0 ? KV_NO_EXPIRE : w->now_ms + (int64_t)below(w, 2000);
    arm(w);
    kv_status status = kv_keydb_set_expire(p->keydb, p->hash, p->v, expire_ms, &v);
    disarm(w);
    if (status == KV_OK) p->model->expire_ms = expire_ms;
    CHECK(status == KV_OK || expire_ms >= 0);
    look_again(p);
}

static void do_delete(world *w, place *p) {
    if (p->v == NULL) return;
    arm(w);
    if (below(w, 2) == 0) kv_keydb_delete(p->keydb, p->hash, p->v);
    else kv_shard_dispose(p->shard, kv_keydb_detach(p->keydb, p->hash, p->v));
    disarm(w);
    p->model->kind = 0;
    look_again(p);
}

static bool make_container(world *w, place *p, kv_value *fresh, int kind, size_t len, int64_t *field_ms) {
    char field[32];
    *field_ms = INT64_MAX;
    *fresh = (kv_value){.type = kind == 2 ? KV_LIST : KV_HASH};
    kv_status status = kind == 2 ? kv_list_create(fresh, p->keydb->arena) : kv_hash_create(fresh, p->keydb->arena);
    if (status != KV_OK) return false;
    for (size_t i = 0; i < len && status == KV_OK; i++) {
        kv_slice item = kv_slice_of(field, (size_t)snprintf(field, sizeof field, "item-%zu", i));
        if (kind == 2) {
            status = kv_list_push(fresh, p->keydb->arena, &w->limits, KV_LIST_TAIL, &item, 1);
        } else {
            int64_t when = below(w, 20) == 0 ? w->now_ms + 1 + (int64_t)below(w, 3000) : KV_HASH_NO_EXPIRY;
            status = kv_hash_set(fresh, p->keydb->arena, &w->limits, item, item, when, w->now_ms, NULL);
            if (status == KV_OK && when < *field_ms && when != KV_HASH_NO_EXPIRY) *field_ms = when;
        }
    }
    if (status == KV_OK) return true;
    kv_value_free(fresh, p->keydb->arena);
    return false;
}

static void do_container(world *w, place *p) {
    int kind = 2 + (int)below(w, 2);
    size_t len = below(w, 5) == 0 ? below(w, 400) : 1 + below(w, 20);
    int64_t field_ms;
    kv_value fresh, *v = NULL;
    arm(w);
    if (len > 0 && make_container(w, p, &fresh, kind, len, &field_ms)) {
        kv_expire_rule rule = p->v == NULL ? KV_EXPIRE_CLEAR : (kv_expire_rule)below(w, 3);
        int64_t expire_ms = w->now_ms + 500;
        kv_status status = p->v == NULL && below(w, 2) == 0
                               ? kv_keydb_add_value(p->keydb, p->hash, p->key, fresh, &v)
                               : kv_keydb_replace_value(p->keydb, p->hash, p->key, p->v, fresh, rule, expire_ms, &v);
        if (status == KV_OK) {
            expect_rule(p->model, rule, expire_ms);
            p->model->kind = kind;
            p->model->len = len;
            p->model->field_ms = field_ms;
        } else {
            kv_value_free(&fresh, p->keydb->arena);
        }
    }
    disarm(w);
    look_again(p);
}

/* A field gets an expiry, or the earliest ones are reclaimed. */
static void do_fields(world *w, place *p) {
    if (p->model->kind != 3) return;
    char text[32];
    kv_slice field = kv_slice_of(text, (size_t)snprintf(text, sizeof text, "item-%zu", p->model->len - 1));
    kv_value *v;
    arm(w);
    if (kv_keydb_fields_reserve(p->keydb, p->hash, p->v, &v) == KV_OK) {
        if (kv_hash_set_expiry(v, p->keydb->arena, field, w->now_ms + 1 + (int64_t)below(w, 50), KV_HASH_ALL) == KV_OK)
            p->model->field_ms = kv_hash_next_expiry(v);
        kv_keydb_fields_update(p->keydb, v);
    }
    disarm(w);
    look_again(p);
}

static void do_move(world *w, place *p) {
    place to;
    locate(w, &to);
    if (p->v == NULL || p->model == to.model || to.keydb == NULL) return;
    bool copy = below(w, 2) == 0;
    kv_value *v = NULL;
    arm(w);
    kv_status status = copy ? kv_keydb_copy(p->v, to.keydb, to.hash, to.key, to.v, &v)
                            : kv_keydb_move(p->keydb, p->hash, p->v, to.keydb, to.hash, to.key, to.v, &v);
    disarm(w);
    if (status == KV_OK) {
        *to.model = *p->model;
        if (!copy) p->model->kind = 0;
    }
    look_again(p);
    look_again(&to);
}

static bool expire_one(void *arg, kv_keydb *db, kv_value *v) {
    world *w = arg;
    char bytes[600];
    for (unsigned id = 0; id < IDS; id++) {
        model_key *m = &w->model[db->index][id];
        if (!kv_slice_eq(name_of(id, bytes), kv_entry_key(v))) continue;
        CHECK(m->kind != 0 && m->expire_ms >= 0 && m->expire_ms <= w->now_ms);
        m->kind = 0;
        return true;
    }
    CHECK(false);
    return false;
}

static void do_time(world *w) {
    w->now_ms += (int64_t)below(w, 200);
    for (unsigned i = 0; i < w->store.shard_count; i++)
        for (unsigned d = 0; d < DBS; d++) {
            kv_keydb *db = kv_shard_db(&w->store.shards[i], d);
            while (kv_keydb_expire_due(db, w->now_ms, 3, expire_one, w) == 3) {}
            CHECK(kv_keydb_next_expiry(db) == KV_NO_EXPIRE || kv_keydb_next_expiry(db) > w->now_ms);
            CHECK(kv_keydb_due_fields(db, -1) == NULL);
            kv_value *due = kv_keydb_due_fields(db, w->now_ms);
            if (due == NULL) continue;
            (void)kv_hash_expire_due(due, db->arena, w->now_ms, 1000, NULL, NULL);
            kv_keydb_fields_update(db, due);
            char bytes[600];
            for (unsigned id = 0; id < IDS; id++)
                if (kv_slice_eq(name_of(id, bytes), kv_entry_key(due))) {
                    w->model[d][id].len = kv_hash_length(due);
                    w->model[d][id].field_ms = kv_hash_next_expiry(due);
                    if (w->model[d][id].len == 0) {
                        kv_keydb_delete(db, kv_store_hash(&w->store, kv_entry_key(due)), due);
                        w->model[d][id].kind = 0;
                    }
                    break;
                }
        }
    for (int d = 0; d < DBS; d++)
        for (int id = 0; id < IDS; id++)
            CHECK(w->model[d][id].kind == 0 || w->model[d][id].expire_ms < 0 || w->model[d][id].expire_ms > w->now_ms);
}

static void do_whole(world *w) {
    unsigned a = (unsigned)below(w, DBS), b = (unsigned)below(w, DBS);
    if (below(w, 3) == 0) {
        for (unsigned i = 0; i < w->store.shard_count; i++) kv_shard_flush(&w->store.shards[i], a);
        for (int id = 0; id < IDS; id++) w->model[a][id].kind = 0;
        for (unsigned i = 0; i < w->store.shard_count; i++) kv_shard_flushed(&w->store.shards[i]); /* which are empty by chance */
        return;
    }
    if (below(w, 4) == 0) {
        for (unsigned i = 0; i < w->store.shard_count; i++) {
            for (unsigned d = 0; d < DBS; d++) kv_shard_flush(&w->store.shards[i], d);
            kv_shard_flushed(&w->store.shards[i]);
            CHECK(kv_shard_check(&w->store.shards[i]));
        }
        memset(w->model, 0, sizeof w->model);
        return;
    }
    model_key *spare = malloc(sizeof w->model[0]);
    CHECK(spare != NULL);
    kv_store_swap_db(&w->store, a, b);
    memcpy(spare, w->model[a], sizeof w->model[0]);
    memmove(w->model[a], w->model[b], sizeof w->model[0]);
    memcpy(w->model[b], spare, sizeof w->model[0]);
    free(spare);
}

typedef struct scan_seen {
    world *w;
    int db;
    unsigned times[IDS];
} scan_seen;

static void scan_one(void *arg, kv_value *v) {
    scan_seen *seen = arg;
    char bytes[600];
    for (unsigned id = 0; id < IDS; id++)
        if (kv_slice_eq(name_of(id, bytes), kv_entry_key(v))) seen->times[id]++;
}

static void do_scan(world *w) {
    scan_seen seen = {.w = w, .db = (int)below(w, DBS)};
    size_t expected = 0;
    uint64_t cursor = 0, calls = 0, count = 1 + below(w, 30);
    do {
        uint64_t mask = kv_store_scan_mask(&w->store, (unsigned)seen.db, cursor, count);
        cursor = kv_store_scan(&w->store, (unsigned)seen.db, cursor, mask, count, scan_one, &seen);
        CHECK(calls++ < 10000);
    } while (cursor != 0);
    for (int id = 0; id < IDS; id++) {
        CHECK((seen.times[id] > 0) == (w->model[seen.db][id].kind != 0));
        expected += w->model[seen.db][id].kind != 0;
    }
    CHECK(kv_store_count(&w->store, (unsigned)seen.db) == expected);
    /* Any cursor is safe. */
    (void)kv_store_scan(&w->store, 0, kv_rng_next(&w->rng), UINT64_MAX, 10, scan_one, &seen);
    unsigned shard;
    if (kv_store_random_shard(&w->store, (unsigned)seen.db, &w->rng, &shard) == KV_OK)
        CHECK(kv_keydb_random(kv_shard_db(&w->store.shards[shard], (unsigned)seen.db)) != NULL);
    else CHECK(expected == 0);
}

static void do_victim(world *w) {
    kv_victim victim;
    kv_shard *shard = &w->store.shards[below(w, w->store.shard_count)];
    kv_evict_policy policy = (kv_evict_policy)below(w, 8);
    if (!kv_shard_victim(shard, policy, 5, w->now_ms, &victim)) return;
    CHECK(policy != KV_NOEVICTION && victim.db->shard == shard);
    CHECK(!kv_policy_is_volatile(policy) || kv_entry_expire_ms(victim.v) >= 0);
    CHECK(kv_value_memory(victim.v, 5) >= sizeof(kv_value) / 2);
    kv_access_config config = atomic_load(&w->store.access);
    kv_access_touch(victim.v, config, w->now_ms, &w->rng);
    CHECK(kv_access_idle_ms(victim.v, w->now_ms + 5000) == 5000);
}

static void run(uint64_t seed, unsigned shards, int steps, bool faults) {
    world *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    kv_mem_init(&w->mem);
    kv_rng_seed(&w->rng, seed);
    w->limits = (kv_limits){.hash_max_listpack_entries = 64, .hash_max_listpack_value = 64, .list_max_listpack_size = 32};
    w->now_ms = 1700000000000;
    w->faults = faults;
    CHECK(kv_store_init(&w->store, &w->mem, shards, DBS, (kv_hash_seed){seed, 7}) == KV_OK);
    for (int step = 0; step < steps; step++) {
        place p;
        for (unsigned i = 0; i < shards; i++) w->store.shards[i].version = (uint16_t)step;
        locate(w, &p);
        CHECK(p.keydb != NULL);
        uint64_t what = below(w, 100);
        if (what < 22) do_set(w, &p);
        else if (what < 30) do_puts(w);
        else if (what < 40) do_append(w, &p);
        else if (what < 52) do_expire(w, &p);
        else if (what < 62) do_delete(w, &p);
        else if (what < 76) do_container(w, &p);
        else if (what < 80) do_fields(w, &p);
        else if (what < 92) do_move(w, &p);
        else if (what < 94) do_time(w);
        else if (what < 95 && below(w, 10) == 0) do_whole(w);
        else if (what < 97) do_scan(w);
        else if (what < 98) do_victim(w);
        else (void)kv_shard_free_some(p.shard, 1 + below(w, 200));
        if (step % 20 == 0) CHECK(kv_store_check(&w->store));
    }
    for (unsigned i = 0; i < shards; i++)
        while (!kv_shard_free_some(&w->store.shards[i], 100)) {}
    for (unsigned i = 0; i < shards; i++)
        for (unsigned d = 0; d < DBS; d++) kv_shard_flush(&w->store.shards[i], d);
    for (unsigned i = 0; i < shards; i++)
        while (!kv_shard_free_some(&w->store.shards[i], 100)) {}
    CHECK(kv_store_check(&w->store));
    CHECK(kv_store_used(&w->store) == 0); /* nothing has leaked */
    kv_store_deinit(&w->store);
    CHECK(atomic_load(&w->mem.used) == 0);
    free(w);
}

/* A flushed shard gives its memory back as a whole, in pieces, while it is filled anew; but not while a container of another shard is there, or in it. */
static void test_flushed_whole(void) {
    enum { KEYS = 20000 };
    kv_mem mem;
    kv_store store;
    kv_mem_init(&mem);
    CHECK(kv_store_init(&store, &mem, 2, 2, (kv_hash_seed){1, 2}) == KV_OK);
    for (int round = 0; round < 3; round++) {
        kv_shard *shard = &store.shards[0];
        kv_keydb *db = kv_shard_db_open(shard, 0);
        CHECK(db != NULL);
        for (int i = 0; i < KEYS; i++) {
            char name[32];
            kv_slice key = kv_slice_of(name, (size_t)snprintf(name, sizeof name, "key:%d", i));
            CHECK(kv_keydb_set_string(db, kv_store_hash(&store, key), key, NULL, KV_LIT("a value of some length"), KV_EXPIRE_AT, 1 + i,
                                      NULL) == KV_OK);
        }
        shard->has_guests = round == 1;
        kv_shard_flush(shard, 0);
        kv_shard_flushed(shard);
        CHECK((shard->gone != NULL) == (round != 1) && (shard->flushed != NULL) == (round == 1) && kv_shard_check(shard));
        if (round != 1) CHECK(kv_arena_used(shard->arena) == 0);
        if (round == 2) break; /* the end of the store frees the rest */
        int pieces = 0;
        while (!kv_shard_free_some(shard, 64)) pieces++;
        CHECK(pieces > 1 && shard->gone == NULL && !shard->has_guests && kv_shard_check(shard));
        CHECK(kv_store_used(&store) == 0);
    }
    kv_store_deinit(&store);
    CHECK(atomic_load(&mem.used) == 0);
}

static void test_bad_arguments(void) {
    kv_mem mem;
    kv_store store;
    kv_mem_init(&mem);
    CHECK(kv_store_init(&store, &mem, 3, 16, (kv_hash_seed){1, 2}) == KV_EINVAL);
    CHECK(kv_store_init(&store, &mem, 128, 16, (kv_hash_seed){1, 2}) == KV_EINVAL);
    CHECK(kv_store_init(&store, &mem, 4, 0, (kv_hash_seed){1, 2}) == KV_EINVAL);
    CHECK(kv_store_init(&store, &mem, 64, 16, (kv_hash_seed){1, 2}) == KV_OK);
    CHECK(kv_store_shard_index(&store, UINT64_MAX) == 63 && kv_store_shard_index(&store, 0) == 0);
    kv_store_deinit(&store);
    CHECK(kv_store_init(&store, &mem, 1, 16, (kv_hash_seed){1, 2}) == KV_OK);
    CHECK(kv_store_shard_index(&store, UINT64_MAX) == 0);
    kv_store_deinit(&store);
}

static void test_lfu(void) {
    kv_rng rng;
    kv_rng_seed(&rng, 1);
    kv_access_config config = {.policy = KV_ALLKEYS_LFU, .lfu_decay_min = 1, .lfu_log_factor = 10};
    kv_value v = {.access = kv_access_fresh(config, 60000000)};
    CHECK(kv_access_frequency(&v, config, 60000000) == 5);
    for (int i = 0; i < 1000; i++) kv_access_touch(&v, config, 60000000, &rng);
    unsigned hot = kv_access_frequency(&v, config, 60000000);
    CHECK(hot > 10 && hot < 40);
    CHECK(kv_access_frequency(&v, config, 60000000 + 3 * 60000) == hot - 3);
    CHECK(kv_access_frequency(&v, config, 60000000 + 3000 * 60000) == 0);
    config.lfu_decay_min = 0;
    CHECK(kv_access_frequency(&v, config, 60000000 + 3000 * 60000) == hot);
}

int main(void) {
    test_bad_arguments();
    test_flushed_whole();
    test_lfu();
    for (uint64_t seed = 1; seed <= 6; seed++) run(seed, seed % 2 ? 4 : 1, 4000, false);
    for (uint64_t seed = 11; seed <= 16; seed++) run(seed, seed % 2 ? 8 : 2, 4000, true);
    puts("ok keyspace");
    return 0;
}
