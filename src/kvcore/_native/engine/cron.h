/* The background thread of an engine: what must happen although nobody asks. It starts with the first key that expires, the first big value to
 * free, or a server; an engine that needs none of this has no thread. */
#ifndef KV_ENGINE_CRON_H
#define KV_ENGINE_CRON_H
#include "engine/engine.h"
/* Starts it unless it runs. No lock held. False: the thread could not be made; it is tried again with the next need. */
bool kv_cron_start(kv_engine *engine);
void kv_cron_stop(kv_engine *engine); /* waits for its end */
/* One round by hand, for tests with a frozen clock and for `hz`: expiry up to `budget_us`, lazy free, rehash. No lock held.
 * Returns true when there is more to do at once. */
bool kv_cron_round(kv_engine *engine, uint64_t budget_us);
#endif
