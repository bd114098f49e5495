/* Glob matching without recursion. Every element of a pattern but '*' matches exactly one byte, so when a mismatch comes it is enough to
 * let the last star take one byte more and to try again from there: an earlier star could only move the later ones to the right. Hence
 * O(pattern * text) at worst, O(1) memory.
 *
 * The corners, which clients depend on: a class that is never closed ends with the pattern; a range may be written backwards; a
 * backslash that ends the pattern matches itself; in a class, ']' right after '[' closes it (an empty class matches nothing, '[^]'
 * everything); the empty text is matched by "" and "*" but not by "**". */
#include "base/glob.h"

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c; }

/* Matches `c` against the class that begins after '[' at p; *next is where the pattern goes on. An escaped byte is compared as it is. */
static bool match_class(const uint8_t *p, const uint8_t *end, uint8_t c, bool nocase, const uint8_t **next) {
    bool negated = p < end && *p == '^', found = false;
    if (negated) p++;
    uint8_t folded = nocase ? lower(c) : c;
    for (; p < end && *p != ']'; p++) {
        if (*p == '\\' && end - p >= 2) {
            p++;
            if (*p == c) found = true;
        } else if (end - p >= 3 && p[1] == '-') {
            uint8_t low = p[0] < p[2] ? p[0] : p[2], high = p[0] < p[2] ? p[2] : p[0];
            if (nocase) low = lower(low), high = lower(high); /* after ordering: [a-M] becomes [m-a], which is empty */
            if (folded >= low && folded <= high) found = true;
            p += 2;
        } else if ((nocase ? lower(*p) : *p) == folded) {
            found = true;
        }
    }
    *next = p < end ? p + 1 : end;
    return found != negated;
}

/* Matches one byte against the element at p (not '*'); *next is the element after it. */
static bool match_one(const uint8_t *p, const uint8_t *end, uint8_t c, bool nocase, const uint8_t **next) {
    if (*p == '?') {
        *next = p + 1;
        return true;
    }
    if (*p == '[') return match_class(p + 1, end, c, nocase, next);
    if (*p == '\\' && end - p >= 2) p++;
    *next = p + 1;
    return nocase ? lower(*p) == lower(c) : *p == c;
}

bool kv_glob(kv_slice pattern, kv_slice text, bool nocase) {
    if (text.len == 0) return pattern.len == 0 || (pattern.len == 1 && pattern.ptr[0] == '*');
    if (pattern.len == 0) return false;
    const uint8_t *p = pattern.ptr, *p_end = p + pattern.len, *star = NULL;
    size_t t = 0, t_retry = 0;
    while (t < text.len) {
        const uint8_t *next = NULL;
        if (p < p_end && *p == '*') {
            while (p < p_end && *p == '*') p++;
            if (p == p_end) return true;
            star = p;
            t_retry = t;
        } else if (p < p_end && match_one(p, p_end, text.ptr[t], nocase, &next)) {
            p = next;
            t++;
        } else if (star != NULL) {
            p = star;
            t = ++t_retry;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '*') p++;
    return p == p_end;
}

bool kv_glob_is_literal(kv_slice pattern) {
    for (size_t i = 0; i < pattern.len; i++) {
        uint8_t c = pattern.ptr[i];
        if (c == '*' || c == '?' || c == '[' || c == '\\') return false;
    }
    return true;
}
