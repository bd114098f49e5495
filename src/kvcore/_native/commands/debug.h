/* The parts of DEBUG. Each is called with every shard locked. */
#ifndef KV_COMMANDS_DEBUG_H
#define KV_COMMANDS_DEBUG_H

#include "engine/ctx.h"
#include "engine/engine.h"

void kv_debug_digest(kv_ctx *c);       /* O(all data) */
void kv_debug_digest_value(kv_ctx *c); /* O(the values) */
void kv_debug_protocol(kv_ctx *c);     /* a reply of each type */
void kv_debug_object(kv_ctx *c, kv_slice name, bool fast);
size_t kv_debug_length(const kv_value *v); /* elements */

#endif
