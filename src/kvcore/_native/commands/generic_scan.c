/* Walking the names of a database: KEYS all at once, SCAN step by step. Expired keys are not shown; SCAN removes those that it meets, after the walk, so
 * that the table does not change under it. */
#include "base/glob.h"
#include "commands/keys_common.h"
#include "engine/engine.h"
#include "engine/errors.h"

typedef struct listing {
    kv_ctx *c;
    kv_slice pattern;
    bool all; /* the pattern is "*" or not there */
    int type; /* kv_type, -1: any */
    size_t count;
    kv_buf *expired; /* where the names of expired keys are noted, each behind its length; NULL: nowhere */
} listing;

static void note_expired(const listing *l, const kv_value *v) {
    if (l->expired == NULL) return;
    kv_slice name = kv_entry_key(v);
    kv_buf_add(l->expired, &name.len, sizeof name.len);
    kv_buf_add_slice(l->expired, name);
}

/* Without memory for all names some stay: they are found again, or expire actively. */
static void remove_expired(kv_ctx *c, const kv_buf *names) {
    for (size_t at = 0; !names->failed && at < names->len;) {
        kv_slice name = {0};
        memcpy(&name.len, names->ptr + at, sizeof name.len);
        at += sizeof name.len;
        name.ptr = names->ptr + at;
        at += name.len;
        kv_key key = kv_ctx_key_named(c, name);
        (void)kv_ctx_find(c, &key, KV_FIND_PEEK);
    }
}

static bool is_shown(const listing *l, const kv_value *v) {
    if (l->type >= 0 && v->type != (unsigned)l->type) return false;
    if (!l->all && !kv_glob(l->pattern, kv_entry_key(v), false)) return false;
    if (!kv_entry_expired(v, kv_ctx_now_ms(l->c))) return true;
    note_expired(l, v);
    return false;
}

static void show(void *arg, kv_value *v) {
    listing *l = arg;
    if (!is_shown(l, v)) return;
    kv_reply_bulk(l->c->reply, kv_entry_key(v));
    l->count++;
}

static bool show_each(void *arg, kv_value *v) {
    show(arg, v);
    return true;
}

void kv_cmd_keys(kv_ctx *c) {
    listing l = {.c = c, .pattern = c->argv[1], .type = -1};
    l.all = kv_slice_eq(l.pattern, KV_LIT("*"));
    kv_mark mark = kv_reply_defer(c->reply);
    if (kv_glob_is_literal(l.pattern)) {
        kv_key key = kv_ctx_key_named(c, l.pattern);
        kv_value *v = kv_keydb_find(kv_shard_db(key.shard, (unsigned)c->db), key.hash, key.name);
        if (v != NULL) show(&l, v);
    } else {
        for (unsigned i = 0; i < c->engine->store.shard_count; i++)
            kv_keydb_each(kv_shard_db(&c->engine->store.shards[i], (unsigned)c->db), show_each, &l);
    }
    kv_reply_defer_array(c->reply, mark, l.count);
}

static bool parse_type(kv_ctx *c, int arg, int *type) {
    static const char *const names[KV_TYPE_COUNT] = {"string", "list", "set", "zset", "hash", "stream"};
    for (int i = 0; i < KV_TYPE_COUNT; i++) {
        if (!kv_ctx_is(c, arg, names[i])) continue;
        *type = i;
        return true;
    }
    char word[129];
    size_t len = c->argv[arg].len > 128 ? 128 : c->argv[arg].len;
    memcpy(word, c->argv[arg].ptr, len);
    word[len] = '\0';
    kv_reply_errorf(c->reply, KV_ERR_UNKNOWN_TYPE, word);
    return false;
}

static bool parse_scan(kv_ctx *c, listing *l, int64_t *count) {
    for (int arg = 2; arg < c->argc; arg += 2) {
        bool more = arg + 1 < c->argc;
        if (more && kv_ctx_is(c, arg, "count")) {
            if (!kv_ctx_i64(c, arg + 1, count)) return false;
            if (*count < 1) {
                kv_ctx_syntax_error(c);
                return false;
            }
        } else if (more && kv_ctx_is(c, arg, "match")) {
            l->pattern = c->argv[arg + 1];
            l->all = kv_slice_eq(l->pattern, KV_LIT("*"));
        } else if (more && kv_ctx_is(c, arg, "type")) {
            if (!parse_type(c, arg + 1, &l->type)) return false;
        } else if (kv_ctx_is(c, arg, "novalues")) {
            kv_reply_error(c->reply, KV_ERR_HSCAN_NOVALUES);
            return false;
        } else if (kv_ctx_is(c, arg, "noscores")) {
            kv_reply_error(c->reply, KV_ERR_ZSCAN_NOSCORES);
            return false;
        } else {
            kv_ctx_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* The cursor stands before the names in the reply and is known only after them: they are written to the side first. */
void kv_cmd_scan(kv_ctx *c) {
    uint64_t cursor;
    int64_t count = 10;
    listing l = {.c = c, .all = true, .type = -1};
    if (!kv_ctx_cursor(c, 1, &cursor) || !parse_scan(c, &l, &count)) return;
    kv_buf names, expired;
    kv_buf_init(&names, kv_ctx_mem(c));
    kv_buf_init(&expired, kv_ctx_mem(c));
    l.expired = &expired;
    kv_reply side = kv_reply_to(&names, c->reply->format), *reply = c->reply;
    c->reply = &side;
    uint64_t next = kv_store_scan(&c->engine->store, (unsigned)c->db, cursor, c->unit->locked, (size_t)count, show, &l);
    c->reply = reply;
    remove_expired(c, &expired);
    if (names.failed) {
        kv_ctx_out_of_memory(c);
    } else {
        char text[KV_NUM_MAX];
        kv_reply_array(c->reply, 2);
        kv_reply_bulk(c->reply, kv_slice_of(text, kv_format_u64(text, next)));
        kv_reply_array(c->reply, l.count);
        kv_reply_raw(c->reply, kv_buf_slice(&names));
    }
    kv_buf_deinit(&names);
    kv_buf_deinit(&expired);
}
