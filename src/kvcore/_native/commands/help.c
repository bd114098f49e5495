/* HELP of every container, written from the declarations: one usage line and one summary a subcommand. */
#include <ctype.h>
#include <stdio.h>

#include "engine/ctx.h"
#include "engine/engine.h"

static void upper(char *out, size_t cap, const char *name) {
    size_t i = 0;
    for (; name[i] != 0 && i + 1 < cap; i++) out[i] = (char)toupper((unsigned char)name[i]);
    out[i] = 0;
}

static void help_line(kv_ctx *c, const char *name, const kv_command_doc *doc) {
    char word[64], text[512];
    upper(word, sizeof word, name);
    snprintf(text, sizeof text, "%s%s%s", word, doc->usage != NULL && doc->usage[0] != 0 ? " " : "", doc->usage != NULL ? doc->usage : "");
    kv_reply_status(c->reply, text);
    snprintf(text, sizeof text, "    %s", doc->summary);
    kv_reply_status(c->reply, text);
}

static void help(kv_ctx *c) {
    const kv_command *container = &c->engine->commands->commands[c->command->parent];
    char word[64], text[128];
    upper(word, sizeof word, container->name);
    snprintf(text, sizeof text, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", word);
    kv_reply_array(c->reply, 1 + 2 * (size_t)container->sub_count);
    kv_reply_status(c->reply, text);
    const kv_command *self = c->command;
    for (unsigned i = 0; i < container->sub_count; i++) {
        const kv_command *sub = &c->engine->commands->commands[container->sub_first + i];
        if (sub != self) help_line(c, sub->name, sub->doc);
    }
    kv_reply_status(c->reply, "HELP");
    kv_reply_status(c->reply, "    Print this help.");
}

void kv_cmd_client_help(kv_ctx *c) { help(c); }
void kv_cmd_command_help(kv_ctx *c) { help(c); }
void kv_cmd_commandlog_help(kv_ctx *c) { help(c); }
void kv_cmd_config_help(kv_ctx *c) { help(c); }
void kv_cmd_latency_help(kv_ctx *c) { help(c); }
void kv_cmd_memory_help(kv_ctx *c) { help(c); }
void kv_cmd_module_help(kv_ctx *c) { help(c); }
void kv_cmd_pubsub_help(kv_ctx *c) { help(c); }
void kv_cmd_slowlog_help(kv_ctx *c) { help(c); }
void kv_cmd_object_help(kv_ctx *c) { help(c); }
