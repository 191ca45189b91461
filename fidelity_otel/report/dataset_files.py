"""Evaluation cases as files: JSON lines, Parquet, and the layout of Hugging Face's loader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from fidelity_otel.errors import InputError
from fidelity_otel.report.dataset import Case, as_row

__all__ = ["write_hf", "write_jsonl", "write_parquet"]

HF_FILE = "data/test-00000-of-00001.parquet"
_ROWS_AT_ONCE = 500
"""Cases with their conversations that are held in memory, and a row group of the file."""


def write_jsonl(cases: Iterable[Case], path: Path) -> int:
    """One JSON object a line; returns how many."""
    encoder = msgspec.json.Encoder()
    count = 0
    with path.open("wb") as file:
        for case in cases:
            file.write(encoder.encode(case) + b"\n")
            count += 1
    return count


def write_parquet(cases: Iterable[Case], path: Path) -> int:
    """One Parquet file; nested columns (messages, documents, …) hold JSON text.

    Cases are written some at a time, as they come; returns how many.

    Raises:
        InputError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(
            "Parquet needs pyarrow, which this installation lacks. "
            "Mend: pip install 'fidelity-otel[parquet]'"
        ) from None
    schema, count, remaining = _schema(pa), 0, iter(cases)
    with pq.ParquetWriter(path, schema) as file:
        while rows := [as_row(case) for case in islice(remaining, _ROWS_AT_ONCE)]:
            file.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += len(rows)
    return count


def write_hf(cases: Iterable[Case], folder: Path) -> int:
    """A folder for `datasets.load_dataset(folder)`: a card, and one split named `test`."""
    target = folder / HF_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    counted = _Counted()
    count = write_parquet(counted.through(cases), target)
    (folder / "README.md").write_text(_card(counted), encoding="utf-8")
    return count


class _Counted:
    """What the card says of the cases, gathered while they are written."""

    def __init__(self) -> None:
        self.cases = self.sampled = 0
        self.weight = self.right = 0.0
        self.workflows: set[str] = set()

    def through(self, cases: Iterable[Case]) -> Iterator[Case]:
        """The cases, counted as they pass."""
        for case in cases:
            self.cases += 1
            self.workflows.add(case.workflow)
            if case.weight is not None:
                self.sampled += 1
                self.weight += case.weight
                self.right += case.weight * case.label
            yield case


def _card(counted: _Counted) -> str:
    """The data set's card: how to load it, what it stands for, what its columns mean."""
    share = f"{counted.right / counted.weight:.1%}" if counted.weight else "unknown"
    workflows = ", ".join(sorted(counted.workflows)) or "none"
    return f"""---
configs:
- config_name: default
  data_files:
  - split: test
    path: {HF_FILE}
---
# Reviewed production traces

{counted.cases} traces that people judged, of the workflows {workflows}. {counted.sampled} were
drawn by chance and stand for about {counted.weight:.0f} requests;
their weighted share of right answers is {share}.

Weigh each case by `weight` (the inverse of its probability of being here, corrected for reviews
that were not given): the weighted mean is a statement about production, the plain mean is not.
Hand-picked cases have no weight.

`label` is the mean verdict (1 right, ½ partly, 0 wrong), `expected` what the answer should have
been as far as known. `messages`, `documents`, `tools`, `findings` and `outcomes` hold JSON text.
"""


def _schema(pa: Any) -> Any:
    text, number, whole = pa.string(), pa.float64(), pa.int64()
    types = {"label": number, "weight": number, "probability": number, "reviewers": whole}
    types |= {"hand_picked": pa.bool_(), "modes": pa.list_(text), "notes": pa.list_(text)}
    return pa.schema([(name, types.get(name, text)) for name in Case.__struct_fields__])
