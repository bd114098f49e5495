/* sources: base/*.c ds/*.c types/*.c store/*.c engine/*.c commands/*.c persist/*.c net/*.c api/*.c */
/* The command table and its lookups: every command is found in any case, errors have the exact texts, keys are the ones that a reader sees. */
#include <stdint.h>
#include <time.h>

#include "api/command_table.h"
#include "base/num.h"
#include "check.h"
#include "engine/command.h"

#define WORDS_MAX 64

static int split(const char *line, kv_slice out[WORDS_MAX]) {
    int count = 0;
    while (*line != '\0') {
        size_t len = strcspn(line, " ");
        out[count++] = kv_slice_of(line, len);
        line += len;
        while (*line == ' ') line++;
    }
    return count;
}

static void check_error(const char *line, kv_resolution wanted, const char *text) {
    kv_slice argv[WORDS_MAX];
    int argc = split(line, argv);
    const kv_command *command;
    char out[KV_RESOLUTION_TEXT_MAX];
    CHECK(kv_command_resolve(&kv_commands, argc, argv, &command) == wanted);
    size_t len = kv_command_error(wanted, command, argc, argv, out);
    CHECK(len == strlen(text) && strcmp(out, text) == 0);
}

static void test_names(void) {
    CHECK(kv_command_table_check(&kv_commands));
    for (size_t id = 0; id < kv_commands.count; id++) {
        const kv_command *command = &kv_commands.commands[id];
        char upper[64];
        for (size_t i = 0; i <= command->full_name_len; i++) {
            char c = command->full_name[i];
            upper[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
        }
        CHECK(kv_command_find_full(&kv_commands, kv_slice_cstr(upper)) == command);
        upper[0] = '!';
        CHECK(kv_command_find_full(&kv_commands, kv_slice_cstr(upper)) == NULL);
    }
    CHECK(kv_command_find(&kv_commands, KV_LIT("")) == NULL);
    CHECK(kv_command_find(&kv_commands, KV_LIT("ge")) == NULL);
    CHECK(kv_command_find(&kv_commands, KV_LIT("config|get")) == NULL);
    CHECK(kv_command_find_full(&kv_commands, KV_LIT("get|get")) == NULL);
    CHECK(kv_command_find_full(&kv_commands, KV_LIT("config|")) == NULL);
    char longest[300];
    memset(longest, 'a', sizeof longest);
    CHECK(kv_command_find(&kv_commands, kv_slice_of(longest, sizeof longest)) == NULL);
}

/* The memo answers as the table does, whatever was asked before, for names in any case and for those that only look like one. */
static void test_memo(void) {
    kv_command_memo memo = {0};
    for (int round = 0; round < 3; round++) {
        for (size_t id = 0; id < kv_commands.top_count; id++) {
            const kv_command *command = &kv_commands.commands[id];
            char name[80];
            for (size_t i = 0; i < command->name_len; i++) {
                char c = command->name[i];
                name[i] = round != 1 || c < 'a' || c > 'z' ? c : (char)(c - 32);
            }
            name[command->name_len] = 0;
            bool fits = command->name_len <= 8 && command->sub_count == 0;
            for (int again = 0; again < 2; again++) {
                CHECK(kv_command_recall(&memo, &kv_commands, kv_slice_of(name, command->name_len)) == (fits ? command : NULL));
                CHECK(kv_command_recall(&memo, &kv_commands, kv_slice_of(name, command->name_len + 1u)) == NULL); /* "get\0" */
            }
        }
    }
    kv_command_memo fresh = {0};
    for (size_t len = 0; len < 10; len++) CHECK(kv_command_recall(&fresh, &kv_commands, kv_slice_of("\0\0\0\0\0\0\0\0\0", len)) == NULL);
}

static void test_resolution(void) {
    check_error("FOO a b", KV_UNKNOWN_COMMAND, "ERR unknown command 'FOO', with args beginning with: 'a' 'b' ");
    check_error("FOO", KV_UNKNOWN_COMMAND, "ERR unknown command 'FOO', with args beginning with: ");
    check_error("config nope x", KV_UNKNOWN_SUBCOMMAND, "ERR unknown subcommand 'nope'. Try CONFIG HELP.");
    check_error("CONFIG", KV_WRONG_ARITY, "ERR wrong number of arguments for 'config' command");
    check_error("CONFIG GET", KV_WRONG_ARITY, "ERR wrong number of arguments for 'config|get' command");
    check_error("get", KV_WRONG_ARITY, "ERR wrong number of arguments for 'get' command");
    check_error("GET a b", KV_WRONG_ARITY, "ERR wrong number of arguments for 'get' command");
    kv_slice argv[WORDS_MAX];
    const kv_command *command;
    CHECK(kv_command_resolve(&kv_commands, split("Config Get maxmemory", argv), argv, &command) == KV_RESOLVED);
    CHECK(strcmp(command->full_name, "config|get") == 0);
    CHECK(kv_command_resolve(&kv_commands, split("COMMAND", argv), argv, &command) == KV_RESOLVED);
    CHECK(strcmp(command->full_name, "command") == 0);
}

/* wanted: argument indices, each with its access: r RO, w RW, o OW, d RM. NULL: invalid. */
static void check_keys(const char *line, const char *wanted) {
    kv_slice argv[WORDS_MAX];
    int argc = split(line, argv);
    const kv_command *command;
    CHECK(kv_command_resolve(&kv_commands, argc, argv, &command) == KV_RESOLVED);
    kv_key_ref refs[WORDS_MAX];
    int count = kv_command_keys(command, argc, argv, refs, WORDS_MAX);
    if (wanted == NULL) {
        CHECK(count == -1);
        return;
    }
    CHECK(count >= 0);
    CHECK(kv_command_keys(command, argc, argv, NULL, 0) == count);
    char text[256] = "";
    size_t len = 0;
    for (int i = 0; i < count; i++) {
        char access = (refs[i].flags & KV_KEY_RO) ? 'r' : (refs[i].flags & KV_KEY_RW) ? 'w' : (refs[i].flags & KV_KEY_OW) ? 'o' : 'd';
        CHECK(refs[i].arg >= 1 && refs[i].arg < argc);
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%d%c", i > 0 ? " " : "", refs[i].arg, access);
    }
    if (strcmp(text, wanted) != 0) fprintf(stderr, "%s: %s, not %s\n", line, text, wanted);
    CHECK(strcmp(text, wanted) == 0);
}

static void test_keys(void) {
    check_keys("PING", "");
    check_keys("GET k", "1r");
    check_keys("SET k v", "1o");
    check_keys("SET k v NX GET", "1w");
    check_keys("MSET a 1 b 2", "1o 3o");
    check_keys("MSETEX 2 a 1 b 2 EX 5", "2o 4o");
    check_keys("MSETEX 9 a 1", NULL);
    check_keys("DEL a b c", "1d 2d 3d");
    check_keys("BLPOP a b 0", "1w 2w");
    check_keys("BLMPOP 0 2 a b LEFT", "3w 4w");
    check_keys("LMPOP x a LEFT", NULL);
    check_keys("LMPOP 3 a LEFT", NULL);
    check_keys("ZUNION 0 a", NULL);
    check_keys("ZUNION -1 a", NULL);
    check_keys("ZUNION 99999999999 a", NULL);
    check_keys("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "1o 3r 4r");
    check_keys("SINTERCARD 2 a b LIMIT 1", "2r 3r");
    check_keys("SORT k", "1r");
    check_keys("SORT k BY store LIMIT 0 1 GET store STORE d", "1r 10o");
    check_keys("SORT k STORE a STORE b", "1r 5o");
    check_keys("LMOVE a b LEFT RIGHT", "1w 2w");
    check_keys("OBJECT ENCODING k", "2r");
    check_keys("MEMORY USAGE k", "2r");
    check_keys("SPUBLISH ch m", "");
    check_keys("WATCH a b", "1r 2r");
}

static void test_locks_all(void) {
    static const struct {
        const char *line;
        bool all;
    } rows[] = {{"KEYS *", true},
                {"GET k", false},
                {"SORT k", false},
                {"SORT k BY nosort", false},
                {"SORT k BY w_*", true},
                {"SORT k GET #", false},
                {"SORT k GET #  GET a*", true},
                {"FLUSHALL", true},
                {"DBSIZE", true},
                {"SCAN 0", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        kv_slice argv[WORDS_MAX];
        const kv_command *command;
        int argc = split(rows[i].line, argv);
        CHECK(kv_command_resolve(&kv_commands, argc, argv, &command) == KV_RESOLVED);
        CHECK(kv_command_locks_all(command, argc, argv) == rows[i].all);
    }
}

int main(void) {
    test_names();
    test_memo();
    test_resolution();
    test_keys();
    test_locks_all();
    printf("ok command\n");
    return 0;
}
