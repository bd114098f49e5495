/* Bytes and marks. Compressing is taken up where a mark is: all bytes between two marks are copied as they are. */
#include "persist/piece.h"

#include "persist/rdb.h"
#include "persist/rdb_out.h"
#include "persist/rdb_write.h"
#include "store/keyspace.h"
#include "types/list.h"

enum { PACK_MIN = 21 }; /* shorter strings are never compressed */

void kv_piece_init(kv_piece *piece, kv_mem *mem, bool compress) {
    *piece = (kv_piece){.compress = compress, .db = -1};
    kv_buf_init(&piece->bytes, mem);
    kv_buf_init(&piece->marks, mem);
}

void kv_piece_deinit(kv_piece *piece) {
    kv_buf_deinit(&piece->bytes);
    kv_buf_deinit(&piece->marks);
}

void kv_piece_blob(kv_piece *piece, kv_slice bytes) {
    if (piece->compress && bytes.len >= PACK_MIN) {
        kv_piece_mark mark = {piece->bytes.len, bytes.len};
        kv_buf_add(&piece->marks, &mark, sizeof mark);
    }
    kv_rdb_put_blob(&piece->bytes, bytes, false);
}

void kv_piece_string(kv_piece *piece, kv_slice bytes) {
    if (bytes.len < PACK_MIN) kv_rdb_put_string(&piece->bytes, bytes, false); /* maybe as an integer */
    else kv_piece_blob(piece, bytes);
}

/* ---- keys ---- */

bool kv_piece_has_expiries(const kv_value *v) { return v->type == KV_HASH && v->enc == KV_ENC_HASHTABLE && kv_hash_volatile_count(v) > 0; }

static void put_access(kv_buf *out, const kv_value *v, kv_access_config access, int64_t now_ms) {
    kv_evict_policy policy = access.policy;
    if (kv_policy_is_lfu(policy)) {
        kv_buf_add_byte(out, KV_RDB_OP_FREQ);
        kv_buf_add_byte(out, (uint8_t)kv_access_frequency(v, access, now_ms));
    } else if (policy == KV_ALLKEYS_LRU || policy == KV_VOLATILE_LRU) {
        kv_buf_add_byte(out, KV_RDB_OP_IDLE);
        kv_rdb_put_length(out, (uint64_t)kv_access_idle_ms(v, now_ms) / 1000);
    }
}

void kv_piece_key(kv_piece *piece, int db, const kv_value *v, kv_access_config access, int64_t now_ms) {
    kv_buf *out = &piece->bytes;
    if (piece->db != db) {
        kv_buf_add_byte(out, KV_RDB_OP_SELECT_DB);
        kv_rdb_put_length(out, (uint64_t)db);
        piece->db = db;
    }
    int64_t expire_ms = kv_entry_expire_ms(v);
    if (expire_ms >= 0) {
        kv_buf_add_byte(out, KV_RDB_OP_EXPIRE_MS);
        kv_rdb_put_u64(out, (uint64_t)expire_ms);
    }
    if (access.policy != KV_NOEVICTION) put_access(out, v, access, now_ms);
    kv_buf_add_byte(out, kv_rdb_type_of(v));
    kv_piece_string(piece, kv_entry_key(v));
    piece->keys++;
}

/* ---- values ---- */

void kv_piece_count(kv_piece *piece, size_t count) { kv_rdb_put_length(&piece->bytes, count); }

void kv_piece_node(kv_piece *piece, const kv_ql_node *node) {
    kv_rdb_put_length(&piece->bytes, node->plain ? KV_RDB_PLAIN : KV_RDB_PACKED);
    kv_slice stored = kv_ql_node_stored(node);
    if (node->form == KV_QL_PACKED) kv_rdb_put_packed(&piece->bytes, stored, node->bytes);
    else kv_piece_blob(piece, stored);
}

void kv_piece_element(kv_piece *piece, const kv_value *v, const void *entry, bool expiries) {
    if (v->type == KV_SET) {
        kv_piece_string(piece, kv_set_table_member(entry));
    } else if (v->type == KV_ZSET) {
        const kv_zelem *elem = entry;
        kv_piece_string(piece, kv_zelem_member(elem));
        kv_rdb_put_double(&piece->bytes, elem->score);
    } else {
        kv_hash_item item;
        kv_hash_table_show(v, entry, &item);
        kv_piece_string(piece, item.field);
        kv_piece_string(piece, item.value);
        if (expiries) kv_rdb_put_u64(&piece->bytes, item.expiry_ms == KV_HASH_NO_EXPIRY ? UINT64_MAX : (uint64_t)item.expiry_ms);
    }
}

const kv_table *kv_piece_table(const kv_value *v) {
    switch ((kv_type)v->type) {
    case KV_SET: return kv_set_table(v);
    case KV_HASH: return kv_hash_table(v);
    case KV_ZSET: return kv_zset_table(v);
    default: return NULL;
    }
}

/* From the greatest down: a reader that inserts at the front is quickest with that. */
static void put_in_order(kv_piece *piece, const kv_value *v) {
    kv_zset_iter at;
    kv_zset_item item;
    for (kv_zset_iter_at(&at, v, kv_zset_length(v) - 1, true); kv_zset_iter_next(&at, &item);) {
        kv_piece_string(piece, item.member);
        kv_rdb_put_double(&piece->bytes, item.score);
    }
}

static void put_elements(kv_piece *piece, const kv_value *v) {
    const kv_table *table = kv_piece_table(v);
    bool expiries = kv_piece_has_expiries(v);
    kv_piece_count(piece, kv_table_count(table));
    if (v->type == KV_ZSET) {
        put_in_order(piece, v);
        return;
    }
    kv_table_iter at;
    kv_table_iter_start(&at, table);
    for (const void *entry; (entry = kv_table_iter_next(&at)) != NULL;) kv_piece_element(piece, v, entry, expiries);
}

static void put_text(kv_piece *piece, const kv_value *v) {
    char scratch[KV_NUM_MAX];
    if (v->enc == KV_ENC_INT) kv_rdb_put_int_string(&piece->bytes, v->u.num);
    else kv_piece_string(piece, kv_entry_string(v, scratch));
}

void kv_piece_value(kv_piece *piece, const kv_value *v) {
    if (v->type == KV_STRING) {
        put_text(piece, v);
    } else if (v->enc == KV_ENC_QUICKLIST) {
        const kv_quicklist *list = v->u.ptr;
        kv_piece_count(piece, list->nodes);
        for (const kv_ql_node *node = list->head; node != NULL; node = node->next) kv_piece_node(piece, node);
    } else if (v->enc == KV_ENC_LISTPACK) {
        if (v->type == KV_LIST) {
            kv_piece_count(piece, 1);
            kv_rdb_put_length(&piece->bytes, KV_RDB_PACKED);
        }
        kv_piece_blob(piece, kv_slice_of(v->u.ptr, kv_lp_bytes(v->u.ptr)));
    } else if (v->enc == KV_ENC_INTSET) {
        kv_piece_blob(piece, kv_slice_of(v->u.ptr, kv_intset_bytes(v->u.ptr)));
    } else {
        put_elements(piece, v);
    }
}

/* ---- pieces that follow each other ---- */

kv_piece *kv_pieces_open(kv_pieces *pieces, kv_mem *mem, bool compress, bool fresh) {
    if (pieces->last != NULL && pieces->last->bytes.len < KV_PIECE_BYTES && !fresh) return pieces->last;
    kv_piece *piece = kv_malloc(mem, sizeof *piece);
    if (piece == NULL) return NULL;
    kv_piece_init(piece, mem, compress);
    kv_pieces_add(pieces, piece);
    return piece;
}

void kv_pieces_add(kv_pieces *pieces, kv_piece *piece) {
    piece->next = NULL;
    *(pieces->last == NULL ? &pieces->first : &pieces->last->next) = piece;
    pieces->last = piece;
    pieces->held += kv_piece_held(piece);
}

void kv_pieces_count(kv_pieces *pieces, size_t before) { pieces->held += kv_piece_held(pieces->last) - before; }

kv_pieces kv_pieces_take(kv_pieces *pieces) {
    kv_pieces taken = *pieces;
    *pieces = (kv_pieces){0};
    return taken;
}

void kv_piece_free(kv_piece *piece) {
    kv_mem *mem = piece->bytes.mem;
    kv_piece_deinit(piece);
    kv_free(mem, piece);
}

void kv_pieces_free(kv_pieces *pieces) {
    for (kv_piece *piece = pieces->first, *next; piece != NULL; piece = next) {
        next = piece->next;
        kv_piece_free(piece);
    }
    *pieces = (kv_pieces){0};
}

/* ---- for the file ---- */

static size_t length_bytes(uint64_t length) { return length < 1 << 6 ? 1 : length < 1 << 14 ? 2 : length <= UINT32_MAX ? 5 : 9; }

void kv_piece_encode(const kv_piece *piece, kv_buf *out) {
    const uint8_t *from = piece->bytes.ptr;
    size_t done = 0, marks = piece->marks.len / sizeof(kv_piece_mark);
    for (size_t i = 0; i < marks; i++) {
        kv_piece_mark mark;
        memcpy(&mark, piece->marks.ptr + i * sizeof mark, sizeof mark);
        kv_buf_add(out, from + done, mark.at - done);
        size_t head = length_bytes(mark.len);
        kv_rdb_put_blob(out, kv_slice_of(from + mark.at + head, mark.len), true);
        done = mark.at + head + mark.len;
    }
    kv_buf_add(out, from + done, piece->bytes.len - done);
}
