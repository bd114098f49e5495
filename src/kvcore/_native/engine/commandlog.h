/* Reading the command log: SLOWLOG and COMMANDLOG. */
#ifndef KV_ENGINE_COMMANDLOG_H
#define KV_ENGINE_COMMANDLOG_H

#include "engine/engine.h"
#include "engine/monitor.h"

typedef enum kv_log_kind { KV_LOG_SLOW, KV_LOG_LARGE_REQUEST, KV_LOG_LARGE_REPLY, KV_LOG_KINDS } kv_log_kind;

typedef struct kv_log_entry {
    struct kv_log_entry *next; /* older */
    uint64_t id;
    int64_t time_s;
    int64_t value; /* microseconds or bytes */
    char address[128], client_name[128];
    uint32_t arg_count;
    size_t args_len;
    uint8_t args[]; /* uint32 length and bytes, one after the other */
} kv_log_entry;

/* Any thread; rank STATS is held while fn runs, newest first. Returns how many were shown. */
size_t kv_commandlog_each(kv_engine *engine, kv_log_kind kind, size_t limit, void (*fn)(void *arg, const kv_log_entry *entry), void *arg);
size_t kv_commandlog_len(kv_engine *engine, kv_log_kind kind);
void kv_commandlog_reset(kv_engine *engine, kv_log_kind kind);

#endif
