/* The hash table: chained cache-line buckets, grown and shrunk a bucket at a time.
 *
 *   bucket, 64 bytes            tag[0..8]  meta   slot[0]  ...  slot[7]  slot[8]
 *                               one byte   one    entry         entry    entry, or the next bucket of the chain
 *                               of hash    byte   6 bytes                when meta has LINKED (its tag is then 0)
 *
 * A lookup loads the bucket's line, compares all nine tags at once and touches only entries whose tag agrees: 1 in 255 others does.
 * A chain is packed: every bucket but the last holds eight entries and a link, the last one 0-9 (1-9 when it is not the head). So an insert looks
 * at the last bucket only, and a remove fills its hole from there.
 *
 * A slot has 48 bits: the 44 in which addresses of entries differ (user space has 47 bits, mappings above need a hint that nobody gives; the last three
 * are 0, for entries are aligned to 8 bytes), without a base that would have to be looked up, and four bits of the hash. One unaligned load of the eight bytes that
 * end with the slot, a shift and a mask. Seven whole pointers a bucket would take 2.6 bytes an entry more.
 *
 * Load. Growth starts above nine entries a bucket, and doubles. Bucket counts are spread like a Poisson distribution of that mean:
 *   entries a bucket             9     6.4    4.5 (just doubled)
 *   buckets that overflow       41%    11%      2%
 *   lines a hit reads          1.18   1.05   1.01     (a miss: 1.42, 1.11, 1.02)
 *   bytes an entry             10.1   11.2   14.5     (mean over the sizes of one doubling: 11.3)
 * At ten the mean would be 10.8, and what overflow buckets leave behind in their slabs when the table doubles would be half as much again.
 * Shrinking starts below one entry a bucket, to between 2.5 and 5.
 *
 * Rehash. While buckets[1] is there, a key has one home: buckets[0] if its bucket there is not moved yet (index >= moved), buckets[1] otherwise.
 * Lookups therefore probe one chain also then, and inserts go to the home. Each insert moves one bucket of [0], each remove two. When growing, a
 * moved bucket fills the buckets of [1] with the same low bits, and nothing else fills them; when shrinking, several share one. So buckets of [1]
 * are initialised when the first source arrives: the new array is never cleared as a whole, however big it is, and buckets of [1] whose
 * (index & mask[0]) >= moved are not to be read. A chain that is split never needs more overflow buckets than it had (see room_needed); merging may,
 * and allocates them first. When that, or the new array, cannot be had, the table stays as it is, with longer chains, and tries again later.
 *
 * The old array's pages go back to the system 256 KiB at a time as the rehash passes them (some 0.1 ms a MiB), the rest with its last bucket.
 * So every step stays within microseconds. Measured at one million entries: 12.75 bytes an entry; a find that is in the cache 30 ns, hash included.
 *
 * Where an entry moves to, the four bits of its hash in the slot tell in three doublings of four, and no entry is touched. In the fourth its key is hashed
 * again, for the next four bits; the entries of the next bucket are prefetched one step ahead then.
 *
 * Invariants: buckets[0] is NULL iff both arrays are (then count is 0); spares >= 0 overflow buckets hang from `spare`, and at least `reserved` of
 * them as long as no reservation was used up; moved buckets of [0] are empty. */
#include "ds/table.h"
#include "base/num.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define LINKED 0x80u
#define LINK (KV_TABLE_SLOTS - 1u)
#define COUNT_BITS 15u
#define HINT_BITS 4u
#define HINT 15u
#define FULL_LOAD 9u     /* entries a bucket beyond which the table grows */
#define SHRUNK_LOAD 5u   /* and at most as many after it has shrunk */
#define RANDOM_WIDTH 16u /* chains up to this length are sampled exactly */
#define RANDOM_TRIES 4096u

/* ---- one bucket ---- */

static inline uint8_t tag_of(uint64_t hash) {
    uint8_t tag = (uint8_t)(hash >> 50);
    return tag != 0 ? tag : 1;
}

/* The hash bits that hints in an array of mask + 1 buckets tell: HINT_BITS from this one on, a multiple of HINT_BITS. The bit that doubling the array asks for
 * is among them, and so is that of the next doubling, unless that is where the next hint begins. */
static inline unsigned first_hinted(size_t mask) { return (unsigned)__builtin_ctzll((uint64_t)mask + 1) & ~(HINT_BITS - 1u); }
static inline uint64_t hint_of(size_t mask, uint64_t hash) { return hash >> first_hinted(mask) & HINT; }

/* Slots whose tag is `tag`, as a set of bits; first_match takes the lowest. Links and empty slots have tag 0, which is never asked for. */
#if defined(__SSE2__)
typedef unsigned match_set;
static inline match_set matches(const kv_table_bucket *bucket, uint8_t tag) {
    __m128i tags = _mm_loadu_si128((const __m128i *)(const void *)bucket);
    return (match_set)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag))) & 0x1ffu;
}
#else
typedef unsigned match_set;
static inline match_set matches(const kv_table_bucket *bucket, uint8_t tag) {
    match_set set = 0;
    for (unsigned i = 0; i < KV_TABLE_SLOTS; i++) set |= (match_set)(bucket->tag[i] == tag) << i; /* compilers make vector code of it */
    return set;
}
#endif

static inline unsigned first_match(match_set set) { return (unsigned)__builtin_ctz(set); }

static inline unsigned entries_in(const kv_table_bucket *bucket) { return bucket->meta & COUNT_BITS; }
static inline bool is_linked(const kv_table_bucket *bucket) { return (bucket->meta & LINKED) != 0; }

_Static_assert(sizeof(kv_table_bucket) == 64 && offsetof(kv_table_bucket, slot) >= 2,
               "the eight bytes that end with a slot are the bucket's");

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* The low 16 bits belong to the slot before, or to tag and meta. */
static inline uint64_t slot_word(const kv_table_bucket *bucket, unsigned at) {
    uint64_t word;
    memcpy(&word, (const uint8_t *)bucket + offsetof(kv_table_bucket, slot) - 2 + at * 6, sizeof word);
    return word >> 16;
}
static inline void slot_put_word(kv_table_bucket *bucket, unsigned at, uint64_t word) { memcpy(bucket->slot[at], &word, 6); }
#else
static inline uint64_t slot_word(const kv_table_bucket *bucket, unsigned at) {
    uint64_t word = 0;
    memcpy((uint8_t *)&word + 2, bucket->slot[at], 6);
    return word;
}
static inline void slot_put_word(kv_table_bucket *bucket, unsigned at, uint64_t word) {
    memcpy(bucket->slot[at], (const uint8_t *)&word + 2, 6);
}
#endif

static inline uint64_t word_of(const void *entry, uint64_t hint) { return (uint64_t)(uintptr_t)entry << 1 | hint; }
static inline void *entry_of(uint64_t word) { return (void *)(uintptr_t)(word >> 1 & ~(uint64_t)7); }

static inline void *slot_get(const kv_table_bucket *bucket, unsigned at) { return entry_of(slot_word(bucket, at)); }
/* A link or nothing. */
static inline void slot_put(kv_table_bucket *bucket, unsigned at, const void *to) { slot_put_word(bucket, at, word_of(to, 0)); }
/* Another entry with the same hash. */
static inline void slot_replace(kv_table_bucket *bucket, unsigned at, const void *entry) {
    slot_put_word(bucket, at, word_of(entry, slot_word(bucket, at) & HINT));
}

static inline kv_table_bucket *next_of(const kv_table_bucket *bucket) { return slot_get(bucket, LINK); }

static inline void bucket_clear(kv_table_bucket *bucket) { memset(bucket, 0, sizeof *bucket); }

static inline void bucket_add(kv_table_bucket *bucket, uint8_t tag, uint64_t word) {
    unsigned at = entries_in(bucket);
    bucket->tag[at] = tag;
    slot_put_word(bucket, at, word);
    bucket->meta = (uint8_t)(at + 1);
}

static size_t chain_length(const kv_table_bucket *head, size_t *buckets) {
    size_t length = entries_in(head), n = 1;
    for (; is_linked(head); n++) {
        head = next_of(head);
        length += entries_in(head);
    }
    *buckets = n;
    return length;
}

/* ---- overflow buckets ---- */

static void push_spare(kv_table *table, kv_table_bucket *bucket) {
    slot_put(bucket, LINK, table->spare);
    table->spare = bucket;
    table->spares++;
}

static kv_table_bucket *pop_spare(kv_table *table) {
    kv_table_bucket *bucket = table->spare;
    table->spare = next_of(bucket);
    table->spares--;
    return bucket;
}

static bool want_spares(kv_table *table, size_t n) {
    while (table->spares < n) {
        kv_table_bucket *bucket = kv_arena_alloc(table->arena, sizeof *bucket);
        if (bucket == NULL) return false;
        table->overflow++;
        push_spare(table, bucket);
    }
    return true;
}

static void trim_spares(kv_table *table) {
    while (table->spares > table->reserved) {
        kv_arena_free(table->arena, pop_spare(table), sizeof(kv_table_bucket));
        table->overflow--;
    }
}

/* Overflow buckets that a chain of `length` has: superadditive, room_needed(a) + room_needed(b) <= room_needed(a + b), which is why splitting a
 * chain needs no memory. */
static size_t room_needed(size_t length) { return length <= KV_TABLE_SLOTS ? 0 : (length - KV_TABLE_SLOTS + LINK - 1) / LINK; }

static kv_table_bucket *last_of(kv_table_bucket *head) {
    while (is_linked(head)) head = next_of(head);
    return head;
}

/* Adds to a chain, `last` being its last bucket. False: out of memory, no change. */
static bool chain_add(kv_table *table, kv_table_bucket *last, uint8_t tag, uint64_t word) {
    if (entries_in(last) == KV_TABLE_SLOTS) {
        if (table->spares == 0 && !want_spares(table, 1)) return false;
        kv_table_bucket *more = pop_spare(table);
        bucket_clear(more);
        bucket_add(more, last->tag[LINK], slot_word(last, LINK));
        last->tag[LINK] = 0;
        slot_put(last, LINK, more);
        last->meta = LINKED | LINK;
        last = more;
    }
    bucket_add(last, tag, word);
    return true;
}

/* Takes slot `at` of `bucket` out of the chain. (*bucket, *at) become the place where a walk along the chain goes on: the hole was filled with the
 * chain's last entry, which the walk has not seen (unless it was the last itself). */
static void chain_remove(kv_table *table, kv_table_bucket *head, kv_table_bucket **bucket, unsigned *at) {
    kv_table_bucket *before = NULL, *last = head;
    while (is_linked(last)) {
        before = last;
        last = next_of(last);
    }
    unsigned end = entries_in(last) - 1;
    slot_put_word(*bucket, *at, slot_word(last, end));
    (*bucket)->tag[*at] = last->tag[end];
    slot_put(last, end, NULL);
    last->tag[end] = 0;
    last->meta = (uint8_t)end;
    if (before == NULL || end > 1) return;
    /* One entry or none is left in the overflow bucket: it fits where the link is. */
    slot_put_word(before, LINK, end == 1 ? slot_word(last, 0) : 0);
    before->tag[LINK] = last->tag[0];
    before->meta = (uint8_t)(LINK + end);
    if (*bucket == last) {
        *bucket = before;
        *at += LINK;
    }
    push_spare(table, last);
    trim_spares(table);
}

/* ---- arrays ---- */

static kv_table_bucket *array_alloc(kv_table *table, size_t buckets) {
    size_t bytes;
    if (!kv_mul_size(buckets, sizeof(kv_table_bucket), &bytes)) return NULL;
    return kv_arena_alloc(table->arena, bytes);
}

static void array_free(kv_table *table, unsigned which) {
    if (table->buckets[which] == NULL) return;
    kv_arena_free(table->arena, table->buckets[which], (table->mask[which] + 1) * sizeof(kv_table_bucket));
    table->buckets[which] = NULL;
    table->mask[which] = 0;
}

static void set_limits(kv_table *table) {
    size_t buckets = table->mask[0] + 1;
    table->grow_at = buckets > 1 ? buckets * FULL_LOAD : KV_TABLE_SLOTS;
    table->shrink_at = buckets > 1 ? buckets : 0;
}

/* The smallest power of two of buckets that holds `entries` at no more than `load` each; 0 when there is none. */
static size_t buckets_for(size_t entries, size_t load) {
    if (entries <= KV_TABLE_SLOTS && entries <= load) return 1;
    size_t buckets = 2;
    while (buckets * load < entries) {
        if (buckets > SIZE_MAX / 1024) return 0;
        buckets *= 2;
    }
    return buckets;
}

static bool first_array(kv_table *table, size_t buckets) {
    kv_table_bucket *array = array_alloc(table, buckets);
    if (array == NULL) return false;
    memset(array, 0, buckets * sizeof *array);
    table->buckets[0] = array;
    table->mask[0] = buckets - 1;
    set_limits(table);
    return true;
}

static inline bool is_watched(const kv_table *table) { return table->type->watch != NULL; }

/* An empty table holds no memory but its reservation. */
static void drop_arrays(kv_table *table) {
    if (is_watched(table)) return; /* until the reader is done */
    array_free(table, 0);
    array_free(table, 1);
    table->moved = 0;
    table->grow_at = table->shrink_at = 0;
}

static bool start_rehash(kv_table *table, size_t buckets) {
    if (is_watched(table)) return false;
    kv_table_bucket *array = array_alloc(table, buckets);
    if (array == NULL) return false;
    table->buckets[1] = array;
    table->mask[1] = buckets - 1;
    table->moved = 0;
    return true;
}

static void finish_rehash(kv_table *table) {
    kv_table_bucket *array = table->buckets[1];
    size_t mask = table->mask[1];
    array_free(table, 0);
    table->buckets[0] = array;
    table->mask[0] = mask;
    table->buckets[1] = NULL;
    table->mask[1] = 0;
    table->moved = 0;
    set_limits(table);
}

static inline kv_table_bucket *home_of(const kv_table *table, uint64_t hash) {
    size_t index = (size_t)hash & table->mask[0];
    if (index < table->moved) return table->buckets[1] + ((size_t)hash & table->mask[1]);
    return table->buckets[0] + index;
}

/* The entry with the hint that belongs to its home. */
static inline uint64_t word_at_home(const kv_table *table, uint64_t hash, const void *entry) {
    bool moved = ((size_t)hash & table->mask[0]) < table->moved;
    return word_of(entry, hint_of(table->mask[moved], hash));
}

static void prefetch_entries(const kv_table_bucket *bucket) {
    unsigned n = entries_in(bucket);
    for (unsigned i = 0; i < n; i++) __builtin_prefetch(slot_get(bucket, i));
}

/* Is a hint all that a move from buckets[0] to buckets[1] needs to know of a hash? */
static inline bool hints_do(const kv_table *table) { return first_hinted(table->mask[0]) == first_hinted(table->mask[1]); }

/* Entries of bucket number `index` of buckets[0], or of its chain, to buckets[1]. */
static void rehome(kv_table *table, const kv_table_bucket *bucket, size_t index) {
    bool known = hints_do(table);
    unsigned first = first_hinted(table->mask[0]);
    for (unsigned i = 0, n = entries_in(bucket); i < n; i++) {
        uint64_t word = slot_word(bucket, i), hash;
        if (known) {
            hash =
                (word & HINT) << first | ((uint64_t)index & table->mask[0]); /* as far as it matters; where both tell of a bit they agree */
        } else {
            kv_slice key = table->type->key(entry_of(word));
            hash = kv_siphash(table->seed, key.ptr, key.len);
            word = word_of(entry_of(word), hint_of(table->mask[1], hash));
        }
        kv_table_bucket *last = last_of(table->buckets[1] + ((size_t)hash & table->mask[1]));
        (void)chain_add(table, last, bucket->tag[i], word); /* cannot fail: the spares were counted before */
    }
}

/* Moves bucket number `moved`. False: a merge needs memory that is not there; no change. */
static bool move_bucket(kv_table *table) {
    size_t index = table->moved, mask = table->mask[1];
    kv_table_bucket *head = table->buckets[0] + index;
    if (mask > table->mask[0]) {
        for (size_t i = index; i <= mask; i += table->mask[0] + 1) bucket_clear(table->buckets[1] + i);
    } else if (index <= mask) {
        bucket_clear(table->buckets[1] + index);
    } else {
        size_t buckets, target_buckets;
        size_t length = chain_length(head, &buckets), target = chain_length(table->buckets[1] + (index & mask), &target_buckets);
        size_t needed = room_needed(length + target), have = (buckets - 1) + (target_buckets - 1);
        if (needed > have && !want_spares(table, needed - have + table->reserved)) return false;
    }
    table->moved++;
    /* Overflow buckets first: each becomes a spare before its entries need a place, so there always is one. */
    while (is_linked(head)) {
        kv_table_bucket *bucket = next_of(head), copy = *bucket;
        head->meta = is_linked(bucket) ? head->meta : (uint8_t)LINK;
        slot_put(head, LINK, is_linked(bucket) ? next_of(bucket) : NULL);
        push_spare(table, bucket);
        rehome(table, &copy, index);
    }
    rehome(table, head, index);
    bucket_clear(head);
    trim_spares(table);
    return true;
}

#define DISCARD ((size_t)256 * 1024)

/* The pages of a large array go back as a rehash or drain passes them, or the last step would give back all of them at once, which takes milliseconds.
 * What lies before `bucket` in its array is moved or drained, or was never used. */
static void discard_passed(const kv_table *table, kv_table_bucket *bucket) {
    uint8_t *end = (uint8_t *)(bucket + 1);
    if (((uintptr_t)end & (DISCARD - 1)) != 0) return;
    unsigned which = table->buckets[1] != NULL && bucket >= table->buckets[1] && bucket <= table->buckets[1] + table->mask[1];
    uint8_t *start = (uint8_t *)table->buckets[which];
    size_t bytes = (size_t)(end - start) < DISCARD ? (size_t)(end - start) : DISCARD;
    kv_arena_discard(table->arena, start, (table->mask[which] + 1) * sizeof(kv_table_bucket), (size_t)(end - start) - bytes, bytes);
}

/* Moves up to n buckets. True: not finished. */
static bool move_buckets(kv_table *table, size_t n) {
    size_t end = table->mask[0] + 1;
    if (is_watched(table)) return true;
    for (; n > 0 && table->moved < end; n--) {
        if (!move_bucket(table)) return true;
        discard_passed(table, table->buckets[0] + table->moved - 1);
    }
    if (table->moved == end) {
        finish_rehash(table);
        return false;
    }
    if (!hints_do(table)) prefetch_entries(table->buckets[0] + table->moved);
    if (table->moved + 1 < end) __builtin_prefetch(table->buckets[0] + table->moved + 1);
    return true;
}

static void after_insert(kv_table *table) {
    table->count++;
    if (table->reserved > 0) table->reserved--;
    if (table->spares > table->reserved) trim_spares(table);
    if (table->buckets[1] != NULL) {
        move_buckets(table, 1);
    } else if (table->count > table->grow_at) {
        size_t buckets = buckets_for(table->count, FULL_LOAD);
        /* Without memory the chains get longer; the next try comes an eighth later. */
        if (buckets <= table->mask[0] + 1 || !start_rehash(table, buckets)) table->grow_at += table->grow_at / 8 + 1;
    }
}

static bool try_shrink(kv_table *table) {
    size_t buckets = buckets_for(table->count, SHRUNK_LOAD);
    if (buckets != 0 && buckets <= table->mask[0] && start_rehash(table, buckets)) return true;
    table->shrink_at -= table->shrink_at / 8 + (table->shrink_at != 0);
    return false;
}

static void after_remove(kv_table *table) {
    table->count--;
    if (table->count == 0 && table->reserved == 0) /* a reservation keeps the array as well */
        drop_arrays(table);
    else if (table->buckets[1] != NULL) move_buckets(table, 2);
    else if (table->count < table->shrink_at) try_shrink(table);
}

/* ---- life ---- */

void kv_table_init(kv_table *table, const kv_table_type *type, const kv_hash_seed *seed, kv_arena *arena) {
    *table = (kv_table){.type = type, .seed = seed, .arena = arena};
}

kv_table *kv_table_create(const kv_table_type *type, const kv_hash_seed *seed, kv_arena *arena) {
    kv_table *table = kv_arena_alloc(arena, sizeof *table);
    if (table != NULL) kv_table_init(table, type, seed, arena);
    return table;
}

void kv_table_deinit(kv_table *table, kv_table_fn fn, void *arg) {
    size_t pos = 0;
    while (kv_table_drain(table, &pos, SIZE_MAX / 16, fn, arg)) {}
    table->reserved = 0;
    trim_spares(table);
    drop_arrays(table);
}

void kv_table_destroy(kv_table *table, kv_table_fn fn, void *arg) {
    if (table == NULL) return;
    kv_table_deinit(table, fn, arg);
    kv_arena_free(table->arena, table, sizeof *table);
}

/* ---- finding ---- */

/* An entry that may be the one. Most lie across two lines, and where the value begins stands in the first: without this its miss would wait for that
 * of the key. */
static inline void *candidate(const kv_table *table, const kv_table_bucket *bucket, unsigned slot) {
    const char *entry = slot_get(bucket, slot);
    __builtin_prefetch(entry + table->type->reach);
    return (void *)(uintptr_t)entry;
}

void *kv_table_find(const kv_table *table, uint64_t hash, kv_slice key) {
    if (table->buckets[0] == NULL) return NULL;
    uint8_t tag = tag_of(hash);
    for (kv_table_bucket *bucket = home_of(table, hash);; bucket = next_of(bucket)) {
        for (match_set set = matches(bucket, tag); set != 0; set &= set - 1) {
            void *entry = candidate(table, bucket, first_match(set));
            if (kv_slice_eq(table->type->key(entry), key)) return entry;
        }
        if (!is_linked(bucket)) return NULL;
    }
}

void *kv_table_locate(kv_table *table, uint64_t hash, kv_slice key, kv_table_pos *pos) {
    *pos = (kv_table_pos){hash, NULL, 0};
    if (table->buckets[0] == NULL) return NULL;
    uint8_t tag = tag_of(hash);
    for (pos->bucket = home_of(table, hash);; pos->bucket = next_of(pos->bucket)) {
        for (match_set set = matches(pos->bucket, tag); set != 0; set &= set - 1) {
            pos->slot = first_match(set);
            void *entry = candidate(table, pos->bucket, pos->slot);
            if (kv_slice_eq(table->type->key(entry), key)) return entry;
        }
        if (!is_linked(pos->bucket)) break;
    }
    pos->slot = entries_in(pos->bucket);
    return NULL;
}

/* The place of this very entry pointer. */
static bool find_entry(const kv_table *table, uint64_t hash, const void *entry, kv_table_bucket **bucket, unsigned *at) {
    if (table->buckets[0] == NULL) return false;
    uint8_t tag = tag_of(hash);
    for (*bucket = home_of(table, hash);; *bucket = next_of(*bucket)) {
        for (match_set set = matches(*bucket, tag); set != 0; set &= set - 1) {
            *at = first_match(set);
            if (slot_get(*bucket, *at) == entry) return true;
        }
        if (!is_linked(*bucket)) return false;
    }
}

bool kv_table_replace(kv_table *table, uint64_t hash, const void *before, void *after) {
    kv_table_bucket *bucket;
    unsigned at;
    kv_table_touch(table, hash);
    if (!find_entry(table, hash, before, &bucket, &at)) return false;
    slot_replace(bucket, at, after);
    return true;
}

void kv_table_put_at(const kv_table_pos *pos, void *entry) { slot_replace(pos->bucket, pos->slot, entry); }

void kv_table_prefetch(const kv_table *table, uint64_t hash) {
    if (table->buckets[0] != NULL) __builtin_prefetch(home_of(table, hash));
}

void kv_table_prefetch_entry(const kv_table *table, uint64_t hash) {
    if (table->buckets[0] == NULL) return;
    const kv_table_bucket *bucket = home_of(table, hash);
    match_set set = matches(bucket, tag_of(hash));
    if (set == 0 && is_linked(bucket)) {
        __builtin_prefetch(next_of(bucket));
        return;
    }
    for (; set != 0; set &= set - 1) __builtin_prefetch(candidate(table, bucket, first_match(set)));
}

/* ---- changing ---- */

kv_status kv_table_reserve_for(kv_table *table, uint64_t hash) {
    if (table->buckets[0] == NULL && !first_array(table, 1)) return KV_ENOMEM;
    if (entries_in(last_of(home_of(table, hash))) < KV_TABLE_SLOTS || table->spares > 0) return KV_OK;
    if (!want_spares(table, 1)) return KV_ENOMEM;
    table->reserved = 1;
    return KV_OK;
}

kv_status kv_table_reserve(kv_table *table, size_t n) {
    if (n == 0) return KV_OK;
    if (n > UINT32_MAX) return KV_ENOMEM;
    bool fresh = table->buckets[0] == NULL;
    if (fresh) {
        size_t buckets = buckets_for(n, FULL_LOAD);
        if (buckets == 0 || !first_array(table, buckets)) return KV_ENOMEM;
    }
    /* In an empty table a chain overflows after nine; elsewhere any insert may meet a full one. */
    size_t spares = fresh ? room_needed(n) : n;
    if (!want_spares(table, spares)) {
        trim_spares(table);
        if (fresh) drop_arrays(table);
        return KV_ENOMEM;
    }
    if (table->reserved < n) table->reserved = (uint32_t)n;
    return KV_OK;
}

void kv_table_unreserve(kv_table *table) {
    table->reserved = 0;
    trim_spares(table);
    if (table->count == 0) drop_arrays(table);
}

kv_status kv_table_insert(kv_table *table, uint64_t hash, void *entry) {
    if (table->buckets[0] == NULL && !first_array(table, 1)) return KV_ENOMEM;
    kv_table_touch(table, hash);
    if (!chain_add(table, last_of(home_of(table, hash)), tag_of(hash), word_at_home(table, hash, entry))) return KV_ENOMEM;
    after_insert(table);
    return KV_OK;
}

kv_status kv_table_insert_at(kv_table *table, const kv_table_pos *pos, void *entry) {
    if (pos->bucket == NULL) return kv_table_insert(table, pos->hash, entry);
    kv_table_touch(table, pos->hash);
    if (!chain_add(table, pos->bucket, tag_of(pos->hash), word_at_home(table, pos->hash, entry))) return KV_ENOMEM;
    after_insert(table);
    return KV_OK;
}

void *kv_table_remove_at(kv_table *table, const kv_table_pos *pos) {
    kv_table_bucket *bucket = pos->bucket;
    unsigned at = pos->slot;
    void *entry = slot_get(bucket, at);
    kv_table_touch(table, pos->hash);
    chain_remove(table, home_of(table, pos->hash), &bucket, &at);
    after_remove(table);
    return entry;
}

void *kv_table_remove(kv_table *table, uint64_t hash, kv_slice key) {
    kv_table_pos pos;
    if (kv_table_locate(table, hash, key, &pos) == NULL) return NULL;
    return kv_table_remove_at(table, &pos);
}

bool kv_table_remove_entry(kv_table *table, uint64_t hash, const void *entry) {
    kv_table_pos pos = {.hash = hash};
    if (!find_entry(table, hash, entry, &pos.bucket, &pos.slot)) return false;
    (void)kv_table_remove_at(table, &pos);
    return true;
}

kv_status kv_table_expand(kv_table *table, size_t entries) {
    size_t buckets = buckets_for(entries, FULL_LOAD);
    if (buckets == 0) return KV_ENOMEM;
    if (table->buckets[1] != NULL || (table->buckets[0] != NULL && buckets <= table->mask[0] + 1) || is_watched(table)) return KV_OK;
    bool done = table->buckets[0] == NULL ? first_array(table, buckets) : start_rehash(table, buckets);
    return done ? KV_OK : KV_ENOMEM;
}

bool kv_table_rehash_step(kv_table *table, size_t n) {
    if (is_watched(table)) return false;
    if (table->buckets[1] == NULL) {
        if (table->count >= table->shrink_at || !try_shrink(table)) return false;
    }
    return move_buckets(table, n);
}

/* ---- walking ---- */

/* Buckets that hold entries are numbered without gaps: those of [0] not yet moved, then the initialised ones of [1]. */
static size_t live_buckets(const kv_table *table) {
    if (table->buckets[0] == NULL) return 0;
    size_t live = table->mask[0] + 1 - table->moved;
    if (table->buckets[1] == NULL) return live;
    if (table->mask[1] > table->mask[0]) return live + (table->mask[1] + 1) / (table->mask[0] + 1) * table->moved;
    return live + (table->moved <= table->mask[1] ? table->moved : table->mask[1] + 1);
}

static kv_table_bucket *live_bucket(const kv_table *table, size_t number) {
    size_t old = table->mask[0] + 1 - table->moved;
    if (number < old) return table->buckets[0] + table->moved + number;
    number -= old;
    if (table->mask[1] > table->mask[0]) return table->buckets[1] + number / table->moved * (table->mask[0] + 1) + number % table->moved;
    return table->buckets[1] + number;
}

/* What a walk by cursor does with a chain. */
typedef struct visitor visitor;
struct visitor {
    void (*chain)(const visitor *v, kv_table_bucket *head);
    kv_table_fn fn;
    kv_table_move_fn move;
    void *arg;
    kv_table *table;
};

static void emit_chain(const visitor *v, kv_table_bucket *bucket) {
    for (;; bucket = next_of(bucket)) {
        unsigned n = entries_in(bucket);
        for (unsigned i = 0; i < n; i++) v->fn(v->arg, slot_get(bucket, i));
        if (!is_linked(bucket)) return;
    }
}

static void move_chain(const visitor *v, kv_table_bucket *bucket) {
    for (kv_arena *arena = v->table->arena;; bucket = next_of(bucket)) {
        unsigned n = entries_in(bucket);
        for (unsigned i = 0; i < n; i++) {
            void *before = slot_get(bucket, i), *after = v->move(v->arg, before);
            if (after != before) slot_replace(bucket, i, after);
        }
        if (!is_linked(bucket)) return;
        slot_put(bucket, LINK, kv_arena_move(arena, next_of(bucket), sizeof *bucket));
    }
}

static uint64_t reversed(uint64_t v) {
    v = (v >> 1 & UINT64_C(0x5555555555555555)) | (v & UINT64_C(0x5555555555555555)) << 1;
    v = (v >> 2 & UINT64_C(0x3333333333333333)) | (v & UINT64_C(0x3333333333333333)) << 2;
    v = (v >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (v & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
    return __builtin_bswap64(v);
}

/* The cursor counts with its bits mirrored: the highest bit of the mask changes first, the lowest last. All buckets that one bucket splits into,
 * or that merge into one, are then visited without any other between them, so a change of size never moves an entry behind the cursor. */
static uint64_t next_cursor(uint64_t cursor, size_t mask) { return reversed(reversed(cursor | ~(uint64_t)mask) + 1); }

static uint64_t visit(const kv_table *table, uint64_t cursor, const visitor *v) {
    if (table->count == 0) return 0;
    size_t mask = table->mask[0], other = table->mask[1];
    if (table->buckets[1] == NULL) {
        v->chain(v, table->buckets[0] + ((size_t)cursor & mask));
        return next_cursor(cursor, mask);
    }
    /* Two arrays: a bucket of the smaller one together with all of the larger that share its index bits. Unmoved parts lie in [0] alone. */
    size_t narrow = mask < other ? mask : other, wide = mask < other ? other : mask;
    unsigned wide_array = mask < other;
    size_t index = (size_t)cursor & narrow;
    if (wide_array == 1 || index < table->moved) v->chain(v, table->buckets[1 - wide_array] + index);
    do {
        index = (size_t)cursor & wide;
        if (wide_array == 0 || (index & mask) < table->moved) v->chain(v, table->buckets[wide_array] + index);
        cursor = next_cursor(cursor, wide);
    } while ((cursor & (wide ^ narrow)) != 0);
    return cursor;
}

uint64_t kv_table_scan(const kv_table *table, uint64_t cursor, kv_table_fn fn, void *arg) {
    const visitor v = {.chain = emit_chain, .fn = fn, .arg = arg};
    return visit(table, cursor, &v);
}

uint64_t kv_table_relocate(kv_table *table, uint64_t cursor, kv_table_move_fn fn, void *arg) {
    const visitor v = {.chain = move_chain, .move = fn, .arg = arg, .table = table};
    for (unsigned which = 0; which < 2 && cursor == 0; which++)
        if (table->buckets[which] != NULL)
            table->buckets[which] = kv_arena_move(table->arena, table->buckets[which], (table->mask[which] + 1) * sizeof(kv_table_bucket));
    return visit(table, cursor, &v);
}

void kv_table_iter_start(kv_table_iter *iter, const kv_table *table) { *iter = (kv_table_iter){.table = (kv_table *)(uintptr_t)table}; }

void *kv_table_iter_next(kv_table_iter *iter) {
    const kv_table *table = iter->table;
    for (;;) {
        kv_table_bucket *bucket = iter->bucket;
        if (bucket != NULL && iter->slot < entries_in(bucket)) {
            iter->at_bucket = bucket;
            iter->at_slot = iter->slot++;
            return slot_get(bucket, iter->at_slot);
        }
        iter->slot = 0;
        if (bucket != NULL && is_linked(bucket)) {
            iter->bucket = next_of(bucket);
            continue;
        }
        if (iter->index >= live_buckets(table)) {
            iter->bucket = NULL;
            return NULL;
        }
        iter->bucket = live_bucket(table, iter->index++);
    }
}

static bool give(const kv_table *table, kv_table_bucket *head);

void kv_table_iter_remove(kv_table_iter *iter) {
    kv_table *table = iter->table;
    iter->bucket = iter->at_bucket;
    iter->slot = iter->at_slot;
    if (is_watched(table)) (void)give(table, live_bucket(table, iter->index - 1));
    chain_remove(table, live_bucket(table, iter->index - 1), &iter->bucket, &iter->slot);
    table->count--; /* an empty table keeps its array until the next change: the walk may still look at it */
}

/* Chooses a bucket and a place in a chain of assumed length `width`, until there is an entry at that place: every entry is as likely as any other,
 * whatever the lengths, as long as none is longer than `width`. */
void *kv_table_random(const kv_table *table, kv_rng *rng) {
    if (table->count == 0) return NULL;
    size_t live = live_buckets(table), usual = table->overflow > table->spares ? RANDOM_WIDTH : KV_TABLE_SLOTS;
    for (size_t number, tries = 0;; tries++) {
        number = (size_t)kv_rng_below(rng, live);
        const kv_table_bucket *bucket = live_bucket(table, number);
        size_t chained, length = chain_length(bucket, &chained), width = length > usual ? length : usual;
        while (tries >= RANDOM_TRIES && length == 0) { /* hardly anything in a large array: take the next there is */
            number = number + 1 == live ? 0 : number + 1;
            bucket = live_bucket(table, number);
            length = width = chain_length(bucket, &chained);
        }
        size_t at = (size_t)kv_rng_below(rng, width);
        if (at >= length) continue;
        for (; at >= LINK && is_linked(bucket); at -= LINK) bucket = next_of(bucket);
        return slot_get(bucket, (unsigned)at);
    }
}

size_t kv_table_sample(const kv_table *table, kv_rng *rng, void **out, size_t n) {
    size_t live = live_buckets(table), found = 0;
    if (table->count == 0 || n == 0) return 0;
    size_t number = (size_t)kv_rng_below(rng, live);
    for (size_t passed = 0; passed < live && found < n; passed++) {
        for (const kv_table_bucket *bucket = live_bucket(table, number);; bucket = next_of(bucket)) {
            unsigned entries = entries_in(bucket);
            for (unsigned i = 0; i < entries && found < n; i++) out[found++] = slot_get(bucket, i);
            if (!is_linked(bucket)) break;
        }
        number = number + 1 == live ? 0 : number + 1;
    }
    return found;
}

/* ---- watching ----
 * Nothing is moved while somebody watches, so a bucket is told by its array and its place there, and `seen` says which of them the reader has been given.
 * A bucket is given as a whole, before it changes for the first time. */

size_t kv_table_watch_words(const kv_table *table) {
    return (table->mask[0] + 1 + (table->buckets[1] != NULL ? table->mask[1] + 1 : 0)) / 64 + 1;
}

void kv_table_watch_begin(kv_table *table, kv_table_watch *watch, uint64_t *zeros, kv_table_fn fn, void *arg) {
    *watch = (kv_table_watch){.type = *table->type, .was = table->type, .seen = zeros, .fn = fn, .arg = arg};
    watch->type.watch = watch;
    table->type = &watch->type;
}

/* True: it has not been given before. */
static bool give(const kv_table *table, kv_table_bucket *head) {
    const kv_table_watch *watch = table->type->watch;
    bool in_new = table->buckets[1] != NULL && head >= table->buckets[1] && head <= table->buckets[1] + table->mask[1];
    size_t number = in_new ? table->mask[0] + 1 + (size_t)(head - table->buckets[1]) : (size_t)(head - table->buckets[0]);
    uint64_t bit = UINT64_C(1) << number % 64;
    if ((watch->seen[number / 64] & bit) != 0) return false;
    watch->seen[number / 64] |= bit;
    const visitor v = {.fn = watch->fn, .arg = watch->arg};
    emit_chain(&v, head);
    return true;
}

void kv_table_touched(kv_table *table, uint64_t hash) {
    if (table->buckets[0] != NULL) (void)give(table, home_of(table, hash));
}

bool kv_table_watch_step(kv_table *table) {
    kv_table_watch *watch = table->type->watch;
    for (size_t live = live_buckets(table); watch->next < live;) {
        kv_table_bucket *head = live_bucket(table, watch->next++);
        if (watch->next < live) prefetch_entries(live_bucket(table, watch->next));
        if (give(table, head)) return true;
    }
    return false;
}

void kv_table_watch_end(kv_table *table) {
    table->type = table->type->watch->was;
    if (table->count == 0 && table->reserved == 0) drop_arrays(table);
}

static size_t chain_drop(kv_table *table, kv_table_bucket *head, kv_table_fn fn, void *arg) {
    size_t dropped = 0;
    for (kv_table_bucket *bucket = head, *next;; bucket = next) {
        unsigned n = entries_in(bucket);
        next = is_linked(bucket) ? next_of(bucket) : NULL;
        for (unsigned i = 0; i < n && fn != NULL; i++) fn(arg, slot_get(bucket, i));
        dropped += n;
        if (bucket != head) {
            kv_arena_free(table->arena, bucket, sizeof *bucket);
            table->overflow--;
        }
        if (next == NULL) break;
    }
    bucket_clear(head);
    return dropped;
}

bool kv_table_drain(kv_table *table, size_t *pos, size_t n, kv_table_fn fn, void *arg) {
    size_t live = live_buckets(table), dropped = 0;
    size_t passes = n > (SIZE_MAX - 8) / 8 ? SIZE_MAX : 8 * n + 8;
    for (; *pos < live && table->count > 0 && dropped < n && passes > 0; passes--) {
        kv_table_bucket *bucket = live_bucket(table, (*pos)++);
        size_t gone = chain_drop(table, bucket, fn, arg);
        discard_passed(table, bucket);
        table->count -= gone;
        dropped += gone;
    }
    return table->count > 0;
}

/* ---- facts ---- */

size_t kv_table_bytes(const kv_table *table) {
    size_t bytes = table->overflow * kv_arena_good_size(sizeof(kv_table_bucket));
    for (unsigned which = 0; which < 2; which++)
        if (table->buckets[which] != NULL) bytes += kv_arena_good_size((table->mask[which] + 1) * sizeof(kv_table_bucket));
    return bytes;
}

void kv_table_stats_get(const kv_table *table, kv_table_stats *out) {
    *out = (kv_table_stats){.count = table->count, .overflow = table->overflow, .moved = table->moved};
    size_t live = live_buckets(table);
    for (unsigned which = 0; which < 2; which++) out->buckets[which] = table->buckets[which] != NULL ? table->mask[which] + 1 : 0;
    for (size_t i = 0; i < live; i++) {
        unsigned which = i >= out->buckets[0] - table->moved;
        size_t buckets, length = chain_length(live_bucket(table, i), &buckets);
        out->entries[which] += length;
        out->chains[which] += buckets > 1;
        if (length > out->longest[which]) out->longest[which] = length;
        out->lengths[which][length < 31 ? length : 31]++;
    }
}

static bool entry_check(const kv_table *table, const kv_table_bucket *head, uint8_t tag, uint64_t word) {
    const void *entry = entry_of(word);
    if (entry == NULL) return false;
    kv_slice key = table->type->key(entry);
    uint64_t hash = kv_siphash(table->seed, key.ptr, key.len);
    return tag == tag_of(hash) && word == word_at_home(table, hash, entry) && home_of(table, hash) == head &&
           kv_table_find(table, hash, key) == entry;
}

static bool chain_check(const kv_table *table, const kv_table_bucket *head, size_t *entries, size_t *overflow) {
    for (const kv_table_bucket *bucket = head;; bucket = next_of(bucket)) {
        unsigned n = entries_in(bucket);
        if ((bucket->meta & ~(LINKED | COUNT_BITS)) != 0 || n > KV_TABLE_SLOTS) return false;
        if (is_linked(bucket) ? (n != LINK || bucket->tag[LINK] != 0 || next_of(bucket) == NULL) : (bucket != head && n == 0)) return false;
        for (unsigned i = 0; i < KV_TABLE_SLOTS; i++) {
            if (i >= n ? bucket->tag[i] != 0 : !entry_check(table, head, bucket->tag[i], slot_word(bucket, i))) return false;
        }
        *entries += n;
        *overflow += bucket != head;
        if (!is_linked(bucket)) return true;
    }
}

bool kv_table_check(const kv_table *table) {
    size_t entries = 0, overflow = 0, spares = 0;
    if (table->buckets[0] == NULL && (table->buckets[1] != NULL || table->count != 0 || table->mask[0] != 0 || table->moved != 0))
        return false;
    if (table->buckets[1] == NULL && (table->moved != 0 || table->mask[1] != 0)) return false;
    if (table->buckets[1] != NULL && (table->moved > table->mask[0] || table->mask[0] == table->mask[1])) return false;
    if ((table->mask[0] & (table->mask[0] + 1)) != 0 || (table->mask[1] & (table->mask[1] + 1)) != 0) return false;
    for (size_t i = 0; i < table->moved; i++)
        if (table->buckets[0][i].meta != 0) return false;
    for (size_t i = 0, live = live_buckets(table); i < live; i++)
        if (!chain_check(table, live_bucket(table, i), &entries, &overflow)) return false;
    for (const kv_table_bucket *spare = table->spare; spare != NULL && spares <= table->spares; spare = next_of(spare)) spares++;
    return spares == table->spares && entries == table->count && overflow + spares == table->overflow;
}
