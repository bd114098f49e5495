/* The options of HSCAN, ZSCAN and SSCAN. An unknown word, a missing argument and a count below 1 are all plain syntax errors; the other type's word has
 * a text of its own. */
#include "commands/scan_options.h"

#include "engine/errors.h"

bool kv_scan_options_read(kv_ctx *c, kv_scan_kind kind, kv_scan_options *out) {
    *out = (kv_scan_options){.count = 10, .match_all = true};
    for (int i = 3; i < c->argc; i++) {
        bool last = i + 1 == c->argc;
        if (kv_ctx_is(c, i, "count") && !last) {
            int64_t count;
            if (!kv_ctx_i64(c, ++i, &count)) return false;
            if (count < 1) {
                kv_ctx_syntax_error(c);
                return false;
            }
            out->count = (size_t)count;
        } else if (kv_ctx_is(c, i, "match") && !last) {
            out->pattern = c->argv[++i];
            out->match_all = kv_slice_eq(out->pattern, KV_LIT("*"));
        } else if (kv_ctx_is(c, i, "novalues") || kv_ctx_is(c, i, "noscores")) {
            bool values = kv_ctx_is(c, i, "novalues");
            if (kind != (values ? KV_SCAN_HASH : KV_SCAN_ZSET)) {
                kv_reply_error(c->reply,
                               values ? "ERR NOVALUES option can only be used in HSCAN" : "ERR NOSCORES option can only be used in ZSCAN");
                return false;
            }
            out->names_only = true;
        } else {
            kv_ctx_syntax_error(c);
            return false;
        }
    }
    return true;
}

void kv_scan_page_init(kv_scan_page *page, kv_ctx *c, const kv_scan_options *options) {
    page->options = options;
    page->written = 0;
    kv_buf_init(&page->items, kv_ctx_mem(c));
    page->writer = kv_reply_to(&page->items, c->reply->format);
}

void kv_scan_page_finish(kv_scan_page *page, kv_ctx *c, uint64_t cursor) {
    if (page->items.failed) {
        kv_ctx_out_of_memory(c);
    } else {
        char text[KV_NUM_MAX];
        kv_reply_array(c->reply, 2);
        kv_reply_bulk(c->reply, kv_slice_of(text, kv_format_u64(text, cursor)));
        kv_reply_array(c->reply, page->written);
        kv_reply_raw(c->reply, kv_buf_slice(&page->items));
    }
    kv_buf_deinit(&page->items);
}
