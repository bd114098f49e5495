/* The snapshot's thread: shard after shard, for a moment under its lock, then writing what that gave; in between, what writers left in any of them.
 *
 * A hold of a lock ends after 64 KiB or about 100 us, whichever comes first. A big value is begun under that hold - watched from then on - and written
 * piece by piece before the walk goes on, so at most one bucket's worth of them is open at a time. */
#include <errno.h>

#include "persist/crc64.h"
#include "persist/saving.h"

enum { HOLD_NS = 100000, LOOK = 32 /* entries between looks at the clock */, PROGRESS = 16 /* pieces of writing */ };

/* ---- writing ---- */

void kv_snapshot_put(kv_snapshot_state *s, kv_slice bytes) {
    const kv_snapshot_options *options = s->options;
    if (kv_snapshot_failed(s) || bytes.len == 0) return;
    if (options->sums) s->sum = kv_crc64(s->sum, bytes.ptr, bytes.len);
    s->bytes += bytes.len;
    kv_status status = options->write(options->arg, bytes);
    if (status == KV_OK) return;
    s->error = errno;
    kv_snapshot_fail(s, status, NULL);
}

void kv_snapshot_write(kv_snapshot_state *s, kv_pieces *pieces) {
    for (const kv_piece *piece = pieces->first; piece != NULL && !kv_snapshot_failed(s); piece = piece->next) {
        if (piece->marks.len == 0) {
            kv_snapshot_put(s, kv_buf_slice(&piece->bytes));
        } else {
            kv_buf_clear(&s->encoded);
            kv_piece_encode(piece, &s->encoded);
            if (s->encoded.failed) kv_snapshot_fail(s, KV_ENOMEM, NULL);
            else kv_snapshot_put(s, kv_buf_slice(&s->encoded));
        }
        s->keys += piece->keys;
    }
    kv_snapshot_release(s, pieces->held);
    kv_pieces_free(pieces);
}

/* ---- locks ---- */

uint64_t kv_snapshot_hold_begin(kv_snapshot_state *s, kv_shard *shard) {
    kv_mutex_lock(&shard->lock);
    return kv_clock_ticks(&s->engine->clock);
}

void kv_snapshot_hold_end(kv_snapshot_state *s, kv_shard *shard, uint64_t begun) {
    uint64_t ticks = kv_clock_ticks(&s->engine->clock) - begun;
    kv_mutex_unlock(&shard->lock);
    if (ticks > s->longest_ticks) s->longest_ticks = ticks;
}

/* ---- what writers left ---- */

static void collect(kv_snapshot_state *s) {
    uint64_t left = atomic_exchange_explicit(&s->left, 0, memory_order_relaxed);
    for (; left != 0; left &= left - 1) {
        unsigned index = (unsigned)__builtin_ctzll(left);
        kv_shard *shard = &s->store->shards[index];
        kv_snapshot_shard *own = &s->shards[index];
        uint64_t begun = kv_snapshot_hold_begin(s, shard);
        kv_pieces pieces = kv_pieces_take(&own->pieces);
        kv_saving *saving = own->savings, *next;
        own->savings = own->savings_last = NULL;
        kv_snapshot_hold_end(s, shard, begun);
        kv_snapshot_write(s, &pieces);
        for (; saving != NULL; saving = next) {
            next = saving->next;
            kv_saving_finish(saving);
        }
    }
}

void kv_snapshot_clear(kv_snapshot_state *s) {
    collect(s);
    kv_buf_deinit(&s->encoded);
}

/* ---- the walk ---- */

static bool walk_entry(void *arg, kv_keydb *db, kv_value *v) {
    kv_snapshot_state *s = arg;
    if (kv_snapshot_is_big(s, v, false)) {
        kv_saving *saving = kv_saving_new(s, db, v, false);
        if (saving == NULL) {
            kv_snapshot_fail(s, KV_ENOMEM, NULL);
            return false;
        }
        saving->next = NULL;
        if (s->found == NULL) s->found = saving;
        else s->found_last->next = saving;
        s->found_last = saving;
        return false;
    }
    kv_piece_key(s->open, (int)db->cut_index, v, s->access, s->now_ms);
    kv_piece_value(s->open, v);
    if (s->open->bytes.len >= s->piece) return false;
    return ++s->looked % LOOK != 0 || kv_clock_ticks(&s->engine->clock) < s->until_ticks;
}

/* One hold of the shard's lock, and all that follows from it. False: the shard is done. */
static bool walk_some(kv_snapshot_state *s, kv_shard *shard, kv_piece *piece, uint64_t hold_ticks) {
    piece->bytes.len = piece->marks.len = 0;
    piece->db = -1;
    piece->keys = 0;
    s->open = piece;
    uint64_t begun = kv_snapshot_hold_begin(s, shard);
    s->until_ticks = begun + hold_ticks;
    bool more = kv_cut_walk(&s->cut, shard, walk_entry, s);
    kv_snapshot_hold_end(s, shard, begun);
    if (kv_piece_failed(piece)) kv_snapshot_fail(s, KV_ENOMEM, NULL);
    if (piece->marks.len > 0) {
        kv_buf_clear(&s->encoded);
        kv_piece_encode(piece, &s->encoded);
        if (s->encoded.failed) kv_snapshot_fail(s, KV_ENOMEM, NULL);
    }
    kv_snapshot_put(s, kv_buf_slice(piece->marks.len > 0 ? &s->encoded : &piece->bytes));
    s->keys += piece->keys;
    while (s->found != NULL) {
        kv_saving *saving = s->found;
        s->found = saving->next;
        kv_saving_finish(saving);
    }
    return more;
}

static void walk_shard(kv_snapshot_state *s, kv_shard *shard, kv_piece *piece, uint64_t hold_ticks) {
    const kv_snapshot_options *options = s->options;
    unsigned turn = 0;
    for (bool more = true; more && !kv_snapshot_failed(s); turn++) {
        more = walk_some(s, shard, piece, hold_ticks);
        if (atomic_load_explicit(&s->left, memory_order_relaxed) != 0) collect(s);
        if (turn % PROGRESS == 0 && options->progress != NULL && !options->progress(options->arg, s->keys, s->keys_total))
            kv_snapshot_fail(s, KV_EINVAL, "it was cancelled");
    }
}

void kv_snapshot_walk(kv_snapshot_state *s) {
    kv_piece piece;
    kv_piece_init(&piece, s->mem, s->options->compress);
    /* Ticks of HOLD_NS, from what they have been so far. */
    uint64_t tick_ns = kv_clock_ticks_ns(&s->engine->clock, 1000000),
             hold_ticks = tick_ns == 0 ? HOLD_NS : HOLD_NS * UINT64_C(1000000) / tick_ns;
    for (unsigned i = 0; i < s->store->shard_count && !kv_snapshot_failed(s); i++) walk_shard(s, &s->store->shards[i], &piece, hold_ticks);
    collect(s); /* no entry is left that a writer could leave more of */
    kv_piece_deinit(&piece);
}
