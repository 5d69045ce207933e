/* Cells: spaces of a program's own making, each with memory and a thread of its own. */

/*
 * A cell's thread runs the program's code, and sees the program's constants, at the same addresses. Of the program's
 * variables it sees none; so what it calls must use none: neither the heap nor the console, but memory and strings,
 * and system calls. It has a block of memory, which the program sees too, also at the same addresses: so pointers into
 * it mean the same on both sides, and objects in it are known to both.
 */

#ifndef CELLS_H
#define CELLS_H

#include <ulib.h>

/* A cell; what is in it is the program's own, and lies in memory that the cell does not see. */
struct fluke_cell {
    fluke_space_t space;
    fluke_region_t code_region, memory_region;
    fluke_mapping_t code_mapping, memory_mapping;
    fluke_ref_t space_ref, region_ref;
    bool is_stopped;
    void *block; /* of the heap: the cell's memory lies in it, on whole pages */
    struct fluke_cell_start *start;
};

/*
 * Makes a cell with `size` bytes of memory, zero at first, and more for a stack. Returns the memory, which begins so
 * that objects can lie in it; a null pointer if there is not enough, and nothing is left then.
 */
void *fluke_cell_open(struct fluke_cell *cell, size_t size);

/* Starts the cell's one thread, which calls function(memory). When the function returns, the thread sleeps for ever. */
void fluke_cell_start(struct fluke_cell *cell, void (*function)(void *memory));

/*
 * Waits until the function has returned, or was cut off by a mistake of the thread. Returns 0, or FLUKE_EXCEPTION_* or
 * FLUKE_INSANITY_* for the mistake.
 */
uint64_t fluke_cell_wait(struct fluke_cell *cell);

/* Ends the thread, wherever it is. Its memory is still there. */
void fluke_cell_stop(struct fluke_cell *cell);

/*
 * Ends the thread, if that was not done, and the space, and frees the memory. Objects that were made in the memory are
 * the caller's to destroy before that.
 */
void fluke_cell_close(struct fluke_cell *cell);

#endif
