"""`fidelity journal` sees what waits and what is damaged, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fidelity_otel.cli import main
from fidelity_otel.errors import InputError
from fidelity_otel.processor.journal import (
    DECIDED,
    MOVED,
    SPANS,
    Journal,
    frame,
    pack_decided,
    pack_spans,
)
from fidelity_otel.processor.journal.frame import RECORD_SIZE
from fidelity_otel.processor.journal.inspect import inspect


def part(trace: int, *numbers: int, flags: int = 0, time_ns: int = 10**18) -> bytes:
    ids = b"".join(n.to_bytes(8, "big") for n in numbers)
    payload = pack_spans(trace.to_bytes(16, "big"), ids, b"o" * 40)
    return frame(SPANS, payload, time_ns=time_ns + trace, flags=flags)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A journal of three traces, one of them decided, in several segments."""
    journal = Journal(tmp_path / "journal", commit_ms=0, segment_bytes=300)
    journal.write([part(1, 1, 2)])
    journal.write([part(2, 3)])
    second = journal.end
    journal.write([part(3, 4, 5, 6)])
    journal.write(
        [frame(DECIDED, pack_decided([((2).to_bytes(16, "big"), second)]), time_ns=10**18)]
    )
    journal.write([part(1, 1, 2, flags=MOVED)])  # compaction: not two more spans
    journal.close()
    return tmp_path


def contents(data: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (data / "journal").iterdir()}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["journal", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_it_counts_what_waits_and_changes_nothing(data: Path) -> None:
    before = contents(data)
    found = inspect(data / "journal")
    assert (found.waiting_traces, found.waiting_spans, found.spans) == (2, 5, 6)
    assert found.oldest_waiting_ns == 10**18 + 1
    assert len(found.segments) > 1
    assert found.bytes == sum(map(len, before.values()))
    assert found.damaged == []
    assert contents(data) == before


def test_the_command_says_so(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--data", str(data))
    assert (code, "waiting: 5 spans of 2 traces" in out) == (0, True)
    code, out, _ = run(capsys, "--data", str(data), "--format", "json")
    assert (code, json.loads(out)["waiting_spans"]) == (0, 5)
    assert run(capsys, "--data", str(data), "--verify") == (0, "", "")


def test_every_flipped_byte_of_an_acked_record_is_found(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = min((data / "journal").iterdir())
    sound = first.read_bytes()
    for at in range(0, len(sound), 7):
        first.write_bytes(sound[:at] + bytes([sound[at] ^ 0x40]) + sound[at + 1 :])
        code, _, err = run(capsys, "--data", str(data), "--verify")
        assert (code, first.name in err) == (1, True), at


def test_a_half_written_end_is_no_damage_but_a_short_older_segment_is(data: Path) -> None:
    paths = sorted((data / "journal").iterdir())
    with paths[-1].open("ab") as file:
        file.write(part(9, 9)[: RECORD_SIZE + 5])
    found = inspect(data / "journal")
    assert (found.damaged, found.segments[-1].torn) == ([], RECORD_SIZE + 5)
    paths[0].write_bytes(paths[0].read_bytes()[:-3])
    assert [d.file for d in inspect(data / "journal").damaged] == [paths[0].name]


def test_no_journal_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="--data"):
        inspect(tmp_path / "journal")
    assert run(capsys, "--data", str(tmp_path))[0] == 2
