/* CONFIG: the options by pattern, changing several at once (all or none), starting the statistics anew, writing the file back. */
#include <stdio.h>
#include <stdlib.h>

#include "base/glob.h"
#include "commands/client_names.h"
#include "engine/config_rewrite.h"
#include "engine/errors.h"
#include "engine/settings_apply.h"
#include "engine/stats.h"

/* ---- GET ----
 * Every option has one or two names (the second an older one). A pattern chooses names, not options; a word without * ? [ is a name, which also
 * finds what patterns do not show and is given back in the case in which it was asked for. */

typedef struct shown_name {
    const kv_config_option *option;
    kv_slice name;
} shown_name;

static bool is_pattern(kv_slice word) {
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] == '*' || word.ptr[i] == '?' || word.ptr[i] == '[') return true;
    return false;
}

static uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte; }

static int by_name(const void *a, const void *b) {
    kv_slice x = ((const shown_name *)a)->name, y = ((const shown_name *)b)->name;
    for (size_t i = 0; i < x.len && i < y.len; i++)
        if (lower(x.ptr[i]) != lower(y.ptr[i])) return lower(x.ptr[i]) < lower(y.ptr[i]) ? -1 : 1;
    return x.len == y.len ? 0 : x.len < y.len ? -1 : 1;
}

/* The name as it is to be shown: true when one of the patterns chooses it. */
static bool chosen(const kv_ctx *c, const kv_config_option *option, kv_slice name, kv_slice *shown) {
    for (int i = 2; i < c->argc; i++) {
        if (is_pattern(c->argv[i])) {
            *shown = name;
            if ((option->flags & KV_CONFIG_HIDDEN) == 0 && kv_glob(c->argv[i], name, true)) return true;
        } else {
            *shown = c->argv[i];
            if (kv_slice_eq_nocase(c->argv[i], name)) return true;
        }
    }
    return false;
}

void kv_cmd_config_get(kv_ctx *c) {
    const kv_config_table *table = c->engine->settings.table;
    kv_mem *mem = kv_ctx_mem(c);
    shown_name *names = kv_malloc(mem, 2 * (size_t)table->count * sizeof *names);
    kv_buf value;
    kv_buf_init(&value, mem);
    if (names == NULL) {
        kv_ctx_out_of_memory(c);
        return;
    }
    size_t count = 0;
    for (uint16_t i = 0; i < table->count; i++) {
        const kv_config_option *option = &table->options[i];
        if (chosen(c, option, kv_slice_cstr(option->name), &names[count].name)) names[count++].option = option;
        if (option->alias != NULL && chosen(c, option, kv_slice_cstr(option->alias), &names[count].name)) names[count++].option = option;
    }
    qsort(names, count, sizeof *names, by_name);
    kv_reply_map(c->reply, count);
    for (size_t i = 0; i < count; i++) {
        kv_buf_clear(&value);
        kv_setting_show(&c->engine->settings, (kv_config_field)names[i].option->field, &value);
        kv_reply_bulk(c->reply, names[i].name);
        kv_reply_bulk(c->reply, kv_buf_slice(&value));
        if (value.failed) c->reply->out->failed = true;
    }
    kv_buf_deinit(&value);
    kv_free(mem, names);
}

/* ---- SET ---- */

static bool protected_config_allowed(const kv_ctx *c) {
    int64_t mode = kv_setting(&c->engine->settings, KV_CFG_ENABLE_PROTECTED_CONFIGS);
    return mode == KV_ENABLE_PROTECTED_CONFIGS_YES || (mode == KV_ENABLE_PROTECTED_CONFIGS_LOCAL && kv_session_is_local(c->session));
}

static void refuse(kv_ctx *c, int arg, const char *reason) {
    kv_reply_errorf(c->reply, KV_ERR_CONFIG_SET, kv_client_printable(c->argv[arg]).text, reason);
}

/* The option of each pair, once it is known that every one may be set at all. False: replied. */
static bool find_options(kv_ctx *c, const kv_config_option **options) {
    for (int arg = 2; arg < c->argc; arg += 2) {
        int at = (arg - 2) / 2;
        const kv_config_option *option = kv_config_find(c->engine->settings.table, c->argv[arg], NULL);
        if (option == NULL) {
            kv_reply_errorf(c->reply, KV_ERR_CONFIG_SET_UNKNOWN, kv_client_printable(c->argv[arg]).text);
            return false;
        }
        if ((option->flags & KV_CONFIG_MUTABLE) == 0) {
            refuse(c, arg, KV_ERR_CONFIG_IMMUTABLE);
            return false;
        }
        if ((option->flags & KV_CONFIG_PROTECTED) != 0 && !protected_config_allowed(c)) {
            refuse(c, arg, KV_ERR_CONFIG_PROTECTED);
            return false;
        }
        if ((option->flags & KV_CONFIG_DENY_LOADING) != 0 && atomic_load_explicit(&c->engine->loading, memory_order_relaxed)) {
            kv_reply_error(c->reply, KV_ERR_LOADING);
            return false;
        }
        for (int i = 0; i < at; i++) /* an option and its older name may both be given: the last one counts */
            if (kv_slice_eq_nocase(c->argv[2 + 2 * i], c->argv[arg])) {
                refuse(c, arg, "duplicate parameter");
                return false;
            }
        options[at] = option;
    }
    return true;
}

void kv_cmd_config_set(kv_ctx *c) {
    if ((c->argc & 1) != 0) {
        kv_ctx_syntax_error(c);
        return;
    }
    int count = (c->argc - 2) / 2;
    kv_mem *mem = kv_ctx_mem(c);
    const kv_config_option **options = kv_malloc(mem, (size_t)count * sizeof(void *));
    kv_slice *values = kv_malloc(mem, (size_t)count * sizeof *values);
    kv_buf reason;
    kv_buf_init(&reason, mem);
    if (options == NULL || values == NULL) {
        kv_ctx_out_of_memory(c);
    } else if (find_options(c, options)) {
        int failed = 0;
        for (int i = 0; i < count; i++) values[i] = c->argv[3 + 2 * i];
        kv_status status = kv_settings_change(c->engine, options, values, (size_t)count, &failed, &reason);
        kv_buf_add_byte(&reason, 0);
        if (status == KV_OK) kv_reply_ok(c->reply);
        else if (status == KV_ENOMEM || reason.failed) kv_ctx_out_of_memory(c);
        else refuse(c, 2 + 2 * failed, (const char *)reason.ptr);
    }
    kv_buf_deinit(&reason);
    kv_free(mem, values);
    kv_free(mem, options);
}

/* ---- RESETSTAT, REWRITE ---- */

void kv_cmd_config_resetstat(kv_ctx *c) {
    kv_stats_reset(c->engine);
    kv_reply_ok(c->reply);
}

void kv_cmd_config_rewrite(kv_ctx *c) {
    kv_buf reason;
    kv_buf_init(&reason, kv_ctx_mem(c));
    kv_status status = kv_config_rewrite(c->engine, &reason);
    kv_buf_add_byte(&reason, 0);
    if (status == KV_OK) kv_reply_ok(c->reply);
    else if (status == KV_ENOTFOUND) kv_reply_error(c->reply, KV_ERR_CONFIG_NO_FILE);
    else if (status == KV_ENOMEM || reason.failed) kv_ctx_out_of_memory(c);
    else kv_reply_errorf(c->reply, KV_ERR_CONFIG_REWRITE_FAILED, (const char *)reason.ptr);
    kv_buf_deinit(&reason);
}
