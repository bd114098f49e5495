/* Text options with a form of their own: checked, and brought into the shape that CONFIG GET shows. For settings.c. */
#ifndef KV_ENGINE_SETTINGS_TEXT_H
#define KV_ENGINE_SETTINGS_TEXT_H

#include "engine/settings.h"

/* Appends the option's new value, made from what the user wrote. KV_EINVAL: `error` (may be NULL) says why. KV_ENOMEM: also by out->failed. */
kv_status kv_setting_shape(kv_settings *settings, const kv_config_option *option, kv_slice text, kv_buf *out, kv_buf *error);

#endif
