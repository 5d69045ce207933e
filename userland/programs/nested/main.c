/* Each process makes the next out of its own memory, and stands in for the ports of that one: nested [DEPTH]. */

/*
 * A process that the host starts is level 1. Level 2 lies in level 1's heap, and is given ports that level 1 serves;
 * level 3 lies in level 2's heap, and so in level 1's too. All run the same program, and each could as well be the
 * first: what it prints goes through all levels above it, of which each puts the number of its child in front.
 */

#include "nested.h"

enum { SLEEP_US = 1000 };

/* A page's worth of words that differ from word to word, from level to level, and each way. */
static uint64_t letter_word(int from_level, int to_level, uint64_t i)
{
    return ((uint64_t)from_level << 32 | (uint64_t)to_level << 16 | i) * 0x9e3779b97f4a7c15;
}

static void write_letter(uint64_t *letter, int from_level, int to_level)
{
    for (uint64_t i = 0; i < PAGE_WORDS; i++)
        letter[i] = letter_word(from_level, to_level, i);
}

static bool is_letter(const uint64_t *letter, int from_level, int to_level)
{
    for (uint64_t i = 0; i < PAGE_WORDS; i++)
        if (letter[i] != letter_word(from_level, to_level, i))
            return false;
    return true;
}

/* What lies in the memory of a child, by the types of objects. */
static const char *list_objects(struct child *child)
{
    static const char *const names[] = {
        [FLUKE_THREAD] = "threads",   [FLUKE_SPACE] = "spaces",    [FLUKE_REGION] = "regions",
        [FLUKE_MAPPING] = "mappings", [FLUKE_PORT] = "ports",      [FLUKE_PORTSET] = "port sets",
        [FLUKE_MUTEX] = "mutexes",    [FLUKE_COND] = "conditions", [FLUKE_REF] = "references"};
    static char list[200];
    unsigned counts[FLUKE_REF + 1] = {0};
    size_t length = 0;

    count_objects(child, counts);
    for (int type = FLUKE_THREAD; type <= FLUKE_REF; type++)
        if (counts[type] > 0)
            length += (size_t)snprintf(list + length, sizeof list - length, "%s%s %u", length > 0 ? ", " : "",
                                       names[type], counts[type]);
    return length > 0 ? list : "none";
}

/* Makes the next level, serves it, and takes it apart; true if all was as it should be. */
static bool run_child(int level, int depth)
{
    static struct child child;
    size_t in_use = fluke_heap_in_use();

    if (!make_child(&child, level + 1, depth)) {
        printf("level %d cannot make another\n", level);
        return false;
    }
    write_letter(child.letter, level, level + 1);
    printf("level %d makes level %d, with a heap of %zu KiB\n", level, level + 1, child.heap_size / 1024);
    if (!start_child(&child)) {
        printf("level %d cannot start another\n", level);
        return false;
    }
    int status = serve_child(&child);
    bool answered = is_letter(child.letter, level + 1, level);
    printf("level %d exited with %d, %s; its objects: %s\n", level + 1, status,
           answered ? "its answer is whole" : "without an answer", list_objects(&child));
    destroy_child(&child);
    bool all_back = fluke_heap_in_use() == in_use;
    printf("level %d is gone, %s of its memory is level %d's again\n", level + 1, all_back ? "all" : "not all", level);
    return status == 0 && answered && all_back;
}

/* Sleeps; whether it took the time that it should. The clock is that of the first level, however far up it is. */
static bool sleeps(void)
{
    uint64_t before_us = fluke_now_us();

    fluke_sleep_us(SLEEP_US);
    return fluke_now_us() - before_us >= SLEEP_US;
}

/* What a level finds that another has made: its memory, the letter in it, and the ports; true if all is well. */
static bool look_around(int level)
{
    bool whole = is_letter(CHILDS_LETTER, level - 1, level), slept = sleeps();

    printf("level %d has its heap from 0x%lx to 0x%lx, %s letter, %s\n", level, fluke_start_block->heap_start,
           fluke_start_block->heap_end, whole ? "a whole" : "no", slept ? "and a clock" : "but no clock");
    write_letter(CHILDS_LETTER, level, level - 1);
    return whole && slept;
}

int main(int argc, char **argv)
{
    const char *given_level = getenv("LEVEL"); /* the host gives none */
    int level = given_level == NULL ? 1 : atoi(given_level);
    int depth = argc > 1 ? atoi(argv[1]) : 3;

    if (depth < 1 || depth > MOST_LEVELS) {
        printf("usage: nested [DEPTH], from 1 to %d\n", MOST_LEVELS);
        return 2;
    }
    bool right = level == 1 || look_around(level);
    if (depth > 1)
        right &= run_child(level, depth - 1);
    else
        printf("level %d is the last\n", level);
    return right ? 0 : 1;
}
