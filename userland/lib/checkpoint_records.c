/* Checkpoints: ways through the records and through the memory, and what all steps need for themselves. */

#include "checkpoint.h"

struct fluke_image_name *fluke_image_names(struct fluke_image *image)
{
    return (struct fluke_image_name *)(image + 1);
}

uint64_t *fluke_image_running(struct fluke_image *image)
{
    return (uint64_t *)(fluke_image_names(image) + image->name_count);
}

struct fluke_image_object *fluke_image_objects(struct fluke_image *image)
{
    return (struct fluke_image_object *)(fluke_image_running(image) + image->running_count);
}

void *fluke_image_state(struct fluke_image_object *object)
{
    return object + 1;
}

struct fluke_image_object *fluke_image_next(struct fluke_image_object *object)
{
    return (struct fluke_image_object *)((char *)fluke_image_state(object) + fluke_kinds[object->type].state_size);
}

uint64_t fluke_image_place(const struct fluke_image *image, const void *something)
{
    return (uint64_t)((const char *)something - (const char *)image);
}

struct fluke_image_object *fluke_image_object_at(struct fluke_image *image, uint64_t place)
{
    return (struct fluke_image_object *)((char *)image + place);
}

uint64_t fluke_checkpoint_count(const struct fluke_checkpoint *checkpoint, uint64_t type)
{
    struct fluke_image *image = checkpoint->records;
    struct fluke_image_object *object = fluke_image_objects(image);
    uint64_t count = 0;

    for (uint64_t i = 0; i < image->object_count; i++, object = fluke_image_next(object))
        count += object->type == type;
    return count;
}

void fluke_checkpoint_look(struct fluke_checkpoint *checkpoint)
{
    struct fluke_region_state *memory = &checkpoint->as_it_was;

    fluke_region_get_state(checkpoint->region, memory, NULL, checkpoint->has_refs ? &checkpoint->keeper : NULL);
    checkpoint->start = memory->start_va;
    checkpoint->size = memory->size;
    checkpoint->memory = checkpoint->window != NULL ? checkpoint->window : (char *)memory->start_va;
}

/* -- What is in the memory ---------------------------------------------------------------------------------------- */

bool fluke_next_object(struct fluke_checkpoint *checkpoint, struct fluke_object_search *search,
                       struct fluke_obspec *object)
{
    const uint64_t most = sizeof search->list / sizeof *search->list;

    while (search->taken == search->listed) {
        uint64_t room = most;
        if (search->offset >= checkpoint->size)
            return false;
        fluke_region_search(checkpoint->region, &search->offset, checkpoint->size - search->offset, search->list, &room);
        search->listed = most - room;
        search->taken = 0;
    }
    *object = search->list[search->taken++];
    object->ob = checkpoint->memory + ((uint64_t)object->ob - checkpoint->start);
    return true;
}

bool fluke_next_page(struct fluke_checkpoint *checkpoint, struct fluke_page_search *search, uint64_t *offset)
{
    const uint64_t most = sizeof search->list / sizeof *search->list;

    while (search->taken == search->listed) {
        uint64_t room = most;
        if (search->offset >= checkpoint->size)
            return false;
        fluke_region_changed(checkpoint->region, &search->offset, checkpoint->size - search->offset, search->list, &room, 0,
                             &search->generation);
        search->listed = most - room;
        search->taken = 0;
    }
    *offset = search->list[search->taken++];
    return true;
}

/* -- What a step needs -------------------------------------------------------------------------------------------- */

enum { REFS = FLUKE_IMAGE_LINKS + 3 };

static fluke_ref_t *own_ref(struct fluke_checkpoint *checkpoint, int number)
{
    fluke_ref_t *const others[] = {&checkpoint->found, &checkpoint->keeper, &checkpoint->gate_ref};

    return number < FLUKE_IMAGE_LINKS ? &checkpoint->links[number] : others[number - FLUKE_IMAGE_LINKS];
}

static bool make_refs(struct fluke_checkpoint *checkpoint)
{
    int made = 0;

    while (made < REFS && fluke_ref_create(own_ref(checkpoint, made)) == FLUKE_SUCCESS)
        made++;
    checkpoint->has_refs = made == REFS;
    while (!checkpoint->has_refs && made > 0)
        fluke_ref_destroy(own_ref(checkpoint, --made));
    return checkpoint->has_refs;
}

bool fluke_checkpoint_begin(struct fluke_checkpoint *checkpoint)
{
    if (!checkpoint->has_refs && !make_refs(checkpoint))
        return false;
    fluke_checkpoint_look(checkpoint);
    return true;
}

bool fluke_checkpoint_open(struct fluke_checkpoint *checkpoint)
{
    if (checkpoint->has_gate)
        return true;
    if (fluke_port_create(&checkpoint->gate) != FLUKE_SUCCESS)
        return false;
    fluke_port_reference(&checkpoint->gate, &checkpoint->gate_ref);
    checkpoint->has_gate = true;
    return true;
}

/* Whoever stood at the gate has time of its own from here on. */
void fluke_checkpoint_close(struct fluke_checkpoint *checkpoint)
{
    if (checkpoint->has_gate)
        fluke_port_destroy(&checkpoint->gate);
    checkpoint->has_gate = false;
}

void fluke_checkpoint_end(struct fluke_checkpoint *checkpoint)
{
    fluke_checkpoint_close(checkpoint);
    for (int i = 0; checkpoint->has_refs && i < REFS; i++)
        fluke_ref_destroy(own_ref(checkpoint, i));
    checkpoint->has_refs = false;
}

/* A thread that has a scheduler in the child has no time either: those who could give it some stand at the gate. */
void fluke_checkpoint_start(struct fluke_checkpoint *checkpoint, const uint64_t *offsets, uint64_t count)
{
    struct fluke_thread_state state;

    for (uint64_t i = 0; i < count; i++) {
        fluke_thread_t *thread = (fluke_thread_t *)(checkpoint->memory + offsets[i]);
        fluke_ref_t *scheduler = checkpoint->has_gate ? &checkpoint->links[0] : NULL;

        fluke_thread_get_state(thread, &state, NULL, scheduler, NULL, NULL, NULL);
        if (scheduler != NULL && fluke_ref_type(scheduler) == FLUKE_NULL)
            scheduler = &checkpoint->gate_ref;
        state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
        fluke_thread_set_state(thread, &state, NULL, scheduler, NULL, NULL, NULL);
    }
}
