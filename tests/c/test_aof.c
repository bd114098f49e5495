/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* The log's writer on a file system in memory. Group number n is "SET n <text of n>", which can be checked by itself; so what a file holds is read back and
 * must be groups 1, 2, ... m, as far as was promised at least. Framing, cuts with records of both epochs, waiting, limits; each call to the file system
 * failing, once or for ever; every state that a crash may leave; memory running out. */
#include "base/rng.h"
#include "client.h"
#include "crashfs.h"
#include "logfile.h"
#include "persist/aof.h"
#include "persist/aof_read.h"

enum { LONG = 3000, FILES = 12 };

typedef struct scene {
    kvcore_store *store;
    kv_engine *engine;
    crashfs *fs;
    kv_vfs vfs;
    kv_aof *aof;
    kv_journal *journal;
    _Atomic int files, failures; /* "f0" ... are the log, in this order */
    _Atomic bool recovers, gave_up;
    _Atomic bool by_another, inside; /* another thread recovers; the callback runs */
    _Atomic size_t end[FILES];       /* of one that is not the last */
} scene;

static kv_mem mem;

static int open_next(scene *s) {
    char name[16];
    snprintf(name, sizeof name, "f%d", s->files);
    CHECK(s->files < FILES);
    int fd = s->vfs.open(&s->vfs, name, O_CREAT | O_WRONLY, 0600);
    if (fd >= 0) {
        s->end[s->files] = SIZE_MAX;
        s->files++;
    }
    return fd;
}

static void on_failed(void *arg, int error) {
    scene *s = arg;
    CHECK(error != 0);
    s->failures++;
    if (s->by_another) {
        s->inside = true;
        kv_stall_until(kv_mono_ns() + 50000000);
        s->inside = false;
        return;
    }
    kv_aof_state state;
    kv_aof_state_of(s->aof, &state);
    CHECK(state.failed && atomic_load(&s->journal->refusal) != NULL);
    if (error == ENOMEM) return; /* a unit is missing: a new base will have it */
    for (int tries = 0; s->recovers && state.clean && !state.lost && tries < 2; tries++) {
        s->end[s->files - 1] = state.clean_size;
        int fd = open_next(s);
        if (fd < 0) continue;
        if (kv_aof_recover(s->aof, fd, 0) == KV_OK) {
            CHECK(atomic_load(&s->journal->refusal) == NULL);
            return;
        }
        s->vfs.close(&s->vfs, fd);
        s->files--; /* the same name again: what is in it was cut off, if that was possible */
    }
    s->gave_up = true;
    kv_aof_poison(s->aof);
}

static void begin(scene *s, kv_aof_policy policy, bool annotate, size_t limit) {
    memset(s, 0, sizeof *s);
    s->store = store_open("");
    s->engine = kvcore_store_engine(s->store);
    s->fs = crashfs_new();
    s->vfs = crashfs_vfs(s->fs);
    s->engine->vfs = &s->vfs;
    s->recovers = true;
    kv_aof_options options = {.engine = s->engine, .policy = policy, .limit = limit, .annotate = annotate, .arg = s, .failed = on_failed};
    s->aof = kv_aof_create(&options);
    CHECK(s->aof != NULL);
    s->journal = kv_aof_journal(s->aof);
    s->fs->watched = &s->journal->durable;
    int fd = open_next(s);
    CHECK(fd >= 0);
    kv_aof_open(s->aof, fd, 0);
}

static void end(scene *s) {
    kv_aof_destroy(s->aof);
    s->aof = NULL;
    s->fs->watched = NULL;
    CHECK(s->fs->opened == 0 && atomic_load(&s->engine->mail_bytes) == 0);
}

static void clean_up(scene *s) {
    crashfs_free(s->fs);
    s->engine->vfs = &kv_vfs_posix;
    kvcore_close(s->store);
}

/* ---- groups that tell their number ---- */

static size_t text_len(uint64_t n) { return n % 11 == 10 ? (size_t)LONG : (size_t)(n * 7 % 90); }
static uint8_t text_byte(uint64_t n, size_t i) { return (uint8_t)('A' + (n * 31 + i * 7) % 57); }
static int db_of(uint64_t n) { return n / 13 % 3 == 1 ? 4 : 0; }
static uint32_t count_of(uint64_t n) { return n % 5 == 4 ? 3 : 1; }

/* The records of group n without its frame. */
static void body(kv_buf *out, uint64_t n) {
    static char text[LONG];
    char number[24];
    for (size_t i = 0; i < text_len(n); i++) text[i] = (char)text_byte(n, i);
    for (uint32_t i = 1; i < count_of(n); i++) log_command(out, "INCR c");
    kv_buf_add(out, "*3\r\n", 4);
    log_word(out, KV_LIT("SET"));
    log_word(out, kv_slice_of(number, (size_t)snprintf(number, sizeof number, "%llu", (unsigned long long)n)));
    log_word(out, kv_slice_of(text, text_len(n)));
}

static uint64_t append(scene *s, uint64_t n, uint32_t epoch) {
    kv_effects effects = {.count = count_of(n), .first_db = db_of(n), .last_db = db_of(n)};
    kv_buf_init(&effects.bytes, &mem);
    body(&effects.bytes, n);
    uint64_t number = s->journal->append(s->journal, epoch, &effects);
    kv_buf_deinit(&effects.bytes);
    return number;
}

static bool is_group(const kv_aof_reader *r, const kv_aof_group *group, int db, uint64_t *n) {
    if (group->count == 0) return false;
    const kv_aof_command *command = &r->commands[group->first + group->count - 1];
    const kv_slice *argv = kv_aof_argv(r, command);
    if (command->argc != 3 || !kv_slice_is(argv[0], "SET") || !kv_parse_u64(argv[1], n)) return false;
    bool good = argv[2].len == text_len(*n) && group->count == count_of(*n) && db == db_of(*n);
    for (size_t i = 0; good && i < argv[2].len; i++) good = argv[2].ptr[i] == text_byte(*n, i);
    return good;
}

static uint64_t number_in(kv_slice text) {
    uint64_t n = UINT64_MAX;
    (void)kv_parse_u64(text, &n);
    return n;
}

typedef struct content {
    kv_aof_status status;
    uint64_t first, last; /* the groups in it, without a gap; 0: none */
    uint64_t good;
    bool right;
} content;

static content read_bytes(kv_slice bytes) {
    memfile file = {.bytes = bytes, .fail_at = -1};
    kv_vfs vfs = memfile_vfs(&file);
    kv_source source;
    kv_aof_reader r;
    content c = {.right = true};
    int db = -1;
    CHECK(kv_source_open(&source, &vfs, &mem, "f") == KV_OK && kv_aof_reader_init(&r, &source) == KV_OK);
    while ((c.status = kv_aof_reader_next(&r)) == KV_AOF_BATCH) {
        for (size_t g = 0; g < r.group_count; g++) {
            const kv_aof_command *command = &r.commands[r.groups[g].first];
            const kv_slice *argv = kv_aof_argv(&r, command);
            uint64_t n = 0;
            if (command->argc == 2 && kv_slice_is(argv[0], "select")) {
                db = (int)number_in(argv[1]);
                continue;
            }
            c.right = c.right && is_group(&r, &r.groups[g], db, &n) && (c.last == 0 || n == c.last + 1);
            if (c.first == 0) c.first = n;
            c.last = n;
        }
    }
    c.good = r.good;
    kv_aof_reader_deinit(&r);
    kv_source_close(&source);
    return c;
}

/* What the files of the log hold, one after the other. -1: they do not hold groups 1 ... m. */
static int64_t read_files(const scene *s, const crashfs_disk *disk) {
    uint64_t last = 0;
    bool torn = false;
    for (int i = 0; i < s->files; i++) {
        char name[16];
        bool there;
        snprintf(name, sizeof name, "f%d", i);
        kv_slice bytes = crashfs_file(disk, name, &there);
        if (bytes.len > s->end[i] && i + 1 < s->files) bytes.len = s->end[i];
        content c = read_bytes(bytes);
        if (!c.right || c.status == KV_AOF_CORRUPT || c.status == KV_AOF_FAILED) return -1;
        if (c.first != 0 && (torn || c.first != last + 1)) return -1; /* a torn file is the last with something in it */
        if (c.last != 0) last = c.last;
        torn = torn || c.status == KV_AOF_TORN;
    }
    return (int64_t)last;
}

static int64_t read_live(const scene *s) { return read_files(s, &s->fs->live); }

/* ---- framing ---- */

static void framing(void) {
    scene s;
    begin(&s, KV_AOF_EVERYSEC, false, 0);
    kv_buf wanted;
    kv_buf_init(&wanted, &mem);
    int db = -1;
    for (uint64_t n = 1; n <= 3000; n++) {
        CHECK(append(&s, n, 1) == n);
        if (db_of(n) != db) kv_buf_printf(&wanted, "*2\r\n$6\r\nselect\r\n$1\r\n%d\r\n", db_of(n));
        db = db_of(n);
        if (count_of(n) > 1) log_command(&wanted, "MULTI");
        body(&wanted, n);
        if (count_of(n) > 1) log_command(&wanted, "EXEC");
        if (n % 1000 == 0) {
            uint64_t size = 0;
            CHECK(kv_aof_flush(s.aof, &size) == KV_OK && size == wanted.len && atomic_load(&s.journal->durable) == n);
        }
    }
    kv_aof_state state;
    kv_aof_state_of(s.aof, &state);
    CHECK(state.size == wanted.len && state.pending == 0 && state.appended == 3000 && !state.failed && state.last_fsync_ms > 0);
    end(&s);
    bool there;
    CHECK(kv_slice_eq(crashfs_file(&s.fs->live, "f0", &there), kv_buf_slice(&wanted)));
    kv_buf_deinit(&wanted);
    clean_up(&s);

    begin(&s, KV_AOF_NO, true, 0); /* and with lines, in small and large pieces */
    for (uint64_t n = 1; n <= 3000; n++) {
        append(&s, n, 1);
        if (n % 700 == 0) CHECK(kv_aof_flush(s.aof, NULL) == KV_OK);
    }
    end(&s);
    kv_slice bytes = crashfs_file(&s.fs->live, "f0", &there);
    content c = read_bytes(bytes);
    CHECK(c.status == KV_AOF_END && c.right && c.last == 3000 && c.good == bytes.len);
    clean_up(&s);
}

static void one_big_group(void) {
    scene s;
    begin(&s, KV_AOF_ALWAYS, true, 0);
    kv_effects effects = {.count = 1};
    kv_buf_init(&effects.bytes, &mem);
    kv_buf_add(&effects.bytes, "*2\r\n$4\r\nECHO\r\n$3000000\r\n", 24);
    CHECK(kv_buf_reserve(&effects.bytes, 3000002));
    memset(effects.bytes.ptr + effects.bytes.len, 'x', 3000000);
    effects.bytes.len += 3000000;
    kv_buf_add(&effects.bytes, "\r\n", 2);
    uint64_t number = s.journal->append(s.journal, 1, &effects);
    CHECK(s.journal->wait(s.journal, number, UINT64_MAX));
    append(&s, 2, 1);
    kv_buf_deinit(&effects.bytes);
    end(&s);
    bool there;
    CHECK(read_bytes(crashfs_file(&s.fs->live, "f0", &there)).status == KV_AOF_END);
    clean_up(&s);
}

/* ---- several threads ---- */

enum { THREADS = 4, EACH = 400 };

typedef struct worker {
    scene *s;
    kv_thread thread;
    uint64_t mine, last;
    int every;
} worker;

static void work(void *arg) {
    worker *w = arg;
    kv_mem own;
    kv_mem_init(&own);
    for (int i = 0; i < EACH; i++) {
        kv_effects effects = {.count = 1};
        char text[64];
        kv_buf_init(&effects.bytes, &own);
        snprintf(text, sizeof text, "SET t%llu %d", (unsigned long long)w->mine, i);
        log_command(&effects.bytes, text);
        uint64_t number = w->s->journal->append(w->s->journal, 1, &effects);
        CHECK(number > w->last);
        w->last = number;
        kv_buf_deinit(&effects.bytes);
        if (i % w->every == 0)
            CHECK(w->s->journal->wait(w->s->journal, number, UINT64_MAX) && atomic_load(&w->s->journal->durable) >= number);
    }
}

static void threads(kv_aof_policy policy) {
    scene s;
    begin(&s, policy, true, 0);
    worker workers[THREADS] = {0};
    for (uint64_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){.s = &s, .mine = i, .every = policy == KV_AOF_ALWAYS ? 7 : 300};
        CHECK(kv_thread_start(&workers[i].thread, "t", work, &workers[i]) == 0);
    }
    for (int i = 0; i < 20; i++) CHECK(kv_aof_flush(s.aof, NULL) == KV_OK);
    for (int i = 0; i < THREADS; i++) kv_thread_join(&workers[i].thread);
    end(&s);
    bool there;
    memfile file = {.bytes = crashfs_file(&s.fs->live, "f0", &there), .fail_at = -1};
    kv_vfs vfs = memfile_vfs(&file);
    kv_source source;
    kv_aof_reader r;
    kv_aof_status status;
    int next[THREADS] = {0};
    CHECK(kv_source_open(&source, &vfs, &mem, "f") == KV_OK && kv_aof_reader_init(&r, &source) == KV_OK);
    while ((status = kv_aof_reader_next(&r)) == KV_AOF_BATCH)
        for (size_t g = 0; g < r.group_count; g++) {
            const kv_slice *argv = kv_aof_argv(&r, &r.commands[r.groups[g].first]);
            if (kv_slice_is(argv[0], "select")) continue;
            int who = argv[1].ptr[1] - '0';
            CHECK(who >= 0 && who < THREADS && (int)number_in(argv[2]) == next[who]);
            next[who]++;
        }
    CHECK(status == KV_AOF_END);
    for (int i = 0; i < THREADS; i++) CHECK(next[i] == EACH);
    kv_aof_reader_deinit(&r);
    kv_source_close(&source);
    clean_up(&s);
}

/* ---- sessions ---- */

static void sessions(void) {
    scene s;
    begin(&s, KV_AOF_ALWAYS, true, 0);
    CHECK(atomic_load(&s.journal->gate));
    kv_session *many[200];
    for (int i = 0; i < 200; i++) CHECK((many[i] = kv_session_create(s.engine, NULL, NULL, NULL)) != NULL);
    for (uint64_t n = 1; n <= 200; n++) {
        kv_session *session = many[n - 1];
        uint32_t seen = atomic_load(&session->signal);
        uint64_t number = append(&s, n, 1);
        bool waits = s.journal->await(s.journal, session, number);
        while (waits && atomic_load(&s.journal->durable) < number) (void)kv_wait_word(&session->signal, seen, UINT64_MAX);
        CHECK(atomic_load(&s.journal->durable) >= number);
    }
    for (uint64_t n = 201; n <= 400; n++) { /* all wait, every third goes */
        uint64_t number = append(&s, n, 1);
        if (s.journal->await(s.journal, many[n - 201], number) && n % 3 == 0) s.journal->forget(s.journal, many[n - 201]);
    }
    for (int64_t k = 0; k < 3; k++) { /* no memory for one more in the list: its thread waits instead */
        for (int i = 0; i < 200; i++) {
            uint64_t number = append(&s, 401 + (uint64_t)i + 200 * (uint64_t)k, 1);
            atomic_store(&s.engine->mem.fail_after, k);
            bool waits = s.journal->await(s.journal, many[i], number);
            atomic_store(&s.engine->mem.fail_after, -1);
            CHECK(waits || atomic_load(&s.journal->durable) >= number);
        }
    }
    CHECK(kv_aof_flush(s.aof, NULL) == KV_OK);
    for (int i = 0; i < 200; i++) {
        s.journal->forget(s.journal, many[i]);
        kv_session_destroy(many[i]);
    }
    end(&s);
    CHECK(read_live(&s) == 1000);
    clean_up(&s);
}

/* ---- cuts ---- */

/* Groups of the old and of the new epoch come mixed while the cut is open. Old ones are written as 1, 2, ...; new ones follow on. */
static void cuts(kv_aof_policy policy) {
    for (int same = 0; same < 2; same++) {
        scene s;
        kv_rng rng;
        kv_rng_seed(&rng, 5);
        begin(&s, policy, true, 0);
        uint64_t n = 1;
        for (int round = 0; round < 6; round++) {
            for (int i = 0; i < 50; i++) append(&s, n++, (uint32_t)round + 1);
            kv_aof_cut_begin(s.aof, (uint32_t)round + 2);
            uint64_t old = n, fresh = n + 20, held = 0, number;
            for (int i = 0; i < 40; i++) { /* the same amount of each, mixed: the order in the file is not that of the numbers */
                bool is_old = fresh == n + 40 || (old < n + 20 && kv_rng_below(&rng, 2) == 0);
                number = append(&s, is_old ? old++ : fresh++, (uint32_t)round + (is_old ? 1 : 2));
                if (!is_old && held == 0) held = number;
                if (i == 20 && policy == KV_AOF_ALWAYS) CHECK(kv_aof_flush(s.aof, NULL) == KV_OK);
                CHECK(held == 0 || atomic_load(&s.journal->durable) < held);
            }
            n += 40;
            if (round == 3) { /* given up: the order in the file is that of the epochs all the same */
                kv_aof_cut_cancel(s.aof);
                CHECK(kv_aof_flush(s.aof, NULL) == KV_OK && atomic_load(&s.journal->durable) == number);
                continue;
            }
            uint64_t offset = 0;
            int fd = same == 1 ? -1 : open_next(&s);
            CHECK(kv_aof_cut_end(s.aof, fd, &offset) == KV_OK);
            CHECK(kv_aof_flush(s.aof, NULL) == KV_OK && atomic_load(&s.journal->durable) == number);
            bool there;
            if (same == 0) {
                CHECK(offset == 0);
            } else { /* what is behind the offset can stand alone */
                kv_slice bytes = crashfs_file(&s.fs->live, "f0", &there);
                content whole = read_bytes(bytes), before = read_bytes(kv_slice_of(bytes.ptr, (size_t)offset)),
                        after = read_bytes(kv_slice_of(bytes.ptr + offset, bytes.len - (size_t)offset));
                CHECK(whole.right && whole.status == KV_AOF_END && whole.last == n - 1);
                CHECK(before.right && before.status == KV_AOF_END && before.last == n - 21);
                CHECK(after.right && after.status == KV_AOF_END && after.first == n - 20 && after.last == n - 1);
            }
        }
        end(&s);
        CHECK(read_live(&s) == (int64_t)n - 1 && s.failures == 0);
        clean_up(&s);
    }
}

typedef struct mover {
    scene *s;
    uint64_t offset;
    bool refuses;
} mover;

static int move(void *arg, int fd, uint64_t size, uint64_t *new_size) {
    mover *m = arg;
    scene *s = m->s;
    (void)fd;
    if (m->refuses) {
        errno = ENOSPC;
        return -1;
    }
    bool there;
    kv_slice bytes = crashfs_file(&s->fs->live, "f0", &there);
    CHECK(there && bytes.len == size);
    int next = s->vfs.open(&s->vfs, "new", O_CREAT | O_WRONLY, 0600);
    kv_buf tail; /* the file system may move its own */
    kv_buf_init(&tail, &mem);
    kv_buf_add(&tail, bytes.ptr + m->offset, bytes.len - (size_t)m->offset);
    CHECK(next >= 0 && kv_vfs_write_all(&s->vfs, next, "BASE....", 8) == 0);
    CHECK(kv_vfs_write_all(&s->vfs, next, tail.ptr, tail.len) == 0 && s->vfs.fdatasync(&s->vfs, next) == 0);
    CHECK(s->vfs.rename(&s->vfs, "new", "f0") == 0 && s->vfs.fsync_dir(&s->vfs, "f0") == 0);
    *new_size = 8 + tail.len;
    kv_buf_deinit(&tail);
    return next;
}

static void swaps(void) {
    scene s;
    begin(&s, KV_AOF_EVERYSEC, true, 0);
    uint64_t n = 1, first = 1;
    for (uint32_t round = 0; round < 4; round++) {
        for (int i = 0; i < 300; i++) append(&s, n++, round + 1);
        kv_aof_cut_begin(s.aof, round + 2);
        uint64_t from = n;
        for (int i = 0; i < 30 && round != 2; i++) append(&s, n++, round + 2);
        mover m = {.s = &s};
        CHECK(kv_aof_cut_end(s.aof, -1, &m.offset) == KV_OK);
        for (int i = 0; i < 300; i++) append(&s, n++, round + 2);
        m.refuses = round == 1;
        CHECK(kv_aof_swap(s.aof, move, &m) == (m.refuses ? KV_EIO : KV_OK));
        if (!m.refuses) {
            CHECK(atomic_load(&s.journal->durable) == n - 1);
            first = from;
        }
    }
    for (int i = 0; i < 300; i++) append(&s, n++, 9);
    end(&s);
    bool there;
    kv_slice bytes = crashfs_file(&s.fs->live, "f0", &there);
    content c = read_bytes(kv_slice_of(bytes.ptr + 8, bytes.len - 8));
    CHECK(c.right && c.status == KV_AOF_END && c.first == first && c.last == n - 1);
    clean_up(&s);
}

/* ---- limits and failures ---- */

static void limits(void) {
    scene s;
    begin(&s, KV_AOF_EVERYSEC, true, 100000);
    uint64_t n = 1;
    bool was_full = false;
    for (; n <= 3000; n++) {
        append(&s, n, 1);
        if (atomic_load(&s.journal->full)) {
            was_full = true;
            CHECK(s.journal->wait(s.journal, 0, UINT64_MAX));
        }
    }
    CHECK(was_full);
    end(&s);
    CHECK(read_live(&s) == 3000);
    clean_up(&s);
}

static void poisoned(void) {
    scene s;
    begin(&s, KV_AOF_ALWAYS, true, 0);
    s.recovers = false;
    append(&s, 1, 1);
    CHECK(s.journal->wait(s.journal, 1, UINT64_MAX) && atomic_load(&s.journal->refusal) == NULL);
    kv_session *session = kv_session_create(s.engine, NULL, NULL, NULL);
    s.fs->error = ENOSPC;
    s.fs->forever = true;
    s.fs->fail_at = 0;
    append(&s, 2, 1);
    CHECK(!s.journal->wait(s.journal, 2, UINT64_MAX));
    CHECK(strcmp(atomic_load(&s.journal->refusal), "MISCONF Errors writing to the AOF file: No space left on device") == 0);
    CHECK(!s.journal->await(s.journal, session, 2) && append(&s, 3, 1) == 3 && !atomic_load(&s.journal->full));
    CHECK(s.journal->wait(s.journal, 0, UINT64_MAX));
    CHECK(kv_aof_flush(s.aof, NULL) == KV_EIO && errno == ENOSPC && kv_aof_recover(s.aof, 5, 0) == KV_EINVAL);
    kv_aof_state state;
    kv_aof_state_of(s.aof, &state);
    CHECK(state.failed && state.poisoned && state.error == ENOSPC && state.durable == 1 && state.pending == 0);
    kv_session_destroy(session);
    end(&s);
    CHECK(read_live(&s) >= 1);
    clean_up(&s);
}

/* Whoever is told by the callback recovers before the callback has returned. That once went past the writer's thread, which then slept for ever. */
static void told_in_the_callback(void) {
    scene s;
    begin(&s, KV_AOF_ALWAYS, true, 0);
    s.by_another = true;
    append(&s, 1, 1);
    CHECK(s.journal->wait(s.journal, 1, UINT64_MAX));
    s.fs->error = EIO;
    s.fs->fail_at = 0;
    s.fs->calls = 0;
    append(&s, 2, 1);
    while (!s.inside) kv_stall_until(kv_mono_ns() + 100000);
    kv_aof_state state;
    kv_aof_state_of(s.aof, &state);
    CHECK(state.failed && state.clean);
    s.end[0] = state.clean_size;
    int fd = open_next(&s);
    CHECK(fd >= 0 && kv_aof_recover(s.aof, fd, 0) == KV_OK && !s.inside);
    for (uint64_t n = 3; n < 20; n++) {
        append(&s, n, 1);
        CHECK(s.journal->wait(s.journal, n, kv_mono_ns() + UINT64_C(20000000000)));
    }
    end(&s);
    CHECK(read_live(&s) == 19);
    clean_up(&s);
}

/* What the n-th failing call may do: whatever was said to be durable is there, and after a recovery everything is. */
static bool one_failure(kv_aof_policy policy, int fail_at, int error, bool forever, bool short_first) {
    scene s;
    begin(&s, policy, true, 20000);
    s.fs->calls = 0;
    s.fs->error = error;
    s.fs->forever = forever;
    s.fs->short_first = short_first;
    s.fs->fail_at = fail_at;
    uint64_t n = 1, promised = 0;
    for (uint32_t round = 0; round < 3; round++) {
        for (int i = 0; i < 30; i++) append(&s, n++, round + 1);
        if (s.journal->wait(s.journal, n - 1, policy == KV_AOF_ALWAYS ? UINT64_MAX : 0)) promised = n - 1;
        if (kv_aof_flush(s.aof, NULL) == KV_OK) promised = n - 1;
        CHECK(promised <= atomic_load(&s.journal->durable));
        kv_aof_cut_begin(s.aof, round + 2);
        for (int i = 0; i < 5; i++) append(&s, n++, round + 2);
        if (round != 1) {
            (void)kv_aof_cut_end(s.aof, -1, NULL);
            continue;
        }
        int files = s.files, fd = open_next(&s);
        if (fd < 0) {
            kv_aof_cut_cancel(s.aof);
        } else if (kv_aof_cut_end(s.aof, fd, NULL) != KV_OK) {
            s.vfs.close(&s.vfs, fd);
            if (s.files == files + 1) s.files--; /* it was not used, and no recovery came behind it */
        }
    }
    uint64_t durable = atomic_load(&s.journal->durable);
    bool hit = s.fs->calls > fail_at;
    if (s.failures == 0 || !s.gave_up) {
        if (kv_aof_flush(s.aof, NULL) == KV_OK) promised = n - 1;
    }
    end(&s);
    s.fs->fail_at = -1;
    int64_t found = read_live(&s);
    if (!(found >= (int64_t)promised && found >= (int64_t)durable && found <= (int64_t)n - 1))
        fprintf(stderr, "policy %d call %d error %d forever %d short %d: found %lld of %llu promised, failures %d gave up %d\n",
                (int)policy, fail_at, error, forever, short_first, (long long)found, (unsigned long long)promised, s.failures, s.gave_up);
    CHECK(found >= (int64_t)promised && found >= (int64_t)durable && found <= (int64_t)n - 1);
    clean_up(&s);
    return hit;
}

static void failing_calls(kv_aof_policy policy) {
    static const int errors[] = {EIO, ENOSPC, EINTR};
    for (int e = 0; e < 3; e++)
        for (int forever = 0; forever < 2; forever++)
            for (int short_first = 0; short_first < 2; short_first++)
                for (int n = 0; one_failure(policy, n, errors[e], forever == 1, short_first == 1); n++) CHECK(n < 200);
}

/* Every crash state of a run: what was durable when the crash came is there, in order, whole, and nothing else than what was appended. */
static size_t crashes(kv_aof_policy policy, int fail_sync, uint64_t seeds) {
    scene s;
    begin(&s, policy, true, 20000);
    s.vfs.fsync_dir(&s.vfs, "f0");
    s.fs->error = EIO;
    s.fs->fail_at = fail_sync;
    uint64_t n = 1;
    for (uint32_t round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            append(&s, n++, round + 1);
            if (i % 10 == 9) (void)s.journal->wait(s.journal, n - 1, kv_mono_ns() + (policy == KV_AOF_ALWAYS ? 1000000000u : 2000000u));
        }
        if (policy != KV_AOF_ALWAYS) (void)kv_aof_flush(s.aof, NULL);
        kv_aof_cut_begin(s.aof, round + 2);
        append(&s, n++, round + 2);
        CHECK(fail_sync >= 0 || kv_aof_cut_end(s.aof, -1, NULL) == KV_OK);
        if (fail_sync >= 0) kv_aof_cut_cancel(s.aof);
    }
    end(&s);
    s.fs->fail_at = -1;
    CHECK(s.files == 1 || fail_sync >= 0);
    crashfs_disk disk = {0};
    size_t states = 0;
    for (size_t k = 0; k <= s.fs->op_count; k++)
        for (uint64_t seed = 1; seed <= seeds; seed++, states++) {
            uint64_t durable = k == 0 ? 0 : s.fs->ops[k - 1].mark;
            crashfs_crash(s.fs, k, seed * 1000003 + k, &disk);
            for (int i = 0; i < s.files; i++) { /* the names are somebody else's business */
                char name[16];
                bool there;
                snprintf(name, sizeof name, "f%d", i);
                (void)crashfs_file(&disk, name, &there);
                int live = crashfs_find(&s.fs->live, name);
                if (!there && live >= 0) crashfs_name_set(&disk, name, s.fs->live.names[live].inode);
            }
            int64_t found = read_files(&s, &disk);
            if (found < (int64_t)durable)
                fprintf(stderr, "crash after %zu calls, seed %llu: %lld < %llu\n", k, (unsigned long long)seed, (long long)found,
                        (unsigned long long)durable);
            CHECK(found >= (int64_t)durable);
        }
    crashfs_disk_free(&disk);
    clean_up(&s);
    return states;
}

/* ---- a unit that is missing ---- */

static void lost_units(void) {
    for (int how = 0; how < 3; how++) {
        scene s;
        begin(&s, KV_AOF_ALWAYS, true, 0);
        kv_session *session = kv_session_create(s.engine, NULL, NULL, NULL);
        CHECK(session != NULL && append(&s, 1, 1) == 1 && s.journal->wait(s.journal, 1, UINT64_MAX));
        uint64_t number = 2;
        if (how == 0) { /* the engine had no memory for its effects */
            s.journal->lost(s.journal);
        } else { /* the log has none for its piece: a long one, as short ones are there for use */
            kv_effects effects = {.count = 1};
            kv_buf_init(&effects.bytes, &mem);
            for (int i = 0; i < 10; i++) log_command(&effects.bytes, "APPEND long @65536");
            effects.bytes.failed = how == 2;
            atomic_store(&s.engine->mem.fail_after, 0);
            number = s.journal->append(s.journal, 1, &effects);
            atomic_store(&s.engine->mem.fail_after, -1);
            effects.bytes.failed = false;
            kv_buf_deinit(&effects.bytes);
        }
        CHECK(number == 2 && !s.journal->wait(s.journal, 2, UINT64_MAX) && !s.journal->await(s.journal, session, 2));
        CHECK(strstr(atomic_load(&s.journal->refusal), "MISCONF") != NULL);
        append(&s, 2, 1); /* number 3: a key that expires, say */
        CHECK(!s.journal->wait(s.journal, 3, kv_mono_ns() + 20000000) && atomic_load(&s.journal->durable) == 1);
        /* A cut, whose snapshot has it; and one that somebody else lost a unit in. */
        kv_aof_cut_begin(s.aof, 2);
        append(&s, 3, 2);
        CHECK(kv_aof_cut_end(s.aof, open_next(&s), NULL) == KV_OK && atomic_load(&s.journal->durable) == 1);
        CHECK(atomic_load(&s.journal->refusal) != NULL);
        kv_aof_based(s.aof);
        CHECK(atomic_load(&s.journal->refusal) == NULL);
        CHECK(s.journal->wait(s.journal, 4, UINT64_MAX) && append(&s, 4, 2) == 5 && s.journal->wait(s.journal, 5, UINT64_MAX));
        kv_aof_cut_begin(s.aof, 3);
        s.journal->lost(s.journal);
        CHECK(kv_aof_cut_end(s.aof, -1, NULL) == KV_OK);
        kv_aof_based(s.aof);
        CHECK(atomic_load(&s.journal->refusal) != NULL && !s.journal->wait(s.journal, 6, UINT64_MAX));
        kv_aof_cut_begin(s.aof, 4);
        CHECK(kv_aof_cut_end(s.aof, -1, NULL) == KV_OK);
        kv_aof_based(s.aof);
        CHECK(atomic_load(&s.journal->refusal) == NULL && append(&s, 5, 4) == 7 && s.journal->wait(s.journal, 7, UINT64_MAX));
        CHECK(s.failures == 2 && s.gave_up == false);
        s.journal->forget(s.journal, session);
        kv_session_destroy(session);
        end(&s);
        CHECK(read_live(&s) == 5);
        clean_up(&s);
    }
}

static void on_failed_only(void *arg, int error) {
    (void)error;
    ((scene *)arg)->failures++;
}

/* A log that has failed goes on behind a new base: what was appended before its cut is not written again. */
static void rebased(void) {
    for (int twice = 0; twice < 2; twice++) {
        scene s;
        begin(&s, KV_AOF_ALWAYS, true, 0);
        kv_aof_destroy(s.aof);
        kv_aof_options options = {.engine = s.engine, .policy = KV_AOF_ALWAYS, .annotate = true, .arg = &s, .failed = on_failed_only};
        s.aof = kv_aof_create(&options);
        s.journal = kv_aof_journal(s.aof);
        s.fs->watched = &s.journal->durable;
        kv_aof_open(s.aof, open_next(&s), 0);
        append(&s, 1, 1);
        CHECK(s.journal->wait(s.journal, 1, UINT64_MAX) && kv_aof_rebase(s.aof, 5, 0) == KV_EINVAL);
        s.fs->error = EIO;
        s.fs->fail_at = s.fs->calls;
        append(&s, 2, 1);
        while (kv_aof_flush(s.aof, NULL) == KV_OK) {}
        kv_aof_state state;
        kv_aof_state_of(s.aof, &state);
        CHECK(s.failures == 1 && state.clean && state.failed && !state.poisoned && state.pending > 0);
        CHECK(kv_aof_rebase(s.aof, 5, 0) == KV_EINVAL);
        append(&s, 3, 1);
        uint64_t offset = 0;
        kv_aof_cut_begin(s.aof, 2);
        append(&s, 4, 2);
        CHECK(kv_aof_cut_end(s.aof, -1, &offset) == KV_OK && offset == UINT64_MAX);
        append(&s, 5, 2);
        CHECK(atomic_load(&s.journal->durable) == 1);
        int fd = open_next(&s);
        CHECK(kv_vfs_write_all(&s.vfs, fd, "#base\r\n", 7) == 0);
        s.fs->fail_at = twice == 1 ? s.fs->calls : -1;
        if (twice == 1) CHECK(kv_aof_rebase(s.aof, fd, 7) == KV_EIO && errno == EIO);
        s.fs->fail_at = -1;
        CHECK(kv_aof_rebase(s.aof, fd, 7) == KV_OK && kv_aof_rebase(s.aof, fd, 7) == KV_EINVAL);
        CHECK(s.journal->wait(s.journal, 5, UINT64_MAX) && atomic_load(&s.journal->refusal) == NULL);
        append(&s, 6, 2);
        end(&s);
        bool there;
        content c = read_bytes(crashfs_file(&s.fs->live, "f2", &there));
        CHECK(c.right && c.status == KV_AOF_END && c.first == 4 && c.last == 6);
        clean_up(&s);
    }
}

int main(void) {
    kv_mem_init(&mem);
    framing();
    one_big_group();
    threads(KV_AOF_ALWAYS);
    threads(KV_AOF_EVERYSEC);
    sessions();
    cuts(KV_AOF_ALWAYS);
    cuts(KV_AOF_EVERYSEC);
    swaps();
    limits();
    poisoned();
    told_in_the_callback();
    failing_calls(KV_AOF_ALWAYS);
    failing_calls(KV_AOF_EVERYSEC);
    failing_calls(KV_AOF_NO);
    lost_units();
    rebased();
    size_t states = crashes(KV_AOF_ALWAYS, -1, 40) + crashes(KV_AOF_EVERYSEC, -1, 40);
    for (int n = 2; n < 40; n++) states += crashes(KV_AOF_ALWAYS, n, 4); /* some call fails, most of them syncs; then the crash comes */
    CHECK(atomic_load(&mem.used) == 0);
    printf("ok aof: %zu crash states\n", states);
    return 0;
}
