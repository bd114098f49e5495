/* SORT and SORT_RO: the elements of a list, set or sorted set in order.
 *
 *   collect    every element is copied into one buffer, for the keys that patterns lead to may be looked up, and expire, meanwhile
 *   weigh      each gets what it is compared by: its own number or text, or those of the key that BY makes of it
 *   sort       a stable merge sort of the rows; equal numbers fall back to the elements' bytes, so results do not depend on the encoding
 *   hand out   the wanted range, through the GET patterns, to the reply or to the list named by STORE
 *
 * Offsets into the buffer stand for text, since it moves as it grows. */
#include "commands/keys_common.h"
#include "engine/errors.h"
#include "types/hash.h"
#include "types/list.h"
#include "types/set.h"
#include "types/zset.h"

typedef struct text_ref {
    size_t at, len;
    bool there;
} text_ref;

typedef struct row {
    text_ref element;
    text_ref weight; /* ALPHA with BY */
    double number;   /* not ALPHA */
} row;

typedef struct sort_job {
    kv_ctx *c;
    bool read_only;
    /* what was asked for */
    bool alpha, desc, by_pattern, keep_order;
    kv_slice by;
    int64_t offset, limit;
    int store_arg; /* 0: none */
    size_t gets;
    /* the work */
    kv_buf text;
    row *rows;
    size_t count, first, end; /* the range [first, end) is wanted */
} sort_job;

/* ---- arguments ---- */

static bool parse(kv_ctx *c, sort_job *job) {
    for (int arg = 2; arg < c->argc; arg++) {
        int left = c->argc - arg - 1;
        if (kv_ctx_is(c, arg, "asc")) {
            job->desc = false;
        } else if (kv_ctx_is(c, arg, "desc")) {
            job->desc = true;
        } else if (kv_ctx_is(c, arg, "alpha")) {
            job->alpha = true;
        } else if (kv_ctx_is(c, arg, "limit") && left >= 2) {
            if (!kv_ctx_i64(c, arg + 1, &job->offset) || !kv_ctx_i64(c, arg + 2, &job->limit)) return false;
            arg += 2;
        } else if (kv_ctx_is(c, arg, "store") && left >= 1 && !job->read_only) {
            job->store_arg = ++arg;
        } else if (kv_ctx_is(c, arg, "by") && left >= 1) {
            job->by = c->argv[++arg];
            job->by_pattern = memchr(job->by.ptr, '*', job->by.len) != NULL;
            if (!job->by_pattern) job->keep_order = true;
        } else if (kv_ctx_is(c, arg, "get") && left >= 1) {
            job->gets++;
            arg++;
        } else {
            kv_ctx_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* ---- text ---- */

static text_ref keep(sort_job *job, kv_slice text) {
    text_ref ref = {job->text.len, text.len, true};
    kv_buf_add_slice(&job->text, text);
    return ref;
}
static kv_slice text_of(const sort_job *job, text_ref ref) {
    return ref.len == 0 ? (kv_slice){0} : kv_slice_of(job->text.ptr + ref.at, ref.len);
}

/* ---- collecting ---- */

static void add_row(sort_job *job, kv_slice element) { job->rows[job->count++] = (row){.element = keep(job, element)}; }

static void collect_list(sort_job *job, const kv_value *v) {
    kv_list_iter iter;
    kv_slice item;
    bool backward = job->keep_order && job->desc;
    kv_list_iter_init(&iter, v, backward ? -1 : 0, backward);
    while (kv_list_next(&iter, &item)) add_row(job, item);
    if (kv_list_iter_end(&iter) != KV_OK) job->text.failed = true;
}

static void collect_set(sort_job *job, const kv_value *v) {
    kv_set_iter iter;
    kv_slice member;
    kv_set_iter_init(&iter, v);
    while (kv_set_next(&iter, &member)) add_row(job, member);
}

static void collect_zset(sort_job *job, const kv_value *v) {
    kv_zset_iter iter;
    kv_zset_item item;
    bool backward = job->keep_order && job->desc;
    kv_zset_iter_at(&iter, v, backward ? kv_zset_length(v) - 1 : 0, backward);
    while (kv_zset_iter_next(&iter, &item)) add_row(job, item.member);
}

static bool collect(sort_job *job, const kv_value *v) {
    size_t count = v->type == KV_LIST ? kv_list_length(v) : v->type == KV_SET ? kv_set_length(v) : kv_zset_length(v);
    size_t bytes;
    if (count == 0) return true;
    if (!kv_mul_size(count, sizeof(row), &bytes)) return false;
    job->rows = kv_malloc(kv_ctx_mem(job->c), bytes);
    if (job->rows == NULL) return false;
    if (v->type == KV_LIST) collect_list(job, v);
    else if (v->type == KV_SET) collect_set(job, v);
    else collect_zset(job, v);
    return !job->text.failed;
}

/* ---- patterns ---- */

/* The first "->" in the text, NULL: none. */
static const uint8_t *find_arrow(const uint8_t *text, size_t len) {
    for (size_t i = 0; i + 1 < len; i++)
        if (text[i] == '-' && text[i + 1] == '>') return text + i;
    return NULL;
}

/* What a pattern finds for an element: the string of the key that has the element in the place of the first '*', or with "->field" behind
 * it that field of a hash. "#" is the element itself. */
static text_ref look_up(sort_job *job, kv_slice pattern, text_ref element) {
    const text_ref none = {0};
    if (kv_slice_eq(pattern, KV_LIT("#"))) return element;
    const uint8_t *star = pattern.len == 0 ? NULL : memchr(pattern.ptr, '*', pattern.len);
    if (star == NULL) return none;
    size_t before = (size_t)(star - pattern.ptr), after = pattern.len - before - 1;
    const uint8_t *arrow = find_arrow(star + 1, after);
    kv_slice field = {0};
    if (arrow != NULL && arrow + 2 < pattern.ptr + pattern.len) {
        field = kv_slice_of(arrow + 2, (size_t)(pattern.ptr + pattern.len - arrow - 2));
        after = (size_t)(arrow - star - 1);
    }
    size_t mark = job->text.len; /* the key's name is made behind the text, and given up again */
    if (!kv_buf_reserve(&job->text, before + element.len + after)) return none;
    kv_buf_add(&job->text, pattern.ptr, before);
    kv_buf_add_slice(&job->text, text_of(job, element));
    kv_buf_add(&job->text, star + 1, after);
    kv_key key = kv_ctx_key_named(job->c, kv_slice_of(job->text.ptr + mark, job->text.len - mark));
    const kv_value *v = kv_ctx_find(job->c, &key, KV_FIND_READ);
    job->text.len = mark;
    if (v == NULL || v->type != (field.len > 0 ? KV_HASH : KV_STRING)) return none;
    if (field.len > 0) {
        kv_hash_item item;
        return kv_hash_get(v, field, kv_ctx_now_ms(job->c), &item) ? keep(job, item.value) : none;
    }
    char scratch[KV_NUM_MAX];
    return keep(job, kv_entry_string(v, scratch));
}

/* False: an error was replied. A weight that is no number is told only after all have been looked up, as the misses are events. */
static bool weigh(sort_job *job) {
    bool numbers = true;
    for (size_t i = 0; i < job->count; i++) {
        row *r = &job->rows[i];
        text_ref weight = job->by_pattern ? look_up(job, job->by, r->element) : r->element;
        if (job->text.failed) {
            kv_ctx_out_of_memory(job->c);
            return false;
        }
        if (job->alpha) {
            r->weight = weight;
        } else if (weight.there && !kv_parse_double(text_of(job, weight), &r->number)) {
            numbers = false;
        }
    }
    if (!numbers) kv_reply_error(job->c->reply, KV_ERR_SORT_DOUBLE);
    return numbers;
}

/* ---- sorting ---- */

static int compare(const sort_job *job, const row *a, const row *b) {
    int order;
    if (job->alpha) {
        if (a->weight.there && b->weight.there) order = kv_slice_cmp(text_of(job, a->weight), text_of(job, b->weight));
        else order = (int)a->weight.there - (int)b->weight.there; /* a missing weight is the lowest */
    } else if (a->number != b->number) {
        order = a->number > b->number ? 1 : -1;
    } else {
        order = kv_slice_cmp(text_of(job, a->element), text_of(job, b->element));
    }
    return job->desc ? -order : order;
}

static void merge(const sort_job *job, const row *from, row *to, size_t low, size_t middle, size_t high) {
    size_t i = low, j = middle;
    for (size_t k = low; k < high; k++) {
        bool left = i < middle && (j >= high || compare(job, &from[i], &from[j]) <= 0);
        to[k] = left ? from[i++] : from[j++];
    }
}

/* Bottom up: runs of 1, 2, 4, ... rows. False: out of memory. */
static bool sort_rows(sort_job *job) {
    if (job->count < 2) return true;
    row *spare = kv_malloc(kv_ctx_mem(job->c), job->count * sizeof(row));
    if (spare == NULL) return false;
    row *from = job->rows, *to = spare;
    for (size_t width = 1; width < job->count; width *= 2) {
        for (size_t low = 0; low < job->count; low += 2 * width) {
            size_t middle = low + width < job->count ? low + width : job->count;
            size_t high = middle + width < job->count ? middle + width : job->count;
            merge(job, from, to, low, middle, high);
        }
        row *swap = from;
        from = to;
        to = swap;
    }
    kv_free(kv_ctx_mem(job->c), to);
    job->rows = from;
    return true;
}

/* LIMIT: a negative offset is 0, a negative count means all. */
static void choose_range(sort_job *job) {
    size_t first = job->offset < 0 ? 0 : (uint64_t)job->offset > job->count ? job->count : (size_t)job->offset;
    size_t most = job->count - first;
    job->first = first;
    job->end = first + (job->limit < 0 || (uint64_t)job->limit > most ? most : (size_t)job->limit);
}

/* ---- handing out ---- */

typedef void deliver_fn(void *arg, const sort_job *job, text_ref item);

static void deliver_all(sort_job *job, deliver_fn *deliver, void *arg) {
    kv_ctx *c = job->c;
    for (size_t i = job->first; i < job->end; i++) {
        text_ref element = job->rows[i].element;
        if (job->gets == 0) deliver(arg, job, element);
        for (int word = 2; job->gets > 0 && word + 1 < c->argc; word++) {
            if (kv_ctx_is(c, word, "limit")) {
                word += 2;
            } else if (kv_ctx_is(c, word, "store") || kv_ctx_is(c, word, "by")) {
                word++;
            } else if (kv_ctx_is(c, word, "get")) {
                size_t mark = job->text.len;
                deliver(arg, job, look_up(job, c->argv[++word], element));
                if (arg == NULL) job->text.len = mark; /* replied: no longer needed */
            }
        }
    }
}

static void to_reply(void *arg, const sort_job *job, text_ref item) {
    (void)arg;
    if (item.there) kv_reply_bulk(job->c->reply, text_of(job, item));
    else kv_reply_null(job->c->reply);
}

typedef struct store_list {
    text_ref *items;
    size_t count;
} store_list;

static void to_store(void *arg, const sort_job *job, text_ref item) {
    (void)job;
    store_list *list = arg;
    list->items[list->count++] = item; /* what is missing is stored as an empty string: len is 0 */
}

/* The key of STORE becomes a list of the items. False: out of memory, replied. */
static bool put_list(sort_job *job, const kv_key *key, const store_list *list, kv_slice *slices) {
    kv_ctx *c = job->c;
    kv_keydb *db = kv_ctx_open(c, key);
    if (db == NULL) return false;
    for (size_t i = 0; i < list->count; i++) slices[i] = text_of(job, list->items[i]);
    kv_value fresh = {.type = KV_LIST};
    if (!kv_ctx_ok(c, kv_list_create(&fresh, db->arena))) return false;
    kv_value *old = kv_ctx_find(c, key, KV_FIND_WRITE);
    kv_status status = kv_list_push(&fresh, db->arena, kv_ctx_limits(c), KV_LIST_TAIL, slices, list->count);
    if (status == KV_OK) {
        if (old != NULL) kv_ctx_modify(c, key, old);
        status = kv_keydb_replace_value(db, key->hash, key->name, old, fresh, KV_EXPIRE_CLEAR, 0, NULL);
    }
    if (status != KV_OK) {
        kv_list_free(&fresh, db->arena);
        return kv_ctx_ok(c, status);
    }
    if (old == NULL) kv_ctx_notify(c, key, KV_EVENT_NEW, "new");
    kv_ctx_ready(c, key);
    kv_ctx_changed(c, key, KV_EVENT_LIST, "sortstore");
    return true;
}

static void store(sort_job *job) {
    kv_ctx *c = job->c;
    kv_key key = kv_ctx_key(c, job->store_arg);
    size_t count, bytes;
    if (!kv_mul_size(job->end - job->first, job->gets > 0 ? job->gets : 1, &count) ||
        !kv_mul_size(count, sizeof(text_ref) + sizeof(kv_slice), &bytes)) {
        kv_ctx_out_of_memory(c);
        return;
    }
    if (count == 0) {
        if (kv_ctx_find(c, &key, KV_FIND_PEEK) != NULL && kv_ctx_delete(c, &key)) kv_ctx_changed(c, &key, KV_EVENT_GENERIC, "del");
        kv_reply_int(c->reply, 0);
        return;
    }
    text_ref *items = kv_malloc(kv_ctx_mem(c), bytes);
    store_list list = {.items = items};
    if (items != NULL) deliver_all(job, to_store, &list);
    if (items == NULL || job->text.failed) kv_ctx_out_of_memory(c);
    else if (put_list(job, &key, &list, (kv_slice *)(items + count))) kv_reply_int(c->reply, (int64_t)count);
    kv_free(kv_ctx_mem(c), items);
}

/* False: an error was replied. */
static bool arrange(sort_job *job) {
    if (!job->keep_order && (!weigh(job))) return false;
    if (!job->keep_order && !sort_rows(job)) {
        kv_ctx_out_of_memory(job->c);
        return false;
    }
    choose_range(job);
    return true;
}

static void sort(kv_ctx *c, bool read_only) {
    sort_job job = {.c = c, .read_only = read_only, .limit = -1};
    if (!parse(c, &job)) return;
    kv_key key = kv_ctx_key(c, 1);
    const kv_value *v = kv_ctx_find(c, &key, KV_FIND_READ);
    if (v != NULL && v->type != KV_LIST && v->type != KV_SET && v->type != KV_ZSET) {
        kv_ctx_wrong_type(c);
        return;
    }
    if (v != NULL && v->type == KV_SET && job.keep_order && job.store_arg > 0) {
        job.keep_order = false; /* what is stored must not depend on how the set is kept */
        job.alpha = true;
    }
    kv_buf_init(&job.text, kv_ctx_mem(c));
    if (v != NULL && !collect(&job, v)) {
        kv_ctx_out_of_memory(c);
    } else if (arrange(&job)) {
        if (job.store_arg > 0) {
            store(&job);
        } else {
            kv_mark mark = kv_reply_defer(c->reply);
            kv_reply_array(c->reply, (job.end - job.first) * (job.gets > 0 ? job.gets : 1));
            deliver_all(&job, to_reply, NULL);
            if (job.text.failed) {
                kv_reply_rewind(c->reply, mark);
                kv_ctx_out_of_memory(c);
            }
        }
    }
    kv_free(kv_ctx_mem(c), job.rows);
    kv_buf_deinit(&job.text);
}

void kv_cmd_sort(kv_ctx *c) { sort(c, false); }
void kv_cmd_sort_ro(kv_ctx *c) { sort(c, true); }
