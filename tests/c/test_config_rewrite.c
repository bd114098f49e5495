/* sources: base/[a-z]*.c ds/[a-z]*.c types/[a-z]*.c store/[a-z]*.c engine/[a-z]*.c commands/[a-z]*.c persist/[a-z]*.c net/[a-z]*.c api/[a-z]*.c */
/* CONFIG REWRITE from text to text: whatever bytes the values hold, reading the result gives the same values; comments and unknown lines stay; doing it
 * again changes nothing. Seeded. */
#include "api/config_table.h"
#include "base/rng.h"
#include "check.h"
#include "engine/config_rewrite.h"

enum { ROUNDS = 300 };

/* Options that take any text, and some that take numbers or words. */
static const char *const texts[] = {"requirepass", "availability-zone", "ignore-warnings"};
static const struct {
    const char *name, *value;
} words[] = {
    {"hz", "50"},
    {"maxmemory", "3gb"},
    {"maxmemory-policy", "allkeys-lfu"},
    {"notify-keyspace-events", "KEA"},
    {"client-output-buffer-limit", "pubsub 1mb 2mb 3"},
    {"latency-tracking-info-percentiles", ""},
    {"list-max-listpack-size", "-3"},
    {"activerehashing", "no"},
};

static void set(kv_settings *settings, const char *name, kv_slice value) {
    const kv_config_option *option = kv_config_find(settings->table, kv_slice_cstr(name), NULL);
    CHECK(option != NULL && kv_setting_set(settings, option, value, true, NULL) == KV_OK);
}

/* Bytes that are dear to parsers, and any others but NUL. */
static size_t dear_bytes(kv_rng *rng, uint8_t *out, size_t cap) {
    static const char dear[] = "\n\r\t \"'\\#\x7f\xff{}$*a1";
    size_t len = (size_t)(kv_rng_next(rng) % cap);
    for (size_t i = 0; i < len; i++)
        out[i] = kv_rng_next(rng) % 4 != 0 ? (uint8_t)dear[kv_rng_next(rng) % (sizeof dear - 1)] : (uint8_t)(1 + kv_rng_next(rng) % 255);
    return len;
}

static void check_same(kv_settings *a, kv_settings *b, kv_mem *mem) {
    kv_buf left, right;
    kv_buf_init(&left, mem);
    kv_buf_init(&right, mem);
    for (uint16_t i = 0; i < a->table->count; i++) {
        kv_buf_clear(&left);
        kv_buf_clear(&right);
        kv_setting_show(a, (kv_config_field)i, &left);
        kv_setting_show(b, (kv_config_field)i, &right);
        if (!kv_slice_eq(kv_buf_slice(&left), kv_buf_slice(&right))) fprintf(stderr, "%s\n", a->table->options[i].name);
        CHECK(kv_slice_eq(kv_buf_slice(&left), kv_buf_slice(&right)));
    }
    kv_buf_deinit(&left);
    kv_buf_deinit(&right);
}

static void one_round(kv_rng *rng, kv_mem *mem) {
    static const char *const files[] = {
        "",
        "# only a comment",
        "hz 11\n\n# between\nhz 12\nrequirepass old\n",
    };
    kv_settings settings, again;
    kv_buf first, second;
    CHECK(kv_settings_init(&settings, mem, &kv_config_options) == KV_OK && kv_settings_init(&again, mem, &kv_config_options) == KV_OK);
    kv_buf_init(&first, mem);
    kv_buf_init(&second, mem);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        uint8_t bytes[40];
        if (kv_rng_next(rng) % 3 != 0) set(&settings, texts[i], kv_slice_of(bytes, dear_bytes(rng, bytes, sizeof bytes)));
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (kv_rng_next(rng) % 2 == 0) set(&settings, words[i].name, kv_slice_cstr(words[i].value));
    const char *file = files[kv_rng_next(rng) % 3];
    CHECK(kv_config_rewrite_text(&settings, kv_slice_cstr(file), &first) == KV_OK);
    CHECK(kv_settings_load(&again, kv_buf_slice(&first), NULL) == KV_OK);
    check_same(&settings, &again, mem);
    CHECK(kv_config_rewrite_text(&again, kv_buf_slice(&first), &second) == KV_OK);
    CHECK(kv_slice_eq(kv_buf_slice(&first), kv_buf_slice(&second)));
    kv_buf_deinit(&first);
    kv_buf_deinit(&second);
    kv_settings_deinit(&settings);
    kv_settings_deinit(&again);
}

static void check_places(kv_mem *mem) {
    kv_settings settings;
    kv_buf out;
    CHECK(kv_settings_init(&settings, mem, &kv_config_options) == KV_OK);
    kv_buf_init(&out, mem);
    set(&settings, "hz", KV_LIT("33"));
    set(&settings, "maxmemory", KV_LIT("1024"));
    set(&settings, "slowlog-max-len", KV_LIT("7"));
    kv_slice old = KV_LIT("# head\n\nhz 10\ninclude other.conf\n  slowlog-max-len 6\nhz 11\ntimeout 5\n# tail");
    CHECK(kv_config_rewrite_text(&settings, old, &out) == KV_OK);
    CHECK(kv_slice_eq(kv_buf_slice(&out), KV_LIT("# head\n\nhz 33\ninclude other.conf\nslowlog-max-len 7\ntimeout 0\n# tail\n"
                                                 "# Written by CONFIG REWRITE\nmaxmemory 1024\n")));
    kv_buf_deinit(&out);
    kv_settings_deinit(&settings);
}

int main(void) {
    kv_mem mem;
    kv_rng rng;
    kv_mem_init(&mem);
    kv_rng_seed(&rng, 20261123);
    check_places(&mem);
    for (int i = 0; i < ROUNDS; i++) one_round(&rng, &mem);
    CHECK(atomic_load(&mem.used) == 0);
    puts("ok config_rewrite");
    return 0;
}
