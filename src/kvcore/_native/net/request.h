/* The request parser: bytes in, commands out. It never sees a socket: the caller feeds it a growing buffer and asks for the next command.
 *
 * Two forms, told apart by the first byte: "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" (multibulk) and inline words with shell-like quotes. State lives
 * in the struct, so a request may arrive in any number of pieces; nothing is scanned twice but the unfinished line at the end. Memory grows
 * with the bytes that have arrived, never with a length that was only announced. */
#ifndef KV_NET_REQUEST_H
#define KV_NET_REQUEST_H

#include "base/buf.h"

typedef struct kv_request_limits {
    int64_t max_bulk;   /* proto-max-bulk-len */
    bool authenticated; /* false: at most 10 words of at most 16 KiB */
} kv_request_limits;

typedef struct kv_word {
    size_t at, len; /* in the input buffer */
} kv_word;

typedef struct kv_request {
    kv_mem *mem;
    size_t pos;         /* first byte of the buffer that is not consumed */
    int64_t words_left; /* of a multibulk request; 0: between requests */
    int64_t bulk_len;   /* of the word that is arriving; -1: its head has not been read */
    kv_word *spans;     /* words so far; offsets, because the buffer may move */
    kv_slice *argv;     /* filled when a command is complete */
    int argc, cap;
    kv_buf inline_text; /* unquoted bytes of an inline request */
    bool is_inline;     /* argv points into inline_text */
    char error[96];     /* after KV_REQUEST_ERROR: the reply's text; the connection must be closed behind it */
} kv_request;

typedef enum kv_request_status {
    KV_REQUEST_MORE,    /* incomplete: feed more bytes */
    KV_REQUEST_COMMAND, /* argv[0..argc) is a command; its bytes are valid until the buffer changes */
    KV_REQUEST_ERROR,   /* protocol error, in `error` */
    KV_REQUEST_NO_MEMORY
} kv_request_status;

void kv_request_init(kv_request *request, kv_mem *mem);
void kv_request_deinit(kv_request *request);

/* The next complete command of `in` from request->pos on. Empty requests are skipped. Amortised O(bytes). */
kv_request_status kv_request_next(kv_request *request, kv_slice in, const kv_request_limits *limits);

/* `bytes` were dropped from the front of the buffer. */
void kv_request_dropped(kv_request *request, size_t bytes);

/* Where parsing stood, and back there: a command that may not run yet is parsed again later. Between the two nothing may be dropped from the buffer. */
typedef struct kv_request_place {
    size_t pos;
    int64_t words_left, bulk_len;
    int argc;
} kv_request_place;
static inline kv_request_place kv_request_here(const kv_request *request) {
    return (kv_request_place){request->pos, request->words_left, request->bulk_len, request->words_left > 0 ? request->argc : 0};
}
void kv_request_back(kv_request *request, kv_request_place place);

/* Between requests: gives back what a long one needed. */
void kv_request_trim(kv_request *request);

/* Bytes that are missing of the word that is arriving, its line end included, when `len` bytes are in the buffer; 0: not known, or none. */
size_t kv_request_missing(const kv_request *request, size_t len);

/* Where the bytes that are still needed begin: everything before may be dropped from the buffer. */
size_t kv_request_needed_from(const kv_request *request);

#endif
