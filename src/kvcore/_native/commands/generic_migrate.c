/* MIGRATE: keys go to another server, and when that has them they go here.
 *
 *   lock -> read keys, write the request -> unlock -> connect, send, read the replies -> lock -> delete what the target has taken -> unlock
 *
 * No lock is held while the network is waited for, so the command is two units: the first reads, the second deletes. A key is deleted when it still is
 * what was sent: its bytes are written once more and compared. One that somebody has changed meanwhile stays, and the reply says so: what the target
 * has is older, and nothing that was acknowledged here is lost. What was written is compared, not a version: an entry's version is the epoch, which many
 * writes share.
 *
 * A reply of the target that is neither +OK nor an error is no confirmation: the connection is given up. */
#include "base/peer.h"
#include "commands/keys_common.h"
#include "engine/codec.h"
#include "engine/effect.h"
#include "engine/engine.h"
#include "engine/errors.h"
#include "engine/unit.h"
#include "store/keyspace.h"

#define TARGET_ERROR "ERR Target instance replied with error: %.*s"
#define HOST_MAX 256

typedef struct item {
    int arg;           /* the key's */
    size_t at, len;    /* its payload within the request */
    int64_t expire_ms; /* as it was sent; KV_NO_EXPIRE: none */
    bool taken;        /* the target has it */
} item;

typedef struct migration {
    bool copy, replace;
    int first, count; /* the keys among the arguments */
    int64_t db, timeout_ms;
    kv_slice user, password; /* ptr NULL: not given */
    item *items;
    int item_count;
    kv_buf request;
    bool failed; /* an error has been replied */
} migration;

static bool parse_option(kv_ctx *c, migration *m, int *arg) {
    int more = c->argc - 1 - *arg;
    if (kv_ctx_is(c, *arg, "copy")) {
        m->copy = true;
    } else if (kv_ctx_is(c, *arg, "replace")) {
        m->replace = true;
    } else if (kv_ctx_is(c, *arg, "auth") && more >= 1) {
        m->password = c->argv[++*arg];
    } else if (kv_ctx_is(c, *arg, "auth2") && more >= 2) {
        m->user = c->argv[++*arg];
        m->password = c->argv[++*arg];
    } else if (kv_ctx_is(c, *arg, "keys") && c->argv[3].len > 0) {
        kv_reply_error(c->reply, KV_ERR_MIGRATE_KEYS);
        return false;
    } else if (kv_ctx_is(c, *arg, "keys")) {
        m->first = *arg + 1;
        m->count = more;
        *arg = c->argc;
    } else {
        kv_ctx_syntax_error(c);
        return false;
    }
    return true;
}

static bool parse(kv_ctx *c, migration *m) {
    *m = (migration){.first = 3, .count = 1};
    for (int arg = 6; arg < c->argc; arg++)
        if (!parse_option(c, m, &arg)) return false;
    if (!kv_ctx_i64(c, 5, &m->timeout_ms) || !kv_ctx_i64(c, 4, &m->db)) return false;
    if (m->timeout_ms <= 0) m->timeout_ms = 1000;
    if (m->timeout_ms > INT64_MAX / 1000000) m->timeout_ms = INT64_MAX / 1000000;
    if (!c->in_exec) return true;
    kv_reply_error(c->reply, KV_ERR_MIGRATE_MULTI); /* the transaction's locks cannot be given back in between */
    return false;
}

/* ---- the request ---- */

static void add_count(kv_buf *out, char kind, size_t count) { kv_buf_printf(out, "%c%zu\r\n", kind, count); }

static void add_word(kv_buf *out, kv_slice word) {
    add_count(out, '$', word.len);
    kv_buf_add_slice(out, word);
    kv_buf_add_slice(out, KV_LIT("\r\n"));
}

static void add_number(kv_buf *out, int64_t number) {
    char text[KV_NUM_MAX];
    add_word(out, kv_slice_of(text, kv_format_i64(text, number)));
}

/* A target that is new to us is in database 0. Valkey does not select database -1 on a new connection, either. */
static bool selects(const migration *m) { return m->db != -1; }

static void add_greeting(migration *m) {
    kv_buf *out = &m->request;
    if (m->password.ptr != NULL) {
        add_count(out, '*', m->user.ptr != NULL ? 3 : 2);
        add_word(out, KV_LIT("AUTH"));
        if (m->user.ptr != NULL) add_word(out, m->user);
        add_word(out, m->password);
    }
    if (selects(m)) {
        add_count(out, '*', 2);
        add_word(out, KV_LIT("SELECT"));
        add_number(out, m->db);
    }
}

static void dump(kv_ctx *c, const kv_value *v, kv_buf *out) {
    c->engine->codec->dump(v, kv_setting(&c->engine->settings, KV_CFG_RDBCOMPRESSION) != 0, out);
}

static void add_item(kv_ctx *c, migration *m, int arg, const kv_value *v, kv_buf *payload) {
    kv_buf *out = &m->request;
    int64_t expire_ms = kv_entry_expire_ms(v), ttl = expire_ms < 0 ? 0 : expire_ms - kv_ctx_now_ms(c);
    kv_buf_clear(payload);
    dump(c, v, payload);
    if (payload->failed) out->failed = true;
    add_count(out, '*', m->replace ? 5 : 4);
    add_word(out, KV_LIT("RESTORE"));
    add_word(out, c->argv[arg]);
    add_number(out, expire_ms >= 0 && ttl < 1 ? 1 : ttl);
    add_word(out, kv_buf_slice(payload));
    m->items[m->item_count++] = (item){.arg = arg, .at = out->len - 2 - payload->len, .len = payload->len, .expire_ms = expire_ms};
    if (m->replace) add_word(out, KV_LIT("REPLACE"));
}

/* False: replied. */
static bool gather(kv_ctx *c, migration *m) {
    m->items = kv_calloc(kv_ctx_mem(c), (size_t)m->count + 1, sizeof *m->items);
    kv_buf payload;
    kv_buf_init(&payload, kv_ctx_mem(c));
    add_greeting(m);
    for (int i = 0; i < m->count && m->items != NULL && !m->request.failed; i++) {
        kv_key key = kv_ctx_key(c, m->first + i);
        const kv_value *v = kv_ctx_find(c, &key, KV_FIND_READ);
        if (v != NULL) add_item(c, m, m->first + i, v, &payload);
    }
    kv_buf_deinit(&payload);
    if (m->items == NULL || m->request.failed) {
        kv_ctx_out_of_memory(c);
        return false;
    }
    if (m->item_count > 0) return true;
    kv_reply_status(c->reply, "NOKEY");
    return false;
}

/* ---- the network: no lock is held ---- */

static void fail(kv_ctx *c, migration *m, const char *error) {
    if (!m->failed) kv_reply_error(c->reply, error);
    m->failed = true;
}

/* False: the connection is of no use any more. *good: the target has done what it was asked for. */
static bool read_reply(kv_ctx *c, migration *m, kv_peer *peer, uint64_t timeout_ns, bool *good) {
    kv_slice line;
    *good = false;
    if (kv_peer_line(peer, &line, timeout_ns) != KV_OK || line.len == 0 || (line.ptr[0] != '-' && !kv_slice_eq(line, KV_LIT("+OK")))) {
        fail(c, m, KV_ERR_MIGRATE_READ);
        return false;
    }
    *good = line.ptr[0] == '+';
    if (!*good && !m->failed) {
        kv_reply_errorf(c->reply, TARGET_ERROR, (int)line.len - 1, (const char *)line.ptr + 1);
        m->failed = true;
    }
    return true;
}

static void talk(kv_ctx *c, migration *m, kv_peer *peer, uint64_t timeout_ns) {
    if (kv_peer_send(peer, kv_buf_slice(&m->request), timeout_ns) != KV_OK) {
        fail(c, m, KV_ERR_MIGRATE_WRITE); /* what arrived may have been done there: here everything stays */
        return;
    }
    bool ready = true, good;
    for (int i = (m->password.ptr != NULL) + selects(m); i > 0; i--) {
        if (!read_reply(c, m, peer, timeout_ns, &good)) return;
        ready &= good;
    }
    /* After a refused SELECT the keys were restored in another database: not where they were wanted, so they stay here, too. */
    for (int i = 0; i < m->item_count; i++) {
        if (!read_reply(c, m, peer, timeout_ns, &good)) return;
        m->items[i].taken = good && ready;
    }
}

static uint16_t port_of(kv_slice text) {
    int64_t port;
    return kv_parse_i64(text, &port) && port > 0 && port <= UINT16_MAX ? (uint16_t)port : 0; /* nobody listens at port 0 */
}

static void transfer(kv_ctx *c, migration *m) {
    char host[HOST_MAX];
    kv_slice name = c->argv[1];
    uint64_t timeout_ns = (uint64_t)m->timeout_ms * 1000000;
    kv_peer peer = {.fd = -1};
    kv_status status = KV_ENOTFOUND;
    if (name.len > 0 && name.len < sizeof host && memchr(name.ptr, 0, name.len) == NULL) {
        memcpy(host, name.ptr, name.len);
        host[name.len] = 0;
        status = kv_peer_open(&peer, host, port_of(c->argv[2]), timeout_ns);
    }
    if (status == KV_EIO) fail(c, m, KV_ERR_MIGRATE_WRITE);
    else if (status != KV_OK) fail(c, m, KV_ERR_MIGRATE_CONNECT);
    else talk(c, m, &peer, timeout_ns);
    kv_peer_close(&peer);
}

/* ---- deleting ---- */

static bool is_as_sent(kv_ctx *c, const migration *m, const item *i, const kv_value *v, kv_buf *payload) {
    if (kv_entry_expire_ms(v) != i->expire_ms) return false;
    kv_buf_clear(payload);
    dump(c, v, payload);
    return !payload->failed && kv_slice_eq(kv_buf_slice(payload), kv_slice_of(m->request.ptr + i->at, i->len));
}

static void delete_taken(kv_ctx *c, migration *m) {
    kv_buf payload;
    kv_buf_init(&payload, kv_ctx_mem(c));
    bool changed = false;
    for (int i = 0; i < m->item_count; i++) {
        if (!m->items[i].taken) continue;
        kv_key key = kv_ctx_key(c, m->items[i].arg);
        const kv_value *v = kv_ctx_find(c, &key, KV_FIND_PEEK);
        if (v == NULL) continue; /* somebody else was faster */
        if (!is_as_sent(c, m, &m->items[i], v, &payload)) {
            changed = true;
        } else if (kv_ctx_delete(c, &key)) {
            kv_ctx_changed(c, &key, KV_EVENT_GENERIC, "del");
            kv_ctx_effect(c, 2, (kv_slice[]){KV_LIT("DEL"), key.name});
        }
    }
    kv_buf_deinit(&payload);
    if (changed) fail(c, m, KV_ERR_MIGRATE_CHANGED);
}

/* The unit of the reader ends, and with the network's answer one begins that writes. */
static void between_units(kv_ctx *c, migration *m) {
    uint64_t mask = c->unit->locked;
    kv_unit_finish(c);
    transfer(c, m);
    kv_unit_lock(c, mask, true);
    c->unit->now_ms = kv_clock_ms(&c->engine->clock);
}

void kv_cmd_migrate(kv_ctx *c) {
    migration m;
    if (!parse(c, &m)) return;
    kv_ctx_no_effect(c); /* but the deletions, which say so themselves */
    kv_buf_init(&m.request, kv_ctx_mem(c));
    if (gather(c, &m)) {
        between_units(c, &m);
        if (!m.copy) delete_taken(c, &m);
        if (!m.failed) kv_reply_ok(c->reply);
    }
    kv_buf_deinit(&m.request);
    kv_free(kv_ctx_mem(c), m.items);
}
