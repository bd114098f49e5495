/* Splitting and quoting words. */
#include "base/words.h"

static int hex_digit(uint8_t byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return -1;
}

static bool is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

/* One escape inside double quotes; returns the bytes it took. */
static size_t unescape(kv_slice line, size_t i, uint8_t *out) {
    uint8_t next = line.ptr[i + 1];
    if (next == 'x' && i + 3 < line.len && hex_digit(line.ptr[i + 2]) >= 0 && hex_digit(line.ptr[i + 3]) >= 0) {
        *out = (uint8_t)(hex_digit(line.ptr[i + 2]) * 16 + hex_digit(line.ptr[i + 3]));
        return 4;
    }
    static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
    const char *at = next == 0 ? NULL : strchr(from, next);
    *out = at == NULL ? next : (uint8_t)to[at - from];
    return 2;
}

kv_word_result kv_next_word(kv_slice line, size_t *pos, kv_buf *out) {
    size_t i = *pos;
    uint8_t quote = 0;
    while (i < line.len && (is_space(line.ptr[i]) || line.ptr[i] == 0)) i++;
    if (i == line.len) {
        *pos = i;
        return KV_WORD_END;
    }
    while (i < line.len) {
        uint8_t byte = line.ptr[i];
        if (quote == '"' && byte == '\\' && i + 1 < line.len) {
            uint8_t plain;
            i += unescape(line, i, &plain);
            kv_buf_add_byte(out, plain);
        } else if (quote == '\'' && byte == '\\' && i + 1 < line.len && line.ptr[i + 1] == '\'') {
            kv_buf_add_byte(out, '\'');
            i += 2;
        } else if (quote != 0 && byte == quote) {
            quote = 0;
            i++;
        } else if (quote == 0 && (byte == '"' || byte == '\'')) {
            quote = byte;
            i++;
        } else if (quote == 0 && (is_space(byte) || byte == 0)) {
            break;
        } else {
            kv_buf_add_byte(out, byte);
            i++;
        }
    }
    *pos = i;
    return quote == 0 ? KV_WORD_FOUND : KV_WORD_UNBALANCED;
}

static bool is_plain(kv_slice word) {
    for (size_t i = 0; i < word.len; i++) {
        uint8_t byte = word.ptr[i];
        if (byte <= ' ' || byte >= 127 || byte == '"' || byte == '\'' || byte == '\\' || (byte == '#' && i == 0)) return false;
    }
    return word.len > 0;
}

void kv_quote_word(kv_buf *out, kv_slice word) {
    if (is_plain(word)) kv_buf_add_slice(out, word);
    else kv_quote(out, word);
}

void kv_quote(kv_buf *out, kv_slice word) {
    kv_buf_add_byte(out, '"');
    for (size_t i = 0; i < word.len; i++) {
        uint8_t byte = word.ptr[i];
        static const char from[] = "\n\r\t\b\a\"\\", to[] = "nrtba\"\\";
        const char *at = byte == 0 ? NULL : strchr(from, byte);
        if (at != NULL) {
            kv_buf_add_byte(out, '\\');
            kv_buf_add_byte(out, (uint8_t)to[at - from]);
        } else if (byte < ' ' || byte >= 127) {
            kv_buf_printf(out, "\\x%02x", byte);
        } else {
            kv_buf_add_byte(out, byte);
        }
    }
    kv_buf_add_byte(out, '"');
}
