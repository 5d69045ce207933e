/* Checks, and the order of events. */

#include "usertests.h"

enum { MOST_EVENTS = 16, LONGEST_FAILURE = 240 };

static char failure[LONGEST_FAILURE]; /* of the case that runs; empty if there is none */
static char events[MOST_EVENTS + 1];

void fail(const char *format, ...)
{
    va_list arguments;

    if (failure[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(failure, sizeof failure, format, arguments);
    va_end(arguments);
}

void check(bool holds, const char *what)
{
    if (!holds)
        fail("%s", what);
}

void check_mistake(struct worker *by, uint64_t code, uint64_t subject, const char *what)
{
    struct mistake mistake = by->mistake;

    if (mistake.count != 1 || mistake.code != code || mistake.subject != subject)
        fail("%s: %u mistakes, the last 0x%lx of 0x%lx, not one 0x%lx of 0x%lx", what, mistake.count, mistake.code,
             mistake.subject, code, subject);
    by->mistake.count = 0;
}

void check_no_mistake(struct worker *by)
{
    if (by->mistake.count > 0)
        fail("an unexpected mistake, 0x%lx of 0x%lx", by->mistake.code, by->mistake.subject);
}

void note(char event)
{
    size_t length = strlen(events);

    if (length < MOST_EVENTS) {
        events[length] = event;
        events[length + 1] = '\0';
    }
}

bool noted(const char *expected)
{
    return strcmp(events, expected) == 0;
}

const char *case_failure(void)
{
    return failure[0] != '\0' ? failure : NULL;
}

void begin_case(void)
{
    failure[0] = events[0] = '\0';
    runner.mistake = (struct mistake){0};
}
