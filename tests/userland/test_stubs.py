"""The stubs carry C arguments into the registers of their roles, and results back: a test that plays the kernel."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fluke_async.abi.entry_point import EntryPoint
from fluke_async.abi.entry_points import BY_NUMBER
from fluke_async.abi.layouts import IPC_PARAMS, START_BLOCK
from fluke_async.abi.registers import A0, A1, A2, ENTRY_POINT, NUMBER_OF, SP
from fluke_async.cpu.elf import load_elf
from fluke_async.cpu.protocol import PAGE_SIZE, READ, WRITE, Cause
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from fluke_async.programs import find_program

DESTINATION, PORTSET, HASH, NEW_PORT = 0x5000, 0x6000, 0x7000, 0x8000  # as in stubs.c
FIRST_VALUE = 0x1000
RESULT = 0x2000  # result number n is RESULT + n
STACK, START = 0x100000, 0x110000
FIELDS = {field.name: FIRST_VALUE + index for index, field in enumerate(IPC_PARAMS.fields)}
PC, RA = -1, NUMBER_OF["ra"]
SAVED = [NUMBER_OF[name] for name in ("sp", "s0", "s1", "s2", "s3", "s4")]


@dataclass
class Call:
    """One system call of the program: the registers at its `ecall`, and what the program had afterwards."""

    entry: EntryPoint
    registers: list[int]
    params: dict[str, int | tuple[int, ...]]
    alias: int
    status: int


class Player:
    """Runs the program and answers its calls: every result is a number that tells which it is."""

    def __init__(self) -> None:
        self.cpu = UnicornCpu(0x40000)
        image = load_elf(find_program("stubs"))
        self.pages: dict[int, int] = {}
        for segment in image.segments:
            self.map(segment.address, segment.memory_size, segment.permissions)
            for offset, byte in enumerate(bytes(segment.data)):
                self.cpu.ram[self.physical(segment.address + offset)] = byte
        self.map(STACK - 4 * PAGE_SIZE, 4 * PAGE_SIZE, READ | WRITE)
        self.map(START, PAGE_SIZE, READ | WRITE)
        at = self.physical(START)
        self.cpu.ram[at : at + START_BLOCK.size] = START_BLOCK.pack({"size": START_BLOCK.size})
        self.cpu.set_pages(self.pages)
        registers = array("Q", bytes(8 * 32))
        registers[A0], registers[SP] = START, STACK
        self.cpu.load(registers, None)
        self.pc = image.entry

    def map(self, address: int, size: int, permissions: int) -> None:
        for page in range(address // PAGE_SIZE, (address + size + PAGE_SIZE - 1) // PAGE_SIZE):
            self.pages[page] = len(self.pages) * PAGE_SIZE | permissions

    def physical(self, address: int) -> int:
        return self.pages[address // PAGE_SIZE] // PAGE_SIZE * PAGE_SIZE + address % PAGE_SIZE

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.cpu.ram[self.physical(address + offset)] for offset in range(size))

    def next_call(self) -> EntryPoint:
        cause, self.pc, _address, _retired = self.cpu.run(self.pc, 1_000_000)
        assert cause == Cause.ECALL
        return BY_NUMBER[self.cpu.registers[ENTRY_POINT]]

    def answer(self, entry: EntryPoint) -> None:
        for index, result in enumerate(entry.results):
            self.cpu.registers[result.register] = RESULT + index
        self.pc += 4

    def calls(self) -> Iterator[Call]:
        """The calls that the program shows the results of, until it exits."""
        entry, before = self.next_call(), list(self.cpu.registers)
        while not (entry.name == "ipc_call" and before[A0] == 0):  # the parent's reference is null here
            self.answer(entry)
            following, after = self.next_call(), list(self.cpu.registers)
            if following.name == "region_get_state":
                params = IPC_PARAMS.unpack(self.read(after[A0], IPC_PARAMS.size))
                alias = int.from_bytes(self.read(after[A1], 8), "little")
                yield Call(entry, before, params, alias, after[A2])
            entry, before = following, after


@pytest.fixture(scope="module")
def calls() -> list[Call]:
    player = Player()
    try:
        return list(player.calls())
    finally:
        player.cpu.close()


def test_the_program_makes_every_call_that_it_is_meant_to(calls: list[Call]) -> None:
    assert [call.entry.name for call in calls] == [
        "ipc_send",
        "ipc_call",
        "ipc_reply",
        "ipc_reply_wait_receive",
        "ipc_reply_wait_receive",
        "ipc_setup_wait_receive",
        "ipc_setup_wait_receive",
        "ipc_wait_receive",
        "ipc_request_receive",
        "port_create_hash",
        "port_create_hash",
    ]


def test_message_arguments_are_in_the_registers_of_their_roles(calls: list[Call]) -> None:
    expected = {**FIELDS, "destination_ref": DESTINATION, "portset": PORTSET, "progress_words": 0}
    for call in calls:
        if call.entry.is_message:
            for argument in call.entry.arguments:
                assert call.registers[argument.register] == expected[argument.name], argument.name


def test_message_results_are_stored_and_nothing_else_is(calls: list[Call]) -> None:
    for call in calls:
        if call.entry.is_message:
            results = {result.name: RESULT + index for index, result in enumerate(call.entry.results)}
            assert call.params == {name: results.get(name, value) for name, value in FIELDS.items()}


def test_the_alias_is_stored_where_there_is_a_place_for_it(calls: list[Call]) -> None:
    aliases = []
    for call in calls:
        names = [result.name for result in call.entry.results]
        if "port_alias" in names:
            assert call.alias in (0, RESULT + names.index("port_alias"))
            aliases.append(call.alias != 0)
    assert aliases == [True, False, True, False, True, True]


def test_the_status_is_returned(calls: list[Call]) -> None:
    assert {call.status for call in calls} == {RESULT}


def test_a_chosen_hash_is_passed_and_the_kernels_is_stored(calls: list[Call]) -> None:
    given, without = calls[-2:]
    assert (given.registers[A0], given.registers[A1]) == (NEW_PORT, HASH)
    assert without.registers[A1] == 0
    assert without.alias == RESULT + 1  # the program has copied the hash of the call before


def is_jump(before: list[int], after: list[int]) -> bool:
    return after[PC] - before[PC] not in (0, 2, 4)  # 0: an ecall that was not yet answered


def test_saved_registers_survive_every_message_stub() -> None:
    """From the jump into the stub to the return from it, instruction by instruction."""
    player = Player()
    steps: list[list[int]] = []
    inside: list[tuple[list[int], str]] = []  # where a stub that is not done was entered
    done = []
    try:
        while True:
            cause, player.pc, _address, _retired = player.cpu.run(player.pc, 1)
            steps.append([player.cpu.registers[number] for number in SAVED] + [player.cpu.registers[RA], player.pc])
            if inside and player.pc == inside[-1][0][-2]:
                entered, name = inside.pop()
                assert steps[-1][: len(SAVED)] == entered[: len(SAVED)], name
                done.append(name)
            if cause == Cause.ECALL:
                entry = BY_NUMBER[player.cpu.registers[ENTRY_POINT]]
                if entry.name == "ipc_call" and player.cpu.registers[A0] == 0:
                    break
                if entry.is_message:
                    jump = max(index for index in range(1, len(steps)) if is_jump(steps[index - 1], steps[index]))
                    inside.append((steps[jump], entry.name))
                player.answer(entry)
    finally:
        player.cpu.close()
    assert len(done) == 9
