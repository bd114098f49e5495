/* The step that all tables share. A chain is about nine entries; an entry that is not in a closed slab costs a look at its slab's record. */
#include "types/compact.h"

enum { CHAIN = 9 };

void kv_compact_table(kv_compact *step, kv_compact_at *at, kv_table *table, kv_table_move_fn fn, void *arg) {
    if (at->round == step->round) return;
    do {
        if (step->budget == 0) {
            step->unfinished = true;
            return;
        }
        step->budget -= step->budget < CHAIN ? step->budget : CHAIN;
        at->cursor = kv_table_relocate(table, at->cursor, fn, arg);
    } while (at->cursor != 0);
    at->round = step->round;
}
