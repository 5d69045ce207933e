/* Makes system calls with telling arguments, for a test that plays the kernel and looks at the registers. */

#include <ulib.h>

#define DESTINATION ((fluke_ref_t *)0x5000)
#define PORTSET ((fluke_portset_t *)0x6000)

enum { FIRST_VALUE = 0x1000 };

static struct fluke_ipc_params params;
static uintptr_t alias;

/* Parameters whose field n has the value FIRST_VALUE + n. */
static struct fluke_ipc_params *fresh(void)
{
    uint64_t *fields = (uint64_t *)&params;

    for (size_t i = 0; i < sizeof params / sizeof *fields; i++)
        fields[i] = FIRST_VALUE + i;
    alias = 0;
    return &params;
}

/* A call that only tells where the results are and what the status was. */
static void show(fluke_error_t status)
{
    fluke_region_get_state((fluke_region_t *)&params, (struct fluke_region_state *)&alias,
                           (fluke_ref_t *)(uintptr_t)status, NULL);
}

int main(void)
{
    uint64_t hash = 0x7000;

    show(fluke_ipc_send(DESTINATION, fresh()));
    show(fluke_ipc_call(DESTINATION, fresh()));
    show(fluke_ipc_reply(fresh()));
    show(fluke_ipc_reply_wait_receive(fresh(), &alias));
    show(fluke_ipc_reply_wait_receive(fresh(), NULL));
    show(fluke_ipc_setup_wait_receive(PORTSET, fresh(), &alias));
    show(fluke_ipc_setup_wait_receive(PORTSET, fresh(), NULL));
    show(fluke_ipc_wait_receive(fresh(), &alias));
    show(fluke_ipc_request_receive(fresh(), &alias));

    fresh();
    show(fluke_port_create_hash((fluke_port_t *)0x8000, &hash));
    alias = hash;
    show(fluke_port_create_hash((fluke_port_t *)0x8000, NULL));
    return 0;
}
