/* What the parts of the manager know of each other. */

#ifndef MANAGER_H
#define MANAGER_H

#include <blob.h>
#include <checkpoint.h>
#include <child.h>

/* Does what it is told at this port, for ever; returns a status for the end of the program if it cannot. */
int serve_orders(fluke_ref_t *orders);

enum { MOST_SEGMENTS = FLUKE_CHILD_PARTS - 3 };

/* A program in a store: what of it lies where. */
struct elf {
    uint64_t entry, end; /* all segments end at a page before */
    bool makes_code; /* it wants to execute what is in its heap */
    int segment_count;
    struct segment {
        uint64_t at, size, offset, file_size, prot;
    } segments[MOST_SEGMENTS];
};

/* Finds out what is in a file; it has been checked then. Returns what is wrong with it, a null pointer if nothing is. */
const char *read_elf(struct elf *elf, struct fluke_blob *file);

/* What the manager has been told to do. */
struct task {
    fluke_ref_t *store;
    const char *program; /* by name: that of a file, or of an image with `is_image` */
    bool is_image;
    long every;       /* so many requests of the child's there is a checkpoint; 0: never */
    const char *name; /* of the image that is written then */
    size_t memory_size;
    int argc;
    char **argv, **environment;
};

/* The child, and what it runs in. */
extern struct fluke_child child;

/* Makes the child out of a file; false, and it has been said why, if that cannot be. */
bool load_child(const struct task *task);

/* Makes it out of an image. */
bool resume_child(const struct task *task);

/* Writes the child into the store, ends it, and makes it again of what is there; if it cannot be written, it goes on. */
void renew_child(const struct task *task);

/* Takes the memory of a child of which the parts are known; false if there is none, or it is damaged. */
bool take_memory(void);

/* Gives back what was needed for images. */
void end_images(void);

/* Whether no thread of the child's can go on: each has made a mistake. */
bool has_failed(void);

#endif
