/* Direct calls: a command on one key for a caller in the process that has its arguments at hand and wants its result as it is. No words are made, no
 * command is looked up, no reply is written; what the command does to its key is done by the very functions that its handler calls.
 *
 *   if (!kv_direct_begin(&d, session, KV_DIRECT_GET, key)) -> run the command the usual way
 *   ... kv_ctx_find(&d.c, &d.key, ...) ...
 *   kv_direct_end(&d, KV_DIRECT_GET)      the call has been made: counted, published, unlocked
 *   kv_direct_leave(&d)                   or it has not: nothing was changed, run it the usual way
 *
 * It begins only while nothing is asked of a call but its result: the session is in no special state, nobody watches, pauses or limits the engine, the
 * shard is free. One call in KV_TIMED_CALLS goes the usual way, where it is timed for all of them. */
#ifndef KV_ENGINE_DIRECT_H
#define KV_ENGINE_DIRECT_H

#include "engine/ctx.h"
#include "engine/engine.h"
#include "engine/session.h"

/* Of a session's calls in the process, one in so many is timed and stands for the others: timing costs about as much as a short call. */
#ifdef KV_DEBUG
#define KV_TIMED_CALLS 2u /* so that tests go both ways */
#else
#define KV_TIMED_CALLS 64u
#endif
/* Values up to this long; a caller has room for one on its stack. */
#define KV_DIRECT_BYTES (KV_SHORT_CALL_BYTES / 2)

typedef enum kv_direct_command { KV_DIRECT_GET, KV_DIRECT_SET, KV_DIRECT_COUNT } kv_direct_command;
_Static_assert((int)KV_DIRECT_COUNT == (int)KV_SHARD_CALLS, "a shard counts the calls of each");

typedef struct kv_direct {
    kv_ctx c; /* without words and without a reply */
    kv_unit unit;
    kv_key key;
} kv_direct;

/* False: nothing was done, and nothing is to be ended. Never waits. Owner's thread of the session; `key` must stay until the end. */
bool kv_direct_begin(kv_direct *d, kv_session *session, kv_direct_command which, kv_slice key);
void kv_direct_end(kv_direct *d, kv_direct_command which);
void kv_direct_leave(kv_direct *d);

/* Calls of a command that were made this way so far; 0 for the others. No lock. O(shards). */
uint64_t kv_direct_calls(const struct kv_engine *engine, const kv_command *command);
/* Takes them for 0 from now on (CONFIG RESETSTAT). */
void kv_direct_reset(struct kv_engine *engine);

#endif
