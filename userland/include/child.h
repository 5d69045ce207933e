/* Child processes, which a program makes out of its own memory, and of which it is the parent. */

/*
 * The kernel knows of no processes. A child is a space in which parts of its parent's memory are seen at addresses of
 * the child's own, and a first thread there; what it finds when it starts is the same that the host's programs find.
 * All parts lie in one block of the parent's memory, with a region over it: what the child has, the parent can read and
 * change. For its parent, its console, its timer and its space's keeper it can be given ports that the program serves;
 * else it is given what the program has. The program's services are the child's too.
 *
 *     struct fluke_child child = {.serves = ...};                   a large structure: not on a small stack
 *     fluke_child_add(&child, ...), or fluke_child_add_own(&child)  for each part
 *     fluke_child_place(&child, malloc(fluke_child_room(&child)))   now the parts have a place, and can be filled
 *     fluke_child_open(&child)
 *     fluke_child_write_start(&child, &program) and fluke_child_start(&child, &program)
 *     while (fluke_child_serve(&child))
 *         ;
 *     fluke_child_close(&child)
 */

#ifndef CHILD_H
#define CHILD_H

#include <ulib.h>

enum { FLUKE_CHILD_PARTS = 20, FLUKE_CHILD_NAMES = 36 };

/* What a child knows outside its memory, by number: these, then its services. They are the aliases of ports too. */
enum {
    FLUKE_CHILD_SPACE    = 0, /* as an alias: the port of the space's keeper */
    FLUKE_CHILD_PARENT   = 1,
    FLUKE_CHILD_CONSOLE  = 2,
    FLUKE_CHILD_TIMER    = 3,
    FLUKE_CHILD_SERVICES = 4,
};

struct fluke_child_part {
    uint64_t at; /* where the child sees it */
    size_t size;
    uint64_t prot;
    char *here; /* where the parent does */
    fluke_mapping_t mapping;
};

struct fluke_child {
    unsigned serves; /* 1 << FLUKE_CHILD_*: for which ports of the program's own are made; to be filled in */
    void (*write)(struct fluke_child *child, const char *bytes, size_t count); /* takes output; null: the console does */

    struct fluke_child_part parts[FLUKE_CHILD_PARTS]; /* in the order in which they lie in the memory */
    int part_count;
    char *memory; /* whole pages */
    size_t size;
    fluke_region_t region; /* over the memory, for all access */

    struct fluke_service names[FLUKE_CHILD_NAMES]; /* by number, with references of the parent's */
    uint64_t name_count;

    uint64_t written;  /* how far the child's output has come */
    uint64_t requests; /* that have been answered */
    uint64_t failures; /* of threads of which the program is the space's keeper; `failure` is the last */
    struct fluke_exception_message failure;
    int status; /* when it has exited */

    bool shares_code, is_open; /* the rest is the library's own */
    fluke_space_t space;
    fluke_region_t code_region;
    fluke_mapping_t code_mapping;
    fluke_portset_t portset;
    fluke_port_t ports[FLUKE_CHILD_SERVICES];
    uint64_t space_hash, port_hashes[FLUKE_CHILD_SERVICES];
    fluke_ref_t refs[FLUKE_CHILD_NAMES], portset_ref, link;
    struct fluke_obspec made[FLUKE_CHILD_PARTS + FLUKE_CHILD_NAMES + 12];
    uint64_t made_count, outside;
    struct {
        uint64_t operation, arguments[2]; /* for the console: an offset and a count */
        char bytes[FLUKE_CONSOLE_MAX_BYTES];
    } request;
    uint64_t reply[FLUKE_CONSOLE_MAX_BYTES / FLUKE_WORD_SIZE + 3];
};

/*
 * Adds a part of the child's memory, on whole pages. Returns its number; -1 if it is none, meets another part or leaves
 * the addresses of programs, or there are too many. Its access is at most the program's own to the block.
 */
int fluke_child_add(struct fluke_child *child, uint64_t at, uint64_t size, uint64_t prot);

/*
 * Lets the child run this program: its code is seen at the same addresses, and it has variables of its own, which are
 * the part of which the number is returned. -1 if some variable is not zero at the start: its value has been changed.
 */
int fluke_child_add_own(struct fluke_child *child);

/* How many bytes a block must have for all parts to have a place in it. */
size_t fluke_child_room(const struct fluke_child *child);

/* Puts the parts in a block; if the child is open, and nothing is in its memory, it is another than before. */
void fluke_child_place(struct fluke_child *child, void *block);

/* Makes what the child has outside its memory, with what serves it. False without memory: nothing is left then. */
bool fluke_child_open(struct fluke_child *child);

/* Ends all that the child is, wherever it made it in its memory. The block is the program's to free. */
void fluke_child_close(struct fluke_child *child);

/* Ends what the child has outside its memory, space and ports; and makes it again, known by the same hashes. */
void fluke_child_leave(struct fluke_child *child);
bool fluke_child_enter(struct fluke_child *child);

/* Lists objects in the memory from an offset on, which moves on to the size of the memory. Returns how many. */
uint64_t fluke_child_objects(struct fluke_child *child, uint64_t *offset, struct fluke_obspec *list, uint64_t room);

/* What a child is to run, with the numbers of the parts in which it finds what it needs. */
struct fluke_child_program {
    uint64_t entry; /* address of its first instruction */
    int start, stack, heap;
    int argc;
    char **argv, **environment; /* `environment` ends with a null pointer */
};

/* How many bytes the part `start` has to have. */
size_t fluke_child_start_size(const struct fluke_child_program *program);

/* Writes the start block, with what it leads to, into the part `start`. False if there is no room, or no memory. */
bool fluke_child_write_start(struct fluke_child *child, const struct fluke_child_program *program);

/* Makes the first thread, which begins to run. False without memory. */
bool fluke_child_start(struct fluke_child *child, const struct fluke_child_program *program);

/*
 * Waits for a request of the child's and answers it; it is always the same thread that does so. Output is taken once,
 * however often it is asked for; a thread that has made a mistake is stopped; all else is asked of the program's own
 * ports. False if the child has exited: that is not answered, so its thread stays where it is.
 */
bool fluke_child_serve(struct fluke_child *child);

#endif
