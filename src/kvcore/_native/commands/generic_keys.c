/* Commands about keys as such: DEL, UNLINK, EXISTS, TOUCH, TYPE, RANDOMKEY, DBSIZE. */
#include "commands/keys_common.h"
#include "engine/engine.h"

/* UNLINK is DEL: big values are always freed in the background. */
static void delete_keys(kv_ctx *c) {
    int64_t count = 0;
    for (int arg = 1; arg < c->argc; arg++) {
        kv_key key = kv_ctx_key(c, arg);
        if (kv_ctx_find(c, &key, KV_FIND_PEEK) == NULL || !kv_ctx_delete(c, &key)) continue;
        kv_ctx_changed(c, &key, KV_EVENT_GENERIC, "del");
        count++;
    }
    kv_reply_int(c->reply, count);
}

void kv_cmd_del(kv_ctx *c) { delete_keys(c); }
void kv_cmd_unlink(kv_ctx *c) { delete_keys(c); }

void kv_cmd_exists(kv_ctx *c) {
    int64_t count = 0;
    for (int arg = 1; arg < c->argc; arg++) {
        kv_key key = kv_ctx_key(c, arg);
        count += kv_keys_look(c, &key) != NULL;
    }
    kv_reply_int(c->reply, count);
}

void kv_cmd_touch(kv_ctx *c) {
    int64_t count = 0;
    for (int arg = 1; arg < c->argc; arg++) {
        kv_key key = kv_ctx_key(c, arg);
        count += kv_ctx_find(c, &key, KV_FIND_READ) != NULL;
    }
    kv_reply_int(c->reply, count);
}

void kv_cmd_type(kv_ctx *c) {
    static const char *const names[KV_TYPE_COUNT] = {"string", "list", "set", "zset", "hash", "stream"};
    kv_key key = kv_ctx_key(c, 1);
    const kv_value *v = kv_keys_look(c, &key);
    kv_reply_status(c->reply, v == NULL ? "none" : names[v->type]);
}

void kv_cmd_dbsize(kv_ctx *c) { kv_reply_int(c->reply, (int64_t)kv_store_count(&c->engine->store, (unsigned)c->db)); }

/* Every try either finds a live key or removes an expired one (not during a pause); the limit keeps the lock short. */
void kv_cmd_randomkey(kv_ctx *c) {
    enum { TRIES = 100 };
    kv_store *store = &c->engine->store;
    for (int i = 0; i < TRIES; i++) {
        unsigned index;
        if (kv_store_random_shard(store, (unsigned)c->db, kv_ctx_rng(c), &index) != KV_OK) break;
        kv_value *v = kv_keydb_random(kv_shard_db(&store->shards[index], (unsigned)c->db));
        if (v == NULL) continue;
        if (!kv_entry_expired(v, kv_ctx_now_ms(c))) {
            kv_reply_bulk(c->reply, kv_entry_key(v));
            return;
        }
        kv_buf name; /* the entry is about to go, and its name with it */
        kv_buf_init(&name, kv_ctx_mem(c));
        kv_buf_add_slice(&name, kv_entry_key(v));
        if (!name.failed) {
            kv_key key = kv_ctx_key_named(c, kv_buf_slice(&name));
            (void)kv_ctx_find(c, &key, KV_FIND_PEEK);
        }
        bool last = i == TRIES - 1 && !name.failed && kv_engine_is_paused(c->engine);
        if (last) kv_reply_bulk(c->reply, kv_buf_slice(&name)); /* nothing but keys that are waiting for the pause to end */
        kv_buf_deinit(&name);
        if (last) return;
    }
    kv_reply_null(c->reply);
}
