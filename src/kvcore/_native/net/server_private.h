/* What the files of net/ share about a server. */
#ifndef KV_NET_SERVER_PRIVATE_H
#define KV_NET_SERVER_PRIVATE_H

#include "net/listen.h"
#include "net/server.h"

#define KV_LOOPS_MAX 64

struct kv_server {
    kv_engine *engine;
    kv_listeners listeners;
    _Atomic uint32_t
        references; /* its owner's and one of each connection's session: a thread may still be on its way to wake one of those */
    unsigned loop_count;
    kv_loop loops[]; /* loop_count */
};

void kv_server_retain(struct kv_server *server);
void kv_server_release(struct kv_server *server);

#endif
