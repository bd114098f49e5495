/* Transactions and watched keys.
 *
 * A queued command keeps a copy of its words and its keys with their hashes: EXEC joins the lock sets of the whole queue and of the watched keys,
 * locks them once, and runs everything as one unit.
 *
 *   shard.watchers --> keymap: name -> node(head) --> watch <-> watch      under the shard's lock
 *   session.transaction.watches --> watch --> watch                        next_own, owner only
 *
 * A change marks session.dirty_cas (atomic); EXEC reads it with its locks held, so a mark that matters is always seen. */
#include "engine/transaction.h"

#include "engine/keymap.h"
#include "engine/longreply.h"
#include "engine/unit.h"

typedef struct kv_watch {
    struct kv_watch *next, *previous; /* in the key's list */
    struct kv_watch *next_own;        /* in the session's */
    kv_session *session;
    kv_keymap_node *node;
    kv_shard *shard;
    uint64_t hash;
    int db;
    bool was_expired; /* its time had passed when WATCH came: that it is gone at EXEC is no change */
} kv_watch;

static kv_transaction *transaction_of(kv_session *session) {
    if (session->transaction == NULL) session->transaction = kv_calloc(&session->engine->mem, 1, sizeof(kv_transaction));
    return session->transaction;
}

bool kv_transaction_begin(kv_session *session) {
    kv_transaction *tx = transaction_of(session);
    if (tx == NULL) return false;
    tx->active = true;
    tx->aborted = false;
    return true;
}

void kv_transaction_abort(kv_session *session) {
    if (kv_in_multi(session)) session->transaction->aborted = true;
}

/* ---- the queue ---- */

/* One block: kv_queued, argv, hashes, refs, the bytes of argv. */
static kv_queued *queued_create(kv_ctx *c, size_t *block_bytes) {
    size_t bytes = 0;
    for (int i = 0; i < c->argc; i++) bytes += c->argv[i].len;
    size_t argv_at = sizeof(kv_queued), hashes_at = argv_at + (size_t)c->argc * sizeof(kv_slice);
    size_t refs_at = hashes_at + c->key_count * sizeof(uint64_t), bytes_at = refs_at + c->key_count * sizeof(kv_key_ref);
    *block_bytes = bytes_at + bytes;
    uint8_t *block = kv_malloc(&c->engine->mem, *block_bytes);
    if (block == NULL) return NULL;
    kv_queued *queued = (kv_queued *)(void *)block;
    *queued = (kv_queued){.command = c->command, .argc = c->argc, .key_count = c->key_count};
    queued->argv = (kv_slice *)(void *)(block + argv_at);
    queued->hashes = (uint64_t *)(void *)(block + hashes_at);
    queued->refs = (kv_key_ref *)(void *)(block + refs_at);
    queued->all_keys = (c->command->flags & KV_CMD_CURSOR) != 0 || kv_command_locks_all(c->command, c->argc, c->argv);
    if (c->key_count > 0) {
        memcpy(queued->hashes, c->key_hashes, c->key_count * sizeof(uint64_t));
        memcpy(queued->refs, c->key_refs, c->key_count * sizeof(kv_key_ref));
    }
    uint8_t *to = block + bytes_at;
    for (int i = 0; i < c->argc; i++) {
        if (c->argv[i].len > 0) memcpy(to, c->argv[i].ptr, c->argv[i].len);
        queued->argv[i] = kv_slice_of(to, c->argv[i].len);
        to += c->argv[i].len;
    }
    return queued;
}

bool kv_transaction_queue(kv_ctx *c) {
    kv_mem *mem = &c->engine->mem;
    kv_transaction *tx = c->session->transaction;
    if (tx->aborted) return true; /* it will never run: no need to keep it */
    if (tx->count == tx->cap) {
        size_t cap = tx->cap == 0 ? 8 : tx->cap * 2;
        kv_queued **queue = kv_realloc(mem, tx->queue, cap * sizeof *queue);
        if (queue == NULL) return false;
        tx->queue = queue;
        tx->cap = cap;
    }
    size_t block_bytes;
    kv_queued *queued = queued_create(c, &block_bytes);
    if (queued == NULL) return false;
    tx->queue[tx->count++] = queued;
    tx->bytes += block_bytes + sizeof *tx->queue;
    tx->flags |= c->command->flags;
    return true;
}

static void drop_queue(kv_session *session) {
    kv_transaction *tx = session->transaction;
    for (size_t i = 0; i < tx->count; i++) kv_free(&session->engine->mem, tx->queue[i]);
    kv_free(&session->engine->mem, tx->queue);
    tx->queue = NULL;
    tx->count = tx->cap = tx->bytes = 0;
    tx->flags = 0;
    tx->active = tx->aborted = false;
}

void kv_transaction_discard(kv_session *session) {
    if (session->transaction == NULL) return;
    kv_unwatch(session);
    drop_queue(session);
    kv_free(&session->engine->mem, session->transaction);
    session->transaction = NULL;
}

/* ---- watching ---- */

bool kv_watch_key(kv_ctx *c, const kv_key *key) {
    kv_session *session = c->session;
    kv_mem *mem = &c->engine->mem;
    kv_shard *shard = key->shard;
    kv_transaction *tx = transaction_of(session);
    if (tx == NULL) return false;
    const kv_keymap_node *known = kv_keymap_find(shard->watchers, key->hash, key->name);
    for (const kv_watch *watch = known == NULL ? NULL : known->head; watch != NULL;
         watch = watch->next) /* few watch one key, one may watch many */
        if (watch->session == session && watch->db == key->db) return true;
    kv_watch *watch = kv_malloc(mem, sizeof *watch);
    if (watch == NULL) return false;
    if (shard->watchers == NULL) shard->watchers = kv_keymap_create(shard);
    kv_keymap_node *node = shard->watchers == NULL ? NULL : kv_keymap_obtain(shard->watchers, key->hash, key->name);
    if (node == NULL) {
        if (shard->watchers != NULL && kv_keymap_count(shard->watchers) == 0) {
            kv_keymap_destroy(shard->watchers);
            shard->watchers = NULL;
        }
        kv_free(mem, watch);
        return false;
    }
    const kv_value *v = kv_keydb_find(kv_shard_db(shard, (unsigned)key->db), key->hash, key->name);
    *watch = (kv_watch){.session = session,
                        .node = node,
                        .shard = shard,
                        .hash = key->hash,
                        .db = key->db,
                        .next = node->head,
                        .next_own = tx->watches,
                        .was_expired = v != NULL && kv_entry_expired(v, kv_ctx_now_ms(c))};
    if (watch->next != NULL) watch->next->previous = watch;
    node->head = watch;
    if (tx->watches == NULL) atomic_fetch_add_explicit(&c->engine->watching_count, 1, memory_order_relaxed);
    tx->watches = watch;
    tx->watch_count++;
    tx->watch_bytes += sizeof *watch + sizeof *node + key->name.len;
    return true;
}

/* The shard is locked. */
static void unlink_watch(kv_watch *watch) {
    if (watch->previous != NULL) watch->previous->next = watch->next;
    else watch->node->head = watch->next;
    if (watch->next != NULL) watch->next->previous = watch->previous;
    if (watch->node->head != NULL) return;
    kv_keymap *map = watch->shard->watchers;
    kv_keymap_remove(map, watch->node);
    if (kv_keymap_count(map) > 0) return;
    kv_keymap_destroy(map);
    watch->shard->watchers = NULL;
}

/* `locked`: the shards that the caller holds. */
static void unwatch_all(kv_session *session, uint64_t locked) {
    kv_transaction *tx = session->transaction;
    if (tx == NULL) return;
    if (tx->watches != NULL) atomic_fetch_sub_explicit(&session->engine->watching_count, 1, memory_order_relaxed);
    while (tx->watches != NULL) {
        kv_watch *watch = tx->watches;
        tx->watches = watch->next_own;
        bool held = (locked >> watch->shard->index & 1) != 0;
        kv_shard *shard = watch->shard;
        if (!held) kv_mutex_lock(&shard->lock);
        unlink_watch(watch);
        if (!held) kv_mutex_unlock(&shard->lock);
        kv_free(&session->engine->mem, watch);
    }
    tx->watch_count = tx->watch_bytes = 0;
    atomic_store_explicit(&session->dirty_cas, false, memory_order_relaxed);
}

void kv_unwatch(kv_session *session) { unwatch_all(session, 0); }

static void mark(kv_watch *watch) { atomic_store_explicit(&watch->session->dirty_cas, true, memory_order_relaxed); }

void kv_watch_touched(kv_ctx *c, kv_shard *shard, int db, uint64_t hash, kv_slice name, bool deleted_expired) {
    (void)c;
    if (shard->watchers == NULL) return;
    kv_keymap_node *node = kv_keymap_find(shard->watchers, hash, name);
    if (node == NULL) return;
    for (kv_watch *watch = node->head; watch != NULL; watch = watch->next) {
        if (watch->db != db) continue;
        if (watch->was_expired && deleted_expired) watch->was_expired = false; /* gone as it was when WATCH came */
        else mark(watch);
    }
}

typedef struct change_all {
    kv_shard *shard;
    int a, b; /* databases: a < 0 all; b < 0 only a */
    int64_t now_ms;
} change_all;

static void mark_node(void *arg, void *entry) {
    const change_all *change = arg;
    kv_keymap_node *node = entry;
    kv_slice name = kv_slice_of(node->name, node->len);
    for (kv_watch *watch = node->head; watch != NULL; watch = watch->next) {
        if (change->a >= 0 && watch->db != change->a && watch->db != change->b) continue;
        const kv_value *here = kv_keydb_find(kv_shard_db(change->shard, (unsigned)watch->db), node->hash, name), *there = NULL;
        int other = watch->db == change->a ? change->b : change->a;
        if (change->b >= 0) there = kv_keydb_find(kv_shard_db(change->shard, (unsigned)other), node->hash, name);
        bool was_there = here != NULL && !watch->was_expired, comes = there != NULL && !kv_entry_expired(there, change->now_ms);
        if (was_there || comes) mark(watch);
        watch->was_expired = there != NULL && !comes; /* what nobody could see goes, or comes, unnoticed */
    }
}

static void mark_all(kv_ctx *c, int a, int b) {
    for (unsigned i = 0; i < c->engine->store.shard_count; i++) {
        kv_shard *shard = &c->engine->store.shards[i];
        kv_keymap *map = shard->watchers;
        if (map == NULL) continue;
        change_all change = {shard, a, b, kv_ctx_now_ms(c)};
        kv_table_iter iter;
        kv_table_iter_start(&iter, &map->table);
        for (void *node = kv_table_iter_next(&iter); node != NULL; node = kv_table_iter_next(&iter)) mark_node(&change, node);
    }
}

void kv_watch_flushed(kv_ctx *c, int db) { mark_all(c, db, -1); }
void kv_watch_swapped(kv_ctx *c, int a, int b) { mark_all(c, a, b); }

/* ---- EXEC ---- */

static uint64_t lock_set(const kv_engine *engine, const kv_transaction *tx) {
    uint64_t mask = 0;
    for (size_t i = 0; i < tx->count; i++) {
        const kv_queued *queued = tx->queue[i];
        if (queued->all_keys) return kv_store_all_shards(&engine->store);
        for (uint32_t k = 0; k < queued->key_count; k++) mask |= UINT64_C(1) << kv_store_shard_index(&engine->store, queued->hashes[k]);
    }
    for (const kv_watch *watch = tx->watches; watch != NULL; watch = watch->next_own) mask |= UINT64_C(1) << watch->shard->index;
    return mask;
}

/* A watched key whose time has passed since WATCH is a change, although nobody has removed it yet. */
static bool watched_key_expired(kv_ctx *c, const kv_transaction *tx) {
    for (const kv_watch *watch = tx->watches; watch != NULL; watch = watch->next_own) {
        if (watch->was_expired) continue;
        const kv_value *v =
            kv_keydb_find(kv_shard_db(watch->shard, (unsigned)watch->db), watch->hash, kv_slice_of(watch->node->name, watch->node->len));
        if (v != NULL && kv_entry_expired(v, kv_ctx_now_ms(c))) return true;
    }
    return false;
}

static kv_ctx ctx_of(kv_ctx *c, const kv_queued *queued) {
    return (kv_ctx){.engine = c->engine,
                    .session = c->session,
                    .command = queued->command,
                    .argv = queued->argv,
                    .argc = queued->argc,
                    .db = c->session->db,
                    .reply = c->reply,
                    .unit = c->unit,
                    .in_exec = true,
                    .key_refs = queued->refs,
                    .key_hashes = queued->hashes,
                    .key_count = queued->key_count};
}

/* A value that the transaction is going to change is being read in slices: kv_long_reply_in_the_way. */
static bool must_wait(kv_ctx *c, const kv_transaction *tx) {
    for (size_t i = 0; i < tx->count; i++) {
        kv_ctx one = ctx_of(c, tx->queue[i]);
        if (kv_long_reply_in_the_way(&one)) return true;
    }
    return false;
}

static void run_queued(kv_ctx *c, const kv_queued *queued) {
    kv_ctx one = ctx_of(c, queued);
    size_t before = c->reply->out->len;
    uint32_t errors = c->reply->errors;
    kv_call(&one);
    c->reply->errors = errors;                                 /* it has been counted; EXEC itself has not failed */
    if (c->reply->out->len == before) kv_reply_null(c->reply); /* a command without a reply must not shift the others */
}

void kv_transaction_exec(kv_ctx *c) {
    kv_session *session = c->session;
    kv_transaction *tx = session->transaction;
    if (tx->aborted) {
        kv_transaction_discard(session);
        kv_reply_error(c->reply, "EXECABORT Transaction discarded because of previous errors.");
        return;
    }
    kv_unit_lock(c, lock_set(c->engine, tx), (tx->flags & (KV_CMD_WRITE | KV_CMD_MAY_REPLICATE)) != 0);
    if (must_wait(c, tx)) {
        kv_unlock_shards(c->engine, c->unit->locked);
        c->unit->locked = 0;
        c->again = true;
        return;
    }
    bool changed = watched_key_expired(c, tx) || atomic_load_explicit(&session->dirty_cas, memory_order_relaxed);
    unwatch_all(session, c->unit->locked);
    if (changed) {
        kv_reply_null_array(c->reply);
    } else {
        kv_reply_array(c->reply, tx->count);
        tx->active = false; /* what runs now is not queued again */
        for (size_t i = 0; i < tx->count; i++) run_queued(c, tx->queue[i]);
    }
    kv_unit_finish(c);
    kv_transaction_discard(session);
}
