/* The surface of the engine for programs that embed it. The Python bindings see nothing else: cffi reads the part between the markers.
 *
 * Threads: a store may be used by any thread; a client by one thread at a time. Calls that can wait say so. Nothing here prints, exits or
 * installs a handler. Strings that are returned belong to the callee and live until the next call on the same object, if not said otherwise. */
#ifndef KV_API_KVCORE_H
#define KV_API_KVCORE_H

#include <stddef.h>
#include <stdint.h>

/* cdef: begin */
typedef struct kvcore_store kvcore_store;
typedef struct kvcore_client kvcore_client;

/* Opens a store in memory. `config` is text in valkey.conf syntax, may be empty. `seed` other than 0 makes hashing and random choices reproducible (tests).
 * NULL on failure: `error` (capacity error_cap) says what to do. */
kvcore_store *kvcore_open(const char *config, size_t config_len, uint64_t seed, char *error, size_t error_cap);

/* Ends a store: its server is stopped first. Every client must have been disconnected. NULL is fine. May wait for threads. */
void kvcore_close(kvcore_store *store);

unsigned kvcore_databases(const kvcore_store *store); /* numbered from 0 */

/* A client in this process: a session of its own (database, transaction, subscriptions). format: 0 RESP2, 1 RESP3, 2 TAPE, 3 msgpack. NULL: out of memory. */
kvcore_client *kvcore_connect(kvcore_store *store, int format);
void kvcore_disconnect(kvcore_client *client); /* NULL is fine */

/* Runs one command; argv[i] has lengths[i] bytes and is not kept. KVCORE_DONE: the reply is there (kvcore_reply). KVCORE_BLOCKED, KVCORE_PAUSED: it waits;
 * call kvcore_wait. KVCORE_NO_MEMORY: the reply did not fit into memory; the command may have run. Never waits itself. */
enum { KVCORE_DONE = 0, KVCORE_BLOCKED = 1, KVCORE_PAUSED = 2, KVCORE_NO_MEMORY = 3, KVCORE_CLOSED = 4 };
int kvcore_run(kvcore_client *client, int argc, const char *const *argv, const size_t *lengths);
/* Waits for the end of a blocked command, at most timeout_ms. KVCORE_DONE, KVCORE_BLOCKED (not yet), or KVCORE_PAUSED (run it again now). */
int kvcore_wait(kvcore_client *client, uint32_t timeout_ms);
/* Gives a blocked command up. 1: it ended without effect and without a reply. 0: it had been served already: the reply is there and must not be lost. */
int kvcore_cancel(kvcore_client *client);
const char *kvcore_reply(kvcore_client *client, size_t *length);

/* Messages that came unasked (pub/sub, invalidations, MONITOR), in the client's format, one after the other; they are forgotten with the next call of
 * this function. *length 0: none. kvcore_wait_mail waits for some, at most timeout_ms: 1 when there is mail. */
const char *kvcore_mail(kvcore_client *client, size_t *length);
int kvcore_wait_mail(kvcore_client *client, uint32_t timeout_ms);
/* A descriptor that polls readable while there is mail; made on first use, closed with the client. -1: errno. */
int kvcore_mail_fd(kvcore_client *client);

/* Serves RESP on what the settings say. 0, or -1 with `error`. One server a store. `any_port` 1: a port of 0 means any free one; 0: none, as in a
 * configuration file. */
int kvcore_serve(kvcore_store *store, int any_port, char *error, size_t error_cap);
void kvcore_stop_serving(kvcore_store *store);
int kvcore_port(const kvcore_store *store);              /* 0: no TCP */
const char *kvcore_unix_path(const kvcore_store *store); /* NULL: none */
unsigned kvcore_threads(const kvcore_store *store);

/* The absolute path of the configuration file that `config` was read from: CONFIG REWRITE writes it. 0, or -1: out of memory. Before serving. */
int kvcore_set_config_file(kvcore_store *store, const char *path);

/* Log lines go to this descriptor (-1: nowhere, the default), from `level` on: "debug", "verbose", "notice", "warning". */
void kvcore_log_to(kvcore_store *store, int fd, const char *level);
void kvcore_log(kvcore_store *store, const char *text); /* one notice of the host program, in the same form */

/* SHUTDOWN was accepted from some client: the host decides what that means. Waits at most timeout_ms; 1 when asked. SHUTDOWN is refused until the host
 * has called this for the first time. */
int kvcore_wait_shutdown(kvcore_store *store, uint32_t timeout_ms);

/* The clock that expiry and TIME see. Microseconds since the Unix epoch. Advancing runs what has fallen due. */
int64_t kvcore_clock_us(const kvcore_store *store);
void kvcore_clock_freeze(kvcore_store *store, int64_t us);
void kvcore_clock_advance(kvcore_store *store, int64_t us);
void kvcore_clock_thaw(kvcore_store *store);

/* One setting, as CONFIG SET and CONFIG GET see it. 0, or -1 with `error`. */
int kvcore_config_set(kvcore_store *store, const char *name, const char *value, char *error, size_t error_cap);

/* The value as CONFIG GET shows it, cut to `cap` bytes with the 0 at its end. Its whole length, or -1: no such option, or no memory. */
int64_t kvcore_config_get(kvcore_store *store, const char *name, char *out, size_t cap);

size_t kvcore_used_memory(kvcore_store *store);
size_t kvcore_key_count(const kvcore_store *store, unsigned database);
int kvcore_check(kvcore_store *store); /* every invariant of the key space: 1 when sound. O(keys); for tests */

/* Fault injection, in builds made for it (KVCORE_BUILD=faults): the n-th allocation from now on fails (for ever when forever is 1); n < 0 turns it off.
 * Returns the allocations tried so far, or -1 in other builds. */
int64_t kvcore_fail_allocation(kvcore_store *store, int64_t n, int forever);

/* ---- stores in files ----
 * A single file (app.kv): a snapshot and behind it a log of commands. Locked by <path>.lock while it is open for writing. */
enum {
    KVCORE_NONE = 0,     /* loaded; written by kvcore_snapshot, kvcore_compact and kvcore_flush only */
    KVCORE_SNAPSHOT = 1, /* no log: the file is replaced by kvcore_flush, and by kvcore_finish when something has changed */
    KVCORE_EVERYSEC = 2, /* each change goes to the log, which is synced every second */
    KVCORE_ALWAYS = 3    /* each reply waits until what it shows is on the disk */
};
enum {
    KVCORE_OPEN_READONLY =
        1, /* any .rdb, app.kv, appendonly.aof or appendonlydir; takes no lock; writing commands are refused with READONLY */
    KVCORE_OPEN_EXISTING = 2 /* it has to be there */
};
/* Why opening failed (*problem). */
enum {
    KVCORE_PROBLEM_SYSTEM = 1,
    KVCORE_PROBLEM_LOCKED = 2,
    KVCORE_PROBLEM_DAMAGED = 3,
    KVCORE_PROBLEM_UNSUPPORTED = 4,
    KVCORE_PROBLEM_MEMORY = 5,
    KVCORE_PROBLEM_CONFIG = 6,
    KVCORE_PROBLEM_ABSENT = 7,
    KVCORE_PROBLEM_GIVEN_UP = 8
};
/* Told now and then, by the thread that made the call and without a lock: `step` is "load", "replay", "snapshot" or "copy"; total 0: not known.
 * Other than 0 gives the work up. */
typedef int kvcore_progress(void *arg, const char *step, uint64_t done, uint64_t total);

/* As kvcore_open, with the data of `path`, which is created (0600) when it is not there; its directory must be. progress may be NULL. Takes as long as loading takes. */
kvcore_store *kvcore_open_file(const char *path, const char *config, size_t config_len, uint64_t seed, int durability, int flags,
                               kvcore_progress *progress, void *arg, int *problem, char *error, size_t error_cap);
/* Everything done so far is on the disk when it returns (KVCORE_NONE, KVCORE_SNAPSHOT: the file is replaced). 0, or -1 with `error`. Wait. */
int kvcore_flush(kvcore_store *store, char *error, size_t error_cap);
/* The state of now as an RDB file of its own: atomic replacement, 0600. Any store, one in memory too. */
int kvcore_snapshot(kvcore_store *store, const char *path, kvcore_progress *progress, void *arg, char *error, size_t error_cap);
/* Rewrites the file: a snapshot of now, no log. Others go on meanwhile. */
int kvcore_compact(kvcore_store *store, kvcore_progress *progress, void *arg, char *error, size_t error_cap);
/* Before kvcore_close, when every client is gone: writes and syncs what is to be written. -1: `error` says what may be lost; kvcore_close is still due. */
int kvcore_finish(kvcore_store *store, char *error, size_t error_cap);

typedef struct kvcore_file_facts {
    int durability, readonly, created; /* durability -1: in memory only */
    uint64_t base_bytes, log_bytes;    /* of the file: its snapshot, and what follows */
    uint64_t pending_bytes;            /* of the log, not on the disk yet */
    uint64_t loaded_keys, expired_keys, replayed_commands;
    uint64_t cut_bytes; /* of a torn end that was cut off, or (read only) left out */
    uint64_t compactions, recoveries;
    int compacting; /* at this moment */
    int failed;     /* errno: writes are refused until it is opened anew; 0: well */
} kvcore_file_facts;
void kvcore_file_state(kvcore_store *store, kvcore_file_facts *out);
/* Loading's notice ("cut off 17 bytes ..."), "" when there was nothing to tell. Lives as long as the store. */
const char *kvcore_file_notice(const kvcore_store *store);

/* Before kvcore_serve: until kvcore_start_files has ended well, clients get LOADING. */
void kvcore_set_loading(kvcore_store *store);
/* A server: takes the lock of its directory, loads what is there and goes on with it, as the options say. 0, or -1 with *problem and `error`. Before
 * kvcore_serve; or after it, when kvcore_set_loading came first. */
int kvcore_start_files(kvcore_store *store, kvcore_progress *progress, void *arg, int *problem, char *error, size_t error_cap);
/* A server's end: save 1 (SHUTDOWN SAVE), 0 (NOSAVE), -1 (as the save points say). -1: it failed, and the server should stay unless it is forced. */
int kvcore_stop_files(kvcore_store *store, int save, char *error, size_t error_cap);

const char *kvcore_version(void);
/* cdef: end */

/* For the fast door only (binding/fast.c): the session behind a client. */
struct kv_session;
struct kv_engine;
struct kv_session *kvcore_client_session(kvcore_client *client);
struct kv_engine *kvcore_store_engine(kvcore_store *store);

#endif
