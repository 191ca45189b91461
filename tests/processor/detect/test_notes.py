"""What is told of traces as they come in is what would be told when they are decided, or nothing."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from edge_traces import NOW, edge_trace
from otlp import request, span

from fidelity_otel.processor import native, sift, wire
from fidelity_otel.processor.contract import Contract, Contracts, Rule
from fidelity_otel.processor.detect import DEFAULT, History
from fidelity_otel.processor.journal import unpack_spans
from fidelity_otel.processor.journal.frame import unframe
from fidelity_otel.processor.pipeline import Input
from fidelity_otel.processor.sift import ANYTHING, NOT_LOOKED, Sieve, Sift, Sifted
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.wire_records import Records, records_in

pytestmark = pytest.mark.skipif(
    not native.available(), reason="the native parts were not built: no C compiler"
)


class Knowing(History):
    """Has seen everything, everywhere; counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.traces: Counter[str] = Counter()

    def learn_usual(self, workflow: str, told: Any, traces: int = 1) -> bool:
        self.traces[workflow] += traces
        return True


@pytest.fixture(autouse=True)
def natively() -> Iterator[None]:
    before = native.in_use()
    native.use(True)
    yield
    native.use(before == "native")


def rules(**more: Any) -> Any:
    return SimpleNamespace(**{"detection": DEFAULT, "contracts": Contracts(), **more})


def with_id(otlp: bytes, number: int) -> bytes:
    """An edge trace under another id."""
    before = bytes.fromhex(wire.decode(otlp)[0].trace_id)
    return otlp.replace(before, number.to_bytes(16, "big"))


def together(bodies: Iterable[bytes]) -> Records:
    """One request of several traces' spans, as records of the journal."""
    return records_in(b"".join(bodies), limit=1 << 30, time_ns=NOW)


def otlp_in(records: Records) -> list[bytes]:
    """What the journal has of each trace."""
    (whole,) = records.pieces
    found: list[bytes] = []
    at = 0
    for _, size, _, _ in records.kept:
        record = unframe(memoryview(whole)[at : at + size], 0, 0)
        assert record is not None
        found.append(bytes(unpack_spans(record.payload).otlp))
        at += size
    return found


CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.output.messages": '[{"role":"assistant","parts":'
    '[{"type":"text","content":"It is on its way."}]}]',
}


def plain(number: int, name: str = "support", *, twice: bool = False) -> bytes:
    """A model call below a root, five seconds long, without anything to find."""
    root = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": name}
    times = {"start_time_unix_nano": NOW, "end_time_unix_nano": NOW + 5 * 10**9}
    call = {**span(number, 2, parent=1, name="chat", **CHAT), **times}
    first = {**span(number, 1, parent=None, name="answer", **root), **times}
    return request(first, call, *([call] if twice else []))


def test_each_note_says_what_the_bytes_say() -> None:
    one, told, kinds = Sift(rules(), Knowing()), 0, set[str]()
    for seed in range(0, 3000, 25):
        bodies = [with_id(edge_trace(n, share=0.005), n + 1) for n in range(seed, seed + 25)]
        records = together([*bodies, request(span(10_000, 2, parent=1))])
        notes = one.look_at_all(records.pieces[0], records.kept, {})
        assert len(notes) == len(records.kept)
        for note, otlp, (_, _, spans, flags) in zip(
            notes, otlp_in(records), records.kept, strict=True
        ):
            if note == NOT_LOOKED:
                assert flags != 1
                kinds.add("not looked at")
            elif note == ANYTHING:
                ids = [each.span_id for each in wire.decode(otlp)]
                assert one.told(otlp) is None or len(set(ids)) < len(ids)
                kinds.add("anything")
            else:
                said = one.recall(note)
                assert said == one.told(otlp)
                assert said is None or said.spans == spans
                assert one.look(otlp) == note
                told += 1
                kinds.add("told")
    assert kinds == {"not looked at", "anything", "told"}
    assert told > 300


def test_traces_of_which_more_waits_or_whose_root_has_not_ended_are_not_looked_at() -> None:
    records = together([plain(1), plain(2), request(span(3, 2, parent=1)), plain(4)])
    notes = Sift(rules(), Knowing()).look_at_all(
        records.pieces[0], records.kept, {(2).to_bytes(16, "big")}
    )
    assert [note > ANYTHING for note in notes] == [True, False, False, True]
    assert notes[1] == notes[2] == NOT_LOOKED


def test_of_a_span_that_came_twice_nothing_is_told() -> None:
    records = together([plain(1, twice=True), plain(2)])
    first, second = Sift(rules(), Knowing()).look_at_all(records.pieces[0], records.kept, {})
    assert first == ANYTHING
    assert second > ANYTHING


@pytest.mark.parametrize(
    "kept",
    [
        [(b"\1" * 16, 10**9, 2, 1)],
        [(b"\1" * 16, 39, 2, 1)],
        [(b"\1" * 16, -1, 2, 1)],
        [(b"\1" * 16, 60)],
        ["no tuple"],
    ],
)
def test_what_does_not_fit_the_records_is_an_error_and_no_crash(kept: list[Any]) -> None:
    (whole,) = together([plain(1)]).pieces
    with pytest.raises((ValueError, OverflowError, TypeError)):
        Sift(rules(), Knowing()).look_at_all(whole, kept, {})


def test_new_rules_make_old_notes_worthless() -> None:
    live = rules()
    one = Sift(live, Knowing())
    note = one.look(plain(1))
    assert one.has(note)
    assert one.recall(note) == Sifted(2, 0)
    live.detection = replace(DEFAULT, max_seconds=4.0)
    assert not one.has(note)
    assert one.recall(note) is None
    again = one.look(plain(1))
    assert again > note
    assert one.recall(again) != Sifted(2, 0)
    live.contracts = Contracts([Contract("support", (Rule("r", "code", lambda _: ()),))])
    assert not one.has(again)
    assert one.look(plain(1)) == ANYTHING
    assert one.has(ANYTHING)


def test_more_names_than_are_kept_make_notes_worthless_and_never_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sift, "_MOST", 10)
    history = Knowing()
    one = Sift(rules(), history)
    chance = random.Random(3)
    given: list[tuple[int, bytes]] = []
    for _ in range(600):
        otlp = plain(1, f"workflow {chance.randrange(25)}")
        given.append((one.look(otlp), otlp))
        note, otlp = chance.choice(given[-8:])
        assert one.recall(note) in (Sifted(2, 0), None)
        assert (one.recall(note) is None) == (not one.has(note))
        assert len(one._notes.asked) <= 10
    assert len({note for note, _ in given}) > 60  # many generations


def test_when_the_numbers_are_used_up_nothing_is_told_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sift, "_LAST", 3)
    one = Sift(rules(), Knowing())
    assert [one.look(plain(1, f"w{n}")) for n in range(4)] == [2, 3, NOT_LOOKED, NOT_LOOKED]
    assert one.look(plain(1, "w1")) == 3


def test_threads_that_look_and_recall_at_once_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop looks while the deciding thread looks and recalls, under changing rules."""
    monkeypatch.setattr(sift, "_MOST", 7)
    live = rules()
    one = Sift(live, Knowing())
    wrong: list[str] = []
    ended = threading.Event()
    usual = [plain(1, f"w{n}") for n in range(12)]
    slow = replace(DEFAULT, max_seconds=4.0)

    def look(seed: int) -> None:
        chance = random.Random(seed)
        try:
            while not ended.is_set():
                records = together([plain(1, f"w{chance.randrange(12)}"), plain(2, "other")])
                notes = one.look_at_all(records.pieces[0], records.kept, {})
                if any(note == ANYTHING for note in notes):
                    wrong.append(f"looked: {notes}")
        except Exception as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(2)]
    for each in threads:
        each.start()
    try:
        for number in range(4000):
            live.detection = slow if number % 400 > 300 else DEFAULT
            told = one.told(usual[number % 12])
            if told is not None:
                assert (told == Sifted(2, 0)) == (live.detection is DEFAULT), number
    finally:
        ended.set()
        for each in threads:
            each.join()
    assert wrong == []


# --- the sieve -----------------------------------------------------------------------------------


class Reading:
    """Gives traces their bytes, and remembers whose."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self.bodies = bodies
        self.asked: list[str] = []

    def __call__(self, inputs: Iterable[Input]) -> Iterator[Input]:
        for each in inputs:
            self.asked.append(each.trace_id)
            yield each._replace(bodies=[self.bodies[each.trace_id]], unique=True)


def noted(one: Sift, bodies: dict[str, bytes]) -> list[Input]:
    return [Input(i, (), "root", note=one.look(otlp)) for i, otlp in bodies.items()]


def some(count: int) -> dict[str, bytes]:
    made = (with_id(edge_trace(n, share=0.004), n + 1) for n in range(count))
    return {wire.decode(otlp)[0].trace_id: otlp for otlp in made}


def test_with_notes_the_same_is_left_and_thinned_and_hardly_any_is_read() -> None:
    bodies = some(800)

    def keep(trace_id: str) -> float:
        return 0.1 if int(trace_id, 16) % 10 == 0 else 0.0

    counted, counted_noted = Tally(), Tally()
    one, two = Sift(rules(), Knowing()), Sift(rules(), Knowing())
    read_all, read_some = Reading(bodies), Reading(bodies)
    batch = [Input(i, (), "root") for i in bodies]
    plainly = Sieve(one, keep=keep, tally=counted).take(batch, {}, read_all)
    by_note = Sieve(two, keep=keep, tally=counted_noted).take(noted(two, bodies), {}, read_some)
    assert by_note.thinned == plainly.thinned
    assert [(i.trace_id, i.bodies, i.doubts) for i in by_note.left] == [
        (i.trace_id, i.bodies, i.doubts) for i in plainly.left
    ]
    assert counted.all() == counted_noted.all()
    assert one.history.traces == two.history.traces  # type: ignore[attr-defined]
    assert read_all.asked == list(bodies)
    assert read_some.asked == [i for i in bodies if i not in set(by_note.thinned)]
    assert len(plainly.thinned) > 60


@pytest.mark.parametrize(
    "change",
    [
        lambda given: given._replace(reason="idle"),
        lambda given: given._replace(reason="max_age"),
        lambda given: given._replace(thinned=True),
        None,  # it is stored already
    ],
)
def test_a_note_is_not_enough_where_something_is_missing_or_came_before(change: Any) -> None:
    bodies = {f"{1:032x}": plain(1)}
    one = Sift(rules(), Knowing())
    (given,) = noted(one, bodies)
    reading = Reading(bodies)
    sieve = Sieve(one, keep=lambda _: 0.0, tally=Tally())
    known = set() if change else {given.trace_id}
    left, thinned = sieve.take([change(given) if change else given], known, reading)
    assert reading.asked == [given.trace_id]
    assert [each.doubts for each in left] == [None]
    assert thinned == []


def test_a_trace_with_a_worthless_note_is_read_and_sifted_by_the_rules_of_the_moment() -> None:
    bodies = {f"{n:032x}": plain(n) for n in (1, 2)}
    live = rules()
    one = Sift(live, Knowing())
    batch = noted(one, bodies)
    live.detection = replace(DEFAULT, loop_calls=9)
    reading = Reading(bodies)
    left, thinned = Sieve(one, keep=lambda _: 0.0, tally=Tally()).take(batch, {}, reading)
    assert reading.asked == list(bodies)
    assert thinned == list(bodies)
    assert left == []


def test_of_what_any_detector_may_find_something_in_is_not_sifted_twice() -> None:
    bodies = {f"{1:032x}": plain(1)}
    one = Sift(rules(), Knowing())
    batch = [Input(f"{1:032x}", (), "root", note=ANYTHING)]
    one.told = None  # type: ignore[assignment, method-assign] - it would fail
    left, _ = Sieve(one, keep=lambda _: 0.0, tally=Tally()).take(batch, {}, Reading(bodies))
    assert [each.doubts for each in left] == [None]


def test_a_kept_plain_trace_is_read_and_known_to_hold_nothing() -> None:
    bodies = {f"{1:032x}": plain(1)}
    one = Sift(rules(), Knowing())
    reading = Reading(bodies)
    left, _ = Sieve(one, keep=lambda _: 1.0, tally=Tally()).take(noted(one, bodies), {}, reading)
    assert [(each.doubts, list(each.bodies)) for each in left] == [(0, [plain(1)])]
