/* A network thread: one epoll, its connections, and a mailbox for what other threads want of it. */
#ifndef KV_NET_LOOP_H
#define KV_NET_LOOP_H

#include "net/ahead.h"
#include "net/connection.h"
#include "net/governor.h"

/* A socket that was accepted for another loop. */
typedef struct kv_handover {
    struct kv_handover *next;
    int fd;
    char address[128], local_address[128];
} kv_handover;

typedef struct kv_loop {
    kv_engine *engine;
    struct kv_server *server;
    kv_thread thread;
    unsigned index;
    int epoll_fd, wake_fd;
    kv_connection *connections;
    int64_t memory_change;             /* of what they hold, since the engine was told */
    uint32_t layout;                   /* of the server's threads, for which this loop has shared its connections out */
    kv_connection *ready, **ready_end; /* connections with unread input or unfinished turns */
    kv_connection *doomed;             /* closed in this round, freed at its end, or at the end of the next when it is on the ready list */
    kv_connection *waiting;            /* blocked or paused connections */
    int64_t waiting_due_ms;            /* when the first of them has to be looked at; INT64_MAX: never */
    bool look_at_waiting;              /* or now: one was added, a pause may have ended */
    kv_buf lent_in, lent_out;          /* buffers that connections use while they are being served */
    kv_ahead ahead;                    /* of the connection whose turn it is, as are: */
    kv_hint hints[KV_BATCH];
    kv_command_memo memo;
    int64_t now_ms; /* monotonic, of this round */
    int64_t last_tick_ms;
    kv_load load;
    struct kv_tally *tally; /* counts the calls of its connections; NULL: the engine does */
    _Atomic size_t count;   /* connections, for balancing */
    _Atomic bool stop;
    kv_mutex lock;                  /* rank LOOP: guards the lists below */
    kv_session *woken, **woken_end; /* by home_next; each is held by a reference */
    size_t woken_count;
    kv_handover *handovers;
    kv_connection *arrivals; /* by next: from other loops */
    bool closed;             /* the thread has ended: nobody takes the mailbox any more */
    _Atomic bool signalled;  /* wake_fd was written and not read yet */
} kv_loop;

/* KV_ENOMEM or KV_EIO with errno: then there is no loop. */
kv_status kv_loop_start(kv_engine *engine, struct kv_server *server, unsigned index, kv_loop **out);
void kv_loop_stop(kv_loop *loop); /* asks; kv_loop_join waits */
void kv_loop_join(kv_loop *loop);
void kv_loop_close(kv_loop *loop); /* when every loop has been joined: what was on its way to this one goes */
void kv_loop_free(kv_loop *loop);  /* after the last session that names it as its home */

/* From any thread. */
void kv_loop_wake_session(kv_session *session);
void kv_loop_look_up(kv_loop *loop); /* begin a round: something in the server or the settings has changed */
/* Gives a socket to the loop; false: out of memory, the socket is the caller's. */
bool kv_loop_hand_over(kv_loop *loop, int fd, const char *address, const char *local_address);

/* The loop's own thread. */
void kv_loop_watch(kv_loop *loop, kv_connection *connection, uint32_t events);
void kv_loop_make_ready(kv_loop *loop, kv_connection *connection);
void kv_loop_count_memory(kv_loop *loop, int64_t change);
void kv_loop_doom(kv_loop *loop, kv_connection *connection);
void kv_loop_set_paused(kv_loop *loop, kv_connection *connection,
                        bool paused); /* held back by CLIENT PAUSE: such a client counts as blocked */
void kv_loop_set_waiting(kv_loop *loop, kv_connection *connection, bool waits);

#endif
