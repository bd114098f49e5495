/* sources: base/[a-z]*.c ds/intset.c ds/listpack.c ds/table.c types/compact.c types/set.c types/set_algebra.c */
/* Sets against a plain array of strings: random changes, the encodings that the thresholds ask for, algebra, sampling, scanning, and
 * every allocation failing once. */
#include "base/num.h"
#include "check.h"
#include "types/set.h"

#define MAX 2000

typedef struct model {
    char text[MAX][80];
    size_t count;
} model;

static kv_mem mem;
static kv_limits limits;

static kv_slice str(const char *s) { return kv_slice_cstr(s); }

static size_t model_find(const model *m, kv_slice text) {
    for (size_t i = 0; i < m->count; i++)
        if (kv_slice_eq(str(m->text[i]), text)) return i;
    return SIZE_MAX;
}
static bool model_add(model *m, const char *text) {
    if (model_find(m, str(text)) != SIZE_MAX) return false;
    strcpy(m->text[m->count++], text);
    return true;
}
static bool model_remove(model *m, const char *text) {
    size_t i = model_find(m, str(text));
    if (i == SIZE_MAX) return false;
    memmove(m->text[i], m->text[i + 1], (m->count - i - 1) * sizeof m->text[0]);
    m->count--;
    return true;
}

static void same(const kv_value *v, const model *m) {
    CHECK(kv_set_check(v));
    CHECK(kv_set_length(v) == m->count);
    static bool seen[MAX];
    memset(seen, 0, sizeof seen);
    kv_set_iter it;
    kv_slice text;
    size_t walked = 0;
    for (kv_set_iter_init(&it, v); kv_set_next(&it, &text); walked++) {
        size_t i = model_find(m, text);
        CHECK(i != SIZE_MAX && !seen[i]);
        seen[i] = true;
    }
    CHECK(walked == m->count);
    for (size_t i = 0; i < m->count; i++) CHECK(kv_set_has(v, str(m->text[i])));
    CHECK(!kv_set_has(v, KV_LIT("not a member")) && !kv_set_has(v, KV_LIT("77777777")));
}

static void word(kv_rng *rng, int style, char out[80]) {
    unsigned pick = (unsigned)kv_rng_below(rng, 100);
    long long num = (long long)kv_rng_below(rng, 400) - 100;
    if (style == 0 || (style == 1 && pick < 60))
        snprintf(out, 80, "%lld", pick == 0 ? num * 100000 : pick == 1 ? num * 10000000000LL : num);
    else if (pick > 97) snprintf(out, 80, "%070lld", num);
    else snprintf(out, 80, "w%lld", num);
}

static void random_changes(uint64_t seed, int style, size_t steps) {
    kv_rng rng;
    kv_rng_seed(&rng, seed);
    kv_arena *a = kv_arena_create(&mem), *other = kv_arena_create(&mem);
    CHECK(a && other);
    static model m;
    m.count = 0;
    char text[80];
    kv_value v = {0};
    CHECK(kv_set_create_empty(&v, a) == KV_OK);
    for (size_t i = 0; i < steps; i++) {
        word(&rng, style, text);
        unsigned what = (unsigned)kv_rng_below(&rng, 100);
        bool changed;
        kv_enc before = v.enc;
        if (what >= 20 && what < 40) { /* several at once */
            static char words[9][80];
            kv_slice many[9];
            size_t n = (size_t)kv_rng_below(&rng, 10), gone, want = 0;
            for (size_t k = 0; k < n; k++) {
                word(&rng, style, words[k]);
                many[k] = str(words[k]);
            }
            for (size_t k = 0; k < n; k++) want += what < 33 ? model_add(&m, words[k]) : model_remove(&m, words[k]);
            CHECK((what < 33 ? kv_set_add_many(&v, a, &limits, many, n, &gone) : kv_set_remove_many(&v, a, many, n, &gone)) == KV_OK);
            CHECK(gone == want);
        } else if (what < 60) {
            CHECK(kv_set_add(&v, a, &limits, str(text), &changed) == KV_OK);
            CHECK(changed == model_add(&m, text));
            CHECK(changed || before == v.enc);
        } else if (what < 97) {
            CHECK(kv_set_remove(&v, a, str(text), &changed) == KV_OK);
            CHECK(changed == model_remove(&m, text));
            CHECK(before == v.enc);
        } else if (what == 97) {
            kv_value copy = {0};
            CHECK(kv_set_copy(&v, &copy, other) == KV_OK);
            same(&copy, &m);
            size_t budget = 7;
            while (!kv_set_free_some(&copy, other, &budget)) budget = 7;
        } else if (what == 98) {
            CHECK(kv_set_rehome(&v, a, other) == KV_OK);
            kv_arena *swap = a;
            a = other;
            other = swap;
        } else {
            char scratch[KV_SET_SCRATCH];
            kv_slice drawn;
            bool any = kv_set_random(&v, &rng, scratch, &drawn);
            CHECK(any == (m.count > 0));
            CHECK(!any || model_find(&m, drawn) != SIZE_MAX);
        }
        if (v.enc == KV_ENC_INTSET) CHECK(m.count <= limits.set_max_intset_entries);
        if (v.enc == KV_ENC_LISTPACK) CHECK(m.count <= limits.set_max_listpack_entries);
        if (i % 16 == 0) same(&v, &m);
    }
    same(&v, &m);
    CHECK(kv_set_memory(&v, 0) > 0 && kv_set_memory(&v, 3) > 0);
    kv_set_free(&v, a);
    CHECK(kv_arena_used(a) == 0 && kv_arena_used(other) == 0);
    kv_arena_destroy(a);
    kv_arena_destroy(other);
}

static void add_words(kv_value *v, kv_arena *a, const char *const *words) {
    for (; *words; words++) CHECK(kv_set_add(v, a, &limits, str(*words), NULL) == KV_OK);
}
static void add_numbers(kv_value *v, kv_arena *a, int from, int to) {
    char text[16];
    for (int i = from; i < to; i++) {
        snprintf(text, sizeof text, "%d", i);
        CHECK(kv_set_add(v, a, &limits, str(text), NULL) == KV_OK);
    }
}

static void encodings(void) {
    kv_arena *a = kv_arena_create(&mem);
    kv_limits saved = limits;
    limits.set_max_intset_entries = 512;
    limits.set_max_listpack_entries = 128;
    limits.set_max_listpack_value = 64;
    char big[66];
    memset(big, 'x', 65);
    big[65] = 0;
    kv_value v = {0};
    CHECK(kv_set_create(&v, a, &limits, KV_LIT("1"), 512) == KV_OK && v.enc == KV_ENC_INTSET);
    add_numbers(&v, a, 0, 512);
    CHECK(v.enc == KV_ENC_INTSET);
    CHECK(kv_set_expect(&v, a, &limits, 512) == KV_OK && v.enc == KV_ENC_INTSET);
    add_numbers(&v, a, 0, 1);
    CHECK(v.enc == KV_ENC_INTSET);
    add_numbers(&v, a, 512, 513);
    CHECK(v.enc == KV_ENC_HASHTABLE && kv_set_length(&v) == 513);
    kv_set_free(&v, a);
    CHECK(kv_set_create(&v, a, &limits, KV_LIT("1"), 513) == KV_OK && v.enc == KV_ENC_HASHTABLE);
    kv_set_free(&v, a);
    CHECK(kv_set_create(&v, a, &limits, KV_LIT("a"), 128) == KV_OK && v.enc == KV_ENC_LISTPACK);
    add_numbers(&v, a, 0, 128);
    CHECK(v.enc == KV_ENC_LISTPACK);
    CHECK(kv_set_add(&v, a, &limits, KV_LIT("a"), NULL) == KV_OK && v.enc == KV_ENC_HASHTABLE);
    kv_set_free(&v, a);
    CHECK(kv_set_create(&v, a, &limits, KV_LIT("a"), 129) == KV_OK && v.enc == KV_ENC_HASHTABLE);
    kv_set_free(&v, a);
    CHECK(kv_set_create(&v, a, &limits, str(big), 1) == KV_OK && v.enc == KV_ENC_LISTPACK);
    CHECK(kv_set_add(&v, a, &limits, kv_slice_of(big, 64), NULL) == KV_OK && v.enc == KV_ENC_LISTPACK);
    CHECK(kv_set_add(&v, a, &limits, str(big), NULL) == KV_OK && v.enc == KV_ENC_HASHTABLE);
    kv_set_free(&v, a);
    CHECK(kv_set_create_empty(&v, a) == KV_OK);
    add_numbers(&v, a, 0, 127);
    CHECK(kv_set_add(&v, a, &limits, KV_LIT("a"), NULL) == KV_OK && v.enc == KV_ENC_LISTPACK && kv_set_length(&v) == 128);
    kv_set_free(&v, a);
    CHECK(kv_set_create_empty(&v, a) == KV_OK);
    add_numbers(&v, a, 0, 128);
    CHECK(kv_set_add(&v, a, &limits, KV_LIT("a"), NULL) == KV_OK && v.enc == KV_ENC_HASHTABLE && kv_set_length(&v) == 129);
    kv_set_free(&v, a);
    limits.set_max_listpack_value = 3;
    CHECK(kv_set_create_empty(&v, a) == KV_OK);
    add_numbers(&v, a, 12345, 12346);
    CHECK(kv_set_add(&v, a, &limits, KV_LIT("a"), NULL) == KV_OK && v.enc == KV_ENC_HASHTABLE);
    kv_set_free(&v, a);
    limits = saved;
    kv_arena_destroy(a);
}

static void long_members(void) {
    kv_arena *a = kv_arena_create(&mem);
    static uint8_t bytes[70000];
    static const size_t sizes[] = {0, 1, 252, 253, 254, 255, 256, 65535, 65536, 70000};
    kv_value v = {0};
    CHECK(kv_set_create(&v, a, &limits, KV_LIT("x"), 1000) == KV_OK && v.enc == KV_ENC_HASHTABLE);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            bool added;
            CHECK(kv_set_add(&v, a, &limits, kv_slice_of(bytes, sizes[i]), &added) == KV_OK && added == (round == 0));
            CHECK(kv_set_has(&v, kv_slice_of(bytes, sizes[i])));
        }
    CHECK(kv_set_check(&v) && kv_set_length(&v) == 10);
    for (size_t i = 0; i < 10; i++) {
        bool removed;
        CHECK(kv_set_remove(&v, a, kv_slice_of(bytes, sizes[i]), &removed) == KV_OK && removed);
    }
    kv_set_free(&v, a);
    CHECK(kv_arena_used(a) == 0);
    kv_arena_destroy(a);
}

static bool keep(void *ctx, kv_slice member) {
    model *m = ctx;
    CHECK(member.len < 80);
    memcpy(m->text[m->count], member.ptr, member.len);
    m->text[m->count++][member.len] = 0;
    return true;
}

static void algebra(uint64_t seed) {
    kv_rng rng;
    kv_rng_seed(&rng, seed);
    kv_arena *a = kv_arena_create(&mem);
    static model m[4], want, got;
    kv_value v[4] = {{0}};
    const kv_value *sets[4], *shuffled[4];
    for (int round = 0; round < 150; round++) {
        size_t count = 1 + (size_t)kv_rng_below(&rng, 4);
        for (size_t i = 0; i < count; i++) {
            m[i].count = 0;
            CHECK(kv_set_create_empty(&v[i], a) == KV_OK);
            size_t n = kv_rng_below(&rng, kv_rng_below(&rng, 2) ? 12 : 120);
            int style = (int)kv_rng_below(&rng, 3);
            for (size_t k = 0; k < n; k++) {
                char text[80];
                word(&rng, style, text);
                CHECK(kv_set_add(&v[i], a, &limits, str(text), NULL) == KV_OK);
                model_add(&m[i], text);
            }
            sets[i] = m[i].count == 0 && kv_rng_below(&rng, 2) ? NULL : &v[i];
        }
        if (count == 4 && kv_rng_below(&rng, 2)) {
            sets[3] = sets[0];
            m[3] = m[0];
        }
        kv_value out = {0};
        /* union */
        want.count = 0;
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < m[i].count; k++) model_add(&want, m[i].text[k]);
        CHECK(kv_set_create_empty(&out, a) == KV_OK && kv_set_union(&out, a, &limits, sets, count) == KV_OK);
        same(&out, &want);
        kv_set_free(&out, a);
        /* difference */
        want.count = 0;
        for (size_t k = 0; k < m[0].count; k++) {
            size_t i = 1;
            while (i < count && model_find(&m[i], str(m[0].text[k])) == SIZE_MAX) i++;
            if (i >= count) model_add(&want, m[0].text[k]);
        }
        memcpy(shuffled, sets, sizeof sets);
        CHECK(kv_set_create_empty(&out, a) == KV_OK && kv_set_diff(&out, a, &limits, shuffled, count) == KV_OK);
        same(&out, &want);
        kv_set_free(&out, a);
        /* intersection */
        want.count = got.count = 0;
        for (size_t k = 0; k < m[0].count; k++) {
            size_t i = 1;
            while (i < count && model_find(&m[i], str(m[0].text[k])) != SIZE_MAX) i++;
            if (i >= count) model_add(&want, m[0].text[k]);
        }
        memcpy(shuffled, sets, sizeof sets);
        CHECK(kv_set_create_empty(&out, a) == KV_OK && kv_set_intersection(&out, a, &limits, shuffled, count) == KV_OK);
        same(&out, &want);
        kv_set_free(&out, a);
        CHECK(kv_set_intersect(shuffled, count, 0, keep, &got) == want.count && got.count == want.count);
        for (size_t k = 0; k < want.count; k++) CHECK(model_find(&got, str(want.text[k])) != SIZE_MAX);
        CHECK(kv_set_intersect(shuffled, count, 3, NULL, NULL) == (want.count < 3 ? want.count : 3));
        for (size_t i = 0; i < count; i++) kv_set_free(&v[i], a);
    }
    CHECK(kv_arena_used(a) == 0);
    kv_arena_destroy(a);
}

/* Samples are of the right size, without repeats, and every member comes about equally often. */
static size_t tally[400];
static size_t sampled[400], sampled_count;
static void count_member(void *ctx, kv_slice member) {
    int64_t num;
    (void)ctx;
    CHECK(kv_parse_i64(member, &num) && num >= 0 && num < 400);
    tally[num]++;
    for (size_t i = 0; i < sampled_count; i++) CHECK(sampled[i] != (size_t)num);
    sampled[sampled_count++] = (size_t)num;
}

static void fairness(void) {
    kv_rng rng;
    kv_rng_seed(&rng, 5);
    kv_arena *a = kv_arena_create(&mem);
    static const size_t amounts[] = {1, 7, 40, 99, 100, 250, 400};
    for (int form = 0; form < 3; form++) {
        kv_value v = {0};
        kv_limits wide = limits;
        wide.set_max_intset_entries = form == 0 ? 1000 : 0;
        wide.set_max_listpack_entries = form == 1 ? 1000 : 0;
        CHECK(kv_set_create(&v, a, &wide, KV_LIT("1"), 400) == KV_OK);
        char text[16];
        for (int i = 0; i < 400; i++) {
            snprintf(text, sizeof text, "%d", i);
            CHECK(kv_set_add(&v, a, &wide, str(text), NULL) == KV_OK);
        }
        CHECK(v.enc == (form == 0 ? KV_ENC_INTSET : form == 1 ? KV_ENC_LISTPACK : KV_ENC_HASHTABLE));
        for (size_t k = 0; k < sizeof amounts / sizeof amounts[0]; k++) {
            memset(tally, 0, sizeof tally);
            size_t rounds = 40000 / amounts[k];
            for (size_t i = 0; i < rounds; i++) {
                sampled_count = 0;
                CHECK(kv_set_sample(&v, a, &rng, amounts[k], count_member, NULL) == KV_OK && sampled_count == amounts[k]);
            }
            double chi = 0, expected = (double)(rounds * amounts[k]) / 400;
            for (size_t i = 0; i < 400; i++) chi += ((double)tally[i] - expected) * ((double)tally[i] - expected) / expected;
            CHECK(chi < 530); /* 399 degrees of freedom: p below 0.00001 */
        }
        memset(tally, 0, sizeof tally);
        for (size_t i = 0; i < 40000; i++) {
            char scratch[KV_SET_SCRATCH];
            kv_slice member;
            sampled_count = 0;
            CHECK(kv_set_random(&v, &rng, scratch, &member));
            count_member(NULL, member);
        }
        double chi = 0;
        for (size_t i = 0; i < 400; i++) chi += ((double)tally[i] - 100) * ((double)tally[i] - 100) / 100;
        CHECK(chi < 530);
        kv_set_free(&v, a);
    }
    kv_arena_destroy(a);
}

static size_t scanned;
static bool seen_in_scan[3000];
static void scan_visit(void *ctx, kv_slice member) {
    int64_t num;
    (void)ctx;
    scanned++;
    if (kv_parse_i64(member, &num)) seen_in_scan[num] = true;
}
static void scanning(void) {
    kv_arena *a = kv_arena_create(&mem);
    kv_value v = {0};
    CHECK(kv_set_create_empty(&v, a) == KV_OK);
    add_numbers(&v, a, 0, 4);
    CHECK(kv_set_scan(&v, 0, 1, scan_visit, NULL) == 0 && scanned == 4);
    CHECK(kv_set_scan(&v, 99, 1, scan_visit, NULL) == 0 && scanned == 8);
    add_numbers(&v, a, 0, 1000);
    CHECK(v.enc == KV_ENC_HASHTABLE);
    memset(seen_in_scan, 0, sizeof seen_in_scan);
    uint64_t cursor = 0;
    int next = 1000;
    do {
        scanned = 0;
        cursor = kv_set_scan(&v, cursor, 10, scan_visit, NULL);
        CHECK(scanned >= 10 || cursor == 0);
        if (next < 3000) {
            add_numbers(&v, a, next, next + 20);
            next += 20;
        }
    } while (cursor != 0);
    for (int i = 0; i < 1000; i++) CHECK(seen_in_scan[i]);
    kv_set_free(&v, a);
    kv_arena_destroy(a);
}

#ifdef KV_FAULTS
/* Every allocation of a history fails once: the step reports it, the set is as before, and the same step then succeeds. */
static void faults(int style) {
    static const char *const words[] = {"w1", "w2", "w3", NULL};
    for (uint64_t skip = 0;; skip++) {
        kv_arena *a = kv_arena_create(&mem);
        CHECK(a);
        kv_rng rng;
        kv_rng_seed(&rng, 99);
        static model m;
        m.count = 0;
        kv_value v = {0};
        CHECK(kv_set_create_empty(&v, a) == KV_OK);
        if (style == 2) {
            add_words(&v, a, words);
            for (int i = 0; words[i]; i++) model_add(&m, words[i]);
        }
        atomic_store(&mem.fail_forever, false);
        atomic_store(&mem.fail_after, (int64_t)skip);
        size_t failed = 0;
        for (int i = 0; i < 120; i++) {
            char text[80];
            bool changed, add = kv_rng_below(&rng, 100) < 75;
            word(&rng, style, text);
            for (;;) {
                kv_status status = add ? kv_set_add(&v, a, &limits, str(text), &changed) : kv_set_remove(&v, a, str(text), &changed);
                if (status == KV_OK) break;
                CHECK(status == KV_ENOMEM);
                failed++;
                same(&v, &m);
            }
            CHECK(changed == (add ? model_add(&m, text) : model_remove(&m, text)));
        }
        kv_value copy = {0};
        while (kv_set_copy(&v, &copy, a) != KV_OK) failed++;
        same(&copy, &m);
        kv_set_free(&copy, a);
        bool done = atomic_load(&mem.fail_after) >= 0;
        atomic_store(&mem.fail_after, -1);
        same(&v, &m);
        kv_set_free(&v, a);
        CHECK(kv_arena_used(a) == 0);
        kv_arena_destroy(a);
        if (done && failed == 0) {
            CHECK(skip > 20);
            break;
        }
        CHECK(skip < 2000);
    }
}
#endif

int main(void) {
    kv_mem_init(&mem);
    limits.set_max_intset_entries = 20;
    limits.set_max_listpack_entries = 30;
    limits.set_max_listpack_value = 64;
    for (uint64_t seed = 1; seed <= 3; seed++)
        for (int style = 0; style < 3; style++) random_changes(seed * 10 + (uint64_t)style, style, 1500);
    encodings();
    long_members();
    algebra(7);
    fairness();
    scanning();
#ifdef KV_FAULTS
    for (int style = 0; style < 3; style++) faults(style);
#endif
    puts("ok type_set");
    return 0;
}
