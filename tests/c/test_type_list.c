/* sources: base/[a-z]*.c ds/listpack.c ds/lzf.c ds/quicklist.c ds/quicklist_pack.c types/list.c */
/* Lists against a plain array of strings: random changes at both ends and in the middle, moves between lists, the encodings that the
 * thresholds ask for, compressed nodes, and every allocation failing once. */
#include "base/num.h"
#include "base/rng.h"
#include "check.h"
#include "ds/lzf.h"
#include "types/list.h"

#define MAX 4096

typedef struct model {
    char *text[MAX];
    size_t count;
} model;

static kv_mem mem;

static kv_slice str(const char *s) { return kv_slice_cstr(s); }

static void model_insert(model *m, size_t at, const char *text) {
    CHECK(m->count < MAX);
    memmove(m->text + at + 1, m->text + at, (m->count - at) * sizeof m->text[0]);
    m->text[at] = strdup(text);
    m->count++;
}
static void model_delete(model *m, size_t at) {
    free(m->text[at]);
    memmove(m->text + at, m->text + at + 1, (m->count - at - 1) * sizeof m->text[0]);
    m->count--;
}
static void model_clear(model *m) {
    while (m->count > 0) model_delete(m, m->count - 1);
}

static void same(const kv_value *v, const model *m) {
    CHECK(kv_list_check(v));
    CHECK(kv_list_length(v) == m->count);
    for (int backward = 0; backward < 2; backward++) {
        kv_list_iter it;
        kv_slice text;
        size_t walked = 0;
        for (kv_list_iter_init(&it, v, backward ? -1 : 0, backward != 0); kv_list_next(&it, &text); walked++)
            CHECK(kv_slice_eq(text, str(m->text[backward ? m->count - 1 - walked : walked])));
        CHECK(walked == m->count && kv_list_iter_end(&it) == KV_OK);
    }
}

static void word(kv_rng *rng, char *out, size_t cap) {
    unsigned pick = (unsigned)kv_rng_below(rng, 100);
    long long num = (long long)kv_rng_below(rng, 8);
    if (pick < 40) snprintf(out, cap, "%lld", num - 3);
    else if (pick < 45) snprintf(out, cap, "%lld", (num + 1) * 1000000007LL);
    else if (pick < 90) snprintf(out, cap, "w%lld", num);
    else if (pick < 97) snprintf(out, cap, "%0200lld", num);
    else snprintf(out, cap, "%05000lld", num);
}

/* One random change of list and model. */
static kv_status change(kv_value *v, kv_arena *a, const kv_limits *limits, model *m, kv_rng *rng) {
    static char text[8][6000];
    kv_slice items[8];
    kv_status status;
    kv_list_end end = kv_rng_below(rng, 2) ? KV_LIST_HEAD : KV_LIST_TAIL;
    unsigned what = (unsigned)kv_rng_below(rng, 100);
    for (size_t i = 0; i < 8; i++) {
        word(rng, text[i], sizeof text[i]);
        items[i] = str(text[i]);
    }
    if (what < 40) {
        size_t n = kv_rng_below(rng, 3) ? 1 : 1 + (size_t)kv_rng_below(rng, 8);
        if (m->count + n > 300) n = 0;
        status = kv_list_push(v, a, limits, end, items, n);
        for (size_t i = 0; status == KV_OK && i < n; i++) model_insert(m, end == KV_LIST_HEAD ? 0 : m->count, text[i]);
        return status;
    }
    if (what < 60) {
        size_t n = kv_rng_below(rng, 3) ? 1 : (size_t)kv_rng_below(rng, 12);
        status = kv_list_drop(v, a, limits, end, n);
        for (size_t i = 0; status == KV_OK && i < n && m->count > 0; i++) model_delete(m, end == KV_LIST_HEAD ? 0 : m->count - 1);
        return status;
    }
    int64_t index = (int64_t)kv_rng_below(rng, m->count * 2 + 3) - (int64_t)m->count - 1;
    int64_t at = index < 0 ? index + (int64_t)m->count : index;
    bool inside = at >= 0 && at < (int64_t)m->count;
    if (what < 72) {
        status = kv_list_set(v, a, limits, index, items[0]);
        if (status == KV_ENOMEM) return status;
        CHECK(status == (inside ? KV_OK : KV_ERANGE));
        if (inside) {
            free(m->text[at]);
            m->text[at] = strdup(text[0]);
        }
    } else if (what < 84) {
        bool after = kv_rng_below(rng, 2);
        status = kv_list_insert(v, a, limits, items[1], after, items[0]);
        if (status == KV_ENOMEM) return status;
        size_t i = 0;
        while (i < m->count && strcmp(m->text[i], text[1]) != 0) i++;
        CHECK(status == (i < m->count ? KV_OK : KV_ENOTFOUND));
        if (i < m->count) model_insert(m, i + after, text[0]);
    } else if (what < 92) {
        int64_t count = (int64_t)kv_rng_below(rng, 7) - 3;
        size_t removed, gone = 0, limit = count == 0 ? MAX : (size_t)(count < 0 ? -count : count);
        status = kv_list_remove(v, a, limits, items[0], count, &removed);
        if (status != KV_OK) limit = removed;
        for (size_t i = 0; i < m->count && gone < limit;) {
            size_t k = count < 0 ? m->count - 1 - i : i;
            if (strcmp(m->text[k], text[0]) == 0) {
                model_delete(m, k);
                gone++;
            } else {
                i++;
            }
        }
        CHECK(gone == removed);
        return status;
    } else if (what < 96) {
        size_t skip = (size_t)kv_rng_below(rng, 4), cut = (size_t)kv_rng_below(rng, 4);
        size_t kept = m->count > skip + cut ? m->count - skip - cut : 0;
        status = kv_list_keep(v, a, limits, skip, kept);
        if (status != KV_OK) return status;
        while (m->count > kept + skip) model_delete(m, m->count - 1);
        for (size_t i = 0; i < skip && m->count > kept; i++) model_delete(m, 0);
    } else if (m->count > 0) {
        kv_list_end to = kv_rng_below(rng, 2) ? KV_LIST_HEAD : KV_LIST_TAIL;
        status = kv_list_move(v, a, end, v, a, to, limits);
        if (status != KV_OK) return status;
        char *moved = strdup(m->text[end == KV_LIST_HEAD ? 0 : m->count - 1]);
        model_delete(m, end == KV_LIST_HEAD ? 0 : m->count - 1);
        model_insert(m, to == KV_LIST_HEAD ? 0 : m->count, moved);
        free(moved);
    }
    return KV_OK;
}

static void random_changes(uint64_t seed, int64_t fill, int64_t depth, size_t steps) {
    kv_rng rng;
    kv_rng_seed(&rng, seed);
    kv_limits limits = {.list_max_listpack_size = fill, .list_compress_depth = depth, .list_packed_threshold = depth == 5 ? 150 : 0};
    kv_arena *a = kv_arena_create(&mem), *other = kv_arena_create(&mem);
    static model m, n;
    m.count = n.count = 0;
    kv_value v = {0}, w = {0};
    CHECK(kv_list_create(&v, a) == KV_OK && kv_list_create(&w, other) == KV_OK);
    for (size_t i = 0; i < steps; i++) {
        CHECK(change(&v, a, &limits, &m, &rng) == KV_OK);
        unsigned what = (unsigned)kv_rng_below(&rng, 100);
        if (what == 0) {
            kv_value copy = {0};
            CHECK(kv_list_copy(&v, &copy, other) == KV_OK);
            same(&copy, &m);
            size_t budget = 2;
            while (!kv_list_free_some(&copy, other, &budget)) budget = 2;
        } else if (what == 1) {
            CHECK(kv_list_rehome(&v, a, other) == KV_OK && kv_list_rehome(&w, other, a) == KV_OK);
            kv_arena *swap = a;
            a = other;
            other = swap;
        } else if (what < 12 && n.count < 100) {
            kv_status status = kv_list_move(&v, a, KV_LIST_TAIL, &w, other, KV_LIST_HEAD, &limits);
            CHECK(status == (m.count > 0 ? KV_OK : KV_ENOTFOUND));
            if (m.count > 0) {
                model_insert(&n, 0, m.text[m.count - 1]);
                model_delete(&m, m.count - 1);
            }
        } else if (what < 16) {
            CHECK(kv_list_drop(&w, other, &limits, KV_LIST_TAIL, 20) == KV_OK);
            for (int k = 0; k < 20 && n.count > 0; k++) model_delete(&n, n.count - 1);
        }
        if (i % 8 == 0) {
            same(&v, &m);
            same(&w, &n);
            kv_list_iter it;
            kv_slice item;
            int64_t index = (int64_t)kv_rng_below(&rng, m.count * 2 + 2) - (int64_t)m.count - 1;
            int64_t at = index < 0 ? index + (int64_t)m.count : index;
            bool inside = at >= 0 && at < (int64_t)m.count;
            CHECK(kv_list_get(&it, &v, index, &item) == (inside ? KV_OK : KV_ENOTFOUND));
            CHECK(!inside || kv_slice_eq(item, str(m.text[at])));
            CHECK(kv_list_iter_end(&it) == KV_OK);
            const void *state = NULL;
            kv_list_node node;
            size_t items = 0;
            kv_value built = {0};
            CHECK(kv_list_create(&built, other) == KV_OK);
            while (kv_list_next_node(&v, &state, &node)) {
                static uint8_t raw[1 << 20];
                items += node.count;
                CHECK(node.raw_bytes <= sizeof raw && (node.compressed || node.bytes.len == node.raw_bytes));
                if (node.compressed) CHECK(depth > 0 && kv_lzf_decompress(node.bytes, raw, node.raw_bytes));
                else memcpy(raw, node.bytes.ptr, node.bytes.len);
                CHECK(kv_list_append_node(&built, other, &limits, kv_slice_of(raw, node.raw_bytes), node.plain) == KV_OK);
            }
            CHECK(items == m.count);
            kv_list_loaded(&built, other, &limits);
            same(&built, &m);
            kv_list_free(&built, other);
        }
        CHECK(kv_list_memory(&v, 0) > 0);
    }
    model_clear(&m);
    model_clear(&n);
    kv_list_free(&v, a);
    kv_list_free(&w, other);
    CHECK(kv_arena_used(a) == 0 && kv_arena_used(other) == 0);
    kv_arena_destroy(a);
    kv_arena_destroy(other);
}

/* Pushes `text` at the tail until the form changes: how many items are there then (0: not within 3000). */
static size_t grows_at(int64_t fill, const char *text) {
    kv_limits limits = {.list_max_listpack_size = fill};
    kv_arena *a = kv_arena_create(&mem);
    kv_value v = {0};
    kv_slice item = str(text);
    CHECK(kv_list_create(&v, a) == KV_OK);
    while (v.enc == KV_ENC_LISTPACK && kv_list_length(&v) < 3000) CHECK(kv_list_push(&v, a, &limits, KV_LIST_TAIL, &item, 1) == KV_OK);
    size_t at = v.enc == KV_ENC_QUICKLIST ? kv_list_length(&v) : 0;
    kv_list_free(&v, a);
    kv_arena_destroy(a);
    return at;
}
/* Pushes n at once, then drops one after the other: how many are left when it becomes a listpack again. */
static size_t shrinks_at(int64_t fill, const char *text, size_t n, kv_list_end end) {
    kv_limits limits = {.list_max_listpack_size = fill};
    kv_arena *a = kv_arena_create(&mem);
    kv_value v = {0};
    kv_slice item = str(text);
    CHECK(kv_list_create(&v, a) == KV_OK);
    kv_slice *items = calloc(n, sizeof *items);
    for (size_t i = 0; i < n; i++) items[i] = item;
    CHECK(kv_list_push(&v, a, &limits, KV_LIST_TAIL, items, n) == KV_OK && v.enc == KV_ENC_QUICKLIST);
    free(items);
    while (v.enc == KV_ENC_QUICKLIST && kv_list_length(&v) > 0) CHECK(kv_list_drop(&v, a, &limits, end, 1) == KV_OK);
    size_t at = v.enc == KV_ENC_LISTPACK ? kv_list_length(&v) : 0;
    kv_list_free(&v, a);
    kv_arena_destroy(a);
    return at;
}

/* The numbers were read off a real server. */
static void encodings(void) {
    static char text[9001];
    memset(text, 'x', 9000);
    static const size_t lengths[] = {1, 10, 62, 63, 64, 100, 1000, 4000, 4096, 8180, 8192, 9000};
    static const size_t counts[] = {2730, 683, 128, 126, 123, 80, 9, 3, 2, 2, 1, 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) CHECK(grows_at(-2, text + 9000 - lengths[i]) == counts[i]);
    const char *ten = text + 8990, *hundred = text + 8900, *thousand = text + 8000, *one = text + 8999;
    CHECK(shrinks_at(-2, ten, 902, KV_LIST_HEAD) == 221 && shrinks_at(-2, ten, 902, KV_LIST_TAIL) == 340);
    CHECK(shrinks_at(-2, hundred, 92, KV_LIST_HEAD) == 13 && shrinks_at(-2, hundred, 92, KV_LIST_TAIL) == 39);
    CHECK(shrinks_at(-2, thousand, 11, KV_LIST_HEAD) == 3 && shrinks_at(-2, thousand, 11, KV_LIST_TAIL) == 4);
    CHECK(grows_at(4, one) == 5 && grows_at(4, thousand) == 5 && shrinks_at(4, one, 20, KV_LIST_HEAD) == 2);
    CHECK(grows_at(1, one) == 2 && grows_at(0, one) == 2 && shrinks_at(1, one, 20, KV_LIST_HEAD) == 0);
    CHECK(grows_at(1000, one) == 1001 && grows_at(1000, thousand) == 9 && shrinks_at(1000, thousand, 20, KV_LIST_HEAD) == 4);
    CHECK(grows_at(-1, one) == 1364 && grows_at(-1, thousand) == 5 && shrinks_at(-1, thousand, 20, KV_LIST_HEAD) == 2);

    kv_limits limits = {.list_max_listpack_size = -2};
    kv_arena *a = kv_arena_create(&mem);
    kv_value v = {0};
    kv_slice small = KV_LIT("a"), large = str(text), thousands[7];
    CHECK(kv_list_create(&v, a) == KV_OK && kv_list_push(&v, a, &limits, KV_LIST_TAIL, &small, 1) == KV_OK);
    CHECK(kv_list_set(&v, a, &limits, 0, large) == KV_OK && v.enc == KV_ENC_QUICKLIST);
    CHECK(kv_list_set(&v, a, &limits, 0, small) == KV_OK && v.enc == KV_ENC_LISTPACK);
    CHECK(kv_list_set(&v, a, &limits, 9, large) == KV_ERANGE && v.enc == KV_ENC_QUICKLIST);
    kv_list_free(&v, a);
    for (int i = 0; i < 7; i++) thousands[i] = str(thousand);
    CHECK(kv_list_create(&v, a) == KV_OK && kv_list_push(&v, a, &limits, KV_LIST_HEAD, thousands, 7) == KV_OK && v.enc == KV_ENC_LISTPACK);
    CHECK(kv_list_insert(&v, a, &limits, KV_LIT("q"), false, str(text + 7000)) == KV_ENOTFOUND && v.enc == KV_ENC_QUICKLIST);
    size_t removed;
    CHECK(kv_list_remove(&v, a, &limits, KV_LIT("q"), 0, &removed) == KV_OK && removed == 0 && v.enc == KV_ENC_QUICKLIST);
    kv_list_free(&v, a);
    CHECK(kv_arena_used(a) == 0);
    kv_arena_destroy(a);
}

#ifdef KV_FAULTS
/* Every allocation of a history fails once: the step reports it, the list is as before, and the same step then succeeds. */
static void faults(int64_t fill, int64_t depth) {
    kv_limits limits = {.list_max_listpack_size = fill, .list_compress_depth = depth};
    static model m;
    for (uint64_t skip = 0;; skip++) {
        kv_arena *a = kv_arena_create(&mem);
        kv_rng rng;
        kv_rng_seed(&rng, 17);
        m.count = 0;
        kv_value v = {0};
        CHECK(a && kv_list_create(&v, a) == KV_OK);
        atomic_store(&mem.fail_after, (int64_t)skip);
        for (int i = 0; i < 60; i++) {
            kv_rng before = rng;
            for (;;) {
                kv_status status = change(&v, a, &limits, &m, &rng);
                if (status == KV_OK) break;
                CHECK(status == KV_ENOMEM);
                CHECK(kv_list_check(&v));
                if (kv_list_length(&v) != m.count) { /* LTRIM that got half way: the far end is cut */
                    CHECK(kv_list_length(&v) < m.count);
                    while (m.count > kv_list_length(&v)) model_delete(&m, m.count - 1);
                }
                same(&v, &m);
                rng = before;
            }
        }
        bool done = atomic_load(&mem.fail_after) >= 0;
        atomic_store(&mem.fail_after, -1);
        same(&v, &m);
        kv_list_free(&v, a);
        CHECK(kv_arena_used(a) == 0);
        kv_arena_destroy(a);
        model_clear(&m);
        if (done) {
            CHECK(skip > 20);
            break;
        }
        CHECK(skip < 5000);
    }
}
#endif

int main(void) {
    kv_mem_init(&mem);
    static const int64_t fills[] = {-2, -1, 4, 1, 128}, depths[] = {5, 0, 1, 2};
    for (size_t i = 0; i < sizeof fills / sizeof fills[0]; i++)
        for (uint64_t seed = 1; seed <= 4; seed++) random_changes(seed * 100 + i, fills[i], depths[seed % 4], 1200);
    encodings();
#ifdef KV_FAULTS
    faults(-2, 0);
    faults(4, 0);
    faults(4, 1);
    faults(1, 2);
#endif
    puts("ok type_list");
    return 0;
}
