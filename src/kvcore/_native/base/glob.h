/* Glob matching as KEYS, SCAN MATCH and PSUBSCRIBE do it: * ? [a-z] [^a] \x. Iterative: time O(pattern * text), no recursion. */
#ifndef KV_BASE_GLOB_H
#define KV_BASE_GLOB_H
#include "base/slice.h"
bool kv_glob(kv_slice pattern, kv_slice text, bool nocase);
bool kv_glob_is_literal(kv_slice pattern); /* no metacharacter: a plain comparison would do */
#endif
