/* Everything stands still: for a while no command runs but what the caller does, who replaces the whole store and cannot hold its locks meanwhile
 * (DEBUG RELOAD). To clients it is a CLIENT PAUSE that nobody can end: they wait, and notice nothing else. */
#ifndef KV_ENGINE_STANDSTILL_H
#define KV_ENGINE_STANDSTILL_H

#include "engine/engine.h"

typedef struct kv_standstill {
    int64_t until_ms; /* the CLIENT PAUSE that goes on afterwards */
    bool writes_only;
} kv_standstill;

/* When it returns, no unit runs, and none begins that locks a shard, but those of sessions that replay a log (kv_session.replays). No lock is held; one
 * caller at a time (the keeper's claim). Waits for units that run. */
void kv_stand_still(kv_engine *engine, kv_standstill *before);
/* The caller's unit wakes those who wait when it ends. */
void kv_go_on(kv_ctx *c, const kv_standstill *before);
/* The same for who has changed a pause: everybody who is held back looks again. */
void kv_wake_paused(kv_ctx *c);

#endif
