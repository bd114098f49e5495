/* Client-side caching.
 *
 * Default mode: a table key -> ids of the sessions that have read it. A change sends an invalidation to each and forgets the key. Broadcast mode: each
 * session names prefixes; a change of a matching key goes to it, read or not. Sessions are named by id, so one that has gone needs no cleaning up:
 * its ids are dropped when their key changes.
 *
 * The table is bounded by tracking-table-max-keys: past it, random keys are invalidated early, which is always correct. One lock (rank TRACKING) guards
 * all. The names of keys are shared by all databases, as Valkey does it. */
#include "engine/tracking_private.h"

#include <stdlib.h>

#include "ds/table.h"
#include "engine/dispatch.h"

typedef struct kv_tracked {
    uint64_t *ids;
    uint32_t count, cap;
    size_t len;
    uint8_t name[];
} kv_tracked;

struct kv_tracker {
    kv_session *session;
    kv_tracking_options options; /* without its prefixes */
    kv_slice *prefixes;          /* in order, each in a block of its own */
    size_t prefix_count, prefix_bytes;
    kv_tracking_caching caching;
    _Atomic bool broken_redirect;       /* set by writers under the lock, read by the owner without it */
    struct kv_tracker *next, *previous; /* all trackers */
};

struct kv_tracking {
    kv_engine *engine;
    kv_mutex lock;
    kv_arena *arena;
    kv_table keys;
    size_t items; /* (key, id) pairs */
    struct kv_tracker *trackers;
    size_t prefix_count;
    kv_rng rng;
};

static kv_slice tracked_key(const void *entry) {
    const kv_tracked *tracked = entry;
    return kv_slice_of(tracked->name, tracked->len);
}

static const kv_table_type tracked_type = {.key = tracked_key};

struct kv_tracking *kv_tracking_create(kv_engine *engine) {
    struct kv_tracking *tracking = kv_calloc(&engine->mem, 1, sizeof *tracking);
    if (tracking == NULL) return NULL;
    tracking->engine = engine;
    tracking->arena = kv_arena_create(&engine->mem);
    if (tracking->arena == NULL) {
        kv_free(&engine->mem, tracking);
        return NULL;
    }
    kv_mutex_init(&tracking->lock, KV_RANK_TRACKING, 0);
    kv_table_init(&tracking->keys, &tracked_type, &engine->store.seed, tracking->arena);
    kv_rng_seed(&tracking->rng, engine->store.seed.k0);
    return tracking;
}

void kv_tracking_destroy(struct kv_tracking *tracking) {
    if (tracking == NULL) return;
    kv_mem *mem = &tracking->engine->mem;
    kv_arena_destroy(tracking->arena);
    kv_free(mem, tracking);
}

static uint64_t hash_of(const struct kv_tracking *tracking, kv_slice name) { return kv_store_hash(&tracking->engine->store, name); }

/* ---- messages; the lock is held ---- */

static struct kv_tracker *find_tracker(struct kv_tracking *tracking, uint64_t id) {
    for (struct kv_tracker *tracker = tracking->trackers; tracker != NULL; tracker = tracker->next)
        if (tracker->session->id == id) return tracker;
    return NULL;
}

/* RESP3: a push "invalidate". RESP2 clients get a message of the channel __redis__:invalidate, which they must have subscribed to. keys NULL: everything. */
static void mail_invalidation(kv_ctx *c, kv_session *to, const kv_slice *keys, size_t count) {
    kv_buf out;
    kv_buf_init(&out, &c->engine->mem);
    kv_reply reply = kv_reply_to(&out, to->format);
    if (to->format == KV_FORMAT_RESP2) {
        kv_reply_array(&reply, 3);
        kv_reply_bulk_cstr(&reply, "message");
        kv_reply_bulk_cstr(&reply, "__redis__:invalidate");
    } else {
        kv_reply_push(&reply, 2);
        kv_reply_bulk_cstr(&reply, "invalidate");
    }
    if (keys == NULL) kv_reply_null(&reply);
    else kv_reply_array(&reply, count);
    for (size_t i = 0; i < count; i++) kv_reply_bulk(&reply, keys[i]);
    kv_session_mail(c, to, &out);
    kv_buf_deinit(&out);
}

static void mail_broken_redirect(kv_ctx *c, struct kv_tracker *tracker) {
    tracker->broken_redirect = true;
    if (tracker->session->format == KV_FORMAT_RESP2) return;
    kv_buf out;
    kv_buf_init(&out, &c->engine->mem);
    kv_reply reply = kv_reply_to(&out, tracker->session->format);
    kv_reply_push(&reply, 2);
    kv_reply_bulk_cstr(&reply, "tracking-redir-broken");
    kv_reply_int(&reply, (int64_t)tracker->options.redirect);
    kv_session_mail(c, tracker->session, &out);
    kv_buf_deinit(&out);
}

/* keys NULL: all of them. NOLOOP is about keys: who empties the database itself hears of it all the same. */
static void invalidate(kv_ctx *c, struct kv_tracker *tracker, const kv_slice *keys, size_t count) {
    if (keys != NULL && tracker->options.noloop && tracker->session == c->session) return;
    if (tracker->options.redirect == 0) {
        if (tracker->session->format != KV_FORMAT_RESP2) mail_invalidation(c, tracker->session, keys, count);
        return;
    }
    /* The registry's lock is held, too (lock_for_messages): what it lists is alive. */
    kv_session *target = c->engine->clients;
    while (target != NULL && target->id != tracker->options.redirect) target = target->next;
    if (target == NULL) mail_broken_redirect(c, tracker);
    else if (target->format != KV_FORMAT_RESP2 || target->kind == KV_SESSION_PUBSUB) mail_invalidation(c, target, keys, count);
}

/* Redirection reads the registry, so both locks are taken, in rank order. */
static void lock_for_messages(struct kv_tracking *tracking) {
    kv_mutex_lock(&tracking->engine->clients_lock);
    kv_mutex_lock(&tracking->lock);
}

static void unlock_for_messages(struct kv_tracking *tracking) {
    kv_mutex_unlock(&tracking->lock);
    kv_mutex_unlock(&tracking->engine->clients_lock);
}

/* ---- the table; the lock is held ---- */

static void drop_key(struct kv_tracking *tracking, kv_tracked *tracked) {
    kv_table_remove_entry(&tracking->keys, hash_of(tracking, tracked_key(tracked)), tracked);
    tracking->items -= tracked->count;
    kv_arena_free(tracking->arena, tracked->ids, tracked->cap * sizeof *tracked->ids);
    kv_arena_free(tracking->arena, tracked, sizeof *tracked + tracked->len);
}

static kv_tracked *obtain_key(struct kv_tracking *tracking, kv_slice name) {
    uint64_t hash = hash_of(tracking, name);
    kv_tracked *tracked = kv_table_find(&tracking->keys, hash, name);
    if (tracked != NULL) return tracked;
    tracked = kv_arena_alloc(tracking->arena, sizeof *tracked + name.len);
    if (tracked == NULL) return NULL;
    *tracked = (kv_tracked){.len = name.len};
    if (name.len > 0) memcpy(tracked->name, name.ptr, name.len);
    if (kv_table_insert(&tracking->keys, hash, tracked) == KV_OK) return tracked;
    kv_arena_free(tracking->arena, tracked, sizeof *tracked + name.len);
    return NULL;
}

static bool remember(struct kv_tracking *tracking, kv_slice name, uint64_t id) {
    kv_tracked *tracked = obtain_key(tracking, name);
    if (tracked == NULL) return false;
    for (uint32_t i = 0; i < tracked->count; i++)
        if (tracked->ids[i] == id) return true;
    if (tracked->count == tracked->cap) {
        uint32_t cap = tracked->cap == 0 ? 2 : tracked->cap * 2;
        uint64_t *ids = kv_arena_realloc(tracking->arena, tracked->ids, tracked->cap * sizeof *ids, cap * sizeof *ids);
        if (ids == NULL) {
            if (tracked->count == 0) drop_key(tracking, tracked);
            return false;
        }
        tracked->ids = ids;
        tracked->cap = cap;
    }
    tracked->ids[tracked->count++] = id;
    tracking->items++;
    return true;
}

static void invalidate_key(kv_ctx *c, struct kv_tracking *tracking, kv_tracked *tracked) {
    kv_slice name = tracked_key(tracked);
    for (uint32_t i = 0; i < tracked->count; i++) {
        struct kv_tracker *tracker = find_tracker(tracking, tracked->ids[i]);
        if (tracker != NULL && !tracker->options.bcast) invalidate(c, tracker, &name, 1);
    }
    drop_key(tracking, tracked);
}

/* ---- what dispatch and keys call ---- */

static bool wants(const struct kv_tracker *tracker) {
    if (tracker->options.bcast) return false;
    if (tracker->options.optin) return tracker->caching == KV_CACHING_YES;
    if (tracker->options.optout) return tracker->caching != KV_CACHING_NO;
    return true;
}

/* tracking-table-max-keys: some keys are forgotten, and their clients told. Not all at once; the locks are held. */
static void trim(kv_ctx *c, struct kv_tracking *tracking, size_t limit) {
    for (int i = 0; limit > 0 && kv_table_count(&tracking->keys) > limit && i < 100; i++)
        invalidate_key(c, tracking, kv_table_random(&tracking->keys, &tracking->rng));
}

void kv_tracking_read(kv_ctx *c) {
    struct kv_tracker *tracker = c->session->tracker;
    if (c->key_count == 0 || !wants(tracker)) return;
    struct kv_tracking *tracking = c->engine->tracking;
    size_t limit = (size_t)kv_setting(&c->engine->settings, KV_CFG_TRACKING_TABLE_MAX_KEYS);
    lock_for_messages(tracking);
    for (uint32_t i = 0; i < c->key_count; i++)
        if (!remember(tracking, c->argv[c->key_refs[i].arg], c->session->id)) break;
    trim(c, tracking, limit);
    unlock_for_messages(tracking);
}

void kv_tracking_trim(kv_engine *engine) {
    struct kv_tracking *tracking = engine->tracking;
    size_t limit = (size_t)kv_setting(&engine->settings, KV_CFG_TRACKING_TABLE_MAX_KEYS);
    if (atomic_load_explicit(&engine->tracking_count, memory_order_relaxed) == 0) return;
    kv_unit unit;
    kv_ctx c;
    kv_unit_begin(&c, &unit, engine, 0, 0);
    lock_for_messages(tracking);
    trim(&c, tracking, limit);
    unlock_for_messages(tracking);
    kv_unit_end(&c);
}

/* Every prefix's client forgets everything: what is said when there is no memory to be exact. */
static void tell_all(kv_ctx *c) {
    struct kv_tracking *tracking = c->engine->tracking;
    lock_for_messages(tracking);
    for (struct kv_tracker *tracker = tracking->trackers; tracker != NULL; tracker = tracker->next)
        if (tracker->options.bcast) invalidate(c, tracker, NULL, 0);
    unlock_for_messages(tracking);
}

/* ---- broadcast: the keys of a unit are collected, and told once at its end: each prefix of each client gets one message ---- */

struct kv_broadcast {
    kv_buf names; /* a size_t length and the bytes, one after the other; failed: told as "everything" */
    size_t count;
};

static void collect(kv_ctx *c, kv_slice key) {
    struct kv_broadcast *broadcast = c->unit->broadcast;
    if (broadcast == NULL) {
        broadcast = c->unit->broadcast = kv_calloc(&c->engine->mem, 1, sizeof *broadcast);
        if (broadcast == NULL) {
            tell_all(c); /* too much rather than too little */
            return;
        }
        kv_buf_init(&broadcast->names, &c->engine->mem);
    }
    kv_buf_add(&broadcast->names, &key.len, sizeof key.len);
    kv_buf_add_slice(&broadcast->names, key);
    broadcast->count++;
}

static int by_bytes(const void *a, const void *b) { return kv_slice_cmp(*(const kv_slice *)a, *(const kv_slice *)b); }

/* The collected names in order, each once; NULL when out of memory. */
static kv_slice *sorted_names(kv_mem *mem, const struct kv_broadcast *broadcast, size_t *count) {
    if (broadcast->names.failed) return NULL;
    kv_slice *names = kv_malloc(mem, broadcast->count * sizeof *names);
    if (names == NULL) return NULL;
    for (size_t i = 0, at = 0; i < broadcast->count; i++) {
        size_t len;
        memcpy(&len, broadcast->names.ptr + at, sizeof len);
        names[i] = kv_slice_of(broadcast->names.ptr + at + sizeof len, len);
        at += sizeof len + len;
    }
    qsort(names, broadcast->count, sizeof *names, by_bytes);
    *count = 0;
    for (size_t i = 0; i < broadcast->count; i++)
        if (*count == 0 || !kv_slice_eq(names[*count - 1], names[i])) names[(*count)++] = names[i];
    return names;
}

static bool begins_with(kv_slice name, kv_slice prefix) {
    return name.len >= prefix.len && (prefix.len == 0 || memcmp(name.ptr, prefix.ptr, prefix.len) == 0);
}

/* Names that share a prefix stand next to each other. */
static void tell_prefix(kv_ctx *c, struct kv_tracker *tracker, kv_slice prefix, const kv_slice *names, size_t count) {
    size_t first = 0, end;
    while (first < count && !begins_with(names[first], prefix)) first++;
    for (end = first; end < count && begins_with(names[end], prefix); end++) continue;
    if (end > first) invalidate(c, tracker, names + first, end - first);
}

void kv_tracking_publish(kv_ctx *c) {
    struct kv_broadcast *broadcast = c->unit->broadcast;
    struct kv_tracking *tracking = c->engine->tracking;
    size_t count = 0;
    kv_slice *names = sorted_names(&c->engine->mem, broadcast, &count);
    if (names == NULL) {
        tell_all(c);
    } else {
        lock_for_messages(tracking);
        for (struct kv_tracker *tracker = tracking->trackers; tracker != NULL; tracker = tracker->next)
            for (size_t i = 0; i < tracker->prefix_count; i++) tell_prefix(c, tracker, tracker->prefixes[i], names, count);
        unlock_for_messages(tracking);
    }
    kv_free(&c->engine->mem, names);
    kv_buf_deinit(&broadcast->names);
    kv_free(&c->engine->mem, broadcast);
    c->unit->broadcast = NULL;
}

void kv_tracking_changed(kv_ctx *c, kv_slice key) {
    if (atomic_load_explicit(&c->engine->tracking_count, memory_order_relaxed) == 0) return;
    struct kv_tracking *tracking = c->engine->tracking;
    lock_for_messages(tracking);
    bool by_prefix = tracking->prefix_count > 0;
    kv_tracked *tracked = kv_table_find(&tracking->keys, hash_of(tracking, key), key);
    if (tracked != NULL) invalidate_key(c, tracking, tracked);
    unlock_for_messages(tracking);
    if (by_prefix) collect(c, key);
}

static void free_tracked(void *arg, void *entry) {
    struct kv_tracking *tracking = arg;
    kv_tracked *tracked = entry;
    kv_arena_free(tracking->arena, tracked->ids, tracked->cap * sizeof *tracked->ids);
    kv_arena_free(tracking->arena, tracked, sizeof *tracked + tracked->len);
}

void kv_tracking_flushed(kv_ctx *c) {
    if (atomic_load_explicit(&c->engine->tracking_count, memory_order_relaxed) == 0) return;
    struct kv_tracking *tracking = c->engine->tracking;
    lock_for_messages(tracking);
    for (struct kv_tracker *tracker = tracking->trackers; tracker != NULL; tracker = tracker->next) invalidate(c, tracker, NULL, 0);
    kv_table_deinit(&tracking->keys, free_tracked, tracking);
    tracking->items = 0;
    unlock_for_messages(tracking);
}

/* ---- CLIENT TRACKING ---- */

static void free_prefixes(kv_mem *mem, struct kv_tracker *tracker) {
    for (size_t i = 0; i < tracker->prefix_count; i++) kv_free(mem, (void *)(uintptr_t)tracker->prefixes[i].ptr);
    kv_free(mem, tracker->prefixes);
    tracker->prefixes = NULL;
    tracker->prefix_count = 0;
}

static bool overlap(kv_slice a, kv_slice b) {
    size_t len = a.len < b.len ? a.len : b.len;
    return len == 0 || memcmp(a.ptr, b.ptr, len) == 0;
}

/* New prefixes must overlap neither each other nor those that are there; a prefix given twice is one. */
static kv_status check_prefixes(const struct kv_tracker *tracker, const kv_tracking_options *options, kv_slice *a, kv_slice *b) {
    for (size_t i = 0; i < options->prefix_count; i++) {
        for (size_t k = 0; tracker != NULL && k < tracker->prefix_count; k++) {
            if (!overlap(options->prefixes[i], tracker->prefixes[k])) continue;
            *a = options->prefixes[i];
            *b = tracker->prefixes[k];
            return KV_EEXISTS;
        }
        for (size_t k = i + 1; k < options->prefix_count; k++) {
            if (!overlap(options->prefixes[i], options->prefixes[k])) continue;
            *a = options->prefixes[i];
            *b = options->prefixes[k];
            return KV_EEXISTS;
        }
    }
    return KV_OK;
}

static kv_status add_prefixes(kv_mem *mem, struct kv_tracker *tracker, const kv_tracking_options *options) {
    size_t more = options->prefix_count == 0 && tracker->prefix_count == 0 ? 1 : options->prefix_count;
    kv_slice *prefixes = kv_realloc(mem, tracker->prefixes, (tracker->prefix_count + more) * sizeof *prefixes);
    if (prefixes == NULL) return KV_ENOMEM;
    tracker->prefixes = prefixes;
    for (size_t i = 0; i < more; i++) {
        kv_slice from = i < options->prefix_count ? options->prefixes[i] : KV_LIT(""); /* none given: every key */
        uint8_t *copy = kv_malloc(mem, from.len + 1);
        if (copy == NULL) return KV_ENOMEM;
        if (from.len > 0) memcpy(copy, from.ptr, from.len);
        size_t at = tracker->prefix_count++; /* kept in byte order: that is how CLIENT TRACKINGINFO lists them */
        for (; at > 0 && kv_slice_cmp(tracker->prefixes[at - 1], from) > 0; at--) tracker->prefixes[at] = tracker->prefixes[at - 1];
        tracker->prefixes[at] = kv_slice_of(copy, from.len);
        tracker->prefix_bytes += sizeof *prefixes + from.len + 1;
    }
    qsort(tracker->prefixes, tracker->prefix_count, sizeof *tracker->prefixes, by_bytes);
    return KV_OK;
}

kv_status kv_tracking_enable(kv_session *session, const kv_tracking_options *options, kv_slice *a, kv_slice *b) {
    kv_engine *engine = session->engine;
    struct kv_tracking *tracking = engine->tracking;
    kv_status status = check_prefixes(session->tracker, options, a, b);
    if (status != KV_OK) return status;
    struct kv_tracker *tracker = session->tracker;
    bool fresh = tracker == NULL;
    if (fresh) tracker = kv_calloc(&engine->mem, 1, sizeof *tracker);
    if (tracker == NULL) return KV_ENOMEM;
    kv_mutex_lock(&tracking->lock);
    size_t before = tracker->prefix_count;
    if (options->bcast) status = add_prefixes(&engine->mem, tracker, options);
    tracking->prefix_count += tracker->prefix_count - before;
    if (status == KV_OK || !fresh) {
        tracker->session = session;
        tracker->options = *options;
        tracker->options.prefixes = NULL;
        tracker->broken_redirect = false;
        tracker->caching = KV_CACHING_UNSET;
    }
    if (fresh && status == KV_OK) {
        tracker->next = tracking->trackers;
        if (tracker->next != NULL) tracker->next->previous = tracker;
        tracking->trackers = tracker;
        session->tracker = tracker;
        atomic_fetch_add_explicit(&engine->tracking_count, 1, memory_order_relaxed);
    }
    kv_mutex_unlock(&tracking->lock);
    if (fresh && status != KV_OK) {
        free_prefixes(&engine->mem, tracker);
        kv_free(&engine->mem, tracker);
    }
    return status;
}

void kv_tracking_leave(kv_session *session) {
    struct kv_tracker *tracker = session->tracker;
    if (tracker == NULL) return;
    kv_engine *engine = session->engine;
    struct kv_tracking *tracking = engine->tracking;
    kv_mutex_lock(&tracking->lock);
    if (tracker->previous != NULL) tracker->previous->next = tracker->next;
    else tracking->trackers = tracker->next;
    if (tracker->next != NULL) tracker->next->previous = tracker->previous;
    tracking->prefix_count -= tracker->prefix_count;
    session->tracker = NULL;
    if (tracking->trackers == NULL) {
        kv_table_deinit(&tracking->keys, free_tracked, tracking);
        tracking->items = 0;
    }
    kv_mutex_unlock(&tracking->lock);
    free_prefixes(&engine->mem, tracker);
    kv_free(&engine->mem, tracker);
    atomic_fetch_sub_explicit(&engine->tracking_count, 1, memory_order_relaxed);
}

void kv_tracking_set_caching(kv_session *session, kv_tracking_caching caching) {
    if (session->tracker != NULL) session->tracker->caching = caching;
}

void kv_tracking_command_done(kv_session *session) { kv_tracking_set_caching(session, KV_CACHING_UNSET); }

kv_tracking_state kv_tracking_get(const kv_session *session) {
    const struct kv_tracker *tracker = session->tracker;
    if (tracker == NULL) return (kv_tracking_state){0};
    return (kv_tracking_state){.on = true,
                               .bcast = tracker->options.bcast,
                               .optin = tracker->options.optin,
                               .optout = tracker->options.optout,
                               .noloop = tracker->options.noloop,
                               .broken_redirect = tracker->broken_redirect,
                               .caching = tracker->caching,
                               .redirect = tracker->options.redirect};
}

size_t kv_tracking_bytes(const kv_session *session) {
    return session->tracker == NULL ? 0 : sizeof *session->tracker + session->tracker->prefix_bytes;
}
size_t kv_tracking_prefix_count(const kv_session *session) { return session->tracker == NULL ? 0 : session->tracker->prefix_count; }
kv_slice kv_tracking_prefix(const kv_session *session, size_t index) { return session->tracker->prefixes[index]; }

void kv_tracking_totals(kv_engine *engine, size_t *keys, size_t *items, size_t *prefixes) {
    struct kv_tracking *tracking = engine->tracking;
    kv_mutex_lock(&tracking->lock);
    *keys = kv_table_count(&tracking->keys);
    *items = tracking->items;
    *prefixes = tracking->prefix_count;
    kv_mutex_unlock(&tracking->lock);
}
