/* sources: ds/lzf.c */
/* A fuzzer of the LZF decoder: streams of plausible pieces and compressed streams with bytes changed, moved and left out. Buffers are exactly as long as
 * they claim, so that the address sanitizer sees a step outside. What the decoder accepts is compressed again and must come back the same.
 *
 * FUZZ_SECONDS (default 2) says how long, FUZZ_SEED where to begin; the seed of a stream that does not come back is printed. */
#include "ds/lzf.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"

enum { STREAM_MAX = 4000, OUTPUT_MAX = 60000 };

static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state;
}
static size_t below(uint64_t *state, size_t n) { return (size_t)(random_next(state) % n); }

/* Returns whether the stream was taken; then it is also compressed and expanded again. */
static bool one_input(const uint8_t *stream, size_t len, size_t claimed, uint64_t seed) {
    uint8_t *in = malloc(len > 0 ? len : 1), *out = malloc(claimed > 0 ? claimed : 1), *again, *back;
    CHECK(in != NULL && out != NULL);
    if (len > 0) memcpy(in, stream, len);
    bool taken = kv_lzf_decompress(kv_slice_of(in, len), out, claimed);
    if (taken && claimed > 0) {
        again = malloc(kv_lzf_bound(claimed));
        back = malloc(claimed);
        CHECK(again != NULL && back != NULL);
        size_t packed = kv_lzf_compress(kv_slice_of(out, claimed), again, kv_lzf_bound(claimed));
        bool same = packed > 0 && kv_lzf_decompress(kv_slice_of(again, packed), back, claimed) && memcmp(back, out, claimed) == 0;
        if (!same) fprintf(stderr, "FUZZ_SEED=%llu: what was expanded does not survive\n", (unsigned long long)seed);
        CHECK(same);
        free(again);
        free(back);
    }
    free(in);
    free(out);
    return taken;
}

#ifdef KV_LIBFUZZER /* clang -fsanitize=fuzzer,address -DKV_LIBFUZZER with the sources of the first line: the first two bytes are the length claimed */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size >= 2) (void)one_input(data + 2, size - 2, (size_t)data[0] << 8 | data[1], 0);
    return 0;
}
#else
/* Literals and copies that would mostly be good; *claimed gets what they expand to. */
static size_t plausible(uint64_t *r, uint8_t *stream, size_t *claimed) {
    size_t len = 0, done = 0, pieces = 1 + below(r, 60);
    for (size_t i = 0; i < pieces && len + 40 < STREAM_MAX && done + 300 < OUTPUT_MAX; i++) {
        if (done == 0 || below(r, 2) == 0) {
            size_t n = 1 + below(r, 32);
            stream[len++] = (uint8_t)(n - 1);
            for (size_t k = 0; k < n; k++) stream[len++] = (uint8_t)('a' + below(r, 4));
            done += n;
        } else {
            size_t back = below(r, done < 8192 ? done : 8192), length = 3 + below(r, 262), code = length - 2;
            stream[len++] = (uint8_t)((code < 7 ? code : 7) << 5 | back >> 8);
            if (code >= 7) stream[len++] = (uint8_t)(code - 7);
            stream[len++] = (uint8_t)back;
            done += length;
        }
    }
    *claimed = done;
    return len;
}

static size_t damage(uint64_t *r, uint8_t *stream, size_t len) {
    for (size_t n = below(r, 4); n > 0 && len > 0; n--) {
        size_t at = below(r, len), from = below(r, len), some = 1 + below(r, 8);
        switch (below(r, 4)) {
        case 0: stream[at] = (uint8_t)random_next(r); break;
        case 1: len = at; break;
        case 2:
            if (at + some <= len && from + some <= len) memmove(stream + at, stream + from, some);
            break;
        default: stream[at] ^= (uint8_t)(1u << below(r, 8)); break;
        }
    }
    return len;
}

int main(void) {
    const char *seconds = getenv("FUZZ_SECONDS"), *first = getenv("FUZZ_SEED");
    uint64_t seed = first != NULL ? strtoull(first, NULL, 10) : 1;
    time_t end = time(NULL) + (seconds != NULL ? atoi(seconds) : 2);
    size_t runs = 0, taken = 0;
    for (; time(NULL) < end; seed++) {
        for (uint64_t i = 0; i < 200; i++, runs++) {
            static uint8_t stream[STREAM_MAX];
            uint64_t r = (seed * 200 + i) * UINT64_C(0x9e3779b97f4a7c15) | 1;
            size_t claimed, len = plausible(&r, stream, &claimed);
            len = damage(&r, stream, len);
            if (below(&r, 8) == 0) claimed = below(&r, OUTPUT_MAX);
            taken += one_input(stream, len, claimed, seed);
        }
    }
    CHECK(taken > 0 && taken < runs);
    printf("ok fuzz lzf: %zu streams, %zu taken\n", runs, taken);
    return 0;
}
#endif
