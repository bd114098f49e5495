/*   RDB part: item, value -> a store of one shard that holds one key -> described -> deleted
 *   log part: batches of groups, handed out command by command
 *
 * A value goes into a real store rather than being looked at in its bytes: so what is said about it (encoding, memory) is what a loaded one has, and the
 * checks are those of loading, not a second set. Types that are not read are passed by with the little that their form says.
 *
 * Keys that come twice are found with 128 bits of hash a key, in a table that is never more than two thirds full. Seeds are fixed: whoever makes a file
 * so that two keys collide has damaged his own file. */
#include "persist/inspect.h"

#include "base/siphash.h"
#include "persist/rdb.h"
#include "store/keyspace.h"
#include "store/value_ops.h"

enum { AT_START, IN_SNAPSHOT, BEHIND_SNAPSHOT, IN_LOG, ENDED };

static const kv_limits limits = {512, 64, 512, 128, 64, 128, 64, -2, 0, 0}; /* the defaults */

/* ---- keys that were seen ---- */

typedef struct mark {
    uint64_t high, low; /* both 0: free */
} mark;

struct kv_seen {
    mark *marks;
    size_t mask, count;
};

static mark mark_of(unsigned db, kv_slice key) {
    static const kv_hash_seed first = {0x6b76636f72652d31, 0x5851f42d4c957f2d}, second = {0x6b76636f72652d32, 0x14057b7ef767814f};
    uint64_t salt = (db + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return (mark){kv_siphash(&first, key.ptr, key.len) ^ salt, (kv_siphash(&second, key.ptr, key.len) ^ salt) | 1};
}

/* Puts it where it belongs; false: it was there. There is room. */
static bool put_mark(struct kv_seen *seen, mark m) {
    size_t at = (size_t)m.high & seen->mask;
    for (; seen->marks[at].low != 0; at = (at + 1) & seen->mask)
        if (seen->marks[at].high == m.high && seen->marks[at].low == m.low) return false;
    seen->marks[at] = m;
    seen->count++;
    return true;
}

static bool grow_seen(kv_mem *mem, struct kv_seen *seen) {
    struct kv_seen bigger = {.mask = seen->marks == NULL ? 4095 : seen->mask * 2 + 1};
    bigger.marks = kv_calloc(mem, bigger.mask + 1, sizeof *bigger.marks);
    if (bigger.marks == NULL) return false;
    for (size_t i = 0; seen->marks != NULL && i <= seen->mask; i++)
        if (seen->marks[i].low != 0) (void)put_mark(&bigger, seen->marks[i]);
    kv_free(mem, seen->marks);
    *seen = bigger;
    return true;
}

/* ---- ends ---- */

static const kv_inspect_item *ended(kv_inspect *in, kv_inspect_kind kind, uint64_t at, uint64_t good, const char *problem) {
    in->part = ENDED;
    in->item = (kv_inspect_item){.kind = kind, .at = at, .good = good, .problem = problem, .expire_ms = -1, .idle_s = -1};
    return &in->item;
}

static const kv_inspect_item *refused(kv_inspect *in, kv_status status, const char *problem) {
    kv_inspect_kind kind = status == KV_ECORRUPT ? KV_INSPECT_CORRUPT : status == KV_EINVAL ? KV_INSPECT_UNSUPPORTED : KV_INSPECT_FAILED;
    kv_slice name = in->item.name;
    (void)ended(in, kind, kv_source_at(&in->source), in->item.at, problem != NULL ? problem : "out of memory");
    in->item.name = name;
    return &in->item;
}

/* ---- values ---- */

static void let_go(kv_inspect *in) {
    if (in->held == NULL) return;
    kv_shard *shard = &in->store.shards[0];
    kv_mutex_lock(&shard->lock);
    kv_keydb_delete(kv_shard_db(shard, 0), in->hash, in->held);
    while (!kv_shard_free_some(shard, 1u << 20)) continue;
    kv_mutex_unlock(&shard->lock);
    in->held = NULL;
}

static bool hold(kv_inspect *in, const kv_rdb_item *read) {
    kv_rdb_item item = *read;
    item.db = 0;
    in->hash = kv_store_hash(&in->store, item.name);
    kv_load_put_now(&in->load, &in->source.in, &item);
    if (kv_load_failed(&in->load)) return false;
    in->held = kv_keydb_find(kv_shard_db(&in->store.shards[0], 0), in->hash, item.name);
    in->item.held = in->held;
    if (in->held != NULL) in->item.elements = kv_value_length(in->held);
    return true;
}

static bool skip_lengths(kv_rdb_in *in, int count) {
    uint64_t length;
    for (; count > 0; count--)
        if (!kv_rdb_length(in, &length)) return false;
    return true;
}

static bool skip_consumers(kv_rdb_in *in, uint8_t form) {
    size_t consumers, pending;
    if (!kv_rdb_count(in, 10, &consumers)) return false;
    for (; consumers > 0; consumers--) {
        if (!kv_rdb_skip_string(in) || kv_rdb_take(in, form == KV_RDB_STREAM_3 ? 16 : 8) == NULL) return false;
        if (!kv_rdb_count(in, 16, &pending)) return false;
        for (; pending > 0; pending--)
            if (kv_rdb_take(in, 16) == NULL) return false;
    }
    return true;
}

static bool skip_group(kv_rdb_in *in, uint8_t form) {
    size_t pending;
    if (!kv_rdb_skip_string(in) || !skip_lengths(in, form == KV_RDB_STREAM ? 2 : 3) || !kv_rdb_count(in, 25, &pending)) return false;
    for (; pending > 0; pending--)
        if (kv_rdb_take(in, 24) == NULL || !skip_lengths(in, 1)) return false;
    return skip_consumers(in, form);
}

/* Nodes of entries; how many they are and where they end; groups with what is pending of them, and their consumers. */
static bool skip_stream(kv_rdb_in *in, uint8_t form, uint64_t *entries) {
    size_t nodes, groups;
    if (!kv_rdb_count(in, 2, &nodes)) return false;
    for (; nodes > 0; nodes--)
        if (!kv_rdb_skip_string(in) || !kv_rdb_skip_string(in)) return false;
    if (!kv_rdb_length(in, entries) || !skip_lengths(in, form == KV_RDB_STREAM ? 2 : 7) || !kv_rdb_count(in, 5, &groups)) return false;
    for (; groups > 0; groups--)
        if (!skip_group(in, form)) return false;
    return true;
}

static bool pass_by(kv_inspect *in, uint8_t form) {
    kv_rdb_in *source = &in->source.in;
    switch (form) {
    case KV_RDB_STREAM:
    case KV_RDB_STREAM_2:
    case KV_RDB_STREAM_3: return skip_stream(source, form, &in->item.elements);
    case KV_RDB_MODULE: return kv_rdb_skip_module(source, in->item.module);
    default: return kv_rdb_skip_value(source, form, in->version);
    }
}

static bool is_read(uint8_t form) {
    return form != KV_RDB_STREAM && form != KV_RDB_STREAM_2 && form != KV_RDB_STREAM_3 && form != KV_RDB_MODULE;
}

/* ---- the snapshot ---- */

static const kv_inspect_item *take_key(kv_inspect *in, const kv_rdb_item *read) {
    kv_inspect_item *item = &in->item;
    item->kind = KV_INSPECT_KEY;
    item->form = read->type;
    if (in->options.unique) {
        struct kv_seen *seen = in->seen;
        if ((seen->marks == NULL || seen->count >= (seen->mask + 1) / 3 * 2) && !grow_seen(in->mem, seen))
            return refused(in, KV_ENOMEM, NULL);
        if (!put_mark(seen, mark_of(read->db, read->name))) return refused(in, KV_ECORRUPT, "a key that comes twice");
    }
    if (in->options.values && is_read(read->type)) {
        if (!hold(in, read)) {
            const kv_inspect_item *end =
                refused(in, (kv_status)atomic_load_explicit(&in->load.failed, memory_order_relaxed), in->load.problem);
            return end;
        }
    } else if (!pass_by(in, read->type)) {
        return refused(in, in->source.in.status, in->source.in.problem);
    }
    item->bytes = kv_source_at(&in->source) - item->at;
    return item;
}

static const kv_inspect_item *next_of_snapshot(kv_inspect *in) {
    kv_rdb_item read;
    do {
        in->item = (kv_inspect_item){.at = kv_source_at(&in->source), .expire_ms = -1, .idle_s = -1};
        if (!kv_rdb_file_next(&in->rdb, &read)) return refused(in, in->source.in.status, in->source.in.problem);
    } while (read.kind == KV_RDB_ITEM_SIZES);
    in->item.db = read.db;
    in->item.name = read.name;
    in->item.value = read.value;
    in->item.expire_ms = read.expire_ms;
    in->item.idle_s = read.idle_s;
    in->item.frequency = read.frequency;
    in->item.bytes = kv_source_at(&in->source) - in->item.at;
    switch (read.kind) {
    case KV_RDB_ITEM_KEY: return take_key(in, &read);
    case KV_RDB_ITEM_FACT: in->item.kind = KV_INSPECT_FACT; break;
    case KV_RDB_ITEM_FUNCTION: in->item.kind = KV_INSPECT_FUNCTION; break;
    case KV_RDB_ITEM_MODULE: in->item.kind = KV_INSPECT_MODULE; break;
    case KV_RDB_ITEM_SIZES:
    case KV_RDB_ITEM_END:
        in->item.kind = KV_INSPECT_SNAPSHOT;
        in->item.good = kv_source_at(&in->source);
        in->part = BEHIND_SNAPSHOT;
        break;
    }
    return &in->item;
}

/* ---- the log ---- */

static const kv_inspect_item *next_of_log(kv_inspect *in) {
    kv_aof_reader *log = &in->log;
    while (in->group >= log->group_count) {
        switch (kv_aof_reader_next(log)) {
        case KV_AOF_BATCH: break;
        case KV_AOF_END: return ended(in, KV_INSPECT_END, log->good, log->good, NULL);
        case KV_AOF_TORN: return ended(in, KV_INSPECT_TORN, log->bad, log->good, log->problem);
        case KV_AOF_CORRUPT: return ended(in, KV_INSPECT_CORRUPT, log->bad, log->good, log->problem);
        case KV_AOF_FAILED: return ended(in, KV_INSPECT_FAILED, log->good, log->good, log->problem);
        }
        in->group = in->command = 0;
        while (in->group < log->group_count && log->groups[in->group].count == 0) in->group++;
    }
    const kv_aof_group *group = &log->groups[in->group];
    const kv_aof_command *command = &log->commands[group->first + in->command];
    in->item = (kv_inspect_item){.kind = KV_INSPECT_COMMAND,
                                 .at = group->end,
                                 .words = kv_aof_argv(log, command),
                                 .word_count = (size_t)command->argc,
                                 .group_ends = in->command + 1 == group->count,
                                 .expire_ms = -1,
                                 .idle_s = -1};
    in->command++;
    if (in->item.group_ends) {
        in->command = 0;
        do in->group++;
        while (in->group < log->group_count && log->groups[in->group].count == 0);
    }
    return &in->item;
}

static const kv_inspect_item *begin_log(kv_inspect *in) {
    if (kv_rdb_left(&in->source.in) == 0) return ended(in, KV_INSPECT_END, in->source.size, in->source.size, NULL);
    if (kv_aof_reader_init(&in->log, &in->source) != KV_OK) return refused(in, KV_ENOMEM, NULL);
    in->part = IN_LOG;
    return next_of_log(in);
}

/* ---- the file ---- */

static const kv_inspect_item *begin(kv_inspect *in) {
    kv_rdb_in *source = &in->source.in;
    if (in->source.size == 0) return ended(in, KV_INSPECT_END, 0, 0, NULL);
    size_t head = in->source.size < 5 ? (size_t)in->source.size : 5;
    if (!source->more(source, head)) return refused(in, source->status, source->problem);
    in->has_snapshot = kv_rdb_is_magic(kv_slice_of(source->at, head));
    if (!in->has_snapshot && *source->at != '*' && *source->at != '#') return refused(in, KV_ECORRUPT, "neither an RDB file nor a log");
    if (!in->has_snapshot) return begin_log(in);
    in->part = IN_SNAPSHOT;
    if (!kv_rdb_file_begin(&in->rdb, source, true)) return refused(in, source->status, source->problem);
    in->rdb.any_type = in->options.any_type;
    in->version = in->load.version = in->rdb.version;
    return next_of_snapshot(in);
}

kv_status kv_inspect_open(kv_inspect *in, const kv_vfs *vfs, kv_mem *mem, const char *path, const kv_inspect_options *options) {
    *in = (kv_inspect){.mem = mem, .options = *options, .part = AT_START};
    kv_status status = kv_source_open(&in->source, vfs, mem, path);
    if (status != KV_OK) return status;
    in->seen = kv_calloc(mem, 1, sizeof *in->seen);
    in->has_store = in->seen != NULL && kv_store_init(&in->store, mem, 1, 1, (kv_hash_seed){1, 2}) == KV_OK;
    if (!in->has_store) {
        kv_free(mem, in->seen);
        kv_source_close(&in->source);
        return KV_ENOMEM;
    }
    in->load.store = &in->store;
    in->load.limits = &limits;
    in->load.drop_expired_ms = INT64_MIN;
    return KV_OK;
}

void kv_inspect_close(kv_inspect *in) {
    let_go(in);
    kv_store_deinit(&in->store);
    if (in->rdb.in != NULL) kv_rdb_file_end(&in->rdb);
    if (in->log.batch != NULL) kv_aof_reader_deinit(&in->log);
    kv_free(in->mem, in->seen->marks);
    kv_free(in->mem, in->seen);
    kv_source_close(&in->source);
}

const kv_inspect_item *kv_inspect_next(kv_inspect *in) {
    let_go(in);
    switch (in->part) {
    case AT_START: return begin(in);
    case IN_SNAPSHOT: return next_of_snapshot(in);
    case BEHIND_SNAPSHOT: return begin_log(in);
    case IN_LOG: return next_of_log(in);
    default: return &in->item;
    }
}
