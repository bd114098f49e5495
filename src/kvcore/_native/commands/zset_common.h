/* What the sorted-set commands share: replies with scores, storing results, removing members. */
#ifndef KV_COMMANDS_ZSET_COMMON_H
#define KV_COMMANDS_ZSET_COMMON_H

#include "engine/ctx.h"
#include "types/zset.h"

/* The sorted set at argv[1] for reading; *v NULL: absent. False: WRONGTYPE was replied. */
bool kv_zset_find(kv_ctx *c, kv_value **v);

/* The header of a list of `count` members: RESP3 nests pairs, RESP2 flattens them. */
void kv_zset_reply_count(kv_ctx *c, size_t count, bool scores);
void kv_zset_reply_item(kv_reply *reply, kv_slice member, double score, bool scores);

/* Makes `fresh` (a sorted set in the arena of `key`, whose database kv_ctx_open has opened) the value of `key`, whatever was there, and replies its
 * size; an empty one removes the key. Takes `fresh` over in any case. */
void kv_zset_store_result(kv_ctx *c, const kv_key *key, kv_value *fresh, const char *event);

/* After members were removed: counts the change, emits `event`, and removes an empty key with its `del`. */
void kv_zset_shrunk(kv_ctx *c, const kv_key *key, const kv_value *v, const char *event);

/* A bound of a range by score or by bytes. False: malformed (nothing replied). */
bool kv_zset_score_range(kv_slice min, kv_slice max, kv_zrange *out);
bool kv_zset_lex_range(kv_slice min, kv_slice max, kv_lex_range *out);

/* A range of ranks as users give it (negative: from the end), cut to what is there. */
kv_zset_ranks kv_zset_clip_ranks(const kv_value *v, int64_t start, int64_t stop);

#define KV_ERR_SCORE_RANGE "ERR min or max is not a float"
#define KV_ERR_LEX_RANGE "ERR min or max not valid string range item"

#endif
