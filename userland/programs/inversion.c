/* Shows priority inversion, and two protocols of mutexes against it: inversion. */

/*
 * A low thread owns a mutex when a high one comes and waits for it; then a middle one, which needs no mutex, begins to
 * compute. With a plain mutex the low one cannot go on before the middle one is done, and the high one waits for both.
 * A mutex that lends its owner the priority of the first waiter, or a ceiling, lets the low one finish first.
 */

#include <ulib.h>

enum { LOW = 1, MIDDLE, HIGH }; /* priorities, all below that of the first thread: they run while it waits */
enum { STACK_SIZE = 4096, STEP_US = 1000, LOW_ROUNDS = 400000, MIDDLE_ROUNDS = 1000000 };

static fluke_mutex_t resource;
static fluke_mutex_t mutex; /* guards `running` */
static fluke_cond_t all_done;
static int running;
static bool middle_is_done, inverted; /* whether the high thread had to wait until the middle one was done */
static uint64_t waited_us;            /* the high thread, for the resource */

static void compute(uint64_t rounds)
{
    for (volatile uint64_t i = 0; i < rounds; i++)
        ;
}

static void finish(void)
{
    fluke_mutex_lock(&mutex);
    if (--running == 0)
        fluke_cond_signal(&all_done);
    fluke_mutex_unlock(&mutex);
}

static void low(void *unused)
{
    (void)unused;
    fluke_mutex_lock(&resource);
    compute(LOW_ROUNDS);
    fluke_mutex_unlock(&resource);
    finish();
}

static void high(void *unused)
{
    (void)unused;
    fluke_sleep_us(STEP_US); /* the low one owns the resource by then */
    uint64_t before_us = fluke_now_us();
    fluke_mutex_lock(&resource);
    waited_us = fluke_now_us() - before_us;
    inverted = middle_is_done;
    fluke_mutex_unlock(&resource);
    finish();
}

static void middle(void *unused)
{
    (void)unused;
    fluke_sleep_us(2 * STEP_US); /* the high one waits by then */
    compute(MIDDLE_ROUNDS);
    middle_is_done = true;
    finish();
}

/*
 * Starts a thread at a priority. A thread's priority is a part of its state, which others read out and load: reading
 * stops the thread, wherever it is, and loading lets it go on there, because the state says that it was not stopped.
 */
static void start(void (*function)(void *), uint64_t priority)
{
    struct fluke_thread_state state;
    fluke_thread_t *thread = fluke_thread_start(function, NULL, STACK_SIZE);

    if (thread == NULL)
        exit(1);
    fluke_thread_get_state(thread, &state, NULL, NULL, NULL, NULL, NULL);
    state.priority = priority;
    fluke_thread_set_state(thread, &state, NULL, NULL, NULL, NULL, NULL);
}

/* Runs the three with a mutex of these flags; true if what happened is what the flags should give. */
static bool show(const char *protocol, uint64_t flags)
{
    struct fluke_mutex_state state = {.flags = flags, .ceiling = HIGH};

    fluke_mutex_set_state(&resource, &state, NULL);
    middle_is_done = inverted = false;
    running = 3;
    start(low, LOW);
    start(middle, MIDDLE);
    start(high, HIGH);
    fluke_mutex_lock(&mutex);
    while (running > 0)
        fluke_cond_wait(&all_done, &mutex);
    fluke_mutex_unlock(&mutex);
    printf("%s: the high thread waited %lu us, %s the middle one\n", protocol, waited_us,
           inverted ? "also for" : "but not for");
    return inverted == (flags == 0);
}

int main(void)
{
    fluke_mutex_create(&resource);
    fluke_mutex_create(&mutex);
    fluke_cond_create(&all_done);
    bool plain = show("plain mutex", 0);
    bool inheritance = show("priority inheritance", FLUKE_MUTEX_INHERIT_PRI);
    bool ceiling = show("priority ceiling", FLUKE_MUTEX_PRI_CEILING);
    return plain && inheritance && ceiling ? 0 : 1;
}
