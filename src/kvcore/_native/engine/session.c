/* Sessions: their registry, their mail, and how they are woken.
 *
 * The registry is a doubly linked list under clients_lock (rank CLIENTS): CLIENT LIST walks it, oldest first. A session's memory goes with its last
 * reference. The owner holds one from create to destroy; a thread that put the session on its wake list holds one until it has called wake. */
#include "engine/session.h"

#include "engine/blocking.h"
#include "engine/client_memory.h"
#include "engine/dispatch.h"
#include "engine/longreply.h"
#include "engine/pubsub.h"
#include "engine/tally.h"
#include "engine/tracking.h"
#include "engine/transaction.h"

/* What a connection starts with and RESET goes back to. */
static void set_defaults(kv_session *session) {
    session->db = 0;
    session->resp = session->format == KV_FORMAT_RESP2 ? 2 : 3; /* an in-process client keeps its format */
    atomic_store_explicit(&session->shown_multi, -1, memory_order_relaxed);
    session->reply_mode = KV_REPLY_ON;
    session->monitor = false;
    session->no_evict = false;
    session->no_touch = false;
    session->read_only = false;
    session->readonly = false;
}

static void register_session(kv_engine *engine, kv_session *session) {
    kv_mutex_lock(&engine->clients_lock);
    session->previous = engine->clients_last;
    if (engine->clients_last != NULL) engine->clients_last->next = session;
    else engine->clients = session;
    engine->clients_last = session;
    kv_mutex_unlock(&engine->clients_lock);
    atomic_fetch_add_explicit(session->in_process ? &engine->in_process_count : &engine->client_count, 1, memory_order_relaxed);
}

static void unregister_session(kv_engine *engine, kv_session *session) {
    kv_mutex_lock(&engine->clients_lock);
    if (session->previous != NULL) session->previous->next = session->next;
    else engine->clients = session->next;
    if (session->next != NULL) session->next->previous = session->previous;
    else engine->clients_last = session->previous;
    session->next = session->previous = NULL;
    kv_client_memory_leave(session);
    kv_mutex_unlock(&engine->clients_lock);
    atomic_fetch_sub_explicit(session->in_process ? &engine->in_process_count : &engine->client_count, 1, memory_order_relaxed);
}

kv_session *kv_session_create(kv_engine *engine, const kv_session_ops *ops, void *owner, void *home) {
    kv_session *session = kv_calloc(&engine->mem, 1, sizeof *session);
    if (session == NULL) return NULL;
    session->engine = engine;
    session->ops = ops;
    session->owner = owner;
    session->home = home;
    session->in_process = ops == NULL;
    session->format = ops == NULL ? KV_FORMAT_TAPE : KV_FORMAT_RESP2;
    session->id = atomic_fetch_add_explicit(&engine->next_client_id, 1, memory_order_relaxed) + 1;
    session->created_ms = kv_clock_ms(&engine->clock);
    set_defaults(session);
    kv_rng_seed(&session->rng, kv_mono_ns() ^ (session->id << 32));
    kv_mutex_init(&session->mutex, KV_RANK_SESSION, 0);
    kv_buf_init(&session->name, &engine->mem);
    kv_buf_init(&session->lib_name, &engine->mem);
    kv_buf_init(&session->lib_version, &engine->mem);
    kv_buf_init(&session->user, &engine->mem);
    kv_buf_init(&session->mailbox, &engine->mem);
    kv_buf_init(&session->served, &engine->mem);
    kv_buf_init(&session->effects.bytes, &engine->mem);
    kv_buf_add_slice(&session->user, KV_LIT("default"));
    if (session->user.failed) {
        kv_free(&engine->mem, session);
        return NULL;
    }
    session->text_bytes = session->user.cap;
    atomic_store_explicit(&session->references, 1, memory_order_relaxed);
    atomic_store_explicit(&session->last_command_ms, session->created_ms, memory_order_relaxed);
    register_session(engine, session);
    return session;
}

void kv_session_retain(kv_session *session) { atomic_fetch_add_explicit(&session->references, 1, memory_order_relaxed); }

/* The mailbox's capacity was `before`; its lock is held. A program's own session keeps its mail until it asks, so that is memory like any other. */
static void count_mail(kv_session *session, size_t before) {
    if (session->mailbox.cap == before) return;
    atomic_store_explicit(&session->mail_cap, session->mailbox.cap, memory_order_relaxed);
    if (!session->in_process) atomic_fetch_add_explicit(&session->engine->mail_bytes, session->mailbox.cap - before, memory_order_relaxed);
}

void kv_session_release(kv_session *session) {
    /* acq_rel: the last one out must see everything that the others wrote. */
    if (atomic_fetch_sub_explicit(&session->references, 1, memory_order_acq_rel) != 1) return;
    kv_mem *mem = &session->engine->mem;
    kv_buf_deinit(&session->name);
    kv_buf_deinit(&session->lib_name);
    kv_buf_deinit(&session->lib_version);
    kv_buf_deinit(&session->user);
    size_t before = session->mailbox.cap;
    kv_buf_deinit(&session->mailbox);
    count_mail(session, before);
    kv_buf_deinit(&session->served);
    kv_buf_deinit(&session->effects.bytes);
    const kv_session_ops *ops = atomic_load_explicit(&session->ops, memory_order_relaxed);
    if (ops != NULL && ops->gone != NULL) ops->gone(session);
    kv_free(mem, session);
}

/* Leave every table of the engine that knows this session. */
static void leave_tables(kv_session *session) {
    if (session->ticket != NULL) kv_session_stop_waiting(session);
    if (session->long_reply != NULL) kv_long_reply_cancel(session);
    kv_transaction_discard(session);
    kv_pubsub_leave(session);
    kv_tracking_leave(session);
    if (session->monitor) {
        session->monitor = false;
        atomic_fetch_sub_explicit(&session->engine->monitor_count, 1, memory_order_relaxed);
    }
}

void kv_session_destroy(kv_session *session) {
    leave_tables(session);
    unregister_session(session->engine, session);
    if (session->in_process) kv_tally_give_back(session->engine, session->tally);
    session->tally = NULL;
    kv_session_release(session);
}

void kv_session_reset(kv_session *session) {
    leave_tables(session);
    if (!session->in_process) session->format = KV_FORMAT_RESP2;
    kv_mutex_lock(&session->engine->clients_lock);
    set_defaults(session);
    kv_buf_clear(&session->name);
    kv_mutex_unlock(&session->engine->clients_lock);
}

void kv_session_drain(kv_session *session, kv_buf *out) {
    if (atomic_load_explicit(&session->mail_len, memory_order_acquire) == 0) return;
    kv_mutex_lock(&session->mutex);
    kv_buf_add_slice(out, kv_buf_slice(&session->mailbox));
    if (session->mailbox.failed) session->close_now = out->failed = true; /* mail was lost: the stream has a hole, so it must end */
    size_t before = session->mailbox.cap;
    kv_buf_clear(&session->mailbox);
    kv_buf_trim(&session->mailbox, 1024);
    count_mail(session, before);
    atomic_store_explicit(&session->mail_len, 0, memory_order_release);
    kv_mutex_unlock(&session->mutex);
}

/* ---- mail and wakes ---- */

void kv_wake_later(kv_ctx *c, kv_session *target) {
    if (atomic_exchange_explicit(&target->wake_pending, true, memory_order_acq_rel)) return; /* on somebody's list already */
    kv_session_retain(target);
    target->wake_next = c->unit->wakes;
    c->unit->wakes = target;
}

void kv_wake_now(kv_session *session) {
    atomic_fetch_add_explicit(&session->signal, 1, memory_order_release);
    kv_wake_word(&session->signal, true);
    const kv_session_ops *ops = atomic_load_explicit(&session->ops, memory_order_acquire);
    if (ops != NULL) ops->wake(session);
}

void kv_session_mail(kv_ctx *c, kv_session *target, const kv_buf *bytes) {
    if (c->held != NULL && target == c->session) {
        kv_buf_add_slice(c->held, kv_buf_slice(bytes));
        if (bytes->failed) c->held->failed = true;
        return;
    }
    kv_mutex_lock(&target->mutex);
    size_t before = target->mailbox.cap;
    kv_buf_add_slice(&target->mailbox, kv_buf_slice(bytes));
    count_mail(target, before);
    if (bytes->failed) target->mailbox.failed = true;
    atomic_store_explicit(&target->mail_len, target->mailbox.failed ? SIZE_MAX : target->mailbox.len, memory_order_release);
    kv_mutex_unlock(&target->mutex);
    /* A connection looks at its mailbox after each of its own commands; a descriptor in a program's own loop has to be made readable. */
    if (target != c->session || c->rerun || target->in_process) kv_wake_later(c, target);
}

bool kv_session_is_local(const kv_session *session) {
    return session->in_process || strncmp(session->address, "127.", 4) == 0 || strncmp(session->address, "[::1]", 5) == 0 ||
           strncmp(session->address, "/", 1) == 0;
}
