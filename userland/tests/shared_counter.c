/* Adds to a counter in memory that the service "board" shares, under a mutex there: shared_counter N. */

#include <ulib.h>

/* What lies in the shared page. An object's bytes are not used: only its place counts. */
struct board {
    fluke_mutex_t mutex;
    fluke_cond_t changed;
    volatile uint64_t counter;
};

enum { PAGE = FLUKE_PAGE_SIZE };

static struct board *const board = (struct board *)(1ul << 37);
static fluke_ref_t region_ref;
static fluke_mapping_t mapping;

/* Asks the service for its memory and maps it. */
static bool map_board(void)
{
    fluke_ref_t *service = fluke_service("board"), *references[] = {&region_ref};
    struct fluke_ipc_params params = {.receive_ref_table = references, .receive_ref_count = 1};
    struct fluke_mapping_state state = {
        .start_va = (uint64_t)board, .size = PAGE, .prot = FLUKE_PROT_READ | FLUKE_PROT_WRITE};

    fluke_ref_create(&region_ref);
    if (service == NULL || fluke_ipc_call(service, &params) != FLUKE_SUCCESS || params.receive_ref_count != 0)
        return false;
    fluke_mapping_create(&mapping);
    fluke_mapping_set_state(&mapping, &state, &region_ref, fluke_start_block->space_ref);
    return true;
}

int main(int argc, char **argv)
{
    long turns = argc > 1 ? atol(argv[1]) : 0;

    if (!map_board()) {
        puts("there is no board");
        return 1;
    }
    for (long i = 0; i < turns; i++) {
        fluke_mutex_lock(&board->mutex);
        uint64_t before = board->counter;
        for (volatile int pause = 0; pause < 100; pause++)
            ; /* long enough to be disturbed, were there no mutex */
        board->counter = before + 1;
        fluke_cond_broadcast(&board->changed);
        fluke_mutex_unlock(&board->mutex);
    }
    return 0;
}
