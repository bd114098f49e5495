/* A connection to another server, as a client of it: connect, send, read lines. Every step has a deadline; nothing waits longer, but the resolver of host
 * names, which has limits of its own. Blocks its caller: no lock may be held. One thread at a time. */
#ifndef KV_BASE_PEER_H
#define KV_BASE_PEER_H

#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

#define KV_PEER_LINE 1024 /* the longest line that is taken, its CR LF included */

typedef struct kv_peer {
    int fd; /* -1: not connected */
    size_t at, len;
    uint8_t in[KV_PEER_LINE]; /* what has been read and not been looked at: in[at .. len) */
} kv_peer;

/* KV_ENOTFOUND: the name does not resolve; KV_ERANGE: not in time; KV_EIO: refused, unreachable. The peer is closed then. */
kv_status kv_peer_open(kv_peer *peer, const char *host, uint16_t port, uint64_t timeout_ns);
void kv_peer_close(kv_peer *peer);
/* All of it; each 64 KiB have a deadline of their own. KV_EIO: too slow, or the other side has gone. */
kv_status kv_peer_send(kv_peer *peer, kv_slice bytes, uint64_t timeout_ns);
/* One line without its CR LF. It stays until the next call. KV_EIO: too slow, closed, or too long. */
kv_status kv_peer_line(kv_peer *peer, kv_slice *out, uint64_t timeout_ns);

#endif
