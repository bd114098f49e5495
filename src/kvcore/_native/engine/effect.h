/* Effects: the commands that redo what a unit has done, as RESP arrays, for the log. They hold absolute times and no randomness.
 *
 * A command that changed something is logged as it came, unless its handler says something else:
 *
 *   kv_ctx_effect(c, 4, (kv_slice[]){KV_LIT("SET"), key.name, text, KV_LIT("KEEPTTL")});
 *
 * What expires or is evicted on the way adds its own deletion in front. Without a journal nothing is encoded. */
#ifndef KV_ENGINE_EFFECT_H
#define KV_ENGINE_EFFECT_H

#include "base/buf.h"
#include "engine/ctx.h"

/* Of one unit. The session owns the memory, so that most units allocate nothing; steps of the engine itself have one on their stack. */
typedef struct kv_effects {
    kv_buf bytes;          /* failed: memory ran out, the journal has to be told (append does) */
    uint32_t count;        /* commands, the SELECTs between databases not counted */
    int first_db, last_db; /* of the first and of the last command; the first SELECT is the journal's to write */
} kv_effects;

/* ---- for handlers ---- */

/* Is there a journal? What is only said to it need not be prepared without one. */
static inline bool kv_logs(const kv_ctx *c) { return c->unit->effects != NULL; }
/* Redo by this command instead of the one that runs; several calls: several commands, in order. Cannot fail for the caller. */
void kv_ctx_effect(kv_ctx *c, int argc, const kv_slice *argv);
void kv_ctx_effect_in(kv_ctx *c, int db, int argc, const kv_slice *argv);
/* The command that runs leaves nothing to redo. */
static inline void kv_ctx_no_effect(kv_ctx *c) { c->effect_said = true; }
/* The same for words that lie in several places, `step` apart. */
typedef struct kv_effect_part {
    const kv_slice *words;
    int count, step;
} kv_effect_part;
void kv_ctx_effect_of(kv_ctx *c, int parts, const kv_effect_part *part);
/* DEL key, or UNLINK when the option lazyfree-lazy-... `field` says so, instead of the command that runs. */
void kv_ctx_effect_del(kv_ctx *c, kv_slice key, int field);
/* Part of the change was made and no command redoes it (memory ran out on the way): the journal will fail. */
void kv_ctx_effect_lost(kv_ctx *c);

/* Word by word: `count` of them have to follow. What was said since a mark can be taken back as long as the command has not ended. */
void kv_ctx_effect_begin(kv_ctx *c, size_t count);
void kv_ctx_effect_word(kv_ctx *c, kv_slice word);
typedef struct kv_effect_mark {
    size_t len;
    uint32_t count;
    int first_db, last_db;
    bool said;
} kv_effect_mark;
kv_effect_mark kv_ctx_effect_mark(const kv_ctx *c);
void kv_ctx_effect_rewind(kv_ctx *c, kv_effect_mark mark);

/* Those of a command's words that it did something with: room for all of them is made before its first change. Without a journal it stays empty. */
enum { KV_PICKED_FEW = 16 };
typedef struct kv_picked {
    kv_slice few[KV_PICKED_FEW], *all;
    int count;
} kv_picked;
bool kv_picked_init(kv_ctx *c, kv_picked *picked, int max); /* false: out of memory, replied */
static inline void kv_picked_add(const kv_ctx *c, kv_picked *picked, kv_slice word) {
    if (kv_logs(c)) picked->all[picked->count++] = word;
}
void kv_picked_deinit(kv_ctx *c, kv_picked *picked);

/* ---- for the engine ---- */

/* From here on, with the unit's locks held, effects gather in `effects`; nothing happens without a journal. */
void kvi_effects_open(kv_ctx *c, kv_effects *effects);
/* Expired or evicted: a deletion of its own, which is no change by the command that runs. `field`: the option lazyfree-lazy-... that decides its name. */
void kv_effect_del(kv_ctx *c, int db, kv_slice key, int field);
/* HDEL of one field that has expired. */
void kv_effect_hdel(kv_ctx *c, int db, kv_slice key, kv_slice field);
/* A command of the engine's own, in front of what the running one will say. */
void kv_effect_own(kv_ctx *c, int db, int argc, const kv_slice *argv);
/* The command itself, when it has said nothing else. */
void kv_effect_self(kv_ctx *c);

#endif
