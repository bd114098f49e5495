/* malloc with an account, and mappings. What is counted is what the system really set aside (malloc_usable_size), so that `used` of a
 * store that frees everything comes back to where it was. Counters are relaxed: they order nothing. */
#define _GNU_SOURCE 1 /* mremap */
#include "base/mem.h"
#include "base/pages.h"
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void kv_mem_init(kv_mem *mem) {
    memset(mem, 0, sizeof *mem);
    atomic_init(&mem->fail_after, -1);
    kv_mutex_init(&mem->pool.lock, KV_RANK_PAGES, 0);
}

void kvi_mem_count_up(kv_mem *mem, size_t bytes) {
    size_t now = atomic_fetch_add_explicit(&mem->used, bytes, memory_order_relaxed) + bytes;
    size_t peak = atomic_load_explicit(&mem->peak, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak_explicit(&mem->peak, &peak, now, memory_order_relaxed, memory_order_relaxed)) {}
}

void kvi_mem_count_down(kv_mem *mem, size_t bytes) { atomic_fetch_sub_explicit(&mem->used, bytes, memory_order_relaxed); }

#ifdef KV_FAULTS
bool kv_mem_fault(kv_mem *mem) {
    atomic_fetch_add_explicit(&mem->attempts, 1, memory_order_relaxed);
    int64_t left = atomic_load_explicit(&mem->fail_after, memory_order_relaxed);
    if (left < 0) return false;
    if (left > 0) {
        atomic_store_explicit(&mem->fail_after, left - 1, memory_order_relaxed);
        return false;
    }
    if (!atomic_load_explicit(&mem->fail_forever, memory_order_relaxed)) atomic_store_explicit(&mem->fail_after, -1, memory_order_relaxed);
    return true;
}
#endif

void *kv_malloc(kv_mem *mem, size_t bytes) {
    if (kv_mem_fault(mem)) return NULL;
    void *ptr = malloc(bytes ? bytes : 1);
    if (ptr != NULL) kvi_mem_count_up(mem, malloc_usable_size(ptr));
    return ptr;
}

void *kv_calloc(kv_mem *mem, size_t count, size_t bytes) {
    size_t total;
    if (kv_mem_fault(mem) || __builtin_mul_overflow(count, bytes, &total)) return NULL;
    void *ptr = calloc(1, total ? total : 1);
    if (ptr != NULL) kvi_mem_count_up(mem, malloc_usable_size(ptr));
    return ptr;
}

void *kv_realloc(kv_mem *mem, void *ptr, size_t bytes) {
    if (ptr == NULL) return kv_malloc(mem, bytes);
    if (kv_mem_fault(mem)) return NULL;
    size_t before = malloc_usable_size(ptr);
    void *moved = realloc(ptr, bytes ? bytes : 1);
    if (moved == NULL) return NULL;
    kvi_mem_count_up(mem, malloc_usable_size(moved));
    kvi_mem_count_down(mem, before);
    return moved;
}

void kv_free(kv_mem *mem, void *ptr) {
    if (ptr == NULL) return;
    kvi_mem_count_down(mem, malloc_usable_size(ptr));
    free(ptr);
}

bool kvi_huge_pages_offered(void) {
    char text[64] = {0};
    int file = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 && strstr(text, "[never]") == NULL;
}

/* An aligned mapping is cut out of a larger one. The plain call is tried first: the kernel often continues below the last aligned
 * mapping. */
void *kvi_map_aligned(size_t bytes, size_t align) {
    uint8_t *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return NULL;
    if (((uintptr_t)at & (align - 1)) == 0) return at;
    munmap(at, bytes);
    if (bytes > SIZE_MAX - align) return NULL;
    size_t total = bytes + align - 4096;
    at = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return NULL;
    size_t before = (align - ((uintptr_t)at & (align - 1))) & (align - 1), after = total - before - bytes;
    if (before > 0) munmap(at, before);
    if (after > 0) munmap(at + before + bytes, after);
    return at + before;
}

void *kv_mem_map(kv_mem *mem, size_t bytes, size_t align) {
    if (kv_mem_fault(mem)) return NULL;
    void *ptr = kvi_map_aligned(bytes, align);
    if (ptr == NULL) return NULL;
    kvi_mem_count_up(mem, bytes);
    atomic_fetch_add_explicit(&mem->mapped, bytes, memory_order_relaxed);
    return ptr;
}

void kv_mem_unmap(kv_mem *mem, void *ptr, size_t bytes) {
    munmap(ptr, bytes);
    kvi_mem_count_down(mem, bytes);
    atomic_fetch_sub_explicit(&mem->mapped, bytes, memory_order_relaxed);
}

void kv_mem_discard(void *ptr, size_t bytes) { madvise(ptr, bytes, MADV_DONTNEED); /* advice: a refusal does no harm */ }

void *kv_mem_remap(kv_mem *mem, void *ptr, size_t old_bytes, size_t new_bytes) {
    if (kv_mem_fault(mem)) return NULL;
    void *moved = mremap(ptr, old_bytes, new_bytes, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) return NULL;
    kvi_mem_count_up(mem, new_bytes);
    kvi_mem_count_down(mem, old_bytes);
    atomic_fetch_add_explicit(&mem->mapped, new_bytes - old_bytes, memory_order_relaxed); /* wraps as intended when shrinking */
    return moved;
}
