/* What CLIENT and HELLO share: checking and storing the names that clients give themselves, and the password. */
#ifndef KV_COMMANDS_CLIENT_NAMES_H
#define KV_COMMANDS_CLIENT_NAMES_H

#include "engine/ctx.h"
#include "engine/engine.h"

/* Printable ASCII without spaces: what does not break CLIENT LIST's lines. Empty is fine: it takes the name away. */
static inline bool kv_client_name_ok(kv_slice name) {
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] < '!' || name.ptr[i] > '~') return false;
    return true;
}

/* User's bytes for an error text, NUL-terminated and cut to 128. */
typedef struct kv_printable {
    char text[129];
} kv_printable;
static inline kv_printable kv_client_printable(kv_slice word) {
    kv_printable out;
    size_t len = word.len < 128 ? word.len : 128;
    for (size_t i = 0; i < len; i++) out.text[i] = word.ptr[i] == 0 ? ' ' : (char)word.ptr[i];
    out.text[len] = 0;
    return out;
}

/* Replaces one of the session's own texts, under the registry's lock. False: out of memory, replied. */
bool kv_client_set_text(kv_ctx *c, kv_buf *field, kv_slice text);

/* Whether requirepass is exactly this; empty: whether none is set. */
bool kv_password_is(kv_engine *engine, kv_slice candidate);

#endif
