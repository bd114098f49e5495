/* One array, kept in the order in which the file has it: base, parts by number, history. It is a handful of entries. */
#include "persist/manifest.h"

#include "base/num.h"
#include "base/words.h"

void kv_manifest_init(kv_manifest *m, kv_mem *mem) { *m = (kv_manifest){.mem = mem}; }

void kv_manifest_deinit(kv_manifest *m) {
    for (size_t i = 0; i < m->count; i++) kv_free(m->mem, m->files[i].name);
    kv_free(m->mem, m->files);
    m->files = NULL;
    m->count = m->cap = 0;
}

const kv_manifest_file *kv_manifest_base(const kv_manifest *m) { return m->count > 0 && m->files[0].type == 'b' ? &m->files[0] : NULL; }

int64_t kv_manifest_last(const kv_manifest *m, char type) {
    int64_t last = 0;
    for (size_t i = 0; i < m->count; i++)
        if (m->files[i].type == type && m->files[i].number > last) last = m->files[i].number;
    return last;
}

static int rank_of(char type) { return type == 'b' ? 0 : type == 'i' ? 1 : 2; }

static void print_line(const kv_manifest_file *file, kv_buf *out) {
    kv_buf_add_slice(out, KV_LIT("file "));
    kv_quote_word(out, kv_slice_cstr(file->name));
    kv_buf_printf(out, " seq %lld type %c\n", (long long)file->number, file->type);
}

/* A plain name: anything else could reach outside of the directory. */
static bool is_plain(kv_slice name) {
    if (name.len == 0 || kv_slice_eq(name, KV_LIT(".")) || kv_slice_eq(name, KV_LIT(".."))) return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '/' || name.ptr[i] == '\\' || name.ptr[i] == 0) return false;
    return true;
}

static kv_status allowed(const kv_manifest *m, const kv_manifest_file *file) {
    if (file->type == 'b' && kv_manifest_base(m) != NULL) return KV_EEXISTS;
    if (file->type == 'i' && kv_manifest_last(m, 'i') >= file->number) return KV_EEXISTS;
    kv_buf line;
    kv_buf_init(&line, m->mem);
    print_line(file, &line);
    kv_status status = line.failed ? KV_ENOMEM : line.len > KV_MANIFEST_LINE_MAX ? KV_ETOOBIG : KV_OK;
    kv_buf_deinit(&line);
    return status;
}

kv_status kv_manifest_add(kv_manifest *m, kv_slice name, int64_t number, char type) {
    if (!is_plain(name) || number < 1 || (type != 'b' && type != 'i' && type != 'h')) return KV_EINVAL;
    if (m->count == m->cap) {
        size_t cap = m->cap == 0 ? 8 : m->cap * 2;
        kv_manifest_file *files = kv_realloc(m->mem, m->files, cap * sizeof *files);
        if (files == NULL) return KV_ENOMEM;
        m->files = files;
        m->cap = cap;
    }
    kv_manifest_file file = {.name = kv_malloc(m->mem, name.len + 1), .number = number, .type = type};
    if (file.name == NULL) return KV_ENOMEM;
    memcpy(file.name, name.ptr, name.len);
    file.name[name.len] = 0;
    kv_status status = allowed(m, &file);
    if (status != KV_OK) {
        kv_free(m->mem, file.name);
        return status;
    }
    size_t at = m->count;
    while (at > 0 && rank_of(m->files[at - 1].type) > rank_of(type)) at--;
    memmove(m->files + at + 1, m->files + at, (m->count - at) * sizeof file);
    m->files[at] = file;
    m->count++;
    return KV_OK;
}

void kv_manifest_remove(kv_manifest *m, size_t index) {
    kv_free(m->mem, m->files[index].name);
    m->count--;
    memmove(m->files + index, m->files + index + 1, (m->count - index) * sizeof *m->files);
}

void kv_manifest_retire(kv_manifest *m, int64_t last) {
    for (size_t i = 0; i < m->count; i++)
        if (m->files[i].type == 'b' || (m->files[i].type == 'i' && m->files[i].number <= last)) m->files[i].type = 'h';
    for (size_t i = 1; i < m->count; i++) { /* an insertion sort keeps the order within a type */
        kv_manifest_file file = m->files[i];
        size_t at = i;
        for (; at > 0 && rank_of(m->files[at - 1].type) > rank_of(file.type); at--) m->files[at] = m->files[at - 1];
        m->files[at] = file;
    }
}

kv_status kv_manifest_copy(const kv_manifest *from, kv_manifest *to) {
    for (size_t i = 0; i < from->count; i++) {
        const kv_manifest_file *file = &from->files[i];
        kv_status status = kv_manifest_add(to, kv_slice_cstr(file->name), file->number, file->type);
        if (status == KV_OK) continue;
        kv_manifest_deinit(to);
        return status;
    }
    return KV_OK;
}

/* ---- text ---- */

void kv_manifest_print(const kv_manifest *m, kv_buf *out) {
    for (size_t i = 0; i < m->count; i++) print_line(&m->files[i], out);
}

typedef struct line {
    kv_buf name, word;
    bool has_name;
    int64_t number;
    char type;
} line;

/* One word and the one that belongs to it; false: `problem` says what is wrong. */
static bool take_pair(line *l, kv_slice text, size_t *pos, bool *end, const char **problem) {
    kv_buf_clear(&l->word);
    kv_word_result found = kv_next_word(text, pos, &l->word);
    *end = found == KV_WORD_END;
    if (*end) return true;
    size_t key_len = l->word.len;
    *problem = "it has a quote without its end";
    if (found != KV_WORD_FOUND) return false;
    found = kv_next_word(text, pos, &l->word);
    if (found == KV_WORD_UNBALANCED) return false;
    *problem = "a word has no value";
    if (found == KV_WORD_END) return false;
    if (l->word.failed) return true; /* seen by the caller */
    kv_slice key = kv_slice_of(l->word.ptr, key_len), value = kv_slice_of(l->word.ptr + key_len, l->word.len - key_len);
    if (kv_slice_is(key, "file")) {
        kv_buf_clear(&l->name);
        kv_buf_add_slice(&l->name, value);
        l->has_name = true;
    } else if (kv_slice_is(key, "seq")) {
        *problem = "its number is none";
        return kv_parse_i64(value, &l->number) && l->number > 0;
    } else if (kv_slice_is(key, "type")) {
        *problem = "its type is none of b, i and h";
        l->type = value.len == 1 ? (char)value.ptr[0] : 0;
        return l->type == 'b' || l->type == 'i' || l->type == 'h';
    }
    return true;
}

static kv_status take_line(kv_manifest *m, line *l, kv_slice text, const char **problem) {
    size_t pos = 0;
    l->has_name = false;
    l->number = 0;
    l->type = 0;
    for (bool end = false; !end;)
        if (!take_pair(l, text, &pos, &end, problem)) return KV_ECORRUPT;
    if (l->word.failed || l->name.failed) return KV_ENOMEM;
    *problem = "it does not name a file with its number and type";
    if (!l->has_name || l->number == 0 || l->type == 0) return KV_ECORRUPT;
    kv_status status = kv_manifest_add(m, kv_buf_slice(&l->name), l->number, l->type);
    if (status == KV_EINVAL) *problem = "its file is not a plain name";
    if (status == KV_EEXISTS) *problem = l->type == 'b' ? "it is a second base" : "its number does not ascend";
    if (status == KV_ETOOBIG) *problem = "its name is too long";
    return status == KV_OK || status == KV_ENOMEM ? status : KV_ECORRUPT;
}

static kv_status parse(kv_manifest *m, kv_slice text, line *l, kv_buf *reason) {
    if (text.len == 0) {
        kv_buf_printf(reason, "the manifest is empty");
        return KV_ECORRUPT;
    }
    unsigned number = 0;
    for (size_t at = 0; at < text.len;) {
        const uint8_t *newline = memchr(text.ptr + at, '\n', text.len - at);
        size_t len = newline == NULL ? text.len - at : (size_t)(newline - text.ptr) - at;
        kv_slice words = kv_slice_of(text.ptr + at, len);
        const char *problem = NULL;
        kv_status status = KV_ECORRUPT;
        number++;
        if (newline == NULL) problem = "it does not end";
        else if (len + 1 > KV_MANIFEST_LINE_MAX) problem = "it is too long";
        else if (words.len > 0 && words.ptr[0] == '#') status = KV_OK;
        else status = take_line(m, l, words, &problem);
        if (status == KV_ECORRUPT) kv_buf_printf(reason, "line %u of the manifest: %s", number, problem);
        if (status != KV_OK) return status;
        at += len + 1;
    }
    return KV_OK;
}

kv_status kv_manifest_parse(kv_manifest *m, kv_slice text, kv_buf *reason) {
    line l = {.has_name = false};
    kv_buf_init(&l.name, m->mem);
    kv_buf_init(&l.word, m->mem);
    kv_status status = parse(m, text, &l, reason);
    kv_buf_deinit(&l.name);
    kv_buf_deinit(&l.word);
    if (status != KV_OK) kv_manifest_deinit(m);
    return status;
}

bool kv_manifest_check(const kv_manifest *m) {
    int rank = 0;
    int64_t last = 0;
    if (m->count > m->cap) return false;
    for (size_t i = 0; i < m->count; i++) {
        const kv_manifest_file *file = &m->files[i];
        if (rank_of(file->type) < rank || file->number < 1 || !is_plain(kv_slice_cstr(file->name))) return false;
        if (file->type == 'b' && i > 0) return false;
        if (file->type == 'i' && file->number <= last) return false;
        if (file->type == 'i') last = file->number;
        rank = rank_of(file->type);
    }
    return true;
}
