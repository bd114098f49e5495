/* The rest of client-side caching, for CLIENT TRACKING, CACHING, TRACKINGINFO and INFO. */
#ifndef KV_ENGINE_TRACKING_PRIVATE_H
#define KV_ENGINE_TRACKING_PRIVATE_H

#include "engine/engine.h"
#include "engine/tracking.h"

typedef struct kv_tracking_options {
    bool bcast, optin, optout, noloop;
    uint64_t redirect;        /* client id; 0: none */
    const kv_slice *prefixes; /* BCAST only */
    size_t prefix_count;
} kv_tracking_options;

/* Turns tracking on, or changes it. KV_EEXISTS: two prefixes overlap (replied by the caller: *a and *b). KV_ENOMEM. Owner's thread. */
kv_status kv_tracking_enable(kv_session *session, const kv_tracking_options *options, kv_slice *a, kv_slice *b);

typedef enum kv_tracking_caching { KV_CACHING_UNSET, KV_CACHING_YES, KV_CACHING_NO } kv_tracking_caching;
/* CLIENT CACHING: about the next command. */
void kv_tracking_set_caching(kv_session *session, kv_tracking_caching caching);
/* After each command but CLIENT CACHING itself and those inside a transaction: the word is spent. */
void kv_tracking_command_done(kv_session *session);

typedef struct kv_tracking_state {
    bool on, bcast, optin, optout, noloop, broken_redirect;
    kv_tracking_caching caching;
    uint64_t redirect;
} kv_tracking_state;
kv_tracking_state kv_tracking_get(const kv_session *session);
size_t kv_tracking_prefix_count(const kv_session *session);
size_t kv_tracking_bytes(const kv_session *session); /* memory of its prefixes; owner's thread */
kv_slice kv_tracking_prefix(const kv_session *session, size_t index);

/* INFO: keys remembered, (key, client) pairs, prefixes. Any thread. */
void kv_tracking_totals(kv_engine *engine, size_t *keys, size_t *items, size_t *prefixes);

#endif
