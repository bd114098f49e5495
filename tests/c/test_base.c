/* sources: base/status.c base/slice.c base/clock.c base/rng.c base/siphash.c base/buf.c base/sha1.c base/sha256.c base/log.c base/num.c base/mem.c base/pages.c base/sync.c */
/* The small parts of base: slices, clock, randomness, hashing, buffers, digests, log lines. Files have test_vfs.c. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/sha1.h"
#include "base/sha256.h"
#include "base/siphash.h"
#include "base/status.h"
#include "check.h"
#include <unistd.h>

static void slices(void) {
    CHECK(kv_slice_cmp(KV_LIT("abc"), KV_LIT("abd")) < 0 && kv_slice_cmp(KV_LIT("abc"), KV_LIT("ab")) > 0 &&
          kv_slice_cmp(KV_LIT("a"), KV_LIT("a")) == 0);
    CHECK(kv_slice_cmp(KV_LIT("\xff"), KV_LIT("a")) > 0 && kv_slice_cmp(kv_slice_of(NULL, 0), KV_LIT("a")) < 0);
    CHECK(kv_slice_is(KV_LIT("GeT"), "get") && !kv_slice_is(KV_LIT("get"), "gets") && !kv_slice_is(KV_LIT("@"), "`"));
    CHECK(kv_slice_eq(kv_slice_of(NULL, 0), KV_LIT("")) && !kv_slice_eq(KV_LIT("a"), KV_LIT("b")));
    for (int i = KV_OK; i <= KV_ECORRUPT; i++) CHECK(strcmp(kv_status_name((kv_status)i), "unknown status") != 0);
}

static void clocks(void) {
    kv_clock clock;
    kv_clock_init(&clock);
    int64_t before = kv_clock_us(&clock);
    CHECK(before > 1600000000000000 && kv_clock_us(&clock) >= before);
    kv_clock_advance(&clock, 3600000000);
    CHECK(kv_clock_us(&clock) >= before + 3600000000);
    kv_clock_freeze(&clock, 5000);
    CHECK(kv_clock_us(&clock) == 5000 && kv_clock_ms(&clock) == 5);
    kv_clock_advance(&clock, -1000);
    CHECK(kv_clock_us(&clock) == 4000);
    kv_clock_thaw(&clock);
    CHECK(kv_clock_us(&clock) >= before + 3600000000);
    /* The remembered millisecond is never older than what the system says, and a change of the clock ends it at once. */
    uint64_t until = kv_mono_ns() + 5000000;
    while (kv_mono_ns() < until) {
        int64_t low = kv_clock_ms(&clock), ms = kv_clock_ms_at(&clock, kv_clock_ticks(&clock)), high = kv_clock_ms(&clock);
        CHECK(ms >= low - 1 && ms <= high + 1);
    }
    for (int64_t ms = 1; ms <= 3; ms++) {
        (void)kv_clock_ms_at(&clock, kv_clock_ticks(&clock));
        kv_clock_freeze(&clock, ms * 1000);
        CHECK(kv_clock_ms_at(&clock, kv_clock_ticks(&clock)) == ms);
        kv_clock_advance(&clock, 1000000);
        CHECK(kv_clock_ms_at(&clock, kv_clock_ticks(&clock)) == ms + 1000);
        kv_clock_thaw(&clock);
        CHECK(kv_clock_ms_at(&clock, kv_clock_ticks(&clock)) >= before / 1000 + 3600000);
        kv_clock_advance(&clock, 60000000);
        CHECK(kv_clock_ms_at(&clock, kv_clock_ticks(&clock)) >= before / 1000 + 3600000 + 60000 * ms);
    }
    uint64_t start = kv_mono_ns();
    CHECK(kv_mono_ns() >= start);
}

static void randomness(void) {
    kv_rng a, b;
    kv_rng_seed(&a, 42);
    kv_rng_seed(&b, 42);
    unsigned seen[10] = {0};
    for (int i = 0; i < 100000; i++) {
        uint64_t value = kv_rng_below(&a, 10);
        CHECK(value == kv_rng_below(&b, 10) && value < 10);
        seen[value]++;
        double unit = kv_rng_unit(&a);
        CHECK(unit >= 0 && unit < 1);
        kv_rng_unit(&b);
    }
    for (int i = 0; i < 10; i++) CHECK(seen[i] > 9500 && seen[i] < 10500);
    CHECK(kv_rng_below(&a, 1) == 0 && kv_rng_below(&a, (uint64_t)3 << 62) < (uint64_t)3 << 62);
    uint8_t x[64] = {0}, y[64] = {0};
    CHECK(kv_random_bytes(x, sizeof x) && kv_random_bytes(y, sizeof y) && memcmp(x, y, sizeof x) != 0 && kv_random_bytes(x, 0));
}

/* SipHash as the paper writes it, with its numbers of rounds as arguments. */
static uint64_t plain_siphash(kv_hash_seed seed, const uint8_t *in, size_t len, int each, int last) {
    uint64_t v[4] = {seed.k0 ^ 0x736f6d6570736575, seed.k1 ^ 0x646f72616e646f6d, seed.k0 ^ 0x6c7967656e657261,
                     seed.k1 ^ 0x7465646279746573};
#define ROTL(x, k) ((x) << (k) | (x) >> (64 - (k)))
    for (size_t at = 0; at <= len + 8; at += 8) {
        bool closing = at > len; /* not a word of input: the final rounds */
        uint64_t word = 0;
        if (!closing) {
            for (size_t i = 0; i < 8; i++) word |= (uint64_t)(at + i < len ? in[at + i] : 0) << (8 * i);
            if (at + 8 > len) word |= (uint64_t)len << 56;
            v[3] ^= word;
        } else {
            v[2] ^= 0xff;
        }
        for (int round = 0; round < (closing ? last : each); round++) {
            v[0] += v[1], v[2] += v[3];
            v[1] = ROTL(v[1], 13) ^ v[0], v[3] = ROTL(v[3], 16) ^ v[2];
            v[0] = ROTL(v[0], 32);
            v[2] += v[1], v[0] += v[3];
            v[1] = ROTL(v[1], 17) ^ v[2], v[3] = ROTL(v[3], 21) ^ v[0];
            v[2] = ROTL(v[2], 32);
        }
        if (closing) break;
        v[0] ^= word;
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void hashes(void) {
    const kv_hash_seed seed = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t bytes[80], folded[80];
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
    CHECK(plain_siphash(seed, bytes, 15, 2, 4) == 0xa129ca6149be45e5); /* the vector of the paper */
    for (size_t len = 0; len < sizeof bytes; len++) { CHECK(kv_siphash(&seed, bytes, len) == plain_siphash(seed, bytes, len, 1, 3)); }
    for (unsigned shift = 0; shift < 256; shift += 8) { /* every byte value in every place */
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)(i * 7 + shift);
            folded[i] = bytes[i] >= 'A' && bytes[i] <= 'Z' ? (uint8_t)(bytes[i] + 32) : bytes[i];
        }
        for (size_t len = 0; len < sizeof bytes; len++) CHECK(kv_siphash_nocase(&seed, bytes, len) == kv_siphash(&seed, folded, len));
    }
}

static void buffers(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_buf buf;
    kv_buf_init(&buf, &mem);
    for (int i = 0; i < 1000; i++) kv_buf_printf(&buf, "%d,", i);
    CHECK(!buf.failed && buf.len == 3890 && memcmp(buf.ptr, "0,1,2,", 6) == 0 && memcmp(buf.ptr + buf.len - 4, "999,", 4) == 0);
    kv_buf_drop_front(&buf, 2);
    CHECK(buf.len == 3888 && buf.ptr[0] == '1');
    kv_buf_drop_front(&buf, 100000);
    CHECK(buf.len == 0);
    kv_buf_trim(&buf, 128);
    CHECK(buf.cap == 128);
    kv_buf_trim(&buf, 0);
    CHECK(buf.cap == 0 && atomic_load(&mem.used) == 0);
    CHECK(kv_buf_grow_exactly(&buf, 70) && buf.cap == 70 && kv_buf_grow_exactly(&buf, 69) && buf.cap == 70);
    buf.len = 60;
    CHECK(kv_buf_grow_exactly(&buf, 11) && buf.cap == 71);
    CHECK(!kv_buf_grow_exactly(&buf, SIZE_MAX) && buf.failed && !kv_buf_grow_exactly(&buf, 1));
    kv_buf_deinit(&buf);
    kv_buf_add_slice(&buf, KV_LIT("kept"));
    CHECK(!kv_buf_reserve(&buf, SIZE_MAX) && buf.failed && buf.len == 4);
    kv_buf_add_byte(&buf, 'x');
    CHECK(buf.len == 4);
    kv_buf_clear(&buf);
    kv_buf_add_byte(&buf, 'x');
    CHECK(buf.len == 1 && !buf.failed);
#ifdef KV_FAULTS
    atomic_store(&mem.fail_after, 0);
    kv_buf_printf(&buf, "%0200d", 1);
    CHECK(buf.failed && buf.len == 1 && buf.ptr[0] == 'x');
#endif
    kv_buf_deinit(&buf);
    CHECK(atomic_load(&mem.used) == 0);
}

static void hex_is(const uint8_t *digest, size_t len, const char *expected) {
    char text[2 * KV_SHA256_BYTES];
    kv_hex(digest, len, text);
    CHECK(strlen(expected) == 2 * len && memcmp(text, expected, 2 * len) == 0);
}

static void digests(void) {
    uint8_t out[KV_SHA256_BYTES], split[KV_SHA256_BYTES], text[200];
    kv_sha1_of(KV_LIT("abc"), out);
    hex_is(out, KV_SHA1_BYTES, "a9993e364706816aba3e25717850c26c9cd0d89d");
    kv_sha1_of(KV_LIT(""), out);
    hex_is(out, KV_SHA1_BYTES, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    kv_sha256_of(KV_LIT("abc"), out);
    hex_is(out, KV_SHA256_BYTES, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    kv_sha256_of(KV_LIT(""), out);
    hex_is(out, KV_SHA256_BYTES, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)i;
    for (size_t cut = 0; cut <= sizeof text; cut++) { /* any cut gives the digest of the whole */
        kv_sha256 wide;
        kv_sha256_init(&wide);
        kv_sha256_update(&wide, text, cut);
        kv_sha256_update(&wide, text + cut, sizeof text - cut);
        kv_sha256_final(&wide, split);
        kv_sha256_of(kv_slice_of(text, sizeof text), out);
        CHECK(kv_ct_equal(out, split, KV_SHA256_BYTES));
        kv_sha1 narrow;
        kv_sha1_init(&narrow);
        kv_sha1_update(&narrow, text, cut);
        kv_sha1_update(&narrow, text + cut, sizeof text - cut);
        kv_sha1_final(&narrow, split);
        kv_sha1_of(kv_slice_of(text, sizeof text), out);
        CHECK(kv_ct_equal(out, split, KV_SHA1_BYTES));
    }
    split[19] ^= 0x80;
    CHECK(!kv_ct_equal(out, split, KV_SHA1_BYTES) && kv_ct_equal(out, split, 19) && kv_ct_equal(out, split, 0));
}

typedef struct sink {
    int calls;
    kv_log_level level;
    char text[KV_LOG_MAX + 1];
    size_t len;
} sink;

static void keep(void *ctx, kv_log_level level, const char *text, size_t len) {
    sink *s = ctx;
    s->calls++;
    s->level = level;
    s->len = len;
    memcpy(s->text, text, len);
    s->text[len] = 0;
}

static void logs(void) {
    static sink s;
    kv_log log;
    kv_log_init(&log, KV_LOG_NOTICE, keep, &s);
    kv_log_write(&log, KV_LOG_VERBOSE, "dropped");
    CHECK(s.calls == 0 && !kv_log_wants(&log, KV_LOG_DEBUG));
    kv_log_write(&log, KV_LOG_WARNING, "bad name '%s'", "a\r\n1:M forged");
    CHECK(s.calls == 1 && s.level == KV_LOG_WARNING && strcmp(s.text, "bad name 'a??1:M forged'") == 0);
    kv_log_write(&log, KV_LOG_NOTICE, "%02000d", 7);
    CHECK(s.len == KV_LOG_MAX);
    kv_log_level level = KV_LOG_NOTHING;
    CHECK(kv_log_level_parse("Verbose", &level) && level == KV_LOG_VERBOSE && !kv_log_level_parse("loud", &level));
    CHECK(strcmp(kv_log_level_name(KV_LOG_WARNING), "warning") == 0);
    int ends[2];
    char line[200];
    CHECK(pipe(ends) == 0);
    kv_log_init(&log, KV_LOG_NOTICE, kv_log_to_fd, &ends[1]);
    kv_log_write(&log, KV_LOG_NOTICE, "hello");
    ssize_t got = read(ends[0], line, sizeof line);
    CHECK(got > 10 && memcmp(line + got - 8, "* hello\n", 8) == 0 && strtol(line, NULL, 10) == (long)getpid());
    close(ends[0]);
    close(ends[1]);
    kv_log_init(&log, KV_LOG_DEBUG, NULL, NULL);
    kv_log_write(&log, KV_LOG_WARNING, "nobody listens");
}

int main(void) {
    slices();
    clocks();
    randomness();
    hashes();
    buffers();
    digests();
    logs();
    puts("ok base");
    return 0;
}
