/* Items of persist/inspect.h in the form that programs outside see, and loading them into a store by way of its commands. */
#include "api/file.h"

#include <errno.h>
#include <stdio.h>

#include "engine/dispatch.h"
#include "persist/crc64.h"
#include "persist/inspect.h"
#include "persist/payload.h"
#include "persist/rdb.h"
#include "store/keyspace.h"

_Static_assert(sizeof(kvcore_word) == sizeof(kv_slice), "words are handed out as they are");

struct kvcore_file {
    kv_mem mem;
    kv_inspect inspect;
    kvcore_item item;
    kv_buf payload, text;
    bool payloads;
    _Atomic uint64_t at;
};

static kvcore_word word_of(kv_slice s) { return (kvcore_word){(const char *)s.ptr, s.len}; }

kvcore_file *kvcore_file_open(const char *path, int options, char *error, size_t error_cap) {
    kv_mem mem;
    kv_mem_init(&mem);
    kvcore_file *file = kv_calloc(&mem, 1, sizeof *file);
    kv_inspect_options wanted = {.values = (options & KVCORE_FILE_VALUES) != 0,
                                 .unique = (options & KVCORE_FILE_UNIQUE) != 0,
                                 .any_type = (options & KVCORE_FILE_ANY_TYPE) != 0};
    kv_status status = KV_ENOMEM;
    if (file != NULL) {
        kv_mem_init(&file->mem);
        status = kv_inspect_open(&file->inspect, &kv_vfs_posix, &file->mem, path, &wanted);
    }
    if (status != KV_OK) {
        const char *why = status == KV_ENOMEM ? "out of memory" : strerror(status == KV_ENOTFOUND ? ENOENT : errno);
        if (error_cap > 0) snprintf(error, error_cap, "%s", why);
        kv_free(&mem, file);
        return NULL;
    }
    file->payloads = (options & KVCORE_FILE_PAYLOADS) != 0;
    kv_buf_init(&file->payload, &file->mem);
    kv_buf_init(&file->text, &file->mem);
    return file;
}

void kvcore_file_close(kvcore_file *file) {
    if (file == NULL) return;
    kv_inspect_close(&file->inspect);
    kv_buf_deinit(&file->payload);
    kv_buf_deinit(&file->text);
    kv_mem mem;
    kv_mem_init(&mem); /* the file's own accounts are in the block */
    kv_free(&mem, file);
}

/* ---- items ---- */

static const char *type_of(uint8_t form) {
    switch (form) {
    case KV_RDB_STRING: return "string";
    case KV_RDB_LIST:
    case KV_RDB_LIST_ZIPLIST:
    case KV_RDB_LIST_QUICKLIST:
    case KV_RDB_LIST_QUICKLIST_2: return "list";
    case KV_RDB_SET:
    case KV_RDB_SET_INTSET:
    case KV_RDB_SET_LISTPACK: return "set";
    case KV_RDB_ZSET:
    case KV_RDB_ZSET_2:
    case KV_RDB_ZSET_ZIPLIST:
    case KV_RDB_ZSET_LISTPACK: return "zset";
    case KV_RDB_STREAM:
    case KV_RDB_STREAM_2:
    case KV_RDB_STREAM_3: return "stream";
    case KV_RDB_MODULE_OLD:
    case KV_RDB_MODULE: return "module";
    default: return "hash";
    }
}

static const char *form_of(uint8_t form) {
    static const char *const names[KV_RDB_TYPES] = {
        [KV_RDB_STRING] = "string",
        [KV_RDB_LIST] = "items",
        [KV_RDB_SET] = "members",
        [KV_RDB_ZSET] = "members, scores as text",
        [KV_RDB_HASH] = "fields",
        [KV_RDB_ZSET_2] = "members, binary scores",
        [KV_RDB_MODULE] = "module",
        [KV_RDB_HASH_ZIPMAP] = "zipmap",
        [KV_RDB_LIST_ZIPLIST] = "ziplist",
        [KV_RDB_SET_INTSET] = "intset",
        [KV_RDB_ZSET_ZIPLIST] = "ziplist",
        [KV_RDB_HASH_ZIPLIST] = "ziplist",
        [KV_RDB_LIST_QUICKLIST] = "quicklist of ziplists",
        [KV_RDB_STREAM] = "stream, version 1",
        [KV_RDB_HASH_LISTPACK] = "listpack",
        [KV_RDB_ZSET_LISTPACK] = "listpack",
        [KV_RDB_LIST_QUICKLIST_2] = "quicklist",
        [KV_RDB_STREAM_2] = "stream, version 2",
        [KV_RDB_SET_LISTPACK] = "listpack",
        [KV_RDB_STREAM_3] = "stream, version 3",
        [KV_RDB_HASH_TTL] = "fields with times (Valkey)",
        [KV_RDB_HASH_TTL_REDIS] = "fields with times (Redis)",
        [KV_RDB_HASH_LISTPACK_TTL] = "listpack with times (Redis)",
    };
    return form < KV_RDB_TYPES && names[form] != NULL ? names[form] : "unknown";
}

static const char *encoding_of(const kv_value *v) {
    static const char *const names[KV_ENC_COUNT] = {"int",       "embstr",    "raw",      "listpack", "intset",
                                                    "quicklist", "hashtable", "skiplist", "stream"};
    return names[v->enc];
}

static void describe_key(kvcore_file *file, const kv_inspect_item *read) {
    kvcore_item *item = &file->item;
    item->type = type_of(read->form);
    item->form = form_of(read->form);
    if (read->held == NULL) return;
    item->encoding = encoding_of(read->held);
    item->memory = kv_value_memory(read->held, 0);
    if (read->held->type == KV_STRING) item->elements = kv_entry_string_length(read->held);
    if (!file->payloads) return;
    kv_buf_clear(&file->payload);
    kv_payload_codec.dump(read->held, false, &file->payload);
    item->value = word_of(kv_buf_slice(&file->payload));
    if (!file->payload.failed) return;
    item->kind = KVCORE_FILE_FAILED;
    item->problem = "out of memory";
}

const kvcore_item *kvcore_file_next(kvcore_file *file) {
    const kv_inspect_item *read = kv_inspect_next(&file->inspect);
    file->item = (kvcore_item){.kind = (int)read->kind,
                               .db = read->db,
                               .at = read->at,
                               .bytes = read->bytes,
                               .good = read->good,
                               .name = word_of(read->name),
                               .value = word_of(read->value),
                               .expire_ms = read->expire_ms,
                               .idle_s = read->idle_s,
                               .frequency = read->frequency,
                               .elements = read->elements,
                               .words = (const kvcore_word *)read->words,
                               .word_count = read->word_count,
                               .group_ends = read->group_ends,
                               .problem = read->problem};
    if (read->kind == KV_INSPECT_KEY) describe_key(file, read);
    atomic_store_explicit(&file->at, kv_source_at(&file->inspect.source), memory_order_relaxed);
    return &file->item;
}

int kvcore_file_version(const kvcore_file *file) { return file->inspect.version; }
int kvcore_file_has_sums(const kvcore_file *file) { return file->inspect.log.has_lines; }
uint64_t kvcore_file_size(const kvcore_file *file) { return file->inspect.source.size; }
uint64_t kvcore_file_at(kvcore_file *file) { return atomic_load_explicit(&file->at, memory_order_relaxed); }
uint64_t kvcore_crc64(uint64_t sum, const char *bytes, size_t len) { return kv_crc64(sum, bytes, len); }

/* ---- into a store ---- */

typedef struct loader {
    kvcore_file *file;
    kvcore_client *client;
    kv_buf reply;
    unsigned db;
} loader;

/* An error reply ends the load; its text is then the problem. */
static bool run(loader *l, int argc, const kv_slice *words) {
    kv_buf_clear(&l->reply);
    (void)kv_execute(kvcore_client_session(l->client), argc, words, &l->reply);
    if (!l->reply.failed && (l->reply.len == 0 || l->reply.ptr[0] != '-')) return true;
    kv_buf *text = &l->file->text;
    kv_buf_clear(text);
    kv_slice why = l->reply.failed ? KV_LIT("out of memory") : kv_slice_of(l->reply.ptr + 1, l->reply.len - 3);
    kv_buf_printf(text, "%.*s cannot be applied: %.*s", (int)(words[0].len < 64 ? words[0].len : 64), (const char *)words[0].ptr,
                  (int)(why.len < 256 ? why.len : 256), (const char *)why.ptr);
    kv_buf_add_byte(text, 0);
    l->file->item.kind = l->reply.failed || text->failed ? KVCORE_FILE_FAILED : KVCORE_FILE_UNSUPPORTED;
    l->file->item.problem = text->failed ? "out of memory" : (const char *)text->ptr;
    return false;
}

static bool put_key(loader *l) {
    const kvcore_item *item = &l->file->item;
    char number[24];
    if (item->value.len == 0) return true; /* nothing in it: no key */
    if (item->db != l->db) {
        kv_slice words[] = {KV_LIT("SELECT"), kv_slice_of(number, (size_t)snprintf(number, sizeof number, "%u", item->db))};
        if (!run(l, 2, words)) return false;
        l->db = item->db;
    }
    int64_t expire_ms = item->expire_ms < 0 ? 0 : item->expire_ms == 0 ? 1 : item->expire_ms; /* 0 would mean none */
    kv_slice words[7] = {KV_LIT("RESTORE"), kv_slice_of(item->name.ptr, item->name.len),
                         kv_slice_of(number, (size_t)snprintf(number, sizeof number, "%lld", (long long)expire_ms)),
                         kv_slice_of(item->value.ptr, item->value.len), KV_LIT("ABSTTL")};
    return run(l, 5, words);
}

const kvcore_item *kvcore_file_load(kvcore_file *file, kvcore_store *store) {
    loader l = {.file = file, .client = kvcore_connect(store, 0)};
    kv_buf_init(&l.reply, &file->mem);
    if (l.client == NULL) {
        file->item = (kvcore_item){.kind = KVCORE_FILE_FAILED, .problem = "out of memory"};
        return &file->item;
    }
    for (bool good = true; good;) {
        const kvcore_item *item = kvcore_file_next(file);
        uint64_t at = item->at;
        switch (item->kind) {
        case KVCORE_FILE_KEY: good = put_key(&l); break;
        case KVCORE_FILE_COMMAND: good = run(&l, (int)item->word_count, (const kv_slice *)item->words); break;
        case KVCORE_FILE_FUNCTION:
        case KVCORE_FILE_MODULE:
            file->item.problem = item->kind == KVCORE_FILE_MODULE ? "data of a module, which is not supported"
                                                                  : "a library of functions, which are not supported yet";
            file->item.kind = KVCORE_FILE_UNSUPPORTED;
            good = false;
            break;
        case KVCORE_FILE_FACT: break;
        case KVCORE_FILE_SNAPSHOT: /* a log begins in database 0 */
            if (l.db != 0) {
                kv_slice words[] = {KV_LIT("SELECT"), KV_LIT("0")};
                good = run(&l, 2, words);
                l.db = 0;
            }
            break;
        default: good = false; break;
        }
        if (!good) file->item.at = at;
    }
    kv_buf_deinit(&l.reply);
    kvcore_disconnect(l.client);
    return &file->item;
}
