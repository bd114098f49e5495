/* Names of status codes: an exhaustive switch, so that the compiler reports a code without a name. */
#include "base/status.h"

const char *kv_status_name(kv_status status) {
    switch (status) {
    case KV_OK: return "ok";
    case KV_ENOMEM: return "out of memory";
    case KV_ENOTFOUND: return "not found";
    case KV_EEXISTS: return "already exists";
    case KV_EINVAL: return "invalid argument";
    case KV_ERANGE: return "out of range";
    case KV_ETOOBIG: return "too big";
    case KV_ENAN: return "not a number";
    case KV_EIO: return "input/output error";
    case KV_ECORRUPT: return "corrupt data";
    }
    return "unknown status";
}
