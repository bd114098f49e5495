/* sources: persist/manifest.c persist/filelock.c base/*.c */
/* The manifest: what is written reads back; files of other servers; what is refused; bytes that are no manifest. The lock: once at a time, by any name. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "check.h"
#include "persist/filelock.h"
#include "persist/manifest.h"

static kv_mem mem;

static kv_status parse(kv_manifest *m, kv_slice text, kv_buf *reason) {
    kv_manifest_init(m, &mem);
    kv_buf_clear(reason);
    kv_status status = kv_manifest_parse(m, text, reason);
    CHECK(kv_manifest_check(m));
    CHECK((status == KV_OK) == (reason->len == 0));
    if (status != KV_OK) CHECK(m->count == 0);
    return status;
}

static void round_trip(kv_buf *reason) {
    kv_manifest m, copy;
    kv_buf text, again;
    kv_buf_init(&text, &mem);
    kv_buf_init(&again, &mem);
    kv_manifest_init(&m, &mem);
    CHECK(kv_manifest_add(&m, KV_LIT("old.1.incr.aof"), 1, 'h') == KV_OK);
    CHECK(kv_manifest_add(&m, KV_LIT("a b\"c.2.incr.aof"), 2, 'i') == KV_OK);
    CHECK(kv_manifest_add(&m, KV_LIT("a b\"c.2.base.rdb"), 2, 'b') == KV_OK);
    CHECK(kv_manifest_add(&m, KV_LIT("x.3.incr.aof"), 3, 'i') == KV_OK);
    CHECK(kv_manifest_add(&m, KV_LIT("x.3.base.rdb"), 3, 'b') == KV_EEXISTS);
    CHECK(kv_manifest_add(&m, KV_LIT("x.3b.incr.aof"), 3, 'i') == KV_EEXISTS);
    CHECK(kv_manifest_add(&m, KV_LIT("../x"), 9, 'i') == KV_EINVAL && kv_manifest_add(&m, KV_LIT(""), 9, 'i') == KV_EINVAL);
    char name[1024];
    memset(name, 'n', sizeof name);
    CHECK(kv_manifest_add(&m, kv_slice_of(name, sizeof name), 9, 'i') == KV_ETOOBIG);
    CHECK(kv_manifest_check(&m) && m.count == 4 && kv_manifest_base(&m)->number == 2 && kv_manifest_last(&m, 'i') == 3);
    kv_manifest_print(&m, &text);
    CHECK(parse(&copy, kv_buf_slice(&text), reason) == KV_OK);
    kv_manifest_print(&copy, &again);
    CHECK(kv_slice_eq(kv_buf_slice(&text), kv_buf_slice(&again)));
    kv_manifest_retire(&m, 2);
    CHECK(kv_manifest_check(&m) && m.count == 4 && kv_manifest_base(&m) == NULL && m.files[0].number == 3 && m.files[1].type == 'h');
    kv_manifest_remove(&m, 1);
    CHECK(kv_manifest_check(&m) && m.count == 3);
    kv_manifest_deinit(&m);
    kv_manifest_deinit(&copy);
    kv_buf_deinit(&text);
    kv_buf_deinit(&again);
}

static void texts(kv_buf *reason) {
    static const char *const good[] = {"file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\n",
                                       "# a comment\nfile a.7.incr.aof seq 7 type i startoffset 0 endoffset 12\n",
                                       "file \"a\\x20b.1.base.rdb\" seq 1 type b\n", "type h seq 3 file x\n"};
    static const char *const bad[] = {"",
                                      "\n",
                                      "file a seq 1 type b",
                                      "file a seq 1\n",
                                      "file a seq 1 type\n",
                                      "file a seq 0 type b\n",
                                      "file a seq 1 type z\n",
                                      "file a seq x type b\n",
                                      "file /etc/x seq 1 type b\n",
                                      "file .. seq 1 type b\n",
                                      "file \"a seq 1 type b\n",
                                      "file a seq 1 type b\nfile b seq 2 type b\n",
                                      "file a seq 2 type i\nfile b seq 1 type i\n",
                                      "file \"a\\x00b\" seq 2 type i\n"};
    kv_manifest m;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(parse(&m, kv_slice_cstr(good[i]), reason) == KV_OK);
        kv_manifest_deinit(&m);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(parse(&m, kv_slice_cstr(bad[i]), reason) == KV_ECORRUPT);
    char line[KV_MANIFEST_LINE_MAX + 2];
    memset(line, '#', sizeof line);
    line[sizeof line - 1] = '\n';
    CHECK(parse(&m, kv_slice_of(line, sizeof line), reason) == KV_ECORRUPT);
    CHECK(parse(&m, kv_slice_of(line + 2, sizeof line - 2), reason) == KV_OK);
    kv_manifest_deinit(&m);
}

/* Bytes changed at random: parsed or refused, never more. */
static void noise(kv_buf *reason) {
    static const char text[] = "file a.1.base.rdb seq 1 type b\nfile \"a b\" seq 1 type i\n# x\nfile c seq 2 type i\nfile d seq 1 type h\n";
    kv_rng rng;
    kv_rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        char bytes[sizeof text];
        memcpy(bytes, text, sizeof text);
        for (uint64_t n = 1 + kv_rng_next(&rng) % 4; n > 0; n--) bytes[kv_rng_next(&rng) % (sizeof text - 1)] = (char)kv_rng_next(&rng);
        kv_manifest m;
        (void)parse(&m, kv_slice_of(bytes, kv_rng_next(&rng) % sizeof text), reason);
        kv_manifest_deinit(&m);
    }
}

static void locks(kv_buf *reason) {
    char dir[] = "/tmp/kv-lock-XXXXXX", path[64], link_path[64], lock_path[64], nowhere[64];
    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/app.kv", dir);
    snprintf(lock_path, sizeof lock_path, "%s/app.kv.lock", dir);
    snprintf(link_path, sizeof link_path, "%s/other", dir);
    snprintf(nowhere, sizeof nowhere, "%s/none/app.kv", dir);
    kv_filelock first, second;
    CHECK(kv_filelock_take(&first, &mem, nowhere, reason) == KV_ENOTFOUND && reason->len > 0);
    kv_buf_clear(reason);
    CHECK(symlink(path, link_path) == 0);
    CHECK(kv_filelock_take(&first, &mem, link_path, reason) == KV_ENOTFOUND); /* a link to nowhere */
    kv_buf_clear(reason);
    CHECK(kv_filelock_take(&first, &mem, path, reason) == KV_OK && reason->len == 0);
    struct stat facts;
    CHECK(stat(lock_path, &facts) == 0 && (facts.st_mode & 0777) == 0600);
    int fd = open(path, O_RDWR | O_CREAT, 0600), other = open(path, O_RDWR);
    CHECK(fd >= 0 && other >= 0 && kv_filelock_file(fd) && !kv_filelock_file(other));
    CHECK(kv_filelock_take(&second, &mem, path, reason) == KV_EEXISTS && reason->len > 0);
    CHECK(kv_filelock_take(&second, &mem, link_path, reason) == KV_EEXISTS); /* now it means the same file */
    kv_filelock_drop(&second);
    kv_filelock_drop(&first);
    CHECK(stat(lock_path, &facts) != 0 && errno == ENOENT);
    kv_buf_clear(reason);
    CHECK(kv_filelock_take(&second, &mem, link_path, reason) == KV_OK && stat(lock_path, &facts) == 0);
    kv_filelock_drop(&second);
    close(fd);
    close(other);
    CHECK(unlink(path) == 0 && unlink(link_path) == 0 && rmdir(dir) == 0);
}

int main(void) {
    kv_buf reason;
    kv_mem_init(&mem);
    kv_buf_init(&reason, &mem);
    round_trip(&reason);
    texts(&reason);
    noise(&reason);
    kv_buf_clear(&reason);
    locks(&reason);
    kv_buf_deinit(&reason);
    return 0;
}
