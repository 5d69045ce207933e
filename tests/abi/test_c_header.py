"""How the tables read in C."""

from __future__ import annotations

import re

from fluke_async.abi import codes
from fluke_async.abi.c_header import header
from fluke_async.abi.c_names import exception_name, prototype
from fluke_async.abi.c_stubs import stubs
from fluke_async.abi.codes import ExceptionCode
from fluke_async.abi.entry_points import BY_NAME, ENTRY_POINTS


def one_line(declaration: str) -> str:
    return " ".join(declaration.split())


def test_prototypes_are_those_of_the_manual() -> None:
    declared = {name: one_line(prototype(BY_NAME[name])) for name in BY_NAME}
    assert declared["thread_create"] == "fluke_error_t fluke_thread_create(fluke_thread_t *thread);"
    assert declared["port_create_hash"] == "fluke_error_t fluke_port_create_hash(fluke_port_t *port, uint64_t *hash);"
    assert declared["space_move"] == "void fluke_space_move(fluke_space_t *space, fluke_space_t *new_address);"
    assert declared["region_set_state"] == (
        "void fluke_region_set_state(fluke_region_t *region, const struct fluke_region_state *state, "
        "fluke_ref_t *space_ref, fluke_ref_t *keeper_ref);"
    )
    assert declared["thread_self"] == "fluke_thread_t *fluke_thread_self(void);"
    assert declared["mutex_lock"] == "void fluke_mutex_lock(fluke_mutex_t *mutex);"
    assert declared["mutex_trylock"] == "fluke_error_t fluke_mutex_trylock(fluke_mutex_t *mutex);"
    assert declared["ref_type"] == "fluke_type_t fluke_ref_type(fluke_ref_t *ref);"
    assert declared["ref_hash"] == "uint64_t fluke_ref_hash(fluke_ref_t *ref);"
    assert declared["ipc_send"] == (
        "fluke_error_t fluke_ipc_send(fluke_ref_t *destination_ref, struct fluke_ipc_params *params);"
    )
    assert declared["ipc_setup_wait_receive"] == (
        "fluke_error_t fluke_ipc_setup_wait_receive(fluke_portset_t *portset, struct fluke_ipc_params *params, "
        "uintptr_t *port_alias);"
    )


def test_the_header_declares_every_call_and_the_stubs_define_it() -> None:
    declared = set(re.findall(r"\bfluke_(\w+)\(", header())) - {"exit"}
    defined = set(re.findall(r"^fluke_(\w+):$", stubs(), re.MULTILINE))
    assert declared == defined == {entry.name for entry in ENTRY_POINTS}


def test_every_name_in_the_header_is_given_once() -> None:
    names = re.findall(r"^    (FLUKE_\w+) += ", header(), re.MULTILINE)
    names += re.findall(r"^#define (FLUKE_\w+) ", header(), re.MULTILINE)
    assert len(names) == len(set(names))


def test_flags_of_no_and_of_all_rights_are_named() -> None:
    values = dict(re.findall(r"^    (FLUKE_PROT_\w+) += (\d+),$", header(), re.MULTILINE))
    assert values == {f"FLUKE_PROT_{name}": str(int(value)) for name, value in codes.Prot.__members__.items()}


def test_hardware_exceptions_are_told_from_insanities() -> None:
    assert exception_name(ExceptionCode.LOAD_FAULT) == "FLUKE_EXCEPTION_LOAD_FAULT"
    assert exception_name(ExceptionCode.NO_OBJECT) == "FLUKE_INSANITY_NO_OBJECT"
