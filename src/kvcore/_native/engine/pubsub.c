/* Channels, patterns, shard channels.
 *
 *   channels, shard_channels: table  name -> topic(array of sessions)
 *   patterns: array of topics, matched one by one
 *   session.subscriber: the names that this session is subscribed to, so that it can leave
 *
 * Everything is guarded by one lock (rank PUBSUB). A publisher appends the message to the mailbox of each subscriber, encoded at most once a format.
 * Memory comes from an arena of its own that the lock guards, too. */
#include "engine/pubsub.h"

#include "base/glob.h"
#include "ds/table.h"
#include "engine/dispatch.h"
#include "engine/pubsub_private.h"

typedef struct kv_topic {
    kv_session **sessions;
    uint32_t count, cap;
    uint32_t len;
    uint8_t name[];
} kv_topic;

struct kv_pubsub {
    kv_engine *engine;
    kv_mutex lock;
    kv_arena *arena;
    kv_table tables[2]; /* by kv_topic_kind: channels, shard channels */
    kv_topic **patterns;
    size_t pattern_count, pattern_cap;
};

/* What a session is subscribed to; guarded by the lock, but the owner may read its own counts. */
struct kv_subscriber {
    kv_topic **topics[KV_TOPIC_KINDS];
    size_t count[KV_TOPIC_KINDS], cap[KV_TOPIC_KINDS];
    size_t topic_bytes; /* owner only */
};

static kv_slice topic_key(const void *entry) {
    const kv_topic *topic = entry;
    return kv_slice_of(topic->name, topic->len);
}

static const kv_table_type topic_type = {.key = topic_key};

struct kv_pubsub *kv_pubsub_create(kv_engine *engine) {
    struct kv_pubsub *pubsub = kv_calloc(&engine->mem, 1, sizeof *pubsub);
    if (pubsub == NULL) return NULL;
    pubsub->engine = engine;
    pubsub->arena = kv_arena_create(&engine->mem);
    if (pubsub->arena == NULL) {
        kv_free(&engine->mem, pubsub);
        return NULL;
    }
    kv_mutex_init(&pubsub->lock, KV_RANK_PUBSUB, 0);
    for (int kind = 0; kind < 2; kind++) kv_table_init(&pubsub->tables[kind], &topic_type, &engine->store.seed, pubsub->arena);
    return pubsub;
}

void kv_pubsub_destroy(struct kv_pubsub *pubsub) {
    if (pubsub == NULL) return;
    kv_mem *mem = &pubsub->engine->mem;
    kv_arena_destroy(pubsub->arena);
    kv_free(mem, pubsub->patterns);
    kv_free(mem, pubsub);
}

/* ---- topics ---- */

static uint64_t hash_of(const struct kv_pubsub *pubsub, kv_slice name) { return kv_store_hash(&pubsub->engine->store, name); }

static kv_topic *find_topic(const struct kv_pubsub *pubsub, kv_topic_kind kind, kv_slice name) {
    if (kind != KV_TOPIC_PATTERN) return kv_table_find(&pubsub->tables[kind], hash_of(pubsub, name), name);
    for (size_t i = 0; i < pubsub->pattern_count; i++)
        if (kv_slice_eq(topic_key(pubsub->patterns[i]), name)) return pubsub->patterns[i];
    return NULL;
}

static void free_topic(struct kv_pubsub *pubsub, kv_topic *topic) {
    kv_arena_free(pubsub->arena, topic->sessions, topic->cap * sizeof *topic->sessions);
    kv_arena_free(pubsub->arena, topic, sizeof *topic + topic->len);
}

static bool add_topic(struct kv_pubsub *pubsub, kv_topic_kind kind, kv_topic *topic) {
    if (kind != KV_TOPIC_PATTERN) return kv_table_insert(&pubsub->tables[kind], hash_of(pubsub, topic_key(topic)), topic) == KV_OK;
    if (pubsub->pattern_count == pubsub->pattern_cap) {
        size_t cap = pubsub->pattern_cap == 0 ? 8 : pubsub->pattern_cap * 2;
        kv_topic **patterns = kv_realloc(&pubsub->engine->mem, pubsub->patterns, cap * sizeof *patterns);
        if (patterns == NULL) return false;
        pubsub->patterns = patterns;
        pubsub->pattern_cap = cap;
    }
    pubsub->patterns[pubsub->pattern_count++] = topic;
    return true;
}

static void drop_topic(struct kv_pubsub *pubsub, kv_topic_kind kind, kv_topic *topic) {
    if (kind != KV_TOPIC_PATTERN) {
        kv_table_remove_entry(&pubsub->tables[kind], hash_of(pubsub, topic_key(topic)), topic);
    } else {
        size_t i = 0;
        while (pubsub->patterns[i] != topic) i++;
        memmove(&pubsub->patterns[i], &pubsub->patterns[i + 1],
                (--pubsub->pattern_count - i) * sizeof *pubsub->patterns); /* keeps the order */
    }
    free_topic(pubsub, topic);
}

static kv_topic *obtain_topic(struct kv_pubsub *pubsub, kv_topic_kind kind, kv_slice name) {
    kv_topic *topic = find_topic(pubsub, kind, name);
    if (topic != NULL || name.len > UINT32_MAX) return topic;
    topic = kv_arena_alloc(pubsub->arena, sizeof *topic + name.len);
    if (topic == NULL) return NULL;
    *topic = (kv_topic){.len = (uint32_t)name.len};
    if (name.len > 0) memcpy(topic->name, name.ptr, name.len);
    if (add_topic(pubsub, kind, topic)) return topic;
    free_topic(pubsub, topic);
    return NULL;
}

static bool topic_reserve(struct kv_pubsub *pubsub, kv_topic *topic) {
    if (topic->count < topic->cap) return true;
    uint32_t cap = topic->cap == 0 ? 2 : topic->cap * 2;
    kv_session **sessions = kv_arena_realloc(pubsub->arena, topic->sessions, topic->cap * sizeof *sessions, cap * sizeof *sessions);
    if (sessions == NULL) return false;
    topic->sessions = sessions;
    topic->cap = cap;
    return true;
}

static bool subscriber_reserve(kv_mem *mem, struct kv_subscriber *subscriber, kv_topic_kind kind) {
    if (subscriber->count[kind] < subscriber->cap[kind]) return true;
    size_t cap = subscriber->cap[kind] == 0 ? 4 : subscriber->cap[kind] * 2;
    kv_topic **topics = kv_realloc(mem, subscriber->topics[kind], cap * sizeof *topics);
    if (topics == NULL) return false;
    subscriber->topics[kind] = topics;
    subscriber->cap[kind] = cap;
    return true;
}

/* ---- subscribing ---- */

/* What one subscription adds: the channel, this session's place in its list and its place in the session's. */
static size_t subscription_bytes(size_t name_len) { return sizeof(kv_topic) + name_len + sizeof(kv_session *) + sizeof(kv_topic *); }

size_t kv_pubsub_bytes(const kv_session *session) {
    return session->subscriber == NULL ? 0 : sizeof *session->subscriber + session->subscriber->topic_bytes;
}

static size_t subscribed_at(const struct kv_subscriber *subscriber, kv_topic_kind kind, kv_slice name) {
    for (size_t i = 0; subscriber != NULL && i < subscriber->count[kind]; i++)
        if (kv_slice_eq(topic_key(subscriber->topics[kind][i]), name)) return i;
    return SIZE_MAX;
}

/* The lock is held. Looks at the shorter list: many channels of one client, or many clients of one channel, are both cheap. */
static bool is_subscribed(const kv_session *session, kv_topic_kind kind, const kv_topic *topic) {
    const struct kv_subscriber *own = session->subscriber;
    if (topic->count <= own->count[kind]) {
        for (uint32_t i = 0; i < topic->count; i++)
            if (topic->sessions[i] == session) return true;
        return false;
    }
    for (size_t i = 0; i < own->count[kind]; i++)
        if (own->topics[kind][i] == topic) return true;
    return false;
}

static void count_subscriber(kv_session *session, bool was) {
    bool is = kv_pubsub_count(session) + kv_pubsub_shard_count(session) > 0;
    if (is == was) return;
    atomic_fetch_add_explicit(&session->engine->pubsub_count, is ? 1 : UINT32_MAX, memory_order_relaxed);
    session->kind = is ? KV_SESSION_PUBSUB : KV_SESSION_NORMAL;
}

bool kv_pubsub_subscribe(kv_session *session, kv_topic_kind kind, kv_slice name) {
    kv_engine *engine = session->engine;
    struct kv_pubsub *pubsub = engine->pubsub;
    bool was = kv_pubsub_count(session) + kv_pubsub_shard_count(session) > 0;
    if (session->subscriber == NULL) session->subscriber = kv_calloc(&engine->mem, 1, sizeof *session->subscriber);
    if (session->subscriber == NULL || !subscriber_reserve(&engine->mem, session->subscriber, kind)) return false;
    kv_mutex_lock(&pubsub->lock);
    kv_topic *topic = obtain_topic(pubsub, kind, name);
    bool twice = topic != NULL && is_subscribed(session, kind, topic);
    bool fits = twice || (topic != NULL && topic_reserve(pubsub, topic));
    if (twice) {
        /* nothing to do */
    } else if (fits) {
        topic->sessions[topic->count++] = session;
        session->subscriber->topics[kind][session->subscriber->count[kind]++] = topic;
        session->subscriber->topic_bytes += subscription_bytes(name.len);
    } else if (topic != NULL && topic->count == 0) {
        drop_topic(pubsub, kind, topic);
    }
    kv_mutex_unlock(&pubsub->lock);
    if (fits) count_subscriber(session, was);
    return fits;
}

/* The lock is held. */
static void leave_topic(struct kv_pubsub *pubsub, kv_topic_kind kind, kv_topic *topic, const kv_session *session) {
    uint32_t i = 0;
    while (topic->sessions[i] != session) i++;
    memmove(&topic->sessions[i], &topic->sessions[i + 1], (--topic->count - i) * sizeof *topic->sessions);
    if (topic->count == 0) drop_topic(pubsub, kind, topic);
}

bool kv_pubsub_unsubscribe(kv_session *session, kv_topic_kind kind, kv_slice name) {
    struct kv_pubsub *pubsub = session->engine->pubsub;
    struct kv_subscriber *subscriber = session->subscriber;
    size_t at = subscribed_at(subscriber, kind, name);
    if (at == SIZE_MAX) return false;
    kv_topic *topic = subscriber->topics[kind][at];
    subscriber->topic_bytes -= subscription_bytes(topic->len);
    memmove(&subscriber->topics[kind][at], &subscriber->topics[kind][at + 1], (--subscriber->count[kind] - at) * sizeof(kv_topic *));
    kv_mutex_lock(&pubsub->lock);
    leave_topic(pubsub, kind, topic, session);
    kv_mutex_unlock(&pubsub->lock);
    count_subscriber(session, true);
    return true;
}

bool kv_pubsub_name(const kv_session *session, kv_topic_kind kind, size_t index, kv_slice *name) {
    if (session->subscriber == NULL || index >= session->subscriber->count[kind]) return false;
    *name = topic_key(session->subscriber->topics[kind][index]);
    return true;
}

size_t kv_pubsub_count(const kv_session *session) {
    const struct kv_subscriber *subscriber = session->subscriber;
    return subscriber == NULL ? 0 : subscriber->count[KV_TOPIC_CHANNEL] + subscriber->count[KV_TOPIC_PATTERN];
}

size_t kv_pubsub_kind_count(const kv_session *session, kv_topic_kind kind) {
    return session->subscriber == NULL ? 0 : session->subscriber->count[kind];
}
size_t kv_pubsub_shard_count(const kv_session *session) { return kv_pubsub_kind_count(session, KV_TOPIC_SHARD); }

void kv_pubsub_leave(kv_session *session) {
    struct kv_subscriber *subscriber = session->subscriber;
    if (subscriber == NULL) return;
    struct kv_pubsub *pubsub = session->engine->pubsub;
    bool was = kv_pubsub_count(session) + kv_pubsub_shard_count(session) > 0;
    kv_mutex_lock(&pubsub->lock);
    for (kv_topic_kind kind = 0; kind < KV_TOPIC_KINDS; kind++) {
        for (size_t i = 0; i < subscriber->count[kind]; i++) leave_topic(pubsub, kind, subscriber->topics[kind][i], session);
        subscriber->count[kind] = 0;
    }
    kv_mutex_unlock(&pubsub->lock);
    count_subscriber(session, was);
    for (kv_topic_kind kind = 0; kind < KV_TOPIC_KINDS; kind++) kv_free(&session->engine->mem, subscriber->topics[kind]);
    kv_free(&session->engine->mem, subscriber);
    session->subscriber = NULL;
}

/* ---- publishing ---- */

/* A message, encoded at most once for each format that a subscriber speaks. */
typedef struct kv_message {
    const char *kind;
    kv_slice pattern; /* ptr NULL: none */
    kv_slice channel, payload;
    kv_buf encoded[KV_FORMAT_NULL];
} kv_message;

static const kv_buf *encoded_for(kv_message *message, kv_mem *mem, kv_format format) {
    kv_buf *out = &message->encoded[format];
    if (out->mem == NULL) {
        kv_buf_init(out, mem);
        kv_reply reply = kv_reply_to(out, format);
        kv_reply_push(&reply, message->pattern.ptr == NULL ? 3 : 4);
        kv_reply_bulk_cstr(&reply, message->kind);
        if (message->pattern.ptr != NULL) kv_reply_bulk(&reply, message->pattern);
        kv_reply_bulk(&reply, message->channel);
        kv_reply_bulk(&reply, message->payload);
    }
    return out;
}

static size_t send_topic(kv_ctx *c, const kv_topic *topic, kv_message *message) {
    for (uint32_t i = 0; i < topic->count; i++)
        kv_session_mail(c, topic->sessions[i], encoded_for(message, &c->engine->mem, topic->sessions[i]->format));
    for (int format = 0; format < KV_FORMAT_NULL; format++)
        if (message->encoded[format].mem != NULL) kv_buf_deinit(&message->encoded[format]);
    return topic->count;
}

size_t kv_pubsub_publish(kv_ctx *c, kv_slice channel, kv_slice payload, bool sharded) {
    struct kv_pubsub *pubsub = c->engine->pubsub;
    if (atomic_load_explicit(&c->engine->pubsub_count, memory_order_relaxed) == 0) return 0;
    size_t receivers = 0;
    kv_mutex_lock(&pubsub->lock);
    const kv_topic *topic = find_topic(pubsub, sharded ? KV_TOPIC_SHARD : KV_TOPIC_CHANNEL, channel);
    if (topic != NULL) {
        kv_message message = {.kind = sharded ? "smessage" : "message", .channel = channel, .payload = payload};
        receivers += send_topic(c, topic, &message);
    }
    for (size_t i = 0; !sharded && i < pubsub->pattern_count; i++) {
        kv_slice pattern = topic_key(pubsub->patterns[i]);
        if (!kv_glob(pattern, channel, false) || (channel.len == 0 && pattern.len > 0)) continue; /* a star wants a name */
        kv_message message = {.kind = "pmessage", .pattern = pattern, .channel = channel, .payload = payload};
        if (pattern.ptr == NULL) message.pattern = KV_LIT("");
        receivers += send_topic(c, pubsub->patterns[i], &message);
    }
    kv_mutex_unlock(&pubsub->lock);
    return receivers;
}

/* ---- PUBSUB ---- */

size_t kv_pubsub_receivers(kv_engine *engine, kv_topic_kind kind, kv_slice name) {
    struct kv_pubsub *pubsub = engine->pubsub;
    kv_mutex_lock(&pubsub->lock);
    const kv_topic *topic = find_topic(pubsub, kind, name);
    size_t count = topic == NULL ? 0 : topic->count;
    kv_mutex_unlock(&pubsub->lock);
    return count;
}

size_t kv_pubsub_topics(kv_engine *engine, kv_topic_kind kind) {
    struct kv_pubsub *pubsub = engine->pubsub;
    kv_mutex_lock(&pubsub->lock);
    size_t count = kind == KV_TOPIC_PATTERN ? pubsub->pattern_count : kv_table_count(&pubsub->tables[kind]);
    kv_mutex_unlock(&pubsub->lock);
    return count;
}

void kv_pubsub_each_channel(kv_engine *engine, kv_topic_kind kind, void (*fn)(void *arg, kv_slice name), void *arg) {
    struct kv_pubsub *pubsub = engine->pubsub;
    kv_mutex_lock(&pubsub->lock);
    kv_table_iter iter;
    kv_table_iter_start(&iter, &pubsub->tables[kind]);
    for (const void *topic = kv_table_iter_next(&iter); topic != NULL; topic = kv_table_iter_next(&iter)) fn(arg, topic_key(topic));
    kv_mutex_unlock(&pubsub->lock);
}
