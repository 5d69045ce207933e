/* Loads a program from a store, stands in for its host, and can write it down: manager [OPTIONS] PROGRAM [ARGUMENTS] */

/*
 * The program is a child in this one's memory, and cannot tell; so it can be this program again, to any depth. It is
 * read from the service `store`, which it is given too, as all that this program was.
 *
 *     -c REQUESTS  after every so many requests of the child's, its image is put into the store, it is ended, and made
 *                  again of the image
 *     -o NAME      the name of the image (image)
 *     -m KIB       memory of the child (half of the heap)
 *     -r NAME      go on with an image, in the place of PROGRAM; the input has to be the same from its beginning
 *
 * With a service `orders` it does what it is told there, and none of this.
 */

#include "manager.h"

enum { MOST_KIB = 1 << 28, MOST_REQUESTS = 1000000000 };

static int complain(void)
{
    puts("usage: manager [-c REQUESTS] [-o NAME] [-m KIB] PROGRAM [ARGUMENTS]\n"
         "       manager [-c REQUESTS] [-o NAME] [-m KIB] -r NAME");
    return 2;
}

/* Takes the options and arguments; false if they are not as they should be. */
static bool take_arguments(struct task *task, int argc, char **argv)
{
    long kib = (long)((fluke_start_block->heap_end - fluke_start_block->heap_start) / 2 / 1024);
    int i = 1;

    task->name = "image";
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        bool is_right = false;

        if (strcmp(argv[i], "-c") == 0)
            is_right = fluke_number(argv[i + 1], 1, MOST_REQUESTS, &task->every);
        else if (strcmp(argv[i], "-m") == 0)
            is_right = fluke_number(argv[i + 1], 1, MOST_KIB, &kib);
        else if (strcmp(argv[i], "-o") == 0)
            is_right = (task->name = argv[i + 1])[0] != '\0';
        else if (strcmp(argv[i], "-r") == 0)
            is_right = task->is_image = (task->program = argv[i + 1])[0] != '\0';
        if (!is_right)
            return false;
    }
    task->memory_size = (size_t)kib * 1024;
    task->argc = argc - i;
    task->argv = argv + i;
    if (!task->is_image && i < argc && argv[i][0] != '-')
        task->program = argv[i];
    return task->is_image ? i == argc : task->program != NULL;
}

/* Serves the child until it has exited, or cannot go on; returns its status. */
static int serve(const struct task *task)
{
    uint64_t failures = child.failures;

    while (fluke_child_serve(&child)) {
        if (child.failures != failures && has_failed()) {
            printf("manager: %s cannot go on: exception 0x%lx at 0x%lx\n", task->program, child.failure.code,
                   child.failure.pc);
            return 1;
        }
        failures = child.failures;
        if (task->every > 0 && child.requests % (uint64_t)task->every == 0)
            renew_child(task);
    }
    return child.status;
}

int main(int argc, char **argv)
{
    static struct task task;
    fluke_ref_t *orders = fluke_service("orders");

    if (orders != NULL)
        return serve_orders(orders);
    if (!take_arguments(&task, argc, argv))
        return complain();
    task.environment = fluke_start_block->environment;
    task.store = fluke_service("store");
    if (task.store == NULL) {
        puts("manager: there is no service 'store' to load programs from");
        return 1;
    }
    if (!(task.is_image ? resume_child(&task) : load_child(&task)))
        return 1;
    int status = serve(&task);
    end_images();
    fluke_child_close(&child);
    return status;
}
