/* The writers of INFO's sections, each without its heading. */
#ifndef KV_ENGINE_INFO_PRIVATE_H
#define KV_ENGINE_INFO_PRIVATE_H

#include "engine/info.h"

void kv_info_memory(kv_engine *engine, kv_buf *out);
void kv_info_stats(kv_engine *engine, kv_buf *out);
void kv_info_commandstats(kv_engine *engine, kv_buf *out);
void kv_info_errorstats(kv_engine *engine, kv_buf *out);
void kv_info_latencystats(kv_engine *engine, kv_buf *out);

/* Bytes for people: "1.50M". */
void kv_info_human(kv_buf *out, const char *name, size_t bytes);

#endif
