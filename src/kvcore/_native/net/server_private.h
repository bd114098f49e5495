/* What the files of net/ share about a server. */
#ifndef KV_NET_SERVER_PRIVATE_H
#define KV_NET_SERVER_PRIVATE_H

#include "net/listen.h"
#include "net/server.h"

#define KV_LOOPS_MAX 64

struct kv_server {
    kv_engine *engine;
    kv_mutex lock; /* rank SERVER: guards `listeners`, the growing of `loops`, and */
    bool closing;  /* from here on neither changes any more */
    kv_listeners listeners;
    _Atomic uint32_t
        references; /* its owner's and one of each connection's session: a thread may still be on its way to wake one of those */
    /* Threads are started and never ended before the server: those that are not in use have no connections and sleep. */
    _Atomic unsigned loop_count; /* in use */
    _Atomic unsigned made;       /* running; >= loop_count */
    _Atomic uint32_t layout;     /* bumped when loop_count has changed: each loop shares its connections out */
    kv_loop *loops[KV_LOOPS_MAX];
    kv_governor governor;
};

/* What io-threads says; with auto, the most that are used: one a core up to eight (docs/design/io-threads.md). */
unsigned kv_server_loops_asked(const kv_server *server);
/* So many of those that run are in use from here on; they share the connections out. With the lock. */
void kv_server_use_loops(kv_server *server, unsigned count);

/* Connections of all loops, with those that are still on their way, so that a burst cannot pass maxclients. */
size_t kv_server_connections(const kv_server *server);
/* Of the loops in use. */
kv_loop *kv_server_least_loaded(const kv_server *server);

#endif
