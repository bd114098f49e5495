/* The commands of a pipeline that have arrived complete, parsed together: their words stand in one array until they are run, one after the other, and
 * the keys of all of them are known before the first runs. Belongs to one thread; its slices point into the input buffer, which must not change
 * meanwhile. What it leaves out, because it is long, incomplete, inline or wrong, is kv_request_next's. */
#ifndef KV_NET_AHEAD_H
#define KV_NET_AHEAD_H

#include "net/request.h"

enum { KV_AHEAD = 16, KV_AHEAD_WORDS = 96 };

typedef struct kv_ahead {
    unsigned count, next;         /* commands found, and how many of them were taken */
    uint16_t first[KV_AHEAD + 1]; /* command i has words[first[i]..first[i + 1]) */
    size_t end[KV_AHEAD];         /* where it ends in the input */
    kv_slice words[KV_AHEAD_WORDS];
} kv_ahead;

/* Finds the commands from request->pos on. Does not change the request. Those found are what kv_request_next would give. O(bytes). */
void kv_ahead_look(kv_ahead *ahead, const kv_request *request, kv_slice in, const kv_request_limits *limits);
static inline bool kv_ahead_is_empty(const kv_ahead *ahead) { return ahead->next == ahead->count; }
/* Takes the next one: the request stands behind it from here on. Returns argc, which is at least 1. */
static inline int kv_ahead_take(kv_ahead *ahead, kv_request *request, const kv_slice **argv) {
    unsigned i = ahead->next++;
    request->pos = ahead->end[i];
    request->argc = 0;
    request->is_inline = false;
    *argv = &ahead->words[ahead->first[i]];
    return ahead->first[i + 1] - ahead->first[i];
}
/* Forgets those that were not taken: the request stands before them. */
static inline void kv_ahead_drop(kv_ahead *ahead) { ahead->count = ahead->next = 0; }

#endif
