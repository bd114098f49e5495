/* What the operating system says of this process and machine, for INFO. Every call reads anew; 0 or "?" where the system does not tell. */
#ifndef KV_BASE_SYSTEM_H
#define KV_BASE_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

size_t kv_system_rss(void);          /* resident bytes of this process */
size_t kv_system_memory_total(void); /* bytes of the machine */
int kv_system_pid(void);
int64_t kv_system_idle_ms(void); /* for how long the cores of this machine have been idle since it started, summed up; -1: unknown */
void kv_system_name(char *out, size_t cap);       /* "Linux 6.1.0 x86_64" */
void kv_system_executable(char *out, size_t cap); /* absolute path; "" when not known */
bool kv_system_directory(char *out, size_t cap);  /* the working directory; false: not known, or it does not fit */

typedef struct kv_cpu_times {
    double user, system;
} kv_cpu_times; /* seconds */
typedef enum kv_cpu_of { KV_CPU_PROCESS, KV_CPU_CHILDREN, KV_CPU_THREAD } kv_cpu_of;
kv_cpu_times kv_system_cpu(kv_cpu_of whose);

#endif
