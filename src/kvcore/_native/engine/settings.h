/* The live configuration of one engine: the values of every option in the table. Numbers are atomics that any thread loads; texts have one leaf
 * lock (rank CONFIG) and are copied out. */
#ifndef KV_ENGINE_SETTINGS_H
#define KV_ENGINE_SETTINGS_H

#include "base/buf.h"
#include "base/sync.h"
#include "base/vfs.h"
#include "engine/config.h"

enum { KV_BIND_MAX = 16 }; /* addresses in `bind` */

typedef struct kv_settings {
    const kv_config_table *table;
    kv_mem *mem;
    _Atomic int64_t *numbers; /* by kv_config_field */
    kv_mutex change;          /* rank CHANGE: held by whoever changes options of a running engine */
    kv_mutex lock;            /* guards what follows */
    kv_buf *texts;            /* by kv_config_field; STRING and LIST kinds, LIST as the words that CONFIG GET shows */
    kv_buf file;              /* absolute path of the valkey.conf in use; empty: none */
} kv_settings;

/* Every option at its default. KV_ENOMEM. */
kv_status kv_settings_init(kv_settings *settings, kv_mem *mem, const kv_config_table *table);
void kv_settings_deinit(kv_settings *settings);

static inline int64_t kv_setting(const kv_settings *settings, kv_config_field field) {
    return atomic_load_explicit(&settings->numbers[field], memory_order_relaxed);
}
static inline void kv_setting_store(kv_settings *settings, kv_config_field field, int64_t value) {
    atomic_store_explicit(&settings->numbers[field], value, memory_order_relaxed);
}
/* Appends a copy of a text value. Takes the lock. */
void kv_setting_text(kv_settings *settings, kv_config_field field, kv_buf *out);
/* The value as CONFIG GET shows it, whatever its kind. */
void kv_setting_show(kv_settings *settings, kv_config_field field, kv_buf *out);

/* Check and store one option from text (one word; LIST kinds: words separated by spaces). On failure `error` (may be NULL) gets the reason, as
 * Valkey words it after "CONFIG SET failed (possibly related to argument 'x') - ", and nothing has changed.
 * `at_start`: immutable options may be set and unsupported ones are an error only when they ask for something other than the default. */
kv_status kv_setting_set(kv_settings *settings, const kv_config_option *option, kv_slice text, bool at_start, kv_buf *error);

/* Reads a valkey.conf (bytes of the file) or the words of a command line turned into such lines. The first bad line ends it: `error` says
 * line number, line and reason. Unknown options are errors; known but unsupported ones say so. */
kv_status kv_settings_load(kv_settings *settings, kv_slice text, kv_buf *error);

#endif
