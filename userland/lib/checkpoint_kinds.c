/* What there is to be done with objects, by their types: the calls that all types have, in one table. */

#include "checkpoint.h"

/* A reference of a state's links, where they are wanted. */
static fluke_ref_t *at(fluke_ref_t *const *links, int number)
{
    return links == NULL ? NULL : links[number];
}

#define LINK(number) at(links, number)

/* The functions of a type with a state and so many links. */
#define TYPE(type, ...)                                                                                                \
    static fluke_error_t create_##type(void *object, uint64_t hash)                                                    \
    {                                                                                                                  \
        return fluke_##type##_create_hash(object, &hash);                                                              \
    }                                                                                                                  \
    static void destroy_##type(void *object)                                                                           \
    {                                                                                                                  \
        fluke_##type##_destroy(object);                                                                                \
    }                                                                                                                  \
    static void get_##type(void *object, void *state, fluke_ref_t *const *links)                                       \
    {                                                                                                                  \
        (void)links;                                                                                                   \
        fluke_##type##_get_state(object, state, ##__VA_ARGS__);                                                        \
    }                                                                                                                  \
    static void set_##type(void *object, const void *state, fluke_ref_t *const *links)                                 \
    {                                                                                                                  \
        (void)links;                                                                                                   \
        fluke_##type##_set_state(object, state, ##__VA_ARGS__);                                                        \
    }

/* And of one that references can refer to. */
#define NAMED_TYPE(type, ...)                                                                                          \
    TYPE(type, ##__VA_ARGS__)                                                                                          \
    static void reference_##type(void *object, fluke_ref_t *ref)                                                       \
    {                                                                                                                  \
        fluke_##type##_reference(object, ref);                                                                         \
    }

NAMED_TYPE(thread, LINK(0), LINK(1), LINK(2), LINK(3), LINK(4))
NAMED_TYPE(space, LINK(0))
NAMED_TYPE(region, LINK(0), LINK(1))
TYPE(mapping, LINK(0), LINK(1))
NAMED_TYPE(port, LINK(0))
NAMED_TYPE(portset)
NAMED_TYPE(mutex, LINK(0))
NAMED_TYPE(cond, LINK(0))

static fluke_error_t create_ref(void *object, uint64_t hash)
{
    (void)hash;
    return fluke_ref_create(object);
}

static void destroy_ref(void *object)
{
    fluke_ref_destroy(object);
}

static void get_ref(void *object, void *state, fluke_ref_t *const *links)
{
    (void)state;
    if (links != NULL)
        fluke_ref_copy(object, links[0]);
}

static void set_ref(void *object, const void *state, fluke_ref_t *const *links)
{
    (void)state;
    if (links[0] != NULL)
        fluke_ref_copy(links[0], object);
}

#define CALLS(type) .create = create_##type, .destroy = destroy_##type, .get = get_##type, .set = set_##type
#define STATE(type) CALLS(type), .state_size = sizeof(struct fluke_##type##_state)
#define NAMED(type) STATE(type), .reference = reference_##type

const struct fluke_kind fluke_kinds[FLUKE_REF + 1] = {
    [FLUKE_THREAD] = {NAMED(thread), .link_count = 5,
                      .links = {"space", "scheduler", "waiting_for", "client", "server"}},
    [FLUKE_SPACE] = {NAMED(space), .link_count = 1, .links = {"keeper"}},
    [FLUKE_REGION] = {NAMED(region), .link_count = 2, .links = {"space", "keeper"}},
    [FLUKE_MAPPING] = {STATE(mapping), .link_count = 2, .links = {"region", "space"}},
    [FLUKE_PORT] = {NAMED(port), .link_count = 1, .links = {"portset"}},
    [FLUKE_PORTSET] = {NAMED(portset)},
    [FLUKE_MUTEX] = {NAMED(mutex), .link_count = 1, .links = {"owner"}},
    [FLUKE_COND] = {NAMED(cond), .link_count = 1, .links = {"inheritor"}},
    [FLUKE_REF] = {CALLS(ref), .link_count = 1, .links = {"target"}},
};
