"""Captured values: always valid JSON, never longer than allowed, never consumed, never raising."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import decimal
import enum
import io
import json
import math
import pathlib
import threading
import types
import uuid
from collections import Counter, OrderedDict, deque
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import fidelity_otel as fidelity
from fidelity_otel.sdk.capture import to_json
from fidelity_otel.testing import Recorded, record

TEXT = st.text(st.characters(), max_size=60)  # lone surrogates and control characters included
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.binary(max_size=40), st.dates()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.tuples(inner, inner),
        st.dictionaries(
            st.one_of(TEXT, st.integers(), st.none(), st.booleans()), inner, max_size=6
        ),
        st.frozensets(st.integers(), max_size=5),
    ),
    max_leaves=40,
)


@given(VALUES, st.integers(64, 2000))
@settings(max_examples=300)
def test_valid_json_within_the_limit(value: Any, limit: int) -> None:
    text, losses = to_json(value, limit)
    json.loads(text)
    assert len(text.encode()) <= limit
    assert all(loss in {"truncated", "unserialisable", "circular"} for loss in losses)


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=9), inner, max_size=5
        ),
    ),
    max_leaves=20,
)


@given(JSON)
def test_plain_json_is_written_whole_and_exactly(value: Any) -> None:
    text, losses = to_json(value, 100_000)
    assert json.loads(text) == value
    assert losses == ()


@given(st.text(max_size=3000), st.integers(64, 400))
def test_a_truncated_text_is_a_head_and_says_so(value: str, limit: int) -> None:
    text, losses = to_json(value, limit)
    read = json.loads(text)
    if losses:
        assert losses == ("truncated",)
        assert read.endswith("…")
        clean = value.encode("utf-8", "replace").decode()
        assert clean.startswith(read[:-1])
        assert len(text.encode()) <= limit
    else:
        assert read == value.encode("utf-8", "replace").decode()


def test_truncation_uses_most_of_the_room() -> None:
    for value in ("x" * 10_000, "ü" * 10_000, ["y" * 50] * 1000, {str(i): i for i in range(5000)}):
        text, losses = to_json(value, 1000)
        assert 700 <= len(text.encode()) <= 1000, value
        assert losses == ("truncated",)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Order:
    id: str
    lines: list[int]
    secret: str = dataclasses.field(default="s", repr=False)


@attrs.define
class Slotted:
    a: int
    b: str = attrs.field(repr=False, default="hidden")


class Model(pydantic.BaseModel):
    a: int
    when: dt.date
    inner: list[Slotted] = []
    model_config = {"arbitrary_types_allowed": True, "extra": "allow"}


class Struct(msgspec.Struct):
    a: int


class Pair(NamedTuple):
    a: int
    b: str


CASES: list[tuple[Any, Any]] = [
    (Colour.RED, "red"),
    (Order("o", [1]), {"id": "o", "lines": [1]}),
    (Slotted(1), {"a": 1}),
    (
        Model(a=1, when=dt.date(2026, 1, 2), inner=[Slotted(2)], z=3),
        {"a": 1, "when": "2026-01-02", "inner": [{"a": 2}], "z": 3},
    ),  # type: ignore[call-arg]
    (Struct(4), {"a": 4}),
    (Pair(1, "x"), {"a": 1, "b": "x"}),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (decimal.Decimal("1.50"), "1.50"),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    (dt.timedelta(minutes=1), 60.0),
    (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "2026-01-01T00:00:00+00:00"),
    ({3, 1, 2}, [1, 2, 3]),
    (deque([1, 2]), [1, 2]),
    (OrderedDict(a=1), {"a": 1}),
    (Counter("aab"), {"a": 2, "b": 1}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (types.SimpleNamespace(a=1), {"a": 1}),
    (range(3), "range(0, 3)"),
    ({1: "a", None: "b", (1, 2): "d"}, None),
    (math.nan, "nan"),
    (-math.inf, "-inf"),
    (2**70, str(2**70)),
    (1j, "1j"),
    (ValueError("x"), "ValueError: x"),
    (len, "<len>"),
    (Order, "<Order>"),
    (
        b"abc",
        {"bytes": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    ),
    (np.float64(1.5), 1.5),
    (np.int32(3), 3),
    (np.array([1, 2]), {"array": [2], "dtype": "int64", "values": [1, 2]}),
    (np.zeros((1000, 1000)), {"array": [1000, 1000], "dtype": "float64"}),
    (
        pd.DataFrame({"a": [1, 2]}),
        {"table": [2, 1], "columns": ["a"], "rows": [{"a": 1}, {"a": 2}]},
    ),
    (pd.Series([1, 2]), {"series": 2, "values": [1, 2]}),
    (pd.Timestamp("2026-01-01"), "2026-01-01T00:00:00"),
]


@pytest.mark.parametrize(("value", "expected"), CASES, ids=lambda v: type(v).__name__)
def test_kinds(value: Any, expected: Any) -> None:
    text, losses = to_json(value, 10_000)
    if expected is not None:
        assert json.loads(text) == expected
    assert losses == ()


def test_images_by_size_and_digest() -> None:
    image = Image.new("RGB", (4, 2), "red")
    read = json.loads(to_json(image, 1000)[0])
    assert (read["image"], read["mode"], len(read["sha256"])) == ([4, 2], "RGB", 64)
    buffer = io.BytesIO()
    image.save(buffer, "png")
    lazy = Image.open(io.BytesIO(buffer.getvalue()))
    read = json.loads(to_json(lazy, 1000)[0])
    assert read == {"image": [4, 2], "mode": "RGB"}, "its pixels are not loaded for us"


def test_what_is_lazy_is_never_consumed() -> None:
    touched: list[str] = []

    class QuerySet:  # as Django's: looking at it runs the query
        def __iter__(self) -> Any:
            touched.append("iter")
            return iter([])

        def __repr__(self) -> str:
            touched.append("repr")
            return "rows"

        def __len__(self) -> int:
            touched.append("len")
            return 0

        def __bool__(self) -> bool:
            touched.append("bool")
            return False

    generator = (i for i in range(3))
    iterator = iter([1, 2])
    handle = io.StringIO("content")
    mapped = map(str, [1])

    async def coroutine() -> None: ...

    pending = coroutine()

    async def agenerator() -> Any:
        yield 1

    values = [
        QuerySet(),
        generator,
        iterator,
        handle,
        mapped,
        pending,
        agenerator(),
        threading.Lock(),
    ]
    text, losses = to_json(values, 10_000)
    assert touched == []
    assert list(generator) == [0, 1, 2]
    assert list(iterator) == [1, 2]
    assert handle.read() == "content"
    assert list(mapped) == ["1"]
    asyncio.run(pending)  # type: ignore[arg-type]
    assert losses == ("unserialisable",)
    assert "QuerySet" in text


class Hostile:
    """Everything that can be overridden raises something."""

    def __init__(self, error: BaseException) -> None:
        self.__dict__["error"] = error

    def __repr__(self) -> str:
        raise self.__dict__["error"]

    __str__ = __hash__ = __eq__ = __repr__  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        raise self.__dict__["error"]


class HostileDict(dict):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        raise RuntimeError

    items = keys = values = __getitem__ = get = __iter__  # type: ignore[assignment]


class HostileStr(str):  # noqa: SLOT000
    def __str__(self) -> str:
        raise RuntimeError

    __len__ = __getitem__ = encode = __str__  # type: ignore[assignment]


class LyingClass:
    @property
    def __class__(self) -> type:  # type: ignore[override]
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no"),
        RecursionError(),
        SystemExit(1),
        GeneratorExit(),
        asyncio.CancelledError(),
    ],
)
def test_hostile_objects(error: BaseException) -> None:
    text, losses = to_json({"a": Hostile(error), "b": 1}, 1000)
    read = json.loads(text)
    assert read["b"] == 1
    assert "Hostile" in read["a"]
    assert losses == ("unserialisable",)


def test_hostile_subclasses_of_plain_types() -> None:
    text, _ = to_json([HostileDict(a=1), HostileStr("abc"), LyingClass()], 1000)
    read = json.loads(text)
    assert read[:2] == [{"a": 1}, "abc"]


def test_keyboard_interrupt_is_the_users() -> None:
    with pytest.raises(KeyboardInterrupt):
        to_json(Hostile(KeyboardInterrupt()), 1000)


def test_circular_and_deep() -> None:
    """traceloop and openinference raise ValueError into the application here."""
    ring: dict[str, Any] = {"a": 1}
    ring["self"] = [ring]
    text, losses = to_json(ring, 1000)
    assert json.loads(text) == {"a": 1, "self": ["<circular>"]}
    assert losses == ("circular",)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    text, losses = to_json(deep, 10_000)
    assert "truncated" in losses
    json.loads(text)
    shared = {"x": 1}
    assert to_json([shared, shared], 1000) == ('[{"x":1},{"x":1}]', ())


def test_a_huge_value_costs_little_memory() -> None:
    """langfuse#5032: a captured request ate 4 GB; dd-trace-py#13260: > 1 MB vanished."""
    import tracemalloc

    huge = {"rows": [{"text": "x" * 3_000_000, "n": i} for i in range(40)]}
    tracemalloc.start()
    text, losses = to_json(huge, 16_384)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    assert losses == ("truncated",)
    assert len(text) <= 16_384
    assert json.loads(text)["rows"][0]["text"].startswith("xxx")


def test_mutation_after_the_call_does_not_show() -> None:
    with record() as recorded:

        @fidelity.observe("f")
        def f(items: list[int]) -> list[int]:
            items.append(2)
            return items

        result = f([1])
        result.clear()
    assert recorded.one("f").value("fidelity.input") == {"items": [1]}
    assert recorded.one("f").value("fidelity.output") == [1, 2]


def test_limits_of_a_value_and_of_a_span() -> None:
    with record(max_value_bytes=300, max_span_bytes=700) as recorded:

        @fidelity.observe("f")
        def f(a: str, b: str) -> str:
            with fidelity.span("inner") as s:
                for i in range(20):
                    s.set(f"k{i}", "v" * 1000)
                s.output("z" * 1000)
            return a + b

        f("x" * 10_000, "y" * 10_000)
    outer, inner = recorded.one("f"), recorded.one("inner")
    assert len(outer["fidelity.input"]) <= 300
    assert len(outer["fidelity.output"]) <= 300
    assert outer.losses == {"truncated:fidelity.input", "truncated:fidelity.output"}
    assert len(inner["fidelity.output"]) <= 300
    json.loads(inner["fidelity.output"])
    assert "truncated:k3" in inner.losses


def test_all_kinds_of_value_through_a_real_call(recorded: Recorded) -> None:
    @fidelity.observe("f")
    def f(value: Any) -> Any:
        return value

    for value, _ in CASES:
        assert f(value) is value
    f(Hostile(RuntimeError()))
    assert len(recorded.spans) == len(CASES) + 1
