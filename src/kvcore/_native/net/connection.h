/* One client's connection: its socket, what was read and not parsed, what was written and not sent. Belongs to one loop's thread alone. */
#ifndef KV_NET_CONNECTION_H
#define KV_NET_CONNECTION_H

#include "engine/dispatch.h"
#include "net/request.h"

struct kv_loop;

typedef struct kv_connection {
    struct kv_loop *loop;
    kv_session *session;
    struct kv_connection *next, *previous;                 /* the loop's list */
    struct kv_connection *next_ready;                      /* the loop's list of connections with more to do; see is_ready */
    struct kv_connection *next_waiting, *previous_waiting; /* the loop's list of blocked and paused ones */
    int fd;
    uint32_t events; /* what epoll watches */
    bool watched;    /* epoll knows it */
    bool is_ready, blocked, paused, input_ended, dead;
    bool held_back; /* commands wait in `in` until the client has read more of `out` */
    kv_request request;
    kv_buf in; /* empty between requests: the loop lends its own buffer for the time of a read */
    kv_buf out;
    size_t out_sent;                    /* of out */
    size_t out_free;                    /* of out: what may be sent. The rest shows what is not durable yet */
    size_t gate_len;                    /* up to here it shows no more than the journal's number */
    uint64_t gate_need;                 /* for which the session waits; 0: it does not */
    int64_t active_ms;                  /* last byte in, for `timeout` */
    int64_t since_ms;                   /* when it connected or last completed a command: for the deadline of clients that do not log in */
    _Atomic size_t shown_in, shown_out; /* sizes for CLIENT LIST: any thread */
    _Atomic size_t shown_memory;        /* all that it holds, as its loop has counted it */
    _Atomic bool shown_writing;
    int64_t soft_since_ms; /* since when the output is over its soft limit; 0: it is not */
} kv_connection;

/* Takes the socket over. NULL: out of memory, the socket is still the caller's. */
kv_connection *kv_connection_create(struct kv_loop *loop, int fd, const char *address, const char *local_address);
void kv_connection_destroy(kv_connection *connection);

/* Bytes may be there: read, run what is complete, send. Sets `dead` when it has to go. */
void kv_connection_readable(kv_connection *connection);
/* Run commands that were read already, as far as one turn allows; send. */
void kv_connection_continue(kv_connection *connection);
/* The socket takes bytes again. */
void kv_connection_writable(kv_connection *connection);
/* Mail, a served block, a kill. */
void kv_connection_woken(kv_connection *connection);
/* Once a second: time-outs and limits. */
void kv_connection_tick(kv_connection *connection, int64_t now_ms);

#endif
