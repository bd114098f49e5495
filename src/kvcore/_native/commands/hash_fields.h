/* The part `FIELDS numfields field ...` that the newer hash commands end with, and the times that stand before it. */
#ifndef KV_COMMANDS_HASH_FIELDS_H
#define KV_COMMANDS_HASH_FIELDS_H

#include "base/num.h"
#include "commands/hash_target.h"

#define KV_ERR_NUMFIELDS "ERR numfields should be greater than 0 and match the provided number of fields"

typedef struct kv_hash_fields {
    int first; /* argument index of the first field */
    int count; /* fields; `words_a_field` arguments each */
} kv_hash_fields;

/* The place of the word FIELDS at or after `from`, with at least one argument behind it; 0: none, replied. */
int kv_hash_fields_find(kv_ctx *c, int from);
/* Reads the count behind the word FIELDS at `at`; it has to match what follows, else `mismatch` is replied. */
bool kv_hash_fields_at(kv_ctx *c, int at, int words_a_field, const char *mismatch, kv_hash_fields *out);
/* Argument `arg` as an absolute time in milliseconds. False: replied. */
bool kv_hash_expire_time(kv_ctx *c, int arg, bool seconds, bool relative, int64_t *out);

#endif
