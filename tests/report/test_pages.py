"""The report as text and HTML: complete, self-contained, safe with hostile names."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
from report_frames import NOW_NS, FakeStore, Mark, Row, world

from fidelity_otel.report.html import render_html
from fidelity_otel.report.numbers import summary
from fidelity_otel.report.summary import Summary
from fidelity_otel.report.text import print_text, render_text

HOSTILE = '<script>alert(1)</script>"&[bold]x[/bold]\x1b[31m'
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Checked(HTMLParser):
    """Collects tags, texts and addresses, and fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            v or "" for k, v in attrs if k in {"href", "src", "xlink:href", "action"}
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: str) -> Checked:
    checked = Checked()
    checked.feed(page)
    checked.close()
    assert checked.open == []
    return checked


@pytest.fixture(scope="module")
def made() -> Summary:
    return summary(
        world().store,
        now_ns=NOW_NS,
        settings={"report.benchmark": 0.92, "report.objective": 0.9},
    )


@pytest.fixture(scope="module")
def hostile() -> Summary:
    rows = [
        r._replace(
            workflow=HOSTILE,
            release=HOSTILE + r.release,
            modes=tuple(HOSTILE for _ in r.modes),
            outcomes={HOSTILE: 0.0},
            outcome_labels={HOSTILE: HOSTILE},
            reviews=tuple(m._replace(mode=HOSTILE) for m in r.reviews),
        )
        for r in world(traces=400).store.rows
    ]
    return summary(FakeStore(rows), now_ns=NOW_NS)


def test_the_page_needs_nothing_but_itself(made: Summary) -> None:
    page = parsed(render_html(made))
    assert page.addresses == []
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert "url(" not in render_html(made)
    assert "@import" not in render_html(made)


def test_the_page_says_what_the_summary_says(made: Summary) -> None:
    text = parsed(render_html(made)).text
    assert made.sentence in text
    for line in made.workflows:
        assert line.workflow in text
        assert f"{line.fidelity.n} of {line.traces}" in text
    assert "worst" in text
    assert "n = " in text
    assert "objective 90%" in text


def test_hostile_names_stay_text(hostile: Summary) -> None:
    page = parsed(render_html(hostile, title=HOSTILE))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text


def test_hostile_names_do_not_reach_the_terminal(hostile: Summary) -> None:
    text = render_text(hostile)
    assert "\x1b" not in text
    assert "[bold]x[/bold]" in re.sub(r"\s", "", text)


@pytest.mark.parametrize("rows", [[], [Row("a")], [Row("b", reported_success=False)]])
def test_pages_of_next_to_nothing(rows: list[Row]) -> None:
    s = summary(FakeStore(rows), now_ns=NOW_NS)
    page = parsed(render_html(s)).text
    assert "insufficient data" in page
    assert "insufficient data" in render_text(s) or not rows
    assert "100%" not in s.sentence.replace("100% of 1 requests", "")
    assert s.sentence in page


def test_few_reviews_give_no_share_on_the_page() -> None:
    s = summary(
        FakeStore(
            [
                Row(f"{k:032x}", pi=0.5, selected=True, reviews=(Mark("ann", "right"),))
                for k in range(4)
            ]
        ),
        now_ns=NOW_NS,
    )
    text = parsed(render_html(s)).text
    assert "n = 4, at least 10 needed" in " ".join(text.split())


def test_text_is_plain_without_a_terminal_and_coloured_with_one(
    made: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    plain, terminal = io.StringIO(), Terminal()
    print_text(made, plain)
    print_text(made, terminal, width=120)
    assert "\x1b" not in plain.getvalue()
    assert "\x1b[1m" in terminal.getvalue()
    assert max(map(len, plain.getvalue().splitlines())) <= 100


def test_text_holds_every_number_of_the_sentence(made: Summary) -> None:
    text = " ".join(render_text(made).split())
    assert made.sentence in text
    assert "refund.decide worst" in text


def test_truth_is_shown_only_where_it_is_known(made: Summary) -> None:
    assert "answer key" not in render_html(made)
    store = world(traces=300).store
    store.meta["report.truth"] = '{"fidelity": 0.8125, "silent_failure": 0.1, "note": "demo"}'
    s = summary(store, now_ns=NOW_NS)
    assert "81.2%" in parsed(render_html(s)).text
    assert "answer key" in render_text(s)
