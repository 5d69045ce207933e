/* Images: the child in a store, whole, written from where it lies, and read back to where it is to lie. */

/*
 * An image is words: a header with the child's parts, the records of its objects, the offsets of its pages, the pages
 * themselves, and a sum over all that. Pages that are zero are left out. The child's output goes on behind what it has
 * written so far, and it asks for its input by its place.
 */

#include "manager.h"

#define MAGIC 0x31656761676d6b66ul
enum { FIRST_ROOM = 32 * 1024, MOST_ROOM = 1 << 30, MOST_FOUND = 16, HELPER_STACK = 1024 };

struct header {
    uint64_t magic, record_size, page_count; /* bytes, pages */
    uint64_t memory_size, written, requests;
    uint64_t space_hash, port_hashes[FLUKE_CHILD_SERVICES];
    uint64_t part_count;
    struct {
        uint64_t at, size, prot;
    } parts[FLUKE_CHILD_PARTS];
};

static struct header header;
static struct fluke_checkpoint checkpoint;
static struct fluke_blob_writer writer;
static struct fluke_blob reader;
static uint64_t place; /* in the image, of what is read next */
static uint64_t sum;   /* over what was written or read */
static uint64_t *pages; /* offsets of the child's pages */

/* -- Words, one behind the other ---------------------------------------------------------------------------------- */

static void add_to_sum(const void *words, size_t size)
{
    for (const uint64_t *word = words; word < (const uint64_t *)words + size / FLUKE_WORD_SIZE; word++)
        sum = (sum ^ *word) * 0x9e3779b97f4a7c15;
}

static bool put(const void *words, size_t size)
{
    add_to_sum(words, size);
    return fluke_blob_write(&writer, words, size);
}

static bool take(void *words, size_t size)
{
    if (!fluke_blob_read(&reader, place, words, size))
        return false;
    add_to_sum(words, size);
    place += size;
    return true;
}

/* -- The child as it is ------------------------------------------------------------------------------------------- */

/* Room for records: `checkpoint` knows where. */
static bool make_room(size_t room)
{
    free(checkpoint.records);
    checkpoint.records = room <= MOST_ROOM ? malloc(room) : NULL;
    checkpoint.room = checkpoint.records == NULL ? 0 : room;
    checkpoint.region = &child.region;
    checkpoint.pages_elsewhere = true;
    checkpoint.names = child.names;
    checkpoint.name_count = child.name_count;
    return checkpoint.records != NULL;
}

/* Stops the child, and writes down its objects, in as much room as it takes. */
static int stop(void)
{
    size_t room = checkpoint.room > FIRST_ROOM ? checkpoint.room : FIRST_ROOM;
    int error = FLUKE_CHECKPOINT_NO_ROOM;

    if (checkpoint.records == NULL && !make_room(room))
        return error;
    while ((error = fluke_checkpoint_capture(&checkpoint)) == FLUKE_CHECKPOINT_NO_ROOM) {
        room *= 2;
        if (!make_room(room))
            break;
    }
    return error;
}

/* Finds the next page that may be other than zero; false if there is none. */
static bool next_page(uint64_t *offset, uint64_t *found)
{
    uint64_t room = 1, generation = 0;

    if (*offset >= child.size)
        return false;
    fluke_region_changed(&child.region, offset, child.size - *offset, found, &room, 0, &generation);
    return room == 0;
}

static bool is_zero(const char *page)
{
    for (const uint64_t *word = (const uint64_t *)page; word < (const uint64_t *)(page + FLUKE_PAGE_SIZE); word++)
        if (*word != 0)
            return false;
    return true;
}

static void list_pages(void)
{
    uint64_t found;

    header.page_count = 0;
    for (uint64_t offset = 0; next_page(&offset, &found);)
        if (!is_zero(child.memory + found))
            pages[header.page_count++] = found;
}

static void clear_pages(void)
{
    uint64_t found;

    for (uint64_t offset = 0; next_page(&offset, &found);)
        if (!is_zero(child.memory + found))
            memset(child.memory + found, 0, FLUKE_PAGE_SIZE);
}

static bool make_list(void)
{
    if (pages == NULL)
        pages = malloc(child.size / FLUKE_PAGE_SIZE * sizeof *pages);
    return pages != NULL;
}

bool has_failed(void)
{
    const struct fluke_checkpoint_counts *counts = &checkpoint.counts;
    uint64_t others = 0;

    if (stop() != FLUKE_CHECKPOINT_DONE)
        return false;
    for (int type = 0; type < FLUKE_REF; type++)
        others += counts->inside[type];
    fluke_checkpoint_resume(&checkpoint);
    return others + counts->ready + counts->outside == 0 && counts->failed > 0;
}

/* -- Writing ------------------------------------------------------------------------------------------------------ */

static void fill_header(void)
{
    const struct fluke_image *records = checkpoint.records;

    header.magic = MAGIC;
    header.record_size = records->size;
    header.memory_size = child.size;
    header.written = child.written;
    header.requests = child.requests;
    header.space_hash = child.space_hash;
    memcpy(header.port_hashes, child.port_hashes, sizeof header.port_hashes);
    header.part_count = (uint64_t)child.part_count;
    for (int i = 0; i < child.part_count; i++) {
        header.parts[i].at = child.parts[i].at;
        header.parts[i].size = child.parts[i].size;
        header.parts[i].prot = child.parts[i].prot;
    }
}

/* A number for a transaction that others do not use: the hash of this program's space, and the time. */
static uint64_t new_transaction(void)
{
    static uint64_t count;

    return (fluke_now_ns() + ++count) * 0x9e3779b97f4a7c15 ^ fluke_ref_hash(fluke_start_block->space_ref);
}

/* The child stands still. */
static bool write_image(const struct task *task)
{
    writer = (struct fluke_blob_writer){.store = task->store, .transaction = new_transaction()};
    sum = 0;
    list_pages();
    fill_header();
    bool written = put(&header, sizeof header) && put(checkpoint.records, header.record_size)
        && put(pages, header.page_count * sizeof *pages);
    for (uint64_t i = 0; written && i < header.page_count; i++)
        written = put(child.memory + pages[i], FLUKE_PAGE_SIZE);
    const uint64_t end = sum;
    return written && put(&end, sizeof end) && fluke_blob_publish(&writer, task->name);
}

/* -- Reading ------------------------------------------------------------------------------------------------------ */

/* Reads the header, and finds out whether an image of that size can have it. */
static bool read_header(void)
{
    place = sum = 0;
    if (reader.size < sizeof header + sizeof sum || !take(&header, sizeof header) || header.magic != MAGIC
        || header.part_count > FLUKE_CHILD_PARTS || header.memory_size > FLUKE_USER_END
        || header.record_size % FLUKE_WORD_SIZE != 0 || header.record_size < sizeof(struct fluke_image)
        || header.record_size > MOST_ROOM || header.page_count > header.memory_size / FLUKE_PAGE_SIZE)
        return false;
    return reader.size == sizeof header + header.record_size
        + header.page_count * (sizeof *pages + FLUKE_PAGE_SIZE) + sizeof sum;
}

static bool read_pages(void)
{
    uint64_t next = 0;

    if (!take(pages, header.page_count * sizeof *pages))
        return false;
    for (uint64_t i = 0; i < header.page_count; i++) {
        if (pages[i] % FLUKE_PAGE_SIZE != 0 || pages[i] < next || pages[i] >= child.size)
            return false;
        next = pages[i] + FLUKE_PAGE_SIZE;
        if (!take(child.memory + pages[i], FLUKE_PAGE_SIZE))
            return false;
    }
    return true;
}

/* Reads what follows the header to where it belongs, and compares the sum. */
static bool read_rest(void)
{
    uint64_t end, right;

    if (!take(checkpoint.records, header.record_size) || !read_pages())
        return false;
    right = sum;
    return take(&end, sizeof end) && end == right;
}

/* -- The whole ---------------------------------------------------------------------------------------------------- */

static void explain(const char *what, int error)
{
    static const char *const reasons[] = {
        [FLUKE_CHECKPOINT_NO_ROOM] = "there is no room for the records",
        [FLUKE_CHECKPOINT_UNNAMED] = "it leads to something that has no name",
        [FLUKE_CHECKPOINT_UNKNOWN] = "it knows a service that is not there",
        [FLUKE_CHECKPOINT_MEMORY] = "there is not enough memory",
        [FLUKE_CHECKPOINT_DAMAGED] = "the image is damaged"};

    printf("manager: %s: %s\n", what, reasons[error]);
}

/* Makes the child of the image that is open, its memory being empty; returns FLUKE_CHECKPOINT_*. */
static int create(uint64_t first_stamp)
{
    clear_pages();
    if (!read_rest())
        return FLUKE_CHECKPOINT_DAMAGED;
    int error = first_stamp == 0 ? FLUKE_CHECKPOINT_DONE : fluke_checkpoint_renumber(&checkpoint, first_stamp);
    if (error == FLUKE_CHECKPOINT_DONE)
        error = fluke_checkpoint_create(&checkpoint);
    if (error == FLUKE_CHECKPOINT_DONE)
        error = fluke_checkpoint_resume(&checkpoint);
    return error;
}

void renew_child(const struct task *task)
{
    int error = make_list() ? stop() : FLUKE_CHECKPOINT_MEMORY;

    if (error != FLUKE_CHECKPOINT_DONE) {
        explain("the child was not written down", error);
        return;
    }
    if (!write_image(task)) {
        puts("manager: the child was not written down: the store does not take it");
        fluke_checkpoint_resume(&checkpoint);
        return;
    }
    fluke_checkpoint_destroy(&checkpoint);
    fluke_child_leave(&child);
    error = fluke_child_enter(&child) ? FLUKE_CHECKPOINT_DAMAGED : FLUKE_CHECKPOINT_MEMORY;
    if (error == FLUKE_CHECKPOINT_DAMAGED && fluke_blob_open(&reader, task->store, task->name) && read_header()
        && header.record_size <= checkpoint.room && header.memory_size == child.size)
        error = create(0);
    if (error != FLUKE_CHECKPOINT_DONE) {
        explain("the child is lost", error);
        exit(1);
    }
}

void end_images(void)
{
    fluke_checkpoint_end(&checkpoint);
    free(checkpoint.records);
    free(pages);
}

static void nothing(void *unused)
{
    (void)unused;
}

/* The newest stamp of this kernel's: that of a thread that has just become ready. */
static uint64_t newest_stamp(void)
{
    struct fluke_thread_state state = {0};
    fluke_thread_t *helper = fluke_thread_start(nothing, NULL, HELPER_STACK);

    if (helper != NULL) {
        fluke_thread_get_state(helper, &state, NULL, NULL, NULL, NULL, NULL);
        fluke_thread_end(helper);
    }
    return state.run_order > state.wait_order ? state.run_order : state.wait_order;
}

/* Gives the child what the header says of it; false if that cannot be. */
static bool take_header(void)
{
    for (uint64_t i = 0; i < header.part_count; i++)
        if (header.parts[i].prot > FLUKE_PROT_ALL
            || fluke_child_add(&child, header.parts[i].at, header.parts[i].size, header.parts[i].prot) != (int)i)
            return false;
    child.written = header.written;
    child.requests = header.requests;
    child.space_hash = header.space_hash;
    memcpy(child.port_hashes, header.port_hashes, sizeof child.port_hashes);
    return child.size == header.memory_size;
}

/* Where this program's thread takes its mistakes while it loads states that somebody has made up. */
static void on_mistake(fluke_thread_t *self, uint64_t code)
{
    (void)self;
    printf("manager: the child cannot be resumed: the image is damaged: exception 0x%lx\n", code);
    exit(1);
}

bool resume_child(const struct task *task)
{
    int error = FLUKE_CHECKPOINT_DAMAGED;

    if (!fluke_blob_open(&reader, task->store, task->program)) {
        printf("manager: %s cannot be resumed: the store has no such image\n", task->program);
        return false;
    }
    fluke_thread_set_handlers(fluke_thread_self(), on_mistake, NULL, NULL, NULL);
    fluke_thread_enable_exceptions(fluke_thread_self());
    if (read_header() && take_header()) {
        size_t room = header.record_size + header.record_size / 8 + FIRST_ROOM; /* for the stamps too */
        error = FLUKE_CHECKPOINT_MEMORY;
        if (take_memory() && make_list() && make_room(room))
            error = create(newest_stamp() + 1);
    }
    fluke_thread_set_handlers(fluke_thread_self(), NULL, NULL, NULL, NULL);
    if (error != FLUKE_CHECKPOINT_DONE)
        explain("the child cannot be resumed", error);
    return error == FLUKE_CHECKPOINT_DONE;
}
