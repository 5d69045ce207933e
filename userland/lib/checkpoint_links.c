/* Checkpoints: what references refer to, inside or outside, in the words of the records. */

#include "checkpoint.h"

/* Whether `ref` refers to an object inside, and to which. Hashes can be chosen: they only say which may be meant. */
static bool find_inside(struct fluke_checkpoint *checkpoint, fluke_ref_t *ref, uint64_t *offset)
{
    struct fluke_image *image = checkpoint->records;
    struct fluke_image_object *object = fluke_image_objects(image);
    uint64_t type = (uint64_t)fluke_ref_type(ref), hash = fluke_ref_hash(ref);

    for (uint64_t i = 0; i < image->object_count; i++, object = fluke_image_next(object)) {
        if (object->type != type || *(uint64_t *)fluke_image_state(object) != hash)
            continue;
        fluke_kinds[type].reference(checkpoint->memory + object->offset, &checkpoint->found);
        if (fluke_ref_compare(ref, &checkpoint->found)) {
            *offset = object->offset;
            return true;
        }
    }
    return false;
}

bool fluke_checkpoint_resolve(struct fluke_checkpoint *checkpoint, fluke_ref_t *ref, struct fluke_image_link *link)
{
    uint64_t offset;

    *link = (struct fluke_image_link){.kind = FLUKE_LINK_NONE};
    if (!fluke_ref_check(ref) || fluke_ref_compare(ref, &checkpoint->gate_ref))
        return true;
    if (find_inside(checkpoint, ref, &offset)) {
        *link = (struct fluke_image_link){.kind = FLUKE_LINK_INSIDE, .value = offset};
        return true;
    }
    for (uint64_t i = 0; i < checkpoint->name_count; i++)
        if (fluke_ref_compare(ref, checkpoint->names[i].ref)) {
            *link = (struct fluke_image_link){.kind = FLUKE_LINK_OUTSIDE, .value = i};
            return true;
        }
    return false;
}
