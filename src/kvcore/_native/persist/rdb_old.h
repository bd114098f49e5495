/* The packed forms of before Redis 7: ziplists (lists, sorted sets, hashes) and zipmaps (hashes of Redis 2.4). Read only. */
#ifndef KV_PERSIST_RDB_OLD_H
#define KV_PERSIST_RDB_OLD_H

#include "base/slice.h"
#include "ds/listpack.h"

/* A walk over a block from outside: it checks what it passes, and never reads outside the block. */
typedef struct kv_old_walk {
    const uint8_t *at, *end; /* end: of the block */
    size_t previous;         /* ziplist: bytes of the item before */
    size_t items;            /* handed out so far */
    uint32_t last_at;        /* ziplist: where the header says that the last item begins ... */
    uint16_t count;          /* ... and how many there are; 65535: not said */
    const uint8_t *start;
    bool key; /* zipmap: a field comes next */
    bool bad; /* it is none */
} kv_old_walk;

void kv_ziplist_begin(kv_old_walk *walk, kv_slice bytes);
/* The next item; false: the end, or walk->bad. */
bool kv_ziplist_next(kv_old_walk *walk, kv_lp_item *out);

void kv_zipmap_begin(kv_old_walk *walk, kv_slice bytes);
/* A field, its value, the next field, ... */
bool kv_zipmap_next(kv_old_walk *walk, kv_lp_item *out);

#endif
