/* The option words of SET, GETEX and MSETEX. */
#ifndef KV_COMMANDS_STRING_OPTIONS_H
#define KV_COMMANDS_STRING_OPTIONS_H

#include "engine/ctx.h"

enum { /* which words a command knows, besides EX, PX, EXAT and PXAT */
       KV_STRING_NX_XX = 1,
       KV_STRING_IFEQ = 2,
       KV_STRING_GET = 4,
       KV_STRING_KEEPTTL = 8,
       KV_STRING_PERSIST = 16
};

typedef struct kv_string_options {
    bool nx, xx, get, keepttl, persist;
    const kv_slice *ifeq; /* NULL: none */
    kv_expire_rule rule;  /* CLEAR, KEEP (KEEPTTL) or AT */
    int64_t expire_ms;    /* AT */
} kv_string_options;

/* Reads argv[from..]. False: a syntax error or a bad time was replied. */
bool kv_string_options_parse(kv_ctx *c, int from, unsigned known, kv_string_options *out);

#endif
