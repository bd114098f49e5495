/* See saving.h. One file for the three shapes, as what they share is more than what they do not.
 *
 * The container may be in another shard when the lock is taken again (RENAME): the pin says where it is, and is asked again with the lock.
 *
 * A list's nodes bear a mark from the beginning on, the version before the cut's, and the cut's version once they have been written or copied; nodes made
 * meanwhile have version 0. So those that are not of the snapshot are told at a look, and there are at most as many copies as there were nodes. */
#include "persist/saving.h"

#include "base/clock.h"
#include "persist/rdb_out.h"
#include "store/value_ops.h"
#include "types/string.h"

enum { TEXT_PIECE = 256 * 1024, HOLD_NS = 100000 };

static kv_table *table_of(kv_saving *saving) { return (kv_table *)(uintptr_t)kv_piece_table(&saving->pin.value); }
static kv_quicklist *list_of(kv_saving *saving) { return saving->pin.value.u.ptr; }

/* ---- pieces ---- */

static kv_piece *piece_of(kv_saving *saving, size_t *before) {
    kv_snapshot_state *s = saving->state;
    kv_piece *piece = kv_pieces_open(&saving->pieces, s->mem, s->options->compress, false);
    if (piece == NULL) kv_snapshot_fail(s, KV_ENOMEM, NULL);
    else *before = kv_piece_held(piece);
    return piece;
}

static void piece_done(kv_saving *saving, size_t before) {
    kv_snapshot_state *s = saving->state;
    size_t held = saving->pieces.held;
    if (kv_piece_failed(saving->pieces.last)) kv_snapshot_fail(s, KV_ENOMEM, NULL);
    kv_pieces_count(&saving->pieces, before);
    kv_snapshot_charge(s, saving->pieces.held - held);
}

/* ---- tables ---- */

static void save_entry(void *arg, void *entry) {
    kv_saving *saving = arg;
    size_t before;
    if (kv_snapshot_failed(saving->state)) return;
    kv_piece *piece = piece_of(saving, &before);
    if (piece == NULL) return;
    kv_piece_element(piece, &saving->pin.value, entry, saving->expiries);
    piece_done(saving, before);
}

static bool begin_table(kv_saving *saving) {
    kv_table *table = table_of(saving);
    size_t words = kv_table_watch_words(table);
    saving->seen = kv_calloc(saving->state->mem, words, sizeof *saving->seen);
    if (saving->seen == NULL) return false;
    saving->charged += words * sizeof *saving->seen;
    saving->expiries = kv_piece_has_expiries(&saving->pin.value);
    kv_table_watch_begin(table, &saving->table, saving->seen, save_entry, saving);
    return true;
}

/* ---- lists ---- */

static uint16_t mark_of(uint16_t epoch) { return epoch == 1 ? 2 : (uint16_t)(epoch - 1); }

static size_t place_of(const kv_saving *saving, const kv_ql_node *node) {
    size_t at = (size_t)((uint64_t)(uintptr_t)node * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (saving->places - 1);
    while (saving->copies[at].node != NULL && saving->copies[at].node != node) at = (at + 1) & (saving->places - 1);
    return at;
}

static void copy_node(void *arg, const kv_ql_node *node) {
    kv_saving *saving = arg;
    kv_snapshot_state *s = saving->state;
    if (node->version != mark_of(s->cut.epoch) || kv_snapshot_failed(s)) return;
    kv_pieces one = {0};
    kv_piece *piece = kv_pieces_open(&one, s->mem, s->options->compress, true);
    if (piece != NULL) kv_piece_node(piece, node);
    if (piece == NULL || kv_piece_failed(piece)) {
        kv_pieces_free(&one);
        kv_snapshot_fail(s, KV_ENOMEM, NULL);
        return;
    }
    saving->copies[place_of(saving, node)] = (kv_saving_copy){node, piece};
    kv_snapshot_charge(s, kv_piece_held(piece));
}

static bool begin_list(kv_saving *saving) {
    kv_snapshot_state *s = saving->state;
    kv_quicklist *list = list_of(saving);
    if (list->nodes > SIZE_MAX / 64) return false;
    saving->places = 16;
    while (saving->places < list->nodes * 2) saving->places *= 2;
    saving->nodes = kv_malloc(s->mem, list->nodes * sizeof *saving->nodes);
    saving->copies = kv_calloc(s->mem, saving->places, sizeof *saving->copies);
    if (saving->nodes == NULL || saving->copies == NULL) return false;
    saving->charged += list->nodes * sizeof *saving->nodes + saving->places * sizeof *saving->copies;
    for (kv_ql_node *node = list->head; node != NULL; node = node->next) {
        node->version = mark_of(s->cut.epoch);
        saving->nodes[saving->node_count++] = node;
    }
    saving->list = (kv_ql_watch){s->cut.epoch, copy_node, saving};
    list->watch = &saving->list;
    return true;
}

static bool list_step(kv_saving *saving) {
    if (saving->at == saving->node_count) return false;
    const kv_ql_node *node = saving->nodes[saving->at++];
    kv_saving_copy *copy = &saving->copies[place_of(saving, node)];
    if (copy->node != NULL) {
        kv_pieces_add(&saving->pieces, copy->piece); /* charged when it was made */
        copy->piece = NULL;
        return true;
    }
    size_t before;
    kv_piece *piece = piece_of(saving, &before);
    if (piece == NULL) return false;
    kv_piece_node(piece, node);
    piece_done(saving, before);
    ((kv_ql_node *)(uintptr_t)node)->version = saving->state->cut.epoch;
    return true;
}

/* ---- strings ---- */

static bool text_step(kv_saving *saving) {
    kv_slice text = kv_str_slice(saving->pin.value.u.ptr);
    size_t before, left = text.len - saving->at, more = left < TEXT_PIECE ? left : TEXT_PIECE;
    if (left == 0) return false;
    kv_piece *piece = piece_of(saving, &before);
    if (piece == NULL) return false;
    if (text.len <= TEXT_PIECE) {
        kv_piece_blob(piece, text);
    } else {
        if (saving->at == 0) kv_piece_count(piece, text.len);
        kv_buf_add(&piece->bytes, text.ptr + saving->at, more);
    }
    piece_done(saving, before);
    saving->at += more;
    return true;
}

/* ---- all ---- */

static void end(kv_saving *saving) {
    if (!saving->pinned) return;
    saving->pinned = false;
    if (saving->pin.value.enc == KV_ENC_QUICKLIST) list_of(saving)->watch = NULL;
    else if (saving->pin.value.enc != KV_ENC_RAW) kv_table_watch_end(table_of(saving));
    kv_shard_unpin(&saving->pin);
}

/* Writes some; false: that was all. */
static bool step(kv_saving *saving) {
    if (kv_snapshot_failed(saving->state)) return false;
    switch ((kv_enc)saving->pin.value.enc) {
    case KV_ENC_QUICKLIST: return list_step(saving);
    case KV_ENC_RAW: return text_step(saving);
    default: return kv_table_watch_step(table_of(saving));
    }
}

/* kv_pin.read, of strings: whoever is about to change one has it written first. */
static void read_on(kv_pin *pin, bool to_the_end) {
    kv_saving *saving = (kv_saving *)(void *)pin;
    while (step(saving))
        if (!to_the_end) return;
    end(saving);
}

static void free_all(kv_saving *saving) {
    kv_mem *mem = saving->state->mem;
    for (size_t i = 0; i < saving->places && saving->copies != NULL; i++) {
        if (saving->copies[i].piece == NULL) continue;
        saving->charged += kv_piece_held(saving->copies[i].piece);
        kv_piece_free(saving->copies[i].piece);
    }
    kv_snapshot_release(saving->state, saving->charged + saving->pieces.held);
    kv_pieces_free(&saving->pieces);
    kv_free(mem, saving->seen);
    kv_free(mem, saving->nodes);
    kv_free(mem, saving->copies);
    kv_free(mem, saving);
}

kv_saving *kv_saving_new(kv_snapshot_state *s, kv_keydb *db, kv_value *v, bool goes) {
    kv_saving *saving = kv_calloc(s->mem, 1, sizeof *saving);
    if (saving == NULL) return NULL;
    saving->state = s;
    saving->pin.value = (kv_value){.type = v->type, .enc = v->enc, .u = v->u};
    saving->charged = sizeof *saving;
    kv_piece *piece = kv_pieces_open(&saving->pieces, s->mem, s->options->compress, true);
    if (piece != NULL) {
        kv_piece_key(piece, (int)db->cut_index, v, s->access, s->now_ms);
        if (v->enc == KV_ENC_QUICKLIST) kv_piece_count(piece, ((const kv_quicklist *)v->u.ptr)->nodes);
        else if (v->enc != KV_ENC_RAW) kv_piece_count(piece, kv_value_length(v));
        kv_pieces_count(&saving->pieces, 0);
    }
    bool done = piece != NULL && !kv_piece_failed(piece);
    if (done && v->enc == KV_ENC_QUICKLIST) done = begin_list(saving);
    else if (done && v->enc != KV_ENC_RAW) done = begin_table(saving);
    if (goes) saving->charged += kv_value_container_bytes(v, 5);
    kv_snapshot_charge(s, saving->charged + saving->pieces.held);
    if (!done) {
        free_all(saving);
        return NULL;
    }
    saving->pin.watches = v->enc != KV_ENC_RAW;
    saving->pin.read = read_on;
    kv_shard_pin(db->shard, &saving->pin, v);
    saving->pinned = true;
    return saving;
}

/* Locks the shard where the container is. */
static kv_shard *lock_home(kv_saving *saving, uint64_t *begun) {
    for (;;) {
        kv_shard *shard = atomic_load_explicit(&saving->pin.shard, memory_order_acquire);
        *begun = kv_snapshot_hold_begin(saving->state, shard);
        if (atomic_load_explicit(&saving->pin.shard, memory_order_relaxed) == shard) return shard;
        kv_snapshot_hold_end(saving->state, shard, *begun);
    }
}

void kv_saving_finish(kv_saving *saving) {
    kv_snapshot_state *s = saving->state;
    for (bool more = true; more;) {
        uint64_t begun;
        kv_shard *shard = lock_home(saving, &begun);
        const kv_pieces *written = &saving->pieces;
        uint64_t until = kv_mono_ns() + HOLD_NS;
        size_t held = written->held;
        while (saving->pinned && (more = step(saving)) && written->held - held < s->piece && kv_mono_ns() < until) continue;
        more = more && saving->pinned;
        if (!more) end(saving);
        kv_pieces taken = kv_pieces_take(&saving->pieces);
        kv_snapshot_hold_end(s, shard, begun);
        kv_snapshot_write(s, &taken);
    }
    free_all(saving);
}
