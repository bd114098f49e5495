/* Listening sockets.
 *
 * `bind` names addresses; one that begins with '-' may be missing on this machine. "*" and "::*" stand for all addresses of a family. The unix socket
 * is made under a name of its own, gets its final mode there, and only then its real name: nobody can connect while the mode is wrong.
 *
 * Changing `port` or `bind` while the server runs: a new set of sockets is opened beside the old one, sockets of addresses that are in both are taken over,
 * and when all are open they take their places in the table and the others are closed. Only where the old ones are in the way of the new ones
 * (0.0.0.0 after 127.0.0.1 on one port) are they closed first, and opened again when it was in vain. A slot of the table may be used anew while the
 * first loop still has an event of its former socket: it then finds nobody to accept.
 *
 * Accepting: limits and protected mode are checked before a session exists, so that a refused client costs one write. */
#include "net/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/errors.h"
#include "net/server_private.h"

/* ---- opening ---- */

/* A set of TCP sockets that is being made. */
typedef struct opening {
    kv_engine *engine;
    kv_listener old[KV_LISTENERS_MAX]; /* sockets to take over where the address is the same */
    kv_listener found[KV_BIND_MAX];
    bool taken[KV_BIND_MAX]; /* over from `old` */
    unsigned count;
    int port;
    bool in_use; /* it failed because somebody listens on an address, perhaps this server */
    kv_buf *error;
} opening;

/* A listening TCP socket; -1 with errno. */
static int open_tcp(const struct sockaddr *address, socklen_t len, int backlog) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1;
    if (fd < 0) return -1;
    if (address->sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, address, len) == 0 && listen(fd, backlog) == 0) return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int backlog_of(const kv_engine *engine) { return (int)kv_setting(&engine->settings, KV_CFG_TCP_BACKLOG); }

static int port_of(int fd) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0) return 0;
    if (address.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
    return ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port);
}

static bool same_address(const kv_listener *listener, const struct sockaddr_storage *address) {
    if (!listener->is_open || listener->is_unix || listener->address.ss_family != address->ss_family) return false;
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)&listener->address, *b = (const void *)address;
        return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *a = (const void *)&listener->address, *b = (const void *)address;
    return a->sin6_port == b->sin6_port && a->sin6_scope_id == b->sin6_scope_id && memcmp(&a->sin6_addr, &b->sin6_addr, 16) == 0;
}

/* The old socket of this address, unless it is part of the new set already. */
static int old_socket(const opening *set, const struct sockaddr_storage *address) {
    for (unsigned i = 0; i < set->count; i++)
        if (same_address(&set->found[i], address)) return -1;
    for (unsigned i = 0; i < KV_LISTENERS_MAX; i++)
        if (same_address(&set->old[i], address)) return set->old[i].fd;
    return -1;
}

/* One word of `bind`. With port 0 the first address picks a port and the others use the same. */
static kv_status open_address(opening *set, const char *word) {
    bool optional = word[0] == '-';
    const char *host = optional ? word + 1 : word;
    if (strcmp(host, "*") == 0) host = "0.0.0.0";
    else if (strcmp(host, "::*") == 0) host = "::";
    char service[16];
    snprintf(service, sizeof service, "%d", set->port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    int failed = getaddrinfo(host, service, &hints, &found);
    if (failed != 0) {
        if (optional) return KV_OK;
        kv_buf_printf(set->error, "cannot resolve the address '%s' of 'bind': %s", host, gai_strerror(failed));
        return KV_EINVAL;
    }
    kv_listener *listener = &set->found[set->count];
    *listener = (kv_listener){.is_open = true, .address_len = found->ai_addrlen};
    memcpy(&listener->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    listener->fd = old_socket(set, &listener->address);
    set->taken[set->count] = listener->fd >= 0;
    if (listener->fd < 0) listener->fd = open_tcp((struct sockaddr *)&listener->address, listener->address_len, backlog_of(set->engine));
    if (listener->fd < 0) {
        bool missing = errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT || errno == ENOPROTOOPT || errno == EPROTONOSUPPORT;
        if (optional && missing) return KV_OK;
        set->in_use |= errno == EADDRINUSE;
        kv_buf_printf(set->error, "cannot listen on %s port %s: %s", host, service, strerror(errno));
        return KV_EIO;
    }
    if (set->port == 0) {
        set->port = port_of(listener->fd);
        getsockname(listener->fd, (struct sockaddr *)&listener->address, &listener->address_len);
    }
    set->count++;
    return KV_OK;
}

static void close_new(opening *set) {
    for (unsigned i = 0; i < set->count; i++)
        if (!set->taken[i]) close(set->found[i].fd);
    set->count = 0;
}

/* All addresses of `bind`; when one cannot be opened, none. */
static kv_status open_tcp_all(opening *set) {
    kv_buf words;
    kv_buf_init(&words, &set->engine->mem);
    kv_setting_text(&set->engine->settings, KV_CFG_BIND, &words);
    kv_buf_add_byte(&words, 0);
    kv_status status = words.failed ? KV_ENOMEM : KV_OK;
    char *rest = NULL;
    char *word = words.failed ? NULL : strtok_r((char *)words.ptr, " ", &rest);
    for (; word != NULL && status == KV_OK; word = strtok_r(NULL, " ", &rest))
        if (strcmp(word, "\"\"") != 0) status = open_address(set, word);
    kv_buf_deinit(&words);
    if (status != KV_OK) close_new(set);
    return status;
}

static kv_listener *free_slot(kv_listeners *listeners) {
    kv_listener *slot = listeners->all;
    while (slot->is_open) slot++; /* KV_LISTENERS_MAX has room for all that there can be */
    return slot;
}

/* -1: no group asked for; errno ENOENT and false: there is no such group. */
static bool group_id(kv_engine *engine, gid_t *gid) {
    kv_buf name;
    kv_buf_init(&name, &engine->mem);
    kv_setting_text(&engine->settings, KV_CFG_UNIXSOCKETGROUP, &name);
    kv_buf_add_byte(&name, 0);
    *gid = (gid_t)-1;
    bool found = !name.failed;
    if (found && name.len > 1) {
        const struct group *group = getgrnam((const char *)name.ptr);
        found = group != NULL;
        if (found) *gid = group->gr_gid;
        else errno = ENOENT;
    }
    kv_buf_deinit(&name);
    return found;
}

static int bind_unix(const char *path, mode_t mode, gid_t gid, int backlog) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char temporary[sizeof address.sun_path];
    int len = snprintf(temporary, sizeof temporary, "%s.%d", path, (int)getpid());
    if (len < 0 || (size_t)len >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, temporary, (size_t)len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    /* Nobody can connect before listen(), and the public name appears last. */
    unlink(temporary);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && chmod(temporary, mode) == 0 &&
        (gid == (gid_t)-1 || chown(temporary, (uid_t)-1, gid) == 0) && listen(fd, backlog) == 0 && rename(temporary, path) == 0)
        return fd;
    int saved = errno;
    unlink(temporary);
    close(fd);
    errno = saved;
    return -1;
}

static kv_status open_unix(kv_listeners *listeners, kv_engine *engine, kv_buf *error) {
    kv_buf path;
    kv_buf_init(&path, &engine->mem);
    kv_setting_text(&engine->settings, KV_CFG_UNIXSOCKET, &path);
    kv_status status = KV_OK;
    if (path.len >= sizeof listeners->unix_path - 12) {
        kv_buf_printf(error, "the unix socket's path is too long (%zu bytes, at most %zu): choose a shorter one", path.len,
                      sizeof listeners->unix_path - 13);
        status = KV_EINVAL;
    } else if (path.len > 0) {
        kv_buf_add_byte(&path, 0);
        int64_t perm = kv_setting(&engine->settings, KV_CFG_UNIXSOCKETPERM);
        gid_t gid;
        bool known = !path.failed && group_id(engine, &gid);
        int fd = known ? bind_unix((const char *)path.ptr, perm == 0 ? 0700 : (mode_t)perm, gid, backlog_of(engine)) : -1;
        if (fd < 0) {
            kv_buf_printf(error, "cannot listen on the unix socket %s: %s", (const char *)path.ptr, strerror(errno));
            status = KV_EIO;
        } else {
            memcpy(listeners->unix_path, path.ptr, path.len);
            *free_slot(listeners) = (kv_listener){.is_open = true, .is_unix = true, .fd = fd};
        }
    }
    kv_buf_deinit(&path);
    return status;
}

/* A program's own store asks with port 0 for any free port; in valkey.conf 0 means no TCP. */
static bool wants_any_port(const kv_engine *engine) { return engine->any_port && kv_setting(&engine->settings, KV_CFG_PORT) == 0; }

kv_status kv_listeners_open(kv_listeners *listeners, kv_engine *engine, kv_buf *error) {
    opening set = {.engine = engine, .port = (int)kv_setting(&engine->settings, KV_CFG_PORT), .error = error};
    *listeners = (kv_listeners){.any_port = wants_any_port(engine)};
    kv_status status = set.port > 0 || listeners->any_port ? open_tcp_all(&set) : KV_OK;
    if (status != KV_OK) return status;
    for (unsigned i = 0; i < set.count; i++) listeners->all[i] = set.found[i];
    listeners->port = set.port;
    status = open_unix(listeners, engine, error);
    if (status == KV_OK && set.count == 0 && listeners->unix_path[0] == 0) {
        kv_buf_printf(error, "nothing to listen on: set 'port' or 'unixsocket'");
        status = KV_EINVAL;
    }
    if (status != KV_OK) kv_listeners_close(listeners);
    return status;
}

/* No connection comes in any more when this returns. close() alone would leave that to whoever is the last to hold the file: another thread in
 * the middle of a system call, or a forked child. */
static void stop_listening(int fd) {
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

void kv_listeners_close(kv_listeners *listeners) {
    for (unsigned i = 0; i < KV_LISTENERS_MAX; i++) {
        if (listeners->all[i].is_open) stop_listening(listeners->all[i].fd);
        listeners->all[i].is_open = false;
    }
    if (listeners->unix_path[0] != 0) unlink(listeners->unix_path);
    listeners->unix_path[0] = 0;
}

/* ---- accepting ---- */

static bool watch(int epoll_fd, kv_listener *slot) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = slot};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, slot->fd, &event) == 0 || errno == EEXIST;
}

kv_status kv_listen_watch(kv_loop *loop) {
    kv_server *server = loop->server;
    kv_status status = KV_OK;
    kv_mutex_lock(&server->lock);
    for (unsigned i = 0; i < KV_LISTENERS_MAX; i++) {
        kv_listener *slot = &server->listeners.all[i];
        if (slot->is_open && !watch(loop->epoll_fd, slot)) status = KV_EIO;
    }
    kv_mutex_unlock(&server->lock);
    return status;
}

static void stop_watching(kv_loop *loop) {
    kv_server *server = loop->server;
    kv_mutex_lock(&server->lock);
    for (unsigned i = 0; i < KV_LISTENERS_MAX; i++)
        if (server->listeners.all[i].is_open) epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, server->listeners.all[i].fd, NULL);
    kv_mutex_unlock(&server->lock);
}

bool kv_listen_is_listener(const kv_loop *loop, const void *who) {
    const kv_listener *all = loop->server->listeners.all;
    return (const kv_listener *)who >= all && (const kv_listener *)who < all + KV_LISTENERS_MAX;
}

static void name_of(const struct sockaddr_storage *address, char *out, size_t cap) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(out, cap, "%s:%d", host, ntohs(v4->sin_port));
    } else {
        const struct sockaddr_in6 *v6 = (const void *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) snprintf(out, cap, "%s:%d", host + 7, ntohs(v6->sin6_port));
        else snprintf(out, cap, "[%s]:%d", host, ntohs(v6->sin6_port));
    }
}

static bool is_loopback(const char *address) { return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]", 5) == 0; }

static void refuse(kv_engine *engine, int fd, const char *text) {
    ssize_t n = send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT); /* as far as it goes: the client is not wanted */
    (void)n;
    close(fd);
    atomic_fetch_add_explicit(&engine->stats.rejected_connections, 1, memory_order_relaxed);
}

/* Protected mode: without a password only this machine gets in. */
static bool is_protected(kv_engine *engine, const char *address) {
    if (kv_setting(&engine->settings, KV_CFG_PROTECTED_MODE) == 0 || is_loopback(address)) return false;
    kv_buf password;
    kv_buf_init(&password, &engine->mem);
    kv_setting_text(&engine->settings, KV_CFG_REQUIREPASS, &password);
    bool open = password.len == 0;
    kv_buf_deinit(&password);
    return open;
}

static void set_tcp_options(kv_engine *engine, int fd) {
    int yes = 1, idle = (int)kv_setting(&engine->settings, KV_CFG_TCP_KEEPALIVE);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (idle <= 0) return;
    int interval = idle / 3 > 0 ? idle / 3 : 1, count = 3;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static void admit(kv_server *server, bool is_unix, int fd, const struct sockaddr_storage *peer) {
    kv_engine *engine = server->engine;
    char address[128], local[128];
    if (is_unix) {
        snprintf(address, sizeof address, "%s:0", server->listeners.unix_path);
        memcpy(local, address, sizeof local);
    } else {
        struct sockaddr_storage own;
        socklen_t len = sizeof own;
        name_of(peer, address, sizeof address);
        if (getsockname(fd, (struct sockaddr *)&own, &len) == 0) name_of(&own, local, sizeof local);
        else snprintf(local, sizeof local, "?:0");
        set_tcp_options(engine, fd);
    }
    if ((int64_t)kv_server_connections(server) >= kv_setting(&engine->settings, KV_CFG_MAXCLIENTS))
        refuse(engine, fd, "-" KV_ERR_MAX_CLIENTS "\r\n");
    else if (!is_unix && is_protected(engine, address))
        refuse(engine, fd,
               "-DENIED kvcore is in protected mode: it has no password, so only clients on this machine may connect. Either set a "
               "password with "
               "'requirepass', or switch the mode off with 'protected-mode no' if the network in front of this port is trusted.\r\n");
    else if (!kv_loop_hand_over(kv_server_least_loaded(server), fd, address, local)) close(fd);
}

/* One connection of a slot; -1 with errno. Another thread may be closing the socket. */
static int accept_one(kv_server *server, const kv_listener *slot, struct sockaddr_storage *peer, bool *is_unix) {
    socklen_t len = sizeof *peer;
    *peer = (struct sockaddr_storage){0};
    kv_mutex_lock(&server->lock);
    int fd = -1;
    errno = EAGAIN;
    if (slot->is_open) fd = accept4(slot->fd, (struct sockaddr *)peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    *is_unix = slot->is_unix;
    int saved = errno;
    kv_mutex_unlock(&server->lock);
    errno = saved;
    return fd;
}

void kv_listen_accept(kv_loop *loop, void *who) {
    int64_t most = kv_setting(&loop->engine->settings, KV_CFG_MAX_NEW_CONNECTIONS_PER_CYCLE);
    for (int64_t i = 0; i < most; i++) {
        struct sockaddr_storage peer;
        bool is_unix;
        int fd = accept_one(loop->server, who, &peer, &is_unix);
        if (fd >= 0) {
            admit(loop->server, is_unix, fd, &peer);
        } else if (errno == ECONNABORTED || errno == EINTR) {
            continue; /* that client is gone; the next one is not */
        } else {
            if (errno == EAGAIN || errno == EWOULDBLOCK) return;
            /* Out of descriptors or memory: watching on would spin. The others are served; accepting goes on at the next tick. */
            kv_log_write(&loop->engine->log, KV_LOG_WARNING, "Accepting client connection: %s", strerror(errno));
            stop_watching(loop);
            loop->server->listeners.paused = true;
            return;
        }
    }
}

void kv_listen_tick(kv_loop *loop) {
    if (loop->index != 0 || !loop->server->listeners.paused) return;
    loop->server->listeners.paused = kv_listen_watch(loop) != KV_OK;
}

/* ---- changing while the server runs ---- */

/* Whoever connected to a socket that goes is a client already, accepted or not. */
static void retire(kv_server *server, const kv_listener *listener) {
    for (int i = 0; i < backlog_of(server->engine); i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        int fd = accept4(listener->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) admit(server, false, fd, &peer);
        else if (errno != ECONNABORTED && errno != EINTR) break;
    }
    stop_listening(listener->fd);
}

static bool is_kept(const opening *set, const kv_listener *slot) {
    for (unsigned i = 0; i < set->count; i++)
        if (set->taken[i] && set->found[i].fd == slot->fd) return true;
    return false;
}

/* The set takes its places in the table; what it replaces is left in `gone`, not watched any more and still open. False: nothing has changed. */
static bool install(kv_server *server, const opening *set, kv_listener *gone, unsigned *gone_count) {
    kv_listeners *listeners = &server->listeners;
    kv_listener *placed[KV_BIND_MAX];
    unsigned count = 0;
    bool good = true;
    *gone_count = 0;
    kv_mutex_lock(&server->lock);
    int epoll_fd = server->closing ? -1 : server->loops[0]->epoll_fd;
    for (unsigned i = 0; good && i < set->count && !server->closing; i++) {
        if (set->taken[i]) continue;
        placed[count] = free_slot(listeners);
        *placed[count] = set->found[i];
        good = watch(epoll_fd, placed[count++]);
    }
    for (unsigned i = 0; !good && i < count; i++) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, placed[i]->fd, NULL);
        placed[i]->is_open = false;
    }
    good &= !server->closing;
    for (unsigned i = 0; good && i < KV_LISTENERS_MAX; i++) {
        kv_listener *slot = &listeners->all[i];
        bool is_new = false;
        for (unsigned k = 0; k < count; k++) is_new |= placed[k] == slot;
        if (!slot->is_open || slot->is_unix || is_new || is_kept(set, slot)) continue;
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, slot->fd, NULL);
        gone[(*gone_count)++] = *slot;
        slot->is_open = false;
    }
    kv_mutex_unlock(&server->lock);
    return good;
}

/* Out of the way of new sockets on the same port: closes all TCP sockets, and says which they were. */
static unsigned make_room(kv_server *server, kv_listener *closed) {
    opening none = {.engine = server->engine};
    unsigned count = 0;
    if (!install(server, &none, closed, &count)) return 0;
    for (unsigned i = 0; i < count; i++) retire(server, &closed[i]);
    return count;
}

static void reopen(kv_server *server, const kv_listener *closed, unsigned count) {
    opening set = {.engine = server->engine};
    kv_listener gone[KV_BIND_MAX];
    for (unsigned i = 0; i < count; i++) {
        kv_listener *listener = &set.found[set.count];
        *listener = closed[i];
        listener->fd = open_tcp((const struct sockaddr *)&listener->address, listener->address_len, backlog_of(server->engine));
        if (listener->fd >= 0) set.count++;
        else kv_log_write(&server->engine->log, KV_LOG_WARNING, "An address cannot be listened on again: %s", strerror(errno));
    }
    if (!install(server, &set, gone, &count)) close_new(&set);
}

static kv_status open_beside(kv_server *server, opening *set, int port) {
    set->port = port;
    kv_mutex_lock(&server->lock);
    memcpy(set->old, server->listeners.all, sizeof set->old);
    kv_mutex_unlock(&server->lock);
    return open_tcp_all(set);
}

/* The new sockets, or KV_EIO and the old ones as they were. */
static kv_status open_anew(kv_server *server, opening *set, int port) {
    kv_status status = open_beside(server, set, port);
    if (status == KV_OK || !set->in_use || port != server->listeners.port) return status;
    kv_listener closed[KV_BIND_MAX];
    unsigned count = make_room(server, closed);
    if (count == 0) return status;
    kv_buf_clear(set->error);
    status = open_beside(server, set, port);
    if (status != KV_OK) reopen(server, closed, count);
    return status;
}

static kv_status swap(kv_server *server, opening *set, int port, bool any) {
    kv_listener gone[KV_BIND_MAX];
    unsigned gone_count = 0, fresh = 0;
    kv_status status = port > 0 || any ? open_anew(server, set, port) : KV_OK;
    if (status != KV_OK) return status;
    for (unsigned i = 0; i < set->count; i++) fresh += !set->taken[i];
    if (!install(server, set, gone, &gone_count)) {
        close_new(set);
        kv_buf_printf(set->error, "the new sockets cannot be watched: %s", strerror(errno));
        return KV_EIO;
    }
    for (unsigned i = 0; i < gone_count; i++) retire(server, &gone[i]);
    server->listeners.port = set->port;
    server->listeners.any_port = any;
    atomic_store_explicit(&server->engine->serving_port, set->port, memory_order_relaxed);
    if (fresh + gone_count == 0) return KV_OK;
    if (set->count == 0) kv_log_write(&server->engine->log, KV_LOG_NOTICE, "Listening on no TCP address any more");
    else
        kv_log_write(&server->engine->log, KV_LOG_NOTICE, "Listening on TCP port %d now, on %u address%s", set->port, set->count,
                     set->count == 1 ? "" : "es");
    return KV_OK;
}

kv_status kv_listen_change(kv_server *server, bool by_port, kv_buf *reason) {
    kv_engine *engine = server->engine;
    kv_buf error;
    kv_buf_init(&error, &engine->mem);
    bool any = wants_any_port(engine);
    int port = any && server->listeners.any_port ? server->listeners.port : (int)kv_setting(&engine->settings, KV_CFG_PORT);
    opening set = {.engine = engine, .port = port, .error = &error};
    kv_status status = swap(server, &set, port, any);
    if (status != KV_OK) {
        kv_buf_add_byte(&error, 0);
        kv_log_write(&engine->log, KV_LOG_WARNING, "Still listening where it was: %s",
                     error.failed ? "out of memory" : (const char *)error.ptr);
        kv_buf_add_slice(reason, by_port ? KV_LIT(KV_ERR_CONFIG_PORT) : KV_LIT(KV_ERR_CONFIG_BIND));
    }
    kv_buf_deinit(&error);
    return status;
}
