/* Checkpoints: what references refer to, inside or outside, in the words of the records. */

#include "checkpoint.h"

/* What objects are looked for by; it is never 0. */
static uint64_t hash_at(struct fluke_image *image, uint64_t place)
{
    return *(uint64_t *)fluke_image_state(fluke_image_object_at(image, place));
}

static bool comes_before(const void *image, uint64_t left, uint64_t right)
{
    return hash_at((struct fluke_image *)image, left) < hash_at((struct fluke_image *)image, right);
}

struct key {
    struct fluke_image *image;
    uint64_t hash;
};

static bool is_below(const void *key, uint64_t place)
{
    const struct key *wanted = key;

    return hash_at(wanted->image, place) < wanted->hash;
}

bool fluke_checkpoint_index(struct fluke_checkpoint *checkpoint)
{
    struct fluke_image *image = checkpoint->records;
    struct fluke_image_object *object = fluke_image_objects(image);

    checkpoint->index = (uint64_t *)((char *)image + image->size);
    checkpoint->indexed = 0;
    for (uint64_t i = 0; i < image->object_count; i++, object = fluke_image_next(object)) {
        if (fluke_kinds[object->type].reference == NULL)
            continue;
        if (checkpoint->room - image->size < (checkpoint->indexed + 1) * sizeof *checkpoint->index)
            return false;
        checkpoint->index[checkpoint->indexed++] = fluke_image_place(image, object);
    }
    fluke_sort(checkpoint->index, checkpoint->indexed, comes_before, image);
    return true;
}

/* Whether `ref` refers to an object inside, and to which. Hashes can be chosen: they only say which may be meant. */
static bool find_inside(struct fluke_checkpoint *checkpoint, fluke_ref_t *ref, uint64_t hash, uint64_t *offset)
{
    const struct key key = {.image = checkpoint->records, .hash = hash};
    uint64_t number = fluke_find_place(checkpoint->index, checkpoint->indexed, is_below, &key);

    for (; number < checkpoint->indexed && hash_at(key.image, checkpoint->index[number]) == hash; number++) {
        struct fluke_image_object *object = fluke_image_object_at(key.image, checkpoint->index[number]);

        fluke_kinds[object->type].reference(checkpoint->memory + object->offset, &checkpoint->found);
        if (fluke_ref_compare(ref, &checkpoint->found)) {
            *offset = object->offset;
            return true;
        }
    }
    return false;
}

/*
 * Whether a link's reference refers to something with a name. Of threads most links lead to what the last one's led to, and
 * references to one name after the other: that is tried first.
 */
static bool find_name(struct fluke_checkpoint *checkpoint, uint64_t type, unsigned number, uint64_t *found)
{
    uint64_t *guess = type == FLUKE_REF ? &checkpoint->next_target : &checkpoint->last_names[number];

    for (uint64_t i = 0; i < checkpoint->name_count; i++) {
        uint64_t tried = (*guess + i) % checkpoint->name_count;

        if (fluke_ref_compare(&checkpoint->links[number], checkpoint->names[tried].ref)) {
            *found = tried;
            *guess = type == FLUKE_REF ? tried + 1 : tried;
            return true;
        }
    }
    return false;
}

bool fluke_checkpoint_resolve(struct fluke_checkpoint *checkpoint, struct fluke_image_object *object, unsigned number)
{
    struct fluke_image_link *link = &object->links[number];
    fluke_ref_t *ref = &checkpoint->links[number];
    uint64_t hash = fluke_ref_hash(ref);

    *link = (struct fluke_image_link){.kind = FLUKE_LINK_NONE};
    if (hash == 0)
        return true;
    if (find_inside(checkpoint, ref, hash, &link->value)) {
        link->kind = FLUKE_LINK_INSIDE;
        return true;
    }
    if (find_name(checkpoint, object->type, number, &link->value)) {
        link->kind = FLUKE_LINK_OUTSIDE;
        return true;
    }
    return fluke_ref_compare(ref, &checkpoint->gate_ref);
}
