/* Prints its arguments, or copies standard input to standard output line by line. */

#include <ulib.h>

int main(int argc, char **argv)
{
    char line[512];

    if (argc > 1) {
        for (int i = 1; i < argc; i++)
            printf(i + 1 < argc ? "%s " : "%s\n", argv[i]);
        return 0;
    }
    while (fluke_gets(line, sizeof line) >= 0)
        if (puts(line) < 0)
            return 1;
    return 0;
}
