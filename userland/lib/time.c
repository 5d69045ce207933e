/* Time: the timer knows instants in nanoseconds. A sleep names the instant at which it ends, so it can be repeated. */

#include "internal.h"
#include <ulib.h>

uint64_t fluke_now_ns(void)
{
    uint64_t request[] = {FLUKE_TIMER_NOW};
    uint64_t reply[2];

    return fluke_device_call(fluke_start_block->timer_ref, request, 1, reply, 2) ? reply[1] : 0;
}

uint64_t fluke_now_us(void)
{
    return fluke_now_ns() / 1000;
}

void fluke_sleep_us(uint64_t duration_us)
{
    uint64_t request[] = {FLUKE_TIMER_WAIT_UNTIL, fluke_now_ns() + duration_us * 1000};
    uint64_t reply[2];

    fluke_device_call(fluke_start_block->timer_ref, request, 2, reply, 2);
}
