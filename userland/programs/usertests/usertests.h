/* What the cases share: the rows of the table, checks, and threads that a case starts and ends. */

#ifndef USERTESTS_H
#define USERTESTS_H

#include <ulib.h>

/* A case: its name, the question that it answers, and what finds the answer. A table ends with an empty row. */
struct usertest {
    const char *name, *question;
    void (*run)(void);
};

extern const struct usertest thread_tests[], thread_state_tests[], link_tests[], exception_tests[], interrupt_tests[],
    priority_tests[], mutex_tests[], condition_tests[], reference_tests[], port_tests[], call_tests[], serving_tests[],
    server_state_tests[], message_tests[], long_message_tests[], space_tests[], space_keeper_tests[], region_tests[],
    mapping_tests[], device_tests[], library_tests[], protect_tests[], search_tests[], change_tests[], paging_tests[],
    keeper_tests[], second_keeper_tests[], paged_call_tests[], paged_wait_tests[], paged_message_tests[],
    paged_reference_tests[], paged_failure_tests[], conversation_tests[], connection_tests[], operand_tests[],
    message_operand_tests[], register_tests[], step_tests[], scheduler_tests[],
    arrival_tests[], hart_tests[], exhausting_tests[], hidden_tests[];

/* An address at which nothing is mapped, and one that can be read only; both aligned for an object. */
#define NOWHERE ((void *)0x3000000000)
extern const uint64_t constants[2];
#define READ_ONLY ((void *)(uintptr_t)constants)
#define ODD(address) ((void *)((char *)(address) + 8)) /* not aligned for an object */

/* Checks. The first one that does not hold is noted as the case's failure; the case goes on. */
#define CHECK(condition) check(condition, HERE(#condition))
void check(bool holds, const char *what);

/* The call must be a mistake of its caller: an exception with this code, about this address or number. */
#define CHECK_MISTAKE(call, code, subject) \
    ((void)(call), check_mistake(&runner, code, (uint64_t)(subject), HERE(#call)))

/* Likewise for what a worker has done by now. */
#define CHECK_MISTAKE_OF(worker, code, subject) check_mistake(worker, code, (uint64_t)(subject), HERE(#worker))

struct worker;
void check_mistake(struct worker *by, uint64_t code, uint64_t subject, const char *what);
void check_no_mistake(struct worker *by);
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define HERE(text) __FILE_NAME__ ":" TEXT(__LINE__) ": " text
#define TEXT(macro) TEXT_ITSELF(macro)
#define TEXT_ITSELF(text) #text

/* The order of events: each notes a letter; whether these letters were noted, in this order. */
void note(char event);
bool noted(const char *events);

/*
 * Threads. A worker's priority is above that of the case, which has FLUKE_PRIORITY_DEFAULT: when `start` returns, the
 * worker waits, is done, or was stopped by a mistake; and so it is whenever something lets it go on.
 */
enum { WORKER_PRIORITY = 20, MOST_WORKERS = 8, STACK_SIZE = 4096 };

struct mistake {
    unsigned count; /* since the last check */
    uint64_t code, subject;
};

/* What a thread's handlers do beside recording: `code` is 0 for an interrupt; what is saved is reloaded afterwards. */
typedef void hook_t(uint64_t code, struct fluke_thread_saved_state *saved);

struct worker {
    fluke_thread_t thread, place; /* the thread can be moved to `place` */
    void (*function)(void *);
    void *argument;
    hook_t *hook;
    struct mistake mistake;
    unsigned interrupts;
    bool started, done;
    _Alignas(16) char stack[STACK_SIZE];
};

struct worker *start(void (*function)(void *), void *argument);
struct worker *start_at(unsigned priority, void (*function)(void *), void *argument);
struct worker *start_with(hook_t *hook, void (*function)(void *), void *argument);
struct worker *start_in(fluke_ref_t *space_ref, void (*function)(void *), void *argument);
struct worker *start_in_at(fluke_ref_t *space_ref, unsigned priority, void (*function)(void *), void *argument);
void end(struct worker *worker); /* destroys it, wherever it is */

/* Where a thread waits that has nothing more to do, until it is destroyed. */
void rest_for_ever(void);

/* The record of the thread that runs the cases. */
extern struct worker runner;

/* Whether the worker that asks has made a mistake since the last check. */
bool has_made_a_mistake(void);

/* Ends the workers that a case has forgotten; how many there were. */
unsigned end_forgotten(void);

/* The type of what a worker waits for, FLUKE_NULL if it does not wait; it is stopped for a moment. */
fluke_type_t waits_for(struct worker *worker);

/* Lets the threads of lower priorities run, until each of them waits or is done. */
void let_others_run(void);

/* Makes a thread's handlers record, as those of a worker do. */
void record_exceptions(void);

/* A stopped thread's state, and a thread put back into one. */
void get_state(struct worker *worker, struct fluke_thread_state *state);
void set_state(struct worker *worker, const struct fluke_thread_state *state);

/* Whether a stopped thread's next step is the call `number`, with its program counter on the ecall. */
bool is_on_call(const struct fluke_thread_state *state, uint64_t number);

enum { SP = 2, A0 = 10, A1 = 11, A7 = 17 }; /* registers in a thread's state */

/*
 * Where there are several harts, threads of the highest priority spin on all but one, so that a case sees what it would
 * on a single one, with turns of others in between everything. A case about several frees them, and takes them back
 * when its workers have ended.
 */
void occupy_harts(void);
void free_harts(void);
unsigned hart_count(void);

/* The time in which a case comes to execute so many instructions, with those of the other harts in between. */
uint64_t time_for(uint64_t instructions);

/* A port in a port set, and a reference to the port; its alias is SERVICE_ALIAS. */
enum { SERVICE_ALIAS = 0x5e41ce };
struct service {
    fluke_portset_t portset;
    fluke_port_t port;
    fluke_ref_t ref;
};
void open_service(struct service *service);
void close_service(struct service *service);

/* One message and its answer: what both ends say, and what they were told. */
struct exchange {
    struct service *service;
    fluke_mutex_t *gate; /* the server locks and unlocks it before it answers; may be null */
    uint64_t request, reply, words_replied;
    fluke_error_t status; /* the client's */
    uint64_t received, words_received, kind;
    uintptr_t alias;
    fluke_error_t receive_status, reply_status;
};

/* What the ends do; the argument is the exchange. The answer to a request is the next number. */
void call_service(void *exchange);
void send_to_service(void *exchange);
void serve_once(void *exchange);

/* Two pages of the program's memory, and a view of them at another address, in some space. */
enum { PAGE_WORDS = FLUKE_PAGE_SIZE / FLUKE_WORD_SIZE, MEMORY_SIZE = 2 * FLUKE_PAGE_SIZE };
extern uint64_t memory[2 * PAGE_WORDS];
#define WINDOW ((uint64_t *)0x2000000000)

struct window {
    fluke_region_t region;
    fluke_mapping_t mapping;
    fluke_ref_t region_ref;
};
void open_window(struct window *window, fluke_ref_t *space_ref);
void close_window(struct window *window);

/* A space that sees all of this program below the window, at the same addresses, and nothing else; no case's stack. */
struct mirror {
    fluke_space_t space;
    fluke_region_t region;
    fluke_mapping_t mapping;
    fluke_ref_t space_ref, region_ref;
};
void open_mirror(struct mirror *mirror);
void close_mirror(struct mirror *mirror);

/* Loads the range and the access of a region or a mapping; its links stay. */
void set_region(fluke_region_t *region, const void *start, size_t size, uint64_t prot);
void set_mapping(fluke_mapping_t *mapping, uint64_t offset, const void *start, size_t size, uint64_t prot);

/* One access, by one instruction, so that a mistake can be skipped. */
uint64_t peek(const void *address);
void poke(void *address, uint64_t word);
void jump(const void *address);

/*
 * A pager: a region over a range of the program's own space, where it shows a frame in each page, and the thread that
 * is the region's keeper, above all workers. What cases use is a view of the region at PAGED. What is in the pages is
 * at hand in `frames` all the time.
 */
enum { PAGES = 12, PAGER_PRIORITY = 24 };
extern uint64_t frames[PAGES * PAGE_WORDS];
#define PAGED ((uint64_t *)0x2400000000)
#define PAGE(number) (PAGED + (number) * PAGE_WORDS)
#define FRAME(number) (frames + (number) * PAGE_WORDS)
#define BACKING ((uint64_t *)0x2500000000) /* where the pager shows its frames */

/* Answers a fault: how many words the reply has, of which there is one. */
struct pager;
typedef uint64_t answer_t(struct pager *pager, uint64_t *reply);

struct pager {
    fluke_region_t frames_region, region;
    fluke_mapping_t pages[PAGES], view;
    fluke_ref_t region_ref;
    struct service service;
    struct worker *thread;
    answer_t *answer;
    fluke_mutex_t *gate; /* locked and unlocked before each answer; may be null */
    unsigned faults;     /* how often the keeper was asked */
    struct fluke_fault_message fault;
    uint64_t words, kind;
    uintptr_t alias;
};
extern struct pager pager;

void open_pager(void);
void close_pager(void);
void start_keeper(void);
void show(unsigned page);
void take_away(unsigned page);
void take_all_away(void);
void forget_all(void); /* the pages are there, and nobody knows where */
answer_t show_page, fail_fault;

/* Does something with an open pager twice: with pages taken away, then with pages forgotten. */
void in_both_ways(void (*body)(void));
extern bool is_hard; /* taken away */
void hide(unsigned page);

/* The keeper must have been asked for so many pages since the last check, if they were taken away; else for none. */
#define CHECK_ASKED(pages) check_asked(pages, HERE("pages asked for"))
void check_asked(unsigned pages, const char *what);

/* A call that uses so many pages, made while all are hidden. */
#define PAGED_CALL(pages, call) (hide_all(), (void)(call), check_asked(pages, HERE(#call)))
void hide_all(void);

/* Asks the timer: the status of its answer, and what it says of the time. */
uint64_t ask_timer(uint64_t operation, uint64_t instant_ns, uint64_t *now_ns);
void sleep_ns(uint64_t duration_ns);

/* Workers that own a mutex, then wait for another, note a letter, and give both back. */
struct two_mutexes {
    fluke_mutex_t *first, *second; /* either may be null */
    char event;                    /* 0: none */
};
void lock_and_note(void *two_mutexes);

/* A worker that locks and unlocks the mutex that is its argument. */
void lock_and_unlock(void *mutex);

/* Makes a mutex, which the caller owns. */
void make_locked(fluke_mutex_t *mutex);

/* All registers around a call; x[SP] is left alone. */
struct registers {
    uint64_t x[32], f[32];
};
void call_with(struct registers *registers);

/* Good arguments for any call of the table, by the kinds of its operands; made for a case, and ended with it. */
struct entry_point;
void make_operands(void);
void end_operands(void);
void good_operands(const struct entry_point *call, uint64_t *x);

/* For the runner of the cases: once, before each, and after each: by what it failed, null if it did not. */
void prepare_cases(void);
void begin_case(void);
const char *case_failure(void);

#endif
