"""The page of reliable connections: its drawing and tables are those of `conversation`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence

from fluke_async.abi import conversation
from fluke_async.abi.conversation import CONVERSATIONS, MEETINGS, MOVES, State, Step

Table = Callable[[Sequence[str], Iterable[Sequence[object]]], list[str]]
Page = Callable[[str, Iterable[str]], str]


def connections(page: Page, table: Table) -> str:
    """The text of the page, from functions that make a page of lines and a table of rows."""
    return page(
        "Reliable connections",
        [
            inspect.getdoc(conversation) or "",
            "",
            "```mermaid",
            "stateDiagram-v2",
            *_drawing(),
            "```",
            "",
            "What a step makes of the state of the end that does it, or what the call comes to at once:",
            "",
            *table(
                ("step", *(state.value for state in State)),
                ((step.value, *(_outcome(state, step) for state in State)) for step in Step),
            ),
            "What happens where the steps of the two ends meet; else the one who comes first waits for the other:",
            "",
            *table(
                ("sender's step", "receiver's step", "what happens"),
                ((sender.value, receiver.value, meeting.value) for (sender, receiver), meeting in MEETINGS.items()),
            ),
            "The calls, by their steps:",
            "",
            *table(
                ("call", "steps", "what remains after the first"),
                (
                    (
                        f"[{call.name}](ipc.md#{call.name})",
                        ", ".join(step.value for step in call.steps),
                        f"`{call.rest}`" if call.rest else "",
                    )
                    for call in CONVERSATIONS
                ),
            ),
        ],
    )


def _drawing() -> list[str]:
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, step), after in MOVES.items():
        if isinstance(after, State) and (state is not State.NONE or after is not State.NONE):
            arrows.setdefault((state, after), []).append(step.value)
    names = {State.NONE: "[*]", State.SENDER: "sender", State.RECEIVER: "receiver"}
    return [f"    {names[state]} --> {names[after]} : {', '.join(steps)}" for (state, after), steps in arrows.items()]


def _outcome(state: State, step: Step) -> str:
    after = MOVES[state, step]
    if isinstance(after, State):
        return after.value
    family = "" if after.name.startswith("IPC") else "INSANITY_"
    return f"`FLUKE_{family}{after.name}`"
