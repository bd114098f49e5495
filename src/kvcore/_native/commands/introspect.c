/* COMMAND and its subcommands: the declarations as clients read them. */
#include "base/glob.h"
#include "engine/ctx.h"
#include "engine/engine.h"
#include "engine/errors.h"

static const kv_command_table *table_of(const kv_ctx *c) { return c->engine->commands; }

/* ---- COMMAND INFO ---- */

static void reply_flags(kv_reply *reply, uint64_t bits, unsigned count, const char *(*name)(unsigned), const char *prefix) {
    kv_mark mark = kv_reply_defer(reply);
    size_t n = 0;
    for (unsigned i = 0; i < count; i++) {
        if ((bits >> i & 1) == 0 || name(i) == NULL) continue;
        char text[40];
        size_t len = 0;
        if (prefix[0] != 0) text[len++] = prefix[0];
        for (const char *from = name(i); *from != 0 && len < sizeof text - 1; from++) text[len++] = *from;
        text[len] = 0;
        kv_reply_status(reply, text);
        n++;
    }
    kv_reply_defer_set(reply, mark, n);
}

static const char *flag_name(unsigned bit) { return kv_command_flag_name(bit); }
static const char *acl_name(unsigned bit) { return kv_acl_category_name(bit); }
static const char *key_name(unsigned bit) { return kv_key_flag_name(bit); }

static void word(kv_reply *reply, const char *name) { kv_reply_bulk_cstr(reply, name); }

static void number(kv_reply *reply, const char *name, int64_t value) {
    word(reply, name);
    kv_reply_int(reply, value);
}

static void reply_begin_search(kv_reply *reply, const kv_key_spec *spec) {
    kv_reply_map(reply, 2);
    word(reply, "type");
    switch ((kv_key_begin)spec->begin) {
    case KV_BEGIN_INDEX:
        word(reply, "index");
        word(reply, "spec");
        kv_reply_map(reply, 1);
        number(reply, "index", spec->index);
        break;
    case KV_BEGIN_KEYWORD:
        word(reply, "keyword");
        word(reply, "spec");
        kv_reply_map(reply, 2);
        word(reply, "keyword");
        word(reply, spec->keyword);
        number(reply, "startfrom", spec->index);
        break;
    case KV_BEGIN_UNKNOWN:
        word(reply, "unknown");
        word(reply, "spec");
        kv_reply_map(reply, 0);
        break;
    }
}

static void reply_find_keys(kv_reply *reply, const kv_key_spec *spec) {
    kv_reply_map(reply, 2);
    word(reply, "type");
    switch ((kv_key_find)spec->find) {
    case KV_KEYS_RANGE:
        word(reply, "range");
        word(reply, "spec");
        kv_reply_map(reply, 3);
        number(reply, "lastkey", spec->last);
        number(reply, "keystep", spec->step);
        number(reply, "limit", spec->limit);
        break;
    case KV_KEYS_KEYNUM:
        word(reply, "keynum");
        word(reply, "spec");
        kv_reply_map(reply, 3);
        number(reply, "keynumidx", spec->count_at);
        number(reply, "firstkey", spec->first);
        number(reply, "keystep", spec->step);
        break;
    case KV_KEYS_UNKNOWN:
        word(reply, "unknown");
        word(reply, "spec");
        kv_reply_map(reply, 0);
        break;
    }
}

static void reply_key_spec(kv_reply *reply, const kv_key_spec *spec) {
    kv_reply_map(reply, spec->notes == NULL ? 3 : 4);
    if (spec->notes != NULL) {
        word(reply, "notes");
        word(reply, spec->notes);
    }
    word(reply, "flags");
    reply_flags(reply, spec->flags, KV_KEY_FLAG_COUNT, key_name, "");
    word(reply, "begin_search");
    reply_begin_search(reply, spec);
    word(reply, "find_keys");
    reply_find_keys(reply, spec);
}

static void reply_info(kv_ctx *c, const kv_command *command) {
    kv_reply *reply = c->reply;
    if (command == NULL) {
        kv_reply_null(reply);
        return;
    }
    kv_reply_array(reply, 10);
    word(reply, command->full_name);
    kv_reply_int(reply, command->arity);
    reply_flags(reply, command->flags, 20, flag_name, "");
    kv_reply_int(reply, command->first_key);
    kv_reply_int(reply, command->last_key);
    kv_reply_int(reply, command->key_step);
    reply_flags(reply, command->acl, KV_ACL_COUNT, acl_name, "@");
    kv_reply_set(reply, command->doc->tip_count);
    for (unsigned i = 0; i < command->doc->tip_count; i++) word(reply, command->doc->tips[i]);
    kv_reply_set(reply, command->key_spec_count);
    for (unsigned i = 0; i < command->key_spec_count; i++) reply_key_spec(reply, &command->key_specs[i]);
    kv_reply_array(reply, command->sub_count);
    for (unsigned i = 0; i < command->sub_count; i++) reply_info(c, &table_of(c)->commands[command->sub_first + i]);
}

static void reply_all(kv_ctx *c) {
    kv_reply_array(c->reply, table_of(c)->top_count);
    for (unsigned i = 0; i < table_of(c)->top_count; i++) reply_info(c, &table_of(c)->commands[i]);
}

void kv_cmd_command(kv_ctx *c) { reply_all(c); }

void kv_cmd_command_info(kv_ctx *c) {
    if (c->argc == 2) {
        reply_all(c);
        return;
    }
    kv_reply_array(c->reply, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) reply_info(c, kv_command_find_full(table_of(c), c->argv[i]));
}

void kv_cmd_command_count(kv_ctx *c) { kv_reply_int(c->reply, table_of(c)->top_count); }

/* ---- COMMAND DOCS ---- */

static void reply_arg_flags(kv_reply *reply, unsigned flags) {
    kv_reply_set(reply, (size_t)__builtin_popcount(flags));
    if ((flags & KV_ARG_OPTIONAL) != 0) kv_reply_status(reply, "optional");
    if ((flags & KV_ARG_MULTIPLE) != 0) kv_reply_status(reply, "multiple");
    if ((flags & KV_ARG_MULTIPLE_TOKEN) != 0) kv_reply_status(reply, "multiple_token");
}

static void text_field(kv_reply *reply, const char *name, const char *text, size_t *count) {
    if (text == NULL) return;
    word(reply, name);
    word(reply, text);
    (*count)++;
}

static void reply_args(kv_reply *reply, const kv_arg *args, size_t arg_count) {
    kv_reply_array(reply, arg_count);
    for (size_t i = 0; i < arg_count; i++) {
        const kv_arg *arg = &args[i];
        kv_mark mark = kv_reply_defer(reply);
        size_t fields = 0;
        text_field(reply, "name", arg->name, &fields);
        text_field(reply, "type", kv_arg_type_name((kv_arg_type)arg->type), &fields);
        text_field(reply, "display_text", arg->display, &fields);
        if (arg->key_spec >= 0) {
            number(reply, "key_spec_index", arg->key_spec);
            fields++;
        }
        text_field(reply, "token", arg->token, &fields);
        text_field(reply, "summary", arg->summary, &fields);
        text_field(reply, "since", arg->since, &fields);
        text_field(reply, "deprecated_since", arg->deprecated_since, &fields);
        if (arg->flags != 0) {
            word(reply, "flags");
            reply_arg_flags(reply, arg->flags);
            fields++;
        }
        if (arg->child_count > 0) {
            word(reply, "arguments");
            reply_args(reply, arg->children, arg->child_count);
            fields++;
        }
        kv_reply_defer_map(reply, mark, fields);
    }
}

static void reply_doc_flags(kv_reply *reply, unsigned flags) {
    kv_reply_set(reply, (size_t)__builtin_popcount(flags));
    if ((flags & KV_DOC_DEPRECATED) != 0) kv_reply_status(reply, "deprecated");
    if ((flags & KV_DOC_SYSCMD) != 0) kv_reply_status(reply, "syscmd");
}

static void reply_docs(kv_ctx *c, const kv_command *command);

static void reply_subcommand_docs(kv_ctx *c, const kv_command *command) {
    kv_reply_map(c->reply, command->sub_count);
    for (unsigned i = 0; i < command->sub_count; i++) reply_docs(c, &table_of(c)->commands[command->sub_first + i]);
}

/* Name and documentation: two elements of a map. */
static void reply_docs(kv_ctx *c, const kv_command *command) {
    kv_reply *reply = c->reply;
    const kv_command_doc *doc = command->doc;
    word(reply, command->full_name);
    kv_mark mark = kv_reply_defer(reply);
    size_t fields = 0;
    text_field(reply, "summary", doc->summary, &fields);
    text_field(reply, "since", doc->since, &fields);
    text_field(reply, "group", kv_group_name((kv_group)command->group), &fields);
    text_field(reply, "complexity", doc->complexity, &fields);
    if (doc->doc_flags != 0) {
        word(reply, "doc_flags");
        reply_doc_flags(reply, doc->doc_flags);
        fields++;
    }
    text_field(reply, "deprecated_since", doc->deprecated_since, &fields);
    text_field(reply, "replaced_by", doc->replaced_by, &fields);
    if (doc->history_count > 0) {
        word(reply, "history");
        kv_reply_set(reply, doc->history_count);
        for (unsigned i = 0; i < doc->history_count; i++) {
            kv_reply_array(reply, 2);
            word(reply, doc->history[i].since);
            word(reply, doc->history[i].text);
        }
        fields++;
    }
    if (doc->arg_count > 0) {
        word(reply, "arguments");
        reply_args(reply, doc->args, doc->arg_count);
        fields++;
    }
    if (command->sub_count > 0) {
        word(reply, "subcommands");
        reply_subcommand_docs(c, command);
        fields++;
    }
    kv_reply_defer_map(reply, mark, fields);
}

void kv_cmd_command_docs(kv_ctx *c) {
    kv_mark mark = kv_reply_defer(c->reply);
    size_t count = 0;
    if (c->argc == 2) {
        for (unsigned i = 0; i < table_of(c)->top_count; i++) {
            reply_docs(c, &table_of(c)->commands[i]);
            count++;
        }
    }
    for (int i = 2; i < c->argc; i++) {
        const kv_command *command = kv_command_find_full(table_of(c), c->argv[i]);
        if (command == NULL) continue;
        reply_docs(c, command);
        count++;
    }
    kv_reply_defer_map(c->reply, mark, count);
}

/* ---- GETKEYS, LIST ---- */

static void get_keys(kv_ctx *c, bool with_flags) {
    const kv_command *command;
    kv_resolution resolution = kv_command_resolve(table_of(c), c->argc - 2, c->argv + 2, &command);
    if (resolution == KV_UNKNOWN_COMMAND || resolution == KV_UNKNOWN_SUBCOMMAND) {
        kv_reply_error(c->reply, "ERR Invalid command specified");
        return;
    }
    if (!kv_command_has_keys(command)) {
        kv_reply_error(c->reply, "ERR The command has no key arguments");
        return;
    }
    if (resolution == KV_WRONG_ARITY) {
        kv_reply_error(c->reply, "ERR Invalid number of arguments specified for command");
        return;
    }
    kv_key_ref *refs = kv_malloc(kv_ctx_mem(c), (size_t)c->argc * sizeof *refs);
    int count = refs == NULL ? 0 : kv_command_keys(command, c->argc - 2, c->argv + 2, refs, c->argc);
    if (refs == NULL) {
        kv_ctx_out_of_memory(c);
    } else if (count < 0) {
        kv_reply_error(c->reply, "ERR Invalid arguments specified for command");
    } else if (count == 0) {
        if ((command->flags & KV_CMD_NO_MANDATORY_KEYS) != 0) kv_reply_array(c->reply, 0);
        else kv_reply_error(c->reply, "ERR Invalid arguments specified for command");
    } else {
        kv_reply_array(c->reply, (size_t)count);
        for (int i = 0; i < count; i++) {
            if (with_flags) kv_reply_array(c->reply, 2);
            kv_reply_bulk(c->reply, c->argv[2 + refs[i].arg]);
            if (with_flags) reply_flags(c->reply, refs[i].flags, KV_KEY_FLAG_COUNT, key_name, "");
        }
    }
    kv_free(kv_ctx_mem(c), refs);
}

void kv_cmd_command_getkeys(kv_ctx *c) { get_keys(c, false); }
void kv_cmd_command_getkeysandflags(kv_ctx *c) { get_keys(c, true); }

static bool in_category(const kv_command *command, kv_slice category) {
    for (unsigned i = 0; i < KV_ACL_COUNT; i++)
        if (kv_slice_is(category, kv_acl_category_name(i))) return (command->acl >> i & 1) != 0;
    return false;
}

void kv_cmd_command_list(kv_ctx *c) {
    bool filtered = c->argc == 5 && kv_ctx_is(c, 2, "filterby");
    bool by_pattern = filtered && kv_ctx_is(c, 3, "pattern"), by_category = filtered && kv_ctx_is(c, 3, "aclcat");
    bool by_module = filtered && kv_ctx_is(c, 3, "module");
    if (c->argc != 2 && !by_pattern && !by_category && !by_module) {
        kv_ctx_syntax_error(c);
        return;
    }
    kv_mark mark = kv_reply_defer(c->reply);
    size_t count = 0;
    for (unsigned i = 0; i < table_of(c)->count && !by_module; i++) {
        const kv_command *command = &table_of(c)->commands[i];
        if (by_pattern && !kv_glob(c->argv[4], kv_slice_cstr(command->full_name), true)) continue;
        if (by_category && !in_category(command, c->argv[4])) continue;
        word(c->reply, command->full_name);
        count++;
    }
    kv_reply_defer_array(c->reply, mark, count);
}
