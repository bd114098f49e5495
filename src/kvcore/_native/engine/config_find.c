/* Lookup of a configuration option by name. Names are sorted, so they are found by bisection; aliases are few and are searched one by one. */
#include "engine/config.h"

static int compare_nocase(kv_slice text, const char *name) {
    size_t i = 0;
    for (; i < text.len && name[i] != '\0'; i++) {
        int a = text.ptr[i], b = (unsigned char)name[i];
        if (a >= 'A' && a <= 'Z') a += 'a' - 'A';
        if (a != b) return a - b;
    }
    if (i < text.len) return 1;
    return name[i] != '\0' ? -1 : 0;
}

const kv_config_option *kv_config_find(const kv_config_table *table, kv_slice name, bool *by_alias) {
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_nocase(name, table->options[middle].name);
        if (order == 0) {
            if (by_alias != NULL) *by_alias = false;
            return &table->options[middle];
        }
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    for (size_t i = 0; i < table->count; i++) {
        const kv_config_option *option = &table->options[i];
        if (option->alias == NULL || compare_nocase(name, option->alias) != 0) continue;
        if (by_alias != NULL) *by_alias = true;
        return option;
    }
    return NULL;
}

bool kv_config_is_ignored(const kv_config_table *table, kv_slice name) {
    for (const char *const *ignored = table->ignored; *ignored != NULL; ignored++) {
        if (compare_nocase(name, *ignored) == 0) return true;
    }
    return false;
}
