"""The kernel's limits and tunables, one line and one reason each."""

QUANTUM_INSTRUCTIONS = 1_000_000  # a time slice: 1 ms of virtual time, some 2.5 ms of host time; ending one costs 25 us
HARTS_MAX = 16  # the first of the ready are looked up at every turn
TURN_INSTRUCTIONS = 10_000  # of one hart, where there are several: some 25 us of host time; the next costs up to 10
SHORT_TURN_INSTRUCTIONS = 53  # where turns are drawn: shorter than most calls, and a prime: no loop comes out even
MAPPING_DEPTH_MAX = 32  # mappings of mappings: more is taken for a cycle
TRANSLATIONS_MIN = 64  # room in the tables of translations of the smallest kernel
PICKED_PAGES_MAX = 128  # pages looked at one by one, in a table or a range, to take out what is in both
TRANSLATED_SPACES_MAX = 4096  # spaces that have tables at one time: so many are emptied in one step, in under 1 ms
REVOKED_RANGES_MAX = 64  # ranges followed down the tree of mappings one by one; for more, all tables are emptied
REVOKED_LOOKS_MAX = 4096  # regions and mappings looked at on the way; likewise
FAULT_AROUND_PAGES = 16  # pages that are entered together, where they are present: a power of two
MESSAGE_WORDS_MAX = 1 << 40  # longer than any address space: a length that lies
STAMP_MAX = 1 << 63  # imported orders beyond it are refused, so that stamps never wrap
STAMP_LEAD_MAX = 1 << 32  # how far ahead an imported order may be: nobody can use up the stamps
UNPACKED_WAITS_MAX = 1024  # waits after which the registers of who waits still are packed; packing costs some 3 us
SLAB_SIZE = 1 << 40  # addresses of the root space set aside for one program
