/* The lines between the records of a log that loaders skip, as they begin with '#': what the bytes before them sum up to.
 *
 *     #KV:seq=812,off=70412,sync=66210,crc32c=1c5e02aa\r\n
 *
 * seq     number of the last record before the line
 * off     bytes of the section before the line; 0 begins a section: a new file, a restart, the cut of a rewrite
 * sync    of those, how many were known to be on the disk when the line was made. So the bytes before sync are not what a crash has torn
 * crc32c  of everything from the end of the last line up to "crc32c=" in this one; for the line that begins a section: of itself alone
 *
 * Sections, because their bytes are copied to another place of another file when a single file is compacted. */
#ifndef KV_PERSIST_AOF_LINE_H
#define KV_PERSIST_AOF_LINE_H

#include "base/slice.h"

typedef struct kv_aof_line {
    uint64_t seq, off, sync;
    uint32_t crc;
} kv_aof_line;

enum { KV_AOF_LINE_MAX = 112 };

/* Writes the line, CR LF and all, and its sum behind `crc`, the sum of the bytes since the last line. Returns its length. */
size_t kv_aof_line_format(char out[KV_AOF_LINE_MAX], const kv_aof_line *line, uint32_t crc);
/* A line without its CR LF. *summed: how many bytes of it the sum is of. False: not such a line, to the letter. */
bool kv_aof_line_parse(kv_slice text, kv_aof_line *out, size_t *summed);
/* Could a damaged line of ours look like this? For telling it from other programs' comments. */
bool kv_aof_line_resembles(kv_slice text);

#endif
