/* Writes and checks memory a byte at a time, which a pager provides page by page as it is touched: memtest [KIB]. */

#include <pager.h>

#define WINDOW ((void *)0x1000000000)             /* where the pager keeps what its region shows */
#define MEMORY ((volatile uint8_t *)0x2000000000) /* where the program looks at that */

static struct fluke_pager pager;
static fluke_mapping_t mapping;

/* Differs from byte to byte, from page to page, and between a byte and those at other powers of two from it. */
static uint8_t value_at(uint64_t offset)
{
    return (uint8_t)(1 + offset + (offset >> 8) * 3 + (offset >> 12) * 5 + (offset >> 20) * 7);
}

int main(int argc, char **argv)
{
    long kib = argc > 1 ? atol(argv[1]) : 1024;

    if (kib < 1) {
        puts("usage: memtest [KIB]");
        return 2;
    }
    uint64_t size = (uint64_t)kib * 1024, pages = (size + FLUKE_PAGE_SIZE - 1) / FLUKE_PAGE_SIZE;
    if (!fluke_pager_open(&pager, pages, pages, WINDOW, NULL)
        || !fluke_pager_map(&pager, &mapping, (void *)MEMORY)) {
        puts("not enough memory");
        return 1;
    }
    for (uint64_t i = 0; i < size; i++)
        MEMORY[i] = value_at(i);
    for (uint64_t i = 0; i < size; i++)
        if (MEMORY[i] != value_at(i)) {
            printf("byte %lu: 0x%x instead of 0x%x\n", i, MEMORY[i], value_at(i));
            return 1;
        }
    printf("%lu bytes written and checked, page faults: %lu\n", size, fluke_pager_counts(&pager).faults);
    fluke_mapping_destroy(&mapping);
    fluke_pager_close(&pager);
    return 0;
}
