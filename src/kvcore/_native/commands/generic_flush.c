/* Whole databases: FLUSHDB, FLUSHALL, SWAPDB. Every shard is locked. */
#include "commands/keys_common.h"
#include "engine/engine.h"
#include "engine/errors.h"
#include "engine/tracking.h"
#include "engine/transaction.h"
#include "engine/unit.h"

#define FLUSH_NOW 1024 /* keys that SYNC frees before it answers: well under a millisecond */

/* What has been detached, when it is little: then SYNC leaves nothing for later. */
static bool free_now(kv_store *store) {
    size_t waiting;
    uint64_t freed;
    kv_store_garbage(store, &waiting, &freed);
    if (waiting > FLUSH_NOW) return false;
    bool all = true;
    for (unsigned i = 0; i < store->shard_count; i++) {
        bool empty = kv_shard_free_some(&store->shards[i], FLUSH_NOW);
        if (empty) kv_shard_trim(&store->shards[i]);
        all &= empty;
    }
    return all;
}

/* Detaching is O(shards), with SYNC too: the data are gone when the reply is written. The memory of more than a few keys goes back in the background,
 * as nobody could be served while ten million of them were freed here: page by page when nothing else is left, else key by key. */
static void flush(kv_ctx *c, int db) {
    bool sync = c->argc == 2 && kv_ctx_is(c, 1, "sync");
    if (c->argc > 2 || (c->argc == 2 && !sync && !kv_ctx_is(c, 1, "async"))) {
        kv_ctx_syntax_error(c);
        return;
    }
    kv_ctx_flush(c, db);
    if (!sync || !free_now(&c->engine->store)) kv_ctx_free_flushed(c);
    c->unit->dirty++; /* a flush is logged even when there was nothing */
    kv_reply_ok(c->reply);
}

void kv_cmd_flushdb(kv_ctx *c) { flush(c, c->db); }
void kv_cmd_flushall(kv_ctx *c) { flush(c, -1); }

/* Blocked clients of both databases may find their keys now. */
typedef struct swap_ready {
    kv_ctx *c;
    kv_shard *shard;
} swap_ready;

static bool make_ready(void *arg, kv_value *v) {
    swap_ready *state = arg;
    kv_slice name = kv_entry_key(v);
    if (v->type != KV_STRING && v->type != KV_HASH)
        kv_unit_ready(state->c, state->shard, kv_store_hash(&state->c->engine->store, name), name);
    return true;
}

void kv_cmd_swapdb(kv_ctx *c) {
    int64_t a, b;
    if (!kv_ctx_range_i64(c, 1, INT32_MIN, INT32_MAX, &a, KV_ERR_DB_FIRST) ||
        !kv_ctx_range_i64(c, 2, INT32_MIN, INT32_MAX, &b, KV_ERR_DB_SECOND))
        return;
    kv_store *store = &c->engine->store;
    if (a < 0 || b < 0 || a >= store->db_count || b >= store->db_count) {
        kv_reply_error(c->reply, KV_ERR_DB_RANGE);
        return;
    }
    if (a != b) {
        kv_begin_write(c);
        kv_watch_swapped(c, (int)a, (int)b);
        kv_store_swap_db(store, (unsigned)a, (unsigned)b);
        for (unsigned i = 0; i < store->shard_count; i++) {
            kv_shard *shard = &store->shards[i];
            if (shard->waiters == NULL) continue; /* nobody waits here */
            kv_keydb_each(kv_shard_db(shard, (unsigned)a), make_ready, &(swap_ready){c, shard});
            kv_keydb_each(kv_shard_db(shard, (unsigned)b), make_ready, &(swap_ready){c, shard});
        }
    }
    c->unit->dirty++;
    kv_reply_ok(c->reply);
}
