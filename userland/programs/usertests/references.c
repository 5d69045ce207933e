/* References: what they refer to, and what is left when that is gone. */

#include "usertests.h"

static fluke_ref_t ref, other, place;
static fluke_mutex_t mutex, another_mutex;

static void make_new(void)
{
    CHECK(fluke_ref_create(&ref) == FLUKE_SUCCESS);
    CHECK(fluke_ref_type(&ref) == FLUKE_NULL);
    CHECK(fluke_ref_hash(&ref) == 0);
    CHECK(fluke_ref_check(&ref) == 0);
    fluke_ref_destroy(&ref);
}

/* One object of each type that can be referred to, in turn at one place. */
static void refer_to_each_type(void)
{
    static _Alignas(FLUKE_SLOT_SIZE) uint64_t slot[2];
    void *at = slot;

    fluke_ref_create(&ref);
    fluke_thread_create(at), fluke_thread_reference(at, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_THREAD);
    fluke_thread_destroy(at), fluke_space_create(at), fluke_space_reference(at, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_SPACE);
    fluke_space_destroy(at), fluke_region_create(at), fluke_region_reference(at, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_REGION);
    fluke_region_destroy(at), fluke_port_create(at), fluke_port_reference(at, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_PORT);
    fluke_port_destroy(at), fluke_portset_create(at), fluke_portset_reference(at, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_PORTSET);
    fluke_portset_destroy(at), fluke_mutex_create(at), fluke_mutex_reference(at, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_MUTEX);
    fluke_mutex_destroy(at), fluke_cond_create(at), fluke_cond_reference(at, &ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_COND);
    fluke_cond_destroy(at);
    fluke_ref_destroy(&ref);
}

static void begin(void)
{
    uint64_t hash = 0x4ef;

    fluke_mutex_create_hash(&mutex, &hash);
    fluke_mutex_create(&another_mutex);
    fluke_ref_create(&ref);
    fluke_ref_create(&other);
    fluke_mutex_reference(&mutex, &ref);
}

static void finish(void)
{
    fluke_ref_destroy(&ref);
    fluke_ref_destroy(&other);
    fluke_mutex_destroy(&mutex);
    fluke_mutex_destroy(&another_mutex);
}

static void copy(void)
{
    begin();
    fluke_mutex_reference(&another_mutex, &other);
    fluke_ref_copy(&ref, &other);
    CHECK(fluke_ref_hash(&other) == 0x4ef && fluke_ref_compare(&ref, &other) == 1);
    fluke_mutex_reference(&another_mutex, &ref); /* the copy is a reference of its own */
    CHECK(fluke_ref_hash(&other) == 0x4ef && fluke_ref_compare(&ref, &other) == 0);
    fluke_ref_destroy(&ref);
    fluke_ref_create(&ref);
    fluke_ref_copy(&ref, &other);
    CHECK(fluke_ref_type(&other) == FLUKE_NULL);
    finish();
}

static void compare(void)
{
    begin();
    CHECK(fluke_ref_compare(&ref, &ref) == 1);
    CHECK(fluke_ref_compare(&ref, &other) == 0);
    fluke_mutex_reference(&another_mutex, &other);
    CHECK(fluke_ref_compare(&ref, &other) == 0);
    fluke_mutex_destroy(&mutex);
    CHECK(fluke_ref_compare(&ref, &other) == 0);
    fluke_mutex_destroy(&another_mutex);
    CHECK(fluke_ref_compare(&ref, &other) == 1); /* both refer to nothing that is there */
    fluke_mutex_create(&mutex);
    fluke_mutex_create(&another_mutex);
    finish();
}

/* A new object at the old place is another one. */
static void outlive(void)
{
    begin();
    CHECK(fluke_ref_check(&ref) == 1);
    fluke_mutex_destroy(&mutex);
    CHECK(fluke_ref_check(&ref) == 0);
    fluke_mutex_create(&mutex);
    CHECK(fluke_ref_check(&ref) == 0 && fluke_ref_type(&ref) == FLUKE_NULL && fluke_ref_hash(&ref) == 0);
    finish();
}

static void move(void)
{
    begin();
    fluke_ref_move(&ref, &place);
    CHECK(fluke_ref_hash(&place) == 0x4ef);
    CHECK_MISTAKE(fluke_ref_hash(&ref), FLUKE_INSANITY_NO_OBJECT, &ref);
    CHECK_MISTAKE(fluke_ref_move(&place, &other), FLUKE_INSANITY_OBJECT_EXISTS, &other);
    fluke_ref_move(&place, &ref);
    fluke_mutex_move(&mutex, (fluke_mutex_t *)&place);
    CHECK(fluke_ref_check(&ref) == 1); /* nor does it matter that the object moves */
    fluke_mutex_move((fluke_mutex_t *)&place, &mutex);
    finish();
}

static void destroy(void)
{
    begin();
    fluke_ref_destroy(&ref);
    CHECK(fluke_mutex_trylock(&mutex) == FLUKE_SUCCESS);
    fluke_ref_create(&ref);
    CHECK(fluke_ref_type(&ref) == FLUKE_NULL);
    finish();
}

static void find_no_reference(void)
{
    fluke_ref_t *wrong = (fluke_ref_t *)&mutex;

    begin();
    CHECK_MISTAKE(fluke_ref_type(wrong), FLUKE_INSANITY_NOT_REF, wrong);
    CHECK_MISTAKE(fluke_ref_hash(wrong), FLUKE_INSANITY_NOT_REF, wrong);
    CHECK_MISTAKE(fluke_ref_check(wrong), FLUKE_INSANITY_NOT_REF, wrong);
    CHECK_MISTAKE(fluke_ref_compare(&ref, wrong), FLUKE_INSANITY_NOT_REF, wrong);
    CHECK_MISTAKE(fluke_ref_copy(&ref, wrong), FLUKE_INSANITY_NOT_REF, wrong);
    CHECK_MISTAKE(fluke_ref_copy(&place, &ref), FLUKE_INSANITY_NO_OBJECT, &place);
    CHECK_MISTAKE(fluke_ref_destroy(wrong), FLUKE_INSANITY_NOT_REF, wrong);
    CHECK_MISTAKE(fluke_mutex_reference(&mutex, wrong), FLUKE_INSANITY_NOT_REF, wrong);
    CHECK_MISTAKE(fluke_mutex_get_state(&mutex, NULL, wrong), FLUKE_INSANITY_NOT_REF, wrong);
    finish();
}

const struct usertest reference_tests[] = {
    {"ref_new", "What is a reference that was only created?", make_new},
    {"ref_types", "Does a reference tell the type of each object?", refer_to_each_type},
    {"ref_copy", "Is a copy a reference of its own?", copy},
    {"ref_compare", "When are two references the same?", compare},
    {"ref_gone", "What does a reference say when its object is gone?", outlive},
    {"ref_move", "Does a reference keep its object when one of the two is moved?", move},
    {"ref_destroy", "Does an object stay when a reference to it goes?", destroy},
    {"ref_none", "What if there is no reference at the address?", find_no_reference},
    {0},
};
