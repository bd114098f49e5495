/* Facts from /proc and getrusage. Nothing is cached: INFO is rare, and a file of /proc is read in microseconds. */
#define _GNU_SOURCE 1 /* RUSAGE_THREAD */
#include "base/system.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

size_t kv_system_rss(void) {
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    char text[128];
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    if (len <= 0) return 0;
    text[len] = 0;
    char *end = NULL;
    (void)strtoull(text, &end, 10); /* total program size; the second number is the resident pages */
    long page = sysconf(_SC_PAGESIZE);
    return page <= 0 ? 0 : (size_t)strtoull(end, NULL, 10) * (size_t)page;
}

size_t kv_system_memory_total(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages <= 0 || page <= 0 ? 0 : (size_t)pages * (size_t)page;
}

int64_t kv_system_idle_ms(void) {
    int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    char text[256];
    ssize_t len = read(fd, text, sizeof text - 1); /* the first line is all cores together: "cpu  user nice system idle iowait ..." */
    close(fd);
    text[len < 0 ? 0 : len] = 0;
    unsigned long long idle, waiting;
    long a_second = sysconf(_SC_CLK_TCK);
    if (sscanf(text, "cpu %*u %*u %*u %llu %llu", &idle, &waiting) != 2 || a_second <= 0) return -1;
    return (int64_t)((idle + waiting) * 1000 / (unsigned long long)a_second);
}

int kv_system_pid(void) { return (int)getpid(); }

void kv_system_name(char *out, size_t cap) {
    struct utsname name;
    if (cap == 0) return;
    if (uname(&name) != 0) snprintf(out, cap, "?");
    else snprintf(out, cap, "%s %s %s", name.sysname, name.release, name.machine);
}

void kv_system_executable(char *out, size_t cap) {
    if (cap == 0) return;
    ssize_t len = readlink("/proc/self/exe", out, cap - 1);
    out[len < 0 ? 0 : len] = 0;
}

bool kv_system_directory(char *out, size_t cap) { return getcwd(out, cap) != NULL; }

kv_cpu_times kv_system_cpu(kv_cpu_of whose) {
    static const int who[] = {RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD};
    struct rusage usage;
    if (getrusage(who[whose], &usage) != 0) return (kv_cpu_times){0, 0};
    return (kv_cpu_times){(double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6,
                          (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6};
}
