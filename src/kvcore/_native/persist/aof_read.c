/* One pass: records are parsed where they lie in the source's window, their words are slices of it.
 *
 *     file   ...|#KV:..| group | group | group |#KV:..| group | ...
 *               good   ^ in.at                 ^ at
 *
 * The window never moves past in.at, where the batch begins; when it moves or grows, the words found so far move with it (need). A batch ends at the
 * checksum line that covers it. Without lines (a log of another program, or what another program has added to ours, which it begins with SELECT:
 * it cannot know what we had selected; our own is written "select") it ends after some ten kilobytes.
 *
 * When something is wrong, it is what a crash tore if no later line says that the bytes behind `good` had been on the disk before: they are searched
 * for such a line to their end. A log without lines is torn where it ends in the middle of a record, or in nothing but zeros. */
#include "persist/aof_read.h"

#include <limits.h>

#include "persist/aof_line.h"
#include "persist/crc32c.h"

enum {
    HEAD_MAX = 24,      /* "$18446744073709551615\r\n" */
    WORD_LEAST = 5,     /* "$0\r\n" and its own CR LF, of which a torn one may lack a byte */
    COMMENT_MAX = 1023, /* what loaders take */
    PLAIN_BATCH = 64 * 1024,
    COVERED_BATCH = 1024 * 1024, /* without the last group: the writer's are a quarter of it, or one group */
    SEARCH_STEP = 64 * 1024
};

typedef enum step { GOOD, SHORT, BAD, FAILED, LINE } step;

struct kv_aof_batch {
    kv_slice *words;
    kv_aof_command *commands;
    kv_aof_group *groups;
    size_t word_count, word_cap, command_count, command_cap, group_count, group_cap;
};

static inline uint64_t place(const kv_aof_reader *r, const uint8_t *at) { return r->source->from + (uint64_t)(at - r->source->window); }
static inline uint64_t left(const kv_aof_reader *r) { return (uint64_t)(r->source->in.end - r->at) + r->source->in.beyond; }

static step bad(kv_aof_reader *r, const uint8_t *at, const char *problem) {
    r->bad = place(r, at);
    r->problem = problem;
    return BAD;
}

static step short_of(kv_aof_reader *r, const char *problem) {
    r->bad = r->source->size;
    r->problem = problem;
    return SHORT;
}

static step no_memory(kv_aof_reader *r) {
    r->error = KV_ENOMEM;
    r->problem = "out of memory";
    return FAILED;
}

/* ---- the window ---- */

/* All that points into the window follows it. Addresses are compared as numbers: the old ones may be gone. */
static void follow(kv_aof_reader *r, uintptr_t from) {
    uintptr_t to = (uintptr_t)r->source->in.at;
    if (to == from) return;
    r->at = (const uint8_t *)((uintptr_t)r->at - from + to);
    r->summed = (const uint8_t *)((uintptr_t)r->summed - from + to);
    kv_slice *words = r->batch->words;
    for (size_t i = 0; i < r->batch->word_count; i++) words[i].ptr = (const uint8_t *)((uintptr_t)words[i].ptr - from + to);
}

static step more(kv_aof_reader *r, uint64_t n) {
    kv_rdb_in *in = &r->source->in;
    uint64_t passed = (uint64_t)(r->at - in->at);
    if (left(r) < n) return short_of(r, "it ends in the middle of a record");
    uintptr_t from = (uintptr_t)in->at;
    in->summed = in->at; /* the sum of RDB files is not wanted */
    bool good = in->more(in, (size_t)(passed + n));
    follow(r, from);
    if (good) return GOOD;
    r->error = in->status;
    r->problem = in->problem;
    return FAILED;
}

/* Has n bytes from `at` on in the window. */
static inline step need(kv_aof_reader *r, uint64_t n) { return (uint64_t)(r->source->in.end - r->at) >= n ? GOOD : more(r, n); }

static inline uint64_t at_most(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* What was parsed is not needed any more. */
static void let_go(kv_aof_reader *r) {
    r->crc = kv_crc32c(r->crc, r->summed, (size_t)(r->at - r->summed));
    r->summed = r->at;
    r->source->in.at = r->source->in.summed = r->at;
    r->batch->word_count = r->batch->command_count = r->batch->group_count = 0;
}

/* ---- room ---- */

/* More of an array: NULL when there is no memory, then it is as it was. */
static void *grown(kv_mem *mem, void *items, size_t *cap, size_t size) {
    size_t wanted = *cap == 0 ? 256 : *cap * 2, bytes;
    if (__builtin_mul_overflow(wanted, size, &bytes)) return NULL;
    void *fresh = kv_realloc(mem, items, bytes);
    if (fresh != NULL) *cap = wanted;
    return fresh;
}

#define ROOM(r, items, count, cap)                                                         \
    do {                                                                                   \
        struct kv_aof_batch *b_ = (r)->batch;                                              \
        if (b_->count < b_->cap) break;                                                    \
        void *fresh_ = grown((r)->source->in.mem, b_->items, &b_->cap, sizeof *b_->items); \
        if (fresh_ == NULL) return no_memory(r);                                           \
        b_->items = fresh_;                                                                \
    } while (0)

static inline step add_word(kv_aof_reader *r, const uint8_t *at, size_t len) {
    ROOM(r, words, word_count, word_cap);
    r->batch->words[r->batch->word_count++] = kv_slice_of(at, len);
    return GOOD;
}

static inline step add_command(kv_aof_reader *r, kv_aof_command command) {
    ROOM(r, commands, command_count, command_cap);
    r->batch->commands[r->batch->command_count++] = command;
    return GOOD;
}

static inline step add_group(kv_aof_reader *r, kv_aof_group group) {
    ROOM(r, groups, group_count, group_cap);
    r->batch->groups[r->batch->group_count++] = group;
    return GOOD;
}

/* ---- records ---- */

/* "<type><number>\r\n" without a sign, without zeros in front. */
static inline step head(kv_aof_reader *r, uint8_t type, uint64_t *out) {
    const uint8_t *end = r->source->in.end;
    if (end - r->at < HEAD_MAX) {
        step s = need(r, at_most(left(r), HEAD_MAX));
        if (s != GOOD) return s;
        end = r->source->in.end;
    }
    const uint8_t *p = r->at;
    if (p == end) return short_of(r, "it ends in the middle of a record");
    if (*p != type) return bad(r, p, type == '*' ? "a record does not begin with '*'" : "a word does not begin with '$'");
    uint64_t value = 0;
    const uint8_t *first = ++p;
    for (; p < end && *p >= '0' && *p <= '9' && p - first < 18; p++) value = value * 10 + (uint64_t)(*p - '0');
    if (p == end) return short_of(r, "it ends in the middle of a record");
    if (p == first || (*first == '0' && p - first > 1)) return bad(r, p, "a length is not a number");
    if (*p != '\r') return bad(r, p, "a length is not a number");
    if (++p == end) return short_of(r, "it ends in the middle of a record");
    if (*p != '\n') return bad(r, p, "a line end is missing");
    r->at = p + 1;
    *out = value;
    return GOOD;
}

static inline step word(kv_aof_reader *r) {
    uint64_t len;
    step s = head(r, '$', &len);
    if (s != GOOD) return s;
    if (len > left(r)) return short_of(r, "it ends in the middle of a word");
    s = need(r, len + 2);
    if (s != GOOD) return s;
    const uint8_t *end = r->at + len;
    if (end[0] != '\r') return bad(r, end, "a word does not end where it should");
    if (end[1] != '\n') return bad(r, end + 1, "a word does not end where it should");
    s = add_word(r, r->at, (size_t)len);
    r->at = end + 2;
    return s;
}

static step record(kv_aof_reader *r, kv_aof_command *out) {
    uint64_t words;
    const uint8_t *begin = r->at;
    size_t offset = (size_t)(begin - r->source->in.at);
    step s = head(r, '*', &words);
    if (s != GOOD) return s;
    if (words == 0 || words > INT_MAX) return bad(r, r->source->in.at + offset, "a record with no words, or too many");
    if (words > left(r) / WORD_LEAST + 1) return short_of(r, "it ends in the middle of a record");
    *out = (kv_aof_command){r->batch->word_count, (int)words};
    for (uint64_t i = 0; i < words && s == GOOD; i++) s = word(r);
    return s;
}

static bool is_alone(const kv_aof_reader *r, const kv_aof_command *command, const char *name) {
    return command->argc == 1 && kv_slice_is(r->batch->words[command->first], name);
}

static step comment(kv_aof_reader *r);

/* What stands between MULTI and EXEC. */
static step transaction(kv_aof_reader *r) {
    size_t first = r->batch->command_count;
    for (;;) {
        kv_aof_command command;
        step s = need(r, 1);
        if (s == GOOD && *r->at == '#') {
            s = comment(r);
            if (s == LINE) return bad(r, r->at, "a checksum line inside of MULTI");
            if (s == GOOD) continue;
        }
        if (s == GOOD) s = record(r, &command);
        if (s != GOOD) return s;
        if (is_alone(r, &command, "EXEC")) return GOOD;
        if (is_alone(r, &command, "DISCARD")) {
            r->batch->command_count = first;
            return GOOD;
        }
        if (is_alone(r, &command, "MULTI")) return bad(r, r->at, "MULTI inside of MULTI");
        s = add_command(r, command);
        if (s != GOOD) return s;
    }
}

static step group(kv_aof_reader *r) {
    kv_aof_command command;
    struct kv_aof_batch *b = r->batch;
    kv_aof_group g = {.first = b->command_count};
    step s = record(r, &command);
    if (s != GOOD) return s;
    s = is_alone(r, &command, "MULTI") ? transaction(r) : add_command(r, command);
    if (s != GOOD) return s;
    if (b->group_count == 0 && r->has_lines && kv_slice_eq(b->words[command.first], KV_LIT("SELECT"))) r->foreign = true;
    g.count = b->command_count - g.first;
    g.end = place(r, r->at);
    return add_group(r, g);
}

/* ---- lines ---- */

/* `text`, which begins at `at`, parses as this line. */
static step check_line(kv_aof_reader *r, const kv_aof_line *line, kv_slice text, size_t summed) {
    uint64_t where = place(r, r->at);
    if (line->off == 0) {
        if (kv_crc32c(0, text.ptr, summed) != line->crc) return bad(r, r->at, "a checksum line is damaged");
        if (r->has_lines && !r->foreign && r->batch->group_count > 0) return bad(r, r->at, "records without their checksum line");
        r->origin = where;
        return LINE;
    }
    if (kv_crc32c(r->crc, r->summed, (size_t)(text.ptr + summed - r->summed)) != line->crc)
        return bad(r, r->at, "a checksum does not hold");
    if (!r->has_lines) r->origin = where - line->off; /* may wrap: only differences are compared */
    else if (where - r->origin != line->off || line->seq < r->last_seq) return bad(r, r->at, "records are missing or come twice");
    return LINE;
}

/* A line that begins with '#'. LINE: it was one of ours, and holds. */
static step comment(kv_aof_reader *r) {
    uint64_t room = at_most(left(r), COMMENT_MAX);
    step s = need(r, room);
    if (s != GOOD) return s;
    const uint8_t *end = memchr(r->at, '\n', (size_t)room);
    if (end == NULL) return room < COMMENT_MAX ? short_of(r, "it ends in the middle of a line") : bad(r, r->at, "a line without an end");
    bool whole = end[-1] == '\r';
    kv_slice text = kv_slice_of(r->at, (size_t)(end - r->at) - (whole ? 1 : 0));
    kv_aof_line line;
    size_t summed;
    if (!whole || !kv_aof_line_parse(text, &line, &summed)) {
        if (kv_aof_line_resembles(text)) return bad(r, r->at, "a checksum line is damaged");
        r->at = end + 1;
        return GOOD;
    }
    s = check_line(r, &line, text, summed);
    if (s != LINE) return s;
    r->at = r->summed = end + 1;
    r->crc = 0;
    r->has_lines = true;
    r->foreign = false;
    r->last_seq = line.seq;
    return LINE;
}

/* ---- what is left behind the good part ---- */

/* What the bytes behind a damaged place say. */
typedef struct rest {
    bool lines;   /* there are lines of ours */
    bool durable; /* one of them says that a byte behind `good` was on the disk when it was written */
    bool zeros;   /* behind `bad` there is nothing else */
} rest;

/* The text at p, of which `room` bytes are there. */
static void look_at(const kv_aof_reader *r, const uint8_t *p, size_t room, rest *out) {
    kv_aof_line line;
    size_t summed;
    const uint8_t *end = memmem(p, room < KV_AOF_LINE_MAX ? room : KV_AOF_LINE_MAX, "\r\n", 2);
    if (end == NULL || !kv_aof_line_parse(kv_slice_of(p, (size_t)(end - p)), &line, &summed)) return;
    uint64_t where = place(r, p), unsynced = line.off - line.sync;
    out->lines = true;
    out->durable = out->durable || (unsynced <= where && where - unsynced > r->good);
}

static bool only_zeros(const kv_aof_reader *r, const uint8_t *p, const uint8_t *end) {
    uint64_t skip = r->bad > place(r, p) ? r->bad - place(r, p) : 0;
    if (skip >= (uint64_t)(end - p)) return true;
    for (p += skip; p < end; p++)
        if (*p != 0) return false;
    return true;
}

/* Walks from the batch's begin to the end of the file, or to the line that decides. */
static step look_behind(kv_aof_reader *r, rest *out) {
    kv_rdb_in *in = &r->source->in;
    *out = (rest){.zeros = true};
    for (r->at = in->at; let_go(r), left(r) > 0 && !out->durable;) {
        step s = need(r, at_most(left(r), SEARCH_STEP));
        if (s != GOOD) return s;
        const uint8_t *from = r->at, *p = from, *hit;
        while ((hit = memmem(p, (size_t)(in->end - p), "#KV:", 4)) != NULL) {
            if (in->end - hit < KV_AOF_LINE_MAX && in->beyond > 0) break; /* looked at again, whole */
            look_at(r, hit, (size_t)(in->end - hit), out);
            p = hit + 1;
        }
        r->at = hit != NULL ? hit : in->beyond > 0 ? in->end - 3 : in->end;
        out->zeros = out->zeros && only_zeros(r, from, r->at);
    }
    return GOOD;
}

static kv_aof_status end_with(kv_aof_reader *r, kv_aof_status status) {
    r->ended = true;
    r->group_count = 0;
    return r->status = status;
}

/* `s` stopped the reader, and no group before it is left to be given out. */
static kv_aof_status classify(kv_aof_reader *r, step s) {
    rest behind;
    bool ours = r->has_lines && !r->foreign;
    if (s == FAILED || look_behind(r, &behind) == FAILED) return end_with(r, KV_AOF_FAILED);
    bool torn = ours || behind.lines || behind.zeros || s == SHORT;
    return end_with(r, torn && !behind.durable ? KV_AOF_TORN : KV_AOF_CORRUPT);
}

/* ---- batches ---- */

static kv_aof_status give(kv_aof_reader *r) {
    const struct kv_aof_batch *b = r->batch;
    r->good = place(r, r->at);
    r->groups = b->groups;
    r->commands = b->commands;
    r->words = b->words;
    r->group_count = b->group_count;
    return KV_AOF_BATCH;
}

/* No line covers these groups, and none will. Back to the last one's end: what comes behind it is looked at next time. */
static kv_aof_status give_plain(kv_aof_reader *r) {
    const struct kv_aof_batch *b = r->batch;
    uint64_t end = b->groups[b->group_count - 1].end;
    r->at = r->source->window + (size_t)(end - r->source->from);
    return give(r);
}

/* One more group or line; LINE when a line covers the batch. */
static step advance(kv_aof_reader *r) {
    step s = need(r, 1);
    if (s != GOOD) return s;
    if (*r->at == '#') return comment(r);
    if (*r->at == '*') return group(r);
    return bad(r, r->at, "neither a record nor a comment");
}

/* The end, at a boundary as far as records go. */
static kv_aof_status at_end(kv_aof_reader *r) {
    if (r->batch->group_count == 0) {
        r->good = place(r, r->at);
        return end_with(r, KV_AOF_END);
    }
    if (!r->has_lines || r->foreign) return give_plain(r);
    return classify(r, short_of(r, "it ends without a checksum line"));
}

kv_aof_status kv_aof_reader_next(kv_aof_reader *r) {
    if (r->ended) return r->status;
    const struct kv_aof_batch *b = r->batch;
    for (let_go(r);;) {
        bool plain = !r->has_lines || r->foreign;
        size_t bytes = (size_t)(r->at - r->source->in.at);
        if (plain && bytes >= PLAIN_BATCH && b->group_count > 0) return give_plain(r);
        if (left(r) == 0) return at_end(r);
        bool over = !plain && b->group_count > 1 && b->groups[b->group_count - 2].end - place(r, r->source->in.at) > COVERED_BATCH;
        step s = over ? bad(r, r->at, "records without their checksum line") : advance(r);
        if (s == GOOD) continue;
        if (s != LINE) {
            plain = !r->has_lines || r->foreign; /* what was read last may have told */
            return plain && s != FAILED && b->group_count > 0 ? give_plain(r) : classify(r, s);
        }
        if (b->group_count > 0) return give(r);
        r->good = place(r, r->at);
        let_go(r);
    }
}

kv_status kv_aof_reader_init(kv_aof_reader *r, kv_source *source) {
    *r = (kv_aof_reader){.source = source, .at = source->in.at, .summed = source->in.at, .status = KV_AOF_END};
    r->good = r->bad = kv_source_at(source);
    r->batch = kv_calloc(source->in.mem, 1, sizeof *r->batch);
    return r->batch == NULL ? KV_ENOMEM : KV_OK;
}

void kv_aof_reader_deinit(kv_aof_reader *r) {
    if (r->batch == NULL) return;
    kv_mem *mem = r->source->in.mem;
    kv_free(mem, r->batch->words);
    kv_free(mem, r->batch->commands);
    kv_free(mem, r->batch->groups);
    kv_free(mem, r->batch);
    r->batch = NULL;
}
