/* sources: base/mem.c base/pages.c base/buf.c base/slice.c base/num.c base/words.c base/sync.c base/status.c base/siphash.c net/request.c */
/* A fuzzer of the request parser: mutated streams, each parsed twice, at once and in random pieces with the consumed front dropped in between. Both must
 * give the same commands and the same end. Buffers are exactly as long as their bytes, so that the address sanitizer sees a read behind them;
 * memory must stay within a multiple of what has arrived, whatever lengths were announced.
 *
 * FUZZ_SECONDS (default 2) says how long, FUZZ_SEED where to begin; the seed of a failing stream is printed. */
#include "net/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"

enum { STREAM_MAX = 6000 };

static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state;
}
static size_t below(uint64_t *state, size_t n) { return (size_t)(random_next(state) % n); }

typedef struct stream {
    uint8_t bytes[STREAM_MAX];
    size_t len;
} stream;

static void put(stream *s, const void *bytes, size_t len) {
    if (s->len + len > STREAM_MAX) return;
    memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
}
static void put_text(stream *s, const char *text) { put(s, text, strlen(text)); }

static void add_multibulk(stream *s, uint64_t *r) {
    char head[64];
    size_t words = 1 + below(r, 6);
    snprintf(head, sizeof head, "*%zu\r\n", words);
    put_text(s, head);
    for (size_t i = 0; i < words; i++) {
        uint8_t word[300];
        size_t len = below(r, 10) == 0 ? below(r, sizeof word) : below(r, 12);
        for (size_t k = 0; k < len; k++) word[k] = (uint8_t)random_next(r);
        snprintf(head, sizeof head, "$%zu\r\n", len);
        put_text(s, head);
        put(s, word, len);
        put_text(s, "\r\n");
    }
}

static void add_inline(stream *s, uint64_t *r) {
    static const char *const pieces[] = {"SET",   " ",  "  ", "key", "\"a b\"", "\"\\x41\\n\"", "'it''s'",
                                         "'\\''", "\t", "x",  "\"",  "'",       "\\",           "\xff"};
    size_t count = below(r, 8);
    for (size_t i = 0; i < count; i++) put_text(s, pieces[below(r, sizeof pieces / sizeof *pieces)]);
    put_text(s, below(r, 4) == 0 ? "\n" : "\r\n");
}

/* Lengths that have hurt parsers before. */
static void add_odd(stream *s, uint64_t *r) {
    static const char *const odd[] = {"*-1\r\n",
                                      "*0\r\n",
                                      "*1\r\n$-1\r\n",
                                      "*1\r\n$0\r\n\r\n",
                                      "*2147483648\r\n",
                                      "*1048577\r\n",
                                      "*1\r\n$536870913\r\n",
                                      "*1\r\n$9223372036854775807\r\n",
                                      "*1\r\n$99999999999999999999\r\n",
                                      "*+1\r\n",
                                      "* 1\r\n",
                                      "*1\r\n:1\r\n",
                                      "*1\n$1\nx\n",
                                      "\r\n",
                                      "\n",
                                      "*3\r\n$3\r\nSET\r\n$1\r\n",
                                      "*1\r\n$3\r\nabcd\r\n",
                                      "*1000000\r\n",
                                      "*1\r\n$16385\r\n",
                                      "*11\r\n"};
    put_text(s, odd[below(r, sizeof odd / sizeof *odd)]);
}

static void mutate(stream *s, uint64_t *r) {
    for (size_t n = below(r, 4); n > 0 && s->len > 0; n--) {
        size_t at = below(r, s->len);
        switch (below(r, 4)) {
        case 0: s->bytes[at] = (uint8_t)random_next(r); break;
        case 1: s->bytes[at] ^= (uint8_t)(1u << below(r, 8)); break;
        case 2: memmove(s->bytes + at, s->bytes + at + 1, --s->len - at); break;
        default: s->len = at + 1;
        }
    }
}

__attribute__((unused)) static void make_stream(stream *s, uint64_t *r) {
    s->len = 0;
    for (size_t n = 1 + below(r, 6); n > 0; n--) {
        size_t kind = below(r, 10);
        if (kind < 6) add_multibulk(s, r);
        else if (kind < 8) add_inline(s, r);
        else add_odd(s, r);
    }
    if (below(r, 3) != 0) mutate(s, r);
}

/* What a parse amounts to: a digest of all commands, their number, and how it ended. */
typedef struct outcome {
    uint64_t digest;
    size_t commands;
    kv_request_status end;
    char error[96];
} outcome;

static void fold(outcome *o, const void *bytes, size_t len) {
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++) o->digest = (o->digest ^ p[i]) * UINT64_C(1099511628211);
    o->digest = (o->digest ^ len) * UINT64_C(1099511628211);
}

/* Everything that `data` holds by now. False: the stream is over. */
static bool take_all(kv_request *q, const uint8_t *data, size_t len, const kv_request_limits *limits, outcome *o) {
    for (;;) {
        o->end = kv_request_next(q, kv_slice_of(data, len), limits);
        CHECK(q->pos <= len && kv_request_needed_from(q) <= len);
        if (o->end == KV_REQUEST_MORE) return true;
        if (o->end != KV_REQUEST_COMMAND) break;
        CHECK(q->argc > 0);
        o->commands++;
        for (int i = 0; i < q->argc; i++) fold(o, q->argv[i].ptr, q->argv[i].len);
    }
    CHECK(o->end == KV_REQUEST_ERROR && strlen(q->error) > 0);
    memcpy(o->error, q->error, sizeof o->error);
    return false;
}

static outcome parse(const stream *s, const kv_request_limits *limits, uint64_t *pieces) {
    outcome o = {.digest = 1469598103934665603u};
    kv_mem mem;
    kv_mem_init(&mem);
    kv_request q;
    kv_request_init(&q, &mem);
    uint8_t *data = NULL;
    size_t have = 0, fed = 0;
    bool going = true;
    while (going && fed < s->len) {
        size_t more = pieces == NULL ? s->len : 1 + below(pieces, below(pieces, 4) == 0 ? 200 : 9);
        if (more > s->len - fed) more = s->len - fed;
        /* A block of the exact size, the old front dropped now and then. */
        size_t drop = pieces != NULL && below(pieces, 2) == 0 ? kv_request_needed_from(&q) : 0;
        uint8_t *next = malloc(have - drop + more);
        CHECK(next != NULL);
        if (have > drop) memcpy(next, data + drop, have - drop);
        memcpy(next + have - drop, s->bytes + fed, more);
        free(data);
        data = next;
        have += more - drop;
        fed += more;
        if (drop > 0) kv_request_dropped(&q, drop);
        going = take_all(&q, data, have, limits, &o);
        CHECK(atomic_load(&mem.used) <= 64 * fed + 16384);
    }
    free(data);
    kv_request_deinit(&q);
    CHECK(atomic_load(&mem.used) == 0);
    return o;
}

static void same_in_pieces(const stream *s, const kv_request_limits *limits, const outcome *whole, uint64_t *pieces, uint64_t seed) {
    outcome pieced = parse(s, limits, pieces);
    bool same = whole->digest == pieced.digest && whole->commands == pieced.commands && whole->end == pieced.end &&
                strcmp(whole->error, pieced.error) == 0;
    if (!same)
        fprintf(stderr, "FUZZ_SEED=%llu: whole and pieces differ: %zu and %zu commands, '%s' and '%s'\n", (unsigned long long)seed,
                whole->commands, pieced.commands, whole->error, pieced.error);
    CHECK(same);
}

#ifdef KV_LIBFUZZER /* clang -fsanitize=fuzzer,address -DKV_LIBFUZZER with the sources of the first line: the first bytes choose limits and pieces */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static stream s;
    if (size < 2 || size - 2 > STREAM_MAX) return 0;
    s.len = 0;
    put(&s, data + 2, size - 2);
    kv_request_limits limits = {.max_bulk = 512 * 1024 * 1024, .authenticated = (data[0] & 1) != 0};
    uint64_t pieces = (uint64_t)data[1] << 8 | data[0] | 1;
    outcome whole = parse(&s, &limits, NULL);
    same_in_pieces(&s, &limits, &whole, &pieces, 0);
    return 0;
}
#else
int main(void) {
    const char *seconds = getenv("FUZZ_SECONDS"), *from = getenv("FUZZ_SEED");
    time_t end = time(NULL) + (seconds != NULL ? atoi(seconds) : 2);
    uint64_t seed = from != NULL ? strtoull(from, NULL, 10) : 1, streams = 0, commands = 0, errors = 0;
    static stream s;
    do {
        for (int i = 0; i < 200; i++, seed++, streams++) {
            uint64_t r = seed * UINT64_C(0x9E3779B97F4A7C15) | 1, pieces;
            make_stream(&s, &r);
            kv_request_limits limits = {.max_bulk = 512 * 1024 * 1024, .authenticated = below(&r, 3) != 0};
            outcome whole = parse(&s, &limits, NULL);
            for (int k = 0; k < 3; k++) {
                pieces = random_next(&r);
                same_in_pieces(&s, &limits, &whole, &pieces, seed);
            }
            commands += whole.commands;
            errors += whole.end == KV_REQUEST_ERROR;
        }
    } while (time(NULL) < end);
    CHECK(commands > streams / 4 && errors > streams / 20); /* the streams are worth parsing */
    printf("ok request: %llu streams, %llu commands, %llu protocol errors\n", (unsigned long long)streams, (unsigned long long)commands,
           (unsigned long long)errors);
    return 0;
}
#endif
