/* DEBUG HTSTATS and HTSTATS-KEY: sizes and fill of the hash tables, in the layout that people know from the real server. A bucket has room for nine
 * entries and may be followed by more buckets; a database's numbers are the sums over its shards. Expiries are not in a hash table here but in
 * a heap by time, of which only the number of entries is told. */
#include "commands/debug.h"
#include "engine/errors.h"
#include "types/hash.h"
#include "types/set.h"
#include "types/zset.h"

enum { LENGTHS = 32 };

static void add_stats(kv_table_stats *sum, const kv_table *table) {
    kv_table_stats one;
    kv_table_stats_get(table, &one);
    sum->count += one.count;
    sum->overflow += one.overflow;
    sum->moved += one.moved;
    for (unsigned which = 0; which < 2; which++) {
        sum->buckets[which] += one.buckets[which];
        sum->entries[which] += one.entries[which];
        sum->chains[which] += one.chains[which];
        if (one.longest[which] > sum->longest[which]) sum->longest[which] = one.longest[which];
        for (unsigned i = 0; i < LENGTHS; i++) sum->lengths[which][i] += one.lengths[which][i];
    }
}

static void write_lengths(kv_buf *out, const kv_table_stats *stats, unsigned which) {
    size_t looked_at = 0;
    for (unsigned i = 0; i < LENGTHS; i++) looked_at += stats->lengths[which][i];
    kv_buf_printf(out, " top-level buckets: %zu\n chained buckets: %zu\n most entries in a bucket: %zu\n", stats->buckets[which],
                  stats->chains[which], stats->longest[which]);
    kv_buf_printf(out, " entries per bucket distribution:\n");
    for (unsigned i = 0; i < LENGTHS; i++) {
        size_t n = stats->lengths[which][i];
        if (n > 0) kv_buf_printf(out, "   %u%s: %zu (%.2f%%)\n", i, i + 1 == LENGTHS ? "+" : "", n, 100 * (double)n / (double)looked_at);
    }
}

static void write_stats(kv_buf *out, const kv_table_stats *stats, bool full) {
    static const char *const titles[2] = {"main hash table", "rehashing target"};
    for (unsigned which = 0; which < 2; which++) {
        if (stats->buckets[which] == 0) continue;
        size_t slots = stats->buckets[which] * KV_TABLE_SLOTS;
        kv_buf_printf(out, "Hash table %u stats (%s):\n table size: %zu\n number of entries: %zu\n load: %.2f%%\n", which, titles[which],
                      slots, stats->entries[which], 100 * (double)stats->entries[which] / (double)slots);
        if (which == 0 && stats->buckets[1] == 0) kv_buf_printf(out, " rehashing index: -1\n");
        else if (which == 0) kv_buf_printf(out, " rehashing index: %zu\n", stats->moved);
        if (full) write_lengths(out, stats, which);
    }
    if (full) kv_buf_printf(out, " child buckets: %zu\n", stats->overflow);
}

static bool wants_full(kv_ctx *c) { return c->argc == 4 && kv_ctx_is(c, 3, "full"); }

static void reply_text(kv_ctx *c, kv_buf *out) {
    if (out->failed) kv_ctx_out_of_memory(c);
    else kv_reply_verbatim(c->reply, kv_buf_slice(out));
    kv_buf_deinit(out);
}

void kv_debug_tables(kv_ctx *c) {
    int64_t number;
    if (!kv_ctx_i64(c, 2, &number)) return;
    const kv_store *store = &c->engine->store;
    if (number < 0 || number >= (int64_t)store->db_count) {
        kv_reply_error(c->reply, "ERR Out of range database");
        return;
    }
    kv_table_stats sum = {0};
    size_t expires = kv_store_expire_count(store, (unsigned)number);
    for (unsigned s = 0; s < store->shard_count; s++) {
        const kv_keydb *db = kv_shard_db(&store->shards[s], (unsigned)number);
        if (db != NULL) add_stats(&sum, &db->keys);
    }
    kv_buf out;
    kv_buf_init(&out, kv_ctx_mem(c));
    kv_buf_printf(&out, "[Dictionary HT]\n");
    if (sum.count > 0) write_stats(&out, &sum, wants_full(c));
    kv_buf_printf(&out, "[Expires HT]\n");
    if (expires > 0) kv_buf_printf(&out, "Heap by time (not a hash table):\n number of entries: %zu\n", expires);
    reply_text(c, &out);
}

static const kv_table *table_of(const kv_value *v) {
    if (v->type == KV_HASH) return kv_hash_table(v);
    if (v->type == KV_ZSET) return kv_zset_table(v);
    return v->type == KV_SET ? kv_set_table(v) : NULL;
}

void kv_debug_key_table(kv_ctx *c) {
    kv_key key = kv_ctx_key_named(c, c->argv[2]);
    const kv_value *v = kv_ctx_find(c, &key, KV_FIND_PEEK);
    const kv_table *table = v == NULL ? NULL : table_of(v);
    if (v == NULL) {
        kv_reply_error(c->reply, KV_ERR_NO_SUCH_KEY);
    } else if (table == NULL) {
        kv_reply_error(c->reply, "ERR The value stored at the specified key is not represented using an hash table");
    } else {
        kv_table_stats stats = {0};
        kv_buf out;
        add_stats(&stats, table);
        kv_buf_init(&out, kv_ctx_mem(c));
        write_stats(&out, &stats, wants_full(c));
        reply_text(c, &out);
    }
}
