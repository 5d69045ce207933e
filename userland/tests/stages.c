/* Makes the two calls that the reference pages follow stage by stage: the first thread by a second one's help. */

#include <ulib.h>

enum { STACK_SIZE = 4096, SENT = 1500, ROOM = 500, ANSWERED = 2 };

static fluke_mutex_t mutex, turn;
static fluke_cond_t cond;
static fluke_portset_t portset;
static fluke_port_t port;
static fluke_ref_t portset_ref, port_ref, passed, taken;
static uint64_t request[SENT], answer[ANSWERED], room[SENT];
static fluke_ref_t *passed_table[] = {&passed}, *taken_table[] = {&taken};

/* Signals while it has the mutex itself, so that the waiter goes from the condition to the mutex. */
static void signal(void)
{
    fluke_mutex_lock(&mutex);
    fluke_cond_signal(&cond);
    fluke_sleep_us(10);
    fluke_mutex_unlock(&mutex);
}

/* Comes late, takes the message in two pieces, and answers. */
static void serve(void)
{
    struct fluke_ipc_params params = {.receive_buffer = room, .receive_words = ROOM};

    fluke_ipc_setup_wait_receive(&portset, &params, NULL);
    params = (struct fluke_ipc_params){.receive_buffer = room, .receive_words = SENT, .receive_ref_table = taken_table,
                                       .receive_ref_count = 1};
    fluke_ipc_server_receive(&params);
    params = (struct fluke_ipc_params){.send_buffer = answer, .send_words = ANSWERED};
    fluke_ipc_server_ack_send(&params);
    fluke_ipc_server_over_receive(&params);
}

static void help(void *unused)
{
    (void)unused;
    fluke_sleep_us(10);
    signal();
    fluke_mutex_lock(&turn);
    serve();
    fluke_mutex_unlock(&turn);
}

int main(void)
{
    struct fluke_port_state state = {0};
    struct fluke_ipc_params params = {
        .send_buffer = request, .send_words = SENT, .send_ref_table = passed_table, .send_ref_count = 1,
        .receive_buffer = answer, .receive_words = ANSWERED + 1,
    };

    fluke_mutex_create(&mutex);
    fluke_mutex_create(&turn);
    fluke_cond_create(&cond);
    fluke_portset_create(&portset);
    fluke_port_create(&port);
    fluke_ref_create(&portset_ref);
    fluke_ref_create(&port_ref);
    fluke_ref_create(&passed);
    fluke_ref_create(&taken);
    fluke_portset_reference(&portset, &portset_ref);
    fluke_port_set_state(&port, &state, &portset_ref);
    fluke_port_reference(&port, &port_ref);

    fluke_mutex_lock(&turn);
    fluke_thread_start(help, NULL, STACK_SIZE);
    fluke_mutex_lock(&mutex);
    fluke_cond_wait(&cond, &mutex);
    fluke_mutex_unlock(&mutex);

    fluke_mutex_unlock(&turn);
    fluke_ipc_client_connect_send_over_receive(&port_ref, &params);
    fluke_ipc_client_disconnect();
    fluke_mutex_lock(&turn);
    fluke_mutex_unlock(&turn);
    return 0;
}
