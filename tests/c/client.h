/* A client for the C tests: commands as one line of text, replies as RESP2 text with "|" for each CR LF. */
#ifndef KV_TESTS_CLIENT_H
#define KV_TESTS_CLIENT_H

#include <stdarg.h>
#include <string.h>

#include "api/kvcore.h"
#include "check.h"
#include "engine/engine.h"

enum { CLIENT_WORDS = 64, CLIENT_TEXT = 4096 };

typedef struct client {
    kvcore_client *client;
    char reply[CLIENT_TEXT];
} client;

static inline kvcore_store *store_open(const char *config) {
    char error[256] = "";
    kvcore_store *store = kvcore_open(config, strlen(config), 1, error, sizeof error);
    if (store == NULL) fprintf(stderr, "cannot open a store: %s\n", error);
    CHECK(store != NULL);
    return store;
}

/* Grows with every unit that changes something, and only then: the sum of what the shards were numbered with. */
static inline uint64_t client_writes(kvcore_store *store) {
    kv_store *all = &kvcore_store_engine(store)->store;
    uint64_t sum = 0;
    for (unsigned i = 0; i < all->shard_count; i++) {
        kv_mutex_lock(&all->shards[i].lock); /* the background thread may be at work */
        sum += all->shards[i].last_write_seq;
        kv_mutex_unlock(&all->shards[i].lock);
    }
    return sum;
}

static inline client client_open(kvcore_store *store) {
    client c = {.client = kvcore_connect(store, 0)};
    CHECK(c.client != NULL);
    return c;
}

static inline void client_close(client *c) {
    kvcore_disconnect(c->client);
    c->client = NULL;
}

static inline void client_show(char *out, const char *bytes, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < CLIENT_TEXT; i++) {
        if (bytes[i] == '\r') continue;
        out[n++] = bytes[i] == '\n' ? '|' : bytes[i];
    }
    out[n] = 0;
}

/* Takes the reply of the last command, also after kvcore_wait. */
static inline const char *client_reply(client *c) {
    size_t len;
    const char *bytes = kvcore_reply(c->client, &len);
    client_show(c->reply, bytes, len);
    return c->reply;
}

/* What came unasked. */
static inline const char *client_mail(client *c) {
    size_t len;
    const char *bytes = kvcore_mail(c->client, &len);
    client_show(c->reply, bytes, len);
    return c->reply;
}

/* Runs words that spaces divide. The outcome of kvcore_run. */
static inline int client_send(client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline int client_send(client *c, const char *format, ...) {
    char text[CLIENT_TEXT];
    const char *words[CLIENT_WORDS];
    size_t lengths[CLIENT_WORDS];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    CHECK(len >= 0 && (size_t)len < sizeof text);
    int count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        CHECK(count < CLIENT_WORDS);
        words[count] = word;
        lengths[count++] = strlen(word);
    }
    return kvcore_run(c->client, count, words, lengths);
}

/* Runs a command that ends at once and compares its reply; `what` NULL: any. */
#define RUN(c, what, ...)                                                                                 \
    do {                                                                                                  \
        CHECK(client_send((c), __VA_ARGS__) == KVCORE_DONE);                                              \
        const char *wanted_reply_ = (what), *got_reply_ = client_reply(c);                                \
        if (wanted_reply_ != NULL && strcmp(got_reply_, wanted_reply_) != 0) {                            \
            fprintf(stderr, "%s:%d: wanted %s, got %s\n", __FILE__, __LINE__, wanted_reply_, got_reply_); \
            exit(1);                                                                                      \
        }                                                                                                 \
    } while (0)

#define BLOCKS(c, ...) CHECK(client_send((c), __VA_ARGS__) == KVCORE_BLOCKED)

/* A blocked command has ended, or ends within two seconds, with this reply. */
#define SERVED(c, what)                                                                            \
    do {                                                                                           \
        CHECK(kvcore_wait((c)->client, 2000) == KVCORE_DONE);                                      \
        const char *got_reply_ = client_reply(c);                                                  \
        if (strcmp(got_reply_, (what)) != 0) {                                                     \
            fprintf(stderr, "%s:%d: wanted %s, got %s\n", __FILE__, __LINE__, (what), got_reply_); \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define WAITS(c) CHECK(kvcore_wait((c)->client, 0) == KVCORE_BLOCKED)

#endif
