/* Runs code that makes Linux's system calls, which the keeper of its space carries out: foreign [LINES]. */

/*
 * The guest is a function that knows nothing of Fluke: it writes and exits with the call numbers and conventions of
 * Linux, which are no calls here. Each is a mistake of the guest's thread, which has no handler, so its space's keeper
 * is asked: a message with the thread's registers. The keeper is an ordinary thread of this program. It does what the
 * number says, and answers with the registers as the call would have left them.
 *
 * The guest's space shows the program's code and variables at the same addresses, so the keeper can follow the guest's
 * pointers; what it is given, it checks.
 */

#include <ulib.h>

enum { SYS_WRITE = 64, SYS_EXIT = 93, SYS_GETPID = 172, SYS_REBOOT = 142 };
enum { EBADF = 9, EFAULT = 14, ENOSYS = 38, PID = 42 };
enum { SP = 2, A0 = 10, STACK_SIZE = 4096, ECALL_SIZE = 4 };

static fluke_portset_t portset;
static fluke_port_t port;
static fluke_space_t space;
static fluke_region_t region;
static fluke_mapping_t mapping;
static fluke_ref_t port_ref, space_ref, region_ref;
static fluke_thread_t guest;
static _Alignas(16) char stack[STACK_SIZE];

static fluke_mutex_t mutex; /* guards what follows */
static fluke_cond_t ended;
static bool has_ended;
static uint64_t status, calls, lines = 3;

/* -- The guest ---------------------------------------------------------------------------------------------------- */

static int64_t linux_call(uint64_t number, uint64_t first, uint64_t second, uint64_t third)
{
    register uint64_t a7 __asm__("a7") = number;
    register uint64_t a0 __asm__("a0") = first;
    register uint64_t a1 __asm__("a1") = second;
    register uint64_t a2 __asm__("a2") = third;

    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return (int64_t)a0;
}

static int64_t write(uint64_t file, const char *text, size_t size)
{
    return linux_call(SYS_WRITE, file, (uint64_t)text, size);
}

static void be_guest(uint64_t count)
{
    char line[80];
    int64_t pid = linux_call(SYS_GETPID, 0, 0, 0), written = 0;

    for (uint64_t number = 1; number <= count; number++) {
        int size = snprintf(line, sizeof line, "line %lu of process %ld\n", number, pid);
        written += write(1, line, (size_t)size);
    }
    int size = snprintf(line, sizeof line, "written: %ld; to another file: %ld; from nowhere: %ld; reboot: %ld\n",
                        written, write(7, line, 1), write(1, NULL, 1), linux_call(SYS_REBOOT, 0, 0, 0));
    write(1, line, (size_t)size);
    linux_call(SYS_EXIT, count % 256, 0, 0);
}

/* -- The keeper --------------------------------------------------------------------------------------------------- */

static bool is_seen(uint64_t address, uint64_t size)
{
    uint64_t start = FLUKE_USER_START, end = fluke_start_block->heap_end;

    return address >= start && address < end && size <= end - address;
}

/* Does a call of the guest's, and returns its result. */
static int64_t do_call(uint64_t number, const uint64_t *arguments)
{
    switch (number) {
    case SYS_WRITE:
        if (arguments[0] != 1)
            return -EBADF;
        if (!is_seen(arguments[1], arguments[2]))
            return -EFAULT;
        return (int64_t)fluke_console_write((const char *)arguments[1], arguments[2]);
    case SYS_GETPID:
        return PID;
    default:
        return -ENOSYS;
    }
}

static void note_end(uint64_t with)
{
    fluke_mutex_lock(&mutex);
    status = with;
    has_ended = true;
    fluke_cond_signal(&ended);
    fluke_mutex_unlock(&mutex);
}

static void keep(void *unused)
{
    static struct fluke_exception_message question;
    static struct fluke_exception_reply reply;
    struct fluke_ipc_params params = {.receive_buffer = &question,
                                      .receive_words = sizeof question / FLUKE_WORD_SIZE};

    (void)unused;
    fluke_ipc_setup_wait_receive(&portset, &params, NULL);
    for (;;) {
        reply.verdict = FLUKE_EXCEPTION_STOP; /* also for what is no call, and for what is no question */
        if (params.message_kind == FLUKE_MESSAGE_EXCEPTION && question.code == FLUKE_EXCEPTION_FOREIGN_SYSTEM_CALL
            && question.subcode != SYS_EXIT) {
            calls++;
            reply.verdict = FLUKE_EXCEPTION_RESUME;
            reply.pc = question.pc + ECALL_SIZE;
            memcpy(reply.x, question.x, sizeof reply.x);
            reply.x[A0] = (uint64_t)do_call(question.subcode, &question.x[A0]);
        } else {
            fluke_thread_destroy(&guest); /* it asks for nothing any more */
            note_end(question.code == FLUKE_EXCEPTION_FOREIGN_SYSTEM_CALL ? question.x[A0] : 128);
        }
        params = (struct fluke_ipc_params){.send_buffer = &reply,
                                           .send_words = sizeof reply / FLUKE_WORD_SIZE,
                                           .receive_buffer = &question,
                                           .receive_words = sizeof question / FLUKE_WORD_SIZE};
        fluke_ipc_reply_wait_receive(&params, NULL);
    }
}

static void open_keeper(void)
{
    struct fluke_port_state state = {0};
    fluke_ref_t portset_ref;

    fluke_portset_create(&portset);
    fluke_port_create(&port);
    fluke_ref_create(&portset_ref);
    fluke_portset_reference(&portset, &portset_ref);
    fluke_port_set_state(&port, &state, &portset_ref);
    fluke_ref_destroy(&portset_ref);
    fluke_ref_create(&port_ref);
    fluke_port_reference(&port, &port_ref);
}

/* -- The guest's space -------------------------------------------------------------------------------------------- */

static void open_space(void)
{
    uint64_t start = FLUKE_USER_START, size = fluke_start_block->heap_end - FLUKE_USER_START;
    struct fluke_region_state in_region = {.start_va = start, .size = size, .prot = FLUKE_PROT_ALL};
    struct fluke_mapping_state in_space = {.start_va = start, .size = size, .prot = FLUKE_PROT_ALL};

    fluke_space_create(&space);
    fluke_ref_create(&space_ref);
    fluke_space_reference(&space, &space_ref);
    fluke_space_set_state(&space, NULL, &port_ref);
    fluke_region_create(&region);
    fluke_region_set_state(&region, &in_region, fluke_start_block->space_ref, NULL);
    fluke_ref_create(&region_ref);
    fluke_region_reference(&region, &region_ref);
    fluke_mapping_create(&mapping);
    fluke_mapping_set_state(&mapping, &in_space, &region_ref, &space_ref);
}

static void start_guest(void)
{
    struct fluke_thread_state state = {
        .thread_va = (uint64_t)&guest,
        .priority = FLUKE_PRIORITY_DEFAULT,
        .pc = (uint64_t)be_guest,
        .x = {[SP] = (uint64_t)(stack + STACK_SIZE), [A0] = lines},
    };

    fluke_thread_create(&guest);
    fluke_thread_set_state(&guest, &state, &space_ref, NULL, NULL, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        lines = (uint64_t)atol(argv[1]);
    fluke_mutex_create(&mutex);
    fluke_cond_create(&ended);
    open_keeper();
    open_space();
    if (fluke_thread_start(keep, NULL, STACK_SIZE) == NULL) {
        puts("foreign: no memory");
        return 1;
    }
    start_guest();

    fluke_mutex_lock(&mutex);
    while (!has_ended)
        fluke_cond_wait(&ended, &mutex);
    fluke_mutex_unlock(&mutex);
    printf("the guest has exited with %lu, after %lu calls\n", status, calls);
    return 0;
}
