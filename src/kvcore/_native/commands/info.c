/* INFO: the sections that were asked for, each once and in their own order. */
#include "engine/ctx.h"
#include "engine/engine.h"
#include "engine/info.h"

void kv_cmd_info(kv_ctx *c) {
    uint32_t sections = c->argc == 1 ? kv_info_default() : 0;
    for (int i = 1; i < c->argc; i++) sections |= kv_info_parse(c->argv[i]);
    kv_buf out;
    kv_buf_init(&out, kv_ctx_mem(c));
    kv_info_write(c->engine, sections, c->unit->locked, &out);
    if (out.failed) kv_ctx_out_of_memory(c);
    else kv_reply_verbatim(c->reply, kv_buf_slice(&out));
    kv_buf_deinit(&out);
}
