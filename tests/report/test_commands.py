"""`fidelity report` and `fidelity dataset export` over a real store, filled through its doors."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from report_store import TRACES, judged, run, wrong

from fidelity_otel.report.summary import Summary

pytest_plugins = ["pytester"]
PLAIN = ("-p", "no:cacheprovider", "-p", "no:asyncio")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    return judged(tmp_path_factory.mktemp("report"))


def test_json_is_the_summary(full: tuple[Path, int]) -> None:
    data, count = full
    out, _ = run("report", "--format", "json", data=data)
    made = msgspec.json.decode(out, type=Summary)
    assert made.activity.traces == TRACES
    assert made.activity.latency.p50 == pytest.approx(1.0)
    assert made.reviews.judged == count >= 10
    assert made.fidelity.N == TRACES
    assert made.fidelity.low is not None
    assert made.fidelity.high is not None
    assert made.fidelity.low <= 0.75 <= made.fidelity.high


def test_text_goes_to_stdout_without_colours(full: tuple[Path, int]) -> None:
    out, err = run("report", data=full[0])
    assert "did what the user needed" in out
    assert "support.answer" in out
    assert "\x1b" not in out
    assert err == ""


def test_html_goes_to_a_file(full: tuple[Path, int], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    out, err = run(
        "report", "--format", "html", "--output", str(page), "--title", "Støtte", data=full[0]
    )
    assert out == ""
    assert "wrote" in err
    assert page.read_text().startswith("<!doctype html>")
    assert "Støtte" in page.read_text()


def test_since_cuts_what_began_before(full: tuple[Path, int]) -> None:
    out, _ = run("report", "--format", "json", "--since", "5m", data=full[0])
    assert json.loads(out)["activity"]["traces"] == 0
    out, _ = run("report", "--format", "json", "--since", "2h", data=full[0])
    assert json.loads(out)["activity"]["traces"] == TRACES
    out, _ = run("report", "--format", "json", "--since", "2001-01-01", data=full[0])
    assert json.loads(out)["activity"]["traces"] == TRACES


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "--since", "yesterday"], "neither a span such as"),
        (["report", "--data", "/nowhere/at/all"], "no store here"),
        (["report", "--format", "pdf"], "pdf"),
        (["report", "--format", "html", "--output", "/nowhere/page.html"], "cannot be written"),
        (["dataset", "export"], "--output"),
        (["dataset", "export", "--output", "/nowhere/cases.jsonl"], "cannot be written"),
    ],
)
def test_wrong_use_says_what_and_how_to_mend_it(
    full: tuple[Path, int], arguments: list[str], said: str
) -> None:
    out, err = run(*arguments, data=full[0], code=2)
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_a_mistyped_folder_is_not_made(tmp_path: Path) -> None:
    run("report", data=tmp_path / "typo", code=2)
    assert not (tmp_path / "typo").exists()


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_cases_carry_weights_that_stand_for_all_traffic(
    full: tuple[Path, int], tmp_path: Path
) -> None:
    data, count = full
    file = tmp_path / "cases.jsonl"
    _, err = run("dataset", "export", "--output", str(file), data=data)
    assert f"wrote {count} cases" in err
    rows = rows_of(file)
    assert len(rows) == count
    assert sum(r["weight"] for r in rows) == pytest.approx(TRACES, rel=0.35)  # type: ignore[misc]
    for row in rows:
        number = int(str(row["id"]), 16) - 1
        assert row["label"] == (0.0 if wrong(number) else 1.0)
        assert row["request"] == f"question {number}?"
        assert row["answer"] == f"answer {number} – ünïcode"
        expected = f"better {number}" if wrong(number) else f"answer {number} – ünïcode"
        assert row["expected"] == expected
        assert row["messages"][0]["parts"][0]["content"] == f"question {number}?"  # type: ignore[index]
        assert row["modes"] == (["retrieval_stale"] if wrong(number) else [])


def test_parquet_and_hugging_face_hold_the_same(full: tuple[Path, int], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    lines, table, folder = tmp_path / "c.jsonl", tmp_path / "c.parquet", tmp_path / "set"
    run("dataset", "export", "--output", str(lines), data=full[0])
    run("dataset", "export", "--format", "parquet", "--output", str(table), data=full[0])
    run("dataset", "export", "--format", "hf", "--output", str(folder), data=full[0])
    rows = rows_of(lines)
    for file in (table, folder / "data" / "test-00000-of-00001.parquet"):
        read = parquet.read_table(file).to_pylist()
        assert [r["id"] for r in read] == [r["id"] for r in rows]
        assert [r["weight"] for r in read] == [r["weight"] for r in rows]
        assert [json.loads(r["messages"]) for r in read] == [r["messages"] for r in rows]
    front, _, card = (folder / "README.md").read_text().removeprefix("---\n").partition("---\n")
    import yaml

    assert yaml.safe_load(front)["configs"][0]["data_files"][0]["split"] == "test"
    assert "weighted share of right answers" in card


def test_hand_picked_cases_come_only_when_asked_for_and_without_weight(
    full: tuple[Path, int], tmp_path: Path
) -> None:
    from report_store import ingested

    from fidelity_otel.store import open_store

    data = ingested(tmp_path)
    with open_store(data) as store:
        trace_id = f"{7:032x}"
        item = store.pick(trace_id, now_ns=1, by="lead", reason="looks odd")
        lease = store.next_item("ben", 2, item_id=item.item_id)
        assert lease is not None
        store.submit(lease.lease_id, "wrong", now_ns=3)
    file = tmp_path / "cases.jsonl"
    run("dataset", "export", "--output", str(file), data=data)
    assert rows_of(file) == []
    run("dataset", "export", "--hand-picked", "--output", str(file), data=data)
    (row,) = rows_of(file)
    assert (row["id"], row["weight"], row["hand_picked"]) == (trace_id, None, True)


def test_an_export_holds_what_was_reviewed_and_one_body_at_a_time(
    full: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager

    from fidelity_otel.processor.read import read_otlp
    from fidelity_otel.report.dataset import cases
    from fidelity_otel.store import open_store

    data, count = full
    rows, bodies = [], []
    with open_store(data) as store:
        paged, body = store.pages, store.trace

        @contextmanager
        def watched(since_ns=None, until_ns=None):
            with paged(since_ns, until_ns, rows=3) as pages:
                looked_at = pages.looked_at

                def counted():
                    for part in looked_at():
                        rows.append(len(part["trace_id"]))
                        yield part

                pages.looked_at = counted
                yield pages

        def read(trace_id):
            bodies.append(trace_id)
            return body(trace_id)

        monkeypatch.setattr(store, "pages", watched)
        monkeypatch.setattr(store, "trace", read)
        drawn = sum(row.selected for row in store.frame())
        for at, case in enumerate(cases(store, read_otlp)):
            assert bodies[at:] == [case.id]
    assert len(bodies) == count
    assert sum(rows) == drawn < TRACES
    assert max(rows) == 3


def test_a_case_stands_for_what_head_sampling_left_out_too(tmp_path: Path) -> None:
    from fidelity_otel.model import ArmDecision, Decision, TraceRecord
    from fidelity_otel.processor.read import read_otlp
    from fidelity_otel.report.dataset import cases
    from fidelity_otel.store import open_store

    name = "ab" * 16
    decision = Decision(name, "s", "w", 1, 1.0, 0.2, False, upstream=0.25)
    with open_store(tmp_path) as store:
        store.add_traces([TraceRecord(name, b"", decision, workflow="shop", start_ns=5)])
        arms = {name: (ArmDecision("estimation", "w", "s", True, 0.5),)}
        store.save_draw("w", arms, now_ns=6)
        lease = store.next_item("ann", 7)
        assert lease is not None
        store.submit(lease.lease_id, "right", now_ns=8)
        (case,) = cases(store, read_otlp)
    assert (case.probability, case.weight) == (0.125, 8.0)


@pytest.mark.parametrize("form", ["parquet", "hf"])
def test_tables_are_written_some_rows_at_a_time(
    full: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("fidelity_otel.report.dataset_files._ROWS_AT_ONCE", 6)
    made = tmp_path / "made"
    run("dataset", "export", "--format", form, "--output", str(made), data=full[0])
    file = parquet.ParquetFile(
        made if form == "parquet" else made / "data" / "test-00000-of-00001.parquet"
    )
    sizes = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
    assert max(sizes) == 6
    assert sum(sizes) == full[1]
    if form == "hf":
        assert f"{full[1]} traces that people judged, of the workflows support.answer" in (
            (made / "README.md").read_text()
        )


def test_cases_of_another_workflow_are_left_out(full: tuple[Path, int], tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    run("dataset", "export", "--workflow", "other", "--output", str(file), data=full[0])
    assert rows_of(file) == []


def test_help_has_examples() -> None:
    for arguments in (["report"], ["dataset", "export"]):
        out, _ = run(*arguments, "--help", data=Path("unused"))
        assert "Examples:" in out
        assert f"fidelity {' '.join(arguments)}" in out


TEST = """
import pytest

@pytest.mark.fidelity_cases("cases.jsonl")
def test_build(fidelity_case):
    assert fidelity_case.expected.startswith("answer")
    assert fidelity_case.data["workflow"] == "support.answer"
    assert fidelity_case.messages

def test_other():
    pass
"""


def test_the_plugin_replays_cases_and_says_what_it_means_for_production(
    full: tuple[Path, int], pytester: pytest.Pytester
) -> None:
    run("dataset", "export", "--output", str(pytester.path / "cases.jsonl"), data=full[0])
    pytester.makepyfile(TEST)
    rows = rows_of(pytester.path / "cases.jsonl")
    right = [r for r in rows if r["label"] == 1.0]
    done = pytester.runpytest_inprocess(*PLAIN)
    done.assert_outcomes(passed=len(right) + 1, failed=len(rows) - len(right))
    share = sum(r["weight"] for r in right) / sum(r["weight"] for r in rows)  # type: ignore[misc]
    done.stdout.fnmatch_lines(
        [f"*{len(right)} of {len(rows)} production cases passed; weighted, {share:.1%} of*"]
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no file cases.jsonl beside the test"),
        ("{not json\n", "cases.jsonl:1: not JSON"),
        ("\n[1]\n", "cases.jsonl:2: a JSON object is wanted"),
    ],
)
def test_the_plugin_says_what_is_wrong_with_a_file(
    pytester: pytest.Pytester, content: str | None, said: str
) -> None:
    if content is not None:
        (pytester.path / "cases.jsonl").write_text(content)
    pytester.makepyfile(TEST)
    done = pytester.runpytest_inprocess(*PLAIN)
    assert done.ret != 0
    assert said in done.stdout.str() + done.stderr.str()


def test_the_fixture_without_the_mark_says_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_build(fidelity_case): pass")
    done = pytester.runpytest_inprocess(*PLAIN)
    assert "mark the test with @pytest.mark.fidelity_cases" in done.stdout.str()


def test_the_plugin_is_harmless_in_other_peoples_runs(pytester: pytest.Pytester) -> None:
    """No output of its own, nothing heavy loaded, strict marks still strict."""
    pytester.makepyfile(
        """
        import sys

        def test_nothing_heavy():
            heavy = {"numpy", "sqlalchemy", "msgspec", "opentelemetry", "click", "rich"}
            assert not heavy & set(sys.modules)
        """
    )
    others = ("-p", "no:langsmith_plugin")  # comes with langchain, and is not light
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", *others, "--strict-markers")
    done.assert_outcomes(passed=1)
    assert "fidelity:" not in done.stdout.str()
