/* Client filters: options of CLIENT LIST and CLIENT KILL, each with a negated form. */
#include "commands/client_filter.h"

#include "commands/client_names.h"
#include "engine/dispatch.h"
#include "engine/errors.h"
#include "engine/tracking_private.h"
#include "engine/transaction.h"

int kv_client_type_parse(kv_slice word) {
    if (kv_slice_is(word, "normal")) return KV_SESSION_NORMAL;
    if (kv_slice_is(word, "pubsub")) return KV_SESSION_PUBSUB;
    if (kv_slice_is(word, "replica") || kv_slice_is(word, "slave")) return KV_SESSION_REPLICA;
    if (kv_slice_is(word, "master") || kv_slice_is(word, "primary")) return KV_SESSION_PRIMARY;
    return -1;
}

size_t kv_client_flags(const kv_session *session, char out[24]) {
    size_t len = 0;
    if (atomic_load_explicit(&session->monitor, memory_order_relaxed)) out[len++] = 'O';
    if (session->kind == KV_SESSION_PUBSUB) out[len++] = 'P';
    if (session->shown_multi >= 0) out[len++] = 'x';
    if (atomic_load_explicit(&session->block_state, memory_order_relaxed) != KV_BLOCK_NONE) out[len++] = 'b';
    if (session->shown_tracking) out[len++] = 't';
    if (session->shown_broken_redirect) out[len++] = 'R';
    if (session->shown_bcast) out[len++] = 'B';
    if (atomic_load_explicit(&session->dirty_cas, memory_order_relaxed)) out[len++] = 'd';
    if (session->closing) out[len++] = 'c';
    if (session->address[0] == '/') out[len++] = 'U';
    if (session->read_only) out[len++] = 'r';
    if (session->no_evict) out[len++] = 'e';
    if (session->no_touch) out[len++] = 'T';
    if (len == 0) out[len++] = 'N';
    return len;
}

/* ---- parsing ---- */

static const struct {
    const char *word;
    int text;
} text_options[] = {
    {"user", KV_FILTER_USER},       {"addr", KV_FILTER_ADDR},   {"laddr", KV_FILTER_LADDR},
    {"name", KV_FILTER_NAME},       {"flags", KV_FILTER_FLAGS}, {"lib-name", KV_FILTER_LIB_NAME},
    {"lib-ver", KV_FILTER_LIB_VER}, {"capa", KV_FILTER_CAPA},   {"ip", KV_FILTER_IP},
};

static bool check_flags(kv_ctx *c, kv_slice flags) {
    for (size_t i = 0; i < flags.len; i++) {
        if (strchr("ABEIMNOPRSTUbcdeirtux", flags.ptr[i] == 0 ? '?' : flags.ptr[i]) != NULL) continue;
        kv_reply_errorf(c->reply, "ERR Unknown flags found in the provided filter: %s", kv_client_printable(flags).text);
        return false;
    }
    return true;
}

/* ID takes every number that follows, and may come several times: what is kept is where the first list begins and the last one ends. */
static bool parse_ids(kv_ctx *c, int *i, int negated, kv_client_filter *filter) {
    int first = *i + 1, at = first;
    int64_t id;
    for (; at < c->argc; at++) {
        if (!kv_parse_i64(c->argv[at], &id)) break;
        if (id > 0) continue;
        kv_reply_error(c->reply, "ERR client-id should be greater than 0");
        return false;
    }
    if (at == first) {
        kv_ctx_syntax_error(c);
        return false;
    }
    if (filter->ids_count[negated] == 0) filter->ids_at[negated] = first;
    filter->ids_count[negated] = at - filter->ids_at[negated];
    *i = at - 1;
    return true;
}

static bool parse_seconds(kv_ctx *c, int arg, const char *what, int64_t *out) {
    if (!kv_parse_i64(c->argv[arg], out)) {
        kv_reply_errorf(c->reply, "ERR %s is not an integer or out of range", what);
        return false;
    }
    if (*out > 0) return true;
    kv_reply_errorf(c->reply, "ERR %s should be greater than 0", what);
    return false;
}

/* One option with its value at i + 1. *taken false: no such option. */
static bool parse_option(kv_ctx *c, int *i, kv_client_filter *filter, bool *taken) {
    kv_slice word = c->argv[*i], value = c->argv[*i + 1];
    int negated = word.len > 4 && kv_slice_eq_nocase(kv_slice_of(word.ptr, 4), KV_LIT("not-"));
    if (negated) word = kv_slice_of(word.ptr + 4, word.len - 4);
    *taken = true;
    if (kv_slice_is(word, "id")) return parse_ids(c, i, negated, filter);
    int at = ++*i;
    for (size_t k = 0; k < sizeof text_options / sizeof *text_options; k++) {
        if (!kv_slice_is(word, text_options[k].word)) continue;
        if (text_options[k].text == KV_FILTER_FLAGS && !check_flags(c, value)) return false;
        if (text_options[k].text == KV_FILTER_CAPA && !kv_slice_eq(value, KV_LIT("r"))) {
            kv_reply_errorf(c->reply, "ERR Unknown capa found in the provided filter: %s", kv_client_printable(value).text);
            return false;
        }
        if (text_options[k].text == KV_FILTER_USER && !kv_slice_eq(value, KV_LIT("default"))) {
            kv_reply_errorf(c->reply, "ERR No such user '%s'", kv_client_printable(value).text);
            return false;
        }
        filter->texts[negated][text_options[k].text] = (kv_client_test){true, value};
        return true;
    }
    if (kv_slice_is(word, "type")) {
        filter->type[negated] = kv_client_type_parse(value);
        if (filter->type[negated] >= 0) return true;
        kv_reply_errorf(c->reply, KV_ERR_UNKNOWN_CLIENT_TYPE, kv_client_printable(value).text);
        return false;
    }
    if (kv_slice_is(word, "db")) {
        if (!kv_ctx_i64_or(c, at, &filter->db[negated], "ERR DB is not an integer or out of range")) return false;
        if (filter->db[negated] >= 0 && filter->db[negated] < (int64_t)c->engine->store.db_count) return true;
        kv_reply_errorf(c->reply, "ERR DB number should be between 0 and %u", c->engine->store.db_count - 1);
        return false;
    }
    if (!negated && kv_slice_is(word, "maxage")) return parse_seconds(c, at, "maxage", &filter->max_age_s);
    if (!negated && kv_slice_is(word, "idle")) return parse_seconds(c, at, "idle", &filter->idle_s);
    if (!negated && kv_slice_is(word, "skipme") && (kv_slice_is(value, "yes") || kv_slice_is(value, "no"))) {
        filter->skip_me = kv_slice_is(value, "yes");
        filter->skip_me_given = true;
        return true;
    }
    *taken = false;
    return true;
}

bool kv_client_filter_parse(kv_ctx *c, int first, kv_client_filter *filter) {
    *filter = (kv_client_filter){.type = {-1, -1}, .db = {-1, -1}};
    for (int i = first; i < c->argc; i++) {
        bool taken = false;
        if (i + 1 < c->argc && !parse_option(c, &i, filter, &taken)) return false;
        if (taken) continue;
        kv_ctx_syntax_error(c);
        return false;
    }
    return true;
}

/* ---- matching ---- */

static bool has_id(kv_ctx *c, const kv_client_filter *filter, int negated, uint64_t id) {
    bool listed = true; /* inside one of the lists of this kind */
    for (int i = 0; i < filter->ids_count[negated]; i++) {
        kv_slice word = c->argv[filter->ids_at[negated] + i];
        int64_t wanted;
        if (!kv_parse_i64(word, &wanted)) listed = kv_slice_is(word, negated ? "not-id" : "id");
        else if (listed && (uint64_t)wanted == id) return true;
    }
    return false;
}

static bool text_matches(const kv_session *session, int which, kv_slice text) {
    char flags[24];
    switch (which) {
    case KV_FILTER_USER: return kv_slice_eq(kv_buf_slice(&session->user), text);
    case KV_FILTER_ADDR: return kv_slice_eq(kv_slice_cstr(session->address), text);
    case KV_FILTER_LADDR: return kv_slice_eq(kv_slice_cstr(session->local_address), text);
    case KV_FILTER_NAME: return kv_slice_eq(kv_buf_slice(&session->name), text);
    case KV_FILTER_LIB_NAME: return kv_slice_eq(kv_buf_slice(&session->lib_name), text);
    case KV_FILTER_LIB_VER: return kv_slice_eq(kv_buf_slice(&session->lib_version), text);
    case KV_FILTER_CAPA: return text.len == 1 && text.ptr[0] == 'r' && session->capa_redirect;
    case KV_FILTER_IP: {
        const char *colon = strrchr(session->address, ':');
        size_t len = colon == NULL ? strlen(session->address) : (size_t)(colon - session->address);
        kv_slice host = kv_slice_of(session->address, len);
        if (len > 2 && host.ptr[0] == '[') host = kv_slice_of(host.ptr + 1, len - 2);
        return kv_slice_eq(host, text);
    }
    default: {
        size_t len = kv_client_flags(session, flags);
        for (size_t i = 0; i < text.len; i++)
            if (memchr(flags, text.ptr[i], len) == NULL) return false;
        return true;
    }
    }
}

bool kv_client_filter_match(kv_ctx *c, const kv_client_filter *filter, kv_session *session) {
    for (int negated = 0; negated < 2; negated++) {
        bool wanted = negated == 0;
        if (filter->ids_count[negated] > 0 && has_id(c, filter, negated, session->id) != wanted) return false;
        if (filter->type[negated] >= 0 && ((int)session->kind == filter->type[negated]) != wanted) return false;
        if (filter->db[negated] >= 0 && (session->db == filter->db[negated]) != wanted) return false;
        for (int which = 0; which < KV_FILTER_TEXTS; which++)
            if (filter->texts[negated][which].set && text_matches(session, which, filter->texts[negated][which].text) != wanted)
                return false;
    }
    int64_t now = kv_clock_ms(&c->engine->clock);
    if (filter->max_age_s > 0 && now - session->created_ms < filter->max_age_s * 1000) return false;
    if (filter->idle_s > 0 && now - atomic_load_explicit(&session->last_command_ms, memory_order_relaxed) < filter->idle_s * 1000)
        return false;
    return !(filter->skip_me && session == c->session);
}
