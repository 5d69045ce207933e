/* Checkpoints: the stamps that give threads their order among those who wait, or who are ready to run. */

#include "checkpoint.h"

enum { STAMPS = 2 }; /* of a thread */

static bool is_before(const void *base, uint64_t left, uint64_t right)
{
    (void)base;
    return left < right;
}

static bool is_below(const void *key, uint64_t word)
{
    return word < *(const uint64_t *)key;
}

static void stamps_of(struct fluke_image_object *thread, uint64_t *stamps[STAMPS])
{
    struct fluke_thread_state *state = fluke_image_state(thread);

    stamps[0] = &state->wait_order;
    stamps[1] = &state->run_order;
}

/* 0 is no stamp. Equal stamps stay equal. */
int fluke_checkpoint_renumber(struct fluke_checkpoint *checkpoint, uint64_t first)
{
    struct fluke_image *image = checkpoint->records;
    struct fluke_image_object *object;
    uint64_t *stamps[STAMPS], count = 0, distinct = 0;

    if (!fluke_image_is_sound(image, checkpoint->room))
        return FLUKE_CHECKPOINT_DAMAGED;
    uint64_t *list = (uint64_t *)((char *)image + image->size);
    uint64_t room = (checkpoint->room - image->size) / sizeof *list;
    object = fluke_image_objects(image);
    for (uint64_t i = 0; i < image->object_count; i++, object = fluke_image_next(object)) {
        if (object->type != FLUKE_THREAD)
            continue;
        stamps_of(object, stamps);
        for (int n = 0; n < STAMPS; n++) {
            if (*stamps[n] == 0)
                continue;
            if (count == room)
                return FLUKE_CHECKPOINT_NO_ROOM;
            list[count++] = *stamps[n];
        }
    }
    fluke_sort(list, count, is_before, NULL);
    for (uint64_t i = 0; i < count; i++)
        if (i == 0 || list[i] != list[i - 1])
            list[distinct++] = list[i];
    object = fluke_image_objects(image);
    for (uint64_t i = 0; i < image->object_count; i++, object = fluke_image_next(object)) {
        if (object->type != FLUKE_THREAD)
            continue;
        stamps_of(object, stamps);
        for (int n = 0; n < STAMPS; n++)
            if (*stamps[n] != 0)
                *stamps[n] = first + fluke_find_place(list, distinct, is_below, stamps[n]);
    }
    return FLUKE_CHECKPOINT_DONE;
}
