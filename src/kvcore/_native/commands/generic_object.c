/* OBJECT: how a value is kept (its HELP is in help.c). Looking does not count as an access. */
#include "commands/keys_common.h"
#include "engine/engine.h"
#include "engine/errors.h"

/* The value of argv[2], or NULL after a null was replied. */
static kv_value *subject(kv_ctx *c) {
    kv_key key = kv_ctx_key(c, 2);
    kv_value *v = kv_ctx_find(c, &key, KV_FIND_PEEK);
    if (v == NULL) kv_reply_null(c->reply);
    return v;
}

static kv_access_config access_of(const kv_ctx *c) { return atomic_load_explicit(&c->engine->store.access, memory_order_relaxed); }

void kv_cmd_object_encoding(kv_ctx *c) {
    static const char *const names[KV_ENC_COUNT] = {"int",       "embstr",    "raw",      "listpack", "intset",
                                                    "quicklist", "hashtable", "skiplist", "stream"};
    const kv_value *v = subject(c);
    if (v != NULL) kv_reply_bulk_cstr(c->reply, names[v->enc]);
}

void kv_cmd_object_refcount(kv_ctx *c) {
    if (subject(c) != NULL) kv_reply_int(c->reply, 1); /* values are never shared */
}

void kv_cmd_object_idletime(kv_ctx *c) {
    const kv_value *v = subject(c);
    if (v == NULL) return;
    if (kv_policy_is_lfu(access_of(c).policy)) kv_reply_error(c->reply, KV_ERR_OBJECT_LRU);
    else kv_reply_int(c->reply, kv_access_idle_ms(v, kv_ctx_now_ms(c)) / 1000);
}

void kv_cmd_object_freq(kv_ctx *c) {
    const kv_value *v = subject(c);
    if (v == NULL) return;
    if (!kv_policy_is_lfu(access_of(c).policy)) kv_reply_error(c->reply, KV_ERR_OBJECT_LFU);
    else kv_reply_int(c->reply, kv_access_frequency(v, access_of(c), kv_ctx_now_ms(c)));
}
