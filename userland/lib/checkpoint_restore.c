/* Checkpoints: taking a child apart, and making it again from what was written down. */

#include "checkpoint.h"

/* What links lead to is loaded before what has the links; waits, last of all, find everything in its place. */
static const uint64_t order[] = {FLUKE_SPACE, FLUKE_REGION, FLUKE_MAPPING, FLUKE_PORTSET, FLUKE_PORT,
                                 FLUKE_MUTEX, FLUKE_COND,   FLUKE_REF,     FLUKE_THREAD};

/* Threads go first: then there is nobody to notice the rest. */
void fluke_checkpoint_destroy(struct fluke_checkpoint *checkpoint)
{
    fluke_checkpoint_close(checkpoint);
    fluke_checkpoint_look(checkpoint);
    for (int round = 0; round < 2; round++) {
        struct fluke_object_search search = {0};
        struct fluke_obspec found;

        while (fluke_next_object(checkpoint, &search, &found))
            if (round > 0 || found.type == FLUKE_THREAD)
                fluke_kinds[found.type].destroy(found.ob);
    }
}

static void refill(struct fluke_checkpoint *checkpoint, struct fluke_image_page *pages, uint64_t count)
{
    struct fluke_page_search search = {0};
    uint64_t offset;

    while (fluke_next_page(checkpoint, &search, &offset))
        memset(checkpoint->memory + offset, 0, FLUKE_PAGE_SIZE);
    for (uint64_t i = 0; i < count; i++)
        memcpy(checkpoint->memory + pages[i].offset, pages[i].words, FLUKE_PAGE_SIZE);
}

/* Makes all objects; returns what comes after their records, a null pointer if there is no memory. */
static void *create(struct fluke_checkpoint *checkpoint)
{
    struct fluke_image *image = checkpoint->records;
    struct fluke_image_object *object = fluke_image_objects(image);

    for (uint64_t i = 0; i < image->object_count; i++, object = fluke_image_next(object)) {
        const struct fluke_kind *kind = &fluke_kinds[object->type];
        uint64_t hash = kind->state_size == 0 ? 0 : *(uint64_t *)fluke_image_state(object);

        if (kind->create(checkpoint->memory + object->offset, hash) != FLUKE_SUCCESS)
            return NULL;
    }
    return object;
}

static fluke_ref_t *named(const struct fluke_checkpoint *checkpoint, const struct fluke_image_name *name)
{
    for (uint64_t i = 0; i < checkpoint->name_count; i++)
        if (strncmp(checkpoint->names[i].name, name->text, sizeof name->text - 1) == 0)
            return checkpoint->names[i].ref;
    return NULL;
}

/* Whether all names are there. */
static bool knows_names(struct fluke_checkpoint *checkpoint)
{
    struct fluke_image *image = checkpoint->records;
    const struct fluke_image_name *names = fluke_image_names(image);

    for (uint64_t i = 0; i < image->name_count; i++)
        if (named(checkpoint, &names[i]) == NULL) {
            checkpoint->link = names[i].text;
            return false;
        }
    return true;
}

/* The type of the object at an offset, which has been created: the kernel knows it without a search of the records. */
static uint64_t type_at(struct fluke_checkpoint *checkpoint, uint64_t offset)
{
    struct fluke_obspec found;
    uint64_t room = 1;

    fluke_region_search(checkpoint->region, &offset, FLUKE_SLOT_SIZE, &found, &room);
    return room == 0 ? found.type : FLUKE_NULL;
}

/* A reference to what a link leads to, which is something: `own`, or that of a name; a null pointer if it is not there. */
static fluke_ref_t *follow(struct fluke_checkpoint *checkpoint, const struct fluke_image_link *link, fluke_ref_t *own)
{
    if (link->kind == FLUKE_LINK_OUTSIDE)
        return named(checkpoint, &fluke_image_names(checkpoint->records)[link->value]);
    const struct fluke_kind *kind = &fluke_kinds[type_at(checkpoint, link->value)];
    if (kind->reference == NULL)
        return NULL;
    kind->reference(checkpoint->memory + link->value, own);
    return own;
}

/* New objects have no links, so those that lead nowhere are left alone. */
static bool load(struct fluke_checkpoint *checkpoint, uint64_t type)
{
    struct fluke_image *image = checkpoint->records;
    struct fluke_image_object *object = fluke_image_objects(image);
    const struct fluke_kind *kind = &fluke_kinds[type];
    fluke_ref_t *links[FLUKE_IMAGE_LINKS];

    for (uint64_t i = 0; i < image->object_count; i++, object = fluke_image_next(object)) {
        if (object->type != type)
            continue;
        for (unsigned n = 0; n < kind->link_count; n++) {
            links[n] = NULL;
            if (object->links[n].kind == FLUKE_LINK_NONE)
                continue;
            links[n] = follow(checkpoint, &object->links[n], &checkpoint->links[n]);
            if (links[n] == NULL)
                return false;
        }
        kind->set(checkpoint->memory + object->offset, fluke_image_state(object), links);
    }
    return true;
}

/* What the records say is made true, but for the threads that are to run. */
static int make(struct fluke_checkpoint *checkpoint)
{
    struct fluke_image *image = checkpoint->records;
    struct fluke_image_page *pages = create(checkpoint);

    if (pages == NULL)
        return FLUKE_CHECKPOINT_MEMORY;
    if (!checkpoint->pages_elsewhere)
        refill(checkpoint, pages, image->page_count);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (!load(checkpoint, order[i]))
            return FLUKE_CHECKPOINT_DAMAGED;
    return FLUKE_CHECKPOINT_DONE;
}

int fluke_checkpoint_create(struct fluke_checkpoint *checkpoint)
{
    struct fluke_image *image = checkpoint->records;

    if (!fluke_image_is_sound(image, checkpoint->room))
        return FLUKE_CHECKPOINT_DAMAGED;
    if (!knows_names(checkpoint))
        return FLUKE_CHECKPOINT_UNKNOWN;
    if (!fluke_checkpoint_begin(checkpoint))
        return FLUKE_CHECKPOINT_MEMORY;
    return image->memory_size == checkpoint->size ? make(checkpoint) : FLUKE_CHECKPOINT_DAMAGED;
}

int fluke_checkpoint_restore(struct fluke_checkpoint *checkpoint)
{
    int error = fluke_checkpoint_create(checkpoint);

    return error == FLUKE_CHECKPOINT_DONE ? fluke_checkpoint_resume(checkpoint) : error;
}
