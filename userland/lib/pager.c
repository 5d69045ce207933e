/*
 * Keepers, a store, and a pager. Each is a thread that answers one request at a time, so none of them locks anything.
 * The users of a pager's memory run on meanwhile: so a page is hidden before it is written out, and shown when its
 * frame is filled.
 */

#include <pager.h>

enum { STACK_SIZE = 4096, READ_WRITE = FLUKE_PROT_READ | FLUKE_PROT_WRITE };

/* -- Servers: a port set with one port, a reference to that, and a thread ----------------------------------------- */

static bool open_server(struct fluke_server *server, void (*serve)(void *), void *argument)
{
    if (fluke_portset_create(&server->portset) != FLUKE_SUCCESS)
        return false;
    if (!fluke_open_port(&server->port, &server->portset, 0, &server->ref))
        goto no_port;
    server->thread = fluke_thread_start(serve, argument, STACK_SIZE);
    if (server->thread != NULL)
        return true;

    fluke_ref_destroy(&server->ref);
    fluke_port_destroy(&server->port);
no_port:
    fluke_portset_destroy(&server->portset);
    return false;
}

static void close_server(struct fluke_server *server)
{
    fluke_thread_end(server->thread);
    fluke_ref_destroy(&server->ref);
    fluke_port_destroy(&server->port);
    fluke_portset_destroy(&server->portset);
}

/* -- Keepers ------------------------------------------------------------------------------------------------------ */

static bool is_fault(const struct fluke_ipc_params *received)
{
    return received->message_kind == FLUKE_MESSAGE_FAULT
        && received->words_received == sizeof(struct fluke_fault_message) / FLUKE_WORD_SIZE;
}

/* A thread. The reply to what wanted none goes to nobody. */
static void keep(void *argument)
{
    struct fluke_keeper *keeper = argument;
    struct fluke_fault_message fault;
    uint64_t answer;
    const struct fluke_ipc_params empty = {.receive_buffer = &fault,
                                           .receive_words = sizeof fault / FLUKE_WORD_SIZE,
                                           .send_buffer = &answer,
                                           .send_words = 1};
    struct fluke_ipc_params params = empty;

    fluke_ipc_setup_wait_receive(&keeper->server.portset, &params, NULL);
    for (;;) {
        bool resolved = is_fault(&params) && keeper->resolve(keeper->argument, &fault);
        answer = resolved ? FLUKE_FAULT_RESOLVED : FLUKE_FAULT_FAILED;
        params = empty;
        fluke_ipc_reply_wait_receive(&params, NULL);
    }
}

bool fluke_keeper_open(struct fluke_keeper *keeper, bool (*resolve)(void *, const struct fluke_fault_message *),
                       void *argument)
{
    keeper->resolve = resolve;
    keeper->argument = argument;
    return open_server(&keeper->server, keep, keeper);
}

void fluke_keeper_close(struct fluke_keeper *keeper)
{
    close_server(&keeper->server);
}

bool fluke_keeper_region(struct fluke_keeper *keeper, fluke_region_t *region, fluke_ref_t *ref, const void *start,
                         uint64_t size)
{
    struct fluke_region_state state = {.start_va = (uintptr_t)start, .size = size, .prot = READ_WRITE};

    if (fluke_region_create(region) != FLUKE_SUCCESS)
        return false;
    if (fluke_ref_create(ref) != FLUKE_SUCCESS) {
        fluke_region_destroy(region);
        return false;
    }
    fluke_region_set_state(region, &state, fluke_start_block->space_ref, keeper == NULL ? NULL : &keeper->server.ref);
    fluke_region_reference(region, ref);
    return true;
}

/* -- Stores ------------------------------------------------------------------------------------------------------- */

enum {
    REQUEST_WORDS = sizeof(struct fluke_store_request) / FLUKE_WORD_SIZE,
    REPLY_WORDS   = sizeof(struct fluke_store_reply) / FLUKE_WORD_SIZE,
    NUMBER_WORDS  = REQUEST_WORDS - FLUKE_PAGE_WORDS, /* of a request without a page */
    STATUS_WORDS  = REPLY_WORDS - FLUKE_PAGE_WORDS,   /* of a reply without one */
};

/* Does what the request says, which came in so many words; returns the words of the reply. */
static size_t answer_request(struct fluke_store *store, size_t words)
{
    const struct fluke_store_request *request = &store->request;
    uint64_t operation = words > 0 ? request->operation : FLUKE_DEVICE_PROBE;

    store->reply.status = FLUKE_DEVICE_OK;
    if (operation == FLUKE_DEVICE_PROBE)
        return STATUS_WORDS;
    if (!(operation == FLUKE_STORE_WRITE && words == REQUEST_WORDS)
        && !(operation == FLUKE_STORE_READ && words == NUMBER_WORDS)) {
        store->reply.status = FLUKE_DEVICE_BAD_REQUEST;
        return STATUS_WORDS;
    }
    if (request->number >= store->page_count) {
        store->reply.status = FLUKE_DEVICE_BAD_OFFSET;
        return STATUS_WORDS;
    }
    uint64_t *page = store->pages[request->number];
    if (operation == FLUKE_STORE_WRITE) {
        memcpy(page, request->words, FLUKE_PAGE_SIZE);
        return STATUS_WORDS;
    }
    memcpy(store->reply.words, page, FLUKE_PAGE_SIZE);
    return REPLY_WORDS;
}

/* A thread. */
static void serve_store(void *argument)
{
    struct fluke_store *store = argument;
    const struct fluke_ipc_params empty = {
        .receive_buffer = &store->request, .receive_words = REQUEST_WORDS, .send_buffer = &store->reply};
    struct fluke_ipc_params params = empty;

    fluke_ipc_setup_wait_receive(&store->server.portset, &params, NULL);
    for (;;) {
        size_t reply_words = answer_request(store, params.words_received);
        params = empty;
        params.send_words = reply_words;
        fluke_ipc_reply_wait_receive(&params, NULL);
    }
}

bool fluke_store_open(struct fluke_store *store, uint64_t page_count)
{
    store->page_count = page_count;
    store->pages = calloc(page_count, FLUKE_PAGE_SIZE);
    if (store->pages != NULL && open_server(&store->server, serve_store, store))
        return true;
    free(store->pages);
    return false;
}

void fluke_store_close(struct fluke_store *store)
{
    close_server(&store->server);
    free(store->pages);
}

fluke_ref_t *fluke_store_ref(struct fluke_store *store)
{
    return &store->server.ref;
}

/* -- The pager ---------------------------------------------------------------------------------------------------- */

struct fluke_pager_page {
    struct fluke_pager_frame *frame; /* that holds it; a null pointer if none does */
    bool stored;                     /* it has been written to the store */
};

/* A frame whose page was not written since it came is shown read-only: so the first write to it is noticed. */
struct fluke_pager_frame {
    fluke_mapping_t mapping;       /* shows it in the window */
    struct fluke_pager_page *page; /* that it holds; a null pointer if none */
    bool written;                  /* the store does not have what it holds */
};

static char *memory_of(const struct fluke_pager *pager, const struct fluke_pager_frame *frame)
{
    return pager->first_frame + (frame - pager->frames) * FLUKE_PAGE_SIZE;
}

/* A request to the store; true if the reply has so many words and says that all is well. */
static bool ask_store(struct fluke_pager *pager, uint64_t operation, uint64_t number, size_t words, size_t reply_words)
{
    struct fluke_ipc_params params = {.send_buffer = &pager->request,
                                      .send_words = words,
                                      .receive_buffer = &pager->reply,
                                      .receive_words = reply_words};

    pager->request.operation = operation;
    pager->request.number = number;
    return fluke_ipc_call(pager->store, &params) == FLUKE_SUCCESS && params.words_received == reply_words
        && pager->reply.status == FLUKE_DEVICE_OK;
}

/* Empties a frame; false if its page must stay, and then the next fault shows it again. */
static bool put_away(struct fluke_pager *pager, struct fluke_pager_frame *frame)
{
    struct fluke_pager_page *page = frame->page;

    if (pager->store == NULL)
        return false;
    fluke_mapping_protect(&frame->mapping, FLUKE_PROT_NONE);
    if (frame->written) {
        memcpy(pager->request.words, memory_of(pager, frame), FLUKE_PAGE_SIZE);
        if (!ask_store(pager, FLUKE_STORE_WRITE, (uint64_t)(page - pager->pages), REQUEST_WORDS, STATUS_WORDS))
            return false;
        page->stored = true;
        pager->counts.out++;
    }
    page->frame = NULL;
    frame->page = NULL;
    return true;
}

/* Puts what belongs to the page into the memory of a frame. */
static bool fill(struct fluke_pager *pager, const struct fluke_pager_page *page, void *memory)
{
    if (!page->stored) {
        memset(memory, 0, FLUKE_PAGE_SIZE);
        pager->counts.zeroed++;
        return true;
    }
    if (!ask_store(pager, FLUKE_STORE_READ, (uint64_t)(page - pager->pages), NUMBER_WORDS, REPLY_WORDS))
        return false;
    memcpy(memory, pager->reply.words, FLUKE_PAGE_SIZE);
    pager->counts.in++;
    return true;
}

/* Finds a frame for a page, and fills it. Where this fails, the next page tries the same frame. */
static bool bring_in(struct fluke_pager *pager, struct fluke_pager_page *page)
{
    struct fluke_pager_frame *frame = &pager->frames[pager->next];

    if (frame->page != NULL && !put_away(pager, frame))
        return false;
    if (!fill(pager, page, memory_of(pager, frame)))
        return false;
    frame->page = page;
    frame->written = false;
    page->frame = frame;
    pager->next = (pager->next + 1) % pager->frame_count;
    return true;
}

/* Shows the frame's page in the window, where the region takes it from. */
static void show(struct fluke_pager *pager, struct fluke_pager_frame *frame)
{
    struct fluke_mapping_state state = {
        .region_off = (uint64_t)(memory_of(pager, frame) - pager->first_frame),
        .start_va = (uint64_t)(pager->window + (frame->page - pager->pages) * FLUKE_PAGE_SIZE),
        .size = FLUKE_PAGE_SIZE,
        .prot = frame->written ? READ_WRITE : FLUKE_PROT_READ,
    };

    fluke_mapping_set_state(&frame->mapping, &state, &pager->frame_region_ref, fluke_start_block->space_ref);
}

/* What the keeper does. A page that stays for ever is shown for writing at once: nobody needs to know. */
static bool resolve(void *argument, const struct fluke_fault_message *fault)
{
    struct fluke_pager *pager = argument;
    uint64_t number = fault->offset / FLUKE_PAGE_SIZE;

    if (number >= pager->page_count || fault->access == FLUKE_PROT_EXECUTE)
        return false;
    pager->counts.faults++;
    struct fluke_pager_page *page = &pager->pages[number];
    if (page->frame == NULL && !bring_in(pager, page))
        return false;
    page->frame->written |= fault->access == FLUKE_PROT_WRITE || pager->store == NULL;
    show(pager, page->frame);
    return true;
}

static void close_region(fluke_region_t *region, fluke_ref_t *ref)
{
    fluke_ref_destroy(ref);
    fluke_region_destroy(region);
}

static bool create_mappings(struct fluke_pager *pager, uint64_t count)
{
    for (; pager->frame_count < count; pager->frame_count++)
        if (fluke_mapping_create(&pager->frames[pager->frame_count].mapping) != FLUKE_SUCCESS)
            return false;
    return true;
}

static void destroy_mappings(struct fluke_pager *pager)
{
    while (pager->frame_count > 0)
        fluke_mapping_destroy(&pager->frames[--pager->frame_count].mapping);
}

static bool allocate(struct fluke_pager *pager, uint64_t frame_count)
{
    pager->pages = calloc(pager->page_count, sizeof *pager->pages);
    pager->frames = calloc(frame_count, sizeof *pager->frames);
    pager->frame_block = malloc((frame_count + 1) * FLUKE_PAGE_SIZE); /* one more, for they begin at a page */
    pager->first_frame = (char *)(((uintptr_t)pager->frame_block + FLUKE_PAGE_SIZE - 1) & -(uintptr_t)FLUKE_PAGE_SIZE);
    return pager->pages != NULL && pager->frames != NULL && pager->frame_block != NULL;
}

static void release(struct fluke_pager *pager)
{
    free(pager->pages);
    free(pager->frames);
    free(pager->frame_block);
}

bool fluke_pager_open(struct fluke_pager *pager, uint64_t page_count, uint64_t frame_count, void *window,
                      fluke_ref_t *store)
{
    const uint64_t most = FLUKE_USER_END / FLUKE_PAGE_SIZE;

    if (page_count == 0 || page_count > most || frame_count == 0 || frame_count > most)
        return false;
    memset(pager, 0, sizeof *pager);
    pager->page_count = page_count;
    pager->window = window;
    pager->store = store;
    if (!allocate(pager, frame_count))
        goto no_memory;
    if (!fluke_keeper_region(NULL, &pager->frame_region, &pager->frame_region_ref, pager->first_frame,
                             frame_count * FLUKE_PAGE_SIZE))
        goto no_memory;
    if (!create_mappings(pager, frame_count) || !fluke_keeper_open(&pager->keeper, resolve, pager))
        goto no_keeper;
    if (fluke_keeper_region(&pager->keeper, &pager->region, &pager->region_ref, pager->window,
                            page_count * FLUKE_PAGE_SIZE))
        return true;

    fluke_keeper_close(&pager->keeper);
no_keeper:
    destroy_mappings(pager);
    close_region(&pager->frame_region, &pager->frame_region_ref);
no_memory:
    release(pager);
    return false;
}

void fluke_pager_close(struct fluke_pager *pager)
{
    close_region(&pager->region, &pager->region_ref);
    fluke_keeper_close(&pager->keeper);
    destroy_mappings(pager);
    close_region(&pager->frame_region, &pager->frame_region_ref);
    release(pager);
}

void fluke_pager_reference(struct fluke_pager *pager, fluke_ref_t *ref)
{
    fluke_ref_copy(&pager->region_ref, ref);
}

bool fluke_pager_map(struct fluke_pager *pager, fluke_mapping_t *mapping, void *address)
{
    struct fluke_mapping_state state = {
        .start_va = (uintptr_t)address, .size = pager->page_count * FLUKE_PAGE_SIZE, .prot = READ_WRITE};

    if (fluke_mapping_create(mapping) != FLUKE_SUCCESS)
        return false;
    fluke_mapping_set_state(mapping, &state, &pager->region_ref, fluke_start_block->space_ref);
    return true;
}

struct fluke_pager_counts fluke_pager_counts(const struct fluke_pager *pager)
{
    return pager->counts;
}
