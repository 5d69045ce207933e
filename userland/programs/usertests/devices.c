/* The devices that a program is given: console and timer. */

#include "usertests.h"

/* Asks a device; the reply's first two words. */
static struct { uint64_t status, word; } reply;

static fluke_error_t ask(fluke_ref_t *device, uint64_t operation, uint64_t first, uint64_t second)
{
    uint64_t request[] = {operation, first, second, 'x'};
    struct fluke_ipc_params params = {
        .send_buffer = request, .send_words = 4, .receive_buffer = &reply, .receive_words = 2};

    reply.status = UINT64_MAX;
    return fluke_ipc_call(device, &params);
}

static void probe(void)
{
    CHECK(ask(fluke_start_block->console_ref, FLUKE_DEVICE_PROBE, 0, 0) == FLUKE_SUCCESS);
    CHECK(reply.status == FLUKE_DEVICE_OK);
    CHECK(ask(fluke_start_block->timer_ref, FLUKE_DEVICE_PROBE, 0, 0) == FLUKE_SUCCESS);
    CHECK(reply.status == FLUKE_DEVICE_OK);
}

static void ask_wrongly(void)
{
    ask(fluke_start_block->timer_ref, 99, 0, 0);
    CHECK(reply.status == FLUKE_DEVICE_BAD_REQUEST);
    ask(fluke_start_block->timer_ref, FLUKE_TIMER_WAIT_UNTIL, UINT64_MAX, 0);
    CHECK(reply.status == FLUKE_DEVICE_BAD_REQUEST);
    ask(fluke_start_block->console_ref, 99, 0, 0);
    CHECK(reply.status == FLUKE_DEVICE_BAD_REQUEST);
    ask(fluke_start_block->console_ref, FLUKE_CONSOLE_WRITE, 0, 100); /* more bytes than there are */
    CHECK(reply.status == FLUKE_DEVICE_BAD_REQUEST);
}

/* What stands at an offset already is not written again, and a gap is not left. */
static void write_again(void)
{
    ask(fluke_start_block->console_ref, FLUKE_CONSOLE_WRITE, 1ul << 40, 1);
    CHECK(reply.status == FLUKE_DEVICE_BAD_OFFSET);
    uint64_t written = reply.word;
    CHECK(written > 0); /* the program has begun with a line */
    ask(fluke_start_block->console_ref, FLUKE_CONSOLE_WRITE, 0, 1);
    CHECK(reply.status == FLUKE_DEVICE_OK && reply.word == written);
}

static void refer_to_devices(void)
{
    CHECK(fluke_ref_type(fluke_start_block->console_ref) == FLUKE_PORT);
    CHECK(fluke_ref_type(fluke_start_block->timer_ref) == FLUKE_PORT);
    CHECK(fluke_ref_type(fluke_start_block->parent_ref) == FLUKE_PORT);
    CHECK(fluke_ref_type(fluke_start_block->space_ref) == FLUKE_SPACE);
    CHECK(fluke_ref_compare(fluke_start_block->console_ref, fluke_start_block->timer_ref) == 0);
}

static void take_little(void)
{
    uint64_t request = FLUKE_TIMER_NOW, room[] = {90, 91};
    struct fluke_ipc_params params = {
        .send_buffer = &request, .send_words = 1, .receive_buffer = room, .receive_words = 1};

    CHECK(fluke_ipc_call(fluke_start_block->timer_ref, &params) == FLUKE_SUCCESS);
    CHECK(params.words_received == 1 && room[0] == FLUKE_DEVICE_OK && room[1] == 91);
    CHECK(fluke_ipc_send(fluke_start_block->timer_ref, &params) == FLUKE_SUCCESS); /* an answer is not waited for */
}

static void tell_time(void)
{
    uint64_t before, instant, after;

    ask_timer(FLUKE_TIMER_NOW, 0, &before);
    CHECK(ask_timer(FLUKE_TIMER_WAIT_UNTIL, before, &instant) == FLUKE_DEVICE_OK); /* it has come already */
    CHECK(instant == before);
    CHECK(ask_timer(FLUKE_TIMER_WAIT_UNTIL, before + 50000, &instant) == FLUKE_DEVICE_OK);
    CHECK(instant == before + 50000);
    ask_timer(FLUKE_TIMER_NOW, 0, &after);
    CHECK(after >= instant);
}

struct sleep {
    uint64_t end_ns;
    char event;
};

static void sleep_and_note(void *argument)
{
    const struct sleep *sleep = argument;

    ask_timer(FLUKE_TIMER_WAIT_UNTIL, sleep->end_ns, NULL);
    note(sleep->event);
}

static void wake_in_order(void)
{
    uint64_t now;

    ask_timer(FLUKE_TIMER_NOW, 0, &now);
    struct sleep later = {now + 200000, 'b'}, earlier = {now + 100000, 'a'};
    struct worker *one = start(sleep_and_note, &later), *two = start(sleep_and_note, &earlier);
    CHECK(waits_for(one) == FLUKE_PORT && noted(""));
    ask_timer(FLUKE_TIMER_WAIT_UNTIL, now + 300000, NULL);
    CHECK(noted("ab"));
    end(one);
    end(two);
}

/* It is not answered while it is stopped, and asks again for an instant that has passed. */
static void stop_sleeper(void)
{
    struct fluke_thread_state state;
    uint64_t now;

    ask_timer(FLUKE_TIMER_NOW, 0, &now);
    struct sleep sleep = {now + 50000, 'a'};
    struct worker *worker = start(sleep_and_note, &sleep);
    get_state(worker, &state);
    CHECK(is_on_call(&state, FLUKE_CALL_IPC_CALL));
    ask_timer(FLUKE_TIMER_WAIT_UNTIL, now + 100000, NULL);
    CHECK(noted(""));
    set_state(worker, &state);
    CHECK(noted("a") && worker->done);
    end(worker);
}

const struct usertest device_tests[] = {
    {"device_probe", "Are the console and the timer there?", probe},
    {"device_references", "What are the references that a program starts with?", refer_to_devices},
    {"device_bad_request", "Are requests refused that make no sense?", ask_wrongly},
    {"device_short_reply", "Is a device's answer cut off where the room ends?", take_little},
    {"console_repeated", "Is a repeated write acknowledged, and not done again?", write_again},
    {"timer", "Does time go on, and a sleep last as long as it should?", tell_time},
    {"timer_order", "Do sleepers wake in the order of their instants?", wake_in_order},
    {"timer_stopped", "Does a sleeper wake that was stopped when its time had come?", stop_sleeper},
    {0},
};
