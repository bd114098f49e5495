/* LZF, the byte format that RDB files hold compressed strings in. The decoder trusts nothing. Both are O(n), keep no state and allocate nothing; the
 * encoder has a table of 32 KiB on the stack. */
#ifndef KV_DS_LZF_H
#define KV_DS_LZF_H

#include "base/slice.h"

/* The most that `bytes` can become: incompressible bytes grow by one in 32. */
static inline size_t kv_lzf_bound(size_t bytes) { return bytes + bytes / 32 + 1; }

/* Writes `in` compressed to `out` and returns the bytes written; 0 when they would be more than `room` (or `in` is empty, or passes 4 GiB). So a room
 * smaller than `in` asks for a real gain. Bytes of `out` may have been written even then. */
size_t kv_lzf_compress(kv_slice in, uint8_t *out, size_t room);

/* Expands `in` to exactly `bytes` bytes of `out`. False: the input is not LZF, or is that of another length; `out` then holds anything. Never reads
 * outside `in` nor writes outside `out`. */
bool kv_lzf_decompress(kv_slice in, uint8_t *out, size_t bytes);

#endif
