/* INFO: the sections of the report on an engine, as "name:value" lines. */
#ifndef KV_ENGINE_INFO_H
#define KV_ENGINE_INFO_H

#include "engine/engine.h"

typedef enum kv_info_section {
    KV_INFO_SERVER,
    KV_INFO_TLS,
    KV_INFO_CLIENTS,
    KV_INFO_MEMORY,
    KV_INFO_PERSISTENCE,
    KV_INFO_STATS,
    KV_INFO_REPLICATION,
    KV_INFO_CPU,
    KV_INFO_MODULES,
    KV_INFO_COMMANDSTATS,
    KV_INFO_ERRORSTATS,
    KV_INFO_LATENCYSTATS,
    KV_INFO_CLUSTER,
    KV_INFO_CLUSTER_INFO,
    KV_INFO_SCRIPTING_ENGINES,
    KV_INFO_KEYSPACE,
    KV_INFO_KVCORE, /* what no other server has */
    KV_INFO_SECTIONS
} kv_info_section;

/* The sections that a word of the command stands for, any case: one of them, "default", "all" or "everything". 0: none. A set of 1 << section. */
uint32_t kv_info_parse(kv_slice word);
/* Those of INFO without arguments. */
uint32_t kv_info_default(void);

/* Appends the report; check out->failed. Any thread; `locked` are the shards that this thread holds. O(commands + clients + shards * databases). */
void kv_info_write(kv_engine *engine, uint32_t sections, uint64_t locked, kv_buf *out);

#endif
