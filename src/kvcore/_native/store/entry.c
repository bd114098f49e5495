/* An entry: one block with everything that a key needs, so that a lookup touches the table's bucket and this block, and for short strings no more.
 *
 *   offset  bytes
 *   0       1      type and encoding (4 bits each)
 *   1       1      flags: EMBEDDED, EXPIRES; then FIELDS, or when EMBEDDED six bits for the length of the text (63: one byte behind the key)
 *   2       2      version (snapshot epoch of the last change)
 *   4       3      access clock
 *   7       1      length of the key (255: four bytes in front of the key)
 *   8       8      u: pointer or integer                     not when EMBEDDED
 *           8      expiry, milliseconds                      when EXPIRES
 *           4      place in the expiry heap                  when EXPIRES
 *           4      place in the field-expiry heap            when FIELDS
 *           0 | 4  length of the key                         from 255 bytes on
 *           n      key
 *           0 | 1  length of the text                        when EMBEDDED, from 63 bytes on
 *           m      text                                      when EMBEDDED
 *
 * On paper, against Valkey 9.1 (object header 8 bytes, 1 byte of key-header size, key with 2 or 4 bytes of header and NUL, text with 4; expiry 8, and
 * 8 more for the entry in its second table). The number behind the arrow is the size class.
 *
 *   key 16, text 32:            8 + 16 + 32              = 56 -> 56      Valkey  8 + 1+18 + 36      = 63 -> 64
 *   key 16, text 32, expiry:    8 + 12 + 16 + 32         = 68 -> 72      Valkey  8 + 8 + 1+18 + 36  = 71 -> 80
 *   key 16, text 36:            8 + 16 + 36              = 60 -> 64      Valkey                       67 -> 80
 *   key 16, integer:            8 + 8 + 16               = 32 -> 32      Valkey  16 + 1+18          = 35 -> 48
 *   key 16, container:          8 + 8 + 16               = 32 -> 32      Valkey  16 + 1+18          = 35 -> 48
 *
 * Fields behind the header are read with memcpy: after an expiry nothing is aligned. u always is (offset 8 of an aligned block). The key's length
 * is the top byte of the 32-bit word that also holds the access clock: only kv_access_set writes that word.
 *
 * Invariants: a text is at most 112 bytes (kv_entry_embeds), so its length is one byte; EMBEDDED entries never have FIELDS. */
#include "store/entry.h"

#include "types/string.h"

_Static_assert(KV_VALUE_EMBEDDED == 1 && KV_VALUE_EXPIRES == 2 && KV_VALUE_FIELDS == 4, "kv_entry_key has a table by these bits");

enum { HEADER = 8, EXPIRE_BYTES = 12, FIELD_BYTES = 4, LONG_KEY = 255, LONG_KEY_BYTES = 4, LONG_TEXT = 63, KEY_SHIFT = 24, TEXT_SHIFT = 2 };

static size_t key_offset(bool embedded, bool expires, bool fields) {
    return HEADER + (embedded ? 0 : sizeof(uint64_t)) + (expires ? EXPIRE_BYTES : 0) + (fields ? FIELD_BYTES : 0);
}
static size_t expire_offset(const kv_value *v) { return HEADER + ((v->flags & KV_VALUE_EMBEDDED) ? 0 : sizeof(uint64_t)); }
static uint8_t *at(kv_value *v, size_t offset) { return (uint8_t *)v + offset; }
static const uint8_t *peek(const kv_value *v, size_t offset) { return (const uint8_t *)v + offset; }

size_t kv_layout_bytes(kv_layout layout) {
    size_t bytes =
        key_offset(layout.embedded, layout.expires, layout.fields) + (layout.key_len < LONG_KEY ? 0 : LONG_KEY_BYTES) + layout.key_len;
    return layout.embedded ? bytes + (layout.text_len < LONG_TEXT ? 0 : 1) + layout.text_len : bytes;
}

kv_slice kv_entry_key(const kv_value *v) {
    /* key_offset by the low three flags: every lookup comes here. In an embedded entry the third is a bit of the text's length. */
    static const uint8_t offset[8] = {HEADER + 8,
                                      HEADER,
                                      HEADER + 8 + EXPIRE_BYTES,
                                      HEADER + EXPIRE_BYTES,
                                      HEADER + 8 + FIELD_BYTES,
                                      HEADER,
                                      HEADER + 8 + EXPIRE_BYTES + FIELD_BYTES,
                                      HEADER + EXPIRE_BYTES};
    const uint8_t *p = peek(v, offset[v->flags & 7u]);
    uint32_t len = v->access >> KEY_SHIFT;
    if (len < LONG_KEY) return kv_slice_of(p, len);
    memcpy(&len, p, sizeof len);
    return kv_slice_of(p + LONG_KEY_BYTES, len);
}

/* The text of an embedded entry. */
static kv_slice text_of(const kv_value *v) {
    kv_slice key = kv_entry_key(v);
    const uint8_t *end = key.ptr + key.len;
    size_t len = v->flags >> TEXT_SHIFT;
    return len < LONG_TEXT ? kv_slice_of(end, len) : kv_slice_of(end + 1, *end);
}

kv_layout kv_entry_layout(const kv_value *v) {
    kv_layout layout = {.embedded = (v->flags & KV_VALUE_EMBEDDED) != 0,
                        .expires = (v->flags & KV_VALUE_EXPIRES) != 0,
                        .fields = kv_entry_has_fields(v),
                        .key_len = kv_entry_key(v).len};
    if (layout.embedded) layout.text_len = text_of(v).len;
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
    v->access = (uint32_t)(key.len < LONG_KEY ? key.len : LONG_KEY) << KEY_SHIFT;
    v->flags = (uint8_t)((layout.embedded ? KV_VALUE_EMBEDDED : 0) | (layout.expires ? KV_VALUE_EXPIRES : 0) |
                         (layout.fields ? KV_VALUE_FIELDS : 0));
    if (layout.expires) kv_entry_put_expire_pos(v, KV_POS_NONE);
    if (layout.fields) kv_entry_put_field_pos(v, KV_POS_NONE);
    uint8_t *p = at(v, key_offset(layout.embedded, layout.expires, layout.fields));
    if (key.len >= LONG_KEY) {
        uint32_t len = (uint32_t)key.len;
        memcpy(p, &len, sizeof len);
        p += LONG_KEY_BYTES;
    }
    if (key.len > 0) memcpy(p, key.ptr, key.len);
    return v;
}

void kv_entry_free(kv_arena *arena, kv_value *v) { kv_arena_free(arena, v, kv_entry_block(v)); }

void kv_entry_put_text(kv_value *v, kv_slice text) {
    kv_slice key = kv_entry_key(v);
    uint8_t *p = at(v, (size_t)(key.ptr - (const uint8_t *)v) + key.len);
    bool is_long = text.len >= LONG_TEXT;
    if (text.len > 0) memmove(p + is_long, text.ptr, text.len);
    if (is_long) *p = (uint8_t)text.len;
    unsigned length_bits = is_long ? LONG_TEXT : (unsigned)text.len;
    v->flags = (uint8_t)((v->flags & (KV_VALUE_EMBEDDED | KV_VALUE_EXPIRES)) | length_bits << TEXT_SHIFT);
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
    if (!kv_entry_has_fields(v)) return KV_POS_NONE;
    uint32_t pos;
    memcpy(&pos, peek(v, field_offset(v)), sizeof pos);
    return pos;
}
void kv_entry_put_field_pos(kv_value *v, uint32_t pos) { memcpy(at(v, field_offset(v)), &pos, sizeof pos); }

kv_slice kv_entry_string(const kv_value *v, char scratch[KV_NUM_MAX]) {
    if (v->flags & KV_VALUE_EMBEDDED) return text_of(v);
    if (v->enc == KV_ENC_INT) return kv_slice_of(scratch, kv_format_i64(scratch, v->u.num));
    return kv_str_slice(v->u.ptr);
}

size_t kv_entry_string_length(const kv_value *v) {
    char scratch[KV_NUM_MAX];
    return kv_entry_string(v, scratch).len;
}

size_t kv_entry_bytes(const kv_value *v) { return kv_arena_good_size(kv_entry_block(v)); }
