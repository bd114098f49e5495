/* Where the memory of an engine is, for INFO memory and the MEMORY command. */
#ifndef KV_ENGINE_MEMORY_H
#define KV_ENGINE_MEMORY_H

#include "engine/ctx.h"
#include "engine/engine.h"

/* All in bytes unless said otherwise. */
typedef struct kv_memory_facts {
    size_t used, peak, startup; /* used_memory, its highest value seen, what an empty engine took */
    size_t resident;            /* of the whole process: a program with its own store has more in it than the store */
    size_t held;                /* used, with the free room inside arenas' pages */
    size_t clients, tables, overhead, dataset, keys /* a count */;
    size_t frag_bytes, rss_bytes;
    int64_t fragmentation_bytes; /* resident - used: negative when a part is not resident */
    double dataset_percent, peak_percent, frag_ratio, rss_ratio, fragmentation;
} kv_memory_facts;

/* Takes the clients' lock for a moment. O(shards * databases + clients). */
kv_memory_facts kv_memory_facts_now(kv_engine *engine);

/* used_memory, noting a new peak. O(shards). */
size_t kv_memory_note_peak(kv_engine *engine);

/* An estimate of what the tables of one database take beside the entries. */
typedef struct kv_memory_tables {
    size_t keys, expires;
} kv_memory_tables;
kv_memory_tables kv_memory_tables_of(kv_engine *engine, unsigned db);

/* MEMORY PURGE: free pages go back to the system. Locks shard by shard, unless c holds locks: then only those shards. */
void kv_memory_purge(kv_ctx *c);

#endif
