/* Asks the kernel many small questions, each a case that passes or fails: usertests [-l] [-w] [NAME...]. */

/*
 * All cases run, or those that are named, each as often as it is named. -l lists them with their questions. -w waits
 * for a line of input before the first case and after each one, so that somebody outside can look at the kernel.
 */

#include "usertests.h"

static const struct usertest *const tables[] = {
    thread_tests,    thread_state_tests, link_tests,         exception_tests,    interrupt_tests,
    priority_tests,  mutex_tests,        condition_tests,    reference_tests,    port_tests,
    call_tests,      serving_tests,      server_state_tests, message_tests,      long_message_tests,
    space_tests,     space_keeper_tests, region_tests,       mapping_tests,      device_tests,
    library_tests,   protect_tests,      search_tests,       change_tests,       paging_tests,
    keeper_tests,    paged_call_tests,   paged_wait_tests,   paged_message_tests, paged_reference_tests,
    paged_failure_tests, second_keeper_tests, conversation_tests, connection_tests,
    operand_tests,   message_operand_tests, register_tests, step_tests,
    arrival_tests,
    scheduler_tests, hart_tests,
};
enum { TABLES = sizeof tables / sizeof *tables };

static unsigned passed, failed;
static bool waits;

static const struct usertest *find_in(const struct usertest *test, const char *name)
{
    while (test->name != NULL && strcmp(test->name, name) != 0)
        test++;
    return test->name != NULL ? test : NULL;
}

static const struct usertest *find(const char *name)
{
    const struct usertest *found = find_in(hidden_tests, name);

    if (found == NULL)
        found = find_in(exhausting_tests, name);
    for (size_t i = 0; i < TABLES && found == NULL; i++)
        found = find_in(tables[i], name);
    return found;
}

static void wait_for_line(void)
{
    char line[2];

    if (waits)
        fluke_gets(line, sizeof line);
}

static void run(const struct usertest *test)
{
    size_t heap_before = fluke_heap_in_use();

    begin_case();
    test->run();
    unsigned forgotten = end_forgotten();
    if (forgotten > 0)
        fail("threads were left: %u", forgotten);
    check_no_mistake(&runner);
    if (fluke_heap_in_use() != heap_before)
        fail("memory was not freed");
    if (case_failure() == NULL) {
        passed++;
        printf("ok %s\n", test->name);
    } else {
        failed++;
        printf("FAIL %s: %s\n", test->name, case_failure());
    }
    wait_for_line();
}

static void list(void)
{
    for (size_t i = 0; i < TABLES; i++)
        for (const struct usertest *test = tables[i]; test->name != NULL; test++)
            printf("%-28s %s\n", test->name, test->question);
}

int main(int argc, char **argv)
{
    int first = 1;

    for (; first < argc && argv[first][0] == '-'; first++) {
        if (strcmp(argv[first], "-l") == 0) {
            list();
            return 0;
        }
        if (strcmp(argv[first], "-w") != 0) {
            puts("usage: usertests [-l] [-w] [NAME...]");
            return 2;
        }
        waits = true;
    }
    for (int i = first; i < argc; i++) {
        if (find(argv[i]) == NULL) {
            printf("there is no case %s; usertests -l lists them\n", argv[i]);
            return 2;
        }
    }

    prepare_cases();
    occupy_harts();
    puts("usertests:");
    wait_for_line();
    for (int i = first; i < argc; i++)
        run(find(argv[i]));
    for (size_t i = 0; i < TABLES && first == argc; i++)
        for (const struct usertest *test = tables[i]; test->name != NULL; test++)
            run(test);
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
