"""
The Fluke kernel (OSDI '99) as an embeddable asyncio library.

General layout, top to bottom; imports go downwards only:

    cli            the `fluke` command
    embedding      Kernel, Process: the async application's side
    device         the port that devices plug into (the standard ones are the package fluke_devices)
    execution      the two execution models, the dispatch of system calls, the hart's loop
    image          processes as data: files, their checks
    kernel         objects, messages, memory, order: plain Python without input or output
    abi            numbers, structures, the table of system calls: the only copy
    cpu            engines behind one protocol; the ELF loader

This module re-exports the public names.
"""

from fluke_async.embedding.exit import Exit
from fluke_async.embedding.host_memory import Buffer
from fluke_async.embedding.host_messages import Message, Request
from fluke_async.embedding.host_objects import HostCond, HostMutex, HostPort, HostReference
from fluke_async.embedding.host_thread import HostThread
from fluke_async.embedding.kernel import Kernel
from fluke_async.embedding.process import Process
from fluke_async.embedding.system_call import SystemCallError, SystemCallResult
from fluke_async.errors import FlukeError, ImageError, KernelBug, ProgramError
from fluke_async.image.image import Image

__all__ = (
    "Buffer",
    "Exit",
    "FlukeError",
    "HostCond",
    "HostMutex",
    "HostPort",
    "HostReference",
    "HostThread",
    "Image",
    "ImageError",
    "Kernel",
    "KernelBug",
    "Message",
    "Process",
    "ProgramError",
    "Request",
    "SystemCallError",
    "SystemCallResult",
)
