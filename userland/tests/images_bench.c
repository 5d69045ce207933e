/* A process to be read out: images_bench MIB THREADS, filled memory of which a hundredth is written again and again. */

#include <ulib.h>

enum { STACK_SIZE = 16 * 1024, WORD = sizeof(uint64_t), NAP_US = 1000 };

static void sleep_on(void *unused)
{
    (void)unused;
    for (;;)
        fluke_sleep_us(1000000);
}

/* Half of each page is random, and half is the same everywhere: so it compresses about as programs' memory does. */
static void fill(uint64_t *words, size_t count)
{
    uint64_t random = 88172645463325252ul;

    for (size_t i = 0; i < count; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        words[i] = i % 2 == 0 ? random : 0x0123456789abcdef;
    }
}

int main(int argc, char **argv)
{
    size_t size = (size_t)atol(argv[1]) << 20;
    uint64_t *words = malloc(size);
    long threads = argc < 3 ? 1 : atol(argv[2]);

    if (words == NULL)
        return 1;
    fill(words, size / WORD);
    for (long i = 1; i < threads; i++)
        if (fluke_thread_start(sleep_on, NULL, STACK_SIZE) == NULL)
            return 1;
    puts("ready");
    for (size_t page = 0;; page++) { /* each time on to the next, so that in some while all have been written */
        fluke_sleep_us(NAP_US);
        words[page * FLUKE_PAGE_SIZE / WORD % (size / WORD)]++;
    }
}
