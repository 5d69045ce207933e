/* Memory that is seen at two addresses, or in two spaces. */

#include "usertests.h"

uint64_t memory[2 * PAGE_WORDS] __attribute__((aligned(FLUKE_PAGE_SIZE)));

__asm__(".section .text.accesses, \"ax\", @progbits\n"
        ".globl peek\n"
        "peek: ld a0, 0(a0)\n  ret\n"
        ".globl poke\n"
        "poke: sd a1, 0(a0)\n  ret\n"
        ".globl jump\n"
        "jump: jr a0\n"
        ".text\n");

void set_region(fluke_region_t *region, const void *start, size_t size, uint64_t prot)
{
    struct fluke_region_state state = {.start_va = (uint64_t)start, .size = size, .prot = prot};

    fluke_region_set_state(region, &state, NULL, NULL);
}

void set_mapping(fluke_mapping_t *mapping, uint64_t offset, const void *start, size_t size, uint64_t prot)
{
    struct fluke_mapping_state state = {
        .region_off = offset, .start_va = (uint64_t)start, .size = size, .prot = prot};

    fluke_mapping_set_state(mapping, &state, NULL, NULL);
}

void open_window(struct window *window, fluke_ref_t *space_ref)
{
    struct fluke_region_state region = {.start_va = (uint64_t)memory, .size = MEMORY_SIZE, .prot = FLUKE_PROT_ALL};
    struct fluke_mapping_state mapping = {
        .start_va = (uint64_t)WINDOW, .size = MEMORY_SIZE, .prot = FLUKE_PROT_READ | FLUKE_PROT_WRITE};

    fluke_region_create(&window->region);
    fluke_region_set_state(&window->region, &region, fluke_start_block->space_ref, NULL);
    fluke_ref_create(&window->region_ref);
    fluke_region_reference(&window->region, &window->region_ref);
    fluke_mapping_create(&window->mapping);
    fluke_mapping_set_state(&window->mapping, &mapping, &window->region_ref, space_ref);
}

void close_window(struct window *window)
{
    fluke_ref_destroy(&window->region_ref);
    fluke_mapping_destroy(&window->mapping);
    fluke_region_destroy(&window->region);
}

void open_mirror(struct mirror *mirror)
{
    const void *start = (void *)FLUKE_USER_START;
    size_t size = (uint64_t)WINDOW - FLUKE_USER_START;

    fluke_space_create(&mirror->space);
    fluke_ref_create(&mirror->space_ref);
    fluke_space_reference(&mirror->space, &mirror->space_ref);
    fluke_region_create(&mirror->region);
    fluke_mapping_create(&mirror->mapping);
    fluke_ref_create(&mirror->region_ref);
    fluke_region_reference(&mirror->region, &mirror->region_ref);
    set_region(&mirror->region, start, size, FLUKE_PROT_ALL);
    fluke_region_set_state(&mirror->region, NULL, fluke_start_block->space_ref, NULL);
    set_mapping(&mirror->mapping, 0, start, size, FLUKE_PROT_ALL);
    fluke_mapping_set_state(&mirror->mapping, NULL, &mirror->region_ref, &mirror->space_ref);
}

void close_mirror(struct mirror *mirror)
{
    fluke_ref_destroy(&mirror->region_ref);
    fluke_mapping_destroy(&mirror->mapping);
    fluke_region_destroy(&mirror->region);
    fluke_ref_destroy(&mirror->space_ref);
    fluke_space_destroy(&mirror->space);
}
