/* Tries to take more than its share of the host: greedy flood|sleeps|far-sleep|child-space. */

#include <ulib.h>

enum { STACK_SIZE = 4096, FIRST_ADDRESS = 0x1000 };

static fluke_space_t space;
static fluke_region_t region;
static fluke_mapping_t mapping;
static fluke_thread_t thread;
static fluke_ref_t space_ref, region_ref;
static _Alignas(16) char stack[STACK_SIZE];

/* One-way messages to `port`, for ever; nobody waits for an answer. */
static void send_for_ever(fluke_ref_t *port, uint64_t operation, uint64_t argument)
{
    uint64_t request[] = {operation, argument};

    for (;;) {
        struct fluke_ipc_params params = {.send_buffer = request, .send_words = 2};
        fluke_ipc_send(port, &params);
    }
}

static void compute_for_ever(void)
{
    for (volatile uint64_t count = 0;; count++)
        ;
}

/* A thread in another space, which sees this one's memory: it must not be outside this program's budget. */
static void escape(void)
{
    uint64_t size = FLUKE_USER_END - FIRST_ADDRESS;
    struct fluke_region_state region_state = {.start_va = FIRST_ADDRESS, .size = size, .prot = FLUKE_PROT_ALL};
    struct fluke_mapping_state mapping_state = {.start_va = FIRST_ADDRESS, .size = size, .prot = FLUKE_PROT_ALL};
    struct fluke_thread_state thread_state = {
        .thread_va = (uint64_t)&thread, .priority = FLUKE_PRIORITY_DEFAULT, .pc = (uint64_t)compute_for_ever};

    fluke_ref_create(&space_ref);
    fluke_ref_create(&region_ref);
    fluke_space_create(&space);
    fluke_space_reference(&space, &space_ref);
    fluke_region_create(&region);
    fluke_region_set_state(&region, &region_state, fluke_start_block->space_ref, NULL);
    fluke_region_reference(&region, &region_ref);
    fluke_mapping_create(&mapping);
    fluke_mapping_set_state(&mapping, &mapping_state, &region_ref, &space_ref);
    fluke_thread_create(&thread);
    thread_state.x[2] = (uint64_t)(stack + STACK_SIZE);
    fluke_thread_set_state(&thread, &thread_state, &space_ref, NULL, NULL, NULL, NULL);
    puts("out of the space");
    compute_for_ever();
}

static void sleep_until_the_end_of_time(void)
{
    uint64_t request[] = {FLUKE_TIMER_WAIT_UNTIL, UINT64_MAX}, reply[2] = {0};
    struct fluke_ipc_params params = {
        .send_buffer = request, .send_words = 2, .receive_buffer = reply, .receive_words = 2};

    fluke_ipc_call(fluke_start_block->timer_ref, &params);
    printf("the timer answers %lu\n", reply[0]);
}

int main(int argc, char **argv)
{
    const char *deed = argc > 1 ? argv[1] : "";

    if (strcmp(deed, "flood") == 0)
        send_for_ever(fluke_start_block->parent_ref, 99, 0);
    if (strcmp(deed, "sleeps") == 0)
        send_for_ever(fluke_start_block->timer_ref, FLUKE_TIMER_WAIT_UNTIL, 1ul << 61);
    if (strcmp(deed, "child-space") == 0)
        escape();
    if (strcmp(deed, "far-sleep") == 0)
        sleep_until_the_end_of_time();
    return 0;
}
