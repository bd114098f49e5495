/* The words that COMMAND INFO and COMMAND DOCS use for flags, categories, groups and types; and the check of a whole table. */
#include "engine/command.h"

static const char *const flag_names[] = {
    "write",        "readonly",        "denyoom", "admin", "pubsub",  "noscript",      "blocking",          "loading",          "stale",
    "skip_monitor", "skip_commandlog", "asking",  "fast",  "no_auth", "may_replicate", "no_mandatory_keys", "no_async_loading", "no_multi",
    "allow_busy",   "movablekeys",
};

static const char *const acl_names[KV_ACL_COUNT] = {
    "keyspace", "read",   "write", "set",  "sortedset", "list",     "hash",      "string",     "bitmap",      "hyperloglog", "geo",
    "stream",   "pubsub", "admin", "fast", "slow",      "blocking", "dangerous", "connection", "transaction", "scripting",
};

static const char *const key_flag_names[KV_KEY_FLAG_COUNT] = {
    "RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags",
};

static const char *const group_names[] = {
    "generic", "string",    "list",        "set",     "sorted-set", "hash", "pubsub", "transactions", "connection",
    "server",  "scripting", "hyperloglog", "cluster", "sentinel",   "geo",  "stream", "bitmap",
};

static const char *const arg_type_names[] = {
    "string", "integer", "double", "key", "pattern", "unix-time", "pure-token", "oneof", "block",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *kv_command_flag_name(unsigned bit) { return bit < COUNT(flag_names) ? flag_names[bit] : NULL; }
const char *kv_acl_category_name(unsigned bit) { return bit < KV_ACL_COUNT ? acl_names[bit] : NULL; }
const char *kv_key_flag_name(unsigned bit) { return bit < KV_KEY_FLAG_COUNT ? key_flag_names[bit] : NULL; }
const char *kv_group_name(kv_group group) { return (size_t)group < COUNT(group_names) ? group_names[group] : NULL; }
const char *kv_arg_type_name(kv_arg_type type) { return (size_t)type < COUNT(arg_type_names) ? arg_type_names[type] : NULL; }

static bool spec_ok(const kv_key_spec *spec) {
    uint32_t mode = spec->flags & (KV_KEY_RO | KV_KEY_RW | KV_KEY_OW | KV_KEY_RM);
    if ((spec->flags & KV_KEY_NOT_KEY) == 0 && (mode == 0 || (mode & (mode - 1)) != 0)) return false;
    if (spec->begin == KV_BEGIN_INDEX && spec->index < 1) return false;
    if (spec->begin == KV_BEGIN_KEYWORD && (spec->keyword == NULL || spec->index == 0)) return false;
    return spec->begin == KV_BEGIN_UNKNOWN || spec->find == KV_KEYS_UNKNOWN || spec->step >= 1;
}

static bool args_ok(const kv_arg *args, size_t count, size_t key_specs) {
    for (size_t i = 0; i < count; i++) {
        const kv_arg *arg = &args[i];
        bool inner = arg->type == KV_ARG_ONEOF || arg->type == KV_ARG_BLOCK;
        if (arg->name == NULL || inner != (arg->child_count != 0) || inner != (arg->display == NULL)) return false;
        if (arg->type == KV_ARG_PURE_TOKEN && arg->token == NULL) return false;
        if (arg->key_spec >= (int)key_specs || (arg->type == KV_ARG_KEY && arg->key_spec < 0)) return false;
        if (!args_ok(arg->children, arg->child_count, key_specs)) return false;
    }
    return true;
}

static bool command_ok(const kv_command_table *table, const kv_command *command, size_t id) {
    if (command->id != id || command->arity == 0 || command->doc == NULL) return false;
    if (strlen(command->name) != command->name_len || strlen(command->full_name) != command->full_name_len) return false;
    if ((command->parent == KV_COMMAND_NONE) != (id < table->top_count)) return false;
    if (kv_command_find_full(table, kv_slice_cstr(command->full_name)) != command) return false;
    if (((command->flags & KV_CMD_CONTAINER) != 0) != (command->sub_count != 0)) return false;
    for (size_t i = 0; i < command->sub_count; i++) {
        if (table->commands[command->sub_first + i].parent != command->id) return false;
    }
    for (size_t i = 0; i < command->key_spec_count; i++) {
        if (!spec_ok(&command->key_specs[i])) return false;
    }
    return args_ok(command->doc->args, command->doc->arg_count, command->key_spec_count);
}

bool kv_command_table_check(const kv_command_table *table) {
    size_t used = 0;
    for (size_t slot = 0; slot <= table->slot_mask; slot++) {
        if (table->slots[slot] == KV_COMMAND_NONE) continue;
        if (table->slots[slot] >= table->count) return false;
        used++;
    }
    if (used != table->count) return false;
    for (size_t id = 0; id < table->count; id++) {
        if (!command_ok(table, &table->commands[id], id)) return false;
        if (id > 0 && id < table->top_count && strcmp(table->commands[id - 1].name, table->commands[id].name) >= 0) return false;
    }
    return true;
}
