/* Memory that a program looks after itself: keepers of regions, a pager, and a store where it puts pages. */

/*
 * A pager shows memory of the heap, its frames, through a region: page by page, when somebody who has mapped the
 * region touches one. The region lies over a window, which is addresses of the program's own space where nobody else
 * maps anything; what the pager maps there is what the region has. A page is zero at first. If there are fewer frames
 * than pages, the page that came first goes to a store, and comes back when it is touched again.
 *
 * Whoever serves a fault must not touch the memory that it looks after, nor wait for somebody who may. Objects live in
 * frames and do not go to a store: they may lie in a pager's memory only if it has as many frames as pages. A system
 * call needs all pages of a step at once, a long message as many as a dozen: with fewer frames it may never get on.
 */

#ifndef PAGER_H
#define PAGER_H

#include <ulib.h>

enum { FLUKE_PAGE_WORDS = FLUKE_PAGE_SIZE / FLUKE_WORD_SIZE };

/* A port, and a thread of the program that serves it; `ref` refers to the port. Part of what follows. */
struct fluke_server {
    fluke_portset_t portset;
    fluke_port_t port;
    fluke_ref_t ref;
    fluke_thread_t *thread;
};

/*
 * A keeper: calls `resolve` for each fault on the regions that have its port, one after the other. True means that the
 * access is possible now, and the thread tries again; false, that the thread gets the exception. A fault may come
 * twice, and a page may be wanted again for another access. What is no fault is answered with FLUKE_FAULT_FAILED.
 */
struct fluke_keeper {
    struct fluke_server server;
    bool (*resolve)(void *argument, const struct fluke_fault_message *fault);
    void *argument;
};

/* Fills in a keeper and starts its thread; false if there is no memory. */
bool fluke_keeper_open(struct fluke_keeper *keeper, bool (*resolve)(void *, const struct fluke_fault_message *),
                       void *argument);
void fluke_keeper_close(struct fluke_keeper *keeper);

/*
 * Creates a region over a part of the program's own space, for reading and writing, and a reference to it; false if
 * there is no memory. The keeper may be a null pointer: then nobody resolves faults on the region.
 */
bool fluke_keeper_region(struct fluke_keeper *keeper, fluke_region_t *region, fluke_ref_t *ref, const void *start,
                         uint64_t size);

/*
 * What a store port understands, in the manner of the devices: word 0 is the operation, word 0 of a reply the status.
 * Every request is idempotent by its arguments: it names the page by number, and carries it whole.
 *
 *     WRITE number, 512 words -> status
 *     READ number -> status, 512 words; zero if it was never written
 *     FLUKE_DEVICE_PROBE -> status
 */
enum {
    FLUKE_STORE_WRITE = 1,
    FLUKE_STORE_READ  = 2,
};

struct fluke_store_request {
    uint64_t operation, number;
    uint64_t words[FLUKE_PAGE_WORDS];
};

struct fluke_store_reply {
    uint64_t status; /* FLUKE_DEVICE_* */
    uint64_t words[FLUKE_PAGE_WORDS];
};

/* A store of this program's own: an array of pages in the heap. The structure is too large for a small stack. */
struct fluke_store {
    struct fluke_server server;
    uint64_t page_count;
    uint64_t (*pages)[FLUKE_PAGE_WORDS];
    struct fluke_store_request request;
    struct fluke_store_reply reply;
};

/* Fills in a store for pages 0 to page_count - 1 and starts its thread; false if there is no memory. */
bool fluke_store_open(struct fluke_store *store, uint64_t page_count);
void fluke_store_close(struct fluke_store *store);

/* The reference to a store's port, to be given to a pager; it lasts as long as the store. */
fluke_ref_t *fluke_store_ref(struct fluke_store *store);

/* What a pager has done. */
struct fluke_pager_counts {
    uint64_t faults;  /* that it was asked to resolve */
    uint64_t zeroed;  /* pages that were touched for the first time, or again before anything was written to them */
    uint64_t out, in; /* pages written to the store, and read back */
};

/* A pager; what is in it is its own. The structure is too large for a small stack. */
struct fluke_pager {
    struct fluke_keeper keeper;
    fluke_region_t region, frame_region; /* over the window, and over the frames */
    fluke_ref_t region_ref, frame_region_ref;
    char *window, *first_frame;
    uint64_t page_count, frame_count, next; /* `next` frame to be filled: round and round, so first in, first out */
    struct fluke_pager_page *pages;
    struct fluke_pager_frame *frames;
    void *frame_block;
    fluke_ref_t *store;
    struct fluke_store_request request;
    struct fluke_store_reply reply;
    struct fluke_pager_counts counts;
};

/*
 * Fills in a pager with at least one page, at least one frame, and the window that begins at an address, and starts
 * its thread; false if there is no memory. With a null pointer for the store, pages stay in their frames, and faults on
 * those for which there is none left fail. The pages in the store have the numbers from 0 to page_count - 1, so two
 * pagers need two stores.
 */
bool fluke_pager_open(struct fluke_pager *pager, uint64_t page_count, uint64_t frame_count, void *window,
                      fluke_ref_t *store);

/* Ends the pager with its region. Mappings of the region show nothing any more: they are the caller's. */
void fluke_pager_close(struct fluke_pager *pager);

/* Makes a reference refer to the region, which whoever gets it can map. */
void fluke_pager_reference(struct fluke_pager *pager, fluke_ref_t *ref);

/* Creates a mapping that shows the whole region at an address of the program's own space; false without memory. */
bool fluke_pager_map(struct fluke_pager *pager, fluke_mapping_t *mapping, void *address);

struct fluke_pager_counts fluke_pager_counts(const struct fluke_pager *pager);

#endif
