/* A client's side of a connection. The socket does not block; poll() waits until the step's deadline. Bytes gather in one line's buffer, so what a hostile
 * server sends costs no memory. */
#define _GNU_SOURCE 1 /* SOCK_NONBLOCK */
#include "base/peer.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define STEP ((size_t)64 * 1024)

static uint64_t deadline_of(uint64_t timeout_ns) {
    uint64_t now = kv_mono_ns();
    return timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
}

/* False: the time is up, or poll failed. An error of the socket counts as ready: the call that follows will find it. */
static bool wait_for(int fd, short events, uint64_t deadline) {
    for (;;) {
        uint64_t now = kv_mono_ns();
        if (now >= deadline) return false;
        uint64_t left_ms = (deadline - now + 999999) / 1000000;
        struct pollfd poll_fd = {.fd = fd, .events = events};
        int ready = poll(&poll_fd, 1, left_ms > 3600000 ? 3600000 : (int)left_ms);
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return false;
    }
}

static kv_status connect_to(kv_peer *peer, const struct addrinfo *address, uint64_t deadline) {
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return KV_EIO;
    int error = 0, on = 1;
    socklen_t len = sizeof error;
    kv_status status = KV_OK;
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        if (errno != EINPROGRESS) status = KV_EIO;
        else if (!wait_for(fd, POLLOUT, deadline)) status = KV_ERANGE;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) status = KV_EIO;
    }
    if (status != KV_OK) {
        close(fd);
        return status;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer->fd = fd;
    return KV_OK;
}

kv_status kv_peer_open(kv_peer *peer, const char *host, uint16_t port, uint64_t timeout_ns) {
    peer->fd = -1;
    peer->at = peer->len = 0;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(host, service, &hints, &found) != 0) return KV_ENOTFOUND;
    uint64_t deadline = deadline_of(timeout_ns); /* for all its addresses together */
    kv_status status = KV_EIO;
    for (const struct addrinfo *at = found; at != NULL && peer->fd < 0 && status != KV_ERANGE; at = at->ai_next)
        status = connect_to(peer, at, deadline);
    freeaddrinfo(found);
    return status;
}

void kv_peer_close(kv_peer *peer) {
    if (peer->fd >= 0) close(peer->fd);
    peer->fd = -1;
}

static kv_status send_step(const kv_peer *peer, kv_slice bytes, uint64_t deadline) {
    while (bytes.len > 0) {
        ssize_t n = send(peer->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes = kv_slice_of(bytes.ptr + n, bytes.len - (size_t)n);
        } else if (n < 0 && errno != EINTR) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) return KV_EIO;
            if (!wait_for(peer->fd, POLLOUT, deadline)) return KV_EIO;
        }
    }
    return KV_OK;
}

kv_status kv_peer_send(kv_peer *peer, kv_slice bytes, uint64_t timeout_ns) {
    for (size_t at = 0; at < bytes.len; at += STEP) {
        size_t len = bytes.len - at < STEP ? bytes.len - at : STEP;
        kv_status status = send_step(peer, kv_slice_of(bytes.ptr + at, len), deadline_of(timeout_ns));
        if (status != KV_OK) return status;
    }
    return KV_OK;
}

kv_status kv_peer_line(kv_peer *peer, kv_slice *out, uint64_t timeout_ns) {
    uint64_t deadline = deadline_of(timeout_ns);
    memmove(peer->in, peer->in + peer->at, peer->len - peer->at);
    peer->len -= peer->at;
    peer->at = 0;
    for (size_t seen = 0;;) {
        const uint8_t *end = memchr(peer->in + seen, '\n', peer->len - seen);
        if (end != NULL) {
            size_t len = (size_t)(end - peer->in);
            peer->at = len + 1;
            *out = kv_slice_of(peer->in, len > 0 && peer->in[len - 1] == '\r' ? len - 1 : len);
            return KV_OK;
        }
        seen = peer->len;
        if (peer->len == sizeof peer->in || !wait_for(peer->fd, POLLIN, deadline)) return KV_EIO;
        ssize_t n = recv(peer->fd, peer->in + peer->len, sizeof peer->in - peer->len, 0);
        if (n == 0) return KV_EIO;
        if (n > 0) peer->len += (size_t)n;
        else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) return KV_EIO;
    }
}
