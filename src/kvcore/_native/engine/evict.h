/* maxmemory: making room before a command that may need it. */
#ifndef KV_ENGINE_EVICT_H
#define KV_ENGINE_EVICT_H
#include "engine/engine.h"
/* Brings used memory under maxmemory by the policy in force. No lock held. False: over the limit and nothing (more) may be evicted. */
bool kv_evict(kv_engine *engine);
/* maxmemory, maxmemory-policy or the LFU settings have changed: tells the store how to keep access clocks. */
void kv_evict_settings_changed(kv_engine *engine);
#endif
