/* PING, ECHO, SELECT, AUTH, HELLO, QUIT, RESET. */
#include "base/sha256.h"
#include "commands/client_names.h"
#include "engine/compat.h"
#include "engine/dispatch.h"
#include "engine/errors.h"
#include "engine/pubsub.h"

void kv_cmd_ping(kv_ctx *c) {
    if (c->argc > 2) {
        kv_ctx_arity_error(c);
        return;
    }
    if (c->session->resp == 2 && !c->session->in_process && kv_pubsub_count(c->session) + kv_pubsub_shard_count(c->session) > 0) {
        kv_reply_array(c->reply, 2);
        kv_reply_bulk_cstr(c->reply, "pong");
        kv_reply_bulk(c->reply, c->argc == 2 ? c->argv[1] : KV_LIT(""));
    } else if (c->argc == 2) {
        kv_reply_bulk(c->reply, c->argv[1]);
    } else {
        kv_reply_status(c->reply, "PONG");
    }
}

void kv_cmd_echo(kv_ctx *c) { kv_reply_bulk(c->reply, c->argv[1]); }

void kv_cmd_select(kv_ctx *c) {
    int64_t db;
    if (!kv_ctx_range_i64(c, 1, INT32_MIN, INT32_MAX, &db, NULL)) return;
    if (db < 0 || db >= (int64_t)c->engine->store.db_count) {
        kv_reply_error(c->reply, KV_ERR_DB_RANGE);
        return;
    }
    kv_mutex_lock(&c->engine->clients_lock); /* CLIENT LIST shows it */
    c->session->db = (int)db;
    kv_mutex_unlock(&c->engine->clients_lock);
    kv_reply_ok(c->reply);
}

void kv_cmd_quit(kv_ctx *c) {
    c->session->closing = true;
    kv_reply_ok(c->reply);
}

void kv_cmd_reset(kv_ctx *c) {
    bool open = kv_password_is(c->engine, KV_LIT(""));
    kv_session_reset(c->session);
    c->session->authenticated = open || c->session->in_process;
    c->reply->format = c->session->format;
    kv_reply_status(c->reply, "RESET");
}

/* ---- authentication ---- */

/* Compares digests, so that the time taken tells nothing about the password. */
bool kv_password_is(kv_engine *engine, kv_slice candidate) {
    kv_buf password;
    kv_buf_init(&password, &engine->mem);
    kv_setting_text(&engine->settings, KV_CFG_REQUIREPASS, &password);
    uint8_t a[KV_SHA256_BYTES], b[KV_SHA256_BYTES];
    kv_sha256_of(kv_buf_slice(&password), a);
    kv_sha256_of(candidate, b);
    bool same = !password.failed && kv_ct_equal(a, b, sizeof a);
    kv_buf_deinit(&password);
    return same;
}

/* There is one user, `default`, until access control lists come. True: the session is authenticated now. */
static bool authenticate(kv_ctx *c, kv_slice user, kv_slice password) {
    bool open = kv_password_is(c->engine, KV_LIT("")); /* no password set: any will do, as for Valkey's nopass */
    if (kv_slice_eq(user, KV_LIT("default")) && (open || kv_password_is(c->engine, password))) {
        c->session->authenticated = true;
        return true;
    }
    atomic_fetch_add_explicit(&c->engine->stats.auth_failures, 1, memory_order_relaxed);
    kv_reply_error(c->reply, KV_ERR_WRONG_PASS);
    return false;
}

void kv_cmd_auth(kv_ctx *c) {
    if (c->argc > 3) {
        kv_ctx_syntax_error(c);
        return;
    }
    if (c->argc == 2 && kv_password_is(c->engine, KV_LIT(""))) {
        kv_reply_error(c->reply, KV_ERR_AUTH_NO_PASSWORD);
        return;
    }
    if (authenticate(c, c->argc == 3 ? c->argv[1] : KV_LIT("default"), c->argv[c->argc - 1])) kv_reply_ok(c->reply);
}

/* ---- HELLO ---- */

static void set_protocol(kv_ctx *c, int64_t version) {
    kv_session *session = c->session;
    if (session->format == KV_FORMAT_RESP2 || session->format == KV_FORMAT_RESP3) {
        session->format = version == 3 ? KV_FORMAT_RESP3 : KV_FORMAT_RESP2;
        c->reply->format = session->format;
    }
    session->resp = (int)version;
}

static void hello_reply(kv_ctx *c) {
    kv_reply *reply = c->reply;
    bool redis = kv_setting(&c->engine->settings, KV_CFG_EXTENDED_REDIS_COMPATIBILITY) != 0;
    kv_buf zone;
    kv_buf_init(&zone, kv_ctx_mem(c));
    kv_setting_text(&c->engine->settings, KV_CFG_AVAILABILITY_ZONE, &zone);
    kv_reply_map(reply, zone.len > 0 ? 8 : 7);
    kv_reply_bulk_cstr(reply, "server");
    kv_reply_bulk_cstr(reply, redis ? "redis" : KV_COMPAT_SERVER);
    kv_reply_bulk_cstr(reply, "version");
    kv_reply_bulk_cstr(reply, redis ? KV_COMPAT_REDIS_VERSION : KV_COMPAT_VALKEY_VERSION);
    kv_reply_bulk_cstr(reply, "proto");
    kv_reply_int(reply, c->session->resp);
    kv_reply_bulk_cstr(reply, "id");
    kv_reply_int(reply, (int64_t)c->session->id);
    kv_reply_bulk_cstr(reply, "mode");
    kv_reply_bulk_cstr(reply, "standalone");
    kv_reply_bulk_cstr(reply, "role");
    kv_reply_bulk_cstr(reply, "master");
    kv_reply_bulk_cstr(reply, "modules");
    kv_reply_array(reply, 0);
    if (zone.len > 0) {
        kv_reply_bulk_cstr(reply, "availability_zone");
        kv_reply_bulk(reply, kv_buf_slice(&zone));
    }
    kv_buf_deinit(&zone);
}

void kv_cmd_hello(kv_ctx *c) {
    int64_t version = 0;
    int user = 0, name = 0;
    if (c->argc > 1) {
        if (!kv_ctx_i64_or(c, 1, &version, KV_ERR_PROTO_NOT_INTEGER)) return;
        if (version < 2 || version > 3) {
            kv_reply_error(c->reply, KV_ERR_NO_PROTO);
            return;
        }
    }
    for (int i = 2; i < c->argc; i++) {
        if (kv_ctx_is(c, i, "auth") && i + 2 < c->argc) {
            user = i + 1;
            i += 2;
        } else if (kv_ctx_is(c, i, "setname") && i + 1 < c->argc) {
            name = ++i;
            if (!kv_client_name_ok(c->argv[name])) {
                kv_reply_error(c->reply, KV_ERR_CLIENT_NAME);
                return;
            }
        } else {
            kv_reply_errorf(c->reply, KV_ERR_HELLO_OPTION, kv_client_printable(c->argv[i]).text);
            return;
        }
    }
    if (user != 0 && !authenticate(c, c->argv[user], c->argv[user + 1])) return;
    if (!c->session->authenticated) {
        kv_reply_error(c->reply, KV_ERR_HELLO_NO_AUTH);
        return;
    }
    if (name != 0 && !kv_client_set_text(c, &c->session->name, c->argv[name])) return;
    if (version != 0) set_protocol(c, version);
    hello_reply(c);
}

/* ---- READONLY, READWRITE ---- */

/* What a replica may serve this connection. There are no replicas yet, but tools send it first, and go on only when it is accepted. */
static void set_read_only(kv_ctx *c, bool on) {
    c->session->read_only = on;
    kv_reply_ok(c->reply);
}

void kv_cmd_readonly(kv_ctx *c) { set_read_only(c, true); }
void kv_cmd_readwrite(kv_ctx *c) { set_read_only(c, false); }
