/* What the parts of a child's work share: jobs, each done by threads of its own. */

#ifndef WORK_H
#define WORK_H

#include "child.h"

enum { JOB_STACK_SIZE = 8192 };

struct job {
    const char *name;
    void (*run)(struct job *job); /* in a thread of its own; calls `finish` */
    long rounds;
    uint64_t result;
    bool is_right, is_done;
};

/* Says what has become of a job. */
void finish(struct job *job, uint64_t result, bool is_right);

/* Starts a thread; there is memory for all. */
void start(void (*function)(void *), void *argument);

/* A number that differs from place to place. */
uint64_t mixed(uint64_t number);

void pass_items(struct job *job);     /* mutexes and conditions */
void call_server(struct job *job);    /* calls, with long messages */
void keep_connection(struct job *job); /* a reliable connection that is turned round */
void take_naps(struct job *job);      /* the timer */
void add_fractions(struct job *job);  /* no call at all, floating point */
void use_cell(struct job *job);       /* a space, regions, mappings */
void touch_pages(struct job *job);    /* a pager */

#endif
