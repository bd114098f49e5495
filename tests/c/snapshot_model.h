/* For the tests of snapshots: everything that is in a store as sorted lines of text, and commands that change it in every way there is. */
#ifndef KV_TESTS_SNAPSHOT_MODEL_H
#define KV_TESTS_SNAPSHOT_MODEL_H

#include <stdlib.h>
#include <unistd.h>

#include "base/rng.h"
#include "client.h"
#include "persist/load.h"
#include "persist/snapshot.h"
#include "store/keyspace.h"
#include "types/hash.h"
#include "types/list.h"
#include "types/set.h"
#include "types/zset.h"

/* ---- a store as text ---- */

typedef struct lines {
    char **line;
    size_t count, room;
} lines;

static inline void add_line(lines *l, char *line) {
    if (l->count == l->room) {
        l->room = l->room == 0 ? 64 : l->room * 2;
        l->line = realloc(l->line, l->room * sizeof *l->line);
        CHECK(l->line != NULL);
    }
    l->line[l->count++] = line;
}

static inline int line_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static inline void lines_free(lines *l) {
    for (size_t i = 0; i < l->count; i++) free(l->line[i]);
    free(l->line);
    *l = (lines){0};
}

static inline char *text_of(kv_slice s) { /* hexadecimal where it is not printable; the end is marked */
    char *text = malloc(s.len * 3 + 2), *at = text;
    CHECK(text != NULL);
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] > 32 && s.ptr[i] < 127 && s.ptr[i] != '%') *at++ = (char)s.ptr[i];
        else at += sprintf(at, "%%%02x", s.ptr[i]);
    }
    *at = 0;
    return text;
}

static inline char *joined(const char *head, const lines *parts) {
    size_t bytes = strlen(head) + 2;
    for (size_t i = 0; i < parts->count; i++) bytes += strlen(parts->line[i]) + 1;
    char *text = malloc(bytes), *at = text;
    CHECK(text != NULL);
    at = stpcpy(at, head);
    for (size_t i = 0; i < parts->count; i++) {
        *at++ = ' ';
        at = stpcpy(at, parts->line[i]);
    }
    return text;
}

static inline char *pair(kv_slice a, const char *rest) {
    char *left = text_of(a), *text = malloc(strlen(left) + strlen(rest) + 2);
    CHECK(text != NULL);
    sprintf(text, "%s=%s", left, rest);
    free(left);
    return text;
}

static inline void elements_of(const kv_value *v, lines *out) {
    char number[64], scratch[KV_NUM_MAX];
    if (v->type == KV_STRING) {
        add_line(out, text_of(kv_entry_string(v, scratch)));
    } else if (v->type == KV_LIST) {
        kv_list_iter it;
        kv_slice item;
        kv_list_iter_init(&it, v, 0, false);
        while (kv_list_next(&it, &item)) add_line(out, text_of(item));
        CHECK(kv_list_iter_end(&it) == KV_OK);
    } else if (v->type == KV_SET) {
        kv_set_iter it;
        kv_slice member;
        for (kv_set_iter_init(&it, v); kv_set_next(&it, &member);) add_line(out, text_of(member));
    } else if (v->type == KV_ZSET) {
        kv_zset_iter it;
        kv_zset_item item;
        for (kv_zset_iter_at(&it, v, 0, false); kv_zset_iter_next(&it, &item);) {
            snprintf(number, sizeof number, "%.17g", item.score);
            add_line(out, pair(item.member, number));
        }
    } else {
        kv_hash_iter it;
        kv_hash_item item;
        for (kv_hash_iter_init(&it, v, KV_HASH_ALL); kv_hash_iter_next(&it, &item);) {
            char *value = text_of(item.value), *rest = malloc(strlen(value) + 40);
            CHECK(rest != NULL);
            sprintf(rest, "%s@%lld", value, item.expiry_ms == KV_HASH_NO_EXPIRY ? -1LL : (long long)item.expiry_ms);
            add_line(out, pair(item.field, rest));
            free(value);
            free(rest);
        }
    }
    if (v->type != KV_STRING && v->type != KV_LIST) qsort(out->line, out->count, sizeof *out->line, line_order);
}

typedef struct lines_walk {
    lines *out;
    unsigned db;
} lines_walk;

static inline bool add_entry(void *arg, kv_value *v) {
    lines_walk *w = arg;
    char *key = text_of(kv_entry_key(v)), *head = malloc(strlen(key) + 80);
    CHECK(head != NULL);
    sprintf(head, "%u %s type=%d expires=%lld:", w->db, key, (int)v->type, (long long)kv_entry_expire_ms(v));
    lines parts = {0};
    elements_of(v, &parts);
    add_line(w->out, joined(head, &parts));
    lines_free(&parts);
    free(key);
    free(head);
    return true;
}

/* Takes each shard's lock, one after the other. */
static inline lines lines_of(kv_store *store) {
    lines out = {0};
    for (unsigned i = 0; i < store->shard_count; i++) {
        kv_mutex_lock(&store->shards[i].lock);
        for (unsigned d = 0; d < store->db_count; d++) kv_keydb_each(kv_shard_db(&store->shards[i], d), add_entry, &(lines_walk){&out, d});
        kv_mutex_unlock(&store->shards[i].lock);
    }
    if (out.count > 0) qsort(out.line, out.count, sizeof *out.line, line_order);
    return out;
}

/* True: the same. Says where not. */
static inline bool same_lines(const lines *wanted, const lines *got) {
    size_t i = 0;
    while (i < wanted->count && i < got->count && strcmp(wanted->line[i], got->line[i]) == 0) i++;
    if (i == wanted->count && i == got->count) return true;
    fprintf(stderr, "line %zu of %zu and %zu\nwanted %.400s\n   got %.400s\n", i, wanted->count, got->count,
            i < wanted->count ? wanted->line[i] : "-", i < got->count ? got->line[i] : "-");
    return false;
}

/* ---- loading what was written ---- */

static const kv_limits model_limits = {8, 64, 8, 8, 64, 8, 64, 4, 0, 0};

/* The bytes as a store of their own; the caller ends with kv_store_deinit. */
static inline bool load_bytes(kv_mem *mem, kv_store *store, const kv_buf *bytes) {
    char path[64], why[200] = "";
    snprintf(path, sizeof path, "/tmp/kvcore-test-snapshot-%d", (int)getpid());
    CHECK(kv_vfs_replace_file(&kv_vfs_posix, path, kv_buf_slice(bytes)) == KV_OK);
    CHECK(kv_store_init(store, mem, 4, 16, (kv_hash_seed){1, 2}) == KV_OK);
    kv_source source;
    kv_buf reason;
    kv_buf_init(&reason, mem);
    CHECK(kv_source_open(&source, &kv_vfs_posix, mem, path) == KV_OK);
    kv_load_options options = {.limits = &model_limits, .sums = true, .keep_expired = true};
    kv_load_result result;
    bool good = kv_load_rdb(store, &source, &options, &result, &reason) == KV_OK;
    if (!good) {
        snprintf(why, sizeof why, "%.*s", (int)reason.len, (const char *)reason.ptr);
        fprintf(stderr, "not loaded: %s\n", why);
    } else if (result.end != bytes->len) {
        fprintf(stderr, "loaded to %llu of %zu\n", (unsigned long long)result.end, bytes->len);
        good = false;
    }
    kv_buf_deinit(&reason);
    kv_source_close(&source);
    unlink(path);
    return good;
}

static inline bool bytes_are(const kv_buf *bytes, const lines *wanted) {
    kv_mem mem;
    kv_store store;
    kv_mem_init(&mem);
    bool good = load_bytes(&mem, &store, bytes);
    if (good) {
        CHECK(kv_store_check(&store));
        lines got = lines_of(&store);
        good = same_lines(wanted, &got);
        lines_free(&got);
    }
    kv_store_deinit(&store);
    return good;
}

/* ---- commands ---- */

#define MODEL_CONFIG                                                                                \
    "shards 4\nhash-max-listpack-entries 8\nset-max-listpack-entries 8\nset-max-intset-entries 8\n" \
    "zset-max-listpack-entries 8\nlist-max-listpack-size 4\nsave \"\"\nappendonly no\n"

static inline unsigned below(kv_rng *rng, unsigned n) { return (unsigned)kv_rng_below(rng, n); }

/* One word of a pattern: # a number below 40, k a key, @ a text of up to 300 letters, s a score, t a time to come, soon a time that comes soon. */
static inline void model_word(kv_rng *rng, char *out, const char *word, int64_t now_ms) {
    if (strcmp(word, "K") == 0) sprintf(out, "k%u", below(rng, 24));
    else if (strcmp(word, "F") == 0) sprintf(out, "f%u", below(rng, 60));
    else if (strcmp(word, "N") == 0) sprintf(out, "%u", below(rng, 40));
    else if (strcmp(word, "S") == 0) sprintf(out, "%d", (int)below(rng, 100) - 50);
    else if (strcmp(word, "D") == 0) sprintf(out, "%u", below(rng, 3));
    else if (strcmp(word, "LATER") == 0) sprintf(out, "%lld", (long long)now_ms + 1000000 + below(rng, 1000));
    else if (strcmp(word, "SOON") == 0) sprintf(out, "%lld", (long long)now_ms + 1 + below(rng, 50));
    else if (strcmp(word, "T") == 0) {
        unsigned len = below(rng, 8) == 0 ? below(rng, 300) : 1 + below(rng, 12);
        for (unsigned i = 0; i < len; i++) out[i] = (char)('a' + below(rng, 26));
        out[len] = 0;
        if (len == 0) strcpy(out, "e");
    } else strcpy(out, word);
}

static const char *const model_patterns[] = {
    "SET K T",
    "SET K N",
    "SET K T PXAT LATER",
    "SET K T PXAT SOON",
    "SET K T KEEPTTL",
    "MSET K T K N K T",
    "APPEND K T",
    "SETRANGE K N T",
    "INCR K",
    "INCRBYFLOAT K 1.5",
    "GETDEL K",
    "GETEX K PXAT LATER",
    "GETEX K PERSIST",
    "GETSET K T",
    "GET K",
    "SETBIT K N 1",
    "DEL K",
    "UNLINK K",
    "DEL K K K",
    "PEXPIREAT K LATER",
    "PEXPIREAT K SOON",
    "PERSIST K",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K",
    "COPY K K REPLACE",
    "COPY K K DB D REPLACE",
    "MOVE K D",
    "LPUSH K T",
    "RPUSH K T T T T T T T T T T T T",
    "LPUSH K N N N N N N N N N N N N",
    "LPUSH K T T T",
    "RPUSH K T T T",
    "LPOP K",
    "RPOP K",
    "LPOP K N",
    "RPOP K 5",
    "LSET K N T",
    "LSET K 3 T",
    "LINSERT K BEFORE N T",
    "LINSERT K AFTER N N",
    "LTRIM K 2 -3",
    "LTRIM K N -1",
    "LREM K 0 N",
    "LREM K -1 N",
    "LMOVE K K LEFT RIGHT",
    "LMOVE K K RIGHT LEFT",
    "RPOPLPUSH K K",
    "SADD K F F F F F F F F F F",
    "SADD K N N N N",
    "SADD K F",
    "SREM K F F F",
    "SREM K N N",
    "SPOP K",
    "SPOP K 3",
    "SMOVE K K F",
    "SUNIONSTORE K K K",
    "SINTERSTORE K K K",
    "SDIFFSTORE K K K",
    "HSET K F T F T F T F T F T F T F T F T F T F T",
    "HSET K F T",
    "HSET K F N F T",
    "HDEL K F F F",
    "HDEL K F",
    "HINCRBY K F 3",
    "HINCRBYFLOAT K F 0.5",
    "HSETNX K F T",
    "HPEXPIREAT K LATER FIELDS 3 F F F",
    "HPEXPIREAT K SOON FIELDS 2 F F",
    "HPERSIST K FIELDS 2 F F",
    "HGETEX K PXAT LATER FIELDS 2 F F",
    "HGETDEL K FIELDS 2 F F",
    "HSETEX K PXAT LATER FIELDS 2 F T F T",
    "HGETALL K",
    "ZADD K S F S F S F S F S F S F S F S F S F S F",
    "ZADD K S F",
    "ZADD K INCR S F",
    "ZINCRBY K S F",
    "ZREM K F F F",
    "ZPOPMIN K",
    "ZPOPMAX K 3",
    "ZREMRANGEBYRANK K 1 3",
    "ZREMRANGEBYSCORE K -10 10",
    "ZUNIONSTORE K 2 K K",
    "ZINTERSTORE K 2 K K",
    "ZRANGESTORE K K 1 5",
    "SORT K ALPHA STORE K",
    "SELECT D",
    "SELECT D",
    "SELECT D",
    "EXISTS K",
    "TTL K",
    "TYPE K",
    "MULTI",
    "EXEC",
    "EXEC",
    "DISCARD",
    "BITOP NOT K K",
};
enum { MODEL_PATTERNS = sizeof model_patterns / sizeof *model_patterns };

static inline void model_command(kvcore_store *store, client *c, kv_rng *rng, const char *pattern) {
    char words[CLIENT_WORDS][320], line[CLIENT_TEXT], copy[256];
    int64_t now_ms = kvcore_clock_us(store) / 1000;
    snprintf(copy, sizeof copy, "%s", pattern);
    int count = 0;
    size_t at = 0;
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        model_word(rng, words[count++], word, now_ms);
    for (int i = 0; i < count; i++) at += (size_t)snprintf(line + at, sizeof line - at, "%s%s", i > 0 ? " " : "", words[i]);
    int outcome = client_send(c, "%s", line);
    CHECK(outcome == KVCORE_DONE || outcome == KVCORE_NO_MEMORY);
}

#endif
