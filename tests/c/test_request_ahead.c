/* sources: net/ahead.c net/request.c base/words.c base/buf.c base/mem.c base/pages.c base/num.c base/sync.c base/slice.c base/status.c */
/* Looking ahead in a pipeline: the commands that kv_ahead_look finds are those of kv_request_next, for every place where the input may end, in number
 * and words as many as fit, and looking changes nothing. What is odd in any way is left to kv_request_next. */
#include "net/ahead.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

static const kv_request_limits open_door = {.max_bulk = 1 << 20, .authenticated = true};

static uint64_t random_next(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* A pipeline of commands of one to five words, `*plain` of them before something that a look ahead must stop at. */
static size_t make_pipeline(char *out, size_t cap, uint64_t *rng, unsigned *plain) {
    size_t len = 0;
    bool stopped = false;
    *plain = 0;
    for (unsigned i = 0; i < 40; i++) {
        unsigned words = 1 + (unsigned)(random_next(rng) % 5);
        if (random_next(rng) % 32 == 0) {
            len += (size_t)snprintf(out + len, cap - len, "PING\r\n");
            stopped = true;
            continue;
        }
        *plain += !stopped;
        len += (size_t)snprintf(out + len, cap - len, "*%u\r\n", words);
        for (unsigned w = 0; w < words; w++) {
            char word[16];
            int n = snprintf(word, sizeof word, "%.*s", (int)(random_next(rng) % 14), "abcdefghijklm");
            len += (size_t)snprintf(out + len, cap - len, "$%d\r\n%s\r\n", n, word);
        }
    }
    CHECK(len < cap);
    return len;
}

/* Returns how many commands were found. */
static unsigned compare(kv_slice in) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_request taken, parsed;
    kv_request_init(&taken, &mem);
    kv_request_init(&parsed, &mem);
    kv_ahead ahead;
    kv_ahead_look(&ahead, &taken, in, &open_door);
    CHECK(taken.pos == 0 && taken.words_left == 0 && taken.argc == 0 && ahead.next == 0);
    while (!kv_ahead_is_empty(&ahead)) {
        const kv_slice *argv;
        int argc = kv_ahead_take(&ahead, &taken, &argv);
        CHECK(kv_request_next(&parsed, in, &open_door) == KV_REQUEST_COMMAND);
        CHECK(!parsed.is_inline && parsed.argc == argc && parsed.pos == taken.pos);
        for (int i = 0; i < argc; i++) CHECK(argv[i].ptr == parsed.argv[i].ptr && argv[i].len == parsed.argv[i].len);
    }
    kv_request_deinit(&taken);
    kv_request_deinit(&parsed);
    return ahead.count;
}

static unsigned compare_text(const char *text, size_t len) {
    char *copy = malloc(len + 1); /* a block of its own: the sanitizer sees a read past the end */
    CHECK(copy != NULL);
    memcpy(copy, text, len);
    unsigned count = compare(kv_slice_of(copy, len));
    copy = realloc(copy, len == 0 ? 1 : len);
    CHECK(copy != NULL && compare(kv_slice_of(copy, len)) == count);
    free(copy);
    return count;
}

static void pipelines(void) {
    static char text[8192];
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t rng = seed;
        unsigned plain, most = 0;
        size_t len = make_pipeline(text, sizeof text, &rng, &plain);
        for (size_t end = 0; end <= len; end++) {
            unsigned count = compare_text(text, end);
            CHECK(count >= most);
            most = count;
        }
        CHECK(most == (plain < KV_AHEAD ? plain : KV_AHEAD)); /* at five words each, no more than fit */
    }
}

/* How many commands of `words` words of `len` bytes each are found among 20 of them. */
static unsigned found_of(unsigned words, size_t len) {
    size_t each = 16 + words * (len + 16), used = 0;
    char *text = malloc(20 * each);
    CHECK(text != NULL);
    for (int i = 0; i < 20; i++) {
        used += (size_t)sprintf(text + used, "*%u\r\n", words);
        for (unsigned w = 0; w < words; w++) {
            used += (size_t)sprintf(text + used, "$%zu\r\n", len);
            memset(text + used, 'x', len);
            memcpy(text + used + len, "\r\n", 2);
            used += len + 2;
        }
    }
    unsigned count = compare_text(text, used);
    free(text);
    return count;
}

static void bounds(void) {
    CHECK(found_of(1, 1) == KV_AHEAD);
    CHECK(found_of(3, 1000) == KV_AHEAD);
    CHECK(found_of(6, 10) == KV_AHEAD_WORDS / 6);
    CHECK(found_of(7, 10) == KV_AHEAD_WORDS / 7);
    CHECK(found_of(KV_AHEAD_WORDS, 0) == 1);
    CHECK(found_of(KV_AHEAD_WORDS + 1, 0) == 0);
    CHECK(found_of(1, 65000) == KV_AHEAD);
    CHECK(found_of(1, 65536) == 0);
    CHECK(found_of(1, 100000) == 0);
}

static void odd_ones(void) {
    static const char *const odd[] = {"",
                                      "*",
                                      "*2",
                                      "*2\r",
                                      "*2\r\n",
                                      "*0\r\n",
                                      "*01\r\n$1\r\nx\r\n",
                                      "*1\r\n$01\r\nx\r\n",
                                      "*1\r\n$00\r\n\r\n",
                                      "*1\r\n$+1\r\nx\r\n",
                                      "*1\n$1\nx\n",
                                      "*1\r$1\r\nx\r\n",
                                      "*1\r\n$1\rx\r\n",
                                      "*1\r\n$1\r\nx\r.",
                                      "*1\r\n$1\r\nx.\n",
                                      "*1\r\n$:\r\nx\r\n",
                                      "*1\r\n$/\r\nx\r\n",
                                      "*1\r\n$1:\r\nx\r\n",
                                      "*2\r\n$",
                                      "*2\r\n$99999\r\nx",
                                      "*1\r\n$18446744073709551617\r\nx\r\n",
                                      "*99999\r\n",
                                      "*-1\r\n",
                                      "*2\r\n$-1\r\n",
                                      "*2\r\n$3\r\nGET\r\n:1\r\n",
                                      "*00002\r\n$3\r\nGET\r\n$1\r\nk\r\n"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) CHECK(compare_text(odd[i], strlen(odd[i])) == 0);
    CHECK(compare_text("*1\r\n$0\r\n\r\n", 10) == 1);
}

static void not_for_everybody(void) {
    kv_mem mem;
    kv_mem_init(&mem);
    kv_request request;
    kv_request_init(&request, &mem);
    kv_ahead ahead;
    kv_slice in = KV_LIT("*2\r\n$3\r\nGET\r\n$5\r\nabcde\r\n");
    kv_ahead_look(&ahead, &request, in, &open_door);
    CHECK(ahead.count == 1);
    kv_ahead_look(&ahead, &request, in, &(kv_request_limits){.max_bulk = 4, .authenticated = true});
    CHECK(ahead.count == 0);
    kv_ahead_look(&ahead, &request, in, &(kv_request_limits){.max_bulk = 1 << 20, .authenticated = false});
    CHECK(ahead.count == 0);
    CHECK(kv_request_next(&request, kv_slice_of(in.ptr, 15), &open_door) == KV_REQUEST_MORE); /* in the middle of a command */
    kv_ahead_look(&ahead, &request, in, &open_door);
    CHECK(ahead.count == 0);
    kv_request_deinit(&request);
}

int main(void) {
    pipelines();
    bounds();
    odd_ones();
    not_for_everybody();
    printf("ok request_ahead\n");
    return 0;
}
