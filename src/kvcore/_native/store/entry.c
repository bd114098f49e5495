/* An entry: one block with everything that a key needs, so that a lookup touches the table's bucket and this block, and for short strings no more.
 *
 *   offset  bytes
 *   0       1      type and encoding (4 bits each)
 *   1       1      flags: EMBEDDED, EXPIRES, FIELDS
 *   2       2      version (snapshot epoch of the last change)
 *   4       4      access clock
 *   8       8      u: pointer or integer                     not when EMBEDDED
 *           8      expiry, milliseconds                      when EXPIRES
 *           4      place in the expiry heap                  when EXPIRES
 *           4      place in the field-expiry heap            when FIELDS
 *           1 | 5  key length; 0xFF says: 4 bytes follow
 *           n      key
 *           1      length of the text                        when EMBEDDED
 *           m      text                                      when EMBEDDED
 *
 * On paper, against Valkey 9.1 (object header 8 bytes, 1 byte of key-header size, key with 2 or 4 bytes of header and NUL, text with 4; expiry 8, and
 * 8 more for the entry in its second table). The last column is the size class.
 *
 *   key 16, text 32:            8 + 1+16 + 1+32          = 58 -> 64      Valkey  8 + 1+18 + 36      = 63 -> 64
 *   key 16, text 32, expiry:    8 + 12 + 1+16 + 1+32     = 70 -> 80      Valkey  8 + 8 + 1+18 + 36  = 71 -> 80
 *   key 16, text 36:            8 + 1+16 + 1+36          = 62 -> 64      Valkey                       67 -> 80
 *   key 16, integer:            8 + 8 + 1+16             = 33 -> 48      Valkey  16 + 1+18          = 35 -> 40
 *   key 16, container:          8 + 8 + 1+16             = 33 -> 48      Valkey  16 + 1+18          = 35 -> 40
 *
 * Fields behind the header are read with memcpy: after an expiry nothing is aligned. u always is (offset 8 of an aligned block).
 *
 * Invariants: a text is at most 112 bytes (kv_entry_embeds), so its length is one byte; EMBEDDED entries never have FIELDS. */
#include "store/entry.h"

#include "types/string.h"

enum { HEADER = 8, EXPIRE_BYTES = 12, FIELD_BYTES = 4, LONG_KEY = 0xFF };

static size_t key_offset(bool embedded, bool expires, bool fields) {
    return HEADER + (embedded ? 0 : sizeof(uint64_t)) + (expires ? EXPIRE_BYTES : 0) + (fields ? FIELD_BYTES : 0);
}
static size_t expire_offset(const kv_value *v) { return HEADER + ((v->flags & KV_VALUE_EMBEDDED) ? 0 : sizeof(uint64_t)); }
static uint8_t *at(kv_value *v, size_t offset) { return (uint8_t *)v + offset; }
static const uint8_t *peek(const kv_value *v, size_t offset) { return (const uint8_t *)v + offset; }

size_t kv_layout_bytes(kv_layout layout) {
    size_t bytes = key_offset(layout.embedded, layout.expires, layout.fields) + (layout.key_len < LONG_KEY ? 1 : 5) + layout.key_len;
    return layout.embedded ? bytes + 1 + layout.text_len : bytes;
}

static kv_slice key_of(const kv_value *v) {
    const uint8_t *p =
        peek(v, key_offset((v->flags & KV_VALUE_EMBEDDED) != 0, (v->flags & KV_VALUE_EXPIRES) != 0, (v->flags & KV_VALUE_FIELDS) != 0));
    if (*p != LONG_KEY) return kv_slice_of(p + 1, *p);
    uint32_t len;
    memcpy(&len, p + 1, sizeof len);
    return kv_slice_of(p + 5, len);
}

kv_slice kv_entry_key(const kv_value *v) { return key_of(v); }

kv_layout kv_entry_layout(const kv_value *v) {
    kv_slice key = key_of(v);
    kv_layout layout = {.embedded = (v->flags & KV_VALUE_EMBEDDED) != 0,
                        .expires = (v->flags & KV_VALUE_EXPIRES) != 0,
                        .fields = (v->flags & KV_VALUE_FIELDS) != 0,
                        .key_len = key.len};
    if (layout.embedded) layout.text_len = key.ptr[key.len];
    return layout;
}

bool kv_entry_embeds(size_t key_len, size_t text_len, bool expires) {
    /* Valkey's own bytes: header 8, expiry 8, key-header size 1, key header and NUL 2 (4 from 32 bytes on), text header and NUL 4; two cache lines. */
    if (key_len > 128 || text_len > 128) return false;
    return 8 + (expires ? 8u : 0u) + 1 + (key_len < 32 ? 2u : 4u) + key_len + 4 + text_len <= 128;
}

kv_value *kv_entry_new(kv_arena *arena, kv_layout layout, kv_slice key) {
    if (key.len > UINT32_MAX - 64) return NULL;
    kv_value *v = kv_arena_alloc(arena, kv_layout_bytes(layout));
    if (v == NULL) return NULL;
    memset(v, 0, HEADER);
    v->flags = (uint8_t)((layout.embedded ? KV_VALUE_EMBEDDED : 0) | (layout.expires ? KV_VALUE_EXPIRES : 0) | (layout.fields ? KV_VALUE_FIELDS : 0));
    if (layout.expires) kv_entry_put_expire_pos(v, KV_POS_NONE);
    if (layout.fields) kv_entry_put_field_pos(v, KV_POS_NONE);
    uint8_t *p = at(v, key_offset(layout.embedded, layout.expires, layout.fields));
    if (key.len < LONG_KEY) {
        *p++ = (uint8_t)key.len;
    } else {
        uint32_t len = (uint32_t)key.len;
        *p++ = LONG_KEY;
        memcpy(p, &len, sizeof len);
        p += sizeof len;
    }
    if (key.len > 0) memcpy(p, key.ptr, key.len);
    if (layout.embedded) p[key.len] = (uint8_t)layout.text_len;
    return v;
}

void kv_entry_free(kv_arena *arena, kv_value *v) { kv_arena_free(arena, v, kv_entry_block(v)); }

uint8_t *kv_entry_text(kv_value *v, size_t *len) {
    kv_slice key = key_of(v);
    uint8_t *p = at(v, (size_t)(key.ptr - (const uint8_t *)v) + key.len);
    *len = *p;
    return p + 1;
}

void kv_entry_put_text(kv_value *v, kv_slice text) {
    size_t old_len;
    uint8_t *p = kv_entry_text(v, &old_len);
    if (text.len > 0) memmove(p, text.ptr, text.len);
    p[-1] = (uint8_t)text.len;
}

int64_t kv_entry_expire_ms(const kv_value *v) {
    if ((v->flags & KV_VALUE_EXPIRES) == 0) return KV_NO_EXPIRE;
    int64_t ms;
    memcpy(&ms, peek(v, expire_offset(v)), sizeof ms);
    return ms;
}
void kv_entry_put_expire(kv_value *v, int64_t expire_ms) { memcpy(at(v, expire_offset(v)), &expire_ms, sizeof expire_ms); }

uint32_t kv_entry_expire_pos(const kv_value *v) {
    uint32_t pos;
    memcpy(&pos, peek(v, expire_offset(v) + 8), sizeof pos);
    return pos;
}
void kv_entry_put_expire_pos(kv_value *v, uint32_t pos) { memcpy(at(v, expire_offset(v) + 8), &pos, sizeof pos); }

static size_t field_offset(const kv_value *v) { return expire_offset(v) + ((v->flags & KV_VALUE_EXPIRES) ? EXPIRE_BYTES : 0); }
uint32_t kv_entry_field_pos(const kv_value *v) {
    if ((v->flags & KV_VALUE_FIELDS) == 0) return KV_POS_NONE;
    uint32_t pos;
    memcpy(&pos, peek(v, field_offset(v)), sizeof pos);
    return pos;
}
void kv_entry_put_field_pos(kv_value *v, uint32_t pos) { memcpy(at(v, field_offset(v)), &pos, sizeof pos); }

kv_slice kv_entry_string(const kv_value *v, char scratch[KV_NUM_MAX]) {
    if (v->flags & KV_VALUE_EMBEDDED) {
        kv_slice key = key_of(v);
        return kv_slice_of(key.ptr + key.len + 1, key.ptr[key.len]);
    }
    if (v->enc == KV_ENC_INT) return kv_slice_of(scratch, kv_format_i64(scratch, v->u.num));
    return kv_str_slice(v->u.ptr);
}

size_t kv_entry_string_length(const kv_value *v) {
    char scratch[KV_NUM_MAX];
    return kv_entry_string(v, scratch).len;
}

size_t kv_entry_bytes(const kv_value *v) { return kv_arena_good_size(kv_entry_block(v)); }
