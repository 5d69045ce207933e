/* Asks a service TIMES times and prints its answers: ask SERVICE TIMES WORD...; a word may be n, the question's number. */

#include <ulib.h>

enum { WORDS_MAX = 80, SHOWN = 4 };

static uint64_t request[WORDS_MAX], reply[SHOWN];

int main(int argc, char **argv)
{
    fluke_ref_t *service = argc > 2 ? fluke_service(argv[1]) : NULL;
    long times, word;

    if (service == NULL || argc - 3 > WORDS_MAX || !fluke_number(argv[2], 0, 1l << 40, &times)) {
        puts("usage: ask SERVICE TIMES WORD...");
        return 2;
    }
    for (long n = 0; n < times; n++) {
        for (int i = 3; i < argc; i++) {
            word = n;
            if (strcmp(argv[i], "n") != 0 && !fluke_number(argv[i], 0, 1l << 62, &word))
                return 2;
            request[i - 3] = (uint64_t)word;
        }
        struct fluke_ipc_params params = {.send_buffer = request, .send_words = (uint64_t)argc - 3,
            .receive_buffer = reply, .receive_words = SHOWN};
        if (fluke_ipc_call(service, &params) != FLUKE_SUCCESS)
            return 1;
        char line[128];
        size_t length = 0;
        for (uint64_t i = 0; i < params.words_received; i++)
            length += (size_t)snprintf(line + length, sizeof line - length, i == 0 ? "%lu" : " %lu", reply[i]);
        printf("%s\n", line);
    }
    return 0;
}
