/* Time that is given: threads that have none of their own, what their scheduler is told, and what ends a donation. */

#include "usertests.h"

/* The threads that are scheduled have a lower priority than the case, which is their scheduler. */
enum { LOW = 8, QUANTUM = 10000, FIRST = 71, SECOND, PLENTY = 100000000 };
enum { MESSAGE_WORDS = sizeof(struct fluke_schedule_message) / FLUKE_WORD_SIZE };

static struct service service;
static struct fluke_schedule_message message;
static uintptr_t alias;
static fluke_mutex_t gate;
static fluke_ref_t ref, other_ref;
static struct worker *donee; /* of `donate` */
static uint64_t left;        /* of the last quantum */
static volatile uint64_t rounds;

static void note_letter(void *letter)
{
    note(*(const char *)letter);
}

static void compute(void *unused)
{
    (void)unused;
    for (;;)
        rounds++;
}

/* A worker that the service's port schedules. */
static struct worker *start_scheduled(uint64_t number, void (*function)(void *), void *argument)
{
    struct fluke_thread_state state;
    struct worker *worker = start_at(LOW, function, argument);

    get_state(worker, &state);
    state.sched_val = number;
    fluke_thread_set_state(&worker->thread, &state, NULL, &service.ref, NULL, NULL, NULL);
    return worker;
}

static fluke_error_t give(struct worker *worker, uint64_t quantum, uint64_t sensitivity)
{
    left = quantum;
    return fluke_thread_schedule(&worker->thread, &left, sensitivity);
}

/* Waits for a request, which must be there: the number that it has. */
static uint64_t receive(void)
{
    struct fluke_ipc_params params = {.receive_buffer = &message, .receive_words = MESSAGE_WORDS};

    message.sched_val = 0;
    CHECK(fluke_ipc_setup_wait_receive(&service.portset, &params, &alias) == FLUKE_SUCCESS);
    CHECK(params.message_kind == FLUKE_MESSAGE_SCHEDULE && params.words_received == MESSAGE_WORDS);
    return message.sched_val;
}

static void run_on_time_given(void)
{
    open_service(&service);
    struct worker *worker = start_scheduled(FIRST, note_letter, "a");
    let_others_run();
    CHECK(noted(""));
    CHECK(give(worker, PLENTY, FLUKE_SCHEDULE_NONE) == FLUKE_THREAD_BLOCKED);
    CHECK(noted("a") && left > 0 && left < PLENTY);
    end(worker);
    close_service(&service);
}

static void tell_once(void)
{
    struct fluke_thread_state state;

    open_service(&service);
    struct worker *worker = start_scheduled(FIRST, compute, NULL);
    CHECK(receive() == FIRST && alias == SERVICE_ALIAS);
    get_state(worker, &state);
    CHECK(message.thread_hash == state.hash && state.sched_val == FIRST);
    set_state(worker, &state); /* it was stopped and started */
    CHECK(give(worker, QUANTUM, FLUKE_SCHEDULE_ON_REQUEST) == FLUKE_SUCCESS);
    CHECK(give(worker, QUANTUM, FLUKE_SCHEDULE_ON_REQUEST) == FLUKE_SUCCESS);
    get_state(worker, &state);
    CHECK(give(worker, QUANTUM, FLUKE_SCHEDULE_ON_REQUEST) == FLUKE_THREAD_BLOCKED);
    set_state(worker, &state); /* whose state says that the scheduler knows: that has given it up meanwhile */
    CHECK(receive() == FIRST);
    CHECK(give(worker, QUANTUM, FLUKE_SCHEDULE_ON_REQUEST) == FLUKE_SUCCESS);
    end(worker);
    close_service(&service);
}

static void ask_again_after_a_wait(void)
{
    open_service(&service);
    make_locked(&gate);
    struct worker *worker = start_scheduled(FIRST, lock_and_unlock, &gate);
    CHECK(receive() == FIRST);
    CHECK(give(worker, PLENTY, FLUKE_SCHEDULE_NONE) == FLUKE_THREAD_BLOCKED);
    CHECK(waits_for(worker) == FLUKE_MUTEX);
    CHECK(give(worker, PLENTY, FLUKE_SCHEDULE_NONE) == FLUKE_THREAD_BLOCKED && left == PLENTY);
    fluke_mutex_unlock(&gate);
    CHECK(receive() == FIRST);
    CHECK(give(worker, PLENTY, FLUKE_SCHEDULE_NONE) == FLUKE_THREAD_BLOCKED && worker->done);
    end(worker);
    fluke_mutex_destroy(&gate);
    close_service(&service);
}

static void use_a_quantum(void)
{
    open_service(&service);
    struct worker *worker = start_scheduled(FIRST, compute, NULL);
    uint64_t before_ns = fluke_now_ns();
    CHECK(give(worker, QUANTUM, FLUKE_SCHEDULE_NONE) == FLUKE_SUCCESS && left == 0);
    uint64_t passed_ns = fluke_now_ns() - before_ns;
    CHECK(passed_ns >= QUANTUM && passed_ns < 2 * time_for(QUANTUM));
    CHECK(rounds > 0);
    uint64_t rounds_before = rounds;
    CHECK(give(worker, 0, FLUKE_SCHEDULE_NONE) == FLUKE_SUCCESS && rounds == rounds_before);
    CHECK(fluke_thread_schedule(&worker->thread, NULL, FLUKE_SCHEDULE_NONE) == FLUKE_SUCCESS);
    end(worker);
    close_service(&service);
}

static void sleep_and_end(void *worker)
{
    sleep_ns(time_for(QUANTUM));
    end(worker);
}

static void sleep_and_stop(void *worker)
{
    struct fluke_thread_state state;

    sleep_ns(time_for(QUANTUM));
    get_state(worker, &state);
}

static void end_early(void)
{
    open_service(&service);
    struct worker *worker = start_scheduled(FIRST, compute, NULL), *stopper = start(sleep_and_stop, worker);
    CHECK(give(worker, PLENTY, FLUKE_SCHEDULE_NONE) == FLUKE_THREAD_BLOCKED);
    CHECK(left > PLENTY - 2 * time_for(QUANTUM) && left < PLENTY);
    CHECK(give(worker, PLENTY, FLUKE_SCHEDULE_NONE) == FLUKE_THREAD_BLOCKED && left == PLENTY);
    end(stopper);
    end(worker);
    worker = start_scheduled(FIRST, compute, NULL);
    stopper = start(sleep_and_end, worker);
    CHECK(give(worker, PLENTY, FLUKE_SCHEDULE_NONE) == FLUKE_THREAD_GONE);
    CHECK(give(worker, PLENTY, FLUKE_SCHEDULE_NONE) == FLUKE_THREAD_GONE);
    end(stopper);
    close_service(&service);
}

static void sleep_and_unlock(void *unused)
{
    (void)unused;
    fluke_mutex_lock(&gate);
    sleep_ns(time_for(QUANTUM));
    fluke_mutex_unlock(&gate);
}

static void end_on_request(void)
{
    struct exchange exchange = {.service = &service};

    open_service(&service);
    fluke_mutex_create(&gate);
    struct worker *opener = start(sleep_and_unlock, NULL);
    struct worker *first = start_scheduled(FIRST, lock_and_unlock, &gate);
    struct worker *second = start_scheduled(SECOND, compute, NULL);
    CHECK(receive() == FIRST && receive() == SECOND);
    CHECK(give(first, PLENTY, FLUKE_SCHEDULE_ON_REQUEST) == FLUKE_THREAD_BLOCKED);
    CHECK(give(second, PLENTY, FLUKE_SCHEDULE_ON_REQUEST) == FLUKE_THREAD_REQUESTED);
    CHECK(give(second, PLENTY, FLUKE_SCHEDULE_ON_REQUEST) == FLUKE_THREAD_REQUESTED && left == PLENTY);
    CHECK(give(second, QUANTUM, FLUKE_SCHEDULE_NONE) == FLUKE_SUCCESS);
    CHECK(receive() == FIRST);
    struct worker *sender = start(send_to_service, &exchange); /* any message is a request */
    CHECK(give(second, PLENTY, FLUKE_SCHEDULE_ON_REQUEST) == FLUKE_THREAD_REQUESTED);
    end(sender);
    end(first);
    end(second);
    end(opener);
    fluke_mutex_destroy(&gate);
    close_service(&service);
}

static void lose_the_scheduler(void)
{
    open_service(&service);
    struct worker *worker = start_scheduled(FIRST, note_letter, "a");
    let_others_run();
    CHECK(noted(""));
    fluke_port_destroy(&service.port);
    let_others_run();
    CHECK(noted("a"));
    end(worker);
    fluke_port_create(&service.port);
    close_service(&service);
}

/* Gives `donee` all the time that is wanted. */
static void donate(void *status)
{
    uint64_t quantum = PLENTY;

    *(fluke_error_t *)status = fluke_thread_schedule(&donee->thread, &quantum, FLUKE_SCHEDULE_NONE);
}

static void schedule_a_scheduler(void)
{
    fluke_error_t status = FLUKE_SUCCESS;

    open_service(&service);
    donee = start_scheduled(FIRST, compute, NULL);
    struct worker *scheduler = start_scheduled(SECOND, donate, &status);
    rounds = 0;
    let_others_run();
    CHECK(rounds == 0);
    CHECK(give(scheduler, QUANTUM, FLUKE_SCHEDULE_NONE) == FLUKE_SUCCESS && rounds > 0);
    uint64_t rounds_before = rounds;
    CHECK(give(scheduler, QUANTUM, FLUKE_SCHEDULE_NONE) == FLUKE_SUCCESS && rounds > rounds_before);
    CHECK(!scheduler->done && waits_for(scheduler) == FLUKE_NULL); /* it has no time to wait with */
    struct worker *stopper = start(sleep_and_stop, donee);
    CHECK(give(scheduler, PLENTY, FLUKE_SCHEDULE_NONE) == FLUKE_THREAD_BLOCKED);
    CHECK(scheduler->done && status == FLUKE_THREAD_BLOCKED);
    end(stopper);
    end(scheduler);
    end(donee);
    close_service(&service);
}

struct ring {
    struct worker *next;
    fluke_error_t status;
};

static void pass_on(void *argument)
{
    struct ring *ring = argument;
    uint64_t quantum = PLENTY;

    ring->status = fluke_thread_schedule(&ring->next->thread, &quantum, FLUKE_SCHEDULE_NONE);
}

/* Each of three gives to the next; the last of them is refused, and so they end one after the other. */
static void give_in_a_ring(void)
{
    struct ring ring[3] = {0};
    struct worker *workers[3];

    for (unsigned i = 0; i < 3; i++)
        workers[i] = start_at(LOW, pass_on, &ring[i]);
    for (unsigned i = 0; i < 3; i++)
        ring[i].next = workers[(i + 1) % 3];
    let_others_run();
    for (unsigned i = 0; i < 3; i++) {
        CHECK(workers[i]->done && ring[i].status == FLUKE_THREAD_BLOCKED);
        end(workers[i]);
    }
}

static void export_a_donor(void)
{
    struct fluke_thread_state state;
    fluke_error_t status = FLUKE_SUCCESS;

    open_service(&service);
    fluke_ref_create(&ref);
    fluke_ref_create(&other_ref);
    donee = start_scheduled(FIRST, compute, NULL);
    CHECK(receive() == FIRST);
    struct worker *donor = start_at(LOW, donate, &status);
    sleep_ns(time_for(QUANTUM));
    fluke_thread_get_state(&donor->thread, &state, NULL, NULL, &ref, NULL, NULL);
    fluke_thread_reference(&donee->thread, &other_ref);
    CHECK(is_on_call(&state, FLUKE_CALL_THREAD_SCHEDULE) && fluke_ref_compare(&ref, &other_ref));
    CHECK(state.x[A1] < PLENTY && state.x[A1] > PLENTY - 2 * time_for(QUANTUM));
    uint64_t rounds_before = rounds;
    sleep_ns(time_for(QUANTUM));
    CHECK(rounds == rounds_before);
    state.x[A1] = QUANTUM;
    fluke_thread_set_state(&donor->thread, &state, NULL, NULL, &ref, NULL, NULL);
    let_others_run();
    CHECK(rounds > rounds_before && donor->done && status == FLUKE_SUCCESS);
    end(donor);
    end(donee);
    fluke_ref_destroy(&ref);
    fluke_ref_destroy(&other_ref);
    close_service(&service);
}

static void interrupt_a_donor(void)
{
    fluke_error_t status = FLUKE_SUCCESS;

    donee = start_at(LOW, compute, NULL);
    struct worker *donor = start_at(LOW + 1, donate, &status);
    sleep_ns(time_for(QUANTUM));
    fluke_thread_interrupt(&donor->thread);
    sleep_ns(time_for(QUANTUM));
    CHECK(donor->interrupts == 1 && !donor->done);
    CHECK(waits_for(donor) == FLUKE_THREAD);
    end(donee);
    let_others_run();
    CHECK(donor->done && status == FLUKE_THREAD_GONE);
    end(donor);
}

/* The donee has the priority of the donor while that gives. */
static void lend_priority(void)
{
    fluke_error_t status = FLUKE_SUCCESS;

    donee = start_at(LOW, note_letter, "a");
    struct worker *middle = start_at(LOW + 2, note_letter, "b");
    struct worker *donor = start_at(LOW + 4, donate, &status);
    let_others_run();
    CHECK(noted("ab") && status == FLUKE_THREAD_BLOCKED);
    end(donor);
    end(middle);
    end(donee);
}

static void donate_all(void *quantum)
{
    fluke_thread_schedule(&donee->thread, quantum, FLUKE_SCHEDULE_NONE);
}

/* What is left of what a donor gives, which goes on with that priority. */
static uint64_t left_of(struct worker *donor)
{
    struct fluke_thread_state state;

    get_state(donor, &state);
    state.priority = LOW;
    set_state(donor, &state);
    return state.x[A1];
}

/* Of two donors with the same priority the one pays that has given for longer, also when it was stopped meanwhile. */
static void take_from_two(void)
{
    uint64_t first_quantum = PLENTY, second_quantum = PLENTY;

    open_service(&service);
    donee = start_scheduled(FIRST, compute, NULL);
    CHECK(receive() == FIRST);
    struct worker *first = start_at(LOW, donate_all, &first_quantum);
    sleep_ns(time_for(QUANTUM));
    struct worker *second = start_at(LOW + 1, donate_all, &second_quantum);
    sleep_ns(time_for(QUANTUM));
    uint64_t left_of_second = left_of(second), left_of_first = left_of(first);
    CHECK(left_of_first < PLENTY && left_of_second < PLENTY); /* the second one was more urgent until now */
    sleep_ns(time_for(QUANTUM));
    CHECK(left_of(first) < left_of_first && left_of(second) == left_of_second);
    end(first);
    sleep_ns(time_for(QUANTUM));
    CHECK(left_of(second) < left_of_second);
    end(second);
    end(donee);
    close_service(&service);
}

static void donate_sensitively(void *quantum)
{
    fluke_thread_schedule(&donee->thread, quantum, FLUKE_SCHEDULE_ON_REQUEST);
}

/* A donor that is sensitive has to serve a port set. */
static void serve_nothing(void)
{
    fluke_portset_t *portset = &service.portset;
    uint64_t quantum = QUANTUM;

    open_service(&service);
    donee = start_scheduled(FIRST, compute, NULL);
    CHECK(receive() == FIRST);
    struct worker *donor = start(donate_sensitively, &quantum);
    CHECK_MISTAKE_OF(donor, FLUKE_INSANITY_NO_PORTSET, 0);
    end(donor);
    fluke_portset_destroy(portset);
    CHECK_MISTAKE(give(donee, QUANTUM, FLUKE_SCHEDULE_ON_REQUEST), FLUKE_INSANITY_NO_OBJECT, portset);
    fluke_mutex_create((fluke_mutex_t *)portset);
    CHECK_MISTAKE(give(donee, QUANTUM, FLUKE_SCHEDULE_ON_REQUEST), FLUKE_INSANITY_NOT_PORTSET, portset);
    fluke_mutex_destroy((fluke_mutex_t *)portset);
    fluke_portset_create(portset);
    end(donee);
    close_service(&service);
}

static void make_mistakes(void)
{
    fluke_thread_t *self = fluke_thread_self(), *wrong = (fluke_thread_t *)&gate;
    uint64_t quantum = QUANTUM;

    fluke_mutex_create(&gate);
    struct worker *worker = start_at(LOW, compute, NULL);
    CHECK_MISTAKE(fluke_thread_schedule(self, &quantum, FLUKE_SCHEDULE_NONE), FLUKE_INSANITY_CURRENT_THREAD, self);
    CHECK_MISTAKE(fluke_thread_schedule(wrong, &quantum, FLUKE_SCHEDULE_NONE), FLUKE_INSANITY_NOT_THREAD, wrong);
    CHECK_MISTAKE(fluke_thread_schedule(ODD(wrong), &quantum, FLUKE_SCHEDULE_NONE), FLUKE_INSANITY_NOT_ALIGNED,
                  ODD(wrong));
    CHECK_MISTAKE(fluke_thread_schedule(NOWHERE, &quantum, FLUKE_SCHEDULE_NONE), FLUKE_EXCEPTION_LOAD_FAULT, NOWHERE);
    CHECK_MISTAKE(fluke_thread_schedule(&worker->thread, &quantum, 2), FLUKE_INSANITY_INVALID_STATE, 2);
    end(worker);
    fluke_mutex_destroy(&gate);
}

static void schedule_in_pages(void)
{
    fluke_thread_t *thread = (void *)PAGE(0);
    fluke_error_t status = FLUKE_SUCCESS;
    uint64_t quantum = QUANTUM;

    fluke_thread_create(thread);
    PAGED_CALL(1, status = fluke_thread_schedule(thread, &quantum, FLUKE_SCHEDULE_NONE));
    CHECK(status == FLUKE_THREAD_BLOCKED);
    fluke_thread_destroy(thread);
}

static void schedule_paged(void)
{
    in_both_ways(schedule_in_pages);
}

const struct usertest scheduler_tests[] = {
    {"schedule_time_given", "Does a thread with a scheduler run only while it is given time?", run_on_time_given},
    {"schedule_request", "Is a scheduler told once, and which of its threads is ready?", tell_once},
    {"schedule_after_wait", "Does a thread ask again when it has waited?", ask_again_after_a_wait},
    {"schedule_quantum", "Does a donation end when its quantum is used?", use_a_quantum},
    {"schedule_ends", "Does a donation end when the thread is stopped or destroyed?", end_early},
    {"schedule_on_request", "Does a message at the donor's port set end a donation that is sensitive to it?",
     end_on_request},
    {"schedule_port_gone", "Does a thread run by itself when its scheduler's port is gone?", lose_the_scheduler},
    {"schedule_scheduler", "Can a scheduler itself be scheduled?", schedule_a_scheduler},
    {"schedule_ring", "Is time that would come back to the giver refused?", give_in_a_ring},
    {"schedule_exported", "Is what is left of a donation in the donor's registers?", export_a_donor},
    {"schedule_interrupted", "Does a donor that was interrupted go on giving?", interrupt_a_donor},
    {"schedule_priority", "Does a thread run with the priority of who gives it time?", lend_priority},
    {"schedule_two_donors", "Whose time does a thread use that two give some?", take_from_two},
    {"schedule_mistakes", "Is a donation to what is no other thread a mistake?", make_mistakes},
    {"schedule_without_portset", "Is it a mistake to be sensitive to messages of no port set?", serve_nothing},
    {"schedule_paged", "Can the thread that is to be given time lie in a hidden page?", schedule_paged},
    {0},
};
