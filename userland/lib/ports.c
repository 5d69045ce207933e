/* Ports that are open to clients. */

#include <ulib.h>

bool fluke_open_port(fluke_port_t *port, fluke_portset_t *portset, uintptr_t alias, fluke_ref_t *ref)
{
    const struct fluke_port_state state = {.alias = alias};

    if (fluke_port_create(port) != FLUKE_SUCCESS)
        return false;
    if (fluke_ref_create(ref) != FLUKE_SUCCESS) {
        fluke_port_destroy(port);
        return false;
    }
    fluke_portset_reference(portset, ref);
    fluke_port_set_state(port, &state, ref);
    fluke_port_reference(port, ref);
    return true;
}
