/* The layout of an entry (drawing and byte counts in entry.c): for the store's own files. */
#ifndef KV_STORE_ENTRY_H
#define KV_STORE_ENTRY_H

#include "store/access.h"
#include "store/keyspace.h"

static inline uint32_t kv_entry_access(const kv_value *v) { return v->access & KV_ACCESS_MASK; }

/* flags: embedded entries keep the length of their text where others say KV_VALUE_FIELDS. */
static inline bool kv_entry_has_fields(const kv_value *v) { return (v->flags & (KV_VALUE_EMBEDDED | KV_VALUE_FIELDS)) == KV_VALUE_FIELDS; }

#define KV_POS_NONE UINT32_MAX /* in no heap */

/* What decides an entry's layout, and with it the size of its block. */
typedef struct kv_layout {
    bool embedded, expires, fields;
    size_t key_len;
    size_t text_len; /* embedded only */
} kv_layout;

size_t kv_layout_bytes(kv_layout layout);
kv_layout kv_entry_layout(const kv_value *v);
static inline size_t kv_entry_block(const kv_value *v) { return kv_layout_bytes(kv_entry_layout(v)); }

/* Is a string of text_len bytes embedded beside this key? The answer is Valkey 9.1's, for OBJECT ENCODING says so. */
bool kv_entry_embeds(size_t key_len, size_t text_len, bool expires);

/* A block with layout, key, version 0 and access 0 filled in; expiry, heap positions (none), u and text are the caller's to set. NULL: out of memory. */
kv_value *kv_entry_new(kv_arena *arena, kv_layout layout, kv_slice key);
void kv_entry_free(kv_arena *arena, kv_value *v); /* the block only */

void kv_entry_put_text(kv_value *v, kv_slice text); /* embedded: as long as the block's layout has room for; may be the old text itself */
void kv_entry_put_expire(kv_value *v, int64_t expire_ms); /* the layout has `expires` */
uint32_t kv_entry_expire_pos(const kv_value *v);
void kv_entry_put_expire_pos(kv_value *v, uint32_t pos);
uint32_t kv_entry_field_pos(const kv_value *v); /* KV_POS_NONE also when the entry has no room for one */
void kv_entry_put_field_pos(kv_value *v, uint32_t pos);

#endif
