/* Listening sockets.
 *
 * `bind` names addresses; one that begins with '-' may be missing on this machine. "*" and "::*" stand for all addresses of a family. The unix socket
 * is made under a name of its own, gets its final mode there, and only then its real name: nobody can connect while the mode is wrong.
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

static kv_status add_listener(kv_listeners *listeners, int fd, bool is_unix, kv_buf *error) {
    if (listeners->count == KV_LISTENERS_MAX) {
        close(fd);
        kv_buf_printf(error, "too many addresses to bind (at most %d)", KV_LISTENERS_MAX);
        return KV_EINVAL;
    }
    listeners->all[listeners->count++] = (kv_listener){fd, is_unix};
    return KV_OK;
}

/* A listening TCP socket; -1 with errno. */
static int open_tcp(const struct addrinfo *address, int backlog) {
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1;
    if (fd < 0) return -1;
    if (address->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, backlog) == 0) return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int port_of(int fd) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0) return 0;
    if (address.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
    return ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port);
}

/* One word of `bind`. With port 0 the first address picks a port and the others use the same. */
static kv_status open_address(kv_listeners *listeners, kv_engine *engine, const char *word, int port, kv_buf *error) {
    bool optional = word[0] == '-';
    const char *host = optional ? word + 1 : word;
    if (strcmp(host, "*") == 0) host = "0.0.0.0";
    else if (strcmp(host, "::*") == 0) host = "::";
    char service[16];
    snprintf(service, sizeof service, "%d", listeners->port != 0 ? listeners->port : port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    int failed = getaddrinfo(host, service, &hints, &found);
    if (failed != 0) {
        kv_buf_printf(error, "cannot resolve the address '%s' of 'bind': %s", host, gai_strerror(failed));
        return optional ? KV_OK : KV_EINVAL;
    }
    int fd = open_tcp(found, (int)kv_setting(&engine->settings, KV_CFG_TCP_BACKLOG)), saved = errno;
    freeaddrinfo(found);
    if (fd < 0) {
        bool missing = saved == EADDRNOTAVAIL || saved == EAFNOSUPPORT || saved == ENOPROTOOPT || saved == EPROTONOSUPPORT;
        if (optional && missing) return KV_OK;
        kv_buf_printf(error, "cannot listen on %s port %s: %s", host, service, strerror(saved));
        return KV_EIO;
    }
    if (listeners->port == 0) listeners->port = port_of(fd);
    return add_listener(listeners, fd, false, error);
}

static kv_status open_tcp_all(kv_listeners *listeners, kv_engine *engine, int port, kv_buf *error) {
    kv_buf words;
    kv_buf_init(&words, &engine->mem);
    kv_setting_text(&engine->settings, KV_CFG_BIND, &words);
    kv_buf_add_byte(&words, 0);
    kv_status status = words.failed ? KV_ENOMEM : KV_OK;
    char *rest = NULL;
    char *word = words.failed ? NULL : strtok_r((char *)words.ptr, " ", &rest);
    for (; word != NULL && status == KV_OK; word = strtok_r(NULL, " ", &rest)) {
        if (strcmp(word, "\"\"") == 0) continue;
        status = open_address(listeners, engine, word, port, error);
    }
    kv_buf_deinit(&words);
    return status;
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
        int backlog = (int)kv_setting(&engine->settings, KV_CFG_TCP_BACKLOG);
        gid_t gid;
        bool known = !path.failed && group_id(engine, &gid);
        int fd = known ? bind_unix((const char *)path.ptr, perm == 0 ? 0700 : (mode_t)perm, gid, backlog) : -1;
        if (fd < 0) {
            kv_buf_printf(error, "cannot listen on the unix socket %s: %s", (const char *)path.ptr, strerror(errno));
            status = KV_EIO;
        } else {
            memcpy(listeners->unix_path, path.ptr, path.len);
            status = add_listener(listeners, fd, true, error);
        }
    }
    kv_buf_deinit(&path);
    return status;
}

kv_status kv_listeners_open(kv_listeners *listeners, kv_engine *engine, kv_buf *error) {
    *listeners = (kv_listeners){0};
    int64_t port = kv_setting(&engine->settings, KV_CFG_PORT);
    bool ephemeral = port == 0 && engine->any_port; /* an embedded store asks for any free port; in valkey.conf 0 means no TCP */
    kv_status status = port > 0 || ephemeral ? open_tcp_all(listeners, engine, (int)port, error) : KV_OK;
    if (status == KV_OK) status = open_unix(listeners, engine, error);
    if (status == KV_OK && listeners->count == 0) {
        kv_buf_printf(error, "nothing to listen on: set 'port' or 'unixsocket'");
        status = KV_EINVAL;
    }
    if (status != KV_OK) kv_listeners_close(listeners);
    return status;
}

void kv_listeners_close(kv_listeners *listeners) {
    for (unsigned i = 0; i < listeners->count; i++) close(listeners->all[i].fd);
    listeners->count = 0;
    if (listeners->unix_path[0] != 0) unlink(listeners->unix_path);
    listeners->unix_path[0] = 0;
}

/* ---- accepting ---- */

kv_status kv_listen_watch(kv_loop *loop) {
    kv_listeners *listeners = &loop->server->listeners;
    for (unsigned i = 0; i < listeners->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listeners->all[i]};
        if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, listeners->all[i].fd, &event) < 0 && errno != EEXIST) return KV_EIO;
    }
    return KV_OK;
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

/* With those that are still on their way to their loop, so that a burst cannot pass the limit. */
static size_t connections(const kv_server *server) {
    size_t count = 0;
    for (unsigned i = 0; i < server->loop_count; i++) count += atomic_load_explicit(&server->loops[i].count, memory_order_relaxed);
    return count;
}

static kv_loop *least_loaded(kv_server *server) {
    kv_loop *best = &server->loops[0];
    for (unsigned i = 1; i < server->loop_count; i++)
        if (atomic_load_explicit(&server->loops[i].count, memory_order_relaxed) < atomic_load_explicit(&best->count, memory_order_relaxed))
            best = &server->loops[i];
    return best;
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

static void admit(kv_loop *loop, const kv_listener *listener, int fd, const struct sockaddr_storage *peer) {
    kv_engine *engine = loop->engine;
    kv_server *server = loop->server;
    char address[128], local[128];
    if (listener->is_unix) {
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
    if ((int64_t)connections(server) >= kv_setting(&engine->settings, KV_CFG_MAXCLIENTS)) refuse(engine, fd, "-" KV_ERR_MAX_CLIENTS "\r\n");
    else if (!listener->is_unix && is_protected(engine, address))
        refuse(engine, fd,
               "-DENIED kvcore is in protected mode: it has no password, so only clients on this machine may connect. Either set a "
               "password with "
               "'requirepass', or switch the mode off with 'protected-mode no' if the network in front of this port is trusted.\r\n");
    else if (!kv_loop_hand_over(least_loaded(server), fd, address, local)) close(fd);
}

void kv_listen_accept(kv_loop *loop, void *who) {
    const kv_listener *listener = who;
    int64_t most = kv_setting(&loop->engine->settings, KV_CFG_MAX_NEW_CONNECTIONS_PER_CYCLE);
    for (int64_t i = 0; i < most; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        int fd = accept4(listener->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            admit(loop, listener, fd, &peer);
        } else if (errno == ECONNABORTED || errno == EINTR) {
            continue; /* that client is gone; the next one is not */
        } else {
            if (errno == EAGAIN || errno == EWOULDBLOCK) return;
            /* Out of descriptors or memory: watching on would spin. The others are served; accepting goes on at the next tick. */
            kv_log_write(&loop->engine->log, KV_LOG_WARNING, "Accepting client connection: %s", strerror(errno));
            kv_listeners *listeners = &loop->server->listeners;
            for (unsigned k = 0; k < listeners->count; k++) epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, listeners->all[k].fd, NULL);
            listeners->paused = true;
            return;
        }
    }
}

void kv_listen_tick(kv_loop *loop) {
    if (loop->index != 0 || !loop->server->listeners.paused) return;
    loop->server->listeners.paused = kv_listen_watch(loop) != KV_OK;
}
