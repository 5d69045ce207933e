"""
Embedding: a kernel as part of an asyncio application.

The only layer that knows the event loop: it drives the hart in slices, carries requests to devices and calls from the
host to the kernel at one fixed point, and gives processes handles with streams and exits.
"""
