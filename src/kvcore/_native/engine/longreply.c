/* One reply in the making:
 *
 *   handler: count, first slice -> pinned --slice, slice, ...--> last slice: unpinned, done -> closed by the session's owner
 *                                     \--slices of others, who wait for the container--> `ahead` --taken by the owner--/
 *
 * Everything here is guarded by the lock of the container's shard, but the session's pointer, which is the owner's, and `ahead_bytes`. `ahead` continues
 * what the owner has taken, so as soon as it holds something the owner takes from it first, and writes nothing new itself before it is empty.
 *
 * A slice is at most SLICE_ITEMS items and, but for its last few items, SLICE_BYTES bytes (docs/design/long-work.md). */
#include "engine/longreply.h"

#include "engine/errors.h"
#include "store/pin.h"

enum { LONG_FROM = 2048, SLICE_ITEMS = 512, BITE = 16, SLICE_BYTES = 64 * 1024, YIELD_NS = 20000, WANTED_NS = 10000000 };

typedef struct kv_long_reply {
    kv_pin pin; /* first: the pin's reader is the reply */
    kv_engine *engine;
    const kv_walk *walk;
    kv_format format;
    bool done;   /* all items are written, or it failed; not pinned any more */
    bool failed; /* for want of memory */
    size_t left; /* items */
    kv_buf ahead;
    size_t taken; /* of ahead */
    _Atomic size_t ahead_bytes;
    kv_long_call call; /* what the logs want to know in the end */
    uint64_t state[KV_WALK_BYTES / sizeof(uint64_t)];
} kv_long_reply;

/* The walk has ended: at its last item, without memory, or given up. */
static void end_walk(kv_long_reply *reply) {
    if (reply->walk->end != NULL && reply->walk->end(reply->state) != KV_OK) reply->failed = true;
    reply->done = true;
    kv_shard_unpin(&reply->pin);
    if (atomic_load_explicit(&reply->pin.shard->has_garbage, memory_order_relaxed)) kv_engine_need_cron(reply->engine);
}

static void write_slice(kv_long_reply *reply, kv_buf *out, size_t items, size_t bytes) {
    kv_reply sink = kv_reply_to(out, reply->format);
    size_t start = out->len;
    while (reply->left > 0 && items > 0 && out->len - start < bytes && !reply->failed) {
        size_t bite = reply->left < BITE ? reply->left : BITE;
        size_t written = reply->walk->write(reply->state, &sink, bite);
        reply->left -= written;
        items = items > written ? items - written : 0;
        reply->failed = written < bite || out->failed;
    }
    reply->call.bytes += out->len - start;
    if (reply->left == 0 || reply->failed) end_walk(reply);
}

/* On behalf of others. */
static void read_ahead(kv_pin *pin, bool to_the_end) {
    kv_long_reply *reply = (kv_long_reply *)(void *)pin;
    if (to_the_end) write_slice(reply, &reply->ahead, SIZE_MAX, SIZE_MAX);
    else write_slice(reply, &reply->ahead, SLICE_ITEMS, SLICE_BYTES);
    atomic_store_explicit(&reply->ahead_bytes, reply->ahead.cap, memory_order_relaxed);
}

/* ---- beginning ---- */

static bool has_own_blocks(const kv_value *v) {
    return v->enc == KV_ENC_QUICKLIST || v->enc == KV_ENC_HASHTABLE || v->enc == KV_ENC_SKIPLIST;
}

/* Inside a transaction, or where the reply is dropped, it is written as one. */
static bool may_be_sliced(const kv_ctx *c, const kv_value *v, size_t count) {
    return count > LONG_FROM && has_own_blocks(v) && c->session != NULL && !c->in_exec && !c->rerun &&
           c->session->reply_mode == KV_REPLY_ON;
}

/* Readers that come while a writer waits for others to be done come after him, or he would wait for ever. */
static bool writer_waits(const kv_key *key) {
    const kv_shard *shard = key->shard;
    return shard->wanted_until_ns != 0 && shard->wanted_hash == key->hash && kv_mono_ns() < shard->wanted_until_ns;
}

static kv_status write_whole(kv_ctx *c, const kv_value *v, size_t count, const kv_walk *walk, void *state) {
    walk->begin(state, v);
    bool all = walk->write(state, c->reply, count) == count;
    kv_status status = walk->end == NULL ? KV_OK : walk->end(state);
    return all ? status : KV_ENOMEM;
}

kv_status kv_ctx_reply_walk(kv_ctx *c, const kv_key *key, const kv_value *v, size_t count, const kv_walk *walk, void *state) {
    if (!may_be_sliced(c, v, count)) return write_whole(c, v, count, walk, state);
    if (writer_waits(key)) {
        c->again = true;
        return KV_OK;
    }
    kv_long_reply *reply = kv_calloc(&c->engine->mem, 1, sizeof *reply);
    if (reply == NULL || !kv_long_call_init(&reply->call, c)) {
        kv_free(&c->engine->mem, reply);
        return write_whole(c, v, count, walk, state);
    }
    reply->engine = c->engine;
    reply->walk = walk;
    reply->format = c->reply->format;
    reply->left = count;
    reply->pin.read = read_ahead;
    kv_buf_init(&reply->ahead, &c->engine->mem);
    memcpy(reply->state, state, walk->bytes);
    kv_shard_pin(key->shard, &reply->pin, v);
    walk->begin(reply->state, &reply->pin.value);
    c->session->long_reply = reply;
    c->is_long = true;
    write_slice(reply, c->reply->out, SLICE_ITEMS, SLICE_BYTES);
    return KV_OK;
}

/* ---- going on: the owner ---- */

static void close_reply(kv_session *session, kv_long_reply *reply) {
    session->long_reply = NULL;
    kv_long_call_ended(session, &reply->call);
    kv_long_call_deinit(&reply->call, session->engine);
    kv_buf_deinit(&reply->ahead);
    kv_free(&session->engine->mem, reply);
}

/* A piece of what others have written. */
static void take_ahead(kv_long_reply *reply, kv_buf *out) {
    size_t waits = reply->ahead.len - reply->taken, piece = waits < SLICE_BYTES ? waits : SLICE_BYTES;
    kv_buf_add(out, reply->ahead.ptr + reply->taken, piece);
    reply->taken += piece;
    if (reply->taken < reply->ahead.len) return;
    reply->taken = 0;
    kv_buf_deinit(&reply->ahead);
    atomic_store_explicit(&reply->ahead_bytes, 0, memory_order_relaxed);
}

/* *wanted: others wait for the lock. */
static kv_outcome go_on(kv_session *session, kv_buf *out, bool *wanted) {
    kv_long_reply *reply = session->long_reply;
    uint64_t begun = kv_mono_ns();
    kv_shard *shard = reply->pin.shard;
    kv_mutex_lock(&shard->lock);
    if (reply->ahead.len > 0) take_ahead(reply, out);
    else if (!reply->done) write_slice(reply, out, SLICE_ITEMS, SLICE_BYTES);
    bool complete = reply->done && reply->ahead.len == 0;
    if (reply->failed || reply->ahead.failed) out->failed = complete = true; /* the stream has a hole: it ends here */
    *wanted = kv_mutex_is_wanted(&shard->lock);
    kv_mutex_unlock(&shard->lock);
    reply->call.ns += kv_mono_ns() - begun;
    if (!complete) return KV_OUTCOME_MORE;
    close_reply(session, reply);
    return KV_OUTCOME_DONE;
}

kv_outcome kv_long_reply_more(kv_session *session, kv_buf *out) {
    bool wanted;
    return go_on(session, out, &wanted);
}

void kv_long_reply_finish(kv_session *session, kv_buf *out, size_t start) {
    bool wanted;
    while (go_on(session, out, &wanted) == KV_OUTCOME_MORE)
        if (wanted) kv_long_reply_yield();
    if (!out->failed) return;
    out->failed = false; /* nobody has seen any of it: it becomes an error */
    out->len = start;
    kv_reply reply = kv_reply_to(out, session->format);
    kv_reply_error(&reply, KV_ERR_OUT_OF_MEMORY);
}

void kv_long_reply_cancel(kv_session *session) {
    kv_long_reply *reply = session->long_reply;
    kv_mutex_lock(&reply->pin.shard->lock);
    if (!reply->done) end_walk(reply);
    kv_mutex_unlock(&reply->pin.shard->lock);
    close_reply(session, reply);
}

size_t kv_long_reply_bytes(const kv_session *session) {
    const kv_long_reply *reply = session->long_reply;
    return reply == NULL ? 0 : sizeof *reply + atomic_load_explicit(&reply->ahead_bytes, memory_order_relaxed);
}

/* ---- writers ---- */

/* The container at a declared key that the command changes in place, and that somebody reads; else NULL. What is replaced or deleted is not
 * changed: its readers keep it. */
static const kv_value *pinned_key(const kv_ctx *c, uint32_t i, kv_shard **shard) {
    unsigned flags = c->key_refs[i].flags;
    *shard = kv_store_shard_of(&c->engine->store, c->key_hashes[i]);
    if ((flags & KV_KEY_RW) == 0 || (*shard)->pins == NULL) return NULL;
    const kv_value *v = kv_keydb_find(kv_shard_db(*shard, (unsigned)c->db), c->key_hashes[i], c->argv[c->key_refs[i].arg]);
    return v != NULL && kv_shard_is_pinned(*shard, v) ? v : NULL;
}

bool kv_long_reply_in_the_way(kv_ctx *c) {
    for (uint32_t i = 0; i < c->key_count; i++) {
        kv_shard *shard;
        const kv_value *v = pinned_key(c, i, &shard);
        if (v == NULL) continue;
        kv_shard_advance(shard, v);
        if (kv_shard_is_pinned(shard, v)) {
            shard->wanted_hash = c->key_hashes[i];
            shard->wanted_until_ns = kv_mono_ns() + WANTED_NS;
            return true;
        }
        if (shard->wanted_hash == c->key_hashes[i]) shard->wanted_until_ns = 0;
    }
    return false;
}

void kv_long_reply_settle(kv_ctx *c) {
    for (uint32_t i = 0; i < c->key_count; i++) {
        kv_shard *shard;
        const kv_value *v = pinned_key(c, i, &shard);
        if (v != NULL) kv_shard_settle(shard, v);
    }
}

void kv_long_reply_yield(void) { kv_stall_until(kv_mono_ns() + YIELD_NS); }
