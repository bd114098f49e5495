/* A sorted set of integers in one block: 16, 32 or 64 bits each, as wide as the widest member asks for. The byte format is that of RDB
 * files.
 *
 * The block is kv_intset_bytes(set) bytes of the arena it was made in. Functions that change it return it, possibly moved; NULL: out of
 * memory or over 2^32-1 members, and nothing has changed. Searching is O(log n), changing O(n) (a memmove). */
#ifndef KV_DS_INTSET_H
#define KV_DS_INTSET_H

#include "base/arena.h"

uint8_t *kv_intset_new(kv_arena *arena);
void kv_intset_free(kv_arena *arena, uint8_t *set); /* NULL is fine */
uint8_t *kv_intset_dup(kv_arena *to, const uint8_t *set);
size_t kv_intset_bytes(const uint8_t *set);
size_t kv_intset_count(const uint8_t *set);
bool kv_intset_has(const uint8_t *set, int64_t member);
/* *added / *removed (may be NULL): whether the set changed. */
uint8_t *kv_intset_add(kv_arena *arena, uint8_t *set, int64_t member, bool *added);
uint8_t *kv_intset_remove(kv_arena *arena, uint8_t *set, int64_t member, bool *removed);
int64_t kv_intset_at(const uint8_t *set, size_t index); /* index < count; ascending */
/* For bytes from outside: header and size; `deep` also that members ascend strictly. */
bool kv_intset_validate(const uint8_t *bytes, size_t len, bool deep);
bool kv_intset_check(const uint8_t *set);

#endif
