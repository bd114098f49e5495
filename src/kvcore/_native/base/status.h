/* Status codes: what a fallible engine function returns. Outputs come last and stay untouched on failure. */
#ifndef KV_BASE_STATUS_H
#define KV_BASE_STATUS_H

typedef enum kv_status {
    KV_OK = 0,
    KV_ENOMEM,    /* an allocation failed; nothing was changed */
    KV_ENOTFOUND, /* the thing asked for is not there */
    KV_EEXISTS,   /* it is there already */
    KV_EINVAL,    /* an argument is malformed */
    KV_ERANGE,    /* a number or index is out of range */
    KV_ETOOBIG,   /* a size limit would be passed */
    KV_ENAN,      /* arithmetic would give not-a-number */
    KV_EIO,       /* the operating system refused; errno says why */
    KV_ECORRUPT   /* bytes from outside break their format */
} kv_status;

/* A short English name, for logs and tests ("out of memory"). Never NULL. */
const char *kv_status_name(kv_status status);

#endif
