"""Processors: engines that run RV64GC user-mode code behind one protocol.

``protocol``      what the kernel may ask of an engine
``unicorn_cpu``   machine code on Unicorn; with `unicorn_tlb` and `unicorn_binding`
``scripted_cpu``  Python lists of steps, for kernel tests without an ELF file
``elf``           program images: an ELF file becomes segments
"""
