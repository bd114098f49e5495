/* Listening sockets: made from the settings, watched by the first loop, their connections dealt out to all loops. */
#ifndef KV_NET_LISTEN_H
#define KV_NET_LISTEN_H

#include "net/loop.h"
#include <sys/socket.h>

/* Every address of `bind` twice, because new ones are opened before old ones are closed, and the unix socket. */
#define KV_LISTENERS_MAX (2 * KV_BIND_MAX + 1)

typedef struct kv_listener {
    bool is_open, is_unix;
    int fd;
    struct sockaddr_storage address; /* TCP: what it is bound to */
    socklen_t address_len;
} kv_listener;

typedef struct kv_listeners {
    kv_listener all[KV_LISTENERS_MAX];
    _Atomic int port;    /* the TCP port in use; 0: none */
    bool any_port;       /* which the system has chosen */
    char unix_path[108]; /* "": none */
    bool paused;         /* out of descriptors: accepting rests until the next tick. First loop only */
} kv_listeners;

/* KV_EIO or KV_EINVAL with `error` filled; nothing is left open then. */
kv_status kv_listeners_open(kv_listeners *listeners, kv_engine *engine, kv_buf *error);
void kv_listeners_close(kv_listeners *listeners);

/* `port` or `bind` has another value (`by_port`: which one is told in `reason`). When this returns the new addresses are listened on, and those that
 * are in neither set any more are not; connections stay, also those that nobody had accepted yet. KV_EIO with `reason`: what was listened on still is. */
kv_status kv_listen_change(struct kv_server *server, bool by_port, kv_buf *reason);

/* The first loop's side. */
kv_status kv_listen_watch(kv_loop *loop);
bool kv_listen_is_listener(const kv_loop *loop, const void *who);
void kv_listen_accept(kv_loop *loop, void *listener);
void kv_listen_tick(kv_loop *loop);

#endif
