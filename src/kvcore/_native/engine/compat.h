/* Which product and version clients are told. Names and numbers that tools compare, in one place. */
#ifndef KV_ENGINE_COMPAT_H
#define KV_ENGINE_COMPAT_H
#define KV_COMPAT_SERVER "valkey"
#define KV_COMPAT_VALKEY_VERSION "9.1.2"
#define KV_COMPAT_REDIS_VERSION "7.2.4"
#endif
