/* The configuration file written back: every line that is not an option stays as and where it is; a line of an option is replaced by the
 * option's lines as they are now (the first of its lines by all of them, the others fall away); options that were in no line and are not
 * at their default are appended below a mark.
 *
 *   # comment            # comment
 *   maxmemory 1gb   -->  maxmemory 2147483648
 *   port 6379            port 6379
 *                        # Written by CONFIG REWRITE
 *                        hz 50
 *
 * A value goes through kv_quote_word, so that whatever bytes it has (line ends, quotes, '#') reading the file gives the same value and no other
 * line. The new file is read into fresh settings before it replaces the old one: a file that would not start a server is never written. */
#include "engine/config_rewrite.h"

#include <errno.h>

#include "base/words.h"

#define MARK "# Written by CONFIG REWRITE"
#define MAX_FILE ((size_t)64 << 20)

/* A LIST's value as its words, quoted each; other kinds are one word. */
static void write_value(kv_settings *settings, const kv_config_option *option, kv_slice value, kv_buf *out) {
    if (option->kind != KV_CONFIG_LIST && option->kind != KV_CONFIG_FLAGS) {
        kv_buf_add_byte(out, ' ');
        kv_quote_word(out, value);
        return;
    }
    size_t pos = 0, words = 0;
    kv_buf word;
    kv_buf_init(&word, settings->mem);
    while (kv_next_word(value, &pos, &word) == KV_WORD_FOUND) {
        kv_buf_add_byte(out, ' ');
        kv_quote_word(out, kv_buf_slice(&word));
        if (word.failed) out->failed = true;
        kv_buf_clear(&word);
        words++;
    }
    if (words == 0) kv_buf_add_slice(out, KV_LIT(" \"\""));
    kv_buf_deinit(&word);
}

static void write_option(kv_settings *settings, const kv_config_option *option, const char *name, kv_buf *out) {
    kv_buf value;
    kv_buf_init(&value, settings->mem);
    kv_setting_show(settings, (kv_config_field)option->field, &value);
    kv_buf_add_slice(out, kv_slice_cstr(name));
    write_value(settings, option, kv_buf_slice(&value), out);
    kv_buf_add_byte(out, '\n');
    if (value.failed) out->failed = true;
    kv_buf_deinit(&value);
}

static bool at_default(kv_settings *settings, const kv_config_option *option) {
    if (option->kind != KV_CONFIG_STRING && option->kind != KV_CONFIG_LIST)
        return kv_setting(settings, (kv_config_field)option->field) == option->default_number;
    kv_buf value;
    kv_buf_init(&value, settings->mem);
    kv_setting_text(settings, (kv_config_field)option->field, &value);
    bool same = !value.failed && kv_slice_eq(kv_buf_slice(&value), kv_slice_cstr(option->default_text));
    kv_buf_deinit(&value);
    return same;
}

/* The option that a line sets, or NULL: a comment, an empty line, or nothing that is known. */
static const kv_config_option *option_of(kv_settings *settings, kv_slice line, bool *by_alias) {
    size_t pos = 0;
    while (pos < line.len && (line.ptr[pos] == ' ' || line.ptr[pos] == '\t')) pos++;
    if (pos == line.len || line.ptr[pos] == '#') return NULL;
    kv_buf name;
    kv_buf_init(&name, settings->mem);
    const kv_config_option *option = NULL;
    if (kv_next_word(line, &pos, &name) == KV_WORD_FOUND && !name.failed)
        option = kv_config_find(settings->table, kv_buf_slice(&name), by_alias);
    kv_buf_deinit(&name);
    return option;
}

static kv_slice next_line(kv_slice text, size_t *at) {
    const uint8_t *end = memchr(text.ptr + *at, '\n', text.len - *at);
    kv_slice line = kv_slice_of(text.ptr + *at, (end == NULL ? text.len : (size_t)(end - text.ptr)) - *at);
    *at += line.len + 1;
    return line;
}

static void rewrite_lines(kv_settings *settings, kv_slice old, bool *written, bool *marked, kv_buf *out) {
    for (size_t at = 0; at < old.len;) {
        kv_slice line = next_line(old, &at);
        bool by_alias = false;
        const kv_config_option *option = option_of(settings, line, &by_alias);
        *marked |= kv_slice_eq(line, KV_LIT(MARK));
        if (option == NULL) {
            kv_buf_add_slice(out, line);
            kv_buf_add_byte(out, '\n');
        } else if (!written[option->field]) {
            write_option(settings, option, by_alias ? option->alias : option->name, out);
            written[option->field] = true;
        }
    }
}

kv_status kv_config_rewrite_text(kv_settings *settings, kv_slice old, kv_buf *out) {
    bool *written = kv_calloc(settings->mem, settings->table->count, sizeof *written), marked = false;
    if (written == NULL) return KV_ENOMEM;
    rewrite_lines(settings, old, written, &marked, out);
    for (uint16_t i = 0; i < settings->table->count; i++) {
        const kv_config_option *option = &settings->table->options[i];
        if (written[i] || at_default(settings, option)) continue;
        if (!marked) kv_buf_add_slice(out, KV_LIT(MARK "\n"));
        marked = true;
        write_option(settings, option, option->name, out);
    }
    kv_free(settings->mem, written);
    return out->failed ? KV_ENOMEM : KV_OK;
}

/* Would a server start from this file? `include` lines are not options: whoever reads the file for the server follows them. */
static kv_status try_file(kv_engine *engine, kv_slice text, kv_buf *reason) {
    kv_settings fresh;
    kv_status status = kv_settings_init(&fresh, &engine->mem, engine->settings.table);
    if (status != KV_OK) return status;
    for (size_t at = 0; at < text.len && status == KV_OK;) {
        kv_slice line = next_line(text, &at);
        size_t pos = 0;
        kv_buf name;
        kv_buf_init(&name, &engine->mem);
        bool include = kv_next_word(line, &pos, &name) == KV_WORD_FOUND && kv_slice_is(kv_buf_slice(&name), "include");
        if (!include) status = kv_settings_load(&fresh, line, reason);
        kv_buf_deinit(&name);
    }
    kv_settings_deinit(&fresh);
    return status;
}

kv_status kv_config_rewrite(kv_engine *engine, kv_buf *reason) {
    kv_buf path, old, fresh;
    kv_buf_init(&path, &engine->mem);
    kv_buf_init(&old, &engine->mem);
    kv_buf_init(&fresh, &engine->mem);
    kv_mutex_lock(&engine->settings.lock);
    kv_buf_add_slice(&path, kv_buf_slice(&engine->settings.file));
    kv_mutex_unlock(&engine->settings.lock);
    bool any = path.len > 0;
    kv_buf_add_byte(&path, 0);
    kv_status status = path.failed ? KV_ENOMEM : any ? KV_OK : KV_ENOTFOUND;
    if (status == KV_OK) {
        status = kv_vfs_read_file(engine->vfs, (const char *)path.ptr, MAX_FILE, &old);
        if (status == KV_ENOTFOUND) status = KV_OK; /* it is written anew */
        if (status == KV_OK) status = kv_config_rewrite_text(&engine->settings, kv_buf_slice(&old), &fresh);
        if (status == KV_OK) status = try_file(engine, kv_buf_slice(&fresh), reason);
        if (status == KV_OK) status = kv_vfs_replace_file(engine->vfs, (const char *)path.ptr, kv_buf_slice(&fresh));
        if (status == KV_EIO) kv_buf_printf(reason, "%s", strerror(errno));
        else if (status != KV_OK && reason->len == 0) kv_buf_printf(reason, "%s", kv_status_name(status));
    }
    kv_buf_deinit(&path);
    kv_buf_deinit(&old);
    kv_buf_deinit(&fresh);
    return status;
}
