/* sources: base/mem.c base/pages.c base/buf.c base/slice.c base/num.c base/words.c base/sync.c base/status.c base/siphash.c net/request.c net/ahead.c */
/* The request parser against a naive one that sees all bytes at once and keeps no state. Every way to cut a script in two, byte by byte, random streams in
 * random pieces, a step back before every command (as CLIENT PAUSE does), with and without a look ahead, the limits, and the memory that announced lengths
 * must not take. */
#include "net/ahead.h"
#include "net/request.h"

#include <string.h>

#include "check.h"

enum { STREAM_MAX = 4000, TEXT_MAX = 40000 };

static const kv_request_limits open_door = {.max_bulk = 512 * 1024 * 1024, .authenticated = true};
static const kv_request_limits stranger = {.max_bulk = 512 * 1024 * 1024, .authenticated = false};

/* All that a stream amounts to, as text: "3:SET1:k1:v." a command, then how it ended. */
typedef struct result {
    char text[TEXT_MAX];
    size_t len;
} result;

static void say(result *r, const void *bytes, size_t len) {
    CHECK(r->len + len < TEXT_MAX);
    if (len > 0) memcpy(r->text + r->len, bytes, len);
    r->len += len;
    r->text[r->len] = 0;
}

static void say_word(result *r, const void *bytes, size_t len) {
    char head[24];
    say(r, head, (size_t)snprintf(head, sizeof head, "%zu:", len));
    say(r, bytes, len);
}

/* ---- the naive parser ---- */

/* Strict decimal: no sign but '-', no leading zero, at most 18 digits (more is too much for every limit). */
static bool naive_number(const char *text, size_t len, long long *out) {
    char copy[24];
    if (len == 0 || len > 19) return false;
    memcpy(copy, text, len);
    copy[len] = 0;
    size_t sign = copy[0] == '-', digits = strspn(copy + sign, "0123456789");
    if (digits == 0 || sign + digits != len || (copy[sign] == '0' && (digits > 1 || sign == 1))) return false;
    *out = atoll(copy);
    return true;
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
static bool is_blank(char c) { return c != 0 && strchr(" \t\n\r\v\f", c) != NULL; }

/* An inline line, its words said to `r`. -1: unbalanced quotes. Else their number. */
static int naive_words(const char *line, size_t len, result *r) {
    int count = 0;
    size_t i = 0;
    while (true) {
        while (i < len && is_blank(line[i])) i++;
        if (i == len) return count;
        char word[STREAM_MAX], quote = 0;
        size_t n = 0;
        for (; i < len; i++) {
            char c = line[i];
            if (quote == 0 && is_blank(c)) break;
            if (quote == 0 && (c == '"' || c == '\'')) {
                quote = c;
            } else if (quote == 0) {
                word[n++] = c;
            } else if (quote == '"' && c == '\\' && i + 3 < len && line[i + 1] == 'x' && hex(line[i + 2]) >= 0 && hex(line[i + 3]) >= 0) {
                word[n++] = (char)(hex(line[i + 2]) * 16 + hex(line[i + 3]));
                i += 3;
            } else if (quote == '"' && c == '\\' && i + 1 < len) {
                char e = line[++i];
                word[n++] = e == 'n' ? '\n' : e == 'r' ? '\r' : e == 't' ? '\t' : e == 'b' ? '\b' : e == 'a' ? '\a' : e;
            } else if (quote == '\'' && c == '\\' && i + 1 < len && line[i + 1] == '\'') {
                word[n++] = '\'';
                i++;
            } else if (c == quote) {
                quote = 0; /* what touches it is of the same word */
            } else {
                word[n++] = c;
            }
        }
        if (quote != 0) return -1;
        say_word(r, word, n);
        count++;
    }
}

static void naive(const char *s, size_t n, const kv_request_limits *limits, result *r) {
    r->len = 0;
    size_t at = 0;
    while (at < n) {
        size_t before = r->len;
        if (s[at] != '*') {
            const char *end = memchr(s + at, '\n', n - at);
            if (end == NULL || memchr(s + at, 0, (size_t)(end - s) - at) != NULL) break;
            size_t len = (size_t)(end - s) - at, line = len;
            if (line > 0 && s[at + line - 1] == '\r') line--;
            int count = naive_words(s + at, line, r);
            if (count < 0) {
                r->len = before;
                say(r, "unbalanced quotes in request", 28);
                return;
            }
            at += len + 1;
            if (count > 0) say(r, ".", 1);
            continue;
        }
        long long words = -1, len;
        const char *why = NULL;
        size_t i = at;
        for (long long w = -1; why == NULL && (w < 0 || w < words); w++) {
            const char *cr = memchr(s + i, '\r', n - i);
            if (cr == NULL || cr + 1 == s + n) goto incomplete;
            size_t line = (size_t)(cr - s) - i;
            bool ends = cr[1] == '\n';
            if (w < 0) {
                if (!ends) why = "invalid CRLF in request";
                else if (!naive_number(s + i + 1, line - 1, &words) || words > 2147483647) why = "invalid multibulk length";
                else if (words > 10 && !limits->authenticated) why = "unauthenticated multibulk length";
                i += line + 2;
                continue;
            }
            static char expected[40];
            snprintf(expected, sizeof expected, "expected '$', got '%c'", s[i] == 0 ? ' ' : s[i]);
            if (line == 0 || s[i] != '$') why = expected;
            else if (!ends) why = "invalid CRLF in request";
            else if (!naive_number(s + i + 1, line - 1, &len) || len < 0 || len > limits->max_bulk) why = "invalid bulk length";
            else if (len > 16384 && !limits->authenticated) why = "unauthenticated bulk length";
            if (why != NULL) break;
            i += line + 2;
            if (n - i < (size_t)len + 2) goto incomplete;
            if (memcmp(s + i + len, "\r\n", 2) != 0) why = "invalid CRLF in request";
            say_word(r, s + i, (size_t)len);
            i += (size_t)len + 2;
        }
        if (why != NULL) {
            r->len = before;
            say(r, why, strlen(why));
            return;
        }
        at = i;
        if (words > 0) say(r, ".", 1);
        continue;
    incomplete:
        r->len = before;
        break;
    }
    say(r, "more", 4);
}

/* ---- the parser under test, fed in pieces ---- */

typedef struct feeder {
    kv_mem mem;
    kv_request request;
    char *data; /* a block of exactly its bytes, so that the address sanitizer sees a read behind them */
    size_t len;
    const kv_request_limits *limits;
    bool over;
    bool steps_back;  /* every command is taken back once before it counts */
    bool looks_ahead; /* takes what can be had from a kv_ahead */
} feeder;

static void feeder_open(feeder *f, const kv_request_limits *limits) {
    *f = (feeder){.limits = limits};
    kv_mem_init(&f->mem);
    kv_request_init(&f->request, &f->mem);
}

static void feeder_close(feeder *f) {
    kv_request_deinit(&f->request);
    free(f->data);
    CHECK(atomic_load(&f->mem.used) == 0);
}

static void feed(feeder *f, const char *bytes, size_t len, result *r) {
    if (f->over) return;
    size_t drop = kv_request_needed_from(&f->request);
    CHECK(drop <= f->len);
    char *next = malloc(f->len - drop + len + (f->len - drop + len == 0));
    CHECK(next != NULL);
    if (f->len > drop) memcpy(next, f->data + drop, f->len - drop);
    if (len > 0) memcpy(next + f->len - drop, bytes, len);
    free(f->data);
    f->data = next;
    f->len += len - drop;
    kv_request_dropped(&f->request, drop);
    kv_ahead ahead = {0};
    for (bool taken_back = false;;) {
        kv_request_place place = kv_request_here(&f->request);
        kv_slice in = kv_slice_of(f->data, f->len);
        const kv_slice *argv;
        if (f->looks_ahead && kv_ahead_is_empty(&ahead)) kv_ahead_look(&ahead, &f->request, in, f->limits);
        bool taken = !kv_ahead_is_empty(&ahead);
        int argc = taken ? kv_ahead_take(&ahead, &f->request, &argv) : 0;
        kv_request_status status = taken ? KV_REQUEST_COMMAND : kv_request_next(&f->request, in, f->limits);
        if (!taken) {
            argc = f->request.argc;
            argv = f->request.argv;
        }
        CHECK(status != KV_REQUEST_NO_MEMORY);
        if (status == KV_REQUEST_MORE) return;
        if (status == KV_REQUEST_ERROR) {
            CHECK(strncmp(f->request.error, "ERR Protocol error: ", 20) == 0);
            say(r, f->request.error + 20, strlen(f->request.error) - 20);
            f->over = true;
            return;
        }
        if (f->steps_back && !taken_back) {
            kv_request_back(&f->request, place);
            kv_ahead_drop(&ahead);
            taken_back = true;
            continue;
        }
        taken_back = false;
        CHECK(argc > 0);
        for (int i = 0; i < argc; i++) say_word(r, argv[i].ptr, argv[i].len);
        say(r, ".", 1);
        kv_request_trim(&f->request);
    }
}

static void finish(feeder *f, result *r) {
    if (!f->over) say(r, "more", 4);
    feeder_close(f);
}

static void same(const result *wanted, const result *got, const char *how, size_t where) {
    if (wanted->len == got->len && memcmp(wanted->text, got->text, got->len) == 0) return;
    fprintf(stderr, "%s %zu:\nwanted %s\ngot    %s\n", how, where, wanted->text, got->text);
    exit(1);
}

/* ---- the tests ---- */

static const char *const scripts[] = {
    "*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\nGET 'a b' "
    "\"c\\x41\\n\"\r\n\r\n*0\r\n*-1\r\n*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\nlast word\n*2\r\n$1\r\na\r\n$3\r\nb",
    "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n*1\r\n:4\r\n",
    "SET k \"unbalanced\r\nPING\r\n",
    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nvPING\r\n",
    "*1\r\n$-1\r\nPING\r\n",
    "*12\r\n$1\r\na\r\n",
};

static void every_cut(void) {
    static result wanted, got;
    for (size_t s = 0; s < sizeof scripts / sizeof *scripts; s++) {
        size_t n = strlen(scripts[s]);
        for (int who = 0; who < 8; who++) {
            const kv_request_limits *limits = who % 2 ? &stranger : &open_door;
            naive(scripts[s], n, limits, &wanted);
            for (size_t a = 0; a <= n; a++)
                for (size_t b = a; b <= n; b++) {
                    feeder f;
                    feeder_open(&f, limits);
                    f.steps_back = who / 2 % 2;
                    f.looks_ahead = who >= 4;
                    got.len = 0;
                    feed(&f, scripts[s], a, &got);
                    feed(&f, scripts[s] + a, b - a, &got);
                    feed(&f, scripts[s] + b, n - b, &got);
                    finish(&f, &got);
                    same(&wanted, &got, "cut at", a * 10000 + b);
                }
            feeder f;
            feeder_open(&f, limits);
            f.steps_back = who / 2 % 2;
            f.looks_ahead = who >= 4;
            got.len = 0;
            for (size_t i = 0; i < n; i++) feed(&f, scripts[s] + i, 1, &got);
            finish(&f, &got);
            same(&wanted, &got, "byte by byte, script", s);
        }
    }
}

static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state;
}
static size_t below(uint64_t *state, size_t n) { return (size_t)(random_next(state) % n); }

static size_t make_stream(char *out, uint64_t *rng) {
    static const char *const pieces[] = {
        "*1\r\n",         "*2\r\n", "*3\r\n", "$1\r\nx\r\n", "$2\r\nab\r\n", "$3\r\nGET\r\n", "$0\r\n\r\n", "PING\r\n",
        "GET k\n",        "\r\n",   "*0\r\n", "'",           "\"",           "\\x4",          " ",          "$-1\r\n",
        "*-1\r\n",        "$",      "*",      "\r",          "\n",           "$16385\r\n",    "*11\r\n",    "*2147483648\r\n",
        "$536870913\r\n", "a"};
    size_t n = 0;
    for (size_t i = 1 + below(rng, 30); i > 0; i--) {
        const char *piece = pieces[below(rng, below(rng, 3) == 0 ? sizeof pieces / sizeof *pieces : 12)];
        memcpy(out + n, piece, strlen(piece));
        n += strlen(piece);
    }
    for (size_t i = below(rng, 3); i > 0; i--) out[below(rng, n)] = (char)random_next(rng);
    return n;
}

static void random_streams(void) {
    static result wanted, got;
    static char stream[STREAM_MAX];
    for (uint64_t seed = 1; seed <= 30000; seed++) {
        uint64_t rng = seed * UINT64_C(0x9E3779B97F4A7C15);
        size_t n = make_stream(stream, &rng);
        const kv_request_limits *limits = below(&rng, 2) ? &open_door : &stranger;
        naive(stream, n, limits, &wanted);
        feeder f;
        feeder_open(&f, limits);
        f.steps_back = below(&rng, 2) == 0;
        f.looks_ahead = below(&rng, 2) == 0;
        got.len = 0;
        for (size_t at = 0, more; at < n; at += more) {
            more = 1 + below(&rng, 1 + below(&rng, 40));
            if (more > n - at) more = n - at;
            feed(&f, stream + at, more, &got);
        }
        finish(&f, &got);
        same(&wanted, &got, "seed", seed);
    }
}

/* A length that was only announced takes no memory; what has arrived takes memory in proportion; what is over is given back. */
static void memory_follows_bytes(void) {
    static result got;
    feeder f;
    feeder_open(&f, &open_door);
    const char *announced = "*2147483647\r\n$536870912\r\nabc";
    feed(&f, announced, strlen(announced), &got);
    CHECK(!f.over && atomic_load(&f.mem.used) < 1000);
    feeder_close(&f);

    enum { WORDS = 100000 };
    kv_mem mem;
    kv_mem_init(&mem);
    kv_request request;
    kv_request_init(&request, &mem);
    size_t n = 0;
    char *many = malloc(WORDS * 7 + 20);
    CHECK(many != NULL);
    n += (size_t)sprintf(many, "*%d\r\n", WORDS);
    for (int i = 0; i < WORDS; i++) n += (size_t)sprintf(many + n, "$1\r\nx\r\n");
    CHECK(kv_request_next(&request, kv_slice_of(many, n / 2), &open_door) == KV_REQUEST_MORE);
    CHECK(atomic_load(&mem.used) < 16 * n);
    CHECK(kv_request_next(&request, kv_slice_of(many, n), &open_door) == KV_REQUEST_COMMAND && request.argc == WORDS);
    kv_request_dropped(&request, n);
    kv_request_trim(&request);
    CHECK(atomic_load(&mem.used) < 1000);
    kv_request_deinit(&request);
    free(many);
}

static void what_is_missing(void) {
    static const struct {
        const char *text;
        size_t missing;
    } cases[] = {{"", 0},
                 {"PING", 0},
                 {"*2\r\n", 0},
                 {"*2\r\n$3", 0},
                 {"*2\r\n$3\r\n", 5},
                 {"*1\r\n$3\r\nab", 3},
                 {"*1\r\n$3\r\nabc\r", 1},
                 {"*1\r\n$3\r\nabc\r\n", 0},
                 {"*2\r\n$3\r\nabc\r\n", 0}};
    kv_mem mem;
    kv_mem_init(&mem);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kv_request request;
        kv_request_init(&request, &mem);
        (void)kv_request_next(&request, kv_slice_cstr(cases[i].text), &open_door);
        CHECK(kv_request_missing(&request, strlen(cases[i].text)) == cases[i].missing);
        kv_request_deinit(&request);
    }
}

static void long_lines(void) {
    enum { LONG = 70000 };
    static const struct {
        char first;
        const char *error;
    } lines[] = {{'P', "too big inline request"},
                 {'*', "too big mbulk count string"},
                 {'$', "too big bulk count string"},
                 {0, "too big inline request"}};
    char *line = malloc(LONG);
    CHECK(line != NULL);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        kv_mem mem;
        kv_mem_init(&mem);
        kv_request request;
        kv_request_init(&request, &mem);
        memset(line, '1', LONG);
        size_t head = lines[i].first == '$' ? (size_t)sprintf(line, "*1\r\n") : 0;
        line[head] = lines[i].first;
        CHECK(kv_request_next(&request, kv_slice_of(line, 65536), &open_door) == KV_REQUEST_MORE);
        CHECK(kv_request_next(&request, kv_slice_of(line, LONG), &open_door) == KV_REQUEST_ERROR);
        CHECK(strstr(request.error, lines[i].error) != NULL);
        kv_request_deinit(&request);
    }
    free(line);
}

#ifdef KV_FAULTS
static void out_of_memory(void) {
    const char *text = "*9\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n$1\r\nh\r\n$1\r\ni\r\nGET 'a b "
                       "c' d e f g h i j k\r\n";
    for (int k = 0; k < 12; k++) {
        kv_mem mem;
        kv_mem_init(&mem);
        kv_request request;
        kv_request_init(&request, &mem);
        atomic_store(&mem.fail_after, k);
        kv_request_status status = KV_REQUEST_COMMAND;
        while (status == KV_REQUEST_COMMAND) status = kv_request_next(&request, kv_slice_of(text, strlen(text)), &open_door);
        CHECK(status == (atomic_load(&mem.fail_after) < 0 ? KV_REQUEST_NO_MEMORY : KV_REQUEST_MORE));
        kv_request_deinit(&request);
        CHECK(atomic_load(&mem.used) == 0);
    }
}
#else
static void out_of_memory(void) {}
#endif

int main(void) {
    every_cut();
    random_streams();
    memory_follows_bytes();
    what_is_missing();
    long_lines();
    out_of_memory();
    printf("ok request\n");
    return 0;
}
