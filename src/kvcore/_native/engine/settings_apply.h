/* Changing options while the engine runs: several at once, all or none, and what follows from a change. */
#ifndef KV_ENGINE_SETTINGS_APPLY_H
#define KV_ENGINE_SETTINGS_APPLY_H

#include "engine/engine.h"

/* Sets options[i] to values[i], then brings what depends on them up to date. When one is refused (KV_EINVAL, or what the hook says) every option has
 * its old value again, *failed is its index and `reason` has the words; KV_ENOMEM likewise. Any thread: changes wait for
 * each other. */
kv_status kv_settings_change(kv_engine *engine, const kv_config_option *const *options, const kv_slice *values, size_t count, int *failed,
                             kv_buf *reason);

/* Logs a notice for every option that was set to something but has no effect here: nothing is ignored in silence. When a server starts. */
void kv_settings_note_inert(kv_engine *engine);

#endif
