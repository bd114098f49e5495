/* Blocked clients.
 *
 *   shard.waiters --> keymap: name -> node(head, tail) --> wait -> wait -> wait      FIFO, under the shard's lock
 *                                                           |
 *   session.ticket ---------------------------------------- + one wait a key, all in the ticket's block
 *
 * A ticket is what one session waits for: its command (a copy), the keys, the type that wakes it, the deadline. It belongs to the session; other
 * threads touch it only under the lock of a shard in which one of its waits is queued. To serve a client its command is simply run again, so all
 * shards that the command needs have to be locked: kv_waiters_mask tells a writer which ones, before it changes anything.
 *
 * Who ends a wait is decided by one compare-and-swap on session.block_state, WAITING -> SERVING (a writer) or WAITING -> ENDING (time-out, CLIENT
 * UNBLOCK, the session's end). The owner then takes its waits out of all queues, under the locks of their shards, before it goes on.
 *
 * Nobody gets between a push and the client it serves: serving happens at the end of the pushing unit, before its locks are released. */
#include "engine/blocking.h"

#include "engine/journal.h"
#include "engine/keymap.h"
#include "engine/transaction.h"
#include "engine/unit.h"

typedef struct kv_wait {
    struct kv_wait *next, *previous;
    kv_keymap_node *node; /* NULL: not queued (any more) */
    struct kv_ticket *ticket;
    kv_shard *shard;
    kv_slice name; /* in the ticket's copy of argv */
} kv_wait;

typedef struct kv_ticket {
    kv_session *session;
    const kv_command *command;
    int argc;
    kv_slice *argv;
    kv_key_ref *refs;
    uint64_t *hashes;
    uint32_t key_count;
    int db;
    kv_type type;
    bool null_array;
    uint64_t deadline_ns; /* monotonic; UINT64_MAX: never */
    uint64_t mask;        /* all shards that the command needs */
    uint32_t wait_count;
    kv_wait *waits;
    size_t bytes; /* of the block */
} kv_ticket;

uint64_t kv_waiters_mask(const kv_shard *shard) {
    const kv_keymap *map = shard->waiters;
    return map == NULL ? 0 : map->mask;
}

/* ---- tickets ---- */

/* One block: ticket, waits, argv, refs, hashes, the bytes of argv. */
static kv_ticket *ticket_create(kv_ctx *c, int wait_count) {
    size_t bytes = 0;
    for (int i = 0; i < c->argc; i++) bytes += c->argv[i].len;
    size_t waits_at = sizeof(kv_ticket), argv_at = waits_at + (size_t)wait_count * sizeof(kv_wait);
    size_t hashes_at = argv_at + (size_t)c->argc * sizeof(kv_slice), refs_at = hashes_at + c->key_count * sizeof(uint64_t);
    size_t bytes_at = refs_at + c->key_count * sizeof(kv_key_ref);
    uint8_t *block = kv_malloc(&c->engine->mem, bytes_at + bytes);
    if (block == NULL) return NULL;
    kv_ticket *ticket = (kv_ticket *)(void *)block;
    *ticket = (kv_ticket){
        .session = c->session, .command = c->command, .argc = c->argc, .key_count = c->key_count, .db = c->db, .bytes = bytes_at + bytes};
    ticket->waits = (kv_wait *)(void *)(block + waits_at);
    ticket->argv = (kv_slice *)(void *)(block + argv_at);
    ticket->hashes = (uint64_t *)(void *)(block + hashes_at);
    ticket->refs = (kv_key_ref *)(void *)(block + refs_at);
    if (c->key_count > 0) {
        memcpy(ticket->hashes, c->key_hashes, c->key_count * sizeof(uint64_t));
        memcpy(ticket->refs, c->key_refs, c->key_count * sizeof(kv_key_ref));
    }
    uint8_t *to = block + bytes_at;
    for (int i = 0; i < c->argc; i++) {
        if (c->argv[i].len > 0) memcpy(to, c->argv[i].ptr, c->argv[i].len);
        ticket->argv[i] = kv_slice_of(to, c->argv[i].len);
        to += c->argv[i].len;
    }
    for (uint32_t i = 0; i < c->key_count; i++) ticket->mask |= UINT64_C(1) << kv_store_shard_index(&c->engine->store, c->key_hashes[i]);
    return ticket;
}

/* Removes a key that nobody waits for; the shard is locked. */
static void forget_if_idle(kv_keymap_node *node) {
    if (node->head != NULL || node->is_ready) return;
    kv_shard *shard = node->shard;
    kv_keymap *map = shard->waiters;
    kv_keymap_remove(map, node);
    if (kv_keymap_count(map) > 0) return;
    kv_keymap_destroy(map); /* with the last waiter the mask is forgotten, too */
    shard->waiters = NULL;
}

/* Out of its queue; the shard is locked. */
static void dequeue(kv_wait *wait) {
    kv_keymap_node *node = wait->node;
    if (node == NULL) return;
    if (wait->previous != NULL) wait->previous->next = wait->next;
    else node->head = wait->next;
    if (wait->next != NULL) wait->next->previous = wait->previous;
    else node->tail = wait->previous;
    wait->node = NULL;
    forget_if_idle(node);
}

/* At the end of its key's queue; the shard is locked. */
static kv_status enqueue(kv_wait *wait, kv_ticket *ticket, const kv_key *key, kv_slice name) {
    kv_shard *shard = key->shard;
    if (shard->waiters == NULL) shard->waiters = kv_keymap_create(shard);
    kv_keymap *map = shard->waiters;
    if (map == NULL) return KV_ENOMEM;
    kv_keymap_node *node = kv_keymap_obtain(map, key->hash, name);
    if (node == NULL) {
        if (kv_keymap_count(map) == 0) {
            kv_keymap_destroy(map);
            shard->waiters = NULL;
        }
        return KV_ENOMEM;
    }
    *wait = (kv_wait){.node = node, .ticket = ticket, .shard = shard, .name = name, .previous = node->tail};
    if (node->head == NULL) node->db = ticket->db;
    else if (node->db != ticket->db) node->db = -1;
    if (node->tail != NULL) ((kv_wait *)node->tail)->next = wait;
    else node->head = wait;
    node->tail = wait;
    map->mask |= ticket->mask;
    return KV_OK;
}

bool kv_ctx_block(kv_ctx *c, const int *args, int count, kv_type type, int64_t timeout_ms, bool null_array) {
    if (c->in_exec || c->session == NULL) return false;
    c->blocked = true;
    if (c->rerun) return true; /* still queued, at its old place */
    kv_ticket *ticket = ticket_create(c, count);
    kv_status status = ticket == NULL ? KV_ENOMEM : KV_OK;
    for (int i = 0; status == KV_OK && i < count; i++) {
        kv_key key = kv_ctx_key(c, args[i]);
        bool twice = false; /* BLPOP k k: one place in the queue is enough */
        for (uint32_t j = 0; j < ticket->wait_count; j++) twice |= kv_slice_eq(ticket->waits[j].name, key.name);
        if (!twice) status = enqueue(&ticket->waits[ticket->wait_count], ticket, &key, ticket->argv[args[i]]);
        if (!twice && status == KV_OK) ticket->wait_count++;
    }
    if (status != KV_OK) {
        for (uint32_t i = 0; ticket != NULL && i < ticket->wait_count; i++) dequeue(&ticket->waits[i]);
        kv_free(&c->engine->mem, ticket);
        c->blocked = false;
        kv_ctx_out_of_memory(c);
        return true;
    }
    ticket->type = type;
    ticket->null_array = null_array;
    uint64_t now = kv_mono_ns();
    ticket->deadline_ns =
        timeout_ms == 0 || (uint64_t)timeout_ms > (UINT64_MAX - now) / 1000000 ? UINT64_MAX : now + (uint64_t)timeout_ms * 1000000;
    c->session->ticket = ticket;
    atomic_fetch_add_explicit(&c->engine->blocked_count, 1, memory_order_relaxed);
    atomic_store_explicit(&c->session->block_state, KV_BLOCK_WAITING, memory_order_release);
    return true;
}

/* ---- serving ---- */

static bool claim(kv_session *session, uint32_t to) {
    uint32_t waiting = KV_BLOCK_WAITING;
    return atomic_compare_exchange_strong_explicit(&session->block_state, &waiting, to, memory_order_acq_rel, memory_order_relaxed);
}

/* The reply of a command that had blocked. An in-process client gets it apart from its messages. */
static void deliver(kv_ctx *c, kv_session *session, const kv_buf *reply) {
    if (session->reply_mode != KV_REPLY_ON) return;
    if (!session->in_process) {
        kv_session_mail(c, session, reply);
        return;
    }
    kv_buf_add_slice(&session->served, kv_buf_slice(reply));
    if (reply->failed) session->served.failed = true;
}

/* Back from SERVING to WAITING; whoever wanted the wait to end meanwhile gets their way. */
static void wait_on(kv_ctx *c, kv_session *session) {
    uint32_t serving = KV_BLOCK_SERVING;
    if (atomic_compare_exchange_strong_explicit(&session->block_state, &serving, KV_BLOCK_WAITING, memory_order_acq_rel,
                                                memory_order_relaxed))
        return;
    /* SERVING with a kv_unblock in the bits from 8 up, see kv_session_ask_unblock */
    atomic_store_explicit(&session->block_state, KV_BLOCK_ENDING | ((serving >> 8) - 1) << 8, memory_order_release);
    kv_wake_later(c, session);
}

/* Runs a waiting client's command again inside the unit `c`. Its reply goes to its mailbox. */
static void serve(kv_ctx *c, kv_ticket *ticket) {
    kv_session *session = ticket->session;
    if (!claim(session, KV_BLOCK_SERVING)) return;
    kv_buf out, held;
    kv_buf_init(&out, &c->engine->mem);
    kv_buf_init(&held, &c->engine->mem);
    kv_reply reply = kv_reply_to(&out, session->format);
    kv_ctx again = {.engine = c->engine,
                    .session = session,
                    .command = ticket->command,
                    .argv = ticket->argv,
                    .argc = ticket->argc,
                    .db = ticket->db,
                    .reply = &reply,
                    .unit = c->unit,
                    .rerun = true,
                    .held = &held,
                    .key_refs = ticket->refs,
                    .key_hashes = ticket->hashes,
                    .key_count = ticket->key_count};
    kv_call(&again);
    again.held = NULL;
    bool messages = held.len > 0 || held.failed;
    if (again.blocked) {
        if (messages) kv_session_mail(&again, session, &held);
        wait_on(&again, session);
    } else {
        for (uint32_t i = 0; i < ticket->wait_count; i++) dequeue(&ticket->waits[i]);
        deliver(&again, session, &out);
        if (messages) kv_session_mail(&again, session, &held);
        /* The owner takes the locks of the ticket's shards before it frees it, and this unit holds them. */
        atomic_store_explicit(&session->block_state, KV_BLOCK_DONE, memory_order_release);
        kv_wake_later(&again, session);
    }
    kv_buf_deinit(&out);
    kv_buf_deinit(&held);
}

/* Everybody who waits for this key, once, first come first served, as long as it holds what they wait for. A client that finds nothing keeps its place, so
 * nobody joins the queue meanwhile; serving one takes only its own waits out, so `next` stays good. */
static void serve_key(kv_ctx *c, const kv_keymap_node *node) {
    kv_slice name = kv_slice_of(node->name, node->len);
    int empty_db = -1; /* a database that is known to hold nothing for those who are left */
    for (kv_wait *wait = node->head, *next; wait != NULL; wait = next) {
        next = wait->next;
        kv_ticket *ticket = wait->ticket;
        if (ticket->db == empty_db) continue;
        const kv_value *v = kv_keydb_find(kv_shard_db(node->shard, (unsigned)ticket->db), node->hash, name);
        if (v == NULL && node->db >= 0) return;
        if (v == NULL) empty_db = ticket->db;
        else if (v->type == ticket->type && (ticket->mask & ~c->unit->locked) == 0) {
            serve(c, ticket);
#ifdef KV_MUTANT_LOST_WAKEUP
            return; /* a seeded bug for the checkers: what is left could serve others, too, and nobody looks */
#endif
        }
    }
}

void kv_serve_ready(kv_ctx *c) {
    kv_unit *unit = c->unit;
    if (unit->ready != NULL) unit->now_ms = 0; /* a command of its own: what expired while the unit ran is not handed out */
    while (unit->ready != NULL) {
        kv_keymap_node *node = unit->ready;
        serve_key(
            c,
            node); /* is_ready keeps it in the map. Making it ready once more (BLMOVE a a) adds nothing: all its waiters have their turn */
        unit->ready = node->next_ready; /* after serving: what that readied was appended behind it */
        node->is_ready = false;
        forget_if_idle(node);
    }
}

/* ---- the owner's side ---- */

uint64_t kv_session_block_deadline(const kv_session *session) {
    return session->ticket == NULL ? UINT64_MAX : session->ticket->deadline_ns;
}

size_t kv_session_block_bytes(const kv_session *session) { return session->ticket == NULL ? 0 : session->ticket->bytes; }

/* Out of every queue, so that no other thread can reach the ticket; then it is freed. */
static void ticket_close(kv_session *session) {
    kv_ticket *ticket = session->ticket;
    kv_lock_shards(session->engine, ticket->mask);
    for (uint32_t i = 0; i < ticket->wait_count; i++) dequeue(&ticket->waits[i]);
    kvi_journal_saw(session, ticket->mask); /* whoever served it has published */
    kv_unlock_shards(session->engine, ticket->mask);
    if (session->reply_mode == KV_REPLY_SKIP) session->reply_mode = KV_REPLY_ON; /* the reply that CLIENT REPLY SKIP meant was this one */
    session->ticket = NULL;
    atomic_fetch_add_explicit(&session->commands, 1, memory_order_relaxed); /* a command counts when it has ended */
    kv_free(&session->engine->mem, ticket);
    atomic_fetch_sub_explicit(&session->engine->blocked_count, 1, memory_order_relaxed);
    atomic_store_explicit(&session->block_state, KV_BLOCK_NONE, memory_order_release);
}

/* A wait for no key can only end by time: then the command's handler writes the reply, as where it may not block (WAIT). */
static void reply_timeout(kv_session *session, kv_reply *reply) {
    const kv_ticket *ticket = session->ticket;
    if (ticket->wait_count == 0) {
        kv_unit unit = {0};
        kv_ctx c = {.engine = session->engine,
                    .session = session,
                    .command = ticket->command,
                    .argv = ticket->argv,
                    .argc = ticket->argc,
                    .db = ticket->db,
                    .reply = reply,
                    .unit = &unit,
                    .in_exec = true};
        ticket->command->handler(&c);
    } else if (ticket->null_array) {
        kv_reply_null_array(reply);
    } else {
        kv_reply_null(reply);
    }
}

/* What a client gets whose wait ended without a key. */
static void reply_ended(kv_session *session, kv_unblock why) {
    kv_buf out;
    kv_buf_init(&out, &session->engine->mem);
    kv_reply reply = kv_reply_to(&out, session->format);
    switch (why) {
    case KV_UNBLOCK_TIMEOUT: reply_timeout(session, &reply); break;
    case KV_UNBLOCK_ERROR: kv_reply_error(&reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK"); break;
    case KV_UNBLOCK_GONE: break;
    }
    kv_unit unit = {0};
    kv_ctx c = {.engine = session->engine, .session = session, .command = session->ticket->command, .reply = &reply, .unit = &unit};
    if (why != KV_UNBLOCK_GONE) {
        kv_call_ended(&c, why == KV_UNBLOCK_ERROR);
        deliver(&c, session, &out);
    }
    kv_buf_deinit(&out);
}

bool kv_session_block_ended(kv_session *session) {
    if (session->ticket == NULL) return true;
    uint32_t state = atomic_load_explicit(&session->block_state, memory_order_acquire);
    kv_block_state kind = (kv_block_state)(state & 0xff);
    if (kind != KV_BLOCK_DONE && kind != KV_BLOCK_ENDING) return false;
    if (kind == KV_BLOCK_ENDING) reply_ended(session, (kv_unblock)(state >> 8));
    ticket_close(session);
    return true;
}

bool kv_session_unblock(kv_session *session, kv_unblock why) {
    if (session->ticket == NULL || !claim(session, KV_BLOCK_ENDING | (uint32_t)why << 8)) return false;
    return kv_session_block_ended(session);
}

void kv_session_stop_waiting(kv_session *session) {
    /* While another thread tries to serve it neither holds; that thread finds nothing, perhaps, and puts it back: so it is asked again. */
    while (!kv_session_unblock(session, KV_UNBLOCK_GONE) && !kv_session_block_ended(session)) {
        uint32_t seen = atomic_load_explicit(&session->signal, memory_order_acquire);
        kv_wait_word(&session->signal, seen, kv_mono_ns() + 100000);
    }
}

bool kv_session_ask_unblock(kv_ctx *c, kv_session *target, kv_unblock why) {
    uint32_t state = atomic_load_explicit(&target->block_state, memory_order_relaxed), wanted;
    do {
        if (state == KV_BLOCK_WAITING) wanted = KV_BLOCK_ENDING | (uint32_t)why << 8;
        else if (state == KV_BLOCK_SERVING) wanted = KV_BLOCK_SERVING | ((uint32_t)why + 1) << 8; /* a note for wait_on */
        else return false;
    } while (!atomic_compare_exchange_weak_explicit(&target->block_state, &state, wanted, memory_order_acq_rel, memory_order_relaxed));
    if (state == KV_BLOCK_WAITING) kv_wake_later(c, target);
    return true;
}

size_t kv_waiting_keys(kv_engine *engine) {
    size_t keys = 0;
    for (unsigned i = 0; i < engine->store.shard_count; i++) {
        kv_shard *shard = &engine->store.shards[i];
        kv_mutex_lock(&shard->lock);
        keys += kv_keymap_count(shard->waiters);
        kv_mutex_unlock(&shard->lock);
    }
    return keys;
}

void kv_waiters_destroy(kv_engine *engine) {
    for (unsigned i = 0; i < engine->store.shard_count; i++) {
        kv_keymap_destroy(engine->store.shards[i].waiters);
        engine->store.shards[i].waiters = NULL;
    }
}
