/* SADD SREM SMOVE SISMEMBER SMISMEMBER SCARD SMEMBERS SSCAN: sets member by member. */
#include "commands/scan_options.h"
#include "types/set.h"

/* Adds argv[2] and on; *added counts the new ones. */
static kv_status add_arguments(kv_ctx *c, kv_value *v, kv_arena *arena, int64_t *added) {
    *added = 0;
    for (int i = 2; i < c->argc; i++) {
        bool fresh;
        kv_status status = kv_set_add(v, arena, kv_ctx_limits(c), c->argv[i], &fresh);
        if (status != KV_OK) return status;
        *added += fresh;
    }
    return KV_OK;
}

/* A new set is built whole before it gets its key. */
static void add_new(kv_ctx *c, const kv_key *key) {
    if (kv_ctx_open(c, key) == NULL) return;
    kv_arena *arena = kv_ctx_arena(key);
    kv_value fresh = {0};
    int64_t added;
    if (!kv_ctx_ok(c, kv_set_create(&fresh, arena, kv_ctx_limits(c), c->argv[2], (size_t)c->argc - 2))) return;
    if (!kv_ctx_ok(c, add_arguments(c, &fresh, arena, &added)) || kv_ctx_add(c, key, &fresh) == NULL) {
        kv_set_free(&fresh, arena);
        return;
    }
    kv_ctx_changed(c, key, KV_EVENT_SET, "sadd");
    kv_reply_int(c->reply, added);
}

void kv_cmd_sadd(kv_ctx *c) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_SET, KV_FIND_WRITE, &v)) return;
    if (v == NULL) {
        add_new(c, &key);
        return;
    }
    int64_t added = 0;
    kv_arena *arena = kv_ctx_arena(&key);
    kv_ctx_modify(c, &key, v);
    kv_status status = kv_set_expect(v, arena, kv_ctx_limits(c), (size_t)c->argc - 2);
    if (status == KV_OK) status = add_arguments(c, v, arena, &added);
    if (added > 0) kv_ctx_changed(c, &key, KV_EVENT_SET, "sadd"); /* what was added before memory ran out stays */
    if (kv_ctx_ok(c, status)) kv_reply_int(c->reply, added);
}

void kv_cmd_srem(kv_ctx *c) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_SET, KV_FIND_WRITE, &v)) return;
    int64_t removed = 0;
    kv_status status = KV_OK;
    if (v != NULL) {
        kv_ctx_modify(c, &key, v);
        for (int i = 2; i < c->argc && status == KV_OK && kv_set_length(v) > 0; i++) {
            bool gone = false;
            status = kv_set_remove(v, kv_ctx_arena(&key), c->argv[i], &gone);
            removed += gone;
        }
        if (removed > 0) {
            kv_ctx_changed(c, &key, KV_EVENT_SET, "srem");
            if (kv_set_length(v) == 0) kv_ctx_delete_empty(c, &key);
        }
    }
    if (kv_ctx_ok(c, status)) kv_reply_int(c->reply, removed);
}

/* Puts the member into the set at `key`, which may not exist yet. False: replied. */
static bool move_in(kv_ctx *c, const kv_key *key, kv_value *v, kv_slice member, bool *added) {
    kv_arena *arena;
    if (v != NULL) {
        kv_ctx_modify(c, key, v);
        return kv_ctx_ok(c, kv_set_add(v, kv_ctx_arena(key), kv_ctx_limits(c), member, added));
    }
    if (kv_ctx_open(c, key) == NULL) return false;
    arena = kv_ctx_arena(key);
    kv_value fresh = {0};
    if (!kv_ctx_ok(c, kv_set_create(&fresh, arena, kv_ctx_limits(c), member, 1))) return false;
    if (kv_ctx_ok(c, kv_set_add(&fresh, arena, kv_ctx_limits(c), member, added)) && kv_ctx_add(c, key, &fresh) != NULL) return true;
    kv_set_free(&fresh, arena);
    return false;
}

/* SMOVE source destination member. The member leaves the source first, so that the events come in that order; when the destination cannot take it, it goes
 * back to where it just was. */
void kv_cmd_smove(kv_ctx *c) {
    kv_value *src, *dst;
    kv_slice member = c->argv[3];
    kv_key src_key = kv_ctx_key(c, 1), dst_key = kv_ctx_key(c, 2);
    src = kv_ctx_find(c, &src_key, KV_FIND_WRITE);
    dst = kv_ctx_find(c, &dst_key, KV_FIND_WRITE);
    if (src == NULL) {
        kv_reply_int(c->reply, 0);
        return;
    }
    if (src->type != KV_SET || (dst != NULL && dst->type != KV_SET)) {
        kv_ctx_wrong_type(c);
        return;
    }
    bool present = kv_set_has(src, member), added;
    if (src == dst || !present) {
        kv_reply_int(c->reply, present);
        return;
    }
    kv_ctx_modify(c, &src_key, src);
    if (!kv_ctx_ok(c, kv_set_remove(src, kv_ctx_arena(&src_key), member, NULL))) return;
    kv_ctx_changed(c, &src_key, KV_EVENT_SET, "srem");
    /* An emptied source stays until the member has arrived; only its event is due now. */
    bool emptied = kv_set_length(src) == 0;
    if (emptied) kv_ctx_notify(c, &src_key, KV_EVENT_GENERIC, "del");
    if (!move_in(c, &dst_key, dst, member, &added)) {
        if (kv_set_add(src, kv_ctx_arena(&src_key), kv_ctx_limits(c), member, NULL) != KV_OK && emptied) kv_ctx_delete(c, &src_key);
        return;
    }
    if (emptied) kv_ctx_delete(c, &src_key);
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

void kv_cmd_smembers(kv_ctx *c) {
    kv_value *v;
    kv_key key = kv_ctx_key(c, 1);
    if (!kv_ctx_find_type(c, &key, KV_SET, KV_FIND_READ, &v)) return;
    kv_reply_set(c->reply, v == NULL ? 0 : kv_set_length(v));
    if (v == NULL) return;
    kv_set_iter it;
    kv_slice member;
    for (kv_set_iter_init(&it, v); kv_set_next(&it, &member);) kv_reply_bulk(c->reply, member);
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
