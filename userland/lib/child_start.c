/* Child processes: what a child finds when it starts, all addresses being the child's. */

#include <child.h>

enum { SP = 2, A0 = 10 };

/* The beginning of the part; words and texts follow. The thread is where the child, which has another address for it,
 * will find it. */
struct start {
    fluke_thread_t thread;
    fluke_ref_t refs[FLUKE_CHILD_NAMES];
    struct fluke_start_block block;
    uint64_t words[];
};

/* Where the next word and the next text go. */
struct place {
    struct fluke_child_part *part;
    size_t word, text; /* bytes from the beginning of the part */
};

static size_t length_of(char **texts)
{
    size_t length = 0;

    while (texts[length] != NULL)
        length++;
    return length;
}

/* Bytes of the words: two lists, each with a null pointer, and the services. */
static size_t size_of_words(const struct fluke_child_program *program)
{
    size_t words = (size_t)program->argc + 1 + length_of(program->environment) + 1;

    return words * FLUKE_WORD_SIZE + FLUKE_CHILD_NAMES * sizeof(struct fluke_service);
}

size_t fluke_child_start_size(const struct fluke_child_program *program)
{
    size_t size = sizeof(struct start) + size_of_words(program);

    for (int i = 0; i < program->argc; i++)
        size += strlen(program->argv[i]) + 1;
    for (char **text = program->environment; *text != NULL; text++)
        size += strlen(*text) + 1;
    for (uint64_t i = 0; i < fluke_start_block->service_count; i++)
        size += strlen(fluke_start_block->services[i].name) + 1;
    return size;
}

/* Puts a word behind the last; returns the address at which the child sees it. */
static uint64_t put_word(struct place *place, uint64_t word)
{
    uint64_t at = place->part->at + place->word;

    *(uint64_t *)(place->part->here + place->word) = word;
    place->word += sizeof word;
    return at;
}

static uint64_t put_text(struct place *place, const char *text)
{
    uint64_t at = place->part->at + place->text;

    strcpy(place->part->here + place->text, text);
    place->text += strlen(text) + 1;
    return at;
}

/* Puts a list of texts, and a null pointer; returns the address of the list. */
static char **put_list(struct place *place, char **texts, size_t count)
{
    uint64_t at = place->part->at + place->word;

    for (size_t i = 0; i < count; i++)
        put_word(place, put_text(place, texts[i]));
    put_word(place, 0);
    return (char **)at;
}

static struct fluke_service *put_services(struct place *place, const struct fluke_child *child, struct start *seen)
{
    uint64_t at = place->part->at + place->word;

    for (uint64_t i = FLUKE_CHILD_SERVICES; i < child->name_count; i++) {
        put_word(place, put_text(place, child->names[i].name));
        put_word(place, (uint64_t)&seen->refs[i]);
    }
    return (struct fluke_service *)at;
}

bool fluke_child_write_start(struct fluke_child *child, const struct fluke_child_program *program)
{
    struct fluke_child_part *parts = child->parts, *part = &parts[program->start];
    struct start *start = (struct start *)part->here, *seen = (struct start *)part->at;
    struct place place = {.part = part, .word = sizeof *start, .text = sizeof *start + size_of_words(program)};

    if (part->size < fluke_child_start_size(program))
        return false;
    memset(part->here, 0, part->size);
    for (uint64_t i = 0; i < child->name_count; i++) {
        if (fluke_ref_create(&start->refs[i]) != FLUKE_SUCCESS)
            return false;
        fluke_ref_copy(child->names[i].ref, &start->refs[i]);
    }
    start->block = (struct fluke_start_block){
        .size = sizeof start->block,
        .argc = (uint64_t)program->argc,
        .argv = put_list(&place, program->argv, (size_t)program->argc),
        .environment = put_list(&place, program->environment, length_of(program->environment)),
        .heap_start = parts[program->heap].at,
        .heap_end = parts[program->heap].at + parts[program->heap].size,
        .stack_start = parts[program->stack].at,
        .stack_end = parts[program->stack].at + parts[program->stack].size,
        .space_ref = &seen->refs[FLUKE_CHILD_SPACE],
        .parent_ref = &seen->refs[FLUKE_CHILD_PARENT],
        .console_ref = &seen->refs[FLUKE_CHILD_CONSOLE],
        .timer_ref = &seen->refs[FLUKE_CHILD_TIMER],
        .services = put_services(&place, child, seen),
        .service_count = child->name_count - FLUKE_CHILD_SERVICES,
    };
    return true;
}

bool fluke_child_start(struct fluke_child *child, const struct fluke_child_program *program)
{
    struct fluke_child_part *parts = child->parts;
    struct start *start = (struct start *)parts[program->start].here, *seen = (struct start *)parts[program->start].at;
    struct fluke_thread_state state = {
        .thread_va = (uint64_t)&seen->thread,
        .priority = FLUKE_PRIORITY_DEFAULT,
        .pc = program->entry,
        .x = {[SP] = parts[program->stack].at + parts[program->stack].size, [A0] = (uint64_t)&seen->block},
    };

    if (fluke_thread_create(&start->thread) != FLUKE_SUCCESS)
        return false;
    fluke_thread_set_state(&start->thread, &state, child->names[FLUKE_CHILD_SPACE].ref, NULL, NULL, NULL, NULL);
    return true;
}
