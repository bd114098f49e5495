/* DEBUG: tools for tests of the server itself and of clients. Every shard is locked while one runs; what may take long without looking at a key gives
 * the locks back first. */
#include "commands/debug.h"

#include <stdio.h>
#include <stdlib.h>

#include "commands/client_names.h"
#include "engine/dispatch.h"
#include "engine/errors.h"
#include "engine/persistence.h"
#include "engine/stats.h"

/* ---- without locks ----
 * A unit that is one command has changed nothing yet, so its locks may be opened in between. Inside EXEC they stay: the transaction is one step. */

uint64_t kv_debug_open_locks(kv_ctx *c) {
    if (c->in_exec) return 0;
    uint64_t held = c->unit->locked;
    kv_unlock_shards(c->engine, held);
    return held;
}

void kv_debug_close_locks(kv_ctx *c, uint64_t held) { kv_lock_shards(c->engine, held); }

/* An argument as C text; a longer one than fits is cut. */
static const char *text_of(kv_slice word, char *out, size_t cap) {
    size_t len = word.len < cap - 1 ? word.len : cap - 1;
    if (len > 0) memcpy(out, word.ptr, len);
    out[len] = 0;
    return out;
}

static void sleep_for(kv_ctx *c) {
    char text[64];
    double seconds = strtod(text_of(c->argv[2], text, sizeof text), NULL);
    if (!(seconds > 0)) seconds = 0;
    if (seconds > 3600) seconds = 3600;
    uint64_t held = kv_debug_open_locks(c), until = kv_mono_ns() + (uint64_t)(seconds * 1e9);
    kv_stall_until(until); /* in a transaction the locks stay held: standing in everybody's way is what the command is for */
    kv_debug_close_locks(c, held);
    kv_reply_ok(c->reply);
}

static void log_text(kv_ctx *c) {
    uint64_t held = kv_debug_open_locks(c);
    kv_log_write(&c->engine->log, KV_LOG_WARNING, "DEBUG LOG: %.*s", (int)(c->argv[2].len > 512 ? 512 : c->argv[2].len),
                 (const char *)c->argv[2].ptr);
    kv_debug_close_locks(c, held);
    kv_reply_ok(c->reply);
}

/* ---- replies ---- */

static void reply_bignum(kv_reply *reply) {
    static const char digits[] = "1234567999999999999999999999999999999";
    if (reply->format != KV_FORMAT_RESP3) {
        kv_reply_bulk_cstr(reply, digits);
        return;
    }
    char text[sizeof digits + 4];
    int len = snprintf(text, sizeof text, "(%s\r\n", digits);
    kv_reply_raw(reply, kv_slice_of(text, (size_t)len));
}

static void reply_push(kv_reply *reply) {
    if (reply->format != KV_FORMAT_RESP3) {
        kv_reply_error(reply, "ERR RESP2 is not supported by this command");
        return;
    }
    kv_reply_bulk_cstr(reply, "Some real reply following the push reply");
    kv_reply_push(reply, 2);
    kv_reply_bulk_cstr(reply, "server-cpu-usage");
    kv_reply_int(reply, 42);
}

static void reply_attribute(kv_reply *reply) {
    if (reply->format == KV_FORMAT_RESP3) {
        kv_reply_attribute(reply, 1);
        kv_reply_bulk_cstr(reply, "key-popularity");
        kv_reply_array(reply, 2);
        kv_reply_bulk_cstr(reply, "key:123");
        kv_reply_int(reply, 90);
    }
    kv_reply_bulk_cstr(reply, "Some real reply following the attribute");
}

void kv_debug_protocol(kv_ctx *c) {
    kv_reply *reply = c->reply;
    if (kv_ctx_is(c, 2, "string")) {
        kv_reply_bulk_cstr(reply, "Hello World");
    } else if (kv_ctx_is(c, 2, "integer")) {
        kv_reply_int(reply, 12345);
    } else if (kv_ctx_is(c, 2, "double")) {
        kv_reply_double(reply, 3.141);
    } else if (kv_ctx_is(c, 2, "null")) {
        kv_reply_null(reply);
    } else if (kv_ctx_is(c, 2, "array") || kv_ctx_is(c, 2, "set")) {
        if (kv_ctx_is(c, 2, "set")) kv_reply_set(reply, 3);
        else kv_reply_array(reply, 3);
        for (int i = 0; i < 3; i++) kv_reply_int(reply, i);
    } else if (kv_ctx_is(c, 2, "map")) {
        kv_reply_map(reply, 3);
        for (int i = 0; i < 3; i++) {
            kv_reply_int(reply, i);
            kv_reply_bool(reply, i == 1);
        }
    } else if (kv_ctx_is(c, 2, "attrib")) {
        reply_attribute(reply);
    } else if (kv_ctx_is(c, 2, "push")) {
        reply_push(reply);
    } else if (kv_ctx_is(c, 2, "verbatim")) {
        kv_reply_verbatim(reply, KV_LIT("This is a verbatim\nstring"));
    } else if (kv_ctx_is(c, 2, "true") || kv_ctx_is(c, 2, "false")) {
        kv_reply_bool(reply, kv_ctx_is(c, 2, "true"));
    } else if (kv_ctx_is(c, 2, "bignum")) {
        reply_bignum(reply);
    } else {
        kv_reply_error(reply, "ERR Wrong protocol type name. Please use one of the following: "
                              "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false");
    }
}

/* An error with exactly this text: no code is put in front. */
static void reply_given_error(kv_ctx *c) {
    kv_reply *reply = c->reply;
    if (reply->format != KV_FORMAT_RESP2 && reply->format != KV_FORMAT_RESP3) {
        kv_reply_error_slice(reply, c->argv[2]);
        return;
    }
    kv_buf *out = reply->out;
    kv_buf_add_byte(out, '-');
    reply->last_error = out->len;
    reply->last_error_len = c->argv[2].len;
    for (size_t i = 0; i < c->argv[2].len; i++) {
        uint8_t byte = c->argv[2].ptr[i];
        kv_buf_add_byte(out, byte == '\r' || byte == '\n' ? ' ' : byte);
    }
    kv_buf_add_slice(out, KV_LIT("\r\n"));
    reply->errors++;
}

/* ---- keys ---- */

/* count strings "prefix:0" .. that are not there yet, "value:0" .. or those bytes with zeros up to `size`. */
static void populate(kv_ctx *c) {
    int64_t count, size = 0;
    if (atomic_load_explicit(&c->engine->loading,
                             memory_order_relaxed)) { /* DEBUG runs while data are loaded; this would be in their way */
        kv_reply_error(c->reply, KV_ERR_LOADING);
        return;
    }
    if (!kv_ctx_positive(c, 2, &count) || (c->argc == 5 && !kv_ctx_positive(c, 4, &size))) return;
    if (size > (int64_t)64 << 20) {
        kv_reply_error(c->reply, KV_ERR_STRING_TOO_BIG);
        return;
    }
    kv_slice prefix = c->argc > 3 ? c->argv[3] : KV_LIT("key");
    kv_buf name, value;
    kv_buf_init(&name, kv_ctx_mem(c));
    kv_buf_init(&value, kv_ctx_mem(c));
    bool stored = kv_buf_reserve(&value, (size_t)size + 32) && kv_buf_reserve(&name, prefix.len + 32);
    if (!stored) kv_ctx_out_of_memory(c);
    for (int64_t i = 0; i < count && stored; i++) {
        kv_buf_clear(&name);
        kv_buf_add_slice(&name, prefix);
        kv_buf_printf(&name, ":%lld", (long long)i);
        kv_key key = kv_ctx_key_named(c, kv_buf_slice(&name));
        if (kv_ctx_find(c, &key, KV_FIND_WRITE) != NULL) continue;
        memset(value.ptr, 0, (size_t)size + 32);
        kv_buf_clear(&value);
        kv_buf_printf(&value, "value:%lld", (long long)i);
        size_t len = size > 0 ? (size_t)size : value.len;
        if (size > 0 && value.len > len) memset(value.ptr + len, 0, value.len - len);
        else if (len > value.len) memset(value.ptr + value.len, 0, len - value.len);
        stored = kv_ctx_set_string(c, &key, kv_slice_of(value.ptr, len), false, KV_NO_EXPIRE);
        if (stored) kv_ctx_changed(c, &key, KV_EVENT_STRING, NULL);
    }
    kv_buf_deinit(&name);
    kv_buf_deinit(&value);
    if (stored) kv_reply_ok(c->reply);
}

/* ---- subcommands ---- */

static void set_active_expire(kv_ctx *c) {
    char text[32];
    atomic_store_explicit(&c->engine->active_expire, atoi(text_of(c->argv[2], text, sizeof text)) != 0, memory_order_relaxed);
    kv_reply_ok(c->reply);
}

static void object_of(kv_ctx *c) { kv_debug_object(c, c->argv[2], c->argc == 4 && kv_ctx_is(c, 3, "fast")); }
static void change_repl_id(kv_ctx *c) {
    if (kv_stats_new_replid(c->engine)) kv_reply_ok(c->reply);
    else kv_ctx_out_of_memory(c);
}
/* Everything is saved and loaded again. The locks are open meanwhile: that everything stands still is the keeper's doing. */
static void reload_from_files(kv_ctx *c, unsigned how) {
    const kv_persistence *files = c->engine->persistence;
    if (files == NULL || c->in_exec) {
        if (files == NULL) kv_reply_error(c->reply, KV_ERR_NO_FILES);
        else kv_reply_errorf(c->reply, "ERR DEBUG %s cannot run in a transaction", kv_client_printable(c->argv[1]).text);
        return;
    }
    kv_buf reason;
    kv_buf_init(&reason, kv_ctx_mem(c));
    uint64_t held = kv_debug_open_locks(c);
    bool good = files->reload(files->arg, c, how, &reason);
    kv_debug_close_locks(c, held);
    if (good) kv_reply_ok(c->reply);
    else kv_reply_errorf(c->reply, "ERR %.*s", (int)(reason.len > 512 ? 512 : reason.len), reason.len > 0 ? (const char *)reason.ptr : "");
    kv_buf_deinit(&reason);
}

static void reload(kv_ctx *c) {
    unsigned how = 0;
    for (int i = 2; i < c->argc; i++) {
        unsigned option = kv_ctx_is(c, i, "nosave")    ? KV_RELOAD_NOSAVE
                          : kv_ctx_is(c, i, "noflush") ? KV_RELOAD_NOFLUSH
                          : kv_ctx_is(c, i, "merge")   ? KV_RELOAD_MERGE
                                                       : 0;
        if (option == 0) {
            kv_reply_error(c->reply, "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
            return;
        }
        how |= option;
    }
    reload_from_files(c, how);
}

static void load_log(kv_ctx *c) { reload_from_files(c, KV_RELOAD_LOG); }
static void not_ours(kv_ctx *c) {
    kv_reply_errorf(c->reply, "ERR DEBUG %s is about the insides of another server; kvcore has no such thing",
                    kv_client_printable(c->argv[1]).text);
}

typedef struct subcommand {
    const char *name;
    int min, max; /* arguments in all */
    void (*run)(kv_ctx *c);
    const char *usage, *summary;
} subcommand;

static void help(kv_ctx *c);

static const subcommand subcommands[] = {
    {"CHANGE-REPL-ID", 2, 2, change_repl_id, "", "Takes a new replication id."},
    {"DIGEST", 2, 2, kv_debug_digest, "", "Hash of the whole data set, equal for equal data."},
    {"DIGEST-VALUE", 2, INT32_MAX, kv_debug_digest_value, " <key> [<key> ...]", "Hash of each key's value."},
    {"ERROR", 3, 3, reply_given_error, " <text>", "Replies an error with this text."},
    {"HTSTATS", 3, 4, kv_debug_tables, " <db> [full]", "Numbers of a database's tables."},
    {"HTSTATS-KEY", 3, 4, kv_debug_key_table, " <key> [full]", "Numbers of a value's table."},
    {"LISTPACK", 3, 3, kv_debug_listpack, " <key>", "Writes the items of a small value to the log."},
    {"LOADAOF", 2, 2, load_log, "", "Writes the log to the disk, drops all keys and loads the log."},
    {"LOG", 3, 3, log_text, " <text>", "Writes a line to the log."},
    {"OBJECT", 3, 4, object_of, " <key> [fast]", "How a value is kept; `fast` leaves the serialized length out."},
    {"POPULATE", 3, 5, populate, " <count> [<prefix>] [<size>]", "Makes strings <prefix>:<number>; the prefix is `key` unless given."},
    {"PROTOCOL", 3, 3, kv_debug_protocol, " <type>", "Replies a value of that protocol type."},
    {"QUICKLIST", 3, 4, kv_debug_quicklist, " <key> [<0|1>]", "Writes the nodes of a long list to the log; 1: their items as well."},
    {"QUICKLIST-PACKED-THRESHOLD", 3, 3, kv_debug_packed_threshold, " <size>",
     "List items of so many bytes get a node of their own; 0: as list-max-listpack-size says."},
    {"RELOAD", 2, INT32_MAX, reload, " [option ...]",
     "Saves a snapshot, drops all keys and loads it; NOSAVE: the snapshot that is there, NOFLUSH: without dropping, MERGE: its keys win."},
    {"SET-ACTIVE-EXPIRE", 3, 3, set_active_expire, " <0|1>", "Whether keys are expired in the background."},
    {"SLEEP", 3, 3, sleep_for, " <seconds>", "Keeps this connection's thread busy; other threads go on."},
    {"AOF-FLUSH-SLEEP", 3, 3, not_ours, NULL, NULL},
    {"CONFIG-REWRITE-FORCE-ALL", 2, 2, not_ours, NULL, NULL},
    {"CRASH-AND-RECOVER", 2, 3, not_ours, NULL, NULL},
    {"MALLCTL", 3, 4, not_ours, NULL, NULL},
    {"MALLCTL-STR", 3, 4, not_ours, NULL, NULL},
    {"RESTART", 2, 3, not_ours, NULL, NULL},
    {"SDSLEN", 3, 3, not_ours, NULL, NULL},
    {"STRUCTSIZE", 2, 2, not_ours, NULL, NULL},
    {"SEGFAULT", 2, 2, not_ours, NULL, NULL},
    {"PANIC", 2, 2, not_ours, NULL, NULL},
    {"ASSERT", 2, 2, not_ours, NULL, NULL},
    {"OOM", 2, 2, not_ours, NULL, NULL},
    {"HELP", 2, 2, help, "", "Print this help."},
};
#define SUBCOMMANDS (sizeof subcommands / sizeof *subcommands)

static void help(kv_ctx *c) {
    kv_mark mark = kv_reply_defer(c->reply);
    size_t lines = 1;
    kv_reply_status(c->reply, "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for (size_t i = 0; i < SUBCOMMANDS; i++) {
        if (subcommands[i].usage == NULL) continue;
        char text[192];
        snprintf(text, sizeof text, "%s%s", subcommands[i].name, subcommands[i].usage);
        kv_reply_status(c->reply, text);
        snprintf(text, sizeof text, "    %s", subcommands[i].summary);
        kv_reply_status(c->reply, text);
        lines += 2;
    }
    kv_reply_defer_array(c->reply, mark, lines);
}

void kv_cmd_debug(kv_ctx *c) {
    for (size_t i = 0; i < SUBCOMMANDS; i++) {
        const subcommand *sub = &subcommands[i];
        if (!kv_ctx_is(c, 1, sub->name) || c->argc < sub->min || c->argc > sub->max) continue;
        sub->run(c);
        return;
    }
    kv_reply_errorf(c->reply, KV_ERR_UNKNOWN_SUBCOMMAND_OR_ARITY, kv_client_printable(c->argv[1]).text, "DEBUG");
}
