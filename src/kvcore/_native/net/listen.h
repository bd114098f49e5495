/* Listening sockets: made from the settings, watched by the first loop, their connections dealt out to all loops. */
#ifndef KV_NET_LISTEN_H
#define KV_NET_LISTEN_H

#include "net/loop.h"

typedef struct kv_listener {
    int fd; /* -1: none */
    bool is_unix;
} kv_listener;

typedef struct kv_listeners {
    kv_listener all[KV_LISTENERS_MAX];
    unsigned count;
    int port;            /* the TCP port in use; 0: none */
    char unix_path[108]; /* "": none */
    bool paused;         /* out of descriptors: accepting rests until the next tick */
} kv_listeners;

/* KV_EIO or KV_EINVAL with `error` filled; nothing is left open then. */
kv_status kv_listeners_open(kv_listeners *listeners, kv_engine *engine, kv_buf *error);
void kv_listeners_close(kv_listeners *listeners);

/* The first loop's side. */
kv_status kv_listen_watch(kv_loop *loop);
bool kv_listen_is_listener(const kv_loop *loop, const void *who);
void kv_listen_accept(kv_loop *loop, void *listener);
void kv_listen_tick(kv_loop *loop);

#endif
