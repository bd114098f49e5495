/* The configuration option table: constant data that tools/gen.py writes from spec/config.toml (`kv_config_options`, api/config_table.h). Reading
 * valkey.conf, CONFIG GET, SET and REWRITE are built on top of it elsewhere.
 *
 * Current values: numbers (BOOL, INT, BYTES, PERCENT, ENUM, OCTAL, EVENTS) live in an array of _Atomic int64_t indexed by kv_config_field
 * (engine/config_fields.h), so that any thread reads one with a relaxed load; STRING and LIST values are indexed the same way into strings that the
 * configuration owns under its own lock. */
#ifndef KV_ENGINE_CONFIG_H
#define KV_ENGINE_CONFIG_H

#include "base/slice.h"
#include "engine/config_fields.h"

typedef enum kv_config_kind {
    KV_CONFIG_BOOL,    /* yes | no; 0 or 1 */
    KV_CONFIG_INT,     /* plain decimal in min..max */
    KV_CONFIG_BYTES,   /* decimal with an optional unit (1gb); CONFIG GET shows bytes */
    KV_CONFIG_PERCENT, /* bytes, or "NN%" kept as -NN (maxmemory-clients) */
    KV_CONFIG_OCTAL,   /* file mode (unixsocketperm) */
    KV_CONFIG_ENUM,    /* one of `choices` */
    KV_CONFIG_FLAGS,   /* space-separated words of `choices`, or-ed (shutdown-on-sigterm) */
    KV_CONFIG_EVENTS,  /* notify-keyspace-events: class letters, the KV_EVENT_ bits */
    KV_CONFIG_STRING,  /* any text */
    KV_CONFIG_LIST     /* several words; in the file either on one line or on several (bind, save, client-output-buffer-limit) */
} kv_config_kind;

enum {                                  /* kv_config_option.flags */
       KV_CONFIG_MUTABLE = 1 << 0,      /* CONFIG SET may change it */
       KV_CONFIG_SENSITIVE = 1 << 1,    /* never logged */
       KV_CONFIG_PROTECTED = 1 << 2,    /* CONFIG SET only with enable-protected-configs */
       KV_CONFIG_HIDDEN = 1 << 3,       /* not shown by a CONFIG GET pattern, only by its exact name */
       KV_CONFIG_UNSUPPORTED = 1 << 4,  /* known; GET shows the default, SET to another value says that it is not supported */
       KV_CONFIG_DENY_LOADING = 1 << 5, /* CONFIG SET is refused while a data set loads */
       KV_CONFIG_MULTI_ARG = 1 << 6,    /* takes several words on its line */
       KV_CONFIG_OURS = 1 << 7,         /* not in Valkey */
       KV_CONFIG_INERT = 1 << 9, /* accepted, because clients and files set it, but nothing here depends on it: setting it is logged */
       KV_CONFIG_EMPTY_IS_NULL = 1 << 8 /* STRING: "" means not set */
};

typedef struct kv_config_choice {
    const char *name;
    int64_t value;
} kv_config_choice;

typedef struct kv_config_option {
    const char *name;
    const char *alias;               /* an older name for the same option, or NULL; CONFIG GET shows both under their own names */
    const char *default_text;        /* as CONFIG GET would show it */
    int64_t default_number;          /* of the numeric kinds */
    int64_t min, max;                /* INT, BYTES, PERCENT, OCTAL; inclusive */
    const kv_config_choice *choices; /* ENUM, FLAGS: ends with name NULL; several names may share a value, the first is shown */
    const char *summary;
    uint16_t flags;
    uint8_t kind;   /* kv_config_kind */
    uint16_t field; /* kv_config_field; == its index in the table */
} kv_config_option;

typedef struct kv_config_table {
    const kv_config_option *options; /* in the order of kv_config_field, which is alphabetical */
    uint16_t count;
    const char *const *ignored; /* ends with NULL: names of older versions that a configuration file may still have; they do nothing */
} kv_config_table;

/* By name or alias, any case; NULL when there is no such option. *by_alias (may be NULL) says which. O(log n). */
const kv_config_option *kv_config_find(const kv_config_table *table, kv_slice name, bool *by_alias);

/* Whether a configuration file may have this name although there is no such option any more. O(names). */
bool kv_config_is_ignored(const kv_config_table *table, kv_slice name);

#endif
