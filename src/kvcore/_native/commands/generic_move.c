/* RENAME, RENAMENX, MOVE, COPY. */
#include "commands/keys_common.h"
#include "engine/engine.h"
#include "engine/errors.h"

/* Takes `v` from `from` to `to`, where `old` is (or NULL). False: out of memory, replied, nothing has changed. */
static bool transfer(kv_ctx *c, const kv_key *from, kv_value *v, const kv_key *to, kv_value *old) {
    kv_keydb *source = kv_ctx_open(c, from), *target = source == NULL ? NULL : kv_ctx_open(c, to);
    if (target == NULL) return false;
    kv_ctx_modify(c, from, v);
    if (old != NULL) kv_ctx_modify(c, to, old);
    if (!kv_ctx_ok(c, kv_keydb_move(source, from->hash, v, target, to->hash, to->name, old, NULL))) return false;
    kv_ctx_notify(c, to, KV_EVENT_NEW, "new");
    kv_ctx_ready(c, to);
    return true;
}

static void rename_key(kv_ctx *c, bool nx) {
    kv_key from = kv_ctx_key(c, 1), to = kv_ctx_key(c, 2);
    kv_value *v = kv_ctx_find(c, &from, KV_FIND_WRITE);
    if (v == NULL) {
        kv_reply_error(c->reply, KV_ERR_NO_SUCH_KEY);
        return;
    }
    bool same = kv_slice_eq(from.name, to.name);
    kv_value *old = same ? v : kv_ctx_find(c, &to, KV_FIND_WRITE);
    if (nx && old != NULL) {
        kv_reply_int(c->reply, 0);
        return;
    }
    if (!same) {
        if (!transfer(c, &from, v, &to, old)) return;
        kv_ctx_changed(c, &from, KV_EVENT_GENERIC, "rename_from");
        kv_ctx_changed(c, &to, KV_EVENT_GENERIC, "rename_to");
        c->unit->dirty--; /* two names, one change */
    }
    if (nx) kv_reply_int(c->reply, 1);
    else kv_reply_ok(c->reply);
}

void kv_cmd_rename(kv_ctx *c) { rename_key(c, false); }
void kv_cmd_renamenx(kv_ctx *c) { rename_key(c, true); }

static bool database(kv_ctx *c, int arg, int *db) {
    int64_t number;
    if (!kv_ctx_range_i64(c, arg, INT32_MIN, INT32_MAX, &number, NULL)) return false;
    if (number < 0 || number >= c->engine->store.db_count) {
        kv_reply_error(c->reply, KV_ERR_DB_RANGE);
        return false;
    }
    *db = (int)number;
    return true;
}

void kv_cmd_move(kv_ctx *c) {
    int db;
    if (!database(c, 2, &db)) return;
    if (db == c->db) {
        kv_reply_error(c->reply, KV_ERR_SAME_OBJECT);
        return;
    }
    kv_key from = kv_ctx_key(c, 1), to = kv_ctx_key_in(c, 1, db);
    kv_value *v = kv_ctx_find(c, &from, KV_FIND_WRITE);
    if (v == NULL || kv_ctx_find(c, &to, KV_FIND_WRITE) != NULL) {
        kv_reply_int(c->reply, 0);
        return;
    }
    if (!transfer(c, &from, v, &to, NULL)) return;
    kv_ctx_changed(c, &from, KV_EVENT_GENERIC, "move_from");
    kv_ctx_changed(c, &to, KV_EVENT_GENERIC, "move_to");
    c->unit->dirty--;
    kv_reply_int(c->reply, 1);
}

static bool parse_copy(kv_ctx *c, int *db, bool *replace) {
    *db = c->db;
    *replace = false;
    for (int arg = 3; arg < c->argc; arg++) {
        if (kv_ctx_is(c, arg, "replace")) {
            *replace = true;
        } else if (kv_ctx_is(c, arg, "db") && arg + 1 < c->argc) {
            if (!database(c, ++arg, db)) return false;
        } else {
            kv_ctx_syntax_error(c);
            return false;
        }
    }
    return true;
}

void kv_cmd_copy(kv_ctx *c) {
    int db;
    bool replace;
    if (!parse_copy(c, &db, &replace)) return;
    kv_key from = kv_ctx_key(c, 1), to = kv_ctx_key_in(c, 2, db);
    if (db == c->db && kv_slice_eq(from.name, to.name)) {
        kv_reply_error(c->reply, KV_ERR_SAME_OBJECT);
        return;
    }
    kv_value *v = kv_ctx_find(c, &from, KV_FIND_READ);
    kv_value *old = v == NULL ? NULL : kv_ctx_find(c, &to, KV_FIND_WRITE);
    if (v == NULL || (old != NULL && !replace)) {
        kv_reply_int(c->reply, 0);
        return;
    }
    kv_keydb *target = kv_ctx_open(c, &to);
    if (target == NULL) return;
    if (old != NULL) kv_ctx_modify(c, &to, old);
    if (!kv_ctx_ok(c, kv_keydb_copy(v, target, to.hash, to.name, old, NULL))) return;
    kv_ctx_notify(c, &to, KV_EVENT_NEW, "new");
    kv_ctx_ready(c, &to);
    kv_ctx_changed(c, &to, KV_EVENT_GENERIC, "copy_to");
    kv_reply_int(c->reply, 1);
}
