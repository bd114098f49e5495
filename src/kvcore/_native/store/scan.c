/* SCAN and random choice over shards.
 *
 *   cursor:  | place in the table, 58 bits | shard, 6 bits |
 *
 * 0 is the beginning of shard 0, and the end of all. The table's own cursor is safe for any value, and a shard number that does not exist ends the
 * scan, so a forged cursor can do no more than skip or repeat. */
#include "store/shard.h"

enum { SHARD_BITS = 6 };

static unsigned shard_of_cursor(uint64_t cursor) { return (unsigned)(cursor & ((1u << SHARD_BITS) - 1)); }

static size_t keys_of(const kv_store *store, unsigned shard, unsigned db) {
    return atomic_load_explicit(&store->shards[shard].counts[db].keys, memory_order_relaxed);
}

uint64_t kv_store_scan_mask(const kv_store *store, unsigned db, uint64_t cursor, size_t count) {
    uint64_t mask = 0;
    size_t expected = 0;
    for (unsigned i = shard_of_cursor(cursor); i < store->shard_count; i++) {
        size_t keys = keys_of(store, i, db);
        /* Empty shards behind the last one that is needed are taken too: then the cursor can say that it was the end. */
        if (mask != 0 && expected >= count && keys > 0) break;
        mask |= UINT64_C(1) << i;
        expected += keys;
    }
    return mask;
}

typedef struct scan_state {
    void (*fn)(void *arg, kv_value *v);
    void *arg;
    size_t seen;
} scan_state;

static void see(void *arg, void *entry) {
    scan_state *state = arg;
    state->seen++;
    state->fn(state->arg, entry);
}

uint64_t kv_store_scan(kv_store *store, unsigned db, uint64_t cursor, uint64_t mask, size_t count, void (*fn)(void *arg, kv_value *v),
                       void *arg) {
    scan_state state = {.fn = fn, .arg = arg};
    unsigned index = shard_of_cursor(cursor);
    uint64_t place = cursor >> SHARD_BITS;
    if (count == 0) count = 1;
    size_t steps = 0, steps_max = count > SIZE_MAX / 10 ? SIZE_MAX : count * 10;
    for (; index < store->shard_count && (mask >> index & 1) != 0; index++, place = 0) {
        kv_keydb *keydb = kv_shard_db(&store->shards[index], db);
        if (kv_keydb_count(keydb) == 0) continue;
        do {
            if (state.seen >= count || steps++ >= steps_max) return place << SHARD_BITS | index;
            place = kv_table_scan(&keydb->keys, place, see, &state);
        } while (place != 0);
    }
    return index >= store->shard_count ? 0 : index;
}

kv_status kv_store_random_shard(const kv_store *store, unsigned db, kv_rng *rng, unsigned *out) {
    size_t total = kv_store_count(store, db);
    if (total == 0) return KV_ENOTFOUND;
    uint64_t at = kv_rng_below(rng, total);
    for (unsigned i = 0; i < store->shard_count; i++) {
        size_t keys = keys_of(store, i, db);
        if (at < keys) {
            *out = i;
            return KV_OK;
        }
        at -= keys;
    }
    return KV_ENOTFOUND; /* keys went away while the numbers were read */
}
