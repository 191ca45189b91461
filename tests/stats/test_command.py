"""`fidelity estimate`: columns in, numbers out, and errors that name the line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fidelity_otel.cli import main


def run(args: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(args)
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out, printed.err


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "reviews.csv"
    path.write_text(text)
    return str(path)


def test_json_has_the_promised_fields(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{i % 2 if i < 40 else ''},0.4,{'ab'[i % 2]},{i / 100}\n" for i in range(100))
    file = written(tmp_path, "label,pi,stratum,prediction\n" + rows)
    code, out, err = run(["estimate", file, "--format", "json", "--level", ".9"], capsys)
    got = json.loads(out)
    assert (code, err) == (0, "")
    assert list(got) == [
        "estimate",
        "low",
        "high",
        "level",
        "method",
        "n",
        "n_effective",
        "N",
        "warnings",
    ]
    assert (got["n"], got["N"], got["level"]) == (40, 100, 0.9)
    assert got["low"] <= got["estimate"] <= got["high"]


def test_text_and_spreadsheet_habits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte order mark, CRLF, capitals, spaces, an unknown column, NA for empty."""
    text = "\ufeffLabel , who\r\n" + "1,ann\r\n" * 15 + "0,bob\r\n" * 5 + "NA,\r\n" * 80
    code, out, _ = run(["estimate", written(tmp_path, text)], capsys)
    assert code == 0
    assert "estimate: 0.75\n" in out
    assert "n: 20\n" in out
    assert "N: 100" in out


def test_labels_alone_count_empty_lines_as_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(["estimate", written(tmp_path, "label\n" + "1\n\n0\n\n" * 10)], capsys)
    assert code == 0
    assert "N: 40" in out


def test_insufficient_data_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, "label\n1\n1\n")
    code, out, _ = run(["estimate", file], capsys)
    assert code == 0
    assert "estimate: insufficient data" in out
    assert "warning: insufficient data: 2 reviewed" in out
    _, out, _ = run(["estimate", file, "--format", "json"], capsys)
    assert json.loads(out)["low"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("label\n", "no rows"),
        ("y,pi\n1,1\n", ":1: no column `label`; found y, pi"),
        ("label,label\n1,1\n", ":1: the column `label` is there 2 times"),
        ("label,pi\n1,.5\n1.5,.5\n", ":3: label = 1.5 is outside 0 to 1"),
        ("label,pi\n1,.5\n,.5\nyes,.5\n", ":4: label = 'yes' is not a number"),
        ("label,pi\n1,0\n", ":2: pi = 0 is outside (0, 1]"),
        ("label,pi\n1,1.01\n", ":2: pi = 1.01 is outside (0, 1]"),
        ("label,pi\n1,.5\n0,\n", ":3: a label without pi"),
        ("label,pi\n1\n", ":2: 1 cells, the header has 2"),
        ("label,prediction\n1,inf\n", ":2: prediction = 'inf' is not finite"),
    ],
)
def test_errors_name_line_and_column(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(["estimate", written(tmp_path, text)], capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err


def test_missing_and_binary_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["estimate", str(tmp_path / "none.csv")], capsys)[0] == 2
    binary = tmp_path / "b.csv"
    binary.write_bytes(b"label\n\xff\xfe\x00\n")
    code, _, err = run(["estimate", str(binary)], capsys)
    assert code == 2
    assert "error" in err
