"""The handler of every entry point in the table."""

from __future__ import annotations

from fluke_async.abi.conversation import CONVERSATIONS
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.kernel import ipc, reliable
from fluke_async.kernel.object_calls import Handler, object_calls
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.cond import Cond, cond_broadcast, cond_signal, cond_wait
from fluke_async.kernel.objects.mapping import Mapping, mapping_protect
from fluke_async.kernel.objects.mutex import Mutex, mutex_lock, mutex_trylock, mutex_unlock
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference, ref_check, ref_compare, ref_copy, ref_hash, ref_type
from fluke_async.kernel.objects.region import Region, region_protect
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_calls import (
    thread_disable_exceptions,
    thread_enable_exceptions,
    thread_get_handlers,
    thread_get_saved_state,
    thread_interrupt,
    thread_return_from_exception,
    thread_self,
    thread_set_handlers,
    thread_set_saved_state,
)
from fluke_async.kernel.objects.thread_links import (
    thread_get_client,
    thread_get_server,
    thread_set_client,
    thread_set_server,
    thread_set_server_entries,
)
from fluke_async.kernel.region_scan import region_changed, region_search
from fluke_async.kernel.scheduling import thread_schedule

OBJECTS: dict[str, type[KernelObject]] = {
    "thread": Thread,
    "space": Space,
    "region": Region,
    "mapping": Mapping,
    "port": Port,
    "portset": Portset,
    "mutex": Mutex,
    "cond": Cond,
    "ref": Reference,
}
UNREFERENCED = ("mapping", "ref")

HANDLERS: dict[str, Handler] = {
    "thread_self": thread_self,
    "thread_get_handlers": thread_get_handlers,
    "thread_set_handlers": thread_set_handlers,
    "thread_enable_exceptions": thread_enable_exceptions,
    "thread_disable_exceptions": thread_disable_exceptions,
    "thread_get_saved_state": thread_get_saved_state,
    "thread_set_saved_state": thread_set_saved_state,
    "thread_interrupt": thread_interrupt,
    "thread_return_from_exception": thread_return_from_exception,
    "thread_get_client": thread_get_client,
    "thread_set_client": thread_set_client,
    "thread_get_server": thread_get_server,
    "thread_set_server": thread_set_server,
    "thread_set_server_entries": thread_set_server_entries,
    "thread_schedule": thread_schedule,
    "region_protect": region_protect,
    "region_search": region_search,
    "region_changed": region_changed,
    "mapping_protect": mapping_protect,
    "mutex_lock": mutex_lock,
    "mutex_trylock": mutex_trylock,
    "mutex_unlock": mutex_unlock,
    "cond_wait": cond_wait,
    "cond_signal": cond_signal,
    "cond_broadcast": cond_broadcast,
    "ref_check": ref_check,
    "ref_compare": ref_compare,
    "ref_copy": ref_copy,
    "ref_type": ref_type,
    "ref_hash": ref_hash,
    "ipc_send": ipc.ipc_send,
    "ipc_call": ipc.ipc_call,
    "ipc_reply": ipc.serve,
    "ipc_reply_wait_receive": ipc.serve,
    "ipc_setup_wait_receive": ipc.serve,
    "ipc_wait_receive": ipc.serve,
    "ipc_request_receive": ipc.serve,
    "ipc_client_disconnect": reliable.client_disconnect,
    "ipc_server_disconnect": reliable.server_disconnect,
    "ipc_client_alert": reliable.client_alert,
    "ipc_server_alert": reliable.server_alert,
    **dict.fromkeys((call.name for call in CONVERSATIONS), ipc.converse),
}
for _prefix, _kind in OBJECTS.items():
    HANDLERS |= object_calls(_prefix, _kind, _prefix not in UNREFERENCED)

assert HANDLERS.keys() == BY_NAME.keys(), HANDLERS.keys() ^ BY_NAME.keys()
