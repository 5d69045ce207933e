/* Philosophers share forks at a round table, without a deadlock: philosophers [N] [MEALS]. */

/*
 * Dijkstra's problem, Tanenbaum's solution. A philosopher gets both forks in one step or waits for them: nobody holds
 * one fork while waiting for another, so no ring of waiters can come about. One mutex guards everybody's state; each
 * has a condition of its own to wait for, so that a signal wakes the one whom it is meant for. Two neighbours can keep
 * one hungry by eating in turn, but only as long as they have meals to come.
 */

#include <ulib.h>

enum { MOST_PHILOSOPHERS = 100, STACK_SIZE = 4096, STEP_US = 100 };

struct philosopher {
    enum { THINKING, HUNGRY, EATING } state;
    fluke_cond_t may_eat;
    int meals;
};

static struct philosopher table[MOST_PHILOSOPHERS];
static fluke_mutex_t table_mutex; /* guards the table and the numbers of philosophers */
static fluke_cond_t all_left;
static int philosophers, meals, present, eating, most_eating;

/* A check on all the rest: who eats is counted at both forks, of which number i is on the left of philosopher i. */
static volatile int fork_users[MOST_PHILOSOPHERS];
static volatile bool shared_a_fork;

static int left_of(int i) { return (i + philosophers - 1) % philosophers; }
static int right_of(int i) { return (i + 1) % philosophers; }

/* Gives philosopher i both forks, if that one wants to eat and neither neighbour does. */
static void try_to_serve(int i)
{
    if (table[i].state != HUNGRY || table[left_of(i)].state == EATING || table[right_of(i)].state == EATING)
        return;
    table[i].state = EATING;
    eating++;
    most_eating = eating > most_eating ? eating : most_eating;
    fluke_cond_signal(&table[i].may_eat);
}

static void take_forks(int i)
{
    fluke_mutex_lock(&table_mutex);
    table[i].state = HUNGRY;
    try_to_serve(i);
    while (table[i].state != EATING)
        fluke_cond_wait(&table[i].may_eat, &table_mutex);
    fluke_mutex_unlock(&table_mutex);
}

static void put_forks(int i)
{
    fluke_mutex_lock(&table_mutex);
    table[i].state = THINKING;
    eating--;
    try_to_serve(left_of(i));
    try_to_serve(right_of(i));
    fluke_mutex_unlock(&table_mutex);
}

static void eat(int i)
{
    if (fork_users[i]++ > 0 || fork_users[right_of(i)]++ > 0)
        shared_a_fork = true;
    fluke_sleep_us(STEP_US * (1 + (uint64_t)table[i].meals % 3));
    fork_users[i]--;
    fork_users[right_of(i)]--;
    table[i].meals++;
}

/* A thread: thinks and eats, `meals` times. */
static void dine(void *self)
{
    int i = (int)((struct philosopher *)self - table);

    for (int meal = 0; meal < meals; meal++) {
        fluke_sleep_us(STEP_US * (1 + (uint64_t)i % 5));
        take_forks(i);
        eat(i);
        put_forks(i);
    }
    fluke_mutex_lock(&table_mutex);
    if (--present == 0)
        fluke_cond_signal(&all_left);
    fluke_mutex_unlock(&table_mutex);
}

/* Says how dinner was; returns the exit status. */
static int report(void)
{
    bool everybody_ate = true;

    for (int i = 0; i < philosophers; i++)
        everybody_ate &= table[i].meals == meals;
    printf("%d philosophers: %s had %d meals, at most %d ate at once, %s shared a fork\n", philosophers,
           everybody_ate ? "each" : "not each", meals, most_eating, shared_a_fork ? "neighbours" : "no neighbours");
    return everybody_ate && !shared_a_fork ? 0 : 1;
}

int main(int argc, char **argv)
{
    philosophers = present = argc > 1 ? atoi(argv[1]) : 5;
    meals = argc > 2 ? atoi(argv[2]) : 10;
    if (philosophers < 2 || philosophers > MOST_PHILOSOPHERS || meals < 0) {
        printf("usage: philosophers [N] [MEALS], N from 2 to %d\n", MOST_PHILOSOPHERS);
        return 2;
    }
    fluke_mutex_create(&table_mutex);
    fluke_cond_create(&all_left);
    for (int i = 0; i < philosophers; i++)
        fluke_cond_create(&table[i].may_eat);
    for (int i = 0; i < philosophers; i++)
        if (fluke_thread_start(dine, &table[i], STACK_SIZE) == NULL)
            return 1;
    fluke_mutex_lock(&table_mutex);
    while (present > 0)
        fluke_cond_wait(&all_left, &table_mutex);
    fluke_mutex_unlock(&table_mutex);
    return report();
}
