/* sources: persist/rdb*.c persist/load*.c persist/source.c persist/payload.c persist/crc64.c base/*.c ds/*.c types/*.c store/*.c */
/* RDB values: every type and encoding there and back, in one piece and by windows that hold a few bytes at a time; and payloads cut at each byte, with
 * each bit flipped, and with bytes changed at random, under a checksum that is right: they give a valid value or a refusal, and leave nothing behind. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "check.h"
#include "persist/crc64.h"
#include "persist/payload.h"
#include "persist/rdb.h"
#include "persist/rdb_read.h"
#include "persist/rdb_write.h"
#include "store/keyspace.h"
#include "store/shard.h"
#include "store/value_ops.h"
#include "types/list.h"

static const kv_limits limits = {.hash_max_listpack_entries = 16,
                                 .hash_max_listpack_value = 20,
                                 .set_max_intset_entries = 16,
                                 .set_max_listpack_entries = 16,
                                 .set_max_listpack_value = 20,
                                 .zset_max_listpack_entries = 16,
                                 .zset_max_listpack_value = 20,
                                 .list_max_listpack_size = -1};

typedef struct fixture {
    kv_mem mem;
    kv_store store;
    kv_shard *shard;
    kv_arena *arena;
    kv_rng rng;
} fixture;

static void begin(fixture *f, uint64_t seed) {
    kv_mem_init(&f->mem);
    CHECK(kv_store_init(&f->store, &f->mem, 1, 1, (kv_hash_seed){seed, 7}) == KV_OK);
    f->shard = &f->store.shards[0];
    kv_mutex_lock(&f->shard->lock);
    CHECK(kv_shard_db_open(f->shard, 0) != NULL);
    f->arena = f->shard->arena;
    kv_rng_seed(&f->rng, seed);
}

static void end(fixture *f) {
    kv_mutex_unlock(&f->shard->lock);
    kv_store_deinit(&f->store);
}

static kv_slice word(fixture *f, uint8_t room[300]) {
    size_t len = (size_t)kv_rng_below(&f->rng, kv_rng_below(&f->rng, 4) == 0 ? 300 : 12);
    uint64_t kind = kv_rng_below(&f->rng, 3);
    for (size_t i = 0; i < len; i++) room[i] = kind == 0 ? (uint8_t)kv_rng_below(&f->rng, 256) : kind == 1 ? '7' : (uint8_t)("abc"[i % 3]);
    return kv_slice_of(room, len);
}

static void add(fixture *f, kv_value *v, bool numbers) {
    uint8_t first[300], second[300];
    kv_slice a = word(f, first), b = word(f, second);
    char text[KV_NUM_MAX];
    if (numbers) a = kv_slice_of(text, kv_format_i64(text, (int64_t)kv_rng_next(&f->rng) >> kv_rng_below(&f->rng, 64)));
    kv_zadd_outcome outcome;
    if (v->type == KV_LIST) CHECK(kv_list_push(v, f->arena, &limits, KV_LIST_TAIL, &a, 1) == KV_OK);
    if (v->type == KV_SET) CHECK(kv_set_add(v, f->arena, &limits, a, NULL) == KV_OK);
    if (v->type == KV_ZSET) CHECK(kv_zset_add(v, f->arena, &limits, a, (double)kv_rng_below(&f->rng, 9) / 3, 0, &outcome, NULL) == KV_OK);
    int64_t expiry = kv_rng_below(&f->rng, 40) == 0 && numbers ? 1 + (int64_t)kv_rng_below(&f->rng, 1000) : KV_HASH_NO_EXPIRY;
    if (v->type == KV_HASH) CHECK(kv_hash_set(v, f->arena, &limits, a, b, expiry, KV_HASH_ALL, NULL) == KV_OK);
}

static kv_value make(fixture *f, kv_type type) {
    kv_value v = {0};
    kv_limits small = limits;
    bool numbers = kv_rng_below(&f->rng, 2) == 0;
    if (type == KV_LIST) CHECK(kv_list_create(&v, f->arena) == KV_OK);
    if (type == KV_SET) CHECK(kv_set_create_empty(&v, f->arena) == KV_OK);
    if (type == KV_ZSET) CHECK(kv_zset_create(&v, f->arena, &small, 0, 0) == KV_OK);
    if (type == KV_HASH) CHECK(kv_hash_create(&v, f->arena) == KV_OK);
    v.type = type & 15;
    size_t count = 1 + (size_t)kv_rng_below(&f->rng, kv_rng_below(&f->rng, 2) == 0 ? 10 : 200);
    for (size_t i = 0; i < count; i++) add(f, &v, numbers);
    return v;
}

/* ---- comparing: each element of one is in the other ---- */

static void same_list(const kv_value *a, const kv_value *b) {
    kv_list_iter x, y;
    kv_slice s, t;
    kv_list_iter_init(&x, a, 0, false);
    kv_list_iter_init(&y, b, 0, false);
    while (kv_list_next(&x, &s)) CHECK(kv_list_next(&y, &t) && kv_slice_eq(s, t));
    CHECK(!kv_list_next(&y, &t));
    CHECK(kv_list_iter_end(&x) == KV_OK && kv_list_iter_end(&y) == KV_OK);
}

static void same(const kv_value *a, const kv_value *b) {
    /* A hash that once had field expiries is a table for good, but nothing in its dump says so. */
    CHECK(a->type == b->type && (a->enc == b->enc || a->type == KV_HASH) && kv_value_length(a) == kv_value_length(b) && kv_value_check(b));
    kv_set_iter set;
    kv_slice member;
    kv_hash_iter hash;
    kv_hash_item item, other;
    kv_zset_iter zset;
    kv_zset_item scored;
    double score;
    if (a->type == KV_LIST) same_list(a, b);
    if (a->type == KV_SET)
        for (kv_set_iter_init(&set, a); kv_set_next(&set, &member);) CHECK(kv_set_has(b, member));
    if (a->type == KV_ZSET)
        for (kv_zset_iter_at(&zset, a, 0, false); kv_zset_iter_next(&zset, &scored);)
            CHECK(kv_zset_score(b, scored.member, &score) && score == scored.score);
    if (a->type == KV_HASH)
        for (kv_hash_iter_init(&hash, a, KV_HASH_ALL); kv_hash_iter_next(&hash, &item);)
            CHECK(kv_hash_get(b, item.field, KV_HASH_ALL, &other) && kv_slice_eq(item.value, other.value) &&
                  item.expiry_ms == other.expiry_ms);
}

/* ---- a source that shows a few bytes at a time, each time at another place ---- */

typedef struct slow {
    kv_slice all;
    size_t from; /* of the window */
    uint8_t *window;
    kv_rng rng;
} slow;

static bool slow_more(kv_rdb_in *in, size_t need) {
    slow *s = in->arg;
    size_t at = in->at == NULL ? s->from : s->from + (size_t)(in->at - s->window);
    size_t bytes = need + (size_t)kv_rng_below(&s->rng, 8);
    if (bytes > s->all.len - at) bytes = s->all.len - at;
    uint8_t *fresh = malloc(bytes + 1);
    CHECK(fresh != NULL);
    memcpy(fresh, s->all.ptr + at, bytes);
    free(s->window);
    s->window = fresh;
    s->from = at;
    in->at = fresh;
    in->end = fresh + bytes;
    in->beyond = s->all.len - at - bytes;
    return true;
}

static void by_windows(fixture *f, kv_slice payload, const kv_value *v) {
    slow s = {.all = payload, .window = NULL};
    kv_rng_seed(&s.rng, payload.len);
    kv_rdb_in in = {.beyond = payload.len, .more = slow_more, .arg = &s, .mem = &f->mem};
    kv_rdb_reader reader;
    kv_rdb_object object;
    uint8_t type;
    kv_rdb_reader_init(&reader, &in, &limits, kv_rdb_version_of(v));
    CHECK(kv_rdb_byte(&in, &type) && kv_rdb_read_value(&reader, type, f->arena, &object));
    CHECK(kv_rdb_left(&in) == 10);
    same(v, &object.value);
    kv_rdb_object_free(&object, f->arena);
    kv_rdb_reader_deinit(&reader);
    free(s.window);
    s.window = NULL;
    s.from = 0;
    in = (kv_rdb_in){.beyond = payload.len, .more = slow_more, .arg = &s, .mem = &f->mem};
    CHECK(kv_rdb_byte(&in, &type) && kv_rdb_skip_value(&in, type, kv_rdb_version_of(v)) && kv_rdb_left(&in) == 10);
    free(s.window);
}

/* ---- payloads that are not what they were ---- */

static void seal(uint8_t *bytes, size_t len) {
    uint64_t sum = kv_crc64(0, bytes, len - 8);
    memcpy(bytes + len - 8, &sum, 8);
}

/* A value, valid through and through, or nothing; of exactly as many bytes as there are. */
static bool try_payload(fixture *f, const uint8_t *bytes, size_t len) {
    uint8_t *exact = malloc(len);
    CHECK(exact != NULL);
    memcpy(exact, bytes, len);
    kv_slice payload = kv_slice_of(exact, len);
    bool good = false;
    if (kv_payload_codec.sound(payload)) {
        kv_restored restored;
        const char *problem = NULL;
        size_t used = kv_arena_used(f->arena);
        kv_status status = kv_payload_codec.restore(payload, &limits, f->arena, &f->mem, &restored, &problem);
        good = status == KV_OK;
        CHECK(good || problem != NULL);
        if (good && !restored.is_text) CHECK(kv_value_check(&restored.value) && kv_value_length(&restored.value) > 0);
        if (good) kv_payload_codec.discard(&restored, f->arena);
        kv_buf_deinit(&restored.room);
        CHECK(kv_arena_used(f->arena) == used);
    }
    free(exact);
    return good;
}

static void spoil(fixture *f, kv_slice payload) {
    size_t len = payload.len;
    uint8_t *bytes = malloc(len);
    CHECK(bytes != NULL);
    for (size_t cut = 0; cut < len; cut += 1 + cut / 64) {
        memcpy(bytes, payload.ptr, cut);
        CHECK(!try_payload(f, bytes, cut)); /* the checksum catches it, */
        if (cut < 11) continue;
        memcpy(bytes + cut - 10, payload.ptr + len - 10, 2);
        seal(bytes, cut);
        CHECK(!try_payload(f, bytes, cut)); /* and without it the reader */
    }
    memcpy(bytes, payload.ptr, len);
    for (size_t bit = 0; bit < len * 8; bit += 1 + len / 200) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(!try_payload(f, bytes, len));
        seal(bytes, len);
        (void)try_payload(f, bytes, len);
        memcpy(bytes, payload.ptr, len);
    }
    for (int i = 0; i < 100; i++) {
        for (uint64_t n = 1 + kv_rng_below(&f->rng, 4); n > 0; n--)
            bytes[kv_rng_below(&f->rng, len - 8)] = (uint8_t)kv_rng_below(&f->rng, 256);
        seal(bytes, len);
        (void)try_payload(f, bytes, len);
        memcpy(bytes, payload.ptr, len);
    }
    free(bytes);
}

static void containers(uint64_t seed) {
    fixture f;
    begin(&f, seed);
    for (int type = KV_LIST; type <= KV_HASH; type++) {
        size_t used = kv_arena_used(f.arena);
        kv_value v = make(&f, (kv_type)type);
        kv_buf payload;
        kv_buf_init(&payload, &f.mem);
        kv_payload_codec.dump(&v, seed % 2 == 0, &payload);
        CHECK(!payload.failed && try_payload(&f, payload.ptr, payload.len));
        by_windows(&f, kv_buf_slice(&payload), &v);
        spoil(&f, kv_buf_slice(&payload));
        kv_buf_deinit(&payload);
        kv_value_free(&v, f.arena);
        CHECK(kv_arena_used(f.arena) == used);
    }
    end(&f);
}

static void texts(void) {
    static const char *const samples[] = {"",
                                          "0",
                                          "-1",
                                          "127",
                                          "128",
                                          "-129",
                                          "32767",
                                          "-32769",
                                          "2147483647",
                                          "-2147483648",
                                          "2147483648",
                                          "007",
                                          "+1",
                                          "-0",
                                          "1.5",
                                          "hello",
                                          "aaaaaaaaaaaaaaaaaaaa",
                                          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                          "no repetition in this one, 0123456789",
                                          "9223372036854775807"};
    fixture f;
    begin(&f, 3);
    kv_keydb *db = kv_shard_db_open(f.shard, 0);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        kv_slice text = kv_slice_cstr(samples[i]), key = KV_LIT("key");
        uint64_t hash = kv_store_hash(&f.store, key);
        kv_value *v;
        CHECK(kv_keydb_set_string(db, hash, key, kv_keydb_find(db, hash, key), text, KV_EXPIRE_CLEAR, 0, &v) == KV_OK);
        kv_buf payload;
        kv_buf_init(&payload, &f.mem);
        kv_payload_codec.dump(v, true, &payload);
        kv_restored restored;
        const char *problem = NULL;
        CHECK(kv_payload_codec.sound(kv_buf_slice(&payload)));
        CHECK(kv_payload_codec.restore(kv_buf_slice(&payload), &limits, f.arena, &f.mem, &restored, &problem) == KV_OK);
        CHECK(restored.is_text && kv_slice_eq(restored.text, text));
        kv_buf_deinit(&restored.room);
        spoil(&f, kv_buf_slice(&payload));
        kv_buf_deinit(&payload);
    }
    end(&f);
}

/* Forms that nobody writes any more, by hand. */
static void expect(fixture *f, const char *body, size_t len, int version, kv_type type, size_t length) {
    uint8_t bytes[256];
    memcpy(bytes, body, len);
    bytes[len] = (uint8_t)version;
    bytes[len + 1] = 0;
    seal(bytes, len + 10);
    kv_restored restored;
    const char *problem = NULL;
    kv_status status = kv_payload_codec.restore(kv_slice_of(bytes, len + 10), &limits, f->arena, &f->mem, &restored, &problem);
    if (status != KV_OK) fprintf(stderr, "%s\n", problem);
    CHECK(status == KV_OK && restored.value.type == type && kv_value_length(&restored.value) == length && kv_value_check(&restored.value));
    kv_payload_codec.discard(&restored, f->arena);
    kv_buf_deinit(&restored.room);
    spoil(f, kv_slice_of(bytes, len + 10));
}
#define EXPECT(f, body, version, type, length) expect(f, body, sizeof(body) - 1, version, type, length)

#define ZIPLIST                         \
    "\x1a\0\0\0\x13\0\0\0\x04\0\0\x01"  \
    "a\x03\xf2\x02\xc0\x39\x30\x04\x04" \
    "beta\xff"
static void old_forms(void) {
    fixture f;
    begin(&f, 4);
    EXPECT(&f, "\x0a\x1a" ZIPLIST, 6, KV_LIST, 4);
    EXPECT(&f, "\x0d\x1a" ZIPLIST, 6, KV_HASH, 2);
    EXPECT(&f, "\x0e\x02\x1a" ZIPLIST "\x1a" ZIPLIST, 7, KV_LIST, 8);
    EXPECT(&f,
           "\x0c\x12\x12\0\0\0\x0d\0\0\0\x02\0\0\x01m\x03\x02"
           "17\xff",
           6, KV_ZSET, 1);
    EXPECT(&f,
           "\x09\x0e\x02\x01"
           "a\x02\0xy\x01"
           "b\x01\x01z.\xff",
           2, KV_HASH, 2);
    EXPECT(&f, "\x01\x02\x01x\xc0\x07", 2, KV_LIST, 2);
    EXPECT(&f,
           "\x03\x03\x01"
           "a\x03"
           "1.5\x01"
           "b\xfe\x01"
           "c\xff",
           2, KV_ZSET, 3);
    end(&f);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 12; seed++) containers(seed);
    texts();
    old_forms();
    return 0;
}
