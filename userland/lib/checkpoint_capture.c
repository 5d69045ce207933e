/* Checkpoints: stopping a child, and writing down what it is. */

#include "checkpoint.h"

static bool begin_records(struct fluke_checkpoint *checkpoint)
{
    struct fluke_image *image = checkpoint->records;

    if (checkpoint->room < sizeof *image)
        return false;
    *image = (struct fluke_image){.magic = FLUKE_IMAGE_MAGIC, .size = sizeof *image, .memory_size = checkpoint->size};
    struct fluke_image_name *names = fluke_checkpoint_append(checkpoint, checkpoint->name_count * sizeof *names);
    if (names == NULL)
        return false;
    image->name_count = checkpoint->name_count;
    for (uint64_t i = 0; i < image->name_count; i++) {
        strncpy(names[i].text, checkpoint->names[i].name, sizeof names[i].text);
        names[i].text[sizeof names[i].text - 1] = '\0';
    }
    return true;
}

/* -- Standing still ------------------------------------------------------------------------------------------------- */

/*
 * Takes the memory away from all who see it through the region, in one step: whoever touches it, or names an object in
 * it, waits at the gate.
 */
static void freeze(struct fluke_checkpoint *checkpoint)
{
    struct fluke_region_state closed = checkpoint->as_it_was;

    closed.prot = FLUKE_PROT_NONE;
    fluke_region_set_state(checkpoint->region, &closed, NULL, &checkpoint->gate_ref);
}

/* Gives it back: who has waited tries again, as soon as it runs. */
static void thaw(struct fluke_checkpoint *checkpoint)
{
    fluke_region_set_state(checkpoint->region, &checkpoint->as_it_was, NULL, &checkpoint->keeper);
}

/* -- Reading out -------------------------------------------------------------------------------------------------- */

enum { NOT_STILL = -1 }; /* beside FLUKE_CHECKPOINT_*: all has to be stopped, and looked at, once more */

/* The links of a thread, in the order of its state. */
enum { SPACE, SCHEDULER, WAITING_FOR, CLIENT, SERVER };

/*
 * At a port with a name a thread waits on: who serves it is asked again, and the call is not made a second time. A question
 * to a keeper outside follows from the memory as it will be.
 */
static bool may_wait_on(struct fluke_checkpoint *checkpoint, const struct fluke_image_object *object)
{
    const struct fluke_thread_state *state = fluke_image_state((struct fluke_image_object *)object);

    return object->links[WAITING_FOR].value < checkpoint->name_count
        && fluke_ref_type(&checkpoint->links[WAITING_FOR]) == FLUKE_PORT && state->exception == 0
        && state->fault_access == 0;
}

/* What else it waits for outside, or at the gate, has gone for it: it makes its call, or what it failed at, again. */
static void forget_wait(struct fluke_image_object *object)
{
    struct fluke_thread_state *state = fluke_image_state(object);
    bool in_call = state->fault_access & FLUKE_FAULT_IN_CALL;

    object->links[WAITING_FOR].kind = FLUKE_LINK_NONE;
    if (state->exception != 0 || (state->fault_access != 0 && !in_call))
        state->wait_order = 0; /* it was that of the question */
    state->exception = state->exception_subcode = state->fault_access = state->fault_address = 0;
}

/* Counts what a thread is in. The type of what it waits for is that of the reference. */
static void note_thread(struct fluke_checkpoint *checkpoint, struct fluke_image_object *object)
{
    struct fluke_thread_state *state = fluke_image_state(object);
    struct fluke_checkpoint_counts *counts = &checkpoint->counts;

    state->flags |= FLUKE_THREAD_STOPPED;
    if (!fluke_image_is_running(checkpoint->records, object->offset))
        counts->stopped++;
    else if (object->links[WAITING_FOR].kind == FLUKE_LINK_NONE && state->exception != 0)
        counts->failed++;
    else if (object->links[WAITING_FOR].kind == FLUKE_LINK_NONE)
        counts->ready++;
    else if (object->links[WAITING_FOR].kind == FLUKE_LINK_INSIDE)
        counts->inside[fluke_ref_type(&checkpoint->links[WAITING_FOR])]++;
    else
        counts->outside++;
    if ((object->links[WAITING_FOR].kind == FLUKE_LINK_OUTSIDE && !may_wait_on(checkpoint, object))
        || (object->links[WAITING_FOR].kind == FLUKE_LINK_NONE && state->fault_access != 0))
        forget_wait(object);
}

/*
 * Whether an object can be parted from what its link leads to, which is outside, or unknown. A wait begins anew. Who asks
 * idempotently asks anew too, so its server forgets it, as if it had gone. A connection cannot be cut without a trace,
 * and what a thread's space or scheduler is, or a reference's target, has to be known by name.
 */
static bool may_part(const struct fluke_image_object *object, unsigned number, bool is_named)
{
    const struct fluke_thread_state *state = fluke_image_state((struct fluke_image_object *)object);

    if (object->type != FLUKE_THREAD)
        return is_named;
    switch (number) {
    case WAITING_FOR:
        return true;
    case CLIENT:
        return state->flags & FLUKE_THREAD_IDEMPOTENT;
    case SERVER:
        return false;
    default:
        return is_named;
    }
}

/* One link of an object of which the state has been read; false if it leads to what there is no name for. */
static bool read_link(struct fluke_checkpoint *checkpoint, struct fluke_image_object *object, unsigned number)
{
    struct fluke_image_link *link = &object->links[number];
    bool is_known = fluke_checkpoint_resolve(checkpoint, object, number);

    if (is_known && link->kind != FLUKE_LINK_OUTSIDE)
        return true;
    if (!may_part(object, number, is_known))
        return false;
    if (object->type == FLUKE_THREAD && number == CLIENT) {
        struct fluke_thread_state *state = fluke_image_state(object);
        *link = (struct fluke_image_link){.kind = FLUKE_LINK_NONE};
        state->flags &= ~(uint64_t)FLUKE_THREAD_IDEMPOTENT;
    }
    if (object->type == FLUKE_THREAD && number == WAITING_FOR && !is_known)
        *link = (struct fluke_image_link){.kind = FLUKE_LINK_OUTSIDE, .value = checkpoint->name_count};
    return true;
}

/* Whether a thread is found running after all: who was about to start it when it was stopped has done so. */
static bool has_started(const struct fluke_image_object *object)
{
    const struct fluke_thread_state *state = fluke_image_state((struct fluke_image_object *)object);

    return object->type == FLUKE_THREAD && !(state->flags & FLUKE_THREAD_STOPPED);
}

/* Each object's state and links, of one moment: what a server of the program's does meanwhile is in both or in none. */
static int read_objects(struct fluke_checkpoint *checkpoint)
{
    struct fluke_image *image = checkpoint->records;
    struct fluke_image_object *object = fluke_image_objects(image);
    fluke_ref_t *links[FLUKE_IMAGE_LINKS];

    for (int i = 0; i < FLUKE_IMAGE_LINKS; i++)
        links[i] = &checkpoint->links[i];
    for (uint64_t i = 0; i < image->object_count; i++, object = fluke_image_next(object)) {
        const struct fluke_kind *kind = &fluke_kinds[object->type];

        kind->get(checkpoint->memory + object->offset, fluke_image_state(object), links);
        if (has_started(object)) { /* it has been stopped by that */
            fluke_checkpoint_unlist(checkpoint, object->offset);
            return NOT_STILL;
        }
        for (unsigned n = 0; n < kind->link_count; n++)
            if (!read_link(checkpoint, object, n)) {
                checkpoint->address = checkpoint->memory + object->offset;
                checkpoint->type = object->type;
                checkpoint->link = kind->links[n];
                return FLUKE_CHECKPOINT_UNNAMED;
            }
        if (object->type == FLUKE_THREAD)
            note_thread(checkpoint, object);
    }
    return FLUKE_CHECKPOINT_DONE;
}

/* -- The order in which threads start ----------------------------------------------------------------------------- */

static bool waited_before(const void *image, uint64_t left, uint64_t right)
{
    const uint64_t places[] = {left, right};
    uint64_t orders[2];

    for (int i = 0; i < 2; i++) {
        struct fluke_image_object *thread = fluke_image_object_at((struct fluke_image *)image, places[i]);
        orders[i] = ((const struct fluke_thread_state *)fluke_image_state(thread))->wait_order;
    }
    return orders[0] != orders[1] ? orders[0] < orders[1] : left < right;
}

/* Those that ask again do so in the order in which they waited. Threads are found in the order of their offsets. */
static void sort_running(struct fluke_image *image)
{
    uint64_t *running = fluke_image_running(image);
    struct fluke_image_object *object = fluke_image_objects(image);

    for (uint64_t i = 0; i < image->running_count; i++) {
        while (object->offset != running[i])
            object = fluke_image_next(object);
        running[i] = fluke_image_place(image, object);
    }
    fluke_sort(running, image->running_count, waited_before, image);
    for (uint64_t i = 0; i < image->running_count; i++)
        running[i] = fluke_image_object_at(image, running[i])->offset;
}

/* -- The whole ---------------------------------------------------------------------------------------------------- */

static bool is_zero(const uint64_t *words)
{
    for (size_t i = 0; i < FLUKE_PAGE_SIZE / FLUKE_WORD_SIZE; i++)
        if (words[i] != 0)
            return false;
    return true;
}

static bool copy_pages(struct fluke_checkpoint *checkpoint)
{
    struct fluke_image *image = checkpoint->records;
    struct fluke_page_search search = {0};
    uint64_t offset;

    while (fluke_next_page(checkpoint, &search, &offset)) {
        const char *here = checkpoint->memory + offset;

        if (is_zero((const uint64_t *)here))
            continue;
        struct fluke_image_page *page = fluke_checkpoint_append(checkpoint, sizeof *page);
        if (page == NULL)
            return false;
        page->offset = offset;
        memcpy(page->words, here, FLUKE_PAGE_SIZE);
        image->page_count++;
    }
    return true;
}

static int capture(struct fluke_checkpoint *checkpoint)
{
    int error = NOT_STILL;

    while (error == NOT_STILL) {
        checkpoint->counts = (struct fluke_checkpoint_counts){0};
        if (!fluke_checkpoint_list(checkpoint) || !fluke_checkpoint_index(checkpoint))
            return FLUKE_CHECKPOINT_NO_ROOM;
        error = read_objects(checkpoint);
    }
    if (error != FLUKE_CHECKPOINT_DONE)
        return error;
    sort_running(checkpoint->records);
    return checkpoint->pages_elsewhere || copy_pages(checkpoint) ? FLUKE_CHECKPOINT_DONE : FLUKE_CHECKPOINT_NO_ROOM;
}

int fluke_checkpoint_capture(struct fluke_checkpoint *checkpoint)
{
    int error = FLUKE_CHECKPOINT_NO_ROOM;

    if (!fluke_checkpoint_begin(checkpoint) || !fluke_checkpoint_open(checkpoint))
        return FLUKE_CHECKPOINT_MEMORY;
    if (begin_records(checkpoint)) {
        freeze(checkpoint);
        error = capture(checkpoint);
        thaw(checkpoint); /* all stand still by now */
        if (error != FLUKE_CHECKPOINT_DONE) {
            struct fluke_image *image = checkpoint->records;
            fluke_checkpoint_start(checkpoint, fluke_image_running(image), image->running_count);
        }
    }
    if (error != FLUKE_CHECKPOINT_DONE) /* else the gate is kept for those who are started */
        fluke_checkpoint_close(checkpoint);
    return error;
}

int fluke_checkpoint_resume(struct fluke_checkpoint *checkpoint)
{
    struct fluke_image *image = checkpoint->records;

    if (image->running_count > 1 && !fluke_checkpoint_open(checkpoint)) /* one alone is the last, too */
        return FLUKE_CHECKPOINT_MEMORY;
    fluke_checkpoint_start(checkpoint, fluke_image_running(image), image->running_count);
    fluke_checkpoint_close(checkpoint);
    return FLUKE_CHECKPOINT_DONE;
}
