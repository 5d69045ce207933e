/* Every call of the table with each of its operands wrong: which exception that is, the operand's kind says. */

#include "usertests.h"

#include "../../tests/entry_points.h"

#define TOO_LONG ((uint64_t)1 << 41) /* words: longer than memory can be */

enum { SIZE = 12, CAPACITY = 14 }; /* the registers of a search */
enum { TYPES = FLUKE_REF + 1, T0 = 5, BUFFER_WORDS = 128, CALLS = sizeof entry_points / sizeof *entry_points };

/* One object of each type. */
static union {
    fluke_thread_t thread;
    fluke_space_t space;
    fluke_region_t region;
    fluke_mapping_t mapping;
    fluke_port_t port;
    fluke_portset_t portset;
    fluke_mutex_t mutex;
    fluke_cond_t cond;
    fluke_ref_t ref;
} objects[TYPES];
static fluke_ref_t null_ref, free_place;
static uint64_t buffer[BUFFER_WORDS] __attribute__((aligned(16)));
static const struct entry_point *tried;

void make_operands(void)
{
    fluke_thread_create(&objects[FLUKE_THREAD].thread);
    fluke_space_create(&objects[FLUKE_SPACE].space);
    fluke_region_create(&objects[FLUKE_REGION].region);
    fluke_mapping_create(&objects[FLUKE_MAPPING].mapping);
    fluke_port_create(&objects[FLUKE_PORT].port);
    fluke_portset_create(&objects[FLUKE_PORTSET].portset);
    fluke_mutex_create(&objects[FLUKE_MUTEX].mutex);
    fluke_cond_create(&objects[FLUKE_COND].cond);
    fluke_ref_create(&objects[FLUKE_REF].ref);
    fluke_ref_create(&null_ref);
    fluke_port_reference(&objects[FLUKE_PORT].port, &objects[FLUKE_REF].ref);
    memset(buffer, 0, sizeof buffer);

    /* The region shows the objects themselves, so that there is something to be found in it. */
    fluke_region_set_state(&objects[FLUKE_REGION].region, NULL, fluke_start_block->space_ref, NULL);
    set_region(&objects[FLUKE_REGION].region, (void *)((uint64_t)objects & -(uint64_t)FLUKE_PAGE_SIZE),
               2 * FLUKE_PAGE_SIZE, FLUKE_PROT_ALL);
}

void end_operands(void)
{
    fluke_thread_destroy(&objects[FLUKE_THREAD].thread);
    fluke_space_destroy(&objects[FLUKE_SPACE].space);
    fluke_region_destroy(&objects[FLUKE_REGION].region);
    fluke_mapping_destroy(&objects[FLUKE_MAPPING].mapping);
    fluke_port_destroy(&objects[FLUKE_PORT].port);
    fluke_portset_destroy(&objects[FLUKE_PORTSET].portset);
    fluke_mutex_destroy(&objects[FLUKE_MUTEX].mutex);
    fluke_cond_destroy(&objects[FLUKE_COND].cond);
    fluke_ref_destroy(&objects[FLUKE_REF].ref);
    fluke_ref_destroy(&null_ref);
}

void good_operands(const struct entry_point *call, uint64_t *x)
{
    x[A7] = call->number;
    for (unsigned i = 0; i < call->argument_count; i++) {
        uint64_t value = 0;

        switch (call->arguments[i].kind) {
        case OBJECT:
            value = (uint64_t)&objects[call->arguments[i].type];
            break;
        case SELF:
            value = (uint64_t)fluke_thread_self();
            break;
        case PLACE:
            value = (uint64_t)&free_place;
            break;
        case REFERENCE:
            value = (uint64_t)&null_ref;
            break;
        case READ:
        case WRITTEN:
        case ADDRESS:
            value = (uint64_t)buffer;
            break;
        default:
            break;
        }
        x[call->arguments[i].number] = value;
    }
    if (call->number == FLUKE_CALL_REGION_SEARCH || call->number == FLUKE_CALL_REGION_CHANGED) {
        x[SIZE] = 2 * FLUKE_PAGE_SIZE;
        x[CAPACITY] = 4;
    }
}

static void expect(uint64_t code, uint64_t subject, const char *how)
{
    struct mistake mistake = runner.mistake;

    if (mistake.count != 1 || mistake.code != code || mistake.subject != subject)
        fail("%s, %s: %u mistakes, the last 0x%lx of 0x%lx, not one 0x%lx of 0x%lx", tried->name, how, mistake.count,
             mistake.code, mistake.subject, code, subject);
    runner.mistake.count = 0;
}

/* The call with one register wrong; `entries` is what the register of a table's length holds then. */
static void try(unsigned argument, uint64_t value, uint64_t entries, uint64_t code, const char *how)
{
    struct registers registers = {0};

    good_operands(tried, registers.x);
    registers.x[tried->arguments[argument].number] = value;
    if (tried->arguments[argument].length_register != 0)
        registers.x[tried->arguments[argument].length_register] = entries;
    call_with(&registers);
    expect(code, value, how);
}

static uint64_t fault_of(const struct entry_point *call, unsigned argument)
{
    unsigned kind = call->arguments[argument].kind;
    bool is_write = kind == PLACE || kind == WRITTEN || (argument == 0 && call->is_written);

    return is_write ? FLUKE_EXCEPTION_STORE_FAULT : FLUKE_EXCEPTION_LOAD_FAULT;
}

static bool is_message(const struct entry_point *call)
{
    return call->number >= FLUKE_CALL_IPC_SEND;
}

/* Does something for each operand of each call that has one of these kinds; messages have cases of their own. */
static void for_each(unsigned kinds, void (*body)(unsigned argument))
{
    make_operands();
    for (tried = entry_points; tried < entry_points + CALLS; tried++)
        for (unsigned i = 0; i < tried->argument_count; i++)
            if ((kinds & 1u << tried->arguments[i].kind) && (!is_message(tried) || tried->arguments[i].kind == OBJECT))
                body(i);
    end_operands();
}

enum { SLOTS = 1 << OBJECT | 1 << PLACE | 1 << REFERENCE, NAMED = 1 << OBJECT | 1 << REFERENCE };

static void try_odd(unsigned argument)
{
    try(argument, (uint64_t)ODD(&free_place), 0, FLUKE_INSANITY_NOT_ALIGNED, "odd");
}

static void not_aligned(void)
{
    for_each(SLOTS, try_odd);
}

static void try_nowhere(unsigned argument)
{
    try(argument, (uint64_t)NOWHERE, 0, fault_of(tried, argument), "nowhere");
}

static void nowhere(void)
{
    for_each(SLOTS | 1 << READ | 1 << WRITTEN, try_nowhere);
}

static void try_read_only(unsigned argument)
{
    if (fault_of(tried, argument) == FLUKE_EXCEPTION_STORE_FAULT)
        try(argument, (uint64_t)READ_ONLY, 0, FLUKE_EXCEPTION_STORE_FAULT, "read-only");
}

static void read_only(void)
{
    for_each(1 << OBJECT | 1 << PLACE, try_read_only);
}

static void try_empty(unsigned argument)
{
    if (tried->number == FLUKE_CALL_THREAD_SCHEDULE) /* this call tells by its status that a thread is gone */
        return;
    try(argument, (uint64_t)&free_place, 0, FLUKE_INSANITY_NO_OBJECT, "empty");
}

static void no_object(void)
{
    for_each(NAMED, try_empty);
}

static void try_other_type(unsigned argument)
{
    unsigned type = tried->arguments[argument].kind == REFERENCE ? FLUKE_REF : tried->arguments[argument].type;

    for (unsigned other = FLUKE_THREAD; other < TYPES; other++)
        if (other != type)
            try(argument, (uint64_t)&objects[other], 0, FLUKE_INSANITY_NO_OBJECT + type, "of another type");
}

static void other_type(void)
{
    for_each(NAMED, try_other_type);
}

static void try_taken(unsigned argument)
{
    for (unsigned type = FLUKE_THREAD; type < TYPES; type++)
        try(argument, (uint64_t)&objects[type], 0, FLUKE_INSANITY_OBJECT_EXISTS, "taken");
}

static void taken(void)
{
    for_each(1 << PLACE, try_taken);
}

static void try_other_thread(unsigned argument)
{
    try(argument, (uint64_t)&objects[FLUKE_THREAD], 0, FLUKE_INSANITY_NOT_CURRENT_THREAD, "another thread");
}

static void other_thread(void)
{
    for_each(1 << SELF, try_other_thread);
}

const struct usertest operand_tests[] = {
    {"operand_odd", "Is every operand refused that is not aligned for an object?", not_aligned},
    {"operand_nowhere", "Is every operand refused that has no memory?", nowhere},
    {"operand_read_only", "Is every place refused that cannot be written?", read_only},
    {"operand_empty", "Is every operand refused where there is no object?", no_object},
    {"operand_of_another_type", "Is every operand refused where an object of another type is?", other_type},
    {"operand_taken", "Is every place refused where an object is already?", taken},
    {"operand_another_thread", "Is every call refused that is another thread's affair?", other_thread},
    {0},
};

/* The memory of messages: all that can be wrong with it before a peer's is looked at. */

enum { PROGRESS = 31 };

/* The buffer's length is in the register of the operand behind it. */
static void try_buffer_nowhere(unsigned argument)
{
    struct registers registers = {0};

    good_operands(tried, registers.x);
    registers.x[tried->arguments[argument].number] = (uint64_t)NOWHERE;
    registers.x[tried->arguments[argument + 1].number] = 1;
    call_with(&registers);
    expect(fault_of(tried, argument), (uint64_t)NOWHERE, "nowhere");
}

static void try_message(unsigned argument)
{
    unsigned kind = tried->arguments[argument].kind, length_register = tried->arguments[argument].length_register;

    if (kind == NUMBER) {
        try(argument, FLUKE_MAX_MESSAGE_REFERENCES + 1, 0, FLUKE_INSANITY_INVALID_MESSAGE, "too many");
    } else if (kind == WORDS) {
        if (tried->arguments[argument].number != PROGRESS) /* of which anything is believed */
            try(argument, TOO_LONG, 0, FLUKE_INSANITY_INVALID_MESSAGE, "too long");
    } else if (kind == READ || kind == WRITTEN) {
        try(argument, (uint64_t)buffer + 1, 1, FLUKE_INSANITY_BUFFER_UNALIGNED, "odd");
        if (length_register == 0)
            try_buffer_nowhere(argument);
        else if (length_register != T0 && length_register != T0 + 1) /* references are looked up when they are passed */
            try(argument, (uint64_t)NOWHERE, 1, FLUKE_EXCEPTION_LOAD_FAULT, "nowhere");
    }
}

static void try_whole_message(void)
{
    for (unsigned i = 0; i < tried->argument_count; i++)
        try_message(i);
}

static bool is_reply(const struct entry_point *call)
{
    return call->number == FLUKE_CALL_IPC_REPLY || call->number == FLUKE_CALL_IPC_REPLY_WAIT_RECEIVE;
}

static void bad_messages(void)
{
    make_operands();
    for (tried = entry_points; tried < entry_points + CALLS; tried++)
        if (is_message(tried) && !is_reply(tried))
            try_whole_message();
    end_operands();
}

/* What a reply would send is looked at only if there is somebody to get it. */
static void bad_replies(void)
{
    static struct service service;

    make_operands();
    for (tried = entry_points; tried < entry_points + CALLS; tried++) {
        if (is_reply(tried)) {
            struct exchange exchange = {.service = &service};
            struct fluke_ipc_params params = {0};

            open_service(&service);
            struct worker *client = start(call_service, &exchange);
            CHECK(fluke_ipc_setup_wait_receive(&service.portset, &params, NULL) == FLUKE_SUCCESS);
            try_whole_message();
            fluke_ipc_reply(&params);
            CHECK(client->done);
            end(client);
            close_service(&service);
        }
    }
    end_operands();
}

const struct usertest message_operand_tests[] = {
    {"operand_of_a_message", "Is every operand of a message refused that cannot be?", bad_messages},
    {"operand_of_a_reply", "Is every operand of a reply refused that cannot be?", bad_replies},
    {0},
};
