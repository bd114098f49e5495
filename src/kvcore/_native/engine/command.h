/* The command descriptor: what is known about a command before it runs. The table is constant data that tools/gen.py writes from spec/ (its
 * address is `kv_commands`, api/command_table.h); the engine is handed a pointer to it and never names a command.
 *
 *   table --> commands[id] --> key specs, documentation, handler
 *         --> slots[hash(name, parent)] --> id      open addressing, linear probing, filled by the generator
 *
 * Everything here is immutable and may be read by any thread without a lock. Statistics live elsewhere, in arrays indexed by `id`. */
#ifndef KV_ENGINE_COMMAND_H
#define KV_ENGINE_COMMAND_H

#include "base/slice.h"

struct kv_ctx;

typedef void kv_handler(struct kv_ctx *c);

/* Flags. The first block is what COMMAND INFO reports (kv_command_flag_name); the second is the engine's own. */
#define KV_CMD_WRITE (UINT64_C(1) << 0)
#define KV_CMD_READONLY (UINT64_C(1) << 1)
#define KV_CMD_DENYOOM (UINT64_C(1) << 2) /* refused when over maxmemory */
#define KV_CMD_ADMIN (UINT64_C(1) << 3)
#define KV_CMD_PUBSUB (UINT64_C(1) << 4)
#define KV_CMD_NOSCRIPT (UINT64_C(1) << 5)
#define KV_CMD_BLOCKING (UINT64_C(1) << 6)
#define KV_CMD_LOADING (UINT64_C(1) << 7) /* allowed while a data set loads */
#define KV_CMD_STALE (UINT64_C(1) << 8)   /* allowed on a replica that lost its primary */
#define KV_CMD_SKIP_MONITOR (UINT64_C(1) << 9)
#define KV_CMD_SKIP_COMMANDLOG (UINT64_C(1) << 10)
#define KV_CMD_ASKING (UINT64_C(1) << 11)
#define KV_CMD_FAST (UINT64_C(1) << 12)
#define KV_CMD_NO_AUTH (UINT64_C(1) << 13) /* allowed before authentication */
#define KV_CMD_MAY_REPLICATE (UINT64_C(1) << 14)
#define KV_CMD_NO_MANDATORY_KEYS (UINT64_C(1) << 15)
#define KV_CMD_NO_ASYNC_LOADING (UINT64_C(1) << 16)
#define KV_CMD_NO_MULTI (UINT64_C(1) << 17) /* refused inside MULTI */
#define KV_CMD_ALLOW_BUSY (UINT64_C(1) << 18)
#define KV_CMD_MOVABLE_KEYS (UINT64_C(1) << 19) /* the legacy triple does not tell all keys */

#define KV_CMD_PROTECTED (UINT64_C(1) << 32)      /* off unless an enable-... option allows it (DEBUG, MODULE) */
#define KV_CMD_ALL_KEYS (UINT64_C(1) << 33)       /* needs every shard locked: FLUSHALL, KEYS, DBSIZE, ... */
#define KV_CMD_MAYBE_ALL_KEYS (UINT64_C(1) << 34) /* depends on the arguments: ask kv_command_locks_all (SORT with BY or GET) */
#define KV_CMD_CONTAINER (UINT64_C(1) << 35)      /* has subcommands; without a handler of its own unless `handler` is set (COMMAND) */
#define KV_CMD_CURSOR (UINT64_C(1) << 36)         /* needs the one shard that the cursor in argv[1] names (SCAN) */
#define KV_CMD_ONE_KEY (UINT64_C(1) << 37) /* argv[1] is its only key, whatever follows, and it never waits (the generator finds out) */
#define KV_CMD_QUICK (UINT64_C(1) << 38)   /* a microsecond or so when its arguments are of a moderate size */

/* ACL categories, in the order in which they are reported. */
#define KV_ACL_KEYSPACE (UINT32_C(1) << 0)
#define KV_ACL_READ (UINT32_C(1) << 1)
#define KV_ACL_WRITE (UINT32_C(1) << 2)
#define KV_ACL_SET (UINT32_C(1) << 3)
#define KV_ACL_SORTEDSET (UINT32_C(1) << 4)
#define KV_ACL_LIST (UINT32_C(1) << 5)
#define KV_ACL_HASH (UINT32_C(1) << 6)
#define KV_ACL_STRING (UINT32_C(1) << 7)
#define KV_ACL_BITMAP (UINT32_C(1) << 8)
#define KV_ACL_HYPERLOGLOG (UINT32_C(1) << 9)
#define KV_ACL_GEO (UINT32_C(1) << 10)
#define KV_ACL_STREAM (UINT32_C(1) << 11)
#define KV_ACL_PUBSUB (UINT32_C(1) << 12)
#define KV_ACL_ADMIN (UINT32_C(1) << 13)
#define KV_ACL_FAST (UINT32_C(1) << 14)
#define KV_ACL_SLOW (UINT32_C(1) << 15)
#define KV_ACL_BLOCKING (UINT32_C(1) << 16)
#define KV_ACL_DANGEROUS (UINT32_C(1) << 17)
#define KV_ACL_CONNECTION (UINT32_C(1) << 18)
#define KV_ACL_TRANSACTION (UINT32_C(1) << 19)
#define KV_ACL_SCRIPTING (UINT32_C(1) << 20)
#define KV_ACL_COUNT 21

/* What a command does with a key. Exactly one of RO, RW, OW, RM; any of the others. */
#define KV_KEY_RO (1u << 0)     /* reads the value */
#define KV_KEY_RW (1u << 1)     /* reads and changes it */
#define KV_KEY_OW (1u << 2)     /* replaces it without looking */
#define KV_KEY_RM (1u << 3)     /* deletes it */
#define KV_KEY_ACCESS (1u << 4) /* hands the user data of the value out */
#define KV_KEY_UPDATE (1u << 5) /* changes the user data */
#define KV_KEY_INSERT (1u << 6) /* adds user data and leaves what is there */
#define KV_KEY_DELETE (1u << 7) /* deletes user data */
#define KV_KEY_NOT_KEY (1u << 8)
#define KV_KEY_INCOMPLETE (1u << 9)
#define KV_KEY_VARIABLE_FLAGS (1u << 10)
#define KV_KEY_FLAG_COUNT 11
#define KV_KEY_WRITES (KV_KEY_RW | KV_KEY_OW | KV_KEY_RM)

typedef enum kv_key_begin { KV_BEGIN_INDEX, KV_BEGIN_KEYWORD, KV_BEGIN_UNKNOWN } kv_key_begin;
typedef enum kv_key_find { KV_KEYS_RANGE, KV_KEYS_KEYNUM, KV_KEYS_UNKNOWN } kv_key_find;

/* Where keys are in the arguments, in two steps: where the search begins, and how keys follow from there. */
typedef struct kv_key_spec {
    const char *notes; /* NULL: none */
    uint16_t flags;    /* KV_KEY_... */
    uint8_t begin, find;
    int16_t index;       /* INDEX: of the argument; KEYWORD: where to start looking, negative: from the end */
    const char *keyword; /* KEYWORD */
    int16_t last,
        limit; /* RANGE: last key relative to the begin, negative: from the end of argv (-1 the last); limit: last -1, a share of the rest */
    int16_t step;            /* RANGE and KEYNUM */
    int16_t count_at, first; /* KEYNUM: where the number is and where the first key is, relative to the begin */
} kv_key_spec;

/* One key of a command as it was given. */
typedef struct kv_key_ref {
    int arg;        /* index in argv */
    uint32_t flags; /* KV_KEY_... */
} kv_key_ref;

typedef enum kv_arg_type {
    KV_ARG_STRING,
    KV_ARG_INTEGER,
    KV_ARG_DOUBLE,
    KV_ARG_KEY,
    KV_ARG_PATTERN,
    KV_ARG_UNIX_TIME,
    KV_ARG_PURE_TOKEN,
    KV_ARG_ONEOF,
    KV_ARG_BLOCK
} kv_arg_type;

#define KV_ARG_OPTIONAL (1u << 0)
#define KV_ARG_MULTIPLE (1u << 1)
#define KV_ARG_MULTIPLE_TOKEN (1u << 2)

/* A node of the COMMAND DOCS argument tree. */
typedef struct kv_arg {
    const char *name;
    const char *display;                            /* NULL for ONEOF and BLOCK */
    const char *token;                              /* NULL: none; "" is a token too (an empty word) */
    const char *summary, *since, *deprecated_since; /* NULL: none */
    uint8_t type, flags;                            /* kv_arg_type, KV_ARG_... */
    int16_t key_spec;                               /* index of the key spec, -1: none */
    uint16_t child_count;
    const struct kv_arg *children;
} kv_arg;

typedef struct kv_history {
    const char *since, *text;
} kv_history;

#define KV_DOC_DEPRECATED (1u << 0)
#define KV_DOC_SYSCMD (1u << 1)

/* The cold half: what only COMMAND INFO and COMMAND DOCS need. */
typedef struct kv_command_doc {
    const char *summary, *since, *complexity, *usage; /* usage: one line, without the command's name */
    const char *deprecated_since, *replaced_by;       /* NULL: none */
    uint16_t doc_flags, tip_count, history_count, arg_count;
    const char *const *tips;
    const kv_history *history;
    const kv_arg *args;
} kv_command_doc;

typedef enum kv_group {
    KV_GROUP_GENERIC,
    KV_GROUP_STRING,
    KV_GROUP_LIST,
    KV_GROUP_SET,
    KV_GROUP_SORTED_SET,
    KV_GROUP_HASH,
    KV_GROUP_PUBSUB,
    KV_GROUP_TRANSACTIONS,
    KV_GROUP_CONNECTION,
    KV_GROUP_SERVER,
    KV_GROUP_SCRIPTING,
    KV_GROUP_HYPERLOGLOG,
    KV_GROUP_CLUSTER,
    KV_GROUP_SENTINEL,
    KV_GROUP_GEO,
    KV_GROUP_STREAM,
    KV_GROUP_BITMAP
} kv_group;

#define KV_COMMAND_NONE UINT16_MAX

struct kv_command;
/* Finds the keys where the key specs cannot (SORT ... STORE) or where flags depend on options (SET ... GET). Contract: kv_command_keys. */
typedef int kv_keys_function(const struct kv_command *command, int argc, const kv_slice *argv, kv_key_ref *out, int cap);

typedef struct kv_command {
    const char *name;                      /* own name in lower case: "get" of config|get */
    const char *full_name;                 /* "config|get"; equals name for a top-level command */
    kv_handler *handler;                   /* NULL: a container that cannot be called alone */
    uint64_t flags;                        /* KV_CMD_... */
    uint32_t acl;                          /* KV_ACL_... */
    uint16_t id;                           /* its index in the table */
    uint16_t parent;                       /* id of the container, or KV_COMMAND_NONE */
    uint16_t sub_first, sub_count;         /* subcommands are neighbours: commands[sub_first .. sub_first + sub_count) */
    int16_t arity;                         /* words including the name(s); negative: at least */
    int16_t first_key, last_key, key_step; /* the legacy triple of COMMAND INFO; 0,0,0: none */
    uint8_t name_len, full_name_len;
    uint8_t group; /* kv_group */
    uint8_t key_spec_count;
    const kv_key_spec *key_specs;
    kv_keys_function *keys; /* NULL: the key specs tell everything */
    const kv_command_doc *doc;
} kv_command;

typedef struct kv_command_table {
    const kv_command *commands; /* top-level commands first, by name; then subcommands, container by container */
    const uint16_t *slots;      /* ids, or KV_COMMAND_NONE */
    uint32_t slot_mask;         /* slot count - 1 */
    uint16_t count;             /* all commands */
    uint16_t top_count;         /* those without a parent */
} kv_command_table;

/* A top-level command by name, any case; NULL when there is none. O(1), about 10 ns. */
const kv_command *kv_command_find(const kv_command_table *table, kv_slice name);

/* The same for a thread that sees the same few names again and again: a memo of the very bytes of names, up to eight. NULL: there is none, or it has
 * subcommands, or the name is longer. Starts as zeros; one table only. O(1), about 2 ns for a name that is in it. */
typedef struct kv_command_memo {
    struct {
        uint64_t name;
        const kv_command *command;
    } at[16];
} kv_command_memo;
const kv_command *kv_command_recall(kv_command_memo *memo, const kv_command_table *table, kv_slice name);

/* A subcommand of `container` by its own name, any case; NULL when there is none. */
const kv_command *kv_command_find_sub(const kv_command_table *table, const kv_command *container, kv_slice name);

/* By full name ("config|get", any case): COMMAND INFO, COMMAND DOCS, ACL rules. NULL when there is none. */
const kv_command *kv_command_find_full(const kv_command_table *table, kv_slice full_name);

typedef enum kv_resolution {
    KV_RESOLVED,           /* *out is the command, the subcommand for a container; the number of arguments fits */
    KV_UNKNOWN_COMMAND,    /* "ERR unknown command ..." (kv_command_unknown_text); *out is NULL */
    KV_UNKNOWN_SUBCOMMAND, /* "ERR unknown subcommand 'x'. Try CONFIG HELP."; *out is the container */
    KV_WRONG_ARITY         /* "ERR wrong number of arguments for 'config|get' command"; *out is the command */
} kv_resolution;

/* What argv (argc >= 1) calls. */
kv_resolution kv_command_resolve(const kv_command_table *table, int argc, const kv_slice *argv, const kv_command **out);

/* Write the error line for a failed resolution ("ERR ...", no CR LF) into out; returns its length (< KV_RESOLUTION_TEXT_MAX). The words of the
 * request are cut as Valkey cuts them. Bytes are copied as they are: the reply sink replaces line ends. */
#define KV_RESOLUTION_TEXT_MAX 512
size_t kv_command_error(kv_resolution resolution, const kv_command *command, int argc, const kv_slice *argv,
                        char out[KV_RESOLUTION_TEXT_MAX]);

static inline bool kv_command_arity_fits(const kv_command *command, int argc) {
    return command->arity >= 0 ? argc == command->arity : argc >= -command->arity;
}

/* The one hash of command names, in any case; parent is 0 for a top-level command and the container's id + 1 for a subcommand. tools/gen.py
 * computes the same number to fill the slots. */
uint32_t kv_command_hash(kv_slice name, uint32_t parent);

/* THE key extraction: for locks, the cluster slot, ACL, COMMAND GETKEYS, WATCH and propagation. Writes at most cap references in the order of
 * the key specs and returns how many there are in all (may exceed cap: call again with room), 0 when the command has none, -1 when the
 * arguments do not make sense (a key count that is not a number or larger than what follows); such a call is dispatched without keys, since its
 * handler replies the error before it looks at one. Never reads outside argv. A key given twice is listed twice. NOT_KEY specs (shard channels) are left out. O(keys). */
int kv_command_keys(const kv_command *command, int argc, const kv_slice *argv, kv_key_ref *out, int cap);

/* Whether any call of it may have keys; channels (NOT_KEY) do not count. */
bool kv_command_has_keys(const kv_command *command);

/* Whether this call needs every shard: ALL_KEYS, or SORT with a BY or GET pattern that looks other keys up. */
bool kv_command_locks_all(const kv_command *command, int argc, const kv_slice *argv);

/* Key functions that spec/ names (`keys_function`). */
kv_keys_function kv_keys_sort, kv_keys_set, kv_keys_migrate;

/* Names for COMMAND INFO: flag bit 0..19 -> "write", ...; NULL for a bit that is not reported. */
const char *kv_command_flag_name(unsigned bit);
const char *kv_acl_category_name(unsigned bit); /* 0..KV_ACL_COUNT-1: "write" (without '@') */
const char *kv_key_flag_name(unsigned bit);     /* 0..KV_KEY_FLAG_COUNT-1: "RO", ..., "variable_flags" */
const char *kv_group_name(kv_group group);      /* "sorted-set" */
const char *kv_arg_type_name(kv_arg_type type); /* "pure-token" */

/* Verifies every invariant of a table: order, parents, hash slots, specs. For tests. */
bool kv_command_table_check(const kv_command_table *table);

#endif
