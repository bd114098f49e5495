/* sources: base/*.c ds/listpack.c ds/table.c ds/heap.c types/compact.c types/hash.c types/hash_big.c types/pairs.c */
/* Hashes against a list of (field, value, expiry): random changes in both forms, failing allocations, walking, scanning, expiring. */
#include "check.h"

#include "base/arena.h"
#include "base/rng.h"
#include "types/hash.h"

#define MAX_PAIRS 400

typedef struct pair {
    uint8_t field[40], value[400];
    size_t field_len, value_len;
    int64_t expiry;
} pair;

typedef struct model {
    pair *pairs;
    size_t count;
} model;

static kv_slice field_of(const pair *p) { return kv_slice_of(p->field, p->field_len); }
static kv_slice value_of(const pair *p) { return kv_slice_of(p->value, p->value_len); }

static pair *model_find(model *m, kv_slice field) {
    for (size_t i = 0; i < m->count; i++)
        if (kv_slice_eq(field_of(&m->pairs[i]), field)) return &m->pairs[i];
    return NULL;
}

static void model_put(model *m, kv_slice field, kv_slice value, int64_t expiry) {
    pair *p = model_find(m, field);
    if (p == NULL) {
        CHECK(m->count < MAX_PAIRS);
        p = &m->pairs[m->count++];
        memcpy(p->field, field.ptr, field.len);
        p->field_len = field.len;
    }
    if (value.len != 0) memcpy(p->value, value.ptr, value.len);
    p->value_len = value.len;
    p->expiry = expiry;
}

static void model_remove(model *m, pair *p) { *p = m->pairs[--m->count]; }

typedef struct world {
    kv_mem mem;
    kv_arena *arenas[2];
    kv_rng rng;
    model model;
    kv_value v;
    kv_limits limits;
    int64_t now;
    kv_arena *arena; /* where small forms of v live */
} world;

/* Every field of the model is found in the hash, and nothing else is. */
static void compare(world *w) {
    CHECK(kv_hash_check(&w->v));
    CHECK(kv_hash_length(&w->v) == w->model.count);
    size_t visible = 0, volatile_fields = 0, expired = 0;
    int64_t first = INT64_MAX;
    kv_hash_item item;
    for (size_t i = 0; i < w->model.count; i++) {
        pair *p = &w->model.pairs[i];
        bool seen = kv_hash_get(&w->v, field_of(p), w->now, &item);
        CHECK(seen == (p->expiry > w->now));
        CHECK(kv_hash_get(&w->v, field_of(p), KV_HASH_ALL, &item));
        CHECK(kv_slice_eq(item.value, value_of(p)) && item.expiry_ms == p->expiry);
        if (seen) visible++;
        else expired++;
        if (p->expiry != KV_HASH_NO_EXPIRY) volatile_fields++;
        if (p->expiry < first) first = p->expiry;
    }
    CHECK(kv_hash_next_expiry(&w->v) == first);
    CHECK(kv_hash_volatile_count(&w->v) == volatile_fields);
    CHECK(kv_hash_expired_count(&w->v, w->now) == expired);
    kv_hash_iter it;
    kv_hash_iter_init(&it, &w->v, w->now);
    size_t walked = 0;
    while (kv_hash_iter_next(&it, &item)) {
        pair *p = model_find(&w->model, item.field);
        CHECK(p != NULL && kv_slice_eq(item.value, value_of(p)) && item.expiry_ms == p->expiry);
        walked++;
    }
    CHECK(walked == visible);
    CHECK(kv_hash_random(&w->v, &w->rng, w->now, &item) == (visible != 0));
    if (visible != 0) CHECK(model_find(&w->model, item.field)->expiry > w->now);
    CHECK(kv_hash_memory(&w->v, 0) > 0 && kv_hash_memory(&w->v, 3) > 0);
}

static void mark(void *ctx, const kv_hash_item *item) {
    world *w = ctx;
    pair *p = model_find(&w->model, item->field);
    CHECK(p != NULL && p->expiry > w->now);
    p->value_len |= (size_t)1 << 40; /* seen */
}

static void scan_all(world *w) {
    uint64_t cursor = 0;
    do cursor = kv_hash_scan(&w->v, cursor, 1 + kv_rng_below(&w->rng, 10), w->now, mark, w);
    while (cursor != 0);
    for (size_t i = 0; i < w->model.count; i++) {
        pair *p = &w->model.pairs[i];
        CHECK((p->value_len >> 40 != 0) == (p->expiry > w->now));
        p->value_len &= ((size_t)1 << 40) - 1;
    }
}

static kv_slice random_field(world *w, char buffer[40], unsigned names) {
    uint64_t n = kv_rng_below(&w->rng, names);
    int len = n % 3 == 0 ? snprintf(buffer, 40, "%llu", (unsigned long long)n) : snprintf(buffer, 40, "field:%llu", (unsigned long long)n);
    return kv_slice_of(buffer, (size_t)len);
}

static kv_slice random_value(world *w, char buffer[400]) {
    size_t len = kv_rng_below(&w->rng, 40);
    if (kv_rng_below(&w->rng, 50) == 0) len = kv_rng_below(&w->rng, 400);
    for (size_t i = 0; i < len; i++) buffer[i] = (char)('a' + kv_rng_below(&w->rng, 26));
    if (kv_rng_below(&w->rng, 3) == 0)
        len = (size_t)snprintf(buffer, 40, "%lld", (long long)(kv_rng_next(&w->rng) >> kv_rng_below(&w->rng, 60)));
    return kv_slice_of(buffer, len);
}

static void do_set(world *w, unsigned names) {
    char fb[40], vb[400];
    kv_slice field = random_field(w, fb, names), value = random_value(w, vb);
    pair *old = model_find(&w->model, field);
    bool expired = old != NULL && old->expiry <= w->now;
    int64_t expiry = KV_HASH_NO_EXPIRY, stored = expiry;
    switch (kv_rng_below(&w->rng, w->v.enc == KV_ENC_LISTPACK ? 60 : 4)) {
    case 0: stored = expiry = w->now + 1 + (int64_t)kv_rng_below(&w->rng, 100); break;
    case 1:
        expiry = KV_HASH_KEEP_EXPIRY;
        stored = old == NULL || expired ? KV_HASH_NO_EXPIRY : old->expiry;
        break;
    default: break;
    }
    kv_hash_change change;
    kv_status status = kv_hash_set(&w->v, w->arena, &w->limits, field, value, expiry, w->now, &change);
    if (status != KV_OK) {
        CHECK(status == KV_ENOMEM);
        return;
    }
    CHECK(change.created == (old == NULL || expired) && change.expired == expired);
    model_put(&w->model, field, value, stored);
}

static void do_delete(world *w, unsigned names) {
    char fb[40];
    kv_slice field = random_field(w, fb, names);
    pair *old = model_find(&w->model, field);
    bool visible = old != NULL && old->expiry > w->now;
    kv_status status = kv_hash_delete(&w->v, w->arena, field, w->now);
    if (status == KV_ENOMEM) return;
    CHECK(status == (visible ? KV_OK : KV_ENOTFOUND));
    if (visible) model_remove(&w->model, old);
}

static void do_expiry(world *w, unsigned names) {
    char fb[40];
    kv_slice field = random_field(w, fb, names);
    pair *old = model_find(&w->model, field);
    bool visible = old != NULL && old->expiry > w->now;
    int64_t expiry = kv_rng_below(&w->rng, 3) == 0 ? KV_HASH_NO_EXPIRY : w->now + (int64_t)kv_rng_below(&w->rng, 100);
    kv_status status = kv_hash_set_expiry(&w->v, w->arena, field, expiry, w->now);
    if (status == KV_ENOMEM) return;
    CHECK(status == (visible ? KV_OK : KV_ENOTFOUND));
    if (visible) old->expiry = expiry;
}

enum { MANY = 40 };

/* All pairs or none; some come twice. */
static void do_set_many(world *w, unsigned names) {
    static char fields[MANY][40], values[MANY][400];
    kv_slice pairs[2 * MANY];
    size_t count = 2 + kv_rng_below(&w->rng, MANY - 1), created = 0;
    bool expired = false;
    int64_t expiry = KV_HASH_NO_EXPIRY;
    if (w->v.enc == KV_ENC_HASHTABLE && kv_rng_below(&w->rng, 3) == 0) expiry = w->now + 1 + (int64_t)kv_rng_below(&w->rng, 100);
    else if (kv_rng_below(&w->rng, 4) == 0) expiry = KV_HASH_KEEP_EXPIRY;
    for (size_t i = 0; i < count; i++) {
        pairs[2 * i] = random_field(w, fields[i], names);
        pairs[2 * i + 1] = random_value(w, values[i]);
        const pair *old = model_find(&w->model, pairs[2 * i]);
        if (old != NULL && kv_rng_below(&w->rng, 2) == 0) pairs[2 * i + 1].len = old->value_len < 400 ? old->value_len : 0;
        if (pairs[2 * i + 1].len > 0 && old != NULL && pairs[2 * i + 1].len == old->value_len) memset(values[i], 'x', old->value_len);
    }
    kv_hash_changes changes;
    kv_status status = kv_hash_set_many(&w->v, w->arena, &w->limits, pairs, count, expiry, w->now, &changes);
    if (status != KV_OK) {
        CHECK(status == KV_ENOMEM);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const pair *old = model_find(&w->model, pairs[2 * i]);
        bool was_expired = old != NULL && old->expiry <= w->now;
        int64_t stored = expiry != KV_HASH_KEEP_EXPIRY ? expiry : old == NULL || was_expired ? KV_HASH_NO_EXPIRY : old->expiry;
        created += old == NULL || was_expired;
        expired |= was_expired;
        model_put(&w->model, pairs[2 * i], pairs[2 * i + 1], stored);
    }
    CHECK(changes.created == created && changes.expired == expired);
}

/* Several steps of one kind, kept when all of them went well and chance agrees. */
static void do_edit(world *w, unsigned names) {
    static char fields[MANY][40];
    kv_slice field[MANY];
    int64_t times[MANY];
    size_t count = 2 + kv_rng_below(&w->rng, MANY - 1), done = 0;
    bool deleting = w->v.enc == KV_ENC_LISTPACK || kv_rng_below(&w->rng, 4) == 0, keep = deleting || kv_rng_below(&w->rng, 3) != 0;
    kv_hash_edit e;
    if (kv_hash_edit_begin(&e, &w->v, w->arena, count) != KV_OK) return;
    kv_status status = KV_OK;
    for (; done < count && status != KV_ENOMEM; done += status != KV_ENOMEM) {
        field[done] = random_field(w, fields[done], names);
        times[done] = kv_rng_below(&w->rng, 3) == 0 ? KV_HASH_NO_EXPIRY : w->now + 1 + (int64_t)kv_rng_below(&w->rng, 100);
        if (deleting) status = kv_hash_edit_delete(&e, field[done], w->now);
        else status = kv_hash_edit_set_expiry(&e, field[done], times[done], w->now);
    }
    keep = keep && status != KV_ENOMEM;
    kv_hash_edit_end(&e, keep);
    for (size_t i = 0; keep && i < done; i++) {
        pair *old = model_find(&w->model, field[i]);
        if (old == NULL || old->expiry <= w->now) continue;
        if (deleting) model_remove(&w->model, old);
        else old->expiry = times[i];
    }
}

static void gone(void *ctx, kv_slice field) {
    world *w = ctx;
    pair *p = model_find(&w->model, field);
    CHECK(p != NULL && p->expiry <= w->now);
    model_remove(&w->model, p);
}

static void do_expire_due(world *w) {
    size_t due = kv_hash_expired_count(&w->v, w->now), budget = kv_rng_below(&w->rng, 6);
    CHECK(kv_hash_expire_due(&w->v, w->arena, w->now, budget, gone, w) == (due < budget ? due : budget));
}

/* The copy takes the original's place. */
static void do_copy(world *w) {
    kv_value copy = w->v;
    kv_arena *to = w->arenas[kv_rng_below(&w->rng, 2)];
    if (kv_hash_copy(&w->v, &copy, to) != KV_OK) return;
    size_t budget = 0;
    while (!kv_hash_free_some(&w->v, w->arena, &budget)) budget = 3;
    w->v = copy;
    w->arena = to;
}

static void do_rehome(world *w) {
    kv_arena *to = w->arenas[kv_rng_below(&w->rng, 2)];
    if (kv_hash_rehome(&w->v, w->arena, to) == KV_OK) w->arena = to;
}

static void random_run(uint64_t seed, unsigned names, bool faults, int steps) {
    world w = {.limits = {.hash_max_listpack_entries = 20, .hash_max_listpack_value = 64}, .now = 1000};
    kv_mem_init(&w.mem);
    for (int i = 0; i < 2; i++) CHECK((w.arenas[i] = kv_arena_create(&w.mem)) != NULL);
    kv_rng_seed(&w.rng, seed);
    w.arena = w.arenas[0];
    w.model.pairs = calloc(MAX_PAIRS, sizeof(pair));
    CHECK(w.model.pairs != NULL);
    CHECK(kv_hash_create(&w.v, w.arena) == KV_OK);
    for (int step = 0; step < steps; step++) {
        if (faults && kv_rng_below(&w.rng, 3) == 0) {
            w.mem.fail_forever = false;
            w.mem.fail_after = (int64_t)kv_rng_below(&w.rng, kv_rng_below(&w.rng, 3) == 0 ? 40 : 3);
            w.mem.fail_forever = kv_rng_below(&w.rng, 2) == 0;
        }
        uint64_t action = kv_rng_below(&w.rng, 100);
        if (action < 40) do_set(&w, names);
        else if (action < 46) do_set_many(&w, names);
        else if (action < 50) do_edit(&w, names);
        else if (action < 75) do_delete(&w, names);
        else if (action < 85 && w.v.enc == KV_ENC_HASHTABLE) do_expiry(&w, names);
        else if (action < 90) do_expire_due(&w);
        else if (action < 92) do_copy(&w);
        else if (action < 94) do_rehome(&w);
        else w.now += (int64_t)kv_rng_below(&w.rng, 20);
        w.mem.fail_after = -1;
        compare(&w);
        if (step % 16 == 0) scan_all(&w);
    }
    kv_hash_free(&w.v, w.arena);
    CHECK(kv_arena_used(w.arenas[0]) == 0 && kv_arena_used(w.arenas[1]) == 0);
    for (int i = 0; i < 2; i++) kv_arena_destroy(w.arenas[i]);
    free(w.model.pairs);
}

static void limits_and_adopting(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *a = kv_arena_create(&mem);
    kv_limits limits = {.hash_max_listpack_entries = 2, .hash_max_listpack_value = 4};
    kv_value v;
    kv_hash_item item;
    CHECK(kv_hash_create(&v, a) == KV_OK);
    CHECK(kv_hash_set(&v, a, &limits, KV_LIT("a"), KV_LIT("1234"), KV_HASH_NO_EXPIRY, 0, NULL) == KV_OK);
    CHECK(kv_hash_set(&v, a, &limits, KV_LIT("b"), KV_LIT(""), KV_HASH_NO_EXPIRY, 0, NULL) == KV_OK);
    CHECK(kv_hash_set(&v, a, &limits, KV_LIT("b"), KV_LIT("x"), KV_HASH_NO_EXPIRY, 0, NULL) == KV_OK);
    CHECK(v.enc == KV_ENC_LISTPACK && kv_hash_length(&v) == 2);
    CHECK(kv_hash_prepare(&v, a, &limits, 2, 4) == KV_OK && v.enc == KV_ENC_LISTPACK);
    CHECK(kv_hash_set(&v, a, &limits, KV_LIT("b"), KV_LIT("12345"), KV_HASH_NO_EXPIRY, 0, NULL) == KV_OK);
    CHECK(v.enc == KV_ENC_HASHTABLE && kv_hash_length(&v) == 2);
    CHECK(kv_hash_get(&v, KV_LIT("a"), 0, &item) && kv_slice_eq(item.value, KV_LIT("1234")));
    kv_hash_free(&v, a);
    static const char *const fine[] = {"a", "1", "b", "2"}, *const twice[] = {"7", "1", "7", "2"}, *const three[] = {"a", "1", "b",
                                                                                                                     "2", "c", "3"};
    struct {
        const char *const *items;
        size_t count;
        kv_status status;
        kv_enc enc;
    } cases[] = {
        {fine, 4, KV_OK, KV_ENC_LISTPACK}, {fine, 3, KV_ECORRUPT, 0},           {fine, 0, KV_ECORRUPT, 0},
        {twice, 4, KV_ECORRUPT, 0},        {three, 6, KV_OK, KV_ENC_HASHTABLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *lp = kv_lp_new(a);
        for (size_t n = 0; n < cases[i].count; n++) lp = kv_lp_append(a, lp, kv_slice_cstr(cases[i].items[n]));
        CHECK(kv_hash_adopt_listpack(&v, a, &limits, lp) == cases[i].status);
        if (cases[i].status == KV_OK) {
            CHECK(v.enc == cases[i].enc && kv_hash_check(&v));
            kv_hash_free(&v, a);
        } else {
            kv_lp_free(a, lp);
        }
    }
    CHECK(kv_arena_used(a) == 0);
    kv_arena_destroy(a);
}

static void big_values(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_arena *a = kv_arena_create(&mem);
    kv_limits limits = {.hash_max_listpack_entries = 2, .hash_max_listpack_value = 4};
    kv_value v;
    kv_hash_item item;
    static uint8_t bytes[100000];
    CHECK(kv_hash_create(&v, a) == KV_OK);
    for (size_t len = 0; len < sizeof bytes; len = len * 2 + 1) {
        kv_slice value = kv_slice_of(bytes, len);
        for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)(len + i);
        CHECK(kv_hash_set(&v, a, &limits, KV_LIT("f"), value, KV_HASH_NO_EXPIRY, 0, NULL) == KV_OK);
        CHECK(kv_hash_set(&v, a, &limits, value, value, (int64_t)len + 5, 0, NULL) == KV_OK);
        CHECK(kv_hash_get(&v, KV_LIT("f"), 0, &item) && kv_slice_eq(item.value, value) && kv_hash_check(&v));
        CHECK(kv_hash_get(&v, value, 0, &item) && kv_slice_eq(item.value, value) && item.expiry_ms == (int64_t)len + 5);
    }
    kv_hash_free(&v, a);
    CHECK(kv_arena_used(a) == 0);
    kv_arena_destroy(a);
}

int main(void) {
    limits_and_adopting();
    big_values();
    random_run(1, 16, false, 3000);  /* stays small for long */
    random_run(2, 300, false, 3000); /* becomes a table */
    for (uint64_t seed = 10; seed < 20; seed++) random_run(seed, seed % 2 == 0 ? 18 : 60, true, 800);
    printf("ok type_hash\n");
    return 0;
}
