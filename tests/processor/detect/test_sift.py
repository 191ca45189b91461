"""What the sift lets pass holds no finding, whatever it is; and it lets most of the plain pass."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import corpus
from edge_traces import NOW, edge_trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp import add_attributes, request, span

from fidelity_otel.errors import WireError
from fidelity_otel.model import Finding
from fidelity_otel.processor import native, wire
from fidelity_otel.processor.contract import Contract, Contracts, Rule
from fidelity_otel.processor.detect import (
    DEFAULT,
    DetectSettings,
    Doubt,
    History,
    detect,
    detect_all,
)
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.risk import PRIOR
from fidelity_otel.processor.detect.shapes import shape_of
from fidelity_otel.processor.live import make_pipeline
from fidelity_otel.processor.pipeline import Decided, Input
from fidelity_otel.processor.read import read_otlp
from fidelity_otel.processor.read_files import requests_in
from fidelity_otel.processor.sample import Sampler
from fidelity_otel.processor.sift import Sieve, Sift, Sifted
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.wire_records import records_in

pytestmark = pytest.mark.skipif(
    not native.available(), reason="the native parts were not built: no C compiler"
)
TIGHT = replace(DEFAULT, max_seconds=3.0, max_tokens=900, stale_days=20.0)
FIXTURES = Path(__file__).parents[1] / "dialects" / "fixtures"


class Knowing(History):
    """Has seen everything, everywhere."""

    def learn_usual(self, workflow: str, told: Any, traces: int = 1) -> bool:
        return True


def sift(
    settings: DetectSettings = DEFAULT,
    history: History | None = None,
    contracts: Contracts | None = None,
) -> Sift:
    live: Any = SimpleNamespace(detection=settings, contracts=contracts or Contracts())
    return Sift(live, history or Knowing())


@pytest.fixture(autouse=True)
def natively() -> Any:
    before = native.in_use()
    native.use(True)
    yield
    native.use(before == "native")


def plain_spans(sift: Sift, otlp: bytes) -> int:
    """The number of spans of a trace in which nothing can be found, else 0."""
    told = sift.told(otlp)
    return told.spans if told is not None and not told.doubts else 0


def findings(otlp: bytes, settings: DetectSettings = DEFAULT) -> tuple[Finding, ...]:
    return detect(read_otlp(otlp), settings)


# --- nothing that can be found passes ------------------------------------------------------------


def test_no_trace_that_passes_holds_a_finding() -> None:
    """Six thousand traces at the edges of all detectors, of which hundreds pass."""
    sifting, passed, modes = sift(), 0, Counter[str]()
    for seed in range(6000):
        otlp = edge_trace(seed, share=(0.003, 0.01, 0.03)[seed % 3])
        found = findings(otlp)
        modes.update({f.mode for f in found})
        spans = plain_spans(sifting, otlp)
        if spans:
            passed += 1
            assert not found, seed
            assert spans == len(wire.decode(otlp))
    assert passed > 400
    assert len(modes) > 14  # else they are not at the edges of much


@pytest.mark.parametrize("settings", [DEFAULT, TIGHT], ids=["default", "tight"])
def test_detectors_that_are_spared_find_nothing(settings: DetectSettings) -> None:
    """Where one is doubted it finds what it would have found beside all others, which find nothing."""
    sifting, doubted, modes = sift(settings), Counter[Doubt](), Counter[str]()
    for seed in range(10_000, 14_000):
        otlp = edge_trace(seed, share=(0.003, 0.01, 0.02)[seed % 3])
        told = sifting.told(otlp)
        if told is None or not told.doubts:
            continue
        every = detect(read_otlp(otlp), settings)
        (some,) = detect_all([read_otlp(otlp)], settings, doubts=[told.doubts])
        assert some == every, seed
        doubted.update(each for each in Doubt if each & told.doubts)
        modes.update({each.mode for each in every})
    assert len(doubted) > 7, doubted
    assert len(modes) > 6, modes


def test_what_is_asked_of_experience_is_what_the_trace_shows() -> None:
    """The shapes and the workflow in the key are those that the detector would have looked at."""
    asked = 0
    for seed in range(1500):
        otlp = edge_trace(seed, share=0.005)
        learned = _Noting()
        if plain_spans(sift(history=learned), otlp):
            trace = read_otlp(otlp)
            steps = [s for s in Facts(trace).steps if s.result is not None]
            shown = Counter((trace.workflow, s.name, shape_of(s.result)) for s in steps)
            assert learned.told == shown, seed
            asked += bool(shown)
    assert asked > 50


class _Noting(Knowing):
    def __init__(self) -> None:
        super().__init__()
        self.told: Counter[tuple[str, str, tuple[str, ...]]] = Counter()

    def learn_usual(self, workflow: str, told: Any, traces: int = 1) -> bool:
        for name, shape, times in told:
            self.told[workflow, name, shape] += times
        return True


def test_bytes_that_were_changed_at_random_do_no_harm() -> None:
    rng, sifting = random.Random(7), sift()
    good = [o for o in (edge_trace(n, share=0.003) for n in range(300)) if plain_spans(sifting, o)]
    passed = 0
    for number in range(8000):
        changed = _changed(rng, bytearray(good[number % len(good)]))
        if plain_spans(sifting, changed) and _comes_in(changed):
            passed += 1
            assert not findings(changed), changed
    assert passed > 300


def _comes_in(body: bytes) -> bool:
    """Whether it is taken in whole: nothing else gets into the journal."""
    try:
        return not records_in(body, limit=1 << 30, time_ns=NOW).rejected
    except WireError:
        return False


def _changed(rng: random.Random, body: bytearray) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(body))
        kind = rng.randrange(4)
        if kind == 0:
            body[at] = rng.randrange(256)
        elif kind == 1:
            body[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del body[at : at + rng.randrange(1, 9)]
        else:
            body[at:at] = body[at : at + rng.randrange(1, 60)] or b"\0"
        body = body or bytearray(b"\x0a")
    return bytes(body)


@pytest.mark.parametrize("path", corpus.files(), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_corpus_passes_only_where_its_file_says_nothing(path: Path) -> None:
    case = corpus.load(path)
    spans = [
        {
            "trace_id": bytes.fromhex(raw.trace_id),
            "span_id": bytes.fromhex(raw.span_id),
            "parent_span_id": bytes.fromhex(raw.parent_id or ""),
            "name": raw.name,
            "start_time_unix_nano": raw.start_ns,
            "end_time_unix_nano": raw.end_ns,
            "attributes": raw.attributes,
            "status": {"code": raw.status_code, "message": raw.status_message},
        }
        for raw in corpus.raw_spans(case)
        if not raw.events
    ]
    otlp = request(*spans)
    assert not (plain_spans(sift(), otlp) and findings(otlp))


def test_recorded_traces_of_other_instrumentations_are_left_alone() -> None:
    def fail(place: str, why: str) -> None:
        raise AssertionError(f"{place}: {why}")

    for path in sorted(FIXTURES.glob("*.jsonl")):
        for _, body in requests_in(path.name, path.read_bytes(), fail):
            for part in wire.split(body).parts:
                otlp = bytes(part.otlp)
                assert not (plain_spans(sift(), otlp) and findings(otlp)), path.name


# --- the plain passes, and settings and contracts are heeded -------------------------------------


def plain(**more: Any) -> bytes:
    """A trace of a tool, a model call and a root, without anything to find; `more` of the call."""
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "lookup",
        "gen_ai.tool.call.arguments": '{"order":"A"}',
        "gen_ai.tool.call.result": '{"order":"A","state":"shipped"}',
    }
    chat = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.usage.input_tokens": 90,
        "gen_ai.output.messages": '[{"role":"assistant","parts":'
        '[{"type":"text","content":"It is on its way."}]}]',
        **more,
    }
    root = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "support"}
    begin = NOW
    return request(
        _timed(span(1, 1, parent=None, name="answer", **root), begin, 5),
        _timed(span(1, 2, parent=1, name="lookup", **tool), begin + 1, 1),
        _timed(span(1, 3, parent=1, name="chat", **chat), begin + 2 * 10**9, 1),
    )


def _timed(given: dict[str, Any], begin: int, seconds: int) -> dict[str, Any]:
    end = begin + seconds * 10**9
    return {**given, "start_time_unix_nano": begin, "end_time_unix_nano": end}


def test_a_plain_trace_passes_with_its_number_of_spans() -> None:
    assert plain_spans(sift(), plain()) == 3
    assert not findings(plain())


@pytest.mark.parametrize("name", ["app.ai", "aircraft.kind", "llms.count", "user.id", "http.route"])
def test_names_of_no_dialect_do_not_matter(name: str) -> None:
    assert plain_spans(sift(), plain(**{name: "x"})) == 3


@pytest.mark.parametrize("name", ["ai.x", "llm.x", "error.type", "gen_ai.new", "fidelity.new"])
def test_names_that_may_tell_of_something_are_left_to_those_who_read_them(name: str) -> None:
    assert not plain_spans(sift(), plain(**{name: "x"}))


def failing(which: int, *, answer: str = "", name: str = "lookup", **more: Any) -> bytes:
    """The plain trace with one span that failed: 0 the root, 1 the tool, 2 the model call."""
    read = ExportTraceServiceRequest.FromString(plain())
    spans = read.resource_spans[0].scope_spans[0].spans
    spans[which].status.code, spans[which].status.message = more.pop("status", (2, "it went wrong"))
    add_attributes(spans[which].attributes, more)
    for each in spans:
        for pair in each.attributes:
            if pair.key == "gen_ai.tool.name":
                pair.value.string_value = name
            if answer and pair.key == "gen_ai.output.messages":
                pair.value.string_value = pair.value.string_value.replace(
                    "It is on its way.", answer
                )
    return read.SerializeToString()


@pytest.mark.parametrize(
    ("otlp", "modes"),
    [
        (failing(1), {"tool_error", "swallowed_error"}),
        (failing(1, answer="The order was cancelled.", name="cancel_order"), {"tool_misread"}),
        (failing(1, answer="I could not look it up, an error occurred."), {"tool_error"}),
        (failing(1, status=(0, ""), **{"error.type": "TimeoutError"}), {"timeout"}),
        (failing(0, status=(2, "recursion limit reached")), {"budget_exceeded"}),
        (failing(0, status=(2, "client disconnected")), {"abandoned"}),
        (failing(0), set()),
    ],
)
def test_what_failed_is_told_by_those_whom_it_concerns(otlp: bytes, modes: set[str]) -> None:
    told = sift().told(otlp)
    assert told is not None
    assert told.doubts & Doubt.FAILED
    every = findings(otlp)
    assert modes <= {each.mode for each in every}
    assert detect_all([read_otlp(otlp)], doubts=[told.doubts]) == [every]


@pytest.mark.parametrize(
    "otlp",
    [
        failing(2),
        failing(2, status=(0, ""), **{"error.type": "TimeoutError"}),
        failing(1, status=(0, ""), **{"error.type": ""}),
        failing(1, status=(0, ""), **{"error.type": 7}),
        failing(1, status=(1, "though it went well")),
        failing(0, status=(3, "no code of the protocol")),
    ],
)
def test_other_failures_are_looked_at_in_full(otlp: bytes) -> None:
    assert sift().told(otlp) is None


def test_the_result_of_a_tool_that_failed_is_no_shape_and_no_source() -> None:
    history = _Noting()
    told = sift(history=history).told(failing(1, answer="It is order A-1234567."))
    assert told is not None
    assert not history.told
    assert not told.doubts & Doubt.GROUNDING  # there is nothing that the answer could rest on


def test_limits_that_are_set_are_heeded() -> None:
    for over in (
        replace(DEFAULT, max_seconds=4.0),
        replace(DEFAULT, max_tokens=80),
        replace(DEFAULT, loop_calls=1),
    ):
        assert not plain_spans(sift(over), plain())
    for within in (
        replace(DEFAULT, max_seconds=6.0),
        replace(DEFAULT, max_tokens=100),
        replace(DEFAULT, loop_calls=2),
    ):
        assert plain_spans(sift(within), plain()) == 3


def test_new_settings_and_contracts_count_at_once() -> None:
    live: Any = SimpleNamespace(detection=DEFAULT, contracts=Contracts())
    one = Sift(live, Knowing())
    assert plain_spans(one, plain()) == 3
    live.detection = replace(DEFAULT, max_seconds=4.0)
    assert not plain_spans(one, plain())
    live.detection = DEFAULT
    live.contracts = Contracts([Contract("support", (Rule("r", "code", lambda _: ()),))])
    assert not plain_spans(one, plain())
    live.contracts = Contracts([Contract("another", (Rule("r", "code", lambda _: ()),))])
    assert plain_spans(one, plain()) == 3


def test_a_model_that_was_swapped_does_not_pass() -> None:
    swapped = plain().replace(b"gpt-4o-2024-08-06", b"gpt-3o-2024-08-06")
    assert findings(swapped)
    assert not plain_spans(sift(), swapped)


def test_a_shape_passes_once_it_is_known_as_the_usual_one() -> None:
    history = History()
    one = sift(history=history)
    assert not plain_spans(one, plain())  # the first of its kind: detection learns it
    detect(read_otlp(plain()), history=history)
    assert plain_spans(one, plain()) == 3
    other = plain().replace(b'"state"', b'"stage"')
    assert not plain_spans(one, other)
    for _ in range(30):
        assert plain_spans(one, plain()) == 3
    assert detect(read_otlp(other.replace(b'"order":"A",', b'"orders":"",')), history=history)


def test_without_the_native_part_nothing_passes() -> None:
    native.use(False)
    assert not plain_spans(sift(), plain())


# --- with the sift, the same traces are stored as without ----------------------------------------


def test_the_same_is_decided_and_counted_with_and_without() -> None:
    bodies = [edge_trace(seed, share=0.003) for seed in range(900)]
    batch = [Input(wire.decode(each)[0].trace_id, [each], "root", unique=True) for each in bodies]
    told, told_sifted = Tally(), Tally()
    plainly, _ = _decided(batch, told, sifted=False)
    sifted, spared = _decided(batch, told_sifted, sifted=True)
    assert [d.end for d in plainly] == [d.end for d in sifted]
    assert [d.record for d in plainly] == [d.record for d in sifted]
    assert told.all() == told_sifted.all()
    assert spared > 30


def _decided(batch: list[Input], tally: Tally, *, sifted: bool) -> tuple[list[Decided], int]:
    live: Any = SimpleNamespace(
        detection=DEFAULT,
        contracts=Contracts(),
        risk_model=PRIOR,
        sampler=Sampler({"sample.keep_share": 0.1}, "salt"),
    )
    history = History()
    pipeline = _Counting(make_pipeline(live, tally, history))
    sieve = Sieve(Sift(live, history), keep=live.sampler.keeps, tally=tally)
    made: dict[str, Decided] = {}
    for at in range(0, len(batch), 30):
        left, some = batch[at : at + 30], [""]
        if sifted:
            left, some = sieve.take(left, {})
        made.update(dict.fromkeys(some, Decided("thinned", None, ())))
        decided = pipeline.decide(left, now_ns=NOW, known={}, body=lambda _: b"")
        made.update(zip([given.trace_id for given in left], decided, strict=True))
    return [made[given.trace_id] for given in batch], len(batch) - pipeline.asked


class _Counting:
    """Counts what it is asked to decide."""

    def __init__(self, rest: Any) -> None:
        self._rest, self.asked = rest, 0

    def decide(self, batch: Any, **given: Any) -> list[Decided]:
        self.asked += len(batch)
        decided: list[Decided] = self._rest.decide(batch, **given)
        return decided


def test_a_plain_trace_that_is_kept_is_not_looked_at_again() -> None:
    """Between two that are: each gets its own findings."""
    live: Any = SimpleNamespace(
        detection=DEFAULT, contracts=Contracts(), risk_model=PRIOR, sampler=Sampler({}, "salt")
    )
    pipeline = make_pipeline(live, Tally(), History())
    looked: list[str] = []
    detect_all = pipeline._detect

    def watched(traces: Any, now_ns: int, doubts: Any) -> Any:
        looked.extend(trace.trace_id for trace in traces)
        return detect_all(traces, now_ns, doubts)

    pipeline._detect = watched
    swapped = plain().replace(b"gpt-4o-2024-08-06", b"gpt-3o-2024-08-06")
    kinds = [swapped, plain(), swapped, plain()]
    batch = [
        Input(
            f"{number:032x}",
            [each.replace((1).to_bytes(16, "big"), number.to_bytes(16, "big"))],
            "root",
            unique=True,
        )
        for number, each in enumerate(kinds, 1)
    ]
    sieve = Sieve(Sift(live, Knowing()), keep=live.sampler.keeps, tally=Tally())
    left, thinned = sieve.take(batch, {})
    assert not thinned
    made = pipeline.decide(left, now_ns=NOW, known={}, body=lambda _: b"")
    records = [each.record for each in made]
    assert [r and [f.mode for f in r.findings] for r in records] == [
        ["model_swapped"],
        [],
        ["model_swapped"],
        [],
    ]
    assert looked == [batch[0].trace_id, batch[2].trace_id]
    assert [r and r.trace_id for r in records] == [given.trace_id for given in batch]


def test_a_sift_that_fails_costs_no_trace() -> None:
    class Broken(Sift):
        def told(self, otlp: bytes) -> Sifted | None:
            raise IndexError("string index out of range")

    live: Any = SimpleNamespace(
        detection=DEFAULT, contracts=Contracts(), risk_model=PRIOR, sampler=Sampler({}, "salt")
    )
    tally = Tally()
    sieve = Sieve(Broken(live, Knowing()), keep=lambda _: 0.0, tally=tally)
    given = Input(f"{1:032x}", [plain()], "root", unique=True)
    assert sieve.take([given], {}) == ([given], [])


def test_a_model_name_that_ends_in_a_dash_is_another_name() -> None:
    odd = plain(**{"gen_ai.request.model": "llama", "gen_ai.response.model": "llama-"})
    assert not plain_spans(sift(), odd)
    assert [f.mode for f in findings(odd)] == ["model_swapped"]


def test_of_two_retrievals_the_first_with_documents_is_the_one_that_counts() -> None:
    """Those of the first say nothing, those of the second everything that was asked about."""
    known = json.dumps([{"id": "2", "content": "zebra quagga okapi tapir dugong"}])
    for first in ([{"id": "1", "source": "kb"}], []):
        body = _searching(json.dumps(first), known)
        told = sift().told(body)
        assert told is not None
        (some,) = detect_all([read_otlp(body)], doubts=[told.doubts])
        assert some == findings(body)
        modes = {each.mode for each in some}
        assert modes == ({"terminology_gap"} if first else {"retrieval_empty"})


def _searching(*documents: str) -> bytes:
    """A request about animals, and a retrieval for each of these."""
    begin = NOW - 10**9
    root = {
        "gen_ai.operation.name": "invoke_workflow",
        "fidelity.input": json.dumps({"question": "zebra quagga okapi tapir dugong"}),
        "fidelity.output": json.dumps({"answer": "All of them live far away."}),
    }
    spans = [_timed(span(1, 1, parent=None, **root), begin, 1)]
    for number, each in enumerate(documents, 2):
        found = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": each}
        spans.append(_timed(span(1, number, parent=1, **found), begin + number, 0))
    return request(*spans)
