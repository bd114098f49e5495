/* The RESP server: listeners and network threads over one engine. Each thread has its own epoll loop and its own connections: it reads, parses,
 * executes and writes without handing over. What is listened on comes from the engine's settings (port, bind, unixsocket, io-threads, ...). */
#ifndef KV_NET_SERVER_H
#define KV_NET_SERVER_H

#include "engine/engine.h"

typedef struct kv_server kv_server;

/* Binds, listens and starts the threads; connections are accepted when it returns. On failure `error` says which address and why, and nothing is
 * left behind. The engine must outlive the server. */
kv_status kv_server_start(kv_engine *engine, kv_buf *error, kv_server **out);

/* Stops accepting, closes every connection, joins the threads, removes the unix socket. Replies are sent at the end of the turn that made them, so what
 * is lost is only what a client does not read. */
void kv_server_stop(kv_server *server);

/* An option has a new value: port and bind change what is listened on, io-threads the number of threads, others what a loop has to look at. Open
 * connections stay. KV_EINVAL, KV_EIO or KV_ENOMEM with `reason` filled: then all is as it was. Under the settings' lock of changes. */
kv_status kv_server_configure(kv_server *server, int field, kv_buf *reason);

/* Whoever calls kv_server_configure while another thread may stop the server holds a reference. */
void kv_server_retain(kv_server *server);
void kv_server_release(kv_server *server);

int kv_server_port(const kv_server *server);              /* the TCP port in use; 0: none */
const char *kv_server_unix_path(const kv_server *server); /* NULL: none */
unsigned kv_server_threads(const kv_server *server);      /* that run, in use or not */

#endif
