/* Pieces of a snapshot: RDB bytes as they are written under a shard's lock, when there is no time to compress anything.
 *
 * A piece stands by itself: it selects its database. What might be compressed is written as it is, and marked; kv_piece_encode, which needs no lock, makes
 * of it what the file gets. */
#ifndef KV_PERSIST_PIECE_H
#define KV_PERSIST_PIECE_H

#include "base/buf.h"
#include "ds/quicklist.h"
#include "ds/table.h"
#include "store/access.h"
#include "types/value.h"

typedef struct kv_piece {
    struct kv_piece *next; /* the owner's */
    kv_buf bytes;
    kv_buf marks; /* kv_piece_mark, ascending */
    bool compress;
    int db; /* selected last; -1: none yet */
    uint64_t keys;
} kv_piece;

/* A string that stands as it is at `at`, where its length begins. */
typedef struct kv_piece_mark {
    size_t at, len;
} kv_piece_mark;

void kv_piece_init(kv_piece *piece, kv_mem *mem, bool compress);
void kv_piece_deinit(kv_piece *piece);
static inline bool kv_piece_failed(const kv_piece *piece) { return piece->bytes.failed || piece->marks.failed; }
static inline size_t kv_piece_held(const kv_piece *piece) { return piece->bytes.cap + piece->marks.cap; }

/* What stands before a key's value: database, expiry, access clock (as the policy keeps it), type, key. */
void kv_piece_key(kv_piece *piece, int db, const kv_value *v, kv_access_config access, int64_t now_ms);
/* The value, whole. */
void kv_piece_value(kv_piece *piece, const kv_value *v);
/* What stands before the elements of a container's big form, then each of them. */
void kv_piece_count(kv_piece *piece, size_t count);
void kv_piece_element(kv_piece *piece, const kv_value *v, const void *entry, bool expiries); /* of a table */
void kv_piece_node(kv_piece *piece, const kv_ql_node *node);
void kv_piece_string(kv_piece *piece, kv_slice bytes);
void kv_piece_blob(kv_piece *piece, kv_slice bytes);

bool kv_piece_has_expiries(const kv_value *v);     /* of fields */
const kv_table *kv_piece_table(const kv_value *v); /* that holds the elements; NULL: no table does */

/* ---- pieces that follow each other ---- */
typedef struct kv_pieces {
    kv_piece *first, *last;
    size_t held; /* bytes that they take */
} kv_pieces;
#define KV_PIECE_BYTES ((size_t)64 * 1024)
/* The last one, or a new one behind it when that is full (or `fresh` is asked for). NULL: no memory. */
kv_piece *kv_pieces_open(kv_pieces *pieces, kv_mem *mem, bool compress, bool fresh);
void kv_pieces_count(kv_pieces *pieces, size_t before); /* the last one took `before` bytes, and has grown */
void kv_pieces_add(kv_pieces *pieces, kv_piece *piece);
kv_pieces kv_pieces_take(kv_pieces *pieces);
void kv_pieces_free(kv_pieces *pieces);
void kv_piece_free(kv_piece *piece); /* one that kv_pieces_open made */

/* The piece as it stands in the file. Look at out->failed. No lock. */
void kv_piece_encode(const kv_piece *piece, kv_buf *out);

#endif
