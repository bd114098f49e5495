/* The parts of DEBUG. Each is called with every shard locked. */
#ifndef KV_COMMANDS_DEBUG_H
#define KV_COMMANDS_DEBUG_H

#include "engine/ctx.h"
#include "engine/engine.h"

void kv_debug_digest(kv_ctx *c);       /* O(all data) */
void kv_debug_digest_value(kv_ctx *c); /* O(the values) */
void kv_debug_protocol(kv_ctx *c);     /* a reply of each type */
void kv_debug_object(kv_ctx *c, kv_slice name, bool fast);
void kv_debug_listpack(kv_ctx *c); /* these two write lines to the log */
void kv_debug_quicklist(kv_ctx *c);
void kv_debug_packed_threshold(kv_ctx *c);
void kv_debug_tables(kv_ctx *c); /* HTSTATS: O(buckets) */
void kv_debug_key_table(kv_ctx *c);
/* Gives the locks back around what takes long; inside EXEC they stay held: a transaction is one step. */
uint64_t kv_debug_open_locks(kv_ctx *c);
void kv_debug_close_locks(kv_ctx *c, uint64_t held);
size_t kv_debug_length(const kv_value *v); /* elements */

#endif
