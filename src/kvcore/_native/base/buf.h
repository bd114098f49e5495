/* A growable byte buffer. Owner: whoever holds the struct. After a failed growth `failed` stays set and appends do nothing,
 * so that a writer checks once at the end. */
#ifndef KV_BASE_BUF_H
#define KV_BASE_BUF_H

#include "base/mem.h"
#include "base/slice.h"
#include "base/status.h"

typedef struct kv_buf {
    uint8_t *ptr;
    size_t len, cap;
    kv_mem *mem;
    bool failed;
} kv_buf;

static inline void kv_buf_init(kv_buf *buf, kv_mem *mem) {
    *buf = (kv_buf){0};
    buf->mem = mem;
}
void kv_buf_deinit(kv_buf *buf);
bool kv_buf_grow(kv_buf *buf, size_t more); /* out of line: room for `more` bytes behind len; false (and failed) when out of memory */
/* The same without looking ahead: not a byte more than asked for. For the last growth of a buffer whose length is known. */
bool kv_buf_grow_exactly(kv_buf *buf, size_t more);
static inline bool kv_buf_reserve(kv_buf *buf, size_t more) {
    return (buf->cap - buf->len >= more && !buf->failed) || kv_buf_grow(buf, more);
}
static inline void kv_buf_add(kv_buf *buf, const void *bytes, size_t len) {
    if (len == 0 || !kv_buf_reserve(buf, len)) return;
    memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
}
static inline void kv_buf_add_slice(kv_buf *buf, kv_slice s) { kv_buf_add(buf, s.ptr, s.len); }
static inline void kv_buf_add_byte(kv_buf *buf, uint8_t byte) { kv_buf_add(buf, &byte, 1); }
static inline kv_slice kv_buf_slice(const kv_buf *buf) { return kv_slice_of(buf->ptr, buf->len); }
static inline void kv_buf_clear(kv_buf *buf) {
    buf->len = 0;
    buf->failed = false;
}
void kv_buf_printf(kv_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void kv_buf_drop_front(kv_buf *buf, size_t bytes); /* forget the first bytes (memmove) */
void kv_buf_trim(kv_buf *buf, size_t keep);        /* give capacity above `keep` back when empty */

#endif
