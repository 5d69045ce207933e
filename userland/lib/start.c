/* How a program starts and ends. */

#include "internal.h"
#include <ulib.h>

const struct fluke_start_block *fluke_start_block;

int main(int argc, char **argv);

_Noreturn void fluke_start_program(const struct fluke_start_block *start)
{
    fluke_start_block = start;
    fluke_heap_start();
    fluke_console_start();
    fluke_threads_start();
    fluke_exit(main((int)start->argc, start->argv));
}

_Noreturn void fluke_exit(int status)
{
    uint64_t request[] = {FLUKE_PARENT_EXIT, (uint64_t)status};
    struct fluke_ipc_params params = {.send_buffer = request, .send_words = 2};

    fluke_ipc_call(fluke_start_block->parent_ref, &params);
    /* Nobody there to take the exit: all that is left is to stop. */
    for (;;)
        __asm__ volatile("ebreak");
}

_Noreturn void exit(int status)
{
    fluke_exit(status);
}

char *getenv(const char *name)
{
    size_t length = strlen(name);

    for (char **entry = fluke_start_block->environment; *entry != NULL; entry++)
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    return NULL;
}

fluke_ref_t *fluke_service(const char *name)
{
    const struct fluke_service *services = fluke_start_block->services;

    for (uint64_t i = 0; i < fluke_start_block->service_count; i++)
        if (strcmp(services[i].name, name) == 0)
            return services[i].ref;
    return NULL;
}
