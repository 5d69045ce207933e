/* What the parts of the program share: a child process, as its parent has it and as the child sees itself. */

#ifndef CHILD_H
#define CHILD_H

#include <checkpoint.h>

/* The parts of a child's memory, in the order in which they lie in its parent's heap. */
enum { START, STACK, DATA, HEAP, PARTS };

enum { MOST_ARGUMENTS = 10 };

/* What a child finds when it starts: its first objects, start block, and what that leads to. */
struct start_page {
    fluke_thread_t thread;
    fluke_ref_t space_ref, parent_ref, console_ref, timer_ref;
    struct fluke_start_block block;
    char *argv[MOST_ARGUMENTS + 1], *environment[2];
    char arguments[MOST_ARGUMENTS][16], level[16];
};

/* Where a child has its start page. */
#define CHILDS_START ((struct start_page *)0x40000000)

/* The aliases of the ports that the parent serves for a child. Its timer is the parent's own: requests go past it. */
enum { PARENT_PORT, CONSOLE_PORT, PORTS };

/* What a child may refer to outside its memory. */
enum { SPACE_NAME, PARENT_NAME, CONSOLE_NAME, TIMER_NAME, SERVER_NAME, NAMES };

enum { MOST_BLOCKS = 2 };

struct child {
    void *blocks[MOST_BLOCKS]; /* of the parent's heap: the child's memory lies in one of them, on whole pages */
    char *memory;
    size_t size;
    struct {
        size_t size;
        char *here;  /* where the parent sees this part */
        uint64_t at; /* where the child sees it */
        fluke_mapping_t mapping;
    } parts[PARTS];
    fluke_region_t memory_region;

    /* What the child has outside: it is made anew each time too, with the same hashes. */
    fluke_space_t space;
    fluke_region_t code_region;
    fluke_mapping_t code_mapping;
    fluke_port_t ports[PORTS];
    uint64_t space_hash, port_hashes[PORTS];

    /* Who serves the ports stays. */
    fluke_portset_t portset;
    fluke_thread_t *server;

    struct fluke_service names[NAMES];
    fluke_ref_t refs[NAMES];

    fluke_mutex_t mutex; /* guards what follows */
    fluke_cond_t changed;
    bool has_exited;
    int status;
    uint64_t written; /* how far the child's output has come; the server's own */
};

/* What a child is to be: its arguments; its level, one below that of its parent; how many levels there are from it on. */
struct order {
    long level, depth;
    int argument_count;
    char arguments[MOST_ARGUMENTS][16];
};

/* Makes a process that will run this program as a child, and takes so many blocks. False if there is no memory. */
bool make_child(struct child *child, const struct order *order, long blocks);

/* Moves the memory of a child of which nothing is left to another of its blocks, and fills that with rubbish. */
void move_memory(struct child *child, long block);

/* Makes the child's first thread, which begins to run. */
void start_child(struct child *child);

/* What the child has outside its memory, but for the server: ended, and made again. */
void unmake_outside(struct child *child);
void make_outside(struct child *child);

/* A thread: takes the child's requests for ever, and says when it has exited. */
void serve_child(void *child);

/* What a child does, in so many rounds; returns its status. */
int work(long rounds);

#endif
