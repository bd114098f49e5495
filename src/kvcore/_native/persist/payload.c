/* Payloads: a value written and read whole, within the frame of version and checksum that makes it stand by itself. */
#include "persist/payload.h"

#include "persist/crc64.h"
#include "persist/rdb.h"
#include "persist/rdb_out.h"
#include "persist/rdb_read.h"
#include "persist/rdb_write.h"

enum { VERSION_BYTES = 2, FOOTER = VERSION_BYTES + 8 };

static void dump(const kv_value *v, bool compress, kv_buf *out) {
    size_t from = out->len;
    int version = kv_rdb_version_of(v);
    kv_buf_add_byte(out, kv_rdb_type_of(v));
    kv_rdb_write_value(v, compress, out);
    kv_buf_add_byte(out, (uint8_t)version);
    kv_buf_add_byte(out, (uint8_t)(version >> 8));
    if (!out->failed) kv_rdb_put_u64(out, kv_crc64(0, out->ptr + from, out->len - from));
}

static int version_of(kv_slice payload) {
    const uint8_t *at = payload.ptr + payload.len - FOOTER;
    return at[0] | at[1] << 8;
}

static bool known(int version) { return version <= KV_RDB_REDIS_MAX || version == KV_RDB_VALKEY; }

static bool sound(kv_slice payload) {
    if (payload.len < FOOTER || !known(version_of(payload))) return false;
    uint64_t sum;
    memcpy(&sum, payload.ptr + payload.len - sizeof sum, sizeof sum); /* little-endian machines only */
    return sum == kv_crc64(0, payload.ptr, payload.len - sizeof sum);
}

static bool read_all(kv_rdb_reader *r, kv_arena *arena, kv_rdb_object *object) {
    uint8_t type;
    if (!kv_rdb_byte(r->in, &type) || !kv_rdb_read_value(r, type, arena, object)) return false;
    if (object->empty) return kv_rdb_fail(r->in, KV_ECORRUPT, "a value without elements");
    if (kv_rdb_left(r->in) == 0) return true;
    kv_rdb_object_free(object, arena);
    return kv_rdb_fail(r->in, KV_ECORRUPT, "bytes behind the value");
}

static kv_status restore(kv_slice payload, const kv_limits *limits, kv_arena *arena, kv_mem *mem, kv_restored *out, const char **problem) {
    kv_rdb_in in;
    kv_rdb_reader reader;
    kv_rdb_object object;
    kv_rdb_in_init(&in, mem, kv_slice_of(payload.ptr, payload.len - FOOTER));
    kv_rdb_reader_init(&reader, &in, limits, version_of(payload));
    bool good = read_all(&reader, arena, &object);
    *problem = in.problem;
    if (good) {
        *out = (kv_restored){.is_text = object.is_text, .text = object.text, .value = object.value, .room = reader.field};
        kv_buf_init(&reader.field, mem);
    } else {
        kv_buf_init(&out->room, mem);
    }
    kv_rdb_reader_deinit(&reader);
    return good ? KV_OK : in.status;
}

static void discard(kv_restored *restored, kv_arena *arena) {
    kv_rdb_object object = {.is_text = restored->is_text, .value = restored->value};
    kv_rdb_object_free(&object, arena);
}

const kv_codec kv_payload_codec = {.dump = dump, .sound = sound, .restore = restore, .discard = discard};
