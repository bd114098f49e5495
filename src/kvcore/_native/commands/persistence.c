/* SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE: asking whoever keeps the files. */
#include "engine/persistence.h"

#include "engine/ctx.h"
#include "engine/engine.h"
#include "engine/errors.h"

/* NULL: replied. */
static const kv_persistence *files_of(kv_ctx *c) {
    if (c->engine->persistence == NULL) kv_reply_error(c->reply, KV_ERR_NO_FILES);
    return c->engine->persistence;
}

static void reply_status(kv_ctx *c, bool good, const char *status, kv_buf *reason) {
    if (good) kv_reply_status(c->reply, status);
    else
        kv_reply_errorf(c->reply, "ERR %.*s", (int)(reason->len > 512 ? 512 : reason->len),
                        reason->len > 0 ? (const char *)reason->ptr : "");
    kv_buf_deinit(reason);
}

void kv_cmd_save(kv_ctx *c) {
    const kv_persistence *files = files_of(c);
    if (files == NULL) return;
    kv_buf reason;
    kv_buf_init(&reason, kv_ctx_mem(c));
    bool good = files->save(files->arg, &reason);
    reply_status(c, good, "OK", &reason);
}

void kv_cmd_bgsave(kv_ctx *c) {
    bool schedule = c->argc == 2 && kv_ctx_is(c, 1, "schedule"), cancel = c->argc == 2 && kv_ctx_is(c, 1, "cancel");
    if (c->argc > 1 && !schedule && !cancel) {
        kv_ctx_syntax_error(c);
        return;
    }
    const kv_persistence *files = files_of(c);
    if (files == NULL) return;
    kv_buf reason;
    kv_buf_init(&reason, kv_ctx_mem(c));
    const char *status = "";
    bool good = cancel ? files->cancel(files->arg, &status, &reason) : files->bgsave(files->arg, schedule, &status, &reason);
    reply_status(c, good, status, &reason);
}

void kv_cmd_bgrewriteaof(kv_ctx *c) {
    const kv_persistence *files = files_of(c);
    if (files == NULL) return;
    kv_buf reason;
    kv_buf_init(&reason, kv_ctx_mem(c));
    const char *status = "";
    bool good = files->rewrite(files->arg, &status, &reason);
    reply_status(c, good, status, &reason);
}

void kv_cmd_lastsave(kv_ctx *c) {
    const kv_persistence *files = c->engine->persistence;
    kv_reply_int(c->reply, files == NULL ? c->engine->started_ms / 1000 : files->last_save(files->arg));
}
