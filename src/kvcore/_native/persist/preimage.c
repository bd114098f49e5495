/* What writers leave for a snapshot: entries as they were at the cut, just before they change.
 *
 *   what is about to change              in place, or moves                    goes (overwritten, deleted, expired, evicted)
 *   one block, up to 4 KiB               written to the shard's pieces         the same
 *   a longer string                      the same (O(bytes))                   handed over: its block waits for the snapshot's thread
 *   a container of up to 64 KiB          the same, some 50 us                  the same
 *   a bigger one                         watched from now on (saving.h)        handed over, the same way
 *
 * This runs in the writers' threads, under the lock of the shard. It takes no lock and cannot fail: without memory the snapshot is given up. */
#include "persist/saving.h"

#include "store/value_ops.h"
#include "types/string.h"

enum { HANDED = 4 * 1024, LONG_TEXTS = 4 };

void kv_snapshot_fail(kv_snapshot_state *s, kv_status status, const char *problem) {
    int none = KV_OK;
    if (atomic_compare_exchange_strong_explicit(&s->status, &none, (int)status, memory_order_relaxed, memory_order_relaxed))
        atomic_store_explicit(&s->problem, problem, memory_order_relaxed);
}

void kv_snapshot_charge(kv_snapshot_state *s, size_t bytes) {
    size_t now = atomic_fetch_add_explicit(&s->orphans, bytes, memory_order_relaxed) + bytes;
    size_t peak = atomic_load_explicit(&s->peak, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak_explicit(&s->peak, &peak, now, memory_order_relaxed, memory_order_relaxed)) continue;
    if (now <= s->limit) return;
    if (now / 2 > s->limit) kv_snapshot_fail(s, KV_ETOOBIG, "writers changed more than the memory set aside for it holds");
    else atomic_store_explicit(&s->store->throttle, 1, memory_order_relaxed);
}

void kv_snapshot_release(kv_snapshot_state *s, size_t bytes) {
    size_t now = atomic_fetch_sub_explicit(&s->orphans, bytes, memory_order_relaxed) - bytes;
    if (now > s->limit / 2 || atomic_load_explicit(&s->store->throttle, memory_order_relaxed) == 0) return;
    atomic_store_explicit(&s->store->throttle, 0, memory_order_relaxed);
    kv_wake_word(&s->store->throttle, true);
}

bool kv_snapshot_is_big(const kv_snapshot_state *s, const kv_value *v, bool goes) {
    switch ((kv_enc)v->enc) {
    case KV_ENC_QUICKLIST:
    case KV_ENC_HASHTABLE:
    case KV_ENC_SKIPLIST: return kv_value_container_bytes(v, 5) > s->big;
    case KV_ENC_RAW: return ((const kv_str *)v->u.ptr)->len > (goes ? HANDED : LONG_TEXTS * s->big);
    default: return false;
    }
}

/* A longer string that stays is copied by the writer: it may be changed at once, so nobody else could. */
static bool is_left_whole(const kv_snapshot_state *s, const kv_value *v, bool goes) {
    return kv_snapshot_is_big(s, v, goes) && (goes || v->enc != KV_ENC_RAW);
}

static void leave_saving(kv_snapshot_state *s, kv_snapshot_shard *shard, kv_keydb *db, kv_value *v, bool goes) {
    kv_saving *saving = kv_saving_new(s, db, v, goes);
    if (saving == NULL) {
        kv_snapshot_fail(s, KV_ENOMEM, NULL);
        return;
    }
    saving->next = NULL;
    if (shard->savings == NULL) shard->savings = saving;
    else shard->savings_last->next = saving;
    shard->savings_last = saving;
}

static void leave_bytes(kv_snapshot_state *s, kv_snapshot_shard *shard, kv_keydb *db, kv_value *v) {
    size_t held = shard->pieces.held;
    kv_piece *piece = kv_pieces_open(&shard->pieces, s->mem, s->options->compress, false);
    if (piece == NULL) {
        kv_snapshot_fail(s, KV_ENOMEM, NULL);
        return;
    }
    held += shard->pieces.held - held;
    size_t before = kv_piece_held(piece);
    kv_piece_key(piece, (int)db->cut_index, v, s->access, s->now_ms);
    kv_piece_value(piece, v);
    if (kv_piece_failed(piece)) kv_snapshot_fail(s, KV_ENOMEM, NULL);
    kv_pieces_count(&shard->pieces, before);
    kv_snapshot_charge(s, shard->pieces.held - held);
}

void kv_snapshot_before(void *arg, kv_keydb *db, kv_value *v, bool goes) {
    kv_snapshot_state *s = arg;
    if (kv_snapshot_failed(s)) return;
    unsigned index = db->shard->index;
    kv_snapshot_shard *shard = &s->shards[index];
    if (is_left_whole(s, v, goes)) leave_saving(s, shard, db, v, goes);
    else leave_bytes(s, shard, db, v);
    uint64_t bit = UINT64_C(1) << index;
    if ((atomic_load_explicit(&s->left, memory_order_relaxed) & bit) == 0) atomic_fetch_or_explicit(&s->left, bit, memory_order_relaxed);
}
