/* MULTI, EXEC, DISCARD, WATCH, UNWATCH. */
#include "engine/errors.h"
#include "engine/transaction.h"

void kv_cmd_multi(kv_ctx *c) {
    if (kv_transaction_begin(c->session)) kv_reply_ok(c->reply);
    else kv_ctx_out_of_memory(c);
}

void kv_cmd_exec(kv_ctx *c) {
    if (!kv_in_multi(c->session)) {
        kv_reply_error(c->reply, KV_ERR_EXEC_WITHOUT_MULTI);
        return;
    }
    kv_transaction_exec(c);
}

void kv_cmd_discard(kv_ctx *c) {
    if (!kv_in_multi(c->session)) {
        kv_reply_error(c->reply, KV_ERR_DISCARD_WITHOUT_MULTI);
        return;
    }
    kv_transaction_discard(c->session);
    kv_reply_ok(c->reply);
}

void kv_cmd_watch(kv_ctx *c) {
    for (int i = 1; i < c->argc; i++) {
        kv_key key = kv_ctx_key(c, i);
        if (kv_watch_key(c, &key)) continue;
        kv_ctx_out_of_memory(c);
        return;
    }
    kv_reply_ok(c->reply);
}

void kv_cmd_unwatch(kv_ctx *c) {
    kv_unwatch(c->session);
    kv_reply_ok(c->reply);
}
