/* Commits one misdeed, named by its argument, after saying so. */

#include <ulib.h>

/* Addresses that the compiler cannot see through. */
static volatile uintptr_t nowhere = 0;
static volatile uint64_t data[2] = {0x00008067, 0}; /* the machine code of `ret` */
static const uint64_t constant = 1;

static void null_read(void) { (void)*(volatile uint64_t *)nowhere; }
static void null_write(void) { *(volatile uint64_t *)nowhere = 1; }
static void null_jump(void) { ((void (*)(void))nowhere)(); }
static void data_jump(void) { ((void (*)(void))(nowhere + (uintptr_t)data))(); }
static void code_write(void) { *(volatile uint32_t *)(nowhere + (uintptr_t)null_read) = 0; }
static void constant_write(void) { *(volatile uint64_t *)(nowhere + (uintptr_t)&constant) = 2; }
static void kernel_read(void) { (void)*(volatile uint64_t *)(nowhere + 0xffffffff80000000); }
static void illegal(void) { __asm__ volatile(".word 0xffffffff"); }
static void privileged(void) { __asm__ volatile("csrw sstatus, zero"); }
static void breakpoint(void) { __asm__ volatile("ebreak"); }

static void misaligned_atomic(void)
{
    __asm__ volatile("amoadd.d zero, zero, (%0)" : : "r"((uintptr_t)data + 1) : "memory");
}

static void foreign_call(void)
{
    register uint64_t number __asm__("a7") = 64; /* Linux's write */
    __asm__ volatile("ecall" : : "r"(number) : "a0", "memory");
}

static void unknown_call(void)
{
    register uint64_t number __asm__("a7") = FLUKE_CALL_THREAD_CREATE + 0x100000;
    __asm__ volatile("ecall" : : "r"(number) : "a0", "memory");
}

static uint64_t deeper(volatile uint64_t *above)
{
    volatile uint64_t frame[64] = {*above};
    return nowhere == 0 ? deeper(frame) + frame[0] : 0;
}

static void stack_overflow(void) { deeper(data); }

static void endless_loop(void)
{
    for (;;)
        __asm__ volatile("");
}

static const struct {
    const char *name;
    void (*commit)(void);
} misdeeds[] = {
    {"null-read", null_read},
    {"null-write", null_write},
    {"null-jump", null_jump},
    {"data-jump", data_jump},
    {"code-write", code_write},
    {"constant-write", constant_write},
    {"kernel-read", kernel_read},
    {"illegal", illegal},
    {"privileged", privileged},
    {"breakpoint", breakpoint},
    {"misaligned-atomic", misaligned_atomic},
    {"foreign-call", foreign_call},
    {"unknown-call", unknown_call},
    {"stack-overflow", stack_overflow},
    {"endless-loop", endless_loop},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof misdeeds / sizeof *misdeeds; i++) {
        if (argc < 2) {
            puts(misdeeds[i].name);
        } else if (strcmp(argv[1], misdeeds[i].name) == 0) {
            printf("about to commit: %s\n", argv[1]);
            misdeeds[i].commit();
            puts("survived");
            return 0;
        }
    }
    return argc < 2 ? 0 : 2;
}
