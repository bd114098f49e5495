/* RENAME, MOVE and COPY: a value gets another key, database or shard.
 *
 *   fallible, undone in reverse when a later step fails          then nothing fails any more
 *   1 entry block for the new key   2 index room                 5 replace or keep the table slot, indexes, value
 *   3 table slot (when no old key)  4 value into the arena       6 old key out of its database
 *
 * A big container crosses shards without a copy: it stays in the arena where it was made, which from then on locks itself (kv_arena_share). */
#include "store/cut.h"
#include "store/keydb.h"
#include "store/pin.h"
#include "types/string.h"

/* Layout of the entry that takes over v's value under another key. */
static kv_layout layout_under(const kv_value *v, size_t key_len, bool expires) {
    kv_layout layout = kv_entry_layout(v);
    layout.key_len = key_len;
    layout.expires = expires;
    layout.fields = kv_value_next_field_expiry(v) != INT64_MAX;
    layout.embedded = layout.embedded && kv_entry_embeds(key_len, layout.text_len, expires);
    return layout;
}

/* A fresh entry for v's value; text is copied into it (embedded, or a raw string of `to`'s arena); u of other values is not set yet. */
static kv_value *fresh_under(kv_keydb *to, const kv_value *v, kv_slice key, int64_t expire_ms) {
    kv_layout layout = layout_under(v, key.len, expire_ms >= 0);
    kv_value *fresh = kv_entry_new(to->arena, layout, key);
    if (fresh == NULL) return NULL;
    fresh->type = v->type;
    fresh->enc = v->enc;
    if (layout.expires) kv_entry_put_expire(fresh, expire_ms);
    if ((v->flags & KV_VALUE_EMBEDDED) == 0) return fresh;
    char scratch[KV_NUM_MAX];
    kv_slice text = kv_entry_string(v, scratch);
    if (layout.embedded) {
        kv_entry_put_text(fresh, text);
        return fresh;
    }
    fresh->enc = KV_ENC_RAW;
    fresh->u.ptr = kv_str_new(to->arena, text, 0);
    if (fresh->u.ptr != NULL) return fresh;
    kv_entry_free(to->arena, fresh);
    return NULL;
}

static void drop_fresh(kv_keydb *to, const kv_value *v, kv_value *fresh) {
    if ((v->flags & KV_VALUE_EMBEDDED) != 0 && fresh->enc == KV_ENC_RAW) kv_str_free(to->arena, fresh->u.ptr);
    kv_entry_free(to->arena, fresh);
}

kv_status kv_keydb_move(kv_keydb *from, uint64_t from_hash, kv_value *v, kv_keydb *to, uint64_t to_hash, kv_slice to_key, kv_value *old,
                        kv_value **out) {
    kv_cut_before(from, v, false); /* its value lives on */
    kv_value *fresh = fresh_under(to, v, to_key, kv_entry_expire_ms(v));
    if (fresh == NULL) return KV_ENOMEM;
    if (from->shard != to->shard && from->shard->pins != NULL) kv_shard_settle(from->shard, v); /* readers that stay */
    kv_status status = kv_keydb_reserve(to, kv_entry_expire_ms(v) >= 0, kv_entry_has_fields(fresh));
    if (status == KV_OK && old == NULL) status = kv_table_insert(&to->keys, to_hash, fresh);
    if (status != KV_OK) {
        drop_fresh(to, v, fresh);
        return status;
    }
    if ((v->flags & KV_VALUE_EMBEDDED) == 0) {
        status = kv_value_rehome(v, from->arena, to->arena);
        if (status != KV_OK) {
            if (old == NULL) (void)kv_table_remove_entry(&to->keys, to_hash, fresh);
            drop_fresh(to, v, fresh);
            return status;
        }
        fresh->enc = v->enc;
        fresh->u = v->u;
        if (from->shard != to->shard) to->shard->has_guests = true;
    }
    fresh->version = to->shard->version;
    kv_access_set(fresh, kv_entry_access(v));
    if (from->shard != to->shard && from->shard->pins != NULL) kv_shard_move_watchers(from->shard, to->shard, fresh);
    if (old != NULL) {
        kv_cut_before(to, old, true);
        (void)kv_keydb_install(to, to_hash, old, fresh); /* replacing cannot fail */
        kv_shard_dispose(to->shard, old);
    } else {
        kv_keydb_index(to, fresh);
        kv_keydb_publish_counts(to);
    }
    (void)kv_keydb_detach(from, from_hash, v); /* last: an emptied heap forgets what was reserved in it */
    kv_entry_free(from->arena, v);
    if (out != NULL) *out = fresh;
    return KV_OK;
}

kv_status kv_keydb_copy(const kv_value *v, kv_keydb *to, uint64_t to_hash, kv_slice to_key, kv_value *old, kv_value **out) {
    if ((v->flags & KV_VALUE_EMBEDDED) == 0) {
        kv_value copy = *v;
        kv_status status = kv_value_copy(v, &copy, to->arena);
        if (status != KV_OK) return status;
        int64_t expire_ms = kv_entry_expire_ms(v);
        status = kv_keydb_replace_value(to, to_hash, to_key, old, copy, expire_ms >= 0 ? KV_EXPIRE_AT : KV_EXPIRE_CLEAR, expire_ms, out);
        if (status != KV_OK) kv_value_free(&copy, to->arena);
        return status;
    }
    kv_value *fresh = fresh_under(to, v, to_key, kv_entry_expire_ms(v));
    if (fresh == NULL) return KV_ENOMEM;
    kv_keydb_stamp(to, fresh, old);
    kv_status status = kv_keydb_reserve(to, (fresh->flags & KV_VALUE_EXPIRES) != 0, false);
    if (status == KV_OK && old != NULL) kv_cut_before(to, old, true); /* replacing cannot fail */
    if (status == KV_OK) status = kv_keydb_install(to, to_hash, old, fresh);
    if (status != KV_OK) {
        drop_fresh(to, v, fresh);
        return status;
    }
    if (old != NULL) kv_shard_dispose(to->shard, old);
    if (out != NULL) *out = fresh;
    return KV_OK;
}
