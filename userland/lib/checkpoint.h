/* What the parts of checkpoints know of each other: the types of objects, and ways through the records. */

#ifndef LIB_CHECKPOINT_H
#define LIB_CHECKPOINT_H

#include "../include/checkpoint.h"

/* What there is to be done with objects of a type. A reference's one link is what it refers to. */
struct fluke_kind {
    size_t state_size; /* bytes; the first word of a state is the object's hash */
    unsigned link_count;
    const char *links[FLUKE_IMAGE_LINKS];
    fluke_error_t (*create)(void *object, uint64_t hash);
    void (*destroy)(void *object);
    void (*reference)(void *object, fluke_ref_t *ref); /* null where nothing can refer to one */
    void (*get)(void *object, void *state, fluke_ref_t *const *links); /* `links` may be a null pointer */
    void (*set)(void *object, const void *state, fluke_ref_t *const *links); /* links that are null pointers stay */
};

extern const struct fluke_kind fluke_kinds[FLUKE_REF + 1];

/* The parts of the records, one behind the other; each begins where what has been counted of the one before ends. */
struct fluke_image_name *fluke_image_names(struct fluke_image *image);
uint64_t *fluke_image_running(struct fluke_image *image);
struct fluke_image_object *fluke_image_objects(struct fluke_image *image);

void *fluke_image_state(struct fluke_image_object *object);
struct fluke_image_object *fluke_image_next(struct fluke_image_object *object);

/* Where something lies in the records, as a number of bytes from their beginning, which goes into lists; and back. */
uint64_t fluke_image_place(const struct fluke_image *image, const void *something);
struct fluke_image_object *fluke_image_object_at(struct fluke_image *image, uint64_t place);

/* Whether these are records, of so many bytes at most: then all ways through them stay inside. */
bool fluke_image_is_sound(struct fluke_image *image, uint64_t room);

/* Puts words in order; `before` says whether one comes before another, where all are places in the records, say. */
typedef bool fluke_before_t(const void *base, uint64_t left, uint64_t right);
void fluke_sort(uint64_t *words, uint64_t count, fluke_before_t *before, const void *base);

/* Where in a list in order the first word is that is not below a key; `count` if there is none. */
typedef bool fluke_below_t(const void *key, uint64_t word);
uint64_t fluke_find_place(const uint64_t *words, uint64_t count, fluke_below_t *is_below, const void *key);

/* Room for more at the end of the records; a null pointer if there is none. */
void *fluke_checkpoint_append(struct fluke_checkpoint *checkpoint, size_t size);

/* Whether the thread at an offset is among those that are to be started. */
bool fluke_image_is_running(struct fluke_image *image, uint64_t offset);

/* Lists all objects in the records by their hashes, and stops all threads; false if there is no room. */
bool fluke_checkpoint_list(struct fluke_checkpoint *checkpoint);

/* Drops that list, since a thread at an offset was found running after all; that one has been stopped too. */
void fluke_checkpoint_unlist(struct fluke_checkpoint *checkpoint, uint64_t offset);

/* Lists the objects that references can refer to, by their hashes, in the room behind the records; false without. */
bool fluke_checkpoint_index(struct fluke_checkpoint *checkpoint);

/* What an object's link, which was read out last, is in the words of the records; false if they have none for it. */
bool fluke_checkpoint_resolve(struct fluke_checkpoint *checkpoint, struct fluke_image_object *object, unsigned number);

/* Finds out where the memory is, which searches have to know. */
void fluke_checkpoint_look(struct fluke_checkpoint *checkpoint);

/* Makes the references that all steps need, which stay, and looks; false if there is no memory. */
bool fluke_checkpoint_begin(struct fluke_checkpoint *checkpoint);

/* Makes the gate, at which those stand who are not to run yet, if it is not there; false if there is no memory. */
bool fluke_checkpoint_open(struct fluke_checkpoint *checkpoint);
void fluke_checkpoint_close(struct fluke_checkpoint *checkpoint);

/* Starts threads, so that none runs before the last has been started, if there is a gate. */
void fluke_checkpoint_start(struct fluke_checkpoint *checkpoint, const uint64_t *offsets, uint64_t count);

/* Goes through the objects in the memory: the next, in `object`; false if there is none. */
struct fluke_object_search {
    uint64_t offset;
    uint64_t listed, taken;
    struct fluke_obspec list[16];
};
bool fluke_next_object(struct fluke_checkpoint *checkpoint, struct fluke_object_search *search,
                       struct fluke_obspec *object);

/* Goes through the pages in the memory that may be other than zero, in the same way. */
struct fluke_page_search {
    uint64_t offset, generation;
    uint64_t listed, taken;
    uint64_t list[16];
};
bool fluke_next_page(struct fluke_checkpoint *checkpoint, struct fluke_page_search *search, uint64_t *offset);

#endif
