/* sources: persist/aof_read.c persist/aof_line.c persist/crc32c.c persist/crc64.c persist/source.c persist/rdb_in.c ds/lzf.c base/*.c */
/* A fuzzer of the log's reader: logs of plausible records, with and without checksum lines, with bytes changed, moved, doubled and left out. Whatever it says:
 * what it took for good is inside the file, reads to its end when the rest is cut off, and gives the same groups in pieces of any size; a log with lines
 * to its end never gives a group that was not written.
 *
 * FUZZ_SECONDS (default 2) says how long, FUZZ_SEED where to begin; the seed of a log that breaks a rule is printed. */
#include <time.h>

#include "../c/logfile.h"
#include "persist/aof_read.h"

static kv_mem mem;

typedef struct outcome {
    kv_aof_status status;
    size_t groups, words;
    uint64_t good, bad;
    uint32_t sum;
} outcome;

static outcome read_log(kv_slice bytes, size_t piece) {
    memfile file = {.bytes = bytes, .piece = piece, .fail_at = -1};
    kv_vfs vfs = memfile_vfs(&file);
    kv_source source;
    kv_aof_reader r;
    outcome o = {0};
    CHECK(kv_source_open(&source, &vfs, &mem, "log") == KV_OK && kv_aof_reader_init(&r, &source) == KV_OK);
    while ((o.status = kv_aof_reader_next(&r)) == KV_AOF_BATCH) {
        CHECK(r.group_count > 0 && r.good <= bytes.len);
        for (size_t g = 0; g < r.group_count; g++)
            for (size_t i = 0; i < r.groups[g].count; i++) {
                const kv_aof_command *command = &r.commands[r.groups[g].first + i];
                for (int w = 0; w < command->argc; w++, o.words++) {
                    kv_slice word = kv_aof_argv(&r, command)[w];
                    o.sum = kv_crc32c(o.sum, word.ptr, word.len);
                }
            }
        o.groups += r.group_count;
    }
    o.good = r.good;
    o.bad = r.bad;
    CHECK(o.status != KV_AOF_FAILED && o.good <= bytes.len &&
          (o.status == KV_AOF_END || (o.bad >= o.good && o.bad <= bytes.len && r.problem != NULL)));
    kv_aof_reader_deinit(&r);
    kv_source_close(&source);
    return o;
}

/* The rules for one log. Returns what its end is. */
static kv_aof_status one_input(kv_slice log, size_t piece) {
    uint8_t *exact = malloc(log.len > 0 ? log.len : 1); /* so that the address sanitizer sees a step outside */
    CHECK(exact != NULL);
    if (log.len > 0) memcpy(exact, log.ptr, log.len);
    outcome whole = read_log(kv_slice_of(exact, log.len), 0), pieces = read_log(kv_slice_of(exact, log.len), piece),
            cut = read_log(kv_slice_of(exact, (size_t)whole.good), 0);
    CHECK(pieces.status == whole.status && pieces.good == whole.good && pieces.bad == whole.bad && pieces.sum == whole.sum &&
          pieces.words == whole.words);
    CHECK(cut.status == KV_AOF_END && cut.groups == whole.groups && cut.sum == whole.sum && cut.good == whole.good);
    free(exact);
    return whole.status;
}

#ifdef KV_LIBFUZZER /* clang -fsanitize=fuzzer,address -DKV_LIBFUZZER with the sources of the first line: the first byte is the size of a piece */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size >= 1) (void)one_input(kv_slice_of(data + 1, size - 1), 1 + (size_t)data[0]);
    return 0;
}
#else
static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state;
}
static size_t below(uint64_t *state, size_t n) { return (size_t)(random_next(state) % n); }

static void make(logmaker *log, uint64_t *r, bool lines) {
    static const char *const words[] = {"SET a b",       "SET key @40", "MULTI", "EXEC",  "select 1", "SELECT 2",  "DEL x y z w",
                                        "APPEND k @300", "DISCARD",     "PING",  "MULTI", "EXEC",     "HSET h f v"};
    size_t count = 1 + below(r, 25);
    bool open = false;
    kv_buf_clear(&log->bytes);
    log->groups = log->line_count = log->origin = log->last_line = log->synced = log->seq = 0;
    if (lines) log_line(log);
    for (size_t i = 0; i < count; i++) {
        const char *word = words[below(r, sizeof words / sizeof *words)];
        if (strcmp(word, "MULTI") == 0 ? open : !open && (strcmp(word, "EXEC") == 0 || strcmp(word, "DISCARD") == 0)) continue;
        open = strcmp(word, "MULTI") == 0 || (open && strcmp(word, "EXEC") != 0 && strcmp(word, "DISCARD") != 0);
        log_command(&log->bytes, word);
        log->seq++;
        if (lines && !open && below(r, 3) == 0) {
            log_line(log);
            if (below(r, 2) == 0) log->synced = log->bytes.len;
        }
        if (!lines && !open && below(r, 20) == 0) kv_buf_add(&log->bytes, "#TS:1700000000\r\n", 16);
    }
    if (open) log_command(&log->bytes, "EXEC");
    if (lines) log_line(log);
}

/* Returns whether anything was done. */
static bool damage(kv_buf *bytes, uint64_t *r) {
    static const char texts[][24] = {"*1\r\n",           "$-1\r\n", "$99999999\r\n", "*2147483648\r\n",
                                     "#KV:seq=1,off=0,", "\r\n",    "$0\r\n\r\n",    "#x\r\n"};
    size_t changes = below(r, 4);
    for (size_t n = changes; n > 0 && bytes->len > 0; n--) {
        size_t at = below(r, bytes->len), from = below(r, bytes->len), some = 1 + below(r, 60);
        const char *text = texts[below(r, sizeof texts / sizeof *texts)];
        switch (below(r, 7)) {
        case 0: bytes->ptr[at] = (uint8_t)random_next(r); break;
        case 1: bytes->len = at; break;
        case 2:
            if (at + some <= bytes->len && from + some <= bytes->len) memmove(bytes->ptr + at, bytes->ptr + from, some);
            break;
        case 3: bytes->ptr[at] ^= (uint8_t)(1u << below(r, 8)); break;
        case 4:
            if (at + strlen(text) <= bytes->len) memcpy(bytes->ptr + at, text, strlen(text));
            break;
        case 5:
            for (size_t i = 0; i < some * 20; i++) kv_buf_add_byte(bytes, below(r, 2) == 0 ? 0 : (uint8_t)random_next(r));
            break;
        default:
            if (at + some <= bytes->len) memset(bytes->ptr + at, 0, some);
        }
    }
    return changes > 0;
}

int main(void) {
    const char *seconds = getenv("FUZZ_SECONDS"), *first = getenv("FUZZ_SEED");
    uint64_t seed = first != NULL ? strtoull(first, NULL, 10) : 1;
    time_t end = time(NULL) + (seconds != NULL ? atoi(seconds) : 2);
    size_t runs = 0, by_status[KV_AOF_FAILED + 1] = {0};
    static logmaker log;
    kv_mem_init(&mem);
    kv_buf_init(&log.bytes, &mem);
    for (; time(NULL) < end; seed++)
        for (uint64_t i = 0; i < 50; i++, runs++) {
            uint64_t r = (seed * 50 + i) * UINT64_C(0x9e3779b97f4a7c15) | 1;
            make(&log, &r, i % 2 == 0);
            bool damaged = damage(&log.bytes, &r);
            if (getenv("FUZZ_VERBOSE") != NULL) fprintf(stderr, "FUZZ_SEED=%llu\n", (unsigned long long)seed);
            kv_aof_status status = one_input(kv_buf_slice(&log.bytes), 1 + below(&r, 200));
            CHECK(damaged || status == KV_AOF_END);
            by_status[status]++;
        }
    kv_buf_deinit(&log.bytes);
    CHECK(by_status[KV_AOF_END] > 0 && by_status[KV_AOF_TORN] > 0 && by_status[KV_AOF_CORRUPT] > 0 && atomic_load(&mem.used) == 0);
    printf("ok fuzz aof_read: %zu logs, %zu whole, %zu torn, %zu corrupt\n", runs, by_status[KV_AOF_END], by_status[KV_AOF_TORN],
           by_status[KV_AOF_CORRUPT]);
    return 0;
}
#endif
