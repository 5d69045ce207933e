/* Makes a table of the least factors of all numbers, then takes the numbers apart that it reads: factors. */

#include <ulib.h>

enum { LIMIT = 200000 };

static uint32_t least[LIMIT]; /* factor of each number but 0 and 1 */

static void take_apart(long number)
{
    char line[160];
    int length = snprintf(line, sizeof line, "%ld =", number);
    const char *sign = "";

    for (long left = number; left > 1; left /= least[left]) {
        length += snprintf(line + length, sizeof line - (size_t)length, "%s %u", sign, least[left]);
        sign = " x";
    }
    puts(line);
}

int main(void)
{
    char line[32];
    long number;

    for (uint32_t n = 2; n < LIMIT; n++)
        if (least[n] == 0)
            for (uint32_t multiple = n; multiple < LIMIT; multiple += n)
                if (least[multiple] == 0)
                    least[multiple] = n;
    puts("the table is there");
    while (fluke_gets(line, sizeof line) >= 0) {
        if (fluke_number(line, 2, LIMIT - 1, &number))
            take_apart(number);
        else
            printf("%s is no number from 2 to %d\n", line, LIMIT - 1);
    }
    return 0;
}
