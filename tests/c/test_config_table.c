/* sources: base/slice.c base/num.c engine/config_find.c api/config_table.c */
/* The option table: sorted, found by name and by alias in any case, defaults within their own limits. */
#include "api/config_table.h"
#include "check.h"

static void upper(const char *name, char out[64]) {
    size_t i = 0;
    for (; name[i] != '\0' && i < 63; i++) out[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 32) : name[i];
    out[i] = '\0';
}

static void check_option(const kv_config_option *option) {
    char name[64];
    bool by_alias = true;
    upper(option->name, name);
    CHECK(kv_config_find(&kv_config_options, kv_slice_cstr(name), &by_alias) == option && !by_alias);
    if (option->alias != NULL) {
        upper(option->alias, name);
        CHECK(kv_config_find(&kv_config_options, kv_slice_cstr(name), &by_alias) == option && by_alias);
    }
    CHECK(!kv_config_is_ignored(&kv_config_options, kv_slice_cstr(option->name)));
    CHECK(option->default_text != NULL && option->summary != NULL);
    bool words = option->kind == KV_CONFIG_ENUM || option->kind == KV_CONFIG_FLAGS;
    CHECK(words == (option->choices != NULL));
    if (option->kind == KV_CONFIG_INT || option->kind == KV_CONFIG_BYTES || option->kind == KV_CONFIG_OCTAL)
        CHECK(option->min <= option->default_number && option->default_number <= option->max);
}

int main(void) {
    CHECK(kv_config_options.count == KV_CFG_COUNT);
    for (size_t i = 0; i < kv_config_options.count; i++) {
        const kv_config_option *option = &kv_config_options.options[i];
        CHECK(option->field == i);
        CHECK(i == 0 || strcmp(option[-1].name, option->name) < 0);
        check_option(option);
    }
    CHECK(kv_config_find(&kv_config_options, KV_LIT("nonsense"), NULL) == NULL);
    CHECK(kv_config_find(&kv_config_options, KV_LIT(""), NULL) == NULL);
    CHECK(kv_config_is_ignored(&kv_config_options, KV_LIT("Dynamic-HZ")));
    CHECK(!kv_config_is_ignored(&kv_config_options, KV_LIT("")));
    printf("ok config_table\n");
    return 0;
}
