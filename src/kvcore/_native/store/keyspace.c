/* Reading and changing keys.
 *
 * Every change that alters an entry's layout builds a fresh block beside the old one, installs it (table slot, heap positions), and only then gives
 * the old one up: an allocation that fails leaves the key as it was. When the new string fits the block that is there, it is written in place.
 *
 * Several keys at once (MSET) are prepared first: fresh entries stand in the table in place of the old ones, which are kept and still indexed, and what
 * fits into the block that is there waits. Then either all is committed in that order, or all is withdrawn in the reverse order. */
#include "store/keyspace.h"

#include "store/cut.h"
#include "store/keydb.h"
#include "types/string.h"

kv_value *kv_keydb_find(const kv_keydb *db, uint64_t hash, kv_slice key) { return db == NULL ? NULL : kv_table_find(&db->keys, hash, key); }

void kv_keydb_prefetch(const kv_keydb *db, uint64_t hash) {
    if (db != NULL) kv_table_prefetch(&db->keys, hash);
}

void kv_keydb_prefetch_entry(const kv_keydb *db, uint64_t hash) {
    if (db != NULL) kv_table_prefetch_entry(&db->keys, hash);
}

/* On the way of every SET: inlined there although MSET uses them too. */
#define HOT __attribute__((always_inline)) static inline

/* The value that an entry is to get: text for embedded and raw strings, `value` for what is ready made. */
typedef struct content {
    kv_value value; /* type, enc, u */
    kv_slice text;  /* when embedded */
} content;

static bool resolve_expiry(const kv_value *old, kv_expire_rule rule, int64_t *expire_ms) {
    if (rule == KV_EXPIRE_AT) return true;
    if (rule == KV_EXPIRE_CLEAR || old == NULL || kv_entry_expire_ms(old) < 0) return false;
    *expire_ms = kv_entry_expire_ms(old);
    return true;
}

static void fill(kv_value *v, const content *what, bool expires, int64_t expire_ms) {
    v->type = what->value.type;
    v->enc = what->value.enc;
    if (v->flags & KV_VALUE_EMBEDDED) kv_entry_put_text(v, what->text);
    else v->u = what->value.u;
    if (expires) kv_entry_put_expire(v, expire_ms);
}

/* Does the content fit the old entry's very block? Then no pointer changes anywhere. */
HOT bool same_block(const kv_value *old, kv_layout layout) {
    kv_layout now = kv_entry_layout(old);
    if (now.fields || layout.fields) return false;                            /* the field index would have to be looked at */
    if (now.expires && kv_entry_expire_pos(old) == KV_POS_NONE) return false; /* see kv_keydb_persist: room, but in no index */
    return now.embedded == layout.embedded && now.expires == layout.expires &&
           kv_arena_good_size(kv_layout_bytes(now)) == kv_arena_good_size(kv_layout_bytes(layout));
}

HOT void overwrite(kv_keydb *db, kv_value *old, const content *what, bool expires, int64_t expire_ms) {
    kv_cut_before(db, old, true);
    kv_value before = {.type = old->type, .enc = old->enc};
    if ((old->flags & KV_VALUE_EMBEDDED) == 0) before.u = old->u;
    fill(old, what, expires, expire_ms);
    if (expires) kv_heap_update(&db->expires, kv_entry_expire_pos(old), expire_ms);
    kv_keydb_stamp(db, old, old);
    if ((old->flags & KV_VALUE_EMBEDDED) == 0) kv_shard_dispose_value(db->shard, before);
}

static kv_status put(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, const content *what, kv_layout layout, int64_t expire_ms,
                     kv_value **out) {
    if (old != NULL && same_block(old, layout)) {
        overwrite(db, old, what, layout.expires, expire_ms);
        if (out != NULL) *out = old;
        return KV_OK;
    }
    if (kv_keydb_reserve(db, layout.expires, layout.fields) != KV_OK) return KV_ENOMEM;
    kv_value *fresh = kv_entry_new(db->arena, layout, key);
    if (fresh == NULL) return KV_ENOMEM;
    fill(fresh, what, layout.expires, expire_ms);
    kv_keydb_stamp(db, fresh, old);
    if (old != NULL) kv_cut_before(db, old, true); /* nothing fails any more: replacing cannot */
    if (kv_keydb_install(db, hash, old, fresh) != KV_OK) {
        kv_entry_free(db->arena, fresh);
        return KV_ENOMEM;
    }
    if (old != NULL) kv_shard_dispose(db->shard, old);
    if (out != NULL) *out = fresh;
    return KV_OK;
}

/* What a string becomes beside this key. A raw one owns its block until somebody takes it over. */
typedef struct plan {
    content what;
    kv_layout layout;
    int64_t expire_ms;
} plan;

HOT void plan_int(plan *p, kv_slice key, const kv_value *old, int64_t num, kv_expire_rule rule, int64_t expire_ms) {
    p->what = (content){.value = {.type = KV_STRING, .enc = KV_ENC_INT, .u.num = num}};
    p->layout = (kv_layout){.expires = resolve_expiry(old, rule, &expire_ms), .key_len = key.len};
    p->expire_ms = expire_ms;
}

HOT kv_status plan_text(plan *p, kv_arena *arena, kv_slice key, const kv_value *old, kv_slice bytes, kv_expire_rule rule,
                        int64_t expire_ms) {
    bool expires = resolve_expiry(old, rule, &expire_ms);
    p->layout = (kv_layout){.expires = expires, .key_len = key.len};
    p->what = (content){.value = {.type = KV_STRING, .enc = KV_ENC_EMBSTR}, .text = bytes};
    p->expire_ms = expire_ms;
    /* Valkey decides before it drops an old expiry. */
    if (kv_entry_embeds(key.len, bytes.len, expires || (old != NULL && kv_entry_expire_ms(old) >= 0))) {
        p->layout.embedded = true;
        p->layout.text_len = bytes.len;
        return KV_OK;
    }
    p->what.value.enc = KV_ENC_RAW;
    p->what.value.u.ptr = kv_str_new(arena, bytes, 0);
    return p->what.value.u.ptr == NULL ? KV_ENOMEM : KV_OK;
}

static void drop_raw(kv_arena *arena, const kv_value *value) {
    if (value->enc == KV_ENC_RAW) kv_str_free(arena, value->u.ptr);
}

kv_status kv_keydb_set_int(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, int64_t num, kv_expire_rule rule, int64_t expire_ms,
                           kv_value **out) {
    plan p;
    plan_int(&p, key, old, num, rule, expire_ms);
    return put(db, hash, key, old, &p.what, p.layout, p.expire_ms, out);
}

/* The commonest change: a text as long as the old one, embedded, without an expiry before and after. No layout can change: nothing but the bytes does.
 * False: look closer. */
HOT bool rewrite(kv_keydb *db, kv_value *old, kv_slice bytes, kv_expire_rule rule) {
    if (old == NULL || (old->flags & (KV_VALUE_EMBEDDED | KV_VALUE_EXPIRES)) != KV_VALUE_EMBEDDED || rule == KV_EXPIRE_AT) return false;
    kv_slice text = kv_entry_string(old, NULL);
    if (text.len != bytes.len) return false;
    kv_cut_before(db, old, true);
    if (text.len > 0)
        memmove((uint8_t *)old + (text.ptr - (const uint8_t *)old), bytes.ptr, bytes.len); /* `bytes` may be the text itself */
    kv_keydb_stamp(db, old, old);
    return true;
}

kv_status kv_keydb_set_text(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, kv_slice bytes, kv_expire_rule rule,
                            int64_t expire_ms, kv_value **out) {
    if (rewrite(db, old, bytes, rule)) {
        if (out != NULL) *out = old;
        return KV_OK;
    }
    plan p;
    if (plan_text(&p, db->arena, key, old, bytes, rule, expire_ms) != KV_OK) return KV_ENOMEM;
    kv_status status = put(db, hash, key, old, &p.what, p.layout, p.expire_ms, out);
    if (status != KV_OK) drop_raw(db->arena, &p.what.value);
    return status;
}

kv_status kv_keydb_set_string(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, kv_slice bytes, kv_expire_rule rule,
                              int64_t expire_ms, kv_value **out) {
    int64_t num;
    if (bytes.len <= 20 && kv_parse_i64(bytes, &num)) return kv_keydb_set_int(db, hash, key, old, num, rule, expire_ms, out);
    return kv_keydb_set_text(db, hash, key, old, bytes, rule, expire_ms, out);
}

/* ---- several strings, all or none ---- */

/* A fresh entry goes into the table at once, where the next look-up of the same key finds it; the indexes follow when it is committed, but for a new
 * key, which is complete. NULL: no memory. */
static kv_value *stage(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, const plan *p, size_t pending) {
    if (p->layout.expires && kv_heap_reserve(&db->expires, pending + 1) != KV_OK) return NULL;
    kv_value *fresh = kv_entry_new(db->arena, p->layout, key);
    if (fresh == NULL) return NULL;
    fill(fresh, &p->what, p->layout.expires, p->expire_ms);
    kv_keydb_stamp(db, fresh, old);
    if (old != NULL) {
        (void)kv_table_replace(&db->keys, hash, old, fresh);
    } else if (kv_keydb_install(db, hash, NULL, fresh) != KV_OK) {
        kv_entry_free(db->arena, fresh);
        return NULL;
    }
    return fresh;
}

kv_status kv_keydb_prepare_string(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, kv_slice bytes, kv_expire_rule rule,
                                  int64_t expire_ms, size_t pending, kv_put *out) {
    plan p;
    int64_t num;
    if (bytes.len <= 20 && kv_parse_i64(bytes, &num)) plan_int(&p, key, old, num, rule, expire_ms);
    else if (plan_text(&p, db->arena, key, old, bytes, rule, expire_ms) != KV_OK) return KV_ENOMEM;
    kv_value *fresh = NULL;
    if (old == NULL || !same_block(old, p.layout)) {
        fresh = stage(db, hash, key, old, &p, pending);
        if (fresh == NULL) {
            drop_raw(db->arena, &p.what.value);
            return KV_ENOMEM;
        }
    }
    *out = (kv_put){db, hash, old, fresh, p.what.value, p.what.text, p.expire_ms, p.layout.expires};
    return KV_OK;
}

void kv_keydb_commit(const kv_put *put) {
    kv_keydb *db = put->db;
    if (put->fresh == NULL) {
        const content what = {put->value, put->text};
        overwrite(db, put->old, &what, put->expires, put->expire_ms);
    } else if (put->old != NULL) {
        kv_cut_before(db, put->old, true);
        kv_keydb_reindex(db, put->old, put->fresh);
        kv_keydb_publish_counts(db);
        kv_shard_dispose(db->shard, put->old);
    }
}

void kv_keydb_withdraw(const kv_put *put) {
    kv_keydb *db = put->db;
    if (put->fresh != NULL && put->old != NULL) (void)kv_table_replace(&db->keys, put->hash, put->fresh, put->old);
    else if (put->fresh != NULL) (void)kv_keydb_detach(db, put->hash, put->fresh);
    drop_raw(db->arena, &put->value);
    if (put->fresh != NULL) kv_entry_free(db->arena, put->fresh);
}

kv_status kv_keydb_replace_value(kv_keydb *db, uint64_t hash, kv_slice key, kv_value *old, kv_value value, kv_expire_rule rule,
                                 int64_t expire_ms, kv_value **out) {
    content what = {.value = value};
    kv_layout layout = {.expires = resolve_expiry(old, rule, &expire_ms), .key_len = key.len};
    layout.fields = kv_value_next_field_expiry(&value) != INT64_MAX;
    return put(db, hash, key, old, &what, layout, expire_ms, out);
}

kv_status kv_keydb_add_value(kv_keydb *db, uint64_t hash, kv_slice key, kv_value value, kv_value **out) {
    return kv_keydb_replace_value(db, hash, key, NULL, value, KV_EXPIRE_CLEAR, 0, out);
}

/* ---- changes of layout that keep the value ---- */

/* The same key and value in a block of another layout. A text that is no longer embedded moves to a raw string with room for `reserve` bytes. */
static kv_status relayout(kv_keydb *db, uint64_t hash, kv_value *v, kv_layout layout, int64_t expire_ms, size_t reserve, kv_value **out) {
    kv_cut_before(db, v, false);
    content what = {.value = {.type = v->type, .enc = v->enc}};
    kv_str *raw = NULL;
    if (kv_keydb_reserve(db, layout.expires, layout.fields) != KV_OK) return KV_ENOMEM;
    if ((v->flags & KV_VALUE_EMBEDDED) == 0) {
        what.value.u = v->u;
    } else {
        what.text = kv_entry_string(v, NULL);
        if (!layout.embedded) {
            raw = kv_str_new(db->arena, what.text, reserve);
            if (raw == NULL) return KV_ENOMEM;
            what.value.enc = KV_ENC_RAW;
            what.value.u.ptr = raw;
        }
    }
    kv_value *fresh = kv_entry_new(db->arena, layout, kv_entry_key(v));
    if (fresh == NULL) {
        kv_str_free(db->arena, raw);
        return KV_ENOMEM;
    }
    fill(fresh, &what, layout.expires, expire_ms);
    fresh->version = db->shard->version;
    kv_access_set(fresh, kv_entry_access(v));
    (void)kv_keydb_install(db, hash, v, fresh); /* replacing cannot fail */
    kv_entry_free(db->arena, v);
    *out = fresh;
    return KV_OK;
}

kv_status kv_keydb_set_expire(kv_keydb *db, uint64_t hash, kv_value *v, int64_t expire_ms, kv_value **out) {
    if (expire_ms < 0) {
        *out = kv_keydb_persist(db, hash, v);
        return KV_OK;
    }
    if (kv_entry_expire_ms(v) >= 0) {
        kv_cut_before(db, v, false);
        kv_entry_put_expire(v, expire_ms);
        kv_heap_update(&db->expires, kv_entry_expire_pos(v), expire_ms);
        v->version = db->shard->version;
        *out = v;
        return KV_OK;
    }
    kv_layout layout = kv_entry_layout(v);
    layout.expires = true;
    layout.embedded = layout.embedded && kv_entry_embeds(layout.key_len, layout.text_len, true);
    return relayout(db, hash, v, layout, expire_ms, 0, out);
}

kv_value *kv_keydb_persist(kv_keydb *db, uint64_t hash, kv_value *v) {
    if ((v->flags & KV_VALUE_EXPIRES) == 0) return v;
    kv_layout layout = kv_entry_layout(v);
    layout.expires = false;
    kv_value *moved;
    if (relayout(db, hash, v, layout, KV_NO_EXPIRE, 0, &moved) == KV_OK) return moved;
    /* No memory for a smaller block: the room for an expiry stays, and says that there is none. */
    if (kv_entry_expire_pos(v) != KV_POS_NONE) (void)kv_heap_remove(&db->expires, kv_entry_expire_pos(v));
    kv_entry_put_expire_pos(v, KV_POS_NONE);
    kv_entry_put_expire(v, KV_NO_EXPIRE);
    v->version = db->shard->version;
    kv_keydb_publish_counts(db);
    return v;
}

kv_status kv_keydb_make_raw(kv_keydb *db, uint64_t hash, kv_value *v, size_t reserve, kv_value **out) {
    kv_cut_before(db, v, false);
    if (v->enc == KV_ENC_RAW) {
        kv_str *s = kv_str_reserve(db->arena, v->u.ptr, reserve, false);
        if (s == NULL) return KV_ENOMEM;
        v->u.ptr = s;
        *out = v;
        return KV_OK;
    }
    if (v->enc == KV_ENC_INT) {
        char scratch[KV_NUM_MAX];
        kv_str *s = kv_str_new(db->arena, kv_entry_string(v, scratch), reserve);
        if (s == NULL) return KV_ENOMEM;
        v->enc = KV_ENC_RAW;
        v->u.ptr = s;
        *out = v;
        return KV_OK;
    }
    kv_layout layout = kv_entry_layout(v);
    layout.embedded = false;
    return relayout(db, hash, v, layout, kv_entry_expire_ms(v), reserve, out);
}

/* ---- removing ---- */

kv_value *kv_keydb_detach(kv_keydb *db, uint64_t hash, kv_value *v) {
    kv_cut_before(db, v, true);
    (void)kv_table_remove_entry(&db->keys, hash, v);
    kv_keydb_unindex(db, v);
    kv_keydb_publish_counts(db);
    return v;
}

void kv_keydb_delete(kv_keydb *db, uint64_t hash, kv_value *v) { kv_shard_dispose(db->shard, kv_keydb_detach(db, hash, v)); }

/* ---- hashes with field expiries ---- */

kv_status kv_keydb_fields_reserve(kv_keydb *db, uint64_t hash, kv_value *v, kv_value **out) {
    if (kv_entry_has_fields(v)) { /* an entry that is in the index already needs no other place there */
        if (kv_entry_field_pos(v) == KV_POS_NONE && kv_keydb_reserve(db, false, true) != KV_OK) return KV_ENOMEM;
        *out = v;
        return KV_OK;
    }
    /* Two: installing the moved entry may push it already, and the caller's update another time. */
    kv_layout layout = kv_entry_layout(v);
    layout.fields = true;
    if (kv_heap_reserve(&db->fields, 2) != KV_OK) return KV_ENOMEM;
    return relayout(db, hash, v, layout, kv_entry_expire_ms(v), 0, out);
}

void kv_keydb_fields_update(kv_keydb *db, kv_value *v) {
    if (!kv_entry_has_fields(v)) return;
    int64_t next = kv_value_next_field_expiry(v);
    uint32_t pos = kv_entry_field_pos(v);
    if (pos == KV_POS_NONE) {
        if (next != INT64_MAX) (void)kv_heap_push(&db->fields, next, v);
    } else if (next != INT64_MAX) {
        kv_heap_update(&db->fields, pos, next);
    } else {
        (void)kv_heap_remove(&db->fields, pos);
        kv_entry_put_field_pos(v, KV_POS_NONE);
    }
    kv_keydb_publish_counts(db);
}

/* ---- walking ---- */

void kv_keydb_each(const kv_keydb *db, bool (*fn)(void *arg, kv_value *v), void *arg) {
    if (db == NULL) return;
    kv_table_iter iter;
    kv_table_iter_start(&iter, &db->keys);
    for (kv_value *v = kv_table_iter_next(&iter); v != NULL; v = kv_table_iter_next(&iter))
        if (!fn(arg, v)) return;
}

kv_value *kv_keydb_random(kv_keydb *db) { return db == NULL ? NULL : kv_table_random(&db->keys, &db->shard->rng); }

size_t kv_value_memory(const kv_value *v, size_t samples) {
    /* What table.c reckons for a slot; a heap slot takes 16. */
    size_t bytes = kv_entry_bytes(v) + 11 + kv_value_container_bytes(v, samples);
    if (v->flags & KV_VALUE_EXPIRES) bytes += sizeof(kv_heap_entry);
    if (kv_entry_has_fields(v)) bytes += sizeof(kv_heap_entry);
    return bytes;
}
