/* A process that is destroyed and created again while it runs: checkpoint [OPTIONS] [WORK]. */

/*
 * The parent makes a child out of its own memory, which runs this program too, and serves its console and its exit.
 * Every so many microseconds it writes down all that the child is, wherever that has come to, destroys it, fills its
 * memory with something else, and creates it again from what was written down. The child does not notice.
 *
 *     -n TIMES         how often, at most; the child may be done before (10)
 *     -e MICROSECONDS  how long it runs in between (300)
 *     -k TIMES         how often it is only written down and goes on, before all that (0)
 *     -b BLOCKS        between how many blocks of memory it is moved: 1 or 2 (1)
 *     -d DEPTH         how many levels of children there are: each but the last does the same with its own (1)
 *     WORK             how much it has to do (8)
 */

#include "child.h"

enum { MOST_DEPTH = 4, TAKER_STACK_SIZE = 16 * 1024, MOST_OBJECTS = 400, RECORD_SIZE = 1024 };

static struct child child;
static struct fluke_checkpoint checkpoint;
static long times, period_us, kept, blocks, depth, rounds;
static long level; /* 0: the host has started this one */

/* What was done, and met. */
static struct {
    long times, kept;
    uint64_t objects, pages;
    struct fluke_checkpoint_counts threads;
    bool is_done, is_right;
} taken;

static void add_counts(const struct fluke_checkpoint_counts *counts)
{
    taken.threads.stopped += counts->stopped;
    taken.threads.ready += counts->ready;
    taken.threads.outside += counts->outside;
    for (int type = FLUKE_THREAD; type < FLUKE_REF; type++)
        taken.threads.inside[type] += counts->inside[type];
}

/* Why a step could not be taken, in one line. */
static void explain(const char *step, int error)
{
    static const char *const types[] = {
        [FLUKE_THREAD] = "thread",   [FLUKE_SPACE] = "space",      [FLUKE_REGION] = "region",
        [FLUKE_MAPPING] = "mapping", [FLUKE_PORT] = "port",        [FLUKE_PORTSET] = "port set",
        [FLUKE_MUTEX] = "mutex",     [FLUKE_COND] = "condition",   [FLUKE_REF] = "reference"};
    static const char *const reasons[] = {
        [FLUKE_CHECKPOINT_NO_ROOM] = "there is no room for the records",
        [FLUKE_CHECKPOINT_UNKNOWN] = "the records have a name that nobody knows",
        [FLUKE_CHECKPOINT_MEMORY] = "the kernel has no memory for the objects",
        [FLUKE_CHECKPOINT_DAMAGED] = "the records are damaged"};

    if (error == FLUKE_CHECKPOINT_UNNAMED)
        printf("%s: the link '%s' of the %s at offset 0x%lx leads to something without a name\n", step, checkpoint.link,
               types[checkpoint.type], (uint64_t)((char *)checkpoint.address - child.process.memory));
    else
        printf("%s: %s\n", step, reasons[error]);
}

/* Writes the child down; false if it could not be, and goes on. */
static bool write_down(void)
{
    int error = fluke_checkpoint_capture(&checkpoint);

    if (error != FLUKE_CHECKPOINT_DONE)
        explain("the child was not written down", error);
    return error == FLUKE_CHECKPOINT_DONE;
}

/* Writes the child down, and lets it go on where it was. */
static bool write_down_only(void)
{
    if (!write_down())
        return false;
    int error = fluke_checkpoint_resume(&checkpoint);
    if (error != FLUKE_CHECKPOINT_DONE) {
        explain("the child stands still", error);
        exit(1);
    }
    taken.kept++;
    return true;
}

/* Takes the child down, wherever it is, and creates it again. */
static bool take_down(void)
{
    const struct fluke_image *image = checkpoint.records;
    if (!write_down())
        return false;
    fluke_checkpoint_destroy(&checkpoint);
    fluke_child_leave(&child.process);
    move_memory(&child, (taken.times + 1) % blocks);
    if (!fluke_child_enter(&child.process)) {
        explain("the child is lost", FLUKE_CHECKPOINT_MEMORY);
        exit(1);
    }
    int error = fluke_checkpoint_restore(&checkpoint);
    if (error != FLUKE_CHECKPOINT_DONE) {
        explain("the child is lost", error);
        exit(1);
    }
    taken.times++;
    taken.objects += image->object_count;
    taken.pages += image->page_count;
    add_counts(&checkpoint.counts);
    return true;
}

static bool is_over(void)
{
    fluke_mutex_lock(&child.mutex);
    bool over = child.has_exited;
    fluke_mutex_unlock(&child.mutex);
    return over;
}

/* A thread, of a priority above that of all below, so that it comes when it wants to. */
static void take_down_often(void *unused)
{
    (void)unused;
    bool right = true;

    for (long i = 0; right && i < kept + times && !is_over(); i++) {
        fluke_sleep_us((uint64_t)period_us);
        right = i < kept ? write_down_only() : take_down();
    }
    fluke_mutex_lock(&child.mutex);
    taken.is_right = right;
    taken.is_done = true;
    fluke_cond_broadcast(&child.changed);
    fluke_mutex_unlock(&child.mutex);
}

static bool start_taker(void)
{
    struct fluke_thread_state state;

    checkpoint = (struct fluke_checkpoint){.region = &child.process.region,
                                           .names = child.process.names,
                                           .name_count = child.process.name_count,
                                           .room = child.process.size + MOST_OBJECTS * RECORD_SIZE};
    checkpoint.records = malloc(checkpoint.room);
    fluke_thread_t *taker = fluke_thread_start(take_down_often, NULL, TAKER_STACK_SIZE);
    if (checkpoint.records == NULL || taker == NULL)
        return false;
    fluke_thread_get_state(taker, &state, NULL, NULL, NULL, NULL, NULL);
    state.priority = FLUKE_PRIORITY_MAX - (uint64_t)level;
    state.flags &= ~(uint64_t)FLUKE_THREAD_STOPPED;
    fluke_thread_set_state(taker, &state, NULL, NULL, NULL, NULL, NULL);
    return true;
}

static void report(void)
{
    const struct fluke_checkpoint_counts *threads = &taken.threads;
    const uint64_t *waiting = threads->inside;

    printf("taken down and created again %ld times: %lu objects, %lu pages\n", taken.times, taken.objects, taken.pages);
    printf("threads met: %lu ready, %lu stopped; waiting for %lu mutexes, %lu conditions, %lu port sets, %lu ports, "
           "%lu threads, %lu outside\n",
           threads->ready, threads->stopped, waiting[FLUKE_MUTEX], waiting[FLUKE_COND], waiting[FLUKE_PORTSET],
           waiting[FLUKE_PORT], waiting[FLUKE_THREAD], threads->outside);
}

/* The last of the levels gets no depth: it works. */
static struct order make_order(void)
{
    struct order order = {.level = level + 1, .depth = depth};
    char(*argument)[sizeof *order.arguments] = order.arguments;
    const struct {
        const char *name;
        long value;
    } options[] = {{"-n", times}, {"-e", period_us}, {"-d", depth - 1}};

    strcpy(*argument++, "checkpoint");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        strcpy(*argument++, options[i].name);
        snprintf(*argument++, sizeof *argument, "%ld", options[i].value);
    }
    snprintf(*argument++, sizeof *argument, "%ld", rounds);
    order.argument_count = (int)(argument - order.arguments);
    return order;
}

static int run_parent(void)
{
    const struct order order = make_order();

    if (!make_child(&child, &order, blocks) || !start_child(&child)) {
        puts("not enough memory for a child");
        return 1;
    }
    if (!start_taker()) {
        puts("not enough memory for the records");
        return 1;
    }
    fluke_mutex_lock(&child.mutex);
    while (!child.has_exited || !taken.is_done)
        fluke_cond_wait(&child.changed, &child.mutex);
    fluke_mutex_unlock(&child.mutex);
    fluke_checkpoint_end(&checkpoint);
    free(checkpoint.records);
    printf("the child exited with %d\n", child.status);
    if (taken.kept > 0)
        printf("written down %ld times\n", taken.kept);
    if (times > 0)
        report();
    return taken.is_right ? child.status : 1;
}

/* Takes the options and arguments; false if they are not as they should be. */
static bool take_arguments(int argc, char **argv)
{
    static const struct {
        const char *name;
        long *value, usual, least, most;
    } options[] = {{"-n", &times, 10, 0, 1000000},
                   {"-e", &period_us, 300, 0, 1000000},
                   {"-k", &kept, 0, 0, 1000000},
                   {"-b", &blocks, 1, 1, MOST_BLOCKS},
                   {"-d", &depth, 1, 0, MOST_DEPTH}};
    const size_t count = sizeof options / sizeof *options;
    int i = 1;

    rounds = 8;
    for (size_t n = 0; n < count; n++)
        *options[n].value = options[n].usual;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        size_t n = 0;
        while (n < count && strcmp(options[n].name, argv[i]) != 0)
            n++;
        if (n == count || !fluke_number(argv[i + 1], options[n].least, options[n].most, options[n].value))
            return false;
    }
    return i == argc || (i == argc - 1 && fluke_number(argv[i], 1, 1000, &rounds));
}

int main(int argc, char **argv)
{
    const char *given_level = getenv("LEVEL"); /* the host gives none */

    level = given_level == NULL ? 0 : atoi(given_level);
    if (!take_arguments(argc, argv)) {
        puts("usage: checkpoint [-n TIMES] [-e MICROSECONDS] [-k TIMES] [-b BLOCKS] [-d DEPTH] [WORK]");
        return 2;
    }
    return depth > 0 ? run_parent() : work(rounds);
}
