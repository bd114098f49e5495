/* Reads a log: RESP arrays of bulk strings from a source at its position (a file of its own, or behind the snapshot of a single file).
 *
 * It comes in batches of groups. A group is what has to be applied as a whole: one command, or those between MULTI and EXEC. Nothing is given out that
 * a checksum line of ours covers and that has not been compared with it; a log of another program has no such lines and is taken as it is.
 *
 * What ends a log too early is told apart: TORN is what a crash leaves (an unfinished record, zeros or garbage behind the last bytes that are known to
 * have been on the disk): it may be cut off at `good`. CORRUPT is damage to what was there once. FAILED says nothing about the file. */
#ifndef KV_PERSIST_AOF_READ_H
#define KV_PERSIST_AOF_READ_H

#include "persist/source.h"

typedef enum kv_aof_status {
    KV_AOF_BATCH,   /* groups are there */
    KV_AOF_END,     /* the end, at a boundary */
    KV_AOF_TORN,    /* the rest, from `good` on, was being written when the system stopped */
    KV_AOF_CORRUPT, /* wrong at `bad` or between `good` and it */
    KV_AOF_FAILED   /* reading or memory: `error` is KV_EIO (errno in source->error) or KV_ENOMEM */
} kv_aof_status;

typedef struct kv_aof_command {
    size_t first; /* word */
    int argc;
} kv_aof_command;

typedef struct kv_aof_group {
    size_t first, count; /* commands; none when the transaction was discarded */
    uint64_t end;        /* where in the file it ends */
} kv_aof_group;

/* A log's words stay as long as the batch. */
typedef struct kv_aof_reader {
    /* the batch */
    const kv_aof_group *groups;
    size_t group_count;
    const kv_aof_command *commands;
    const kv_slice *words;
    /* how far it is */
    uint64_t good;       /* all before is whole, and right as far as that can be known */
    uint64_t bad;        /* where it stopped */
    const char *problem; /* TORN, CORRUPT, FAILED: in words */
    uint64_t last_seq;   /* of the last checksum line; 0: none */
    bool has_lines;
    kv_status error;
    /* the reader's own */
    kv_source *source;
    const uint8_t *at, *summed; /* in the window: parsed, summed up to here */
    struct kv_aof_batch *batch;
    uint64_t origin; /* of the section */
    uint32_t crc;
    bool foreign; /* another program writes here since the last line of ours */
    bool ended;
    kv_aof_status status;
} kv_aof_reader;

/* The source must stay where it is until the end; a line that does not begin a section is believed to be of one that begins here. KV_ENOMEM. */
kv_status kv_aof_reader_init(kv_aof_reader *reader, kv_source *source);
void kv_aof_reader_deinit(kv_aof_reader *reader);
/* The next batch. O(its bytes); memory for its bytes, at most some hundred KiB unless one group is longer. */
kv_aof_status kv_aof_reader_next(kv_aof_reader *reader);

static inline const kv_slice *kv_aof_argv(const kv_aof_reader *reader, const kv_aof_command *command) {
    return reader->words + command->first;
}

#endif
