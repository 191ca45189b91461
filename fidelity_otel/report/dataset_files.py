"""Evaluation cases as files: JSON lines, Parquet, and the layout of Hugging Face's loader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fidelity_otel.errors import InputError
from fidelity_otel.report.dataset import Case, as_row

__all__ = ["card", "write_hf", "write_jsonl", "write_parquet"]

HF_FILE = "data/test-00000-of-00001.parquet"


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
    rows = [as_row(case) for case in cases]
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema(pa)), path)
    return len(rows)


def write_hf(cases: Sequence[Case], folder: Path) -> int:
    """A folder for `datasets.load_dataset(folder)`: a card, and one split named `test`."""
    target = folder / HF_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    count = write_parquet(cases, target)
    (folder / "README.md").write_text(card(cases), encoding="utf-8")
    return count


def card(cases: Sequence[Case]) -> str:
    """The data set's card: how to load it, what it stands for, what its columns mean."""
    sampled = [c for c in cases if c.weight is not None]
    total = sum(c.weight or 0.0 for c in sampled)
    right = sum((c.weight or 0.0) * c.label for c in sampled)
    share = f"{right / total:.1%}" if total else "unknown"
    workflows = ", ".join(sorted({c.workflow for c in cases})) or "none"
    return f"""---
configs:
- config_name: default
  data_files:
  - split: test
    path: {HF_FILE}
---
# Reviewed production traces

{len(cases)} traces that people judged, of the workflows {workflows}. {len(sampled)} were drawn by
chance and stand for about {total:.0f} requests; their weighted share of right answers is {share}.

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
