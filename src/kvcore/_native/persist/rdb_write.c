/* Small forms are blocks of bytes in the very format of the file, and one string there. Elements of big ones follow each other in no particular order,
 * but for lists, whose nodes are written as they are, and sorted sets, which go from the greatest down: a reader that inserts at the front is
 * quickest with that. */
#include "persist/rdb_write.h"

#include "persist/rdb.h"
#include "persist/rdb_out.h"
#include "store/keyspace.h"
#include "types/list.h"

static bool has_expiries(const kv_value *v) { return v->type == KV_HASH && v->enc == KV_ENC_HASHTABLE && kv_hash_volatile_count(v) > 0; }

uint8_t kv_rdb_type_of(const kv_value *v) {
    switch ((kv_type)v->type) {
    case KV_STRING: return KV_RDB_STRING;
    case KV_LIST: return KV_RDB_LIST_QUICKLIST_2;
    case KV_SET: return v->enc == KV_ENC_INTSET ? KV_RDB_SET_INTSET : v->enc == KV_ENC_LISTPACK ? KV_RDB_SET_LISTPACK : KV_RDB_SET;
    case KV_ZSET: return v->enc == KV_ENC_LISTPACK ? KV_RDB_ZSET_LISTPACK : KV_RDB_ZSET_2;
    case KV_HASH: return v->enc == KV_ENC_LISTPACK ? KV_RDB_HASH_LISTPACK : has_expiries(v) ? KV_RDB_HASH_TTL : KV_RDB_HASH;
    case KV_STREAM:
    case KV_TYPE_COUNT: break;
    }
    return KV_RDB_TYPES;
}

int kv_rdb_version_of(const kv_value *v) { return has_expiries(v) ? KV_RDB_VALKEY : KV_RDB_COMMON; }

static void put_text(const kv_value *v, bool compress, kv_buf *out) {
    if (v->enc == KV_ENC_INT) {
        kv_rdb_put_int_string(out, v->u.num);
        return;
    }
    char scratch[KV_NUM_MAX];
    kv_rdb_put_string(out, kv_entry_string(v, scratch), compress);
}

/* ---- elements: each writes one, and says false when there is none left ---- */

static bool put_node(kv_rdb_walk *walk, kv_buf *out) {
    kv_list_node node;
    if (!kv_list_next_node(walk->v, &walk->at.node, &node)) return false;
    kv_rdb_put_length(out, node.plain ? KV_RDB_PLAIN : KV_RDB_PACKED);
    if (node.compressed) kv_rdb_put_packed(out, node.bytes, node.raw_bytes);
    else kv_rdb_put_blob(out, node.bytes, walk->compress);
    return true;
}

static bool put_member(kv_rdb_walk *walk, kv_buf *out) {
    kv_slice member;
    if (!kv_set_next(&walk->at.set, &member)) return false;
    kv_rdb_put_string(out, member, walk->compress);
    return true;
}

static bool put_scored(kv_rdb_walk *walk, kv_buf *out) {
    kv_zset_item item;
    if (!kv_zset_iter_next(&walk->at.zset, &item)) return false;
    kv_rdb_put_string(out, item.member, walk->compress);
    kv_rdb_put_double(out, item.score);
    return true;
}

static bool put_field(kv_rdb_walk *walk, kv_buf *out) {
    kv_hash_item item;
    if (!kv_hash_iter_next(&walk->at.hash, &item)) return false;
    kv_rdb_put_string(out, item.field, walk->compress);
    kv_rdb_put_string(out, item.value, walk->compress);
    if (has_expiries(walk->v)) kv_rdb_put_u64(out, item.expiry_ms == KV_HASH_NO_EXPIRY ? UINT64_MAX : (uint64_t)item.expiry_ms);
    return true;
}

static size_t list_nodes(const kv_value *v) { return v->enc == KV_ENC_QUICKLIST ? ((const kv_quicklist *)v->u.ptr)->nodes : 1; }

void kv_rdb_write_begin(kv_rdb_walk *walk, const kv_value *v, bool compress, kv_buf *out) {
    walk->v = v;
    walk->compress = compress;
    if (v->type == KV_STRING) {
        put_text(v, compress, out);
    } else if (v->type == KV_LIST) {
        kv_rdb_put_length(out, list_nodes(v));
        walk->at.node = NULL;
    } else if (v->enc == KV_ENC_LISTPACK) {
        kv_rdb_put_blob(out, kv_slice_of(v->u.ptr, kv_lp_bytes(v->u.ptr)), compress);
    } else if (v->enc == KV_ENC_INTSET) {
        kv_rdb_put_blob(out, kv_slice_of(v->u.ptr, kv_intset_bytes(v->u.ptr)), compress);
    } else if (v->type == KV_SET) {
        kv_rdb_put_length(out, kv_set_length(v));
        kv_set_iter_init(&walk->at.set, v);
    } else if (v->type == KV_HASH) {
        kv_rdb_put_length(out, kv_hash_length(v));
        kv_hash_iter_init(&walk->at.hash, v, KV_HASH_ALL);
    } else {
        size_t length = kv_zset_length(v);
        kv_rdb_put_length(out, length);
        kv_zset_iter_at(&walk->at.zset, v, length - 1, true);
    }
}

bool kv_rdb_write_more(kv_rdb_walk *walk, size_t bytes, kv_buf *out) {
    const kv_value *v = walk->v;
    bool (*put)(kv_rdb_walk *walk, kv_buf *out) = v->type == KV_LIST                                                             ? put_node
                                                  : v->type == KV_STRING || v->enc == KV_ENC_LISTPACK || v->enc == KV_ENC_INTSET ? NULL
                                                  : v->type == KV_SET  ? put_member
                                                  : v->type == KV_HASH ? put_field
                                                                       : put_scored;
    if (put == NULL) return false;
    for (size_t from = out->len; out->len - from < bytes && !out->failed;)
        if (!put(walk, out)) return false;
    return !out->failed;
}

void kv_rdb_write_value(const kv_value *v, bool compress, kv_buf *out) {
    kv_rdb_walk walk;
    kv_rdb_write_begin(&walk, v, compress, out);
    while (kv_rdb_write_more(&walk, SIZE_MAX, out)) continue;
}
