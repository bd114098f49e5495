/* WAIT and WAITAOF of a store without replicas: nobody will answer, so a wait for them lasts until its time is up.
 *
 * The local part of WAITAOF asks for a sync at once and holds its own reply back until everything that was logged before is durable. */
#include "commands/keys_common.h"
#include "engine/engine.h"
#include "engine/errors.h"
#include "engine/persistence.h"
#include "engine/session.h"

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
    const kv_persistence *files = c->engine->persistence;
    uint64_t number = 0;
    bool logs = files != NULL && files->sync(files->arg, &number);
    if (local > 0 && !logs) {
        kv_reply_error(c->reply, "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
        return;
    }
    if (logs && local > 0 && number > c->session->need) c->session->need = number;
    if (waits(c, replicas, timeout_ms)) return;
    kv_reply_array(c->reply, 2);
    kv_reply_int(c->reply, local > 0);
    kv_reply_int(c->reply, 0);
}
