/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* maxmemory-clients against a naive model: clients of random sizes, some of them protected; whoever goes must be the largest of those that may, and
 * no more of them than it takes. Seeded. */
#include "base/clock.h"
#include "base/rng.h"
#include "client.h"
#include "engine/client_memory.h"
#include "engine/dispatch.h"

enum { MOST = 700 }; /* more than one walk takes */

typedef struct fake {
    size_t bytes;
    kv_session *session;
    unsigned wakes;
    bool goes; /* says the model */
} fake;

static void on_wake(kv_session *session) { ((fake *)session->home)->wakes++; }
static void describe(kv_session *session, kv_session_facts *facts) {
    *facts = (kv_session_facts){.memory = ((fake *)session->owner)->bytes};
}
static const kv_session_ops fake_ops = {.wake = on_wake, .describe = describe};

static void open_fake(kv_engine *engine, fake *f, size_t bytes, bool protected) {
    *f = (fake){.bytes = bytes};
    f->session = kv_session_create(engine, &fake_ops, f, f);
    CHECK(f->session != NULL);
    f->session->no_evict = protected;
    kv_client_memory_add(engine, (int64_t)bytes);
}

static void close_fake(kv_engine *engine, fake *f) {
    kv_client_memory_add(engine, -(int64_t)f->bytes);
    kv_session_destroy(f->session);
}

/* Marks who has to go; the number of them. The largest that may, until the rest fits. */
static unsigned model(fake *all, unsigned count, size_t limit) {
    size_t sum = 0;
    unsigned gone = 0;
    for (unsigned i = 0; i < count; i++) sum += all[i].bytes;
    while (sum > limit) {
        fake *largest = NULL;
        for (unsigned i = 0; i < count; i++)
            if (!all[i].goes && !all[i].session->no_evict && (largest == NULL || all[i].bytes > largest->bytes)) largest = &all[i];
        if (largest == NULL) break;
        largest->goes = true;
        sum -= largest->bytes;
        gone++;
    }
    return gone;
}

static void set_limit(kvcore_store *store, size_t bytes) {
    char text[32], error[200];
    snprintf(text, sizeof text, "%zu", bytes);
    CHECK(kvcore_config_set(store, "maxmemory-clients", text, error, sizeof error) == 0);
}

static void one_round(kv_rng *rng, unsigned protected_in_8) {
    static fake all[MOST];
    kvcore_store *store = store_open("");
    kv_engine *engine = kvcore_store_engine(store);
    client in_process = client_open(store); /* is never looked at */
    unsigned count = 1 + (unsigned)kv_rng_below(rng, MOST);
    size_t sum = 0;
    for (unsigned i = 0; i < count; i++) {
        /* All different, so that there is one right answer. */
        size_t bytes = ((size_t)1 << (10 + kv_rng_below(rng, 12))) * MOST + i;
        open_fake(engine, &all[i], bytes, kv_rng_below(rng, 8) < protected_in_8);
        sum += bytes;
    }
    kv_client_memory_enforce(engine); /* no limit */
    size_t limit = 128 * 1024 + (size_t)kv_rng_below(rng, sum + sum / 4);
    set_limit(store, limit);
    CHECK(kv_client_memory_limit(engine) == limit);
    unsigned expected = model(all, count, limit), gone = 0;
    kv_client_memory_enforce(engine);
    kv_client_memory_enforce(engine); /* those that are on their way out do not count any more */
    for (unsigned i = 0; i < count; i++) {
        CHECK(all[i].session->killed == all[i].goes);
        CHECK(all[i].wakes == all[i].goes);
        gone += all[i].goes;
    }
    CHECK(gone == expected && engine->stats.evicted_clients == gone);
    for (unsigned i = 0; i < count; i++) close_fake(engine, &all[i]);
    CHECK(engine->client_bytes == 0 && engine->doomed_bytes == 0);
    client_close(&in_process);
    kvcore_close(store);
}

static void limits(void) {
    kvcore_store *store = store_open("");
    kv_engine *engine = kvcore_store_engine(store);
    char error[200];
    CHECK(kv_client_memory_limit(engine) == 0);
    set_limit(store, 1);
    CHECK(kv_client_memory_limit(engine) == 128 * 1024);
    CHECK(kvcore_config_set(store, "maxmemory-clients", "10%", error, sizeof error) == 0);
    CHECK(kv_client_memory_limit(engine) == 0);
    CHECK(kvcore_config_set(store, "maxmemory", "100mb", error, sizeof error) == 0);
    CHECK(kv_client_memory_limit(engine) == 10485760);
    CHECK(kvcore_config_set(store, "maxmemory", "9223372036854775807", error, sizeof error) == 0);
    CHECK(kvcore_config_set(store, "maxmemory-clients", "100%", error, sizeof error) == 0);
    CHECK(kv_client_memory_limit(engine) == INT64_MAX);
    kvcore_close(store);
}

/* Mail that nobody has fetched counts for the client that it is for. */
static void mail(void) {
    kvcore_store *store = store_open("");
    kv_engine *engine = kvcore_store_engine(store);
    client publisher = client_open(store);
    fake subscriber, other;
    open_fake(engine, &subscriber, 1000, false);
    open_fake(engine, &other, 100000, false);
    subscriber.session->authenticated = true;
    kv_buf out;
    kv_buf_init(&out, &engine->mem);
    kv_slice words[] = {KV_LIT("SUBSCRIBE"), KV_LIT("channel")};
    CHECK(kv_execute(subscriber.session, 2, words, &out) == KV_OUTCOME_DONE);
    kv_buf_deinit(&out);
    set_limit(store, 256 * 1024);
    for (int i = 0; i < 200; i++) RUN(&publisher, ":1|", "PUBLISH channel %01000d", i);
    kv_client_memory_enforce(engine);
    CHECK(subscriber.session->killed && !other.session->killed);
    close_fake(engine, &subscriber);
    close_fake(engine, &other);
    CHECK(engine->mail_bytes == 0 && engine->client_bytes == 0 && engine->doomed_bytes == 0);
    client_close(&publisher);
    kvcore_close(store);
}

int main(void) {
    kv_rng rng;
    kv_rng_seed(&rng, 20);
    for (int i = 0; i < 40; i++) one_round(&rng, i % 2 == 0 ? 0 : 2);
    one_round(&rng, 8);
    limits();
    mail();
    printf("ok client_memory\n");
    return 0;
}
