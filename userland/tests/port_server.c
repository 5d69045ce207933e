/* Hands a port to the service "board" and adds one to each word that comes there, when "board" says so: port_server. */

#include <ulib.h>

static fluke_portset_t portset;
static fluke_port_t port;
static fluke_ref_t port_ref;
static uint64_t word;

static struct fluke_ipc_params answer(void)
{
    return (struct fluke_ipc_params){
        .send_buffer = &word, .send_words = 1, .receive_buffer = &word, .receive_words = 1};
}

static void ask_board(struct fluke_ipc_params params)
{
    fluke_ipc_call(fluke_service("board"), &params);
}

/* What comes in a reliable connection is answered, and the connection goes on until it is ended. */
int main(void)
{
    fluke_ref_t *handed[] = {&port_ref};
    struct fluke_ipc_params params = answer();

    fluke_portset_create(&portset);
    fluke_open_port(&port, &portset, 0, &port_ref);
    ask_board((struct fluke_ipc_params){.send_ref_table = handed, .send_ref_count = 1});
    fluke_ipc_setup_wait_receive(&portset, &params, NULL);
    for (;;) {
        uint64_t kind = params.message_kind;

        ask_board((struct fluke_ipc_params){.send_buffer = &word, .send_words = 1});
        word++;
        params = answer();
        if (kind != FLUKE_MESSAGE_RELIABLE) {
            fluke_ipc_reply_wait_receive(&params, NULL);
        } else if (fluke_ipc_server_ack_send_over_receive(&params) == FLUKE_SUCCESS) {
            params.message_kind = kind;
        } else {
            params = answer();
            fluke_ipc_wait_receive(&params, NULL);
        }
    }
}
