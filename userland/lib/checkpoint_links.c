/* Checkpoints: what references refer to, inside or outside, in the words of the records. */

#include "checkpoint.h"

/* What objects are looked for by. */
struct key {
    struct fluke_image *image;
    uint64_t type, hash;
};

static struct key key_at(struct fluke_image *image, uint64_t place)
{
    struct fluke_image_object *object = fluke_image_object_at(image, place);

    return (struct key){.image = image, .type = object->type, .hash = *(uint64_t *)fluke_image_state(object)};
}

static bool is_less(const struct key *left, const struct key *right)
{
    return left->type != right->type ? left->type < right->type : left->hash < right->hash;
}

static bool comes_before(const void *image, uint64_t left, uint64_t right)
{
    struct key left_key = key_at((struct fluke_image *)image, left), right_key = key_at((struct fluke_image *)image, right);

    return is_less(&left_key, &right_key);
}

static bool is_below(const void *key, uint64_t place)
{
    struct key its_key = key_at(((const struct key *)key)->image, place);

    return is_less(&its_key, key);
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

/*
 * Whether `ref`, to an object of this type, refers to one inside, and to which. Hashes can be chosen: they only say which
 * may be meant.
 */
static bool find_inside(struct fluke_checkpoint *checkpoint, fluke_ref_t *ref, uint64_t type, uint64_t *offset)
{
    const struct key key = {.image = checkpoint->records, .type = type, .hash = fluke_ref_hash(ref)};
    uint64_t number = fluke_find_place(checkpoint->index, checkpoint->indexed, is_below, &key);

    for (; number < checkpoint->indexed; number++) {
        struct fluke_image_object *object = fluke_image_object_at(key.image, checkpoint->index[number]);

        if (object->type != key.type || *(uint64_t *)fluke_image_state(object) != key.hash)
            return false;
        fluke_kinds[key.type].reference(checkpoint->memory + object->offset, &checkpoint->found);
        if (fluke_ref_compare(ref, &checkpoint->found)) {
            *offset = object->offset;
            return true;
        }
    }
    return false;
}

/* Whether `ref` refers to something with a name. Most come in the order of the names, so the next is tried first. */
static bool find_name(struct fluke_checkpoint *checkpoint, fluke_ref_t *ref, uint64_t *number)
{
    for (uint64_t i = 0; i <= checkpoint->name_count; i++) {
        uint64_t tried = i == 0 ? checkpoint->last_name + 1 : i - 1;

        if (tried < checkpoint->name_count && fluke_ref_compare(ref, checkpoint->names[tried].ref)) {
            *number = checkpoint->last_name = tried;
            return true;
        }
    }
    return false;
}

bool fluke_checkpoint_resolve(struct fluke_checkpoint *checkpoint, fluke_ref_t *ref, struct fluke_image_link *link)
{
    uint64_t type = (uint64_t)fluke_ref_type(ref);

    *link = (struct fluke_image_link){.kind = FLUKE_LINK_NONE};
    if (type == FLUKE_NULL || (type == FLUKE_PORT && fluke_ref_compare(ref, &checkpoint->gate_ref)))
        return true;
    if (find_inside(checkpoint, ref, type, &link->value)) {
        link->kind = FLUKE_LINK_INSIDE;
        return true;
    }
    if (find_name(checkpoint, ref, &link->value)) {
        link->kind = FLUKE_LINK_OUTSIDE;
        return true;
    }
    return false;
}
