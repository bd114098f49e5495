/* Files that a store may be loaded from, read without opening a store: what the command line's inspect, check and convert stand on. Part of the surface
 * of kvcore.h, under its rules; a kvcore_file is used by one thread at a time, but for kvcore_file_at. */
#ifndef KV_API_FILE_H
#define KV_API_FILE_H

#include "api/kvcore.h"

/* cdef: begin */
typedef struct kvcore_file kvcore_file;

typedef struct kvcore_word {
    const char *ptr;
    size_t len;
} kvcore_word;

enum {
    KVCORE_FILE_END = 0,      /* at a boundary; stays */
    KVCORE_FILE_KEY = 1,      /* name, value (payload), and what is known about them */
    KVCORE_FILE_FACT = 2,     /* name, value: about the file */
    KVCORE_FILE_FUNCTION = 3, /* value: a library's source */
    KVCORE_FILE_MODULE = 4,   /* name: data of a module, skipped */
    KVCORE_FILE_SNAPSHOT = 5, /* the snapshot has ended, its checksum is right; `bytes`: its length */
    KVCORE_FILE_COMMAND = 6,  /* words, of the log */
    KVCORE_FILE_TORN =
        7, /* the log's end was being written when the system stopped: may be cut off at `good`. This and the next ones stay */
    KVCORE_FILE_CORRUPT = 8,     /* wrong at `at`; all before `good` is whole */
    KVCORE_FILE_UNSUPPORTED = 9, /* of a kind that is not read */
    KVCORE_FILE_FAILED = 10      /* reading failed, or memory */
};

typedef struct kvcore_item {
    int kind;
    unsigned db;
    uint64_t at, bytes, good; /* places and lengths in the file */
    kvcore_word name, value;
    int64_t expire_ms, idle_s; /* < 0: none, not known */
    int frequency;
    const char *type;     /* "string", ...; "module" */
    const char *form;     /* how the file has it: "ziplist", "listpack", "hash", ... */
    const char *encoding; /* as OBJECT ENCODING of the loaded key; NULL: not loaded */
    uint64_t elements;    /* bytes of strings; 0: not known */
    uint64_t memory;      /* as MEMORY USAGE of the loaded key; 0: not loaded */
    const kvcore_word *words;
    size_t word_count;
    int group_ends;      /* the command is the last of those that are applied as a whole */
    const char *problem; /* TORN and what follows: in words */
} kvcore_item;

enum {
    KVCORE_FILE_VALUES = 1,   /* values are read, checked in depth and described; else passed by */
    KVCORE_FILE_PAYLOADS = 2, /* with VALUES: `value` is what DUMP gives of it */
    KVCORE_FILE_UNIQUE = 4,   /* a key that comes twice is damage. 16 to 40 bytes a key */
    KVCORE_FILE_ANY_TYPE = 8  /* streams and values of modules are told about rather than refused */
};

/* NULL: `error` says why. */
kvcore_file *kvcore_file_open(const char *path, int options, char *error, size_t error_cap);
void kvcore_file_close(kvcore_file *file); /* NULL is fine */
/* The next item, until the next call. O(its bytes). */
const kvcore_item *kvcore_file_next(kvcore_file *file);
int kvcore_file_version(const kvcore_file *file);   /* of the snapshot; 0: there is none, or not yet known */
int kvcore_file_has_sums(const kvcore_file *file);  /* has the log had checksum lines so far? */
uint64_t kvcore_file_size(const kvcore_file *file); /* when it was opened */
uint64_t kvcore_file_at(kvcore_file *file);         /* how far it is read; any thread may ask */

/* The rest of the file goes into a store, which should be empty: keys as RESTORE would, commands as they are. The item that ended it: END, TORN (all
 * before is in the store), CORRUPT and so on; UNSUPPORTED also for a command that the store refuses. Needs VALUES and PAYLOADS. Takes as long as it takes. */
const kvcore_item *kvcore_file_load(kvcore_file *file, kvcore_store *store);

/* The checksum of RDB files: of what came before (0 at first) and of these bytes. */
uint64_t kvcore_crc64(uint64_t sum, const char *bytes, size_t len);
/* cdef: end */

#endif
