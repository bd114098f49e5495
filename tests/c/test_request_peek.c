/* sources: net/request.c base/words.c base/buf.c base/mem.c base/pages.c base/num.c base/sync.c base/slice.c base/status.c */
/* Looking ahead in a pipeline: what kv_request_peek says are the keys of the coming commands is what kv_request_next finds, for every place where
 * the input may end, and it never changes the parser. */
#include "net/request.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

static uint64_t random_next(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* A pipeline of commands of one to five words; now and then something that a look ahead must stop at. */
static size_t make_pipeline(char *out, size_t cap, uint64_t *rng) {
    size_t len = 0;
    for (unsigned i = 0; i < 12; i++) {
        unsigned words = 1 + (unsigned)(random_next(rng) % 5);
        if (random_next(rng) % 16 == 0) {
            len += (size_t)snprintf(out + len, cap - len, "PING\r\n");
            continue;
        }
        len += (size_t)snprintf(out + len, cap - len, "*%u\r\n", words);
        for (unsigned w = 0; w < words; w++) {
            char word[16];
            int n = snprintf(word, sizeof word, "%.*s", (int)(random_next(rng) % 9), "abcdefgh");
            len += (size_t)snprintf(out + len, cap - len, "$%d\r\n%s\r\n", n, word);
        }
    }
    return len;
}

static void compare(kv_slice in) {
    static const kv_request_limits limits = {.max_bulk = 1 << 20, .authenticated = true};
    kv_mem mem;
    kv_mem_init(&mem);
    kv_request request;
    kv_request_init(&request, &mem);
    kv_slice keys[16];
    size_t count = kv_request_peek(&request, in, keys, 16);
    CHECK(request.pos == 0 && request.words_left == 0 && request.argc == 0);
    for (size_t i = 0; i < count; i++) {
        CHECK(kv_request_next(&request, in, &limits) == KV_REQUEST_COMMAND);
        CHECK(!request.is_inline && request.argc >= 2);
        CHECK(keys[i].ptr == request.argv[1].ptr && keys[i].len == request.argv[1].len);
    }
    kv_request_deinit(&request);
}

int main(void) {
    char text[4096];
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t rng = seed;
        size_t len = make_pipeline(text, sizeof text, &rng);
        for (size_t end = 0; end <= len; end++) {
            char *copy = malloc(end + 1); /* a block of its own: the sanitizer sees a read past the end */
            CHECK(copy != NULL);
            memcpy(copy, text, end);
            compare(kv_slice_of(copy, end));
            free(copy);
        }
    }
    static const char *const odd[] = {"",
                                      "*",
                                      "*2",
                                      "*2\r",
                                      "*2\r\n",
                                      "*2\r\n$",
                                      "*2\r\n$99999\r\nx",
                                      "*99999\r\n",
                                      "*-1\r\n",
                                      "*2\r\n$-1\r\n",
                                      "*2\r\n$3\r\nGET\r\n:1\r\n",
                                      "*00002\r\n$3\r\nGET\r\n$1\r\nk\r\n"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        kv_mem mem;
        kv_mem_init(&mem);
        kv_request request;
        kv_request_init(&request, &mem);
        kv_slice keys[4];
        CHECK(kv_request_peek(&request, kv_slice_cstr(odd[i]), keys, 4) <= 1);
        kv_request_deinit(&request);
    }
    printf("ok request_peek\n");
    return 0;
}
