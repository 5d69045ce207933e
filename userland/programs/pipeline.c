/* Sends long messages through filters, each in a space of its own, to a sink that checks them: pipeline [STAGES] [KIB]. */

/*
 * What is sent goes in a few messages from a source to the first stage, from stage to stage, and to the sink, over a
 * reliable connection between each two. A message is sent piece by piece, and each piece is gathered from buffers and
 * scattered into others: its notes, in which each stage that finds something out writes what it has found so far, and
 * the words themselves.
 *
 * At the end of a message its sender says over, and waits until it is told how much has been taken. Who takes it tells
 * that when it has passed all of it on, and been told so by the next one: so a sender cannot begin a message before the
 * last one is in the sink, but the pieces of one message are on their way in all stages at a time.
 */

#include <cells.h>

enum { MOST_STAGES = 8, MOST_KIB = 4096, MESSAGES = 4, PIECE_WORDS = 1024, ROOMS = 3 };
enum kind { XOR, COUNT, SUM, KINDS }; /* what the stages do, in turn */

static const char *const kind_names[KINDS] = {"xor", "count", "sum"};

struct piece {
    uint64_t notes[MOST_STAGES]; /* a number from each stage that has one */
    uint64_t words[PIECE_WORDS];
};

/* A filter, the source, or the sink, which has nobody to pass on to. */
struct stage {
    unsigned index;
    enum kind kind;
    uint64_t to_send;         /* words, of the source */
    uint64_t done;            /* words that it has dealt with */
    uint64_t sum, zero_bytes; /* of these */
    uint64_t told;            /* how many words the next one has said that it took */
    struct piece piece;
    size_t piece_words; /* of it, that are there */
    bool is_connected, is_receiver; /* as the client of the next */
    fluke_portset_t portset;
    fluke_port_t port;
    fluke_ref_t ref, next; /* to its own port, and to that of the next */
};

/* -- What a stage does with a piece ------------------------------------------------------------------------------- */

static uint64_t source_word(uint64_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15;
}

static uint64_t key(unsigned stage)
{
    return 0x0123456789abcdef * (2 * stage + 1);
}

static void apply_key(struct stage *stage)
{
    for (size_t i = 0; i < stage->piece_words; i++)
        stage->piece.words[i] ^= key(stage->index);
}

static void count_zero_bytes(struct stage *stage)
{
    for (size_t i = 0; i < stage->piece_words; i++)
        for (uint64_t word = stage->piece.words[i], byte = 0; byte < sizeof word; byte++, word >>= 8)
            stage->zero_bytes += (word & 0xff) == 0;
    stage->piece.notes[stage->index] = stage->zero_bytes;
}

/* The sum depends on the order of the words too. */
static void add_up(struct stage *stage)
{
    for (size_t i = 0; i < stage->piece_words; i++)
        stage->sum = stage->sum * 31 + stage->piece.words[i];
    stage->piece.notes[stage->index] = stage->sum;
}

static void filter_piece(struct stage *stage)
{
    switch (stage->kind) {
    case XOR: apply_key(stage); break;
    case COUNT: count_zero_bytes(stage); break;
    default: add_up(stage); break;
    }
}

/* -- Sending ------------------------------------------------------------------------------------------------------ */

/* The step with which a piece goes on depends on who sends, and on whether the message goes on after it. */
static fluke_error_t send(struct stage *stage, struct fluke_ipc_params *params, bool is_last)
{
    if (!stage->is_connected)
        return is_last ? fluke_ipc_client_connect_send_over_receive(&stage->next, params)
                       : fluke_ipc_client_connect_send(&stage->next, params);
    if (stage->is_receiver)
        return is_last ? fluke_ipc_client_ack_send_over_receive(params) : fluke_ipc_client_ack_send(params);
    return is_last ? fluke_ipc_client_send_over_receive(params) : fluke_ipc_client_send(params);
}

/* Sends the piece that is there, in two halves after its notes; false if it does not arrive. */
static bool pass_on(struct stage *stage, bool is_last)
{
    struct piece *piece = &stage->piece;
    size_t half = stage->piece_words / 2;
    struct fluke_ipc_buffer halves[] = {{half, piece->words}, {stage->piece_words - half, piece->words + half}};
    struct fluke_ipc_params params = {.send_buffer = piece->notes,
                                      .send_words = MOST_STAGES,
                                      .send_buffer_table = halves,
                                      .send_buffer_count = 2,
                                      .receive_buffer = &stage->told,
                                      .receive_words = 1};
    fluke_error_t status = send(stage, &params, is_last);

    stage->is_connected = true;
    stage->is_receiver = is_last;
    stage->done += stage->piece_words;
    return status == FLUKE_SUCCESS && (!is_last || (params.words_received == 1 && stage->told == stage->done));
}

/* -- Receiving ---------------------------------------------------------------------------------------------------- */

/* Parts of a piece's words, none of them where the sender has its halves. */
static void make_rooms(struct piece *piece, struct fluke_ipc_buffer rooms[ROOMS])
{
    rooms[0] = (struct fluke_ipc_buffer){100, piece->words};
    rooms[1] = (struct fluke_ipc_buffer){600, piece->words + 100};
    rooms[2] = (struct fluke_ipc_buffer){PIECE_WORDS - 700, piece->words + 700};
}

/* How a piece is received: as the first one, as the next of its message, or after the answer to its message. */
enum turn { FIRST, MORE, ANSWER };

/* Receives a piece; true if there is one. `turn` is then the one with which to receive the next. */
static bool take(struct stage *stage, enum turn *turn)
{
    struct fluke_ipc_buffer rooms[ROOMS];
    struct fluke_ipc_params params = {.send_buffer = &stage->done,
                                      .send_words = 1,
                                      .receive_buffer = stage->piece.notes,
                                      .receive_words = MOST_STAGES,
                                      .receive_buffer_table = rooms,
                                      .receive_buffer_count = ROOMS};
    fluke_error_t status;

    make_rooms(&stage->piece, rooms);
    switch (*turn) {
    case FIRST: status = fluke_ipc_setup_wait_receive(&stage->portset, &params, NULL); break;
    case MORE: status = fluke_ipc_server_receive(&params); break;
    default: status = fluke_ipc_server_ack_send_over_receive(&params); break;
    }
    if ((status != FLUKE_SUCCESS && status != FLUKE_IPC_RECV_MORE_DATA) || params.words_received < MOST_STAGES)
        return false;
    *turn = status == FLUKE_SUCCESS ? ANSWER : MORE;
    stage->piece_words = params.words_received - MOST_STAGES;
    return true;
}

/* -- The stages, each in a space of its own ----------------------------------------------------------------------- */

/* The end of its connection ends a stage, and so its connection with the next. */
static void filter(void *memory)
{
    struct stage *stage = memory;
    enum turn turn = FIRST;

    do {
        if (!take(stage, &turn))
            break;
        filter_piece(stage);
    } while (pass_on(stage, turn == ANSWER));
    fluke_ipc_client_disconnect();
    fluke_ipc_server_disconnect();
}

/* Sends the source's words in messages that are as long as each other, or nearly so. */
static void send_all(void *memory)
{
    struct stage *source = memory;
    const uint64_t count = source->to_send;

    for (uint64_t message = 1, i = 0; message <= MESSAGES; message++) {
        for (uint64_t end = count * message / MESSAGES; i < end; i += source->piece_words) {
            source->piece_words = end - i < PIECE_WORDS ? end - i : PIECE_WORDS;
            for (size_t k = 0; k < source->piece_words; k++)
                source->piece.words[k] = source_word(i + k);
            if (!pass_on(source, i + source->piece_words == end))
                return;
        }
    }
    fluke_ipc_client_disconnect();
}

/* -- The program's own space -------------------------------------------------------------------------------------- */

static struct fluke_cell cells[1 + MOST_STAGES]; /* of the source, and of the stages */
static struct stage *stages[1 + MOST_STAGES], sink, model[MOST_STAGES];

static void fail(const char *what)
{
    puts(what);
    exit(1);
}

static void open_stage(struct stage *stage, unsigned index)
{
    stage->index = index;
    stage->kind = index % KINDS;
    if (fluke_portset_create(&stage->portset) != FLUKE_SUCCESS || fluke_ref_create(&stage->next) != FLUKE_SUCCESS
        || !fluke_open_port(&stage->port, &stage->portset, 0, &stage->ref))
        fail("not enough memory for the stages");
}

static void close_stage(struct stage *stage)
{
    fluke_ref_destroy(&stage->ref);
    fluke_ref_destroy(&stage->next);
    fluke_port_destroy(&stage->port);
    fluke_portset_destroy(&stage->portset);
}

static void open_pipeline(unsigned stage_count, uint64_t words)
{
    open_stage(&sink, stage_count);
    for (unsigned i = stage_count + 1; i-- > 0;) {
        stages[i] = fluke_cell_open(&cells[i], sizeof *stages[i]);
        if (stages[i] == NULL)
            fail("not enough memory for the stages");
        open_stage(stages[i], i - 1);
        fluke_ref_copy(i < stage_count ? &stages[i + 1]->ref : &sink.ref, &stages[i]->next);
        if (i > 0)
            fluke_cell_start(&cells[i], filter);
    }
    stages[0]->to_send = words;
    fluke_cell_start(&cells[0], send_all);
}

/* The pipeline ends from its source on, when the sink has all, or has left. */
static void close_pipeline(unsigned stage_count)
{
    for (unsigned i = 0; i <= stage_count; i++) {
        fluke_cell_wait(&cells[i]);
        close_stage(stages[i]);
        fluke_cell_close(&cells[i]);
    }
    close_stage(&sink);
}

/* Whether a piece in the sink is what it has to be: the same is done here, in one space, with a model of each stage. */
static bool is_right(const struct piece *piece, unsigned stage_count, uint64_t first, size_t count)
{
    static struct stage step;

    for (size_t i = 0; i < count; i++)
        step.piece.words[i] = source_word(first + i);
    for (unsigned i = 0; i < stage_count; i++) {
        model[i].index = i;
        model[i].kind = i % KINDS;
        model[i].piece_words = count;
        memcpy(model[i].piece.words, step.piece.words, count * sizeof(uint64_t));
        filter_piece(&model[i]);
        memcpy(step.piece.words, model[i].piece.words, count * sizeof(uint64_t));
        if (piece->notes[i] != model[i].piece.notes[i])
            return false;
    }
    return memcmp(piece->words, step.piece.words, count * sizeof(uint64_t)) == 0;
}

/* Takes and checks all that comes; true if it is right. */
static bool drain(unsigned stage_count, uint64_t words)
{
    unsigned pieces = 0, messages = 0;

    for (enum turn turn = FIRST; take(&sink, &turn);) {
        if (!is_right(&sink.piece, stage_count, sink.done, sink.piece_words)) {
            printf("piece %u is not what it has to be\n", pieces);
            break;
        }
        sink.done += sink.piece_words;
        pieces++;
        messages += turn == ANSWER;
    }
    fluke_ipc_server_disconnect();
    for (unsigned i = 0; i < stage_count; i++) {
        uint64_t note = i % KINDS == XOR ? key(i) : sink.piece.notes[i];
        printf(i % KINDS == COUNT ? "stage %u, %s: %lu zero bytes\n" : "stage %u, %s: 0x%016lx\n", i + 1,
               kind_names[i % KINDS], note);
    }
    printf("%lu bytes in %u messages of %u pieces came through %u spaces, %s\n", sink.done * sizeof(uint64_t), messages,
           pieces, stage_count, sink.done == words ? "every one right" : "and some are missing");
    return sink.done == words;
}

int main(int argc, char **argv)
{
    long stage_count = 3, kib = 1024;

    if (argc > 3 || (argc > 1 && !fluke_number(argv[1], 1, MOST_STAGES, &stage_count))
        || (argc > 2 && !fluke_number(argv[2], 1, MOST_KIB, &kib))) {
        printf("usage: pipeline [STAGES] [KIB], from 1 to %d stages and %d KiB\n", MOST_STAGES, MOST_KIB);
        return 2;
    }
    uint64_t words = (uint64_t)kib * 1024 / sizeof(uint64_t);
    open_pipeline((unsigned)stage_count, words);
    bool right = drain((unsigned)stage_count, words);
    close_pipeline((unsigned)stage_count);
    if (fluke_heap_in_use() != 0)
        fail("memory is left");
    return right ? 0 : 1;
}
