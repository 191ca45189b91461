"""Many records are read at once, natively or in Python, and a damaged one costs only itself."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fidelity_otel.processor import native
from fidelity_otel.processor.journal import (
    DECIDED,
    SPANS,
    Journal,
    Part,
    frame,
    pack_decided,
    pack_spans,
    read_parts,
)
from fidelity_otel.processor.journal.frame import RECORD_SIZE
from fidelity_otel.processor.journal.segment import Segment

WAYS = [
    False,
    pytest.param(
        True,
        marks=pytest.mark.skipif(
            not native.available(), reason="the native parts were not built: no C compiler"
        ),
    ),
]


@pytest.fixture(params=WAYS, ids=["python", "native"])
def _way(request: pytest.FixtureRequest) -> Iterator[None]:
    before = native.in_use()
    native.use(request.param)
    yield
    native.use(before == "native")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal", commit_ms=0, segment_bytes=4 << 20)
    yield made
    made.close()


def ids_of(*numbers: int) -> bytes:
    return b"".join(n.to_bytes(8, "big") for n in numbers)


def record(ids: bytes, otlp: bytes, flags: int = 1) -> bytes:
    return frame(SPANS, pack_spans(b"t" * 16, ids, otlp), time_ns=7, flags=flags)


def put(journal: Journal, *frames: bytes) -> list[tuple[int, int]]:
    """Their places."""
    at = journal.write(frames)
    sizes = [len(each) for each in frames]
    return [(at + sum(sizes[:i]), size) for i, size in enumerate(sizes)]


def damage(journal: Journal, position: int) -> None:
    """Flip a bit on the disk."""
    base = max(base for base, _ in journal.segments if base <= position)
    with (journal.folder / f"{base:020d}.seg").open("r+b") as file:
        file.seek(position - base)
        (byte,) = file.read(1)
        file.seek(position - base)
        file.write(bytes([byte ^ 8]))


@pytest.mark.usefixtures("_way")
def test_parts_of_all_sizes_come_back_in_the_order_asked_for(journal: Journal) -> None:
    source = random.Random(3)
    written: dict[tuple[int, int], Part] = {}
    for size in (*range(150), 5_000, 70_000, 300_000, 300_000, 1_500_000, 10):
        ids, otlp = ids_of(*range(size % 90)), source.randbytes(size)
        (place,) = put(journal, record(ids, otlp))
        written[place] = Part(otlp, ids, True)
    assert len(journal.segments) == 1
    places = list(written)
    assert list(read_parts(journal, places)) == list(written.values())
    source.shuffle(places)
    assert list(read_parts(journal, places)) == [written[place] for place in places]
    assert list(read_parts(journal, [])) == []


@pytest.mark.usefixtures("_way")
def test_parts_of_several_segments(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", commit_ms=0, segment_bytes=10_000)
    places = [put(journal, record(ids_of(n), b"%d" % n * 3_000))[0] for n in range(10)]
    assert len(journal.segments) > 3
    found = list(read_parts(journal, places))
    assert [part and part.span_ids for part in found] == [ids_of(n) for n in range(10)]
    journal.close()


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(
    ("ids", "unique"),
    [
        ((), True),
        ((1,), True),
        ((1, 2, 1), False),
        ((*range(64),), True),
        ((*range(63), 0), False),
        ((*range(300),), True),
        ((*range(300), 299), False),
        ((1 << 56, 1 << 48, 1 << 40), True),
    ],
    ids=lambda value: str(value)[:20],
)
def test_whether_a_span_is_there_twice(
    journal: Journal, ids: tuple[int, ...], unique: bool
) -> None:
    (part,) = read_parts(journal, put(journal, record(ids_of(*ids), b"o")))
    assert part == Part(b"o", ids_of(*ids), unique)


@pytest.mark.usefixtures("_way")
def test_damage_anywhere_in_a_record_costs_it_and_no_other(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    sound = record(ids_of(1, 2), b"abc" * 20)
    for at in range(len(sound)):
        places = put(journal, sound, sound, sound)
        damage(journal, places[1][0] + at)
        first, second, third = read_parts(journal, places)
        assert second is None, at
        assert first == third == Part(b"abc" * 20, ids_of(1, 2), True)
    assert caplog.text.count("damaged and left out") == len(sound)


@pytest.mark.usefixtures("_way")
def test_what_is_no_whole_record_of_spans_is_not_taken_for_one(journal: Journal) -> None:
    sound = record(ids_of(1), b"abc" * 20)
    other = frame(DECIDED, pack_decided([(b"t" * 16, 1)] * 3), time_ns=7)
    (at, size), second = put(journal, sound, other)
    whole = Part(b"abc" * 20, ids_of(1), True)
    assert list(read_parts(journal, [(at, size), second])) == [whole, None]
    assert list(read_parts(journal, [(at, size - 1), (at, size)])) == [None, whole]
    assert list(read_parts(journal, [(at, size + 1)])) == [None]
    assert list(read_parts(journal, [(at, size), (at + size, 10_000)])) == [
        whole,
        None,
    ]  # past the end
    assert list(read_parts(journal, [(at, RECORD_SIZE)])) == [None]
    assert list(read_parts(journal, [(journal.end + 10_000, 500), (at, size)])) == [None, whole]


@pytest.mark.usefixtures("_way")
def test_a_page_that_cannot_be_read_costs_only_what_is_on_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = put(journal, *(record(ids_of(n), b"o") for n in range(5)))
    bad, read_into = places[2][0], Segment.read_into

    def broken(self: Segment, view: memoryview, position: int) -> int:
        if position <= bad < position + len(view):
            raise OSError(5, "Input/output error")
        return read_into(self, view, position)

    monkeypatch.setattr(Segment, "read_into", broken)
    found = list(read_parts(journal, places))
    assert [part and part.span_ids for part in found] == [
        *(ids_of(0), ids_of(1), None, ids_of(3), ids_of(4))
    ]


def test_neighbours_are_read_together(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    places = put(journal, *(record(ids_of(n), b"o" * 20_000) for n in range(64)))
    reads: list[int] = []
    read_into = Segment.read_into

    def counted(self: Segment, view: memoryview, position: int) -> int:
        reads.append(len(view))
        return read_into(self, view, position)

    monkeypatch.setattr(Segment, "read_into", counted)
    list(read_parts(journal, places))
    assert len(reads) == 3
    assert sum(reads) == sum(size for _, size in places)


@pytest.mark.skipif(not native.available(), reason="the native parts were not built: no C compiler")
def test_the_native_sums_are_zlibs() -> None:
    """A record that Python framed, with zlib's sum, is sound natively, at every size and place."""
    for size in (*range(20, 420), 4_095, 4_096, 4_097, 100_003):
        otlp = os.urandom(size)
        sound = record(ids_of(1), otlp)
        assert int.from_bytes(sound[16:20], "little") == zlib.crc32(sound[:16] + sound[20:])
        shifted = b"x" * (size % 17) + sound
        view = memoryview(shifted)[size % 17 :]
        assert native._found is not None
        (part,) = native._found[native.PARTS.index("_journal")].parts(view, [len(sound)])
        assert part == (otlp, ids_of(1), True)
