/* What commands ask of whoever keeps the store's files (persist/keeper.c). engine->persistence is NULL for a store that has none.
 *
 * `reason` gets the text of the error without its code; `status` the words of a good reply. Calls that wait are made without a lock. */
#ifndef KV_ENGINE_PERSISTENCE_H
#define KV_ENGINE_PERSISTENCE_H

#include "base/buf.h"
#include "engine/ctx.h"

/* What a reload does: bits. */
enum {
    KV_RELOAD_NOSAVE = 1,  /* the file is as it is: nothing is saved before */
    KV_RELOAD_NOFLUSH = 2, /* what is in memory stays */
    KV_RELOAD_MERGE = 4,   /* a key of the file takes the place of one in memory */
    KV_RELOAD_LOG = 8      /* the log, not the snapshot */
};

typedef struct kv_persistence {
    void *arg;
    bool (*save)(void *arg, kv_buf *reason);                                       /* SAVE: waits */
    bool (*bgsave)(void *arg, bool schedule, const char **status, kv_buf *reason); /* BGSAVE */
    bool (*cancel)(void *arg, const char **status, kv_buf *reason);                /* BGSAVE CANCEL */
    bool (*rewrite)(void *arg, const char **status, kv_buf *reason);               /* BGREWRITEAOF */
    int64_t (*last_save)(void *arg);                                               /* seconds since 1970 */
    void (*info)(void *arg, kv_buf *out);                                          /* INFO persistence. Any thread, any lock */
    /* WAITAOF: asks for a sync at once, and returns the number that is to become durable. False: there is no log. */
    bool (*sync)(void *arg, uint64_t *number);
    /* DEBUG RELOAD and LOADAOF: saves, and loads again what was saved, while everything stands still. Waits; the unit of `c` holds no lock meanwhile. */
    bool (*reload)(void *arg, kv_ctx *c, unsigned how, kv_buf *reason);
} kv_persistence;

#endif
