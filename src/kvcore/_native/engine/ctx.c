/* What handlers call on their context: arguments as numbers, fixed errors, the instant and the limits of the unit. */
#include "engine/ctx.h"

#include <math.h>

#include "engine/engine.h"
#include "engine/errors.h"

bool kv_ctx_i64_or(kv_ctx *c, int arg, int64_t *out, const char *error) {
    if (kv_parse_i64(c->argv[arg], out)) return true;
    kv_reply_error(c->reply, error);
    return false;
}

bool kv_ctx_i64(kv_ctx *c, int arg, int64_t *out) { return kv_ctx_i64_or(c, arg, out, KV_ERR_NOT_INTEGER); }

bool kv_ctx_range_i64(kv_ctx *c, int arg, int64_t min, int64_t max, int64_t *out, const char *error) {
    int64_t value;
    if (!kv_ctx_i64_or(c, arg, &value, error == NULL ? KV_ERR_NOT_INTEGER : error)) return false;
    if (value >= min && value <= max) {
        *out = value;
        return true;
    }
    if (error != NULL) kv_reply_error(c->reply, error);
    else kv_reply_errorf(c->reply, KV_ERR_OUT_OF_RANGE_BETWEEN, (long long)min, (long long)max);
    return false;
}

bool kv_ctx_positive(kv_ctx *c, int arg, int64_t *out) {
    int64_t value;
    if (!kv_parse_i64(c->argv[arg], &value) || value < 0) {
        kv_reply_error(c->reply, KV_ERR_MUST_BE_POSITIVE);
        return false;
    }
    *out = value;
    return true;
}

bool kv_ctx_double_or(kv_ctx *c, int arg, double *out, const char *error) {
    if (kv_parse_double(c->argv[arg], out)) return true;
    kv_reply_error(c->reply, error);
    return false;
}

bool kv_ctx_double(kv_ctx *c, int arg, double *out) { return kv_ctx_double_or(c, arg, out, KV_ERR_NOT_FLOAT); }

bool kv_ctx_timeout(kv_ctx *c, int arg, int64_t *timeout_ms) {
    long double seconds;
    if (!kv_parse_long_double(c->argv[arg], &seconds)) {
        kv_reply_error(c->reply, KV_ERR_TIMEOUT_INVALID);
        return false;
    }
    long double ms = ceill(seconds * 1000.0L); /* 0.0001 s is a wait, not "for ever" */
    if (ms > (long double)INT64_MAX) {
        kv_reply_error(c->reply, KV_ERR_TIMEOUT_RANGE);
        return false;
    }
    if (seconds < 0) {
        kv_reply_error(c->reply, KV_ERR_TIMEOUT_NEGATIVE);
        return false;
    }
    if (ms > (long double)(INT64_MAX - kv_ctx_now_ms(c))) {
        kv_reply_error(c->reply, KV_ERR_TIMEOUT_RANGE);
        return false;
    }
    *timeout_ms = (int64_t)ms;
    return true;
}

bool kv_ctx_cursor(kv_ctx *c, int arg, uint64_t *out) {
    kv_slice text = c->argv[arg];
    size_t i = 0;
    uint64_t value = 0;
    /* Like strtoull: space in front, one plus, leading zeros; clients send what they were given, people type. */
    while (i < text.len && (text.ptr[i] == ' ' || (text.ptr[i] >= '\t' && text.ptr[i] <= '\r'))) i++;
    if (i < text.len && text.ptr[i] == '+') i++;
    bool valid = i < text.len;
    for (; valid && i < text.len; i++) {
        unsigned digit = (unsigned)text.ptr[i] - '0';
        valid = digit <= 9 && !__builtin_mul_overflow(value, 10, &value) && !__builtin_add_overflow(value, digit, &value);
    }
    if (valid) *out = value;
    else kv_reply_error(c->reply, KV_ERR_INVALID_CURSOR);
    return valid;
}

void kv_ctx_wrong_type(kv_ctx *c) { kv_reply_error(c->reply, KV_ERR_WRONG_TYPE); }
void kv_ctx_syntax_error(kv_ctx *c) { kv_reply_error(c->reply, KV_ERR_SYNTAX); }
void kv_ctx_arity_error(kv_ctx *c) { kv_reply_errorf(c->reply, KV_ERR_WRONG_ARITY, c->command->full_name); }
void kv_ctx_subcommand_error(kv_ctx *c) {
    char name[32], container[32];
    size_t len = c->argv[1].len < sizeof name - 1 ? c->argv[1].len : sizeof name - 1;
    memcpy(name, c->argv[1].ptr, len);
    name[len] = 0;
    size_t i = 0;
    for (const char *from = c->command->full_name; from[i] != '|' && from[i] != 0 && i < sizeof container - 1; i++)
        container[i] = (char)(from[i] >= 'a' && from[i] <= 'z' ? from[i] - 32 : from[i]);
    container[i] = 0;
    kv_reply_errorf(c->reply, KV_ERR_UNKNOWN_SUBCOMMAND_OR_ARITY, name, container);
}
void kv_ctx_out_of_memory(kv_ctx *c) { kv_reply_error(c->reply, KV_ERR_OUT_OF_MEMORY); }

bool kv_ctx_ok(kv_ctx *c, kv_status status) {
    switch (status) {
    case KV_OK: return true;
    case KV_ENOMEM: kv_ctx_out_of_memory(c); break;
    case KV_ENOTFOUND: kv_reply_error(c->reply, KV_ERR_NO_SUCH_KEY); break;
    case KV_EEXISTS: kv_reply_error(c->reply, KV_ERR_BUSY_KEY); break;
    case KV_ERANGE: kv_reply_error(c->reply, KV_ERR_INDEX_RANGE); break;
    case KV_ETOOBIG: kv_reply_error(c->reply, KV_ERR_STRING_TOO_BIG); break;
    case KV_ENAN: kv_reply_error(c->reply, KV_ERR_SCORE_NAN); break;
    case KV_EINVAL:
    case KV_EIO:
    case KV_ECORRUPT: kv_reply_errorf(c->reply, "ERR %s", kv_status_name(status)); break;
    }
    return false;
}

int64_t kv_ctx_past_ms(kv_ctx *c) { return atomic_load_explicit(&c->engine->loading, memory_order_relaxed) ? 0 : kv_ctx_now_ms(c); }

int64_t kv_ctx_now_ms(kv_ctx *c) {
    if (c->unit->now_ms == 0) c->unit->now_ms = kv_clock_ms_at(&c->engine->clock, c->unit->ticks);
    return c->unit->now_ms;
}

const kv_limits *kv_ctx_limits(kv_ctx *c) {
    if (!c->limits_set) {
        const kv_settings *s = &c->engine->settings;
        c->limits = (kv_limits){
            .hash_max_listpack_entries = (size_t)kv_setting(s, KV_CFG_HASH_MAX_LISTPACK_ENTRIES),
            .hash_max_listpack_value = (size_t)kv_setting(s, KV_CFG_HASH_MAX_LISTPACK_VALUE),
            .set_max_intset_entries = (size_t)kv_setting(s, KV_CFG_SET_MAX_INTSET_ENTRIES),
            .set_max_listpack_entries = (size_t)kv_setting(s, KV_CFG_SET_MAX_LISTPACK_ENTRIES),
            .set_max_listpack_value = (size_t)kv_setting(s, KV_CFG_SET_MAX_LISTPACK_VALUE),
            .zset_max_listpack_entries = (size_t)kv_setting(s, KV_CFG_ZSET_MAX_LISTPACK_ENTRIES),
            .zset_max_listpack_value = (size_t)kv_setting(s, KV_CFG_ZSET_MAX_LISTPACK_VALUE),
            .list_max_listpack_size = kv_setting(s, KV_CFG_LIST_MAX_LISTPACK_SIZE),
            .list_compress_depth = kv_setting(s, KV_CFG_LIST_COMPRESS_DEPTH),
            .list_packed_threshold = atomic_load_explicit(&c->engine->packed_threshold, memory_order_relaxed),
        };
        c->limits_set = true;
    }
    return &c->limits;
}

kv_rng *kv_ctx_rng(kv_ctx *c) {
    if (c->unit->locked != 0) return &c->engine->store.shards[__builtin_ctzll(c->unit->locked)].rng;
    return &c->session->rng;
}

kv_mem *kv_ctx_mem(kv_ctx *c) { return &c->engine->mem; }
