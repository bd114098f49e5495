/* Log lines: format into a buffer on the stack, make control characters visible (a client's name must not forge a line), hand it to the
 * sink. */
#define _GNU_SOURCE 1 /* localtime_r, strcasecmp */
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "verbose", "notice", "warning", "nothing"};

void kv_log_init(kv_log *log, kv_log_level level, kv_log_sink sink, void *ctx) {
    atomic_init(&log->level, (int)level);
    log->sink = sink;
    log->ctx = ctx;
}

void kv_log_write(kv_log *log, kv_log_level level, const char *format, ...) {
    if (!kv_log_wants(log, level)) return;
    char text[KV_LOG_MAX + 1];
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (wanted < 0) return;
    size_t len = (size_t)wanted < KV_LOG_MAX ? (size_t)wanted : KV_LOG_MAX;
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f) text[i] = '?';
    log->sink(log->ctx, level, text, len);
}

const char *kv_log_level_name(kv_log_level level) { return (unsigned)level <= KV_LOG_NOTHING ? level_names[level] : "unknown"; }

bool kv_log_level_parse(const char *word, kv_log_level *out) {
    for (unsigned i = 0; i <= KV_LOG_NOTHING; i++) {
        if (strcasecmp(word, level_names[i]) != 0) continue;
        *out = (kv_log_level)i;
        return true;
    }
    return false;
}

void kv_log_to_fd(void *ctx, kv_log_level level, const char *text, size_t len) {
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct timespec now;
    struct tm local;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    char line[KV_LOG_MAX + 96];
    int head =
        snprintf(line, sizeof line, "%ld:M %02d %s %d %02d:%02d:%02d.%03ld %c ", (long)getpid(), local.tm_mday, months[local.tm_mon % 12],
                 local.tm_year + 1900, local.tm_hour, local.tm_min, local.tm_sec, now.tv_nsec / 1000000, ".-*#"[level & 3]);
    if (head < 0 || len > KV_LOG_MAX) return;
    memcpy(line + head, text, len);
    line[(size_t)head + len] = '\n';
    while (write(*(const int *)ctx, line, (size_t)head + len + 1) < 0 && errno == EINTR) {
    } /* a log that cannot be written is not worth failing for */
}
