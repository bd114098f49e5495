/* Tallies hang from the engine in a list that only grows: one whose owner has left is taken by the next. A reader walks the list without a lock (a tally
 * is complete before it is linked) and reads relaxed counters: numbers that grow while it looks are as of some moment during the walk.
 *
 * Resetting. Zeros stored by another thread could be overwritten by an owner's addition under way. So a reset raises the engine's generation; an owner
 * that finds another generation than its tally's clears the tally itself, then marks it; a reader takes a tally of an older generation for
 * zeros. The mark is released after the zeros and acquired before the counters: no old number is read as a new one.
 *
 * Owners change under stats_lock, which orders the last addition of the one before the first of the other. */
#include "engine/tally.h"

#include "engine/direct.h"

static size_t tally_bytes(const kv_engine *engine) {
    return sizeof(struct kv_tally) + engine->commands->count * sizeof(kv_command_stats) + 64; /* 64: nor the lines behind it */
}

struct kv_tally *kv_tally_take(kv_engine *engine) {
    kv_mutex_lock(&engine->stats_lock);
    struct kv_tally *tally = atomic_load_explicit(&engine->tallies, memory_order_relaxed);
    while (tally != NULL && tally->taken) tally = tally->next;
    if (tally == NULL) {
        tally = kv_calloc(&engine->mem, 1, tally_bytes(engine));
        if (tally != NULL) {
            atomic_store_explicit(&tally->generation, atomic_load_explicit(&engine->stats_generation, memory_order_relaxed),
                                  memory_order_relaxed);
            tally->next = atomic_load_explicit(&engine->tallies, memory_order_relaxed);
            atomic_store_explicit(&engine->tallies, tally, memory_order_release);
        }
    }
    if (tally != NULL) tally->taken = true;
    kv_mutex_unlock(&engine->stats_lock);
    return tally;
}

void kv_tally_give_back(kv_engine *engine, struct kv_tally *tally) {
    if (tally == NULL) return;
    kv_mutex_lock(&engine->stats_lock);
    tally->taken = false;
    kv_mutex_unlock(&engine->stats_lock);
}

void kv_tally_start(kv_session *session) {
    if (session->tally == NULL && session->in_process) session->tally = kv_tally_take(session->engine);
}

static void free_histograms(kv_engine *engine, kv_command_stats *stats) {
    for (uint16_t i = 0; i < engine->commands->count; i++)
        kv_free(&engine->mem, atomic_load_explicit(&stats[i].histogram, memory_order_relaxed));
}

void kv_tally_free_all(kv_engine *engine) {
    free_histograms(engine, engine->command_stats);
    for (struct kv_tally *tally = engine->tallies, *next; tally != NULL; tally = next) {
        next = tally->next;
        free_histograms(engine, tally->commands);
        kv_free(&engine->mem, tally);
    }
    engine->tallies = NULL;
}

static void clear(kv_command_stats *stats, uint16_t count) {
    for (uint16_t i = 0; i < count; i++) {
        atomic_store_explicit(&stats[i].calls, 0, memory_order_relaxed);
        atomic_store_explicit(&stats[i].nanoseconds, 0, memory_order_relaxed);
        atomic_store_explicit(&stats[i].rejected, 0, memory_order_relaxed);
        atomic_store_explicit(&stats[i].failed, 0, memory_order_relaxed);
        kv_histogram *histogram = atomic_load_explicit(&stats[i].histogram, memory_order_acquire);
        if (histogram != NULL) kv_histogram_clear(histogram);
    }
}

void kv_tally_begin_anew(struct kv_tally *tally, const kv_engine *engine, uint32_t generation) {
    clear(tally->commands, (uint16_t)engine->commands->count);
    atomic_store_explicit(&tally->generation, generation, memory_order_release);
}

void kv_tally_reset(kv_engine *engine) {
    atomic_fetch_add_explicit(&engine->stats_generation, 1, memory_order_relaxed);
    clear(engine->command_stats, (uint16_t)engine->commands->count);
}

/* ---- sums ---- */

/* The first tally from `tally` on that counts. */
static const struct kv_tally *current(const kv_engine *engine, const struct kv_tally *tally) {
    uint32_t generation = atomic_load_explicit(&engine->stats_generation, memory_order_relaxed);
    while (tally != NULL && atomic_load_explicit(&tally->generation, memory_order_acquire) != generation) tally = tally->next;
    return tally;
}

static const struct kv_tally *first(const kv_engine *engine) { return atomic_load_explicit(&engine->tallies, memory_order_acquire); }

static void add_sums(kv_command_sums *sums, const kv_command_stats *stats) {
    sums->calls += atomic_load_explicit(&stats->calls, memory_order_relaxed);
    sums->nanoseconds += atomic_load_explicit(&stats->nanoseconds, memory_order_relaxed);
    sums->rejected += atomic_load_explicit(&stats->rejected, memory_order_relaxed);
    sums->failed += atomic_load_explicit(&stats->failed, memory_order_relaxed);
}

kv_command_sums kv_tally_sums(const kv_engine *engine, uint16_t command) {
    kv_command_sums sums = {0};
    add_sums(&sums, &engine->command_stats[command]);
    sums.calls += kv_direct_calls(engine, &engine->commands->commands[command]);
    for (const struct kv_tally *tally = current(engine, first(engine)); tally != NULL; tally = current(engine, tally->next))
        add_sums(&sums, &tally->commands[command]);
    return sums;
}

uint64_t kv_tally_histogram(const kv_engine *engine, uint16_t command, kv_histogram *out) {
    const kv_histogram *one = atomic_load_explicit(&engine->command_stats[command].histogram, memory_order_acquire);
    if (one != NULL) kv_histogram_add(out, one);
    for (const struct kv_tally *tally = current(engine, first(engine)); tally != NULL; tally = current(engine, tally->next)) {
        one = atomic_load_explicit(&tally->commands[command].histogram, memory_order_acquire);
        if (one != NULL) kv_histogram_add(out, one);
    }
    return kv_histogram_total(out);
}

uint64_t kv_tally_calls(const kv_engine *engine) {
    uint64_t calls = 0;
    for (uint16_t i = 0; i < engine->commands->count; i++)
        calls += atomic_load_explicit(&engine->command_stats[i].calls, memory_order_relaxed) +
                 kv_direct_calls(engine, &engine->commands->commands[i]);
    for (const struct kv_tally *tally = current(engine, first(engine)); tally != NULL; tally = current(engine, tally->next))
        for (uint16_t i = 0; i < engine->commands->count; i++)
            calls += atomic_load_explicit(&tally->commands[i].calls, memory_order_relaxed);
    return calls;
}

uint64_t kv_tally_dirty(const kv_engine *engine) {
    uint64_t dirty = atomic_load_explicit(&engine->stats.dirty, memory_order_relaxed);
    for (const struct kv_tally *tally = first(engine); tally != NULL; tally = tally->next)
        dirty += atomic_load_explicit(&tally->dirty, memory_order_relaxed);
    return dirty;
}
