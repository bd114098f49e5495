/* The filters of CLIENT LIST and CLIENT KILL: which sessions are meant. */
#ifndef KV_COMMANDS_CLIENT_FILTER_H
#define KV_COMMANDS_CLIENT_FILTER_H

#include "engine/ctx.h"
#include "engine/session.h"

typedef struct kv_client_test {
    bool set;
    kv_slice text;
} kv_client_test;

enum {
    KV_FILTER_USER,
    KV_FILTER_ADDR,
    KV_FILTER_LADDR,
    KV_FILTER_NAME,
    KV_FILTER_FLAGS,
    KV_FILTER_LIB_NAME,
    KV_FILTER_LIB_VER,
    KV_FILTER_CAPA,
    KV_FILTER_IP,
    KV_FILTER_TEXTS
};

/* [0]: must match; [1]: NOT-..., must not. */
typedef struct kv_client_filter {
    kv_client_test texts[2][KV_FILTER_TEXTS];
    int ids_at[2], ids_count[2]; /* where arguments that are ids begin, and how many words their lists span */
    int type[2];                 /* kv_session_kind or -1 */
    int64_t db[2];               /* -1: any */
    int64_t max_age_s, idle_s;   /* 0: any */
    bool skip_me, skip_me_given;
} kv_client_filter;

/* Reads the options from argument `first` on; false: the error has been replied. */
bool kv_client_filter_parse(kv_ctx *c, int first, kv_client_filter *filter);
/* The registry's lock is held. */
bool kv_client_filter_match(kv_ctx *c, const kv_client_filter *filter, kv_session *session);
/* "normal", "pubsub", ...: the session kind, or -1. */
int kv_client_type_parse(kv_slice word);
/* The letters of the flags field; at least "N". */
size_t kv_client_flags(const kv_session *session, char out[24]);

#endif
