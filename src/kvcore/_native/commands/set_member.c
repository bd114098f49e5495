/* SADD SREM SMOVE SISMEMBER SMISMEMBER SCARD SMEMBERS SSCAN: sets member by member. */
#include "commands/scan_options.h"
#include "engine/longreply.h"
#include "types/set.h"

/* A new set is built whole before it gets its key. */
static void add_new(kv_ctx *c, const kv_key *key) {
    if (kv_ctx_open(c, key) == NULL) return;
    kv_arena *arena = kv_ctx_arena(key);
    kv_value fresh = {0};
    size_t count = (size_t)c->argc - 2, added;
    if (!kv_ctx_ok(c, kv_set_create(&fresh, arena, kv_ctx_limits(c), c->argv[2], count))) return;
    if (!kv_ctx_ok(c, kv_set_add_many(&fresh, arena, kv_ctx_limits(c), c->argv + 2, count, &added)) || kv_ctx_add(c, key, &fresh) == NULL) {
        kv_set_free(&fresh, arena);
        return;
    }
    kv_ctx_changed(c, key, KV_EVENT_SET, "sadd");
    kv_reply_int(c->reply, (int64_t)added);
}

void kv_cmd_sadd(kv_ctx *c) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_SET, KV_FIND_WRITE, &v)) return;
    if (v == NULL) {
        add_new(c, &key);
        return;
    }
    size_t count = (size_t)c->argc - 2, added;
    kv_arena *arena = kv_ctx_arena(&key);
    kv_ctx_modify(c, &key, v);
    kv_status status = kv_set_expect(v, arena, kv_ctx_limits(c), count);
    if (status == KV_OK) status = kv_set_add_many(v, arena, kv_ctx_limits(c), c->argv + 2, count, &added);
    if (!kv_ctx_ok(c, status)) return;
    if (added > 0) kv_ctx_changed(c, &key, KV_EVENT_SET, "sadd");
    kv_reply_int(c->reply, (int64_t)added);
}

void kv_cmd_srem(kv_ctx *c) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_SET, KV_FIND_WRITE, &v)) return;
    size_t removed = 0;
    if (v != NULL) {
        kv_ctx_modify(c, &key, v);
        if (!kv_ctx_ok(c, kv_set_remove_many(v, kv_ctx_arena(&key), c->argv + 2, (size_t)c->argc - 2, &removed))) return;
    }
    if (removed > 0) {
        kv_ctx_changed(c, &key, KV_EVENT_SET, "srem");
        if (kv_set_length(v) == 0) kv_ctx_delete_empty(c, &key);
    }
    kv_reply_int(c->reply, (int64_t)removed);
}

/* Puts the member into the set at `key`; `v` is NULL when there is none yet. No event: they are due later. False: replied, nothing has
 * changed. */
static bool move_in(kv_ctx *c, const kv_key *key, kv_value *v, kv_slice member, bool *added) {
    if (v != NULL) {
        kv_ctx_modify(c, key, v);
        return kv_ctx_ok(c, kv_set_add(v, kv_ctx_arena(key), kv_ctx_limits(c), member, added));
    }
    kv_keydb *db = kv_ctx_open(c, key);
    if (db == NULL) return false;
    kv_arena *arena = kv_ctx_arena(key);
    kv_value fresh = {0};
    if (!kv_ctx_ok(c, kv_set_create(&fresh, arena, kv_ctx_limits(c), member, 1))) return false;
    kv_status status = kv_set_add(&fresh, arena, kv_ctx_limits(c), member, added);
    if (status == KV_OK) status = kv_keydb_add_value(db, key->hash, key->name, fresh, &v);
    if (status != KV_OK) kv_set_free(&fresh, arena);
    return kv_ctx_ok(c, status);
}

/* The member arrives before it leaves; what leaving takes is there before it arrives. False: replied, nothing has changed. */
static bool move_member(kv_ctx *c, const kv_key *src_key, kv_value *src, const kv_key *dst_key, kv_value *dst, bool last, bool *added) {
    kv_slice member = c->argv[3];
    kv_arena *arena = kv_ctx_arena(src_key);
    kv_value draft;
    if (last) return move_in(c, dst_key, dst, member, added); /* the whole key goes */
    if (!kv_ctx_ok(c, kv_set_draft(src, arena, &draft))) return false;
    bool is_table = draft.u.ptr == src->u.ptr; /* removing from it does not fail */
    kv_status status = is_table ? KV_OK : kv_set_remove(&draft, arena, member, NULL);
    bool moved = kv_ctx_ok(c, status) && move_in(c, dst_key, dst, member, added);
    kv_ctx_modify(c, src_key, src);
    if (moved && is_table) (void)kv_set_remove(src, arena, member, NULL);
    kv_set_draft_end(src, arena, &draft, moved);
    return moved;
}

/* SMOVE source destination member */
void kv_cmd_smove(kv_ctx *c) {
    kv_slice member = c->argv[3];
    kv_key src_key = kv_ctx_key(c, 1), dst_key = kv_ctx_key(c, 2);
    kv_value *src = kv_ctx_find(c, &src_key, KV_FIND_WRITE), *dst = kv_ctx_find(c, &dst_key, KV_FIND_WRITE);
    if (src == NULL) {
        kv_reply_int(c->reply, 0);
        return;
    }
    if (src->type != KV_SET || (dst != NULL && dst->type != KV_SET)) {
        kv_ctx_wrong_type(c);
        return;
    }
    bool present = kv_set_has(src, member), added = false, last = kv_set_length(src) == 1;
    if (src == dst || !present) {
        kv_reply_int(c->reply, present);
        return;
    }
    if (!move_member(c, &src_key, src, &dst_key, dst, last, &added)) return;
    kv_ctx_changed(c, &src_key, KV_EVENT_SET, "srem");
    if (last) kv_ctx_delete_empty(c, &src_key);
    if (dst == NULL) {
        kv_ctx_notify(c, &dst_key, KV_EVENT_NEW, "new");
        kv_ctx_ready(c, &dst_key);
    }
    if (added) kv_ctx_changed(c, &dst_key, KV_EVENT_SET, "sadd");
    kv_reply_int(c->reply, 1);
}

void kv_cmd_sismember(kv_ctx *c) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (kv_ctx_find_type(c, &key, KV_SET, KV_FIND_READ, &v)) kv_reply_int(c->reply, v != NULL && kv_set_has(v, c->argv[2]));
}

void kv_cmd_smismember(kv_ctx *c) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_SET, KV_FIND_READ, &v)) return;
    kv_reply_array(c->reply, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) kv_reply_int(c->reply, v != NULL && kv_set_has(v, c->argv[i]));
}

void kv_cmd_scard(kv_ctx *c) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (kv_ctx_find_type(c, &key, KV_SET, KV_FIND_READ, &v)) kv_reply_int(c->reply, v == NULL ? 0 : (int64_t)kv_set_length(v));
}

static void set_walk_begin(void *state, const kv_value *v) { kv_set_iter_init(state, v); }

static size_t set_walk_write(void *state, kv_reply *reply, size_t items) {
    kv_slice member;
    size_t written = 0;
    for (; written < items && kv_set_next(state, &member); written++) kv_reply_bulk(reply, member);
    return written;
}

void kv_cmd_smembers(kv_ctx *c) {
    static const kv_walk how = {sizeof(kv_set_iter), set_walk_begin, set_walk_write, NULL};
    _Static_assert(sizeof(kv_set_iter) <= KV_WALK_BYTES, "the state of a walk has its room");
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_SET, KV_FIND_READ, &v)) return;
    kv_reply_set(c->reply, v == NULL ? 0 : kv_set_length(v));
    if (v == NULL) return;
    kv_set_iter it;
    kv_ctx_ok(c, kv_ctx_reply_walk(c, &key, v, kv_set_length(v), &how, &it));
}

static void scan_visit(void *ctx, kv_slice member) {
    kv_scan_page *page = ctx;
    if (!kv_scan_wants(page->options, member)) return;
    kv_reply_bulk(&page->writer, member);
    page->written++;
}

/* SSCAN key cursor [MATCH pattern] [COUNT count] */
void kv_cmd_sscan(kv_ctx *c) {
    uint64_t cursor;
    if (!kv_ctx_cursor(c, 2, &cursor)) return;
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_SET, KV_FIND_READ, &v)) return;
    if (v == NULL) { /* answered before the options are looked at */
        kv_reply_array(c->reply, 2);
        kv_reply_bulk_cstr(c->reply, "0");
        kv_reply_array(c->reply, 0);
        return;
    }
    kv_scan_options options;
    if (!kv_scan_options_read(c, KV_SCAN_SET, &options)) return;
    kv_scan_page page;
    kv_scan_page_init(&page, c, &options);
    cursor = kv_set_scan(v, cursor, options.count, scan_visit, &page);
    kv_scan_page_finish(&page, c, cursor);
}
