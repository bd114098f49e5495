/* The primitives of RDB, appended to a buffer. They never fail by themselves: look at out->failed in the end. */
#ifndef KV_PERSIST_RDB_OUT_H
#define KV_PERSIST_RDB_OUT_H

#include "base/buf.h"

void kv_rdb_put_length(kv_buf *out, uint64_t length);
/* Bytes as a string: as an integer when they are the text of one of up to 32 bits; with `compress`, as LZF when that saves something. */
void kv_rdb_put_string(kv_buf *out, kv_slice bytes, bool compress);
/* The same without looking for an integer: blocks of bytes (listpacks, intsets). */
void kv_rdb_put_blob(kv_buf *out, kv_slice bytes, bool compress);
/* A string that is LZF already, and how long it is expanded. */
void kv_rdb_put_packed(kv_buf *out, kv_slice packed, size_t expanded);
void kv_rdb_put_int_string(kv_buf *out, int64_t value);
void kv_rdb_put_double(kv_buf *out, double value); /* 8 bytes */
void kv_rdb_put_u64(kv_buf *out, uint64_t value);  /* 8 bytes, little-endian: times */

#endif
