/* Applies a log to an engine: the commands in it run as a client's would, without a reply, and nothing expires or is evicted meanwhile: what the log's
 * writer removed, the log says. */
#ifndef KV_PERSIST_REPLAY_H
#define KV_PERSIST_REPLAY_H

#include "engine/engine.h"
#include "persist/aof_read.h"

typedef struct kv_replay_options {
    void *arg;
    /* Every few hundred kilobytes: where in the file, of how many bytes. False gives it up (KV_EINVAL). NULL: not wanted. */
    bool (*progress)(void *arg, uint64_t done, uint64_t total);
} kv_replay_options;

typedef struct kv_replay_result {
    uint64_t commands; /* that ran */
    uint64_t errors;   /* of them, those that replied an error */
    uint64_t skipped;  /* commands that change nothing: a log has no business with them */
    uint64_t good;     /* up to here the log was applied: everything, or as far as it is whole */
    uint64_t last_seq; /* of the last checksum line */
    bool torn;         /* behind `good` is what the system was writing when it stopped: to be cut off, or refused */
    bool has_lines;    /* there are checksum lines */
} kv_replay_result;

/* The engine has no journal, and nobody else changes anything in it. From the source's position to its end. KV_OK: applied, also with `torn`; then, and
 * after a failure, `reason` says what is wrong, and where. With errors it has the first one. KV_ECORRUPT: damage. KV_EINVAL: a command or a database that
 * the engine does not have, or given up. KV_EIO: errno in source->error. KV_ENOMEM. After a failure a part has been applied: throw the data away. */
kv_status kv_replay(kv_engine *engine, kv_source *source, const kv_replay_options *options, kv_replay_result *out, kv_buf *reason);

#endif
