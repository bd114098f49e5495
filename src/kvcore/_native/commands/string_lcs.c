/* LCS: the longest common subsequence of two strings. */
#include "commands/keys_common.h"
#include "engine/errors.h"
#include "types/string.h"

typedef struct lcs_options {
    bool len, idx, with_length;
    int64_t min_length;
} lcs_options;

static bool parse(kv_ctx *c, lcs_options *o) {
    *o = (lcs_options){0};
    for (int arg = 3; arg < c->argc; arg++) {
        if (kv_ctx_is(c, arg, "idx")) {
            o->idx = true;
        } else if (kv_ctx_is(c, arg, "len")) {
            o->len = true;
        } else if (kv_ctx_is(c, arg, "withmatchlen")) {
            o->with_length = true;
        } else if (kv_ctx_is(c, arg, "minmatchlen") && arg + 1 < c->argc) {
            if (!kv_ctx_i64(c, ++arg, &o->min_length)) return false;
        } else {
            kv_ctx_syntax_error(c);
            return false;
        }
    }
    if (o->idx && o->len) {
        kv_reply_error(c->reply, KV_ERR_LCS_LEN_IDX);
        return false;
    }
    return true;
}

static void reply_range(kv_ctx *c, size_t first, size_t length) {
    kv_reply_array(c->reply, 2);
    kv_reply_int(c->reply, (int64_t)first);
    kv_reply_int(c->reply, (int64_t)(first + length - 1));
}

static void reply_matches(kv_ctx *c, kv_lcs *lcs, const lcs_options *o) {
    kv_reply_map(c->reply, 2);
    kv_reply_bulk_cstr(c->reply, "matches");
    kv_mark mark = kv_reply_defer(c->reply);
    size_t count = 0;
    kv_lcs_match match;
    while (kv_lcs_next(lcs, &match)) {
        if (o->min_length > 0 && match.length < (uint64_t)o->min_length) continue;
        kv_reply_array(c->reply, o->with_length ? 3 : 2);
        reply_range(c, match.a_first, match.length);
        reply_range(c, match.b_first, match.length);
        if (o->with_length) kv_reply_int(c->reply, (int64_t)match.length);
        count++;
    }
    kv_reply_defer_array(c->reply, mark, count);
    kv_reply_bulk_cstr(c->reply, "len");
    kv_reply_int(c->reply, kv_lcs_length(lcs));
}

static void reply_text(kv_ctx *c, kv_lcs *lcs) {
    size_t len = kv_lcs_length(lcs), left = len;
    uint8_t *text = kv_malloc(kv_ctx_mem(c), len + 1);
    if (text == NULL) {
        kv_ctx_out_of_memory(c);
        return;
    }
    kv_lcs_match match;
    while (kv_lcs_next(lcs, &match)) { /* from the end */
        left -= match.length;
        memcpy(text + left, lcs->a.ptr + match.a_first, match.length);
    }
    kv_reply_bulk(c->reply, kv_slice_of(text, len));
    kv_free(kv_ctx_mem(c), text);
}

void kv_cmd_lcs(kv_ctx *c) {
    kv_key first = kv_ctx_key(c, 1), second = kv_ctx_key(c, 2);
    char scratch_a[KV_NUM_MAX], scratch_b[KV_NUM_MAX];
    kv_value *a = kv_ctx_find(c, &first, KV_FIND_READ), *b = kv_ctx_find(c, &second, KV_FIND_READ);
    if ((a != NULL && a->type != KV_STRING) || (b != NULL && b->type != KV_STRING)) {
        kv_reply_error(c->reply, KV_ERR_LCS_TYPES);
        return;
    }
    lcs_options o;
    if (!parse(c, &o)) return;
    kv_slice text_a = a == NULL ? (kv_slice){0} : kv_entry_string(a, scratch_a),
             text_b = b == NULL ? (kv_slice){0} : kv_entry_string(b, scratch_b);
    kv_lcs lcs;
    kv_status status = kv_lcs_init(&lcs, kv_ctx_mem(c), text_a, text_b, kv_keys_string_max(c));
    if (status != KV_OK) {
        kv_reply_error(c->reply, status == KV_ETOOBIG ? KV_ERR_LCS_TOO_BIG : KV_ERR_LCS_MEMORY);
        return;
    }
    if (o.idx) reply_matches(c, &lcs, &o);
    else if (o.len) kv_reply_int(c->reply, kv_lcs_length(&lcs));
    else reply_text(c, &lcs);
    kv_lcs_deinit(&lcs);
}
