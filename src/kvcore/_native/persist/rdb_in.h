/* The primitives of RDB, read from bytes that nobody vouches for.
 *
 * A source is a window of bytes, and possibly a way to get more behind it. Every length is compared with what is left of the source before it is
 * used, so bytes that lie cannot make a reader allocate more than a small multiple of what was given to it. A function that returns false has said
 * why in `status` and `problem`; the source is then of no more use. */
#ifndef KV_PERSIST_RDB_IN_H
#define KV_PERSIST_RDB_IN_H

#include "base/buf.h"

typedef struct kv_rdb_in kv_rdb_in;
struct kv_rdb_in {
    const uint8_t *at, *end; /* the window: what is to be read next, and its end */
    uint64_t beyond;         /* bytes of the source behind `end` */
    /* Has `need` bytes from `at` on in the window (they are there in the source), which may move. False: status and problem are set. NULL: beyond is 0. */
    bool (*more)(kv_rdb_in *in, size_t need);
    void *arg;             /* for `more` */
    const uint8_t *summed; /* checksum: that of all bytes before this one ... */
    uint64_t sum;          /* ... is this; see kv_rdb_sum */
    kv_mem *mem;
    kv_status status; /* KV_ECORRUPT, KV_EIO, KV_ENOMEM; KV_EINVAL: valid, but of a kind that is not supported */
    const char *problem;
};

void kv_rdb_in_init(kv_rdb_in *in, kv_mem *mem, kv_slice bytes);
bool kv_rdb_fail(kv_rdb_in *in, kv_status status, const char *problem); /* remembers the first one; returns false */

/* The checksum of everything that was read. `more` calls it before it moves the window, and then has `summed` follow. */
uint64_t kv_rdb_sum(kv_rdb_in *in);

static inline uint64_t kv_rdb_left(const kv_rdb_in *in) { return (uint64_t)(in->end - in->at) + in->beyond; }
/* The next n bytes, which it goes past; NULL: failed. Good until the next call. */
const uint8_t *kv_rdb_take(kv_rdb_in *in, size_t n);
bool kv_rdb_byte(kv_rdb_in *in, uint8_t *out);
bool kv_rdb_u64(kv_rdb_in *in, uint64_t *out);
bool kv_rdb_double(kv_rdb_in *in, double *out);
bool kv_rdb_length(kv_rdb_in *in, uint64_t *out);
/* A number of things that take at least `least` bytes each: fails when so many cannot follow. */
bool kv_rdb_count(kv_rdb_in *in, size_t least, size_t *out);
/* A string of any form. *out borrows from `room` or, good until the next call only, from the window. At most KV_RDB_STRING_MAX bytes. */
bool kv_rdb_string(kv_rdb_in *in, kv_buf *room, kv_slice *out);
/* The same, and good as long as `room` is left alone: for what is needed beside the next string. */
bool kv_rdb_string_kept(kv_rdb_in *in, kv_buf *room, kv_slice *out);
/* Goes past a string without making anything of it. */
bool kv_rdb_skip_string(kv_rdb_in *in);

#define KV_RDB_STRING_MAX ((uint64_t)UINT32_MAX - 4096)

#endif
