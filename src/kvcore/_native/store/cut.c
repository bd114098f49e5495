/* Cuts: what is remembered of databases, and the walk.
 *
 *   shard.dbs[]    database (cut_index, cut_cursor, cut_walked)      all that were there at the cut are registered, by their number then
 *   shard.flushed  database ...                                      flushed after the cut: registered, walked like the others, freed afterwards
 *
 * The walk finds the next registered database that is not walked each time it has the lock: SWAPDB and FLUSHALL may have put it elsewhere, but they do not
 * free it. Its cursor is kv_table_scan's, which growing, shrinking and compaction do not disturb; what it shows twice is stamped the second time. Entries
 * of a few buckets are fetched together before they are looked at: at random addresses that is what the walk takes its time for.
 *
 * A database that was made after the cut has no entries that were there before: what is moved into it is shown on the way. */
#include "store/cut.h"

#include "store/entry.h"

enum { FETCHED = 48, ROOM = 512, STEPS = 1024 /* of the scan, under one hold of the lock: buckets may be empty */ };

void kv_cut_register(const kv_cut *cut, kv_shard *shard) {
    shard->cut_epoch = cut->epoch;
    for (unsigned i = 0; i < shard->store->db_count; i++) {
        kv_keydb *db = shard->dbs[i];
        if (db == NULL) continue;
        db->cut_epoch = cut->epoch;
        db->cut_index = i;
        db->cut_cursor = 0;
        db->cut_walked = false;
        db->cut_keys = kv_table_count(&db->keys);
        db->cut_expires = kv_heap_count(&db->expires);
        if (kv_heap_count(&db->fields) > 0) atomic_store_explicit(&((kv_cut *)(uintptr_t)cut)->fields, true, memory_order_relaxed);
    }
}

void kv_cut_show(const kv_cut *cut, kv_keydb *db, kv_value *v, bool goes) {
    if (db->shard->cut_epoch != cut->epoch) kv_cut_register(cut, db->shard);
    cut->before(cut->arg, db, v, goes);
    v->version = cut->epoch;
}

/* ---- the walk ---- */

static bool is_due(const kv_cut *cut, const kv_keydb *db) { return db != NULL && db->cut_epoch == cut->epoch && !db->cut_walked; }

static kv_keydb *next_database(const kv_cut *cut, const kv_shard *shard) {
    for (unsigned i = 0; i < shard->store->db_count; i++)
        if (is_due(cut, shard->dbs[i])) return shard->dbs[i];
    for (kv_keydb *db = shard->flushed; db != NULL; db = db->next)
        if (is_due(cut, db)) return db;
    return NULL;
}

void kv_cut_counts(const kv_cut *cut, const kv_shard *shard, unsigned index, size_t *keys, size_t *expires) {
    *keys = *expires = 0;
    for (unsigned i = 0; i < shard->store->db_count; i++)
        if (is_due(cut, shard->dbs[i]) && shard->dbs[i]->cut_index == index)
            *keys += shard->dbs[i]->cut_keys, *expires += shard->dbs[i]->cut_expires;
    for (const kv_keydb *db = shard->flushed; db != NULL; db = db->next)
        if (is_due(cut, db) && db->cut_index == index) *keys += db->cut_keys, *expires += db->cut_expires;
}

typedef struct fetch {
    const kv_cut *cut;
    kv_keydb *db;
    kv_cut_fn *fn;
    void *arg;
    size_t count;
    kv_value *found[ROOM];
    bool more;
} fetch;

static void look(fetch *f) {
    for (size_t i = 0; i < f->count; i++) {
        kv_value *v = f->found[i];
        if (v->version == f->cut->epoch) continue;
        v->version = f->cut->epoch;
        f->more &= f->fn(f->arg, f->db, v);
    }
    f->count = 0;
}

/* A bucket's chain is taken as a whole, however long: the cursor cannot stop inside. */
static void take(void *arg, void *entry) {
    fetch *f = arg;
    if (f->count == ROOM) look(f);
    __builtin_prefetch(entry);
    __builtin_prefetch((const char *)entry + 63);
    f->found[f->count++] = entry;
}

bool kv_cut_walk(const kv_cut *cut, kv_shard *shard, kv_cut_fn *fn, void *arg) {
    fetch f;
    f.cut = cut;
    f.fn = fn;
    f.arg = arg;
    f.count = 0;
    f.more = true;
    size_t steps = 0;
    while ((f.db = next_database(cut, shard)) != NULL) {
        do {
            f.db->cut_cursor = kv_table_scan(&f.db->keys, f.db->cut_cursor, take, &f);
            f.more &= ++steps < STEPS;
            if (f.count >= FETCHED || f.db->cut_cursor == 0 || !f.more) look(&f);
        } while (f.more && f.db->cut_cursor != 0);
        if (f.db->cut_cursor == 0) f.db->cut_walked = true;
        if (!f.more) return true;
    }
    return false;
}
