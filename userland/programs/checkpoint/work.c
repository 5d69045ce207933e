/* What a child does: many things at once, which come to the same however often it is created again. */

#include "work.h"

static const struct {
    const char *name;
    void (*run)(struct job *job);
} works[] = {
    {"items", pass_items},        {"calls", call_server}, {"connection", keep_connection}, {"naps", take_naps},
    {"fractions", add_fractions}, {"cell", use_cell},     {"pages", touch_pages},
};

enum { JOBS = sizeof works / sizeof *works };

/* Variables are zero at the start: so a child needs nothing of the program's file. */
static struct job jobs[JOBS], sleepers_job;

static fluke_mutex_t mutex; /* guards what jobs have come to */
static fluke_cond_t changed;

void finish(struct job *job, uint64_t result, bool is_right)
{
    fluke_mutex_lock(&mutex);
    job->result = result;
    job->is_right = is_right;
    job->is_done = true;
    fluke_cond_signal(&changed);
    fluke_mutex_unlock(&mutex);
}

void start(void (*function)(void *), void *argument)
{
    if (fluke_thread_start(function, argument, JOB_STACK_SIZE) == NULL) {
        puts("not enough memory for the threads");
        exit(1);
    }
}

uint64_t mixed(uint64_t number)
{
    return (number + 1) * 0x9e3779b97f4a7c15 ^ number << 7;
}

static void run(void *argument)
{
    struct job *job = argument;

    job->run(job);
}

/* -- A thread that is stopped the whole time ---------------------------------------------------------------------- */

static fluke_thread_t sleeper;

static void wake_up(struct job *job)
{
    finish(job, 1, true);
    for (;;)
        fluke_sleep_us(1000000);
}

static bool make_sleeper(void)
{
    struct fluke_thread_state state = {.thread_va = (uint64_t)&sleeper,
                                       .flags = FLUKE_THREAD_STOPPED,
                                       .priority = FLUKE_PRIORITY_DEFAULT,
                                       .pc = (uint64_t)wake_up};
    char *stack = malloc(JOB_STACK_SIZE);

    if (stack == NULL)
        return false;
    sleepers_job.name = "sleeper";
    state.x[2] = (uint64_t)stack + JOB_STACK_SIZE; /* sp */
    state.x[10] = (uint64_t)&sleepers_job;         /* a0 */
    fluke_thread_create(&sleeper);
    fluke_thread_set_state(&sleeper, &state, fluke_start_block->space_ref, NULL, NULL, NULL, NULL);
    return true;
}

static void start_sleeper(void)
{
    struct fluke_thread_state state;

    fluke_thread_get_state(&sleeper, &state, NULL, NULL, NULL, NULL, NULL);
    state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    fluke_thread_set_state(&sleeper, &state, NULL, NULL, NULL, NULL, NULL);
}

/* -- All ---------------------------------------------------------------------------------------------------------- */

static bool wait_for(struct job *job)
{
    fluke_mutex_lock(&mutex);
    while (!job->is_done)
        fluke_cond_wait(&changed, &mutex);
    fluke_mutex_unlock(&mutex);
    printf("%s: %lu, %s\n", job->name, job->result, job->is_right ? "right" : "wrong");
    return job->is_right;
}

static void echo_input(void)
{
    char line[200];

    for (int number = 1; fluke_gets(line, sizeof line) >= 0; number++)
        printf("line %d: %s\n", number, line);
}

/* What objects are known by, inside and outside, stays the same. */
static uint64_t sum_of_hashes(void)
{
    fluke_ref_t ref;
    uint64_t sum = fluke_ref_hash(fluke_start_block->space_ref) + fluke_ref_hash(fluke_start_block->parent_ref)
                 + fluke_ref_hash(fluke_start_block->console_ref) + fluke_ref_hash(fluke_start_block->timer_ref);

    fluke_ref_create(&ref);
    fluke_mutex_reference(&mutex, &ref);
    sum += fluke_ref_hash(&ref);
    fluke_cond_reference(&changed, &ref);
    sum += fluke_ref_hash(&ref);
    fluke_thread_reference(&sleeper, &ref);
    sum += fluke_ref_hash(&ref);
    fluke_ref_destroy(&ref);
    return sum;
}

int work(long rounds)
{
    bool right = make_sleeper();

    fluke_mutex_create(&mutex);
    fluke_cond_create(&changed);
    uint64_t hashes = sum_of_hashes();
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.name = works[i].name, .run = works[i].run, .rounds = rounds};
        start(run, &jobs[i]);
    }
    echo_input();
    for (size_t i = 0; i < JOBS; i++)
        right &= wait_for(&jobs[i]);
    if (sleepers_job.is_done || sum_of_hashes() != hashes) {
        puts("the child has noticed something");
        right = false;
    }
    start_sleeper();
    right &= wait_for(&sleepers_job);
    return right ? 0 : 1;
}
