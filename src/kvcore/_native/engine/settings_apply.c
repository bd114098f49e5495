/* CONFIG SET behind its syntax.
 *
 *   keep every old value -> check and store the new ones, one by one -> tell what depends on them -> (a refusal: put the old ones back, tell again)
 *
 * What the engine itself looks up at each use (most options) needs no telling. The rest is in kv_engine_settings_loaded; what belongs to the
 * sockets goes through the host's hook. */
#include "engine/settings_apply.h"

#include "base/pages.h"
#include "engine/evict.h"

typedef struct saved {
    int64_t number;
    kv_buf text; /* STRING and LIST kinds */
} saved;

static bool is_text(const kv_config_option *option) { return option->kind == KV_CONFIG_STRING || option->kind == KV_CONFIG_LIST; }

static bool save(kv_settings *settings, const kv_config_option *option, saved *out) {
    kv_config_field field = (kv_config_field)option->field;
    out->number = kv_setting(settings, field);
    kv_buf_init(&out->text, settings->mem);
    if (is_text(option)) kv_setting_text(settings, field, &out->text);
    return !out->text.failed;
}

/* Cannot fail: the old text is handed back whole. */
static void restore(kv_settings *settings, const kv_config_option *option, saved *old) {
    if (!is_text(option)) {
        kv_setting_store(settings, (kv_config_field)option->field, old->number);
        return;
    }
    kv_mutex_lock(&settings->lock);
    kv_buf now = settings->texts[option->field];
    settings->texts[option->field] = old->text;
    kv_mutex_unlock(&settings->lock);
    old->text = now;
}

static void note_inert(kv_engine *engine, const kv_config_option *option) {
    if ((option->flags & KV_CONFIG_INERT) == 0 || kv_setting(&engine->settings, (kv_config_field)option->field) == option->default_number)
        return;
    kv_log_write(&engine->log, KV_LOG_NOTICE, "The option '%s' was set; it has no effect in kvcore.", option->name);
}

/* Tells what depends on the options. *told: how many hooks did as they were told; the next one refused when it is not `count`. */
static kv_status apply(kv_engine *engine, const kv_config_option *const *options, size_t count, size_t *told, kv_buf *reason) {
    kv_engine_settings_loaded(engine);
    for (size_t i = 0; i < count; i++) note_inert(engine, options[i]);
    for (*told = 0; engine->hooks.config_applied != NULL && *told < count; ++*told) {
        kv_status status = engine->hooks.config_applied(engine->hooks.arg, options[*told]->field, reason);
        if (status != KV_OK) return status;
    }
    return KV_OK;
}

static kv_status change(kv_engine *engine, const kv_config_option *const *options, const kv_slice *values, size_t count, saved *old,
                        int *failed, kv_buf *reason) {
    kv_settings *settings = &engine->settings;
    size_t kept = 0, set = 0, told = 0;
    kv_status status = KV_OK;
    for (; kept < count && status == KV_OK; kept++)
        if (!save(settings, options[kept], &old[kept])) status = KV_ENOMEM;
    while (set < count && status == KV_OK) {
        status = kv_setting_set(settings, options[set], values[set], false, reason);
        if (status == KV_OK) set++;
        else *failed = (int)set;
    }
    if (status == KV_OK && (status = apply(engine, options, count, &told, reason)) != KV_OK) {
        *failed = (int)told;
        if (reason->len == 0) kv_buf_add_slice(reason, KV_LIT("it could not be put into effect"));
    }
    if (status != KV_OK) {
        while (set > 0) set--, restore(settings, options[set], &old[set]);
        kv_buf ignored;
        kv_buf_init(&ignored, &engine->mem);
        (void)apply(engine, options, told, &told, &ignored); /* whoever refused has kept the old state */
        kv_buf_deinit(&ignored);
    }
    while (kept > 0) kv_buf_deinit(&old[--kept].text);
    return status;
}

kv_status kv_settings_change(kv_engine *engine, const kv_config_option *const *options, const kv_slice *values, size_t count, int *failed,
                             kv_buf *reason) {
    saved *old = kv_calloc(&engine->mem, count, sizeof *old);
    if (old == NULL) return KV_ENOMEM;
    kv_mutex_lock(&engine->settings.change);
    kv_status status = change(engine, options, values, count, old, failed, reason);
    kv_mutex_unlock(&engine->settings.change);
    kv_free(&engine->mem, old);
    return status;
}

void kv_settings_note_inert(kv_engine *engine) {
    for (uint16_t i = 0; i < engine->settings.table->count; i++) note_inert(engine, &engine->settings.table->options[i]);
}

void kv_engine_settings_loaded(kv_engine *engine) {
    if (kv_setting(&engine->settings, KV_CFG_DISABLE_THP) != 0) kv_span_refuse_huge(&engine->mem);
    kv_evict_settings_changed(engine);
    const kv_settings *s = &engine->settings;
    int64_t slow_us = kv_setting(s, KV_CFG_COMMANDLOG_EXECUTION_SLOWER_THAN);
    /* As unsigned numbers negative limits, which are none, are the largest. */
    bool strict = kv_setting(s, KV_CFG_MAXMEMORY) > 0 || (slow_us >= 0 && slow_us < 1000) ||
                  (uint64_t)kv_setting(s, KV_CFG_COMMANDLOG_REPLY_LARGER_THAN) <= KV_SHORT_CALL_BYTES ||
                  (uint64_t)kv_setting(s, KV_CFG_COMMANDLOG_REQUEST_LARGER_THAN) <= KV_SHORT_CALL_BYTES;
    atomic_store_explicit(&engine->strict, strict, memory_order_relaxed);
    atomic_store_explicit(&engine->log.level, (int)kv_setting(&engine->settings, KV_CFG_LOGLEVEL), memory_order_relaxed);
}
