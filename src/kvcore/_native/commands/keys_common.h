/* What the string and generic commands share: looking without touching, storing strings, times as arguments. */
#ifndef KV_COMMANDS_KEYS_COMMON_H
#define KV_COMMANDS_KEYS_COMMON_H

#include "engine/ctx.h"

/* Finds a key for a command that tells about it without using it (TTL, TYPE, EXISTS): counts a hit or miss, emits `keymiss`, leaves the access
 * clock alone. */
kv_value *kv_keys_look(kv_ctx *c, const kv_key *key);

/* A moment given as an argument, in milliseconds since 1970: `unit_ms` 1000 for seconds; relative to now unless `absolute`. Must be positive, and not
 * overflow. False: the error was replied. */
bool kv_keys_moment(kv_ctx *c, int arg, int64_t unit_ms, bool absolute, int64_t *expire_ms);

/* Deletes a key because it was given a time that has passed: the event is `expired`. */
void kv_keys_expire_now(kv_ctx *c, const kv_key *key);

/* Sets a string where kv_ctx_find just found `old` (NULL: nothing). Emits `new` for a new key; the change's own event is the caller's.
 * False: out of memory, replied. */
bool kv_keys_put(kv_ctx *c, const kv_key *key, kv_value *old, kv_slice bytes, kv_expire_rule rule, int64_t expire_ms);

/* The largest string a command may make (proto-max-bulk-len). */
size_t kv_keys_string_max(const kv_ctx *c);

#endif
