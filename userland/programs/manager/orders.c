/*
 * Orders: writing down processes that somebody else has made, and making them again.
 *
 * Each is seen through a window, a mapping of the region that comes with the order. What the process may refer to
 * outside is known by references that lie in the window too, in its parent's part; their names are numbers. Pages stay where
 * they are: whoever gives the orders owns the memory, and holds what is in it while all stands still.
 */

#include "manager.h"

/* Above what any program has; the region's size is known only when it comes. */
#define WINDOW ((char *)(FLUKE_USER_END / 2))

enum { FIRST_ROOM = 16 << 10, LINK_BYTES = 32, PUT_WORDS = 4, MOST_NAMES = 256 };

static fluke_ref_t *giver;
static fluke_mapping_t window;
static fluke_ref_t region_ref;
static struct fluke_order order;
static struct fluke_checkpoint checkpoint;
static struct fluke_service names[MOST_NAMES];

static void ask(const void *request, size_t request_words, void *reply, size_t reply_words)
{
    fluke_ref_t *references[] = {&region_ref};
    struct fluke_ipc_params params = {
        .send_buffer = (void *)request,
        .send_words = request_words,
        .receive_buffer = reply,
        .receive_words = reply_words,
        .receive_ref_table = references,
        .receive_ref_count = 1,
    };

    if (fluke_ipc_call(giver, &params) != FLUKE_SUCCESS || *(uint64_t *)reply != FLUKE_DEVICE_OK) {
        puts("manager: who gives the orders has gone");
        exit(1);
    }
}

/* A request of which the answer is only that it has been done. */
static void tell(uint64_t operation)
{
    uint64_t request[] = {operation, order.number}, status;

    ask(request, 2, &status, 1);
}

/* Says how the last order went, and waits for the next. */
static void next_order(int error)
{
    struct {
        uint64_t operation, done, error, offset, type;
        char link[LINK_BYTES];
    } request = {.operation = FLUKE_ORDER_NEXT, .done = order.number, .error = (uint64_t)error};

    if (error == FLUKE_CHECKPOINT_UNNAMED) {
        request.offset = (uint64_t)((char *)checkpoint.address - WINDOW);
        request.type = checkpoint.type;
        strncpy(request.link, checkpoint.link, sizeof request.link - 1);
    }
    ask(&request, sizeof request / FLUKE_WORD_SIZE, &order, sizeof order / FLUKE_WORD_SIZE);
}

/* The names are numbers, in decimal digits. */
static void name_references(void)
{
    static char texts[MOST_NAMES][4];

    for (uint64_t i = 0; i < MOST_NAMES; i++) {
        snprintf(texts[i], sizeof texts[i], "%lu", i);
        names[i].name = texts[i];
    }
}

/* Maps the window over the region that has come, in place of the last one; nothing in it is touched. */
static void look_at_process(void)
{
    const struct fluke_mapping_state state = {
        .start_va = (uint64_t)WINDOW, .size = order.window_size, .prot = FLUKE_PROT_READ | FLUKE_PROT_WRITE};

    fluke_mapping_set_state(&window, &state, &region_ref, fluke_start_block->space_ref);
    for (uint64_t i = 0; i < order.ref_count; i++)
        names[i].ref = (fluke_ref_t *)(WINDOW + order.refs) + i;
    checkpoint.region = (fluke_region_t *)(WINDOW + order.region);
    checkpoint.window = WINDOW;
    checkpoint.pages_elsewhere = true;
    checkpoint.names = names;
    checkpoint.name_count = order.ref_count;
}

static bool make_room(size_t room)
{
    if (room <= checkpoint.room)
        return true;
    free(checkpoint.records);
    checkpoint.records = malloc(room);
    checkpoint.room = checkpoint.records == NULL ? 0 : room;
    return checkpoint.records != NULL;
}

static void put_records(void)
{
    static struct {
        uint64_t operation, number, offset, count;
        char bytes[FLUKE_ORDER_PUT_MAX_BYTES];
    } part = {.operation = FLUKE_ORDER_PUT};
    const struct fluke_image *image = checkpoint.records;
    uint64_t end[2];

    part.number = order.number;
    for (part.offset = 0; part.offset < image->size; part.offset += part.count) {
        uint64_t left = image->size - part.offset;

        part.count = left < sizeof part.bytes ? left : sizeof part.bytes;
        memcpy(part.bytes, (const char *)image + part.offset, part.count);
        ask(&part, PUT_WORDS + part.count / FLUKE_WORD_SIZE, end, 2);
    }
}

static bool get_records(void)
{
    static struct {
        uint64_t status, count;
        char bytes[FLUKE_ORDER_PUT_MAX_BYTES];
    } part;

    if (!make_room(order.record_bytes))
        return false;
    for (uint64_t done = 0; done < order.record_bytes; done += part.count) {
        uint64_t request[] = {FLUKE_ORDER_GET, order.number, done};

        ask(request, sizeof request / sizeof *request, &part, sizeof part / FLUKE_WORD_SIZE);
        memcpy((char *)checkpoint.records + done, part.bytes, part.count);
    }
    return true;
}

static bool is_to_be_read_out(void)
{
    return order.kind == FLUKE_ORDER_KIND_CAPTURE || order.kind == FLUKE_ORDER_KIND_FORK;
}

/* While all stands still, the memory is held; then the process goes on, and its records are handed over, or stay. */
static int capture(void)
{
    int error = FLUKE_CHECKPOINT_NO_ROOM;

    if (!make_room(FIRST_ROOM))
        return FLUKE_CHECKPOINT_MEMORY;
    while ((error = fluke_checkpoint_capture(&checkpoint)) == FLUKE_CHECKPOINT_NO_ROOM)
        if (!make_room(2 * checkpoint.room))
            return FLUKE_CHECKPOINT_MEMORY;
    if (error != FLUKE_CHECKPOINT_DONE)
        return error;
    tell(FLUKE_ORDER_HOLD);
    error = fluke_checkpoint_resume(&checkpoint);
    if (order.kind == FLUKE_ORDER_KIND_CAPTURE)
        put_records();
    return error;
}

static int create(void)
{
    if (order.kind == FLUKE_ORDER_KIND_CREATE && !get_records())
        return FLUKE_CHECKPOINT_MEMORY;
    int error = fluke_checkpoint_create(&checkpoint);
    if (error != FLUKE_CHECKPOINT_DONE)
        return error;
    if (fluke_checkpoint_count(&checkpoint, FLUKE_SPACE) > 0)
        tell(FLUKE_ORDER_MADE);
    return fluke_checkpoint_resume(&checkpoint);
}

int serve_orders(fluke_ref_t *orders)
{
    int error = FLUKE_CHECKPOINT_DONE;

    giver = orders;
    name_references();
    if (fluke_mapping_create(&window) != FLUKE_SUCCESS || fluke_ref_create(&region_ref) != FLUKE_SUCCESS)
        return 1;
    for (;;) {
        next_order(error);
        look_at_process();
        error = is_to_be_read_out() ? capture() : create();
    }
}
