/* Programs in a store: RV64 ELF files. Whatever a file says is wrong until it has been compared with what can be. */

#include "manager.h"

enum { PT_LOAD = 1, PT_INTERP = 3, PT_GNU_STACK = 0x6474e551, PF_X = 1, PF_W = 2, PF_R = 4, ET_EXEC = 2, ET_DYN = 3, EM_RISCV = 243 };
enum { MOST_HEADERS = 64 };

struct file_header {
    uint8_t identity[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, program_headers, section_headers;
    uint32_t flags;
    uint16_t size, program_header_size, program_header_count, section_header_size, section_header_count, names;
};
_Static_assert(sizeof(struct file_header) == 64, "as in the file");

struct program_header {
    uint32_t type, flags;
    uint64_t offset, at, physical, file_size, size, alignment;
};
_Static_assert(sizeof(struct program_header) == 56, "as in the file");

static struct program_header headers[MOST_HEADERS];

/* What is wrong with the header of a file of that size. */
static const char *check_header(const struct file_header *header, uint64_t size)
{
    const uint8_t *identity = header->identity;

    if (memcmp(identity, "\177ELF", 4) != 0)
        return "it is no ELF file";
    if (identity[4] != 2 || identity[5] != 1 || header->machine != EM_RISCV)
        return "it is for another machine";
    if (header->type == ET_DYN)
        return "it is position-independent: link it with -no-pie";
    if (header->type != ET_EXEC)
        return "it is no program";
    if (header->program_header_count > MOST_HEADERS)
        return "it has too many program headers";
    if (header->program_header_count > 0 && header->program_header_size != sizeof(struct program_header))
        return "its program headers have another size";
    if (header->program_headers > size
        || (size - header->program_headers) / sizeof(struct program_header) < header->program_header_count)
        return "its program headers lie outside of the file";
    return NULL;
}

/* What is wrong with a segment. That no two meet is found out when their parts are added. */
static const char *check_segment(const struct program_header *header, uint64_t size)
{
    if (header->file_size > header->size)
        return "a segment has more in the file than in memory";
    if (header->offset > size || header->file_size > size - header->offset)
        return "a segment lies outside of the file";
    if (header->at < FLUKE_USER_START || header->at >= FLUKE_USER_END || header->size > FLUKE_USER_END - header->at)
        return "a segment leaves the addresses of programs";
    return NULL;
}

/* What is readable by itself where it can be written, as for the host. */
static uint64_t prot_of(uint32_t flags)
{
    uint64_t prot = 0;

    if (flags & (PF_R | PF_W))
        prot |= FLUKE_PROT_READ;
    if (flags & PF_W)
        prot |= FLUKE_PROT_WRITE;
    if (flags & PF_X)
        prot |= FLUKE_PROT_EXECUTE;
    return prot;
}

static const char *take_segments(struct elf *elf, unsigned count, uint64_t size)
{
    for (const struct program_header *header = headers; header < headers + count; header++) {
        if (header->type == PT_INTERP)
            return "it is dynamically linked: link it statically";
        if (header->type == PT_GNU_STACK)
            elf->makes_code |= (header->flags & PF_X) != 0;
        if (header->type != PT_LOAD || header->size == 0)
            continue;
        const char *wrong = check_segment(header, size);
        if (wrong != NULL)
            return wrong;
        if (elf->segment_count == MOST_SEGMENTS)
            return "it has too many segments";
        elf->segments[elf->segment_count++] = (struct segment){.at = header->at,
                                                               .size = header->size,
                                                               .offset = header->offset,
                                                               .file_size = header->file_size,
                                                               .prot = prot_of(header->flags)};
        if (header->at + header->size > elf->end)
            elf->end = header->at + header->size;
    }
    return elf->segment_count > 0 ? NULL : "it has nothing to be loaded";
}

static bool can_start(const struct elf *elf)
{
    for (const struct segment *segment = elf->segments; segment < elf->segments + elf->segment_count; segment++)
        if (segment->prot & FLUKE_PROT_EXECUTE && elf->entry - segment->at < segment->size)
            return elf->entry % 2 == 0;
    return false;
}

const char *read_elf(struct elf *elf, struct fluke_blob *file)
{
    struct file_header header;

    memset(elf, 0, sizeof *elf);
    if (file->size < sizeof header)
        return "it is no ELF file";
    if (!fluke_blob_read(file, 0, &header, sizeof header))
        return "it cannot be read";
    const char *wrong = check_header(&header, file->size);
    if (wrong != NULL)
        return wrong;
    if (!fluke_blob_read(file, header.program_headers, headers, header.program_header_count * sizeof *headers))
        return "it cannot be read";
    wrong = take_segments(elf, header.program_header_count, file->size);
    if (wrong != NULL)
        return wrong;
    elf->entry = header.entry;
    return can_start(elf) ? NULL : "its entry is not in code";
}
