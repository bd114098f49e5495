/* Finding commands, and the keys in their arguments.
 *
 * Names are found in a table that the generator has filled: open addressing, linear probing, at most a third full, so that a hit costs one hash
 * of a short name, 1.2 probes and one comparison. Subcommands are in the same table; their hash is mixed with the id of the container, and a slot
 * only matches when the parent is the same.
 *
 * Keys are found from the key specs alone, except for the commands that name a function (SORT, SET). Invariant of every reference written:
 * 1 <= arg < argc. */
#include "engine/command.h"

#include <limits.h>
#include <stdio.h>

#include "base/num.h"

/* ---- names ---- */

static inline uint64_t load32(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

/* Up to eight bytes as a little-endian number, without a call to memcpy: the two halves overlap when there are fewer. */
static inline uint64_t load_bytes(const uint8_t *p, size_t len) {
    if (len >= 8) return load32(p) | load32(p + 4) << 32;
    if (len >= 4) return load32(p) | (load32(p + len - 4) >> (8 * (8 - len))) << 32;
    if (len > 0) return p[0] | (uint64_t)p[len / 2] << (8 * (len / 2)) | (uint64_t)p[len - 1] << (8 * (len - 1));
    return 0;
}

static inline uint64_t load_word(const uint8_t *p, size_t len) {
    return load_bytes(p, len) |
           UINT64_C(0x2020202020202020); /* letters in lower case; what this does to other bytes does no harm to a hash */
}

static inline uint32_t hash_name(kv_slice name, uint32_t parent) {
    uint64_t value = name.len + parent * UINT64_C(0x9E3779B97F4A7C15);
    for (size_t at = 0; at < name.len; at += 8) {
        size_t left = name.len - at;
        value = (value ^ load_word(name.ptr + at, left)) * UINT64_C(0xD6E8FEB86659FD93);
        value ^= value >> 32;
    }
    return (uint32_t)value;
}

uint32_t kv_command_hash(kv_slice name, uint32_t parent) { return hash_name(name, parent); }

/* `lower` is in lower case already. */
static inline bool same_name(kv_slice name, const char *lower, size_t lower_len) {
    if (name.len != lower_len) return false;
    for (size_t i = 0; i < lower_len; i++) {
        unsigned c = name.ptr[i];
        if (c - 'A' < 26u) c += 'a' - 'A';
        if (c != (unsigned char)lower[i]) return false;
    }
    return true;
}

static inline const kv_command *find(const kv_command_table *table, kv_slice name, uint16_t parent) {
    if (name.len > UINT8_MAX) return NULL; /* no name is that long, and hashing it is the caller's time */
    uint32_t slot = hash_name(name, parent == KV_COMMAND_NONE ? 0 : parent + 1u) & table->slot_mask;
    for (uint16_t id; (id = table->slots[slot]) != KV_COMMAND_NONE; slot = (slot + 1) & table->slot_mask) {
        const kv_command *command = &table->commands[id];
        if (command->parent == parent && same_name(name, command->name, command->name_len)) return command;
    }
    return NULL;
}

const kv_command *kv_command_find(const kv_command_table *table, kv_slice name) { return find(table, name, KV_COMMAND_NONE); }

/* A name's bytes and the length of the command tell it apart: only a name that ends with NUL bytes has the number of a shorter one. */
const kv_command *kv_command_recall(kv_command_memo *memo, const kv_command_table *table, kv_slice name) {
    if (name.len - 1 > 7) return NULL;
    uint64_t bytes = load_bytes(name.ptr, name.len);
    size_t place = bytes * UINT64_C(0x9E3779B97F4A7C15) >> 60;
    const kv_command *command = memo->at[place].command;
    if (command != NULL && memo->at[place].name == bytes && command->name_len == name.len) return command;
    command = kv_command_find(table, name);
    if (command == NULL || command->sub_count != 0) return NULL;
    memo->at[place].name = bytes;
    memo->at[place].command = command;
    return command;
}

const kv_command *kv_command_find_sub(const kv_command_table *table, const kv_command *container, kv_slice name) {
    return container->sub_count == 0 ? NULL : find(table, name, container->id);
}

const kv_command *kv_command_find_full(const kv_command_table *table, kv_slice full_name) {
    const uint8_t *bar = full_name.len == 0 ? NULL : memchr(full_name.ptr, '|', full_name.len);
    if (bar == NULL) return kv_command_find(table, full_name);
    size_t before = (size_t)(bar - full_name.ptr);
    const kv_command *container = kv_command_find(table, kv_slice_of(full_name.ptr, before));
    if (container == NULL) return NULL;
    return kv_command_find_sub(table, container, kv_slice_of(bar + 1, full_name.len - before - 1));
}

kv_resolution kv_command_resolve(const kv_command_table *table, int argc, const kv_slice *argv, const kv_command **out) {
    const kv_command *command = find(table, argv[0], KV_COMMAND_NONE);
    if (command == NULL) {
        *out = NULL;
        return KV_UNKNOWN_COMMAND;
    }
    if (command->sub_count != 0 && argc > 1) {
        const kv_command *sub = kv_command_find_sub(table, command, argv[1]);
        if (sub == NULL) {
            *out = command;
            return KV_UNKNOWN_SUBCOMMAND;
        }
        command = sub;
    }
    *out = command;
    return kv_command_arity_fits(command, argc) ? KV_RESOLVED : KV_WRONG_ARITY;
}

/* ---- the error lines; each part is cut at 128 bytes, and at a NUL byte, as the peers do it ---- */

#define WORD_MAX 128

typedef struct text {
    char *at;
    size_t len;
} text;

static void add(text *out, const void *bytes, size_t len) {
    size_t room = KV_RESOLUTION_TEXT_MAX - 1 - out->len;
    if (len > room) len = room;
    if (len == 0) return;
    memcpy(out->at + out->len, bytes, len);
    out->len += len;
}

static void add_cstr(text *out, const char *s) { add(out, s, strlen(s)); }

static void add_word(text *out, kv_slice word, size_t max) {
    size_t len = word.len < max ? word.len : max;
    const void *nul = len == 0 ? NULL : memchr(word.ptr, '\0', len);
    if (nul != NULL) len = (size_t)((const uint8_t *)nul - word.ptr);
    add(out, word.ptr, len);
}

static void add_unknown(text *out, int argc, const kv_slice *argv) {
    add_cstr(out, "ERR unknown command '");
    add_word(out, argv[0], WORD_MAX);
    add_cstr(out, "', with args beginning with: ");
    size_t start = out->len;
    for (int i = 1; i < argc && out->len - start < WORD_MAX; i++) {
        size_t left = WORD_MAX - (out->len - start);
        add_cstr(out, "'");
        add_word(out, argv[i], left);
        add_cstr(out, "' ");
    }
}

static void add_unknown_sub(text *out, const kv_command *container, kv_slice word) {
    add_cstr(out, "ERR unknown subcommand '");
    add_word(out, word, WORD_MAX);
    add_cstr(out, "'. Try ");
    for (size_t i = 0; i < container->name_len; i++) {
        char c = container->name[i];
        if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
        add(out, &c, 1);
    }
    add_cstr(out, " HELP.");
}

size_t kv_command_error(kv_resolution resolution, const kv_command *command, int argc, const kv_slice *argv,
                        char out[KV_RESOLUTION_TEXT_MAX]) {
    text line = {out, 0};
    if (resolution == KV_UNKNOWN_COMMAND) {
        add_unknown(&line, argc, argv);
    } else if (resolution == KV_UNKNOWN_SUBCOMMAND) {
        add_unknown_sub(&line, command, argv[1]);
    } else if (resolution == KV_WRONG_ARITY) {
        add_cstr(&line, "ERR wrong number of arguments for '");
        add_cstr(&line, command->full_name);
        add_cstr(&line, "' command");
    }
    out[line.len] = '\0';
    return line.len;
}

/* ---- keys ---- */

typedef struct key_list {
    kv_key_ref *out;
    int cap, count;
} key_list;

static inline void push_key(key_list *list, int arg, uint32_t flags) {
    if (list->count < list->cap) list->out[list->count] = (kv_key_ref){arg, flags};
    list->count++;
}

/* Where a spec's search begins; 0 when its keyword is not there. */
static int begin_of(const kv_key_spec *spec, int argc, const kv_slice *argv) {
    if (spec->begin == KV_BEGIN_INDEX) return spec->index;
    if (spec->index >= 0) {
        for (int i = spec->index; i < argc; i++)
            if (kv_slice_is(argv[i], spec->keyword)) return i + 1;
    } else {
        for (int i = argc + spec->index; i > 0; i--)
            if (kv_slice_is(argv[i], spec->keyword)) return i + 1;
    }
    return 0;
}

/* First and last key of a spec (step between them); false: the arguments do not make sense. Last < first: no keys. */
static bool bounds_of(const kv_key_spec *spec, int begin, int argc, const kv_slice *argv, int *first, int *last) {
    if (spec->find == KV_KEYS_RANGE) {
        int end;
        if (spec->last >= 0) end = begin + spec->last;
        else if (spec->limit <= 1) end = argc + spec->last;
        else end = begin + (argc - begin) / spec->limit + spec->last;
        if (begin >= argc || end < begin || end >= argc) return false;
        *first = begin;
        *last = end;
        return true;
    }
    int64_t count;
    if (begin + spec->count_at >= argc || !kv_parse_i64(argv[begin + spec->count_at], &count)) return false;
    if (count < 0 || count > (argc - begin) / spec->step) return false;
    *first = begin + spec->first;
    *last = *first + ((int)count - 1) * spec->step;
    return count == 0 || *last < argc;
}

int kv_command_keys(const kv_command *command, int argc, const kv_slice *argv, kv_key_ref *out, int cap) {
    if (command->keys != NULL) return command->keys(command, argc, argv, out, cap);
    key_list list = {out, cap, 0};
    for (size_t i = 0; i < command->key_spec_count; i++) {
        const kv_key_spec *spec = &command->key_specs[i];
        if (spec->begin == KV_BEGIN_UNKNOWN || spec->find == KV_KEYS_UNKNOWN || (spec->flags & KV_KEY_NOT_KEY) != 0) continue;
        int begin = begin_of(spec, argc, argv), first, last;
        if (begin == 0) continue;
        if (!bounds_of(spec, begin, argc, argv, &first, &last)) return -1;
        for (int arg = first; arg <= last; arg += spec->step) push_key(&list, arg, spec->flags);
    }
    if (list.count == 0 && command->key_spec_count != 0 && command->key_specs[0].find == KV_KEYS_KEYNUM &&
        (command->flags & KV_CMD_NO_MANDATORY_KEYS) == 0)
        return -1; /* ZUNION 0: a count of none where keys are needed */
    return list.count;
}

/* SORT key [BY p] [LIMIT a b] [GET p ...] [STORE destination] ...: the words after BY, GET and LIMIT are no options. */
int kv_keys_sort(const kv_command *command, int argc, const kv_slice *argv, kv_key_ref *out, int cap) {
    (void)command;
    key_list list = {out, cap, 0};
    if (argc < 2) return -1;
    push_key(&list, 1, KV_KEY_RO | KV_KEY_ACCESS);
    int store = 0;
    for (int i = 2; i < argc; i++) {
        if (kv_slice_is(argv[i], "limit")) {
            i += 2;
        } else if (kv_slice_is(argv[i], "get") || kv_slice_is(argv[i], "by")) {
            i += 1;
        } else if (kv_slice_is(argv[i], "store") && i + 1 < argc) {
            store = ++i; /* the last one counts */
        }
    }
    if (store != 0) push_key(&list, store, KV_KEY_OW | KV_KEY_UPDATE);
    return list.count;
}

/* SET key value [GET] ...: without GET the old value is not looked at. */
int kv_keys_set(const kv_command *command, int argc, const kv_slice *argv, kv_key_ref *out, int cap) {
    (void)command;
    key_list list = {out, cap, 0};
    if (argc < 2) return -1;
    uint32_t flags = KV_KEY_OW | KV_KEY_UPDATE;
    for (int i = 3; i < argc; i++) {
        if (kv_slice_is(argv[i], "get")) flags = KV_KEY_RW | KV_KEY_ACCESS | KV_KEY_UPDATE;
    }
    push_key(&list, 1, flags);
    return list.count;
}

/* MIGRATE host port key|"" db timeout ... [KEYS key ...]: the words after AUTH and AUTH2 are no options. */
int kv_keys_migrate(const kv_command *command, int argc, const kv_slice *argv, kv_key_ref *out, int cap) {
    (void)command;
    key_list list = {out, cap, 0};
    if (argc < 6) return -1;
    int first = 3, end = 4;
    for (int i = 6; i < argc; i++) {
        if (kv_slice_is(argv[i], "auth")) {
            i += 1;
        } else if (kv_slice_is(argv[i], "auth2")) {
            i += 2;
        } else if (kv_slice_is(argv[i], "keys") && i + 1 < argc) {
            if (argv[3].len > 0) return -1;
            first = i + 1;
            end = argc;
            break;
        }
    }
    for (int arg = first; arg < end; arg++) push_key(&list, arg, KV_KEY_RW | KV_KEY_ACCESS | KV_KEY_DELETE);
    return list.count;
}

bool kv_command_has_keys(const kv_command *command) {
    for (size_t i = 0; i < command->key_spec_count; i++) {
        if ((command->key_specs[i].flags & KV_KEY_NOT_KEY) == 0) return true;
    }
    return command->keys != NULL;
}

bool kv_command_locks_all(const kv_command *command, int argc, const kv_slice *argv) {
    if ((command->flags & KV_CMD_ALL_KEYS) != 0) return true;
    if ((command->flags & KV_CMD_MAYBE_ALL_KEYS) == 0) return false;
    for (int i = 2; i + 1 < argc; i++) { /* a pattern without '*' names no key */
        if (!kv_slice_is(argv[i], "by") && !kv_slice_is(argv[i], "get")) continue;
        if (argv[i + 1].len != 0 && memchr(argv[i + 1].ptr, '*', argv[i + 1].len) != NULL) return true;
    }
    return false;
}
