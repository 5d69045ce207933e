/* Sleeps a few times and tells when each sleep began and ended: clock [TIMES] [MILLISECONDS]. */

#include <ulib.h>

int main(int argc, char **argv)
{
    int times = argc > 1 ? atoi(argv[1]) : 5;
    int duration_ms = argc > 2 ? atoi(argv[2]) : 100;

    if (times < 0 || duration_ms < 0) {
        puts("usage: clock [TIMES] [MILLISECONDS]");
        return 2;
    }
    for (int i = 1; i <= times; i++) {
        uint64_t before_us = fluke_now_us();
        fluke_sleep_us((uint64_t)duration_ms * 1000);
        uint64_t after_us = fluke_now_us();
        printf("sleep %d: from %lu us to %lu us\n", i, before_us, after_us);
    }
    return 0;
}
