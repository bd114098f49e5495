/* The hash that a writing command changes: an existing one, or a fresh one that joins the key space once its fields are in. */
#ifndef KV_COMMANDS_HASH_TARGET_H
#define KV_COMMANDS_HASH_TARGET_H

#include "base/num.h"
#include "engine/effect.h"
#include "types/hash.h"

typedef struct kv_hash_target {
    kv_key key;
    kv_value *v;    /* what to change: the entry, or &fresh */
    kv_value fresh; /* until kv_hash_target_land */
    bool is_new;
    bool expired;   /* a field that had expired was replaced: `hexpired` is due */
    size_t created; /* fields that were not there */
} kv_hash_target;

/* Finds the key of argv[1] or makes a fresh hash. False: the error has been replied. Afterwards exactly one of _land and _abandon is called. */
bool kv_hash_target_open(kv_ctx *c, kv_hash_target *t);
/* Sets all pairs (field, value, field, value, ...) or none, and keeps the books. False: out of memory, replied, nothing has changed, and the target is
 * abandoned. */
bool kv_hash_target_set(kv_ctx *c, kv_hash_target *t, const kv_slice *pairs, size_t count, int64_t expiry_ms);
/* Puts a fresh hash into the key space, re-indexes field expiries, emits `hexpired` if due, then counts the change and emits `event`.
 * False: out of memory, replied, nothing has changed: only a fresh hash can meet that. */
bool kv_hash_target_land(kv_ctx *c, kv_hash_target *t, const char *event);
/* Nothing was changed. */
void kv_hash_target_abandon(kv_hash_target *t);

/* The instant that decides which fields are expired. */
static inline int64_t kv_hash_now(kv_ctx *c) { return kv_ctx_past_ms(c); }
/* After fields were removed: re-indexes expiries, or removes the key with its `del` when no field is left. */
void kv_hash_shrunk(kv_ctx *c, const kv_key *key, kv_value *v);
/* What redoes a change of single fields. Only those that changed are named: one that has expired here may still be there where the log is read. NAME key [when] FIELDS n field ..., and HDEL key field ...; nothing without fields. `when` NULL: none. */
void kv_hash_log_fields(kv_ctx *c, const char *name, const kv_key *key, const int64_t *when, const kv_picked *fields);
void kv_hash_log_removed(kv_ctx *c, const kv_key *key, const kv_picked *fields);
/* HSETEX key PXAT when FIELDS n field value ..., or HSET when there is no time. */
void kv_hash_log_pairs(kv_ctx *c, const kv_key *key, int64_t expiry_ms, const kv_slice *pairs, int count);
/* Fields that a command's own time made expire count as expired (INFO expired_fields). */
void kv_hash_count_expired(kv_ctx *c, size_t fields);
/* Whether the hash has any of these fields: before room for expiries is made for nothing. */
bool kv_hash_has_any(kv_ctx *c, const kv_value *v, const kv_slice *fields, int count);

#endif
