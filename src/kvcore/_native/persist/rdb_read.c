/* Two kinds of types: blocks, which are one string in a packed form that is checked and then copied or taken apart, and rows, a number of elements one
 * after the other. What has to be unique is: an element that comes twice spoils the value. */
#include "persist/rdb_read.h"

#include <math.h>

#include "base/num.h"
#include "ds/intset.h"
#include "ds/listpack.h"
#include "persist/rdb.h"
#include "persist/rdb_old.h"
#include "store/value_ops.h"
#include "types/hash.h"
#include "types/list.h"
#include "types/pairs.h"
#include "types/set.h"
#include "types/zset.h"

void kv_rdb_reader_init(kv_rdb_reader *r, kv_rdb_in *in, const kv_limits *limits, int version) {
    *r = (kv_rdb_reader){.in = in, .limits = limits, .version = version};
    kv_buf_init(&r->field, in->mem);
    kv_buf_init(&r->value, in->mem);
}

void kv_rdb_reader_deinit(kv_rdb_reader *r) {
    kv_buf_deinit(&r->field);
    kv_buf_deinit(&r->value);
}

static bool corrupt(kv_rdb_reader *r, const char *problem) { return kv_rdb_fail(r->in, KV_ECORRUPT, problem); }

/* A type's answer to an element: KV_ECORRUPT stands for one that was there. */
static bool took(kv_rdb_reader *r, kv_status status) {
    if (status == KV_OK) return true;
    if (status == KV_ENOMEM) return kv_rdb_fail(r->in, status, "out of memory");
    return corrupt(r, "a member or field that comes twice, or a score that is no number");
}

/* ---- adding one element, whatever form it was in ---- */

static bool add_member(kv_rdb_reader *r, kv_arena *a, kv_value *v, kv_slice member) {
    bool added = false;
    kv_status status = kv_set_add(v, a, r->limits, member, &added);
    return took(r, status == KV_OK && !added ? KV_ECORRUPT : status);
}

static bool add_field(kv_rdb_reader *r, kv_arena *a, kv_value *v, kv_slice field, kv_slice value, int64_t expiry_ms) {
    kv_hash_change change;
    kv_status status = kv_hash_set(v, a, r->limits, field, value, expiry_ms, KV_HASH_ALL, &change);
    return took(r, status == KV_OK && !change.created ? KV_ECORRUPT : status);
}

static bool add_scored(kv_rdb_reader *r, kv_arena *a, kv_value *v, kv_slice member, double score) {
    kv_zadd_outcome outcome;
    kv_status status = kv_zset_add(v, a, r->limits, member, score, KV_ZADD_NX, &outcome, NULL);
    return took(r, status == KV_OK && outcome != KV_ZADD_ADDED ? KV_ECORRUPT : status);
}

static bool add_item(kv_rdb_reader *r, kv_arena *a, kv_value *v, kv_slice item) {
    return took(r, kv_list_push(v, a, r->limits, KV_LIST_TAIL, &item, 1));
}

/* ---- blocks ---- */

static bool read_block(kv_rdb_reader *r, kv_slice *out) { return kv_rdb_string(r->in, &r->field, out); }

static bool read_listpack(kv_rdb_reader *r, kv_slice *out) {
    if (!read_block(r, out)) return false;
    return kv_lp_validate(out->ptr, out->len, true) || corrupt(r, "a listpack that is none");
}

static bool read_intset(kv_rdb_reader *r, kv_arena *a, kv_rdb_object *out) {
    kv_slice bytes;
    if (!read_block(r, &bytes)) return false;
    if (!kv_intset_validate(bytes.ptr, bytes.len, true)) return corrupt(r, "an intset that is none");
    out->empty = kv_intset_count(bytes.ptr) == 0;
    return out->empty || took(r, kv_set_load_intset(&out->value, a, r->limits, bytes));
}

static bool read_set_listpack(kv_rdb_reader *r, kv_arena *a, kv_rdb_object *out) {
    kv_slice bytes;
    if (!read_listpack(r, &bytes)) return false;
    out->empty = kv_lp_count(bytes.ptr) == 0;
    if (out->empty) return true;
    return took(r, kv_members_check(bytes.ptr, a)) && took(r, kv_set_load_listpack(&out->value, a, r->limits, bytes));
}

typedef kv_status adopt_fn(kv_value *v, kv_arena *a, const kv_limits *limits, uint8_t *lp);

static bool read_pairs_listpack(kv_rdb_reader *r, kv_arena *a, adopt_fn *adopt, kv_rdb_object *out) {
    kv_slice bytes;
    if (!read_listpack(r, &bytes)) return false;
    out->empty = kv_lp_count(bytes.ptr) == 0;
    if (out->empty) return true;
    uint8_t *lp = kv_lp_dup(a, bytes.ptr);
    if (lp == NULL) return took(r, KV_ENOMEM);
    kv_status status = adopt(&out->value, a, r->limits, lp);
    if (status != KV_OK) kv_lp_free(a, lp);
    return took(r, status);
}

/* Old forms are taken apart: each item, or pair of items, is added by itself. */
typedef bool old_next_fn(kv_old_walk *walk, kv_lp_item *out);

static bool score_of(kv_rdb_reader *r, const kv_lp_item *item, double *out) {
    if (item->is_int) *out = (double)item->num;
    else if (!kv_parse_double(item->str, out)) return corrupt(r, "a score that is no number");
    return true;
}

static bool add_old(kv_rdb_reader *r, kv_arena *a, kv_value *v, const kv_lp_item *first, const kv_lp_item *second) {
    char first_text[KV_LP_SCRATCH], second_text[KV_LP_SCRATCH];
    kv_slice key = kv_lp_item_text(first, first_text);
    double score;
    if (v->type == KV_LIST) return add_item(r, a, v, key);
    if (v->type == KV_HASH) return add_field(r, a, v, key, kv_lp_item_text(second, second_text), KV_HASH_NO_EXPIRY);
    return score_of(r, second, &score) && add_scored(r, a, v, key, score);
}

/* *v is an empty value already. */
static bool take_apart(kv_rdb_reader *r, kv_arena *a, kv_value *v, kv_old_walk *walk, old_next_fn *next) {
    kv_lp_item first, second = {0};
    while (next(walk, &first)) {
        if (v->type != KV_LIST && !next(walk, &second)) return corrupt(r, "a field or member without its value");
        if (!add_old(r, a, v, &first, &second)) return false;
    }
    return !walk->bad || corrupt(r, "a ziplist or zipmap that is none");
}

static bool read_ziplist_into(kv_rdb_reader *r, kv_arena *a, kv_value *v) {
    kv_slice bytes;
    kv_old_walk walk;
    if (!read_block(r, &bytes)) return false;
    kv_ziplist_begin(&walk, bytes);
    return take_apart(r, a, v, &walk, kv_ziplist_next);
}

static bool read_zipmap_into(kv_rdb_reader *r, kv_arena *a, kv_value *v) {
    kv_slice bytes;
    kv_old_walk walk;
    if (!read_block(r, &bytes)) return false;
    kv_zipmap_begin(&walk, bytes);
    return take_apart(r, a, v, &walk, kv_zipmap_next);
}

/* Redis's listpack of field, value, time or 0. */
static bool read_ttl_listpack_into(kv_rdb_reader *r, kv_arena *a, kv_value *v) {
    kv_slice bytes;
    uint64_t soonest; /* known from the fields as well */
    if (!kv_rdb_u64(r->in, &soonest) || !read_listpack(r, &bytes)) return false;
    if (kv_lp_count(bytes.ptr) % 3 != 0) return corrupt(r, "a field without its value or time");
    for (const uint8_t *pos = kv_lp_first(bytes.ptr); pos != NULL;) {
        char field_text[KV_LP_SCRATCH], value_text[KV_LP_SCRATCH];
        const uint8_t *value = kv_lp_next(bytes.ptr, pos), *time = kv_lp_next(bytes.ptr, value);
        kv_lp_item expiry = kv_lp_get(time);
        if (!expiry.is_int || expiry.num < 0) return corrupt(r, "a time that is none");
        if (!add_field(r, a, v, kv_lp_text(pos, field_text), kv_lp_text(value, value_text),
                       expiry.num == 0 ? KV_HASH_NO_EXPIRY : expiry.num))
            return false;
        pos = kv_lp_next(bytes.ptr, time);
    }
    return true;
}

/* ---- rows ---- */

static bool read_members_into(kv_rdb_reader *r, kv_arena *a, kv_value *v, size_t count) {
    kv_slice member;
    for (; count > 0; count--)
        if (!kv_rdb_string(r->in, &r->field, &member) || !add_member(r, a, v, member)) return false;
    return true;
}

static bool read_items_into(kv_rdb_reader *r, kv_arena *a, kv_value *v, size_t count) {
    kv_slice item;
    for (; count > 0; count--)
        if (!kv_rdb_string(r->in, &r->field, &item) || !add_item(r, a, v, item)) return false;
    return true;
}

/* A score as text, with a byte of length in front that has three special values. */
static bool read_score_text(kv_rdb_reader *r, double *out) {
    uint8_t len;
    if (!kv_rdb_byte(r->in, &len)) return false;
    if (len == 253) return corrupt(r, "a score that is no number");
    if (len >= 254) {
        *out = len == 254 ? INFINITY : -INFINITY;
        return true;
    }
    const uint8_t *text = kv_rdb_take(r->in, len);
    return text != NULL && (kv_parse_double(kv_slice_of(text, len), out) || corrupt(r, "a score that is no number"));
}

static bool read_scored_into(kv_rdb_reader *r, kv_arena *a, kv_value *v, size_t count, bool as_text) {
    for (; count > 0; count--) {
        kv_slice member;
        double score;
        if (!kv_rdb_string_kept(r->in, &r->field, &member)) return false;
        if (!(as_text ? read_score_text(r, &score) : kv_rdb_double(r->in, &score))) return false;
        if (!add_scored(r, a, v, member, score)) return false;
    }
    return true;
}

static bool read_fields_into(kv_rdb_reader *r, kv_arena *a, kv_value *v, size_t count) {
    kv_slice field, value;
    for (; count > 0; count--) {
        if (!kv_rdb_string_kept(r->in, &r->field, &field) || !kv_rdb_string(r->in, &r->value, &value)) return false;
        if (!add_field(r, a, v, field, value, KV_HASH_NO_EXPIRY)) return false;
    }
    return true;
}

/* A time as it is kept: not before 1970, and small enough not to be mistaken for "none". */
static bool field_time(kv_rdb_reader *r, int64_t at_ms) {
    return (at_ms >= 0 && at_ms < KV_HASH_KEEP_EXPIRY) || corrupt(r, "a time that is none");
}

static bool read_ttl_fields_into(kv_rdb_reader *r, kv_arena *a, kv_value *v, size_t count) {
    for (; count > 0; count--) {
        kv_slice field, value;
        uint64_t at_ms;
        if (!kv_rdb_string_kept(r->in, &r->field, &field) || !kv_rdb_string_kept(r->in, &r->value, &value) || !kv_rdb_u64(r->in, &at_ms))
            return false;
        int64_t expiry_ms = at_ms == UINT64_MAX ? KV_HASH_NO_EXPIRY : (int64_t)at_ms;
        if (at_ms != UINT64_MAX && !field_time(r, expiry_ms)) return false;
        if (!add_field(r, a, v, field, value, expiry_ms)) return false;
    }
    return true;
}

/* Redis: a time is 0 for none, else 1 + what it is after the soonest. */
static bool read_redis_ttl_fields_into(kv_rdb_reader *r, kv_arena *a, kv_value *v, size_t count, int64_t soonest_ms) {
    for (; count > 0; count--) {
        kv_slice field, value;
        uint64_t after;
        int64_t at_ms = KV_HASH_NO_EXPIRY;
        if (!kv_rdb_length(r->in, &after) || !kv_rdb_string_kept(r->in, &r->field, &field) || !kv_rdb_string(r->in, &r->value, &value))
            return false;
        if (after > INT64_MAX) return corrupt(r, "a time that is none");
        if (after > 0 && (!kv_add_i64(soonest_ms, (int64_t)after - 1, &at_ms) || !field_time(r, at_ms)))
            return corrupt(r, "a time that is none");
        if (!add_field(r, a, v, field, value, at_ms)) return false;
    }
    return true;
}

static bool read_nodes_into(kv_rdb_reader *r, kv_arena *a, kv_value *v, size_t count) {
    for (; count > 0; count--) {
        uint64_t container;
        kv_slice bytes;
        if (!kv_rdb_length(r->in, &container)) return false;
        bool plain = container == KV_RDB_PLAIN;
        if (!plain && container != KV_RDB_PACKED) return corrupt(r, "a list node of unknown form");
        if (plain ? !read_block(r, &bytes) : !read_listpack(r, &bytes)) return false;
        if (bytes.len == 0 ? !add_item(r, a, v, bytes) : !took(r, kv_list_append_node(v, a, r->limits, bytes, plain))) return false;
    }
    kv_list_loaded(v, a, r->limits);
    return true;
}

/* ---- what each type is made of ---- */

/* The fewest bytes of an element; 0: the type is a block, or no such type. */
static size_t element_bytes(uint8_t type) {
    switch (type) {
    case KV_RDB_LIST:
    case KV_RDB_SET:
    case KV_RDB_LIST_QUICKLIST: return 1;
    case KV_RDB_ZSET:
    case KV_RDB_HASH:
    case KV_RDB_LIST_QUICKLIST_2: return 2;
    case KV_RDB_HASH_TTL_REDIS: return 3;
    case KV_RDB_ZSET_2: return 9;
    case KV_RDB_HASH_TTL: return 10;
    default: return 0;
    }
}

/* An empty value for `count` elements (0: not known). */
static bool begin(kv_rdb_reader *r, uint8_t type, kv_arena *a, size_t count, kv_value *v) {
    switch (type) {
    case KV_RDB_LIST:
    case KV_RDB_LIST_ZIPLIST:
    case KV_RDB_LIST_QUICKLIST:
    case KV_RDB_LIST_QUICKLIST_2: v->type = KV_LIST; return took(r, kv_list_create(v, a));
    case KV_RDB_SET: v->type = KV_SET; return took(r, kv_set_create_empty(v, a)) && took(r, kv_set_expect(v, a, r->limits, count));
    case KV_RDB_ZSET:
    case KV_RDB_ZSET_2:
    case KV_RDB_ZSET_ZIPLIST: return took(r, kv_zset_create(v, a, r->limits, count, 0));
    default: return took(r, kv_hash_create(v, a)) && (count == 0 || took(r, kv_hash_prepare(v, a, r->limits, count, 0)));
    }
}

static bool fill(kv_rdb_reader *r, uint8_t type, kv_arena *a, kv_value *v, size_t count, int64_t soonest_ms) {
    switch (type) {
    case KV_RDB_LIST: return read_items_into(r, a, v, count);
    case KV_RDB_SET: return read_members_into(r, a, v, count);
    case KV_RDB_ZSET: return read_scored_into(r, a, v, count, true);
    case KV_RDB_ZSET_2: return read_scored_into(r, a, v, count, false);
    case KV_RDB_HASH: return read_fields_into(r, a, v, count);
    case KV_RDB_HASH_TTL: return read_ttl_fields_into(r, a, v, count);
    case KV_RDB_HASH_TTL_REDIS: return read_redis_ttl_fields_into(r, a, v, count, soonest_ms);
    case KV_RDB_HASH_LISTPACK_TTL: return read_ttl_listpack_into(r, a, v);
    case KV_RDB_HASH_ZIPMAP: return read_zipmap_into(r, a, v);
    case KV_RDB_LIST_QUICKLIST_2: return read_nodes_into(r, a, v, count);
    case KV_RDB_LIST_QUICKLIST:
        for (; count > 0; count--)
            if (!read_ziplist_into(r, a, v)) return false;
        return true;
    default: return read_ziplist_into(r, a, v);
    }
}

static bool read_container(kv_rdb_reader *r, uint8_t type, kv_arena *a, kv_rdb_object *out) {
    uint64_t soonest = 0;
    size_t count = 0, least = element_bytes(type);
    if (type == KV_RDB_HASH_TTL_REDIS && !kv_rdb_u64(r->in, &soonest)) return false;
    if (least > 0 && !kv_rdb_count(r->in, least, &count)) return false;
    if (least > 0 && count == 0) {
        out->empty = true;
        return true;
    }
    kv_value v = {0};
    if (!begin(r, type, a, count, &v)) {
        if (v.u.ptr != NULL) kv_value_free(&v, a);
        return false;
    }
    bool good = fill(r, type, a, &v, count, (int64_t)soonest);
    out->empty = good && kv_value_length(&v) == 0;
    if (good && !out->empty) out->value = v;
    else kv_value_free(&v, a);
    return good;
}

bool kv_rdb_type_readable(kv_rdb_in *in, uint8_t type, int version) {
    bool valkey = version >= KV_RDB_VALKEY;
    switch (type) {
    case KV_RDB_STREAM:
    case KV_RDB_STREAM_2:
    case KV_RDB_STREAM_3: return kv_rdb_fail(in, KV_EINVAL, "a stream, which is not supported yet");
    case KV_RDB_MODULE_OLD:
    case KV_RDB_MODULE: return kv_rdb_fail(in, KV_EINVAL, "a value of a module, which is not supported");
    case KV_RDB_HASH_TTL:
        return valkey || kv_rdb_fail(in, KV_EINVAL, "a hash in the form of a release candidate of Redis 7.4, which is not supported");
    case KV_RDB_HASH_TTL_REDIS:
    case KV_RDB_HASH_LISTPACK_TTL: return !valkey || kv_rdb_fail(in, KV_ECORRUPT, "a type of Redis in what Valkey is said to have written");
    case 8:
    case 23: return kv_rdb_fail(in, KV_EINVAL, "a value of an unknown type");
    default: return type < KV_RDB_TYPES || kv_rdb_fail(in, KV_EINVAL, "a value of an unknown type");
    }
}

bool kv_rdb_read_value(kv_rdb_reader *r, uint8_t type, kv_arena *arena, kv_rdb_object *out) {
    *out = (kv_rdb_object){0};
    if (!kv_rdb_type_readable(r->in, type, r->version)) return false;
    switch (type) {
    case KV_RDB_STRING: out->is_text = true; return kv_rdb_string(r->in, &r->field, &out->text);
    case KV_RDB_SET_INTSET: out->value.type = KV_SET; return read_intset(r, arena, out);
    case KV_RDB_SET_LISTPACK: out->value.type = KV_SET; return read_set_listpack(r, arena, out);
    case KV_RDB_HASH_LISTPACK: out->value.type = KV_HASH; return read_pairs_listpack(r, arena, kv_hash_adopt_listpack, out);
    case KV_RDB_ZSET_LISTPACK: out->value.type = KV_ZSET; return read_pairs_listpack(r, arena, kv_zset_adopt_listpack, out);
    default: return read_container(r, type, arena, out);
    }
}

void kv_rdb_object_free(kv_rdb_object *object, kv_arena *arena) {
    if (!object->is_text && !object->empty) kv_value_free(&object->value, arena);
}

/* ---- passing by ---- */

static bool skip_score_text(kv_rdb_in *in) {
    uint8_t len;
    return kv_rdb_byte(in, &len) && (len >= 253 || kv_rdb_take(in, len) != NULL);
}

static bool skip_element(kv_rdb_in *in, uint8_t type) {
    uint64_t length;
    switch (type) {
    case KV_RDB_ZSET: return kv_rdb_skip_string(in) && skip_score_text(in);
    case KV_RDB_ZSET_2: return kv_rdb_skip_string(in) && kv_rdb_take(in, 8) != NULL;
    case KV_RDB_HASH: return kv_rdb_skip_string(in) && kv_rdb_skip_string(in);
    case KV_RDB_HASH_TTL: return kv_rdb_skip_string(in) && kv_rdb_skip_string(in) && kv_rdb_take(in, 8) != NULL;
    case KV_RDB_HASH_TTL_REDIS: return kv_rdb_length(in, &length) && kv_rdb_skip_string(in) && kv_rdb_skip_string(in);
    case KV_RDB_LIST_QUICKLIST_2: return kv_rdb_length(in, &length) && kv_rdb_skip_string(in);
    default: return kv_rdb_skip_string(in);
    }
}

bool kv_rdb_skip_value(kv_rdb_in *in, uint8_t type, int version) {
    if (!kv_rdb_type_readable(in, type, version)) return false;
    size_t least = element_bytes(type), count;
    bool timed = type == KV_RDB_HASH_TTL_REDIS || type == KV_RDB_HASH_LISTPACK_TTL;
    if (timed && kv_rdb_take(in, 8) == NULL) return false;
    if (least == 0) return kv_rdb_skip_string(in);
    if (!kv_rdb_count(in, least, &count)) return false;
    for (; count > 0; count--)
        if (!skip_element(in, type)) return false;
    return true;
}
