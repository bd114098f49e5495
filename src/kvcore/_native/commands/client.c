/* CLIENT: what a connection says of itself, what it may ask of others, and how it ends them. */
#include "commands/client_filter.h"
#include "commands/client_names.h"
#include "engine/client_memory.h"
#include "engine/dispatch.h"
#include "engine/errors.h"
#include "engine/standstill.h"
#include "engine/tracking_private.h"

/* ---- names ---- */

bool kv_client_set_text(kv_ctx *c, kv_buf *field, kv_slice text) {
    kv_buf fresh;
    kv_buf_init(&fresh, &c->engine->mem);
    kv_buf_add_slice(&fresh, text);
    if (fresh.failed) {
        kv_buf_deinit(&fresh);
        kv_ctx_out_of_memory(c);
        return false;
    }
    kv_mutex_lock(&c->engine->clients_lock);
    kv_buf old = *field;
    *field = fresh;
    c->session->text_bytes += fresh.cap - old.cap;
    kv_mutex_unlock(&c->engine->clients_lock);
    kv_buf_deinit(&old);
    return true;
}

void kv_cmd_client_id(kv_ctx *c) { kv_reply_int(c->reply, (int64_t)c->session->id); }

void kv_cmd_client_getname(kv_ctx *c) {
    if (c->session->name.len == 0) kv_reply_null(c->reply);
    else kv_reply_bulk(c->reply, kv_buf_slice(&c->session->name));
}

void kv_cmd_client_setname(kv_ctx *c) {
    if (!kv_client_name_ok(c->argv[2])) kv_reply_error(c->reply, KV_ERR_CLIENT_NAME);
    else if (kv_client_set_text(c, &c->session->name, c->argv[2])) kv_reply_ok(c->reply);
}

void kv_cmd_client_setinfo(kv_ctx *c) {
    bool name = kv_ctx_is(c, 2, "lib-name");
    if (!name && !kv_ctx_is(c, 2, "lib-ver")) {
        kv_reply_errorf(c->reply, KV_ERR_CLIENT_SETINFO_OPTION, kv_client_printable(c->argv[2]).text);
    } else if (!kv_client_name_ok(c->argv[3])) {
        kv_reply_errorf(c->reply, KV_ERR_CLIENT_SETINFO_CHARS, kv_client_printable(c->argv[2]).text);
    } else if (kv_client_set_text(c, name ? &c->session->lib_name : &c->session->lib_version, c->argv[3])) {
        kv_reply_ok(c->reply);
    }
}

void kv_cmd_client_capa(kv_ctx *c) {
    for (int i = 2; i < c->argc; i++)
        if (kv_ctx_is(c, i, "redirect")) c->session->capa_redirect = true; /* capabilities that are not known are for later versions */
    kv_reply_ok(c->reply);
}

/* ---- LIST, INFO ---- */

static void describe(kv_ctx *c, kv_session *s, kv_buf *out) {
    kv_session_facts facts;
    size_t memory = kv_session_memory(s, &facts);
    int64_t now = kv_clock_ms(&c->engine->clock);
    const kv_command *command = atomic_load_explicit(&s->last_command, memory_order_relaxed);
    char flags[24];
    size_t flags_len = kv_client_flags(s, flags);
    int64_t idle = (now - atomic_load_explicit(&s->last_command_ms, memory_order_relaxed)) / 1000;
    kv_buf_printf(out, "id=%llu addr=%s laddr=%s fd=%d name=", (unsigned long long)s->id, s->in_process ? "embedded:0" : s->address,
                  s->in_process ? "embedded:0" : s->local_address, facts.fd);
    kv_buf_add_slice(out, kv_buf_slice(&s->name));
    kv_buf_printf(out, " age=%lld idle=%lld flags=%.*s capa=%s db=%d sub=%u psub=%u ssub=%u multi=%d watch=%u",
                  (long long)((now - s->created_ms) / 1000), (long long)(s == c->session || idle < 0 ? 0 : idle), (int)flags_len, flags,
                  s->capa_redirect ? "r" : "", s->db, s->shown_channels, s->shown_patterns, s->shown_shard_channels, s->shown_multi,
                  s->shown_watch);
    kv_buf_printf(out, " qbuf=%zu qbuf-free=%zu argv-mem=%d multi-mem=%zu rbs=0 rbp=0 obl=%zu oll=%zu omem=%zu tot-mem=%zu events=%s",
                  facts.query_len, facts.query_free, 0, atomic_load_explicit(&s->shown_multi_bytes, memory_order_relaxed), facts.output_len,
                  facts.output_chunks, facts.output_len, memory, facts.events);
    kv_buf_printf(out, " cmd=%s user=", command == NULL ? "NULL" : command->full_name);
    kv_buf_add_slice(out, kv_buf_slice(&s->user));
    int64_t redirect = s->shown_tracking ? (int64_t)atomic_load_explicit(&s->shown_redirect, memory_order_relaxed) : -1;
    kv_buf_printf(out, " redir=%lld resp=%d lib-name=", (long long)redirect, s->format == KV_FORMAT_RESP2 ? 2 : 3);
    kv_buf_add_slice(out, kv_buf_slice(&s->lib_name));
    kv_buf_add_slice(out, KV_LIT(" lib-ver="));
    kv_buf_add_slice(out, kv_buf_slice(&s->lib_version));
    kv_buf_printf(out, " tot-net-in=%llu tot-net-out=%llu tot-cmds=%llu\n", (unsigned long long)s->bytes_in,
                  (unsigned long long)s->bytes_out, (unsigned long long)s->commands);
}

static void reply_text(kv_ctx *c, kv_buf *text) {
    if (text->failed) kv_ctx_out_of_memory(c);
    else kv_reply_verbatim(c->reply, kv_buf_slice(text));
    kv_buf_deinit(text);
}

void kv_cmd_client_info(kv_ctx *c) {
    kv_buf text;
    kv_buf_init(&text, &c->engine->mem);
    kv_mutex_lock(&c->engine->clients_lock);
    describe(c, c->session, &text);
    kv_mutex_unlock(&c->engine->clients_lock);
    reply_text(c, &text);
}

void kv_cmd_client_list(kv_ctx *c) {
    kv_client_filter filter;
    if (!kv_client_filter_parse(c, 2, &filter)) return;
    kv_buf text;
    kv_buf_init(&text, &c->engine->mem);
    kv_mutex_lock(&c->engine->clients_lock);
    for (kv_session *s = c->engine->clients; s != NULL; s = s->next)
        if ((!s->in_process || s == c->session) && kv_client_filter_match(c, &filter, s)) describe(c, s, &text);
    kv_mutex_unlock(&c->engine->clients_lock);
    reply_text(c, &text);
}

/* ---- KILL, UNBLOCK, PAUSE ---- */

static void kill_session(kv_ctx *c, kv_session *session) {
    if (session == c->session) {
        session->closing = true; /* after its reply */
        return;
    }
    atomic_store_explicit(&session->killed, true, memory_order_release);
    kv_wake_later(c, session);
}

void kv_cmd_client_kill(kv_ctx *c) {
    kv_client_filter filter;
    bool old_form = c->argc == 3;
    if (old_form) filter = (kv_client_filter){.type = {-1, -1}, .db = {-1, -1}, .texts[0][KV_FILTER_ADDR] = {true, c->argv[2]}};
    else if (!kv_client_filter_parse(c, 2, &filter)) return;
    else if (!filter.skip_me_given) filter.skip_me = true;
    int64_t killed = 0;
    kv_mutex_lock(&c->engine->clients_lock);
    for (kv_session *s = c->engine->clients; s != NULL; s = s->next) {
        if (s->in_process || !kv_client_filter_match(c, &filter, s)) continue;
        kill_session(c, s);
        killed++;
        if (old_form) break;
    }
    kv_mutex_unlock(&c->engine->clients_lock);
    if (!old_form) kv_reply_int(c->reply, killed);
    else if (killed > 0) kv_reply_ok(c->reply);
    else kv_reply_error(c->reply, KV_ERR_NO_SUCH_CLIENT);
}

void kv_cmd_client_unblock(kv_ctx *c) {
    int64_t id;
    kv_unblock why = KV_UNBLOCK_TIMEOUT;
    if (c->argc == 4) {
        if (kv_ctx_is(c, 3, "error")) {
            why = KV_UNBLOCK_ERROR;
        } else if (!kv_ctx_is(c, 3, "timeout")) {
            kv_reply_error(c->reply, KV_ERR_UNBLOCK_REASON);
            return;
        }
    }
    if (!kv_ctx_i64(c, 2, &id)) return;
    bool unblocked = false;
    kv_mutex_lock(&c->engine->clients_lock);
    for (kv_session *s = c->engine->clients; s != NULL; s = s->next)
        if (s->id == (uint64_t)id) unblocked = kv_session_ask_unblock(c, s, why);
    kv_mutex_unlock(&c->engine->clients_lock);
    kv_reply_int(c->reply, unblocked);
}

void kv_cmd_client_pause(kv_ctx *c) {
    int64_t ms, now = kv_ctx_now_ms(c);
    bool writes_only = false;
    if (c->argc == 4) {
        writes_only = kv_ctx_is(c, 3, "write");
        if (!writes_only && !kv_ctx_is(c, 3, "all")) {
            kv_reply_error(c->reply, KV_ERR_PAUSE_MODE);
            return;
        }
    }
    if (!kv_ctx_i64_or(c, 2, &ms, KV_ERR_TIMEOUT_NOT_INTEGER)) return;
    if (ms < 0 || ms > INT64_MAX - now) {
        kv_reply_error(c->reply, ms < 0 ? KV_ERR_TIMEOUT_NEGATIVE : KV_ERR_TIMEOUT_RANGE);
        return;
    }
    /* A pause that is going on is only ever made longer and stricter. */
    int64_t until = atomic_load_explicit(&c->engine->pause_until_ms, memory_order_relaxed);
    bool running = until > now;
    if (!running || now + ms > until) until = now + ms;
    bool strict = running && !atomic_load_explicit(&c->engine->pause_writes_only, memory_order_relaxed);
    atomic_store_explicit(&c->engine->pause_writes_only, writes_only && !strict, memory_order_relaxed);
    atomic_store_explicit(&c->engine->pause_until_ms, until, memory_order_release);
    atomic_fetch_add_explicit(&c->engine->stats.pauses, 1, memory_order_relaxed);
    kv_reply_ok(c->reply);
}

void kv_cmd_client_unpause(kv_ctx *c) {
    atomic_store_explicit(&c->engine->pause_until_ms, 0, memory_order_release);
    kv_wake_paused(c);
    kv_reply_ok(c->reply);
}

/* ---- modes of this connection ---- */

void kv_cmd_client_reply(kv_ctx *c) {
    if (kv_ctx_is(c, 2, "on")) {
        c->session->reply_mode = KV_REPLY_ON;
        kv_reply_ok(c->reply);
    } else if (kv_ctx_is(c, 2, "off")) {
        c->session->reply_mode = KV_REPLY_OFF;
    } else if (kv_ctx_is(c, 2, "skip")) {
        if (c->session->reply_mode != KV_REPLY_OFF) c->session->reply_mode = KV_REPLY_SKIP_NEXT;
    } else {
        kv_ctx_syntax_error(c);
    }
}

static void set_flag(kv_ctx *c, _Atomic bool *flag) {
    if (!kv_ctx_is(c, 2, "on") && !kv_ctx_is(c, 2, "off")) {
        kv_ctx_syntax_error(c);
        return;
    }
    atomic_store_explicit(flag, kv_ctx_is(c, 2, "on"), memory_order_relaxed);
    kv_reply_ok(c->reply);
}

void kv_cmd_client_no_evict(kv_ctx *c) { set_flag(c, &c->session->no_evict); }
void kv_cmd_client_no_touch(kv_ctx *c) { set_flag(c, &c->session->no_touch); }

void kv_cmd_client_import_source(kv_ctx *c) {
    if (kv_ctx_is(c, 2, "off")) kv_reply_ok(c->reply);
    else kv_reply_error(c->reply, KV_ERR_NOT_IMPORTING); /* comes before the look at the word, as in Valkey */
}

/* ---- TRACKING ---- */

typedef struct tracking_words {
    kv_tracking_options options;
    kv_slice *prefixes;
    bool redirect_given;
} tracking_words;

static bool session_exists(kv_ctx *c, uint64_t id) {
    bool found = false;
    kv_mutex_lock(&c->engine->clients_lock);
    for (const kv_session *s = c->engine->clients; s != NULL; s = s->next) found |= s->id == id;
    kv_mutex_unlock(&c->engine->clients_lock);
    return found;
}

static bool parse_redirect(kv_ctx *c, int arg, tracking_words *words) {
    int64_t id;
    if (words->redirect_given) {
        kv_reply_error(c->reply, "ERR A client can only redirect to a single other client");
        return false;
    }
    words->redirect_given = true;
    if (!kv_ctx_i64(c, arg, &id)) return false;
    if (!session_exists(c, (uint64_t)id)) {
        kv_reply_error(c->reply, "ERR The client ID you want redirect to does not exist");
        return false;
    }
    words->options.redirect = (uint64_t)id;
    return true;
}

static bool parse_tracking(kv_ctx *c, tracking_words *words) {
    kv_tracking_options *o = &words->options;
    for (int i = 3; i < c->argc; i++) {
        if (kv_ctx_is(c, i, "redirect") && i + 1 < c->argc) {
            if (!parse_redirect(c, ++i, words)) return false;
        } else if (kv_ctx_is(c, i, "bcast")) {
            o->bcast = true;
        } else if (kv_ctx_is(c, i, "optin")) {
            o->optin = true;
        } else if (kv_ctx_is(c, i, "optout")) {
            o->optout = true;
        } else if (kv_ctx_is(c, i, "noloop")) {
            o->noloop = true;
        } else if (kv_ctx_is(c, i, "prefix") && i + 1 < c->argc) {
            words->prefixes[o->prefix_count++] = c->argv[++i];
        } else {
            kv_ctx_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* NULL: the combination makes sense. */
static const char *tracking_conflict(const kv_ctx *c, const kv_tracking_options *o) {
    kv_tracking_state now = kv_tracking_get(c->session);
    if (!o->bcast && o->prefix_count > 0) return "ERR PREFIX option requires BCAST mode to be enabled";
    if (now.on && now.bcast != o->bcast)
        return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different "
               "mode.";
    if (o->bcast && (o->optin || o->optout)) return "ERR OPTIN and OPTOUT are not compatible with BCAST";
    if (o->optin && o->optout) return "ERR You can't specify both OPTIN mode and OPTOUT mode";
    if ((o->optin && now.optout) || (o->optout && now.optin))
        return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different "
               "mode.";
    return NULL;
}

static bool is_given(const tracking_words *words, kv_slice prefix) {
    for (size_t i = 0; i < words->options.prefix_count; i++)
        if (words->prefixes[i].ptr == prefix.ptr) return true;
    return false;
}

static void tracking_on(kv_ctx *c, tracking_words *words) {
    const char *conflict = tracking_conflict(c, &words->options);
    if (conflict != NULL) {
        kv_reply_error(c->reply, conflict);
        return;
    }
    kv_slice a, b;
    words->options.prefixes = words->prefixes;
    switch (kv_tracking_enable(c->session, &words->options, &a, &b)) {
    case KV_OK: kv_reply_ok(c->reply); break;
    case KV_EEXISTS:
        if (is_given(words, a) && is_given(words, b))
            kv_reply_errorf(c->reply, KV_ERR_TRACKING_PREFIX_GIVEN_TWICE, kv_client_printable(a).text, kv_client_printable(b).text);
        else kv_reply_errorf(c->reply, KV_ERR_TRACKING_PREFIX_OVERLAP, kv_client_printable(a).text, kv_client_printable(b).text);
        break;
    default: kv_ctx_out_of_memory(c); break;
    }
}

void kv_cmd_client_tracking(kv_ctx *c) {
    tracking_words words = {.prefixes = kv_malloc(kv_ctx_mem(c), (size_t)c->argc * sizeof(kv_slice))};
    if (words.prefixes == NULL) {
        kv_ctx_out_of_memory(c);
        return;
    }
    if (parse_tracking(c, &words)) {
        if (kv_ctx_is(c, 2, "on")) {
            tracking_on(c, &words);
        } else if (kv_ctx_is(c, 2, "off")) {
            kv_tracking_leave(c->session);
            kv_reply_ok(c->reply);
        } else {
            kv_ctx_syntax_error(c);
        }
    }
    kv_free(kv_ctx_mem(c), words.prefixes);
}

void kv_cmd_client_caching(kv_ctx *c) {
    kv_tracking_state state = kv_tracking_get(c->session);
    if (!state.on) {
        kv_reply_error(c->reply, KV_ERR_CACHING_MODE);
    } else if (kv_ctx_is(c, 2, "yes")) {
        if (state.optin) {
            kv_tracking_set_caching(c->session, KV_CACHING_YES);
            kv_reply_ok(c->reply);
        } else {
            kv_reply_error(c->reply, KV_ERR_CACHING_YES);
        }
    } else if (kv_ctx_is(c, 2, "no")) {
        if (state.optout) {
            kv_tracking_set_caching(c->session, KV_CACHING_NO);
            kv_reply_ok(c->reply);
        } else {
            kv_reply_error(c->reply, KV_ERR_CACHING_NO);
        }
    } else {
        kv_ctx_syntax_error(c);
    }
}

void kv_cmd_client_getredir(kv_ctx *c) {
    kv_tracking_state state = kv_tracking_get(c->session);
    kv_reply_int(c->reply, state.on ? (int64_t)state.redirect : -1);
}

void kv_cmd_client_trackinginfo(kv_ctx *c) {
    kv_tracking_state state = kv_tracking_get(c->session);
    kv_reply *reply = c->reply;
    kv_reply_map(reply, 3);
    kv_reply_bulk_cstr(reply, "flags");
    kv_mark mark = kv_reply_defer(reply);
    size_t flags = 0;
    const struct {
        bool set;
        const char *name;
    } words[] = {
        {!state.on, "off"},
        {state.on, "on"},
        {state.bcast, "bcast"},
        {state.optin, "optin"},
        {state.optin && state.caching == KV_CACHING_YES, "caching-yes"},
        {state.optout, "optout"},
        {state.optout && state.caching == KV_CACHING_NO, "caching-no"},
        {state.noloop, "noloop"},
        {state.broken_redirect, "broken_redirect"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!words[i].set) continue;
        kv_reply_bulk_cstr(reply, words[i].name);
        flags++;
    }
    kv_reply_defer_set(reply, mark, flags);
    kv_reply_bulk_cstr(reply, "redirect");
    kv_reply_int(reply, state.on ? (int64_t)state.redirect : -1);
    kv_reply_bulk_cstr(reply, "prefixes");
    kv_reply_array(reply, kv_tracking_prefix_count(c->session));
    for (size_t i = 0; i < kv_tracking_prefix_count(c->session); i++) kv_reply_bulk(reply, kv_tracking_prefix(c->session, i));
}
