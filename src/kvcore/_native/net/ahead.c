/* Parsing ahead. Only the usual form is known here: heads of at most five digits without a leading zero, line ends in their places. Anything else ends
 * the look, so the strict parser in request.c is the only one that refuses. */
#include "net/ahead.h"

#define COMMAND_MAX (64 * 1024) /* bytes: longer ones are measured against client-query-buffer-limit, by the caller */
#define NUMBER_MAX 100000

/* "<tag><number>\r\n" at *at, which moves behind it. */
static inline bool take_head(const uint8_t **at, const uint8_t *end, uint8_t tag, size_t *number) {
    const uint8_t *p = *at;
    if (end - p < 4 || p[0] != tag) return false;
    size_t value = (size_t)p[1] - '0'; /* what is below '0' becomes huge */
    if (value > 9) return false;
    p += 2;
    if (*p != '\r' && value == 0) return false;
    for (; *p != '\r'; p++) {
        size_t digit = (size_t)*p - '0';
        if (digit > 9 || end - p < 3) return false;
        value = value * 10 + digit;
        if (value >= NUMBER_MAX) return false;
    }
    if (p[1] != '\n') return false; /* there: the loop leaves two bytes */
    *number = value;
    *at = p + 2;
    return true;
}

/* The words of one command; NULL: not usual, or not all there. Else its end. */
static const uint8_t *take_command(const uint8_t *at, const uint8_t *end, size_t max_bulk, kv_slice *words, size_t room, size_t *count) {
    if (!take_head(&at, end, '*', count) || *count == 0 || *count > room) return NULL;
    for (size_t i = 0; i < *count; i++) {
        size_t len;
        if (!take_head(&at, end, '$', &len) || len > max_bulk || (size_t)(end - at) < len + 2) return NULL;
        if (at[len] != '\r' || at[len + 1] != '\n') return NULL;
        words[i] = kv_slice_of(at, len);
        at += len + 2;
    }
    return at;
}

void kv_ahead_look(kv_ahead *ahead, const kv_request *request, kv_slice in, const kv_request_limits *limits) {
    kv_ahead_drop(ahead);
    if (request->words_left > 0 || !limits->authenticated || request->pos >= in.len) return;
    const uint8_t *at = in.ptr + request->pos, *end = in.ptr + in.len;
    size_t max_bulk = limits->max_bulk < 0 ? 0 : (size_t)limits->max_bulk, used = 0, words;
    ahead->first[0] = 0;
    while (ahead->count < KV_AHEAD && used < KV_AHEAD_WORDS) {
        const uint8_t *after = take_command(at, end, max_bulk, ahead->words + used, KV_AHEAD_WORDS - used, &words);
        if (after == NULL || after - at > COMMAND_MAX) return;
        used += words;
        ahead->end[ahead->count++] = (size_t)(after - in.ptr);
        ahead->first[ahead->count] = (uint16_t)used;
        at = after;
    }
}
