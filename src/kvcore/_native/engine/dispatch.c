/* Dispatch: everything between the words of a request and its handler.
 *
 * The checks stand in Valkey's order, because clients see which one fails first: unknown command and arity, protected commands, authentication,
 * commands forbidden in MULTI, memory, the RESP2 subscriber's limits, CLIENT PAUSE, queueing. Only then are shards locked. */
#include "engine/dispatch.h"

#include <stdio.h>

#include "engine/cron.h"
#include "engine/direct.h"
#include "engine/errors.h"
#include "engine/evict.h"
#include "engine/journal.h"
#include "engine/longreply.h"
#include "engine/monitor.h"
#include "engine/pubsub_private.h"
#include "engine/tally.h"
#include "engine/tracking_private.h"
#include "engine/transaction.h"
#include "engine/unit.h"

#define KEYS_INLINE 8 /* keys whose hashes fit on the stack */

typedef struct key_set {
    kv_key_ref refs_inline[KEYS_INLINE];
    uint64_t hashes_inline[KEYS_INLINE];
    kv_key_ref *refs;
    uint64_t *hashes;
    uint32_t count;
} key_set;

/* ---- statistics ---- */

static void count_error(kv_ctx *c) {
    const kv_reply *reply = c->reply;
    if (reply->out->failed || reply->last_error + reply->last_error_len > reply->out->len) return;
    kv_slice text = kv_slice_of(reply->out->ptr + reply->last_error, reply->last_error_len);
    size_t len = 0;
    while (len < text.len && text.ptr[len] != ' ' && len < sizeof((kv_error_stat *)0)->code - 1) len++;
    kv_engine *engine = c->engine;
    atomic_fetch_add_explicit(&engine->stats.total_error_replies, 1, memory_order_relaxed);
    kv_mutex_lock(&engine->stats_lock);
    size_t i = 0;
    while (i < engine->error_stat_count &&
           !(strlen(engine->error_stats[i].code) == len && memcmp(engine->error_stats[i].code, text.ptr, len) == 0))
        i++;
    if (i == engine->error_stat_count && i < KV_ERROR_STATS) {
        memcpy(engine->error_stats[i].code, text.ptr, len);
        engine->error_stats[i].code[len] = 0;
        engine->error_stats[i].count = 0;
        engine->error_stat_count++;
    }
    if (i < KV_ERROR_STATS) engine->error_stats[i].count++;
    kv_mutex_unlock(&engine->stats_lock);
}

static kv_command_stats *stats_of(kv_ctx *c) { return &c->engine->command_stats[c->command->id]; }

/* The command is not run: the error becomes the reply, and an open transaction will fail. */
static kv_outcome reject(kv_ctx *c, const char *error) {
    kv_reply_error(c->reply, error);
    count_error(c);
    kv_transaction_abort(c->session);
    if (c->command != NULL) atomic_fetch_add_explicit(&stats_of(c)->rejected, 1, memory_order_relaxed);
    return KV_OUTCOME_DONE;
}

/* EXEC that may not run drops its transaction and says why. */
static kv_outcome reject_exec(kv_ctx *c, const char *error) {
    kv_transaction_discard(c->session);
    kv_reply_errorf(c->reply, KV_ERR_EXEC_ABORT_REASON, strncmp(error, "ERR ", 4) == 0 ? error + 4 : error);
    count_error(c);
    atomic_fetch_add_explicit(&stats_of(c)->rejected, 1, memory_order_relaxed);
    return KV_OUTCOME_DONE;
}

static inline size_t request_bytes(const kv_ctx *c) {
    size_t bytes = 0;
    for (int i = 0; i < c->argc; i++) bytes += c->argv[i].len;
    return bytes;
}

/* A short call in the process costs about as much as timing it, so after a session's first calls one in KV_TIMED_CALLS is timed and stands for all of them.
 * 0: not this one. Calls themselves are always counted. Somebody who asks for a log of microseconds gets every call timed. */
static unsigned timing_weight(const kv_ctx *c) {
    if (c->rerun || !c->session->nonblocking || c->in_exec)
        return 1; /* a session that is being served belongs to another thread: hands off its fields */
    uint64_t calls = atomic_load_explicit(&c->session->commands, memory_order_relaxed);
    if (calls < KV_TIMED_CALLS) return 1;
    int64_t slow = kv_setting(&c->engine->settings, KV_CFG_COMMANDLOG_EXECUTION_SLOWER_THAN);
    if (slow >= 0 && slow < 1000) return 1;
    return calls % KV_TIMED_CALLS == 0 ? KV_TIMED_CALLS : 0;
}

/* A session that is being served for its owner may not touch what the owner writes without atomic operations. */
static inline kv_command_stats *owned_stats(kv_ctx *c) { return c->rerun ? NULL : kv_tally_of(c->session, c->command); }

static inline void add(_Atomic uint64_t *counter, uint64_t n, bool owned) {
    if (owned) kv_tally_add(counter, n);
    else atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void record_duration(kv_ctx *c, kv_command_stats *stats, bool owned, uint64_t ns, unsigned weight) {
    add(&stats->nanoseconds, ns * weight, owned);
    const kv_settings *s = &c->engine->settings;
    if (kv_setting(s, KV_CFG_LATENCY_TRACKING) != 0) kv_histogram_record(&c->engine->mem, &stats->histogram, ns, weight, owned);
}

/* At or over a limit; a negative limit is none. */
static inline bool reaches(uint64_t value, int64_t limit) { return limit >= 0 && value >= (uint64_t)limit; }

static void log_latency(kv_ctx *c, uint64_t ms) {
    kv_latency_add(c->engine, (c->command->flags & KV_CMD_FAST) != 0 ? "fast-command" : "command", ms);
}

/* What needs no lock and may be slow: logs. After the unit has ended. */
static inline void log_call(kv_ctx *c, uint64_t ns, size_t request, size_t reply) {
    const kv_settings *s = &c->engine->settings;
    uint64_t us = ns / 1000;
    if ((reaches(us, kv_setting(s, KV_CFG_COMMANDLOG_EXECUTION_SLOWER_THAN)) ||
         reaches(reply, kv_setting(s, KV_CFG_COMMANDLOG_REPLY_LARGER_THAN)) ||
         reaches(request, kv_setting(s, KV_CFG_COMMANDLOG_REQUEST_LARGER_THAN))) &&
        (c->command->flags & KV_CMD_SKIP_COMMANDLOG) == 0)
        kv_commandlog_record(c, us, request, reply);
    int64_t threshold = kv_setting(s, KV_CFG_LATENCY_MONITOR_THRESHOLD);
    if (threshold > 0 && us / 1000 >= (uint64_t)threshold) log_latency(c, us / 1000);
}

void kv_call_ended(kv_ctx *c, bool failed) {
    atomic_fetch_add_explicit(&stats_of(c)->calls, 1, memory_order_relaxed);
    if (!failed) return;
    atomic_fetch_add_explicit(&stats_of(c)->rejected, 1, memory_order_relaxed);
    count_error(c);
}

/* The handler with a clock around it, and what is counted of every call. */
static inline void run_handler(kv_ctx *c, unsigned weight) {
    kv_clock *clock = &c->engine->clock;
    if (c->unit->ticks == 0) c->unit->ticks = kv_clock_ticks(clock);
    uint64_t dirty = c->unit->dirty;
    c->command->handler(c);
    if (kv_logs(c) && !c->effect_said && c->unit->dirty - dirty != c->aside) kv_effect_self(c);
    c->duration_ns = weight == 0 ? 0 : kv_clock_ticks_ns(clock, kv_clock_ticks(clock) - c->unit->ticks);
}

static inline void count_call(kv_ctx *c, unsigned weight, uint32_t errors_before) {
    kv_command_stats *owned = owned_stats(c), *stats = owned != NULL ? owned : stats_of(c);
    add(&stats->calls, 1, owned != NULL);
    if (weight > 0 && !c->is_long) record_duration(c, stats, owned != NULL, c->duration_ns, weight);
    if (c->reply->errors > errors_before) {
        add(&stats->failed, 1, owned != NULL);
        count_error(c);
    }
}

void kv_call(kv_ctx *c) {
    if (c->in_exec || c->rerun) kv_long_reply_settle(c); /* these cannot wait any more */
    uint32_t errors = c->reply->errors;
    size_t before = c->reply->out->len;
    unsigned weight = timing_weight(c);
    c->unit->ticks = 0;
    run_handler(c, weight);
    if (c->again) return;
    if (atomic_load_explicit(&c->engine->monitor_count, memory_order_relaxed) > 0 && !c->rerun && !c->session->replays &&
        (c->command->flags & (KV_CMD_SKIP_MONITOR | KV_CMD_ADMIN)) == 0)
        kv_monitor_feed(c); /* afterwards, as Valkey does: the commands of a transaction stand before its EXEC */
    if (c->blocked) return; /* it counts when it is served */
    count_call(c, weight, errors);
    if (c->session->tracker != NULL && (c->command->flags & KV_CMD_READONLY) != 0) kv_tracking_read(c);
    if (c->in_exec || c->rerun) log_call(c, c->duration_ns, request_bytes(c), c->reply->out->len - before);
}

/* ---- long replies ---- */

bool kv_long_call_init(kv_long_call *call, const kv_ctx *c) {
    size_t words = (size_t)c->argc * sizeof *c->argv, request = request_bytes(c);
    uint8_t *block = kv_malloc(&c->engine->mem, words + request);
    if (block == NULL) return false;
    *call = (kv_long_call){.command = c->command, .argv = (kv_slice *)(void *)block, .argc = c->argc, .db = c->db, .request = request};
    uint8_t *to = block + words;
    for (int i = 0; i < c->argc; i++) {
        if (c->argv[i].len > 0) memcpy(to, c->argv[i].ptr, c->argv[i].len);
        call->argv[i] = kv_slice_of(to, c->argv[i].len);
        to += c->argv[i].len;
    }
    return true;
}

void kv_long_call_deinit(kv_long_call *call, kv_engine *engine) { kv_free(&engine->mem, call->argv); }

void kv_long_call_ended(kv_session *session, const kv_long_call *call) {
    kv_unit unit = {0};
    kv_ctx c = {.engine = session->engine,
                .session = session,
                .command = call->command,
                .argv = call->argv,
                .argc = call->argc,
                .db = call->db,
                .unit = &unit};
    kv_command_stats *owned = owned_stats(&c);
    record_duration(&c, owned != NULL ? owned : stats_of(&c), owned != NULL, call->ns, 1);
    log_call(&c, call->ns, call->request, call->bytes);
}

/* ---- keys and locks ---- */

/* The hash that kv_prefetch has computed, if it has. Commands run in the order of the hints, so those that were passed are dropped. */
static uint64_t hash_of(kv_ctx *c, kv_slice name) {
    kv_session *session = c->session;
    for (size_t i = 0; i < session->hint_count; i++) {
        if (session->hints[i].key != name.ptr) continue;
        uint64_t hash = session->hints[i].hash;
        session->hints += i + 1;
        session->hint_count -= i + 1;
        return hash;
    }
    return kv_store_hash(&c->engine->store, name);
}

static bool extract_keys(kv_ctx *c, key_set *keys) {
    const kv_command *command = c->command;
    keys->refs = keys->refs_inline;
    keys->hashes = keys->hashes_inline;
    keys->count = 0;
    if (command->key_spec_count == 0 && command->keys == NULL) return true;
    const kv_key_spec *spec = command->key_specs;
    bool first_word = command->key_spec_count == 1 && command->keys == NULL && spec->begin == KV_BEGIN_INDEX && spec->index == 1 &&
                      spec->find == KV_KEYS_RANGE && spec->last == 0 && (spec->flags & KV_KEY_NOT_KEY) == 0;
    int count = 1;
    if (first_word) keys->refs_inline[0] = (kv_key_ref){1, spec->flags}; /* nine commands of ten: the answer without asking */
    else count = kv_command_keys(command, c->argc, c->argv, keys->refs_inline, KEYS_INLINE);
    if (count < 0) return true; /* the handler says what is wrong with its arguments; it cannot reach a key */
    if (count > KEYS_INLINE) {
        keys->refs = kv_malloc(&c->engine->mem, (size_t)count * (sizeof *keys->refs + sizeof *keys->hashes));
        if (keys->refs == NULL) return false;
        keys->hashes = (uint64_t *)(void *)(keys->refs + count);
        count = kv_command_keys(command, c->argc, c->argv, keys->refs, count);
    }
    keys->count = (uint32_t)count;
    for (uint32_t i = 0; i < keys->count; i++) keys->hashes[i] = hash_of(c, c->argv[keys->refs[i].arg]);
    c->key_refs = keys->refs;
    c->key_hashes = keys->hashes;
    c->key_count = keys->count;
    return true;
}

static void free_keys(kv_ctx *c, key_set *keys) {
    if (keys->refs != keys->refs_inline) kv_free(&c->engine->mem, keys->refs);
}

/* SCAN: the shards from the cursor on that hold about as many keys as COUNT asks for. What does not parse is the handler's to refuse. */
static uint64_t cursor_mask(const kv_ctx *c) {
    uint64_t cursor = 0;
    int64_t count = 10;
    if (c->argc > 1) (void)kv_parse_u64(c->argv[1], &cursor);
    for (int i = 2; i + 1 < c->argc; i += 2)
        if (kv_slice_is(c->argv[i], "count")) (void)kv_parse_i64(c->argv[i + 1], &count);
    return kv_store_scan_mask(&c->engine->store, (unsigned)c->db, cursor, count < 1 ? 1 : (size_t)count);
}

static uint64_t lock_set(const kv_ctx *c) {
    if ((c->command->flags & KV_CMD_CURSOR) != 0) return cursor_mask(c);
    if (kv_command_locks_all(c->command, c->argc, c->argv)) return kv_store_all_shards(&c->engine->store);
    uint64_t mask = 0;
    for (uint32_t i = 0; i < c->key_count; i++) mask |= UINT64_C(1) << kv_store_shard_index(&c->engine->store, c->key_hashes[i]);
    return mask;
}

/* ---- the checks ---- */

/* enable-debug-command and friends: no, yes, or local connections only. */
static bool protected_allowed(const kv_ctx *c) {
    int64_t mode = kv_setting(&c->engine->settings, KV_CFG_ENABLE_DEBUG_COMMAND);
    return mode == KV_ENABLE_DEBUG_COMMAND_YES || (mode == KV_ENABLE_DEBUG_COMMAND_LOCAL && kv_session_is_local(c->session));
}

static bool is_named(const kv_command *command, const char *name) { return strcmp(command->full_name, name) == 0; }

/* Commands that act on the transaction itself or on the connection run at once inside MULTI. */
static bool runs_inside_multi(const kv_command *command) {
    return is_named(command, "exec") || is_named(command, "discard") || is_named(command, "multi") || is_named(command, "watch") ||
           is_named(command, "quit") || is_named(command, "reset");
}

static bool allowed_when_subscribed(const kv_command *command) {
    return (command->flags & KV_CMD_PUBSUB) != 0 ? strstr(command->name, "subscribe") != NULL
                                                 : is_named(command, "ping") || is_named(command, "quit") || is_named(command, "reset");
}

static bool paused(const kv_ctx *c) {
    if (!kv_engine_is_paused(c->engine)) return false;
    if (atomic_load_explicit(&c->engine->still, memory_order_relaxed) != 0) return !c->session->replays;
    if (atomic_load_explicit(&c->engine->loading, memory_order_relaxed)) return false; /* what is not refused runs */
    if (!atomic_load_explicit(&c->engine->pause_writes_only, memory_order_relaxed)) {
        return !is_named(c->command, "client|unpause"); /* how a pause ends early */
    }
    uint64_t writes = KV_CMD_WRITE | KV_CMD_MAY_REPLICATE;
    if ((c->command->flags & writes) != 0) return true;
    return is_named(c->command, "exec") && c->session->transaction != NULL && (c->session->transaction->flags & writes) != 0;
}

/* What the command may change, with EXEC what its transaction may. */
static uint64_t effective_flags(const kv_ctx *c) {
    bool exec = is_named(c->command, "exec") && c->session->transaction != NULL;
    return exec ? c->session->transaction->flags : c->command->flags;
}

#define THROTTLED_NS 10000000 /* a writer is slowed down, not stopped: the snapshot is given up before memory is */

/* More waits for the disk than may wait, or more is kept for a snapshot: so does who would add to it, before it takes a lock. True: it may not wait here. */
static bool backlog_is_full(kv_ctx *c) {
    kv_journal *journal = kv_journal_of(c->engine);
    bool log = journal != NULL && atomic_load_explicit(&journal->full, memory_order_relaxed), throttled = kv_engine_is_throttled(c->engine);
    if ((!log && !throttled) || (effective_flags(c) & (KV_CMD_WRITE | KV_CMD_MAY_REPLICATE)) == 0) return false;
    if (c->session->nonblocking) return true;
    if (log) (void)journal->wait(journal, 0, UINT64_MAX);
    if (throttled) (void)kv_wait_word(&c->engine->store.throttle, 1, kv_mono_ns() + THROTTLED_NS);
    return false;
}

/* The log cannot be written. PING is refused, too, as in Valkey: who asks whether the server is well is told. */
static const char *log_refusal(const kv_ctx *c) {
    kv_journal *journal = kv_journal_of(c->engine);
    const char *error = journal == NULL ? NULL : atomic_load_explicit(&journal->refusal, memory_order_acquire);
    const char *refused = atomic_load_explicit(&c->engine->refused, memory_order_acquire);
    if (refused != NULL && (effective_flags(c) & KV_CMD_WRITE) != 0) return refused;
    return error != NULL && ((effective_flags(c) & KV_CMD_WRITE) != 0 || is_named(c->command, "ping")) ? error : NULL;
}

/* A server that is being started answers before its data are there. During a standstill (DEBUG LOADAOF) clients wait instead. */
static bool is_loading(const kv_ctx *c) {
    return atomic_load_explicit(&c->engine->loading, memory_order_relaxed) && (c->command->flags & KV_CMD_LOADING) == 0 &&
           !c->session->replays && atomic_load_explicit(&c->engine->still, memory_order_relaxed) == 0;
}

/* NULL: go on. Else the error that refuses the command. */
static const char *refusal(kv_ctx *c, char text[512]) {
    const kv_command *command = c->command;
    kv_session *session = c->session;
    if ((command->flags & KV_CMD_PROTECTED) != 0 && !protected_allowed(c)) {
        const char *name = strncmp(command->full_name, "debug", 5) == 0 ? "DEBUG" : "MODULE";
        const char *option = name[0] == 'D' ? "enable-debug-command" : "enable-module-command";
        int len = snprintf(text, 512, KV_ERR_PROTECTED_COMMAND, name, option);
        return len > 0 ? text : KV_ERR_SYNTAX;
    }
    if (kv_in_multi(session) && (command->flags & KV_CMD_NO_MULTI) != 0) {
        int len = snprintf(text, 512, KV_ERR_NO_MULTI, command->full_name);
        return len > 0 ? text : KV_ERR_SYNTAX;
    }
    if (kv_setting(&c->engine->settings, KV_CFG_MAXMEMORY) > 0) {
        bool fits = kv_evict(c->engine);
        if (!fits && (effective_flags(c) & KV_CMD_DENYOOM) != 0) return KV_ERR_OOM;
    }
    const char *misconf = log_refusal(c);
    if (misconf != NULL) return misconf;
    if (session->subscriber != NULL && session->resp == 2 && !session->in_process && !allowed_when_subscribed(command) &&
        kv_pubsub_count(session) + kv_pubsub_shard_count(session) > 0) {
        int len = snprintf(text, 512, KV_ERR_SUBSCRIBE_CONTEXT, command->full_name);
        return len > 0 ? text : KV_ERR_SYNTAX;
    }
    return is_loading(c) ? KV_ERR_LOADING : NULL;
}

/* ---- one command ---- */

static kv_outcome run(kv_ctx *c) {
    kv_session *session = c->session;
    if (kv_in_multi(session) && !runs_inside_multi(c->command)) {
        if (!kv_transaction_queue(c)) return reject(c, KV_ERR_OUT_OF_MEMORY);
        kv_reply_status(c->reply, "QUEUED");
        return KV_OUTCOME_DONE;
    }
    bool writes = (c->command->flags & (KV_CMD_WRITE | KV_CMD_MAY_REPLICATE)) != 0;
    if (!session->nonblocking) kv_unit_lock(c, lock_set(c), writes);
    else if (!kv_unit_trylock(c, lock_set(c), writes)) return KV_OUTCOME_BUSY;
    if (writes && kv_long_reply_in_the_way(c)) {
        kv_unlock_shards(c->engine, c->unit->locked);
        c->unit->locked = 0;
        return KV_OUTCOME_AGAIN;
    }
    size_t before = c->reply->out->len;
    kv_call(c);
    kv_unit_finish(c);
    if (c->blocked) return KV_OUTCOME_BLOCKED;
    if (c->again) return KV_OUTCOME_AGAIN;
    /* CLIENT CACHING is about the next command, or the whole transaction that it begins. */
    if (session->tracker != NULL && !kv_in_multi(session) && strncmp(c->command->full_name, "client|", 7) != 0)
        kv_tracking_command_done(session);
    if (!c->is_long) log_call(c, c->duration_ns, request_bytes(c), c->reply->out->len - before);
    return KV_OUTCOME_DONE;
}

/* ---- the short way ----
 * Nine calls of ten are of a command with one key, from a session in no special state, while nobody watches, pauses or limits the server. This is
 * run() for them alone: one shard instead of a set of them, and none of the questions whose answers are known here. It may do nothing that the
 * long way does not; whatever it is not sure of goes there. */

#define SHORT_WORDS 64
#define SHORT_BYTES (64 * 1024)

static inline bool is_plain(const kv_session *session, const kv_command *command) {
    kv_engine *engine = session->engine;
    return (command->flags & KV_CMD_ONE_KEY) != 0 && session->authenticated && session->transaction == NULL &&
           session->subscriber == NULL && session->tracker == NULL && session->reply_mode == KV_REPLY_ON &&
           atomic_load_explicit(&engine->monitor_count, memory_order_relaxed) == 0 && (session->replays || !kv_engine_is_paused(engine)) &&
           kv_setting(&engine->settings, KV_CFG_MAXMEMORY) == 0 && kv_journal_is_open(kv_journal_of(engine)) &&
           !kv_engine_is_throttled(engine) &&
           ((command->flags & KV_CMD_WRITE) == 0 || atomic_load_explicit(&engine->refused, memory_order_relaxed) == NULL);
}

/* The clock is read while the lock's line and the bucket are on their way; who has to wait for the lock reads it again. */
static inline bool lock_short(kv_ctx *c, kv_shard *shard) {
    bool writes = (c->command->flags & (KV_CMD_WRITE | KV_CMD_MAY_REPLICATE)) != 0;
    c->unit->ticks = kv_clock_ticks(&c->engine->clock);
    c->unit->now_ms = kv_clock_ms_at(&c->engine->clock, c->unit->ticks);
    if (kv_unit_lock_one(c, shard, writes, false)) return true;
    c->unit->ticks = 0;
    c->unit->now_ms = 0;
    return !c->session->nonblocking && kv_unit_lock_one(c, shard, writes, true);
}

/* False: nothing was done, the long way decides. */
static inline bool run_short(kv_ctx *c, size_t request) {
    kv_session *session = c->session;
    kv_key_ref ref = {1, c->command->key_specs->flags};
    uint64_t hash = hash_of(c, c->argv[1]);
    c->key_refs = &ref;
    c->key_hashes = &hash;
    c->key_count = 1;
    kv_shard *shard = kv_store_shard_of(&c->engine->store, hash);
    kv_shard_prefetch(shard, (unsigned)c->db, hash);
    unsigned weight = timing_weight(c);
    size_t before = c->reply->out->len;
    atomic_store_explicit(&session->last_command, c->command, memory_order_relaxed);
    if (!lock_short(c, shard)) return false;
    run_handler(c, weight);
    kv_unit_finish_one(c, shard);
    if (c->again) return true;
    count_call(c, weight, 0);
    if (!c->is_long) log_call(c, c->duration_ns, request, c->reply->out->len - before);
    return true;
}

/* Whether a call is over in a microsecond or so: what a thread may run while it holds Python's GIL. */
static inline bool is_quick(const kv_command *command, int argc, size_t request) {
    return (command->flags & KV_CMD_QUICK) != 0 && argc <= SHORT_WORDS && request < SHORT_BYTES;
}

static kv_outcome checked(kv_ctx *c, kv_resolution resolution) {
    kv_session *session = c->session;
    char text[KV_RESOLUTION_TEXT_MAX];
    bool open = resolution == KV_RESOLVED && (c->command->flags & KV_CMD_NO_AUTH) != 0;
    bool auth_arity = resolution == KV_WRONG_ARITY && (c->command->flags & KV_CMD_NO_AUTH) != 0;
    if (!session->authenticated && !open && !auth_arity) { /* before anything else: strangers learn nothing about commands */
        bool exec = c->command != NULL && is_named(c->command, "exec");
        return exec ? reject_exec(c, KV_ERR_NO_AUTH) : reject(c, KV_ERR_NO_AUTH);
    }
    if (resolution != KV_RESOLVED) {
        size_t len = kv_command_error(resolution, c->command, c->argc, c->argv, text);
        text[len] = 0;
        if (resolution == KV_WRONG_ARITY && is_named(c->command, "exec")) return reject_exec(c, text);
        kv_reply_error_slice(c->reply, kv_slice_of(text, len));
        count_error(c);
        kv_transaction_abort(session);
        if (c->command != NULL) atomic_fetch_add_explicit(&stats_of(c)->rejected, 1, memory_order_relaxed);
        return KV_OUTCOME_DONE;
    }
    atomic_store_explicit(&session->last_command, c->command, memory_order_relaxed);
    if (session->nonblocking &&
        (kv_setting(&c->engine->settings, KV_CFG_MAXMEMORY) > 0 || !is_quick(c->command, c->argc, request_bytes(c))))
        return KV_OUTCOME_BUSY;
    if (backlog_is_full(c)) return KV_OUTCOME_BUSY;
    const char *error = refusal(c, text);
    if (error != NULL) return is_named(c->command, "exec") ? reject_exec(c, error) : reject(c, error);
    if (paused(c)) return KV_OUTCOME_PAUSED;
    key_set keys;
    if (!extract_keys(c, &keys)) return reject(c, KV_ERR_OUT_OF_MEMORY);
    kv_outcome outcome = run(c);
    free_keys(c, &keys);
    return outcome;
}

/* CLIENT REPLY: OFF drops every reply, SKIP that of the next command. Confirmations of subscriptions are messages, not replies. */
static void apply_reply_mode(kv_session *session, const kv_command *command, kv_buf *out, size_t start) {
    if (command != NULL && (command->flags & KV_CMD_PUBSUB) != 0 && strstr(command->name, "subscribe") != NULL) {
        if (session->reply_mode == KV_REPLY_SKIP) session->reply_mode = KV_REPLY_ON;
        return;
    }
    switch (session->reply_mode) {
    case KV_REPLY_ON: return;
    case KV_REPLY_OFF: out->len = start; return;
    case KV_REPLY_SKIP_NEXT:
        out->len = start;
        session->reply_mode = KV_REPLY_SKIP;
        return;
    case KV_REPLY_SKIP:
        out->len = start;
        session->reply_mode = KV_REPLY_ON;
        return;
    }
}

/* State that other threads may ask for. Sessions without any of it pay one look. */
static void show_state(kv_session *session) {
    const kv_transaction *tx = session->transaction;
    bool any = tx != NULL || session->subscriber != NULL || session->tracker != NULL;
    if (!any && !atomic_load_explicit(&session->shown_any, memory_order_relaxed)) return;
    kv_tracking_state tracking = kv_tracking_get(session);
    atomic_store_explicit(&session->shown_multi, kv_in_multi(session) ? (int32_t)tx->count : -1, memory_order_relaxed);
    atomic_store_explicit(&session->shown_multi_bytes, tx == NULL ? 0 : tx->bytes, memory_order_relaxed);
    size_t tables = kv_pubsub_bytes(session) + kv_tracking_bytes(session);
    if (tx != NULL) tables += sizeof *tx + tx->bytes + tx->watch_bytes;
    atomic_store_explicit(&session->shown_tables, tables, memory_order_relaxed);
    atomic_store_explicit(&session->shown_watch, tx == NULL ? 0 : (uint32_t)tx->watch_count, memory_order_relaxed);
    atomic_store_explicit(&session->shown_channels, (uint32_t)kv_pubsub_kind_count(session, KV_TOPIC_CHANNEL), memory_order_relaxed);
    atomic_store_explicit(&session->shown_patterns, (uint32_t)kv_pubsub_kind_count(session, KV_TOPIC_PATTERN), memory_order_relaxed);
    atomic_store_explicit(&session->shown_shard_channels, (uint32_t)kv_pubsub_kind_count(session, KV_TOPIC_SHARD), memory_order_relaxed);
    atomic_store_explicit(&session->shown_tracking, tracking.on, memory_order_relaxed);
    atomic_store_explicit(&session->shown_bcast, tracking.bcast, memory_order_relaxed);
    atomic_store_explicit(&session->shown_broken_redirect, tracking.broken_redirect, memory_order_relaxed);
    atomic_store_explicit(&session->shown_redirect, tracking.redirect, memory_order_relaxed);
    atomic_store_explicit(&session->shown_any, any, memory_order_relaxed);
}

/* Only the owner writes it: no read-modify-write. */
static inline void count_command(kv_session *session) {
    uint64_t commands = atomic_load_explicit(&session->commands, memory_order_relaxed) + 1;
    atomic_store_explicit(&session->commands, commands, memory_order_relaxed);
    if (commands % KV_TALLY_AFTER > 1) return; /* now and then; 1: between direct calls, too */
    if (session->tally == NULL && commands >= KV_TALLY_AFTER) kv_tally_start(session);
    /* The store has grown: huge pages are worth a thread now. */
    if (atomic_load_explicit(&session->engine->mem.pool.wants_thread, memory_order_relaxed)) kv_engine_need_cron(session->engine);
}

static inline void want_cron(kv_engine *engine) {
    if (atomic_load_explicit(&engine->cron_wanted, memory_order_relaxed) &&
        atomic_load_explicit(&engine->cron, memory_order_relaxed) == NULL)
        kv_cron_start(engine);
}

/* A reply of which the handler has written the first slice. */
static kv_outcome go_on(kv_session *session, kv_buf *out, size_t start) {
    if (session->slices) return KV_OUTCOME_MORE;
    kv_long_reply_finish(session, out, start);
    return KV_OUTCOME_DONE;
}

/* `resolution` is what the words stand for, `command` the command if they stand for one. */
static inline kv_outcome execute(kv_session *session, const kv_command *command, kv_resolution resolution, int argc, const kv_slice *argv,
                                 kv_buf *out) {
    kv_engine *engine = session->engine;
    kv_reply reply = kv_reply_to(out, session->format);
    kv_unit unit = {0};
    size_t start = out->len;
    kv_ctx c;
    kv_ctx_begin(&c, engine, session, command, session->db, &unit);
    c.argv = argv;
    c.argc = argc;
    c.reply = &reply;
    if (session->nonblocking && kv_journal_gates(kv_journal_of(engine)))
        return KV_OUTCOME_BUSY; /* the reply will have to wait for the disk */
    if (resolution == KV_RESOLVED && is_plain(session, command)) {
        size_t request = request_bytes(&c);
        if (session->nonblocking && !is_quick(command, argc, request)) return KV_OUTCOME_BUSY;
        if (run_short(&c, request)) {
            if (c.again) {
                out->len = start;
                return KV_OUTCOME_AGAIN;
            }
            count_command(session);
            want_cron(engine);
            return c.is_long ? go_on(session, out, start) : KV_OUTCOME_DONE;
        }
        if (session->nonblocking) return KV_OUTCOME_BUSY;
    }
    kv_outcome outcome = checked(&c, resolution);
    if (outcome == KV_OUTCOME_PAUSED || outcome == KV_OUTCOME_BUSY) return outcome;
    if (outcome == KV_OUTCOME_AGAIN) {
        out->len = start;
        return session->nonblocking ? KV_OUTCOME_BUSY : outcome;
    }
    if (outcome == KV_OUTCOME_BLOCKED)
        return outcome; /* another thread may be serving it at this moment: the session is not to be touched */
    apply_reply_mode(session, c.command, out, start);
    show_state(session);
    count_command(session);
    want_cron(engine);
    return c.is_long ? go_on(session, out, start) : outcome;
}

kv_outcome kv_execute(kv_session *session, int argc, const kv_slice *argv, kv_buf *out) {
    const kv_command *command;
    kv_resolution resolution = kv_command_resolve(session->engine->commands, argc, argv, &command);
    kv_outcome outcome = execute(session, command, resolution, argc, argv, out);
    while (outcome == KV_OUTCOME_AGAIN && !session->slices) {
        kv_long_reply_yield();
        outcome = execute(session, command, resolution, argc, argv, out);
    }
    return outcome;
}

kv_outcome kv_execute_as(kv_session *session, const kv_command *command, int argc, const kv_slice *argv, kv_buf *out) {
    kv_resolution resolution = kv_command_arity_fits(command, argc) ? KV_RESOLVED : KV_WRONG_ARITY;
    kv_outcome outcome = execute(session, command, resolution, argc, argv, out);
    while (outcome == KV_OUTCOME_AGAIN && !session->slices) {
        kv_long_reply_yield();
        outcome = execute(session, command, resolution, argc, argv, out);
    }
    return outcome;
}

void kv_prefetch(kv_session *session, const kv_slice *keys, size_t count, kv_hint hints[KV_BATCH]) {
    kv_store *store = &session->engine->store;
    for (size_t i = 0; i < count; i++) hints[i] = (kv_hint){keys[i].ptr, kv_store_hash(store, keys[i])};
    for (int stage = 0; stage < 2; stage++) {
        for (size_t i = 0; i < count; i++) {
            kv_shard *shard = kv_store_shard_of(store, hints[i].hash);
            if (!kv_mutex_trylock(&shard->lock)) continue;
            const kv_keydb *db = kv_shard_db(shard, (unsigned)session->db);
            if (stage == 0) kv_keydb_prefetch(db, hints[i].hash);
            else kv_keydb_prefetch_entry(db, hints[i].hash);
            kv_mutex_unlock(&shard->lock);
        }
    }
    session->hints = hints;
    session->hint_count = count;
}
