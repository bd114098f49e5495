/* What there is to tell while a data set is loaded (kv_engine.loading): INFO shows it. Any thread may read. */
#ifndef KV_ENGINE_LOADING_H
#define KV_ENGINE_LOADING_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct kv_load_state {
    _Atomic int64_t since_s;   /* seconds since 1970 */
    _Atomic uint64_t total;    /* bytes of all files together */
    _Atomic uint64_t before;   /* of them, those of the files that are done */
    _Atomic uint64_t done;     /* ... and what has been read of the next one */
    _Atomic uint64_t used_mem; /* what the snapshot says that its writer used; 0: it does not */
} kv_load_state;

#endif
