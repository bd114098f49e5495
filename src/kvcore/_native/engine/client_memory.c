/* maxmemory-clients.
 *
 *   connection --(its size changed)--> loop's sum --(end of a round)--> engine.client_bytes  \
 *   mailbox    --(its room changed)-------------------------------->    engine.mail_bytes     } > limit?  --> walk the registry
 *   evicted, not gone yet ------------------------------------------> - engine.doomed_bytes  /
 *
 * The sums only say when to look: they are a moment old, and several threads change them. The walk under the registry's lock adds up what every
 * client shows, and decides. It keeps the largest VICTIMS_A_WALK of those that may go in a heap (the smallest on top), marks them from the largest
 * down until the rest fits, and walks again while that was not enough. Whoever is marked is `killed`: its own thread closes it. */
#include "engine/client_memory.h"

#include "engine/dispatch.h"

enum { LEAST_LIMIT = 128 * 1024, VICTIMS_A_WALK = 256 };
#define REST_NS 10000000u        /* between walks that find nobody to evict */
#define COMPLAINT_NS 1000000000u /* between log lines about that */

size_t kv_client_memory_limit(const kv_engine *engine) {
    int64_t set = kv_setting(&engine->settings, KV_CFG_MAXMEMORY_CLIENTS);
    if (set == 0) return 0;
    if (set < 0) {
        int64_t all = kv_setting(&engine->settings, KV_CFG_MAXMEMORY);
        if (all <= 0) return 0;
        set = all / 100 * -set + all % 100 * -set / 100;
    }
    return set < LEAST_LIMIT ? LEAST_LIMIT : (size_t)set;
}

size_t kv_session_held(const kv_session *session) {
    return session->text_bytes + atomic_load_explicit(&session->shown_tables, memory_order_relaxed) + kv_session_block_bytes(session) +
           kv_long_reply_bytes(session);
}

size_t kv_session_memory(kv_session *session, kv_session_facts *facts) {
    kv_session_facts own = {.fd = -1, .events = "r"};
    if (session->ops != NULL && session->ops->describe != NULL) session->ops->describe(session, &own);
    if (own.memory == 0) own.memory = sizeof *session + atomic_load_explicit(&session->shown_tables, memory_order_relaxed);
    if (facts != NULL) *facts = own;
    return own.memory + atomic_load_explicit(&session->mail_cap, memory_order_relaxed);
}

void kv_client_memory_leave(kv_session *session) {
    if (session->doomed_bytes != 0) atomic_fetch_sub_explicit(&session->engine->doomed_bytes, session->doomed_bytes, memory_order_relaxed);
    session->doomed_bytes = 0;
}

/* ---- the walk ---- */

typedef struct victim {
    size_t bytes;
    kv_session *session;
} victim;

/* A heap with the smallest on top. */
typedef struct victims {
    victim at[VICTIMS_A_WALK];
    size_t count;
} victims;

static void sift_down(victims *heap, size_t i) {
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < heap->count; child++)
            if (heap->at[child].bytes < heap->at[least].bytes) least = child;
        if (least == i) return;
        victim moved = heap->at[i];
        heap->at[i] = heap->at[least];
        heap->at[least] = moved;
        i = least;
    }
}

static void consider(victims *heap, kv_session *session, size_t bytes) {
    if (heap->count < VICTIMS_A_WALK) {
        size_t i = heap->count++;
        for (; i > 0 && heap->at[(i - 1) / 2].bytes > bytes; i = (i - 1) / 2) heap->at[i] = heap->at[(i - 1) / 2];
        heap->at[i] = (victim){bytes, session};
    } else if (bytes > heap->at[0].bytes) {
        heap->at[0] = (victim){bytes, session};
        sift_down(heap, 0);
    }
}

static void sort_largest_first(victims *heap) {
    size_t all = heap->count;
    while (heap->count > 1) {
        victim least = heap->at[0];
        heap->at[0] = heap->at[--heap->count];
        heap->at[heap->count] = least;
        sift_down(heap, 0);
    }
    heap->count = all;
}

/* Marks those that have to go and leaves them in `heap`, each with a reference. The bytes of those that stay. */
static size_t choose(kv_engine *engine, size_t limit, victims *heap) {
    size_t sum = 0, chosen = 0;
    heap->count = 0;
    kv_mutex_lock(&engine->clients_lock);
    for (kv_session *s = engine->clients; s != NULL; s = s->next) {
        if (s->in_process || atomic_load_explicit(&s->killed, memory_order_relaxed)) continue;
        size_t bytes = kv_session_memory(s, NULL);
        sum += bytes;
        if (!atomic_load_explicit(&s->no_evict, memory_order_relaxed)) consider(heap, s, bytes);
    }
    sort_largest_first(heap);
    while (sum > limit && chosen < heap->count) {
        victim *v = &heap->at[chosen++];
        sum -= v->bytes;
        v->session->doomed_bytes = (int64_t)v->bytes;
        atomic_fetch_add_explicit(&engine->doomed_bytes, (int64_t)v->bytes, memory_order_relaxed);
        atomic_store_explicit(&v->session->killed, true, memory_order_release);
        kv_session_retain(v->session);
    }
    kv_mutex_unlock(&engine->clients_lock);
    heap->count = chosen;
    return sum;
}

static void tell(kv_engine *engine, const victims *gone, size_t limit) {
    for (size_t i = 0; i < gone->count; i++) {
        kv_session *session = gone->at[i].session;
        kv_log_write(&engine->log, KV_LOG_NOTICE, "Evicting client: id=%llu addr=%s holds %zu bytes, the limit of all clients is %zu",
                     (unsigned long long)session->id, session->address, gone->at[i].bytes, limit);
        atomic_fetch_add_explicit(&engine->stats.evicted_clients, 1, memory_order_relaxed);
        kv_wake_now(session);
        kv_session_release(session);
    }
}

/* Nobody is left to evict: the next walk has time. */
static void rest(kv_engine *engine, size_t sum, size_t limit) {
    uint64_t now = kv_mono_ns();
    atomic_store_explicit(&engine->clients_looked_ns, now, memory_order_relaxed);
    if (now - engine->clients_complained_ns < COMPLAINT_NS) return;
    engine->clients_complained_ns = now;
    kv_log_write(&engine->log, KV_LOG_WARNING,
                 "Clients that may not be evicted hold %zu bytes, more than maxmemory-clients allows all of them (%zu)", sum, limit);
}

static bool is_over(kv_engine *engine, size_t limit) {
    int64_t bytes = atomic_load_explicit(&engine->client_bytes, memory_order_relaxed) +
                    (int64_t)atomic_load_explicit(&engine->mail_bytes, memory_order_relaxed) -
                    atomic_load_explicit(&engine->doomed_bytes, memory_order_relaxed);
    return bytes > 0 && (size_t)bytes > limit;
}

void kv_client_memory_enforce(kv_engine *engine) {
    size_t limit = kv_client_memory_limit(engine);
    if (limit == 0 || !is_over(engine, limit)) return;
    uint64_t looked = atomic_load_explicit(&engine->clients_looked_ns, memory_order_relaxed);
    if (looked != 0 && kv_mono_ns() - looked < REST_NS) return;
    if (atomic_exchange_explicit(&engine->clients_looking, true, memory_order_acquire)) return; /* another thread is at it */
    victims gone;
    size_t sum;
    do {
        sum = choose(engine, limit, &gone);
        tell(engine, &gone, limit);
    } while (sum > limit && gone.count > 0);
    if (sum > limit) rest(engine, sum, limit);
    else atomic_store_explicit(&engine->clients_looked_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&engine->clients_looking, false, memory_order_release);
}
