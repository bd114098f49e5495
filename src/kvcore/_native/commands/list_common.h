/* What several list commands do. */
#ifndef KV_COMMANDS_LIST_COMMON_H
#define KV_COMMANDS_LIST_COMMON_H

#include "engine/ctx.h"
#include "types/list.h"

/* LEFT or RIGHT; anything else replies a syntax error. */
bool kv_list_cmd_end(kv_ctx *c, int arg, kv_list_end *out);

/* The reply is a slice of the list, so it is written first: forget it (mark) when the list could not be changed. False: replied. */
bool kv_list_cmd_ok(kv_ctx *c, kv_mark mark, kv_status status);

#endif
