"""The list of integrations, from the first words of each integration's own file.

A file's docstring begins `library ≥ oldest release: what is recorded.`, or with what it does where
it needs no library. What follows that paragraph is in the table of docs/sdk/integrations.md too.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- integrations: made by tools/make_docs.py -->"
END = "<!-- end of integrations -->"


@dataclass(frozen=True)
class Described:
    """What an integration says of itself; `library` is "" where it needs none."""

    name: str
    library: str
    summary: str
    more: str


def described() -> list[Described]:
    """Every built-in integration, by name."""
    from fidelity_otel.integrations import BUILTIN

    return [_read(name, module) for name, module in sorted(BUILTIN.items())]


def _read(name: str, module: str) -> Described:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    first, *rest = [" ".join(p.split()) for p in text.split("\n\n")]
    library, _, summary = first.partition(": ")
    if "≥" not in library:
        library, summary = "", first
    return Described(name, library, summary, " ".join(rest))


def table() -> str:
    """The table of docs/sdk/integrations.md."""
    lines = ["| name | library | what is recorded |", "| --- | --- | --- |"]
    for one in described():
        text = f"{one.summary} {one.more}".strip().replace("|", "\\|")
        lines.append(f"| `{one.name}` | {one.library or 'the standard library'} | {text} |")
    return "\n".join(lines)


def short() -> str:
    """The README's list."""
    return "\n".join(
        f"- `{one.name}`: {one.summary}" for one in described() if one.library
    )  # what needs no library is no client


def filled(page: Path, made: str) -> str:
    """A page with what is made from code put between its marks.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page.name} has no place for the integrations: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"
