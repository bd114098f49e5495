/* Formatting and reading checksum lines: canonical numbers only, so that no two texts mean the same. */
#include "persist/aof_line.h"

#include <stdio.h>

#include "base/num.h"
#include "persist/crc32c.h"

enum { SUM_DIGITS = 8 };

size_t kv_aof_line_format(char out[KV_AOF_LINE_MAX], const kv_aof_line *line, uint32_t crc) {
    int len = snprintf(out, KV_AOF_LINE_MAX, "#KV:seq=%llu,off=%llu,sync=%llu,crc32c=", (unsigned long long)line->seq,
                       (unsigned long long)line->off, (unsigned long long)line->sync);
    crc = kv_crc32c(crc, out, (size_t)len);
    len += snprintf(out + len, KV_AOF_LINE_MAX - (size_t)len, "%08x\r\n", crc);
    return (size_t)len;
}

/* Goes past `name` and the number behind it. */
static bool field(kv_slice text, size_t *at, kv_slice name, uint64_t *out) {
    if (text.len - *at < name.len || memcmp(text.ptr + *at, name.ptr, name.len) != 0) return false;
    size_t from = *at + name.len, to = from;
    while (to < text.len && text.ptr[to] >= '0' && text.ptr[to] <= '9') to++;
    if (!kv_parse_u64(kv_slice_of(text.ptr + from, to - from), out)) return false;
    *at = to;
    return true;
}

static bool hex(const uint8_t *digits, uint32_t *out) {
    uint32_t value = 0;
    for (int i = 0; i < SUM_DIGITS; i++) {
        uint8_t c = digits[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
        value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *out = value;
    return true;
}

bool kv_aof_line_parse(kv_slice text, kv_aof_line *out, size_t *summed) {
    kv_aof_line line;
    kv_slice name = KV_LIT(",crc32c=");
    size_t at = 0;
    if (!field(text, &at, KV_LIT("#KV:seq="), &line.seq) || !field(text, &at, KV_LIT(",off="), &line.off) ||
        !field(text, &at, KV_LIT(",sync="), &line.sync))
        return false;
    if (text.len - at != name.len + SUM_DIGITS || memcmp(text.ptr + at, name.ptr, name.len) != 0 || line.sync > line.off) return false;
    if (!hex(text.ptr + at + name.len, &line.crc)) return false;
    *summed = at + name.len;
    *out = line;
    return true;
}

bool kv_aof_line_resembles(kv_slice text) {
    kv_slice head = KV_LIT("seq="), tail = KV_LIT("crc32c=");
    if (text.len >= 4 && memcmp(text.ptr, "#KV:", 4) == 0) return true;
    if (text.len >= 8 && memcmp(text.ptr + 4, head.ptr, head.len) == 0) return true;
    return text.len >= tail.len + SUM_DIGITS && memcmp(text.ptr + text.len - SUM_DIGITS - tail.len, tail.ptr, tail.len) == 0;
}
