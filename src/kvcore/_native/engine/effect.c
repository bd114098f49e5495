/* Encoding effects: "*argc\r\n$len\r\nword\r\n..." at the end of the unit's bytes.
 *
 * The memory is asked for once a command, in front, so that a command is in the bytes whole or not at all; when it is not, `failed` stays set and
 * whoever appends the unit to the journal makes it fail: no unit is half in the log. */
#include "engine/effect.h"

#include "engine/engine.h"

/* Room for a prefix, the digits of a length, and CR LF. */
#define HEAD_MAX (KV_NUM_MAX + 3)

void kvi_effects_open(kv_ctx *c, kv_effects *effects) {
    if (effects->bytes.mem == NULL) kv_buf_init(&effects->bytes, &c->engine->mem);
    c->unit->effects = effects;
}

/* Writes up to HEAD_MAX bytes, of which the first are the head; there is room for that. */
static inline uint8_t *put_head(uint8_t *to, char kind, size_t number) {
    if (number < 100) { /* nearly always: in one store, and without a call */
        bool two = number >= 10;
        uint64_t digits = two ? ('0' + number / 10) | ('0' + number % 10) << 8 : '0' + number;
        uint64_t head = (uint64_t)(uint8_t)kind | digits << 8 | (uint64_t)('\r' | '\n' << 8) << (two ? 24 : 16);
        memcpy(to, &head, sizeof head); /* little-endian machines only */
        return to + (two ? 5 : 4);
    }
    *to++ = (uint8_t)kind;
    to += kv_format_u64((char *)to, number);
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static uint8_t *put_word(uint8_t *to, kv_slice word) {
    to = put_head(to, '$', word.len);
    if (word.len > 0) memcpy(to, word.ptr, word.len);
    to += word.len;
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static bool make_room(kv_buf *bytes, size_t words, size_t text) {
    size_t heads, need;
    bool fits = kv_mul_size(words + 1, HEAD_MAX + 2, &heads) && kv_add_size(heads, text, &need);
    if (!fits) bytes->failed = true;
    return fits && kv_buf_reserve(bytes, need);
}

/* The command goes to `db`. */
static void enter(kv_effects *e, int db) {
    if (e->count == 0) e->first_db = db;
    if (e->count > 0 && e->last_db != db) {
        char text[KV_NUM_MAX];
        kv_slice number = kv_slice_of(text, kv_format_i64(text, db));
        if (make_room(&e->bytes, 2, sizeof "SELECT" + number.len)) {
            uint8_t *to = put_head(e->bytes.ptr + e->bytes.len, '*', 2);
            to = put_word(put_word(to, KV_LIT("SELECT")), number);
            e->bytes.len = (size_t)(to - e->bytes.ptr);
        }
    }
    e->last_db = db;
    e->count++;
}

/* The lengths are added one by one: two words in one vector load would wait until all stores before have left the core, for the words were stored a
 * moment ago, field by field. */
static void encode(kv_effects *e, int db, int parts, const kv_effect_part *part) {
    size_t text = 0, count = 0;
    for (int p = 0; p < parts; p++) {
        count += (size_t)part[p].count;
        for (int i = 0; i < part[p].count; i++) {
            size_t len = part[p].words[i * part[p].step].len;
            __asm__("" : "+r"(len));
            text += len;
        }
    }
    enter(e, db);
    if (!make_room(&e->bytes, count, text)) return;
    uint8_t *to = put_head(e->bytes.ptr + e->bytes.len, '*', count);
    for (int p = 0; p < parts; p++)
        for (int i = 0; i < part[p].count; i++) to = put_word(to, part[p].words[i * part[p].step]);
    e->bytes.len = (size_t)(to - e->bytes.ptr);
}

void kv_effect_own(kv_ctx *c, int db, int argc, const kv_slice *argv) {
    if (kv_logs(c)) encode(c->unit->effects, db, 1, &(kv_effect_part){argv, argc, 1});
}

void kv_effect_self(kv_ctx *c) { kv_effect_own(c, c->db, c->argc, c->argv); }

void kv_ctx_effect_in(kv_ctx *c, int db, int argc, const kv_slice *argv) {
    c->effect_said = true;
    kv_effect_own(c, db, argc, argv);
}

void kv_ctx_effect(kv_ctx *c, int argc, const kv_slice *argv) { kv_ctx_effect_in(c, c->db, argc, argv); }

void kv_ctx_effect_of(kv_ctx *c, int parts, const kv_effect_part *part) {
    c->effect_said = true;
    if (kv_logs(c)) encode(c->unit->effects, c->db, parts, part);
}

void kv_ctx_effect_lost(kv_ctx *c) {
    c->effect_said = true;
    if (!kv_logs(c)) return;
    enter(c->unit->effects, c->db);
    c->unit->effects->bytes.failed = true;
}

void kv_ctx_effect_begin(kv_ctx *c, size_t count) {
    c->effect_said = true;
    if (!kv_logs(c)) return;
    kv_effects *e = c->unit->effects;
    enter(e, c->db);
    if (make_room(&e->bytes, 0, 0)) e->bytes.len = (size_t)(put_head(e->bytes.ptr + e->bytes.len, '*', count) - e->bytes.ptr);
}

void kv_ctx_effect_word(kv_ctx *c, kv_slice word) {
    if (!kv_logs(c)) return;
    kv_buf *bytes = &c->unit->effects->bytes;
    if (make_room(bytes, 0, word.len)) bytes->len = (size_t)(put_word(bytes->ptr + bytes->len, word) - bytes->ptr);
}

kv_effect_mark kv_ctx_effect_mark(const kv_ctx *c) {
    kv_effect_mark mark = {.said = c->effect_said};
    if (!kv_logs(c)) return mark;
    const kv_effects *e = c->unit->effects;
    mark.len = e->bytes.len;
    mark.count = e->count;
    mark.first_db = e->first_db;
    mark.last_db = e->last_db;
    return mark;
}

void kv_ctx_effect_rewind(kv_ctx *c, kv_effect_mark mark) {
    c->effect_said = mark.said;
    if (!kv_logs(c)) return;
    kv_effects *e = c->unit->effects;
    e->bytes.len = mark.len; /* `failed` stays: what was not written may have been in front of the mark */
    e->count = mark.count;
    e->first_db = mark.first_db;
    e->last_db = mark.last_db;
}

bool kv_picked_init(kv_ctx *c, kv_picked *picked, int max) {
    picked->all = picked->few;
    picked->count = 0;
    if (!kv_logs(c) || max <= KV_PICKED_FEW) return true;
    picked->all = kv_malloc(&c->engine->mem, (size_t)max * sizeof *picked->all);
    if (picked->all == NULL) kv_ctx_out_of_memory(c);
    return picked->all != NULL;
}

void kv_picked_deinit(kv_ctx *c, kv_picked *picked) {
    if (picked->all != picked->few) kv_free(&c->engine->mem, picked->all);
}

static kv_slice deletion(const kv_ctx *c, int field) {
    return kv_setting(&c->engine->settings, (kv_config_field)field) != 0 ? KV_LIT("UNLINK") : KV_LIT("DEL");
}

void kv_effect_del(kv_ctx *c, int db, kv_slice key, int field) {
    if (kv_logs(c)) kv_effect_own(c, db, 2, (kv_slice[]){deletion(c, field), key});
}

void kv_ctx_effect_del(kv_ctx *c, kv_slice key, int field) {
    c->effect_said = true;
    kv_effect_del(c, c->db, key, field);
}

void kv_effect_hdel(kv_ctx *c, int db, kv_slice key, kv_slice field) { kv_effect_own(c, db, 3, (kv_slice[]){KV_LIT("HDEL"), key, field}); }
