/*     caller: file -> where keys begin and end -> batches --\    /--> worker: values, keys
 *                                                            slots
 *                                                           /    \--> worker
 *
 * A slot holds one batch and a turn, which says whose it is: 2t while batch number t may be put in, 2t + 1 when it is there, 2(t + SLOTS) once it has
 * been taken out. Workers draw the number of the batch they take next, so each waits for one slot only. A batch without bytes ends the worker that
 * draws it.
 *
 * A value of more than a batch's size is read by the caller itself, piece by piece, so that its bytes need not be in memory beside what they become. */
#include "persist/load.h"

#include "base/clock.h"
#include "base/sync.h"
#include "persist/load_batch.h"
#include "persist/rdb_file.h"

enum { BATCH = 128 * 1024, SLOTS = 16, WORKERS = 16, KEY_BYTES_MIN = 4 };

typedef struct slot {
    _Atomic uint32_t turn;
    kv_buf batch;
} slot;

typedef struct loader {
    kv_load load;
    kv_mem *mem;
    slot slots[SLOTS];
    _Atomic uint32_t drawn; /* batches that workers have asked for */
    uint32_t filled;        /* batches put in: the caller's */
    unsigned workers;
    kv_thread threads[WORKERS];
    kv_buf *open; /* the batch being filled */
    kv_buf own;   /* which is this one when there are no workers */
    const kv_load_options *options;
    kv_source *source;
    uint64_t delayed; /* keys */
} loader;

/* ---- handing over ---- */

static void await(slot *s, uint32_t turn) {
    for (uint32_t seen; (seen = atomic_load_explicit(&s->turn, memory_order_acquire)) != turn;)
        (void)kv_wait_word(&s->turn, seen, UINT64_MAX);
}

static void pass_on(slot *s, uint32_t turn) {
    atomic_store_explicit(&s->turn, turn, memory_order_release);
    kv_wake_word(&s->turn, true);
}

static void work(void *arg) {
    loader *l = arg;
    for (;;) {
        uint32_t number = atomic_fetch_add_explicit(&l->drawn, 1, memory_order_relaxed);
        slot *s = &l->slots[number % SLOTS];
        await(s, 2 * number + 1);
        bool last = s->batch.len == 0;
        if (!last && !kv_load_failed(&l->load)) kv_load_put(&l->load, l->mem, &s->batch);
        kv_buf_clear(&s->batch);
        pass_on(s, 2 * (number + SLOTS));
        if (last) return;
    }
}

/* The batch that is being filled goes to a worker, and another one is there to be filled. */
static void hand_over(loader *l) {
    if (l->workers == 0) {
        kv_load_put(&l->load, l->mem, l->open);
        kv_buf_clear(l->open);
        return;
    }
    pass_on(&l->slots[l->filled % SLOTS], 2 * l->filled + 1);
    l->filled++;
    await(&l->slots[l->filled % SLOTS], 2 * l->filled);
    l->open = &l->slots[l->filled % SLOTS].batch;
}

static void start(loader *l) {
    kv_buf_init(&l->own, l->mem);
    for (uint32_t i = 0; i < SLOTS; i++) {
        atomic_store_explicit(&l->slots[i].turn, 2 * i, memory_order_relaxed);
        kv_buf_init(&l->slots[i].batch, l->mem);
    }
    unsigned wanted = l->options->threads < WORKERS ? l->options->threads : WORKERS;
    while (l->workers < wanted && kv_thread_start(&l->threads[l->workers], "kv-load", work, l) == 0) l->workers++;
    l->open = l->workers == 0 ? &l->own : &l->slots[0].batch;
}

static void finish(loader *l) {
    if (l->open->len > 0) hand_over(l);
    for (unsigned i = 0; i < l->workers; i++) hand_over(l);
    for (unsigned i = 0; i < l->workers; i++) kv_thread_join(&l->threads[i]);
    for (uint32_t i = 0; i < SLOTS; i++) kv_buf_deinit(&l->slots[i].batch);
    kv_buf_deinit(&l->own);
}

/* ---- finding ---- */

/* How long is the value that comes next, if its end is in the window? Else 0. */
static size_t in_window(const kv_rdb_in *in, uint8_t type, int version) {
    kv_rdb_in probe = *in;
    probe.more = NULL;
    probe.beyond = 0;
    return kv_rdb_skip_value(&probe, type, version) ? (size_t)(probe.at - in->at) : 0;
}

/* The same, with the window filled up to a batch's size when that is needed. 0: longer, or no value. */
static size_t value_bytes(const loader *l, kv_rdb_in *in, uint8_t type) {
    size_t bytes = in_window(in, type, l->load.version);
    if (bytes > 0 || in->beyond == 0 || in->end - in->at >= BATCH) return bytes;
    size_t wanted = kv_rdb_left(in) < BATCH ? (size_t)kv_rdb_left(in) : BATCH;
    return in->more(in, wanted) ? in_window(in, type, l->load.version) : 0;
}

static bool take_key(loader *l, kv_rdb_in *in, const kv_rdb_item *item) {
    if (item->db >= l->load.store->db_count)
        return kv_load_fail(&l->load, KV_EINVAL, "a key in a database that this store does not have: open it with more of them",
                            item->name);
    size_t bytes = value_bytes(l, in, item->type);
    if (in->status != KV_OK) return kv_load_fail(&l->load, in->status, in->problem, item->name); /* also when trying again would help */
    if (bytes == 0 || bytes > BATCH) {
        kv_load_put_now(&l->load, in, item);
        return !kv_load_failed(&l->load);
    }
    const uint8_t *value = kv_rdb_take(in, bytes);
    if (!kv_load_add(l->open, item, value, bytes)) return kv_load_fail(&l->load, KV_ENOMEM, "out of memory", item->name);
    if (l->open->len < BATCH) return true;
    hand_over(l);
    return !kv_load_failed(&l->load);
}

/* A hint: room is made for as many keys as it says, if so many can follow at all. Without memory for it the tables grow as they are filled. */
static void expect(loader *l, const kv_rdb_item *item) {
    uint64_t most = kv_rdb_left(&l->source->in) / KEY_BYTES_MIN, keys = item->keys < most ? item->keys : most;
    if (item->db >= l->load.store->db_count || keys < 1024) return;
    for (unsigned i = 0; i < l->load.store->shard_count; i++) {
        kv_shard *shard = &l->load.store->shards[i];
        kv_mutex_lock(&shard->lock);
        kv_keydb *db = kv_shard_db_open(shard, item->db);
        if (db != NULL) (void)kv_table_expand(&db->keys, (size_t)(keys / l->load.store->shard_count));
        kv_mutex_unlock(&shard->lock);
    }
}

/* key-load-delay: so slow that a test can look on. */
static void delay(loader *l) {
    int64_t us = l->options->delay_us;
    l->delayed++;
    if (us > 0) kv_stall_until(kv_mono_ns() + (uint64_t)us * 1000);
    else if (l->delayed % (uint64_t)-us == 0) kv_stall_until(kv_mono_ns() + 1000);
}

static bool take_item(loader *l, kv_rdb_in *in, const kv_rdb_item *item) {
    switch (item->kind) {
    case KV_RDB_ITEM_KEY:
        if (l->options->delay_us != 0) delay(l);
        return take_key(l, in, item);
    case KV_RDB_ITEM_SIZES: expect(l, item); return true;
    case KV_RDB_ITEM_FACT:
        if (l->options->fact != NULL) l->options->fact(l->options->arg, item->name, item->value);
        return true;
    case KV_RDB_ITEM_FUNCTION: return kv_load_fail(&l->load, KV_EINVAL, "a library of functions, which are not supported yet", KV_LIT(""));
    case KV_RDB_ITEM_MODULE: return kv_load_fail(&l->load, KV_EINVAL, "data of a module, which is not supported", item->name);
    case KV_RDB_ITEM_END: break;
    }
    return true;
}

static bool tell(loader *l, uint64_t *told) {
    enum { STEP = 512 * 1024 };
    uint64_t at = kv_source_at(l->source), step = l->options->interval > 0 && l->options->interval < STEP ? l->options->interval : STEP;
    if (l->options->progress == NULL || at - *told < step) return true;
    *told = at;
    return l->options->progress(l->options->arg, at, l->source->size) || kv_load_fail(&l->load, KV_EINVAL, "given up", KV_LIT(""));
}

static void read_all(loader *l, kv_rdb_file *file) {
    kv_rdb_item item = {0};
    uint64_t told = 0;
    bool good = true;
    while (good && item.kind != KV_RDB_ITEM_END) {
        good = kv_rdb_file_next(file, &item);
        if (!good) (void)kv_load_fail(&l->load, file->in->status, file->in->problem, KV_LIT(""));
        else good = take_item(l, file->in, &item) && tell(l, &told);
    }
}

static void explain(const loader *l, kv_buf *reason) {
    kv_buf_printf(reason, "at byte %llu of %llu", (unsigned long long)kv_source_at(l->source), (unsigned long long)l->source->size);
    if (l->load.key_len > 0) kv_buf_printf(reason, " or before, key '%.*s'", (int)l->load.key_len, l->load.key);
    kv_buf_printf(reason, ": %s", l->load.problem);
}

kv_status kv_load_rdb(kv_store *store, kv_source *source, const kv_load_options *options, kv_load_result *out, kv_buf *reason) {
    kv_rdb_file file;
    kv_mem *mem = source->in.mem;
    loader *l = kv_calloc(mem, 1, sizeof *l);
    if (l == NULL) return KV_ENOMEM;
    l->mem = mem;
    l->options = options;
    l->source = source;
    if (!kv_rdb_file_begin(&file, &source->in, options->sums)) {
        (void)kv_load_fail(&l->load, source->in.status, source->in.problem, KV_LIT(""));
    } else {
        l->load.store = store;
        l->load.limits = options->limits;
        l->load.version = file.version;
        l->load.now_ms = options->now_ms;
        l->load.merge = options->merge;
        l->load.drop_expired_ms = options->keep_expired ? INT64_MIN : options->now_ms;
        start(l);
        read_all(l, &file);
        finish(l);
    }
    kv_status status = (kv_status)atomic_load_explicit(&l->load.failed, memory_order_relaxed);
    if (status != KV_OK) explain(l, reason);
    *out = (kv_load_result){
        .keys = l->load.keys, .expired = l->load.expired, .empty = l->load.empty, .end = kv_source_at(source), .version = file.version};
    kv_rdb_file_end(&file);
    kv_free(mem, l);
    return status;
}
