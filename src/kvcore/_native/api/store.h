/* What a store is behind kvcore.h: kvcore.c and store_file.c know, nobody else. */
#ifndef KV_API_STORE_H
#define KV_API_STORE_H

#include "api/kvcore.h"
#include "engine/engine.h"
#include "net/server.h"
#include "persist/keeper.h"

struct kvcore_store {
    kv_engine *engine;
    kv_keeper *keeper; /* NULL: in memory only */
    kv_server *server; /* written under server_lock; other threads change its settings */
    kv_mutex server_lock;
    int log_fd;
    _Atomic uint32_t shutdown; /* bumped when SHUTDOWN is accepted */
    _Atomic int shutdown_save; /* what it said: 1 SAVE, 0 NOSAVE, -1 nothing */
    _Atomic bool shutdown_force;
    kv_mem mem; /* for this block alone: the engine's accounts end with the engine */
};

/* Text for whoever called, cut where it does not fit. */
void kvi_say(char *error, size_t cap, kv_slice text);

#endif
