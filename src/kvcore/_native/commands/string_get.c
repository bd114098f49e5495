/* Commands that read strings, some of which change the key's life on the way: GET, GETEX, GETDEL, MGET, STRLEN, GETRANGE, DELIFEQ. */
#include "commands/keys_common.h"
#include "commands/string_options.h"
#include "engine/effect.h"
#include "types/string.h"

static void reply_value(kv_ctx *c, const kv_value *v) {
    char scratch[KV_NUM_MAX];
    if (v == NULL) kv_reply_null(c->reply);
    else kv_reply_bulk(c->reply, kv_entry_string(v, scratch));
}

void kv_cmd_get(kv_ctx *c) {
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v;
    if (kv_ctx_find_type(c, &key, KV_STRING, KV_FIND_READ, &v)) reply_value(c, v);
}

void kv_cmd_mget(kv_ctx *c) {
    kv_reply_array(c->reply, (size_t)c->argc - 1);
    for (int arg = 1; arg < c->argc; arg++) {
        kv_key key = kv_ctx_key(c, arg);
        kv_value *v = kv_ctx_find(c, &key, KV_FIND_READ);
        reply_value(c, v != NULL && v->type == KV_STRING ? v : NULL);
    }
}

void kv_cmd_getex(kv_ctx *c) {
    kv_string_options o;
    if (!kv_string_options_parse(c, 2, KV_STRING_PERSIST, &o)) return;
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v;
    if (!kv_ctx_find_type(c, &key, KV_STRING, KV_FIND_READ, &v)) return;
    kv_mark mark = kv_reply_defer(c->reply);
    reply_value(c, v);
    if (v == NULL) return;
    if (o.rule == KV_EXPIRE_AT && o.expire_ms <= kv_ctx_past_ms(c)) {
        kv_keys_expire_now(c, &key);
    } else if (o.rule == KV_EXPIRE_AT) {
        uint32_t errors = c->reply->errors;
        if (kv_ctx_set_expire(c, &key, v, o.expire_ms) != NULL) {
            kv_ctx_changed(c, &key, KV_EVENT_GENERIC, "expire");
            char text[KV_NUM_MAX];
            kv_ctx_effect(c, 3, (kv_slice[]){KV_LIT("PEXPIREAT"), key.name, kv_slice_of(text, kv_format_i64(text, o.expire_ms))});
        } else if (c->reply->errors > errors) {
            kv_reply_rewind(c->reply, mark);
            kv_ctx_out_of_memory(c);
        }
    } else if (o.persist && kv_entry_expire_ms(v) >= 0) {
        if (kv_ctx_set_expire(c, &key, v, KV_NO_EXPIRE) == NULL) return;
        kv_ctx_changed(c, &key, KV_EVENT_GENERIC, "persist");
        kv_ctx_effect(c, 2, (kv_slice[]){KV_LIT("PERSIST"), key.name});
    }
}

void kv_cmd_getdel(kv_ctx *c) {
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v;
    if (!kv_ctx_find_type(c, &key, KV_STRING, KV_FIND_READ, &v)) return;
    reply_value(c, v);
    if (v == NULL || !kv_ctx_delete(c, &key)) return;
    kv_ctx_changed(c, &key, KV_EVENT_GENERIC, "del");
    kv_ctx_effect(c, 2, (kv_slice[]){KV_LIT("DEL"), key.name});
}

void kv_cmd_delifeq(kv_ctx *c) {
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v;
    if (!kv_ctx_find_type(c, &key, KV_STRING, KV_FIND_WRITE, &v)) return;
    char scratch[KV_NUM_MAX];
    bool equal = v != NULL && kv_slice_eq(kv_entry_string(v, scratch), c->argv[2]);
    if (equal && kv_ctx_delete(c, &key)) {
        kv_ctx_changed(c, &key, KV_EVENT_GENERIC, "del");
        kv_ctx_effect(c, 2, (kv_slice[]){KV_LIT("DEL"), key.name});
    }
    kv_reply_int(c->reply, equal);
}

void kv_cmd_strlen(kv_ctx *c) {
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v;
    if (!kv_ctx_find_type(c, &key, KV_STRING, KV_FIND_READ, &v)) return;
    kv_reply_int(c->reply, v == NULL ? 0 : (int64_t)kv_entry_string_length(v));
}

void kv_cmd_getrange(kv_ctx *c) {
    int64_t start, end;
    if (!kv_ctx_i64(c, 2, &start) || !kv_ctx_i64(c, 3, &end)) return;
    kv_key key = kv_ctx_key(c, 1);
    kv_value *v;
    if (!kv_ctx_find_type(c, &key, KV_STRING, KV_FIND_READ, &v)) return;
    char scratch[KV_NUM_MAX];
    kv_slice bytes = v == NULL ? (kv_slice){0} : kv_entry_string(v, scratch);
    kv_reply_bulk(c->reply, kv_str_range(bytes, start, end));
}

void kv_cmd_substr(kv_ctx *c) { kv_cmd_getrange(c); }
