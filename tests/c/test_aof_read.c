/* sources: persist/aof_read.c persist/aof_line.c persist/crc32c.c persist/crc64.c persist/source.c persist/rdb_in.c ds/lzf.c base/*.c */
/* The reader of logs: cut at each byte, each bit flipped, zeros and garbage behind the end, read in small pieces, and with reading or memory failing
 * at some point. The maker of the logs knows where their groups end. */
#include "base/rng.h"
#include "logfile.h"
#include "persist/aof_read.h"

static kv_mem mem;

typedef struct outcome {
    kv_aof_status status;
    kv_status error;
    size_t groups, commands;
    uint64_t good, bad;
    uint32_t sum; /* of all words given out */
    const char *problem;
    uint64_t seq;
} outcome;

static outcome read_from(kv_slice bytes, size_t from, size_t piece, int fail_read) {
    memfile file = {.bytes = bytes, .piece = piece, .fail_at = fail_read};
    kv_vfs vfs = memfile_vfs(&file);
    kv_source source;
    kv_aof_reader reader;
    outcome o = {.status = KV_AOF_FAILED, .error = KV_ENOMEM};
    if (kv_source_open(&source, &vfs, &mem, "log") != KV_OK) return o;
    if (from == 0 || kv_rdb_take(&source.in, from) != NULL) {
        if (kv_aof_reader_init(&reader, &source) == KV_OK) {
            while ((o.status = kv_aof_reader_next(&reader)) == KV_AOF_BATCH) {
                CHECK(reader.group_count > 0);
                for (size_t g = 0; g < reader.group_count; g++) {
                    const kv_aof_group *group = &reader.groups[g];
                    CHECK(group->end <= reader.good);
                    for (size_t i = 0; i < group->count; i++) {
                        const kv_aof_command *command = &reader.commands[group->first + i];
                        for (int w = 0; w < command->argc; w++) {
                            kv_slice word = kv_aof_argv(&reader, command)[w];
                            o.sum = kv_crc32c(o.sum, word.ptr, word.len);
                        }
                        o.commands++;
                    }
                    o.groups++;
                }
            }
            o.error = reader.error;
            o.good = reader.good;
            o.bad = reader.bad;
            o.problem = reader.problem;
            o.seq = reader.last_seq;
            CHECK(kv_aof_reader_next(&reader) == o.status && reader.group_count == 0);
            kv_aof_reader_deinit(&reader);
        }
    }
    kv_source_close(&source);
    return o;
}

static outcome read_all(kv_slice bytes) { return read_from(bytes, 0, 0, -1); }
static outcome read_log(const logmaker *log) { return read_all(kv_buf_slice(&log->bytes)); }

static void begin(logmaker *log) {
    memset(log, 0, sizeof *log);
    kv_buf_init(&log->bytes, &mem);
}

/* Groups of several kinds; with lines, one after some groups each, the last when all is on the disk. */
static void make(logmaker *log, int groups, bool lines) {
    begin(log);
    if (lines) log_line(log);
    for (int i = 0; i < groups; i++) {
        char text[64];
        kv_buf *out = &log->bytes;
        if (i % 5 == 4) {
            log_command(out, "MULTI");
            log_command(out, "select 3");
            log_command(out, "INCR counter");
            log_command(out, i % 10 == 9 ? "SET big @700" : "DEL nothing here");
            log_command(out, "EXEC");
        } else {
            snprintf(text, sizeof text, "SET key:%d @%d", i, i % 50);
            log_command(out, text);
        }
        log_group_ends(log);
        if (lines && i % 4 == 3) {
            log_line(log);
            log->synced = i % 8 == 3 ? log->bytes.len : log->synced;
        }
    }
    if (lines) {
        log_line(log);
        log->synced = log->bytes.len;
        log_line(log);
    }
    CHECK(!log->bytes.failed);
}

static void deinit(logmaker *log) { kv_buf_deinit(&log->bytes); }

/* How many groups end at or before `len`; with lines: are covered by one that does. */
static size_t whole_groups(const logmaker *log, size_t len, size_t *good) {
    size_t n = 0;
    *good = 0;
    if (log->line_count > 0) {
        for (size_t i = 0; i < log->line_count && log->lines[i] <= len; i++) n = log->covered[i], *good = log->lines[i];
        return n;
    }
    while (n < log->groups && log->ends[n] <= len) *good = log->ends[n++];
    return n;
}

static void whole(void) {
    static logmaker log;
    for (int lines = 0; lines < 2; lines++) {
        make(&log, 300, lines == 1);
        outcome o = read_log(&log);
        CHECK(o.status == KV_AOF_END && o.groups == 300 && o.commands == 240 + 60 * 3 && o.good == log.bytes.len);
        CHECK(o.seq == (lines == 1 ? 300 : 0));
        outcome tiny = read_from(kv_buf_slice(&log.bytes), 0, 7, -1);
        CHECK(tiny.status == KV_AOF_END && tiny.groups == 300 && tiny.sum == o.sum);
        deinit(&log);
    }
    CHECK(read_all(KV_LIT("")).status == KV_AOF_END);
    outcome o = read_all(KV_LIT("*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nPING\r\n*1\r\n$7\r\nDISCARD\r\n*1\r\n$4\r\nPING\r\n"));
    CHECK(o.status == KV_AOF_END && o.groups == 2 && o.commands == 1);
    o = read_all(KV_LIT("#TS:1700000000\r\n*1\r\n$5\r\nMULTI\r\n#TS:1\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nexec\r\n# a remark\n"));
    CHECK(o.status == KV_AOF_END && o.groups == 1 && o.commands == 1);
}

/* Many windows long, and a word that is longer than a window. */
static void long_ones(void) {
    static logmaker log;
    for (int lines = 0; lines < 2; lines++) {
        begin(&log);
        if (lines) log_line(&log);
        for (int i = 0; i < 400; i++) {
            if (i == 100) log_command(&log.bytes, "MULTI");
            if (i >= 100 && i < 140) log_command(&log.bytes, "APPEND k @65536");
            else log_command(&log.bytes, "SET x @3000");
            if (i == 139) log_command(&log.bytes, "EXEC");
            if (i < 100 || i >= 139) log_group_ends(&log);
            if (lines && (i < 100 || i >= 139) && (i % 50 == 39 || i == 99)) log_line(&log);
        }
        if (lines) log_line(&log);
        outcome o = read_log(&log), pieces = read_from(kv_buf_slice(&log.bytes), 0, 9973, -1);
        CHECK(o.status == KV_AOF_END && o.groups == 361 && o.commands == 400);
        CHECK(pieces.status == KV_AOF_END && pieces.sum == o.sum);
        log.bytes.len--;
        o = read_log(&log);
        CHECK(o.status == KV_AOF_TORN && o.groups == (lines ? 351 : 360));
        deinit(&log);
    }
    begin(&log); /* a record longer than any before */
    static uint8_t huge[3000000];
    kv_buf_printf(&log.bytes, "*2\r\n");
    log_word(&log.bytes, KV_LIT("ECHO"));
    log_word(&log.bytes, kv_slice_of(huge, sizeof huge));
    log_group_ends(&log);
    log_line(&log);
    outcome o = read_log(&log);
    CHECK(o.status == KV_AOF_END && o.groups == 1);
    deinit(&log);
}

static void cut_everywhere(void) {
    static logmaker log;
    for (int lines = 0; lines < 2; lines++) {
        make(&log, 60, lines == 1);
        for (size_t len = 0; len <= log.bytes.len; len++) {
            size_t good, groups = whole_groups(&log, len, &good);
            outcome o = read_all(kv_slice_of(log.bytes.ptr, len));
            CHECK(o.groups == groups && o.good == good);
            CHECK(o.status == (len == good ? KV_AOF_END : KV_AOF_TORN));
            outcome again = read_all(kv_slice_of(log.bytes.ptr, (size_t)o.good)); /* once it is cut off */
            CHECK(again.status == KV_AOF_END && again.groups == groups && again.sum == o.sum);
        }
        deinit(&log);
    }
}

static void flip_everywhere(void) {
    static logmaker log;
    for (int lines = 0; lines < 2; lines++) {
        make(&log, 24, lines == 1);
        outcome right = read_log(&log);
        size_t last = lines == 1 ? log.lines[log.line_count - 2] : 0; /* behind it, one line and no record */
        for (size_t at = 0; at < log.bytes.len; at++)
            for (int bit = 0; bit < 8; bit++) {
                log.bytes.ptr[at] ^= (uint8_t)(1 << bit);
                outcome o = read_log(&log);
                log.bytes.ptr[at] ^= (uint8_t)(1 << bit);
                if (lines == 0) continue; /* anything, but alive */
                if (at < last) CHECK(o.status == KV_AOF_CORRUPT);
                else CHECK(o.status == KV_AOF_TORN && o.sum == right.sum && o.good == last);
                size_t good, groups = whole_groups(&log, at, &good);
                CHECK(o.groups == groups && o.good == good);
                CHECK(o.good <= at && o.bad >= o.good && o.bad <= log.bytes.len);
            }
        deinit(&log);
    }
}

/* What a crash leaves behind the last bytes that were on the disk. */
static void bad_tails(void) {
    static logmaker log;
    kv_rng rng;
    kv_rng_seed(&rng, 3);
    for (int lines = 0; lines < 2; lines++)
        for (int i = 0; i < 400; i++) {
            make(&log, 20, lines == 1);
            size_t whole_len = log.bytes.len, cut = i % 2 == 0 ? 0 : (size_t)kv_rng_below(&rng, 40),
                   tail = 1 + (size_t)kv_rng_below(&rng, 9000);
            size_t good, groups = whole_groups(&log, whole_len - cut, &good);
            log.bytes.len -= cut;
            for (size_t n = 0; n < tail; n++) kv_buf_add_byte(&log.bytes, i % 4 < 2 ? 0 : (uint8_t)kv_rng_below(&rng, 256));
            outcome o = read_log(&log);
            CHECK(o.groups == groups && o.good == good);
            /* A log without lines may be torn in zeros only. A record that was cut may have taken them for its own, and end in them or not. */
            if (lines == 1 || i % 4 < 2) CHECK(o.status == KV_AOF_TORN);
            else CHECK(o.status == KV_AOF_TORN || o.status == KV_AOF_CORRUPT);
            deinit(&log);
        }
}

/* A page in the middle of what had not been synced is lost, while those behind it are there: torn. The same before something synced: damage. */
static void lost_pages(void) {
    static logmaker log;
    make(&log, 200, true);
    outcome right = read_log(&log);
    CHECK(right.status == KV_AOF_END);
    log.bytes.len = log.lines[log.line_count - 3];
    for (size_t synced_line = 5; synced_line < 40; synced_line += 7) {
        kv_buf copy;
        kv_buf_init(&copy, &mem);
        kv_buf_add_slice(&copy, kv_buf_slice(&log.bytes));
        size_t at = log.lines[synced_line] + 20, good, groups = whole_groups(&log, at, &good);
        memset(copy.ptr + at, 0, 512);
        outcome o = read_all(kv_buf_slice(&copy));
        CHECK(o.status == KV_AOF_CORRUPT && o.groups == groups && o.good == good);
        kv_buf_deinit(&copy);
    }
    /* Behind the last but one line nothing vouches for what is before. */
    size_t at = log.lines[log.line_count - 4] + 5;
    memset(log.bytes.ptr + at, 0, 64);
    outcome o = read_log(&log);
    CHECK(o.status == KV_AOF_TORN && o.good == log.lines[log.line_count - 4]);
    deinit(&log);
}

/* Two sections, of which the second was moved; a foreign server writes on behind our lines; damage that only the foreign part has. */
static void sections(void) {
    static logmaker log, second;
    make(&log, 30, true);
    make(&second, 30, true);
    kv_buf_add_slice(&log.bytes, kv_buf_slice(&second.bytes));
    outcome o = read_log(&log);
    CHECK(o.status == KV_AOF_END && o.groups == 60 && o.good == log.bytes.len);
    log.bytes.ptr[log.ends[3] + 3] ^= 1;
    CHECK(read_log(&log).status == KV_AOF_CORRUPT);
    log.bytes.ptr[log.ends[3] + 3] ^= 1;
    size_t before = log.bytes.len;
    log_command(&log.bytes, "SELECT 0");
    log_command(&log.bytes, "SET a b");
    size_t end = log.bytes.len;
    o = read_log(&log);
    CHECK(o.status == KV_AOF_END && o.groups == 62);
    log_command(&log.bytes, "SET a b");
    log.bytes.len -= 4;
    o = read_log(&log);
    CHECK(o.status == KV_AOF_TORN && o.groups == 62 && o.good == end);
    log.bytes.len = before;
    log_command(&log.bytes, "SET a b"); /* of ours, and its line is missing */
    o = read_log(&log);
    CHECK(o.status == KV_AOF_TORN && o.groups == 60 && o.good == before);
    log.bytes.len = log.ends[29]; /* a section that was not closed, then another */
    kv_buf_add_slice(&log.bytes, kv_buf_slice(&second.bytes));
    CHECK(read_log(&log).status == KV_AOF_CORRUPT);
    /* Behind something else, as in a single file. */
    kv_buf_clear(&log.bytes);
    kv_buf_add(&log.bytes, "REDIS0011........", 17);
    kv_buf_add_slice(&log.bytes, kv_buf_slice(&second.bytes));
    o = read_from(kv_buf_slice(&log.bytes), 17, 0, -1);
    CHECK(o.status == KV_AOF_END && o.groups == 30);
    deinit(&log);
    deinit(&second);
}

static void wrong_texts(void) {
    static const char *const corrupt[] = {
        "*0\r\n",
        "*-1\r\n",
        "*01\r\n$1\r\na\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$+1\r\na\r\n",
        "*1\r\n$01\r\na\r\n",
        "*1\r\n:1\r\n",
        "*1\n$1\na\n",
        "*1\r\n$1\r\naXY*1\r\n",
        "*\r\n$1\r\na\r\n",
        "PING\r\n",
        "*9999999999\r\n$1\r\na\r\n",
        "*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\n",
        "#KV:seq=1,off=0,sync=0,crc32c=00000000\r\n*1\r\n$1\r\na\r\n#KV:seq=2,off=90,sync=80,crc32c=00000000\r\n"};
    for (size_t i = 0; i < sizeof corrupt / sizeof *corrupt; i++) {
        outcome o = read_all(kv_slice_cstr(corrupt[i]));
        CHECK(o.status == KV_AOF_CORRUPT && o.groups == 0 && o.good == 0 && o.problem != NULL);
    }
    static const char *const torn[] = {"*",
                                       "*1",
                                       "*1\r",
                                       "*1\r\n",
                                       "*1\r\n$",
                                       "*1\r\n$4\r\nPI",
                                       "*1\r\n$99999999999999999\r\nx",
                                       "*2000000\r\n$1\r\n",
                                       "#",
                                       "#KV:seq=1,off=0"};
    for (size_t i = 0; i < sizeof torn / sizeof *torn; i++) CHECK(read_all(kv_slice_cstr(torn[i])).status == KV_AOF_TORN);
}

static void failures(void) {
    static logmaker log;
    for (int lines = 0; lines < 2; lines++) {
        make(&log, 3000, lines == 1);
        size_t n = 0;
        for (;; n++) { /* a read that fails is never an end */
            outcome o = read_from(kv_buf_slice(&log.bytes), 0, 4096, (int)n);
            if (o.status == KV_AOF_END) break;
            CHECK(o.status == KV_AOF_FAILED && o.error == KV_EIO && o.groups < 3000 && n < 1000);
        }
        CHECK(n > 10);
        for (int forever = 0; forever < 2; forever++)
            for (int64_t k = 0;; k++) {
                atomic_store(&mem.fail_forever, forever == 1);
                atomic_store(&mem.fail_after, k);
                outcome o = read_log(&log);
                atomic_store(&mem.fail_after, -1);
                if (o.status == KV_AOF_END) break;
                CHECK(o.status == KV_AOF_FAILED && o.error == KV_ENOMEM && k < 1000);
            }
        deinit(&log);
    }
}

static void line_texts(void) {
    char text[KV_AOF_LINE_MAX];
    kv_aof_line line = {.seq = UINT64_MAX, .off = UINT64_MAX, .sync = UINT64_MAX}, back;
    size_t summed, len = kv_aof_line_format(text, &line, 5);
    CHECK(len <= KV_AOF_LINE_MAX && memcmp(text + len - 2, "\r\n", 2) == 0);
    CHECK(kv_aof_line_parse(kv_slice_of(text, len - 2), &back, &summed));
    CHECK(back.seq == line.seq && back.off == line.off && back.sync == line.sync && back.crc == kv_crc32c(5, text, summed));
    CHECK(kv_aof_line_resembles(kv_slice_of(text, len - 2)));
    CHECK(!kv_aof_line_parse(kv_slice_of(text, len - 3), &back, &summed) && !kv_aof_line_parse(kv_slice_of(text, len - 1), &back, &summed));
    CHECK(!kv_aof_line_parse(KV_LIT("#KV:seq=1,off=1,sync=2,crc32c=00000000"), &back, &summed));
    CHECK(!kv_aof_line_parse(KV_LIT("#KV:seq=01,off=1,sync=1,crc32c=00000000"), &back, &summed));
    CHECK(!kv_aof_line_parse(KV_LIT("#KV:seq=1,off=1,sync=1,crc32c=0000000A"), &back, &summed));
    CHECK(!kv_aof_line_resembles(KV_LIT("#TS:1700000000")) && !kv_aof_line_resembles(KV_LIT("#")));
}

int main(void) {
    kv_mem_init(&mem);
    line_texts();
    whole();
    long_ones();
    wrong_texts();
    cut_everywhere();
    bad_tails();
    lost_pages();
    sections();
    failures();
    flip_everywhere();
    CHECK(atomic_load(&mem.used) == 0);
    puts("ok aof_read");
    return 0;
}
