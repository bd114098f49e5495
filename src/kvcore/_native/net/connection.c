/* Serving one connection.
 *
 *   socket -> in -> request parser -> kv_execute -> out -> socket
 *
 * A turn is bounded (COMMANDS_A_TURN, BYTES_A_READ): a client that pipelines without end shares the thread with the others; what is left over puts
 * the connection on the loop's ready list. Idle connections own no buffers: the loop's are lent for the time of a turn and kept only when bytes
 * stay behind.
 *
 * While a client is blocked or paused its input is read but not parsed, up to client-query-buffer-limit, so that a lost connection is noticed. */
#include "net/connection.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/client_memory.h"
#include "engine/errors.h"
#include "engine/journal.h"
#include "engine/pubsub.h"
#include "net/server_private.h"

#define BYTES_A_READ (64 * 1024)
#define BIG_WORD (32 * 1024) /* a word that makes room for itself alone */
#define REST_MAX (4 * 1024)  /* of input that stays behind between turns: more keeps the buffer it is in */
#define COMMANDS_A_TURN 512
#define OUT_KEEP (16 * 1024)
#define FLUSH_AT (256 * 1024)       /* send in the middle of a turn when this much has gathered */
#define HOLD_BACK_AT (8 * FLUSH_AT) /* a client that does not read its replies gets no more commands run */
#define PREAUTH_OUTPUT 1024         /* bytes that an unauthenticated client may leave unread */
#define PREAUTH_DEADLINE_MS 10000   /* to authenticate, where a password is required */

static kv_engine *engine_of(const kv_connection *connection) { return connection->loop->engine; }

static void kill_connection(kv_connection *connection) {
    if (connection->dead) return;
    connection->dead = true;
    kv_loop_doom(connection->loop, connection);
}

/* ---- life ---- */

static void wake(kv_session *session) { kv_loop_wake_session(session); /* the connection itself may be on its way out */ }

static void describe(kv_session *session, kv_session_facts *facts) {
    /* Called under the registry's lock: a connection leaves the registry before it is freed. */
    const kv_connection *connection = session->owner;
    size_t in = atomic_load_explicit(&connection->shown_in, memory_order_relaxed),
           out = atomic_load_explicit(&connection->shown_out, memory_order_relaxed);
    *facts = (kv_session_facts){.fd = connection->fd,
                                .events = "r",
                                .query_len = in,
                                .output_len = out,
                                .memory = atomic_load_explicit(&connection->shown_memory, memory_order_relaxed)};
    if (atomic_load_explicit(&connection->shown_writing, memory_order_relaxed)) facts->events[1] = 'w';
}

static void gone(kv_session *session) {
    const kv_loop *loop = session->home;
    kv_server_release(loop->server);
}

/* What it holds now; the loop's sum follows. A client that sends and reads in time comes back to the same number at the end of each turn. */
static void count_memory(kv_connection *connection, size_t now) {
    size_t before = atomic_load_explicit(&connection->shown_memory, memory_order_relaxed);
    if (now == before) return;
    atomic_store_explicit(&connection->shown_memory, now, memory_order_relaxed);
    kv_loop_count_memory(connection->loop, (int64_t)now - (int64_t)before);
}

static size_t memory_of(const kv_connection *connection) {
    const kv_request *request = &connection->request;
    return sizeof *connection + sizeof *connection->session + connection->in.cap + connection->out.cap +
           (size_t)request->cap * (sizeof *request->spans + sizeof *request->argv) + request->inline_text.cap +
           kv_session_held(connection->session);
}

static const kv_session_ops connection_ops = {.wake = wake, .gone = gone, .describe = describe};

kv_connection *kv_connection_create(kv_loop *loop, int fd, const char *address, const char *local_address) {
    kv_mem *mem = &loop->engine->mem;
    kv_connection *connection = kv_calloc(mem, 1, sizeof *connection);
    if (connection == NULL) return NULL;
    connection->loop = loop;
    connection->fd = fd;
    kv_server_retain(loop->server); /* for the session: whoever wakes it late finds the loop's mailbox */
    connection->session = kv_session_create(loop->engine, &connection_ops, connection, loop);
    if (connection->session == NULL) {
        kv_server_release(loop->server);
        kv_free(mem, connection);
        return NULL;
    }
    kv_session *session = connection->session;
    session->tally = loop->tally;
    session->slices = true;
    kv_mutex_lock(&loop->engine->clients_lock);
    snprintf(session->address, sizeof session->address, "%s", address);
    snprintf(session->local_address, sizeof session->local_address, "%s", local_address);
    kv_mutex_unlock(&loop->engine->clients_lock);
    kv_buf password;
    kv_buf_init(&password, mem);
    kv_setting_text(&loop->engine->settings, KV_CFG_REQUIREPASS, &password);
    session->authenticated = password.len == 0 && !password.failed;
    kv_buf_deinit(&password);
    kv_request_init(&connection->request, mem);
    kv_buf_init(&connection->in, mem);
    kv_buf_init(&connection->out, mem);
    connection->active_ms = connection->since_ms = loop->now_ms;
    count_memory(connection, memory_of(connection));
    atomic_fetch_add_explicit(&loop->engine->stats.connections, 1, memory_order_relaxed);
    return connection;
}

void kv_connection_destroy(kv_connection *connection) {
    kv_mem *mem = &engine_of(connection)->mem;
    kv_session *session = connection->session;
    kv_journal *journal = connection->gate_need == 0 ? NULL : kv_journal_of(engine_of(connection));
    if (journal != NULL) journal->forget(journal, session);
    count_memory(connection, 0);
    kv_session_retain(session);
    kv_session_destroy(session);
    session->owner = NULL; /* a wake that is still in the loop's mailbox finds nobody */
    kv_session_release(session);
    kv_request_deinit(&connection->request);
    kv_buf_deinit(&connection->in);
    kv_buf_deinit(&connection->out);
    close(connection->fd);
    kv_free(mem, connection);
}

/* ---- buffers ---- */

static void swap_buffers(kv_buf *a, kv_buf *b) {
    kv_buf kept = *a;
    *a = *b;
    *b = kept;
}

/* Puts a rest that waits in a buffer of its own size back into the big one. */
static void borrow_in(kv_connection *connection) {
    kv_buf *own = &connection->in, *lent = &connection->loop->lent_in;
    if (own->cap != 0 && (own->cap > REST_MAX || lent->cap < BYTES_A_READ)) return;
    if (own->len > 0) memcpy(lent->ptr, own->ptr, own->len);
    lent->len = own->len;
    swap_buffers(own, lent);
    kv_buf_deinit(lent);
}

static void borrow_buffers(kv_connection *connection) {
    borrow_in(connection);
    if (connection->out.cap == 0) swap_buffers(&connection->out, &connection->loop->lent_out);
}

static void give_back(kv_buf *own, kv_buf *lent) {
    if (own->len > 0) return;
    if (lent->cap == 0 && own->cap <= 4 * BYTES_A_READ) swap_buffers(own, lent);
    else kv_buf_deinit(own);
    own->failed = false;
}

/* A few bytes of the next command do not keep a whole buffer. */
static void keep_rest(kv_buf *in, kv_buf *lent) {
    if (in->len > REST_MAX || in->cap < BYTES_A_READ) return;
    kv_buf rest;
    kv_buf_init(&rest, in->mem);
    if (!kv_buf_grow_exactly(&rest, in->len)) return; /* without memory it stays where it is */
    kv_buf_add_slice(&rest, kv_buf_slice(in));
    kv_buf_clear(in);
    give_back(in, lent);
    *in = rest;
}

static void return_buffers(kv_connection *connection) {
    kv_request_trim(&connection->request);
    if (connection->in.len > 0) keep_rest(&connection->in, &connection->loop->lent_in);
    else give_back(&connection->in, &connection->loop->lent_in);
    give_back(&connection->out, &connection->loop->lent_out);
}

/* ---- sending ---- */

static void watch(kv_connection *connection) {
    bool reads = !connection->input_ended && !((connection->blocked || connection->paused) && connection->in.len > BYTES_A_READ);
    uint32_t events = (reads ? EPOLLIN : 0u) | EPOLLRDHUP | (connection->out_free > connection->out_sent ? EPOLLOUT : 0u);
    if (connection->input_ended) events &= ~(uint32_t)EPOLLRDHUP;
    if (events != connection->events) kv_loop_watch(connection->loop, connection, events);
}

/* Whether the number that was waited for has come. What never will be durable is never confirmed: the connection ends without its replies. */
static bool gate_opens(kv_connection *connection) {
    kv_journal *journal = kv_journal_of(engine_of(connection));
    if (journal == NULL || atomic_load_explicit(&journal->durable, memory_order_acquire) >= connection->gate_need) return true;
    bool fails = atomic_load_explicit(&journal->refusal, memory_order_acquire) != NULL;
    if (!fails || journal->await(journal, connection->session, connection->gate_need)) return false;
    if (atomic_load_explicit(&journal->durable, memory_order_acquire) >= connection->gate_need) return true;
    kill_connection(connection);
    return false;
}

/* Under appendfsync always a reply leaves when what it shows is on the disk. One number is waited for at a time; what has gathered meanwhile waits for the
 * next one. */
static void open_gate(kv_connection *connection) {
    kv_session *session = connection->session;
    while (!connection->dead) {
        if (connection->gate_need != 0) {
            if (!gate_opens(connection)) return;
            connection->gate_need = 0;
            connection->out_free = connection->gate_len;
        }
        if (session->need == 0) break;
        connection->gate_need = session->need;
        connection->gate_len = connection->out.len;
        session->need = 0;
        kv_journal *journal = kv_journal_of(engine_of(connection));
        if (journal != NULL && journal->await(journal, session, connection->gate_need)) return;
        /* It is durable, or never will be. */
        if (journal != NULL && atomic_load_explicit(&journal->durable, memory_order_acquire) < connection->gate_need) {
            kill_connection(connection);
            return;
        }
    }
    connection->out_free = connection->out.len;
}

static void flush(kv_connection *connection) {
    kv_buf *out = &connection->out;
    open_gate(connection);
    while (connection->out_free > connection->out_sent) {
        ssize_t n = send(connection->fd, out->ptr + connection->out_sent, connection->out_free - connection->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) kill_connection(connection);
            break;
        }
        connection->out_sent += (size_t)n;
        atomic_fetch_add_explicit(&connection->session->bytes_out, (uint64_t)n, memory_order_relaxed);
        atomic_fetch_add_explicit(&engine_of(connection)->stats.net_output, (uint64_t)n, memory_order_relaxed);
    }
    if (connection->out_sent == out->len) {
        out->len = connection->out_sent = connection->out_free = connection->gate_len = 0;
    } else if (connection->out_sent > FLUSH_AT) {
        kv_buf_drop_front(out, connection->out_sent);
        connection->out_free -= connection->out_sent;
        if (connection->gate_need != 0) connection->gate_len -= connection->out_sent;
        connection->out_sent = 0;
    }
}

/* Limits of client-output-buffer-limit for a class of clients: hard, soft, seconds. */
static void output_limits(kv_connection *connection, int64_t limits[3]) {
    kv_engine *engine = engine_of(connection);
    kv_buf text;
    kv_buf_init(&text, &engine->mem);
    kv_setting_text(&engine->settings, KV_CFG_CLIENT_OUTPUT_BUFFER_LIMIT, &text);
    kv_buf_add_byte(&text, 0);
    limits[0] = limits[1] = limits[2] = 0;
    bool subscriber = kv_pubsub_count(connection->session) + kv_pubsub_shard_count(connection->session) > 0;
    const char *at = text.failed ? NULL : strstr((const char *)text.ptr, subscriber ? "pubsub" : "normal");
    long long hard, soft, seconds;
    if (at != NULL && sscanf(at + 6, "%lld %lld %lld", &hard, &soft, &seconds) == 3) {
        limits[0] = hard;
        limits[1] = soft;
        limits[2] = seconds;
    }
    kv_buf_deinit(&text);
}

static void close_over_limit(kv_connection *connection) {
    kv_engine *engine = engine_of(connection);
    kv_log_write(&engine->log, KV_LOG_WARNING, "Client id=%llu addr=%s closed for overcoming of output buffer limits.",
                 (unsigned long long)connection->session->id, connection->session->address);
    atomic_fetch_add_explicit(&engine->stats.output_buffer_limit_disconnects, 1, memory_order_relaxed);
    kill_connection(connection);
}

/* Before sending: the hard limit is about what a client makes the server gather, whatever the kernel would take of it. */
static void check_hard_limit(kv_connection *connection) {
    size_t unsent = connection->out.len - connection->out_sent + kv_long_reply_bytes(connection->session);
    if (unsent < OUT_KEEP || !connection->session->authenticated) return;
    int64_t limits[3];
    output_limits(connection, limits);
    if (limits[0] > 0 && unsent > (size_t)limits[0]) close_over_limit(connection);
}

static void check_output(kv_connection *connection) {
    size_t unsent = connection->out.len - connection->out_sent;
    if (unsent <= PREAUTH_OUTPUT && connection->soft_since_ms == 0) return;
    int64_t limits[3];
    bool over;
    if (!connection->session->authenticated) {
        over = unsent > PREAUTH_OUTPUT;
    } else {
        if (unsent < OUT_KEEP && connection->soft_since_ms == 0) return;
        output_limits(connection, limits);
        over = limits[0] > 0 && unsent > (size_t)limits[0];
        bool soft = limits[1] > 0 && unsent > (size_t)limits[1];
        if (!soft) connection->soft_since_ms = 0;
        else if (connection->soft_since_ms == 0) connection->soft_since_ms = connection->loop->now_ms;
        else over |= connection->loop->now_ms - connection->soft_since_ms > limits[2] * 1000;
    }
    if (over) close_over_limit(connection);
}

/* The end of a turn: send, and decide whether the connection lives on. */
static void settle(kv_connection *connection) {
    if (connection->dead) return;
    kv_session *session = connection->session;
    if (session->close_now) { /* what was gathered for it is not sent */
        kill_connection(connection);
        return;
    }
    check_hard_limit(connection);
    if (connection->dead) return;
    flush(connection);
    check_output(connection);
    if (connection->held_back && connection->out.len - connection->out_sent <= FLUSH_AT && !connection->dead) {
        connection->held_back = false;
        kv_loop_make_ready(connection->loop, connection);
    }
    bool sent = connection->out.len == 0;
    if (atomic_load_explicit(&session->killed, memory_order_relaxed) || connection->out.failed) kill_connection(connection);
    else if (sent && (session->closing || (connection->input_ended && !connection->blocked && !connection->is_ready)))
        kill_connection(connection);
    if (connection->dead) return;
    atomic_store_explicit(&connection->shown_in, connection->in.len, memory_order_relaxed);
    atomic_store_explicit(&connection->shown_out, connection->out.len - connection->out_sent, memory_order_relaxed);
    atomic_store_explicit(&connection->shown_writing, !sent, memory_order_relaxed);
    return_buffers(connection);
    count_memory(connection, memory_of(connection));
    watch(connection);
}

/* ---- running ---- */

static void set_blocked(kv_connection *connection, bool blocked, bool paused) {
    connection->blocked = blocked;
    kv_loop_set_paused(connection->loop, connection, paused);
    kv_loop_set_waiting(connection->loop, connection, blocked || paused);
}

static void protocol_error(kv_connection *connection) {
    kv_reply reply = kv_reply_to(&connection->out, connection->session->format);
    kv_reply_error(&reply, connection->request.error);
    kv_log_write(&engine_of(connection)->log, KV_LOG_VERBOSE, "Protocol error from client %s: %s", connection->session->address,
                 connection->request.error);
    connection->session->closing = true; /* run_turn reads nothing more of it */
}

/* Nothing that arrives behind QUIT or behind a protocol error is ever looked at. */
static bool is_closing(const kv_connection *connection) {
    const kv_session *session = connection->session;
    return connection->dead || session->close_now || atomic_load_explicit(&session->closing, memory_order_relaxed) ||
           atomic_load_explicit(&session->killed, memory_order_relaxed);
}

/* A browser or another program that speaks HTTP to the port: its body could hold commands. */
static bool is_cross_protocol(const kv_slice *argv) { return kv_slice_is(argv[0], "host:") || kv_slice_is(argv[0], "post"); }

static void drop_consumed(kv_connection *connection) {
    size_t keep_from = kv_request_needed_from(&connection->request);
    if (keep_from == 0) return;
    if (keep_from < connection->in.len && keep_from < connection->in.len / 2) return; /* moving costs more than it frees */
    kv_buf_drop_front(&connection->in, keep_from);
    kv_request_dropped(&connection->request, keep_from);
}

static void too_much_input(kv_connection *connection) {
    kv_engine *engine = engine_of(connection);
    kv_log_write(&engine->log, KV_LOG_WARNING, "Closing client that reached max query buffer length: id=%llu addr=%s",
                 (unsigned long long)connection->session->id, connection->session->address);
    atomic_fetch_add_explicit(&engine->stats.query_buffer_limit_disconnects, 1, memory_order_relaxed);
    kill_connection(connection);
}

/* A command that arrived within one read counts like one that arrived in pieces. */
static bool is_too_big(kv_connection *connection) {
    const kv_request *request = &connection->request;
    if (request->is_inline || request->argc == 0) return false;
    size_t bytes = request->pos - request->spans[0].at;
    return bytes > BYTES_A_READ && bytes > (size_t)kv_setting(&engine_of(connection)->settings, KV_CFG_CLIENT_QUERY_BUFFER_LIMIT);
}

/* Parses the commands that are there, as many as a batch takes, and looks at their keys together: the cache misses overlap. */
static void look_ahead(kv_connection *connection, const kv_request_limits *limits) {
    _Static_assert(KV_AHEAD <= KV_BATCH, "a hint for each");
    kv_ahead *ahead = &connection->loop->ahead;
    kv_slice keys[KV_AHEAD];
    size_t count = 0;
    kv_ahead_look(ahead, &connection->request, kv_buf_slice(&connection->in), limits);
    for (unsigned i = 0; i < ahead->count; i++)
        if (ahead->first[i + 1] - ahead->first[i] > 1) keys[count++] = ahead->words[ahead->first[i] + 1];
    if (count > 1) kv_prefetch(connection->session, keys, count, connection->loop->hints);
}

/* The next complete command of any kind. False: there is none, or the connection has to go. */
static bool parse_one(kv_connection *connection, const kv_request_limits *limits) {
    switch (kv_request_next(&connection->request, kv_buf_slice(&connection->in), limits)) {
    case KV_REQUEST_MORE: return false;
    case KV_REQUEST_NO_MEMORY: connection->session->close_now = true; return false;
    case KV_REQUEST_ERROR: protocol_error(connection); return false;
    case KV_REQUEST_COMMAND: break;
    }
    if (is_too_big(connection)) {
        too_much_input(connection);
        return false;
    }
    return true;
}

/* The same, from those that were parsed ahead as long as there are any. */
static bool next_command(kv_connection *connection, int *argc, const kv_slice **argv) {
    kv_request *request = &connection->request;
    kv_ahead *ahead = &connection->loop->ahead;
    bool authenticated = connection->session->authenticated; /* who is not, any more, is under other limits */
    if (kv_ahead_is_empty(ahead) || !authenticated) {
        int64_t max_bulk = kv_setting(&engine_of(connection)->settings, KV_CFG_PROTO_MAX_BULK_LEN);
        kv_request_limits limits = {.max_bulk = max_bulk, .authenticated = authenticated};
        look_ahead(connection, &limits);
        if (kv_ahead_is_empty(ahead)) {
            if (!parse_one(connection, &limits)) return false;
            *argc = request->argc;
            *argv = request->argv;
            return true;
        }
    }
    *argc = kv_ahead_take(ahead, request, argv);
    return true;
}

static kv_outcome execute(kv_connection *connection, int argc, const kv_slice *argv) {
    kv_session *session = connection->session;
    const kv_command *command = kv_command_recall(&connection->loop->memo, session->engine->commands, argv[0]);
    if (command != NULL) return kv_execute_as(session, command, argc, argv, &connection->out);
    if (!is_cross_protocol(argv)) return kv_execute(session, argc, argv, &connection->out);
    kv_log_write(&engine_of(connection)->log, KV_LOG_WARNING,
                 "Possible SECURITY ATTACK detected. Something speaks HTTP to this port. Connection from %s aborted.", session->address);
    session->close_now = true;
    return KV_OUTCOME_DONE;
}

/* False: the turn is over (nothing complete, blocked, closing). */
static bool run_one(kv_connection *connection) {
    kv_session *session = connection->session;
    kv_request *request = &connection->request;
    kv_request_place before = kv_request_here(request);
    const kv_slice *argv;
    int argc;
    if (!next_command(connection, &argc, &argv)) return false;
    /* What this client was told before its command ran stands before the reply: a cache that has read the reply knows what had changed by then. */
    if (atomic_load_explicit(&session->mail_len, memory_order_acquire) > 0) kv_session_drain(session, &connection->out);
    kv_outcome outcome = execute(connection, argc, argv);
    if (outcome == KV_OUTCOME_PAUSED) {
        kv_request_back(request, before); /* it runs from the start when the pause is over */
        set_blocked(connection, false, true);
        return false;
    }
    if (outcome == KV_OUTCOME_AGAIN) {
        kv_request_back(request, before);
        kv_loop_make_ready(connection->loop, connection);
        return false;
    }
    if (outcome == KV_OUTCOME_MORE) {
        kv_loop_make_ready(connection->loop, connection);
        return false; /* and no mail in the middle of the reply */
    }
    if (outcome == KV_OUTCOME_BLOCKED) {
        set_blocked(connection, true, false);
        if (!kv_session_block_ended(session)) return false;
        set_blocked(connection, false, false); /* served between the unlock and here */
    }
    if (atomic_load_explicit(&session->mail_len, memory_order_acquire) > 0) kv_session_drain(session, &connection->out);
    return true;
}

/* The next slice of a long reply, when the client has read most of what it was sent. False: there is more to come. */
static bool continue_reply(kv_connection *connection) {
    kv_session *session = connection->session;
    if (session->long_reply == NULL) return true;
    if (connection->out.len - connection->out_sent > FLUSH_AT)
        connection->held_back = true; /* settle() goes on when it has sent most of it */
    if (connection->held_back) return false;
    if (kv_long_reply_more(session, &connection->out) == KV_OUTCOME_MORE) {
        kv_loop_make_ready(connection->loop, connection);
        return false;
    }
    if (atomic_load_explicit(&session->mail_len, memory_order_acquire) > 0) kv_session_drain(session, &connection->out);
    return true;
}

static void run_turn(kv_connection *connection) {
    kv_session *session = connection->session;
    if (!is_closing(connection) && !continue_reply(connection)) return;
    int left = COMMANDS_A_TURN;
    while (left > 0 && !connection->blocked && !connection->paused && !connection->held_back && !is_closing(connection)) {
        if (!run_one(connection)) break;
        left--;
        if (connection->out.len - connection->out_sent > FLUSH_AT) {
            check_hard_limit(connection);
            if (connection->dead) break;
            flush(connection);
            check_output(connection);
            connection->held_back = connection->out.len - connection->out_sent > HOLD_BACK_AT; /* until settle() has sent most of it */
        }
    }
    session->hint_count = 0; /* the bytes that they point at may move now */
    kv_ahead_drop(&connection->loop->ahead);
    if (left < COMMANDS_A_TURN || connection->blocked || session->long_reply != NULL) {
        kv_clock *clock = &engine_of(connection)->clock;
        atomic_store_explicit(&session->last_command_ms, kv_clock_ms_at(clock, kv_clock_ticks(clock)), memory_order_relaxed);
        connection->since_ms = connection->loop->now_ms;
    }
    if (is_closing(connection)) {
        connection->in.len = 0;
        return;
    }
    drop_consumed(connection);
    if (left == 0 && connection->in.len > 0) kv_loop_make_ready(connection->loop, connection);
}

void kv_connection_continue(kv_connection *connection) {
    if (connection->dead) return;
    borrow_buffers(connection);
    run_turn(connection);
    settle(connection);
}

/* Room for a read. A big word gets what it still needs, as far as bytes have arrived for it: never a buffer of twice its length. */
static bool make_room(kv_connection *connection) {
    kv_buf *in = &connection->in;
    const kv_request *request = &connection->request;
    size_t missing = kv_request_missing(request, in->len);
    if (missing == 0 || request->bulk_len < BIG_WORD) return kv_buf_reserve(in, BYTES_A_READ);
    size_t room = in->cap - in->len, step = in->len < BYTES_A_READ ? BYTES_A_READ : in->len;
    if (room >= (missing < BYTES_A_READ ? missing : BYTES_A_READ)) return true;
    return missing <= step ? kv_buf_grow_exactly(in, missing) : kv_buf_reserve(in, BYTES_A_READ);
}

void kv_connection_readable(kv_connection *connection) {
    if (connection->dead) return;
    kv_engine *engine = engine_of(connection);
    borrow_buffers(connection);
    if (!make_room(connection)) {
        kill_connection(connection);
        return;
    }
    ssize_t n = recv(connection->fd, connection->in.ptr + connection->in.len, connection->in.cap - connection->in.len, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != EWOULDBLOCK) kill_connection(connection);
        else settle(connection);
        return;
    }
    if (n == 0) {
        connection->input_ended = true;
        if (connection->blocked) kill_connection(connection); /* nobody is left to take the element */
        else settle(connection);
        return;
    }
    connection->in.len += (size_t)n;
    connection->active_ms = connection->loop->now_ms;
    atomic_fetch_add_explicit(&connection->session->bytes_in, (uint64_t)n, memory_order_relaxed);
    atomic_fetch_add_explicit(&engine->stats.net_input, (uint64_t)n, memory_order_relaxed);
    atomic_fetch_add_explicit(&engine->stats.reads_processed, 1, memory_order_relaxed);
    run_turn(connection);
    if (!connection->dead && connection->in.len > (size_t)kv_setting(&engine->settings, KV_CFG_CLIENT_QUERY_BUFFER_LIMIT))
        too_much_input(connection);
    settle(connection);
}

void kv_connection_writable(kv_connection *connection) {
    if (connection->dead) return;
    atomic_fetch_add_explicit(&engine_of(connection)->stats.writes_processed, 1, memory_order_relaxed);
    settle(connection);
}

void kv_connection_woken(kv_connection *connection) {
    if (connection->dead) return;
    kv_session *session = connection->session;
    if (atomic_load_explicit(&session->killed, memory_order_relaxed)) {
        kill_connection(connection);
        return;
    }
    borrow_buffers(connection);
    if (connection->paused) connection->loop->look_at_waiting = true; /* the pause may be over */
    bool resumed = connection->blocked && kv_session_block_ended(session);
    if (session->long_reply == NULL) kv_session_drain(session, &connection->out); /* else when that is complete */
    if (resumed) {
        set_blocked(connection, false, false);
        run_turn(connection);
    }
    settle(connection);
}

void kv_connection_tick(kv_connection *connection, int64_t now_ms) {
    if (connection->dead) return;
    kv_engine *engine = engine_of(connection);
    kv_session *session = connection->session;
    int64_t timeout_s = kv_setting(&engine->settings, KV_CFG_TIMEOUT);
    bool idle_is_normal = connection->blocked || session->monitor || kv_pubsub_count(session) + kv_pubsub_shard_count(session) > 0;
    if (timeout_s > 0 && !idle_is_normal && now_ms - connection->active_ms > timeout_s * 1000) {
        kv_log_write(&engine->log, KV_LOG_VERBOSE, "Closing idle client");
        kill_connection(connection);
    } else if (!session->authenticated && now_ms - connection->since_ms > PREAUTH_DEADLINE_MS) {
        kill_connection(connection);
    } else if (connection->soft_since_ms != 0) {
        check_output(connection);
    }
}
