/* The two ends of a simple exchange of messages. */

#include "usertests.h"

void open_service(struct service *service)
{
    struct fluke_port_state state = {.alias = SERVICE_ALIAS};

    fluke_portset_create(&service->portset);
    fluke_port_create(&service->port);
    fluke_ref_create(&service->ref);
    fluke_portset_reference(&service->portset, &service->ref);
    fluke_port_set_state(&service->port, &state, &service->ref);
    fluke_port_reference(&service->port, &service->ref);
}

void close_service(struct service *service)
{
    fluke_ref_destroy(&service->ref);
    fluke_port_destroy(&service->port);
    fluke_portset_destroy(&service->portset);
}

void call_service(void *argument)
{
    struct exchange *exchange = argument;
    struct fluke_ipc_params params = {
        .send_buffer = &exchange->request,
        .send_words = 1,
        .receive_buffer = &exchange->reply,
        .receive_words = 1,
    };

    exchange->status = fluke_ipc_call(&exchange->service->ref, &params);
    exchange->words_replied = params.words_received;
}

void send_to_service(void *argument)
{
    struct exchange *exchange = argument;
    struct fluke_ipc_params params = {.send_buffer = &exchange->request, .send_words = 1};

    exchange->status = fluke_ipc_send(&exchange->service->ref, &params);
}

void serve_once(void *argument)
{
    struct exchange *exchange = argument;
    uint64_t reply;
    struct fluke_ipc_params params = {
        .receive_buffer = &exchange->received,
        .receive_words = 1,
        .send_buffer = &reply,
        .send_words = 1,
    };

    exchange->receive_status = fluke_ipc_setup_wait_receive(&exchange->service->portset, &params, &exchange->alias);
    exchange->kind = params.message_kind;
    exchange->words_received = params.words_received;
    if (exchange->gate != NULL)
        lock_and_unlock(exchange->gate);
    reply = exchange->received + 1;
    exchange->reply_status = fluke_ipc_reply(&params);
}

uint64_t ask_timer(uint64_t operation, uint64_t instant_ns, uint64_t *now_ns)
{
    uint64_t request[] = {operation, instant_ns}, reply[2] = {UINT64_MAX, 0};
    struct fluke_ipc_params params = {
        .send_buffer = request, .send_words = 2, .receive_buffer = reply, .receive_words = 2};

    fluke_ipc_call(fluke_start_block->timer_ref, &params);
    if (now_ns != NULL)
        *now_ns = reply[1];
    return reply[0];
}

void sleep_ns(uint64_t duration_ns)
{
    uint64_t now_ns;

    ask_timer(FLUKE_TIMER_NOW, 0, &now_ns);
    ask_timer(FLUKE_TIMER_WAIT_UNTIL, now_ns + duration_ns, NULL);
}
