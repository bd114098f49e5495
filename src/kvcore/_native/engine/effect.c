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

static uint8_t *put_head(uint8_t *to, char kind, size_t number) {
    *to++ = (uint8_t)kind;
    if (number < 10) *to++ = (uint8_t)('0' + number); /* nearly always */
    else to += kv_format_u64((char *)to, number);
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

static void encode(kv_effects *e, int db, int head_count, const kv_slice *head, int count, int step, const kv_slice *words) {
    size_t text = 0;
    for (int i = 0; i < head_count; i++) text += head[i].len;
    for (int i = 0; i < count; i++) text += words[i * step].len;
    enter(e, db);
    if (!make_room(&e->bytes, (size_t)head_count + (size_t)count, text)) return;
    uint8_t *to = put_head(e->bytes.ptr + e->bytes.len, '*', (size_t)head_count + (size_t)count);
    for (int i = 0; i < head_count; i++) to = put_word(to, head[i]);
    for (int i = 0; i < count; i++) to = put_word(to, words[i * step]);
    e->bytes.len = (size_t)(to - e->bytes.ptr);
}

void kv_effect_own(kv_ctx *c, int db, int argc, const kv_slice *argv) {
    if (kv_logs(c)) encode(c->unit->effects, db, argc, argv, 0, 0, NULL);
}

void kv_effect_self(kv_ctx *c) { encode(c->unit->effects, c->db, c->argc, c->argv, 0, 0, NULL); }

void kv_ctx_effect_in(kv_ctx *c, int db, int argc, const kv_slice *argv) {
    c->effect_said = true;
    kv_effect_own(c, db, argc, argv);
}

void kv_ctx_effect(kv_ctx *c, int argc, const kv_slice *argv) { kv_ctx_effect_in(c, c->db, argc, argv); }

void kv_ctx_effect_words(kv_ctx *c, int head_count, const kv_slice *head, int count, int step, const kv_slice *words) {
    c->effect_said = true;
    if (kv_logs(c)) encode(c->unit->effects, c->db, head_count, head, count, step, words);
}

void kv_ctx_effect_changed(kv_ctx *c, int arg, kv_slice word) {
    c->effect_said = true;
    if (!kv_logs(c)) return;
    size_t text = word.len;
    for (int i = 0; i < c->argc; i++) text += c->argv[i].len;
    kv_effects *e = c->unit->effects;
    enter(e, c->db);
    if (!make_room(&e->bytes, (size_t)c->argc, text)) return;
    uint8_t *to = put_head(e->bytes.ptr + e->bytes.len, '*', (size_t)c->argc);
    for (int i = 0; i < c->argc; i++) to = put_word(to, i == arg ? word : c->argv[i]);
    e->bytes.len = (size_t)(to - e->bytes.ptr);
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
