"""The queue in a terminal, over a store and over HTTP."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message as Headers
from pathlib import Path
from typing import Any

import pytest
from review_traces import Clock, fill, read_fake, support_trace
from rich.console import Console
from test_pages import HOSTILE, hostile_trace

from fidelity_otel.errors import FidelityError, InputError, LeaseError
from fidelity_otel.review.client import LocalQueue, RemoteQueue
from fidelity_otel.review.desk import Desk
from fidelity_otel.review.screen import safe
from fidelity_otel.review.terminal import Terminal
from fidelity_otel.store import Store, open_store


class Typist:
    """Presses keys and types lines from a list; at the end of it there is nothing more."""

    def __init__(self, *typed: str) -> None:
        self._typed = list(typed)

    def key(self) -> str:
        if not self._typed:
            raise EOFError
        return self._typed.pop(0)

    def line(self, _question: str) -> str:
        return self.key()


def session(queue: Any, typist: Typist, name: str = "ann") -> tuple[Terminal, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=100, highlight=False, color_system=None)
    return Terminal(queue, name, console=console, key=typist.key, line=typist.line), out


class StarletteOpener:
    """Sends urllib's requests to a test client, so that no socket is needed."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def open(self, request: urllib.request.Request, timeout: float) -> Any:
        path = request.full_url.partition("8318")[2]
        answer = self._client.request(
            request.get_method(),
            path,
            content=request.data,
            headers=dict(request.header_items()),
        )
        if answer.status_code >= 400:
            raise urllib.error.HTTPError(
                request.full_url,
                answer.status_code,
                "no",
                Headers(),
                io.BytesIO(answer.content),
            )
        found = io.BytesIO(answer.content)
        found.status = answer.status_code  # type: ignore[attr-defined]
        return found


@pytest.fixture(params=["store", "http"])
def queue(request: pytest.FixtureRequest, store: Store, clock: Clock, web: Any) -> Iterator[Any]:
    settings = {"review.lease_seconds": 60.0}
    if request.param == "store":
        yield LocalQueue(Desk(store, read_fake, settings=settings, now=clock))
    else:
        opener = StarletteOpener(web(lease_seconds=60.0))
        yield RemoteQueue("http://127.0.0.1:8318", opener=opener)  # type: ignore[arg-type]


def test_judging_to_the_end(store: Store, queue: Any, clock: Clock) -> None:
    fill(store, [support_trace(n) for n in range(3)])
    typist = Typist("1", "\r", "2", "f", "b", "n", "my note", "c", "30 days", "\r", "s", "hard")
    terminal, out = session(queue, typist)
    assert terminal.run() == 2
    shown = out.getvalue()
    assert "Answer the user got" in shown
    assert "3.7 years old then" in shown
    assert "Nothing is left for you: you judged 2, and 1 of 3 still wait" in shown
    for secret in ("secret", "estimation", "0.37", "release"):
        assert secret not in shown
    reviews = sorted(store.reviews(), key=lambda r: r.verdict)
    assert [(r.verdict, r.mode, r.note, r.correction) for r in reviews] == [
        ("right", None, "", ""),
        ("wrong", "retrieval_stale", "my note", "30 days"),
    ]


def test_stopping_hands_the_item_back(store: Store, queue: Any, clock: Clock) -> None:
    fill(store, [support_trace(0)])
    terminal, out = session(queue, Typist("2", "q"))
    assert terminal.run() == 0
    assert "Handed back" in out.getvalue()
    assert store.lease_in_hand("ann", clock()) is None
    assert store.reviews() == []


def test_a_lease_that_ran_out_is_taken_again_and_the_words_are_kept(
    store: Store, queue: Any, clock: Clock
) -> None:
    fill(store, [support_trace(n) for n in range(3)])
    typist = Typist("2", "n", "my note", "LATER", "\r")
    press = typist.key

    def key() -> str:
        pressed = press()
        if pressed == "LATER":
            clock.pass_seconds(100)
            return "\r"
        return pressed

    terminal, out = session(queue, typist)
    terminal._key = key
    assert terminal.run(limit=1) == 1
    assert "expired" in out.getvalue()
    (review,) = store.reviews()
    assert (review.verdict, review.note) == ("wrong", "my note")


def test_enter_asks_for_a_verdict_and_limit_stops(store: Store, queue: Any) -> None:
    fill(store, [support_trace(n) for n in range(3)])
    terminal, out = session(queue, Typist("\r", "x", "r", "4", "\r", "1", "\r"))
    assert terminal.run(limit=1) == 1
    assert "Choose a verdict first" in out.getvalue()


def test_an_empty_queue_says_that_nothing_was_sampled(store: Store, queue: Any) -> None:
    terminal, out = session(queue, Typist())
    assert terminal.run() == 0
    assert "Nothing was sampled for review yet" in out.getvalue()


def test_control_characters_never_reach_the_terminal(store: Store, clock: Clock) -> None:
    trace = hostile_trace(surrogate=True)
    fill(store, [support_trace(0)])
    queue = LocalQueue(Desk(store, lambda _: trace, settings={}, now=clock))
    terminal, out = session(queue, Typist("2", "n", "\x1b]0;title\x07", "q"))
    terminal.run()
    shown = out.getvalue()
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "␛[31m" in shown.replace("\n", "")
    assert HOSTILE[:20] in shown
    assert safe("a\tb\nc\x9b").plain == "a\tb\nc�"


def test_errors_of_the_service_come_through_as_ours(
    store: Store, web: Callable[..., Any], clock: Clock
) -> None:
    opener = StarletteOpener(web(token="t"))
    wrong = RemoteQueue("127.0.0.1:8318", "bad", opener=opener)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Authorization"):
        wrong.take("ann")
    right = RemoteQueue("http://127.0.0.1:8318/", "t", opener=opener)  # type: ignore[arg-type]
    with pytest.raises(LeaseError, match="unknown"):
        right.renew("nothing")
    with pytest.raises(InputError, match="is no address"):
        RemoteQueue("ftp://x")
    with pytest.raises(FidelityError, match="cannot be reached"):
        RemoteQueue("http://127.0.0.1:9").progress("ann")


def fidelity(*arguments: str, typed: str = "", data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from fidelity_otel.cli import main; main()", *arguments],
        input=typed,
        capture_output=True,
        text=True,
        env={**os.environ, "FIDELITY_DATA": str(data), "COLUMNS": "100"},
    )


def test_the_command_reads_keys_from_a_pipe(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store, [support_trace(n) for n in range(2)])
    done = fidelity("review", "--as", "ann", typed="1\n\n2\nn\nwhy\n\n", data=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 verdicts by ann." in done.stderr
    with open_store(tmp_path) as store:
        assert sorted(r.verdict for r in store.reviews()) == ["right", "wrong"]
    again = fidelity("review", "--as", "ann", data=tmp_path)
    assert "Nothing is left for you" in again.stdout


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    done = fidelity("review", data=tmp_path / "nowhere")
    assert done.returncode == 2
    assert "no store here" in done.stderr
    both = fidelity("review", "--url", "http://x", "--data", "y", data=tmp_path)
    assert both.returncode == 2
    assert "two places" in both.stderr
