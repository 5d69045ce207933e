/* Fills memory from the heap and checks what it reads back: memory [KIB]. */

#include <ulib.h>

int main(int argc, char **argv)
{
    size_t kibibytes = argc > 1 ? (size_t)atoi(argv[1]) : 64;
    size_t words = kibibytes * 1024 / sizeof(uint64_t);
    uint64_t *block = malloc(words * sizeof *block);

    if (block == NULL) {
        printf("no memory for %zu KiB\n", kibibytes);
        return 1;
    }
    for (size_t i = 0; i < words; i++)
        block[i] = i * 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < words; i++) {
        if (block[i] != i * 0x9e3779b97f4a7c15) {
            printf("word %zu is 0x%lx\n", i, block[i]);
            return 1;
        }
    }
    free(block);
    printf("%zu KiB hold what was written\n", kibibytes);
    return 0;
}
