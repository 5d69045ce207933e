/* What the parts of the program share: a child process, as its parent has it and as the child sees itself. */

#ifndef NESTED_H
#define NESTED_H

#include <ulib.h>

enum { PAGE_WORDS = FLUKE_PAGE_SIZE / FLUKE_WORD_SIZE };
enum { MOST_LEVELS = 30 }; /* each is one step more from an address to its frame, and the kernel follows 32 at most */

/* The parts of a child's memory, in the order in which they lie in its parent's heap. */
enum { START, LETTER, STACK, DATA, HEAP, PARTS };

/* What a child finds when it starts: its first objects, start block, and what that leads to. */
struct start_page {
    fluke_thread_t thread;
    fluke_ref_t space_ref, parent_ref, console_ref, timer_ref;
    struct fluke_start_block block;
    char *argv[3], *environment[2];
    char name[16], depth[16], level[16];
};

/* Where a child has its start page, and the page in which its parent and it write to each other. */
#define CHILDS_START ((struct start_page *)0x40000000)
#define CHILDS_LETTER ((uint64_t *)0x50000000)

/* The aliases of the ports that a child is given. */
enum { PARENT_PORT, CONSOLE_PORT, TIMER_PORT, PORTS };

struct child {
    int level;
    void *block; /* of the parent's heap: the child's memory lies in it, on whole pages */
    size_t size; /* of that memory */
    struct {
        size_t size;
        char *here;  /* where the parent sees this part */
        uint64_t at; /* where the child sees it */
        fluke_mapping_t mapping;
    } parts[PARTS];
    fluke_space_t space;
    fluke_region_t code_region, memory_region;
    fluke_mapping_t code_mapping;
    fluke_portset_t portset;
    fluke_port_t ports[PORTS];

    uint64_t written; /* how far the child's output has come */
    bool in_line;     /* whether that is in the middle of a line */
};

/* Makes a process that will run this program, `depth` levels deep from there. False if there is no memory for it. */
bool make_child(struct child *child, int level, int depth);

/* Makes the child's first thread, which begins to run. */
void start_child(struct child *child);

/* Takes the child's requests until it exits; returns its status. */
int serve_child(struct child *child);

/* Counts the objects that lie in the child's memory, by type. */
void count_objects(struct child *child, unsigned counts[FLUKE_REF + 1]);

/* Ends all that the child is and has, and gives its memory back to the heap. */
void destroy_child(struct child *child);

#endif
