/* What HSCAN, ZSCAN and SSCAN share: reading MATCH, COUNT and the word that leaves values out, and the shape of the reply. */
#ifndef KV_COMMANDS_SCAN_OPTIONS_H
#define KV_COMMANDS_SCAN_OPTIONS_H

#include "base/glob.h"
#include "engine/ctx.h"

typedef enum kv_scan_kind { KV_SCAN_HASH, KV_SCAN_ZSET, KV_SCAN_SET } kv_scan_kind;

typedef struct kv_scan_options {
    size_t count;     /* at least 1; 10 unless told */
    kv_slice pattern; /* meaningful unless match_all */
    bool match_all;
    bool names_only; /* NOVALUES, NOSCORES */
} kv_scan_options;

/* Reads argv[3...]. False: the error has been replied. */
bool kv_scan_options_read(kv_ctx *c, kv_scan_kind kind, kv_scan_options *out);

static inline bool kv_scan_wants(const kv_scan_options *options, kv_slice name) {
    return options->match_all || kv_glob(options->pattern, name, false);
}

/* A page of the reply: [cursor, [item, ...]]. The cursor is known last but comes first, so items are collected in `items`. */
typedef struct kv_scan_page {
    const kv_scan_options *options;
    kv_buf items;    /* the items, encoded in the reply's format */
    kv_reply writer; /* writes to items */
    size_t written;
} kv_scan_page;

void kv_scan_page_init(kv_scan_page *page, kv_ctx *c, const kv_scan_options *options);
/* Writes the whole reply and frees the page. */
void kv_scan_page_finish(kv_scan_page *page, kv_ctx *c, uint64_t cursor);

#endif
