/* Text options with a form of their own. What the user wrote is read word by word, and written anew from what was understood. */
#include "engine/settings_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "engine/errors.h"

static kv_status refuse(kv_buf *error, const char *text) {
    if (error != NULL) kv_buf_add_slice(error, kv_slice_cstr(text));
    return KV_EINVAL;
}

static size_t count_words(kv_slice text) {
    size_t words = 0;
    for (size_t i = 0; i < text.len; i++) words += text.ptr[i] != ' ' && (i == 0 || text.ptr[i - 1] == ' ');
    return words;
}

/* client-output-buffer-limit: groups of class, hard, soft, seconds; classes that are not named keep their values. */
static kv_status merge_output_limits(kv_settings *settings, kv_slice text, kv_buf *out, kv_buf *error) {
    static const char *const names[] = {"normal", "slave", "pubsub"};
    long long values[3][3] = {{0}};
    if (count_words(text) % 4 != 0) return refuse(error, "Wrong number of arguments in buffer limit configuration.");
    char *copy = kv_malloc(settings->mem, text.len + 1);
    if (copy == NULL) return KV_ENOMEM;
    if (text.len > 0) memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    kv_buf now;
    kv_buf_init(&now, settings->mem);
    kv_setting_text(settings, KV_CFG_CLIENT_OUTPUT_BUFFER_LIMIT, &now);
    kv_buf_add_byte(&now, 0);
    kv_status status = now.failed ? KV_ENOMEM : KV_OK;
    for (int pass = 0; pass < 2 && status == KV_OK; pass++) {
        char *rest = NULL, *word = strtok_r(pass == 0 ? (char *)now.ptr : copy, " ", &rest);
        for (; word != NULL; word = strtok_r(NULL, " ", &rest)) {
            int class = 0;
            if (strcmp(word, "replica") == 0) class = 1;
            else
                while (class < 3 && strcmp(word, names[class]) != 0) class ++;
            if (class == 3) status = refuse(error, "Invalid client class specified in buffer limit configuration.");
            for (int i = 0; i < 3 && status == KV_OK; i++) {
                int64_t value = 0;
                char *number = strtok_r(NULL, " ", &rest);
                if (number == NULL) status = refuse(error, "Wrong number of arguments in buffer limit configuration.");
                else if (!kv_parse_bytes(kv_slice_cstr(number), &value) || value < 0)
                    status = refuse(error, "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
                else values[class][i] = value;
            }
            if (status != KV_OK) break;
        }
    }
    for (int class = 0; class < 3 && status == KV_OK; class ++)
        kv_buf_printf(out, "%s%s %lld %lld %lld", class == 0 ? "" : " ", names[class], values[class][0], values[class][1],
                      values[class][2]);
    kv_buf_deinit(&now);
    kv_free(settings->mem, copy);
    return status;
}

/* The next word of `text` from *at on, as C text; false at the end. Too long a word is cut, and then is no number. */
static bool next_word(kv_slice text, size_t *at, char *out, size_t cap) {
    size_t len = 0;
    while (*at < text.len && text.ptr[*at] == ' ') ++*at;
    if (*at == text.len) return false;
    for (; *at < text.len && text.ptr[*at] != ' '; ++*at)
        if (len < cap - 1) out[len++] = (char)text.ptr[*at];
    out[len] = 0;
    return true;
}

/* latency-tracking-info-percentiles: decimals in 0..100, shown with at most six digits behind the point and no trailing zeros. */
static kv_status shape_percentiles(kv_slice text, kv_buf *out, kv_buf *error) {
    char word[64], *end;
    size_t at = 0, before = out->len;
    while (next_word(text, &at, word, sizeof word)) {
        double value = strtod(word, &end);
        if (*end != 0 || end == word) return refuse(error, "Invalid latency-tracking-info-percentiles parameters");
        if (!(value >= 0 && value <= 100))
            return refuse(error, "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
        int len = snprintf(word, sizeof word, "%.6f", value);
        while (len > 0 && word[len - 1] == '0') len--;
        if (len > 0 && word[len - 1] == '.') len--;
        if (out->len > before) kv_buf_add_byte(out, ' ');
        kv_buf_add(out, word, (size_t)len);
    }
    return KV_OK;
}

/* proc-title-template: {names} that are known, every brace closed; it may not be empty. */
static kv_status check_title(kv_slice text, kv_buf *error) {
    static const char *const names[] = {"{title}",    "{listen-addr}", "{server-mode}", "{port}",
                                        "{tls-port}", "{unixsocket}",  "{config-file}"};
    bool good = text.len > 0;
    for (size_t at = 0; at < text.len && good; at++) {
        if (text.ptr[at] != '{') continue;
        good = false;
        for (size_t i = 0; i < sizeof names / sizeof *names && !good; i++) {
            kv_slice name = kv_slice_cstr(names[i]);
            good = text.len - at >= name.len && memcmp(text.ptr + at, name.ptr, name.len) == 0;
        }
    }
    return good ? KV_OK : refuse(error, "template format is invalid or contains unknown variables");
}

kv_status kv_setting_shape(kv_settings *settings, const kv_config_option *option, kv_slice text, kv_buf *out, kv_buf *error) {
    kv_status status = KV_OK;
    if (option->field == KV_CFG_CLIENT_OUTPUT_BUFFER_LIMIT) return merge_output_limits(settings, text, out, error);
    if (option->field == KV_CFG_LATENCY_TRACKING_INFO_PERCENTILES) return shape_percentiles(text, out, error);
    if (option->field == KV_CFG_PROC_TITLE_TEMPLATE) status = check_title(text, error);
    if (option->field == KV_CFG_BIND && count_words(text) > KV_BIND_MAX) status = refuse(error, KV_ERR_CONFIG_BIND_TOO_MANY);
    if (status == KV_OK) kv_buf_add_slice(out, text);
    return status;
}
