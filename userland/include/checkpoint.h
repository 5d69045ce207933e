/* Checkpoints: all that a child process is, written down as plain records, and created again from them. */

/*
 * For a program that has made a process out of its own memory, as `nested` does. What lies in that memory, pages and
 * objects, is *inside*; the memory is known by a region over it. What leads out of it, the child's space and the ports
 * that it was given, is *outside* and known by name: the program hands in a table of names with references. Nothing is
 * used but system calls that every program has.
 *
 * One procedure, in this order:
 *
 *   1. stop all threads. That is one call for each, and meanwhile the others run: they could make, end and start
 *      threads, and see that some stand still. So the region's access is taken away first, in one step: whoever touches
 *      the memory, or names an object there, waits until it is given back, and tries again;
 *   2. read out every object, with its links: inside at an offset, or outside by a name; a link that leads to anything
 *      else is refused, with the object's address, and the child goes on as if nothing had been;
 *   3. copy the pages, after the states. A server of the program's may be answering a stopped thread meanwhile: whose
 *      state says that it waits asks again, and whatever has been written of an answer does no harm; the other way
 *      round, a thread could be past its call, and the answer not among the pages;
 *   4. destroy, threads first;
 *   5. refill the memory, create everything with the same hashes, load it, what links lead to first, all threads still
 *      stopped;
 *   6. start those threads that were not stopped before. To start a thread is to load its state, so it must not change
 *      under the loader's hands: none may run before the last is started. So all get a scheduler that gives no time;
 *      when that one's port is destroyed, they have time of their own, at the same moment.
 *
 * A thread that waits outside at a port with a name waits there again, and its message is sent when it is asked for. One
 * that waits for the thread of the program's that has taken its call is started without its wait: the call is made again
 * from the registers. So requests to outside must be idempotent, as those to devices are. The program's servers go on while all this happens: an answer to a thread that has been destroyed goes nowhere.
 *
 * A server inside that serves an idempotent call from outside forgets its client, who will ask again. Not handled, and
 * refused: connections with threads outside. Not handled, and not seen: objects of the program's own that lie in the child's memory are taken for the child's; time goes on while the
 * child is away.
 */

#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include <ulib.h>

/*
 * The records: these structures one after the other, made of words, with no address but offsets into the memory.
 *
 *     struct fluke_image
 *     struct fluke_image_name   [name_count]     what links to outside lead to
 *     uint64_t                  [running_count]  offsets of the threads to be started, in that order
 *     struct fluke_image_object [object_count]   each followed by its state, `struct fluke_*_state`
 *     struct fluke_image_page   [page_count]     all other pages are zero
 */
enum { FLUKE_IMAGE_NAME_BYTES = 32, FLUKE_IMAGE_LINKS = 5 };
#define FLUKE_IMAGE_MAGIC 0x31656b756c66ul /* "fluke1" */

struct fluke_image {
    uint64_t magic;
    uint64_t size;        /* bytes of all */
    uint64_t memory_size; /* bytes */
    uint64_t name_count, running_count, object_count, page_count;
};

struct fluke_image_name {
    char text[FLUKE_IMAGE_NAME_BYTES]; /* ended by a zero: longer names are cut off */
};

enum {
    FLUKE_LINK_NONE    = 0, /* it leads nowhere, to something that is gone, or to a wait that begins anew */
    FLUKE_LINK_INSIDE  = 1, /* `value` is the object's offset */
    FLUKE_LINK_OUTSIDE = 2, /* `value` is the number of the name */
};

struct fluke_image_link {
    uint64_t kind, value;
};

/* A thread's state always says FLUKE_THREAD_STOPPED. The links are in the order in which get_state delivers them. */
struct fluke_image_object {
    uint64_t offset, type;
    struct fluke_image_link links[FLUKE_IMAGE_LINKS];
};

struct fluke_image_page {
    uint64_t offset;
    uint64_t words[FLUKE_PAGE_SIZE / FLUKE_WORD_SIZE];
};

enum fluke_checkpoint_error {
    FLUKE_CHECKPOINT_DONE    = 0,
    FLUKE_CHECKPOINT_NO_ROOM = 1, /* for the records */
    FLUKE_CHECKPOINT_UNNAMED = 2, /* `address` and `link` say what leads to something without a name */
    FLUKE_CHECKPOINT_UNKNOWN = 3, /* `link` is a name in the records that the table does not have */
    FLUKE_CHECKPOINT_MEMORY  = 4, /* the kernel has none for the objects */
    FLUKE_CHECKPOINT_DAMAGED = 5, /* these are no records of a memory of this size */
};

/* What threads were found in. */
struct fluke_checkpoint_counts {
    uint64_t stopped;             /* before */
    uint64_t failed;              /* by a mistake of theirs */
    uint64_t ready;               /* they could have run */
    uint64_t inside[FLUKE_REF];   /* they waited for an object inside, by its type */
    uint64_t outside;             /* they waited for something outside, and ask again */
};

/* A checkpoint; the first part is to be filled in. The structure is too large for a small stack. */
struct fluke_checkpoint {
    fluke_region_t *region;            /* over the child's memory, for all access */
    char *window;                      /* where the program sees it; a null pointer: where the region starts */
    bool pages_elsewhere;              /* somebody else takes care of the pages: the records have none */
    const struct fluke_service *names; /* what a child may refer to outside */
    uint64_t name_count;
    void *records; /* where they are, or are to be, on whole words */
    size_t room;   /* bytes for them: the size of the memory, and 1 KiB for each object and page, is always enough */

    void *address; /* in the program's space, of the object that was refused */
    uint64_t type;
    const char *link; /* the name of its link that was */
    struct fluke_checkpoint_counts counts;

    char *memory; /* the rest is the library's own */
    uint64_t *index, indexed;
    uint64_t start, size, last_names[FLUKE_IMAGE_LINKS], next_target;
    struct fluke_region_state as_it_was; /* the region, with its keeper */
    bool has_refs, has_gate;
    fluke_ref_t links[FLUKE_IMAGE_LINKS], found, keeper, gate_ref;
    fluke_port_t gate;
};

/*
 * Steps 1 to 3. The child stays stopped if all went well, else it goes on. All these return FLUKE_CHECKPOINT_*.
 */
int fluke_checkpoint_capture(struct fluke_checkpoint *checkpoint);

/* Step 6 alone, after a capture or a creation: the child goes on where it was stopped. */
int fluke_checkpoint_resume(struct fluke_checkpoint *checkpoint);

/* Step 4: destroys all objects in the memory. What the program made outside of it is the program's to destroy. */
void fluke_checkpoint_destroy(struct fluke_checkpoint *checkpoint);

/*
 * Steps 5 and 6. The memory may be another of the same size, without objects; the names may refer to other objects.
 * After FLUKE_CHECKPOINT_MEMORY or _DAMAGED some objects may have been made, which fluke_checkpoint_destroy finds.
 */
int fluke_checkpoint_restore(struct fluke_checkpoint *checkpoint);

/*
 * Gives the records' stamps of order other numbers, from `first` on, in the same order: for records that another kernel
 * wrote, whose stamps mean nothing here. The room behind the records is used. Returns FLUKE_CHECKPOINT_*.
 */
int fluke_checkpoint_renumber(struct fluke_checkpoint *checkpoint, uint64_t first);

/* How many objects of a type, FLUKE_THREAD and so on, the records have. */
uint64_t fluke_checkpoint_count(const struct fluke_checkpoint *checkpoint, uint64_t type);

/* Gives back what the library made for its steps. */
void fluke_checkpoint_end(struct fluke_checkpoint *checkpoint);

/* Step 5 alone: all threads are stopped still. */
int fluke_checkpoint_create(struct fluke_checkpoint *checkpoint);

#endif
