/* What messages carry beside words, and what is wrong with some. */

#include "usertests.h"

static struct service service;
static fluke_mutex_t mutex, other_mutex;
static fluke_ref_t refs[2], slots[3];
static fluke_ref_t *given[] = {&refs[0], &refs[1]}, *taken[] = {&slots[0], &slots[1], &slots[2]};

static void begin(void)
{
    open_service(&service);
    fluke_mutex_create(&mutex);
    fluke_mutex_create(&other_mutex);
    for (unsigned i = 0; i < 2; i++)
        fluke_ref_create(&refs[i]);
    for (unsigned i = 0; i < 3; i++)
        fluke_ref_create(&slots[i]);
    fluke_mutex_reference(&mutex, &refs[0]);
    fluke_mutex_reference(&other_mutex, &refs[1]);
}

static void finish(void)
{
    for (unsigned i = 0; i < 2; i++)
        fluke_ref_destroy(&refs[i]);
    for (unsigned i = 0; i < 3; i++)
        fluke_ref_destroy(&slots[i]);
    fluke_mutex_destroy(&mutex);
    fluke_mutex_destroy(&other_mutex);
    close_service(&service);
}

/* Receives references into its slots, and answers with what they hold. */
static void serve_references(void *slot_count)
{
    struct fluke_ipc_params params = {.receive_ref_table = taken, .receive_ref_count = *(uint64_t *)slot_count};

    fluke_ipc_setup_wait_receive(&service.portset, &params, NULL);
    *(uint64_t *)slot_count = params.receive_ref_count; /* how many are left */
    params.send_ref_table = &taken[0];
    params.send_ref_count = 1;
    fluke_ipc_reply(&params);
}

static void pass_references(void)
{
    uint64_t slot_count = 3;
    struct fluke_ipc_params params = {.send_ref_table = given, .send_ref_count = 2};

    begin();
    fluke_mutex_reference(&mutex, &slots[2]);
    struct worker *server = start(serve_references, &slot_count);
    CHECK(fluke_ipc_call(&service.ref, &params) == FLUKE_SUCCESS);
    CHECK(server->done && slot_count == 1);
    CHECK(fluke_ref_compare(&slots[0], &refs[0]) && fluke_ref_compare(&slots[1], &refs[1]));
    CHECK(fluke_ref_check(&slots[2])); /* left as it was */
    end(server);
    finish();
}

static void return_reference(void)
{
    uint64_t slot_count = 1;
    struct fluke_ipc_params params = {
        .send_ref_table = given, .send_ref_count = 2, .receive_ref_table = &taken[1], .receive_ref_count = 2};

    begin();
    struct worker *server = start(serve_references, &slot_count);
    CHECK(fluke_ipc_call(&service.ref, &params) == FLUKE_SUCCESS);
    CHECK(slot_count == 0); /* the second did not fit */
    CHECK(fluke_ref_compare(&slots[1], &refs[0]));
    CHECK(params.receive_ref_count == 1 && params.receive_ref_table == &taken[2]);
    CHECK(fluke_ref_type(&slots[2]) == FLUKE_NULL);
    end(server);
    finish();
}

static void send_null_reference(void)
{
    uint64_t slot_count = 1;
    struct fluke_ipc_params params = {.send_ref_table = &given[1], .send_ref_count = 1};

    begin();
    fluke_mutex_reference(&mutex, &slots[0]);
    fluke_ref_destroy(&refs[1]);
    fluke_ref_create(&refs[1]);
    struct worker *server = start(serve_references, &slot_count);
    CHECK(fluke_ipc_send(&service.ref, &params) == FLUKE_SUCCESS);
    CHECK(slot_count == 0 && fluke_ref_type(&slots[0]) == FLUKE_NULL);
    end(server);
    finish();
}

/* A client's bad table is the client's mistake; its server waits for the next. */
static void give_no_reference(void)
{
    struct exchange exchange = {.service = &service, .request = 1};
    uint64_t slot_count = 1;
    fluke_ref_t *wrong = (fluke_ref_t *)&mutex;
    struct fluke_ipc_params params = {.send_ref_table = &wrong, .send_ref_count = 1};

    begin();
    struct worker *server = start(serve_references, &slot_count);
    CHECK_MISTAKE(fluke_ipc_call(&service.ref, &params), FLUKE_INSANITY_NOT_REF, wrong);
    params.send_ref_table = NOWHERE;
    CHECK_MISTAKE(fluke_ipc_send(&service.ref, &params), FLUKE_EXCEPTION_LOAD_FAULT, NOWHERE);
    CHECK(waits_for(server) == FLUKE_PORTSET);
    call_service(&exchange);
    CHECK(server->done && exchange.status == FLUKE_SUCCESS);
    end(server);
    finish();
}

/* A server's bad table is the server's mistake; its client waits for another. */
static void take_no_reference(void)
{
    struct exchange exchange = {.service = &service};
    uint64_t slot_count = 1;
    fluke_ref_t *good = taken[0];
    struct fluke_ipc_params params = {.send_ref_table = given, .send_ref_count = 1};

    begin();
    taken[0] = (fluke_ref_t *)&mutex;
    struct worker *server = start(serve_references, &slot_count), *next = start(serve_once, &exchange);
    CHECK(fluke_ipc_call(&service.ref, &params) == FLUKE_SUCCESS);
    CHECK(next->done);
    CHECK_MISTAKE_OF(server, FLUKE_INSANITY_NOT_REF, &mutex);
    taken[0] = good;
    end(server);
    end(next);
    finish();
}

/* Each is found before anybody is asked, so the destination may be any. */
static void check_own_side(void)
{
    static uint64_t words[2];
    struct fluke_ipc_params bad;
    struct {
        uint64_t *field, value, code, subject;
    } mistakes[] = {
        {(uint64_t *)&bad.send_buffer, (uint64_t)words + 4, FLUKE_INSANITY_BUFFER_UNALIGNED, (uint64_t)words + 4},
        {(uint64_t *)&bad.receive_buffer, (uint64_t)words + 1, FLUKE_INSANITY_BUFFER_UNALIGNED, (uint64_t)words + 1},
        {&bad.send_words, 1ul << 41, FLUKE_INSANITY_INVALID_MESSAGE, 1ul << 41},
        {&bad.receive_words, 1ul << 41, FLUKE_INSANITY_INVALID_MESSAGE, 1ul << 41},
        {&bad.send_ref_count, FLUKE_MAX_MESSAGE_REFERENCES + 1, FLUKE_INSANITY_INVALID_MESSAGE,
         FLUKE_MAX_MESSAGE_REFERENCES + 1},
        {&bad.send_buffer_count, FLUKE_MAX_MESSAGE_BUFFERS + 1, FLUKE_INSANITY_INVALID_MESSAGE,
         FLUKE_MAX_MESSAGE_BUFFERS + 1},
        {&bad.receive_buffer_count, FLUKE_MAX_MESSAGE_BUFFERS + 1, FLUKE_INSANITY_INVALID_MESSAGE,
         FLUKE_MAX_MESSAGE_BUFFERS + 1},
        {(uint64_t *)&bad.send_buffer, (uint64_t)NOWHERE, FLUKE_EXCEPTION_LOAD_FAULT, (uint64_t)NOWHERE},
        {(uint64_t *)&bad.receive_buffer, (uint64_t)READ_ONLY, FLUKE_EXCEPTION_STORE_FAULT, (uint64_t)READ_ONLY},
    };

    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        bad = (struct fluke_ipc_params){
            .send_buffer = words, .send_words = 1, .receive_buffer = words, .receive_words = 1};
        *mistakes[i].field = mistakes[i].value;
        CHECK_MISTAKE(fluke_ipc_call(fluke_start_block->timer_ref, &bad), mistakes[i].code, mistakes[i].subject);
    }
}

static void check_destination(void)
{
    struct fluke_ipc_params params = {0};
    fluke_ref_t *wrong = (fluke_ref_t *)&mutex;

    CHECK_MISTAKE(fluke_ipc_call(wrong, &params), FLUKE_INSANITY_NO_OBJECT, wrong);
    fluke_mutex_create(&mutex);
    CHECK_MISTAKE(fluke_ipc_call(wrong, &params), FLUKE_INSANITY_NOT_REF, wrong);
    CHECK_MISTAKE(fluke_ipc_send(wrong, &params), FLUKE_INSANITY_NOT_REF, wrong);
    CHECK_MISTAKE(fluke_ipc_send(NOWHERE, &params), FLUKE_EXCEPTION_LOAD_FAULT, NOWHERE);
    fluke_mutex_destroy(&mutex);
}

/* Receives with room that cannot be written, then rightly; answers what cannot be read, then rightly. */
static void serve_after_mistakes(void *unused)
{
    uint64_t word = 0;
    struct fluke_ipc_params params = {.receive_buffer = READ_ONLY, .receive_words = 1};

    (void)unused;
    fluke_ipc_setup_wait_receive(&service.portset, &params, NULL);
    note('r');
    params = (struct fluke_ipc_params){.receive_buffer = &word, .receive_words = 1};
    fluke_ipc_wait_receive(&params, NULL);
    params = (struct fluke_ipc_params){.send_buffer = NOWHERE, .send_words = 1};
    fluke_ipc_reply(&params);
    note('s');
    params = (struct fluke_ipc_params){.send_buffer = &word, .send_words = 1};
    fluke_ipc_reply(&params);
}

static void mend_mistakes(void)
{
    struct exchange exchange = {.service = &service, .request = 7};

    open_service(&service);
    struct worker *server = start(serve_after_mistakes, NULL);
    CHECK_MISTAKE_OF(server, FLUKE_EXCEPTION_STORE_FAULT, READ_ONLY);
    CHECK(noted("r") && waits_for(server) == FLUKE_PORTSET);
    call_service(&exchange);
    CHECK_MISTAKE_OF(server, FLUKE_EXCEPTION_LOAD_FAULT, NOWHERE);
    CHECK(noted("rs") && exchange.status == FLUKE_SUCCESS && exchange.reply == 7);
    end(server);
    close_service(&service);
}

const struct usertest message_tests[] = {
    {"message_references", "Do references arrive, as many as were sent?", pass_references},
    {"message_reference_back", "Do references come back with an answer, and only those that fit?", return_reference},
    {"message_null_reference", "Does a null reference arrive as one?", send_null_reference},
    {"message_bad_given", "Who is blamed for a reference that is none, of a client?", give_no_reference},
    {"message_bad_taken", "Who is blamed for a reference that is none, of a server?", take_no_reference},
    {"message_impossible", "Are impossible messages refused before anybody is asked?", check_own_side},
    {"message_destination", "What if the destination is no reference?", check_destination},
    {"message_mended", "Can a server go on after a mistake with its own buffers?", mend_mistakes},
    {0},
};
