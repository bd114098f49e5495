/* What the store does to a value without caring for its type: one dispatch over the types. For the store's own files. */
#ifndef KV_STORE_VALUE_OPS_H
#define KV_STORE_VALUE_OPS_H

#include "base/arena.h"
#include "base/status.h"
#include "types/value.h"

size_t kv_value_length(const kv_value *v);                             /* elements; 1 for strings */
void kv_value_free(kv_value *v, kv_arena *arena);                      /* what u points to */
bool kv_value_free_some(kv_value *v, kv_arena *arena, size_t *budget); /* true: all is freed */
/* type, enc and u of *dst become a copy in `arena`. Embedded strings are not the business of these: entries know how to read them. */
kv_status kv_value_copy(const kv_value *src, kv_value *dst, kv_arena *arena);
kv_status kv_value_rehome(kv_value *v, kv_arena *from, kv_arena *to);
size_t kv_value_container_bytes(const kv_value *v, size_t samples); /* beside the entry */
bool kv_value_check(const kv_value *v);
int64_t kv_value_next_field_expiry(const kv_value *v); /* INT64_MAX: none */

#endif
