/* What the parts of the program share: a child that can be taken down, and how it is served. */

#ifndef CHECKPOINT_CHILD_H
#define CHECKPOINT_CHILD_H

#include <checkpoint.h>
#include <child.h>

enum { MOST_BLOCKS = 2, MOST_ARGUMENTS = 10 };

struct child {
    struct fluke_child process;
    struct fluke_child_program program;
    void *blocks[MOST_BLOCKS]; /* of the parent's heap: the child's memory lies in one of them */

    fluke_mutex_t mutex; /* guards what follows */
    fluke_cond_t changed;
    bool has_exited;
    int status;
};

/* What a child is to be: its arguments; its level, one below that of its parent; how many levels there are from it on. */
struct order {
    long level, depth;
    int argument_count;
    char arguments[MOST_ARGUMENTS][16];
};

/* Makes a process that will run this program as a child, and takes so many blocks. False if there is no memory. */
bool make_child(struct child *child, const struct order *order, long blocks);

/* Makes the child's first thread, which begins to run. False if there is no memory. */
bool start_child(struct child *child);

/* Moves the memory of a child of which nothing is left to another of its blocks, and fills that with rubbish. */
void move_memory(struct child *child, long block);

/* What a child does, in so many rounds; returns its status. */
int work(long rounds);

#endif
