/* Counters of calls without a cache line that all threads write: each thread that runs many commands owns a tally and adds to it with plain loads and
 * stores; whoever wants to know sums over all of them. What has no owner at hand (a blocked client served by another thread, a session's first
 * calls, the background thread) is added to the engine's own counters atomically. Every call is counted once, so the sums are exact. */
#ifndef KV_ENGINE_TALLY_H
#define KV_ENGINE_TALLY_H

#include "engine/engine.h"
#include "engine/histogram.h"

/* A session of a program gets a tally of its own when it has run this many commands: what lives shortly costs nothing. */
#define KV_TALLY_AFTER 64u

struct kv_tally {
    char apart[64];              /* from what the allocator put before: nobody else writes the lines of a tally */
    struct kv_tally *next;       /* set once */
    bool taken;                  /* under stats_lock */
    _Atomic uint32_t generation; /* of the engine's when the counters began; an older one counts as zeros */
    _Atomic uint64_t dirty;      /* changes of keys, ever */
    kv_command_stats commands[]; /* by kv_command.id */
};

/* A tally for the calling thread, or for whoever it is lent to: one owner at a time. NULL: out of memory, do without. Locks stats_lock. */
struct kv_tally *kv_tally_take(kv_engine *engine);
void kv_tally_give_back(kv_engine *engine, struct kv_tally *tally); /* what it counted stays; NULL is fine */
void kv_tally_start(kv_session *session);  /* takes one for a session of a program, if there is memory. Owner only */
void kv_tally_free_all(kv_engine *engine); /* the engine ends */

/* The owner's: the statistics were reset since it looked last. */
void kv_tally_begin_anew(struct kv_tally *tally, const kv_engine *engine, uint32_t generation);

/* Plain load and store: one thread writes. */
static inline void kv_tally_add(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* Where the calling owner counts; NULL: it has no tally. */
static inline kv_command_stats *kv_tally_of(const kv_session *session, const kv_command *command) {
    struct kv_tally *tally = session->tally;
    if (tally == NULL) return NULL;
    uint32_t generation = atomic_load_explicit(&session->engine->stats_generation, memory_order_relaxed);
    if (__builtin_expect(atomic_load_explicit(&tally->generation, memory_order_relaxed) != generation, 0))
        kv_tally_begin_anew(tally, session->engine, generation);
    return &tally->commands[command->id];
}

/* ---- sums ---- */
typedef struct kv_command_sums {
    uint64_t calls, nanoseconds, rejected, failed;
} kv_command_sums;
kv_command_sums kv_tally_sums(const kv_engine *engine, uint16_t command);
/* Latencies of one command, added to `out` (which the caller has cleared). Returns how many. */
uint64_t kv_tally_histogram(const kv_engine *engine, uint16_t command, kv_histogram *out);
uint64_t kv_tally_calls(const kv_engine *engine); /* of all commands. O(commands * tallies) */
uint64_t kv_tally_dirty(const kv_engine *engine);
void kv_tally_reset(kv_engine *engine); /* everything but dirty */

#endif
