/* Parsing requests.
 *
 * A multibulk request is consumed word by word: its head, then for each word a head and its bytes. `pos` stands behind what was consumed, so an
 * incomplete word costs one look at its head line each time. Announced lengths are checked against the limits as soon as they are read. */
#include "net/request.h"

#include <limits.h>
#include <stdio.h>

#include "base/num.h"
#include "base/words.h"

#define LINE_MAX_BYTES (64 * 1024) /* heads and inline requests */
#define PREAUTH_WORDS 10
#define PREAUTH_BULK 16384
#define INLINE_KEPT 1024
#define WORDS_STEP 1024 /* argv grows with what has arrived, at most this much ahead */

void kv_request_init(kv_request *request, kv_mem *mem) {
    *request = (kv_request){.mem = mem, .bulk_len = -1};
    kv_buf_init(&request->inline_text, mem);
}

void kv_request_deinit(kv_request *request) {
    kv_free(request->mem, request->spans);
    kv_free(request->mem, request->argv);
    kv_buf_deinit(&request->inline_text);
}

void kv_request_dropped(kv_request *request, size_t bytes) {
    request->pos -= bytes;
    if (request->words_left == 0) request->argc = 0; /* the command before has been run */
    for (int i = 0; i < request->argc; i++) request->spans[i].at -= bytes;
}

size_t kv_request_needed_from(const kv_request *request) {
    return request->words_left > 0 && request->argc > 0 ? request->spans[0].at : request->pos;
}

size_t kv_request_missing(const kv_request *request, size_t len) {
    if (request->words_left == 0 || request->bulk_len < 0) return 0;
    size_t needed = (size_t)request->bulk_len + 2, there = len - request->pos;
    return there < needed ? needed - there : 0;
}

void kv_request_back(kv_request *request, kv_request_place place) {
    request->pos = place.pos;
    request->words_left = place.words_left;
    request->bulk_len = place.bulk_len;
    request->argc = place.argc; /* the spans of words that were there are untouched: later ones were added behind them */
}

void kv_request_trim(kv_request *request) {
    if (request->words_left > 0) return;
    if (request->cap > WORDS_STEP) {
        kv_free(request->mem, request->spans);
        kv_free(request->mem, request->argv);
        request->spans = NULL;
        request->argv = NULL;
        request->argc = request->cap = 0;
    }
    if (request->inline_text.cap > INLINE_KEPT) kv_buf_deinit(&request->inline_text);
}

static kv_request_status fail(kv_request *request, const char *text) {
    snprintf(request->error, sizeof request->error, "ERR Protocol error: %s", text);
    return KV_REQUEST_ERROR;
}

static bool add_word(kv_request *request, size_t at, size_t len) {
    if (request->argc == request->cap) {
        if (request->cap > INT_MAX / 2) return false;
        int cap = request->cap == 0 ? 8 : request->cap < WORDS_STEP ? request->cap * 2 : request->cap + request->cap / 2;
        kv_word *spans = kv_realloc(request->mem, request->spans, (size_t)cap * sizeof *spans);
        if (spans == NULL) return false;
        request->spans = spans;
        kv_slice *argv = kv_realloc(request->mem, request->argv, (size_t)cap * sizeof *argv);
        if (argv == NULL) return false;
        request->argv = argv;
        request->cap = cap;
    }
    request->spans[request->argc++] = (kv_word){at, len};
    return true;
}

/* The line that starts at pos, without its CR LF; false when it is not complete. */
static bool line_at(kv_slice in, size_t pos, kv_slice *line) {
    const uint8_t *from = in.ptr + pos, *end = memchr(from, '\r', in.len - pos);
    if (end == NULL || end + 1 >= in.ptr + in.len) return false;
    *line = kv_slice_of(from, (size_t)(end - from));
    return true;
}

/* line_at has found the CR; its LF has to follow. */
static bool ends_well(kv_slice line) { return line.ptr[line.len + 1] == '\n'; }

/* A length in a head: like kv_parse_i64, which is strict. */
static bool parse_length(kv_slice text, int64_t *out) {
    if (text.len == 1 && text.ptr[0] >= '0' && text.ptr[0] <= '9') {
        *out = text.ptr[0] - '0';
        return true;
    }
    return kv_parse_i64(text, out);
}

/* ---- multibulk ---- */

static kv_request_status multibulk_head(kv_request *request, kv_slice in, const kv_request_limits *limits) {
    kv_slice line;
    int64_t count;
    if (!line_at(in, request->pos, &line))
        return in.len - request->pos > LINE_MAX_BYTES ? fail(request, "too big mbulk count string") : KV_REQUEST_MORE;
    if (!ends_well(line)) return fail(request, "invalid CRLF in request");
    if (!parse_length(kv_slice_of(line.ptr + 1, line.len - 1), &count) || count > INT_MAX) return fail(request, "invalid multibulk length");
    if (count > PREAUTH_WORDS && !limits->authenticated) return fail(request, "unauthenticated multibulk length");
    request->pos += line.len + 2;
    request->words_left = count > 0 ? count : 0;
    request->argc = 0;
    request->bulk_len = -1;
    return KV_REQUEST_COMMAND;
}

static kv_request_status bulk_head(kv_request *request, kv_slice in, const kv_request_limits *limits) {
    kv_slice line;
    int64_t len;
    if (!line_at(in, request->pos, &line))
        return in.len - request->pos > LINE_MAX_BYTES ? fail(request, "too big bulk count string") : KV_REQUEST_MORE;
    if (line.len == 0 || line.ptr[0] != '$') {
        char text[64];
        uint8_t got = in.ptr[request->pos];
        snprintf(text, sizeof text, "expected '$', got '%c'", got == 0 ? ' ' : got);
        return fail(request, text);
    }
    if (!ends_well(line)) return fail(request, "invalid CRLF in request");
    if (!parse_length(kv_slice_of(line.ptr + 1, line.len - 1), &len) || len < 0 || len > limits->max_bulk)
        return fail(request, "invalid bulk length");
    if (len > PREAUTH_BULK && !limits->authenticated) return fail(request, "unauthenticated bulk length");
    request->pos += line.len + 2;
    request->bulk_len = len;
    return KV_REQUEST_COMMAND;
}

static kv_request_status multibulk_words(kv_request *request, kv_slice in, const kv_request_limits *limits) {
    while (request->words_left > 0) {
        if (request->bulk_len < 0) {
            kv_request_status status = bulk_head(request, in, limits);
            if (status != KV_REQUEST_COMMAND) return status;
        }
        size_t len = (size_t)request->bulk_len;
        if (in.len - request->pos < len + 2) return KV_REQUEST_MORE;
        if (memcmp(in.ptr + request->pos + len, "\r\n", 2) != 0) return fail(request, "invalid CRLF in request");
        if (!add_word(request, request->pos, len)) return KV_REQUEST_NO_MEMORY;
        request->pos += len + 2;
        request->bulk_len = -1;
        request->words_left--;
    }
    for (int i = 0; i < request->argc; i++) request->argv[i] = kv_slice_of(in.ptr + request->spans[i].at, request->spans[i].len);
    return KV_REQUEST_COMMAND;
}

/* ---- inline ---- */

static kv_request_status inline_request(kv_request *request, kv_slice in) {
    const uint8_t *from = in.ptr + request->pos, *end = memchr(from, '\n', in.len - request->pos);
    /* An inline request is text: behind a NUL there is no end of line to be seen, as for servers that read it as a C string. */
    if (end != NULL && memchr(from, 0, (size_t)(end - from)) != NULL) end = NULL;
    if (end == NULL) return in.len - request->pos > LINE_MAX_BYTES ? fail(request, "too big inline request") : KV_REQUEST_MORE;
    kv_slice line = kv_slice_of(from, (size_t)(end - from));
    request->pos += line.len + 1;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
    request->argc = 0;
    request->is_inline = true;
    kv_buf_clear(&request->inline_text);
    size_t i = 0, at = 0;
    kv_word_result found;
    while ((found = kv_next_word(line, &i, &request->inline_text)) == KV_WORD_FOUND) {
        if (request->inline_text.failed || !add_word(request, at, request->inline_text.len - at)) return KV_REQUEST_NO_MEMORY;
        at = request->inline_text.len;
    }
    if (found == KV_WORD_UNBALANCED) return fail(request, "unbalanced quotes in request");
    for (int k = 0; k < request->argc; k++)
        request->argv[k] = kv_slice_of(request->inline_text.ptr + request->spans[k].at, request->spans[k].len);
    request->words_left = 0;
    return KV_REQUEST_COMMAND;
}

kv_request_status kv_request_next(kv_request *request, kv_slice in, const kv_request_limits *limits) {
    for (;;) {
        kv_request_status status;
        if (request->words_left == 0) {
            if (request->pos >= in.len) return KV_REQUEST_MORE;
            request->argc = 0;
            request->is_inline = false;
            if (in.ptr[request->pos] != '*') {
                status = inline_request(request, in);
                if (status != KV_REQUEST_COMMAND || request->argc > 0) return status;
                continue;
            }
            status = multibulk_head(request, in, limits);
            if (status != KV_REQUEST_COMMAND) return status;
            if (request->words_left == 0) continue; /* "*0": nothing to do */
        }
        return multibulk_words(request, in, limits);
    }
}
