/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* The keeper on a file system that forgets: a story of writes with rewrites in between is told once, and after a crash behind each of its calls what was
 * answered under `always` is there, and what is there is a prefix of the story. The same with the n-th call failing. */
#include <stdlib.h>
#include <unistd.h>

#include "api/command_table.h"
#include "api/config_table.h"
#include "check.h"
#include "crashfs.h"
#include "engine/cron.h"
#include "engine/dispatch.h"
#include "engine/journal.h"
#include "engine/persistence.h"
#include "engine/settings_apply.h"
#include "persist/keeper.h"
#include "persist/payload.h"

enum { STEPS = 24 };

typedef struct scene {
    crashfs *fs;
    kv_vfs vfs;
    kv_engine *engine;
    kv_keeper *keeper;
    kv_session *session;
    kv_buf reply;
    _Atomic uint64_t answered;
    bool server;
} scene;

static char place[] = "/tmp/kvXXXXXX";
static char file[64];

/* A store on this file system. False: it cannot be opened. */
static bool begin(scene *s, crashfs *fs, bool server, kv_buf *reason) {
    *s = (scene){.fs = fs, .vfs = crashfs_vfs(fs), .server = server};
    kv_engine_options options = {
        .commands = &kv_commands, .config = &kv_config_options, .codec = &kv_payload_codec, .shards = 2, .vfs = &s->vfs, .seed = 1};
    s->engine = kv_engine_create(&options);
    CHECK(s->engine != NULL);
    kv_setting_store(&s->engine->settings, KV_CFG_APPENDONLY, 1);
    kv_setting_store(&s->engine->settings, KV_CFG_APPENDFSYNC, KV_APPENDFSYNC_ALWAYS);
    kv_keeper_options how = {.path = server ? place : file, .durability = KV_DURABLE_ALWAYS};
    kv_problem problem;
    s->keeper =
        server ? kv_keeper_open_server(s->engine, &how, &problem, reason) : kv_keeper_open_single(s->engine, &how, &problem, reason);
    CHECK((s->keeper != NULL) == (problem == KV_PROBLEM_NONE));
    if (s->keeper == NULL) return false;
    s->session = kv_session_create(s->engine, NULL, NULL, NULL);
    CHECK(s->session != NULL);
    s->session->authenticated = true;
    s->session->format = KV_FORMAT_RESP2;
    s->session->resp = 2;
    kv_buf_init(&s->reply, &s->engine->mem);
    return true;
}

static void end(scene *s) {
    if (s->session != NULL) {
        kv_session_destroy(s->session);
        kv_buf_deinit(&s->reply);
    }
    kv_cron_stop(s->engine);
    kv_buf reason;
    kv_buf_init(&reason, &s->engine->mem);
    if (s->keeper != NULL) (void)kv_keeper_finish(s->keeper, 0, true, &reason);
    kv_buf_deinit(&reason);
    kv_keeper_destroy(s->keeper);
    kv_engine_destroy(s->engine);
    CHECK(s->fs->opened == 0);
}

/* True: answered without an error, and whatever the answer shows is durable. */
static bool run(scene *s, int argc, const char *const *words) {
    kv_slice argv[4];
    for (int i = 0; i < argc; i++) argv[i] = kv_slice_cstr(words[i]);
    kv_buf_clear(&s->reply);
    CHECK(kv_execute(s->session, argc, argv, &s->reply) == KV_OUTCOME_DONE);
    kv_session_settle(s->session, &s->reply, 0);
    CHECK(s->reply.len > 0);
    return s->reply.ptr[0] != '-';
}

static bool step(scene *s, int number) {
    char key[16], text[16];
    snprintf(key, sizeof key, "k%d", number);
    snprintf(text, sizeof text, "%d", number);
    return run(s, 3, (const char *const[]){"MSET", key, text}) || run(s, 3, (const char *const[]){"MSET", key, text});
}

static void rewrite(scene *s) {
    kv_buf reason;
    kv_buf_init(&reason, &s->engine->mem);
    if (!s->server) {
        (void)kv_keeper_compact(s->keeper, NULL, NULL, &reason);
    } else {
        const kv_persistence *files = s->engine->persistence;
        const char *status;
        (void)files->rewrite(files->arg, &status, &reason);
        kv_keeper_facts facts;
        _Atomic uint32_t nobody = 0;
        do { /* it has begun and ended, or nothing more comes of it */
            (void)kv_wait_word(&nobody, 0, kv_mono_ns() + 3000000);
            kv_keeper_facts_of(s->keeper, &facts);
        } while (facts.compacting);
    }
    kv_buf_deinit(&reason);
}

/* The story. A step that is refused is told again a little later: the keeper finds a way around one failure. */
static int tell(scene *s) {
    _Atomic uint32_t nobody = 0;
    for (int i = 1; i <= STEPS; i++) {
        for (int tries = 0; !step(s, i); tries++) {
            CHECK(tries < 4000);
            (void)kv_wait_word(&nobody, 0, kv_mono_ns() + 5000000);
        }
        atomic_store(&s->answered, (uint64_t)i);
        if (i == STEPS / 3 || i == STEPS * 2 / 3) rewrite(s);
    }
    return STEPS;
}

/* How many of the first keys are there; no other is. */
static int told(scene *s) {
    int count = 0;
    char key[16];
    do snprintf(key, sizeof key, "k%d", ++count);
    while (run(s, 2, (const char *const[]){"GET", key}) && s->reply.ptr[1] != '-');
    CHECK(run(s, 1, (const char *const[]){"DBSIZE"}));
    s->reply.ptr[s->reply.len - 2] = 0;
    CHECK(atoi((const char *)s->reply.ptr + 1) == count - 1);
    return count - 1;
}

/* The disk becomes a file system of its own; the disk is empty afterwards. */
static crashfs *wake_up(crashfs_disk *disk) {
    crashfs *fs = crashfs_new();
    fs->live = *disk;
    *disk = (crashfs_disk){.count = 0};
    fs->inode_count = 0;
    for (int i = 0; i < fs->live.count; i++)
        if (fs->live.names[i].inode >= fs->inode_count) fs->inode_count = fs->live.names[i].inode + 1;
    return fs;
}

static void crashes(bool server) {
    scene s;
    kv_mem mem;
    kv_buf reason;
    kv_mem_init(&mem);
    kv_buf_init(&reason, &mem);
    crashfs *fs = crashfs_new();
    static _Atomic uint64_t nothing;
    fs->watched = &nothing;
    CHECK(begin(&s, fs, server, &reason));
    fs->watched = &s.answered;
    CHECK(tell(&s) == STEPS && told(&s) == STEPS);
    end(&s);
    fs->watched = NULL;
    size_t calls = fs->op_count;
    for (size_t n = 0; n <= calls; n++) {
        for (uint64_t seed = 1; seed <= 2; seed++) {
            crashfs_disk disk = {.count = 0};
            crashfs_crash(fs, n, seed * 7919 + n, &disk);
            crashfs *after = wake_up(&disk);
            scene again;
            kv_buf_clear(&reason);
            if (!begin(&again, after, server, &reason)) {
                fprintf(stderr, "after call %zu of %zu, seed %llu: %.*s\n", n, calls, (unsigned long long)seed, (int)reason.len,
                        (const char *)reason.ptr);
                CHECK(false);
            }
            int there = told(&again), due = n == 0 ? 0 : (int)fs->ops[n - 1].mark;
            if (there < due)
                fprintf(stderr, "after call %zu of %zu, seed %llu: %d of %d\n", n, calls, (unsigned long long)seed, there, due);
            CHECK(there >= due);
            end(&again);
            crashfs_free(after);
        }
    }
    printf("%s: %zu calls\n", server ? "server" : "single file", calls);
    crashfs_free(fs);
    kv_buf_deinit(&reason);
}

/* The n-th call fails once: the story goes on to its end, and all of it is there afterwards. */
static void failures(bool server) {
    kv_mem mem;
    kv_buf reason;
    kv_mem_init(&mem);
    kv_buf_init(&reason, &mem);
    int total = 1 << 20, refused = 0;
    for (int n = 0; n < total; n++) {
        crashfs *fs = crashfs_new();
        scene s;
        fs->fail_at = n;
        fs->error = n % 2 == 0 ? EIO : ENOSPC;
        kv_buf_clear(&reason);
        bool open = begin(&s, fs, server, &reason);
        CHECK(open || reason.len > 0);
        if (open) CHECK(tell(&s) == STEPS && told(&s) == STEPS);
        else refused++;
        end(&s);
        int calls = fs->calls;
        fs->fail_at = -1;
        if (open) {
            kv_buf_clear(&reason);
            if (!begin(&s, fs, server, &reason)) fprintf(stderr, "call %d: %.*s\n", n, (int)reason.len, (const char *)reason.ptr);
            CHECK(s.keeper != NULL);
            int there = told(&s);
            if (there != STEPS) fprintf(stderr, "call %d: %d\n", n, there);
            CHECK(there == STEPS);
            end(&s);
        }
        crashfs_free(fs);
        if (n >= calls) total = n;
    }
    printf("%s: each of %d calls failed once, %d times nothing was opened\n", server ? "server" : "single file", total, refused);
    kv_buf_deinit(&reason);
}

/* The n-th call of a reload fails: all of the story is in memory, and goes on; or it is not, and then nothing is written any more, and all of it is on disk. */
static void reloads(bool server, int argc, const char *const *words) {
    kv_mem mem;
    kv_buf reason;
    _Atomic uint32_t nobody = 0;
    int told_off = 0, lost = 0, n = 0;
    kv_mem_init(&mem);
    kv_buf_init(&reason, &mem);
    for (bool reached = true; reached; n++) {
        crashfs *fs = crashfs_new();
        scene s;
        CHECK(begin(&s, fs, server, &reason));
        kv_setting_store(&s.engine->settings, KV_CFG_ENABLE_DEBUG_COMMAND, KV_ENABLE_DEBUG_COMMAND_YES);
        CHECK(tell(&s) == STEPS);
        if (server) CHECK(run(&s, 1, (const char *const[]){"SAVE"}));
        kv_mutex_lock(&fs->lock);
        fs->fail_at = fs->calls + n;
        fs->error = EIO;
        kv_mutex_unlock(&fs->lock);
        bool good = run(&s, argc, words), goes_on = false;
        kv_mutex_lock(&fs->lock);
        reached = fs->calls > fs->fail_at;
        fs->fail_at = -1;
        kv_mutex_unlock(&fs->lock);
        for (int tries = 0; tries < 40 && !goes_on; tries++) {
            goes_on = step(&s, STEPS + 1);
            if (!goes_on) (void)kv_wait_word(&nobody, 0, kv_mono_ns() + 5000000);
        }
        CHECK(goes_on || !good);
        if (goes_on) CHECK(told(&s) == STEPS + 1);
        else CHECK(!server || !run(&s, 1, (const char *const[]){"SAVE"}));
        told_off += !good;
        lost += !goes_on;
        end(&s);
        CHECK(begin(&s, fs, server, &reason));
        CHECK(told(&s) == STEPS + goes_on);
        end(&s);
        crashfs_free(fs);
    }
    CHECK(told_off > 0 && lost > 0);
    printf("%s: each of %d calls of %s failed once, refused %d times, not whole %d times\n", server ? "server" : "single file", n, words[1],
           told_off, lost);
    kv_buf_deinit(&reason);
}

int main(void) {
    CHECK(mkdtemp(place) != NULL);
    snprintf(file, sizeof file, "%s/app.kv", place);
    for (int server = 0; server < 2; server++) {
        crashes(server != 0);
        failures(server != 0);
        reloads(server != 0, 2, (const char *const[]){"DEBUG", "RELOAD"});
        if (server != 0) reloads(true, 3, (const char *const[]){"DEBUG", "RELOAD", "NOSAVE"});
        reloads(server != 0, 2, (const char *const[]){"DEBUG", "LOADAOF"});
    }
    CHECK(rmdir(place) == 0);
    return 0;
}
