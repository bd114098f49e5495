/* A growable byte buffer: capacity doubles (from 64 bytes), so appending n bytes one by one costs O(n). */
#include "base/buf.h"
#include "base/num.h"
#include <stdarg.h>
#include <stdio.h>

void kv_buf_deinit(kv_buf *buf) {
    kv_free(buf->mem, buf->ptr);
    kv_buf_init(buf, buf->mem);
}

static bool grow(kv_buf *buf, size_t more, size_t least) {
    size_t need;
    if (buf->failed || !kv_add_size(buf->len, more, &need)) goto fail;
    if (need <= buf->cap) return true;
    size_t cap = need < least ? least : need;
    uint8_t *ptr = kv_realloc(buf->mem, buf->ptr, cap);
    if (ptr == NULL) goto fail;
    buf->ptr = ptr;
    buf->cap = cap;
    return true;
fail:
    buf->failed = true;
    return false;
}

bool kv_buf_grow(kv_buf *buf, size_t more) {
    size_t twice;
    if (!kv_mul_size(buf->cap, 2, &twice)) twice = 0;
    return grow(buf, more, twice < 64 ? 64 : twice);
}

bool kv_buf_grow_exactly(kv_buf *buf, size_t more) { return grow(buf, more, 1); }

void kv_buf_printf(kv_buf *buf, const char *format, ...) {
    if (buf->failed) return;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = buf->cap - buf->len;
    int wanted = vsnprintf(room ? (char *)buf->ptr + buf->len : NULL, room, format, args);
    va_end(args);
    if (wanted < 0) {
        buf->failed = true;
    } else if ((size_t)wanted < room) {
        buf->len += (size_t)wanted;
    } else if (kv_buf_grow(buf, (size_t)wanted + 1)) { /* + 1: vsnprintf ends with a NUL, which is not counted in len */
        vsnprintf((char *)buf->ptr + buf->len, (size_t)wanted + 1, format, again);
        buf->len += (size_t)wanted;
    }
    va_end(again);
}

void kv_buf_drop_front(kv_buf *buf, size_t bytes) {
    if (bytes == 0) return;
    if (bytes >= buf->len) {
        buf->len = 0;
        return;
    }
    buf->len -= bytes;
    memmove(buf->ptr, buf->ptr + bytes, buf->len);
}

void kv_buf_trim(kv_buf *buf, size_t keep) {
    if (buf->len > 0 || buf->cap <= keep) return;
    kv_free(buf->mem, buf->ptr);
    buf->ptr = NULL;
    buf->cap = 0;
    if (keep == 0) return;
    buf->ptr = kv_malloc(buf->mem, keep); /* a failure only means that the next append allocates */
    if (buf->ptr != NULL) buf->cap = keep;
}
