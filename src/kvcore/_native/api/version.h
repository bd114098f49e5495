/* The version of the compiled half; tests/unit checks that kvcore/_version.py says the same. */
#ifndef KV_API_VERSION_H
#define KV_API_VERSION_H

#define KVCORE_VERSION "0.1.0.dev0"

#endif
