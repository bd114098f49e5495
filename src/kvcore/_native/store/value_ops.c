/* One switch a question. Embedded strings and integers own nothing beside their entry. */
#include "store/value_ops.h"

#include "types/hash.h"
#include "types/list.h"
#include "types/set.h"
#include "types/string.h"
#include "types/zset.h"

static bool owns_block(const kv_value *v) { return v->type != KV_STRING || v->enc == KV_ENC_RAW; }

size_t kv_value_length(const kv_value *v) {
    switch ((kv_type)v->type) {
    case KV_LIST: return kv_list_length(v);
    case KV_SET: return kv_set_length(v);
    case KV_ZSET: return kv_zset_length(v);
    case KV_HASH: return kv_hash_length(v);
    default: return 1;
    }
}

void kv_value_free(kv_value *v, kv_arena *arena) {
    if (!owns_block(v)) return;
    switch ((kv_type)v->type) {
    case KV_STRING: kv_str_free(arena, v->u.ptr); break;
    case KV_LIST: kv_list_free(v, arena); break;
    case KV_SET: kv_set_free(v, arena); break;
    case KV_ZSET: kv_zset_free(v, arena); break;
    case KV_HASH: kv_hash_free(v, arena); break;
    default: break;
    }
}

bool kv_value_free_some(kv_value *v, kv_arena *arena, size_t *budget) {
    switch ((kv_type)v->type) {
    case KV_LIST: return kv_list_free_some(v, arena, budget);
    case KV_SET: return kv_set_free_some(v, arena, budget);
    case KV_ZSET: return kv_zset_free_some(v, arena, budget);
    case KV_HASH: return kv_hash_free_some(v, arena, budget);
    default: kv_value_free(v, arena); return true;
    }
}

kv_status kv_value_copy(const kv_value *src, kv_value *dst, kv_arena *arena) {
    kv_status status = KV_EINVAL;
    kv_value made = *src;
    switch ((kv_type)src->type) {
    case KV_STRING:
        if (src->enc == KV_ENC_INT) {
            status = KV_OK;
        } else if (src->enc == KV_ENC_RAW) {
            made.u.ptr = kv_str_new(arena, kv_str_slice(src->u.ptr), 0);
            status = made.u.ptr == NULL ? KV_ENOMEM : KV_OK;
        }
        break;
    case KV_LIST: status = kv_list_copy(src, &made, arena); break;
    case KV_SET: status = kv_set_copy(src, &made, arena); break;
    case KV_ZSET: status = kv_zset_copy(src, &made, arena); break;
    case KV_HASH: status = kv_hash_copy(src, &made, arena); break;
    default: break;
    }
    if (status != KV_OK) return status;
    dst->type = src->type;
    dst->enc = made.enc;
    dst->u = made.u;
    return KV_OK;
}

static kv_status rehome_string(kv_value *v, kv_arena *from, kv_arena *to) {
    if (v->enc != KV_ENC_RAW) return KV_OK;
    kv_str *s = v->u.ptr;
    if (kv_arena_transfer(from, to, s, kv_str_block(s))) return KV_OK;
    kv_str *copy = kv_str_new(to, kv_str_slice(s), 0);
    if (copy == NULL) return KV_ENOMEM;
    kv_str_free(from, s);
    v->u.ptr = copy;
    return KV_OK;
}

kv_status kv_value_rehome(kv_value *v, kv_arena *from, kv_arena *to) {
    if (from == to) return KV_OK;
    switch ((kv_type)v->type) {
    case KV_STRING: return rehome_string(v, from, to);
    case KV_LIST: return kv_list_rehome(v, from, to);
    case KV_SET: return kv_set_rehome(v, from, to);
    case KV_ZSET: return kv_zset_rehome(v, from, to);
    case KV_HASH: return kv_hash_rehome(v, from, to);
    default: return KV_EINVAL;
    }
}

size_t kv_value_container_bytes(const kv_value *v, size_t samples) {
    if (!owns_block(v)) return 0;
    switch ((kv_type)v->type) {
    case KV_STRING: return kv_arena_good_size(kv_str_block(v->u.ptr));
    case KV_LIST: return kv_list_memory(v, samples);
    case KV_SET: return kv_set_memory(v, samples);
    case KV_ZSET: return kv_zset_memory(v, samples);
    case KV_HASH: return kv_hash_memory(v, samples);
    default: return 0;
    }
}

bool kv_value_check(const kv_value *v) {
    if ((v->flags & KV_VALUE_EMBEDDED) != 0 && (v->type != KV_STRING || v->enc != KV_ENC_EMBSTR)) return false;
    switch ((kv_type)v->type) {
    case KV_STRING:
        if (v->enc == KV_ENC_EMBSTR) return (v->flags & KV_VALUE_EMBEDDED) != 0;
        if (v->enc == KV_ENC_INT) return true;
        if (v->enc != KV_ENC_RAW) return false;
        return ((const kv_str *)v->u.ptr)->len <= ((const kv_str *)v->u.ptr)->cap;
    case KV_LIST: return kv_list_check(v);
    case KV_SET: return kv_set_check(v);
    case KV_ZSET: return kv_zset_check(v);
    case KV_HASH: return kv_hash_check(v);
    default: return false;
    }
}

int64_t kv_value_next_field_expiry(const kv_value *v) {
    return v->type == KV_HASH && v->enc == KV_ENC_HASHTABLE ? kv_hash_next_expiry(v) : INT64_MAX;
}
