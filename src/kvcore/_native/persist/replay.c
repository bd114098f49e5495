/* The reader's batches, command by command, through the door that every client takes; before each few the memory that they will touch is fetched.
 *
 * An error that a command replies is counted and passed over, as in Valkey: the log has what was done, so the same error was the answer then, or the
 * command has been changed since. A command that does not exist is the end: what follows may rest on what it should have done. Only commands that
 * write are run: a log that asks for SHUTDOWN or CONFIG was not written by a server. */
#include "persist/replay.h"

#include "base/num.h"
#include "engine/dispatch.h"

enum { TELL_EVERY = 512 * 1024, NAME_MAX_LEN = 24 };

typedef struct replay {
    kv_engine *engine;
    kv_session *session;
    kv_aof_reader reader;
    kv_buf reply;
    kv_replay_result result;
    kv_buf *reason;
    uint8_t name[NAME_MAX_LEN]; /* the last command's, as it was written: most logs are long rows of the same few */
    size_t name_len;
    const kv_command *command;
} replay;

static kv_status stop(replay *r, uint64_t at, kv_status status, const char *problem, kv_slice what) {
    kv_buf_printf(r->reason, "at byte %llu of %llu or before: %s", (unsigned long long)at, (unsigned long long)r->reader.source->size,
                  problem);
    if (what.len > 0) kv_buf_printf(r->reason, " '%.*s'", (int)(what.len < 64 ? what.len : 64), (const char *)what.ptr);
    return status;
}

/* NULL: there is no such command. */
static const kv_command *resolve(replay *r, int argc, const kv_slice *argv) {
    if (argv[0].len == r->name_len && memcmp(argv[0].ptr, r->name, r->name_len) == 0) return r->command;
    const kv_command *command;
    kv_resolution resolution = kv_command_resolve(r->engine->commands, argc, argv, &command);
    if (resolution == KV_UNKNOWN_COMMAND) return NULL;
    bool plain = resolution == KV_RESOLVED && argv[0].len < sizeof r->name && kv_slice_is(argv[0], command->full_name);
    r->name_len = plain ? argv[0].len : 0;
    memcpy(r->name, argv[0].ptr, r->name_len);
    r->command = plain ? command : NULL;
    return command;
}

static kv_status select_db(replay *r, int argc, const kv_slice *argv, uint64_t end) {
    int64_t db;
    if (argc != 2 || !kv_parse_i64(argv[1], &db) || db < 0 || db >= (int64_t)r->engine->store.db_count)
        return stop(r, end, KV_EINVAL, "a database that this store does not have: open it with more of them",
                    argc > 1 ? argv[1] : KV_LIT(""));
    atomic_store_explicit(&r->session->db, (int)db, memory_order_relaxed);
    return KV_OK;
}

static kv_status judge(replay *r, kv_outcome outcome, kv_slice name, uint64_t end) {
    if (outcome == KV_OUTCOME_BLOCKED) { /* nothing is there for it: it waits no more */
        kv_session_stop_waiting(r->session);
        r->result.errors++;
        return KV_OK;
    }
    kv_slice reply = kv_buf_slice(&r->reply);
    if (r->reply.failed) return stop(r, end, KV_ENOMEM, "out of memory at", name);
    if (outcome != KV_OUTCOME_DONE || reply.len == 0 || reply.ptr[0] != '-')
        return outcome == KV_OUTCOME_DONE ? KV_OK : stop(r, end, KV_EINVAL, "a command that cannot run now:", name);
    if (reply.len > 4 && memcmp(reply.ptr, "-OOM", 4) == 0) return stop(r, end, KV_ENOMEM, "out of memory at", name);
    if (r->result.errors++ == 0) {
        kv_buf_printf(r->reason, "before byte %llu: '%.*s' replied: %.*s", (unsigned long long)end, (int)(name.len < 64 ? name.len : 64),
                      (const char *)name.ptr, (int)(reply.len < 200 ? reply.len - 3 : 200), (const char *)reply.ptr + 1);
    }
    return KV_OK;
}

static kv_status apply(replay *r, int argc, const kv_slice *argv, uint64_t end) {
    const kv_command *command = resolve(r, argc, argv);
    if (command == NULL) return stop(r, end, KV_EINVAL, "an unknown command", argv[0]);
    if ((command->flags & KV_CMD_WRITE) == 0) {
        if (kv_slice_is(argv[0], "SELECT")) return select_db(r, argc, argv, end);
        r->result.skipped++;
        return KV_OK;
    }
    r->reply.len = 0;
    bool plain = command == r->command;
    kv_outcome outcome = plain ? kv_execute_as(r->session, command, argc, argv, &r->reply) : kv_execute(r->session, argc, argv, &r->reply);
    r->result.commands++;
    if (outcome == KV_OUTCOME_DONE && r->reply.len > 0 && r->reply.ptr[0] != '-' && !r->reply.failed) return KV_OK;
    return judge(r, outcome, argv[0], end);
}

/* The keys of the commands from `from` on, so many as are looked at together. */
static void look_ahead(replay *r, size_t from, size_t to, kv_hint hints[KV_BATCH]) {
    kv_slice keys[KV_BATCH];
    size_t count = 0;
    for (size_t i = from; i < to; i++) {
        const kv_aof_command *command = &r->reader.commands[i];
        if (command->argc > 1) keys[count++] = kv_aof_argv(&r->reader, command)[1];
    }
    kv_prefetch(r->session, keys, count, hints);
}

static kv_status apply_batch(replay *r) {
    kv_hint hints[KV_BATCH];
    kv_status status = KV_OK;
    const kv_aof_reader *reader = &r->reader;
    size_t looked = 0;
    for (size_t g = 0; g < reader->group_count && status == KV_OK; g++) {
        const kv_aof_group *group = &reader->groups[g];
        size_t last = group->first + group->count;
        for (size_t i = group->first; i < last && status == KV_OK; i++) {
            if (i >= looked) {
                const kv_aof_group *end = &reader->groups[reader->group_count - 1];
                size_t most = end->first + end->count;
                looked = i + KV_BATCH < most ? i + KV_BATCH : most;
                look_ahead(r, i, looked, hints);
            }
            status = apply(r, reader->commands[i].argc, kv_aof_argv(reader, &reader->commands[i]), group->end);
        }
    }
    r->session->hints = NULL;
    r->session->hint_count = 0;
    return status;
}

static kv_status ended(replay *r, kv_aof_status status) {
    const kv_aof_reader *reader = &r->reader;
    r->result.good = reader->good;
    r->result.last_seq = reader->last_seq;
    r->result.has_lines = reader->has_lines;
    r->result.torn = status == KV_AOF_TORN;
    if (status == KV_AOF_END) return KV_OK;
    if (r->reason->len > 0) kv_buf_add(r->reason, "; ", 2);
    kv_buf_printf(r->reason, "the log is whole up to byte %llu of %llu, and at byte %llu: %s", (unsigned long long)reader->good,
                  (unsigned long long)reader->source->size, (unsigned long long)reader->bad, reader->problem);
    return status == KV_AOF_TORN ? KV_OK : status == KV_AOF_FAILED ? reader->error : KV_ECORRUPT;
}

static kv_status run(replay *r, const kv_replay_options *options) {
    kv_source *source = r->reader.source;
    uint64_t told = kv_source_at(source);
    for (;;) {
        kv_aof_status got = kv_aof_reader_next(&r->reader);
        if (got != KV_AOF_BATCH) return ended(r, got);
        kv_status status = apply_batch(r);
        if (status != KV_OK) return status;
        if (options->progress == NULL || r->reader.good - told < TELL_EVERY) continue;
        told = r->reader.good;
        if (!options->progress(options->arg, told, source->size)) return stop(r, told, KV_EINVAL, "given up", KV_LIT(""));
    }
}

kv_status kv_replay(kv_engine *engine, kv_source *source, const kv_replay_options *options, kv_replay_result *out, kv_buf *reason) {
    replay r = {.engine = engine, .reason = reason};
    *out = (kv_replay_result){.good = kv_source_at(source)};
    kv_status status = kv_aof_reader_init(&r.reader, source);
    if (status != KV_OK) return status;
    r.result.good = out->good;
    r.session = kv_session_create(engine, NULL, NULL, NULL);
    if (r.session != NULL) {
        bool nested = atomic_exchange_explicit(&engine->loading, true, memory_order_relaxed);
        r.session->format = KV_FORMAT_RESP2;
        r.session->resp = 2;
        r.session->authenticated = true;
        r.session->nonblocking = false;
        r.session->replays = true;
        kv_buf_init(&r.reply, &engine->mem);
        status = run(&r, options);
        kv_buf_deinit(&r.reply);
        kv_session_destroy(r.session);
        atomic_store_explicit(&engine->loading, nested, memory_order_relaxed);
    } else {
        status = KV_ENOMEM;
    }
    kv_aof_reader_deinit(&r.reader);
    *out = r.result;
    return status;
}
