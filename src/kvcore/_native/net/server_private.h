/* What the files of net/ share about a server. */
#ifndef KV_NET_SERVER_PRIVATE_H
#define KV_NET_SERVER_PRIVATE_H

#include "net/listen.h"
#include "net/server.h"

#define KV_LOOPS_MAX 64

struct kv_server {
    kv_engine *engine;
    kv_listeners listeners;
    unsigned loop_count;
    kv_loop loops[]; /* loop_count */
};

#endif
