/* Commands that change a string in place: counters, APPEND, SETRANGE. They keep the expiry. */
#include <math.h>

#include "commands/keys_common.h"
#include "engine/effect.h"
#include "engine/errors.h"
#include "types/string.h"

/* ---- counters ---- */

static void add_integer(kv_ctx *c, int64_t increment) {
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v;
    if (!kv_ctx_find_type(c, &key, KV_STRING, KV_FIND_WRITE, &v)) return;
    int64_t number = 0;
    if (v != NULL && v->enc == KV_ENC_INT) {
        number = v->u.num;
    } else if (v != NULL) {
        char scratch[KV_NUM_MAX];
        if (!kv_parse_i64(kv_entry_string(v, scratch), &number)) {
            kv_reply_error(c->reply, KV_ERR_NOT_INTEGER);
            return;
        }
    }
    if (!kv_add_i64(number, increment, &number)) {
        kv_reply_error(c->reply, KV_ERR_INCREMENT_OVERFLOW);
        return;
    }
    if (v != NULL && v->enc == KV_ENC_INT) {
        kv_ctx_modify(c, &key, v);
        v->u.num = number;
    } else {
        kv_keydb *db = kv_ctx_open(c, &key);
        if (db == NULL) return;
        if (v != NULL) kv_ctx_modify(c, &key, v);
        if (!kv_ctx_ok(c, kv_keydb_set_int(db, key.hash, key.name, v, number, KV_EXPIRE_KEEP, 0, NULL))) return;
        if (v == NULL) kv_ctx_notify(c, &key, KV_EVENT_NEW, "new");
    }
    kv_ctx_changed(c, &key, KV_EVENT_STRING, "incrby");
    kv_reply_int(c->reply, number);
}

void kv_cmd_incr(kv_ctx *c) { add_integer(c, 1); }
void kv_cmd_decr(kv_ctx *c) { add_integer(c, -1); }

void kv_cmd_incrby(kv_ctx *c) {
    int64_t increment;
    if (kv_ctx_i64(c, 2, &increment)) add_integer(c, increment);
}

void kv_cmd_decrby(kv_ctx *c) {
    int64_t decrement;
    if (!kv_ctx_i64(c, 2, &decrement)) return;
    if (decrement == INT64_MIN) {
        kv_reply_error(c->reply, KV_ERR_DECREMENT_OVERFLOW);
        return;
    }
    add_integer(c, -decrement);
}

void kv_cmd_incrbyfloat(kv_ctx *c) {
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v;
    if (!kv_ctx_find_type(c, &key, KV_STRING, KV_FIND_WRITE, &v)) return;
    char scratch[KV_NUM_MAX];
    long double number = 0, increment;
    if ((v != NULL && !kv_parse_long_double(kv_entry_string(v, scratch), &number)) || !kv_parse_long_double(c->argv[2], &increment)) {
        kv_reply_error(c->reply, KV_ERR_NOT_FLOAT);
        return;
    }
    number += increment;
    char text[KV_LONG_DOUBLE_MAX];
    size_t len = isfinite(number) ? kv_format_long_double(text, sizeof text, number) : 0;
    if (len == 0) {
        kv_reply_error(c->reply, KV_ERR_INCREMENT_NAN);
        return;
    }
    kv_keydb *db = kv_ctx_open(c, &key);
    if (db == NULL) return;
    if (v != NULL) kv_ctx_modify(c, &key, v);
    kv_slice bytes = kv_slice_of(text, len);
    if (!kv_ctx_ok(c, kv_keydb_set_text(db, key.hash, key.name, v, bytes, KV_EXPIRE_KEEP, 0, NULL))) return;
    if (v == NULL) kv_ctx_notify(c, &key, KV_EVENT_NEW, "new");
    kv_ctx_changed(c, &key, KV_EVENT_STRING, "incrbyfloat");
    kv_ctx_effect(c, 4,
                  (kv_slice[]){KV_LIT("SET"), key.name, bytes,
                               KV_LIT("KEEPTTL")}); /* no arithmetic: whoever reads it may round otherwise */
    kv_reply_bulk(c->reply, bytes);
}

/* ---- bytes ---- */

static bool check_size(kv_ctx *c, size_t a, size_t b) {
    size_t sum;
    if (kv_add_size(a, b, &sum) && sum <= kv_keys_string_max(c)) return true;
    kv_reply_error(c->reply, KV_ERR_STRING_TOO_BIG);
    return false;
}

/* The string as a raw one with room for `need` bytes; spare room beyond when it grows. NULL: out of memory, replied. */
static kv_value *open_raw(kv_ctx *c, const kv_key *key, kv_value *v, size_t need, kv_keydb **db) {
    *db = kv_ctx_open(c, key);
    if (*db == NULL) return NULL;
    kv_ctx_modify(c, key, v);
    if (v->enc == KV_ENC_RAW) { /* growth is the string's own business */
        kv_str *s = kv_str_reserve((*db)->arena, v->u.ptr, need, true);
        if (s == NULL) kv_ctx_out_of_memory(c);
        else v->u.ptr = s;
        return s == NULL ? NULL : v;
    }
    kv_value *raw;
    return kv_ctx_ok(c, kv_keydb_make_raw(*db, key->hash, v, need, &raw)) ? raw : NULL;
}

void kv_cmd_append(kv_ctx *c) {
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v;
    if (!kv_ctx_find_type(c, &key, KV_STRING, KV_FIND_WRITE, &v)) return;
    kv_slice tail = c->argv[2];
    size_t len = tail.len;
    if (v == NULL) {
        if (!kv_keys_put(c, &key, NULL, tail, KV_EXPIRE_CLEAR, 0)) return;
    } else {
        size_t before = kv_entry_string_length(v);
        if (!check_size(c, before, tail.len)) return;
        len = before + tail.len;
        kv_keydb *db;
        v = open_raw(c, &key, v, len, &db);
        if (v == NULL) return;
        v->u.ptr = kv_str_append(db->arena, v->u.ptr, tail); /* there is room: it does not fail */
    }
    kv_ctx_changed(c, &key, KV_EVENT_STRING, "append");
    kv_reply_int(c->reply, (int64_t)len);
}

/* SETRANGE on a missing key: NULs up to the offset, then the bytes. */
static bool add_padded(kv_ctx *c, const kv_key *key, size_t offset, kv_slice bytes) {
    kv_keydb *db = kv_ctx_open(c, key);
    if (db == NULL) return false;
    kv_str *s = kv_str_new(db->arena, (kv_slice){0}, offset + bytes.len);
    if (s == NULL) {
        kv_ctx_out_of_memory(c);
        return false;
    }
    s = kv_str_set_range(db->arena, s, offset, bytes);
    kv_value fresh = {.type = KV_STRING, .enc = KV_ENC_RAW, .u.ptr = s};
    if (kv_ctx_add(c, key, &fresh) != NULL) return true;
    kv_str_free(db->arena, s);
    return false;
}

void kv_cmd_setrange(kv_ctx *c) {
    int64_t offset;
    if (!kv_ctx_i64(c, 2, &offset)) return;
    if (offset < 0) {
        kv_reply_error(c->reply, KV_ERR_OFFSET_RANGE);
        return;
    }
    kv_slice bytes = c->argv[3];
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v = kv_ctx_find(c, &key, KV_FIND_WRITE);
    if (v != NULL && v->type != KV_STRING) {
        kv_ctx_wrong_type(c);
        return;
    }
    size_t len = v == NULL ? 0 : kv_entry_string_length(v);
    if (bytes.len == 0) {
        kv_reply_int(c->reply, (int64_t)len);
        return;
    }
    if (!check_size(c, (size_t)offset, bytes.len)) return;
    size_t end = (size_t)offset + bytes.len;
    if (v == NULL) {
        if (!add_padded(c, &key, (size_t)offset, bytes)) return;
    } else {
        kv_keydb *db;
        v = open_raw(c, &key, v, end > len ? end : len, &db);
        if (v == NULL) return;
        v->u.ptr = kv_str_set_range(db->arena, v->u.ptr, (size_t)offset, bytes); /* there is room: it does not fail */
    }
    kv_ctx_changed(c, &key, KV_EVENT_STRING, "setrange");
    kv_reply_int(c->reply, (int64_t)(end > len ? end : len));
}
