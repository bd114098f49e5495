/* DEBUG LISTPACK, QUICKLIST and QUICKLIST-PACKED-THRESHOLD: how lists and other small values are laid out. What a structure looks like goes to the log, in
 * lines; they are made under the locks and written without, since the log may wait for a disk. */
#include <stdlib.h>

#include "commands/debug.h"
#include "ds/listpack.h"
#include "ds/quicklist.h"
#include "engine/errors.h"
#include "types/list.h"

enum { LINES_MAX = 4096, TEXT_MAX = 64 };

/* ---- text for the log ---- */

typedef struct page {
    kv_buf text; /* lines, each with its newline */
    size_t lines, more;
} page;

/* Counts a line; false: the page is full, it is only counted. */
static bool line(page *p) {
    if (p->lines < LINES_MAX) return ++p->lines > 0;
    p->more++;
    return false;
}

static void add_item(page *p, size_t number, kv_lp_item item) {
    if (!line(p)) return;
    if (item.is_int) {
        kv_buf_printf(&p->text, "    item %zu: integer %lld\n", number, (long long)item.num);
        return;
    }
    kv_buf_printf(&p->text, "    item %zu: %zu bytes \"", number, item.str.len);
    for (size_t i = 0; i < item.str.len && i < TEXT_MAX; i++) {
        uint8_t byte = item.str.ptr[i];
        if (byte < ' ' || byte > '~' || byte == '"' || byte == '\\') kv_buf_printf(&p->text, "\\x%02x", byte);
        else kv_buf_add_byte(&p->text, byte);
    }
    kv_buf_add_slice(&p->text, item.str.len > TEXT_MAX ? KV_LIT("\"...\n") : KV_LIT("\"\n"));
}

/* Writes the page, or replies the error. */
static void publish(kv_ctx *c, page *p, kv_status status, const char *reply) {
    if (p->more > 0) kv_buf_printf(&p->text, "    and %zu lines more\n", p->more);
    if (status != KV_OK || p->text.failed) {
        kv_ctx_out_of_memory(c);
    } else {
        uint64_t held = kv_debug_open_locks(c);
        const uint8_t *at = p->text.ptr, *end = at + p->text.len;
        for (const uint8_t *stop; at < end && (stop = memchr(at, '\n', (size_t)(end - at))) != NULL; at = stop + 1)
            kv_log_write(&c->engine->log, KV_LOG_NOTICE, "%.*s", (int)(stop - at), (const char *)at);
        kv_debug_close_locks(c, held);
        kv_reply_status(c->reply, reply);
    }
    kv_buf_deinit(&p->text);
}

/* ---- the structures ---- */

static const kv_value *value_of(kv_ctx *c, kv_enc enc, const char *error) {
    kv_key key = kv_ctx_key_named(c, c->argv[2]);
    const kv_value *v = kv_ctx_find(c, &key, KV_FIND_PEEK);
    if (v == NULL) kv_reply_error(c->reply, KV_ERR_NO_SUCH_KEY);
    else if (v->enc != enc) kv_reply_error(c->reply, error);
    else return v;
    return NULL;
}

void kv_debug_listpack(kv_ctx *c) {
    const kv_value *v = value_of(c, KV_ENC_LISTPACK, "ERR Not a listpack encoded object.");
    if (v == NULL) return;
    page p = {0};
    kv_buf_init(&p.text, kv_ctx_mem(c));
    const uint8_t *lp = v->u.ptr;
    size_t number = 0;
    (void)line(&p);
    kv_buf_printf(&p.text, "DEBUG LISTPACK: %zu items, %zu bytes\n", kv_lp_count(lp), kv_lp_bytes(lp));
    for (const uint8_t *at = kv_lp_first(lp); at != NULL; at = kv_lp_next(lp, at)) add_item(&p, number++, kv_lp_get(at));
    publish(c, &p, KV_OK, "Listpack structure printed on stdout");
}

static void add_node(page *p, size_t number, const kv_ql_node *node) {
    static const char *const forms[] = {[KV_QL_RAW] = "raw",
                                        [KV_QL_HIGH] = "raw, at the end of its block",
                                        [KV_QL_PACKED] = "LZF",
                                        [KV_QL_STUBBORN] = "raw: compressing gains too little",
                                        [KV_QL_POSTPONED] = "raw: there was no memory to compress it"};
    if (!line(p)) return;
    kv_buf_printf(&p->text, "  node %zu: %s, %u items, %zu bytes", number, node->plain ? "plain" : "listpack", node->count, node->bytes);
    if (node->form == KV_QL_PACKED) kv_buf_printf(&p->text, " in %zu", kv_ql_node_stored(node).len);
    kv_buf_printf(&p->text, ", %s\n", forms[node->form]);
}

void kv_debug_quicklist(kv_ctx *c) {
    const kv_value *v = value_of(c, KV_ENC_QUICKLIST, "ERR Not a quicklist encoded object.");
    if (v == NULL) return;
    bool items = c->argc == 4 && kv_slice_eq(c->argv[3], KV_LIT("1"));
    const kv_quicklist *list = v->u.ptr;
    page p = {0};
    kv_buf_init(&p.text, kv_ctx_mem(c));
    (void)line(&p);
    kv_buf_printf(&p.text, "DEBUG QUICKLIST: %zu items, %zu nodes, %zu bytes held, fill %d, depth %u, plain from %u bytes\n", list->count,
                  list->nodes, kv_quicklist_bytes(list), list->fill, list->depth, list->large);
    kv_ql_pos pos = {0};
    kv_status status = items ? kv_quicklist_at(list, 0, &pos) : KV_OK;
    size_t number = 0;
    for (const kv_ql_node *node = list->head; node != NULL && status != KV_ENOMEM; node = node->next) {
        add_node(&p, number++, node);
        for (size_t i = 0; items && i < node->count && status == KV_OK; i++, status = kv_ql_next(&pos)) add_item(&p, i, kv_ql_get(&pos));
    }
    publish(c, &p, status == KV_ENOMEM ? KV_ENOMEM : KV_OK, "Quicklist structure printed on stdout");
}

/* ---- the threshold ---- */

static bool set_threshold(void *arg, kv_value *v) {
    if (v->type == KV_LIST) kv_list_set_threshold(v, *(const int64_t *)arg);
    return true;
}

/* Every long list is told, so that none has to ask; new ones hear of it with their limits. O(keys). */
void kv_debug_packed_threshold(kv_ctx *c) {
    int64_t size;
    if (c->argv[2].len == 0) {
        size = 0;
    } else if (!kv_parse_bytes(c->argv[2], &size) || size < 0 || size > KV_QL_LARGE_MAX) {
        kv_reply_error(c->reply, "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
        return;
    }
    atomic_store_explicit(&c->engine->packed_threshold, size, memory_order_relaxed);
    const kv_store *store = &c->engine->store;
    for (unsigned s = 0; s < store->shard_count; s++)
        for (unsigned d = 0; d < store->db_count; d++) kv_keydb_each(kv_shard_db(&store->shards[s], d), set_threshold, &size);
    kv_reply_ok(c->reply);
}
