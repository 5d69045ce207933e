/* Checkpoints: whether records can be read at all, wherever they come from. What states say, the kernel checks. */

#include "checkpoint.h"

/* Takes so many things of a size from what is left; false if there are not so many. */
static bool take(uint64_t *left, uint64_t count, uint64_t size)
{
    if (count > *left / size)
        return false;
    *left -= count * size;
    return true;
}

static bool is_place(const struct fluke_image *image, uint64_t offset, uint64_t unit)
{
    return offset % unit == 0 && offset < image->memory_size;
}

static bool is_link(const struct fluke_image *image, const struct fluke_image_link *link)
{
    switch (link->kind) {
    case FLUKE_LINK_NONE:
        return true;
    case FLUKE_LINK_INSIDE:
        return is_place(image, link->value, FLUKE_SLOT_SIZE);
    case FLUKE_LINK_OUTSIDE:
        return link->value < image->name_count;
    default:
        return false;
    }
}

static bool is_object(const struct fluke_image *image, const struct fluke_image_object *object)
{
    for (unsigned n = 0; n < FLUKE_IMAGE_LINKS; n++)
        if (!is_link(image, &object->links[n]))
            return false;
    return is_place(image, object->offset, FLUKE_SLOT_SIZE);
}

/* The objects are in the order of their offsets, no two at one. */
static bool are_objects(struct fluke_image *image, uint64_t *left)
{
    struct fluke_image_object *object = fluke_image_objects(image);

    for (uint64_t i = 0, next = 0; i < image->object_count; i++, object = fluke_image_next(object)) {
        if (!take(left, 1, sizeof *object) || object->type < FLUKE_THREAD || object->type > FLUKE_REF
            || object->offset < next || !is_object(image, object)
            || (fluke_kinds[object->type].state_size > 0 && !take(left, 1, fluke_kinds[object->type].state_size)))
            return false;
        next = object->offset + FLUKE_SLOT_SIZE;
    }
    return true;
}

static bool are_names(struct fluke_image *image)
{
    const struct fluke_image_name *names = fluke_image_names(image);

    for (uint64_t i = 0; i < image->name_count; i++)
        if (names[i].text[FLUKE_IMAGE_NAME_BYTES - 1] != '\0')
            return false;
    return true;
}

static bool are_running(struct fluke_image *image)
{
    for (uint64_t i = 0; i < image->running_count; i++)
        if (!is_place(image, fluke_image_running(image)[i], FLUKE_SLOT_SIZE))
            return false;
    return true;
}

static bool are_pages(struct fluke_image *image, uint64_t left)
{
    const struct fluke_image_page *pages = (const void *)((char *)image + image->size - left);

    if (left % sizeof *pages != 0 || left / sizeof *pages != image->page_count)
        return false;
    for (uint64_t i = 0; i < image->page_count; i++)
        if (!is_place(image, pages[i].offset, FLUKE_PAGE_SIZE))
            return false;
    return true;
}

bool fluke_image_is_sound(struct fluke_image *image, uint64_t room)
{
    uint64_t left = room;

    if (!take(&left, 1, sizeof *image) || image->magic != FLUKE_IMAGE_MAGIC || image->size < sizeof *image
        || image->size > room || image->size % FLUKE_WORD_SIZE != 0)
        return false;
    left = image->size - sizeof *image;
    return take(&left, image->name_count, sizeof(struct fluke_image_name)) && are_names(image)
        && take(&left, image->running_count, sizeof(uint64_t)) && are_running(image) && are_objects(image, &left)
        && are_pages(image, left);
}
