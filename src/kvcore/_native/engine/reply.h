/* The reply sink: what handlers write to. One set of calls, five encodings; no handler knows which one it is writing.
 *
 * RESP2 and RESP3 go to sockets. TAPE is the engine's own binary form of RESP3 (tag, fixed-width little-endian length), which the in-process
 * door decodes after every lock is released: nothing that Python's collector tracks is ever made under a lock. NULL counts and drops.
 * A failed growth sets out->failed; dispatch checks once at the end. Every call is O(bytes written). */
#ifndef KV_ENGINE_REPLY_H
#define KV_ENGINE_REPLY_H

#include "base/buf.h"
#include "base/num.h"

typedef enum kv_format { KV_FORMAT_RESP2, KV_FORMAT_RESP3, KV_FORMAT_TAPE, KV_FORMAT_MSGPACK, KV_FORMAT_NULL } kv_format;

/* TAPE: one tag byte, then as said. Lengths and counts are uint32, little-endian; longer strings use the 64-bit tag. */
enum {
    KV_TAPE_NULL = 'n',
    KV_TAPE_TRUE = 't',
    KV_TAPE_FALSE = 'f',
    KV_TAPE_INT = 'i',      /* int64 */
    KV_TAPE_DOUBLE = 'd',   /* IEEE double */
    KV_TAPE_BULK = 'b',     /* uint32 length, bytes */
    KV_TAPE_BULK64 = 'B',   /* uint64 length, bytes */
    KV_TAPE_STATUS = 's',   /* uint32 length, bytes */
    KV_TAPE_ERROR = 'e',    /* uint32 length, bytes */
    KV_TAPE_VERBATIM = 'v', /* uint32 length, bytes (without the "txt:" prefix) */
    KV_TAPE_ARRAY = 'a',    /* uint32 count, then the items */
    KV_TAPE_SET = '~',      /* uint32 count */
    KV_TAPE_MAP = 'm',      /* uint32 pairs */
    KV_TAPE_PUSH = '>'      /* uint32 count */
};

typedef struct kv_reply {
    kv_buf *out;
    kv_format format;
    uint32_t errors;   /* error replies written so far */
    size_t last_error; /* offset in out of the newest error's text ("ERR ..."), valid when errors > 0 */
    size_t last_error_len;
} kv_reply;

static inline kv_reply kv_reply_to(kv_buf *out, kv_format format) { return (kv_reply){.out = out, .format = format}; }
static inline bool kv_reply_is_resp3(const kv_reply *reply) { return reply->format != KV_FORMAT_RESP2; }

void kv_reply_status(kv_reply *reply, const char *text); /* +OK */
void kv_reply_ok(kv_reply *reply);
/* Text begins with its code ("ERR ...", "WRONGTYPE ..."); a missing code (no leading capital word) gets "ERR ". CR, LF and NUL become spaces. */
void kv_reply_error(kv_reply *reply, const char *text);
void kv_reply_error_slice(kv_reply *reply, kv_slice text);
void kv_reply_errorf(kv_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void kv_reply_int(kv_reply *reply, int64_t value);
void kv_reply_bool(kv_reply *reply, bool value); /* RESP2: 1 or 0 */
void kv_reply_null(kv_reply *reply);             /* RESP2: $-1 */
void kv_reply_null_array(kv_reply *reply);       /* RESP2: *-1 */
void kv_reply_bulk(kv_reply *reply, kv_slice bytes);
void kv_reply_bulk_cstr(kv_reply *reply, const char *text);
void kv_reply_bulk_i64(kv_reply *reply, int64_t value);   /* the decimal text as a bulk string */
void kv_reply_bulk_double(kv_reply *reply, double value); /* the shortest text as a bulk string, in every format */
void kv_reply_double(kv_reply *reply, double value);      /* RESP3 double; RESP2 bulk */
void kv_reply_verbatim(kv_reply *reply, kv_slice text);   /* RESP3 =txt:; RESP2 bulk */
void kv_reply_array(kv_reply *reply, size_t count);
void kv_reply_map(kv_reply *reply, size_t pairs);       /* RESP2: array of 2 * pairs */
void kv_reply_set(kv_reply *reply, size_t count);       /* RESP2: array */
void kv_reply_push(kv_reply *reply, size_t count);      /* RESP2: array */
void kv_reply_attribute(kv_reply *reply, size_t pairs); /* RESP3 only; nothing may be written by callers in other formats */
void kv_reply_raw(kv_reply *reply, kv_slice encoded);   /* bytes that are already in this reply's format */

/* A container whose count is known only at its end. Marks nest: close the inner one first. Closing moves the bytes behind the mark once. */
typedef struct kv_mark {
    size_t offset;
} kv_mark;
kv_mark kv_reply_defer(kv_reply *reply);
void kv_reply_defer_array(kv_reply *reply, kv_mark mark, size_t count);
void kv_reply_defer_map(kv_reply *reply, kv_mark mark, size_t pairs);
void kv_reply_defer_set(kv_reply *reply, kv_mark mark, size_t count);
/* Forget everything written since the mark (to write an error instead). */
void kv_reply_rewind(kv_reply *reply, kv_mark mark);

#endif
