"""
The kernel proper: objects, memory, messages and the order of threads, without any input or output.

Plain Python on plain structures: no event loop, no engine, no clock of its own. What may block is a coroutine that
suspends in `suspension` only; what happens then is the execution model's business, one layer up.
"""
