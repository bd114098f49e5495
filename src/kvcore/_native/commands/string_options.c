/* Words may be repeated; those that contradict each other are a syntax error. Of a repeated expiry the last one counts. */
#include "commands/string_options.h"

#include "commands/keys_common.h"

typedef struct expiry_word {
    const char *word;
    int64_t unit_ms;
    bool absolute;
} expiry_word;

static const expiry_word expiry_words[] = {{"ex", 1000, false}, {"px", 1, false}, {"exat", 1000, true}, {"pxat", 1, true}};

static const expiry_word *find_expiry(const kv_ctx *c, int arg) {
    for (size_t i = 0; i < sizeof expiry_words / sizeof *expiry_words; i++)
        if (kv_ctx_is(c, arg, expiry_words[i].word)) return &expiry_words[i];
    return NULL;
}

static bool take_condition(const kv_ctx *c, int *arg, unsigned known, kv_string_options *o) {
    if ((known & KV_STRING_NX_XX) != 0 && kv_ctx_is(c, *arg, "nx") && !o->xx && o->ifeq == NULL) return o->nx = true;
    if ((known & KV_STRING_NX_XX) != 0 && kv_ctx_is(c, *arg, "xx") && !o->nx && o->ifeq == NULL) return o->xx = true;
    if ((known & KV_STRING_IFEQ) == 0 || !kv_ctx_is(c, *arg, "ifeq") || o->nx || o->xx || o->ifeq != NULL || *arg + 1 >= c->argc)
        return false;
    o->ifeq = &c->argv[++*arg];
    return true;
}

bool kv_string_options_parse(kv_ctx *c, int from, unsigned known, kv_string_options *out) {
    kv_string_options o = {.rule = KV_EXPIRE_CLEAR};
    const expiry_word *expiry = NULL;
    int expiry_arg = 0;
    for (int arg = from; arg < c->argc; arg++) {
        if (take_condition(c, &arg, known, &o)) continue;
        if ((known & KV_STRING_GET) != 0 && kv_ctx_is(c, arg, "get")) {
            o.get = true;
        } else if ((known & KV_STRING_KEEPTTL) != 0 && kv_ctx_is(c, arg, "keepttl") && expiry == NULL) {
            o.keepttl = true;
        } else if ((known & KV_STRING_PERSIST) != 0 && kv_ctx_is(c, arg, "persist") && expiry == NULL) {
            o.persist = true;
        } else {
            const expiry_word *word = find_expiry(c, arg);
            if (word == NULL || o.keepttl || o.persist || (expiry != NULL && expiry != word) || arg + 1 >= c->argc) {
                kv_ctx_syntax_error(c);
                return false;
            }
            expiry = word;
            expiry_arg = ++arg;
        }
    }
    if (expiry != NULL) {
        if (!kv_keys_moment(c, expiry_arg, expiry->unit_ms, expiry->absolute, &o.expire_ms)) return false;
        o.rule = KV_EXPIRE_AT;
    } else if (o.keepttl) {
        o.rule = KV_EXPIRE_KEEP;
    }
    *out = o;
    return true;
}
