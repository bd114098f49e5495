/* CONFIG REWRITE: the running options back into the file they came from. */
#ifndef KV_ENGINE_CONFIG_REWRITE_H
#define KV_ENGINE_CONFIG_REWRITE_H

#include "engine/engine.h"

/* KV_ENOTFOUND: there is no file. KV_EIO, KV_EINVAL: `reason` says why and the file is as it was. KV_ENOMEM. */
kv_status kv_config_rewrite(kv_engine *engine, kv_buf *reason);

/* The same from text to text: `old` is the file as it is. For kv_config_rewrite and tests. KV_ENOMEM. */
kv_status kv_config_rewrite_text(kv_settings *settings, kv_slice old, kv_buf *out);

#endif
