/* DEBUG OBJECT: one line about a value, in the form that tests of clients read. serializedlength is what the value takes in a dump without compression. */
#include <stdio.h>

#include "commands/debug.h"
#include "engine/errors.h"
#include "ds/intset.h"
#include "ds/listpack.h"
#include "ds/quicklist.h"
#include "types/hash.h"
#include "types/list.h"
#include "types/set.h"
#include "types/zset.h"

static size_t length_bytes(size_t n) { return n < 64 ? 1 : n < 16384 ? 2 : n <= UINT32_MAX ? 5 : 9; }

/* A string in a dump: its length and bytes, or a marker and 1, 2 or 4 bytes when it is a small integer. */
static size_t string_bytes(kv_slice text) {
    int64_t number;
    if (text.len <= 11 && kv_parse_i64(text, &number)) {
        if (number >= INT8_MIN && number <= INT8_MAX) return 2;
        if (number >= INT16_MIN && number <= INT16_MAX) return 3;
        if (number >= INT32_MIN && number <= INT32_MAX) return 5;
    }
    return length_bytes(text.len) + text.len;
}

static size_t block_bytes(size_t bytes) { return length_bytes(bytes) + bytes; }

static size_t list_bytes(const kv_value *v, size_t *nodes, size_t *bytes) {
    const void *state = NULL;
    kv_list_node node;
    size_t sum = 0;
    *nodes = 0;
    *bytes = 0;
    while (kv_list_next_node(v, &state, &node)) {
        sum += 1 + block_bytes(node.raw_bytes);
        *bytes += node.raw_bytes;
        ++*nodes;
    }
    return sum + length_bytes(*nodes);
}

static size_t set_bytes(const kv_value *v) {
    kv_set_iter it;
    kv_slice member;
    size_t sum = length_bytes(kv_set_length(v));
    kv_set_iter_init(&it, v);
    while (kv_set_next(&it, &member)) sum += string_bytes(member);
    return sum;
}

static size_t zset_bytes(const kv_value *v) {
    kv_zset_iter it;
    kv_zset_item item;
    size_t sum = length_bytes(kv_zset_length(v));
    kv_zset_iter_at(&it, v, 0, false);
    while (kv_zset_iter_next(&it, &item)) sum += string_bytes(item.member) + 8;
    return sum;
}

static size_t hash_bytes(const kv_value *v) {
    kv_hash_iter it;
    kv_hash_item item;
    size_t sum = length_bytes(kv_hash_length(v));
    kv_hash_iter_init(&it, v, KV_HASH_ALL);
    size_t expiry = kv_hash_volatile_count(v) > 0 ? 8 : 0; /* each field's, once one has any */
    while (kv_hash_iter_next(&it, &item)) sum += string_bytes(item.field) + string_bytes(item.value) + expiry;
    return sum;
}

static size_t serialized_bytes(const kv_value *v, size_t *nodes, size_t *node_bytes) {
    char scratch[KV_NUM_MAX];
    if (v->type == KV_STRING) return string_bytes(kv_entry_string(v, scratch));
    if (v->type == KV_LIST) return list_bytes(v, nodes, node_bytes);
    if (v->enc == KV_ENC_LISTPACK) return block_bytes(kv_lp_bytes(v->u.ptr));
    if (v->enc == KV_ENC_INTSET) return block_bytes(kv_intset_bytes(v->u.ptr));
    return v->type == KV_SET ? set_bytes(v) : v->type == KV_ZSET ? zset_bytes(v) : hash_bytes(v);
}

size_t kv_debug_length(const kv_value *v) {
    switch ((kv_type)v->type) {
    case KV_LIST: return kv_list_length(v);
    case KV_SET: return kv_set_length(v);
    case KV_ZSET: return kv_zset_length(v);
    case KV_HASH: return kv_hash_length(v);
    default: return 1;
    }
}

void kv_debug_object(kv_ctx *c, kv_slice name, bool fast) {
    static const char *const names[KV_ENC_COUNT] = {"int",       "embstr",    "raw",      "listpack", "intset",
                                                    "quicklist", "hashtable", "skiplist", "stream"};
    kv_key key = kv_ctx_key_named(c, name);
    const kv_value *v = kv_ctx_find(c, &key, KV_FIND_PEEK);
    if (v == NULL) {
        kv_reply_error(c->reply, KV_ERR_NO_SUCH_KEY);
        return;
    }
    int64_t now = kv_ctx_now_ms(c);
    char text[512], length[64] = "", list[160] = "";
    size_t nodes = 0, bytes = 0;
    if (!fast) snprintf(length, sizeof length, " serializedlength:%zu", serialized_bytes(v, &nodes, &bytes));
    if (v->enc == KV_ENC_QUICKLIST) {
        const kv_quicklist *quick = v->u.ptr;
        if (fast) (void)list_bytes(v, &nodes, &bytes);
        snprintf(list, sizeof list, " ql_nodes:%zu ql_avg_node:%.2f ql_listpack_max:%d ql_compressed:%d ql_uncompressed_size:%zu", nodes,
                 nodes == 0 ? 0.0 : (double)kv_list_length(v) / (double)nodes, quick->fill, quick->depth > 0, bytes);
    }
    kv_access_config access = atomic_load_explicit(&c->engine->store.access, memory_order_relaxed);
    int64_t idle = kv_policy_is_lfu(access.policy) ? 0 : kv_access_idle_ms(v, now) / 1000;
    snprintf(text, sizeof text, "Value at:%p refcount:1 encoding:%s%s lru:%u lru_seconds_idle:%lld%s", (const void *)v, names[v->enc],
             length, (unsigned)(v->access & 0xffffff), (long long)idle, list);
    kv_reply_status(c->reply, text);
}
