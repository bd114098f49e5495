/* Log lines. A kv_log belongs to an engine: a level, and a sink that gets whole lines. Never called under a shard lock. */
#ifndef KV_BASE_LOG_H
#define KV_BASE_LOG_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum kv_log_level { KV_LOG_DEBUG, KV_LOG_VERBOSE, KV_LOG_NOTICE, KV_LOG_WARNING, KV_LOG_NOTHING } kv_log_level;

/* Gets one formatted message: no time, no newline, control characters already made visible, at most KV_LOG_MAX bytes. Any thread may
 * call it. */
typedef void (*kv_log_sink)(void *ctx, kv_log_level level, const char *text, size_t len);

#define KV_LOG_MAX 1024

typedef struct kv_log {
    _Atomic int level; /* kv_log_level: lower ones are dropped before formatting */
    kv_log_sink sink;  /* NULL: drop everything */
    void *ctx;
} kv_log;

void kv_log_init(kv_log *log, kv_log_level level, kv_log_sink sink, void *ctx);
static inline bool kv_log_wants(kv_log *log, kv_log_level level) {
    return log->sink != NULL && (int)level >= atomic_load_explicit(&log->level, memory_order_relaxed);
}
void kv_log_write(kv_log *log, kv_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "debug", "verbose", "notice", "warning", "nothing": the words of the `loglevel` option. */
const char *kv_log_level_name(kv_log_level level);
bool kv_log_level_parse(const char *word, kv_log_level *out);

/* A sink: "<pid>:M 23 Nov 2026 14:17:00.123 * text\n" to the file descriptor that ctx points at (const int *), in one write. */
void kv_log_to_fd(void *ctx, kv_log_level level, const char *text, size_t len);

#endif
