/* Live settings: defaults, checking and storing one option, reading valkey.conf. The wording of refusals is what CONFIG SET shows. */
#include "engine/settings.h"

#include "base/num.h"
#include "base/system.h"
#include "base/words.h"
#include "engine/notify.h"
#include "engine/settings_text.h"

static bool is_text(const kv_config_option *option) { return option->kind == KV_CONFIG_STRING || option->kind == KV_CONFIG_LIST; }

kv_status kv_settings_init(kv_settings *settings, kv_mem *mem, const kv_config_table *table) {
    *settings = (kv_settings){.table = table, .mem = mem};
    kv_mutex_init(&settings->change, KV_RANK_CHANGE, 0);
    kv_mutex_init(&settings->lock, KV_RANK_CONFIG, 0);
    kv_buf_init(&settings->file, mem);
    settings->numbers = kv_calloc(mem, table->count, sizeof *settings->numbers);
    settings->texts = kv_calloc(mem, table->count, sizeof *settings->texts);
    bool failed = settings->numbers == NULL || settings->texts == NULL;
    for (uint16_t i = 0; !failed && i < table->count; i++) {
        const kv_config_option *option = &table->options[i];
        atomic_init(&settings->numbers[i], option->default_number);
        kv_buf_init(&settings->texts[i], mem);
        if (is_text(option)) kv_buf_add_slice(&settings->texts[i], kv_slice_cstr(option->default_text));
        failed = settings->texts[i].failed;
    }
    if (!failed) return KV_OK;
    kv_settings_deinit(settings);
    return KV_ENOMEM;
}

void kv_settings_deinit(kv_settings *settings) {
    for (uint16_t i = 0; settings->texts != NULL && i < settings->table->count; i++)
        if (settings->texts[i].mem != NULL) kv_buf_deinit(&settings->texts[i]);
    kv_free(settings->mem, settings->texts);
    kv_free(settings->mem, settings->numbers);
    kv_buf_deinit(&settings->file);
    settings->texts = NULL;
    settings->numbers = NULL;
}

/* ---- showing ---- */

void kv_setting_text(kv_settings *settings, kv_config_field field, kv_buf *out) {
    kv_mutex_lock(&settings->lock);
    kv_buf_add_slice(out, kv_buf_slice(&settings->texts[field]));
    kv_mutex_unlock(&settings->lock);
}

static void show_choice(const kv_config_option *option, int64_t value, kv_buf *out) {
    if (option->kind == KV_CONFIG_ENUM) {
        for (const kv_config_choice *choice = option->choices; choice->name != NULL; choice++) {
            if (choice->value != value) continue;
            kv_buf_add_slice(out, kv_slice_cstr(choice->name));
            return;
        }
        return;
    }
    size_t before = out->len;
    for (const kv_config_choice *choice = option->choices; choice->name != NULL; choice++) {
        if (choice->value == 0 || (value & choice->value) != choice->value) continue;
        if (out->len > before) kv_buf_add_byte(out, ' ');
        kv_buf_add_slice(out, kv_slice_cstr(choice->name));
        value &= ~choice->value;
    }
    if (out->len == before) /* no flag: the word that stands for none */
        for (const kv_config_choice *choice = option->choices; choice->name != NULL; choice++)
            if (choice->value == 0) {
                kv_buf_add_slice(out, kv_slice_cstr(choice->name));
                return;
            }
}

void kv_setting_show(kv_settings *settings, kv_config_field field, kv_buf *out) {
    const kv_config_option *option = &settings->table->options[field];
    int64_t value = kv_setting(settings, field);
    char text[KV_NUM_MAX];
    switch ((kv_config_kind)option->kind) {
    case KV_CONFIG_BOOL: kv_buf_add_slice(out, value != 0 ? KV_LIT("yes") : KV_LIT("no")); break;
    case KV_CONFIG_INT:
    case KV_CONFIG_BYTES:
        /* A number that stands for a word of its own (io-threads auto). */
        if (value == option->default_number && option->default_text[0] >= 'a') kv_buf_add_slice(out, kv_slice_cstr(option->default_text));
        else kv_buf_add(out, text, kv_format_i64(text, value));
        break;
    case KV_CONFIG_PERCENT:
        kv_buf_add(out, text, kv_format_i64(text, value < 0 ? -value : value));
        if (value < 0) kv_buf_add_byte(out, '%');
        break;
    case KV_CONFIG_OCTAL: kv_buf_printf(out, "%llo", (unsigned long long)value); break;
    case KV_CONFIG_ENUM:
    case KV_CONFIG_FLAGS: show_choice(option, value, out); break;
    case KV_CONFIG_EVENTS: kv_buf_add(out, text, kv_notify_format(text, value)); break;
    case KV_CONFIG_STRING:
    case KV_CONFIG_LIST: {
        size_t before = out->len;
        kv_setting_text(settings, field, out);
        if (field != KV_CFG_DIR || !kv_slice_eq(kv_slice_of(out->ptr + before, out->len - before), KV_LIT("."))) break;
        char directory[4096]; /* "." is shown as where that is */
        if (kv_system_directory(directory, sizeof directory)) {
            out->len = before;
            kv_buf_add_slice(out, kv_slice_cstr(directory));
        }
        break;
    }
    }
}

/* ---- checking ---- */

static kv_status refuse(kv_buf *error, const char *text) {
    if (error != NULL) kv_buf_add_slice(error, kv_slice_cstr(text));
    return KV_EINVAL;
}

static kv_status check_range(const kv_config_option *option, int64_t value, kv_buf *error) {
    if (value >= option->min && value <= option->max) return KV_OK;
    if (error != NULL)
        kv_buf_printf(error, "argument must be between %lld and %lld inclusive", (long long)option->min, (long long)option->max);
    return KV_EINVAL;
}

static kv_status parse_flags(const kv_config_option *option, kv_slice text, int64_t *out, kv_buf *error) {
    int64_t value = 0;
    bool any = false;
    size_t i = 0;
    while (i < text.len) {
        size_t from = i;
        while (i < text.len && text.ptr[i] != ' ') i++;
        kv_slice word = kv_slice_of(text.ptr + from, i - from);
        while (i < text.len && text.ptr[i] == ' ') i++;
        const kv_config_choice *choice = option->choices;
        while (choice->name != NULL && !kv_slice_is(word, choice->name)) choice++;
        if (choice->name == NULL) any = false, i = text.len + 1;
        else any = true, value |= choice->value;
    }
    if (any && i == text.len) {
        *out = value;
        return KV_OK;
    }
    if (error != NULL) {
        kv_buf_add_slice(error, KV_LIT("argument(s) must be one of the following: "));
        for (const kv_config_choice *choice = option->choices; choice->name != NULL; choice++)
            kv_buf_printf(error, "%s%s", choice == option->choices ? "" : ", ", choice->name);
    }
    return KV_EINVAL;
}

static kv_status parse_percent(const kv_config_option *option, kv_slice text, int64_t *out, kv_buf *error) {
    int64_t value;
    if (text.len > 1 && text.ptr[text.len - 1] == '%') {
        if (!kv_parse_i64(kv_slice_of(text.ptr, text.len - 1), &value) || value < 0)
            return refuse(error, "argument must be a memory or percent value");
        if (-value < option->min) {
            if (error != NULL) kv_buf_printf(error, "percentage argument must be less or equal to %lld", (long long)-option->min);
            return KV_EINVAL;
        }
        *out = -value;
        return KV_OK;
    }
    if (!kv_parse_bytes(text, &value)) return refuse(error, "argument must be a memory or percent value");
    *out = value;
    return value >= 0 && value <= option->max ? KV_OK : check_range(option, value, error);
}

/* The number that `text` stands for, by the option's kind. */
static kv_status parse_number(const kv_config_option *option, kv_slice text, int64_t *out, kv_buf *error) {
    switch ((kv_config_kind)option->kind) {
    case KV_CONFIG_BOOL:
        if (!kv_slice_is(text, "yes") && !kv_slice_is(text, "no")) return refuse(error, "argument must be 'yes' or 'no'");
        *out = kv_slice_is(text, "yes");
        return KV_OK;
    case KV_CONFIG_INT:
        if (option->default_text[0] >= 'a' && kv_slice_is(text, option->default_text)) {
            *out = option->default_number;
            return KV_OK;
        }
        if (!kv_parse_i64(text, out)) return refuse(error, "argument couldn't be parsed into an integer");
        return check_range(option, *out, error);
    case KV_CONFIG_BYTES:
        if (!kv_parse_bytes(text, out)) return refuse(error, "argument must be a memory value");
        return check_range(option, *out, error);
    case KV_CONFIG_PERCENT: return parse_percent(option, text, out, error);
    case KV_CONFIG_OCTAL: {
        int64_t value = 0;
        for (size_t i = 0; i < text.len; i++) {
            if (text.ptr[i] < '0' || text.ptr[i] > '7' || i > 8) return refuse(error, "argument couldn't be parsed as an octal number");
            value = value * 8 + (text.ptr[i] - '0');
        }
        if (text.len == 0) return refuse(error, "argument couldn't be parsed as an octal number");
        *out = value;
        return check_range(option, value, error);
    }
    case KV_CONFIG_ENUM:
    case KV_CONFIG_FLAGS: return parse_flags(option, text, out, error);
    case KV_CONFIG_EVENTS:
        return kv_notify_parse(text, out) ? KV_OK : refuse(error, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    case KV_CONFIG_STRING:
    case KV_CONFIG_LIST: break;
    }
    return KV_EINVAL;
}

static kv_status set_text(kv_settings *settings, const kv_config_option *option, kv_slice text, kv_buf *error) {
    kv_buf fresh;
    kv_buf_init(&fresh, settings->mem);
    kv_status status = KV_OK;
    if (memchr(text.ptr == NULL ? (const uint8_t *)"" : text.ptr, 0, text.len) != NULL)
        status = refuse(error, "argument must not contain a NUL byte");
    else status = kv_setting_shape(settings, option, text, &fresh, error);
    if (status == KV_OK && fresh.failed) status = KV_ENOMEM;
    if (status != KV_OK) {
        kv_buf_deinit(&fresh);
        return status;
    }
    kv_mutex_lock(&settings->lock);
    kv_buf old = settings->texts[option->field];
    settings->texts[option->field] = fresh;
    kv_mutex_unlock(&settings->lock);
    kv_buf_deinit(&old);
    return KV_OK;
}

static bool is_default(const kv_config_option *option, kv_slice text, int64_t number) {
    return is_text(option) ? kv_slice_eq(text, kv_slice_cstr(option->default_text)) : number == option->default_number;
}

kv_status kv_setting_set(kv_settings *settings, const kv_config_option *option, kv_slice text, bool at_start, kv_buf *error) {
    int64_t number = 0;
    kv_status status = is_text(option) ? KV_OK : parse_number(option, text, &number, error);
    if (status != KV_OK) return status;
    if ((option->flags & KV_CONFIG_UNSUPPORTED) != 0) {
        if (is_default(option, text, number)) return KV_OK;
        if (error != NULL)
            kv_buf_printf(error, "'%s' is known, but kvcore does not support it: only its default ('%s') is accepted", option->name,
                          option->default_text);
        return KV_EINVAL;
    }
    if (!at_start && (option->flags & KV_CONFIG_MUTABLE) == 0) return refuse(error, "can't set immutable config");
    if (is_text(option)) return set_text(settings, option, text, error);
    kv_setting_store(settings, (kv_config_field)option->field, number);
    return KV_OK;
}

/* ---- valkey.conf ---- */

/* One line: the option's name, then its words, which are joined with single spaces. */
static kv_status load_line(kv_settings *settings, kv_slice line, kv_buf *error) {
    kv_buf name, words;
    kv_buf_init(&name, settings->mem);
    kv_buf_init(&words, settings->mem);
    size_t pos = 0, count = 0;
    kv_status status = KV_OK;
    kv_word_result found = kv_next_word(line, &pos, &name);
    while (found == KV_WORD_FOUND) {
        size_t before = words.len;
        if (count > 0) kv_buf_add_byte(&words, ' ');
        found = kv_next_word(line, &pos, &words);
        if (found == KV_WORD_FOUND) count++;
        else words.len = before;
    }
    const kv_config_option *option = kv_config_find(settings->table, kv_buf_slice(&name), NULL);
    if (found == KV_WORD_UNBALANCED) status = refuse(error, "Unbalanced quotes in configuration line");
    else if (name.failed || words.failed) status = KV_ENOMEM;
    else if (option == NULL && kv_config_is_ignored(settings->table, kv_buf_slice(&name))) status = KV_OK;
    else if (option == NULL || count == 0 || (count > 1 && option->kind != KV_CONFIG_LIST && option->kind != KV_CONFIG_FLAGS))
        status = refuse(error, "Bad directive or wrong number of arguments");
    else status = kv_setting_set(settings, option, kv_buf_slice(&words), true, error);
    kv_buf_deinit(&name);
    kv_buf_deinit(&words);
    return status;
}

kv_status kv_settings_load(kv_settings *settings, kv_slice text, kv_buf *error) {
    size_t number = 0;
    for (size_t at = 0; at < text.len;) {
        const uint8_t *end = memchr(text.ptr + at, '\n', text.len - at);
        size_t len = end == NULL ? text.len - at : (size_t)(end - text.ptr) - at;
        kv_slice line = kv_slice_of(text.ptr + at, len);
        at += len + 1;
        number++;
        while (line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t')) line = kv_slice_of(line.ptr + 1, line.len - 1);
        while (line.len > 0 && (line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == ' ')) line.len--;
        if (line.len == 0 || line.ptr[0] == '#') continue;
        kv_buf reason;
        kv_buf_init(&reason, settings->mem);
        kv_status status = load_line(settings, line, &reason);
        if (status != KV_OK && error != NULL) {
            kv_buf_printf(error, "line %zu: '%.*s': ", number, (int)(line.len > 200 ? 200 : line.len), (const char *)line.ptr);
            kv_buf_add_slice(error, reason.len > 0 ? kv_buf_slice(&reason) : kv_slice_cstr(kv_status_name(status)));
        }
        kv_buf_deinit(&reason);
        if (status != KV_OK) return status;
    }
    return KV_OK;
}
