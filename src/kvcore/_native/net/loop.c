/* The event loop of a network thread.
 *
 * A round: wait for events (not at all while connections are ready), take the mailbox, serve events, serve the ready list once, expire blocked and
 * paused clients, free the connections that were closed. A connection is freed only at the end of a round, so nothing that a round still holds dies.
 *
 * Other threads reach a loop through lists under one leaf lock, and an eventfd that is written only when the loop has not been told already.
 *
 * When the number of threads has changed, connections move, at the end of a round of the loop that has them:
 *
 *   old loop: out of its lists and its epoll -> session.home = new, out of the list of woken sessions, under the old loop's lock -> new.arrivals
 *   new loop: into its lists and its epoll, then served as if it had been woken
 *
 * Who wakes a session takes the lock of the loop that is its home and looks again: so a wake comes before the move, and goes with it, or it goes to
 * the new loop. There it is dropped when the connection has not arrived yet, because an arrival is a wake. */
#include "net/loop.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/client_memory.h"
#include "engine/tally.h"
#include "net/server_private.h"

#define EVENTS_A_ROUND 256
#define TICK_MS 1000
#define PUBLISH_AT (256 * 1024) /* bytes that connections may gain before the engine is told in the middle of a round */

static int64_t mono_ms(void) { return (int64_t)(kv_mono_ns() / 1000000); }

/* ---- from other threads ---- */

static void signal_loop(kv_loop *loop) {
    if (atomic_exchange_explicit(&loop->signalled, true, memory_order_acq_rel)) return;
    uint64_t one = 1;
    ssize_t n = write(loop->wake_fd, &one, sizeof one); /* fails only when the counter is full: then it is readable anyway */
    (void)n;
}

void kv_loop_look_up(kv_loop *loop) { signal_loop(loop); }

/* With its lock held. */
static kv_loop *lock_home(kv_session *session) {
    for (;;) {
        kv_loop *loop = atomic_load_explicit(&session->home, memory_order_acquire);
        kv_mutex_lock(&loop->lock);
        if (atomic_load_explicit(&session->home, memory_order_relaxed) == loop) return loop;
        kv_mutex_unlock(&loop->lock);
    }
}

void kv_loop_wake_session(kv_session *session) {
    kv_loop *loop = lock_home(session);
    bool closed = loop->closed;
    if (!closed && !session->home_listed) {
        kv_session_retain(session);
        session->home_listed = true;
        session->home_next = NULL;
        *(loop->woken == NULL ? &loop->woken : loop->woken_end) = session;
        loop->woken_end = &session->home_next;
        loop->woken_count++;
    }
    kv_mutex_unlock(&loop->lock);
    if (!closed) signal_loop(loop);
}

/* The session that was woken first, with its reference; NULL: none. */
static kv_session *take_woken(kv_loop *loop) {
    kv_mutex_lock(&loop->lock);
    kv_session *session = loop->woken;
    if (session != NULL) {
        loop->woken = session->home_next;
        session->home_listed = false;
        loop->woken_count--;
    }
    kv_mutex_unlock(&loop->lock);
    return session;
}

bool kv_loop_hand_over(kv_loop *loop, int fd, const char *address, const char *local_address) {
    kv_handover *handover = kv_malloc(&loop->engine->mem, sizeof *handover);
    if (handover == NULL) return false;
    handover->fd = fd;
    snprintf(handover->address, sizeof handover->address, "%s", address);
    snprintf(handover->local_address, sizeof handover->local_address, "%s", local_address);
    atomic_fetch_add_explicit(&loop->count, 1, memory_order_relaxed);
    kv_mutex_lock(&loop->lock);
    handover->next = loop->handovers;
    loop->handovers = handover;
    kv_mutex_unlock(&loop->lock);
    signal_loop(loop);
    return true;
}

/* ---- connections of this loop ---- */

void kv_loop_watch(kv_loop *loop, kv_connection *connection, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    int operation =
        connection->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD; /* not told by `events`: a half-closed client may be watched for nothing */
    if (epoll_ctl(loop->epoll_fd, operation, connection->fd, &event) < 0) {
        kv_loop_doom(loop, connection);
        return;
    }
    connection->events = events;
    connection->watched = true;
}

void kv_loop_set_paused(kv_loop *loop, kv_connection *connection, bool paused) {
    if (connection->paused == paused) return;
    connection->paused = paused;
    _Atomic uint32_t *count = &loop->engine->blocked_count;
    if (paused) atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    else atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
}

void kv_loop_set_waiting(kv_loop *loop, kv_connection *connection, bool waits) {
    kv_connection *next = connection->next_waiting, *previous = connection->previous_waiting;
    bool listed = previous != NULL || loop->waiting == connection;
    if (waits && !listed) {
        connection->next_waiting = loop->waiting;
        if (loop->waiting != NULL) loop->waiting->previous_waiting = connection;
        loop->waiting = connection;
    } else if (!waits && listed) {
        if (previous != NULL) previous->next_waiting = next;
        else loop->waiting = next;
        if (next != NULL) next->previous_waiting = previous;
        connection->next_waiting = connection->previous_waiting = NULL;
    }
    if (waits) loop->look_at_waiting = true;
}

void kv_loop_make_ready(kv_loop *loop, kv_connection *connection) {
    if (connection->is_ready) return;
    connection->is_ready = true;
    connection->next_ready = NULL;
    if (loop->ready == NULL) loop->ready_end = &loop->ready;
    *loop->ready_end = connection;
    loop->ready_end = &connection->next_ready;
}

static void publish_memory(kv_loop *loop) {
    if (loop->memory_change == 0) return;
    kv_client_memory_add(loop->engine, loop->memory_change);
    loop->memory_change = 0;
}

void kv_loop_count_memory(kv_loop *loop, int64_t change) {
    loop->memory_change += change;
    if (loop->memory_change < PUBLISH_AT) return;
    publish_memory(loop);
    kv_client_memory_enforce(loop->engine);
}

static void link_connection(kv_loop *loop, kv_connection *connection) {
    connection->previous = NULL;
    connection->next = loop->connections;
    if (connection->next != NULL) connection->next->previous = connection;
    loop->connections = connection;
}

/* Out of the lists of those that live. False: it was in none. */
static bool unlink_connection(kv_loop *loop, kv_connection *connection) {
    if (connection->previous != NULL) connection->previous->next = connection->next;
    else if (loop->connections == connection) loop->connections = connection->next;
    else return false;
    if (connection->next != NULL) connection->next->previous = connection->previous;
    kv_loop_set_waiting(loop, connection, false);
    connection->next = connection->previous = NULL;
    return true;
}

void kv_loop_doom(kv_loop *loop, kv_connection *connection) {
    connection->dead = true;
    if (!unlink_connection(loop, connection)) return; /* doomed already */
    kv_loop_set_paused(loop, connection, false);
    connection->next = loop->doomed;
    loop->doomed = connection;
}

static void free_doomed(kv_loop *loop) {
    kv_connection **at = &loop->doomed;
    while (*at != NULL) {
        kv_connection *connection = *at;
        if (connection->is_ready) { /* the next round takes it from that list */
            at = &connection->next;
            continue;
        }
        *at = connection->next;
        kv_connection_destroy(connection);
        atomic_fetch_sub_explicit(&loop->count, 1, memory_order_relaxed);
    }
}

static void adopt(kv_loop *loop, kv_handover *handover) {
    kv_connection *connection = kv_connection_create(loop, handover->fd, handover->address, handover->local_address);
    if (connection == NULL) {
        close(handover->fd);
        atomic_fetch_sub_explicit(&loop->count, 1, memory_order_relaxed);
    } else {
        link_connection(loop, connection);
        kv_loop_watch(loop, connection, EPOLLIN | EPOLLRDHUP);
    }
    kv_free(&loop->engine->mem, handover);
}

/* ---- moving to another loop ---- */

/* The session's wakes go to the other loop from here on; one that waits in this loop's list goes along, because an arrival is a wake. */
static void change_home(kv_loop *loop, kv_session *session, kv_loop *to) {
    kv_mutex_lock(&loop->lock);
    bool woken = session->home_listed;
    if (woken) {
        kv_session **at = &loop->woken;
        while (*at != session) at = &(*at)->home_next;
        *at = session->home_next;
        if (*at == NULL) loop->woken_end = at;
        session->home_listed = false;
        loop->woken_count--;
    }
    atomic_store_explicit(&session->home, to, memory_order_release);
    kv_mutex_unlock(&loop->lock);
    if (woken) kv_session_release(session);
}

/* It is on no list but that of the loop's connections and perhaps that of the waiting ones. */
static void move(kv_loop *loop, kv_connection *connection, kv_loop *to) {
    if (connection->watched && epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL) < 0) {
        kv_loop_doom(loop, connection);
        return;
    }
    connection->watched = false;
    unlink_connection(loop, connection);
    change_home(loop, connection->session, to);
    atomic_fetch_sub_explicit(&loop->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&to->count, 1, memory_order_relaxed);
    kv_mutex_lock(&to->lock);
    connection->next = to->arrivals;
    to->arrivals = connection;
    kv_mutex_unlock(&to->lock);
    signal_loop(to);
}

static void arrive(kv_loop *loop, kv_connection *connection) {
    bool is_ready = connection->is_ready;
    connection->loop = loop;
    connection->session->tally = loop->tally;
    connection->is_ready = false;
    link_connection(loop, connection);
    if (connection->blocked || connection->paused) kv_loop_set_waiting(loop, connection, true);
    kv_loop_watch(loop, connection, connection->events);
    if (is_ready && !connection->dead) kv_loop_make_ready(loop, connection);
    kv_connection_woken(connection);
}

/* Those that stay keep their place on the ready list; the others take their `is_ready` along. */
static void leave_ready_list(kv_loop *loop, const kv_connection *leaving) {
    kv_connection **at = &loop->ready;
    while (*at != NULL && *at != leaving) at = &(*at)->next_ready;
    if (*at == NULL) return;
    *at = leaving->next_ready;
    if (*at == NULL) loop->ready_end = at;
}

/* The threads of the server are others than they were: a loop that is not in use any more gives all its connections away, the others what is above
 * their share. A socket that was accepted for a loop before may still come to it after. O(connections), times those that are ready. */
static void share_out(kv_loop *loop) {
    kv_server *server = loop->server;
    uint32_t layout = atomic_load_explicit(&server->layout, memory_order_acquire);
    unsigned in_use = atomic_load_explicit(&server->loop_count, memory_order_acquire);
    if (layout == loop->layout && loop->index < in_use) return;
    if (atomic_load_explicit(&loop->stop, memory_order_acquire)) return;
    loop->layout = layout;
    size_t share = loop->index >= in_use ? 0 : (kv_server_connections(server) + in_use - 1) / in_use;
    for (kv_connection *connection = loop->connections, *next; connection != NULL; connection = next) {
        next = connection->next;
        kv_loop *to = kv_server_least_loaded(server);
        if (atomic_load_explicit(&loop->count, memory_order_relaxed) <= share || to == loop) return;
        if (connection->is_ready) leave_ready_list(loop, connection);
        move(loop, connection, to);
    }
}

/* ---- a round ---- */

static void take_mailbox(kv_loop *loop) {
    if (!atomic_load_explicit(&loop->signalled, memory_order_acquire)) return;
    /* Cleared before the lists are taken: a note that comes after is signalled anew. */
    atomic_store_explicit(&loop->signalled, false, memory_order_release);
    kv_mutex_lock(&loop->lock);
    size_t woken_count = loop->woken_count;
    kv_handover *handovers = loop->handovers;
    kv_connection *arrivals = loop->arrivals;
    loop->handovers = NULL;
    loop->arrivals = NULL;
    kv_mutex_unlock(&loop->lock);
    while (arrivals != NULL) {
        kv_connection *connection = arrivals;
        arrivals = connection->next;
        arrive(loop, connection);
    }
    while (handovers != NULL) {
        kv_handover *handover = handovers;
        handovers = handover->next;
        adopt(loop, handover);
    }
    for (; woken_count > 0; woken_count--) {
        kv_session *session = take_woken(loop);
        if (session == NULL) return;
        /* This thread frees connections, at the end of a round; a session whose connection is gone has no owner. */
        kv_connection *connection = session->owner;
        if (connection != NULL && connection->loop == loop) kv_connection_woken(connection); /* else it has not arrived */
        kv_session_release(session);
    }
}

/* Time-outs of blocked clients, ends of pauses. */
static int64_t serve_waiting(kv_loop *loop) {
    int64_t next_ms = INT64_MAX;
    if (loop->waiting == NULL) return next_ms;
    int64_t mono = mono_ms();
    if (!loop->look_at_waiting && mono < loop->waiting_due_ms) return loop->waiting_due_ms - mono;
    loop->look_at_waiting = false;
    uint64_t now_ns = kv_mono_ns();
    int64_t until = atomic_load_explicit(&loop->engine->pause_until_ms, memory_order_relaxed), wall = kv_clock_ms(&loop->engine->clock);
    for (kv_connection *connection = loop->waiting, *next; connection != NULL; connection = next) {
        next = connection->next_waiting;
        if (connection->blocked) {
            uint64_t deadline = kv_session_block_deadline(connection->session);
            if (deadline <= now_ns) {
                kv_session_unblock(connection->session, KV_UNBLOCK_TIMEOUT);
                kv_connection_woken(connection);
                if (connection->blocked) next_ms = 1; /* another thread was trying to serve it: once more */
            } else if (deadline != UINT64_MAX) {
                int64_t left = (int64_t)((deadline - now_ns + 999999) / 1000000);
                if (left < next_ms) next_ms = left;
            }
        } else if (connection->paused) {
            if (until <= wall) {
                kv_loop_set_paused(loop, connection, false);
                kv_loop_set_waiting(loop, connection, false);
                kv_connection_continue(connection);
            } else if (until - wall < next_ms) {
                next_ms = until - wall;
            }
        }
    }
    /* Those that were served above may have blocked again: then look_at_waiting is set, and the next round comes at once. */
    loop->waiting_due_ms = next_ms == INT64_MAX ? INT64_MAX : mono + next_ms;
    return loop->look_at_waiting ? 0 : next_ms;
}

static void tick(kv_loop *loop) {
    if (loop->now_ms - loop->last_tick_ms < TICK_MS) return;
    loop->last_tick_ms = loop->now_ms;
    loop->look_at_waiting = true; /* the wall clock, by which a pause ends, may have been set */
    for (kv_connection *connection = loop->connections, *next; connection != NULL; connection = next) {
        next = connection->next;
        kv_connection_tick(connection, loop->now_ms);
    }
    kv_listen_tick(loop);
}

static void serve_ready(kv_loop *loop) {
    kv_connection *connection = loop->ready;
    loop->ready = NULL; /* those that are not done go on a new list: everybody gets one turn a round */
    while (connection != NULL) {
        kv_connection *next = connection->next_ready;
        connection->is_ready = false;
        kv_connection_continue(connection);
        connection = next;
    }
}

static void round_of(kv_loop *loop, int timeout_ms) {
    struct epoll_event events[EVENTS_A_ROUND];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_A_ROUND, timeout_ms);
    loop->now_ms = mono_ms();
    for (int i = 0; i < count; i++) {
        void *who = events[i].data.ptr;
        if (who ==
            NULL) { /* the mailbox is taken below. Read whenever it is readable: `signalled` may have been cleared before the write came */
            uint64_t signals;
            ssize_t n = read(loop->wake_fd, &signals, sizeof signals);
            (void)n;
            continue;
        }
        if (kv_listen_is_listener(loop, who)) {
            kv_listen_accept(loop, who);
            continue;
        }
        kv_connection *connection = who;
        if ((events[i].events & EPOLLOUT) != 0) kv_connection_writable(connection);
        if ((events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) kv_connection_readable(connection);
    }
    take_mailbox(loop);
    serve_ready(loop);
}

static int next_timeout(kv_loop *loop, int64_t waiting_ms) {
    if (loop->ready != NULL || loop->doomed != NULL) return 0;
    if (loop->connections == NULL && loop->index != 0) return -1; /* nothing can happen here before it is told */
    int64_t left = TICK_MS - (loop->now_ms - loop->last_tick_ms);
    if (waiting_ms < left) left = waiting_ms;
    return left < 0 ? 0 : (int)left;
}

static void close_all(kv_loop *loop) {
    for (kv_connection *connection = loop->ready; connection != NULL; connection = connection->next_ready) connection->is_ready = false;
    loop->ready = NULL;
    while (loop->connections != NULL) {
        kv_connection *connection = loop->connections;
        kv_loop_doom(loop, connection);
    }
    free_doomed(loop);
    publish_memory(loop);
}

static void loop_main(void *arg) {
    kv_loop *loop = arg;
    loop->now_ms = loop->last_tick_ms = mono_ms();
    int64_t waiting_ms = INT64_MAX;
    while (!atomic_load_explicit(&loop->stop, memory_order_acquire)) {
        round_of(loop, next_timeout(loop, waiting_ms));
        waiting_ms = serve_waiting(loop);
        tick(loop);
        free_doomed(loop);
        share_out(loop);
        publish_memory(loop);
        kv_client_memory_enforce(loop->engine);
        kv_governor_round(loop);
    }
    close_all(loop);
}

/* ---- life ---- */

static kv_status start(kv_loop *loop) {
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (loop->epoll_fd < 0 || loop->wake_fd < 0 || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0) return KV_EIO;
    if (loop->index == 0 && kv_listen_watch(loop) != KV_OK) return KV_EIO;
    char name[16];
    snprintf(name, sizeof name, "kvcore-io-%u", loop->index % 1000);
    int failed = kv_thread_start(&loop->thread, name, loop_main, loop);
    if (failed != 0) errno = failed;
    return failed == 0 ? KV_OK : KV_EIO;
}

kv_status kv_loop_start(kv_engine *engine, struct kv_server *server, unsigned index, kv_loop **out) {
    kv_loop *loop = kv_calloc(&engine->mem, 1, sizeof *loop);
    if (loop == NULL) {
        errno = ENOMEM;
        return KV_ENOMEM;
    }
    *loop = (kv_loop){.engine = engine, .server = server, .index = index, .epoll_fd = -1, .wake_fd = -1, .waiting_due_ms = INT64_MAX};
    loop->layout = atomic_load_explicit(&server->layout, memory_order_relaxed);
    kv_mutex_init(&loop->lock, KV_RANK_LOOP, index);
    kv_buf_init(&loop->lent_in, &engine->mem);
    kv_buf_init(&loop->lent_out, &engine->mem);
    loop->tally = kv_tally_take(engine);
    *out = loop; /* before there is a thread that looks for it */
    kv_status status = start(loop);
    if (status == KV_OK) return KV_OK;
    *out = NULL;
    int why = errno;
    kv_loop_close(loop);
    kv_loop_free(loop);
    errno = why;
    return status;
}

void kv_loop_stop(kv_loop *loop) {
    atomic_store_explicit(&loop->stop, true, memory_order_release);
    signal_loop(loop);
}

void kv_loop_join(kv_loop *loop) {
    if (loop->thread.joinable) kv_thread_join(&loop->thread);
}

void kv_loop_close(kv_loop *loop) {
    while (loop->handovers != NULL) {
        kv_handover *handover = loop->handovers;
        loop->handovers = handover->next;
        close(handover->fd);
        kv_free(&loop->engine->mem, handover);
    }
    while (loop->arrivals != NULL) {
        kv_connection *connection = loop->arrivals;
        loop->arrivals = connection->next;
        connection->loop = loop;
        kv_loop_set_paused(loop, connection, false);
        kv_connection_destroy(connection);
    }
    publish_memory(loop);
    kv_mutex_lock(&loop->lock);
    loop->closed = true;
    kv_mutex_unlock(&loop->lock);
    for (kv_session *session = take_woken(loop); session != NULL; session = take_woken(loop)) kv_session_release(session);
    kv_buf_deinit(&loop->lent_in);
    kv_buf_deinit(&loop->lent_out);
    if (loop->epoll_fd >= 0) close(loop->epoll_fd);
    loop->epoll_fd = -1;
}

void kv_loop_free(kv_loop *loop) {
    if (loop->wake_fd >= 0) close(loop->wake_fd);
    kv_tally_give_back(loop->engine, loop->tally);
    kv_free(&loop->engine->mem, loop);
}
