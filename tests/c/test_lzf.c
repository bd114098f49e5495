/* sources: ds/lzf.c base/rng.c */
/* LZF: round trips of bytes of every kind and length, streams written by hand, rooms that are too small, and streams cut short or with a byte changed:
 * those must give some answer without touching a byte outside the buffers, which are exactly as long as they claim. */
#include <string.h>

#include "base/rng.h"
#include "check.h"
#include "ds/lzf.h"

static uint8_t *exact(const void *bytes, size_t len) {
    uint8_t *copy = malloc(len > 0 ? len : 1);
    CHECK(copy != NULL);
    if (len > 0) memcpy(copy, bytes, len);
    return copy;
}

static bool expands_to(kv_slice packed, const uint8_t *bytes, size_t len) {
    uint8_t *out = malloc(len > 0 ? len : 1);
    bool good = out != NULL && kv_lzf_decompress(packed, out, len) && memcmp(out, bytes, len) == 0;
    free(out);
    return good;
}

/* Bytes of a kind: 0 noise, 1 one byte over and over, 2 few letters, 3 words, 4 noise repeated from afar, 5 a run of noise, then repetition. */
static void fill(kv_rng *rng, unsigned kind, uint8_t *out, size_t len) {
    static const char *const words[] = {"list", "node", "value:", "0001", "abcdefgh", " ", "\n"};
    size_t period = 1 + (size_t)kv_rng_below(rng, 9000);
    for (size_t i = 0; i < len;) {
        if (kind == 1) out[i++] = 'x';
        else if (kind == 2) out[i++] = (uint8_t)('a' + kv_rng_below(rng, 3));
        else if (kind == 3)
            for (const char *w = words[kv_rng_below(rng, 7)]; *w != 0 && i < len;) out[i++] = (uint8_t)*w++;
        else if (kind == 4 && i >= period) out[i] = out[i - period], i++;
        else if (kind == 5 && i > len / 2) out[i] = out[i - 1 - len / 4], i++;
        else out[i++] = (uint8_t)kv_rng_below(rng, 256);
    }
}

static void round_trip(kv_rng *rng, unsigned kind, size_t len) {
    uint8_t *bytes = exact("", 0);
    bytes = realloc(bytes, len > 0 ? len : 1);
    fill(rng, kind, bytes, len);
    uint8_t *room = malloc(kv_lzf_bound(len));
    CHECK(room != NULL);
    size_t packed = kv_lzf_compress(kv_slice_of(bytes, len), room, kv_lzf_bound(len));
    CHECK((packed == 0) == (len == 0) && packed <= kv_lzf_bound(len));
    if (kind == 1 && len > 1000) CHECK(packed < len / 50);
    if (kind == 3 && len > 1000) CHECK(packed < len * 2 / 3);
    uint8_t *tight = exact(room, packed);
    CHECK(expands_to(kv_slice_of(tight, packed), bytes, len));
    if (len > 0) {
        uint8_t *out = malloc(len + 1);
        CHECK(out != NULL && !kv_lzf_decompress(kv_slice_of(tight, packed), out, len - 1));
        CHECK(!kv_lzf_decompress(kv_slice_of(tight, packed), out, len + 1));
        CHECK(packed < 2 || !kv_lzf_decompress(kv_slice_of(tight, packed - 1), out, len));
        free(out);
        /* With exactly the room that is needed it is the same stream; with any less, nothing. */
        uint8_t *small = malloc(packed);
        CHECK(small != NULL && kv_lzf_compress(kv_slice_of(bytes, len), small, packed) == packed && memcmp(small, tight, packed) == 0);
        free(small);
        size_t less = (size_t)kv_rng_below(rng, packed);
        small = malloc(less > 0 ? less : 1);
        CHECK(small != NULL && kv_lzf_compress(kv_slice_of(bytes, len), small, less) == 0);
        free(small);
    }
    free(tight);
    free(room);
    free(bytes);
}

static void by_hand(void) {
    static const struct {
        const char *packed;
        size_t len;
        const char *text; /* NULL: must be refused */
    } cases[] = {
        {"\x02"
         "abc",
         4, "abc"},
        {"\x02"
         "abc\x20\x02",
         6, "abcabc"}, /* three bytes from three back */
        {"\x00"
         "a\xe0\x01\x00",
         5, "aaaaaaaaaaa"}, /* one byte over and over: 10 of them */
        {"\x01"
         "ab\xc0\x01",
         5, "ababababab"}, /* a copy that reads what it writes */
        {"\x02"
         "ab",
         3, NULL},             /* literals that end early */
        {"\x20\x00", 2, NULL}, /* a copy from before the beginning */
        {"\x00"
         "a\x20\x01",
         4, NULL},
        {"\x00"
         "a\x20",
         3, NULL}, /* a copy without its distance */
        {"\x00"
         "a\xe0\x01",
         4, NULL},
        {"\x00"
         "a\xe0",
         3, NULL},
        {"", 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *packed = exact(cases[i].packed, cases[i].len), out[16];
        kv_slice in = kv_slice_of(packed, cases[i].len);
        if (cases[i].text != NULL) CHECK(expands_to(in, (const uint8_t *)cases[i].text, strlen(cases[i].text)));
        for (size_t n = 0; n <= sizeof out; n++)
            if (cases[i].text == NULL || n != strlen(cases[i].text)) CHECK(!kv_lzf_decompress(in, out, n));
        free(packed);
    }
}

/* Every byte of a stream changed in several ways, and every shorter stream. */
static void corrupted(kv_rng *rng, unsigned kind, size_t len) {
    uint8_t *bytes = malloc(len), *room = malloc(kv_lzf_bound(len)), *out = malloc(len);
    CHECK(bytes != NULL && room != NULL && out != NULL);
    fill(rng, kind, bytes, len);
    size_t packed = kv_lzf_compress(kv_slice_of(bytes, len), room, kv_lzf_bound(len));
    uint8_t *tight = exact(room, packed);
    for (size_t i = 0; i < packed; i++) {
        uint8_t before = tight[i];
        const uint8_t with[] = {0, 31, 32, 0xe0, 0xff, (uint8_t)(before ^ 1), (uint8_t)(before ^ 0x20), (uint8_t)kv_rng_below(rng, 256)};
        for (size_t k = 0; k < sizeof with; k++) {
            tight[i] = with[k];
            (void)kv_lzf_decompress(kv_slice_of(tight, packed), out, len);
        }
        tight[i] = before;
        uint8_t *cut = exact(tight, i);
        CHECK(!kv_lzf_decompress(kv_slice_of(cut, i), out, len));
        free(cut);
    }
    CHECK(expands_to(kv_slice_of(tight, packed), bytes, len));
    free(tight);
    free(out);
    free(room);
    free(bytes);
}

int main(void) {
    kv_rng rng;
    kv_rng_seed(&rng, 1);
    by_hand();
    for (unsigned kind = 0; kind < 6; kind++) {
        for (size_t len = 0; len < 300; len++) round_trip(&rng, kind, len);
        for (unsigned i = 0; i < 60; i++) round_trip(&rng, kind, (size_t)kv_rng_below(&rng, 40000));
        round_trip(&rng, kind, 1000000);
        for (unsigned i = 0; i < 6; i++) corrupted(&rng, kind, 1 + (size_t)kv_rng_below(&rng, 600));
    }
    printf("ok lzf\n");
    return 0;
}
