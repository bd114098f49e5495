/* sources: persist/inspect.c persist/rdb*.c persist/load_batch.c persist/aof_read.c persist/aof_line.c persist/crc*.c persist/source.c base/*.c ds/*.c types/*.c store/*.c */
/* Walking over files: what is handed out of a snapshot with a log behind it, keys that come twice, streams and modules that are passed by, and the same
 * file cut at each byte, with each bit flipped, read in small pieces, and with reading or memory failing at some point: nothing crashes, and whatever
 * was wrong before the log is told. */
#include "logfile.h"
#include "persist/crc64.h"
#include "persist/inspect.h"
#include "persist/rdb.h"
#include "persist/rdb_out.h"

static kv_mem mem;

static void put_key(kv_buf *out, uint8_t form, kv_slice key) {
    kv_buf_add_byte(out, form);
    kv_rdb_put_string(out, key, false);
}

static void put_stream(kv_buf *out) {
    put_key(out, KV_RDB_STREAM_3, KV_LIT("stream"));
    kv_rdb_put_length(out, 1); /* nodes */
    kv_rdb_put_string(out, KV_LIT("0123456789abcdef"), false);
    kv_rdb_put_string(out, KV_LIT("a block"), false);
    kv_rdb_put_length(out, 5); /* entries */
    for (int i = 0; i < 7; i++) kv_rdb_put_length(out, 100);
    kv_rdb_put_length(out, 1); /* groups */
    kv_rdb_put_string(out, KV_LIT("group"), false);
    for (int i = 0; i < 3; i++) kv_rdb_put_length(out, 7);
    kv_rdb_put_length(out, 1); /* pending */
    kv_buf_add(out, "0123456789abcdef01234567", 24);
    kv_rdb_put_length(out, 3);
    kv_rdb_put_length(out, 1); /* consumers */
    kv_rdb_put_string(out, KV_LIT("consumer"), false);
    kv_buf_add(out, "0123456789abcdef", 16);
    kv_rdb_put_length(out, 1);
    kv_buf_add(out, "0123456789abcdef", 16);
}

static void put_module(kv_buf *out) {
    put_key(out, KV_RDB_MODULE, KV_LIT("module"));
    kv_rdb_put_length(out, UINT64_C(1) << 40);
    kv_rdb_put_length(out, 2);
    kv_rdb_put_length(out, 77);
    kv_rdb_put_length(out, 5);
    kv_rdb_put_string(out, KV_LIT("text"), false);
    kv_rdb_put_length(out, 0);
}

/* Ten strings, a set; with `foreign` a stream and a module's value; with `twice` a key again. Then a log of two commands. Returns where the log begins. */
static size_t make(kv_buf *out, bool foreign, bool twice) {
    kv_buf_clear(out);
    kv_buf_add(out, "REDIS0011", 9);
    for (int i = 0; i < 10; i++) {
        char text[16];
        if (i == 3) {
            kv_buf_add_byte(out, KV_RDB_OP_EXPIRE_MS);
            kv_rdb_put_u64(out, 33);
        }
        put_key(out, KV_RDB_STRING, kv_slice_of(text, (size_t)snprintf(text, sizeof text, "key:%d", i)));
        kv_rdb_put_string(out, KV_LIT("a value"), false);
    }
    if (foreign) {
        put_stream(out);
        put_module(out);
    }
    kv_buf_add_byte(out, KV_RDB_OP_SELECT_DB);
    kv_rdb_put_length(out, 2);
    put_key(out, KV_RDB_SET, KV_LIT("key:1")); /* another one: another database */
    kv_rdb_put_length(out, 2);
    kv_rdb_put_string(out, KV_LIT("a"), false);
    kv_rdb_put_string(out, KV_LIT("b"), false);
    if (twice) {
        put_key(out, KV_RDB_STRING, KV_LIT("key:1"));
        kv_rdb_put_string(out, KV_LIT("again"), false);
    }
    kv_buf_add_byte(out, KV_RDB_OP_END);
    kv_rdb_put_u64(out, kv_crc64(0, out->ptr, out->len));
    size_t end = out->len;
    static const char log[] =
        "*1\r\n$4\r\nPING\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nTIME\r\n*1\r\n$4\r\nEXEC\r\n";
    kv_buf_add(out, log, sizeof log - 1);
    CHECK(!out->failed);
    return end;
}

typedef struct seen {
    kv_inspect_kind end;
    kv_status opened;
    uint64_t good;
    unsigned keys, commands, groups, held, foreign, snapshots;
    uint64_t elements;
    bool expiry, problem;
} seen;

static seen walk(kv_slice bytes, kv_inspect_options options, size_t piece, int fail_read, int64_t fail_memory) {
    memfile file = {.bytes = bytes, .piece = piece, .fail_at = fail_read};
    kv_vfs vfs = memfile_vfs(&file);
    kv_inspect inspect;
    seen s = {.end = KV_INSPECT_FAILED};
    size_t before = atomic_load(&mem.used);
    atomic_store(&mem.fail_after, fail_memory);
    s.opened = kv_inspect_open(&inspect, &vfs, &mem, "file", &options);
    if (s.opened == KV_OK) {
        const kv_inspect_item *item;
        do {
            item = kv_inspect_next(&inspect);
            s.keys += item->kind == KV_INSPECT_KEY;
            s.commands += item->kind == KV_INSPECT_COMMAND;
            s.groups += item->group_ends;
            s.held += item->held != NULL;
            s.foreign += item->kind == KV_INSPECT_KEY && item->held == NULL && options.values;
            s.snapshots += item->kind == KV_INSPECT_SNAPSHOT;
            s.elements += item->elements;
            s.expiry = s.expiry || item->expire_ms == 33;
        } while (item->kind > KV_INSPECT_END && item->kind < KV_INSPECT_TORN);
        s.end = item->kind;
        s.good = item->good;
        s.problem = item->problem != NULL;
        CHECK(kv_inspect_next(&inspect)->kind == s.end); /* it stays */
        kv_inspect_close(&inspect);
    }
    atomic_store(&mem.fail_after, -1);
    CHECK(atomic_load(&mem.used) == before);
    return s;
}

static const kv_inspect_options all = {.values = true, .unique = true, .any_type = true}, strict = {.values = true, .unique = true};

static void whole(kv_buf *bytes) {
    make(bytes, true, false);
    for (size_t piece = 0; piece < 8; piece++) {
        seen s = walk(kv_buf_slice(bytes), all, piece, -1, -1);
        CHECK(s.end == KV_INSPECT_END && !s.problem && s.good == bytes->len && s.expiry);
        CHECK(s.keys == 13 && s.held == 11 && s.foreign == 2 && s.snapshots == 1 && s.commands == 3 && s.groups == 2);
        CHECK(s.elements == 10 + 5 + 2);
    }
    seen passed = walk(kv_buf_slice(bytes), (kv_inspect_options){.any_type = true}, 0, -1, -1);
    CHECK(passed.end == KV_INSPECT_END && passed.keys == 13 && passed.held == 0);
    seen s = walk(kv_buf_slice(bytes), strict, 0, -1, -1);
    CHECK(s.end == KV_INSPECT_UNSUPPORTED && s.problem && s.keys == 10);
}

static void twice(kv_buf *bytes) {
    make(bytes, false, true);
    seen s = walk(kv_buf_slice(bytes), strict, 0, -1, -1);
    CHECK(s.end == KV_INSPECT_CORRUPT && s.keys == 11);
    CHECK(walk(kv_buf_slice(bytes), (kv_inspect_options){.values = true}, 0, -1, -1).end == KV_INSPECT_END);
}

static void many(kv_buf *bytes) { /* the table of keys grows a few times */
    enum { KEYS = 20000 };
    kv_buf_clear(bytes);
    kv_buf_add(bytes, "REDIS0011", 9);
    for (int i = 0; i <= KEYS; i++) {
        char text[16];
        put_key(bytes, KV_RDB_STRING, kv_slice_of(text, (size_t)snprintf(text, sizeof text, "key:%d", i < KEYS ? i : 777)));
        kv_rdb_put_string(bytes, KV_LIT(""), false);
    }
    seen s = walk(kv_buf_slice(bytes), strict, 0, -1, -1);
    CHECK(s.end == KV_INSPECT_CORRUPT && s.keys == KEYS);
}

static void damaged(kv_buf *bytes) {
    size_t log = make(bytes, true, false);
    for (size_t len = 0; len < bytes->len; len++) {
        seen s = walk(kv_slice_of(bytes->ptr, len), all, 0, -1, -1);
        if (len == 0) CHECK(s.end == KV_INSPECT_END);
        else if (len < log) CHECK(s.end == KV_INSPECT_CORRUPT && s.problem);
        else CHECK((s.end == KV_INSPECT_TORN && s.good <= len) || (s.end == KV_INSPECT_END && s.snapshots == 1));
    }
    for (size_t bit = 0; bit < 8 * log; bit++) {
        bytes->ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        seen s = walk(kv_buf_slice(bytes), all, 0, -1, -1);
        if (bit / 8 < log - 8 || s.snapshots == 0) CHECK(s.end == KV_INSPECT_CORRUPT || s.end == KV_INSPECT_UNSUPPORTED);
        bytes->ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void failing(kv_buf *bytes) {
    make(bytes, true, false);
    for (int n = 0; walk(kv_buf_slice(bytes), all, 64, n, -1).end != KV_INSPECT_END; n++) CHECK(n < 100);
#ifdef KV_FAULTS
    for (int64_t n = 0;; n++) {
        seen s = walk(kv_buf_slice(bytes), all, 0, -1, n);
        CHECK(n < 1000 && (s.opened == KV_ENOMEM || s.end == KV_INSPECT_FAILED || s.end == KV_INSPECT_END));
        if (s.end == KV_INSPECT_END) break;
    }
#endif
}

int main(void) {
    kv_mem_init(&mem);
    kv_buf bytes;
    kv_buf_init(&bytes, &mem);
    whole(&bytes);
    twice(&bytes);
    many(&bytes);
    damaged(&bytes);
    failing(&bytes);
    kv_buf_deinit(&bytes);
    return 0;
}
