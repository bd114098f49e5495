/* A container is known by its address, which is good while it is pinned: neither it nor its header moves or is freed. Entries do move (EXPIRE), so a pin
 * has its own copy of what leads to the container.
 *
 * Invariant: of all pins of one container at most one owns it. */
#include "store/pin.h"

static bool is_of(const kv_pin *pin, const kv_value *v) { return pin->value.u.ptr == v->u.ptr && pin->value.enc == v->enc; }

/* Any pin; strict: one that does not watch. */
static kv_pin *find(const kv_shard *shard, const kv_value *v, bool strict) {
    if ((v->flags & KV_VALUE_EMBEDDED) != 0) return NULL;
    kv_pin *pin = shard->pins;
    while (pin != NULL && (!is_of(pin, v) || (strict && pin->watches))) pin = pin->next;
    return pin;
}

void kv_shard_pin(kv_shard *shard, kv_pin *pin, const kv_value *v) {
    pin->value = (kv_value){.type = v->type, .enc = v->enc, .u = v->u};
    pin->shard = shard;
    pin->owns = false;
    pin->next = shard->pins;
    shard->pins = pin;
}

void kv_shard_unpin(kv_pin *pin) {
    kv_shard *shard = pin->shard;
    kv_pin **at = &shard->pins;
    while (*at != pin) at = &(*at)->next;
    *at = pin->next;
    if (!pin->owns) return;
    kv_pin *heir = find(shard, &pin->value, false);
    if (heir != NULL) heir->owns = true;
    else kv_shard_dispose_value(shard, pin->value);
}

bool kv_shard_is_pinned(const kv_shard *shard, const kv_value *v) { return find(shard, v, true) != NULL; }
bool kv_shard_is_held(const kv_shard *shard, const kv_value *v) { return find(shard, v, false) != NULL; }

void kv_shard_settle(kv_shard *shard, const kv_value *v) {
    for (kv_pin *pin = find(shard, v, true); pin != NULL; pin = find(shard, v, true)) pin->read(pin, true);
}

void kv_shard_advance(kv_shard *shard, const kv_value *v) {
    kv_pin *pin = find(shard, v, true);
    if (pin != NULL) pin->read(pin, false);
}

bool kv_shard_advance_orphan(kv_shard *shard) {
    kv_pin *pin = shard->pins;
    while (pin != NULL && (!pin->owns || pin->watches)) pin = pin->next;
    if (pin != NULL) pin->read(pin, false);
    return pin != NULL;
}

bool kv_shard_leave_to_pin(kv_shard *shard, const kv_value *v) {
    kv_pin *pin = find(shard, v, false);
    if (pin == NULL) return false;
    pin->owns = true;
    return true;
}

void kv_shard_move_watchers(kv_shard *from, kv_shard *to, const kv_value *v) {
    for (kv_pin **at = &from->pins; *at != NULL;) {
        kv_pin *pin = *at;
        if (!pin->watches || !is_of(pin, v)) {
            at = &pin->next;
            continue;
        }
        *at = pin->next;
        pin->shard = to;
        pin->next = to->pins;
        to->pins = pin;
    }
}
