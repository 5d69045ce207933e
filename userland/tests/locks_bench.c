/* Locks, signals, and a crowd that waits for one mutex, for measurements: locks_bench mutex|cond|crowd COUNT. */

#include <ulib.h>

enum { STACK_SIZE = 4096 };
enum { A0 = 10, S0 = 8, S1 = 9, S2 = 18, S3 = 19 }; /* numbers of registers */

static long count;
static fluke_mutex_t mutex;
static fluke_cond_t changed[2];
static int turn;

/* A mutex that nobody else wants. */
static void lock(void)
{
    for (long i = 0; i < count; i++) {
        fluke_mutex_lock(&mutex);
        fluke_mutex_unlock(&mutex);
    }
}

/* Each of two players waits for its turn, and signals the other: two waits and two signals a round. */
static void play(void *player)
{
    int own = player != NULL;

    fluke_mutex_lock(&mutex);
    for (long i = 0; i < count; i++) {
        while (turn != own)
            fluke_cond_wait(&changed[own], &mutex);
        turn = !own;
        fluke_cond_signal(&changed[!own]);
    }
    fluke_mutex_unlock(&mutex);
}

static void signal_in_turn(void)
{
    fluke_cond_create(&changed[0]);
    fluke_cond_create(&changed[1]);
    fluke_thread_start(play, NULL, STACK_SIZE);
    play(&changed[1]); /* its turn comes after the other's, so it is the last */
}

/*
 * One of the crowd, which needs no stack. It waits for the mutex in a0 and s0, and counts itself in s1 if it is the
 * number in s2 that gets it. Then it waits for the mutex in s3, for ever.
 */
__attribute__((naked)) static void one_of_crowd(void)
{
    __asm__ volatile("    li   a7, %0\n"
                     "    ecall\n"
                     "    ld   t0, 0(s1)\n"
                     "    bne  t0, s2, 1f\n"
                     "    addi t0, t0, 1\n"
                     "    sd   t0, 0(s1)\n"
                     "1:  mv   a0, s0\n"
                     "    li   a7, %1\n"
                     "    ecall\n"
                     "    mv   a0, s3\n"
                     "    li   a7, %0\n"
                     "    ecall\n"
                     :
                     : "i"(FLUKE_CALL_MUTEX_LOCK), "i"(FLUKE_CALL_MUTEX_UNLOCK));
}

/* Threads of a higher priority than this one: each waits as soon as it is started, each runs as soon as it is woken. */
static void crowd(void)
{
    static fluke_mutex_t end;
    static volatile long woken;
    struct fluke_thread_state state = {.priority = FLUKE_PRIORITY_DEFAULT + 1, .pc = (uint64_t)one_of_crowd};
    fluke_thread_t *threads = malloc((size_t)count * sizeof *threads);

    state.x[A0] = state.x[S0] = (uint64_t)&mutex;
    state.x[S1] = (uint64_t)&woken;
    state.x[S3] = (uint64_t)&end;
    fluke_mutex_create(&end);
    fluke_mutex_lock(&end);
    fluke_mutex_lock(&mutex);
    for (long i = 0; i < count; i++) {
        if (threads == NULL || fluke_thread_create(&threads[i]) != FLUKE_SUCCESS) {
            puts("not enough memory for the threads");
            exit(1);
        }
        state.thread_va = (uint64_t)&threads[i];
        state.x[S2] = (uint64_t)i;
        fluke_thread_set_state(&threads[i], &state, fluke_start_block->space_ref, NULL, NULL, NULL, NULL);
    }
    puts("blocked");
    getchar(); /* who measures may look, and go on with a line of input */
    fluke_mutex_unlock(&mutex);
    if (woken != count) {
        printf("only %ld woken in order\n", woken);
        exit(1);
    }
    puts("woken in order");
}

static const struct {
    const char *name;
    void (*run)(void);
} operations[] = {
    {"mutex", lock},
    {"cond", signal_in_turn},
    {"crowd", crowd},
};

int main(int argc, char **argv)
{
    count = argc > 2 ? atoi(argv[2]) : 1000;
    fluke_mutex_create(&mutex);
    for (size_t i = 0; argc > 1 && count >= 0 && i < sizeof operations / sizeof *operations; i++) {
        if (strcmp(argv[1], operations[i].name) == 0) {
            operations[i].run();
            printf("%s: %ld times\n", argv[1], count);
            return 0;
        }
    }
    puts("usage: locks_bench mutex|cond|crowd [COUNT]");
    return 2;
}
