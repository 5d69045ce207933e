/* Checkpoints: which objects a child has, and which of its threads run: those are stopped. */

#include "checkpoint.h"

void *fluke_checkpoint_append(struct fluke_checkpoint *checkpoint, size_t size)
{
    struct fluke_image *image = checkpoint->records;

    if (size > checkpoint->room - image->size)
        return NULL;
    void *place = (char *)image + image->size;
    image->size += size;
    return place;
}

static bool is_less(const void *key, uint64_t word)
{
    return word < *(const uint64_t *)key;
}

/* Where among the running threads, which are in the order of their offsets, one has its place. */
static uint64_t running_place(struct fluke_image *image, uint64_t offset)
{
    return fluke_find_place(fluke_image_running(image), image->running_count, is_less, &offset);
}

bool fluke_image_is_running(struct fluke_image *image, uint64_t offset)
{
    uint64_t place = running_place(image, offset);

    return place < image->running_count && fluke_image_running(image)[place] == offset;
}

static void add_running(struct fluke_checkpoint *checkpoint, uint64_t offset)
{
    struct fluke_image *image = checkpoint->records;
    uint64_t *place = fluke_image_running(image) + running_place(image, offset);
    uint64_t *end = fluke_checkpoint_append(checkpoint, sizeof offset); /* it finds the room */

    memmove(place + 1, place, (size_t)((char *)end - (char *)place));
    *place = offset;
    image->running_count++;
}

static void drop_objects(struct fluke_image *image)
{
    image->size = fluke_image_place(image, fluke_image_objects(image));
    image->object_count = 0;
}

/*
 * Lists an object by its hash, which has to be known of all before what links lead to can be found. A thread is stopped by
 * being read; one that was not before is marked. There is room for the words of those that are marked, too.
 */
static bool list_object(struct fluke_checkpoint *checkpoint, const struct fluke_obspec *found, uint64_t *marked)
{
    const struct fluke_kind *kind = &fluke_kinds[found->type];
    struct fluke_image *image = checkpoint->records;
    struct fluke_image_object *object = NULL;

    if (sizeof *object + kind->state_size + (*marked + 1) * sizeof(uint64_t) <= checkpoint->room - image->size)
        object = fluke_checkpoint_append(checkpoint, sizeof *object + kind->state_size);
    if (object == NULL)
        return false;
    *object = (struct fluke_image_object){.offset = (uint64_t)((char *)found->ob - checkpoint->memory),
                                          .type = found->type};
    image->object_count++;
    if (found->type == FLUKE_THREAD) {
        struct fluke_thread_state *state = fluke_image_state(object);
        fluke_thread_get_state(found->ob, state, NULL, NULL, NULL, NULL, NULL);
        if (!(state->flags & FLUKE_THREAD_STOPPED) && !fluke_image_is_running(image, object->offset))
            object->links[0].value = ++*marked;
    } else if (kind->reference != NULL) { /* else nothing looks for it */
        kind->reference(found->ob, &checkpoint->found);
        *(uint64_t *)fluke_image_state(object) = fluke_ref_hash(&checkpoint->found);
    }
    return true;
}

static bool comes_first(const void *base, uint64_t left, uint64_t right)
{
    (void)base;
    return left < right;
}

/* Makes room before the objects for so many that are marked, and adds them to those that were running. */
static void gather_marked(struct fluke_image *image, uint64_t marked)
{
    uint64_t *running = fluke_image_running(image), count = image->running_count;
    struct fluke_image_object *object = fluke_image_objects(image);

    memmove((uint64_t *)object + marked, object, image->size - fluke_image_place(image, object));
    image->size += marked * sizeof *running;
    image->running_count += marked;
    object = fluke_image_objects(image);
    for (uint64_t i = 0; i < image->object_count; i++, object = fluke_image_next(object))
        if (object->type == FLUKE_THREAD && object->links[0].value != 0)
            running[count++] = object->offset;
    if (marked < count) /* else they come in order */
        fluke_sort(running, count, comes_first, NULL);
}

bool fluke_checkpoint_list(struct fluke_checkpoint *checkpoint)
{
    struct fluke_object_search search = {0};
    struct fluke_obspec found;
    uint64_t marked = 0;
    bool has_room = true;

    drop_objects(checkpoint->records);
    while (has_room && fluke_next_object(checkpoint, &search, &found))
        has_room = list_object(checkpoint, &found, &marked);
    gather_marked(checkpoint->records, marked);
    return has_room;
}

void fluke_checkpoint_unlist(struct fluke_checkpoint *checkpoint, uint64_t offset)
{
    drop_objects(checkpoint->records);
    add_running(checkpoint, offset);
}
