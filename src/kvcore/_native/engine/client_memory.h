/* What the network's clients hold, and maxmemory-clients: the largest are disconnected when together they hold too much.
 *
 * A connection's thread keeps its own share (buffers, request, what the session hangs on) and publishes changes of the sum; mail that other threads have
 * left is counted where it is left. In-process sessions are neither counted nor evicted. */
#ifndef KV_ENGINE_CLIENT_MEMORY_H
#define KV_ENGINE_CLIENT_MEMORY_H

#include "engine/engine.h"

/* maxmemory-clients in bytes; 0: no limit. A percentage is of maxmemory, and without one it means nothing. Never below 128 KiB, with which
 * somebody can still connect and change it. */
size_t kv_client_memory_limit(const kv_engine *engine);

/* Connections hold so much more, or less. Any thread. */
static inline void kv_client_memory_add(kv_engine *engine, int64_t bytes) {
    atomic_fetch_add_explicit(&engine->client_bytes, bytes, memory_order_relaxed);
}

/* Disconnects clients, the largest first, until the rest fits. A few loads when there is nothing to do. Clients that are going already do not count,
 * protected ones (CLIENT NO-EVICT) count and stay. Any thread, no lock held. O(clients) when over the limit, and when nobody is left to evict not more
 * often than every 10 ms. */
void kv_client_memory_enforce(kv_engine *engine);

/* All that is held for this session, its mail included. Under the registry's lock; `facts` (may be NULL) gets the connection's own. */
size_t kv_session_memory(kv_session *session, kv_session_facts *facts);

/* The owner's side: what the session hangs on outside its connection (transaction, watched keys, subscriptions, tracking, a blocked
 * command, names). O(1). */
size_t kv_session_held(const kv_session *session);

/* The session leaves the registry. */
void kv_client_memory_leave(kv_session *session);

#endif
