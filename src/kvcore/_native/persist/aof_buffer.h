/* Records on their way to a log: a stream of pieces. A piece begins and ends between groups, so that each can have a checksum line behind it. Not
 * thread-safe: the log's lock guards streams; a piece that was taken out of one belongs to who took it. */
#ifndef KV_PERSIST_AOF_BUFFER_H
#define KV_PERSIST_AOF_BUFFER_H

#include "base/mem.h"
#include "engine/effect.h"
#include "persist/aof_line.h"

typedef struct kv_aof_piece {
    struct kv_aof_piece *next;
    size_t len, cap; /* bytes of records; there is room for a line behind cap */
    size_t line;     /* bytes of the checksum line behind len; 0: none yet */
    uint64_t last;   /* number of its last group */
    int db;          /* selected where it begins; < 0: none, it selects for itself */
    uint8_t bytes[];
} kv_aof_piece;

typedef struct kv_aof_list {
    kv_aof_piece *first, *last;
} kv_aof_list;

typedef struct kv_aof_stream {
    kv_aof_list pieces;
    uint64_t first; /* number of the first group in it */
    int db;         /* selected at its end; < 0: none */
} kv_aof_stream;

/* Pieces of the usual size that wait to be used again. */
typedef struct kv_aof_pool {
    kv_mem *mem;
    kv_aof_piece *free;
    unsigned count;
} kv_aof_pool;

/* Appends a group under its number, with SELECT, MULTI and EXEC as needed. *added: bytes. False: no memory, nothing has changed. */
bool kv_aof_stream_add(kv_aof_stream *stream, kv_aof_pool *pool, const kv_effects *effects, uint64_t number, size_t *added);
/* Takes all pieces out; the stream goes on where it was. */
kv_aof_list kv_aof_stream_take(kv_aof_stream *stream);

/* Puts `more` behind `list`, and empties it. */
void kv_aof_list_join(kv_aof_list *list, kv_aof_list *more);
void kv_aof_list_add(kv_aof_list *list, kv_aof_piece *piece);
/* Takes the first piece out; NULL: none. */
kv_aof_piece *kv_aof_list_pop(kv_aof_list *list);

/* Bytes of memory that a piece takes. */
size_t kv_aof_piece_bytes(const kv_aof_piece *piece);
/* False: the pool does not want it, the caller frees it. That is not done in here, under the log's lock: giving memory back may take the system long. */
bool kv_aof_pool_put(kv_aof_pool *pool, kv_aof_piece *piece);
/* One that an idle log need not keep, for the caller to free; NULL: none. */
kv_aof_piece *kv_aof_pool_spare(kv_aof_pool *pool);
void kv_aof_pool_clear(kv_aof_pool *pool);

/* "*2 select db": what a file needs in which a piece with this db comes first. Returns its length. */
enum { KV_AOF_SELECT_MAX = 64 };
size_t kv_aof_select(uint8_t out[KV_AOF_SELECT_MAX], int db);

#endif
