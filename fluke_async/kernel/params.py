"""The kernel's limits and tunables, one line and one reason each."""

QUANTUM_INSTRUCTIONS = 100_000  # a time slice: 100 us of virtual time, some 0.3 ms of host time
MAPPING_DEPTH_MAX = 32  # mappings of mappings: more is taken for a cycle
MESSAGE_WORDS_MAX = 1 << 40  # longer than any address space: a length that lies
STAMP_MAX = 1 << 62  # imported orders beyond it are refused, so that stamps never wrap
SLAB_SIZE = 1 << 40  # addresses of the root space set aside for one program
