/* Uses what it was given by name: service_client names NAME...|call NAME TEXT|send NAME TEXT|lend|seize. */

#include <ulib.h>

enum { PAGE = FLUKE_PAGE_SIZE, TEXT_MAX = 64 };

static char *const window = (char *)(1ul << 37);
static _Alignas(PAGE) char page[PAGE];
static fluke_ref_t ref;
static fluke_region_t region;
static fluke_mapping_t mapping;

/* A request of one text and one reference, either of which may be null; the text is replaced by the reply's. */
static fluke_error_t call(const char *name, char *text, fluke_ref_t *sent, fluke_ref_t *received)
{
    fluke_ref_t *to_send[] = {sent}, *to_fill[] = {received};
    struct fluke_ipc_params params = {
        .send_buffer = text, .send_words = text == NULL ? 0 : (strlen(text) + 8) / 8,
        .receive_buffer = text, .receive_words = text == NULL ? 0 : TEXT_MAX / 8,
        .send_ref_table = to_send, .send_ref_count = sent != NULL,
        .receive_ref_table = to_fill, .receive_ref_count = received != NULL};

    return fluke_ipc_call(fluke_service(name), &params);
}

/* Gives its own memory to the service "board", a mutex in it, and says what becomes of the mutex. */
static int lend(void)
{
    struct fluke_region_state state = {.start_va = (uint64_t)page, .size = PAGE, .prot = FLUKE_PROT_ALL};
    struct fluke_mutex_state mutex_state;
    fluke_mutex_t *mutex = (fluke_mutex_t *)page;

    fluke_mutex_create(mutex);
    strcpy(page + 64, "written by the program");
    fluke_region_create(&region);
    fluke_region_set_state(&region, &state, fluke_start_block->space_ref, NULL);
    fluke_ref_create(&ref);
    fluke_region_reference(&region, &ref);
    call("board", NULL, &ref, NULL);
    printf("trylock: %d\n", fluke_mutex_trylock(mutex));
    call("board", NULL, NULL, NULL);
    fluke_mutex_get_state(mutex, &mutex_state, NULL);
    printf("owner dead: %d\n", (mutex_state.flags & FLUKE_MUTEX_OWNER_DEAD) != 0);
    puts(page + 64);
    return 0;
}

/* Maps memory of the service "board", with a thread at its start, reads that one out and loads it. */
static int seize(void)
{
    struct fluke_mapping_state state = {.start_va = (uint64_t)window, .size = PAGE, .prot = FLUKE_PROT_ALL};
    static struct fluke_thread_state thread_state;

    fluke_ref_create(&ref);
    call("board", NULL, NULL, &ref);
    fluke_mapping_create(&mapping);
    fluke_mapping_set_state(&mapping, &state, &ref, fluke_start_block->space_ref);
    fluke_thread_get_state((fluke_thread_t *)(window), &thread_state, NULL, NULL, NULL, NULL, NULL);
    printf("in call %lx, stopped %lu\n", thread_state.x[17], thread_state.flags & FLUKE_THREAD_STOPPED);
    fluke_thread_set_state((fluke_thread_t *)(window), &thread_state, NULL, NULL, NULL, NULL, NULL);
    puts("loaded");
    return 0;
}

int main(int argc, char **argv)
{
    const char *deed = argc > 1 ? argv[1] : "";
    static char text[TEXT_MAX];

    if (strcmp(deed, "lend") == 0)
        return lend();
    if (strcmp(deed, "seize") == 0)
        return seize();
    if (strcmp(deed, "names") == 0) {
        for (int i = 2; i < argc; i++)
            printf("%s: %s\n", argv[i], fluke_service(argv[i]) == NULL ? "no" : "yes");
        return 0;
    }
    if (argc < 4)
        return 2;
    strncpy(text, argv[3], TEXT_MAX - 1);
    if (strcmp(deed, "send") == 0) {
        struct fluke_ipc_params params = {.send_buffer = text, .send_words = (strlen(text) + 8) / 8};
        printf("status %d\n", fluke_ipc_send(fluke_service(argv[2]), &params));
        return 0;
    }
    printf("status %d", call(argv[2], text, NULL, NULL));
    printf(": %s\n", text);
    return 0;
}
