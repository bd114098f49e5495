/* The reply sink. Each call writes one element in the sink's format; containers write only their head, so nesting costs nothing.
 *
 * A deferred container keeps no placeholder: closing it inserts the head at the mark and moves what was written since. One move per
 * container is cheaper than a list of chunks for every size that was measured, and it keeps the reply one contiguous run. */
#include "engine/reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define HEAD_MAX 32

static size_t resp_head(uint8_t *out, char tag, int64_t value) {
    out[0] = (uint8_t)tag;
    size_t len = 1 + kv_format_i64((char *)out + 1, value);
    out[len++] = '\r';
    out[len++] = '\n';
    return len;
}

static size_t tape_head32(uint8_t *out, uint8_t tag, uint32_t value) {
    out[0] = tag;
    memcpy(out + 1, &value, sizeof value);
    return 1 + sizeof value;
}

static size_t msgpack_head(uint8_t *out, uint8_t fix, uint32_t fix_max, uint8_t tag16, uint32_t value) {
    if (value <= fix_max) {
        out[0] = (uint8_t)(fix | value);
        return 1;
    }
    if (value <= 0xffff) {
        out[0] = tag16;
        out[1] = (uint8_t)(value >> 8);
        out[2] = (uint8_t)value;
        return 3;
    }
    out[0] = (uint8_t)(tag16 + 1);
    for (int i = 0; i < 4; i++) out[1 + i] = (uint8_t)(value >> (24 - 8 * i));
    return 5;
}

static void put_big_endian(uint8_t *out, uint64_t value) {
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* msgpack extension types of this engine: what msgpack itself has no word for. */
enum { EXT_STATUS = 1, EXT_ERROR = 2, EXT_SET = 3, EXT_PUSH = 4, EXT_VERBATIM = 5 };

/* Bytes with a msgpack extension type around them. */
static void msgpack_ext(kv_buf *out, uint8_t type, kv_slice bytes) {
    uint8_t head[6] = {0xc9};
    uint32_t len = (uint32_t)bytes.len;
    for (int i = 0; i < 4; i++) head[1 + i] = (uint8_t)(len >> (24 - 8 * i));
    head[5] = type;
    kv_buf_add(out, head, sizeof head);
    kv_buf_add_slice(out, bytes);
}

static void msgpack_bin(kv_buf *out, kv_slice bytes) {
    uint8_t head[5];
    size_t n;
    if (bytes.len <= 0xff) {
        head[0] = 0xc4;
        head[1] = (uint8_t)bytes.len;
        n = 2;
    } else if (bytes.len <= 0xffff) {
        head[0] = 0xc5;
        head[1] = (uint8_t)(bytes.len >> 8);
        head[2] = (uint8_t)bytes.len;
        n = 3;
    } else {
        head[0] = 0xc6;
        for (int i = 0; i < 4; i++) head[1 + i] = (uint8_t)(bytes.len >> (24 - 8 * i));
        n = 5;
    }
    kv_buf_add(out, head, n);
    kv_buf_add_slice(out, bytes);
}

/* Where there is room for it. Returns the end. */
static inline uint8_t *put_slice(uint8_t *at, kv_slice bytes) {
    if (bytes.len > 0) memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

/* A string-like RESP element: "<tag><length>\r\n<bytes>\r\n". */
static void resp_bulk(kv_buf *out, char tag, kv_slice prefix, kv_slice bytes) {
    if (!kv_buf_reserve(out, HEAD_MAX + prefix.len + bytes.len + 2)) return;
    uint8_t *at = out->ptr + out->len;
    at += resp_head(at, tag, (int64_t)(prefix.len + bytes.len));
    at = put_slice(at, prefix);
    at = put_slice(at, bytes);
    *at++ = '\r';
    *at++ = '\n';
    out->len = (size_t)(at - out->ptr);
}

static void tape_bytes(kv_buf *out, uint8_t tag, kv_slice bytes) {
    if (!kv_buf_reserve(out, HEAD_MAX + bytes.len)) return;
    uint8_t *at = out->ptr + out->len;
    if (bytes.len > UINT32_MAX) {
        uint64_t len = bytes.len;
        *at = KV_TAPE_BULK64;
        memcpy(at + 1, &len, sizeof len);
        at += 1 + sizeof len;
    } else {
        at += tape_head32(at, tag, (uint32_t)bytes.len);
    }
    at = put_slice(at, bytes);
    out->len = (size_t)(at - out->ptr);
}

/* A line: status or error. Its text is already free of CR, LF and NUL. */
static void line(kv_reply *reply, char resp_tag, uint8_t tape_tag, uint8_t ext, kv_slice text) {
    switch (reply->format) {
    case KV_FORMAT_RESP2:
    case KV_FORMAT_RESP3:
        kv_buf_add_byte(reply->out, (uint8_t)resp_tag);
        kv_buf_add_slice(reply->out, text);
        kv_buf_add(reply->out, "\r\n", 2);
        break;
    case KV_FORMAT_TAPE: tape_bytes(reply->out, tape_tag, text); break;
    case KV_FORMAT_MSGPACK: msgpack_ext(reply->out, ext, text); break;
    case KV_FORMAT_NULL: break;
    }
}

void kv_reply_status(kv_reply *reply, const char *text) { line(reply, '+', KV_TAPE_STATUS, EXT_STATUS, kv_slice_cstr(text)); }

void kv_reply_ok(kv_reply *reply) {
    if (reply->format <= KV_FORMAT_RESP3) kv_buf_add(reply->out, "+OK\r\n", 5);
    else kv_reply_status(reply, "OK");
}

/* An error code is a leading word of capitals: "WRONGTYPE Operation ...". */
static bool has_code(kv_slice text) {
    size_t i = 0;
    while (i < text.len && ((text.ptr[i] >= 'A' && text.ptr[i] <= 'Z') || (i > 0 && text.ptr[i] >= '0' && text.ptr[i] <= '9'))) i++;
    return i > 1 && (i == text.len || text.ptr[i] == ' ');
}

void kv_reply_error_slice(kv_reply *reply, kv_slice text) {
    char buffer[1024];
    size_t len = 0;
    if (!has_code(text)) {
        memcpy(buffer, "ERR ", 4);
        len = 4;
    }
    /* Users' bytes come back in errors: nothing in them may end the line early or start a new reply. */
    for (size_t i = 0; i < text.len && len < sizeof buffer; i++) {
        uint8_t byte = text.ptr[i];
        buffer[len++] = byte == '\r' || byte == '\n' || byte == 0 ? ' ' : (char)byte;
    }
    reply->errors++;
    reply->last_error = reply->out->len + (reply->format == KV_FORMAT_TAPE ? 5 : reply->format == KV_FORMAT_MSGPACK ? 6 : 1);
    reply->last_error_len = len;
    line(reply, '-', KV_TAPE_ERROR, EXT_ERROR, kv_slice_of(buffer, len));
}

void kv_reply_error(kv_reply *reply, const char *text) { kv_reply_error_slice(reply, kv_slice_cstr(text)); }

void kv_reply_errorf(kv_reply *reply, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t n = len < 0 ? 0 : (size_t)len >= sizeof text ? sizeof text - 1 : (size_t)len;
    kv_reply_error_slice(reply, kv_slice_of(text, n));
}

void kv_reply_int(kv_reply *reply, int64_t value) {
    uint8_t head[HEAD_MAX];
    switch (reply->format) {
    case KV_FORMAT_RESP2:
    case KV_FORMAT_RESP3: kv_buf_add(reply->out, head, resp_head(head, ':', value)); break;
    case KV_FORMAT_TAPE:
        head[0] = KV_TAPE_INT;
        memcpy(head + 1, &value, sizeof value);
        kv_buf_add(reply->out, head, 9);
        break;
    case KV_FORMAT_MSGPACK:
        head[0] = 0xd3;
        put_big_endian(head + 1, (uint64_t)value);
        kv_buf_add(reply->out, head, 9);
        break;
    case KV_FORMAT_NULL: break;
    }
}

void kv_reply_bool(kv_reply *reply, bool value) {
    switch (reply->format) {
    case KV_FORMAT_RESP2: kv_reply_int(reply, value); break;
    case KV_FORMAT_RESP3: kv_buf_add(reply->out, value ? "#t\r\n" : "#f\r\n", 4); break;
    case KV_FORMAT_TAPE: kv_buf_add_byte(reply->out, value ? KV_TAPE_TRUE : KV_TAPE_FALSE); break;
    case KV_FORMAT_MSGPACK: kv_buf_add_byte(reply->out, value ? 0xc3 : 0xc2); break;
    case KV_FORMAT_NULL: break;
    }
}

static void null_as(kv_reply *reply, const char *resp2) {
    switch (reply->format) {
    case KV_FORMAT_RESP2: kv_buf_add(reply->out, resp2, 5); break;
    case KV_FORMAT_RESP3: kv_buf_add(reply->out, "_\r\n", 3); break;
    case KV_FORMAT_TAPE: kv_buf_add_byte(reply->out, KV_TAPE_NULL); break;
    case KV_FORMAT_MSGPACK: kv_buf_add_byte(reply->out, 0xc0); break;
    case KV_FORMAT_NULL: break;
    }
}

void kv_reply_null(kv_reply *reply) { null_as(reply, "$-1\r\n"); }
void kv_reply_null_array(kv_reply *reply) { null_as(reply, "*-1\r\n"); }

void kv_reply_bulk(kv_reply *reply, kv_slice bytes) {
    switch (reply->format) {
    case KV_FORMAT_RESP2:
    case KV_FORMAT_RESP3: resp_bulk(reply->out, '$', KV_LIT(""), bytes); break;
    case KV_FORMAT_TAPE: tape_bytes(reply->out, KV_TAPE_BULK, bytes); break;
    case KV_FORMAT_MSGPACK: msgpack_bin(reply->out, bytes); break;
    case KV_FORMAT_NULL: break;
    }
}

void kv_reply_bulk_cstr(kv_reply *reply, const char *text) { kv_reply_bulk(reply, kv_slice_cstr(text)); }

void kv_reply_bulk_i64(kv_reply *reply, int64_t value) {
    char text[KV_NUM_MAX];
    kv_reply_bulk(reply, kv_slice_of(text, kv_format_i64(text, value)));
}

void kv_reply_bulk_double(kv_reply *reply, double value) {
    char text[KV_DOUBLE_MAX];
    kv_reply_bulk(reply, kv_slice_of(text, kv_format_double(text, value)));
}

void kv_reply_double(kv_reply *reply, double value) {
    char text[KV_DOUBLE_MAX + 4];
    uint8_t head[9];
    switch (reply->format) {
    case KV_FORMAT_RESP2: kv_reply_bulk_double(reply, value); break;
    case KV_FORMAT_RESP3: {
        text[0] = ',';
        size_t len = 1 + kv_format_double(text + 1, value);
        text[len++] = '\r';
        text[len++] = '\n';
        kv_buf_add(reply->out, text, len);
        break;
    }
    case KV_FORMAT_TAPE:
        head[0] = KV_TAPE_DOUBLE;
        memcpy(head + 1, &value, sizeof value);
        kv_buf_add(reply->out, head, 9);
        break;
    case KV_FORMAT_MSGPACK: {
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        head[0] = 0xcb;
        put_big_endian(head + 1, bits);
        kv_buf_add(reply->out, head, 9);
        break;
    }
    case KV_FORMAT_NULL: break;
    }
}

void kv_reply_verbatim(kv_reply *reply, kv_slice text) {
    switch (reply->format) {
    case KV_FORMAT_RESP2: kv_reply_bulk(reply, text); break;
    case KV_FORMAT_RESP3: resp_bulk(reply->out, '=', KV_LIT("txt:"), text); break;
    case KV_FORMAT_TAPE: tape_bytes(reply->out, KV_TAPE_VERBATIM, text); break;
    case KV_FORMAT_MSGPACK: msgpack_ext(reply->out, EXT_VERBATIM, text); break;
    case KV_FORMAT_NULL: break;
    }
}

typedef enum container { CONTAINER_ARRAY, CONTAINER_MAP, CONTAINER_SET, CONTAINER_PUSH, CONTAINER_ATTRIBUTE } container;

/* The head of a container; `count` is pairs for maps. */
static size_t container_head(const kv_reply *reply, uint8_t out[HEAD_MAX], container kind, size_t count) {
    static const char resp3_tags[] = {'*', '%', '~', '>', '|'};
    static const uint8_t tape_tags[] = {KV_TAPE_ARRAY, KV_TAPE_MAP, KV_TAPE_SET, KV_TAPE_PUSH, KV_TAPE_MAP};
    switch (reply->format) {
    case KV_FORMAT_RESP2: return resp_head(out, '*', (int64_t)(kind == CONTAINER_MAP || kind == CONTAINER_ATTRIBUTE ? 2 * count : count));
    case KV_FORMAT_RESP3: return resp_head(out, resp3_tags[kind], (int64_t)count);
    case KV_FORMAT_TAPE: return tape_head32(out, tape_tags[kind], (uint32_t)count);
    case KV_FORMAT_MSGPACK:
        if (kind == CONTAINER_MAP || kind == CONTAINER_ATTRIBUTE) return msgpack_head(out, 0x80, 15, 0xde, (uint32_t)count);
        if (kind == CONTAINER_ARRAY) return msgpack_head(out, 0x90, 15, 0xdc, (uint32_t)count);
        /* Sets and pushes: a two-element array of a mark (extension without bytes) and the items, so that no reader has to look ahead. */
        out[0] = 0x92;
        out[1] = 0xc7;
        out[2] = 0;
        out[3] = kind == CONTAINER_SET ? EXT_SET : EXT_PUSH;
        return 4 + msgpack_head(out + 4, 0x90, 15, 0xdc, (uint32_t)count);
    case KV_FORMAT_NULL: break;
    }
    return 0;
}

static void open_container(kv_reply *reply, container kind, size_t count) {
    uint8_t head[HEAD_MAX];
    kv_buf_add(reply->out, head, container_head(reply, head, kind, count));
}

void kv_reply_array(kv_reply *reply, size_t count) { open_container(reply, CONTAINER_ARRAY, count); }
void kv_reply_map(kv_reply *reply, size_t pairs) { open_container(reply, CONTAINER_MAP, pairs); }
void kv_reply_set(kv_reply *reply, size_t count) { open_container(reply, CONTAINER_SET, count); }
void kv_reply_push(kv_reply *reply, size_t count) { open_container(reply, CONTAINER_PUSH, count); }
void kv_reply_attribute(kv_reply *reply, size_t pairs) {
    if (reply->format == KV_FORMAT_RESP3) open_container(reply, CONTAINER_ATTRIBUTE, pairs);
}
void kv_reply_raw(kv_reply *reply, kv_slice encoded) { kv_buf_add_slice(reply->out, encoded); }

kv_mark kv_reply_defer(kv_reply *reply) { return (kv_mark){reply->out->len}; }

static void close_container(kv_reply *reply, kv_mark mark, container kind, size_t count) {
    uint8_t head[HEAD_MAX];
    size_t n = container_head(reply, head, kind, count);
    kv_buf *out = reply->out;
    if (n == 0 || !kv_buf_reserve(out, n)) return;
    memmove(out->ptr + mark.offset + n, out->ptr + mark.offset, out->len - mark.offset);
    memcpy(out->ptr + mark.offset, head, n);
    out->len += n;
    if (reply->errors > 0 && reply->last_error >= mark.offset) reply->last_error += n;
}

void kv_reply_defer_array(kv_reply *reply, kv_mark mark, size_t count) { close_container(reply, mark, CONTAINER_ARRAY, count); }
void kv_reply_defer_map(kv_reply *reply, kv_mark mark, size_t pairs) { close_container(reply, mark, CONTAINER_MAP, pairs); }
void kv_reply_defer_set(kv_reply *reply, kv_mark mark, size_t count) { close_container(reply, mark, CONTAINER_SET, count); }

void kv_reply_rewind(kv_reply *reply, kv_mark mark) {
    if (mark.offset < reply->out->len) reply->out->len = mark.offset;
}
