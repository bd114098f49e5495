/* Wiring: a store is an engine with this build's tables, and perhaps a server; a client is an in-process session with its reply buffer. */
#include "api/kvcore.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api/command_table.h"
#include "api/config_table.h"
#include "api/store.h"
#include "api/version.h"
#include "engine/cron.h"
#include "engine/dispatch.h"
#include "engine/journal.h"
#include "engine/settings_apply.h"
#include "net/server.h"
#include "persist/payload.h"

struct kvcore_client {
    kvcore_store *store;
    kv_session *session;
    kv_buf reply, mail;
    int mail_fd; /* -1: none */
};

void kvi_say(char *error, size_t cap, kv_slice text) {
    if (cap == 0) return;
    size_t len = text.len < cap - 1 ? text.len : cap - 1;
    if (len > 0) memcpy(error, text.ptr, len); /* an empty buffer has no memory yet */
    error[len] = 0;
}

static void on_shutdown(void *arg, bool now, bool force, bool save, bool nosave) {
    (void)now;
    kvcore_store *store = arg;
    atomic_store_explicit(&store->shutdown_save, save ? 1 : nosave ? 0 : -1, memory_order_relaxed);
    atomic_store_explicit(&store->shutdown_force, force, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->shutdown, 1, memory_order_release);
    kv_wake_word(&store->shutdown, true);
}

/* CONFIG SET from any thread; the server may be about to stop. */
static kv_status on_config(void *arg, int field, kv_buf *reason) {
    kvcore_store *store = arg;
    if (store->keeper != NULL) {
        kv_status status = kv_keeper_apply(store->keeper, field, reason);
        if (status != KV_OK) return status;
    }
    kv_mutex_lock(&store->server_lock);
    kv_server *server = store->server;
    if (server != NULL) kv_server_retain(server);
    kv_mutex_unlock(&store->server_lock);
    if (server == NULL) return KV_OK; /* it will start with the new value */
    kv_status status = kv_server_configure(server, field, reason);
    kv_server_release(server);
    return status;
}

static kv_server *set_server(kvcore_store *store, kv_server *server) {
    kv_mutex_lock(&store->server_lock);
    kv_server *old = store->server;
    store->server = server;
    kv_mutex_unlock(&store->server_lock);
    return old;
}

/* `databases` and `shards` are fixed when the engine is made, so they are looked up before. */
static bool fixed_options(kv_mem *mem, kv_slice config, kv_buf *error, kv_engine_options *options) {
    kv_settings settings;
    if (config.len == 0) return true; /* the engine's own defaults */
    if (kv_settings_init(&settings, mem, &kv_config_options) != KV_OK) return false;
    bool good = kv_settings_load(&settings, config, error) == KV_OK;
    options->databases = (unsigned)kv_setting(&settings, KV_CFG_DATABASES);
    options->shards = (unsigned)kv_setting(&settings, KV_CFG_SHARDS);
    if (good && (options->shards & (options->shards - 1)) != 0) {
        kv_buf_printf(error, "'shards' is %u: it must be a power of two up to %u, or auto", options->shards, KV_MAX_SHARDS);
        good = false;
    }
    kv_settings_deinit(&settings);
    return good;
}

kvcore_store *kvcore_open(const char *config, size_t config_len, uint64_t seed, char *error, size_t error_cap) {
    kv_mem mem;
    kv_mem_init(&mem);
    kvcore_store *store = kv_calloc(&mem, 1, sizeof *store);
    kv_buf reason;
    kv_buf_init(&reason, &mem);
    bool bad = store == NULL;
    kv_engine_options options = {.commands = &kv_commands,
                                 .config = &kv_config_options,
                                 .codec = &kv_payload_codec,
                                 .seed = seed,
                                 .version = KVCORE_VERSION,
                                 .hooks = {.arg = store, .shutdown = on_shutdown, .config_applied = on_config}};
    bad = bad || !fixed_options(&mem, kv_slice_of(config, config_len), &reason, &options);
    if (!bad) {
        store->log_fd = -1;
        atomic_init(&store->shutdown_save, -1);
        kv_mutex_init(&store->server_lock, KV_RANK_SERVER, 1);
        store->engine = kv_engine_create(&options);
        bad = store->engine == NULL ||
              (config_len > 0 && kv_settings_load(&store->engine->settings, kv_slice_of(config, config_len), &reason) != KV_OK);
    }
    if (bad) {
        kvi_say(error, error_cap, reason.len > 0 ? kv_buf_slice(&reason) : KV_LIT("out of memory"));
        kv_buf_deinit(&reason);
        if (store != NULL) kv_engine_destroy(store->engine);
        kv_free(&mem, store);
        return NULL;
    }
    kv_buf_deinit(&reason);
    kv_engine_settings_loaded(store->engine);
    store->mem = mem;
    return store;
}

void kvcore_close(kvcore_store *store) {
    if (store == NULL) return;
    kvcore_stop_serving(store);
    kv_cron_stop(store->engine); /* what it does is logged, too */
    kv_keeper_destroy(store->keeper);
    kv_engine_destroy(store->engine);
    kv_mem mem = store->mem;
    kv_free(&mem, store);
}

/* ---- clients ---- */

kvcore_client *kvcore_connect(kvcore_store *store, int format) {
    static const kv_format formats[] = {KV_FORMAT_RESP2, KV_FORMAT_RESP3, KV_FORMAT_TAPE, KV_FORMAT_MSGPACK};
    kv_mem *mem = &store->engine->mem;
    kvcore_client *client = kv_calloc(mem, 1, sizeof *client);
    if (client == NULL) return NULL;
    client->store = store;
    client->mail_fd = -1;
    kv_buf_init(&client->reply, mem);
    kv_buf_init(&client->mail, mem);
    client->session = kv_session_create(store->engine, NULL, client, NULL);
    if (client->session == NULL) {
        kv_free(mem, client);
        return NULL;
    }
    client->session->format = format >= 0 && format < 4 ? formats[format] : KV_FORMAT_TAPE;
    client->session->resp = client->session->format == KV_FORMAT_RESP2 ? 2 : 3;
    client->session->authenticated = true; /* whoever has the object has the store */
    return client;
}

void kvcore_disconnect(kvcore_client *client) {
    if (client == NULL) return;
    kv_mem *mem = &client->store->engine->mem;
    kv_session_destroy(client->session);
    kv_buf_deinit(&client->reply);
    kv_buf_deinit(&client->mail);
    kv_free(mem, client);
}

kv_session *kvcore_client_session(kvcore_client *client) { return client->session; }
kv_engine *kvcore_store_engine(kvcore_store *store) { return store->engine; }

static int outcome_of(kvcore_client *client, kv_outcome outcome) {
    switch (outcome) {
    case KV_OUTCOME_DONE: return client->reply.failed ? KVCORE_NO_MEMORY : KVCORE_DONE;
    case KV_OUTCOME_BLOCKED: return KVCORE_BLOCKED;
    case KV_OUTCOME_PAUSED: return KVCORE_PAUSED;
    case KV_OUTCOME_MORE:
    case KV_OUTCOME_AGAIN:       /* never without session->slices */
    case KV_OUTCOME_BUSY: break; /* never without session->nonblocking */
    }
    return KVCORE_DONE;
}

int kvcore_run(kvcore_client *client, int argc, const char *const *argv, const size_t *lengths) {
    kv_slice few[16] = {{0}};
    kv_mem *mem = &client->store->engine->mem;
    kv_slice *words = argc <= 16 ? few : kv_malloc(mem, (size_t)argc * sizeof *words);
    if (words == NULL) return KVCORE_NO_MEMORY;
    for (int i = 0; i < argc; i++) words[i] = kv_slice_of(argv[i], lengths[i]);
    kv_buf_clear(&client->reply);
    kv_outcome outcome = kv_execute(client->session, argc, words, &client->reply);
    if (outcome == KV_OUTCOME_DONE) kv_session_settle(client->session, &client->reply, 0);
    if (words != few) kv_free(mem, words);
    return outcome_of(client, outcome);
}

static int ended(kvcore_client *client) {
    kv_buf last = client->reply;
    client->reply = client->session->served;
    client->session->served = last;
    kv_buf_clear(&client->session->served);
    kv_session_settle(client->session, &client->reply, 0);
    return client->reply.failed ? KVCORE_NO_MEMORY : KVCORE_DONE;
}

int kvcore_wait(kvcore_client *client, uint32_t timeout_ms) {
    kv_session *session = client->session;
    if (session->ticket == NULL) { /* CLIENT PAUSE */
        uint32_t seen =
            atomic_load_explicit(&session->engine->pause_signal, memory_order_acquire); /* first: an UNPAUSE from here on changes it */
        int64_t until = atomic_load_explicit(&session->engine->pause_until_ms, memory_order_acquire);
        int64_t left = until - kv_clock_ms(&session->engine->clock);
        if (left > 0)
            kv_wait_word(&session->engine->pause_signal, seen, kv_mono_ns() + (uint64_t)(left < timeout_ms ? left : timeout_ms) * 1000000);
        return KVCORE_PAUSED;
    }
    uint64_t until = kv_mono_ns() + (uint64_t)timeout_ms * 1000000, deadline = kv_session_block_deadline(session);
    for (;;) {
        uint32_t seen = atomic_load_explicit(&session->signal, memory_order_acquire);
        if (kv_session_block_ended(session)) return ended(client);
        uint64_t now = kv_mono_ns();
        if (now >= deadline && kv_session_unblock(session, KV_UNBLOCK_TIMEOUT)) return ended(client);
        if (now >= until) return KVCORE_BLOCKED;
        kv_wait_word(&session->signal, seen, until < deadline ? until : deadline);
    }
}

int kvcore_cancel(kvcore_client *client) {
    kv_session *session = client->session;
    kv_buf_clear(&client->reply);
    if (session->ticket == NULL) return 1;
    kv_session_stop_waiting(session);
    ended(client);
    return client->reply.len == 0 && !client->reply.failed;
}

const char *kvcore_reply(kvcore_client *client, size_t *length) {
    *length = client->reply.len;
    return client->reply.ptr == NULL ? "" : (const char *)client->reply.ptr;
}

const char *kvcore_mail(kvcore_client *client, size_t *length) {
    kv_buf_clear(&client->mail);
    if (client->mail_fd >= 0) {
        uint64_t count;
        ssize_t n = read(client->mail_fd, &count, sizeof count); /* before the drain: mail that comes now makes it readable again */
        (void)n;
    }
    kv_session_drain(client->session, &client->mail);
    *length = client->mail.len;
    return client->mail.ptr == NULL ? "" : (const char *)client->mail.ptr;
}

int kvcore_wait_mail(kvcore_client *client, uint32_t timeout_ms) {
    kv_session *session = client->session;
    uint64_t until = kv_mono_ns() + (uint64_t)timeout_ms * 1000000;
    for (;;) {
        uint32_t seen = atomic_load_explicit(&session->signal, memory_order_acquire);
        if (atomic_load_explicit(&session->mail_len, memory_order_acquire) > 0) return 1;
        if (kv_mono_ns() >= until) return 0;
        kv_wait_word(&session->signal, seen, until);
    }
}

/* The descriptor lives as long as the session, which wakers hold: nobody writes to a number that means another file by then. */
typedef struct mail_signal {
    kv_mem *mem;
    int fd;
} mail_signal;

static void wake_fd(kv_session *session) {
    const mail_signal *mail = session->home;
    uint64_t one = 1;
    ssize_t n = write(mail->fd, &one, sizeof one); /* can only fail when the counter is full, and then it is readable */
    (void)n;
}

static void close_fd(kv_session *session) {
    mail_signal *mail = session->home;
    close(mail->fd);
    kv_free(mail->mem, mail);
}

static const kv_session_ops fd_ops = {.wake = wake_fd, .gone = close_fd};

int kvcore_mail_fd(kvcore_client *client) {
    if (client->mail_fd >= 0) return client->mail_fd;
    kv_mem *mem = &client->store->engine->mem;
    mail_signal *mail = kv_malloc(mem, sizeof *mail);
    int fd = mail == NULL ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        if (mail == NULL) errno = ENOMEM;
        kv_free(mem, mail);
        return -1;
    }
    *mail = (mail_signal){mem, fd};
    client->session->home = mail;
    atomic_store_explicit(&client->session->ops, &fd_ops, memory_order_release);
    client->mail_fd = fd;
    /* A waker that came before the store has left its mail already. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&client->session->mail_len, memory_order_acquire) > 0) wake_fd(client->session);
    return fd;
}

/* ---- serving ---- */

int kvcore_serve(kvcore_store *store, int any_port, char *error, size_t error_cap) {
    if (store->server != NULL) {
        kvi_say(error, error_cap, KV_LIT("this store is being served already"));
        return -1;
    }
    kv_buf reason;
    kv_buf_init(&reason, &store->engine->mem);
    store->engine->any_port = any_port != 0;
    kv_server *server = NULL;
    kv_status status = kv_server_start(store->engine, &reason, &server);
    if (status != KV_OK) kvi_say(error, error_cap, reason.len > 0 ? kv_buf_slice(&reason) : kv_slice_cstr(kv_status_name(status)));
    if (status == KV_OK) {
        set_server(store, server);
        /* A client may have changed these before the server was known here. */
        kv_mutex_lock(&store->engine->settings.change);
        (void)on_config(store, KV_CFG_PORT, &reason);
        (void)on_config(store, KV_CFG_IO_THREADS, &reason);
        kv_mutex_unlock(&store->engine->settings.change);
        kv_settings_note_inert(store->engine);
        kv_cron_start(store->engine);
    }
    kv_buf_deinit(&reason);
    return status == KV_OK ? 0 : -1;
}

void kvcore_stop_serving(kvcore_store *store) {
    kv_server *server = set_server(store, NULL);
    if (server != NULL) kv_server_stop(server);
}

int kvcore_port(const kvcore_store *store) { return store->server == NULL ? 0 : kv_server_port(store->server); }
const char *kvcore_unix_path(const kvcore_store *store) { return store->server == NULL ? NULL : kv_server_unix_path(store->server); }
unsigned kvcore_threads(const kvcore_store *store) { return store->server == NULL ? 0 : kv_server_threads(store->server); }

int kvcore_set_config_file(kvcore_store *store, const char *path) {
    kv_settings *settings = &store->engine->settings;
    kv_mutex_lock(&settings->lock);
    kv_buf_clear(&settings->file);
    kv_buf_add_slice(&settings->file, kv_slice_cstr(path));
    bool failed = settings->file.failed;
    kv_mutex_unlock(&settings->lock);
    return failed ? -1 : 0;
}

void kvcore_log_to(kvcore_store *store, int fd, const char *level) {
    kv_log_level from = KV_LOG_NOTICE;
    (void)kv_log_level_parse(level, &from);
    store->log_fd = fd;
    kv_log_init(&store->engine->log, from, fd < 0 ? NULL : kv_log_to_fd, &store->log_fd);
}

void kvcore_log(kvcore_store *store, const char *text) { kv_log_write(&store->engine->log, KV_LOG_NOTICE, "%s", text); }

int kvcore_wait_shutdown(kvcore_store *store, uint32_t timeout_ms) {
    atomic_store_explicit(&store->engine->serving, true, memory_order_relaxed);
    if (atomic_load_explicit(&store->shutdown, memory_order_acquire) == 0)
        kv_wait_word(&store->shutdown, 0, kv_mono_ns() + (uint64_t)timeout_ms * 1000000);
    return atomic_load_explicit(&store->shutdown, memory_order_acquire) != 0;
}

/* ---- time, settings, facts ---- */

unsigned kvcore_databases(const kvcore_store *store) { return store->engine->store.db_count; }

int64_t kvcore_clock_us(const kvcore_store *store) { return kv_clock_us(&store->engine->clock); }
void kvcore_clock_freeze(kvcore_store *store, int64_t us) { kv_clock_freeze(&store->engine->clock, us); }
void kvcore_clock_thaw(kvcore_store *store) { kv_clock_thaw(&store->engine->clock); }

void kvcore_clock_advance(kvcore_store *store, int64_t us) {
    kv_clock_advance(&store->engine->clock, us);
    if (atomic_load_explicit(&store->engine->cron, memory_order_relaxed) != NULL ||
        atomic_load_explicit(&store->engine->cron_wanted, memory_order_relaxed))
        while (kv_cron_round(store->engine, 100000)) continue;
}

int kvcore_config_set(kvcore_store *store, const char *name, const char *value, char *error, size_t error_cap) {
    const kv_config_option *option = kv_config_find(&kv_config_options, kv_slice_cstr(name), NULL);
    if (option == NULL) {
        kvi_say(error, error_cap, KV_LIT("no such configuration option"));
        return -1;
    }
    kv_buf reason;
    kv_buf_init(&reason, &store->engine->mem);
    kv_slice text = kv_slice_cstr(value);
    int failed;
    kv_status status = store->server == NULL && store->keeper == NULL
                           ? kv_setting_set(&store->engine->settings, option, text, true, &reason)
                           : kv_settings_change(store->engine, &option, &text, 1, &failed, &reason);
    if (status != KV_OK) kvi_say(error, error_cap, kv_buf_slice(&reason));
    kv_buf_deinit(&reason);
    if (status == KV_OK) kv_engine_settings_loaded(store->engine);
    return status == KV_OK ? 0 : -1;
}

int64_t kvcore_config_get(kvcore_store *store, const char *name, char *out, size_t cap) {
    const kv_config_option *option = kv_config_find(&kv_config_options, kv_slice_cstr(name), NULL);
    if (option == NULL) return -1;
    kv_buf value;
    kv_buf_init(&value, &store->engine->mem);
    kv_setting_show(&store->engine->settings, (kv_config_field)option->field, &value);
    int64_t len = value.failed ? -1 : (int64_t)value.len;
    if (len >= 0) kvi_say(out, cap, kv_buf_slice(&value));
    kv_buf_deinit(&value);
    return len;
}

size_t kvcore_used_memory(kvcore_store *store) { return kv_engine_used_memory(store->engine); }
size_t kvcore_key_count(const kvcore_store *store, unsigned database) {
    return database < store->engine->store.db_count ? kv_store_count(&store->engine->store, database) : 0;
}

int kvcore_check(kvcore_store *store) {
    uint64_t all = kv_store_all_shards(&store->engine->store);
    kv_lock_shards(store->engine, all);
    bool sound = kv_store_check(&store->engine->store) && kv_command_table_check(&kv_commands);
    kv_unlock_shards(store->engine, all);
    return sound;
}

int64_t kvcore_fail_allocation(kvcore_store *store, int64_t n, int forever) {
#ifdef KV_FAULTS
    kv_mem *mem = &store->engine->mem;
    atomic_store(&mem->fail_forever, forever != 0);
    atomic_store(&mem->fail_after, n > 0 ? n - 1 : n); /* there it counts the successes before */
    return (int64_t)atomic_load(&mem->attempts);
#else
    (void)store, (void)n, (void)forever;
    return -1;
#endif
}

const char *kvcore_version(void) { return KVCORE_VERSION; }
