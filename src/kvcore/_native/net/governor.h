/* With io-threads auto: how many of a server's threads are in use (governor.c). */
#ifndef KV_NET_GOVERNOR_H
#define KV_NET_GOVERNOR_H

#include <stdint.h>

struct kv_loop;

/* Of one loop, by its own thread. */
typedef struct kv_load {
    int64_t measured_ms;   /* monotonic; 0: never */
    uint64_t cpu_ns;       /* the thread's CPU time then */
    _Atomic uint64_t last; /* packed for the others: see governor.c */
} kv_load;

/* Of the server, under its lock but for the first. */
typedef struct kv_governor {
    _Atomic int64_t looked_ms;
    unsigned full;    /* looks in a row that found a loop at the end of its core */
    int64_t idle_ms;  /* kv_system_idle_ms at the first of those */
    int64_t full_ms;  /* and the time */
    int64_t spare_ms; /* for how long fewer loops would have done */
} kv_governor;

/* At the end of a round. Measures the loop, and looks at all of them when it is time. A few nanoseconds but for ten times a second. */
void kv_governor_round(struct kv_loop *loop);

#endif
