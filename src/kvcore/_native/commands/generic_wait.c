/* WAIT and WAITAOF of a store without replicas and without an append-only file: nobody will answer, so a wait lasts until its time is up. */
#include "commands/keys_common.h"
#include "engine/engine.h"
#include "engine/errors.h"

static bool parse_timeout(kv_ctx *c, int arg, int64_t *timeout_ms) {
    if (!kv_ctx_i64_or(c, arg, timeout_ms, KV_ERR_TIMEOUT_NOT_INTEGER)) return false;
    if (*timeout_ms >= 0) return true;
    kv_reply_error(c->reply, KV_ERR_TIMEOUT_NEGATIVE);
    return false;
}

/* True when the session waits now; false: reply at once (nothing is asked for, or it may not block). */
static bool waits(kv_ctx *c, int64_t replicas, int64_t timeout_ms) {
    return replicas > 0 && kv_ctx_block(c, NULL, 0, KV_STRING, timeout_ms, false);
}

void kv_cmd_wait(kv_ctx *c) {
    int64_t replicas, timeout_ms;
    if (!kv_ctx_i64(c, 1, &replicas) || !parse_timeout(c, 2, &timeout_ms)) return;
    if (!waits(c, replicas, timeout_ms)) kv_reply_int(c->reply, 0);
}

void kv_cmd_waitaof(kv_ctx *c) {
    int64_t local, replicas, timeout_ms;
    if (!kv_ctx_range_i64(c, 1, 0, 1, &local, NULL) || !kv_ctx_positive(c, 2, &replicas) || !parse_timeout(c, 3, &timeout_ms)) return;
    if (local > 0) {
        kv_reply_error(c->reply, "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
        return;
    }
    if (waits(c, replicas, timeout_ms)) return;
    kv_reply_array(c->reply, 2);
    kv_reply_int(c->reply, 0);
    kv_reply_int(c->reply, 0);
}
