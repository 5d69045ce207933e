"""Pages that were written since a generation: none is missed, and few are named that were not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel.changes import PLACES_MAX, Changes
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.tables import Tables
from fluke_async.kernel.translation import ALL, FRAME_MASK, WRITE

FRAME = 5 * PAGE_SIZE


class Writers:
    """Spaces that may write frames: what the translation does about it, in a few lines."""

    def __init__(self) -> None:
        self.tables = Tables(100 * PAGE_SIZE)
        self.changes = Changes(self.tables)
        self.spaces = [Space(0, number) for number in range(PLACES_MAX + 3)]

    def write(self, frame: int = FRAME, who: int = 0, page: int = 1) -> bool:
        """Write a frame through a page of a space; whether that was noticed."""
        space = self.spaces[who]
        if space.pages.get(page, 0) & FRAME_MASK == frame and space.pages[page] & WRITE:
            return False
        if frame in self.changes.written:
            self.changes.note_write(frame, space, page)
        self.tables.enter(space, {page: frame | ALL})
        return True

    def read(self, frame: int = FRAME, who: int = 0, page: int = 1) -> None:
        """Read a frame through a page of a space."""
        granted = ALL & ~WRITE if frame in self.changes.written else ALL
        self.tables.enter(self.spaces[who], {page: frame | granted})

    def ask(self, since: int, frame: int = FRAME) -> tuple[bool, int]:
        """A round of one question; what it says, and its generation."""
        generation = self.changes.next_generation()
        return self.changes.ask(frame, since, generation), generation


def test_generations_are_new_each_time() -> None:
    changes = Changes(Tables(0))
    assert [changes.next_generation() for _ in range(3)] == [1, 2, 3]
    assert changes.generation == 3


def test_frame_that_nobody_has_asked_about_may_have_been_written() -> None:
    writers = Writers()
    writers.read()
    first, generation = writers.ask(0)
    second, _ = writers.ask(generation)
    assert (first, second) == (True, False)


def test_all_that_are_there_are_given_who_asks_since_the_beginning() -> None:
    writers = Writers()
    assert [writers.ask(0)[0] for _ in range(3)] == [True] * 3


def test_write_is_told_in_the_next_round_and_not_in_the_one_after() -> None:
    writers = Writers()
    _, since = writers.ask(0)
    writers.write()
    told, since = writers.ask(since)
    assert told
    assert not writers.ask(since)[0]


def test_write_after_a_question_is_noticed_once_until_somebody_asks_again() -> None:
    writers = Writers()
    writers.write()
    _, since = writers.ask(0)
    assert [writers.write() for _ in range(3)] == [True, False, False]
    _, since = writers.ask(since)
    assert [writers.write() for _ in range(3)] == [True, False, False]
    assert writers.ask(since)[0]


def test_writes_to_frames_that_nobody_asks_about_are_not_noticed() -> None:
    writers = Writers()
    writers.ask(0)
    assert writers.write(FRAME + PAGE_SIZE, page=2)  # a fault like any other
    assert set(writers.changes.written) == {FRAME}
    assert not writers.write(FRAME + PAGE_SIZE, page=2)


@pytest.mark.parametrize("places", [1, 2, PLACES_MAX, PLACES_MAX + 1, PLACES_MAX + 2])
def test_frame_that_is_written_at_many_places_is_noticed_at_each(places: int) -> None:
    """Up to some places each is remembered; for more, everything is forgotten."""
    writers = Writers()
    _, since = writers.ask(0)
    other = Space(0, 0)
    writers.tables.enter(other, {7: 9 * PAGE_SIZE | ALL})
    for who in range(places):
        assert writers.write(who=who)
    writers.tables.changed.clear()
    told, since = writers.ask(since)
    assert told
    assert writers.tables.changed
    assert (other.pages == {}) == (places > PLACES_MAX)
    assert all(writers.write(who=who) for who in range(places))
    assert writers.ask(since)[0]


def test_only_the_right_to_write_is_taken_away() -> None:
    writers = Writers()
    writers.ask(0)
    writers.write()
    writers.ask(1)
    assert writers.spaces[0].pages == {1: FRAME | ALL & ~WRITE}


def test_place_that_shows_another_frame_now_is_left_alone() -> None:
    writers = Writers()
    writers.ask(0)
    writers.write()
    writers.tables.enter(writers.spaces[0], {1: FRAME + PAGE_SIZE | ALL})
    writers.tables.changed.clear()
    writers.ask(1)
    assert writers.spaces[0].pages == {1: FRAME + PAGE_SIZE | ALL}
    assert not writers.tables.changed


def test_question_about_what_cannot_be_written_disturbs_nobody() -> None:
    writers = Writers()
    _, since = writers.ask(0)
    writers.read()
    writers.tables.changed.clear()
    writers.ask(since)
    assert not writers.tables.changed
    assert writers.spaces[0].pages


def test_forgotten_frame_is_as_if_nobody_had_asked() -> None:
    writers = Writers()
    _, since = writers.ask(0)
    writers.write()
    writers.changes.forget(FRAME)
    assert (writers.changes.written, writers.changes._writable) == ({}, {})
    assert writers.ask(since)[0]


def test_consumer_whose_round_is_older_hides_nothing_from_another() -> None:
    """A page is written for the first time after a whole round of one; the other, who began earlier, asks first."""
    writers = Writers()
    older = writers.changes.next_generation()
    _, since = writers.ask(0, frame=FRAME + PAGE_SIZE)
    writers.write()
    assert writers.changes.ask(FRAME, 0, older)
    assert writers.ask(since)[0]


def test_frame_that_could_be_written_until_now_may_have_been() -> None:
    """It was written before a round that has not asked about it, and again after; only the first time was noticed."""
    writers = Writers()
    writers.ask(0)
    writers.write()
    since = writers.changes.next_generation()
    assert not writers.write()
    told, since = writers.ask(since)
    assert told
    assert not writers.ask(since)[0]


PAGES, CONSUMERS = 2, 2


class Consumer:
    """Somebody who goes round all pages, one at a time, and what was written since it asked about each."""

    def __init__(self) -> None:
        self.since = 0
        self.generation = 0
        self.place = 0
        self.unseen = set(range(PAGES))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "read", "ask", "ask", "ask", "ask", "empty", "replace"]),
        st.integers(0, CONSUMERS - 1),
        st.integers(0, PAGES - 1),
    ),
    min_size=20,
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_no_write_is_missed_by_any_of_several_consumers(steps: list[tuple[str, int, int]]) -> None:
    """However their rounds overlap. What is named in vain could be written until somebody asked, a round ago."""
    writers = Writers()
    changes, tables = writers.changes, writers.tables
    consumers = [Consumer() for _ in range(CONSUMERS)]
    reasons = dict.fromkeys(range(PAGES), 0)
    open_pages: set[int] = set()
    for what, who, number in steps:
        if what == "read":
            writers.read(FRAME + number * PAGE_SIZE, who, page=number)
        elif what == "empty":
            tables.empty()
        elif what == "ask":
            consumer = consumers[who]
            place = consumer.place
            if place == 0:
                consumer.generation = changes.next_generation()
            if place in open_pages or FRAME + place * PAGE_SIZE not in changes.written:
                reasons[place] = changes.generation
            open_pages.discard(place)
            told = changes.ask(FRAME + place * PAGE_SIZE, consumer.since, consumer.generation)
            assert told or place not in consumer.unseen
            assert not told or reasons[place] >= consumer.since
            consumer.unseen.discard(place)
            consumer.place = (place + 1) % PAGES
            if consumer.place == 0:
                consumer.since = consumer.generation
        else:
            if what == "write":
                writers.write(FRAME + number * PAGE_SIZE, who, page=number)
                open_pages.add(number)
            else:  # a copy is made for the writer, who goes on there
                tables.empty()
                changes.forget(FRAME + number * PAGE_SIZE)
            reasons[number] = changes.generation
            for each in consumers:
                each.unseen.add(number)
