/* Words of a line with shell-like quotes, as inline requests, valkey.conf and the shell have them: 'single' with \' inside, "double" with \n \r \t \b
 * \a \xHH and \c for any other character. Quoted and plain parts that touch are one word. */
#ifndef KV_BASE_WORDS_H
#define KV_BASE_WORDS_H

#include "base/buf.h"

typedef enum kv_word_result { KV_WORD_FOUND, KV_WORD_END, KV_WORD_UNBALANCED } kv_word_result;

/* Appends the next word from *pos on to `out` (its start is out->len before the call) and moves *pos behind it. Check out->failed. O(bytes). */
kv_word_result kv_next_word(kv_slice line, size_t *pos, kv_buf *out);

/* Appends `word` so that kv_next_word reads it back: as it is, or in double quotes when it has to be. */
void kv_quote_word(kv_buf *out, kv_slice word);
/* Always in double quotes: MONITOR lines. */
void kv_quote(kv_buf *out, kv_slice word);

#endif
