/* sources: persist/rdb*.c persist/load*.c persist/source.c persist/payload.c persist/crc64.c base/*.c ds/*.c types/*.c store/*.c */
/* Loading files: small and large values, by no and by several threads; what has expired; a file cut at each byte, with each bit flipped (all of them
 * found out by the checksum), read in small pieces, and with memory or reading failing at some point. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "persist/crc64.h"
#include "persist/load.h"
#include "persist/rdb.h"
#include "persist/rdb_out.h"
#include "store/keyspace.h"

static const kv_limits limits = {512, 64, 512, 128, 64, 128, 64, -2, 0, 0};
static char path[64];

/* A file of `count` strings, every third with an expiry at its number, every hundredth key a list of 20 items, and one value of 300 KB in database 1. */
static void make(kv_buf *out, int count) {
    kv_buf_add(out, "REDIS0011", 9);
    kv_buf_add_byte(out, KV_RDB_OP_AUX);
    kv_rdb_put_string(out, KV_LIT("name"), false);
    kv_rdb_put_string(out, KV_LIT("value"), false);
    kv_buf_add_byte(out, KV_RDB_OP_SELECT_DB);
    kv_rdb_put_length(out, 0);
    kv_buf_add_byte(out, KV_RDB_OP_RESIZE_DB);
    kv_rdb_put_length(out, (uint64_t)count);
    kv_rdb_put_length(out, 0);
    for (int i = 0; i < count; i++) {
        char text[32];
        kv_slice key = kv_slice_of(text, (size_t)snprintf(text, sizeof text, "key:%d", i));
        if (i % 3 == 0) {
            kv_buf_add_byte(out, KV_RDB_OP_EXPIRE_MS);
            kv_rdb_put_u64(out, (uint64_t)i);
        }
        kv_buf_add_byte(out, i % 100 == 99 ? KV_RDB_LIST : KV_RDB_STRING);
        kv_rdb_put_string(out, key, false);
        if (i % 100 == 99) kv_rdb_put_length(out, 20);
        for (int n = 0; n < (i % 100 == 99 ? 20 : 1); n++) kv_rdb_put_string(out, key, true);
    }
    kv_buf_add_byte(out, KV_RDB_OP_SELECT_DB);
    kv_rdb_put_length(out, 1);
    kv_buf_add_byte(out, KV_RDB_SET);
    kv_rdb_put_string(out, KV_LIT("big"), false);
    kv_rdb_put_length(out, 30000);
    for (int i = 0; i < 30000; i++) {
        char text[32];
        kv_rdb_put_string(out, kv_slice_of(text, (size_t)snprintf(text, sizeof text, "member:%d", i)), false);
    }
    kv_buf_add_byte(out, KV_RDB_OP_END);
    kv_rdb_put_u64(out, kv_crc64(0, out->ptr, out->len));
    CHECK(!out->failed);
}

static void write_file(kv_slice bytes) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && kv_vfs_write_all(&kv_vfs_posix, fd, bytes.ptr, bytes.len) == 0 && close(fd) == 0);
}

typedef struct loaded {
    kv_mem mem;
    kv_store store;
    kv_load_result result;
    char reason[200];
    unsigned facts, calls;
} loaded;

static void on_fact(void *arg, kv_slice name, kv_slice value) {
    if (kv_slice_eq(name, KV_LIT("name")) && kv_slice_eq(value, KV_LIT("value"))) ((loaded *)arg)->facts++;
}

static bool on_progress(void *arg, uint64_t done, uint64_t total) {
    CHECK(done <= total);
    return ++((loaded *)arg)->calls < 1000;
}

static kv_status load(loaded *l, const kv_vfs *vfs, unsigned threads, bool keep, int64_t fail_after) {
    *l = (loaded){0};
    kv_mem_init(&l->mem);
    CHECK(kv_store_init(&l->store, &l->mem, 8, 2, (kv_hash_seed){5, 6}) == KV_OK);
    kv_source source;
    kv_buf reason;
    kv_buf_init(&reason, &l->mem);
    CHECK(kv_source_open(&source, vfs, &l->mem, path) == KV_OK);
    kv_load_options options = {.limits = &limits,
                               .threads = threads,
                               .sums = true,
                               .keep_expired = keep,
                               .now_ms = 300,
                               .arg = l,
                               .progress = on_progress,
                               .fact = on_fact};
    atomic_store(&l->mem.fail_after, fail_after);
    kv_status status = kv_load_rdb(&l->store, &source, &options, &l->result, &reason);
    atomic_store(&l->mem.fail_after, -1);
    snprintf(l->reason, sizeof l->reason, "%.*s", (int)reason.len, reason.len > 0 ? (const char *)reason.ptr : "");
    kv_buf_deinit(&reason);
    kv_source_close(&source);
    CHECK(kv_store_check(&l->store));
    return status;
}

static void drop(loaded *l) {
    kv_store_deinit(&l->store);
    CHECK(atomic_load(&l->mem.used) == 0);
}

static void whole(int count, unsigned threads, bool keep) {
    loaded l;
    CHECK(load(&l, &kv_vfs_posix, threads, keep, -1) == KV_OK);
    uint64_t expired = 0;
    for (int i = 0; i < count; i += 3)
        if (!keep && i <= 300) expired++;
    CHECK(l.result.expired == expired && l.result.keys == (uint64_t)count + 1 - expired && l.result.version == 11 && l.facts == 1);
    CHECK(kv_store_count(&l.store, 0) == (size_t)count - expired && kv_store_count(&l.store, 1) == 1);
    for (int i = 0; i < count; i++) {
        char text[32], scratch[KV_NUM_MAX];
        kv_slice key = kv_slice_of(text, (size_t)snprintf(text, sizeof text, "key:%d", i));
        uint64_t hash = kv_store_hash(&l.store, key);
        kv_shard *shard = kv_store_shard_of(&l.store, hash);
        kv_value *v = kv_keydb_find(kv_shard_db(shard, 0), hash, key);
        CHECK((v == NULL) == (!keep && i % 3 == 0 && i <= 300));
        if (v == NULL) continue;
        CHECK(kv_entry_expire_ms(v) == (i % 3 == 0 ? i : KV_NO_EXPIRE));
        CHECK(i % 100 == 99 ? v->type == KV_LIST : kv_slice_eq(kv_entry_string(v, scratch), key));
    }
    drop(&l);
}

/* ---- files that are not what they were ---- */

static void refused(kv_slice bytes, const char *word) {
    loaded l;
    write_file(bytes);
    kv_status status = load(&l, &kv_vfs_posix, 0, true, -1);
    CHECK(status == KV_ECORRUPT || status == KV_EINVAL);
    CHECK(l.reason[0] != '\0' && (word == NULL || strstr(l.reason, word) != NULL));
    drop(&l);
}

static void spoilt(kv_slice file) {
    uint8_t *bytes = malloc(file.len);
    CHECK(bytes != NULL);
    memcpy(bytes, file.ptr, file.len);
    for (size_t cut = 0; cut < file.len; cut += cut < 600 ? 7 : 40009) refused(kv_slice_of(bytes, cut), NULL);
    for (size_t bit = 0; bit < file.len * 8; bit += bit < 1000 ? 3 : 200003) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        refused(kv_slice_of(bytes, file.len), NULL);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    memcpy(bytes, "REDIS0013", 9);
    refused(kv_slice_of(bytes, file.len), "later Redis");
    memcpy(bytes, "VALKEY081", 9);
    refused(kv_slice_of(bytes, file.len), "later Valkey");
    refused(KV_LIT("hello world"), "not an RDB file");
    refused(KV_LIT("REDIS0011\xf5\x03lib\xff"), "functions");
    refused(KV_LIT("REDIS0011\x15\x01k\x01"), "stream");
    refused(KV_LIT("REDIS0011\xfe\x05\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0"), "database");
    refused(KV_LIT("REDIS0011\x00\x01k\x01v\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0"), "twice");
    free(bytes);
}

/* ---- a file system that gives a few bytes at a time, and fails once ---- */

typedef struct odd {
    int calls, fail_at;
} odd;

static ssize_t odd_read(const kv_vfs *vfs, int fd, void *out, size_t len) {
    odd *o = vfs->ctx;
    if (o->calls++ == o->fail_at) {
        errno = EIO;
        return -1;
    }
    return kv_vfs_posix.read(vfs, fd, out, len > 1000 ? 1000 : len);
}

static void odd_reads(void) {
    odd o = {.fail_at = -1};
    kv_vfs vfs = kv_vfs_posix;
    loaded l;
    vfs.ctx = &o;
    vfs.read = odd_read;
    CHECK(load(&l, &vfs, 2, true, -1) == KV_OK);
    drop(&l);
    for (int last = o.calls, at = 0; at < last; at += 1 + last / 40) {
        o = (odd){.fail_at = at};
        CHECK(load(&l, &vfs, 2, true, -1) == KV_EIO && strstr(l.reason, "cannot be read") != NULL);
        drop(&l);
    }
}

static void without_memory(void) {
#ifdef KV_FAULTS
    loaded l;
    for (int64_t at = 0; at < 2000; at += 1 + at / 10) {
        kv_status status = load(&l, &kv_vfs_posix, (unsigned)(at % 3), true, at);
        CHECK(status == KV_OK || status == KV_ENOMEM);
        drop(&l);
    }
#endif
}

int main(void) {
    snprintf(path, sizeof path, "/tmp/kvcore-test-load.%ld", (long)getpid());
    kv_mem mem;
    kv_buf file;
    kv_mem_init(&mem);
    kv_buf_init(&file, &mem);
    make(&file, 5000);
    write_file(kv_buf_slice(&file));
    for (unsigned threads = 0; threads < 4; threads++) {
        whole(5000, threads, true);
        whole(5000, threads, false);
    }
    odd_reads();
    without_memory();
    kv_buf_clear(&file);
    make(&file, 200);
    spoilt(kv_buf_slice(&file));
    kv_buf_deinit(&file);
    unlink(path);
    return 0;
}
