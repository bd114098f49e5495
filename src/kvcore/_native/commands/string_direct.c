/* GET and SET as direct calls. Each is what its handler does (string_get.c, string_set.c), less what the call rules out. */
#include "commands/string_direct.h"

#include "engine/effect.h"
#include "engine/unit.h"
#include "types/string.h"

kv_direct_result kv_direct_get(kv_session *session, kv_slice key, uint8_t *out, size_t *len) {
    kv_direct d;
    if (!kv_direct_begin(&d, session, KV_DIRECT_GET, key)) return KV_DIRECT_ASK;
    kv_value *v = kv_ctx_find(&d.c, &d.key, KV_FIND_PEEK);
    char scratch[KV_NUM_MAX];
    kv_slice text = {0};
    if (v != NULL && v->type == KV_STRING) text = kv_entry_string(v, scratch);
    if ((v != NULL && v->type != KV_STRING) || text.len > KV_DIRECT_BYTES) {
        kv_direct_leave(&d);
        return KV_DIRECT_ASK;
    }
    kv_ctx_used(&d.c, &d.key, v, KV_FIND_READ);
    if (text.len > 0) memcpy(out, text.ptr, text.len);
    *len = text.len;
    kv_direct_end(&d, KV_DIRECT_GET);
    return v == NULL ? KV_DIRECT_ABSENT : KV_DIRECT_FOUND;
}

kv_direct_result kv_direct_set(kv_session *session, kv_slice key, kv_slice value) {
    kv_direct d;
    if (value.len > KV_DIRECT_BYTES || !kv_direct_begin(&d, session, KV_DIRECT_SET, key)) return KV_DIRECT_ASK;
    kv_value *old = kv_ctx_find(&d.c, &d.key, KV_FIND_WRITE);
    kv_begin_write(&d.c);
    d.key.shard->now_ms = kv_ctx_now_ms(&d.c);
    kv_keydb *db = kv_shard_db_open(d.key.shard, (unsigned)d.key.db);
    if (db == NULL || kv_keydb_set_string(db, d.key.hash, key, old, value, KV_EXPIRE_CLEAR, 0, NULL) != KV_OK) {
        kv_direct_leave(&d); /* no memory: the usual way tries once more, and says so */
        return KV_DIRECT_ASK;
    }
    if (old == NULL) kv_ctx_notify(&d.c, &d.key, KV_EVENT_NEW, "new");
    kv_ctx_changed(&d.c, &d.key, KV_EVENT_STRING, "set");
    if (kv_logs(&d.c)) kv_ctx_effect(&d.c, 3, (kv_slice[]){KV_LIT("SET"), key, value});
    kv_direct_end(&d, KV_DIRECT_SET);
    return KV_DIRECT_FOUND;
}
