/* DEBUG DIGEST and DIGEST-VALUE: one hash of the whole data set that does not depend on the order of tables, equal to the real server's for equal data.
 *
 *   xor(d, x):  d ^= SHA1(x)                order does not matter: members of sets, keys of a database
 *   mix(d, x):  d ^= SHA1(x); d = SHA1(d)   order matters: items of lists, a field and then its value
 *
 *   value:  mix(type as big-endian 32 bits), then the elements by type, then xor("!!expire!!") for a key that expires
 *   key:    mix(name), value                database: mix(number as big-endian 32 bits) into the total, xor of every key's digest */
#include "commands/debug.h"

#include "base/sha1.h"
#include "types/hash.h"
#include "types/list.h"
#include "types/set.h"
#include "types/zset.h"

typedef struct digest {
    uint8_t bytes[KV_SHA1_BYTES];
} digest;

static void xor_in(digest *d, kv_slice bytes) {
    uint8_t hash[KV_SHA1_BYTES];
    kv_sha1_of(bytes, hash);
    for (int i = 0; i < KV_SHA1_BYTES; i++) d->bytes[i] ^= hash[i];
}

static void mix_in(digest *d, kv_slice bytes) {
    xor_in(d, bytes);
    digest mixed;
    kv_sha1_of(kv_slice_of(d->bytes, KV_SHA1_BYTES), mixed.bytes);
    *d = mixed;
}

static void mix_number(digest *d, unsigned number) {
    uint8_t bytes[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    mix_in(d, kv_slice_of(bytes, sizeof bytes));
}

static void xor_digest(digest *d, const digest *other) { xor_in(d, kv_slice_of(other->bytes, KV_SHA1_BYTES)); }

static bool mix_list(digest *d, const kv_value *v) {
    kv_list_iter it;
    kv_slice item;
    kv_list_iter_init(&it, v, 0, false);
    while (kv_list_next(&it, &item)) mix_in(d, item);
    return kv_list_iter_end(&it) == KV_OK;
}

static void xor_set(digest *d, const kv_value *v) {
    kv_set_iter it;
    kv_slice member;
    kv_set_iter_init(&it, v);
    while (kv_set_next(&it, &member)) xor_in(d, member);
}

static void xor_zset(digest *d, const kv_value *v) {
    kv_zset_iter it;
    kv_zset_item item;
    kv_zset_iter_at(&it, v, 0, false);
    while (kv_zset_iter_next(&it, &item)) {
        digest element = {{0}};
        char score[KV_DOUBLE_MAX];
        mix_in(&element, item.member);
        mix_in(&element, kv_slice_of(score, kv_format_double(score, item.score)));
        xor_digest(d, &element);
    }
}

static void xor_hash(digest *d, const kv_value *v) {
    kv_hash_iter it;
    kv_hash_item item;
    kv_hash_iter_init(&it, v, KV_HASH_ALL);
    while (kv_hash_iter_next(&it, &item)) {
        digest element = {{0}};
        mix_in(&element, item.field);
        mix_in(&element, item.value);
        xor_digest(d, &element);
    }
}

/* False: out of memory. */
static bool add_value(digest *d, const kv_value *v) {
    char scratch[KV_NUM_MAX];
    mix_number(d, v->type);
    switch ((kv_type)v->type) {
    case KV_STRING: mix_in(d, kv_entry_string(v, scratch)); break;
    case KV_LIST:
        if (!mix_list(d, v)) return false;
        break;
    case KV_SET: xor_set(d, v); break;
    case KV_ZSET: xor_zset(d, v); break;
    case KV_HASH: xor_hash(d, v); break;
    case KV_STREAM:
    case KV_TYPE_COUNT: break;
    }
    if ((v->flags & KV_VALUE_EXPIRES) != 0 && kv_entry_expire_ms(v) >= 0) xor_in(d, KV_LIT("!!expire!!"));
    return true;
}

typedef struct digest_sum {
    digest total;
    bool failed;
} digest_sum;

static bool add_key(void *arg, kv_value *v) {
    digest one = {{0}};
    digest_sum *sum = arg;
    mix_in(&one, kv_entry_key(v));
    sum->failed = !add_value(&one, v);
    if (sum->failed) return false;
    xor_digest(&sum->total, &one);
    return true;
}

static void show(kv_reply *reply, const digest *d) {
    char text[2 * KV_SHA1_BYTES + 1];
    kv_hex(d->bytes, KV_SHA1_BYTES, text);
    text[2 * KV_SHA1_BYTES] = 0;
    kv_reply_status(reply, text);
}

void kv_debug_digest(kv_ctx *c) {
    const kv_store *store = &c->engine->store;
    digest_sum sum = {0};
    for (unsigned d = 0; d < store->db_count; d++) {
        if (kv_store_count(store, d) == 0) continue;
        mix_number(&sum.total, d);
        for (unsigned s = 0; s < store->shard_count && !sum.failed; s++) {
            const kv_keydb *db = kv_shard_db(&store->shards[s], d);
            if (db != NULL) kv_keydb_each(db, add_key, &sum);
        }
    }
    if (sum.failed) kv_ctx_out_of_memory(c);
    else show(c->reply, &sum.total);
}

void kv_debug_digest_value(kv_ctx *c) {
    kv_mark mark = kv_reply_defer(c->reply);
    kv_reply_array(c->reply, (size_t)(c->argc - 2));
    for (int i = 2; i < c->argc; i++) {
        kv_key key = kv_ctx_key_named(c, c->argv[i]);
        const kv_value *v = kv_ctx_find(c, &key, KV_FIND_PEEK);
        digest d = {{0}};
        if (v != NULL && !add_value(&d, v)) {
            kv_reply_rewind(c->reply, mark);
            kv_ctx_out_of_memory(c);
            return;
        }
        show(c->reply, &d);
    }
}
