/*   REDISnnnn or VALKEYnnn | items | 255 | checksum u64, from version 5 on, 0: none
 *
 * An item is an opcode and what belongs to it, or a type, a key and a value; opcodes that concern the next key (its expiry, its access clock) stand
 * before it. Times and counters are taken as they are; hints (sizes, slots, facts) are handed on and nothing is allocated for them. */
#include "persist/rdb_file.h"

#include "persist/rdb.h"
#include "persist/rdb_read.h"

enum { HEAD = 9, SUMS_SINCE = 5, DB_MAX = INT32_MAX };

bool kv_rdb_is_magic(kv_slice bytes) {
    return bytes.len >= 5 && (memcmp(bytes.ptr, "REDIS", 5) == 0 || memcmp(bytes.ptr, "VALKE", 5) == 0);
}

static int digits(const uint8_t *at, int count) {
    int value = 0;
    for (; count > 0; at++, count--) {
        if (*at < '0' || *at > '9') return -1;
        value = value * 10 + (*at - '0');
    }
    return value;
}

bool kv_rdb_file_begin(kv_rdb_file *file, kv_rdb_in *in, bool sums) {
    *file = (kv_rdb_file){.in = in, .sums = sums};
    kv_buf_init(&file->name, in->mem);
    kv_buf_init(&file->value, in->mem);
    const uint8_t *head = kv_rdb_take(in, HEAD);
    if (head == NULL) return false;
    bool redis = memcmp(head, "REDIS", 5) == 0, valkey = memcmp(head, "VALKEY", 6) == 0;
    file->version = redis ? digits(head + 5, 4) : valkey ? digits(head + 6, 3) : -1;
    if (file->version < KV_RDB_OLDEST) return kv_rdb_fail(in, KV_ECORRUPT, "not an RDB file");
    if (redis && file->version > KV_RDB_REDIS_MAX)
        return kv_rdb_fail(in, KV_EINVAL, "written by a later Redis than 8.4: this version is not known");
    if (valkey && file->version != KV_RDB_VALKEY)
        return kv_rdb_fail(in, KV_EINVAL, "written by a later Valkey than 9.1: this version is not known");
    return true;
}

void kv_rdb_file_end(kv_rdb_file *file) {
    kv_buf_deinit(&file->name);
    kv_buf_deinit(&file->value);
}

/* ---- modules: data that say of themselves where they end ---- */

/* Nine characters of six bits, and ten bits of the module's own version. */
static void module_name(char out[10], uint64_t id) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int i = 0; i < 9; i++) out[i] = letters[id >> (58 - 6 * i) & 63];
    out[9] = '\0';
}

static bool skip_module_data(kv_rdb_in *in) {
    enum { END, SIGNED, UNSIGNED, FLOAT, DOUBLE, STRING };
    for (;;) {
        uint64_t code, number;
        if (!kv_rdb_length(in, &code)) return false;
        bool good = code == SIGNED || code == UNSIGNED ? kv_rdb_length(in, &number)
                    : code == FLOAT                    ? kv_rdb_take(in, 4) != NULL
                    : code == DOUBLE                   ? kv_rdb_take(in, 8) != NULL
                    : code == STRING                   ? kv_rdb_skip_string(in)
                                                       : code == END || kv_rdb_fail(in, KV_ECORRUPT, "data of a module of unknown form");
        if (!good || code == END) return good;
    }
}

bool kv_rdb_skip_module(kv_rdb_in *in, char name[10]) {
    uint64_t id;
    if (!kv_rdb_length(in, &id)) return false;
    module_name(name, id);
    return skip_module_data(in);
}

static bool module_aux(kv_rdb_file *file, kv_rdb_item *out) {
    uint64_t id, when_code, when;
    if (!kv_rdb_length(file->in, &id) || !kv_rdb_length(file->in, &when_code) || !kv_rdb_length(file->in, &when)) return false;
    if (!skip_module_data(file->in)) return false;
    module_name(file->module, id);
    out->kind = KV_RDB_ITEM_MODULE;
    out->name = kv_slice_of(file->module, 9);
    return true;
}

/* ---- items ---- */

static bool end(kv_rdb_file *file, kv_rdb_item *out) {
    kv_rdb_in *in = file->in;
    uint64_t stored = 0, sum = file->sums ? kv_rdb_sum(in) : 0;
    if (file->version >= SUMS_SINCE && !kv_rdb_u64(in, &stored)) return false;
    if (file->sums && stored != 0 && stored != sum)
        return kv_rdb_fail(in, KV_ECORRUPT, "the checksum is wrong: bytes of the file have changed");
    out->kind = KV_RDB_ITEM_END;
    return true;
}

static bool select_db(kv_rdb_file *file) {
    uint64_t db;
    if (!kv_rdb_length(file->in, &db)) return false;
    if (db > DB_MAX) return kv_rdb_fail(file->in, KV_ECORRUPT, "a database of impossible number");
    file->db = (unsigned)db;
    return true;
}

static bool sizes(kv_rdb_file *file, kv_rdb_item *out) {
    out->kind = KV_RDB_ITEM_SIZES;
    out->db = file->db;
    return kv_rdb_length(file->in, &out->keys) && kv_rdb_length(file->in, &out->expires);
}

static bool fact(kv_rdb_file *file, kv_rdb_item *out) {
    out->kind = KV_RDB_ITEM_FACT;
    return kv_rdb_string_kept(file->in, &file->name, &out->name) && kv_rdb_string(file->in, &file->value, &out->value);
}

static bool slot_info(kv_rdb_in *in) {
    uint64_t slot, keys, expires;
    return kv_rdb_length(in, &slot) && kv_rdb_length(in, &keys) && kv_rdb_length(in, &expires);
}

static bool key(kv_rdb_file *file, uint8_t type, kv_rdb_item *out) {
    out->kind = KV_RDB_ITEM_KEY;
    out->type = type;
    out->db = file->db;
    if (!file->any_type && !kv_rdb_type_readable(file->in, type, file->version)) return false;
    return kv_rdb_string_kept(file->in, &file->name, &out->name);
}

/* A time of seconds or milliseconds. What is before 1970 has passed, as 0 has. */
static bool expiry(kv_rdb_in *in, bool seconds, kv_rdb_item *out) {
    uint64_t wide;
    uint32_t narrow = 0;
    if (seconds) {
        const uint8_t *at = kv_rdb_take(in, 4);
        if (at == NULL) return false;
        memcpy(&narrow, at, 4);
        out->expire_ms = (int64_t)(int32_t)narrow * 1000;
    } else {
        if (!kv_rdb_u64(in, &wide)) return false;
        out->expire_ms = (int64_t)wide;
    }
    if (out->expire_ms < 0) out->expire_ms = 0;
    return true;
}

static bool idle(kv_rdb_in *in, kv_rdb_item *out) {
    uint64_t seconds;
    if (!kv_rdb_length(in, &seconds)) return false;
    out->idle_s = seconds > INT32_MAX ? INT32_MAX : (int64_t)seconds;
    return true;
}

static bool unknown(kv_rdb_in *in, uint8_t code) {
    if (code == 243)
        return kv_rdb_fail(in, KV_EINVAL, "slots that were being imported (Valkey), or metadata of keys (Redis), which are not supported");
    if (code == KV_RDB_OP_FUNCTION_OLD)
        return kv_rdb_fail(in, KV_EINVAL, "functions in the form of a release candidate of Redis 7, which is not supported");
    return kv_rdb_fail(in, KV_EINVAL, "a value of an unknown type");
}

bool kv_rdb_file_next(kv_rdb_file *file, kv_rdb_item *out) {
    kv_rdb_in *in = file->in;
    *out = (kv_rdb_item){.expire_ms = -1, .idle_s = -1};
    for (;;) {
        uint8_t code;
        bool good = true;
        if (!kv_rdb_byte(in, &code)) return false;
        switch (code) {
        case KV_RDB_OP_END: return end(file, out);
        case KV_RDB_OP_RESIZE_DB: return sizes(file, out);
        case KV_RDB_OP_AUX: return fact(file, out);
        case KV_RDB_OP_FUNCTION: out->kind = KV_RDB_ITEM_FUNCTION; return kv_rdb_string(in, &file->value, &out->value);
        case KV_RDB_OP_MODULE_AUX: return module_aux(file, out);
        case KV_RDB_OP_SELECT_DB: good = select_db(file); break;
        case KV_RDB_OP_SLOT_INFO: good = slot_info(in); break;
        case KV_RDB_OP_EXPIRE_MS: good = expiry(in, false, out); break;
        case KV_RDB_OP_EXPIRE_S: good = expiry(in, true, out); break;
        case KV_RDB_OP_IDLE: good = idle(in, out); break;
        case KV_RDB_OP_FREQ: good = kv_rdb_byte(in, &out->frequency); break;
        case 243:
        case KV_RDB_OP_FUNCTION_OLD: return unknown(in, code);
        default: return key(file, code, out);
        }
        if (!good) return false;
    }
}
