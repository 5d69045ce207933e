/* What the parts of the program share: a child process, as its parent has it and as the child sees itself. */

#ifndef NESTED_H
#define NESTED_H

#include <child.h>

enum { PAGE_WORDS = FLUKE_PAGE_SIZE / FLUKE_WORD_SIZE };
enum { MOST_LEVELS = 30 }; /* each is one step more from an address to its frame, and the kernel follows 32 at most */

/* The page in which a child and its parent write to each other, where the child sees it. */
#define CHILDS_LETTER ((uint64_t *)0x50000000)

struct child {
    struct fluke_child process;
    struct fluke_child_program program;
    int level;
    void *block;      /* of the parent's heap: the child's memory lies in it */
    uint64_t *letter; /* where the parent sees it */
    size_t heap_size;
    bool in_line;     /* whether the child's output has come to the middle of a line */
};

/* Makes a process that will run this program, `depth` levels deep from there. False if there is no memory for it. */
bool make_child(struct child *child, int level, int depth);

/* Makes the child's first thread, which begins to run. False if there is no memory. */
bool start_child(struct child *child);

/* Takes the child's requests until it exits; returns its status. */
int serve_child(struct child *child);

/* Counts the objects that lie in the child's memory, by type. */
void count_objects(struct child *child, unsigned counts[FLUKE_REF + 1]);

/* Ends all that the child is and has, and gives its memory back to the heap. */
void destroy_child(struct child *child);

#endif
